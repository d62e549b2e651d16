//! Who a route's receiver stands for: people who take turns, and steps that follow while nobody acknowledges.
//!
//! Pure: a moment goes in, names of receivers come out. Turns are counted on the calendar of the schedule's time zone,
//! so that a hand-over at 9:00 stays at 9:00 when the clocks change.
//!
//! Invariant: a schedule never stands for nobody. While no turn covers the moment, all its people are told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Span, Timestamp, near_hint};

use crate::interval::Intervals;

/// How long what follows a time interval may be taken to go on: it is looked at again then.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// People who take turns being told. A route, or a step of an escalation, names it where it would name a receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// What routes call it; no receiver has the same name.
    pub name: String,
    /// Whose clock turns follow: a name such as `Europe/Berlin`, `UTC`, or `Local` for this machine's.
    #[serde(default = "crate::interval::utc")]
    pub time_zone: String,
    /// Turns. Where several of these cover a moment, the last one counts; where none does, everybody is told.
    pub rotations: Vec<RotationConfig>,
    /// Somebody stands in for a while, whoever's turn it is. Where two overlap, the last one counts.
    #[serde(default)]
    pub overrides: Vec<OverrideConfig>,
}

/// People who take turns of one length.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationConfig {
    /// Their receivers, in the order of their turns.
    pub people: Vec<String>,
    /// When the first person's first turn begins, on the schedule's clock: `2026-01-05T09:00`.
    pub from: String,
    /// How long a turn is: `12h`, `1d`, `1w`.
    pub turn: Span,
    /// A name among `time_intervals`: the rotation covers only these times, such as nights or weekends.
    #[serde(default)]
    pub during: Option<String>,
}

/// Somebody stands in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideConfig {
    /// Whose receiver is told.
    pub person: String,
    /// From when, on the schedule's clock: `2026-12-24T18:00`.
    pub from: String,
    /// Until when.
    pub until: String,
}

/// Who is told after whom while nobody acknowledges. A route names it where it would name a receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationConfig {
    /// What routes call it; no receiver and no schedule has the same name.
    pub name: String,
    /// Who is told when. Everybody who was told learns what follows, and that it is over.
    pub steps: Vec<StepConfig>,
    /// Everybody who was told is told again this often until somebody acknowledges, where the route's
    /// `repeat_interval` is not shorter.
    #[serde(default)]
    pub nag: Option<Span>,
}

/// A step of an escalation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepConfig {
    /// How long after the first page, if nobody has acknowledged by then. Nothing for those who are told at once.
    #[serde(default)]
    pub after: Span,
    /// Names of receivers or schedules.
    pub to: Vec<String>,
}

/// Who is to be told of a group, and when, as things stand at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ladder {
    /// Receivers by how long after the first page, the soonest first.
    pub(crate) steps: Vec<(Duration, BTreeSet<String>)>,
    pub(crate) nag: Option<Duration>,
    /// When the next hand-over may change that.
    pub(crate) changes_in: Option<Duration>,
}

/// All schedules and escalations.
#[derive(Debug, Default)]
pub(crate) struct Duty {
    schedules: BTreeMap<String, Schedule>,
    escalations: BTreeMap<String, Escalation>,
}

#[derive(Debug)]
struct Escalation {
    steps: Vec<(Duration, Vec<String>)>,
    nag: Option<Duration>,
}

#[derive(Debug)]
struct Schedule {
    zone: TimeZone,
    rotations: Vec<Rotation>,
    overrides: Vec<Override>,
}

#[derive(Debug)]
struct Rotation {
    people: Vec<String>,
    from: DateTime,
    /// In seconds.
    turn: i64,
    during: Option<String>,
}

#[derive(Debug)]
struct Override {
    person: String,
    from: Timestamp,
    until: Timestamp,
}

