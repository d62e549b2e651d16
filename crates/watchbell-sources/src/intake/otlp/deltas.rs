//! Deltas made cumulative: what each sender counted since its last point is added to what was counted before.
//!
//! The rules are those of OpenTelemetry's `deltatocumulative`, which Prometheus uses: a stream is known by its resource,
//! scope, metric and attributes; a point that is not newer than the last, or that began before the stream did, is
//! refused; a stream that is silent for long is forgotten and begins anew, with a start of its own. A stream whose buckets
//! change begins anew too. What was counted is in memory only: a restart is a reset of the counters, like any other.
//!
//! Pure: time is told. Always bounded, by [`DELTA_STREAMS_MAX`] and [`DELTA_NUMBERS_MAX`].

use std::collections::HashMap;
use std::time::Duration;

use watchbell_wire::otlp::{
    CUMULATIVE, DELTA, ExponentialBuckets, ExponentialHistogramDataPoint, ExportMetricsServiceRequest,
    HistogramDataPoint, KeyValue, MetricData, NO_RECORDED_VALUE, NumberDataPoint, NumberValue,
};

use super::super::known::{Hash, Key, Keys};
use super::value_of;

/// How many streams of deltas are known at most; further ones are refused.
pub const DELTA_STREAMS_MAX: usize = 200_000;
/// How many numbers they may hold in all: each stream has a few, and one for each bucket.
pub const DELTA_NUMBERS_MAX: usize = 4 << 20;
/// A stream that is silent for this long is forgotten.
pub const DELTA_SILENT_MAX: Duration = Duration::from_secs(3600);
/// How often silent ones are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How many buckets a side of an exponential histogram has at most, as SDKs have it; past that they are made coarser.
const EXPONENTIAL_BUCKETS_MAX: i64 = 160;
/// Keeps hashes apart from those of series.
const STREAM: u8 = 4;

/// What was counted so far.
pub(in crate::intake) struct Deltas {
    streams: HashMap<Key, Stream>,
    numbers: usize,
    looked: Duration,
    pub(super) streams_max: usize,
    pub(super) numbers_max: usize,
}

impl Default for Deltas {
    fn default() -> Deltas {
        Deltas {
            streams: HashMap::new(),
            numbers: 0,
            looked: Duration::ZERO,
            streams_max: DELTA_STREAMS_MAX,
            numbers_max: DELTA_NUMBERS_MAX,
        }
    }
}

struct Stream {
    seen: Duration,
    total: Total,
}

/// The last cumulative point.
#[derive(Clone)]
enum Total {
    Number(NumberDataPoint),
    Histogram(HistogramDataPoint),
    Exponential(ExponentialHistogramDataPoint),
}

/// What a request did to the streams, to be taken back if it is not stored.
#[derive(Default)]
pub(super) struct Undo(Vec<(Key, Option<Stream>)>);

/// What was not added up.
#[derive(Default)]
pub(super) struct Dropped {
    pub(super) points: u64,
    pub(super) first: Option<String>,
}

impl Dropped {
    fn one(&mut self, metric: &str, why: &str) {
        self.points += 1;
        self.first.get_or_insert_with(|| format!("`{metric}`: a point of delta temporality {why}"));
    }
}

/// Whether a request has anything to add up.
pub(super) fn has_deltas(request: &ExportMetricsServiceRequest) -> bool {
    let scopes = request.resource_metrics.iter().flat_map(|it| &it.scope_metrics);
    scopes.flat_map(|it| &it.metrics).any(|it| it.data.as_ref().is_some_and(|data| temporality(data) == DELTA))
}

/// Gauges and summaries have none, which is as good as cumulative.
pub(super) fn temporality(data: &MetricData) -> i32 {
    match data {
        MetricData::Gauge(_) | MetricData::Summary(_) => CUMULATIVE,
        MetricData::Sum(it) => it.aggregation_temporality,
        MetricData::Histogram(it) => it.aggregation_temporality,
        MetricData::ExponentialHistogram(it) => it.aggregation_temporality,
    }
}

