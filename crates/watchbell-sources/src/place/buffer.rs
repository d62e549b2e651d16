//! What an agent has seen and the server has not taken yet: in memory, bounded, oldest dropped first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use watchbell_model::{
    Append, AppendError, Appended, Batch, BoxFuture, Change, Observation, Observe, StateError, is_stale,
};
use watchbell_runtime::Clock;

use super::exchange::{Entry, Seen};

/// How many results, and as many sets of samples, wait while the server cannot be reached: a hundred monitors each
/// minute for more than an hour and a half.
pub const RESULTS_MAX: usize = 10_000;
/// How many entries go in one exchange.
const ENTRIES_MAX: usize = 500;

/// What waits. It stands where the store and the alarms stand at home.
pub(crate) struct Buffer {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each was seen, on the monotonic clock.
    entries: VecDeque<(Duration, Seen)>,
    /// The number of the first.
    first: u64,
    dropped: u64,
}

/// What goes in one exchange.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) first: u64,
    pub(crate) entries: Vec<Entry>,
    /// How many wait behind these.
    pub(crate) waiting: u64,
    /// How many were dropped so far.
    pub(crate) dropped: u64,
}

impl Buffer {
    pub(crate) fn new(clock: Clock) -> Buffer {
        Buffer { clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    fn push(&self, seen: Seen) {
        let mut state = self.state();
        state.entries.push_back((self.clock.monotonic(), seen));
        while state.entries.len() > 2 * RESULTS_MAX {
            state.entries.pop_front();
            state.first += 1;
            state.dropped += 1;
        }
    }

    /// The oldest entries.
    pub(crate) fn part(&self) -> Part {
        let now = self.clock.monotonic();
        let state = self.state();
        let age = |at: Duration| u64::try_from(now.saturating_sub(at).as_millis()).unwrap_or(u64::MAX);
        let entry = |(at, seen): &(Duration, Seen)| Entry { age_ms: age(*at), seen: seen.clone() };
        let entries: Vec<Entry> = state.entries.iter().take(ENTRIES_MAX).map(entry).collect();
        let waiting = (state.entries.len() - entries.len()) as u64;
        Part { first: state.first, entries, waiting, dropped: state.dropped }
    }

    /// The server has taken everything before this number.
    pub(crate) fn taken(&self, next: u64) {
        let mut state = self.state();
        while state.first < next && state.entries.pop_front().is_some() {
            state.first += 1;
        }
    }
}

impl Observe for Buffer {
    fn observe(&self, seen: Vec<Observation>, _: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        for one in seen {
            if let Observation::Probe(result) = one {
                self.push(Seen::Result(result));
            }
        }
        Box::pin(async { Ok(()) })
    }
}

impl Append for Buffer {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let kept = batch.len() as u64;
        let sample = |value: f64| (!is_stale(value)).then_some(value);
        let points = batch.points().into_iter().map(|point| (point.labels, sample(point.value))).collect();
        self.push(Seen::Samples(points));
        Box::pin(async move { Ok(Appended { kept, ..Appended::default() }) })
    }
}
