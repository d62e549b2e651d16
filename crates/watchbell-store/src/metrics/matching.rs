//! Which series pass: matchers over an inverted index, one way for the head and for blocks.

use roaring::RoaringBitmap;
use watchbell_model::{MatchOp, Matcher};

/// What an index can say. Series are numbers in it.
pub(crate) trait Postings {
    /// Every series.
    fn all(&self) -> RoaringBitmap;
    /// Adds the series that have this label.
    fn add(&self, name: &str, value: &str, to: &mut RoaringBitmap);
    /// Adds the series that have this label with a value that `wanted` says.
    fn add_where(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool, to: &mut RoaringBitmap);
}

/// The series that pass every matcher; an absent label has the empty value.
pub(crate) fn matching(index: &impl Postings, matchers: &[Matcher]) -> RoaringBitmap {
    let mut found: Option<RoaringBitmap> = None;
    // Those that ask for a value come first: they leave little for the others to be taken from.
    let (absent_passes, needed): (Vec<_>, Vec<_>) = matchers.iter().partition(|matcher| matcher.matches(""));
    for matcher in needed {
        let mut passing = RoaringBitmap::new();
        match literals(matcher) {
            Some(values) => values.iter().for_each(|value| index.add(&matcher.name, value, &mut passing)),
            None => index.add_where(&matcher.name, &mut |value| matcher.matches(value), &mut passing),
        }
        if let Some(found) = &found {
            passing &= found;
        }
        if passing.is_empty() {
            return passing;
        }
        found = Some(passing);
    }
    let mut found = found.unwrap_or_else(|| index.all());
    for matcher in absent_passes {
        let mut failing = RoaringBitmap::new();
        match (matcher.op, matcher.value.as_str()) {
            (MatchOp::NotEqual, value) if !value.is_empty() => index.add(&matcher.name, value, &mut failing),
            _ => index.add_where(&matcher.name, &mut |value| !matcher.matches(value), &mut failing),
        }
        found -= failing;
    }
    found
}

/// The only values a matcher can pass, if it names them: `=`, or `=~` of plain words.
fn literals(matcher: &Matcher) -> Option<Vec<&str>> {
    match matcher.op {
        MatchOp::Equal => Some(vec![&matcher.value]),
        MatchOp::Regex => {
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '|' | ' ' | ',');
            matcher.value.chars().all(plain).then(|| matcher.value.split('|').collect())
        }
        _ => None,
    }
}
