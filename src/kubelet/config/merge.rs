//! Puts one provider into the text of a configuration, or takes it out, and leaves every other byte alone.
//!
//! The text is not written anew: the place of the `providers` list and of its items is found, and lines are put in or cut out
//! there, so comments, order, unknown fields and the form (YAML or JSON) stay. What comes out is parsed again and must hold the
//! same as before but for this one provider; where that is not so, nothing is returned.

use serde_saphyr::granit_parser::{Event, Parser};

use super::tree::{Document, Node};
use super::{Generated, Tokens, go};
use crate::kubelet;
use crate::{env, text};

/// Where a new provider is put. One that is there already stays at its place, unless it has to be the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before all others: its credentials are tried first, from kubelet 1.33 on.
    First,
    /// Behind all others.
    Last,
}

/// What a text became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// Nothing had to change.
    Same,
    /// The new text, in UTF-8 without byte order mark.
    Changed(String),
    /// No provider would be left, and no kubelet takes such a file.
    Empty,
}

/// What a file says about a provider, as far as others need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// Its patterns.
    pub match_images: Vec<String>,
    /// What it is told of the pod's service account.
    pub tokens: Option<Tokens>,
}

/// Why a text could not be changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeError {
    /// It is no configuration that can be read.
    #[error("cannot be read: {0}")]
    Syntax(String),
    /// It has a form in which a provider cannot be put in or taken out without rewriting the rest.
    #[error("has a form that cannot be edited without rewriting the rest: {0}")]
    Form(&'static str),
}

/// Puts `provider` in place of the one with one of these names, or beside the others.
///
/// # Errors
/// [`MergeError`]
pub fn merge(bytes: &[u8], provider: &Generated, names: &[&str], position: Position) -> Result<Merged, MergeError> {
    let text = decode(bytes)?;
    let old = parse(&text)?;
    let wanted = providers_of(&parse(&provider.to_yaml())?);
    let [wanted] = wanted.as_slice() else { return Err(MergeError::Form("one provider is wanted")) };
    let layout = Layout::find(&text)?;
    let mut expected = providers_of(&old);
    if layout.items.len() != expected.len() {
        return Err(MergeError::Form("`providers` is not written as one list"));
    }
    let is_ours = |node: &Node| names.contains(&node.text("name").as_str());
    let place = expected.iter().position(is_ours);
    if expected.iter().filter(|node| is_ours(node)).count() > 1 {
        return Err(MergeError::Form("the provider stands there twice"));
    }
    let json = provider.provider_json().map_err(|_| MergeError::Form("the provider cannot be written"))?;
    let lines = provider.provider_lines();
    let new = match place {
        Some(index) if expected[index] == *wanted && (position == Position::Last || index == 0) => {
            return Ok(Merged::Same);
        }
        Some(index) if position == Position::Last || index == 0 => {
            expected[index] = wanted.clone();
            layout.replace(&text, index, &lines, &json)
        }
        Some(index) => {
            expected.remove(index);
            expected.insert(0, wanted.clone());
            let without = layout.cut(&text, index);
            Layout::find(&without)?.insert(&without, Position::First, &lines, &json)?
        }
        None => {
            let index = if position == Position::First { 0 } else { expected.len() };
            expected.insert(index, wanted.clone());
            layout.insert(&text, position, &lines, &json)?
        }
    };
    check(&old, &expected, &new)?;
    Ok(Merged::Changed(new))
}

/// Takes the provider with one of these names out.
///
/// # Errors
/// [`MergeError`]
pub fn remove(bytes: &[u8], names: &[&str]) -> Result<Merged, MergeError> {
    let text = decode(bytes)?;
    let old = parse(&text)?;
    let mut expected = providers_of(&old);
    let Some(index) = expected.iter().position(|node| names.contains(&node.text("name").as_str())) else {
        return Ok(if expected.is_empty() { Merged::Empty } else { Merged::Same });
    };
    expected.remove(index);
    if expected.is_empty() {
        return Ok(Merged::Empty);
    }
    let layout = Layout::find(&text)?;
    if layout.items.len() != expected.len() + 1 {
        return Err(MergeError::Form("`providers` is not written as one list"));
    }
    let new = layout.cut(&text, index);
    check(&old, &expected, &new)?;
    Ok(Merged::Changed(new))
}

