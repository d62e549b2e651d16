//! What must be done from time to time, off the way of writers and readers.

use std::time::Duration;

use watchbell_runtime::{CancellationToken, Disk, Task, thread};

use super::{Fsync, Inner, MetricStore};

/// How often the log is synced under [`Fsync::Interval`].
const SYNC_EVERY: Duration = Duration::from_secs(1);

impl MetricStore {
    /// The task that keeps the store in order; without it nothing is synced under [`Fsync::Interval`].
    pub fn task(&self) -> Task {
        let store = self.clone();
        Task::new("metrics", 0, move |stop| store.clone().run(stop))
    }

    async fn run(self, stop: CancellationToken) {
        let clock = self.inner.runtime.clock.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = clock.sleep(SYNC_EVERY) => {}
            }
            let store = self.clone();
            match &self.inner.runtime.disk {
                Disk::Os => thread::blocking(move || store.maintain()).await,
                Disk::Sim(_) => store.maintain(),
            }
        }
    }

    /// Does what is due now. Blocks as long as that takes.
    pub fn maintain(&self) {
        self.inner.sync_log();
    }
}

impl Inner {
    fn sync_log(&self) {
        let mut log = self.log.lock().expect("no panic while held");
        // A failure is on the board of troubles, and tried again at the next round.
        let written = self.write(&mut log);
        if written.is_ok() && self.config.fsync == Fsync::Interval {
            let _ = log.sync();
        }
    }
}
