//! Heartbeats: a scheduled job is expected to report; silence past its grace is an alarm.
//!
//! Pure: takes pings and the passing of time. The rules are those of Healthchecks' `Check`: a job that never reported is
//! `new` and owes nothing, a success makes it `up`, it is `late` from the end of its period and `down` from the end of
//! its grace, a reported failure makes it `down` at once, a start that is not followed by an end within the grace makes
//! it `down` as well, whatever it was before. A log line changes nothing.
//!
//! What happened while watchbell itself was not running is unknown: a heartbeat that was due meanwhile says
//! `INSUFFICIENT_DATA` and gets one grace from the start, once for each missed sign of life.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{
    AlarmId, AlarmState, Alert, HeartbeatState, HeartbeatStatus, Labels, Ping, PingKind, Severity, Span, Timestamp,
};

use crate::kept::{Facts, Item, Kept, Kind, Runbook, Site, moment};
use crate::world::Items;

/// The alert's name.
pub const ALERT_NAME: &str = "HeartbeatMissed";

/// A start and an end further apart than this are not one run.
const RUN_MAX: Duration = Duration::from_secs(72 * 3600);

/// A shorter absence of watchbell is no outage: reports of that time are expected to be repeated or to come late.
pub(crate) const OUTAGE_MIN: Duration = Duration::from_secs(120);

/// What is expected of a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// What people call it; the alarm is `heartbeat/<name>`.
    pub name: String,
    /// How often it reports.
    pub period: Span,
    /// Time allowed on top, and how long a run may take.
    pub grace: Span,
    /// How bad its silence is.
    pub severity: Severity,
    /// What to do then.
    pub runbook: Runbook,
    /// Labels of its alerts.
    pub labels: Labels,
    /// The alert's description.
    pub description: String,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    standing: Standing,
    /// The last success or failure.
    last_ping: Option<Timestamp>,
    /// The start that was not followed by an end yet.
    last_start: Option<Timestamp>,
    /// The run that this start names.
    run: Option<String>,
    pub(crate) last_duration: Option<Span>,
    /// More time after an outage of watchbell's own.
    excused: Option<Excused>,
}

/// What is stored; `late` and `started` are read from the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Standing {
    #[default]
    New,
    Up,
    Down,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Excused {
    /// The last sign of life at that time: a newer one ends the excuse.
    sign: Option<Timestamp>,
    until: Timestamp,
}

impl Memory {
    fn sign(&self) -> Option<Timestamp> {
        self.last_ping.max(self.last_start)
    }

    /// The moment from which the grace runs.
    fn due(&self, spec: &Spec) -> Option<Timestamp> {
        if self.standing == Standing::Down {
            return None;
        }
        let period = self.last_ping.filter(|_| self.standing == Standing::Up).map(|at| at + spec.period.duration());
        [period, self.last_start].into_iter().flatten().min()
    }

    /// The moment at which it is down.
    fn ends(&self, spec: &Spec) -> Option<Timestamp> {
        let ends = self.due(spec)? + spec.grace.duration();
        let excused = self.excused.as_ref().filter(|excused| excused.sign == self.sign());
        Some(excused.map_or(ends, |excused| ends.max(excused.until)))
    }

    /// An end of a run arrived: how long it took is known if its start was reported under the same name.
    fn end_of_run(&mut self, ping: &Ping) {
        let Some(start) = self.last_start else { return };
        self.last_duration = None;
        if self.run == ping.run {
            let took = ping.at.since(start);
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.last_duration = (took <= RUN_MAX).then(|| Span::millis(millis));
            (self.last_start, self.run) = (None, None);
        } else if ping.run.is_none() {
            (self.last_start, self.run) = (None, None);
        }
    }
}

impl Kept<Memory> {
    /// Judges a sign of life.
    pub(crate) fn ping(&mut self, ping: &Ping) {
        let memory = &mut self.memory;
        match ping.kind {
            PingKind::Log => {}
            PingKind::Start => (memory.last_start, memory.run) = (Some(ping.at), ping.run.clone()),
            PingKind::Success => {
                let before = memory.last_ping;
                memory.end_of_run(ping);
                memory.last_ping = Some(ping.at);
                memory.standing = Standing::Up;
                memory.excused = None;
                self.turn(AlarmState::Ok, ping.at, || match before {
                    Some(before) => format!("the job reported again; before that at {}", moment(before, ping.at)),
                    None => "the job reported".to_owned(),
                });
            }
            PingKind::Fail => {
                memory.end_of_run(ping);
                (memory.last_start, memory.run) = (None, None);
                memory.last_ping = Some(ping.at);
                memory.standing = Standing::Down;
                memory.excused = None;
                self.turn(AlarmState::Alarm, ping.at, || {
                    format!("the job reported a failure at {}", moment(ping.at, ping.at))
                });
            }
        }
    }

