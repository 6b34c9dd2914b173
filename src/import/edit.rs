//! Takes entries out of a configuration text, and leaves every other byte where it is: comments, order, blanks, ends of lines.
//!
//! An entry goes with the line it has for itself, or with its comma. What is left is parsed again and must be the same
//! configuration but for what went; otherwise nothing is changed. So a spelling that is not foreseen here is refused, never
//! broken.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::scrub::Place;
use super::tree::{Node, Parsed, Style, Syntax, Value};
use super::{toml, yaml};

/// What a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// YAML, and JSON with it.
    Yaml,
    /// TOML.
    Toml,
}

/// A text without some entries.
pub(super) struct Edited {
    pub(super) text: String,
    /// The entries that are still there, and why.
    pub(super) refused: BTreeMap<Place, &'static str>,
}

pub(super) const NOT_ALONE: &str = "it cannot be taken out without changing something else; remove it by hand";
const ALIASED: &str = "an alias (`*name`) stands in for it or in it; remove it by hand";
const COMMENTED: &str = "there is a comment in its braces; remove it by hand";

impl Language {
    pub(super) fn parse(self, text: &str) -> Result<Parsed, Syntax> {
        match self {
            Self::Yaml => yaml::parse(text),
            Self::Toml => toml::parse(text),
        }
    }
}

/// Takes out `places` and puts other texts in place of those at the keys of `replaced`.
///
/// # Errors
/// Why the text cannot be changed at all.
pub(super) fn edit(
    text: &str,
    language: Language,
    places: &BTreeSet<Place>,
    replaced: &BTreeMap<usize, String>,
) -> Result<Edited, &'static str> {
    let parsed = language.parse(text).map_err(|_| NOT_ALONE)?;
    let mut edit = Edit::new(text, language);
    let mut entries = BTreeMap::new();
    parsed.documents.iter().for_each(|root| index(root, &mut entries));
    let roots: BTreeMap<usize, &Node> = parsed.documents.iter().map(|root| (root.span.key, root)).collect();
    let mut refused = BTreeMap::new();
    for place in places {
        let node = match place {
            Place::Entry(key) => entries.get(key).copied(),
            Place::Document(key) => roots.get(key).copied(),
        };
        match (node.ok_or(ALIASED).and_then(|node| edit.judge(node)), place) {
            (Err(reason), _) => drop(refused.insert(*place, reason)),
            (Ok(()), Place::Entry(key)) => drop(edit.gone.insert(*key)),
            (Ok(()), Place::Document(key)) => drop(edit.documents.insert(*key)),
        }
    }
    for root in &parsed.documents {
        if edit.documents.contains(&root.span.key) {
            edit.delete_document(root);
        } else {
            edit.find_emptied(root);
            edit.delete_below(root, false);
        }
    }
    for (key, new) in replaced {
        let node = entries.get(key).ok_or(NOT_ALONE)?;
        edit.deleted.push(node.span.start..node.span.end);
        edit.added.insert(node.span.start, respelled(&text[node.span.start..node.span.end], new));
    }
    edit.delete_commas();
    let text = edit.assemble();
    let after = language.parse(&text).map_err(|_| NOT_ALONE)?;
    let kept = |root: &&Node| !edit.documents.contains(&root.span.key) && !edit.is_hollow(root);
    let before: Vec<&Node> = parsed.documents.iter().filter(kept).collect();
    let nothing = Edit::new("", language);
    let after: Vec<&Node> = after.documents.iter().filter(|root| !nothing.is_hollow(root)).collect();
    let is_same = before.len() == after.len()
        && before.iter().zip(&after).all(|(before, after)| edit.is_same(before, replaced, &nothing, after));
    if is_same { Ok(Edited { text, refused }) } else { Err(NOT_ALONE) }
}

