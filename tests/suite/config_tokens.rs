//! `config generate` for entries that want the pod's service-account token: what the kubelet is told, at every version.

use std::fs;

use keyring_credential_provider::kubelet::config::KubeletVersion;
use serde_json::{Value, json};

use crate::support::{Node, Run};

const GATE: &str = "KubeletServiceAccountTokenForCredentialProviders";
const GENERATE: [&str; 2] = ["config", "generate"];

/// Logs in with settings and no secret.
#[track_caller]
fn login(node: &Node, scope: &str, issuer: &str, settings: &[&str]) {
    let mut arguments = vec!["login", scope, "--issuer", issuer];
    for setting in settings {
        match setting.strip_prefix("user=") {
            Some(user) => arguments.extend(["--username", user]),
            None => arguments.extend(["--set", setting]),
        }
    }
    assert_eq!(node.run(&arguments, ""), Run::new(0, "", &format!("stored the credential for `{scope}`\n")));
}

const QUAY: [&str; 2] = ["user=team+pull", "token-audience=https://quay.test"];

/// What is generated, without the store's directory, which is the same for all.
#[track_caller]
fn generated(node: &Node, arguments: &[&str]) -> String {
    let text = node.run(&[&GENERATE[..], arguments].concat(), "").done();
    text.replace(&node.store().display().to_string(), "STORE")
}

#[track_caller]
fn attributes(node: &Node) -> Value {
    let text = node.run(&[&GENERATE[..], &["--output", "json"]].concat(), "").done();
    let config: Value = serde_json::from_str(&text).unwrap();
    config["providers"][0]["tokenAttributes"].clone()
}

#[test]
fn the_kubelet_is_told_what_every_entry_wants() {
    let node = Node::new();
    login(&node, "quay.test/team", "quay-federation", &QUAY);
    let head = r#"apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: "keyring-credential-provider"
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages:
  - "quay.test"
  defaultCacheDuration: "0s"
  args:
  - "get-credentials"
  env:
  - name: KEYRING_CREDENTIAL_PROVIDER_STORE
    value: "STORE"
"#;
    let audience = "  tokenAttributes:\n    serviceAccountTokenAudience: \"https://quay.test\"\n";
    let newer = format!("{head}{audience}    cacheType: ServiceAccount\n    requireServiceAccount: true\n");
    for version in ["1.34", "1.35", "1.36"] {
        assert_eq!(generated(&node, &["--kubelet-version", version]), newer, "{version}");
    }
    // That version does not know `cacheType`, and has the gate off.
    let older = ["--kubelet-version", "1.33", "--feature-gates", &format!("{GATE}=true")];
    assert_eq!(generated(&node, &older), format!("{head}{audience}    requireServiceAccount: true\n"));

    // A pod without a service account still gets what is stored for it.
    node.login("quay.test", "u", "p");
    let both = newer.replace("requireServiceAccount: true", "requireServiceAccount: false");
    assert_eq!(generated(&node, &[]), both);
    let expected = json!({ "serviceAccountTokenAudience": "https://quay.test", "cacheType": "ServiceAccount",
        "requireServiceAccount": false });
    assert_eq!(attributes(&node), expected);
}

#[test]
fn an_old_kubelet_is_not_told_what_it_cannot_do() {
    let node = Node::with(&["r.test"]);
    login(&node, "quay.test", "quay-federation", &QUAY);
    login(&node, "s.test/team", "quay-federation", &["token-audience=https://quay.test", "user=a+b"]);
    for version in KubeletVersion::all().filter(|version| *version < "1.34".parse().unwrap()) {
        let gate = if version == "1.33".parse().unwrap() {
            format!(" without the feature gate `{GATE}`")
        } else {
            String::new()
        };
        let error = format!(
            "error: `quay.test`, `s.test/team`: for pods with a service account, whose token kubelet {version} does not hand \
             over{gate}\nhint: a kubelet from 1.34 on does, and 1.33 with its feature gate; keep such credentials out of the \
             store of an older one\n"
        );
        let run = node.run(&[&GENERATE[..], &["--kubelet-version", &version.to_string()]].concat(), "");
        assert_eq!(run, Run::new(6, "", &error));
    }
    let off = node.run(&[&GENERATE[..], &["--feature-gates", &format!("Other=true,{GATE}=false")]].concat(), "");
    assert_eq!((off.code, off.stderr.contains("kubelet 1.36 does not hand over without the feature gate")), (6, true));
}

