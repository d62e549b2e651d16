//! Tasks: named, owned, restarted, stopped in order.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use watchbell_model::{BoxFuture, Severity};

use crate::{Clock, Metrics, Rng, Troubles};

/// How a task is run: called again when the task ended before it was asked to.
pub type Run = Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, ()> + Send + Sync>;

/// Work that goes on until it is told to stop.
#[derive(Clone)]
pub struct Task {
    /// What it is, such as `probe:imap`; unique within its group.
    pub name: String,
    /// A hash of what it was made from: a task whose key changed is started anew on reload.
    pub key: u64,
    /// The work. It returns soon after its token is cancelled.
    pub run: Run,
}

impl Task {
    /// A task of this name, made from something that hashes to `key`.
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        name: impl Into<String>,
        key: u64,
        run: impl Fn(CancellationToken) -> F + Send + Sync + 'static,
    ) -> Task {
        Task { name: name.into(), key, run: Arc::new(move |stop| Box::pin(run(stop))) }
    }
}

/// A task as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// `<group>/<name>`.
    pub name: String,
    /// How often it ended or panicked before it was asked to.
    pub restarts: u64,
}

/// Owns all tasks.
#[derive(Clone)]
pub struct Supervisor {
    clock: Clock,
    rng: Rng,
    metrics: Metrics,
    troubles: Troubles,
    groups: Arc<Mutex<Groups>>,
}

/// Groups in the order in which they are stopped.
type Groups = Vec<(String, BTreeMap<String, Running>)>;

struct Running {
    key: u64,
    stop: CancellationToken,
    restarts: Arc<std::sync::atomic::AtomicU64>,
    handle: tokio::task::JoinHandle<()>,
}

const RESTART_MIN: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(30);
/// A task that ran this long without ending counts as healthy again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// How long a task may take to return after it was asked to stop; then it is cut off.
const STOP_MAX: Duration = Duration::from_secs(8);

impl Supervisor {
    /// No tasks yet.
    pub fn new(clock: Clock, rng: Rng, metrics: Metrics, troubles: Troubles) -> Supervisor {
        Supervisor { clock, rng, metrics, troubles, groups: Arc::default() }
    }

    /// Makes the tasks of a group be these: what is not listed is stopped, what is unchanged goes on untouched.
    ///
    /// Groups are stopped in the order in which they first appeared, so the way of the data decides it.
    pub fn reconcile(&self, group: &str, tasks: Vec<Task>) {
        let mut groups = self.groups.lock().expect("no panic while held");
        let at = groups.iter().position(|(name, _)| name == group).unwrap_or_else(|| {
            groups.push((group.to_owned(), BTreeMap::new()));
            groups.len() - 1
        });
        let running = &mut groups[at].1;
        let wanted: HashMap<&str, u64> = tasks.iter().map(|task| (task.name.as_str(), task.key)).collect();
        running.retain(|name, have| {
            let keep = wanted.get(name.as_str()) == Some(&have.key);
            if !keep {
                have.stop.cancel();
            }
            keep
        });
        for task in tasks {
            if !running.contains_key(&task.name) {
                let name = task.name.clone();
                running.insert(name, self.start(format!("{group}/{}", task.name), task));
            }
        }
    }

    /// Adds one task to a group.
    pub fn spawn(&self, group: &str, task: Task) {
        let started = self.start(format!("{group}/{}", task.name), task.clone());
        let mut groups = self.groups.lock().expect("no panic while held");
        let at = groups.iter().position(|(name, _)| name == group).unwrap_or_else(|| {
            groups.push((group.to_owned(), BTreeMap::new()));
            groups.len() - 1
        });
        if let Some(old) = groups[at].1.insert(task.name, started) {
            old.stop.cancel();
        }
    }

    /// Work that is over when it is over, such as one connection; dropped when its token's owner stops.
    pub fn detached(&self, run: impl Future<Output = ()> + Send + 'static) {
        #[expect(clippy::disallowed_methods, reason = "this is the door the others point at")]
        drop(tokio::spawn(run));
    }

    /// All tasks that run.
    pub fn tasks(&self) -> Vec<TaskStatus> {
        let groups = self.groups.lock().expect("no panic while held");
        let one = |group: &str, name: &str, task: &Running| TaskStatus {
            name: format!("{group}/{name}"),
            restarts: task.restarts.load(std::sync::atomic::Ordering::Relaxed),
        };
        groups.iter().flat_map(|(group, tasks)| tasks.iter().map(move |(name, task)| one(group, name, task))).collect()
    }

    /// Stops group after group, in the order in which they appeared; names what did not stop in time.
    pub async fn stop(&self) {
        let groups = std::mem::take(&mut *self.groups.lock().expect("no panic while held"));
        for (group, tasks) in groups {
            for task in tasks.values() {
                task.stop.cancel();
            }
            for (name, mut task) in tasks {
                if self.clock.timeout(STOP_MAX, &mut task.handle).await.is_err() {
                    tracing::warn!(task = format!("{group}/{name}"), "did not stop in time and is cut off");
                    task.handle.abort();
                }
            }
        }
    }

    /// Cuts every task off where it stands, as a crash would (for the simulator).
    pub fn abort(&self) {
        for (_, tasks) in std::mem::take(&mut *self.groups.lock().expect("no panic while held")) {
            for task in tasks.into_values() {
                task.handle.abort();
            }
        }
    }

    fn start(&self, full_name: String, task: Task) -> Running {
        let stop = CancellationToken::new();
        let restarts = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let (clock, rng, troubles) = (self.clock.clone(), self.rng.clone(), self.troubles.clone());
        let counter = self.metrics.counter(
            "watchbell_task_restarts_total",
            "Tasks that ended or panicked before they were asked to.",
            &[],
        );
        let (token, count, run) = (stop.clone(), Arc::clone(&restarts), task.run);
        let body = async move {
            let mut wait = RESTART_MIN;
            let trouble = format!("task/{full_name}");
            loop {
                let begun = clock.monotonic();
                let work = AssertUnwindSafe(async { run(token.clone()).await }).catch_unwind();
                tokio::pin!(work);
                // A task that runs well for a while clears the trouble of its earlier ends.
                let ended = tokio::select! {
                    biased;
                    ended = &mut work => ended,
                    () = clock.sleep(HEALTHY_AFTER) => {
                        troubles.clear(&trouble);
                        wait = RESTART_MIN;
                        work.await
                    }
                };
                if token.is_cancelled() {
                    troubles.clear(&trouble);
                    return;
                }
                let why = match ended {
                    Ok(()) => "ended".to_owned(),
                    Err(panic) => format!("panicked: {}", panic_text(&*panic)),
                };
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                counter.inc();
                let ran = clock.monotonic().saturating_sub(begun);
                tracing::error!(task = full_name, ran_seconds = ran.as_secs_f64(), "{why}");
                troubles.set(
                    &trouble,
                    Severity::Critical,
                    format!("the task {full_name} {why}; it is being restarted"),
                );
                let jitter = wait.mul_f64(0.5 + rng.unit() / 2.0);
                tokio::select! {
                    biased;
                    () = token.cancelled() => {
                        // Whatever was wrong with it, it is wanted no more.
                        troubles.clear(&trouble);
                        return;
                    }
                    () = clock.sleep(jitter) => {}
                }
                wait = (wait * 2).min(RESTART_MAX);
            }
        };
        #[expect(clippy::disallowed_methods, reason = "this is the door the others point at")]
        let handle = tokio::spawn(body);
        Running { key: task.key, stop, restarts, handle }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
