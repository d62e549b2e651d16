//! Any address that takes Alertmanager's webhook body, version 4, or a body of one's own: JSON, a form, or text.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use watchbell_model::{Path, Problems, Secret};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;

use super::picture::Shows;
use super::{
    Attempt, Channel, Draft, Outgoing, Rendered, check_secret, check_template, check_value, filled, filled_value,
    form_value, http_channel, secret_of,
};
use crate::config;
use crate::template_data::Templates;

/// A part of the address that a template gave: a line of the stored page that is not a header of the request.
const PART: &str = "Address-Part";

http_channel! {
    /// An address that takes Alertmanager's webhook body, or a body of one's own.
    ///
    /// Providers of text messages and calls are spoken to with `payload`. Twilio, for one (voice is the same with
    /// `Calls.json` and `Twiml: "<Response><Say>{{ .Title }}</Say></Response>"` in place of `Body`):
    ///
    /// ```yaml
    /// webhook_configs:
    ///   - url: https://api.twilio.com/2010-04-01/Accounts/AC0123456789/Messages.json
    ///     http_config:
    ///       basic_auth: {username: AC0123456789, password: "${secret:twilio}"}
    ///     content_type: form
    ///     payload:
    ///       From: "+15005550006"
    ///       To: "+15005550010"
    ///       Body: "{{ .Title }} {{ .RunbookURL }}"
    /// ```
    pub struct WebhookConfig {
        /// The address; where whoever has it can post, take it from a secret: `${secret:name}`. What stands in `{{ }}` is
        /// a template.
        #[serde(default)]
        pub url: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub url_file: Option<PathBuf>,
        /// The most alerts one body holds; the rest is counted in `truncatedAlerts`. 0 is all.
        #[serde(default)]
        pub max_alerts: usize,
        /// A body in place of Alertmanager's: a text, or lists and maps of texts; each text, and each key, is a template.
        #[serde(default)]
        pub payload: Option<Value>,
        /// How `payload` is sent: as `json`, as a `form` (a map of texts), or as plain `text`.
        #[serde(default)]
        pub content_type: ContentType,
        /// Whether Alertmanager's body says where a picture of the graph is, in the field `image_url`: a signed link of
        /// `site.url` that works for a week. Not unless it is said.
        #[serde(default)]
        pub picture: Option<bool>,
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContentType {
    /// `application/json`
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`
    Form,
    /// `text/plain`
    Text,
}

/// Finds what is wrong with an address that is given or stands in a file.
pub(super) fn check_url(url: &Option<Secret>, file: &Option<PathBuf>, path: &Path, problems: &mut Problems) {
    check_secret("url", url, file, Some("give the address, or a file that holds it as `url_file`"), path, problems);
    if let Some(url) = url.as_ref().filter(|url| !url.is_empty() && !url.expose().contains("{{")) {
        config::check_secret_url(url, &path.field("url"), problems);
    }
}

/// Alertmanager's body with the page beside it.
pub(super) fn body(draft: &Draft<'_>, max_alerts: usize) -> Map<String, Value> {
    let (page, mut group) = (draft.page, draft.group.clone());
    // Whoever takes it over finds a run book on every alert, as a person does.
    for (alert, shown) in group.alerts.iter_mut().filter_map(|alert| {
        let shown = page.alerts.iter().find(|shown| shown.labels == alert.labels)?;
        Some((alert, shown))
    }) {
        alert.annotations = alert.annotations.with("runbook_url", &shown.runbook_url);
    }
    let external_url = draft.site.url.as_str().trim_end_matches('/');
    let mut body = watchbell_wire::alertmanager::encode_webhook(&group, external_url, max_alerts);
    // Ours, beside Alertmanager's: the page in words.
    let ours = [
        ("title", &*page.title),
        ("message", &page.text),
        ("severity", page.severity.as_str()),
        ("runbook_url", &page.runbook_url),
    ];
    body.extend(ours.map(|(name, value)| (name.to_owned(), Value::from(value))));
    let links = [
        ("acknowledge_url", &page.acknowledge_url),
        ("silence_url", &page.silence_url),
        ("verdict_url", &page.verdict_url),
        ("image_url", &page.picture_url),
    ];
    body.extend(links.into_iter().filter_map(|(name, url)| Some((name.to_owned(), url.clone()?.into()))));
    body
}

/// The templates within an address: what stands in `{{ }}`.
fn templates_of(address: &str) -> Vec<String> {
    let ends = address.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    ends.map(|(inner, _)| format!("{{{{{inner}}}}}")).collect()
}

impl WebhookConfig {
    fn written(&self, payload: &Value) -> (&'static str, String) {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match (self.content_type, payload) {
            (ContentType::Form, Value::Object(fields)) => {
                let pairs =
                    fields.iter().map(|(name, value)| format!("{}={}", form_value(name), form_value(&text(value))));
                ("application/x-www-form-urlencoded", pairs.collect::<Vec<_>>().join("&"))
            }
            (ContentType::Form, other) => ("application/x-www-form-urlencoded", text(other)),
            (ContentType::Text, other) => ("text/plain; charset=utf-8", text(other)),
            (ContentType::Json, other) => ("application/json", other.to_string()),
        }
    }
}

impl Channel for WebhookConfig {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.url_file.iter_mut().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        check_url(&self.url, &self.url_file, path, problems);
        if let Some(url) = &self.url {
            check_template(Some(url.expose()), templates, &path.field("url"), problems);
        }
        match (&self.payload, self.content_type) {
            (Some(payload), kind) => {
                check_value(payload, templates, &path.field("payload"), problems);
                if kind == ContentType::Form && !payload.is_object() && !payload.is_string() {
                    problems.error(&path.field("payload"), "this is no form").hint("give a map of names and texts");
                }
            }
            (None, ContentType::Json) => {}
            (None, _) => {
                problems
                    .error(&path.field("content_type"), "there is no `payload` to be sent so")
                    .hint("Alertmanager's own body is always JSON; give a `payload`");
            }
        }
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let mut errors = Vec::new();
        let body = Value::Object(body(draft, self.max_alerts));
        let (kind, body) = match &self.payload {
            None => ("application/json", body.to_string()),
            Some(payload) => {
                let payload = filled_value(payload, draft, &mut errors);
                // Alertmanager's body is better than none; one of another form would only be refused.
                let failed = !errors.is_empty() && self.content_type == ContentType::Json;
                if failed { ("application/json", body.to_string()) } else { self.written(&payload) }
            }
        };
        let mut headers = vec![
            ("Content-Type".into(), kind.into()),
            ("webhook-id".into(), draft.key.to_owned()),
            ("Idempotency-Key".into(), draft.key.to_owned()),
        ];
        let address = self.url.as_ref().map(Secret::expose).unwrap_or_default();
        for template in templates_of(address) {
            let part = filled(Some(&template), draft, &mut errors).unwrap_or_default();
            headers.push((PART.into(), crate::cut::one_line(&part)));
        }
        Rendered { headers, body, template_errors: errors }
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let mut address = held(attempt.disk, &self.url, &self.url_file)?;
        for (_, part) in rendered.headers.iter().filter(|(name, _)| name == PART) {
            let place = address.find("{{").and_then(|at| Some((at, at + address[at..].find("}}")? + 2)));
            if let Some((from, to)) = place {
                address.replace_range(from..to, part);
            }
        }
        let url = address.trim().parse().map_err(|_| "`url` is not a web address".to_owned())?;
        let mut plain = rendered.clone();
        plain.headers.retain(|(name, _)| name != PART);
        Ok(vec![plain.post(url)])
    }

    fn is_for_people(&self) -> bool {
        false
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, false, Shows::Linked)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        let address = secret_of(disk, &self.url, &self.url_file);
        // Between what templates give, the pieces of the address are what can be recognised.
        let mut pieces = address.expose().split("{{").map(|part| part.split_once("}}").map_or(part, |(_, rest)| rest));
        let first = pieces.next().unwrap_or_default();
        let others = pieces.filter(|piece| piece.len() >= config::SECRET_PATH_MIN).map(Secret::new);
        config::url_secrets(&Secret::new(first)).into_iter().chain(others).collect()
    }
}
