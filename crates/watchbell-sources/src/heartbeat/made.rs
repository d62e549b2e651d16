//! Heartbeats that are made, changed and taken away while watchbell runs.
//!
//! Each change is one commit: what is wanted of the heartbeat, and that it is judged so from now on. One change at a time,
//! and none while a configuration is put in force ([`Heartbeats::hold`]), so that none is forgotten. A change that has
//! begun is finished, also when whoever asked for it is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedMutexGuard, oneshot};
use watchbell_model::{Change, HeartbeatTerms, Observation, State, StateError};

use super::{Definition, Heartbeat, HeartbeatConfig, Heartbeats, Known, Live, Made, PingAnswer, PingTarget, log};

/// How many heartbeats may be made unless the configuration says otherwise.
pub const MADE_MAX: usize = 1000;

/// Where they are kept, by UUID.
pub(super) const MADE: &str = "sources.made";

/// While this is held, no heartbeat is made, changed or taken away.
pub type Held = OwnedMutexGuard<()>;

/// Why a heartbeat was not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is none with this address.
    #[error("there is no such heartbeat")]
    Unknown,
    /// It stands in the configuration.
    #[error("it stands in the configuration")]
    Configured,
    /// There are as many as there may be.
    #[error("there are as many heartbeats as there may be")]
    Full,
    /// It cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What was kept. A document that cannot be read is told of and left alone.
pub(super) fn read(state: &dyn State) -> Result<BTreeMap<String, Made>, StateError> {
    const PAGE: usize = 1000;
    let (mut all, mut from) = (BTreeMap::new(), String::new());
    loop {
        let page = state.scan(MADE, &from, PAGE)?;
        let full = page.len() == PAGE;
        for (uuid, document) in page {
            match serde_json::from_slice(&document) {
                Ok(made) => drop(all.insert(uuid.clone(), made)),
                Err(error) => tracing::error!(uuid, %error, "what was kept of a heartbeat cannot be read"),
            }
            // The next page begins behind this one.
            from = format!("{uuid}\0");
        }
        if !full {
            return Ok(all);
        }
    }
}

impl Heartbeats {
    /// Keeps others from changing which heartbeats there are.
    pub async fn hold(&self) -> Held {
        Arc::clone(&self.0.changing).lock_owned().await
    }

