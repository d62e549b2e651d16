//! The own API, `/api/watchbell/v1/…`: everything the UI shows and does.

pub(crate) mod alarms;
pub(crate) mod alerts;
pub(crate) mod bars;
pub(crate) mod downtimes;
pub(crate) mod events;
mod host;
pub(crate) mod incidents;
pub(crate) mod outbox;
pub(crate) mod overview;
pub(crate) mod places;
#[cfg(test)]
mod reference;
pub(crate) mod rollup;
pub(crate) mod runbooks;
pub(crate) mod targets;
pub(crate) mod verdicts;
pub(crate) mod view;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};

use crate::access::Caller;
use crate::{App, Shared, html};
pub(crate) use html::encode as safe_path;

/// Answers that the request cannot be answered, in the API's form.
pub(crate) fn refusal(status: StatusCode, reason: impl std::fmt::Display) -> Response {
    (status, Json(view::Refusal { error: reason.to_string() })).into_response()
}

/// A page of the app; the script reads the rest.
pub(crate) async fn app_page(State(app): State<App>, uri: Uri) -> Response {
    let name = uri.path().trim_start_matches('/');
    html::app(&format!("{name} · {}", site_name(&app)), "", None)
}

/// What the site is called.
pub(crate) fn site_name(app: &Shared) -> String {
    let name = app.config.site().name;
    if name.is_empty() { "watchbell".to_owned() } else { name }
}

/// `GET sessions`: who is signed in.
pub(crate) async fn sessions(State(app): State<App>, caller: axum::Extension<Caller>) -> Response {
    match app.auth.sessions() {
        Ok(sessions) => {
            let view = |session: crate::Session| view::Session {
                here: *caller == Caller::Session(session.id.clone()),
                id: session.id,
                began_at: session.began_at,
                seen_at: session.seen_at,
                agent: session.agent,
                address: session.address,
            };
            Json(sessions.into_iter().map(view).collect::<Vec<_>>()).into_response()
        }
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

/// `DELETE sessions/{id}`.
pub(crate) async fn end_session(State(app): State<App>, Path(id): Path<String>) -> Response {
    match app.auth.end_session(&id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}
