//! The samples of one series that are not in a block yet, and which further ones are taken.
//!
//! Invariant: a chunk never reaches across a multiple of [`WINDOW`], so that whole chunks go into a block.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_model::{Histogram, HistogramSample, Sample, Span, Start, Timestamp};

use super::MetricsConfig;
use super::both::Both;
use super::gorilla::{Frozen, Open};
use super::rare::{Rare, RarePart};
use super::starts::Told;
use super::walk::share;

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
    /// That depends on what blocks hold: to be tried again with a [`Past`].
    Ask,
}

/// What blocks hold of a series from some time on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    /// The newest sample.
    pub(crate) newest: Option<(i64, u64)>,
    /// From when on `samples` has all.
    pub(crate) from: i64,
    /// In order of time.
    pub(crate) samples: Vec<(i64, u64)>,
    /// The samples that are histograms, in order of time.
    pub(crate) histograms: Vec<HistogramSample>,
}

impl Past {
    fn has(&self, time: i64) -> Option<Value<'_>> {
        if let Ok(at) = self.samples.binary_search_by_key(&time, |(time, _)| *time) {
            return Some(Value::Float(self.samples[at].1));
        }
        let at = self.histograms.binary_search_by_key(&time, |sample| sample.timestamp.0).ok()?;
        Some(Value::Histogram(&self.histograms[at].histogram))
    }
}

/// What a sample is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// Bits.
    Float(u64),
    Histogram(&'a Arc<Histogram>),
}

/// Where a sample that is taken goes.
enum Place {
    Newest,
    Late,
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
    /// The newest that any block has.
    blocks: i64,
    /// What is in the log was taken once.
    replaying: bool,
}

impl Limits {
    pub(crate) fn new(config: &MetricsConfig, now: i64, blocks: i64) -> Limits {
        Limits {
            now,
            from: now.saturating_sub(millis(config.retention)),
            to: now.saturating_add(AHEAD_MAX),
            window: millis(config.out_of_order_window),
            blocks,
            replaying: false,
        }
    }

    /// When replaying: none at all.
    pub(crate) fn none() -> Limits {
        let (now, from, to) = (i64::MAX, i64::MIN, i64::MAX);
        Limits { now, from, to, window: i64::MAX, blocks: i64::MIN, replaying: true }
    }

    /// The oldest late sample of a series that is taken. A newest sample ahead of the clock must not keep out those of
    /// the present.
    pub(crate) fn oldest(&self, newest: i64) -> i64 {
        newest.min(self.now).saturating_sub(self.window)
    }
}

/// A length of time in milliseconds.
pub(crate) fn millis(span: Span) -> i64 {
    i64::try_from(span.duration().as_millis()).unwrap_or(i64::MAX)
}

/// One series in the head.
pub(crate) struct Head {
    /// The segment of the log that knows this series, zero for none.
    pub(crate) logged: u32,
    /// The newest sample that was ever taken, also when a block has it by now.
    newest: Option<(i64, u64)>,
    /// Samples up to this time may be in blocks; [`i64::MAX`] as long as that is not known.
    sealed: i64,
    open: Option<Open>,
    frozen: Vec<Frozen>,
    /// Samples that came late; hardly any series has some.
    late: Option<Box<Late>>,
    /// Histograms, and since when it counts; most series have none.
    rare: Option<Box<Rare>>,
}

impl Default for Head {
    fn default() -> Head {
        Head { logged: 0, newest: None, sealed: i64::MAX, open: None, frozen: Vec::new(), late: None, rare: None }
    }
}

/// Trees, because thousands may come in any order.
#[derive(Default)]
struct Late {
    samples: BTreeMap<i64, u64>,
    /// A block is being written with these.
    sealing: BTreeMap<i64, u64>,
}

/// About how many bytes a late sample takes.
const LATE_BYTES: usize = 28;

impl Late {
    fn len(&self) -> usize {
        self.samples.len() + self.sealing.len()
    }

