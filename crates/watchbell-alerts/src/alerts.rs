//! The handle: takes alerts and silences in, waits for the next group, commits. It decides nothing itself.
//!
//! One loop makes all changes, so a commit under way never races with another: whoever holds the inbox. Everything that
//! was asked for while it was busy goes into the next commit together. A caller is answered after the commit; one that
//! stops waiting changes nothing, what it asked for is done all the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use watchbell_model::{
    Alert, BoxFuture, Change, Deliver, GroupNotification, Labels, Path, Problems, Raise, Severity, State, StateError,
    Timestamp,
};
use watchbell_runtime::metrics::Counter;
use watchbell_runtime::{CancellationToken, Runtime, Task, fault};

use crate::book::{ALERTS_MAX, Book, GROUPS_MAX, Moment};
use crate::config::Config;
use crate::downtime::{DowntimeConfig, DowntimeError, MadeDowntime};
use crate::episode::{Episode, EpisodeKey, Judgement, Verdict};
use crate::incident::{Incident, IncidentChange, IncidentError};
use crate::matcher::MatcherMode;
use crate::rows::{self, Rows};
use crate::silence::{Silence, SilenceError};
use crate::view::{Acknowledgement, AlertView, DowntimeView, GroupView, PlannedDowntime};

/// How many requests wait for the loop; further ones wait outside.
const COMMANDS_MAX: usize = 1024;
/// Waits between tries to hand groups on while the state cannot be written.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

const TROUBLE_STATE: &str = "state/alerts";
const TROUBLE_UNREADABLE: &str = "state/alerts-unreadable";
const TROUBLE_ALERTS: &str = "alerts-limit";
const TROUBLE_GROUPS: &str = "alert-groups-limit";

/// Alerts, groups and silences, and the loop that tells of them.
pub struct Alerts {
    runtime: Runtime,
    state: Arc<dyn State>,
    deliver: Arc<dyn Deliver>,
    book: Mutex<Book>,
    commands: mpsc::Sender<Command>,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Command>>,
    configured: Notify,
    opened: (Timestamp, Duration),
    counters: Counters,
}

struct Counters {
    raised: Counter,
    dropped: Counter,
    crowded: Counter,
    handed_on: Counter,
    failures: Counter,
}

type Answer<E> = oneshot::Sender<Result<(), E>>;

enum Command {
    Raise { alerts: Vec<Alert>, with: Vec<Change>, answer: Answer<StateError> },
    SetSilence { silence: Box<Silence>, answer: oneshot::Sender<Result<String, SilenceError>> },
    ExpireSilence { id: String, answer: Answer<SilenceError> },
    Acknowledge { which: Which, by: Option<Acknowledgement>, answer: oneshot::Sender<Result<usize, StateError>> },
    MakeDowntime { new: Box<MadeDowntime>, answer: oneshot::Sender<Result<String, DowntimeError>> },
    ChangeIncident { change: Box<IncidentChange>, answer: oneshot::Sender<Result<Incident, IncidentError>> },
    EndDowntime { id: String, answer: Answer<DowntimeError> },
    Judge { which: Vec<EpisodeKey>, verdict: Option<Verdict>, answer: oneshot::Sender<Result<usize, StateError>> },
}

/// Alerts somebody sees to.
enum Which {
    /// By fingerprint.
    Alerts(Vec<u64>),
    /// All that fire in a group.
    Group(String),
    /// Those of them that nobody sees to and that began by then.
    Unseen(String, Timestamp),
}

