//! Label sets and the matchers that select them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of label pairs: sorted by name, each name once, no empty value (which Prometheus equates with absence).
///
/// Cheap to clone, and one piece of memory: every series, alert and page carries one.
//
// Length and text, in turn, name and value, in turn; lengths in characters below 0x80, so that the whole is a `str`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

/// Bits of a length in one character of it; one more says that another follows.
const LENGTH_BITS: u32 = 6;

fn push_text(to: &mut String, text: &str) {
    let mut length = text.len();
    while length >= 1 << LENGTH_BITS {
        to.push(char::from((length & 0x3f) as u8 | 0x40));
        length >>= LENGTH_BITS;
    }
    to.push(char::from(length as u8));
    to.push_str(text);
}

/// Pairs in the order of their names.
#[derive(Clone)]
pub struct Pairs<'a>(&'a str);

impl<'a> Pairs<'a> {
    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let first = *self.0.as_bytes().first()?;
        if first & 0x40 != 0 {
            return self.long_text();
        }
        let (text, rest) = self.0[1..].split_at(usize::from(first));
        self.0 = rest;
        Some(text)
    }

    /// A text whose length takes several bytes.
    #[cold]
    fn long_text(&mut self) -> Option<&'a str> {
        let (mut length, mut at) = (0, 0);
        loop {
            let byte = *self.0.as_bytes().get(at)?;
            length |= usize::from(byte & 0x3f) << (LENGTH_BITS * at as u32);
            at += 1;
            if byte & 0x40 == 0 {
                break;
            }
        }
        let text = &self.0[at..at + length];
        self.0 = &self.0[at + length..];
        Some(text)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let name = self.text()?;
        Some((name, self.text()?))
    }
}

impl Labels {
    /// The name under which a metric's own name is kept.
    pub const NAME: &'static str = "__name__";

    /// No labels.
    pub fn empty() -> Labels {
        Labels(Arc::from(""))
    }

    /// Sorts; of pairs with one name the last wins; pairs with an empty value are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Labels {
        let mut pairs: Vec<(N, V)> = pairs.into_iter().collect();
        if !pairs.is_sorted_by(|a, b| a.0.as_ref() < b.0.as_ref()) {
            pairs.reverse();
            pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
            pairs.dedup_by(|a, b| a.0.as_ref() == b.0.as_ref());
        }
        Labels::from_sorted(pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))
    }

    /// Pairs that are sorted by name already, each name once; pairs with an empty value are left out.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        let mut text = String::with_capacity(256);
        let mut last = None;
        for (name, value) in pairs {
            debug_assert!(last.is_none_or(|last| last < name), "{last:?} before {name:?}");
            last = Some(name);
            if !value.is_empty() {
                push_text(&mut text, name);
                push_text(&mut text, value);
            }
        }
        Labels(text.into())
    }

    /// A metric's name and labels.
    pub fn metric(name: &str, pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(std::iter::once((Labels::NAME, name)).chain(pairs.iter().copied()))
    }

    /// The value of `name`, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().take_while(|(have, _)| *have <= name).find(|(have, _)| *have == name).map(|(_, value)| value)
    }

    /// The metric's name, if there is one.
    pub fn name(&self) -> Option<&str> {
        self.get(Labels::NAME)
    }

    /// Pairs in the order of their names.
    pub fn iter(&self) -> Pairs<'_> {
        Pairs(&self.0)
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same set with `name` set to `value`; an empty value takes the name out.
    pub fn with(&self, name: &str, value: &str) -> Labels {
        Labels::from_pairs(self.iter().chain(std::iter::once((name, value))))
    }

    /// These, and those of the others of whose names there is none.
    pub fn with_missing(&self, others: &Labels) -> Labels {
        let missing = others.iter().filter(|(name, _)| self.get(name).is_none());
        self.iter().chain(missing).collect()
    }

    /// The same set without `name`.
    pub fn without(&self, name: &str) -> Labels {
        self.filtered(|have| have != name)
    }

    /// Only the names that `keep` says.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Labels {
        Labels::from_sorted(self.iter().filter(|(name, _)| keep(name)))
    }

    /// The set as one text that two sets share only if they are equal: a key for caches, never shown.
    pub fn as_key(&self) -> &str {
        &self.0
    }

    /// FNV-1a 64 over `name 0xff value 0xff` in order of names, as Prometheus and Alertmanager identify a set.
    pub fn fingerprint(&self) -> u64 {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut add = |byte: u8| {
            hash ^= u64::from(byte);
            hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
        };
        for (name, value) in self.iter() {
            name.bytes().for_each(&mut add);
            add(0xff);
            value.bytes().for_each(&mut add);
            add(0xff);
        }
        hash
    }
}

impl Default for Labels {
    fn default() -> Labels {
        Labels::empty()
    }
}

