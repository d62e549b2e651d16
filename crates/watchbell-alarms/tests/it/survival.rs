//! Crashes, full disks and new configurations: nothing is lost, nothing is told twice, nothing resolves by accident.

use std::sync::atomic::Ordering;

use expect_test::expect;
use proptest::prelude::*;
use watchbell_alarms::HISTORY_MAX;
use watchbell_model::{AlarmState, PingKind, Severity};
use watchbell_runtime::sim;

use crate::world::{Disk, desired, heartbeat, monitor};

#[test]
fn a_commit_that_fails_changes_nothing_and_is_made_good() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[monitor("IMAP", 0)], &[heartbeat("backup", "1m", "1m")])).await;
        bell.probe("IMAP", None).await.unwrap();
        bell.ping("backup", PingKind::Success).await;
        disk.raised.broken.store(true, Ordering::SeqCst);
        assert!(bell.probe("IMAP", Some("refused")).await.is_err());
        assert_eq!(bell.alarms.status("monitor/IMAP").unwrap().state, AlarmState::Ok);
        bell.wait("150s").await;
        assert_eq!(bell.runtime.troubles.list()[0].key, "state/alarms");
        assert_eq!(disk.raised.take(), "");
        disk.raised.broken.store(false, Ordering::SeqCst);
        bell.probe("IMAP", Some("refused")).await.unwrap();
        bell.wait("10s").await;
        expect![[r#"
            2m30s firing heartbeat/backup: backup is down: the job has not reported since 00:00 UTC
            2m30s firing self/state/alarms: watchbell: alarms: for 2 minutes 28 seconds no decision could be written, and nobody told of it; it can be now
            2m30s firing monitor/IMAP: IMAP is down: refused (1 of 1 probes failed, since 00:02 UTC)
        "#]]
        .assert_eq(&disk.raised.take());
        // Nobody could be told of it while it lasted, so it is told for a while.
        assert_eq!(bell.runtime.troubles.list()[0].key, "state/alarms");
        bell.wait("11m").await;
        assert!(bell.runtime.troubles.list().iter().all(|trouble| trouble.key != "state/alarms"));
        assert!(disk.raised.take().contains("resolved self/state/alarms"));
    });
}

#[test]
fn what_is_seen_again_and_again_costs_no_commit() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[monitor("IMAP", 1)], &[])).await;
        for failure in [None, Some("refused"), Some("refused")] {
            bell.probe("IMAP", failure).await.unwrap();
            let before = disk.state.commits();
            bell.probe("IMAP", failure).await.unwrap();
            bell.probe("IMAP", failure).await.unwrap();
            assert!(disk.state.commits() - before <= 1, "{failure:?}");
        }
    });
}

#[test]
fn what_is_not_configured_any_more_ends_and_what_is_goes_on() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let all =
            desired(&[monitor("IMAP", 0), monitor("SMTP", 0), monitor("POP3", 0)], &[heartbeat("backup", "1h", "1m")]);
        let bell = disk.start(all).await;
        for name in ["IMAP", "SMTP", "POP3"] {
            bell.probe(name, Some("refused")).await.unwrap();
        }
        bell.ping("backup", PingKind::Fail).await;
        disk.raised.take();
        let mut louder = monitor("IMAP", 0);
        louder.severity = Severity::Warning;
        bell.alarms.apply(desired(&[louder.clone(), monitor("SMTP", 3)], &[])).await.unwrap();
        expect![[r#"
            0s resolved monitor/IMAP: IMAP is down: refused (1 of 1 probes failed, since 00:00 UTC) [it goes on under other labels]
            0s firing monitor/IMAP: IMAP is down: refused (1 of 1 probes failed, since 00:00 UTC)
            0s resolved monitor/POP3: POP3 is down: refused (1 of 1 probes failed, since 00:00 UTC) [removed from the configuration]
            0s resolved heartbeat/backup: backup is down: the job reported a failure at 00:00 UTC [removed from the configuration]
        "#]].assert_eq(&disk.raised.take());
        // What vanishes while watchbell is not running ends at the start.
        bell.crash();
        let bell = disk.start(desired(&[louder], &[])).await;
        expect![[r#"
            0s resolved monitor/SMTP: SMTP is down: refused (1 of 1 probes failed, since 00:00 UTC) [removed from the configuration]
        "#]].assert_eq(&disk.raised.take());
        assert_eq!(bell.alarms.statuses().len(), 1);
        assert_eq!(disk.raised.firing().len(), 1);
    });
}

#[test]
fn what_fires_is_raised_again_at_the_start_and_every_minute() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[monitor("IMAP", 0)], &[])).await;
        bell.probe("IMAP", Some("refused")).await.unwrap();
        let first = disk.raised.firing();
        bell.crash();
        disk.raised.forget();
        let bell = disk.start(desired(&[monitor("IMAP", 0)], &[])).await;
        bell.wait("1s").await;
        assert_eq!(disk.raised.firing(), first);
        disk.raised.forget();
        bell.wait("1m").await;
        assert_eq!(disk.raised.firing(), first);
    });
}

