//! What the Windows program asks of the operating system when it makes the broker's pipe, as Wine's own trace shows it.
//!
//! Wine knows no clients of other machines, and lets two programs make the first instance of a pipe. So this shows that Windows
//! is asked to refuse both, for every instance that it should, and nothing of what Windows does then.

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::request;
use crate::windows::Machine;

// The names and numbers of `CreateNamedPipeW`.
const PIPE_ACCESS_DUPLEX: u32 = 0x3;
const FILE_FLAG_FIRST_PIPE_INSTANCE: u32 = 0x0008_0000;
const FILE_FLAG_OVERLAPPED: u32 = 0x4000_0000;
const PIPE_TYPE_BYTE: u32 = 0x0;
const PIPE_REJECT_REMOTE_CLIENTS: u32 = 0x8;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Open mode, pipe mode, and whether there is a security descriptor, of every pipe that was made.
fn made(trace: &str) -> Vec<(u32, u32, bool)> {
    let number = |text: &str| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap();
    let one = |call: &str| {
        let arguments: Vec<&str> = call.split_once(')').unwrap().0.split(',').collect();
        let [_, open_mode, pipe_mode, .., security] = arguments.as_slice() else { panic!("{call}") };
        (number(open_mode), number(pipe_mode), !security.trim().trim_matches('0').is_empty())
    };
    trace.split("CreateNamedPipeW (").skip(1).map(one).collect()
}

#[test]
fn every_instance_of_the_pipe_is_for_clients_of_this_machine_alone() {
    let Some(machine) = Machine::with_store() else { return };
    let endpoint = format!("npipe:////./pipe/traced-{}", std::process::id());
    let log = machine.on_disk("broker.log");
    let mut command = machine.command(&["broker", "serve", "--listen", &endpoint]);
    command.env("WINEDEBUG", "-all,trace+sync");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let _broker = Killed(command.spawn().unwrap());
    let until = |what: &str| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let trace = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
            if trace.contains(what) {
                return trace;
            }
            assert!(Instant::now() < deadline, "{trace}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    let open_mode = PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED;
    let pipe_mode = PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS;
    let first = (open_mode | FILE_FLAG_FIRST_PIPE_INSTANCE, pipe_mode, true);
    assert_eq!(made(&until("serving the store")), [first]);

    // The next instance waits before a client is served.
    machine.run(&["get-credentials", "--broker", &endpoint], request("r.test/app")).done();
    assert_eq!(made(&until(r#""operation":"get-credentials""#)), [first, (open_mode, pipe_mode, true)]);
}