impl Deltas {
    /// Makes every delta of a request cumulative, in place; points that cannot be added up are taken out of it.
    pub(super) fn add_up(
        &mut self,
        keys: &Keys,
        now: Duration,
        request: &mut ExportMetricsServiceRequest,
    ) -> (Undo, Dropped) {
        self.forget_silent(now);
        let (mut undo, mut dropped) = (Undo::default(), Dropped::default());
        for of_resource in &mut request.resource_metrics {
            let mut resource = keys.begin(STREAM);
            add(keys, &mut resource, of_resource.resource.iter().flat_map(|it| &it.attributes));
            for of_scope in &mut of_resource.scope_metrics {
                let mut scope = resource;
                if let Some(it) = &of_scope.scope {
                    keys.add(&mut scope, it.name.as_bytes());
                    keys.add(&mut scope, it.version.as_bytes());
                    add(keys, &mut scope, it.attributes.iter());
                }
                for metric in &mut of_scope.metrics {
                    let mut hash = scope;
                    keys.add(&mut hash, metric.name.as_bytes());
                    keys.add(&mut hash, metric.unit.as_bytes());
                    let Some(data) = metric.data.as_mut().filter(|data| temporality(data) == DELTA) else { continue };
                    let mut adding = Adding {
                        deltas: self,
                        keys,
                        metric: &metric.name,
                        hash,
                        now,
                        undo: &mut undo,
                        dropped: &mut dropped,
                    };
                    match data {
                        MetricData::Sum(it) => {
                            it.aggregation_temporality = CUMULATIVE;
                            keys.step(&mut adding.hash, u64::from(it.is_monotonic));
                            adding.points(&mut it.data_points);
                        }
                        MetricData::Histogram(it) => {
                            it.aggregation_temporality = CUMULATIVE;
                            keys.step(&mut adding.hash, 2);
                            adding.points(&mut it.data_points);
                        }
                        MetricData::ExponentialHistogram(it) => {
                            it.aggregation_temporality = CUMULATIVE;
                            keys.step(&mut adding.hash, 3);
                            adding.points(&mut it.data_points);
                        }
                        MetricData::Gauge(_) | MetricData::Summary(_) => {}
                    }
                }
            }
        }
        (undo, dropped)
    }

    /// As if the request had not been.
    pub(super) fn take_back(&mut self, undo: Undo) {
        for (key, before) in undo.0.into_iter().rev() {
            self.put(key, before);
        }
    }

    /// How many streams there are.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Puts a stream in place of another, which it gives back.
    fn put(&mut self, key: Key, stream: Option<Stream>) -> Option<Stream> {
        self.numbers += stream.as_ref().map_or(0, |it| it.total.numbers());
        let before = match stream {
            Some(stream) => self.streams.insert(key, stream),
            None => self.streams.remove(&key),
        };
        self.numbers -= before.as_ref().map_or(0, |it| it.total.numbers());
        before
    }

    fn forget_silent(&mut self, now: Duration) {
        if now < self.looked + LOOK_EVERY {
            return;
        }
        self.looked = now;
        let numbers = &mut self.numbers;
        self.streams.retain(|_, stream| {
            let stays = now < stream.seen + DELTA_SILENT_MAX;
            if !stays {
                *numbers -= stream.total.numbers();
            }
            stays
        });
    }
}

/// Attributes in order of their names: senders give them in any.
fn add<'a>(keys: &Keys, hash: &mut Hash, attributes: impl Iterator<Item = &'a KeyValue>) {
    let mut attributes: Vec<&KeyValue> = attributes.collect();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    keys.step(hash, attributes.len() as u64);
    for attribute in attributes {
        keys.add(hash, attribute.key.as_bytes());
        keys.add(hash, value_of(attribute).as_bytes());
    }
}

/// The points of one metric on their way into the streams.
struct Adding<'a> {
    deltas: &'a mut Deltas,
    keys: &'a Keys,
    metric: &'a str,
    hash: Hash,
    now: Duration,
    undo: &'a mut Undo,
    dropped: &'a mut Dropped,
}

