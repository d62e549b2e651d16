//! `modules:` in the configuration: how each kind of probe is made, under blackbox_exporter's names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{
    ByteSize, HttpHeader, Path, Problems, Secret, Span, TlsConfig, TlsVersion, near_hint, with_http_client,
};
use watchbell_wire::dns;

use super::pattern::Pattern;

/// The kinds of probes.
const PROBERS: [&str; 7] = ["http", "tcp", "icmp", "dns", "grpc", "unix", "websocket"];

/// One module of a `blackbox.yml`: a way to probe whatever target is asked for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModuleConfig {
    /// What probes: `http`, `tcp`, `icmp`, `dns`, `grpc`, `unix` or `websocket`.
    pub prober: String,
    /// How long a probe may take; if the asker has less time, that is what counts.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Of `prober: http`.
    #[serde(default)]
    pub http: HttpModule,
    /// Of `prober: tcp`.
    #[serde(default)]
    pub tcp: TcpModule,
    /// Of `prober: icmp`.
    #[serde(default)]
    pub icmp: IcmpModule,
    /// Of `prober: dns`.
    #[serde(default)]
    pub dns: Option<DnsModule>,
    /// Of `prober: grpc`.
    #[serde(default)]
    pub grpc: GrpcModule,
    /// Of `prober: unix`.
    #[serde(default)]
    pub unix: UnixModule,
    /// Of `prober: websocket`.
    #[serde(default)]
    pub websocket: WebsocketModule,
}

with_http_client! {
    /// How `prober: http` probes.
    #[derive(Debug, Clone, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct HttpModule {
        /// Statuses that are good; by default all from 200 to 299.
        #[serde(default)]
        pub valid_status_codes: Vec<u16>,
        /// Versions that are good, such as `HTTP/1.1` and `HTTP/2.0`; by default all.
        #[serde(default)]
        pub valid_http_versions: Vec<String>,
        /// Whether `ip6` or `ip4` is taken where a name has addresses of both kinds.
        #[serde(default = "default_protocol")]
        pub preferred_ip_protocol: String,
        /// Whether the other kind is taken where there is none of that.
        #[serde(default = "watchbell_model::yes")]
        pub ip_protocol_fallback: bool,
        /// Whether the name is left to the proxy, if there is one.
        #[serde(default)]
        pub skip_resolve_phase_with_proxy: bool,
        /// The older way to write `follow_redirects: false`.
        #[serde(default)]
        #[schemars(extend("deprecated" = true))]
        pub no_follow_redirects: Option<bool>,
        /// Whether the last answer may not come over TLS.
        #[serde(default)]
        pub fail_if_ssl: bool,
        /// Whether the last answer must come over TLS.
        #[serde(default)]
        pub fail_if_not_ssl: bool,
        /// By default `GET`.
        #[serde(default = "HttpModule::default_method")]
        pub method: String,
        /// Headers to send; `Host` is what the host is called, in the request and in its certificate. Never shown.
        #[serde(default)]
        pub headers: BTreeMap<String, Secret>,
        /// Regular expressions of which none may match the body.
        #[serde(default)]
        pub fail_if_body_matches_regexp: Vec<Pattern>,
        /// Regular expressions that must all match the body.
        #[serde(default)]
        pub fail_if_body_not_matches_regexp: Vec<Pattern>,
        /// An expression in CEL over `body`, the answer read as JSON, that must not be true. watchbell knows no CEL.
        #[serde(default)]
        pub fail_if_body_json_matches_cel: Option<String>,
        /// An expression in CEL that must be true. watchbell knows no CEL.
        #[serde(default)]
        pub fail_if_body_json_not_matches_cel: Option<String>,
        /// Headers of the answer that may not match.
        #[serde(default)]
        pub fail_if_header_matches: Vec<HeaderMatch>,
        /// Headers of the answer that must match.
        #[serde(default)]
        pub fail_if_header_not_matches: Vec<HeaderMatch>,
        /// What to send as the body. Never shown.
        #[serde(default)]
        pub body: Option<Secret>,
        /// A file with what to send as the body, read anew each time.
        #[serde(default)]
        pub body_file: Option<PathBuf>,
        /// How the body must be compressed: `gzip`, `deflate`, `br` or `identity`.
        #[serde(default)]
        pub compression: String,
        /// A longer body, uncompressed, is a failure; 0 for none.
        #[serde(default)]
        pub body_size_limit: ByteSize,
        /// HTTP/3, which watchbell does not speak.
        #[serde(default)]
        pub enable_http3: bool,
    }
}

