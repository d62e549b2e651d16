//! Places, as their agents report.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::App;

/// `GET places`.
pub(crate) async fn list(State(app): State<App>) -> Response {
    Json(app.places.statuses()).into_response()
}
