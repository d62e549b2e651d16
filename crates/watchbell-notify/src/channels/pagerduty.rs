//! PagerDuty: events that open an incident, add to it and resolve it, by one key per group of alerts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use watchbell_model::{Path, Problems, Secret, Severity, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;

use super::picture::{self, Shows};
use super::{
    Attempt, Channel, Draft, Outgoing, Rendered, VerdictKind, check_secret, check_template, check_value, filled,
    filled_value, http_channel, secret_of, worded,
};
use crate::config::ChannelDefaults;
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// Limits of the API: the summary in characters, the whole event in bytes.
const SUMMARY_MAX: usize = 1024;
const EVENT_MAX: usize = 512_000;
/// A detail longer than this is cut where the whole would be too long, in bytes.
const DETAIL_MAX: usize = 2000;
const V1: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";
const V2: &str = "https://events.pagerduty.com/v2/enqueue";

http_channel! {
    /// A service of PagerDuty.
    pub struct PagerdutyConfig {
        /// The key of an integration of Events API v2; take it from a secret: `${secret:name}`.
        #[serde(default)]
        pub routing_key: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub routing_key_file: Option<PathBuf>,
        /// The key of an integration of the older Events API v1, in place of `routing_key`.
        #[serde(default)]
        pub service_key: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub service_key_file: Option<PathBuf>,
        /// Where events are sent; unless given, `global.pagerduty_url`, or else PagerDuty's own.
        #[serde(default)]
        pub url: Option<Url>,
        /// The name of who watches; a template.
        #[serde(default)]
        pub client: Option<String>,
        /// Where it is watched; unless given, the alarm's page. A template.
        #[serde(default)]
        pub client_url: Option<String>,
        /// What is wrong, a template; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub description: Option<String>,
        /// `critical`, `error`, `warning` or `info`, a template; unless given, the alerts' own.
        #[serde(default)]
        pub severity: Option<String>,
        /// What else is known; values may be texts, lists and maps, and each text is a template.
        #[serde(default)]
        pub details: BTreeMap<String, Value>,
        /// Pictures.
        #[serde(default)]
        pub images: Vec<PagerdutyImage>,
        /// Links besides those to the run book and the alarm.
        #[serde(default)]
        pub links: Vec<PagerdutyLink>,
        /// What is affected; unless given, `client`. A template.
        #[serde(default)]
        pub source: Option<String>,
        /// What part of it; a template.
        #[serde(default)]
        pub component: Option<String>,
        /// What kind of event; a template.
        #[serde(default)]
        pub class: Option<String>,
        /// What it belongs to; a template.
        #[serde(default)]
        pub group: Option<String>,
        /// Whether the incident shows a picture of the graph, drawn by watchbell, by a signed link before `images`;
        /// `site.url` must be an `https` address that PagerDuty reaches.
        #[serde(default)]
        pub picture: Option<bool>,
    }
}

/// A picture of an incident; each field is a template.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PagerdutyImage {
    /// Where it is.
    pub src: String,
    /// What it shows.
    pub alt: String,
    /// Where it leads.
    pub href: String,
}

/// A link of an incident; each field is a template.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PagerdutyLink {
    /// Where it leads.
    pub href: String,
    /// What it is called.
    pub text: String,
}

impl PagerdutyConfig {
    fn is_v1(&self) -> bool {
        self.service_key.is_some() || self.service_key_file.is_some()
    }
}

