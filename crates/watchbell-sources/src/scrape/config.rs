//! What to scrape: Prometheus' `scrape_configs`, as far as they go here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use watchbell_model::{Labels, Path, Problems, Secret, Span};

use super::target::address;

/// Scraping more often than this is refused.
const INTERVAL_MIN: Span = Span::millis(100);
/// How many targets all jobs have together at most.
const TARGETS_MAX: usize = 10_000;

/// Targets that are scraped in the same way, as in a `prometheus.yml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrapeConfig {
    /// The label `job` of all that is scraped; unique.
    pub job_name: String,
    /// How often.
    #[serde(default = "ScrapeConfig::default_interval")]
    pub scrape_interval: Span,
    /// How long a target may take, at most the interval. `10s` if it is not given, or the interval if that is shorter.
    #[serde(default)]
    pub scrape_timeout: Option<Span>,
    /// The path on the target.
    #[serde(default = "ScrapeConfig::default_path")]
    pub metrics_path: String,
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Scheme,
    /// Parameters of the address, each with its values.
    #[serde(default)]
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether labels that a target says win over `job`, `instance` and the labels given here. If not, they are kept as
    /// `exported_<name>`.
    #[serde(default)]
    pub honor_labels: bool,
    /// Whether times that a target says are taken over.
    #[serde(default = "yes")]
    pub honor_timestamps: bool,
    /// The targets.
    #[serde(default)]
    pub static_configs: Vec<StaticConfig>,
    /// A user's name and password.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// Other credentials, such as a bearer token.
    #[serde(default)]
    pub authorization: Option<Authorization>,
    /// How far an `https` target is trusted.
    #[serde(default)]
    pub tls_config: TlsConfig,
    /// Whether redirects are followed, ten at most.
    #[serde(default = "yes")]
    pub follow_redirects: bool,
    /// More samples than this and the whole scrape fails; 0 is a million.
    #[serde(default)]
    pub sample_limit: usize,
    /// A longer body than this and the whole scrape fails, such as `10MB`; 0 is `64MB`.
    #[serde(default)]
    pub body_size_limit: ByteSize,
    /// More labels than this on a sample, name and target's labels included, and the whole scrape fails; 0 is 128.
    #[serde(default)]
    pub label_limit: usize,
    /// A longer label name than this and the whole scrape fails; 0 is no bound.
    #[serde(default)]
    pub label_name_length_limit: usize,
    /// A longer label value than this and the whole scrape fails; 0 is no bound.
    #[serde(default)]
    pub label_value_length_limit: usize,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub relabel_configs: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub metric_relabel_configs: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub file_sd_configs: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub http_sd_configs: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub dns_sd_configs: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub docker_sd_configs: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub ec2_sd_configs: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub consul_sd_configs: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub kubernetes_sd_configs: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub oauth2: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub proxy_url: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub http_headers: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub scrape_protocols: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub scrape_native_histograms: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub track_timestamps_staleness: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub target_limit: Option<NotYet>,
}

/// Targets that share labels.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticConfig {
    /// Each `host:port`, or `host` for the scheme's own port.
    pub targets: Vec<String>,
    /// Labels of all that is scraped from them. `__scheme__`, `__metrics_path__` and `__param_<name>` change the
    /// address instead.
    #[serde(default)]
    pub labels: Labels,
}

/// How a target is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// A user's name and password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user's name.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file that holds the password, read for each scrape.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// Credentials for the header `Authorization`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// Their kind.
    #[serde(default = "Authorization::default_type", rename = "type")]
    pub kind: String,
    /// The credentials, such as a token.
    #[serde(default)]
    pub credentials: Option<Secret>,
    /// A file that holds the credentials, read for each scrape.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
}

impl Authorization {
    fn default_type() -> String {
        "Bearer".to_owned()
    }
}

/// How far an `https` target is trusted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// A file of trusted roots as PEM, in place of the machine's; read for each scrape.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether a certificate that is not trusted is good enough.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub server_name: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub cert_file: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub key_file: Option<NotYet>,
}

/// A field of Prometheus that is understood, but does nothing here yet.
#[derive(Debug, Clone, Copy)]
pub struct NotYet;

impl<'de> Deserialize<'de> for NotYet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<NotYet, D::Error> {
        de::IgnoredAny::deserialize(from).map(|_| NotYet)
    }
}

/// A number of bytes: `512KB`, `10MB`, `1GiB`; a unit is 1024 of the one before, as in Prometheus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        let refuse = || format!("`{text}` is not a size; write it as `512KB`, `10MB` or `1GB`");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| refuse())?;
        let shift = match text[digits..].trim() {
            "" | "B" => 0,
            "KB" | "KiB" => 10,
            "MB" | "MiB" => 20,
            "GB" | "GiB" => 30,
            _ => return Err(refuse()),
        };
        number.checked_mul(1 << shift).map(ByteSize).ok_or_else(refuse)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ByteSize, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `10MB`")
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(|_| E::custom("a size is not negative"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "format": "bytes" })
    }
}

fn yes() -> bool {
    true
}

impl ScrapeConfig {
    fn default_interval() -> Span {
        Span::minutes(1)
    }

    fn default_path() -> String {
        "/metrics".to_owned()
    }

    /// Makes files it names relative to the folder of the configuration.
    pub fn anchor(&mut self, base: &std::path::Path) {
        let files = [
            self.basic_auth.as_mut().and_then(|it| it.password_file.as_mut()),
            self.authorization.as_mut().and_then(|it| it.credentials_file.as_mut()),
            self.tls_config.ca_file.as_mut(),
        ];
        for file in files.into_iter().flatten() {
            *file = base.join(&*file);
        }
    }

