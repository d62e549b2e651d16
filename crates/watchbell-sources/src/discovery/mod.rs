//! Discovery: where targets come from that no configuration lists one by one, as Prometheus' `*_sd_configs` say.
//!
//! A [`Discovery`] is asked again and again and gives all its targets each time, or says why it cannot: whoever asks
//! keeps what it gave last. Where one discovery asks several places (files, names, services), a place that fails keeps
//! what it gave last, and the others go on. [`here`] is another thing: what listens on this host.
//!
//! Invariant: what is discovered is bounded ([`TARGETS_MAX`], [`LABELS_BYTES_MAX`]), whatever the other side says.

mod ask;
mod aws;
mod clouds;
mod configs;
mod consul;
mod docker;
mod file;
mod foreign;
mod groups;
pub mod here;
mod http;
mod names;
mod nomad;
mod swarm;
mod target;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::time::Duration;

use watchbell_model::{HttpClientConfig, Labels, Path, Problems, Span};
use watchbell_runtime::Runtime;

use ask::Ask;
use watchbell_runtime::client::HttpClient;

pub use aws::{AwsRole, AwsSd, CloudMapSd, Ec2Sd, EcsSd, LightsailSd};
pub use clouds::{DigitalOceanRole, DigitalOceanSd, HetznerRole, HetznerSd, VultrSd};
pub(crate) use configs::with_discoveries;
pub use configs::{anchor, check, of, unsupported};
pub use consul::ConsulSd;
pub use docker::{DockerSd, Filter};
pub use file::FileSd;
pub use foreign::Foreign;
pub use http::HttpSd;
pub use names::DnsSd;
pub use nomad::NomadSd;
pub use swarm::{DockerSwarmSd, SwarmRole};

/// How many targets one discovery gives at most.
pub const TARGETS_MAX: usize = 10_000;
/// How many bytes the labels of one discovery's targets take at most.
pub const LABELS_BYTES_MAX: usize = 64 << 20;
/// How long one round may take, however many questions it has.
pub const ROUND_MAX: Duration = Duration::from_secs(300);

/// Targets that share labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// Tells it from the other groups of the same discovery: a file and the place in it, a name, a service.
    pub source: String,
    /// Labels of all its targets; a target's own win.
    pub labels: Labels,
    /// Labels of each target: `__address__` and what was learnt of it (`__meta_*`).
    pub targets: Vec<Labels>,
}

/// A place that targets come from, and what it gave last.
pub struct Discovery {
    kind: Kind,
    client: HttpClient,
    kept: Kept,
    aws: aws::Memory,
}

/// Its configuration.
#[derive(Debug, Clone, Hash)]
enum Kind {
    File(FileSd),
    Http(HttpSd),
    Dns(DnsSd),
    Docker(DockerSd),
    DockerSwarm(DockerSwarmSd),
    Aws(AwsSd),
    Ec2(Ec2Sd),
    Ecs(EcsSd),
    Lightsail(LightsailSd),
    CloudMap(CloudMapSd),
    Consul(ConsulSd),
    Hetzner(HetznerSd),
    DigitalOcean(DigitalOceanSd),
    Vultr(VultrSd),
    Nomad(NomadSd),
}

macro_rules! discoveries {
    ($($kind:ident($config:ident),)*) => {
        $(impl From<$config> for Discovery {
            fn from(config: $config) -> Discovery {
                Discovery::new(Kind::$kind(config))
            }
        })*
    };
}
discoveries! {
    File(FileSd),
    Http(HttpSd),
    Dns(DnsSd),
    Docker(DockerSd),
    DockerSwarm(DockerSwarmSd),
    Aws(AwsSd),
    Ec2(Ec2Sd),
    Ecs(EcsSd),
    Lightsail(LightsailSd),
    CloudMap(CloudMapSd),
    Consul(ConsulSd),
    Hetzner(HetznerSd),
    DigitalOcean(DigitalOceanSd),
    Vultr(VultrSd),
    Nomad(NomadSd),
}

/// What each part of a discovery gave last, by the part's name.
#[derive(Debug, Default)]
struct Kept(Mutex<BTreeMap<String, Part>>);

