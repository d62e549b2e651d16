//! What is written is read; what is broken is refused.

use std::sync::Arc;

use proptest::prelude::*;
use watchbell_model::{BucketSpan, Buckets, ResetHint, stale_nan};

use super::*;

fn labels() -> Labels {
    Labels::metric("http_requests_total", &[("job", "api"), ("path", "/é")])
}

fn sample(at: i64, value: f64) -> Sample {
    Sample { timestamp: Timestamp(at), value }
}

fn histograms() -> Vec<HistogramSample> {
    let buckets = |counts: &[f64]| Buckets {
        spans: vec![BucketSpan { offset: -2, length: 1 }, BucketSpan { offset: 3, length: counts.len() as u32 - 1 }],
        counts: counts.to_vec(),
    };
    let whole = Histogram {
        reset: ResetHint::NotReset,
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 12.0,
        sum: 18.4,
        positive: buckets(&[4.0, 1.0]),
        negative: buckets(&[3.0, 2.0]),
        custom_values: Vec::new(),
    };
    let floats = Histogram { count: 12.5, positive: buckets(&[4.5, 1.0]), reset: ResetHint::Gauge, ..whole.clone() };
    let custom = Histogram {
        schema: Histogram::CUSTOM_BUCKETS,
        count: 3.0,
        sum: 5.0,
        positive: Buckets { spans: vec![BucketSpan { offset: 0, length: 2 }], counts: vec![1.0, 2.0] },
        custom_values: vec![0.5, 1.0],
        ..Histogram::default()
    };
    let all = [whole, floats, custom, Histogram::stale()];
    let at = |(at, histogram): (i64, Histogram)| HistogramSample {
        timestamp: Timestamp(at),
        histogram: Arc::new(histogram),
    };
    (100..).zip(all).map(at).collect()
}

fn exemplars() -> Vec<Exemplar> {
    let labels = Labels::from_pairs([("trace_id", "abc")]);
    vec![
        Exemplar { labels, value: 0.5, timestamp: Timestamp(7) },
        Exemplar { labels: Labels::empty(), value: 1.0, timestamp: Timestamp(8) },
    ]
}

fn metadata() -> Metadata {
    Metadata { kind: MetricType::Counter, unit: "seconds".into(), help: "What it\nmeans.".into() }
}

/// The histograms that come out of items, in order.
fn histograms_of(items: &[Item<'_>]) -> Vec<HistogramSample> {
    let one = |item: &Item<'_>| match item {
        Item::Histogram(timestamp, histogram, _) => {
            Some(HistogramSample { timestamp: *timestamp, histogram: Arc::new((**histogram).clone()) })
        }
        _ => None,
    };
    items.iter().filter_map(one).collect()
}

