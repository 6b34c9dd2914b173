//! `node`: puts the plugin on a node, looks after it, and takes it off again.

mod change;
mod show;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::config::{for_stored, foreign_store, with_tokens};
use super::output::{self, Failure, Outcome};
use super::{Context, Form};
use crate::exit::Code;
use crate::kubelet::config::{self, Generated, Position, Target};
use crate::node::{self, Flavour, Node, Plan, Program, Refusal, Root, StateError};
use crate::store::Store;
use crate::{platform, time};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Say what this node is: kind, kubelet, flags, places, providers
    Detect(Place),
    /// Show what `apply` would change; exits with 10 when there is something
    Plan(PlanArgs),
    /// Put the plugin on this node
    Apply(ApplyArgs),
    /// Look whether the plugin is as it was left, and whether the kubelet takes it
    Verify(Place),
    /// Put back what was there before the last `apply`, where nobody else changed it since
    Rollback(RollbackArgs),
    /// Take the plugin off this node; other providers stay
    Uninstall(UninstallArgs),
}

/// The node, and what is said in place of what is found.
#[derive(clap::Args)]
pub(super) struct Place {
    /// The node's files are below this directory; default: this machine
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Kind of the node: kubeadm, k3s, rke2, eks, aks, k0s, microk8s, talos, other; default: as found
    #[arg(long, value_name = "FLAVOUR")]
    flavour: Option<Flavour>,
    /// Directory of the plugins, where the kubelet has none yet
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<String>,
    /// Configuration of the providers, where the kubelet has none yet
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Version of the kubelet; default: as it says
    #[arg(long, value_name = "VERSION")]
    kubelet_version: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    place: Place,
    /// Image pattern to ask the plugin for, again for more; default: all that is stored
    #[arg(long, value_name = "PATTERN")]
    match_image: Vec<String>,
    /// Argument for the plugin behind its own, again for more
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    provider_arg: Vec<String>,
    /// Put the plugin before the other providers; kubelets from 1.33 on try it first
    #[arg(long)]
    first: bool,
    /// The plugin's program; default: this one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    restart: RestartArgs,
}

#[derive(clap::Args)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    restart: RestartArgs,
}

#[derive(clap::Args)]
pub(super) struct UninstallArgs {
    #[command(flatten)]
    place: Place,
    /// Remove the store too, with all that is in it
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    restart: RestartArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(clap::Args)]
pub(super) struct RestartArgs {
    /// Restart the kubelet; `apply` puts everything back should it not come up
    #[arg(long)]
    restart: bool,
    /// How long the kubelet may take to come up
    #[arg(long, value_name = "DURATION", default_value = "180s", requires = "restart", value_parser = duration)]
    wait: Duration,
}

impl RestartArgs {
    /// Returns how long to wait for the restart, if there is to be one.
    fn patience(&self, node: &Node) -> Result<Option<Duration>, Failure> {
        if self.restart && !node.root.is_live() {
            let reason = "`--restart` is for this machine, not for a tree below `--root`";
            return Err(Failure::new(Code::Usage, anyhow!(reason)));
        }
        Ok(self.restart.then_some(self.wait))
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    time::parse_duration(text).ok_or("a duration is written as `90s`, `5m` or `1h30m`")
}

pub(super) fn run(command: &Command, context: &Context) -> Outcome {
    match command {
        Command::Detect(place) => detect(place, context.form),
        Command::Plan(args) => plan(args, context),
        Command::Apply(args) if args.dry_run => plan(&args.plan, context),
        Command::Apply(args) => change::apply(args, context),
        Command::Verify(place) => verify(place, context.form),
        Command::Rollback(args) => change::rollback(args, context.form),
        Command::Uninstall(args) => change::uninstall(args, context),
    }
}

impl Place {
    fn find(&self) -> Result<Node, Failure> {
        let root = Root::new(self.root.as_deref()).with_context(|| {
            format!("cannot use `{}` as the root of a node", self.root.as_deref().unwrap_or("/".as_ref()).display())
        })?;
        Ok(node::detect(
            root,
            node::Options {
                flavour: self.flavour,
                bin_dir: self.bin_dir.clone(),
                config: self.config.clone(),
                version: self.kubelet_version.clone(),
            },
        ))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(Code::Conflict, anyhow!(refusal.reason)).with_remedy(refusal.remedy)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Busy => Self::new(Code::Conflict, error).with_remedy("wait until it has ended"),
            StateError::File { .. } => Self::new(Code::Failed, error),
        }
    }
}