/// A part as it was asked last.
#[derive(Debug, Default)]
struct Part {
    /// What it gave last, if it ever did.
    groups: Option<Vec<TargetGroup>>,
    /// Why it failed, if it did.
    error: Option<String>,
    /// A hash of what it was read from, where it is read again and again.
    content: Option<u64>,
}

impl Kind {
    fn http_client(&self) -> HttpClientConfig {
        match self {
            Kind::File(_) | Kind::Dns(_) => HttpClientConfig::default(),
            Kind::Http(it) => it.http_client(),
            Kind::Docker(it) => it.http_client(),
            Kind::DockerSwarm(it) => it.http_client(),
            Kind::Aws(it) => it.http_client(),
            Kind::Ec2(it) => it.http_client(),
            Kind::Ecs(it) => it.http_client(),
            Kind::Lightsail(it) => it.http_client(),
            Kind::CloudMap(it) => it.http_client(),
            Kind::Consul(it) => it.client(),
            Kind::Hetzner(it) => it.http_client(),
            Kind::DigitalOcean(it) => it.http_client(),
            Kind::Vultr(it) => it.http_client(),
            Kind::Nomad(it) => it.http_client(),
        }
    }
}

impl Discovery {
    fn new(kind: Kind) -> Discovery {
        let client = HttpClient::new(kind.http_client());
        Discovery { kind, client, kept: Kept::default(), aws: aws::Memory::default() }
    }

    /// What kind it is: `file`, `http`, `dns`.
    pub fn name(&self) -> &'static str {
        match &self.kind {
            Kind::File(_) => "file",
            Kind::Http(_) => "http",
            Kind::Dns(_) => "dns",
            Kind::Docker(_) => "docker",
            Kind::DockerSwarm(_) => "dockerswarm",
            Kind::Aws(_) => "aws",
            Kind::Ec2(_) => "ec2",
            Kind::Ecs(_) => "ecs",
            Kind::Lightsail(_) => "lightsail",
            Kind::CloudMap(_) => "cloud_map",
            Kind::Consul(_) => "consul",
            Kind::Hetzner(_) => "hetzner",
            Kind::DigitalOcean(_) => "digitalocean",
            Kind::Vultr(_) => "vultr",
            Kind::Nomad(_) => "nomad",
        }
    }

    /// A hash of its configuration, secrets included.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.kind.hash(&mut hasher);
        hasher.finish()
    }

    /// How long to wait before it is asked again.
    pub fn refresh_interval(&self) -> Span {
        match &self.kind {
            Kind::File(it) => it.poll_interval(),
            Kind::Http(it) => it.refresh_interval,
            Kind::Dns(it) => it.refresh_interval,
            Kind::Docker(it) => it.refresh_interval,
            Kind::DockerSwarm(it) => it.refresh_interval,
            Kind::Aws(it) => it.refresh_interval,
            Kind::Ec2(it) => it.refresh_interval,
            Kind::Ecs(it) => it.refresh_interval,
            Kind::Lightsail(it) => it.refresh_interval,
            Kind::CloudMap(it) => it.refresh_interval,
            Kind::Consul(it) => it.refresh_interval,
            Kind::Hetzner(it) => it.refresh_interval,
            Kind::DigitalOcean(it) => it.refresh_interval,
            Kind::Vultr(it) => it.refresh_interval,
            Kind::Nomad(it) => it.refresh_interval,
        }
    }

    /// All its targets as they are now. The error says what was tried and why it failed; what was given last still
    /// stands then.
    pub async fn targets(&self, runtime: &Runtime) -> Result<Vec<TargetGroup>, String> {
        match runtime.clock.timeout(ROUND_MAX, Box::pin(self.round(runtime))).await {
            Ok(groups) => bounded(groups?),
            Err(_) => Err(format!("no end of the answers within {} s", ROUND_MAX.as_secs())),
        }
    }

    async fn round(&self, runtime: &Runtime) -> Result<Vec<TargetGroup>, String> {
        let timeout = self.refresh_interval().duration().max(Duration::from_secs(1));
        let ask = Ask { runtime, client: &self.client, timeout };
        match &self.kind {
            Kind::File(it) => it.targets(runtime, &self.kept),
            Kind::Http(it) => it.targets(&ask).await,
            Kind::Dns(it) => it.targets(runtime, &self.kept).await,
            Kind::Docker(it) => it.targets(&ask).await,
            Kind::DockerSwarm(it) => it.targets(&ask).await,
            Kind::Aws(it) => it.targets(&ask, &self.aws).await,
            Kind::Ec2(it) => it.targets(&ask, &self.aws).await,
            Kind::Ecs(it) => it.targets(&ask, &self.aws).await,
            Kind::Lightsail(it) => it.targets(&ask, &self.aws).await,
            Kind::CloudMap(it) => it.targets(&ask, &self.aws, &self.kept).await,
            Kind::Consul(it) => it.targets(&ask, &self.kept).await,
            Kind::Hetzner(it) => it.targets(&ask).await,
            Kind::DigitalOcean(it) => it.targets(&ask).await,
            Kind::Vultr(it) => it.targets(&ask).await,
            Kind::Nomad(it) => it.targets(&ask).await,
        }
    }
}

