//! What came over HTTP: whether it is an answer at all, and its body without compression, bounded.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use watchbell_runtime::http::Response;

/// The words for a body that is too long; they are Prometheus'.
pub(super) const TOO_LONG: &str = "body size limit exceeded";

/// The body of an answer, at most `max` bytes long. `expected`: as long as the last one was.
pub(super) fn of(response: &mut Response, max: usize, expected: usize) -> Result<Vec<u8>, String> {
    if response.status != 200 {
        let reason = http::StatusCode::from_u16(response.status).ok().and_then(|it| it.canonical_reason());
        let words = format!("server returned HTTP status {} {}", response.status, reason.unwrap_or_default());
        return Err(words.trim_end().to_owned());
    }
    if response.truncated {
        return Err(TOO_LONG.into());
    }
    let raw = std::mem::take(&mut response.body);
    if response.header("content-encoding") != Some("gzip") {
        return Ok(raw);
    }
    let mut body = Vec::with_capacity(expected.min(max).saturating_add(1));
    let mut reader = MultiGzDecoder::new(raw.as_slice()).take(max as u64 + 1);
    reader.read_to_end(&mut body).map_err(|error| format!("the compressed body cannot be read: {error}"))?;
    if body.len() > max { Err(TOO_LONG.into()) } else { Ok(body) }
}
