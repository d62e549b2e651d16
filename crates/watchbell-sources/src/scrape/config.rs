//! What to scrape: Prometheus' `scrape_configs`, as far as they go here.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{
    Authorization, BasicAuth, ByteSize, Labels, NotYet, Path, Problems, Span, TlsConfig, check_credentials,
};

use super::target::address;
use crate::discovery::{self, Discovery, FileSd};

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
    /// Files that list targets.
    #[serde(default)]
    pub file_sd_configs: Vec<FileSd>,
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
        discovery::anchor(self, base);
    }

    /// Where its targets come from, besides those it lists.
    pub fn discoveries(&self) -> Vec<Discovery> {
        discovery::of(self)
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
        discovery::check(self, path, problems);
        if self.discoveries().is_empty() && self.static_configs.iter().all(|group| group.targets.is_empty()) {
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
        check_credentials(self.basic_auth.as_ref(), self.authorization.as_ref(), path, problems);
        self.check_not_yet(path, problems);
        self.tls_config.check(&path.field("tls_config"), problems);
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

    fn check_not_yet(&self, path: &Path, problems: &mut Problems) {
        for (field, given) in [
            ("relabel_configs", &self.relabel_configs),
            ("metric_relabel_configs", &self.metric_relabel_configs),
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
