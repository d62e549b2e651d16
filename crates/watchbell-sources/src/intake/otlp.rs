//! OpenTelemetry's metrics as Prometheus has them: what Prometheus' own OTLP endpoint makes of them by default.
//!
//! `service.name` (with `service.namespace`) is `job`, `service.instance.id` is `instance`; what else a resource says is
//! `target_info`. Histograms with given bounds are classic ones, exponential ones are native. When counting began is
//! kept as the start of samples, not as a series. The scope is no label. Deltas are refused, each with its metric's
//! name: what they add up to needs a memory that outlives restarts, which senders and collectors have.

use std::collections::BTreeMap;

use watchbell_model::{BucketSpan, Buckets, Exemplar, Histogram, Labels, MetricType, ResetHint, Timestamp, stale_nan};
use watchbell_wire::otlp::{
    self, CUMULATIVE, DELTA, ExemplarValue, ExponentialBuckets, ExponentialHistogramDataPoint,
    ExportMetricsServiceRequest, HistogramDataPoint, KeyValue, Metric, MetricData, NO_RECORDED_VALUE, NumberDataPoint,
    NumberValue, Resource, SummaryDataPoint,
};

use super::batch::Builder;
use super::known::{Hash, Key};
use super::otlp_names::{label_name, metric_name};
use super::{Intake, IntakeError, Written, batch};

/// What source samples count for.
const SOURCE: &str = "otlp";
/// Keeps hashes apart from those of other protocols.
const OTLP: u8 = 3;
/// The zero bucket of a histogram that does not say how wide it is.
const ZERO_THRESHOLD: f64 = 1e-128;
/// The finest and the coarsest buckets of native histograms.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;
/// How many characters the labels of an example may have before attributes are left out of it, as in OpenMetrics.
const EXEMPLAR_CHARS_MAX: usize = 128;
/// `target_info` is written this often between the first and the last point of a request: half of PromQL's lookback.
const TARGET_INFO_EVERY: i64 = 150_000;
/// How many samples of `target_info` one resource may have in a request: more than two days of them.
const TARGET_INFO_MAX: usize = 1200;

impl Intake {
    /// Takes a request. `sender`: what it calls itself, for limits of its own.
    pub async fn otlp_metrics(
        &self,
        request: &ExportMetricsServiceRequest,
        sender: Option<&str>,
    ) -> Result<Written, IntakeError> {
        self.take(SOURCE, sender, |builder| build(builder, request)).await
    }
}

fn build(builder: &mut Builder<'_>, request: &ExportMetricsServiceRequest) -> Result<(), IntakeError> {
    let nothing = Resource::default();
    for of_resource in &request.resource_metrics {
        let resource = of_resource.resource.as_ref().unwrap_or(&nothing);
        let mut from = Origin::new(builder, resource);
        for metric in of_resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            add_metric(builder, metric, &mut from)?;
        }
        add_target_info(builder, resource, &from)?;
    }
    Ok(())
}

/// Where metrics come from.
struct Origin {
    job: Option<String>,
    instance: Option<String>,
    hash: Hash,
    /// The first and the last point.
    times: Option<(Timestamp, Timestamp)>,
}

const IDENTITY: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

impl Origin {
    fn new(builder: &Builder<'_>, resource: &Resource) -> Origin {
        let get = |name: &str| resource.attributes.iter().find(|it| it.key == name).map(value_of);
        let [namespace, name, instance] = IDENTITY.map(get);
        let job = name.map(|name| match namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        });
        let keys = builder.known.keys();
        let mut hash = keys.begin(OTLP);
        for part in [&job, &instance] {
            keys.add(&mut hash, part.as_deref().unwrap_or_default().as_bytes());
        }
        Origin { job, instance, hash, times: None }
    }

    fn seen(&mut self, at: Timestamp) {
        // A point that says no time will be refused.
        if at.0 == 0 {
            return;
        }
        let (first, last) = self.times.unwrap_or((at, at));
        self.times = Some((first.min(at), last.max(at)));
    }
}

fn value_of(attribute: &KeyValue) -> String {
    attribute.value.as_ref().map(otlp::AnyValue::text).unwrap_or_default()
}

/// One series of a point: what its name ends in, and one label more.
#[derive(Clone, Copy)]
struct Part<'a> {
    suffix: &'static str,
    extra: Option<(&'static str, &'a str)>,
}

const WHOLE: Part<'static> = Part { suffix: "", extra: None };