/// A header of the answer, and a regular expression.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    /// Its name.
    #[serde(default)]
    pub header: String,
    /// The regular expression.
    #[serde(default)]
    pub regexp: Pattern,
    /// Whether the header may be missing.
    #[serde(default)]
    pub allow_missing: bool,
}

/// How `prober: tcp` probes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpModule {
    /// Whether `ip6` or `ip4` is taken where a name has addresses of both kinds.
    #[serde(default = "default_protocol")]
    pub preferred_ip_protocol: String,
    /// Whether the other kind is taken where there is none of that.
    #[serde(default = "watchbell_model::yes")]
    pub ip_protocol_fallback: bool,
    /// From which address of this host.
    #[serde(default)]
    pub source_ip_address: String,
    /// What is said and heard, in this order.
    #[serde(default)]
    pub query_response: Vec<QueryResponse>,
    /// Whether it speaks TLS from the first byte.
    #[serde(default)]
    pub tls: bool,
    /// How far it is trusted, with `tls` or after `starttls`.
    #[serde(default)]
    pub tls_config: TlsConfig,
}

/// How `prober: unix` probes: a socket of this host, the target being its path.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnixModule {
    /// What is said and heard, in this order.
    #[serde(default)]
    pub query_response: Vec<QueryResponse>,
    /// Whether it speaks TLS from the first byte.
    #[serde(default)]
    pub tls: bool,
    /// How far it is trusted, with `tls` or after `starttls`.
    #[serde(default)]
    pub tls_config: TlsConfig,
}

/// One step of a talk: waits, then says, then changes to TLS, each if it is given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryResponse {
    /// A regular expression; lines are read until it matches one.
    #[serde(default)]
    pub expect: Option<Pattern>,
    /// The very bytes that must come.
    #[serde(default)]
    pub expect_bytes: String,
    /// Labels of `probe_expect_info`; `${1}` in a value is the first group of `expect`.
    #[serde(default)]
    pub labels: Vec<ExpectLabel>,
    /// What to say; a line feed is put behind it, and `${1}` is the first group of `expect`. Never shown.
    #[serde(default)]
    pub send: Secret,
    /// Whether to change to TLS.
    #[serde(default)]
    pub starttls: bool,
}

/// A label of `probe_expect_info`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectLabel {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// How `prober: icmp` probes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IcmpModule {
    /// Whether `ip6` or `ip4` is taken where a name has addresses of both kinds.
    #[serde(default = "default_protocol")]
    pub preferred_ip_protocol: String,
    /// Whether the other kind is taken where there is none of that.
    #[serde(default = "watchbell_model::yes")]
    pub ip_protocol_fallback: bool,
    /// From which address of this host.
    #[serde(default)]
    pub source_ip_address: String,
    /// How many bytes the request carries; 0 for a short text.
    #[serde(default)]
    pub payload_size: u16,
    /// Whether routers may not split the request; for `ip4`.
    #[serde(default)]
    pub dont_fragment: bool,
    /// How many routers it may pass, up to 255.
    #[serde(default = "IcmpModule::default_ttl")]
    pub ttl: i64,
}

