//! Much history at once, as text that is read and written piece by piece: JSON lines as VictoriaMetrics' `/api/v1/export`
//! writes them, and Prometheus' text formats with timestamps.
//!
//! [`Reader`] takes bytes as they come and hands out series, a piece at a time; [`Writer`] turns series into text.
//! Neither holds more than a piece. Exemplars are left out; native histograms only fit the lines.

mod lines;
mod text;

use std::collections::BTreeMap;

use watchbell_model::{Metadata, Series, Timestamp};

/// A line longer than this is refused.
pub const LINE_MAX: usize = 64 << 20;
/// How much text is taken apart at once.
const PIECE: usize = 1 << 20;
/// What metrics are is kept for so many; of further ones it is left out.
const METADATA_MAX: usize = 100_000;

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkFormat {
    /// A JSON object for each series or piece of one: `{"metric": {…}, "values": […], "timestamps": […]}`.
    Lines,
    /// Prometheus' text format; timestamps are milliseconds.
    Text,
    /// OpenMetrics; timestamps are seconds.
    OpenMetrics,
}

impl BulkFormat {
    /// By how a text begins and ends; `None` if it is none of them.
    pub fn guess(begin: &[u8], end: &[u8]) -> Option<BulkFormat> {
        let begin = begin.trim_ascii_start();
        if begin.starts_with(b"{\"metric\"") || begin.starts_with(b"{ \"metric\"") {
            return Some(BulkFormat::Lines);
        }
        if end.trim_ascii_end().ends_with(b"# EOF") {
            return Some(BulkFormat::OpenMetrics);
        }
        let first = *begin.first()?;
        (first == b'#' || first == b'{' || first == b'_' || first.is_ascii_alphabetic()).then_some(BulkFormat::Text)
    }

    /// The `Content-Type` of a text.
    pub fn content_type(self) -> &'static str {
        match self {
            BulkFormat::Lines => "application/stream+json",
            BulkFormat::Text => crate::prometheus::TEXT_CONTENT_TYPE,
            BulkFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Text that cannot be read; what came before it was handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BulkError {
    /// Which line, from one.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads text as it comes.
#[derive(Debug)]
pub struct Reader {
    format: BulkFormat,
    /// For samples without a time.
    now: Timestamp,
    rest: Vec<u8>,
    /// Lines that were read.
    line: u64,
    metadata: BTreeMap<String, Metadata>,
    ended: bool,
}

impl Reader {
    /// `now`: the time of samples that have none.
    pub fn new(format: BulkFormat, now: Timestamp) -> Reader {
        Reader { format, now, rest: Vec::new(), line: 0, metadata: BTreeMap::new(), ended: false }
    }

    /// Takes more text; hands out the series of the lines that are whole. An error of `visit` ends it.
    pub fn feed<E: From<BulkError>>(
        &mut self,
        bytes: &[u8],
        visit: &mut dyn FnMut(Series) -> Result<(), E>,
    ) -> Result<(), E> {
        self.rest.extend_from_slice(bytes);
        if self.rest.len() < PIECE {
            return Ok(());
        }
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            if self.rest.len() > LINE_MAX {
                return Err(self.error(1, format!("a line may be {LINE_MAX} bytes long at most")).into());
            }
            return Ok(());
        };
        let rest = self.rest.split_off(end + 1);
        let piece = std::mem::replace(&mut self.rest, rest);
        self.piece(&piece, visit)
    }

    /// The text is over: hands out what is left.
    pub fn finish<E: From<BulkError>>(&mut self, visit: &mut dyn FnMut(Series) -> Result<(), E>) -> Result<(), E> {
        let piece = std::mem::take(&mut self.rest);
        self.piece(&piece, visit)?;
        if self.format == BulkFormat::OpenMetrics && !self.ended {
            return Err(self.error(0, "the text does not end with `# EOF`: it may be cut short".into()).into());
        }
        Ok(())
    }

    /// What metrics are, as far as the text said it.
    pub fn metadata(&self) -> &BTreeMap<String, Metadata> {
        &self.metadata
    }

    /// Lines that were read.
    pub fn lines(&self) -> u64 {
        self.line
    }

    fn error(&self, line: u64, reason: String) -> BulkError {
        BulkError { line: self.line + line, reason }
    }

    fn piece<E: From<BulkError>>(
        &mut self,
        piece: &[u8],
        visit: &mut dyn FnMut(Series) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.format {
            BulkFormat::Lines => {
                for line in piece.split(|byte| *byte == b'\n') {
                    if !line.trim_ascii().is_empty() {
                        let series = lines::read(line).map_err(|reason| self.error(1, reason))?;
                        visit(series)?;
                    }
                    self.line += 1;
                }
                // What follows the last end of a line is no line.
                self.line -= u64::from(piece.is_empty() || piece.ends_with(b"\n"));
                Ok(())
            }
            BulkFormat::Text | BulkFormat::OpenMetrics => {
                for series in self.text(piece)? {
                    visit(series)?;
                }
                Ok(())
            }
        }
    }
}

/// Writes series as text.
#[derive(Debug)]
pub struct Writer {
    format: BulkFormat,
    /// Samples that do not fit the format.
    left_out: u64,
}

impl Writer {
    /// Begins a text.
    pub fn new(format: BulkFormat) -> Writer {
        Writer { format, left_out: 0 }
    }

    /// Writes a series.
    pub fn write(&mut self, series: &Series, out: &mut String) {
        match self.format {
            BulkFormat::Lines => lines::write(series, out),
            BulkFormat::Text | BulkFormat::OpenMetrics => self.left_out += text::write(series, self.format, out),
        }
    }

    /// Writes what ends the text.
    pub fn end(&self, out: &mut String) {
        if self.format == BulkFormat::OpenMetrics {
            out.push_str("# EOF\n");
        }
    }

    /// Samples that were left out because the format has no way to write them: native histograms and the markers of
    /// ended series in the text formats.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests;
