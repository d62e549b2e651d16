//! The side that hears agents: gives them their monitors, takes what they saw, and notices when they fall silent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use watchbell_model::{
    Batch, Change, HOME, Labels, Observation, Point, Secret, Severity, Span, StateError, Timestamp, stale_nan,
};
use watchbell_runtime::{CancellationToken, Task};

use super::config::PlaceConfig;
use super::exchange::{Answer, Assignment, Entry, Exchange, PROTOCOL, RefusedMonitor, Seen};
use super::standing::{PlaceState, PlaceStatus};
use crate::Context;
use crate::probe::{self, EgressConfig, MonitorConfig, OwnNetworkConfig};

/// How long an agent that has nothing to say waits for an answer that has nothing to say either.
const HOLD: Duration = Duration::from_secs(2);
/// How long samples may take to be kept before they are dropped.
const APPEND_MAX: Duration = Duration::from_secs(5);
/// How far an agent's clock may be off before somebody is told.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(5);
/// How many former starts of an agent are remembered, to tell two agents of one name from one that was started again.
const FORMER_MAX: usize = 16;
/// A silence that was not told, or not judged, is looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What of an agent's reports was judged, by place: a report that is sent again after a restart counts no second time.
const TAKEN: &str = "place.taken";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Taken {
    run: String,
    next: u64,
}

/// Why an agent is turned away.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The configuration does not name the place.
    #[error("there is no place `{0}` in the configuration; add it to `places`")]
    Unknown(String),
    /// It speaks another version.
    #[error("the agent speaks version {agent} of the protocol and the server {PROTOCOL}: renew the {older}")]
    Protocol {
        /// The agent's.
        agent: u32,
        /// Which side.
        older: &'static str,
    },
    /// Another agent was started later.
    #[error("another agent reports as `{0}`: stop one of them, or give this one a place and a token of its own")]
    Twice(String),
    /// What it saw cannot be judged now.
    #[error(transparent)]
    State(#[from] StateError),
}

/// All places. Cheap to clone.
#[derive(Clone)]
pub struct Places(Arc<Shared>);

struct Shared {
    context: Context,
    state: Mutex<State>,
    /// Changes when assignments change.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    places: BTreeMap<String, Place>,
    /// How many monitors are probed from home.
    at_home: usize,
}

struct Place {
    config: PlaceConfig,
    monitors: BTreeMap<String, Monitor>,
    assignment: Arc<Assignment>,
    /// One exchange at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// What was judged; `None` before the first exchange since the start.
    taken: Option<Taken>,
    former: VecDeque<String>,
    /// From when it is expected, on the monotonic clock, and when it was heard.
    expected: Duration,
    heard: Option<(Duration, Timestamp)>,
    is_silent: bool,
    /// When a silence is looked at again.
    look_again: Duration,
    said: Said,
}

struct Monitor {
    config: MonitorConfig,
    /// Whether the store was told what its samples are.
    described: bool,
}

/// What an agent said of itself last.
#[derive(Clone, Default)]
struct Said {
    version: Option<String>,
    lag: Duration,
    waiting: u64,
    dropped: u64,
    ahead_ms: Option<i64>,
    own_network: Option<String>,
    refused: Vec<RefusedMonitor>,
}