impl Alerts {
    /// Restores alerts, groups with their timers and what was told of them, and silences.
    ///
    /// Nothing can be raised before [`Alerts::apply`] gave a configuration, and nobody is told of anything before the
    /// [`Alerts::tasks`] run.
    pub fn open(runtime: Runtime, state: Arc<dyn State>, deliver: Arc<dyn Deliver>) -> Result<Arc<Alerts>, StateError> {
        let rows = Rows::read(&*state)?;
        let now = runtime.clock.now();
        if rows.unreadable > 0 {
            let summary = format!("{} documents of alerts cannot be understood and are left out", rows.unreadable);
            runtime.troubles.set(TROUBLE_UNREADABLE, Severity::Critical, summary);
        }
        let metrics = &runtime.metrics;
        let counters = Counters {
            raised: metrics.counter("watchbell_alerts_raised_total", "Alerts that were raised or refreshed.", &[]),
            dropped: metrics.counter("watchbell_alerts_dropped_total", "Alerts that found no room.", &[]),
            crowded: metrics.counter(
                "watchbell_alert_groups_crowded_total",
                "Alerts that found no room for a group of their own and share one.",
                &[],
            ),
            handed_on: metrics.counter(
                "watchbell_alert_notifications_total",
                "Groups of alerts that were handed on for delivery.",
                &[],
            ),
            failures: metrics.counter(
                "watchbell_alert_commit_failures_total",
                "Commits of alerts, groups or silences that failed.",
                &[],
            ),
        };
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let alerts = Alerts {
            opened: (now, runtime.clock.monotonic()),
            book: Mutex::new(Book::restore(rows, now)),
            commands,
            inbox: tokio::sync::Mutex::new(inbox),
            configured: Notify::new(),
            runtime,
            state,
            deliver,
            counters,
        };
        for verdict in Judgement::ALL {
            alerts.verdicts(verdict);
        }
        alerts.measure();
        Ok(Arc::new(alerts))
    }

    /// Makes this the configuration, or says all that is wrong with it and keeps the old one.
    ///
    /// Alerts find their groups anew; nobody is told twice of what they know.
    pub fn apply(&self, config: &Config) -> Result<(), Problems> {
        let mut problems = Problems::new();
        let policy = config.compile(&Path::root(), &mut problems);
        if problems.has_errors() {
            return Err(problems);
        }
        let moment = self.moment();
        self.book().configure(policy, moment);
        self.configured.notify_one();
        Ok(())
    }

    /// What must run for anything to be told.
    pub fn tasks(self: &Arc<Self>) -> Vec<Task> {
        let alerts = Arc::clone(self);
        vec![Task::new("groups", 0, move |stop| {
            let alerts = Arc::clone(&alerts);
            async move { alerts.run(stop).await }
        })]
    }

    /// Alerts that fire, by labels.
    pub fn alerts(&self) -> Vec<AlertView> {
        self.book().alert_views(self.runtime.clock.now())
    }

    /// Groups in which something fires, by labels and receiver.
    pub fn groups(&self) -> Vec<GroupView> {
        self.book().group_views(self.runtime.clock.now())
    }

    /// Who would be told of an alert with these labels, in the order of the routes.
    pub fn receivers_for(&self, labels: &Labels) -> Vec<String> {
        self.book().receivers_for(labels)
    }

    /// How the text of matchers is read.
    pub fn matcher_mode(&self) -> MatcherMode {
        self.book().matcher_mode()
    }

    /// All silences that are not forgotten yet, by name.
    pub fn silences(&self) -> Vec<Silence> {
        self.book().silences.iter().cloned().collect()
    }

    /// Makes a silence (with an empty `id`) or edits one; answers its name, which is a new one if an edit would have
    /// changed what was in force already.
    pub async fn set_silence(&self, silence: Silence) -> Result<String, SilenceError> {
        self.ask(|answer| Command::SetSilence { silence: Box::new(silence), answer }).await?
    }

    /// Ends a silence now.
    pub async fn expire_silence(&self, id: &str) -> Result<(), SilenceError> {
        self.ask(|answer| Command::ExpireSilence { id: id.to_owned(), answer }).await?
    }

    /// Downtimes as they stand, those in force first, then by when they come next.
    pub fn downtimes(&self) -> Vec<DowntimeView> {
        self.book().downtime_views(self.runtime.clock.now())
    }

    /// Makes a downtime; answers its name.
    ///
    /// # Errors
    /// What is wrong with it, or that it could not be kept.
    pub async fn make_downtime(&self, downtime: DowntimeConfig, by: &str, why: &str) -> Result<String, DowntimeError> {
        let (id, made_at) = (self.runtime.rng.uuid(), self.runtime.clock.now());
        let new = MadeDowntime { id, downtime, by: by.to_owned(), why: why.to_owned(), made_at, ended_at: None };
        self.ask(|answer| Command::MakeDowntime { new: Box::new(new), answer }).await?
    }

