//! Asking a service for JSON, within bounds.

use std::time::Duration;

use serde_json::Value;
use watchbell_model::Url;
use watchbell_runtime::Runtime;
use watchbell_runtime::http::{Request, Response};

use watchbell_runtime::client::HttpClient;

/// How long an answer may be, in bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How many answers are asked for at a time.
pub(super) const ASKED_MAX: usize = 8;
/// How many parts (services, pages of a list) one discovery asks for, one by one.
pub(super) const PARTS_MAX: usize = 2_000;

/// How a service is asked.
pub(super) struct Ask<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) client: &'a HttpClient,
    /// Bound on each question.
    pub(super) timeout: Duration,
}

impl Ask<'_> {
    /// The answer, which is one of success.
    pub(super) async fn send(&self, mut request: Request) -> Result<Response, String> {
        request.timeout = self.timeout;
        request.body_max = ANSWER_BYTES_MAX;
        let url = request.url.clone();
        let place = || url.as_str().split('?').next().unwrap_or_default().to_owned();
        // Boxed, since everything that asks would hold it whole.
        let response =
            Box::pin(self.client.send(self.runtime, request)).await.map_err(|error| format!("{}: {error}", place()))?;
        if !(200..300).contains(&response.status) {
            return Err(format!("{} answers with status {}{}", place(), response.status, first_words(&response.body)));
        }
        if response.truncated {
            return Err(format!("the answer of {} is longer than {ANSWER_BYTES_MAX} bytes", place()));
        }
        Ok(response)
    }

    /// The answer as JSON.
    pub(super) async fn json(&self, request: Request) -> Result<Value, String> {
        let url = request.url.clone();
        let response = self.send(request).await?;
        let place = url.as_str().split('?').next().unwrap_or_default();
        serde_json::from_slice(&response.body).map_err(|error| format!("the answer of {place} is not JSON: {error}"))
    }

    /// The JSON found at an address.
    pub(super) async fn get(&self, url: &str) -> Result<Value, String> {
        let url: Url = url.parse().map_err(|error: watchbell_model::UrlError| error.to_string())?;
        self.json(Request::get(url).header("accept", "application/json")).await
    }
}

/// What a refusal says of itself, if it is short enough to be read.
fn first_words(body: &[u8]) -> String {
    const SHOWN_MAX: usize = 300;
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN_MAX)]);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// A query's part: names and values, percent-encoded; pairs without a value are left out.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let escape = watchbell_runtime::client::escape;
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    let text: Vec<String> = pairs.map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    if text.is_empty() { String::new() } else { format!("?{}", text.join("&")) }
}
