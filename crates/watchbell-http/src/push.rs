//! Metrics that are pushed: Prometheus' remote write here, OpenTelemetry's protocol in [`otlp`](crate::otlp).
//!
//! Answers as the remote write specifications say: 2xx only if nothing was refused, 400 for what will never be taken,
//! 5xx for what may be taken later. Too many at once is 503 and not 429, which Prometheus does not retry by default.
//!
//! Always: acknowledged means in the store's log; a body is decompressed only within its limit.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use watchbell_sources::intake::{IntakeError, Written};
use watchbell_wire::remote_write::{Version, WRITTEN_HEADERS};
use watchbell_wire::snappy::{self, SnappyError};

use crate::App;

/// How large a pushed body may be as it comes, in bytes.
pub const PUSH_BODY_MAX: usize = 16 << 20;
/// How large it may be when it is decompressed; Prometheus' own bound.
pub const PUSH_DECOMPRESSED_MAX: usize = 32 << 20;
/// How many pushes may be under way; further senders are told to come back.
pub const PUSHES_UNDER_WAY_MAX: usize = 64;
/// How many bytes of decompressed bodies there may be at a time.
pub const PUSH_BYTES_UNDER_WAY_MAX: usize = 2 * PUSH_DECOMPRESSED_MAX;
/// After how many seconds those come back who were told to.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// How a sender names itself, so that it has a limit of series of its own.
const SENDER: HeaderName = HeaderName::from_static("x-watchbell-source");

/// How much may be under way.
pub(crate) struct Room {
    pushes: Arc<Semaphore>,
    /// In KiB.
    bytes: Arc<Semaphore>,
}

impl Room {
    pub(crate) fn new() -> Room {
        Room {
            pushes: Arc::new(Semaphore::new(PUSHES_UNDER_WAY_MAX)),
            bytes: Arc::new(Semaphore::new(PUSH_BYTES_UNDER_WAY_MAX >> 10)),
        }
    }

    /// A turn for one push; `None` if there are too many.
    pub(crate) fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pushes).try_acquire_owned().ok()
    }

    /// Memory for a body; waits for those before it, which take milliseconds.
    pub(crate) async fn memory(&self, bytes: usize) -> OwnedSemaphorePermit {
        let wanted = u32::try_from((bytes >> 10) + 1).unwrap_or(u32::MAX).min((PUSH_BYTES_UNDER_WAY_MAX >> 10) as u32);
        Arc::clone(&self.bytes).acquire_many_owned(wanted).await.expect("the semaphore is never closed")
    }
}

/// Why a push is answered with no.
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) words: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, words: impl Into<String>) -> Refused {
        Refused { status, words: words.into() }
    }

    pub(crate) fn busy(app: &App) -> Refused {
        app.refused("push_rate");
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too many pushes at once; try again")
    }

    pub(crate) fn too_large(limit: usize) -> Refused {
        Refused::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body may have {limit} bytes at most; send less at once"),
        )
    }
}

impl From<IntakeError> for Refused {
    fn from(error: IntakeError) -> Refused {
        let status = match &error {
            IntakeError::Bad(_) => StatusCode::BAD_REQUEST,
            IntakeError::TooMuch { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            IntakeError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refused::new(status, error.to_string())
    }
}

/// As text, which is what senders log.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.words + "\n").into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// `POST /api/v1/write`: Prometheus' remote write, 1.0 and 2.0.
pub(crate) async fn remote_write(State(app): State<App>, request: Request) -> Response {
    let version = version_of(request.headers());
    let asked = version.as_ref().ok().copied();
    let done = match version {
        Ok(version) => receive(&app, version, request).await,
        Err(refused) => Err(refused),
    };
    let (written, mut response) = match done {
        Ok(written) if written.refused == 0 => (written, StatusCode::NO_CONTENT.into_response()),
        Ok(mut written) => {
            let first = written.first.take().unwrap_or_default();
            let all = written.refused + written.samples + written.histograms;
            let words = format!("refused {} of {all} samples, the first: {first}", written.refused);
            (written, Refused::new(StatusCode::BAD_REQUEST, words).into_response())
        }
        Err(refused) => (Written::default(), refused.into_response()),
    };
    // 1.0 has no such headers; its senders would take them for 2.0's.
    if asked == Some(Version::V2) {
        let counts = [written.samples, written.histograms, written.exemplars];
        for (name, count) in WRITTEN_HEADERS.into_iter().zip(counts) {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(count));
        }
    }
    response
}

fn version_of(headers: &HeaderMap) -> Result<Version, Refused> {
    let unsupported = |words| Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words);
    let kind = text(headers, &header::CONTENT_TYPE);
    let version = Version::of_content_type(kind).ok_or_else(|| {
        let known =
            "application/x-protobuf, with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request";
        unsupported(format!("the body must be {known}, not `{}`", kind.unwrap_or_default()))
    })?;
    match text(headers, &header::CONTENT_ENCODING) {
        // As in Prometheus, old senders may leave it out; what they send is compressed all the same.
        None => Ok(version),
        Some(encoding) if encoding.eq_ignore_ascii_case("snappy") => Ok(version),
        Some(other) => Err(unsupported(format!("the body must be compressed with snappy, not `{other}`"))),
    }
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?").trim())
}

/// What a sender calls itself: a header, or a parameter of the address for those that can set no headers.
pub(crate) fn sender(request: &Request) -> Option<String> {
    let header = request.headers().get(SENDER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    header.or_else(|| {
        let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(request.uri()).ok()?;
        parameters.into_iter().find(|(name, _)| name == "source").map(|(_, value)| value)
    })
}

/// The body as it came, within the limit that [`doors`](crate::doors) sets.
pub(crate) async fn body(app: &App, request: Request) -> Result<Bytes, Refused> {
    Bytes::from_request(request, app).await.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused::too_large(PUSH_BODY_MAX),
        status => Refused::new(status, error.body_text()),
    })
}

async fn receive(app: &App, version: Version, request: Request) -> Result<Written, Refused> {
    let Some(_turn) = app.pushes.turn() else { return Err(Refused::busy(app)) };
    let sender = sender(&request);
    let body = body(app, request).await?;
    let bad = |error: SnappyError| match error {
        SnappyError::TooLarge { .. } => {
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{error}; send less at once"))
        }
        SnappyError::Bad(_) => Refused::new(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let length = snappy::decompressed_len(&body, PUSH_DECOMPRESSED_MAX).map_err(bad)?;
    let _memory = app.pushes.memory(length).await;
    let decompressed = snappy::decompress(&body, PUSH_DECOMPRESSED_MAX).map_err(bad)?;
    drop(body);
    Ok(app.intake.remote_write(version, &decompressed, sender.as_deref()).await?)
}
