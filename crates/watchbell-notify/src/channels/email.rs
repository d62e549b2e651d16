//! E-mail: one thread per group of alerts, readable on a phone, through a server that speaks SMTP.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret, Severity, Span, TlsConfig};
use watchbell_runtime::Disk;
use watchbell_runtime::client::held;

use super::picture::Shows;
use super::{
    Attempt, Channel, Draft, HasOptions, Options, Outgoing, Rendered, check_secret, check_template, complete_secret,
    filled, loudness, secret_of, worded,
};
use crate::config::{ChannelDefaults, HttpConfig};
use crate::cut::{Unit, cut, one_line};
use crate::mail::{self, Mailbox};
use crate::smtp::{Encryption, Mail, Taken};
use crate::template_data::{self, Templates};

/// The longest subject, in characters.
const SUBJECT_MAX: usize = 250;
/// The longest text and HTML, in bytes: servers take at least ten times as much.
const TEXT_MAX: usize = 256 << 10;
/// Bound on one try unless said otherwise: servers that make senders wait do so for a few seconds.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Recipients of one mail; every server takes a hundred (RFC 5321).
const RECIPIENTS_MAX: usize = 100;
/// Lines of the stored page that are not part of the mail.
const FROM: &str = "Envelope-From";
const TO: &str = "Envelope-To";

/// Mailboxes that get pages.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// Who gets it: addresses with commas between them, with names or without. A template. Each may be refused by the
    /// server without harm for the others.
    pub to: String,
    /// Whom it comes from; unless given, `global.smtp_from`. A template.
    #[serde(default)]
    pub from: Option<String>,
    /// What we call ourselves to the server; unless given, `global.smtp_hello`, or else `localhost`.
    #[serde(default)]
    pub hello: Option<String>,
    /// `HOST:PORT` of the server; unless given, `global.smtp_smarthost`.
    #[serde(default)]
    pub smarthost: Option<String>,
    /// The user's name at the server; nobody signs in without one, or where the server does not ask for it.
    #[serde(default)]
    pub auth_username: Option<String>,
    /// The password, for PLAIN or LOGIN; take it from a secret: `${secret:name}`.
    #[serde(default)]
    pub auth_password: Option<Secret>,
    /// A file that holds it.
    #[serde(default)]
    pub auth_password_file: Option<PathBuf>,
    /// The secret of CRAM-MD5, which is then used where the server offers it.
    #[serde(default)]
    pub auth_secret: Option<Secret>,
    /// A file that holds it.
    #[serde(default)]
    pub auth_secret_file: Option<PathBuf>,
    /// The identity of PLAIN; seldom needed.
    #[serde(default)]
    pub auth_identity: Option<String>,
    /// Whether it must go encrypted, by `STARTTLS` if not from the first byte; so unless said otherwise. If not, it goes
    /// in clear text, the password too.
    #[serde(default)]
    pub require_tls: Option<bool>,
    /// Whether TLS begins at once, without `STARTTLS`; so on port 465 unless said otherwise.
    #[serde(default)]
    pub force_implicit_tls: Option<bool>,
    /// How far the server is trusted.
    #[serde(default)]
    pub tls_config: Option<TlsConfig>,
    /// Headers in place of ours or beside them; each value is a template.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The HTML, a template over data whose special characters are escaped; unless given, a page that reads well on a
    /// phone. Empty for a mail without HTML.
    #[serde(default)]
    pub html: Option<String>,
    /// The text for readers without HTML, a template; unless given: what, since when, where, what else.
    #[serde(default)]
    pub text: Option<String>,
    /// How mails about the same alerts belong together.
    #[serde(default)]
    pub threading: Threading,
    /// Whether a picture of the graph goes along within the mail, drawn by watchbell; so unless it is said otherwise.
    #[serde(default)]
    pub picture: Option<bool>,
    /// Whether to tell that it is over.
    #[serde(default = "crate::config::default_true")]
    pub send_resolved: bool,
    /// Bound on one try; `30s` unless given.
    #[serde(default)]
    pub timeout: Span,
}

/// How mails about the same alerts belong together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Threading {
    /// Whether they are one thread.
    pub enabled: bool,
    /// Whether each day begins a thread of its own (`daily`), or not (`none`).
    pub thread_by_date: ThreadByDate,
}

/// Whether each day begins a thread of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ThreadByDate {
    /// One thread for as long as there are mails.
    #[default]
    None,
    /// A thread per day, by UTC.
    Daily,
}

impl Default for Threading {
    fn default() -> Threading {
        Threading { enabled: true, thread_by_date: ThreadByDate::None }
    }
}

