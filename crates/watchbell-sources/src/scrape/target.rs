//! A target: where it is, what its samples are labelled with, how it is asked.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use watchbell_model::{Labels, Secret, Span, Timestamp, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::http::Request;
use watchbell_wire::prometheus::{ACCEPT, Limits};

use super::config::{ScrapeConfig, StaticConfig};

/// Longest body where the configuration gives no bound.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// How many redirects are followed.
const REDIRECTS_MAX: u32 = 10;
/// The first scrape comes within this time, however long the interval.
const FIRST_WITHIN: Span = Span::seconds(5);

/// What to scrape and how, taken from the configuration.
#[derive(Clone)]
pub(super) struct Target {
    /// Unique among the targets.
    pub(super) name: String,
    pub(super) url: Url,
    /// Of all that is scraped from it, `job` and `instance` among them.
    pub(super) labels: Labels,
    /// What the configuration said before labels were made of it, as Prometheus' API shows it.
    pub(super) discovered: Labels,
    pub(super) interval: Span,
    pub(super) timeout: Span,
    pub(super) rules: Rules,
    credentials: Option<Credentials>,
    ca_file: Option<PathBuf>,
    verify: bool,
    redirects_max: u32,
    pub(super) body_max: u64,
}

/// How a body becomes samples.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Rules {
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: bool,
    /// Past any of these the scrape fails; 0 is no bound.
    pub(crate) samples_max: usize,
    pub(crate) labels_max: usize,
    pub(crate) label_name_max: usize,
    pub(crate) label_value_max: usize,
}

impl Rules {
    pub(super) fn limits(&self) -> Limits {
        Limits::default()
    }
}

/// The value of the header `Authorization`.
#[derive(Clone)]
struct Credentials {
    kind: Kind,
    secret: Held,
}

#[derive(Clone)]
enum Kind {
    Basic { user: String },
    Other(String),
}

#[derive(Clone)]
enum Held {
    Given(Secret),
    File(PathBuf),
}

/// All targets of these jobs; what has the same labels and address twice is scraped once.
pub(super) fn targets(configs: &[ScrapeConfig]) -> Vec<Target> {
    let mut found: BTreeMap<String, Target> = BTreeMap::new();
    for config in configs {
        for group in &config.static_configs {
            for address in &group.targets {
                // A bad address was refused by `check`.
                let Ok(mut target) = target(config, group, address) else { continue };
                match found.get(&target.name) {
                    Some(same) if same.labels == target.labels && same.url == target.url => continue,
                    Some(_) => target.name = format!("{} {:016x}", target.name, target.identity()),
                    None => {}
                }
                found.insert(target.name.clone(), target);
            }
        }
    }
    found.into_values().collect()
}

/// The address that a target gives, or what is wrong with it.
pub(super) fn address(config: &ScrapeConfig, group: &StaticConfig, target: &str) -> Result<Url, String> {
    if target.is_empty() || target.contains(['/', '?', '#', '@']) {
        return Err(format!("`{target}` is not an address of a host"));
    }
    let scheme = group.labels.get("__scheme__").unwrap_or(config.scheme.as_str());
    let path = group.labels.get("__metrics_path__").unwrap_or(&config.metrics_path);
    let mut params: BTreeMap<&str, Vec<&str>> = config
        .params
        .iter()
        .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect()))
        .collect();
    for (name, value) in group.labels.iter() {
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
    format!("{scheme}://{target}{path}{question}{}", query.join("&")).parse::<Url>().map_err(|error| error.to_string())
}

