//! The remote write receiver against the cases of Prometheus' compliance suite (`remotewrite/receiver`), and its own.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use watchbell_model::{
    Append, AppendError, Appended, Batch, BoxFuture, BucketSpan, Buckets, Exemplar, Histogram, HistogramSample, Labels,
    Metadata, MetricType, Sample, SeriesKey, Start, Timestamp, stale_nan,
};
use watchbell_sources::intake::Intake;
use watchbell_wire::remote_write::{CONTENT_TYPE_V1, CONTENT_TYPE_V2, Outgoing, v1, v2};
use watchbell_wire::snappy;

use crate::{Ask, Site, ask, play};

/// A store that writes down what it is given. It has something against the value 13 and, when told, against everything.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) written: Mutex<String>,
    pub(crate) full: Mutex<bool>,
}

impl Append for Notes {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let (mut out, mut appended) = (self.written.lock().unwrap(), Appended::default());
        if *self.full.lock().unwrap() {
            return Box::pin(async { Err(AppendError::Unavailable("the disk is full".into())) });
        }
        let labels = |place: u32| match &batch.series[place as usize] {
            SeriesKey::Labels(labels) => labels.to_string(),
            SeriesKey::Known(series) => panic!("{series:?} was never told"),
        };
        for sample in &batch.samples {
            if sample.value == 13.0 {
                appended.too_old += 1;
                appended.example.get_or_insert_with(|| format!("{} is too old", labels(sample.series)));
                continue;
            }
            writeln!(out, "{} {} @{}", labels(sample.series), sample.value, sample.timestamp.0).unwrap();
            appended.kept += 1;
        }
        for sample in &batch.histograms {
            let (h, at) = (&sample.histogram, sample.timestamp.0);
            writeln!(out, "{} count {} sum {} @{at}", labels(sample.series), h.count, h.sum).unwrap();
            appended.kept += 1;
            appended.kept_histograms += 1;
        }
        for (series, from, start) in &batch.starts {
            writeln!(out, "{} began at {} from {} on", labels(*series), start.0, from.0).unwrap();
        }
        for (series, it) in &batch.exemplars {
            writeln!(out, "{} as {} {} @{}", labels(*series), it.labels, it.value, it.timestamp.0).unwrap();
            appended.kept_exemplars += 1;
        }
        for (metric, it) in &batch.metadata {
            writeln!(out, "{metric} is a {} in {:?}: {:?}", it.kind.as_str(), it.unit, it.help).unwrap();
        }
        Box::pin(async move { Ok(appended) })
    }
}

/// A site with such a store behind its door.
pub(crate) fn door<F: Future>(scenario: impl FnOnce(Site, Arc<Notes>) -> F) -> F::Output {
    play(|mut site| {
        let notes = Arc::new(Notes::default());
        let mut handles = site.stage.handles();
        handles.intake = Intake::new(&site.stage.runtime, notes.clone());
        site.router = watchbell_http::router(handles);
        scenario(site, notes)
    })
}

/// The parts of a series of 2.0.
#[derive(Default)]
pub(crate) struct Series {
    labels: Vec<(&'static str, &'static str)>,
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
    exemplars: Vec<Exemplar>,
    starts: Vec<Start>,
    metadata: Option<Metadata>,
}

pub(crate) fn series(labels: &[(&'static str, &'static str)]) -> Series {
    Series { labels: labels.to_vec(), ..Series::default() }
}

pub(crate) fn named(name: &'static str) -> Series {
    series(&[("__name__", name)])
}

impl Series {
    pub(crate) fn sample(mut self, at: i64, value: f64) -> Series {
        self.samples.push(Sample { timestamp: Timestamp(at), value });
        self
    }

    pub(crate) fn histogram(mut self, at: i64, histogram: Histogram) -> Series {
        self.histograms.push(HistogramSample { timestamp: Timestamp(at), histogram: Arc::new(histogram) });
        self
    }

