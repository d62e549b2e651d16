//! The series of the head by their labels: label pairs as numbers, and which series has which.
//!
//! A series keeps its number (slot) until it is removed; then the slot is given to another one, under another
//! generation, so that a [`SeriesRef`] never comes to mean a series that it was not made for. Adding and removing touch
//! what belongs to one series only: nothing here is ever rebuilt as a whole.
//!
//! Invariant: a label pair is in the dictionary exactly as long as a series has it, a label name as long as a pair has it.

mod posting;
mod slots;
mod sorted;
mod table;

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;
use watchbell_model::{Labels, SeriesRef};

use super::bytes::{Cursor, put_varint};
use super::matching::{Postings, Union};
use posting::Posting;
use slots::Slots;
use sorted::Sorted;
use table::Table;

/// The number of a series in the head: its slot.
pub(crate) type Ref = u32;

/// For how many series labels are kept as readers want them: for all that is where most of the memory would go.
const KEPT_MAX: usize = 50_000;

#[derive(Default)]
pub(crate) struct Index {
    series: Slots<Entry>,
    by_labels: Table,
    pairs: Slots<Pair>,
    by_pair: Table,
    names: Slots<Name>,
    sorted_names: Sorted,
    /// Slots in use.
    live: RoaringBitmap,
    /// Of the first [`KEPT_MAX`] slots their labels, once somebody asked: rules ask for the same series over and over.
    kept: Vec<OnceLock<Labels>>,
    hasher: RandomState,
    /// How many series were ever removed.
    removals: u64,
    era: Era,
}

/// Told from those of all other indexes of this process, so that a [`SeriesRef`] from before a store was opened again
/// does not come to mean another series.
struct Era(u32);

impl Default for Era {
    fn default() -> Era {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // So many uses of one slot are told apart.
        Era(NEXT.fetch_add(1 << 16, Ordering::Relaxed))
    }
}

struct Entry {
    /// Its label pairs in the order of their names, as varints.
    pairs: Box<[u8]>,
    source: u16,
}

struct Pair {
    value: Arc<str>,
    posting: Posting,
    name: u32,
}

struct Name {
    text: Arc<str>,
    /// Its pairs by their values.
    pairs: Sorted,
    /// How many series have it.
    series: u32,
}

impl Index {
    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// The slots of all series.
    pub(crate) fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    pub(crate) fn find(&self, labels: &Labels) -> Option<Ref> {
        self.find_hashed(self.hasher.hash_one(labels.as_key()), labels)
    }

    /// The slot of a series, which is made for `source` if it is not there yet.
    pub(crate) fn find_or_add(&mut self, labels: &Labels, source: u16) -> Ref {
        let hash = self.hasher.hash_one(labels.as_key());
        if let Some(found) = self.find_hashed(hash, labels) {
            return found;
        }
        let new = self.series.insert(Entry { pairs: Box::default(), source });
        let mut pairs = Vec::with_capacity(32);
        for (name, value) in labels.iter() {
            put_varint(&mut pairs, u64::from(self.add_pair(name, value, new)));
        }
        self.entry_mut(new).pairs = pairs.into_boxed_slice();
        self.by_labels.insert(hash, new);
        self.live.insert(new);
        let kept = (new as usize + 1).min(KEPT_MAX);
        if self.kept.len() < kept {
            self.kept.resize_with(kept, OnceLock::new);
        }
        new
    }

    /// Forgets a series and what only it had; its slot is given to another one.
    pub(crate) fn remove(&mut self, series: Ref) {
        if self.series.get(series).is_none() {
            return;
        }
        let labels = self.labels(series);
        self.by_labels.remove(self.hasher.hash_one(labels.as_key()), series);
        let entry = self.series.remove(series).expect("it was there");
        for pair in numbers(&entry.pairs) {
            self.remove_pair(pair, series);
        }
        self.live.remove(series);
        self.removals += 1;
        if let Some(kept) = self.kept.get_mut(series as usize) {
            *kept = OnceLock::new();
        }
    }

    /// Whether a slot is in use.
    pub(crate) fn is_live(&self, series: Ref) -> bool {
        self.series.get(series).is_some()
    }

    /// How many series were ever removed: as long as it stays, each slot means the same.
    pub(crate) fn removals(&self) -> u64 {
        self.removals
    }