/// How `prober: dns` probes: the target is the name server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsModule {
    /// Whether `ip6` or `ip4` is taken where a name has addresses of both kinds.
    #[serde(default = "default_protocol")]
    pub preferred_ip_protocol: String,
    /// Whether the other kind is taken where there is none of that.
    #[serde(default = "watchbell_model::yes")]
    pub ip_protocol_fallback: bool,
    /// Whether it is asked over TLS; with `transport_protocol: tcp`.
    #[serde(default)]
    pub dns_over_tls: bool,
    /// How far it is trusted then.
    #[serde(default)]
    pub tls_config: TlsConfig,
    /// From which address of this host.
    #[serde(default)]
    pub source_ip_address: String,
    /// `udp` or `tcp`.
    #[serde(default)]
    pub transport_protocol: String,
    /// By default `IN`.
    #[serde(default)]
    pub query_class: String,
    /// The name to ask for.
    #[serde(default)]
    pub query_name: String,
    /// The type of record; by default `ANY`.
    #[serde(default)]
    pub query_type: String,
    /// Whether the server is to ask others.
    #[serde(default = "watchbell_model::yes")]
    pub recursion_desired: bool,
    /// Which answers are good; by default `NOERROR`.
    #[serde(default)]
    pub valid_rcodes: Vec<String>,
    /// What the records of the answer must be.
    #[serde(default)]
    pub validate_answer_rrs: RecordRules,
    /// What the records of those responsible must be.
    #[serde(default)]
    pub validate_authority_rrs: RecordRules,
    /// What further records must be.
    #[serde(default)]
    pub validate_additional_rrs: RecordRules,
}

/// What records must be. Each is matched as a line of a zone file, with tabs between its parts.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordRules {
    /// No record may match any of these.
    #[serde(default)]
    pub fail_if_matches_regexp: Vec<Pattern>,
    /// Not all records may match all of these.
    #[serde(default)]
    pub fail_if_all_match_regexp: Vec<Pattern>,
    /// Every record must match all of these.
    #[serde(default)]
    pub fail_if_not_matches_regexp: Vec<Pattern>,
    /// A record must match one of these.
    #[serde(default)]
    pub fail_if_none_matches_regexp: Vec<Pattern>,
}

/// How `prober: grpc` probes: by the health service of gRPC.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcModule {
    /// The service that is asked for; by default the whole server.
    #[serde(default)]
    pub service: String,
    /// Whether it speaks TLS.
    #[serde(default)]
    pub tls: bool,
    /// How far it is trusted.
    #[serde(default)]
    pub tls_config: TlsConfig,
    /// Whether the other kind of address is taken where there is none of the preferred one.
    #[serde(default = "watchbell_model::yes")]
    pub ip_protocol_fallback: bool,
    /// Whether `ip6` or `ip4` is taken where a name has addresses of both kinds.
    #[serde(default = "default_protocol")]
    pub preferred_ip_protocol: String,
    /// Metadata to send, each with its values. Never shown.
    #[serde(default)]
    pub metadata: BTreeMap<String, Vec<Secret>>,
}

/// How `prober: websocket` probes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebsocketModule {
    /// How it is spoken to.
    #[serde(default)]
    pub http_config: WebsocketClient,
    /// Headers to send.
    #[serde(default)]
    pub headers: BTreeMap<String, HttpHeader>,
    /// What is heard and said, in this order, each a message.
    #[serde(default)]
    pub query_response: Vec<QueryResponse>,
    /// Whether `ip6` or `ip4` is taken where a name has addresses of both kinds.
    #[serde(default = "default_protocol")]
    pub preferred_ip_protocol: String,
    /// Whether the other kind is taken where there is none of that.
    #[serde(default = "watchbell_model::yes")]
    pub ip_protocol_fallback: bool,
}

with_http_client! {
    /// How a WebSocket's server is spoken to; credentials and trust alone count.
    #[derive(Debug, Clone, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct WebsocketClient {}
}

fn default_protocol() -> String {
    "ip6".to_owned()
}

/// What a struct of a file is when nothing is said.
fn unsaid<T: serde::de::DeserializeOwned>() -> T {
    serde_json::from_value(serde_json::json!({})).expect("every part may be left out")
}

macro_rules! unsaid {
    ($($name:ty),+) => {
        $(impl Default for $name {
            fn default() -> $name {
                unsaid()
            }
        })+
    };
}

