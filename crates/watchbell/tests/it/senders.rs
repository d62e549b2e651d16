//! Real senders of metrics from Debian's packages, and what they and we say of the same samples.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::kit::{Folder, request, signal, wait_until};

/// Which Prometheus.
pub struct Release {
    pub binary: PathBuf,
    /// Whether it sends remote write 2.0.
    pub sends_v2: bool,
}

impl Release {
    /// The one Debian installs, which sends 1.0.
    pub fn installed() -> Release {
        crate::peers::must_have("/usr/bin/prometheus", "prometheus");
        Release { binary: "/usr/bin/prometheus".into(), sends_v2: false }
    }

    /// The newer one that `cargo xtask test` unpacks; where it could not, the installed one.
    pub fn newest() -> Release {
        let newer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/prometheus/usr/bin/prometheus");
        if newer.exists() {
            return Release { binary: newer, sends_v2: true };
        }
        eprintln!("no newer Prometheus below target/peers (`cargo xtask test` fetches it): 1.0 is sent, not 2.0");
        Release::installed()
    }
}

/// Prometheus in a folder of its own; ended by its process id.
pub struct Prometheus {
    child: Child,
    pub address: SocketAddr,
}

impl Prometheus {
    pub fn start(release: &Release, folder: &Folder, at: SocketAddr, config: &str, arguments: &[&str]) -> Prometheus {
        let config = folder.write("prometheus.yml", config);
        let log = std::fs::File::create(folder.path().join("prometheus.log")).expect("a log");
        let child = Command::new(&release.binary)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={at}"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        let prometheus = Prometheus { child, address: at };
        wait_until("prometheus listens", || TcpStream::connect(at).is_ok());
        prometheus
    }

    /// The sum of one of its own metrics over all its series.
    pub fn number(&self, name: &str) -> f64 {
        let (_, text) = request(self.address, "GET", "/metrics", &[], "").unwrap_or_default();
        let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        text.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn has_sent(&self, samples: f64) -> bool {
        self.number("prometheus_remote_storage_samples_total") > samples
    }

    /// As `systemctl stop`: it writes down what it has.
    pub fn stop(mut self) {
        signal(self.child.id(), "TERM");
        wait_until("prometheus ends", || self.child.try_wait().ok().flatten().is_some());
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Exporter(Child);

impl Exporter {
    pub fn start(at: SocketAddr) -> Exporter {
        crate::peers::must_have("/usr/bin/prometheus-node-exporter", "prometheus-node-exporter");
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
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What an address of Prometheus' API answers, on either side: its `data`.
pub fn asked(address: SocketAddr, path: &str, parameters: &[(&str, &str)]) -> Value {
    let encoded = |text: &str| -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.';
        text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let path = format!("{path}?{}", pairs.join("&"));
    let (status, body) = request(address, "GET", &path, &[], "").expect("it answers");
    assert_eq!(status, 200, "{path}: {body:.500}");
    // Without `Transfer-Encoding` of its own a long answer may come in chunks.
    let json = if serde_json::from_str::<Value>(&body).is_ok() { body } else { unchunked(&body) };
    let mut answer: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json:.300}"));
    answer["data"].take()
}

/// By series: times, and values or histograms as they are written.
pub type Samples = BTreeMap<String, BTreeMap<String, String>>;

/// Raw samples of the last `window`.
pub fn samples(address: SocketAddr, selector: &str, window: &str, at: f64) -> Samples {
    let query = format!("{selector}[{window}]");
    let answer = asked(address, "/api/v1/query", &[("query", &query), ("time", &at.to_string())]);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs = |list: &Value| -> Vec<(String, String)> {
        list.as_array().into_iter().flatten().map(|pair| (pair[0].to_string(), text(&pair[1]))).collect()
    };
    let series = answer["result"].as_array().expect("a matrix").iter();
    series
        .map(|it| {
            let all = pairs(&it["values"]).into_iter().chain(pairs(&it["histograms"]));
            (it["metric"].to_string(), all.collect())
        })
        .collect()
}

pub fn count(all: &Samples) -> usize {
    all.values().map(BTreeMap::len).sum()
}

/// What `theirs` has and `ours` has not, or has otherwise.
pub fn missing(theirs: &Samples, ours: &Samples) -> Vec<String> {
    let mut missing = Vec::new();
    for (labels, values) in theirs {
        let have = ours.get(labels);
        for (time, value) in values {
            let found = have.and_then(|have| have.get(time));
            if found != Some(value) {
                missing.push(format!("{labels} at {time}: {value}, here {found:?}"));
            }
        }
    }
    missing
}

/// The content of a body in chunks.
fn unchunked(body: &str) -> String {
    let (mut rest, mut out) = (body.as_bytes(), Vec::new());
    while let Some(end) = rest.windows(2).position(|it| it == b"\r\n") {
        let length = std::str::from_utf8(&rest[..end]).ok().and_then(|it| usize::from_str_radix(it.trim(), 16).ok());
        let tail = &rest[end + 2..];
        let Some(chunk) = length.filter(|it| *it > 0).and_then(|length| tail.get(..length)) else { break };
        out.extend_from_slice(chunk);
        rest = tail.get(chunk.len() + 2..).unwrap_or_default();
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Now, in whole seconds since 1970.
pub fn now() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    now.as_secs_f64().floor()
}