    /// How many heartbeats may be made.
    pub fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::SeqCst);
    }

    /// What is to be judged beside the heartbeats of this configuration.
    pub fn made(&self, configs: &[HeartbeatConfig]) -> Vec<HeartbeatTerms> {
        let configured =
            |uuid: &str| configs.iter().any(|it| it.uuid.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(uuid)));
        let made = &self.set().made;
        made.iter().filter(|(uuid, _)| !configured(uuid)).map(|(uuid, made)| made.definition.terms(uuid)).collect()
    }

    /// Makes a heartbeat.
    ///
    /// # Errors
    /// If there are too many, or it cannot be kept.
    pub async fn make(&self, definition: Definition) -> Result<Known, ChangeError> {
        let this = self.clone();
        self.whole(async move {
            let _held = this.hold().await;
            let limit = this.0.limit.load(Ordering::SeqCst);
            this.add(definition, limit).await.map(|it| it.known())
        })
        .await
    }

    /// Makes the heartbeat that a ping asks for, unless another ping just did.
    pub(super) async fn make_by_ping(&self, target: &PingTarget) -> Result<Arc<Heartbeat>, PingAnswer> {
        let PingTarget::Slug { key, slug } = target else { return Err(PingAnswer::NOT_FOUND) };
        if !self.set().is_key(key) {
            return Err(PingAnswer::NOT_FOUND);
        }
        let (this, target, slug) = (self.clone(), target.clone(), slug.clone());
        let made = self.whole(async move {
            let _held = this.hold().await;
            let found = this.set().find(&target);
            match found {
                Ok(found) => Ok(found),
                Err(_) => {
                    // As Healthchecks: jobs that set themselves up may go over the limit for a while.
                    let limit = this.0.limit.load(Ordering::SeqCst).saturating_mul(2);
                    this.add(Definition { name: slug.clone(), slug, ..Definition::default() }, limit).await
                }
            }
        });
        made.await.map_err(|error| match error {
            ChangeError::State(error) => {
                tracing::error!(%error, "a heartbeat cannot be made");
                PingAnswer::UNAVAILABLE
            }
            _ => PingAnswer::NOT_FOUND,
        })
    }

    /// Wants something else of a heartbeat that was made.
    ///
    /// # Errors
    /// If there is none, if it is configured, or if it cannot be kept.
    pub async fn change(&self, uuid: &str, definition: Definition) -> Result<Known, ChangeError> {
        let (this, uuid) = (self.clone(), uuid.to_owned());
        self.whole(async move {
            let _held = this.hold().await;
            let before = this.a_made_one(&uuid)?;
            let changed = Heartbeat {
                id: before.id.clone(),
                uuid: before.uuid.clone(),
                made_at: before.made_at,
                definition,
                alerting: None,
                live: Arc::clone(&before.live),
            };
            this.put(changed).await.map(|it| it.known())
        })
        .await
    }

    /// Takes a heartbeat that was made away, with its pings; its alert ends.
    ///
    /// # Errors
    /// If there is none, if it is configured, or if it cannot be written.
    pub async fn delete(&self, uuid: &str) -> Result<Known, ChangeError> {
        let (this, uuid) = (self.clone(), uuid.to_owned());
        self.whole(async move {
            let _held = this.hold().await;
            let gone = this.a_made_one(&uuid)?;
            let mut with = vec![Change::delete(MADE, &uuid)];
            with.extend(log::all_gone(&gone.id, gone.live.pings.load(Ordering::SeqCst)));
            this.0.context.observe.observe(vec![Observation::Dismissed(gone.id.clone())], with).await?;
            let mut set = this.set_mut();
            set.made.remove(&uuid);
            let rest = set.by_id.values().filter(|it| it.uuid != uuid).cloned().collect();
            set.fill(rest);
            Ok(gone.known())
        })
        .await
    }

    /// Expects nothing of a heartbeat, made or configured, until its next ping or until it is resumed.
    ///
    /// # Errors
    /// If there is none, or it cannot be kept.
    pub async fn pause(&self, uuid: &str) -> Result<Known, ChangeError> {
        self.set_paused(uuid, true).await
    }

    /// Waits for the first ping of a paused heartbeat, as if it were new.
    ///
    /// # Errors
    /// If there is none, or it cannot be kept.
    pub async fn resume(&self, uuid: &str) -> Result<Known, ChangeError> {
        self.set_paused(uuid, false).await
    }

    async fn set_paused(&self, uuid: &str, paused: bool) -> Result<Known, ChangeError> {
        let (this, uuid) = (self.clone(), uuid.to_owned());
        self.whole(async move {
            let _held = this.hold().await;
            let found = this.set().by_uuid.get(&uuid).cloned().ok_or(ChangeError::Unknown)?;
            let at = this.0.context.runtime.clock.now();
            let id = found.id.clone();
            let seen = if paused { Observation::Paused(id, at) } else { Observation::Resumed(id, at) };
            this.0.context.observe.observe(vec![seen], vec![found.kept(paused)]).await?;
            found.live.paused.store(paused, Ordering::SeqCst);
            if let Some(made) = this.set_mut().made.get_mut(&uuid) {
                made.paused = paused;
            }
            Ok(found.known())
        })
        .await
    }

    fn a_made_one(&self, uuid: &str) -> Result<Arc<Heartbeat>, ChangeError> {
        let found = self.set().by_uuid.get(uuid).cloned().ok_or(ChangeError::Unknown)?;
        if found.made_at.is_some() { Ok(found) } else { Err(ChangeError::Configured) }
    }

    async fn add(&self, definition: Definition, limit: usize) -> Result<Arc<Heartbeat>, ChangeError> {
        if self.set().made.len() >= limit {
            return Err(ChangeError::Full);
        }
        let runtime = &self.0.context.runtime;
        let (uuid, made_at) = (runtime.rng.uuid(), Some(runtime.clock.now()));
        self.put(Heartbeat {
            id: uuid.clone(),
            uuid,
            made_at,
            definition,
            alerting: None,
            live: Arc::new(Live::default()),
        })
        .await
    }

    /// Keeps a made heartbeat and has it judged.
    async fn put(&self, heartbeat: Heartbeat) -> Result<Arc<Heartbeat>, ChangeError> {
        let paused = heartbeat.live.paused.load(Ordering::SeqCst);
        let terms = heartbeat.definition.terms(&heartbeat.uuid);
        let with = vec![heartbeat.kept(paused)];
        self.0.context.observe.observe(vec![Observation::Expected(terms)], with).await?;
        let heartbeat = Arc::new(heartbeat);
        let mut set = self.set_mut();
        if let Some(made_at) = heartbeat.made_at {
            let made = Made { made_at, paused, definition: heartbeat.definition.clone() };
            set.made.insert(heartbeat.uuid.clone(), made);
        }
        let others = set.by_id.values().filter(|it| it.id != heartbeat.id).cloned();
        let all = others.chain([Arc::clone(&heartbeat)]).collect();
        set.fill(all);
        Ok(heartbeat)
    }

    /// Does it to its end, whatever becomes of the caller.
    async fn whole<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ChangeError>> + Send + 'static,
    ) -> Result<T, ChangeError> {
        let (done, answer) = oneshot::channel();
        self.0.context.runtime.supervisor.detached(async move {
            // A caller that gave up is answered by nobody.
            let _ = done.send(work.await);
        });
        let stopping = || StateError { doing: "written", reason: "watchbell is stopping".to_owned() };
        answer.await.unwrap_or_else(|_| Err(stopping().into()))
    }
}
