//! Writes the configuration that makes a kubelet ask this plugin for what is stored.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use super::{KubeletVersion, System};
use crate::kubelet;
use crate::kubelet::ApiVersion;
use crate::reference::DOCKER_HUB;
use crate::scope::Scope;

/// The name of Docker Hub that pods may use besides `docker.io`. The kubelet takes it for another registry.
const DOCKER_HUB_REGISTRY: &str = "registry-1.docker.io";

/// A configuration with one provider.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Generated {
    api_version: &'static str,
    kind: &'static str,
    providers: [GeneratedProvider; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GeneratedProvider {
    name: String,
    api_version: &'static str,
    match_images: Vec<String>,
    default_cache_duration: &'static str,
    args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<[Variable; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_attributes: Option<TokenAttributes>,
}

/// An environment variable that the kubelet sets for the plugin.
#[derive(Debug, Serialize)]
struct Variable {
    name: &'static str,
    value: String,
}

/// What the kubelet is to hand over of a pod's service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Whom the token is for.
    pub audience: String,
    /// Whether a pod without a service account gets nothing.
    pub is_required: bool,
    /// Whether an answer is good for one token alone, rather than for all pods of a service account.
    pub is_kept_by_token: bool,
    /// Annotations of the service account to hand over as well, where it has them.
    pub annotations: BTreeSet<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenAttributes {
    service_account_token_audience: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_type: Option<&'static str>,
    require_service_account: bool,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    optional_service_account_annotation_keys: BTreeSet<String>,
}

/// Makes the configuration for what is stored; `store` is the store's directory where it is not the default one.
///
/// Returns `None` when nothing is stored, which a kubelet would refuse.
pub fn generate<'a>(
    scopes: impl Iterator<Item = &'a Scope>,
    name: &str,
    kubelet: KubeletVersion,
    system: System,
    store: Option<String>,
) -> Option<Generated> {
    let mut patterns = BTreeSet::new();
    for domain in scopes.map(Scope::domain) {
        if domain == DOCKER_HUB {
            patterns.insert(DOCKER_HUB_REGISTRY.to_owned());
        }
        // A scope's host is a pattern of the kubelet with the same meaning.
        patterns.insert(domain.to_owned());
    }
    generate_for(patterns.into_iter().collect(), name, kubelet, system, store)
}

/// Makes the configuration for these patterns, else as [`generate`]. Returns `None` when there are none.
pub fn generate_for(
    patterns: Vec<String>,
    name: &str,
    kubelet: KubeletVersion,
    system: System,
    store: Option<String>,
) -> Option<Generated> {
    let needs_extension = system == System::Windows && kubelet < KubeletVersion::LOOK_PATH;
    let extension = if needs_extension && !name.to_ascii_lowercase().ends_with(".exe") { ".exe" } else { "" };
    (!patterns.is_empty()).then(|| Generated {
        api_version: "kubelet.config.k8s.io/v1",
        kind: "CredentialProviderConfig",
        providers: [GeneratedProvider {
            name: format!("{name}{extension}"),
            api_version: ApiVersion::V1.as_str(),
            match_images: patterns,
            default_cache_duration: "0s",
            args: vec![kubelet::VERB.to_owned()],
            env: store.map(|value| [Variable { name: crate::env::STORE, value }]),
            token_attributes: None,
        }],
    })
}

impl Generated {
    /// Adds arguments for the plugin, behind its verb.
    pub fn with_arguments(mut self, arguments: &[String]) -> Self {
        let [provider] = &mut self.providers;
        provider.args.extend_from_slice(arguments);
        self
    }

    /// Has the kubelet hand over the pod's service-account token.
    pub fn with_tokens(mut self, tokens: Tokens, kubelet: KubeletVersion) -> Self {
        let cache_type = if tokens.is_kept_by_token { "Token" } else { "ServiceAccount" };
        let [provider] = &mut self.providers;
        provider.token_attributes = Some(TokenAttributes {
            service_account_token_audience: tokens.audience,
            // 1.33 does not know it, and later ones want it.
            cache_type: (kubelet >= KubeletVersion::CACHE_TYPE).then_some(cache_type),
            require_service_account: tokens.is_required,
            optional_service_account_annotation_keys: tokens.annotations,
        });
        self
    }

    /// Adds a pattern where another one is there.
    pub fn with_alias(mut self, pattern: &str, alias: &str) -> Self {
        let [provider] = &mut self.providers;
        let has = |text: &str| provider.match_images.iter().any(|pattern| pattern == text);
        if has(pattern) && !has(alias) {
            provider.match_images.push(alias.to_owned());
        }
        self
    }

    /// Writes YAML. Every value that comes from outside is quoted.
    pub fn to_yaml(&self) -> String {
        let mut lines =
            vec![format!("apiVersion: {}", self.api_version), format!("kind: {}", self.kind), "providers:".to_owned()];
        lines.extend(self.provider_lines());
        lines.join("\n") + "\n"
    }

    /// Returns the provider as JSON, indented by two blanks a level.
    ///
    /// # Errors
    /// As serde_json, which has none for what this is made of.
    pub fn provider_json(&self) -> serde_json::Result<String> {
        let [provider] = &self.providers;
        serde_json::to_string_pretty(provider)
    }

    /// Returns the provider as the lines of an item of a YAML list.
    pub fn provider_lines(&self) -> Vec<String> {
        let [provider] = &self.providers;
        let mut lines = vec![
            format!("- name: {}", quote(&provider.name)),
            format!("  apiVersion: {}", provider.api_version),
            "  matchImages:".to_owned(),
        ];
        lines.extend(provider.match_images.iter().map(|pattern| format!("  - {}", quote(pattern))));
        lines.push(format!("  defaultCacheDuration: {}", quote(provider.default_cache_duration)));
        lines.push("  args:".to_owned());
        lines.extend(provider.args.iter().map(|argument| format!("  - {}", quote(argument))));
        if let Some(variables) = &provider.env {
            lines.push("  env:".to_owned());
            for variable in variables {
                lines.push(format!("  - name: {}", variable.name));
                lines.push(format!("    value: {}", quote(&variable.value)));
            }
        }
        if let Some(tokens) = &provider.token_attributes {
            lines.push("  tokenAttributes:".to_owned());
            lines.push(format!("    serviceAccountTokenAudience: {}", quote(&tokens.service_account_token_audience)));
            lines.extend(tokens.cache_type.map(|cache_type| format!("    cacheType: {cache_type}")));
            lines.push(format!("    requireServiceAccount: {}", tokens.require_service_account));
            if !tokens.optional_service_account_annotation_keys.is_empty() {
                lines.push("    optionalServiceAccountAnnotationKeys:".to_owned());
            }
            let keys = tokens.optional_service_account_annotation_keys.iter();
            lines.extend(keys.map(|key| format!("    - {}", quote(key))));
        }
        lines
    }
}

/// Quotes a YAML scalar; all but printable ASCII and letters is escaped.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if c.is_alphabetic() => quoted.push(c),
            c => write!(quoted, "\\U{:08x}", u32::from(c)).expect("a string takes everything"),
        }
    }
    quoted.push('"');
    quoted
}
