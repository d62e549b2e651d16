//! Channels: one file each, one suite over all.
//!
//! A channel is pure: it writes a page into a body without credentials (which is what the outbox keeps), makes of that
//! body what is sent, with credentials (which is never kept), and judges the answer. Sending is the sender's.

pub(crate) mod email;
pub(crate) mod exec;
pub(crate) mod incidentio;
pub(crate) mod jira;
pub(crate) mod ntfy;
pub(crate) mod opsgenie;
pub(crate) mod pagerduty;
pub(crate) mod pushover;
pub(crate) mod slack;
pub(crate) mod sns;
pub(crate) mod victorops;
pub(crate) mod webhook;

use std::fmt::Debug;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use watchbell_model::{GroupNotification, Path, Problems, Secret, Severity, Timestamp};
use watchbell_runtime::client::held;
use watchbell_runtime::http::{HttpError, Request, Response};
use watchbell_runtime::process::Command;
use watchbell_runtime::{Disk, aws};

use crate::backoff;
use crate::config::{ChannelDefaults, HttpConfig, Site};
use crate::cut::{Unit, cut, one_line};
use crate::page::Page;
use crate::smtp::Mail;
use crate::template_data::{self, Templates};

/// How much of an answer is read.
pub(crate) const ANSWER_MAX: usize = 16 << 10;
/// How much of an answer is kept in the delivery log, in characters.
const EXCERPT_MAX: usize = 300;

/// A way to tell somebody.
pub(crate) trait Channel: HasOptions + Debug + Send + Sync {
    /// What it is called in names and figures: `ntfy`.
    fn kind(&self) -> &'static str;

    /// Takes over what the configuration says for all channels of the kind, where this one says nothing.
    fn complete(&mut self, _defaults: &ChannelDefaults) {}

    /// Files it names, to be made relative to the configuration's folder; those of `http_config` aside.
    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }

    /// Finds what is wrong with it.
    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems);

    /// Writes a page once and for all.
    fn render(&self, draft: &Draft<'_>) -> Rendered;

    /// What is sent, in this order, each after the one before it was accepted: the stored bytes with credentials. The
    /// error says what is missing, such as a file.
    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String>;

    /// What an answer of status 2xx means, where some of them are refusals.
    fn judge(&self, _body: &str) -> VerdictKind {
        VerdictKind::Accepted
    }

    /// What an answer of another status means, where it is not what the status says to everybody.
    fn judge_status(&self, _status: u16, _body: &str) -> Option<VerdictKind> {
        None
    }

    /// What of an accepted answer is remembered until the group is over, for [`Attempt::thread`].
    fn thread(&self, _answer: &Response) -> Option<String> {
        None
    }

    /// Credentials that no log, answer or page may show.
    fn secrets(&self, disk: &Disk) -> Vec<Secret>;
}

/// What every channel may be told.
pub(crate) struct Options<'a> {
    /// Whether it tells that it is over.
    pub(crate) send_resolved: bool,
    /// Bound on one try.
    pub(crate) timeout: Duration,
    /// How its address is spoken to.
    pub(crate) http: Option<&'a HttpConfig>,
}

/// Has what every channel may be told; [`http_channel!`] writes it.
pub(crate) trait HasOptions {
    fn options(&self) -> Options<'_>;
    /// How its address is spoken to, if that can be said.
    fn http_mut(&mut self) -> Option<&mut Option<HttpConfig>>;
}

/// The configuration of a channel that is spoken to over HTTP: its own fields and those all such channels have.
macro_rules! http_channel {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
            /// Whether to tell that it is over.
            #[serde(default = "crate::config::default_true")]
            pub send_resolved: bool,
            /// Bound on one try; `10s` unless given, and where it is `0s`, which is Alertmanager's word for none.
            #[serde(default)]
            pub timeout: watchbell_model::Span,
            /// How the address is spoken to; unless given, as `global.http_config` says.
            #[serde(default)]
            pub http_config: Option<crate::config::HttpConfig>,
        }

        impl $crate::channels::HasOptions for $name {
            fn options(&self) -> $crate::channels::Options<'_> {
                $crate::channels::Options {
                    send_resolved: self.send_resolved,
                    timeout: $crate::config::timeout(self.timeout),
                    http: self.http_config.as_ref(),
                }
            }
            fn http_mut(&mut self) -> Option<&mut Option<crate::config::HttpConfig>> {
                Some(&mut self.http_config)
            }
        }
    };
}
pub(crate) use http_channel;

/// What is written from: a page, the group it tells of, and what identifies the delivery.
pub(crate) struct Draft<'a> {
    pub(crate) page: &'a Page,
    pub(crate) group: &'a GroupNotification,
    pub(crate) site: &'a Site,
    pub(crate) templates: &'a Templates,
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

