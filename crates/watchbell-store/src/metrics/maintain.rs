//! What must be done from time to time, off the way of writers and readers: sync, seal, merge, forget.

use std::io;
use std::time::Duration;

use watchbell_model::Severity;
use watchbell_runtime::{CancellationToken, Disk, Task, thread};

use super::seal::Mark;
use super::series::{WINDOW, millis};
use super::{Fsync, Inner, MetricStore};

/// How often the log is synced under [`Fsync::Interval`].
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether something is to be sealed, merged or forgotten.
const UPKEEP_EVERY: Duration = Duration::from_secs(10);
/// How long what failed is left alone.
const FAILED_PAUSE: Duration = Duration::from_secs(60);
/// How long after its window is over, and late samples may no longer come, a block is made.
const SEAL_AFTER: i64 = 60_000;
/// When samples in memory take more, they are sealed at once, whatever the time.
const HEAD_BYTES_MAX: u64 = 256 << 20;

/// What upkeep remembers. Whoever holds its lock is the only one who seals.
pub(crate) struct Upkeep {
    sealed_until: Option<i64>,
    not_before: Duration,
}

impl Upkeep {
    pub(crate) fn new(mark: Option<Mark>) -> Upkeep {
        Upkeep { sealed_until: mark.map(|mark| mark.end), not_before: Duration::ZERO }
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
                    store.every(SYNC_EVERY, &stop, |store| store.inner.sync_log()),
                    store.every(UPKEEP_EVERY, &stop, MetricStore::keep_head),
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
            let store = self.clone();
            match &self.inner.runtime.disk {
                Disk::Os => thread::blocking(move || run(&store)).await,
                Disk::Sim(_) => run(&store),
            }
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
                let result = sync.file.sync();
                log().end_sync(&sync, result)
            }
            None => Ok(()),
        });
        self.told("sync", "samples cannot be made to survive power loss", synced);
    }

    fn seal_due(&self, upkeep: &mut Upkeep) -> io::Result<()> {
        let now = self.runtime.clock.now().0;
        let settled = now.saturating_sub(millis(self.config.out_of_order_window)).saturating_sub(SEAL_AFTER);
        let end = settled.div_euclid(WINDOW).saturating_mul(WINDOW);
        let distrusted = self.log.lock().expect("no panic while held").is_distrusted();
        if distrusted || self.heads.bytes() > HEAD_BYTES_MAX {
            self.seal(i64::MAX, now, distrusted)?;
            self.log.lock().expect("no panic while held").trust();
        } else if upkeep.sealed_until != Some(end) {
            self.seal(end, now, false)?;
            upkeep.sealed_until = Some(end);
        }
        Ok(())
    }

    /// Moves all that is in memory into blocks.
    pub(crate) fn seal_all(&self, upkeep: &mut Upkeep) -> io::Result<()> {
        let distrusted = self.log.lock().expect("no panic while held").is_distrusted();
        self.seal(i64::MAX, self.runtime.clock.now().0, distrusted)?;
        self.log.lock().expect("no panic while held").trust();
        upkeep.sealed_until = None;
        Ok(())
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
