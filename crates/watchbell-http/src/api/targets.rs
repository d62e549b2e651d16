//! What is scraped, what is not and why.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use watchbell_model::Labels;

use super::{refusal, view};
use crate::App;

/// How many targets that are not scraped are shown.
const DROPPED_SHOWN: usize = 500;

/// `GET targets`.
pub(crate) async fn list(State(app): State<App>) -> Response {
    let targets = &app.targets;
    let mut dropped = targets.dropped();
    // What cannot be scraped is looked at before what nobody wanted.
    dropped.sort_by_key(|target| target.error.is_none());
    dropped.truncate(DROPPED_SHOWN);
    let counts: BTreeMap<String, u64> =
        targets.dropped_counts().into_iter().map(|(pool, count)| (pool, count as u64)).collect();
    Json(view::Targets { targets: targets.list(), dropped, dropped_counts: counts, discoveries: targets.discoveries() })
        .into_response()
}

/// Whose steps are asked for.
#[derive(Deserialize)]
pub(crate) struct Asked {
    pool: String,
    /// As JSON.
    labels: String,
}

/// `GET targets/steps`.
pub(crate) async fn steps(State(app): State<App>, Query(asked): Query<Asked>) -> Response {
    let labels: Labels = match serde_json::from_str(&asked.labels) {
        Ok(labels) => labels,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, format!("`labels` is not a mapping of texts: {error}")),
    };
    match app.targets.relabel_steps(&asked.pool, &labels) {
        Some(steps) => Json(steps).into_response(),
        None => refusal(StatusCode::NOT_FOUND, format!("there is no job `{}`", asked.pool)),
    }
}
