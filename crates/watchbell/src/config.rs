//! `watchbell.yml`: composed from each part's own struct, read strictly, every error at once with its place.
//!
//! The structs are the file, the manual (`docs/reference/config.md`) and the schema (`docs/reference/config.schema.json`);
//! a test writes the latter two. Loading never stops at the first error and never touches what runs.

mod check;
mod decode;
mod files;
pub mod manual;
mod modules;
mod prometheus;
mod report;
mod salvage;
mod scrapes;
mod secrets;
mod shown;
mod yaml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::addresses::PingAddressesConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_alarms::composite::AlarmConfig;
use watchbell_alarms::rule::RuleFile;
use watchbell_alarms::unit_test::TestFile;
use watchbell_alerts::{
    DowntimeConfig, EscalationConfig, InhibitRule, MatcherMode, RouteConfig, ScheduleConfig, TimeInterval,
};
use watchbell_http::{CallbacksConfig, HealthchecksConfig, QueryConfig, SinkConfig, StatusPageConfig};
use watchbell_model::{
    ByteSize, Labels, Level, Problem, Problems, RelabelConfig, RunbookRef, Secret, Segment, Span, Url,
};
use watchbell_notify::{Library, ReceiverConfig, RunbooksConfig, Templates};
use watchbell_query::promql::Features;
use watchbell_runtime::Runtime;
use watchbell_sources::heartbeat::{HeartbeatConfig, PingMailConfig};
use watchbell_sources::host::HostConfig;
use watchbell_sources::intake::OtlpConfig;
use watchbell_sources::place::PlaceConfig;
use watchbell_sources::probe::blackbox::ModuleConfig;
use watchbell_sources::probe::{BrowsersConfig, EgressConfig, MonitorConfig, OwnNetworkConfig};
use watchbell_sources::scrape::{NameEscaping, NameValidation, ScrapeConfig, ScrapeProtocol};
use watchbell_store::{MetricsConfig, RemoteConfig, RemoteReadConfig, RemoteWriteConfig};

use salvage::Salvaged;

use crate::deadman::{self, DeadmanConfig};
use crate::forward::AlertmanagerConfig;

pub use modules::Modules;
pub use prometheus::{ExemplarsConfig, RuntimeConfig, TracingConfig, TsdbConfig};
pub use report::{Finding, one as render_finding, render as render_findings};
pub use secrets::SecretConfig;
pub use shown::secret_fields;

/// Where watchbell listens when nothing is said.
pub const ADDRESS_DEFAULT: &str = "127.0.0.1:9800";

/// The name under which the rules of the pack `host` are shown.
const HOST_PACK: &str = "packs/host";

