//! What one probe found: metrics under blackbox_exporter's names and in its words, and a log of how it went.

use std::collections::BTreeMap;
use std::fmt::Write;

use watchbell_model::Labels;
use watchbell_runtime::Clock;
use watchbell_runtime::tls::TlsReport;
use watchbell_wire::prometheus::{MetricType, write_metadata, write_sample};

/// Every metric there is, and what it says. All are gauges.
pub(super) const METRICS: [(&str, &str); 38] = [
    ("probe_dns_additional_rrs", "Returns number of entries in the additional resource record list"),
    ("probe_dns_answer_rrs", "Returns number of entries in the answer resource record list"),
    ("probe_dns_authority_rrs", "Returns number of entries in the authority resource record list"),
    ("probe_dns_duration_seconds", "Duration of DNS request by phase"),
    ("probe_dns_lookup_time_seconds", "Returns the time taken for probe dns lookup in seconds"),
    ("probe_dns_query_succeeded", "Displays whether or not the query was executed successfully"),
    ("probe_dns_serial", "Returns the serial number of the zone"),
    ("probe_duration_seconds", "Returns how long the probe took to complete in seconds"),
    ("probe_expect_info", "Explicit content matched"),
    ("probe_failed_due_to_bytes", "Indicates if probe failed due to bytes"),
    ("probe_failed_due_to_regex", "Indicates if probe failed due to regex"),
    ("probe_grpc_duration_seconds", "Duration of gRPC request by phase"),
    ("probe_grpc_healthcheck_response", "Response HealthCheck response"),
    ("probe_grpc_ssl", "Indicates if SSL was used for the connection"),
    ("probe_grpc_status_code", "Response gRPC status code"),
    ("probe_http_content_length", "Length of http content response"),
    ("probe_http_duration_seconds", "Duration of http request by phase, summed over all redirects"),
    ("probe_http_last_modified_timestamp_seconds", "Returns the Last-Modified HTTP response header in unixtime"),
    ("probe_http_redirects", "The number of redirects"),
    ("probe_http_ssl", "Indicates if SSL was used for the final redirect"),
    ("probe_http_status_code", "Response HTTP status code"),
    ("probe_http_uncompressed_body_length", "Length of uncompressed response body"),
    ("probe_http_version", "Returns the version of HTTP of the probe response"),
    ("probe_icmp_duration_seconds", "Duration of icmp request by phase"),
    ("probe_icmp_reply_hop_limit", "Replied packet hop limit (TTL for ipv4)"),
    ("probe_ip_addr_hash", "Specifies the hash of IP address. It's useful to detect if the IP address changes."),
    ("probe_ip_protocol", "Specifies whether probe ip protocol is IP4 or IP6"),
    ("probe_ssl_earliest_cert_expiry", "Returns last SSL chain expiry in unixtime"),
    ("probe_ssl_last_chain_expiry_timestamp_seconds", "Returns last SSL chain expiry in timestamp"),
    ("probe_ssl_last_chain_info", "Contains SSL leaf certificate information"),
    ("probe_success", "Displays whether or not the probe was a success"),
    ("probe_timeout_seconds", "Returns how long the probe timeout is in seconds"),
    ("probe_tls_cipher_info", "Returns the TLS cipher negotiated during handshake"),
    ("probe_tls_version_info", "Returns the TLS version used or NaN when unknown"),
    ("probe_websocket_connection_upgraded", "Indicates if the websocket connection was successfully upgraded"),
    ("probe_websocket_duration_seconds", "Duration of websocket request by phase"),
    ("probe_websocket_failed_due_to_regex", "Indicates if probe failed due to regex"),
    ("probe_websocket_status_code", "Response HTTP status code"),
];

/// The lines of a log that are kept.
const LOG_LINES_MAX: usize = 500;
/// When a chain ends that leads to no trusted root: Go's first moment.
const NEVER: f64 = -62_135_596_800.0;

