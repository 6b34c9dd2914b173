//! The programs that a configuration names.
//!
//! Source: Kubernetes `pkg/credentialprovider/plugin/plugin.go`, `RegisterCredentialProviderPlugins`: `os.Stat` up to 1.29, Go's
//! `exec.LookPath` from 1.30 on. The newer messages leave the program's name out, so it is added.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::{KubeletVersion, System, Target, Verdict, go, reason};

/// What `LookPath` appends on Windows, in the order of the usual `PATHEXT`.
const EXTENSIONS: [&str; 4] = [".com", ".exe", ".bat", ".cmd"];

/// Judges the directory itself.
pub(super) fn judge_dir(dir: &Path, verdict: &mut Verdict) {
    let shown = dir.display();
    match fs::metadata(dir) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            verdict.error(format!("plugin binary directory {shown} did not exist"));
        }
        Err(error) => {
            verdict.error(format!("error inspecting binary directory {shown}: stat {shown}: {}", reason(&error)));
        }
    }
    if dir.is_relative() && !dir.as_os_str().is_empty() {
        verdict.warning(format!(
            "bin-dir {} is relative: it depends on the directory that the kubelet is started in, and `.` makes the kubelet \
             search PATH",
            go::quote(&shown.to_string())
        ));
    }
}

/// Judges the program of one provider. Names that are refused as such are left to the rule that refuses them.
pub(super) fn judge(dir: &Path, name: &str, place: &str, target: &Target, verdict: &mut Verdict) {
    if name.contains('/') || matches!(name, "." | "..") {
        return;
    }
    let program = if name.is_empty() { dir.to_owned() } else { dir.join(name) };
    let shown = program.display();
    if target.kubelet < KubeletVersion::LOOK_PATH {
        match fs::metadata(&program) {
            Ok(metadata) if metadata.is_dir() || !is_executable(&metadata, target.system) => verdict.warning(format!(
                "`{shown}` is no executable file; this kubelet starts all the same, and every pull goes without it{place}"
            )),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                verdict.error(format!("plugin binary executable {shown} did not exist{place}"));
            }
            Err(error) => verdict.error(format!(
                "error inspecting binary executable {shown}: stat {shown}: {}{place}",
                reason(&error)
            )),
        }
        return;
    }
    // The message of the kubelet has a gap where the name should be.
    let place = if place.is_empty() { format!(" (provider {})", go::quote(name)) } else { place.to_owned() };
    let quoted = go::quote(&shown.to_string());
    match find(&program, target.system) {
        Ok(metadata) if metadata.is_dir() => {
            verdict.error(format!("error inspecting binary executable : exec: {quoted}: is a directory{place}"));
        }
        Ok(metadata) if !is_executable(&metadata, target.system) => {
            verdict.error(format!("error inspecting binary executable : exec: {quoted}: permission denied{place}"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            verdict.error(format!("plugin binary executable  did not exist{place}"));
        }
        Err(error) => verdict.error(format!(
            "error inspecting binary executable : exec: {quoted}: stat {shown}: {}{place}",
            reason(&error)
        )),
    }
}

fn find(program: &Path, system: System) -> io::Result<Metadata> {
    let exact = fs::metadata(program);
    let has_extension = program.extension().is_some();
    if system == System::Linux || (has_extension && exact.as_ref().is_ok_and(Metadata::is_file)) {
        return exact;
    }
    let with = |extension: &str| {
        let mut path = program.as_os_str().to_owned();
        path.push(extension);
        fs::metadata(PathBuf::from(path)).ok().filter(Metadata::is_file)
    };
    // Windows runs nothing without an extension.
    let absent = || io::Error::from(io::ErrorKind::NotFound);
    EXTENSIONS.into_iter().find_map(with).ok_or_else(absent)
}

fn is_executable(metadata: &Metadata, system: System) -> bool {
    match system {
        System::Linux => has_executable_bit(metadata),
        System::Windows => true,
    }
}

#[cfg(unix)]
fn has_executable_bit(metadata: &Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

/// A Windows file that is judged for Linux has no such bit.
#[cfg(not(unix))]
fn has_executable_bit(_: &Metadata) -> bool {
    true
}
