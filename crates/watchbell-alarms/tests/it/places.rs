//! Monitors that are probed from several places.

use expect_test::{Expect, expect};
use watchbell_alarms::monitor;
use watchbell_model::{Observation, Observe, Quorum};
use watchbell_runtime::sim;

use crate::world::{Disk, desired, monitor};

fn spec(places: &[&str], quorum: &str) -> monitor::Spec {
    let quorum: Quorum = quorum.parse().unwrap();
    let places = places.iter().map(|place| (*place).to_owned()).collect();
    monitor::Spec { places, quorum, certificate: None, ..monitor("imap", 0) }
}

/// `10s home ok | 20s fra fail REASON | 60s fra gone | 90s fra back | 2m crash`, and what is raised and told.
fn check(spec: monitor::Spec, line: &str, expected: Expect) {
    let line = line.to_owned();
    let told = sim::run(1, |world| async move {
        let disk = Disk::new(world.clone());
        let mut bell = disk.start(desired(std::slice::from_ref(&spec), &[])).await;
        let begun = world.clock.now();
        for event in line.split('|') {
            let words: Vec<&str> = event.split_whitespace().collect();
            let at = begun + words[0].parse::<watchbell_model::Span>().unwrap().duration();
            world.clock.sleep_until(at).await;
            match words[1..] {
                ["crash"] => {
                    bell.crash();
                    bell = disk.start(desired(std::slice::from_ref(&spec), &[])).await;
                }
                ["-"] => {}
                [place, "ok"] => bell.probe_from(place, None).await,
                [place, "fail", ..] => bell.probe_from(place, Some(&words[3..].join(" "))).await,
                [place, what] => {
                    let seen = Observation::Place(place.to_owned(), what == "back");
                    bell.alarms.observe(vec![seen], Vec::new()).await.unwrap();
                }
                _ => panic!("{event}"),
            }
        }
        disk.raised.take() + &bell.history()
    });
    expected.assert_eq(&told);
}

const TWO: &[&str] = &["home", "fra"];
const THREE: &[&str] = &["home", "fra", "nyc"];

