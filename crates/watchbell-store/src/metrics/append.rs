//! Writing: batches that arrive together are committed together.
//!
//! Whoever comes first leads: takes all batches that wait into the head and the log in one write, and goes on until
//! none waits. Samples go into the head first, so that the log holds exactly what was taken; see the invariants of
//! [`super`] for what happens when the log cannot be written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use watchbell_model::{Append, AppendError, Appended, Batch, BoxFuture, SeriesKey, Severity};
use watchbell_runtime::metrics::{Counter, Metrics};
use watchbell_runtime::{Disk, fault, thread};

use super::take::Taking;
use super::wal::Wal;
use super::{Fsync, Inner, MetricStore};

/// How many batches may wait to be committed; further ones are refused at once.
pub const BATCHES_WAITING_MAX: usize = 4096;
/// How many bytes those may take in memory; one that is bigger is taken only when none waits.
pub const BYTES_WAITING_MAX: usize = 64 << 20;
/// How many batches are committed together at most.
const GROUP_MAX: usize = 256;
/// How long a batch waits for its commit before its sender is told that it may be lost.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Samples in memory may take so many bytes, which they do only if nothing can be written into blocks; more are refused.
const HEAD_BYTES_MAX: u64 = 512 << 20;
/// How many bytes series leave free on a disk that fills up: more than the reserve of durable state.
const ROOM_LEFT: u64 = 8 << 20;
/// The trouble raised while the log cannot be written.
const TROUBLE: &str = "metrics/log";

/// Batches that wait.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Vec<Waiting>,
    /// About how many bytes they take.
    bytes: usize,
    /// Somebody is committing and will look again before leaving.
    led: bool,
    pub(crate) closed: bool,
}

struct Waiting {
    batch: Batch,
    bytes: usize,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
}

pub(crate) struct Counters {
    kept: Counter,
    duplicate: Counter,
    too_old: Counter,
    too_new: Counter,
    over_limit: Counter,
    unknown: Counter,
    failed: Counter,
    pub(crate) damaged_chunks: Counter,
    pub(crate) damaged_blocks: Counter,
    pub(crate) invalid: Counter,
    pub(crate) starts_refused: Counter,
    pub(crate) exemplars_out_of_order: Counter,
    pub(crate) exemplars_too_long: Counter,
}

impl Counters {
    pub(crate) fn new(metrics: &Metrics) -> Counters {
        let refused = |reason| {
            let help = "Samples that were refused, by reason.";
            metrics.counter("watchbell_metrics_samples_refused_total", help, &[("reason", reason)])
        };
        let exemplars = |reason| {
            let help = "Exemplars that were refused, by reason.";
            metrics.counter("watchbell_metrics_exemplars_refused_total", help, &[("reason", reason)])
        };
        Counters {
            invalid: refused("invalid"),
            starts_refused: metrics.counter(
                "watchbell_metrics_starts_refused_total",
                "Start timestamps that were refused: too old, too far ahead, or too many of one series.",
                &[],
            ),
            exemplars_out_of_order: exemplars("out_of_order"),
            exemplars_too_long: exemplars("too_long"),
            kept: metrics.counter("watchbell_metrics_samples_total", "Samples that were kept.", &[]),
            duplicate: refused("duplicate"),
            too_old: refused("too_old"),
            too_new: refused("too_new"),
            over_limit: refused("over_limit"),
            unknown: refused("unknown_reference"),
            failed: metrics.counter("watchbell_metrics_log_failures_total", "Writes of the log that failed.", &[]),
            damaged_blocks: metrics.counter(
                "watchbell_metrics_damaged_blocks_total",
                "Blocks that were found damaged, cut short or gone while they served.",
                &[],
            ),
            damaged_chunks: metrics.counter(
                "watchbell_metrics_damaged_chunks_total",
                "Parts of blocks whose checksum did not fit when they were read.",
                &[],
            ),
        }
    }

