//! The engine on a disk that does everything disks do, many seeds long, against a map that remembers what was said.
//!
//! Each seed is a story: samples, upkeep, kills, power losses at any step, full, read-only, failing and lying disks,
//! flipped bits, files that cannot be read for a while, clocks that are set, days off, deletions. After each start
//! everything that was acknowledged and that the policy and the disk's own honesty cover must be there to the last bit,
//! and nothing that nobody sent or that was deleted.
//!
//! Most seeds keep coarser copies, of one width or of two. Sums over windows must be those of the samples: exactly where
//! all that was ever sent for a window is sure to be there; elsewhere a window counts at least what is sure, and at most
//! that and what may be there. What was deleted counts nowhere.
//!
//! `WATCHBELL_SEEDS=5000` (or `cargo xtask soak`) runs so many seeds, `WATCHBELL_SEED=17` one of them with its story.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use watchbell_model::{
    Append, Batch, BatchHistogram, BatchSample, BucketSpan, Buckets, Exemplar, Histogram, Labels, Lookup, Matcher,
    Query, QueryError, ResetHint, Rollup, Sample, Series, SeriesKey, Span, Timestamp, stale_nan,
};
use watchbell_runtime::sim::{self, Syncs, World};
use watchbell_runtime::{Rng, Runtime};
use watchbell_store::metrics::{OpenReport, RollupConfig, RollupsConfig};
use watchbell_store::{Fsync, MetricStore, MetricsConfig};

const DIR: &str = "/data/metrics";
/// Seeds that every run of the tests plays.
const SEEDS: u64 = 60;
/// Series of numbers, and behind them of native histograms.
const FLOATS: u64 = 8;
const NAMES: u64 = 12;
/// Steps of a story.
const STEPS: u64 = 60;
/// What `fsync: interval` may lose: one interval, and a margin for the step of simulated time.
const INTERVAL_LOSS: Duration = Duration::from_millis(1100);

#[test]
fn whatever_the_disk_does_what_was_acknowledged_is_there() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("WATCHBELL_SEED") {
        return play(seed, true);
    }
    let seeds = number("WATCHBELL_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed, false))) {
                        let words = panic.downcast_ref::<String>().cloned();
                        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                        eprintln!("seed {seed} failed");
                        failed.lock().unwrap().insert(seed, words.unwrap_or_default());
                    }
                }
            });
        }
    });
    let failed: BTreeMap<u64, String> = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds failed; WATCHBELL_SEED=<one of them> tells: {failed:?}",
        failed.len()
    );
}

/// What is known of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Acknowledged, at this time since the world began, and the disk was honest.
    Sure(Duration),
    /// Refused, or lost at its owner's risk: it may be there or not.
    Maybe,
}

type Key = (Labels, i64);

struct Story {
    world: World,
    rng: Rng,
    config: MetricsConfig,
    store: Option<(MetricStore, Runtime)>,
    truth: BTreeMap<Key, (u64, Known)>,
    /// Lost at their owner's risk or by flipped bits: may come back where another copy turns up.
    buried: BTreeMap<Key, u64>,
    /// Deleted: never to be seen again.
    deleted: BTreeMap<Key, u64>,
    /// Examples that were sent, by the time and the value they have.
    examples: BTreeSet<(i64, u64)>,
    /// The clock was set back: samples may be refused as too old.
    clock_was_set: bool,
    /// A file cannot be read: what is in it may be missing, and is not sent again.
    blind: bool,
    /// Bits were flipped since the last full reading: parts may be refused once.
    damaged: bool,
    /// Syncs lied since the last power loss.
    dishonest: bool,
    /// Syncs began to fail then; what was accepted since is at risk, and the board says so, until blocks hold it.
    failing_since: Option<Duration>,
    /// Since then the power is about to fail, and may have: that is when it counts as lost.
    dark_since: Option<Duration>,
    aloud: bool,
}