struct Edit<'a> {
    text: &'a str,
    language: Language,
    /// Keys of the entries that go.
    gone: BTreeSet<usize>,
    /// Documents that go.
    documents: BTreeSet<usize>,
    deleted: Vec<Range<usize>>,
    /// Where those of them start that stand in brackets, with commas between.
    items: BTreeSet<usize>,
    added: BTreeMap<usize, String>,
}

/// Notes where every entry is written, once, however often it is referred to.
fn index<'a>(node: &'a Node, entries: &mut BTreeMap<usize, &'a Node>) {
    if node.span.style == Style::Alias {
        return;
    }
    for (_, child) in node.entries() {
        entries.insert(child.span.key, child);
        index(child, entries);
    }
    node.items().iter().for_each(|item| index(item, entries));
}

impl<'a> Edit<'a> {
    fn new(text: &'a str, language: Language) -> Self {
        let (gone, documents, deleted, items, added) = Default::default();
        Self { text, language, gone, documents, deleted, items, added }
    }

    /// Says why an entry cannot go.
    fn judge(&self, node: &Node) -> Result<(), &'static str> {
        if has_alias(node) {
            return Err(ALIASED);
        }
        if self.language == Language::Yaml && node.span.style == Style::Whole && self.has_comment(node) {
            return Err(COMMENTED);
        }
        Ok(())
    }

    /// Returns whether a comment stands between the texts of a list or map in brackets.
    fn has_comment(&self, node: &Node) -> bool {
        let mut texts = Vec::new();
        scalars(node, &mut texts);
        let mut from = node.span.start;
        let gap = |from: usize, to: usize| self.text.get(from..to).is_some_and(|gap| gap.contains('#'));
        for text in texts {
            if gap(from, text.start) {
                return true;
            }
            from = text.end;
        }
        gap(from, node.span.end)
    }

    /// Lets a host go whose `auth` was all it had, and a table of headers with no other; says where nothing is left.
    fn find_emptied(&mut self, node: &Node) {
        for (_, child) in node.entries() {
            if child.span.style == Style::Alias || self.gone.contains(&child.span.key) {
                continue;
            }
            self.find_emptied(child);
            if child.entries().is_empty() || !child.entries().iter().all(|(_, node)| self.gone.contains(&node.span.key))
            {
                continue;
            }
            let is_login = |name: &str| name == "auth" || name.eq_ignore_ascii_case("authorization");
            if child.entries().iter().all(|(name, _)| is_login(name)) && self.judge(child).is_ok() {
                self.gone.insert(child.span.key);
            } else if child.span.style == Style::Block
                && let Some(colon) = self.colon(child.span.key_end)
            {
                self.added.insert(colon, " {}".to_owned());
            }
        }
        node.items().iter().for_each(|item| self.find_emptied(item));
    }

    fn delete_below(&mut self, node: &Node, in_brackets: bool) {
        let in_brackets = in_brackets || node.span.style == Style::Whole;
        for (_, child) in node.entries() {
            match child.span.style {
                Style::Alias => {}
                _ if self.gone.contains(&child.span.key) => self.delete(child, in_brackets),
                Style::Whole | Style::Block | Style::Header | Style::Implicit => self.delete_below(child, in_brackets),
            }
        }
        node.items()
            .iter()
            .filter(|item| item.span.style != Style::Alias)
            .for_each(|item| self.delete_below(item, in_brackets));
    }

    fn delete(&mut self, node: &Node, in_brackets: bool) {
        let span = node.span;
        let colon = self.colon(span.key_end);
        match span.style {
            Style::Whole => {
                let end = if matches!(node.value, Value::Null) { colon.unwrap_or(span.key_end) } else { span.end };
                let start = match self.language {
                    Language::Yaml => span.key,
                    // The key may be the last part of a dotted one.
                    Language::Toml => self.text[..span.key]
                        .rfind(if in_brackets { &['{', ','][..] } else { &['\n'] })
                        .map_or(0, |at| at + 1),
                };
                if in_brackets {
                    self.items.insert(start);
                }
                self.deleted.push(start..end.max(span.key_end));
            }
            Style::Block => {
                self.deleted.push(span.key..colon.unwrap_or(span.key_end));
                node.entries().iter().for_each(|(_, child)| self.delete(child, false));
            }
            Style::Header => {
                self.deleted.push(span.start..span.end);
                node.entries().iter().for_each(|(_, child)| self.delete(child, false));
            }
            Style::Implicit => node.entries().iter().for_each(|(_, child)| self.delete(child, false)),
            // Judged before.
            Style::Alias => {}
        }
    }

    fn delete_document(&mut self, root: &Node) {
        if root.span.key != root.span.start {
            self.deleted.push(root.span.key..root.span.key_end);
        }
        match root.span.style {
            Style::Block => root.entries().iter().for_each(|(_, child)| self.delete(child, false)),
            Style::Whole => self.deleted.push(root.span.start..root.span.end),
            Style::Header | Style::Implicit | Style::Alias => {}
        }
    }

    /// Returns the end of the colon after a key.
    fn colon(&self, key_end: usize) -> Option<usize> {
        let rest = self.text.get(key_end..)?;
        let blanks = rest.len() - rest.trim_start().len();
        rest[blanks..].starts_with(':').then_some(key_end + blanks + 1)
    }

    /// Lets the commas go that separated what goes from what stays.
    fn delete_commas(&mut self) {
        let bytes = self.text.as_bytes();
        let blank = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\t'));
        let space = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n'));
        self.deleted.sort_by_key(|range| range.start);
        for index in 0..self.deleted.len() {
            let Range { mut start, mut end } = self.deleted[index].clone();
            if !self.items.contains(&start) {
                continue;
            }
            let mut after = end;
            while space(after) {
                after += 1;
            }
            if bytes.get(after) == Some(&b',') {
                end = after + 1;
                while blank(end) {
                    end += 1;
                }
                self.deleted[index].end = end;
                continue;
            }
            // The last one: the comma is the one before it, and before those that went already.
            let mut before = start;
            let mut earlier = self.deleted[..index].iter().rev();
            loop {
                while before > 0 && space(before - 1) {
                    before -= 1;
                }
                match earlier.next() {
                    Some(last) if last.end >= before && last.start < before => before = last.start,
                    _ => break,
                }
            }
            if before > 0 && bytes[before - 1] == b',' {
                start = before - 1;
            } else {
                while start > 0 && blank(start - 1) {
                    start -= 1;
                }
                while blank(end) {
                    end += 1;
                }
            }
            self.deleted[index] = start..end;
        }
    }

    /// Puts together what is left. A line goes when nothing is left of it, and a comment keeps its line.
    fn assemble(&self) -> String {
        let mut result = String::with_capacity(self.text.len());
        let (mut start, mut reach) = (0, 0);
        for line in self.text.split_inclusive('\n') {
            let range = start..start + line.len();
            start = range.end;
            let is_hit = |deleted: &&Range<usize>| deleted.start < range.end && range.start < deleted.end;
            let last = self.deleted.partition_point(|deleted| deleted.start < range.end);
            while self.deleted.get(reach).is_some_and(|deleted| deleted.end <= range.start) {
                reach += 1;
            }
            let hits: Vec<&Range<usize>> = self.deleted[reach..last].iter().filter(is_hit).collect();
            let added: Vec<(&usize, &String)> = self.added.range(range.clone()).collect();
            if hits.is_empty() && added.is_empty() {
                result.push_str(line);
                continue;
            }
            let content = line.trim_end_matches(['\r', '\n']);
            let mut left = String::new();
            for (at, c) in content.char_indices().map(|(index, c)| (range.start + index, c)) {
                if let Some(text) = self.added.get(&at) {
                    left.push_str(text);
                }
                if !hits.iter().any(|hit| hit.contains(&at)) {
                    left.push(c);
                }
            }
            if let Some(text) = self.added.get(&(range.start + content.len())) {
                left.push_str(text);
            }
            let left = left.trim_end_matches([' ', '\t']);
            if left.trim_start().is_empty() {
                continue;
            }
            if !hits.is_empty() && left.trim_start().starts_with('#') {
                result.push_str(&content[..content.len() - content.trim_start().len()]);
                result.push_str(left.trim_start());
            } else {
                result.push_str(left);
            }
            // A text that was put in may have brought the end of its line.
            if !left.ends_with('\n') {
                result.push_str(&line[content.len()..]);
            }
        }
        result
    }

    /// Returns whether nothing is left of a value.
    fn is_hollow(&self, node: &Node) -> bool {
        match &node.value {
            Value::Null => true,
            Value::Map(entries) => {
                entries.iter().all(|(_, node)| self.gone.contains(&node.span.key) || self.is_hollow(node))
            }
            Value::Text(_) | Value::List(_) => false,
        }
    }

    /// Returns whether a value is what another one is after the change.
    fn is_same(&self, before: &Node, replaced: &BTreeMap<usize, String>, other: &Self, after: &Node) -> bool {
        match (&before.value, &after.value) {
            (Value::Text(before_text), Value::Text(after_text)) => {
                replaced.get(&before.span.key).map_or(before_text.as_str(), String::as_str) == after_text.as_str()
            }
            (Value::List(before), Value::List(after)) => {
                before.len() == after.len()
                    && before.iter().zip(after).all(|(before, after)| self.is_same(before, replaced, other, after))
            }
            (Value::Map(before), Value::Map(after)) => {
                let stays =
                    |entry: &&(String, Node)| !self.gone.contains(&entry.1.span.key) && !self.is_hollow(&entry.1);
                let mut before = before.iter().filter(stays);
                let mut after = after.iter().filter(|(_, node)| !other.is_hollow(node));
                loop {
                    match (before.next(), after.next()) {
                        (None, None) => return true,
                        (Some((name, before)), Some((other_name, after))) if name == other_name => {
                            if !self.is_same(before, replaced, other, after) {
                                return false;
                            }
                        }
                        _ => return false,
                    }
                }
            }
            _ => self.is_hollow(before) && other.is_hollow(after),
        }
    }
}

