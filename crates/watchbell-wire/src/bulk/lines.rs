//! JSON lines: a series, or a piece of one, each.
//!
//! `{"metric":{"__name__":"up","job":"mail"},"values":[1,0],"timestamps":[1767571200000,1767571215000]}` as
//! VictoriaMetrics writes and reads it; times in milliseconds. A value JSON has no number for is `null` for the marker
//! of an ended series, and `"NaN"`, `"Infinity"`, `"-Infinity"`. Ours besides: `"histograms":[[time, {…}], …]`, and
//! `"starts":[[time, start], …]` for when counting began.

use std::fmt::Write;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use watchbell_model::{
    BucketSpan, Buckets, Histogram, HistogramSample, Labels, ResetHint, Sample, Series, Start, Timestamp, is_stale,
    stale_nan,
};

/// How many samples one line has at most, as VictoriaMetrics does by default.
const LINE_SAMPLES: usize = 10_000;
/// How many histograms one line has at most.
const LINE_HISTOGRAMS: usize = 500;

#[derive(Deserialize)]
struct Line {
    metric: Labels,
    #[serde(default)]
    values: Vec<Value>,
    #[serde(default)]
    timestamps: Vec<i64>,
    #[serde(default)]
    histograms: Vec<(i64, Native)>,
    #[serde(default)]
    starts: Vec<(i64, i64)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Native {
    #[serde(default)]
    reset: Option<String>,
    #[serde(default)]
    schema: i32,
    #[serde(default)]
    zero_threshold: Value,
    #[serde(default)]
    zero_count: Value,
    #[serde(default)]
    count: Value,
    #[serde(default)]
    sum: Value,
    #[serde(default)]
    positive: Side,
    #[serde(default)]
    negative: Side,
    #[serde(default)]
    custom_values: Vec<Value>,
}

/// Buckets of one sign.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    spans: Vec<(i32, u32)>,
    counts: Vec<Value>,
}

pub(super) fn read(line: &[u8]) -> Result<Series, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if line.values.len() != line.timestamps.len() {
        return Err(format!("there are {} values and {} timestamps", line.values.len(), line.timestamps.len()));
    }
    let sample = |(value, at): (&Value, i64)| Ok(Sample { timestamp: Timestamp(at), value: number(value)? });
    let samples = line.values.iter().zip(line.timestamps).map(sample).collect::<Result<_, String>>()?;
    let histograms = line
        .histograms
        .into_iter()
        .map(|(at, native)| Ok(HistogramSample { timestamp: Timestamp(at), histogram: Arc::new(native.read()?) }));
    let histograms = histograms.collect::<Result<_, String>>()?;
    let start = |(from, start)| Start { from: Timestamp(from), start: Timestamp(start) };
    let starts = line.starts.into_iter().map(start).collect();
    Ok(Series { labels: line.metric, samples, histograms, starts })
}

fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Null => Ok(stale_nan()),
        Value::Number(number) => number.as_f64().ok_or_else(|| format!("{number} is not a number")),
        Value::String(text) => match text.as_str() {
            "NaN" => Ok(f64::NAN),
            "Infinity" | "+Infinity" | "Inf" | "+Inf" => Ok(f64::INFINITY),
            "-Infinity" | "-Inf" => Ok(f64::NEG_INFINITY),
            text => text.parse().map_err(|_| format!("{text:?} is not a number")),
        },
        other => Err(format!("{other} is not a number")),
    }
}

fn push_number(out: &mut String, value: f64) {
    let done = if is_stale(value) {
        out.write_str("null")
    } else if value.is_nan() {
        out.write_str("\"NaN\"")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" })
    } else if value.abs() >= 1e17 || (value != 0.0 && value.abs() < 1e-7) {
        write!(out, "{value:e}")
    } else {
        write!(out, "{value}")
    };
    done.expect("a string takes anything");
}

fn list<T>(out: &mut String, name: &str, all: &[T], mut push: impl FnMut(&mut String, &T)) {
    write!(out, ",\"{name}\":[").expect("a string takes anything");
    for (at, item) in all.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(']');
}

