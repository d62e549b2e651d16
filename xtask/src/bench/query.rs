//! PromQL over HTTP beside Prometheus and VictoriaMetrics, and rounds of rules, in the same run on the same machine.
//!
//! Every engine gets the same samples and the same questions, answers with JSON, and answers each question once before
//! it is measured; VictoriaMetrics' cache of answers is off.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use super::client::{Client, escape};
use super::engine::{Engine, Kind, Running};
use super::fleet::fleet;
use super::metrics::Options;
use super::peers;
use super::process::Folder;
use super::send::{self, Plan, requests};
use super::table::Table;

const SEED: u64 = 20_260_105;
const HOUR: i64 = 3_600_000;
/// Scrapes of a host in one request.
const PER_SERIES: usize = 20;
/// How often each question is asked.
const TIMES: usize = 7;
/// The share of Prometheus' time that all questions may take, as a geometric mean.
const BUDGET: f64 = 0.35;

/// A question: for now, or for a range up to now with a step, both in seconds.
struct Question {
    query: &'static str,
    range: Option<(i64, i64)>,
}

const fn now(query: &'static str) -> Question {
    Question { query, range: None }
}

const fn over(query: &'static str, seconds: i64, step: i64) -> Question {
    Question { query, range: Some((seconds, step)) }
}

/// Twenty, over six hours of 20 k series (40 hosts) at 15 s.
const SHORT: &[Question] = &[
    now("up"),
    now("up == 0"),
    now("node_load1 > 4"),
    now("sum(rate(node_network_receive_bytes_total[5m]))"),
    now("sum by (instance) (rate(node_cpu_seconds_total{mode!=\"idle\"}[5m]))"),
    now("topk(5, rate(node_context_switches_total[5m]))"),
    now("node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.1"),
    now("count by (zone) ({__name__=~\"node_memory_.*\"})"),
    now("max_over_time(node_load1[1h])"),
    now("quantile(0.9, rate(node_network_transmit_bytes_total[5m]))"),
    over("node_load1", 3600, 15),
    over("rate(node_context_switches_total[5m])", 3600, 15),
    over("sum(rate(node_cpu_seconds_total[5m]))", 3600, 15),
    over("sum by (mode) (rate(node_cpu_seconds_total[5m]))", 21_600, 60),
    over("100 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m])) * 100", 21_600, 60),
    over("avg_over_time(node_load1[10m])", 21_600, 60),
    over("node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", 21_600, 60),
    over("topk(3, rate(node_network_receive_bytes_total[5m]))", 21_600, 60),
    over("max_over_time(rate(node_network_receive_bytes_total[5m])[30m:1m])", 3600, 60),
    over("sum by (instance) (node_filesystem_avail_bytes) and on (instance) node_load1 > 1", 21_600, 60),
];

/// Twelve, over thirty days of 1 k series (2 hosts) at 5 min.
const LONG: &[Question] = &[
    now("sum by (instance) (increase(node_network_receive_bytes_total[30d]))"),
    now("avg_over_time(node_load1[7d])"),
    now("predict_linear(node_filesystem_avail_bytes[3d], 86400)"),
    now("quantile_over_time(0.95, node_load1[30d])"),
    over("node_load1", 2_592_000, 3600),
    over("sum by (instance) (rate(node_cpu_seconds_total{mode!=\"idle\"}[1h]))", 2_592_000, 3600),
    over("rate(node_network_receive_bytes_total[1h])", 2_592_000, 3600),
    over("max_over_time(node_load1[1h])", 2_592_000, 3600),
    over("min_over_time(node_memory_MemAvailable_bytes[6h])", 2_592_000, 3600),
    over("avg_over_time(node_load1[1d])", 2_592_000, 21_600),
    over("deriv(node_filesystem_avail_bytes[6h])", 2_592_000, 3600),
    over("sum(node_memory_MemTotal_bytes) - sum(node_memory_MemAvailable_bytes)", 2_592_000, 3600),
];

