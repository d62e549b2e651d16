//! The kinds of monitors: each is a file of its own with a struct that implements [`Kind`], and a line in the list below.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{BoxFuture, Labels, Path, Problems, Quorum, RunbookRef, Severity, Span};

use super::attempt::{Attempt, Failure};
use super::config::{CertificateConfig, LatencyConfig};

/// What a probe found, in words; see [`Kind::probe`].
pub(crate) type Probing<'a> = BoxFuture<'a, Result<String, Failure>>;

/// One way to probe something.
pub(crate) trait Kind {
    /// What is probed, as the label `instance` says: `mail.example.org:25` or the address of a page.
    fn target(&self) -> String;

    /// Finds every problem that the types cannot tell.
    fn check(&self, path: &Path, problems: &mut Problems);

    /// Makes files it names relative to the folder of the configuration.
    fn anchor(&mut self, _base: &std::path::Path) {}

    /// Names and meanings of the series that only this kind has.
    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// How often it may be probed at most.
    fn interval_min(&self) -> Span {
        super::config::INTERVAL_MIN
    }

    /// How long a probe may take where the configuration does not say.
    fn timeout_default(&self) -> Duration {
        super::config::TIMEOUT_DEFAULT
    }

    /// Whether it looks at this very host, so that its failures have nothing to do with the network.
    fn is_here(&self) -> bool {
        false
    }

    /// Probes once. The words say what was seen, or what was expected and what came.
    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a>;
}