#[test]
fn what_is_seen_at_once_is_told_in_its_order() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[], &[heartbeat("backup", "1h", "1m"), heartbeat("mirror", "1h", "1m")])).await;
        bell.wait("1s").await;
        let before = disk.state.commits();
        tokio::join!(
            bell.ping("backup", PingKind::Success),
            bell.ping("mirror", PingKind::Success),
            bell.ping("backup", PingKind::Fail),
            bell.ping("mirror", PingKind::Fail),
            bell.ping("backup", PingKind::Success),
        );
        assert_eq!(disk.state.commits() - before, 2, "many pings, one commit; one more after what they raised");
        expect![[r#"
            1s firing heartbeat/backup: backup is down: the job reported a failure at 00:00 UTC
            1s firing heartbeat/mirror: mirror is down: the job reported a failure at 00:00 UTC
            1s resolved heartbeat/backup: backup is down: the job reported a failure at 00:00 UTC [the job reported again; before that at 00:00 UTC]
        "#]].assert_eq(&disk.raised.take());
    });
}

#[test]
fn what_was_seen_is_judged_although_nobody_waits_for_it() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[monitor("IMAP", 0)], &[])).await;
        tokio::select! {
            biased;
            _ = bell.probe("IMAP", Some("refused")) => panic!("it cannot be judged yet"),
            () = std::future::ready(()) => {}
        }
        bell.wait("1s").await;
        assert_eq!(bell.alarms.status("monitor/IMAP").unwrap().state, AlarmState::Alarm);
        bell.runtime.supervisor.stop().await;
        expect!["durable state cannot be written: watchbell is stopping"]
            .assert_eq(&bell.probe("IMAP", None).await.unwrap_err().to_string());
    });
}

#[test]
fn the_history_keeps_the_newest() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[monitor("IMAP", 0)], &[])).await;
        for round in 0..HISTORY_MAX + 10 {
            let failure = (round % 2 == 1).then_some("refused");
            bell.probe("IMAP", failure).await.unwrap();
        }
        assert_eq!(bell.alarms.history(None, usize::MAX).len(), HISTORY_MAX);
        assert_eq!(bell.alarms.history(Some("monitor/IMAP"), 3).len(), 3);
        assert_eq!(bell.alarms.history(Some("monitor/SMTP"), 3).len(), 0);
        bell.crash();
        let bell = disk.start(desired(&[monitor("IMAP", 0)], &[])).await;
        bell.probe("IMAP", None).await.unwrap();
        let history = bell.alarms.history(None, usize::MAX);
        assert_eq!((history.len(), history[0].to), (HISTORY_MAX, AlarmState::Ok));
    });
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Up,
    Down,
    Ping(PingKind),
    Wait(u64),
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![Just(PingKind::Success), Just(PingKind::Fail), Just(PingKind::Start), Just(PingKind::Log),];
    let step = prop_oneof![
        2 => Just(Step::Up),
        3 => Just(Step::Down),
        3 => kind.prop_map(Step::Ping),
        3 => (1_u64..400).prop_map(Step::Wait),
        2 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..30)
}

/// Everything that was raised and the states at the end; crashes are played or passed over.
fn play(steps: &[Step], crashes: bool) -> (String, String) {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let wanted = || desired(&[monitor("IMAP", 2)], &[heartbeat("backup", "3m", "2m")]);
        let mut bell = disk.start(wanted()).await;
        for step in steps {
            match step {
                Step::Up => bell.probe("IMAP", None).await.unwrap(),
                Step::Down => bell.probe("IMAP", Some("refused")).await.unwrap(),
                Step::Ping(kind) => bell.ping("backup", *kind).await,
                Step::Wait(seconds) => bell.wait(&format!("{seconds}s")).await,
                Step::Crash => {
                    // Not in the very moment of a deadline: what was due and not judged yet gets a grace, rightly.
                    bell.wait("307ms").await;
                    if crashes {
                        bell.crash();
                        bell = disk.start(wanted()).await;
                    }
                }
            }
        }
        bell.wait("1s").await;
        // What is known of monitors that give no results is counted from the start anew.
        let mine = |line: &&str| !line.contains("self/");
        let raised: String = disk.raised.take().lines().filter(mine).collect::<Vec<_>>().join("\n");
        let mut states = String::new();
        for id in ["monitor/IMAP", "heartbeat/backup"] {
            let status = bell.alarms.status(id).unwrap();
            // A monitor that nobody heard of is unknown later if watchbell was started later.
            let state = if status.state == AlarmState::Alarm { "ALARM" } else { "not" };
            states.push_str(&format!("{id} {state} {:?}\n", status.contributors));
        }
        states.push_str(&format!("{:?}\n", bell.alarms.heartbeats()));
        (raised, states)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A restart at any moment changes nothing: the same alerts at the same times, the same states at the end. That a
    /// resolved alert was firing before is asserted by whoever takes the alerts.
    #[test]
    fn a_restart_at_any_moment_changes_nothing(steps in steps()) {
        prop_assert_eq!(play(&steps, true), play(&steps, false));
    }
}