impl Duty {
    /// Reads them; `path` is the document that has `schedules` and `escalations`.
    pub(crate) fn compile(
        schedules: &[ScheduleConfig],
        escalations: &[EscalationConfig],
        intervals: &Intervals,
        path: &Path,
        problems: &mut Problems,
    ) -> Duty {
        let mut duty = Duty::default();
        for (at, config) in schedules.iter().enumerate() {
            let path = path.field("schedules").index(at);
            let schedule = Schedule::compile(config, intervals, &path, problems);
            if duty.schedules.insert(config.name.clone(), schedule).is_some() {
                problems.error(&path.field("name"), format!("the schedule `{}` is there twice", config.name));
            }
        }
        for (at, config) in escalations.iter().enumerate() {
            let path = path.field("escalations").index(at);
            let escalation = Escalation::compile(config, &path, problems);
            if duty.escalations.insert(config.name.clone(), escalation).is_some() {
                problems.error(&path.field("name"), format!("the escalation `{}` is there twice", config.name));
            }
        }
        duty
    }

    /// Finds names that stand for nothing, or for two things.
    pub(crate) fn check_names(
        schedules: &[ScheduleConfig],
        escalations: &[EscalationConfig],
        receivers: &[&str],
        path: &Path,
        problems: &mut Problems,
    ) {
        let mut person = |name: &str, at: &Path| {
            if !receivers.contains(&name) {
                problems.error(at, format!("there is no receiver named `{name}`")).hint(near_hint(
                    name,
                    "receivers",
                    receivers.iter().copied(),
                ));
            }
        };
        for (at, schedule) in schedules.iter().enumerate() {
            let path = path.field("schedules").index(at);
            for (number, rotation) in schedule.rotations.iter().enumerate() {
                let path = path.field("rotations").index(number).field("people");
                rotation.people.iter().enumerate().for_each(|(at, name)| person(name, &path.index(at)));
            }
            for (number, it) in schedule.overrides.iter().enumerate() {
                person(&it.person, &path.field("overrides").index(number).field("person"));
            }
        }
        let known: Vec<&str> = receivers.iter().copied().chain(schedules.iter().map(|it| it.name.as_str())).collect();
        for (at, escalation) in escalations.iter().enumerate() {
            for (number, step) in escalation.steps.iter().enumerate() {
                let path = path.field("escalations").index(at).field("steps").index(number).field("to");
                for (at, name) in step.to.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
                    problems
                        .error(&path.index(at), format!("there is no receiver and no schedule named `{name}`"))
                        .hint(near_hint(name, "receivers and schedules", known.iter().copied()));
                }
            }
        }
        let schedule = |(at, it): (usize, &ScheduleConfig)| (path.field("schedules").index(at), it.name.clone());
        let escalation = |(at, it): (usize, &EscalationConfig)| (path.field("escalations").index(at), it.name.clone());
        let mut taken: BTreeSet<String> = receivers.iter().map(|name| (*name).to_owned()).collect();
        let all = schedules.iter().enumerate().map(schedule).chain(escalations.iter().enumerate().map(escalation));
        for (path, name) in all {
            if name.trim().is_empty() {
                problems.error(&path.field("name"), "it needs a name").hint("routes name it, such as `night`");
            } else if !taken.insert(name.clone()) {
                problems
                    .error(&path.field("name"), format!("`{name}` is the name of something else already"))
                    .hint("receivers, schedules and escalations share their names");
            }
        }
    }

    /// Names that a route's `receiver` may have beside those of receivers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.schedules.keys().chain(self.escalations.keys()).map(String::as_str)
    }

    /// Who a route's receiver stands for at `now`.
    pub(crate) fn ladder(&self, receiver: &str, intervals: &Intervals, now: Timestamp) -> Ladder {
        let mut changes_in: Option<Duration> = None;
        let mut people = |name: &str| match self.schedules.get(name) {
            Some(schedule) => {
                let (people, until) = schedule.on_duty(intervals, now);
                let left = until.map(|until| until.since(now));
                changes_in = changes_in.into_iter().chain(left).min();
                people
            }
            None => BTreeSet::from([name.to_owned()]),
        };
        let Some(escalation) = self.escalations.get(receiver) else {
            let steps = vec![(Duration::ZERO, people(receiver))];
            return Ladder { steps, nag: None, changes_in };
        };
        let step = |(after, to): &(Duration, Vec<String>)| (*after, to.iter().flat_map(|name| people(name)).collect());
        let steps = escalation.steps.iter().map(step).collect();
        Ladder { steps, nag: escalation.nag, changes_in }
    }
}

