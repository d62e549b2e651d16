//! Metrics pushed by the real senders: Prometheus' remote write and OpenTelemetry's SDK.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kit::{Folder, Process, Served, own_address, request, serve, signal, wait_until};
use crate::peers::must_have;
use crate::senders::{Exporter, Prometheus, Release, asked, count, missing, now, samples};

fn listen(folder: &Folder, address: SocketAddr) -> Process {
    let data = folder.path().join("data").display().to_string();
    Process::start(folder, &["--data", &data, "--listen", &address.to_string()], &[])
}

/// Nothing that remote write brought was refused.
fn refused_nothing(watchbell: &Process) {
    let (_, metrics) = watchbell.get("/metrics");
    let refused = metrics.lines().find(|line| {
        line.starts_with("watchbell_pushed_samples_total{") && line.contains("refused") && line.contains("remote_write")
    });
    assert!(refused.is_none_or(|line| line.ends_with(" 0")), "{refused:?}");
}

#[test]
fn everything_that_prometheus_has_is_here_too_whatever_happens_to_us() {
    let folder = Folder::new("pushed");
    let at = |port| SocketAddr::from((own_address(), port));
    let (ours, theirs, exporter) = (at(9800), at(9090), at(9100));
    let watchbell = listen(&folder, ours);
    let _exporter = Exporter::start(exporter);
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: prometheus\n    static_configs:\n      \
         - targets: ['{theirs}']\n  - job_name: node\n    static_configs:\n      - targets: ['{exporter}']\n\
         remote_write:\n  - url: http://{ours}/api/v1/write\n    send_exemplars: true\n    queue_config:\n      \
         batch_send_deadline: 200ms\n      max_backoff: 200ms\n"
    );
    let prometheus = Prometheus::start(&Release::installed(), &folder, theirs, &config, &[]);
    wait_until("prometheus has sent something", || prometheus.has_sent(5_000.0));
    watchbell.kill();
    // It is away for a while, and comes back without having said goodbye.
    let (_, text) = request(theirs, "GET", "/metrics", &[], "").unwrap();
    assert!(text.contains("prometheus_remote_storage_samples_total"), "{text:.200}");
    let watchbell = listen(&folder, ours);
    wait_until("prometheus sends again", || prometheus.has_sent(12_000.0));
    assert_eq!(watchbell.stop(), Some(0));
    let watchbell = listen(&folder, ours);
    wait_until("prometheus still sends", || prometheus.has_sent(20_000.0));

    let (selector, until) = ("{job=~\"node|prometheus\"}", now());
    let theirs = samples(theirs, selector, "10m", until);
    assert!(count(&theirs) > 10_000, "{} samples are too few to say anything", count(&theirs));
    wait_until("all of it is here", || samples(ours, selector, "10m", until).len() >= theirs.len());
    wait_until("every sample is here", || missing(&theirs, &samples(ours, selector, "10m", until)).is_empty());
    drop(prometheus);
    refused_nothing(&watchbell);
}