/// The whole configuration. Every part may be left out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "watchbell.yml")]
pub struct Config {
    /// What this watchbell is called and where people reach it.
    #[serde(default)]
    pub site: SiteConfig,
    /// Where it listens.
    #[serde(default = "Config::default_listeners")]
    pub listeners: Vec<ListenerConfig>,
    /// Where it keeps what it knows, and for how long.
    #[serde(default)]
    pub storage: StorageConfig,
    /// Secrets by name, used anywhere as `${secret:name}`.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretConfig>,
    /// Defaults of scrapes, rules and alerts, under Prometheus' and Alertmanager's names.
    #[serde(default)]
    pub global: GlobalConfig,
    /// Ready-made alarms with their run books.
    #[serde(default = "Config::default_packs")]
    pub packs: Vec<Pack>,
    /// This host's own metrics, and watchbell's.
    #[serde(default)]
    pub host: HostConfig,
    /// Services found listening on this host, watched as monitors of their own.
    #[serde(default)]
    pub discovery: DiscoveryConfig,
    /// Services watched from outside.
    #[serde(default)]
    pub monitors: Vec<MonitorConfig>,
    /// Networks from which agents probe (`watchbell agent`), besides this one, which is `home`.
    #[serde(default)]
    pub places: Vec<PlaceConfig>,
    /// Ways to probe what somebody asks for at `/probe`, by name, as in blackbox_exporter's `blackbox.yml`.
    #[serde(default)]
    pub modules: BTreeMap<String, ModuleConfig>,
    /// Files with further `modules`, such as a `blackbox.yml`, relative to this file; `*` stands for any part of a file
    /// name.
    #[serde(default)]
    pub module_files: Vec<String>,
    /// Where monitors and modules may connect to.
    #[serde(default)]
    pub egress: EgressConfig,
    /// The browser of monitors with `browser`.
    #[serde(default)]
    pub browsers: BrowsersConfig,
    /// What tells whether this host's own network works.
    #[serde(default)]
    pub own_network: OwnNetworkConfig,
    /// Scheduled jobs that report when they have run.
    #[serde(default)]
    pub heartbeats: Vec<HeartbeatConfig>,
    /// Alarms of other alarms.
    #[serde(default)]
    pub alarms: Vec<AlarmConfig>,
    /// The API by which clients of Healthchecks make and read heartbeats.
    #[serde(default)]
    pub healthchecks: HealthchecksConfig,
    /// The first part of `/ping/<key>/<slug>`; made up once and kept if it is not given.
    #[serde(default)]
    pub ping_key: Option<Secret>,
    /// How `watchbell apply` writes heartbeats' addresses.
    #[serde(default)]
    pub ping_addresses: PingAddressesConfig,
    /// Pings that come by mail; off unless it is given.
    #[serde(default)]
    pub ping_mail: Option<PingMailConfig>,
    /// Prometheus targets.
    #[serde(default)]
    pub scrape_configs: Vec<ScrapeConfig>,
    /// What queries may take.
    #[serde(default)]
    pub query: QueryConfig,
    /// Files with further `scrape_configs`, relative to this file; `*` stands for any part of a file name.
    #[serde(default)]
    pub scrape_config_files: Vec<String>,
    /// Prometheus' own traces: checked, and left alone.
    #[serde(default)]
    pub tracing: Option<TracingConfig>,
    /// Of Go's runtime, as a `prometheus.yml` may have it: without effect.
    #[serde(default)]
    pub runtime: RuntimeConfig,
    /// Metrics that come by OpenTelemetry's protocol.
    #[serde(default)]
    pub otlp: OtlpConfig,
    /// Where samples go on to, as in a `prometheus.yml`, each with a queue of its own: short for `storage.metrics.remote.write`
    /// and `also`.
    #[serde(default)]
    pub remote_write: Vec<RemoteWriteConfig>,
    /// Where samples are read back from: one at most, short for `storage.metrics.remote.read`.
    #[serde(default)]
    pub remote_read: Vec<RemoteReadConfig>,
    /// Prometheus rule files, relative to this file; `*` stands for any part of a file name.
    #[serde(default)]
    pub rule_files: Vec<String>,
    /// What is done with the alerts of rules before they are raised, as in a `prometheus.yml`.
    #[serde(default)]
    pub alerting: AlertingConfig,
    /// Who is told of which alert, in Alertmanager's shape. Without it every alert goes to the first receiver.
    #[serde(default)]
    pub route: Option<RouteConfig>,
    /// How matchers are read: as Alertmanager does by default, or as it does with `--enable-feature=utf8-strict-mode` or
    /// `classic-mode`.
    #[serde(default)]
    pub matcher_mode: MatcherMode,
    /// Where pages go, in Alertmanager's shape.
    #[serde(default)]
    pub receivers: Vec<ReceiverConfig>,
    /// Who notices when watchbell is dead, since it is not asked any more: dead man's switches.
    #[serde(default)]
    pub deadman: Vec<DeadmanConfig>,
    /// Which alerts keep others quiet.
    #[serde(default)]
    pub inhibit_rules: Vec<InhibitRule>,
    /// Known periods in which certain alerts page nobody; what is still broken when one ends is told of then.
    #[serde(default)]
    pub downtimes: Vec<DowntimeConfig>,
    /// Pages for those who use what is watched.
    #[serde(default)]
    pub status_pages: Vec<StatusPageConfig>,
    /// Named times for routes.
    #[serde(default)]
    pub time_intervals: Vec<TimeInterval>,
    /// The older name of `time_intervals`.
    #[serde(default)]
    #[schemars(extend("deprecated" = true))]
    pub mute_time_intervals: Vec<TimeInterval>,
    /// People who take turns being told.
    #[serde(default)]
    pub schedules: Vec<ScheduleConfig>,
    /// Who is told after whom while nobody acknowledges.
    #[serde(default)]
    pub escalations: Vec<EscalationConfig>,
    /// Files of templates that receivers may call, relative to this file, as Alertmanager has them; `*` stands for any
    /// part of a file name.
    #[serde(default)]
    pub templates: Vec<String>,
    /// The run books.
    #[serde(default)]
    pub runbooks: RunbooksConfig,
    /// `POST /sink`, where other tools send alerts.
    #[serde(default)]
    pub sink: SinkConfig,
    /// Buttons of providers by which a page is acknowledged.
    #[serde(default)]
    pub callbacks: CallbacksConfig,
}