fn play(seed: u64, aloud: bool) {
    sim::run(seed, |world| async move {
        let rng = Rng::seeded(seed ^ 0x5eed);
        let kept = |is_kept| RollupConfig { retention: Span::days(if is_kept { 1000 } else { 0 }), retention_size: 0 };
        let widths = rng.below(4);
        let config = MetricsConfig {
            fsync: [Fsync::Always, Fsync::Interval][rng.below(2) as usize],
            rollups: RollupsConfig { five_minutes: kept(widths & 1 > 0), hour: kept(widths & 2 > 0) },
            ..MetricsConfig::default()
        };
        let mut story = Story {
            world,
            rng,
            config,
            store: None,
            truth: BTreeMap::new(),
            buried: BTreeMap::new(),
            deleted: BTreeMap::new(),
            examples: BTreeSet::new(),
            clock_was_set: false,
            blind: false,
            damaged: false,
            dishonest: false,
            failing_since: None,
            dark_since: None,
            aloud,
        };
        story.start();
        for _ in 0..STEPS {
            story.step().await;
        }
        story.heal();
        story.kill();
        story.start();
        story.read_all("at the end");
        // Upkeep is called for by hand; the task's syncs, once a second, would take long.
        if let Some((_, runtime)) = &story.store {
            runtime.supervisor.abort();
        }
        for _ in 0..24 {
            story.wait(Duration::from_secs(13 * 3600)).await;
            story.maintain();
        }
        story.read_all("after all was merged");
        story.expect_copies();
        story.kill();
        story.start();
        story.read_all("and after one more start");
    });
}

impl Story {
    fn say(&self, words: impl FnOnce() -> String) {
        if self.aloud {
            eprintln!("{:>12.3} {}", self.world.clock.monotonic().as_secs_f64(), words());
        }
    }

    async fn step(&mut self) {
        let disk = Arc::clone(&self.world.disk);
        match self.rng.below(40) {
            0..=9 => self.append().await,
            10..=12 => self.scrape().await,
            13..=17 => {
                let time = [1, 20, 600, 5000, 30_000][self.rng.below(5) as usize];
                let time = Duration::from_millis(1 + self.rng.below(time * 1000));
                self.wait(time).await;
            }
            18..=22 => self.maintain(),
            23 => {
                self.kill();
                self.start();
                self.read_all("after a kill");
            }
            24 => self.lose_power(false),
            25 => self.lose_power(true),
            26 | 27 => {
                // In the midst of something: whatever is next, it is not finished.
                let changes = self.rng.below(30);
                self.say(|| format!("the power will fail after {changes} changes"));
                disk.fail_power_after(Some(changes));
                self.dark_since = Some(self.world.clock.monotonic());
                self.dishonest_or(false).await;
                let disorder = self.rng.below(2) == 0;
                if self.rng.below(3) == 0 {
                    // The process dies there, the machine goes on.
                    disk.fail_power_after(None);
                    self.kill();
                    self.dark_since = None;
                    self.start();
                    self.read_all("after a kill in the midst");
                } else {
                    self.lose_power(disorder);
                }
            }
            28 => {
                let room = self.rng.below(3000) as usize;
                self.say(|| format!("room for {room} bytes"));
                disk.set_room(Some(room));
                self.dishonest_or(false).await;
                if self.rng.below(2) == 0 {
                    self.kill();
                    self.start_or_not();
                }
                self.heal();
            }
            29 => {
                self.say(|| "read-only".into());
                disk.set_read_only(true);
                self.failing_since.get_or_insert(self.world.clock.monotonic());
                self.dishonest_or(false).await;
                if self.rng.below(2) == 0 {
                    self.kill();
                    self.start_or_not();
                }
                self.heal();
            }
            30 => {
                let syncs = [Syncs::Fail, Syncs::Lie][self.rng.below(2) as usize];
                self.say(|| format!("syncs: {syncs:?}"));
                disk.set_syncs(syncs);
                if syncs == Syncs::Fail {
                    self.failing_since.get_or_insert(self.world.clock.monotonic());
                }
                self.dishonest_or(syncs == Syncs::Lie).await;
                self.heal();
            }
            31 => self.flip(),
            32 => {
                let by = self.rng.below(4 * 3_600_000) as i64 - 2 * 3_600_000;
                self.say(|| format!("the clock is set by {by} ms"));
                self.world.clock.jump(by);
                self.clock_was_set = true;
            }
            33 | 34 => self.delete(),
            35 => {
                self.kill();
                self.wait(Duration::from_secs(3600 * (6 + self.rng.below(40)))).await;
                self.start();
                self.maintain();
                self.read_all("after a day off");
            }
            36 => self.start_blind().await,
            _ => self.query(),
        }
    }

