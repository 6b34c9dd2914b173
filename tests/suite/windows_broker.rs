//! The broker of the Windows program on its named pipe, by hand and as a service, under Wine.
//!
//! This simulates Windows and verifies nothing about it: Wine has one account, its services run as that; it knows no remote
//! clients of pipes, and lets two programs make the first instance of one.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{self, Run, request};
use crate::windows::{Machine, without_last_words};

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
    let program = Program::new(&machine);
    let service = |verb: &str| program.run(&["broker", verb], "");
    assert_eq!(service("uninstall"), Run::new(0, "", "there is no service `keyring-credential-provider`\n"));
    assert_eq!(
        service("install"),
        Run::new(
            0,
            "",
            &format!(
                "installed and started the service `keyring-credential-provider`; its log is `{}`\n",
                machine.path(r"store\broker.log")
            )
        )
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
    // What the service was asked, and what it said.
    let lines = log_of(&machine);
    assert!(lines[0]["message"].as_str().unwrap().starts_with("serving the store at "), "{lines:?}");
    assert_eq!(lines.last().unwrap()["message"], "stopped");
    let answer = lines.iter().find(|line| line["operation"] == "get-credentials").unwrap();
    let text = |name: &str| answer[name].as_str().unwrap();
    assert_eq!((text("image"), text("outcome")), ("r.test/app", "done"));
    assert_eq!((&answer["scopes"], &answer["issuers"]), (&json!(["r.test"]), &json!(["static"])));
    assert!(text("caller").starts_with("S-1-5-") && answer["time"].is_i64() && answer["micros"].is_u64(), "{answer}");
}

/// What the services of a machine wrote, in which there is never a secret.
#[track_caller]
fn log_of(machine: &Machine) -> Vec<Value> {
    let log = fs::read_to_string(machine.on_disk("store/broker.log")).unwrap();
    assert!(
        !["pass-word", "other", "top-secret", "more"].iter().any(|secret| log.contains(&format!("{secret}\""))),
        "{log}"
    );
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The program on drive C, where nobody but Administrators may write; elsewhere it does not become a service.
struct Program<'a> {
    machine: &'a Machine,
    path: String,
}

impl<'a> Program<'a> {
    fn new(machine: &'a Machine) -> Self {
        fs::create_dir(machine.on_disk("bin")).unwrap();
        fs::hard_link(&machine.binary, machine.on_disk(r"bin/program.exe")).unwrap();
        Self { machine, path: machine.path(r"bin\program.exe") }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.wine("wine");
        command.arg(&self.path).args(arguments).env("KEYRING_CREDENTIAL_PROVIDER_STORE", self.machine.path("store"));
        command
    }

    fn run(&self, arguments: &[&str], stdin: &str) -> Run {
        without_last_words(support::run(&mut self.command(arguments), stdin))
    }

    /// Whether the service for one command is registered.
    fn is_registered(&self) -> bool {
        let key = format!(r"HKLM\SYSTEM\CurrentControlSet\Services\{ONCE}");
        self.machine.tool("reg", &["query", &key]).code == 0
    }
}

const ONCE: &str = "keyring-credential-provider-once";

