//! Downtimes: those of the configuration are shown, further ones are made and ended here.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use watchbell_alerts::{DowntimeConfig, DowntimeError, DowntimeView};
use watchbell_model::Timestamp;

use super::alerts::{WORDS_MAX, name_of};
use super::{refusal, view};
use crate::App;
use crate::access::Caller;

/// `GET downtimes`.
pub(crate) async fn list(State(app): State<App>) -> Response {
    let now = app.runtime.clock.now();
    Json(app.alerts.downtimes().into_iter().map(|it| view_of(it, now)).collect::<Vec<_>>()).into_response()
}

fn view_of(seen: DowntimeView, now: Timestamp) -> view::Downtime {
    let ended_at = seen.made.as_ref().and_then(|made| made.ended_at);
    // One by time intervals comes again, though nobody can say when.
    let comes = seen.next_at.is_some() || !seen.downtime.during.is_empty();
    let state = match (ended_at, seen.in_force_until) {
        (Some(_), _) => view::DowntimeState::Over,
        (None, Some(until)) if until > now => view::DowntimeState::Active,
        _ if comes => view::DowntimeState::Pending,
        _ => view::DowntimeState::Over,
    };
    let (id, by, why, made_at) = match seen.made {
        Some(made) => (Some(made.id), made.by, made.why, Some(made.made_at)),
        None => (None, String::new(), String::new(), None),
    };
    let (in_force_until, next_at) = (seen.in_force_until, seen.next_at);
    view::Downtime { id, downtime: seen.downtime, by, why, made_at, ended_at, state, in_force_until, next_at }
}

/// `POST downtimes`.
pub(crate) async fn make(
    State(app): State<App>,
    axum::Extension(caller): axum::Extension<Caller>,
    asked: Result<Json<view::NewDowntime>, JsonRejection>,
) -> Response {
    let asked = match asked {
        Ok(Json(asked)) => asked,
        Err(error) => return refusal(error.status(), error.body_text()),
    };
    if [&asked.by, &asked.why, &asked.downtime.name].iter().any(|it| it.len() > WORDS_MAX) {
        let reason = format!("`name`, `by` and `why` may have {WORDS_MAX} bytes each");
        return refusal(StatusCode::BAD_REQUEST, reason);
    }
    let by = if asked.by.is_empty() { name_of(&caller) } else { asked.by };
    let now = app.runtime.clock.now();
    match app.alerts.make_downtime(from_now(asked.downtime, now), &by, &asked.why).await {
        Ok(id) => {
            tracing::info!(by, id, "a downtime was made");
            let is = |it: &DowntimeView| it.made.as_ref().is_some_and(|made| made.id == id);
            match app.alerts.downtimes().into_iter().find(is) {
                Some(made) => Json(view_of(made, now)).into_response(),
                None => StatusCode::NO_CONTENT.into_response(),
            }
        }
        Err(error) => refuse(&error),
    }
}

/// With a length alone it begins now.
fn from_now(asked: DowntimeConfig, now: Timestamp) -> DowntimeConfig {
    let alone = asked.from.is_none() && asked.until.is_none() && asked.cron.is_none() && asked.during.is_empty();
    match asked.lasts.filter(|lasts| alone && !lasts.is_zero()) {
        Some(lasts) => {
            let time = |at: Timestamp| Some(at.to_string().trim_end_matches('Z').to_owned());
            let (from, until) = (time(now), time(now + lasts.duration()));
            DowntimeConfig { from, until, lasts: None, time_zone: "UTC".to_owned(), ..asked }
        }
        None => asked,
    }
}

/// `DELETE downtimes/{id}`.
pub(crate) async fn end(State(app): State<App>, Path(id): Path<String>) -> Response {
    match app.alerts.end_downtime(&id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &DowntimeError) -> Response {
    let status = match error {
        DowntimeError::Unknown(_) => StatusCode::NOT_FOUND,
        DowntimeError::Invalid(_) | DowntimeError::Ended(_) => StatusCode::BAD_REQUEST,
        DowntimeError::Full => StatusCode::TOO_MANY_REQUESTS,
        DowntimeError::State(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    refusal(status, error)
}