    /// Goes on for a while with a disk that fails.
    async fn dishonest_or(&mut self, lies: bool) {
        self.dishonest |= lies;
        for _ in 0..1 + self.rng.below(4) {
            match self.rng.below(4) {
                0 => self.append().await,
                1 => self.scrape().await,
                2 => self.maintain(),
                _ => {
                    let time = Duration::from_millis(self.rng.below(100_000));
                    self.wait(time).await;
                }
            }
        }
    }

    /// A file cannot be read at a start and for a while, as on a failing disk or with a wrong owner; then it can again.
    async fn start_blind(&mut self) {
        let files = self.world.disk.files();
        if files.is_empty() {
            return;
        }
        let path = files[self.rng.below(files.len() as u64) as usize].clone();
        self.kill();
        self.say(|| format!("{} cannot be read", path.display()));
        self.world.disk.set_unreadable(&path, true);
        self.blind = true;
        self.start_or_not();
        self.dishonest_or(false).await;
        if self.rng.below(2) == 0 {
            self.kill();
            self.start_or_not();
            self.dishonest_or(false).await;
        }
        self.kill();
        self.world.disk.set_unreadable(&path, false);
        self.blind = false;
        self.start();
        self.read_all("after a file could be read again");
    }

    /// The disk is well again.
    fn heal(&mut self) {
        let disk = &self.world.disk;
        disk.set_room(None);
        disk.set_read_only(false);
        disk.set_syncs(Syncs::Work);
        if self.store.is_none() {
            self.start();
            self.read_all("after the disk was mended");
        }
    }

    fn open(&self) -> Result<(MetricStore, OpenReport, Runtime), String> {
        let runtime = self.world.runtime();
        let opened = MetricStore::open(&runtime, Path::new(DIR), self.config.clone());
        let (store, report) = opened.map_err(|error| format!("{error:?}"))?;
        runtime.supervisor.spawn("store", store.task());
        self.say(|| format!("start: {report:?}"));
        Ok((store, report, runtime))
    }

    fn start(&mut self) -> OpenReport {
        let (store, report, runtime) = self.open().unwrap();
        self.store = Some((store, runtime));
        report
    }

    /// With a disk that is full or read-only the store may not open; what is on it must not suffer by the try.
    fn start_or_not(&mut self) {
        match self.open() {
            Ok((store, _, runtime)) => self.store = Some((store, runtime)),
            Err(error) => self.say(|| format!("no start: {error}")),
        }
    }

    /// As `kill -9`.
    fn kill(&mut self) {
        self.say(|| "kill".into());
        self.judge_failing();
        if let Some((store, runtime)) = self.store.take() {
            runtime.supervisor.abort();
            drop((store, runtime));
        }
    }

    /// Syncs failed: until the board is clean again nothing is promised of what was accepted since, and the next process
    /// knows nothing of it.
    fn judge_failing(&mut self) {
        let (Some(since), Some((_, runtime))) = (self.failing_since, &self.store) else { return };
        let is_told =
            runtime.troubles.list().iter().any(|trouble| ["metrics/sync", "metrics/log"].contains(&&*trouble.key));
        self.say(|| format!("syncs failed since {since:?}, on the board: {is_told}"));
        if is_told {
            for (_, known) in self.truth.values_mut() {
                if matches!(known, Known::Sure(at) if *at + INTERVAL_LOSS >= since) {
                    *known = Known::Maybe;
                }
            }
        }
        self.failing_since = None;
    }

    fn lose_power(&mut self, disorder: bool) {
        self.say(|| format!("power loss (disorder: {disorder}, dishonest: {})", self.dishonest));
        self.kill();
        let now = self.dark_since.take().unwrap_or_else(|| self.world.clock.monotonic());
        let safe = |known: Known| match (known, self.config.fsync) {
            (Known::Maybe, _) => false,
            (Known::Sure(_), _) if self.dishonest => false,
            (Known::Sure(_), Fsync::Always) => true,
            (Known::Sure(at), _) => at + INTERVAL_LOSS <= now,
        };
        for (_, known) in self.truth.values_mut() {
            if !safe(*known) {
                *known = Known::Maybe;
            }
        }
        if self.dishonest {
            self.buried.append(&mut self.deleted);
        }
        self.dishonest = false;
        if disorder {
            self.world.disk.lose_power_in_disorder();
        } else {
            self.world.disk.lose_power();
        }
        self.start();
        self.read_all("after power loss");
    }

