//! `http_sd_configs`: targets that a web server lists.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Span, Url, with_http_client};
use watchbell_runtime::http::Request;

use super::ask::Ask;
use super::{TargetGroup, groups};

with_http_client! {
    /// Targets that a web server lists, as JSON.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct HttpSd {
        /// Where the list is.
        pub url: Url,
        /// How often it is asked for, and how long the answer may take.
        #[serde(default = "HttpSd::default_refresh_interval")]
        pub refresh_interval: Span,
    }
}

impl HttpSd {
    fn default_refresh_interval() -> Span {
        Span::minutes(1)
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        super::check_refresh(self.refresh_interval, path, problems);
        self.http_client().check(path, problems);
    }

    pub(super) async fn targets(&self, ask: &Ask<'_>) -> Result<Vec<TargetGroup>, String> {
        let interval = self.refresh_interval.duration().as_secs_f64().to_string();
        let request = Request::get(self.url.clone())
            .header("accept", "application/json")
            .header("x-prometheus-refresh-interval-seconds", interval);
        let response = ask.send(request).await?;
        if response.status != 200 {
            return Err(format!("{} answers with status {}", self.url, response.status));
        }
        let kind = response.header("content-type").unwrap_or_default();
        if !is_json(kind) {
            return Err(format!("{} answers with the content type `{kind}`, not `application/json`", self.url));
        }
        let meta = ("__meta_url", self.url.as_str());
        let groups = groups::from_json(&response.body, self.url.as_str(), meta);
        groups.map_err(|error| format!("the answer of {} is not a list of targets: {error}", self.url))
    }
}

/// As Prometheus: JSON in UTF-8, said in one of three ways.
fn is_json(content_type: &str) -> bool {
    let lower = content_type.trim().to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("application/json") else { return false };
    let charset = rest.strip_prefix(';').map(|rest| rest.trim_start());
    rest.is_empty() || matches!(charset, Some("charset=utf-8" | "charset=\"utf-8\""))
}
