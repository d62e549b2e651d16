//! The metrics engine beside Prometheus and VictoriaMetrics, in the same run on the same machine: what it takes to write
//! series in, to keep them, to start again after `kill -9`, and to read them.
//!
//! Every engine gets the same bytes by remote write and the same questions. Figures are medians of the repetitions;
//! what counts is their ratio, because machines differ.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use super::client::escape;
use super::engine::{Engine, Kind, Running};
use super::fleet::{Series, fleet, names};
use super::process::Folder;
use super::recorded::{Recorder, Recording, labels};
use super::send::{self, Plan, requests};
use super::table::Table;
use crate::peers;

/// What is measured and how often.
#[derive(Default)]
pub struct Options {
    /// Less of everything, once: to see that it works.
    pub quick: bool,
    /// Where the table is written, besides the screen.
    pub output: Option<PathBuf>,
    /// Our binary, instead of a release build.
    pub watchbell: Option<PathBuf>,
    /// Only measures whose name has this in it.
    pub only: Option<String>,
}

/// The same data at every run.
const SEED: u64 = 20_260_105;
/// Times of scrapes.
const STEP: i64 = 15_000;
const DAY: i64 = 86_400_000;
/// Scrapes of hosts: so many samples of a series are one request's worth where history is written.
const HISTORY_SCRAPES: usize = 20;
/// Repetitions.
const TIMES: usize = 3;

struct Bench {
    engines: Vec<Engine>,
    table: Table,
    quick: bool,
    now: i64,
}

type Measure = fn(&mut Bench, usize) -> Result<()>;

