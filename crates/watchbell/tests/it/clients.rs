//! Real clients of Prometheus' API, unmodified: promtool, a Prometheus that reads from watchbell, one that federates; and
//! the answers of both held against each other, path by path.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use watchbell_model::{
    BucketSpan, Buckets, Histogram, HistogramSample, Labels, Metadata, MetricType, Sample, Timestamp,
};
use watchbell_wire::remote_write::{Outgoing, v1};
use watchbell_wire::snappy;

use crate::kit::{Folder, Process, own_address, wait_until};
use crate::peers::must_have;

/// A Prometheus in a folder of its own; ended by its process id.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

/// Its binaries: the installed one, and the newer one that `cargo xtask bench` and `cargo xtask test` unpack.
fn binaries() -> Vec<PathBuf> {
    must_have("/usr/bin/prometheus", "prometheus");
    let newer = newest();
    std::iter::once(PathBuf::from("/usr/bin/prometheus")).chain(newer).collect()
}

fn newest() -> Option<PathBuf> {
    unpacked("prometheus")
}

/// A binary of the newer packages below `target/peers`.
fn unpacked(name: &str) -> Option<PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers");
    let newer = peers.join(name).join("usr/bin").join(name);
    newer.exists().then_some(newer)
}

impl Prometheus {
    fn start(binary: &Path, config: &str, flags: &[&str]) -> Prometheus {
        let (folder, address) = (Folder::new("prometheus"), SocketAddr::from((own_address(), 9090)));
        let config = folder.write("prometheus.yml", config);
        let log = std::fs::File::create(folder.path().join("prometheus.log")).expect("a log");
        let child = Command::new(binary)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        let prometheus = Prometheus { child, address, _folder: folder };
        wait_until("prometheus is ready", || get(address, "/-/ready").0 == 200);
        prometheus
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A watchbell with a configuration that keeps its own numbers out of the way.
fn watchbell(folder: &Folder) -> Process {
    let config = "host: {enabled: false}\ndiscovery: {enabled: false}\npacks: []\nrule_files: [rules.yml]\n\
                  scrape_configs:\n- job_name: self\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['127.0.0.1:1']\n";
    folder.write("rules.yml", RULES);
    let config = folder.write("watchbell.yml", config);
    let address = SocketAddr::from((own_address(), 9800));
    let (config, data) = (config.display().to_string(), folder.path().join("data").display().to_string());
    Process::start(folder, &["--config", &config, "--data", &data, "--listen", &address.to_string()], &[])
}

const RULES: &str = "groups:\n- name: one\n  interval: 1s\n  rules:\n  - record: job:requests:sum\n    \
                     expr: sum  by(job) (requests_total)\n  - alert: Busy\n    expr: queue_length > 0\n    labels: {severity: info}\n    \
                     annotations: {summary: 'long: {{ $value }}'}\n";

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(now.as_millis()).expect("it is before the year 292 million") / 1000 * 1000
}

/// A body of remote write with half an hour of samples that end at a time.
fn samples(end: i64) -> Vec<u8> {
    let mut body = v1::Writer::new();
    let times = || (0..120).map(|at| Timestamp(end - 1_785_000 + at * 15_000));
    let mut series = |labels: &Labels, value: &dyn Fn(usize) -> f64| {
        let samples: Vec<Sample> =
            times().enumerate().map(|(at, timestamp)| Sample { timestamp, value: value(at) }).collect();
        body.series(&Outgoing::of(labels, &samples));
    };
    for job in ["api", "mail"] {
        for instance in ["one:1", "two:2"] {
            let labels = Labels::metric("requests_total", &[("job", job), ("instance", instance)]);
            let factor = (job.len() + instance.len()) as f64 * 0.1;
            series(&labels, &|at| (at % 100) as f64 * factor);
        }
        series(&Labels::metric("queue_length", &[("job", job)]), &|at| {
            if at % 7 == 3 { f64::NAN } else { (at as f64).cos() }
        });
    }
    series(&Labels::metric("limits", &[("job", "mail"), ("kind", "high")]), &|_| f64::INFINITY);
    let histogram = |at: usize| {
        let counts = vec![at as f64, 2.0 * at as f64, 3.0];
        let positive = Buckets { spans: vec![BucketSpan { offset: -1, length: 3 }], counts };
        let count = 3.0 * at as f64 + 4.0;
        Histogram {
            schema: 1,
            zero_threshold: 1e-3,
            zero_count: 1.0,
            count,
            sum: count * 0.7,
            positive,
            ..Histogram::default()
        }
    };
    let labels = Labels::metric("sizes", &[("job", "api")]);
    let histograms: Vec<HistogramSample> = times()
        .enumerate()
        .map(|(at, timestamp)| HistogramSample { timestamp, histogram: Arc::new(histogram(at)) })
        .collect();
    body.series(&Outgoing { histograms: &histograms, ..Outgoing::of(&labels, &[]) });
    body.metadata(
        "requests_total",
        &Metadata { kind: MetricType::Counter, unit: String::new(), help: "Requests.".into() },
    );
    snappy::compress(&body.finish())
}

fn write(to: SocketAddr, body: &[u8]) {
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    let (status, _, said) = exchange(to, "POST", "/api/v1/write", &headers, body);
    assert!((200..300).contains(&status), "{status} {}", String::from_utf8_lossy(&said));
}

fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let (status, _, body) = exchange(at, "GET", path, &[], b"");
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn json(at: SocketAddr, path: &str) -> (u16, Value) {
    let (status, body) = get(at, path);
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// One request on a connection of its own: status, head, body.
fn exchange(at: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, Vec<u8>) {
    let none = (0, String::new(), Vec::new());
    let Ok(mut stream) = TcpStream::connect_timeout(&at, Duration::from_secs(5)) else { return none };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    // Of version 1.0, so that no answer comes in chunks.
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {at}\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    let mut answer = Vec::new();
    let sent = stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(body));
    if sent.and_then(|()| stream.read_to_end(&mut answer).map(|_| ())).is_err() {
        return none;
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head, answer.split_off((end + 4).min(answer.len())))
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn promtool(binary: &Path, arguments: &[&str]) -> String {
    let output = Command::new(binary).args(arguments).output().expect("promtool starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn promtool_asks_for_all_it_can() {
    must_have("/usr/bin/promtool", "prometheus");
    let folder = Folder::new("promtool");
    let bell = watchbell(&folder);
    let end = now();
    write(bell.address, &samples(end));
    let newer = unpacked("promtool");
    for binary in [PathBuf::from("/usr/bin/promtool")].into_iter().chain(newer.clone()) {
        queries_of_promtool(&binary, bell.address, end);
    }
    // Of releases from 2.45 on.
    let Some(binary) = newer else { return };
    let url = format!("http://{}", bell.address);
    promtool(&binary, &["check", "healthy", &format!("--url={url}")]);
    promtool(&binary, &["check", "ready", &format!("--url={url}")]);
    let pushed = folder.write("pushed.prom", "# TYPE pushed_total counter\npushed_total{way=\"promtool\"} 7\n");
    promtool(&binary, &["push", "metrics", &format!("{url}/api/v1/write"), &pushed.display().to_string()]);
    let (_, found) = json(bell.address, "/api/v1/query?query=pushed_total");
    assert_eq!(found["data"]["result"][0]["value"][1], "7", "{found}");
}

fn queries_of_promtool(binary: &Path, bell: SocketAddr, end: i64) {
    let (url, at) = (format!("http://{bell}"), (end / 1000).to_string());
    let start = (end / 1000 - 600).to_string();
    for query in ["requests_total", "sum by (job) (rate(requests_total[5m]))", "limits", "queue_length > 0"] {
        let said = promtool(binary, &["query", "-o", "json", "instant", "--time", &at, &url, query]);
        let (status, ours) = json(bell, &format!("/api/v1/query?query={}&time={at}", escape(query)));
        assert_eq!(status, 200, "{ours}");
        assert_eq!(serde_json::from_str::<Value>(&said).expect("JSON"), ours["data"]["result"], "{query}");
        let range = ["query", "-o", "json", "range", "--start", &start, "--end", &at, "--step", "30s", &url, query];
        let said = promtool(binary, &range);
        let path = format!("/api/v1/query_range?query={}&start={start}&end={at}&step=30", escape(query));
        let (_, ours) = json(bell, &path);
        assert_eq!(serde_json::from_str::<Value>(&said).expect("JSON"), ours["data"]["result"], "{query}");
    }
    let text = promtool(binary, &["query", "instant", "--time", &at, &url, "sum(requests_total)"]);
    assert!(text.starts_with("{} => ") && text.contains(&format!("@[{at}")), "{text}");

    let (start, all) = (format!("--start={start}"), promtool(binary, &["query", "labels", &url, "job"]));
    assert_eq!(all.lines().collect::<Vec<_>>()[..2], ["api", "mail"]);
    let series = promtool(binary, &["query", "series", "--match=requests_total{job=\"api\"}", &start, &url]);
    let lines: BTreeSet<&str> = series.lines().collect();
    let one = |instance: &str| format!("{{__name__=\"requests_total\", instance=\"{instance}\", job=\"api\"}}");
    assert_eq!(lines, BTreeSet::from([one("one:1").as_str(), one("two:2").as_str()]));
    let refused = Command::new(binary).args(["query", "instant", &url, "sum("]).output().expect("it starts");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("parse error"), "{said}");
}

#[test]
fn a_real_prometheus_reads_from_watchbell() {
    let folder = Folder::new("remote-read");
    let bell = watchbell(&folder);
    let end = now();
    write(bell.address, &samples(end));
    // The installed one asks for samples, the newer one for chunks.
    for binary in binaries() {
        let config = format!("remote_read:\n- url: http://{}/api/v1/read\n  read_recent: true\n", bell.address);
        let prometheus = Prometheus::start(&binary, &config, &["--enable-feature=native-histograms"]);
        let (start, end) = (end / 1000 - 1500, end / 1000);
        for query in [
            "requests_total",
            "queue_length",
            "limits",
            "sum by (job) (requests_total)",
            "sizes",
            "histogram_count(sizes)",
        ] {
            // Releases before 2.45 read no histograms from afar.
            if query.contains("sizes") && binary.starts_with("/usr") {
                continue;
            }
            let path = format!("/api/v1/query_range?query={}&start={start}&end={end}&step=45", escape(query));
            let ((status, theirs), (_, ours)) = (json(prometheus.address, &path), json(bell.address, &path));
            assert_eq!(status, 200, "{theirs}");
            assert!(theirs["data"]["result"].as_array().is_some_and(|all| !all.is_empty()), "{query}: {theirs}");
            assert_eq!(
                sorted(&theirs["data"]["result"]),
                sorted(&ours["data"]["result"]),
                "{query} by {}",
                binary.display()
            );
        }
        let path = "/api/v1/series?match[]=requests_total";
        assert_eq!(sorted(&json(prometheus.address, path).1["data"]), sorted(&json(bell.address, path).1["data"]));
    }
}

/// Lists in an order of their own come in any.
fn sorted(list: &Value) -> Vec<String> {
    let mut all: Vec<String> = list.as_array().into_iter().flatten().map(Value::to_string).collect();
    all.sort();
    all
}

#[test]
fn a_real_prometheus_federates_from_watchbell() {
    let folder = Folder::new("federate");
    let bell = watchbell(&folder);
    let end = now();
    write(bell.address, &samples(end));
    for binary in binaries() {
        let config = format!(
            "scrape_configs:\n- job_name: federate\n  scrape_interval: 1s\n  honor_labels: true\n  metrics_path: /federate\n  \
             params: {{'match[]': ['{{job=~\"api|mail\"}}', 'limits']}}\n  static_configs:\n  - targets: ['{}']\n",
            bell.address
        );
        // Histograms come by protobuf, which a Prometheus asks for with this.
        let prometheus = Prometheus::start(&binary, &config, &["--enable-feature=native-histograms"]);
        let query = "{__name__=~\"requests_total|queue_length|limits|sizes\"}";
        let path = format!("/api/v1/query?query={}&time={}", escape(query), end / 1000);
        let (_, ours) = json(bell.address, &path);
        let ours = sorted(&ours["data"]["result"]);
        assert_eq!(ours.len(), 8);
        wait_until("it has federated", || sorted(&json(prometheus.address, &path).1["data"]["result"]) == ours);
    }
}

/// How two answers differ in shape: the fields of objects, and the types of values. Of lists the first items are looked
/// at.
fn differences(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let free =
                ["labels", "metric", "discoveredLabels", "annotations", "flags", "droppedTargetCounts", "features"];
            if free.iter().any(|name| path.ends_with(name)) {
                return;
            }
            for name in a.keys().filter(|name| !b.contains_key(*name)) {
                found.push(format!("{path}.{name} is missing"));
            }
            for name in b.keys().filter(|name| !a.contains_key(*name)) {
                found.push(format!("{path}.{name} is too much"));
            }
            for (name, value) in a {
                if let Some(other) = b.get(name) {
                    differences(&format!("{path}.{name}"), value, other, found);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if let (Some(a), Some(b)) = (a.first(), b.first()) {
                differences(&format!("{path}[0]"), a, b, found);
            }
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, Value::Null) => {}
        (theirs, ours) => found.push(format!("{path} is {ours:.40} in place of {theirs:.40}")),
    }
}

#[test]
fn answers_have_the_shape_of_prometheus() {
    let Some(binary) = newest() else {
        eprintln!("no newer Prometheus below target/peers (`cargo xtask test` fetches it): nothing is held against it");
        return;
    };
    let folder = Folder::new("shapes");
    let bell = watchbell(&folder);
    let rules = folder.path().join("rules.yml").display().to_string();
    let config = format!(
        "rule_files: ['{rules}']\nscrape_configs:\n- job_name: self\n  scrape_interval: 1s\n  static_configs:\n  \
         - targets: ['127.0.0.1:1']\n"
    );
    let flags = ["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"];
    let prometheus = Prometheus::start(&binary, &config, &flags);
    let end = now();
    let body = samples(end);
    write(bell.address, &body);
    write(prometheus.address, &body);
    let (start, at) = (end / 1000 - 600, end / 1000);
    wait_until("both have judged", || {
        [prometheus.address, bell.address].iter().all(|address| get(*address, "/api/v1/alerts").1.contains("Busy"))
    });

    // The same data: the same answers, to the last digit.
    let range = format!("&start={start}&end={at}&step=20");
    let instant = format!("&time={at}");
    let mut same = Vec::new();
    for query in [
        "requests_total",
        "sizes",
        "sum by (job) (rate(requests_total[5m]))",
        "limits",
        "1",
        "\"a\"",
        "requests_total[1m]",
    ] {
        same.push(format!("/api/v1/query?query={}{instant}", escape(query)));
    }
    for query in [
        "requests_total",
        "queue_length",
        "histogram_quantile(0.9, rate(sizes[5m]))",
        "avg(queue_length)",
        "rate(queue_length[1m])",
    ] {
        same.push(format!("/api/v1/query_range?query={}{range}", escape(query)));
    }
    let expressions = [
        "sum by (job) (rate(requests_total{job=~\"a.*\"}[5m] offset 1m)) > bool on (job) group_left (x) topk(2, up @ 10)",
        "-max_over_time((up + 1)[1h:30s] @ end()) and ignoring (a) round(up, 2) or vector(-5)",
        "label_join(up, \"a\", \"b\", \"c\", \"d\") unless absent(nothing) ^ 2",
        "histogram_quantile(0.9, sum without (instance) (rate(http_request_duration_seconds_bucket{job=\"api\", handler=~\"/api/.*\"}[5m]))) / 1e10",
        "count_values(\"v\", {__name__=~\"a.*b\"}) + hour() - time() % pi()",
    ];
    for expression in expressions {
        same.push(format!("/api/v1/format_query?query={}", escape(expression)));
    }
    same.extend([
        "/api/v1/series?match[]=requests_total".to_owned(),
        "/api/v1/series?match[]=requests_total&limit=1".to_owned(),
        "/api/v1/label/job/values?match[]=requests_total".to_owned(),
        "/api/v1/labels?match[]=requests_total".to_owned(),
        "/api/v1/labels?match[]=requests_total&limit=1".to_owned(),
    ]);
    let mut found = Vec::new();
    for path in &same {
        let ((status, mut theirs), (ours_status, mut ours)) =
            (json(prometheus.address, path), json(bell.address, path));
        sort(&mut theirs);
        sort(&mut ours);
        if (status, &theirs) != (ours_status, &ours) {
            found.push(format!("{path}\n  {status} {theirs:.1000}\n  {ours_status} {ours:.1000}"));
        }
    }

    // The tree grew a field since.
    for expression in expressions {
        let path = format!("/api/v1/parse_query?query={}", escape(expression));
        let (theirs, mut ours) = (json(prometheus.address, &path).1, json(bell.address, &path).1);
        without_newer_fields(&mut ours, &theirs);
        if theirs != ours {
            found.push(format!("{path}\n  {theirs}\n  {ours}"));
        }
    }

    // Data of their own: the same fields and types.
    let alike = [
        "/api/v1/rules",
        "/api/v1/rules?type=alert",
        "/api/v1/rules?exclude_alerts=true&type=alert",
        "/api/v1/rules?group_limit=1",
        "/api/v1/alerts",
        "/api/v1/targets",
        "/api/v1/targets?state=dropped",
        "/api/v1/scrape_pools",
        "/api/v1/targets/metadata",
        "/api/v1/alertmanagers",
        "/api/v1/status/config",
        "/api/v1/status/flags",
        "/api/v1/status/runtimeinfo",
        "/api/v1/status/buildinfo",
        "/api/v1/status/tsdb",
        "/api/v1/status/walreplay",
        "/api/v1/notifications",
        "/api/v1/query_exemplars?query=up&start=0&end=1",
        "/api/v1/query?query=up&stats=all",
    ];
    for path in alike {
        let ((status, theirs), (ours_status, ours)) = (json(prometheus.address, path), json(bell.address, path));
        if status != ours_status {
            found.push(format!("{path}: {ours_status} in place of {status}: {ours}"));
        }
        let mut here = Vec::new();
        differences("", &theirs, &ours, &mut here);
        // Fields that came later, or that a feature flag adds there; each has flags of its own.
        let newer = [".samplesRead is too much", ".totalQueryableSamplesPerStep is too much", "[0].labels is too much"];
        here.retain(|words| !path.ends_with("/flags") && !newer.iter().any(|newer| words.ends_with(newer)));
        found.extend(here.into_iter().map(|words| format!("{path}: {words}")));
    }

    // What makes no sense is refused with the same status, error type and words; the parser's words are its own.
    let refused = [
        "/api/v1/query?query=sum(",
        "/api/v1/query?query=1&time=x",
        "/api/v1/query?query=1&timeout=x",
        "/api/v1/query?query=1&limit=x",
        "/api/v1/query?query=1&limit=-1",
        "/api/v1/query_range?query=1&start=2&end=1&step=1",
        "/api/v1/query_range?query=1&end=1&step=1",
        "/api/v1/query_range?query=1&start=0&end=1&step=0",
        "/api/v1/query_range?query=1&start=0&end=1",
        "/api/v1/query_range?query=1&start=0&end=99999&step=1",
        "/api/v1/query_range?query=up[5m]&start=0&end=1&step=1",
        "/api/v1/series",
        "/api/v1/series?match[]={job=~%22.*%22}",
        "/api/v1/series?match[]=up&start=x",
        "/api/v1/labels?limit=x",
        "/api/v1/label/a/values?match[]=up{",
        "/api/v1/rules?type=x",
        "/api/v1/rules?exclude_alerts=x",
        "/api/v1/rules?group_limit=x",
        "/api/v1/rules?group_limit=-1",
        "/api/v1/rules?group_next_token=x",
        "/api/v1/rules?group_limit=1&group_next_token=x",
        "/api/v1/metadata?limit=x",
        "/api/v1/targets/metadata?limit=x",
        "/api/v1/query_exemplars?query=up&start=2&end=1",
        "/api/v1/query?query=1&lookback_delta=x",
        "/api/v1/query?query=requests_total%2Bon(x)requests_total",
        "/api/v1/rules/test/test",
        "/api/v1/status/tsdb?limit=x",
        "/api/v1/format_query?query=(",
        "/api/v1/status/tsdb?limit=0",
    ];
    for path in refused {
        let ((status, theirs), (ours_status, ours)) = (json(prometheus.address, path), json(bell.address, path));
        let of_the_parser = theirs["error"].as_str().is_some_and(|words| words.contains("parse error"));
        let fits = status == ours_status
            && theirs["errorType"] == ours["errorType"]
            && (of_the_parser || theirs["error"] == ours["error"] || path.contains("%2Bon(x)"));
        if !fits {
            found.push(format!("{path}\n  {status} {theirs}\n  {ours_status} {ours}"));
        }
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// Puts series into one order: Prometheus has that in which it met them.
fn sort(answer: &mut Value) {
    if !answer["data"].is_array() && !answer["data"].is_object() {
        return;
    }
    let result = if answer["data"].is_array() { &mut answer["data"] } else { &mut answer["data"]["result"] };
    if let Value::Array(series) = result
        && series.iter().any(Value::is_object)
    {
        series.sort_by_key(Value::to_string);
    }
}

/// Takes fields away that only our tree has.
fn without_newer_fields(ours: &mut Value, theirs: &Value) {
    const NEWER: [&str; 6] = ["rangeExpr", "offsetExpr", "stepExpr", "anchored", "smoothed", "fillValues"];
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.retain(|name, _| theirs.contains_key(name) || !NEWER.contains(&name.as_str()));
            for (name, value) in ours.iter_mut() {
                without_newer_fields(value, theirs.get(name).unwrap_or(&Value::Null));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| without_newer_fields(ours, theirs));
        }
        _ => {}
    }
}

/// What Grafana's data source for Prometheus sends, with what it needs to find in the answers.
#[test]
fn grafana_finds_what_it_asks_for() {
    let folder = Folder::new("grafana");
    let bell = watchbell(&folder);
    let end = now();
    write(bell.address, &samples(end));
    let (start, at) = (end / 1000 - 600, end / 1000);
    let form =
        [("Content-Type", "application/x-www-form-urlencoded"), ("Accept-Encoding", "gzip"), ("X-Grafana-Org-Id", "1")];
    let post = |path: &str, body: String| {
        let (status, head, body) = exchange(bell.address, "POST", path, &form, body.as_bytes());
        let body = if head.contains("content-encoding: gzip") { gunzip(&body) } else { body };
        (status, serde_json::from_slice::<Value>(&body).expect("JSON"))
    };
    // Saving the data source: a query, then what it is.
    let (status, answer) = post("/api/v1/query", format!("query=1%2B1&time={at}"));
    assert_eq!((status, &answer["data"]["result"][1]), (200, &Value::from("2")));
    let (_, build) = json(bell.address, "/api/v1/status/buildinfo");
    assert!(build["data"]["version"].as_str().is_some_and(|version| version.starts_with("3.")));
    assert!(build["data"].get("application").is_none(), "else Grafana takes it for Mimir");
    assert_eq!(get(bell.address, "/api/v1/rules/test/test"), (404, "404 page not found\n".to_owned()));
    // The query builder: metrics with their help, labels and values of a metric.
    let (_, metadata) = json(bell.address, "/api/v1/metadata?limit_per_metric=1");
    assert_eq!(metadata["data"]["requests_total"][0]["type"], "counter");
    let (_, names) = json(bell.address, &format!("/api/v1/label/__name__/values?start={start}&end={at}&limit=40000"));
    assert!(names["data"].as_array().is_some_and(|names| names.contains(&"requests_total".into())));
    let (_, labels) = post("/api/v1/labels", format!("start={start}&end={at}&match%5B%5D=requests_total&limit=40000"));
    assert_eq!(labels["data"], serde_json::json!(["__name__", "instance", "job"]));
    let (_, series) = post("/api/v1/series", format!("start={start}&end={at}&match%5B%5D=requests_total&limit=40000"));
    assert_eq!(series["data"].as_array().map(Vec::len), Some(4));
    // Panels and explore.
    let query = escape("rate(requests_total{job=\"api\"}[1m])");
    let (status, range) =
        post("/api/v1/query_range", format!("query={query}&start={start}.123&end={at}.5&step=15&timeout=60s"));
    assert_eq!((status, &range["data"]["resultType"]), (200, &Value::from("matrix")));
    let (_, exemplars) = post("/api/v1/query_exemplars", format!("query={query}&start={start}&end={at}"));
    assert_eq!(exemplars["data"], serde_json::json!([]));
    // Alerting: the list of rules, as it pages through them.
    wait_until("rules are judged", || {
        json(bell.address, "/api/v1/rules").1["data"]["groups"][0]["rules"][1]["health"] == "ok"
    });
    let (_, rules) = json(bell.address, "/api/v1/rules?group_limit=10&exclude_alerts=false");
    let rule = &rules["data"]["groups"][0]["rules"][0];
    assert_eq!((&rule["type"], &rule["query"]), (&"recording".into(), &"sum by (job) (requests_total)".into()));
    assert_eq!(get(bell.address, "/prometheus/api/v1/status/buildinfo").0, 200);
}

fn gunzip(body: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    child.stdin.take().expect("it is piped").write_all(body).expect("it reads");
    child.wait_with_output().expect("it ends").stdout
}

/// A client that hangs up stops its query: the next one has its turn.
#[test]
fn a_query_ends_with_its_client() {
    let folder = Folder::new("hang-up");
    let bell = watchbell(&folder);
    let end = now();
    write(bell.address, &samples(end));
    let heavy = escape("sum_over_time(max_over_time(requests_total[25m:1s])[25m:1s])");
    let path = format!("/api/v1/query_range?query={heavy}&start={}&end={}&step=1", end / 1000 - 9000, end / 1000);
    for _ in 0..40 {
        let mut stream = TcpStream::connect(bell.address).expect("it listens");
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", bell.address).as_bytes())
            .expect("it reads");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (status, answer) = json(bell.address, &format!("{path}&timeout=1ms"));
    let words = ("timeout".into(), "query timed out in".into());
    let said = answer["error"].as_str().unwrap_or_default().split(" query queue").next().unwrap_or_default();
    let said = said.split(" expression evaluation").next().unwrap_or_default();
    assert_eq!((status, (answer["errorType"].clone(), Value::from(said))), (503, words));
    // Each of those would take far longer than anybody waits; there are more of them than turns.
    let (status, answer) = json(bell.address, "/api/v1/query?query=1%2B1");
    assert_eq!((status, &answer["data"]["result"][1]), (200, &Value::from("2")));
    wait_until("all of them are counted as ended", || {
        let (_, metrics) = get(bell.address, "/metrics");
        metrics.contains("watchbell_queries_running 0")
    });
}

#[test]
fn watchbell_query_asks_it() {
    let folder = Folder::new("query");
    let bell = watchbell(&folder);
    let end = now();
    write(bell.address, &samples(end));
    let url = format!("http://{}", bell.address);
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
            .arg("query")
            .args(arguments)
            .args(["--url", &url])
            .output()
            .expect("it starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let at = (end / 1000).to_string();
    let (code, said, _) = run(&["instant", "requests_total{job=\"api\"}", "--time", &at]);
    assert_eq!(code, Some(0));
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.starts_with("requests_total{instance=\"one:1\", job=\"api\"}  "), "{said}");
    let (_, said, _) = run(&["labels", "job", "--match", "requests_total"]);
    assert_eq!(said, "api\nmail\n");
    let (_, said, _) = run(&["series", "limits", "--output", "json"]);
    assert_eq!(said, "[{\"__name__\":\"limits\",\"job\":\"mail\",\"kind\":\"high\"}]\n");
    let (_, said, _) = run(&["range", "sum(requests_total)", "--start", "20m", "--end", &at]);
    assert!(said.contains('█') && said.contains("greatest"), "{said}");
    let (code, _, said) = run(&["instant", "sum("]);
    assert_eq!(code, Some(1));
    assert!(said.contains("parse error"), "{said}");
}
