//! `login`: stores a credential.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::Context;
use super::output::{self, Failure, Outcome};
use super::session::SessionArgs;
use crate::broker::Stored;
use crate::credential::{Credential, MAX_SECRET};
use crate::exit::Code;
use crate::issuer::{self, Issuer, IssuerError, Issuing};
use crate::scope::Scope;
use crate::secret::Secret;
use crate::{text, time};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Registry, or registry and path: `docker.io`, `registry.example.com:5000`, `quay.io/team`, `*.example.com`
    scope: String,
    /// User name, or what the issuer takes for one; some issuers take none
    #[arg(short, long, value_name = "USER", required_unless_present = "issuer")]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from a file: UTF-8, or UTF-16 with a byte order mark
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    password_file: Option<PathBuf>,
    /// Refused: everybody on the node could read it
    #[arg(short, long, value_name = "PASSWORD", hide = true)]
    password: Option<String>,
    /// What turns the password into the answer
    #[arg(long, value_name = "ISSUER", default_value = "static")]
    issuer: String,
    /// Setting of the issuer, such as `cache=300s`; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// When the password itself ends: `2027-01-31T00:00:00Z`
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Ask the issuer once, and store nothing when it refuses
    #[arg(long = "try")]
    try_it: bool,
    #[command(flatten)]
    session: SessionArgs,
}

/// How long `--try` waits for an issuer.
const TRY: Duration = Duration::from_secs(30);

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    let try_it = args.try_it;
    let (session, credential) = read(args).map_err(|error| Failure::new(Code::Usage, error))?;
    if try_it {
        try_issuer(&credential)?;
    }
    let scope = credential.scope.clone();
    // Only now: a service for this command does not wait for a person.
    let Stored { replaced, others } = match session.start(context)? {
        Some(session) => session.client.put(&credential)?,
        None => store(credential, context)?,
    };

    let warnings = neighbours(&scope, &others);
    for warning in &warnings {
        output::say(&format!("warning: {warning}"));
    }
    let done = if replaced { "replaced" } else { "stored" };
    let object = serde_json::json!({ "scope": scope.as_str(), "replaced": replaced, "warnings": warnings });
    output::report(context.form, &object, &format!("{done} the credential for `{scope}`"))?;
    Ok(Code::Done)
}

/// Asks the issuer once, as a pull without a service account would.
fn try_issuer(credential: &Credential) -> Result<(), Failure> {
    let deadline = Some(Instant::now() + TRY);
    let issuing = Issuing { deadline, registry: credential.scope.domain(), ..Issuing::offline(time::now()) };
    let failed = |error: IssuerError| {
        let code = if error.is_remote() { Code::Refused } else { Code::Usage };
        let remedy = error.remedy(credential.scope.as_str());
        Failure::new(code, error).with_remedy(format!("nothing was stored; {remedy}"))
    };
    let Some(preview) = issuer::preview(credential, &issuing).map_err(failed)? else {
        let error = anyhow!("`--try` has nobody to ask: issuer `{}` answers with what is stored", credential.issuer);
        return Err(Failure::new(Code::Usage, error));
    };
    let issued = issuer::issue(credential, &issuing).map_err(failed)?;
    let user = text::sanitize(&issued.username, 60);
    let seconds = issued.cache_duration.as_secs();
    output::say(&format!(
        "`{}` gave a credential for user `{user}`; the kubelet would keep it for {seconds} seconds",
        preview.endpoint
    ));
    Ok(())
}

fn store(credential: Credential, context: &Context) -> Result<Stored, Failure> {
    let mut writer = context.store.write()?;
    let others: Vec<Scope> = writer.credentials().iter().map(|stored| stored.scope.clone()).collect();
    if let Some(tied) = others.iter().find(|other| credential.scope.ties_with(other)) {
        return Err(tie(&credential.scope, tied));
    }
    let replaced = writer.put(credential);
    writer.commit()?;
    Ok(Stored { replaced, others })
}

/// Two scopes of which no rule could choose one.
pub(super) fn tie(scope: &Scope, other: &Scope) -> Failure {
    Failure::new(Code::Conflict, anyhow!("`{scope}` and `{other}` fit the same images equally well"))
        .with_remedy("store one of them without its wildcard")
}

