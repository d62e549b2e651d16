//! `POST /sink`: alerts of scripts and other tools, proven by a secret of their own.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use watchbell_model::{Raise, Secret};
use watchbell_wire::sink::{SinkMessage, decode_sink, resolve_source};

use crate::App;
use crate::access::Caller;
use crate::sns::{self, Proven};

/// How many messages may be judged at a time; further senders are told to come back.
pub const SINK_UNDER_WAY_MAX: usize = 64;

/// `POST /sink`. Answers when the alerts are on disk.
pub(crate) async fn sink(
    State(app): State<App>,
    axum::Extension(caller): axum::Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = text("x-hub-signature-256");
    let by_sns = text("x-amz-sns-message-type").is_some() && !app.config.sink().sns.topics.is_empty();
    if signature.is_none()
        && !by_sns
        && let Err((status, reason)) = prove(&app, &caller, &headers)
    {
        return refuse(status, reason.to_owned());
    }
    let body = match body {
        Ok(body) => body,
        Err(error) => return refuse(error.status(), error.body_text()),
    };
    if let Some(signature) = signature
        && !is_signed(&app.config.sink().secret, &body, signature)
    {
        app.refused("wrong_credentials");
        return refuse(StatusCode::FORBIDDEN, "the signature is wrong".to_owned());
    }
    let Ok(_turn) = app.sinking.try_acquire() else {
        app.refused("sink_rate");
        let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, "too many messages at once; try again".to_owned());
        response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
        return response;
    };
    let sns = match prove_sns(&app, by_sns, &body).await {
        Ok(sns) => sns,
        Err(answer) => return *answer,
    };
    let now = app.runtime.clock.now();
    let (alerts, warnings) = match decode_sink(&body, now) {
        Ok(SinkMessage::Alerts { alerts, warnings }) => (alerts, warnings),
        Ok(SinkMessage::Over { source }) => {
            let open: Vec<_> = app.alerts.alerts().into_iter().map(|seen| seen.alert).collect();
            (resolve_source(&open, &source, now), Vec::new())
        }
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let count = alerts.len();
    if count > 0
        && let Err(error) = app.alerts.raise(alerts, Vec::new()).await
    {
        tracing::error!(%error, "alerts of the sink were not kept");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the alert could not be kept; try again".to_owned());
    }
    if let Some(sns) = sns {
        sns.taken(&app);
    }
    taken(count, &warnings)
}

fn taken(count: usize, warnings: &[String]) -> Response {
    Json(json!({ "status": "success", "alerts": count, "warnings": warnings })).into_response()
}

/// The message of SNS that a body is; the answer if it is not to be taken further.
async fn prove_sns(app: &App, by_sns: bool, body: &[u8]) -> Result<Option<sns::Message>, Box<Response>> {
    if !by_sns {
        return Ok(None);
    }
    let Some(message) = sns::Message::read(body) else {
        app.refused("wrong_credentials");
        return Err(Box::new(refuse(StatusCode::FORBIDDEN, "it is no message of SNS".to_owned())));
    };
    match message.prove(app).await {
        Ok(Proven::Tells) => Ok(Some(message)),
        Ok(Proven::Done(words)) => Err(Box::new(taken(0, &[words.to_owned()]))),
        Err((status, reason)) => {
            if status == StatusCode::FORBIDDEN {
                app.refused("wrong_credentials");
            }
            Err(Box::new(refuse(status, reason)))
        }
    }
}

/// Lets a sender in by the sink's secret or by an API token.
fn prove(app: &App, caller: &Caller, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    if matches!(caller, Caller::Token(_)) {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, secret)| secret.trim());
    let Some(given) = text("x-alert-secret").or(bearer) else {
        app.refused("no_credentials");
        let reason = "send the sink's secret as `X-Alert-Secret` or as `Authorization: Bearer`, or sign the body with it (`X-Hub-Signature-256`)";
        return Err((StatusCode::UNAUTHORIZED, reason));
    };
    let wanted = app.config.sink().secret;
    // Digests are compared, so that not even the secret's length shows in the time it takes.
    let same = Sha256::digest(given.as_bytes()).ct_eq(&Sha256::digest(wanted.expose().as_bytes()));
    if wanted.is_empty() || !bool::from(same) {
        app.refused("wrong_credentials");
        return Err((StatusCode::FORBIDDEN, "the secret is wrong"));
    }
    Ok(())
}

/// Whether a body carries the signature that GitHub and many others send: `sha256=` and the HMAC of the body in hexadecimal
/// digits, keyed with the secret.
fn is_signed(secret: &Secret, body: &[u8], signature: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
    mac.update(body);
    let wanted: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let given = signature.strip_prefix("sha256=").unwrap_or_default().to_ascii_lowercase();
    !secret.is_empty() && bool::from(wanted.as_bytes().ct_eq(given.as_bytes()))
}

fn refuse(status: StatusCode, error: String) -> Response {
    (status, Json(json!({ "status": "error", "error": error }))).into_response()
}
