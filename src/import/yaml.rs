//! Reads YAML 1.2, and with it JSON, as a tree with lines.
//!
//! Source of the rules: yaml.org/spec/1.2.2; `<<` is the merge key of yaml.org/type/merge.html, which Go's parsers know.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, StructureStyle};
use zeroize::Zeroizing;

use super::tree::{Node, Parsed, Span, Style, Syntax, Value};

/// What aliases may add to a file, counted as bytes and 64 for each value: enough for every honest file, and for no bomb.
const MAX_ALIASED: usize = 32 * 1024 * 1024;
/// How deep values may lie in one another once aliases are replaced; the parser's own limit for what is written out.
const MAX_DEPTH: usize = 255;

const ALIAS: &str = "the aliases in it stand for more than 32 MiB, or for themselves";

/// Parses all documents of a text.
///
/// # Errors
/// [`Syntax`].
pub(super) fn parse(text: &str) -> Result<Parsed, Syntax> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let mark = error.marker();
            Syntax { line: mark.line(), column: mark.col() + 1, what: describe(error.kind()) }
        })?;
        let (line, column) = (span.start.line(), span.start.col() + 1);
        let (mut start, end) = (offset(span.start), offset(span.end));
        if let Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) = &event {
            // From its sign on, not from its first letter.
            start = text.get(..start).and_then(|before| before.rfind(['|', '>'])).unwrap_or(start);
        }
        // Such a text ends where the next word starts.
        let own = text.get(start..end).unwrap_or_default().trim_end_matches([' ', '\t']);
        let range = (start, start + own.len());
        builder.event(event, line, range).map_err(|what| Syntax { line, column, what })?;
    }
    Ok(Parsed { documents: builder.documents, duplicates: builder.duplicates })
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    duplicates: Vec<(String, usize)>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    /// Where the document's `---` stands.
    marker: Option<(usize, usize)>,
}

/// A list or map whose end has not been seen.
struct Open {
    anchor: usize,
    line: usize,
    start: usize,
    style: Style,
    content: Content,
}

/// A key that waits for its value.
struct Key {
    name: String,
    line: usize,
    start: usize,
    end: usize,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<(String, Node)>, index: HashMap<String, usize>, key: Option<Key> },
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize, (start, end): (usize, usize)) -> Result<(), &'static str> {
        match event {
            Event::DocumentStart(explicit, _) => {
                self.anchors.clear();
                self.marker = explicit.then_some((start, end));
            }
            Event::Scalar(text, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                // The text of a null, which is still a key when it stands as one.
                let text = Zeroizing::new(text.into_owned());
                let wants_key = matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. }));
                let value = if is_null && !wants_key { Value::Null } else { Value::Text(text) };
                let span = Span { key: start, key_end: start, start, end, style: Style::Whole };
                self.add(Node { line, span, value }, anchor)?;
            }
            Event::SequenceStart(style, anchor, _) => {
                self.push(anchor, line, start, style, Content::List(Vec::new()));
            }
            Event::MappingStart(style, anchor, _) => {
                let content = Content::Map { entries: Vec::new(), index: HashMap::new(), key: None };
                self.push(anchor, line, start, style, content);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { anchor, line, start, style, content }) = self.open.pop() {
                    let value = match content {
                        Content::List(items) => Value::List(items),
                        Content::Map { entries, .. } => Value::Map(merged(entries)),
                    };
                    let mut node = Node { line, span: Span { key: start, key_end: start, start, end, style }, value };
                    if style == Style::Block {
                        // The event of the end comes with whatever follows.
                        let items = node.items().iter().chain(node.entries().iter().map(|(_, node)| node));
                        node.span.end = items.map(|node| node.span.end).max().unwrap_or(start);
                    }
                    self.add(node, anchor)?;
                }
            }
            Event::Alias(id) => {
                let node = self.anchors.get(&id).ok_or(ALIAS)?;
                if self.open.len() + depth(node) > MAX_DEPTH {
                    return Err(ALIAS);
                }
                charge(&mut self.aliased, node)?;
                let span = Span { key: start, key_end: start, start, end, style: Style::Alias };
                let node = Node { line: node.line, span, value: node.value.clone() };
                self.add(node, 0)?;
            }
            // Starts, ends and comments.
            _ => {}
        }
        Ok(())
    }

    fn push(&mut self, anchor: usize, line: usize, start: usize, style: StructureStyle, content: Content) {
        let style = if style == StructureStyle::Flow { Style::Whole } else { Style::Block };
        self.open.push(Open { anchor, line, start, style, content });
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, mut node: Node, anchor: usize) -> Result<(), &'static str> {
        if anchor != 0 {
            charge(&mut self.aliased, &node)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => {
                if let Some((start, end)) = self.marker.take() {
                    (node.span.key, node.span.key_end) = (start, end);
                }
                self.documents.push(node);
            }
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, index, key }) => match key.take() {
                None => {
                    let Some(text) = node.text() else { return Err("a key is a list or a map") };
                    let Span { start, end, .. } = node.span;
                    *key = Some(Key { name: text.to_owned(), line: node.line, start, end });
                }
                Some(Key { name, line, start, end }) => {
                    node.line = line;
                    (node.span.key, node.span.key_end) = (start, end);
                    if let Some(earlier) = index.get(&name) {
                        // As Go's parsers do, where they do not refuse the file.
                        let earlier = &mut entries[*earlier].1;
                        self.duplicates.push((name, earlier.line));
                        *earlier = node;
                    } else {
                        index.insert(name.clone(), entries.len());
                        entries.push((name, node));
                    }
                }
            },
        }
        Ok(())
    }
}

