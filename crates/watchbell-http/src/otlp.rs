//! OpenTelemetry's protocol: metrics over HTTP (protocol buffers and JSON) and over gRPC.
//!
//! What is refused for good is a partial success, as the specification asks: senders log it and do not send it again.
//! What the store cannot take now is 503, or `UNAVAILABLE`, which they send again later.
//!
//! gRPC is what unary calls need of it: one framed message each way over HTTP/2, the status in trailers.

use std::io::Read;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use watchbell_sources::intake::Written;
use watchbell_wire::otlp::{Encoding, decode_metrics, encode_metrics_answer, encode_status};

use crate::App;
use crate::push::{self, Refused, text};

/// How large a decompressed request may be: what is read of it takes some times as much.
pub const OTLP_DECOMPRESSED_MAX: usize = 16 << 20;
/// How much memory is set aside for a request, as a multiple of its size.
const MEMORY_FACTOR: usize = 4;

/// `POST /v1/metrics`.
pub(crate) async fn metrics(State(app): State<App>, request: Request) -> Response {
    let kind = text(request.headers(), &header::CONTENT_TYPE).map(str::to_owned);
    let Some(encoding) = Encoding::of_content_type(kind.as_deref()) else {
        let words =
            format!("the body must be application/x-protobuf or application/json, not `{}`", kind.unwrap_or_default());
        return Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words).into_response();
    };
    let gzip = match text(request.headers(), &header::CONTENT_ENCODING) {
        None => Ok(false),
        Some(name) if name.eq_ignore_ascii_case("identity") => Ok(false),
        Some(name) if name.eq_ignore_ascii_case("gzip") => Ok(true),
        Some(other) => {
            let words = format!("the body may be compressed with gzip, not with `{other}`");
            Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words))
        }
    };
    let done = match gzip {
        Ok(gzip) => http_metrics(&app, request, gzip, encoding).await,
        Err(refused) => Err(refused),
    };
    let (status, body, refused) = match done {
        Ok(written) => {
            let reason = written.first.unwrap_or_default();
            (StatusCode::OK, encode_metrics_answer(written.refused, &reason, encoding), None)
        }
        Err(refused) => {
            (refused.status, encode_status(code(refused.status) as i32, &refused.words, encoding), Some(refused))
        }
    };
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    if let Some(seconds) = refused.and_then(|refused| refused.into_response().headers_mut().remove(header::RETRY_AFTER))
    {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

async fn http_metrics(app: &App, request: Request, gzip: bool, encoding: Encoding) -> Result<Written, Refused> {
    let Some(_turn) = app.pushes.turn() else { return Err(Refused::busy(app)) };
    let sender = push::sender(&request);
    let body = push::body(app, request).await?;
    receive(app, &body, gzip, encoding, sender.as_deref()).await
}

async fn receive(
    app: &App,
    body: &[u8],
    gzip: bool,
    encoding: Encoding,
    sender: Option<&str>,
) -> Result<Written, Refused> {
    let _memory = app.pushes.memory(if gzip { OTLP_DECOMPRESSED_MAX } else { body.len() } * MEMORY_FACTOR).await;
    let decompressed;
    let body = if gzip {
        decompressed = gunzip(body)?;
        &decompressed
    } else {
        body
    };
    if body.len() > OTLP_DECOMPRESSED_MAX {
        return Err(Refused::too_large(OTLP_DECOMPRESSED_MAX));
    }
    let request =
        decode_metrics(body, encoding).map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(app.intake.otlp_metrics(request, sender).await?)
}

fn gunzip(body: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut decompressed = Vec::new();
    MultiGzDecoder::new(body)
        .take(OTLP_DECOMPRESSED_MAX as u64 + 1)
        .read_to_end(&mut decompressed)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, format!("the body is not gzip: {error}")))?;
    if decompressed.len() > OTLP_DECOMPRESSED_MAX {
        return Err(Refused::too_large(OTLP_DECOMPRESSED_MAX));
    }
    Ok(decompressed)
}

/// Status codes of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Ok = 0,
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::PAYLOAD_TOO_LARGE => Code::ResourceExhausted,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::Unimplemented,
        status if status.is_server_error() => Code::Internal,
        _ => Code::InvalidArgument,
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// `opentelemetry.proto.collector.metrics.v1.MetricsService/Export`.
pub(crate) async fn grpc_metrics(State(app): State<App>, request: Request) -> Response {
    let is_grpc = text(request.headers(), &header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind == "application/grpc" || kind == "application/grpc+proto"
    });
    if !is_grpc {
        return Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this address takes gRPC only").into_response();
    }
    match grpc(&app, request).await {
        Ok(written) => {
            let reason = written.first.unwrap_or_default();
            let message = encode_metrics_answer(written.refused, &reason, Encoding::Protobuf);
            let mut framed = vec![0];
            framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
            framed.extend(message);
            let trailers = status(Code::Ok, "");
            grpc_response(Body::new(Full::from(Bytes::from(framed)).with_trailers(async { Some(Ok(trailers)) })))
        }
        Err(refused) => {
            let mut response = grpc_response(Body::empty());
            response.headers_mut().extend(status(code(refused.status), &refused.words));
            response
        }
    }
}

fn grpc_response(body: Body) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity,gzip"));
    response
}

/// The status, with its message percent-encoded as gRPC asks.
fn status(code: Code, words: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(GRPC_STATUS, HeaderValue::from(code as u16));
    let message: String = words
        .bytes()
        .map(|byte| match byte {
            b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    if code == Code::Unavailable {
        headers.insert(GRPC_PUSHBACK, HeaderValue::from_static("5000"));
    }
    headers
}

async fn grpc(app: &App, request: Request) -> Result<Written, Refused> {
    let Some(_turn) = app.pushes.turn() else { return Err(Refused::busy(app)) };
    let sender = push::sender(&request);
    let encoding = text(request.headers(), &GRPC_ENCODING).unwrap_or("identity").to_owned();
    let body = push::body(app, request).await?;
    let bad = |words| Refused::new(StatusCode::BAD_REQUEST, words);
    let (&compressed, rest) = body.split_first().ok_or_else(|| bad("there is no message"))?;
    let (length, message) = rest.split_first_chunk::<4>().ok_or_else(|| bad("the message is cut off"))?;
    if u32::from_be_bytes(*length) as usize != message.len() {
        return Err(bad("the message is not as long as it says, or there is another one"));
    }
    let gzip = match (compressed, encoding.as_str()) {
        (0, _) => false,
        (1, "gzip") => true,
        _ => {
            let words = format!("messages may be compressed with gzip, not with `{encoding}`");
            return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
        }
    };
    receive(app, message, gzip, Encoding::Protobuf, sender.as_deref()).await
}
