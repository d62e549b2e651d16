//! Whether our own network works: if nothing that always answers does, the fault is ours, and not that of a hundred
//! services.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchbell_model::{Path, Problems, Severity};
use watchbell_runtime::{Runtime, is_private};

use super::config::{MonitorConfig, check_host, check_port, host_and_port};

/// Under which the trouble is known; its alert is called `OwnNetworkDown`.
pub(crate) const TROUBLE: &str = "own-network";

/// How long a reference may take.
const REFERENCE_TIME_MAX: Duration = Duration::from_secs(3);
/// How long a finding holds.
const HOLDS: Duration = Duration::from_secs(5);
/// The most references.
const REFERENCES_MAX: usize = 10;

/// What always answers, outside of what is watched. While none of it does, failures of monitors that look beyond our own
/// networks are held and one alert,
/// `OwnNetworkDown`, says so. It is asked only when a monitor fails.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnNetworkConfig {
    /// Two or three hosts of different owners that take TCP connections, such as public name servers.
    #[serde(default)]
    pub references: Vec<ReferenceConfig>,
}

/// Something that always takes TCP connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceConfig {
    /// The host's address, or its name.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl OwnNetworkConfig {
    /// Finds every problem that the types cannot tell.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let path = path.field("references");
        if self.references.len() > REFERENCES_MAX {
            problems
                .error(&path, format!("{} references are too many", self.references.len()))
                .hint(format!("two or three are enough; at most {REFERENCES_MAX}"));
        }
        if self.references.len() == 1 {
            problems
                .warning(&path, "there is one reference only")
                .hint("when it is down itself, every failure is held: name two or three of different owners");
        }
        for (at, reference) in self.references.iter().enumerate() {
            check_host(&reference.host, &path.index(at).field("host"), problems);
            check_port(reference.port, &path.index(at).field("port"), problems);
        }
    }
}

/// Whether a monitor looks at a network of our own, so that the way out has no part in its failures.
pub(crate) async fn is_near(monitor: &MonitorConfig, runtime: &Runtime) -> bool {
    let host = monitor.host();
    let found = runtime.clock.timeout(REFERENCE_TIME_MAX, runtime.net.resolve(&host)).await;
    matches!(found, Ok(Ok(all)) if all.iter().all(|address| is_private(*address)))
}

/// What was found last.
#[derive(Default)]
pub(crate) struct OwnNetwork {
    config: OwnNetworkConfig,
    /// When it was found, on the monotonic clock, and whether it is down.
    found: Option<(Duration, bool)>,
}

impl OwnNetwork {
    pub(crate) fn set(&mut self, config: OwnNetworkConfig) {
        if self.config != config {
            *self = OwnNetwork {
                config,
                found: self.found.filter(|(_, is_down)| *is_down).map(|(_, it)| (Duration::ZERO, it)),
            };
        }
    }

    /// Asks the references, unless that was done just now.
    pub(crate) async fn is_down(&mut self, runtime: &Runtime) -> bool {
        let now = runtime.clock.monotonic();
        if let Some((at, is_down)) = self.found
            && now.saturating_sub(at) < HOLDS
            && at > Duration::ZERO
        {
            return is_down;
        }
        if self.config.references.is_empty() {
            self.works(runtime);
            return false;
        }
        let ask = |it: &ReferenceConfig| {
            let (host, port) = (it.host.clone(), it.port);
            async move {
                let connected = runtime.clock.timeout(REFERENCE_TIME_MAX, runtime.net.connect(&host, port)).await;
                matches!(connected, Ok(Ok(_)))
            }
        };
        let mut asked: FuturesUnordered<_> = self.config.references.iter().map(ask).collect();
        let mut is_down = true;
        while let Some(answers) = asked.next().await {
            if answers {
                is_down = false;
                break;
            }
        }
        drop(asked);
        if !is_down {
            self.works(runtime);
        } else {
            let names: Vec<String> = self.config.references.iter().map(|it| host_and_port(&it.host, it.port)).collect();
            let summary = format!(
                "this host's own network is down: none of {} answers. Failures of monitors are held until one does",
                names.join(", ")
            );
            runtime.troubles.set(TROUBLE, Severity::Critical, summary);
        }
        self.found = Some((runtime.clock.monotonic(), is_down));
        is_down
    }

    /// Something outside has answered.
    pub(crate) fn works(&mut self, runtime: &Runtime) {
        if self.found.is_some_and(|(_, is_down)| is_down) {
            runtime.troubles.clear(TROUBLE);
        }
        self.found = Some((runtime.clock.monotonic(), false));
    }
}
