//! Heartbeats: a scheduled job is expected to report; silence past its grace is an alarm.
//!
//! Pure: takes pings and the passing of time. The rules are those of Healthchecks' `Check`: a job that never reported is
//! `new` and owes nothing, a success makes it `up`, it is `late` from the end of its period and `down` from the end of
//! its grace, a reported failure makes it `down` at once, a start that is not followed by an end within the grace makes
//! it `down` as well, whatever it was before. A log line changes nothing. Of one that is `paused` nothing is expected
//! until its next ping, or, with `manual_resume`, until somebody resumes it, whereupon it is `new`.
//!
//! Every change between those is kept as a [`Flip`], the last [`FLIPS_MAX`] of each heartbeat.
//!
//! What happened while watchbell itself was not running is unknown: a heartbeat that was due meanwhile says
//! `INSUFFICIENT_DATA` and gets one grace from the start, once for each missed sign of life.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{
    AlarmId, AlarmState, Alert, Change, Flip, HeartbeatState, HeartbeatStatus, HeartbeatTerms, Labels, Ping, PingKind,
    RunbookRef, Schedule, Severity, Span, Timestamp,
};

use crate::kept::{Facts, Item, Kept, Kind, Runbook, Site, moment};
use crate::world::Items;

/// The alert's name.
pub const ALERT_NAME: &str = "HeartbeatMissed";

/// A start and an end further apart than this are not one run.
const RUN_MAX: Duration = Duration::from_secs(72 * 3600);

/// A shorter absence of watchbell is no outage: reports of that time are expected to be repeated or to come late.
pub(crate) const OUTAGE_MIN: Duration = Duration::from_secs(120);

/// How many changes of a heartbeat's standing are kept.
pub const FLIPS_MAX: u64 = 1000;

/// The table of [`Flip`]s, by heartbeat and number.
pub(crate) const FLIPS: &str = "alarms.flip";

/// What is expected of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The alarm is `heartbeat/<id>`: the name in the configuration, or the UUID of one made elsewhere.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it reports.
    pub schedule: Schedule,
    /// Time allowed on top, and how long a run may take.
    pub grace: Span,
    /// While it is paused, a ping does not set it going again.
    pub manual_resume: bool,
    /// How bad its silence is.
    pub severity: Severity,
    /// What to do then.
    pub runbook: Runbook,
    /// Labels of its alerts.
    pub labels: Labels,
    /// The alert's description.
    pub description: String,
}

/// What is done about a heartbeat that was made while watchbell ran: nobody said it for this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// How bad its silence is.
    pub severity: Severity,
    /// What to do then.
    pub runbook: Runbook,
}

impl Default for Defaults {
    fn default() -> Defaults {
        let runbook = Runbook { reference: RunbookRef::Named("heartbeat-missed".to_owned()), url: String::new() };
        Defaults { severity: Severity::default(), runbook }
    }
}

impl Defaults {
    /// What is to be judged.
    pub fn spec(&self, terms: &HeartbeatTerms) -> Spec {
        Spec {
            id: terms.id.clone(),
            name: terms.title.clone(),
            schedule: terms.schedule.clone(),
            grace: terms.grace,
            manual_resume: terms.manual_resume,
            severity: self.severity,
            runbook: self.runbook.clone(),
            labels: terms.labels.clone(),
            description: terms.description.clone(),
        }
    }
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
    /// When the next report is due after the last one: worked out when that came, or when the schedule changed.
    #[serde(default)]
    expected: Option<Timestamp>,
    /// More time after an outage of watchbell's own.
    excused: Option<Excused>,
    /// How often its standing has changed, and how it did last.
    #[serde(default)]
    pub(crate) flips: u64,
    #[serde(default)]
    flip: Option<Flip>,
}

/// What is stored; `late` and `started` are read from the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Standing {
    #[default]
    New,
    Up,
    Down,
    Paused,
}

impl Standing {
    fn state(self) -> HeartbeatState {
        match self {
            Standing::New => HeartbeatState::New,
            Standing::Up => HeartbeatState::Up,
            Standing::Down => HeartbeatState::Down,
            Standing::Paused => HeartbeatState::Paused,
        }
    }
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
    fn due(&self) -> Option<Timestamp> {
        if self.standing == Standing::Down {
            return None;
        }
        [self.next_report(), self.last_start].into_iter().flatten().min()
    }

    /// When the next report is due.
    fn next_report(&self) -> Option<Timestamp> {
        self.expected.filter(|_| self.standing == Standing::Up)
    }

    fn stand(&mut self, to: Standing, at: Timestamp) {
        if self.standing != to {
            self.flips += 1;
            self.flip = Some(Flip { at, from: self.standing.state(), to: to.state() });
            self.standing = to;
        }
    }

