//! What to scrape: Prometheus' `scrape_configs`, with the defaults that stand in `global`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{ByteSize, Labels, Path, Problems, RelabelConfig, Span};
use watchbell_wire::prometheus::{Escaping, Histograms, Protocol};

use super::job::Job;
use super::target::{self, Made};
use crate::discovery::{self, Discovery, with_discoveries};

/// Scraping more often than this is refused.
const INTERVAL_MIN: Span = Span::millis(100);
/// How many targets all jobs have together at most; more of those that are discovered are not scraped.
pub const TARGETS_MAX: usize = 10_000;

with_discoveries! {
/// Targets that are scraped in the same way, as in a `prometheus.yml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrapeConfig {
    /// The label `job` of all that is scraped; unique.
    pub job_name: String,
    /// How often; `global.scrape_interval` if it is not given.
    #[serde(default)]
    pub scrape_interval: Option<Span>,
    /// How long a target may take, at most the interval. `global.scrape_timeout` if it is not given, or the interval if
    /// that is shorter.
    #[serde(default)]
    pub scrape_timeout: Option<Span>,
    /// The formats that are asked for, the best first. If it is not given: OpenMetrics, then text, and before them
    /// protobuf where native histograms are taken.
    #[serde(default)]
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// What a body is read as whose `Content-Type` is missing or not known; without it, such a scrape fails.
    #[serde(default)]
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
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
    #[serde(default = "watchbell_model::yes")]
    pub honor_timestamps: bool,
    /// Whether the end of series is marked too whose samples have times of their own.
    #[serde(default)]
    pub track_timestamps_staleness: bool,
    /// Whether compressed bodies are asked for.
    #[serde(default = "watchbell_model::yes")]
    pub enable_compression: bool,
    /// Taken as Prometheus takes it; failures stand in the log and on the page of the targets.
    #[serde(default)]
    pub scrape_failure_log_file: Option<PathBuf>,
    /// A body of this length and the whole scrape fails, such as `10MB`; 0 is `64MB`.
    #[serde(default)]
    pub body_size_limit: ByteSize,
    /// More samples than this after relabelling and the whole scrape fails; 0 is a million.
    #[serde(default)]
    pub sample_limit: usize,
    /// More labels than this on a sample, name and target's labels included, and the whole scrape fails; 0 is 128.
    #[serde(default)]
    pub label_limit: usize,
    /// A longer label name than this and the whole scrape fails; 0 is no bound.
    #[serde(default)]
    pub label_name_length_limit: usize,
    /// A longer label value than this and the whole scrape fails; 0 is no bound.
    #[serde(default)]
    pub label_value_length_limit: usize,
    /// More targets than this after relabelling and none of them is scraped; 0 is no bound.
    #[serde(default)]
    pub target_limit: usize,
    /// How many targets that relabelling drops are kept to be shown; 0 is 10,000.
    #[serde(default)]
    pub keep_dropped_targets: usize,
    /// Which names of metrics and labels are taken.
    #[serde(default)]
    pub metric_name_validation_scheme: Option<NameValidation>,
    /// What targets are asked to do with names that are not identifiers.
    #[serde(default)]
    pub metric_name_escaping_scheme: Option<NameEscaping>,
    /// More buckets than this and a native histogram is made coarser; 0 is no bound.
    #[serde(default)]
    pub native_histogram_bucket_limit: usize,
    /// A native histogram whose buckets grow by less than this factor is made coarser; 0 is no bound.
    #[serde(default)]
    pub native_histogram_min_bucket_factor: f64,
    /// Whether native histograms are taken as such.
    #[serde(default)]
    pub scrape_native_histograms: Option<bool>,
    /// Whether classic histograms become native ones with custom buckets.
    #[serde(default)]
    pub convert_classic_histograms_to_nhcb: Option<bool>,
    /// Whether classic series are kept beside the native histogram.
    #[serde(default)]
    pub always_scrape_classic_histograms: Option<bool>,
    /// Whether `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes` are written too.
    #[serde(default)]
    pub extra_scrape_metrics: Option<bool>,
    /// The targets.
    #[serde(default)]
    pub static_configs: Vec<StaticConfig>,
    /// Rules that change labels of targets, or drop them, before they are scraped.
    #[serde(default)]
    pub relabel_configs: Vec<RelabelConfig>,
    /// Rules that change labels of samples, or drop them, before they are kept.
    #[serde(default)]
    pub metric_relabel_configs: Vec<RelabelConfig>,
}
}

