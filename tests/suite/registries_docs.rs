//! The commands of `docs/registries`, run as they are written.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::{Node, run};

/// Every line of a `console` block that is a command of this program, without its name.
fn commands(page: &str) -> Vec<Vec<String>> {
    let blocks = page.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("# keyring-credential-provider "));
    lines.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// What a page's file of this name holds.
fn secret(name: &str) -> String {
    if !name.ends_with(".json") {
        return "secret-of-the-page\n".to_owned();
    }
    let pem = include_str!("../data/google/key.pem");
    json!({ "type": "service_account", "private_key": pem, "client_email": "a@b.iam.gserviceaccount.com" }).to_string()
}

#[test]
fn the_commands_of_the_registries_pages_work() {
    let pages = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/registries")).unwrap();
    for path in pages.map(|page| page.unwrap().path()) {
        let commands = commands(&fs::read_to_string(&path).unwrap());
        assert!(!commands.is_empty(), "{}", path.display());
        for command in commands {
            // Each begins with an empty store: a page shows several ways to the same registry.
            let node = Node::new();
            for pair in command.windows(2).filter(|pair| pair[0] == "--password-file") {
                fs::write(node.dir().join(&pair[1]), secret(&pair[1])).unwrap();
            }
            let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
            let ran = run(node.command(&arguments).current_dir(node.dir()), "");
            let scope = &command[1];
            let stored = format!("stored the credential for `{scope}`\n");
            assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}: {command:?}: {ran:?}", path.display());
            assert!(ran.stderr.ends_with(&stored), "{}: {command:?}: {ran:?}", path.display());
        }
    }
}
