//! Incidents: what those are told who use what is watched, in a person's words.
//!
//! Pure: what is asked for and a moment go in, the incident as it is then comes out. An incident raises nothing and holds
//! nothing back; it begins and ends when a person says so.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchbell_model::{AlarmId, Span, StateError, Timestamp};

/// How many incidents are kept, those that are over included.
pub const INCIDENTS_MAX: usize = 500;
/// How long one that is over is kept.
pub const INCIDENT_RETENTION: Span = Span::days(400);
/// How many updates one has at most.
pub const INCIDENT_UPDATES_MAX: usize = 100;
/// How long a title may be, in bytes.
pub const INCIDENT_TITLE_MAX: usize = 200;
/// How long the words of an update may be, in bytes.
pub const INCIDENT_TEXT_MAX: usize = 5000;
/// How many status pages, and how many monitors and heartbeats, one may name.
const NAMES_MAX: usize = 100;

/// How far people are with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It is seen, and the cause is looked for.
    #[default]
    Investigating,
    /// The cause is known.
    Identified,
    /// It is mended, and watched.
    Monitoring,
    /// It is over.
    Resolved,
}

impl Stage {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Investigating => "investigating",
            Stage::Identified => "identified",
            Stage::Monitoring => "monitoring",
            Stage::Resolved => "resolved",
        }
    }
}

/// How much of it those feel who use what is watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Impact {
    /// Nothing: it is to be known.
    Notice,
    /// Something is slow, or some of it does not work.
    #[default]
    Degraded,
    /// It does not work.
    Outage,
}

impl Impact {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Impact::Notice => "notice",
            Impact::Degraded => "degraded",
            Impact::Outage => "outage",
        }
    }
}

/// What somebody says of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentUpdate {
    /// When.
    pub at: Timestamp,
    /// How far people are.
    pub stage: Stage,
    /// For those who use what is watched; an empty line parts paragraphs.
    pub text: String,
    /// Who. Status pages do not show it.
    pub by: String,
}

/// Something that those are told of who use what is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Names it for ever.
    pub id: String,
    /// What it is about, in a few words.
    pub title: String,
    /// The status pages that show it; all of them if there is none.
    pub pages: Vec<String>,
    /// The alarms of the monitors and heartbeats that it is about, such as `monitor/imap`.
    pub affects: Vec<AlarmId>,
    /// How much of it people feel.
    pub impact: Impact,
    /// What was said, oldest first; at least one.
    pub updates: Vec<IncidentUpdate>,
}

impl Incident {
    /// How far people are with it.
    pub fn stage(&self) -> Stage {
        self.updates.last().map(|update| update.stage).unwrap_or_default()
    }

    /// When it was told of first.
    pub fn opened_at(&self) -> Timestamp {
        self.updates.first().map(|update| update.at).unwrap_or_default()
    }

    /// When it was over, if it is.
    pub fn resolved_at(&self) -> Option<Timestamp> {
        self.updates.last().filter(|update| update.stage == Stage::Resolved).map(|update| update.at)
    }

