//! Pushover: a push that can override a phone's quiet hours.
//!
//! Credentials go into the form body, never into the address, where logs of proxies would keep them.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use watchbell_model::{Path, Problems, Secret, Span, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;
use watchbell_runtime::http::{Request, Response};

use super::picture::{PNG, Shows};
use super::{
    Attempt, Channel, Draft, Outgoing, Rendered, VerdictKind, check_secret, check_template, filled, form_value,
    http_channel, loudness, secret_of, worded,
};
use crate::config::Priorities;
use crate::cut::{Unit, cut, one_line};
use crate::mail::escaped;
use crate::template_data::{self, Templates};

/// Limits of the API, in characters.
const MESSAGE_MAX: usize = 1024;
const TITLE_MAX: usize = 250;
const URL_MAX: usize = 512;
const URL_TITLE_MAX: usize = 100;
const FORM: &str = "application/x-www-form-urlencoded";
/// An emergency push (priority 2) asks for an answer at most this often, for at most so long.
const RETRY_MIN: Span = Span::seconds(30);
const EXPIRE_MAX: Span = Span::minutes(180);

http_channel! {
    /// A Pushover user or group.
    pub struct PushoverConfig {
        /// Key of the user or group; take it from a secret: `${secret:name}`.
        #[serde(default)]
        pub user_key: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub user_key_file: Option<PathBuf>,
        /// Token of the application; take it from a secret: `${secret:name}`.
        #[serde(default)]
        pub token: Option<Secret>,
        /// A file that holds it.
        #[serde(default)]
        pub token_file: Option<PathBuf>,
        /// Address of the API.
        #[serde(default = "PushoverConfig::default_api_url")]
        pub api_url: Url,
        /// Priority (-2 to 2) by severity; 1 overrides quiet hours, 2 repeats until somebody answers. A resolved page is at
        /// most as loud as a warning, and ends the repeating.
        #[serde(default = "PushoverConfig::default_priorities")]
        pub priorities: Priorities,
        /// The priority as a template, in place of `priorities`.
        #[serde(default)]
        pub priority: Option<String>,
        /// How often a push of priority 2 is repeated; `1m` unless given, and not below `30s`.
        #[serde(default = "PushoverConfig::default_retry")]
        pub retry: Span,
        /// How long a push of priority 2 is repeated; `1h` unless given, and at most `3h`.
        #[serde(default = "PushoverConfig::default_expire")]
        pub expire: Span,
        /// After how long a push disappears from the phone; it stays unless given.
        #[serde(default)]
        pub ttl: Span,
        /// A sound's name, unless the user's own; a template.
        #[serde(default)]
        pub sound: Option<String>,
        /// Only this device of the user; a template.
        #[serde(default)]
        pub device: Option<String>,
        /// The link, a template; unless given, the run book. One that is too long gives way to the run book.
        #[serde(default)]
        pub url: Option<String>,
        /// What the link is called; a template.
        #[serde(default)]
        pub url_title: Option<String>,
        /// Title in Go's template language over Alertmanager's data; unless given: severity, what is wrong, how many more.
        #[serde(default)]
        pub title: Option<String>,
        /// Text in the same language; unless given: what, since when, where, what else.
        #[serde(default)]
        pub message: Option<String>,
        /// Whether the text is HTML. What alerts say gets its special characters escaped.
        #[serde(default)]
        pub html: bool,
        /// Whether the text is shown in letters of one width.
        #[serde(default)]
        pub monospace: bool,
        /// Whether a picture of the graph goes along, drawn by watchbell; so unless it is said otherwise. A page that is
        /// refused with it goes out without.
        #[serde(default)]
        pub picture: Option<bool>,
    }
}

impl PushoverConfig {
    fn default_api_url() -> Url {
        "https://api.pushover.net/1/messages.json".parse().expect("it is an address")
    }

    fn default_priorities() -> Priorities {
        Priorities { critical: 1, warning: 0, info: 0 }
    }

    fn default_retry() -> Span {
        Span::minutes(1)
    }

