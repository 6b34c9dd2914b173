//! `login --issuer` and `explain` with issuers.

use serde_json::json;

use super::fake::{Fake, Reply};
use super::{ca_file, login};
use crate::support::{Node, Run};

#[test]
fn login_says_what_is_missing_and_what_is_unknown() {
    let node = Node::new();
    let takes = "`allow`, `audience`, `ca-file`, `cache`, `client-auth`, `grant`, `require-service-account`, `scope`, `timeout`, \
                 `token-audience`, `token-cache`, `token-url`, `username`";
    for (issuer, settings, error) in [
        ("oauth2", &["-u id"][..], "issuer `oauth2` needs `token-url`; give them as settings".to_owned()),
        ("oauth2", &["token-url=https://a.test"], "issuer `oauth2` needs a user; use `--username`".to_owned()),
        ("oauth2", &["-u id", "role=x"], format!("issuer `oauth2` has no setting `role`; it takes {takes}")),
        ("oauth2", &["-u id", "S3cr3t=x"], format!("issuer `oauth2` has no such setting; it takes {takes}")),
        (
            "oauth2",
            &["-u id", "token-url=http://a.test"],
            "setting `token-url` is plain HTTP, which is allowed to loopback and metadata addresses only".to_owned(),
        ),
        (
            "oauth2",
            &["-u id", "token-url=https://u:p@a.test"],
            "setting `token-url` holds a user name or password, which do not belong into a URL".to_owned(),
        ),
        (
            "oauth2",
            &["-u id", "token-url=https://a.test", "grant=password"],
            "setting `grant` is none of `client_credentials`, `refresh_token`".to_owned(),
        ),
        (
            "oauth2",
            &["-u id", "token-url=https://a.test", "timeout=2h"],
            "setting `timeout` is not `1s` to `55s`".to_owned(),
        ),
        (
            "oauth2",
            &["-u id", "token-url=https://a.test", "allow=everybody"],
            "setting `allow` is no list of `NAMESPACE/SERVICEACCOUNT` or `NAMESPACE/*`, with `,` between".to_owned(),
        ),
        (
            "aws-ecr",
            &["-u id"],
            "issuer `aws-ecr` needs `region`, since the registry's name does not tell it; give them as settings"
                .to_owned(),
        ),
        (
            "aws-ecr",
            &["source=imds", "-u id"],
            "issuer `aws-ecr` takes no user and password with these settings".to_owned(),
        ),
        ("aws-ecr", &["source=here"], "issuer `aws-ecr` needs a user; use `--username`".to_owned()),
        ("token-exchange", &[], "issuer `token-exchange` needs `token-url`, `username`; give them as settings".to_owned()),
        (
            "token-exchange",
            &["-u id", "token-url=https://a.test", "username=u"],
            "issuer `token-exchange` takes no user (`username` is what it answers with) with these settings"
                .to_owned(),
        ),
        (
            "token-exchange",
            &["token-url=https://a.test", "username=u", "subject-token-type=web"],
            "setting `subject-token-type` is neither a URI nor one of `jwt`, `access_token`, `refresh_token`, `id_token`, \
             `saml1`, `saml2`"
                .to_owned(),
        ),
        (
            "token-exchange",
            &["token-url=https://a.test", "username=u:v"],
            "user name contains `:`, which basic authentication cannot carry".to_owned(),
        ),
        ("azure-acr", &["-u id"], {
            let what = "`authority`, since the registry's name does not tell the cloud";
            format!("issuer `azure-acr` needs {what}; give them as settings")
        }),
        (
            "azure-acr",
            &["-u id", "authority=https://login.test"],
            "issuer `azure-acr` needs `tenant`; give them as settings".to_owned(),
        ),
        (
            "azure-acr",
            &["-u id", "authority=https://login.test", "tenant=a/b"],
            "setting `tenant` is no tenant's id or domain".to_owned(),
        ),
        ("azure-acr", &["source=imds"], "issuer `azure-acr` takes no password with these settings".to_owned()),
        (
            "google-ar",
            &["-u id", "source=metadata"],
            "issuer `google-ar` takes no user with these settings".to_owned(),
        ),
        ("google-ar", &["source=metadata"], "issuer `google-ar` takes no password with these settings".to_owned()),
        (
            "google-ar",
            &["impersonate=a/b@c"],
            "setting `impersonate` is no service account such as `pull@project.iam.gserviceaccount.com`".to_owned(),
        ),
        ("quay-federation", &[], "issuer `quay-federation` needs a user; use `--username`".to_owned()),
        (
            "quay-federation",
            &["-u robot"],
            "issuer `quay-federation` needs a user, which is the robot, such as `team+pull`".to_owned(),
        ),
        (
            "quay-federation",
            &["-u team+pull"],
            "issuer `quay-federation` takes no password (the pod's token is the proof) with these settings".to_owned(),
        ),
        ("vendor", &["-u id"], keyring_credential_provider::issuer::IssuerError::Unknown.to_string()),
    ] {
        let run = login(&node, "r.test", issuer, settings, "s3cr3t");
        assert_eq!(run, Run::new(2, "", &format!("error: {error}\n")), "{settings:?}");
    }
    for (scope, issuer, settings, error) in [
        (
            "r.test",
            "google-ar",
            &["source=workload-identity"][..],
            "issuer `google-ar` needs `audience`; give them as settings",
        ),
        (
            "*.r.test",
            "quay-federation",
            &["-u team+pull"],
            "issuer `quay-federation` needs `endpoint`, since the scope names no single registry; give them as settings",
        ),
        (
            "*.r.test",
            "azure-acr",
            &["source=imds"],
            "issuer `azure-acr` needs `endpoint`, since the scope names no single registry; give them as settings",
        ),
    ] {
        let run = login(&node, scope, issuer, settings, "");
        assert_eq!(run, Run::new(2, "", &format!("error: {error}\n")), "{settings:?}");
    }
    assert_eq!(node.run(&["list", "--output", "json"], "").stdout, "[]\n");
}

