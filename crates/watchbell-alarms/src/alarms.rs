//! All alarms behind one handle: decisions one after the other, each in one commit.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc, oneshot};
use watchbell_model::{
    Append, BoxFuture, Change, Flip, HeartbeatTerms, Observation, Observe, Ping, Query, Raise, Severity, Span, State,
    StateError, Timestamp, Transition,
};
use watchbell_runtime::metrics::Counter;
use watchbell_runtime::{Runtime, fault};

use crate::draft::{Draft, STATE};
use crate::heartbeat::{self, OUTAGE_MIN};
use crate::history::{self, History};
use crate::kept::{Kept, Kind, Site};
use crate::rule::instance::Instance;
use crate::rule::run::{EVALUATIONS_MAX, INSTANCE};
use crate::world::{Heard, Items, Live, World};
use crate::{monitor, own};

/// When watchbell was last known to run.
const ALIVE: &str = "alarms.alive";
const ALIVE_KEY: &str = "at";

/// How many observations may wait to be judged; further senders wait.
const QUEUE_MAX: usize = 4096;

/// The trouble that says that decisions cannot be written.
const TROUBLE_STATE: &str = "state/alarms";
/// While decisions cannot be written, nobody can be told so. If that lasted longer than [`UNWRITTEN_MIN`], it is told
/// afterwards, for as long as a group of alerts may take to be looked at.
const UNWRITTEN_MIN: Duration = Duration::from_secs(30);
const UNWRITTEN_TOLD: Duration = Duration::from_secs(600);

/// All alarms.
///
/// Invariant: decisions are made one after the other; what is in memory is what was committed last. If a commit fails,
/// nothing has happened: the decision is made again at the next observation or tick, and the trouble `state/alarms`
/// says so.
pub struct Alarms {
    pub(crate) runtime: Runtime,
    pub(crate) state: Arc<dyn State>,
    pub(crate) query: Arc<dyn Query>,
    pub(crate) append: Arc<dyn Append>,
    raise: Arc<dyn Raise>,
    pub(crate) site: Site,
    /// Held by whoever decides, from reading the world to the end of the commit.
    deciding: tokio::sync::Mutex<History>,
    world: Mutex<World>,
    queue: mpsc::Sender<Submission>,
    pub(crate) waiting: tokio::sync::Mutex<mpsc::Receiver<Submission>>,
    /// A moment earlier than [`Alarms::scheduled`] must be judged.
    pub(crate) sooner: Notify,
    pub(crate) scheduled: AtomicI64,
    /// The state of an alarm has changed.
    pub(crate) changed: Notify,
    /// When watchbell was last known to run before this start.
    pub(crate) gone_at: Timestamp,
    pub(crate) opened_at: Timestamp,
    /// When decisions could not be written, first and last, on the steady clock.
    unwritten: Mutex<Option<(Duration, Duration)>>,
    transitions: Counter,
    /// Turns at evaluating a rule.
    pub(crate) evaluating: tokio::sync::Semaphore,
}

/// What somebody saw, on its way to be judged.
pub(crate) struct Submission {
    pub(crate) seen: Vec<Observation>,
    with: Vec<Change>,
    done: oneshot::Sender<Result<(), StateError>>,
}

impl Alarms {
    /// Restores all alarms from durable state. They judge nothing until [`Alarms::apply`] says what is wanted.
    pub fn open(
        runtime: Runtime,
        state: Arc<dyn State>,
        query: Arc<dyn Query>,
        append: Arc<dyn Append>,
        raise: Arc<dyn Raise>,
        site_url: String,
    ) -> Result<Arc<Alarms>, StateError> {
        let now = runtime.clock.now();
        let alive = state.get(ALIVE, ALIVE_KEY)?.and_then(|value| serde_json::from_slice::<Timestamp>(&value).ok());
        let mut world = World::default();
        let gone_at = alive.unwrap_or(now).min(now);
        world.live.back_at = (now.since(gone_at) > OUTAGE_MIN).then_some(now);
        read_all(&*state, STATE, |key, value| {
            world.restored.insert(key, value);
        })?;
        read_all(&*state, INSTANCE, |key, value| {
            let id = key.rsplit_once(' ').map_or(key.as_str(), |(id, _)| id).to_owned();
            match serde_json::from_slice::<Instance>(&value) {
                Ok(instance) => {
                    world.restored_instances.entry(id).or_default().insert(instance.labels.clone(), instance);
                }
                Err(error) => tracing::error!(alarm = id, %error, "what was kept of a label set cannot be read"),
            }
        })?;
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let transitions =
            runtime.metrics.counter("watchbell_alarm_transitions_total", "Changes of an alarm's state.", &[]);
        Ok(Arc::new(Alarms {
            deciding: tokio::sync::Mutex::new(History::open(&*state)?),
            site: Site::new(&site_url),
            world: Mutex::new(world),
            waiting: tokio::sync::Mutex::new(waiting),
            sooner: Notify::new(),
            scheduled: AtomicI64::new(i64::MAX),
            changed: Notify::new(),
            gone_at,
            opened_at: now,
            unwritten: Mutex::new(None),
            evaluating: tokio::sync::Semaphore::new(EVALUATIONS_MAX),
            runtime,
            state,
            query,
            append,
            raise,
            queue,
            transitions,
        }))
    }

