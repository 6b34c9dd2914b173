//! The units of `install/systemd`, as systemd itself reads and rates them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{BINARY, Dir, Run, run};

const PROGRAM: &str = "/usr/bin/keyring-credential-provider";
const BROKER: &str = "keyring-credential-provider-broker.service";

/// Copies of all units, which start the program that was built.
fn units() -> (Dir, Vec<String>) {
    let (dir, mut paths) = (Dir::new(), Vec::new());
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("install/systemd")).unwrap() {
        let unit = entry.unwrap();
        let text = fs::read_to_string(unit.path()).unwrap();
        let is_service = unit.path().extension().is_some_and(|extension| extension == "service");
        assert_eq!(text.contains(&format!("\nExecStart={PROGRAM} ")), is_service, "{}", unit.path().display());
        let path = dir.path().join(unit.file_name());
        fs::write(&path, text.replace(PROGRAM, BINARY)).unwrap();
        paths.push(path.to_str().unwrap().to_owned());
    }
    (dir, paths)
}

fn analyze<'a>(verb: &[&'a str], paths: impl IntoIterator<Item = &'a String>) -> Run {
    run(Command::new("systemd-analyze").args(verb).args(paths).env("SYSTEMD_COLORS", "0"), "")
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    // All at once, since they name each other.
    let (dir, paths) = units();
    let verify = ["verify", "--man=no", "--recursive-errors=no"];
    assert_eq!(analyze(&verify, &paths), Run::new(0, "", ""));
    let broker = dir.path().join(BROKER);
    let broken = fs::read_to_string(&broker).unwrap().replace("NoNewPrivileges=yes", "NoNewPrivilege=yes");
    fs::write(broker, broken).unwrap();
    let run = analyze(&verify, &paths);
    assert!(run.stderr.contains("NoNewPrivilege"), "{run:?}");
}

#[test]
fn systemd_rates_the_broker_as_well_protected() {
    let (dir, _) = units();
    let path = dir.path().join(BROKER).to_str().unwrap().to_owned();
    // Exposure from 0 to 10, in tenths; 2.5 is "OK", an unprotected service has 9.6.
    let rated = analyze(&["security", "--offline=true", "--threshold=25"], [&path]);
    assert_eq!(rated.code, 0, "{}", rated.stdout);
}
