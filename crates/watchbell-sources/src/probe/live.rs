//! What running monitors share: what was pushed, what each saw last, and whether our own network works.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ring::digest;
use tokio::sync::Notify;
use watchbell_model::{HttpClientConfig, ProbeResult};
use watchbell_runtime::{HttpClient, Runtime};

use super::config::MonitorConfig;
use super::own_network::{OwnNetwork, OwnNetworkConfig};

/// What running monitors share. Cheap to clone.
#[derive(Clone, Default)]
pub struct Live(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    own_network: tokio::sync::Mutex<OwnNetwork>,
}

#[derive(Default)]
struct State {
    /// Monitors by the digest of their token, so that how long it takes tells nothing of a token.
    tokens: BTreeMap<Vec<u8>, String>,
    monitors: BTreeMap<String, Monitor>,
}

/// What is known of a monitor.
#[derive(Default)]
struct Monitor {
    /// Since when it is watched, on the monotonic clock.
    since: Option<Duration>,
    push: Option<Push>,
    retries: u32,
    failures: u32,
    latest: Option<ProbeResult>,
    groups: BTreeSet<String>,
    woken: Arc<Notify>,
    /// Keeps the token of OAuth 2.0.
    client: Option<(HttpClientConfig, Arc<HttpClient>)>,
}

/// What somebody tells of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// Whether it works.
    pub up: bool,
    /// What to say of it.
    pub message: String,
    /// How long it took to answer, if that was measured.
    pub took: Option<Duration>,
    /// When it came, on the monotonic clock.
    pub at: Duration,
}

/// Where a member of a group stands.
pub(crate) enum Standing {
    /// Nothing is known.
    Unknown,
    Up,
    /// With its last message.
    Down(String),
}

fn digest(token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec()
}

impl Live {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while held")
    }

    /// These monitors are watched from now on, and no others.
    pub(crate) fn apply(&self, monitors: &[MonitorConfig]) {
        let mut state = self.state();
        state.tokens = monitors
            .iter()
            .filter_map(|it| Some((digest(it.push.as_ref()?.token.expose()), it.name.clone())))
            .collect();
        state.monitors.retain(|name, _| monitors.iter().any(|it| it.name == *name));
        for config in monitors {
            let groups =
                monitors.iter().filter(|it| it.group.as_ref().is_some_and(|it| it.members.contains(&config.name)));
            let groups = groups.map(|it| it.name.clone()).collect();
            let monitor = state.monitors.entry(config.name.clone()).or_default();
            monitor.retries = config.retries;
            monitor.groups = groups;
        }
    }

    /// How the own network is judged from now on.
    pub async fn set_own_network(&self, config: OwnNetworkConfig) {
        self.0.own_network.lock().await.set(config);
    }

    /// Whether our own network, and not what was probed, is at fault for a failure.
    pub(crate) async fn is_own_network_down(&self, runtime: &Runtime) -> bool {
        self.0.own_network.lock().await.is_down(runtime).await
    }

    /// Something outside has answered.
    pub(crate) fn own_network_works(&self, runtime: &Runtime) {
        // Whoever holds it is asking just now, and will know.
        if let Ok(mut own) = self.0.own_network.try_lock() {
            own.works(runtime);
        }
    }

    /// Takes what is told of the service of the monitor with this token; `false` where there is none.
    pub fn push(&self, token: &str, push: Push) -> bool {
        let mut state = self.state();
        let Some(name) = state.tokens.get(&digest(token)).cloned() else { return false };
        let monitor = state.monitors.entry(name).or_default();
        monitor.push = Some(push);
        monitor.woken.notify_one();
        true
    }

    /// What was pushed last, and since when the monitor is watched.
    pub(crate) fn pushed(&self, name: &str) -> (Option<Push>, Option<Duration>) {
        let state = self.state();
        state.monitors.get(name).map_or((None, None), |it| (it.push.clone(), it.since))
    }

    /// The monitor is watched from now on; gives what wakes it before its time.
    pub(crate) fn begin(&self, name: &str, now: Duration) -> Arc<Notify> {
        let mut state = self.state();
        let monitor = state.monitors.entry(name.to_owned()).or_default();
        monitor.since.get_or_insert(now);
        Arc::clone(&monitor.woken)
    }

    /// What speaks as the configuration says for a monitor; the same one as long as that stays the same.
    pub(crate) fn http_client(&self, name: &str, config: HttpClientConfig) -> Arc<HttpClient> {
        let mut state = self.state();
        let kept = &mut state.monitors.entry(name.to_owned()).or_default().client;
        match kept {
            Some((of, client)) if *of == config => Arc::clone(client),
            _ => {
                let client = Arc::new(HttpClient::new(config.clone()));
                *kept = Some((config, Arc::clone(&client)));
                client
            }
        }
    }

    /// Keeps a result, and wakes the groups for which it changes something.
    pub(crate) fn saw(&self, result: &ProbeResult) {
        let mut state = self.state();
        let Some(monitor) = state.monitors.get_mut(&result.monitor) else { return };
        let was_down = monitor.is_down();
        monitor.failures = if result.success { 0 } else { monitor.failures.saturating_add(1) };
        let first = monitor.latest.replace(result.clone()).is_none();
        if first || was_down != monitor.is_down() {
            let groups = monitor.groups.clone();
            for group in groups {
                if let Some(group) = state.monitors.get(&group) {
                    group.woken.notify_one();
                }
            }
        }
    }

    /// Where a monitor stands: down once more probes failed in a row than it has retries.
    pub(crate) fn standing(&self, name: &str) -> Standing {
        let state = self.state();
        match state.monitors.get(name) {
            Some(Monitor { latest: Some(latest), .. }) if state.monitors[name].is_down() => {
                Standing::Down(latest.message.clone())
            }
            Some(Monitor { latest: Some(_), .. }) => Standing::Up,
            _ => Standing::Unknown,
        }
    }
}

impl Monitor {
    fn is_down(&self) -> bool {
        self.failures > self.retries
    }
}
