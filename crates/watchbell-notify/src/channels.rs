//! Channels: one file each, one suite over all.
//!
//! A channel is pure: it writes a page into a body without credentials (which is what the outbox keeps), makes of that
//! body what is sent, with credentials (which is never kept), and judges the answer or says what it leads to. Sending is
//! the sender's.

pub(crate) mod discord;
pub(crate) mod email;
pub(crate) mod exec;
pub(crate) mod gotify;
pub(crate) mod incidentio;
pub(crate) mod jira;
pub(crate) mod matrix;
pub(crate) mod mattermost;
pub(crate) mod msteams;
pub(crate) mod msteamsv2;
pub(crate) mod ntfy;
pub(crate) mod ntfy_switch;
pub(crate) mod opsgenie;
pub(crate) mod pagerduty;
pub(crate) mod picture;
pub(crate) mod ping;
pub(crate) mod pushover;
pub(crate) mod rocketchat;
pub(crate) mod slack;
pub(crate) mod sns;
pub(crate) mod telegram;
pub(crate) mod victorops;
pub(crate) mod webex;
pub(crate) mod webhook;
pub(crate) mod wechat;

use std::fmt::Debug;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use watchbell_model::{GroupNotification, Path, Picture, Problems, Secret, Severity, Timestamp};
use watchbell_runtime::client::held;
use watchbell_runtime::http::{HttpError, Request, Response};
use watchbell_runtime::process::Command;
use watchbell_runtime::{Disk, aws};

use crate::backoff;
use crate::channels::picture::Shows;
use crate::config::{ChannelDefaults, HttpConfig, Site};
use crate::cut::{Unit, cut, one_line};
use crate::page::Page;
use crate::smtp::Mail;
use crate::template_data::{self, Templates};

/// How much of an answer is read.
pub(crate) const ANSWER_MAX: usize = 16 << 10;
/// Pages that may be on their way to a machine at the same time.
const MACHINE_AT_ONCE: usize = 8;
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

    /// What stops what earlier pages of a group set going by itself, as a push that rings until it is answered, or what
    /// tells a service that somebody sees to it ([`GroupNotification::acknowledged_by`]); nothing where nothing goes on.
    /// Also asked for when all is over and nobody wants to be told so.
    fn hush(&self, _draft: &Draft<'_>) -> Option<Rendered> {
        None
    }

    /// What is sent, in this order, each after the one before it was accepted: the stored bytes with credentials; nothing
    /// where there is nothing to be stopped. The
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

    /// What of an accepted answer is remembered until the group is over, for [`Attempt::thread`]: the first that a page
    /// gives which had nothing to go by.
    fn thread(&self, _answer: &Response) -> Option<String> {
        None
    }

    /// How fast the provider takes pages, if it says.
    fn pace(&self) -> Option<Pace> {
        None
    }

    /// Whether a person reads what arrives: a flood of pages is then told of in one. A machine wants each.
    fn is_for_people(&self) -> bool {
        true
    }

    /// How many pages, each of another group, may be on their way at the same time.
    fn at_once(&self) -> usize {
        if self.is_for_people() { 1 } else { MACHINE_AT_ONCE }
    }

    /// How long a page is tried before it is given up, if not as long as any other.
    fn retry_for(&self) -> Option<Duration> {
        None
    }

    /// Whether a later answer stands in the place of what is remembered, which then outlives episodes of the group.
    fn relearns(&self) -> bool {
        false
    }

    /// What an answer leads to, in place of what was still to be sent; by itself nothing, and the answer is judged.
    fn follow(&self, _rendered: &Rendered, _attempt: &Attempt<'_>, _answer: &Response) -> Option<Follow> {
        None
    }

    /// How it shows a picture of the graph.
    fn picture(&self) -> Shows {
        Shows::Nothing
    }

    /// What brings a picture after a page that was accepted with this answer. What becomes of it says nothing about the
    /// page.
    fn beside(&self, _attempt: &Attempt<'_>, _answer: &Response, _picture: &Picture) -> Option<Box<dyn Talk>> {
        None
    }

    /// Credentials that no log, answer or page may show.
    fn secrets(&self, disk: &Disk) -> Vec<Secret>;
}

