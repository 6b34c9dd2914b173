//! The pod's service-account token: whether the kubelet hands over what the stored credentials want.
//!
//! Where it does not, the plugin fails or is not started at all, and in the second case no log says so.

use super::{Facts, Finding};
use crate::issuer;
use crate::kubelet::config::Tokens;
use crate::scope::Scope;

const REMEDY: &str = "`keyring-credential-provider config generate` prints `tokenAttributes`; then restart the kubelet, or run `node apply`";

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some((file, our)) = facts.providers().find(|(_, one)| facts.is_ours(one)) else { return Vec::new() };
    let Ok(opened) = &facts.store else { return Vec::new() };
    let findings = match issuer::tokens(&opened.credentials) {
        Err(error) => vec![Finding::error("token-audience", error.to_string(), error.remedy())],
        Ok(wanted) => compare(wanted.as_ref(), our.tokens.as_ref()),
    };
    findings.into_iter().map(|finding| finding.at(&file.path, None)).collect()
}

fn compare(wanted: Option<&(Tokens, Vec<&Scope>)>, given: Option<&Tokens>) -> Vec<Finding> {
    let is_left_out = given.is_some_and(|given| given.is_required);
    let left_out = || {
        let message =
            "the kubelet asks nothing for a pod without a service account, and there are credentials for such pods";
        Finding::error("token-required", message, REMEDY)
    };
    let Some((wanted, scopes)) = wanted else { return is_left_out.then(left_out).into_iter().collect() };
    let list = scopes.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(", ");
    let Some(given) = given else {
        let message = format!("the kubelet does not hand over the pod's token, which is needed for {list}");
        return vec![Finding::error("token-missing", message, REMEDY)];
    };
    let mut findings = Vec::new();
    if given.audience != wanted.audience {
        let given = crate::text::sanitize(&given.audience, 200);
        let message =
            format!("the kubelet has tokens made for `{given}`, and for `{}` is needed for {list}", wanted.audience);
        findings.push(Finding::error("token-audience", message, REMEDY));
    }
    if is_left_out && !wanted.is_required {
        findings.push(left_out());
    }
    if wanted.is_kept_by_token && !given.is_kept_by_token {
        let message = "the kubelet keeps for a whole service account what is good for one token, and drops an answer that repeats it";
        findings.push(Finding::error("token-cache", message, REMEDY));
    }
    for annotation in wanted.annotations.difference(&given.annotations) {
        let message = format!("the kubelet does not hand over the annotation `{annotation}`, which is read for {list}");
        findings.push(Finding::warning("token-annotation", message, REMEDY));
    }
    findings
}