fn items_but_histograms(items: Vec<Item<'_>>) -> Vec<Item<'_>> {
    items.into_iter().filter(|item| !matches!(item, Item::Histogram(..))).collect()
}

#[test]
fn a_request_of_1_0() {
    let (labels, samples) = (labels(), [sample(1, 1.5), sample(-2, stale_nan())]);
    let mut writer = v1::Writer::new();
    let (exemplars, histograms) = (exemplars(), histograms());
    let outgoing = Outgoing { exemplars: &exemplars, histograms: &histograms, ..Outgoing::of(&labels, &samples) };
    writer.series(&outgoing);
    writer.metadata("http_requests", &metadata());
    let body = writer.finish();
    let parts: Vec<v1::Part<'_>> = v1::Request::new(&body).collect::<Result<_, _>>().unwrap();
    let [v1::Part::Series(series), v1::Part::Metadata("http_requests", told)] = &parts[..] else { panic!("{parts:?}") };
    assert_eq!(*told, metadata());
    assert_eq!(series.labels().unwrap(), labels.iter().collect::<Vec<_>>());
    let items: Vec<Item<'_>> = series.items().collect::<Result<_, _>>().unwrap();
    assert_eq!(histograms_of(&items), histograms);
    let wanted =
        samples.map(|sample| Item::Sample(sample, None)).into_iter().chain(exemplars.into_iter().map(Item::Exemplar));
    assert_eq!(items_but_histograms(items), wanted.collect::<Vec<_>>());
}

#[test]
fn a_request_of_2_0() {
    let (labels, samples) = (labels(), [sample(1, 1.5), sample(2, stale_nan())]);
    let (exemplars, histograms, metadata) = (exemplars(), histograms(), metadata());
    let starts = [Start { from: Timestamp(1), start: Timestamp(-5) }];
    let mut writer = v2::Writer::new();
    writer.series(&Outgoing {
        exemplars: &exemplars,
        starts: &starts,
        metadata: Some(&metadata),
        ..Outgoing::of(&labels, &samples)
    });
    writer.series(&Outgoing { histograms: &histograms, ..Outgoing::of(&labels, &[]) });
    let body = writer.finish();
    let request = v2::Request::new(&body).unwrap();
    assert_eq!(request.symbols().len(), 11, "{:?}", request.symbols());
    let series: Vec<v2::Series<'_>> = request.series().collect::<Result<_, _>>().unwrap();
    for series in &series {
        assert_eq!(series.labels(&request).unwrap(), labels.iter().collect::<Vec<_>>());
    }
    let items: Vec<Item<'_>> = series[0].items(&request).collect::<Result<_, _>>().unwrap();
    let start = Some(Timestamp(-5));
    let mut wanted: Vec<Item<'_>> = samples.into_iter().map(|sample| Item::Sample(sample, start)).collect();
    wanted.extend(exemplars.into_iter().map(Item::Exemplar));
    wanted.push(Item::Metadata(MetricType::Counter, &metadata.help, &metadata.unit));
    assert_eq!(items, wanted);
    assert_eq!(series[0].start(), Ok(start));
    let items: Vec<Item<'_>> = series[1].items(&request).collect::<Result<_, _>>().unwrap();
    assert_eq!(histograms_of(&items), histograms);
}

#[test]
fn labels_may_come_last() {
    use crate::proto::{put_f64, put_message};
    let mut body = Vec::new();
    let labels = labels();
    put_message(&mut body, 1, |out| {
        put_message(out, 2, |out| put_f64(out, 1, 2.5));
        v1::write_labels(out, 1, &labels);
    });
    let Some(Ok(v1::Part::Series(series))) = v1::Request::new(&body).next() else { panic!("a series") };
    assert_eq!(series.labels().unwrap(), labels.iter().collect::<Vec<_>>());
    assert_eq!(series.items().collect::<Vec<_>>(), [Ok(Item::Sample(sample(0, 2.5), None))]);
}

#[test]
fn what_the_content_type_says() {
    let of = |header| Version::of_content_type(Some(header));
    for v1 in
        ["application/x-protobuf", "Application/X-Protobuf", "application/x-protobuf;proto=prometheus.WriteRequest"]
    {
        assert_eq!(of(v1), Some(Version::V1), "{v1}");
    }
    assert_eq!(of(CONTENT_TYPE_V2), Some(Version::V2));
    assert_eq!(of("application/x-protobuf; proto=io.prometheus.write.v2.Request; charset=utf-8"), Some(Version::V2));
    assert_eq!(Version::of_content_type(None), Some(Version::V1));
    let others = [
        "application/json",
        "",
        "application/x-protobuf;proto=io.prometheus.write.v3.Request",
        "text/plain",
        "application/x-protobuf;proto",
    ];
    for other in others {
        assert_eq!(of(other), None, "{other}");
    }
}

#[test]
fn a_request_that_refers_to_nothing_is_refused() {
    use crate::proto::{put_bytes, put_message, put_packed};
    let read = |symbols: &[&str], refs: &[u64]| -> Result<(), String> {
        let mut body = Vec::new();
        put_message(&mut body, 5, |out| put_packed(out, 1, refs.iter().copied()));
        symbols.iter().for_each(|symbol| put_bytes(&mut body, 4, symbol.as_bytes()));
        let request = v2::Request::new(&body).map_err(|error| error.to_string())?;
        let series = request.series().next().unwrap().unwrap();
        series.labels(&request).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(read(&["", "a", "b"], &[1, 2]), Ok(()));
    assert_eq!(read(&["", "a"], &[1, 2]).unwrap_err(), "symbol 2 is referred to, there are 2");
    assert_eq!(read(&["", "a"], &[1]).unwrap_err(), "references to labels do not come in pairs");
    assert_eq!(read(&["a"], &[]).unwrap_err(), "the first symbol of a request must be the empty text");
    assert_eq!(read(&["", "a"], &[1, 1 << 40]).unwrap_err(), "symbol 4294967295 is referred to, there are 2");
}

/// Reads everything there is; how it ends does not matter, only that it does.
fn walk(body: &[u8]) {
    for part in v1::Request::new(body) {
        if let Ok(v1::Part::Series(series)) = part {
            let _ = series.labels();
            series.items().for_each(drop);
        }
    }
    if let Ok(request) = v2::Request::new(body) {
        for series in request.series().flatten() {
            let _ = series.labels(&request);
            series.items(&request).for_each(drop);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        walk(&bytes);
    }

    #[test]
    fn no_flipped_byte_makes_it_panic(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let (labels, samples, exemplars, histograms) = (labels(), [sample(1, 1.5)], exemplars(), histograms());
        let outgoing = Outgoing { exemplars: &exemplars, histograms: &histograms, ..Outgoing::of(&labels, &samples) };
        let (mut first, mut second) = (v1::Writer::new(), v2::Writer::new());
        first.series(&outgoing);
        second.series(&outgoing);
        for mut body in [first.finish(), second.finish()] {
            let at = at.index(body.len());
            body[at] = to;
            walk(&body);
        }
    }
}
