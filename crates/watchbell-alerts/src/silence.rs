//! Silences: matchers that keep alerts from being told of for a while.
//!
//! Pure: every question and every change takes `now`. A silence that was in force is never rewritten so that its past
//! changes: an edit that would do so ends it and makes a new one, as in Alertmanager.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchbell_model::{Labels, MatchOp, Matcher, Span, StateError, Timestamp};

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

    fn check(&self, now: Timestamp) -> Result<(), SilenceError> {
        let invalid = |text: &str| Err(SilenceError::Invalid(text.to_owned()));
        if self.matchers.is_empty() || self.matchers.iter().any(Vec::is_empty) {
            return invalid("a silence needs at least one matcher");
        }
        if self.matchers.iter().flatten().any(|matcher| matcher.name.is_empty()) {
            return invalid("a label name cannot be empty");
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
        now: Timestamp,
    ) -> Result<Vec<Silence>, SilenceError> {
        silence.check(now)?;
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
