//! The engines that are compared, each started in a folder of its own with the same offer: remote write in, PromQL out,
//! 400 days kept, nothing else to do.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::client::{Client, escape};
use super::process::{Process, bytes_under};
use crate::peers::Binary;

/// How long an engine may take to be ready, and to put its blocks in order.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Watchbell,
    Prometheus,
    VictoriaMetrics,
}

#[derive(Clone)]
pub struct Engine {
    pub kind: Kind,
    pub binary: Binary,
}

/// An engine that answers.
pub struct Running {
    pub process: Process,
    pub address: SocketAddr,
    /// From its start to its first answer to a query.
    pub took: f64,
    pub kind: Kind,
    data: std::path::PathBuf,
}

impl Engine {
    pub fn name(&self) -> String {
        let name = match self.kind {
            Kind::Watchbell => "watchbell",
            Kind::Prometheus => "Prometheus",
            Kind::VictoriaMetrics => "VictoriaMetrics",
        };
        format!("{name} {}", self.binary.version)
    }

    /// Starts it on what the folder holds.
    pub fn start(&self, folder: &Path) -> Result<Running> {
        self.start_for(folder, &[], None)
    }

    /// The same, with a file of rules; VictoriaMetrics has none.
    pub fn start_with_rules(&self, folder: &Path, rules: &str) -> Result<Running> {
        self.start_for(folder, &[], Some(rules))
    }

    /// The same, with targets to scrape.
    pub fn start_with_scrape(&self, folder: &Path, scrape_configs: &str) -> Result<Running> {
        let file = folder.join("scrape.yml");
        std::fs::write(&file, scrape_configs)?;
        match self.kind {
            Kind::VictoriaMetrics => self.start_for(folder, &[&format!("-promscrape.config={}", file.display())], None),
            Kind::Watchbell | Kind::Prometheus => {
                std::fs::write(folder.join("more.yml"), scrape_configs)?;
                self.start_for(folder, &[], None)
            }
        }
    }

    /// The same for a year at once: with blocks of two hours Prometheus would spend it on syncs.
    pub fn start_for_a_year(&self, folder: &Path) -> Result<Running> {
        self.start_for(
            folder,
            match self.kind {
                Kind::Prometheus => &["--storage.tsdb.min-block-duration=10d", "--storage.tsdb.max-block-duration=80d"],
                Kind::Watchbell | Kind::VictoriaMetrics => &[],
            },
            None,
        )
    }

