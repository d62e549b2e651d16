//! A job: a scrape configuration, ready to be used by all its targets.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use watchbell_model::Relabel;
use watchbell_wire::prometheus::accept;

use super::config::ScrapeConfig;
use super::rules::{Rules, schema_of};
use watchbell_runtime::client::HttpClient;

/// Longest body where the configuration gives no bound.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// What the targets of a job have in common.
pub(super) struct Job {
    /// Without its targets.
    pub(super) config: ScrapeConfig,
    /// `relabel_configs`.
    pub(super) relabel: Relabel,
    pub(super) client: HttpClient,
    pub(super) rules: Rules,
    pub(super) accept: String,
    /// A body is refused that is longer.
    pub(super) body_max: usize,
    /// A hash of all that it was made from, secrets included.
    pub(super) key: u64,
    /// A hash of what decides which series come of a body.
    pub(super) shape: u64,
    /// Why none of its targets is scraped, if so.
    forced: Mutex<Option<String>>,
}

impl Job {
    pub(super) fn new(config: &ScrapeConfig) -> Arc<Job> {
        let mut config = config.clone();
        config.static_configs.clear();
        let rules = Rules {
            honor_labels: config.honor_labels,
            honor_timestamps: config.honor_timestamps,
            track_staleness: config.track_timestamps_staleness,
            relabel: Relabel::new(&config.metric_relabel_configs),
            legacy_names: config.legacy_names(),
            histograms: config.histograms(),
            schema_max: schema_of(config.native_histogram_min_bucket_factor),
            fallback: config.fallback_scrape_protocol.map(|protocol| protocol.wire()),
            samples_max: config.sample_limit,
            labels_max: config.label_limit,
            label_name_max: config.label_name_length_limit,
            label_value_max: config.label_value_length_limit,
            buckets_max: config.native_histogram_bucket_limit,
        };
        // A body that is as long as the limit is refused, as in Prometheus.
        let body_max = match config.body_size_limit.0 {
            0 => BODY_BYTES_MAX,
            bytes => bytes - 1,
        };
        let client = config.http_client();
        let hash = |parts: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            parts(&mut hasher);
            hasher.finish()
        };
        Arc::new(Job {
            relabel: Relabel::new(&config.relabel_configs),
            accept: accept(&config.protocols(), config.escaping()),
            body_max: usize::try_from(body_max).unwrap_or(usize::MAX),
            // Where the targets come from is not among it.
            key: hash(&|to| {
                let asks = (&config.scrape_protocols, &config.fallback_scrape_protocol, config.escaping());
                let limits = (config.body_size_limit, config.sample_limit, config.label_limit);
                let more = (config.label_name_length_limit, config.label_value_length_limit);
                let text = format!("{asks:?} {limits:?} {more:?} {:?}", config.enable_compression);
                (text, shape(&config), &client).hash(to);
            }),
            shape: shape(&config),
            client: HttpClient::new(client),
            rules,
            config,
            forced: Mutex::new(None),
        })
    }

    /// Under which name its targets stand together: `job_name`.
    pub(super) fn pool(&self) -> &str {
        &self.config.job_name
    }

    /// Whether another job makes the same targets of what is discovered.
    pub(super) fn same_targets(&self, other: &Job) -> bool {
        let of = |it: &Job| {
            let config = &it.config;
            let times = (config.interval(), config.timeout(), config.target_limit, config.keep_dropped_targets);
            format!("{times:?} {:?} {:?} {:?}", config.metrics_path, config.scheme, config.params)
                + &format!("{:?}", config.relabel_configs)
        };
        of(self) == of(other)
    }

    /// Why none of its targets is scraped, if so.
    pub(super) fn forced(&self) -> Option<String> {
        self.forced.lock().expect("no panic while held").clone()
    }

    /// Past `target_limit` no target is scraped.
    pub(super) fn set_targets(&self, count: usize) {
        let limit = self.config.target_limit;
        let words = || format!("target_limit exceeded (number of targets: {count}, limit: {limit})");
        *self.forced.lock().expect("no panic while held") = (limit > 0 && count > limit).then(words);
    }
}

/// A hash of what decides which series come of a body.
fn shape(config: &ScrapeConfig) -> u64 {
    let flags = (config.honor_labels, config.honor_timestamps, config.track_timestamps_staleness);
    let histograms = (config.histograms(), config.native_histogram_bucket_limit, config.extra_scrape_metrics);
    let factor = config.native_histogram_min_bucket_factor.to_bits();
    let relabel = format!("{:?}", config.metric_relabel_configs);
    let mut hasher = DefaultHasher::new();
    (flags, histograms, factor, relabel, config.legacy_names()).hash(&mut hasher);
    hasher.finish()
}