    fn overlaps(&self, start: i64, end: i64) -> bool {
        [&self.samples, &self.sealing].iter().any(|samples| samples.range(start..=end).next().is_some())
    }

    fn value_at(&self, time: i64) -> Option<u64> {
        self.samples.get(&time).or_else(|| self.sealing.get(&time)).copied()
    }
}

impl Head {
    /// Takes a sample if it may still come; answers also by how many bytes the series grew.
    pub(crate) fn append(&mut self, time: i64, value: u64, limits: Limits, past: Option<&Past>) -> (Outcome, usize) {
        match self.judge(time, Value::Float(value), limits, past) {
            Ok(Place::Newest) => {
                self.newest = Some((time, value));
                (Outcome::Kept, self.push(time, value))
            }
            Ok(Place::Late) => {
                self.late.get_or_insert_default().samples.insert(time, value);
                (Outcome::Kept, LATE_BYTES)
            }
            Err(outcome) => (outcome, 0),
        }
    }

    /// As [`Head::append`].
    pub(crate) fn append_histogram(
        &mut self,
        time: i64,
        histogram: &Arc<Histogram>,
        limits: Limits,
        past: Option<&Past>,
    ) -> (Outcome, usize) {
        match self.judge(time, Value::Histogram(histogram), limits, past) {
            Ok(Place::Newest) => {
                self.newest = Some((time, 0));
                (Outcome::Kept, self.rare.get_or_insert_default().push(time, histogram))
            }
            Ok(Place::Late) => (Outcome::Kept, self.rare.get_or_insert_default().push_late(time, histogram)),
            Err(outcome) => (outcome, 0),
        }
    }

    /// Takes in since when it counts, if a sample of that time could be taken.
    pub(crate) fn tell(&mut self, start: Start, limits: Limits) -> Told {
        let from = start.from.0;
        let too_old = self.newest().is_some_and(|newest| from < limits.oldest(newest));
        if from > limits.to || from < limits.from || too_old {
            return Told::TooMany;
        }
        self.rare.get_or_insert_default().tell(start)
    }

    /// Since when it counts, as told last.
    pub(crate) fn last_start(&self) -> Option<Start> {
        self.rare.as_ref().and_then(|rare| rare.last_start())
    }

    /// Where a sample goes, if it may still come.
    fn judge(&mut self, time: i64, value: Value<'_>, limits: Limits, past: Option<&Past>) -> Result<Place, Outcome> {
        if time > limits.to {
            return Err(Outcome::TooNew);
        }
        if time < limits.from {
            return Err(Outcome::TooOld);
        }
        if self.sealed == i64::MAX && !limits.replaying {
            if time <= limits.blocks {
                let Some(past) = past else { return Err(Outcome::Ask) };
                self.learn(past);
            } else {
                // Newer than anything: how far blocks go with this series need not be asked.
                self.sealed = self.newest().map_or(limits.blocks, |newest| newest.max(limits.blocks));
            }
        }
        let Some((newest, last)) = self.newest.filter(|(newest, _)| time <= *newest) else {
            return Ok(Place::Newest);
        };
        let same = |have: Value<'_>| Err(if have == value { Outcome::Same } else { Outcome::Duplicate });
        if time == newest {
            let histogram = self.rare.as_ref().and_then(|rare| rare.newest_at(time));
            return same(histogram.map_or(Value::Float(last), Value::Histogram));
        }
        if time < limits.oldest(newest) {
            return Err(Outcome::TooOld);
        }
        if let Some(have) = self.value_at(time) {
            return same(Value::Float(have));
        }
        if let Some(have) = self.rare.as_ref().and_then(|rare| rare.histogram_at(time)) {
            return same(Value::Histogram(&have));
        }
        if time <= self.sealed.min(limits.blocks) {
            let Some(past) = past.filter(|past| past.from <= time) else { return Err(Outcome::Ask) };
            if let Some(have) = past.has(time) {
                return same(have);
            }
        }
        Ok(Place::Late)
    }

