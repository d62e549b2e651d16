//! Time: one door. Wall time says when, monotonic time says how long.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use watchbell_model::Timestamp;

/// The clock of the machine or of a simulated world.
#[derive(Clone)]
pub struct Clock {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Os {
        start: tokio::time::Instant,
    },
    /// Runs on tokio's paused time; the wall clock may also jump, as NTP makes it.
    Sim {
        epoch: Timestamp,
        start: tokio::time::Instant,
        skew: Arc<AtomicI64>,
    },
}

/// A bound of time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

/// The longest single wait: a wall clock that was set forward is noticed within this time.
const WAIT_MAX: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "this is the door the others point at")]
impl Clock {
    /// The machine's clock.
    pub fn os() -> Clock {
        Clock { kind: Kind::Os { start: tokio::time::Instant::now() } }
    }

    /// A clock that says `epoch` now and moves with tokio's (paused) time.
    pub fn sim(epoch: Timestamp) -> Clock {
        Clock { kind: Kind::Sim { epoch, start: tokio::time::Instant::now(), skew: Arc::default() } }
    }

    /// The moment now.
    pub fn now(&self) -> Timestamp {
        match &self.kind {
            Kind::Os { .. } => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Kind::Sim { epoch, start, skew } => Timestamp((*epoch + start.elapsed()).0 + skew.load(Ordering::SeqCst)),
        }
    }

    /// Time since this clock was made; never goes back.
    pub fn monotonic(&self) -> Duration {
        match &self.kind {
            Kind::Os { start } | Kind::Sim { start, .. } => start.elapsed(),
        }
    }

    /// Sets the simulated wall clock forward or back; does nothing to the machine's.
    pub fn jump(&self, by_millis: i64) {
        if let Kind::Sim { skew, .. } = &self.kind {
            skew.fetch_add(by_millis, Ordering::SeqCst);
        }
    }

    /// Waits this long.
    pub async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Waits until the wall clock says `at`; a jump of the clock meanwhile is noticed within ten seconds.
    pub async fn sleep_until(&self, at: Timestamp) {
        loop {
            let now = self.now();
            if now >= at {
                return;
            }
            tokio::time::sleep(at.since(now).min(WAIT_MAX)).await;
        }
    }

    /// Gives up on a future after this long.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        tokio::time::timeout(limit, future).await.map_err(|_| Elapsed)
    }
}
