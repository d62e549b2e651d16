//! What must be done from time to time, off the way of writers and readers: sync, seal, merge, forget.

use std::io;
use std::time::Duration;

use watchbell_model::Severity;
use watchbell_runtime::{CancellationToken, Disk, Task, thread};

use super::cardinality::Explosions;
use super::index::Ref;
use super::seal::Mark;
use super::series::{WINDOW, millis};
use super::{Fsync, Inner, MetricStore};

/// How often what could not be written into the log is tried again, whatever the policy.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether something is to be sealed, merged or forgotten.
const UPKEEP_EVERY: Duration = Duration::from_secs(10);
/// How long what failed is left alone.
const FAILED_PAUSE: Duration = Duration::from_secs(60);
/// How long sealing before its time rests before it is done again.
const CROWDED_PAUSE: Duration = Duration::from_secs(1);
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

/// What upkeep remembers. Whoever holds its lock is the only one who seals.
pub(crate) struct Upkeep {
    sealed_until: Option<i64>,
    /// Where the search for series that have ended goes on.
    looked_at: Ref,
    explosions: Explosions,
    not_before: Duration,
}

impl Upkeep {
    pub(crate) fn new(mark: Option<Mark>) -> Upkeep {
        let (looked_at, explosions) = (0, Explosions::default());
        Upkeep { sealed_until: mark.map(|mark| mark.end), looked_at, explosions, not_before: Duration::ZERO }
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
                    store.every(UPKEEP_EVERY, &stop, MetricStore::keep_head),
                    store.when_crowded(&stop),
                    store.tend_blocks(&stop),
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
            // It may not have helped, and would be asked for with each batch.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.inner.runtime.clock.sleep(CROWDED_PAUSE) => {}
            }
        }
    }

    async fn run(&self, run: fn(&MetricStore)) {
        let store = self.clone();
        match &self.inner.runtime.disk {
            Disk::Os => thread::blocking(move || run(&store)).await,
            Disk::Sim(_) => run(&store),
        }
    }

    /// Merging takes long and may wait: it gets what others leave of the processor.
    async fn tend_blocks(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.inner.runtime.clock.sleep(UPKEEP_EVERY) => {}
            }
            let (store, stopped) = (self.clone(), stop.clone());
            let run = move || store.inner.tend(&|| stopped.is_cancelled());
            match &self.inner.runtime.disk {
                Disk::Os => thread::background("metrics-blocks", run).await,
                Disk::Sim(_) => run(),
            }
        }
    }

    /// Seals, merges and forgets what is due now. Blocks as long as that takes.
    pub fn maintain(&self) {
        self.keep_head();
        self.inner.tend(&|| false);
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

    /// Failures are on the board, and tried again at the next round. What was written before is synced also when
    /// nothing more can be written, as on a full disk: it was acknowledged.
    fn sync_log(&self) {
        let log = || self.log.lock().expect("no panic while held");
        let _ = self.write(&mut log());
        if self.config.fsync != Fsync::Interval {
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

    /// Puts a failure on the board, or takes it off; says whether all is well.
    pub(crate) fn told(&self, what: &str, words: &str, result: io::Result<()>) -> bool {
        let key = format!("metrics/{what}");
        match &result {
            Ok(()) => self.runtime.troubles.clear(&key),
            Err(error) => self.runtime.troubles.set(&key, Severity::Warning, format!("{words}: {error}")),
        }
        result.is_ok()
    }
}
