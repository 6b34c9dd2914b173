//! The operator's command line. Standard output is data, standard error is talk; [`crate::exit::Code`] is the verdict.

mod apply;
mod broker;
mod check;
mod config;
mod doctor;
mod explain;
mod generate;
mod import;
mod list;
mod login;
mod logout;
mod node;
mod output;
mod session;
mod store;

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand, ValueEnum};

use crate::exit::Code;
use crate::store::Store;
use crate::{env, platform};
use output::Failure;

/// Answers the kubelet's requests for registry credentials from a sealed store on this node
///
/// Without arguments, and with a standard input that is no terminal, this program is the kubelet's plugin, as with the
/// command `get-credentials`.
#[derive(Parser)]
#[command(name = "keyring-credential-provider", version, max_term_width = 100)]
struct Cli {
    /// Directory of the store
    #[arg(long, global = true, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Form of what is printed on standard output
    #[arg(long, global = true, value_name = "FORM", default_value = "text")]
    output: Form,
    /// Say what is done, on standard error; again for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

/// Form of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Make, describe, re-key or lock the sealed store
    #[command(subcommand)]
    Store(store::Command),
    /// Store a credential, in place of the one of the same scope
    Login(login::Args),
    /// Remove a credential
    Logout(logout::Args),
    /// List what is stored, without secrets
    List(session::SessionArgs),
    /// Store what a file declares: credentials, and mirror rules
    Apply(apply::Args),
    /// Take over credentials and mirrors from the configuration of another tool
    Import(import::Args),
    /// Show what the kubelet would get for an image, and why
    Explain(explain::Args),
    /// Ask the registry, and the container runtime, what they do with the credential that the kubelet would get
    Check(check::Args),
    /// Look for everything that silently breaks a pull on this node, with the remedy
    Doctor(doctor::Args),
    /// Write or judge the configuration that makes a kubelet run this plugin
    #[command(subcommand)]
    Config(config::Command),
    /// Put the plugin on this node, look after it, take it off again
    #[command(subcommand)]
    Node(node::Command),
    /// Serve the store to the plugin and to operators, as one process
    #[command(subcommand)]
    Broker(broker::Command),
    /// Write man pages or shell completions
    #[command(subcommand)]
    Generate(generate::Command),
    /// Answer the kubelet: a request on standard input, the answer on standard output
    #[command(name = crate::plugin::VERB)]
    GetCredentials,
}

/// What every command gets.
struct Context {
    store: Store,
    form: Form,
}

/// Runs the command line and returns the exit code.
pub fn main() -> Code {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(error),
    };
    start_log(cli.verbose);
    let dir = cli.store.or_else(env::store_dir).unwrap_or_else(platform::default_store_dir);
    let context = Context { store: Store::at(dir), form: cli.output };
    tracing::debug!(store = %context.store.dir().display(), account = platform::account(), "starting");
    let result = match cli.command {
        Command::Store(command) => store::run(command, &context),
        Command::Login(args) => login::run(args, &context),
        Command::Logout(args) => logout::run(&args, &context),
        Command::List(args) => list::run(&args, &context),
        Command::Apply(args) => apply::run(&args, &context),
        Command::Import(args) => import::run(&args, &context),
        Command::Explain(args) => explain::run(&args, &context),
        Command::Check(args) => check::run(&args, &context),
        Command::Doctor(args) => doctor::run(&args, &context),
        Command::Config(command) => config::run(&command, &context),
        Command::Node(command) => node::run(&command, &context),
        Command::Broker(command) => broker::run(command, &context),
        Command::Generate(command) => generate::run(&command),
        Command::GetCredentials => {
            Err(Failure::new(Code::Usage, anyhow::anyhow!("`{}` must be the first argument", crate::plugin::VERB)))
        }
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// Prints what clap has to say, without repeating a word that might be a secret in the wrong place.
fn usage(mut error: clap::Error) -> Code {
    let is_answer = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if !is_answer {
        for kind in [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand] {
            let hide = matches!(error.get(kind), Some(ContextValue::String(word)) if !word.starts_with("--") && !word.starts_with('<'));
            if hide {
                error.insert(kind, ContextValue::String("...".to_owned()));
            }
        }
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::SuggestedValue);
    }
    // A closed standard output or error leaves nobody to tell.
    let _ = error.print();
    if is_answer && error.exit_code() == 0 { Code::Done } else { Code::Usage }
}

fn start_log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .init();
}
