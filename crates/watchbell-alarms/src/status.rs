//! Alarms as they stand, for APIs and pages.

use std::time::Duration;

use serde::Serialize;
use watchbell_model::{
    AlarmId, AlarmKind, AlarmState, AlarmStatus, Contributor, HOME, HeartbeatStatus, Labels, ProbeResult, RunbookRef,
    Schedule, Span, Timestamp, Vote,
};

use crate::alarms::Alarms;
use crate::kept::{Item, Kept, Kind, Site, alert_labels};
use crate::rule::run::RuleItem;
use crate::rule::{self, GroupStatus};
use crate::world::World;
use crate::{certificate, composite, heartbeat, monitor, own};

/// A monitor as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct MonitorStatus {
    /// Its alarm.
    pub alarm: AlarmId,
    /// What people call it.
    pub name: String,
    /// How it is probed.
    pub kind: String,
    /// What is probed.
    pub target: String,
    /// How often.
    pub interval: Span,
    /// What its alarm says.
    pub state: AlarmState,
    /// Since when.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// Failures in a row, up to as many as make it down.
    pub failures: u32,
    /// The last result since the start, if there is one.
    pub last: Option<ProbeResult>,
    /// What each place says; empty where it is probed from home alone.
    pub places: Vec<PlaceVote>,
    /// When the certificate that it showed last ends.
    pub certificate_ends: Option<Timestamp>,
}

/// What a place says of a monitor.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct PlaceVote {
    /// The place.
    pub place: String,
    /// Its vote.
    pub vote: Vote,
    /// When its last result came, if one came since the start.
    pub at: Option<Timestamp>,
    /// What that one saw, in words.
    pub message: Option<String>,
}

/// Whether what a monitor or a heartbeat watches works, and what an alert about it is called.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its alarm.
    pub alarm: AlarmId,
    /// Whether it works; nothing while nothing is known.
    pub up: Option<bool>,
    /// Since when that is so.
    pub since: Timestamp,
    /// Labels that its alert has, or would have.
    pub labels: Labels,
}

impl Alarms {
    /// All monitors, then all heartbeats, as they stand.
    pub fn standings(&self) -> Vec<Standing> {
        let world = self.world();
        let of_monitor = |item: &Item<monitor::Memory>| {
            let spec = &*item.spec;
            let alarm = monitor::Memory::id(&spec.name);
            let own = [("monitor", spec.name.as_str())];
            let labels = alert_labels(&alarm, monitor::ALERT_NAME, spec.severity.as_str(), &spec.labels, &own);
            Standing { alarm, up: works(item.kept.state), since: item.kept.since, labels }
        };
        let of_heartbeat = |item: &Item<heartbeat::Memory>| {
            let spec = &*item.spec;
            let alarm = heartbeat::Memory::id(&spec.id);
            let own = [("heartbeat", spec.name.as_str())];
            let labels = alert_labels(&alarm, heartbeat::ALERT_NAME, spec.severity.as_str(), &spec.labels, &own);
            Standing { alarm, up: works(item.kept.state), since: item.kept.since, labels }
        };
        let monitors = world.items.monitors.values().map(of_monitor);
        monitors.chain(world.items.heartbeats.values().map(of_heartbeat)).collect()
    }

    /// All alarms, by kind and name.
    pub fn statuses(&self) -> Vec<AlarmStatus> {
        let world = self.world();
        let mut all: Vec<AlarmStatus> = world.items.monitors.values().map(monitor_alarm).collect();
        all.extend(world.items.certificates.values().filter_map(certificate_alarm));
        all.extend(world.items.heartbeats.values().map(heartbeat_alarm));
        all.extend(
            world.groups.values().flat_map(|group| &group.rules).filter_map(|item| rule_alarm(item, &self.site)),
        );
        all.extend(world.items.composites.values().map(composite_alarm));
        all.extend(world.items.own.values().map(own_alarm));
        all
    }

    /// One alarm.
    pub fn status(&self, id: &str) -> Option<AlarmStatus> {
        let (kind, name) = id.split_once('/')?;
        let world = self.world();
        match kind {
            "monitor" => world.items.monitors.get(name).map(monitor_alarm),
            "certificate" => world.items.certificates.get(name).and_then(certificate_alarm),
            "heartbeat" => world.items.heartbeats.get(name).map(heartbeat_alarm),
            "rule" => {
                let mut rules = world.groups.values().flat_map(|group| &group.rules);
                rules.find(|item| item.id.as_deref() == Some(id)).and_then(|item| rule_alarm(item, &self.site))
            }
            "composite" => world.items.composites.get(name).map(composite_alarm),
            "self" => world.items.own.get(name).map(own_alarm),
            _ => None,
        }
    }

