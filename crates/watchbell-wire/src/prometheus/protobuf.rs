//! Prometheus' protobuf exposition: messages `io.prometheus.client.MetricFamily`, each after its length.
//!
//! A family becomes the entries that the same family would be as text, in the same order, so that a scraper knows a
//! series by its text whatever the format. Source: `model/textparse/protobufparse.go` of Prometheus 3.

use std::borrow::Cow;
use std::sync::Arc;

use watchbell_model::{BucketSpan, Buckets, Histogram, ResetHint};

use super::encode::{format_bound, write_series};
use super::nhcb::Classic;
use super::walk::{Histograms, Refused};
use super::{Entry, Exemplar, HistogramLine, Limits, Line, MetricType, Sample};
use crate::ProtoError;
use crate::proto::{Fields, unzigzag, varint};

/// Spans and buckets of one histogram.
const BUCKETS_MAX: usize = 100_000;

type Label<'a> = (&'a str, &'a str);

pub(super) fn walk(
    body: &[u8],
    limits: Limits,
    histograms: Histograms,
    mut each: impl FnMut(Entry<'_>) -> Result<(), Refused>,
) -> Result<(), String> {
    let (mut rest, mut number, mut samples) = (body, 0, 0usize);
    while !rest.is_empty() {
        number += 1;
        let cut = || format!("metric family {number}: the message is cut off");
        let length = varint(&mut rest).ok().and_then(|length| usize::try_from(length).ok()).ok_or_else(cut)?;
        let (message, after) = rest.split_at_checked(length).ok_or_else(cut)?;
        rest = after;
        let mut name = String::new();
        let mut counted = |entry: Entry<'_>| {
            if !matches!(entry, Entry::Line(Line::Type { .. } | Line::Help { .. } | Line::Unit { .. })) {
                samples += 1;
                if samples > limits.samples {
                    return Err(Refused::Whole(format!("a body may hold {} samples at most", limits.samples)));
                }
            }
            each(entry)
        };
        family(message, histograms, &limits, &mut name, &mut counted).map_err(|refused| match refused {
            Refused::Here(reason) => format!("metric family {number} `{name}`: {reason}"),
            Refused::Whole(reason) => reason,
        })?;
    }
    Ok(())
}

fn here(error: ProtoError) -> Refused {
    Refused::Here(error.to_string())
}

