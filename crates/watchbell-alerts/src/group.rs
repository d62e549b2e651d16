//! One group: alerts of one route that agree in the labels it groups by, told of together.
//!
//! Pure. Decides whether a receiver must be told now, and why, from what it was told last: Alertmanager's rules. Two of
//! them matter most: what is unchanged is not told twice (also not after a restart, since what was told is kept), and
//! alerts that fired and ended before anybody was told are not told of at all.
//!
//! Beyond Alertmanager: while nobody has acknowledged, further people are told as the ladder says (see [`Ladder`]);
//! what everybody has acknowledged is not repeated. Whoever was told of a group learns how it goes on and ends.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{Alert, Labels, NotificationReason, Timestamp};

use crate::book::Moment;
use crate::duty::Ladder;
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
    /// When the next people are to be told if nobody acknowledges, on the same clock.
    pub(crate) escalates: Option<Timestamp>,
    pub(crate) climb: Climb,
    /// Whether it was looked at since it was made.
    pub(crate) flushed: bool,
    /// Its alerts, by fingerprint.
    pub(crate) members: BTreeSet<u64>,
    pub(crate) told: Option<Told>,
    /// What the receiver was to be told when the commit failed, or was said to have failed: it may be in the outbox all
    /// the same, so its sequence may stand only for the same words.
    pub(crate) attempted: Option<Told>,
}

/// How far a group has come on its ladder since it began to fire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Climb {
    /// When the first people were told, on the steady clock.
    pub(crate) since: Timestamp,
    /// Who was told since then.
    pub(crate) reached: BTreeSet<String>,
    /// Who was told since the group began to fire, or may have been, and must learn how it ends.
    pub(crate) told_to: BTreeSet<String>,
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
    /// Silenced, inhibited, its route holds its tongue, or it broke in a downtime or because of something else.
    pub(crate) muted: bool,
    /// Somebody said that they see to it, or must be doing so: it is known, and in a downtime or explained.
    pub(crate) seen_to: bool,
}

/// Who is to be told, why, and of which alerts.
#[derive(Debug, PartialEq)]
pub(crate) struct Notice {
    pub(crate) receiver: String,
    pub(crate) reason: NotificationReason,
    pub(crate) alerts: Vec<Alert>,
}

