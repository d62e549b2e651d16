//! Episodes: alerts that people were told of, each from its beginning to its end, and what was said of them: who saw to
//! it, and whether the page was worth it.
//!
//! Pure. An episode begins with the first page about an alert and is kept after the alert is over, since a verdict is
//! mostly given the next day. What nobody was told of is none. When it must go, one without a verdict goes first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use watchbell_model::{Alert, Labels, Span, Timestamp};

use crate::view::Acknowledgement;

/// How many episodes that are over are kept.
pub const EPISODES_MAX: usize = 10_000;
/// How long an episode without a verdict is kept.
pub const EPISODE_RETENTION: Span = Span::days(90);
/// How long an episode with a verdict is kept.
pub const VERDICT_RETENTION: Span = Span::days(400);
/// The longest summary that is kept, in bytes.
const SUMMARY_MAX: usize = 500;

/// What a person says of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// Something was wrong, and the page came in time.
    True,
    /// Nothing was wrong.
    False,
    /// It would have mended by itself, or could not be seen to yet.
    Early,
    /// Something was wrong, and the page came too late.
    Late,
    /// Something was wrong, but there was nothing to do about it.
    Unactionable,
}

impl Judgement {
    /// Each, in the order in which they are offered.
    pub const ALL: [Judgement; 5] =
        [Judgement::True, Judgement::False, Judgement::Early, Judgement::Late, Judgement::Unactionable];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Judgement::True => "true",
            Judgement::False => "false",
            Judgement::Early => "early",
            Judgement::Late => "late",
            Judgement::Unactionable => "unactionable",
        }
    }
}

/// What was said of an episode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Verdict {
    /// What they say.
    pub verdict: Judgement,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they said beside it, if anything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// An alert that people were told of, from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// The alert's labels.
    pub labels: Labels,
    /// What was wrong, in one line.
    pub summary: String,
    /// Since when it fired, as the first page said.
    pub starts_at: Timestamp,
    /// When people were told of it first.
    pub told_at: Timestamp,
    /// Until when it fired; nothing while it does.
    pub ends_at: Option<Timestamp>,
    /// Groups that people were told of it in, by the names their pages have.
    pub groups: BTreeSet<String>,
    /// Who saw to it first, if anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// What was said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// Names an episode: when it began, and the fingerprint of its alert.
pub type EpisodeKey = (Timestamp, u64);

impl Episode {
    pub(crate) fn begin(alert: &Alert, acknowledged: Option<Acknowledgement>, now: Timestamp) -> Episode {
        let summary = ["summary", "message", "title"].iter().find_map(|name| alert.annotations.get(name));
        let mut summary = summary.unwrap_or_else(|| alert.name()).trim().to_owned();
        summary.truncate(summary.floor_char_boundary(SUMMARY_MAX));
        Episode {
            labels: alert.labels.clone(),
            summary,
            starts_at: alert.starts_at,
            told_at: now,
            ends_at: None,
            groups: BTreeSet::new(),
            acknowledged,
            verdict: None,
        }
    }

    /// Its name.
    pub fn key(&self) -> EpisodeKey {
        (self.starts_at, self.labels.fingerprint())
    }

    /// The same, over at `end`.
    pub(crate) fn ended(&self, end: Option<Timestamp>) -> Episode {
        Episode { ends_at: end, ..self.clone() }
    }

    /// Whether it is of an alarm, by its identity such as `monitor/imap`, or of alerts of a name.
    pub fn is_of(&self, alarm: &str) -> bool {
        ["source", "alertname"].iter().any(|label| self.labels.get(label) == Some(alarm))
    }
}

/// All that are kept.
#[derive(Debug, Default)]
pub(crate) struct Episodes {
    all: BTreeMap<EpisodeKey, Episode>,
    /// When the latest began, by fingerprint.
    latest: HashMap<u64, Timestamp>,
    /// How many go on.
    open: usize,
}

impl Episodes {
    pub(crate) fn insert(&mut self, episode: Episode) {
        let key @ (starts_at, fingerprint) = episode.key();
        self.open += usize::from(episode.ends_at.is_none());
        let latest = self.latest.entry(fingerprint).or_insert(starts_at);
        *latest = starts_at.max(*latest);
        if let Some(old) = self.all.insert(key, episode) {
            self.open -= usize::from(old.ends_at.is_none());
        }
    }

    pub(crate) fn remove(&mut self, key: EpisodeKey) {
        if let Some(old) = self.all.remove(&key) {
            self.open -= usize::from(old.ends_at.is_none());
        }
        if self.latest.get(&key.1) == Some(&key.0) {
            self.latest.remove(&key.1);
        }
    }

    pub(crate) fn get(&self, key: EpisodeKey) -> Option<&Episode> {
        self.all.get(&key)
    }

    /// The latest of an alert.
    fn latest(&self, fingerprint: u64) -> Option<&Episode> {
        self.all.get(&(*self.latest.get(&fingerprint)?, fingerprint))
    }

