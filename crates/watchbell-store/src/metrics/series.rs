//! The samples of one series that are not in a block yet, and which further ones are taken.
//!
//! Invariant: a chunk never reaches across a multiple of [`WINDOW`], so that whole chunks go into a block.

use watchbell_model::{Sample, Span, Timestamp};

use super::MetricsConfig;
use super::gorilla::{Frozen, Open};

/// The length of time one block of the first level covers, in milliseconds.
pub(crate) const WINDOW: i64 = 2 * 3600 * 1000;
/// How many samples one chunk in memory holds: what a query of a short range must read at least.
const CHUNK_MAX: u32 = 240;
/// How far ahead of the clock a sample may be: more is a broken clock, whose samples would outlive everything.
pub(crate) const AHEAD_MAX: i64 = 3600 * 1000;

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in.
    Kept,
    /// The very same is there already.
    Same,
    /// Another value is there already.
    Duplicate,
    /// Older than what is still taken.
    TooOld,
    /// Further ahead than clocks go wrong.
    TooNew,
}

/// What decides whether a sample is taken, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The time by our clock.
    now: i64,
    /// The oldest that is taken at all.
    from: i64,
    /// The newest that is taken at all.
    to: i64,
    /// How much older than its series' newest one may be.
    window: i64,
}

impl Limits {
    pub(crate) fn new(config: &MetricsConfig, now: i64) -> Limits {
        Limits {
            now,
            from: now.saturating_sub(millis(config.retention)),
            to: now.saturating_add(AHEAD_MAX),
            window: millis(config.out_of_order_window),
        }
    }

    /// When replaying: what is in the log was taken once.
    pub(crate) fn none() -> Limits {
        Limits { now: i64::MAX, from: i64::MIN, to: i64::MAX, window: i64::MAX }
    }
}

/// A length of time in milliseconds.
pub(crate) fn millis(span: Span) -> i64 {
    i64::try_from(span.duration().as_millis()).unwrap_or(i64::MAX)
}

/// One series in the head.
#[derive(Default)]
pub(crate) struct Head {
    /// The newest sample that was ever taken, also when a block has it by now.
    newest: Option<(i64, u64)>,
    /// The segment of the log that knows this series, zero for none.
    pub(crate) logged: u32,
    open: Option<Open>,
    frozen: Vec<Frozen>,
    /// Samples that came late, by time; each with whether a block is being written with it.
    late: Vec<Late>,
}

#[derive(Clone, Copy)]
struct Late {
    time: i64,
    value: u64,
    sealing: bool,
}

impl Head {
    /// Takes a sample if it may still come; answers also by how many bytes the series grew.
    pub(crate) fn append(&mut self, time: i64, value: u64, limits: Limits) -> (Outcome, usize) {
        if time > limits.to {
            return (Outcome::TooNew, 0);
        }
        if time < limits.from {
            return (Outcome::TooOld, 0);
        }
        let Some((newest, last)) = self.newest.filter(|(newest, _)| time <= *newest) else {
            self.newest = Some((time, value));
            return (Outcome::Kept, self.push(time, value));
        };
        let same = |have: u64| if have == value { (Outcome::Same, 0) } else { (Outcome::Duplicate, 0) };
        if time == newest {
            return same(last);
        }
        // A newest sample ahead of the clock must not keep out those of the present.
        if time < newest.min(limits.now).saturating_sub(limits.window) {
            return (Outcome::TooOld, 0);
        }
        if let Some(have) = self.value_at(time) {
            return same(have);
        }
        let at = self.late.partition_point(|late| late.time < time);
        self.late.insert(at, Late { time, value, sealing: false });
        (Outcome::Kept, size_of::<Late>())
    }

    fn push(&mut self, time: i64, value: u64) -> usize {
        let full =
            |open: &Open| open.count() >= CHUNK_MAX || open.first().div_euclid(WINDOW) != time.div_euclid(WINDOW);
        if self.open.as_ref().is_some_and(full) {
            self.freeze();
        }
        match &mut self.open {
            Some(open) => {
                let before = open.bytes();
                open.push(time, value);
                open.bytes() - before
            }
            None => {
                self.open = Some(Open::new(time, value));
                0
            }
        }
    }

    fn freeze(&mut self) {
        self.frozen.extend(self.open.take().map(Open::freeze));
    }