/// What follows from a look at a group.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) notices: Vec<Notice>,
    pub(crate) told: Option<Told>,
    pub(crate) climb: Climb,
    /// When to look for the next people, on the steady clock.
    pub(crate) escalates: Option<Timestamp>,
    /// How often those who were told are told again while nobody acknowledges.
    pub(crate) nag: Option<Duration>,
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

    /// When something is due, on the steady clock.
    pub(crate) fn wakes(&self) -> Timestamp {
        self.escalates.map_or(self.due, |at| at.min(self.due))
    }

    /// Decides; `sequence_min` is what every new sequence must exceed.
    pub(crate) fn look(
        &self,
        members: &[Member<'_>],
        ladder: &Ladder,
        repeat: Duration,
        at: Moment,
        sequence_min: u64,
    ) -> Look {
        let regular = self.due <= at.steady;
        let set = |resolved: bool| -> BTreeSet<u64> {
            let those = members.iter().filter(|member| !member.muted && member.resolved == resolved);
            those.map(|member| member.fingerprint).collect()
        };
        let (firing, resolved) = (set(false), set(true));
        let over = members.iter().filter(|member| regular && member.resolved);
        let leaving: Vec<u64> = over.map(|member| member.fingerprint).collect();
        let waiting = members.iter().any(|member| !member.muted && !member.resolved && !member.seen_to);
        let repeat = match ladder.nag {
            // What somebody sees to need not be said again.
            _ if !waiting => Duration::MAX,
            Some(nag) => nag.min(repeat),
            None => repeat,
        };
        let judge = |told: Option<&Told>| decide(told, &firing, &resolved, at.now, repeat);
        let reason = regular.then(|| judge(self.told.as_ref())).flatten().or_else(|| {
            // What may be in the outbox must be ended there too.
            judge(Some(self.attempted.as_ref().filter(|_| regular)?)).filter(|reason| ends(*reason))
        });
        let told = match reason {
            Some(_) => {
                let sequence = match &self.attempted {
                    Some(tried) if (&tried.firing, &tried.resolved) == (&firing, &resolved) => tried.sequence,
                    Some(tried) => tried.sequence + 1,
                    None => self.told.as_ref().map_or(sequence_min, |told| told.sequence.max(sequence_min)) + 1,
                };
                Some(Told { at: at.now, sequence, firing: firing.clone(), resolved: resolved.clone() })
            }
            // Of an alert that ended while it was muted nobody is told. It must not count as told any longer either:
            // if it comes back, that is a new page.
            None => self.told.clone().map(|mut told| {
                told.firing.retain(|fingerprint| !leaving.contains(fingerprint));
                told
            }),
        };
        let mut climb = self.climb.clone();
        // New alerts in a group that somebody sees to are a matter for the first ones again.
        let all_seen_to = |known: &Told| {
            let mut known = members.iter().filter(|it| !it.resolved && known.firing.contains(&it.fingerprint));
            known.all(|member| member.seen_to)
        };
        match reason {
            Some(NotificationReason::First) => climb = Climb { since: at.steady, ..Climb::default() },
            Some(NotificationReason::NewAlerts) if self.told.as_ref().is_some_and(all_seen_to) => {
                climb = Climb { since: at.steady, reached: BTreeSet::new(), told_to: climb.told_to };
            }
            _ => {}
        }
        let mut notices = Vec::new();
        if let Some(reason) = reason {
            let mut to = climb.told_to.clone();
            if !ends(reason) || to.is_empty() {
                to.extend(ladder.reached(Duration::ZERO));
            }
            let alerts = shown(members, true);
            notices.extend(to.iter().map(|to| Notice { receiver: to.clone(), reason, alerts: alerts.clone() }));
            if !ends(reason) {
                climb.reached.extend(to.iter().cloned());
            }
            climb.told_to.extend(to);
        }
        let known = told.as_ref().is_some_and(|told| !told.firing.is_disjoint(&firing));
        let mut escalates = None;
        if known && waiting {
            let after = at.steady.since(climb.since);
            let further: Vec<String> = ladder.reached(after).difference(&climb.reached).cloned().collect();
            let (reason, alerts) = (NotificationReason::Escalated, shown(members, false));
            let next = further.iter().filter(|to| !notices.iter().any(|it| it.receiver == **to));
            let next: Vec<Notice> =
                next.map(|to| Notice { receiver: to.clone(), reason, alerts: alerts.clone() }).collect();
            notices.extend(next);
            climb.reached.extend(further.iter().cloned());
            climb.told_to.extend(further);
            let step = ladder.next(after).map(|wait| climb.since + wait);
            let hand_over = ladder.changes_in.map(|wait| at.steady + wait);
            escalates = step.into_iter().chain(hand_over).min();
        }
        if firing.is_empty() && reason.is_some() {
            climb = Climb::default();
        }
        Look { notices, told, climb, escalates, nag: ladder.nag.filter(|_| known && waiting), leaving }
    }
}

/// Whether it tells of an end only.
fn ends(reason: NotificationReason) -> bool {
    matches!(reason, NotificationReason::AllResolved | NotificationReason::NewResolved)
}

/// The alerts that people are told of, firing first.
fn shown(members: &[Member<'_>], with_resolved: bool) -> Vec<Alert> {
    let mut alerts = Vec::with_capacity(members.len());
    for member in members.iter().filter(|member| !member.muted && (with_resolved || !member.resolved)) {
        let mut alert = member.alert.clone();
        if !member.resolved {
            // What fires now must not turn into something resolved while it waits to be sent.
            alert.ends_at = None;
        }
        alerts.push(alert);
    }
    alerts.sort_by(|a, b| (a.ends_at.is_some(), &a.labels).cmp(&(b.ends_at.is_some(), &b.labels)));
    alerts
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
