//! Some series of the head in the order of their labels, found bit by bit.
//!
//! No lock is held for longer than a bounded number of series takes. So series may come and go meanwhile, and slots may
//! be given to others: each is looked at again, with its generation, in the moment in which its labels are read.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use roaring::RoaringBitmap;
use watchbell_model::{Labels, Matcher, SeriesRef};

use super::head::Heads;
use super::index::{Index, Ref};
use super::matching::{Postings, matching};

/// How many series are put in order at once without looking first which of them begin the order.
const AT_ONCE: u64 = 4096;
/// How many series, or label pairs, are looked at under one lock.
const LOCKED_MAX: usize = 1024;

pub(crate) struct HeadOrder<'a> {
    heads: &'a Heads,
    matchers: &'a [Matcher],
    /// What is not in order yet.
    left: RoaringBitmap,
    /// How many series had been removed from the index when `left` was found.
    removals: u64,
    /// The last label pair whose series are in order: all that begin with it or one before it.
    passed: Option<(Arc<str>, Arc<str>)>,
    next: VecDeque<SeriesRef>,
    /// What was answered last: what does not come behind it is newer than the question.
    last: Option<Labels>,
}

impl HeadOrder<'_> {
    pub(crate) fn new<'a>(heads: &'a Heads, matchers: &'a [Matcher]) -> HeadOrder<'a> {
        let index = heads.index();
        let (left, removals) = (matching(&*index, matchers), index.removals());
        HeadOrder { heads, matchers, left, removals, passed: None, next: VecDeque::new(), last: None }
    }

    /// The next series that is still there.
    pub(crate) fn next(&mut self) -> Option<(SeriesRef, Labels)> {
        loop {
            while let Some(reference) = self.next.pop_front() {
                let index = self.heads.index();
                let Some(series) = index.known(reference) else { continue };
                let labels = index.labels(series);
                if self.last.as_ref().is_none_or(|last| *last < labels) {
                    self.last = Some(labels.clone());
                    return Some((reference, labels));
                }
            }
            if self.left.is_empty() {
                return None;
            }
            let (group, first) = match self.left.len() <= AT_ONCE {
                true => (std::mem::take(&mut self.left), None),
                false => self.first_group(),
            };
            self.next = self.in_order(&group, first).into();
        }
    }

    /// Takes out those that come first: that have the first pair of all, and by that begin with it.
    fn first_group(&mut self) -> (RoaringBitmap, Option<(Arc<str>, Arc<str>)>) {
        loop {
            let index = self.heads.index();
            let after = self.passed.as_ref().map(|(name, value)| (&**name, &**value));
            let pairs: Vec<u32> = index.pairs_after(after).take(LOCKED_MAX).collect();
            for pair in &pairs {
                let posting = index.posting(*pair);
                if !posting.is_disjoint(&self.left) {
                    let group = &*posting & &self.left;
                    self.left -= &group;
                    let (name, value) = index.texts_of(*pair);
                    self.passed = Some((Arc::clone(name), Arc::clone(value)));
                    return (group, self.passed.clone());
                }
            }
            match pairs.last().map(|pair| index.texts_of(*pair)) {
                Some((name, value)) => self.passed = Some((Arc::clone(name), Arc::clone(value))),
                // What is left has no label, or is no longer there.
                None => return (std::mem::take(&mut self.left), None),
            }
        }
    }

    /// Those that are still there, all of them with the label pair `first`.
    fn in_order(&self, group: &RoaringBitmap, first: Option<(Arc<str>, Arc<str>)>) -> Vec<SeriesRef> {
        let mut gathered = Gathered::default();
        let mut group = group.iter();
        loop {
            let some: Vec<Ref> = group.by_ref().take(LOCKED_MAX).collect();
            if some.is_empty() {
                return gathered.in_order().series().collect();
            }
            let index = self.heads.index();
            let changed = index.removals() != self.removals;
            // Where series were removed the slot may be another's by now.
            let passes = |series: &Ref| {
                index.is_live(*series)
                    && (!changed || {
                        let labels = index.labels(*series);
                        let belongs = |(name, value): &(Arc<str>, Arc<str>)| labels.get(name) == Some(&**value);
                        first.as_ref().is_none_or(belongs)
                            && self.matchers.iter().all(|matcher| matcher.matches_labels(&labels))
                    })
            };
            some.into_iter().filter(passes).for_each(|series| gathered.add(&index, series));
        }
    }
}

/// Hashes numbers that are given in turn, which nobody outside chooses: by one multiplication.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Series with their label pairs, as numbers of their own: those of the index may mean others in a moment.
#[derive(Default)]
pub(crate) struct Gathered {
    series: Vec<SeriesRef>,
    /// Where the pairs of each end.
    ends: Vec<u32>,
    pairs: Vec<u32>,
    numbers: HashMap<u64, u32, BuildHasherDefault<NumberHasher>>,
    texts: Vec<(Arc<str>, Arc<str>)>,
}

impl Gathered {
    /// These series, as far as they are there; no lock is held for long.
    pub(crate) fn of(heads: &Heads, series: impl IntoIterator<Item = Ref>) -> Gathered {
        let (mut gathered, mut left) = (Gathered::default(), series.into_iter().peekable());
        while left.peek().is_some() {
            let index = heads.index();
            let some = left.by_ref().take(LOCKED_MAX).filter(|series| index.is_live(*series));
            some.for_each(|series| gathered.add(&index, series));
        }
        gathered
    }

