//! Heartbeats: a scheduled job reports, and its silence pages somebody.
//!
//! Takes pings at Healthchecks' addresses and with its answers, so that every client written for it works unchanged.
//! Whether a job is late is judged elsewhere; here a ping is checked, numbered and handed on. A heartbeat is *configured*
//! (it stands in the configuration, and only there it is changed) or *made* while watchbell runs, by a ping with
//! `?create=1` or by the API ([`made`]).
//!
//! Invariants: a ping is answered with `200` only when it and what was judged of it are on disk, in one commit, and so is
//! a heartbeat with what is expected of it; a heartbeat keeps its last [`LOG_MAX`] pings.

mod config;
mod definition;
mod log;
mod made;
mod mail;
mod request;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use watchbell_model::{Change, Observation, Ping, PingKind, Secret, StateError, Timestamp};
use watchbell_runtime::fault;
use watchbell_runtime::metrics::Counter;

use crate::Context;

pub use config::{AddressTo, HeartbeatConfig, KeywordsConfig, Place, variable_of};
pub use definition::{Alerting, Definition, ScheduleKind, slug_of};
pub use log::{LOG_MAX, PingRecord};
pub use made::{ChangeError, Held, MADE_MAX};
pub use mail::PingMailConfig;
pub use request::{BODY_MAX, HEADERS, PingAction, PingAnswer, PingRequest, PingTarget};

/// Where the addresses that were made up are kept, by the heartbeats' names.
const ADDRESSES: &str = "sources.heartbeat";
/// Where the ping key that was made up is kept.
const PING_KEY: &str = "sources.ping_key";

/// All heartbeats: takes their pings and knows their addresses. Cheap to clone.
#[derive(Clone)]
pub struct Heartbeats(Arc<Inner>);

struct Inner {
    context: Context,
    set: RwLock<Set>,
    /// Held by whoever changes which heartbeats there are.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// How many may be made.
    limit: AtomicUsize,
    counts: Counts,
}

/// Pings by what became of them.
struct Counts {
    kept: Counter,
    failed: Counter,
    unknown: Counter,
}

#[derive(Default)]
struct Set {
    key: Secret,
    by_id: BTreeMap<String, Arc<Heartbeat>>,
    by_uuid: BTreeMap<String, Arc<Heartbeat>>,
    by_slug: BTreeMap<String, Vec<Arc<Heartbeat>>>,
    /// What was made, by UUID, also what the configuration stands before.
    made: BTreeMap<String, Made>,
}

struct Heartbeat {
    id: String,
    uuid: String,
    /// When it was made; `None` if it is configured.
    made_at: Option<Timestamp>,
    definition: Definition,
    /// Of a configured one.
    alerting: Option<Alerting>,
    live: Arc<Live>,
}

/// What goes on when the rest is changed.
#[derive(Default)]
struct Live {
    /// The number of its last ping, counted from its first one on.
    pings: AtomicU64,
    paused: AtomicBool,
}

/// A heartbeat as it is known here; how it stands is known elsewhere, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The alarm is `heartbeat/<id>`: the name in the configuration, or the UUID.
    pub id: String,
    /// Its own address.
    pub uuid: String,
    /// Whether it stands in the configuration, and is changed only there.
    pub configured: bool,
    /// What is wanted of it.
    pub definition: Definition,
    /// What is wanted of its alerts, if it is configured.
    pub alerting: Option<Alerting>,
    /// How many pings came, ever.
    pub pings: u64,
}

/// What is kept under the name of a configured heartbeat.
#[derive(Serialize, Deserialize)]
struct Kept {
    uuid: String,
    #[serde(default)]
    paused: bool,
}

/// What is kept of one that was made, under its UUID.
#[derive(Clone, Serialize, Deserialize)]
struct Made {
    made_at: Timestamp,
    #[serde(default)]
    paused: bool,
    definition: Definition,
}

impl Heartbeat {
    fn known(&self) -> Known {
        Known {
            id: self.id.clone(),
            uuid: self.uuid.clone(),
            configured: self.made_at.is_none(),
            definition: self.definition.clone(),
            alerting: self.alerting.clone(),
            pings: self.live.pings.load(Ordering::SeqCst),
        }
    }

    /// Writes down whether it is paused.
    fn kept(&self, paused: bool) -> Change {
        match self.made_at {
            None => Change::put(ADDRESSES, &self.id, &Kept { uuid: self.uuid.clone(), paused }),
            Some(made_at) => {
                let made = Made { made_at, paused, definition: self.definition.clone() };
                Change::put(made::MADE, &self.uuid, &made)
            }
        }
    }
}

