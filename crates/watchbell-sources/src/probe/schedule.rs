//! When a monitor is probed next.
//!
//! Pure: knows no clock and no task; all times are on one monotonic clock, so a wall clock that jumps moves nothing.
//!
//! - The name's hash gives each monitor its place in the interval, the same after every start, so that a thousand
//!   monitors do not fire at once; the regular probes stand at that place for ever, however long each takes.
//! - The first probe comes within [`FIRST_WITHIN`] of the start (or within the interval, if that is shorter), spread
//!   in the same way, so that a person who starts watchbell soon sees something.
//! - While retries are left, a failed probe is followed by one `retry_interval` after it began.
//!
//! Invariant: there is never more than one interval between the end of a probe and the begin of the next.

use std::time::Duration;

use super::config::MonitorConfig;

/// All monitors are probed for the first time within this time after the start.
pub const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// The times of one monitor's probes.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    interval: Duration,
    retry_interval: Duration,
    retries: u32,
    /// A time at which a regular probe is due; the others are whole intervals away.
    slot: Duration,
    next: Duration,
    failures: u32,
}

impl Schedule {
    /// A schedule that starts at `start`.
    pub(crate) fn new(config: &MonitorConfig, start: Duration) -> Schedule {
        let interval = config.interval.duration();
        let place = place(&config.name);
        Schedule {
            interval,
            retry_interval: config.time_to_retry().duration(),
            retries: config.retries,
            slot: start + interval.mul_f64(place),
            next: start + interval.min(FIRST_WITHIN).mul_f64(place),
            failures: 0,
        }
    }

    /// When the next probe begins.
    pub(crate) fn next(&self) -> Duration {
        self.next
    }

    /// A probe is over: decides when the next one begins.
    pub(crate) fn done(&mut self, began: Duration, ended: Duration, success: bool) {
        self.failures = if success { 0 } else { self.failures.saturating_add(1) };
        self.next = if (1..=self.retries).contains(&self.failures) {
            (began + self.retry_interval).max(ended)
        } else {
            self.slot_after(began, ended)
        };
    }

    /// The first regular probe after one that ran from `began` to `ended`.
    fn slot_after(&self, began: Duration, ended: Duration) -> Duration {
        let interval = self.interval.as_nanos();
        let since = ended.max(began + Duration::from_nanos(1));
        let passed = since.saturating_sub(self.slot).as_nanos().div_ceil(interval.max(1));
        let ahead = u64::try_from(passed * interval).map_or(Duration::MAX / 4, Duration::from_nanos);
        self.slot + ahead
    }
}

/// A monitor's place in any interval, from 0 to less than 1: FNV-1a of its name, mixed so that names that differ in the
/// last letter lie far apart.
fn place(name: &str) -> f64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}