    fn count(&self, appended: &Appended) {
        self.kept.add(appended.kept);
        self.duplicate.add(appended.duplicate);
        self.too_old.add(appended.too_old);
        self.too_new.add(appended.too_new);
        self.over_limit.add(appended.over_limit);
        self.unknown.add(appended.unknown);
    }
}

impl Append for MetricStore {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            if batch.is_empty() {
                return Ok(Appended::default());
            }
            let (answer, answered) = oneshot::channel();
            let bytes = size(&batch);
            let leads = self.inner.queue(Waiting { batch, bytes, answer })?;
            let committed = async {
                if leads {
                    let leader = Leader { inner: Arc::clone(&self.inner), leading: true };
                    match &self.inner.runtime.disk {
                        Disk::Os => thread::blocking(move || leader.lead()).await,
                        // Simulated disks do not block, and threads would make the order of events a matter of chance.
                        Disk::Sim(_) => {
                            // As with a thread, others get to queue up meanwhile.
                            tokio::task::yield_now().await;
                            leader.lead();
                        }
                    }
                }
                answered.await.unwrap_or(Err(AppendError::Unavailable("the commit was cut off".into())))
            };
            // Whoever brings samples must not hang with the disk; the commit goes on and may yet be made.
            let done = self.inner.runtime.clock.timeout(ANSWER_MAX, committed).await;
            done.unwrap_or_else(|_| Err(AppendError::Unavailable("the disk does not answer".into())))
        })
    }
}

/// About how many bytes a batch takes in memory.
fn size(batch: &Batch) -> usize {
    let key = |key: &SeriesKey| match key {
        SeriesKey::Labels(labels) => labels.as_key().len() + 40,
        SeriesKey::Known(_) => 24,
    };
    batch.series.iter().map(key).sum::<usize>()
        + batch.samples.len() * 24
        + batch.histograms.iter().map(|one| one.histogram.size() * 100 + 200).sum::<usize>()
        + batch.exemplars.iter().map(|(_, one)| 64 + one.labels.as_key().len()).sum::<usize>()
        + batch.starts.len() * 24
        + batch.metadata.iter().map(|(name, one)| 64 + name.len() + one.unit.len() + one.help.len()).sum::<usize>()
}

/// Commits until nothing waits; gives up the lead even if it panics or never gets to run.
struct Leader {
    inner: Arc<Inner>,
    leading: bool,
}

impl Leader {
    fn lead(mut self) {
        while let Some(group) = self.inner.next_group() {
            self.inner.commit(group);
        }
        self.leading = false;
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.leading
            && let Ok(mut queue) = self.inner.queue.lock()
        {
            queue.led = false;
            queue.bytes = 0;
            queue.waiting.clear();
        }
    }
}

impl Inner {
    /// Adds a batch; says whether the caller must lead.
    fn queue(&self, batch: Waiting) -> Result<bool, AppendError> {
        let mut queue = self.queue.lock().expect("no panic while held");
        if queue.closed {
            return Err(AppendError::Closed);
        }
        if queue.waiting.len() >= BATCHES_WAITING_MAX {
            return Err(AppendError::Unavailable("too many batches are waiting".into()));
        }
        if queue.bytes > 0 && queue.bytes + batch.bytes > BYTES_WAITING_MAX {
            return Err(AppendError::Unavailable("too many samples are waiting".into()));
        }
        if self.heads.bytes() > HEAD_BYTES_MAX {
            let words = "too many samples are in memory, because none can be written into blocks";
            return Err(AppendError::Unavailable(words.into()));
        }
        queue.bytes += batch.bytes;
        queue.waiting.push(batch);
        Ok(!std::mem::replace(&mut queue.led, true))
    }

    fn next_group(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue.lock().expect("no panic while held");
        if queue.waiting.is_empty() {
            queue.led = false;
            return None;
        }
        let len = queue.waiting.len().min(GROUP_MAX);
        let group: Vec<Waiting> = queue.waiting.drain(..len).collect();
        queue.bytes -= group.iter().map(|batch| batch.bytes).sum::<usize>();
        Some(group)
    }

