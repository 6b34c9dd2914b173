//! `apply`: the store becomes what a file declares, and nothing else of it changes.

use std::fs;

use keyring_credential_provider::issuer::{Issuer, IssuerError};

use crate::support::{Node, Run};

const HEAD: &str = "apiVersion: keyring-credential-provider/v1\nkind: Credentials\n";

/// Writes the declaration and a password file beside it, and applies.
fn apply(node: &Node, declaration: &str, arguments: &[&str]) -> Run {
    let file = node.dir().join("declaration.yaml");
    fs::write(&file, declaration).unwrap();
    if !node.dir().join("password").exists() {
        fs::write(node.dir().join("password"), "first\n").unwrap();
    }
    node.run(&[&["apply", "-f", file.to_str().unwrap()], arguments].concat(), "")
}

fn two() -> String {
    format!(
        "{HEAD}credentials:\n\
         - scope: https://index.docker.io/v1/\n  username: alice\n  passwordFile: password\n\
         - scope: mirror.test:5000\n  username: bob\n  passwordFile: password\n  settings:\n    cache: 5m\n  expiresAt: 2100-01-01T00:00:00Z\n\
         mirrors:\n- source: docker.io\n  hosts: [mirror.test:5000]\n"
    )
}

#[test]
fn what_is_declared_is_stored_once() {
    let node = Node::new();
    let expected = "+ credential docker.io\n+ credential mirror.test:5000\n+ mirror docker.io\n";
    assert_eq!(apply(&node, &two(), &["--dry-run"]), Run::new(10, expected, ""));
    assert_eq!(node.run(&["list", "--output", "json"], "").done(), "[]\n", "a dry run changes nothing");
    assert_eq!(apply(&node, &two(), &[]), Run::new(0, expected, ""));
    let sealed = fs::read(node.sealed()).unwrap();
    assert_eq!(apply(&node, &two(), &[]), Run::new(0, "", "nothing to change\n"));
    assert_eq!(apply(&node, &two(), &["--dry-run"]), Run::new(0, "", "nothing to change\n"));
    assert_eq!(fs::read(node.sealed()).unwrap(), sealed, "a second run does not even write");
    assert_eq!(node.credential("nginx"), Some(("docker.io".to_owned(), "bob".to_owned())), "the mirror's login");
    assert_eq!(node.credential("mirror.test:5000/a"), Some(("mirror.test:5000".to_owned(), "bob".to_owned())));
}

