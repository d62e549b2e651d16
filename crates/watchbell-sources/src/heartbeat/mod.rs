//! Heartbeats: a scheduled job reports, and its silence pages somebody.
//!
//! Takes pings at Healthchecks' addresses and with its answers, so that every client written for it works unchanged.
//! Whether a job is late is judged elsewhere; here a ping is checked, numbered and handed on. Left out as yet: making
//! heartbeats by a ping (`?create=1`), pings by mail, filters on methods and bodies.
//!
//! Invariants: a ping is answered with `200` only when it and what was judged of it are on disk, in one commit; a
//! heartbeat keeps its last [`LOG_MAX`] pings.

mod config;
mod log;
mod request;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use watchbell_model::{Change, Observation, Ping, Secret, StateError};
use watchbell_runtime::fault;
use watchbell_runtime::metrics::Counter;

use crate::Context;

pub use config::HeartbeatConfig;
pub use log::{LOG_MAX, PingRecord};
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
    by_name: BTreeMap<String, Arc<Heartbeat>>,
    by_uuid: BTreeMap<String, Arc<Heartbeat>>,
}

struct Heartbeat {
    name: String,
    slug: String,
    uuid: String,
    /// The number of its last ping, counted from its first one on.
    pings: AtomicU64,
}

/// Where a heartbeat's job reports: `/ping/<uuid>` or `/ping/<key>/<slug>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatAddress {
    /// The heartbeat's name.
    pub name: String,
    /// Its own address.
    pub uuid: String,
    /// Its name in addresses with the ping key.
    pub slug: String,
    /// The ping key, the same for all heartbeats.
    pub key: Secret,
}

/// What is kept under a heartbeat's name.
#[derive(Serialize, Deserialize)]
struct Kept {
    uuid: String,
}

impl Heartbeats {
    /// None yet; without a ping key one is made up at the first start and kept.
    pub async fn open(context: Context, ping_key: Option<Secret>) -> Result<Heartbeats, StateError> {
        let count = |outcome| {
            let help = "Pings by what became of them: kept, failed (answered 503) or unknown (404 or 409).";
            context.runtime.metrics.counter("watchbell_pings_total", help, &[("outcome", outcome)])
        };
        let counts = Counts { kept: count("kept"), failed: count("failed"), unknown: count("unknown") };
        let heartbeats = Heartbeats(Arc::new(Inner { context, set: RwLock::default(), counts }));
        heartbeats.set_ping_key(ping_key).await?;
        Ok(heartbeats)
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
        self.0.set.write().expect("no panic while held").key = key;
        Ok(())
    }

    /// Makes the heartbeats be these. The address of one that has none in the configuration is made up once and kept
    /// under its name, even while it is gone.
    pub async fn apply(&self, configs: &[HeartbeatConfig]) -> Result<(), StateError> {
        let state = &self.0.context.state;
        let mut by_name = BTreeMap::new();
        let mut made_up = Vec::new();
        for config in configs {
            let kept = state.get(ADDRESSES, &config.name)?;
            let kept = kept.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
            let uuid = match (&config.uuid, kept) {
                (Some(uuid), _) => uuid.to_ascii_lowercase(),
                (None, Some(kept)) => kept.uuid,
                (None, None) => {
                    let uuid = self.0.context.runtime.rng.uuid();
                    made_up.push(Change::put(ADDRESSES, &config.name, &Kept { uuid: uuid.clone() }));
                    uuid
                }
            };
            let known = self.0.set.read().expect("no panic while held").by_name.get(&config.name).map(Arc::clone);
            let pings = match known {
                Some(known) => known.pings.load(Ordering::SeqCst),
                None => log::newest(&**state, &config.name, 1)?.first().map_or(0, |ping| ping.n),
            };
            let (name, slug) = (config.name.clone(), config.slug());
            let heartbeat = Heartbeat { name: name.clone(), slug, uuid, pings: AtomicU64::new(pings) };
            by_name.insert(name, Arc::new(heartbeat));
        }
        state.commit(made_up).await?;
        let mut set = self.0.set.write().expect("no panic while held");
        for (name, heartbeat) in &by_name {
            // A ping may have come in meanwhile.
            if let Some(known) = set.by_name.get(name) {
                heartbeat.pings.fetch_max(known.pings.load(Ordering::SeqCst), Ordering::SeqCst);
            }
        }
        set.by_uuid = by_name.values().map(|it| (it.uuid.clone(), Arc::clone(it))).collect();
        set.by_name = by_name;
        Ok(())
    }

    /// Takes a ping in; the answer is Healthchecks'. `503` means that nothing was kept, so that the job tries again.
    pub async fn ping(&self, request: PingRequest) -> PingAnswer {
        let heartbeat = match self.find(&request.target) {
            Ok(heartbeat) => heartbeat,
            Err(answer) => {
                self.0.counts.unknown.inc();
                return answer;
            }
        };
        let context = &self.0.context;
        let n = heartbeat.pings.fetch_add(1, Ordering::SeqCst) + 1;
        let at = context.runtime.clock.now();
        let kind = request.action.kind();
        let run = request.run_id.clone();
        let record = PingRecord::new(n, at, request);
        let mut with = vec![Change::put(log::TABLE, log::key(&heartbeat.name, n), &record)];
        with.extend(log::outlived(n).map(|old| Change::delete(log::TABLE, log::key(&heartbeat.name, old))));
        let ping = Ping { heartbeat: heartbeat.name.clone(), at, kind, run };
        fault::point("ping.received");
        match context.observe.observe(vec![Observation::Ping(ping)], with).await {
            Ok(()) => {
                fault::point("ping.kept");
                self.0.counts.kept.inc();
                PingAnswer::OK
            }
            Err(error) => {
                tracing::error!(heartbeat = heartbeat.name, "a ping cannot be kept: {error}");
                self.0.counts.failed.inc();
                PingAnswer::UNAVAILABLE
            }
        }
    }

    /// Where all jobs report, in order of names.
    pub fn addresses(&self) -> Vec<HeartbeatAddress> {
        let set = self.0.set.read().expect("no panic while held");
        let one = |it: &Arc<Heartbeat>| HeartbeatAddress {
            name: it.name.clone(),
            uuid: it.uuid.clone(),
            slug: it.slug.clone(),
            key: set.key.clone(),
        };
        set.by_name.values().map(one).collect()
    }

    /// The last pings of a heartbeat, newest first.
    pub fn pings(&self, name: &str, limit: usize) -> Result<Vec<PingRecord>, StateError> {
        log::newest(&*self.0.context.state, name, limit)
    }

    fn find(&self, target: &PingTarget) -> Result<Arc<Heartbeat>, PingAnswer> {
        let set = self.0.set.read().expect("no panic while held");
        match target {
            PingTarget::Uuid(uuid) => set.by_uuid.get(uuid).cloned().ok_or(PingAnswer::NOT_FOUND),
            PingTarget::Slug { key, slug } => {
                if !bool::from(key.as_bytes().ct_eq(set.key.expose().as_bytes())) {
                    return Err(PingAnswer::NOT_FOUND);
                }
                let mut found = set.by_name.values().filter(|it| it.slug == *slug);
                let first = found.next().cloned().ok_or(PingAnswer::NOT_FOUND)?;
                if found.next().is_some() { Err(PingAnswer::AMBIGUOUS) } else { Ok(first) }
            }
        }
    }
}
