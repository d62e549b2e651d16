//! Bodies of any format, entry by entry, as a scraper takes them in.

use super::nhcb::Collector;
use super::protobuf;
use super::{Entry, Format, Limits, Line, Parser};

/// How histograms are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Histograms {
    /// Native ones are taken as such; otherwise only their classic series are.
    pub native: bool,
    /// Classic ones become native ones with custom buckets.
    pub convert: bool,
    /// Classic series are kept beside what replaces them.
    pub keep_classic: bool,
}

/// Why an entry is not taken; the whole body is refused then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Something in it: the place in the body is put before the words.
    Here(String),
    /// It is one too many, or the like.
    Whole(String),
}

/// Reads a body to its end, or to the first error.
pub fn walk(
    body: &[u8],
    format: Format,
    limits: Limits,
    histograms: Histograms,
    mut each: impl FnMut(Entry<'_>) -> Result<(), Refused>,
) -> Result<(), String> {
    if format == Format::Protobuf {
        return protobuf::walk(body, limits, histograms, each);
    }
    let mut parser = Parser::new(body, format, limits).map_err(|error| error.to_string())?;
    if !histograms.convert {
        while let Some(line) = parser.next() {
            let entry = Entry::Line(line.map_err(|error| error.to_string())?);
            each(entry).map_err(|refused| placed(parser.line(), refused))?;
        }
        return Ok(());
    }
    let mut collector = Collector::new(format, limits);
    while let Some(line) = parser.next() {
        let line = line.map_err(|error| error.to_string())?;
        let number = parser.line();
        let mut each = |entry: Entry<'_>| each(entry).map_err(|refused| placed(number, refused));
        if let Some(done) = collector.before(&line) {
            each(done.entry())?;
        }
        let taken = collector.take(&line);
        if !taken || histograms.keep_classic || !matches!(line, Line::Sample(_)) {
            each(Entry::Line(line))?;
        }
    }
    match collector.end() {
        Some(done) => each(done.entry()).map_err(|refused| placed(parser.line(), refused)),
        None => Ok(()),
    }
}

fn placed(line: usize, refused: Refused) -> String {
    match refused {
        Refused::Here(reason) => format!("line {line}: {reason}"),
        Refused::Whole(reason) => reason,
    }
}
