//! Alertmanager's API v2: foreign Prometheus servers post alerts, amtool and Grafana read them and set silences.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::json;
use watchbell_alerts::{AlertState, AlertView, Silence, SilenceError, SilenceState};
use watchbell_model::{Labels, Matcher, Raise};
use watchbell_wire::alertmanager::{
    AlertStatus, GettableAlert, GettableAlertGroup, GettableMatcher, GettableSilence, Receiver, SilenceStatus,
    decode_alerts, decode_silence,
};

use crate::App;

/// Errors are plain JSON texts there.
fn refuse(status: StatusCode, reason: impl std::fmt::Display) -> Response {
    (status, Json(reason.to_string())).into_response()
}

/// `POST /api/v2/alerts`. Answers when the alerts are on disk.
pub(crate) async fn post_alerts(State(app): State<App>, body: Bytes) -> Response {
    let mut posted = match decode_alerts(&body, app.runtime.clock.now(), app.config.resolve_timeout()) {
        Ok(posted) => posted,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    let mut reasons: Vec<String> = posted.refused.iter().map(ToString::to_string).collect();
    let mode = app.alerts.matcher_mode();
    posted.alerts.retain(|alert| {
        let mut names = alert.labels.iter().chain(alert.annotations.iter()).map(|(name, _)| name);
        let wrong = names.find_map(|name| mode.refuses_name(name));
        reasons.extend(wrong.clone());
        wrong.is_none()
    });
    if !posted.alerts.is_empty()
        && let Err(error) = app.alerts.raise(posted.alerts, Vec::new()).await
    {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, error);
    }
    if reasons.is_empty() {
        return Json(json!({})).into_response();
    }
    refuse(StatusCode::BAD_REQUEST, reasons.join("; "))
}

/// What a list is narrowed by.
struct Filter {
    matchers: Vec<Matcher>,
    receiver: Option<Matcher>,
    active: bool,
    silenced: bool,
    inhibited: bool,
    muted: bool,
}

impl Filter {
    fn read(app: &App, uri: &Uri) -> Result<Filter, String> {
        let mode = app.alerts.matcher_mode();
        let Query(all) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| error.to_string())?;
        let flag = |name: &str| all.iter().find(|(have, _)| have == name).is_none_or(|(_, value)| value != "false");
        let texts = all.iter().filter(|(name, _)| name == "filter").map(|(_, text)| text);
        let receiver = all.iter().find(|(name, value)| name == "receiver" && !value.is_empty());
        let regex = |text: &str| Matcher::new("receiver", watchbell_model::MatchOp::Regex, text);
        Ok(Filter {
            matchers: texts.map(|text| mode.parse_one(text).map_err(|e| e.to_string())).collect::<Result<_, _>>()?,
            receiver: receiver.map(|(_, text)| regex(text).map_err(|error| error.to_string())).transpose()?,
            active: flag("active"),
            silenced: flag("silenced"),
            inhibited: flag("inhibited"),
            muted: flag("muted"),
        })
    }

    fn passes(&self, alert: &AlertView) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(&alert.alert.labels))
            && (self.active || alert.state != AlertState::Active)
            && (self.silenced || alert.silenced_by.is_empty())
            && (self.inhibited || alert.inhibited_by.is_empty())
            && (self.muted || alert.muted_by.is_empty())
    }

    fn takes(&self, receiver: &str) -> bool {
        self.receiver.as_ref().is_none_or(|wanted| wanted.matches(receiver))
    }
}

/// `GET /api/v2/alerts`.
pub(crate) async fn alerts(State(app): State<App>, uri: Uri) -> Response {
    let filter = match Filter::read(&app, &uri) {
        Ok(filter) => filter,
        Err(reason) => return refuse(StatusCode::BAD_REQUEST, reason),
    };
    let fits = |alert: &AlertView| filter.passes(alert) && alert.receivers.iter().any(|name| filter.takes(name));
    let all: Vec<GettableAlert> =
        app.alerts.alerts().into_iter().filter(fits).map(|seen| gettable(&app, seen)).collect();
    Json(all).into_response()
}

