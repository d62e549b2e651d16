//! Which series pass: matchers over an inverted index, one way for the head and for blocks.
//!
//! Expressions are asked about values, never about series: about those that begin as the expression does, or, where
//! other matchers left few series, about the values that those have.

use std::borrow::Cow;
use std::collections::HashMap;

use roaring::RoaringBitmap;
use watchbell_model::{MatchOp, Matcher};

use super::values::{Rest, beginnings};

/// So many values are gone through in the time in which one series is looked at for its value.
const VALUES_PER_SERIES: u64 = 4;

/// What an index can say. Series, names and label pairs are numbers in it.
pub(crate) trait Postings {
    /// What makes looking at one series after the other cheap.
    type Place: Default;

    /// Every series.
    fn all(&self) -> RoaringBitmap;
    /// A label name; one that is not there no series has.
    fn name(&self, name: &str) -> Option<u32>;
    /// Whether every series has this name.
    fn is_everywhere(&self, name: u32) -> bool;
    /// How many values a name has.
    fn value_count(&self, name: u32) -> u64;
    /// The pair of a name and a value.
    fn pair(&self, name: u32, value: &str) -> Option<u32>;
    /// Pairs of a name in order of their values, from `from` on.
    fn pairs_from(&self, name: u32, from: &str) -> impl Iterator<Item = u32>;
    /// The value of a pair.
    fn value(&self, pair: u32) -> &str;
    /// About how many series have a pair.
    fn size(&self, pair: u32) -> u64;
    /// The series that have a pair.
    fn posting(&self, pair: u32) -> Cow<'_, RoaringBitmap>;
    /// Adds the series that have a pair.
    fn gather(&self, pair: u32, to: &mut Union);
    /// The value a series has for a name.
    fn value_of(&self, series: u32, name: u32, place: &mut Self::Place) -> Option<&str>;
}

/// Gathers series of many pairs, most of which have few.
#[derive(Default)]
pub(crate) struct Union {
    pub(crate) few: Vec<u32>,
    pub(crate) many: RoaringBitmap,
}

impl Union {
    pub(crate) fn of(index: &impl Postings, pairs: &[u32]) -> RoaringBitmap {
        let mut union = Union::default();
        pairs.iter().for_each(|pair| index.gather(*pair, &mut union));
        let Union { mut few, mut many } = union;
        few.sort_unstable();
        many |= RoaringBitmap::from_sorted_iter(few).unwrap_or_default();
        many
    }
}

/// The series that pass every matcher; an absent label has the empty value.
pub(crate) fn matching(index: &impl Postings, matchers: &[Matcher]) -> RoaringBitmap {
    let (mut known, mut open) = (Vec::<Vec<u32>>::new(), Vec::new());
    // Those that ask for a value come first: they leave little for the others to be taken from.
    let (absent_passes, needed): (Vec<_>, Vec<_>) = matchers.iter().partition(|matcher| matcher.matches(""));
    for matcher in needed {
        let Some(name) = index.name(&matcher.name) else { return RoaringBitmap::new() };
        let condition = Condition { matcher, name, passing: true };
        match condition.values() {
            Values::Every if index.is_everywhere(name) => {}
            Values::These(texts) => known.push(texts.iter().filter_map(|text| index.pair(name, text)).collect()),
            values => open.push((condition, values)),
        }
    }
    let size = |pairs: &Vec<u32>| pairs.iter().map(|pair| index.size(*pair)).sum::<u64>();
    known.sort_by_cached_key(size);
    let mut found: Option<RoaringBitmap> = None;
    for pairs in known {
        found = Some(match (found, &pairs[..]) {
            (None, pairs) => Union::of(index, pairs),
            (Some(found), [pair]) => found & &*index.posting(*pair),
            (Some(found), pairs) => found & Union::of(index, pairs),
        });
        if found.as_ref().is_some_and(RoaringBitmap::is_empty) {
            return RoaringBitmap::new();
        }
    }
    open.sort_by_cached_key(|(condition, _)| index.value_count(condition.name));
    for (condition, values) in open {
        found = Some(match found {
            Some(found) if condition.is_cheap_on(index, &found) => condition.keep(index, &found),
            Some(found) => found & Union::of(index, &condition.pairs(index, &values)),
            None => Union::of(index, &condition.pairs(index, &values)),
        });
    }
    let mut found = found.unwrap_or_else(|| index.all());
    for matcher in absent_passes {
        let Some(name) = index.name(&matcher.name) else { continue };
        let condition = Condition { matcher, name, passing: false };
        let values = condition.values();
        if matches!(&values, Values::These(texts) if texts.is_empty()) {
            continue;
        }
        found = match values {
            Values::Every if index.is_everywhere(name) => RoaringBitmap::new(),
            Values::These(texts) => {
                let pairs: Vec<u32> = texts.iter().filter_map(|text| index.pair(name, text)).collect();
                found - Union::of(index, &pairs)
            }
            _ if condition.is_cheap_on(index, &found) => {
                let failing = condition.keep(index, &found);
                found - failing
            }
            values => found - Union::of(index, &condition.pairs(index, &values)),
        };
    }
    found
}

