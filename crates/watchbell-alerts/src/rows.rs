//! The state documents of the alerts stage: what a restart begins with.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use watchbell_model::{Alert, Change, Labels, State, StateError, Timestamp};

use crate::downtime::MadeDowntime;
use crate::episode::{Episode, EpisodeKey};
use crate::group::{Climb, Group, Told};
use crate::incident::Incident;
use crate::silence::Silence;
use crate::view::Acknowledgement;

const ALERT: &str = "alerts.alert";
const GROUP: &str = "alerts.group";
const SILENCE: &str = "alerts.silence";
const EPISODE: &str = "alerts.episode";
const DOWNTIME: &str = "alerts.downtime";
const INCIDENT: &str = "alerts.incident";
const SEQUENCE: &str = "alerts.sequence";
/// The one document of [`SEQUENCE`]: the highest sequence of any group that is forgotten.
const HIGHEST: &str = "highest";
const SCAN_PAGE: usize = 1000;

/// An alert.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AlertRow {
    pub(crate) alert: Alert,
    /// Whether somebody said that it is over, and not only nothing more.
    pub(crate) ended: bool,
    pub(crate) updated_at: Timestamp,
    /// Groups that it has left though it is still in others, by [`group_id`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) left: BTreeSet<String>,
    /// Who sees to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acknowledged: Option<Acknowledgement>,
}

/// A group without its members, which follow from the alerts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GroupRow {
    pub(crate) receiver: String,
    pub(crate) key: String,
    pub(crate) labels: Labels,
    pub(crate) due: Timestamp,
    pub(crate) flushed: bool,
    pub(crate) told: Option<Told>,
    #[serde(default)]
    pub(crate) escalates: Option<Timestamp>,
    #[serde(default)]
    pub(crate) climb: Climb,
}

/// All documents.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) alerts: Vec<AlertRow>,
    pub(crate) groups: Vec<GroupRow>,
    pub(crate) silences: Vec<Silence>,
    pub(crate) episodes: Vec<Episode>,
    pub(crate) downtimes: Vec<MadeDowntime>,
    pub(crate) incidents: Vec<Incident>,
    pub(crate) sequence: u64,
    /// How many could not be read.
    pub(crate) unreadable: u64,
}

/// What a group's document is called: its key has no line break, so this is unique.
pub(crate) fn group_id(key: &str, receiver: &str) -> String {
    format!("{key}\n{receiver}")
}

fn alert_id(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

impl From<Group> for GroupRow {
    fn from(group: Group) -> GroupRow {
        GroupRow {
            receiver: group.receiver,
            key: group.key,
            labels: group.labels,
            due: group.due,
            flushed: group.flushed,
            told: group.told,
            escalates: group.escalates,
            climb: group.climb,
        }
    }
}

impl GroupRow {
    pub(crate) fn id(&self) -> String {
        group_id(&self.key, &self.receiver)
    }
}

pub(crate) fn put_alert(fingerprint: u64, row: &AlertRow) -> Change {
    Change::put(ALERT, alert_id(fingerprint), row)
}

pub(crate) fn delete_alert(fingerprint: u64) -> Change {
    Change::delete(ALERT, alert_id(fingerprint))
}

pub(crate) fn put_group(group: &Group) -> Change {
    let row = GroupRow::from(group.clone());
    Change::put(GROUP, row.id(), &row)
}

pub(crate) fn delete_group(id: String) -> Change {
    Change::delete(GROUP, id)
}

pub(crate) fn put_silence(silence: &Silence) -> Change {
    Change::put(SILENCE, silence.id.clone(), silence)
}

pub(crate) fn delete_silence(id: &str) -> Change {
    Change::delete(SILENCE, id)
}

pub(crate) fn put_downtime(downtime: &MadeDowntime) -> Change {
    Change::put(DOWNTIME, downtime.id.clone(), downtime)
}

pub(crate) fn delete_downtime(id: &str) -> Change {
    Change::delete(DOWNTIME, id)
}

pub(crate) fn put_incident(incident: &Incident) -> Change {
    Change::put(INCIDENT, incident.id.clone(), incident)
}

pub(crate) fn delete_incident(id: &str) -> Change {
    Change::delete(INCIDENT, id)
}

/// Ordered by when they began.
fn episode_id((starts_at, fingerprint): EpisodeKey) -> String {
    format!("{:020} {fingerprint:016x}", starts_at.as_millis())
}

pub(crate) fn put_episode(episode: &Episode) -> Change {
    Change::put(EPISODE, episode_id(episode.key()), episode)
}

pub(crate) fn delete_episode(key: EpisodeKey) -> Change {
    Change::delete(EPISODE, episode_id(key))
}

pub(crate) fn put_sequence(sequence: u64) -> Change {
    Change::put(SEQUENCE, HIGHEST, &sequence)
}

impl Rows {
    /// Reads all; a document that cannot be understood is counted and left where it is.
    pub(crate) fn read(state: &dyn State) -> Result<Rows, StateError> {
        let mut unreadable = 0;
        let alerts = scan(state, ALERT, &mut unreadable)?;
        let groups = scan(state, GROUP, &mut unreadable)?;
        let silences = scan(state, SILENCE, &mut unreadable)?;
        let episodes = scan(state, EPISODE, &mut unreadable)?;
        let downtimes = scan(state, DOWNTIME, &mut unreadable)?;
        let incidents = scan(state, INCIDENT, &mut unreadable)?;
        let sequence = scan(state, SEQUENCE, &mut unreadable)?.pop().unwrap_or(0);
        Ok(Rows { alerts, groups, silences, episodes, downtimes, incidents, sequence, unreadable })
    }
}

fn scan<T: DeserializeOwned>(state: &dyn State, table: &str, unreadable: &mut u64) -> Result<Vec<T>, StateError> {
    let (mut found, mut from) = (Vec::new(), String::new());
    loop {
        let page = state.scan(table, &from, SCAN_PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        from = format!("{last}\0");
        for (key, value) in &page {
            match serde_json::from_slice(value) {
                Ok(row) => found.push(row),
                Err(error) => {
                    *unreadable += 1;
                    tracing::error!(table, key, %error, "a state document cannot be understood and is left out");
                }
            }
        }
        if page.len() < SCAN_PAGE {
            return Ok(found);
        }
    }
}
