//! ntfy: a topic on a server, ours or somebody else's.
//!
//! Published as JSON, since headers cannot hold all of Unicode. The group is the sequence id: its later pages replace
//! the earlier ones on the phone (servers before 2.16 ignore that and show each). What replaces a notification that is
//! still shown makes no sound on Android, so that the earlier one is cleared first.
//!
//! With a picture the page is published the other way, as headers of the picture.
//!
//! What goes beyond a push (an e-mail, a call) is left away where the server does not do it: the push must arrive.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use watchbell_model::{Path, Picture, Problems, Secret, Severity, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::client::{escape, held};
use watchbell_runtime::http::{Request, Response};

use super::picture::{self, Shows};
use super::{
    Attempt, Channel, Draft, Follow, Outgoing, Pace, Rendered, check_secret, check_template, has_credentials,
    http_channel, loudness, put, read, secret_of, worded,
};
use crate::config::Priorities;
use crate::cut::{Unit, cut, one_line};
use crate::template_data::Templates;

/// Longer messages become attachments, which a locked phone does not show.
const MESSAGE_MAX: usize = 4096;
const TITLE_MAX: usize = 250;
/// The server reads this much of a JSON body, in bytes.
const BODY_MAX: usize = 8192;
/// What ntfy.sh allows a visitor; a server of one's own allows as much unless it is told otherwise.
pub(super) const PACE: Pace = Pace { burst: 60, every: Duration::from_secs(5) };
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
        /// Whether `message` is Markdown, which the web page and the app show as such.
        #[serde(default)]
        pub markdown: bool,
        /// The address of a picture (JPEG or PNG) that stands beside the title.
        #[serde(default)]
        pub icon: Option<Url>,
        /// The address of a file that goes with every page, such as a picture of the site's wiring.
        #[serde(default)]
        pub attach: Option<Url>,
        /// Whether a picture of the graph goes along as an attachment, drawn by watchbell; so unless it is said otherwise, or
        /// `attach` is given. A server that does not take it gets
        /// the page without.
        #[serde(default)]
        pub picture: Option<bool>,
        /// An e-mail address that gets each page too. The server must be set up for it; the push arrives in any case.
        #[serde(default)]
        pub email: Option<String>,
        /// A telephone number (`+49301234567`), or `yes` for the account's own, that is called with what fires at
        /// severity `critical`. The server must be set up for it; the push arrives in any case.
        #[serde(default)]
        pub call: Option<String>,
        /// How long the server holds back what is not critical, such as `10m`: from 10s to 3d. An e-mail or a call is not
        /// sent with what is held back. Mind that a page that is over is held back as long as the one that fired.
        #[serde(default)]
        pub delay: Option<watchbell_model::Span>,
    }
}

impl NtfyConfig {
    pub(super) fn default_url() -> Url {
        "https://ntfy.sh".parse().expect("it is an address")
    }

    fn default_priorities() -> Priorities {
        Priorities { critical: 5, warning: 3, info: 2 }
    }

    /// The page with a picture as its body: what is JSON otherwise stands in headers then.
    fn with_picture(&self, rendered: &Rendered, picture: &Picture) -> Result<Request, String> {
        let page = rendered.read()?;
        let mut request = Request::post(joined(&self.url, &self.topic)?, picture.as_slice());
        let kept = rendered.headers.iter().filter(|(name, _)| name != "Content-Type");
        request.headers.extend(kept.cloned());
        request.headers.push(("Content-Type".into(), picture::PNG.into()));
        request.headers.push(("Filename".into(), picture::FILE.into()));
        for (name, value) in page.as_object().into_iter().flatten() {
            let value = match value {
                _ if name == "topic" => continue,
                Value::String(text) => text.clone(),
                Value::Array(list) if name == "tags" => {
                    list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
                }
                other => other.to_string(),
            };
            request.headers.push((format!("X-{}", capital(name)), header_value(&value)));
        }
        Ok(request)
    }
}

/// Refuses what is no topic.
pub(super) fn check_topic(topic: &str, path: &Path, problems: &mut Problems) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if topic.is_empty() || topic.len() > 64 || !topic.chars().all(plain) {
        problems
            .error(&path.field("topic"), format!("`{topic}` is not a topic"))
            .hint("use up to 64 letters, digits, `-` and `_`");
    }
}

/// An address on a server.
pub(super) fn joined(server: &Url, path: &str) -> Result<Url, String> {
    server.join(path).parse().map_err(|_| "`url` is not a web address".to_owned())
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str()))
}

/// A value as a header holds it: in one encoded word (RFC 2047) where it is more than ASCII, a line break as `\n`.
fn header_value(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\n', "\\n");
    if text.bytes().all(|it| (b' '..=b'~').contains(&it)) && !text.contains("=?") {
        return text;
    }
    format!("=?UTF-8?B?{}?=", STANDARD.encode(text))
}

