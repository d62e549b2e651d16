//! Who is told next while nobody acknowledges. Each timeline is played plain, then with a crash at every step and commit.

use expect_test::expect;
use watchbell_alerts::Config;

use crate::stage::{check, check_plain, config, with_duty};

const ROUTE: &str = r#"{"receiver": "night", "group_by": ["alertname"], "group_wait": "0s"}"#;
const NIGHT: &str = r#"[{"name": "night", "steps": [
    {"to": ["anna"]}, {"after": "10m", "to": ["ben"]}, {"after": "30m", "to": ["ben", "boss"]}]}]"#;

fn night() -> Config {
    with_duty(config(ROUTE, "[]", "[]"), "[]", NIGHT)
}

#[test]
fn further_people_are_told_until_somebody_acknowledges() {
    check(
        &[night()],
        "0s raise a | 45m resolve a | 1h end",
        expect![[r#"
            0s page anna {a} first: +a
            10m page ben {a} escalated: +a
            30m page boss {a} escalated: +a
            45m page anna {a} all_resolved: -a
            45m page ben {a} all_resolved: -a
            45m page boss {a} all_resolved: -a
        "#]],
    );
    check(
        &[night()],
        "0s raise a | 12m ack a | 13m show | 45m resolve a | 46m show | 1h end",
        expect![[r#"
            0s page anna {a} first: +a
            10m page ben {a} escalated: +a
            12m page anna {a} acknowledged: +a
            12m page ben {a} acknowledged: +a
            13m shows a active acknowledged by me to night
            45m page anna {a} all_resolved: -a
            45m page ben {a} all_resolved: -a
            46m shows nothing
        "#]],
    );
}

#[test]
fn what_is_seen_to_is_not_repeated_and_what_is_new_is_told() {
    check(
        &[night()],
        "0s raise a,x=1 | 5m ack a,x=1 | 9h raise a,x=2 | 10h end",
        expect![[r#"
            0s page anna {a} first: +a,x=1
            5m page anna {a} acknowledged: +a,x=1
            9h page anna {a} new_alerts: +a,x=1 +a,x=2
            9h10m page ben {a} escalated: +a,x=1 +a,x=2
            9h30m page boss {a} escalated: +a,x=1 +a,x=2
        "#]],
    );
}

#[test]
fn an_acknowledgement_can_be_taken_back_and_ends_with_the_alert() {
    check(
        &[night()],
        "0s raise a | 5m ack a | 40m unack a | 52m ack a | 54m resolve a | 1h2m raise a | 1h5m show | 1h13m end",
        expect![[r#"
            0s page anna {a} first: +a
            5m page anna {a} acknowledged: +a
            40m page anna {a} escalated: +a
            50m page ben {a} escalated: +a
            52m page anna {a} acknowledged: +a
            52m page ben {a} acknowledged: +a
            55m page anna {a} all_resolved: -a
            55m page ben {a} all_resolved: -a
            1h2m page anna {a} first: +a
            1h5m shows a active to night
            1h12m page ben {a} escalated: +a
        "#]],
    );
}

#[test]
fn a_silence_stops_the_climb_and_its_end_goes_on_with_it() {
    check_plain(
        &[night()],
        "0s raise a | 5m silence alertname=a for 20m | 40m end",
        expect![[r#"
            0s page anna {a} first: +a
            25m page ben {a} escalated: +a
            30m page boss {a} escalated: +a
        "#]],
    );
}

#[test]
fn nagging_goes_on_until_somebody_acknowledges() {
    let nagging = r#"[{"name": "night", "steps": [{"to": ["anna"]}, {"after": "7m", "to": ["ben"]}], "nag": "2m"}]"#;
    check(
        &[with_duty(config(ROUTE, "[]", "[]"), "[]", nagging)],
        "0s raise a | 9m ack a | 1h end",
        expect![[r#"
            0s page anna {a} first: +a
            2m page anna {a} repeat: +a
            4m page anna {a} repeat: +a
            6m page anna {a} repeat: +a
            7m page ben {a} escalated: +a
            8m page anna {a} repeat: +a
            8m page ben {a} repeat: +a
            9m page anna {a} acknowledged: +a
            9m page ben {a} acknowledged: +a
        "#]],
    );
}

#[test]
fn whose_turn_begins_is_told_of_what_nobody_sees_to() {
    let turns = r#"[{"name": "night", "rotations": [
        {"people": ["anna", "ben"], "from": "2026-01-01T00:20", "turn": "30m"}]}]"#;
    check(
        &[with_duty(config(ROUTE, "[]", "[]"), turns, "[]")],
        "25m raise a | 40m raise b | 45m ack b | 2h resolve a | 2h resolve b | 3h end",
        expect![[r#"
            25m page anna {a} first: +a
            40m page anna {b} first: +b
            45m page anna {b} acknowledged: +b
            50m page ben {a} escalated: +a
            2h page anna {a} all_resolved: -a
            2h page ben {a} all_resolved: -a
            2h5m page anna {b} all_resolved: -b
        "#]],
    );
}

#[test]
fn the_clock_may_jump_and_nobody_is_told_early_or_late() {
    check_plain(
        &[night()],
        "0s raise a | 1m jump 7200 | 15m jump -7200 | 40m end",
        expect![[r#"
            0s page anna {a} first: +a
            30m page boss {a} escalated: +a
            2h10m page ben {a} escalated: +a
        "#]],
    );
}
