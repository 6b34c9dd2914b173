//! What the kubelet runs at every pull: read, answer, write, within a deadline.
//!
//! No command line parser and no YAML on this path; no async runtime, unless `--broker` asks for one; and no network, unless the
//! issuer of the chosen credential has to be asked.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::panic;
use std::path::PathBuf;
use std::process;
use std::time::{Duration, Instant};

use crate::broker::client::{Client, ClientError};
use crate::exit::Code;
use crate::grpc::Endpoint;
use crate::issuer::{IssuerError, Issuing};
use crate::kubelet::request::{self, CredentialProviderRequest, RequestError};
use crate::platform;
use crate::provider;
use crate::store::{self, Store};
use crate::text;
use crate::{env, time};

pub use crate::kubelet::VERB;

/// The kubelet kills a plugin after 60 seconds, and says nothing useful then.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_TIMEOUT: Duration = Duration::from_secs(55);

/// The kubelet appends standard error to one log line: the longest reason on ours, in bytes, so that the line stays below 1 KiB.
const MAX_REASON: usize = 960;

const BROKER: &str =
    if cfg!(windows) { "`--broker` takes `npipe:////./pipe/NAME`" } else { "`--broker` takes `unix:///PATH`" };

/// Runs the plugin with the arguments behind [`VERB`] and returns the exit code.
pub fn main(arguments: &[OsString]) -> Code {
    // The message of a panic may quote data; where it happened is enough for a bug report.
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        fail(&format!("internal error{place}; please report it"));
    }));
    let result = parse_options(arguments).and_then(|options| {
        // Whatever it waits for then: the kubelet's end of a pipe, a disk, a key store.
        let seconds = options.timeout.as_secs();
        let remedy = "run `keyring-credential-provider explain` on the node";
        let deadline = Instant::now() + options.timeout;
        platform::end_process_after(options.timeout, line(&format!("no answer within {seconds} seconds; {remedy}")));
        let input = platform::open_request().map_err(RequestError::Read)?;
        let output = platform::open_reply().map_err(PluginError::Write)?;
        match &options.broker {
            Some(broker) => ask(broker, input, output, &options, deadline),
            None => run(input, output, &Store::at(&options.store), time::now(), deadline),
        }
    });
    match result {
        Ok(()) => Code::Done,
        Err(error) => {
            say(&error.line());
            Code::Failed
        }
    }
}

/// Lets the broker answer. With the fallback, the store is read here when there is no broker to answer; what a broker answers is
/// final, an error too.
fn ask(
    broker: &Endpoint,
    input: impl Read,
    output: impl Write,
    options: &Options,
    deadline: Instant,
) -> Result<(), PluginError> {
    let request = request::read_bounded(input)?;
    // Half of the time is left for the store.
    let timeout = if options.falls_back { options.timeout / 2 } else { options.timeout };
    match Client::at(broker.clone()).get_credentials(&request, timeout) {
        Ok(response) => response.write_to(output).map_err(PluginError::Write),
        Err(error) if error.is_down() && options.falls_back => {
            run(request.as_slice(), output, &Store::at(&options.store), time::now(), deadline)
        }
        Err(source) => Err(PluginError::Broker { source }),
    }
}

