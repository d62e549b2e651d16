//! History brought along from a real Prometheus: what it answered is what we answer afterwards, and bringing it again adds
//! nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::kit::{Folder, Process, own_address, request, wait_until};
use crate::senders::{Exporter, Prometheus, Release, asked, count, missing, now, samples};

/// `watchbell store import`; what it says of a folder.
fn import(data: &Path, folder: &Path) -> Value {
    let run = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["store", "import", "--output", "json", "--data"])
        .args([data, folder])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    let said: Value = serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(said["damage"], Value::Array(Vec::new()));
    said["imported"].clone()
}

/// Results of expressions at a time, each in an order of its own.
fn results(address: SocketAddr, at: f64) -> Vec<String> {
    let expressions = [
        "count({__name__!=\"\"})",
        "up",
        "rate(node_cpu_seconds_total{mode=\"user\"}[5s])",
        "sum by (job) (increase(prometheus_http_requests_total[10s]))",
        "histogram_quantile(0.9, sum by (le) (prometheus_http_request_duration_seconds_bucket))",
        "node_memory_MemTotal_bytes - node_memory_MemFree_bytes offset 2s",
        "max_over_time(go_goroutines[8s]) > bool 0",
        "topk(3, count by (__name__) ({job=\"node\"}))",
        "prometheus_build_info * on (instance) group_left (goversion) go_info",
    ];
    let one = |expression: &str| {
        let data = asked(address, "/api/v1/query", &[("query", expression), ("time", &at.to_string())]);
        let mut series: Vec<String> = data["result"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| format!("{} {}", it["metric"], it["value"]))
            .collect();
        series.sort();
        format!("{expression}\n{}", series.join("\n"))
    };
    expressions.into_iter().map(one).collect()
}

#[test]
fn what_prometheus_has_collected_is_brought_along() {
    let folder = Folder::new("imported");
    let at = |port| SocketAddr::from((own_address(), port));
    let (ours, theirs, exporter_at) = (at(9800), at(9090), at(9100));
    let exporter = Exporter::start(exporter_at);
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         \x20 - job_name: prometheus\n    static_configs: [{{targets: ['{theirs}']}}]\n\
         \x20 - job_name: node\n    static_configs: [{{targets: ['{exporter_at}']}}]\n"
    );
    let prometheus = Prometheus::start(&Release::installed(), &folder, theirs, &config, &["--web.enable-admin-api"]);
    let collected = || prometheus.number("prometheus_tsdb_head_samples_appended_total");
    wait_until("it has collected some", || collected() > 8_000.0);
    let (status, answer) = request(theirs, "POST", "/api/v1/admin/tsdb/snapshot", &[], "").expect("it answers");
    assert_eq!(status, 200, "{answer}");
    let until = now();
    wait_until("it has collected more", || collected() > 20_000.0);
    drop(exporter);
    wait_until("the target is away", || {
        let up = asked(theirs, "/api/v1/query", &[("query", "up{job=\"node\"} == 0")]);
        !up["result"].as_array().expect("a vector").is_empty()
    });
    let (selector, last) = ("{job=~\"node|prometheus\"}", now());
    let (have, answers) = (samples(theirs, selector, "10m", last), results(theirs, until));
    let metadata = asked(theirs, "/api/v1/metadata", &[("metric", "go_goroutines")]);
    prometheus.stop();

    // A folder is made by a watchbell.
    let (data, tsdb) = (folder.path().join("data"), folder.path().join("tsdb"));
    let listen = ours.to_string();
    let start = || Process::start(&folder, &["--data", &data.display().to_string(), "--listen", &listen], &[]);
    assert_eq!(start().stop(), Some(0));

    // First what is in blocks, then the whole folder: blocks, log and head; then both again.
    let snapshots = tsdb.join("snapshots");
    let snapshot = std::fs::read_dir(&snapshots).expect("it was made").next().expect("it is there").expect("a name");
    let first = import(&data, &snapshot.path());
    assert!(first["added"].as_u64() > Some(8_000) && first["known"] == 0, "{first}");
    let rest = import(&data, &tsdb);
    assert!(rest["added"].as_u64() > Some(8_000) && rest["known"].as_u64() >= first["added"].as_u64(), "{rest}");
    for again in [import(&data, &tsdb), import(&data, &snapshot.path())] {
        assert_eq!((&again["added"], &again["different"]), (&Value::from(0), &Value::from(0)), "{again}");
    }

    let _watchbell = start();
    assert!(count(&have) > 15_000, "{}", count(&have));
    let lost = missing(&have, &samples(ours, selector, "10m", last));
    assert!(lost.is_empty(), "{} samples, such as {:#?}", lost.len(), &lost[..lost.len().min(5)]);
    for (theirs, ours) in answers.iter().zip(results(ours, until)) {
        assert_eq!(*theirs, ours);
    }
    // 2.42 writes what metrics are into its log only on request, so there may be nothing; what there is must agree.
    let known = asked(ours, "/api/v1/metadata", &[("metric", "go_goroutines")]);
    assert!(known.as_object().is_some_and(serde_json::Map::is_empty) || known == metadata, "{known}");
}