fn gettable(app: &App, seen: AlertView) -> GettableAlert {
    // One that lasts until told is said to last a while, as an alert that is refreshed is.
    let ends_at = seen.alert.ends_at.unwrap_or(seen.updated_at + app.config.resolve_timeout().duration());
    GettableAlert {
        annotations: seen.alert.annotations,
        ends_at,
        fingerprint: seen.fingerprint,
        receivers: seen.receivers.into_iter().map(|name| Receiver { name }).collect(),
        starts_at: seen.alert.starts_at,
        status: AlertStatus {
            state: match seen.state {
                AlertState::Active => "active",
                AlertState::Suppressed => "suppressed",
            },
            silenced_by: seen.silenced_by,
            inhibited_by: seen.inhibited_by,
            muted_by: seen.muted_by,
        },
        updated_at: seen.updated_at,
        generator_url: seen.alert.generator_url,
        labels: seen.alert.labels,
    }
}

/// `GET /api/v2/alerts/groups`.
pub(crate) async fn groups(State(app): State<App>, uri: Uri) -> Response {
    let filter = match Filter::read(&app, &uri) {
        Ok(filter) => filter,
        Err(reason) => return refuse(StatusCode::BAD_REQUEST, reason),
    };
    let now = app.runtime.clock.now();
    let one = |group: watchbell_alerts::GroupView| GettableAlertGroup {
        route_labels: match group.route_labels.is_empty() {
            true => Labels::empty(),
            false => app.notify.route_labels(&group.told_now(now)),
        },
        labels: group.labels,
        alerts: group
            .alerts
            .into_iter()
            .filter(|alert| filter.passes(alert))
            .map(|seen| gettable(&app, seen))
            .collect(),
        receiver: Receiver { name: group.receiver },
    };
    let all = app.alerts.groups().into_iter().filter(|group| filter.takes(&group.receiver)).map(one);
    Json(all.filter(|group| !group.alerts.is_empty()).collect::<Vec<_>>()).into_response()
}

/// `GET /api/v2/silences`.
pub(crate) async fn silences(State(app): State<App>, uri: Uri) -> Response {
    let filter = match Filter::read(&app, &uri) {
        Ok(filter) => filter,
        Err(reason) => return refuse(StatusCode::BAD_REQUEST, reason),
    };
    // A silence passes a filter by the label its own matcher of that name asks for.
    let fits = |silence: &Silence| {
        let value =
            |name: &str| silence.matchers.iter().flatten().find(|it| it.name == name).map(|it| it.value.as_str());
        filter.matchers.iter().all(|matcher| matcher.matches(value(&matcher.name).unwrap_or("")))
    };
    let mut all: Vec<Silence> = app.alerts.silences().into_iter().filter(fits).collect();
    all.sort_by(|a, b| (a.ends_at, &a.id).cmp(&(b.ends_at, &b.id)));
    Json(all.iter().map(|silence| silence_json(&app, silence)).collect::<Vec<_>>()).into_response()
}

fn silence_json(app: &App, silence: &Silence) -> GettableSilence {
    GettableSilence {
        id: silence.id.clone(),
        status: SilenceStatus {
            state: match silence.state(app.runtime.clock.now()) {
                SilenceState::Pending => "pending",
                SilenceState::Active => "active",
                SilenceState::Expired => "expired",
            },
        },
        updated_at: silence.updated_at,
        comment: silence.comment.clone(),
        created_by: silence.created_by.clone(),
        ends_at: silence.ends_at,
        matchers: silence.matchers.iter().flatten().map(GettableMatcher::from).collect(),
        starts_at: silence.starts_at,
        annotations: silence.annotations.clone(),
    }
}