impl Ladder {
    /// Who is told this long after the first page.
    pub(crate) fn reached(&self, after: Duration) -> BTreeSet<String> {
        let reached = self.steps.iter().take_while(|(wait, _)| *wait <= after);
        reached.flat_map(|(_, to)| to.iter().cloned()).collect()
    }

    /// How long after the first page the next step is, seen from `after`.
    pub(crate) fn next(&self, after: Duration) -> Option<Duration> {
        self.steps.iter().map(|(wait, _)| *wait).find(|wait| *wait > after)
    }
}

impl Escalation {
    fn compile(config: &EscalationConfig, path: &Path, problems: &mut Problems) -> Escalation {
        if !config.steps.iter().any(|step| step.after.is_zero() && !step.to.is_empty()) {
            problems
                .error(&path.field("steps"), "nobody is told at once")
                .hint("give the first step without `after`, such as `- to: [oncall]`");
        }
        for (at, step) in config.steps.iter().enumerate().filter(|(_, step)| step.to.is_empty()) {
            let path = path.field("steps").index(at).field("to");
            problems.error(&path, format!("nobody is told after {}", step.after)).hint("name receivers or schedules");
        }
        if config.nag.is_some_and(|nag| nag < Span::minutes(1)) {
            problems.error(&path.field("nag"), "more than one page a minute wakes nobody better").hint("such as `5m`");
        }
        let mut steps: Vec<_> = config.steps.iter().map(|step| (step.after.duration(), step.to.clone())).collect();
        steps.sort_by_key(|(after, _)| *after);
        Escalation { steps, nag: config.nag.map(Span::duration) }
    }
}

impl Schedule {
    fn compile(config: &ScheduleConfig, intervals: &Intervals, path: &Path, problems: &mut Problems) -> Schedule {
        let zone = crate::interval::zone(&config.time_zone, &path.field("time_zone"), problems);
        if config.rotations.is_empty() && config.overrides.is_empty() {
            problems.error(&path.field("rotations"), "nobody takes a turn").hint(
                "give `people`, `from` and `turn`, such as `{people: [anna, ben], from: 2026-01-05T09:00, turn: 1w}`",
            );
        }
        let mut rotations = Vec::new();
        for (at, rotation) in config.rotations.iter().enumerate() {
            let path = path.field("rotations").index(at);
            if rotation.people.is_empty() {
                problems.error(&path.field("people"), "nobody takes a turn").hint("name receivers");
            }
            if rotation.turn < Span::minutes(1) {
                problems
                    .error(&path.field("turn"), format!("a turn of {} is too short", rotation.turn))
                    .hint("such as `12h`, `1d` or `1w`");
            }
            if let Some(name) = rotation.during.as_ref().filter(|name| !intervals.has(name)) {
                problems
                    .error(&path.field("during"), format!("there is no time interval named `{name}`"))
                    .hint(near_hint(name, "time intervals", intervals.names()));
            }
            if let Some(from) = civil(&rotation.from, &path.field("from"), problems) {
                rotations.push(Rotation {
                    people: rotation.people.clone(),
                    from,
                    turn: i64::try_from(rotation.turn.duration().as_secs()).unwrap_or(i64::MAX).max(60),
                    during: rotation.during.clone(),
                });
            }
        }
        let mut overrides = Vec::new();
        for (at, it) in config.overrides.iter().enumerate() {
            let path = path.field("overrides").index(at);
            let from = civil(&it.from, &path.field("from"), problems).and_then(|from| moment(from, &zone));
            let until = civil(&it.until, &path.field("until"), problems).and_then(|until| moment(until, &zone));
            let (Some(from), Some(until)) = (from, until) else { continue };
            if until <= from {
                problems.error(&path.field("until"), format!("{} is not after {}", it.until, it.from));
            }
            overrides.push(Override { person: it.person.clone(), from, until });
        }
        Schedule { zone, rotations, overrides }
    }

