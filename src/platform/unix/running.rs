//! The processes of a node, as `/proc` shows them (proc(5)).

use std::fs;
use std::path::Path;

use crate::platform::Running;

/// Returns the processes below `root`, the lowest number first; one that ends while it is looked at is left out.
pub fn running(root: &Path) -> Vec<Running> {
    let entries = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    let number = |entry: &fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let mut all: Vec<Running> = entries
        .filter_map(|entry| Some((number(&entry)?, entry.path())))
        .filter_map(|(pid, dir)| read(pid, &dir))
        .collect();
    all.sort_by_key(|process| process.pid);
    all
}

fn read(pid: u32, dir: &Path) -> Option<Running> {
    let line = fs::read(dir.join("cmdline")).ok()?;
    let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut arguments: Vec<String> = words.collect();
    // Each word ends with a zero.
    if arguments.last().is_some_and(String::is_empty) {
        arguments.pop();
    }
    if arguments.is_empty() {
        return None;
    }
    // The name, the second field, is in brackets and may hold anything; the start time is the 22nd.
    let stat = fs::read_to_string(dir.join("stat")).unwrap_or_default();
    let started =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok()).unwrap_or(0);
    let program = fs::read_link(dir.join("exe")).ok().and_then(|path| path.into_os_string().into_string().ok());
    Some(Running { pid, started, program, arguments })
}