/// Returns the providers of a text, in its order.
///
/// # Errors
/// [`MergeError::Syntax`]
pub fn providers(bytes: &[u8]) -> Result<Vec<Provider>, MergeError> {
    let document = Document::parse(bytes).map_err(MergeError::Syntax)?;
    let provider = |node: &Node| Provider {
        name: node.text("name"),
        match_images: node.items("matchImages").iter().map(Node::to_text).collect(),
        tokens: node.field("tokenAttributes").filter(|tokens| **tokens != Node::Null).map(tokens),
    };
    Ok(document.root.items("providers").iter().map(provider).collect())
}

/// Describes the provider with one of these names for people, a line a value; nothing when there is none.
///
/// What others have put into `args`, `env` and fields of their own may be a secret, and is not shown.
///
/// # Errors
/// [`MergeError::Syntax`]
pub fn summarize(bytes: &[u8], names: &[&str]) -> Result<Vec<String>, MergeError> {
    let document = Document::parse(bytes).map_err(MergeError::Syntax)?;
    let ours = document.root.items("providers").iter().find(|node| names.contains(&node.text("name").as_str()));
    let mut lines = Vec::new();
    for (field, value) in ours.map(Node::entries).unwrap_or_default() {
        match field.as_str() {
            "name" | "apiVersion" | "defaultCacheDuration" => {
                lines.push(format!("{field}: {}", go::quote(&value.to_text())));
            }
            "matchImages" => {
                lines.extend(list(value).iter().map(|item| format!("{field}: {}", go::quote(&item.to_text()))));
            }
            "args" => lines.extend(list(value).iter().map(|item| format!("{field}: {}", argument(&item.to_text())))),
            "env" => lines.extend(list(value).iter().map(|item| {
                let name = item.text("name");
                let value = if name == env::STORE { go::quote(&item.text("value")) } else { HIDDEN.to_owned() };
                format!("{field}: {}={value}", go::quote(&name))
            })),
            "tokenAttributes" => {
                lines.extend(value.entries().iter().flat_map(|(name, value)| token_attribute(name, value)));
            }
            _ => lines.push(format!("{}: {HIDDEN}", go::quote(field))),
        }
    }
    // The decoder sorts the fields of YAML and not those of JSON.
    lines.sort_by_key(|line| line.split(':').next().unwrap_or_default().to_owned());
    Ok(lines)
}

fn tokens(attributes: &Node) -> Tokens {
    let keys = ["requiredServiceAccountAnnotationKeys", "optionalServiceAccountAnnotationKeys"];
    Tokens {
        audience: attributes.text("serviceAccountTokenAudience"),
        is_required: attributes.field("requireServiceAccount") == Some(&Node::Bool(true)),
        is_kept_by_token: attributes.text("cacheType") != "ServiceAccount",
        annotations: keys.into_iter().flat_map(|field| attributes.items(field)).map(Node::to_text).collect(),
    }
}

/// Says what a provider is told of service accounts, as far as this program writes it.
fn token_attribute(name: &str, value: &Node) -> Vec<String> {
    let shown = match (name, value) {
        ("serviceAccountTokenAudience" | "cacheType", value) => vec![go::quote(&value.to_text())],
        ("requireServiceAccount", Node::Bool(is_required)) => vec![is_required.to_string()],
        ("requiredServiceAccountAnnotationKeys" | "optionalServiceAccountAnnotationKeys", Node::List(keys)) => {
            keys.iter().map(|key| go::quote(&key.to_text())).collect()
        }
        _ => return vec![format!("tokenAttributes.{}: {HIDDEN}", go::quote(name))],
    };
    shown.into_iter().map(|shown| format!("tokenAttributes.{name}: {shown}")).collect()
}

const HIDDEN: &str = "(not shown)";

fn list(node: &Node) -> &[Node] {
    if let Node::List(items) = node { items } else { &[] }
}

/// Shows the arguments that this program has itself; the value of any other may be a secret.
fn argument(text: &str) -> String {
    let known = [kubelet::VERB, "--store", "--timeout"];
    let is_known = known.contains(&text) || ["--store=", "--timeout="].iter().any(|flag| text.starts_with(flag));
    if is_known { go::quote(text) } else { HIDDEN.to_owned() }
}