    /// How long a target may take.
    pub fn timeout(&self) -> Span {
        self.scrape_timeout.unwrap_or(Span::seconds(10).min(self.scrape_interval))
    }

    /// What is wrong with all of them, also with one another.
    pub fn check_all(configs: &[ScrapeConfig], path: &Path, problems: &mut Problems) {
        let mut names = BTreeSet::new();
        let mut targets = 0;
        for (at, config) in configs.iter().enumerate() {
            let path = path.index(at);
            config.check(&path, problems);
            targets += config.static_configs.iter().map(|group| group.targets.len()).sum::<usize>();
            if !names.insert(&config.job_name) {
                problems
                    .error(&path.field("job_name"), format!("there are two jobs named `{}`", config.job_name))
                    .hint("give each job a name of its own; targets of one job may stand in several `static_configs`");
            }
        }
        if targets > TARGETS_MAX {
            problems
                .error(path, format!("there are {targets} targets, but {TARGETS_MAX} are the most that are scraped"))
                .hint("let another watchbell or a Prometheus scrape some of them and send them here");
        }
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if self.job_name.is_empty() {
            problems.error(&path.field("job_name"), "the job has no name").hint("such as `postfix`");
        }
        self.check_times(path, problems);
        if !self.metrics_path.starts_with('/') {
            problems
                .error(&path.field("metrics_path"), format!("`{}` is not a path", self.metrics_path))
                .hint(format!("`/{}`", self.metrics_path));
        }
        if self.static_configs.iter().all(|group| group.targets.is_empty()) {
            problems.warning(path, "the job has no target").hint("list some in `static_configs`");
        }
        for (at, group) in self.static_configs.iter().enumerate() {
            let path = path.field("static_configs").index(at);
            for (at, target) in group.targets.iter().enumerate() {
                if let Err(reason) = address(self, group, target) {
                    let path = path.field("targets").index(at);
                    problems.error(&path, reason).hint("a target is `host:port`, such as `mail.example.org:9154`");
                }
            }
        }
        self.check_credentials(path, problems);
        self.check_not_yet(path, problems);
    }

    fn check_times(&self, path: &Path, problems: &mut Problems) {
        if self.scrape_interval < INTERVAL_MIN {
            problems
                .error(&path.field("scrape_interval"), format!("{} is too often", self.scrape_interval))
                .hint(format!("at least {INTERVAL_MIN}"));
        }
        let Some(timeout) = self.scrape_timeout else { return };
        if timeout.is_zero() || timeout > self.scrape_interval {
            problems
                .error(
                    &path.field("scrape_timeout"),
                    format!("the timeout {timeout} is not between 0 and the interval {}", self.scrape_interval),
                )
                .hint("leave it out, or make it shorter than `scrape_interval`");
        }
    }

    fn check_credentials(&self, path: &Path, problems: &mut Problems) {
        if self.basic_auth.is_some() && self.authorization.is_some() {
            problems
                .error(path, "there are both `basic_auth` and `authorization`")
                .hint("a request carries only one of them");
        }
        if let Some(basic) = &self.basic_auth
            && basic.password.is_some() == basic.password_file.is_some()
        {
            problems
                .error(&path.field("basic_auth"), "exactly one of `password` and `password_file` is needed")
                .hint("such as `password: ${secret:name}`");
        }
        let Some(authorization) = &self.authorization else { return };
        let path = path.field("authorization");
        if authorization.credentials.is_some() == authorization.credentials_file.is_some() {
            problems
                .error(&path, "exactly one of `credentials` and `credentials_file` is needed")
                .hint("such as `credentials: ${secret:name}`");
        }
        if authorization.kind.trim().eq_ignore_ascii_case("basic") {
            problems.error(&path.field("type"), "the type cannot be `Basic`").hint("use `basic_auth`");
        }
    }

    fn check_not_yet(&self, path: &Path, problems: &mut Problems) {
        let tls = &self.tls_config;
        for (field, given) in [
            ("relabel_configs", &self.relabel_configs),
            ("metric_relabel_configs", &self.metric_relabel_configs),
            ("file_sd_configs", &self.file_sd_configs),
            ("http_sd_configs", &self.http_sd_configs),
            ("dns_sd_configs", &self.dns_sd_configs),
            ("docker_sd_configs", &self.docker_sd_configs),
            ("ec2_sd_configs", &self.ec2_sd_configs),
            ("consul_sd_configs", &self.consul_sd_configs),
            ("kubernetes_sd_configs", &self.kubernetes_sd_configs),
            ("oauth2", &self.oauth2),
            ("proxy_url", &self.proxy_url),
            ("http_headers", &self.http_headers),
            ("scrape_protocols", &self.scrape_protocols),
            ("scrape_native_histograms", &self.scrape_native_histograms),
            ("track_timestamps_staleness", &self.track_timestamps_staleness),
            ("target_limit", &self.target_limit),
        ] {
            not_yet(&path.field(field), field, given, problems);
        }
        for (field, given) in
            [("server_name", &tls.server_name), ("cert_file", &tls.cert_file), ("key_file", &tls.key_file)]
        {
            not_yet(&path.field("tls_config").field(field), field, given, problems);
        }
    }
}

fn not_yet(path: &Path, field: &str, given: &Option<NotYet>, problems: &mut Problems) {
    if given.is_some() {
        let hint = match field {
            "relabel_configs" | "metric_relabel_configs" => "leave it out; `static_configs` take `labels` as they are",
            field if field.ends_with("_sd_configs") => "list the targets in `static_configs`",
            _ => "leave it out",
        };
        problems.error(path, format!("`{field}` is not supported yet")).hint(hint);
    }
}