/// What holds for jobs that do not say otherwise: the part of `global` that Prometheus has for scrapes.
#[derive(Debug, Clone, Default)]
pub struct ScrapeDefaults {
    /// How often; a minute if it is not given.
    pub scrape_interval: Option<Span>,
    /// How long a target may take; ten seconds if it is not given.
    pub scrape_timeout: Option<Span>,
    /// The formats that are asked for.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// See the fields of [`ScrapeConfig`] of these names.
    pub body_size_limit: ByteSize,
    /// Likewise.
    pub sample_limit: usize,
    /// Likewise.
    pub label_limit: usize,
    /// Likewise.
    pub label_name_length_limit: usize,
    /// Likewise.
    pub label_value_length_limit: usize,
    /// Likewise.
    pub target_limit: usize,
    /// Likewise.
    pub keep_dropped_targets: usize,
    /// Likewise.
    pub metric_name_validation_scheme: Option<NameValidation>,
    /// Likewise.
    pub metric_name_escaping_scheme: Option<NameEscaping>,
    /// Likewise.
    pub scrape_native_histograms: Option<bool>,
    /// Likewise.
    pub convert_classic_histograms_to_nhcb: Option<bool>,
    /// Likewise.
    pub always_scrape_classic_histograms: Option<bool>,
    /// Likewise.
    pub extra_scrape_metrics: Option<bool>,
}

/// Targets that share labels.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticConfig {
    /// Each `host:port`, or `host` for the scheme's own port.
    #[serde(default)]
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

/// A format in which targets say their metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ScrapeProtocol {
    /// Protobuf, the only one with native histograms.
    PrometheusProto,
    /// OpenMetrics 0.0.1
    #[serde(rename = "OpenMetricsText0.0.1")]
    OpenMetricsText0,
    /// OpenMetrics 1.0.0
    #[serde(rename = "OpenMetricsText1.0.0")]
    OpenMetricsText1,
    /// Text 0.0.4
    #[serde(rename = "PrometheusText0.0.4")]
    PrometheusText0,
    /// Text 1.0.0
    #[serde(rename = "PrometheusText1.0.0")]
    PrometheusText1,
}

impl ScrapeProtocol {
    pub(super) fn wire(self) -> Protocol {
        match self {
            ScrapeProtocol::PrometheusProto => Protocol::PrometheusProto,
            ScrapeProtocol::OpenMetricsText0 => Protocol::OpenMetricsText0,
            ScrapeProtocol::OpenMetricsText1 => Protocol::OpenMetricsText1,
            ScrapeProtocol::PrometheusText0 => Protocol::PrometheusText0,
            ScrapeProtocol::PrometheusText1 => Protocol::PrometheusText1,
        }
    }

    /// What is wrong with a list of them.
    pub fn check_all(protocols: &[ScrapeProtocol], path: &Path, problems: &mut Problems) {
        if protocols.is_empty() {
            problems.error(path, "the list is empty").hint("leave it out for the usual ones");
        }
        for (at, protocol) in protocols.iter().enumerate() {
            if protocols[..at].contains(protocol) {
                problems.error(&path.index(at), "it is there twice").hint("leave it out");
            }
        }
    }
}

/// Which names are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NameValidation {
    /// Letters, digits, underscores and, in names of metrics, colons.
    Legacy,
    /// Any text.
    #[default]
    Utf8,
}

/// What becomes of names that are not letters, digits, underscores and colons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum NameEscaping {
    /// They stay as they are.
    #[default]
    #[serde(rename = "allow-utf-8")]
    AllowUtf8,
    /// Other characters become underscores.
    #[serde(rename = "underscores")]
    Underscores,
    /// Dots become `_dot_`, underscores double, other characters underscores.
    #[serde(rename = "dots")]
    Dots,
    /// Other characters become their numbers between underscores.
    #[serde(rename = "values")]
    Values,
}

impl ScrapeDefaults {
    const INTERVAL: Span = Span::minutes(1);
    const TIMEOUT: Span = Span::seconds(10);

