//! Alarms as they stand.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use watchbell_model::{AlarmKind, AlarmState, AlarmStatus, Labels, RunbookRef};

use super::view;
use super::{refusal, safe_path};
use crate::{App, Shared};

/// How many changes of state an alarm's page shows.
const HISTORY_MAX: usize = 100;

/// What is held back, by the alarm that raised it.
pub(crate) struct Muted(BTreeMap<String, bool>);

impl Muted {
    pub(crate) fn look(app: &Shared) -> Muted {
        let mut by_source = BTreeMap::new();
        for alert in app.alerts.alerts() {
            if let Some(source) = alert.alert.labels.get("source") {
                let muted = alert.state == watchbell_alerts::AlertState::Suppressed;
                *by_source.entry(source.to_owned()).or_insert(true) &= muted;
            }
        }
        Muted(by_source)
    }

    fn holds(&self, id: &str) -> bool {
        self.0.get(id).copied().unwrap_or(false)
    }
}

/// Every alarm, the worst first.
pub(crate) fn all(app: &Shared) -> Vec<view::Alarm> {
    of(app, &app.alarms.statuses())
}

/// These alarms, the worst first.
pub(crate) fn of(app: &Shared, statuses: &[AlarmStatus]) -> Vec<view::Alarm> {
    let muted = Muted::look(app);
    let mut alarms: Vec<view::Alarm> = statuses.iter().map(|status| summary(status, &muted)).collect();
    alarms.sort_by_cached_key(rank);
    alarms
}

fn rank(alarm: &view::Alarm) -> impl Ord + use<> {
    let state = match alarm.state {
        AlarmState::Alarm => 0,
        AlarmState::InsufficientData => 1,
        AlarmState::Ok => 2,
    };
    let severity = match alarm.severity.as_str() {
        "critical" => 3,
        "warning" => 2,
        "info" => 0,
        _ => 1,
    };
    // Among what is wrong the longest first; all else by name.
    let since = if state == 0 { alarm.since.as_millis() } else { 0 };
    (state, alarm.muted, Reverse(severity), since, alarm.kind, alarm.id.clone())
}

pub(crate) fn summary(status: &AlarmStatus, muted: &Muted) -> view::Alarm {
    let count = |pending| status.contributors.iter().filter(|one| one.pending == pending).count() as u64;
    view::Alarm {
        id: status.id.clone(),
        href: href(&status.id),
        kind: status.kind,
        name: status.name.clone(),
        state: status.state,
        since: status.since,
        reason: status.reason.clone(),
        severity: status.severity.clone(),
        runbook: Some(runbook(status.runbook.as_ref(), &status.id)),
        muted: muted.holds(&status.id),
        firing: count(false),
        pending: count(true),
        error: status.error.clone(),
    }
}

/// An alarm's page.
pub(crate) fn href(id: &str) -> String {
    format!("/alarms/{}", safe_path(id))
}

/// Where the run book of an alarm is read; one without gets a generated page.
pub(crate) fn runbook(reference: Option<&RunbookRef>, alarm: &str) -> view::RunbookLink {
    match reference {
        Some(RunbookRef::Named(name)) => {
            view::RunbookLink { name: name.clone(), href: format!("/runbooks/{}", safe_path(name)) }
        }
        Some(RunbookRef::External(url)) => view::RunbookLink { name: url.host().to_owned(), href: url.to_string() },
        None => {
            view::RunbookLink { name: "generated".into(), href: format!("/runbooks/stub?alarm={}", safe_path(alarm)) }
        }
    }
}

/// An alarm's page.
pub(crate) fn page(app: &Shared, id: &str) -> Option<view::AlarmPage> {
    let status = app.alarms.status(id)?;
    let contributor = |one: &watchbell_model::Contributor| view::Contributor {
        labels: one.labels.clone(),
        pending: one.pending,
        since: one.since,
        value: one.value.filter(|value| value.is_finite()),
    };
    Some(view::AlarmPage {
        alarm: summary(&status, &Muted::look(app)),
        condition: status.condition.clone(),
        graphs: graphs(&status),
        labels: status.labels.clone(),
        contributors: status.contributors.iter().map(contributor).collect(),
        places: match status.kind {
            AlarmKind::Monitor => app.alarms.monitor(&status.name).map(|it| it.places).unwrap_or_default(),
            _ => Vec::new(),
        },
        judged_at: status.judged_at,
        history: app.alarms.history(Some(id), HISTORY_MAX),
    })
}

fn graphs(status: &AlarmStatus) -> Vec<view::Graph> {
    let Some(query) = status.graph.clone() else { return Vec::new() };
    let graph = |title: &str, query: String, unit: &str, threshold| view::Graph {
        title: title.to_owned(),
        query,
        unit: unit.to_owned(),
        threshold,
    };
    match status.kind {
        AlarmKind::Monitor => {
            let up = Labels::metric("probe_success", &[("monitor", &status.name)]).to_string();
            // The time-out is drawn only in words: a line far above the curve would flatten it.
            vec![graph("How long a probe takes", query, "seconds", None), graph("Up or down", up, "state", None)]
        }
        AlarmKind::Certificate => vec![graph("Days until the certificate ends", query, "", status.threshold)],
        AlarmKind::Heartbeat | AlarmKind::Rule | AlarmKind::Composite | AlarmKind::Own => {
            vec![graph("What is judged", query, "", status.threshold)]
        }
    }
}

/// `GET alarms`.
pub(crate) async fn list(State(app): State<App>) -> Response {
    Json(all(&app)).into_response()
}

/// `GET alarms/{id}`.
pub(crate) async fn one(State(app): State<App>, Path(id): Path<String>) -> Response {
    match page(&app, &id) {
        Some(page) => Json(page).into_response(),
        None => refusal(StatusCode::NOT_FOUND, format!("there is no alarm `{id}`")),
    }
}

/// `GET alarms/{id}/history`.
pub(crate) async fn history(State(app): State<App>, Path(id): Path<String>) -> Response {
    Json(app.alarms.history(Some(&id), watchbell_alarms::HISTORY_MAX)).into_response()
}
