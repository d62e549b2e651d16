//! What services tell of themselves, as with Uptime Kuma: `/api/push/<token>?status=up&msg=OK&ping=12`.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use watchbell_sources::probe::Push;

use crate::App;

/// How much of a message is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 250;

/// What may be told; everything else is passed over, as Kuma does.
#[derive(Deserialize)]
pub(crate) struct Report {
    /// `up`, or anything else for down.
    status: Option<String>,
    msg: Option<String>,
    /// Milliseconds.
    ping: Option<String>,
}

/// Any method on `/api/push/<token>`.
pub(crate) async fn report(
    State(app): State<App>,
    Path(token): Path<String>,
    Query(report): Query<Report>,
) -> Response {
    let milliseconds = report.ping.as_deref().and_then(|text| text.trim().parse::<f64>().ok());
    let push = Push {
        up: report.status.is_none_or(|status| status == "up"),
        message: report.msg.unwrap_or_else(|| "OK".to_owned()).chars().take(MESSAGE_CHARS_MAX).collect(),
        took: milliseconds.and_then(|it| Duration::try_from_secs_f64(it / 1000.0).ok()),
        at: app.runtime.clock.monotonic(),
    };
    if app.live.push(&token, push) {
        Json(serde_json::json!({ "ok": true })).into_response()
    } else {
        let words = "Monitor not found or not active.";
        (StatusCode::NOT_FOUND, Json(serde_json::json!({ "ok": false, "msg": words }))).into_response()
    }
}