/// A set of ready-made alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pack {
    /// This host's disks and memory.
    Host,
}

/// What this watchbell is called and where people reach it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteConfig {
    /// Its name in pages and in the UI.
    #[serde(default = "SiteConfig::default_name")]
    pub name: String,
    /// The address under which a phone reaches it; every link in a page begins with it. By default the first
    /// listener's, which only this machine can open.
    #[serde(default)]
    pub url: Option<Url>,
    /// The time zone of the times in pictures: `Europe/Berlin`, `UTC`, or `Local` for this machine's.
    #[serde(default = "SiteConfig::default_time_zone")]
    pub time_zone: String,
}

impl SiteConfig {
    fn default_name() -> String {
        "watchbell".into()
    }

    fn default_time_zone() -> String {
        "UTC".into()
    }
}

impl Default for SiteConfig {
    fn default() -> SiteConfig {
        SiteConfig { name: SiteConfig::default_name(), url: None, time_zone: SiteConfig::default_time_zone() }
    }
}

/// One address on which it listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// `ADDRESS:PORT`, such as `127.0.0.1:9800` or `[::]:9800`. On a loopback address the programs of this machine need
    /// no credentials for pings, queries and alerts; on any other address everything but pings asks for them.
    pub address: String,
}

/// Where it keeps what it knows, and for how long.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The folder, on a local disk. `--data` goes before it.
    #[serde(default = "StorageConfig::default_path")]
    pub path: PathBuf,
    /// Keeps its state on a network file system all the same, where a crash may damage it.
    #[serde(default)]
    pub allow_network_filesystem: bool,
    /// The metrics.
    #[serde(default)]
    pub metrics: MetricsConfig,
    /// How Prometheus says some of it.
    #[serde(default)]
    pub tsdb: TsdbConfig,
    /// How Prometheus says how many exemplars are kept.
    #[serde(default)]
    pub exemplars: ExemplarsConfig,
}

impl StorageConfig {
    /// How the metrics are kept, whichever way it is written.
    fn metrics(&self) -> MetricsConfig {
        let mut metrics = self.metrics.clone();
        self.tsdb.fill(&mut metrics);
        self.exemplars.fill(&mut metrics);
        metrics
    }

    /// How the metrics are kept in this folder, where a share of its file system may be meant.
    ///
    /// # Errors
    /// If the file system cannot be asked how big it is.
    pub fn metrics_in(&self, folder: &Path) -> std::io::Result<MetricsConfig> {
        let mut metrics = self.metrics();
        if let Some(share) = self.tsdb.share(folder)? {
            metrics.retention_size =
                if metrics.retention_size == 0 { share } else { metrics.retention_size.min(share) };
        }
        Ok(metrics)
    }

    fn default_path() -> PathBuf {
        "watchbell-data".into()
    }
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig {
            path: StorageConfig::default_path(),
            allow_network_filesystem: false,
            metrics: MetricsConfig::default(),
            tsdb: TsdbConfig::default(),
            exemplars: ExemplarsConfig::default(),
        }
    }
}