impl Channel for PagerdutyConfig {
    fn kind(&self) -> &'static str {
        "pagerduty"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        if self.url.is_none() && !self.is_v1() {
            self.url.clone_from(&defaults.pagerduty_url);
        }
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.routing_key_file.iter_mut().chain(self.service_key_file.iter_mut()).collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let needed = (!self.is_v1()).then_some("PagerDuty shows it with an integration of Events API v2");
        check_secret("routing_key", &self.routing_key, &self.routing_key_file, needed, path, problems);
        check_secret("service_key", &self.service_key, &self.service_key_file, None, path, problems);
        if self.is_v1() && (self.routing_key.is_some() || self.routing_key_file.is_some()) {
            problems
                .error(path, "there are both `routing_key` and `service_key`")
                .hint("keep `routing_key`, which is that of the newer API");
        }
        for (name, template) in [
            ("client", &self.client),
            ("client_url", &self.client_url),
            ("description", &self.description),
            ("severity", &self.severity),
            ("source", &self.source),
            ("component", &self.component),
            ("class", &self.class),
            ("group", &self.group),
        ] {
            check_template(template.as_deref(), templates, &path.field(name), problems);
        }
        for (name, value) in &self.details {
            check_value(value, templates, &path.field("details").field(name), problems);
        }
        for (at, image) in self.images.iter().enumerate() {
            for (name, text) in [("src", &image.src), ("alt", &image.alt), ("href", &image.href)] {
                check_template(Some(text), templates, &path.field("images").index(at).field(name), problems);
            }
        }
        for (at, link) in self.links.iter().enumerate() {
            for (name, text) in [("href", &link.href), ("text", &link.text)] {
                check_template(Some(text), templates, &path.field("links").index(at).field(name), problems);
            }
        }
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let words = |template: &Option<String>, default: &str, errors: &mut Vec<String>| {
            worded(template.as_deref(), default, draft, errors)
        };
        let summary = one_line(&words(&self.description, &page.title, &mut errors));
        let summary = cut(&summary, SUMMARY_MAX, Unit::Characters);
        let client = words(&self.client, "watchbell", &mut errors);
        let client_url = words(&self.client_url, &page.alarm_url, &mut errors);
        let mut details = Map::new();
        details.insert("page".into(), page.text.as_str().into());
        details.insert("runbook".into(), page.runbook_url.as_str().into());
        let firing = page.alerts.iter().filter(|alert| alert.until.is_none()).count();
        details.insert("num_firing".into(), firing.to_string().into());
        details.insert("num_resolved".into(), (page.alerts.len() - firing).to_string().into());
        for (name, value) in &self.details {
            details.insert(name.clone(), filled_value(value, draft, &mut errors));
        }
        let action = if page.is_resolved() { "resolve" } else { "trigger" };
        let mut body = if self.is_v1() {
            let mut body = json!({
                "event_type": action,
                "incident_key": page.sequence_id,
                "description": summary,
                "details": details,
            });
            if !page.is_resolved() {
                body["client"] = client.into();
                body["client_url"] = client_url.into();
            }
            body
        } else {
            let usual = match page.severity {
                Severity::Critical => "critical",
                Severity::Warning => "warning",
                Severity::Info => "info",
            };
            let severity = words(&self.severity, usual, &mut errors).trim().to_ascii_lowercase();
            // An event with another word is refused as a whole.
            let severity = match severity.as_str() {
                "critical" | "error" | "warning" | "info" => severity,
                _ => usual.to_owned(),
            };
            let mut text = |template: &str| filled(Some(template), draft, &mut errors).unwrap_or_default();
            let mut links = vec![
                json!({"href": page.runbook_url, "text": "Run book"}),
                json!({"href": page.alarm_url, "text": "Alarm"}),
            ];
            links.extend(self.links.iter().filter_map(|link| {
                let (href, words) = (text(&link.href), text(&link.text));
                (!href.is_empty()).then(|| json!({"href": href, "text": words}))
            }));
            // PagerDuty shows no other.
            let graph = page.picture_url.iter().filter(|url| url.starts_with("https://"));
            let graph = graph.map(|url| json!({"src": url, "alt": picture::ALT, "href": page.alarm_url}));
            let given = self.images.iter().filter_map(|image| {
                let (src, alt, href) = (text(&image.src), text(&image.alt), text(&image.href));
                (!src.is_empty()).then(|| json!({"src": src, "alt": alt, "href": href}))
            });
            let images: Vec<Value> = graph.chain(given).collect();
            let mut body = json!({
                "event_action": action,
                "dedup_key": page.sequence_id,
                "client": client,
                "client_url": client_url,
                "links": links,
                "payload": {
                    "summary": summary,
                    "source": words(&self.source, &client, &mut errors),
                    "severity": severity,
                    "timestamp": page.at.to_string(),
                    "custom_details": details,
                },
            });
            if !images.is_empty() {
                body["images"] = images.into();
            }
            for (name, template) in [("component", &self.component), ("class", &self.class), ("group", &self.group)] {
                if let Some(text) = filled(template.as_deref(), draft, &mut errors).filter(|it| !it.is_empty()) {
                    body["payload"][name] = text.into();
                }
            }
            body
        };
        if body.to_string().len() > EVENT_MAX {
            let pointer = if self.is_v1() { "/details" } else { "/payload/custom_details" };
            if let Some(Value::Object(details)) = body.pointer_mut(pointer) {
                for value in details.values_mut().filter(|value| value.to_string().len() > DETAIL_MAX) {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    *value = cut(&text, DETAIL_MAX, Unit::Bytes).into();
                }
            }
        }
        Rendered::json(&body, errors)
    }

    /// Acknowledges the incident.
    fn hush(&self, draft: &Draft<'_>) -> Option<Rendered> {
        let (key, by) = (&draft.page.sequence_id, draft.group.acknowledged_by.as_ref()?);
        let body = match self.is_v1() {
            true => {
                json!({"event_type": "acknowledge", "incident_key": key, "description": format!("{by} sees to it")})
            }
            false => json!({"event_action": "acknowledge", "dedup_key": key}),
        };
        Some(Rendered::json(&body, Vec::new()))
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let mut body = rendered.read()?;
        let (name, key, address) = match self.is_v1() {
            true => ("service_key", held(attempt.disk, &self.service_key, &self.service_key_file)?, V1),
            false => ("routing_key", held(attempt.disk, &self.routing_key, &self.routing_key_file)?, V2),
        };
        body[name] = key.into();
        let url = self.url.clone().unwrap_or_else(|| address.parse().expect("it is an address"));
        Ok(vec![rendered.post_body(url, body.to_string())])
    }

    fn judge_status(&self, status: u16, _body: &str) -> Option<VerdictKind> {
        // Events API v1 says so that there were too many.
        (self.is_v1() && status == 403).then_some(VerdictKind::Retry(None))
    }

    fn is_for_people(&self) -> bool {
        false
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, false, Shows::Linked)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![
            secret_of(disk, &self.routing_key, &self.routing_key_file),
            secret_of(disk, &self.service_key, &self.service_key_file),
        ]
    }
}
