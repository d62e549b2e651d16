//! Pushover: a push that can override a phone's quiet hours.
//!
//! Credentials go into the form body, never into the address, where logs of proxies would keep them.

use watchbell_model::{Path, Problems, Secret, Url};
use watchbell_runtime::Disk;

use super::{Attempt, Channel, Draft, Outgoing, Rendered, check_template, form_value, http_channel, loudness, worded};
use crate::config::Priorities;
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// Limits of the API, in characters.
const MESSAGE_MAX: usize = 1024;
const TITLE_MAX: usize = 250;
const URL_MAX: usize = 512;
/// An emergency push (priority 2) asks for an answer this often, for so long, in seconds.
const EMERGENCY_RETRY: u32 = 60;
const EMERGENCY_EXPIRE: u32 = 3600;

http_channel! {
    /// A Pushover user or group.
    pub struct PushoverConfig {
        /// Key of the user or group; take it from a secret: `${secret:name}`.
        pub user_key: Secret,
        /// Token of the application; take it from a secret: `${secret:name}`.
        pub token: Secret,
        /// Address of the API.
        #[serde(default = "PushoverConfig::default_api_url")]
        pub api_url: Url,
        /// Priority (-2 to 2) by severity; 1 overrides quiet hours, 2 repeats every minute for an hour until somebody
        /// answers. A resolved page is at most as loud as a warning.
        #[serde(default = "PushoverConfig::default_priorities")]
        pub priorities: Priorities,
        /// A sound's name, unless the user's own.
        #[serde(default)]
        pub sound: Option<String>,
        /// Only this device of the user.
        #[serde(default)]
        pub device: Option<String>,
        /// Title in Go's template language over Alertmanager's data; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// Text in the same language; unless given: what, since when, where, what else.
        #[serde(default)]
        pub message: Option<String>,
    }
}

impl PushoverConfig {
    fn default_api_url() -> Url {
        "https://api.pushover.net/1/messages.json".parse().expect("it is an address")
    }

    fn default_priorities() -> Priorities {
        Priorities { critical: 1, warning: 0, info: 0 }
    }
}

impl Channel for PushoverConfig {
    fn kind(&self) -> &'static str {
        "pushover"
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        for (name, secret) in [("user_key", &self.user_key), ("token", &self.token)] {
            if secret.is_empty() {
                problems.error(&path.field(name), "it is empty").hint("Pushover shows it on its web page");
            }
        }
        self.priorities.check(-2..=2, &path.field("priorities"), problems);
        check_template(self.title.as_deref(), templates, &path.field("title"), problems);
        check_template(self.message.as_deref(), templates, &path.field("message"), problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = worded(self.title.as_deref(), &page.title, draft, &mut errors);
        let mut message = worded(self.message.as_deref(), &page.text, draft, &mut errors);
        if message.trim().is_empty() {
            message = page.title.clone();
        }
        let priority = self.priorities.of(loudness(page));
        let mut form = vec![
            ("title", cut(&one_line(&title), TITLE_MAX, Unit::Characters)),
            ("message", cut(&message, MESSAGE_MAX, Unit::Characters)),
            ("priority", priority.to_string()),
            ("timestamp", (page.at.as_millis() / 1000).to_string()),
        ];
        // A cut address opens nothing: where the run book's is too long, the alarm's page leads to it.
        let links = [(&page.runbook_url, "Run book"), (&page.alarm_url, "Alarm and run book")];
        if let Some((url, title)) = links.into_iter().find(|(url, _)| url.chars().count() <= URL_MAX) {
            form.push(("url", url.clone()));
            form.push(("url_title", title.to_owned()));
        }
        if priority == 2 {
            form.push(("retry", EMERGENCY_RETRY.to_string()));
            form.push(("expire", EMERGENCY_EXPIRE.to_string()));
            form.push(("tags", page.sequence_id.clone()));
        }
        form.extend(self.sound.iter().map(|sound| ("sound", sound.clone())));
        form.extend(self.device.iter().map(|device| ("device", device.clone())));
        let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", form_value(value))).collect();
        let headers = vec![("Content-Type".into(), "application/x-www-form-urlencoded".into())];
        Rendered { headers, body: body.join("&"), template_errors: errors }
    }

    fn send(&self, rendered: &Rendered, _attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let (token, user) = (form_value(self.token.expose()), form_value(self.user_key.expose()));
        let body = format!("token={token}&user={user}&{}", rendered.body);
        Ok(vec![rendered.post_body(self.api_url.clone(), body)])
    }

    fn secrets(&self, _disk: &Disk) -> Vec<Secret> {
        vec![self.user_key.clone(), self.token.clone()]
    }
}
