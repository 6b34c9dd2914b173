//! Files that only root, or the user that runs this program, may read.
//!
//! Checks are made on the opened file, never on its name: what was checked is what is read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::platform::{FileError, Writable};

/// Largest value of an extended attribute, and of the list of their names (xattr(7)).
const MAX_ATTRIBUTE: usize = 64 * 1024;

/// Returns `/var/lib/keyring-credential-provider`: on every distribution, Talos and Flatcar included, the place that is
/// writable and survives a reboot.
pub fn default_store_dir() -> PathBuf {
    PathBuf::from("/var/lib/keyring-credential-provider")
}

/// Creates a directory with mode 0700, and the directories above it with the usual mode.
///
/// # Errors
/// As `mkdir`; [`io::ErrorKind::AlreadyExists`] when it exists.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(0o700).create(path)
}

/// Checks that a directory and everything above it belongs to root or to this user, and that nobody else may write there.
///
/// # Errors
/// [`FileError::Insecure`] names the directory that is wrong.
pub fn check_private_dir(path: &Path) -> Result<(), FileError> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Err(insecure("is a symbolic link, must be a directory"));
    }
    if !metadata.is_dir() {
        return Err(insecure("is no directory"));
    }
    check_owner(&metadata)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(FileError::Insecure(format!("has mode {:04o}, must be 0700", metadata.mode() & 0o7777)));
    }
    check_parents(path)
}

/// Checks that nobody else could replace `path` by renaming something above it.
pub(super) fn check_parents(path: &Path) -> Result<(), FileError> {
    for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
        // Followed, not lstat'ed: /var is a link on some distributions, and its target's own owner is what counts.
        let metadata = fs::metadata(parent)?;
        let sticky = metadata.mode() & 0o1000 != 0;
        if !is_trusted(metadata.uid()) || (metadata.mode() & 0o022 != 0 && !sticky) {
            return Err(FileError::Insecure(format!(
                "lies below `{}`, which uid {} owns with mode {:04o}: others could replace it",
                parent.display(),
                metadata.uid(),
                metadata.mode() & 0o7777
            )));
        }
    }
    Ok(())
}

/// Reads a whole private file: regular, one name, owned by root or this user, closed to everybody else, at most `limit` bytes.
///
/// # Errors
/// [`FileError`]; a symbolic link, FIFO or device is [`FileError::Insecure`] and is never waited for.
pub fn read_private_file(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    // O_NONBLOCK: opening a FIFO must not wait for its other end.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(insecure("is a symbolic link, must be a regular file"));
        }
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(insecure("is no regular file"));
    }
    check_owner(&metadata)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(FileError::Insecure(format!("has mode {:04o}, must be 0600", metadata.mode() & 0o7777)));
    }
    if metadata.nlink() > 1 {
        return Err(FileError::Insecure(format!("has {} names (hard links), must have one", metadata.nlink())));
    }
    let size = metadata.len();
    if size > limit {
        return Err(FileError::TooLarge { size, limit });
    }
    let mut content = Zeroizing::new(vec![0; usize::try_from(size).unwrap_or(usize::MAX)]);
    file.read_exact(&mut content)?;
    Ok(content)
}

/// What tells a file from another one that was put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds of the last change, its mode and owner included.
    changed: (i64, i64),
}

/// Returns the identity of a file by its name, without opening it.
///
/// # Errors
/// As `lstat`.
pub fn file_identity(path: &Path) -> io::Result<FileIdentity> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(FileIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Creates a file that must not exist yet, with its final mode from the start.
///
/// # Errors
/// As `open`.
pub fn create_private_file(path: &Path, writable: Writable) -> io::Result<File> {
    let mode = match writable {
        Writable::Yes => 0o600,
        Writable::No => 0o400,
    };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Creates a file that must not exist yet, with owner, mode and extended attributes of another one, which must have one name.
///
/// # Errors
/// As `open`, `fchown`, `fchmod` and `fsetxattr`.
pub(in crate::platform) fn create_like(path: &Path, original: &Path) -> io::Result<File> {
    let original = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(original)?;
    let metadata = original.metadata()?;
    if metadata.nlink() > 1 {
        return Err(io::Error::other(format!("it has {} names (hard links)", metadata.nlink())));
    }
    let file = create_private_file(path, Writable::Yes)?;
    let made = make_like(&file, &original, &metadata);
    if made.is_err() {
        let _ = fs::remove_file(path);
    }
    made.map(|()| file)
}

fn make_like(file: &File, original: &File, metadata: &fs::Metadata) -> io::Result<()> {
    let mine = file.metadata()?;
    if (mine.uid(), mine.gid()) != (metadata.uid(), metadata.gid()) {
        std::os::unix::fs::fchown(file, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    let mut names = vec![0; MAX_ATTRIBUTE];
    let length = match rustix::fs::flistxattr(original, names.as_mut_slice()) {
        Ok(length) => length,
        // File systems without attributes.
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // Access control lists and the label of SELinux are among them.
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let (mut value, mut other) = (vec![0; MAX_ATTRIBUTE], vec![0; MAX_ATTRIBUTE]);
        let length = rustix::fs::fgetxattr(original, name, value.as_mut_slice())?;
        let is_same =
            rustix::fs::fgetxattr(file, name, other.as_mut_slice()).is_ok_and(|mine| other[..mine] == value[..length]);
        if !is_same {
            rustix::fs::fsetxattr(file, name, &value[..length], rustix::fs::XattrFlags::empty())?;
        }
    }
    Ok(())
}

/// Renames `from` over `to` and makes the rename survive a power cut.
///
/// # Errors
/// As `rename` and `fsync`.
pub fn replace_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let parent = to.parent().unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Opens standard input without a buffer, so that no copy of a service-account token stays behind.
///
/// # Errors
/// When standard input cannot be duplicated.
pub fn open_request() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Opens standard output without a buffer, so that no copy of the answer stays behind and every write error is seen.
///
/// # Errors
/// When standard output cannot be duplicated.
pub fn open_reply() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

pub(super) fn check_owner(metadata: &fs::Metadata) -> Result<(), FileError> {
    if is_trusted(metadata.uid()) {
        return Ok(());
    }
    Err(FileError::Insecure(format!(
        "belongs to uid {}, must belong to uid {}",
        metadata.uid(),
        rustix::process::geteuid().as_raw()
    )))
}

pub(super) fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

pub(super) fn insecure(what: &str) -> FileError {
    FileError::Insecure(what.to_owned())
}