unsaid!(HttpModule, TcpModule, IcmpModule, DnsModule, GrpcModule, WebsocketModule, WebsocketClient);

impl HttpModule {
    fn default_method() -> String {
        "GET".to_owned()
    }

    /// Whether redirects are followed, whichever way it is written.
    pub(super) fn follows(&self) -> bool {
        self.no_follow_redirects.map_or(self.follow_redirects, |no| !no)
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        if (self.bearer_token.is_some() && self.bearer_token_file.is_some())
            || ((self.bearer_token.is_some() || self.bearer_token_file.is_some()) && self.authorization.is_some())
        {
            problems
                .error(path, "there are other credentials beside `bearer_token`")
                .hint("at most one of `authorization`, `bearer_token` and `bearer_token_file` goes with a request");
        }
        let mut client = self.http_client();
        client.tls_config = spoken(&self.tls_config);
        client.check(path, problems);
        let patterns = [
            ("fail_if_body_matches_regexp", &self.fail_if_body_matches_regexp),
            ("fail_if_body_not_matches_regexp", &self.fail_if_body_not_matches_regexp),
        ];
        for (field, patterns) in patterns {
            Pattern::check_all(patterns, &path.field(field), problems);
        }
        let headers = [
            ("fail_if_header_matches", &self.fail_if_header_matches),
            ("fail_if_header_not_matches", &self.fail_if_header_not_matches),
        ];
        for (field, rules) in headers {
            for (at, rule) in rules.iter().enumerate() {
                let path = path.field(field).index(at);
                if rule.header.is_empty() {
                    problems
                        .error(&path, "header name must be set for HTTP header matchers")
                        .hint("such as `header: Via`");
                }
                if rule.regexp.is_empty() {
                    problems.error(&path, "regexp must be set for HTTP header matchers").hint("such as `regexp: '.+'`");
                }
                rule.regexp.check(&path.field("regexp"), problems);
            }
        }
        if self.body.as_ref().is_some_and(|body| !body.is_empty()) && self.body_file.is_some() {
            problems.error(path, "there are both `body` and `body_file`").hint("leave one of the two out");
        }
        self.check_encoding(path, problems);
        self.check_versions(path, problems);
    }

    fn check_encoding(&self, path: &Path, problems: &mut Problems) {
        for (name, value) in &self.headers {
            let accept = value.expose();
            if name.eq_ignore_ascii_case("accept-encoding") && !accepts(&self.compression, accept) {
                problems
                    .error(
                        &path.field("headers").field(name),
                        format!("`{accept}` does not accept what `compression: {}` expects", self.compression),
                    )
                    .hint("name that encoding first, or leave one of the two out");
            }
        }
    }

    fn check_versions(&self, path: &Path, problems: &mut Problems) {
        let versions = path.field("valid_http_versions");
        let wants = |version: &str| self.valid_http_versions.iter().any(|it| it == version);
        if !self.enable_http3 {
            if wants("HTTP/3.0") {
                problems
                    .error(&versions, "HTTP/3 cannot be used as a valid HTTP version when enable_http3 is false")
                    .hint("take `HTTP/3.0` out");
            }
            return;
        }
        if wants("HTTP/2.0") || wants("HTTP/1.1") {
            problems
                .error(&versions, "only HTTP/3.0 is allowed when enable_http3 is true")
                .hint("write a module of its own for the other versions");
        }
        if self.enable_http2 {
            problems
                .error(&path.field("enable_http3"), "when enable_http3 is true, enable_http2 must be set to false")
                .hint("add `enable_http2: false`");
        }
    }
}

impl IcmpModule {
    fn default_ttl() -> i64 {
        64
    }
}

impl QueryResponse {
    fn check_all(all: &[QueryResponse], path: &Path, problems: &mut Problems) {
        for (at, it) in all.iter().enumerate() {
            let path = path.field("query_response").index(at);
            if let Some(expect) = &it.expect {
                expect.check(&path.field("expect"), problems);
                if !it.expect_bytes.is_empty() {
                    problems
                        .error(&path, "expect and expect_bytes are mutually exclusive")
                        .hint("make two steps of it");
                }
            }
        }
    }
}

