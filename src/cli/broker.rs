//! `broker`: serves the store to the plugin and to operators, or asks whether somebody does.

use std::io;
use std::net::SocketAddr;
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::output::{self, Failure, Outcome};
use super::{Context, Form};
use crate::broker::client::{Client, ClientError};
use crate::broker::local::Local;
use crate::broker::{self, Log, serve};
use crate::exit::Code;
use crate::grpc::Endpoint;
use crate::store::{InitOptions, KeySource, SourceOptions, Store, SystemdKey};
use crate::{platform, time};

/// Name of the service of Windows.
const SERVICE: &str = "keyring-credential-provider";
const TITLE: &str = "Keyring Credential Provider";
const DESCRIPTION: &str = "Opens the sealed store of registry credentials for the kubelet's plugin and for operators.";

/// How a service makes a store.
const OF_SERVICE: InitOptions = InitOptions {
    key_source: Some(KeySource::Keyring),
    source_options: SourceOptions { systemd_key: SystemdKey::Auto, kms_endpoint: None },
    data_key_cache: Duration::ZERO,
};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Open the store for the plugin and for operators, until stopped
    Serve(ServeArgs),
    /// Windows: register the broker as a service of LocalSystem, and start it
    Install,
    /// Windows: stop the service of the broker, and remove it
    Uninstall,
    /// Ask the broker how it and its store are
    Status {
        /// Where the broker listens; default: where `broker serve` does
        #[arg(long, value_name = "ENDPOINT")]
        broker: Option<Endpoint>,
    },
}

#[derive(clap::Args)]
pub(super) struct ServeArgs {
    /// Where to listen: `unix:///PATH`, on Windows `npipe:////./pipe/NAME`
    #[arg(long, value_name = "ENDPOINT")]
    listen: Option<Endpoint>,
    /// Group whose members may use the broker as root does: read every credential, and change it
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Address for Prometheus, such as `127.0.0.1:9464`; loopback only
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    metrics: Option<SocketAddr>,
    /// Write what is asked, and what goes wrong, to this file rather than to standard error; when it has 8 MiB, it becomes `FILE.1`
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Run under the Service Control Manager of Windows, which is who gives this
    #[arg(long, hide = true, value_name = "NAME")]
    service: Option<String>,
    /// Make the store first, with the key where the account of the service has its own
    #[arg(long, hide = true)]
    init: bool,
    /// End when nobody was connected for so long
    #[arg(long, hide = true, value_name = "DURATION", value_parser = duration)]
    idle: Option<Duration>,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (code, remedy) = match &error {
            ClientError::Answered { code: tonic::Code::AlreadyExists, .. } => {
                (Code::Conflict, Some("store one of them without its wildcard"))
            }
            ClientError::Answered { code: tonic::Code::NotFound, .. } => {
                (Code::NothingStored, Some("`keyring-credential-provider list --broker` shows what is"))
            }
            ClientError::Answered { code: tonic::Code::PermissionDenied, .. } => (Code::NeedsPrivilege, None),
            ClientError::Answered { code: tonic::Code::InvalidArgument, .. } => (Code::Usage, None),
            ClientError::Answered { .. } => (Code::StoreUnavailable, None),
            ClientError::Connect { .. }
            | ClientError::Broken { .. }
            | ClientError::Timeout { .. }
            | ClientError::Runtime(_) => {
                (Code::StoreUnavailable, Some("start it: `keyring-credential-provider broker serve`"))
            }
        };
        let failure = Self::new(code, error);
        match remedy {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }
}

pub(super) fn run(command: Command, context: &Context) -> Outcome {
    match command {
        Command::Serve(args) => run_serve(args, context),
        Command::Install => install(context),
        Command::Uninstall => uninstall(context),
        Command::Status { broker } => status(broker, context),
    }
}

fn run_serve(args: ServeArgs, context: &Context) -> Outcome {
    let endpoint = args.listen.unwrap_or_else(broker::default_endpoint);
    let group = args.group.map(|name| group_id(&name)).transpose()?;
    let log = args.log_file.as_deref().map_or_else(|| Ok(Log::default()), Log::file).map_err(anyhow::Error::from)?;
    let options = serve::Options { endpoint, group, metrics: args.metrics, log, idle: args.idle };
    let store = context.store.clone();
    if let Some(name) = &args.service {
        platform::run_as_service(name, move |ready| {
            let made = if args.init { store.init(&OF_SERVICE).map(drop) } else { Ok(()) };
            let served = made.map_err(anyhow::Error::from).and_then(|()| serve_until_stopped(store, &options, ready));
            // Nobody hears what the process itself says.
            served.inspect_err(|error| options.log.say(&format!("error: {error:#}"))).is_ok()
        })
        .context("cannot run as a service")?;
    } else {
        serve_until_stopped(store, &options, &|| {})?;
    }
    Ok(Code::Done)
}