impl Rendered {
    /// A JSON body.
    pub(crate) fn json(body: &Value, template_errors: Vec<String>) -> Rendered {
        let headers = vec![("Content-Type".into(), "application/json".into())];
        Rendered { headers, body: body.to_string(), template_errors }
    }

    /// Its JSON body, to be completed with credentials.
    pub(crate) fn read(&self) -> Result<Value, String> {
        serde_json::from_str(&self.body).map_err(|error| format!("what the outbox holds is not JSON: {error}"))
    }

    /// Whether its body is a form.
    pub(crate) fn is_form(&self) -> bool {
        let kind = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        kind.is_some_and(|(_, value)| value.starts_with("application/x-www-form-urlencoded"))
    }

    /// A `POST` of it.
    pub(crate) fn post(&self, url: watchbell_model::Url) -> Outgoing {
        self.post_body(url, self.body.clone())
    }

    /// A `POST` of another body with its headers.
    pub(crate) fn post_body(&self, url: watchbell_model::Url, body: String) -> Outgoing {
        let mut request = Request::post(url, body);
        request.headers.clone_from(&self.headers);
        Outgoing::Http(Box::new(request))
    }
}

/// What of the world a channel may use to make what is sent.
pub(crate) struct Attempt<'a> {
    /// Where credentials may stand in files.
    pub(crate) disk: &'a Disk,
    #[allow(dead_code, reason = "for channels that sign with the time")]
    pub(crate) now: Timestamp,
    /// The same for every try of this page on this channel.
    pub(crate) key: &'a str,
    /// Whether the page tells that it is over.
    pub(crate) resolved: bool,
    /// What [`Channel::thread`] gave for an earlier page of the group.
    pub(crate) thread: Option<&'a str>,
}

/// Something to be sent.
pub(crate) enum Outgoing {
    /// Over HTTP; time and bounds are the sender's.
    Http(Box<Request>),
    /// Over HTTP, besides: what becomes of it says nothing about the page.
    Aside(Box<Request>),
    /// Over HTTP, in several requests.
    Talk(Box<dyn Talk>),
    /// Over HTTP, signed for AWS.
    Aws(Box<AwsCall>),
    /// By mail.
    Mail(Box<Mail>),
    /// By a program of this machine.
    Exec(Box<Command>),
}

/// A call of an API at AWS, to be signed.
pub(crate) struct AwsCall {
    pub(crate) service: aws::Service,
    pub(crate) account: aws::Account,
    pub(crate) call: &'static str,
    pub(crate) fields: Vec<(String, String)>,
}

/// Requests of which each follows from the answer to the one before.
pub(crate) trait Talk: Send {
    /// The first request, or the one after an answer that was accepted; `None` when all is said. The error says why it
    /// cannot go on.
    fn next(&mut self, answer: Option<&Response>) -> Result<Option<Request>, (VerdictKind, String)>;

