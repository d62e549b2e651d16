//! Any address that takes Alertmanager's webhook body, version 4.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use watchbell_model::{Path, Problems, Secret, Span};
use watchbell_runtime::http::Request;

use super::{Draft, Rendered};
use crate::config::{self, HttpConfig};

/// An address that takes Alertmanager's webhook body.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// The address; where whoever has it can post, take it from a secret: `${secret:name}`.
    pub url: Secret,
    /// How requests authenticate.
    #[serde(default)]
    pub http_config: HttpConfig,
    /// The most alerts one body holds; the rest is counted in `truncatedAlerts`. 0 is all.
    #[serde(default)]
    pub max_alerts: usize,
    /// Whether to tell that it is over.
    #[serde(default = "config::default_true")]
    pub send_resolved: bool,
    /// Bound on one try.
    #[serde(default = "config::default_timeout")]
    pub timeout: Span,
}

impl WebhookConfig {
    pub(super) fn check(&self, path: &Path, problems: &mut Problems) {
        config::check_secret_url(&self.url, &path.field("url"), problems);
        self.http_config.check(&path.field("http_config"), problems);
        config::check_timeout(self.timeout, path, problems);
    }

    pub(super) fn render(&self, draft: &Draft<'_>) -> Rendered {
        let (page, mut group) = (draft.page, draft.group.clone());
        // Whoever takes it over finds a run book on every alert, as a person does.
        for (alert, shown) in group.alerts.iter_mut().filter_map(|alert| {
            let shown = page.alerts.iter().find(|shown| shown.labels == alert.labels)?;
            Some((alert, shown))
        }) {
            alert.annotations = alert.annotations.with("runbook_url", &shown.runbook_url);
        }
        let external_url = draft.site.url.as_str().trim_end_matches('/');
        let mut body = watchbell_wire::alertmanager::encode_webhook(&group, external_url, self.max_alerts);
        // Ours, beside Alertmanager's: the page in words.
        let ours = [
            ("title", &*page.title),
            ("message", &page.text),
            ("severity", page.severity.as_str()),
            ("runbook_url", &page.runbook_url),
        ];
        body.extend(ours.map(|(name, value)| (name.to_owned(), Value::from(value))));
        let body = Value::Object(body);
        let headers = vec![
            ("Content-Type".into(), "application/json".into()),
            ("webhook-id".into(), draft.key.to_owned()),
            ("Idempotency-Key".into(), draft.key.to_owned()),
        ];
        Rendered { headers, body: body.to_string(), template_errors: Vec::new() }
    }

    pub(super) fn request(&self, rendered: &Rendered) -> Result<Request, String> {
        let url = self.url.expose().parse().map_err(|_| "`url` is not a web address".to_owned())?;
        let request = Request::post(url, rendered.body.as_bytes());
        Ok(match self.http_config.header() {
            Some(header) => request.header("Authorization", header),
            None => request,
        })
    }

    pub(super) fn secrets(&self) -> Vec<Secret> {
        let mut secrets = self.http_config.secrets();
        secrets.extend(config::url_secrets(&self.url));
        secrets
    }
}