    /// The moment at which it is down.
    fn ends(&self, spec: &Spec) -> Option<Timestamp> {
        let ends = self.due()? + spec.grace.duration();
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
    pub(crate) fn ping(&mut self, spec: &Spec, ping: &Ping) {
        let memory = &mut self.memory;
        if memory.standing == Standing::Paused && spec.manual_resume {
            return;
        }
        match ping.kind {
            PingKind::Log | PingKind::Ignored => {}
            PingKind::Start => (memory.last_start, memory.run) = (Some(ping.at), ping.run.clone()),
            PingKind::Success => {
                let before = memory.last_ping;
                memory.end_of_run(ping);
                memory.last_ping = Some(ping.at);
                memory.expected = spec.schedule.next(ping.at);
                memory.stand(Standing::Up, ping.at);
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
                memory.expected = spec.schedule.next(ping.at);
                memory.stand(Standing::Down, ping.at);
                memory.excused = None;
                self.turn(AlarmState::Alarm, ping.at, || {
                    format!("the job reported a failure at {}", moment(ping.at, ping.at))
                });
            }
        }
    }

    /// Works out anew when the next report is due: the schedule may have changed.
    pub(crate) fn reschedule(&mut self, spec: &Spec) {
        self.memory.expected = self.memory.last_ping.and_then(|at| spec.schedule.next(at));
    }

    /// Nothing is expected from now on.
    pub(crate) fn pause(&mut self, at: Timestamp) {
        let memory = &mut self.memory;
        if memory.standing == Standing::Paused {
            return;
        }
        memory.stand(Standing::Paused, at);
        (memory.last_start, memory.run, memory.excused) = (None, None, None);
        self.turn(AlarmState::InsufficientData, at, || "it was paused".to_owned());
    }

    /// As if it had never reported.
    pub(crate) fn resume(&mut self, at: Timestamp) {
        let memory = &mut self.memory;
        if memory.standing != Standing::Paused {
            return;
        }
        memory.stand(Standing::New, at);
        (memory.last_ping, memory.last_start, memory.run, memory.expected) = (None, None, None, None);
        (self.since, self.reason) = (at, "it was resumed and has not reported since".to_owned());
    }

    /// watchbell was not running from `gone` to `now`: what was due meanwhile may have been reported to nobody.
    pub(crate) fn excuse(&mut self, spec: &Spec, gone: Timestamp, now: Timestamp) {
        let (Some(due), Some(ends)) = (self.memory.due(), self.memory.ends(spec)) else { return };
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
        let next_ping = memory.next_report();
        let period = match &spec.schedule {
            Schedule::Period(period) => *period,
            schedule => {
                let next = schedule.next(now);
                let between = next.and_then(|next| Some(schedule.next(next)?.since(next)));
                between.map_or(Span::seconds(0), |gap| Span::millis(u64::try_from(gap.as_millis()).unwrap_or(u64::MAX)))
            }
        };
        let state = match memory.standing {
            Standing::Down => HeartbeatState::Down,
            _ if memory.ends(spec).is_some_and(|ends| now >= ends) => HeartbeatState::Down,
            Standing::New => HeartbeatState::New,
            Standing::Paused => HeartbeatState::Paused,
            Standing::Up if next_ping.is_some_and(|next| now >= next) => HeartbeatState::Late,
            Standing::Up => HeartbeatState::Up,
        };
        HeartbeatStatus {
            id: spec.id.clone(),
            name: spec.name.clone(),
            state,
            started: memory.last_start.is_some(),
            last_start: memory.last_start,
            last_ping: memory.last_ping,
            next_ping,
            deadline: memory.ends(spec),
            schedule: spec.schedule.to_string(),
            period,
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
        vec![site.alert(&Memory::id(&spec.id), kept.since, facts)]
    }

    fn deadline(kept: &Kept<Memory>, spec: &Spec) -> Option<Timestamp> {
        kept.memory.ends(spec)
    }

    fn pass(kept: &mut Kept<Memory>, spec: &Spec, now: Timestamp) {
        let Some(ends) = kept.memory.ends(spec).filter(|ends| *ends <= now) else { return };
        let memory = &mut kept.memory;
        let silent_since = memory.last_ping;
        let overrun = memory.last_start.filter(|start| *start + spec.grace.duration() <= ends);
        let overran = overrun.is_some() && memory.due() == overrun;
        memory.stand(Standing::Down, ends);
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

    fn beside(id: &str, before: &Kept<Memory>, after: &Kept<Memory>) -> Vec<Change> {
        let Some(flip) = after.memory.flip.as_ref().filter(|_| before.memory.flips != after.memory.flips) else {
            return Vec::new();
        };
        let n = after.memory.flips;
        let mut changes = vec![Change::put(FLIPS, flip_key(id, n), flip)];
        changes.extend(n.checked_sub(FLIPS_MAX).map(|old| Change::delete(FLIPS, flip_key(id, old))));
        changes
    }

    fn beside_gone(id: &str, kept: &Kept<Memory>) -> Vec<Change> {
        let last = kept.memory.flips;
        let kept = last.saturating_sub(FLIPS_MAX) + 1..=last;
        kept.map(|n| Change::delete(FLIPS, flip_key(id, n))).collect()
    }

    fn items(items: &Items) -> &BTreeMap<String, Item<Memory>> {
        &items.heartbeats
    }

    fn items_mut(items: &mut Items) -> &mut BTreeMap<String, Item<Memory>> {
        &mut items.heartbeats
    }
}

/// `<heartbeat>/<number>`, the number padded so that keys are in order.
pub(crate) fn flip_key(id: &str, n: u64) -> String {
    format!("{id}/{n:012}")
}

#[cfg(test)]
mod tests;