#[test]
fn one_command_is_done_by_a_service_that_is_removed() {
    let Some(machine) = machine() else { return };
    let _alone = machine.alone();
    let program = Program::new(&machine);
    let login = |scope: &str, password: &str| {
        program.run(&["login", scope, "-u", "v", "--password-stdin", "--as-service"], password)
    };
    assert_eq!(login("other.test", "top-secret"), Run::new(0, "", "stored the credential for `other.test`\n"));
    assert!(!program.is_registered());
    let answer = machine.run(&["get-credentials"], request("other.test/app"));
    assert!(answer.stdout.contains(r#""username":"v","password":"top-secret""#), "{answer:?}");
    let listed = program.run(&["list", "--as-service"], "");
    assert_eq!(listed, machine.run(&["list"], ""));
    assert!(listed.stdout.contains("login through the broker by S-1-5-"), "{listed:?}");
    assert_eq!(login("r.test", "more").stderr, "replaced the credential for `r.test`\n");
    let logout = || program.run(&["logout", "other.test", "--as-service"], "");
    assert_eq!(logout(), Run::new(0, "", "removed the credential for `other.test`\n"));
    assert_eq!(logout().code, 3);
    assert!(!program.is_registered());

    let put = log_of(&machine).into_iter().find(|line| line["operation"] == "put").unwrap();
    assert_eq!((&put["scopes"], &put["outcome"]), (&json!(["other.test"]), &json!("done")));

    // What fails there is told here, and nothing stays.
    fs::remove_dir_all(machine.on_disk("store")).unwrap();
    let failed = login("r.test", "more");
    let reason =
        format!("error: no store at `{}`; run `keyring-credential-provider store init`\n", machine.path("store"));
    assert_eq!((failed, program.is_registered()), (Run::new(4, "", &reason), false));
}

#[test]
fn a_store_is_made_by_a_service_that_is_removed() {
    let Some(machine) = Machine::new() else { return };
    let _alone = machine.alone();
    let program = Program::new(&machine);
    let init = |more: &[&str]| program.run(&[&["store", "init", "--as-service"], more].concat(), "");
    let dir = machine.path("store");
    assert_eq!(init(&[]), Run::new(0, "", &format!("made a store at `{dir}`, its key in `keyring`\n")));
    assert!(!program.is_registered());
    machine.run(&["login", "r.test", "-u", "u", "--password-stdin"], "pass-word").done();
    assert_eq!(init(&["--if-missing"]), Run::new(0, "", &format!("the store at `{dir}` stays as it is\n")));
    let again = init(&[]);
    assert_eq!((again.code, program.run(&["list", "--as-service"], "").code), (6, 0), "{again:?}");
    // What goes wrong there is in the log.
    fs::remove_file(machine.on_disk("store/credentials.sealed")).unwrap();
    fs::remove_file(machine.on_disk("store/credentials.lock")).unwrap();
    fs::create_dir(machine.on_disk("store/credentials.lock")).unwrap();
    let expected = format!(
        "error: cannot start the service `{ONCE}`\n  caused by: the service ended at once\nhint: what the service says is in \
         `{dir}\\broker.log`\n"
    );
    assert_eq!(init(&[]), Run::new(1, "", &expected));
    let last = log_of(&machine).pop().unwrap();
    assert!(last["message"].as_str().unwrap().starts_with("error: "), "{last}");
    assert!(!program.is_registered());
}

#[test]
fn a_service_that_a_killed_command_left_is_no_hindrance() {
    let Some(machine) = machine() else { return };
    let _alone = machine.alone();
    let program = Program::new(&machine);
    let list = || program.run(&["list", "--as-service"], "");
    let expected = machine.run(&["list"], "");
    // Killed before the service was started.
    let made = machine.tool("sc", &["create", ONCE, "binPath=", r"C:\windows\none.exe"]);
    assert_eq!((made.code, program.is_registered()), (0, true));
    assert_eq!((list(), program.is_registered()), (expected.clone(), false));
    // Two at a time: one waits for the other.
    thread::scope(|scope| {
        let other = scope.spawn(list);
        assert_eq!((list(), other.join().unwrap()), (expected.clone(), expected.clone()));
    });
    assert!(!program.is_registered());
    // The service itself ends when nobody comes.
    let pipe = format!("npipe:////./pipe/idle-{}", std::process::id());
    let idle = program.run(&["broker", "serve", "--idle", "1s", "--listen", &pipe], "");
    assert!(idle.code == 0 && idle.stderr.ends_with("stopped\n"), "{idle:?}");
}

#[test]
fn a_program_that_others_could_replace_becomes_no_service() {
    let Some(machine) = machine() else { return };
    let _alone = machine.alone();
    let program = Program::new(&machine);
    let dir = machine.on_disk("bin");
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    for (command, verb, name) in
        [(&["list", "--as-service"], "start", ONCE), (&["broker", "install"], "install", "keyring-credential-provider")]
    {
        let expected = format!(
            "error: cannot {verb} the service `{name}`\n  caused by: `{}` may be changed by Everyone (`S-1-1-0`), and SYSTEM \
             would run what they put there; copy the program below `C:\\Program Files`\n",
            machine.path("bin")
        );
        assert_eq!(program.run(command, ""), Run::new(1, "", &expected));
    }
    assert!(!program.is_registered());
}

#[test]
fn an_account_without_the_key_asks_as_local_system() {
    let Some(machine) = machine() else { return };
    let _alone = machine.alone();
    let program = Program::new(&machine);
    let status = machine.json(&["store", "status"]);
    // Wine has one account: the service finds the key no more than this one does, and says so.
    let vault = r"HKCU\Software\Wine\Credential Manager";
    let reg = |arguments: &[&str]| machine.tool("reg", arguments).done();
    let keys = reg(&["query", vault]);
    let key = keys.lines().find(|line| line.contains(status["keyId"].as_str().unwrap())).unwrap().trim();
    reg(&["delete", key, "/f"]);
    let run = program.run(&["login", "r.test", "-u", "v", "--password-stdin"], "pass");
    let told = "the store's key is not in the Credential Manager of this account: asking as LocalSystem\nerror: ";
    assert!(run.code == 4 && run.stderr.starts_with(told), "{run:?}");
    assert!(run.stderr.contains("each account has a Credential Manager of its own"), "{run:?}");
    assert!(!program.is_registered());
}
