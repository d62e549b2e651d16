//! `monitors:` in the configuration: what is probed, how often, and when it counts as down.
//!
//! What belongs to one protocol stands beside that protocol's code: [`TcpConfig`], [`TlsConfig`], [`HttpConfig`],
//! [`SmtpConfig`], [`ImapConfig`].

use std::collections::HashSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Labels, Path, Problems, RunbookRef, Severity, Span};

use super::http::HttpConfig;
use super::imap::ImapConfig;
use super::smtp::SmtpConfig;
use super::tcp::TcpConfig;
use super::tls::TlsConfig;

/// The shortest `interval` and `retry_interval`.
pub const INTERVAL_MIN: Span = Span::seconds(1);
/// The most `retries` a monitor may have.
pub const RETRIES_MAX: u32 = 100;
/// The longest name of a monitor, in bytes.
pub const NAME_BYTES_MAX: usize = 200;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL_DEFAULT_MAX: Duration = Duration::from_secs(20);

/// A service watched from outside: connects as its clients do and raises an alert when it does not answer as it should.
///
/// Exactly one of `tcp`, `tls`, `http`, `smtp` and `imap` says how it is probed.
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
    /// How long one probe may take, all its steps together; shorter than `interval`. By default `10s`, but no more than
    /// four fifths of `interval`.
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
    /// When to say that the certificate it saw is about to expire.
    #[serde(default)]
    pub certificate: CertificateConfig,
    /// Connects to a TCP port, and no more.
    #[serde(default)]
    pub tcp: Option<TcpConfig>,
    /// Connects to a port that speaks TLS from the first byte, and looks at the certificate.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Sends a web request and judges the answer.
    #[serde(default)]
    pub http: Option<HttpConfig>,
    /// Speaks to a mail server as another mail server or a mail client does.
    #[serde(default)]
    pub smtp: Option<SmtpConfig>,
    /// Speaks to a mailbox server as a mail client does.
    #[serde(default)]
    pub imap: Option<ImapConfig>,
}

/// When an expiring certificate raises an alert.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// How many days before its end somebody is told, each a step of its own; an empty list tells nobody.
    #[serde(default = "CertificateConfig::default_alert_days")]
    pub alert_days: Vec<u32>,
    /// How bad it is.
    #[serde(default = "CertificateConfig::default_severity")]
    pub severity: Severity,
}

