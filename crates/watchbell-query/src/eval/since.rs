//! Since when a series counts, and what follows from it.
//!
//! Source: start timestamps (created timestamps) of OpenMetrics, OTLP and remote write 2.0; Prometheus' engine with
//! `use-start-timestamps`.

use watchbell_model::{Start, Timestamp};

/// Since when a sample of this time counts, zero if it is not known; in milliseconds.
pub(super) fn start_at(starts: &[Start], at: Timestamp) -> i64 {
    let after = starts.partition_point(|start| start.from <= at);
    after.checked_sub(1).map_or(0, |last| starts[last].start.0)
}

/// A sample and since when it counts, in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Since {
    pub(super) at: i64,
    pub(super) start: i64,
}

impl Since {
    pub(super) fn of(starts: &[Start], at: Timestamp) -> Since {
        Since { at: at.0, start: start_at(starts, at) }
    }

    /// Whether counting began anew between an earlier sample and this one.
    pub(super) fn began_anew(self, before: Since) -> bool {
        if self.start == 0 || self.start >= self.at || self.start < before.at {
            return false;
        }
        if self.start > before.at {
            return true;
        }
        // It counts since the sample before: as a difference does, if that one says since when it counts; else the
        // series' start was not known.
        before.start != 0 && before.start < before.at
    }

    /// Whether it counts what an earlier sample has counted, under another start.
    pub(super) fn overlaps(self, before: Since) -> bool {
        self.start != 0 && self.start < before.at && self.start != before.start
    }
}