    /// The last transitions, of one alarm or of all, newest first; of at most [`crate::HISTORY_MAX`] that are kept.
    pub fn history(&self, id: Option<&str>, limit: usize) -> Vec<Transition> {
        history::newest(&*self.state, id, limit).unwrap_or_else(|error| {
            tracing::error!(%error, "the history of alarms cannot be shown");
            Vec::new()
        })
    }

    /// The last changes of a heartbeat's standing, newest first; of at most [`heartbeat::FLIPS_MAX`] that are kept.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn flips(&self, id: &str) -> Result<Vec<Flip>, StateError> {
        let prefix = format!("{id}/");
        // The colon comes after all digits.
        let limit = heartbeat::FLIPS_MAX as usize;
        let found = self.state.scan_back(heartbeat::FLIPS, Some(&format!("{prefix}:")), limit)?;
        let mine = found.into_iter().take_while(|(key, _)| key.starts_with(&prefix));
        mine.map(|(key, value)| {
            let damaged = |error| format!("the change `{key}` of a heartbeat is damaged: {error}");
            serde_json::from_slice(&value).map_err(|error| StateError { doing: "read", reason: damaged(error) })
        })
        .collect()
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no panic while held")
    }

    /// Judges, commits, and only then remembers.
    ///
    /// Must not be dropped half-way, or memory would fall behind the disk: only tasks of the supervisor and the start
    /// call it, never a request's handler.
    pub(crate) async fn decide(&self, judge: impl FnOnce(&Items, &mut Live, &mut Draft<'_>)) -> Result<(), StateError> {
        let mut history = self.deciding.lock().await;
        let mut draft = Draft::new(self.runtime.clock.now(), &self.site);
        {
            let World { items, live, .. } = &mut *self.world();
            judge(items, live, &mut draft);
        }
        let done = self.commit(&mut history, draft, |world, items| world.items.advance(items)).await;
        self.tell_silent();
        done
    }

    /// Commits a decision and takes it over into memory.
    pub(crate) async fn commit(
        &self,
        history: &mut History,
        draft: Draft<'_>,
        advance: impl FnOnce(&mut World, Items),
    ) -> Result<(), StateError> {
        let Draft { items, alerts, mut changes, transitions, forgotten, dismissed, .. } = draft;
        let written = async {
            let (after, rows) = history.add(&*self.state, &transitions)?;
            changes.extend(rows);
            if alerts.is_empty() && changes.is_empty() {
                return Ok((after, false));
            }
            fault::point("alarms.decided");
            if !alerts.is_empty() {
                fault::point("alarms.before_raise");
                self.raise.raise(alerts, changes).await?;
                fault::point("alarms.after_raise");
            } else {
                self.state.commit(changes).await?;
            }
            Ok((after, true))
        };
        match written.await {
            Ok((after, wrote)) => {
                *history = after;
                let soonest = items.deadline();
                {
                    let mut world = self.world();
                    advance(&mut world, items);
                    forgotten.iter().for_each(|key| drop(world.items.own.remove(key)));
                    dismissed.iter().for_each(|id| drop(world.items.heartbeats.remove(id)));
                }
                self.transitions.add(transitions.len() as u64);
                if !transitions.is_empty() {
                    self.changed.notify_one();
                }
                for transition in &transitions {
                    tracing::info!(alarm = transition.alarm, labels = %transition.labels, to = %transition.to,
                        "{}", transition.reason);
                }
                self.wake_before(soonest);
                if wrote {
                    self.note_written();
                }
                Ok(())
            }
            Err(error) => {
                let now = self.runtime.clock.monotonic();
                let mut unwritten = self.unwritten.lock().expect("no panic while held");
                *unwritten = Some((unwritten.map_or(now, |(first, _)| first), now));
                self.runtime.troubles.set(TROUBLE_STATE, Severity::Critical, format!("alarms: {error}"));
                Err(error)
            }
        }
    }

    /// Decisions can be written; whether they could not for long is still told for a while.
    fn note_written(&self) {
        let mut unwritten = self.unwritten.lock().expect("no panic while held");
        let Some((first, last)) = *unwritten else { return };
        let lasted = last.saturating_sub(first);
        if lasted < UNWRITTEN_MIN || self.runtime.clock.monotonic().saturating_sub(last) >= UNWRITTEN_TOLD {
            *unwritten = None;
            self.runtime.troubles.clear(TROUBLE_STATE);
        } else {
            let lasted = Span::millis(u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX)).in_words();
            let summary =
                format!("alarms: for {lasted} no decision could be written, and nobody told of it; it can be now");
            self.runtime.troubles.set(TROUBLE_STATE, Severity::Critical, summary);
        }
    }

    /// Takes the right to decide, for decisions that change what there is to decide on.
    pub(crate) async fn deciding(&self) -> tokio::sync::MutexGuard<'_, History> {
        self.deciding.lock().await
    }

    /// Sees to it that the next deadline is judged in time.
    pub(crate) fn wake_before(&self, at: Option<Timestamp>) {
        if at.is_some_and(|at| at.as_millis() < self.scheduled.load(std::sync::atomic::Ordering::SeqCst)) {
            self.sooner.notify_one();
        }
    }

    /// Marks that watchbell runs, for the next start to know how long it was gone.
    pub(crate) fn alive(now: Timestamp) -> Change {
        Change::put(ALIVE, ALIVE_KEY, &now)
    }

    /// Writes on the board which monitors give no results. No results of a place whose agent is not heard, or whose
    /// network is down, are a consequence of what is told of that place.
    pub(crate) fn tell_silent(&self) {
        const NAMES_MAX: usize = 5;
        let world = self.world();
        let Live { silent, away, .. } = &world.live;
        let told = |place: &str| away.contains(place) || self.runtime.troubles.has(&own::own_network(place));
        let names: Vec<&String> =
            silent.iter().filter(|(_, places)| places.iter().any(|place| !told(place))).map(|(name, _)| name).collect();
        let count = names.len();
        if count == 0 {
            drop(world);
            return self.runtime.troubles.clear("no-results");
        }
        let mut names = names.into_iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
        drop(world);
        if count > NAMES_MAX {
            names.push_str(", …");
        }
        let summary = format!("no results of {count} monitor{}: {names}", if count == 1 { "" } else { "s" });
        self.runtime.troubles.set("no-results", Severity::Critical, summary);
    }

    /// Reads what was kept of an alarm. A document that cannot be read is reported, not fatal: the others must go on.
    pub(crate) fn read<M: DeserializeOwned>(&self, id: &str, value: &[u8]) -> Option<Kept<M>> {
        match serde_json::from_slice(value) {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::error!(alarm = id, %error, "what was kept of this alarm cannot be read; it starts anew");
                self.runtime.troubles.set(
                    "state/alarms-unreadable",
                    Severity::Warning,
                    format!("what was kept of the alarm `{id}` cannot be read; it has started anew"),
                );
                None
            }
        }
    }
}

