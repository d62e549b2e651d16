//! Silences: matchers that keep alerts from being told of for a while.
//!
//! Pure: every question and every change takes `now`. A silence that was in force is never rewritten so that its past
//! changes: an edit that would do so ends it and makes a new one, as in Alertmanager.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchbell_model::{Labels, MatchOp, Matcher, Span, StateError, Timestamp};

use crate::matcher::MatcherMode;

/// How many silences are kept, those that ended and are not yet forgotten included.
pub const SILENCES_MAX: usize = 10_000;
/// How long a silence that ended is kept.
pub const SILENCE_RETENTION: Span = Span::hours(120);

/// Keeps alerts that match from being told of between two moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    /// Its name; empty asks for a new one.
    pub id: String,
    /// An alert matches when all matchers of any of these sets hold.
    #[serde(with = "matcher_sets")]
    pub matchers: Vec<Vec<Matcher>>,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Further words, such as a ticket's address.
    #[serde(default)]
    pub annotations: Labels,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// Whether a silence is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SilenceState {
    /// Not yet.
    Pending,
    /// Now.
    Active,
    /// No longer.
    Expired,
}

/// Why a silence was not set or ended.
#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    /// There is none of that name.
    #[error("there is no silence `{0}`")]
    Unknown(String),
    /// It is not a sensible silence; the text says what is wrong.
    #[error("{0}")]
    Invalid(String),
    /// It has ended already.
    #[error("the silence `{0}` has ended already")]
    Ended(String),
    /// There are too many.
    #[error("there are {SILENCES_MAX} silences already")]
    Full,
    /// It could not be kept.
    #[error("the silence could not be kept")]
    State(#[from] StateError),
}

impl Silence {
    /// Whether it is in force at `now`.
    pub fn state(&self, now: Timestamp) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now < self.ends_at {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }

    /// Whether an alert with these labels matches, in force or not.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(labels)))
    }

    fn check(&self, mode: MatcherMode, now: Timestamp) -> Result<(), SilenceError> {
        let invalid = |text: &str| Err(SilenceError::Invalid(text.to_owned()));
        if self.matchers.is_empty() || self.matchers.iter().any(Vec::is_empty) {
            return invalid("a silence needs at least one matcher");
        }
        if let Some(wrong) = self.matchers.iter().flatten().find_map(|matcher| mode.refuses_name(&matcher.name)) {
            return invalid(&wrong);
        }
        if self.matchers.iter().any(|set| set.iter().all(|matcher| matcher.matches(""))) {
            return invalid("at least one matcher must not match the empty value, or every alert would be silenced");
        }
        if self.ends_at <= self.starts_at {
            return invalid("a silence must end after it starts");
        }
        if self.ends_at <= now {
            return invalid("a silence must end in the future");
        }
        Ok(())
    }
}

/// All silences.
#[derive(Debug, Default)]
pub(crate) struct Silences(BTreeMap<String, Silence>);

impl Silences {
    pub(crate) fn insert(&mut self, silence: Silence) {
        self.0.insert(silence.id.clone(), silence);
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.0.values()
    }

    /// The names of all that keep an alert from being told of now.
    pub(crate) fn muting(&self, labels: &Labels, now: Timestamp) -> Vec<String> {
        let muting = |silence: &&Silence| silence.state(now) == SilenceState::Active && silence.matches(labels);
        self.0.values().filter(muting).map(|silence| silence.id.clone()).collect()
    }

    /// What to write so that the silence is set, the silence itself last; `new_id` is its name if it needs a new one.
    pub(crate) fn set(
        &self,
        mut silence: Silence,
        new_id: String,
        mode: MatcherMode,
        now: Timestamp,
    ) -> Result<Vec<Silence>, SilenceError> {
        silence.check(mode, now)?;
        silence.updated_at = now;
        let mut writes = Vec::new();
        if !silence.id.is_empty() {
            let old = self.0.get(&silence.id).ok_or_else(|| SilenceError::Unknown(silence.id.clone()))?;
            let in_place = old.matchers == silence.matchers
                && match old.state(now) {
                    // Whole seconds, since that is what clients of the API round to.
                    SilenceState::Active => old.starts_at.0 / 1000 == silence.starts_at.0 / 1000,
                    SilenceState::Pending => silence.starts_at >= now,
                    SilenceState::Expired => false,
                };
            if in_place {
                if old.state(now) == SilenceState::Active {
                    silence.starts_at = old.starts_at;
                }
                return Ok(vec![silence]);
            }
            if old.state(now) != SilenceState::Expired {
                writes.push(ended(old, now));
            }
        }
        if self.0.len() >= SILENCES_MAX {
            return Err(SilenceError::Full);
        }
        silence.id = new_id;
        silence.starts_at = silence.starts_at.max(now);
        writes.push(silence);
        Ok(writes)
    }

    /// What to write so that the silence ends now.
    pub(crate) fn expire(&self, id: &str, now: Timestamp) -> Result<Silence, SilenceError> {
        let old = self.0.get(id).ok_or_else(|| SilenceError::Unknown(id.to_owned()))?;
        match old.state(now) {
            SilenceState::Expired => Err(SilenceError::Ended(id.to_owned())),
            SilenceState::Active | SilenceState::Pending => Ok(ended(old, now)),
        }
    }

    /// The names of those that ended long enough ago to be forgotten.
    pub(crate) fn forgettable(&self, now: Timestamp) -> Vec<String> {
        let old = |silence: &&Silence| now.since(silence.ends_at) > SILENCE_RETENTION.duration();
        self.0.values().filter(old).map(|silence| silence.id.clone()).collect()
    }
}