pub(super) fn write(series: &Series, out: &mut String) {
    let metric = serde_json::to_string(&series.labels).expect("labels serialise");
    let open = |out: &mut String| write!(out, "{{\"metric\":{metric}").expect("a string takes anything");
    let start =
        |out: &mut String, it: &Start| write!(out, "[{},{}]", it.from.0, it.start.0).expect("a string takes it");
    let mut starts = Some(&series.starts).filter(|starts| !starts.is_empty());
    let mut close = |out: &mut String| {
        if let Some(starts) = starts.take() {
            list(out, "starts", starts, start);
        }
        out.push_str("}\n");
    };
    for samples in series.samples.chunks(LINE_SAMPLES) {
        open(out);
        list(out, "values", samples, |out, sample| push_number(out, sample.value));
        list(out, "timestamps", samples, |out, it| write!(out, "{}", it.timestamp.0).expect("a string takes it"));
        close(out);
    }
    for histograms in series.histograms.chunks(LINE_HISTOGRAMS) {
        open(out);
        list(out, "histograms", histograms, |out, sample| {
            write!(out, "[{},", sample.timestamp.0).expect("a string takes it");
            push_histogram(out, &sample.histogram);
            out.push(']');
        });
        close(out);
    }
}

fn push_histogram(out: &mut String, it: &Histogram) {
    write!(out, "{{\"schema\":{}", it.schema).expect("a string takes anything");
    let reset = match it.reset {
        ResetHint::Unknown => None,
        ResetHint::Reset => Some("yes"),
        ResetHint::NotReset => Some("no"),
        ResetHint::Gauge => Some("gauge"),
    };
    if let Some(reset) = reset {
        write!(out, ",\"reset\":\"{reset}\"").expect("a string takes anything");
    }
    let numbers =
        [("zero_threshold", it.zero_threshold), ("zero_count", it.zero_count), ("count", it.count), ("sum", it.sum)];
    for (name, value) in numbers {
        write!(out, ",\"{name}\":").expect("a string takes anything");
        push_number(out, value);
    }
    for (name, buckets) in [("positive", &it.positive), ("negative", &it.negative)] {
        if buckets.spans.is_empty() {
            continue;
        }
        let spans: Vec<(i32, u32)> = buckets.spans.iter().map(|span| (span.offset, span.length)).collect();
        let spans = serde_json::to_string(&spans).expect("numbers serialise");
        write!(out, ",\"{name}\":{{\"spans\":{spans}").expect("a string takes anything");
        list(out, "counts", &buckets.counts, |out, count| push_number(out, *count));
        out.push('}');
    }
    if !it.custom_values.is_empty() {
        list(out, "custom_values", &it.custom_values, |out, bound| push_number(out, *bound));
    }
    out.push('}');
}

impl Native {
    fn read(self) -> Result<Histogram, String> {
        let absent_is_zero = |value: &Value| if value.is_null() { Ok(0.0) } else { number(value) };
        let reset = match self.reset.as_deref() {
            None => ResetHint::Unknown,
            Some("yes") => ResetHint::Reset,
            Some("no") => ResetHint::NotReset,
            Some("gauge") => ResetHint::Gauge,
            Some(other) => return Err(format!("`reset` is {other:?}, not `yes`, `no` or `gauge`")),
        };
        let histogram = Histogram {
            reset,
            schema: self.schema,
            zero_threshold: absent_is_zero(&self.zero_threshold)?,
            zero_count: absent_is_zero(&self.zero_count)?,
            count: absent_is_zero(&self.count)?,
            sum: number(&self.sum)?,
            positive: self.positive.read()?,
            negative: self.negative.read()?,
            custom_values: self.custom_values.iter().map(number).collect::<Result<_, _>>()?,
        };
        histogram.check().map_err(|error| error.to_string())?;
        Ok(histogram)
    }
}

impl Side {
    fn read(self) -> Result<Buckets, String> {
        let spans = self.spans.into_iter().map(|(offset, length)| BucketSpan { offset, length }).collect();
        Ok(Buckets { spans, counts: self.counts.iter().map(number).collect::<Result<_, _>>()? })
    }
}