#[test]
fn what_is_generated_with_tokens_passes_validate() {
    let node = Node::with(&["r.test"]);
    login(&node, "quay.test", "quay-federation", &QUAY);
    login(
        &node,
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "aws-ecr",
        &["source=web-identity", "token-audience=https://quay.test"],
    );
    let file = node.dir().join("c.yaml");
    for version in ["1.33", "1.34", "1.35", "1.36"] {
        let gate = format!("{GATE}=true");
        let target = ["--kubelet-version", version, "--feature-gates", &gate];
        for form in ["text", "json"] {
            fs::write(&file, generated(&node, &[&["--output", form], &target[..]].concat())).unwrap();
            let run = node.run(&[&["config", "validate", file.to_str().unwrap()], &target[..]].concat(), "");
            assert_eq!(run, Run::new(0, &format!("kubelet {version} takes it\n"), ""), "{version} {form}");
        }
    }
}

/// Each cloud expects an audience of its own, and its annotations are handed over only where the entry leaves them open.
#[test]
fn each_issuer_says_what_it_wants() {
    const PROVIDER: &str =
        "audience=//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c";
    let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let role = "role-arn=arn:aws:iam::123456789012:role/pull";
    let vault =
        ["address=https://v.test", "auth=kubernetes", "role=r", "path=kv/a", "kv-version=1", "token-audience=vault"];
    let exchange = ["token-url=https://sts.test", "username=u", "token-audience=sts"];
    let azure = ["kubernetes.azure.com/acr-client-id", "azure.workload.identity/client-id"];
    let tenant = ["azure.workload.identity/tenant-id", "kubernetes.azure.com/acr-tenant-id"];
    let mut four = [azure, tenant].concat();
    four.sort_unstable();
    /// Scope, issuer, settings; audience, annotations.
    type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a str, &'a [&'a str]);
    let cases: [Case<'_>; 11] = [
        (ecr, "aws-ecr", &["source=web-identity"], "sts.amazonaws.com", &["eks.amazonaws.com/ecr-role-arn"]),
        (ecr, "aws-ecr", &["source=web-identity", role], "sts.amazonaws.com", &[]),
        (ecr, "aws-ecr", &["source=web-identity", role, "token-audience=own"], "own", &[]),
        ("a.azurecr.io", "azure-acr", &["source=workload-identity"], "api://AzureADTokenExchange", &four),
        ("a.azurecr.io", "azure-acr", &["source=workload-identity", "user=id"], "api://AzureADTokenExchange", &tenant),
        (
            "a.azurecr.io",
            "azure-acr",
            &["source=workload-identity", "user=id", "tenant=t"],
            "api://AzureADTokenExchange",
            &[],
        ),
        (
            "a.pkg.dev",
            "google-ar",
            &["source=workload-identity", PROVIDER],
            "https://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c",
            &[],
        ),
        ("v.test", "vault", &vault, "vault", &[]),
        ("e.test", "token-exchange", &exchange, "sts", &[]),
        (
            "c.test",
            "exchange",
            &["recipe=cloudsmith", "organization=o", "service=s", "token-audience=cloud"],
            "cloud",
            &[],
        ),
        ("h.test", "helper", &["program=/bin/docker-credential-x", "allow=a/b", "token-audience=any"], "any", &[]),
    ];
    for (scope, issuer, settings, audience, annotations) in cases {
        let node = Node::new();
        login(&node, scope, issuer, settings);
        let mut expected = json!({ "serviceAccountTokenAudience": audience, "cacheType": "ServiceAccount",
            "requireServiceAccount": true });
        if !annotations.is_empty() {
            expected["optionalServiceAccountAnnotationKeys"] = json!(annotations);
        }
        assert_eq!(attributes(&node), expected, "{issuer} {settings:?}");
    }
    // What makes no use of the token is not told of it.
    for settings in [&["source=imds"][..], &["source=imds", role]] {
        let node = Node::new();
        login(&node, ecr, "aws-ecr", settings);
        assert_eq!(attributes(&node), Value::Null);
    }
    let node = Node::new();
    let stored = [
        "login",
        "e.test",
        "--issuer",
        "token-exchange",
        "--password-stdin",
        "--set",
        "token-url=https://sts.test",
        "--set",
        "username=u",
    ];
    node.run(&stored, "token").done();
    assert_eq!(attributes(&node), Value::Null);
}

#[test]
fn the_annotations_are_written_out() {
    let node = Node::new();
    login(&node, "a.azurecr.io", "azure-acr", &["source=workload-identity", "user=id", "token-cache=token"]);
    let expected = r#"  tokenAttributes:
    serviceAccountTokenAudience: "api://AzureADTokenExchange"
    cacheType: Token
    requireServiceAccount: true
    optionalServiceAccountAnnotationKeys:
    - "azure.workload.identity/tenant-id"
    - "kubernetes.azure.com/acr-tenant-id"
"#;
    let text = generated(&node, &[]);
    assert_eq!(text.split_once("STORE\"\n").unwrap().1, expected);
}

