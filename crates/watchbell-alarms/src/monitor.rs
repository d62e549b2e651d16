//! Monitor alarms: down after so many failed probes in a row, up at the first that succeeds.
//!
//! Pure: takes probe results, says what the alarm's state is. Schedules nothing and probes nothing.
//!
//! Each place counts for itself, and as many as the quorum says make the monitor down. One that is silent has no vote.
//!
//! A monitor from which no results come says `INSUFFICIENT_DATA` and raises nothing, since nothing is known of its
//! target; that watchbell hears nothing is a trouble of watchbell's own (see [`crate::Alarms`]). One that is down stays
//! down until a probe succeeds: silence does not resolve (`failed_is_not_resolved`).

use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{
    AlarmId, AlarmState, Alert, HOME, Labels, ProbeResult, Quorum, Severity, Span, Timestamp, Verdict, Vote,
};

use crate::certificate;
use crate::kept::{Facts, Item, Kept, Kind, Runbook, Site, moment};
use crate::world::Items;

/// The alert's name.
pub const ALERT_NAME: &str = "MonitorDown";

/// A monitor's results are overdue after this many intervals and one timeout.
const INTERVALS_SILENT: u32 = 3;

/// What is watched, and when it is down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// What people call it; the alarm is `monitor/<name>`.
    pub name: String,
    /// How it is probed: `imap`, `http`.
    pub kind: String,
    /// What is probed: `mail.example.org:993`.
    pub target: String,
    /// From where; never empty.
    pub places: Vec<String>,
    /// How many of them must say that it is down.
    pub quorum: Quorum,
    /// How often it is probed.
    pub interval: Span,
    /// How often it is probed again while it fails but is not down yet.
    pub retry_interval: Span,
    /// How long a probe may take.
    pub timeout: Span,
    /// How many further probes must fail after the first before it is down.
    pub retries: u32,
    /// How bad it is when it is down.
    pub severity: Severity,
    /// What to do then.
    pub runbook: Runbook,
    /// Labels of its alerts.
    pub labels: Labels,
    /// The alert's description.
    pub description: String,
    /// Whether, and how, the certificate it shows is judged.
    pub certificate: Option<certificate::Spec>,
}

impl Spec {
    /// How many failures in a row make it down.
    fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// After how long without a result nothing is known of it.
    pub(crate) fn silent_after(&self) -> Duration {
        self.interval.duration().max(self.retry_interval.duration()) * INTERVALS_SILENT + self.timeout.duration()
    }
}

/// What is heard of a monitor from one of its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Its results count.
    Heard,
    /// Nothing yet, since the start.
    Expected,
    /// Results are overdue, or its agent is not heard.
    Silent,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Failures in a row by place; what works in a place has none there.
    #[serde(default)]
    places: BTreeMap<String, Tally>,
    /// What the probes that made it down saw, and the counts and the moment in words.
    down: Option<String>,
}

/// Failures in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tally {
    /// Up to as many as it takes.
    failures: u32,
    /// The first of them.
    since: Timestamp,
    /// What the probe that reached the count saw.
    said: String,
}

impl Tally {
    fn is_down(&self, spec: &Spec) -> bool {
        self.failures >= spec.attempts()
    }
}

impl Memory {
    /// Failures in a row, of the place that has most.
    pub(crate) fn failures(&self) -> u32 {
        self.places.values().map(|tally| tally.failures).max().unwrap_or_default()
    }

    /// What a place says.
    pub(crate) fn vote(&self, spec: &Spec, place: &str, presence: Presence) -> Vote {
        match (presence, self.places.get(place)) {
            (Presence::Silent, _) => Vote::Silent,
            (Presence::Expected, _) => Vote::Open,
            (Presence::Heard, None) => Vote::Up,
            (Presence::Heard, Some(tally)) if tally.is_down(spec) => Vote::Down,
            (Presence::Heard, Some(_)) => Vote::Open,
        }
    }

