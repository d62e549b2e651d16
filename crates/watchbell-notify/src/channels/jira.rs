//! Jira: one issue per group of alerts, found again by a label, resolved and reopened by its workflow.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use watchbell_model::{Path, Problems, Secret, Severity, Span, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::http::{Request, Response};

use super::{
    Attempt, Channel, Draft, Outgoing, Rendered, Talk, VerdictKind, check_template, check_value, filled, filled_value,
    http_channel, worded,
};
use crate::config::ChannelDefaults;
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// Limits of the API, in characters.
const SUMMARY_MAX: usize = 255;
const DESCRIPTION_MAX: usize = 32_767;
const UNIT: Unit = Unit::Characters;

http_channel! {
    /// A project of Jira. Credentials stand in `http_config`: `basic_auth` with an API token for the cloud, a token as
    /// `authorization` for a data center.
    pub struct JiraConfig {
        /// Where the API is, such as `https://example.atlassian.net/rest/api/2/`; unless given, `global.jira_api_url`.
        #[serde(default)]
        pub api_url: Option<Url>,
        /// How issues are searched: as `cloud` or `datacenter` has it; `auto` takes `atlassian.net` for the cloud.
        #[serde(default)]
        pub api_type: JiraApi,
        /// The project's key; a template.
        pub project: String,
        /// The kind of issue, such as `Bug`; a template.
        pub issue_type: String,
        /// The title, a template; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub summary: JiraField,
        /// The text, a template; unless given: what, since when, where, what else. With version 3 of the API one that is
        /// JSON is taken for Atlassian's document format.
        #[serde(default)]
        pub description: JiraField,
        /// Labels besides the one by which the issue is found; templates.
        #[serde(default)]
        pub labels: Vec<String>,
        /// The priority's name, a template; unless given, `High`, `Medium` or `Low` by severity. Empty for the project's
        /// own.
        #[serde(default)]
        pub priority: Option<String>,
        /// The transition that reopens an issue; without one, what fires again is a new issue.
        #[serde(default)]
        pub reopen_transition: Option<String>,
        /// The transition that resolves an issue; without one, it stays open.
        #[serde(default)]
        pub resolve_transition: Option<String>,
        /// The resolution of issues that are never reopened.
        #[serde(default)]
        pub wont_fix_resolution: Option<String>,
        /// How long after its end an issue is reopened; longer ago, a new one is made. Nothing is reopened without it.
        #[serde(default)]
        pub reopen_duration: Option<Span>,
        /// Other fields by their names, such as `customfield_10001`; each text is a template.
        #[serde(default)]
        pub fields: BTreeMap<String, Value>,
    }
}

/// How issues are searched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JiraApi {
    /// By the host's name.
    #[default]
    Auto,
    /// As Atlassian's cloud has it.
    Cloud,
    /// As one's own servers have it.
    Datacenter,
}

/// A field of an issue: a template, or a map of `template` and `enable_update`.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(with = "Value")]
pub struct JiraField {
    /// The template.
    pub template: Option<String>,
    /// Whether an issue that is open follows the group.
    pub enable_update: Option<bool>,
}

impl<'de> Deserialize<'de> for JiraField {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<JiraField, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Both {
            #[serde(default)]
            template: Option<String>,
            #[serde(default)]
            enable_update: Option<bool>,
        }
        match Value::deserialize(from)? {
            Value::String(text) => Ok(JiraField { template: Some(text), enable_update: None }),
            other => {
                let both = Both::deserialize(other).map_err(serde::de::Error::custom)?;
                Ok(JiraField { template: both.template, enable_update: both.enable_update })
            }
        }
    }
}

impl JiraConfig {
    fn base(&self) -> &str {
        self.api_url.as_ref().map_or("", Url::as_str).trim_end_matches('/')
    }

    fn has_documents(&self) -> bool {
        self.base().ends_with("/3")
    }

    fn search_address(&self) -> String {
        let host = self.api_url.as_ref().map_or("", Url::host);
        let cloud = match self.api_type {
            JiraApi::Auto => host.ends_with("atlassian.net"),
            JiraApi::Cloud => true,
            JiraApi::Datacenter => false,
        };
        match cloud {
            true => format!("{}/search/jql", self.base()).replace("/rest/api/2/", "/rest/api/3/"),
            false => format!("{}/search", self.base()),
        }
    }

