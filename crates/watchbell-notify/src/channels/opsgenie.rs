//! Opsgenie, and Jira Service Management, which has taken over its alerts and speaks the same language.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret, Severity, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;
use watchbell_runtime::http::{Request, Response};

use super::picture::Shows;
use super::{
    Attempt, Channel, Draft, Outgoing, Rendered, check_secret, check_template, complete_secret, filled, http_channel,
    secret_of, worded,
};
use crate::config::ChannelDefaults;
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// Limits of the API, in characters.
const MESSAGE_MAX: usize = 130;
const DESCRIPTION_MAX: usize = 15_000;
const NOTE_MAX: usize = 25_000;
const SOURCE_MAX: usize = 100;
const USER_MAX: usize = 100;
const ENTITY_MAX: usize = 512;
/// Tags: how many, and how long each may be in characters; the same for actions.
const TAGS_MAX: usize = 20;
const TAG_MAX: usize = 50;
const ACTIONS_MAX: usize = 10;
/// All details together, in characters.
const DETAILS_MAX: usize = 8000;
const API: &str = "https://api.opsgenie.com/";
const UNIT: Unit = Unit::Characters;

http_channel! {
    /// A team of Opsgenie. For Jira Service Management give
    /// `api_url: https://api.atlassian.com/jsm/ops/integration/` and the key of an API integration there.
    pub struct OpsgenieConfig {
        /// The key of an API integration; take it from a secret: `${secret:name}`. Unless given, `global.opsgenie_api_key`.
        #[serde(default)]
        pub api_key: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub api_key_file: Option<PathBuf>,
        /// Where the API is; unless given, `global.opsgenie_api_url`, or else Opsgenie's own. `https://api.eu.opsgenie.com/`
        /// in Europe.
        #[serde(default)]
        pub api_url: Option<Url>,
        /// What is wrong, a template; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub message: Option<String>,
        /// What else is known, a template; unless given: what, since when, where, what else.
        #[serde(default)]
        pub description: Option<String>,
        /// Who says it; unless given, the alarm's page. A template.
        #[serde(default)]
        pub source: Option<String>,
        /// What else is known, besides the labels that all alerts share; each value is a template.
        #[serde(default)]
        pub details: BTreeMap<String, String>,
        /// Who is called, if it is not for the integration to say.
        #[serde(default)]
        pub responders: Vec<OpsgenieResponder>,
        /// Tags with commas between them; a template.
        #[serde(default)]
        pub tags: Option<String>,
        /// A note; a template.
        #[serde(default)]
        pub note: Option<String>,
        /// `P1` to `P5`, a template; unless given, `P1` for `critical`, `P3` for `warning`, `P5` for `info`.
        #[serde(default)]
        pub priority: Option<String>,
        /// What is affected; a template.
        #[serde(default)]
        pub entity: Option<String>,
        /// Actions with commas between them; a template.
        #[serde(default)]
        pub actions: Option<String>,
        /// Whether message and description of an alert that is open follow the group.
        #[serde(default)]
        pub update_alerts: bool,
        /// Whether the description has a signed link to a picture of the graph, drawn by watchbell.
        #[serde(default)]
        pub picture: Option<bool>,
    }
}

/// Who is called: by one of `id`, `name` and `username`. Each field is a template.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpsgenieResponder {
    /// Its identity.
    pub id: String,
    /// Its name; of `teams`, names with commas between them.
    pub name: String,
    /// A user's name.
    pub username: String,
    /// `team`, `teams`, `user`, `escalation` or `schedule`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl OpsgenieConfig {
    fn address(&self, path: &str) -> Result<Url, String> {
        let base = self.api_url.as_ref().map_or(API, Url::as_str).trim_end_matches('/');
        format!("{base}/{path}").parse().map_err(|_| "`api_url` is not a web address".to_owned())
    }

    fn responders(&self, draft: &Draft<'_>, errors: &mut Vec<String>) -> Vec<Value> {
        let mut list = Vec::new();
        for responder in &self.responders {
            let mut text = |template: &str| filled(Some(template), draft, errors).unwrap_or_default().trim().to_owned();
            let (id, name, username) = (text(&responder.id), text(&responder.name), text(&responder.username));
            let kind = text(&responder.kind).to_ascii_lowercase();
            if kind == "teams" {
                list.extend(parts(&name).map(|name| json!({"name": name, "type": "team"})));
                continue;
            }
            let known = [("id", id), ("name", name), ("username", username)];
            let mut one: serde_json::Map<String, Value> =
                known.into_iter().filter(|(_, it)| !it.is_empty()).map(|(name, it)| (name.into(), it.into())).collect();
            // One whose templates gave nothing is nobody.
            if !one.is_empty() {
                one.insert("type".into(), kind.into());
                list.push(one.into());
            }
        }
        list
    }
}