/// An answer that is good for one token must not be kept for another, whatever else is stored.
#[test]
fn one_entry_of_one_token_decides_for_all() {
    let node = Node::new();
    login(&node, "quay.test", "quay-federation", &QUAY);
    login(&node, "s.test", "quay-federation", &[&QUAY[..], &["token-cache=token"]].concat());
    assert_eq!(attributes(&node)["cacheType"], "Token");
    login_again(&node, "s.test", &[&QUAY[..], &["token-cache=service-account"]].concat());
    assert_eq!(attributes(&node)["cacheType"], "ServiceAccount");
}

#[track_caller]
fn login_again(node: &Node, scope: &str, settings: &[&str]) {
    node.run(&["logout", scope], "").done();
    login(node, scope, "quay-federation", settings);
}

#[test]
fn audiences_that_contradict_each_other_are_named() {
    let node = Node::new();
    login(&node, "quay.test", "quay-federation", &QUAY);
    login(&node, "s.test/a", "quay-federation", &QUAY);
    login(&node, "t.test", "quay-federation", &["user=a+b", "token-audience=t"]);
    // Whom nobody shows a token takes any audience.
    node.run(&["login", "u.test", "-u", "u", "--password-stdin", "--set", "allow=a/*"], "p").done();
    let error = "error: the kubelet asks for one audience a provider, and the entries want several: `https://quay.test` for \
                 `quay.test`, `s.test/a`; `t` for `t.test`\n\
                 hint: give them one audience with `--set token-audience=AUDIENCE`, or keep them in a store for each audience, \
                 with a provider of its own: `--store DIR config generate --name NAME`, and a link NAME to this program\n";
    assert_eq!(node.run(&GENERATE, ""), Run::new(6, "", error));
    login_again(&node, "t.test", &QUAY);
    assert_eq!(attributes(&node)["serviceAccountTokenAudience"], "https://quay.test");
}

/// Two stores, each with a provider of its own name: the way out that the error names.
#[test]
fn two_audiences_are_two_stores_and_two_names() {
    let nodes = [Node::new(), Node::new()];
    login(&nodes[0], "quay.test", "quay-federation", &QUAY);
    login(&nodes[1], "t.test", "quay-federation", &["user=a+b", "token-audience=t"]);
    let dir = nodes[0].dir().join("conf.d");
    fs::create_dir(&dir).unwrap();
    for (node, name) in nodes.iter().zip(["keyring-credential-provider", "keyring-credential-provider-t"]) {
        let text = node.run(&[&GENERATE[..], &["--name", name]].concat(), "").done();
        fs::write(dir.join(format!("{name}.yaml")), text).unwrap();
    }
    let run = nodes[0].run(&["config", "validate", dir.to_str().unwrap()], "");
    assert_eq!(run, Run::new(0, "kubelet 1.36 takes it\n", ""));
}

#[test]
fn somebody_has_to_say_which_audience() {
    let node = Node::new();
    let settings = ["--set", "require-service-account=true"];
    node.run(&[&["login", "r.test", "-u", "u", "--password-stdin"], &settings[..]].concat(), "p").done();
    let error = "error: `r.test`: for pods with a service account, and no setting says which audience their token is for\n\
                 hint: store it again with `--set token-audience=AUDIENCE`; where the token is shown to nobody, any will do\n";
    assert_eq!(node.run(&GENERATE, ""), Run::new(6, "", error));
    login(&node, "quay.test", "quay-federation", &QUAY);
    let expected = json!({ "serviceAccountTokenAudience": "https://quay.test", "cacheType": "ServiceAccount",
        "requireServiceAccount": true });
    assert_eq!(attributes(&node), expected);
}

#[test]
fn login_wants_the_audience_where_the_token_is_shown() {
    let needs = |issuer: &str| format!("issuer `{issuer}` needs `token-audience`; give them as settings");
    let takes_no = "issuer `static` takes no `token-audience` and `token-cache` with these settings".to_owned();
    let bad = "setting `token-audience` is no audience such as `https://registry.example.com`".to_owned();
    let cases: [(&[&str], &str, String); 7] = [
        (&["--issuer", "quay-federation", "-u", "a+b"], "", needs("quay-federation")),
        (
            &["--issuer", "token-exchange", "--set", "token-url=https://a.test", "--set", "username=u"],
            "",
            needs("token-exchange"),
        ),
        (&["-u", "u", "--password-stdin", "--set", "token-audience=x"], "p", takes_no.clone()),
        (&["-u", "u", "--password-stdin", "--set", "token-cache=token"], "p", takes_no),
        (&["-u", "u", "--password-stdin", "--set", "allow=a/b", "--set", "token-audience="], "p", bad.clone()),
        (&["-u", "u", "--password-stdin", "--set", "allow=a/b", "--set", "token-audience=a b"], "p", bad),
        (
            &["-u", "u", "--password-stdin", "--set", "allow=a/b", "--set", "token-cache=pod"],
            "p",
            "setting `token-cache` is none of `service-account`, `token`".to_owned(),
        ),
    ];
    for (arguments, secret, error) in cases {
        let node = Node::new();
        let run = node.run(&[&["login", "r.test"], arguments].concat(), secret);
        assert_eq!(run, Run::new(2, "", &format!("error: {error}\n")));
    }
}

