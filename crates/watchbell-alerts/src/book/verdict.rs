//! Verdicts on episodes, of what fires and of what is over.

use watchbell_model::Change;

use super::Book;
use crate::episode::{Episode, EpisodeKey, Verdict};
use crate::rows;

/// What a verdict, or taking one back, will change.
#[derive(Debug, Default)]
pub(crate) struct VerdictPlan {
    /// What to commit.
    pub(crate) changes: Vec<Change>,
    episodes: Vec<Episode>,
}

impl VerdictPlan {
    /// How many episodes it changes.
    pub(crate) fn count(&self) -> usize {
        self.episodes.len()
    }
}

impl Book {
    /// What it will change that this is said of these episodes; those that are not known are left out.
    pub(crate) fn plan_verdict(&self, keys: &[EpisodeKey], verdict: Option<&Verdict>) -> VerdictPlan {
        let known = keys.iter().filter_map(|key| self.episodes.get(*key));
        let changed = known.filter(|episode| episode.verdict.as_ref() != verdict);
        let episodes: Vec<Episode> =
            changed.map(|episode| Episode { verdict: verdict.cloned(), ..episode.clone() }).collect();
        let changes = self.unsaved.iter().cloned().chain(episodes.iter().map(rows::put_episode)).collect();
        VerdictPlan { changes, episodes }
    }

    /// Makes the change.
    pub(crate) fn apply_verdict(&mut self, plan: VerdictPlan) {
        self.unsaved.clear();
        for episode in plan.episodes {
            self.episodes.insert(episode);
        }
    }
}
