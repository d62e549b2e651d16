//! Alerts that fire, and silences.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use watchbell_alerts::{Acknowledgement, AlertState, AlertView, Silence, SilenceError, SilenceState};
use watchbell_model::{Labels, MatchOp, Matcher, RunbookRef, Timestamp};

use super::{alarms, refusal, view};
use crate::access::Caller;
use crate::html::safe_href;
use crate::{App, Shared};

/// The longest silence that can be made here.
const SILENCE_MAX: Duration = Duration::from_secs(366 * 86_400);

/// The longest name or comment of an acknowledgement, in bytes.
pub(super) const WORDS_MAX: usize = 2000;

/// Alerts that fire, as they are grouped.
pub(crate) fn groups(app: &Shared) -> Vec<view::AlertGroup> {
    let one = |group: watchbell_alerts::GroupView| {
        let mut alerts: Vec<view::Alert> = group.alerts.iter().map(|alert| view_of(app, alert)).collect();
        alerts.sort_by(|a, b| (a.starts_at, &a.fingerprint).cmp(&(b.starts_at, &b.fingerprint)));
        view::AlertGroup { receiver: group.receiver, labels: group.labels, alerts }
    };
    app.alerts.groups().into_iter().map(one).collect()
}

fn view_of(app: &Shared, seen: &AlertView) -> view::Alert {
    let alert = &seen.alert;
    let annotation = |name: &str| alert.annotations.get(name).unwrap_or("").to_owned();
    view::Alert {
        fingerprint: seen.fingerprint.clone(),
        name: alert.name().to_owned(),
        severity: alert.labels.get("severity").unwrap_or("").to_owned(),
        summary: annotation("summary"),
        description: annotation("description"),
        labels: alert.labels.clone(),
        starts_at: alert.starts_at,
        state: match seen.state {
            AlertState::Active => view::AlertState::Active,
            AlertState::Suppressed => view::AlertState::Suppressed,
        },
        silenced_by: seen.silenced_by.clone(),
        inhibited_by: seen.inhibited_by.clone(),
        muted_by: seen.muted_by.clone(),
        acknowledged: seen.acknowledged.clone(),
        verdict: seen.verdict.clone(),
        runbook: Some(runbook(app, alert)),
        source_href: own_path(app, &alert.generator_url).filter(|href| safe_href(href).is_some()),
    }
}

/// The run book that a page about this alert links to.
fn runbook(app: &Shared, alert: &watchbell_model::Alert) -> view::RunbookLink {
    let named = alert.annotations.get("runbook_url").or_else(|| alert.annotations.get("runbook"));
    if let Some(href) = named.and_then(|text| own_path(app, text.trim())).filter(|href| href.starts_with("/runbooks/"))
    {
        let name = href.trim_start_matches("/runbooks/").split('?').next().unwrap_or_default().to_owned();
        return view::RunbookLink { name, href };
    }
    let reference = named.and_then(|text| text.trim().parse::<RunbookRef>().ok());
    let of_source = || alert.labels.get("source").and_then(|source| app.notify.runbooks().for_source(source));
    match reference.or_else(of_source) {
        Some(reference) => alarms::runbook(Some(&reference), ""),
        None => view::RunbookLink {
            name: "generated".into(),
            href: format!("/runbooks/stub?fingerprint={:016x}", alert.fingerprint()),
        },
    }
}

/// An address of ours as a path, so that it opens wherever the UI is open; any other as it is.
fn own_path(app: &Shared, address: &str) -> Option<String> {
    if address.is_empty() {
        return None;
    }
    let base = app.config.site().url.map(|url| url.as_str().trim_end_matches('/').to_owned());
    let path =
        base.and_then(|base| address.strip_prefix(&base).map(str::to_owned)).filter(|path| path.starts_with('/'));
    Some(path.unwrap_or_else(|| address.to_owned()))
}

/// `GET alerts`.
pub(crate) async fn list(State(app): State<App>) -> Response {
    Json(groups(&app)).into_response()
}

/// `POST alerts/{fingerprint}/acknowledgement`.
pub(crate) async fn acknowledge(
    State(app): State<App>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(fingerprint): Path<String>,
    asked: Option<Json<view::NewAcknowledgement>>,
) -> Response {
    let asked = asked.map(|Json(asked)| asked).unwrap_or_default();
    if asked.by.len() > WORDS_MAX || asked.comment.len() > WORDS_MAX {
        return refusal(StatusCode::BAD_REQUEST, format!("`by` and `comment` may have {WORDS_MAX} bytes each"));
    }
    let by = if asked.by.is_empty() { name_of(&caller) } else { asked.by };
    let by = Acknowledgement { by, at: app.runtime.clock.now(), comment: asked.comment };
    set_acknowledgement(&app, &fingerprint, Some(by)).await
}