/// Values of a name: those that pass a matcher, or those that do not.
struct Condition<'a> {
    matcher: &'a Matcher,
    name: u32,
    passing: bool,
}

/// Where the values of a condition are in a sorted dictionary.
enum Values {
    /// All there are.
    Every,
    These(Vec<String>),
    /// With one of these beginnings.
    Under(Vec<(String, Rest)>),
}

impl Condition<'_> {
    fn values(&self) -> Values {
        let value = || self.matcher.value.clone();
        match (self.matcher.op, self.passing) {
            (MatchOp::Equal, true) | (MatchOp::NotEqual, false) => Values::These(vec![value()]),
            // The matcher's value is the empty one, or else the other half would be asked for.
            (MatchOp::Equal, false) | (MatchOp::NotEqual, true) => Values::Every,
            (MatchOp::Regex, true) | (MatchOp::NotRegex, false) => {
                let found = beginnings(&self.matcher.value);
                // No series has an empty value.
                let every = |(text, rest): &(String, Rest)| text.is_empty() && matches!(rest, Rest::Any | Rest::More);
                if found.iter().any(every) {
                    Values::Every
                } else if found.iter().all(|(_, rest)| *rest == Rest::Nothing) {
                    Values::These(found.into_iter().map(|(text, _)| text).collect())
                } else {
                    Values::Under(found)
                }
            }
            (MatchOp::Regex, false) | (MatchOp::NotRegex, true) => {
                let every = |(text, rest): &(String, Rest)| text.is_empty() && matches!(rest, Rest::Any | Rest::More);
                if beginnings(&self.matcher.value).iter().any(every) {
                    Values::These(Vec::new())
                } else {
                    Values::Under(vec![(String::new(), Rest::Asked)])
                }
            }
        }
    }

    fn is_in(&self, value: &str) -> bool {
        self.matcher.matches(value) == self.passing
    }

    /// Whether looking at each of these series is less than going through the dictionary.
    fn is_cheap_on(&self, index: &impl Postings, found: &RoaringBitmap) -> bool {
        found.len().saturating_mul(VALUES_PER_SERIES) <= index.value_count(self.name)
    }

    /// Those of `found` that have such a value.
    fn keep<P: Postings>(&self, index: &P, found: &RoaringBitmap) -> RoaringBitmap {
        let (mut asked, mut place) = (HashMap::<&str, bool>::new(), P::Place::default());
        let mut is_in = |value| *asked.entry(value).or_insert_with(|| self.is_in(value));
        let mut passes = |series: &u32| index.value_of(*series, self.name, &mut place).is_some_and(&mut is_in);
        found.iter().filter(|series| passes(series)).collect()
    }

    /// The pairs that have such a value.
    fn pairs(&self, index: &impl Postings, values: &Values) -> Vec<u32> {
        match values {
            Values::Every => index.pairs_from(self.name, "").collect(),
            Values::These(texts) => texts.iter().filter_map(|text| index.pair(self.name, text)).collect(),
            Values::Under(beginnings) => {
                let mut pairs = Vec::new();
                for (beginning, rest) in beginnings {
                    let under = index.pairs_from(self.name, beginning);
                    let under = under.take_while(|pair| index.value(*pair).starts_with(&**beginning));
                    match rest {
                        Rest::Nothing => pairs.extend(index.pair(self.name, beginning)),
                        Rest::Any => pairs.extend(under),
                        Rest::More => pairs.extend(under.filter(|pair| index.value(*pair).len() > beginning.len())),
                        Rest::Asked => pairs.extend(under.filter(|pair| self.is_in(index.value(*pair)))),
                    }
                }
                pairs
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use watchbell_model::{Labels, Sample, Timestamp};
    use watchbell_runtime::sim;

    use super::super::block::Block;
    use super::super::block_writer::BlockWriter;
    use super::super::chunk::{self, Effort};
    use super::super::index::Index;
    use super::*;

    fn matcher() -> impl Strategy<Value = Matcher> {
        let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
        let expressions =
            ["", "a", "ab", "a|b", "a.*", "a.+", ".*", ".+", "(a|b)b?", "[ab]+", "|a", "a?", ".*b", "c|", "(?i)A"];
        let value = prop::sample::select(expressions.to_vec());
        ("[w-z]", op, value).prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap())
    }

    fn labels() -> impl Strategy<Value = Labels> {
        prop::collection::vec(("[x-z]", "[ab]{0,3}"), 0..4).prop_map(|pairs| {
            let always = [("all".to_owned(), "1".to_owned())];
            Labels::from_pairs(pairs.into_iter().chain(always))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn what_passes_is_what_each_matcher_says_of_each_series(
            series in prop::collection::btree_set(labels(), 1..120),
            matchers in prop::collection::vec(prop::collection::vec(matcher(), 0..4), 1..12),
        ) {
            sim::run(1, |world| async move {
                let mut index = Index::default();
                // In another order than their labels', with a gap.
                series.iter().rev().for_each(|labels| _ = index.find_or_add(labels, 0));
                let gone = Labels::metric("gone", &[("x", "a")]);
                let gone = index.find_or_add(&gone, 0);
                index.remove(gone);
                let (disk, path) = (world.runtime().disk, Path::new("/b"));
                let mut symbols: Vec<&str> = series.iter().flat_map(Labels::iter).flat_map(<[&str; 2]>::from).collect();
                symbols.sort_unstable();
                symbols.dedup();
                let place = |text: &str| symbols.binary_search(&text).unwrap() as u32;
                let mut writer = BlockWriter::begin(&disk, path, &symbols, 1, Vec::new()).unwrap();
                let sample = Sample { timestamp: Timestamp(1), value: 1.0 };
                for labels in &series {
                    let pairs: Vec<_> = labels.iter().map(|(name, value)| (place(name), place(value))).collect();
                    writer.add(&pairs, &chunk::encode_all(&[sample], Effort::Quick), &[]).unwrap();
                }
                writer.complete().and_then(|_| writer.place()).unwrap();
                let block = Block::open(&disk, path, 1).unwrap().unwrap();
                for matchers in &matchers {
                    let passes = |labels: &&Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
                    let wanted: Vec<Labels> = series.iter().filter(passes).cloned().collect();
                    let mut in_head: Vec<_> = matching(&index, matchers).iter().map(|at| index.labels(at)).collect();
                    in_head.sort();
                    let in_block: Vec<_> = matching(&block.index, matchers).iter().map(|at| block.labels(at)).collect();
                    assert_eq!(in_head, wanted, "{matchers:?}");
                    assert_eq!(in_block, wanted, "{matchers:?}");
                }
            });
        }
    }
}