    /// Who is told at `now`, and until when at least.
    fn on_duty(&self, intervals: &Intervals, now: Timestamp) -> (BTreeSet<String>, Option<Timestamp>) {
        let mut until: Option<Timestamp> = None;
        let mut ends = |at: Option<Timestamp>| until = until.into_iter().chain(at.filter(|at| *at > now)).min();
        let mut duty: Option<&String> = None;
        for rotation in &self.rotations {
            let (person, next) = rotation.turn_at(&self.zone, now);
            ends(next);
            let covers = match &rotation.during {
                Some(name) => {
                    ends(Some(now + LOOK_AGAIN));
                    intervals.contains(name, now)
                }
                None => true,
            };
            duty = person.filter(|_| covers).or(duty);
        }
        for it in &self.overrides {
            ends(Some(it.from));
            ends(Some(it.until));
            if (it.from..it.until).contains(&now) {
                duty = Some(&it.person);
            }
        }
        let people = match duty {
            Some(person) => BTreeSet::from([person.clone()]),
            None => self.everybody(),
        };
        (people, until)
    }

    fn everybody(&self) -> BTreeSet<String> {
        let people = self.rotations.iter().flat_map(|it| it.people.iter().cloned());
        let people: BTreeSet<String> = people.collect();
        if people.is_empty() { self.overrides.iter().map(|it| it.person.clone()).collect() } else { people }
    }
}

impl Rotation {
    /// Whose turn it is, and when the next one begins.
    fn turn_at(&self, zone: &TimeZone, now: Timestamp) -> (Option<&String>, Option<Timestamp>) {
        let Ok(instant) = jiff::Timestamp::from_millisecond(now.as_millis()) else { return (None, None) };
        let here = zone.to_datetime(instant);
        // On the calendar, where every day has 24 hours.
        let since = here.duration_since(self.from).as_secs();
        let number = since.div_euclid(self.turn);
        let next = if number < 0 { 0 } else { number + 1 };
        let next = self.from.checked_add(jiff::SignedDuration::from_secs(next.saturating_mul(self.turn))).ok();
        let next = next.and_then(|next| moment(next, zone));
        let turn = usize::try_from(number).ok().filter(|_| !self.people.is_empty());
        (turn.map(|number| &self.people[number % self.people.len()]), next)
    }
}

/// A date and time as the configuration writes it.
pub(crate) fn civil(text: &str, path: &Path, problems: &mut Problems) -> Option<DateTime> {
    let read = text.parse::<DateTime>().ok();
    if read.is_none() {
        problems.error(path, format!("`{text}` is not a date and time")).hint("write it as `2026-01-05T09:00`");
    }
    read
}