fn target(config: &ScrapeConfig, group: &StaticConfig, target: &str) -> Result<Target, String> {
    let url = address(config, group, target)?;
    let given = group.labels.iter();
    let labels = Labels::from_pairs(
        [("job", config.job_name.as_str()), ("instance", target)]
            .into_iter()
            .chain(given.filter(|(name, _)| !name.starts_with("__"))),
    );
    let own = [
        ("__address__", target.to_owned()),
        ("__scheme__", config.scheme.as_str().to_owned()),
        ("__metrics_path__", config.metrics_path.clone()),
        ("__scrape_interval__", config.scrape_interval.to_string()),
        ("__scrape_timeout__", config.timeout().to_string()),
        ("job", config.job_name.clone()),
    ];
    let given = group.labels.iter().map(|(name, value)| (name, value.to_owned()));
    let credentials = match (&config.basic_auth, &config.authorization) {
        (Some(basic), _) => held(&basic.password, &basic.password_file)
            .map(|secret| Credentials { kind: Kind::Basic { user: basic.username.clone() }, secret }),
        (None, Some(other)) => held(&other.credentials, &other.credentials_file)
            .map(|secret| Credentials { kind: Kind::Other(other.kind.trim().to_owned()), secret }),
        (None, None) => None,
    };
    let body_max = match config.body_size_limit.0 {
        0 => BODY_BYTES_MAX,
        bytes => bytes,
    };
    Ok(Target {
        name: format!("{}/{}", config.job_name, labels.get("instance").unwrap_or(target)),
        url,
        discovered: Labels::from_pairs(own.into_iter().chain(given)),
        labels,
        interval: config.scrape_interval,
        timeout: config.timeout(),
        rules: Rules {
            honor_labels: config.honor_labels,
            honor_timestamps: config.honor_timestamps,
            samples_max: config.sample_limit,
            labels_max: config.label_limit,
            label_name_max: config.label_name_length_limit,
            label_value_max: config.label_value_length_limit,
        },
        credentials,
        ca_file: config.tls_config.ca_file.clone(),
        verify: !config.tls_config.insecure_skip_verify,
        redirects_max: if config.follow_redirects { REDIRECTS_MAX } else { 0 },
        body_max,
    })
}

fn held(given: &Option<Secret>, file: &Option<PathBuf>) -> Option<Held> {
    given.clone().map(Held::Given).or_else(|| file.clone().map(Held::File))
}

/// Percent-encoding of a query's part.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
        out
    })
}

impl Target {
    pub(super) fn job(&self) -> &str {
        self.labels.get("job").unwrap_or_default()
    }

    pub(super) fn instance(&self) -> &str {
        self.labels.get("instance").unwrap_or_default()
    }

    /// The same after every restart, so that a target keeps its place in the interval.
    fn identity(&self) -> u64 {
        self.labels.with("__url__", self.url.as_str()).fingerprint()
    }

    /// A hash of all that it was made from, secrets included.
    pub(super) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.name, &self.url, &self.labels, self.interval, self.timeout, self.rules).hash(&mut hasher);
        (&self.ca_file, self.verify, self.redirects_max, self.body_max).hash(&mut hasher);
        if let Some(credentials) = &self.credentials {
            match &credentials.kind {
                Kind::Basic { user } => ("basic", user).hash(&mut hasher),
                Kind::Other(kind) => kind.hash(&mut hasher),
            }
            match &credentials.secret {
                Held::Given(secret) => secret.expose().hash(&mut hasher),
                Held::File(path) => path.hash(&mut hasher),
            }
        }
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

    /// The request, with what its files hold now.
    pub(super) fn request(&self, disk: &Disk) -> Result<Request, String> {
        let timeout = self.timeout.duration();
        let mut request = Request::get(self.url.clone())
            .header("accept", ACCEPT)
            .header("x-prometheus-scrape-timeout-seconds", timeout.as_secs_f64().to_string());
        request.timeout = timeout;
        request.body_max = usize::try_from(self.body_max).unwrap_or(usize::MAX);
        request.redirects_max = self.redirects_max;
        request.verify = self.verify;
        let cannot = |path: &Path, error: io::Error| format!("{} cannot be read: {error}", path.display());
        if let Some(path) = &self.ca_file {
            request.tls.roots_pem = Some(disk.read(path).map_err(|error| cannot(path, error))?);
        }
        if let Some(credentials) = &self.credentials {
            let secret = match &credentials.secret {
                Held::Given(secret) => secret.expose().to_owned(),
                Held::File(path) => disk.read_text(path).map_err(|error| cannot(path, error))?.trim().to_owned(),
            };
            let value = match &credentials.kind {
                Kind::Basic { user } => format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))),
                Kind::Other(kind) => format!("{kind} {secret}"),
            };
            request = request.header("authorization", value);
        }
        Ok(request)
    }
}

fn millis(span: Span) -> u64 {
    u64::try_from(span.duration().as_millis()).unwrap_or(u64::MAX / 4).clamp(1, u64::MAX / 4)
}