/// What one probe found.
pub(super) struct Record {
    clock: Clock,
    /// Behind each line of the log.
    context: String,
    samples: BTreeMap<(&'static str, Vec<(String, String)>), f64>,
    log: Vec<String>,
}

impl Record {
    pub(super) fn new(clock: Clock, module: &str, target: &str) -> Record {
        let context = format!("module={} target={}", word(module), word(target));
        Record { clock, context, samples: BTreeMap::new(), log: Vec::new() }
    }

    pub(super) fn set(&mut self, name: &'static str, value: f64) {
        self.set_with(name, &[], value);
    }

    pub(super) fn set_with(&mut self, name: &'static str, labels: &[(&str, &str)], value: f64) {
        debug_assert!(METRICS.iter().any(|(known, _)| *known == name), "{name}");
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.insert((name, labels), value);
    }

    /// Sets several to 0, until more is known.
    pub(super) fn zero(&mut self, names: &[&'static str]) {
        for name in names {
            self.set(name, 0.0);
        }
    }

    /// Sets how long a phase took.
    pub(super) fn phase(&mut self, name: &'static str, phase: &str, seconds: f64) {
        self.set_with(name, &[("phase", phase)], seconds);
    }

    pub(super) fn get(&self, name: &'static str) -> Option<f64> {
        self.samples.get(&(name, Vec::new())).copied()
    }

    /// What a handshake showed; only web probes tell the cipher.
    pub(super) fn saw_tls(&mut self, report: &TlsReport, with_cipher: bool, with_chain: bool) {
        if let Some(certificate) = &report.certificate {
            self.set("probe_ssl_earliest_cert_expiry", certificate.not_after.as_seconds());
        }
        let version = report.version.replace("TLSv", "TLS ");
        self.set_with("probe_tls_version_info", &[("version", &version)], 1.0);
        if with_cipher {
            let cipher = report.cipher.replace("TLS13_", "TLS_");
            self.set_with("probe_tls_cipher_info", &[("cipher", &cipher)], 1.0);
        }
        if with_chain {
            let ends = report.chain_ends.map_or(NEVER, |at| at.as_seconds());
            self.set("probe_ssl_last_chain_expiry_timestamp_seconds", ends);
        }
        if let Some(leaf) = report.leaf() {
            let labels = [
                ("fingerprint_sha256", leaf.fingerprint.as_str()),
                ("issuer", &leaf.issuer),
                ("serialnumber", &leaf.serial),
                ("subject", &leaf.subject),
                ("subjectalternative", &leaf.names),
            ];
            self.set_with("probe_ssl_last_chain_info", &labels, 1.0);
        }
    }

    pub(super) fn debug(&mut self, message: &str, more: &[(&str, &str)]) {
        self.log("DEBUG", message, more);
    }

    pub(super) fn error(&mut self, message: &str, more: &[(&str, &str)]) {
        self.log("ERROR", message, more);
    }

    fn log(&mut self, level: &str, message: &str, more: &[(&str, &str)]) {
        if self.log.len() >= LOG_LINES_MAX {
            return;
        }
        let mut line = format!("time={} level={level} msg={} {}", self.clock.now(), word(message), self.context);
        for (name, value) in more {
            write!(line, " {name}={}", word(value)).expect("a string takes anything");
        }
        self.log.push(line);
    }

    /// The log, each line with a line feed.
    pub(super) fn lines(&self) -> String {
        self.log.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// The metrics in Prometheus' text format, in the order of their names.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let mut last = "";
        for ((name, labels), value) in &self.samples {
            if *name != last {
                let help = METRICS.iter().find(|(known, _)| known == name).map_or("", |(_, help)| help);
                write_metadata(&mut out, name, help, MetricType::Gauge);
                last = name;
            }
            let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            write_sample(&mut out, &Labels::from_pairs(pairs.chain([(Labels::NAME, *name)])), *value, None);
        }
        out
    }
}

/// As Go's log writes it: in quotes where it would not be one word.
fn word(text: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=');
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}
