//! What every answer is wrapped in, and how one says no.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value as Json, json};
use watchbell_model::QueryError;
use watchbell_query::EvalError;

/// The status for a client that went away, which it never sees; nginx' own, as in Prometheus.
const CLIENT_CLOSED: u16 = 499;

/// Why a request cannot be answered, by Prometheus' error types.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The request makes no sense.
    BadData(String),
    /// The expression has no value over this data.
    Execution(String),
    /// It took longer than it may.
    Timeout(String),
    /// Whoever asked went away, or the query was stopped.
    Canceled(String),
    /// Too much is asked at once.
    Unavailable(String),
    /// The store failed.
    Internal(String),
}

impl Refused {
    /// Its status, its error type and its words.
    fn parts(self) -> (StatusCode, &'static str, String) {
        match self {
            Refused::BadData(error) => (StatusCode::BAD_REQUEST, "bad_data", error),
            Refused::Execution(error) => (StatusCode::UNPROCESSABLE_ENTITY, "execution", error),
            Refused::Timeout(error) => (StatusCode::SERVICE_UNAVAILABLE, "timeout", error),
            Refused::Canceled(error) => {
                let status = StatusCode::from_u16(CLIENT_CLOSED).expect("three digits are a status");
                (status, "canceled", error)
            }
            Refused::Unavailable(error) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", error),
            Refused::Internal(error) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", error),
        }
    }

    /// As plain text, which is how paths outside of the envelope say no.
    pub(crate) fn into_text(self) -> Response {
        let (status, _, error) = self.parts();
        (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{error}\n")).into_response()
    }

    /// A word for the log and for counters.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Refused::BadData(_) => "bad_data",
            Refused::Execution(_) => "execution",
            Refused::Timeout(_) => "timeout",
            Refused::Canceled(_) => "canceled",
            Refused::Unavailable(_) => "unavailable",
            Refused::Internal(_) => "internal",
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let busy = matches!(self, Refused::Unavailable(_));
        let (status, kind, error) = self.parts();
        let body = json!({ "status": "error", "errorType": kind, "error": error });
        let mut response = (status, axum::Json(body)).into_response();
        if busy {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<EvalError> for Refused {
    fn from(error: EvalError) -> Refused {
        match error {
            EvalError::Source(QueryError::Unavailable(_)) => Refused::Internal(error.to_string()),
            EvalError::Source(QueryError::TooMany { limit }) => {
                Refused::Execution(EvalError::TooMany { limit }.to_string())
            }
            EvalError::Stopped => Refused::Canceled("query was canceled in expression evaluation".into()),
            _ => Refused::Execution(error.to_string()),
        }
    }
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Refused {
        Refused::from(EvalError::from(error))
    }
}

/// An answer with data.
pub(crate) fn ok(data: Json) -> Response {
    axum::Json(json!({ "status": "success", "data": data })).into_response()
}

/// An answer with data and warnings.
pub(super) fn ok_with(data: Json, warnings: &[&str]) -> Response {
    let mut answer = json!({ "status": "success", "data": data });
    if !warnings.is_empty() {
        answer["warnings"] = json!(warnings);
    }
    axum::Json(answer).into_response()
}

/// What is said when a limit left some of an answer out.
pub(super) const CUT: &str = "results truncated due to limit";