watchbell_notify::with_channel_defaults! {
    /// Defaults under Prometheus' and Alertmanager's names.
    #[derive(Debug, Clone, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct GlobalConfig {
        /// How often targets are scraped, unless their job says.
        #[serde(default = "GlobalConfig::default_interval")]
        pub scrape_interval: Span,
        /// How long a target may take, unless its job says: `10s`, or the interval if that is shorter.
        #[serde(default)]
        pub scrape_timeout: Option<Span>,
        /// The formats that targets are asked for, the best first, unless their job says.
        #[serde(default)]
        pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
        /// Taken as Prometheus takes it; failures stand in the log and on the page of the targets.
        #[serde(default)]
        pub scrape_failure_log_file: Option<PathBuf>,
        /// Taken from a `prometheus.yml` without effect: slow queries are told in watchbell's own log.
        #[serde(default)]
        pub query_log_file: Option<PathBuf>,
        /// `body_size_limit` of jobs that give none.
        #[serde(default)]
        pub body_size_limit: ByteSize,
        /// `sample_limit` of jobs that give none.
        #[serde(default)]
        pub sample_limit: usize,
        /// `label_limit` of jobs that give none.
        #[serde(default)]
        pub label_limit: usize,
        /// `label_name_length_limit` of jobs that give none.
        #[serde(default)]
        pub label_name_length_limit: usize,
        /// `label_value_length_limit` of jobs that give none.
        #[serde(default)]
        pub label_value_length_limit: usize,
        /// `target_limit` of jobs that give none.
        #[serde(default)]
        pub target_limit: usize,
        /// `keep_dropped_targets` of jobs that give none.
        #[serde(default)]
        pub keep_dropped_targets: usize,
        /// Which names of metrics and labels are taken, unless the job says.
        #[serde(default)]
        pub metric_name_validation_scheme: Option<NameValidation>,
        /// What targets are asked to do with names that are not identifiers, unless the job says.
        #[serde(default)]
        pub metric_name_escaping_scheme: Option<NameEscaping>,
        /// Whether native histograms are taken as such, unless the job says.
        #[serde(default)]
        pub scrape_native_histograms: bool,
        /// Whether classic histograms become native ones with custom buckets, unless the job says.
        #[serde(default)]
        pub convert_classic_histograms_to_nhcb: bool,
        /// Whether classic series are kept beside the native histogram, unless the job says.
        #[serde(default)]
        pub always_scrape_classic_histograms: bool,
        /// Whether `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes` are written, unless the job
        /// says.
        #[serde(default)]
        pub extra_scrape_metrics: bool,
        /// How often rules are evaluated, unless their group says.
        #[serde(default = "GlobalConfig::default_interval")]
        pub evaluation_interval: Span,
        /// How far back rules look, unless their group says; for data that arrives late.
        #[serde(default)]
        pub rule_query_offset: Span,
        /// Labels of this watchbell. Alerts of rules get those they do not have, and templates of rules see them as
        /// `$externalLabels`.
        #[serde(default)]
        pub external_labels: Labels,
        /// After how long an alert of a foreign sender that gave no end counts as resolved unless it is sent again.
        #[serde(default = "GlobalConfig::default_resolve_timeout")]
        pub resolve_timeout: Span,
    }
}

impl GlobalConfig {
    fn default_interval() -> Span {
        Span::minutes(1)
    }
    fn default_resolve_timeout() -> Span {
        Span::minutes(5)
    }
}

impl Default for GlobalConfig {
    fn default() -> GlobalConfig {
        serde_json::from_value(serde_json::json!({})).expect("every part may be left out")
    }
}

/// What is done with the alerts of rules before they are raised.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertingConfig {
    /// Changes the labels of alerts, or drops them, as in Prometheus. The label `source` names the alarm.
    #[serde(default)]
    pub alert_relabel_configs: Vec<RelabelConfig>,
    /// Alertmanagers elsewhere that are told too, as Prometheus tells them (`alertmanager_config`), so that they can stay
    /// until their routes and receivers are here.
    #[serde(default)]
    pub alertmanagers: Vec<serde_json::Value>,
    /// Those as they were read.
    #[serde(skip)]
    pub read: Vec<Result<AlertmanagerConfig, String>>,
}

/// Services found listening on this host.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscoveryConfig {
    /// Whether to look for them at the start. By default only when there is no configuration file.
    #[serde(default)]
    pub enabled: Option<bool>,
}

impl Config {
    fn default_packs() -> Vec<Pack> {
        vec![Pack::Host]
    }

    fn default_listeners() -> Vec<ListenerConfig> {
        vec![ListenerConfig { address: ADDRESS_DEFAULT.into() }]
    }

    /// The store beyond this machine, whichever way it is written.
    pub fn remote(&self) -> Option<RemoteConfig> {
        let short = || RemoteConfig::of_prometheus(&self.remote_write, self.remote_read.first().cloned());
        let remote = self.storage.metrics.remote.clone().or_else(short)?;
        Some(RemoteConfig { external_labels: self.global.external_labels.clone(), ..remote })
    }

