//! Accepts connections, and ends without leaving anybody without an answer.
//!
//! One thread does all input and output; work that may block has threads of its own. So a client that is slow, or says nothing, costs
//! a connection and nothing else: connections are limited, calls end after thirty seconds, silent connections after one minute.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic_health::pb::health_server::{Health, HealthServer};

use super::adapter::{Adapter, Caller, MAX_DURATION};
use super::log::Log;
use super::metrics::{self, Metrics};
use super::v1::broker_server::BrokerServer;
use super::{Broker, MAX_MESSAGE};
use crate::grpc::Endpoint;
use crate::platform::{self, AcceptedStream, Listener, Peer};

const MAX_CONNECTIONS: usize = 512;
const MAX_STREAMS: u32 = 16;
const MAX_THREADS: usize = 64;

/// The kubelet sends no header of its own, and no client of ours does.
const MAX_HEADERS: u32 = 16 * 1024;

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(60);

/// How long answers that are under way may take when the broker is stopped; systemd and Windows wait longer.
const DRAIN: Duration = Duration::from_secs(15);

/// Where to listen, and to whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where clients connect. A socket that systemd hands over comes first.
    pub endpoint: Endpoint,
    /// Number of the group whose members may use the broker as well as root.
    pub group: Option<u32>,
    /// Loopback address of the metrics.
    pub metrics: Option<SocketAddr>,
    /// Where lines about what was asked go.
    pub log: Log,
    /// After how long without a connection it ends by itself.
    pub idle: Option<Duration>,
}

/// Serves until the process is asked to stop, or nobody asks any more. `ready` is called once clients can connect.
///
/// # Errors
/// When the endpoint or the address of the metrics cannot be listened on.
pub fn serve<B: Broker>(broker: B, options: &Options, ready: impl FnOnce()) -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(MAX_THREADS).build()?;
    let result = runtime.block_on(run(broker, options, ready));
    // A store or an issuer that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn run<B: Broker>(broker: B, options: &Options, ready: impl FnOnce()) -> io::Result<()> {
    let stop = platform::stop_requests()?;
    let listener = Listener::new(options.endpoint.path(), options.group)?;
    let metrics = Arc::new(Metrics::default());
    if let Some(address) = options.metrics {
        tokio::spawn(metrics::serve(TcpListener::bind(address).await?, metrics.clone()));
    }
    let (health, health_service) = tonic_health::server::health_reporter();
    let service =
        BrokerServer::new(Adapter { broker: Arc::new(broker), metrics: metrics.clone(), log: options.log.clone() })
            .max_decoding_message_size(MAX_MESSAGE)
            // A list of ten thousand entries has some two MiB.
            .max_encoding_message_size(64 * MAX_MESSAGE);
    health.set_serving::<BrokerServer<Adapter<B>>>().await;
    let graceful = Arc::new(GracefulShutdown::new());
    let connections = metrics.clone();
    let server =
        Server { broker: service, health: health_service, metrics, group: options.group, graceful: graceful.clone() };
    let accepting = tokio::spawn(server.accept(listener));
    ready();

    let mut stop = pin!(stop);
    match options.idle {
        None => stop.await,
        Some(idle) => {
            let is_used = || connections.connections.load(Ordering::Relaxed) > 0;
            while tokio::time::timeout(idle, &mut stop).await.is_err() && is_used() {}
        }
    }
    accepting.abort();
    // Its listener is gone, and its share of `graceful`.
    let _ = accepting.await;
    health.set_not_serving::<BrokerServer<Adapter<B>>>().await;
    // What does not end in time is cut off; its client sees a connection that broke.
    if let Some(graceful) = Arc::into_inner(graceful) {
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    }
    Ok(())
}

struct Server<B: Broker, H: Health> {
    broker: BrokerServer<Adapter<B>>,
    health: HealthServer<H>,
    metrics: Arc<Metrics>,
    group: Option<u32>,
    graceful: Arc<GracefulShutdown>,
}

impl<B: Broker, H: Health> Server<B, H> {
    async fn accept(self, mut listener: Listener) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // Taken first: with no place left, clients wait in the operating system's queue.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = self.serve(stream, &peer);
            let metrics = self.metrics.clone();
            metrics.connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                connection.await;
                metrics.connections.fetch_sub(1, Ordering::Relaxed);
                drop(place);
            });
        }
    }

    fn serve(&self, stream: AcceptedStream, peer: &Peer) -> impl Future<Output = ()> + use<B, H> {
        let caller = Caller {
            name: Arc::from(peer.name.as_str()),
            is_admitted: peer.is_trusted || self.group.is_some_and(|group| peer.groups.contains(&group)),
        };
        let requests = Arc::new(AtomicU64::new(0));
        let (broker, health, counter) = (self.broker.clone(), self.health.clone(), requests.clone());
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            counter.fetch_add(1, Ordering::Relaxed);
            request.extensions_mut().insert(caller.clone());
            let (broker, health) = (broker.clone(), health.clone());
            async move { Ok::<_, Infallible>(route(broker, health, request).await) }
        });
        let mut server = http2::Builder::new(TokioExecutor::new());
        server
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADERS)
            .keep_alive_interval(IDLE)
            .keep_alive_timeout(Duration::from_secs(20));
        let connection = self.graceful.watcher().watch(server.serve_connection(TokioIo::new(stream), service));
        async move {
            let mut connection = pin!(connection);
            let mut seen = u64::MAX;
            // A connection that broke is the client's business.
            while tokio::time::timeout(IDLE, &mut connection).await.is_err() {
                let count = requests.load(Ordering::Relaxed);
                if count == seen || count == 0 {
                    return;
                }
                seen = count;
            }
        }
    }
}

/// Hands a request to the service whose name its path begins with.
async fn route<B: Broker, H: Health>(
    mut broker: BrokerServer<Adapter<B>>,
    mut health: HealthServer<H>,
    request: http::Request<Incoming>,
) -> http::Response<Body> {
    let name = request.uri().path().split('/').nth(1).unwrap_or_default();
    if name == HealthServer::<H>::NAME {
        // `Watch` goes on for as long as its client wants.
        return health.call(request).await.unwrap_or_else(|error| match error {});
    }
    if name != BrokerServer::<Adapter<B>>::NAME {
        return tonic::Status::unimplemented("there is no such service").into_http();
    }
    match tokio::time::timeout(MAX_DURATION, broker.call(request)).await {
        Ok(response) => response.unwrap_or_else(|error| match error {}),
        Err(_) => tonic::Status::deadline_exceeded("the broker took too long").into_http(),
    }
}
