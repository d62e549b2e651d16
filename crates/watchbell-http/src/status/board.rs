//! What a status page says, put together from what alarms, alerts and the store say. It is the page's JSON, too.
//!
//! Nothing in it names an address, a label or an alarm; what a probe saw only where the page's configuration allows it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use watchbell_alarms::{MonitorStatus, Standing};
use watchbell_alerts::{Impact, Incident, PlannedDowntime, Stage};
use watchbell_model::{AlarmId, Labels, Timestamp};

use super::config::{StatusItemConfig, StatusPageConfig, slug};
use super::days::{self, DayState, Past};
use crate::Shared;

/// Maintenance that begins within this time is announced.
const ANNOUNCED: Duration = Duration::from_secs(7 * 86_400);
/// A minute is written down so long after it has begun, at the latest.
const WRITTEN: Duration = Duration::from_secs(2);
/// How many incidents that are over are shown.
const PAST_INCIDENTS_MAX: usize = 20;
/// The figures that a page has, in hours.
pub(super) const FIGURES: [(&str, u32); 4] = [("24h", 24), ("7d", 7 * 24), ("30d", 30 * 24), ("90d", 90 * 24)];

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// It works.
    Up,
    /// It is in maintenance.
    Maintenance,
    /// Nothing is known of it.
    Unknown,
    /// It works, but an incident says that not all of it does.
    Degraded,
    /// It does not work.
    Down,
}

impl Health {
    /// In a word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Health::Up => "up",
            Health::Maintenance => "maintenance",
            Health::Unknown => "unknown",
            Health::Degraded => "degraded",
            Health::Down => "down",
        }
    }
}

/// A status page as it stands.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Board {
    /// The last part of its address.
    pub name: String,
    /// What stands on top.
    pub title: String,
    /// A few words under it.
    pub description: String,
    /// The worst of what it shows.
    pub state: Health,
    /// The same in words.
    pub summary: String,
    /// When that was so.
    pub now: Timestamp,
    /// Whose days these are.
    pub time_zone: String,
    /// What it shows.
    pub groups: Vec<BoardGroup>,
    /// Incidents that are not over, then some that are, the latest first.
    pub incidents: Vec<BoardIncident>,
    /// Maintenance that is under way or will be soon.
    pub maintenance: Vec<BoardMaintenance>,
    /// Whether what was could be read; without it there are no days and no figures.
    pub history_known: bool,
}

/// Things that belong together.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct BoardGroup {
    /// What people call them.
    pub name: String,
    /// The worst of them.
    pub state: Health,
    /// What is in it.
    pub items: Vec<BoardItem>,
}

/// One thing that works or does not.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct BoardItem {
    /// Its name in addresses of badges.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// A few words under it.
    pub description: String,
    /// How it is.
    pub state: Health,
    /// Since when it works or does not.
    pub since: Option<Timestamp>,
    /// What the last probe saw, if it is down and the page may say so.
    pub reason: Option<String>,
    /// How long the last probe took, in seconds, if the page may say so.
    pub latency: Option<f64>,
    /// When its certificate ends, if it has one and the page may say so.
    pub certificate_ends_at: Option<Timestamp>,
    /// The share of the time in which it worked.
    pub uptime: Vec<Figure>,
    /// Day by day, oldest first, the last of them today.
    pub days: Vec<BoardDay>,
}

/// The share of a time in which something worked. Time in maintenance, and time of which nothing is known, counts neither
/// way.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Figure {
    /// `24h`, `7d`, `30d` or `90d`.
    pub window: String,
    /// Where it begins: a whole hour.
    pub from: Timestamp,
    /// Where it ends.
    pub to: Timestamp,
    /// 0 to 1; nothing if nothing is known of it.
    pub up: Option<f64>,
}

/// A day of something.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct BoardDay {
    /// Which, such as `2026-11-22`.
    pub date: String,
    /// What it is called.
    pub state: DayState,
    /// The share of known minutes in which it worked, 0 to 1.
    pub up: Option<f64>,
    /// For how many minutes it was down.
    pub down_minutes: u32,
    /// How many minutes it was in maintenance.
    pub maintenance_minutes: u32,
    /// Of how many minutes it is known whether it worked.
    pub known_minutes: u32,
}

