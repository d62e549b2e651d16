//! A decision before it is committed: which states change, which alerts follow, what is written.
//!
//! Pure. An alert is resolved only if the alarm's document says that it was raised, and the document that says so is
//! committed together with the alert; so there is never a resolved alert without a firing one before.

use std::sync::Arc;

use watchbell_model::{AlarmState, Alert, Change, Labels, Timestamp, Transition};

use crate::kept::{Item, Kept, Kind, Site};
use crate::world::Items;
use crate::{heartbeat, own};

/// The table of [`Kept`] documents, by alarm.
pub(crate) const STATE: &str = "alarms.state";

/// Why an alert ends whose alarm does not.
const RELABELLED: &str = "it goes on under other labels";

/// What is decided.
#[derive(Debug)]
pub(crate) struct Draft<'s> {
    pub(crate) now: Timestamp,
    pub(crate) site: &'s Site,
    /// Alarms that were judged, as they will be.
    pub(crate) items: Items,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) changes: Vec<Change>,
    pub(crate) transitions: Vec<Transition>,
    /// Alarms of watchbell's own that are over and not kept any longer.
    pub(crate) forgotten: Vec<String>,
    /// Heartbeats that are taken away.
    pub(crate) dismissed: Vec<String>,
}

impl<'s> Draft<'s> {
    pub(crate) fn new(now: Timestamp, site: &'s Site) -> Draft<'s> {
        Draft {
            now,
            site,
            items: Items::default(),
            alerts: Vec::new(),
            changes: Vec::new(),
            transitions: Vec::new(),
            forgotten: Vec::new(),
            dismissed: Vec::new(),
        }
    }

    /// Judges one alarm, if there is one of this name.
    pub(crate) fn judge<M: Kind>(&mut self, items: &Items, name: &str, judge: impl FnOnce(&mut Kept<M>, &M::Spec)) {
        let Some(item) = M::items(&self.items).get(name).or_else(|| M::items(items).get(name)) else { return };
        let before = item.kept.clone();
        let mut after = Item { spec: Arc::clone(&item.spec), kept: before.clone(), judged_at: Some(self.now) };
        judge(&mut after.kept, &after.spec);
        self.settle(name, Some(before), after);
    }

    /// Works out what follows from a judgement; `before` is what the disk says, if it says anything.
    pub(crate) fn settle<M: Kind>(&mut self, name: &str, before: Option<Kept<M>>, mut after: Item<M>) {
        let id = M::id(name);
        let raised = before.as_ref().map_or(&[][..], |before| &before.raised);
        let mut firing = M::firing(&after.kept, &after.spec, self.site);
        for alert in &mut firing {
            if let Some(at) = after.kept.raised_at(&alert.labels) {
                alert.starts_at = at;
            }
        }
        let why = if after.kept.state == AlarmState::Alarm { RELABELLED } else { &after.kept.reason };
        for old in raised {
            if firing.iter().all(|alert| alert.labels != old.labels) {
                self.alerts.push(resolved(old, self.now, why));
            }
        }
        self.alerts.extend(firing.iter().filter(|alert| !raised.contains(alert)).cloned());
        after.kept.raised = firing;
        if let Some(before) = &before
            && before.state != after.kept.state
        {
            self.transitions.push(Transition {
                alarm: id.clone(),
                labels: Labels::empty(),
                from: before.state,
                to: after.kept.state,
                at: self.now,
                reason: after.kept.reason.clone(),
            });
        }
        if let Some(before) = &before {
            self.changes.extend(M::beside(name, before, &after.kept));
        }
        if before.as_ref() != Some(&after.kept) {
            self.changes.push(Change::put(STATE, id, &after.kept));
        }
        M::items_mut(&mut self.items).insert(name.to_owned(), after);
    }

    /// Ends an alarm that is not wanted any more.
    pub(crate) fn end<M>(&mut self, id: &str, kept: &Kept<M>, why: &str) {
        self.alerts.extend(kept.raised.iter().map(|alert| resolved(alert, self.now, why)));
        if kept.state == AlarmState::Alarm {
            self.transitions.push(Transition {
                alarm: id.to_owned(),
                labels: Labels::empty(),
                from: AlarmState::Alarm,
                to: AlarmState::InsufficientData,
                at: self.now,
                reason: why.to_owned(),
            });
        }
        self.changes.push(Change::delete(STATE, id));
    }
}

impl Draft<'_> {
    /// Judges a heartbeat, unless it was just taken away.
    pub(crate) fn judge_heartbeat(
        &mut self,
        items: &Items,
        id: &str,
        judge: impl FnOnce(&mut Kept<heartbeat::Memory>, &heartbeat::Spec),
    ) {
        if !self.dismissed.iter().any(|gone| gone == id) {
            self.judge::<heartbeat::Memory>(items, id, judge);
        }
    }

    /// Makes a heartbeat, or goes on with one under other terms.
    pub(crate) fn expect(&mut self, items: &Items, spec: heartbeat::Spec) {
        let id = spec.id.clone();
        let known = self.items.heartbeats.get(&id).or_else(|| items.heartbeats.get(&id));
        let before = known.map(|item| item.kept.clone());
        let judged_at = known.and_then(|item| item.judged_at);
        let mut kept = before.clone().unwrap_or_else(|| Kept::new(self.now, heartbeat::Memory::UNHEARD));
        kept.reschedule(&spec);
        self.settle(&id, before, Item { spec: Arc::new(spec), kept, judged_at });
    }

    /// Takes a heartbeat away; its alert ends.
    pub(crate) fn dismiss(&mut self, items: &Items, id: &str) {
        let known = self.items.heartbeats.remove(id).or_else(|| items.heartbeats.get(id).cloned());
        if let Some(item) = known {
            self.end(&heartbeat::Memory::id(id), &item.kept, "the heartbeat was deleted");
            self.changes.extend(heartbeat::Memory::beside_gone(id, &item.kept));
            self.dismissed.push(id.to_owned());
        }
    }

    /// Forgets watchbell's own alarms that are over, the oldest first, until `keep` are left.
    pub(crate) fn forget_own(&mut self, items: &Items, keep: usize) {
        let new = self.items.own.keys().filter(|key| !items.own.contains_key(*key)).count();
        let excess = (items.own.len() + new).saturating_sub(keep);
        let mut over: Vec<_> = items
            .own
            .iter()
            .filter(|(key, item)| item.kept.raised.is_empty() && !self.items.own.contains_key(*key))
            .map(|(key, item)| (item.kept.since, key.clone()))
            .collect();
        over.sort();
        for (_, key) in over.into_iter().take(excess) {
            self.changes.push(Change::delete(STATE, own::Memory::id(&key)));
            self.forgotten.push(key);
        }
    }
}

/// The end of an alert, and why it ended as the annotation `resolution`.
pub(crate) fn resolved(alert: &Alert, now: Timestamp, why: &str) -> Alert {
    Alert {
        ends_at: Some(now.max(alert.starts_at)),
        annotations: alert.annotations.with("resolution", why),
        ..alert.clone()
    }
}
