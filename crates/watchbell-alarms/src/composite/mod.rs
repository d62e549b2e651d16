//! Composite alarms: alarms of the states of other alarms, so that many that belong together are one page.
//!
//! Pure. In `ALARM` while its rule holds, otherwise `OK`; `INSUFFICIENT_DATA` only before it is judged first. A
//! suppressor is another alarm, such as that of a deployment: while it is in `ALARM`, nobody is told of the composite.
//! Semantics, waiting and extension included, are CloudWatch's, but for one thing: that it is over is told at once,
//! whatever suppresses.

mod config;
mod judge;
mod rule;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchbell_model::{AlarmId, AlarmState, Alert, Labels, Severity, Span, Timestamp};

pub use config::{AlarmConfig, SuppressorConfig};
pub use rule::{Count, Rule, RuleError};

use crate::kept::{Facts, Item, Kept, Kind, Runbook, Site, moment};
use crate::world::Items;

/// What a composite alarm is told to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// What people call it, and its alert; the alarm is `composite/<name>`.
    pub name: String,
    /// Over ids of alarms.
    pub rule: Rule,
    /// What keeps it quiet.
    pub suppressor: Option<Suppressor>,
    /// How bad it is.
    pub severity: Severity,
    /// What to do then.
    pub runbook: Runbook,
    /// Labels of its alert.
    pub labels: Labels,
    /// For whoever is paged.
    pub description: String,
}

/// An alarm that keeps a composite quiet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Suppressor {
    /// Its id.
    pub alarm: AlarmId,
    /// So long a change of the composite waits for the suppressor to come.
    pub wait: Span,
    /// So long after the suppressor is over the composite stays quiet.
    pub extension: Span,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Whether somebody is told, as of the last state that was acted on.
    told: bool,
    /// Why nothing is done for now.
    hold: Option<Hold>,
    /// The alarms that its rule holds for, by name.
    causes: Vec<String>,
}

/// Why a composite does nothing for now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Hold {
    /// The suppressor is in `ALARM`.
    Suppressed,
    /// The suppressor may still come, until then.
    Waiting(Timestamp),
    /// The suppressor was there just now, until then.
    Extended(Timestamp),
}

/// What a look at other alarms showed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Look {
    /// Whether the rule holds.
    pub(crate) holds: bool,
    /// The alarms that it holds for, by name.
    pub(crate) causes: Vec<String>,
    /// Whether the suppressor is in `ALARM`.
    pub(crate) suppressed: bool,
}

impl Look {
    pub(crate) fn at(spec: &Spec, state: impl Fn(&str) -> AlarmState) -> Look {
        let cause = |(id, wanted, not): (&str, AlarmState, bool)| match state(id) {
            AlarmState::InsufficientData if not => Some(format!("{} (no data)", name_of(id))),
            now if (now == wanted) != not => Some(name_of(id).to_owned()),
            _ => None,
        };
        Look {
            holds: spec.rule.holds(&state),
            causes: spec.rule.causes().into_iter().filter_map(cause).collect(),
            suppressed: spec.suppressor.as_ref().is_some_and(|it| state(&it.alarm) == AlarmState::Alarm),
        }
    }
}

/// What people call an alarm, from its id.
pub fn name_of(id: &str) -> &str {
    let (kind, name) = id.split_once('/').unwrap_or(("", id));
    // That of a rule has its group in front.
    if kind == "rule" { name.rsplit_once('/').map_or(name, |(_, name)| name) } else { name }
}

/// `a`, `a and b`, `a, b and 3 more`.
fn in_words(names: &[String]) -> String {
    const NAMED_MAX: usize = 5;
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] if names.len() <= NAMED_MAX => format!("{} and {last}", most.join(", ")),
        _ => format!("{} and {} more", names[..NAMED_MAX - 1].join(", "), names.len() - (NAMED_MAX - 1)),
    }
}

