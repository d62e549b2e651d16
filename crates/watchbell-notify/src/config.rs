//! Receivers as the configuration names them, in Alertmanager's shape where it has one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{GroupNotification, Path, Problems, Secret, Severity, Span, Subject, Url};

use crate::channels::{
    self, Channel, discord, email, exec, gotify, incidentio, jira, matrix, mattermost, msteams, msteamsv2, ntfy,
    ntfy_switch, opsgenie, pagerduty, ping, pushover, rocketchat, slack, sns, telegram, victorops, webex, webhook,
    wechat,
};
use crate::runbook::Library;
use crate::template_data::Templates;

/// The receivers' struct with one list per kind of channel, and what goes over all of them.
macro_rules! receivers {
    ($($(#[$doc:meta])* $field:ident: $module:ident::$config:ident,)*) => {
        /// Who is told, and how: routes name it.
        #[derive(Debug, Clone, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct ReceiverConfig {
            /// The name routes send to. A receiver without any channel takes pages and tells nobody, which is how a
            /// route is made silent.
            pub name: String,
            $($(#[$doc])* #[serde(default)] pub $field: Vec<$module::$config>,)*
        }

        impl ReceiverConfig {
            /// One without a channel.
            pub fn named(name: impl Into<String>) -> ReceiverConfig {
                ReceiverConfig { name: name.into(), $($field: Vec::new(),)* }
            }

            /// Its channels with their field and index, in a fixed order.
            fn list(&self) -> Vec<(&'static str, usize, &dyn Channel)> {
                let mut list: Vec<(&'static str, usize, &dyn Channel)> = Vec::new();
                $(for (at, it) in self.$field.iter().enumerate() {
                    list.push((stringify!($field), at, it));
                })*
                list
            }

            fn list_mut(&mut self) -> Vec<&mut dyn Channel> {
                let mut list: Vec<&mut dyn Channel> = Vec::new();
                $(for it in &mut self.$field {
                    list.push(it);
                })*
                list
            }

            /// Its channels by name: `oncall/ntfy`, the second of a kind `oncall/ntfy-2`.
            pub(crate) fn channels(&self) -> Vec<(String, Arc<dyn Channel>)> {
                let mut list: Vec<(String, Arc<dyn Channel>)> = Vec::new();
                $(for (at, it) in self.$field.iter().enumerate() {
                    let more = if at == 0 { String::new() } else { format!("-{}", at + 1) };
                    list.push((format!("{}/{}{more}", self.name, it.kind()), Arc::new(it.clone())));
                })*
                list
            }
        }
    };
}

receivers! {
    /// Discord webhooks.
    discord_configs: discord::DiscordConfig,
    /// Mailboxes.
    email_configs: email::EmailConfig,
    /// Programs of this machine.
    exec_configs: exec::ExecConfig,
    /// Applications on Gotify servers.
    gotify_configs: gotify::GotifyConfig,
    /// Alert sources of incident.io.
    incidentio_configs: incidentio::IncidentioConfig,
    /// Projects of Jira.
    jira_configs: jira::JiraConfig,
    /// Matrix rooms.
    matrix_configs: matrix::MatrixConfig,
    /// Mattermost incoming webhooks.
    mattermost_configs: mattermost::MattermostConfig,
    /// Microsoft Teams connectors of the old kind, which Microsoft is switching off.
    msteams_configs: msteams::MsteamsConfig,
    /// Microsoft Teams workflows that post what a webhook receives.
    msteamsv2_configs: msteamsv2::Msteamsv2Config,
    /// Topics on ntfy servers.
    ntfy_configs: ntfy::NtfyConfig,
    /// Messages on ntfy servers that each page puts off: dead man's switches.
    ntfy_switch_configs: ntfy_switch::NtfySwitchConfig,
    /// Teams of Opsgenie or Jira Service Management.
    opsgenie_configs: opsgenie::OpsgenieConfig,
    /// Services of PagerDuty.
    pagerduty_configs: pagerduty::PagerdutyConfig,
    /// Addresses that are asked, without a word: dead man's switches.
    ping_configs: ping::PingConfig,
    /// Pushover users or groups.
    pushover_configs: pushover::PushoverConfig,
    /// Rocket.Chat channels.
    rocketchat_configs: rocketchat::RocketchatConfig,
    /// Slack apps and incoming webhooks, and what speaks their language.
    slack_configs: slack::SlackConfig,
    /// Topics, phones and apps behind Amazon SNS.
    sns_configs: sns::SnsConfig,
    /// Telegram chats.
    telegram_configs: telegram::TelegramConfig,
    /// Routing keys of VictorOps (Splunk On-Call).
    victorops_configs: victorops::VictoropsConfig,
    /// Webex rooms.
    webex_configs: webex::WebexConfig,
    /// Addresses that take Alertmanager's webhook body (version 4).
    webhook_configs: webhook::WebhookConfig,
    /// WeChat Work (WeCom) applications.
    wechat_configs: wechat::WechatConfig,
}

impl ReceiverConfig {
    /// Whether it has no channel, so that what it takes reaches nobody.
    pub fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// Takes over what is said for all receivers, and makes files it names relative to a folder.
    pub fn complete(&mut self, defaults: &ChannelDefaults, base: &std::path::Path) {
        for channel in self.list_mut() {
            channels::anchor(channel, base);
            channel.complete(defaults);
            if let Some(http) = channel.http_mut()
                && http.is_none()
            {
                http.clone_from(&defaults.http_config);
            }
        }
    }

    /// Finds what is wrong within one receiver.
    pub fn check(&self, templates: &Templates, path: &Path, problems: &mut Problems) {
        if self.name.trim().is_empty() {
            problems.error(&path.field("name"), "a receiver needs a name").hint("routes name it, such as `oncall`");
        }
        for (field, at, channel) in self.list() {
            let path = path.field(field).index(at);
            channel.check(templates, &path, problems);
            let options = channel.options();
            check_timeout(Span(options.timeout), &path, problems);
            if let Some(http) = options.http {
                http.http_client().check(&path.field("http_config"), problems);
            }
        }
    }

    /// Finds what is wrong with all receivers: in each, and names given twice.
    pub fn check_all(receivers: &[ReceiverConfig], templates: &Templates, path: &Path, problems: &mut Problems) {
        let mut names = BTreeSet::new();
        for (at, receiver) in receivers.iter().enumerate() {
            receiver.check(templates, &path.index(at), problems);
            if !names.insert(receiver.name.as_str()) {
                problems
                    .error(&path.index(at).field("name"), format!("the receiver `{}` is there twice", receiver.name))
                    .hint("give one of them another name, or put their channels into one receiver");
            }
        }
    }
}

/// Puts what Alertmanager's `global` says for all channels among a struct's own fields, and gives it as
/// [`ChannelDefaults`](crate::ChannelDefaults) by `channel_defaults()`.
#[macro_export]
macro_rules! with_channel_defaults {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$own_meta:meta])* pub $own:ident: $own_kind:ty,)* }) => {
        $crate::with_channel_defaults! {
            @fields
            [$(#[$meta])* pub struct $name { $($(#[$own_meta])* pub $own: $own_kind,)* }]
            [
                /// How addresses of channels are spoken to, unless the channel says.
                http_config: $crate::HttpConfig,
                /// Whom e-mail comes from.
                smtp_from: String,
                /// `HOST:PORT` of the server that takes e-mail.
                smtp_smarthost: String,
                /// What we call ourselves to that server.
                smtp_hello: String,
                /// The user's name at that server.
                smtp_auth_username: String,
                /// The password there.
                smtp_auth_password: watchbell_model::Secret,
                /// A file that holds the password there.
                smtp_auth_password_file: std::path::PathBuf,
                /// The secret of CRAM-MD5.
                smtp_auth_secret: watchbell_model::Secret,
                /// A file that holds the secret of CRAM-MD5.
                smtp_auth_secret_file: std::path::PathBuf,
                /// The identity of PLAIN.
                smtp_auth_identity: String,
                /// Whether e-mail must go encrypted; so unless it is said otherwise.
                smtp_require_tls: bool,
                /// Whether TLS begins at once, without STARTTLS; so on port 465.
                smtp_force_implicit_tls: bool,
                /// How far that server is trusted.
                smtp_tls_config: watchbell_model::TlsConfig,
                /// Slack's incoming webhook.
                slack_api_url: watchbell_model::Secret,
                /// A file that holds it.
                slack_api_url_file: std::path::PathBuf,
                /// The token of a Slack app.
                slack_app_token: watchbell_model::Secret,
                /// A file that holds it.
                slack_app_token_file: std::path::PathBuf,
                /// Slack's `chat.postMessage`, or what stands in for it.
                slack_app_url: watchbell_model::Url,
                /// PagerDuty's Events API v2.
                pagerduty_url: watchbell_model::Url,
                /// Opsgenie's API.
                opsgenie_api_url: watchbell_model::Url,
                /// The key of Opsgenie's API.
                opsgenie_api_key: watchbell_model::Secret,
                /// A file that holds it.
                opsgenie_api_key_file: std::path::PathBuf,
                /// Rocket.Chat's API.
                rocketchat_api_url: watchbell_model::Url,
                /// The token of Rocket.Chat's API.
                rocketchat_token: watchbell_model::Secret,
                /// A file that holds it.
                rocketchat_token_file: std::path::PathBuf,
                /// The user's id at Rocket.Chat.
                rocketchat_token_id: watchbell_model::Secret,
                /// A file that holds it.
                rocketchat_token_id_file: std::path::PathBuf,
                /// WeChat's API.
                wechat_api_url: watchbell_model::Url,
                /// The secret of WeChat's API.
                wechat_api_secret: watchbell_model::Secret,
                /// A file that holds it.
                wechat_api_secret_file: std::path::PathBuf,
                /// The company's id at WeChat.
                wechat_api_corp_id: String,
                /// VictorOps' (Splunk On-Call's) API.
                victorops_api_url: watchbell_model::Url,
                /// The key of VictorOps' API.
                victorops_api_key: watchbell_model::Secret,
                /// A file that holds it.
                victorops_api_key_file: std::path::PathBuf,
                /// Telegram's API.
                telegram_api_url: watchbell_model::Url,
                /// The token of a Telegram bot.
                telegram_bot_token: watchbell_model::Secret,
                /// A file that holds it.
                telegram_bot_token_file: std::path::PathBuf,
                /// Webex' API.
                webex_api_url: watchbell_model::Url,
                /// Mattermost's incoming webhook.
                mattermost_webhook_url: watchbell_model::Secret,
                /// A file that holds it.
                mattermost_webhook_url_file: std::path::PathBuf,
                /// Jira's API.
                jira_api_url: watchbell_model::Url,
            ]
        }
    };
    (
        @fields
        [$(#[$meta:meta])* pub struct $name:ident { $($(#[$own_meta:meta])* pub $own:ident: $own_kind:ty,)* }]
        [$($(#[$doc:meta])* $field:ident: $kind:ty,)*]
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$own_meta])* pub $own: $own_kind,)*
            $($(#[$doc])* #[serde(default)] pub $field: Option<$kind>,)*
        }

        impl $name {
            /// What it says for all channels.
            pub fn channel_defaults(&self) -> $crate::ChannelDefaults {
                $crate::ChannelDefaults { $($field: self.$field.clone(),)* }
            }
        }
    };
}

with_channel_defaults! {
    /// What Alertmanager's `global` says for all channels, each of which may say otherwise.
    #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct ChannelDefaults {
    }
}

impl ChannelDefaults {
    /// Makes files it names relative to a folder.
    pub fn anchor(&mut self, base: &std::path::Path) {
        for file in [
            &mut self.smtp_auth_password_file,
            &mut self.smtp_auth_secret_file,
            &mut self.slack_api_url_file,
            &mut self.slack_app_token_file,
            &mut self.opsgenie_api_key_file,
            &mut self.rocketchat_token_file,
            &mut self.rocketchat_token_id_file,
            &mut self.wechat_api_secret_file,
            &mut self.victorops_api_key_file,
            &mut self.telegram_bot_token_file,
            &mut self.mattermost_webhook_url_file,
        ]
        .into_iter()
        .flatten()
        {
            *file = base.join(&*file);
        }
        if let Some(tls) = &mut self.smtp_tls_config {
            tls.files_mut().for_each(|file| *file = base.join(&*file));
        }
        if let Some(http) = &mut self.http_config {
            http.anchor_http_client(base);
        }
    }

    /// Finds what is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        for (name, given, file) in [
            ("smtp_auth_password", &self.smtp_auth_password, &self.smtp_auth_password_file),
            ("smtp_auth_secret", &self.smtp_auth_secret, &self.smtp_auth_secret_file),
            ("slack_api_url", &self.slack_api_url, &self.slack_api_url_file),
            ("slack_app_token", &self.slack_app_token, &self.slack_app_token_file),
            ("opsgenie_api_key", &self.opsgenie_api_key, &self.opsgenie_api_key_file),
            ("rocketchat_token", &self.rocketchat_token, &self.rocketchat_token_file),
            ("rocketchat_token_id", &self.rocketchat_token_id, &self.rocketchat_token_id_file),
            ("wechat_api_secret", &self.wechat_api_secret, &self.wechat_api_secret_file),
            ("victorops_api_key", &self.victorops_api_key, &self.victorops_api_key_file),
            ("telegram_bot_token", &self.telegram_bot_token, &self.telegram_bot_token_file),
            ("mattermost_webhook_url", &self.mattermost_webhook_url, &self.mattermost_webhook_url_file),
        ] {
            channels::check_secret(name, given, file, None, path, problems);
        }
        // The one pair that makes sense: the address that apps post to, from the time before `slack_app_token`.
        let app = self.slack_app_token.is_some() || self.slack_app_token_file.is_some();
        let to_app = self.slack_api_url.as_ref().is_some_and(|it| slack::is_app_url(it.expose()));
        if app && (self.slack_api_url_file.is_some() || (self.slack_api_url.is_some() && !to_app)) {
            problems
                .error(path, "there are both `slack_app_token` and `slack_api_url`")
                .hint("keep the token for an app, the address for an incoming webhook");
        }
        if let Some(http) = &self.http_config {
            http.http_client().check(&path.field("http_config"), problems);
        }
        if let Some(tls) = &self.smtp_tls_config {
            tls.check(&path.field("smtp_tls_config"), problems);
        }
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

watchbell_model::with_http_client! {
    /// How an HTTP service is spoken to.
    #[derive(Debug, Clone, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct HttpConfig {
    }
}

/// Refuses an address, written as a secret, that is none. The message does not show it.
pub(crate) fn check_secret_url(url: &Secret, path: &Path, problems: &mut Problems) {
    if url.expose().parse::<Url>().is_err() {
        problems.error(path, "this is not a web address").hint("it must start with `https://` or `http://`");
    }
}

/// The shortest path that is hidden by itself, in bytes.
pub(crate) const SECRET_PATH_MIN: usize = 8;

/// The shortest last part of a path that is hidden by itself, in bytes; tokens are longer.
const SECRET_PART_MIN: usize = 16;

/// An address that is a secret, and its path alone and the last part of that, which answers and errors may name.
pub(crate) fn url_secrets(url: &Secret) -> Vec<Secret> {
    let path = url.expose().split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    let part = path.and_then(|(_, path)| path.split('?').next()?.trim_end_matches('/').rsplit('/').next());
    // What is short holds no secret, and would blot out common words.
    let path = path.map(|(_, path)| path).filter(|path| path.len() >= SECRET_PATH_MIN);
    let part = part.filter(|part| part.len() >= SECRET_PART_MIN);
    std::iter::once(url.clone()).chain(path.into_iter().chain(part).map(Secret::new)).collect()
}

/// The bounds of one try.
pub(crate) fn check_timeout(timeout: Span, path: &Path, problems: &mut Problems) {
    if timeout > Span::minutes(2) {
        problems
            .error(&path.field("timeout"), format!("a try cannot take {timeout}"))
            .hint("it is at most 2m; `10s` is usual");
    }
}

/// The bound of one try; nothing said is the usual one.
pub(crate) fn timeout(given: Span) -> std::time::Duration {
    if given.is_zero() { Span::seconds(10).duration() } else { given.duration() }
}

pub(crate) fn default_true() -> bool {
    true
}

/// How long links of a page that do something work.
pub(crate) const ACTION_VALID: Duration = Duration::from_secs(7 * 86_400);

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
    /// Whose messages get a button of the provider's own.
    pub buttons: Buttons,
}

/// Providers that tell us when somebody presses a button.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buttons {
    /// Slack, of apps.
    pub slack: bool,
    /// Telegram.
    pub telegram: bool,
}