/// The one protocol a monitor speaks.
pub(crate) enum Protocol<'a> {
    Tcp(&'a TcpConfig),
    Tls(&'a TlsConfig),
    Http(&'a HttpConfig),
    Smtp(&'a SmtpConfig),
    Imap(&'a ImapConfig),
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
            certificate: CertificateConfig::default(),
            tcp: None,
            tls: None,
            http: None,
            smtp: None,
            imap: None,
        }
    }

    fn default_interval() -> Span {
        Span::seconds(60)
    }

    fn default_retries() -> u32 {
        2
    }

    /// Makes files it names relative to the folder of the configuration.
    pub fn anchor(&mut self, base: &std::path::Path) {
        let files = [
            self.tls.as_mut().and_then(|it| it.roots_file.as_mut()),
            self.http.as_mut().and_then(|it| it.roots_file.as_mut()),
            self.smtp.as_mut().and_then(|it| it.roots_file.as_mut()),
            self.imap.as_mut().and_then(|it| it.roots_file.as_mut()),
        ];
        for file in files.into_iter().flatten() {
            *file = base.join(&*file);
        }
    }

    /// How long one probe may take: `timeout` or its default.
    pub fn probe_timeout(&self) -> Span {
        self.timeout.unwrap_or_else(|| Span(TIMEOUT_DEFAULT.min(self.interval.duration() * 4 / 5)))
    }

    /// Time between failed probes while retries are left: `retry_interval` or its default.
    pub fn time_to_retry(&self) -> Span {
        self.retry_interval.unwrap_or_else(|| Span(RETRY_INTERVAL_DEFAULT_MAX.min(self.interval.duration() / 3)))
    }

    /// How long it may take to notice that it is down.
    pub fn time_to_notice(&self) -> Span {
        let retries = self.time_to_retry().duration().saturating_mul(self.retries);
        Span(self.interval.duration().saturating_add(retries).saturating_add(self.probe_timeout().duration()))
    }

    /// What is probed, as the label `instance` says: `mail.example.org:25` or the address of a page.
    pub fn target(&self) -> String {
        match self.protocol() {
            Some(Protocol::Tcp(it)) => host_and_port(&it.host, it.port),
            Some(Protocol::Tls(it)) => host_and_port(&it.host, it.port),
            Some(Protocol::Http(it)) => it.url.as_str().to_owned(),
            Some(Protocol::Smtp(it)) => host_and_port(&it.host, it.port()),
            Some(Protocol::Imap(it)) => host_and_port(&it.host, it.port()),
            None => String::new(),
        }
    }

    /// How it is probed: `tcp`, `tls`, `http`, `smtp` or `imap`; `none` if the configuration does not say.
    pub fn kind(&self) -> &'static str {
        match self.protocol() {
            Some(Protocol::Tcp(_)) => "tcp",
            Some(Protocol::Tls(_)) => "tls",
            Some(Protocol::Http(_)) => "http",
            Some(Protocol::Smtp(_)) => "smtp",
            Some(Protocol::Imap(_)) => "imap",
            None => "none",
        }
    }

    pub(crate) fn protocol(&self) -> Option<Protocol<'_>> {
        None.or(self.tcp.as_ref().map(Protocol::Tcp))
            .or(self.tls.as_ref().map(Protocol::Tls))
            .or(self.http.as_ref().map(Protocol::Http))
            .or(self.smtp.as_ref().map(Protocol::Smtp))
            .or(self.imap.as_ref().map(Protocol::Imap))
    }

    /// Finds every problem that the types cannot tell. Whether the run book opens is for the caller to see.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        self.check_name(&path.field("name"), problems);
        self.check_times(path, problems);
        self.check_labels(&path.field("labels"), problems);
        if self.certificate.alert_days.contains(&0) {
            problems
                .error(&path.field("certificate").field("alert_days"), "0 days before the end is too late")
                .hint("a monitor that verifies is down from that moment on anyway; the smallest step is 1");
        }
        self.check_protocol(path, problems);
    }

    fn check_name(&self, path: &Path, problems: &mut Problems) {
        if self.name.trim().is_empty() {
            problems.error(path, "the name is empty").hint("say what people call it, such as `IMAP`");
        } else if self.name.len() > NAME_BYTES_MAX {
            problems
                .error(path, format!("the name is longer than {NAME_BYTES_MAX} bytes"))
                .hint("put the long form into `description`");
        } else if self.name.chars().any(char::is_control) {
            problems.error(path, "the name contains a control character").hint("write it on one line, without tabs");
        } else if self.name.trim() != self.name {
            problems.error(path, "the name begins or ends with white space").hint("take the white space away");
        }
    }

    fn check_times(&self, path: &Path, problems: &mut Problems) {
        if self.interval < INTERVAL_MIN {
            problems
                .error(&path.field("interval"), format!("`{}` is too short", self.interval))
                .hint(format!("the shortest is `{INTERVAL_MIN}`"));
            return;
        }
        if let Some(timeout) = self.timeout {
            if timeout.is_zero() {
                problems.error(&path.field("timeout"), "a probe that may take no time always fails").hint(format!(
                    "leave it out for `{}`",
                    MonitorConfig { timeout: None, ..self.clone() }.probe_timeout()
                ));
            } else if timeout >= self.interval {
                problems
                    .error(
                        &path.field("timeout"),
                        format!("`{timeout}` is not shorter than the interval `{}`", self.interval),
                    )
                    .hint("a probe must end before the next begins: shorten `timeout` or lengthen `interval`");
            }
        }
        if let Some(retry) = self.retry_interval {
            if retry < INTERVAL_MIN {
                problems
                    .error(&path.field("retry_interval"), format!("`{retry}` is too short"))
                    .hint(format!("the shortest is `{INTERVAL_MIN}`"));
            } else if retry > self.interval {
                problems
                    .error(
                        &path.field("retry_interval"),
                        format!("`{retry}` is longer than the interval `{}`", self.interval),
                    )
                    .hint("retries exist to be sure sooner: make it shorter than `interval`, or leave it out");
            } else if retry < self.probe_timeout() && self.retries > 0 {
                problems
                    .warning(
                        &path.field("retry_interval"),
                        format!("`{retry}` is shorter than the timeout `{}`", self.probe_timeout()),
                    )
                    .hint("after a probe that hangs, the next begins when it ends");
            }
        }
        if self.retries > RETRIES_MAX {
            problems
                .error(&path.field("retries"), format!("{} retries are too many", self.retries))
                .hint(format!("at most {RETRIES_MAX}; the default is {}", MonitorConfig::default_retries()));
        }
    }

    fn check_labels(&self, path: &Path, problems: &mut Problems) {
        for (name, _) in self.labels.iter() {
            if matches!(name, "alertname" | "severity" | "source" | "monitor" | "job" | "instance") {
                problems
                    .error(&path.field(name), format!("the label `{name}` is set by watchbell"))
                    .hint(if name == "severity" { "use the field `severity`" } else { "choose another name" });
            } else if name.starts_with("__") || !is_label_name(name) {
                problems
                    .error(&path.field(name), format!("`{name}` is not the name of a label"))
                    .hint("letters, digits and `_`, not beginning with a digit or with `__`");
            }
        }
    }

    fn check_protocol(&self, path: &Path, problems: &mut Problems) {
        let given: Vec<&str> = [
            ("tcp", self.tcp.is_some()),
            ("tls", self.tls.is_some()),
            ("http", self.http.is_some()),
            ("smtp", self.smtp.is_some()),
            ("imap", self.imap.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
        match given.as_slice() {
            [] => problems.error(path, "it does not say what to probe").hint(
                "add one of `tcp`, `tls`, `http`, `smtp` or `imap`, such as `tcp: {host: example.org, port: 22}`",
            ),
            [_] => {}
            many => problems
                .error(path, format!("it has {} at once: {}", many.len(), many.join(", ")))
                .hint("a monitor probes one thing: make a monitor of each"),
        }
        if let Some(it) = &self.tcp {
            it.check(&path.field("tcp"), problems);
        }
        if let Some(it) = &self.tls {
            it.check(&path.field("tls"), problems);
        }
        if let Some(it) = &self.http {
            it.check(&path.field("http"), problems);
        }
        if let Some(it) = &self.smtp {
            it.check(&path.field("smtp"), problems);
        }
        if let Some(it) = &self.imap {
            it.check(&path.field("imap"), problems);
        }
    }
}

impl CertificateConfig {
    fn default_alert_days() -> Vec<u32> {
        vec![21, 7, 1]
    }

    fn default_severity() -> Severity {
        Severity::Warning
    }
}

impl Default for CertificateConfig {
    fn default() -> CertificateConfig {
        CertificateConfig {
            alert_days: CertificateConfig::default_alert_days(),
            severity: CertificateConfig::default_severity(),
        }
    }
}

/// Finds every problem of the list `monitors:`, names given twice among them.
pub fn check_all(monitors: &[MonitorConfig], path: &Path, problems: &mut Problems) {
    let mut names = HashSet::new();
    for (at, monitor) in monitors.iter().enumerate() {
        let path = path.index(at);
        monitor.check(&path, problems);
        if !names.insert(monitor.name.as_str()) {
            problems
                .error(&path.field("name"), format!("there is already a monitor called `{}`", monitor.name))
                .hint("give each monitor a name of its own");
        }
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(crate) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A host is a name or an address and nothing else.
pub(crate) fn check_host(host: &str, path: &Path, problems: &mut Problems) {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    if host.is_empty() {
        problems.error(path, "the host is empty").hint("a name such as `mail.example.org`, or an address");
    } else if host.contains("://") || host.contains('/') {
        problems
            .error(path, format!("`{host}` is a web address, not a host"))
            .hint("only the name, such as `mail.example.org`; for web pages use `http: {url: ...}`");
    } else if host.starts_with('[') {
        problems.error(path, format!("`{host}` has brackets")).hint("write an IPv6 address without brackets");
    } else if host.contains(':') && !is_address {
        problems.error(path, format!("`{host}` has a port in it")).hint("put the port into the field `port`");
    } else if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        problems.error(path, format!("{host:?} contains white space")).hint("take the white space away");
    }
}

/// Port 0 is nobody's.
pub(crate) fn check_port(port: u16, path: &Path, problems: &mut Problems) {
    if port == 0 {
        problems.error(path, "port 0 does not exist").hint("a number from 1 to 65535");
    }
}

fn is_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}