    fn value_at(&self, time: i64) -> Option<u64> {
        let mut found = Vec::new();
        self.read(time, time, &mut found);
        found.first().map(|sample| sample.value.to_bits())
    }

    /// How many bytes its samples take.
    pub(crate) fn bytes(&self) -> usize {
        self.open.as_ref().map_or(0, Open::bytes)
            + self.frozen.iter().map(|chunk| chunk.bytes.len()).sum::<usize>()
            + self.late.len() * size_of::<Late>()
    }

    pub(crate) fn samples(&self) -> u64 {
        let chunks = self.frozen.iter().map(|chunk| u64::from(chunk.count)).sum::<u64>();
        chunks + self.open.as_ref().map_or(0, |open| u64::from(open.count())) + self.late.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_none() && self.frozen.is_empty() && self.late.is_empty()
    }

    /// The newest sample's time.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.newest.map(|(time, _)| time)
    }

    /// Whether something holds samples from `start` to `end`, as far as can be told without reading it.
    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        let overlaps = |first: i64, last: i64| first <= end && last >= start;
        self.open.as_ref().is_some_and(|open| overlaps(open.first(), open.last()))
            || self.frozen.iter().any(|chunk| overlaps(chunk.first.0, chunk.last))
            || self.late.iter().any(|late| overlaps(late.time, late.time))
    }

    /// A copy of what holds samples from `start` to `end`: cheap, to be read after the lock is let go.
    pub(crate) fn part(&self, start: i64, end: i64) -> Part {
        let overlaps = |first: i64, last: i64| first <= end && last >= start;
        let mut chunks: Vec<Frozen> =
            self.frozen.iter().filter(|chunk| overlaps(chunk.first.0, chunk.last)).cloned().collect();
        chunks.extend(self.open.iter().filter(|open| overlaps(open.first(), open.last())).cloned().map(Open::freeze));
        let from = self.late.partition_point(|late| late.time < start);
        let to = self.late.partition_point(|late| late.time <= end);
        let late = self.late[from..to.max(from)].iter().map(|late| (late.time, late.value)).collect();
        Part { chunks, late }
    }

    fn read(&self, start: i64, end: i64, out: &mut Vec<Sample>) {
        self.part(start, end).read(start, end, out);
    }

    /// Marks everything before `end` as going into a block; answers the windows of [`WINDOW`] it lies in, by start.
    pub(crate) fn begin_seal(&mut self, end: i64) -> Vec<i64> {
        if self.open.as_ref().is_some_and(|open| open.first() < end) {
            self.freeze();
        }
        let mut windows = Vec::new();
        for chunk in self.frozen.iter_mut().filter(|chunk| chunk.last < end) {
            chunk.sealing = true;
            windows.push(window(chunk.last));
        }
        for late in self.late.iter_mut().filter(|late| late.time < end) {
            late.sealing = true;
            windows.push(window(late.time));
        }
        windows.sort_unstable();
        windows.dedup();
        windows
    }

    /// What goes into a block and lies between `start` and `end`, both included.
    pub(crate) fn sealing(&self, start: i64, end: i64) -> Part {
        let chunks = self.frozen.iter().filter(|chunk| chunk.sealing && chunk.first.0 <= end && chunk.last >= start);
        let late = self.late.iter().filter(|late| late.sealing && (start..=end).contains(&late.time));
        Part { chunks: chunks.cloned().collect(), late: late.map(|late| (late.time, late.value)).collect() }
    }

    /// The block is in place (`done`) or was not made.
    pub(crate) fn end_seal(&mut self, done: bool) {
        if done {
            self.frozen.retain(|chunk| !chunk.sealing);
            self.frozen.shrink_to_fit();
            self.late.retain(|late| !late.sealing);
            self.late.shrink_to_fit();
        }
        self.frozen.iter_mut().for_each(|chunk| chunk.sealing = false);
        self.late.iter_mut().for_each(|late| late.sealing = false);
    }
}

/// The beginning of the window that a time lies in.
pub(crate) fn window(time: i64) -> i64 {
    time.div_euclid(WINDOW).saturating_mul(WINDOW)
}

/// A copy of some samples of one series.
#[derive(Default)]
pub(crate) struct Part {
    chunks: Vec<Frozen>,
    late: Vec<(i64, u64)>,
}

