//! `import`: takes over what other tools keep about registries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Serialize;

use super::output::{self, Failure, Outcome};
use super::{Context, Form};
use crate::credential::Credential;
use crate::exit::Code;
use crate::import::{self, Finding, Format, Found, Import, Origin, Scrub, Severity};
use crate::mirror::{MirrorRule, Source};
use crate::scope::Scope;
use crate::store::{self, Opened};
use crate::{text, time};

/// What the origin of an imported credential starts with.
const ORIGIN: &str = "import ";
const ISSUER: &str = "static";

#[derive(clap::Args)]
pub(super) struct Args {
    /// What the source is written in
    format: Name,
    /// The file; for containerd also a directory such as /etc/containerd/certs.d
    path: PathBuf,
    /// Change nothing: say what would be stored, and exit with 10 if that changes something
    #[arg(long)]
    dry_run: bool,
    /// On a conflict, take the first of the source, in place of what is stored
    #[arg(long)]
    replace: bool,
    /// Take the imported logins out of the files once the store gives them back; all else in the files stays as it is
    #[arg(long)]
    scrub: bool,
}

/// Names of the formats on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// registries.yaml of k3s and RKE2
    RegistriesYaml,
    /// Machine configuration or documents of Talos
    Talos,
    /// config.json or .dockercfg of docker
    DockerConfig,
    /// auth.json of podman, skopeo and CRI-O
    ContainersAuth,
    /// config.toml, or a directory of hosts.toml files
    Containerd,
    /// Secrets with a docker configuration, as kubectl prints them
    KubernetesSecret,
    /// Whatever the content says
    Auto,
}

/// `import --output json`, part of the command line's contract.
#[derive(Serialize)]
struct Report<'a> {
    credentials: Vec<ReportedCredential<'a>>,
    mirrors: Vec<ReportedMirror<'a>>,
    findings: Vec<ReportedFinding<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scrub: Option<ReportedScrub<'a>>,
}

#[derive(Serialize)]
struct ReportedCredential<'a> {
    scope: &'a str,
    username: &'a str,
    kind: &'static str,
    origin: ReportedOrigin<'a>,
}

#[derive(Serialize)]
struct ReportedOrigin<'a> {
    file: &'a str,
    key: &'a str,
}

#[derive(Serialize)]
struct ReportedMirror<'a> {
    source: String,
    endpoints: Vec<&'a str>,
    policy: &'static str,
}

#[derive(Serialize)]
struct ReportedFinding<'a> {
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    key: &'a str,
}

#[derive(Serialize)]
struct ReportedScrub<'a> {
    removed: Vec<ReportedPlace<'a>>,
    stays: Vec<ReportedPlace<'a>>,
}