/// How fast pages may be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// So many at once.
    pub(crate) burst: u32,
    /// Then one in this time.
    pub(crate) every: Duration,
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
        Outgoing::Http(Box::new(self.request(url, body)))
    }

    /// The same, to be completed.
    pub(crate) fn request(&self, url: watchbell_model::Url, body: String) -> Request {
        let mut request = Request::post(url, body);
        request.headers.clone_from(&self.headers);
        request
    }
}

/// What of the world a channel may use to make what is sent.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// Where credentials may stand in files.
    pub(crate) disk: &'a Disk,
    pub(crate) now: Timestamp,
    /// The same for every try of this page on this channel.
    pub(crate) key: &'a str,
    /// Whether the page tells that it is over.
    pub(crate) resolved: bool,
    /// What [`Channel::thread`] gave for an earlier page of the group.
    pub(crate) thread: Option<&'a str>,
    /// What goes along, where the channel shows pictures within its messages.
    pub(crate) picture: Option<&'a Picture>,
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

/// What is sent because of an answer.
pub(crate) enum Follow {
    /// This.
    Instead(Vec<Outgoing>),
    /// The page as the first of its group: what is remembered of the group is not there any more.
    Alone,
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
    let body = String::from_utf8_lossy(&response.body);
    let kind = meaning(channel, response, now);
    let said = without_secrets(channel, disk, &body);
    let excerpt = match response.status {
        300..=399 => format!("the address leads elsewhere, which is not followed. {said}"),
        _ => said,
    };
    Verdict { kind, status: Some(response.status), excerpt }
}

/// What an answer means.
fn meaning(channel: &dyn Channel, response: &Response, now: Timestamp) -> VerdictKind {
    let body = String::from_utf8_lossy(&response.body);
    let header = || response.header("retry-after").and_then(|header| backoff::retry_after(header, now));
    match response.status {
        200..=299 => channel.judge(&body),
        status => channel.judge_status(status, &body).unwrap_or_else(|| match status {
            429 | 503 => VerdictKind::Retry(header().or_else(|| asked(&body))),
            408 | 425 | 500.. => VerdictKind::Retry(None),
            _ => VerdictKind::Refused,
        }),
    }
}

/// How long a JSON body asks to wait: seconds as Discord and Telegram write them, milliseconds as Matrix does.
fn asked(body: &str) -> Option<Duration> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let seconds = body["retry_after"].as_f64().or_else(|| body["parameters"]["retry_after"].as_f64());
    let seconds = seconds.or_else(|| Some(body["retry_after_ms"].as_f64()? / 1000.0))?;
    Some(Duration::try_from_secs_f64(seconds.ceil()).ok()?.min(crate::RETRY_AFTER_MAX))
}

/// Sends a page by itself when it is refused as a later one of its group: an edit of a message that somebody deleted
/// must not cost the page.
pub(crate) fn alone_if_refused(channel: &dyn Channel, attempt: &Attempt<'_>, answer: &Response) -> Option<Follow> {
    let refused = meaning(channel, answer, attempt.now) == VerdictKind::Refused;
    (attempt.thread.is_some() && refused).then_some(Follow::Alone)
}

