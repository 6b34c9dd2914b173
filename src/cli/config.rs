//! `config`: writes the kubelet's `CredentialProviderConfig` for what is stored, and judges one.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::ValueEnum;
use serde::Serialize;

use super::output::{self, Failure, Outcome};
use super::{Context, Form};
use crate::credential::Credential;
use crate::exit::Code;
use crate::issuer;
use crate::kubelet::config::{self, Generated, KubeletVersion, System, TOKEN_GATE, Target, Verdict};
use crate::mirror::Source;
use crate::store::Store;
use crate::{platform, text};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Write the configuration that makes a kubelet ask for what is stored
    Generate(GenerateArgs),
    /// Judge a configuration by the kubelet's own rules, and warn of what it takes in silence
    Validate(ValidateArgs),
}

#[derive(clap::Args)]
pub(super) struct GenerateArgs {
    /// Version of the kubelet
    #[arg(long, value_name = "VERSION", default_value_t = KubeletVersion::NEWEST)]
    kubelet_version: KubeletVersion,
    /// Name of the program in the kubelet's `--image-credential-provider-bin-dir`
    #[arg(long, default_value = "keyring-credential-provider")]
    name: String,
    /// Operating system of the kubelet; default: this one
    #[arg(long, value_name = "SYSTEM")]
    os: Option<OperatingSystem>,
    #[command(flatten)]
    gates: Gates,
}

#[derive(clap::Args)]
pub(super) struct ValidateArgs {
    /// File, or directory of a kubelet from 1.34 on: the kubelet's `--image-credential-provider-config`
    #[arg(value_name = "FILE_OR_DIR")]
    path: PathBuf,
    /// Version of the kubelet
    #[arg(long, value_name = "VERSION", default_value_t = KubeletVersion::NEWEST)]
    kubelet_version: KubeletVersion,
    /// Look for the programs too: the kubelet's `--image-credential-provider-bin-dir`
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Operating system of the kubelet; default: this one
    #[arg(long, value_name = "SYSTEM")]
    os: Option<OperatingSystem>,
    #[command(flatten)]
    gates: Gates,
}

#[derive(clap::Args)]
struct Gates {
    /// The kubelet's `--feature-gates`, of which KubeletServiceAccountTokenForCredentialProviders counts
    #[arg(long, value_name = "NAME=BOOL,...", value_delimiter = ',', value_parser = feature_gate)]
    feature_gates: Vec<(String, bool)>,
}

