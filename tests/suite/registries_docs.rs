//! `docs/registries`: the commands of every page are run, and say what the page says; nothing of this version is left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{BINARY, Node, run};

fn pages() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/registries");
    let mut pages: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    pages.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The blocks of commands of a page, each command with what it prints.
fn blocks(page: &str) -> Vec<Vec<(String, String)>> {
    let mut blocks = Vec::new();
    for block in page.split("```console\n").skip(1) {
        let mut commands: Vec<(String, String)> = Vec::new();
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("# ") {
                Some(command) => commands.push((command.to_owned(), String::new())),
                None => commands.last_mut().unwrap().1 += &format!("{line}\n"),
            }
        }
        blocks.push(commands);
    }
    blocks
}

/// Makes the secret that a page's command reads.
fn make_secret(node: &Node, command: &str) {
    let mut words = command.split(' ');
    if words.any(|word| word == "--password-file") {
        let name = words.next().unwrap();
        let secret = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("pem") => crate::issuer::client_certificate().to_owned(),
            Some("json") => service_account_key(),
            _ => "made-up-secret\n".to_owned(),
        };
        fs::write(node.dir().join(name), secret).unwrap();
    }
}

/// A key file as Google Cloud gives it.
fn service_account_key() -> String {
    let pem = include_str!("../data/google/key.pem");
    json!({ "type": "service_account", "private_key": pem, "client_email": "a@b.iam.gserviceaccount.com" }).to_string()
}

/// At least six peers document commands that cannot work.
#[test]
fn peer_bug_every_documented_command_works() {
    let bin = Path::new(BINARY).parent().unwrap().to_str().unwrap();
    for (name, page) in pages() {
        for block in blocks(&page) {
            let node = Node::new();
            for (command, expected) in block {
                make_secret(&node, &command);
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(node.dir()).env_clear();
                shell
                    .env("PATH", format!("{bin}:/usr/bin:/bin"))
                    .env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
                let run = run(&mut shell, "");
                assert_eq!((run.code, run.stdout.as_str()), (0, expected.as_str()), "{name}: {command}");
            }
        }
    }
}

#[test]
fn every_page_has_commands_and_least_privilege_and_is_in_the_list() {
    let pages = pages();
    let (_, list) = pages.iter().find(|(name, _)| name == "README.md").unwrap();
    for (name, page) in pages.iter().filter(|(name, _)| name != "README.md") {
        assert!(page.starts_with("# ") && page.contains("\n## Least privilege\n"), "{name} lacks a heading");
        assert!(!blocks(page).is_empty(), "{name} has no command");
        assert!(list.contains(&format!("]({name})")), "README.md does not list {name}");
    }
}

#[test]
fn every_issuer_and_every_recipe_has_a_command() {
    let all: String =
        pages().iter().flat_map(|(_, page)| blocks(page)).flatten().map(|(command, _)| command + "\n").collect();
    let node = Node::new();
    let unknown = |arguments: &[&str]| {
        let error = node.run(&[&["login", "r.test", "--password-stdin"], arguments].concat(), "s").stderr;
        let names: BTreeSet<String> = error.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert!(names.len() > 4, "{error}");
        names
    };
    for issuer in unknown(&["--issuer", "unknown"]).iter().filter(|name| *name != "static") {
        assert!(all.contains(&format!("--issuer {issuer} ")), "no page shows issuer `{issuer}`");
    }
    for recipe in unknown(&["--issuer", "exchange", "--set", "recipe=unknown"]).iter().filter(|name| *name != "recipe")
    {
        assert!(all.contains(&format!("recipe={recipe} ")), "no page shows recipe `{recipe}`");
    }
}