/// The JSON of an answer; nothing where it is none.
pub(crate) fn read(answer: &Response) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// The meaning of an answer of status 2xx that must have `field`: where it has not, something else answered in the
/// service's place, such as a proxy's page, and the page has not arrived.
pub(crate) fn accepted_with(field: &str, body: &str) -> VerdictKind {
    let answer: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    if answer[field].is_null() { VerdictKind::Retry(None) } else { VerdictKind::Accepted }
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
        add(&oauth2.client_certificate_key, &oauth2.client_certificate_key_file);
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
        // An empty one that may be left out is as if it were.
        (Some(secret), None) if secret.is_empty() && needed.is_some() => {
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

/// What an optional field's template says, if anything.
pub(crate) fn said(template: &Option<String>, draft: &Draft<'_>, errors: &mut Vec<String>) -> Option<String> {
    filled(template.as_deref(), draft, errors).filter(|text| !text.trim().is_empty())
}

/// Puts fields into a JSON object, where there is something to put.
pub(crate) fn put<const N: usize>(body: &mut serde_json::Value, fields: [(&str, Option<String>); N]) {
    for (name, value) in fields {
        if let Some(value) = value {
            body[name] = value.into();
        }
    }
}

/// The links of a page that fit in `max`, each written by `write` from its label and address: all, else those but for the
/// verdict, else those of the run book and the alarm, else the run book's, else the alarm's page, which leads to it. A cut address opens nothing.
pub(crate) fn links(
    page: &Page,
    max: usize,
    unit: Unit,
    between: &str,
    write: impl Fn(&str, &str) -> String,
) -> String {
    let (book, alarm) = (write("Run book", &page.runbook_url), write("Alarm", &page.alarm_url));
    let actions = page.actions().map(|(label, url)| write(label, url));
    let all: Vec<String> = [book.clone(), alarm.clone()].into_iter().chain(actions).collect();
    let most = if page.verdict_url.is_some() { &all[..all.len() - 1] } else { &all[..] };
    let ways = [all.join(between), most.join(between), format!("{book}{between}{alarm}"), book, alarm];
    ways.into_iter().find(|links| unit.size(links) <= max).unwrap_or_default()
}

/// A link in Markdown.
pub(crate) fn markdown_link(label: &str, url: &str) -> String {
    format!("[{label}]({})", url.replace('(', "%28").replace(')', "%29").replace(' ', "%20"))
}

/// Words that Markdown shows as they are.
pub(crate) fn markdown_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        // A bracket is a link only before an address; not every chat takes the backslash away before one that is none.
        let link = c == ']' && rest.peek() == Some(&'(');
        if link || matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '<') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Words that HTML shows as they are.
pub(crate) fn html_escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The colour of a page.
pub(crate) fn color(page: &Page) -> u32 {
    match (page.is_resolved(), page.severity) {
        (true, _) => 0x2e_b67d,
        (_, Severity::Critical) => 0xe0_1e5a,
        (_, Severity::Warning) => 0xec_b22e,
        (_, Severity::Info) => 0x36_c5f0,
    }
}

/// The sign before a page's title, where nothing else shows how bad it is.
pub(crate) fn sign(page: &Page) -> &'static str {
    match (page.is_resolved(), page.severity) {
        (true, _) => "✅",
        (_, Severity::Critical) => "🚨",
        (_, Severity::Warning) => "⚠️",
        (_, Severity::Info) => "ℹ️",
    }
}

/// Refuses templates that cannot be read, of fields by name.
pub(crate) fn check_templates<const N: usize>(
    fields: [(&str, &Option<String>); N],
    templates: &Templates,
    path: &Path,
    problems: &mut Problems,
) {
    for (name, template) in fields {
        check_template(template.as_deref(), templates, &path.field(name), problems);
    }
}

/// Refuses an address that is given twice, not at all, or is none. The message does not show it.
pub(crate) fn check_address(
    name: &str,
    given: &Option<Secret>,
    file: &Option<PathBuf>,
    hint: &str,
    path: &Path,
    problems: &mut Problems,
) {
    check_secret(name, given, file, Some(hint), path, problems);
    if let Some(url) = given.as_ref().filter(|url| !url.is_empty()) {
        crate::config::check_secret_url(url, &path.field(name), problems);
    }
}

/// Whether `http_config` has credentials of its own, which would meet those of the channel.
pub(crate) fn has_credentials(http: Option<&HttpConfig>) -> bool {
    http.is_some_and(|it| it.basic_auth.is_some() || it.authorization.is_some() || it.oauth2.is_some())
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
    if let Some(text) = template {
        templates.check(text, path, problems);
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
