//! `check`: what the registry and the container runtime do with the credential that the kubelet would get.

mod text;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

use super::output::{self, Failure, Outcome};
use super::{Context, Form};
use crate::check::registry::{self, Asked, Question};
use crate::check::{self, Attempt, Evidence, Pulling, RuntimePull, Verdict};
use crate::containerd::{self, Chain, Config};
use crate::cri::{self, Runtime};
use crate::exit::Code;
use crate::grpc::Endpoint;
use crate::issuer::Issuing;
use crate::kubelet::ApiVersion;
use crate::kubelet::config::System;
use crate::kubelet::response::CredentialProviderResponse;
use crate::reference::Reference;
use crate::{provider, time};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Image as a pod names it: `nginx:1.27`, `registry.example.com:5000/team/app`
    image: String,
    /// Pull through the container runtime too: `unix:///run/containerd/containerd.sock`,
    /// `npipe:////./pipe/containerd-containerd`
    #[arg(long, value_name = "ENDPOINT", value_parser = cri::endpoint)]
    cri: Option<Endpoint>,
    /// Leave what `--cri` pulled on the node
    #[arg(long, requires = "cri")]
    keep: bool,
    /// config.toml of the node's containerd; default: where distributions keep it
    #[arg(long, value_name = "FILE")]
    containerd_config: Option<PathBuf>,
    /// Directory with a directory of hosts.toml for each registry, whatever config.toml says; may be given again
    #[arg(long, value_name = "DIR", conflicts_with = "containerd_config")]
    hosts_dir: Vec<PathBuf>,
    /// Let the token server of this name and port learn the credential, though it belongs to another site or speaks plain HTTP; may
    /// be given again
    #[arg(long, value_name = "HOST")]
    allow_realm: Vec<String>,
    /// Longest time of one request to a registry
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    timeout: Duration,
    /// Longest time of one pull by the runtime
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    pull_timeout: Duration,
}

/// As long as the plugin may take for an answer.
const ISSUING: Duration = Duration::from_secs(10);

/// `check --output json`, part of the command line's contract; docs/check.md has the fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    image: String,
    answer: Option<serde_json::Value>,
    config: Option<PathBuf>,
    #[serde(flatten)]
    asked: &'a Asked,
    runtime: Option<&'a RuntimePull>,
    verdict: &'a Verdict,
    warnings: &'a [String],
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let image = Reference::parse_lenient(&args.image).map_err(|error| Failure::new(Code::Usage, error))?;
    let version = Reference::version(&args.image);
    let opened = context.store.open()?;
    let deadline = Some(Instant::now() + ISSUING);
    let issuing =
        Issuing { registry: image.domain(), tokens: Some(&opened.tokens), deadline, ..Issuing::offline(time::now()) };
    let issued = provider::provide(ApiVersion::V1, &image, &opened.credentials, &opened.mirrors, &issuing);
    let mut warnings = Vec::new();
    if let Err(error) = &issued {
        warnings.push(format!("the plugin fails for this image, so the kubelet pulls without a credential: {error}"));
    }
    let response = issued.as_ref().ok();
    let attempts = check::attempts(&image, response);
    let config = config(args)?;
    let chain = config.chain(image.domain());
    warnings.extend(config.warnings.iter().chain(&chain.warnings).cloned());
    warnings.extend(warn_of_logins(&config, &chain, &image, response));

    let question = Question {
        image: &image,
        version: &version,
        timeout: args.timeout,
        allowed_realms: &args.allow_realm,
        now: time::now(),
    };
    let asked = registry::ask(&question, &chain, &attempts);
    let runtime = match &args.cri {
        Some(endpoint) => Some(pull(args, endpoint, &format!("{image}{version}"), &attempts, context.form)?),
        None => None,
    };
    warnings.extend(check::warn(&asked, &chain, runtime.as_ref()));
    let own_login = config.logins.iter().find(|login| chain.hosts.iter().any(|host| host.authority == login.host));
    let verdict = check::judge(&Evidence {
        registry: image.domain(),
        has_credential: attempts.iter().any(|attempt| attempt.credential.is_some()),
        hosts: asked.attempts.last(),
        runtime: runtime.as_ref(),
        no_credential: issued.as_ref().err().map(ToString::to_string),
        own_login: own_login.map(|login| format!("`{}`, line {}", login.file.display(), login.line)),
    });
    let report = Report {
        image: format!("{image}{version}"),
        answer: response.map(CredentialProviderResponse::redacted),
        config: config.file.clone(),
        asked: &asked,
        runtime: runtime.as_ref(),
        verdict: &verdict,
        warnings: &warnings,
    };
    match context.form {
        Form::Json => output::print_json(&report)?,
        Form::Text => output::print(&text::tell(&report, response))?,
    }
    Ok(verdict.word.code())
}

/// Finds and reads what containerd reads.
fn config(args: &Args) -> anyhow::Result<Config> {
    if !args.hosts_dir.is_empty() {
        return Ok(Config::with_roots(args.hosts_dir.clone()));
    }
    let mut usual = containerd::usual_configs(System::HERE).iter().map(PathBuf::from);
    match args.containerd_config.clone().or_else(|| usual.find(|path| path.is_file())) {
        Some(path) => containerd::read(&path).context("cannot tell which hosts containerd asks"),
        None => Ok(Config::none()),
    }
}

/// Says which logins of containerd's own do not count, and why.
fn warn_of_logins(
    config: &Config,
    chain: &Chain,
    image: &Reference,
    response: Option<&CredentialProviderResponse>,
) -> Vec<String> {
    let answers = response.is_some_and(|response| !response.auth.is_empty());
    let asked: Vec<&str> = chain.hosts.iter().map(|host| host.authority.as_str()).collect();
    let warning = |login: &containerd::Login| {
        let place = format!("`{}`, line {}", login.file.display(), login.line);
        if asked.contains(&login.host.as_str()) {
            answers.then(|| {
                format!(
                    "the login for `{}` in {place} is not used while the kubelet passes on a credential",
                    login.host
                )
            })
        } else {
            (login.host == image.domain()).then(|| {
                let asked = asked.join("`, `");
                format!("the login for `{}` in {place} is never used: containerd asks `{asked}`", login.host)
            })
        }
    };
    config.logins.iter().filter_map(warning).collect()
}

fn pull(
    args: &Args,
    endpoint: &Endpoint,
    image: &str,
    attempts: &[Attempt<'_>],
    form: Form,
) -> Result<RuntimePull, Failure> {
    let failed = |error| {
        let error =
            anyhow::Error::new(error).context(format!("the container runtime at `{}`", endpoint.path().display()));
        Failure::new(Code::Failed, error).with_remedy(
            "run this as root or Administrator while the runtime runs; the kubelet's `--container-runtime-endpoint` is the address",
        )
    };
    let runtime = Runtime::connect(endpoint).map_err(failed)?;
    let pulling = Pulling { image, keep: args.keep, timeout: args.pull_timeout };
    check::pull(&runtime, &pulling, attempts, |elapsed| {
        if form == Form::Text {
            output::say(&format!("still pulling after {} seconds", elapsed.as_secs()));
        }
    })
    .map_err(failed)
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    time::parse_duration(text).filter(|time| range.contains(time)).ok_or("a time is `1s` to `1h`")
}
