//! All alarms as they stand in memory.
//!
//! Invariant: [`Items`] says what is on disk; it is changed only after the commit that says the same. [`Live`] holds
//! what may be forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use watchbell_model::{AlarmId, ProbeResult, Timestamp};

use crate::kept::{Item, Kind, Runbook};
use crate::monitor::Presence;
use crate::rule::RuleGlobals;
use crate::rule::instance::Instances;
use crate::rule::run::{Group, GroupKey};
use crate::{certificate, composite, heartbeat, monitor, own};

/// Alarms by kind and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Items {
    pub(crate) monitors: BTreeMap<String, Item<monitor::Memory>>,
    pub(crate) certificates: BTreeMap<String, Item<certificate::Memory>>,
    pub(crate) heartbeats: BTreeMap<String, Item<heartbeat::Memory>>,
    pub(crate) composites: BTreeMap<String, Item<composite::Memory>>,
    pub(crate) own: BTreeMap<String, Item<own::Memory>>,
}

impl Items {
    /// Takes over what was decided.
    pub(crate) fn advance(&mut self, decided: Items) {
        self.monitors.extend(decided.monitors);
        self.certificates.extend(decided.certificates);
        self.heartbeats.extend(decided.heartbeats);
        self.composites.extend(decided.composites);
        self.own.extend(decided.own);
    }

    /// The next moment at which time alone may change a state.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        fn earliest<M: Kind>(items: &Items) -> Option<Timestamp> {
            M::items(items).values().filter_map(|item| M::deadline(&item.kept, &item.spec)).min()
        }
        [earliest::<certificate::Memory>(self), earliest::<heartbeat::Memory>(self)].into_iter().flatten().min()
    }
}

/// What is heard of monitors, and lost at a restart without harm.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// By monitor and place.
    pub(crate) heard: BTreeMap<String, BTreeMap<String, Heard>>,
    /// By monitor the places whose results are overdue.
    pub(crate) silent: BTreeMap<String, BTreeSet<String>>,
    /// Places whose agents are not heard.
    pub(crate) away: BTreeSet<String>,
    /// When watchbell came back after an outage, or the clock was set: sources need a while to bring data of now.
    pub(crate) back_at: Option<Timestamp>,
    /// What the configuration says of heartbeats that are made while watchbell runs.
    pub(crate) heartbeat_defaults: heartbeat::Defaults,
}

/// The last that was heard of a monitor from a place.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The last result, or the moment from which results are expected.
    pub(crate) at: Timestamp,
    pub(crate) last: Option<ProbeResult>,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) items: Items,
    pub(crate) live: Live,
    /// Documents that no [`Items`] stands for yet, by alarm; what the first configuration does not name is ended.
    pub(crate) restored: BTreeMap<String, Vec<u8>>,
    /// Label sets of rules that no group stands for yet, by alarm.
    pub(crate) restored_instances: BTreeMap<AlarmId, Instances>,
    /// Groups of rules.
    pub(crate) groups: BTreeMap<GroupKey, Group>,
    /// What all rules share.
    pub(crate) globals: Arc<RuleGlobals>,
    /// Whether a configuration was applied since the start.
    pub(crate) applied: bool,
    /// Run books of watchbell's own alarms, as the configuration said.
    pub(crate) own_runbooks: BTreeMap<String, Runbook>,
}

impl Live {
    fn is_silent(&self, monitor: &str, place: &str) -> bool {
        self.away.contains(place) || self.silent.get(monitor).is_some_and(|places| places.contains(place))
    }

    /// Results of a monitor from a place are not overdue any more.
    pub(crate) fn heard_again(&mut self, monitor: &str, place: &str) {
        if let Some(places) = self.silent.get_mut(monitor) {
            places.remove(place);
            if places.is_empty() {
                self.silent.remove(monitor);
            }
        }
    }

    /// The places from which results of a monitor are not overdue yet, and when they will be.
    pub(crate) fn silent_at<'a>(
        &'a self,
        name: &'a str,
        spec: &monitor::Spec,
    ) -> impl Iterator<Item = (&'a String, Timestamp)> + use<'a> {
        let after = spec.silent_after();
        let places = self.heard.get(name).into_iter().flatten();
        places.filter(|(place, _)| !self.is_silent(name, place)).map(move |(place, heard)| (place, heard.at + after))
    }

    /// What is heard of a monitor, in the order of its places.
    pub(crate) fn presences(&self, spec: &monitor::Spec) -> Vec<Presence> {
        let heard = self.heard.get(&spec.name);
        let presence = |place: &String| match heard.and_then(|heard| heard.get(place)) {
            _ if self.is_silent(&spec.name, place) => Presence::Silent,
            Some(Heard { last: Some(_), .. }) => Presence::Heard,
            _ => Presence::Expected,
        };
        spec.places.iter().map(presence).collect()
    }
}

impl World {
    /// The next moment at which time alone may change something.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let silent = self.items.monitors.iter().flat_map(|(name, item)| self.live.silent_at(name, &item.spec));
        let silent = silent.map(|(_, at)| at).min();
        [self.items.deadline(), silent].into_iter().flatten().min()
    }
}
