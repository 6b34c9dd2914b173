//! The named pipe of a service of ours, and who connects to it.
#![expect(unsafe_code, reason = "the access control list of a pipe, and its client, are not in the standard library")]

use std::io;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;

use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use tokio::signal::windows::ctrl_c;
use windows_sys::Win32::System::Pipes::GetNamedPipeClientProcessId;

use super::daemon;
use super::security::{self, Descriptor};

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// For people.
    pub name: String,
    /// SYSTEM, a member of Administrators that acts as one, or the account of this process.
    pub is_trusted: bool,
    /// Windows names no group by a number.
    pub groups: Vec<u32>,
}

/// A pipe that clients connect to.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    /// Waits for the next client. There always is one, so that nobody else can make the pipe in between.
    next: NamedPipeServer,
}

impl Listener {
    /// Makes the pipe, for SYSTEM, Administrators and this account, and for clients of this machine only.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when there is a pipe of this name already; [`io::ErrorKind::Unsupported`] for a group.
    pub fn new(path: &Path, group: Option<u32>) -> io::Result<Self> {
        if group.is_some() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a pipe is for Administrators, not for a group"));
        }
        let next = create(path, true).map_err(|error| match error.kind() {
            // What Windows says to a second first instance.
            io::ErrorKind::PermissionDenied => {
                io::Error::new(io::ErrorKind::AddrInUse, format!("somebody serves `{}` already", path.display()))
            }
            _ => error,
        })?;
        Ok(Self { path: path.to_owned(), next })
    }

    /// Waits for the next client.
    ///
    /// # Errors
    /// As the Windows functions.
    pub async fn accept(&mut self) -> io::Result<(NamedPipeServer, Peer)> {
        self.next.connect().await?;
        let connected = std::mem::replace(&mut self.next, create(&self.path, false)?);
        let mut number = 0;
        // SAFETY: the pipe is open, and the place of the number is ours.
        let done = unsafe { GetNamedPipeClientProcessId(connected.as_raw_handle(), &raw mut number) };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        let process = security::open_process(number)?;
        let account = security::user_of(&process)?;
        let is_trusted =
            account.is_system() || account == security::current_user()? || security::acts_for_administrators(&process)?;
        Ok((connected, Peer { name: format!("{account}, process {number}"), is_trusted, groups: Vec::new() }))
    }
}

/// Waits for Ctrl-C, or for the Service Control Manager to stop the service.
///
/// # Errors
/// When Ctrl-C cannot be caught.
pub fn stop_requests() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = ctrl_c()?;
    Ok(async move {
        let mut stopped = pin!(daemon::stop_requested());
        std::future::poll_fn(|context| {
            if interrupt.poll_recv(context).is_ready() || stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    })
}

/// Windows names no group by a number.
///
/// # Errors
/// Always.
pub fn group_id(_name: &str) -> io::Result<Option<u32>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "a pipe is for Administrators, not for a group"))
}

fn create(path: &Path, is_first: bool) -> io::Result<NamedPipeServer> {
    let me = security::current_user()?;
    let descriptor = Descriptor::from_sddl(&format!("D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;{me})"))?;
    let mut attributes = descriptor.attributes();
    let mut options = ServerOptions::new();
    options.first_pipe_instance(is_first).reject_remote_clients(true);
    // SAFETY: the attributes are valid, and outlive the call as the descriptor that they point to does.
    unsafe { options.create_with_security_attributes_raw(path, (&raw mut attributes).cast()) }
}