/// One family: first what it is, then its metrics.
fn family(
    message: &[u8],
    histograms: Histograms,
    limits: &Limits,
    name_out: &mut String,
    each: &mut impl FnMut(Entry<'_>) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let (mut name, mut help, mut unit, mut kind, mut count) = ("", "", "", 0, 0usize);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next_field().map_err(here)? {
        match field.number {
            1 => name = field.text().map_err(here)?,
            2 => help = field.text().map_err(here)?,
            3 => kind = field.u64().map_err(here)?,
            4 => count += 1,
            5 => unit = field.text().map_err(here)?,
            _ => {}
        }
    }
    name_out.push_str(&name[..name.floor_char_boundary(100)]);
    if count == 0 {
        return Ok(());
    }
    if name.is_empty() {
        return Err(Refused::Here("it has no name".into()));
    }
    let shape = match kind {
        0 => Shape::Counter,
        1 => Shape::Gauge,
        2 => Shape::Summary,
        3 => Shape::Untyped,
        4 => Shape::Histogram { gauge: false },
        5 => Shape::Histogram { gauge: true },
        kind => return Err(Refused::Here(format!("the type {kind} is not known"))),
    };
    let metric = || Cow::Borrowed(name);
    each(Entry::Line(Line::Help { metric: metric(), text: Cow::Borrowed(help) }))?;
    each(Entry::Line(Line::Type { metric: metric(), kind: shape.kind() }))?;
    if !unit.is_empty() {
        each(Entry::Line(Line::Unit { metric: metric(), unit }))?;
    }
    let mut teller = Teller { name, shape, histograms, limits, labels: Vec::new(), text: String::new(), each };
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next_field().map_err(here)? {
        if field.number == 4 {
            teller.metric(field.message().map_err(here)?)?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Shape {
    Counter,
    Gauge,
    Summary,
    Untyped,
    Histogram { gauge: bool },
}

impl Shape {
    fn kind(self) -> MetricType {
        match self {
            Shape::Counter => MetricType::Counter,
            Shape::Gauge => MetricType::Gauge,
            Shape::Summary => MetricType::Summary,
            Shape::Untyped => MetricType::Unknown,
            Shape::Histogram { gauge: false } => MetricType::Histogram,
            Shape::Histogram { gauge: true } => MetricType::GaugeHistogram,
        }
    }
}

/// Tells the metrics of one family.
struct Teller<'a, E> {
    name: &'a str,
    shape: Shape,
    histograms: Histograms,
    limits: &'a Limits,
    labels: Vec<Label<'a>>,
    /// Of the series that is told.
    text: String,
    each: &'a mut E,
}

impl<'a, E: FnMut(Entry<'_>) -> Result<(), Refused>> Teller<'a, E> {
    fn metric(&mut self, message: Fields<'a>) -> Result<(), Refused> {
        self.labels.clear();
        let (mut seconds, mut value) = (None, None);
        let mut fields = message;
        while let Some(field) = fields.next_field().map_err(here)? {
            match field.number {
                1 => {
                    let pair = label(field.message().map_err(here)?).map_err(here)?;
                    if self.labels.len() >= self.limits.labels {
                        return Err(Refused::Here(format!("a sample may have {} labels at most", self.limits.labels)));
                    }
                    self.labels.push(pair);
                }
                // As in Prometheus, zero is a time that was not given.
                6 => seconds = Some(field.i64().map_err(here)?).filter(|at| *at != 0).map(|at| at as f64 / 1000.0),
                2..=5 | 7 => value = Some((field.number, field.message().map_err(here)?)),
                _ => {}
            }
        }
        let empty = Fields::new(&[]);
        let of = |number: u32| value.filter(|(have, _)| *have == number).map_or(empty, |(_, message)| message);
        match self.shape {
            Shape::Gauge => self.plain(of(2), seconds),
            Shape::Counter => self.plain(of(3), seconds),
            Shape::Untyped => self.plain(of(5), seconds),
            Shape::Summary => self.summary(of(4), seconds),
            Shape::Histogram { gauge } => {
                let read = read_histogram(of(7)).map_err(here)?;
                self.histogram(read, gauge, seconds)
            }
        }
    }

    fn sample(
        &mut self,
        suffix: &str,
        extra: Option<Label<'_>>,
        value: f64,
        seconds: Option<f64>,
        exemplar: Option<Exemplar<'_>>,
    ) -> Result<(), Refused> {
        self.text.clear();
        write_series(&mut self.text, self.name, suffix, self.labels.iter().copied().chain(extra));
        // An ordinary NaN, so that a target cannot forge the staleness marker.
        let value = if value.is_nan() { f64::from_bits(0x7ff8_0000_0000_0001) } else { value };
        (self.each)(Entry::Line(Line::Sample(Sample { series: &self.text, value, seconds, exemplar })))
    }

    fn plain(&mut self, mut message: Fields<'a>, seconds: Option<f64>) -> Result<(), Refused> {
        let (mut value, mut example) = (0.0, None);
        while let Some(field) = message.next_field().map_err(here)? {
            match field.number {
                1 => value = field.f64().map_err(here)?,
                2 => example = Some(exemplar(field.message().map_err(here)?).map_err(here)?),
                _ => {}
            }
        }
        self.sample("", None, value, seconds, example)
    }

    fn summary(&mut self, mut message: Fields<'a>, seconds: Option<f64>) -> Result<(), Refused> {
        let (mut count, mut sum, mut quantiles) = (0.0, 0.0, Vec::new());
        while let Some(field) = message.next_field().map_err(here)? {
            match field.number {
                1 => count = field.u64().map_err(here)? as f64,
                2 => sum = field.f64().map_err(here)?,
                3 => quantiles.push(two_doubles(field.message().map_err(here)?).map_err(here)?),
                _ => {}
            }
        }
        self.sample("_count", None, count, seconds, None)?;
        self.sample("_sum", None, sum, seconds, None)?;
        for (quantile, value) in quantiles {
            self.sample("", Some(("quantile", &format_bound(quantile))), value, seconds, None)?;
        }
        Ok(())
    }

    fn histogram(&mut self, read: Read<'a>, gauge: bool, seconds: Option<f64>) -> Result<(), Refused> {
        let is_native = self.histograms.native && read.is_native();
        let hint = if gauge { ResetHint::Gauge } else { ResetHint::Unknown };
        if is_native {
            let mut histogram = read.histogram.clone();
            histogram.reset = hint;
            histogram.check().map_err(|error| Refused::Here(error.to_string()))?;
            for buckets in [&mut histogram.positive, &mut histogram.negative] {
                *buckets = compact(buckets);
            }
            let own = read.exemplars.iter().chain(read.buckets.iter().filter_map(|bucket| bucket.exemplar.as_ref()));
            let exemplars = own.filter(|it| it.seconds.is_some()).cloned().collect();
            self.native(histogram, seconds, exemplars)?;
            // Without classic buckets there is nothing classic to keep.
            if !self.histograms.keep_classic || read.buckets.is_empty() {
                return Ok(());
            }
        }
        let convert = self.histograms.convert && !is_native;
        if !convert || self.histograms.keep_classic {
            self.sample("_count", None, read.histogram.count, seconds, None)?;
            self.sample("_sum", None, read.histogram.sum, seconds, None)?;
            for bucket in &read.buckets {
                let le = format_bound(bucket.bound);
                self.sample("_bucket", Some(("le", &le)), bucket.count, seconds, bucket.exemplar.clone())?;
            }
            if read.buckets.last().is_none_or(|bucket| bucket.bound != f64::INFINITY) {
                self.sample("_bucket", Some(("le", "+Inf")), read.histogram.count, seconds, None)?;
            }
        }
        if convert {
            let mut classic = Classic::default();
            classic.set_count(read.histogram.count);
            classic.set_sum(read.histogram.sum);
            read.buckets.iter().for_each(|bucket| classic.set_bucket(bucket.bound, bucket.count));
            let Some(mut histogram) = classic.native() else {
                return Err(Refused::Here("the counts of its buckets make no sense".into()));
            };
            histogram.reset = hint;
            let exemplars = read.buckets.into_iter().filter_map(|bucket| bucket.exemplar);
            self.native(histogram, seconds, exemplars.filter(|it| it.seconds.is_some()).collect())?;
        }
        Ok(())
    }

    fn native(
        &mut self,
        histogram: Histogram,
        seconds: Option<f64>,
        exemplars: Vec<Exemplar<'a>>,
    ) -> Result<(), Refused> {
        self.text.clear();
        write_series(&mut self.text, self.name, "", self.labels.iter().copied());
        let series = Cow::Borrowed(self.text.as_str());
        (self.each)(Entry::Histogram(HistogramLine { series, histogram: Arc::new(histogram), seconds, exemplars }))
    }
}

