//! What one frame of the queue says: a batch with the labels of its series, as a remote write 2.0 message.
//!
//! Pure. That message holds all that samples can carry, each text once, and a record needs no other one to be read:
//! any can be dropped. In front of it stand when it was queued and how many samples it holds.

use std::sync::Arc;

use watchbell_model::{
    Batch, BatchHistogram, BatchSample, Exemplar, HistogramSample, Labels, Metadata, Sample, Start, Timestamp,
};
use watchbell_wire::remote_write::v2::{Request, Writer};
use watchbell_wire::remote_write::{Item, Outgoing};

/// A message longer than this is followed by a new one.
const MESSAGE_MAX: usize = 1 << 20;
/// When it was queued, and how many samples are in it.
const FRONT: usize = 12;

/// Some of a series, as it is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Piece {
    pub(crate) labels: Labels,
    pub(crate) samples: Vec<Sample>,
    pub(crate) histograms: Vec<HistogramSample>,
    pub(crate) exemplars: Vec<Exemplar>,
    pub(crate) starts: Vec<Start>,
    /// Of the metric that the labels name; such a piece has nothing else.
    pub(crate) metadata: Option<Metadata>,
}

impl Piece {
    /// How many samples it counts as.
    pub(crate) fn samples(&self) -> usize {
        self.samples.len() + self.histograms.len()
    }

    /// How many samples it counts as against limits of requests and of memory.
    pub(crate) fn weight(&self) -> usize {
        let histograms: usize = self.histograms.iter().map(|sample| sample.histogram.size()).sum();
        (self.samples.len() + histograms + self.exemplars.len()).max(1)
    }

    pub(crate) fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            labels: &self.labels,
            samples: &self.samples,
            histograms: &self.histograms,
            exemplars: &self.exemplars,
            starts: &self.starts,
            metadata: self.metadata.as_ref(),
        }
    }

    /// Parts of at most so many samples; what belongs to the whole goes with the first, starts with each.
    fn split(mut self, most: usize) -> Vec<Piece> {
        let mut parts = Vec::new();
        while self.samples.len() > most {
            let rest = self.samples.split_off(most);
            let part = Piece {
                labels: self.labels.clone(),
                samples: std::mem::replace(&mut self.samples, rest),
                starts: self.starts.clone(),
                ..Piece::default()
            };
            parts.push(part);
        }
        parts.push(self);
        parts
    }
}

/// A batch as records; what is of series without labels is left out.
pub(crate) fn encode(batch: &Batch, labels: &[Option<Labels>], queued: Timestamp) -> Vec<Vec<u8>> {
    // By series, because that is how they are sent; the sort is stable, so they stay in order.
    let mut samples: Vec<&BatchSample> = batch.samples.iter().collect();
    samples.sort_by_key(|sample| sample.series);
    let mut histograms: Vec<_> = batch.histograms.iter().collect();
    histograms.sort_by_key(|sample| sample.series);
    let mut starts: Vec<_> = batch.starts.iter().collect();
    starts.sort_by_key(|start| start.0);
    let mut exemplars: Vec<_> = batch.exemplars.iter().collect();
    exemplars.sort_by_key(|exemplar| exemplar.0);

    let (mut of_samples, mut of_histograms) = (&*samples, &*histograms);
    let (mut of_starts, mut of_exemplars) = (&*starts, &*exemplars);

    let mut records = Vec::new();
    let (mut writer, mut count) = (Writer::new(), 0_u32);
    let mut finish = |writer: &mut Writer, count: &mut u32| {
        if !writer.is_empty() {
            let mut record = queued.0.to_le_bytes().to_vec();
            record.extend_from_slice(&std::mem::take(count).to_le_bytes());
            record.append(&mut std::mem::take(writer).finish());
            records.push(record);
        }
    };
    for (series, labels) in (0..).zip(labels) {
        let samples = of(&mut of_samples, series, |it| it.series).iter();
        let histograms = of(&mut of_histograms, series, |it| it.series).iter();
        let starts = of(&mut of_starts, series, |it| it.0).iter();
        let exemplars = of(&mut of_exemplars, series, |it| it.0).iter();
        let Some(labels) = labels else { continue };
        let histogram =
            |it: &&BatchHistogram| HistogramSample { timestamp: it.timestamp, histogram: Arc::clone(&it.histogram) };
        let piece = Piece {
            labels: labels.clone(),
            samples: samples.map(|it| Sample { timestamp: it.timestamp, value: it.value }).collect(),
            histograms: histograms.map(histogram).collect(),
            exemplars: exemplars.map(|it| it.1.clone()).collect(),
            starts: starts.map(|it| Start { from: it.1, start: it.2 }).collect(),
            metadata: None,
        };
        if piece.samples() == 0 && piece.exemplars.is_empty() {
            continue;
        }
        for part in piece.split(MESSAGE_MAX / 64) {
            count += part.samples() as u32;
            writer.series(&part.outgoing());
            if writer.len() > MESSAGE_MAX {
                finish(&mut writer, &mut count);
            }
        }
    }
    for (metric, metadata) in &batch.metadata {
        let labels = Labels::metric(metric, &[]);
        writer.series(&Outgoing { metadata: Some(metadata), ..Outgoing::of(&labels, &[]) });
        if writer.len() > MESSAGE_MAX {
            finish(&mut writer, &mut count);
        }
    }
    finish(&mut writer, &mut count);
    records
}

/// The part of what is sorted by series that is of this one, and the rest.
fn of<'a, T>(sorted: &mut &'a [T], series: u32, series_of: impl Fn(&T) -> u32) -> &'a [T] {
    let (found, rest) = sorted.split_at(sorted.partition_point(|it| series_of(it) <= series));
    *sorted = rest;
    found
}

/// How many samples a record holds.
pub(crate) fn samples(record: &[u8]) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(record.get(8..FRONT)?.try_into().ok()?)))
}

/// When a record was queued, and its pieces, each of at most so many samples; `None` if it makes no sense.
pub(crate) fn decode(record: &[u8], most: usize) -> Option<(Timestamp, Vec<Piece>)> {
    let queued = Timestamp(i64::from_le_bytes(record.get(..8)?.try_into().ok()?));
    let request = Request::new(record.get(FRONT..)?).ok()?;
    let mut pieces = Vec::new();
    for series in request.series() {
        let series = series.ok()?;
        let mut piece = Piece { labels: Labels::from_pairs(series.labels(&request).ok()?), ..Piece::default() };
        for item in series.items(&request) {
            match item.ok()? {
                Item::Sample(sample, start) => {
                    piece.start(sample.timestamp, start);
                    piece.samples.push(sample);
                }
                Item::Histogram(timestamp, histogram, start) => {
                    piece.start(timestamp, start);
                    piece.histograms.push(HistogramSample { timestamp, histogram: Arc::new(*histogram) });
                }
                Item::Exemplar(exemplar) => piece.exemplars.push(exemplar),
                Item::Metadata(kind, help, unit) => {
                    piece.metadata = Some(Metadata { kind, unit: unit.to_owned(), help: help.to_owned() });
                }
            }
        }
        pieces.extend(piece.split(most));
    }
    Some((queued, pieces))
}

impl Piece {
    fn start(&mut self, from: Timestamp, start: Option<Timestamp>) {
        if let Some(start) = start
            && self.starts.last().is_none_or(|last| last.start != start)
        {
            self.starts.push(Start { from, start });
        }
    }
}