impl Kept<Memory> {
    /// Judges what is seen of other alarms at `now`; the state that is acted on now, if one is.
    pub(crate) fn look(&mut self, spec: &Spec, look: &Look, now: Timestamp) -> Option<AlarmState> {
        let mut acted = None;
        let due = |until: Timestamp| until <= now;
        match (self.memory.hold, &spec.suppressor) {
            (Some(_), None) => acted = self.act(),
            (Some(Hold::Waiting(until)), _) if due(until) => acted = self.act(),
            (Some(Hold::Extended(until)), _) if due(until) => acted = self.act(),
            _ => {}
        }
        if let Some(suppressor) = &spec.suppressor {
            match self.memory.hold {
                Some(Hold::Waiting(_) | Hold::Extended(_)) if look.suppressed => {
                    self.memory.hold = Some(Hold::Suppressed);
                }
                Some(Hold::Suppressed) if !look.suppressed => {
                    self.memory.hold = Some(Hold::Extended(now + suppressor.extension.duration()));
                }
                _ => {}
            }
        }
        let state = if look.holds { AlarmState::Alarm } else { AlarmState::Ok };
        if look.holds {
            self.memory.causes.clone_from(&look.causes);
        }
        let is_change = self.state != state;
        self.turn(state, now, || reason(look));
        if is_change {
            match &spec.suppressor {
                Some(_) if look.suppressed => self.memory.hold = Some(Hold::Suppressed),
                Some(it) => self.memory.hold = Some(Hold::Waiting(now + it.wait.duration())),
                None => acted = self.act(),
            }
        }
        // Where there is nothing to wait for, it is not put off.
        if let Some(Hold::Waiting(until) | Hold::Extended(until)) = self.memory.hold
            && due(until)
        {
            acted = self.act();
        }
        acted
    }

    fn act(&mut self) -> Option<AlarmState> {
        self.memory.hold = None;
        self.memory.told = self.state == AlarmState::Alarm;
        Some(self.state)
    }
}

fn reason(look: &Look) -> String {
    match (look.holds, look.causes.as_slice()) {
        (false, _) => "its rule does not hold".to_owned(),
        (true, []) => "its rule holds".to_owned(),
        (true, causes) => format!("its rule holds: {}", in_words(causes)),
    }
}

impl Kept<Memory> {
    /// Why it says what it says, and why nobody is told of it.
    pub(crate) fn why(&self, spec: &Spec) -> String {
        let reason = &self.reason;
        let (Some(hold), Some(suppressor)) = (self.memory.hold, &spec.suppressor) else { return reason.clone() };
        let (by, until) = (name_of(&suppressor.alarm), |until| moment(until, self.since));
        match hold {
            Hold::Suppressed => format!("{reason}; nobody is told while {by} is in ALARM"),
            Hold::Waiting(end) => format!("{reason}; nobody is told before {}, in case that {by} comes", until(end)),
            Hold::Extended(end) => format!("{reason}; nobody is told before {}, since {by} was there", until(end)),
        }
    }
}

impl Kind for Memory {
    type Spec = Spec;
    const UNHEARD: &'static str = "not judged yet";

    fn id(name: &str) -> AlarmId {
        format!("composite/{name}")
    }

    fn firing(kept: &Kept<Memory>, spec: &Spec, site: &Site) -> Vec<Alert> {
        // That it is over is never held back.
        if kept.state != AlarmState::Alarm || !kept.memory.told {
            return Vec::new();
        }
        let summary = match kept.memory.causes.as_slice() {
            [] => spec.name.clone(),
            causes => format!("{}: {}", spec.name, in_words(causes)),
        };
        let facts = Facts {
            name: &spec.name,
            severity: spec.severity.as_str(),
            labels: &spec.labels,
            own: &[],
            summary,
            description: &spec.description,
            runbook_url: &spec.runbook.url,
        };
        vec![site.alert(&Memory::id(&spec.name), kept.since, facts)]
    }

    fn deadline(kept: &Kept<Memory>, _: &Spec) -> Option<Timestamp> {
        match kept.memory.hold? {
            Hold::Waiting(until) | Hold::Extended(until) => Some(until),
            Hold::Suppressed => None,
        }
    }

    /// It is judged with others' states only: [`Kept::look`].
    fn pass(_: &mut Kept<Memory>, _: &Spec, _: Timestamp) {}

    fn items(items: &Items) -> &BTreeMap<String, Item<Memory>> {
        &items.composites
    }

    fn items_mut(items: &mut Items) -> &mut BTreeMap<String, Item<Memory>> {
        &mut items.composites
    }
}

#[cfg(test)]
pub(crate) mod tests;