impl Adding<'_> {
    fn points<P: Point>(&mut self, points: &mut Vec<P>) {
        points.retain_mut(|point| match self.point(point) {
            Ok(()) => true,
            Err(why) => {
                self.dropped.one(self.metric, why);
                false
            }
        });
    }

    fn point<P: Point>(&mut self, point: &mut P) -> Result<(), &'static str> {
        let mut hash = self.hash;
        add(self.keys, &mut hash, point.attributes().iter());
        let key = self.keys.end(hash);
        let (began, at) = point.times();
        if at == 0 {
            return Err("says no time");
        }
        if point.is_end() {
            let before = self.deltas.put(key, None);
            self.undo.0.push((key, before));
            return Ok(());
        }
        let before = self.deltas.streams.get(&key).and_then(|stream| P::of(&stream.total));
        if let Some(total) = before {
            let (first, last) = total.times();
            if at <= last {
                return Err("is not newer than the one before it; it counts once");
            }
            if began != 0 && began < first {
                return Err("began before the first one of its kind");
            }
            let fits = point.add(total);
            if fits {
                point.begin(first);
            }
        } else if self.deltas.len() >= self.deltas.streams_max {
            return Err("is of a further series than can be added up");
        }
        let total = point.total();
        if self.deltas.numbers + total.numbers() > self.deltas.numbers_max {
            return Err("has more buckets than can be added up");
        }
        let before = self.deltas.put(key, Some(Stream { seen: self.now, total }));
        self.undo.0.push((key, before));
        Ok(())
    }
}

impl Total {
    fn numbers(&self) -> usize {
        let side = |it: &Option<ExponentialBuckets>| it.as_ref().map_or(0, |it| it.bucket_counts.len());
        4 + match self {
            Total::Number(_) => 0,
            Total::Histogram(it) => it.bucket_counts.len() + it.explicit_bounds.len(),
            Total::Exponential(it) => side(&it.positive) + side(&it.negative),
        }
    }
}

/// A data point of any kind that has a temporality.
trait Point: Sized {
    fn attributes(&self) -> &[KeyValue];
    /// When counting began and when it is of.
    fn times(&self) -> (u64, u64);
    fn begin(&mut self, at: u64);
    /// Whether it says that there is no value any more.
    fn is_end(&self) -> bool;
    /// The last point of a stream, if it is of this kind.
    fn of(total: &Total) -> Option<&Self>;
    /// Adds what was counted before; does nothing and says so if that cannot be, so that counting begins anew.
    fn add(&mut self, before: &Self) -> bool;
    /// What is remembered of it: no attributes, no examples.
    fn total(&self) -> Total;
}

impl Point for NumberDataPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn times(&self) -> (u64, u64) {
        (self.start_time_unix_nano, self.time_unix_nano)
    }

    fn begin(&mut self, at: u64) {
        self.start_time_unix_nano = at;
    }

    fn is_end(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }

    fn of(total: &Total) -> Option<&Self> {
        if let Total::Number(it) = total { Some(it) } else { None }
    }

    fn add(&mut self, before: &Self) -> bool {
        let float = |value: &Option<NumberValue>| match value {
            Some(NumberValue::AsDouble(value)) => *value,
            Some(NumberValue::AsInt(value)) => *value as f64,
            None => 0.0,
        };
        self.value = Some(match (&self.value, &before.value) {
            (Some(NumberValue::AsInt(a)), Some(NumberValue::AsInt(b))) => NumberValue::AsInt(a.saturating_add(*b)),
            (a, b) => NumberValue::AsDouble(float(a) + float(b)),
        });
        true
    }

    fn total(&self) -> Total {
        let (start_time_unix_nano, time_unix_nano) = self.times();
        let value = self.value.clone();
        Total::Number(NumberDataPoint { start_time_unix_nano, time_unix_nano, value, ..NumberDataPoint::default() })
    }
}

