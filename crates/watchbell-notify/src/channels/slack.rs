//! Slack's incoming webhooks, and what speaks their language.

use std::time::Duration;

use serde_json::json;
use watchbell_model::{Path, Problems, Secret, Severity};
use watchbell_runtime::Disk;

use super::{Attempt, Channel, Draft, Outgoing, Pace, Rendered, VerdictKind, check_template, http_channel, worded};
use crate::config;
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// Limits in characters: of an attachment's title, and of a text that is shown without folding.
const TITLE_MAX: usize = 1024;
const TEXT_MAX: usize = 3000;
/// The line above the attachment, which is what a phone's notification shows.
const LINE_MAX: usize = 250;
const UNIT: Unit = Unit::Characters;

http_channel! {
    /// A Slack incoming webhook.
    pub struct SlackConfig {
        /// The webhook's address; whoever has it can post, so take it from a secret: `${secret:name}`.
        pub api_url: Secret,
        /// Another channel than the webhook's own, where the server allows that (Mattermost, Rocket.Chat).
        #[serde(default)]
        pub channel: Option<String>,
        /// Another name of the sender, where the server allows that.
        #[serde(default)]
        pub username: Option<String>,
        /// Another picture of the sender, such as `:bell:`, where the server allows that.
        #[serde(default)]
        pub icon_emoji: Option<String>,
        /// Title in Go's template language over Alertmanager's data; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// Text in the same language, with Slack's own markup; unless given: what, since when, where, what else.
        #[serde(default)]
        pub text: Option<String>,
    }
}

impl Channel for SlackConfig {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        config::check_secret_url(&self.api_url, &path.field("api_url"), problems);
        check_template(self.title.as_deref(), templates, &path.field("title"), problems);
        check_template(self.text.as_deref(), templates, &path.field("text"), problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = one_line(&worded(self.title.as_deref(), &page.title, draft, &mut errors));
        // The page's own words are plain text; a template's may hold markup.
        let text = match &self.text {
            Some(template) => cut(&worded(Some(template), &escaped(&page.text), draft, &mut errors), TEXT_MAX, UNIT),
            None => escaped(&cut(&page.text, TEXT_MAX, UNIT)),
        };
        let color = match (page.is_resolved(), page.severity) {
            (true, _) => "#2eb67d",
            (_, Severity::Critical) => "#e01e5a",
            (_, Severity::Warning) => "#ecb22e",
            (_, Severity::Info) => "#36c5f0",
        };
        let actions = [("Acknowledge", &page.acknowledge_url), ("Silence", &page.silence_url)];
        let actions = actions.into_iter().filter_map(|(label, url)| Some((label, url.as_ref()?)));
        let links = [("Run book", &page.runbook_url), ("Alarm", &page.alarm_url)].into_iter().chain(actions);
        let links: Vec<String> = links.map(|(label, url)| format!("<{}|{label}>", link(url))).collect();
        let links = links.join(" · ");
        let mut body = json!({
            "text": escaped(&cut(&title, LINE_MAX, UNIT)),
            "attachments": [{
                "color": color,
                "fallback": cut(&title, TITLE_MAX, UNIT),
                "title": cut(&title, TITLE_MAX, UNIT),
                "title_link": page.runbook_url,
                // The links are added after the cut, so that they are always there.
                "text": format!("{text}\n{links}"),
                "mrkdwn_in": ["text"],
                "ts": page.at.as_millis() / 1000,
            }],
        });
        for (name, value) in
            [("channel", &self.channel), ("username", &self.username), ("icon_emoji", &self.icon_emoji)]
        {
            if let Some(value) = value {
                body[name] = value.as_str().into();
            }
        }
        let headers = vec![("Content-Type".into(), "application/json".into())];
        Rendered { headers, body: body.to_string(), template_errors: errors }
    }

    fn send(&self, rendered: &Rendered, _attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let url = self.api_url.expose().parse().map_err(|_| "`api_url` is not a web address".to_owned())?;
        Ok(vec![rendered.post(url)])
    }

    /// Slack's Web API and some look-alikes answer 200 with `{"ok": false, "error": …}`.
    fn judge(&self, body: &str) -> VerdictKind {
        let Ok(answer) = serde_json::from_str::<serde_json::Value>(body) else { return VerdictKind::Accepted };
        if answer["ok"] != serde_json::Value::Bool(false) {
            return VerdictKind::Accepted;
        }
        match answer["error"].as_str().unwrap_or_default() {
            "ratelimited" | "rate_limited" | "internal_error" | "fatal_error" | "service_unavailable" => {
                VerdictKind::Retry(None)
            }
            _ => VerdictKind::Refused,
        }
    }

    /// One message a second to a channel, with short bursts.
    fn pace(&self) -> Option<Pace> {
        Some(Pace { burst: 5, every: Duration::from_secs(1) })
    }

    fn secrets(&self, _disk: &Disk) -> Vec<Secret> {
        config::url_secrets(&self.api_url)
    }
}

/// The three characters Slack's markup keeps for itself.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An address within `<…|…>`.
fn link(url: &str) -> String {
    escaped(url).replace('|', "%7C")
}
