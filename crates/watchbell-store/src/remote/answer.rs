//! What a receiver's answer means for the samples that were sent.
//!
//! Pure. Source: the remote write specifications 1.0 and 2.0-rc.4. Differs from Prometheus' own sender in two points,
//! because what was acknowledged here must not be lost: 429 is always tried again, and so are answers that speak of the
//! sender or the address rather than of the samples (401, 403, 404 and the like), until somebody mends the configuration.

use std::time::Duration;

use watchbell_model::Timestamp;
use watchbell_runtime::http::{Response, retry_after};
use watchbell_wire::remote_write::{Version, WRITTEN_HEADERS};

use super::client::excerpt;

/// The longest wait a receiver can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has them, or had them already.
    Taken,
    /// It will never take this request; so many samples of it were written all the same, as far as it says.
    Refused { words: String, written: u64 },
    /// Trying again may help, not before this time if it named one.
    Later { words: String, wait: Option<Duration> },
    /// It does not know 2.0.
    Older,
    /// The request is too large.
    TooLarge { words: String },
}

/// Judges an answer, or that there was none.
pub(crate) fn judge(version: Version, answer: &Result<Response, String>, now: Timestamp) -> Verdict {
    let response = match answer {
        Ok(response) => response,
        Err(words) => return Verdict::Later { words: words.clone(), wait: None },
    };
    let written = |header: &str| response.header(header).and_then(|text| text.trim().parse::<u64>().ok());
    let said = excerpt(&response.body);
    let words = if said.is_empty() {
        format!("it answers {}", response.status)
    } else {
        format!("it answers {}: {said}", response.status)
    };
    match response.status {
        // A 1.0 receiver that does not look at the type reads a 2.0 message as an empty one, and is content.
        200..300 if version == Version::V2 && written(WRITTEN_HEADERS[0]).is_none() => Verdict::Older,
        200..300 => Verdict::Taken,
        415 if version == Version::V2 => Verdict::Older,
        413 => Verdict::TooLarge { words },
        // Of the sender or the address, not of the samples.
        401 | 403 | 404 | 405 | 407 | 408 | 421 | 425 | 426 => Verdict::Later { words, wait: None },
        429 | 500.. => {
            let wait = response.header("retry-after").and_then(|header| retry_after(header, now));
            Verdict::Later { words, wait: wait.map(|wait| wait.min(RETRY_AFTER_MAX)) }
        }
        400..500 => {
            let written = WRITTEN_HEADERS[..2].iter().filter_map(|header| written(header)).sum();
            Verdict::Refused { words, written }
        }
        // A redirect would take credentials and samples elsewhere.
        _ => Verdict::Later { words, wait: None },
    }
}