    pub(crate) fn exemplar(mut self, at: i64, value: f64, labels: &[(&str, &str)]) -> Series {
        let labels = Labels::from_pairs(labels.iter().copied());
        self.exemplars.push(Exemplar { labels, value, timestamp: Timestamp(at) });
        self
    }

    pub(crate) fn start(mut self, from: i64, start: i64) -> Series {
        self.starts.push(Start { from: Timestamp(from), start: Timestamp(start) });
        self
    }

    pub(crate) fn metadata(mut self, kind: MetricType, unit: &str, help: &str) -> Series {
        self.metadata = Some(Metadata { kind, unit: unit.into(), help: help.into() });
        self
    }
}

fn body_v2(all: &[Series]) -> Vec<u8> {
    let mut writer = v2::Writer::new();
    for it in all {
        writer.series(&Outgoing {
            labels: &Labels::from_pairs(it.labels.iter().copied()),
            samples: &it.samples,
            histograms: &it.histograms,
            exemplars: &it.exemplars,
            starts: &it.starts,
            metadata: it.metadata.as_ref(),
        });
    }
    writer.finish()
}

pub(crate) fn push(kind: &'static str, body: &[u8]) -> Ask {
    let ask = ask("POST", "/api/v1/write").header("content-type", kind).header("content-encoding", "snappy");
    ask.body(snappy::compress(body))
}

/// Status, counts, words.
pub(crate) async fn answer(site: &Site, ask: Ask) -> String {
    let answer = site.send(ask).await;
    let mut out = answer.status.as_u16().to_string();
    for kind in ["samples", "histograms", "exemplars"] {
        if let Some(count) = answer.headers.get(format!("x-prometheus-remote-write-{kind}-written")) {
            write!(out, " {kind} {}", count.to_str().unwrap()).unwrap();
        }
    }
    if let Some(seconds) = answer.headers.get("retry-after") {
        write!(out, " retry after {}", seconds.to_str().unwrap()).unwrap();
    }
    write!(out, " {}", answer.body.trim_end()).unwrap();
    out.trim_end().to_owned() + "\n"
}