/// A point's series.
struct Point<'a> {
    name: &'a str,
    attributes: &'a [KeyValue],
    origin: &'a Origin,
    hash: Hash,
}

impl<'a> Point<'a> {
    fn new(builder: &Builder<'_>, name: &'a str, attributes: &'a [KeyValue], origin: &'a Origin) -> Point<'a> {
        let (keys, mut hash) = (builder.known.keys(), origin.hash);
        keys.add(&mut hash, name.as_bytes());
        for attribute in attributes {
            keys.add(&mut hash, attribute.key.as_bytes());
            match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(otlp::AnyValueKind::StringValue(text)) => keys.add(&mut hash, text.as_bytes()),
                // A text that looks the same makes the same label.
                _ => keys.add(&mut hash, value_of(attribute).as_bytes()),
            }
        }
        Point { name, attributes, origin, hash }
    }

    fn key(&self, builder: &Builder<'_>, part: Part<'_>) -> Key {
        let (keys, mut hash) = (builder.known.keys(), self.hash);
        keys.add(&mut hash, part.suffix.as_bytes());
        keys.add(&mut hash, part.extra.map_or("", |(_, value)| value).as_bytes());
        keys.end(hash)
    }

    fn labels(&self, part: Part<'_>) -> Result<Labels, String> {
        let mut labels = labels_of(self.attributes.iter());
        let mut set = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
        for (name, value) in [("job", &self.origin.job), ("instance", &self.origin.instance)] {
            if let Some(value) = value {
                set(name, value);
            }
        }
        if let Some((name, value)) = part.extra {
            set(name, value);
        }
        set(Labels::NAME, &format!("{}{}", self.name, part.suffix));
        batch::labels(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
    }

    fn add(
        &self,
        builder: &mut Builder<'_>,
        part: Part<'_>,
        at: Timestamp,
        value: f64,
        start: Option<Timestamp>,
    ) -> Result<(), IntakeError> {
        builder.begin();
        builder.sample(self.key(builder, part), || self.labels(part), at, value, start)
    }
}

/// Attributes that become the same label are one, their values in order of their names.
fn labels_of<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> BTreeMap<String, String> {
    let mut attributes: Vec<&KeyValue> = attributes.filter(|it| !it.key.is_empty()).collect();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    let mut labels = BTreeMap::<String, String>::new();
    for attribute in attributes {
        let value = value_of(attribute);
        let label = labels.entry(label_name(&attribute.key)).or_default();
        if label.is_empty() {
            *label = value;
        } else {
            label.push(';');
            label.push_str(&value);
        }
    }
    labels
}

fn add_metric(builder: &mut Builder<'_>, metric: &Metric, from: &mut Origin) -> Result<(), IntakeError> {
    let Some(data) = &metric.data else { return Ok(()) };
    let (points, temporality, kind) = match data {
        MetricData::Gauge(it) => (it.data_points.len(), CUMULATIVE, MetricType::Gauge),
        MetricData::Sum(it) if it.is_monotonic => {
            (it.data_points.len(), it.aggregation_temporality, MetricType::Counter)
        }
        MetricData::Sum(it) => (it.data_points.len(), it.aggregation_temporality, MetricType::Gauge),
        MetricData::Histogram(it) => (it.data_points.len(), it.aggregation_temporality, MetricType::Histogram),
        MetricData::ExponentialHistogram(it) => {
            (it.data_points.len(), it.aggregation_temporality, MetricType::Histogram)
        }
        MetricData::Summary(it) => (it.data_points.len(), CUMULATIVE, MetricType::Summary),
    };
    if temporality != CUMULATIVE {
        let words = if temporality == DELTA { "has delta temporality" } else { "does not say its temporality" };
        builder.refuse(points as u64, || {
            format!("`{}` {words}; send it cumulative (`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`, or the collector's `deltatocumulative`)", metric.name)
        });
        return Ok(());
    }
    let Some(name) = metric_name(metric) else {
        builder.refuse(points as u64, || format!("no name for Prometheus can be made of `{}`", metric.name));
        return Ok(());
    };
    builder.metadata(&name, kind, &metric.description, &metric.unit);
    match data {
        MetricData::Gauge(it) => it.data_points.iter().try_for_each(|it| add_number(builder, &name, it, false, from)),
        MetricData::Sum(it) => {
            it.data_points.iter().try_for_each(|point| add_number(builder, &name, point, it.is_monotonic, from))
        }
        MetricData::Histogram(it) => it.data_points.iter().try_for_each(|it| add_histogram(builder, &name, it, from)),
        MetricData::ExponentialHistogram(it) => {
            it.data_points.iter().try_for_each(|it| add_exponential(builder, &name, it, from))
        }
        MetricData::Summary(it) => it.data_points.iter().try_for_each(|it| add_summary(builder, &name, it, from)),
    }
}

