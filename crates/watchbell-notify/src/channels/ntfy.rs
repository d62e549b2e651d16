//! ntfy: a topic on a server, ours or somebody else's.
//!
//! Published as JSON, since headers cannot hold all of Unicode. The group is the sequence id: its later pages replace
//! the earlier ones on the phone (servers before 2.16 ignore that and show each).

use std::time::Duration;

use serde_json::json;
use watchbell_model::{Path, Problems, Secret, Severity, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;
use watchbell_runtime::http::Request;

use super::{
    Attempt, Channel, Draft, Outgoing, Pace, Rendered, check_secret, check_template, http_channel, loudness, secret_of,
    worded,
};
use crate::config::Priorities;
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// Longer messages become attachments, which a locked phone does not show.
const MESSAGE_MAX: usize = 4096;
const TITLE_MAX: usize = 250;
/// What the server takes as an address to open.
const URL_MAX: usize = 2000;

http_channel! {
    /// A topic on an ntfy server.
    pub struct NtfyConfig {
        /// The server.
        #[serde(default = "NtfyConfig::default_url")]
        pub url: Url,
        /// The topic: letters, digits, `-` and `_`, at most 64. On a public server whoever knows it can read it.
        pub topic: String,
        /// An access token (`tk_…`); take it from a secret: `${secret:name}`. A user's name and password stand in
        /// `http_config`.
        #[serde(default)]
        pub token: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub token_file: Option<std::path::PathBuf>,
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
    }
}

impl NtfyConfig {
    fn default_url() -> Url {
        "https://ntfy.sh".parse().expect("it is an address")
    }

    fn default_priorities() -> Priorities {
        Priorities { critical: 5, warning: 3, info: 2 }
    }
}

impl Channel for NtfyConfig {
    fn kind(&self) -> &'static str {
        "ntfy"
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.topic.is_empty() || self.topic.len() > 64 || !self.topic.chars().all(plain) {
            problems
                .error(&path.field("topic"), format!("`{}` is not a topic", self.topic))
                .hint("use up to 64 letters, digits, `-` and `_`");
        }
        check_secret("token", &self.token, &self.token_file, None, path, problems);
        let other = self.http_config.as_ref().is_some_and(|it| it.basic_auth.is_some() || it.authorization.is_some());
        if (self.token.is_some() || self.token_file.is_some()) && other {
            problems
                .error(path, "there are other credentials in `http_config` beside `token`")
                .hint("keep one of them");
        }
        for (at, tag) in self.tags.iter().enumerate() {
            if tag.is_empty() || tag.contains(',') {
                problems.error(&path.field("tags").index(at), format!("`{tag}` is not a tag")).hint("one word each");
            }
        }
        self.priorities.check(1..=5, &path.field("priorities"), problems);
        check_template(self.title.as_deref(), templates, &path.field("title"), problems);
        check_template(self.message.as_deref(), templates, &path.field("message"), problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
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
        if let Some(url) = page.acknowledge_url.as_ref().filter(|url| url.len() <= URL_MAX) {
            actions
                .push(json!({"action": "http", "label": "Acknowledge", "url": url, "method": "POST", "clear": true}));
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

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let mut request = Request::post(self.url.clone(), rendered.body.as_bytes());
        request.headers.clone_from(&rendered.headers);
        let token = held(attempt.disk, &self.token, &self.token_file)?;
        if !token.is_empty() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        Ok(vec![Outgoing::Http(Box::new(request))])
    }

    /// What ntfy.sh allows a visitor; a server of one's own allows as much unless it is told otherwise.
    fn pace(&self) -> Option<Pace> {
        Some(Pace { burst: 60, every: Duration::from_secs(5) })
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.token, &self.token_file)]
    }
}
