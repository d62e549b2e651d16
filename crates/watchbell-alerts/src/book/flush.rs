//! Looking at groups whose time has come: who is told of what, and which alerts are thereby done with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use watchbell_model::{Change, GroupNotification, NotificationReason};

use super::{Book, Moment};
use crate::config::Policy;
use crate::downtime::InForce;
use crate::episode::{Episode, EpisodeKey};
use crate::group::{Group, Look, Member, Told};
use crate::rows;

/// How many groups go into one commit.
const FLUSH_GROUPS_MAX: usize = 500;

/// What looking at the groups that are due will change.
#[derive(Debug, Default)]
pub(crate) struct FlushPlan {
    /// Who is told of what.
    pub(crate) notifications: Vec<GroupNotification>,
    /// What to commit with it.
    pub(crate) changes: Vec<Change>,
    groups: Vec<(u64, Group)>,
    gone_groups: Vec<u64>,
    /// What the groups that notify will have told, and whom.
    attempts: Vec<(u64, Option<Told>, BTreeSet<String>)>,
    alerts: Vec<(u64, rows::AlertRow, Vec<u64>)>,
    gone_alerts: Vec<u64>,
    gone_silences: Vec<String>,
    episodes: BTreeMap<u64, Episode>,
    gone_episodes: Vec<EpisodeKey>,
    gone_downtimes: Vec<String>,
    sequence: u64,
}

/// What holds an alert back.
#[derive(Clone, Copy)]
struct Held {
    /// A silence or an inhibition, which keeps its end from people too.
    muted: bool,
    /// A downtime, or that something it depends on is broken, which lasts so long at least.
    waits: Option<Duration>,
}

impl Book {
    /// What looking at the groups that are due will change; `None` if there is nothing to do.
    pub(crate) fn plan_flush(&self, at: Moment) -> Option<FlushPlan> {
        let policy = self.policy.as_ref()?;
        let due = self.due.iter().take_while(|(due, _)| *due <= at.steady).take(FLUSH_GROUPS_MAX);
        let due: Vec<u64> = due.map(|(_, id)| *id).collect();
        if due.is_empty() && self.unsaved.is_empty() {
            return None;
        }
        let mut plan = FlushPlan { changes: self.unsaved.clone(), sequence: self.sequence, ..FlushPlan::default() };
        let downtimes = self.downtimes_in_force(at.now);
        let mut held: HashMap<u64, Held> = HashMap::new();
        let mut leaving: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for id in due {
            let group = &self.groups[&id];
            let (look, wait) = self.look(group, policy, &downtimes, &mut held, at);
            for fingerprint in &look.leaving {
                leaving.entry(*fingerprint).or_default().insert(id);
            }
            let mut after = group.clone();
            after.told = look.told;
            self.note_episodes(&mut plan, group, after.told.as_ref(), &look.leaving, at);
            let news = look.notices.iter().any(|notice| notice.reason != NotificationReason::Escalated);
            // What may be in the outbox stays in doubt until the receiver is told of it, or until it has ended unsaid: then
            // its sequence must not come again, for an alert that comes back is news.
            after.attempted = group.attempted.clone().filter(|attempted| {
                let ended = look.leaving.iter().any(|gone| attempted.firing.contains(gone));
                if ended && !news {
                    plan.sequence = plan.sequence.max(attempted.sequence);
                }
                !news && !ended
            });
            after.members.retain(|fingerprint| !look.leaving.contains(fingerprint));
            if after.due <= at.steady {
                let interval = policy.tree.route(group.route).timing.interval;
                // What is held back is told of when that ends.
                after.due = at.steady + [look.nag, wait].into_iter().flatten().fold(interval, Duration::min);
                after.flushed = true;
            }
            after.escalates = look.escalates;
            after.climb = look.climb;
            if !look.notices.is_empty() {
                let to = look.notices.iter().map(|notice| notice.receiver.clone()).collect();
                plan.attempts.push((id, after.told.clone().filter(|_| news), to));
            }
            for notice in look.notices {
                plan.notifications.push(GroupNotification {
                    receiver: notice.receiver,
                    group_key: group.key.clone(),
                    sequence: after.told.as_ref().map_or(0, |told| told.sequence),
                    group_labels: group.labels.clone(),
                    route_labels: self.route_labels(group),
                    alerts: notice.alerts,
                    reason: notice.reason,
                    acknowledged_by: None,
                    at: at.now,
                });
            }
            if after.members.is_empty() {
                let used = after.told.iter().chain(&after.attempted).map(|told| told.sequence);
                plan.sequence = used.fold(plan.sequence, u64::max);
                plan.changes.push(rows::delete_group(group.id()));
                plan.gone_groups.push(id);
            } else {
                plan.changes.push(rows::put_group(&after));
                plan.groups.push((id, after));
            }
        }
        for (fingerprint, from) in leaving {
            let entry = &self.alerts[&fingerprint];
            let stays: Vec<u64> = entry.groups.iter().copied().filter(|id| !from.contains(id)).collect();
            if stays.is_empty() {
                plan.changes.push(rows::delete_alert(fingerprint));
                plan.gone_alerts.push(fingerprint);
                if let Some(open) = self.episodes.open(fingerprint) {
                    let ended = || open.ended(entry.row.alert.ends_at);
                    plan.episodes.entry(fingerprint).or_insert_with(ended);
                }
            } else {
                let mut row = entry.row.clone();
                row.left.extend(from.iter().map(|id| self.groups[id].id()));
                plan.changes.push(rows::put_alert(fingerprint, &row));
                plan.alerts.push((fingerprint, row, stays));
            }
        }
        if plan.sequence != self.sequence {
            plan.changes.push(rows::put_sequence(plan.sequence));
        }
        plan.changes.extend(plan.episodes.values().map(rows::put_episode));
        plan.gone_episodes = self.episodes.forgettable(at.now);
        plan.changes.extend(plan.gone_episodes.iter().map(|key| rows::delete_episode(*key)));
        plan.gone_downtimes = self.downtimes.forgettable(at.now);
        plan.changes.extend(plan.gone_downtimes.iter().map(|id| rows::delete_downtime(id)));
        plan.gone_silences = self.silences.forgettable(at.now);
        plan.changes.extend(plan.gone_silences.iter().map(|id| rows::delete_silence(id)));
        Some(plan)
    }