/// Runs all of it; the table goes to the screen and to `output`.
pub fn run(options: &Options) -> Result<()> {
    let begun = Instant::now();
    let ours = match &options.watchbell {
        Some(path) => path.clone(),
        None => {
            crate::run("release build", &mut crate::cargo(&["build", "--release"]))?;
            crate::target().join("release/watchbell")
        }
    };
    let recorder = Recorder::start()?;
    let engine = |kind, binary| Engine { kind, binary };
    let engines = vec![
        engine(Kind::Watchbell, peers::of(ours)?),
        engine(Kind::Prometheus, peers::find("prometheus")?),
        engine(Kind::VictoriaMetrics, peers::find("victoria-metrics")?),
    ];
    let table = Table::new(engines.iter().map(Engine::name).collect());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
    let mut bench = Bench { engines, table, quick: options.quick, now };
    let times = if options.quick { 1 } else { TIMES };
    let measures: [(&str, Measure, usize); 5] = [
        ("ingest-20k", |bench, engine| bench.ingest(engine, 20_000, 50), times),
        ("ingest-200k", |bench, engine| bench.ingest(engine, 200_000, if bench.quick { 3 } else { 10 }), times),
        ("at-rest", Bench::at_rest, 1),
        ("history", Bench::history, 1),
        ("year", Bench::year, 1),
    ];
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut failures = Vec::new();
    for (name, measure, times) in measures.into_iter().filter(|(name, ..)| is_wanted(name)) {
        for _ in 0..times {
            for engine in 0..bench.engines.len() {
                let since = Instant::now();
                if let Err(error) = measure(&mut bench, engine) {
                    failures.push(format!("{name}, {}: {error:#}", bench.engines[engine].name()));
                }
                eprintln!("{name}, {}: {:.0} s", bench.engines[engine].name(), since.elapsed().as_secs_f64());
            }
        }
    }
    let recording = recorder.end();
    if is_wanted("recorded") {
        for engine in 0..bench.engines.len() {
            if let Err(error) = bench.recorded(engine, &recording) {
                failures.push(format!("recorded, {}: {error:#}", bench.engines[engine].name()));
            }
        }
    }
    let took = begun.elapsed().as_secs();
    let mut text = bench.table.markdown();
    text.push_str(&format!("\nMedians of {times} (what is on disk: once), {took} s in all.\n"));
    failures.iter().for_each(|failure| text.push_str(&format!("\nfailed: {failure}\n")));
    println!("{text}");
    if let Some(path) = &options.output {
        std::fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    anyhow::ensure!(failures.is_empty(), "{} measures failed", failures.len());
    Ok(())
}

impl Bench {
    /// A fleet begins to send, one sample of each series to a request; then the engine is killed and starts again.
    fn ingest(&mut self, engine: usize, series: usize, scrapes: usize) -> Result<()> {
        let folder = Folder::new()?;
        let running = self.engines[engine].start(folder.path())?;
        let start = self.now / STEP * STEP - scrapes as i64 * STEP;
        let mut fleet = fleet(series, SEED);
        let plan = Plan { start, step: STEP, scrapes, per_series: 1 };
        // Made before, so that the processor is the engine's alone.
        let bodies: Vec<_> = requests(&mut fleet, plan).into_iter().map(|bodies| bodies.collect::<Vec<_>>()).collect();
        let (before, idle) = (running.process.cpu()?, running.process.memory()?.0);
        let begun = Instant::now();
        send::send(running.address, bodies.into_iter().map(Vec::into_iter).collect())?;
        let wall = begun.elapsed().as_secs_f64();
        let killed = running.process.memory()?.0;
        std::thread::sleep(Duration::from_millis(500));
        let millions = (series * scrapes) as f64 / 1e6;
        let cpu = (running.process.cpu()? - before) / millions;
        let peak = running.process.peak()?;
        running.process.kill();

        let size = if series >= 100_000 { "200 k" } else { "20 k" };
        let (cpu_max, peak_max) = if series >= 100_000 { (1.0, 250.0) } else { (0.70, 150.0) };
        let add = |table: &mut Table, what: &str, unit, budget, figure| {
            table.add(engine, &format!("{what}, {size} series"), unit, budget, figure);
        };
        let table = &mut self.table;
        add(table, "remote write: CPU per million samples", "s", Some(cpu_max), cpu);
        add(table, "remote write: time per million samples", "s", None, wall / millions);
        add(table, "remote write: most memory", "MB", Some(peak_max), peak);
        add(table, "memory per active series", "bytes", None, (killed - idle) * 1e6 / series as f64);
        let running = self.engines[engine].start(folder.path())?;
        let budget = (series >= 100_000).then_some(1.0);
        add(&mut self.table, "start to ready after kill -9", "s", budget, running.took);
        let mut missing = (series * scrapes) as f64;
        for name in names() {
            missing -= running.value(&format!("sum(count_over_time({name}[1h]))"), self.now)?;
        }
        add(&mut self.table, "samples missing after kill -9", "samples", Some(0.0), missing);
        running.process.stop()
    }

    /// Six hours of 20 k series, merged.
    fn at_rest(&mut self, engine: usize) -> Result<()> {
        let (series, scrapes) = (20_000, if self.quick { 240 } else { 1440 });
        let folder = Folder::new()?;
        let running = self.engines[engine].start(folder.path())?;
        // From a midnight on, two days ago: spans of blocks are over, everywhere.
        let start = self.now / DAY * DAY - 2 * DAY;
        let mut fleet = fleet(series, SEED);
        let plan = Plan { start, step: STEP, scrapes, per_series: HISTORY_SCRAPES };
        send::send(running.address, requests(&mut fleet, plan))?;
        self.end_of_history(&running)?;
        let (bytes, samples) = running.at_rest((series * scrapes) as f64)?;
        self.table.add(engine, "at rest: 6 h of 20 k series", "bytes per sample", Some(0.55), bytes as f64 / samples);
        running.process.stop()
    }

    /// What a real host sent while this ran, as forty hosts would have.
    fn recorded(&mut self, engine: usize, recording: &Recording) -> Result<()> {
        const HOSTS: usize = 40;
        let folder = Folder::new()?;
        let running = self.engines[engine].start(folder.path())?;
        let scrapes = recording.values().map(Vec::len).next().unwrap_or(0);
        let start = self.now / DAY * DAY - 2 * DAY;
        let mut fleet: Vec<(Series, &Vec<f64>)> = Vec::new();
        for host in 0..HOSTS {
            let instance = format!("host-{host}:9100");
            fleet.extend(recording.iter().map(|(series, values)| {
                let mut pairs = labels(series);
                pairs.extend([("instance", &*instance), ("job", "node")]);
                pairs.sort_unstable();
                (Series::named(&pairs), values)
            }));
        }
        let mut client = running.client()?;
        // Host by host would be out of bounds for Prometheus, which takes nothing an hour older than its newest.
        for first in (0..scrapes).step_by(HISTORY_SCRAPES) {
            let last = (first + HISTORY_SCRAPES).min(scrapes);
            for some in fleet.chunks(send::PER_REQUEST / HISTORY_SCRAPES) {
                let body = send::request(some.iter().map(|(series, values)| {
                    let samples = (first..last).map(|at| (start + at as i64 * STEP, values[at])).collect();
                    (&*series.labels, samples)
                }));
                send::post(&mut client, &body)?;
            }
        }
        let sent = fleet.len() * scrapes;
        self.end_of_history(&running)?;
        let (bytes, samples) = running.at_rest(sent as f64)?;
        let what = format!("at rest: a recorded host × {HOSTS}, {scrapes} scrapes");
        self.table.add(engine, &what, "bytes per sample", None, bytes as f64 / samples);
        running.process.stop()
    }

    /// A million series of history: starts, and lookups of labels.
    fn history(&mut self, engine: usize) -> Result<()> {
        let series = if self.quick { 100_000 } else { 1_000_000 };
        let folder = Folder::new()?;
        let running = self.engines[engine].start(folder.path())?;
        let start = self.now / DAY * DAY - 2 * DAY;
        let mut fleet = fleet(series, SEED);
        let plan = Plan { start, step: 3_600_000, scrapes: 2, per_series: 2 };
        send::send(running.address, requests(&mut fleet, plan))?;
        drop(fleet);
        self.end_of_history(&running)?;
        running.at_rest((series * 2) as f64)?;
        running.process.stop()?;
        for last in [false, false, true] {
            let running = self.engines[engine].start(folder.path())?;
            self.table.add(engine, "start to ready with 1 M series of history", "s", Some(1.0), running.took);
            if last {
                self.lookups(engine, &running)?;
            }
            running.process.stop()?;
        }
        Ok(())
    }

    fn lookups(&mut self, engine: usize, running: &Running) -> Result<()> {
        let range = format!("start={}&end={}", (self.now - 4 * DAY) / 1000, self.now / 1000);
        let of_host = escape("{instance=\"10.0.0.17:9100\"}");
        let of_name = escape("node_load1{zone=\"ams2-a\"}");
        let of_regex = escape("{__name__=~\"node_network_.*\",instance=~\"10.0.[01].1[0-9]:9100\"}");
        let asked = [
            ("values of `instance` (2,000)", format!("/api/v1/label/instance/values?{range}")),
            ("names of labels", format!("/api/v1/labels?{range}")),
            ("series of a host (500)", format!("/api/v1/series?match[]={of_host}&{range}")),
            ("series of a name (667)", format!("/api/v1/series?match[]={of_name}&{range}")),
            ("series by two regular expressions", format!("/api/v1/series?match[]={of_regex}&{range}")),
        ];
        let mut client = running.client()?;
        for (what, path) in asked {
            let answer = client.get(&path)?;
            anyhow::ensure!(answer.len() > 200, "{path}: {}", String::from_utf8_lossy(&answer));
            for _ in 0..if self.quick { 3 } else { 15 } {
                let begun = Instant::now();
                client.get(&path)?;
                let took = begun.elapsed().as_secs_f64() * 1000.0;
                self.table.add(engine, &format!("lookup with 1 M series: {what}"), "ms", None, took);
            }
        }
        Ok(())
    }

    /// A year of what one dashboard shows: 24 series of four hosts, a sample a minute.
    fn year(&mut self, engine: usize) -> Result<()> {
        let folder = Folder::new()?;
        let running = self.engines[engine].start_for_a_year(folder.path())?;
        let days = if self.quick { 60 } else { 365 };
        let start = (self.now / DAY - 1 - days) * DAY;
        let names = [
            "node_cpu_seconds_total",
            "node_load1",
            "node_memory_MemAvailable_bytes",
            "node_network_receive_bytes_total",
            "node_context_switches_total",
            "node_filesystem_avail_bytes",
        ];
        let mut series: Vec<Series> = fleet(2000, SEED);
        // The first of each name on each host.
        let mut seen = std::collections::BTreeSet::new();
        series.retain({
            let mut at = 0;
            move |series| {
                let host = at / super::fleet::PER_HOST;
                at += 1;
                let name = names.iter().position(|name| has_name(&series.labels, name));
                name.is_some_and(|name| seen.insert((host, name)))
            }
        });
        let sent = Plan { start, step: 60_000, scrapes: days as usize * 1440, per_series: 50 };
        // On one connection: Prometheus takes nothing that is an hour older than its newest sample.
        let bodies = requests(&mut series, sent).into_iter().flatten().collect::<Vec<_>>();
        send::send(running.address, vec![bodies.into_iter()])?;
        self.end_of_history(&running)?;
        running.at_rest((series.len() * sent.scrapes) as f64)?;
        let panels = [
            "sum by (instance) (rate(node_cpu_seconds_total[12h]))",
            "avg_over_time(node_load1[12h])",
            "min_over_time(node_memory_MemAvailable_bytes[12h])",
            "sum by (instance) (increase(node_network_receive_bytes_total[12h]))",
            "max_over_time(node_load1[12h])",
            "last_over_time(node_filesystem_avail_bytes[12h])",
        ];
        let mut client = running.client()?;
        for _ in 0..if self.quick { 1 } else { 5 } {
            let begun = Instant::now();
            for panel in panels {
                let end = start + days * DAY;
                let range = format!("start={}&end={}&step=12h&nocache=1", start / 1000, end / 1000);
                client.get(&format!("/api/v1/query_range?query={}&{range}", escape(panel)))?;
            }
            let took = begun.elapsed().as_secs_f64() * 1000.0;
            self.table.add(engine, "a year of one dashboard (24 series, 6 panels, step 12 h)", "ms", None, took);
        }
        running.process.stop()
    }

    /// Something new, by which engines that go by the newest sample see that the rest is old.
    fn end_of_history(&self, running: &Running) -> Result<()> {
        let labels = Series::named(&[("__name__", "end_of_history"), ("job", "bench")]).labels;
        let mut client = running.client()?;
        for back in [60_000, 30_000, 0] {
            let samples = vec![(self.now - back, 1.0)];
            send::post(&mut client, &send::request(std::iter::once((&*labels, samples))))?;
        }
        Ok(())
    }
}

fn has_name(labels: &[u8], name: &str) -> bool {
    let mut wanted = vec![0x0a, 8];
    wanted.extend_from_slice(b"__name__");
    wanted.extend_from_slice(&[0x12, name.len() as u8]);
    wanted.extend_from_slice(name.as_bytes());
    labels.windows(wanted.len()).any(|have| have == wanted)
}
