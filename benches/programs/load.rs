//! Asks a broker from many connections at once: `load SOCKET IMAGE CLIENTS REQUESTS PAUSE_MS`.
//!
//! Each client has a connection of its own and waits for PAUSE_MS, and a little that differs from client to client, between two
//! requests; with 0 all of them ask without a pause. Prints `requests errors p50 p99 max`, the times in milliseconds.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and stops at what is wrong")]

use std::path::Path;
use std::time::{Duration, Instant};

use keyring_credential_provider::broker::v1::GetCredentialsRequest;
use keyring_credential_provider::broker::v1::broker_client::BrokerClient;
use keyring_credential_provider::grpc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, image, clients, requests, pause] = arguments.as_slice() else { panic!("five arguments") };
    let request = format!(
        r#"{{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"{image}"}}"#
    );
    let (clients, requests): (u64, u64) = (clients.parse().unwrap(), requests.parse().unwrap());
    let pause = Duration::from_millis(pause.parse().unwrap());
    let exchange = async {
        let mut tasks = Vec::new();
        for number in 0..clients {
            let mut client = BrokerClient::with_origin(grpc::connect(Path::new(socket)).await.unwrap(), grpc::origin());
            let message = GetCredentialsRequest { request: request.clone().into_bytes().into() };
            tasks.push(tokio::spawn(async move {
                tokio::time::sleep(pause.mul_f64(number as f64 / clients as f64)).await;
                let (mut times, mut errors) = (Vec::new(), 0_u64);
                for _ in 0..requests / clients {
                    let start = Instant::now();
                    match client.get_credentials(message.clone()).await {
                        Ok(_) => times.push(start.elapsed()),
                        Err(_) => errors += 1,
                    }
                    if !pause.is_zero() {
                        tokio::time::sleep(pause.saturating_sub(start.elapsed())).await;
                    }
                }
                (times, errors)
            }));
        }
        let (mut times, mut errors) = (Vec::new(), 0);
        for task in tasks {
            let (some, failed) = task.await.unwrap();
            times.extend(some);
            errors += failed;
        }
        (times, errors)
    };
    let (mut times, errors) = grpc::run(Duration::from_secs(600), exchange).unwrap().unwrap();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!("{} {errors} {:.2} {:.2} {:.2}", times.len(), at(50), at(99), at(100));
}
