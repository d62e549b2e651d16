//! A target: what is known of it, what relabelling makes of that, where it is and when it is asked.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use watchbell_model::{LabelSet, Labels, Span, Timestamp, Url};
use watchbell_runtime::http::Request;
use watchbell_wire::prometheus::Histograms;

use super::config::{ScrapeConfig, StaticConfig};
use super::job::Job;
use crate::discovery::TargetGroup;
use watchbell_runtime::client::escape;

/// The first scrape comes within this time, however long the interval.
const FIRST_WITHIN: Span = Span::seconds(5);

const NATIVE: &str = "__scrape_native_histograms__";
const CONVERT: &str = "__convert_classic_histograms_to_nhcb__";
const KEEP_CLASSIC: &str = "__always_scrape_classic_histograms__";

/// What to scrape and how.
#[derive(Clone)]
pub(super) struct Target {
    /// Unique among the targets.
    pub(super) name: String,
    pub(super) job: Arc<Job>,
    pub(super) url: Url,
    /// Of all that is scraped from it, `job` and `instance` among them.
    pub(super) labels: Labels,
    /// What was known of it before relabelling.
    pub(super) discovered: Labels,
    pub(super) interval: Span,
    pub(super) timeout: Span,
    pub(super) histograms: Histograms,
}

/// What becomes of what was discovered.
pub(super) enum Made {
    Target(Box<Target>),
    /// Relabelling dropped it.
    Dropped,
    /// It cannot be scraped, and why.
    Failed(String),
}

/// The targets of `static_configs`, as a discovery gives them.
pub(super) fn of_static(configs: &[StaticConfig]) -> Vec<TargetGroup> {
    let group = |(at, config): (usize, &StaticConfig)| TargetGroup {
        source: at.to_string(),
        labels: config.labels.clone(),
        targets: config.targets.iter().map(|address| Labels::from_pairs([("__address__", address)])).collect(),
    };
    configs.iter().enumerate().map(group).collect()
}

/// Whether a target's address can be one, as far as Prometheus looks.
pub(super) fn check_address(address: &str) -> Result<(), String> {
    if address.is_empty() || address.contains(['/', '?', '#', '@']) {
        return Err(format!("`{address}` is not an address of a host"));
    }
    Ok(())
}

/// What is known of a target before relabelling: its own labels, those of its group, what the job says.
pub(super) fn discovered(config: &ScrapeConfig, group: &Labels, own: &Labels) -> Labels {
    let mut set = LabelSet::of(group);
    own.iter().for_each(|(name, value)| set.set(name, value));
    let said = |flag: bool| if flag { "true" } else { "false" }.to_owned();
    let histograms = config.histograms();
    let defaults = [
        ("job", config.job_name.clone()),
        ("__scrape_interval__", config.interval().to_string()),
        ("__scrape_timeout__", config.timeout().to_string()),
        ("__metrics_path__", config.metrics_path.clone()),
        ("__scheme__", config.scheme.as_str().to_owned()),
        (CONVERT, said(histograms.convert)),
        (KEEP_CLASSIC, said(histograms.keep_classic)),
        (NATIVE, said(histograms.native)),
    ];
    for (name, value) in defaults {
        if set.get(name).is_empty() {
            set.set(name, &value);
        }
    }
    for (name, values) in &config.params {
        let name = format!("__param_{name}");
        if let Some(value) = values.first().filter(|_| set.get(&name).is_empty()) {
            set.set(&name, value);
        }
    }
    set.labels()
}

/// What relabelling makes of it.
pub(super) fn make(job: &Arc<Job>, discovered: Labels) -> Made {
    let mut set = LabelSet::of(&discovered);
    if !job.relabel.change(&mut set) {
        return Made::Dropped;
    }
    match made(job, set, discovered) {
        Ok(Some(target)) => Made::Target(Box::new(target)),
        Ok(None) => Made::Dropped,
        Err(reason) => Made::Failed(reason),
    }
}