fn millis(nanos: u64) -> Timestamp {
    Timestamp((nanos / 1_000_000) as i64)
}

fn start_of(nanos: u64) -> Option<Timestamp> {
    (nanos != 0).then(|| millis(nanos))
}

fn recorded(flags: u32, value: f64) -> f64 {
    if flags & NO_RECORDED_VALUE != 0 { stale_nan() } else { value }
}

fn add_number(
    builder: &mut Builder<'_>,
    name: &str,
    point: &NumberDataPoint,
    counter: bool,
    from: &mut Origin,
) -> Result<(), IntakeError> {
    let at = millis(point.time_unix_nano);
    from.seen(at);
    let value = match point.value {
        Some(NumberValue::AsDouble(value)) => value,
        Some(NumberValue::AsInt(value)) => value as f64,
        None => 0.0,
    };
    let series = Point::new(builder, name, &point.attributes, from);
    let start = start_of(point.start_time_unix_nano).filter(|_| counter);
    series.add(builder, WHOLE, at, recorded(point.flags, value), start)?;
    if counter {
        let key = series.key(builder, WHOLE);
        for exemplar in point.exemplars.iter().filter_map(exemplar) {
            builder.exemplar(key, || series.labels(WHOLE), exemplar);
        }
    }
    Ok(())
}

fn add_histogram(
    builder: &mut Builder<'_>,
    name: &str,
    point: &HistogramDataPoint,
    from: &mut Origin,
) -> Result<(), IntakeError> {
    let (at, start) = (millis(point.time_unix_nano), start_of(point.start_time_unix_nano));
    from.seen(at);
    let series = Point::new(builder, name, &point.attributes, from);
    let number = |value: f64| recorded(point.flags, value);
    if let Some(sum) = point.sum {
        series.add(builder, Part { suffix: "_sum", extra: None }, at, number(sum), start)?;
    }
    series.add(builder, Part { suffix: "_count", extra: None }, at, number(point.count as f64), start)?;
    let mut exemplars: Vec<Exemplar> = point.exemplars.iter().filter_map(exemplar).collect();
    let mut below = 0u64;
    let given = point.explicit_bounds.iter().zip(&point.bucket_counts).filter(|(bound, _)| bound.is_finite());
    let bounds = given.map(|(bound, count)| {
        below = below.saturating_add(*count);
        (*bound, bound.to_string(), below)
    });
    for (bound, le, count) in bounds.chain([(f64::INFINITY, "+Inf".to_owned(), point.count)]) {
        let part = Part { suffix: "_bucket", extra: Some(("le", &le)) };
        series.add(builder, part, at, number(count as f64), start)?;
        let key = series.key(builder, part);
        for exemplar in exemplars.extract_if(.., |exemplar| exemplar.value <= bound || bound.is_infinite()) {
            builder.exemplar(key, || series.labels(part), exemplar);
        }
    }
    Ok(())
}

fn add_exponential(
    builder: &mut Builder<'_>,
    name: &str,
    point: &ExponentialHistogramDataPoint,
    from: &mut Origin,
) -> Result<(), IntakeError> {
    let at = millis(point.time_unix_nano);
    from.seen(at);
    if point.scale < *SCHEMAS.start() {
        builder.refuse(1, || {
            format!("`{name}` has the scale {}, the coarsest that is kept is {}", point.scale, SCHEMAS.start())
        });
        return Ok(());
    }
    let (schema, down) = (point.scale.min(*SCHEMAS.end()), (point.scale - SCHEMAS.end()).max(0));
    let ended = point.flags & NO_RECORDED_VALUE != 0;
    let histogram = if ended {
        Histogram::stale()
    } else {
        Histogram {
            reset: ResetHint::Unknown,
            schema,
            zero_threshold: if point.zero_threshold > 0.0 { point.zero_threshold } else { ZERO_THRESHOLD },
            zero_count: point.zero_count as f64,
            count: point.count as f64,
            sum: point.sum.unwrap_or(0.0),
            positive: buckets(point.positive.as_ref(), down),
            negative: buckets(point.negative.as_ref(), down),
            custom_values: Vec::new(),
        }
    };
    let series = Point::new(builder, name, &point.attributes, from);
    let key = series.key(builder, WHOLE);
    builder.begin();
    builder.histogram(key, || series.labels(WHOLE), at, histogram, start_of(point.start_time_unix_nano))?;
    for exemplar in point.exemplars.iter().filter_map(exemplar) {
        builder.exemplar(key, || series.labels(WHOLE), exemplar);
    }
    Ok(())
}

