//! What must be done from time to time, off the way of writers and readers: sync, seal, merge, forget.

use std::io;
use std::time::Duration;

use watchbell_model::Severity;
use watchbell_runtime::{CancellationToken, Clock, Disk, Task, thread};

use super::cardinality::Explosions;
use super::index::Ref;
use super::seal::Mark;
use super::series::{WINDOW, millis};
use super::{Fsync, Inner, MetricStore, merge};

/// How often what could not be written into the log is tried again, whatever the policy.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether something is to be sealed, merged or forgotten.
const UPKEEP_EVERY: Duration = Duration::from_secs(10);
/// How long what failed is left alone.
const FAILED_PAUSE: Duration = Duration::from_secs(60);
/// How long after its window is over, and late samples may no longer come, a block is made.
const SEAL_AFTER: i64 = 60_000;
/// How late samples may be for a window to wait for them; those that come later go into blocks of their own.
const SEAL_LATE_MAX: i64 = 600_000;
/// When there are more samples in memory, they are sealed at once, whatever the time: a start after the end of the
/// process, however it ended, reads them from the log.
const HEAD_SAMPLES_MAX: u64 = 6_000_000;
/// When samples in memory take more, they are sealed at once, whatever the time.
const HEAD_BYTES_MAX: u64 = 64 << 20;
/// When the log takes more, samples are sealed at once, whatever the time.
const LOG_BYTES_MAX: u64 = 96 << 20;
/// How long after its last sample a series has ended, once that is in a block.
const ENDED_AFTER: i64 = 2 * WINDOW;
/// How many series are looked at in one round whether they have ended.
const LOOK_MAX: usize = 1 << 16;
/// How many series are forgotten in one round: writers wait for it.
const FORGET_MAX: usize = 2048;
/// A clock that ran ahead of our own count by more than this was set: nothing is forgotten by it before a restart.
const CLOCK_JUMP_MAX: Duration = Duration::from_secs(86_400);

/// What upkeep remembers. Whoever holds its lock is the only one who seals, merges or forgets.
pub(crate) struct Upkeep {
    sealed_until: Option<i64>,
    /// Where the search for series that have ended goes on.
    looked_at: Ref,
    explosions: Explosions,
    not_before: Duration,
    opened: (i64, Duration),
}

impl Upkeep {
    pub(crate) fn new(clock: &Clock, mark: Option<Mark>) -> Upkeep {
        let opened = (clock.now().0, clock.monotonic());
        let (looked_at, explosions) = (0, Explosions::default());
        Upkeep { sealed_until: mark.map(|mark| mark.end), looked_at, explosions, not_before: Duration::ZERO, opened }
    }
}

impl MetricStore {
    /// The task that keeps the store in order; without it nothing is synced under [`Fsync::Interval`], and nothing
    /// ever leaves memory and log.
    pub fn task(&self) -> Task {
        let store = self.clone();
        Task::new("metrics", 0, move |stop| {
            let store = store.clone();
            async move {
                // Apart, because merging takes longer than the log may wait.
                tokio::join!(
                    biased;
                    store.every(store.inner.sync_every(), &stop, |store| store.inner.sync_log()),
                    store.every(UPKEEP_EVERY, &stop, MetricStore::maintain),
                    store.when_crowded(&stop),
                );
            }
        })
    }

    async fn every(&self, pause: Duration, stop: &CancellationToken, run: fn(&MetricStore)) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.inner.runtime.clock.sleep(pause) => {}
            }
            self.run(run).await;
        }
    }

    /// Seals before its time what is too much for memory.
    async fn when_crowded(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.inner.crowded.notified() => {}
            }
            self.run(MetricStore::keep_head).await;
        }
    }

    async fn run(&self, run: fn(&MetricStore)) {
        let store = self.clone();
        match &self.inner.runtime.disk {
            Disk::Os => thread::blocking(move || run(&store)).await,
            Disk::Sim(_) => run(&store),
        }
    }

    /// Seals, merges and forgets what is due now. Blocks as long as that takes.
    pub fn maintain(&self) {
        self.keep_head();
        let inner = &self.inner;
        inner.told("merge", "blocks cannot be merged", inner.merge_due());
        let upkeep = inner.upkeep.lock().expect("no panic while held");
        inner.told("forget", "old blocks cannot be removed", inner.forget_old(&upkeep));
    }

    fn keep_head(&self) {
        let inner = &self.inner;
        let mut upkeep = inner.upkeep.lock().expect("no panic while held");
        let elapsed = inner.runtime.clock.monotonic();
        if elapsed >= upkeep.not_before {
            let sealed = inner.seal_due(&mut upkeep);
            if !inner.told("seal", "samples cannot be written into blocks", sealed) {
                upkeep.not_before = elapsed + FAILED_PAUSE;
            }
        }
        inner.forget_ended(&mut upkeep);
        inner.look_at_limits(&mut upkeep.explosions);
        drop(upkeep);
        let (stats, metrics) = (self.stats(), &inner.runtime.metrics);
        for (name, help, value) in [
            ("watchbell_metrics_series", "Active series.", stats.series),
            ("watchbell_metrics_head_bytes", "Bytes of samples in memory.", stats.head_bytes),
            ("watchbell_metrics_log_bytes", "Bytes of the log.", stats.wal_bytes),
            ("watchbell_metrics_blocks", "Blocks on disk.", stats.blocks),
            ("watchbell_metrics_block_bytes", "Bytes of blocks.", stats.block_bytes),
        ] {
            metrics.gauge(name, help, &[]).set(value as f64);
        }
    }
}