    /// How a series is referred to from outside.
    pub(crate) fn reference(&self, series: Ref) -> SeriesRef {
        SeriesRef(u64::from(self.series.generation(series).wrapping_add(self.era.0)) << 32 | u64::from(series))
    }

    /// The series that a reference was made for, if it is still there.
    pub(crate) fn known(&self, reference: SeriesRef) -> Option<Ref> {
        let series = reference.0 as u32;
        let known = self.series.get(series).is_some() && self.reference(series) == reference;
        known.then_some(series)
    }

    /// Who sent the series first.
    pub(crate) fn source(&self, series: Ref) -> u16 {
        self.series.get(series).expect("a series in use").source
    }

    pub(crate) fn labels(&self, series: Ref) -> Labels {
        let compose = || Labels::from_sorted(self.texts(series).map(|(name, value)| (&**name, &**value)));
        match self.kept.get(series as usize) {
            Some(kept) => kept.get_or_init(compose).clone(),
            None => compose(),
        }
    }

    /// The label pairs of a series as numbers of [`Index::texts_of`], in the order of their names; none of one that is
    /// not there.
    pub(crate) fn pairs_of(&self, series: Ref) -> impl Iterator<Item = u32> {
        numbers(self.series.get(series).map_or(&[], |entry| &entry.pairs))
    }

    /// The name and the value of a label pair.
    pub(crate) fn texts_of(&self, pair: u32) -> (&Arc<str>, &Arc<str>) {
        let pair = self.pair_at(pair);
        (&self.name_at(pair.name).text, &pair.value)
    }

    /// The number of a label pair with its generation: never given to another one.
    pub(crate) fn pair_reference(&self, pair: u32) -> u64 {
        u64::from(self.pairs.generation(pair)) << 32 | u64::from(pair)
    }

    /// All pairs behind this one, by name, then by value.
    pub(crate) fn pairs_after<'a>(&'a self, after: Option<(&'a str, &'a str)>) -> impl Iterator<Item = u32> {
        let (name, value) = after.unwrap_or_default();
        let names = self.sorted_names.from(name, |name| name_text(&self.names, name));
        names.flat_map(move |number| {
            let text = &*self.name_at(number).text;
            let pairs = self.pairs_from(number, if text == name { value } else { "" });
            pairs.skip_while(move |pair| after == Some((text, self.value(*pair))))
        })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sorted_names.iter().map(|name| name_text(&self.names, name))
    }

    fn entry_mut(&mut self, series: Ref) -> &mut Entry {
        self.series.get_mut(series).expect("a series in use")
    }

    fn texts(&self, series: Ref) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.pairs_of(series).map(|pair| self.texts_of(pair))
    }

    fn find_hashed(&self, hash: u64, labels: &Labels) -> Option<Ref> {
        let is = |series| self.texts(series).map(|(name, value)| (&**name, &**value)).eq(labels.iter());
        self.by_labels.find(hash, is)
    }

    fn name_at(&self, name: u32) -> &Name {
        self.names.get(name).expect("a name in use")
    }

    fn pair_at(&self, pair: u32) -> &Pair {
        self.pairs.get(pair).expect("a pair in use")
    }

    fn pair_hash(&self, name: u32, value: &str) -> u64 {
        self.hasher.hash_one((name, value))
    }

    /// Puts a series under a pair, made if need be.
    fn add_pair(&mut self, name: &str, value: &str, series: Ref) -> u32 {
        let number = self.name(name).unwrap_or_else(|| {
            let new = self.names.insert(Name { text: name.into(), pairs: Sorted::default(), series: 0 });
            self.sorted_names.insert(new, |number| name_text(&self.names, number));
            new
        });
        self.names.get_mut(number).expect("it is there").series += 1;
        if let Some(pair) = self.pair(number, value) {
            self.pairs.get_mut(pair).expect("it was found").posting.add(series);
            return pair;
        }
        let pair = self.pairs.insert(Pair { value: value.into(), posting: Posting::One(series), name: number });
        self.by_pair.insert(self.pair_hash(number, value), pair);
        let name = self.names.get_mut(number).expect("it is there");
        name.pairs.insert(pair, |pair| value_text(&self.pairs, pair));
        pair
    }

    fn remove_pair(&mut self, pair: u32, series: Ref) {
        let Some(Pair { posting, name, .. }) = self.pairs.get_mut(pair) else { return };
        let (number, unused) = (*name, posting.remove(series));
        let name = self.names.get_mut(number).expect("a pair has it");
        name.series -= 1;
        if !unused {
            return;
        }
        name.pairs.remove(pair, |pair| value_text(&self.pairs, pair));
        if name.series == 0 {
            self.sorted_names.remove(number, |number| name_text(&self.names, number));
            self.names.remove(number);
        }
        let gone = self.pairs.remove(pair).expect("it was found");
        self.by_pair.remove(self.pair_hash(number, &gone.value), pair);
    }
}