impl Point for HistogramDataPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn times(&self) -> (u64, u64) {
        (self.start_time_unix_nano, self.time_unix_nano)
    }

    fn begin(&mut self, at: u64) {
        self.start_time_unix_nano = at;
    }

    fn is_end(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }

    fn of(total: &Total) -> Option<&Self> {
        if let Total::Histogram(it) = total { Some(it) } else { None }
    }

    fn add(&mut self, before: &Self) -> bool {
        let bits = |bounds: &[f64]| bounds.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
        if self.bucket_counts.len() != before.bucket_counts.len()
            || bits(&self.explicit_bounds) != bits(&before.explicit_bounds)
        {
            return false;
        }
        self.count = self.count.saturating_add(before.count);
        self.sum = self.sum.zip(before.sum).map(|(a, b)| a + b);
        for (count, before) in self.bucket_counts.iter_mut().zip(&before.bucket_counts) {
            *count = count.saturating_add(*before);
        }
        true
    }

    fn total(&self) -> Total {
        Total::Histogram(HistogramDataPoint { attributes: Vec::new(), exemplars: Vec::new(), ..self.clone() })
    }
}

impl Point for ExponentialHistogramDataPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn times(&self) -> (u64, u64) {
        (self.start_time_unix_nano, self.time_unix_nano)
    }

    fn begin(&mut self, at: u64) {
        self.start_time_unix_nano = at;
    }

    fn is_end(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }

    fn of(total: &Total) -> Option<&Self> {
        if let Total::Exponential(it) = total { Some(it) } else { None }
    }

    fn add(&mut self, before: &Self) -> bool {
        if self.zero_threshold.to_bits() != before.zero_threshold.to_bits() {
            return false;
        }
        let finest = self.scale.min(before.scale);
        let sides = [(&self.positive, &before.positive), (&self.negative, &before.negative)];
        // The finest scale at which both sides of both have not too many buckets together.
        let fits = |scale: i32| {
            sides.iter().all(|(a, b)| {
                let both = [range(a, self.scale, scale), range(b, before.scale, scale)].into_iter().flatten();
                let whole = both.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
                whole.is_none_or(|(low, high)| high - low < EXPONENTIAL_BUCKETS_MAX)
            })
        };
        let Some(scale) = (0..64).map(|down| finest.saturating_sub(down)).find(|scale| fits(*scale)) else {
            return false;
        };
        let [positive, negative] = sides.map(|(a, b)| merged(&[(a, self.scale), (b, before.scale)], scale));
        (self.scale, self.positive, self.negative) = (scale, positive, negative);
        self.count = self.count.saturating_add(before.count);
        self.zero_count = self.zero_count.saturating_add(before.zero_count);
        self.sum = self.sum.zip(before.sum).map(|(a, b)| a + b);
        true
    }

    fn total(&self) -> Total {
        Total::Exponential(ExponentialHistogramDataPoint {
            attributes: Vec::new(),
            exemplars: Vec::new(),
            ..self.clone()
        })
    }
}

/// The bucket at another, coarser scale.
fn coarser(index: i64, from: i32, to: i32) -> i64 {
    index >> (i64::from(from) - i64::from(to)).clamp(0, 63)
}

/// The first and the last bucket with anything in it.
fn range(side: &Option<ExponentialBuckets>, from: i32, to: i32) -> Option<(i64, i64)> {
    let side = side.as_ref()?;
    let first = side.bucket_counts.iter().position(|count| *count > 0)?;
    let last = side.bucket_counts.iter().rposition(|count| *count > 0)?;
    let at = |place: usize| coarser(i64::from(side.offset) + place as i64, from, to);
    Some((at(first), at(last)))
}

fn merged(sides: &[(&Option<ExponentialBuckets>, i32)], scale: i32) -> Option<ExponentialBuckets> {
    let ranges = sides.iter().filter_map(|(side, from)| range(side, *from, scale));
    let (low, high) = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    let mut counts = vec![0u64; usize::try_from(high - low + 1).ok()?];
    for (side, from) in sides.iter().filter_map(|(side, from)| Some((side.as_ref()?, *from))) {
        for (at, count) in (i64::from(side.offset)..).zip(&side.bucket_counts).filter(|(_, count)| **count > 0) {
            let slot = &mut counts[(coarser(at, from, scale) - low) as usize];
            *slot = slot.saturating_add(*count);
        }
    }
    Some(ExponentialBuckets { offset: i32::try_from(low).ok()?, bucket_counts: counts })
}
