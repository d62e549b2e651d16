//! Alerts that people were told of, and what they say of them.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use watchbell_alerts::{Episode, Verdict};
use watchbell_model::Timestamp;

use super::alerts::{WORDS_MAX, name_of};
use super::{refusal, view};
use crate::App;
use crate::access::Caller;

/// How many are answered if nothing else is asked for.
const LIMIT: usize = 200;

/// Which are asked for.
#[derive(Deserialize)]
pub(crate) struct Asked {
    /// The identity of an alarm, or a name of alerts.
    alarm: Option<String>,
    limit: Option<usize>,
}

/// Which episode of an alert is meant.
#[derive(Deserialize)]
pub(crate) struct Which {
    starts_at: Option<Timestamp>,
}

/// `GET episodes`.
pub(crate) async fn list(State(app): State<App>, Query(asked): Query<Asked>) -> Response {
    let wanted = |episode: &Episode| asked.alarm.as_ref().is_none_or(|alarm| episode.is_of(alarm));
    let found = app.alerts.episodes(wanted).into_iter().take(asked.limit.unwrap_or(LIMIT));
    Json(found.map(view_of).collect::<Vec<_>>()).into_response()
}

fn view_of(episode: Episode) -> view::Episode {
    let label = |name: &str| episode.labels.get(name).unwrap_or("").to_owned();
    view::Episode {
        fingerprint: format!("{:016x}", episode.key().1),
        name: label("alertname"),
        alarm: label("source"),
        severity: label("severity"),
        starts_at: episode.starts_at,
        told_at: episode.told_at,
        ends_at: episode.ends_at,
        summary: episode.summary,
        labels: episode.labels,
        acknowledged: episode.acknowledged,
        verdict: episode.verdict,
    }
}

/// `POST alerts/{fingerprint}/verdict`.
pub(crate) async fn judge(
    State(app): State<App>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(fingerprint): Path<String>,
    asked: Result<Json<view::NewVerdict>, JsonRejection>,
) -> Response {
    let asked = match asked {
        Ok(Json(asked)) => asked,
        Err(error) => return refusal(error.status(), error.body_text()),
    };
    if asked.by.len() > WORDS_MAX || asked.note.len() > WORDS_MAX {
        return refusal(StatusCode::BAD_REQUEST, format!("`by` and `note` may have {WORDS_MAX} bytes each"));
    }
    let by = if asked.by.is_empty() { name_of(&caller) } else { asked.by };
    let at = app.runtime.clock.now();
    let verdict = Verdict { verdict: asked.verdict, by, at, note: asked.note };
    set(&app, &fingerprint, asked.starts_at, Some(verdict)).await
}

/// `DELETE alerts/{fingerprint}/verdict`.
pub(crate) async fn withdraw(
    State(app): State<App>,
    Path(fingerprint): Path<String>,
    Query(which): Query<Which>,
) -> Response {
    set(&app, &fingerprint, which.starts_at, None).await
}

async fn set(app: &App, fingerprint: &str, starts_at: Option<Timestamp>, verdict: Option<Verdict>) -> Response {
    let number = u64::from_str_radix(fingerprint, 16).ok();
    let is = |it: &Episode| Some(it.key().1) == number && starts_at.is_none_or(|at| it.starts_at == at);
    let Some(episode) = app.alerts.episodes(is).into_iter().next() else {
        return refusal(StatusCode::NOT_FOUND, format!("nobody was told of an alert `{fingerprint}` that began then"));
    };
    match app.alerts.judge(vec![episode.key()], verdict).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}
