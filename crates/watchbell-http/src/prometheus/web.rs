//! What every answer of Prometheus' API has besides its body: compression when it is asked for, and what browsers are
//! told of other sites' pages.
//!
//! Unlike Prometheus, no other site's page may read answers unless `query.cors_origin` names it: a watchbell on this
//! machine answers without credentials, so that any page in a browser here could read all of it.

use std::io::Write;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use watchbell_model::{MatchOp, Matcher};
use watchbell_runtime::thread;

use crate::App;

/// Shorter answers are not worth compressing.
const COMPRESSED_BYTES_MIN: u64 = 512;
/// Longer ones are compressed off the threads that serve.
const AT_ONCE_BYTES_MAX: usize = 64 << 10;

/// Before and after each handler of this API.
pub(crate) async fn dress(State(app): State<App>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let encoding = Encoding::of(request.headers());
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        compressed(next.run(request).await, encoding).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(origin) = origin {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if may_read(&app.config.query().cors_origin, &origin) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }
    response
}

/// Whether pages of an origin may read answers.
pub(crate) fn may_read(pattern: &str, origin: &HeaderValue) -> bool {
    let (false, Ok(origin)) = (pattern.is_empty(), origin.to_str()) else { return false };
    Matcher::new("origin", MatchOp::Regex, pattern).is_ok_and(|matcher| matcher.matches(origin))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Gzip,
    Deflate,
}

impl Encoding {
    /// The first that is known, as Prometheus chooses.
    fn of(headers: &HeaderMap) -> Option<Encoding> {
        let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
        accepted.split(',').find_map(|one| match one.split(';').next().unwrap_or("").trim() {
            "gzip" => Some(Encoding::Gzip),
            "deflate" => Some(Encoding::Deflate),
            _ => None,
        })
    }

    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
        })
    }

    fn encode(self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let out = Vec::with_capacity(bytes.len() / 8);
        match self {
            Encoding::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Encoding::Deflate => {
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
        }
    }
}

/// A stream goes as it is: its end is not known.
async fn compressed(response: Response, encoding: Option<Encoding>) -> Response {
    let length = response.body().size_hint().exact().unwrap_or(0);
    let Some(encoding) = encoding
        .filter(|_| length >= COMPRESSED_BYTES_MIN && !response.headers().contains_key(header::CONTENT_ENCODING))
    else {
        return response;
    };
    let (mut parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let bytes = body.to_bytes();
    let short = if bytes.len() <= AT_ONCE_BYTES_MAX {
        encoding.encode(&bytes)
    } else {
        let bytes = bytes.clone();
        thread::blocking(move || encoding.encode(&bytes)).await
    };
    match short {
        Ok(short) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            parts.headers.insert(header::CONTENT_ENCODING, encoding.name());
            Response::from_parts(parts, Body::from(short))
        }
        Err(_) => Response::from_parts(parts, Body::from(bytes)),
    }
}

/// Whether there is nothing at a path in the way Prometheus says it. Grafana asks for a path that only Mimir has and
/// looks for these words.
pub(crate) fn is_page_not_found(path: &str) -> bool {
    path.strip_prefix("/prometheus").unwrap_or(path).starts_with("/api/v1/")
}

/// The answer to those.
pub(crate) fn page_not_found() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::NOT_FOUND, kind, "404 page not found\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_origins_may_read() {
        let origin = |text: &str| HeaderValue::from_str(text).unwrap();
        assert!(!may_read("", &origin("https://a.example.org")));
        assert!(may_read(".*", &origin("https://a.example.org")));
        let some = "https?://(grafana|dash)\\.example\\.org";
        assert!(may_read(some, &origin("https://dash.example.org")));
        assert!(!may_read(some, &origin("https://dash.example.org.evil.test")));
    }

    #[test]
    fn the_first_known_encoding_is_taken() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(text).unwrap());
            Encoding::of(&headers)
        };
        assert_eq!(of("br, gzip;q=1.0, deflate"), Some(Encoding::Gzip));
        assert_eq!(of("deflate,gzip"), Some(Encoding::Deflate));
        assert_eq!(of("identity"), None);
    }
}
