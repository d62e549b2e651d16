//! Samples that go on to several places: each has a queue, a position and rules of its own.

use std::time::Duration;

use watchbell_model::Append;
use watchbell_runtime::sim;

use crate::remote::{Act, Process, Shared, points, serve, serve_as, start};

/// The number of one place.
fn number(process: &Process, name: &str, remote: &str) -> f64 {
    let text = process.runtime.metrics.render();
    let line = format!("{name}{{remote=\"{remote}\"}} ");
    text.lines().find_map(|it| it.strip_prefix(&line)).expect("it is measured").parse().unwrap()
}

fn and_another() -> serde_json::Value {
    serde_json::json!({ "tenant": "ops", "also": [{
        "url": "http://other:8428/api/v1/write",
        "name": "other",
        "remote_timeout": "5s",
        "protobuf_message": "io.prometheus.write.v2.Request",
        "queue_config": { "batch_send_deadline": "1s", "max_shards": 1 },
        "write_relabel_configs": [{ "source_labels": ["host"], "regex": "1", "action": "drop" }],
    }] })
}

#[test]
fn one_that_hangs_delays_no_other_and_gets_all_in_the_end() {
    sim::run(1, |world| async move {
        let (vm, other) = (Shared::default(), Shared::default());
        other.lock().unwrap().acts = vec![Act::Hang; 40];
        serve(&world, &vm);
        serve_as(&world, "other", &other);
        let process = start(&world, and_another());
        for round in 0..12 {
            process.store.append(points(&world, 3, f64::from(round))).await.unwrap();
            world.clock.sleep(Duration::from_secs(10)).await;
            assert_eq!(vm.lock().unwrap().samples.len(), 3 * (round as usize + 1), "round {round}");
        }
        assert_eq!(other.lock().unwrap().samples.len(), 0);
        assert_eq!(number(&process, "watchbell_remote_lag_seconds", "vm"), 0.0);
        assert!(number(&process, "watchbell_remote_lag_seconds", "other") > 60.0);
        assert!(number(&process, "watchbell_remote_request_failures_total", "other") > 5.0);
        assert_eq!(number(&process, "watchbell_remote_request_failures_total", "vm"), 0.0);
        let troubles = process.troubles();
        assert!(troubles.starts_with("remote/lag/other: samples wait for other since "), "{troubles}");
        assert_eq!(troubles.lines().count(), 1, "{troubles}");

        // What waits for it alone outlives the process.
        process.runtime.supervisor.abort();
        process.store.close();
        process.local.close();
        drop(process);
        other.lock().unwrap().acts.clear();
        let process = start(&world, and_another());
        world.clock.sleep(Duration::from_secs(30)).await;
        assert_eq!((process.troubles(), vm.lock().unwrap().samples.len()), (String::new(), 36));
        let other = other.lock().unwrap();
        assert_eq!(other.samples.len(), 24, "host 1 is dropped on its way there");
        assert!(other.samples.keys().all(|(labels, _)| !labels.contains("host=\"1\"")));
        assert!(other.samples.values().all(|(_, times)| *times == 1));
        assert_eq!(other.requests.last().map(String::as_str), Some("V2"), "the tenant is the first one's");
        assert!(vm.lock().unwrap().requests.iter().all(|it| it == "V1 ops"));
    });
}
