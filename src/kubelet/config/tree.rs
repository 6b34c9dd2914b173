//! Reads JSON and YAML into one tree, as the kubelet's decoder sees them.
//!
//! Source: Kubernetes 1.36 `apimachinery/pkg/runtime/serializer` (what starts with `{` is JSON, all else YAML),
//! sigs.k8s.io/yaml 1.6 and go.yaml.in/yaml/v2 2.4, which is YAML 1.1 with its own rules for plain scalars: `yes` is a boolean
//! and `017` a number. Held against that code by `tests/suite/config.rs`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput, Tag};

use super::go;
use crate::text;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Self>),
    /// In the order of the decoder: of the document in JSON, of the keys in YAML. JSON may repeat a key.
    Map(Vec<(String, Self)>),
}

/// The document of a file that counts.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Node,
    /// Keys that YAML repeats, one message each; the last value is in the tree.
    pub(super) repeated: Vec<String>,
    /// Whether more documents follow, which the kubelet never reads.
    pub(super) has_more: bool,
}

/// Deepest nesting. A configuration needs six; the parser of JSON has the same limit.
const MAX_DEPTH: usize = 128;

/// Most values, aliases spelled out.
const MAX_NODES: usize = 1_000_000;

impl Document {
    /// Reads the first document of a file.
    ///
    /// # Errors
    /// What the kubelet says, in its words where they are known.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        // Go puts U+FFFD in the place of what is no UTF-8 in JSON.
        let lossy = String::from_utf8_lossy(bytes);
        if lossy.trim_start().starts_with('{') {
            return parse_json(&lossy);
        }
        let text = text::decode(bytes).ok_or("yaml: neither UTF-8 nor UTF-16 with a byte order mark")?;
        if text.chars().any(|c| !is_allowed_in_yaml(c)) {
            return Err("yaml: control characters are not allowed".to_owned());
        }
        parse_yaml(&text)
    }
}

impl Node {
    /// Returns the entries of a map; nothing else has any.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        if let Self::Map(entries) = self { entries } else { &[] }
    }

    /// Returns the value of a field: the last, if it is repeated.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.entries().iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Returns the text of a field, empty when there is none.
    pub(super) fn text(&self, name: &str) -> String {
        self.field(name).map(Self::to_text).unwrap_or_default()
    }

    /// Returns the items of a field that is a list.
    pub(super) fn items(&self, name: &str) -> &[Self] {
        if let Some(Self::List(items)) = self.field(name) { items } else { &[] }
    }

    /// Returns the text, empty for null, as Go leaves a string alone.
    pub(super) fn to_text(&self) -> String {
        if let Self::Text(text) = self { text.clone() } else { String::new() }
    }

    /// Returns what Go's JSON decoder calls it.
    pub(super) fn json_type(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number | Self::Text(_) => 1,
            Self::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Self::Map(entries) => 1 + entries.iter().map(|(_, value)| value.size()).sum::<usize>(),
        }
    }
}