    /// Whether this status page shows it.
    pub fn is_on(&self, page: &str) -> bool {
        self.pages.is_empty() || self.pages.iter().any(|name| name == page)
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub enum IncidentChange {
    /// A new one, with its first update and without an `id`.
    Open(Incident),
    /// One more update; a part that is given is another one from now on.
    Update {
        /// Which.
        id: String,
        /// What is said now; the stage stays if it is not given.
        stage: Option<Stage>,
        /// The words.
        text: String,
        /// Who says it.
        by: String,
        /// Its title from now on.
        title: Option<String>,
        /// What people feel from now on.
        impact: Option<Impact>,
        /// What it is about from now on.
        affects: Option<Vec<AlarmId>>,
    },
    /// As if it had never been.
    Remove(String),
}

/// Why an incident was not changed.
#[derive(Debug, thiserror::Error)]
pub enum IncidentError {
    /// There is none of that name.
    #[error("there is no incident `{0}`")]
    Unknown(String),
    /// What was asked for makes no sense; the text says what would.
    #[error("{0}")]
    Invalid(String),
    /// There are too many.
    #[error("there are {INCIDENTS_MAX} incidents that are not over; end some first")]
    Full,
    /// It could not be kept.
    #[error("the incident could not be kept")]
    State(#[from] StateError),
}

/// What a change comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    /// The one that was asked for, as it is then, or was if it is taken away.
    pub(crate) incident: Incident,
    /// Whether it stays.
    pub(crate) stays: bool,
    /// Others that are forgotten to make room, or since they are long over.
    pub(crate) forgotten: Vec<String>,
}

/// All that are kept, by name.
#[derive(Debug, Default)]
pub(crate) struct Incidents(BTreeMap<String, Incident>);

impl Incidents {
    pub(crate) fn insert(&mut self, incident: Incident) {
        self.0.insert(incident.id.clone(), incident);
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Incident> {
        self.0.get(id)
    }

    /// Those that are not over, then the others; the latest first.
    pub(crate) fn all(&self) -> Vec<Incident> {
        let mut all: Vec<Incident> = self.0.values().cloned().collect();
        let order = |it: &Incident| (it.resolved_at().is_some(), std::cmp::Reverse(it.opened_at()));
        all.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// What a change comes to, or what is wrong with it. `id` is for a new one.
    pub(crate) fn plan(&self, change: IncidentChange, id: String, now: Timestamp) -> Result<Outcome, IncidentError> {
        let known = |id: &str| self.0.get(id).cloned().ok_or_else(|| IncidentError::Unknown(id.to_owned()));
        match change {
            IncidentChange::Open(new) => {
                let mut incident = Incident { id, ..new };
                incident.updates.iter_mut().for_each(|update| update.at = now);
                check(&incident)?;
                let forgotten = self.room(now)?;
                Ok(Outcome { incident, stays: true, forgotten })
            }
            IncidentChange::Update { id, stage, text, by, title, impact, affects } => {
                let mut incident = known(&id)?;
                let stage = stage.unwrap_or(incident.stage());
                // The clock may have been set back; what was said later stays later.
                let at = incident.updates.last().map_or(now, |last| last.at.max(now));
                incident.updates.push(IncidentUpdate { at, stage, text, by });
                incident.title = title.unwrap_or(incident.title);
                incident.impact = impact.unwrap_or(incident.impact);
                incident.affects = affects.unwrap_or(incident.affects);
                check(&incident)?;
                Ok(Outcome { incident, stays: true, forgotten: Vec::new() })
            }
            IncidentChange::Remove(id) => Ok(Outcome { incident: known(&id)?, stays: false, forgotten: Vec::new() }),
        }
    }

    /// Which are forgotten when one more comes: all that are long over, and the first that was over if there are too many.
    fn room(&self, now: Timestamp) -> Result<Vec<String>, IncidentError> {
        let mut over: Vec<(Timestamp, &String)> =
            self.0.iter().filter_map(|(id, it)| Some((it.resolved_at()?, id))).collect();
        over.sort();
        let old = |at: Timestamp| now.since(at) > INCIDENT_RETENTION.duration();
        let excess = (self.0.len() + 1).saturating_sub(INCIDENTS_MAX);
        if over.len() < excess {
            return Err(IncidentError::Full);
        }
        let gone = over.iter().enumerate().filter(|(at, (over_at, _))| *at < excess || old(*over_at));
        Ok(gone.map(|(_, (_, id))| (*id).clone()).collect())
    }
}

fn check(incident: &Incident) -> Result<(), IncidentError> {
    let invalid = |words: String| Err(IncidentError::Invalid(words));
    let said = incident.updates.last().map_or("", |update| update.text.trim());
    if incident.title.trim().is_empty() {
        return invalid("an incident needs a title: what it is about, in a few words".to_owned());
    }
    if incident.title.len() > INCIDENT_TITLE_MAX {
        return invalid(format!("the title may have {INCIDENT_TITLE_MAX} bytes; the rest belongs into the text"));
    }
    if said.is_empty() {
        return invalid("an update needs a text: what those should know who use it".to_owned());
    }
    if said.len() > INCIDENT_TEXT_MAX {
        return invalid(format!("the text may have {INCIDENT_TEXT_MAX} bytes"));
    }
    if incident.updates.len() > INCIDENT_UPDATES_MAX {
        return invalid(format!("an incident may have {INCIDENT_UPDATES_MAX} updates; open another one"));
    }
    if incident.pages.len() > NAMES_MAX || incident.affects.len() > NAMES_MAX {
        return invalid(format!("`pages` and `affects` may have {NAMES_MAX} names each"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(title: &str, text: &str) -> IncidentChange {
        let update =
            IncidentUpdate { at: Timestamp(0), stage: Stage::Investigating, text: text.into(), by: "anna".into() };
        let (id, pages, affects) = (String::new(), Vec::new(), vec!["monitor/imap".to_owned()]);
        let impact = Impact::Outage;
        IncidentChange::Open(Incident { id, title: title.into(), pages, affects, impact, updates: vec![update] })
    }

    fn said(id: &str, stage: Option<Stage>, text: &str) -> IncidentChange {
        let (id, text, by) = (id.to_owned(), text.to_owned(), "anna".to_owned());
        IncidentChange::Update { id, stage, text, by, title: None, impact: None, affects: None }
    }

    impl Incidents {
        /// Makes a change; what it comes to in words.
        fn make(&mut self, change: IncidentChange, id: &str, minute: i64) -> String {
            match self.plan(change, id.to_owned(), Timestamp(minute * 60_000)) {
                Ok(outcome) => {
                    let (it, forgotten) = (outcome.incident, outcome.forgotten.join(" "));
                    let words =
                        format!("{} {} since {}", it.id, it.stage().as_str(), it.opened_at().as_millis() / 60_000);
                    outcome.forgotten.iter().for_each(|id| self.remove(id));
                    if outcome.stays {
                        self.insert(it)
                    } else {
                        self.remove(&it.id)
                    }
                    if forgotten.is_empty() { words } else { format!("{words}, forgets {forgotten}") }
                }
                Err(error) => error.to_string(),
            }
        }
    }

    #[test]
    fn it_goes_from_stage_to_stage_and_may_come_back() {
        let mut all = Incidents::default();
        assert_eq!(all.make(new("Mail is slow", "We look."), "1", 5), "1 investigating since 5");
        assert_eq!(all.make(said("1", Some(Stage::Identified), "A disk."), "x", 6), "1 identified since 5");
        assert_eq!(all.make(said("1", None, "It is being replaced."), "x", 7), "1 identified since 5");
        assert_eq!(all.make(said("1", Some(Stage::Resolved), "Done."), "x", 8), "1 resolved since 5");
        assert_eq!(all.get("1").expect("it is kept").resolved_at(), Some(Timestamp(480_000)));
        assert_eq!(all.make(said("1", Some(Stage::Monitoring), "Not quite."), "x", 9), "1 monitoring since 5");
        assert_eq!(all.get("1").expect("it is kept").resolved_at(), None);
        // A clock that was set back does not change the order.
        all.make(said("1", None, "Still."), "x", 2);
        assert_eq!(all.get("1").expect("it is kept").updates.last().expect("one").at, Timestamp(540_000));
        assert_eq!(all.make(IncidentChange::Remove("1".into()), "x", 9), "1 monitoring since 5");
        assert_eq!(all.make(said("1", None, "More."), "x", 9), "there is no incident `1`");
    }

    #[test]
    fn those_that_are_over_make_room() {
        let mut all = Incidents::default();
        for n in 0..INCIDENTS_MAX {
            all.make(new("x", "y"), &format!("{n:03}"), 0);
        }
        let full = all.make(new("x", "y"), "new", 1);
        assert!(full.starts_with("there are 500 incidents that are not over"), "{full}");
        all.make(said("007", Some(Stage::Resolved), "z"), "x", 2);
        all.make(said("003", Some(Stage::Resolved), "z"), "x", 3);
        assert_eq!(all.make(new("x", "y"), "new", 4), "new investigating since 4, forgets 007");
        let year = INCIDENT_RETENTION.duration().as_secs() as i64 / 60;
        all.remove("new");
        assert_eq!(all.make(new("x", "y"), "a", 3 + year), format!("a investigating since {}", 3 + year));
        all.remove("a");
        assert_eq!(all.make(new("x", "y"), "a", 4 + year), format!("a investigating since {}, forgets 003", 4 + year));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut all = Incidents::default();
        let long = "x".repeat(INCIDENT_TEXT_MAX + 1);
        for (change, words) in [
            (new(" ", "y"), "an incident needs a title"),
            (new("x", " \n"), "an update needs a text"),
            (new(&long, "y"), "the title may have 200 bytes"),
            (new("x", &long), "the text may have 5000 bytes"),
        ] {
            let said = all.make(change, "1", 0);
            assert!(said.starts_with(words), "{said}");
        }
        all.make(new("x", "y"), "1", 0);
        for _ in 1..INCIDENT_UPDATES_MAX {
            assert_eq!(all.make(said("1", None, "z"), "x", 0), "1 investigating since 0");
        }
        assert!(all.make(said("1", None, "z"), "x", 0).starts_with("an incident may have 100 updates"));
    }
}
