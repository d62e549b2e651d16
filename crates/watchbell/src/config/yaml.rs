//! YAML as a tree in which every value knows its place.
//!
//! Types are left to the schema: a scalar is its text and whether it was quoted. Anchors and `<<` merges are followed,
//! within a bound.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

/// A place in a file; line and column count from one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which of the loaded files.
    pub(super) file: usize,
    /// From one.
    pub(super) line: usize,
    /// From one, in characters.
    pub(super) column: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) place: Place,
    /// What it is.
    pub(super) kind: Kind,
    /// A secret was put into it.
    pub(super) secret: bool,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Text; `plain` if it was not quoted, so that it may also be a number, a truth value or nothing.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// Pairs in the order of the file; each name once.
    Map(Vec<(Key, Node)>),
}

/// The name of a pair and its place.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// The name.
    pub(super) name: String,
    /// Where it stands.
    pub(super) place: Place,
}

/// Why a text is not YAML that we read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    /// Where.
    pub(super) place: Place,
    /// What is wrong.
    pub(super) message: String,
}

const BINARY: &str = "binary data has no meaning here; write text";
/// How deep values may lie in one another.
const DEPTH_MAX: usize = 64;
/// How many values a file may hold, aliases followed: stops alias bombs.
const NODES_MAX: usize = 1_000_000;

impl Node {
    /// Whether it says nothing: an empty value, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(pairs) => pairs.iter().find(|(key, _)| key.name == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// Reads one document; an empty file is an empty mapping.
pub(super) fn parse(text: &str, file: usize) -> Result<Node, YamlError> {
    match first(text, file)? {
        (node, None) => Ok(node),
        (_, Some(place)) => {
            Err(YamlError { place, message: "a second document begins here; write one per file".into() })
        }
    }
}

/// Reads the first document; answers where a second one begins, if there is one.
pub(super) fn first(text: &str, file: usize) -> Result<(Node, Option<Place>), YamlError> {
    let mut builder = Builder { file, anchors: BTreeMap::new(), nodes: 0 };
    let mut events = Parser::new_from_str(text);
    let (mut root, mut second) = (None, None);
    while let Some((event, place)) = builder.next(&mut events)? {
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            Event::StreamEnd => break,
            event if root.is_none() => root = Some(builder.node(event, place, &mut events, 0)?),
            _ => {
                second = Some(place);
                break;
            }
        }
    }
    let empty = Node { place: Place { file, line: 1, column: 1 }, kind: Kind::Map(Vec::new()), secret: false };
    Ok((root.filter(|root| !root.is_null()).unwrap_or(empty), second))
}

struct Builder {
    file: usize,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

type Events<'a> = Parser<'a, saphyr_parser::StrInput<'a>>;

impl Builder {
    fn next<'a>(&self, events: &mut Events<'a>) -> Result<Option<(Event<'a>, Place)>, YamlError> {
        match events.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, self.place(&span.start)))),
            Some(Err(error)) => Err(self.error(&error)),
        }
    }

    fn place(&self, marker: &saphyr_parser::Marker) -> Place {
        Place { file: self.file, line: marker.line(), column: marker.col() + 1 }
    }

    fn error(&self, error: &ScanError) -> YamlError {
        YamlError { place: self.place(error.marker()), message: format!("this is not YAML: {}", error.info()) }
    }

    fn must<'a>(&self, events: &mut Events<'a>, place: Place) -> Result<(Event<'a>, Place), YamlError> {
        self.next(events)?.ok_or_else(|| YamlError { place, message: "the file ends in the middle of a value".into() })
    }

    fn node(
        &mut self,
        event: Event<'_>,
        place: Place,
        events: &mut Events<'_>,
        depth: usize,
    ) -> Result<Node, YamlError> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return Err(YamlError { place, message: format!("more than {DEPTH_MAX} levels or {NODES_MAX} values") });
        }
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                if tag.as_ref().is_some_and(|tag| tag.suffix == "binary") {
                    return Err(YamlError { place, message: BINARY.into() });
                }
                let string = tag.is_some_and(|tag| tag.suffix == "str");
                let plain = style == ScalarStyle::Plain && !string;
                (anchor, Kind::Scalar { text: text.into_owned(), plain })
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.must(events, place)? {
                        (Event::SequenceEnd, _) => break,
                        (event, at) => items.push(self.node(event, at, events, depth + 1)?),
                    }
                }
                (anchor, Kind::List(items))
            }
            Event::MappingStart(anchor, _) => (anchor, Kind::Map(self.pairs(place, events, depth)?)),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node =
                    node.ok_or_else(|| YamlError { place, message: "this alias has no anchor above it".into() })?;
                self.nodes += count(&node);
                return Ok(node);
            }
            _ => return Err(YamlError { place, message: "a value was expected here".into() }),
        };
        let node = Node { place, kind, secret: false };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn pairs(&mut self, place: Place, events: &mut Events<'_>, depth: usize) -> Result<Vec<(Key, Node)>, YamlError> {
        let mut pairs: Vec<(Key, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, at) = self.must(events, place)?;
            let name = match event {
                Event::MappingEnd => break,
                Event::Scalar(_, _, _, Some(tag)) if tag.suffix == "binary" => {
                    return Err(YamlError { place: at, message: BINARY.into() });
                }
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(YamlError { place: at, message: "the name of a field must be text".into() }),
            };
            let (event, value_at) = self.must(events, at)?;
            let value = self.node(event, value_at, events, depth + 1)?;
            if name == "<<" {
                match value.kind {
                    Kind::Map(more) => merged.extend(more),
                    Kind::List(items) => {
                        for item in items {
                            if let Kind::Map(more) = item.kind {
                                merged.extend(more);
                            }
                        }
                    }
                    Kind::Scalar { .. } => {
                        return Err(YamlError { place: value_at, message: "`<<` merges a mapping".into() });
                    }
                }
            } else if let Some((first, _)) = pairs.iter().find(|(key, _)| key.name == name) {
                let message = format!("`{name}` is given twice; the first is in line {}", first.place.line);
                return Err(YamlError { place: at, message });
            } else {
                pairs.push((Key { name, place: at }, value));
            }
        }
        for (key, value) in merged {
            if !pairs.iter().any(|(have, _)| have.name == key.name) {
                pairs.push((key, value));
            }
        }
        Ok(pairs)
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar { .. } => 0,
        Kind::List(items) => items.iter().map(count).sum(),
        Kind::Map(pairs) => pairs.iter().map(|(_, value)| count(value)).sum(),
    }
}