/// `POST /api/v2/silences`.
pub(crate) async fn post_silence(State(app): State<App>, body: Bytes) -> Response {
    let now = app.runtime.clock.now();
    let posted = match decode_silence(&body, now) {
        Ok(posted) => posted,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    let silence = Silence {
        id: posted.id,
        matchers: vec![posted.matchers],
        starts_at: posted.starts_at,
        ends_at: posted.ends_at,
        created_by: posted.created_by,
        comment: posted.comment,
        annotations: posted.annotations,
        updated_at: now,
    };
    match app.alerts.set_silence(silence).await {
        Ok(id) => Json(json!({ "silenceID": id })).into_response(),
        Err(error) => silence_error(error),
    }
}

/// `GET /api/v2/silence/{id}`.
pub(crate) async fn silence(State(app): State<App>, Path(id): Path<String>) -> Response {
    match app.alerts.silences().iter().find(|silence| silence.id == id) {
        Some(silence) => Json(silence_json(&app, silence)).into_response(),
        None => refuse(StatusCode::NOT_FOUND, format!("there is no silence `{id}`")),
    }
}

/// `DELETE /api/v2/silence/{id}`.
pub(crate) async fn expire_silence(State(app): State<App>, Path(id): Path<String>) -> Response {
    match app.alerts.expire_silence(&id).await {
        Ok(()) => Json(json!({})).into_response(),
        Err(error) => silence_error(error),
    }
}

fn silence_error(error: SilenceError) -> Response {
    let status = match error {
        SilenceError::Unknown(_) => StatusCode::NOT_FOUND,
        SilenceError::Invalid(_) | SilenceError::Ended(_) => StatusCode::BAD_REQUEST,
        SilenceError::Full => StatusCode::TOO_MANY_REQUESTS,
        SilenceError::State(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    refuse(status, error)
}

/// Receivers that have a channel, by name.
pub(crate) fn configured(app: &App) -> BTreeSet<String> {
    let channels = app.notify.channels().into_iter().filter(|channel| channel.configured);
    channels.map(|channel| channel.receiver).collect()
}

/// `GET /api/v2/receivers`.
pub(crate) async fn receivers(State(app): State<App>) -> Response {
    Json(configured(&app).into_iter().map(|name| Receiver { name }).collect::<Vec<_>>()).into_response()
}

/// The routing part of the configuration, as amtool reads it to show and test routes. Receivers have no channels there:
/// those may hold what must not be seen.
fn routing(shown: &str, channels: impl IntoIterator<Item = String>) -> String {
    const PARTS: [&str; 4] = ["route", "inhibit_rules", "time_intervals", "mute_time_intervals"];
    let mut names: BTreeSet<String> = channels.into_iter().collect();
    let (mut text, mut inside) = (String::new(), false);
    for line in shown.lines() {
        if !line.starts_with([' ', '-']) {
            inside = PARTS.iter().any(|part| line.split(':').next() == Some(part));
        }
        if inside {
            let name = line.trim_start_matches([' ', '-']).strip_prefix("receiver:").map(str::trim);
            names.extend(name.map(|name| name.trim_matches(['"', '\'']).to_owned()));
            text.push_str(line);
            text.push('\n');
        }
    }
    if !text.lines().any(|line| line.starts_with("route:")) {
        let first = names.first().cloned().unwrap_or_else(|| "nobody".to_owned());
        names.insert(first.clone());
        text = format!("route:\n  receiver: {}\n{text}", json!(first));
    }
    let receivers = names.iter().map(|name| format!("- name: {}\n", json!(name)));
    format!("{text}receivers:\n{}", receivers.collect::<String>())
}

/// `GET /api/v2/status`.
pub(crate) async fn status(State(app): State<App>) -> Response {
    let version = app.config.version();
    let original = routing(&app.config.shown(), configured(&app));
    Json(json!({
        "cluster": { "name": "watchbell", "status": "disabled", "peers": [] },
        "versionInfo": {
            "version": version, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
        },
        "config": { "original": original },
        "uptime": app.config.started_at(),
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    #[test]
    fn amtool_gets_routes_and_no_secrets() {
        let shown = "global:\n  slack_api_url: <secret>\nroute:\n  receiver: ops\n  routes:\n    - matchers:\n        - a=b\n      \
                     receiver: \"on duty\"\nreceivers:\n  - name: ops\n    webhook_configs:\n      - url: <secret>\n\
                     inhibit_rules: []\n";
        expect![[r#"
            route:
              receiver: ops
              routes:
                - matchers:
                    - a=b
                  receiver: "on duty"
            inhibit_rules: []
            receivers:
            - name: "on duty"
            - name: "ops"
        "#]]
        .assert_eq(&super::routing(shown, ["ops".to_owned()]));
        expect![[r#"
            route:
              receiver: "nobody"
            receivers:
            - name: "nobody"
        "#]]
        .assert_eq(&super::routing("host:\n  enabled: false\n", []));
    }
}
