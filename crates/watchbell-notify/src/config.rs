//! Receivers as the configuration names them, in Alertmanager's shape where it has one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret, Severity, Span, Url};

use crate::channels::{Channel, ntfy, pushover, slack, webhook};
use crate::runbook::Library;

/// Who is told, and how: routes name it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// The name routes send to. A receiver without any channel takes pages and tells nobody, which is how a route
    /// is made silent.
    pub name: String,
    /// Topics on ntfy servers.
    #[serde(default)]
    pub ntfy_configs: Vec<ntfy::NtfyConfig>,
    /// Pushover users or groups.
    #[serde(default)]
    pub pushover_configs: Vec<pushover::PushoverConfig>,
    /// Slack incoming webhooks, and what speaks their language (Mattermost, Rocket.Chat).
    #[serde(default)]
    pub slack_configs: Vec<slack::SlackConfig>,
    /// Addresses that take Alertmanager's webhook body (version 4).
    #[serde(default)]
    pub webhook_configs: Vec<webhook::WebhookConfig>,
}

impl ReceiverConfig {
    /// Whether it has no channel, so that what it takes reaches nobody.
    pub fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// Finds what is wrong within one receiver.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if self.name.trim().is_empty() {
            problems.error(&path.field("name"), "a receiver needs a name").hint("routes name it, such as `oncall`");
        }
        for (kind, at, channel) in self.list() {
            channel.check(&path.field(format!("{kind}_configs")).index(at), problems);
        }
    }

    /// Finds what is wrong with all receivers: in each, and names given twice.
    pub fn check_all(receivers: &[ReceiverConfig], path: &Path, problems: &mut Problems) {
        let mut names = BTreeSet::new();
        for (at, receiver) in receivers.iter().enumerate() {
            receiver.check(&path.index(at), problems);
            if !names.insert(receiver.name.as_str()) {
                problems
                    .error(&path.index(at).field("name"), format!("the receiver `{}` is there twice", receiver.name))
                    .hint("give one of them another name, or put their channels into one receiver");
            }
        }
    }

    /// Its channels with their kind and index within the kind, in a fixed order.
    fn list(&self) -> Vec<(&'static str, usize, Channel)> {
        let mut list: Vec<(usize, Channel)> = Vec::new();
        list.extend(self.ntfy_configs.iter().cloned().map(Channel::Ntfy).enumerate());
        list.extend(self.pushover_configs.iter().cloned().map(Channel::Pushover).enumerate());
        list.extend(self.slack_configs.iter().cloned().map(Channel::Slack).enumerate());
        list.extend(self.webhook_configs.iter().cloned().map(Channel::Webhook).enumerate());
        list.into_iter().map(|(at, channel)| (channel.kind(), at, channel)).collect()
    }

    /// Its channels by name: `oncall/ntfy`, the second of a kind `oncall/ntfy-2`.
    pub(crate) fn channels(&self) -> Vec<(String, Channel)> {
        let name = |kind: &str, at: usize| match at {
            0 => format!("{}/{kind}", self.name),
            _ => format!("{}/{kind}-{}", self.name, at + 1),
        };
        self.list().into_iter().map(|(kind, at, channel)| (name(kind, at), channel)).collect()
    }
}

/// How a number stands for each severity.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Priorities {
    /// For alerts of severity `critical`.
    pub critical: i8,
    /// For alerts of severity `warning`.
    pub warning: i8,
    /// For alerts of severity `info`.
    pub info: i8,
}

impl Priorities {
    pub(crate) fn of(&self, severity: Severity) -> i8 {
        match severity {
            Severity::Critical => self.critical,
            Severity::Warning => self.warning,
            Severity::Info => self.info,
        }
    }

    pub(crate) fn check(&self, allowed: std::ops::RangeInclusive<i8>, path: &Path, problems: &mut Problems) {
        for (name, value) in [("critical", self.critical), ("warning", self.warning), ("info", self.info)] {
            if !allowed.contains(&value) {
                let message = format!("{value} is not a priority");
                problems.error(&path.field(name), message).hint(format!(
                    "it goes from {} to {}",
                    allowed.start(),
                    allowed.end()
                ));
            }
        }
    }
}

/// A user name and a password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password; take it from a secret: `${secret:name}`.
    pub password: Secret,
}