fn label(mut message: Fields<'_>) -> Result<Label<'_>, ProtoError> {
    let (mut name, mut value) = ("", "");
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn two_doubles(mut message: Fields<'_>) -> Result<(f64, f64), ProtoError> {
    let (mut first, mut second) = (0.0, 0.0);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => first = field.f64()?,
            2 => second = field.f64()?,
            _ => {}
        }
    }
    Ok((first, second))
}

fn exemplar(mut message: Fields<'_>) -> Result<Exemplar<'_>, ProtoError> {
    let mut exemplar = Exemplar { labels: Vec::new(), value: 0.0, seconds: None };
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => {
                let (name, value) = label(field.message()?)?;
                exemplar.labels.push((Cow::Borrowed(name), Cow::Borrowed(value)));
            }
            2 => exemplar.value = field.f64()?,
            3 => {
                let (mut time, mut seconds, mut nanos) = (field.message()?, 0, 0);
                while let Some(field) = time.next_field()? {
                    match field.number {
                        1 => seconds = field.i64()?,
                        2 => nanos = field.i64()?,
                        _ => {}
                    }
                }
                exemplar.seconds = Some(seconds as f64 + nanos as f64 / 1e9);
            }
            _ => {}
        }
    }
    Ok(exemplar)
}

struct Bucket<'a> {
    bound: f64,
    count: f64,
    exemplar: Option<Exemplar<'a>>,
}

