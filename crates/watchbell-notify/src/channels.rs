//! Channels: one file each, one closed enum, one suite over all of them.
//!
//! A channel is pure: it writes a page into a body without credentials (which is what the outbox keeps), makes a
//! request of that body with credentials (which is never kept), and judges the answer.

pub(crate) mod ntfy;
pub(crate) mod pushover;
pub(crate) mod slack;
pub(crate) mod webhook;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{GroupNotification, Path, Problems, Secret, Severity, Timestamp};
use watchbell_runtime::http::{HttpError, Request, Response};

use crate::backoff;
use crate::config::Site;
use crate::cut::{Unit, cut, one_line};
use crate::page::Page;
use crate::template_data;

/// How much of an answer is read.
const ANSWER_MAX: usize = 4096;
/// How much of an answer is kept in the delivery log, in characters.
const EXCERPT_MAX: usize = 300;

/// A way to tell somebody.
#[derive(Clone, Debug)]
pub(crate) enum Channel {
    Ntfy(ntfy::NtfyConfig),
    Pushover(pushover::PushoverConfig),
    Slack(slack::SlackConfig),
    Webhook(webhook::WebhookConfig),
}

/// What is written from: a page, the group it tells of, and what identifies the delivery.
pub(crate) struct Draft<'a> {
    pub(crate) page: &'a Page,
    pub(crate) group: &'a GroupNotification,
    pub(crate) site: &'a Site,
    /// The same for every try of this page on this channel.
    pub(crate) key: &'a str,
}

/// A page as bytes for one channel: stored in the outbox, sent on every try. Holds no credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rendered {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Templates of the configuration that failed; the page's own words stand in their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) template_errors: Vec<String>,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) kind: VerdictKind,
    /// The answer's status, if there was an answer.
    pub(crate) status: Option<u16>,
    /// What the answer or the error said, cut and without secrets.
    pub(crate) excerpt: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VerdictKind {
    /// The channel took it.
    Accepted,
    /// Trying again may help, not before this time if the channel named one.
    Retry(Option<Duration>),
    /// Trying again cannot help.
    Refused,
}

impl Channel {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Channel::Ntfy(_) => "ntfy",
            Channel::Pushover(_) => "pushover",
            Channel::Slack(_) => "slack",
            Channel::Webhook(_) => "webhook",
        }
    }

    pub(crate) fn check(&self, path: &Path, problems: &mut Problems) {
        match self {
            Channel::Ntfy(it) => it.check(path, problems),
            Channel::Pushover(it) => it.check(path, problems),
            Channel::Slack(it) => it.check(path, problems),
            Channel::Webhook(it) => it.check(path, problems),
        }
    }

    pub(crate) fn send_resolved(&self) -> bool {
        match self {
            Channel::Ntfy(it) => it.send_resolved,
            Channel::Pushover(it) => it.send_resolved,
            Channel::Slack(it) => it.send_resolved,
            Channel::Webhook(it) => it.send_resolved,
        }
    }

    fn timeout(&self) -> Duration {
        match self {
            Channel::Ntfy(it) => it.timeout.duration(),
            Channel::Pushover(it) => it.timeout.duration(),
            Channel::Slack(it) => it.timeout.duration(),
            Channel::Webhook(it) => it.timeout.duration(),
        }
    }

    /// Writes a page once and for all.
    pub(crate) fn render(&self, draft: &Draft<'_>) -> Rendered {
        match self {
            Channel::Ntfy(it) => it.render(draft),
            Channel::Pushover(it) => it.render(draft),
            Channel::Slack(it) => it.render(draft),
            Channel::Webhook(it) => it.render(draft),
        }
    }

    /// What is sent: the stored bytes with credentials.
    pub(crate) fn request(&self, rendered: &Rendered) -> Result<Request, String> {
        let mut request = match self {
            Channel::Ntfy(it) => it.request(rendered),
            Channel::Pushover(it) => it.request(rendered),
            Channel::Slack(it) => it.request(rendered),
            Channel::Webhook(it) => it.request(rendered),
        }?;
        request.headers.splice(0..0, rendered.headers.iter().cloned());
        request.timeout = self.timeout();
        request.body_max = ANSWER_MAX;
        Ok(request)
    }

    fn secrets(&self) -> Vec<Secret> {
        match self {
            Channel::Ntfy(it) => it.secrets(),
            Channel::Pushover(it) => it.secrets(),
            Channel::Slack(it) => it.secrets(),
            Channel::Webhook(it) => it.secrets(),
        }
    }

    /// Judges an answer, or that there was none. A refusal (4xx, redirects) is told apart from an outage.
    pub(crate) fn judge(&self, answer: Result<&Response, &HttpError>, now: Timestamp) -> Verdict {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                // A request that cannot even be written will not get better by waiting.
                let refused = matches!(error, HttpError::Request(_));
                let kind = if refused { VerdictKind::Refused } else { VerdictKind::Retry(None) };
                return Verdict { kind, status: None, excerpt: self.without_secrets(&words(error)) };
            }
        };
        let after = || response.header("retry-after").and_then(|header| backoff::retry_after(header, now));
        let body = String::from_utf8_lossy(&response.body);
        let kind = match response.status {
            200..=299 => match self {
                Channel::Slack(_) => slack::judge(&body),
                _ => VerdictKind::Accepted,
            },
            429 | 503 => VerdictKind::Retry(after()),
            408 | 425 | 500.. => VerdictKind::Retry(None),
            _ => VerdictKind::Refused,
        };
        let said = self.without_secrets(&body);
        let excerpt = match response.status {
            300..=399 => format!("the address leads elsewhere, which is not followed. {said}"),
            _ => said,
        };
        Verdict { kind, status: Some(response.status), excerpt }
    }

    /// One line, cut, with every credential of this channel blotted out.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets() {
            let plain = secret.expose();
            // One- and two-letter "secrets" are somebody's placeholder and would blot out the words.
            if plain.len() > 2 {
                text = text.replace(plain, "<secret>");
                text = text.replace(&form_value(plain), "<secret>");
            }
        }
        cut(&one_line(&text), EXCERPT_MAX, Unit::Characters)
    }
}

/// An error with its causes, in one line.
fn words(error: &HttpError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = inner.source();
    }
    words
}

/// The words of a channel: its own template if it has one that works, else the page's.
pub(crate) fn worded(template: Option<&str>, default: &str, draft: &Draft<'_>, errors: &mut Vec<String>) -> String {
    let Some(template) = template else { return default.to_owned() };
    match template_data::render(template, draft.page, draft.group, draft.site) {
        Ok(text) if !text.trim().is_empty() => text,
        // An empty page tells nobody anything.
        Ok(_) => default.to_owned(),
        Err(error) => {
            errors.push(error.to_string());
            default.to_owned()
        }
    }
}

/// Refuses a template that cannot be read.
pub(crate) fn check_template(template: Option<&str>, path: &Path, problems: &mut Problems) {
    if let Some(text) = template
        && let Err(error) = template_data::parse(text)
    {
        let message =
            format!("the template is wrong: {} (line {}, column {})", error.message, error.line, error.column);
        problems.error(path, message).hint("leave it out for words that say what, since when and how many more");
    }
}

/// A page that is over wakes nobody: it counts as `info` at most as loud as a warning.
pub(crate) fn loudness(page: &Page) -> Severity {
    if page.is_resolved() { page.severity.min(Severity::Warning) } else { page.severity }
}

/// A value as `application/x-www-form-urlencoded` writes it.
pub(crate) fn form_value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'*' => out.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