    /// The addresses of the listeners; those that are not addresses are left out (`check` has named them).
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.address.parse().ok()).collect()
    }

    /// The address every link begins with.
    pub fn site_url(&self) -> Url {
        let text = match (&self.site.url, self.addresses().first()) {
            (Some(url), _) => return url.clone(),
            (None, Some(address)) if !address.ip().is_unspecified() => format!("http://{address}"),
            (None, Some(address)) => format!("http://localhost:{}", address.port()),
            (None, None) => format!("http://{ADDRESS_DEFAULT}"),
        };
        text.parse().expect("an address with a port is a web address")
    }
}

/// A configuration as it was read, good or not.
pub struct Loaded {
    /// The configuration; `None` if any finding is an error.
    pub good: Option<Good>,
    /// Everything that is wrong or doubtful.
    pub findings: Vec<Finding>,
    /// Every file it was read from, and folders in which new ones may appear; a change is a reason to read again.
    pub watched: Vec<PathBuf>,
}

/// A configuration without an error, and what it names.
#[derive(Clone)]
pub struct Good {
    /// The file.
    pub config: Config,
    /// Modules of probes, of all files.
    pub modules: Modules,
    /// Rule files, by the name they were found under.
    pub rules: Vec<(String, RuleFile)>,
    /// The run books, our own among them.
    pub library: std::sync::Arc<Library>,
    /// Templates of files.
    pub templates: std::sync::Arc<Templates>,
    /// Whether there was a configuration file at all.
    pub from_file: bool,
    /// It as text, without its secrets.
    pub shown: String,
    /// Monitors of places elsewhere as JSON, for their agents, by name.
    pub elsewhere: BTreeMap<String, Secret>,
}

/// Reads the configuration from these files (merged in order), or gives the default one if there are none.
pub async fn load(runtime: &Runtime, paths: &[PathBuf]) -> Loaded {
    let mut files = files::Files::default();
    let mut root = files.read_all(runtime, paths);
    let base = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new("")).to_owned();

    let schema = manual::schema();
    let mut problems = Problems::new();
    let top = watchbell_model::Path::root();
    let sources: BTreeMap<String, SecretConfig> = files::part(&root, "secrets", &schema).unwrap_or_default();
    let values = secrets::fetch(&sources, runtime, &base).await;
    secrets::substitute(&mut root, &values, &top, &mut problems);
    let shown = shown::text(&root, &schema);
    let json = decode::decode(&root, &schema, &top, &mut problems);

    // What is wrong in one place does not keep the rest from being checked.
    let salvaged = salvage::salvage(json, &problems);
    let mut good = None;
    match serde_json::from_value::<Config>(salvaged.json.clone()) {
        Ok(mut config) => {
            files::anchor(&mut config, &base);
            scrapes::complete(&mut config, &mut files, runtime, &base);
            let modules = modules::all(&config, &root, &mut files, runtime, &base);
            files.features = config.query.features();
            let mut rules = files.rules(runtime, &config.rule_files, &base);
            if config.packs.contains(&Pack::Host) && config.host.enabled {
                let job = format!("job={:?}", config.host.job);
                let pack = crate::embedded::HOST_RULES.replace("job=\"host\"", &job);
                rules.push((HOST_PACK.into(), files::rules_of(&pack)));
            }
            if !config.deadman.is_empty() {
                // First, so that its alert has the name that the route knows.
                rules.insert(0, (deadman::PACK.into(), files::rules_of(crate::embedded::DEADMAN_RULES)));
            }
            let (library, mut found) = library(runtime, &config.runbooks);
            let templates = files.templates(runtime, &config.templates, &base, &mut found);
            check::check(&config, &rules, &library, &templates, &mut found);
            check::browser(&config, runtime, &mut found);
            if ["receivers", "schedules", "escalations"].iter().any(|part| Salvaged::is_broken(&problems, part)) {
                // A receiver that could not be read is not one that is missing.
                let names_some = |problem: &Problem| {
                    matches!(problem.path.0.first(), Some(Segment::Field(part))
                        if ["route", "schedules", "escalations"].contains(&part.as_str()))
                };
                found.0.retain(|problem| !(names_some(problem) && problem.message.starts_with("there is no ")));
            }
            let back = |problem: Problem| Problem { path: salvaged.original(problem.path), ..problem };
            problems.0.extend(found.0.into_iter().map(back));
            let library = std::sync::Arc::new(library);
            let templates = std::sync::Arc::new(templates);
            let elsewhere = elsewhere(&salvaged.json);
            let from_file = !paths.is_empty();
            good = Some(Good { config, modules, rules, library, templates, from_file, shown, elsewhere });
        }
        Err(error) if !problems.has_errors() => {
            problems.error(&top, error.to_string());
        }
        Err(_) => {}
    }
    let errors = problems.has_errors();
    let mut findings = report::locate(problems, &root, &files.names);
    findings.append(&mut files.findings);
    // Findings are logged, shown and paged, whatever check wrote them.
    for finding in &mut findings {
        secrets::conceal(&values, &mut finding.problem);
    }
    findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    if errors || findings.iter().any(|finding| finding.problem.level == Level::Error) {
        good = None;
    }
    // Also of a refused one: the run book that was missing may be written next.
    let mut watched = files.names;
    watched.extend(files.folders);
    watched.push(PathBuf::from(runbooks_in(&root, &schema, &base).dir));
    Loaded { good, findings, watched }
}