    fn start_for(&self, folder: &Path, more: &[&str], rules: Option<&str>) -> Result<Running> {
        let rule_files = match rules {
            Some(rules) => {
                let path = folder.join("rules.yml");
                std::fs::write(&path, rules)?;
                format!("rule_files: [\"{}\"]\n", path.display())
            }
            None => String::new(),
        };
        // What is to be scraped stands beside it where there is some.
        let rule_files = rule_files + &std::fs::read_to_string(folder.join("more.yml")).unwrap_or_default();
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let data = folder.join("data");
        let mut command = Command::new(&self.binary.path);
        match self.kind {
            Kind::Watchbell => {
                let config = folder.join("watchbell.yml");
                std::fs::write(&config, format!("{CONFIG}{rule_files}"))?;
                command.arg("--config").arg(config).arg("--data").arg(&data).args(["--listen", &address.to_string()]);
            }
            Kind::Prometheus => {
                let config = folder.join("prometheus.yml");
                std::fs::write(&config, format!("global: {{scrape_interval: 15s}}\n{rule_files}"))?;
                command
                    .arg(format!("--config.file={}", config.display()))
                    .arg(format!("--storage.tsdb.path={}", data.display()))
                    .arg(format!("--web.listen-address={address}"))
                    .args(["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=800d"]);
            }
            Kind::VictoriaMetrics => {
                command
                    .arg(format!("-storageDataPath={}", data.display()))
                    .arg(format!("-httpListenAddr={address}"))
                    .args(["-retentionPeriod=800d", "-search.latencyOffset=0s", "-loggerLevel=ERROR"])
                    .args(["-search.maxUniqueTimeseries=3000000", "-search.maxSeries=3000000"]);
            }
        }
        let begun = Instant::now();
        let child = command
            .args(more)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log"))?)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.binary.path.display()))?;
        let mut running = Running { process: Process(child), address, took: 0.0, kind: self.kind, data };
        loop {
            if Client::connect(address).and_then(|mut client| client.get("/api/v1/query?query=1")).is_ok() {
                break;
            }
            if begun.elapsed() > PATIENCE || running.process.0.try_wait()?.is_some() {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                bail!("{} is not ready: {log}", self.name());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        running.took = begun.elapsed().as_secs_f64();
        Ok(running)
    }
}

/// Nothing but the store and its doors.
const CONFIG: &str = "storage: {metrics: {retention: 800d, series_limit: 3000000, series_limit_per_source: 3000000}}\nhost: {enabled: false}\n\
                      discovery: {enabled: false}\npacks: []\n";

impl Running {
    pub fn client(&self) -> Result<Client> {
        Client::connect(self.address)
    }

    /// The first value of an instant query, 0 for none.
    pub fn value(&self, query: &str, at_millis: i64) -> Result<f64> {
        let path = format!("/api/v1/query?query={}&time={}", escape(query), at_millis / 1000);
        let text = String::from_utf8(self.client()?.get(&path)?)?;
        let value = text.split("\"value\":[").nth(1).and_then(|rest| rest.split('"').nth(1));
        value.map_or(Ok(0.0), |value| value.parse().with_context(|| text.clone()))
    }

    /// One of its own metrics, summed up over its series.
    fn own(&self, name: &str) -> Result<f64> {
        let text = String::from_utf8(self.client()?.get("/metrics")?)?;
        let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Waits until all that is to be merged is merged; answers the bytes and the samples in them, of `sent`.
    pub fn at_rest(&self, sent: f64) -> Result<(u64, f64)> {
        match self.kind {
            Kind::Watchbell => {
                let blocks = || -> Result<(u64, u64)> {
                    Ok((self.own("watchbell_metrics_head_bytes")? as u64, self.block_bytes()))
                };
                self.wait_until_still(Duration::from_secs(25), blocks)?;
                Ok((self.block_bytes(), sent))
            }
            Kind::Prometheus => {
                let state = || Ok((self.blocks_of_prometheus().1 as u64, self.blocks_of_prometheus().0));
                self.wait_until_still(Duration::from_secs(10), state)?;
                Ok(self.blocks_of_prometheus())
            }
            Kind::VictoriaMetrics => {
                let mut client = self.client()?;
                client.get("/internal/force_flush")?;
                client.get("/internal/force_merge")?;
                self.wait_until_still(Duration::from_secs(4), || {
                    Ok((self.own("vm_active_force_merges")? as u64, bytes_under(&self.data)))
                })?;
                Ok((bytes_under(&self.data), sent))
            }
        }
    }

    fn block_bytes(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(self.data.join("metrics")) else { return 0 };
        let blocks = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("blocks");
        entries.filter_map(Result::ok).filter(blocks).map(|entry| bytes_under(&entry.path())).sum()
    }

    /// Bytes of its blocks and samples in them.
    fn blocks_of_prometheus(&self) -> (u64, f64) {
        let Ok(entries) = std::fs::read_dir(&self.data) else { return (0, 0.0) };
        let (mut bytes, mut samples) = (0, 0.0);
        for entry in entries.filter_map(Result::ok) {
            let Ok(meta) = std::fs::read_to_string(entry.path().join("meta.json")) else { continue };
            let number = meta.split("\"numSamples\":").nth(1).and_then(|rest| rest.split([',', '\n']).next());
            samples += number.and_then(|number| number.trim().parse::<f64>().ok()).unwrap_or(0.0);
            bytes += bytes_under(&entry.path());
        }
        (bytes, samples)
    }

    /// Waits until what is looked at has not changed for so long; the first number says there is nothing yet when 0
    /// for Prometheus, and that there is more to come when not 0 for the others.
    fn wait_until_still(&self, still: Duration, look: impl Fn() -> Result<(u64, u64)>) -> Result<()> {
        let begun = Instant::now();
        let (mut last, mut since) = (look()?, Instant::now());
        while begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(500));
            let now = look()?;
            let is_busy = match self.kind {
                Kind::Prometheus => now.0 == 0,
                Kind::Watchbell => now.0 > 1 << 20,
                Kind::VictoriaMetrics => now.0 > 0,
            };
            if now != last || is_busy {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() >= still {
                return Ok(());
            }
        }
        eprintln!("{:?} was not at rest after {} s", self.kind, PATIENCE.as_secs());
        Ok(())
    }
}
