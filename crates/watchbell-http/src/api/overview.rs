//! The first page in one answer, and the parts of it that have pages of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use watchbell_model::{AlarmState, AlarmStatus, HeartbeatState};
use watchbell_runtime::thread;
use watchbell_sources::heartbeat::Known;

use super::bars::Day;
use super::{alarms, alerts, host, outbox, refusal, view};
use crate::{App, Shared};

/// All that the first page shows. Reads the store: call it where blocking is allowed.
pub(crate) fn overview(app: &Shared) -> view::Overview {
    let statuses = app.alarms.statuses();
    let mut all = alarms::of(app, &statuses);
    // What fires to show that it can is nothing wrong.
    all.retain(|alarm| alarm.severity != "none");
    let mut groups = alerts::groups(app);
    groups.retain(|group| group.alerts.iter().any(|alert| alert.severity != "none"));
    let count = |state| all.iter().filter(|alarm| alarm.state == state).count() as u64;
    let totals = view::Totals {
        ok: count(AlarmState::Ok),
        alarm: count(AlarmState::Alarm),
        insufficient_data: count(AlarmState::InsufficientData),
    };
    view::Overview {
        now: app.runtime.clock.now(),
        site: site(app),
        config: config(app),
        wrong: all.into_iter().filter(|alarm| alarm.state == AlarmState::Alarm).collect(),
        totals,
        monitors: monitors_of(app, &statuses),
        heartbeats: heartbeats_of(app, &statuses),
        groups,
        outbox: outbox::outbox(app),
        host: host::host(app),
    }
}

fn site(app: &Shared) -> view::Site {
    let site = app.config.site();
    view::Site {
        name: super::site_name(app),
        url: site.url.map(|url| url.to_string()).unwrap_or_default(),
        version: app.config.version().to_owned(),
        started_at: app.config.started_at(),
    }
}

fn config(app: &Shared) -> view::ConfigState {
    let load = app.config.last_load();
    view::ConfigState { loaded_at: load.loaded_at, refused_at: load.refused_at, problems: load.problems }
}

fn monitors(app: &Shared) -> Vec<view::Monitor> {
    monitors_of(app, &app.alarms.statuses())
}

fn monitors_of(app: &Shared, statuses: &[AlarmStatus]) -> Vec<view::Monitor> {
    let now = app.runtime.clock.now();
    // Without the store there are no bars, but what is down is still told.
    let day = app.bars.read(&*app.query, now).unwrap_or_else(|error| {
        tracing::warn!(%error, "the bars of monitors cannot be read");
        Day::empty()
    });
    let statuses = by_id(statuses);
    let one = |monitor: watchbell_alarms::MonitorStatus| {
        let status = statuses.get(monitor.alarm.as_str());
        let last = monitor.last.as_ref();
        let target = &monitor.target;
        view::Monitor {
            href: alarms::href(&monitor.alarm),
            target: words_of(&monitor.kind, target),
            state: monitor.state,
            since: monitor.since,
            reason: monitor.reason,
            severity: status.map_or_else(String::new, |status| status.severity.clone()),
            runbook: status.map(|status| alarms::runbook(status.runbook.as_ref(), &status.id)),
            judged_at: last.map(|last| last.at),
            latency: last.filter(|last| last.success).map(|last| last.duration.duration().as_secs_f64()),
            availability: day.availability(&monitor.name),
            bars: day.bars(&monitor.name),
            certificate_expires_in: monitor
                .certificate_ends
                .map(|end| (end.as_millis() - now.as_millis()) as f64 / 1e3),
            places: monitor.places,
            name: monitor.name,
        }
    };
    let mut all: Vec<view::Monitor> = app.alarms.monitors().into_iter().map(one).collect();
    let rank = |state| match state {
        AlarmState::Alarm => 0,
        AlarmState::InsufficientData | AlarmState::Ok => 1,
    };
    all.sort_by(|a, b| rank(a.state).cmp(&rank(b.state)).then_with(|| a.name.cmp(&b.name)));
    all
}

