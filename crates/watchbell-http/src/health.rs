//! Whether watchbell lives, is ready and is well; its own numbers; reading the configuration again.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;

use crate::App;

/// `GET /livez`: it answers, so it lives. Never looks at anything else, so that a full disk restarts nothing.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.runtime.metrics.render()).into_response()
}

/// `POST /-/reload`.
pub(crate) async fn reload(State(app): State<App>) -> Response {
    match app.config.reload().await {
        Ok(()) => Json(json!({ "status": "success" })).into_response(),
        Err(problems) => {
            let error = format!("the configuration was refused, the old one stays in use:\n{}", problems.join("\n"));
            let body = Json(json!({ "status": "error", "errorType": "bad_config", "error": error }));
            (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
        }
    }
}
