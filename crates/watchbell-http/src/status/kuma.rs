//! A status page as Uptime Kuma's clients read it: dashboards, phones and walls that know its addresses.
//!
//! Kuma numbers what it shows; here numbers count from the top of the page. How something is probed is not told: all of
//! it is of the type `push`.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};
use watchbell_alerts::Impact;
use watchbell_model::{Query, Timestamp};

use super::board::{Board, BoardIncident, BoardItem, BoardMaintenance, Health, alarms, zoned};
use super::config::{StatusPageConfig, Theme};
use super::history::{self, Minute};

/// How many beats each has, a minute apart; Kuma shows as many.
const BEATS: i64 = 100;
/// After how many seconds a client looks again, unless it knows better.
const REFRESH_S: u32 = 60;
const DAY_MS: i64 = 86_400_000;

/// How something was; a number in Kuma's JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Down = 0,
    Up = 1,
    Pending = 2,
    Maintenance = 3,
}

impl From<Health> for Status {
    fn from(health: Health) -> Status {
        match health {
            Health::Up | Health::Degraded => Status::Up,
            Health::Maintenance => Status::Maintenance,
            Health::Unknown => Status::Pending,
            Health::Down => Status::Down,
        }
    }
}

impl From<Minute> for Status {
    fn from(minute: Minute) -> Status {
        match minute {
            Minute::Up => Status::Up,
            Minute::Down => Status::Down,
            Minute::Maintenance => Status::Maintenance,
        }
    }
}

/// How something was at a time. Kuma leaves the message empty for the public, too.
#[derive(Debug, Serialize)]
struct Beat {
    status: u8,
    time: String,
    msg: &'static str,
    /// Milliseconds; of the last one only, where the page shows how long probes take.
    ping: Option<f64>,
}

impl Beat {
    fn new(status: Status, at: Timestamp, ping: Option<f64>) -> Beat {
        Beat { status: status as u8, time: time(at), msg: "", ping }
    }
}