    fn default_expire() -> Span {
        Span::minutes(60)
    }

    fn message(&self, draft: &Draft<'_>, errors: &mut Vec<String>) -> String {
        let text = &draft.page.text;
        if !self.html {
            return cut(&worded(self.message.as_deref(), text, draft, errors), MESSAGE_MAX, Unit::Characters);
        }
        match self.message.as_deref().map(|template| template_data::render_html(template, draft)) {
            Some(Ok(html)) if !html.trim().is_empty() => return cut(&html, MESSAGE_MAX, Unit::Characters),
            Some(Err(error)) => errors.push(error.to_string()),
            _ => {}
        }
        // Escaping makes it longer, and must not be cut through.
        let mut room = MESSAGE_MAX;
        loop {
            let html = escaped(&cut(text, room, Unit::Characters));
            match html.chars().count().checked_sub(MESSAGE_MAX) {
                None | Some(0) => return html,
                Some(over) => room -= over.min(room),
            }
        }
    }

    /// What ends the repeating of a push by its receipt.
    fn cancellation(&self, receipt: &str, token: &str) -> Result<Box<Request>, String> {
        let base = self.api_url.as_str().split("messages.json").next().unwrap_or_default();
        let url = format!("{}/receipts/{receipt}/cancel.json", base.trim_end_matches('/'));
        let url = url.parse().map_err(|_| "`api_url` is not that of the API".to_owned())?;
        let request = Request::post(url, format!("token={token}")).header("Content-Type", FORM);
        Ok(Box::new(request))
    }

    fn priority(&self, draft: &Draft<'_>, errors: &mut Vec<String>) -> i8 {
        let usual = self.priorities.of(loudness(draft.page));
        let Some(text) = filled(self.priority.as_deref(), draft, errors) else { return usual };
        match text.trim().parse() {
            Ok(priority @ -2..=2) => priority,
            _ => {
                errors.push(format!("`priority`: `{}` is not a number from -2 to 2", text.trim()));
                usual
            }
        }
    }
}

