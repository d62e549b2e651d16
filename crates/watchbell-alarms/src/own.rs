//! watchbell's own alarms: each trouble that a stage writes on the board is one, and ends with it.
//!
//! Pure. After a restart the board is empty, although what was wrong may still be; so an alarm that was firing is
//! given [`SETTLE`] to be found wrong again before it resolves.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{AlarmId, AlarmState, Alert, HOME, Labels, Severity, Timestamp};
use watchbell_runtime::Trouble;

use crate::kept::{Facts, Item, Kept, Kind, Runbook, Site};
use crate::world::Items;

/// The alert's name.
pub const ALERT_NAME: &str = "WatchbellTrouble";

/// The alert's name where the network of this host, or of a place, is down, and nothing of watchbell's own.
pub const OWN_NETWORK_ALERT_NAME: &str = "OwnNetworkDown";
/// The trouble that it tells of; behind a slash the place, if it is not this one.
const OWN_NETWORK: &str = "own-network";

/// The alert's name where the agent of a place is not heard.
pub const PLACE_SILENT_ALERT_NAME: &str = "PlaceSilent";
/// The trouble that it tells of, the place behind a slash.
const PLACE: &str = "place";

/// The trouble that says that a place's network is down.
pub(crate) fn own_network(place: &str) -> String {
    if place == HOME { OWN_NETWORK.to_owned() } else { format!("{OWN_NETWORK}/{place}") }
}

/// How long after a start a trouble from before it may stay unconfirmed until it counts as over.
pub(crate) const SETTLE: Duration = Duration::from_secs(120);

/// How many of watchbell's own alarms are kept; of those that are over, the oldest go first.
pub(crate) const OWN_MAX: usize = 1000;

/// What is known of a trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) key: String,
    pub(crate) runbook: Option<Runbook>,
}

impl Spec {
    /// Run books are looked up by the key, by its part before the first `/`, and under the empty name.
    pub(crate) fn new(key: &str, runbooks: &BTreeMap<String, Runbook>) -> Spec {
        let family = key.split('/').next().unwrap_or(key);
        let runbook = [key, family, ""].iter().find_map(|name| runbooks.get(*name)).cloned();
        Spec { key: key.to_owned(), runbook }
    }
}

/// What was said of the trouble last, so that its alert can be told from memory alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    severity: Severity,
    summary: String,
}

impl Memory {
    pub(crate) fn severity(&self) -> Severity {
        self.severity
    }
}

impl Kept<Memory> {
    /// The trouble is on the board.
    pub(crate) fn trouble(&mut self, trouble: &Trouble) {
        self.turn(AlarmState::Alarm, trouble.since, || trouble.summary.clone());
        if self.memory.summary != trouble.summary {
            self.memory.summary.clone_from(&trouble.summary);
            self.reason.clone_from(&trouble.summary);
        }
        self.memory.severity = trouble.severity;
    }

    /// The trouble is on the board no more.
    pub(crate) fn over(&mut self, now: Timestamp) {
        self.turn(AlarmState::Ok, now, || "it is over".to_owned());
    }
}

impl Kind for Memory {
    type Spec = Spec;
    const UNHEARD: &'static str = "nothing was reported yet";

    fn id(name: &str) -> AlarmId {
        format!("self/{name}")
    }

    fn firing(kept: &Kept<Memory>, spec: &Spec, site: &Site) -> Vec<Alert> {
        if kept.state != AlarmState::Alarm {
            return Vec::new();
        }
        let (family, place) = spec.key.split_once('/').unwrap_or((&spec.key, ""));
        let name = match family {
            OWN_NETWORK => OWN_NETWORK_ALERT_NAME,
            PLACE => PLACE_SILENT_ALERT_NAME,
            _ => ALERT_NAME,
        };
        let place = [("place", place)];
        let facts = Facts {
            name,
            severity: kept.memory.severity.as_str(),
            labels: &Labels::empty(),
            own: if name == ALERT_NAME || place[0].1.is_empty() { &[] } else { &place },
            summary: format!("watchbell: {}", kept.memory.summary),
            description: "",
            runbook_url: spec.runbook.as_ref().map_or("", |runbook| &runbook.url),
        };
        vec![site.alert(&Memory::id(&spec.key), kept.since, facts)]
    }

    fn deadline(_: &Kept<Memory>, _: &Spec) -> Option<Timestamp> {
        None
    }

    fn pass(_: &mut Kept<Memory>, _: &Spec, _: Timestamp) {}

    fn items(items: &Items) -> &BTreeMap<String, Item<Memory>> {
        &items.own
    }

    fn items_mut(items: &mut Items) -> &mut BTreeMap<String, Item<Memory>> {
        &mut items.own
    }
}