impl Set {
    /// Makes the heartbeats be these.
    fn fill(&mut self, all: Vec<Arc<Heartbeat>>) {
        self.by_uuid = all.iter().map(|it| (it.uuid.clone(), Arc::clone(it))).collect();
        self.by_slug.clear();
        for it in all.iter().filter(|it| !it.definition.slug.is_empty()) {
            self.by_slug.entry(it.definition.slug.clone()).or_default().push(Arc::clone(it));
        }
        self.by_id = all.into_iter().map(|it| (it.id.clone(), it)).collect();
    }

    fn find(&self, target: &PingTarget) -> Result<Arc<Heartbeat>, PingAnswer> {
        match target {
            PingTarget::Uuid(uuid) => self.by_uuid.get(uuid).cloned().ok_or(PingAnswer::NOT_FOUND),
            PingTarget::Slug { key, slug } => {
                if !self.is_key(key) {
                    return Err(PingAnswer::NOT_FOUND);
                }
                let found = self.by_slug.get(slug).map_or(&[][..], Vec::as_slice);
                // What the configuration calls so goes before what somebody made.
                let configured: Vec<_> = found.iter().filter(|it| it.made_at.is_none()).collect();
                match (configured.as_slice(), found) {
                    ([one], _) => Ok(Arc::clone(one)),
                    ([], [one]) => Ok(Arc::clone(one)),
                    ([], []) => Err(PingAnswer::NOT_FOUND),
                    _ => Err(PingAnswer::AMBIGUOUS),
                }
            }
        }
    }

    fn is_key(&self, key: &str) -> bool {
        bool::from(key.as_bytes().ct_eq(self.key.expose().as_bytes()))
    }
}

impl Heartbeats {
    /// Those that were made, none that are configured yet; without a ping key one is made up at the first start and kept.
    pub async fn open(context: Context, ping_key: Option<Secret>) -> Result<Heartbeats, StateError> {
        let count = |outcome| {
            let help = "Pings by what became of them: kept, failed (answered 503) or unknown (404 or 409).";
            context.runtime.metrics.counter("watchbell_pings_total", help, &[("outcome", outcome)])
        };
        let counts = Counts { kept: count("kept"), failed: count("failed"), unknown: count("unknown") };
        let set = RwLock::new(Set { made: made::read(&*context.state)?, ..Set::default() });
        let inner = Inner { context, set, changing: Arc::default(), limit: AtomicUsize::new(MADE_MAX), counts };
        let heartbeats = Heartbeats(Arc::new(inner));
        heartbeats.set_ping_key(ping_key).await?;
        Ok(heartbeats)
    }

