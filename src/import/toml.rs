//! Reads TOML as a tree with lines, in the order of the file: the order of hosts is the order in which they are tried.
//!
//! Source of the rules: toml.io/en/v1.1.0.

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::tree::{Node, Parsed, Syntax, Value};

/// Parses a text.
///
/// # Errors
/// [`Syntax`].
pub(super) fn parse(text: &str) -> Result<Parsed, Syntax> {
    let lines = Lines::new(text);
    let table = DeTable::parse(text).map_err(|error| {
        let (line, column) = lines.place(error.span().map_or(0, |span| span.start));
        let what = if error.message().contains("duplicate key") {
            "a key or table stands twice; containerd refuses such a file, so keep one of them"
        } else {
            "not valid TOML; in double quotes `\\` starts an escape, so write a Windows path in single quotes"
        };
        Syntax { line, column, what }
    })?;
    let root = Node { line: 1, value: map(table.into_inner(), &lines) };
    Ok(Parsed { documents: vec![root], duplicates: Vec::new() })
}

/// Where the lines of a text start.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect())
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.0.partition_point(|start| *start <= offset);
        (line, offset - self.0.get(line.saturating_sub(1)).copied().unwrap_or(0) + 1)
    }
}

fn map(table: DeTable<'_>, lines: &Lines) -> Value {
    let entry = |(key, value): (toml::Spanned<std::borrow::Cow<'_, str>>, toml::Spanned<DeValue<'_>>)| {
        let line = lines.place(key.span().start).0;
        (key.into_inner().into_owned(), node(value.into_inner(), line, lines))
    };
    Value::Map(table.into_iter().map(entry).collect())
}

fn node(value: DeValue<'_>, line: usize, lines: &Lines) -> Node {
    let text = |text: String| Value::Text(Zeroizing::new(text));
    let value = match value {
        DeValue::String(string) => text(string.into_owned()),
        DeValue::Integer(number) => text(number.as_str().to_owned()),
        DeValue::Float(number) => text(number.as_str().to_owned()),
        DeValue::Boolean(truth) => text(truth.to_string()),
        DeValue::Datetime(time) => text(time.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| {
                    let line = lines.place(item.span().start).0;
                    node(item.into_inner(), line, lines)
                })
                .collect(),
        ),
        DeValue::Table(table) => map(table, lines),
    };
    Node { line, value }
}