/// Buckets in spans. OpenTelemetry's bucket 0 begins at one, Prometheus' ends there. `down`: every `2^down` are one.
fn buckets(given: Option<&ExponentialBuckets>, down: i32) -> Buckets {
    let mut made = Buckets::default();
    let Some(given) = given else { return made };
    let mut last: Option<i64> = None;
    for (at, count) in (i64::from(given.offset)..).zip(&given.bucket_counts).filter(|(_, count)| **count > 0) {
        let index = (at >> down.min(62)) + 1;
        match last {
            Some(same) if same == index => *made.counts.last_mut().expect("it has one") += *count as f64,
            Some(before) if index == before + 1 => {
                made.spans.last_mut().expect("it has one").length += 1;
                made.counts.push(*count as f64);
            }
            _ => {
                let offset = index - last.map_or(0, |before| before + 1);
                let offset = offset.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
                made.spans.push(BucketSpan { offset, length: 1 });
                made.counts.push(*count as f64);
            }
        }
        last = Some(index);
    }
    made
}

fn add_summary(
    builder: &mut Builder<'_>,
    name: &str,
    point: &SummaryDataPoint,
    from: &mut Origin,
) -> Result<(), IntakeError> {
    let (at, start) = (millis(point.time_unix_nano), start_of(point.start_time_unix_nano));
    from.seen(at);
    let series = Point::new(builder, name, &point.attributes, from);
    let number = |value: f64| recorded(point.flags, value);
    series.add(builder, Part { suffix: "_sum", extra: None }, at, number(point.sum), start)?;
    series.add(builder, Part { suffix: "_count", extra: None }, at, number(point.count as f64), start)?;
    for quantile in &point.quantile_values {
        let text = quantile.quantile.to_string();
        let part = Part { suffix: "", extra: Some(("quantile", &text)) };
        series.add(builder, part, at, number(quantile.value), None)?;
    }
    Ok(())
}

fn exemplar(given: &otlp::Exemplar) -> Option<Exemplar> {
    let value = match given.value.as_ref()? {
        ExemplarValue::AsDouble(value) => *value,
        ExemplarValue::AsInt(value) => *value as f64,
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut pairs: Vec<(String, String)> = [("trace_id", &given.trace_id), ("span_id", &given.span_id)]
        .into_iter()
        .filter(|(_, id)| !id.is_empty())
        .map(|(name, id)| (name.to_owned(), hex(id)))
        .collect();
    let attributes = given.filtered_attributes.iter().map(|it| (label_name(&it.key), value_of(it)));
    let attributes: Vec<(String, String)> = attributes.filter(|(name, _)| !name.is_empty()).collect();
    let chars = |pairs: &[(String, String)]| -> usize {
        pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
    };
    if chars(&pairs) + chars(&attributes) <= EXEMPLAR_CHARS_MAX {
        pairs.splice(0..0, attributes);
    }
    Some(Exemplar { labels: Labels::from_pairs(pairs), value, timestamp: millis(given.time_unix_nano) })
}

/// What a resource says of itself besides its name, as a series that others are joined with.
fn add_target_info(builder: &mut Builder<'_>, resource: &Resource, from: &Origin) -> Result<(), IntakeError> {
    let Some((first, last)) = from.times else { return Ok(()) };
    let described: Vec<KeyValue> =
        resource.attributes.iter().filter(|it| !IDENTITY.contains(&it.key.as_str())).cloned().collect();
    if described.is_empty() || (from.job.is_none() && from.instance.is_none()) {
        return Ok(());
    }
    let series = Point::new(builder, "target_info", &described, from);
    let key = series.key(builder, WHOLE);
    builder.begin();
    let steps = (first.0..last.0).step_by(TARGET_INFO_EVERY as usize).take(TARGET_INFO_MAX);
    for at in steps.chain([last.0]) {
        builder.sample(key, || series.labels(WHOLE), Timestamp(at), 1.0, None)?;
    }
    Ok(())
}