/// Monitors that name places, as they were written. Files that they name are those of the agent's machine.
fn elsewhere(json: &serde_json::Value) -> BTreeMap<String, Secret> {
    let monitors = json["monitors"].as_array().into_iter().flatten();
    let named = monitors.filter(|monitor| monitor["places"].as_array().is_some_and(|places| !places.is_empty()));
    named.filter_map(|it| Some((it["name"].as_str()?.to_owned(), Secret::new(it.to_string())))).collect()
}

/// A file of unit tests of rules with the rule files it names, if there is nothing wrong with them, and what was found.
pub(crate) fn load_tests(
    runtime: &Runtime,
    path: &Path,
) -> (Option<(TestFile, Vec<(String, RuleFile)>)>, Vec<Finding>) {
    // What is tried out in a test need not be switched on.
    let mut files = files::Files { features: Features::ALL, ..files::Files::default() };
    let read = files.tests(runtime, path);
    let wrong = files.findings.iter().any(|finding| finding.problem.level == Level::Error);
    (read.filter(|_| !wrong), files.findings)
}

/// Rule files by themselves, and what was found in them.
pub(crate) fn load_rules(
    runtime: &Runtime,
    paths: &[PathBuf],
    features: Features,
) -> (Vec<(String, RuleFile)>, Vec<Finding>) {
    let mut files = files::Files { features, ..files::Files::default() };
    let patterns: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let rules = files.rules(runtime, &patterns, Path::new(""));
    (rules, files.findings)
}

/// The run books of the folder, and watchbell's own below them.
pub(crate) fn library(runtime: &Runtime, config: &RunbooksConfig) -> (Library, Problems) {
    // The folder's name was made relative to the configuration's own by `anchor`.
    let (library, problems) = Library::load(&runtime.disk, config, Path::new(""));
    (library.with_fallback(Library::embedded(config, crate::embedded::RUNBOOKS)), problems)
}

/// Where watchbell keeps what it knows and where people reach it, even of a configuration that is refused; the rest is
/// as if nothing were said.
pub fn reach_of(runtime: &Runtime, paths: &[PathBuf]) -> Config {
    let root = files::Files::default().read_all(runtime, paths);
    let schema = manual::schema();
    let mut config: Config = serde_json::from_value(serde_json::json!({})).expect("every part may be left out");
    config.site = files::part(&root, "site", &schema).unwrap_or_default();
    config.storage = files::part(&root, "storage", &schema).unwrap_or_default();
    if let Some(listeners) = files::part(&root, "listeners", &schema) {
        config.listeners = listeners;
    }
    config
}

/// The run book folder and what is asked of run books, even of a configuration that is refused.
pub fn runbooks_of(runtime: &Runtime, paths: &[PathBuf]) -> RunbooksConfig {
    let root = files::Files::default().read_all(runtime, paths);
    runbooks_in(&root, &manual::schema(), paths.first().and_then(|path| path.parent()).unwrap_or(Path::new("")))
}

fn runbooks_in(root: &yaml::Node, schema: &serde_json::Value, base: &Path) -> RunbooksConfig {
    let mut config: RunbooksConfig = files::part(root, "runbooks", schema).unwrap_or_default();
    config.dir = base.join(&config.dir).display().to_string();
    config
}

/// The run book of a monitor or heartbeat when its configuration names none and none is asked for.
pub(crate) fn runbook_or(given: Option<&RunbookRef>, otherwise: &str) -> RunbookRef {
    given.cloned().unwrap_or_else(|| RunbookRef::Named(otherwise.to_owned()))
}