    /// What to draw of an alarm, without a look at its label sets, of which there may be thousands.
    pub(crate) fn behind(&self, id: &str) -> Option<Behind> {
        let (kind, _) = id.split_once('/')?;
        if kind != "rule" {
            let status = self.status(id)?;
            let labels = status.labels.iter().map(|(name, _)| name.to_owned()).collect();
            return Some(Behind { graph: status.graph?, threshold: status.threshold, hold: Duration::ZERO, labels });
        }
        let world = self.world();
        let mut rules = world.groups.values().flat_map(|group| &group.rules);
        let rule = &rules.find(|item| item.id.as_deref() == Some(id))?.rule;
        let (graph, threshold) = rule::status::drawn(rule);
        Some(Behind { graph, threshold, hold: rule.hold.duration(), labels: rule.labels.keys().cloned().collect() })
    }

    /// All heartbeats, by id.
    pub fn heartbeats(&self) -> Vec<HeartbeatStatus> {
        let now = self.runtime.clock.now();
        self.world().items.heartbeats.values().map(|item| item.kept.status(&item.spec, now)).collect()
    }

    /// One heartbeat, by its id.
    pub fn heartbeat(&self, id: &str) -> Option<HeartbeatStatus> {
        let now = self.runtime.clock.now();
        self.world().items.heartbeats.get(id).map(|item| item.kept.status(&item.spec, now))
    }

    /// All groups of rules, by file and name.
    pub fn groups(&self) -> Vec<GroupStatus> {
        self.world().groups.values().map(rule::status::group).collect()
    }

    /// All monitors, by name.
    pub fn monitors(&self) -> Vec<MonitorStatus> {
        let world = self.world();
        world.items.monitors.values().map(|item| world.monitor(item)).collect()
    }

    /// One monitor.
    pub fn monitor(&self, name: &str) -> Option<MonitorStatus> {
        let world = self.world();
        world.items.monitors.get(name).map(|item| world.monitor(item))
    }
}

impl World {
    fn monitor(&self, item: &Item<monitor::Memory>) -> MonitorStatus {
        let (spec, kept) = (&item.spec, &item.kept);
        let certificate = self.items.certificates.get(&spec.name).and_then(|item| item.kept.memory.certificate());
        let heard = self.live.heard.get(&spec.name);
        let last = |place: &str| heard.and_then(|heard| heard.get(place)?.last.as_ref());
        let presences = self.live.presences(spec);
        let vote = |(place, presence): (&String, monitor::Presence)| PlaceVote {
            place: place.clone(),
            vote: kept.memory.vote(spec, place, presence),
            at: last(place).map(|last| last.at),
            message: last(place).map(|last| last.message.clone()),
        };
        let is_home = spec.places == [HOME];
        let places = if is_home { Vec::new() } else { spec.places.iter().zip(presences).map(vote).collect() };
        MonitorStatus {
            alarm: monitor::Memory::id(&spec.name),
            name: spec.name.clone(),
            kind: spec.kind.clone(),
            target: spec.target.clone(),
            interval: spec.interval,
            state: kept.state,
            since: kept.since,
            reason: kept.reason.clone(),
            failures: kept.memory.failures(),
            last: spec.places.iter().filter_map(|place| last(place)).max_by_key(|last| last.at).cloned(),
            places,
            certificate_ends: certificate.map(|certificate| certificate.not_after),
        }
    }
}

fn works(state: AlarmState) -> Option<bool> {
    match state {
        AlarmState::Ok => Some(true),
        AlarmState::Alarm => Some(false),
        AlarmState::InsufficientData => None,
    }
}

/// What is drawn of an alarm.
pub(crate) struct Behind {
    /// A PromQL expression.
    pub(crate) graph: String,
    pub(crate) threshold: Option<f64>,
    /// How long its condition must hold.
    pub(crate) hold: Duration,
    /// Names of the labels that it gives its alerts.
    pub(crate) labels: Vec<String>,
}

/// What differs from kind to kind.
struct Facts<'a> {
    kind: AlarmKind,
    name: &'a str,
    severity: &'a str,
    condition: String,
    graph: Option<String>,
    threshold: Option<f64>,
    runbook: Option<RunbookRef>,
    labels: &'a Labels,
}

fn status<M: Kind>(id: AlarmId, kept: &Kept<M>, judged_at: Option<Timestamp>, facts: Facts<'_>) -> AlarmStatus {
    let contributor = |alert: &watchbell_model::Alert| Contributor {
        labels: alert.labels.clone(),
        pending: false,
        since: alert.starts_at,
        value: None,
    };
    AlarmStatus {
        id,
        kind: facts.kind,
        name: facts.name.to_owned(),
        state: kept.state,
        since: kept.since,
        reason: kept.reason.clone(),
        severity: facts.severity.to_owned(),
        condition: facts.condition,
        graph: facts.graph,
        threshold: facts.threshold,
        runbook: facts.runbook,
        labels: facts.labels.clone(),
        contributors: kept.raised.iter().map(contributor).collect(),
        judged_at,
        error: None,
    }
}

