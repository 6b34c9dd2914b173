//! Who could replace what the kubelet runs.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;

/// Says who besides root and this user may change a file, or what is in a directory, as the end of the sentence "`PATH` ...". In a
/// directory above (`is_above`), others may create files, as in `/tmp`, but not replace those of somebody else.
///
/// # Errors
/// As `stat`.
pub fn others_may_write(path: &Path, is_above: bool) -> io::Result<Option<String>> {
    let metadata = fs::metadata(path)?;
    let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Ok(Some(format!("belongs to uid {uid}")));
    }
    let is_sticky = is_above && mode & 0o1000 != 0;
    // Root's own group is root.
    let is_open = mode & 0o002 != 0 || (mode & 0o020 != 0 && gid != 0);
    Ok((is_open && !is_sticky).then(|| format!("has mode {:04o} and group {gid}", mode & 0o7777)))
}

/// Returns whether no program can run from the file system of a path; what cannot be found out counts as no.
pub fn is_noexec(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC))
}
