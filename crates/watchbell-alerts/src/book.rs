//! The book: every alert and every group as they stand, and how raising, looking and a new configuration change them.
//!
//! Synchronous and without a clock. A change is made in two steps, because it must be on disk before it counts: `plan_…`
//! says what to commit and changes nothing; `apply_…` makes the change once the commit has succeeded. Between the two
//! the book is busy, and nothing else changes it.
//!
//! Invariants: an alert in the book is in at least one group; a group has at least one member and is in the order of
//! the due exactly once; an alert's document is deleted in the commit that hands its end to the outbox, never before.

mod acknowledge;
mod downtime;
mod flush;
mod incident;
mod raise;
mod reload;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use watchbell_model::{Alert, Change, Labels, Timestamp};

use crate::config::Policy;
use crate::downtime::MadeDowntimes;
use crate::episode::Episodes;
use crate::group::{Climb, Group};
use crate::incident::Incidents;
use crate::matcher::MatcherMode;
use crate::rows::{self, AlertRow, GroupRow, Rows};
use crate::silence::Silences;

/// How many alerts are kept. More are dropped, counted and said to be a trouble.
pub const ALERTS_MAX: usize = 10_000;
/// How many more there may be of watchbell's own troubles, so that a flood of others cannot hide them.
pub const ALERTS_OWN_MAX: usize = 1_000;
/// How many groups are kept. Past it, a route's further alerts are told of in one group, so that none is lost.
pub const GROUPS_MAX: usize = 10_000;
/// How long alerts that must be refreshed are kept after a start: their senders could not reach us before.
pub const RESTART_GRACE: watchbell_model::Span = watchbell_model::Span::minutes(5);

/// The moment at which something is decided, on two clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The wall clock: when alerts begin and end, when silences are in force.
    pub(crate) now: Timestamp,
    /// A clock that nobody sets forward or back: how long a group has still to wait.
    pub(crate) steady: Timestamp,
}

/// An alert and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) row: AlertRow,
    /// The groups it is in.
    pub(crate) groups: Vec<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) policy: Option<Policy>,
    pub(crate) alerts: HashMap<u64, Entry>,
    pub(crate) groups: BTreeMap<u64, Group>,
    pub(crate) silences: Silences,
    pub(crate) episodes: Episodes,
    pub(crate) downtimes: MadeDowntimes,
    pub(crate) incidents: Incidents,
    /// Grows with each change of an incident.
    pub(crate) incidents_revision: u64,
    /// Group by route and labels.
    places: HashMap<(usize, Labels), u64>,
    /// Groups by when they are looked at next.
    due: BTreeSet<(Timestamp, u64)>,
    /// The highest sequence of any group that is forgotten: a group that comes back must go on above it.
    sequence: u64,
    next_group: u64,
    /// Groups of an earlier run that wait for the first configuration.
    dormant: Vec<GroupRow>,
    /// Changes that a new configuration made, or a failed commit calls for, to be committed with whatever comes next.
    unsaved: Vec<Change>,
    /// Whether a plan waits for its commit.
    busy: bool,
    /// A configuration that came while it was busy.
    pending: Option<Policy>,
}

impl Book {
    /// What an earlier run left.
    pub(crate) fn restore(rows: Rows, now: Timestamp) -> Book {
        let mut book = Book { sequence: rows.sequence, dormant: rows.groups, ..Book::default() };
        for silence in rows.silences {
            book.silences.insert(silence);
        }
        for episode in rows.episodes {
            book.episodes.insert(episode);
        }
        for downtime in rows.downtimes {
            book.downtimes.insert(downtime);
        }
        for incident in rows.incidents {
            book.incidents.insert(incident);
        }
        for mut row in rows.alerts {
            if let Some(end) = row.alert.ends_at
                && !row.ended
                && !is_of_rules(&row.alert)
            {
                row.alert.ends_at = Some(end.max(now + RESTART_GRACE.duration()));
            }
            book.alerts.insert(row.alert.fingerprint(), Entry { row, groups: Vec::new() });
        }
        book
    }

    /// Makes a configuration the one that decides, now or as soon as the plan under way is through.
    pub(crate) fn configure(&mut self, policy: Policy, moment: Moment) {
        if self.busy {
            self.pending = Some(policy);
        } else {
            self.adopt(policy, moment);
        }
    }

    /// How matchers are read.
    pub(crate) fn matcher_mode(&self) -> MatcherMode {
        self.policy.as_ref().map(|policy| policy.matcher_mode).unwrap_or_default()
    }

