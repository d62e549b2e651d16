//! A crash at every step: each page arrives, and where the receiver knows keys, once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use watchbell_model::{BoxFuture, Change, Deliver, MemoryState, State, StateError};
use watchbell_runtime::sim::{self, World};

use crate::world::{Answer, OK, Process, Receiver, config, firing, minutes, receivers, resolved, webhooks};

/// Where the process dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    /// Just before the commit of this number is on disk.
    BeforeCommit(u64),
    /// Just after.
    AfterCommit(u64),
    /// When the receiver has the request of this number, before it answers.
    Received(u64),
}

/// Durable state of a process that dies: after the crash no commit ends.
struct Dying {
    inner: Arc<MemoryState>,
    crash: Crash,
    commits: AtomicU64,
    dead: tokio::sync::watch::Sender<bool>,
}

impl State for Dying {
    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move {
            let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
            if self.crash == Crash::BeforeCommit(number) || *self.dead.borrow() {
                self.dead.send_replace(true);
                return std::future::pending().await;
            }
            let result = self.inner.commit(changes).await;
            if self.crash == Crash::AfterCommit(number) {
                self.dead.send_replace(true);
                return std::future::pending().await;
            }
            result
        })
    }
    fn get(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.inner.get(table, key)
    }
    fn scan(&self, table: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        self.inner.scan(table, from, limit)
    }
    fn scan_back(&self, table: &str, before: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        self.inner.scan_back(table, before, limit)
    }
}

/// What the alerts stage does: hands in what its own rows say it has not handed in yet.
async fn hand_in(process: &Process, disk: &MemoryState, world: &World) {
    let now = world.clock.now();
    for (name, group) in [("firing", firing("imap", now)), ("resolved", resolved("imap", now))] {
        if disk.get("test.handed_in", name).unwrap().is_some() {
            continue;
        }
        let with = vec![Change::put("test.handed_in", name, &1)];
        process.notify.deliver(vec![group], with).await.unwrap();
    }
}

fn run(crash: Crash) -> bool {
    sim::run(3, |world| async move {
        let (dead, mut died) = tokio::sync::watch::channel(false);
        let arrivals: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (log, dying) = (Arc::clone(&arrivals), dead.clone());
        Receiver::at(&world, "there", move |number, seen| {
            let resolved = if seen.body.contains("RESOLVED") { "resolved" } else { "firing" };
            log.lock().unwrap().push((resolved.to_owned(), seen.header("idempotency-key").to_owned()));
            if crash == Crash::Received(number as u64 + 1) {
                dying.send_replace(true);
                return Answer::Hang;
            }
            OK
        });
        let disk = Arc::new(MemoryState::new());
        let state = Arc::new(Dying { inner: Arc::clone(&disk), crash, commits: AtomicU64::new(0), dead });
        let process = Process::start(&world, state, config(webhooks(&["there"])));
        let crashed = tokio::select! {
            biased;
            _ = died.wait_for(|dead| *dead) => true,
            () = async {
                hand_in(&process, &disk, &world).await;
                assert!(process.settle(minutes(60)).await);
            } => false,
        };
        process.crash();
        if crashed {
            let process = Process::start(&world, Arc::clone(&disk) as Arc<dyn State>, config(webhooks(&["there"])));
            hand_in(&process, &disk, &world).await;
            assert!(process.settle(minutes(60)).await, "{crash:?}");
        }
        let arrivals = arrivals.lock().unwrap().clone();
        let once: BTreeSet<&(String, String)> = arrivals.iter().collect();
        let names: Vec<&str> = once.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["firing", "resolved"], "{crash:?}: {arrivals:?}");
        assert!(arrivals.len() <= 3, "{crash:?}: one crash doubles one page at most: {arrivals:?}");
        let firing = arrivals.iter().position(|(name, _)| name == "firing");
        let resolved = arrivals.iter().position(|(name, _)| name == "resolved");
        assert!(firing < resolved, "{crash:?}: {arrivals:?}");
        crashed
    })
}

#[test]
fn a_crash_at_any_step_loses_no_page() {
    let mut crashes = 0;
    for make in [Crash::BeforeCommit, Crash::AfterCommit, Crash::Received] as [fn(u64) -> Crash; 3] {
        let mut number = 1;
        while run(make(number)) {
            number += 1;
            crashes += 1;
        }
    }
    // Two pages: each is enqueued, claimed, sent and marked.
    assert!(crashes >= 14, "{crashes}");
}

/// Ten pages at once, which are told of in one. Whether the crash happened.
fn run_flood(crash: Crash) -> bool {
    sim::run(3, |world| async move {
        let (dead, mut died) = tokio::sync::watch::channel(false);
        let dying = dead.clone();
        let there = Receiver::at(&world, "there", move |number, _| {
            if crash == Crash::Received(number as u64 + 1) {
                dying.send_replace(true);
                return Answer::Hang;
            }
            OK
        });
        let topic = serde_json::json!([{"name": "oncall", "ntfy_configs": [{"url": "http://there", "topic": "t"}]}]);
        let config = || config(receivers(topic.clone()));
        let disk = Arc::new(MemoryState::new());
        let state = Arc::new(Dying { inner: Arc::clone(&disk), crash, commits: AtomicU64::new(0), dead });
        let process = Process::start(&world, state, config());
        let now = world.clock.now();
        let hand_in = async |process: &Process| {
            if disk.get("test.handed_in", "all").unwrap().is_none() {
                let groups = (0..10).map(|at| firing(&format!("service <{at}>"), now)).collect();
                let with = vec![Change::put("test.handed_in", "all", &1)];
                process.notify.deliver(groups, with).await.unwrap();
            }
        };
        let crashed = tokio::select! {
            biased;
            _ = died.wait_for(|dead| *dead) => true,
            () = async {
                hand_in(&process).await;
                assert!(process.settle(minutes(60)).await);
            } => false,
        };
        process.crash();
        if crashed {
            let process = Process::start(&world, Arc::clone(&disk) as Arc<dyn State>, config());
            hand_in(&process).await;
            assert!(process.settle(minutes(60)).await, "{crash:?}");
        }
        let told: String = there.seen().into_iter().map(|seen| seen.body).collect();
        for at in 0..10 {
            assert!(told.contains(&format!("service <{at}>")), "{crash:?}: {at} is missing in {told}");
        }
        assert!(there.count() <= 2, "{crash:?}: {}", there.count());
        crashed
    })
}

#[test]
fn a_crash_at_any_step_of_a_flood_loses_no_page() {
    let mut crashes = 0;
    for make in [Crash::BeforeCommit, Crash::AfterCommit, Crash::Received] as [fn(u64) -> Crash; 3] {
        let mut number = 1;
        while run_flood(make(number)) {
            number += 1;
            crashes += 1;
        }
    }
    assert!(crashes >= 8, "{crashes}");
}