/// An incident as a page shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct BoardIncident {
    /// Names it for ever.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// How much of it people feel.
    pub impact: Impact,
    /// How far people are with it.
    pub stage: Stage,
    /// Since when it is told.
    pub opened_at: Timestamp,
    /// Since when it is over.
    pub resolved_at: Option<Timestamp>,
    /// What it is about, as the page calls it.
    pub affects: Vec<String>,
    /// What was said, latest first.
    pub updates: Vec<BoardUpdate>,
}

/// What was said of an incident.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct BoardUpdate {
    /// When.
    pub at: Timestamp,
    /// How far people were.
    pub stage: Stage,
    /// The words.
    pub text: String,
}

/// Maintenance as a page shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct BoardMaintenance {
    /// When it begins; nothing if it is under way.
    pub from: Option<Timestamp>,
    /// When it ends, where that can be said.
    pub until: Option<Timestamp>,
    /// What it is about, as the page calls it.
    pub affects: Vec<String>,
}

/// How everything stands at a moment.
struct Now {
    at: Timestamp,
    standings: BTreeMap<AlarmId, Standing>,
    monitors: BTreeMap<AlarmId, MonitorStatus>,
    incidents: Vec<Incident>,
}

impl Now {
    fn read(app: &Shared) -> Now {
        // The last minute that is written down for certain.
        let at = (app.runtime.clock.now() - WRITTEN).as_millis().div_euclid(60_000) * 60_000;
        Now {
            at: Timestamp(at),
            standings: app.alarms.standings().into_iter().map(|it| (it.alarm.clone(), it)).collect(),
            monitors: app.alarms.monitors().into_iter().map(|it| (it.alarm.clone(), it)).collect(),
            incidents: app.alerts.incidents(),
        }
    }
}

/// The alarms of what a page shows, in its order.
pub(super) fn alarms(page: &StatusPageConfig) -> Vec<AlarmId> {
    page.groups.iter().flat_map(|group| &group.items).map(StatusItemConfig::alarm).collect()
}

/// Puts a page together. Reads the store: call it where blocking is allowed.
pub(super) fn board(app: &Shared, page: &StatusPageConfig) -> Board {
    let now = Now::read(app);
    let alarms = alarms(page);
    let zone = page.zone();
    let starts = days::starts(&zone, page.history_days, now.at);
    let width = days::width(&starts);
    // As far back as any page looks, so that none reads again what another one has kept too little of.
    let days = app.config.status_pages().iter().map(|it| it.history_days).max().unwrap_or_default();
    let pasts = app.status.history.read(&*app.query, &alarms, width, days.max(page.history_days), now.at);
    let pasts =
        pasts.map_err(|error| tracing::warn!(page = page.name, %error, "the past of a status page cannot be read"));
    let labels: Vec<Labels> = alarms
        .iter()
        .map(|alarm| now.standings.get(alarm).map_or_else(Labels::empty, |it| it.labels.clone()))
        .collect();
    let planned = app.alerts.downtimes_of(&labels, ANNOUNCED);
    let incidents: Vec<&Incident> = now.incidents.iter().filter(|it| it.is_on(&page.name)).collect();
    let past = Before { starts: &starts, zone: &zone, pasts: pasts.as_ref().ok(), to: now.at };

    let mut place = 0;
    let groups: Vec<BoardGroup> = page
        .groups
        .iter()
        .map(|group| {
            let item = |config: &StatusItemConfig| {
                let covered = planned.iter().any(|it| it.from.is_none() && it.covers.contains(&place));
                place += 1;
                item(page, config, &now, covered, &incidents, &past)
            };
            let items: Vec<BoardItem> = group.items.iter().map(item).collect();
            let state = items.iter().map(|it| it.state).max().unwrap_or(Health::Unknown);
            BoardGroup { name: group.name.clone(), state, items }
        })
        .collect();
    let names: Vec<&str> =
        page.groups.iter().flat_map(|group| &group.items).map(StatusItemConfig::shown_name).collect();
    let incidents = shown(&incidents, &alarms, &names, starts.first().copied().unwrap_or(now.at));
    let (state, summary) = summary(&groups, &incidents);
    Board {
        name: page.name.clone(),
        title: page.title.clone().unwrap_or_else(|| crate::api::site_name(app)),
        description: page.description.clone(),
        state,
        summary,
        now: now.at,
        time_zone: page.time_zone.clone(),
        groups,
        incidents,
        maintenance: planned.iter().map(|it| maintenance(it, &names)).collect(),
        history_known: pasts.is_ok(),
    }
}