    /// Counts a result.
    fn count(&mut self, spec: &Spec, seen: &ProbeResult) {
        self.places.retain(|place, _| spec.places.contains(place));
        if seen.success {
            self.places.remove(&seen.place);
            return;
        }
        let new = Tally { failures: 0, since: seen.at, said: String::new() };
        let tally = self.places.entry(seen.place.clone()).or_insert(new);
        // Counting stops where it no longer matters, so that a monitor that stays down writes nothing.
        if !tally.is_down(spec) {
            tally.failures += 1;
            if tally.is_down(spec) {
                tally.said = seen.message.trim_end_matches('.').to_owned();
            }
        }
    }

    /// Since when the places that say that it is down say so.
    fn down_since(&self, spec: &Spec) -> Option<Timestamp> {
        self.places.values().filter(|tally| tally.is_down(spec)).map(|tally| tally.since).min()
    }

    /// `connection refused (3 of 3 probes failed, since 22:14 UTC)`, or `from home and fra: connection refused (2 of 3
    /// places, since 22:14 UTC; up from nyc)`.
    fn down_words(&self, spec: &Spec, votes: &[Vote], now: Timestamp) -> String {
        let since = moment(self.down_since(spec).unwrap_or(now), now);
        let down = spec.places_that(votes, Vote::Down);
        let said = |place: &str| self.places.get(place).map_or("", |tally| tally.said.as_str());
        if let [place] = spec.places.as_slice() {
            let attempts = spec.attempts();
            let from = if place == HOME { String::new() } else { format!("from {place}: ") };
            return format!("{from}{} ({attempts} of {attempts} probes failed, since {since})", said(place));
        }
        let mut errors: Vec<(&str, Vec<&str>)> = Vec::new();
        for place in &down {
            match errors.iter_mut().find(|(error, _)| *error == said(place)) {
                Some((_, places)) => places.push(place),
                None => errors.push((said(place), vec![place])),
            }
        }
        let errors: Vec<String> =
            errors.iter().map(|(error, places)| format!("from {}: {error}", in_words(places))).collect();
        let others = spec.standing(votes, &[Vote::Up, Vote::Silent]);
        let joint = if others.is_empty() { "" } else { "; " };
        let (errors, all) = (errors.join("; "), spec.places.len());
        format!("{errors} ({} of {all} places, since {since}{joint}{others})", down.len())
    }
}

/// `a, b and c`.
fn in_words(names: &[&str]) -> String {
    match names {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        names => names.concat(),
    }
}

impl Spec {
    fn places_that(&self, votes: &[Vote], vote: Vote) -> Vec<&str> {
        self.places.iter().zip(votes).filter(|(_, it)| **it == vote).map(|(place, _)| place.as_str()).collect()
    }

    /// `up from home; silent: fra and nyc`; nothing where there is one place only.
    fn standing(&self, votes: &[Vote], wanted: &[Vote]) -> String {
        let part = |vote: &Vote| {
            let places = self.places_that(votes, *vote);
            let word = match vote {
                Vote::Up => "up from ",
                Vote::Down => "down from ",
                Vote::Open => "not known from ",
                Vote::Silent => "silent: ",
            };
            (!places.is_empty() && self.places.len() > 1).then(|| format!("{word}{}", in_words(&places)))
        };
        wanted.iter().filter_map(part).collect::<Vec<_>>().join("; ")
    }
}

impl Kept<Memory> {
    /// What each place says, in their order. With `last`, one that fell silent while it said that the target is down
    /// still says so: silence resolves nothing.
    fn votes(&self, spec: &Spec, presences: &[Presence], last: bool) -> Vec<Vote> {
        let vote = |(place, presence): (&String, &Presence)| match self.memory.places.get(place) {
            Some(tally) if last && tally.is_down(spec) => Vote::Down,
            _ => self.memory.vote(spec, place, *presence),
        };
        spec.places.iter().zip(presences).map(vote).collect()
    }