    fn set(&self) -> std::sync::RwLockReadGuard<'_, Set> {
        self.0.set.read().expect("no panic while held")
    }

    fn set_mut(&self) -> std::sync::RwLockWriteGuard<'_, Set> {
        self.0.set.write().expect("no panic while held")
    }

    /// Takes another ping key, or goes back to the one that was made up.
    pub async fn set_ping_key(&self, ping_key: Option<Secret>) -> Result<(), StateError> {
        let state = &self.0.context.state;
        let key = match ping_key {
            Some(key) => key,
            None => match state.get(PING_KEY, "key")? {
                Some(kept) => Secret::new(String::from_utf8_lossy(&kept).into_owned()),
                None => {
                    let key = self.0.context.runtime.rng.token();
                    let value = key.clone().into_bytes();
                    state.commit(vec![Change::Put { table: PING_KEY, key: "key".into(), value }]).await?;
                    Secret::new(key)
                }
            },
        };
        self.set_mut().key = key;
        Ok(())
    }

    /// The ping key.
    pub fn ping_key(&self) -> Secret {
        self.set().key.clone()
    }

    /// Makes the configured heartbeats be these; those that were made stay. The address of one that has none in the
    /// configuration is made up once and kept under its name, even while it is gone. While others may make heartbeats,
    /// the caller holds [`Heartbeats::hold`].
    pub async fn apply(&self, configs: &[HeartbeatConfig]) -> Result<(), StateError> {
        let state = &self.0.context.state;
        let mut all = Vec::new();
        let mut made_up = Vec::new();
        for config in configs {
            let kept = state.get(ADDRESSES, &config.name)?;
            let kept = kept.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
            let paused = kept.as_ref().is_some_and(|kept| kept.paused);
            let uuid = match (&config.uuid, kept) {
                (Some(uuid), _) => uuid.to_ascii_lowercase(),
                (None, Some(kept)) => kept.uuid,
                (None, None) => {
                    let uuid = self.0.context.runtime.rng.uuid();
                    made_up.push(Change::put(ADDRESSES, &config.name, &Kept { uuid: uuid.clone(), paused }));
                    uuid
                }
            };
            let live = self.live(&config.name, paused)?;
            all.push(Arc::new(Heartbeat {
                id: config.name.clone(),
                uuid,
                made_at: None,
                definition: config.definition(),
                alerting: Some(config.alerting()),
                live,
            }));
        }
        let made = self.set().made.clone();
        for (uuid, Made { made_at, paused, definition }) in made {
            if all.iter().all(|it| it.uuid != uuid) {
                let live = self.live(&uuid, paused)?;
                let id = uuid.clone();
                all.push(Arc::new(Heartbeat { id, uuid, made_at: Some(made_at), definition, alerting: None, live }));
            }
        }
        state.commit(made_up).await?;
        self.set_mut().fill(all);
        Ok(())
    }

    /// What is known of a heartbeat's pings, from memory or from the disk.
    fn live(&self, id: &str, paused: bool) -> Result<Arc<Live>, StateError> {
        if let Some(known) = self.set().by_id.get(id) {
            return Ok(Arc::clone(&known.live));
        }
        let last = log::newest(&*self.0.context.state, id, 1)?.first().map_or(0, |ping| ping.n);
        Ok(Arc::new(Live { pings: AtomicU64::new(last), paused: AtomicBool::new(paused) }))
    }

    /// Whether there is one heartbeat that this means.
    fn knows(&self, target: &PingTarget) -> bool {
        self.set().find(target).is_ok()
    }

    /// Takes a ping in; the answer is Healthchecks'. `503` means that nothing was kept, so that the job tries again.
    pub async fn ping(&self, request: PingRequest) -> PingAnswer {
        let found = self.set().find(&request.target);
        match found {
            Ok(heartbeat) => self.take(&heartbeat, request).await,
            Err(PingAnswer::NOT_FOUND) if request.create => match self.make_by_ping(&request.target).await {
                Ok(heartbeat) => match self.take(&heartbeat, request).await {
                    PingAnswer::OK => PingAnswer::CREATED,
                    other => other,
                },
                Err(answer) => {
                    self.0.counts.unknown.inc();
                    answer
                }
            },
            Err(answer) => {
                self.0.counts.unknown.inc();
                answer
            }
        }
    }

    async fn take(&self, heartbeat: &Heartbeat, request: PingRequest) -> PingAnswer {
        if let Some(answer) = request.refused {
            return answer;
        }
        let context = &self.0.context;
        let live = &heartbeat.live;
        let was_paused = live.paused.load(Ordering::SeqCst);
        let kind = match heartbeat.definition.kind_of(&request) {
            _ if was_paused && heartbeat.definition.manual_resume => PingKind::Ignored,
            kind => kind,
        };
        let resumes = was_paused && matches!(kind, PingKind::Success | PingKind::Fail);
        let n = live.pings.fetch_add(1, Ordering::SeqCst) + 1;
        let at = context.runtime.clock.now();
        let run = request.run_id.clone();
        let record = PingRecord::new(n, at, kind, request);
        let mut with = vec![Change::put(log::TABLE, log::key(&heartbeat.id, n), &record)];
        with.extend(log::outlived(n).map(|old| Change::delete(log::TABLE, log::key(&heartbeat.id, old))));
        with.extend(resumes.then(|| heartbeat.kept(false)));
        let ping = Ping { heartbeat: heartbeat.id.clone(), at, kind, run };
        fault::point("ping.received");
        match context.observe.observe(vec![Observation::Ping(ping)], with).await {
            Ok(()) => {
                fault::point("ping.kept");
                if resumes {
                    live.paused.store(false, Ordering::SeqCst);
                }
                self.0.counts.kept.inc();
                PingAnswer::OK
            }
            Err(error) => {
                tracing::error!(heartbeat = heartbeat.id, "a ping cannot be kept: {error}");
                self.0.counts.failed.inc();
                PingAnswer::UNAVAILABLE
            }
        }
    }

    /// All heartbeats: those that are configured by name, then those that were made, the oldest first.
    pub fn all(&self) -> Vec<Known> {
        let set = self.set();
        let mut all: Vec<_> = set.by_id.values().collect();
        all.sort_by_key(|it| it.made_at);
        all.into_iter().map(|it| it.known()).collect()
    }

    /// The heartbeat with this address.
    pub fn by_uuid(&self, uuid: &str) -> Option<Known> {
        self.set().by_uuid.get(uuid).map(|it| it.known())
    }

    /// The last pings of a heartbeat, newest first.
    pub fn pings(&self, id: &str, limit: usize) -> Result<Vec<PingRecord>, StateError> {
        log::newest(&*self.0.context.state, id, limit)
    }

    /// One ping of a heartbeat, while it is kept.
    pub fn one_ping(&self, id: &str, n: u64) -> Result<Option<PingRecord>, StateError> {
        log::one(&*self.0.context.state, id, n)
    }
}