    /// The one of an alert that goes on.
    pub(crate) fn open(&self, fingerprint: u64) -> Option<&Episode> {
        self.latest(fingerprint).filter(|it| it.ends_at.is_none())
    }

    /// The one that this alert is in, if people were told of it.
    pub(crate) fn current(&self, fingerprint: u64, alert: &Alert) -> Option<&Episode> {
        let is = |it: &&Episode| it.ends_at.is_none() || it.ends_at == alert.ends_at || it.starts_at == alert.starts_at;
        self.latest(fingerprint).filter(is)
    }

    /// All, the latest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Episode> {
        self.all.values().rev()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Those that are to be forgotten: too old, or too many.
    pub(crate) fn forgettable(&self, now: Timestamp) -> Vec<EpisodeKey> {
        let over = |at: Span| now - at.duration();
        let mut gone = BTreeSet::new();
        for (key, episode) in self.all.range(..(over(EPISODE_RETENTION), 0)) {
            if episode.ends_at.is_some() && (episode.verdict.is_none() || key.0 < over(VERDICT_RETENTION)) {
                gone.insert(*key);
            }
        }
        let excess = (self.all.len() - self.open - gone.len()).saturating_sub(EPISODES_MAX);
        if excess > 0 {
            let over = self.all.iter().filter(|(key, it)| it.ends_at.is_some() && !gone.contains(*key));
            let mut over: Vec<(bool, EpisodeKey)> = over.map(|(key, it)| (it.verdict.is_some(), *key)).collect();
            over.sort_unstable();
            gone.extend(over.into_iter().take(excess).map(|(_, key)| key));
        }
        gone.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode(day: u64, name: &str, judged: bool) -> Episode {
        let at = Timestamp(0) + Span::days(day).duration();
        let verdict = Verdict { verdict: Judgement::False, by: "anna".into(), at, note: String::new() };
        Episode {
            labels: Labels::from_pairs([("alertname", name)]),
            summary: "it is down".into(),
            starts_at: at,
            told_at: at,
            ends_at: Some(at + Span::hours(1).duration()),
            groups: BTreeSet::from(["g".to_owned()]),
            acknowledged: None,
            verdict: judged.then_some(verdict),
        }
    }

    fn names(episodes: &Episodes, gone: &[EpisodeKey]) -> Vec<String> {
        let name = |key: &EpisodeKey| episodes.all[key].labels.get("alertname").unwrap().to_owned();
        gone.iter().map(name).collect()
    }

    #[test]
    fn what_was_judged_is_kept_longer() {
        let mut episodes = Episodes::default();
        episodes.insert(episode(1, "plain", false));
        episodes.insert(episode(1, "judged", true));
        episodes.insert(Episode { ends_at: None, ..episode(1, "open", false) });
        let day = |day: u64| Timestamp(0) + Span::days(day).duration();
        let forgotten = |at| names(&episodes, &episodes.forgettable(at));
        assert_eq!(forgotten(day(91)), Vec::<String>::new());
        assert_eq!(forgotten(day(92)), ["plain"]);
        let mut after = forgotten(day(402));
        after.sort();
        assert_eq!(after, ["judged", "plain"], "what goes on is kept");
    }

    #[test]
    fn past_the_limit_the_oldest_goes_that_nobody_judged() {
        let mut episodes = Episodes::default();
        for number in 0..EPISODES_MAX {
            episodes.insert(episode(1, &format!("n{number}"), number % 2 == 0));
        }
        episodes.insert(episode(0, "oldest judged", true));
        episodes.insert(episode(2, "young", false));
        episodes.insert(Episode { ends_at: None, ..episode(0, "open", false) });
        let now = Timestamp(0) + Span::days(3).duration();
        let gone = episodes.forgettable(now);
        assert_eq!(gone.len(), 2);
        assert!(gone.iter().all(|key| episodes.all[key].verdict.is_none() && episodes.all[key].ends_at.is_some()));
        gone.into_iter().for_each(|key| episodes.remove(key));
        assert_eq!(episodes.forgettable(now), Vec::new());
    }

    #[test]
    fn a_document_reads_back_and_the_open_one_is_found() {
        let mut episodes = Episodes::default();
        let old = episode(1, "a", true);
        let text = serde_json::to_string(&old).expect("it is JSON");
        assert_eq!(serde_json::from_str::<Episode>(&text).expect("it reads back"), old);
        let open = Episode { ends_at: None, ..episode(2, "a", false) };
        let fingerprint = open.key().1;
        episodes.insert(open.clone());
        // An older one does not close it.
        episodes.insert(old);
        assert_eq!(episodes.open(fingerprint), Some(&open));
        episodes.insert(Episode { ends_at: Some(open.starts_at), ..open });
        assert_eq!(episodes.open(fingerprint), None);
        assert!(episodes.iter().map(|it| it.starts_at).is_sorted_by(|a, b| a >= b), "the latest is first");
    }
}
