//! The files of a node: of this one, or of one whose file tree lies below a directory.
//!
//! Every path of a node is text in the form of that node's system, `/etc/default/kubelet` or `C:\k\config.yaml`, and only
//! [`Root::host`] makes a path of this machine of it. Drive `C:` of a Windows tree is the directory `C` below the root, and
//! names there are found whatever their case. A link that leads out of the tree is refused, not followed.
//!
//! A name below [`SERVICES`] is a text in the registry of a Windows that runs here, read and written as a file of UTF-8; a tree of
//! files has none of these.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::kubelet::config::System;
use crate::platform;
use crate::windows_path::{Root as WindowsRoot, WindowsPath, WindowsPathError};

/// Largest file that is read whole. The largest is a program.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// What the names of the texts begin with that Windows services are started with.
pub(super) const SERVICES: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\";

/// A node's file tree.
#[derive(Clone, Debug)]
pub struct Root {
    /// None for this machine.
    dir: Option<PathBuf>,
    system: System,
}

impl Root {
    /// Names the tree below `dir`; `/`, or nothing, is this machine.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn new(dir: Option<&Path>) -> io::Result<Self> {
        let Some(dir) = dir.filter(|dir| *dir != Path::new("/")) else {
            return Ok(Self { dir: None, system: System::HERE });
        };
        let dir = fs::canonicalize(dir)?;
        if !dir.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let has_drive = find(&dir, "C").is_dir() && !dir.join("etc").exists();
        let system = if has_drive { System::Windows } else { System::Linux };
        Ok(Self { dir: Some(dir), system })
    }

    /// Returns the node's operating system: for a tree, that of its layout.
    pub fn system(&self) -> System {
        self.system
    }

    /// Returns whether this is the machine that this program runs on, whose processes and services can be seen.
    pub fn is_live(&self) -> bool {
        self.dir.is_none()
    }

    /// Returns where a file of the node is on this machine.
    ///
    /// # Errors
    /// When the path is not absolute, or a link on the way leads out of the tree.
    pub fn host(&self, path: &str) -> io::Result<PathBuf> {
        let refuse = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let relative: Vec<String> = match self.system {
            System::Linux => {
                if !path.starts_with('/') || path.split('/').any(|name| name == "..") {
                    return Err(refuse("is no absolute path".to_owned()));
                }
                path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned).collect()
            }
            System::Windows => {
                let path = self.windows(path).map_err(|error| refuse(error.to_string()))?;
                let WindowsRoot::Drive(letter) = path.root() else {
                    return Err(refuse("is on a network share".to_owned()));
                };
                [letter.to_string()].into_iter().chain(path.components().map(str::to_owned)).collect()
            }
        };
        let Some(dir) = &self.dir else {
            return Ok(match self.system {
                System::Linux => PathBuf::from(format!("/{}", relative.join("/"))),
                System::Windows => PathBuf::from(format!(r"{}:\{}", relative[0], relative[1..].join("\\"))),
            });
        };
        let mut host = dir.clone();
        for name in &relative {
            host = match self.system {
                System::Linux => host.join(name),
                System::Windows => find(&host, name),
            };
        }
        let there = host.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(dir);
        match fs::canonicalize(there) {
            Ok(real) if real.starts_with(dir) => Ok(host),
            Ok(_) => Err(refuse("leads out of the tree by a link".to_owned())),
            // A link to nothing: the file itself is not there.
            Err(_) => Ok(host),
        }
    }

    /// Returns the name, below the key of all services, of a text in the registry; nothing for a file.
    pub(super) fn service_value<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(SERVICES).filter(|_| self.is_live())
    }

    /// Reads a file; nothing when there is none.
    ///
    /// # Errors
    /// As [`Root::host`] and `read`; a directory, device or pipe is refused.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        if let Some(value) = self.service_value(path) {
            return Ok(platform::service_value(value)?.map(String::into_bytes));
        }
        let host = self.host(path)?;
        let metadata = match fs::metadata(&host) {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if !metadata.is_file() {
            return Err(io::Error::other("is no regular file"));
        }
        let mut bytes = Vec::new();
        fs::File::open(host)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "is larger than 256 MiB"));
        }
        Ok(Some(bytes))
    }

    /// Reads a text file for its content alone; what cannot be read counts as absent.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = self.read(path).ok()??;
        crate::text::decode(&bytes).map(|text| text.into_owned())
    }

    /// Returns whether there is anything of this name.
    pub fn exists(&self, path: &str) -> bool {
        self.host(path).is_ok_and(|host| host.exists())
    }

    /// Returns whether there is a directory of this name.
    pub fn is_dir(&self, path: &str) -> bool {
        self.host(path).is_ok_and(|host| host.is_dir())
    }

    /// Returns the names in a directory, sorted.
    pub fn list(&self, path: &str) -> Vec<String> {
        let entries = self.host(path).ok().and_then(|host| fs::read_dir(host).ok());
        let names = entries.into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// Joins a directory of the node and a name.
    pub fn join(&self, dir: &str, name: &str) -> String {
        match self.system {
            System::Linux => format!("{}/{name}", dir.trim_end_matches('/')),
            System::Windows => format!(r"{}\{name}", dir.trim_end_matches(['/', '\\'])),
        }
    }

    /// Returns the directory that a file of the node is in; none for a text in the registry.
    pub fn parent<'a>(&self, path: &'a str) -> &'a str {
        if self.service_value(path).is_some() {
            return "";
        }
        let separators: &[char] = if self.system == System::Windows { &['/', '\\'] } else { &['/'] };
        path.trim_end_matches(separators).rfind(separators).map_or("", |end| &path[..end])
    }

    /// Returns whether two texts name one file.
    pub fn same(&self, a: &str, b: &str) -> bool {
        match self.system {
            System::Linux => a.trim_end_matches('/') == b.trim_end_matches('/'),
            System::Windows => match (self.windows(a), self.windows(b)) {
                (Ok(a), Ok(b)) => a == b,
                (Ok(_), Err(_)) | (Err(_), Ok(_) | Err(_)) => a == b,
            },
        }
    }

    /// A path without a drive is on the drive of the kubelet's service, which is C.
    fn windows(&self, path: &str) -> Result<WindowsPath, WindowsPathError> {
        match WindowsPath::parse(path) {
            Err(WindowsPathError::NoDrive { on_c }) => WindowsPath::parse(&on_c),
            result => result,
        }
    }
}

/// Finds a name in a directory as Windows does: by its own spelling, or by that of another case.
fn find(dir: &Path, name: &str) -> PathBuf {
    let exact = dir.join(name);
    if exact.symlink_metadata().is_ok() {
        return exact;
    }
    let fits = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().to_lowercase() == name.to_lowercase();
    let found = fs::read_dir(dir).ok().and_then(|entries| entries.flatten().find(fits));
    found.map_or(exact, |entry| entry.path())
}