    /// A series that was not heard of since the start goes on where blocks end.
    fn learn(&mut self, past: &Past) {
        self.sealed = past.newest.map_or(past.from.saturating_sub(1), |(time, _)| time);
        if past.newest.is_some_and(|(time, _)| self.newest.is_none_or(|(newest, _)| newest < time)) {
            self.newest = past.newest;
            if let Some(last) =
                past.histograms.last().filter(|last| past.newest.is_some_and(|(at, _)| at == last.timestamp.0))
            {
                self.rare.get_or_insert_default().learn(last.timestamp.0, &last.histogram);
            }
        }
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

    /// The value at a time, if it is in memory.
    fn value_at(&self, time: i64) -> Option<u64> {
        if let Some(value) = self.late.as_ref().and_then(|late| late.value_at(time)) {
            return Some(value);
        }
        // Chunks lie one after the other: what is late is kept apart.
        let at = self.frozen.partition_point(|chunk| chunk.last < time);
        match (self.frozen.get(at), &self.open) {
            (Some(chunk), _) => chunk.value_at(time),
            (None, Some(open)) => open.value_at(time),
            (None, None) => None,
        }
    }

    /// How many bytes its samples take.
    pub(crate) fn bytes(&self) -> usize {
        self.open.as_ref().map_or(0, Open::bytes)
            + self.frozen.iter().map(|chunk| chunk.bytes.len()).sum::<usize>()
            + self.late.as_ref().map_or(0, |late| late.len()) * LATE_BYTES
            + self.rare.as_ref().map_or(0, |rare| rare.bytes())
    }

    pub(crate) fn samples(&self) -> u64 {
        let chunks = self.frozen.iter().map(|chunk| u64::from(chunk.count)).sum::<u64>();
        let late = self.late.as_ref().map_or(0, |late| late.len());
        let rare = self.rare.as_ref().map_or(0, |rare| rare.samples());
        chunks + self.open.as_ref().map_or(0, |open| u64::from(open.count())) + late as u64 + rare
    }

    pub(crate) fn is_empty(&self) -> bool {
        let rare = self.rare.as_ref().is_none_or(|rare| rare.is_empty());
        self.open.is_none() && self.frozen.is_empty() && self.late.is_none() && rare
    }

    /// The newest sample's time.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.newest.map(|(time, _)| time)
    }

