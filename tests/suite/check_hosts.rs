//! `check` with hosts that the tests play: those that misbehave, and what only Docker Hub says.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::check::{check, outcomes, verdict, warnings};
use crate::containerd::Containerd;
use crate::registry::{PASSWORD, USER, hosts_toml};
use crate::support::{BINARY, Dir, Node, Run, run};

/// A host that gives the same answers to everybody, and notes what it was sent.
struct Fake {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// `answer` gets the request's head and returns status line, headers and body.
    fn start(answer: impl Fn(&str, u16) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = Vec::new();
                let mut chunk = [0; 4096];
                while let Ok(count) = stream.read(&mut chunk) {
                    request.extend_from_slice(&chunk[..count]);
                    let head = String::from_utf8_lossy(&request).into_owned();
                    let Some((head, body)) = head.split_once("\r\n\r\n") else { continue };
                    let length = head.to_ascii_lowercase();
                    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
                    if count == 0 || body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                        break;
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let answer = answer(&request, port);
                notes.lock().unwrap().push(request);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { port, seen }
    }

    /// Asks `check` with this host behind a registry.
    #[track_caller]
    fn check(&self, more: &[&str]) -> (i32, Value) {
        let (node, dir) = (Node::new(), Dir::new());
        node.login("docker.io", USER, PASSWORD);
        hosts_toml(dir.path(), "docker.io", &format!("server = \"http://127.0.0.1:{}\"\n[host]\n", self.port));
        let root = dir.path().display().to_string();
        check(&node, None, "acme/private:1", &[&["--hosts-dir", &root], more].concat())
    }

    fn got_credential(&self) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.iter().any(|request| request.contains(PASSWORD) || request.to_ascii_lowercase().contains("authorization:"))
    }
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn a_token_server_of_another_site_gets_nothing_unless_allowed() {
    for realm in ["https://auth.elsewhere.test/token", "http://auth.elsewhere.test/token"] {
        let fake = Fake::start(move |_, _| {
            reply("401 Unauthorized", &format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"x\"\r\n"), "")
        });
        let report = fake.check(&[]);
        assert_eq!(verdict(&report), (1, "failed"), "{report:#?}");
        assert_eq!(outcomes(&report.1).0, [["withheld"]]);
        let message = report.1["attempts"][0]["hosts"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with("`--allow-realm auth.elsewhere.test`"), "{message}");
        assert!(!fake.got_credential());
    }
}

#[test]
fn a_redirect_is_followed_without_the_login_only() {
    let target = Fake::start(|_, _| reply("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", ""));
    let port = target.port;
    let fake = Fake::start(move |request, _| {
        if request.starts_with("GET /v2/ ") {
            return reply("200 OK", "", "");
        }
        reply("307 Temporary Redirect", &format!("Location: http://127.0.0.1:{port}/elsewhere\r\n"), "")
    });
    let report = fake.check(&[]);
    assert_eq!(verdict(&report), (1, "failed"), "{report:#?}");
    assert!(!target.got_credential() && !fake.got_credential());
    assert_eq!(target.seen.lock().unwrap().len(), 1);

    // After the login, it is not followed at all.
    let fake = Fake::start(move |request, _| {
        if request.to_ascii_lowercase().contains("authorization:") {
            return reply("307 Temporary Redirect", &format!("Location: http://127.0.0.1:{port}/elsewhere\r\n"), "");
        }
        reply("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", "")
    });
    let report = fake.check(&[]);
    assert_eq!(outcomes(&report.1).0, [["withheld"]], "{report:#?}");
    assert!(!target.got_credential());
}

#[test]
fn docker_hub_says_for_whom_it_counted() {
    for (source, counted, warned) in
        [("203.0.113.7", "anonymous", true), ("6b5e1bb0-0000-4000-8000-000000000000", "authenticated", false)]
    {
        let fake = Fake::start(move |request, _| {
            if !request.to_ascii_lowercase().contains("authorization:") {
                return reply("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", "");
            }
            let headers = format!(
                "RateLimit-Limit: 200;w=21600\r\nRateLimit-Remaining: 187;w=21600\r\nDocker-RateLimit-Source: {source}\r\n"
            );
            reply("200 OK", &headers, "")
        });
        let report = fake.check(&[]);
        assert_eq!(verdict(&report), (0, "pulls"), "{report:#?}");
        let expected = serde_json::json!({"limit": 200, "remaining": 187, "window": 21600, "counted": counted});
        assert_eq!(report.1["attempts"][0]["hosts"][0]["rateLimit"], expected);
        let anonymous = "Docker Hub counts these pulls as anonymous, although a credential is stored";
        assert_eq!(warnings(&report.1).contains(&anonymous), warned);
    }
    let fake = Fake::start(|_, _| reply("429 Too Many Requests", "", ""));
    let report = fake.check(&[]);
    assert_eq!(verdict(&report), (5, "rate-limited"), "{report:#?}");
}