    /// A plan was made and its commit is under way.
    pub(crate) fn begin(&mut self) {
        self.busy = true;
    }

    /// The plan under way was applied or given up.
    pub(crate) fn end(&mut self, moment: Moment) {
        self.busy = false;
        if let Some(policy) = self.pending.take() {
            self.adopt(policy, moment);
        }
    }

    /// When there is something to do next, on the steady clock.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        if self.unsaved.is_empty() { self.due.first().map(|(due, _)| *due) } else { Some(Timestamp::MIN) }
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.policy.is_some()
    }

    /// The alerts that hold this one back, first of each rule.
    pub(crate) fn inhibited_by(&self, labels: &Labels, now: Timestamp) -> Vec<u64> {
        let firing = |fingerprint: u64| {
            let alert = &self.alerts.get(&fingerprint)?.row.alert;
            (!alert.is_resolved_at(now)).then_some(&alert.labels)
        };
        let rules = self.policy.iter().flat_map(|policy| &policy.inhibitions);
        let found: BTreeSet<u64> = rules.filter_map(|rule| rule.held_back_by(labels, firing)).collect();
        found.into_iter().collect()
    }

    /// The alerts of what this one's alarm depends on.
    pub(crate) fn explained_by(&self, labels: &Labels, now: Timestamp) -> Vec<u64> {
        let fires =
            |fingerprint: u64| self.alerts.get(&fingerprint).is_some_and(|it| !it.row.alert.is_resolved_at(now));
        self.policy.as_ref().map(|policy| policy.dependencies.explaining(labels, fires)).unwrap_or_default()
    }

    /// Whether there are such, may soon be, or were until just now, and for how long at least.
    pub(crate) fn hold(&self, alert: &Alert, now: Timestamp) -> Option<Duration> {
        let end = |fingerprint: u64| self.alerts.get(&fingerprint)?.row.alert.ends_at.filter(|end| *end <= now);
        self.policy.as_ref()?.dependencies.hold(alert, now, end)
    }

    /// What a group's route says of it.
    fn route_labels(&self, group: &Group) -> Labels {
        self.policy.as_ref().map(|policy| policy.tree.route(group.route).labels.clone()).unwrap_or_default()
    }

    fn insert_group(&mut self, group: Group) -> u64 {
        let id = self.next_group;
        self.next_group += 1;
        self.places.insert((group.route, group.labels.clone()), id);
        self.due.insert((group.wakes(), id));
        self.groups.insert(id, group);
        id
    }

    /// Changes when a group is looked at.
    fn set_due(&mut self, id: u64, due: Timestamp, escalates: Option<Timestamp>) {
        if let Some(group) = self.groups.get_mut(&id) {
            self.due.remove(&(group.wakes(), id));
            (group.due, group.escalates) = (due, escalates);
            self.due.insert((group.wakes(), id));
        }
    }

    fn remove_group(&mut self, id: u64) {
        if let Some(group) = self.groups.remove(&id) {
            self.due.remove(&(group.wakes(), id));
            self.places.remove(&(group.route, group.labels));
        }
    }

    fn remove_alert(&mut self, fingerprint: u64) {
        if let Some(entry) = self.alerts.remove(&fingerprint)
            && let Some(policy) = &mut self.policy
        {
            policy.remove(fingerprint, &entry.row.alert);
        }
    }
}

impl Group {
    /// A group that nobody was told of yet.
    fn new(route: usize, policy: &Policy, labels: Labels, steady: Timestamp) -> Group {
        let place = policy.tree.route(route);
        Group {
            route,
            receiver: place.receiver.clone(),
            key: place.group_key(&labels),
            labels,
            due: steady + place.timing.wait,
            escalates: None,
            climb: Climb::default(),
            flushed: false,
            members: BTreeSet::new(),
            told: None,
            attempted: None,
        }
    }

    fn id(&self) -> String {
        rows::group_id(&self.key, &self.receiver)
    }
}

/// Whether an alert is watchbell's own word about itself.
fn is_own(alert: &Alert) -> bool {
    alert.labels.get("source").is_some_and(|source| source.starts_with("self/"))
}

/// Whether an alert is of a rule of ours, which is evaluated where it is raised: it needs no time to reach us.
fn is_of_rules(alert: &Alert) -> bool {
    alert.labels.get("source").is_some_and(|source| source.starts_with("rule/"))
}

#[cfg(test)]
mod tests;