    fn query(&self, project: &str, label: &str, resolved: bool) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut query = String::new();
        if let Some(never) = self.wont_fix_resolution.as_deref().filter(|it| !it.is_empty()) {
            query.push_str(&format!("(resolution is EMPTY or resolution != {}) and ", quoted(never)));
        }
        let minutes = self.reopen_duration.map_or(0, |span| span.duration().as_secs() / 60);
        match self.reopen_transition.is_some() && minutes > 0 && !resolved {
            true => query.push_str(&format!("(resolutiondate is EMPTY OR resolutiondate >= -{minutes}m) and ")),
            false => query.push_str("statusCategory != Done and "),
        }
        format!(
            "{query}project={} and labels={} order by status ASC,resolutiondate DESC",
            quoted(project),
            quoted(label)
        )
    }

    fn description(&self, draft: &Draft<'_>, errors: &mut Vec<String>) -> Value {
        let page = draft.page;
        let given = worded(self.description.template.as_deref(), &page.text, draft, errors);
        let own = serde_json::from_str::<Value>(given.trim()).ok().filter(Value::is_object);
        if let (true, Some(document)) = (self.has_documents(), own) {
            return document;
        }
        let links = format!("\n\nRun book: {}\nAlarm: {}", page.runbook_url, page.alarm_url);
        let text = format!("{}{links}", cut(&given, DESCRIPTION_MAX - links.chars().count().min(2000), UNIT));
        if !self.has_documents() {
            return text.into();
        }
        let paragraphs: Vec<Value> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| json!({"type": "paragraph", "content": [{"type": "text", "text": line}]}))
            .collect();
        json!({"type": "doc", "version": 1, "content": paragraphs})
    }
}

impl Channel for JiraConfig {
    fn kind(&self) -> &'static str {
        "jira"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        if self.api_url.is_none() {
            self.api_url.clone_from(&defaults.jira_api_url);
        }
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        if self.api_url.is_none() {
            problems
                .error(path, "the field `api_url` is missing")
                .hint("such as `https://example.atlassian.net/rest/api/2/`, here or as `jira_api_url`");
        }
        for (name, text) in [("project", &self.project), ("issue_type", &self.issue_type)] {
            if text.trim().is_empty() {
                problems.error(&path.field(name), "it is empty").hint("Jira shows it in the project's settings");
            }
            check_template(Some(text), templates, &path.field(name), problems);
        }
        check_template(self.summary.template.as_deref(), templates, &path.field("summary"), problems);
        check_template(self.description.template.as_deref(), templates, &path.field("description"), problems);
        check_template(self.priority.as_deref(), templates, &path.field("priority"), problems);
        for (at, label) in self.labels.iter().enumerate() {
            check_template(Some(label), templates, &path.field("labels").index(at), problems);
        }
        for (name, value) in &self.fields {
            check_value(value, templates, &path.field("fields").field(name), problems);
        }
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let text = |template: &str, errors: &mut Vec<String>| {
            one_line(&filled(Some(template), draft, errors).unwrap_or_default())
        };
        let label = format!("ALERT{{{}}}", page.sequence_id);
        // Jira takes no label with a space.
        let mut labels: Vec<String> =
            self.labels.iter().map(|label| text(label, &mut errors).replace(' ', "_")).collect();
        labels.push(label.clone());
        labels.retain(|label| !label.is_empty());
        labels.sort();
        let project = text(&self.project, &mut errors);
        let summary = one_line(&worded(self.summary.template.as_deref(), &page.title, draft, &mut errors));
        let mut fields = serde_json::Map::new();
        for (name, value) in &self.fields {
            fields.insert(name.clone(), filled_value(value, draft, &mut errors));
        }
        fields.insert("project".into(), json!({ "key": project }));
        fields.insert("issuetype".into(), json!({ "name": text(&self.issue_type, &mut errors) }));
        fields.insert("summary".into(), cut(&summary, SUMMARY_MAX, UNIT).into());
        fields.insert("description".into(), self.description(draft, &mut errors));
        fields.insert("labels".into(), labels.into());
        let usual = match page.severity {
            Severity::Critical => "High",
            Severity::Warning => "Medium",
            Severity::Info => "Low",
        };
        let priority = match &self.priority {
            Some(template) => filled(Some(template), draft, &mut errors).unwrap_or_else(|| usual.to_owned()),
            None => usual.to_owned(),
        };
        if !priority.trim().is_empty() {
            fields.insert("priority".into(), json!({ "name": priority.trim() }));
        }
        let query = self.query(&project, &label, page.is_resolved());
        Rendered::json(&json!({ "search": query, "issue": { "fields": fields } }), errors)
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let body = rendered.read()?;
        let transition = if attempt.resolved { &self.resolve_transition } else { &self.reopen_transition };
        let mut update = body["issue"].clone();
        for (name, field) in [("summary", &self.summary), ("description", &self.description)] {
            if let (Some(false), Some(fields)) = (field.enable_update, update["fields"].as_object_mut()) {
                fields.remove(name);
            }
        }
        Ok(vec![Outgoing::Talk(Box::new(Exchange {
            base: self.base().to_owned(),
            search_address: self.search_address(),
            query: body["search"].as_str().unwrap_or_default().to_owned(),
            known: attempt.thread.map(str::to_owned),
            create: body["issue"].clone(),
            update,
            transition: transition.clone().filter(|it| !it.is_empty()),
            resolved: attempt.resolved,
            state: State::Begun,
        }))])
    }

    /// The issue's key.
    fn thread(&self, answer: &Response) -> Option<String> {
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        let key = answer["key"].as_str().or(answer["issues"][0]["key"].as_str())?;
        Some(key.to_owned())
    }

    fn is_for_people(&self) -> bool {
        false
    }

    /// Who looks for an issue and finds none makes one.
    fn at_once(&self) -> usize {
        1
    }

    fn secrets(&self, _disk: &Disk) -> Vec<Secret> {
        Vec::new()
    }
}

