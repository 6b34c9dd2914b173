//! `apply`: makes the store what a file declares.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::output::{self, Failure, Outcome};
use super::{Context, Form, login};
use crate::credential::Credential;
use crate::declaration::{Declaration, DeclaredCredential};
use crate::exit::Code;
use crate::mirror::MirrorRule;
use crate::secret::Secret;
use crate::store::Writer;
use crate::{text, time};

#[derive(clap::Args)]
pub(super) struct Args {
    /// File that declares credentials and mirror rules; secrets are named by the files that hold them
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Remove what an earlier `apply` stored and the file no longer declares
    #[arg(long)]
    prune: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What marks an entry as one that `--prune` may remove. `login` and `import` write other origins.
const ORIGIN: &str = "apply ";

/// No file that people write comes near this.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// One line of the difference.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    change: Kind,
    /// `credential` or `mirror`.
    what: &'static str,
    /// Scope or source.
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Add,
    Replace,
    Remove,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let declaration = read(&args.file).map_err(|error| Failure::new(Code::Usage, error))?;
    let origin = format!("{ORIGIN}{}", args.file.display());
    let now = time::now();
    let base = args.file.parent().unwrap_or(Path::new(""));
    let declared: Vec<Credential> = declaration
        .credentials
        .into_iter()
        .map(|declared| resolve(declared, base, &origin, now))
        .collect::<anyhow::Result<_>>()
        .map_err(|error| Failure::new(Code::Usage, error))?;

    let mut mirrors = declaration.mirrors;
    for rule in &mut mirrors {
        rule.origin.clone_from(&origin);
    }

    let mut writer = context.store.write()?;
    check_ties(&writer, &declared)?;
    let changes = change(&mut writer, declared, mirrors, args.prune);
    if !args.dry_run && !changes.is_empty() {
        writer.commit()?;
    }
    match context.form {
        Form::Json => output::print_json(&changes)?,
        Form::Text => output::print(&show(&changes))?,
    }
    match (args.dry_run, changes.is_empty()) {
        (_, true) => output::say("nothing to change"),
        (true, false) => return Ok(Code::ChangesPending),
        (false, false) => {}
    }
    Ok(Code::Done)
}

fn read(path: &Path) -> anyhow::Result<Declaration> {
    let shown = path.display();
    let size = fs::metadata(path).with_context(|| format!("cannot open `{shown}`"))?.len();
    if size > MAX_FILE {
        return Err(anyhow!("`{shown}` has {size} bytes, more than the {MAX_FILE} that a declaration may have"));
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read `{shown}`"))?;
    let text = text::decode(&bytes)
        .with_context(|| format!("`{shown}` is neither UTF-8 nor UTF-16 with a byte order mark"))?;
    Declaration::parse(&text).with_context(|| format!("cannot use `{shown}`"))
}

/// Reads the secret; a relative path starts at the declaration's own directory.
fn resolve(declared: DeclaredCredential, base: &Path, origin: &str, now: i64) -> anyhow::Result<Credential> {
    let scope = declared.scope.clone();
    let of_scope = || format!("cannot use the credential for `{scope}`");
    let needs = declared.issuer.needs(&declared.settings);
    for (is_missing, field) in [
        (needs.user && declared.username.is_none(), "username"),
        (needs.secret && declared.password_file.is_none(), "passwordFile"),
    ] {
        if is_missing {
            let reason = anyhow!("issuer `{}` needs the field `{field}`", declared.issuer.name());
            return Err(reason.context(of_scope()));
        }
    }
    let file = declared.password_file.as_ref().map(|file| base.join(file));
    let secret = file.map(|file| login::read_password_file(&file)).transpose()?.unwrap_or_default();
    let expires_at = declared.expires_at.as_deref().map(|text| login::parse_expiry("`expiresAt`", text, now));
    let credential = Credential {
        expires_at: expires_at.transpose().with_context(of_scope)?,
        scope: declared.scope,
        username: declared.username.unwrap_or_default(),
        secret: Secret::new(secret),
        issuer: declared.issuer.name().to_owned(),
        settings: declared.settings,
        updated_at: now,
        origin: origin.to_owned(),
    };
    declared.issuer.check(&credential).with_context(of_scope)?;
    Ok(credential)
}

/// Entries that stay and entries that come must not fit the same images equally well.
fn check_ties(writer: &Writer<'_>, declared: &[Credential]) -> Result<(), Failure> {
    let all = || writer.credentials().iter().chain(declared).map(|credential| &credential.scope);
    let tied = declared.iter().find_map(|new| all().find(|other| new.scope.ties_with(other)).map(|other| (new, other)));
    tied.map_or(Ok(()), |(new, other)| Err(login::tie(&new.scope, other)))
}

/// Changes the writer's copy and says what changed. What is the same stays untouched, its time and origin included.
fn change(writer: &mut Writer<'_>, declared: Vec<Credential>, mirrors: Vec<MirrorRule>, prune: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut note = |change, what, name: String| changes.push(Change { change, what, name });
    if prune {
        let ours = |credential: &&Credential| credential.origin.starts_with(ORIGIN);
        let gone = |credential: &&Credential| !declared.iter().any(|new| new.scope == credential.scope);
        let scopes: Vec<_> = writer.credentials().iter().filter(ours).filter(gone).map(|c| c.scope.clone()).collect();
        for scope in scopes {
            writer.remove(&scope);
            note(Kind::Remove, "credential", scope.to_string());
        }
        let ours = |rule: &&MirrorRule| rule.origin.starts_with(ORIGIN);
        let gone = |rule: &&MirrorRule| !mirrors.iter().any(|new| new.source == rule.source);
        let sources: Vec<_> =
            writer.mirrors().iter().filter(ours).filter(gone).map(|rule| rule.source.clone()).collect();
        for source in sources {
            writer.remove_mirror(&source);
            note(Kind::Remove, "mirror", source.to_string());
        }
    }
    for credential in declared {
        let same = |stored: &Credential| {
            stored.scope == credential.scope
                && stored.username == credential.username
                && stored.secret.expose() == credential.secret.expose()
                && stored.issuer == credential.issuer
                && stored.settings == credential.settings
                && stored.expires_at == credential.expires_at
        };
        if !writer.credentials().iter().any(same) {
            let name = credential.scope.to_string();
            let replaced = writer.put(credential);
            note(if replaced { Kind::Replace } else { Kind::Add }, "credential", name);
        }
    }
    for rule in mirrors {
        let same = |stored: &MirrorRule| {
            stored.source == rule.source && stored.hosts == rule.hosts && stored.policy == rule.policy
        };
        if !writer.mirrors().iter().any(same) {
            let name = rule.source.to_string();
            let replaced = writer.put_mirror(rule);
            note(if replaced { Kind::Replace } else { Kind::Add }, "mirror", name);
        }
    }
    changes
}

fn show(changes: &[Change]) -> String {
    let line = |change: &Change| {
        let sign = match change.change {
            Kind::Add => '+',
            Kind::Replace => '~',
            Kind::Remove => '-',
        };
        format!("{sign} {} {}\n", change.what, change.name)
    };
    changes.iter().map(line).collect()
}