fn parse_json(text: &str) -> Result<Document, String> {
    let root = serde_json::from_str(text).map_err(|error| {
        // serde_json's message repeats no value in a document that fits every type, only what it expected.
        format!("couldn't get version/kind; json parse error: {error}")
    })?;
    Ok(Document { root, repeated: Vec::new(), has_more: false })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

fn parse_yaml(text: &str) -> Result<Document, String> {
    let mut options = Options::default();
    options.emit_unresolved_aliases = true;
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
        repeated: Vec::new(),
    };
    let root = builder.document()?.unwrap_or(Node::Null);
    // A later document may be broken: the kubelet does not look.
    let has_more = builder.next_content().map_or(true, |event| event.is_some());
    Ok(Document { root, repeated: builder.repeated, has_more })
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    repeated: Vec<String>,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Option<Node>, String> {
        loop {
            match self.next()? {
                None | Some((Event::StreamEnd | Event::DocumentEnd, _)) => return Ok(None),
                Some((Event::DocumentStart(_, Some(version)), _)) if (version.major, version.minor) != (1, 1) => {
                    return Err("yaml: found incompatible YAML document".to_owned());
                }
                Some((Event::StreamStart | Event::DocumentStart(..), _)) => {}
                Some((event, _)) => return self.node(event, 0).map(Some),
            }
        }
    }

    /// Returns the next event that belongs to a value, in whatever document.
    fn next_content(&mut self) -> Result<Option<Event<'a>>, String> {
        while let Some((event, _)) = self.next()? {
            let is_empty =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, 0, None) if matches!(&**text, "" | "~"));
            let is_frame =
                matches!(event, Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd);
            if !is_frame && !is_empty {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, String> {
        match self.parser.next() {
            None => Ok(None),
            Some(Ok(next)) => Ok(Some(next)),
            Some(Err(error)) => {
                let place = error.marker();
                Err(format!("yaml: line {}: no valid YAML at column {}", place.line(), place.col() + 1))
            }
        }
    }

    /// Returns the next event inside of a list or map.
    fn inner(&mut self) -> Result<(Event<'a>, Span), String> {
        self.next()?.ok_or_else(|| "yaml: unexpected end".to_owned())
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(format!("yaml: nested more than {MAX_DEPTH} deep"));
        }
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar(&text, style, tag.as_deref())?),
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.inner()?.0 {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                (anchor, Node::List(items))
            }
            Event::MappingStart(_, anchor, _) => (anchor, self.map(depth)?),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).ok_or("yaml: anchor contains itself")?;
                self.nodes += node.size();
                self.check_size()?;
                return Ok(node.clone());
            }
            Event::UnresolvedAlias(name) => return Err(format!("yaml: unknown anchor '{name}' referenced")),
            _ => return Err("yaml: unexpected end".to_owned()),
        };
        self.nodes += 1;
        self.check_size()?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Node, String> {
        let mut map = BTreeMap::new();
        loop {
            let event = match self.inner()?.0 {
                Event::MappingEnd => break,
                event => event,
            };
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = if is_merge { None } else { Some(self.key(event, depth)?) };
            let (event, span) = self.inner()?;
            let value = self.node(event, depth + 1)?;
            let line = span.start.line();
            match key {
                Some(key) => self.insert(&mut map, key, value, line),
                None => self.merge(&mut map, value, line)?,
            }
        }
        Ok(Node::Map(map.into_iter().collect()))
    }

    fn insert(&mut self, map: &mut BTreeMap<String, Node>, key: String, value: Node, line: usize) {
        if map.contains_key(&key) && self.repeated.len() < MAX_REPEATED {
            self.repeated.push(format!("line {line}: key {} already set in map", go::quote(&key)));
        }
        map.insert(key, value);
    }

    /// Takes over what `<<` names; what comes later wins, as everywhere in this parser.
    fn merge(&mut self, map: &mut BTreeMap<String, Node>, value: Node, line: usize) -> Result<(), String> {
        let sources = match value {
            Node::List(items) => items.into_iter().rev().collect(),
            node => vec![node],
        };
        for source in sources {
            let Node::Map(entries) = source else {
                return Err("yaml: map merge requires map or sequence of maps as the value".to_owned());
            };
            for (key, value) in entries {
                self.insert(map, key, value, line);
            }
        }
        Ok(())
    }

    fn key(&mut self, event: Event<'a>, depth: usize) -> Result<String, String> {
        let plain = if let Event::Scalar(text, ..) = &event { text.to_string() } else { String::new() };
        match self.node(event, depth + 1)? {
            Node::Text(text) => Ok(text),
            Node::Bool(value) => Ok(value.to_string()),
            Node::Number => Ok(plain.parse::<f64>().map_or(plain, |number| number.to_string())),
            Node::Null | Node::List(_) | Node::Map(_) => Err("yaml: a key of a mapping is no text".to_owned()),
        }
    }

    fn check_size(&self) -> Result<(), String> {
        if self.nodes > MAX_NODES { Err("yaml: document contains excessive aliasing".to_owned()) } else { Ok(()) }
    }
}

/// Most repeated keys that are told.
const MAX_REPEATED: usize = 100;

/// go-yaml's `resolve`.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Node, String> {
    let core = tag.map(|tag| tag.core_suffix().unwrap_or(if tag.suffix() == "binary" { "binary" } else { "str" }));
    let is_quoted = !matches!(style, ScalarStyle::Plain);
    match core {
        None if is_quoted => return Ok(Node::Text(text.to_owned())),
        Some("binary") => return Err("yaml: a value with the tag `!!binary` cannot be judged".to_owned()),
        None | Some("bool" | "int" | "float" | "null") => {}
        Some(_) => return Ok(Node::Text(text.to_owned())),
    }
    let node = match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Node::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Node::Bool(false),
        "" | "~" | "null" | "Null" | "NULL" => Node::Null,
        ".nan" | ".NaN" | ".NAN" => return Err(unsupported("NaN")),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Err(unsupported("+Inf")),
        "-.inf" | "-.Inf" | "-.INF" => return Err(unsupported("-Inf")),
        text if is_number(text) => Node::Number,
        text => Node::Text(text.to_owned()),
    };
    let fits = match core {
        Some("bool") => matches!(node, Node::Bool(_)),
        Some("int" | "float") => matches!(node, Node::Number),
        Some("null") => matches!(node, Node::Null),
        Some(_) | None => true,
    };
    let tag = core.unwrap_or_default();
    if fits { Ok(node) } else { Err(format!("yaml: cannot decode {} as a !!{tag}", go::quote(text))) }
}

fn unsupported(number: &str) -> String {
    format!("json: unsupported value: {number}")
}

fn is_number(text: &str) -> bool {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return false;
    }
    let plain = if text.starts_with('.') { text.to_owned() } else { text.replace('_', "") };
    let digits = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let based = |prefix: [&str; 2], radix: u32| {
        let rest = prefix.iter().find_map(|prefix| digits.strip_prefix(prefix));
        rest.is_some_and(|rest| !rest.starts_with('+') && u64::from_str_radix(rest, radix).is_ok())
    };
    based(["0x", "0X"], 16) || based(["0o", "0O"], 8) || based(["0b", "0B"], 2) || is_decimal(digits)
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, as long as it is finite.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent_fits
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// What go-yaml's reader lets through.
fn is_allowed_in_yaml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && c != '\u{feff}'
}