    /// Ends a downtime that was made, for good.
    ///
    /// # Errors
    /// There is none of that name, it is over, or it could not be kept.
    pub async fn end_downtime(&self, id: &str) -> Result<(), DowntimeError> {
        self.ask(|answer| Command::EndDowntime { id: id.to_owned(), answer }).await?
    }

    /// Downtimes that are in force or begin within `ahead` and cover one of these alerts; by when they are in force.
    pub fn downtimes_of(&self, alerts: &[Labels], ahead: Duration) -> Vec<PlannedDowntime> {
        self.book().downtimes_of(alerts, self.runtime.clock.now(), ahead)
    }

    /// Incidents that are not over, then those that are; the latest first.
    pub fn incidents(&self) -> Vec<Incident> {
        self.book().incidents.all()
    }

    /// Another number whenever an incident was changed.
    pub fn incidents_revision(&self) -> u64 {
        self.book().incidents_revision
    }

    /// Opens an incident, says more of it or takes it away; answers it as it is then, or was.
    ///
    /// # Errors
    /// What is wrong with it, or that it could not be kept.
    pub async fn change_incident(&self, change: IncidentChange) -> Result<Incident, IncidentError> {
        self.ask(|answer| Command::ChangeIncident { change: Box::new(change), answer }).await?
    }

    /// Notes who sees to alerts, by their fingerprints, or with `None` that nobody does any more. Answers how many of
    /// them fire and are changed by it.
    ///
    /// # Errors
    /// It could not be kept.
    pub async fn acknowledge(&self, fingerprints: Vec<u64>, by: Option<Acknowledgement>) -> Result<usize, StateError> {
        let which = Which::Alerts(fingerprints);
        self.ask(|answer| Command::Acknowledge { which, by, answer }).await?
    }

    /// The same of all that fires in a group, by the name its pages have (`GroupNotification::group_id`).
    ///
    /// # Errors
    /// It could not be kept.
    pub async fn acknowledge_group(&self, id: &str, by: Option<Acknowledgement>) -> Result<usize, StateError> {
        let which = Which::Group(id.to_owned());
        self.ask(|answer| Command::Acknowledge { which, by, answer }).await?
    }

    /// The same of what nobody sees to yet and began by `begun_by`: who was first stays, and word that comes late is not
    /// taken for a word about what broke since.
    ///
    /// # Errors
    /// It could not be kept.
    pub async fn acknowledge_unseen(
        &self,
        id: &str,
        by: Acknowledgement,
        begun_by: Timestamp,
    ) -> Result<usize, StateError> {
        let which = Which::Unseen(id.to_owned(), begun_by);
        self.ask(|answer| Command::Acknowledge { which, by: Some(by), answer }).await?
    }

    /// Notes what somebody says of episodes, or with `None` that they take it back. Answers how many there are that are
    /// changed by it.
    ///
    /// # Errors
    /// It could not be kept.
    pub async fn judge(&self, which: Vec<EpisodeKey>, verdict: Option<Verdict>) -> Result<usize, StateError> {
        self.ask(|answer| Command::Judge { which, verdict, answer }).await?
    }

    /// Alerts that people were told of, the latest first: those that `wanted` takes.
    pub fn episodes(&self, mut wanted: impl FnMut(&Episode) -> bool) -> Vec<Episode> {
        self.book().episodes.iter().filter(|episode| wanted(episode)).cloned().collect()
    }

    /// Labels of the alerts that fire in a group, by the name its pages have.
    pub fn firing_in(&self, group_id: &str) -> Vec<Labels> {
        let (book, now) = (self.book(), self.runtime.clock.now());
        let labels = |it: &u64| book.alerts.get(it).map(|entry| entry.row.alert.labels.clone());
        book.firing_in(group_id, now).iter().filter_map(labels).collect()
    }

    /// Has the loop do something; while none runs, as at the start, does it here.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, StateError> {
        let (answer, mut answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| unavailable("watchbell is stopping"))?;
        let mut inbox = tokio::select! {
            biased;
            answer = &mut answered => return answer.map_err(|_| unavailable("the work was cut off")),
            inbox = self.inbox.lock() => inbox,
        };
        // Whoever had the inbox before may have been cut off in the middle of a commit.
        self.book().end(self.moment());
        let mut commands = Vec::new();
        while let Ok(command) = inbox.try_recv() {
            commands.push(command);
        }
        self.take(commands).await;
        drop(inbox);
        answered.await.map_err(|_| unavailable("the work was cut off"))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic elsewhere must not silence every page after it.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moment(&self) -> Moment {
        let (opened_at, opened) = self.opened;
        let clock = &self.runtime.clock;
        Moment { now: clock.now(), steady: opened_at + clock.monotonic().saturating_sub(opened) }
    }