    fn interval(&self) -> Span {
        self.scrape_interval.unwrap_or(ScrapeDefaults::INTERVAL)
    }

    /// What is wrong with them.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        check_interval(self.interval(), path, problems);
        if let Some(timeout) = self.scrape_timeout {
            check_timeout(timeout, self.interval(), path, problems);
        }
        if let Some(protocols) = &self.scrape_protocols {
            ScrapeProtocol::check_all(protocols, &path.field("scrape_protocols"), problems);
        }
        check_names(self.metric_name_validation_scheme, self.metric_name_escaping_scheme, path, problems);
    }
}

fn or(given: usize, default: usize) -> usize {
    if given == 0 { default } else { given }
}

impl ScrapeConfig {
    fn default_path() -> String {
        "/metrics".to_owned()
    }

    /// Puts the defaults where nothing is said, as Prometheus does: a limit of 0 is one that is not given.
    pub fn fill(&mut self, defaults: &ScrapeDefaults) {
        let interval = *self.scrape_interval.get_or_insert(defaults.interval());
        let timeout = defaults.scrape_timeout.unwrap_or(ScrapeDefaults::TIMEOUT);
        self.scrape_timeout.get_or_insert(timeout.min(interval));
        self.scrape_protocols = self.scrape_protocols.take().or_else(|| defaults.scrape_protocols.clone());
        if self.body_size_limit.0 == 0 {
            self.body_size_limit = defaults.body_size_limit;
        }
        self.sample_limit = or(self.sample_limit, defaults.sample_limit);
        self.label_limit = or(self.label_limit, defaults.label_limit);
        self.label_name_length_limit = or(self.label_name_length_limit, defaults.label_name_length_limit);
        self.label_value_length_limit = or(self.label_value_length_limit, defaults.label_value_length_limit);
        self.target_limit = or(self.target_limit, defaults.target_limit);
        self.keep_dropped_targets = or(self.keep_dropped_targets, defaults.keep_dropped_targets);
        // A job's own `legacy` goes with its own way to escape, not with the one for all.
        if self.metric_name_validation_scheme.is_none() {
            self.metric_name_validation_scheme = defaults.metric_name_validation_scheme;
            self.metric_name_escaping_scheme =
                self.metric_name_escaping_scheme.or(defaults.metric_name_escaping_scheme);
        }
        self.scrape_native_histograms = self.scrape_native_histograms.or(defaults.scrape_native_histograms);
        self.convert_classic_histograms_to_nhcb =
            self.convert_classic_histograms_to_nhcb.or(defaults.convert_classic_histograms_to_nhcb);
        self.always_scrape_classic_histograms =
            self.always_scrape_classic_histograms.or(defaults.always_scrape_classic_histograms);
        self.extra_scrape_metrics = self.extra_scrape_metrics.or(defaults.extra_scrape_metrics);
    }

