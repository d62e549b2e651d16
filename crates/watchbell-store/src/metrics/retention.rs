//! Forgetting: blocks that are older than they are kept, and the oldest of those that take too much room.
//!
//! No clock alone makes anything be forgotten: age is counted from the newest samples, where those have gone on long
//! enough to be believed, and from the clock, whichever is earlier; and not at all while the clock was set far ahead.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use watchbell_model::Span;
use watchbell_runtime::Clock;

use super::Inner;
use super::block::Block;
use super::rollups::{self, DAY, Level};
use super::series::millis;
use super::tend::Tending;

/// A clock that ran ahead of our own count by more than this was set: nothing is forgotten by it before a restart.
const CLOCK_JUMP_MAX: Duration = Duration::from_secs(86_400);
/// Samples with more time between them do not go on.
const GAP_MAX: i64 = DAY;
/// Samples behind a gap are believed when they have gone on for so long, or for the retention if that is shorter:
/// a clock that is wrong at the start writes samples too.
const BELIEVED_AFTER: i64 = 7 * DAY;

/// How long samples that are too old wait for the coarser copies that are made of them.
const ROLLUP_WAIT: i64 = 2 * DAY;

impl Inner {
    /// Blocks that are too old, and the oldest of those that are too many.
    pub(crate) fn forget_old(&self, tending: &Tending) -> io::Result<()> {
        let oldest = self.oldest(tending, self.config.retention);
        let serving = self.blocks.serving();
        let mut by_age: Vec<&Arc<Block>> = serving.iter().collect();
        by_age.sort_by_key(|block| std::cmp::Reverse(block.meta.last));
        let mut bytes = self.log.lock().expect("no panic while held").bytes();
        let mut gone = Vec::new();
        for block in by_age {
            bytes += block.bytes();
            let too_many = self.config.retention_size > 0 && bytes > self.config.retention_size;
            let too_old = block.meta.last < oldest
                && (block.meta.last < oldest.saturating_sub(ROLLUP_WAIT) || self.is_rolled_up(block));
            if too_old || too_many {
                gone.push(Arc::clone(block));
            }
        }
        if let Some(last) = gone.iter().map(|block| block.meta.last).max() {
            let since = self.forgotten().max(last.saturating_add(1));
            rollups::save_forgotten(&self.runtime.disk, &self.dir().join("forgotten"), since)?;
            let mut shelf = self.shelf.lock().expect("no panic while held");
            self.forgotten.store(since, Ordering::Release);
            self.blocks.replace(Vec::new(), &gone.iter().map(|block| block.number).collect::<Vec<_>>());
            self.save_list(&mut shelf, true);
            drop(shelf);
            self.blocks.remove(&gone)?;
        }
        self.kept_levels().try_for_each(|level| self.forget_days(tending, level))
    }

    /// Days of a coarser copy that are too old, and the oldest of those that are too many.
    fn forget_days(&self, tending: &Tending, level: &Level) -> io::Result<()> {
        let mut before = self.oldest(tending, level.config.retention).div_euclid(DAY);
        let (mut bytes, mut seen) = (0, BTreeSet::new());
        for days in level.days().iter().rev() {
            let Some(block) = days.block.as_ref().filter(|block| seen.insert(block.number)) else { continue };
            bytes += block.bytes();
            if level.config.retention_size > 0 && bytes > level.config.retention_size {
                before = before.max(days.to);
            }
        }
        if level.days().first().is_none_or(|days| days.from >= before) {
            return Ok(());
        }
        let mut shelf = self.shelf.lock().expect("no panic while held");
        level.put(None, &[(i64::MIN, before)]);
        self.save_days(&mut shelf, true)?;
        drop(shelf);
        self.remove_stray(level)
    }

    /// Whether all days of a block are in all copies that are made of them.
    fn is_rolled_up(&self, block: &Block) -> bool {
        let whole = self.forgotten().div_euclid(DAY);
        let days = block.meta.first.div_euclid(DAY).max(whole)..=block.meta.last.div_euclid(DAY);
        self.kept_levels().all(|level| days.clone().all(|day| day == whole || level.has(day)))
    }

    /// Samples are all there since then.
    pub(crate) fn forgotten(&self) -> i64 {
        self.forgotten.load(Ordering::Acquire)
    }

    /// What is older than this may be forgotten, if it is kept for so long.
    pub(crate) fn oldest(&self, tending: &Tending, retention: Span) -> i64 {
        let serving = self.blocks.serving();
        let spans = serving.iter().map(|block| (block.meta.first, block.meta.last));
        let newest = self.log.lock().expect("no panic while held").newest();
        let spans = spans.chain(newest.map(|newest| (newest, newest))).collect();
        oldest(&self.runtime.clock, tending.opened, spans, retention)
    }
}

/// What is older than this may be forgotten. `opened`: wall clock and own count of time at the start; `spans`: the
/// first and last time of all samples, in pieces.
fn oldest(clock: &Clock, opened: (i64, Duration), spans: Vec<(i64, i64)>, retention: Span) -> i64 {
    let (now, elapsed) = (clock.now().0, clock.monotonic().saturating_sub(opened.1));
    let jump = now.saturating_sub(opened.0).saturating_sub(elapsed.as_millis() as i64);
    if jump > CLOCK_JUMP_MAX.as_millis() as i64 {
        return i64::MIN;
    }
    let kept = millis(retention);
    newest(spans, kept.min(BELIEVED_AFTER)).map_or(i64::MIN, |newest| now.min(newest).saturating_sub(kept))
}

/// The newest time that is believed: where the last stretch of samples ends that went on for `enough`, or the first
/// one if none did.
fn newest(mut spans: Vec<(i64, i64)>, enough: i64) -> Option<i64> {
    spans.sort_unstable();
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for (first, last) in spans {
        match stretches.last_mut().filter(|stretch| first <= stretch.1.saturating_add(GAP_MAX)) {
            Some(stretch) => stretch.1 = stretch.1.max(last),
            None => stretches.push((first, last)),
        }
    }
    let believed = stretches.iter().rev().find(|(first, last)| last.saturating_sub(*first) >= enough);
    believed.or(stretches.first()).map(|(_, last)| *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_behind_a_gap_are_believed_when_they_have_gone_on() {
        let check = |spans: &[(i64, i64)], expected: Option<i64>| {
            let spans = spans.iter().map(|(first, last)| (first * DAY, last * DAY)).collect();
            assert_eq!(newest(spans, 7 * DAY), expected.map(|day| day * DAY));
        };
        check(&[], None);
        check(&[(0, 1)], Some(1));
        check(&[(2, 3), (0, 1), (4, 4)], Some(4));
        // A clock that is years ahead.
        check(&[(0, 20), (4000, 4003)], Some(20));
        check(&[(0, 20), (4000, 4007)], Some(4007));
        // Nothing has gone on for long.
        check(&[(0, 2), (10, 12), (4000, 4003)], Some(2));
        // A machine that was off for a month.
        check(&[(0, 20), (50, 56)], Some(20));
        check(&[(0, 20), (50, 58)], Some(58));
    }
}