fn serve_until_stopped(store: Store, options: &serve::Options, ready: &dyn Fn()) -> anyhow::Result<()> {
    let endpoint = &options.endpoint;
    let sentence = format!("serving the store at `{}` on `{endpoint}`", store.dir().display());
    serve::serve(Local::new(store), options, || {
        options.log.say(&sentence);
        ready();
    })
    .with_context(|| format!("cannot serve on `{endpoint}`"))?;
    options.log.say("stopped");
    Ok(())
}

fn install(context: &Context) -> Outcome {
    // A service has a directory of its own.
    let store = path::absolute(context.store.dir()).context("cannot find the directory of the store")?;
    let log = log_of(&store);
    let store = store.display().to_string();
    let arguments = ["--store", &store, "broker", "serve", "--service", SERVICE, "--log-file", &log];
    platform::install_service(SERVICE, TITLE, DESCRIPTION, &arguments)
        .map_err(|error| service_failure("install", SERVICE, error, Some(&log)))?;
    let endpoint = broker::default_endpoint().to_string();
    let object = serde_json::json!({ "service": SERVICE, "endpoint": endpoint, "log": log });
    output::report(
        context.form,
        &object,
        &format!("installed and started the service `{SERVICE}`; its log is `{log}`"),
    )?;
    Ok(Code::Done)
}

fn uninstall(context: &Context) -> Outcome {
    let found =
        platform::uninstall_service(SERVICE).map_err(|error| service_failure("uninstall", SERVICE, error, None))?;
    let sentence = if found { "removed the service" } else { "there is no service" };
    output::report(context.form, &serde_json::json!({ "removed": found }), &format!("{sentence} `{SERVICE}`"))?;
    Ok(Code::Done)
}

/// Returns where the services of a store write.
pub(super) fn log_of(store: &Path) -> String {
    store.join("broker.log").display().to_string()
}

/// What the Service Control Manager refused, or the service itself, which then has a log.
pub(super) fn service_failure(what: &str, name: &str, error: io::Error, log: Option<&str>) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => Code::NeedsPrivilege,
        io::ErrorKind::Unsupported => Code::Usage,
        _ => Code::Failed,
    };
    // By itself, at once.
    let has_ended = error.kind() == io::ErrorKind::BrokenPipe;
    let failure = Failure::new(code, anyhow!(error).context(format!("cannot {what} the service `{name}`")));
    match log.filter(|_| has_ended) {
        Some(log) if Path::new(log).exists() => failure.with_remedy(format!("what the service says is in `{log}`")),
        Some(_) => failure.with_remedy("run `keyring-credential-provider broker serve` by hand to see why"),
        None => failure,
    }
}

fn group_id(name: &str) -> Result<u32, Failure> {
    let found = platform::group_id(name).context("cannot look up the group of `--group`")?;
    found.ok_or_else(|| Failure::new(Code::Usage, anyhow!("there is no group of the name that `--group` gives")))
}

fn status(endpoint: Option<Endpoint>, context: &Context) -> Outcome {
    let endpoint = endpoint.unwrap_or_else(broker::default_endpoint);
    let status = Client::at(endpoint.clone()).status()?;
    match context.form {
        Form::Json => output::print_json(&serde_json::json!({
            "endpoint": endpoint.to_string(),
            "version": status.version,
            "store": status.store,
            "generation": status.generation,
            "credentials": status.credentials,
            "keySource": status.key_source,
            "uptimeSeconds": status.uptime.as_secs(),
            "answers": status.answers,
        }))?,
        Form::Text => {
            let rows = [
                ("endpoint", endpoint.to_string()),
                ("version", status.version),
                ("store", status.store),
                ("generation", status.generation.to_string()),
                ("credentials", status.credentials.to_string()),
                ("key source", status.key_source),
                ("up for", format!("{} s", status.uptime.as_secs())),
                ("answers", status.answers.to_string()),
            ];
            output::print(&output::columns(&rows.map(|(name, value)| [name.to_owned(), value])))?;
        }
    }
    Ok(Code::Done)
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    time::parse_duration(text).ok_or("a duration is written as `30s` or `5m`")
}

fn loopback(text: &str) -> Result<SocketAddr, &'static str> {
    let address: Option<SocketAddr> = text.parse().ok();
    address
        .filter(|address| address.ip().is_loopback())
        .ok_or("metrics are served on a loopback address only, such as `127.0.0.1:9464`")
}