fn ended(silence: &Silence, now: Timestamp) -> Silence {
    Silence { starts_at: silence.starts_at.min(now), ends_at: now, updated_at: now, ..silence.clone() }
}

/// Matchers in state documents, in the shape of Alertmanager's API.
mod matcher_sets {
    use serde::{Deserializer, Serializer, de, ser::SerializeSeq};

    use super::{Deserialize, MatchOp, Matcher, Serialize};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        name: String,
        value: String,
        is_regex: bool,
        is_equal: bool,
    }

    pub(super) fn serialize<S: Serializer>(sets: &[Vec<Matcher>], to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(sets.len()))?;
        for set in sets {
            let one = |matcher: &Matcher| Document {
                name: matcher.name.clone(),
                value: matcher.value.clone(),
                is_regex: matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex),
                is_equal: matches!(matcher.op, MatchOp::Equal | MatchOp::Regex),
            };
            list.serialize_element(&set.iter().map(one).collect::<Vec<_>>())?;
        }
        list.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<Matcher>>, D::Error> {
        let sets = Vec::<Vec<Document>>::deserialize(from)?;
        let one = |document: Document| {
            let op = match (document.is_regex, document.is_equal) {
                (false, true) => MatchOp::Equal,
                (false, false) => MatchOp::NotEqual,
                (true, true) => MatchOp::Regex,
                (true, false) => MatchOp::NotRegex,
            };
            Matcher::new(document.name, op, document.value).map_err(de::Error::custom)
        };
        sets.into_iter().map(|set| set.into_iter().map(one).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn silence(id: &str, matcher: &str, starts_at: i64, ends_at: i64) -> Silence {
        Silence {
            id: id.into(),
            matchers: vec![MatcherMode::Fallback.parse(matcher).expect("matchers")],
            starts_at: Timestamp(starts_at * 1000),
            ends_at: Timestamp(ends_at * 1000),
            created_by: "me".into(),
            comment: "why".into(),
            annotations: Labels::empty(),
            updated_at: Timestamp(0),
        }
    }

    #[test]
    fn an_edit_never_changes_what_was_in_force() {
        let mut silences = Silences::default();
        let mut text = String::new();
        let mut set = |now: i64, silence: Silence, new: &str| {
            text += &format!(
                "at {now} set {:3} {:?} {}..{}: ",
                silence.id,
                silence.matchers[0],
                silence.starts_at.0 / 1000,
                silence.ends_at.0 / 1000
            );
            match silences.set(silence, new.to_owned(), MatcherMode::Fallback, Timestamp(now * 1000)) {
                Ok(writes) => {
                    for write in writes {
                        text += &format!("{} {}..{}; ", write.id, write.starts_at.0 / 1000, write.ends_at.0 / 1000);
                        silences.insert(write);
                    }
                }
                Err(error) => text += &format!("{error}"),
            }
            text.truncate(text.trim_end_matches("; ").len());
            text += "\n";
        };
        set(0, silence("", "a=b", 10, 100), "1");
        set(5, silence("1", "a=b", 20, 100), "x");
        set(6, silence("1", "a=b", 2, 100), "2");
        set(30, silence("2", "a=b", 6, 200), "x");
        set(31, silence("2", "a=b", 7, 200), "3");
        set(40, silence("3", "a=c", 31, 200), "4");
        set(50, silence("3", "a=c", 50, 200), "5");
        set(60, silence("9", "a=c", 50, 200), "x");
        set(60, silence("", "a=~\".*\"", 60, 200), "x");
        set(60, silence("", "", 60, 200), "x");
        set(60, silence("", "a=b", 200, 100), "x");
        set(60, silence("", "a=b", 10, 50), "x");
        expect![[r#"
            at 0 set     [a="b"] 10..100: 1 10..100
            at 5 set 1   [a="b"] 20..100: 1 20..100
            at 6 set 1   [a="b"] 2..100: 1 6..6; 2 6..100
            at 30 set 2   [a="b"] 6..200: 2 6..200
            at 31 set 2   [a="b"] 7..200: 2 6..31; 3 31..200
            at 40 set 3   [a="c"] 31..200: 3 31..40; 4 40..200
            at 50 set 3   [a="c"] 50..200: 5 50..200
            at 60 set 9   [a="c"] 50..200: there is no silence `9`
            at 60 set     [a=~".*"] 60..200: at least one matcher must not match the empty value, or every alert would be silenced
            at 60 set     [] 60..200: a silence needs at least one matcher
            at 60 set     [a="b"] 200..100: a silence must end after it starts
            at 60 set     [a="b"] 10..50: a silence must end in the future
        "#]].assert_eq(&text);
    }

    #[test]
    fn a_document_reads_back() {
        let silence = silence("1", "a=b,c!=d,e=~f|g,h!~i", 1, 2);
        let text = serde_json::to_string(&silence).expect("it is JSON");
        assert_eq!(serde_json::from_str::<Silence>(&text).expect("it reads back"), silence);
    }

    #[test]
    fn ended_silences_are_forgotten_after_a_while() {
        let mut silences = Silences::default();
        silences.insert(silence("1", "a=b", 1, 2));
        let end = Timestamp(2000) + SILENCE_RETENTION.duration();
        assert_eq!(silences.forgettable(end), Vec::<String>::new());
        assert_eq!(silences.forgettable(Timestamp(end.0 + 1)), ["1"]);
        assert!(matches!(silences.expire("1", end), Err(SilenceError::Ended(_))));
    }
}