/// An `Authorization` header.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// The scheme.
    #[serde(rename = "type", default = "Authorization::default_scheme")]
    pub scheme: String,
    /// What follows the scheme; take it from a secret: `${secret:name}`.
    pub credentials: Secret,
}

impl Authorization {
    fn default_scheme() -> String {
        "Bearer".into()
    }
}

/// How a request authenticates.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// An `Authorization` header.
    #[serde(default)]
    pub authorization: Option<Authorization>,
    /// A user name and a password.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
}

impl HttpConfig {
    pub(crate) fn check(&self, path: &Path, problems: &mut Problems) {
        if self.authorization.is_some() && self.basic_auth.is_some() {
            problems.error(path, "`authorization` and `basic_auth` exclude each other").hint("keep one of them");
        }
    }

    pub(crate) fn header(&self) -> Option<String> {
        if let Some(it) = &self.authorization {
            return Some(format!("{} {}", it.scheme, it.credentials.expose()));
        }
        self.basic_auth.as_ref().map(basic)
    }

    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let mut secrets: Vec<Secret> = self.authorization.iter().map(|it| it.credentials.clone()).collect();
        secrets.extend(self.basic_auth.iter().map(|it| it.password.clone()));
        secrets
    }
}

/// The value of a `Basic` header.
pub(crate) fn basic(auth: &BasicAuth) -> String {
    use base64::Engine;
    let pair = format!("{}:{}", auth.username, auth.password.expose());
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

/// Refuses an address, written as a secret, that is none. The message does not show it.
pub(crate) fn check_secret_url(url: &Secret, path: &Path, problems: &mut Problems) {
    if url.expose().parse::<Url>().is_err() {
        problems.error(path, "this is not a web address").hint("it must start with `https://` or `http://`");
    }
}

/// The shortest path that is hidden by itself, in bytes.
const SECRET_PATH_MIN: usize = 8;

/// An address that is a secret, and its path alone, which answers and errors may name.
pub(crate) fn url_secrets(url: &Secret) -> Vec<Secret> {
    let path = url.expose().split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    // A short path holds no secret, and would blot out common words.
    let path = path.map(|(_, path)| path).filter(|path| path.len() >= SECRET_PATH_MIN);
    std::iter::once(url.clone()).chain(path.map(Secret::new)).collect()
}

/// The bounds of one try.
pub(crate) fn check_timeout(timeout: Span, path: &Path, problems: &mut Problems) {
    if timeout.is_zero() || timeout > Span::minutes(2) {
        problems
            .error(&path.field("timeout"), format!("a try cannot take {timeout}"))
            .hint("it is more than nothing and at most 2m; `10s` is usual");
    }
}

pub(crate) fn default_timeout() -> Span {
    Span::seconds(10)
}

pub(crate) fn default_true() -> bool {
    true
}

/// Turns a path of the site, which may have a query, into one that opens without signing in: `/a` into `/a?sig=…`.
pub type Sign = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Where links in pages lead.
#[derive(Clone)]
pub struct Site {
    /// What the installation is called.
    pub name: String,
    /// The prefix of every link.
    pub url: Url,
    /// Makes a run book's path open on a phone that is not signed in; `None` leaves paths as they are.
    pub sign: Option<Sign>,
}

impl Site {
    /// A site whose links are not signed.
    pub fn new(name: impl Into<String>, url: Url) -> Site {
        Site { name: name.into(), url, sign: None }
    }

    /// The address of a path of the site.
    pub(crate) fn address(&self, path: &str) -> String {
        self.url.join(path)
    }

    /// The same, open without signing in.
    pub(crate) fn open_address(&self, path: &str) -> String {
        match &self.sign {
            Some(sign) => self.url.join(&sign(path)),
            None => self.url.join(path),
        }
    }
}

/// All that can change on reload.
#[derive(Clone)]
pub struct NotifyConfig {
    /// Who is told, and how.
    pub receivers: Vec<ReceiverConfig>,
    /// The run books.
    pub runbooks: Arc<Library>,
    /// Where links lead.
    pub site: Site,
    /// How long a page is tried before it is given up; [`NotifyConfig::RETRY_FOR`] is usual.
    pub retry_for: Duration,
}

impl NotifyConfig {
    /// How long a page is tried, unless said otherwise: a day.
    pub const RETRY_FOR: Duration = Duration::from_secs(86_400);
}
