//! Signs of life of jobs, answered as Healthchecks answers them.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use watchbell_sources::heartbeat::{HEADERS, PingAnswer, PingRequest};

use crate::App;
use crate::guard::Peer;

/// Any method on `/ping/…`.
pub(crate) async fn ping(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let answer = match PingRequest::from_path(&path, query.as_deref().unwrap_or("")) {
        Ok(request) => app.heartbeats.ping(request.sent(method.as_str(), header, peer.address.ip(), body)).await,
        Err(answer) => answer,
    };
    respond(answer)
}

fn respond(answer: PingAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).expect("the heartbeats' own statuses are valid");
    (status, HEADERS, answer.body).into_response()
}
