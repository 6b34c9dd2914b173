//! A service for one command, which only Windows needs: root is one account here.

use std::io;

/// There is none.
pub struct TemporaryService(std::convert::Infallible);

impl TemporaryService {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn start(_name: &str, _title: &str, _arguments: &[&str]) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "only Windows has services of LocalSystem; run this as root"))
    }
}

/// Returns that root is nobody else.
pub fn may_act_as_system() -> bool {
    false
}
