//! The plugin's program and the kubelet's configuration: whether they can run, and whether somebody else could replace them.

use super::{Facts, Finding};
use crate::kubelet::config::System;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, who) in &facts.writable {
        let message = format!("others could replace what the kubelet runs or reads, as root or SYSTEM: `{path}` {who}");
        let remedy = match facts.system {
            System::Linux => "give it to root with `chown root:root`, and take the right away with `chmod go-w`",
            System::Windows => {
                "leave SYSTEM and Administrators alone in its access control list, and to Users the right to read and execute"
            }
        };
        findings.push(Finding::error("replaceable", message, remedy).at(path, None));
    }
    let Some(program) = &facts.program else { return findings };
    if program.is_noexec {
        let message = "the file system of the plugin's program is mounted `noexec`, so the kubelet cannot run it";
        let remedy = "put the program where programs may run, and change `--image-credential-provider-bin-dir`";
        findings.push(Finding::error("noexec", message, remedy).at(&program.path, None));
    }
    if facts.system == System::Windows
        && facts.kubelet.as_ref().is_ok_and(|kubelet| !kubelet.finds_extension())
        && !program.name.to_ascii_lowercase().ends_with(".exe")
        && !(program.has_plain && program.has_extension)
    {
        let message = format!(
            "a kubelet before 1.30 looks for `{0}` and runs `{0}.exe`, and both have to be there",
            program.name
        );
        let remedy = "name the provider with `.exe`, or keep the program under both names";
        findings.push(Finding::error("exe-name", message, remedy).at(&program.path, None));
    }
    findings
}
