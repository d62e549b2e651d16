//! One group: alerts of one route that agree in the labels it groups by, told of together.
//!
//! Pure. Decides whether a receiver must be told now, and why, from what it was told last: Alertmanager's rules. Two of
//! them matter most: what is unchanged is not told twice (also not after a restart, since what was told is kept), and
//! alerts that fired and ended before anybody was told are not told of at all.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{Alert, Labels, NotificationReason, Timestamp};

use crate::route::Timing;

/// A group as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Its route's place in the tree.
    pub(crate) route: usize,
    pub(crate) receiver: String,
    /// `<route key>:<labels>`.
    pub(crate) key: String,
    pub(crate) labels: Labels,
    /// When it is looked at next, on the steady clock (see [`crate::book::Moment`]).
    pub(crate) due: Timestamp,
    /// Whether it was looked at since it was made.
    pub(crate) flushed: bool,
    /// Its alerts, by fingerprint.
    pub(crate) members: BTreeSet<u64>,
    pub(crate) told: Option<Told>,
    /// What the receiver was to be told when the commit failed, or was said to have failed: it may be in the outbox all
    /// the same, so its sequence may stand only for the same words.
    pub(crate) attempted: Option<Told>,
}

/// What the receiver was told of a group last (Alertmanager's notification log).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) at: Timestamp,
    pub(crate) sequence: u64,
    pub(crate) firing: BTreeSet<u64>,
    pub(crate) resolved: BTreeSet<u64>,
}

/// A member as the moment finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) fingerprint: u64,
    pub(crate) alert: &'a Alert,
    pub(crate) resolved: bool,
    /// Silenced, inhibited, or its route holds its tongue.
    pub(crate) muted: bool,
}

/// What follows from a look at a group.
#[derive(Debug)]
pub(crate) struct Look {
    /// Why the receiver is to be told, if it is, and of which alerts.
    pub(crate) notify: Option<(NotificationReason, Vec<Alert>)>,
    pub(crate) told: Option<Told>,
    /// Members that are over and leave the group.
    pub(crate) leaving: Vec<u64>,
}

/// The clock's ticks are cut to whole milliseconds, which must not put a repetition off by a whole `group_interval`.
const REPEAT_SLACK: Duration = Duration::from_millis(10);

impl Group {
    /// An alert joined, or was refreshed: one that began longer ago than the group would wait is told of at once.
    pub(crate) fn due_after_joining(
        &self,
        alert: &Alert,
        timing: Timing,
        now: Timestamp,
        steady: Timestamp,
    ) -> Timestamp {
        let waited = !self.flushed && alert.starts_at + timing.wait < now && !alert.is_resolved_at(now);
        if waited { self.due.min(steady) } else { self.due }
    }

    /// Decides at `now`; `sequence_min` is what every new sequence must exceed.
    pub(crate) fn look(&self, members: &[Member<'_>], repeat: Duration, now: Timestamp, sequence_min: u64) -> Look {
        let set = |resolved: bool| -> BTreeSet<u64> {
            let those = members.iter().filter(|member| !member.muted && member.resolved == resolved);
            those.map(|member| member.fingerprint).collect()
        };
        let (firing, resolved) = (set(false), set(true));
        let leaving: Vec<u64> =
            members.iter().filter(|member| member.resolved).map(|member| member.fingerprint).collect();
        let reason = decide(self.told.as_ref(), &firing, &resolved, now, repeat).or_else(|| {
            // What may be in the outbox must be ended there too.
            let ends = |reason: &NotificationReason| {
                matches!(reason, NotificationReason::AllResolved | NotificationReason::NewResolved)
            };
            let attempted = self.attempted.as_ref()?;
            decide(Some(attempted), &firing, &resolved, now, repeat).filter(ends)
        });
        let Some(reason) = reason else {
            // Of an alert that ended while it was muted nobody is told. It must not count as told any longer either:
            // if it comes back, that is a new page.
            let mut told = self.told.clone();
            if let Some(told) = &mut told {
                told.firing.retain(|fingerprint| !leaving.contains(fingerprint));
            }
            return Look { notify: None, told, leaving };
        };
        let mut alerts: Vec<Alert> = Vec::with_capacity(firing.len() + resolved.len());
        for member in members.iter().filter(|member| !member.muted) {
            let mut alert = member.alert.clone();
            if !member.resolved {
                // What fires now must not turn into something resolved while it waits to be sent.
                alert.ends_at = None;
            }
            alerts.push(alert);
        }
        alerts.sort_by(|a, b| (a.ends_at.is_some(), &a.labels).cmp(&(b.ends_at.is_some(), &b.labels)));
        let sequence = match &self.attempted {
            Some(attempted) if (&attempted.firing, &attempted.resolved) == (&firing, &resolved) => attempted.sequence,
            Some(attempted) => attempted.sequence + 1,
            None => self.told.as_ref().map_or(sequence_min, |told| told.sequence.max(sequence_min)) + 1,
        };
        Look { notify: Some((reason, alerts)), told: Some(Told { at: now, sequence, firing, resolved }), leaving }
    }
}

fn decide(
    told: Option<&Told>,
    firing: &BTreeSet<u64>,
    resolved: &BTreeSet<u64>,
    now: Timestamp,
    repeat: Duration,
) -> Option<NotificationReason> {
    if firing.is_empty() && resolved.is_empty() {
        return None;
    }
    let Some(told) = told else {
        return (!firing.is_empty()).then_some(NotificationReason::First);
    };
    if !firing.is_subset(&told.firing) {
        let first = told.firing.is_empty();
        return Some(if first { NotificationReason::First } else { NotificationReason::NewAlerts });
    }
    if firing.is_empty() {
        return (!told.firing.is_empty()).then_some(NotificationReason::AllResolved);
    }
    if !resolved.is_subset(&told.resolved) {
        return Some(NotificationReason::NewResolved);
    }
    (now.since(told.at) + REPEAT_SLACK >= repeat).then_some(NotificationReason::Repeat)
}