/// What the button `Acknowledge` is called to whoever answers it; beside it stands the name of the group.
pub const ACKNOWLEDGE_ACTION: &str = "watchbell_acknowledge";

impl Site {
    /// A site whose links are not signed.
    pub fn new(name: impl Into<String>, url: Url) -> Site {
        Site { name: name.into(), url, sign: None, buttons: Buttons::default() }
    }

    /// The address of a path of the site.
    pub(crate) fn address(&self, path: &str) -> String {
        self.url.join(path)
    }

    /// Where something can be done about a group without signing in, for [`ACTION_VALID`]; `None` where links cannot be
    /// signed. `more` is what else the link says, such as `&at=5`.
    pub(crate) fn action_address(&self, action: &str, group: &GroupNotification, more: &str) -> Option<String> {
        let until = (group.at + ACTION_VALID).as_millis() / 1000;
        let (id, by) = (group.group_id(), watchbell_runtime::client::escape(&group.receiver));
        let path = format!("/do/{action}?group={id}&by={by}&until={until}{more}");
        self.sign.as_ref().map(|sign| self.url.join(&sign(&path)))
    }

    /// Where the picture of an alert opens without signing in, for [`ACTION_VALID`]; `None` where links cannot be signed,
    /// or where nobody but this machine finds the site.
    pub(crate) fn picture_address(&self, subject: &Subject) -> Option<String> {
        // A link finds only what still fires.
        let alert = subject.alerts.first().filter(|_| subject.until.is_none())?.fingerprint();
        let (at, until) = (subject.at.as_millis(), (subject.at + ACTION_VALID).as_millis() / 1000);
        let host = self.url.host();
        let is_here =
            host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|it: IpAddr| it.is_loopback());
        let sign = self.sign.as_ref().filter(|_| !is_here)?;
        Some(self.url.join(&sign(&format!("/i/{alert:016x}-{at}.png?until={until}"))))
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
    /// What templates of channels may call.
    pub templates: Arc<Templates>,
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
