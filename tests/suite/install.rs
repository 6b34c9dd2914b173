//! `install/linux/install.sh`, run with the built program, and what else `install/` holds for a node.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{BINARY, Dir, Run, run};

const NAME: &str = "keyring-credential-provider";

/// A directory as the tarball unpacks it: the script, the program, its sum.
struct Unpacked {
    dir: Dir,
}

impl Unpacked {
    fn new() -> Self {
        let unpacked = Self::with(&fs::read(BINARY).unwrap());
        unpacked.list(&format!("{}  install.sh\n{}  {NAME}\n", "0".repeat(64), sum(&unpacked.binary())));
        unpacked
    }

    /// With these bytes in place of the program, and no list.
    fn with(program: &[u8]) -> Self {
        let unpacked = Self { dir: Dir::new() };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/linux/install.sh");
        fs::copy(script, unpacked.path("install.sh")).unwrap();
        fs::write(unpacked.binary(), program).unwrap();
        unpacked
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn binary(&self) -> PathBuf {
        self.path(NAME)
    }

    fn list(&self, text: &str) {
        fs::write(self.path("SHA256SUMS"), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.arg(self.path("install.sh")).args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
        command.env("TMPDIR", self.dir.path()).env("KEYRING_CREDENTIAL_PROVIDER_STORE", self.path("store"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        run(&mut self.command(arguments), "")
    }

    /// What is in the directory, so that nothing more can be left.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn sum(path: &Path) -> String {
    run(Command::new("sha256sum").arg("-b").arg(path), "").done()[..64].to_owned()
}

fn failed(code: i32, message: &str, hint: &str) -> Run {
    Run::new(code, "", &format!("error: {message}\nhint: {hint}\n"))
}

#[test]
fn a_wrong_sum_stops_before_anything_runs() {
    let unpacked = Unpacked::new();
    let found = sum(&unpacked.binary());
    let wrong = "ab".repeat(32);
    let binary = unpacked.binary();
    let message = format!("the SHA-256 of `{}` is {found}, and must be {wrong}", binary.display());
    let expected = failed(1, &message, "fetch the file again; do not run it");
    assert_eq!(unpacked.run(&["--sha256", &wrong.to_uppercase()]), expected);
    unpacked.list(&format!("{wrong} *{NAME}\n{found}  other-{NAME}\n{found}  {NAME}.old\n"));
    assert_eq!(unpacked.run(&["--yes"]), expected);
    assert_eq!(unpacked.names(), ["SHA256SUMS", "install.sh", NAME], "nothing is left, and no store is made");
}

#[test]
fn what_is_missing_is_named() {
    let unpacked = Unpacked::with(&fs::read(BINARY).unwrap());
    let binary = unpacked.binary();
    let message = format!("no sum to check `{}` against", binary.display());
    let hint = "give `--sha256 HEX`, or put `SHA256SUMS` beside it";
    assert_eq!(unpacked.run(&[]), failed(1, &message, hint));

    unpacked.list(&format!("{}  another\n", sum(&binary)));
    let message = format!("`{}` has no line for `{NAME}`", unpacked.path("SHA256SUMS").display());
    assert_eq!(unpacked.run(&[]), failed(1, &message, "give `--sha256 HEX`"));

    let message = "no file at `/nowhere/program`";
    assert_eq!(unpacked.run(&["--binary", "/nowhere/program"]), failed(1, message, "give `--binary FILE`"));

    let hint = format!("see the head of {}", unpacked.path("install.sh").display());
    assert_eq!(unpacked.run(&["--yes", "--sha256"]), failed(2, "`--sha256` needs a value", &hint));
}

#[test]
fn only_root_installs() {
    let unpacked = Unpacked::new();
    fs::set_permissions(unpacked.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh"]).arg(unpacked.path("install.sh"));
    assert_eq!(run(&mut command, ""), failed(9, "needs root", "run it with `sudo`"));
}

#[test]
fn a_program_for_another_machine_is_not_run() {
    let mut program = fs::read(BINARY).unwrap();
    let (here, other, machine) = match std::env::consts::ARCH {
        "x86_64" => ("x86_64", "aarch64", 0xb7),
        _ => ("aarch64", "x86_64", 0x3e),
    };
    program[18] = machine;
    for (program, message) in [
        (&program[..], format!("is for {other}, and this node is {here}")),
        (b"MZ\x90\0 a program for Windows", "is no program for 64-bit Linux".to_owned()),
        (b"#!/bin/sh\necho owned\n", "is no program for 64-bit Linux".to_owned()),
        (b"", "is no program for 64-bit Linux".to_owned()),
    ] {
        let unpacked = Unpacked::with(program);
        let binary = unpacked.binary();
        let expected = Run::new(1, "", &format!("error: `{}` {message}\n", binary.display()));
        assert_eq!(unpacked.run(&["--sha256", &sum(&binary)]), expected);
    }
}

#[test]
fn help_is_the_head_of_the_script() {
    let unpacked = Unpacked::new();
    let run = unpacked.run(&["--help"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(run.stdout.contains("\nUsage: install.sh [--binary FILE]"), "{}", run.stdout);
    assert!(run.stdout.ends_with("root, 10 a dry run found changes.\n"), "{}", run.stdout);
}

/// A kubeadm node's files.
fn kubeadm() -> Dir {
    let root = Dir::new();
    let drop_in = root.path().join("usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf");
    fs::create_dir_all(drop_in.parent().unwrap()).unwrap();
    fs::write(drop_in, "[Service]\nEnvironmentFile=-/etc/default/kubelet\n").unwrap();
    root
}

#[test]
fn the_program_does_the_rest() {
    let unpacked = Unpacked::new();
    let root = kubeadm();
    let installed = root.path().join("usr/libexec/keyring-credential-provider/bin").join(NAME);
    let place = ["--root", root.path().to_str().unwrap(), "--kubelet-version", "1.33", "--match-image", "docker.io"];
    let run = |more: &[&str]| unpacked.run(&[&place[..], more].concat());
    let before = unpacked.names();

    let dry = run(&["--dry-run"]);
    assert_eq!((dry.code, dry.stderr.as_str()), (10, ""), "{dry:#?}");
    assert!(!installed.exists());

    let done = run(&["--yes"]);
    assert_eq!((done.code, &done.stdout), (0, &dry.stdout), "{done:#?}");
    assert_eq!(fs::read(&installed).unwrap(), fs::read(unpacked.binary()).unwrap());
    assert_eq!(installed.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    let again = run(&["--yes"]);
    assert_eq!((again.code, again.stdout.as_str(), again.stderr.as_str()), (0, "", "nothing to change\n"));
    assert_eq!(unpacked.names(), before, "no store is made for another root, and no copy is left");
}

#[test]
fn the_store_is_made_once_and_the_programs_refusal_is_the_scripts() {
    let unpacked = Unpacked::new();
    // Refused on any machine before anything is written, so the machine that runs this stays as it is.
    let run = || unpacked.run(&["--key-source", "host-key", "--flavour", "talos", "--yes"]);
    let (first, second) = (run(), run());
    let store = unpacked.path("store");
    let made = format!("made a store at `{}`, its key in `host-key`\n", store.display());
    let kept = format!("the store at `{}` stays as it is\n", store.display());
    let refusal = first.stderr.strip_prefix(&made).unwrap_or_else(|| panic!("{first:#?}"));
    assert!(refusal.starts_with("error: Talos has no shell"), "{refusal}");
    assert_eq!((first.code, first.stdout.as_str()), (6, ""));
    assert_eq!(second, Run::new(6, "", &(kept + refusal)));

    let other = Unpacked::new();
    assert_eq!(other.run(&["--no-store", "--flavour", "talos", "--yes"]), Run::new(6, "", refusal));
    assert!(!other.path("store").exists());
}

#[test]
fn the_packages_program_stays_until_the_package_goes() {
    let root = kubeadm();
    let place = ["--root", root.path().to_str().unwrap(), "--kubelet-version", "1.33"];
    let program = root.path().join("usr/libexec/keyring-credential-provider/bin").join(NAME);
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::copy(BINARY, &program).unwrap();
    let list = root.path().join("var/lib/dpkg/info/keyring-credential-provider.list");
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    fs::write(&list, "").unwrap();
    let node = |words: &[&str]| run(Command::new(BINARY).arg("node").args(words).args(place).env_clear(), "").done();
    for is_packaged in [true, false] {
        node(&["apply", "--match-image", "docker.io", "--yes"]);
        if !is_packaged {
            fs::remove_file(&list).unwrap();
        }
        node(&["uninstall", "--yes"]);
        assert_eq!(program.exists(), is_packaged);
    }
}