impl DnsModule {
    fn check(&self, path: &Path, problems: &mut Problems) {
        if self.query_name.is_empty() {
            problems.error(path, "query name must be set for DNS module").hint("such as `query_name: example.org`");
        } else if let Err(reason) = dns::query(&dns::Query::new(0, &self.query_name, 1)) {
            problems.error(&path.field("query_name"), reason).hint("such as `example.org`");
        }
        if !self.query_class.is_empty() && dns::class_of(&self.query_class).is_none() {
            problems
                .error(&path.field("query_class"), format!("query class '{}' is not valid", self.query_class))
                .hint("`IN`, `CH`, `HS` or `ANY`, in capital letters");
        }
        if !self.query_type.is_empty() && self.kind().is_none() {
            problems
                .error(&path.field("query_type"), format!("query type '{}' is not valid", self.query_type))
                .hint("such as `MX`, in capital letters");
        }
        let sections = [
            ("validate_answer_rrs", &self.validate_answer_rrs),
            ("validate_authority_rrs", &self.validate_authority_rrs),
            ("validate_additional_rrs", &self.validate_additional_rrs),
        ];
        for (section, rules) in sections {
            let path = path.field(section);
            for (field, patterns) in [
                ("fail_if_matches_regexp", &rules.fail_if_matches_regexp),
                ("fail_if_all_match_regexp", &rules.fail_if_all_match_regexp),
                ("fail_if_not_matches_regexp", &rules.fail_if_not_matches_regexp),
                ("fail_if_none_matches_regexp", &rules.fail_if_none_matches_regexp),
            ] {
                Pattern::check_all(patterns, &path.field(field), problems);
            }
        }
        spoken(&self.tls_config).check(&path.field("tls_config"), problems);
    }

    /// The number of the type that is asked for.
    pub(super) fn kind(&self) -> Option<u16> {
        match self.query_type.as_str() {
            "" => dns::kind_of("ANY"),
            name if name.chars().any(|c| c.is_ascii_lowercase()) || name.starts_with("TYPE") => None,
            name => dns::kind_of(name),
        }
    }
}

impl ModuleConfig {
    /// Finds what is wrong with modules, as blackbox_exporter does.
    pub fn check_all(modules: &BTreeMap<String, ModuleConfig>, path: &Path, problems: &mut Problems) {
        for (name, module) in modules {
            module.check(&path.field(name), problems);
        }
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        if !PROBERS.contains(&self.prober.as_str()) {
            problems.error(&path.field("prober"), format!("prober '{}' is not valid", self.prober)).hint(near_hint(
                &self.prober,
                "probers",
                PROBERS,
            ));
        }
        self.http.check(&path.field("http"), problems);
        for (field, steps, tls) in [
            ("tcp", &self.tcp.query_response, &self.tcp.tls_config),
            ("unix", &self.unix.query_response, &self.unix.tls_config),
            ("websocket", &self.websocket.query_response, &self.websocket.http_config.tls_config),
        ] {
            QueryResponse::check_all(steps, &path.field(field), problems);
            spoken(tls).check(&path.field(field).field("tls_config"), problems);
        }
        spoken(&self.grpc.tls_config).check(&path.field("grpc").field("tls_config"), problems);
        let mut client = self.websocket.http_config.http_client();
        client.tls_config = TlsConfig::default();
        client.check(&path.field("websocket").field("http_config"), problems);
        if !(0..=255).contains(&self.icmp.ttl) {
            let words = if self.icmp.ttl < 0 { "\"ttl\" cannot be negative" } else { "\"ttl\" cannot exceed 255" };
            problems.error(&path.field("icmp").field("ttl"), words).hint("from 0 to 255");
        }
        if let Some(dns) = &self.dns {
            dns.check(&path.field("dns"), problems);
        }
        if let Some(reason) = self.unspoken() {
            problems
                .warning(path, format!("watchbell cannot probe so: {reason}"))
                .hint("whoever asks for this module gets an error and no verdict; keep blackbox_exporter for it");
        }
    }