fn monitor_alarm(item: &Item<monitor::Memory>) -> AlarmStatus {
    let spec = &*item.spec;
    let attempts = spec.retries.saturating_add(1);
    let failed =
        if attempts == 1 { "one probe failed".to_owned() } else { format!("{attempts} probes in a row failed") };
    let from = match spec.places.as_slice() {
        [place] if place == HOME => String::new(),
        [place] => format!(" from {place}"),
        places => format!(" from {} (quorum {})", places.join(", "), spec.quorum),
    };
    let facts = Facts {
        kind: AlarmKind::Monitor,
        name: &spec.name,
        severity: spec.severity.as_str(),
        condition: format!("{failed}: {} to {} every {}{from}", spec.kind, spec.target, spec.interval),
        graph: Some(Labels::metric("probe_duration_seconds", &[("monitor", &spec.name)]).to_string()),
        threshold: Some(spec.timeout.duration().as_secs_f64()),
        runbook: Some(spec.runbook.reference.clone()),
        labels: &spec.labels,
    };
    status(monitor::Memory::id(&spec.name), &item.kept, item.judged_at, facts)
}

/// None while the monitor has shown no certificate: most probes without TLS never will.
fn certificate_alarm(item: &Item<certificate::Memory>) -> Option<AlarmStatus> {
    item.kept.memory.certificate()?;
    let spec = &*item.spec;
    let mut days = spec.alert_days.clone();
    days.sort_unstable_by(|a, b| b.cmp(a));
    let words: Vec<String> = days.iter().map(u32::to_string).collect();
    let seconds = Labels::metric("probe_ssl_earliest_cert_expiry", &[("monitor", &spec.monitor)]);
    let facts = Facts {
        kind: AlarmKind::Certificate,
        name: &spec.monitor,
        severity: spec.severity.as_str(),
        condition: format!("the certificate ends within {} days", words.join(", ")),
        graph: Some(format!("({seconds} - time()) / 86400")),
        threshold: days.first().map(|days| f64::from(*days)),
        runbook: Some(spec.runbook.reference.clone()),
        labels: &spec.labels,
    };
    Some(status(certificate::Memory::id(&spec.monitor), &item.kept, item.judged_at, facts))
}

fn heartbeat_alarm(item: &Item<heartbeat::Memory>) -> AlarmStatus {
    let spec = &*item.spec;
    let facts = Facts {
        kind: AlarmKind::Heartbeat,
        name: &spec.name,
        severity: spec.severity.as_str(),
        condition: match &spec.schedule {
            Schedule::Period(period) => format!("no sign of life for {period} and a grace of {}", spec.grace),
            schedule => format!("no sign of life at {schedule} and within a grace of {}", spec.grace),
        },
        graph: None,
        threshold: None,
        runbook: Some(spec.runbook.reference.clone()),
        labels: &spec.labels,
    };
    status(heartbeat::Memory::id(&spec.id), &item.kept, item.judged_at, facts)
}

fn composite_alarm(item: &Item<composite::Memory>) -> AlarmStatus {
    let spec = &*item.spec;
    let facts = Facts {
        kind: AlarmKind::Composite,
        name: &spec.name,
        severity: spec.severity.as_str(),
        condition: spec.rule.to_string(),
        graph: None,
        threshold: None,
        runbook: Some(spec.runbook.reference.clone()),
        labels: &spec.labels,
    };
    let status = status(composite::Memory::id(&spec.name), &item.kept, item.judged_at, facts);
    AlarmStatus { reason: item.kept.why(spec), ..status }
}

fn own_alarm(item: &Item<own::Memory>) -> AlarmStatus {
    let spec = &*item.spec;
    let facts = Facts {
        kind: AlarmKind::Own,
        name: &spec.key,
        severity: item.kept.memory.severity().as_str(),
        condition: "watchbell is in trouble".to_owned(),
        graph: None,
        threshold: None,
        runbook: spec.runbook.as_ref().map(|runbook| runbook.reference.clone()),
        labels: &Labels::empty(),
    };
    status(own::Memory::id(&spec.key), &item.kept, item.judged_at, facts)
}

fn rule_alarm(item: &RuleItem, site: &Site) -> Option<AlarmStatus> {
    let (id, rule) = (item.id.as_ref()?, &*item.rule);
    let runbook = rule.annotations.get("runbook_url").and_then(|url| url.parse().ok()).map(RunbookRef::External);
    let drawn = rule::status::drawn(rule);
    let contributor = |instance: &rule::instance::Instance| Contributor {
        labels: rule::run::alert(site, id, instance).map_or_else(|| instance.labels.clone(), |alert| alert.labels),
        pending: !instance.is_firing(),
        since: instance.fired_at.unwrap_or(instance.active_at),
        value: instance.value,
    };
    Some(AlarmStatus {
        id: id.clone(),
        kind: AlarmKind::Rule,
        name: rule.name.clone(),
        state: item.kept.state,
        since: item.kept.since,
        reason: item.kept.reason.clone(),
        severity: rule.labels.get("severity").cloned().unwrap_or_default(),
        condition: rule.text.clone(),
        graph: Some(drawn.0),
        threshold: drawn.1,
        runbook,
        labels: rule.labels.clone().into_iter().collect(),
        contributors: item.instances.values().map(contributor).collect(),
        judged_at: item.judged_at,
        error: item.error.clone(),
    })
}
