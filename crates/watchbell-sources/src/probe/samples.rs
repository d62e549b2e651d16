//! A probe's outcome as series, under the names blackbox_exporter gives them, so that its dashboards and rules work.
//!
//! Every series has the monitor's own labels and `monitor`, `job="monitor"` and `instance`; where a monitor has places,
//! `place` too.

use std::collections::BTreeSet;

use watchbell_model::{Labels, Metadata, MetricType, Point, ProbeResult, Timestamp, stale_nan};

use super::attempt::Seen;
use super::config::MonitorConfig;

/// What all series of a monitor have from a place.
pub(crate) fn base(config: &MonitorConfig, place: &str) -> Labels {
    let base = config.labels.with("monitor", &config.name).with("job", "monitor").with("instance", &config.target());
    if config.places.is_empty() { base } else { base.with("place", place) }
}

/// The samples of one probe.
pub(crate) fn samples(config: &MonitorConfig, result: &ProbeResult, seen: &Seen) -> Vec<Point> {
    let base = base(config, &result.place);
    let mut points = Vec::new();
    let mut add = |name: &str, more: &[(&str, &str)], value: f64| {
        let labels = base.iter().chain(more.iter().copied()).chain([(Labels::NAME, name)]);
        points.push(Point { labels: Labels::from_pairs(labels), timestamp: result.at, value });
    };
    let flag = |on: bool| if on { 1.0 } else { 0.0 };
    let phase = |wanted: &str| result.phases.iter().find(|(name, _)| name == wanted).map(|(_, seconds)| *seconds);

    add("probe_success", &[], flag(result.success));
    add("probe_duration_seconds", &[], result.duration.duration().as_secs_f64());
    if let Some(seconds) = phase("resolve") {
        add("probe_dns_lookup_time_seconds", &[], seconds);
    }
    if let Some(peer) = seen.peer {
        add("probe_ip_protocol", &[], if peer.is_ipv4() { 4.0 } else { 6.0 });
    }
    if let Some(http) = &seen.http {
        add("probe_http_status_code", &[], f64::from(http.status));
        add("probe_http_redirects", &[], f64::from(http.redirects));
        add("probe_http_ssl", &[], flag(http.is_tls));
        add("probe_http_content_length", &[], http.content_length.map_or(-1.0, |length| length as f64));
        add("probe_http_uncompressed_body_length", &[], http.body_length as f64);
        if let Some(version) = http.version.strip_prefix("HTTP/").and_then(|number| number.parse().ok()) {
            add("probe_http_version", &[], version);
        }
        for (name, seconds) in &result.phases {
            add("probe_http_duration_seconds", &[("phase", name)], *seconds);
        }
        if let Some(refused) = http.body_refused {
            add("probe_failed_due_to_regex", &[], flag(refused));
        }
    }
    if let Some(certificate) = &result.certificate {
        add("probe_ssl_earliest_cert_expiry", &[], certificate.not_after.as_seconds());
    }
    if let Some(ends) = seen.chain_ends {
        add("probe_ssl_last_chain_expiry_timestamp_seconds", &[], ends.as_seconds());
    }
    if let Some(leaf) = &seen.leaf {
        let labels = [
            ("fingerprint_sha256", leaf.fingerprint.as_str()),
            ("issuer", &leaf.issuer),
            ("serialnumber", &leaf.serial),
            ("subject", &leaf.subject),
            ("subjectalternative", &leaf.names),
        ];
        add("probe_ssl_last_chain_info", &labels, 1.0);
    }
    if let Some((version, cipher)) = &seen.tls {
        // As blackbox_exporter spells it: `TLS 1.3`.
        let version = version.strip_prefix("TLSv").map_or_else(|| version.clone(), |number| format!("TLS {number}"));
        add("probe_tls_version_info", &[("version", &version)], 1.0);
        add("probe_tls_cipher_info", &[("cipher", &cipher.replace("TLS13_", "TLS_"))], 1.0);
    }
    for (name, labels, value) in &seen.samples {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        add(name, &labels, *value);
    }
    points
}

/// What the samples are.
const DESCRIBED: [(&str, &str); 17] = [
    ("probe_success", "Whether the probe went well."),
    ("probe_duration_seconds", "How long the probe took."),
    ("probe_dns_lookup_time_seconds", "How long the look-up of the name took."),
    ("probe_ip_protocol", "Version of the internet protocol that was used."),
    ("probe_http_status_code", "Status of the answer."),
    ("probe_http_redirects", "How many redirects were followed."),
    ("probe_http_ssl", "Whether the last answer came over TLS."),
    ("probe_http_content_length", "Length that the answer says it has; -1 for none."),
    ("probe_http_uncompressed_body_length", "Length of the body that was read."),
    ("probe_http_version", "Version of HTTP in which the answer came."),
    ("probe_http_duration_seconds", "How long each phase took."),
    ("probe_failed_due_to_regex", "Whether what the body says made the probe fail."),
    ("probe_ssl_earliest_cert_expiry", "When the first certificate of the chain ends, in Unix time."),
    ("probe_ssl_last_chain_expiry_timestamp_seconds", "When the trusted chain ends, its root included, in Unix time."),
    ("probe_ssl_last_chain_info", "The server's own certificate."),
    ("probe_tls_version_info", "Version of TLS that was used."),
    ("probe_tls_cipher_info", "Cipher that was used."),
];

/// Types and meanings of the samples: all are gauges.
pub(crate) fn metadata(config: &MonitorConfig) -> Vec<(String, Metadata)> {
    let described = |(name, help): &(&str, &str)| {
        ((*name).to_owned(), Metadata { kind: MetricType::Gauge, unit: String::new(), help: (*help).to_owned() })
    };
    let own = config.given().into_iter().flat_map(|(_, kind)| kind.described());
    DESCRIBED.iter().chain(own).map(described).collect()
}

/// Which series a monitor wrote last, so that those it writes no more end at once and not after the lookback of a query.
#[derive(Debug, Default)]
pub(crate) struct Written(BTreeSet<Labels>);

impl Written {
    /// Adds an end to each series that was written before and is not among `points`.
    pub(crate) fn end_missing(&mut self, points: &mut Vec<Point>, at: Timestamp) {
        let now: BTreeSet<Labels> = points.iter().map(|point| point.labels.clone()).collect();
        let ended = self.0.difference(&now).cloned();
        points.extend(ended.map(|labels| Point { labels, timestamp: at, value: stale_nan() }));
        self.0 = now;
    }
}
