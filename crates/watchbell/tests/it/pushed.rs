//! Metrics pushed by the real senders: Prometheus' remote write and OpenTelemetry's SDK.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::kit::{Folder, Process, own_address, request, signal, wait_until};
use crate::peers::must_have;

/// Prometheus from Debian's package, in a folder of its own; ended by its process id.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes itself and the exporter, and writes on to `to`.
    fn start(folder: &Folder, at: SocketAddr, exporter: SocketAddr, to: SocketAddr) -> Prometheus {
        let config = folder.write(
            "prometheus.yml",
            &format!(
                "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: prometheus\n    static_configs:\n      \
                 - targets: ['{at}']\n  - job_name: node\n    static_configs:\n      - targets: ['{exporter}']\n\
                 remote_write:\n  - url: http://{to}/api/v1/write\n    send_exemplars: true\n    queue_config:\n      \
                 batch_send_deadline: 200ms\n      max_backoff: 200ms\n"
            ),
        );
        let log = std::fs::File::create(folder.path().join("prometheus.log")).expect("a log");
        let child = Command::new("/usr/bin/prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={at}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        let prometheus = Prometheus { child, address: at };
        wait_until("prometheus listens", || TcpStream::connect(at).is_ok());
        prometheus
    }

    fn is_sending(&self, samples: f64) -> bool {
        let (_, text) = request(self.address, "GET", "/metrics", &[], "").unwrap_or_default();
        let sent = text.lines().find(|line| line.starts_with("prometheus_remote_storage_samples_total{"));
        sent.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).is_some_and(|sent| sent > samples)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.child.id().to_string()]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

struct Exporter(Child);

impl Exporter {
    fn start(at: SocketAddr) -> Exporter {
        let child = Command::new("/usr/bin/prometheus-node-exporter")
            .arg(format!("--web.listen-address={at}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the exporter starts");
        wait_until("the exporter listens", || TcpStream::connect(at).is_ok());
        Exporter(child)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0.id().to_string()]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// Raw samples of the last minutes, by series: times and values as they are written.
fn samples(address: SocketAddr, selector: &str, at: f64) -> BTreeMap<String, BTreeMap<String, String>> {
    let query: String = format!("{selector}[10m]")
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let (status, body) =
        request(address, "GET", &format!("/api/v1/query?query={query}&time={at}"), &[], "").expect("it answers");
    assert_eq!(status, 200, "{body}");
    // Without `Transfer-Encoding` of its own a long answer may come in chunks.
    let json = body.find('{').map(|from| &body[from..]).unwrap_or_default();
    let json: String = if serde_json::from_str::<Value>(json).is_ok() { json.to_owned() } else { unchunked(&body) };
    let answer: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {body:.300}"));
    let series = answer["data"]["result"].as_array().expect("a matrix");
    series
        .iter()
        .map(|series| {
            let labels = series["metric"].to_string();
            let pair = |pair: &Value| (pair[0].to_string(), pair[1].as_str().unwrap_or_default().to_owned());
            (labels, series["values"].as_array().into_iter().flatten().map(pair).collect())
        })
        .collect()
}

/// The content of a body in chunks.
fn unchunked(body: &str) -> String {
    let (mut rest, mut out) = (body, String::new());
    while let Some((length, tail)) = rest.split_once("\r\n") {
        let Ok(length) = usize::from_str_radix(length.trim(), 16) else { break };
        if length == 0 || length > tail.len() {
            break;
        }
        out.push_str(&tail[..length]);
        rest = tail[length..].trim_start_matches("\r\n");
    }
    out
}

fn listen(folder: &Folder, address: SocketAddr) -> Process {
    let data = folder.path().join("data").display().to_string();
    Process::start(folder, &["--data", &data, "--listen", &address.to_string()], &[])
}

#[test]
fn everything_that_prometheus_has_is_here_too_whatever_happens_to_us() {
    must_have("/usr/bin/prometheus", "prometheus");
    must_have("/usr/bin/prometheus-node-exporter", "prometheus-node-exporter");
    let folder = Folder::new("pushed");
    let at = |port| SocketAddr::from((own_address(), port));
    let (ours, theirs, exporter) = (at(9800), at(9090), at(9100));
    let watchbell = listen(&folder, ours);
    let _exporter = Exporter::start(exporter);
    let prometheus = Prometheus::start(&folder, theirs, exporter, ours);
    wait_until("prometheus has sent something", || prometheus.is_sending(5_000.0));
    watchbell.kill();
    // It is away for a while, and comes back without having said goodbye.
    let (_, text) = request(theirs, "GET", "/metrics", &[], "").unwrap();
    assert!(text.contains("prometheus_remote_storage_samples_total"), "{text:.200}");
    let watchbell = listen(&folder, ours);
    wait_until("prometheus sends again", || prometheus.is_sending(12_000.0));
    assert_eq!(watchbell.stop(), Some(0));
    let watchbell = listen(&folder, ours);
    wait_until("prometheus still sends", || prometheus.is_sending(20_000.0));

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let (selector, until) = ("{job=~\"node|prometheus\"}", now.floor());
    let theirs = samples(theirs, selector, until);
    let count = |all: &BTreeMap<String, BTreeMap<String, String>>| all.values().map(BTreeMap::len).sum::<usize>();
    assert!(count(&theirs) > 10_000, "{} samples are too few to say anything", count(&theirs));
    wait_until("all of it is here", || samples(ours, selector, until).len() >= theirs.len());
    wait_until("every sample is here", || {
        let ours = samples(ours, selector, until);
        theirs.iter().all(|(labels, values)| {
            ours.get(labels).is_some_and(|have| values.iter().all(|(time, value)| have.get(time) == Some(value)))
        })
    });
    drop(prometheus);
    let (_, metrics) = watchbell.get("/metrics");
    let refused = metrics.lines().find(|line| {
        line.starts_with("watchbell_pushed_samples_total{") && line.contains("refused") && line.contains("remote_write")
    });
    assert!(refused.is_none_or(|line| line.ends_with(" 0")), "{refused:?}");
}

/// A Python with OpenTelemetry's SDK; `cargo xtask test` makes it.
fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/opentelemetry/bin/python");
    must_have(&python.display().to_string(), "python3-venv, then `cargo xtask test`,");
    python
}

const SDK: &str = r#"
import sys
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View, ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
kind, endpoint = sys.argv[1:]
if kind == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from grpc import Compression
    exporter = OTLPMetricExporter(endpoint=endpoint, insecure=True, compression=Compression.Gzip)
else:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http import Compression
    exporter = OTLPMetricExporter(endpoint=endpoint + "/v1/metrics", compression=Compression.Gzip)
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3600000)
resource = Resource.create({"service.name": "shop-" + kind, "service.instance.id": "i-1", "host.name": "web"})
view = View(instrument_name="payload.size", aggregation=ExponentialBucketHistogramAggregation())
provider = MeterProvider(metric_readers=[reader], resource=resource, views=[view])
meter = provider.get_meter("test")
meter.create_counter("orders", unit="{order}", description="Orders taken.").add(7, {"http.method": "GET"})
meter.create_up_down_counter("queue.size").add(-3)
meter.create_histogram("latency", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1.0]).record(0.5)
meter.create_histogram("payload.size", unit="By").record(1000)
assert provider.force_flush(20000)
provider.shutdown()
"#;