impl Part {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.late.is_empty()
    }

    /// Whether some of it certainly lies between `start` and `end`, both included.
    pub(crate) fn is_within(&self, start: i64, end: i64) -> bool {
        let within = |first: i64, last: i64| first <= end && last >= start && (first >= start || last <= end);
        self.chunks.iter().any(|chunk| within(chunk.first.0, chunk.last)) || !self.late.is_empty()
    }

    /// The samples from `start` to `end`, both included, by time, added to `out`.
    pub(crate) fn read(&self, start: i64, end: i64, out: &mut Vec<Sample>) {
        let from = out.len();
        for chunk in &self.chunks {
            chunk.read(start, end, out).expect("what this process wrote can be read");
        }
        if !self.late.is_empty() {
            let late = self.late.iter().filter(|(time, _)| (start..=end).contains(time));
            out.extend(late.map(|(time, value)| Sample { timestamp: Timestamp(*time), value: f64::from_bits(*value) }));
            out[from..].sort_by_key(|sample| sample.timestamp);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// Times in minutes after 02:00, `time=value`; the clock follows the newest; prints what became of each.
    fn check(samples: &str, expected: Expect) {
        let (mut head, mut now, mut said) = (Head::default(), 0, Vec::new());
        for text in samples.split_whitespace() {
            let (time, value) = text.split_once('=').unwrap();
            let time = WINDOW + time.parse::<i64>().unwrap() * 60_000;
            now = now.max(time.min(WINDOW + 600 * 60_000));
            let limits = Limits::new(&MetricsConfig::default(), now);
            let outcome = head.append(time, value.parse::<f64>().unwrap().to_bits(), limits).0;
            said.push(format!("{text} {outcome:?}"));
        }
        let mut kept = Vec::new();
        head.read(i64::MIN, i64::MAX, &mut kept);
        let kept: Vec<_> = kept.iter().map(|s| format!("{}={}", (s.timestamp.0 - WINDOW) / 60_000, s.value)).collect();
        expected.assert_eq(&format!("{}\n{}", said.join(", "), kept.join(" ")));
    }

    #[test]
    fn late_samples_are_taken_inside_the_window_and_the_first_value_stays() {
        check(
            "0=1 20=2 12=3 12=3 12=4 20=2 20=5 10=6 9=7 0=1",
            expect![[r#"
            0=1 Kept, 20=2 Kept, 12=3 Kept, 12=3 Same, 12=4 Duplicate, 20=2 Same, 20=5 Duplicate, 10=6 Kept, 9=7 TooOld, 0=1 TooOld
            0=1 10=6 12=3 20=2"#]],
        );
    }

    #[test]
    fn a_clock_gone_wrong_does_not_keep_the_present_out() {
        // The clock stands at 600 minutes at most.
        check(
            "590=1 700=9 655=8 600=2 599=3 585=4",
            expect![[r#"
            590=1 Kept, 700=9 TooNew, 655=8 Kept, 600=2 Kept, 599=3 Kept, 585=4 TooOld
            590=1 599=3 600=2 655=8"#]],
        );
    }

    #[test]
    fn sealing_takes_whole_windows_and_leaves_the_rest() {
        let mut head = Head::default();
        let limits = Limits { window: WINDOW, ..Limits::none() };
        for time in [10, 30, 20, WINDOW - 1, WINDOW, WINDOW + 5] {
            assert_eq!(head.append(time, 0, limits).0, Outcome::Kept);
        }
        let times = |read: &dyn Fn(&mut Vec<Sample>)| {
            let mut out = Vec::new();
            read(&mut out);
            out.iter().map(|sample| sample.timestamp.0).collect::<Vec<_>>()
        };
        assert_eq!(head.begin_seal(WINDOW), [0]);
        let part = head.sealing(i64::MIN, i64::MAX);
        assert_eq!(times(&|out| part.read(i64::MIN, i64::MAX, out)), [10, 20, 30, WINDOW - 1]);
        // What comes in meanwhile is not part of the block and stays.
        assert_eq!(head.append(15, 0, limits).0, Outcome::Kept);
        head.end_seal(false);
        assert_eq!(head.samples(), 7);
        head.begin_seal(WINDOW);
        head.append(16, 0, limits);
        head.end_seal(true);
        assert_eq!(times(&|out| head.read(i64::MIN, i64::MAX, out)), [16, WINDOW, WINDOW + 5]);
    }
}
