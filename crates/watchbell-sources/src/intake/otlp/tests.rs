//! Deltas that are added up, and what each option makes of a request.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use watchbell_model::{Append, AppendError, Appended, Batch, BoxFuture, SeriesKey, SeriesRef};
use watchbell_runtime::sim::{self, World};
use watchbell_wire::otlp::{Encoding, decode_metrics};

use super::*;

/// A store that writes down what it is given, or takes nothing at all.
#[derive(Default)]
struct Store {
    series: Mutex<Vec<String>>,
    said: Mutex<String>,
    full: Mutex<bool>,
}

impl Append for Store {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        if *self.full.lock().unwrap() {
            return Box::pin(async { Err(AppendError::Unavailable("the disk is full".into())) });
        }
        let (mut series, mut out) = (self.series.lock().unwrap(), self.said.lock().unwrap());
        let mut appended = Appended::default();
        let mut names = Vec::new();
        for key in &batch.series {
            let at = match key {
                SeriesKey::Known(at) => *at,
                SeriesKey::Labels(labels) => {
                    series.push(labels.to_string());
                    SeriesRef(series.len() as u64 - 1)
                }
            };
            appended.refs.push(Some(at));
            names.push(series[at.0 as usize].clone());
        }
        let name = |series: u32| &names[series as usize];
        for it in &batch.samples {
            writeln!(out, "{} {} @{}", name(it.series), it.value, it.timestamp.0).unwrap();
        }
        for it in &batch.histograms {
            let h = &it.histogram;
            let (bounds, positive) = (&h.custom_values, &h.positive);
            let spans: Vec<(i32, u32)> = positive.spans.iter().map(|it| (it.offset, it.length)).collect();
            writeln!(
                out,
                "{} count {} sum {} schema {} {bounds:?} {spans:?} {:?} @{}",
                name(it.series),
                h.count,
                h.sum,
                h.schema,
                positive.counts,
                it.timestamp.0
            )
            .unwrap();
        }
        for (at, from, start) in &batch.starts {
            writeln!(out, "{} since {} from {}", name(*at), start.0, from.0).unwrap();
        }
        appended.kept_histograms = batch.histograms.len() as u64;
        appended.kept = batch.samples.len() as u64 + appended.kept_histograms;
        Box::pin(async move { Ok(appended) })
    }
}

struct Door {
    intake: Intake,
    store: Arc<Store>,
    world: World,
    out: String,
}

const MS: u64 = 1_000_000;

impl Door {
    async fn push(&mut self, metric: Value) {
        self.request(json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [metric] }] }] })).await;
    }

    async fn request(&mut self, request: Value) {
        let request = decode_metrics(request.to_string().as_bytes(), Encoding::Json).unwrap();
        match self.intake.otlp_metrics(request, None).await {
            Ok(written) => {
                self.out += &std::mem::take(&mut *self.store.said.lock().unwrap());
                if written.refused > 0 {
                    writeln!(self.out, "refused {}: {}", written.refused, written.first.unwrap()).unwrap();
                }
            }
            Err(error) => writeln!(self.out, "{error}").unwrap(),
        }
    }

    /// A delta of a counter between two times, in milliseconds.
    async fn counter(&mut self, began: u64, at: u64, value: i64) {
        self.push(counter("orders", began, at, value)).await;
    }
}