impl EmailConfig {
    fn host_port(&self) -> Option<(&str, u16)> {
        let (host, port) = self.smarthost.as_deref()?.rsplit_once(':')?;
        let port = match port {
            "smtp" => 25,
            "submission" => 587,
            "submissions" | "smtps" => 465,
            number => number.parse().ok().filter(|port| *port > 0)?,
        };
        Some((host.trim_start_matches('[').trim_end_matches(']'), port)).filter(|(host, _)| !host.is_empty())
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers.keys().any(|have| have.eq_ignore_ascii_case(name))
    }

    /// The HTML, with a way to the run book whatever a template says.
    fn html(&self, draft: &Draft<'_>, errors: &mut Vec<String>) -> Option<String> {
        let own = mail::html(draft.page, &draft.site.name);
        let Some(template) = self.html.as_deref() else { return Some(own) };
        if template.trim().is_empty() {
            return None;
        }
        let html = match template_data::render_html(template, draft) {
            Ok(html) if !html.trim().is_empty() => html,
            Ok(_) => own,
            Err(error) => {
                errors.push(error.to_string());
                own
            }
        };
        let runbook = mail::escaped(&draft.page.runbook_url);
        if html.contains(&runbook) || html.contains(&draft.page.runbook_url) {
            return Some(html);
        }
        let link = format!("<p><a href=\"{runbook}\">Run book</a></p>\n");
        Some(match html.rfind("</body>") {
            Some(end) => format!("{}{link}{}", &html[..end], &html[end..]),
            None => format!("{html}\n{link}"),
        })
    }
}

impl HasOptions for EmailConfig {
    fn options(&self) -> Options<'_> {
        let timeout = if self.timeout.is_zero() { TIMEOUT } else { self.timeout.duration() };
        Options { send_resolved: self.send_resolved, timeout, http: None }
    }

    fn http_mut(&mut self) -> Option<&mut Option<HttpConfig>> {
        None
    }
}