impl Observe for Alarms {
    /// Answers while the task `decide` of [`Alarms::tasks`] runs; judging goes on even if the caller gives up.
    fn observe(&self, seen: Vec<Observation>, with: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move {
            let closed = || StateError { doing: "written", reason: "watchbell is stopping".to_owned() };
            let (done, answer) = oneshot::channel();
            self.queue.send(Submission { seen, with, done }).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        })
    }
}

impl Submission {
    /// The items it is about, by kind and name.
    fn about(&self) -> impl Iterator<Item = String> + '_ {
        self.seen.iter().filter_map(|seen| match seen {
            Observation::Probe(seen) => Some(format!("monitor/{}", seen.monitor)),
            Observation::Ping(Ping { heartbeat, .. })
            | Observation::Expected(HeartbeatTerms { id: heartbeat, .. })
            | Observation::Dismissed(heartbeat)
            | Observation::Paused(heartbeat, _)
            | Observation::Resumed(heartbeat, _) => Some(format!("heartbeat/{heartbeat}")),
            Observation::Place(..) | Observation::Scrape(_) => None,
        })
    }
}

impl Alarms {
    /// Judges submissions in their order, as many as possible in one commit, and answers them.
    ///
    /// Two submissions about one item share a commit only if the first raised nothing: a job that fails and at once
    /// succeeds must be told of twice, not once with the outcome.
    pub(crate) async fn judge(&self, submissions: Vec<Submission>) {
        let mut rest = submissions.into_iter().peekable();
        while rest.peek().is_some() {
            let mut answers = Vec::new();
            let done = self
                .decide(|items, live, draft| {
                    let mut touched = BTreeSet::new();
                    while let Some(next) = rest
                        .next_if(|next| draft.alerts.is_empty() || next.about().all(|about| !touched.contains(&about)))
                    {
                        touched.extend(next.about());
                        for seen in &next.seen {
                            observe(items, live, draft, seen);
                        }
                        draft.changes.extend(next.with);
                        answers.push(next.done);
                    }
                })
                .await;
            for answer in answers {
                // A caller that gave up is answered by nobody.
                let _ = answer.send(done.clone());
            }
        }
    }
}

