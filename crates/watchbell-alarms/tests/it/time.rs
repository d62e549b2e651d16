//! Deadlines are judged to the second, without anybody looking.

use expect_test::expect;
use watchbell_model::{AlarmState, Certificate, PingKind, Span};
use watchbell_runtime::sim;

use crate::world::{Disk, desired, heartbeat, monitor};

#[test]
fn a_heartbeat_is_told_of_at_the_end_of_its_grace() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[], &[heartbeat("backup", "1h", "10m"), heartbeat("mirror", "1m", "1s")])).await;
        bell.wait("30m").await;
        bell.ping("backup", PingKind::Success).await;
        bell.ping("mirror", PingKind::Start).await;
        bell.wait("2h").await;
        bell.ping("backup", PingKind::Success).await;
        bell.ping("mirror", PingKind::Success).await;
        bell.ping("mirror", PingKind::Fail).await;
        expect![[r#"
            30m1s firing heartbeat/mirror: mirror is down: the run that began at 00:30 UTC did not end within 1 second
            1h40m firing heartbeat/backup: backup is down: the job has not reported since 00:30 UTC
            2h30m resolved heartbeat/backup: backup is down: the job has not reported since 00:30 UTC [the job reported again; before that at 00:30 UTC]
            2h30m resolved heartbeat/mirror: mirror is down: the run that began at 00:30 UTC did not end within 1 second [the job reported]
            2h30m firing heartbeat/mirror: mirror is down: the job reported a failure at 02:30 UTC
        "#]].assert_eq(&disk.raised.take());
    });
}

#[test]
fn a_certificate_is_told_of_although_no_probe_sees_it_any_more() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[monitor("IMAP", 0)], &[])).await;
        let certificate = Certificate {
            not_after: bell.runtime.clock.now() + Span::days(22).duration(),
            subject: "CN=mail".into(),
            issuer: "CN=ca".into(),
            fingerprint: "a".into(),
        };
        bell.seen("IMAP", None, Some(certificate)).await.unwrap();
        bell.probe("IMAP", Some("refused")).await.unwrap();
        bell.wait("15d").await;
        expect![[r#"
            0s firing monitor/IMAP: IMAP is down: refused (1 of 1 probes failed, since 00:00 UTC)
            3m10s firing self/no-results: watchbell: no results of 1 monitor: IMAP
            1d firing certificate/IMAP: the certificate of IMAP expires in 21 days, at 2026-01-27 00:00 UTC
        "#]]
        .assert_eq(&disk.raised.take());
    });
}

#[test]
fn a_monitor_without_results_is_unknown_and_watchbell_says_that_it_hears_nothing() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[monitor("IMAP", 0)], &[])).await;
        bell.probe("IMAP", None).await.unwrap();
        bell.wait("3m9s").await;
        assert_eq!(bell.alarms.status("monitor/IMAP").unwrap().state, AlarmState::Ok);
        bell.wait("2s").await;
        assert_eq!(bell.alarms.status("monitor/IMAP").unwrap().state, AlarmState::InsufficientData);
        bell.wait("1m").await;
        bell.probe("IMAP", None).await.unwrap();
        bell.wait("1s").await;
        expect![[r#"
            3m10s firing self/no-results: watchbell: no results of 1 monitor: IMAP
            4m11s resolved self/no-results: watchbell: no results of 1 monitor: IMAP [it is over]
        "#]]
        .assert_eq(&disk.raised.take());
        expect![[r#"
            monitor/IMAP INSUFFICIENT_DATA -> OK: it is up: * OK ready
            monitor/IMAP OK -> INSUFFICIENT_DATA: no results since 00:00 UTC
            self/no-results INSUFFICIENT_DATA -> ALARM: no results of 1 monitor: IMAP
            monitor/IMAP INSUFFICIENT_DATA -> OK: it is up: * OK ready
            self/no-results ALARM -> OK: it is over
        "#]]
        .assert_eq(&bell.history());
    });
}

#[test]
fn a_clock_that_is_set_forward_blames_nobody() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[monitor("IMAP", 0)], &[heartbeat("backup", "1h", "10m")])).await;
        bell.ping("backup", PingKind::Success).await;
        bell.probe("IMAP", None).await.unwrap();
        bell.wait("1m").await;
        disk.world.clock.jump(2 * 3_600_000);
        bell.wait("1m").await;
        bell.probe("IMAP", None).await.unwrap();
        bell.wait("5m").await;
        bell.probe("IMAP", None).await.unwrap();
        expect![[r#"
            2h5m10s firing self/no-results: watchbell: no results of 1 monitor: IMAP
            2h7m resolved self/no-results: watchbell: no results of 1 monitor: IMAP [it is over]
        "#]]
        .assert_eq(&disk.raised.take());
        bell.wait("10m").await;
        expect![[r#"
            2h10m10s firing self/no-results: watchbell: no results of 1 monitor: IMAP
            2h11m firing heartbeat/backup: backup is down: the job has not reported since 00:00 UTC
        "#]]
        .assert_eq(&disk.raised.take());
    });
}
