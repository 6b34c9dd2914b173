//! ECR for the benchmarks, once: a warm cache must not need it again.
//!
//! Prints its port, answers one `GetAuthorizationToken` with a token as long as ECR's that is good for twelve hours, and ends.

#![expect(clippy::print_stdout, reason = "its port is asked for on standard output")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use base64::Engine as _;

const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let (mut stream, _) = listener.accept()?;
    // Its body, `{}`, ends the request.
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"\r\n\r\n{}") {
        match stream.read(&mut buffer)? {
            0 => return Err("the request was cut short".into()),
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
    let token = base64::engine::general_purpose::STANDARD.encode(format!("AWS:{}", "p".repeat(1800)));
    let ends = (SystemTime::now() + LIFETIME).duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let body = format!(r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":{ends}}}]}}"#);
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())?;
    Ok(())
}
