//! What an alarm remembers over a restart, and what every kind of alarm can do.
//!
//! A kind of alarm is a memory with a few pure functions; the rest (transitions, alerts, commits) is the same for all
//! and lies in [`crate::draft`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use watchbell_model::{AlarmId, AlarmState, Alert, Change, Labels, RunbookRef, Timestamp};

use crate::world::Items;

/// One document of the table `alarms.state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept<M> {
    /// What the alarm says.
    pub(crate) state: AlarmState,
    /// Since when.
    pub(crate) since: Timestamp,
    /// Why, in words.
    pub(crate) reason: String,
    /// The alerts that fire because of it, as they were raised: what must be resolved one day is known even when the
    /// configuration that raised it is gone.
    #[serde(default)]
    pub(crate) raised: Vec<Alert>,
    /// What this kind of alarm counts.
    pub(crate) memory: M,
}

impl<M: Default> Kept<M> {
    /// Never heard of anything.
    pub(crate) fn new(now: Timestamp, reason: &str) -> Kept<M> {
        Kept {
            state: AlarmState::InsufficientData,
            since: now,
            reason: reason.to_owned(),
            raised: Vec::new(),
            memory: M::default(),
        }
    }
}

impl<M> Kept<M> {
    /// Says `state` from now on; the moment and the reason of a state that goes on are kept.
    pub(crate) fn turn(&mut self, state: AlarmState, since: Timestamp, reason: impl FnOnce() -> String) {
        if self.state != state {
            (self.state, self.since, self.reason) = (state, since, reason());
        }
    }

    /// Since when the alert with these labels fires, if it does.
    pub(crate) fn raised_at(&self, labels: &Labels) -> Option<Timestamp> {
        self.raised.iter().find(|alert| &alert.labels == labels).map(|alert| alert.starts_at)
    }
}

/// An alarm: what it was told to do and what it remembers.
#[derive(Clone, Debug)]
pub(crate) struct Item<M: Kind> {
    pub(crate) spec: Arc<M::Spec>,
    pub(crate) kept: Kept<M>,
    pub(crate) judged_at: Option<Timestamp>,
}

/// A kind of alarm.
pub(crate) trait Kind:
    std::fmt::Debug + Clone + Default + PartialEq + Serialize + DeserializeOwned + 'static
{
    /// What it is told to do.
    type Spec: std::fmt::Debug;

    /// What an alarm of this kind says before it has heard of anything.
    const UNHEARD: &'static str;

    /// The alarm's name for ever, from the item's name.
    fn id(name: &str) -> AlarmId;

    /// The alerts that fire in this state.
    fn firing(kept: &Kept<Self>, spec: &Self::Spec, site: &Site) -> Vec<Alert>;

    /// When it wants to be judged again even if nothing is seen.
    fn deadline(kept: &Kept<Self>, spec: &Self::Spec) -> Option<Timestamp>;

    /// Judges it because time has passed.
    fn pass(kept: &mut Kept<Self>, spec: &Self::Spec, now: Timestamp);

    /// What is written beside its document when that has changed; `name` is the item's.
    fn beside(_name: &str, _before: &Kept<Self>, _after: &Kept<Self>) -> Vec<Change> {
        Vec::new()
    }

    /// What was written beside its document, to be taken away with it.
    fn beside_gone(_name: &str, _kept: &Kept<Self>) -> Vec<Change> {
        Vec::new()
    }

    /// Where alarms of this kind are.
    fn items(items: &Items) -> &BTreeMap<String, Item<Self>>;

    /// Where alarms of this kind are.
    fn items_mut(items: &mut Items) -> &mut BTreeMap<String, Item<Self>>;
}

/// How to link to this watchbell.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    url: String,
}

impl Site {
    pub(crate) fn new(url: &str) -> Site {
        Site { url: url.trim_end_matches('/').to_owned() }
    }

    /// Its own address, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The page of an alarm.
    pub(crate) fn alarm(&self, id: &str) -> String {
        let mut link = format!("{}/alarms/", self.url);
        for byte in id.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                link.push(char::from(byte));
            } else {
                link.push_str(&format!("%{byte:02X}"));
            }
        }
        link
    }

    /// An alert of our own: the item's labels, then ours, which win; `source` is the alarm's name.
    pub(crate) fn alert(&self, id: &str, starts_at: Timestamp, facts: Facts<'_>) -> Alert {
        Alert {
            labels: alert_labels(id, facts.name, facts.severity, facts.labels, facts.own),
            annotations: Labels::from_pairs([
                ("summary", facts.summary.as_str()),
                ("description", facts.description),
                ("runbook_url", facts.runbook_url),
            ]),
            starts_at,
            ends_at: None,
            generator_url: self.alarm(id),
        }
    }
}

/// The labels of an alarm's alert: the item's, then our own.
pub(crate) fn alert_labels(id: &str, name: &str, severity: &str, labels: &Labels, own: &[(&str, &str)]) -> Labels {
    let ours = [("alertname", name), ("severity", severity), ("source", id)];
    labels.iter().chain(own.iter().copied()).chain(ours).collect()
}

/// What an alert says.
pub(crate) struct Facts<'a> {
    pub(crate) name: &'a str,
    pub(crate) severity: &'a str,
    pub(crate) labels: &'a Labels,
    pub(crate) own: &'a [(&'a str, &'a str)],
    pub(crate) summary: String,
    pub(crate) description: &'a str,
    pub(crate) runbook_url: &'a str,
}

/// Where the run book of an alarm is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Runbook {
    /// As the configuration names it.
    pub reference: RunbookRef,
    /// Its absolute address, the alert's annotation `runbook_url`.
    pub url: String,
}

/// A moment for a person's eyes, next to another one: `22:14 UTC`, or with its date if that is another day.
pub(crate) fn moment(at: Timestamp, beside: Timestamp) -> String {
    let (text, other) = (at.to_string(), beside.to_string());
    match (text.split_once('T'), other.split_once('T')) {
        (Some((day, time)), Some((other_day, _))) => {
            let time = time.get(..5).unwrap_or(time);
            if day == other_day { format!("{time} UTC") } else { format!("{day} {time} UTC") }
        }
        _ => text,
    }
}
