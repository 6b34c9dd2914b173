//! Who could replace what the kubelet runs.

use std::io;
use std::path::{Path, PathBuf};

use super::{files, security};

/// Says who besides SYSTEM, Administrators, TrustedInstaller and this account may change a file, or what is in a directory, as the
/// end of the sentence "`PATH` ...". In a directory above (`is_above`), others may create files, but not replace it or what it holds.
///
/// # Errors
/// As `CreateFileW` and `GetSecurityInfo`.
pub fn others_may_write(path: &Path, is_above: bool) -> io::Result<Option<String>> {
    let access = security::access_of(&files::open_to_judge(path)?)?;
    Ok(access.check_unwritable(&security::current_user()?, is_above).err())
}

/// Returns this program's file, which SYSTEM is to run.
///
/// # Errors
/// When somebody but SYSTEM, Administrators and this account could replace it, or put a library beside it.
pub(super) fn own_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    for (level, place) in program.ancestors().enumerate() {
        if let Some(who) = others_may_write(place, level > 1)? {
            return Err(io::Error::other(format!(
                "`{}` {who}, and SYSTEM would run what they put there; copy the program below `C:\\Program Files`",
                place.display()
            )));
        }
    }
    Ok(program)
}

/// Returns whether no program can run from the file system of a path, which Windows does not know.
pub fn is_noexec(_path: &Path) -> bool {
    false
}
