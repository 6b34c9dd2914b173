//! What a configuration file holds, whatever its syntax: lists and maps of text, each with its line.
//!
//! Numbers and truth values stay the text they are written as: a password `0123` is those four characters.

use zeroize::Zeroizing;

/// One value and the line of its key, or where it starts.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// Where an entry stands in the text, in bytes. What is no entry has a key of no length where it starts, and a document has its `---`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) key: usize,
    pub(crate) key_end: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) style: Style,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// From its first sign to its last: texts, and lists and maps in brackets.
    #[default]
    Whole,
    /// A list or map of YAML by lines: nothing of its own, only what is in it.
    Block,
    /// A table of TOML: a line in brackets, and what is in it.
    Header,
    /// A table of TOML that only stands in the names of others.
    Implicit,
    /// A reference to what is written elsewhere.
    Alias,
}

/// The kinds of values. Text may be a secret, so nothing here has a Debug form.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Text(Zeroizing<String>),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A parsed file.
pub(crate) struct Parsed {
    pub(crate) documents: Vec<Node>,
    /// Keys that stand twice in one map, and the line of the one that is not used.
    pub(crate) duplicates: Vec<(String, usize)>,
}

/// Where a text breaks the rules of its syntax, in our own words: parsers quote the text, and it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) what: &'static str,
}

impl Node {
    /// Returns the value of a key of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Returns the value at the end of a path of keys.
    pub(crate) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Returns the entries of a map; nothing for any other value.
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Text(_) | Value::List(_) => &[],
        }
    }

    /// Returns the items of a list; nothing for any other value.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Null | Value::Text(_) | Value::Map(_) => &[],
        }
    }

    /// Returns a text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Returns whether there is nothing here: no value, an empty text, list or map.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Text(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
        }
    }

    /// Returns whether this is a map, or nothing where a map may stand.
    pub(crate) fn is_map_or_null(&self) -> bool {
        matches!(self.value, Value::Map(_) | Value::Null)
    }
}
