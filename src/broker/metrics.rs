//! Counters in the text format of Prometheus, on a loopback address.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::audit::Outcome;

/// Upper bounds of the histogram, in microseconds.
const BUCKETS: [u64; 9] = [100, 250, 500, 1_000, 2_500, 5_000, 25_000, 1_000_000, 10_000_000];

/// What a broker may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    GetCredentials,
    Put,
    Delete,
    List,
    Status,
}

impl Operation {
    const ALL: [Self; 5] = [Self::GetCredentials, Self::Put, Self::Delete, Self::List, Self::Status];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GetCredentials => "get-credentials",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Status => "status",
        }
    }
}

/// What is counted since the broker was started.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    requests: [[AtomicU64; Outcome::ALL.len()]; Operation::ALL.len()],
    /// Answers to the kubelet by how long they took, the last one without a bound.
    durations: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
    /// Connections that are open.
    pub(super) connections: AtomicU64,
}

impl Metrics {
    pub(super) fn count(&self, operation: Operation, outcome: Outcome, took: Duration) {
        self.requests[operation as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
        if operation == Operation::GetCredentials {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            let bucket = BUCKETS.iter().position(|&bound| micros <= bound).unwrap_or(BUCKETS.len());
            self.durations[bucket].fetch_add(1, Ordering::Relaxed);
            self.micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    fn text(&self) -> String {
        const NAME: &str = "keyring_credential_provider_broker";
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| {
            // A string takes everything.
            let _ = text.write_fmt(format_args!("{NAME}_{line}\n"));
        };
        for operation in Operation::ALL {
            for outcome in Outcome::ALL {
                let count = self.requests[operation as usize][outcome as usize].load(Ordering::Relaxed);
                let (operation, outcome) = (operation.name(), outcome.name());
                line(format_args!("requests_total{{operation=\"{operation}\",outcome=\"{outcome}\"}} {count}"));
            }
        }
        let mut count = 0;
        for (bucket, durations) in self.durations.iter().enumerate() {
            count += durations.load(Ordering::Relaxed);
            let bound = BUCKETS.get(bucket).map_or_else(|| "+Inf".to_owned(), |&bound| seconds(bound).to_string());
            line(format_args!("answer_duration_seconds_bucket{{le=\"{bound}\"}} {count}"));
        }
        line(format_args!("answer_duration_seconds_sum {}", seconds(self.micros.load(Ordering::Relaxed))));
        line(format_args!("answer_duration_seconds_count {count}"));
        line(format_args!("connections {}", self.connections.load(Ordering::Relaxed)));
        line(format_args!("info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")));
        format!(
            "# TYPE {NAME}_requests_total counter\n# TYPE {NAME}_answer_duration_seconds histogram\n\
             # TYPE {NAME}_connections gauge\n# TYPE {NAME}_info gauge\n{text}"
        )
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// Serves the counters under `/metrics` until it is dropped.
pub(super) async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let metrics = metrics.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let (status, text) = match (request.method(), request.uri().path()) {
                (&http::Method::GET, "/metrics") => (200, metrics.text()),
                _ => (404, "there is /metrics only\n".to_owned()),
            };
            let response = http::Response::builder().status(status).header("content-type", "text/plain; version=0.0.4");
            async move { Ok::<_, Infallible>(response.body(text).unwrap_or_default()) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(5)).keep_alive(false);
        tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
    }
}