    /// Notes the episodes that begin with what a group will have told, and those that end with what leaves it.
    fn note_episodes(&self, plan: &mut FlushPlan, group: &Group, told: Option<&Told>, leaving: &[u64], at: Moment) {
        let name = watchbell_model::group_id(&group.key);
        let mut note = |fingerprint: &u64| {
            let Some(entry) = self.alerts.get(fingerprint) else { return };
            let alert = &entry.row.alert;
            let known = plan.episodes.get(fingerprint).or_else(|| self.episodes.current(*fingerprint, alert));
            let end = alert.ends_at.filter(|end| *end <= at.now);
            if known.is_some_and(|known| known.groups.contains(&name) && known.ends_at == end) {
                return;
            }
            let begin = || Episode::begin(alert, entry.row.acknowledged.clone(), at.now);
            let mut episode = known.cloned().unwrap_or_else(begin);
            episode.groups.insert(name.clone());
            episode.ends_at = end;
            plan.episodes.insert(*fingerprint, episode);
        };
        let fires = |it: &&u64| {
            group.members.contains(*it) && self.alerts.get(*it).is_some_and(|it| !it.row.alert.is_resolved_at(at.now))
        };
        told.iter().flat_map(|told| &told.firing).filter(fires).for_each(&mut note);
        // Nobody was told of what is in none of these.
        let knew = |it: &&u64| group.told.iter().chain(&group.attempted).any(|told| told.firing.contains(*it));
        leaving.iter().filter(knew).for_each(&mut note);
    }

    /// Looks at a group; answers also how long any of it is held back at least.
    fn look(
        &self,
        group: &Group,
        policy: &Policy,
        downtimes: &InForce<'_>,
        held: &mut HashMap<u64, Held>,
        at: Moment,
    ) -> (Look, Option<Duration>) {
        let route = policy.tree.route(group.route);
        let quiet = !route.muted_by(&policy.intervals, at.now).is_empty();
        let mut wait: Option<Duration> = None;
        let mut member = |fingerprint: &u64| {
            let row = &self.alerts[fingerprint].row;
            let labels = &row.alert.labels;
            let held = *held.entry(*fingerprint).or_insert_with(|| Held {
                muted: !self.inhibited_by(labels, at.now).is_empty()
                    || !self.silences.muting(labels, at.now).is_empty(),
                waits: downtimes.left(labels).max(self.hold(&row.alert, at.now)),
            });
            // Whoever was told of it learns that it is over.
            let known = || group.told.iter().chain(&group.attempted).any(|told| told.firing.contains(fingerprint));
            let waits = held.waits.is_some();
            if !route.always {
                wait = wait.into_iter().chain(held.waits).min();
            }
            Member {
                fingerprint: *fingerprint,
                alert: &row.alert,
                resolved: row.alert.is_resolved_at(at.now),
                muted: (quiet || held.muted || (waits && !known())) && !route.always,
                seen_to: (row.acknowledged.is_some() || waits) && !route.always,
            }
        };
        let members: Vec<Member<'_>> = group.members.iter().map(&mut member).collect();
        let ladder = policy.duty.ladder(&group.receiver, &policy.intervals, at.now);
        (group.look(&members, &ladder, route.timing.repeat, at, self.sequence), wait)
    }

    /// The commit failed, as far as anybody knows: nothing changes but for what may have been told.
    pub(crate) fn fail_flush(&mut self, plan: FlushPlan) {
        for (id, told, to) in plan.attempts {
            if let Some(group) = self.groups.get_mut(&id) {
                group.attempted = told.or(group.attempted.take());
                group.climb.told_to.extend(to);
            }
        }
    }

    /// Makes the change.
    pub(crate) fn apply_flush(&mut self, plan: FlushPlan) {
        self.unsaved.clear();
        self.sequence = plan.sequence;
        for (id, after) in plan.groups {
            self.set_due(id, after.due, after.escalates);
            self.groups.insert(id, after);
        }
        for id in plan.gone_groups {
            self.remove_group(id);
        }
        for (fingerprint, row, groups) in plan.alerts {
            self.alerts.insert(fingerprint, super::Entry { row, groups });
        }
        for fingerprint in plan.gone_alerts {
            self.remove_alert(fingerprint);
        }
        for id in plan.gone_silences {
            self.silences.remove(&id);
        }
        for id in plan.gone_downtimes {
            self.downtimes.remove(&id);
        }
        for episode in plan.episodes.into_values() {
            self.episodes.insert(episode);
        }
        for key in plan.gone_episodes {
            self.episodes.remove(key);
        }
    }
}