/// `DELETE alerts/{fingerprint}/acknowledgement`.
pub(crate) async fn withdraw(State(app): State<App>, Path(fingerprint): Path<String>) -> Response {
    set_acknowledgement(&app, &fingerprint, None).await
}

async fn set_acknowledgement(app: &App, fingerprint: &str, by: Option<Acknowledgement>) -> Response {
    let firing = |it: &AlertView| it.fingerprint == fingerprint;
    let number = u64::from_str_radix(fingerprint, 16).ok().filter(|_| app.alerts.alerts().iter().any(firing));
    let Some(number) = number else {
        return refusal(StatusCode::NOT_FOUND, format!("no alert `{fingerprint}` fires"));
    };
    match app.alerts.acknowledge(vec![number], by).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

pub(super) fn name_of(caller: &Caller) -> String {
    match caller {
        Caller::Token(name) => format!("API token {name}"),
        _ => "the UI".to_owned(),
    }
}

/// `GET silences`.
pub(crate) async fn silences(State(app): State<App>) -> Response {
    let now = app.runtime.clock.now();
    let mut all: Vec<view::Silence> = app.alerts.silences().iter().map(|silence| silence_view(silence, now)).collect();
    all.sort_by(|a, b| (a.ends_at, &a.id).cmp(&(b.ends_at, &b.id)));
    Json(all).into_response()
}

fn silence_view(silence: &Silence, now: Timestamp) -> view::Silence {
    let matcher = |it: &Matcher| view::SilenceMatcher {
        name: it.name.clone(),
        op: it.op.as_str().to_owned(),
        value: it.value.clone(),
    };
    view::Silence {
        id: silence.id.clone(),
        matchers: silence.matchers.iter().flatten().map(matcher).collect(),
        starts_at: silence.starts_at,
        ends_at: silence.ends_at,
        created_by: silence.created_by.clone(),
        comment: silence.comment.clone(),
        state: match silence.state(now) {
            SilenceState::Pending => view::SilenceState::Pending,
            SilenceState::Active => view::SilenceState::Active,
            SilenceState::Expired => view::SilenceState::Expired,
        },
    }
}

/// `POST silences`.
pub(crate) async fn silence(
    State(app): State<App>,
    axum::Extension(caller): axum::Extension<Caller>,
    asked: Result<Json<view::NewSilence>, JsonRejection>,
) -> Response {
    let asked = match asked {
        Ok(Json(asked)) => asked,
        Err(error) => return refusal(error.status(), error.body_text()),
    };
    let now = app.runtime.clock.now();
    let silence = match wanted(asked, &caller, now) {
        Ok(silence) => silence,
        Err(reason) => return refusal(StatusCode::BAD_REQUEST, reason),
    };
    match app.alerts.set_silence(silence.clone()).await {
        Ok(id) => {
            let kept = app.alerts.silences().into_iter().find(|kept| kept.id == id);
            Json(silence_view(&kept.unwrap_or(Silence { id, ..silence }), now)).into_response()
        }
        Err(error) => refuse(error),
    }
}

fn wanted(asked: view::NewSilence, caller: &Caller, now: Timestamp) -> Result<Silence, String> {
    let matcher = |it: view::SilenceMatcher| {
        let all = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        let op = all.into_iter().find(|op| op.as_str() == it.op);
        let op = op.ok_or_else(|| format!("`{}` is none of =, !=, =~ and !~", it.op))?;
        Matcher::new(it.name, op, it.value).map_err(|error| error.to_string())
    };
    let matchers: Vec<Matcher> = asked.matchers.into_iter().map(matcher).collect::<Result<_, _>>()?;
    let length = Duration::try_from_secs_f64(asked.duration).ok().filter(|length| *length <= SILENCE_MAX);
    let length = length.ok_or("the duration must be a number of seconds, at most a year")?;
    Ok(Silence {
        id: String::new(),
        matchers: vec![matchers],
        starts_at: now,
        ends_at: now + length,
        created_by: name_of(caller),
        comment: asked.comment,
        annotations: Labels::empty(),
        updated_at: now,
    })
}

/// `DELETE silences/{id}`.
pub(crate) async fn end_silence(State(app): State<App>, Path(id): Path<String>) -> Response {
    match app.alerts.expire_silence(&id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refuse(error),
    }
}

fn refuse(error: SilenceError) -> Response {
    let status = match error {
        SilenceError::Unknown(_) => StatusCode::NOT_FOUND,
        SilenceError::Invalid(_) | SilenceError::Ended(_) => StatusCode::BAD_REQUEST,
        SilenceError::Full => StatusCode::TOO_MANY_REQUESTS,
        SilenceError::State(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    refusal(status, error)
}
