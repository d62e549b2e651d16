//! Examples of what was counted: the last so many of all series together, in memory.
//!
//! Pure. What is refused is what Prometheus refuses: an example that is older than its series' newest one, or has too
//! much text; the same once more is no harm and no news. The log has them until it is cut, then a file of their own
//! ([`super::side_file`]), so that they survive the end of the process, however it ends.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use watchbell_model::{Exemplar, Labels, Lookup, Timestamp};

use super::bytes::{Cursor, put_signed, put_text, put_varint};
use super::series::AHEAD_MAX;

/// How many characters the labels of an example have at most: OpenMetrics' limit.
const CHARACTERS_MAX: usize = 128;

/// The file's first bytes; the last is the version.
pub(crate) const MAGIC: [u8; 8] = *b"WBEXMPL\x01";

/// What became of an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It is in.
    Kept,
    /// The very same was its series' last.
    Same,
    /// Older than its series' newest.
    TooOld,
    /// Further ahead than clocks go wrong.
    TooNew,
    /// Its labels have too much text.
    TooLong,
    /// None are kept.
    Off,
}

/// A ring of examples.
pub(crate) struct Exemplars {
    limit: usize,
    /// Oldest first, by when they came.
    ring: VecDeque<(Labels, Exemplar)>,
    /// For each series in the ring its newest one, and how many it has.
    series: HashMap<Labels, (Exemplar, usize)>,
    /// Whether there is news since the file was written.
    changed: bool,
}

impl Exemplars {
    pub(crate) fn new(limit: usize) -> Exemplars {
        Exemplars { limit, ring: VecDeque::new(), series: HashMap::new(), changed: false }
    }

    /// Takes an example of a series if it may still come.
    pub(crate) fn add(&mut self, labels: &Labels, new: &Exemplar, now: i64) -> Shown {
        if self.limit == 0 {
            return Shown::Off;
        }
        let characters = |text: &str| text.chars().count();
        if new.labels.iter().map(|(name, value)| characters(name) + characters(value)).sum::<usize>() > CHARACTERS_MAX {
            return Shown::TooLong;
        }
        if new.timestamp.0 > now.saturating_add(AHEAD_MAX) {
            return Shown::TooNew;
        }
        if let Some((newest, _)) = self.series.get(labels) {
            // Examples of several buckets may have one time: then those with greater values come later.
            let order = |exemplar: &Exemplar| (exemplar.timestamp, exemplar.value.to_bits());
            if order(newest) == order(new) && newest.labels == new.labels {
                return Shown::Same;
            }
            let older = new.timestamp.cmp(&newest.timestamp).then(new.value.total_cmp(&newest.value));
            if older.then_with(|| new.labels.cmp(&newest.labels)).is_lt() {
                return Shown::TooOld;
            }
        }
        self.push(labels.clone(), new.clone());
        Shown::Kept
    }

