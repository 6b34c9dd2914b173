//! Who could replace what the kubelet runs.

use std::io;
use std::path::Path;

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

/// Returns whether no program can run from the file system of a path, which Windows does not know.
pub fn is_noexec(_path: &Path) -> bool {
    false
}
