//! Schedules across changes of the clock, pauses and flips, as timelines. They begin on 5 January 2026 at 0:00 UTC.

use expect_test::expect;
use watchbell_model::{HeartbeatState, MemoryState, State};
use watchbell_runtime::sim;

use super::*;
use crate::timeline::{START, check_heartbeat, heartbeat_spec};

#[test]
fn a_cron_expression_says_when_the_job_is_late() {
    check_heartbeat(
        "in UTC grace 10m at 0 3 * * *",
        "1h ping | 2h59m - | 3h - | 3h5m ping | 27h - | 27h10m -",
        expect![[r#"
            1h INSUFFICIENT_DATA -> OK: the job reported
            1h up
            3h late
            3h5m up
            27h late
            1d3h10m OK -> ALARM: the job has not reported since 2026-01-05 03:05 UTC
            1d3h10m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 2026-01-05 03:05 UTC
            27h10m down
        "#]],
    );
}

#[test]
fn a_job_at_night_keeps_its_time_where_clocks_change() {
    // In Berlin clocks go from 2:00 to 3:00 on 29 March, which is day 83 of the timeline; its midnight is 83d - 1h.
    check_heartbeat(
        "in Europe/Berlin grace 10m at 30 2 * * *",
        "82d1h31m ping | 83d59m - | 83d1h - | 83d1h5m ping | 84d29m - | 84d30m - | 84d40m -",
        expect![[r#"
            82d1h31m INSUFFICIENT_DATA -> OK: the job reported
            82d1h31m up
            83d1h late
            83d1h5m up
            84d30m late
            84d40m OK -> ALARM: the job has not reported since 2026-03-29 01:05 UTC
            84d40m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 2026-03-29 01:05 UTC
            84d40m down
        "#]],
    );
    // And from 3:00 to 2:00 on 25 October, day 293: a job every hour reports in both hours.
    check_heartbeat(
        "in Europe/Berlin grace 10m at hourly",
        "293d1m ping | 293d1h - | 293d1h1m ping | 293d2h - | 293d2h10m -",
        expect![[r#"
            293d1m INSUFFICIENT_DATA -> OK: the job reported
            293d1m up
            293d1h late
            293d1h1m up
            293d2h late
            293d2h10m OK -> ALARM: the job has not reported since 01:01 UTC
            293d2h10m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 01:01 UTC
            293d2h10m down
        "#]],
    );
}

#[test]
fn nothing_is_expected_of_a_paused_job_until_it_reports() {
    check_heartbeat(
        "period 1h grace 10m",
        "0m ping | 30m pause | 5h - | 6h ping | 7h10m - | 8h pause | 9h start | 9h10m - | 9h11m resume | 9h12m pause | 9h13m resume | 20h -",
        expect![[r#"
            0m INSUFFICIENT_DATA -> OK: the job reported
            0m up
            30m OK -> INSUFFICIENT_DATA: it was paused
            30m paused
            6h INSUFFICIENT_DATA -> OK: the job reported again; before that at 00:00 UTC
            6h up
            7h10m OK -> ALARM: the job has not reported since 06:00 UTC
            7h10m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 06:00 UTC
            7h10m down
            8h ALARM -> INSUFFICIENT_DATA: it was paused
            8h   resolved {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 06:00 UTC
            8h paused
            9h10m INSUFFICIENT_DATA -> ALARM: the run that began at 09:00 UTC did not end within 10 minutes
            9h10m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the run that began at 09:00 UTC did not end within 10 minutes
            9h10m down
            9h12m ALARM -> INSUFFICIENT_DATA: it was paused
            9h12m   resolved {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the run that began at 09:00 UTC did not end within 10 minutes
            9h12m paused
            9h13m new
        "#]],
    );
}

#[test]
fn with_manual_resume_a_ping_changes_nothing_while_it_is_paused() {
    check_heartbeat(
        "manual period 1h grace 10m",
        "0m ping | 30m pause | 40m ping | 41m start | 42m fail | 5h - | 6h resume | 6h1m ping | 7h11m -",
        expect![[r#"
            0m INSUFFICIENT_DATA -> OK: the job reported
            0m up
            30m OK -> INSUFFICIENT_DATA: it was paused
            30m paused
            6h new
            6h1m INSUFFICIENT_DATA -> OK: the job reported
            6h1m up
            7h11m OK -> ALARM: the job has not reported since 06:01 UTC
            7h11m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 06:01 UTC
            7h11m down
        "#]],
    );
}

#[test]
fn every_change_of_standing_is_kept_and_the_oldest_go() {
    sim::run(1, |_| async {
        let spec = heartbeat_spec("x", Span::hours(1), Span::minutes(10));
        let (state, mut kept) = (MemoryState::new(), Kept::<Memory>::new(START, Memory::UNHEARD));
        for n in 0..FLIPS_MAX as i64 + 7 {
            let kind = if n % 2 == 0 { PingKind::Fail } else { PingKind::Success };
            // The same twice is one change.
            for _ in 0..2 {
                let before = kept.clone();
                kept.ping(&spec, &Ping { heartbeat: "x".into(), at: Timestamp(n), kind, run: None });
                state.commit(Memory::beside("x", &before, &kept)).await.unwrap();
            }
        }
        let found = state.scan(FLIPS, "", 2000).unwrap();
        assert_eq!(found.len() as u64, FLIPS_MAX);
        let flip: Flip = serde_json::from_slice(&found[0].1).unwrap();
        assert_eq!(flip, Flip { at: Timestamp(7), from: HeartbeatState::Down, to: HeartbeatState::Up });
        state.commit(Memory::beside_gone("x", &kept)).await.unwrap();
        assert!(state.scan(FLIPS, "", 1).unwrap().is_empty());
    });
}
