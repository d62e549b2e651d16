//! The receiver's cases of Prometheus' compliance suite in which several things come at once (`combined`), and those of 1.0
//! (`RW1BasicCompatibility`, `RW1ErrorHandling`).

use std::fmt::Write;
use std::sync::Arc;

use expect_test::expect;
use watchbell_model::{Exemplar, Histogram, HistogramSample, Labels, Metadata, MetricType, Sample, Timestamp};
use watchbell_wire::remote_write::{CONTENT_TYPE_V1, Outgoing, v1};

use crate::push::{answer, check, door, histogram, named, push, series};

const TRACE: [(&str, &str); 1] = [("trace_id", "a")];

#[test]
fn combined() {
    use MetricType::{Counter, Gauge};
    let custom = |h: &mut Histogram| {
        h.schema = Histogram::CUSTOM_BUCKETS;
        (h.zero_count, h.zero_threshold, h.negative, h.count) = (0.0, 0.0, Default::default(), 6.0);
        h.custom_values = vec![0.5, 1.0];
    };
    let native = || histogram(|_| {});
    check(
        vec![
            ("sample with metadata", vec![named("a").sample(1, 1.0).metadata(Gauge, "s", "A.")]),
            ("sample with exemplar", vec![named("a").sample(2, 1.0).exemplar(2, 0.5, &TRACE)]),
            (
                "sample with metadata and exemplar",
                vec![named("b_total").sample(1, 1.0).metadata(Counter, "", "B.").exemplar(1, 0.5, &TRACE)],
            ),
            (
                "histogram with metadata and exemplar",
                vec![
                    named("h")
                        .histogram(1, native())
                        .metadata(MetricType::Histogram, "s", "H.")
                        .exemplar(1, 0.5, &TRACE),
                ],
            ),
            ("samples beside histograms", vec![named("c").sample(1, 1.0), named("i").histogram(1, native())]),
            (
                "everything at once",
                vec![
                    named("d_total").sample(5, 7.0).start(5, 2).metadata(Counter, "", "D.").exemplar(5, 1.0, &TRACE),
                    named("j").histogram(5, native()).start(5, 3).exemplar(5, 0.5, &TRACE),
                    named("k").histogram(5, histogram(custom)),
                ],
            ),
            (
                "several series of one metric",
                vec![
                    series(&[("__name__", "e"), ("job", "a")]).sample(1, 1.0).metadata(Gauge, "", "E."),
                    series(&[("__name__", "e"), ("job", "b")]).sample(1, 2.0).metadata(Gauge, "", "E."),
                ],
            ),
            (
                "a classic histogram",
                vec![
                    series(&[("__name__", "w_bucket"), ("le", "+Inf")]).sample(1, 2.0).metadata(
                        MetricType::Histogram,
                        "",
                        "W.",
                    ),
                    named("w_count").sample(1, 2.0).metadata(MetricType::Histogram, "", "W."),
                    named("w_sum").sample(1, 3.0).metadata(MetricType::Histogram, "", "W."),
                ],
            ),
            ("special characters", vec![series(&[("__name__", "f"), ("path", "/é\\\"\n{}")]).sample(1, 1.0)]),
            (
                "good beside bad",
                vec![
                    named("g").sample(1, 1.0).exemplar(1, 0.5, &TRACE),
                    series(&[("job", "a")]).sample(1, 1.0).exemplar(1, 0.5, &TRACE),
                    named("l").histogram(1, histogram(|h| h.count = 1.0)).metadata(MetricType::Histogram, "", "L."),
                ],
            ),
            ("both in one series, which 2.0 forbids", vec![named("m").sample(1, 1.0).histogram(2, native())]),
        ],
        expect![[r##"
            # sample with metadata
            204 samples 1 histograms 0 exemplars 0
            a 1 @1
            a is a gauge in "s": "A."
            # sample with exemplar
            204 samples 1 histograms 0 exemplars 1
            a 1 @2
            a as {trace_id="a"} 0.5 @2
            # sample with metadata and exemplar
            204 samples 1 histograms 0 exemplars 1
            b_total 1 @1
            b_total as {trace_id="a"} 0.5 @1
            b_total is a counter in "": "B."
            # histogram with metadata and exemplar
            204 samples 0 histograms 1 exemplars 1
            h count 10 sum 22.5 @1
            h as {trace_id="a"} 0.5 @1
            h is a histogram in "s": "H."
            # samples beside histograms
            204 samples 1 histograms 1 exemplars 0
            c 1 @1
            i count 10 sum 22.5 @1
            # everything at once
            204 samples 1 histograms 2 exemplars 2
            d_total 7 @5
            j count 10 sum 22.5 @5
            k count 6 sum 22.5 @5
            d_total began at 2 from 5 on
            j began at 3 from 5 on
            d_total as {trace_id="a"} 1 @5
            j as {trace_id="a"} 0.5 @5
            d_total is a counter in "": "D."
            # several series of one metric
            204 samples 2 histograms 0 exemplars 0
            e{job="a"} 1 @1
            e{job="b"} 2 @1
            e is a gauge in "": "E."
            # a classic histogram
            204 samples 3 histograms 0 exemplars 0
            w_bucket{le="+Inf"} 2 @1
            w_count 2 @1
            w_sum 3 @1
            w is a histogram in "": "W."
            # special characters
            204 samples 1 histograms 0 exemplars 0
            f{path="/é\\\"\n{}"} 1 @1
            # good beside bad
            400 samples 1 histograms 0 exemplars 1 refused 2 of 3 samples, the first: a series has no metric name (label `__name__`): {job="a"}
            g 1 @1
            g as {trace_id="a"} 0.5 @1
            l is a histogram in "": "L."
            # both in one series, which 2.0 forbids
            204 samples 1 histograms 1 exemplars 0
            m 1 @1
            m count 10 sum 22.5 @2
        "##]],
    );
}

#[test]
fn many_samples() {
    let out = door(|site, notes| async move {
        let samples: Vec<Sample> =
            (0..1000).map(|at| Sample { timestamp: Timestamp(at), value: 0.5 + at as f64 }).collect();
        let mut writer = watchbell_wire::remote_write::v2::Writer::new();
        writer.series(&Outgoing::of(&Labels::metric("many", &[]), &samples));
        let body = writer.finish();
        let out = answer(&site, push(watchbell_wire::remote_write::CONTENT_TYPE_V2, &body)).await;
        assert_eq!(notes.written.lock().unwrap().lines().count(), 1000);
        out
    });
    assert_eq!(out, "204 samples 1000 histograms 0 exemplars 0\n");
}

#[test]
fn version_1() {
    let out = door(|site, notes| async move {
        let samples = |value: f64| vec![Sample { timestamp: Timestamp(1), value }];
        let histograms = [HistogramSample { timestamp: Timestamp(2), histogram: Arc::new(histogram(|_| {})) }];
        let exemplars = [Exemplar { labels: Labels::from_pairs(TRACE), value: 0.5, timestamp: Timestamp(1) }];
        let metadata = Metadata { kind: MetricType::Counter, unit: String::new(), help: "Help.".into() };
        let body = |names: &[&str], value: f64, rest: Option<&Outgoing<'_>>| {
            let mut writer = v1::Writer::new();
            for name in names {
                let pairs = [("__name__", *name), ("job", "a")];
                let labels = Labels::from_pairs(pairs.into_iter().filter(|(_, value)| !value.is_empty()));
                writer.series(&Outgoing::of(&labels, &samples(value)));
            }
            if let Some(rest) = rest {
                writer.series(rest);
                writer.metadata("all", &metadata);
            }
            writer.finish()
        };
        let labels = Labels::metric("all", &[]);
        let values = samples(1.0);
        let all = Outgoing { histograms: &histograms, exemplars: &exemplars, ..Outgoing::of(&labels, &values) };
        let cases = [
            ("one", body(&["up"], 1.0, None)),
            ("several", body(&["a", "b", "c"], 2.0, None)),
            ("all that 1.0 has", body(&[], 0.0, Some(&all))),
            ("without a name", body(&[""], 1.0, None)),
            ("one of several without a name", body(&["d", "", "e"], 1.0, None)),
            ("refused by the store", body(&["f"], 13.0, None)),
            ("not a message", b"hello there".to_vec()),
        ];
        let mut out = String::new();
        for (name, body) in cases {
            write!(out, "# {name}\n{}", answer(&site, push(CONTENT_TYPE_V1, &body)).await).unwrap();
            out += &std::mem::take(&mut *notes.written.lock().unwrap());
        }
        out
    });
    expect![[r##"
        # one
        204
        up{job="a"} 1 @1
        # several
        204
        a{job="a"} 2 @1
        b{job="a"} 2 @1
        c{job="a"} 2 @1
        # all that 1.0 has
        204
        all 1 @1
        all count 10 sum 22.5 @2
        all as {trace_id="a"} 0.5 @1
        all is a counter in "": "Help."
        # without a name
        400 refused 1 of 1 samples, the first: a series has no metric name (label `__name__`): {job="a"}
        # one of several without a name
        400 refused 1 of 3 samples, the first: a series has no metric name (label `__name__`): {job="a"}
        d{job="a"} 1 @1
        e{job="a"} 1 @1
        # refused by the store
        400 refused 1 of 1 samples, the first: f{job="a"} is too old
        # not a message
        400 the message has a field that cannot be: tag 108
    "##]]
    .assert_eq(&out);
}
