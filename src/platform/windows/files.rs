//! Files that only SYSTEM, Administrators and the account that runs this program may read.
//!
//! Checks are made on the opened file, never on its name: what was checked is what is read. Everything is created with its final
//! access control list; there is no moment at which it has another.
#![expect(unsafe_code, reason = "access control lists and atomic renames are not in the standard library")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_OWNER, ERROR_SHARING_VIOLATION, GENERIC_READ, GENERIC_WRITE,
    INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, CREATE_NEW, CreateDirectoryW, CreateFileW, FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_NORMAL, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT,
    FILE_READ_ATTRIBUTES, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_TYPE_DISK,
    GetFileInformationByHandle, GetFileType, MOVEFILE_REPLACE_EXISTING, MOVEFILE_WRITE_THROUGH, MoveFileExW,
    READ_CONTROL, SECURITY_IDENTIFICATION,
};
use zeroize::Zeroizing;

use super::security::{self, Descriptor, For};
use super::wide::to_wide;
use crate::platform::{FileError, Writable};
use crate::windows_path::{Root, WindowsPath};

/// Everybody may do everything else at the same time. A reader that did not share deletion would stop a writer's rename.
const SHARE_ALL: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

/// Virus scanners and backups open what was just written, for some hundred milliseconds at most.
const RENAME_TIMEOUT: Duration = Duration::from_secs(2);
const RENAME_PAUSE: Duration = Duration::from_millis(10);

/// Returns `C:\ProgramData\keyring-credential-provider`, on the drive that Windows was installed on.
pub fn default_store_dir() -> PathBuf {
    let program_data = std::env::var_os("ProgramData")
        .and_then(|value| WindowsPath::parse(value.to_str()?).ok())
        .filter(|path| matches!(path.root(), Root::Drive(_)))
        .map_or_else(|| r"C:\ProgramData".to_owned(), |path| path.to_string());
    Path::new(&program_data).join("keyring-credential-provider")
}

/// Creates a directory for SYSTEM and Administrators only, and the directories above it so that users may read them.
///
/// # Errors
/// As `CreateDirectoryW`; [`io::ErrorKind::AlreadyExists`] when it exists.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    // What is created on a drive inherits the right of all users to rename it, so the usual list would not do here.
    let missing: Vec<&Path> = path
        .ancestors()
        .skip(1)
        .take_while(|parent| !parent.as_os_str().is_empty() && matches!(parent.try_exists(), Ok(false)))
        .collect();
    for parent in missing.into_iter().rev() {
        match create_dir(parent, For::ParentDir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    create_dir(path, For::PrivateDir)
}

/// Checks that a directory belongs to SYSTEM, Administrators or this account and is open to nobody else, and that nobody else
/// could put another directory in its place.
///
/// Users may create directories in `C:\ProgramData`, the store's among them, before anybody else does: such a directory has a
/// foreign owner and is refused.
///
/// # Errors
/// [`FileError::Insecure`] names the directory that is wrong.
pub fn check_private_dir(path: &Path) -> Result<(), FileError> {
    let me = security::current_user()?;
    let directory = open(path, READ_CONTROL | FILE_READ_ATTRIBUTES, FILE_FLAG_OPEN_REPARSE_POINT)?;
    let information = information(&directory)?;
    if information.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Err(insecure("is a junction or a symbolic link, must be a directory"));
    }
    if information.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY == 0 {
        return Err(insecure("is no directory"));
    }
    security::access_of(&directory)?.check_private(&me).map_err(FileError::Insecure)?;
    for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
        // Followed: some move C:\ProgramData to another drive, and the list of the target is what counts.
        let directory = open(parent, READ_CONTROL | FILE_READ_ATTRIBUTES, 0)?;
        security::access_of(&directory)?.check_parent(&me).map_err(|who| {
            FileError::Insecure(format!("lies below `{}`, which {who}: others could replace it", parent.display()))
        })?;
    }
    Ok(())
}

/// Reads a whole private file: on a disk, with one name, owned by SYSTEM, Administrators or this account, closed to everybody
/// else, at most `limit` bytes.
///
/// # Errors
/// [`FileError`]; a link or a device is [`FileError::Insecure`].
pub fn read_private_file(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let mut file = open(path, GENERIC_READ, FILE_FLAG_OPEN_REPARSE_POINT)?;
    // SAFETY: the handle is open.
    let kind = unsafe { GetFileType(file.as_raw_handle()) };
    if kind != FILE_TYPE_DISK {
        return Err(insecure("is no regular file"));
    }
    let information = information(&file)?;
    if information.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Err(insecure("is a symbolic link, must be a regular file"));
    }
    if information.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY != 0 {
        return Err(insecure("is no regular file"));
    }
    security::access_of(&file)?.check_private(&security::current_user()?).map_err(FileError::Insecure)?;
    if information.nNumberOfLinks > 1 {
        let links = information.nNumberOfLinks;
        return Err(FileError::Insecure(format!("has {links} names (hard links), must have one")));
    }
    let size = u64::from(information.nFileSizeHigh) << 32 | u64::from(information.nFileSizeLow);
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
    created: u64,
    written: u64,
    size: u64,
}

