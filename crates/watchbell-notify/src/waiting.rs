//! The pages of the outbox by number, by key and by channel, so that the next of thousands is found at once.
//!
//! Invariant: of each group on a channel only the oldest page that waits is offered, and none while a try of it is
//! under way, so that pages of one group keep their order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use watchbell_model::Severity;

use crate::outbox::{Entry, EntryState};

/// A page in memory.
pub(crate) struct Held {
    pub(crate) entry: Entry,
    /// When it is due, on the monotonic clock, which does not jump.
    pub(crate) due: Duration,
    /// Whether a try is under way.
    pub(crate) busy: bool,
    /// Whether the disk has it.
    pub(crate) on_disk: bool,
}

impl Held {
    fn waits(&self) -> bool {
        self.entry.state != EntryState::Accepted
    }
}

/// Which page goes first: what fires before what is over, the worst first, then the oldest.
type Rank = (bool, Reverse<Severity>, u64);

/// All pages that are not delivered yet.
#[derive(Default)]
pub(crate) struct Waiting {
    pages: BTreeMap<u64, Held>,
    by_key: HashMap<String, u64>,
    lanes: BTreeMap<String, Lane>,
}

/// The pages of one channel.
#[derive(Default)]
struct Lane {
    groups: HashMap<String, Group>,
    /// What is offered and due.
    ready: BTreeSet<Rank>,
    /// What is offered and due later.
    later: BTreeSet<(Duration, Rank)>,
}

#[derive(Default)]
struct Group {
    waiting: BTreeSet<u64>,
    offered: Option<(Duration, Rank)>,
}

impl Waiting {
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Held> {
        self.pages.get(&id)
    }

