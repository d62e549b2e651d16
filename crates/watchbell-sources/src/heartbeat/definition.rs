//! What somebody wants of a heartbeat, in Healthchecks' words: made by its API, or read from the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchbell_model::{HeartbeatTerms, Labels, PingKind, RunbookRef, Schedule, Severity, Span, Zone};

use super::request::PingRequest;

/// How the time of the next report is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// By [`Definition::timeout`].
    #[default]
    Simple,
    /// By [`Definition::schedule`], a cron expression.
    Cron,
    /// By [`Definition::schedule`], a calendar expression of systemd.
    OnCalendar,
}

/// What the configuration says of a heartbeat's alerts; Healthchecks has no words for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alerting {
    /// How bad it is when the job is silent or fails.
    pub severity: Severity,
    /// The run book that is named, if one is.
    pub runbook: Option<RunbookRef>,
    /// Labels of its alerts.
    pub labels: Labels,
    /// Names of monitors without which the job cannot report.
    pub depends_on: Vec<String>,
}

/// A heartbeat as somebody made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Definition {
    /// What people call it; may be empty.
    pub name: String,
    /// Its name in addresses with the ping key; may be empty.
    pub slug: String,
    /// Words, with spaces between.
    pub tags: String,
    /// What the job does.
    pub description: String,
    /// Which of the next two counts.
    pub kind: ScheduleKind,
    /// How often the job reports.
    pub timeout: Span,
    /// When the job reports.
    pub schedule: String,
    /// Whose clock `schedule` means.
    pub zone: Zone,
    /// Time allowed on top, and how long a run may take.
    pub grace: Span,
    /// While it is paused, a ping does not set it going again.
    pub manual_resume: bool,
    /// Only `POST` counts.
    pub post_only: bool,
    /// Words, with commas between, that say in a body that the job begins.
    pub start_keywords: String,
    /// Likewise, that it is done.
    pub success_keywords: String,
    /// Likewise, that it went wrong; these go before the others.
    pub failure_keywords: String,
    /// Words are looked for in the subject of mails.
    pub filter_subject: bool,
    /// Words are looked for in the text of mails.
    pub filter_body: bool,
    /// Words are looked for in what comes with a ping over HTTP.
    pub filter_http_body: bool,
    /// What has none of the words is a failure; otherwise it does not count.
    pub filter_default_fail: bool,
    /// Names of receivers, in order; stands on its alerts as the label `channels`.
    pub channels: Vec<String>,
}

impl Default for Definition {
    /// As Healthchecks makes one of which nothing is said.
    fn default() -> Definition {
        Definition {
            name: String::new(),
            slug: String::new(),
            tags: String::new(),
            description: String::new(),
            kind: ScheduleKind::Simple,
            timeout: Span::days(1),
            schedule: "* * * * *".to_owned(),
            zone: Zone::utc(),
            grace: Span::hours(1),
            manual_resume: false,
            post_only: false,
            start_keywords: String::new(),
            success_keywords: String::new(),
            failure_keywords: String::new(),
            filter_subject: false,
            filter_body: false,
            filter_http_body: false,
            filter_default_fail: false,
            channels: Vec::new(),
        }
    }
}

impl Definition {
    /// Its tags, one by one.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.split(' ').map(str::trim).filter(|tag| !tag.is_empty())
    }

    /// When the job reports. An expression that this version cannot read counts as its `timeout`, which is a day if
    /// nothing was said: late is better than never.
    pub fn schedule(&self) -> Schedule {
        if self.kind == ScheduleKind::Simple {
            return Schedule::Period(self.timeout);
        }
        Schedule::expression(&self.schedule, self.zone.clone()).unwrap_or_else(|error| {
            tracing::error!(heartbeat = self.name, "its schedule cannot be read, it is {}: {error}", self.timeout);
            Schedule::Period(self.timeout)
        })
    }

    /// What is to be judged, under the id `uuid`.
    pub fn terms(&self, uuid: &str) -> HeartbeatTerms {
        let channels = self.channels.join(",");
        let labels = [("tags", self.tags.as_str()), ("channels", channels.as_str())];
        HeartbeatTerms {
            id: uuid.to_owned(),
            title: if self.name.is_empty() { uuid.to_owned() } else { self.name.clone() },
            schedule: self.schedule(),
            grace: self.grace,
            manual_resume: self.manual_resume,
            labels: labels.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Labels>(),
            description: self.description.clone(),
        }
    }

    /// What a ping means for it: its method and its words may say otherwise than its address.
    pub fn kind_of(&self, request: &PingRequest) -> PingKind {
        let text = match &request.mail {
            None if self.post_only && request.method != "POST" => return PingKind::Ignored,
            None if self.filter_http_body => String::from_utf8_lossy(&request.body).into_owned(),
            Some(mail) if self.filter_subject || self.filter_body => {
                let parts = [(self.filter_subject, &mail.subject), (self.filter_body, &mail.text)];
                parts.into_iter().filter(|(is_read, _)| *is_read).map(|(_, text)| format!("{text}\n")).collect()
            }
            _ => return request.action.kind(),
        };
        let said =
            |keywords: &str| keywords.split(',').map(str::trim).any(|word| !word.is_empty() && text.contains(word));
        if said(&self.failure_keywords) {
            PingKind::Fail
        } else if said(&self.success_keywords) {
            PingKind::Success
        } else if said(&self.start_keywords) {
            PingKind::Start
        } else if self.filter_default_fail {
            PingKind::Fail
        } else {
            PingKind::Ignored
        }
    }
}

/// As Django makes them: what is no letter, digit or underscore parts words, words are joined by `-`.
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() || c == '_' => slug.push(c),
            c if (c == '-' || c.is_whitespace()) && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.trim_matches(['-', '_']).to_owned()
}
