//! YAML as far as files of targets go: text, lists and mappings, with anchors; every value is its text.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Yaml {
    /// An empty value, `~` or `null`.
    Null,
    /// Text, a number, a truth value: as written.
    Text(String),
    /// A list.
    List(Vec<Yaml>),
    /// Pairs; each name once.
    Map(Vec<(String, Yaml)>),
}

/// How deep values may lie in one another.
const DEPTH_MAX: usize = 16;
/// How many values a file may hold, aliases followed: stops alias bombs.
const VALUES_MAX: usize = 1_000_000;

/// Reads one document. The error names the line.
pub(super) fn parse(text: &str) -> Result<Yaml, String> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: BTreeMap::new(), values: 0 };
    let mut root = None;
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(root.unwrap_or(Yaml::Null)),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            event if root.is_none() => root = Some(reader.value(event, 0)?),
            _ => return Err("there is more than one document in it".into()),
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, Yaml>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.events.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(format!("line {}: {}", error.marker().line(), error.info())),
            None => Ok(Event::StreamEnd),
        }
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Yaml, String> {
        self.count(1)?;
        if depth > DEPTH_MAX {
            return Err(format!("its values lie more than {DEPTH_MAX} deep in one another"));
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                (anchor, if null { Yaml::Null } else { Yaml::Text(text.into_owned()) })
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break (anchor, Yaml::List(items)),
                        event => items.push(self.value(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, _) => {
                let mut pairs: Vec<(String, Yaml)> = Vec::new();
                loop {
                    let name = match self.next()? {
                        Event::MappingEnd => break (anchor, Yaml::Map(pairs)),
                        Event::Scalar(text, ..) => text.into_owned(),
                        _ => return Err("the name of a field must be text".into()),
                    };
                    if pairs.iter().any(|(have, _)| *have == name) {
                        return Err(format!("`{name}` is given twice"));
                    }
                    let event = self.next()?;
                    let value = self.value(event, depth + 1)?;
                    pairs.push((name, value));
                }
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned().ok_or("an alias has no anchor above it")?;
                self.count(size(&value))?;
                return Ok(value);
            }
            Event::StreamEnd => return Err("it ends in the middle of a value".into()),
            _ => return Err("a value was expected".into()),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn count(&mut self, values: usize) -> Result<(), String> {
        self.values += values;
        if self.values > VALUES_MAX { Err(format!("it has more than {VALUES_MAX} values")) } else { Ok(()) }
    }
}

fn size(value: &Yaml) -> usize {
    1 + match value {
        Yaml::Null | Yaml::Text(_) => 0,
        Yaml::List(items) => items.iter().map(size).sum(),
        Yaml::Map(pairs) => pairs.iter().map(|(_, value)| size(value)).sum(),
    }
}