    /// watchbell was not running from `gone` to `now`: what was due meanwhile may have been reported to nobody.
    pub(crate) fn excuse(&mut self, spec: &Spec, gone: Timestamp, now: Timestamp) {
        let (Some(due), Some(ends)) = (self.memory.due(spec), self.memory.ends(spec)) else { return };
        let sign = self.memory.sign();
        let once = self.memory.excused.as_ref().is_none_or(|excused| excused.sign != sign);
        // After a short absence, such as an upgrade, only what ended meanwhile is in doubt: a job that is late but has
        // time left reports again or is missed as if nothing had been.
        let in_doubt = ends <= now || now.since(gone) > OUTAGE_MIN;
        if due > now || ends < gone || !once || !in_doubt {
            return;
        }
        let until = now + spec.grace.duration();
        self.memory.excused = Some(Excused { sign, until });
        if ends <= now {
            self.turn(AlarmState::InsufficientData, now, || {
                let (due, until) = (moment(due, now), moment(until, now));
                format!("unknown: it was due at {due}, while watchbell was not running; it has until {until}")
            });
        }
    }

    /// As APIs show it.
    pub(crate) fn status(&self, spec: &Spec, now: Timestamp) -> HeartbeatStatus {
        let memory = &self.memory;
        let next_ping =
            memory.last_ping.filter(|_| memory.standing == Standing::Up).map(|at| at + spec.period.duration());
        let state = match memory.standing {
            Standing::Down => HeartbeatState::Down,
            _ if memory.ends(spec).is_some_and(|ends| now >= ends) => HeartbeatState::Down,
            Standing::New => HeartbeatState::New,
            Standing::Up if next_ping.is_some_and(|next| now >= next) => HeartbeatState::Late,
            Standing::Up => HeartbeatState::Up,
        };
        HeartbeatStatus {
            name: spec.name.clone(),
            state,
            started: memory.last_start.is_some(),
            last_ping: memory.last_ping,
            next_ping,
            deadline: memory.ends(spec),
            period: spec.period,
            grace: spec.grace,
            last_duration: memory.last_duration,
        }
    }
}

impl Kind for Memory {
    type Spec = Spec;
    const UNHEARD: &'static str = "the job never reported";

    fn id(name: &str) -> AlarmId {
        format!("heartbeat/{name}")
    }

    fn firing(kept: &Kept<Memory>, spec: &Spec, site: &Site) -> Vec<Alert> {
        if kept.state != AlarmState::Alarm {
            return Vec::new();
        }
        let facts = Facts {
            name: ALERT_NAME,
            severity: spec.severity.as_str(),
            labels: &spec.labels,
            own: &[("heartbeat", &spec.name)],
            summary: format!("{} is down: {}", spec.name, kept.reason),
            description: &spec.description,
            runbook_url: &spec.runbook.url,
        };
        vec![site.alert(&Memory::id(&spec.name), kept.since, facts)]
    }

    fn deadline(kept: &Kept<Memory>, spec: &Spec) -> Option<Timestamp> {
        kept.memory.ends(spec)
    }

    fn pass(kept: &mut Kept<Memory>, spec: &Spec, now: Timestamp) {
        let Some(ends) = kept.memory.ends(spec).filter(|ends| *ends <= now) else { return };
        let memory = &mut kept.memory;
        let silent_since = memory.last_ping;
        let overrun = memory.last_start.filter(|start| *start + spec.grace.duration() <= ends);
        let overran = overrun.is_some() && memory.due(spec) == overrun;
        memory.standing = Standing::Down;
        memory.excused = None;
        // As Healthchecks: it is down since the moment it fell due, whenever that was noticed.
        kept.turn(AlarmState::Alarm, ends, || match (overrun, silent_since) {
            (Some(start), _) if overran => {
                format!("the run that began at {} did not end within {}", moment(start, ends), spec.grace.in_words())
            }
            (_, Some(last)) => format!("the job has not reported since {}", moment(last, ends)),
            (_, None) => "the job has not reported".to_owned(),
        });
    }

    fn items(items: &Items) -> &BTreeMap<String, Item<Memory>> {
        &items.heartbeats
    }

    fn items_mut(items: &mut Items) -> &mut BTreeMap<String, Item<Memory>> {
        &mut items.heartbeats
    }
}
