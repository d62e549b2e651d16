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
    pub(super) async fn send(&self, request: Request) -> Result<Response, String> {
        self.client.ask(self.runtime, request, self.timeout, ANSWER_BYTES_MAX).await
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

/// A query's part: names and values, percent-encoded; pairs without a value are left out.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let escape = watchbell_runtime::client::escape;
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    let text: Vec<String> = pairs.map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    if text.is_empty() { String::new() } else { format!("?{}", text.join("&")) }
}
