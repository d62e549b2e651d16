//! Expressions at random, evaluated by watchbell and by a real Prometheus that holds the same samples.
//!
//! Runs where the environment names a Prometheus in `WATCHBELL_PROMETHEUS`, as `cargo xtask differential` does, or one
//! lies in `target/peers`. `WATCHBELL_DIFFERENTIAL`: how many expressions; `WATCHBELL_SEED`: which ones.

mod compare;
mod compliance;
mod data;
mod explained;
mod generate;
mod peer;
mod random;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use watchbell_model::{Span, Timestamp};
use watchbell_query::promql::parse;
use watchbell_query::{Answer as OurAnswer, Engine, EngineOptions, MemorySeries, Value};

use compare::{Answer, difference, of_json, of_ours};
use data::{BEGIN, Item, SCRAPES, STEP};
use generate::Generator;
use peer::{Peer, escape};
use random::Random;

/// Expressions in the ordinary tests.
const EXPRESSIONS: u64 = 300;
const SEED: u64 = 20_261_121;
/// Scrapes of the real host.
const RECORDED_SCRAPES: usize = 20;

/// How often the peer is asked again where it may not always answer alike.
const ASKED_AGAIN: usize = 24;

/// When a query is asked for.
#[derive(Clone, Copy, Debug)]
enum When {
    Instant(i64),
    Range(i64, i64, i64),
}

/// Both engines, with the same samples.
struct Both {
    peer: Peer,
    memory: MemorySeries,
    engine: Engine,
}

impl Both {
    fn start(binary: &Path, seed: u64) -> Both {
        let all = data::all(seed, &recorded_scrapes());
        let mut memory = MemorySeries::default();
        for (labels, samples) in &all {
            for (at, item) in samples {
                match item {
                    Item::Number(value) => memory.put(labels, *at, *value),
                    Item::Histogram(histogram) => memory.put_histogram(labels, *at, histogram.clone()),
                }
            }
        }
        let mut peer = Peer::start(binary);
        peer.fill(&all);
        let engine = Engine::new(EngineOptions { samples_max: 50_000_000, ..EngineOptions::default() });
        Both { peer, memory, engine }
    }

    fn theirs(&mut self, text: &str, when: When) -> Answer {
        let seconds = |millis: i64| format!("{}.{:03}", millis / 1000, millis % 1000);
        let path = match when {
            When::Instant(at) => format!("/api/v1/query?query={}&time={}", escape(text), seconds(at)),
            When::Range(start, end, step) => format!(
                "/api/v1/query_range?query={}&start={}&end={}&step={}",
                escape(text),
                seconds(start),
                seconds(end),
                seconds(step)
            ),
        };
        of_json(&self.peer.get(&path))
    }

    fn ours(&self, text: &str, when: When) -> Answer {
        let expr = match parse(text) {
            Ok(expr) => expr,
            Err(error) => return Answer::Fails("bad_data".into(), error.to_string()),
        };
        let found = match when {
            When::Instant(at) => self.engine.instant_answer(&self.memory, &expr, Timestamp(at)),
            When::Range(start, end, step) => {
                let step = Span::millis(step as u64);
                let found = self.engine.range_answer(&self.memory, &expr, Timestamp(start), Timestamp(end), step);
                found.map(|OurAnswer { value, notes }| OurAnswer { value: Value::Matrix(value), notes })
            }
        };
        of_ours(found.map(|answer| (answer.value, answer.notes)), text)
    }

    /// What differs and is not explained; else by what it is explained, if it differs.
    fn ask(&mut self, text: &str, when: When) -> Result<Option<&'static str>, String> {
        let (theirs, ours) = (self.theirs(text, when), self.ours(text, when));
        let Some(found) = difference(&theirs, &ours) else { return Ok(None) };
        if let Some(reason) = explained::by(text, when, &theirs, &ours) {
            return Ok(Some(reason));
        }
        // Where it iterates over a map, series come in another order each time, which shows in ties and last digits.
        for _ in 0..ASKED_AGAIN {
            let again = self.theirs(text, when);
            if difference(&again, &theirs).is_some() {
                return Ok(Some("asked again, it gives another answer: it takes series in no certain order"));
            }
        }
        Err(format!("{text}\n    {when:?}\n    {found}"))
    }
}