/// What was, for one page.
struct Before<'a> {
    starts: &'a [Timestamp],
    zone: &'a TimeZone,
    pasts: Option<&'a BTreeMap<AlarmId, Past>>,
    to: Timestamp,
}

impl Before<'_> {
    fn days(&self, alarm: &AlarmId) -> Vec<BoardDay> {
        let Some(past) = self.pasts.and_then(|pasts| pasts.get(alarm)) else { return Vec::new() };
        let day = |(minutes, start): (days::Minutes, &Timestamp)| BoardDay {
            date: zoned(*start, self.zone).strftime("%Y-%m-%d").to_string(),
            state: minutes.state(),
            up: minutes.share(),
            down_minutes: minutes.down,
            maintenance_minutes: minutes.maintenance,
            known_minutes: minutes.up + minutes.down,
        };
        past.days(self.starts).into_iter().zip(self.starts).map(day).collect()
    }

    /// Figures over no more than the days that are shown.
    fn figures(&self, alarm: &AlarmId) -> Vec<Figure> {
        let Some(past) = self.pasts.and_then(|pasts| pasts.get(alarm)) else { return Vec::new() };
        let days = self.starts.len().saturating_sub(1);
        let fits = FIGURES.iter().filter(|(_, hours)| *hours as usize <= days * 24);
        fits.map(|(window, hours)| {
            let from = days::figure_from(*hours, self.to);
            Figure { window: (*window).to_owned(), from, to: self.to, up: past.since(from).share() }
        })
        .collect()
    }
}

/// A moment on the clocks of a zone.
pub(super) fn zoned(at: Timestamp, zone: &TimeZone) -> jiff::Zoned {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default().to_zoned(zone.clone())
}

fn item(
    page: &StatusPageConfig,
    config: &StatusItemConfig,
    now: &Now,
    covered: bool,
    incidents: &[&Incident],
    past: &Before<'_>,
) -> BoardItem {
    let alarm = config.alarm();
    let standing = now.standings.get(&alarm);
    let felt = incidents
        .iter()
        .any(|it| it.resolved_at().is_none() && it.impact > Impact::Notice && it.affects.contains(&alarm));
    let state = match standing.and_then(|it| it.up) {
        _ if covered => Health::Maintenance,
        Some(false) => Health::Down,
        _ if felt => Health::Degraded,
        Some(true) => Health::Up,
        None => Health::Unknown,
    };
    let monitor = now.monitors.get(&alarm);
    let last = monitor.and_then(|it| it.last.as_ref()).filter(|last| last.success);
    let name = config.shown_name();
    BoardItem {
        id: slug(name),
        name: name.to_owned(),
        description: config.description.clone(),
        state,
        since: standing.filter(|it| it.up.is_some()).map(|it| it.since),
        reason: monitor.filter(|_| page.show_reasons && state == Health::Down).map(|it| it.reason.clone()),
        latency: last.filter(|_| page.show_latency).map(|last| last.duration.duration().as_secs_f64()),
        certificate_ends_at: monitor.and_then(|it| it.certificate_ends).filter(|_| page.show_certificates),
        uptime: past.figures(&alarm),
        days: past.days(&alarm),
    }
}

/// Incidents as the page shows them: all that are not over, and some that were over after `since`.
fn shown(incidents: &[&Incident], alarms: &[AlarmId], names: &[&str], since: Timestamp) -> Vec<BoardIncident> {
    let (open, over): (Vec<&Incident>, Vec<&Incident>) =
        incidents.iter().partition(|incident| incident.resolved_at().is_none());
    let over = over.into_iter().filter(|it| it.resolved_at() >= Some(since)).take(PAST_INCIDENTS_MAX);
    let named = |incident: &Incident| {
        let shown = alarms.iter().zip(names).filter(|(alarm, _)| incident.affects.contains(alarm));
        shown.map(|(_, name)| (*name).to_owned()).collect()
    };
    let one = |incident: &Incident| BoardIncident {
        id: incident.id.clone(),
        title: incident.title.clone(),
        impact: incident.impact,
        stage: incident.stage(),
        opened_at: incident.opened_at(),
        resolved_at: incident.resolved_at(),
        affects: named(incident),
        updates: incident
            .updates
            .iter()
            .rev()
            .map(|update| BoardUpdate { at: update.at, stage: update.stage, text: update.text.clone() })
            .collect(),
    };
    open.into_iter().chain(over).map(one).collect()
}