fn numbers(varints: &[u8]) -> impl Iterator<Item = u32> {
    let mut from = Cursor(varints);
    std::iter::from_fn(move || from.varint().map(|number| number as u32))
}

fn name_text(names: &Slots<Name>, name: u32) -> &str {
    &names.get(name).expect("a name in use").text
}

fn value_text(pairs: &Slots<Pair>, pair: u32) -> &str {
    &pairs.get(pair).expect("a pair in use").value
}

impl Postings for Index {
    type Place = ();

    fn all(&self) -> RoaringBitmap {
        self.live.clone()
    }

    fn name(&self, name: &str) -> Option<u32> {
        self.sorted_names.find(name, |number| name_text(&self.names, number))
    }

    fn is_everywhere(&self, name: u32) -> bool {
        self.name_at(name).series as usize == self.len()
    }

    fn value_count(&self, name: u32) -> u64 {
        self.name_at(name).pairs.len() as u64
    }

    fn pair(&self, name: u32, value: &str) -> Option<u32> {
        self.by_pair.find(self.pair_hash(name, value), |pair| {
            self.pairs.get(pair).is_some_and(|pair| pair.name == name && &*pair.value == value)
        })
    }

    fn pairs_from(&self, name: u32, from: &str) -> impl Iterator<Item = u32> {
        self.name_at(name).pairs.from(from, |pair| value_text(&self.pairs, pair))
    }

    fn value(&self, pair: u32) -> &str {
        value_text(&self.pairs, pair)
    }

    fn size(&self, pair: u32) -> u64 {
        self.pair_at(pair).posting.len()
    }