/// A histogram as it came, in both ways at once.
struct Read<'a> {
    histogram: Histogram,
    buckets: Vec<Bucket<'a>>,
    exemplars: Vec<Exemplar<'a>>,
}

impl Read<'_> {
    /// A native one without an observation has an empty span to be known by.
    fn is_native(&self) -> bool {
        let h = &self.histogram;
        !h.positive.spans.is_empty() || !h.negative.spans.is_empty() || h.zero_threshold > 0.0 || h.zero_count > 0.0
    }
}

fn read_histogram(mut message: Fields<'_>) -> Result<Read<'_>, ProtoError> {
    let mut h = Histogram::default();
    let (mut buckets, mut exemplars) = (Vec::new(), Vec::new());
    let (mut floats, mut negative, mut positive) = ((0.0, 0.0), (0, Vec::new()), (0, Vec::new()));
    let delta = |to: &mut (i64, Vec<f64>), delta: u64| {
        to.0 = to.0.wrapping_add(unzigzag(delta));
        to.1.push(to.0 as f64);
    };
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => h.count = field.u64()? as f64,
            2 => h.sum = field.f64()?,
            3 => buckets.push(bucket(field.message()?)?),
            4 => floats.0 = field.f64()?,
            5 => h.schema = field.zigzag()? as i32,
            6 => h.zero_threshold = field.f64()?,
            7 => h.zero_count = field.u64()? as f64,
            8 => floats.1 = field.f64()?,
            9 => h.negative.spans.push(span(field.message()?)?),
            10 => field.varints(|it| delta(&mut negative, it))?,
            11 => field.doubles(&mut h.negative.counts)?,
            12 => h.positive.spans.push(span(field.message()?)?),
            13 => field.varints(|it| delta(&mut positive, it))?,
            14 => field.doubles(&mut h.positive.counts)?,
            16 => exemplars.push(exemplar(field.message()?)?),
            _ => {}
        }
        let parts = h.negative.spans.len() + h.positive.spans.len() + negative.1.len() + positive.1.len();
        if parts + h.negative.counts.len() + h.positive.counts.len() + buckets.len() > BUCKETS_MAX {
            return Err(ProtoError::Content(format!("a histogram may have {BUCKETS_MAX} buckets at most").into()));
        }
    }
    if floats.0 > 0.0 || floats.1 > 0.0 {
        (h.count, h.zero_count) = floats;
    } else {
        (h.negative.counts, h.positive.counts) = (negative.1, positive.1);
    }
    Ok(Read { histogram: h, buckets, exemplars })
}

fn bucket(mut message: Fields<'_>) -> Result<Bucket<'_>, ProtoError> {
    let (mut bucket, mut float) = (Bucket { bound: 0.0, count: 0.0, exemplar: None }, 0.0);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => bucket.count = field.u64()? as f64,
            2 => bucket.bound = field.f64()?,
            3 => bucket.exemplar = Some(exemplar(field.message()?)?),
            4 => float = field.f64()?,
            _ => {}
        }
    }
    if float != 0.0 {
        bucket.count = float;
    }
    Ok(bucket)
}

fn span(mut message: Fields<'_>) -> Result<BucketSpan, ProtoError> {
    let mut span = BucketSpan { offset: 0, length: 0 };
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => span.offset = field.zigzag()? as i32,
            2 => span.length = field.u32()?,
            _ => {}
        }
    }
    Ok(span)
}

/// The same buckets without empty ones and without spans of no length.
fn compact(buckets: &Buckets) -> Buckets {
    let mut out = Buckets::default();
    let (mut gap, mut counts) = (0i32, buckets.counts.iter());
    for span in &buckets.spans {
        gap = gap.saturating_add(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            if *count == 0.0 {
                gap = gap.saturating_add(1);
                continue;
            }
            match out.spans.last_mut() {
                Some(span) if gap == 0 => span.length += 1,
                _ => out.spans.push(BucketSpan { offset: gap, length: 1 }),
            }
            gap = 0;
            out.counts.push(*count);
        }
    }
    out
}
