//! How the sender to the remote store behaves: the cases of Prometheus' compliance suite for senders that
//! `remote.rs` has not, and what its configuration leaves out. What every request must look like is checked there.

use std::time::Duration;

use watchbell_model::{Append, Batch, Labels, Metadata, MetricType, Point, SeriesKey, Timestamp};
use watchbell_runtime::sim;

use crate::remote::{Act, Shared, config, nothing, points, serve, start, start_with};

#[test]
fn requests_are_as_full_as_they_may_be_and_wait_no_longer_than_they_may() {
    sim::run(1, |world| async move {
        let receiver = Shared::default();
        serve(&world, &receiver);
        let one = serde_json::json!({ "write": { "queue_config": { "max_shards": 1, "batch_send_deadline": "5s" } } });
        let process = start(&world, one);
        let begun = world.clock.now();
        process.store.append(points(&world, 47, 1.0)).await.unwrap();
        world.clock.sleep(Duration::from_secs(10)).await;
        let times = receiver.lock().unwrap().times.clone();
        let sizes: Vec<usize> = times.iter().map(|(_, size)| *size).collect();
        assert_eq!(sizes, [20, 20, 7], "20 are the most");
        let waited = |at: usize| times[at].0.since(begun);
        assert!(waited(1) < Duration::from_secs(1), "full ones go at once: {times:?}");
        assert!((Duration::from_secs(4)..Duration::from_secs(6)).contains(&waited(2)), "{times:?}");
    });
}

#[test]
fn tries_are_further_and_further_apart_and_never_end() {
    sim::run(1, |world| async move {
        let receiver = Shared::default();
        receiver.lock().unwrap().acts = vec![Act::Answer(500, ""); 12];
        serve(&world, &receiver);
        let patient = serde_json::json!({
            "write": { "queue_config": { "max_shards": 1, "min_backoff": "100ms", "max_backoff": "3s" } },
        });
        let process = start(&world, patient);
        process.store.append(points(&world, 20, 1.0)).await.unwrap();
        world.clock.sleep(Duration::from_secs(60)).await;
        let receiver = receiver.lock().unwrap();
        let times: Vec<Timestamp> = receiver.times.iter().map(|(at, _)| *at).collect();
        let waits: Vec<Duration> = times.windows(2).map(|two| two[1].since(two[0])).collect();
        assert_eq!(waits.len(), 12, "{waits:?}");
        // Each wait is drawn from the upper half of what has doubled, so that many senders do not come together.
        for (at, wait) in waits.iter().enumerate() {
            let most = Duration::from_millis(100 << at.min(5)).min(Duration::from_secs(3));
            assert!(*wait <= most + Duration::from_millis(50) && *wait >= most / 4, "{at}: {waits:?}");
        }
        assert_eq!(receiver.samples.len(), 20);
        assert_eq!(process.number("watchbell_remote_request_failures_total"), 12.0);
    });
}

#[test]
fn what_2_0_says_it_has_written_is_believed_and_2_0_stays() {
    sim::run(1, |world| async move {
        let receiver = Shared::default();
        let some =
            "x-prometheus-remote-write-samples-written: 17\r\nx-prometheus-remote-write-histograms-written: 0\r\n";
        receiver.lock().unwrap().acts = vec![Act::Answer(400, some)];
        serve(&world, &receiver);
        let v2 = serde_json::json!({
            "write": { "protobuf_message": "io.prometheus.write.v2.Request", "queue_config": { "max_shards": 1 } },
        });
        let process = start(&world, v2);
        for round in 0..3 {
            process.store.append(points(&world, 20, f64::from(round))).await.unwrap();
            world.clock.sleep(Duration::from_secs(2)).await;
        }
        assert_eq!(receiver.lock().unwrap().requests.join(" "), "V2 V2 V2", "the first is not sent again");
        assert_eq!(process.number("watchbell_remote_samples_total"), 57.0);
        assert_eq!(process.number("watchbell_remote_samples_refused_total"), 3.0);
    });
}

