//! What records of the log hold besides floats, since version 2: histograms, starts, examples, metadata.
//!
//! Pure.

use std::sync::Arc;

use watchbell_model::{Exemplar, Histogram, Metadata, Start, Timestamp};

use super::bytes::{Cursor, put_signed, put_varint};
use super::exemplars::{put_exemplar, take_exemplar};
use super::histogram_layout;
use super::metadata::{put_metadata, take_metadata};

/// One thing that is said; of a series by its number in the segment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Histogram { series: u32, time: i64, histogram: Arc<Histogram> },
    Start { series: u32, start: Start },
    Exemplar { series: u32, exemplar: Exemplar },
    Metadata { metric: String, metadata: Metadata },
}

const HISTOGRAM: u8 = 4;
const START: u8 = 5;
const EXEMPLAR: u8 = 6;
const METADATA: u8 = 7;

/// Gathers them, as the bytes that they will be.
#[derive(Default)]
pub(crate) struct Gathered {
    bytes: Vec<u8>,
    count: usize,
    last: (u32, i64),
}

impl Gathered {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn histogram(&mut self, series: u32, time: i64, histogram: &Histogram) {
        self.begin(HISTOGRAM, series, time);
        histogram_layout::encode(histogram, &mut self.bytes);
    }

    pub(crate) fn start(&mut self, series: u32, start: Start) {
        self.begin(START, series, start.from.0);
        put_signed(&mut self.bytes, start.from.0.wrapping_sub(start.start.0));
    }

    pub(crate) fn exemplar(&mut self, series: u32, exemplar: &Exemplar) {
        self.begin(EXEMPLAR, series, exemplar.timestamp.0);
        put_exemplar(&mut self.bytes, exemplar);
    }

    pub(crate) fn metadata(&mut self, metric: &str, metadata: &Metadata) {
        self.count += 1;
        self.bytes.push(METADATA);
        put_metadata(&mut self.bytes, metric, metadata);
    }

    /// Series and times as distances to those of the one before.
    fn begin(&mut self, kind: u8, series: u32, time: i64) {
        self.count += 1;
        self.bytes.push(kind);
        put_varint(&mut self.bytes, u64::from(series.wrapping_sub(self.last.0)));
        put_signed(&mut self.bytes, time.wrapping_sub(self.last.1));
        self.last = (series, time);
    }
}

/// Reads what was gathered, one by one.
#[derive(Default)]
pub(crate) struct Reading {
    last: (u32, i64),
}

impl Reading {
    /// Reads one whose first byte was `kind`; `None` if the bytes are not one.
    pub(crate) fn next(&mut self, kind: u8, from: &mut Cursor<'_>) -> Option<Said> {
        if kind == METADATA {
            let (metric, metadata) = take_metadata(from)?;
            return Some(Said::Metadata { metric: metric.to_owned(), metadata });
        }
        if ![HISTOGRAM, START, EXEMPLAR].contains(&kind) {
            return None;
        }
        let series = self.last.0.wrapping_add(u32::try_from(from.varint()?).ok()?);
        let time = self.last.1.wrapping_add(from.signed()?);
        self.last = (series, time);
        Some(match kind {
            HISTOGRAM => Said::Histogram { series, time, histogram: Arc::new(histogram_layout::decode(from)?) },
            START => {
                let start = Timestamp(time.wrapping_sub(from.signed()?));
                Said::Start { series, start: Start { from: Timestamp(time), start } }
            }
            _ => Said::Exemplar { series, exemplar: take_exemplar(from)? },
        })
    }
}

#[cfg(test)]
mod tests {
    use watchbell_model::Labels;

    use super::*;

    #[test]
    fn what_was_gathered_is_read() {
        let exemplar = Exemplar {
            labels: Labels::from_pairs([("trace_id", "mäil")]),
            value: f64::from_bits(7),
            timestamp: Timestamp(-5),
        };
        let said = [
            Said::Histogram { series: 7, time: 1000, histogram: Arc::new(Histogram::stale()) },
            Said::Start { series: 3, start: Start { from: Timestamp(2000), start: Timestamp(-1) } },
            Said::Exemplar { series: u32::MAX, exemplar },
            Said::Metadata { metric: "up".into(), metadata: Metadata { help: "x".into(), ..Metadata::default() } },
            Said::Histogram { series: 0, time: i64::MAX, histogram: Arc::default() },
        ];
        let mut gathered = Gathered::default();
        for said in &said {
            match said {
                Said::Histogram { series, time, histogram } => gathered.histogram(*series, *time, histogram),
                Said::Start { series, start } => gathered.start(*series, *start),
                Said::Exemplar { series, exemplar } => gathered.exemplar(*series, exemplar),
                Said::Metadata { metric, metadata } => gathered.metadata(metric, metadata),
            }
        }
        let (mut from, mut reading, mut read) = (Cursor(gathered.bytes()), Reading::default(), Vec::new());
        while let Some(kind) = from.u8() {
            read.push(reading.next(kind, &mut from).unwrap());
        }
        assert_eq!(read, said);
        let whole = gathered.bytes();
        let mut cut = Cursor(&whole[..whole.len() - 1]);
        let mut reading = Reading::default();
        while let Some(kind) = cut.u8() {
            if reading.next(kind, &mut cut).is_none() {
                return;
            }
        }
        panic!("the end is missing");
    }
}