    fn push(&mut self, labels: Labels, new: Exemplar) {
        if self.ring.len() >= self.limit
            && let Some((oldest, _)) = self.ring.pop_front()
            && let Some((_, count)) = self.series.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.series.remove(&oldest);
            }
        }
        let (newest, count) = self.series.entry(labels.clone()).or_insert_with(|| (new.clone(), 0));
        *count += 1;
        newest.clone_from(&new);
        self.ring.push_back((labels, new));
        self.changed = true;
    }

    /// By series, oldest first. The limit is one of series.
    pub(crate) fn find(&self, lookup: &Lookup<'_>) -> Vec<(Labels, Vec<Exemplar>)> {
        let passes = |labels: &Labels| {
            let all =
                |set: &Vec<_>| set.iter().all(|matcher: &watchbell_model::Matcher| matcher.matches_labels(labels));
            lookup.matchers.is_empty() || lookup.matchers.iter().any(all)
        };
        let wanted: HashSet<&Labels> = self.series.keys().filter(|labels| passes(labels)).collect();
        let mut found = BTreeMap::<&Labels, Vec<Exemplar>>::new();
        for (labels, exemplar) in &self.ring {
            if wanted.contains(labels) && (lookup.start..=lookup.end).contains(&exemplar.timestamp) {
                found.entry(labels).or_default().push(exemplar.clone());
            }
        }
        let limit = if lookup.limit == 0 { usize::MAX } else { lookup.limit };
        found.into_iter().take(limit).map(|(labels, exemplars)| (labels.clone(), exemplars)).collect()
    }

    /// Takes those of series that pass and lie in the range away.
    pub(crate) fn delete(&mut self, lookup: &Lookup<'_>) {
        let gone: HashSet<Labels> =
            self.find(&Lookup { limit: 0, ..*lookup }).into_iter().map(|found| found.0).collect();
        if gone.is_empty() {
            return;
        }
        let stays = |(labels, exemplar): &(Labels, Exemplar)| {
            !gone.contains(labels) || !(lookup.start..=lookup.end).contains(&exemplar.timestamp)
        };
        let ring = std::mem::take(&mut self.ring);
        self.series.clear();
        self.changed = true;
        ring.into_iter().filter(stays).for_each(|(labels, exemplar)| self.push(labels, exemplar));
    }

    /// The content of the file, if there is news since it was last asked for.
    pub(crate) fn news(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.changed).then(|| self.encode())
    }

    /// The file could not be written: what it should have held is still news.
    pub(crate) fn not_saved(&mut self) {
        self.changed = true;
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let places: HashMap<&Labels, usize> = self.series.keys().zip(0..).collect();
        put_varint(&mut out, self.series.len() as u64);
        self.series.keys().for_each(|labels| put_labels(&mut out, labels));
        put_varint(&mut out, self.ring.len() as u64);
        for (labels, exemplar) in &self.ring {
            put_varint(&mut out, places[labels] as u64);
            put_exemplar(&mut out, exemplar);
        }
        out
    }

    /// Takes in what the file holds; as many as the limit allows, the newest.
    pub(crate) fn decode(limit: usize, content: &[u8]) -> Option<Exemplars> {
        let mut from = Cursor(content);
        let mut series = Vec::new();
        for _ in 0..from.varint()? {
            series.push(take_labels(&mut from)?);
        }
        let mut all = Exemplars::new(limit);
        for _ in 0..from.varint()? {
            let labels: &Labels = series.get(usize::try_from(from.varint()?).ok()?)?;
            let exemplar = take_exemplar(&mut from)?;
            if limit > 0 {
                all.push(labels.clone(), exemplar);
            }
        }
        all.changed = false;
        from.0.is_empty().then_some(all)
    }
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_varint(out, labels.len() as u64);
    for (name, value) in labels.iter() {
        put_text(out, name);
        put_text(out, value);
    }
}

fn take_labels(from: &mut Cursor<'_>) -> Option<Labels> {
    let pairs = (0..from.varint()?).map(|_| Some((from.text()?, from.text()?))).collect::<Option<Vec<_>>>()?;
    Some(Labels::from_pairs(pairs))
}

/// An example without its series, as the log and the file have it.
pub(crate) fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    put_signed(out, exemplar.timestamp.0);
    out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
    put_labels(out, &exemplar.labels);
}

