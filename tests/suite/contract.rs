//! Rules about the source itself.

use std::fs;
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::process::Command;

#[cfg(target_os = "linux")]
use crate::support::shipped;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Modules of the library from the words up; a module may use those before it in this list, and itself.
const LAYERS: [&[&str]; 10] = [
    &["secret", "text", "time", "env", "exit", "platform", "process", "windows_path", "grpc"],
    &["reference", "scope", "mirror", "challenge"],
    &["credential"],
    &["kubelet"],
    &["issuer", "kms", "store", "matching", "cri"],
    &["provider", "import", "declaration", "containerd"],
    &["broker", "check"],
    &["plugin", "node"],
    &["doctor"],
    &["cli"],
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn layer(module: &str) -> usize {
    LAYERS.iter().position(|layer| layer.contains(&module)).unwrap_or_else(|| panic!("`{module}` is in no layer"))
}

#[test]
fn layers_point_one_way() {
    let src = Path::new(ROOT).join("src");
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let relative = path.strip_prefix(&src).unwrap();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "main" | "lib") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for used in text.split("crate::").skip(1) {
            let end = used.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(used.len());
            let names = match used.strip_prefix('{') {
                Some(list) => list
                    .split('}')
                    .next()
                    .unwrap()
                    .split(',')
                    .map(|name| name.trim().split("::").next().unwrap())
                    .collect(),
                None => vec![&used[..end]],
            };
            for name in names {
                if layer(name) > layer(module) {
                    wrong.push(format!("{} uses crate::{name}", relative.display()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_test_file_runs() {
    let suite = Path::new(ROOT).join("tests/suite");
    for path in sources(&suite) {
        let dir = path.parent().unwrap();
        let (name, map) = match path.file_stem().unwrap().to_str().unwrap() {
            "main" => continue,
            "mod" => (dir.file_name().unwrap().to_str().unwrap(), suite.join("main.rs")),
            name if dir == suite => (name, suite.join("main.rs")),
            name => (name, dir.join("mod.rs")),
        };
        let named = fs::read_to_string(&map).unwrap().contains(&format!("mod {name};"));
        assert!(named, "{} does not name `{name}`", map.display());
    }
}

#[test]
fn unsafe_code_stays_in_platform() {
    let src = Path::new(ROOT).join("src");
    for path in sources(&src) {
        let inside = path.strip_prefix(&src).unwrap().starts_with("platform");
        let text = fs::read_to_string(&path).unwrap();
        assert!(inside || !text.contains("unsafe {"), "{} has unsafe code", path.display());
    }
}

/// Six megabytes of a program that needs nothing of the node, and no names in it that only a debugger would read.
#[cfg(target_os = "linux")]
#[test]
fn what_is_shipped_is_static_stripped_and_small() {
    let Some(binary) = shipped() else { return };
    let size = fs::metadata(&binary).unwrap().len();
    assert!(size <= 6_000_000, "{size} bytes");
    let read = |what: &str| {
        let output = Command::new("readelf").args([what, "--wide"]).arg(&binary).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let segments = read("--program-headers");
    assert!(
        segments.contains(" LOAD ") && !segments.contains(" INTERP ") && !segments.contains(" DYNAMIC "),
        "{segments}"
    );
    let sections = read("--sections");
    assert!(
        sections.contains(" .text ") && !sections.contains(" .symtab ") && !sections.contains(" .debug"),
        "{sections}"
    );
}
