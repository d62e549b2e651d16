//! What waits: each task sleeps until there is something to judge, and judges it with the pure code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use watchbell_model::{StateError, Timestamp};
use watchbell_runtime::{CancellationToken, Task};

use crate::alarms::Alarms;
use crate::draft::Draft;
use crate::kept::{Item, Kept, Kind};
use crate::pace::Pace;
use crate::world::Items;
use crate::{certificate, composite, heartbeat, monitor, own};

/// How many submissions are taken from the queue at once.
const BATCH_MAX: usize = 1024;
/// Firing alerts are raised again this often, so that whoever forgot them learns of them.
pub(crate) const REFRESH: Duration = Duration::from_secs(60);
/// After a decision could not be written, it is made again after this long.
pub(crate) const RETRY: Duration = Duration::from_secs(2);
/// A deadline that is over although it was judged is judged again after this long, not at once.
const DEADLINE_GAP: Duration = Duration::from_millis(100);

impl Alarms {
    /// The tasks that judge, for [`watchbell_runtime::Supervisor::reconcile`]. Ask again after each
    /// [`Alarms::apply`].
    pub fn tasks(self: &Arc<Self>) -> Vec<Task> {
        let task = |name: &str, run: fn(Arc<Alarms>, CancellationToken) -> watchbell_model::BoxFuture<'static, ()>| {
            let alarms = Arc::clone(self);
            Task::new(name, 0, move |stop| run(Arc::clone(&alarms), stop))
        };
        let mut tasks = vec![
            task("decide", |alarms, stop| Box::pin(async move { alarms.take_submissions(stop).await })),
            task("deadlines", |alarms, stop| Box::pin(async move { alarms.watch_deadlines(stop).await })),
            task("composites", |alarms, stop| Box::pin(async move { alarms.watch_composites(stop).await })),
            task("troubles", |alarms, stop| Box::pin(async move { alarms.watch_troubles(stop).await })),
            task("refresh", |alarms, stop| Box::pin(async move { alarms.refresh_often(stop).await })),
        ];
        tasks.extend(self.group_tasks());
        tasks
    }

    /// Judges what sources submit, all that is ready at once. What was submitted before the stop is still judged.
    async fn take_submissions(&self, stop: CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        loop {
            let mut batch = Vec::new();
            let stopped = tokio::select! {
                biased;
                _ = waiting.recv_many(&mut batch, BATCH_MAX) => false,
                () = stop.cancelled() => true,
            };
            self.judge(batch).await;
            if stopped {
                // From now on senders are told that nobody judges any more.
                waiting.close();
                let mut rest = Vec::new();
                while waiting.recv_many(&mut rest, BATCH_MAX).await > 0 {
                    self.judge(std::mem::take(&mut rest)).await;
                }
                return;
            }
        }
    }

    /// Sleeps until the next moment at which silence means something.
    async fn watch_deadlines(&self, stop: CancellationToken) {
        let clock = &self.runtime.clock;
        let mut pace = Pace::new(clock);
        // From when the clock jumped over time that nobody lived through, until that is written.
        let mut jumped: Option<Timestamp> = None;
        let mut earliest = Timestamp::MIN;
        loop {
            let next = self.world().deadline().unwrap_or(Timestamp::MAX).max(earliest);
            earliest = Timestamp::MIN;
            self.scheduled.store(next.as_millis(), Ordering::SeqCst);
            // Never longer than the refresh, so that a clock that is set is noticed.
            let wake = next.min(clock.now() + REFRESH);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.sooner.notified() => {}
                () = clock.sleep_until(wake) => {}
            }
            if let Some(gone) = pace.jumped(clock) {
                tracing::warn!(%gone, "the clock was set forward");
                jumped = jumped.or(Some(gone));
            }
            let done = async {
                if let Some(gone) = jumped {
                    self.excuse(gone).await?;
                    jumped = None;
                }
                self.judge_deadlines().await
            };
            if done.await.is_err() {
                earliest = clock.now() + RETRY;
            } else if self.world().deadline().is_some_and(|next| next <= clock.now()) {
                earliest = clock.now() + DEADLINE_GAP;
            }
        }
    }

    /// Time from `gone` until now did not happen here: nobody is blamed for silence in it.
    async fn excuse(&self, gone: Timestamp) -> Result<(), StateError> {
        self.decide(|items, live, draft| {
            let now = draft.now;
            for name in items.heartbeats.keys() {
                draft.judge::<heartbeat::Memory>(items, name, |kept, spec| kept.excuse(spec, gone, now));
            }
            live.heard.values_mut().flat_map(BTreeMap::values_mut).for_each(|heard| heard.at = now);
        })
        .await
    }

    async fn judge_deadlines(&self) -> Result<(), StateError> {
        fn due<M: Kind>(items: &Items, now: Timestamp) -> Vec<&String> {
            let due = |item: &Item<M>| M::deadline(&item.kept, &item.spec).is_some_and(|at| at <= now);
            M::items(items).iter().filter(|(_, item)| due(item)).map(|(name, _)| name).collect()
        }
        self.decide(|items, live, draft| {
            let now = draft.now;
            for name in due::<certificate::Memory>(items, now) {
                draft.judge::<certificate::Memory>(items, name, |kept, spec| {
                    certificate::Memory::pass(kept, spec, now);
                });
            }
            for name in due::<heartbeat::Memory>(items, now) {
                draft.judge::<heartbeat::Memory>(items, name, |kept, spec| heartbeat::Memory::pass(kept, spec, now));
            }
            for (name, item) in &items.monitors {
                let due: Vec<String> = live
                    .silent_at(name, &item.spec)
                    .filter(|(_, at)| *at <= now)
                    .map(|(place, _)| place.clone())
                    .collect();
                let heard = due.iter().filter_map(|place| Some(live.heard.get(name)?.get(place)?.at)).max();
                let Some(heard) = heard else { continue };
                live.silent.entry(name.clone()).or_default().extend(due);
                let presences = live.presences(&item.spec);
                draft.judge::<monitor::Memory>(items, name, |kept, spec| kept.silent(spec, now, heard, &presences));
            }
        })
        .await
    }

    /// Makes an alarm of each trouble on the board.
    async fn watch_troubles(&self, stop: CancellationToken) {
        let clock = &self.runtime.clock;
        let mut board = self.runtime.troubles.watch();
        loop {
            board.borrow_and_update();
            let settled = self.opened_at + own::SETTLE;
            let again = match self.judge_troubles().await {
                Err(_) => clock.now() + RETRY,
                Ok(()) if clock.now() < settled => settled,
                Ok(()) => Timestamp::MAX,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = clock.sleep_until(again) => {}
                changed = board.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn judge_troubles(&self) -> Result<(), StateError> {
        let board = self.runtime.troubles.list();
        let (applied, runbooks) = {
            let world = self.world();
            (world.applied, world.own_runbooks.clone())
        };
        if !applied {
            // Before the first configuration what was kept of these alarms is not read yet.
            return Ok(());
        }
        let settled = self.runtime.clock.now() >= self.opened_at + own::SETTLE;
        self.decide(|items, _, draft| {
            let now = draft.now;
            for trouble in &board {
                if items.own.contains_key(&trouble.key) {
                    draft.judge::<own::Memory>(items, &trouble.key, |kept, _| kept.trouble(trouble));
                } else {
                    let before = Kept::new(trouble.since, own::Memory::UNHEARD);
                    let mut kept = before.clone();
                    kept.trouble(trouble);
                    let spec = own::Spec::new(&trouble.key, &runbooks);
                    draft.settle(&trouble.key, Some(before), Item { spec: spec.into(), kept, judged_at: Some(now) });
                }
            }
            let gone = |key: &String| board.binary_search_by(|trouble| trouble.key.cmp(key)).is_err();
            for (key, item) in items.own.iter().filter(|(key, _)| gone(key)) {
                if settled || item.judged_at.is_some() {
                    draft.judge::<own::Memory>(items, key, |kept, _| kept.over(now));
                }
            }
            draft.forget_own(items, own::OWN_MAX);
        })
        .await
    }

    /// Raises again what fires, at once after a start and then every minute.
    ///
    /// What is resolved is not raised again: the alarm's document and the resolved alert are one commit, so that
    /// whoever holds the alert has it on disk when the alarm forgets it. Prometheus repeats because its POST may be lost.
    async fn refresh_often(&self, stop: CancellationToken) {
        let clock = &self.runtime.clock;
        loop {
            let wait = if self.refresh().await.is_ok() { REFRESH } else { RETRY };
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // The next start knows how long nobody looked. If this cannot be written, it guesses a minute more.
                    let _ = self.decide(|_, _, draft| draft.changes.push(Alarms::alive(draft.now))).await;
                    return;
                }
                () = clock.sleep(wait) => {}
            }
        }
    }

    async fn refresh(&self) -> Result<(), StateError> {
        fn raised<M: Kind>(items: &Items) -> impl Iterator<Item = &watchbell_model::Alert> {
            M::items(items).values().flat_map(|item| &item.kept.raised)
        }
        let mut history = self.deciding().await;
        let mut draft = Draft::new(self.runtime.clock.now(), &self.site);
        {
            let world = self.world();
            let items = &world.items;
            draft.alerts.extend(raised::<monitor::Memory>(items).cloned());
            draft.alerts.extend(raised::<certificate::Memory>(items).cloned());
            draft.alerts.extend(raised::<heartbeat::Memory>(items).cloned());
            draft.alerts.extend(raised::<composite::Memory>(items).cloned());
            draft.alerts.extend(raised::<own::Memory>(items).cloned());
            let rules = world.groups.values().flat_map(|group| &group.rules);
            // One that nothing has confirmed for too long is over, whatever its rule thinks of it.
            let lasts = |alert: &watchbell_model::Alert| !alert.is_resolved_at(draft.now);
            draft.alerts.extend(rules.flat_map(|item| item.firing(&self.site)).filter(lasts));
        }
        draft.changes.push(Alarms::alive(draft.now));
        self.commit(&mut history, draft, |_, _| {}).await
    }
}
