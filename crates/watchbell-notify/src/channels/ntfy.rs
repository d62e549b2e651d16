//! ntfy: a topic on a server, ours or somebody else's.
//!
//! Published as JSON, since headers cannot hold all of Unicode. The group is the sequence id: its later pages replace
//! the earlier ones on the phone (servers before 2.16 ignore that and show each).

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use watchbell_model::{Path, Problems, Secret, Severity, Span, Url};
use watchbell_runtime::http::Request;

use super::{Draft, Rendered, check_template, loudness, worded};
use crate::config::{self, BasicAuth, Priorities};
use crate::cut::{Unit, cut, one_line};

/// Longer messages become attachments, which a locked phone does not show.
const MESSAGE_MAX: usize = 4096;
const TITLE_MAX: usize = 250;
/// What the server takes as an address to open.
const URL_MAX: usize = 2000;

/// A topic on an ntfy server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NtfyConfig {
    /// The server.
    #[serde(default = "NtfyConfig::default_url")]
    pub url: Url,
    /// The topic: letters, digits, `-` and `_`, at most 64. On a public server whoever knows it can read it.
    pub topic: String,
    /// An access token (`tk_…`); take it from a secret: `${secret:name}`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A user name and a password, instead of a token.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// Priority (1 to 5) by severity; 5 rings through a phone's silence if its owner allows it. A resolved page is at
    /// most as loud as a warning.
    #[serde(default = "NtfyConfig::default_priorities")]
    pub priorities: Priorities,
    /// Tags beside the one that shows the severity.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Title in Go's template language over Alertmanager's data; unless given: severity, what is wrong, how many more.
    #[serde(default)]
    pub title: Option<String>,
    /// Text in the same language; unless given: what, since when, where, what else.
    #[serde(default)]
    pub message: Option<String>,
    /// Whether to tell that it is over.
    #[serde(default = "config::default_true")]
    pub send_resolved: bool,
    /// Bound on one try.
    #[serde(default = "config::default_timeout")]
    pub timeout: Span,
}

impl NtfyConfig {
    fn default_url() -> Url {
        "https://ntfy.sh".parse().expect("it is an address")
    }

    fn default_priorities() -> Priorities {
        Priorities { critical: 5, warning: 3, info: 2 }
    }

    pub(super) fn check(&self, path: &Path, problems: &mut Problems) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.topic.is_empty() || self.topic.len() > 64 || !self.topic.chars().all(plain) {
            problems
                .error(&path.field("topic"), format!("`{}` is not a topic", self.topic))
                .hint("use up to 64 letters, digits, `-` and `_`");
        }
        if self.token.is_some() && self.basic_auth.is_some() {
            problems.error(path, "`token` and `basic_auth` exclude each other").hint("keep one of them");
        }
        if self.token.as_ref().is_some_and(Secret::is_empty) {
            problems.error(&path.field("token"), "the token is empty").hint("leave it out for a topic open to all");
        }
        for (at, tag) in self.tags.iter().enumerate() {
            if tag.is_empty() || tag.contains(',') {
                problems.error(&path.field("tags").index(at), format!("`{tag}` is not a tag")).hint("one word each");
            }
        }
        self.priorities.check(1..=5, &path.field("priorities"), problems);
        check_template(self.title.as_deref(), &path.field("title"), problems);
        check_template(self.message.as_deref(), &path.field("message"), problems);
        config::check_timeout(self.timeout, path, problems);
    }

    pub(super) fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = worded(self.title.as_deref(), &page.title, draft, &mut errors);
        let message = worded(self.message.as_deref(), &page.text, draft, &mut errors);
        let sign = match (page.is_resolved(), page.severity) {
            (true, _) => "white_check_mark",
            (_, Severity::Critical) => "rotating_light",
            (_, Severity::Warning) => "warning",
            (_, Severity::Info) => "information_source",
        };
        let tags: Vec<&str> = std::iter::once(sign).chain(self.tags.iter().map(String::as_str)).collect();
        let mut message = message;
        let mut actions = Vec::new();
        let mut click = None;
        if page.runbook_url.len() <= URL_MAX {
            click = Some(page.runbook_url.as_str());
            actions.push(json!({"action": "view", "label": "Run book", "url": page.runbook_url}));
        } else {
            message = format!("{message}\nRun book: {}", page.runbook_url);
        }
        if page.alarm_url.len() <= URL_MAX {
            actions.push(json!({"action": "view", "label": "Alarm", "url": page.alarm_url}));
        }
        let mut body = json!({
            "topic": self.topic,
            "title": cut(&one_line(&title), TITLE_MAX, Unit::Bytes),
            "message": cut(&message, MESSAGE_MAX, Unit::Bytes),
            "priority": self.priorities.of(loudness(page)),
            "tags": tags,
            "actions": actions,
        });
        if let Some(click) = click {
            body["click"] = click.into();
        }
        let headers = vec![
            ("Content-Type".into(), "application/json".into()),
            ("X-Sequence-ID".into(), page.sequence_id.clone()),
            ("Idempotency-Key".into(), draft.key.to_owned()),
        ];
        Rendered { headers, body: body.to_string(), template_errors: errors }
    }

    pub(super) fn request(&self, rendered: &Rendered) -> Result<Request, String> {
        let request = Request::post(self.url.clone(), rendered.body.as_bytes());
        Ok(match (&self.token, &self.basic_auth) {
            (Some(token), _) => request.header("Authorization", format!("Bearer {}", token.expose())),
            (None, Some(auth)) => request.header("Authorization", config::basic(auth)),
            (None, None) => request,
        })
    }

    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.token.iter().chain(self.basic_auth.iter().map(|auth| &auth.password)).cloned().collect()
    }
}