fn decode(bytes: &[u8]) -> Result<String, MergeError> {
    let text = text::decode(bytes)
        .ok_or_else(|| MergeError::Syntax("neither UTF-8 nor UTF-16 with a byte order mark".to_owned()))?;
    Ok(text.into_owned())
}

fn parse(text: &str) -> Result<Document, MergeError> {
    Document::parse(text.as_bytes()).map_err(MergeError::Syntax)
}

fn providers_of(document: &Document) -> Vec<Node> {
    document.root.items("providers").iter().map(sorted).collect()
}

/// Returns the same value with its fields in the order of YAML: JSON has them in that of the text.
fn sorted(node: &Node) -> Node {
    match node {
        Node::List(items) => Node::List(items.iter().map(sorted).collect()),
        Node::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Node::Map(entries)
        }
        Node::Null | Node::Bool(_) | Node::Number | Node::Text(_) => node.clone(),
    }
}

/// The one promise of this file.
fn check(old: &Document, expected: &[Node], new: &str) -> Result<(), MergeError> {
    let new = parse(new)?;
    let others = |document: &Document| {
        let entries = document.root.entries().iter().filter(|(key, _)| key != "providers");
        entries.map(|(key, value)| (key.clone(), sorted(value))).collect::<Vec<_>>()
    };
    let same = providers_of(&new) == expected && others(&new) == others(old) && new.has_more == old.has_more;
    if same { Ok(()) } else { Err(MergeError::Form("the rest would not stay as it is")) }
}

/// Where the list of providers stands in a text. All numbers are offsets in bytes.
struct Layout {
    /// In brackets, as in JSON, rather than a line with a dash for each item.
    in_brackets: bool,
    /// Behind the line, or behind the bracket, that the list starts with.
    start: usize,
    items: Vec<Item>,
    line_end: &'static str,
}

struct Item {
    /// In brackets: of its first sign. Else: of the line with its dash.
    start: usize,
    /// In brackets: behind its last sign. Else: of the line behind it and the comments that belong to it.
    end: usize,
    /// Column of its first sign, or of its dash.
    indent: usize,
}

impl Layout {
    fn find(text: &str) -> Result<Self, MergeError> {
        let (list, spans) = list_of_providers(text)?;
        let line_end =
            if text.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        if text[list..].starts_with('[') {
            let items = spans.iter().map(|&(start, end)| Item { start, end, indent: start - line_start(text, start) });
            return Ok(Self { in_brackets: true, start: list + 1, items: items.collect(), line_end });
        }
        let items: Vec<Item> =
            spans.iter().map(|&(start, end)| block_item(text, start, end)).collect::<Result<_, _>>()?;
        let Some(first) = items.first() else { return Err(MergeError::Form("`providers` is empty")) };
        // Comments above the first item belong to it.
        let mut start = first.start;
        while let Some(line) = text[..start].split_inclusive('\n').next_back() {
            if !line.trim_start().starts_with('#') && !line.trim().is_empty() {
                break;
            }
            start -= line.len();
        }
        Ok(Self { in_brackets: false, start, items, line_end })
    }

    fn replace(&self, text: &str, index: usize, lines: &[String], json: &str) -> String {
        let item = &self.items[index];
        let new = if self.in_brackets { self.flow(text, json, item.indent) } else { self.block(lines, item.indent) };
        splice(text, item.start, item.end, &new)
    }

    fn insert(&self, text: &str, position: Position, lines: &[String], json: &str) -> Result<String, MergeError> {
        let (Some(first), Some(last)) = (self.items.first(), self.items.last()) else {
            return Err(MergeError::Form("`providers` is empty"));
        };
        if self.in_brackets {
            let gap = if self.is_spread(text) {
                format!("{}{}", self.line_end, " ".repeat(first.indent))
            } else {
                " ".to_owned()
            };
            let item = self.flow(text, json, first.indent);
            return Ok(match position {
                Position::First => splice(text, first.start, first.start, &format!("{item},{gap}")),
                Position::Last => splice(text, last.end, last.end, &format!(",{gap}{item}")),
            });
        }
        let item = self.block(lines, first.indent);
        Ok(match position {
            Position::First => splice(text, self.start, self.start, &item),
            Position::Last => {
                let missing = if text[..last.end].ends_with('\n') { "" } else { self.line_end };
                splice(text, last.end, last.end, &format!("{missing}{item}"))
            }
        })
    }