    /// Judges a probe's result; `presences` in the order of the places.
    pub(crate) fn result(&mut self, spec: &Spec, seen: &ProbeResult, presences: &[Presence]) {
        let down_since = self.memory.down_since(spec);
        self.memory.count(spec, seen);
        self.judge(spec, seen.at, presences, |kept, votes| {
            let all = kept.standing_words(spec, votes);
            match down_since.filter(|_| kept.state == AlarmState::Alarm) {
                Some(since) => {
                    let down = Span::millis(u64::try_from(seen.at.since(since).as_millis()).unwrap_or(u64::MAX));
                    format!("it is up again after {}: {}{all}", down.in_words(), seen.message)
                }
                None if seen.success => format!("it is up: {}{all}", seen.message),
                None => format!("it is up{all}"),
            }
        });
    }

    /// Some place gives no results any more; `heard` is when the last came from it.
    pub(crate) fn silent(&mut self, spec: &Spec, now: Timestamp, heard: Timestamp, presences: &[Presence]) {
        for (place, _) in spec.places.iter().zip(presences).filter(|(_, it)| **it == Presence::Silent) {
            // What failed before the silence and after it is not in a row.
            if spec.places.len() > 1 && self.memory.places.get(place).is_some_and(|tally| !tally.is_down(spec)) {
                self.memory.places.remove(place);
            }
        }
        self.judge(spec, now, presences, |kept, votes| format!("it is up{}", kept.standing_words(spec, votes)));
        let votes = self.votes(spec, presences, false);
        if self.state == AlarmState::Ok && spec.quorum.judge(votes.iter().copied()) == Verdict::NoQuorum {
            let standing = spec.standing(&votes, &[Vote::Up, Vote::Down, Vote::Open, Vote::Silent]);
            self.turn(AlarmState::InsufficientData, now, || match spec.places.len() {
                1 => format!("no results since {}", moment(heard, now)),
                _ => format!("too few places say anything, the quorum is {}: {standing}", spec.quorum),
            });
        }
    }

    fn standing_words(&self, spec: &Spec, votes: &[Vote]) -> String {
        let all = spec.standing(votes, &[Vote::Up, Vote::Down, Vote::Silent]);
        if all.is_empty() { all } else { format!(" ({all})") }
    }

    /// Turns to what the places say together, if they say anything.
    fn judge(
        &mut self,
        spec: &Spec,
        now: Timestamp,
        presences: &[Presence],
        up: impl FnOnce(&Kept<Memory>, &[Vote]) -> String,
    ) {
        let votes = self.votes(spec, presences, self.state == AlarmState::Alarm);
        match spec.quorum.judge(votes.iter().copied()) {
            Verdict::Up if self.state != AlarmState::Ok => {
                let reason = up(self, &votes);
                self.memory.down = None;
                self.turn(AlarmState::Ok, now, || reason);
            }
            Verdict::Down if self.state != AlarmState::Alarm => {
                let words = self.memory.down_words(spec, &votes, now);
                self.turn(AlarmState::Alarm, now, || format!("it is down: {words}"));
                self.memory.down = Some(words);
            }
            Verdict::Up | Verdict::Down | Verdict::Open | Verdict::NoQuorum => {}
        }
    }
}

impl Kind for Memory {
    type Spec = Spec;
    const UNHEARD: &'static str = "no results yet";

    fn id(name: &str) -> AlarmId {
        format!("monitor/{name}")
    }

    fn firing(kept: &Kept<Memory>, spec: &Spec, site: &Site) -> Vec<Alert> {
        let Some(down) = &kept.memory.down else { return Vec::new() };
        let facts = Facts {
            name: ALERT_NAME,
            severity: spec.severity.as_str(),
            labels: &spec.labels,
            own: &[("monitor", &spec.name)],
            summary: format!("{} is down: {down}", spec.name),
            description: &spec.description,
            runbook_url: &spec.runbook.url,
        };
        vec![site.alert(&Memory::id(&spec.name), kept.since, facts)]
    }

    /// Silence is judged where the last result is known, see [`crate::world::World`].
    fn deadline(_: &Kept<Memory>, _: &Spec) -> Option<Timestamp> {
        None
    }

    fn pass(_: &mut Kept<Memory>, _: &Spec, _: Timestamp) {}

    fn items(items: &Items) -> &BTreeMap<String, Item<Memory>> {
        &items.monitors
    }

    fn items_mut(items: &mut Items) -> &mut BTreeMap<String, Item<Memory>> {
        &mut items.monitors
    }
}