    /// What a probe would need that watchbell does not have: it would say "down" of what works.
    pub(super) fn unspoken(&self) -> Option<&'static str> {
        let http = &self.http;
        let tls = match self.prober.as_str() {
            "http" => &http.tls_config,
            "tcp" => &self.tcp.tls_config,
            "dns" => self.dns.as_ref().map(|dns| &dns.tls_config)?,
            "grpc" => &self.grpc.tls_config,
            "unix" => &self.unix.tls_config,
            "websocket" => &self.websocket.http_config.tls_config,
            _ => return None,
        };
        if tls.max_version.is_some_and(|version| version < TlsVersion::Tls12) {
            return Some("TLS before 1.2 is not spoken");
        }
        if self.prober != "http" {
            return None;
        }
        if http.enable_http3 {
            Some("HTTP/3 is not spoken")
        } else if http.fail_if_body_json_matches_cel.is_some() || http.fail_if_body_json_not_matches_cel.is_some() {
            Some("expressions in CEL are not understood")
        } else {
            None
        }
    }

    /// Makes files it names relative to a folder.
    pub fn anchor(&mut self, base: &std::path::Path) {
        self.http.anchor_http_client(base);
        self.websocket.http_config.anchor_http_client(base);
        let dns = self.dns.as_mut().map(|dns| &mut dns.tls_config);
        let tls = [&mut self.tcp.tls_config, &mut self.unix.tls_config, &mut self.grpc.tls_config];
        let files = tls.into_iter().chain(dns).flat_map(|tls| tls.files_mut());
        let headers = self.websocket.headers.values_mut().flat_map(|header| &mut header.files);
        for file in files.chain(self.http.body_file.as_mut()).chain(headers) {
            *file = base.join(&*file);
        }
    }
}

/// As it is, but for versions that are not spoken: of those a module is told otherwise.
fn spoken(tls: &TlsConfig) -> TlsConfig {
    let old = tls.max_version.is_some_and(|version| version < TlsVersion::Tls12);
    if old { TlsConfig { min_version: None, max_version: None, ..tls.clone() } } else { tls.clone() }
}

/// Whether an answer may be encoded so, by a header `Accept-Encoding`.
fn accepts(encoding: &str, header: &str) -> bool {
    if encoding.is_empty() || header.is_empty() {
        return true;
    }
    let mut all: Vec<(&str, f32)> = header
        .split(',')
        .map(|part| match part.rsplit_once(';') {
            None => (part.trim(), 1.0),
            Some((name, quality)) => {
                let quality = quality.trim().trim_start_matches("q=").parse::<f32>().unwrap_or(0.0);
                (name.trim(), (quality * 1000.0).round() / 1000.0)
            }
        })
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.iter().find(|(name, _)| *name == encoding || *name == "*").is_some_and(|(_, quality)| *quality > 0.0)
}

/// Whether a name of protocol means IPv6, as blackbox_exporter reads it: all but `ip6` and nothing is IPv4.
pub(super) fn prefers_six(protocol: &str) -> bool {
    matches!(protocol, "" | "ip6")
}

#[cfg(test)]
mod tests {
    use super::accepts;

    #[test]
    fn an_encoding_that_is_expected_must_be_accepted() {
        for (encoding, header, yes) in [
            ("gzip", "br, gzip", true),
            ("gzip", "br;q=1.0, gzip;q=0.9", true),
            ("gzip", "br, identity", false),
            ("gzip", "*;q=0.0", false),
            ("gzip", "*", true),
            ("gzip", "gzip;q=0", false),
            ("", "deflate", true),
            ("gzip", "", true),
            ("br", "gzip, br;q=0.5", true),
            ("br", "gzip", false),
        ] {
            assert_eq!(accepts(encoding, header), yes, "{encoding} {header}");
        }
    }
}