fn binary() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/prometheus/usr/bin/prometheus");
    std::env::var_os("WATCHBELL_PROMETHEUS").map(PathBuf::from).or(unpacked.is_file().then_some(unpacked))
}

/// A real host's scrapes, kept beside the peer, so that a seed can be played again.
#[expect(clippy::disallowed_methods, reason = "the scrapes lie outside of the repository")]
fn recorded_scrapes() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/node_exporter.scrapes");
    const BETWEEN: &str = "\n# next scrape\n";
    if let Ok(text) = std::fs::read_to_string(&file) {
        return text.split(BETWEEN).map(str::to_owned).collect();
    }
    let found = peer::scrapes_of(Path::new("/usr/bin/prometheus-node-exporter"), RECORDED_SCRAPES);
    let found = found.unwrap_or_default();
    if found.is_empty() {
        println!("there is no node_exporter: only series that were made up are asked for");
    } else {
        let _ = std::fs::write(&file, found.join(BETWEEN));
    }
    found
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn random_expressions_are_worth_what_they_are_in_prometheus() {
    let Some(binary) = binary() else {
        println!("skipped: there is no Prometheus in target/peers; `cargo xtask differential` puts one there");
        return;
    };
    let (seed, count) = (number("WATCHBELL_SEED", SEED), number("WATCHBELL_DIFFERENTIAL", EXPRESSIONS));
    println!("seed {seed}, {count} expressions, each for an instant and for a range");
    let mut both = Both::start(&binary, SEED);
    if let Ok(asked) = std::env::var("WATCHBELL_ASK") {
        return ask(&mut both, &asked);
    }
    let mut random = Random(seed);
    let (mut wrong, mut explained) = (Vec::new(), BTreeMap::<&str, u64>::new());
    let (mut equal, mut failing) = (0_u64, 0_u64);
    for at in 0..count {
        let range = at % 2 == 1;
        let text = Generator { random: &mut random }.query(range);
        let from = BEGIN - 120_000 + random.below((SCRAPES * STEP) as u64 + 400_000) as i64;
        // Mostly whole steps, as people's dashboards have; else any millisecond.
        let from = if random.once_in(3) { from } else { from / STEP * STEP + BEGIN % STEP };
        let step = [15_000, 30_000, 60_000, 47_000, 1_000][random.below(5) as usize];
        let range = When::Range(from, from + step * (1 + random.below(40) as i64), step);
        for when in [Some(When::Instant(from)), Some(range).filter(|_| at % 2 == 1)].into_iter().flatten() {
            match both.ask(&text, when) {
                Ok(None) => equal += 1,
                Ok(Some(reason)) => *explained.entry(reason).or_default() += 1,
                Err(difference) => wrong.push(format!("{at}: {difference}")),
            }
            failing += u64::from(matches!(both.ours(&text, when), Answer::Fails(..)));
        }
    }
    println!("{equal} equal (of all, {failing} fail on both sides), {} not explained", wrong.len());
    for (reason, times) in &explained {
        println!("  {times} explained: {reason}");
    }
    wrong.iter().take(60).for_each(|wrong| println!("{wrong}"));
    assert!(wrong.is_empty(), "{} of {count} expressions differ; seed {seed}", wrong.len());
}

/// Shows both answers to one expression: `WATCHBELL_ASK='1700000000000 up'`.
fn ask(both: &mut Both, asked: &str) {
    let (at, text) = asked.split_once(' ').unwrap_or(("0", asked));
    let when = When::Instant(at.parse().unwrap_or(BEGIN));
    println!("theirs: {:#?}\nours: {:#?}", both.theirs(text, when), both.ours(text, when));
}