impl Channel for PushoverConfig {
    fn kind(&self) -> &'static str {
        "pushover"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.user_key_file.iter_mut().chain(self.token_file.iter_mut()).collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let needed = Some("Pushover shows it on its web page");
        check_secret("user_key", &self.user_key, &self.user_key_file, needed, path, problems);
        check_secret("token", &self.token, &self.token_file, needed, path, problems);
        self.priorities.check(-2..=2, &path.field("priorities"), problems);
        for (name, template) in [
            ("priority", &self.priority),
            ("sound", &self.sound),
            ("device", &self.device),
            ("url", &self.url),
            ("url_title", &self.url_title),
            ("title", &self.title),
            ("message", &self.message),
        ] {
            check_template(template.as_deref(), templates, &path.field(name), problems);
        }
        if self.retry < RETRY_MIN {
            let message = format!("{} is too often", self.retry);
            problems.error(&path.field("retry"), message).hint(format!("Pushover repeats every {RETRY_MIN} at most"));
        }
        if self.expire > EXPIRE_MAX {
            let message = format!("{} is too long", self.expire);
            problems.error(&path.field("expire"), message).hint(format!("Pushover repeats for {EXPIRE_MAX} at most"));
        }
        if self.html && self.monospace {
            problems.error(path, "there are both `html` and `monospace`").hint("Pushover shows one of them");
        }
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let title = worded(self.title.as_deref(), &page.title, draft, &mut errors);
        let mut message = self.message(draft, &mut errors);
        if message.trim().is_empty() {
            message = cut(&page.title, MESSAGE_MAX, Unit::Characters);
        }
        let priority = self.priority(draft, &mut errors);
        let mut form = vec![
            ("title", cut(&one_line(&title), TITLE_MAX, Unit::Characters)),
            ("message", message),
            ("priority", priority.to_string()),
            ("timestamp", (page.at.as_millis() / 1000).to_string()),
        ];
        // A cut address opens nothing: where the run book's is too long, the alarm's page leads to it.
        let own = filled(self.url.as_deref(), draft, &mut errors).unwrap_or_default();
        let own_title = filled(self.url_title.as_deref(), draft, &mut errors).filter(|it| !it.trim().is_empty());
        let links = [
            (own.trim(), if own.trim() == page.runbook_url { "Run book" } else { "" }),
            (&page.runbook_url, "Run book"),
            (&page.alarm_url, "Alarm and run book"),
        ];
        let fits = |url: &str| !url.is_empty() && url.chars().count() <= URL_MAX;
        if let Some((url, title)) = links.into_iter().find(|(url, _)| fits(url)) {
            form.push(("url", url.to_owned()));
            let title = own_title.unwrap_or_else(|| title.to_owned());
            if !title.is_empty() {
                form.push(("url_title", cut(&one_line(&title), URL_TITLE_MAX, Unit::Characters)));
            }
        }
        if priority == 2 {
            form.push(("retry", self.retry.duration().as_secs().to_string()));
            form.push(("expire", self.expire.duration().as_secs().to_string()));
            form.push(("tags", page.sequence_id.clone()));
            let answered =
                page.acknowledge_url.is_some().then(|| draft.site.action_address("receipt", draft.group, ""));
            form.extend(answered.flatten().map(|url| ("callback", url)));
        }
        if !self.ttl.is_zero() {
            form.push(("ttl", self.ttl.duration().as_secs().to_string()));
        }
        form.extend(
            [("html", self.html), ("monospace", self.monospace)]
                .into_iter()
                .filter(|(_, is)| *is)
                .map(|(name, _)| (name, "1".to_owned())),
        );
        for (name, template) in [("sound", &self.sound), ("device", &self.device)] {
            let text = filled(template.as_deref(), draft, &mut errors).filter(|it| !it.trim().is_empty());
            form.extend(text.map(|text| (name, text.trim().to_owned())));
        }
        let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", form_value(value))).collect();
        let headers = vec![("Content-Type".into(), FORM.into())];
        Rendered { headers, body: body.join("&"), template_errors: errors }
    }

    /// Nothing is pushed; [`Channel::send`] cancels what rings.
    fn hush(&self, _draft: &Draft<'_>) -> Option<Rendered> {
        let Priorities { critical, warning, info } = self.priorities;
        let rings = self.priority.is_some() || [critical, warning, info].contains(&2);
        let headers = vec![("Content-Type".into(), FORM.into())];
        rings.then(|| Rendered { headers, body: String::new(), template_errors: Vec::new() })
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let token = form_value(&held(attempt.disk, &self.token, &self.token_file)?);
        let cancel = attempt.thread.map(|receipt| self.cancellation(receipt, &token)).transpose()?;
        if rendered.body.is_empty() {
            return Ok(cancel.map(Outgoing::Http).into_iter().collect());
        }
        let user = form_value(&held(attempt.disk, &self.user_key, &self.user_key_file)?);
        let mut body = format!("token={token}&user={user}&{}", rendered.body);
        if let Some(picture) = attempt.picture {
            let picture = form_value(&STANDARD.encode(picture.as_slice()));
            body.push_str(&format!("&attachment_base64={picture}&attachment_type={}", form_value(PNG)));
        }
        let mut list = vec![rendered.post_body(self.api_url.clone(), body)];
        // The earlier push of the group need not ring any more: this one does, or it is over.
        list.extend(cancel.map(Outgoing::Aside));
        Ok(list)
    }

    fn judge(&self, body: &str) -> VerdictKind {
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        if answer["status"] == 0 { VerdictKind::Refused } else { VerdictKind::Accepted }
    }

    /// The receipt of a push that is repeated.
    fn thread(&self, answer: &Response) -> Option<String> {
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        let receipt = answer["receipt"].as_str()?;
        receipt.chars().all(|c| c.is_ascii_alphanumeric()).then(|| receipt.to_owned())
    }

    /// Each repeated push has a receipt of its own.
    fn relearns(&self) -> bool {
        true
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, true, Shows::Within)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.user_key, &self.user_key_file), secret_of(disk, &self.token, &self.token_file)]
    }
}