/// Puts what `<<` refers to beside it; the map's own keys come first.
fn merged(mut entries: Vec<(String, Node)>) -> Vec<(String, Node)> {
    let Some(position) = entries.iter().position(|(name, node)| name == "<<" && node.text().is_none()) else {
        return entries;
    };
    let (_, merge) = entries.remove(position);
    let maps = match merge.value {
        Value::List(items) => items,
        value @ (Value::Null | Value::Text(_) | Value::Map(_)) => {
            vec![Node { line: merge.line, span: merge.span, value }]
        }
    };
    for map in maps {
        if let Value::Map(others) = map.value {
            let mine: std::collections::HashSet<String> = entries.iter().map(|(name, _)| name.clone()).collect();
            entries.extend(others.into_iter().filter(|(name, _)| !mine.contains(name)));
        }
    }
    entries
}

/// Returns a place in bytes, which a parser of a text always knows.
fn offset(marker: Marker) -> usize {
    marker.byte_offset().unwrap_or_default()
}

fn charge(aliased: &mut usize, node: &Node) -> Result<(), &'static str> {
    *aliased += cost(node);
    if *aliased > MAX_ALIASED { Err(ALIAS) } else { Ok(()) }
}

fn cost(node: &Node) -> usize {
    64 + match &node.value {
        Value::Null => 0,
        Value::Text(text) => text.len(),
        Value::List(items) => items.iter().map(cost).sum(),
        Value::Map(entries) => entries.iter().map(|(name, node)| name.len() + cost(node)).sum(),
    }
}

fn depth(node: &Node) -> usize {
    let deepest = node.items().iter().chain(node.entries().iter().map(|(_, node)| node)).map(depth).max();
    1 + deepest.unwrap_or(0)
}

fn describe(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidLowSurrogateHexEscape
        | ErrorKind::InvalidUnicodeEscape => {
            "unknown escape: in double quotes `\\` starts one; write a Windows path in single quotes, or \
                each `\\` twice"
        }
        ErrorKind::UnknownAnchor => {
            "an alias (`*name`) without its anchor; a `*` that stands for itself \
            needs quotes"
        }
        _ => "not valid YAML or JSON",
    }
}