impl Channel for EmailConfig {
    fn kind(&self) -> &'static str {
        "email"
    }

    fn complete(&mut self, defaults: &ChannelDefaults) {
        let or = |given: &mut Option<String>, default: &Option<String>| {
            if given.as_ref().is_none_or(|it| it.is_empty()) {
                given.clone_from(default);
            }
        };
        or(&mut self.from, &defaults.smtp_from);
        or(&mut self.hello, &defaults.smtp_hello);
        or(&mut self.smarthost, &defaults.smtp_smarthost);
        or(&mut self.auth_username, &defaults.smtp_auth_username);
        or(&mut self.auth_identity, &defaults.smtp_auth_identity);
        complete_secret(
            (&mut self.auth_password, &mut self.auth_password_file),
            (&defaults.smtp_auth_password, &defaults.smtp_auth_password_file),
        );
        complete_secret(
            (&mut self.auth_secret, &mut self.auth_secret_file),
            (&defaults.smtp_auth_secret, &defaults.smtp_auth_secret_file),
        );
        self.require_tls = self.require_tls.or(defaults.smtp_require_tls);
        self.force_implicit_tls = self.force_implicit_tls.or(defaults.smtp_force_implicit_tls);
        if self.tls_config.is_none() {
            self.tls_config.clone_from(&defaults.smtp_tls_config);
        }
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        let tls = self.tls_config.iter_mut().flat_map(TlsConfig::files_mut);
        self.auth_password_file.iter_mut().chain(self.auth_secret_file.iter_mut()).chain(tls).collect()
    }

    fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        let from = self.from.as_deref().unwrap_or_default();
        if from.is_empty() {
            problems
                .error(path, "the field `from` is missing")
                .hint("give it here, or `smtp_from` for all mail, such as `watchbell@example.org`");
        }
        for (name, text) in [("to", self.to.as_str()), ("from", from)] {
            check_template(Some(text), templates, &path.field(name), problems);
            if text.contains("{{") {
                continue;
            }
            match mail::mailboxes(text) {
                Err(error) => {
                    problems.error(&path.field(name), error).hint("such as `Ops <ops@example.org>`");
                }
                Ok(list) if name == "to" && list.is_empty() => {
                    problems.error(&path.field(name), "it is empty").hint("give at least one address");
                }
                Ok(list) if name == "to" && list.len() > RECIPIENTS_MAX => {
                    let message = format!("there are {} recipients", list.len());
                    problems.error(&path.field(name), message).hint(format!("at most {RECIPIENTS_MAX} are possible"));
                }
                Ok(list) if name == "from" && list.len() > 1 => {
                    problems.error(&path.field(name), "there is more than one sender").hint("give one address");
                }
                Ok(_) => {}
            }
        }
        match &self.smarthost {
            None => {
                problems
                    .error(path, "the field `smarthost` is missing")
                    .hint("give it here, or `smtp_smarthost` for all mail, such as `mail.example.org:587`");
            }
            Some(text) if self.host_port().is_none() => {
                problems
                    .error(&path.field("smarthost"), format!("`{text}` is not a server"))
                    .hint("`HOST:PORT`, such as `mail.example.org:587`");
            }
            Some(_) => {}
        }
        let hello = self.hello.as_deref().unwrap_or_default();
        if hello.chars().any(|c| c.is_whitespace() || c.is_control()) {
            problems.error(&path.field("hello"), format!("`{hello}` is not a name")).hint("this host's name");
        }
        check_secret("auth_password", &self.auth_password, &self.auth_password_file, None, path, problems);
        check_secret("auth_secret", &self.auth_secret, &self.auth_secret_file, None, path, problems);
        if let Some(tls) = &self.tls_config {
            tls.check(&path.field("tls_config"), problems);
        }
        let mut names = BTreeSet::new();
        for (name, value) in &self.headers {
            let path = path.field("headers").field(name);
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_graphic() && c != ':') {
                problems.error(&path, format!("`{name}` is not a header's name")).hint("such as `Reply-To`");
            }
            if !names.insert(name.to_ascii_lowercase()) {
                problems.error(&path, "the header is there twice").hint("upper and lower case are the same here");
            }
            check_template(Some(value), templates, &path, problems);
        }
        if self.threading.thread_by_date == ThreadByDate::Daily && self.threading.enabled {
            for name in ["References", "In-Reply-To"].into_iter().filter(|name| self.has_header(name)) {
                problems
                    .error(&path.field("headers"), format!("`{name}` is what `threading` writes"))
                    .hint("leave one of the two out");
            }
        }
        check_template(self.html.as_deref(), templates, &path.field("html"), problems);
        check_template(self.text.as_deref(), templates, &path.field("text"), problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let page = draft.page;
        let mut errors = Vec::new();
        let addresses = |field: &str, template: &str, errors: &mut Vec<String>| {
            let text = filled(Some(template), draft, errors).unwrap_or_default();
            let list = mail::mailboxes(&text);
            list.unwrap_or_else(|error| {
                errors.push(format!("`{field}`: {error}"));
                Vec::new()
            })
        };
        let mut to = addresses("to", &self.to, &mut errors);
        to.truncate(RECIPIENTS_MAX);
        let from = addresses("from", self.from.as_deref().unwrap_or_default(), &mut errors);
        let plain = |list: &[Mailbox]| list.iter().map(|it| it.address.clone()).collect::<Vec<_>>().join(", ");
        let mut headers: Vec<(String, String)> =
            vec![(FROM.into(), plain(&from[..from.len().min(1)])), (TO.into(), plain(&to))];
        let mut own: BTreeMap<String, String> = BTreeMap::new();
        for (name, template) in &self.headers {
            if let Some(value) = filled(Some(template), draft, &mut errors) {
                own.insert(name.to_ascii_lowercase(), value);
            }
        }
        let subject = own.remove("subject").filter(|it| !it.trim().is_empty()).unwrap_or_else(|| page.title.clone());
        let domain = from.first().and_then(|it| it.address.rsplit_once('@')).map_or("localhost", |(_, host)| host);
        let priority = match loudness(page) {
            Severity::Critical => "1 (Highest)",
            Severity::Warning => "3 (Normal)",
            Severity::Info => "5 (Lowest)",
        };
        let mut ours = vec![
            ("Date", mail::date(page.at)),
            ("From", mail::mailbox_header(&from)),
            ("To", mail::mailbox_header(&to)),
            ("Subject", mail::text_header(&cut(&one_line(&subject), SUBJECT_MAX, Unit::Characters))),
            ("Auto-Submitted", "auto-generated".to_owned()),
            ("X-Priority", priority.to_owned()),
        ];
        let threads = self.threading.enabled && !self.has_header("References") && !self.has_header("In-Reply-To");
        if threads {
            // Names a mail that never was: readers of mail gather those that answer the same one.
            let day = match self.threading.thread_by_date {
                ThreadByDate::None => String::new(),
                ThreadByDate::Daily => format!("-{}", page.at.to_string().get(..10).unwrap_or_default()),
            };
            let root = format!("<alert-{}{day}@{domain}>", page.sequence_id);
            ours.extend([("In-Reply-To", root.clone()), ("References", root)]);
        }
        for (name, value) in ours {
            let value = match own.remove(&name.to_ascii_lowercase()) {
                Some(given) => header_value(name, &given),
                None => value,
            };
            headers.push((name.to_owned(), value));
        }
        // The recipients are those of `to`; a blind copy would show who they are.
        own.remove("bcc");
        for name in self.headers.keys() {
            if let Some(given) = own.remove(&name.to_ascii_lowercase()) {
                headers.push((name.clone(), header_value(name, &given)));
            }
        }
        let text = worded(self.text.as_deref().filter(|it| !it.trim().is_empty()), &page.text, draft, &mut errors);
        let mut text = cut(&text, TEXT_MAX, Unit::Bytes);
        if !text.contains(&page.runbook_url) {
            text = format!("{text}\n\nRun book: {}\nAlarm: {}", page.runbook_url, page.alarm_url);
        }
        for (label, url) in page.actions() {
            text = format!("{text}\n{label}: {url}");
        }
        let html = self.html(draft, &mut errors).map(|html| cut(&html, TEXT_MAX, Unit::Bytes));
        let (mime, body) = mail::body(Some(&text), html.as_deref(), &page.sequence_id);
        headers.extend(mime.into_iter().filter(|(name, _)| !self.has_header(name)));
        Rendered { headers, body, template_errors: errors }
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let envelope = |name: &str| rendered.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value);
        let from = envelope(FROM).cloned().unwrap_or_default();
        let to: Vec<String> = envelope(TO).map(|it| it.split(", ").map(str::to_owned).collect()).unwrap_or_default();
        if from.is_empty() || to.iter().all(String::is_empty) {
            return Err("the template of `from` or `to` gave no address".into());
        }
        let mut message = String::new();
        let (headers, body) = match attempt.picture {
            Some(picture) => mail::with_picture(&rendered.headers, &rendered.body, attempt.key, picture),
            None => (rendered.headers.clone(), rendered.body.clone()),
        };
        for (name, value) in headers.iter().filter(|(name, _)| name != FROM && name != TO) {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.has_header("Message-ID") {
            let domain = from.rsplit_once('@').map_or("localhost", |(_, host)| host);
            message.push_str(&format!("Message-ID: <{}@{domain}>\r\n", attempt.key));
        }
        message.push_str("\r\n");
        message.push_str(&body);
        let (host, port) = self.host_port().ok_or("`smarthost` is not `HOST:PORT`")?;
        let implicit = self.force_implicit_tls.unwrap_or(port == 465);
        let encryption = match (implicit, self.require_tls.unwrap_or(true)) {
            (true, _) => Encryption::Implicit,
            (false, true) => Encryption::StartTls,
            (false, false) => Encryption::None,
        };
        let taken = attempt.thread.and_then(|text| serde_json::from_str::<Taken>(text).ok());
        let taken = taken.filter(|taken| taken.key == attempt.key);
        Ok(vec![Outgoing::Mail(Box::new(Mail {
            host: host.to_owned(),
            port,
            hello: self.hello.clone().filter(|it| !it.is_empty()).unwrap_or_else(|| "localhost".into()),
            encryption,
            tls: self.tls_config.clone().unwrap_or_default(),
            username: self.auth_username.clone().unwrap_or_default(),
            password: Secret::new(held(attempt.disk, &self.auth_password, &self.auth_password_file)?),
            secret: Secret::new(held(attempt.disk, &self.auth_secret, &self.auth_secret_file)?),
            identity: self.auth_identity.clone().unwrap_or_default(),
            from,
            to,
            message,
            timeout: self.options().timeout,
            taken: taken.unwrap_or_else(|| Taken { key: attempt.key.to_owned(), by: Vec::new() }),
        }))])
    }

    fn picture(&self) -> Shows {
        Shows::given(self.picture, !self.has_header("Content-Type"), Shows::Within)
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        vec![
            secret_of(disk, &self.auth_password, &self.auth_password_file),
            secret_of(disk, &self.auth_secret, &self.auth_secret_file),
        ]
    }
}

/// A value that a configuration gives: mailboxes keep their form, all else is text.
fn header_value(name: &str, value: &str) -> String {
    let holds_mailboxes = ["from", "to", "cc", "reply-to", "sender"].iter().any(|it| it.eq_ignore_ascii_case(name));
    match mail::mailboxes(value) {
        Ok(list) if holds_mailboxes => mail::mailbox_header(&list),
        _ => mail::text_header(value),
    }
}