    async fn wait(&mut self, time: Duration) {
        self.say(|| format!("wait {time:?}"));
        self.world.clock.sleep(time).await;
    }

    fn maintain(&mut self) {
        if let Some((store, _)) = &self.store {
            self.say(|| "maintain".into());
            store.maintain();
        }
    }

    fn name(&self, series: u64) -> Labels {
        if series >= FLOATS {
            return Labels::metric(NATIVE, &[("host", &format!("h{series}"))]);
        }
        let odd = if series % 2 == 1 { "yes" } else { "" };
        Labels::metric(["m", "n_total"][series as usize / 4 % 2], &[("host", &format!("h{series}")), ("odd", odd)])
    }

    async fn append(&mut self) {
        let now = self.world.clock.now().0;
        let count = 1 + self.rng.below(30);
        let mut points = Vec::new();
        for _ in 0..count {
            let labels = self.name(self.rng.below(NAMES));
            let time = now - self.rng.below(590_000) as i64;
            points.push((labels, time));
        }
        self.send(points).await;
    }

    /// A run of samples at a fixed step, as scrapes make them.
    async fn scrape(&mut self) {
        let series = self.rng.below(NAMES);
        let step = [1, 15, 60, 300][self.rng.below(4) as usize];
        for _ in 0..1 + self.rng.below(60) {
            self.world.clock.sleep(Duration::from_secs(step)).await;
            let now = self.world.clock.now().0;
            let points = vec![(self.name(series), now), (self.name((series + 3) % NAMES), now)];
            self.send(points).await;
        }
    }

    async fn send(&mut self, points: Vec<Key>) {
        let Some((store, _)) = &self.store else { return };
        let points: Vec<(Key, u64)> = points
            .into_iter()
            .filter(|key| {
                !self.truth.get(key).is_some_and(|(_, known)| self.blind || *known == Known::Maybe)
                    && !self.buried.contains_key(key)
                    && !self.deleted.contains_key(key)
            })
            .map(|key| {
                if is_native(&key.0) {
                    return (key, 10 + self.rng.below(1000));
                }
                let value = match self.rng.below(8) {
                    0 => stale_nan(),
                    1 => self.rng.unit(),
                    2 => f64::from_bits(self.rng.next_u64()),
                    _ => (key.1 / 1000) as f64,
                };
                (key, value.to_bits())
            })
            .collect();
        let (mut batch, mut places) = (Batch::new("test"), BTreeMap::new());
        for ((labels, time), bits) in &points {
            let place = || batch.add(SeriesKey::Labels(labels.clone()));
            let series = *places.entry(labels).or_insert_with(place);
            let timestamp = Timestamp(*time);
            if is_native(labels) {
                batch.histograms.push(BatchHistogram { series, timestamp, histogram: Arc::new(native(*bits)) });
            } else {
                batch.samples.push(BatchSample { series, timestamp, value: f64::from_bits(*bits) });
            }
            if self.rng.below(20) == 0 {
                let labels = Labels::from_pairs([("trace_id", "abc")]);
                batch.exemplars.push((series, Exemplar { labels, value: *time as f64, timestamp }));
                self.examples.insert((*time, (*time as f64).to_bits()));
            }
        }
        let answer = store.append(batch).await;
        let refused = answer.as_ref().map_or(0, |appended| appended.refused() - appended.duplicate);
        assert!(refused == 0 || self.clock_was_set, "{answer:?}");
        self.say(|| {
            format!(
                "append {} samples: {}",
                points.len(),
                answer.as_ref().map_or_else(ToString::to_string, |a| format!("{} kept", a.kept))
            )
        });
        let known = match answer {
            Ok(_) if refused == 0 => Known::Sure(self.world.clock.monotonic()),
            Ok(_) | Err(_) => Known::Maybe,
        };
        for (key, bits) in points {
            // Of two values for one time the first counts.
            self.truth.entry(key).or_insert((bits, known));
        }
    }

