//! Prometheus' text formats, with timestamps.

use std::collections::HashMap;
use std::fmt::Write;

use watchbell_model::{Metadata, MetricType, Sample, Series, is_stale};

use super::{BulkError, BulkFormat, METADATA_MAX, Reader};
use crate::prometheus::{self, Format, Limits, Line, Parser, write_sample};

const EOF: &[u8] = b"# EOF";

impl Reader {
    /// The series of whole lines.
    pub(super) fn text(&mut self, piece: &[u8]) -> Result<Vec<Series>, BulkError> {
        let format = if self.format == BulkFormat::Text { Format::Text } else { Format::OpenMetrics };
        let mut piece = piece;
        if self.ended && !piece.trim_ascii().is_empty() {
            return Err(self.error(1, "something follows `# EOF`".into()));
        }
        let mut lines = piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        lines += u64::from(!piece.is_empty() && !piece.ends_with(b"\n"));
        // Every piece but the last one is without its end.
        let with_end;
        if format == Format::OpenMetrics {
            self.ended |= piece.trim_ascii_end().ends_with(EOF);
            if !self.ended {
                with_end = [piece, if piece.is_empty() || piece.ends_with(b"\n") { b"" } else { b"\n" }, EOF].concat();
                piece = &with_end;
            }
        }
        let limits = Limits { samples: usize::MAX, ..Limits::default() };
        let bad = |at: usize, reason: String| self.error(at as u64, reason);
        let mut parser = Parser::new(piece, format, limits).map_err(|error| bad(error.line, error.reason))?;
        let mut order: Vec<Series> = Vec::new();
        let mut places = HashMap::<&str, usize>::new();
        let mut told = Vec::<(String, Metadata)>::new();
        loop {
            let line = match parser.next() {
                None => break,
                Some(Err(error)) => return Err(bad(error.line, error.reason)),
                Some(Ok(line)) => line,
            };
            let mut tell = |metric: &str, set: &dyn Fn(&mut Metadata)| {
                if told.last().is_none_or(|(name, _)| name != metric) {
                    told.push((metric.to_owned(), Metadata::default()));
                }
                set(&mut told.last_mut().expect("just added").1);
            };
            match line {
                Line::Type { metric, kind } => {
                    tell(&metric, &|it| it.kind = MetricType::parse(kind.as_str()).unwrap_or_default());
                }
                Line::Help { metric, text } => tell(&metric, &|it| it.help = text.clone().into_owned()),
                Line::Unit { metric, unit } => tell(&metric, &|it| it.unit = unit.to_owned()),
                Line::Sample(sample) => {
                    let place = match places.get(sample.series) {
                        Some(place) => *place,
                        None => {
                            let labels = prometheus::labels(sample.series, format, &limits);
                            let labels = labels.map_err(|reason| bad(parser.line(), reason))?;
                            order.push(Series::new(labels, Vec::new()));
                            places.insert(sample.series, order.len() - 1);
                            order.len() - 1
                        }
                    };
                    let timestamp = sample.timestamp().unwrap_or(self.now);
                    order[place].samples.push(Sample { timestamp, value: sample.value });
                }
            }
        }
        self.line += lines;
        for (metric, metadata) in told {
            if self.metadata.len() < METADATA_MAX || self.metadata.contains_key(&metric) {
                self.metadata.insert(metric, metadata);
            }
        }
        Ok(order)
    }
}

/// Writes a series; answers how many samples do not fit.
pub(super) fn write(series: &Series, format: BulkFormat, out: &mut String) -> u64 {
    let mut left_out = series.histograms.len() as u64;
    // The name and labels are the same text in each line.
    let mut head = String::new();
    write_sample(&mut head, &series.labels, 0.0, None);
    head.truncate(head.len() - "0\n".len());
    for sample in &series.samples {
        if is_stale(sample.value) {
            left_out += 1;
            continue;
        }
        out.push_str(&head);
        out.push_str(&prometheus::format_value(sample.value));
        let at = sample.timestamp.0;
        let done = if format == BulkFormat::Text {
            writeln!(out, " {at}")
        } else {
            // Seconds, exactly.
            let sign = if at < 0 { "-" } else { "" };
            writeln!(out, " {sign}{}.{:03}", at.unsigned_abs() / 1000, at.unsigned_abs() % 1000)
        };
        done.expect("a string takes anything");
    }
    left_out
}
