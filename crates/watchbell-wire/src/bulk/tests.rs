use std::sync::Arc;

use expect_test::expect;
use proptest::prelude::*;
use watchbell_model::{BucketSpan, Buckets, Histogram, HistogramSample, Labels, Sample, Start, stale_nan};

use super::*;

/// Reads a text that comes in pieces of this size.
fn read(format: BulkFormat, text: &[u8], step: usize) -> (Vec<Series>, Result<(), BulkError>, Reader) {
    let mut reader = Reader::new(format, Timestamp(7_000));
    let mut all = Vec::new();
    let mut keep = |series: Series| {
        all.push(series);
        Ok::<(), BulkError>(())
    };
    let mut fed = Ok(());
    for piece in text.chunks(step.max(1)) {
        fed = fed.and_then(|()| reader.feed(piece, &mut keep));
    }
    let done = fed.and_then(|()| reader.finish(&mut keep));
    (all, done, reader)
}

fn shown(format: BulkFormat, text: &str) -> String {
    let (all, done, reader) = read(format, text.as_bytes(), 7);
    let mut out = String::new();
    for series in all {
        let samples: Vec<_> = series.samples.iter().map(|it| format!("{} at {}", it.value, it.timestamp.0)).collect();
        out += &format!("{}: {}, {} histograms\n", series.labels, samples.join(", "), series.histograms.len());
    }
    for (name, it) in reader.metadata() {
        out += &format!("{name} is a {}: {}\n", it.kind.as_str(), it.help);
    }
    match done {
        Ok(()) => out + &format!("{} lines", reader.lines()),
        Err(error) => out + &error.to_string(),
    }
}

