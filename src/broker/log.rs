//! Where a broker writes its lines: standard error, or a file, for a service of Windows has nobody who listens.
//!
//! The file is in a directory that nobody else may enter. When it is full it gets the ending `.1`, in place of the one before, so the
//! two have a bounded size. Several brokers may write to one file: each line is whole, under the lock of a file beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{self, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::platform::{self, FileError, Writable};
use crate::{text, time};

/// Some forty thousand lines.
const MAX_SIZE: u64 = 8 * 1024 * 1024;
const MAX_MESSAGE: usize = 4000;

/// Where lines go.
#[derive(Clone, Debug, Default)]
pub struct Log(Option<Arc<LogFile>>);

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    older: PathBuf,
    /// Locked for each line.
    lock: Mutex<File>,
}

/// Why a file cannot be the log.
#[derive(Debug, thiserror::Error)]
#[error("the log `{}` cannot be written: `{}` {why}", .path.display(), .place.display())]
pub struct LogError {
    path: PathBuf,
    place: PathBuf,
    /// Completes the sentence.
    why: FileError,
}

/// A line that is not about a request.
#[derive(Serialize)]
struct Message {
    time: i64,
    message: String,
}

impl Log {
    /// Takes a file, which is made when there is none, as is its directory.
    ///
    /// # Errors
    /// [`LogError`], when others may enter the directory or replace it.
    pub fn file(path: &Path) -> Result<Self, LogError> {
        let wrong = |place: &Path, why| LogError { path: path.to_owned(), place: place.to_owned(), why };
        let path = &path::absolute(path).map_err(|error| wrong(path, error.into()))?;
        let dir = path.parent().unwrap_or(path);
        match platform::create_private_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(wrong(dir, error.into())),
            _ => platform::check_private_dir(dir).map_err(|why| wrong(dir, why))?,
        }
        let beside = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let lock = beside(".lock");
        let opened = open(&lock).map_err(|error| wrong(&lock, error.into()))?;
        Ok(Self(Some(Arc::new(LogFile { path: path.clone(), older: beside(".1"), lock: Mutex::new(opened) }))))
    }

    /// Writes a sentence for people; into a file as JSON, as all lines there are.
    pub fn say(&self, sentence: &str) {
        let message = text::sanitize(sentence, MAX_MESSAGE);
        if self.0.is_some() {
            self.write(&Message { time: time::now(), message });
        } else {
            // Nobody is left to be told when this fails.
            let _ = writeln!(io::stderr(), "{message}");
        }
    }

    /// Writes a line of JSON.
    pub(super) fn write(&self, line: &impl Serialize) {
        let Ok(mut line) = serde_json::to_vec(line) else { return };
        line.push(b'\n');
        // As above.
        let _ = match &self.0 {
            Some(file) => file.append(&line),
            None => io::stderr().write_all(&line),
        };
    }
}

impl LogFile {
    fn append(&self, line: &[u8]) -> io::Result<()> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.lock()?;
        let written = self.append_alone(line);
        lock.unlock()?;
        written
    }

    fn append_alone(&self, line: &[u8]) -> io::Result<()> {
        let mut file = open(&self.path)?;
        if file.metadata()?.len() + line.len() as u64 > MAX_SIZE {
            drop(file);
            // A file that somebody holds stays, and grows: better than a line that is lost.
            let _ = fs::rename(&self.path, &self.older);
            file = open(&self.path)?;
        }
        file.write_all(line)
    }
}

/// Opens a file of a private directory to write behind what is in it.
fn open(path: &Path) -> io::Result<File> {
    match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match platform::create_private_file(path, Writable::Yes) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    OpenOptions::new().append(true).open(path)
                }
                created => created,
            }
        }
        opened => opened,
    }
}
