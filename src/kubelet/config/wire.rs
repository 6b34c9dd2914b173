//! From a document to a `CredentialProviderConfig`: versions, kinds, types, unknown and repeated fields.
//!
//! Source: Kubernetes 1.36 `staging/src/k8s.io/kubelet/config/{v1,v1beta1,v1alpha1}/types.go`, `runtime/serializer/json` and
//! sigs.k8s.io/json, whose messages these are. Decoding is strict from kubelet 1.32 on.

use std::collections::HashSet;

use super::tree::{Document, Node};
use super::{KubeletVersion, go};

/// `providers[]`, with what the kubelet's rules look at.
#[derive(Debug, Default)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) match_images: Vec<String>,
    /// In nanoseconds.
    pub(super) default_cache_duration: Option<i64>,
    pub(super) api_version: String,
    pub(super) token_attributes: Option<TokenAttributes>,
}

/// `providers[].tokenAttributes`.
#[derive(Debug, Default)]
pub(super) struct TokenAttributes {
    pub(super) audience: String,
    pub(super) cache_type: String,
    pub(super) require_service_account: Option<bool>,
    pub(super) required_annotation_keys: Vec<String>,
    pub(super) optional_annotation_keys: Vec<String>,
}

/// What a file says, and what the kubelet passes over in silence.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) providers: Vec<Provider>,
    pub(super) ignored: Vec<String>,
    pub(super) has_more: bool,
}

const GROUP: &str = "kubelet.config.k8s.io";
const KIND: &str = "CredentialProviderConfig";

/// Decodes one file as a kubelet of this version does.
///
/// # Errors
/// The kubelet's message.
pub(super) fn decode(bytes: &[u8], kubelet: KubeletVersion) -> Result<Decoded, String> {
    let document = Document::parse(bytes)?;
    let version = api_version(&document.root, bytes)?;
    let mut check = Check { version, kubelet, fatal: None, strict: Vec::new(), seen: HashSet::new() };
    check.object(&document.root, &CONFIG, "", "");
    if let Some(fatal) = check.fatal.take() {
        return Err(fatal);
    }
    let mut strict = std::mem::take(&mut check.strict);
    if !document.repeated.is_empty() {
        strict.insert(0, format!("yaml: unmarshal errors:\n  {}", document.repeated.join("\n  ")));
    }
    if kubelet.is_strict() && !strict.is_empty() {
        return Err(format!("strict decoding error: {}", strict.join(", ")));
    }
    let providers = document.root.items("providers").iter().map(|node| check.provider(node)).collect();
    Ok(Decoded { providers, ignored: strict, has_more: document.has_more })
}

/// Finds the version of the configuration, with the kubelet's checks of `apiVersion` and `kind`.
fn api_version(root: &Node, bytes: &[u8]) -> Result<&'static str, String> {
    const META: &str =
        r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let unreadable =
        |reason: String| format!("couldn't get version/kind; json parse error: json: cannot unmarshal {reason}");
    if !matches!(root, Node::Map(_) | Node::Null) {
        return Err(unreadable(format!("{} into Go value of type {META}", root.json_type())));
    }
    // Go's own JSON package, which is used here only, ignores the letter case of fields.
    let (mut kind, mut api_version) = (String::new(), String::new());
    for (key, value) in root.entries() {
        let (field, place) = match key.to_ascii_lowercase().as_str() {
            "kind" => ("kind", &mut kind),
            "apiversion" => ("apiVersion", &mut api_version),
            _ => continue,
        };
        match value {
            Node::Text(text) => place.clone_from(text),
            Node::Null => {}
            Node::Bool(_) | Node::Number | Node::List(_) | Node::Map(_) => {
                return Err(unreadable(format!("{} into Go struct field .{field} of type string", value.json_type())));
            }
        }
    }
    // The kubelet repeats the whole file here.
    let content = if bytes.is_empty() { "" } else { "..." };
    if api_version.matches('/').count() > 1 {
        return Err(format!("unexpected GroupVersion string: {api_version}"));
    }
    if kind.is_empty() {
        return Err(format!("Object 'Kind' is missing in '{content}'"));
    }
    if api_version.is_empty() || api_version == "/" {
        return Err(format!("Object 'apiVersion' is missing in '{content}'"));
    }
    let version = api_version.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/'));
    match (version, kind.as_str()) {
        (Some("v1"), KIND) => Ok("v1"),
        (Some("v1beta1"), KIND) => Ok("v1beta1"),
        (Some("v1alpha1"), KIND) => Ok("v1alpha1"),
        (Some("v1beta1"), "KubeletConfiguration" | "SerializedNodeConfigSource") => {
            Err(format!("failed to decode {} (wrong Kind)", go::quote(&kind)))
        }
        _ => Err(format!(
            "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
            go::quote(&kind),
            go::quote(&api_version)
        )),
    }
}

