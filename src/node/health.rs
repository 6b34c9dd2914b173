//! Restarts the kubelet and waits until it is well.
//!
//! A kubelet that does not take its configuration ends at once and is started again every few seconds, which service managers
//! call "running" or "activating" and never "failed". So what counts is that one process stays, answers, and has the flags.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::detect::Node;
use super::flags::Flags;
use super::live;
use crate::platform;

/// Longer than the ten seconds after which systemd starts a kubelet again; half of the whole patience, if that is less.
const STABLE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(500);
/// The kubelet's own default (`healthzPort`).
const HEALTH_PORT: u16 = 10248;

/// Restarts the kubelet's service and waits until the kubelet is well with these flags, so long as is said.
///
/// # Errors
/// What is wrong, for people.
pub(super) fn restart(node: &Node, flags: &Flags, patience: Duration) -> Result<(), String> {
    let Some(restart) = &node.profile.restart else {
        return Err("how to restart this kubelet is not known".to_owned());
    };
    for command in restart.commands() {
        platform::control_service(&command).map_err(|error| format!("`{}` failed: {error}", command.join(" ")))?;
    }
    wait(node, flags, patience)
}

fn wait(node: &Node, flags: &Flags, patience: Duration) -> Result<(), String> {
    let start = Instant::now();
    let mut steady: Option<((u32, u64), Instant)> = None;
    let mut reason = "no kubelet runs".to_owned();
    while start.elapsed() < patience {
        if let Some(live) = live::kubelet(&node.root) {
            let process = (live.pid, live.started);
            let since = match steady {
                Some((seen, since)) if seen == process => since,
                Some(_) | None => {
                    steady = Some((process, Instant::now()));
                    Instant::now()
                }
            };
            let has_flags = live.is_embedded || live.flags == *flags;
            let is_healthy = answers();
            reason = match (has_flags, is_healthy) {
                (false, _) => "it runs without the credential provider flags that it should have".to_owned(),
                (true, false) => format!("it does not answer at 127.0.0.1:{HEALTH_PORT}"),
                (true, true) => "it does not stay".to_owned(),
            };
            if has_flags && is_healthy && since.elapsed() >= STABLE.min(patience / 2) {
                return Ok(());
            }
        } else {
            steady = None;
        }
        thread::sleep(PAUSE);
    }
    Err(reason)
}

/// Returns whether the kubelet's health endpoint says that it is well.
fn answers() -> bool {
    let limit = Duration::from_secs(2);
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], HEALTH_PORT)), limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer.ends_with(b" 200"))
}