/// Pair by pair, as Prometheus orders sets.
impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> std::cmp::Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Labels {
        Labels::from_pairs(pairs)
    }
}

/// As PromQL writes it: `up{job="mail"}`; names that are not identifiers are quoted.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().unwrap_or("");
        f.write_str(name)?;
        if !name.is_empty() && self.len() == 1 {
            return Ok(());
        }
        f.write_str("{")?;
        let mut first = true;
        for (name, value) in self.iter().filter(|(name, _)| *name != Labels::NAME) {
            if !std::mem::take(&mut first) {
                f.write_str(", ")?;
            }
            let plain = !name.is_empty()
                && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
                && !name.as_bytes()[0].is_ascii_digit();
            if plain { write!(f, "{name}={value:?}")? } else { write!(f, "{name:?}={value:?}")? }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
        Ok(Labels::from_pairs(BTreeMap::<String, String>::deserialize(from)?))
    }
}

impl schemars::JsonSchema for Labels {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Labels".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
    }
}

/// How a [`Matcher`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

impl MatchOp {
    /// As written in a selector.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A condition on one label; an absent label has the empty value (Prometheus' rule).
#[derive(Clone)]
pub struct Matcher {
    /// The label it looks at.
    pub name: String,
    /// How it compares.
    pub op: MatchOp,
    /// What it compares with: a value or a regular expression.
    pub value: String,
    regex: Option<regex::Regex>,
}

/// The regular expression of a matcher cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a regular expression: {reason}")]
pub struct MatcherError {
    /// The expression as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Matcher {
    /// Compiles the expression of `=~` and `!~`: RE2 syntax, fully anchored, the dot matches a newline too.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Matcher, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(
                regex::RegexBuilder::new(&format!("^(?s:{value})$"))
                    .size_limit(1 << 20)
                    .dfa_size_limit(4 << 20)
                    .build()
                    .map_err(|error| MatcherError {
                        pattern: value.clone(),
                        reason: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
                    })?,
            ),
        };
        Ok(Matcher { name, op, value, regex })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Matcher {
        Matcher { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// Whether a label with this value (empty when absent) passes.
    pub fn matches(&self, value: &str) -> bool {
        let regex = || self.regex.as_ref().is_some_and(|regex| regex.is_match(value));
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Regex => regex(),
            MatchOp::NotRegex => !regex(),
        }
    }

    /// Whether the set passes.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}
impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_sorted_unique_and_without_empty_values() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="1", b="3"}"#);
        assert_eq!(labels.with("a", "").to_string(), r#"{b="3"}"#);
        assert_eq!(Labels::metric("up", &[]).to_string(), "up");
        assert_eq!(Labels::metric("up", &[("a.b", "x")]).to_string(), r#"up{"a.b"="x"}"#);
    }

    #[test]
    fn texts_of_every_length_come_out_again() {
        let text = |length: usize| "é".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
        for length in [1, 2, 63, 64, 65, 4095, 4096, 300_000] {
            let (name, value) = (text(length), text(length + 1));
            let labels = Labels::from_pairs([(&*name, &*value), ("zz", "1")]);
            let read: Vec<_> = labels.iter().collect();
            let mut wanted = vec![(&*name, &*value), ("zz", "1")];
            wanted.sort_unstable();
            assert_eq!((read, labels.len()), (wanted, 2));
            assert_eq!(labels.get(&name), Some(&*value));
        }
    }

    #[test]
    fn sets_are_ordered_pair_by_pair() {
        let sets = [("a", "é", "", ""), ("a", "z", "b", "1"), ("a", "zz", "", ""), ("aa", "1", "", "")];
        let mut sorted: Vec<Labels> = sets.iter().map(|(a, b, c, d)| Labels::from_pairs([(a, b), (c, d)])).collect();
        sorted.sort();
        let said: Vec<String> = sorted.iter().map(Labels::to_string).collect();
        assert_eq!(said, [r#"{a="z", b="1"}"#, r#"{a="zz"}"#, r#"{a="é"}"#, r#"{aa="1"}"#]);
    }

    #[test]
    fn the_fingerprint_is_alertmanagers() {
        // The empty set is the FNV offset; one pair computed by hand from the FNV-1a definition.
        assert_eq!(Labels::empty().fingerprint(), 0xcbf2_9ce4_8422_2325);
        assert_ne!(Labels::from_pairs([("ab", "c")]).fingerprint(), Labels::from_pairs([("a", "bc")]).fingerprint());
    }

    #[test]
    fn a_regular_expression_is_anchored_and_absence_is_empty() {
        let matcher = Matcher::new("job", MatchOp::Regex, "ma.l|").unwrap();
        assert!(matcher.matches("mail") && matcher.matches("ma\nl") && !matcher.matches("email"));
        assert!(matcher.matches_labels(&Labels::empty()));
        assert!(Matcher::new("job", MatchOp::Regex, "(").is_err());
    }
}
