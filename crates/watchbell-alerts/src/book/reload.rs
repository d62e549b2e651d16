//! A new configuration: every alert finds its groups anew, and nobody is told twice of what they know.
//!
//! A group whose route key, labels and receiver stay keeps its timer and what was told of it. An alert that comes to
//! another group of the same receiver counts as told there too. The first configuration after a start works the same
//! way on what the earlier run left.

use std::collections::{BTreeSet, HashMap};

use watchbell_model::Timestamp;

use super::{Book, Moment};
use crate::config::Policy;
use crate::group::{Group, Told};
use crate::rows::{self, GroupRow};

impl Book {
    pub(super) fn adopt(&mut self, mut policy: Policy, at: Moment) {
        for (fingerprint, entry) in &self.alerts {
            policy.insert(*fingerprint, &entry.row.alert.labels);
        }
        self.policy = Some(policy);
        let mut old: HashMap<String, GroupRow> = HashMap::new();
        for row in std::mem::take(&mut self.dormant) {
            old.insert(row.id(), row);
        }
        let mut attempted: HashMap<String, Told> = HashMap::new();
        for group in std::mem::take(&mut self.groups).into_values() {
            attempted.extend(group.attempted.clone().map(|told| (group.id(), told)));
            old.insert(group.id(), GroupRow::from(group));
        }
        self.places.clear();
        self.due.clear();
        let told_to = what_was_told(&old);
        let mut fingerprints: Vec<u64> = self.alerts.keys().copied().collect();
        fingerprints.sort_unstable();
        for fingerprint in fingerprints {
            self.regroup(fingerprint, &old, at);
        }
        let kept: BTreeSet<String> = self.groups.values().map(Group::id).collect();
        for (id, row) in old.iter().filter(|(id, _)| !kept.contains(*id)) {
            let used = row.told.iter().chain(attempted.get(id)).map(|told| told.sequence);
            self.sequence = used.fold(self.sequence, u64::max);
            self.unsaved.push(rows::delete_group(id.clone()));
        }
        self.unsaved.push(rows::put_sequence(self.sequence));
        for group in self.groups.values_mut() {
            group.attempted = attempted.remove(&group.id());
            if !old.contains_key(&group.id())
                && let Some(told) = told_to.get(&group.receiver)
            {
                group.told = told.about(&group.members, self.sequence);
                group.climb.since = at.steady;
            }
            self.unsaved.push(rows::put_group(group));
        }
    }

    fn regroup(&mut self, fingerprint: u64, old: &HashMap<String, GroupRow>, at: Moment) {
        let (Some(policy), Some(entry)) = (&self.policy, self.alerts.get(&fingerprint)) else { return };
        let (alert, left) = (entry.row.alert.clone(), entry.row.left.clone());
        let mut groups = Vec::new();
        for route in policy.tree.matches(&alert.labels) {
            let Some(policy) = &self.policy else { return };
            let timing = policy.tree.route(route).timing;
            let place = self.place(route, &alert.labels, &HashMap::new(), &mut 0);
            let new = Group::new(route, policy, place.1.clone(), at.steady);
            if left.contains(&new.id()) && alert.is_resolved_at(at.now) {
                continue;
            }
            let id = match self.places.get(&place) {
                Some(id) => *id,
                None => {
                    let group = match old.get(&new.id()) {
                        Some(row) => {
                            // A clock that was wrong when the row was written must not put the group off for long.
                            let due_max = at.steady + if row.flushed { timing.interval } else { timing.wait };
                            let due = row.due.min(due_max);
                            Group {
                                due,
                                flushed: row.flushed,
                                told: row.told.clone(),
                                escalates: row.escalates.map(|at| at.min(due_max)),
                                climb: row.climb.clone(),
                                ..new
                            }
                        }
                        None => new,
                    };
                    self.insert_group(group)
                }
            };
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if group.members.insert(fingerprint) {
                groups.push(id);
            }
            // A group that goes on keeps its timer.
            if !old.contains_key(&group.id()) {
                let due = group.due_after_joining(&alert, timing, at.now, at.steady);
                self.set_due(id, due, None);
            }
        }
        if groups.is_empty() {
            // It is over and every group that there still is has said so.
            if let Some(open) = self.episodes.open(fingerprint) {
                let ended = open.ended(alert.ends_at);
                self.unsaved.push(rows::put_episode(&ended));
                self.episodes.insert(ended);
            }
            self.remove_alert(fingerprint);
            self.unsaved.push(rows::delete_alert(fingerprint));
        } else if let Some(entry) = self.alerts.get_mut(&fingerprint) {
            entry.groups = groups;
        }
    }
}

/// What one receiver knows, whatever group it was told in.
#[derive(Default)]
struct Known {
    firing: HashMap<u64, Timestamp>,
    resolved: BTreeSet<u64>,
}

fn what_was_told(groups: &HashMap<String, GroupRow>) -> HashMap<String, Known> {
    let mut known: HashMap<String, Known> = HashMap::new();
    for row in groups.values() {
        let Some(told) = &row.told else { continue };
        let known = known.entry(row.receiver.clone()).or_default();
        for fingerprint in &told.firing {
            // Told at different times, the earliest counts: better a repetition early than late.
            let at = known.firing.entry(*fingerprint).or_insert(told.at);
            *at = told.at.min(*at);
        }
        known.resolved.extend(&told.resolved);
    }
    known
}

impl Known {
    fn about(&self, members: &BTreeSet<u64>, sequence: u64) -> Option<Told> {
        let firing: BTreeSet<u64> = members.iter().copied().filter(|one| self.firing.contains_key(one)).collect();
        let at = firing.iter().filter_map(|one| self.firing.get(one)).min()?;
        let resolved = members.intersection(&self.resolved).copied().collect();
        Some(Told { at: *at, sequence, firing, resolved })
    }
}