struct Bench {
    engines: Vec<Engine>,
    table: Table,
    quick: bool,
    /// For each question what each engine took, medians.
    medians: Vec<Vec<f64>>,
    now: i64,
}

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
    let engine = |kind, binary| Engine { kind, binary };
    let engines = vec![
        engine(Kind::Watchbell, peers::of(ours)?),
        engine(Kind::Prometheus, peers::find("prometheus")?),
        engine(Kind::VictoriaMetrics, peers::find("victoria-metrics")?),
    ];
    let table = Table::new(engines.iter().map(Engine::name).collect());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
    let mut bench = Bench { engines, table, quick: options.quick, medians: Vec::new(), now };
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    if is_wanted("short") {
        let hours = if bench.quick { 1 } else { 6 };
        bench.questions(SHORT, "6 h", 20_000, hours * HOUR, 15_000)?;
    }
    if is_wanted("long") {
        let days = if bench.quick { 3 } else { 30 };
        bench.questions(LONG, "30 d", 1000, days * 24 * HOUR, 300_000)?;
    }
    let mut text = bench.means();
    for (name, what, rules, budget) in [
        ("rules-mixed", "1,000 rules of a host each", mixed_rules as fn() -> String, 0.2),
        ("rules-fleet", "1,000 rules over the whole fleet", fleet_rules, 0.8),
    ] {
        if is_wanted(name) {
            bench.rules(what, &rules(), budget)?;
        }
    }
    text.insert_str(0, &bench.table.markdown());
    text.push_str(&format!("\nMedians of {TIMES}, {} s in all.\n", begun.elapsed().as_secs()));
    println!("{text}");
    if let Some(path) = &options.output {
        std::fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

impl Bench {
    /// Fills each engine, one after the other, and asks.
    fn questions(&mut self, questions: &[Question], what: &str, series: usize, length: i64, step: i64) -> Result<()> {
        let first = self.medians.len();
        self.medians.extend(questions.iter().map(|_| Vec::new()));
        for engine in 0..self.engines.len() {
            let folder = Folder::new()?;
            let running = match length > 10 * HOUR {
                true => self.engines[engine].start_for_a_year(folder.path())?,
                false => self.engines[engine].start(folder.path())?,
            };
            let begun = Instant::now();
            self.fill(&running, series, length, step)?;
            eprintln!("{what}, {}: filled in {:.0} s", self.engines[engine].name(), begun.elapsed().as_secs_f64());
            let mut client = running.client()?;
            for (at, question) in questions.iter().enumerate() {
                let path = self.path(question);
                let bytes = client.get(&path)?.len();
                anyhow::ensure!(bytes > 60, "{path}: an answer of {bytes} bytes");
                let mut took = Vec::new();
                for _ in 0..TIMES {
                    let begun = Instant::now();
                    client.get(&path)?;
                    took.push(begun.elapsed().as_secs_f64() * 1000.0);
                }
                let kind = if question.range.is_some() { "range" } else { "now" };
                let name = format!("{what}, {kind}: `{}`", question.query.replace('|', "\\|"));
                took.iter().for_each(|took| self.table.add(engine, &name, "ms", None, *took));
                took.sort_by(f64::total_cmp);
                self.medians[first + at].push(took[took.len() / 2]);
            }
            running.process.stop()?;
        }
        Ok(())
    }

    fn fill(&self, running: &Running, series: usize, length: i64, step: i64) -> Result<()> {
        let scrapes = (length / step) as usize;
        let start = self.now / step * step - length + step;
        let mut fleet = fleet(series, SEED);
        let plan = Plan { start, step, scrapes, per_series: PER_SERIES };
        send::send(running.address, requests(&mut fleet, plan))?;
        if running.kind == Kind::VictoriaMetrics {
            running.client()?.get("/internal/force_flush")?;
        }
        Ok(())
    }

    fn path(&self, question: &Question) -> String {
        let (query, end) = (escape(question.query), self.now / 1000);
        match question.range {
            None => format!("/api/v1/query?query={query}&time={end}&nocache=1"),
            Some((seconds, step)) => {
                let start = end - seconds;
                format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}&nocache=1")
            }
        }
    }

    /// Geometric means of the shares of Prometheus' time.
    fn means(&self) -> String {
        let asked: Vec<&Vec<f64>> = self.medians.iter().filter(|row| row.len() == self.engines.len()).collect();
        if asked.is_empty() {
            return String::new();
        }
        let mean = |engine: usize| {
            let logs: f64 = asked.iter().map(|row| (row[engine] / row[1]).ln()).sum();
            (logs / asked.len() as f64).exp()
        };
        let (ours, theirs) = (mean(0), mean(2));
        let kept = if ours <= BUDGET { "kept" } else { "**missed**" };
        let many = asked.len();
        format!(
            "\nGeometric mean over {many} queries, Prometheus being 1: watchbell {ours:.2} (budget {BUDGET}: {kept}), \
             VictoriaMetrics {theirs:.2}.\n"
        )
    }

    /// Rounds of rules over 20 k series, as each engine says what they took.
    fn rules(&mut self, what: &str, rules: &str, budget: f64) -> Result<()> {
        for engine in 0..self.engines.len() {
            if self.engines[engine].kind == Kind::VictoriaMetrics {
                continue;
            }
            let folder = Folder::new()?;
            let running = self.engines[engine].start_with_rules(folder.path(), rules)?;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
            let filled =
                Bench { engines: Vec::new(), table: Table::new(Vec::new()), medians: Vec::new(), quick: true, now };
            // A little into the future, so that every round sees samples.
            let length = 20 * 60_000;
            filled.fill(&running, 20_000, length, 15_000)?;
            let mut client = running.client()?;
            let (mut last, mut seen) = (String::new(), 0);
            let begun = Instant::now();
            while seen < TIMES + 1 && begun.elapsed() < Duration::from_secs(90) {
                std::thread::sleep(Duration::from_millis(400));
                let Some((at, took)) = evaluation(&mut client)? else { continue };
                if at == last {
                    continue;
                }
                last = at;
                // The first round may have begun before there were samples.
                if seen > 0 {
                    self.table.add(engine, &format!("a round of {what}, 20 k series"), "s", Some(budget), took);
                }
                seen += 1;
            }
            anyhow::ensure!(seen > 1, "{}: no round of rules", self.engines[engine].name());
            running.process.stop()?;
        }
        Ok(())
    }
}