/// Reads and checks everything before the store is locked.
fn read(args: Args) -> anyhow::Result<(SessionArgs, Credential)> {
    let Args {
        scope, username, password_stdin, password_file, password, issuer, settings, expires_at, session, ..
    } = args;
    if password.map(Zeroizing::new).is_some() {
        bail!(
            "a password is never taken from an argument, where everybody on the node could read it; use `--password-stdin`"
        );
    }
    let scope: Scope = scope.parse()?;
    let issuer = Issuer::by_name(&issuer)?;
    let settings = parse_settings(&settings)?;
    let now = time::now();
    let expires_at = expires_at.map(|text| parse_expiry("`--expires-at`", &text, now)).transpose()?;
    let needs = issuer.needs(&settings);
    if needs.user && username.is_none() {
        bail!("issuer `{}` needs a user; use `--username`", issuer.name());
    }
    let secret = if let Some(path) = password_file {
        read_password_file(&path)?
    } else if password_stdin {
        read_password(io::stdin().lock()).context("cannot read the password from standard input")?
    } else if !needs.secret {
        Zeroizing::default()
    } else if io::stdin().is_terminal() {
        prompt(&scope)?
    } else {
        bail!("no terminal to ask for the password; use `--password-stdin` or `--password-file`");
    };
    let credential = Credential {
        scope,
        username: username.unwrap_or_default(),
        secret: Secret::new(secret),
        issuer: issuer.name().to_owned(),
        settings,
        expires_at,
        updated_at: now,
        origin: "login".to_owned(),
    };
    issuer.check(&credential)?;
    Ok((session, credential))
}

fn parse_settings(settings: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut parsed = BTreeMap::new();
    for setting in settings {
        let (name, value) = setting.split_once('=').context("`--set` takes `name=value`")?;
        if parsed.insert(name.to_owned(), value.to_owned()).is_some() {
            bail!("`--set` gives the same setting twice");
        }
    }
    Ok(parsed)
}

/// Parses when a secret ends; `what` names where the time was given.
pub(super) fn parse_expiry(what: &str, text: &str, now: i64) -> anyhow::Result<i64> {
    // jiff's message quotes the text; the place of a mistake in twenty characters needs no pointing out.
    let Ok(time) = text.parse::<Timestamp>() else {
        bail!("{what} takes a time with its zone, such as `2027-01-31T00:00:00Z`");
    };
    if time.as_second() <= now {
        bail!("{what} lies in the past");
    }
    Ok(time.as_second())
}

/// Reads a secret from a text file.
pub(super) fn read_password_file(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    read_password(file).with_context(|| format!("cannot read the password from `{}`", path.display()))
}

/// Reads text up to its end, without the line break that editors and `echo` put there.
fn read_password(input: impl Read) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    // Twice the limit, as UTF-16 may be, and the whole size from the start.
    let limit = 2 * MAX_SECRET + 16;
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    input.take(limit as u64).read_to_end(&mut bytes)?;
    let text = text::decode(&bytes).context("it is neither UTF-8 nor UTF-16 with a byte order mark")?;
    let password = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
    let password = Zeroizing::new(password.as_bytes().to_vec());
    if let std::borrow::Cow::Owned(text) = text {
        drop(Zeroizing::new(text));
    }
    Ok(password)
}

fn prompt(scope: &Scope) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let password = rpassword::prompt_password(format!("Password for {scope}: ")).context("cannot read the password")?;
    Ok(Zeroizing::new(password.into_bytes()))
}

/// Says what else is stored for the same host: more often than not, one of the two is a mistake.
fn neighbours(scope: &Scope, others: &[Scope]) -> Vec<String> {
    let same_host = others.iter().filter(|other| *other != scope && other.shares_domain(scope));
    same_host
        .filter_map(|other| {
            let (path, other_path) = (scope.path(), other.path());
            if is_below(other_path, path) {
                Some(format!("`{other}` is stored as well, and stays in use for its images"))
            } else if is_below(path, other_path) {
                Some(format!("`{other}` is stored as well; `{scope}` now comes first for its images"))
            } else {
                None
            }
        })
        .collect()
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| parent.is_empty() || rest.starts_with('/'))
}
