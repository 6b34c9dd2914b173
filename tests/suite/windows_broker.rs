//! The broker of the Windows program on its named pipe, by hand and as a service, under Wine.
//!
//! This simulates Windows and verifies nothing about it: Wine has one account, its services run as that; it knows no remote
//! clients of pipes, and lets two programs make the first instance of one.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Run, request};
use crate::windows::Machine;

/// A broker that was started by hand; dropping it kills it.
struct Broker {
    child: Child,
    log: PathBuf,
    endpoint: String,
}

impl Broker {
    #[track_caller]
    fn serve(machine: &Machine, name: &str) -> Self {
        let endpoint = format!("npipe:////./pipe/{name}-{}", std::process::id());
        let log = machine.on_disk("broker.log");
        let mut command = machine.command(&["broker", "serve", "--listen", &endpoint]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let broker = Self { child: command.spawn().unwrap(), log, endpoint };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !broker.log().contains("serving the store") {
            assert!(Instant::now() < deadline, "{}", broker.log());
            thread::sleep(Duration::from_millis(20));
        }
        broker
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn machine() -> Option<Machine> {
    let machine = Machine::new()?;
    machine.run(&["store", "init"], "").done();
    machine.run(&["login", "r.test", "-u", "u", "--password-stdin"], "pass-word").done();
    Some(machine)
}

#[test]
fn the_broker_answers_over_its_pipe() {
    let Some(machine) = machine() else { return };
    let broker = Broker::serve(&machine, "hand");
    let ask = || machine.run(&["get-credentials", "--broker", &broker.endpoint], request("r.test/app"));
    let direct = machine.run(&["get-credentials"], request("r.test/app"));
    assert_eq!((direct.code, ask()), (0, direct.clone()));
    let flag = format!("--broker={}", broker.endpoint);
    let login = machine.run(&["login", "r.test", "-u", "v", "--password-stdin", &flag], "other");
    assert_eq!(login, Run::new(0, "", "replaced the credential for `r.test`\n"));
    assert!(ask().stdout.contains(r#""username":"v","password":"other""#));
    assert_eq!(machine.run(&["list", &flag], ""), machine.run(&["list"], ""));
    let log = broker.log();
    assert!(log.contains(r#""caller":"S-1-5-"#) && !log.contains("pass-word") && !log.contains("other"), "{log}");

    let endpoint = broker.endpoint.clone();
    drop(broker);
    let down = machine.run(&["get-credentials", "--broker", &endpoint], request("r.test/app"));
    let expected = format!(
        "keyring-credential-provider: broker `{endpoint}` cannot be asked: it does not exist; start it, or add \
         `--broker-fallback`\n"
    );
    assert_eq!(down, Run::new(1, "", &expected));
    let fallback = ["get-credentials", "--broker-fallback", "--broker", &endpoint];
    assert!(machine.run(&fallback, request("r.test/app")).stdout.contains(r#""username":"v""#));
}

#[test]
fn a_pipe_of_another_machine_is_never_opened() {
    let Some(machine) = machine() else { return };
    for endpoint in ["npipe:////server/pipe/x", "npipe:////./pipe/", "npipe:////./pipe/a/b", "unix:///run/x.sock"] {
        let run = machine.run(&["get-credentials", "--broker", endpoint], request("r.test/app"));
        let expected = "keyring-credential-provider: wrong arguments: `--broker` takes `npipe:////./pipe/NAME`\n";
        assert_eq!(run, Run::new(1, "", expected), "{endpoint}");
    }
    let run = machine.run(&["broker", "serve", "--group", "Users"], "");
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("a pipe is for Administrators, not for a group"), "{run:?}");
}

#[test]
fn the_service_is_installed_used_and_removed() {
    let Some(machine) = machine() else { return };
    let _alone = machine.alone();
    let service = |verb: &str| machine.run(&["broker", verb], "");
    assert_eq!(service("uninstall"), Run::new(0, "", "there is no service `keyring-credential-provider`\n"));
    assert_eq!(
        service("install"),
        Run::new(0, "", "installed and started the service `keyring-credential-provider`\n")
    );
    let status = machine.json(&["broker", "status"]);
    assert_eq!((&status["credentials"], &status["store"]), (&1.into(), &machine.path("store").into()));
    let endpoint = "npipe:////./pipe/keyring-credential-provider";
    let ask = || machine.run(&["get-credentials", "--broker", endpoint], request("r.test/app"));
    assert!(ask().stdout.contains(r#""username":"u","password":"pass-word""#));
    machine.run(&["login", "r.test", "-u", "v", "--password-stdin", "--broker"], "other").done();
    assert!(ask().stdout.contains(r#""username":"v","password":"other""#));
    assert_eq!(service("install").code, 1, "it is there already");
    assert_eq!(service("uninstall"), Run::new(0, "", "removed the service `keyring-credential-provider`\n"));
    assert_eq!(ask().code, 1, "nobody serves the pipe");
}