#[derive(Serialize)]
struct ReportedPlace<'a> {
    file: &'a str,
    key: &'a str,
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let Args { format, path, dry_run, replace, scrub } = args;
    let failed = |error: import::Error| Failure::new(Code::Failed, error);
    let format = format.format().map_or_else(|| import::detect(path), Ok).map_err(failed)?;
    let mut import = import::read(format, path).map_err(failed)?;
    let scrub = if *scrub { Some(import::scrub(format, &import).map_err(failed)?) } else { None };
    if *dry_run {
        let (credentials, mirrors) = match context.store.open() {
            Ok(Opened { credentials, mirrors, .. }) => (credentials, mirrors),
            // As on the machine where the configuration is kept.
            Err(store::Error::NotFound { .. }) => (Vec::new(), Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let plan = Plan::new(&mut import, path, &credentials, &mirrors);
        print(context.form, &import, scrub.as_ref())?;
        let removed = scrub.as_ref().map_or(&[][..], |scrub| &scrub.removed);
        if context.form == Form::Text {
            removed.iter().for_each(|place| output::say(&format!("info: {} would be removed", shown(place))));
        }
        if plan.conflicts > 0 && !replace {
            return Err(plan.conflict());
        }
        return Ok(if plan.is_empty() && removed.is_empty() { Code::Done } else { Code::ChangesPending });
    }

    let mut writer = context.store.write()?;
    let plan = Plan::new(&mut import, path, writer.credentials(), writer.mirrors());
    print(context.form, &import, scrub.as_ref())?;
    if plan.conflicts > 0 && !replace {
        return Err(plan.conflict());
    }
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    if import.credentials.is_empty() && import.mirrors.is_empty() && import.findings.iter().any(is_error) {
        return Err(Failure::new(Code::Failed, anyhow!("nothing in `{}` could be imported", path.display())));
    }
    if !plan.is_empty() {
        let now = time::now();
        plan.credentials.iter().for_each(|&index| {
            writer.put(credential(&import.credentials[index], format, now));
        });
        plan.mirrors.iter().for_each(|&index| {
            let rule = import.mirrors[index].clone();
            writer.put_mirror(MirrorRule { origin: format!("{ORIGIN}{} {}", format.name(), rule.origin), ..rule });
        });
        writer.commit()?;
    }
    if !plan.is_empty() || scrub.is_some() {
        compare(&import, &context.store.open()?)?;
    }
    output::say(&format!(
        "stored {} of {} credentials and {} of {} mirror rules; the others are there already",
        plan.credentials.len(),
        import.credentials.len(),
        plan.mirrors.len(),
        import.mirrors.len()
    ));
    scrub.map_or(Ok(Code::Done), |scrub| take_out(&scrub, format))
}

/// Rewrites the sources without what the store has given back.
fn take_out(scrub: &Scrub, format: Format) -> Outcome {
    let mut failure = None;
    for rewrite in &scrub.rewrites {
        let file = rewrite.path().display().to_string();
        match rewrite.run() {
            Ok(()) => {
                let removed = scrub.removed.iter().filter(|place| place.file == file).count();
                let what = if removed == 1 { "a credential".to_owned() } else { format!("{removed} credentials") };
                output::say(&format!("removed {what} from `{file}`"));
            }
            // One is reported as the failure of the command.
            Err(error) if failure.is_none() => failure = Some(error),
            Err(error) => output::say(&format!("error: {error}")),
        }
    }
    if format == Format::KubernetesSecret && !scrub.removed.is_empty() {
        output::say(
            "the secrets in the cluster are as they were; applying this file would take the logins out of them too",
        );
    }
    if let Some(error) = failure {
        let remedy =
            "what was imported is stored; remove it from the file by hand, or try again when it can be written";
        return Err(Failure::new(Code::Failed, error).with_remedy(remedy));
    }
    match scrub.stays.len() {
        0 => Ok(Code::Done),
        number => {
            let what = if number == 1 { "a secret stays".to_owned() } else { format!("{number} secrets stay") };
            let error = anyhow!("{what} in the source, for the reasons above");
            Err(Failure::new(Code::Failed, error).with_remedy("what was imported is stored; remove the rest by hand"))
        }
    }
}

/// What a store lacks of an import.
struct Plan {
    credentials: Vec<usize>,
    mirrors: Vec<usize>,
    conflicts: usize,
}

impl Plan {
    /// Compares an import with what is stored, and adds what contradicts to its findings.
    fn new(import: &mut Import, path: &Path, credentials: &[Credential], mirrors: &[MirrorRule]) -> Self {
        let stored: BTreeMap<&Scope, &Credential> = credentials.iter().map(|stored| (&stored.scope, stored)).collect();
        let rules: BTreeMap<&Source, &MirrorRule> = mirrors.iter().map(|rule| (&rule.source, rule)).collect();
        let mut plan = Self { credentials: Vec::new(), mirrors: Vec::new(), conflicts: 0 };
        let all = stored.keys().copied().chain(import.credentials.iter().map(|found| &found.scope));
        let wildcards: Vec<&Scope> = all.filter(|scope| scope.as_str().contains('*')).collect();
        let mut conflicts = Vec::new();
        for (index, found) in import.credentials.iter().enumerate() {
            if let Some(tied) = wildcards.iter().find(|other| found.scope.ties_with(other)) {
                conflicts
                    .push(found.conflict(format!("`{}` and `{tied}` fit the same images equally well", found.scope)));
            }
            match stored.get(&found.scope) {
                Some(stored) if found.is(stored) => continue,
                Some(stored) if !stored.origin.starts_with(ORIGIN) => {
                    let message = "another user or password is stored for it already, not by `import`";
                    conflicts.push(found.conflict(format!("{message}; remove it, or give `--replace`")));
                }
                Some(_) | None => {}
            }
            plan.credentials.push(index);
        }
        // A source without its logins no longer tells how they spell the host.
        let spellings: BTreeMap<&str, &Scope> = stored
            .keys()
            .filter(|scope| !scope.as_str().contains('/'))
            .map(|&scope| (import::portless(scope), scope))
            .collect();
        let found: BTreeSet<&Scope> = import.credentials.iter().map(|found| &found.scope).collect();
        for host in import.mirrors.iter_mut().flat_map(|rule| &mut rule.hosts) {
            if !found.contains(host)
                && !stored.contains_key(host)
                && let Some(&spelling) = spellings.get(import::portless(host))
            {
                *host = spelling.clone();
            }
        }
        for (index, rule) in import.mirrors.iter_mut().enumerate() {
            if let Some(stored) = rules.get(&rule.source) {
                // What the operator has chosen since.
                rule.policy = stored.policy;
                if is_same(rule, stored) {
                    continue;
                }
                if !stored.origin.starts_with(ORIGIN) {
                    let message = "another mirror rule is stored for it already, not by `import`";
                    conflicts.push(Finding {
                        severity: Severity::Error,
                        outcome: import::Outcome::Conflict,
                        code: "conflict",
                        message: format!("{message}; remove it, or give `--replace`"),
                        file: path.display().to_string(),
                        key: rule.source.to_string(),
                        line: None,
                    });
                }
            }
            plan.mirrors.push(index);
        }
        import.findings.extend(conflicts);
        let is_conflict = |finding: &&Finding| finding.outcome == import::Outcome::Conflict;
        plan.conflicts = import.findings.iter().filter(is_conflict).count();
        plan
    }

    fn is_empty(&self) -> bool {
        self.credentials.is_empty() && self.mirrors.is_empty()
    }

    fn conflict(&self) -> Failure {
        let conflicts =
            if self.conflicts == 1 { "a conflict".to_owned() } else { format!("{} conflicts", self.conflicts) };
        let error = anyhow!("nothing is stored because of {conflicts}");
        Failure::new(Code::Conflict, error).with_remedy("resolve them in the source, or give `--replace`")
    }
}

impl Found {
    /// Returns whether this is what is stored.
    fn is(&self, stored: &Credential) -> bool {
        stored.scope == self.scope
            && stored.username == self.username
            && stored.secret.expose() == self.secret.expose()
            && stored.issuer == ISSUER
    }

    fn conflict(&self, message: String) -> Finding {
        let Origin { file, key, line } = self.origin.clone();
        let (severity, outcome, code) = (Severity::Error, import::Outcome::Conflict, "conflict");
        Finding { severity, outcome, code, message, file, key, line }
    }
}

impl Name {
    fn format(self) -> Option<Format> {
        match self {
            Self::RegistriesYaml => Some(Format::RegistriesYaml),
            Self::Talos => Some(Format::Talos),
            Self::DockerConfig => Some(Format::DockerConfig),
            Self::ContainersAuth => Some(Format::ContainersAuth),
            Self::Containerd => Some(Format::Containerd),
            Self::KubernetesSecret => Some(Format::KubernetesSecret),
            Self::Auto => None,
        }
    }
}

fn credential(found: &Found, format: Format, now: i64) -> Credential {
    Credential {
        scope: found.scope.clone(),
        username: found.username.clone(),
        secret: found.secret.clone(),
        issuer: ISSUER.to_owned(),
        settings: BTreeMap::new(),
        expires_at: None,
        updated_at: now,
        origin: format!("{ORIGIN}{} {} {}", format.name(), found.origin.file, found.origin.key),
    }
}

/// Checks that the store answers what was found.
fn compare(import: &Import, opened: &Opened) -> anyhow::Result<()> {
    let stored: BTreeMap<&Scope, &Credential> =
        opened.credentials.iter().map(|stored| (&stored.scope, stored)).collect();
    for found in &import.credentials {
        if !stored.get(&found.scope).is_some_and(|stored| found.is(stored)) {
            return Err(anyhow!("the store does not give back the credential for `{}`", found.scope));
        }
    }
    let rules: BTreeMap<&Source, &MirrorRule> = opened.mirrors.iter().map(|rule| (&rule.source, rule)).collect();
    match import.mirrors.iter().find(|rule| !rules.get(&rule.source).is_some_and(|stored| is_same(rule, stored))) {
        Some(rule) => Err(anyhow!("the store does not give back the mirror rule for `{}`", rule.source)),
        None => Ok(()),
    }
}

/// Returns whether two rules differ in their origin at most.
fn is_same(one: &MirrorRule, other: &MirrorRule) -> bool {
    one.source == other.source && one.hosts == other.hosts && one.policy == other.policy
}

fn print(form: Form, import: &Import, scrub: Option<&Scrub>) -> anyhow::Result<()> {
    match form {
        Form::Json => output::print_json(&Report { scrub: scrub.map(ReportedScrub::from), ..Report::from(import) }),
        Form::Text => {
            import.findings.iter().for_each(|finding| output::say(&sentence(finding)));
            for (place, reason) in scrub.iter().flat_map(|scrub| &scrub.stays) {
                output::say(&format!("warning: {} stays: {reason}", shown(place)));
            }
            output::print(&tables(import))
        }
    }
}

fn tables(import: &Import) -> String {
    let mut credentials = vec![["SCOPE", "USERNAME", "KEY"].map(str::to_owned)];
    credentials.extend(import.credentials.iter().map(|found| {
        [found.scope.to_string(), text::sanitize(&found.username, 60), text::sanitize(&found.origin.key, 200)]
    }));
    let mut mirrors = vec![["REGISTRY", "MIRRORS", "POLICY"].map(str::to_owned)];
    mirrors.extend(import.mirrors.iter().map(|rule| {
        let hosts = rule.hosts.iter().map(Scope::as_str).collect::<Vec<_>>().join(",");
        [rule.source.to_string(), hosts, rule.policy.to_string()]
    }));
    let table = |rows: &[[String; 3]]| if rows.len() > 1 { output::columns(rows) } else { String::new() };
    format!("{}{}", table(&credentials), table(&mirrors))
}

fn sentence(finding: &Finding) -> String {
    let Finding { severity, outcome, message, file, key, line, code: _ } = finding;
    let place = place(file, key, *line);
    format!("{}: {place} {}: {message}", severity.name(), outcome.name())
}

fn shown(origin: &Origin) -> String {
    let Origin { file, key, line } = origin;
    place(file, key, *line)
}

fn place(file: &str, key: &str, line: Option<usize>) -> String {
    let line = line.map_or_else(String::new, |line| format!(":{line}"));
    let key = if key.is_empty() { String::new() } else { format!(" `{key}`") };
    format!("{file}{line}:{key}")
}

impl<'a> From<&'a Scrub> for ReportedScrub<'a> {
    fn from(scrub: &'a Scrub) -> Self {
        let place = |Origin { file, key, line }: &'a Origin, reason| ReportedPlace { file, key, line: *line, reason };
        Self {
            removed: scrub.removed.iter().map(|origin| place(origin, None)).collect(),
            stays: scrub.stays.iter().map(|(origin, reason)| place(origin, Some(reason))).collect(),
        }
    }
}

impl<'a> From<&'a Import> for Report<'a> {
    fn from(import: &'a Import) -> Self {
        let credential = |found: &'a Found| ReportedCredential {
            scope: found.scope.as_str(),
            username: &found.username,
            kind: "basic",
            origin: ReportedOrigin { file: &found.origin.file, key: &found.origin.key },
        };
        let mirror = |rule: &'a MirrorRule| ReportedMirror {
            source: rule.source.to_string(),
            endpoints: rule.hosts.iter().map(Scope::as_str).collect(),
            policy: rule.policy.name(),
        };
        let finding = |finding: &'a Finding| ReportedFinding {
            severity: finding.severity.name(),
            code: finding.code,
            message: &finding.message,
            key: &finding.key,
        };
        Self {
            credentials: import.credentials.iter().map(credential).collect(),
            mirrors: import.mirrors.iter().map(mirror).collect(),
            findings: import.findings.iter().map(finding).collect(),
            scrub: None,
        }
    }
}