/// Refuses an interval that never ends.
fn check_refresh(interval: Span, path: &Path, problems: &mut Problems) {
    if interval.is_zero() {
        problems.error(&path.field("refresh_interval"), "the interval is zero").hint("such as `1m`, or leave it out");
    }
}

/// Refuses more than anybody scrapes.
fn bounded(groups: Vec<TargetGroup>) -> Result<Vec<TargetGroup>, String> {
    let count: usize = groups.iter().map(|group| group.targets.len()).sum();
    if count > TARGETS_MAX {
        return Err(format!(
            "it gives {count} targets, but {TARGETS_MAX} are the most that are taken of one discovery"
        ));
    }
    let size = |labels: &Labels| labels.as_key().len();
    let bytes: usize =
        groups.iter().map(|group| size(&group.labels) + group.targets.iter().map(size).sum::<usize>()).sum();
    if bytes > LABELS_BYTES_MAX {
        return Err(format!("the labels of its targets take {bytes} bytes, but {LABELS_BYTES_MAX} are the most"));
    }
    Ok(groups)
}

impl Kept {
    /// What a part gave when it was read from this content, if it was and all went well.
    fn known(&self, part: &str, content: u64) -> Option<Vec<TargetGroup>> {
        let kept = self.0.lock().expect("no panic while held");
        let part = kept.get(part).filter(|part| part.content == Some(content) && part.error.is_none())?;
        part.groups.clone()
    }

    /// Notes what a part is read from, before its answer is known.
    fn read_from(&self, part: &str, content: u64) {
        let mut kept = self.0.lock().expect("no panic while held");
        kept.entry(part.to_owned()).or_default().content = Some(content);
    }

    /// Puts the parts' answers together: one that failed gives what it gave last, one that is not there any more gives
    /// nothing. Only if all of them failed and nothing was ever given, that is an error.
    fn renew(
        &self,
        name: &str,
        parts: Vec<(String, Result<Vec<TargetGroup>, String>)>,
    ) -> Result<Vec<TargetGroup>, String> {
        let mut kept = self.0.lock().expect("no panic while held");
        let mut renewed: BTreeMap<String, Part> = BTreeMap::new();
        for (name_of_part, answer) in parts {
            let mut part = kept.remove(&name_of_part).unwrap_or_default();
            match answer {
                Ok(groups) => {
                    part.groups = Some(groups);
                    part.error = None;
                }
                Err(error) => {
                    // Said once, and again when something else is wrong.
                    if part.error.as_ref() != Some(&error) {
                        tracing::warn!(discovery = name, part = name_of_part, "its last targets stand: {error}");
                    }
                    part.error = Some(error);
                }
            }
            renewed.insert(name_of_part, part);
        }
        *kept = renewed;
        let errors: Vec<&str> = kept.values().filter_map(|part| part.error.as_deref()).collect();
        match errors.is_empty() || kept.values().any(|part| part.groups.is_some()) {
            true => Ok(kept.values().flat_map(|part| part.groups.iter().flatten()).cloned().collect()),
            false => Err(errors.join("; ")),
        }
    }
}
