//! The units of the broker, as systemd itself reads and rates them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{BINARY, Dir, Run, run};

const UNITS: [&str; 2] = ["keyring-credential-provider-broker.service", "keyring-credential-provider-broker.socket"];

/// Copies of the units that start the program which was built.
fn units() -> Dir {
    let dir = Dir::new();
    for name in UNITS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/systemd").join(name);
        let text = fs::read_to_string(path).unwrap().replace("/usr/bin/keyring-credential-provider", BINARY);
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn analyze(arguments: &[&str]) -> Run {
    run(Command::new("systemd-analyze").args(arguments).env("SYSTEMD_COLORS", "0"), "")
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let dir = units();
    let paths = UNITS.map(|name| dir.path().join(name).display().to_string());
    // Only the name of this store's unit may be unknown on the machine of the tests: no package is installed here.
    assert_eq!(analyze(&["verify", "--man=no", "--recursive-errors=no", &paths[0], &paths[1]]), Run::new(0, "", ""));
    let broken = fs::read_to_string(&paths[0]).unwrap().replace("NoNewPrivileges=yes", "NoNewPrivilege=yes");
    fs::write(&paths[0], broken).unwrap();
    let run = analyze(&["verify", "--man=no", "--recursive-errors=no", &paths[0]]);
    assert!(run.stderr.contains("NoNewPrivilege"), "{run:?}");
}

#[test]
fn systemd_rates_the_broker_as_well_protected() {
    let dir = units();
    let path = dir.path().join(UNITS[0]).display().to_string();
    // Exposure from 0 to 10, in tenths; 2.5 is "OK", an unprotected service has 9.6.
    let rated = analyze(&["security", "--offline=true", "--threshold=25", &path]);
    assert_eq!(rated.code, 0, "{}", rated.stdout);
}