/// A program that counts its scrapes, in OpenMetrics: a counter with its start, a histogram, an example of each.
fn program(at: SocketAddr) -> Served {
    let (scrapes, began) = (Arc::new(AtomicU64::new(0)), Arc::new(OnceLock::new()));
    serve(at, move |mut stream| {
        let (number, began) = (scrapes.fetch_add(1, Ordering::Relaxed) + 1, Arc::clone(&began));
        async move {
            let mut asked = Vec::new();
            while !asked.windows(4).any(|it| it == b"\r\n\r\n") {
                if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let example = format!("# {{trace_id=\"t{number}\"}} 0.25 {}", now());
            // A counter that begins later than the sender: of what is older than itself it sends nothing.
            let later = match number {
                ..5 => String::new(),
                _ => {
                    let began: &f64 = began.get_or_init(now);
                    format!("orders_total{{kind=\"later\"}} {number}\norders_created{{kind=\"later\"}} {began}\n")
                }
            };
            let body = format!(
                "# HELP orders Orders\\ntaken.\n# TYPE orders counter\norders_total{{kind=\"é\"}} {number} {example}\n{later}\
                 # HELP wait_seconds How long.\n# TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\n\
                 wait_seconds_bucket{{le=\"0.1\"}} 0\nwait_seconds_bucket{{le=\"1.0\"}} {number} {example}\n\
                 wait_seconds_bucket{{le=\"+Inf\"}} {number}\nwait_seconds_sum 0.5\nwait_seconds_count {number}\n# EOF\n"
            );
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    })
}

/// What is known of a metric: pairs of its name and each of its descriptions.
fn metadata(address: SocketAddr) -> BTreeSet<String> {
    let all = asked(address, "/api/v1/metadata", &[]);
    let all = all.as_object().expect("by metric").iter();
    all.flat_map(|(name, variants)| variants.as_array().into_iter().flatten().map(move |it| format!("{name}: {it}")))
        .collect()
}

/// Each example with its series.
fn examples(address: SocketAddr, selector: &str, until: f64) -> BTreeSet<String> {
    let (start, end) = ((until - 600.0).to_string(), until.to_string());
    let all = asked(address, "/api/v1/query_exemplars", &[("query", selector), ("start", &start), ("end", &end)]);
    let series = all.as_array().expect("a list").iter();
    let one = |series: &Value, it: &Value| {
        let at = it["timestamp"].as_f64().expect("a time");
        format!("{} {} {} {at:.3}", series["seriesLabels"], it["labels"], it["value"])
    };
    series
        .flat_map(|it| it["exemplars"].as_array().into_iter().flatten().map(move |example| one(it, example)))
        .collect()
}

#[test]
fn all_that_remote_write_2_carries_is_here_as_prometheus_has_it() {
    let folder = Folder::new("pushed-v2");
    let at = |port| SocketAddr::from((own_address(), port));
    let (ours, theirs, program_at) = (at(9800), at(9090), at(9101));
    let watchbell = listen(&folder, ours);
    let _program = program(program_at);
    let release = Release::newest();
    let (scrape, send, features) = if release.sends_v2 {
        (
            "    scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0]\n    always_scrape_classic_histograms: true\n",
            "    protobuf_message: io.prometheus.write.v2.Request\n",
            "native-histograms,exemplar-storage,metadata-wal-records,created-timestamp-zero-ingestion",
        )
    } else {
        ("", "", "native-histograms,exemplar-storage")
    };
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n\
         \x20 - job_name: prometheus\n{scrape}    static_configs: [{{targets: ['{theirs}']}}]\n\
         \x20 - job_name: program\n{scrape}    static_configs: [{{targets: ['{program_at}']}}]\n\
         remote_write:\n  - url: http://{ours}/api/v1/write\n{send}    send_exemplars: true\n    \
         send_native_histograms: true\n    queue_config: {{batch_send_deadline: 200ms, max_backoff: 200ms}}\n"
    );
    let prometheus = Prometheus::start(&release, &folder, theirs, &config, &[&format!("--enable-feature={features}")]);
    // It does not send what is older than its sender, such as zeros at the start of counters.
    wait_until("prometheus sends", || prometheus.has_sent(0.0));
    let since = now();
    let histograms = "prometheus_remote_storage_histograms_total";
    wait_until("prometheus has sent a few scrapes", || {
        let both = prometheus.has_sent(5_000.0) && (!release.sends_v2 || prometheus.number(histograms) > 50.0);
        both && prometheus.number("prometheus_remote_storage_exemplars_total") > 5.0
    });

    let (selector, until) = ("{job=~\"program|prometheus\"}", now());
    let window = format!("{}s", until - since);
    let have = samples(theirs, selector, &window, until);
    assert!(count(&have) > 2_000, "{} samples are too few to say anything", count(&have));
    wait_until("every sample and histogram is here", || {
        missing(&have, &samples(ours, selector, "10m", until)).is_empty()
    });
    let told = examples(theirs, "orders_total", until);
    assert!(told.len() > 2, "{told:?}");
    wait_until("every example is here", || examples(ours, "{job=\"program\"}", until).is_superset(&told));

    if release.sends_v2 {
        let counted =
            asked(theirs, "/api/v1/query", &[("query", "histogram_count(prometheus_http_request_duration_seconds)")]);
        assert!(!counted["result"].as_array().expect("a vector").is_empty(), "it has native histograms itself");
        // The start of a counter comes as a zero at that time.
        let orders = samples(ours, "orders_total{kind=\"later\"}", "10m", until);
        let zero = orders.values().next().expect("one series").values().next().expect("its first sample").clone();
        assert_eq!(zero, "0", "{orders:?}");
        // OpenMetrics names counters without their end; the series that carries the description has it.
        let known = metadata(ours);
        let unknown: Vec<String> = metadata(theirs)
            .into_iter()
            .filter(|it| !known.contains(it) && !known.contains(&it.replacen(": ", "_total: ", 1)))
            .collect();
        assert!(unknown.is_empty(), "{unknown:#?}\nof {known:#?}");
    }
    for what in ["samples", "histograms", "exemplars", "metadata"] {
        let failed = prometheus.number(&format!("prometheus_remote_storage_{what}_failed_total"));
        assert_eq!(failed, 0.0, "{what} that were not taken");
    }
    refused_nothing(&watchbell);
}

/// A Python with OpenTelemetry's SDK; `cargo xtask test` makes it.
fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/opentelemetry/bin/python");
    must_have(&python.display().to_string(), "python3-venv, then `cargo xtask test`,");
    python
}

