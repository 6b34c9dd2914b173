//! Files of the node that others read: written beside the old one, with its owner, mode and label.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, XattrFlags};

const LABEL: &str = "security.selinux";

/// Creates the directories of a path that are missing, for everybody to read.
///
/// # Errors
/// As `mkdir`.
pub fn create_public_dirs(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|dir| matches!(dir.try_exists(), Ok(false))).collect();
    for dir in missing.into_iter().rev() {
        fs::DirBuilder::new().mode(0o755).create(dir)?;
        // Whatever the umask of the shell, or of an installer, is.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Writes what is to become `path` into a file beside it, and waits until it is on the disk. Returns the file.
///
/// A file that is there already gives it owner, mode and SELinux label; else it gets `mode`.
///
/// # Errors
/// As `open`, `write` and `fsync`; a link, or a file of another user, is refused.
pub fn stage_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let old = match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(io::Error::other("is no regular file")),
        Ok(metadata) if metadata.uid() != 0 && metadata.uid() != rustix::process::geteuid().as_raw() => {
            return Err(io::Error::other(format!("belongs to uid {}", metadata.uid())));
        }
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The kubelet reads no file of this ending, should its directory of configurations be this one. Always the same name: only
    // one run at a time is here, and what a killed one left is written over.
    let staged = path.with_file_name(format!(".{name}.new"));
    let written = write(&staged, bytes, mode, old.as_ref()).and_then(|()| keep_label(path, &staged));
    if let Err(error) = written {
        // The error that matters is the first.
        let _ = fs::remove_file(&staged);
        return Err(error);
    }
    Ok(staged)
}

fn write(staged: &Path, bytes: &[u8], mode: u32, old: Option<&fs::Metadata>) -> io::Result<()> {
    // Not opened: it may be a link of somebody else.
    match fs::remove_file(staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(staged)?;
    file.write_all(bytes)?;
    if let Some(old) = old {
        std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    let mode = old.map_or(mode, |old| old.mode() & 0o7777);
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

fn keep_label(path: &Path, staged: &Path) -> io::Result<()> {
    let mut label = [0_u8; 256];
    match rustix::fs::lgetxattr(path, LABEL, &mut label) {
        Ok(length) => {
            Ok(rustix::fs::lsetxattr(staged, LABEL, label.get(..length).unwrap_or_default(), XattrFlags::empty())?)
        }
        // No file, no SELinux, or a file system without labels.
        Err(_) => Ok(()),
    }
}

/// Puts a file in the place of another, a program that runs included, and makes that survive a power cut. Nothing is put into
/// the directory `_aside`.
///
/// # Errors
/// As `rename` and `fsync`.
pub fn replace_program(from: &Path, to: &Path, _aside: &Path) -> io::Result<()> {
    super::files::replace_file(from, to)
}

/// Removes a file, a program that runs included, and makes that survive a power cut. Nothing is put into the directory `_aside`.
///
/// # Errors
/// As `unlink` and `fsync`.
pub fn remove_program(path: &Path, _aside: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Returns the mode of a file.
pub fn mode_of(path: &Path) -> Option<u32> {
    fs::symlink_metadata(path).ok().map(|metadata| metadata.mode() & 0o7777)
}