    /// Flips a bit while nothing runs; what is lost must be in the damaged file and must have been told.
    fn flip(&mut self) {
        let files = self.world.disk.files();
        if files.is_empty() || self.store.is_none() {
            return;
        }
        let path = files[self.rng.below(files.len() as u64) as usize].clone();
        self.kill();
        let content = self.world.runtime().disk.read(&path).unwrap();
        if content.is_empty() || path.starts_with(Path::new(DIR).join("damaged")) {
            self.start();
            return;
        }
        // What only this file holds, by a start without it.
        let whole = self.snapshot();
        let without = {
            let world = self.copy(&whole, Some(&path));
            let (store, _) = MetricStore::open(&world.runtime(), Path::new(DIR), self.config.clone()).unwrap();
            read(&store, &mut 20)
        };
        let bit = self.rng.below(content.len() as u64 * 8);
        self.say(|| format!("bit {bit} of {} flips", path.display()));
        self.world.disk.flip_bit(&path, bit);
        let report = self.start();
        let (store, runtime) = self.store.as_ref().unwrap();
        let mut refusals = 20;
        let found = read(store, &mut refusals);
        let told = !report.damaged.is_empty()
            || report.nameless_samples > 0
            || report.torn_bytes > 0
            || runtime.troubles.list().iter().any(|trouble| trouble.key.starts_with("metrics/damaged"));
        // What says that something was deleted may be what was damaged.
        self.buried.append(&mut self.deleted);
        let mut lost = Vec::new();
        for (key, (bits, known)) in &self.truth {
            match found.get(key) {
                Some(have) => assert_eq!(have, bits, "{key:?} has another value after a bit flipped"),
                None if *known == Known::Maybe => {}
                None => {
                    assert!(
                        !without.contains_key(key),
                        "{key:?} was lost, but is not in the damaged {}",
                        path.display()
                    );
                    lost.push(key.clone());
                }
            }
        }
        self.say(|| format!("{} samples are lost by it, told: {told}: {report:?}", lost.len()));
        assert!(told || lost.is_empty(), "{} samples were lost and nobody was told; {}", lost.len(), path.display());
        if path.extension().is_some_and(|end| end == "sealed") {
            assert!(lost.is_empty(), "the mark only saves time");
        }
        for key in lost {
            let (bits, _) = self.truth.remove(&key).expect("it was there");
            self.buried.insert(key, bits);
        }
        self.damaged = true;
        self.read_all("after a bit flipped");
    }

    fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let disk = self.world.runtime().disk;
        self.world.disk.files().into_iter().map(|path| (path.clone(), disk.read(&path).unwrap())).collect()
    }

    /// Another disk with the same files but one, and the same clock. Without the list of blocks, so that a block that is
    /// left out is not missed: the whole log would be replayed for it.
    fn copy(&self, files: &[(PathBuf, Vec<u8>)], but: Option<&PathBuf>) -> World {
        let disk = Arc::new(watchbell_runtime::sim::SimDisk::new(Rng::seeded(1)));
        for (path, content) in files.iter().filter(|(path, _)| Some(path) != but && !path.ends_with("blocks/list")) {
            disk.put(path, content);
        }
        World { disk, ..self.world.clone() }
    }

    /// Everything, against what should be there.
    fn read_all(&mut self, when: &str) {
        let Some((store, _)) = &self.store else { return };
        let mut refusals = if self.damaged { 20 } else { 0 };
        let found = read(store, &mut refusals);
        for (key, (bits, known)) in &self.truth {
            match (found.get(key), known) {
                (Some(have), _) => assert_eq!(have, bits, "{key:?} has another value {when}"),
                (None, Known::Maybe) => {}
                (None, Known::Sure(at)) => panic!("{key:?}, acknowledged at {at:?}, is lost {when}"),
            }
        }
        for (key, bits) in &found {
            let sent = self.truth.get(key).map(|(bits, _)| *bits).or_else(|| self.buried.get(key).copied());
            assert!(!self.deleted.contains_key(key), "{key:?} is there {when}, but was deleted");
            assert_eq!(sent, Some(*bits), "{key:?} is there {when}, but nobody sent it");
        }
        for (labels, examples) in store.exemplars(&Lookup::ALL).unwrap() {
            for it in examples {
                let sent = self.examples.contains(&(it.timestamp.0, it.value.to_bits()));
                assert!(sent, "{labels} has an example {when} that nobody sent: {it:?}");
            }
        }
        self.read_copies((i64::MIN, i64::MAX), &mut refusals, when);
        self.settle(&found);
    }

    /// What might have been lost and was is not expected any more; it may turn up again, where a file comes back whose
    /// removal was not synced, so it is not sent again.
    fn settle(&mut self, found: &BTreeMap<Key, u64>) {
        let before = self.truth.len();
        let buried = &mut self.buried;
        self.truth.retain(|key, (bits, known)| {
            let stays = *known != Known::Maybe || found.contains_key(key);
            if !stays {
                buried.insert(key.clone(), *bits);
            }
            stays
        });
        let lost = before - self.truth.len();
        self.say(|| format!("read {} samples, {lost} were lost at their owner's risk", found.len()));
    }

    /// Deletes a stretch of one series.
    fn delete(&mut self) {
        let Some((store, _)) = &self.store else { return };
        let name = self.name(self.rng.below(NAMES));
        let reach = [20_000_000, 400_000_000][self.rng.below(2) as usize];
        let from = self.world.clock.now().0 - self.rng.below(reach) as i64;
        let to = from + self.rng.below(reach / 2) as i64;
        let matchers: Vec<Matcher> = name.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
        let done = store.delete(&[matchers], Timestamp(from), Timestamp(to), false);
        self.say(|| format!("delete {name} from {from} to {to}: {done:?}"));
        let keys: Vec<Key> = self.truth.range((name.clone(), from)..=(name, to)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            if done.is_ok() {
                let (bits, _) = self.truth.remove(&key).expect("it is there");
                self.deleted.insert(key, bits);
            } else if let Some((_, known)) = self.truth.get_mut(&key) {
                *known = Known::Maybe;
            }
        }
    }

    /// A range of one series, and whether the lookup of series agrees.
    fn query(&mut self) {
        let Some((store, _)) = &self.store else { return };
        let name = self.name(self.rng.below(NAMES));
        let now = self.world.clock.now().0;
        let from = now - self.rng.below(200_000_000) as i64;
        let to = from + self.rng.below(100_000_000) as i64;
        let matchers: Vec<Matcher> = name.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
        let select = || store.select(&matchers, Timestamp(from), Timestamp(to));
        let mut refusals = if self.damaged { 20 } else { 0 };
        let found: BTreeMap<i64, u64> = patiently(&mut refusals, select).iter().flat_map(bits_of).collect();
        let range = (name.clone(), from)..=(name.clone(), to);
        for ((_, time), (bits, known)) in self.truth.range(range.clone()) {
            match found.get(time) {
                Some(have) => assert_eq!(have, bits),
                None => assert_eq!(*known, Known::Maybe, "{name} at {time}"),
            }
        }
        for (time, bits) in &found {
            let key = (name.clone(), *time);
            let sent = self.truth.get(&key).map(|(bits, _)| *bits).or_else(|| self.buried.get(&key).copied());
            assert_eq!(sent, Some(*bits), "{key:?}");
        }
        let matchers = [matchers];
        let lookup = Lookup { matchers: &matchers, start: Timestamp(from), end: Timestamp(to), limit: 0 };
        if !found.is_empty() {
            assert_eq!(store.series(&lookup).unwrap().items, [name]);
        }
        self.read_copies((from, to), &mut refusals, "in a range");
    }

    /// Sums over windows, which come from copies where there are some, against those of the samples from a first to a
    /// last time.
    fn read_copies(&self, (first, last): (i64, i64), refusals: &mut u32, when: &str) {
        let Some((store, _)) = &self.store else { return };
        let minutes = [5, 60, 180, 1440][self.rng.below(4) as usize];
        let all = patiently(refusals, || store.rollup(&[], Timestamp(first), Timestamp(last), Span::minutes(minutes)));
        let mut found = BTreeMap::new();
        for (labels, rollups) in all {
            assert!(rollups.is_sorted_by(|a, b| a.start < b.start), "each window once, in order");
            found.extend(rollups.into_iter().map(|it| ((labels.clone(), it.start.0), it)));
        }
        let mut windows = BTreeMap::<Key, (Vec<Sample>, u64)>::new();
        let truth = self.truth.iter().map(|(key, (bits, known))| (key, *bits, *known == Known::Maybe));
        for (key, bits, is_maybe) in truth.chain(self.buried.iter().map(|(key, bits)| (key, *bits, true))) {
            let ((labels, time), value) = (key, f64::from_bits(bits));
            if is_native(labels) || value.is_nan() || *time < first || last < *time {
                continue;
            }
            let start = time - time.rem_euclid(minutes as i64 * 60_000);
            let (sure, maybe) = windows.entry((labels.clone(), start)).or_default();
            if is_maybe {
                *maybe += 1;
            } else {
                sure.push(Sample { timestamp: Timestamp(*time), value });
            }
        }
        let (judged, of) = (windows.values().filter(|(_, maybe)| *maybe == 0).count(), windows.len());
        self.say(|| format!("sums over {minutes} minutes: {judged} of {of} windows are sure"));
        for (key, (sure, maybe)) in windows {
            let have = found.remove(&key);
            let (count, least) = (have.map_or(0, |it| it.count), sure.len() as u64);
            let range = least..=least + maybe;
            assert!(range.contains(&count), "{key:?} by {minutes} minutes counts {count}, not {range:?} {when}");
            if let Some(have) = have.filter(|_| maybe == 0) {
                let should = Rollup::of(&sure, None, Span::minutes(minutes))[0];
                let same = (have.min, have.max, have.last) == (should.min, should.max, should.last);
                // In another order floats sum up to a little more or less, or to no number if they are too big.
                let size: f64 = sure.iter().map(|it| it.value.abs()).sum();
                let off = (have.sum - should.sum).abs();
                let same = same && (off.is_nan() || off <= size * 1e-9);
                assert!(same, "{key:?} by {minutes} minutes is {have:?}, not {should:?} {when}");
            }
        }
        assert!(found.is_empty(), "windows by {minutes} minutes are there {when}, but should not be: {found:?}");
    }

    /// There are copies now of whatever there is.
    fn expect_copies(&self) {
        let Some((store, _)) = &self.store else { return };
        let is_number = |key: &Key, bits: u64| !is_native(&key.0) && !f64::from_bits(bits).is_nan();
        let numbers = self.truth.iter().filter(|(key, (bits, _))| is_number(key, *bits)).count();
        let kept = [&self.config.rollups.five_minutes, &self.config.rollups.hour];
        if numbers > 0 && kept.iter().any(|it| it.retention > Span::ZERO) {
            assert!(store.stats().rollup_blocks > 0, "{:?}", store.stats());
        }
    }
}