fn detect(place: &Place, form: Form) -> Outcome {
    let found = show::Found::of(&place.find()?);
    match form {
        Form::Json => output::print_json(&found)?,
        Form::Text => output::print(&found.to_text())?,
    }
    Ok(Code::Done)
}

fn plan(args: &PlanArgs, context: &Context) -> Outcome {
    let node = args.place.find()?;
    if node.flavour == Flavour::Talos {
        return talos(args, &node, context);
    }
    let plan = make(args, &node, context)?;
    show::plan(&node, &plan.changes, &plan.warnings, plan.needs_restart(), context.form)?;
    Ok(if plan.changes.is_empty() { Code::Done } else { Code::ChangesPending })
}

/// Prints what is given to Talos from outside.
fn talos(args: &PlanArgs, node: &Node, context: &Context) -> Outcome {
    // Every Talos that takes extensions of this kind has a kubelet that takes this.
    let version = node.kubelet().unwrap_or(config::KubeletVersion::NEWEST);
    let target = Target::new(version, config::System::Linux);
    let provider = provider(args, node, &target, Some(node::TALOS_STORE), context)?;
    let extension = node::extension(&provider);
    match context.form {
        Form::Json => output::print_json(&extension)?,
        Form::Text => output::print(&show::extension(&extension))?,
    }
    Ok(Code::Done)
}

/// Plans what the arguments ask for.
fn make(args: &PlanArgs, node: &Node, context: &Context) -> Result<Plan, Failure> {
    // Before the store is opened: a node that is not ours to change needs none.
    node.place()?;
    let target = Target::new(node.kubelet()?, node.root.system());
    let mut provider = provider(args, node, &target, None, context)?;
    if node.flavour == Flavour::Rke2 {
        provider = provider.with_alias("docker.io", "index.docker.io");
    }
    let position = if args.first { Position::First } else { Position::Last };
    let program = Program { bytes: program(args)?, provider, position };
    Ok(node::plan(node, &program)?)
}

/// Makes the entry for the configuration; `store` is what the plugin is told of the store's directory, in place of what is so.
fn provider(
    args: &PlanArgs,
    node: &Node,
    target: &Target,
    store: Option<&str>,
    context: &Context,
) -> Result<Generated, Failure> {
    let (opened, told) = store_of(node, context)?;
    let told = store.map(str::to_owned).or(told);
    if args.match_image.is_empty() {
        return Ok(for_stored(&opened, told, node::NAME, target)?.with_arguments(&args.provider_arg));
    }
    let generated = config::generate_for(args.match_image.clone(), node::NAME, target.kubelet, target.system, told);
    let generated = generated.ok_or_else(|| anyhow!("no pattern was given"))?;
    // The store may be yet to come, or be that of another machine: then nobody wants a token.
    let generated = match opened.open() {
        Ok(opened) => with_tokens(generated, &opened.credentials, target)?,
        Err(_) => generated,
    };
    Ok(generated.with_arguments(&args.provider_arg))
}

/// Returns the store, and its directory as the plugin has to be told it. In a tree below `--root`, the default store is that of
/// the tree.
fn store_of(node: &Node, context: &Context) -> anyhow::Result<(Store, Option<String>)> {
    let dir = context.store.dir();
    if !node.root.is_live() && dir == platform::default_store_dir() {
        let theirs = node::state::store_dir(&node.root);
        let dir = node.root.host(theirs).with_context(|| format!("cannot use `{theirs}`"))?;
        return Ok((Store::at(dir), None));
    }
    Ok((Store::at(dir), foreign_store(dir)?))
}

fn program(args: &PlanArgs) -> anyhow::Result<Vec<u8>> {
    let path = match &args.binary {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("cannot find this program")?,
    };
    fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn verify(place: &Place, form: Form) -> Outcome {
    let node = place.find()?;
    let Some(state) = node::state::read(&node.root)? else {
        let failure = Failure::new(Code::Failed, anyhow!("the plugin was not put on this node by `node apply`"));
        return Err(failure.with_remedy("`node plan` shows what is to be done"));
    };
    let checks = node::verify(&node, &state);
    let ok = checks.iter().all(|check| check.ok);
    match form {
        Form::Json => output::print_json(&show::Verified { ok, checks: &checks })?,
        Form::Text => output::print(&show::checks(&checks))?,
    }
    Ok(if ok { Code::Done } else { Code::Failed })
}