impl Gates {
    /// The kubelet with these gates.
    fn target(&self, kubelet: KubeletVersion, system: System) -> Target {
        let mut target = Target::new(kubelet, system);
        for (name, is_on) in &self.feature_gates {
            if name == TOKEN_GATE {
                target.service_account_tokens = *is_on;
            }
        }
        target
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OperatingSystem {
    Linux,
    Windows,
}

/// `config validate --output json`, part of the command line's contract.
#[derive(Serialize)]
struct Judgement<'a> {
    valid: bool,
    errors: &'a [String],
    warnings: &'a [String],
}

pub(super) fn run(command: &Command, context: &Context) -> Outcome {
    match command {
        Command::Generate(args) => generate(args, context),
        Command::Validate(args) => validate(args, context.form),
    }
}

fn generate(args: &GenerateArgs, context: &Context) -> Outcome {
    let target = args.gates.target(args.kubelet_version, system(args.os));
    let generated = for_stored(&context.store, foreign_store(context.store.dir())?, &args.name, &target)?;
    let yaml = generated.to_yaml();
    if let Some(error) = config::judge_text(&yaml, &target).errors.first() {
        return Err(Failure::new(Code::Usage, anyhow!("the kubelet would refuse it: {error}")));
    }
    match context.form {
        Form::Json => output::print_json(&generated)?,
        Form::Text => output::print(&yaml)?,
    }
    Ok(Code::Done)
}

/// Makes the configuration for all that is stored; `dir` is what the plugin is told of the store's directory.
pub(super) fn for_stored(
    store: &Store,
    dir: Option<String>,
    name: &str,
    target: &Target,
) -> Result<Generated, Failure> {
    let opened = store.open()?;
    // For the image of a mirrored registry, the mirror's credential is answered.
    let mirrored = opened.mirrors.iter().filter_map(|rule| match &rule.source {
        Source::Any => None,
        Source::Registry(scope) => Some(scope),
    });
    let stored = opened.credentials.iter().map(|credential| &credential.scope);
    let scopes = stored.chain(mirrored.filter(|_| !opened.credentials.is_empty()));
    let generated = config::generate(scopes, name, target.kubelet, target.system, dir).ok_or_else(|| {
        let reason = "nothing is stored, and a kubelet refuses a provider without `matchImages`";
        let failure = Failure::new(Code::NothingStored, anyhow!(reason));
        failure.with_remedy("store a credential with `keyring-credential-provider login`")
    })?;
    with_tokens(generated, &opened.credentials, target)
}

/// Has the kubelet hand over what these entries want of the pod's service account, which an old one cannot.
pub(super) fn with_tokens(
    generated: Generated,
    credentials: &[Credential],
    target: &Target,
) -> Result<Generated, Failure> {
    let wanted = issuer::tokens(credentials).map_err(|error| {
        let remedy = error.remedy();
        Failure::new(Code::Conflict, error).with_remedy(remedy)
    })?;
    let Some((tokens, scopes)) = wanted else { return Ok(generated) };
    if !target.service_account_tokens {
        let scopes = scopes.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(", ");
        let gate = if target.kubelet.knows_tokens() {
            format!(" without the feature gate `{TOKEN_GATE}`")
        } else {
            String::new()
        };
        let reason = anyhow!(
            "{scopes}: for pods with a service account, whose token kubelet {} does not hand over{gate}",
            target.kubelet
        );
        let remedy = "a kubelet from 1.34 on does, and 1.33 with its feature gate; keep such credentials out of the store of an older one";
        return Err(Failure::new(Code::Conflict, reason).with_remedy(remedy));
    }
    Ok(generated.with_tokens(tokens, target.kubelet))
}

/// Returns the store's directory if the plugin would not find it by itself.
pub(super) fn foreign_store(dir: &Path) -> anyhow::Result<Option<String>> {
    if dir == platform::default_store_dir() {
        return Ok(None);
    }
    let dir = std::path::absolute(dir)?;
    let dir =
        dir.to_str().ok_or_else(|| anyhow!("the store's directory is not named in Unicode, as a configuration is"))?;
    Ok(Some(dir.to_owned()))
}

fn validate(args: &ValidateArgs, form: Form) -> Outcome {
    let target = args.gates.target(args.kubelet_version, system(args.os));
    let verdict = config::judge(&args.path, args.bin_dir.as_deref(), &target).map_err(anyhow::Error::from)?;
    match form {
        Form::Json => output::print_json(&Judgement {
            valid: verdict.is_valid(),
            errors: &verdict.errors,
            warnings: &verdict.warnings,
        })?,
        Form::Text => output::print(&tell(&verdict, args.kubelet_version))?,
    }
    Ok(if verdict.is_valid() { Code::Done } else { Code::Failed })
}

fn tell(verdict: &Verdict, kubelet: KubeletVersion) -> String {
    let mut lines = String::new();
    for (kind, messages) in [("error", &verdict.errors), ("warning", &verdict.warnings)] {
        for message in messages {
            // Of several lines there is one message, that of repeated keys.
            let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            lines.push_str(&format!("{kind}: {}\n", text::sanitize(&message, 4000)));
        }
    }
    let conclusion = if verdict.is_valid() { "takes" } else { "refuses" };
    lines + &format!("kubelet {kubelet} {conclusion} it\n")
}

fn system(chosen: Option<OperatingSystem>) -> System {
    match chosen {
        Some(OperatingSystem::Linux) => System::Linux,
        Some(OperatingSystem::Windows) => System::Windows,
        None if cfg!(windows) => System::Windows,
        None => System::Linux,
    }
}

fn feature_gate(text: &str) -> Result<(String, bool), &'static str> {
    const FORM: &str = "a feature gate is written as `NAME=true` or `NAME=false`";
    let (name, value) = text.split_once('=').ok_or(FORM)?;
    Ok((name.to_owned(), value.parse().map_err(|_| FORM)?))
}