    async fn run(&self, stop: CancellationToken) {
        let mut inbox = self.inbox.lock().await;
        // A loop before this one may have been cut off in the middle of a commit.
        self.book().end(self.moment());
        let mut retry: Option<(Timestamp, Duration)> = None;
        loop {
            let mut commands = Vec::new();
            let configured = self.book().is_configured();
            let due = self.book().next_due().map(|due| retry.map_or(due, |(at, _)| due.max(at)));
            let wait = due.map(|due| due.since(self.moment().steady));
            let waited = async {
                match wait {
                    Some(wait) if configured => self.runtime.clock.sleep(wait).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.configured.notified() => {}
                _ = inbox.recv_many(&mut commands, COMMANDS_MAX) => {}
                () = waited => {}
            }
            // What was raised before what is due, so that a look sees all there is.
            self.take(commands).await;
            if retry.is_none_or(|(at, _)| at <= self.moment().steady) {
                let failed = self.flush().await.is_err();
                let pause = retry.map_or(RETRY_MIN, |(_, pause)| (pause * 2).min(RETRY_MAX));
                retry = failed.then(|| (self.moment().steady + pause, pause));
            }
            self.measure();
        }
        inbox.close();
        let mut rest = Vec::new();
        while inbox.recv_many(&mut rest, COMMANDS_MAX).await > 0 {
            self.take(std::mem::take(&mut rest)).await;
        }
        let _ = self.flush().await;
    }

    /// Does what was asked for: all alerts in one commit, then silences one by one.
    async fn take(&self, commands: Vec<Command>) {
        let (mut alerts, mut with, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        let mut silences = Vec::new();
        for command in commands {
            match command {
                Command::Raise { alerts: more, with: more_with, answer } => {
                    alerts.extend(more);
                    with.extend(more_with);
                    answers.push(answer);
                }
                other => silences.push(other),
            }
        }
        if !answers.is_empty() {
            let result = self.raise_now(alerts, with).await;
            for answer in answers {
                // Nobody need wait for it any more.
                let _ = answer.send(result.clone());
            }
        }
        for command in silences {
            match command {
                Command::SetSilence { silence, answer } => {
                    let _ = answer.send(self.set_silence_now(*silence).await);
                }
                Command::ExpireSilence { id, answer } => {
                    let _ = answer.send(self.expire_silence_now(&id).await);
                }
                Command::Acknowledge { which, by, answer } => {
                    let _ = answer.send(self.acknowledge_now(&which, by).await);
                }
                Command::MakeDowntime { new, answer } => {
                    let new = new.settled(self.matcher_mode());
                    let changes = self.book().plan_downtime(&new);
                    let _ = answer.send(match changes {
                        Ok(changes) => self.keep_downtime(new, changes).await,
                        Err(error) => Err(error),
                    });
                }
                Command::EndDowntime { id, answer } => {
                    let now = self.runtime.clock.now();
                    let ended = self.book().downtimes.ended(&id, now);
                    let _ = answer.send(match ended {
                        Ok(ended) => {
                            let changes = self.book().with_downtime(&ended);
                            self.keep_downtime(ended, changes).await.map(|_| ())
                        }
                        Err(error) => Err(error),
                    });
                }
                Command::ChangeIncident { change, answer } => {
                    let _ = answer.send(self.change_incident_now(*change).await);
                }
                Command::Judge { which, verdict, answer } => {
                    let _ = answer.send(self.judge_now(&which, verdict).await);
                }
                Command::Raise { .. } => {}
            }
        }
    }

    async fn raise_now(&self, alerts: Vec<Alert>, with: Vec<Change>) -> Result<(), StateError> {
        let count = alerts.len();
        let mut plan = {
            let mut book = self.book();
            if !book.is_configured() {
                return Err(unavailable("there are no routes yet"));
            }
            let plan = book.plan_raise(alerts, self.moment());
            book.begin();
            plan
        };
        let mut changes = std::mem::take(&mut plan.changes);
        changes.extend(with);
        fault::point("alerts.raise_planned");
        let result = self.commit(changes).await;
        let (dropped, crowded) = (plan.dropped, plan.crowded);
        {
            let mut book = self.book();
            if result.is_ok() {
                book.apply_raise(plan);
            } else {
                book.fail_raise(plan);
            }
            book.end(self.moment());
        }
        fault::point("alerts.raise_committed");
        if result.is_ok() {
            self.counters.raised.add(count as u64);
            self.say_limits(dropped, crowded);
        }
        result
    }

    fn say_limits(&self, dropped: u64, crowded: u64) {
        self.counters.dropped.add(dropped);
        self.counters.crowded.add(crowded);
        let troubles = &self.runtime.troubles;
        if dropped > 0 {
            let summary = format!("there are {ALERTS_MAX} alerts; further ones are dropped");
            troubles.set(TROUBLE_ALERTS, Severity::Critical, summary);
        }
        if crowded > 0 {
            let summary = format!("there are {GROUPS_MAX} groups of alerts; further alerts of a route share one group");
            troubles.set(TROUBLE_GROUPS, Severity::Warning, summary);
        }
    }

    async fn set_silence_now(&self, silence: Silence) -> Result<String, SilenceError> {
        let now = self.runtime.clock.now();
        let writes = {
            let book = self.book();
            book.silences.set(silence, self.runtime.rng.uuid(), book.matcher_mode(), now)?
        };
        self.commit(writes.iter().map(rows::put_silence).collect()).await?;
        let id = writes.last().map(|silence| silence.id.clone()).unwrap_or_default();
        let mut book = self.book();
        writes.into_iter().for_each(|silence| book.silences.insert(silence));
        Ok(id)
    }

    async fn expire_silence_now(&self, id: &str) -> Result<(), SilenceError> {
        let ended = self.book().silences.expire(id, self.runtime.clock.now())?;
        self.commit(vec![rows::put_silence(&ended)]).await?;
        self.book().silences.insert(ended);
        Ok(())
    }

    async fn acknowledge_now(&self, which: &Which, by: Option<Acknowledgement>) -> Result<usize, StateError> {
        let mut plan = {
            let (mut book, at) = (self.book(), self.moment());
            let fingerprints = match which {
                Which::Alerts(fingerprints) => fingerprints.clone(),
                Which::Group(id) => book.firing_in(id, at.now),
                Which::Unseen(id, begun_by) => {
                    let mut firing = book.firing_in(id, at.now);
                    firing.retain(|it| {
                        let row = book.alerts.get(it).map(|entry| &entry.row);
                        row.is_some_and(|row| row.acknowledged.is_none() && row.alert.starts_at <= *begun_by)
                    });
                    firing
                }
            };
            let plan = book.plan_acknowledge(&fingerprints, by.as_ref(), at);
            book.begin();
            plan
        };
        let count = plan.count();
        let notifications = std::mem::take(&mut plan.notifications);
        let result = self.hand_on(notifications, std::mem::take(&mut plan.changes)).await;
        let mut book = self.book();
        if result.is_ok() {
            book.apply_acknowledge(plan);
        }
        book.end(self.moment());
        result.map(|()| count)
    }

    async fn keep_downtime(&self, row: MadeDowntime, changes: Vec<Change>) -> Result<String, DowntimeError> {
        self.book().begin();
        fault::point("alerts.downtime_planned");
        let result = self.commit(changes).await;
        fault::point("alerts.downtime_committed");
        let id = row.id.clone();
        let mut book = self.book();
        match &result {
            Ok(()) => book.apply_downtime(row),
            Err(_) => book.fail_downtime(&id),
        }
        book.end(self.moment());
        result.map(|()| id).map_err(DowntimeError::from)
    }

    async fn change_incident_now(&self, change: IncidentChange) -> Result<Incident, IncidentError> {
        let mut plan = {
            let mut book = self.book();
            let plan = book.plan_incident(change, self.runtime.rng.uuid(), self.runtime.clock.now())?;
            book.begin();
            plan
        };
        fault::point("alerts.incident_planned");
        let result = self.commit(std::mem::take(&mut plan.changes)).await;
        fault::point("alerts.incident_committed");
        let mut book = self.book();
        let changed = match result {
            Ok(()) => Ok(book.apply_incident(plan)),
            Err(error) => {
                book.fail_incident(&plan);
                Err(error.into())
            }
        };
        book.end(self.moment());
        changed
    }

    async fn judge_now(&self, which: &[EpisodeKey], verdict: Option<Verdict>) -> Result<usize, StateError> {
        let mut plan = {
            let mut book = self.book();
            let plan = book.plan_verdict(which, verdict.as_ref());
            book.begin();
            plan
        };
        let count = plan.count();
        let result = self.commit(std::mem::take(&mut plan.changes)).await;
        let mut book = self.book();
        if result.is_ok() {
            book.apply_verdict(plan);
            if let Some(verdict) = verdict {
                self.verdicts(verdict.verdict).add(count as u64);
            }
        }
        book.end(self.moment());
        result.map(|()| count)
    }

    fn verdicts(&self, verdict: Judgement) -> Counter {
        let help = "Verdicts on alerts that people were told of.";
        self.runtime.metrics.counter("watchbell_verdicts_total", help, &[("verdict", verdict.as_str())])
    }

    /// Looks at all groups that are due. On an error they stay due.
    async fn flush(&self) -> Result<(), StateError> {
        loop {
            let mut plan = {
                let mut book = self.book();
                let Some(plan) = book.plan_flush(self.moment()) else { return Ok(()) };
                book.begin();
                plan
            };
            let changes = std::mem::take(&mut plan.changes);
            let notifications = std::mem::take(&mut plan.notifications);
            let count = notifications.len() as u64;
            fault::point("alerts.flush_decided");
            let result = self.hand_on(notifications, changes).await;
            fault::point("alerts.flush_committed");
            let mut book = self.book();
            if result.is_ok() {
                book.apply_flush(plan);
                self.counters.handed_on.add(count);
            } else {
                book.fail_flush(plan);
            }
            book.end(self.moment());
            result?;
        }
    }

    /// Commits changes together with what is told.
    async fn hand_on(&self, notifications: Vec<GroupNotification>, changes: Vec<Change>) -> Result<(), StateError> {
        if notifications.is_empty() {
            return self.commit(changes).await;
        }
        let result = self.deliver.deliver(notifications, changes).await;
        self.report(&result);
        result
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StateError> {
        if changes.is_empty() {
            return Ok(());
        }
        let result = self.state.commit(changes).await;
        self.report(&result);
        result
    }

    fn report(&self, result: &Result<(), StateError>) {
        match result {
            Ok(()) => self.runtime.troubles.clear(TROUBLE_STATE),
            Err(error) => {
                self.counters.failures.inc();
                let summary = format!("alerts cannot be kept, pages wait until they can: {error}");
                self.runtime.troubles.set(TROUBLE_STATE, Severity::Critical, summary);
            }
        }
    }

    fn measure(&self) {
        let (alerts, groups, silences, episodes) = {
            let book = self.book();
            (book.alerts.len(), book.groups.len(), book.silences.len(), book.episodes.len())
        };
        let troubles = &self.runtime.troubles;
        if alerts < ALERTS_MAX {
            troubles.clear(TROUBLE_ALERTS);
        }
        if groups < GROUPS_MAX {
            troubles.clear(TROUBLE_GROUPS);
        }
        let metrics = &self.runtime.metrics;
        metrics.gauge("watchbell_alerts", "Alerts that are kept.", &[]).set(alerts as f64);
        metrics.gauge("watchbell_alert_groups", "Groups of alerts.", &[]).set(groups as f64);
        let help = "Alerts, over or not, that people were told of and that are remembered.";
        metrics.gauge("watchbell_alert_episodes", help, &[]).set(episodes as f64);
        metrics.gauge("watchbell_silences", "Silences that are kept, ended ones included.", &[]).set(silences as f64);
    }
}

fn unavailable(reason: &str) -> StateError {
    StateError { doing: "written", reason: reason.to_owned() }
}

impl Raise for Alerts {
    fn raise(&self, alerts: Vec<Alert>, with: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move { self.ask(|answer| Command::Raise { alerts, with, answer }).await? })
    }
}