/// What is said to Jira about one page.
struct Exchange {
    base: String,
    search_address: String,
    query: String,
    /// The issue of an earlier page: what was just made is not found at once.
    known: Option<String>,
    create: Value,
    update: Value,
    transition: Option<String>,
    resolved: bool,
    state: State,
}

enum State {
    Begun,
    /// The issue of an earlier page was asked for.
    Recalled,
    Searched,
    /// The issue was written, and is done or not.
    Updated {
        key: String,
        done: bool,
    },
    /// Its transitions were asked for.
    Asked {
        key: String,
    },
    Over,
}

impl Exchange {
    fn request(&self, method: &str, url: &str, body: Option<&Value>) -> Result<Option<Request>, (VerdictKind, String)> {
        let url: Url = url.parse().map_err(|_| (VerdictKind::Refused, "`api_url` is not a web address".to_owned()))?;
        let mut request = Request::post(url, body.map(Value::to_string).unwrap_or_default())
            .header("Content-Type", "application/json")
            .header("Accept-Language", "en");
        request.method = method.to_owned();
        Ok(Some(request))
    }

    fn search(&mut self) -> Result<Option<Request>, (VerdictKind, String)> {
        self.state = State::Searched;
        let body = json!({"jql": self.query, "maxResults": 2, "fields": ["status"]});
        self.request("POST", &self.search_address, Some(&body))
    }

    fn write(&mut self, key: &str, done: bool) -> Result<Option<Request>, (VerdictKind, String)> {
        self.state = State::Updated { key: key.to_owned(), done };
        self.request("PUT", &format!("{}/issue/{key}", self.base), Some(&self.update))
    }
}

fn is_done(issue: &Value) -> bool {
    issue["fields"]["status"]["statusCategory"]["key"] == "done"
}

impl Talk for Exchange {
    fn forgives(&self, status: u16) -> bool {
        // Somebody may have deleted the issue.
        status == 404 && matches!(self.state, State::Recalled)
    }

    fn next(&mut self, answer: Option<&Response>) -> Result<Option<Request>, (VerdictKind, String)> {
        let read = || -> Result<Value, (VerdictKind, String)> {
            let body = answer.map(|answer| answer.body.as_slice()).unwrap_or_default();
            serde_json::from_slice(body)
                .map_err(|_| (VerdictKind::Retry(None), "the answer of Jira is not JSON".to_owned()))
        };
        match std::mem::replace(&mut self.state, State::Over) {
            State::Begun => match self.known.clone() {
                Some(key) => {
                    self.state = State::Recalled;
                    self.request("GET", &format!("{}/issue/{key}?fields=status", self.base), None)
                }
                None => self.search(),
            },
            State::Recalled => {
                let issue = read().unwrap_or_default();
                let done = is_done(&issue);
                match issue["key"].as_str() {
                    // What somebody has closed for good stays closed.
                    Some(key) if !done || self.resolved || self.transition.is_some() => self.write(key, done),
                    _ => self.search(),
                }
            }
            State::Searched => {
                let found = read()?;
                let list = found["issues"].as_array();
                let list = list.ok_or((VerdictKind::Refused, "the answer of Jira has no `issues`".to_owned()))?;
                match list.first() {
                    Some(issue) => self.write(issue["key"].as_str().unwrap_or_default(), is_done(issue)),
                    // What is over needs no issue.
                    None if self.resolved => Ok(None),
                    None => self.request("POST", &format!("{}/issue", self.base), Some(&self.create)),
                }
            }
            State::Updated { key, done } => {
                // Resolving what is done and reopening what is not are no transitions.
                if self.transition.is_none() || done == self.resolved {
                    return Ok(None);
                }
                let url = format!("{}/issue/{key}/transitions", self.base);
                self.state = State::Asked { key };
                self.request("GET", &url, None)
            }
            State::Asked { key } => {
                let wanted = self.transition.as_deref().unwrap_or_default();
                let found = read()?;
                let id = found["transitions"].as_array().into_iter().flatten().find(|it| it["name"] == wanted);
                let Some(id) = id.map(|it| it["id"].clone()) else {
                    let reason = format!("the issue {key} was written, but has no transition `{wanted}` now");
                    return Err((VerdictKind::Refused, reason));
                };
                let url = format!("{}/issue/{key}/transitions", self.base);
                self.request("POST", &url, Some(&json!({"transition": {"id": id}})))
            }
            State::Over => Ok(None),
        }
    }
}