/// By `apply`, as by `login`.
#[test]
fn a_declaration_says_the_audience() {
    let node = Node::new();
    let file = node.dir().join("credentials.yaml");
    let declare = |settings: &str| {
        let text = format!(
            "apiVersion: keyring-credential-provider/v1\nkind: Credentials\ncredentials:\n- scope: quay.test\n  issuer: quay-federation\n  username: team+pull\n{settings}"
        );
        fs::write(&file, text).unwrap();
        node.run(&["apply", "-f", file.to_str().unwrap()], "")
    };
    let error = "error: cannot use the credential for `quay.test`\n  caused by: issuer `quay-federation` needs `token-audience`; give them as settings\n";
    assert_eq!(declare(""), Run::new(2, "", error));
    declare("  settings:\n    token-audience: https://quay.test\n").done();
    assert_eq!(attributes(&node)["serviceAccountTokenAudience"], "https://quay.test");
}

/// `node` writes the same, shows it, and refuses what the node's kubelet cannot do.
#[cfg(target_os = "linux")]
#[test]
fn a_node_gets_what_its_store_wants() {
    use crate::node::{Tree, k3s};

    let tree = k3s();
    let config = "/var/lib/rancher/credentialprovider/config.yaml";
    let store = tree.path("/var/lib/keyring-credential-provider");
    let operate = |arguments: &[&str]| {
        let mut command = std::process::Command::new(crate::support::BINARY);
        let run =
            crate::support::run(command.args(["--store", store.to_str().unwrap()]).args(arguments).env_clear(), "");
        assert_eq!(run.code, 0, "{run:?}");
    };
    fs::create_dir_all(store.parent().unwrap()).unwrap();
    operate(&["store", "init", "--key-source", "host-key"]);
    let login = ["login", "a.azurecr.io", "--issuer", "azure-acr", "--set", "source=workload-identity", "-u", "id"];
    operate(&login);
    let old = Tree::new(&[("/etc/rancher/k3s/config.yaml", "")], &["--kubelet-version", "1.32"]);
    let refused = old.wish("apply", &["--yes", "--store", store.to_str().unwrap()]);
    let error = "error: `a.azurecr.io`: for pods with a service account, whose token kubelet 1.32 does not hand over\n";
    assert!(refused.code == 6 && refused.stderr.starts_with(error), "{refused:?}");
    assert!(!old.path(config).exists());

    // For patterns of the command line too.
    tree.wish("apply", &["--yes"]).done();
    tree.judge();
    let expected = r#"  tokenAttributes:
    serviceAccountTokenAudience: "api://AzureADTokenExchange"
    cacheType: ServiceAccount
    requireServiceAccount: true
    optionalServiceAccountAnnotationKeys:
    - "azure.workload.identity/tenant-id"
    - "kubernetes.azure.com/acr-tenant-id"
"#;
    let text = tree.text(config);
    assert_eq!(text.find("  tokenAttributes:").map(|at| &text[at..]), Some(expected));

    operate(
        &[&login[..], &["--set", "tenant=t", "--set", "token-audience=own", "--set", "token-cache=token"]].concat(),
    );
    let plan = tree.wish("plan", &[]);
    assert_eq!(plan.code, 10);
    let changed: Vec<&str> =
        plan.stdout.lines().filter(|line| line.contains("tokenAttributes")).map(str::trim).collect();
    assert_eq!(
        changed,
        [
            "- tokenAttributes.cacheType: \"ServiceAccount\"",
            "- tokenAttributes.optionalServiceAccountAnnotationKeys: \"azure.workload.identity/tenant-id\"",
            "- tokenAttributes.optionalServiceAccountAnnotationKeys: \"kubernetes.azure.com/acr-tenant-id\"",
            "- tokenAttributes.serviceAccountTokenAudience: \"api://AzureADTokenExchange\"",
            "+ tokenAttributes.cacheType: \"Token\"",
            "+ tokenAttributes.serviceAccountTokenAudience: \"own\"",
        ]
    );
    tree.wish("apply", &["--yes"]).done();
    assert!(tree.text(config).ends_with("    requireServiceAccount: true\n"));
    assert_eq!(tree.wish("plan", &[]).code, 0);
}