impl Places {
    /// No places yet.
    pub fn new(context: Context) -> Places {
        Places(Arc::new(Shared { context, state: Mutex::default(), changed: watch::Sender::new(0) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while held")
    }

    /// These are the places from now on. `documents` are the monitors of other places as the configuration has them,
    /// as JSON, by name.
    pub fn apply(
        &self,
        places: &[PlaceConfig],
        monitors: &[MonitorConfig],
        documents: &BTreeMap<String, Secret>,
        egress: &EgressConfig,
        own_network: &OwnNetworkConfig,
    ) {
        let now = self.0.context.runtime.clock.monotonic();
        let troubles = &self.0.context.runtime.troubles;
        let mut state = self.state();
        state.at_home = monitors.iter().filter(|monitor| monitor.is_at(HOME)).count();
        let mut former = std::mem::take(&mut state.places);
        for config in places {
            let mine = monitors.iter().filter(|monitor| monitor.is_at(&config.name));
            let mine: BTreeMap<String, Monitor> =
                mine.map(|it| (it.name.clone(), Monitor { config: it.clone(), described: false })).collect();
            let texts: Vec<&str> = mine.keys().filter_map(|name| Some(documents.get(name)?.expose())).collect();
            let own_network = config.own_network.as_ref().unwrap_or(own_network).clone();
            let assignment = Arc::new(Assignment {
                id: id_of(&texts, egress, &own_network),
                monitors: texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect(),
                egress: egress.clone(),
                own_network,
            });
            let place = match former.remove(&config.name) {
                Some(known) => Place { config: config.clone(), monitors: mine, assignment, ..known },
                None => Place {
                    config: config.clone(),
                    monitors: mine,
                    assignment,
                    turn: Arc::default(),
                    taken: None,
                    former: VecDeque::new(),
                    expected: now,
                    heard: None,
                    is_silent: false,
                    look_again: Duration::ZERO,
                    said: Said::default(),
                },
            };
            state.places.insert(config.name.clone(), place);
        }
        for name in former.keys() {
            for trouble in ["place", "place-agent", "place-clock", "place-monitors", probe::OWN_NETWORK_TROUBLE] {
                troubles.clear(&format!("{trouble}/{name}"));
            }
            self.0.context.live.set_away(name, false);
        }
        drop(state);
        self.0.changed.send_modify(|changes| *changes += 1);
    }

    /// Takes what the agent of a place saw, and says what it is to do. Waits a little if there is nothing to say.
    ///
    /// # Errors
    /// If the agent is turned away; what it saw is then not taken.
    pub async fn exchange(&self, name: &str, exchange: Exchange) -> Result<Answer, ExchangeError> {
        let Shared { context, .. } = &*self.0;
        let clock = &context.runtime.clock;
        let received_at = clock.now();
        if exchange.protocol != PROTOCOL {
            let older = if exchange.protocol < PROTOCOL { "agent" } else { "server" };
            return Err(ExchangeError::Protocol { agent: exchange.protocol, older });
        }
        let unknown = || ExchangeError::Unknown(name.to_owned());
        let (mut asks, mut changes) = (context.live.asks(), self.0.changed.subscribe());
        let turn = self.state().places.get(name).map(|place| Arc::clone(&place.turn)).ok_or_else(unknown)?;
        let quiet = exchange.entries.is_empty();
        let assignment = exchange.assignment;
        // An agent that hangs up half-way must not leave behind what was judged and is not known to be.
        let (done, answer) = oneshot::channel();
        let (places, place) = (self.clone(), name.to_owned());
        context.runtime.supervisor.detached(async move {
            let _held = turn.lock_owned().await;
            let taken = match places.recognise(&place, &exchange) {
                Ok((taken, returns)) => places.take(&place, exchange, taken, returns, received_at).await,
                Err(error) => Err(error),
            };
            // One that hung up is answered by nobody.
            let _ = done.send(taken);
        });
        let closed = || StateError { doing: "written", reason: "watchbell is stopping".to_owned() };
        let next = answer.await.map_err(|_| closed())??;
        let mut probe_now = context.live.take_asked(name);
        let current = || self.state().places.get(name).map(|place| Arc::clone(&place.assignment));
        let mut wanted = current().ok_or_else(unknown)?;
        if quiet && probe_now.is_empty() && wanted.id == assignment {
            let said = async {
                loop {
                    tokio::select! {
                        biased;
                        _ = asks.changed() => {}
                        _ = changes.changed() => {}
                    }
                    let asked = context.live.take_asked(name);
                    if !asked.is_empty() || current().is_none_or(|wanted| wanted.id != assignment) {
                        return asked;
                    }
                }
            };
            probe_now = clock.timeout(HOLD, said).await.unwrap_or_default();
            wanted = current().ok_or_else(unknown)?;
        }
        Ok(Answer {
            place: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            next,
            received_at,
            answered_at: clock.now(),
            assignment: (wanted.id != assignment).then(|| (*wanted).clone()),
            probe_now,
        })
    }

    /// Which of its reports were judged already, and whether it was not heard before.
    fn recognise(&self, name: &str, exchange: &Exchange) -> Result<(Taken, bool), ExchangeError> {
        let runtime = &self.0.context.runtime;
        let mut state = self.state();
        let place = state.places.get_mut(name).ok_or_else(|| ExchangeError::Unknown(name.to_owned()))?;
        let twice = format!("place-agent/{name}");
        if place.former.contains(&exchange.run) {
            let words = format!("two agents report as place `{name}`: stop one of them, or give it a place of its own");
            runtime.troubles.set(&twice, Severity::Warning, words);
            return Err(ExchangeError::Twice(name.to_owned()));
        }
        let known = match &place.taken {
            Some(taken) => taken.clone(),
            None => match self.0.context.state.get(TAKEN, name)? {
                Some(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
                None => Taken::default(),
            },
        };
        let taken = if known.run == exchange.run {
            known
        } else {
            if place.taken.is_some() {
                place.former.push_back(known.run);
                if place.former.len() > FORMER_MAX {
                    place.former.pop_front();
                }
            }
            // One that was started again is no second one.
            runtime.troubles.clear(&twice);
            Taken { run: exchange.run.clone(), next: 0 }
        };
        place.taken = Some(taken.clone());
        Ok((taken, place.is_silent || place.heard.is_none()))
    }

    /// Judges and keeps what was not judged yet; gives the number of the first that is not taken.
    async fn take(
        &self,
        name: &str,
        exchange: Exchange,
        taken: Taken,
        returns: bool,
        received_at: Timestamp,
    ) -> Result<u64, ExchangeError> {
        let Shared { context, .. } = &*self.0;
        let lag = exchange.entries.first().map_or(Duration::ZERO, |entry| Duration::from_millis(entry.age_ms));
        let next = (exchange.first + exchange.entries.len() as u64).max(taken.next);
        let done = usize::try_from(taken.next.saturating_sub(exchange.first)).unwrap_or(usize::MAX);
        let said = Said {
            version: Some(exchange.version),
            lag,
            waiting: exchange.waiting,
            dropped: exchange.dropped,
            ahead_ms: exchange.ahead_ms,
            own_network: exchange.own_network,
            refused: exchange.refused,
        };
        let entries: Vec<Entry> = exchange.entries.into_iter().skip(done).collect();
        let read = {
            let state = self.state();
            let place = state.places.get(name).ok_or_else(|| ExchangeError::Unknown(name.to_owned()))?;
            place.read(entries, received_at)
        };
        let mut seen: Vec<Observation> = Vec::new();
        if returns {
            seen.push(Observation::Place(name.to_owned(), true));
        }
        seen.extend(read.judged.iter().cloned().map(Observation::Probe));
        let taken = Taken { next, ..taken };
        // What counts is counted once: failures are, and with them is written that they were.
        let counts = read.judged.iter().any(|result| !result.success);
        let with = if counts { vec![Change::put(TAKEN, name, &taken)] } else { Vec::new() };
        if !seen.is_empty() {
            context.observe.observe(seen, with).await?;
        }
        if returns {
            context.live.set_away(name, false);
        }
        read.judged.iter().for_each(|result| context.live.saw(result));
        self.append(name, read.points, &read.monitors).await;
        {
            let now = context.runtime.clock.monotonic();
            let mut state = self.state();
            if let Some(place) = state.places.get_mut(name) {
                place.taken = Some(taken);
                place.heard = Some((now, context.runtime.clock.now()));
                place.is_silent = false;
                self.count_dropped(name, place.said.dropped, said.dropped);
                place.said = said.clone();
            }
        }
        self.tell(name, &said);
        Ok(next)
    }

    async fn append(&self, name: &str, points: Vec<Point>, monitors: &BTreeSet<String>) {
        let runtime = &self.0.context.runtime;
        if points.is_empty() {
            return;
        }
        let count = points.len() as u64;
        let mut batch = Batch::of("probe", points);
        if let Some(place) = self.state().places.get_mut(name) {
            for (_, monitor) in place.monitors.iter_mut().filter(|(name, it)| monitors.contains(*name) && !it.described)
            {
                monitor.described = true;
                batch.metadata.extend(probe::metadata(&monitor.config));
            }
        }
        let kept = match runtime.clock.timeout(APPEND_MAX, self.0.context.append.append(batch)).await {
            Ok(Ok(appended)) => appended.kept,
            Ok(Err(error)) => {
                tracing::warn!(place = name, %error, "samples of probes are lost");
                0
            }
            Err(_) => {
                tracing::warn!(place = name, "samples of probes are lost: the store did not answer in time");
                0
            }
        };
        let lost = runtime.metrics.counter(
            "watchbell_probe_samples_dropped_total",
            "Samples of probes that the store did not keep.",
            &[],
        );
        lost.add(count.saturating_sub(kept));
    }

    fn count_dropped(&self, name: &str, before: u64, now: u64) {
        // An agent that was started again counts from 0.
        let more = if now >= before { now - before } else { now };
        if more > 0 {
            let help = "Results that agents dropped since their buffer was full, by place.";
            let counter = self.0.context.runtime.metrics.counter(
                "watchbell_place_results_dropped_total",
                help,
                &[("place", name)],
            );
            counter.add(more);
        }
    }

    /// Writes on the board what an agent says is wrong, and that it is heard.
    fn tell(&self, name: &str, said: &Said) {
        let troubles = &self.0.context.runtime.troubles;
        let tell = |family: &str, severity: Severity, words: Option<String>| {
            let key = format!("{family}/{name}");
            match words {
                Some(words) => troubles.set(&key, severity, words),
                None => troubles.clear(&key),
            }
        };
        tell("place", Severity::Critical, None);
        let own = said.own_network.as_ref().map(|words| format!("place {name}: {words}"));
        tell(probe::OWN_NETWORK_TROUBLE, Severity::Critical, own);
        let off = said.ahead_ms.filter(|ahead| u128::from(ahead.unsigned_abs()) > CLOCK_OFF_MAX.as_millis());
        let clock = off.map(|ahead| {
            let (by, way) = (Span::seconds(ahead.unsigned_abs() / 1000), if ahead > 0 { "ahead of" } else { "behind" });
            format!("the clock of place {name} is {by} {way} this host's")
        });
        tell("place-clock", Severity::Warning, clock);
        let refused = said.refused.first().map(|first| {
            let (count, version) = (said.refused.len(), said.version.as_deref().unwrap_or("?"));
            let RefusedMonitor { monitor, reason } = first;
            format!("the agent of place {name} ({version}) cannot probe {count} of its monitors, such as {monitor}: {reason}")
        });
        tell("place-monitors", Severity::Warning, refused);
    }

    /// The task that notices when an agent falls silent.
    pub fn task(&self) -> Task {
        let places = self.clone();
        Task::new("silence", 0, move |stop| {
            let places = places.clone();
            async move { places.watch_silence(stop).await }
        })
    }

    async fn watch_silence(&self, stop: CancellationToken) {
        let clock = self.0.context.runtime.clock.clone();
        let mut changes = self.0.changed.subscribe();
        loop {
            let next = self.state().places.values().map(Place::due).min();
            let wait = next.map_or(LOOK_AGAIN, |at| at.saturating_sub(clock.monotonic()));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = changes.changed() => {}
                () = clock.sleep(wait) => {}
            }
            let now = clock.monotonic();
            let due = |(name, place): (&String, &Place)| (place.due() <= now).then(|| name.clone());
            let due: Vec<String> = self.state().places.iter().filter_map(due).collect();
            for name in due {
                self.fall_silent(&name).await;
            }
        }
    }

    /// Nothing was heard of a place for too long.
    async fn fall_silent(&self, name: &str) {
        let Shared { context, .. } = &*self.0;
        let Some(turn) = self.state().places.get(name).map(|place| Arc::clone(&place.turn)) else { return };
        let _held = turn.lock().await;
        let now = context.runtime.clock.monotonic();
        let was_silent = match self.state().places.get_mut(name) {
            // It was heard meanwhile.
            Some(place) if place.due() > now => return,
            Some(place) => {
                place.look_again = now + LOOK_AGAIN;
                place.is_silent
            }
            None => return,
        };
        if !was_silent {
            let seen = vec![Observation::Place(name.to_owned(), false)];
            if let Err(error) = context.observe.observe(seen, Vec::new()).await {
                tracing::warn!(place = name, %error, "its silence cannot be judged");
                return;
            }
            context.live.set_away(name, true);
            if let Some(place) = self.state().places.get_mut(name) {
                place.is_silent = true;
                (place.said.own_network, place.said.lag) = (None, Duration::ZERO);
            }
            context.runtime.troubles.clear(&format!("{}/{name}", probe::OWN_NETWORK_TROUBLE));
        }
        // Where this host's own network is down, that is told, and silence is its consequence.
        if context.live.is_own_network_down(&context.runtime).await {
            return;
        }
        let told = {
            let state = self.state();
            state.places.get(name).map(|place| (place.config.severity, state.words(name, place)))
        };
        if let Some((severity, words)) = told {
            context.runtime.troubles.set(&format!("place/{name}"), severity, words);
        }
    }

    /// All places, home first.
    pub fn statuses(&self) -> Vec<PlaceStatus> {
        let state = self.state();
        let home = PlaceStatus {
            name: HOME.to_owned(),
            state: PlaceState::Here,
            heard_at: None,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            monitors: state.at_home,
            lag: 0.0,
            waiting: 0,
            dropped: 0,
            clock_ahead: None,
            own_network: self.trouble(probe::OWN_NETWORK_TROUBLE),
            refused: Vec::new(),
        };
        let status = |(name, place): (&String, &Place)| PlaceStatus {
            name: name.clone(),
            state: match (place.is_silent, place.heard) {
                (true, _) => PlaceState::Silent,
                (false, Some(_)) => PlaceState::Heard,
                (false, None) => PlaceState::Expected,
            },
            heard_at: place.heard.map(|(_, at)| at),
            version: place.said.version.clone(),
            monitors: place.monitors.len(),
            lag: place.said.lag.as_secs_f64(),
            waiting: place.said.waiting,
            dropped: place.said.dropped,
            clock_ahead: place.said.ahead_ms.map(|ahead| ahead as f64 / 1e3),
            own_network: place.said.own_network.clone(),
            refused: place.said.refused.clone(),
        };
        [home].into_iter().chain(state.places.iter().map(status)).collect()
    }

    fn trouble(&self, key: &str) -> Option<String> {
        self.0.context.runtime.troubles.list().into_iter().find(|it| it.key == key).map(|it| it.summary)
    }
}

impl State {
    /// What is said of a place that is silent.
    fn words(&self, name: &str, place: &Place) -> String {
        let since = match place.heard {
            Some((_, at)) => format!("nothing was heard of its agent since {at}"),
            None => "nothing was heard of its agent since watchbell started".to_owned(),
        };
        let silent = |place: &str| self.places.get(place).is_some_and(|it| it.is_silent);
        let blind = place.monitors.values().filter(|monitor| {
            let places = monitor.config.places();
            let voters = places.iter().filter(|place| !silent(place.as_str())).count();
            voters < monitor.config.quorum.of(voters)
        });
        let (all, blind) = (place.monitors.len(), blind.count());
        let blind = match blind {
            0 => "all can still be judged from other places".to_owned(),
            blind => format!("{blind} cannot be judged without it"),
        };
        let blind = if all == 0 { String::new() } else { format!(", and {blind}") };
        let monitors = if all == 1 { "monitor" } else { "monitors" };
        format!("place {name} is silent: {since}; it probes {all} {monitors}{blind}")
    }
}

impl Place {
    /// When its silence is to be looked at.
    fn due(&self) -> Duration {
        let silent = self.heard.map_or(self.expected, |(at, _)| at) + self.config.silent_after.duration();
        silent.max(self.look_again)
    }

    /// What of these entries is judged, and the samples of all.
    fn read(&self, entries: Vec<Entry>, received_at: Timestamp) -> Read {
        let mut read = Read::default();
        for Entry { age_ms, seen } in entries {
            let age = Duration::from_millis(age_ms);
            let at = Timestamp(received_at.as_millis().saturating_sub(i64::try_from(age_ms).unwrap_or(i64::MAX)));
            match seen {
                Seen::Result(mut result) if age <= self.config.silent_after.duration() => {
                    if self.monitors.contains_key(&result.monitor) {
                        (result.place, result.at) = (self.config.name.clone(), at);
                        // What failed before it worked is over, and nobody is told of it now.
                        if result.success {
                            read.judged.retain(|before| before.monitor != result.monitor);
                        }
                        read.judged.push(result);
                    }
                }
                Seen::Result(_) => {}
                Seen::Samples(samples) => {
                    samples.into_iter().for_each(|(labels, value)| self.add(&mut read, labels, value, at))
                }
            }
        }
        read
    }

    /// Adds a sample of one of its monitors; an agent has no say in what other series there are.
    fn add(&self, read: &mut Read, labels: Labels, value: Option<f64>, at: Timestamp) {
        let Some(monitor) = labels.get("monitor").and_then(|name| self.monitors.get(name)) else { return };
        if !labels.get(Labels::NAME).is_some_and(|name| name.starts_with("probe_")) {
            return;
        }
        let base = probe::base(&monitor.config, &self.config.name);
        let labels = labels.iter().chain(base.iter());
        read.points.push(Point {
            labels: Labels::from_pairs(labels),
            timestamp: at,
            value: value.unwrap_or_else(stale_nan),
        });
        read.monitors.insert(monitor.config.name.clone());
    }
}

/// What an exchange brought.
#[derive(Default)]
struct Read {
    judged: Vec<watchbell_model::ProbeResult>,
    points: Vec<Point>,
    /// The monitors of the points.
    monitors: BTreeSet<String>,
}

fn id_of(texts: &[&str], egress: &EgressConfig, own_network: &OwnNetworkConfig) -> u64 {
    let mut hasher = DefaultHasher::new();
    (texts, egress, own_network).hash(&mut hasher);
    // 0 is an agent's that has none yet.
    hasher.finish().max(1)
}
