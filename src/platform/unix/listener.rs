//! The socket of a service of ours, and who connects to it.
#![expect(
    unsafe_code,
    reason = "a socket that systemd hands over, and the groups of a peer, are not in the standard library"
)]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::process;

use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use super::files::{check_parents, is_trusted};
use super::socket::AcceptedStream;

/// The first file descriptor that systemd hands over (sd_listen_fds(3)).
const FIRST_PASSED: RawFd = 3;

/// No account is in more groups than this on any kernel: the kernel's own limit (setgroups(2)).
const MAX_GROUPS: usize = 65536;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// For people.
    pub name: String,
    /// Root, or the account of this process.
    pub is_trusted: bool,
    /// Numbers of its groups.
    pub groups: Vec<u32>,
}

/// A socket that clients connect to.
#[derive(Debug)]
pub struct Listener {
    inner: UnixListener,
    /// To be removed at the end, unless it is systemd's.
    path: Option<PathBuf>,
}

impl Listener {
    /// Takes the socket that systemd hands over, or makes one at `path`, for root and the members of `group`.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when somebody serves it already; else as the system calls.
    pub fn new(path: &Path, group: Option<u32>) -> io::Result<Self> {
        if let Some(passed) = passed_socket()? {
            passed.set_nonblocking(true)?;
            return Ok(Self { inner: UnixListener::from_std(passed)?, path: None });
        }
        check_parents(path).map_err(|error| io::Error::other(format!("`{}` {error}", path.display())))?;
        remove_stale(path)?;
        // Made under another name, so that nobody can connect before owner and mode are what they should be.
        let temporary = path.with_extension(format!("{}.new", process::id()));
        remove_stale(&temporary)?;
        let inner = UnixListener::bind(&temporary)?;
        let made =
            fs::set_permissions(&temporary, fs::Permissions::from_mode(if group.is_some() { 0o660 } else { 0o600 }))
                .and_then(|()| group.map_or(Ok(()), |group| std::os::unix::fs::chown(&temporary, None, Some(group))))
                .and_then(|()| fs::rename(&temporary, path));
        if let Err(error) = made {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        Ok(Self { inner, path: Some(path.to_owned()) })
    }

    /// Waits for the next client.
    ///
    /// # Errors
    /// As `accept` and `getsockopt`.
    pub async fn accept(&mut self) -> io::Result<(AcceptedStream, Peer)> {
        let (stream, _) = self.inner.accept().await?;
        let credentials = stream.peer_cred()?;
        let process = credentials.pid().map_or_else(String::new, |pid| format!(", process {pid}"));
        let mut groups = peer_groups(&stream)?;
        groups.push(credentials.gid());
        let peer = Peer {
            name: format!("uid {}{process}", credentials.uid()),
            is_trusted: is_trusted(credentials.uid()),
            groups,
        };
        Ok((stream, peer))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// When the signals cannot be caught.
pub fn stop_requests() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(std::future::poll_fn(move |context| {
        if terminate.poll_recv(context).is_ready() || interrupt.poll_recv(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    }))
}

/// Finds a group by name or number in `/etc/group`: a static program has no other directory of groups.
///
/// # Errors
/// When the file cannot be read.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let groups = fs::read_to_string("/etc/group")?;
    Ok(groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    }))
}

/// Returns the listening socket of systemd's, when this very process was given one.
fn passed_socket() -> io::Result<Option<StdListener>> {
    let number = |name| std::env::var_os(name).and_then(|value| value.to_str()?.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(process::id()) || number("LISTEN_FDS") != Some(1) {
        return Ok(None);
    }
    // SAFETY: systemd left this descriptor open for us, and nothing in this process has taken it.
    let fd = unsafe { OwnedFd::from_raw_fd(FIRST_PASSED) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    let listener = StdListener::from(fd);
    // Fails for anything but a Unix socket.
    listener.local_addr()?;
    Ok(Some(listener))
}

/// Removes a socket behind which nobody listens any longer.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("`{}` is no socket", path.display())));
    }
    if StdStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("somebody serves `{}` already", path.display())));
    }
    fs::remove_file(path)
}

/// Returns the supplementary groups of a peer (SO_PEERGROUPS, Linux 4.13; socket(7)); none on older kernels.
fn peer_groups(stream: &AcceptedStream) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 32];
    loop {
        let mut size = size_of_val(groups.as_slice()) as libc::socklen_t;
        // SAFETY: the descriptor is open, and the buffer is as long as is said.
        let code = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        let count = size as usize / size_of::<u32>();
        if code == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ERANGE) if count > groups.len() && count <= MAX_GROUPS => groups.resize(count, 0),
            Some(libc::ENOPROTOOPT) => return Ok(Vec::new()),
            _ => return Err(error),
        }
    }
}