fn has_alias(node: &Node) -> bool {
    let children = node.items().iter().chain(node.entries().iter().map(|(_, child)| child));
    node.span.style == Style::Alias || children.into_iter().any(has_alias)
}

/// Collects where the keys and texts in a value are.
fn scalars(node: &Node, found: &mut Vec<Range<usize>>) {
    if let Value::Text(_) = node.value {
        found.push(node.span.start..node.span.end);
    }
    for (_, child) in node.entries() {
        found.push(child.span.key..child.span.key_end);
        scalars(child, found);
    }
    node.items().iter().for_each(|item| scalars(item, found));
}

/// Writes a text as another one was written, in YAML or JSON.
fn respelled(old: &str, new: &str) -> String {
    let quoted = || serde_json::to_string(new).unwrap_or_default();
    match old.as_bytes().first() {
        Some(b'|') => {
            let (header, body) = old.split_once('\n').unwrap_or((old, ""));
            let end = if header.ends_with('\r') { "\r\n" } else { "\n" };
            let first = body.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let indent = &first[..first.len() - first.trim_start_matches(' ').len()];
            let lines: Vec<String> = new
                .trim_end_matches('\n')
                .split('\n')
                .map(|line| format!("{indent}{line}").trim_end().to_owned())
                .collect();
            let last = if old.ends_with('\n') { end } else { "" };
            format!("{}{end}{}{last}", header.trim_end_matches('\r'), lines.join(end))
        }
        Some(b'>') => format!("{}{}", quoted(), if old.ends_with('\n') { "\n" } else { "" }),
        Some(b'\'') if !new.contains('\n') => format!("'{}'", new.replace('\'', "''")),
        Some(b'"' | b'\'') => quoted(),
        // Base64 needs no quotes; any other text is safe in them.
        _ if new.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')) => {
            new.to_owned()
        }
        _ => quoted(),
    }
}