/// When the group of rules was last evaluated, and what that took.
fn evaluation(client: &mut Client) -> Result<Option<(String, f64)>> {
    let text = String::from_utf8(client.get("/api/v1/rules")?)?;
    // The group's own fields stand after its rules in one engine and before them in another.
    let outside = match (text.find("\"rules\":["), text.rfind(']')) {
        (Some(from), Some(_)) => {
            let end = text[from..].rfind("}],").map_or(text.len(), |at| from + at);
            format!("{}{}", &text[..from], &text[end..])
        }
        _ => text,
    };
    let field = |name: &str| {
        let rest = outside.split(&format!("\"{name}\":")).nth(1)?;
        Some(rest.split([',', '}']).next()?.trim_matches('"').to_owned())
    };
    let (Some(at), Some(took)) = (field("lastEvaluation"), field("evaluationTime")) else { return Ok(None) };
    let took = took.parse::<f64>().unwrap_or(0.0);
    Ok((took > 0.0).then_some((at, took)))
}

fn group(rules: impl Iterator<Item = String>) -> String {
    let mut text = String::from("groups:\n- name: bench\n  interval: 3s\n  rules:\n");
    for (at, expr) in rules.enumerate() {
        text.push_str(&format!("  - alert: Bench{at}\n    expr: '{expr}'\n    for: 5m\n"));
    }
    text
}

/// 25 questions of 40 hosts.
fn mixed_rules() -> String {
    group((0..1000).map(|rule| {
        let host = rule / 25;
        let of = format!("instance=\"10.{}.{}.{}:9100\"", host / 62_500, host / 250 % 250, host % 250 + 1);
        let limit = 1e15 + f64::from(rule);
        match rule % 5 {
            0 => format!("up{{{of}}} > {limit}"),
            1 => format!("sum(rate(node_cpu_seconds_total{{{of},mode!=\"idle\"}}[5m])) > {limit}"),
            2 => format!("node_memory_MemAvailable_bytes{{{of}}} / node_memory_MemTotal_bytes{{{of}}} > {limit}"),
            3 => format!("rate(node_network_receive_bytes_total{{{of}}}[5m]) > {limit}"),
            _ => format!("node_filesystem_avail_bytes{{{of}}} > {limit}"),
        }
    }))
}

/// 25 questions of the whole fleet, each with 40 limits.
fn fleet_rules() -> String {
    const FLEET: &[&str] = &[
        "sum by (instance) (rate(node_cpu_seconds_total{mode!=\"idle\"}[5m]))",
        "avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m]))",
        "rate(node_network_receive_bytes_total[5m])",
        "rate(node_network_transmit_bytes_total[5m])",
        "node_filesystem_avail_bytes / node_filesystem_size_bytes",
        "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
        "node_load1",
        "increase(node_context_switches_total[10m])",
        "max_over_time(node_load1[10m])",
        "up",
    ];
    group((0..1000).map(|rule| format!("{} > {}", FLEET[rule % FLEET.len()], 1e15 + rule as f64)))
}