/// Answers one request at the time `now`, in seconds since 1970; issuers are asked until shortly before `deadline`.
///
/// # Errors
/// [`PluginError`]; nothing was written then, unless writing itself failed.
pub fn run(
    input: impl Read,
    output: impl Write,
    store: &Store,
    now: i64,
    deadline: Instant,
) -> Result<(), PluginError> {
    let request = CredentialProviderRequest::read(input)?;
    let registry = request.image.domain();
    let opened = store
        .open_for(Some(&request.image))
        .map_err(|source| PluginError::Store { registry: registry.to_owned(), source })?;
    let issuing = Issuing {
        now,
        registry,
        service_account: request.service_account.as_ref(),
        tokens: Some(&opened.tokens),
        deadline: Some(deadline),
    };
    let response =
        provider::provide(request.api_version, &request.image, &opened.credentials, &opened.mirrors, &issuing)
            .map_err(|source| PluginError::Issuer { registry: registry.to_owned(), source })?;
    response.write_to(output).map_err(PluginError::Write)
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// The arguments in the kubelet's CredentialProviderConfig are wrong.
    #[error("wrong arguments: {0}")]
    Arguments(&'static str),
    /// The request was not understood.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The store could not be opened.
    #[error("{registry}: {source}; {}", source.remedy())]
    Store {
        /// Registry of the image.
        registry: String,
        /// What is wrong.
        source: store::Error,
    },
    /// A credential is stored but could not be issued.
    #[error("{registry}: {source}; {}", source.remedy(registry))]
    Issuer {
        /// Registry of the image.
        registry: String,
        /// What is wrong.
        source: IssuerError,
    },
    /// The broker could not be asked, or answered with an error.
    #[error("{source}{}", if source.is_down() { "; start it, or add `--broker-fallback`" } else { "" })]
    Broker {
        /// What is wrong.
        source: ClientError,
    },
    /// The answer could not be written.
    #[error("cannot write the answer to standard output: {0}")]
    Write(io::Error),
}

impl PluginError {
    /// Returns the one line for the kubelet's log.
    fn line(&self) -> String {
        let mut line = text::sanitize(&self.to_string(), MAX_REASON);
        if line.len() > MAX_REASON {
            line.truncate(line.floor_char_boundary(MAX_REASON - '…'.len_utf8()));
            line.push('…');
        }
        line
    }
}

struct Options {
    store: PathBuf,
    timeout: Duration,
    broker: Option<Endpoint>,
    /// Reads the store when the broker cannot be asked.
    falls_back: bool,
}

fn parse_options(arguments: &[OsString]) -> Result<Options, PluginError> {
    let mut store = env::store_dir();
    let mut timeout = DEFAULT_TIMEOUT;
    let mut broker = None;
    let mut falls_back = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        // An argument is never repeated in a message: it might be a secret that was put in the wrong place.
        let (name, inline) = match argument.to_str().and_then(|text| text.split_once('=')) {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (argument.to_str().unwrap_or_default(), None),
        };
        let mut value = || inline.clone().or_else(|| rest.next().cloned());
        match name {
            "--store" => {
                store = Some(value().ok_or(PluginError::Arguments("`--store` takes a directory"))?.into());
            }
            "--timeout" => {
                timeout = value()
                    .and_then(|text| time::parse_duration(text.to_str()?))
                    .filter(|timeout| (Duration::from_secs(1)..=MAX_TIMEOUT).contains(timeout))
                    .ok_or(PluginError::Arguments("`--timeout` takes `1s` to `55s`"))?;
            }
            "--broker" => {
                let endpoint = value().and_then(|text| text.to_str()?.parse().ok());
                broker = Some(endpoint.ok_or(PluginError::Arguments(BROKER))?);
            }
            "--broker-fallback" if inline.is_none() => falls_back = true,
            _ => {
                return Err(PluginError::Arguments(
                    "`get-credentials` takes `--store DIR`, `--timeout DURATION`, `--broker ENDPOINT` and `--broker-fallback` only",
                ));
            }
        }
    }
    let store = store.unwrap_or_else(platform::default_store_dir);
    // Which directory the kubelet runs in is no part of anybody's configuration.
    if !store.is_absolute() {
        return Err(PluginError::Arguments("`--store` and `KEYRING_CREDENTIAL_PROVIDER_STORE` take an absolute path"));
    }
    if falls_back && broker.is_none() {
        return Err(PluginError::Arguments("`--broker-fallback` goes with `--broker`"));
    }
    Ok(Options { store, timeout, broker, falls_back })
}

#[expect(clippy::exit, reason = "a panic must not unwind into a write")]
fn fail(reason: &str) {
    say(reason);
    process::exit(1);
}

/// Writes one line to standard error in one call, so that it stays one line among those of other plugins.
fn say(reason: &str) {
    // Nobody is left to be told when this fails.
    let _ = io::stderr().write_all(line(reason).as_bytes());
}

fn line(reason: &str) -> String {
    format!("keyring-credential-provider: {reason}\n")
}
