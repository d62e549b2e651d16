//! A real Prometheus on loopback, and just enough of its protocols to fill and to ask it.
#![expect(clippy::disallowed_methods, reason = "a test beside a real process")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use watchbell_model::{Buckets, Histogram, ResetHint};

use super::data::{Item, Made};

/// How long a process may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Samples of one request.
const PER_REQUEST: usize = 5000;

pub(super) struct Peer {
    child: Child,
    folder: PathBuf,
    connection: Option<BufReader<TcpStream>>,
    address: SocketAddr,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Answers of `/metrics` of a process started for it, a few a second.
pub(super) fn scrapes_of(exporter: &Path, times: usize) -> Option<Vec<String>> {
    let address = free()?;
    let mut child = Command::new(exporter)
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let begun = Instant::now();
    let mut found = Vec::new();
    while found.len() < times && begun.elapsed() < PATIENCE {
        if let Some((200, body)) = request(&mut None, address, "GET", "/metrics", "", b"") {
            found.push(String::from_utf8_lossy(&body).into_owned());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = child.kill();
    let _ = child.wait();
    (found.len() == times).then_some(found)
}

fn free() -> Option<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()
}

impl Peer {
    /// Starts it, with everything of the language it has.
    pub(super) fn start(binary: &Path) -> Peer {
        let address = free().expect("there is a port");
        let folder = std::env::temp_dir().join(format!("watchbell-differential-{}", address.port()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        std::fs::write(folder.join("prometheus.yml"), "global: {scrape_interval: 1h}\n")
            .expect("a file can be written");
        let features = "promql-experimental-functions,promql-duration-expr,native-histograms";
        let child = Command::new(binary)
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--web.enable-remote-write-receiver", "--enable-feature", features, "--log.level=error"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).expect("a file can be written"))
            .spawn()
            .expect("the peer can be started");
        let mut peer = Peer { child, folder, connection: None, address };
        let begun = Instant::now();
        while !matches!(peer.request("GET", "/-/ready", "", b""), Some((200, _))) {
            let log = std::fs::read_to_string(peer.folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "the peer is not ready: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        peer
    }

    fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let again = self.connection.is_some();
        let answer = request(&mut self.connection, self.address, method, path, headers, body);
        if answer.is_none() && again {
            // A connection that was kept may have been closed meanwhile.
            return request(&mut self.connection, self.address, method, path, headers, body);
        }
        answer
    }

    /// What it says at a path.
    pub(super) fn get(&mut self, path: &str) -> Json {
        let (_, body) = self.request("GET", path, "", b"").expect("the peer answers");
        serde_json::from_slice(&body).unwrap_or(Json::Null)
    }

    /// Gives it everything, in order of labels, so that it numbers the series in that order.
    pub(super) fn fill(&mut self, all: &[Made]) {
        let (mut body, mut held) = (Vec::new(), 0);
        // It takes all numbers of a request before all histograms, so that those of one series go in turns.
        let kind = |(_, item): &(i64, Item)| matches!(item, Item::Histogram(_));
        let all = all.iter().flat_map(|(labels, samples)| {
            let runs = samples.chunk_by(|a, b| kind(a) == kind(b));
            let only = runs.clone().count() == 1;
            runs.map(move |run| (labels, run, only))
        });
        let all: Vec<_> = all.collect();
        for (at, (labels, samples, only)) in all.iter().enumerate() {
            let mut series = Vec::new();
            for (name, value) in labels.iter() {
                let mut pair = Vec::new();
                field(&mut pair, 1, name.as_bytes());
                field(&mut pair, 2, value.as_bytes());
                field(&mut series, 1, &pair);
            }
            for (time, item) in *samples {
                let mut one = Vec::new();
                match item {
                    Item::Number(value) => {
                        double(&mut one, 1, *value);
                        number(&mut one, 2, *time as u64);
                        field(&mut series, 2, &one);
                    }
                    Item::Histogram(histogram) => {
                        write_histogram(&mut one, histogram, *time);
                        field(&mut series, 4, &one);
                    }
                }
            }
            field(&mut body, 1, &series);
            held += samples.len();
            if held >= PER_REQUEST || !only || at + 1 == all.len() {
                let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                               X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
                let packed = snappy(&body);
                let answer = self.request("POST", "/api/v1/write", headers, &packed);
                let (status, text) = answer.expect("the peer answers");
                assert!((200..300).contains(&status), "{status}: {}", String::from_utf8_lossy(&text));
                (body, held) = (Vec::new(), 0);
            }
        }
    }
}

fn request(
    connection: &mut Option<BufReader<TcpStream>>,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Option<(u16, Vec<u8>)> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address).ok()?;
            stream.set_nodelay(true).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).ok()?;
            BufReader::new(stream)
        }
    };
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n");
    stream.get_mut().write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let (mut length, mut chunked) = (0, false);
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "transfer-encoding" => chunked = true,
            _ => {}
        }
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).ok()?;
    while chunked {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let from = answer.len();
        answer.resize(from + size + 2, 0);
        stream.read_exact(&mut answer[from..]).ok()?;
        answer.truncate(from + size);
        chunked = size > 0;
    }
    *connection = Some(stream);
    Some((status, answer))
}

/// Bytes as they go into an address.
pub(super) fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn doubles(out: &mut Vec<u8>, number: u64, values: &[f64]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    field(out, number, &bytes);
}

fn zigzag(value: i32) -> u64 {
    u64::from((value << 1 ^ value >> 31) as u32)
}

fn write_histogram(out: &mut Vec<u8>, histogram: &Histogram, time: i64) {
    double(out, 2, histogram.count);
    double(out, 3, histogram.sum);
    number(out, 4, zigzag(histogram.schema));
    double(out, 5, histogram.zero_threshold);
    double(out, 7, histogram.zero_count);
    let mut side = |spans: u64, counts: u64, buckets: &Buckets| {
        for span in &buckets.spans {
            let mut one = Vec::new();
            number(&mut one, 1, zigzag(span.offset));
            number(&mut one, 2, u64::from(span.length));
            field(out, spans, &one);
        }
        doubles(out, counts, &buckets.counts);
    };
    side(8, 10, &histogram.negative);
    side(11, 13, &histogram.positive);
    number(out, 14, if histogram.reset == ResetHint::Gauge { 3 } else { 0 });
    number(out, 15, time as u64);
    doubles(out, 16, &histogram.custom_values);
}

/// Snappy's block format, with nothing in it packed.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    varint(&mut out, bytes.len() as u64);
    for chunk in bytes.chunks(1 << 16) {
        out.push(61 << 2);
        out.extend_from_slice(&((chunk.len() - 1) as u16).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    out
}
