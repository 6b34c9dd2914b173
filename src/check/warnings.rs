//! What works today and may not tomorrow, or not for the reason that one thinks.

use super::registry::{Asked, Counted};
use super::{Outcome, RuntimePull};
use crate::containerd::Chain;

/// Tokens are good for minutes; a clock that is further off than this breaks some of them.
const MAX_SKEW: i64 = 60;

/// Returns warnings about what the hosts, and the runtime, did.
pub fn warn(asked: &Asked, chain: &Chain, runtime: Option<&RuntimePull>) -> Vec<String> {
    let mut warnings = Vec::new();
    for (host, report) in chain.hosts.iter().zip(&asked.hosts) {
        let name = &host.authority;
        if let Some(ahead) = report.clock_ahead.filter(|ahead| ahead.abs() > MAX_SKEW) {
            let (seconds, way) = (ahead.abs(), if ahead > 0 { "ahead of" } else { "behind" });
            warnings.push(format!(
                "the clock of `{name}` is {seconds} seconds {way} this machine's; tokens may be refused"
            ));
        }
        if host.has_login() {
            let message = "has a login in its hosts.toml, which is sent before the credential that the kubelet gives";
            warnings.push(format!("`{name}` {message}"));
        }
        if host.skips_verification && report.url.starts_with("https://") {
            warnings.push(format!(
                "the certificate of `{name}` is not verified, so anybody in between learns the credential"
            ));
        }
        if host.is_plain && report.url.starts_with("http://") && !host.is_loopback() {
            warnings.push(format!("`{name}` is asked in plain HTTP, so anybody in between learns the credential"));
        }
    }
    if let Some(tried) = asked.attempts.last() {
        let passed_over = tried.hosts.iter().filter(|answer| answer.outcome != Outcome::Granted);
        if tried.outcome == Outcome::Granted {
            for answer in passed_over {
                let why = answer.message.as_deref().unwrap_or("it does not have the image");
                warnings.push(format!("`{}` is of no use for this image: {why}", answer.host));
            }
            warnings.extend(later(asked, chain, tried.hosts.len(), tried.key.is_some()));
        }
        let counted = tried.hosts.last().and_then(|answer| answer.rate_limit).map(|limit| limit.counted);
        if counted == Some(Counted::Anonymous) && tried.key.is_some() {
            warnings.push("Docker Hub counts these pulls as anonymous, although a credential is stored".to_owned());
        }
    }
    for tried in asked.attempts.iter().filter(|tried| tried.outcome == Outcome::Refused && tried.key.is_some()) {
        if asked.attempts.last().is_some_and(|last| last.outcome == Outcome::Granted) {
            let user = tried.username.as_deref().unwrap_or_default();
            warnings.push(format!("the credential of `{user}`, which the kubelet tries first, is refused"));
        }
    }
    let by_hosts = asked.attempts.last().map(|tried| tried.outcome);
    let by_runtime = runtime.and_then(|runtime| runtime.attempts.last()).map(|pulled| pulled.outcome);
    match (by_hosts, by_runtime) {
        (Some(Outcome::Granted), Some(outcome)) if outcome != Outcome::Granted => warnings.push(
            "the hosts grant the image to this check and the runtime does not get it: the runtime asks other hosts, by another \
             proxy, or with other certificates; name its configuration with `--containerd-config`"
                .to_owned(),
        ),
        _ => {}
    }
    warnings
}

/// Hosts that are asked only when those before them fail, and would learn the credential then.
fn later(asked: &Asked, chain: &Chain, needed: usize, has_credential: bool) -> Vec<String> {
    let resolving = chain.hosts.iter().zip(&asked.hosts).filter(|(host, _)| host.resolves);
    let later = resolving.skip(needed).filter(|(_, report)| has_credential && report.challenge.is_some());
    later
        .map(|(host, _)| format!("`{}` learns the credential too when the hosts before it fail", host.authority))
        .collect()
}