    /// The first and last time of what it holds.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        let chunks = self.frozen.iter().map(|chunk| (chunk.first.0, chunk.last));
        let open = self.open.iter().map(|open| (open.first(), open.last()));
        let late = self.late.iter().flat_map(|late| [&late.samples, &late.sealing]);
        let late = late.filter_map(|late| Some((*late.first_key_value()?.0, *late.last_key_value()?.0)));
        let rare = self.rare.iter().filter_map(|rare| rare.span());
        chunks.chain(open).chain(late).chain(rare).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Whether something holds samples from `start` to `end`, as far as can be told without reading it.
    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        let overlaps = |first: i64, last: i64| first <= end && last >= start;
        self.open.as_ref().is_some_and(|open| overlaps(open.first(), open.last()))
            || self.frozen.iter().any(|chunk| overlaps(chunk.first.0, chunk.last))
            || start <= end && self.late.as_ref().is_some_and(|late| late.overlaps(start, end))
            || self.rare.as_ref().is_some_and(|rare| rare.overlaps(start, end))
    }

    /// A copy of what holds samples from `start` to `end`: cheap, to be read after the lock is let go.
    pub(crate) fn part(&self, start: i64, end: i64) -> Part {
        let overlaps = |first: i64, last: i64| first <= end && last >= start;
        let frozen = self.frozen.iter().filter(|chunk| overlaps(chunk.first.0, chunk.last)).cloned();
        let open = self.open.iter().filter(|open| overlaps(open.first(), open.last())).map(Open::copy);
        let chunks: Vec<Frozen> = frozen.chain(open).collect();
        let mut late = Vec::new();
        if let Some(have) = self.late.as_ref().filter(|_| start <= end) {
            late.extend(
                have.samples.range(start..=end).chain(have.sealing.range(start..=end)).map(|(at, is)| (*at, *is)),
            );
        }
        Part { chunks, late, rare: self.rare.as_ref().map(|rare| rare.part(start, end)) }
    }

    /// Marks everything before `end` as going into a block; adds the windows of [`WINDOW`] it lies in, by start, to
    /// `windows`: each at least once.
    pub(crate) fn begin_seal(&mut self, end: i64, windows: &mut Vec<i64>) {
        if self.open.as_ref().is_some_and(|open| open.first() < end) {
            self.freeze();
        }
        for chunk in self.frozen.iter_mut().filter(|chunk| chunk.last < end) {
            chunk.sealing = true;
            windows.push(window(chunk.last));
        }
        if let Some(rare) = &mut self.rare {
            rare.begin_seal(end, windows);
        }
        if let Some(late) = &mut self.late {
            let stay = late.samples.split_off(&end);
            late.sealing.extend(std::mem::replace(&mut late.samples, stay));
            let mut last = None;
            for window in late.sealing.keys().map(|time| window(*time)) {
                if last.replace(window) != Some(window) {
                    windows.push(window);
                }
            }
        }
    }

    /// What goes into a block and lies between `start` and `end`, both included.
    pub(crate) fn sealing(&self, start: i64, end: i64) -> Part {
        let chunks = self.frozen.iter().filter(|chunk| chunk.sealing && chunk.first.0 <= end && chunk.last >= start);
        let late = self.late.iter().flat_map(|late| late.sealing.range(start..=end));
        let rare = self.rare.as_ref().map(|rare| rare.sealing(start, end));
        Part { chunks: chunks.cloned().collect(), late: late.map(|(time, value)| (*time, *value)).collect(), rare }
    }

    /// The block is in place (`done`) or was not made.
    pub(crate) fn end_seal(&mut self, done: bool) {
        let rare = self.rare.as_mut().and_then(|rare| rare.end_seal(done));
        if done {
            let last = self.frozen.iter().filter(|chunk| chunk.sealing).map(|chunk| chunk.last).max();
            let late = self.late.as_ref().and_then(|late| late.sealing.keys().last().copied());
            if let Some(last) = last.max(late).max(rare) {
                // Stays unknown if it was: blocks from before the start may have newer ones.
                self.sealed = self.sealed.max(last);
            }
            self.frozen.retain(|chunk| !chunk.sealing);
            self.frozen.shrink_to_fit();
        }
        self.frozen.iter_mut().for_each(|chunk| chunk.sealing = false);
        if let Some(late) = &mut self.late {
            let sealed = std::mem::take(&mut late.sealing);
            if !done {
                late.samples.extend(sealed);
            }
            if late.samples.is_empty() {
                self.late = None;
            }
        }
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
    rare: Option<RarePart>,
}