/// A moment as Kuma writes it, which is UTC.
fn time(at: Timestamp) -> String {
    zoned(at, &TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// What the page shows, with its number.
fn numbered(board: &Board) -> impl Iterator<Item = (usize, &BoardItem)> {
    board.groups.iter().flat_map(|group| &group.items).enumerate().map(|(at, item)| (at + 1, item))
}

/// `GET /api/status-page/{name}`: what the page is and shows. Kuma 1 has one incident, Kuma 2 all of them.
pub(super) fn page(board: &Board, page: &StatusPageConfig) -> String {
    let mut items = numbered(board);
    let groups = board.groups.iter().enumerate().map(|(at, group)| {
        let monitors: Vec<Value> =
            items.by_ref().take(group.items.len()).map(|(id, item)| monitor(id, item, board, page)).collect();
        json!({ "id": at + 1, "name": group.name, "weight": at + 1, "monitorList": monitors })
    });
    let groups: Vec<Value> = groups.collect();
    let incidents: Vec<Value> = board.incidents.iter().filter(|it| it.resolved_at.is_none()).map(incident).collect();
    let under_way = board.maintenance.iter().filter(|it| it.from.is_none());
    let maintenance: Vec<Value> = under_way.enumerate().map(|(at, it)| maintenance(at + 1, it)).collect();
    json!({
        "config": {
            "slug": board.name,
            "title": board.title,
            "description": board.description,
            "icon": "/assets/icon.svg",
            "autoRefreshInterval": REFRESH_S,
            "theme": match page.theme {
                Theme::Auto => "auto",
                Theme::Light => "light",
                Theme::Dark => "dark",
            },
            "published": true,
            "showTags": false,
            "customCSS": "",
            "footerText": page.footer,
            "showPoweredBy": false,
            "analyticsId": null,
            "analyticsScriptUrl": null,
            "analyticsType": null,
            "showCertificateExpiry": page.show_certificates,
            "showOnlyLastHeartbeat": false,
            "rssTitle": null,
        },
        "incident": incidents.first(),
        "incidents": incidents,
        "publicGroupList": groups,
        "maintenanceList": maintenance,
    })
    .to_string()
}

fn monitor(id: usize, item: &BoardItem, board: &Board, page: &StatusPageConfig) -> Value {
    let mut monitor = json!({ "id": id, "name": item.name, "sendUrl": 0, "type": "push" });
    if page.show_certificates {
        let left = item.certificate_ends_at.map(|end| (end.as_millis() - board.now.as_millis()).div_euclid(DAY_MS));
        monitor["certExpiryDaysRemaining"] = left.map_or_else(|| json!(""), |days| json!(days));
        monitor["validCert"] = json!(left.is_some_and(|days| days >= 0));
    }
    monitor
}

fn incident(incident: &BoardIncident) -> Value {
    let latest = incident.updates.first();
    json!({
        // A number, and the same for ever.
        "id": incident.opened_at.as_millis(),
        "style": match incident.impact {
            Impact::Notice => "info",
            Impact::Degraded => "warning",
            Impact::Outage => "danger",
        },
        "title": incident.title,
        "content": latest.map_or("", |update| &update.text),
        "pin": true,
        "active": true,
        "createdDate": time(incident.opened_at),
        "lastUpdatedDate": latest.map(|update| time(update.at)),
        "status_page_id": 1,
    })
}

/// Maintenance that is under way, in the form of one that was begun by hand.
fn maintenance(id: usize, it: &BoardMaintenance) -> Value {
    json!({
        "id": id,
        "title": "Maintenance",
        "description": it.affects.join(", "),
        "strategy": "manual",
        "intervalDay": 1,
        "active": true,
        "dateRange": [null, it.until.map(time)],
        "timeRange": [{ "hours": 0, "minutes": 0 }, { "hours": 0, "minutes": 0 }],
        "weekdays": [],
        "daysOfMonth": [],
        "timeslotList": [],
        "cron": null,
        "duration": null,
        "durationMinutes": null,
        "timezone": "UTC",
        "timezoneOption": "UTC",
        "timezoneOffset": "+00:00",
        "status": "under-maintenance",
    })
}

/// `GET /api/status-page/heartbeat/{name}`: how each was, minute by minute, the last of them now; and the share of the last
/// day in which it worked, which is 0 in Kuma, too, where nothing is known.
pub(super) fn heartbeats(board: &Board, page: &StatusPageConfig, query: &dyn Query) -> String {
    let alarms = alarms(page);
    let recent = history::recent(query, &alarms, BEATS, board.now).unwrap_or_else(|error| {
        tracing::warn!(page = page.name, %error, "the last minutes of a status page cannot be read");
        BTreeMap::new()
    });
    let (mut beats, mut shares) = (serde_json::Map::new(), serde_json::Map::new());
    for ((id, item), alarm) in numbered(board).zip(&alarms) {
        let before = recent.get(alarm).into_iter().flatten().filter(|(at, _)| **at < board.now);
        let last = Beat::new(item.state.into(), board.now, item.latency.map(|seconds| (seconds * 1000.0).round()));
        let list: Vec<Beat> = before.map(|(at, minute)| Beat::new((*minute).into(), *at, None)).chain([last]).collect();
        beats.insert(id.to_string(), json!(list));
        let day = item.uptime.iter().find(|it| it.window == "24h").and_then(|it| it.up);
        shares.insert(format!("{id}_24"), json!(day.unwrap_or_default()));
    }
    json!({ "heartbeatList": beats, "uptimeList": shares }).to_string()
}

/// `GET /api/status-page/{name}/manifest.json`.
pub(super) fn manifest(name: &str, title: &str) -> String {
    json!({
        "name": title,
        "start_url": format!("/status/{name}"),
        "display": "standalone",
        "icons": [{ "src": "/assets/icon.svg", "sizes": "any", "type": "image/svg+xml" }],
    })
    .to_string()
}
