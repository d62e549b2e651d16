//! When the counting of a series began, as a sparse list of changes: one that says the same again is not kept.
//!
//! Pure. Source: OpenMetrics' `_created`, remote write's and OTLP's start timestamps.
//!
//! Invariant: a list is in order of [`Start::from`], and no two neighbours say the same start.

use watchbell_model::{Start, Timestamp};

use super::bytes::{Cursor, put_signed, put_varint};

/// How many changes one series keeps in memory; further ones are refused. Counting that begins anew with each sample
/// is no counting.
pub(crate) const STARTS_MAX: usize = 4096;

/// What became of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is new.
    Kept,
    /// That was known.
    Known,
    /// One too many.
    TooMany,
}

/// Takes a start into a list.
pub(crate) fn tell(starts: &mut Vec<Start>, new: Start) -> Told {
    let at = starts.partition_point(|start| start.from <= new.from);
    if at.checked_sub(1).is_some_and(|before| starts[before].start == new.start) {
        return Told::Known;
    }
    if at.checked_sub(1).is_some_and(|before| starts[before].from == new.from) {
        // What was said first of a sample stays, as its value does.
        return Told::Known;
    }
    let full = starts.len() >= STARTS_MAX;
    match starts.get_mut(at) {
        Some(after) if after.start == new.start => after.from = new.from,
        _ if full => return Told::TooMany,
        _ => starts.insert(at, new),
    }
    Told::Kept
}

/// Puts what several places say into one list; of two that speak of one sample the one that comes first counts.
pub(crate) fn once(mut starts: Vec<Start>) -> Vec<Start> {
    starts.sort_by_key(|start| start.from);
    starts.dedup_by_key(|start| start.from);
    starts.dedup_by_key(|start| start.start);
    starts
}

/// What is said of samples from `first` to `last`, both included: the one in force at `first` is said of `first`.
pub(crate) fn between(starts: &[Start], first: Timestamp, last: Timestamp) -> Vec<Start> {
    let from = starts.partition_point(|start| start.from <= first);
    let to = starts.partition_point(|start| start.from <= last).max(from);
    let in_force = from.checked_sub(1).map(|at| Start { from: first, ..starts[at] });
    in_force.into_iter().chain(starts[from..to].iter().copied()).collect()
}

/// Distances, because counting most often begins shortly before it is first told.
pub(crate) fn encode(starts: &[Start], out: &mut Vec<u8>) {
    put_varint(out, starts.len() as u64);
    let mut last = 0;
    for start in starts {
        put_signed(out, start.from.0.wrapping_sub(last));
        put_signed(out, start.from.0.wrapping_sub(start.start.0));
        last = start.from.0;
    }
}

/// Reads what [`encode`] wrote; `None` if the bytes are not that.
pub(crate) fn decode(from: &mut Cursor<'_>) -> Option<Vec<Start>> {
    let count = usize::try_from(from.varint()?).ok()?;
    // Each takes at least two bytes: a count beyond that is no reason to ask for memory.
    if count > from.0.len() / 2 {
        return None;
    }
    let mut last = 0_i64;
    let mut starts = Vec::with_capacity(count);
    for _ in 0..count {
        last = last.wrapping_add(from.signed()?);
        starts.push(Start { from: Timestamp(last), start: Timestamp(last.wrapping_sub(from.signed()?)) });
    }
    Some(starts)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn said(starts: &[Start]) -> String {
        starts.iter().map(|start| format!("{}:{}", start.from.0, start.start.0)).collect::<Vec<_>>().join(" ")
    }

    /// `from:start` in the order in which they are told.
    fn check(told: &str, expected: Expect) {
        let mut starts = Vec::new();
        for text in told.split_whitespace() {
            let (from, start) = text.split_once(':').unwrap();
            let (from, start) = (Timestamp(from.parse().unwrap()), Timestamp(start.parse().unwrap()));
            tell(&mut starts, Start { from, start });
        }
        expected.assert_eq(&said(&starts));
        assert_eq!(once(starts.clone()), starts);
    }

    #[test]
    fn only_changes_are_kept() {
        check("10:1 20:1 30:1", expect!["10:1"]);
        check("10:1 30:25 40:25", expect!["10:1 30:25"]);
        check("10:1 40:25 30:25 20:1", expect!["10:1 30:25"]);
        check("10:1 20:12 20:15 30:1", expect!["10:1 20:12 30:1"]);
    }

    #[test]
    fn part_of_a_list_says_what_is_in_force_at_its_beginning() {
        let starts = [(10, 1), (20, 15)].map(|(from, start)| Start { from: Timestamp(from), start: Timestamp(start) });
        let check = |first, last, expected: Expect| {
            expected.assert_eq(&said(&between(&starts, Timestamp(first), Timestamp(last))));
        };
        check(5, 8, expect![""]);
        check(5, 15, expect!["10:1"]);
        check(12, 15, expect!["12:1"]);
        check(20, 30, expect!["20:15"]);
        check(12, 30, expect!["12:1 20:15"]);
    }

    #[test]
    fn a_sender_whose_counting_always_begins_anew_is_stopped() {
        let mut starts = Vec::new();
        let told = (0..5000).map(|at| tell(&mut starts, Start { from: Timestamp(at), start: Timestamp(at - 1) }));
        assert_eq!(told.filter(|told| *told == Told::TooMany).count(), 5000 - STARTS_MAX);
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(told in prop::collection::vec((any::<i64>(), any::<i64>()), 0..40)) {
            let start = |(from, start)| Start { from: Timestamp(from), start: Timestamp(start) };
            let starts: Vec<Start> = told.into_iter().map(start).collect();
            let mut out = Vec::new();
            encode(&starts, &mut out);
            prop_assert_eq!(decode(&mut Cursor(&out)).unwrap(), starts);
        }

        #[test]
        fn bytes_that_nobody_wrote_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            let _ = decode(&mut Cursor(&bytes));
        }
    }
}
