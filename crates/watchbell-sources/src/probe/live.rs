//! What running monitors share: what was pushed, what each saw last, and whether our own network works.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ring::digest;
use tokio::sync::{Notify, Semaphore, watch};
use watchbell_model::{HOME, HttpClientConfig, ProbeResult, Quorum, Verdict, Vote};
use watchbell_runtime::{HttpClient, Runtime};

use super::browser::{Browsers, BrowsersConfig, Screenshot};
use super::config::MonitorConfig;
use super::own_network::{OwnNetwork, OwnNetworkConfig};

/// What running monitors share. Cheap to clone.
#[derive(Clone, Default)]
pub struct Live(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    asks: watch::Sender<u64>,
    own_network: tokio::sync::Mutex<OwnNetwork>,
    browsers: Mutex<Browsers>,
}

#[derive(Default)]
struct State {
    /// Monitors by the digest of their token, so that how long it takes tells nothing of a token.
    tokens: BTreeMap<Vec<u8>, String>,
    monitors: BTreeMap<String, Monitor>,
    /// Places whose agents are not heard.
    away: BTreeSet<String>,
    /// By place the monitors that it is asked to probe at once.
    asked: BTreeMap<String, BTreeSet<String>>,
}

/// What is known of a monitor.
#[derive(Default)]
struct Monitor {
    /// Since when it is watched, on the monotonic clock.
    since: Option<Duration>,
    push: Option<Push>,
    retries: u32,
    quorum: Quorum,
    /// What each of its places saw last, if it saw anything yet.
    places: BTreeMap<String, Option<Seen>>,
    groups: BTreeSet<String>,
    woken: Arc<Notify>,
    /// Keeps the token of OAuth 2.0.
    client: Option<(HttpClientConfig, Arc<HttpClient>)>,
    screenshot: Option<Screenshot>,
}

/// What was seen from a place.
struct Seen {
    failures: u32,
    latest: ProbeResult,
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
            monitor.quorum = config.quorum;
            monitor.places.retain(|place, _| config.is_at(place));
            for place in config.places() {
                monitor.places.entry(place).or_default();
            }
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

    /// How browsers are started from now on, and how many.
    pub fn set_browsers(&self, config: BrowsersConfig) {
        self.0.browsers.lock().expect("no panic while held").set(config);
    }

    /// How a browser is started, and the line in which one waits for that.
    pub(crate) fn browsers(&self) -> (BrowsersConfig, Arc<Semaphore>) {
        self.0.browsers.lock().expect("no panic while held").line()
    }

    /// Keeps what a page looked like when a step of the monitor failed.
    pub(crate) fn keep_screenshot(&self, name: &str, screenshot: Screenshot) {
        self.state().monitors.entry(name.to_owned()).or_default().screenshot = Some(screenshot);
    }

    /// What the page looked like when a step of the monitor failed last, since watchbell has started.
    pub fn screenshot(&self, name: &str) -> Option<Screenshot> {
        self.state().monitors.get(name)?.screenshot.clone()
    }

    /// Keeps a result, and wakes the groups for which it changes something. When a place sees the first failure, the
    /// others are asked to look at once.
    pub(crate) fn saw(&self, result: &ProbeResult) {
        let mut state = self.state();
        let State { monitors, away, asked, .. } = &mut *state;
        let Some(monitor) = monitors.get_mut(&result.monitor) else { return };
        let before = monitor.verdict(away);
        let Some(seen) = monitor.places.get_mut(&result.place) else { return };
        let failures = seen.as_ref().map_or(0, |seen| seen.failures);
        let failures = if result.success { 0 } else { failures.saturating_add(1) };
        *seen = Some(Seen { failures, latest: result.clone() });
        if failures == 1 {
            let quiet = |seen: &&Option<Seen>| seen.as_ref().is_none_or(|seen| seen.failures == 0);
            let others: Vec<&String> =
                monitor.places.iter().filter(|(_, seen)| quiet(seen)).map(|(place, _)| place).collect();
            for place in others {
                if place == HOME {
                    monitor.woken.notify_one();
                } else {
                    asked.entry(place.clone()).or_default().insert(result.monitor.clone());
                    self.0.asks.send_modify(|asks| *asks += 1);
                }
            }
        }
        if before != monitor.verdict(away) {
            let groups = monitor.groups.clone();
            self.wake_all(&state, &groups);
        }
    }

    fn wake_all(&self, state: &State, names: &BTreeSet<String>) {
        names.iter().filter_map(|name| state.monitors.get(name)).for_each(|monitor| monitor.woken.notify_one());
    }

    /// The agent of a place is heard, or not any more.
    pub(crate) fn set_away(&self, place: &str, away: bool) {
        let mut state = self.state();
        let changed = if away { state.away.insert(place.to_owned()) } else { state.away.remove(place) };
        if !changed {
            return;
        }
        let mut groups = BTreeSet::new();
        for monitor in state.monitors.values_mut() {
            if let Some(seen) = monitor.places.get_mut(place) {
                *seen = None;
                groups.extend(monitor.groups.iter().cloned());
            }
        }
        state.asked.remove(place);
        self.wake_all(&state, &groups);
    }

    /// The monitors that a place is asked to probe at once, each asked once.
    pub(crate) fn take_asked(&self, place: &str) -> Vec<String> {
        self.state().asked.remove(place).unwrap_or_default().into_iter().collect()
    }

    /// Changes whenever a place is asked.
    pub(crate) fn asks(&self) -> watch::Receiver<u64> {
        self.0.asks.subscribe()
    }

    /// Probes a monitor at once.
    pub(crate) fn wake(&self, name: &str) {
        if let Some(monitor) = self.state().monitors.get(name) {
            monitor.woken.notify_one();
        }
    }

    /// Where a monitor stands: down once more probes failed in a row than it has retries, from as many places as it takes.
    pub(crate) fn standing(&self, name: &str) -> Standing {
        let state = self.state();
        let Some(monitor) = state.monitors.get(name) else { return Standing::Unknown };
        match monitor.verdict(&state.away) {
            Verdict::Up => Standing::Up,
            Verdict::Down => Standing::Down(monitor.message()),
            Verdict::Open | Verdict::NoQuorum => Standing::Unknown,
        }
    }
}

impl Monitor {
    fn is_down(&self, seen: &Seen) -> bool {
        seen.failures > self.retries
    }

    fn verdict(&self, away: &BTreeSet<String>) -> Verdict {
        self.quorum.judge(self.places.iter().map(|(place, seen)| match seen {
            _ if away.contains(place) => Vote::Silent,
            None => Vote::Open,
            Some(seen) if self.is_down(seen) => Vote::Down,
            Some(_) => Vote::Up,
        }))
    }

    /// What the first place that says that it is down saw.
    fn message(&self) -> String {
        let down = self.places.values().flatten().find(|seen| self.is_down(seen));
        down.map(|seen| seen.latest.message.clone()).unwrap_or_default()
    }
}