/// What a monitor looks at, as a person would write it: an address where there is one. A program's arguments are not told,
/// since they may be secret.
fn words_of(kind: &str, target: &str) -> String {
    match kind {
        "exec" => format!("{target} …"),
        "group" | "push" => target.to_owned(),
        _ if target.contains("://") => target.to_owned(),
        kind => format!("{kind}://{target}"),
    }
}

fn heartbeats(app: &Shared) -> Vec<view::Heartbeat> {
    heartbeats_of(app, &app.alarms.statuses())
}

fn heartbeats_of(app: &Shared, statuses: &[AlarmStatus]) -> Vec<view::Heartbeat> {
    let statuses = by_id(statuses);
    let base = app.config.site().url;
    let mut known: BTreeMap<String, Known> = app.heartbeats.all().into_iter().map(|it| (it.id.clone(), it)).collect();
    let one = |heartbeat: watchbell_model::HeartbeatStatus| {
        // One that has just gone is judged for a moment longer.
        let known = known.remove(&heartbeat.id)?;
        let path = format!("/ping/{}", known.uuid);
        let id = format!("heartbeat/{}", heartbeat.id);
        let status = statuses.get(id.as_str());
        Some(view::Heartbeat {
            href: alarms::href(&id),
            state: heartbeat.state,
            started: heartbeat.started,
            last_ping: heartbeat.last_ping,
            next_ping: heartbeat.next_ping,
            deadline: heartbeat.deadline,
            period: heartbeat.period.duration().as_secs_f64(),
            schedule: heartbeat.schedule,
            grace: heartbeat.grace.duration().as_secs_f64(),
            last_duration: heartbeat.last_duration.map(|span| span.duration().as_secs_f64()),
            ping_url: Some(base.as_ref().map_or(path.clone(), |base| base.join(&path))),
            uuid: known.uuid,
            configured: known.configured,
            definition: known.definition,
            alerting: known.alerting,
            runbook: status.map(|status| alarms::runbook(status.runbook.as_ref(), &status.id)),
            name: heartbeat.name,
        })
    };
    let mut all: Vec<view::Heartbeat> = app.alarms.heartbeats().into_iter().filter_map(one).collect();
    let rank = |state| match state {
        HeartbeatState::Down => 0,
        HeartbeatState::Late => 1,
        HeartbeatState::Up => 2,
        HeartbeatState::New => 3,
        HeartbeatState::Paused => 4,
    };
    all.sort_by(|a, b| rank(a.state).cmp(&rank(b.state)).then_with(|| a.name.cmp(&b.name)));
    all
}

fn by_id(statuses: &[AlarmStatus]) -> BTreeMap<&str, &AlarmStatus> {
    statuses.iter().map(|status| (status.id.as_str(), status)).collect()
}

/// Answers with what `read` gives, off the threads that serve requests.
async fn answer<T: serde::Serialize + Send + 'static>(app: App, read: fn(&Shared) -> T) -> Response {
    Json(thread::blocking(move || read(&app)).await).into_response()
}

/// `GET overview`.
pub(crate) async fn get(State(app): State<App>) -> Response {
    answer(app, overview).await
}

/// `GET monitors`.
pub(crate) async fn get_monitors(State(app): State<App>) -> Response {
    answer(app, monitors).await
}

/// `GET heartbeats`.
pub(crate) async fn get_heartbeats(State(app): State<App>) -> Response {
    answer(app, heartbeats).await
}

/// `GET config`.
pub(crate) async fn get_config(State(app): State<App>) -> Response {
    answer(app, config).await
}

/// The page `/`, with what it shows first in it.
pub(crate) async fn page(State(app): State<App>) -> Response {
    let shared = Arc::clone(&app);
    let overview = thread::blocking(move || overview(&shared)).await;
    match serde_json::to_string(&overview) {
        Ok(data) => crate::html::app(&overview.site.name, "", Some(&data)),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_as_a_person_would_write_it() {
        for (kind, target, words) in [
            ("imap", "mail.example.org:993", "imap://mail.example.org:993"),
            ("http", "https://example.org/", "https://example.org/"),
            ("exec", "/bin/sh", "/bin/sh …"),
            ("group", "2 monitors", "2 monitors"),
            ("push", "push", "push"),
        ] {
            assert_eq!(words_of(kind, target), words);
        }
    }
}