/// What stands between commas.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

impl Channel for OpsgenieConfig {
    fn kind(&self) -> &'static str {
        "opsgenie"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        complete_secret(
            (&mut self.api_key, &mut self.api_key_file),
            (&defaults.opsgenie_api_key, &defaults.opsgenie_api_key_file),
        );
        if self.api_url.is_none() {
            self.api_url.clone_from(&defaults.opsgenie_api_url);
        }
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.api_key_file.iter_mut().collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let needed = Some("give it here, or `opsgenie_api_key` for all such channels");
        check_secret("api_key", &self.api_key, &self.api_key_file, needed, path, problems);
        for (name, template) in [
            ("message", &self.message),
            ("description", &self.description),
            ("source", &self.source),
            ("tags", &self.tags),
            ("note", &self.note),
            ("priority", &self.priority),
            ("entity", &self.entity),
            ("actions", &self.actions),
        ] {
            check_template(template.as_deref(), templates, &path.field(name), problems);
        }
        for (name, template) in &self.details {
            check_template(Some(template), templates, &path.field("details").field(name), problems);
        }
        for (at, responder) in self.responders.iter().enumerate() {
            let path = path.field("responders").index(at);
            let who = [("id", &responder.id), ("name", &responder.name), ("username", &responder.username)];
            if who.iter().all(|(_, text)| text.is_empty()) {
                problems.error(&path, "it is nobody").hint("give one of `id`, `name` and `username`");
            }
            for (name, text) in who.into_iter().chain([("type", &responder.kind)]) {
                check_template(Some(text), templates, &path.field(name), problems);
            }
            let kind = responder.kind.to_ascii_lowercase();
            let known = ["team", "teams", "user", "escalation", "schedule"].contains(&kind.as_str());
            if !known && !kind.contains("{{") {
                problems
                    .error(&path.field("type"), format!("`{}` is not a kind of responder", responder.kind))
                    .hint("`team`, `teams`, `user`, `escalation` or `schedule`");
            }
        }
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let source = worded(self.source.as_deref(), &page.alarm_url, draft, &mut errors);
        let source = cut(&one_line(&source), SOURCE_MAX, UNIT);
        if page.is_resolved() {
            let note = cut(&format!("{}\n{}", page.title, page.text), NOTE_MAX, UNIT);
            let body = json!({"alias": page.sequence_id, "close": {"source": source, "note": note}});
            return Rendered::json(&body, errors);
        }
        let message = one_line(&worded(self.message.as_deref(), &page.title, draft, &mut errors));
        let description = worded(self.description.as_deref(), &page.text, draft, &mut errors);
        let graph = page.picture_url.as_ref().map(|url| format!("\nGraph: {url}")).unwrap_or_default();
        let links = format!("\n\nRun book: {}\nAlarm: {}{graph}", page.runbook_url, page.alarm_url);
        let room = DESCRIPTION_MAX.saturating_sub(links.chars().count());
        let mut details = serde_json::Map::new();
        let mut size = 0;
        let mut add = |name: &str, value: String| {
            size += name.chars().count() + value.chars().count();
            if size <= DETAILS_MAX {
                details.insert(name.to_owned(), value.into());
            }
        };
        add("runbook_url", page.runbook_url.clone());
        for (name, template) in &self.details {
            add(name, filled(Some(template), draft, &mut errors).unwrap_or_default());
        }
        let shared = page.alerts.first().map(|first| &first.labels);
        for (name, value) in shared.into_iter().flat_map(|labels| labels.iter()) {
            let everywhere = page.alerts.iter().all(|alert| alert.labels.get(name) == Some(value));
            if everywhere && !self.details.contains_key(name) {
                add(name, value.to_owned());
            }
        }
        let usual = match page.severity {
            Severity::Critical => "P1",
            Severity::Warning => "P3",
            Severity::Info => "P5",
        };
        let priority = worded(self.priority.as_deref(), usual, draft, &mut errors).trim().to_ascii_uppercase();
        // An alert with another word is refused as a whole.
        let known = ["P1", "P2", "P3", "P4", "P5"].contains(&priority.as_str());
        let mut create = json!({
            "alias": page.sequence_id,
            "message": cut(&message, MESSAGE_MAX, UNIT),
            "description": format!("{}{links}", cut(&description, room, UNIT)),
            "source": source,
            "details": details,
            "priority": if known { priority } else { usual.to_owned() },
        });
        let responders = self.responders(draft, &mut errors);
        if !responders.is_empty() {
            create["responders"] = responders.into();
        }
        for (name, template, max) in [("tags", &self.tags, TAGS_MAX), ("actions", &self.actions, ACTIONS_MAX)] {
            let text = filled(template.as_deref(), draft, &mut errors).unwrap_or_default();
            let list: Vec<String> = parts(&text).take(max).map(|part| cut(part, TAG_MAX, UNIT)).collect();
            if !list.is_empty() {
                create[name] = list.into();
            }
        }
        for (name, template, max) in [("note", &self.note, NOTE_MAX), ("entity", &self.entity, ENTITY_MAX)] {
            if let Some(text) = filled(template.as_deref(), draft, &mut errors).filter(|it| !it.trim().is_empty()) {
                create[name] = cut(&text, max, UNIT).into();
            }
        }
        Rendered::json(&create, errors)
    }

    /// Acknowledges the alert.
    fn hush(&self, draft: &Draft<'_>) -> Option<Rendered> {
        let by = draft.group.acknowledged_by.as_ref()?;
        let user = cut(&one_line(by), USER_MAX, UNIT);
        let note = cut(&format!("{by} sees to it"), NOTE_MAX, UNIT);
        let source = cut(&draft.site.name, SOURCE_MAX, UNIT);
        let body =
            json!({"alias": draft.page.sequence_id, "acknowledge": {"user": user, "source": source, "note": note}});
        Some(Rendered::json(&body, Vec::new()))
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let body = rendered.read()?;
        let key = held(attempt.disk, &self.api_key, &self.api_key_file)?;
        let request = |method: &str, path: &str, body: &Value| {
            let mut request = Request::post(self.address(path)?, body.to_string());
            request.method = method.to_owned();
            request.headers.clone_from(&rendered.headers);
            Ok::<_, String>(Box::new(request.header("Authorization", format!("GenieKey {key}"))))
        };
        let alias = body["alias"].as_str().unwrap_or_default();
        for action in ["close", "acknowledge"] {
            if let Some(words) = body.get(action) {
                let path = format!("v2/alerts/{alias}/{action}?identifierType=alias");
                return Ok(vec![Outgoing::Http(request("POST", &path, words)?)]);
            }
        }
        let mut list = vec![Outgoing::Http(request("POST", "v2/alerts", &body)?)];
        // One that was just made may not be found yet, and has the words already.
        if self.update_alerts && attempt.thread.is_some() {
            for field in ["message", "description"] {
                let path = format!("v2/alerts/{alias}/{field}?identifierType=alias");
                list.push(Outgoing::Aside(request("PUT", &path, &json!({ field: body[field] }))?));
            }
        }
        Ok(list)
    }

    fn thread(&self, _answer: &Response) -> Option<String> {
        Some("open".into())
    }

    fn is_for_people(&self) -> bool {
        false
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, false, Shows::Linked)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.api_key, &self.api_key_file)]
    }
}