    /// Makes files it names relative to the folder of the configuration.
    pub fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_http_client(base);
        discovery::anchor(self, base);
    }

    /// Where its targets come from, besides those it lists.
    pub fn discoveries(&self) -> Vec<Discovery> {
        discovery::of(self)
    }

    /// How often.
    pub fn interval(&self) -> Span {
        self.scrape_interval.unwrap_or(ScrapeDefaults::INTERVAL)
    }

    /// How long a target may take.
    pub fn timeout(&self) -> Span {
        self.scrape_timeout.unwrap_or(ScrapeDefaults::TIMEOUT.min(self.interval()))
    }

    pub(super) fn histograms(&self) -> Histograms {
        Histograms {
            native: self.scrape_native_histograms.unwrap_or(false),
            convert: self.convert_classic_histograms_to_nhcb.unwrap_or(false),
            keep_classic: self.always_scrape_classic_histograms.unwrap_or(false),
        }
    }

    pub(super) fn protocols(&self) -> Vec<Protocol> {
        match &self.scrape_protocols {
            Some(protocols) => protocols.iter().map(|protocol| protocol.wire()).collect(),
            None => Protocol::defaults(self.histograms().native),
        }
    }

    pub(super) fn legacy_names(&self) -> bool {
        self.metric_name_validation_scheme == Some(NameValidation::Legacy)
    }

    pub(super) fn escaping(&self) -> Escaping {
        match self.metric_name_escaping_scheme {
            None if self.legacy_names() => Escaping::Underscores,
            None | Some(NameEscaping::AllowUtf8) => Escaping::AllowUtf8,
            Some(NameEscaping::Underscores) => Escaping::Underscores,
            Some(NameEscaping::Dots) => Escaping::Dots,
            Some(NameEscaping::Values) => Escaping::Values,
        }
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
        check_interval(self.interval(), path, problems);
        check_timeout(self.timeout(), self.interval(), path, problems);
        if !self.metrics_path.starts_with('/') {
            problems
                .error(&path.field("metrics_path"), format!("`{}` is not a path", self.metrics_path))
                .hint(format!("`/{}`", self.metrics_path));
        }
        if let Some(protocols) = &self.scrape_protocols {
            ScrapeProtocol::check_all(protocols, &path.field("scrape_protocols"), problems);
        }
        check_names(self.metric_name_validation_scheme, self.metric_name_escaping_scheme, path, problems);
        discovery::check(self, path, problems);
        let discovered = !self.discoveries().is_empty() || discovery::unsupported(self) > 0;
        if !discovered && self.static_configs.iter().all(|group| group.targets.is_empty()) {
            problems.warning(path, "the job has no target").hint("list some in `static_configs`");
        }
        for (at, group) in self.static_configs.iter().enumerate() {
            let path = path.field("static_configs").index(at);
            for (at, address) in group.targets.iter().enumerate() {
                if let Err(reason) = target::check_address(address) {
                    let path = path.field("targets").index(at);
                    problems.error(&path, reason).hint("a target is `host:port`, such as `mail.example.org:9154`");
                }
            }
        }
        self.check_made(path, problems);
        RelabelConfig::check_all(&self.relabel_configs, &path.field("relabel_configs"), problems);
        RelabelConfig::check_all(&self.metric_relabel_configs, &path.field("metric_relabel_configs"), problems);
        self.check_http_client(path, problems);
    }

    /// A target that nothing changes any more is looked at as it will be scraped; Prometheus takes it all the same.
    fn check_made(&self, path: &Path, problems: &mut Problems) {
        if !self.relabel_configs.is_empty() {
            return;
        }
        let job = Job::new(self);
        for (at, group) in self.static_configs.iter().enumerate() {
            let path = path.field("static_configs").index(at).field("targets");
            for (at, address) in group.targets.iter().enumerate().filter(|(_, it)| target::check_address(it).is_ok()) {
                let own = Labels::from_pairs([("__address__", address)]);
                if let Made::Failed(reason) = target::make(&job, target::discovered(self, &group.labels, &own)) {
                    problems
                        .warning(&path.index(at), format!("it will not be scraped: {reason}"))
                        .hint("a target is `host:port`, such as `mail.example.org:9154`");
                }
            }
        }
    }

    fn check_http_client(&self, path: &Path, problems: &mut Problems) {
        self.check_bearer(path, problems);
        self.http_client().check(path, problems);
    }
}

fn check_interval(interval: Span, path: &Path, problems: &mut Problems) {
    if interval < INTERVAL_MIN {
        problems
            .error(&path.field("scrape_interval"), format!("{interval} is too often"))
            .hint(format!("at least {INTERVAL_MIN}"));
    }
}

fn check_timeout(timeout: Span, interval: Span, path: &Path, problems: &mut Problems) {
    if timeout.is_zero() || timeout > interval {
        problems
            .error(
                &path.field("scrape_timeout"),
                format!("the timeout {timeout} is not between 0 and the interval {interval}"),
            )
            .hint("leave it out, or make it shorter than `scrape_interval`");
    }
}

fn check_names(
    validation: Option<NameValidation>,
    escaping: Option<NameEscaping>,
    path: &Path,
    problems: &mut Problems,
) {
    if validation == Some(NameValidation::Legacy) && escaping == Some(NameEscaping::AllowUtf8) {
        problems
            .error(&path.field("metric_name_escaping_scheme"), "any text is asked for, but not all of it is taken")
            .hint("`underscores`, or `metric_name_validation_scheme: utf8`");
    }
}