    /// Takes out an item that is not the only one.
    fn cut(&self, text: &str, index: usize) -> String {
        let item = &self.items[index];
        let (start, end) = match (self.in_brackets, index, self.items.get(index + 1)) {
            (true, 0, Some(next)) => (item.start, next.start),
            (true, 1.., _) => (self.items[index - 1].end, item.end),
            (false, _, _) | (true, 0, None) => (item.start, item.end),
        };
        splice(text, start, end, "")
    }

    /// Whether the items stand on lines of their own.
    fn is_spread(&self, text: &str) -> bool {
        self.items.first().is_some_and(|first| text[self.start..first.start].contains('\n'))
    }

    fn flow(&self, text: &str, json: &str, indent: usize) -> String {
        if self.is_spread(text) {
            json.replace('\n', &format!("{}{}", self.line_end, " ".repeat(indent)))
        } else {
            json.lines().map(str::trim_start).collect::<Vec<_>>().join(" ")
        }
    }

    fn block(&self, lines: &[String], indent: usize) -> String {
        let indent = " ".repeat(indent);
        lines.iter().map(|line| format!("{indent}{line}{}", self.line_end)).collect()
    }
}

/// Returns where the value of `providers` starts, and each of its items from its first to behind its last sign.
fn list_of_providers(text: &str) -> Result<(usize, Vec<(usize, usize)>), MergeError> {
    let broken = || MergeError::Syntax("no valid YAML or JSON".to_owned());
    let mut depth = 0;
    let mut list = None;
    let mut items: Vec<(usize, usize)> = Vec::new();
    let mut is_key = true;
    let mut is_named = false;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|_| broken())?;
        let range = span.byte_range().ok_or_else(broken)?;
        let opens = matches!(event, Event::SequenceStart(..) | Event::MappingStart(..));
        let closes = matches!(event, Event::SequenceEnd | Event::MappingEnd);
        let is_value = opens || matches!(event, Event::Scalar(..) | Event::Alias(_));
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        if !is_value && !closes {
            continue;
        }
        if closes {
            depth -= 1;
            if list.is_some() && depth == 1 {
                break;
            }
        }
        if depth == 1 && is_value && list.is_none() {
            if is_key {
                is_named = matches!(&event, Event::Scalar(key, ..) if key == "providers");
            } else if is_named {
                if !matches!(event, Event::SequenceStart(..)) {
                    return Err(MergeError::Form("`providers` is not written as one list"));
                }
                list = Some(range.start);
            }
            is_key = !is_key;
        } else if list.is_some() {
            // The end of what has no brackets is that of its last value.
            let has_end = is_value && !opens || closes && text[range.start..].starts_with([']', '}']);
            if depth == 2 && is_value {
                items.push((range.start, range.end));
            }
            if let Some(item) = items.last_mut().filter(|_| has_end) {
                item.1 = range.end;
            }
        }
        if opens {
            depth += 1;
        }
    }
    list.map(|list| (list, items)).ok_or(MergeError::Form("`providers` is missing"))
}

fn block_item(text: &str, start: usize, end: usize) -> Result<Item, MergeError> {
    const FORM: MergeError = MergeError::Form("an item of `providers` does not start with a dash");
    let before = text[..start].trim_end();
    let dash = before.strip_suffix('-').ok_or(FORM)?.len();
    let line = line_start(text, dash);
    if !text[line..dash].bytes().all(|byte| byte == b' ') {
        return Err(FORM);
    }
    let indent = dash - line;
    let next_line = |from: usize| text[from..].find('\n').map_or(text.len(), |length| from + length + 1);
    let mut end = if end > 0 && text[..end].ends_with('\n') { end } else { next_line(end) };
    // A comment that is indented deeper than the dash belongs to the item.
    loop {
        let line = &text[end..next_line(end)];
        let comment = line.trim_start_matches(' ');
        if !comment.starts_with('#') || line.len() - comment.len() <= indent {
            break;
        }
        end += line.len();
    }
    Ok(Item { start: line, end, indent })
}

fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |newline| newline + 1)
}

fn splice(text: &str, start: usize, end: usize, new: &str) -> String {
    format!("{}{new}{}", &text[..start], &text[end..])
}