#[test]
fn changes_are_shown_and_only_they_are_made() {
    let node = Node::with(&["kept.test"]);
    apply(&node, &two(), &[]).done();
    fs::write(node.dir().join("password"), "second").unwrap();
    assert_eq!(
        apply(&node, &two(), &["--output", "json", "--dry-run"]).stdout,
        "[\n  {\n    \"change\": \"replace\",\n    \"what\": \"credential\",\n    \"name\": \"docker.io\"\n  },\n  \
         {\n    \"change\": \"replace\",\n    \"what\": \"credential\",\n    \"name\": \"mirror.test:5000\"\n  }\n]\n"
    );
    let other_policy = two() + "  policy: upstream-only\n";
    let expected = "~ credential docker.io\n~ credential mirror.test:5000\n~ mirror docker.io\n";
    assert_eq!(apply(&node, &other_policy, &[]), Run::new(0, expected, ""));
    let answer = node.ask("nginx").done();
    assert!(answer.contains(r#""docker.io":{"username":"alice","password":"second"}"#), "{answer}");
}

#[test]
fn prune_removes_what_apply_stored_and_nothing_else() {
    let node = Node::with(&["kept.test"]);
    apply(&node, &two(), &[]).done();
    let one = format!("{HEAD}credentials:\n- scope: docker.io\n  username: alice\n  passwordFile: password\n");
    assert_eq!(apply(&node, &one, &[]), Run::new(0, "", "nothing to change\n"));
    assert_eq!(
        apply(&node, &one, &["--prune"]),
        Run::new(0, "- credential mirror.test:5000\n- mirror docker.io\n", "")
    );
    assert_eq!(node.credential("nginx"), Some(("docker.io".to_owned(), "alice".to_owned())));
    assert_eq!(node.credential("kept.test/a"), Some(("kept.test".to_owned(), "user-0".to_owned())));
}

#[test]
fn mistakes_are_named_and_change_nothing() {
    let node = Node::new();
    let entry = "credentials:\n- scope: r.test\n  username: u\n  passwordFile: password\n";
    let place = |line: usize, column: usize| {
        format!(
            "not understood at line {line} column {column}: no YAML, an unknown field, a missing one, or one of the wrong type"
        )
    };
    let table = [
        (format!("{HEAD}{entry}  password: hunter2\n"), place(7, 3)),
        (format!("{HEAD}credentials: hunter2\n"), place(3, 14)),
        (format!("{HEAD}{}", entry.replace("r.test", "r.test/*")), "credential 1: scope has a wildcard in its path; a path covers everything below it already, so leave out `/*`".to_owned()),
        (format!("{HEAD}{entry}  issuer: hunter2\n"), format!("credential 1: {}", IssuerError::Unknown)),
        (format!("{HEAD}{entry}{}", entry.replace("credentials:\n", "").replace("r.test", "R.Test")), "credential 2 is for the same as credential 1".to_owned()),
        (format!("{HEAD}mirrors:\n- source: docker.io/acme\n  hosts: []\n"), "mirror rule 1: a mirror rule is for a host, without a path".to_owned()),
        (format!("{HEAD}mirrors:\n- source: docker.io\n  hosts: [m.test]\n  policy: hunter2\n"), "mirror rule 1: policy is one of `mirror-only`, `mirror-then-upstream`, `upstream-then-mirror`, `upstream-only`".to_owned()),
        ("kind: Credentials\napiVersion: v1\n".to_owned(), "is no `Credentials` of `keyring-credential-provider/v1`; see docs/apply.schema.json".to_owned()),
    ];
    let file = node.dir().join("declaration.yaml");
    for (declaration, expected) in table {
        let run = apply(&node, &declaration, &[]);
        let stderr = format!("error: cannot use `{}`\n  caused by: {expected}\n", file.display());
        assert_eq!(run, Run::new(2, "", &stderr), "{declaration}");
    }
    let run = apply(&node, &format!("{HEAD}{}", entry.replace("password\n", "missing\n")), &[]);
    let missing = node.dir().join("missing");
    let expected =
        format!("error: cannot open `{}`\n  caused by: No such file or directory (os error 2)\n", missing.display());
    assert_eq!(run, Run::new(2, "", &expected));
    assert_eq!(node.run(&["list", "--output", "json"], "").done(), "[]\n");
}

#[test]
fn hostile_yaml_gets_one_line() {
    let node = Node::new();
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let previous = format!("*a{},", level - 1).repeat(10);
        bomb += &format!("a{level}: &a{level} [{previous}]\n");
    }
    for declaration in [bomb, "[".repeat(10_000), "{".repeat(10_000), "- ".repeat(10_000)] {
        let run = apply(&node, &declaration, &[]);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.lines().count()), (2, "", 2), "{run:?}");
    }
}

#[test]
fn ties_within_a_file_are_a_conflict() {
    let node = Node::new();
    let entry = |scope: &str| format!("- scope: \"{scope}\"\n  username: u\n  passwordFile: password\n");
    let run = apply(&node, &format!("{HEAD}credentials:\n{}{}", entry("*.r.test"), entry("a.*.test")), &[]);
    let expected = "error: `*.r.test` and `a.*.test` fit the same images equally well\nhint: store one of them without its wildcard\n";
    assert_eq!(run, Run::new(6, "", expected));
}

#[test]
fn the_schema_has_the_fields_of_the_program() {
    // Each field that the schema names is taken, and no other: one that it does not name is refused above.
    let schema = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/apply.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let names = |pointer: &str| -> Vec<String> {
        schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names("/properties"), ["apiVersion", "credentials", "kind", "mirrors"]);
    let of_credential = names("/properties/credentials/items/properties");
    assert_eq!(of_credential, ["expiresAt", "issuer", "passwordFile", "scope", "settings", "username"]);
    assert_eq!(names("/properties/mirrors/items/properties"), ["hosts", "policy", "source"]);
    let issuers = schema.pointer("/properties/credentials/items/properties/issuer/enum").unwrap();
    assert_eq!(*issuers, serde_json::json!(Issuer::ALL.map(Issuer::name)));
    let node = Node::new();
    let all = format!(
        "{HEAD}credentials:\n- scope: r.test\n  username: u\n  passwordFile: password\n  issuer: static\n  settings: {{cache: 1m}}\n  expiresAt: 2100-01-01T00:00:00Z\nmirrors:\n- source: '*'\n  hosts: [m.test]\n  policy: mirror-only\n"
    );
    apply(&node, &all, &[]).done();
}
