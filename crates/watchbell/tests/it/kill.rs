//! `kill -9` of the real binary under remote write, round after round: every acknowledged sample is there afterwards.
//!
//! Under every policy: a killed process leaves the kernel what it wrote. What power loss costs is played on the
//! simulated disk (`watchbell-store`, `soak`). `cargo xtask kill-loop` runs 200 rounds of each policy on the release build.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use watchbell_model::{Labels, Sample, Timestamp};
use watchbell_wire::remote_write::{Outgoing, v1};
use watchbell_wire::snappy;

use crate::kit::{Folder, PATIENCE, Process};

/// Rounds of each policy in a run of the tests.
const ROUNDS: usize = 10;
/// Every so many rounds one lasts until samples go into blocks.
const LONG: usize = 20;
const WRITERS: u64 = 3;
const SERIES: u64 = 10;
const SAMPLES: u64 = 5;

#[test]
fn under_fsync_always_a_killed_process_loses_nothing() {
    kill_loop("always");
}

#[test]
fn under_fsync_interval_a_killed_process_loses_nothing() {
    kill_loop("interval");
}

/// Samples by series and time, with whether they were acknowledged.
type Sent = BTreeMap<(String, i64), (f64, bool)>;

fn kill_loop(policy: &str) {
    let rounds = std::env::var("WATCHBELL_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let folder = Folder::new("kill");
    folder.write(
        "watchbell.yml",
        &format!(
            "storage: {{metrics: {{fsync: {policy}}}}}\nhost: {{enabled: false}}\ndiscovery: {{enabled: false}}\npacks: []\n"
        ),
    );
    let (mut history, mut random, mut acknowledged) = (Vec::new(), 0x5eed_u64, 0);
    for round in 0..rounds {
        let process = start(&folder);
        if let Some((from, to, sent)) = history.last() {
            check(&process, *from, *to, sent, round);
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = (random >> 33) % 250 + if round % LONG == LONG - 1 { 9_900 } else { 10 };
        let (address, from) = (process.address, now());
        let sent = std::thread::scope(|scope| {
            let writers: Vec<_> =
                (0..WRITERS).map(|writer| scope.spawn(move || write(address, writer, round, from))).collect();
            std::thread::sleep(Duration::from_millis(wait));
            process.kill();
            let mut sent = Sent::new();
            writers.into_iter().for_each(|writer| sent.extend(writer.join().expect("a writer")));
            sent
        });
        acknowledged += sent.values().filter(|(_, acknowledged)| *acknowledged).count();
        history.push((from, now(), sent));
        // No two rounds share a millisecond.
        std::thread::sleep(Duration::from_millis(2));
    }
    let process = start(&folder);
    for (round, (from, to, sent)) in history.iter().enumerate() {
        check(&process, *from, *to, sent, round);
    }
    eprintln!("fsync {policy}: {rounds} kills, {acknowledged} samples acknowledged, none lost");
    assert!(acknowledged > 100 * rounds, "only {acknowledged} samples were acknowledged");
}

fn start(folder: &Folder) -> Process {
    let arguments = ["--config", "watchbell.yml", "--listen", "127.0.0.1:0"];
    match std::env::var_os("WATCHBELL_RELEASE") {
        Some(binary) => Process::start_binary(Path::new(&binary), folder, &arguments, &[]).expect("it starts"),
        None => Process::start(folder, &arguments, &[]),
    }
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    since.as_millis() as i64
}

/// Sends until the process is gone.
fn write(address: SocketAddr, writer: u64, round: usize, from: i64) -> Sent {
    let mut sent = Sent::new();
    let Ok(mut connection) = TcpStream::connect(address).map(BufReader::new) else { return sent };
    let _ = connection.get_ref().set_read_timeout(Some(PATIENCE));
    let mut time = from;
    loop {
        // Never ahead of the clock, and never a time twice.
        while now() <= time + SAMPLES as i64 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut body = v1::Writer::new();
        let mut batch = Vec::new();
        for series in 0..SERIES {
            let name = format!("w{writer}-{series}");
            let samples: Vec<Sample> = (0..SAMPLES as i64)
                .map(|at| Sample {
                    timestamp: Timestamp(time + at),
                    value: (round * 1000) as f64 + (time + at) as f64 / 7.0,
                })
                .collect();
            body.series(&Outgoing::of(&Labels::metric("proof", &[("series", &name)]), &samples));
            batch.extend(samples.iter().map(|sample| ((name.clone(), sample.timestamp.0), sample.value)));
        }
        time += SAMPLES as i64;
        let status = post(&mut connection, &snappy::compress(&body.finish()));
        let is_acknowledged = status.is_some_and(|status| (200..300).contains(&status));
        sent.extend(batch.into_iter().map(|(key, value)| (key, (value, is_acknowledged))));
        if status.is_none() {
            return sent;
        }
    }
}

/// One request of remote write on a connection of its own: its status.
pub fn post_once(address: SocketAddr, body: &[u8]) -> Option<u16> {
    let connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    post(&mut BufReader::new(connection), body)
}

/// The status of the answer; `None` once nobody answers.
fn post(connection: &mut BufReader<TcpStream>, body: &[u8]) -> Option<u16> {
    let host = connection.get_ref().peer_addr().ok()?;
    let head = format!(
        "POST /api/v1/write HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.get_mut().write_all(&[head.as_bytes(), body].concat()).ok()?;
    let (mut line, mut length) = (String::new(), 0);
    connection.read_line(&mut line).ok()?;
    let status: u16 = line.split(' ').nth(1)?.parse().ok()?;
    loop {
        line.clear();
        connection.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok()?,
            Some(_) => {}
            None if line == "\r\n" => break,
            None => return None,
        }
    }
    let mut rest = vec![0; length];
    connection.read_exact(&mut rest).ok()?;
    Some(status)
}

/// All that was acknowledged in a round is there, and nothing that was not sent.
fn check(process: &Process, from: i64, to: i64, sent: &Sent, round: usize) {
    let span = to - from + 1000;
    let path = format!("/api/v1/query?query=proof%5B{span}ms%5D&time={}.{:03}", (to + 500) / 1000, (to + 500) % 1000);
    let begun = Instant::now();
    let body = loop {
        match process.get(&path) {
            (200, body) => break body,
            (status, body) => assert!(begun.elapsed() < PATIENCE, "{status}: {body}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let answer: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
    let mut found = BTreeMap::new();
    for series in answer["data"]["result"].as_array().expect("a matrix") {
        let name = series["metric"]["series"].as_str().expect("a label");
        for point in series["values"].as_array().expect("samples") {
            let time = (point[0].as_f64().expect("a time") * 1000.0).round() as i64;
            if (from..=to).contains(&time) {
                let value: f64 = point[1].as_str().expect("a value").parse().expect("a number");
                found.insert((name.to_owned(), time), value);
            }
        }
    }
    let lost = sent.iter().filter(|(key, (_, acknowledged))| *acknowledged && !found.contains_key(key)).count();
    assert_eq!(lost, 0, "round {round}: acknowledged samples are gone, of {} that were sent", sent.len());
    for (key, value) in found {
        assert_eq!(sent.get(&key).map(|(value, _)| *value), Some(value), "round {round}: {key:?}");
    }
}
