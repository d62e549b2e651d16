//! `monitors:` in the configuration: what is probed, how often, and when it counts as down.
//!
//! What belongs to one kind stands beside that kind's code; the list of kinds is in [`super::kinds`].

use std::collections::HashSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{HOME, Path, Problems, Severity, Span, near_hint};

pub use super::kinds::MonitorConfig;

/// The shortest `interval` and `retry_interval`.
pub const INTERVAL_MIN: Span = Span::seconds(1);
/// The most `retries` a monitor may have.
pub const RETRIES_MAX: u32 = 100;
/// The longest name of a monitor, in bytes.
pub const NAME_BYTES_MAX: usize = 200;

pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL_DEFAULT_MAX: Duration = Duration::from_secs(20);

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

/// When a monitor counts as down for being slow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyConfig {
    /// How long 95 of 100 successful probes may take.
    pub p95: Span,
    /// How many of the last successful probes are looked at; before there are as many, none counts as slow.
    #[serde(default = "LatencyConfig::default_over")]
    pub over: usize,
}

/// The most probes that a latency looks at.
const LATENCY_OVER_MAX: usize = 1000;

impl LatencyConfig {
    fn default_over() -> usize {
        20
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        if self.p95.is_zero() {
            problems.error(&path.field("p95"), "nothing is as fast as that").hint("such as `800ms`");
        }
        if !(1..=LATENCY_OVER_MAX).contains(&self.over) {
            problems
                .error(&path.field("over"), format!("{} probes cannot be looked at", self.over))
                .hint(format!("from 1 to {LATENCY_OVER_MAX}; the default is {}", LatencyConfig::default_over()));
        }
    }
}

impl MonitorConfig {
    pub(super) fn default_interval() -> Span {
        Span::seconds(60)
    }

    pub(super) fn default_retries() -> u32 {
        2
    }

    /// Makes files it names relative to the folder of the configuration.
    pub fn anchor(&mut self, base: &std::path::Path) {
        for kind in self.given_mut() {
            kind.anchor(base);
        }
    }

    /// How long one probe may take: `timeout` or its default.
    pub fn probe_timeout(&self) -> Span {
        let longest = self.given().first().map_or(TIMEOUT_DEFAULT, |(_, kind)| kind.timeout_default());
        self.timeout.unwrap_or_else(|| Span(longest.min(self.interval.duration() * 4 / 5)))
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
        self.given().first().map(|(_, it)| it.target()).unwrap_or_default()
    }

    /// The places it is probed from.
    pub fn places(&self) -> Vec<String> {
        if self.places.is_empty() { vec![HOME.to_owned()] } else { self.places.clone() }
    }

    /// Whether it is probed from this place.
    pub fn is_at(&self, place: &str) -> bool {
        if self.places.is_empty() { place == HOME } else { self.places.iter().any(|it| it == place) }
    }

    /// Whether an agent may probe it: what it looks at lies beyond the host it runs on, or is meant to.
    pub(crate) fn is_for_agents(&self) -> bool {
        self.given().first().is_some_and(|(_, kind)| !kind.is_here())
    }

    /// How it is probed: `tcp`, `http` and so on; `none` if the configuration does not say.
    pub fn kind(&self) -> &'static str {
        self.given().first().map_or("none", |(name, _)| name)
    }

    /// The host it looks at, as far as its target names one.
    pub(crate) fn host(&self) -> String {
        let target = self.target();
        let place = target.split_once("://").map_or(target.as_str(), |(_, rest)| rest);
        let place = place.split('/').next().unwrap_or_default();
        let host = match place.strip_prefix('[') {
            Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
            None => place.rsplit_once(':').map_or(place, |(host, _)| host),
        };
        host.to_owned()
    }

    /// Whether it looks at this very host, so that its failures have nothing to do with the network.
    pub(crate) fn is_here(&self) -> bool {
        let host = self.host();
        let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback());
        self.given().first().is_some_and(|(_, kind)| kind.is_here()) || host == "localhost" || is_loopback
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
        if let Some(latency) = &self.latency {
            latency.check(&path.field("latency"), problems);
        }
        self.check_quorum(path, problems);
        self.check_kind(path, problems);
    }

    fn check_quorum(&self, path: &Path, problems: &mut Problems) {
        let (places, quorum) = (self.places().len(), self.quorum.of(self.places().len()));
        if quorum > places {
            problems
                .error(&path.field("quorum"), format!("{quorum} of {places} can never agree"))
                .hint("from 1 to the number of `places`, or `majority`");
        }
        for (at, place) in self.places.iter().enumerate() {
            if self.places[..at].contains(place) {
                problems
                    .error(&path.field("places").index(at), format!("`{place}` stands here twice"))
                    .hint("take it out: each place has one vote");
            } else if place != HOME && !self.is_for_agents() {
                problems
                    .error(
                        &path.field("places").index(at),
                        format!("`{}` cannot be probed from elsewhere", self.kind()),
                    )
                    .hint("agents run no programs and know nothing of other monitors: leave `places` out");
            }
        }
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
        let shortest = self.given().first().map_or(INTERVAL_MIN, |(_, kind)| kind.interval_min());
        if self.interval < shortest {
            problems
                .error(&path.field("interval"), format!("`{}` is too short", self.interval))
                .hint(format!("the shortest is `{shortest}`"));
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
            if matches!(name, "alertname" | "severity" | "source" | "monitor" | "job" | "instance" | "place") {
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

    fn check_kind(&self, path: &Path, problems: &mut Problems) {
        let given = self.given();
        match given.as_slice() {
            [] => problems.error(path, "it does not say what to probe").hint(format!(
                "add one of `{}`, such as `tcp: {{host: example.org, port: 22}}`",
                MonitorConfig::KINDS.join("`, `")
            )),
            [_] => {}
            many => {
                let names: Vec<&str> = many.iter().map(|(name, _)| *name).collect();
                problems
                    .error(path, format!("it has {} at once: {}", many.len(), names.join(", ")))
                    .hint("a monitor probes one thing: make a monitor of each")
            }
        }
        for (name, kind) in given {
            kind.check(&path.field(name), problems);
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
        for (at, member) in monitor.group.iter().flat_map(|it| it.members.iter().enumerate()) {
            let path = path.field("group").field("members").index(at);
            if *member == monitor.name {
                problems.error(&path, "the group is a member of itself").hint("take it out");
            } else if !monitors.iter().any(|it| it.name == *member) {
                let hint = near_hint(member, "monitors", monitors.iter().map(|it| it.name.as_str()));
                problems.error(&path, format!("there is no monitor named `{member}`")).hint(hint);
            }
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
