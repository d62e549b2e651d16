//! Data points as series: numbers, histograms with bounds, exponential histograms, summaries, and their examples.

use watchbell_model::{BucketSpan, Buckets, Exemplar, Histogram, Labels, ResetHint, Timestamp, stale_nan};
use watchbell_wire::otlp::{
    self, ExemplarValue, ExponentialBuckets, ExponentialHistogramDataPoint, HistogramDataPoint, NO_RECORDED_VALUE,
    NumberDataPoint, NumberValue, SummaryDataPoint,
};

use super::super::IntakeError;
use super::super::batch::Builder;
use super::config::OtlpConfig;
use super::names::label_name;
use super::{Family, Origin, Part, Point, WHOLE, value_of};

/// The zero bucket of a histogram that does not say how wide it is.
const ZERO_THRESHOLD: f64 = 1e-128;
/// The finest and the coarsest buckets of native histograms.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;
/// How many characters the labels of an example may have before attributes are left out of it, as in OpenMetrics.
const EXEMPLAR_CHARS_MAX: usize = 128;
fn millis(nanos: u64) -> Timestamp {
    Timestamp((nanos / 1_000_000) as i64)
}

fn start_of(nanos: u64) -> Option<Timestamp> {
    (nanos != 0).then(|| millis(nanos))
}

fn recorded(flags: u32, value: f64) -> f64 {
    if flags & NO_RECORDED_VALUE != 0 { stale_nan() } else { value }
}

pub(super) fn add_number(
    builder: &mut Builder<'_>,
    family: &Family,
    point: &NumberDataPoint,
    counter: bool,
    from: &mut Origin<'_>,
) -> Result<(), IntakeError> {
    let at = millis(point.time_unix_nano);
    from.seen(at);
    let value = match point.value {
        Some(NumberValue::AsDouble(value)) => value,
        Some(NumberValue::AsInt(value)) => value as f64,
        None => 0.0,
    };
    let series = Point::new(builder, family, &point.attributes, from);
    let start = start_of(point.start_time_unix_nano).filter(|_| counter);
    series.add(builder, WHOLE, at, recorded(point.flags, value), start)?;
    if counter {
        let key = series.key(builder, WHOLE);
        for exemplar in point.exemplars.iter().filter_map(|it| exemplar(it, from.config)) {
            builder.exemplar(key, || series.labels(WHOLE), exemplar);
        }
    }
    Ok(())
}

pub(super) fn add_histogram(
    builder: &mut Builder<'_>,
    family: &Family,
    point: &HistogramDataPoint,
    from: &mut Origin<'_>,
) -> Result<(), IntakeError> {
    let (at, start) = (millis(point.time_unix_nano), start_of(point.start_time_unix_nano));
    from.seen(at);
    let series = Point::new(builder, family, &point.attributes, from);
    if from.config.convert_histograms_to_nhcb {
        return add_native(builder, &series, point, start);
    }
    let number = |value: f64| recorded(point.flags, value);
    if let Some(sum) = point.sum {
        series.add(builder, Part { suffix: "_sum", extra: None }, at, number(sum), start)?;
    }
    series.add(builder, Part { suffix: "_count", extra: None }, at, number(point.count as f64), start)?;
    let mut exemplars: Vec<Exemplar> = point.exemplars.iter().filter_map(|it| exemplar(it, from.config)).collect();
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

/// As one histogram whose buckets have the bounds that were given; the bucket up to infinity goes without saying.
fn add_native(
    builder: &mut Builder<'_>,
    series: &Point<'_>,
    point: &HistogramDataPoint,
    start: Option<Timestamp>,
) -> Result<(), IntakeError> {
    let histogram = if point.flags & NO_RECORDED_VALUE != 0 {
        Histogram::stale()
    } else {
        let buckets = ExponentialBuckets { offset: -1, bucket_counts: point.bucket_counts.clone() };
        let bounds = point.explicit_bounds.iter().copied().filter(|bound| *bound != f64::INFINITY);
        Histogram {
            reset: ResetHint::Unknown,
            schema: Histogram::CUSTOM_BUCKETS,
            count: point.count as f64,
            sum: point.sum.unwrap_or(0.0),
            positive: buckets_of(Some(&buckets), 0),
            custom_values: bounds.collect(),
            ..Histogram::default()
        }
    };
    let key = series.key(builder, WHOLE);
    builder.begin();
    builder.histogram(key, || series.labels(WHOLE), millis(point.time_unix_nano), histogram, start)?;
    for exemplar in point.exemplars.iter().filter_map(|it| exemplar(it, series.origin.config)) {
        builder.exemplar(key, || series.labels(WHOLE), exemplar);
    }
    Ok(())
}

pub(super) fn add_exponential(
    builder: &mut Builder<'_>,
    family: &Family,
    point: &ExponentialHistogramDataPoint,
    from: &mut Origin<'_>,
) -> Result<(), IntakeError> {
    let at = millis(point.time_unix_nano);
    from.seen(at);
    if point.scale < *SCHEMAS.start() {
        builder.refuse(1, || {
            format!("`{}` has the scale {}, the coarsest that is kept is {}", family.name, point.scale, SCHEMAS.start())
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
            positive: buckets_of(point.positive.as_ref(), down),
            negative: buckets_of(point.negative.as_ref(), down),
            custom_values: Vec::new(),
        }
    };
    let series = Point::new(builder, family, &point.attributes, from);
    let key = series.key(builder, WHOLE);
    builder.begin();
    builder.histogram(key, || series.labels(WHOLE), at, histogram, start_of(point.start_time_unix_nano))?;
    for exemplar in point.exemplars.iter().filter_map(|it| exemplar(it, from.config)) {
        builder.exemplar(key, || series.labels(WHOLE), exemplar);
    }
    Ok(())
}

/// Buckets in spans. OpenTelemetry's bucket 0 begins at one, Prometheus' ends there. `down`: every `2^down` are one.
fn buckets_of(given: Option<&ExponentialBuckets>, down: i32) -> Buckets {
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

pub(super) fn add_summary(
    builder: &mut Builder<'_>,
    family: &Family,
    point: &SummaryDataPoint,
    from: &mut Origin<'_>,
) -> Result<(), IntakeError> {
    let (at, start) = (millis(point.time_unix_nano), start_of(point.start_time_unix_nano));
    from.seen(at);
    let series = Point::new(builder, family, &point.attributes, from);
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

fn exemplar(given: &otlp::Exemplar, config: &OtlpConfig) -> Option<Exemplar> {
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
    let attributes = given.filtered_attributes.iter().map(|it| (label_name(&it.key, config), value_of(it)));
    let attributes: Vec<(String, String)> = attributes.filter(|(name, _)| !name.is_empty()).collect();
    let chars = |pairs: &[(String, String)]| -> usize {
        pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
    };
    if chars(&pairs) + chars(&attributes) <= EXEMPLAR_CHARS_MAX {
        pairs.splice(0..0, attributes);
    }
    Some(Exemplar { labels: Labels::from_pairs(pairs), value, timestamp: millis(given.time_unix_nano) })
}
