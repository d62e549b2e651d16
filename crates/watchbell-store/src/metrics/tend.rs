//! What is done to blocks from time to time, off the way of writers, readers and sealing: merge, forget, and see
//! whether they are still whole.
//!
//! One round at a time, on a thread that gets what others leave of the processor; it ends early when the process does.

use std::io;
use std::time::Duration;

use watchbell_runtime::Runtime;
use watchbell_runtime::metrics::{Counter, Histogram, Metrics};

use super::block::Block;
use super::scrub::Scrubbing;
use super::series::millis;
use super::{Inner, merge};

/// How long what failed is left alone.
const FAILED_PAUSE: Duration = Duration::from_secs(60);

/// What tending remembers. Whoever holds its lock is the only one who merges or removes blocks.
pub(crate) struct Tending {
    not_before: Duration,
    /// Wall clock and own count when the store was opened.
    pub(crate) opened: (i64, Duration),
    pub(crate) scrubbing: Scrubbing,
}

/// Which blocks serve changes only while this is held.
#[derive(Default)]
pub(crate) struct Shelf {
    /// The list of those that serve could not be written.
    unlisted: bool,
    /// Which days are in coarser copies could not be written.
    pub(crate) unsaved: bool,
    /// First and last time of what changed since the making of rollups that is under way began.
    pub(crate) changed: Vec<(i64, i64)>,
}

impl Shelf {
    /// Interrupted, if something between these times changed.
    pub(crate) fn check_unchanged(&self, start: i64, end: i64) -> io::Result<()> {
        let overlaps = self.changed.iter().any(|(first, last)| *first <= end && start <= *last);
        if overlaps { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

/// What merging cost.
pub(crate) struct Work {
    pub(crate) merges: Counter,
    pub(crate) read: Counter,
    pub(crate) written: Counter,
    pub(crate) seconds: Histogram,
    pub(crate) days: Counter,
}

impl Work {
    pub(crate) fn new(metrics: &Metrics) -> Work {
        Work {
            merges: metrics.counter("watchbell_metrics_merges_total", "Merges of blocks.", &[]),
            read: metrics.counter("watchbell_metrics_merge_read_bytes_total", "Bytes of blocks that were merged.", &[]),
            written: metrics.counter("watchbell_metrics_merge_written_bytes_total", "Bytes of merged blocks.", &[]),
            seconds: metrics.histogram(
                "watchbell_metrics_merge_seconds",
                "How long a merge took.",
                &[],
                &[0.01, 0.1, 1.0, 10.0, 60.0, 600.0],
            ),
            days: metrics.counter("watchbell_metrics_rollup_days_total", "Days that coarser copies were made of.", &[]),
        }
    }
}

impl Tending {
    pub(crate) fn new(runtime: &Runtime) -> Tending {
        let opened = (runtime.clock.now().0, runtime.clock.monotonic());
        Tending { not_before: Duration::ZERO, opened, scrubbing: Scrubbing::new(runtime) }
    }
}

impl Inner {
    /// Does all that is due now; `stop` says that the process wants to end.
    pub(crate) fn tend(&self, stop: &dyn Fn() -> bool) {
        let mut tending = self.tending.lock().expect("no panic while held");
        let elapsed = self.runtime.clock.monotonic();
        if elapsed < tending.not_before {
            return;
        }
        let done = [
            self.told("scrub", "blocks cannot be read through", self.scrub(&mut tending.scrubbing, stop)),
            self.told("merge", "blocks cannot be merged", self.merge_all(stop)),
            self.told("rollup", "coarser copies cannot be made", self.make_rollups(&tending, stop)),
            self.told("forget", "old blocks cannot be removed", self.forget_old(&tending)),
        ];
        let mut shelf = self.shelf.lock().expect("no panic while held");
        self.save_list(&mut shelf, false);
        drop(shelf);
        if done.contains(&false) {
            tending.not_before = elapsed + FAILED_PAUSE;
        }
    }

    /// Merges as long as there is something to merge.
    fn merge_all(&self, stop: &dyn Fn() -> bool) -> io::Result<()> {
        while !stop() {
            let now = self.runtime.clock.now().0;
            let Some(group) = merge::due(&self.blocks.serving(), now, millis(self.config.retention)) else { break };
            match self.merge(&group, stop) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
                result => result?,
            };
        }
        Ok(())
    }

    /// New samples serve from these blocks.
    pub(crate) fn serve(&self, new: Vec<Block>) {
        let mut shelf = self.shelf.lock().expect("no panic while held");
        for block in &new {
            self.changed(&mut shelf, block.meta.first, block.meta.last);
        }
        self.blocks.replace(new, &[]);
        self.save_list(&mut shelf, true);
    }

    /// Names on disk which blocks serve, if that changed or failed before; a failure costs nothing but what the list
    /// is good for, and is tried again. Never before it is on disk which days of copies the blocks changed: what the
    /// list does not name is new at the next start, and changes them then.
    pub(crate) fn save_list(&self, shelf: &mut Shelf, changed: bool) {
        shelf.unlisted |= changed;
        if self.save_days(shelf, false).is_ok() && shelf.unlisted {
            shelf.unlisted = self.blocks.save_list().is_err();
        }
    }
}
