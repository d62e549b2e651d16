//! Several monitors as one: as bad as the worst of them.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

use super::attempt::{Attempt, Failure};
use super::dialogue::shown;
use super::kinds::{Kind, Probing};
use super::live::Standing;

/// Several monitors as one. It looks at them the moment one of them changes; `retries: 0` fits, since its members have
/// retries of their own.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// The names of the monitors.
    pub members: Vec<String>,
    /// How many of them must be up; by default all.
    #[serde(default)]
    pub at_least: Option<usize>,
}

impl Kind for GroupConfig {
    fn target(&self) -> String {
        match self.members.len() {
            1 => "1 monitor".to_owned(),
            count => format!("{count} monitors"),
        }
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        if self.members.is_empty() {
            problems.error(&path.field("members"), "the group is empty").hint("name its monitors");
        }
        if let Some(least) = self.at_least
            && !(1..=self.members.len()).contains(&least)
        {
            problems
                .error(&path.field("at_least"), format!("{least} of {} cannot be up", self.members.len()))
                .hint("from 1 to the number of members; leave it out for all of them");
        }
    }

    fn is_here(&self) -> bool {
        true
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[("probe_group_members", "How many members of a group are up, down, or not known yet.")]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let (mut up, mut unknown, mut down) = (0, 0, Vec::new());
            for name in &self.members {
                match attempt.live.standing(name) {
                    Standing::Up => up += 1,
                    Standing::Unknown => unknown += 1,
                    Standing::Down(message) => down.push(format!("{name} ({})", shown(&message))),
                }
            }
            let all = self.members.len();
            for (state, count) in [("up", up), ("down", down.len()), ("unknown", unknown)] {
                attempt.sample("probe_group_members", &[("state", state)], count as f64);
            }
            let least = self.at_least.unwrap_or(all);
            if all - down.len() < least {
                let words = format!("{} of {all} are down: {}", down.len(), down.join(", "));
                return Err(Failure(match self.at_least {
                    Some(least) => format!("expected at least {least} to be up, but {words}"),
                    None => words,
                }));
            }
            if up < least {
                attempt.says_nothing();
            }
            Ok(match down.is_empty() {
                true => format!("{up} of {all} are up"),
                false => format!("{up} of {all} are up, which is enough; down: {}", down.join(", ")),
            })
        })
    }
}