/// Judges one fact. What is about an item that is not configured is passed over: it was removed a moment ago.
fn observe(items: &Items, live: &mut Live, draft: &mut Draft<'_>, seen: &Observation) {
    match seen {
        Observation::Probe(seen) => {
            let places = live.heard.get_mut(&seen.monitor);
            if let Some(heard) = places.and_then(|places| places.get_mut(&seen.place)) {
                (heard.at, heard.last) = (heard.at.max(seen.at), Some(seen.clone()));
                live.heard_again(&seen.monitor, &seen.place);
                draft.judge::<monitor::Memory>(items, &seen.monitor, |kept, spec| {
                    kept.result(spec, seen, &live.presences(spec));
                });
            }
            if let Some(certificate) = &seen.certificate {
                draft.judge::<crate::certificate::Memory>(items, &seen.monitor, |kept, spec| {
                    kept.certificate(spec, seen.at, certificate);
                });
            }
        }
        Observation::Ping(seen) => {
            draft.judge_heartbeat(items, &seen.heartbeat, |kept, spec| kept.ping(spec, seen));
        }
        Observation::Expected(terms) => draft.expect(items, live.heartbeat_defaults.spec(terms)),
        Observation::Dismissed(id) => draft.dismiss(items, id),
        Observation::Paused(id, at) => draft.judge_heartbeat(items, id, |kept, _| kept.pause(*at)),
        Observation::Resumed(id, at) => draft.judge_heartbeat(items, id, |kept, _| kept.resume(*at)),
        Observation::Place(place, true) => {
            live.away.remove(place);
            // Results are expected from now on.
            for name in items.monitors.keys() {
                live.heard_again(name, place);
                if let Some(heard) = live.heard.get_mut(name).and_then(|places| places.get_mut(place)) {
                    *heard = Heard { at: draft.now, last: None };
                }
            }
        }
        Observation::Place(place, false) => {
            live.away.insert(place.clone());
            let now = draft.now;
            for (name, item) in &items.monitors {
                let Some(heard) = live.heard.get(name).and_then(|places| places.get(place)) else { continue };
                let presences = live.presences(&item.spec);
                draft.judge::<monitor::Memory>(items, name, |kept, spec| kept.silent(spec, now, heard.at, &presences));
            }
        }
        // A target that cannot be scraped has the sample `up` 0, which rules judge.
        Observation::Scrape(_) => {}
    }
}

/// Reads a whole table.
pub(crate) fn read_all(
    state: &dyn State,
    table: &str,
    mut each: impl FnMut(String, Vec<u8>),
) -> Result<(), StateError> {
    const PAGE: usize = 1000;
    let mut from = String::new();
    loop {
        let page = state.scan(table, &from, PAGE)?;
        let full = page.len() == PAGE;
        for (key, value) in page {
            if key != from || from.is_empty() {
                from.clone_from(&key);
                each(key, value);
            }
        }
        if !full {
            return Ok(());
        }
    }
}

/// Which kind of alarm an id names.
pub(crate) fn name_of<M: Kind>(id: &str) -> Option<&str> {
    id.strip_prefix(M::id("").as_str())
}