    fn commit(&self, group: Vec<Waiting>) {
        let mut log = self.log.lock().expect("no panic while held");
        let result = if log.is_behind() { self.write(&mut log) } else { Ok(()) };
        let result = result.and_then(|()| {
            let mut taking = Taking::new(self, &mut log);
            let appended: Vec<Appended> = group.iter().map(|batch| taking.batch(&batch.batch)).collect();
            taking.end_record();
            fault::point("store.before_log_write");
            self.write(&mut log)?;
            fault::point("store.after_log_write");
            Ok(appended)
        });
        if log.is_full() && self.leave_room().is_ok() {
            // A failure is tried again with the next commit; until then the segment grows.
            let _ = log.rotate();
        }
        let log_bytes = log.bytes();
        drop(log);
        if self.is_crowded(log_bytes) {
            self.crowded.notify_one();
        }
        match result {
            Ok(appended) => {
                for (batch, appended) in group.into_iter().zip(appended) {
                    self.counters.count(&appended);
                    let _ = batch.answer.send(Ok(appended));
                }
            }
            Err(reason) => {
                for batch in group {
                    let _ = batch.answer.send(Err(AppendError::Unavailable(reason.clone())));
                }
            }
        }
    }

    /// Refuses to take the last of the disk: series would eat up what durable state needs for alarms and pages.
    pub(crate) fn leave_room(&self) -> io::Result<()> {
        self.leave_room_for(0)
    }

    /// As [`Inner::leave_room`], with so many bytes more on the disk.
    pub(crate) fn leave_room_for(&self, bytes: u64) -> io::Result<()> {
        let dir = self.mark_path.parent().unwrap_or(Path::new("."));
        match self.runtime.disk.available(dir) {
            Ok(available) if available < ROOM_LEFT.saturating_add(bytes) => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("the last {} MiB of the disk are left for alarms and pages", ROOM_LEFT >> 20),
            )),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Writes the log, and syncs it if the policy says so; tells the board how it went.
    pub(crate) fn write(&self, log: &mut Wal) -> Result<(), String> {
        let result = self.leave_room().and_then(|()| log.write()).and_then(|()| match self.config.fsync {
            Fsync::Always => log.sync(),
            Fsync::Interval | Fsync::Never => Ok(()),
        });
        match result {
            Ok(()) => {
                self.runtime.troubles.clear(TROUBLE);
                Ok(())
            }
            Err(error) => {
                self.counters.failed.inc();
                let words = format!("samples cannot be made durable: {error}; they are kept in memory for now");
                self.runtime.troubles.set(TROUBLE, Severity::Critical, words);
                Err(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use watchbell_model::{Point, Timestamp};
    use watchbell_runtime::Runtime;

    use super::super::MetricsConfig;
    use super::*;

    #[test]
    fn a_disk_that_hangs_does_not_hang_those_who_bring_samples() {
        let dir = std::env::temp_dir().join(format!("watchbell-hang-{}", std::process::id()));
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let store =
            tokio.block_on(async { MetricStore::open(&Runtime::os(), &dir, MetricsConfig::default()).unwrap().0 });
        let now = store.inner.runtime.clock.now();
        let batch = |second| vec![Point::new("up", &[], Timestamp(now.0 + second), 1.0)].into();
        // As if the write that is under way never came back.
        let hung = store.inner.log.lock().unwrap();
        let (leads, follows) = tokio.block_on(async {
            let time_passes = async {
                tokio::task::yield_now().await;
                tokio::time::advance(ANSWER_MAX * 2).await;
            };
            let (leads, follows, ()) = tokio::join!(store.append(batch(1)), store.append(batch(2)), time_passes);
            (leads, follows)
        });
        assert_eq!(leads.unwrap_err().to_string(), follows.unwrap_err().to_string());
        drop(hung);
        assert_eq!(tokio.block_on(store.append(batch(3))).unwrap().kept, 1);
        Disk::Os.remove_dir_all(&dir).unwrap();
    }
}