#[test]
fn what_a_host_says_is_shown_on_one_line_and_without_the_credential() {
    let body = format!("{{\"errors\":[{{\"message\":\"you said {PASSWORD}\\u001b[31m\\nand more\"}}]}}");
    let fake = Fake::start(move |_, port| {
        let headers = format!(
            "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\"\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
        );
        reply("401 Unauthorized", &headers, &body)
    });
    let report = fake.check(&[]);
    assert_eq!(verdict(&report), (5, "refused"), "{report:#?}");
    let message = report.1["attempts"][0]["hosts"][0]["message"].as_str().unwrap();
    assert!(message.contains("you said ***") && !message.contains(['\u{1b}', '\n']), "{message}");
    assert!(warnings(&report.1).iter().any(|warning| warning.contains("seconds behind this machine's")), "{report:#?}");
}

#[test]
fn a_host_without_end_is_cut_off() {
    let fake = Fake::start(|_, _| reply("200 OK", "", &"x".repeat(2 << 20)));
    assert_eq!(verdict(&fake.check(&[])), (1, "failed"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = Fake { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
    let report = silent.check(&["--timeout", "1s"]);
    assert_eq!(verdict(&report), (1, "unreachable"), "{report:#?}");
    assert_eq!(outcomes(&report.1).0, [["late"]]);
}

#[test]
fn a_token_server_that_takes_no_form_is_asked_with_a_query() {
    for status in ["400 Bad Request", "401 Unauthorized", "404 Not Found", "405 Method Not Allowed"] {
        let fake = Fake::start(move |request, port| {
            let has = |header: &str| request.to_ascii_lowercase().contains(header);
            if request.starts_with("POST /token") {
                reply(status, "", "")
            } else if request.starts_with("GET /token?service=x&scope=repository%3Aacme%2Fprivate%3Apull ") {
                let body = if has("authorization: basic ") { "{\"access_token\":\"t\"}" } else { "{}" };
                reply("200 OK", "", body)
            } else if has("authorization: bearer t\r\n") {
                reply("200 OK", "", "")
            } else {
                let realm = format!("Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"x\"");
                reply("401 Unauthorized", &format!("WWW-Authenticate: {realm}\r\n"), "")
            }
        });
        let report = fake.check(&[]);
        assert_eq!(verdict(&report), (0, "pulls"), "{report:#?}");
        let steps = report.1["attempts"][0]["hosts"][0]["login"].as_array().unwrap();
        let methods: Vec<_> = steps.iter().map(|step| step["method"].as_str().unwrap()).collect();
        assert_eq!(methods, ["POST", "GET"]);
        let sent = fake.seen.lock().unwrap().iter().find(|request| request.starts_with("POST")).unwrap().clone();
        let form = format!(
            "scope=repository%3Aacme%2Fprivate%3Apull&service=x&client_id=containerd-client&grant_type=password&username={USER}&password={PASSWORD}"
        );
        assert!(sent.ends_with(&form), "{sent}");
    }
}

#[test]
fn a_pull_that_takes_its_time_says_so() {
    let fake = Fake::start(|request, _| {
        if request.to_ascii_lowercase().contains("user-agent: containerd/") {
            std::thread::sleep(std::time::Duration::from_millis(2500));
        }
        reply("404 Not Found", "", "")
    });
    let containerd = Containerd::start("");
    hosts_toml(&containerd.certs(), "registry.test", &format!("server = \"http://127.0.0.1:{}\"\n[host]\n", fake.port));
    let (config, endpoint) = (containerd.config().display().to_string(), containerd.endpoint());
    let arguments = ["check", "registry.test/a", "--containerd-config", &config, "--cri", &endpoint];
    let run = Node::new().run(&arguments, "");
    assert_eq!((run.code, run.stderr.as_str()), (5, "still pulling after 2 seconds\n"), "{}", run.stdout);
    let run = Node::new().run(&[&arguments[..], &["--pull-timeout", "1s"]].concat(), "");
    assert!(run.code == 1 && run.stdout.contains("did not pull the image within 1 seconds"), "{run:#?}");
}

/// On a machine without a network, where no name resolves.
#[test]
fn a_name_that_does_not_resolve_is_told() {
    let node = Node::new();
    let mut command = std::process::Command::new("unshare");
    let certs = node.dir().join("certs.d");
    std::fs::create_dir(&certs).unwrap();
    command.args(["--net", BINARY, "check", "nowhere.test/a:1", "--hosts-dir"]).arg(certs);
    command.env_clear().env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    let expected = "image       nowhere.test/a:1\nanswer      none; the kubelet pulls without a credential\n\
                    host        https://nowhere.test/v2: its name does not resolve\n\
                    try         without a credential\n            nowhere.test: unreachable: its name does not resolve\n\
                    verdict     `nowhere.test` cannot be reached from this node; look at its address, the proxy and the firewall\n";
    assert_eq!(run(&mut command, ""), Run::new(1, expected, ""));
}