#[test]
fn victoriametrics_lines_are_read() {
    let lines = r#"{"metric":{"__name__":"up","job":"node"},"values":[1,0.5,null,"Infinity"],"timestamps":[1000,2000,3000,4000]}

{"metric":{"__name__":"down"},"values":[1],"timestamps":[1]}"#;
    expect![[r#"
        up{job="node"}: 1 at 1000, 0.5 at 2000, NaN at 3000, inf at 4000, 0 histograms
        down: 1 at 1, 0 histograms
        3 lines"#]]
    .assert_eq(&shown(BulkFormat::Lines, lines));
    expect!["line 1: there are 1 values and 2 timestamps"]
        .assert_eq(&shown(BulkFormat::Lines, r#"{"metric":{"__name__":"up"},"values":[1],"timestamps":[1,2]}"#));
    expect!["line 2: EOF while parsing an object at line 1 column 2"].assert_eq(&shown(BulkFormat::Lines, "\n{ "));
}

#[test]
fn text_is_read_with_its_times_and_its_metadata() {
    expect![[r#"
        up{job="a"}: 1 at 1000, 2 at 2000, 0 histograms
        up{job="b"}: 3 at 7000, 0 histograms
        up is a gauge: Whether it is up.
        5 lines"#]]
    .assert_eq(&shown(
        BulkFormat::Text,
        "# HELP up Whether it is up.\n# TYPE up gauge\nup{job=\"a\"} 1 1000\nup{job=\"a\"} 2 2000\nup{job=\"b\"} 3",
    ));
    expect![[r#"
        a_total: 1 at 1500, 2 at 2000, 0 histograms
        a is a counter: 
        4 lines"#]]
    .assert_eq(&shown(BulkFormat::OpenMetrics, "# TYPE a counter\na_total 1 1.5\na_total 2 2\n# EOF\n"));
    expect![[r#"
        a: 1 at 1000, 0 histograms
        line 1: the text does not end with `# EOF`: it may be cut short"#]]
    .assert_eq(&shown(BulkFormat::OpenMetrics, "a 1 1\n"));
    expect!["line 2: `x` is not a number"].assert_eq(&shown(BulkFormat::OpenMetrics, "a 1 1\nb x 1\n"));
    expect!["line 2: `x` is not a number"].assert_eq(&shown(BulkFormat::Text, "a 1 1\nb x 1\n"));
}

#[test]
fn the_format_is_seen_from_the_text() {
    let guess = |text: &str| BulkFormat::guess(text.as_bytes(), text.as_bytes());
    assert_eq!(guess("{\"metric\":{}}"), Some(BulkFormat::Lines));
    assert_eq!(guess("# HELP a b\na 1\n"), Some(BulkFormat::Text));
    assert_eq!(guess("{\"a.b\",job=\"x\"} 1 1\n"), Some(BulkFormat::Text));
    assert_eq!(guess("a 1\n# EOF\n"), Some(BulkFormat::OpenMetrics));
    assert_eq!(guess("\x7fELF"), None);
}

#[test]
fn what_a_text_format_cannot_say_is_counted() {
    let histogram = HistogramSample { timestamp: Timestamp(3), histogram: Arc::new(Histogram::default()) };
    let samples = [1.5, stale_nan(), -2e9].into_iter().enumerate();
    let samples = samples.map(|(at, value)| Sample { timestamp: Timestamp(at as i64 * 1500), value });
    let labels = Labels::metric("a", &[("b", "c\"")]);
    let series = Series { labels, samples: samples.collect(), histograms: vec![histogram], starts: Vec::new() };
    for (format, expected) in [
        (BulkFormat::Text, "a{b=\"c\\\"\"} 1.5 0\na{b=\"c\\\"\"} -2e+09 3000\n"),
        (BulkFormat::OpenMetrics, "a{b=\"c\\\"\"} 1.5 0.000\na{b=\"c\\\"\"} -2e+09 3.000\n# EOF\n"),
    ] {
        let (mut writer, mut out) = (Writer::new(format), String::new());
        writer.write(&series, &mut out);
        writer.end(&mut out);
        assert_eq!((out.as_str(), writer.left_out()), (expected, 2));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn lines_come_out_as_they_went_in(
        pairs in prop::collection::btree_map("[a-z_.é\"\\\\]{1,5}", "[ -~é\n]{1,8}", 0..4),
        values in prop::collection::vec(prop_oneof![3 => any::<f64>().prop_filter("ordinary", |value| !value.is_nan()), 1 => Just(f64::NAN), 1 => Just(stale_nan())], 1..50),
        counts in prop::collection::vec((0_u32..1000).prop_map(f64::from), 0..4),
        step in 1_usize..5000,
    ) {
        let labels = Labels::from_pairs(pairs).with(Labels::NAME, "m");
        let sample = |(at, value): (usize, &f64)| Sample { timestamp: Timestamp(at as i64 * 15_000 - 20_000), value: *value };
        let buckets = Buckets { spans: vec![BucketSpan { offset: -3, length: counts.len() as u32 }], counts };
        let histogram = Histogram { sum: values[0], count: 3.5, positive: buckets, ..Histogram::default() };
        let histograms = vec![
            HistogramSample { timestamp: Timestamp(1), histogram: Arc::new(histogram) },
            HistogramSample { timestamp: Timestamp(2), histogram: Arc::new(Histogram::stale()) },
        ];
        let series = Series {
            labels,
            samples: values.iter().enumerate().map(sample).collect(),
            histograms,
            starts: vec![Start { from: Timestamp(1), start: Timestamp(0) }],
        };
        let mut out = String::new();
        Writer::new(BulkFormat::Lines).write(&series, &mut out);
        let (read, done, _) = read(BulkFormat::Lines, out.as_bytes(), step);
        prop_assert_eq!(done, Ok(()));
        let mut all = Series { labels: series.labels.clone(), ..Series::default() };
        for piece in read {
            all.samples.extend(piece.samples);
            all.histograms.extend(piece.histograms);
            all.starts.extend(piece.starts);
        }
        prop_assert_eq!(all, series);
    }
}