    fn add(&mut self, index: &Index, series: Ref) {
        self.series.push(index.reference(series));
        for pair in index.pairs_of(series) {
            let number = *self.numbers.entry(index.pair_reference(pair)).or_insert_with(|| {
                let (name, value) = index.texts_of(pair);
                self.texts.push((Arc::clone(name), Arc::clone(value)));
                (self.texts.len() - 1) as u32
            });
            self.pairs.push(number);
        }
        self.ends.push(self.pairs.len() as u32);
    }

    pub(crate) fn in_order(mut self) -> Ordered {
        self.numbers = HashMap::default();
        let mut by_text: Vec<u32> = (0..self.texts.len() as u32).collect();
        by_text.sort_unstable_by(|a, b| self.texts[*a as usize].cmp(&self.texts[*b as usize]));
        let mut places = vec![0; by_text.len()];
        (0..).zip(&by_text).for_each(|(place, number)| places[*number as usize] = place);
        self.pairs.iter_mut().for_each(|pair| *pair = places[*pair as usize]);
        let texts = by_text.iter().map(|number| self.texts[*number as usize].clone()).collect();
        let mut ordered = Ordered { order: Vec::new(), series: self.series, ends: self.ends, pairs: self.pairs, texts };
        let mut order: Vec<u32> = (0..ordered.series.len() as u32).collect();
        order.sort_unstable_by(|a, b| ordered.pairs_at(*a).cmp(ordered.pairs_at(*b)));
        ordered.order = order;
        ordered
    }
}

/// Series in the order of their labels.
pub(crate) struct Ordered {
    order: Vec<u32>,
    series: Vec<SeriesRef>,
    ends: Vec<u32>,
    /// Places in `texts`.
    pairs: Vec<u32>,
    /// Names and values, sorted.
    texts: Vec<(Arc<str>, Arc<str>)>,
}

impl Ordered {
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesRef> {
        self.order.iter().map(|at| self.series[*at as usize])
    }

    /// All names and values, sorted, each once; and the slots of the series with their label pairs as places
    /// in those.
    pub(crate) fn ranked(&self) -> (Vec<&str>, impl Iterator<Item = (Ref, Vec<(u32, u32)>)>) {
        let mut symbols: Vec<&str> = self.texts.iter().flat_map(|(name, value)| [&**name, &**value]).collect();
        symbols.sort_unstable();
        symbols.dedup();
        let place = |text: &str| symbols.partition_point(|have| *have < text) as u32;
        let places: Vec<(u32, u32)> = self.texts.iter().map(|(name, value)| (place(name), place(value))).collect();
        let series = self.order.iter().map(move |at| {
            let pairs = self.pairs_at(*at).iter().map(|pair| places[*pair as usize]);
            (self.series[*at as usize].0 as Ref, pairs.collect())
        });
        (symbols, series)
    }

    fn pairs_at(&self, at: u32) -> &[u32] {
        let from = if at == 0 { 0 } else { self.ends[at as usize - 1] };
        &self.pairs[from as usize..self.ends[at as usize] as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use watchbell_model::{MatchOp, SeriesKey};

    use super::super::MetricsConfig;
    use super::super::sources::SeriesLimits;
    use super::*;

    fn labels(at: u32) -> Labels {
        let (a, b, c) = ((at % 7).to_string(), (at % 97).to_string(), at.to_string());
        let a = if at.is_multiple_of(3) { "" } else { &*a };
        Labels::from_pairs([
            ("__name__", if at.is_multiple_of(5) { "" } else { "m" }),
            ("A", a),
            ("b", &*b),
            ("c", &*c),
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn series_come_in_order_whatever_happens_meanwhile(
            count in 1..12_000_u32,
            steps in prop::collection::vec((0..12_000_u32, any::<bool>(), 0..3000_usize), 0..20),
        ) {
            let heads = Heads::default();
            let config = MetricsConfig::default();
            let add = |at: u32| heads.resolve(&[SeriesKey::Labels(labels(at))], 0, &SeriesLimits::new(&config));
            (0..count).for_each(|at| _ = add(at));
            let matchers = [Matcher::new("b", MatchOp::NotEqual, "1").unwrap()];
            let mut order = HeadOrder::new(&heads, &matchers);
            let (mut found, mut gone) = (Vec::new(), Vec::new());
            for (at, remove, read) in steps {
                found.extend(std::iter::from_fn(|| order.next()).take(read).map(|(_, labels)| labels));
                if remove {
                    let slot = heads.index().find(&labels(at));
                    if let Some(slot) = slot {
                        heads.remove(slot);
                        gone.push(labels(at));
                    }
                } else {
                    add(at);
                }
            }
            found.extend(std::iter::from_fn(|| order.next()).map(|(_, labels)| labels));
            prop_assert!(found.iter().all(|labels| labels.get("b") != Some("1")));
            let stayed: Vec<Labels> = (0..count).filter(|at| at % 97 != 1).map(labels).filter(|labels| !gone.contains(labels)).collect();
            for labels in &stayed {
                prop_assert!(found.contains(labels));
            }
            prop_assert!(found.is_sorted_by(|a, b| a < b));
        }
    }
}
