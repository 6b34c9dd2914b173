//! Files of the node that others read: written beside the old one, with its access control list.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::GENERIC_WRITE;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_OPEN_REPARSE_POINT, READ_CONTROL, WRITE_DAC,
};

use super::files;
use super::security::{self, For};

/// Creates the directories of a path that are missing: users may read them, SYSTEM and Administrators write there. What is
/// created on a drive would inherit the right of all users to rename it.
///
/// # Errors
/// As `CreateDirectoryW`.
pub fn create_public_dirs(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|dir| matches!(dir.try_exists(), Ok(false))).collect();
    for dir in missing.into_iter().rev() {
        match files::create_dir(dir, For::ParentDir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Writes what is to become `path` into a file beside it, and waits until it is on the disk. Returns the file.
///
/// A file that is there already gives it its access control list; else it inherits that of the directory. Modes mean nothing here.
///
/// # Errors
/// As `CreateFileW`, `WriteFile` and `FlushFileBuffers`; a junction or link is refused.
pub fn stage_file(path: &Path, bytes: &[u8], _mode: u32) -> io::Result<PathBuf> {
    let old = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 || !metadata.is_file() => {
            return Err(io::Error::other("is no regular file"));
        }
        Ok(_) => Some(OpenOptions::new().access_mode(READ_CONTROL).open(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A program is asked before it takes its place, and runs by its extension only. Always the same name: only one run at a
    // time is here, and what a killed one left is written over.
    let is_program = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("exe"));
    let staged = path.with_file_name(format!("{name}.new{}", if is_program { ".exe" } else { "" }));
    let written = write(&staged, bytes, old.as_ref());
    if let Err(error) = written {
        // The error that matters is the first.
        let _ = fs::remove_file(&staged);
        return Err(error);
    }
    Ok(staged)
}

fn write(staged: &Path, bytes: &[u8], old: Option<&File>) -> io::Result<()> {
    // Not opened: it may be a link of somebody else.
    match fs::remove_file(staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .access_mode(GENERIC_WRITE | READ_CONTROL | WRITE_DAC)
        .create_new(true)
        .write(true)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(staged)?;
    if let Some(old) = old {
        security::copy_list(old, &file)?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts a file in the place of another. A program that runs cannot be replaced, only renamed: it goes into the directory
/// `aside`, on the same volume, and for a moment its place is empty.
///
/// # Errors
/// As `MoveFileExW`.
pub fn replace_program(from: &Path, to: &Path, aside: &Path) -> io::Result<()> {
    let Err(error) = files::replace_file(from, to) else { return Ok(()) };
    let Ok(old) = move_aside(to, aside) else { return Err(error) };
    files::replace_file(from, to).inspect_err(|_| {
        // Back to what was; that this fails too can be told by nobody but the first error.
        let _ = fs::rename(&old, to);
    })
}

/// Removes a file. A program that runs cannot be removed, only renamed: it goes into the directory `aside`.
///
/// # Errors
/// As `DeleteFileW`.
pub fn remove_program(path: &Path, aside: &Path) -> io::Result<()> {
    let Err(error) = fs::remove_file(path) else { return Ok(()) };
    if error.kind() == io::ErrorKind::NotFound {
        return Err(error);
    }
    move_aside(path, aside).map(drop).map_err(|_| error)
}

fn move_aside(path: &Path, aside: &Path) -> io::Result<PathBuf> {
    let free = |number: &u32| aside.join(format!("replaced-{}-{number}.exe", std::process::id()));
    let old = (0..100).find(|number| !free(number).exists()).map(|number| free(&number));
    let old = old.ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(path, &old)?;
    Ok(old)
}

/// Returns the mode of a file: there is none.
pub fn mode_of(_path: &Path) -> Option<u32> {
    None
}
