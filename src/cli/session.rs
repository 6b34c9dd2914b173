//! Who opens the store for a command: this process, a broker, or on Windows a broker for this command alone, as LocalSystem.
//!
//! Each account of Windows has a Credential Manager of its own, and a session over SSH has none at all. So where the key of the
//! store is in that of LocalSystem, an Administrator lets a service do it: made for the command, told where to listen and nothing
//! else, and removed with it. What is stored goes over its pipe, which SYSTEM and Administrators may open.

use std::path::{self, Path};

use anyhow::{Context as _, anyhow};

use super::Context;
use super::broker::{log_of, service_failure};
use super::output::{self, Failure};
use crate::broker;
use crate::broker::client::Client;
use crate::exit::Code;
use crate::grpc::Endpoint;
use crate::platform::{self, TemporaryService};
use crate::store::{self, KeySource, Store};

/// Name of the service for one command.
const SERVICE: &str = "keyring-credential-provider-once";
const TITLE: &str = "Keyring Credential Provider, for one command";
/// How long the service waits for a command that was killed.
const IDLE: &str = "30s";

/// For commands that can let somebody else open the store.
#[derive(clap::Args)]
pub(super) struct SessionArgs {
    /// Let the broker do it rather than open the store here; without ENDPOINT, the one that `broker serve` listens on
    #[arg(long, value_name = "ENDPOINT", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    broker: Option<String>,
    /// Windows: do it as LocalSystem, in a service that is there for this command only; done so without being told when the
    /// store's key is not in the Credential Manager of an Administrator
    #[arg(long, conflicts_with = "broker")]
    as_service: bool,
}

/// A broker, and the service that it is if it is there for this command only.
pub(super) struct Session {
    pub(super) client: Client,
    _service: Option<TemporaryService>,
}

impl SessionArgs {
    /// Returns who opens the store; nothing when this process does.
    pub(super) fn start(&self, context: &Context) -> Result<Option<Session>, Failure> {
        if let Some(text) = &self.broker {
            let endpoint = match text.as_str() {
                "" => broker::default_endpoint(),
                text => text.parse().map_err(|error: &str| Failure::new(Code::Usage, anyhow!(error)))?,
            };
            return Ok(Some(Session { client: Client::at(endpoint), _service: None }));
        }
        if !self.as_service && !is_another_accounts(&context.store) {
            return Ok(None);
        }
        if !self.as_service {
            output::say("the store's key is not in the Credential Manager of this account: asking as LocalSystem");
        }
        as_service(context.store.dir(), &[]).map(Some)
    }
}

/// Returns whether this account lacks the key of the store, and LocalSystem may have it.
fn is_another_accounts(store: &Store) -> bool {
    platform::may_act_as_system()
        && store.status().is_ok_and(|status| status.key_source == KeySource::Keyring)
        && matches!(store.open(), Err(store::Error::Unavailable { .. }))
}

/// Lets LocalSystem open a store for one command; `more` is said to `broker serve` besides.
pub(super) fn as_service(store: &Path, more: &[&str]) -> Result<Session, Failure> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).context("there is no randomness for the name of a pipe")?;
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let pipe = format!("npipe:////./pipe/{SERVICE}-{random}");
    // A service has a directory of its own.
    let store = path::absolute(store).context("cannot find the directory of the store")?;
    let log = log_of(&store);
    let store = store.display().to_string();
    let serve = ["--store", &store, "broker", "serve", "--service", SERVICE, "--log-file", &log];
    let arguments = [&serve[..], &["--idle", IDLE, "--listen", &pipe], more].concat();
    let service = TemporaryService::start(SERVICE, TITLE, &arguments)
        .map_err(|error| service_failure("start", SERVICE, error, Some(&log)))?;
    let endpoint: Endpoint = pipe.parse().map_err(|error: &str| Failure::new(Code::Usage, anyhow!(error)))?;
    Ok(Session { client: Client::at(endpoint), _service: Some(service) })
}