#[test]
fn one_place_of_two_pages_nobody_and_both_do() {
    check(
        spec(TWO, "2"),
        "10s home ok | 20s fra ok | 30s fra fail refused | 60s home ok | 90s fra fail refused | 2m home fail hangs | \
         150s home ok | 3m fra ok",
        expect![[r#"
            2m firing monitor/imap: imap is down: from home: hangs; from fra: refused (2 of 2 places, since 00:00 UTC)
            2m30s resolved monitor/imap: imap is down: from home: hangs; from fra: refused (2 of 2 places, since 00:00 UTC) [it is up again after 2 minutes: * OK ready (up from home; down from fra)]
            monitor/imap INSUFFICIENT_DATA -> OK: it is up: * OK ready (up from home)
            monitor/imap OK -> ALARM: it is down: from home: hangs; from fra: refused (2 of 2 places, since 00:00 UTC)
            monitor/imap ALARM -> OK: it is up again after 2 minutes: * OK ready (up from home; down from fra)
        "#]],
    );
}

#[test]
fn the_same_error_is_said_once_and_who_sees_it_up_too() {
    check(
        spec(THREE, "majority"),
        "10s home ok | 10s fra ok | 10s nyc ok | 20s fra fail refused. | 30s home fail refused. | 90s fra ok",
        expect![[r#"
            30s firing monitor/imap: imap is down: from home and fra: refused (2 of 3 places, since 00:00 UTC; up from nyc)
            1m30s resolved monitor/imap: imap is down: from home and fra: refused (2 of 3 places, since 00:00 UTC; up from nyc) [it is up again after 1 minute 10 seconds: * OK ready (up from fra and nyc; down from home)]
            monitor/imap INSUFFICIENT_DATA -> OK: it is up: * OK ready (up from home and fra)
            monitor/imap OK -> ALARM: it is down: from home and fra: refused (2 of 3 places, since 00:00 UTC; up from nyc)
            monitor/imap ALARM -> OK: it is up again after 1 minute 10 seconds: * OK ready (up from fra and nyc; down from home)
        "#]],
    );
}

#[test]
fn a_silent_place_is_no_vote() {
    // By the majority of those that are heard the other one decides.
    check(
        spec(TWO, "majority"),
        "10s home ok | 10s fra ok | 20s fra gone | 30s home fail refused | 60s home ok",
        expect![[r#"
            30s firing monitor/imap: imap is down: from home: refused (1 of 2 places, since 00:00 UTC; silent: fra)
            1m resolved monitor/imap: imap is down: from home: refused (1 of 2 places, since 00:00 UTC; silent: fra) [it is up again after 30 seconds: * OK ready (up from home; silent: fra)]
            monitor/imap INSUFFICIENT_DATA -> OK: it is up: * OK ready (up from home)
            monitor/imap OK -> ALARM: it is down: from home: refused (1 of 2 places, since 00:00 UTC; silent: fra)
            monitor/imap ALARM -> OK: it is up again after 30 seconds: * OK ready (up from home; silent: fra)
        "#]],
    );
    // With a number nothing is said without it, neither good nor bad.
    check(
        spec(TWO, "2"),
        "10s home ok | 10s fra ok | 20s fra gone | 30s home fail refused | 60s fra back | 70s fra ok | 80s home ok",
        expect![[r#"
            monitor/imap INSUFFICIENT_DATA -> OK: it is up: * OK ready (up from home)
            monitor/imap OK -> INSUFFICIENT_DATA: too few places say anything, the quorum is 2: up from home; silent: fra
            monitor/imap INSUFFICIENT_DATA -> OK: it is up: * OK ready (up from fra; down from home)
        "#]],
    );
}

#[test]
fn silence_resolves_nothing() {
    check(
        spec(THREE, "2"),
        "10s home fail a | 10s fra fail b | 10s nyc ok | 20s fra gone | 30s nyc ok | 40s fra back | 50s nyc ok | 60s fra ok",
        expect![[r#"
            10s firing monitor/imap: imap is down: from home: a; from fra: b (2 of 3 places, since 00:00 UTC)
            1m resolved monitor/imap: imap is down: from home: a; from fra: b (2 of 3 places, since 00:00 UTC) [it is up again after 50 seconds: * OK ready (up from fra and nyc; down from home)]
            monitor/imap INSUFFICIENT_DATA -> ALARM: it is down: from home: a; from fra: b (2 of 3 places, since 00:00 UTC)
            monitor/imap ALARM -> OK: it is up again after 50 seconds: * OK ready (up from fra and nyc; down from home)
        "#]],
    );
    check(
        spec(TWO, "majority"),
        "10s home fail a | 10s fra fail a | 20s home gone | 20s fra gone | 5m -",
        expect![[r#"
            10s firing monitor/imap: imap is down: from home and fra: a (2 of 2 places, since 00:00 UTC)
            monitor/imap INSUFFICIENT_DATA -> ALARM: it is down: from home and fra: a (2 of 2 places, since 00:00 UTC)
        "#]],
    );
}

#[test]
fn all_silent_is_not_known() {
    check(
        spec(TWO, "majority"),
        "10s home ok | 10s fra ok | 20s fra gone | 6m -",
        expect![[r#"
        3m20s firing self/no-results: watchbell: no results of 1 monitor: imap
        monitor/imap INSUFFICIENT_DATA -> OK: it is up: * OK ready (up from home)
        monitor/imap OK -> INSUFFICIENT_DATA: too few places say anything, the quorum is majority: silent: home and fra
        self/no-results INSUFFICIENT_DATA -> ALARM: no results of 1 monitor: imap
    "#]],
    );
}

#[test]
fn a_restart_remembers_what_places_said() {
    check(
        spec(TWO, "2"),
        "10s home fail a | 10s fra fail a | 20s crash | 30s home fail a | 40s fra fail a | 50s home ok",
        expect![[r#"
            10s firing monitor/imap: imap is down: from home and fra: a (2 of 2 places, since 00:00 UTC)
            50s resolved monitor/imap: imap is down: from home and fra: a (2 of 2 places, since 00:00 UTC) [it is up again after 40 seconds: * OK ready (up from home; down from fra)]
            monitor/imap INSUFFICIENT_DATA -> ALARM: it is down: from home and fra: a (2 of 2 places, since 00:00 UTC)
            monitor/imap ALARM -> OK: it is up again after 40 seconds: * OK ready (up from home; down from fra)
        "#]],
    );
    // Half of it before, half after.
    check(
        spec(TWO, "2"),
        "10s home fail a | 10s fra ok | 20s crash | 30s fra fail b | 40s home fail a",
        expect![[r#"
        40s firing monitor/imap: imap is down: from home: a; from fra: b (2 of 2 places, since 00:00 UTC)
        monitor/imap INSUFFICIENT_DATA -> OK: it is up: * OK ready (up from fra; down from home)
        monitor/imap OK -> ALARM: it is down: from home: a; from fra: b (2 of 2 places, since 00:00 UTC)
    "#]],
    );
}

#[test]
fn a_place_alone_is_named() {
    check(
        spec(&["fra"], "majority"),
        "10s fra ok | 20s fra fail refused | 30s fra ok",
        expect![[r#"
        20s firing monitor/imap: imap is down: from fra: refused (1 of 1 probes failed, since 00:00 UTC)
        30s resolved monitor/imap: imap is down: from fra: refused (1 of 1 probes failed, since 00:00 UTC) [it is up again after 10 seconds: * OK ready]
        monitor/imap INSUFFICIENT_DATA -> OK: it is up: * OK ready
        monitor/imap OK -> ALARM: it is down: from fra: refused (1 of 1 probes failed, since 00:00 UTC)
        monitor/imap ALARM -> OK: it is up again after 10 seconds: * OK ready
    "#]],
    );
}