/// Makes the configuration of a monitor, with one key for each kind.
macro_rules! monitor_of_kinds {
    ($($(#[$meta:meta])* $kind:ident: $config:ty,)+) => {
        /// A service watched from outside: connects as its clients do and raises an alert when it does not answer as it should.
        ///
        /// Exactly one of the keys from `tcp` on says how it is probed.
        #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct MonitorConfig {
            /// What people call it. It names the alert and the history, so a renamed monitor is a new one.
            pub name: String,
            /// For whom and what it matters, shown on its page.
            #[serde(default)]
            pub description: Option<String>,
            /// Time from the start of one probe to the start of the next.
            #[serde(default = "MonitorConfig::default_interval")]
            pub interval: Span,
            /// How long one probe may take, all its steps together; shorter than `interval`. By default `10s`, and
            /// `30s` for `browser`, but no more than four fifths of `interval`.
            #[serde(default)]
            pub timeout: Option<Span>,
            /// How many probes may fail in a row on top of the first before the monitor counts as down.
            #[serde(default = "MonitorConfig::default_retries")]
            pub retries: u32,
            /// Time from the start of a failed probe to the start of the next as long as retries are left. By default a third
            /// of `interval`, but no more than `20s`.
            #[serde(default)]
            pub retry_interval: Option<Span>,
            /// How bad it is when the monitor is down.
            #[serde(default)]
            pub severity: Severity,
            /// The run book to open when it is down: the name of a file in the run book folder or the address of a page.
            #[serde(default)]
            pub runbook: Option<RunbookRef>,
            /// Labels of its alerts and of its series.
            #[serde(default)]
            pub labels: Labels,
            /// Names of monitors without which this one cannot be up, such as that of its router or host: while one of those is
            /// down, nobody is told that this one is. Its page waits for as long as it takes to notice that.
            #[serde(default)]
            pub depends_on: Vec<String>,
            /// From where it is probed: `home` is watchbell itself, the others stand in `places`. By default from home alone.
            #[serde(default)]
            pub places: Vec<String>,
            /// How many places must say that it is down: a number, or `majority` for more than half of those that are
            /// heard. With a number nothing is said of it while fewer places than that are heard.
            #[serde(default)]
            pub quorum: Quorum,
            /// When to say that the certificate it saw is about to expire.
            #[serde(default)]
            pub certificate: CertificateConfig,

            /// Whether it is down when the probe succeeds, and up when it fails: for what must not be reachable.
            #[serde(default)]
            pub upside_down: bool,
            /// When it counts as down for being slow.
            #[serde(default)]
            pub latency: Option<LatencyConfig>,
            $(
                $(#[$meta])*
                #[serde(default)]
                pub $kind: Option<$config>,
            )+
        }

        impl MonitorConfig {
            /// A monitor with every field at its default that does not yet say what it probes.
            pub fn new(name: impl Into<String>) -> MonitorConfig {
                MonitorConfig {
                    name: name.into(),
                    description: None,
                    interval: MonitorConfig::default_interval(),
                    timeout: None,
                    retries: MonitorConfig::default_retries(),
                    retry_interval: None,
                    severity: Severity::default(),
                    runbook: None,
                    labels: Labels::empty(),
                    depends_on: Vec::new(),
                    places: Vec::new(),
                    quorum: Quorum::default(),
                    certificate: CertificateConfig::default(),
                    upside_down: false,
                    latency: None,
                    $($kind: None,)+
                }
            }

            /// The names of all kinds.
            pub(crate) const KINDS: &[&str] = &[$(stringify!($kind)),+];

            /// The kinds that are given: one, if the configuration is right.
            pub(crate) fn given(&self) -> Vec<(&'static str, &(dyn Kind + Sync))> {
                let mut given: Vec<(&'static str, &(dyn Kind + Sync))> = Vec::with_capacity(1);
                $(
                    if let Some(it) = &self.$kind {
                        given.push((stringify!($kind), it));
                    }
                )+
                given
            }

            /// As `given`.
            pub(crate) fn given_mut(&mut self) -> Vec<&mut dyn Kind> {
                let mut given: Vec<&mut dyn Kind> = Vec::with_capacity(1);
                $(
                    if let Some(it) = &mut self.$kind {
                        given.push(it);
                    }
                )+
                given
            }
        }
    };
}

monitor_of_kinds! {
    /// Connects to a TCP port, and no more.
    tcp: super::tcp::TcpConfig,
    /// Connects to a port that speaks TLS from the first byte, and looks at the certificate.
    tls: super::tls::TlsConfig,
    /// Sends a web request and judges the answer.
    http: super::http::HttpConfig,
    /// Asks a server that speaks gRPC whether it is healthy.
    grpc: super::grpc::GrpcConfig,
    /// Speaks to a mail server as another mail server or a mail client does.
    smtp: super::smtp::SmtpConfig,
    /// Speaks to a mail server as a mail client does that submits mail, at port 587.
    submission: super::submission::SubmissionConfig,
    /// Speaks to a mailbox server as a mail client does.
    imap: super::imap::ImapConfig,
    /// Speaks to a mailbox server as an old mail client does.
    pop3: super::pop3::Pop3Config,
    /// Waits for the banner of an SSH server.
    ssh: super::ssh::SshConfig,
    /// Asks a Redis server whether it lives.
    redis: super::redis::RedisConfig,
    /// Asks a name server.
    dns: super::dns::DnsConfig,
    /// Asks a time server for the time.
    ntp: super::ntp::NtpConfig,
    /// Asks a PostgreSQL server whether it lives, and what a query says.
    postgresql: super::postgresql::PostgresqlConfig,
    /// Asks a MySQL or MariaDB server whether it lives, and what a query says.
    mysql: super::mysql::MysqlConfig,
    /// Connects to an MQTT broker.
    mqtt: super::mqtt::MqttConfig,
    /// Uses a site as a person does, in a browser.
    browser: super::browser::BrowserConfig,
    /// Opens a WebSocket.
    websocket: super::websocket::WebsocketConfig,
    /// Looks at what DNS says of a domain's mail.
    mail_domain: super::mail_domain::MailDomainConfig,
    /// Sends a message and finds it in a mailbox.
    mail_roundtrip: super::mail_roundtrip::MailRoundtripConfig,
    /// Asks when a domain's registration ends.
    domain: super::domain::DomainConfig,
    /// Runs a program, such as a Nagios plugin.
    exec: super::exec::ExecConfig,
    /// Waits for the service to report.
    push: super::push::PushConfig,
    /// Looks at other monitors.
    group: super::group::GroupConfig,
    /// Sends an echo request (`ping`).
    icmp: super::icmp::IcmpConfig,
}
