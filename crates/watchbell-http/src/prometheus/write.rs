//! Values as Prometheus' JSON has them. Samples are many, so they are written straight into the body.

use std::fmt::Write;

use serde_json::json;
use watchbell_model::{Histogram, Labels, Sample, Series, Timestamp};
use watchbell_query::{Element, HistogramBucket, format_value, histogram_buckets, write_value, write_whole};

/// About how long a sample is.
const SAMPLE_BYTES: usize = 32;

/// A list, each item written by `each`.
pub(super) fn list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut String, T)) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(']');
}

/// An instant vector.
pub(super) fn vector(out: &mut String, elements: Vec<Element>) {
    list(out, elements, |out, element| {
        metric(out, &element.labels);
        match &element.histogram {
            None => {
                out.push_str(r#","value":"#);
                sample(out, element.sample);
            }
            Some(whole) => {
                out.push_str(r#","histogram":"#);
                histogram(out, element.sample.timestamp, whole);
            }
        }
        out.push('}');
    });
}

/// Series with all their samples.
pub(super) fn matrix(out: &mut String, series: Vec<Series>) {
    out.reserve(series.iter().map(|series| series.samples.len()).sum::<usize>() * SAMPLE_BYTES);
    list(out, series, |out, series| {
        metric(out, &series.labels);
        if !series.samples.is_empty() || series.histograms.is_empty() {
            out.push_str(r#","values":"#);
            list(out, series.samples, sample);
        }
        if !series.histograms.is_empty() {
            out.push_str(r#","histograms":"#);
            list(out, series.histograms, |out, sample| histogram(out, sample.timestamp, &sample.histogram));
        }
        out.push('}');
    });
}

fn metric(out: &mut String, labels: &Labels) {
    out.push_str(r#"{"metric":{"#);
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        text(out, name);
        out.push(':');
        text(out, value);
    }
    out.push('}');
}

/// A string in quotes. Most need no escapes.
fn text(out: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        write!(out, "{}", json!(text)).expect("a string takes it");
        return;
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

/// `[seconds,"value"]`.
pub(super) fn sample(out: &mut String, sample: Sample) {
    out.push('[');
    time(out, sample.timestamp);
    out.push_str(",\"");
    write_value(out, sample.value);
    out.push_str("\"]");
}

/// A native histogram as Prometheus writes it: each bucket with which of its ends belong to it (0: the upper, 1: the
/// lower, 2: none, 3: both).
fn histogram(out: &mut String, at: Timestamp, histogram: &Histogram) {
    out.push('[');
    time(out, at);
    let (count, sum) = (format_value(histogram.count), format_value(histogram.sum));
    write!(out, r#",{{"count":"{count}","sum":"{sum}""#).expect("a string takes it");
    let buckets: Vec<HistogramBucket> = histogram_buckets(histogram).into_iter().filter(|it| it.count != 0.0).collect();
    if !buckets.is_empty() {
        out.push_str(r#","buckets":"#);
        list(out, buckets, |out, bucket| {
            let ends = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(format_value);
            write!(out, r#"[{ends},"{lower}","{upper}","{count}"]"#).expect("a string takes it");
        });
    }
    out.push_str("}]");
}

/// Seconds, with three digits of milliseconds where there are some.
pub(super) fn time(out: &mut String, at: Timestamp) {
    let millis = at.as_millis().unsigned_abs();
    if at.as_millis() < 0 {
        out.push('-');
    }
    write_whole(out, millis / 1000);
    if !millis.is_multiple_of(1000) {
        write!(out, ".{:03}", millis % 1000).expect("a string takes it");
    }
}

/// As Go writes a number with `'e'`: a sign and two digits at least in the exponent.
pub(super) fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return format_value(value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("`{:e}` writes an exponent");
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_written_as_go_does() {
        let shown = |millis| {
            let mut out = String::new();
            time(&mut out, Timestamp(millis));
            out
        };
        assert_eq!([0, 1, 1500, -1500, 60_000].map(shown), ["0", "0.001", "1.500", "-1.500", "60"]);
        let numbers = [0.0, 1.0, -123.25, 1e-7, 1e100, f64::INFINITY].map(exponent);
        assert_eq!(numbers, ["0e+00", "1e+00", "-1.2325e+02", "1e-07", "1e+100", "+Inf"]);
    }
}
