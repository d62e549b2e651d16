//! Any address that takes Alertmanager's webhook body, version 4.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret, Span, Timestamp};
use watchbell_runtime::http::Request;

use super::{Draft, Rendered};
use crate::config::{self, HttpConfig};
use crate::template_data::common;

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
        let (page, group) = (draft.page, draft.group);
        let max = if self.max_alerts == 0 { usize::MAX } else { self.max_alerts };
        let status = |resolved: bool| if resolved { "resolved" } else { "firing" };
        let alerts: Vec<Value> = group
            .alerts
            .iter()
            .take(max)
            .map(|alert| {
                let mut annotations = alert.annotations.clone();
                if annotations.get("runbook_url").is_none() {
                    annotations = annotations.with("runbook_url", &page.runbook_url);
                }
                json!({
                    "status": status(alert.is_resolved_at(group.at)),
                    "labels": alert.labels,
                    "annotations": annotations,
                    "startsAt": alert.starts_at,
                    "endsAt": alert.ends_at.unwrap_or(YEAR_ONE),
                    "generatorURL": alert.generator_url,
                    "fingerprint": format!("{:016x}", alert.fingerprint()),
                })
            })
            .collect();
        let body = json!({
            "version": "4",
            "groupKey": group.group_key,
            "truncatedAlerts": group.alerts.len().saturating_sub(max),
            "status": status(page.is_resolved()),
            "receiver": group.receiver,
            "groupLabels": group.group_labels,
            "commonLabels": common(group.alerts.iter().map(|alert| &alert.labels)),
            "commonAnnotations": common(group.alerts.iter().map(|alert| &alert.annotations)),
            "externalURL": draft.site.url.as_str().trim_end_matches('/'),
            "notification_reason": group.reason,
            "alerts": alerts,
            // Ours, beside Alertmanager's: the page in words.
            "title": page.title,
            "message": page.text,
            "severity": page.severity.as_str(),
            "runbook_url": page.runbook_url,
        });
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

/// Go's zero time, which Alertmanager writes for "not over".
const YEAR_ONE: Timestamp = Timestamp(-62_135_596_800_000);
