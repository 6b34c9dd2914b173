//! Reads TOML as a tree with lines, in the order of the file: the order of hosts is the order in which they are tried.
//!
//! Source of the rules: toml.io/en/v1.1.0.

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::tree::{Node, Parsed, Span, Style, Syntax, Value};

/// Parses a text.
///
/// # Errors
/// [`Syntax`].
pub(crate) fn parse(text: &str) -> Result<Parsed, Syntax> {
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
    let span = Span { style: Style::Implicit, ..Span::default() };
    let root = Node { line: 1, span, value: map(table.into_inner(), &lines) };
    Ok(Parsed { documents: vec![root], duplicates: Vec::new() })
}

/// Where the lines of a text start.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect();
        Self { text, starts }
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        (line, offset - self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0) + 1)
    }

    fn style(&self, value: &DeValue<'_>, start: usize) -> Style {
        match (value, self.text.as_bytes().get(start)) {
            (DeValue::Table(_), Some(b'[')) => Style::Header,
            (DeValue::Table(_), Some(b'{')) => Style::Whole,
            (DeValue::Table(_), _) => Style::Implicit,
            _ => Style::Whole,
        }
    }
}

fn map(table: DeTable<'_>, lines: &Lines<'_>) -> Value {
    let entry = |(key, value): (toml::Spanned<std::borrow::Cow<'_, str>>, toml::Spanned<DeValue<'_>>)| {
        let span = key.span();
        (key.into_inner().into_owned(), node(value, span.start, span.end, lines))
    };
    Value::Map(table.into_iter().map(entry).collect())
}

fn node(value: toml::Spanned<DeValue<'_>>, key: usize, key_end: usize, lines: &Lines<'_>) -> Node {
    let range = value.span();
    let value = value.into_inner();
    let style = lines.style(&value, range.start);
    let span = Span { key, key_end, start: range.start, end: range.end, style };
    let line = lines.place(key).0;
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
                    let start = item.span().start;
                    node(item, start, start, lines)
                })
                .collect(),
        ),
        DeValue::Table(table) => map(table, lines),
    };
    Node { line, span, value }
}
