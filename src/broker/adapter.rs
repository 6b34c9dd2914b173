//! Serves a [`Broker`] as the gRPC service: admits the caller, does the work on a thread that may block, counts it, and writes the
//! line about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Request, Response, Status};

use super::audit::{self, Outcome, Subject};
use super::log::Log;
use super::metrics::{Metrics, Operation};
use super::v1::broker_server;
use super::{Broker, v1};
use crate::scope::{Scope, ScopeError};
use crate::text;
use crate::time;

/// Who calls, as the operating system says.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// For people: `uid 0, process 123`.
    pub(super) name: Arc<str>,
    /// Whether it may ask for anything.
    pub(super) is_admitted: bool,
}

/// The service.
pub(super) struct Adapter<B> {
    pub(super) broker: Arc<B>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) log: Log,
}

impl<B: Broker> Adapter<B> {
    async fn run<Q, A, F>(&self, operation: Operation, request: Request<Q>, work: F) -> Result<Response<A>, Status>
    where
        Q: Send + 'static,
        A: Send + 'static,
        F: FnOnce(&B, Q, &Caller, &mut Subject) -> Result<A, Status> + Send + 'static,
    {
        let start = Instant::now();
        let caller = request.extensions().get::<Caller>().cloned();
        let request = request.into_inner();
        let (broker, metrics, log) = (self.broker.clone(), self.metrics.clone(), self.log.clone());
        let task = tokio::task::spawn_blocking(move || {
            let mut subject = Subject::default();
            let caller = caller.unwrap_or_else(|| Caller { name: Arc::from("unknown"), is_admitted: false });
            let result = if caller.is_admitted {
                work(&broker, request, &caller, &mut subject)
            } else {
                Err(Status::permission_denied(format!(
                    "{} may not use the broker; it serves root, and the group that `broker serve --group` names",
                    caller.name
                )))
            };
            let outcome = outcome(&result, operation, &subject);
            let took = start.elapsed();
            metrics.count(operation, outcome, took);
            audit::write(&log, operation.name(), outcome, &caller.name, &subject, took);
            result
        });
        // A panic ends the process; what else keeps a thread from its end is the end of the runtime.
        task.await.unwrap_or_else(|_| Err(Status::unavailable("the broker is stopping"))).map(Response::new)
    }
}

fn outcome<A>(result: &Result<A, Status>, operation: Operation, subject: &Subject) -> Outcome {
    match result {
        Ok(_) if operation == Operation::GetCredentials && subject.chosen.is_empty() => Outcome::Nothing,
        Ok(_) => Outcome::Done,
        Err(status) => match status.code() {
            tonic::Code::NotFound => Outcome::Nothing,
            tonic::Code::PermissionDenied | tonic::Code::InvalidArgument | tonic::Code::AlreadyExists => {
                Outcome::Refused
            }
            _ => Outcome::Failed,
        },
    }
}

fn parse_scope(text: &str) -> Result<Scope, Status> {
    text.parse().map_err(|error: ScopeError| Status::invalid_argument(error.to_string()))
}

#[tonic::async_trait]
impl<B: Broker> broker_server::Broker for Adapter<B> {
    async fn get_credentials(
        &self,
        request: Request<v1::GetCredentialsRequest>,
    ) -> Result<Response<v1::GetCredentialsResponse>, Status> {
        self.run(Operation::GetCredentials, request, |broker, request, _, subject| {
            let answer = broker.get_credentials(&request.request)?;
            subject.image = Some(answer.image);
            subject.chosen = answer.chosen;
            Ok(v1::GetCredentialsResponse { response: answer.response.0 })
        })
        .await
    }

    async fn put(&self, request: Request<v1::PutRequest>) -> Result<Response<v1::PutResponse>, Status> {
        self.run(Operation::Put, request, |broker, request, caller, subject| {
            let refused = |error: ScopeError| Status::invalid_argument(error.to_string());
            let credential = request.into_credential(time::now(), &caller.name).map_err(refused)?;
            subject.chosen = vec![(credential.scope.to_string(), credential.issuer.clone())];
            Ok(broker.put(credential)?.into())
        })
        .await
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Result<Response<v1::DeleteResponse>, Status> {
        self.run(Operation::Delete, request, |broker, request, _, subject| {
            let scope = parse_scope(&request.scope)?;
            subject.chosen = vec![(scope.to_string(), String::new())];
            if broker.delete(&scope)? {
                return Ok(v1::DeleteResponse {});
            }
            Err(Status::not_found(format!("nothing is stored for `{}`", text::sanitize(scope.as_str(), 300))))
        })
        .await
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        self.run(Operation::List, request, |broker, _, _, _| {
            Ok(v1::ListResponse { entries: broker.list()?.into_iter().map(v1::Entry::from).collect() })
        })
        .await
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        self.run(Operation::Status, request, |broker, _, _, _| Ok(broker.status()?.into())).await
    }
}

/// Longest work on one request. The slowest part is an issuer, which ends by itself before.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(30);
