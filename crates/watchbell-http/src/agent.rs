//! `POST /api/agent/v1/exchange`: agents of places report and are told what to probe.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;
use watchbell_sources::place::{Exchange, ExchangeError};

use crate::App;
use crate::access::Caller;
use crate::api::refusal;

/// The token says which place the agent speaks for.
pub(crate) async fn exchange(State(app): State<App>, Extension(caller): Extension<Caller>, body: Bytes) -> Response {
    let Caller::Place(place) = caller else {
        return refusal(StatusCode::FORBIDDEN, "an agent sends the token of a place");
    };
    let exchange: Exchange = match serde_json::from_slice(&body) {
        Ok(exchange) => exchange,
        Err(error) => {
            let words = format!("the agent's report cannot be read, renew one side: {error}");
            return refusal(StatusCode::BAD_REQUEST, words);
        }
    };
    match app.places.exchange(&place, exchange).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => {
            let status = match &error {
                ExchangeError::Unknown(_) => StatusCode::NOT_FOUND,
                ExchangeError::Protocol { .. } => StatusCode::BAD_REQUEST,
                ExchangeError::Twice(_) => StatusCode::CONFLICT,
                ExchangeError::State(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            refusal(status, error)
        }
    }
}