    /// Whether it goes on after an answer of this status, which is no success.
    fn forgives(&self, _status: u16) -> bool {
        false
    }
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

/// Judges an answer, or that there was none. A refusal (4xx, redirects) is told apart from an outage.
pub(crate) fn judge(
    channel: &dyn Channel,
    answer: Result<&Response, &HttpError>,
    now: Timestamp,
    disk: &Disk,
) -> Verdict {
    let response = match answer {
        Ok(response) => response,
        Err(error) => {
            // A request that cannot even be written will not get better by waiting.
            let refused = matches!(error, HttpError::Request(_));
            let kind = if refused { VerdictKind::Refused } else { VerdictKind::Retry(None) };
            return Verdict { kind, status: None, excerpt: without_secrets(channel, disk, &words(error)) };
        }
    };
    let after = || response.header("retry-after").and_then(|header| backoff::retry_after(header, now));
    let body = String::from_utf8_lossy(&response.body);
    let kind = match response.status {
        200..=299 => channel.judge(&body),
        status => channel.judge_status(status, &body).unwrap_or_else(|| match status {
            429 | 503 => VerdictKind::Retry(after()),
            408 | 425 | 500.. => VerdictKind::Retry(None),
            _ => VerdictKind::Refused,
        }),
    };
    let said = without_secrets(channel, disk, &body);
    let excerpt = match response.status {
        300..=399 => format!("the address leads elsewhere, which is not followed. {said}"),
        _ => said,
    };
    Verdict { kind, status: Some(response.status), excerpt }
}

/// One line, cut, with every credential of this channel blotted out.
pub(crate) fn without_secrets(channel: &dyn Channel, disk: &Disk, text: &str) -> String {
    let mut text = text.to_owned();
    let mut secrets = channel.secrets(disk);
    secrets.extend(channel.options().http.into_iter().flat_map(|http| http_secrets(http, disk)));
    for secret in secrets {
        let plain = secret.expose();
        // One- and two-letter "secrets" are somebody's placeholder and would blot out the words.
        if plain.len() > 2 {
            text = text.replace(plain, "<secret>");
            text = text.replace(&form_value(plain), "<secret>");
        }
    }
    cut(&one_line(&text), EXCERPT_MAX, Unit::Characters)
}

fn http_secrets(http: &HttpConfig, disk: &Disk) -> Vec<Secret> {
    let client = http.http_client();
    let mut secrets = Vec::new();
    let mut add = |given: &Option<Secret>, file: &Option<PathBuf>| secrets.push(secret_of(disk, given, file));
    if let Some(basic) = &client.basic_auth {
        add(&basic.password, &basic.password_file);
    }
    if let Some(other) = &client.authorization {
        add(&other.credentials, &other.credentials_file);
    }
    if let Some(oauth2) = &client.oauth2 {
        add(&oauth2.client_secret, &oauth2.client_secret_file);
    }
    secrets.extend(client.proxy_url);
    secrets.extend(client.http_headers.into_values().flat_map(|header| header.secrets));
    secrets
}

/// A secret that is given or stands in a file; empty where neither is, or the file cannot be read.
pub(crate) fn secret_of(disk: &Disk, given: &Option<Secret>, file: &Option<PathBuf>) -> Secret {
    Secret::new(held(disk, given, file).unwrap_or_default())
}

/// An address that is a secret, given or in a file.
pub(crate) fn address_of(
    disk: &Disk,
    field: &str,
    given: &Option<Secret>,
    file: &Option<PathBuf>,
) -> Result<watchbell_model::Url, String> {
    held(disk, given, file)?.parse().map_err(|_| format!("`{field}` is not a web address"))
}

/// Takes over a value, or the file of it, where neither is given.
pub(crate) fn complete_secret(
    (given, file): (&mut Option<Secret>, &mut Option<PathBuf>),
    (default, default_file): (&Option<Secret>, &Option<PathBuf>),
) {
    if given.is_none() && file.is_none() {
        given.clone_from(default);
        file.clone_from(default_file);
    }
}

/// Refuses a value that is given twice, or not at all where one is needed. The fields are called `name` and
/// `name_file`.
pub(crate) fn check_secret(
    name: &str,
    given: &Option<Secret>,
    file: &Option<PathBuf>,
    needed: Option<&str>,
    path: &Path,
    problems: &mut Problems,
) {
    match (given, file) {
        (Some(_), Some(_)) => {
            let message = format!("there are both `{name}` and `{name}_file`");
            problems.error(path, message).hint("at most one of them is needed");
        }
        (Some(secret), None) if secret.is_empty() => {
            problems.error(&path.field(name), "it is empty").hint("take it from a secret: `${secret:name}`");
        }
        (None, None) => {
            if let Some(hint) = needed {
                problems.error(path, format!("the field `{name}` is missing")).hint(hint);
            }
        }
        _ => {}
    }
}

/// An error with its causes, in one line.
pub(crate) fn words(error: &HttpError) -> String {
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
    let text = filled(template, draft, errors);
    // An empty page tells nobody anything.
    text.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| default.to_owned())
}

/// What a template says, which may be nothing; `None` without a template, or if it fails.
pub(crate) fn filled(template: Option<&str>, draft: &Draft<'_>, errors: &mut Vec<String>) -> Option<String> {
    match template_data::render(template?, draft) {
        Ok(text) => Some(text),
        Err(error) => {
            errors.push(error.to_string());
            None
        }
    }
}

/// A value of which each text, and each key, is a template. What fails becomes the empty text.
pub(crate) fn filled_value(value: &Value, draft: &Draft<'_>, errors: &mut Vec<String>) -> Value {
    let mut text = |template: &str| filled(Some(template), draft, errors).unwrap_or_default();
    match value {
        Value::String(template) => text(template).into(),
        Value::Array(list) => list.iter().map(|value| filled_value(value, draft, errors)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let name = filled(Some(name), draft, errors).unwrap_or_else(|| name.clone());
                (name, filled_value(value, draft, errors))
            });
            fields.collect()
        }
        other => other.clone(),
    }
}

/// Refuses a value that holds a template which cannot be read.
pub(crate) fn check_value(value: &Value, templates: &Templates, path: &Path, problems: &mut Problems) {
    match value {
        Value::String(template) => check_template(Some(template), templates, path, problems),
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                check_value(value, templates, &path.index(at), problems);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                check_template(Some(name), templates, &path.field(name), problems);
                check_value(value, templates, &path.field(name), problems);
            }
        }
        _ => {}
    }
}

/// Refuses a template that cannot be read.
pub(crate) fn check_template(template: Option<&str>, templates: &Templates, path: &Path, problems: &mut Problems) {
    if let Some(text) = template
        && let Err(error) = templates.parse(text)
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

/// Makes the files a channel names relative to a folder.
pub(crate) fn anchor(channel: &mut dyn Channel, base: &FilePath) {
    for file in channel.files_mut() {
        *file = base.join(&*file);
    }
    if let Some(Some(http)) = channel.http_mut() {
        http.anchor_http_client(base);
    }
}
