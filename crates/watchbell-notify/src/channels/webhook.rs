//! Any address that takes Alertmanager's webhook body, version 4.

use serde_json::Value;
use watchbell_model::{Path, Problems, Secret};
use watchbell_runtime::Disk;

use super::{Attempt, Channel, Draft, Outgoing, Rendered, http_channel};
use crate::config;
use crate::template_data::Templates;

http_channel! {
    /// An address that takes Alertmanager's webhook body.
    pub struct WebhookConfig {
        /// The address; where whoever has it can post, take it from a secret: `${secret:name}`.
        pub url: Secret,
        /// The most alerts one body holds; the rest is counted in `truncatedAlerts`. 0 is all.
        #[serde(default)]
        pub max_alerts: usize,
    }
}

impl Channel for WebhookConfig {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn check(&self, _templates: &Templates, path: &Path, problems: &mut Problems) {
        config::check_secret_url(&self.url, &path.field("url"), problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
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
        let links = [("acknowledge_url", &page.acknowledge_url), ("silence_url", &page.silence_url)];
        body.extend(links.into_iter().filter_map(|(name, url)| Some((name.to_owned(), url.clone()?.into()))));
        let body = Value::Object(body);
        let headers = vec![
            ("Content-Type".into(), "application/json".into()),
            ("webhook-id".into(), draft.key.to_owned()),
            ("Idempotency-Key".into(), draft.key.to_owned()),
        ];
        Rendered { headers, body: body.to_string(), template_errors: Vec::new() }
    }

    fn send(&self, rendered: &Rendered, _attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let url = self.url.expose().parse().map_err(|_| "`url` is not a web address".to_owned())?;
        Ok(vec![rendered.post(url)])
    }

    fn is_for_people(&self) -> bool {
        false
    }

    fn secrets(&self, _disk: &Disk) -> Vec<Secret> {
        config::url_secrets(&self.url)
    }
}