/// Asks until it is answered; a damaged part may refuse the first few times.
fn patiently<T>(refusals: &mut u32, ask: impl Fn() -> Result<T, QueryError>) -> T {
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(*refusals > 0, "{error}"),
        }
        *refusals -= 1;
    }
}

/// All samples.
fn read(store: &MetricStore, refusals: &mut u32) -> BTreeMap<Key, u64> {
    let all = patiently(refusals, || store.select(&[], Timestamp::MIN, Timestamp::MAX));
    let mut found = BTreeMap::new();
    for series in all {
        assert!(series.samples.is_sorted_by(|a, b| a.timestamp < b.timestamp), "each time once, in order");
        for (time, bits) in bits_of(&series) {
            found.insert((series.labels.clone(), time), bits);
        }
    }
    found
}

/// Times of a series, each with the bits of its number, or with what its histogram was made of.
fn bits_of(series: &Series) -> Vec<(i64, u64)> {
    let floats = series.samples.iter().map(|it| (it.timestamp.0, it.value.to_bits()));
    let natives = series.histograms.iter().map(|it| {
        let number = it.histogram.count as u64;
        let plain = Histogram { reset: ResetHint::Unknown, ..(*it.histogram).clone() };
        assert_eq!(plain, native(number), "{} has another histogram at {}", series.labels, it.timestamp.0);
        (it.timestamp.0, number)
    });
    floats.chain(natives).collect()
}

/// The name of series of histograms.
const NATIVE: &str = "native";

fn is_native(labels: &Labels) -> bool {
    labels.name() == Some(NATIVE)
}

/// A histogram that counts so many observations; the number also decides its layout.
fn native(number: u64) -> Histogram {
    let (below, gap) = ((number - 1) / 3, (number % 3) as i32);
    let spans = vec![BucketSpan { offset: gap - 2, length: 1 }, BucketSpan { offset: 1 + gap, length: 1 }];
    Histogram {
        schema: (number / 300) as i32,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: number as f64,
        sum: number as f64 * 1.5,
        positive: Buckets { spans, counts: vec![below as f64, (number - 1 - below) as f64] },
        ..Histogram::default()
    }
}