/// Reads what [`put_exemplar`] wrote; `None` if the bytes are not that.
pub(crate) fn take_exemplar(from: &mut Cursor<'_>) -> Option<Exemplar> {
    let (timestamp, value) = (Timestamp(from.signed()?), f64::from_bits(from.u64()?));
    Some(Exemplar { timestamp, value, labels: take_labels(from)? })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use watchbell_model::Matcher;

    use super::*;

    fn said(exemplars: &Exemplars, lookup: &Lookup<'_>) -> String {
        let of = |(labels, exemplars): (Labels, Vec<Exemplar>)| {
            let all = exemplars.iter().map(|e| format!("{}:{}{}", e.timestamp.0, e.value, e.labels));
            format!("{labels} {}", all.collect::<Vec<_>>().join(" "))
        };
        exemplars.find(lookup).into_iter().map(of).collect::<Vec<_>>().join("\n")
    }

    fn exemplar(timestamp: i64, value: f64, trace: &str) -> Exemplar {
        Exemplar { labels: Labels::from_pairs([("trace", trace)]), value, timestamp: Timestamp(timestamp) }
    }

    /// `series time value trace`, one each line; prints what became of each and what is there.
    fn check(limit: usize, text: &str, expected: Expect) -> Exemplars {
        let (mut exemplars, mut told) = (Exemplars::new(limit), Vec::new());
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let new = exemplar(words[1].parse().unwrap(), words[2].parse().unwrap(), words[3]);
            told.push(format!("{:?}", exemplars.add(&Labels::metric(words[0], &[]), &new, 1000)));
        }
        expected.assert_eq(&format!("{}\n{}\n", told.join(" "), said(&exemplars, &Lookup::ALL)));
        exemplars
    }

    #[test]
    fn what_is_old_or_the_same_is_no_news() {
        let long = "x".repeat(124);
        check(
            10,
            &format!(
                "a 5 1 x\na 5 1 x\na 4 1 x\na 5 2 y\na 5 1 x\na 5 2 x\na 5 2 z\nb 1 1 {long}\nb 9999999 1 x\nb 1 1 x"
            ),
            expect![[r#"
                Kept Same TooOld Kept TooOld TooOld Kept TooLong TooNew Kept
                a 5:1{trace="x"} 5:2{trace="y"} 5:2{trace="z"}
                b 1:1{trace="x"}
            "#]],
        );
        check(
            0,
            "a 5 1 x",
            expect![[r#"
            Off

        "#]],
        );
    }

    #[test]
    fn the_oldest_make_room() {
        let all = check(
            3,
            "a 1 1 x\nb 2 1 x\na 3 1 x\nc 4 1 x\nb 5 1 x",
            expect![[r#"
            Kept Kept Kept Kept Kept
            a 3:1{trace="x"}
            b 5:1{trace="x"}
            c 4:1{trace="x"}
        "#]],
        );
        assert_eq!((all.ring.len(), all.series.len()), (3, 3));
    }

    #[test]
    fn they_are_found_by_series_and_time_deleted_and_read_again() {
        let mut all = check(
            10,
            "a 1 1 x\nb 2 1 y\na 3 -0 z\na 4 1 x",
            expect![[r#"
            Kept Kept Kept Kept
            a 1:1{trace="x"} 3:-0{trace="z"} 4:1{trace="x"}
            b 2:1{trace="y"}
        "#]],
        );
        let matchers = [vec![Matcher::equal("__name__", "a")]];
        let lookup = Lookup { matchers: &matchers, start: Timestamp(2), end: Timestamp(3), limit: 0 };
        expect![[r#"a 3:-0{trace="z"}"#]].assert_eq(&said(&all, &lookup));
        let content = all.news().unwrap();
        assert_eq!(all.news(), None);
        let read = Exemplars::decode(10, &content).unwrap();
        assert_eq!(said(&read, &Lookup::ALL), said(&all, &Lookup::ALL));
        expect![[r#"a 3:-0{trace="z"} 4:1{trace="x"}"#]]
            .assert_eq(&said(&Exemplars::decode(2, &content).unwrap(), &Lookup::ALL));
        all.delete(&lookup);
        expect![[r#"
            a 1:1{trace="x"} 4:1{trace="x"}
            b 2:1{trace="y"}"#]]
        .assert_eq(&said(&all, &Lookup::ALL));
        assert!((0..content.len()).all(|len| Exemplars::decode(10, &content[..len]).is_none()));
    }
}