#[test]
fn try_asks_once_before_anything_is_stored() {
    let fake = Fake::https(|received| {
        if received.basic().unwrap().1 == "right" {
            Reply::json(200, &json!({ "access_token": "at", "expires_in": 100 }))
        } else {
            Reply::json(401, &json!({ "error": "invalid_client" }))
        }
    });
    let node = Node::new();
    let (url, trust) = (format!("token-url={}/t", fake.url()), ca_file(&node));
    let settings = [url.as_str(), &trust, "-u id --try"];
    let url = format!("{}/t", fake.url());
    assert_eq!(
        login(&node, "r.test", "oauth2", &settings, "wrong"),
        Run::new(
            5,
            "",
            &format!(
                "error: `{url}` answered 401: invalid_client\nhint: nothing was stored; check what is stored with \
                 `keyring-credential-provider explain`\n"
            )
        )
    );
    assert_eq!(node.run(&["list", "--output", "json"], "").stdout, "[]\n");
    assert_eq!(
        login(&node, "r.test", "oauth2", &settings, "right"),
        Run::new(
            0,
            "",
            &format!(
                "`{url}` gave a credential for user `id`; the kubelet would keep it for 0 seconds\nstored the credential for `r.test`\n"
            )
        )
    );
    assert_eq!(fake.count(), 2);
    let run = node.run(&["login", "s.test", "-u", "u", "--password-stdin", "--try"], "p");
    assert_eq!(run, Run::new(2, "", "error: `--try` has nobody to ask: issuer `static` answers with what is stored\n"));
}

#[test]
fn explain_asks_nobody_and_shows_what_is_cached() {
    let fake = Fake::https(|_| Reply::json(200, &json!({ "access_token": "at-secret", "expires_in": 3600 })));
    let node = Node::new();
    let (url, trust) = (format!("token-url={}/t", fake.url()), ca_file(&node));
    login(&node, "r.test", "oauth2", &[&url, &trust, "-u id"], "client-secret").done();
    let url = format!("{}/t", fake.url());
    let ca = node.dir().join("ca.pem");
    let asks = format!("asks        `{url}`, for r.test, with ca-file={} token-url={url}\n", ca.display());
    assert_eq!(
        node.run(&["explain", "r.test/a"], ""),
        Run::new(
            0,
            &format!(
                "image       r.test/a\ncredential  r.test, by issuer `oauth2`\nanswer      not known before a pull asks\n{asks}\
                 cached      nothing\nconsidered  yes r.test: most specific\n"
            ),
            ""
        )
    );
    assert_eq!(fake.count(), 0);
    node.ask("r.test/a").done();
    assert_eq!(fake.count(), 1);
    let shown: serde_json::Value =
        serde_json::from_str(&node.run(&["explain", "r.test/a", "--output", "json"], "").done()).unwrap();
    assert_eq!(shown["answer"]["auth"], json!({ "r.test": { "username": "id", "password": "***" } }));
    assert_eq!(shown["issuing"][0]["cached"]["username"], "id");
    let time = |name: &str| shown["issuing"][0]["cached"][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("expiresAt").as_second() - time("mintedAt").as_second(), 3600);
    let text = node.run(&["explain", "r.test/a"], "").done();
    assert!(text.contains(&asks) && text.contains("cached      for user `id`, from "), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(fake.count(), 1);
}