const SDK: &str = r#"
import sys
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View, ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
kind, temporality, endpoint = sys.argv[1:]
preferred = {it: getattr(AggregationTemporality, temporality) for it in (Counter, Histogram)}
if kind == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from grpc import Compression
    exporter = OTLPMetricExporter(endpoint=endpoint, insecure=True, compression=Compression.Gzip, preferred_temporality=preferred)
else:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http import Compression
    exporter = OTLPMetricExporter(endpoint=endpoint + "/v1/metrics", compression=Compression.Gzip, preferred_temporality=preferred)
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3600000)
resource = Resource.create({"service.name": f"shop-{kind}-{temporality}", "service.instance.id": "i-1", "host.name": "web"})
view = View(instrument_name="payload.size", aggregation=ExponentialBucketHistogramAggregation())
provider = MeterProvider(metric_readers=[reader], resource=resource, views=[view])
meter = provider.get_meter("test")
orders = meter.create_counter("orders", unit="{order}", description="Orders taken.")
queue = meter.create_up_down_counter("queue.size")
latency = meter.create_histogram("latency", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1.0])
payload = meter.create_histogram("payload.size", unit="By")
# Twice: a delta is what came since the time before.
for value, size in ((7, 1000), (5, 2000)):
    orders.add(value, {"http.method": "GET"})
    queue.add(-1)
    latency.record(0.5)
    payload.record(size)
    assert provider.force_flush(20000)
provider.shutdown()
"#;

#[test]
fn the_opentelemetry_sdk_pushes_over_http_and_grpc() {
    let python = python();
    let folder = Folder::new("opentelemetry");
    let script = folder.write("push.py", SDK);
    let watchbell = listen(&folder, SocketAddr::from((own_address(), 9800)));
    for (kind, temporality) in [("http", "CUMULATIVE"), ("grpc", "CUMULATIVE"), ("http", "DELTA"), ("grpc", "DELTA")] {
        let endpoint = format!("http://{}", watchbell.address);
        let run =
            Command::new(&python).arg(&script).args([kind, temporality, &endpoint]).output().expect("python runs");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success() && !said.contains("ailed"), "{kind}: {said}");
        let value = |expression: &str| {
            let data = asked(watchbell.address, "/api/v1/query", &[("query", expression)]);
            let value = data["result"][0]["value"][1].as_str().unwrap_or("nothing").to_owned();
            (data["result"].as_array().map_or(0, Vec::len), value)
        };
        let job = format!("job=\"shop-{kind}-{temporality}\", instance=\"i-1\"");
        for (expression, wanted) in [
            (format!("orders_total{{{job}, http_method=\"GET\"}}"), "12"),
            (format!("queue_size{{{job}}}"), "-2"),
            (format!("latency_seconds_count{{{job}}}"), "2"),
            (format!("latency_seconds_sum{{{job}}}"), "1"),
            (format!("latency_seconds_bucket{{{job}, le=\"0.1\"}}"), "0"),
            (format!("latency_seconds_bucket{{{job}, le=\"1\"}}"), "2"),
            (format!("latency_seconds_bucket{{{job}, le=\"+Inf\"}}"), "2"),
            (format!("histogram_count(payload_size_bytes{{{job}}})"), "2"),
            (format!("histogram_sum(payload_size_bytes{{{job}}})"), "3000"),
            (format!("histogram_fraction(900, 1100, payload_size_bytes{{{job}}})"), "0.5"),
            (format!("histogram_fraction(1900, 2100, payload_size_bytes{{{job}}})"), "0.5"),
            (format!("target_info{{{job}, host_name=\"web\"}}"), "1"),
        ] {
            assert_eq!(value(&expression), (1, wanted.to_owned()), "{kind}, {temporality}: {expression}");
        }
    }
    signal(watchbell.pid(), "TERM");
}