impl Channel for NtfyConfig {
    fn kind(&self) -> &'static str {
        "ntfy"
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        check_topic(&self.topic, path, problems);
        check_secret("token", &self.token, &self.token_file, None, path, problems);
        let token = self.token.is_some() || self.token_file.is_some();
        if token && has_credentials(self.http_config.as_ref()) {
            problems
                .error(path, "there are other credentials in `http_config` beside `token`")
                .hint("keep one of them");
        }
        for (at, tag) in self.tags.iter().enumerate() {
            if tag.is_empty() || tag.contains(',') {
                problems.error(&path.field("tags").index(at), format!("`{tag}` is not a tag")).hint("one word each");
            }
        }
        let digits = |number: &str| number.len() > 4 && number.bytes().all(|it| it.is_ascii_digit());
        let number = |call: &String| call == "yes" || call.strip_prefix('+').is_some_and(digits);
        if let Some(call) = self.call.as_ref().filter(|call| !number(call)) {
            problems
                .error(&path.field("call"), format!("`{call}` is not a telephone number"))
                .hint("write it as `+49301234567`, or `yes` for the account's own");
        }
        if let Some(email) = self.email.as_ref().filter(|email| !email.contains('@')) {
            problems
                .error(&path.field("email"), format!("`{email}` is not an e-mail address"))
                .hint("such as `me@example.org`");
        }
        let (least, most) = (watchbell_model::Span::seconds(10), watchbell_model::Span::hours(72));
        if let Some(delay) = self.delay.filter(|delay| *delay < least || *delay > most) {
            problems
                .error(&path.field("delay"), format!("a page cannot be held back for {delay}"))
                .hint("from 10s to 3d");
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
        // An app shows three: of what fires, whether anybody sees to it is what counts.
        if let Some(url) = page.verdict_url.as_ref().filter(|url| page.is_resolved() && url.len() <= URL_MAX) {
            actions.push(json!({"action": "http", "label": "Mark false", "url": url, "method": "POST", "clear": true}));
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
        let delay = self.delay.filter(|_| page.severity != Severity::Critical);
        let calls = page.severity == Severity::Critical && !page.is_resolved();
        put(
            &mut body,
            [
                ("click", click.map(str::to_owned)),
                ("icon", self.icon.as_ref().map(|url| url.as_str().to_owned())),
                ("attach", self.attach.as_ref().map(|url| url.as_str().to_owned())),
                // The server takes neither with a delay.
                ("email", self.email.clone().filter(|_| delay.is_none())),
                ("call", self.call.clone().filter(|_| calls)),
                ("delay", delay.map(|delay| format!("{}s", delay.duration().as_secs()))),
            ],
        );
        if self.markdown && self.message.is_some() {
            body["markdown"] = true.into();
        }
        // What is written as JSON is longer: quotes, line breaks.
        let mut room = MESSAGE_MAX;
        while body.to_string().len() > BODY_MAX && room > 0 {
            room = room.saturating_sub(body.to_string().len() - BODY_MAX);
            body["message"] = cut(&message, room, Unit::Bytes).into();
        }
        let headers = vec![
            ("Content-Type".into(), "application/json".into()),
            ("X-Sequence-ID".into(), page.sequence_id.clone()),
            ("Idempotency-Key".into(), draft.key.to_owned()),
        ];
        Rendered { headers, body: body.to_string(), template_errors: errors }
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let mut request = match attempt.picture {
            Some(picture) => self.with_picture(rendered, picture)?,
            None => rendered.request(self.url.clone(), rendered.body.clone()),
        };
        let token = held(attempt.disk, &self.token, &self.token_file)?;
        if !token.is_empty() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let Some(sequence) = attempt.thread else { return Ok(vec![Outgoing::Http(Box::new(request))]) };
        let clear = joined(&self.url, &format!("{}/{}/clear", self.topic, escape(sequence)))?;
        let mut clear = Request::post(clear, "");
        clear.method = "PUT".into();
        clear.headers.extend(request.headers.iter().filter(|(name, _)| name == "Authorization").cloned());
        Ok(vec![Outgoing::Http(Box::new(clear)), Outgoing::Http(Box::new(request))])
    }

    /// A server that knows sequences says the page's; one that does not could not clear it.
    fn thread(&self, answer: &Response) -> Option<String> {
        Some(read(answer)["sequence_id"].as_str()?.to_owned())
    }

    /// Where the server sends no e-mail or makes no call, or no more of them, the push goes out without; and it does not
    /// wait for what is shown to be cleared.
    fn follow(&self, rendered: &Rendered, attempt: &Attempt<'_>, answer: &Response) -> Option<Follow> {
        if answer.url.path_and_query().ends_with("/clear") {
            return (!(200..300).contains(&answer.status)).then_some(Follow::Alone);
        }
        // Whatever it is, it may be the picture that is too much.
        if attempt.picture.is_some() {
            return None;
        }
        let mut body = rendered.read().ok()?;
        let fields = body.as_object_mut()?;
        let extra = fields.remove("email").is_some() | fields.remove("call").is_some();
        if !extra || !matches!(answer.status, 400 | 401 | 403 | 429) {
            return None;
        }
        let plain = Rendered { body: body.to_string(), ..rendered.clone() };
        Some(Follow::Instead(self.send(&plain, &Attempt { thread: None, ..*attempt }).ok()?))
    }

    fn pace(&self) -> Option<Pace> {
        Some(PACE)
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, self.attach.is_none(), Shows::Within)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![secret_of(disk, &self.token, &self.token_file)]
    }
}