/// One request for each case; prints answers and what was kept.
pub(crate) fn check(cases: Vec<(&'static str, Vec<Series>)>, expected: Expect) {
    let out = door(|site, notes| async move {
        let mut out = String::new();
        for (name, series) in cases {
            writeln!(out, "# {name}").unwrap();
            out += &answer(&site, push(CONTENT_TYPE_V2, &body_v2(&series))).await;
            out += &std::mem::take(&mut *notes.written.lock().unwrap());
        }
        out
    });
    expected.assert_eq(&out);
}

pub(crate) const JOB: [(&str, &str); 3] = [("__name__", "up"), ("instance", "localhost:9090"), ("job", "testjob")];

#[test]
fn samples() {
    let values =
        [("1", 1.0), ("stale", stale_nan()), ("NaN", f64::NAN), ("Inf", f64::INFINITY), ("-Inf", -f64::INFINITY)];
    let mut cases: Vec<_> =
        values.into_iter().map(|(name, value)| (name, vec![named("up").sample(1, value)])).collect();
    let job = |labels: &[(&'static str, &'static str)]| series(labels).sample(1, 1.0);
    cases.extend([
        ("several labels", vec![job(&JOB)]),
        ("newlines", vec![job(&[("__name__", "up"), ("job", "test\njob\n")])]),
        ("dots", vec![job(&[("__name__", "resource.cpu.usage"), ("job.name", "testjob")])]),
        ("spaces", vec![job(&[("__name__", "resource cpu usage"), ("job name", "testjob")])]),
        ("no name", vec![job(&[("job", "testjob")])]),
        ("no labels", vec![job(&[])]),
        ("an empty name", vec![job(&[("__name__", ""), ("job", "testjob")])]),
        ("several", vec![job(&JOB), named("a").sample(1, 1.0), named("b").sample(1, 1.0)]),
        ("several without name", vec![job(&[("job", "a")]), job(&[("job", "b")])]),
        ("one of several without name", vec![job(&[("job", "a")]), job(&JOB), named("a").sample(1, 2.0)]),
        ("counter with its start", vec![named("c_total").sample(5, 100.0).start(5, 2)]),
        ("a series in order", vec![named("a").sample(5, 1.0).sample(6, 2.0)]),
    ]);
    check(
        cases,
        expect![[r##"
            # 1
            204 samples 1 histograms 0 exemplars 0
            up 1 @1
            # stale
            204 samples 1 histograms 0 exemplars 0
            up NaN @1
            # NaN
            204 samples 1 histograms 0 exemplars 0
            up NaN @1
            # Inf
            204 samples 1 histograms 0 exemplars 0
            up inf @1
            # -Inf
            204 samples 1 histograms 0 exemplars 0
            up -inf @1
            # several labels
            204 samples 1 histograms 0 exemplars 0
            up{instance="localhost:9090", job="testjob"} 1 @1
            # newlines
            204 samples 1 histograms 0 exemplars 0
            up{job="test\njob\n"} 1 @1
            # dots
            204 samples 1 histograms 0 exemplars 0
            resource.cpu.usage{"job.name"="testjob"} 1 @1
            # spaces
            204 samples 1 histograms 0 exemplars 0
            resource cpu usage{"job name"="testjob"} 1 @1
            # no name
            400 samples 0 histograms 0 exemplars 0 refused 1 of 1 samples, the first: a series has no metric name (label `__name__`): {job="testjob"}
            # no labels
            400 samples 0 histograms 0 exemplars 0 refused 1 of 1 samples, the first: a series has no metric name (label `__name__`): {}
            # an empty name
            400 samples 0 histograms 0 exemplars 0 refused 1 of 1 samples, the first: a series has no metric name (label `__name__`): {job="testjob"}
            # several
            204 samples 3 histograms 0 exemplars 0
            up{instance="localhost:9090", job="testjob"} 1 @1
            a 1 @1
            b 1 @1
            # several without name
            400 samples 0 histograms 0 exemplars 0 refused 2 of 2 samples, the first: a series has no metric name (label `__name__`): {job="a"}
            # one of several without name
            400 samples 2 histograms 0 exemplars 0 refused 1 of 3 samples, the first: a series has no metric name (label `__name__`): {job="a"}
            up{instance="localhost:9090", job="testjob"} 1 @1
            a 2 @1
            # counter with its start
            204 samples 1 histograms 0 exemplars 0
            c_total 100 @5
            c_total began at 2 from 5 on
            # a series in order
            204 samples 2 histograms 0 exemplars 0
            a 1 @5
            a 2 @6
        "##]],
    );
}

pub(crate) fn histogram(change: impl FnOnce(&mut Histogram)) -> Histogram {
    let buckets = |counts: &[f64]| Buckets {
        spans: vec![BucketSpan { offset: 0, length: counts.len() as u32 }],
        counts: counts.to_vec(),
    };
    let mut it = Histogram {
        schema: 1,
        count: 10.0,
        sum: 22.5,
        zero_count: 1.0,
        zero_threshold: 0.001,
        positive: buckets(&[2.0, 4.0]),
        negative: buckets(&[1.0, 2.0]),
        ..Histogram::default()
    };
    change(&mut it);
    it
}

#[test]
fn histograms() {
    let one = |change: fn(&mut Histogram)| vec![named("h").histogram(1, histogram(change))];
    let custom = |h: &mut Histogram| {
        h.schema = Histogram::CUSTOM_BUCKETS;
        (h.zero_count, h.zero_threshold, h.negative, h.count) = (0.0, 0.0, Buckets::default(), 6.0);
        h.custom_values = vec![0.5, 1.0];
    };
    check(
        vec![
            ("basic", one(|_| {})),
            ("custom buckets", one(custom)),
            ("positive only", one(|h| (h.negative, h.count) = (Buckets::default(), 7.0))),
            ("negative only", one(|h| (h.positive, h.zero_count, h.count) = (Buckets::default(), 0.0, 3.0))),
            ("zero bucket only", one(|h| (h.positive, h.negative, h.count) = Default::default())),
            ("bad count", one(|h| h.count = 1.0)),
            ("empty", vec![named("h").histogram(1, Histogram::default())]),
            ("with start", vec![named("h").histogram(5, histogram(|_| {})).start(5, 2)]),
            ("several", vec![named("a").histogram(1, histogram(|_| {})), named("b").histogram(1, histogram(|_| {}))]),
            (
                "with metadata",
                vec![named("h").histogram(1, histogram(|_| {})).metadata(MetricType::Histogram, "seconds", "H.")],
            ),
            ("with exemplar", vec![named("h").histogram(1, histogram(|_| {})).exemplar(1, 0.3, &[("trace_id", "a")])]),
            (
                "custom buckets with metadata and exemplar",
                vec![named("h").histogram(1, histogram(custom)).exemplar(1, 0.3, &[("trace_id", "a")]).metadata(
                    MetricType::Histogram,
                    "bytes",
                    "B.",
                )],
            ),
        ],
        expect![[r##"
            # basic
            204 samples 0 histograms 1 exemplars 0
            h count 10 sum 22.5 @1
            # custom buckets
            204 samples 0 histograms 1 exemplars 0
            h count 6 sum 22.5 @1
            # positive only
            204 samples 0 histograms 1 exemplars 0
            h count 7 sum 22.5 @1
            # negative only
            204 samples 0 histograms 1 exemplars 0
            h count 3 sum 22.5 @1
            # zero bucket only
            400 samples 0 histograms 0 exemplars 0 refused 1 of 1 samples, the first: a histogram counts 0 observations, its buckets 1
            # bad count
            400 samples 0 histograms 0 exemplars 0 refused 1 of 1 samples, the first: a histogram counts 1 observations, its buckets 10
            # empty
            204 samples 0 histograms 1 exemplars 0
            h count 0 sum 0 @1
            # with start
            204 samples 0 histograms 1 exemplars 0
            h count 10 sum 22.5 @5
            h began at 2 from 5 on
            # several
            204 samples 0 histograms 2 exemplars 0
            a count 10 sum 22.5 @1
            b count 10 sum 22.5 @1
            # with metadata
            204 samples 0 histograms 1 exemplars 0
            h count 10 sum 22.5 @1
            h is a histogram in "seconds": "H."
            # with exemplar
            204 samples 0 histograms 1 exemplars 1
            h count 10 sum 22.5 @1
            h as {trace_id="a"} 0.3 @1
            # custom buckets with metadata and exemplar
            204 samples 0 histograms 1 exemplars 1
            h count 6 sum 22.5 @1
            h as {trace_id="a"} 0.3 @1
            h is a histogram in "bytes": "B."
        "##]],
    );
}

#[test]
fn exemplars() {
    let with = |labels: &[(&str, &str)]| vec![named("e").sample(1, 1.0).exemplar(1, 0.5, labels)];
    check(
        vec![
            ("trace", with(&[("trace_id", "abc")])),
            ("trace and span", with(&[("trace_id", "abc"), ("span_id", "def")])),
            ("no trace", with(&[("user_id", "1")])),
            ("no labels", with(&[])),
            ("special characters", with(&[("trace_id", "a\"\\\n}")])),
            ("unicode", with(&[("user", "测试")])),
            (
                "several",
                vec![named("e").sample(1, 1.0).exemplar(1, 0.5, &[("trace_id", "a")]).exemplar(
                    2,
                    f64::NAN,
                    &[("trace_id", "b")],
                )],
            ),
            ("with start", vec![named("e").sample(5, 1.0).start(5, 1).exemplar(5, 0.5, &[("trace_id", "a")])]),
            ("without a name", vec![series(&[("job", "test")]).sample(1, 1.0).exemplar(1, 1.0, &[("trace_id", "a")])]),
            ("without samples", vec![named("orphan").exemplar(1, 42.0, &[("trace_id", "a")])]),
            (
                "of other times",
                vec![named("old").sample(-3_600_000, 1.0).exemplar(-1_800_000, 1.0, &[]), named("new").sample(1, 2.0)],
            ),
        ],
        expect![[r##"
            # trace
            204 samples 1 histograms 0 exemplars 1
            e 1 @1
            e as {trace_id="abc"} 0.5 @1
            # trace and span
            204 samples 1 histograms 0 exemplars 1
            e 1 @1
            e as {span_id="def", trace_id="abc"} 0.5 @1
            # no trace
            204 samples 1 histograms 0 exemplars 1
            e 1 @1
            e as {user_id="1"} 0.5 @1
            # no labels
            204 samples 1 histograms 0 exemplars 1
            e 1 @1
            e as {} 0.5 @1
            # special characters
            204 samples 1 histograms 0 exemplars 1
            e 1 @1
            e as {trace_id="a\"\\\n}"} 0.5 @1
            # unicode
            204 samples 1 histograms 0 exemplars 1
            e 1 @1
            e as {user="测试"} 0.5 @1
            # several
            204 samples 1 histograms 0 exemplars 2
            e 1 @1
            e as {trace_id="a"} 0.5 @1
            e as {trace_id="b"} NaN @2
            # with start
            204 samples 1 histograms 0 exemplars 1
            e 1 @5
            e began at 1 from 5 on
            e as {trace_id="a"} 0.5 @5
            # without a name
            400 samples 0 histograms 0 exemplars 0 refused 1 of 1 samples, the first: a series has no metric name (label `__name__`): {job="test"}
            # without samples
            204 samples 0 histograms 0 exemplars 1
            orphan as {trace_id="a"} 42 @1
            # of other times
            204 samples 2 histograms 0 exemplars 1
            old 1 @-3600000
            new 2 @1
            old as {} 1 @-1800000
        "##]],
    );
}

#[test]
fn metadata() {
    use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
    let names = ["c_total", "g", "h", "s", "i", "ss", "gh"];
    let kinds = [Counter, Gauge, Histogram, Summary, Info, StateSet, GaugeHistogram];
    let all = names.into_iter().zip(kinds).map(|(name, kind)| named(name).sample(1, 1.0).metadata(kind, "u", "Help."));
    check(
        vec![
            ("every type", all.collect()),
            ("no help and no unit", vec![named("g2").sample(1, 1.0).metadata(Gauge, "", "")]),
            ("special characters", vec![named("g3").sample(1, 1.0).metadata(Gauge, "", "a \"b\"\n\\")]),
            ("nothing known", vec![named("g4").sample(1, 1.0).metadata(Unknown, "", "")]),
            ("said again", vec![named("g").sample(2, 1.0).metadata(Gauge, "u", "Help.")]),
            ("changed", vec![named("g").sample(2, 1.0).metadata(Gauge, "u", "Other help.")]),
            ("with labels", vec![series(&JOB).sample(1, 1.0).metadata(Gauge, "", "Up.")]),
            ("without samples", vec![named("orphan").metadata(Counter, "count", "Orphan.")]),
            ("without a name", vec![series(&[("job", "a")]).sample(1, 1.0).metadata(Counter, "", "Nameless.")]),
            ("without a name and samples", vec![series(&[("job", "a")]).metadata(Counter, "", "Nameless.")]),
        ],
        expect![[r##"
            # every type
            204 samples 7 histograms 0 exemplars 0
            c_total 1 @1
            g 1 @1
            h 1 @1
            s 1 @1
            i 1 @1
            ss 1 @1
            gh 1 @1
            c_total is a counter in "u": "Help."
            g is a gauge in "u": "Help."
            h is a histogram in "u": "Help."
            s is a summary in "u": "Help."
            i is a info in "u": "Help."
            ss is a stateset in "u": "Help."
            gh is a gaugehistogram in "u": "Help."
            # no help and no unit
            204 samples 1 histograms 0 exemplars 0
            g2 1 @1
            g2 is a gauge in "": ""
            # special characters
            204 samples 1 histograms 0 exemplars 0
            g3 1 @1
            g3 is a gauge in "": "a \"b\"\n\\"
            # nothing known
            204 samples 1 histograms 0 exemplars 0
            g4 1 @1
            # said again
            204 samples 1 histograms 0 exemplars 0
            g 1 @2
            # changed
            204 samples 1 histograms 0 exemplars 0
            g 1 @2
            g is a gauge in "u": "Other help."
            # with labels
            204 samples 1 histograms 0 exemplars 0
            up{instance="localhost:9090", job="testjob"} 1 @1
            up is a gauge in "": "Up."
            # without samples
            204 samples 0 histograms 0 exemplars 0
            orphan is a counter in "count": "Orphan."
            # without a name
            400 samples 0 histograms 0 exemplars 0 refused 1 of 1 samples, the first: a series has no metric name (label `__name__`): {job="a"}
            # without a name and samples
            400 samples 0 histograms 0 exemplars 0 refused 1 of 1 samples, the first: metadata is of a series without a name
        "##]],
    );
}

#[test]
fn what_the_store_refuses_is_told_and_not_sent_again() {
    check(
        vec![
            ("one of three", vec![named("a").sample(1, 1.0), named("b").sample(1, 13.0), named("c").sample(1, 1.0)]),
            ("all", vec![named("b").sample(1, 13.0)]),
        ],
        expect![[r#"
            # one of three
            400 samples 2 histograms 0 exemplars 0 refused 1 of 3 samples, the first: b is too old
            a 1 @1
            c 1 @1
            # all
            400 samples 0 histograms 0 exemplars 0 refused 1 of 1 samples, the first: b is too old
        "#]],
    );
}

#[test]
fn what_is_not_remote_write() {
    let good = body_v2(&[named("up").sample(1, 1.0)]);
    let out = door(|site, notes| async move {
        let compressed = snappy::compress(&good);
        let mut corrupt = compressed.clone();
        corrupt[0] = b'0';
        let post = |kind: &'static str, encoding: &'static str, body: Vec<u8>| {
            let ask = ask("POST", "/api/v1/write").header("content-type", kind).header("content-encoding", encoding);
            ask.body(body)
        };
        let v1_samples = {
            let mut writer = v1::Writer::new();
            writer.series(&Outgoing::of(&Labels::metric("up", &[]), &[Sample { timestamp: Timestamp(1), value: 1.0 }]));
            writer.finish()
        };
        let claims_a_lot = [vec![0x80, 0x80, 0x80, 0x80, 0x01], vec![0; 8]].concat();
        let cases = [
            ("JSON", post("application/json", "snappy", corrupt.clone())),
            ("a picture", post("image/png", "snappy", corrupt.clone())),
            (
                "another message",
                post("application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy", compressed.clone()),
            ),
            ("gzip", post(CONTENT_TYPE_V2, "gzip", corrupt.clone())),
            ("deflate", post(CONTENT_TYPE_V2, "deflate", corrupt.clone())),
            ("corrupt", post(CONTENT_TYPE_V2, "snappy", corrupt.clone())),
            ("corrupt 1.0", post(CONTENT_TYPE_V1, "snappy", [vec![0xff], compressed[1..].to_vec()].concat())),
            ("not protobuf", push(CONTENT_TYPE_V2, b"hello there")),
            ("symbols that are not there", push(CONTENT_TYPE_V2, &[0x22, 0, 0x2a, 6, 0x0a, 2, 1, 2, 0x12, 0])),
            ("decompressed too large", post(CONTENT_TYPE_V2, "snappy", claims_a_lot)),
            ("too large", post(CONTENT_TYPE_V2, "snappy", vec![0; watchbell_http::PUSH_BODY_MAX + 1])),
            ("1.0", push(CONTENT_TYPE_V1, &v1_samples)),
            ("1.0 without headers", ask("POST", "/prometheus/api/v1/write").body(snappy::compress(&v1_samples))),
            ("1.0 to another path", Ask { path: "/api/v1/push".into(), ..push(CONTENT_TYPE_V1, &v1_samples) }),
            ("nothing", push(CONTENT_TYPE_V1, b"")),
        ];
        let mut out = String::new();
        for (name, ask) in cases {
            write!(out, "# {name}\n{}", answer(&site, ask).await).unwrap();
            out += &std::mem::take(&mut *notes.written.lock().unwrap());
        }
        *notes.full.lock().unwrap() = true;
        write!(out, "# a full disk\n{}", answer(&site, push(CONTENT_TYPE_V2, &good)).await).unwrap();
        out
    });
    expect![[r#"
        # JSON
        415 the body must be application/x-protobuf, with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request, not `application/json`
        # a picture
        415 the body must be application/x-protobuf, with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request, not `image/png`
        # another message
        415 the body must be application/x-protobuf, with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request, not `application/x-protobuf;proto=io.prometheus.write.v3.Request`
        # gzip
        415 the body must be compressed with snappy, not `gzip`
        # deflate
        415 the body must be compressed with snappy, not `deflate`
        # corrupt
        400 samples 0 histograms 0 exemplars 0 the body is not compressed with snappy's block format: snappy: corrupt input (header mismatch; expected 48 decompressed bytes but got 35)
        # corrupt 1.0
        400 the body is not compressed with snappy's block format: snappy: corrupt input (expected valid offset but got offset 877; dst position: 4)
        # not protobuf
        400 samples 0 histograms 0 exemplars 0 the message has a field that cannot be: tag 108
        # symbols that are not there
        400 samples 0 histograms 0 exemplars 0 symbol 1 is referred to, there are 1
        # decompressed too large
        413 samples 0 histograms 0 exemplars 0 the decompressed body has 268435456 bytes, 33554432 are allowed; send less at once
        # too large
        413 samples 0 histograms 0 exemplars 0 the body may have 16777216 bytes at most; send less at once
        # 1.0
        204
        up 1 @1
        # 1.0 without headers
        204
        up 1 @1
        # 1.0 to another path
        204
        up 1 @1
        # nothing
        204
        # a full disk
        503 samples 0 histograms 0 exemplars 0 retry after 5 the store cannot take samples now: the disk is full
    "#]].assert_eq(&out);
}

#[test]
fn labels_of_1_0() {
    /// A request with one series and one sample, its labels exactly as given.
    fn body(labels: &[(&str, &str)]) -> Vec<u8> {
        let mut series = Vec::new();
        for (name, value) in labels {
            let (n, v) = (name.len() as u8, value.len() as u8);
            let pair = [&[0x0a, n][..], name.as_bytes(), &[0x12, v], value.as_bytes()].concat();
            series.extend([&[0x0a, pair.len() as u8][..], &pair].concat());
        }
        series.extend([0x12, 2, 0x10, 1]);
        [&[0x0a, series.len() as u8][..], &series].concat()
    }
    let out = door(|site, notes| async move {
        let mut out = String::new();
        for (name, labels) in [
            ("not sorted", vec![("job", "a"), ("__name__", "up"), ("b", "1")]),
            ("twice", vec![("__name__", "up"), ("job", "a"), ("job", "b")]),
            ("without a name", vec![("", "a"), ("__name__", "up")]),
            ("without a value", vec![("__name__", "up"), ("job", "")]),
            ("metric without a name", vec![("__name__", ""), ("job", "a")]),
        ] {
            write!(out, "# {name}\n{}", answer(&site, push(CONTENT_TYPE_V1, &body(&labels))).await).unwrap();
            out += &std::mem::take(&mut *notes.written.lock().unwrap());
        }
        out
    });
    expect![[r##"
        # not sorted
        204
        up{b="1", job="a"} 0 @1
        # twice
        400 refused 1 of 1 samples, the first: a series has the label `job` twice: up{job="b"}
        # without a name
        400 refused 1 of 1 samples, the first: a series has a label without a name: up{""="a"}
        # without a value
        204
        up 0 @1
        # metric without a name
        400 refused 1 of 1 samples, the first: a series has no metric name (label `__name__`): {job="a"}
    "##]]
    .assert_eq(&out);
}