    fn posting(&self, pair: u32) -> Cow<'_, RoaringBitmap> {
        self.pair_at(pair).posting.bitmap()
    }

    fn gather(&self, pair: u32, to: &mut Union) {
        self.pair_at(pair).posting.gather(to);
    }

    fn value_of(&self, series: Ref, name: u32, (): &mut ()) -> Option<&str> {
        let mut pairs = self.pairs_of(series).map(|pair| self.pair_at(pair));
        pairs.find(|pair| pair.name == name).map(|pair| &*pair.value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use watchbell_model::{MatchOp, Matcher};

    use super::super::matching::matching;
    use super::*;

    /// `selector` in the form `name=value name!=value name=~regex`.
    fn check(selector: &str, expected: Expect) {
        let mut index = Index::default();
        for (name, job, host) in
            [("up", "mail", "a"), ("up", "mail", "b"), ("up", "web", ""), ("down", "mail", "a"), ("", "", "c")]
        {
            index.find_or_add(&Labels::from_pairs([("__name__", name), ("job", job), ("host", host)]), 0);
        }
        let matchers: Vec<Matcher> = selector
            .split_whitespace()
            .map(|text| {
                let ops = [MatchOp::NotRegex, MatchOp::Regex, MatchOp::NotEqual, MatchOp::Equal];
                let (op, (name, value)) = ops.iter().find_map(|op| Some((*op, text.split_once(op.as_str())?))).unwrap();
                Matcher::new(name, op, value).unwrap()
            })
            .collect();
        let found: Vec<String> = matching(&index, &matchers).iter().map(|at| index.labels(at).to_string()).collect();
        expected.assert_eq(&found.join("\n"));
    }

    #[test]
    fn matchers_select_as_in_prometheus() {
        check(
            "__name__=up job=mail",
            expect![[r#"
            up{host="a", job="mail"}
            up{host="b", job="mail"}"#]],
        );
        check("__name__=up host=", expect![[r#"up{job="web"}"#]]);
        check(
            "__name__=up host!=a",
            expect![[r#"
            up{host="b", job="mail"}
            up{job="web"}"#]],
        );
        check(
            "host=~a|c",
            expect![[r#"
            up{host="a", job="mail"}
            down{host="a", job="mail"}
            {host="c"}"#]],
        );
        check(
            "host=~[ab]? job=~m.*",
            expect![[r#"
            up{host="a", job="mail"}
            up{host="b", job="mail"}
            down{host="a", job="mail"}"#]],
        );
        check("host!~a|b|", expect![[r#"{host="c"}"#]]);
        check(
            "job!= host!=a",
            expect![[r#"
            up{host="b", job="mail"}
            up{job="web"}"#]],
        );
        check("none=x", expect![""]);
        check("none!=x __name__=down", expect![[r#"down{host="a", job="mail"}"#]]);
    }

    #[test]
    fn a_series_is_found_again_by_its_labels_and_its_reference() {
        let mut index = Index::default();
        let labels = Labels::metric("up", &[("job", "mail")]);
        assert_eq!(index.find(&labels), None);
        assert_eq!(index.find_or_add(&labels, 3), 0);
        assert_eq!(index.find_or_add(&Labels::metric("up", &[("job", "mai")]), 4), 1);
        assert_eq!((index.find_or_add(&labels, 5), index.find(&labels), index.labels(0)), (0, Some(0), labels.clone()));
        assert_eq!((index.source(0), index.source(1)), (3, 4));
        let reference = index.reference(0);
        assert_eq!(index.known(reference), Some(0));
        index.remove(0);
        assert_eq!((index.known(reference), index.find(&labels), index.len()), (None, None, 1));
        // The slot belongs to another series now; the old reference does not mean it.
        assert_eq!(index.find_or_add(&Labels::metric("down", &[]), 0), 0);
        assert_eq!((index.known(reference), index.known(index.reference(0))), (None, Some(0)));
        assert_eq!(index.labels(0).to_string(), "down");
        assert_eq!((index.known(SeriesRef(7)), index.known(SeriesRef(u64::MAX))), (None, None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_is_forgotten_leaves_nothing_behind(steps in prop::collection::vec((0..400_u32, 0..3_u8), 0..1200)) {
            let labels = |at: u32| {
                let (b, c) = ((at % 150).to_string(), if at.is_multiple_of(3) { at.to_string() } else { String::new() });
                Labels::from_pairs([("a", "all"), ("b", &*b), ("c", &*c), ("d", if at < 200 { "yes" } else { "no" })])
            };
            let (mut index, mut truth) = (Index::default(), BTreeMap::<Labels, SeriesRef>::new());
            for (at, kind) in steps {
                let labels = labels(at);
                if kind > 0 {
                    let series = index.find_or_add(&labels, 0);
                    let reference = index.reference(series);
                    prop_assert_eq!(*truth.entry(labels).or_insert(reference), reference);
                } else if let Some(gone) = truth.remove(&labels) {
                    index.remove(index.known(gone).unwrap());
                    prop_assert_eq!(index.known(gone), None);
                }
            }
            for (labels, reference) in &truth {
                let series = index.find(labels).unwrap();
                prop_assert_eq!((index.reference(series), index.labels(series)), (*reference, labels.clone()));
                for (name, value) in labels.iter() {
                    let having = matching(&index, &[Matcher::equal(name, value)]);
                    let wanted = truth.keys().filter(|labels| labels.get(name) == Some(value));
                    let wanted: RoaringBitmap = wanted.map(|labels| index.find(labels).unwrap()).collect();
                    prop_assert_eq!(having, wanted);
                }
            }
            let pairs: BTreeSet<_> = truth.keys().flat_map(Labels::iter).collect();
            let names: BTreeSet<_> = pairs.iter().map(|(name, _)| *name).collect();
            prop_assert_eq!((index.len(), index.pairs.len(), index.names.len()), (truth.len(), pairs.len(), names.len()));
            prop_assert!(index.names().eq(names.iter().copied()));
            for name in names {
                let values = pairs.iter().filter(|pair| pair.0 == name).map(|pair| pair.1);
                let having = index.pairs_from(index.name(name).unwrap(), "").map(|pair| index.value(pair));
                prop_assert!(having.eq(values));
            }
        }
    }
}