fn counter(name: &str, began: u64, at: u64, value: i64) -> Value {
    let point = json!({
        "startTimeUnixNano": began * MS, "timeUnixNano": at * MS, "asInt": value,
        "attributes": [{ "key": "b", "value": { "stringValue": "2" } }, { "key": "a", "value": { "intValue": 1 } }],
    });
    json!({ "name": name, "sum": { "aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point] } })
}

fn check<F: Future<Output = Door>>(scenario: impl FnOnce(Door) -> F, expected: Expect) {
    sim::run(1, |world| async move {
        let store = Arc::new(Store::default());
        let intake = Intake::new(&world.runtime(), store.clone());
        let door = Door { intake, store, world, out: String::new() };
        expected.assert_eq(&scenario(door).await.out);
    });
}

#[test]
fn deltas_of_a_counter_are_added_up_once_each() {
    check(
        |mut door| async {
            door.counter(1000, 2000, 5).await;
            door.counter(2000, 3000, 3).await;
            door.out += "# the answer was lost, it is sent again\n";
            door.counter(2000, 3000, 3).await;
            door.out += "# late, and of another counting\n";
            door.counter(500, 4000, 100).await;
            door.out += "# nothing can be stored; the sender comes again\n";
            *door.store.full.lock().unwrap() = true;
            door.counter(3000, 4000, 2).await;
            *door.store.full.lock().unwrap() = false;
            door.counter(3000, 4000, 2).await;
            door.out += "# two points in one request, with a gap before\n";
            let mut both = counter("orders", 6000, 7000, 1);
            let later = counter("orders", 7000, 8000, 1)["sum"]["dataPoints"][0].clone();
            both["sum"]["dataPoints"].as_array_mut().unwrap().push(later);
            door.push(both).await;
            door.out += "# silent for an hour: counting begins anew\n";
            door.world.clock.sleep(DELTA_SILENT_MAX).await;
            door.counter(3_600_000, 3_601_000, 4).await;
            door
        },
        expect![[r#"
            orders_total{a="1", b="2"} 5 @2000
            orders_total{a="1", b="2"} since 1000 from 2000
            orders_total{a="1", b="2"} 8 @3000
            orders_total{a="1", b="2"} since 1000 from 3000
            # the answer was lost, it is sent again
            refused 1: `orders`: a point of delta temporality is not newer than the one before it; it counts once
            # late, and of another counting
            refused 1: `orders`: a point of delta temporality began before the first one of its kind
            # nothing can be stored; the sender comes again
            the store cannot take samples now: the disk is full
            orders_total{a="1", b="2"} 10 @4000
            orders_total{a="1", b="2"} since 1000 from 4000
            # two points in one request, with a gap before
            orders_total{a="1", b="2"} 11 @7000
            orders_total{a="1", b="2"} 12 @8000
            orders_total{a="1", b="2"} since 1000 from 7000
            orders_total{a="1", b="2"} since 1000 from 8000
            # silent for an hour: counting begins anew
            orders_total{a="1", b="2"} 4 @3601000
            orders_total{a="1", b="2"} since 3600000 from 3601000
        "#]],
    );
}

#[test]
fn deltas_of_histograms_are_added_up_bucket_by_bucket() {
    let histogram = |at: u64, counts: [u64; 3], bounds: [f64; 2]| {
        let point = json!({
            "startTimeUnixNano": (at - 1) * MS, "timeUnixNano": at * MS, "count": counts.iter().sum::<u64>(), "sum": 1.5,
            "bucketCounts": counts, "explicitBounds": bounds,
        });
        json!({ "name": "wait", "histogram": { "aggregationTemporality": 1, "dataPoints": [point] } })
    };
    let exponential = |at: u64, scale: i32, offset: i64, counts: Vec<u64>| {
        let point = json!({
            "startTimeUnixNano": (at - 1) * MS, "timeUnixNano": at * MS, "count": counts.iter().sum::<u64>() + 1,
            "sum": 2.0, "zeroCount": 1, "scale": scale, "positive": { "offset": offset, "bucketCounts": counts },
        });
        json!({ "name": "size", "exponentialHistogram": { "aggregationTemporality": 1, "dataPoints": [point] } })
    };
    check(
        |mut door| async move {
            let nhcb = OtlpConfig { convert_histograms_to_nhcb: true, ..OtlpConfig::default() };
            door.intake.set_otlp(&nhcb);
            door.push(histogram(10, [1, 0, 2], [0.5, 1.0])).await;
            door.push(histogram(20, [1, 1, 1], [0.5, 1.0])).await;
            door.out += "# other bounds\n";
            door.push(histogram(30, [1, 1, 1], [0.5, 2.0])).await;
            door.out += "# exponential: the coarser scale counts, and what is far apart makes it coarser still\n";
            door.push(exponential(10, 2, 0, vec![1, 2, 3, 4])).await;
            door.push(exponential(20, 1, -1, vec![1, 0, 5])).await;
            door.push(exponential(30, 1, 1000, vec![7])).await;
            door
        },
        expect![[r#"
            wait count 3 sum 1.5 schema -53 [0.5, 1.0] [(0, 1), (1, 1)] [1.0, 2.0] @10
            wait since 9 from 10
            wait count 6 sum 3 schema -53 [0.5, 1.0] [(0, 3)] [2.0, 1.0, 3.0] @20
            wait since 9 from 20
            # other bounds
            wait count 3 sum 1.5 schema -53 [0.5, 2.0] [(0, 3)] [1.0, 1.0, 1.0] @30
            wait since 29 from 30
            # exponential: the coarser scale counts, and what is far apart makes it coarser still
            size count 11 sum 2 schema 2 [] [(1, 4)] [1.0, 2.0, 3.0, 4.0] @10
            size since 9 from 10
            size count 18 sum 4 schema 1 [] [(0, 3)] [1.0, 3.0, 12.0] @20
            size since 9 from 20
            size count 26 sum 6 schema -2 [] [(0, 2), (124, 1)] [1.0, 15.0, 7.0] @30
            size since 9 from 30
        "#]],
    );
}

#[test]
fn streams_of_deltas_are_bounded_and_told_apart() {
    check(
        |mut door| async {
            {
                let mut streams = door.intake.0.deltas.lock().await;
                (streams.streams_max, streams.numbers_max) = (2, 100);
            }
            door.counter(1, 2, 1).await;
            door.push(counter("other", 1, 2, 1)).await;
            door.out += "# one more than is allowed\n";
            door.push(counter("further", 1, 2, 1)).await;
            door.counter(2, 3, 1).await;
            door.out += "# many buckets\n";
            let point = json!({ "timeUnixNano": 3 * MS, "count": 0, "bucketCounts": vec![0; 100] });
            door.intake.0.deltas.lock().await.streams_max = 3;
            door.push(json!({ "name": "h", "histogram": { "aggregationTemporality": 1, "dataPoints": [point] } }))
                .await;
            door
        },
        expect![[r#"
            orders_total{a="1", b="2"} 1 @2
            orders_total{a="1", b="2"} since 1 from 2
            other_total{a="1", b="2"} 1 @2
            other_total{a="1", b="2"} since 1 from 2
            # one more than is allowed
            refused 1: `further`: a point of delta temporality is of a further series than can be added up
            orders_total{a="1", b="2"} 2 @3
            orders_total{a="1", b="2"} since 1 from 3
            # many buckets
            refused 1: `h`: a point of delta temporality has more buckets than can be added up
        "#]],
    );
}

#[test]
fn what_each_option_makes_of_a_request() {
    let request = || {
        let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        json!({ "resourceMetrics": [{
            "resource": { "attributes": [
                text("service.name", "shop"), text("service.instance.id", "i-1"), text("host.name", "web"), text("k8s.pod", "p"),
            ] },
            "scopeMetrics": [{
                "scope": { "name": "lib", "version": "1.2", "attributes": [text("team.name", "a")] },
                "schemaUrl": "https://example.org/1",
                "metrics": [
                    { "name": "http.wait", "unit": "s", "sum": { "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
                        { "asInt": 1, "timeUnixNano": 1_000_000, "attributes": [text("http.method", "GET"), text("host.name", "own"), text("_x__y", "z")] }] } },
                ],
            }],
        }] })
    };
    check(
        |mut door| async move {
            for (name, options) in [
                ("none", json!({})),
                ("promote", json!({ "promote_resource_attributes": ["host.name", "k8s.pod"] })),
                (
                    "promote all",
                    json!({ "promote_all_resource_attributes": true, "ignore_resource_attributes": ["host.name"] }),
                ),
                ("keep identity", json!({ "keep_identifying_resource_attributes": true })),
                ("scope", json!({ "promote_scope_metadata": true })),
                ("type and unit", json!({ "enable_type_and_unit_labels": true })),
                (
                    "bare labels",
                    json!({ "label_name_underscore_sanitization": false, "label_name_preserve_multiple_underscores": false }),
                ),
                ("no suffixes", json!({ "translation_strategy": "UnderscoreEscapingWithoutSuffixes" })),
                ("UTF-8", json!({ "translation_strategy": "NoUTF8EscapingWithSuffixes" })),
                ("nothing translated", json!({ "translation_strategy": "NoTranslation" })),
            ] {
                let config: OtlpConfig = serde_json::from_value(options).unwrap();
                door.intake.set_otlp(&config);
                writeln!(door.out, "# {name}").unwrap();
                door.request(request()).await;
            }
            door
        },
        expect![[r##"
            # none
            http_wait_seconds_total{host_name="own", http_method="GET", instance="i-1", job="shop", key_x__y="z"} 1 @1
            target_info{host_name="web", instance="i-1", job="shop", k8s_pod="p"} 1 @1
            # promote
            http_wait_seconds_total{host_name="own", http_method="GET", instance="i-1", job="shop", k8s_pod="p", key_x__y="z"} 1 @1
            target_info{host_name="web", instance="i-1", job="shop", k8s_pod="p"} 1 @1
            # promote all
            http_wait_seconds_total{host_name="own", http_method="GET", instance="i-1", job="shop", k8s_pod="p", key_x__y="z", service_instance_id="i-1", service_name="shop"} 1 @1
            target_info{host_name="web", instance="i-1", job="shop", k8s_pod="p"} 1 @1
            # keep identity
            http_wait_seconds_total{host_name="own", http_method="GET", instance="i-1", job="shop", key_x__y="z"} 1 @1
            target_info{host_name="web", instance="i-1", job="shop", k8s_pod="p", service_instance_id="i-1", service_name="shop"} 1 @1
            # scope
            http_wait_seconds_total{host_name="own", http_method="GET", instance="i-1", job="shop", key_x__y="z", otel_scope_name="lib", otel_scope_schema_url="https://example.org/1", otel_scope_team_name="a", otel_scope_version="1.2"} 1 @1
            target_info{host_name="web", instance="i-1", job="shop", k8s_pod="p"} 1 @1
            # type and unit
            http_wait_seconds_total{__type__="counter", __unit__="seconds", host_name="own", http_method="GET", instance="i-1", job="shop", key_x__y="z"} 1 @1
            target_info{host_name="web", instance="i-1", job="shop", k8s_pod="p"} 1 @1
            # bare labels
            http_wait_seconds_total{_x_y="z", host_name="own", http_method="GET", instance="i-1", job="shop"} 1 @1
            target_info{host_name="web", instance="i-1", job="shop", k8s_pod="p"} 1 @1
            # no suffixes
            http_wait{host_name="own", http_method="GET", instance="i-1", job="shop", key_x__y="z"} 1 @1
            target_info{host_name="web", instance="i-1", job="shop", k8s_pod="p"} 1 @1
            # UTF-8
            http.wait_seconds_total{_x__y="z", "host.name"="own", "http.method"="GET", instance="i-1", job="shop"} 1 @1
            target_info{"host.name"="web", instance="i-1", job="shop", "k8s.pod"="p"} 1 @1
            # nothing translated
            http.wait{_x__y="z", "host.name"="own", "http.method"="GET", instance="i-1", job="shop"} 1 @1
            target_info{"host.name"="web", instance="i-1", job="shop", "k8s.pod"="p"} 1 @1
        "##]],
    );
}

#[test]
fn options_that_do_not_go_together() {
    let said = |options: Value| {
        let config: OtlpConfig = serde_json::from_value(options).unwrap();
        let mut problems = watchbell_model::Problems::new();
        config.check(&watchbell_model::Path::root().field("otlp"), &mut problems);
        let words = problems.0.iter().map(|it| format!("{}: {}", it.path, it.message));
        words.collect::<Vec<_>>().join("\n")
    };
    let all = json!({ "promote_all_resource_attributes": true, "promote_resource_attributes": ["a"] });
    expect!["otlp.promote_resource_attributes: all attributes are promoted already"].assert_eq(&said(all));
    expect!["otlp.ignore_resource_attributes: there is nothing to leave out"]
        .assert_eq(&said(json!({ "ignore_resource_attributes": ["a"] })));
    expect![[r#"
        otlp.promote_resource_attributes[1]: `a` is given twice
        otlp.promote_resource_attributes[2]: an attribute's name is empty"#]]
    .assert_eq(&said(json!({ "promote_resource_attributes": ["a", " a ", ""] })));
}

mod whatever_is_added_up {
    use proptest::prelude::*;
    use watchbell_runtime::Rng;
    use watchbell_wire::otlp::{
        DELTA, ExponentialBuckets, ExponentialHistogram, ExponentialHistogramDataPoint, ResourceMetrics,
    };

    use super::super::super::known::{Known, SERIES_KNOWN_MAX};
    use super::*;

    fn side() -> impl Strategy<Value = Option<ExponentialBuckets>> {
        let offset = prop_oneof![-400..400, any::<i32>(), Just(i32::MAX), Just(i32::MIN)];
        let counts = prop::collection::vec(prop_oneof![0..3u64, Just(u64::MAX)], 0..6);
        prop::option::of(
            (offset, counts).prop_map(|(offset, bucket_counts)| ExponentialBuckets { offset, bucket_counts }),
        )
    }

    proptest! {
        /// Of plain numbers nothing is lost, and no numbers make it grow or break.
        #[test]
        fn stays_bounded(
            points in prop::collection::vec((prop_oneof![-4..9, any::<i32>()], side(), side()), 1..12),
        ) {
            let (known, mut deltas) = (Known::new(&Rng::seeded(1), SERIES_KNOWN_MAX), Deltas::default());
            for (at, (scale, positive, negative)) in (1..).zip(points) {
                let point = ExponentialHistogramDataPoint {
                    time_unix_nano: at, scale, positive, negative, count: 1, ..ExponentialHistogramDataPoint::default()
                };
                let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: DELTA };
                let metric = Metric { data: Some(MetricData::ExponentialHistogram(data)), ..Metric::default() };
                let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
                let of_resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
                let mut request = ExportMetricsServiceRequest { resource_metrics: vec![of_resource] };
                let (_, dropped) = deltas.add_up(known.keys(), std::time::Duration::ZERO, &mut request);
                prop_assert_eq!(dropped.points, 0);
                let made = &request.resource_metrics[0].scope_metrics[0].metrics[0].data;
                let Some(MetricData::ExponentialHistogram(made)) = made else { panic!("{made:?}") };
                for side in [&made.data_points[0].positive, &made.data_points[0].negative].into_iter().flatten() {
                    prop_assert!(side.bucket_counts.len() <= 160);
                }
            }
            prop_assert_eq!(deltas.len(), 1);
        }
    }
}
