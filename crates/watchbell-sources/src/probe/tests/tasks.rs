//! Monitors as running tasks: what is handed on, and what happens when those who take it fail.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::expect;
use watchbell_model::{
    Append, AppendError, Appended, Batch, BoxFuture, Change, MemoryState, Observation, Observe, StateError, is_stale,
};
use watchbell_runtime::sim::{self, World};
use watchbell_runtime::{Clock, Runtime};

use super::super::{EgressConfig, Live, MonitorConfig, tasks};
use crate::Context;

const WORKS: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;

/// Takes everything, and writes down what came when.
pub(super) struct Log {
    clock: Clock,
    pub(super) lines: Mutex<Vec<String>>,
    store: AtomicU8,
    judge: AtomicU8,
}

impl Log {
    pub(super) fn note(&self, line: String) {
        let at = self.clock.monotonic().as_secs();
        self.lines.lock().unwrap().push(format!("{at}s {line}"));
    }
}

impl Append for Log {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            match self.store.load(Ordering::SeqCst) {
                FAILS => return Err(AppendError::Unavailable("the disk is full".into())),
                HANGS => std::future::pending().await,
                _ => {}
            }
            let ended = batch.samples.iter().filter(|sample| is_stale(sample.value)).count();
            self.note(format!("{} samples, {ended} of them ends", batch.len()));
            Ok(Appended { kept: batch.len() as u64, ..Appended::default() })
        })
    }
}

impl Observe for Log {
    fn observe(&self, seen: Vec<Observation>, _: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move {
            if self.judge.load(Ordering::SeqCst) == FAILS {
                return Err(StateError { doing: "written", reason: "the disk is full".into() });
            }
            for one in seen {
                let Observation::Probe(result) = one else { panic!("not a probe") };
                self.note(format!("{} {}", result.monitor, if result.success { "up" } else { "down" }));
            }
            Ok(())
        })
    }
}

pub(super) fn start(world: &World, monitors: &[MonitorConfig]) -> (Arc<Log>, Runtime, Context) {
    let runtime = world.runtime();
    let log = Arc::new(Log {
        clock: runtime.clock.clone(),
        lines: Mutex::default(),
        store: AtomicU8::new(WORKS),
        judge: AtomicU8::new(WORKS),
    });
    let context = Context {
        runtime: runtime.clone(),
        append: log.clone(),
        observe: log.clone(),
        state: Arc::new(MemoryState::new()),
        live: Live::default(),
    };
    runtime.supervisor.reconcile("probe", tasks(monitors, &EgressConfig::default(), &context));
    (log, runtime, context)
}

pub(super) fn monitor(text: &str) -> MonitorConfig {
    serde_json::from_str(text).unwrap()
}

const SSH: &str = r#"{"name": "ssh", "tcp": {"host": "mail.example", "port": 22}}"#;

#[test]
fn what_a_monitor_sees_is_handed_on() {
    let told = sim::run(1, |world| async move {
        world.net.serve("mail.example", 22, |_| std::future::pending());
        let (log, runtime, _) = start(&world, &[monitor(SSH)]);
        runtime.clock.sleep(Duration::from_secs(60)).await;
        world.net.refuse("mail.example", 22);
        runtime.clock.sleep(Duration::from_secs(180)).await;
        runtime.supervisor.stop().await;
        log.lines.lock().unwrap().join("\n")
    });
    expect![[r#"
        9s ssh up
        9s 4 samples, 0 of them ends
        58s ssh up
        58s 4 samples, 0 of them ends
        118s ssh down
        118s 4 samples, 2 of them ends
        138s ssh down
        138s 2 samples, 0 of them ends
        158s ssh down
        158s 2 samples, 0 of them ends
        178s ssh down
        178s 2 samples, 0 of them ends
        238s ssh down
        238s 2 samples, 0 of them ends"#]]
    .assert_eq(&told);
}

#[test]
fn a_store_that_fails_or_hangs_stops_no_observation() {
    for broken in [FAILS, HANGS] {
        let (told, troubles) = sim::run(1, |world| async move {
            world.net.serve("mail.example", 22, |_| std::future::pending());
            let (log, runtime, _) = start(&world, &[monitor(SSH)]);
            log.store.store(broken, Ordering::SeqCst);
            runtime.clock.sleep(Duration::from_secs(200)).await;
            let troubles: Vec<String> = runtime.troubles.list().into_iter().map(|it| it.key).collect();
            log.store.store(WORKS, Ordering::SeqCst);
            runtime.clock.sleep(Duration::from_secs(60)).await;
            assert_eq!(runtime.troubles.list(), []);
            let lines = log.lines.lock().unwrap().join("\n");
            (lines, troubles)
        });
        let all = "9s ssh up\n58s ssh up\n118s ssh up\n178s ssh up\n238s ssh up\n238s 4 samples, 0 of them ends";
        assert_eq!(told, all);
        assert_eq!(troubles, ["probe/append"]);
    }
}

#[test]
fn an_observation_that_could_not_be_judged_is_handed_on_again() {
    let told = sim::run(1, |world| async move {
        world.net.serve("mail.example", 22, |_| std::future::pending());
        let (log, runtime, _) = start(&world, &[monitor(SSH)]);
        log.judge.store(FAILS, Ordering::SeqCst);
        runtime.clock.sleep(Duration::from_secs(15)).await;
        assert_eq!(runtime.troubles.list().len(), 1);
        log.judge.store(WORKS, Ordering::SeqCst);
        runtime.clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(runtime.troubles.list(), []);
        log.lines.lock().unwrap().join("\n")
    });
    expect![[r#"
        9s 4 samples, 0 of them ends
        15s ssh up"#]]
    .assert_eq(&told);
}

#[test]
fn a_reload_leaves_unchanged_monitors_alone() {
    let told = sim::run(1, |world| async move {
        let imap = |password: &str| {
            monitor(&format!(
                r#"{{"name": "imap", "imap": {{"host": "mail.example", "login": {{"username": "u", "password": "{password}"}}}}}}"#
            ))
        };
        let (_, runtime, context) = start(&world, &[monitor(SSH), imap("old")]);
        let keys = |monitors: &[MonitorConfig]| -> Vec<u64> {
            tasks(monitors, &EgressConfig::default(), &context).into_iter().map(|task| task.key).collect()
        };
        let (before, same, changed) = (
            keys(&[monitor(SSH), imap("old")]),
            keys(&[monitor(SSH), imap("old")]),
            keys(&[monitor(SSH), imap("new")]),
        );
        assert_eq!(before, same);
        assert_eq!(before[0], changed[0]);
        assert_ne!(before[1], changed[1]);
        runtime.supervisor.tasks().into_iter().map(|task| task.name).collect::<Vec<_>>().join(" ")
    });
    assert_eq!(told, "probe/imap probe/ssh");
}