/// When a clock shows it.
pub(crate) fn moment(at: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    Some(Timestamp(zone.to_ambiguous_zoned(at).compatible().ok()?.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn duty(schedules: &str, escalations: &str, problems: &mut Problems) -> (Duty, Intervals) {
        let schedules: Vec<ScheduleConfig> = serde_json::from_str(schedules).expect("schedules");
        let escalations: Vec<EscalationConfig> = serde_json::from_str(escalations).expect("escalations");
        let nights = r#"[{"name": "nights", "time_intervals": [
            {"times": [{"start_time": "22:00", "end_time": "24:00"}, {"start_time": "00:00", "end_time": "06:00"}],
             "location": "Europe/Berlin"}]}]"#;
        let nights: Vec<crate::TimeInterval> = serde_json::from_str(nights).expect("intervals");
        let intervals = Intervals::compile(&nights, &Path::root(), problems);
        let duty = Duty::compile(&schedules, &escalations, &intervals, &Path::root(), problems);
        Duty::check_names(&schedules, &escalations, &["anna", "ben", "carl"], &Path::root(), problems);
        (duty, intervals)
    }

    fn check(schedule: &str, moments: &str, expect: Expect) {
        let mut problems = Problems::new();
        let (duty, intervals) = duty(&format!("[{schedule}]"), "[]", &mut problems);
        assert!(problems.0.is_empty(), "{problems:?}");
        let line = |text: &str| {
            let now = Timestamp::parse_rfc3339(text).expect("a time");
            let ladder = duty.ladder("s", &intervals, now);
            let people: Vec<String> = ladder.reached(Duration::ZERO).into_iter().collect();
            let until = ladder.changes_in.map_or("ever".to_owned(), |left| (now + left).to_string());
            format!("{text} {} until {until}\n", people.join(" and "))
        };
        expect.assert_eq(&moments.split_whitespace().map(line).collect::<String>());
    }

    #[test]
    fn a_hand_over_keeps_its_hour_when_clocks_change() {
        check(
            r#"{"name": "s", "time_zone": "Europe/Berlin",
                "rotations": [{"people": ["anna", "ben"], "from": "2026-03-23T09:00", "turn": "1w"}]}"#,
            "2026-03-20T00:00:00Z 2026-03-23T08:00:00Z 2026-03-30T06:59:59Z 2026-03-30T07:00:00Z 2026-04-06T07:00:00Z",
            expect![[r#"
                2026-03-20T00:00:00Z anna and ben until 2026-03-23T08:00:00.000Z
                2026-03-23T08:00:00Z anna until 2026-03-30T07:00:00.000Z
                2026-03-30T06:59:59Z anna until 2026-03-30T07:00:00.000Z
                2026-03-30T07:00:00Z ben until 2026-04-06T07:00:00.000Z
                2026-04-06T07:00:00Z anna until 2026-04-13T07:00:00.000Z
            "#]],
        );
    }

    #[test]
    fn layers_and_overrides_stand_above_one_another() {
        check(
            r#"{"name": "s", "time_zone": "Europe/Berlin", "rotations": [
                  {"people": ["anna"], "from": "2026-01-01T00:00", "turn": "1d"},
                  {"people": ["ben"], "from": "2026-01-01T00:00", "turn": "1d", "during": "nights"}],
                "overrides": [{"person": "carl", "from": "2026-12-24T18:00", "until": "2026-12-25T02:00"}]}"#,
            "2026-12-24T12:00:30Z 2026-12-24T16:59:00Z 2026-12-24T17:00:00Z 2026-12-25T01:00:00Z",
            expect![[r#"
                2026-12-24T12:00:30Z anna until 2026-12-24T12:01:30.000Z
                2026-12-24T16:59:00Z anna until 2026-12-24T17:00:00.000Z
                2026-12-24T17:00:00Z carl until 2026-12-24T17:01:00.000Z
                2026-12-25T01:00:00Z ben until 2026-12-25T01:01:00.000Z
            "#]],
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut problems = Problems::new();
        duty(
            r#"[{"name": "anna", "time_zone": "Mars/Olympus", "rotations": [
                  {"people": [], "from": "tomorrow", "turn": "5s", "during": "night"}],
                 "overrides": [{"person": "karl", "from": "2026-12-25T00:00", "until": "2026-12-24T00:00"}]},
                {"name": "empty", "rotations": []}]"#,
            r#"[{"name": "empty", "steps": [{"after": "5m", "to": ["ana"]}, {"after": "9m", "to": []}], "nag": "5s"}]"#,
            &mut problems,
        );
        let lines = problems.0.iter().map(|it| {
            let hint = it.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{}: {}{hint}\n", it.path, it.message)
        });
        expect![[r#"
            schedules[0].time_zone: `Mars/Olympus` is not a known time zone (write it as `Europe/Berlin`, `UTC` or `Local`)
            schedules[0].rotations[0].people: nobody takes a turn (name receivers)
            schedules[0].rotations[0].turn: a turn of 5s is too short (such as `12h`, `1d` or `1w`)
            schedules[0].rotations[0].during: there is no time interval named `night` (did you mean `nights`?)
            schedules[0].rotations[0].from: `tomorrow` is not a date and time (write it as `2026-01-05T09:00`)
            schedules[0].overrides[0].until: 2026-12-24T00:00 is not after 2026-12-25T00:00
            schedules[1].rotations: nobody takes a turn (give `people`, `from` and `turn`, such as `{people: [anna, ben], from: 2026-01-05T09:00, turn: 1w}`)
            escalations[0].steps: nobody is told at once (give the first step without `after`, such as `- to: [oncall]`)
            escalations[0].steps[1].to: nobody is told after 9m (name receivers or schedules)
            escalations[0].nag: more than one page a minute wakes nobody better (such as `5m`)
            schedules[0].overrides[0].person: there is no receiver named `karl` (did you mean `carl`?)
            escalations[0].steps[0].to[0]: there is no receiver and no schedule named `ana` (did you mean `anna`?)
            schedules[0].name: `anna` is the name of something else already (receivers, schedules and escalations share their names)
            escalations[0].name: `empty` is the name of something else already (receivers, schedules and escalations share their names)
        "#]]
        .assert_eq(&lines.collect::<String>());
    }
}
