//! Records of the log.

use std::sync::Arc;

use watchbell_model::{
    BucketSpan, Buckets, Exemplar, Histogram, HistogramSample, Labels, Metadata, MetricType, ResetHint, Sample,
    Timestamp, is_stale,
};

use super::cursor::Cursor;

/// What a record says. Series are numbers that the same log gave a name before.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Names of series.
    Series(Vec<(u64, Labels)>),
    /// Values.
    Samples(Vec<(u64, Sample)>),
    /// Native histograms.
    Histograms(Vec<(u64, HistogramSample)>),
    /// Spans of time, both ends included, that were deleted.
    Tombstones(Vec<(u64, i64, i64)>),
    /// Examples.
    Exemplars(Vec<(u64, Exemplar)>),
    /// What the metric of a series is.
    Metadata(Vec<(u64, Metadata)>),
    /// Nothing that has to do with samples.
    Other,
}

/// Reads a record; the error says in words what is wrong.
pub fn decode(record: &[u8]) -> Result<Record, String> {
    let mut from = Cursor(record);
    let kind = from.u8().ok_or("a record is empty")?;
    let read = match kind {
        1 => until_end(&mut from, |from| Some((from.u64()?, labels(from)?))).map(Record::Series),
        2 => based(&mut from, |from| from.f64()).map(|all| {
            let sample = |(series, time, value)| (series, Sample { timestamp: Timestamp(time), value });
            Record::Samples(all.into_iter().map(sample).collect())
        }),
        3 => until_end(&mut from, |from| Some((from.u64()?, from.varint()?, from.varint()?))).map(Record::Tombstones),
        4 => based(&mut from, |from| Some((from.f64()?, labels(from)?))).map(|all| {
            let exemplar =
                |(series, time, (value, labels))| (series, Exemplar { labels, value, timestamp: Timestamp(time) });
            Record::Exemplars(all.into_iter().map(exemplar).collect())
        }),
        6 => until_end(&mut from, metadata).map(Record::Metadata),
        7 | 9 => based(&mut from, |from| histogram(from, false)).map(histograms),
        8 | 10 => based(&mut from, |from| histogram(from, true)).map(histograms),
        11 => started(&mut from, |from| from.f64()).map(|all| {
            let sample = |(series, time, value)| (series, Sample { timestamp: Timestamp(time), value });
            Record::Samples(all.into_iter().map(sample).collect())
        }),
        12 => started(&mut from, |from| histogram(from, false)).map(histograms),
        13 => started(&mut from, |from| histogram(from, true)).map(histograms),
        // Which chunks are on disk, and from when on the log is whole.
        5 | 14 => Some(Record::Other),
        other => return Err(format!("a record of the unknown kind {other}")),
    };
    read.ok_or_else(|| format!("a record of kind {kind} makes no sense"))
}

/// Whether a record has samples in it; the others are what those refer to, and small.
pub fn is_of_samples(record: &[u8]) -> bool {
    record.first().is_some_and(|kind| matches!(kind, 2 | 7..=13))
}

fn histograms(all: Vec<(u64, i64, Histogram)>) -> Record {
    let sample = |(series, time, histogram)| {
        (series, HistogramSample { timestamp: Timestamp(time), histogram: Arc::new(histogram) })
    };
    Record::Histograms(all.into_iter().map(sample).collect())
}

fn until_end<T>(from: &mut Cursor<'_>, read: impl Fn(&mut Cursor<'_>) -> Option<T>) -> Option<Vec<T>> {
    let mut all = Vec::new();
    while !from.0.is_empty() {
        all.push(read(from)?);
    }
    Some(all)
}

/// Series and times as what they are more than the record's first.
fn based<T>(from: &mut Cursor<'_>, read: impl Fn(&mut Cursor<'_>) -> Option<T>) -> Option<Vec<(u64, i64, T)>> {
    if from.0.is_empty() {
        return Some(Vec::new());
    }
    let (series, time) = (from.i64()?, from.i64()?);
    until_end(from, |from| {
        let (series, time) = (series.wrapping_add(from.varint()?), time.wrapping_add(from.varint()?));
        Some((series as u64, time, read(from)?))
    })
}

/// Series as what they are more than the one before, and with when their counting began, which is not kept here.
fn started<T>(from: &mut Cursor<'_>, read: impl Fn(&mut Cursor<'_>) -> Option<T>) -> Option<Vec<(u64, i64, T)>> {
    if from.0.is_empty() {
        return Some(Vec::new());
    }
    let (mut series, base, _start) = (from.varint()?, from.varint()?, from.varint()?);
    let mut all = vec![(series as u64, base, read(from)?)];
    while !from.0.is_empty() {
        series = series.wrapping_add(from.varint()?);
        let time = base.wrapping_add(from.varint()?);
        // None, the same as before, or its own.
        if from.u8()? > 1 {
            from.varint()?;
        }
        all.push((series as u64, time, read(from)?));
    }
    Some(all)
}

fn labels(from: &mut Cursor<'_>) -> Option<Labels> {
    let count = from.count()?;
    let pairs = (0..count).map(|_| Some((from.text()?, from.text()?))).collect::<Option<Vec<_>>>()?;
    Some(Labels::from_pairs(pairs))
}

fn metadata(from: &mut Cursor<'_>) -> Option<(u64, Metadata)> {
    let series = from.uvarint()?;
    let kind = match from.u8()? {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    };
    let mut metadata = Metadata { kind, ..Metadata::default() };
    for _ in 0..from.count()? {
        let (name, value) = (from.text()?, from.text()?);
        match name {
            "UNIT" => metadata.unit = value.to_owned(),
            "HELP" => metadata.help = value.to_owned(),
            _ => {}
        }
    }
    Some((series, metadata))
}

fn histogram(from: &mut Cursor<'_>, floats: bool) -> Option<Histogram> {
    let number = |from: &mut Cursor<'_>| if floats { from.f64() } else { from.uvarint().map(|count| count as f64) };
    let reset = match from.u8()? {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    let schema = i32::try_from(from.varint()?).ok()?;
    let zero_threshold = from.f64()?;
    let (zero_count, count, sum) = (number(from)?, number(from)?, from.f64()?);
    let spans = |from: &mut Cursor<'_>| {
        let span = |from: &mut Cursor<'_>| {
            Some(BucketSpan {
                offset: i32::try_from(from.varint()?).ok()?,
                length: u32::try_from(from.uvarint()?).ok()?,
            })
        };
        (0..from.count()?).map(|_| span(from)).collect::<Option<Vec<_>>>()
    };
    let (above, below) = (spans(from)?, spans(from)?);
    let counts = |from: &mut Cursor<'_>| {
        let mut last = 0_i64;
        let mut one = |from: &mut Cursor<'_>| {
            if floats {
                return from.f64();
            }
            last = last.wrapping_add(from.varint()?);
            Some(last as f64)
        };
        (0..from.count()?).map(|_| one(from)).collect::<Option<Vec<f64>>>()
    };
    let (positive, negative) = (counts(from)?, counts(from)?);
    let mut custom_values = Vec::new();
    if schema == Histogram::CUSTOM_BUCKETS {
        custom_values = (0..from.count()?).map(|_| from.f64()).collect::<Option<_>>()?;
    }
    if is_stale(sum) {
        return Some(Histogram::stale());
    }
    Some(Histogram {
        reset,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive: Buckets { spans: above, counts: positive },
        negative: Buckets { spans: below, counts: negative },
        custom_values,
    })
}