/// A type of the configuration.
enum Type {
    Text,
    /// A string with a name of its own in Go.
    Named(&'static str),
    Duration,
    Bool,
    List(&'static Self),
    Object(&'static Schema),
}

struct Schema {
    name: &'static str,
    fields: &'static [Field],
}

struct Field {
    name: &'static str,
    kind: Type,
    since: Since,
}

/// Which kubelets know a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    Always,
    /// 1.33, in `v1` only.
    Tokens,
    /// 1.34.
    CacheType,
}

const fn field(name: &'static str, kind: Type) -> Field {
    Field { name, kind, since: Since::Always }
}

const CONFIG: Schema = Schema {
    name: KIND,
    fields: &[
        field("kind", Type::Text),
        field("apiVersion", Type::Text),
        field("providers", Type::List(&Type::Object(&PROVIDER))),
    ],
};

const PROVIDER: Schema = Schema {
    name: "CredentialProvider",
    fields: &[
        field("name", Type::Text),
        field("matchImages", Type::List(&Type::Text)),
        field("defaultCacheDuration", Type::Duration),
        field("apiVersion", Type::Text),
        field("args", Type::List(&Type::Text)),
        field("env", Type::List(&Type::Object(&ENVIRONMENT))),
        Field { name: "tokenAttributes", kind: Type::Object(&TOKEN_ATTRIBUTES), since: Since::Tokens },
    ],
};

const ENVIRONMENT: Schema =
    Schema { name: "ExecEnvVar", fields: &[field("name", Type::Text), field("value", Type::Text)] };

const TOKEN_ATTRIBUTES: Schema = Schema {
    name: "ServiceAccountTokenAttributes",
    fields: &[
        field("serviceAccountTokenAudience", Type::Text),
        Field { name: "cacheType", kind: Type::Named("ServiceAccountTokenCacheType"), since: Since::CacheType },
        field("requireServiceAccount", Type::Bool),
        field("requiredServiceAccountAnnotationKeys", Type::List(&Type::Text)),
        field("optionalServiceAccountAnnotationKeys", Type::List(&Type::Text)),
    ],
};

struct Check {
    version: &'static str,
    kubelet: KubeletVersion,
    /// The first value of a wrong type.
    fatal: Option<String>,
    strict: Vec<String>,
    seen: HashSet<String>,
}

/// Most unknown and repeated fields that sigs.k8s.io/json tells.
const MAX_STRICT: usize = 100;

impl Check {
    /// `path` is the one of strict errors, `providers[0].args`; `steps` that of type errors, `providers.args`.
    fn object(&mut self, node: &Node, schema: &Schema, path: &str, steps: &str) {
        let mut met = HashSet::new();
        for (key, value) in node.entries() {
            let path = join(path, key);
            let known = schema.fields.iter().find(|field| field.name == key && self.knows(field));
            let Some(field) = known else {
                self.note("unknown", path);
                continue;
            };
            self.value(value, &field.kind, &path, &join(steps, key), schema.name);
            if !met.insert(key) {
                self.note("duplicate", path);
            }
        }
    }

    fn value(&mut self, node: &Node, kind: &Type, path: &str, steps: &str, owner: &str) {
        match (kind, node) {
            (_, Node::Null) | (Type::Text | Type::Named(_), Node::Text(_)) | (Type::Bool, Node::Bool(_)) => {}
            (Type::Duration, Node::Text(text)) => {
                if let Err(error) = go::parse_duration(text) {
                    self.fatal.get_or_insert(error);
                }
            }
            (Type::List(kind), Node::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, kind, &format!("{path}[{index}]"), steps, owner);
                }
            }
            (Type::Object(schema), Node::Map(_)) => self.object(node, schema, path, steps),
            (Type::Text | Type::Named(_) | Type::Duration | Type::Bool | Type::List(_) | Type::Object(_), _) => {
                let (found, wanted) = (node.json_type(), self.go_type(kind));
                self.fatal.get_or_insert_with(|| {
                    format!("json: cannot unmarshal {found} into Go struct field {owner}.{steps} of type {wanted}")
                });
            }
        }
    }

    fn note(&mut self, what: &str, path: String) {
        if self.strict.len() < MAX_STRICT && self.seen.insert(format!("{what} {path}")) {
            self.strict.push(format!("{what} field {}", go::quote(&path)));
        }
    }

    fn knows(&self, field: &Field) -> bool {
        match field.since {
            Since::Always => true,
            Since::Tokens => self.version == "v1" && self.kubelet >= KubeletVersion::TOKENS,
            Since::CacheType => self.kubelet >= KubeletVersion::CACHE_TYPE,
        }
    }

    fn go_type(&self, kind: &Type) -> String {
        match kind {
            Type::Text | Type::Duration => "string".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::Named(name) => format!("{}.{name}", self.version),
            Type::Object(schema) => format!("{}.{}", self.version, schema.name),
            Type::List(kind) => format!("[]{}", self.go_type(kind)),
        }
    }

    /// Takes over a provider whose types have been checked; fields that this kubelet does not know stay away.
    fn provider(&self, node: &Node) -> Provider {
        let knows_tokens = self.version == "v1" && self.kubelet >= KubeletVersion::TOKENS;
        let tokens = node.field("tokenAttributes").filter(|tokens| knows_tokens && **tokens != Node::Null);
        Provider {
            name: node.text("name"),
            match_images: texts(node, "matchImages"),
            default_cache_duration: match node.field("defaultCacheDuration") {
                Some(Node::Text(text)) => go::parse_duration(text).ok(),
                _ => None,
            },
            api_version: node.text("apiVersion"),
            token_attributes: tokens.map(|tokens| TokenAttributes {
                audience: tokens.text("serviceAccountTokenAudience"),
                cache_type: tokens.text("cacheType"),
                require_service_account: match tokens.field("requireServiceAccount") {
                    Some(Node::Bool(value)) => Some(*value),
                    _ => None,
                },
                required_annotation_keys: texts(tokens, "requiredServiceAccountAnnotationKeys"),
                optional_annotation_keys: texts(tokens, "optionalServiceAccountAnnotationKeys"),
            }),
        }
    }
}

fn texts(node: &Node, field: &str) -> Vec<String> {
    node.items(field).iter().map(Node::to_text).collect()
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}