#[test]
fn what_the_local_store_refuses_is_not_sent_on() {
    sim::run(1, |world| async move {
        let receiver = Shared::default();
        serve(&world, &receiver);
        let process = start(&world, nothing());
        let now = world.clock.now();
        let point = |host: &str, at: i64, value| Point::new("up", &[("host", host)], Timestamp(at), value);
        let first = Batch::of("test", vec![point("a", now.0, 1.0), point("b", now.0, 1.0)]);
        let refs = process.store.append(first).await.unwrap().refs;
        // Another value for a time that has one, far too late, far ahead, and one that is good, by reference and by labels.
        let mut batch = Batch::of("test", vec![point("c", now.0 - 400_000_000_000, 2.0), point("c", now.0, 2.0)]);
        batch.add(SeriesKey::Known(refs[0].unwrap()));
        for (at, value) in [(now.0, 2.0), (now.0 + 1000, 3.0), (now.0 + 400_000_000_000, 4.0)] {
            let series = batch.series.len() as u32 - 1;
            batch.samples.push(watchbell_model::BatchSample { series, timestamp: Timestamp(at), value });
        }
        let appended = process.store.append(batch).await.unwrap();
        assert_eq!((appended.kept, appended.duplicate, appended.too_old, appended.too_new), (2, 1, 1, 1));
        world.clock.sleep(Duration::from_secs(5)).await;
        let receiver = receiver.lock().unwrap();
        let came: Vec<String> = receiver
            .samples
            .iter()
            .map(|((labels, at), (bits, _))| format!("{labels} {} +{}", f64::from_bits(*bits), at - now.0))
            .collect();
        let wanted =
            [r#"up{host="a"} 1 +0"#, r#"up{host="a"} 3 +1000"#, r#"up{host="b"} 1 +0"#, r#"up{host="c"} 2 +0"#];
        assert_eq!(came, wanted);
    });
}

#[test]
fn rules_change_labels_on_the_way_and_leave_series_out() {
    sim::run(1, |world| async move {
        let receiver = Shared::default();
        serve(&world, &receiver);
        let rules = serde_json::json!({ "write": {
            "write_relabel_configs": [
                { "source_labels": ["__name__"], "regex": "go_.*", "action": "drop" },
                { "target_label": "site", "replacement": "dc-1" },
                { "regex": "secret", "action": "labeldrop" },
            ],
            "metadata_config": { "send": false },
        } });
        let process = start(&world, rules);
        let now = world.clock.now();
        let point = |name: &str| Point::new(name, &[("secret", "x"), ("job", "a")], now, 1.0);
        let mut batch = Batch::of("test", vec![point("up"), point("go_threads"), point("down")]);
        batch.metadata.push(("up".into(), Metadata { kind: MetricType::Gauge, ..Metadata::default() }));
        process.store.append(batch).await.unwrap();
        world.clock.sleep(Duration::from_secs(5)).await;
        let receiver = receiver.lock().unwrap();
        let came: Vec<&str> = receiver.samples.keys().map(|(labels, _)| labels.as_str()).collect();
        assert_eq!(came, [r#"down{job="a", site="dc-1"}"#, r#"up{job="a", site="dc-1"}"#]);
        assert_eq!(receiver.other, Vec::<String>::new(), "no metadata");
        assert_eq!(process.number("watchbell_remote_lag_seconds"), 0.0, "what is left out does not wait");
    });
}

#[test]
fn samples_past_their_age_are_dropped_and_counted() {
    sim::run(1, |world| async move {
        let process = start(&world, serde_json::json!({ "write": { "queue_config": { "sample_age_limit": "10m" } } }));
        process.store.append(points(&world, 5, 1.0)).await.unwrap();
        world.clock.sleep(Duration::from_secs(1)).await;
        process.runtime.supervisor.abort();
        world.clock.sleep(Duration::from_secs(700)).await;
        let receiver = Shared::default();
        serve(&world, &receiver);
        let process = start(&world, serde_json::json!({ "write": { "queue_config": { "sample_age_limit": "10m" } } }));
        process.store.append(points(&world, 3, 2.0)).await.unwrap();
        world.clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(receiver.lock().unwrap().samples.len(), 3);
        assert_eq!(process.number("watchbell_remote_samples_dropped_total"), 5.0);
    });
}

#[test]
fn external_labels_are_added_before_the_rules_and_lose_to_a_series_own() {
    sim::run(1, |world| async move {
        let receiver = Shared::default();
        serve(&world, &receiver);
        let rule = serde_json::json!({ "source_labels": ["site"], "target_label": "from" });
        let mut config = config(serde_json::json!({ "write": { "write_relabel_configs": [rule] } }));
        config.external_labels = Labels::from_pairs([("site", "north"), ("host", "nobody")]);
        let process = start_with(&world, &config);
        process.store.append(points(&world, 1, 1.0)).await.unwrap();
        world.clock.sleep(Duration::from_secs(10)).await;
        let sent: Vec<String> = receiver.lock().unwrap().samples.keys().map(|(labels, _)| labels.to_string()).collect();
        assert_eq!(sent.join(" "), r#"up{from="north", host="0", site="north"}"#);
    });
}

#[test]
fn past_its_size_the_queue_drops_the_oldest() {
    sim::run(1, |world| async move {
        let size = 8 << 20;
        // The sender holds little itself.
        let full = serde_json::json!({ "max_samples_per_send": 400, "capacity": 400, "max_shards": 1 });
        let process =
            start(&world, serde_json::json!({ "queue": { "size": "8MB" }, "write": { "queue_config": full } }));
        let mut count = 0;
        for round in 0..100 {
            // Names that do not compress away: a frame is some 160 KiB.
            let now = world.clock.now();
            let name =
                |host: u64| format!("{host}{}", (0..20).map(|_| world.rng.next_u64().to_string()).collect::<String>());
            let points =
                (0..400).map(|host| Point::new("up", &[("host", &name(host))], now, f64::from(round))).collect();
            count += process.store.append(Batch::of("test", points)).await.unwrap().kept as usize;
            world.clock.sleep(Duration::from_secs(1)).await;
            assert!(process.number("watchbell_remote_queue_bytes") <= f64::from(size), "round {round}");
        }
        let lost = process.number("watchbell_remote_samples_dropped_total") as usize;
        assert!(lost > 0 && process.troubles().contains("samples for vm were dropped"), "{}", process.troubles());
        let receiver = Shared::default();
        serve(&world, &receiver);
        world.clock.sleep(Duration::from_secs(120)).await;
        assert_eq!(receiver.lock().unwrap().samples.len() + lost, count, "the rest is there");
        assert!(receiver.lock().unwrap().samples.keys().all(|(labels, _)| *labels != Labels::empty().to_string()));
    });
}