impl Inner {
    fn sync_every(&self) -> Duration {
        match self.config.fsync {
            Fsync::Interval => self.config.fsync_interval.duration(),
            Fsync::Always | Fsync::Never => WRITE_EVERY,
        }
    }

    /// Whether there is so much in memory, or in the log, that it is to be sealed before its time.
    pub(crate) fn is_crowded(&self, log_bytes: u64) -> bool {
        self.heads.samples() > HEAD_SAMPLES_MAX || self.heads.bytes() > HEAD_BYTES_MAX || log_bytes > LOG_BYTES_MAX
    }

    /// Failures are on the board, and tried again at the next round.
    fn sync_log(&self) {
        let log = || self.log.lock().expect("no panic while held");
        if self.write(&mut log()).is_err() || self.config.fsync != Fsync::Interval {
            return;
        }
        let begun = log().begin_sync();
        let synced = begun.and_then(|begun| match begun {
            Some(mut sync) => {
                // Writers go on meanwhile: a slow disk must not hold up what is judged.
                let result = sync.run();
                log().end_sync(&sync, result)
            }
            None => Ok(()),
        });
        self.told("sync", "samples cannot be made to survive power loss", synced);
    }

    fn seal_due(&self, upkeep: &mut Upkeep) -> io::Result<()> {
        let now = self.runtime.clock.now().0;
        let late = millis(self.config.out_of_order_window).min(SEAL_LATE_MAX);
        let settled = now.saturating_sub(late).saturating_sub(SEAL_AFTER);
        let end = settled.div_euclid(WINDOW).saturating_mul(WINDOW);
        let log = self.log.lock().expect("no panic while held");
        let (distrusted, bytes) = (log.is_distrusted(), log.bytes());
        drop(log);
        if distrusted || self.is_crowded(bytes) {
            self.seal_all(upkeep)?;
        } else if upkeep.sealed_until != Some(end) {
            self.seal(end)?;
            upkeep.sealed_until = Some(end);
        }
        Ok(())
    }

    /// Moves all that is in memory into blocks.
    pub(crate) fn seal_all(&self, upkeep: &mut Upkeep) -> io::Result<()> {
        self.seal(i64::MAX)?;
        self.log.lock().expect("no panic while held").trust();
        upkeep.sealed_until = None;
        Ok(())
    }

    /// Forgets some of the series that have ended: a bounded number, because whoever commits waits for it.
    fn forget_ended(&self, upkeep: &mut Upkeep) {
        let before = self.runtime.clock.now().0.saturating_sub(ENDED_AFTER);
        let mut ended = self.heads.dead(&mut upkeep.looked_at, LOOK_MAX, before);
        if ended.len() > FORGET_MAX {
            upkeep.looked_at = ended[FORGET_MAX];
            ended.truncate(FORGET_MAX);
        }
        if !ended.is_empty() {
            let _log = self.log.lock().expect("no panic while held");
            self.heads.forget(&ended, before);
        }
    }

    fn merge_due(&self) -> io::Result<()> {
        let now = self.runtime.clock.now().0;
        match merge::due(&self.blocks.serving(), now, millis(self.config.retention)) {
            Some(group) => self.leave_room().and_then(|()| self.merge(&group)),
            None => Ok(()),
        }
    }

    /// Blocks that are too old, and the oldest of those that are too many.
    fn forget_old(&self, upkeep: &Upkeep) -> io::Result<()> {
        let clock = &self.runtime.clock;
        let (opened, elapsed) = (upkeep.opened.0, clock.monotonic().saturating_sub(upkeep.opened.1));
        let jump = clock.now().0.saturating_sub(opened).saturating_sub(elapsed.as_millis() as i64);
        let oldest = if jump > CLOCK_JUMP_MAX.as_millis() as i64 {
            i64::MIN
        } else {
            clock.now().0.saturating_sub(millis(self.config.retention))
        };
        let serving = self.blocks.serving();
        let mut by_age: Vec<_> = serving.iter().collect();
        by_age.sort_by_key(|block| std::cmp::Reverse(block.meta.last));
        let mut bytes = self.log.lock().expect("no panic while held").bytes();
        let mut gone = Vec::new();
        for block in by_age {
            bytes += block.bytes();
            let too_many = self.config.retention_size > 0 && bytes > self.config.retention_size;
            if block.meta.last < oldest || too_many {
                gone.push(block);
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.blocks.replace(Vec::new(), &gone.iter().map(|block| block.number).collect::<Vec<_>>());
        for block in gone {
            self.runtime.disk.remove(&block.path)?;
        }
        self.blocks.sync()
    }

    /// Puts a failure on the board, or takes it off; says whether all is well.
    fn told(&self, what: &str, words: &str, result: io::Result<()>) -> bool {
        let key = format!("metrics/{what}");
        match &result {
            Ok(()) => self.runtime.troubles.clear(&key),
            Err(error) => self.runtime.troubles.set(&key, Severity::Warning, format!("{words}: {error}")),
        }
        result.is_ok()
    }
}