/// Returns the identity of a file by its name, without opening it. Each write makes a new file, whose times Windows counts in 100
/// nanoseconds.
///
/// # Errors
/// As `GetFileAttributesEx`.
pub fn file_identity(path: &Path) -> io::Result<FileIdentity> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(FileIdentity {
        created: metadata.creation_time(),
        written: metadata.last_write_time(),
        size: metadata.file_size(),
    })
}

/// Creates a file that must not exist yet, with its final access control list from the start. Both kinds are the same here:
/// the read-only attribute would only stand in the way of removing the file.
///
/// # Errors
/// As `CreateFileW`.
pub fn create_private_file(path: &Path, _writable: Writable) -> io::Result<File> {
    create_file(path, &Descriptor::new(For::PrivateFile)?)
}

fn create_file(path: &Path, descriptor: &Descriptor) -> io::Result<File> {
    let name = to_wide(path)?;
    let attributes = descriptor.attributes();
    // A link that is there already is not followed to a place of somebody else's choice.
    let flags = FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT;
    // SAFETY: the name ends with a zero, and the attributes point to a descriptor that lives longer than the call.
    let handle = unsafe {
        CreateFileW(name.as_ptr(), GENERIC_WRITE, SHARE_ALL, &raw const attributes, CREATE_NEW, flags, ptr::null_mut())
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle was just opened, and nobody else closes it.
    Ok(File::from(unsafe { OwnedHandle::from_raw_handle(handle) }))
}

/// Creates a file that must not exist yet, with the access control list of another one, which must have one name. Its owner is that
/// of the other one where this account may give files to that owner.
///
/// # Errors
/// As `GetSecurityInfo` and `CreateFileW`.
pub(in crate::platform) fn create_like(path: &Path, original: &Path) -> io::Result<File> {
    let original = open(original, READ_CONTROL | FILE_READ_ATTRIBUTES, 0)?;
    let links = information(&original)?.nNumberOfLinks;
    if links > 1 {
        return Err(io::Error::other(format!("it has {links} names (hard links)")));
    }
    match create_file(path, &Descriptor::of(&original, true)?) {
        Err(error) if error.raw_os_error().map(i32::cast_unsigned) == Some(ERROR_INVALID_OWNER) => {
            create_file(path, &Descriptor::of(&original, false)?)
        }
        created => created,
    }
}

/// Renames `from` over `to`, also while others read `to`, and makes the rename survive a power cut.
///
/// # Errors
/// As `MoveFileExW`, after some tries when another program holds one of the files.
pub fn replace_file(from: &Path, to: &Path) -> io::Result<()> {
    let (old, new) = (to_wide(from)?, to_wide(to)?);
    let start = Instant::now();
    loop {
        // SAFETY: both names end with a zero.
        let moved =
            unsafe { MoveFileExW(old.as_ptr(), new.as_ptr(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) };
        if moved != 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        let code = error.raw_os_error().map(i32::cast_unsigned);
        // Refused while a reader has `to` open. The standard library then renames as POSIX does, which leaves the reader the
        // old file; what was written is on the disk already, and NTFS keeps the order of renames.
        if code == Some(ERROR_ACCESS_DENIED) && fs::rename(from, to).is_ok() {
            return Ok(());
        }
        let is_busy = matches!(code, Some(ERROR_ACCESS_DENIED | ERROR_SHARING_VIOLATION));
        if !is_busy || start.elapsed() >= RENAME_TIMEOUT {
            return Err(error);
        }
        thread::sleep(RENAME_PAUSE);
    }
}

/// Opens standard input without a buffer, so that no copy of a service-account token stays behind.
///
/// # Errors
/// When standard input cannot be duplicated.
pub fn open_request() -> io::Result<File> {
    Ok(File::from(io::stdin().as_handle().try_clone_to_owned()?))
}

/// Opens standard output without a buffer, so that no copy of the answer stays behind and every write error is seen.
///
/// # Errors
/// When standard output cannot be duplicated.
pub fn open_reply() -> io::Result<File> {
    Ok(File::from(io::stdout().as_handle().try_clone_to_owned()?))
}

pub(super) fn create_dir(path: &Path, what: For) -> io::Result<()> {
    let name = to_wide(path)?;
    let descriptor = Descriptor::new(what)?;
    let attributes = descriptor.attributes();
    // SAFETY: the name ends with a zero, and the attributes point to a descriptor that lives longer than the call.
    let created = unsafe { CreateDirectoryW(name.as_ptr(), &raw const attributes) };
    if created == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Opens a file or directory, whatever a link leads to, to read who may do what with it.
pub(super) fn open_to_judge(path: &Path) -> io::Result<File> {
    open(path, READ_CONTROL | FILE_READ_ATTRIBUTES, 0)
}

/// Opens a file or directory that exists.
fn open(path: &Path, rights: u32, flags: u32) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(rights)
        .share_mode(SHARE_ALL)
        // Without it, a directory cannot be opened, not even to see that it is one.
        .custom_flags(flags | FILE_FLAG_BACKUP_SEMANTICS)
        // Should the name lead to somebody's named pipe, its owner must not act in our name.
        .security_qos_flags(SECURITY_IDENTIFICATION)
        .open(path)
}

fn information(file: &File) -> io::Result<BY_HANDLE_FILE_INFORMATION> {
    let mut information = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open, and the place is ours.
    let done = unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut information) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(information) }
}

fn insecure(what: &str) -> FileError {
    FileError::Insecure(what.to_owned())
}
