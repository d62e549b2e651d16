//! VictorOps, which is Splunk On-Call now: an incident per group of alerts, by its REST integration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};
use watchbell_model::{Path, Problems, Secret, Severity, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::{escape, held};

use super::{
    Attempt, Channel, Draft, Outgoing, Rendered, VerdictKind, check_secret, check_template, complete_secret, filled,
    http_channel, secret_of, worded,
};
use crate::config::ChannelDefaults;
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// The longest message, in characters.
const MESSAGE_MAX: usize = 20_480;
const TITLE_MAX: usize = 250;
const API: &str = "https://alert.victorops.com/integrations/generic/20131114/alert/";
/// Fields that have a meaning of their own.
const RESERVED: [&str; 7] = [
    "routing_key",
    "message_type",
    "state_message",
    "entity_display_name",
    "monitoring_tool",
    "entity_id",
    "entity_state",
];
/// A line of the stored page that is not a header of the request.
const ROUTING_KEY: &str = "Routing-Key";

http_channel! {
    /// A routing key of VictorOps (Splunk On-Call).
    pub struct VictoropsConfig {
        /// The key of the REST integration; take it from a secret: `${secret:name}`. Unless given,
        /// `global.victorops_api_key`.
        #[serde(default)]
        pub api_key: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub api_key_file: Option<PathBuf>,
        /// Where the API is; unless given, `global.victorops_api_url`, or else VictorOps' own.
        #[serde(default)]
        pub api_url: Option<Url>,
        /// Who is called; a template.
        pub routing_key: String,
        /// `CRITICAL`, `WARNING` or `INFO`, a template; unless given, the alerts' severity.
        #[serde(default)]
        pub message_type: Option<String>,
        /// What is wrong, a template; unless given: what, since when, where, what else.
        #[serde(default)]
        pub state_message: Option<String>,
        /// The title, a template; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub entity_display_name: Option<String>,
        /// Who says it; a template.
        #[serde(default)]
        pub monitoring_tool: Option<String>,
        /// Fields besides; each value is a template.
        #[serde(default)]
        pub custom_fields: BTreeMap<String, String>,
    }
}

impl Channel for VictoropsConfig {
    fn kind(&self) -> &'static str {
        "victorops"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        complete_secret(
            (&mut self.api_key, &mut self.api_key_file),
            (&defaults.victorops_api_key, &defaults.victorops_api_key_file),
        );
        if self.api_url.is_none() {
            self.api_url.clone_from(&defaults.victorops_api_url);
        }
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.api_key_file.iter_mut().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let needed = Some("give it here, or `victorops_api_key` for all such channels");
        check_secret("api_key", &self.api_key, &self.api_key_file, needed, path, problems);
        if self.routing_key.trim().is_empty() {
            problems.error(&path.field("routing_key"), "it is empty").hint("VictorOps shows it under its settings");
        }
        check_template(Some(&self.routing_key), templates, &path.field("routing_key"), problems);
        for (name, template) in [
            ("message_type", &self.message_type),
            ("state_message", &self.state_message),
            ("entity_display_name", &self.entity_display_name),
            ("monitoring_tool", &self.monitoring_tool),
        ] {
            check_template(template.as_deref(), templates, &path.field(name), problems);
        }
        for (name, template) in &self.custom_fields {
            let path = path.field("custom_fields").field(name);
            if RESERVED.contains(&name.as_str()) {
                problems.error(&path, format!("`{name}` has a meaning of its own")).hint("use another name");
            }
            check_template(Some(template), templates, &path, problems);
        }
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let usual = match page.severity {
            Severity::Critical => "CRITICAL",
            Severity::Warning => "WARNING",
            Severity::Info => "INFO",
        };
        let given = worded(self.message_type.as_deref(), usual, draft, &mut errors).trim().to_ascii_uppercase();
        let kind = match given.as_str() {
            _ if page.is_resolved() => "RECOVERY",
            known @ ("CRITICAL" | "WARNING" | "INFO") => known,
            _ => usual,
        };
        let title = one_line(&worded(self.entity_display_name.as_deref(), &page.title, draft, &mut errors));
        let message = worded(self.state_message.as_deref(), &page.text, draft, &mut errors);
        let links = format!("\n\nRun book: {}\nAlarm: {}", page.runbook_url, page.alarm_url);
        let room = MESSAGE_MAX.saturating_sub(links.chars().count());
        let mut body: Map<String, Value> = [
            ("message_type", kind.to_owned()),
            ("entity_id", page.sequence_id.clone()),
            ("entity_display_name", cut(&title, TITLE_MAX, Unit::Characters)),
            ("state_message", format!("{}{links}", cut(&message, room, Unit::Characters))),
            ("monitoring_tool", worded(self.monitoring_tool.as_deref(), "watchbell", draft, &mut errors)),
            // Shown as links beside the incident.
            ("vo_annotate.u.Run book", page.runbook_url.clone()),
            ("vo_annotate.u.Alarm", page.alarm_url.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into_iter()
        .collect();
        for (name, template) in &self.custom_fields {
            if let Some(text) = filled(Some(template), draft, &mut errors) {
                body.insert(name.clone(), text.into());
            }
        }
        let key = filled(Some(&self.routing_key), draft, &mut errors).unwrap_or_default();
        let mut rendered = Rendered::json(&body.into(), errors);
        rendered.headers.push((ROUTING_KEY.into(), one_line(&key)));
        rendered
    }

    /// Acknowledges the incident.
    fn hush(&self, draft: &Draft<'_>) -> Option<Rendered> {
        let by = draft.group.acknowledged_by.as_ref()?;
        let mut rendered = self.render(draft);
        let mut body = rendered.read().ok()?;
        body["message_type"] = "ACKNOWLEDGEMENT".into();
        body["state_message"] = format!("{by} sees to it").into();
        rendered.body = body.to_string();
        Some(rendered)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let routing_key = rendered.headers.iter().find(|(name, _)| name == ROUTING_KEY).map(|(_, key)| key.as_str());
        let base = self.api_url.as_ref().map_or(API, Url::as_str).trim_end_matches('/');
        let key = held(attempt.disk, &self.api_key, &self.api_key_file)?;
        let url = format!("{base}/{}/{}", escape(&key), escape(routing_key.unwrap_or_default()));
        let mut plain = rendered.clone();
        plain.headers.retain(|(name, _)| name != ROUTING_KEY);
        Ok(vec![plain.post(url.parse().map_err(|_| "`api_url` is not a web address")?)])
    }

    /// Refusals come with status 200 and `{"result": "failure", …}`.
    fn judge(&self, body: &str) -> VerdictKind {
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        if answer["result"] == "failure" { VerdictKind::Refused } else { VerdictKind::Accepted }
    }

    fn is_for_people(&self) -> bool {
        false
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.api_key, &self.api_key_file)]
    }
}