fn maintenance(planned: &PlannedDowntime, names: &[&str]) -> BoardMaintenance {
    let affects = planned.covers.iter().filter_map(|at| names.get(*at)).map(|name| (*name).to_owned());
    BoardMaintenance { from: planned.from, until: planned.until, affects: affects.collect() }
}

/// All of it in a word and in a line.
fn summary(groups: &[BoardGroup], incidents: &[BoardIncident]) -> (Health, String) {
    let items: Vec<Health> = groups.iter().flat_map(|group| &group.items).map(|item| item.state).collect();
    let count = |state: Health| items.iter().filter(|it| **it == state).count();
    let worst = items.iter().copied().max().unwrap_or(Health::Unknown);
    let told = incidents.iter().filter(|it| it.resolved_at.is_none()).map(|it| it.impact).max();
    let are = |count: usize, words: &str| match (count, items.len()) {
        (count, all) if count == all => format!("Everything is {words}"),
        (1, all) => format!("1 of {all} is {words}"),
        (count, all) => format!("{count} of {all} are {words}"),
    };
    match (worst, told) {
        (Health::Down, _) => (Health::Down, are(count(Health::Down), "down")),
        (_, Some(Impact::Outage)) => (Health::Down, "There is an outage".to_owned()),
        (Health::Degraded, _) | (_, Some(Impact::Degraded)) => {
            (Health::Degraded, "Not all of it works as it should".to_owned())
        }
        (Health::Unknown, _) => (Health::Unknown, are(count(Health::Unknown), "unknown")),
        (Health::Maintenance, _) => (Health::Maintenance, are(count(Health::Maintenance), "in maintenance")),
        (Health::Up, _) => (Health::Up, "Everything works".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary_of(states: &[Health], impact: Option<Impact>) -> String {
        let item = |state: &Health| BoardItem {
            id: String::new(),
            name: String::new(),
            description: String::new(),
            state: *state,
            since: None,
            reason: None,
            latency: None,
            certificate_ends_at: None,
            uptime: Vec::new(),
            days: Vec::new(),
        };
        let group = BoardGroup { name: String::new(), state: Health::Up, items: states.iter().map(item).collect() };
        let incident = |impact| BoardIncident {
            id: String::new(),
            title: String::new(),
            impact,
            stage: Stage::Identified,
            opened_at: Timestamp(0),
            resolved_at: None,
            affects: Vec::new(),
            updates: Vec::new(),
        };
        let (state, words) = summary(&[group], &impact.map(incident).into_iter().collect::<Vec<_>>());
        format!("{}: {words}", state.word())
    }

    #[test]
    fn the_worst_is_said_first() {
        use Health::{Degraded, Down, Maintenance, Unknown, Up};
        for (states, impact, words) in [
            (&[Up, Up][..], None, "up: Everything works"),
            (&[Up, Down, Up], None, "down: 1 of 3 is down"),
            (&[Down, Down, Up], Some(Impact::Notice), "down: 2 of 3 are down"),
            (&[Down, Down], None, "down: Everything is down"),
            (&[Up, Maintenance], None, "maintenance: 1 of 2 is in maintenance"),
            (&[Unknown, Maintenance, Unknown], None, "unknown: 2 of 3 are unknown"),
            (&[Up, Degraded], Some(Impact::Degraded), "degraded: Not all of it works as it should"),
            (&[Up], Some(Impact::Degraded), "degraded: Not all of it works as it should"),
            (&[Up], Some(Impact::Outage), "down: There is an outage"),
            (&[Up], Some(Impact::Notice), "up: Everything works"),
        ] {
            assert_eq!(summary_of(states, impact), words);
        }
    }
}