    /// All, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Held)> {
        self.pages.iter().map(|(id, held)| (*id, held))
    }

    /// The page with this idempotency key.
    pub(crate) fn of_key(&self, key: &str) -> Option<(u64, &Held)> {
        let id = *self.by_key.get(key)?;
        Some((id, &self.pages[&id]))
    }

    /// Those of a group that wait for a channel, oldest first.
    pub(crate) fn of_group(&self, channel: &str, group: &str) -> impl Iterator<Item = &Held> + use<'_> {
        let group = self.lanes.get(channel).and_then(|lane| lane.groups.get(group));
        group.into_iter().flat_map(|group| &group.waiting).map(|id| &self.pages[id])
    }

    /// Channels that pages wait for.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &str> {
        self.lanes.keys().map(String::as_str)
    }

    /// The numbers of those that wait for a channel, oldest first.
    pub(crate) fn of_channel(&self, channel: &str) -> Vec<u64> {
        let groups = self.lanes.get(channel).into_iter().flat_map(|lane| lane.groups.values());
        let mut ids: Vec<u64> = groups.flat_map(|group| &group.waiting).copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn insert(&mut self, id: u64, held: Held) {
        self.remove(id);
        self.by_key.insert(held.entry.key.clone(), id);
        let waits = held.waits();
        let (channel, group) = (held.entry.channel.clone(), held.entry.group_key.clone());
        self.pages.insert(id, held);
        if waits {
            self.lanes.entry(channel.clone()).or_default().groups.entry(group.clone()).or_default().waiting.insert(id);
            self.offer(&channel, &group);
        }
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Held> {
        let held = self.pages.remove(&id)?;
        if self.by_key.get(&held.entry.key) == Some(&id) {
            self.by_key.remove(&held.entry.key);
        }
        self.leave(id, &held.entry.channel, &held.entry.group_key);
        Some(held)
    }

    /// Changes a page in place: everything but its channel, group and key.
    pub(crate) fn change(&mut self, id: u64, change: impl FnOnce(&mut Held)) {
        let Some(held) = self.pages.get_mut(&id) else { return };
        change(held);
        let waits = held.waits();
        let (channel, group) = (held.entry.channel.clone(), held.entry.group_key.clone());
        match waits {
            true => self.offer(&channel, &group),
            false => self.leave(id, &channel, &group),
        }
    }

    /// Makes all pages of a channel due at once.
    pub(crate) fn due_now(&mut self, channel: &str) {
        for id in self.of_channel(channel) {
            self.change(id, |held| held.due = Duration::ZERO);
        }
    }

    /// What is due for a channel, first what goes first.
    pub(crate) fn ready(&mut self, channel: &str, now: Duration) -> impl ExactSizeIterator<Item = u64> {
        let lane = self.lanes.get_mut(channel);
        let ready = lane.map(|lane| {
            while let Some((due, rank)) = lane.later.first().copied().filter(|(due, _)| *due <= now) {
                lane.later.remove(&(due, rank));
                lane.ready.insert(rank);
            }
            &lane.ready
        });
        static NOTHING: BTreeSet<Rank> = BTreeSet::new();
        ready.unwrap_or(&NOTHING).iter().map(|(_, _, id)| *id)
    }

    /// When the next page of a channel is due that is not yet.
    pub(crate) fn soonest(&self, channel: &str) -> Option<Duration> {
        self.lanes.get(channel)?.later.first().map(|(due, _)| *due)
    }

    /// A page of a group waits no more.
    fn leave(&mut self, id: u64, channel: &str, group: &str) {
        let Some(lane) = self.lanes.get_mut(channel) else { return };
        if let Some(waiting) = lane.groups.get_mut(group) {
            waiting.waiting.remove(&id);
        }
        self.offer(channel, group);
    }

    /// Offers the oldest page of a group, in the place of what was offered of it before.
    fn offer(&mut self, channel: &str, name: &str) {
        let Some(lane) = self.lanes.get_mut(channel) else { return };
        let Some(group) = lane.groups.get_mut(name) else { return };
        if let Some((due, rank)) = group.offered.take() {
            lane.later.remove(&(due, rank));
            lane.ready.remove(&rank);
        }
        let Some(id) = group.waiting.first() else {
            lane.groups.remove(name);
            if lane.groups.is_empty() {
                self.lanes.remove(channel);
            }
            return;
        };
        let held = &self.pages[id];
        if !held.busy {
            let offered = (held.due, (held.entry.resolved, Reverse(held.entry.severity), *id));
            group.offered = Some(offered);
            lane.later.insert(offered);
        }
    }
}

#[cfg(test)]
mod tests {
    use watchbell_runtime::Rng;

    use super::*;

    const GROUPS: u64 = 5;

    fn page(rng: &Rng, id: u64) -> Held {
        let severity = ["info", "warning", "critical"][rng.below(3) as usize];
        let entry = serde_json::json!({
            "channel": format!("c{}", rng.below(3)), "group_key": format!("g{}", rng.below(GROUPS)),
            "receiver": "", "kind": "", "sequence": 0, "key": format!("k{id}"), "digest": "", "title": "",
            "severity": severity, "resolved": rng.below(2) == 0,
            "rendered": {"headers": [], "body": ""}, "state": "queued", "attempts": 0,
            "enqueued_at": "2026-01-05T00:00:00Z",
        });
        let entry = serde_json::from_value(entry).unwrap();
        Held { entry, due: Duration::from_secs(rng.below(100)), busy: false, on_disk: true }
    }

    /// What is due for a channel, found by looking at every page.
    fn looked_for(all: &Waiting, channel: &str, now: Duration) -> Vec<u64> {
        let mut groups = BTreeSet::new();
        let mut ready: Vec<Rank> = Vec::new();
        for (id, held) in all.iter().filter(|(_, held)| held.entry.channel == channel && held.waits()) {
            if groups.insert(held.entry.group_key.clone()) && !held.busy && held.due <= now {
                ready.push((held.entry.resolved, Reverse(held.entry.severity), id));
            }
        }
        ready.sort_unstable();
        ready.into_iter().map(|(_, _, id)| id).collect()
    }

    #[test]
    fn what_is_offered_is_what_looking_at_every_page_finds() {
        for seed in 0..40 {
            let rng = Rng::seeded(seed);
            let (mut all, mut now) = (Waiting::default(), Duration::ZERO);
            for id in 0..300 {
                all.insert(id, page(&rng, id));
                let any = rng.below(id + 1);
                match rng.below(8) {
                    0 => drop(all.remove(any)),
                    1 => all.change(any, |held| held.busy = true),
                    2 => all.change(any, |held| held.busy = false),
                    3 => all.change(any, |held| held.entry.state = EntryState::Accepted),
                    4 => all.change(any, |held| held.due = now + Duration::from_secs(rng.below(50))),
                    5 => all.due_now("c1"),
                    _ => now += Duration::from_secs(rng.below(4)),
                }
                for channel in ["c0", "c1", "c2"] {
                    let found: Vec<u64> = all.ready(channel, now).collect();
                    assert_eq!(found, looked_for(&all, channel, now), "seed {seed}, page {id}, {channel}");
                    let soonest = all.soonest(channel);
                    assert!(soonest.is_none_or(|due| due > now), "seed {seed}: {soonest:?} at {now:?}");
                }
            }
            let ids: Vec<u64> = all.iter().map(|(id, _)| id).collect();
            ids.iter().for_each(|id| drop(all.remove(*id)));
            assert!(all.lanes.is_empty() && all.by_key.is_empty(), "seed {seed}: nothing is left behind");
        }
    }
}
