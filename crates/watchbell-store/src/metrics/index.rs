//! The series of the head by their labels: names and values as numbers, and which series has which.
//!
//! A series keeps its number as long as the index lives; the head replaces the index when too much of it is dead.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;
use watchbell_model::Labels;

use super::matching::Postings;

/// The number of a series in the head.
pub(crate) type Ref = u32;

/// For how many series labels are kept as texts: that is where most of the memory of a series would go.
const KEPT_MAX: usize = 50_000;
/// No further series with the same hash.
const NONE: Ref = Ref::MAX;

#[derive(Default)]
pub(crate) struct Index {
    symbols: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    series: Vec<Entry>,
    by_hash: HashMap<u64, Ref, BuildHasherDefault<AsIs>>,
    postings: HashMap<u32, HashMap<u32, Posting>>,
    hasher: RandomState,
    /// How often labels were kept as texts.
    kept: AtomicUsize,
}

struct Entry {
    labels: Box<[(u32, u32)]>,
    /// The same as readers want them, kept once somebody asked: rules ask for the same series over and over.
    texts: OnceLock<Labels>,
    /// The next series with the same hash.
    next: Ref,
}

/// Most label pairs of a monitored host belong to one series only; a bitmap for each would be most of the memory.
enum Posting {
    One(Ref),
    Many(Box<RoaringBitmap>),
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn find(&self, labels: &Labels) -> Option<Ref> {
        let mut at = *self.by_hash.get(&self.hash(labels))?;
        while at != NONE {
            let entry = &self.series[at as usize];
            if self.is(entry, labels) {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }

    /// The number of a series, new if need be.
    pub(crate) fn find_or_add(&mut self, labels: &Labels) -> Ref {
        if let Some(found) = self.find(labels) {
            return found;
        }
        let new = self.series.len() as Ref;
        let pairs: Box<[(u32, u32)]> =
            labels.iter().map(|(name, value)| (self.symbol(name), self.symbol(value))).collect();
        for (name, value) in &pairs {
            self.postings
                .entry(*name)
                .or_default()
                .entry(*value)
                .and_modify(|posting| posting.add(new))
                .or_insert(Posting::One(new));
        }
        let next = self.by_hash.insert(self.hash(labels), new).unwrap_or(NONE);
        self.series.push(Entry { labels: pairs, texts: OnceLock::new(), next });
        new
    }

    pub(crate) fn labels(&self, series: Ref) -> Labels {
        let texts = &self.series[series as usize].texts;
        if let Some(labels) = texts.get() {
            return labels.clone();
        }
        let text = |at: u32| &*self.texts[at as usize];
        let pairs = self.symbols_of(series).iter().map(|(name, value)| (text(*name), text(*value)));
        let labels = Labels::from_sorted(pairs);
        if self.kept.fetch_add(1, Ordering::Relaxed) < KEPT_MAX {
            // Somebody else may have been faster; it is the same set.
            let _ = texts.set(labels.clone());
        }
        labels
    }

    /// The labels of a series, as numbers of [`Index::text`].
    pub(crate) fn symbols_of(&self, series: Ref) -> &[(u32, u32)] {
        &self.series[series as usize].labels
    }

    pub(crate) fn text(&self, symbol: u32) -> &Arc<str> {
        &self.texts[symbol as usize]
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.postings.keys().map(|name| &*self.texts[*name as usize])
    }

    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.symbols.get(name).and_then(|name| self.postings.get(name));
        values.into_iter().flat_map(|values| values.keys().map(|value| &*self.texts[*value as usize]))
    }

    fn symbol(&mut self, text: &str) -> u32 {
        if let Some(known) = self.symbols.get(text) {
            return *known;
        }
        let text: Arc<str> = text.into();
        let new = self.texts.len() as u32;
        self.texts.push(Arc::clone(&text));
        self.symbols.insert(text, new);
        new
    }

    fn is(&self, entry: &Entry, labels: &Labels) -> bool {
        entry.labels.len() == labels.len()
            && entry.labels.iter().zip(labels.iter()).all(|((name, value), have)| {
                &*self.texts[*name as usize] == have.0 && &*self.texts[*value as usize] == have.1
            })
    }

    fn hash(&self, labels: &Labels) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for (name, value) in labels.iter() {
            hasher.write(name.as_bytes());
            hasher.write_u8(0xff);
            hasher.write(value.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }
}

impl Posting {
    fn add(&mut self, series: Ref) {
        match self {
            Posting::One(first) => *self = Posting::Many(Box::new([*first, series].into_iter().collect())),
            Posting::Many(many) => _ = many.insert(series),
        }
    }

    fn add_to(&self, to: &mut RoaringBitmap) {
        match self {
            Posting::One(one) => _ = to.insert(*one),
            Posting::Many(many) => *to |= &**many,
        }
    }
}

impl Postings for Index {
    fn all(&self) -> RoaringBitmap {
        (0..self.series.len() as Ref).collect()
    }

    fn add(&self, name: &str, value: &str, to: &mut RoaringBitmap) {
        let (Some(name), Some(value)) = (self.symbols.get(name), self.symbols.get(value)) else { return };
        if let Some(posting) = self.postings.get(name).and_then(|values| values.get(value)) {
            posting.add_to(to);
        }
    }

    fn add_where(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool, to: &mut RoaringBitmap) {
        let Some(values) = self.symbols.get(name).and_then(|name| self.postings.get(name)) else { return };
        for (_, posting) in values.iter().filter(|(value, _)| wanted(&self.texts[**value as usize])) {
            posting.add_to(to);
        }
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use watchbell_model::{MatchOp, Matcher};

    use super::super::matching::matching;
    use super::*;

    /// `selector` in the form `name=value name!=value name=~regex`.
    fn check(selector: &str, expected: Expect) {
        let mut index = Index::default();
        for (name, job, host) in
            [("up", "mail", "a"), ("up", "mail", "b"), ("up", "web", ""), ("down", "mail", "a"), ("", "", "c")]
        {
            index.find_or_add(&Labels::from_pairs([("__name__", name), ("job", job), ("host", host)]));
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
    fn a_series_is_found_again_by_its_labels() {
        let mut index = Index::default();
        let labels = Labels::metric("up", &[("job", "mail")]);
        assert_eq!(index.find(&labels), None);
        assert_eq!(index.find_or_add(&labels), 0);
        assert_eq!(index.find_or_add(&Labels::metric("up", &[("job", "mai")])), 1);
        assert_eq!((index.find_or_add(&labels), index.find(&labels), index.labels(0)), (0, Some(0), labels));
    }
}
