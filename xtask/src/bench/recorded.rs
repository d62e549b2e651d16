//! A real scrape, recorded while the bench runs: node_exporter on loopback, once a second.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::client::Client;
use super::process::Process;

/// Records until it is asked for what it has.
pub struct Recorder {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
    scrapes: Arc<Mutex<Vec<String>>>,
    _exporter: Process,
}

/// Name and labels as they were written, and a value for each scrape.
pub type Recording = BTreeMap<String, Vec<f64>>;

impl Recorder {
    pub fn start() -> Result<Recorder> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let exporter = Command::new("/usr/bin/prometheus-node-exporter")
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("prometheus-node-exporter is missing: apt-get install prometheus-node-exporter")?;
        let (stop, scrapes) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let thread = std::thread::spawn({
            let (stop, scrapes) = (Arc::clone(&stop), Arc::clone(&scrapes));
            move || {
                let mut client = None;
                let mut next = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    client = client.or_else(|| Client::connect(address).ok());
                    match client.as_mut().map(|client: &mut Client| client.get("/metrics")) {
                        Some(Ok(body)) => {
                            let text = String::from_utf8_lossy(&body).into_owned();
                            scrapes.lock().expect("no panic while held").push(text);
                        }
                        Some(Err(_)) | None => client = None,
                    }
                    next += Duration::from_secs(1);
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            }
        });
        Ok(Recorder { stop, thread, scrapes, _exporter: Process(exporter) })
    }

    /// Ends the exporter; the series that were in every scrape.
    pub fn end(self) -> Recording {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        let scrapes = self.scrapes.lock().expect("no panic while held");
        let mut recording = Recording::new();
        for scrape in scrapes.iter() {
            for line in scrape.lines().filter(|line| !line.starts_with('#')) {
                let Some((series, value)) = line.rsplit_once(' ') else { continue };
                let Ok(value) = value.parse::<f64>() else { continue };
                recording.entry(series.to_owned()).or_default().push(value);
            }
        }
        recording.retain(|_, values| values.len() == scrapes.len());
        recording
    }
}

/// `name{a="b",c="d"}` in parts; values with escapes are left as they are written.
pub fn labels(series: &str) -> Vec<(&str, &str)> {
    let (name, rest) = series.split_once('{').unwrap_or((series, ""));
    let mut pairs = vec![("__name__", name)];
    let mut rest = rest.trim_end_matches('}');
    while let Some((label, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        pairs.push((label.trim_start_matches(','), value));
        rest = after;
    }
    pairs
}
