//! Monitors: probes of services from outside, on a schedule.
//!
//! A probe does what the service's clients do, tells what it saw in words, and never lasts longer than its timeout.
//! Whether a failed probe is worth a page is not decided here: each outcome is handed to [`Observe`].
//!
//! Invariant `store_may_die`: what was observed is handed on before its samples are written, and samples that cannot be
//! written are counted and dropped.
//!
//! [`Observe`]: watchbell_model::Observe

mod answer;
mod attempt;
pub mod blackbox;
mod brotli;
mod browser;
mod config;
mod dialogue;
mod dns;
mod domain;
mod egress;
mod exec;
mod group;
mod grpc;
mod http;
mod icmp;
mod imap;
mod kinds;
mod live;
mod mail_domain;
mod mail_roundtrip;
mod mqtt;
mod mysql;
mod ntp;
mod own_network;
mod pop3;
mod postgresql;
mod push;
mod redis;
mod samples;
mod schedule;
mod scram;
mod smtp;
mod ssh;
mod submission;
mod task;
mod tcp;
mod tls;
mod value;
mod websocket;
mod wire;

#[cfg(test)]
mod tests;

use watchbell_model::{HOME, Point, ProbeResult, Span};
use watchbell_runtime::Runtime;

pub use answer::{HeaderCondition, JsonCondition, StatusError, StatusRange};
pub use browser::{BROWSER_STEPS_MAX, BrowserConfig, BrowsersConfig, ExpectConfig, FillConfig, Screenshot, StepConfig};
pub use config::{
    CertificateConfig, INTERVAL_MIN, LatencyConfig, MonitorConfig, NAME_BYTES_MAX, RETRIES_MAX, check_all,
};
pub use dns::{DnsConfig, DnsTransport};
pub use domain::DomainConfig;
pub use egress::EgressConfig;
pub use exec::ExecConfig;
pub use group::GroupConfig;
pub use grpc::GrpcConfig;
pub use http::{BasicAuth, HTTP_BODY_BYTES_MAX, HTTP_REDIRECTS_MAX, HttpCompression, HttpConfig, HttpVersion};
pub use icmp::IcmpConfig;
pub use imap::{ImapConfig, LoginConfig};
pub use live::{Live, Push};
pub use mail_domain::{Aspect, MailDomainConfig};
pub use mail_roundtrip::MailRoundtripConfig;
pub use mqtt::MqttConfig;
pub use mysql::MysqlConfig;
pub use ntp::NtpConfig;
pub(crate) use own_network::TROUBLE as OWN_NETWORK_TROUBLE;
pub use own_network::{OwnNetworkConfig, ReferenceConfig};
pub use pop3::Pop3Config;
pub use postgresql::PostgresqlConfig;
pub use push::PushConfig;
pub use redis::{InfoCondition, RedisConfig};
pub(crate) use samples::{base, metadata};
pub use schedule::FIRST_WITHIN;
pub use smtp::SmtpConfig;
pub use ssh::SshConfig;
pub use submission::SubmissionConfig;
pub use task::tasks;
pub use tcp::TcpConfig;
pub use tls::{MailTls, TlsConfig};
pub use value::QueryConfig;
pub use websocket::WebsocketConfig;

use attempt::{Attempt, Failure};

/// The longest message of a result, in characters.
const MESSAGE_CHARS_MAX: usize = 1000;

/// Probes once, now. What only a running watchbell knows, such as what was pushed, is not known here.
pub async fn run_once(monitor: &MonitorConfig, runtime: &Runtime) -> ProbeResult {
    run_among(monitor, runtime, &Live::default()).await
}

/// As [`run_once`], with what is known.
pub async fn run_among(monitor: &MonitorConfig, runtime: &Runtime, live: &Live) -> ProbeResult {
    let (result, ..) = probe(monitor, runtime, live).await;
    result
}

/// Probes once; gives its samples too, and whether there is anything to judge.
async fn probe(monitor: &MonitorConfig, runtime: &Runtime, live: &Live) -> (ProbeResult, Vec<Point>, bool) {
    let mut attempt = Attempt::begin(monitor, runtime, live);
    let outcome = match monitor.given().first() {
        Some((_, kind)) => kind.probe(&mut attempt).await,
        None => Err(Failure::new("the monitor does not say what to probe")),
    };
    let (duration, seen) = attempt.end();
    let (success, message) = match outcome {
        Ok(words) => match &seen.untrusted {
            Some(reason) => (true, format!("{words} (not verified: {reason})")),
            None => (true, words),
        },
        Err(Failure(words)) => (false, words),
    };
    let (success, message) = match (monitor.upside_down, success) {
        (false, _) => (success, message),
        (true, true) => (false, format!("it works and should not: {message}")),
        (true, false) => (true, format!("it does not work, as it should be: {message}")),
    };
    let result = ProbeResult {
        monitor: monitor.name.clone(),
        place: HOME.to_owned(),
        at: runtime.clock.now(),
        success,
        duration: Span(duration),
        message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
        phases: seen.phases.iter().map(|(name, time)| (name.to_string(), time.as_secs_f64())).collect(),
        certificate: seen.certificate.clone(),
    };
    let points = samples::samples(monitor, &result, &seen);
    (result, points, !seen.nothing)
}