impl Part {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.late.is_empty() && self.rare.as_ref().is_none_or(RarePart::is_empty)
    }

    /// About how many numbers it has from `start` to `end`.
    pub(crate) fn count(&self, start: i64, end: i64) -> usize {
        let of = |chunk: &Frozen| share((chunk.first.0, chunk.last), chunk.count as usize, (start, end));
        self.chunks.iter().map(of).sum::<usize>() + self.late.len()
    }

    /// Since when the series counts.
    pub(crate) fn starts(&self) -> &[Start] {
        self.rare.as_ref().map_or(&[], |rare| &rare.starts)
    }

    /// Whether some of it certainly lies between `start` and `end`, both included.
    pub(crate) fn is_within(&self, start: i64, end: i64) -> bool {
        let within = |first: i64, last: i64| first <= end && last >= start && (first >= start || last <= end);
        self.chunks.iter().any(|chunk| within(chunk.first.0, chunk.last)) || !self.late.is_empty()
    }

    /// The samples from `start` to `end`, both included, by time, added to `out`.
    pub(crate) fn read(&self, start: i64, end: i64, to: &mut Both) {
        if let Some(rare) = &self.rare {
            rare.read(start, end, &mut to.histograms);
        }
        let (from, out) = (to.floats.len(), &mut to.floats);
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
            let limits = Limits::new(&MetricsConfig::default(), now, i64::MIN);
            let outcome = head.append(time, value.parse::<f64>().unwrap().to_bits(), limits, None).0;
            said.push(format!("{text} {outcome:?}"));
        }
        let mut kept = Both::default();
        head.part(i64::MIN, i64::MAX).read(i64::MIN, i64::MAX, &mut kept);
        let kept: Vec<_> =
            kept.floats.iter().map(|s| format!("{}={}", (s.timestamp.0 - WINDOW) / 60_000, s.value)).collect();
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

    fn times(part: Part) -> Vec<i64> {
        let mut out = Both::default();
        part.read(i64::MIN, i64::MAX, &mut out);
        out.floats.iter().map(|sample| sample.timestamp.0).collect()
    }

    #[test]
    fn sealing_takes_whole_windows_and_leaves_the_rest() {
        let mut head = Head::default();
        let limits = Limits { window: WINDOW, ..Limits::none() };
        for time in [10, 30, 20, WINDOW - 1, WINDOW, WINDOW + 5] {
            assert_eq!(head.append(time, 0, limits, None).0, Outcome::Kept);
        }
        let mut windows = Vec::new();
        head.begin_seal(WINDOW, &mut windows);
        windows.dedup();
        assert_eq!(windows, [0]);
        assert_eq!(times(head.sealing(i64::MIN, i64::MAX)), [10, 20, 30, WINDOW - 1]);
        // What comes in meanwhile is not part of the block and stays.
        assert_eq!(head.append(15, 0, limits, None).0, Outcome::Kept);
        assert_eq!(head.append(20, 0, limits, None).0, Outcome::Same);
        head.end_seal(false);
        assert_eq!(head.samples(), 7);
        head.begin_seal(WINDOW, &mut windows);
        head.append(16, 0, limits, None);
        head.end_seal(true);
        assert_eq!(times(head.part(i64::MIN, i64::MAX)), [16, WINDOW, WINDOW + 5]);
    }

    #[test]
    fn late_samples_are_compared_with_what_is_in_blocks() {
        let limits = Limits { window: 50, blocks: 100, replaying: false, ..Limits::none() };
        let past = |from: i64| {
            let samples = [(60, 6), (80, 8), (100, 10)].into_iter().filter(|(time, _)| *time >= from).collect();
            Past { newest: Some((100, 10)), from, samples, histograms: Vec::new() }
        };
        let mut head = Head::default();
        // As after a restart: nothing is known of it, so that blocks say how far it had come.
        assert_eq!(head.append(90, 1, limits, None).0, Outcome::Ask);
        assert_eq!(head.append(90, 1, limits, Some(&past(90))).0, Outcome::Kept);
        assert_eq!(head.append(40, 1, limits, None).0, Outcome::TooOld);
        assert_eq!(head.append(100, 10, limits, None).0, Outcome::Same);
        assert_eq!(head.append(80, 8, limits, None).0, Outcome::Ask);
        assert_eq!(head.append(80, 8, limits, Some(&past(90))).0, Outcome::Ask, "that does not reach back far enough");
        assert_eq!(head.append(80, 8, limits, Some(&past(80))).0, Outcome::Same);
        assert_eq!(head.append(80, 9, limits, Some(&past(80))).0, Outcome::Duplicate);
        // What is newer than all blocks never needs them.
        assert_eq!(head.append(101, 1, limits, None).0, Outcome::Kept);
        assert_eq!(head.append(110, 1, limits, None).0, Outcome::Kept);
        assert_eq!(head.append(105, 1, limits, None).0, Outcome::Kept);
        assert_eq!(head.append(105, 2, limits, None).0, Outcome::Duplicate);
        assert_eq!(times(head.part(i64::MIN, i64::MAX)), [90, 101, 105, 110]);
    }
}