fn made(job: &Arc<Job>, mut set: LabelSet, discovered: Labels) -> Result<Option<Target>, String> {
    let address = set.get("__address__").to_owned();
    if address.is_empty() {
        return Err("no address".into());
    }
    check_address(&address)?;
    let span = |name: &str, what: &str| {
        let text = set.get(name);
        let span = text.parse::<Span>().map_err(|error| format!("error parsing scrape {what}: {error}"))?;
        if span.is_zero() { Err(format!("scrape {what} cannot be 0")) } else { Ok(span) }
    };
    let interval = span("__scrape_interval__", "interval")?;
    let timeout = span("__scrape_timeout__", "timeout")?;
    if timeout > interval {
        return Err(format!("scrape timeout cannot be greater than scrape interval (\"{timeout}\" > \"{interval}\")"));
    }
    let flag = |name: &str, default: bool, what: &str| match set.get(name) {
        "" => Ok(default),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        text => Err(format!("error parsing {what}: `{text}` is neither true nor false")),
    };
    let of_job = job.rules.histograms;
    let histograms = Histograms {
        native: flag(NATIVE, of_job.native, "scrape native histograms")?,
        convert: flag(CONVERT, of_job.convert, "convert classic histograms to nhcb")?,
        keep_classic: flag(KEEP_CLASSIC, of_job.keep_classic, "always scrape classic histograms")?,
    };
    if set.get("instance").is_empty() {
        set.set("instance", &address);
    }
    let url = url(&job.config, &set, &address)?;
    set.retain(|name| !name.starts_with("__"));
    let labels = set.labels();
    if labels.is_empty() {
        return Ok(None);
    }
    let name = format!("{}/{}", job.pool(), labels.get("instance").unwrap_or(&address));
    Ok(Some(Target { name, job: Arc::clone(job), url, labels, discovered, interval, timeout, histograms }))
}

/// No port is added; the path and the parameters are escaped.
fn url(config: &ScrapeConfig, set: &LabelSet, address: &str) -> Result<Url, String> {
    let mut params: BTreeMap<&str, Vec<&str>> = config
        .params
        .iter()
        .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect()))
        .collect();
    for (name, value) in set.iter() {
        if let Some(name) = name.strip_prefix("__param_") {
            // As in Prometheus, the label is the first value.
            let values = params.entry(name).or_default();
            if values.is_empty() { values.push(value) } else { values[0] = value }
        }
    }
    let query: Vec<String> = params
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| format!("{}={}", escape(name), escape(value))))
        .collect();
    let question = if query.is_empty() { "" } else { "?" };
    let path = set.get("__metrics_path__").bytes().fold(String::new(), |mut out, b| {
        match b {
            b'?' | b'#' | b'%' | b' '..=b' ' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | b'\\' => {
                out.push_str(&format!("%{b:02X}"));
            }
            0x21..=0x7e => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
        out
    });
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    let scheme = set.get("__scheme__");
    format!("{scheme}://{address}{slash}{path}{question}{}", query.join("&"))
        .parse::<Url>()
        .map_err(|error| error.to_string())
}

impl Target {
    /// The label `job`.
    pub(super) fn job_label(&self) -> &str {
        self.labels.get("job").unwrap_or_default()
    }

    pub(super) fn instance(&self) -> &str {
        self.labels.get("instance").unwrap_or_default()
    }

    /// The same after every restart, so that a target keeps its place in the interval.
    pub(super) fn identity(&self) -> u64 {
        self.labels.with("__url__", self.url.as_str()).fingerprint()
    }

    /// Whether it is the same target twice.
    pub(super) fn is_same(&self, other: &Target) -> bool {
        self.labels == other.labels && self.url == other.url && self.interval == other.interval
    }

    /// A hash of all that it was made from, secrets included; what was known before relabelling does not matter.
    pub(super) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.name, &self.url, &self.labels, self.interval, self.timeout, self.histograms, self.job.key)
            .hash(&mut hasher);
        hasher.finish()
    }

    /// When it is scraped first: soon, but not all targets at once.
    pub(super) fn first_slot(&self, now: Timestamp) -> Timestamp {
        let within = millis(self.interval.min(FIRST_WITHIN));
        now + Duration::from_millis(self.identity() % within)
    }

    /// When it is scraped next: at its own place in each interval, counted from the epoch.
    pub(super) fn next_slot(&self, now: Timestamp) -> Timestamp {
        let step = millis(self.interval);
        let place = (self.identity() % step) as i64;
        let step = step as i64;
        Timestamp(now.0 - (now.0 - place).rem_euclid(step) + step)
    }

    /// The request, but for what goes with every request of the job.
    pub(super) fn request(&self) -> Request {
        let timeout = self.timeout.duration();
        let encoding = if self.job.config.enable_compression { "gzip" } else { "identity" };
        let mut request = Request::get(self.url.clone())
            .header("accept", &*self.job.accept)
            .header("accept-encoding", encoding)
            .header("x-prometheus-scrape-timeout-seconds", timeout.as_secs_f64().to_string());
        request.timeout = timeout;
        request.body_max = self.job.body_max;
        request
    }
}

fn millis(span: Span) -> u64 {
    u64::try_from(span.duration().as_millis()).unwrap_or(u64::MAX / 4).clamp(1, u64::MAX / 4)
}