#[test]
fn the_opentelemetry_sdk_pushes_over_http_and_grpc() {
    let python = python();
    let folder = Folder::new("opentelemetry");
    let script = folder.write("push.py", SDK);
    let watchbell = listen(&folder, SocketAddr::from((own_address(), 9800)));
    for kind in ["http", "grpc"] {
        let endpoint = format!("http://{}", watchbell.address);
        let run = Command::new(&python).arg(&script).args([kind, &endpoint]).output().expect("python runs");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success() && !said.contains("ailed"), "{kind}: {said}");
        let value = |expression: &str| {
            let query: String = expression.bytes().map(|b| format!("%{b:02X}")).collect();
            let (_, body) = watchbell.get(&format!("/api/v1/query?query={query}"));
            let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
            let result = &answer["data"]["result"];
            let value = result[0]["value"][1].as_str().unwrap_or("nothing").to_owned();
            (result.as_array().map_or(0, Vec::len), value)
        };
        let job = format!("job=\"shop-{kind}\", instance=\"i-1\"");
        for (expression, wanted) in [
            (format!("orders_total{{{job}, http_method=\"GET\"}}"), "7"),
            (format!("queue_size{{{job}}}"), "-3"),
            (format!("latency_seconds_count{{{job}}}"), "1"),
            (format!("latency_seconds_bucket{{{job}, le=\"0.1\"}}"), "0"),
            (format!("latency_seconds_bucket{{{job}, le=\"1\"}}"), "1"),
            (format!("latency_seconds_bucket{{{job}, le=\"+Inf\"}}"), "1"),
            (format!("target_info{{{job}, host_name=\"web\"}}"), "1"),
        ] {
            assert_eq!(value(&expression), (1, wanted.to_owned()), "{kind}: {expression}");
        }
    }
    signal(watchbell.pid(), "TERM");
}
