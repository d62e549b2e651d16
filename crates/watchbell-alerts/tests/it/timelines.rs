//! What people are told, when. Each timeline is played plain, then with a crash at every step and commit.

use expect_test::expect;

use crate::stage::{check, check_plain, config};

/// Grouped by alert name, with Alertmanager's default times.
const PLAIN: &str = r#"{"receiver": "ops", "group_by": ["alertname"]}"#;
/// Everything in one group, with the times of Alertmanager's acceptance tests.
const QUICK: &str = r#"{"receiver": "ops", "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1ms"}"#;

#[test]
fn alerts_that_come_together_are_one_page() {
    check(
        &[config(r#"{"receiver": "ops"}"#, "[]", "[]")],
        "0s raise a | 5s raise b | 29s raise c | 40s raise d | 2m raise e | 20m end",
        expect![[r#"
            30s page ops {} first: +a +b +c
            5m30s page ops {} new_alerts: +a +b +c +d +e
        "#]],
    );
}

#[test]
fn what_goes_on_is_repeated_and_what_ends_is_said() {
    check(
        &[config(PLAIN, "[]", "[]")],
        "0s raise a | 8h10m resolve a | 9h end",
        expect![[r#"
            30s page ops {a} first: +a
            4h30s page ops {a} repeat: +a
            8h30s page ops {a} repeat: +a
            8h10m30s page ops {a} all_resolved: -a
        "#]],
    );
}

#[test]
fn the_parts_of_a_group_end_one_by_one() {
    check(
        &[config(r#"{"receiver": "ops"}"#, "[]", "[]")],
        "0s raise a | 0s raise b | 10m resolve a | 20m resolve b | 1h raise a | 2h end",
        expect![[r#"
            30s page ops {} first: +a +b
            10m30s page ops {} new_resolved: +b -a
            20m30s page ops {} all_resolved: -b
            1h30s page ops {} first: +a
        "#]],
    );
}

#[test]
fn what_fired_and_ended_before_anybody_was_told_is_not_told() {
    check(
        &[config(r#"{"receiver": "ops"}"#, "[]", "[]")],
        "0s raise a | 20s resolve a | 5m raise b | 6m raise c | 7m resolve c | 1h end",
        expect![[r#"
            5m30s page ops {} first: +b
            10m30s page ops {} new_resolved: +b -c
        "#]],
    );
}

#[test]
fn an_alert_older_than_the_wait_is_told_at_once() {
    check(
        &[config(PLAIN, "[]", "[]")],
        "10m raise a from 1m | 10m raise b | 11m end",
        expect![[r#"
            10m page ops {a} first: +a
            10m30s page ops {b} first: +b
        "#]],
    );
}

#[test]
fn no_wait_is_no_wait() {
    check(
        &[config(r#"{"receiver": "ops", "group_by": ["..."], "group_wait": "0s"}"#, "[]", "[]")],
        "1m raise a,x=1 | 1m raise a,x=2 | 2m end",
        expect![[r#"
            1m page ops {a,x=1} first: +a,x=1
            1m page ops {a,x=2} first: +a,x=2
        "#]],
    );
}

#[test]
fn alerts_merge_as_in_alertmanager() {
    check_plain(
        &[config(QUICK, "[]", "[]")],
        "1s raise t | 1200ms raise t from 1s | 2100ms raise t from 2s note v1 | 3600ms raise t from 1500ms note v2 \
         | 4600ms resolve t from 3s note v2 | 4800ms resolve t from 2900ms note v3 | 5300ms raise t | 6500ms end",
        expect![[r#"
            2s page ops {} first: +t
            3s page ops {} repeat: +t (v1)
            4s page ops {} repeat: +t (v2)
            5s page ops {} all_resolved: -t (v3)
            6s300ms page ops {} first: +t
        "#]],
    );
}

#[test]
fn a_foreign_alert_ends_unless_it_is_refreshed() {
    check_plain(
        &[config(PLAIN, "[]", "[]")],
        "0s raise a until 5m | 4m raise a until 9m | 8m show | 10m show | 20m end",
        expect![[r#"
            30s page ops {a} first: +a
            8m shows a active to ops
            10m shows nothing
            10m30s page ops {a} all_resolved: -a
        "#]],
    );
}

#[test]
fn routes_choose_receivers_and_continue() {
    let route = r#"{"receiver": "default", "group_by": ["alertname"], "routes": [
        {"receiver": "push", "matchers": ["severity=~\"critical|warning\""], "continue": true},
        {"receiver": "pager", "matchers": ["severity=critical"], "group_wait": "0s", "group_interval": "1m"},
        {"receiver": "nobody", "matchers": ["severity=info"]}
    ]}"#;
    check(
        &[config(route, "[]", "[]")],
        "0s raise a,severity=critical | 0s raise b,severity=warning | 0s raise c,severity=info | 0s raise d \
         | 1m show | 10m resolve a,severity=critical | 20m raise a,severity=critical | 21m end",
        expect![[r#"
            0s page pager {a} first: +a,severity=critical
            30s page default {d} first: +d
            30s page nobody {c} first: +c,severity=info
            30s page push {a} first: +a,severity=critical
            30s page push {b} first: +b,severity=warning
            1m shows a,severity=critical active to push,pager; b,severity=warning active to push; c,severity=info active to nobody; d active to default
            10m page pager {a} all_resolved: -a,severity=critical
            10m30s page push {a} all_resolved: -a,severity=critical
            20m page pager {a} first: +a,severity=critical
            20m30s page push {a} first: +a,severity=critical
        "#]],
    );
}

#[test]
fn a_silence_holds_back_while_it_lasts() {
    check_plain(
        &[config(QUICK, "[]", "[]")],
        "0s raise a | 0s raise b | 2500ms silence alertname=a for 3s | 2600ms show | 6500ms end",
        expect![[r#"
            1s page ops {} first: +a +b
            2s page ops {} repeat: +a +b
            2s600ms shows a suppressed silenced by 1 to ops; b active to ops
            3s page ops {} repeat: +b
            4s page ops {} repeat: +b
            5s page ops {} repeat: +b
            6s page ops {} new_alerts: +a +b
        "#]],
    );
}

#[test]
fn a_silence_that_is_ended_lets_the_alert_through() {
    check(
        &[config(PLAIN, "[]", "[]")],
        "0s silence alertname=a for 24h | 1m raise a | 2m show | 20m unsilence | 21m show | 30m end",
        expect![[r#"
            2m shows a suppressed silenced by 1 to ops
            21m shows a active to ops
            21m30s page ops {a} first: +a
        "#]],
    );
}

#[test]
fn what_ended_under_a_silence_pages_when_it_comes_back() {
    check(
        &[config(PLAIN, "[]", "[]")],
        "0s raise a | 0s raise a,b=c | 1m silence alertname=a,b=\"\" for 1h | 10m resolve a | 90m raise a | 2h end",
        expect![[r#"
            30s page ops {a} first: +a +a,b=c
            1h30m30s page ops {a} new_alerts: +a +a,b=c
        "#]],
    );
}

#[test]
fn an_inhibited_alert_is_told_when_the_reason_is_gone() {
    let rules = r#"[{"source_matchers": ["severity=critical"], "target_matchers": ["severity=warning"],
                     "equal": ["host"]}]"#;
    check(
        &[config(PLAIN, rules, "[]")],
        "0s raise down,severity=critical,host=1 | 10s raise slow,severity=warning,host=1 \
         | 10s raise slow,severity=warning,host=2 | 20s show | 20m resolve down,severity=critical,host=1 | 1h end",
        expect![[r#"
            20s shows down,host=1,severity=critical active to ops; slow,host=1,severity=warning suppressed inhibited by 1 to ops; slow,host=2,severity=warning active to ops
            30s page ops {down} first: +down,host=1,severity=critical
            40s page ops {slow} first: +slow,host=2,severity=warning
            20m30s page ops {down} all_resolved: -down,host=1,severity=critical
            20m40s page ops {slow} new_alerts: +slow,host=1,severity=warning +slow,host=2,severity=warning
        "#]],
    );
}

#[test]
fn what_matches_both_sides_does_not_hold_itself_back() {
    let rules =
        r#"[{"source_matchers": ["host=~\".+\""], "target_matchers": ["host=~\".+\""], "equal": ["host"]}, {}]"#;
    check(
        &[config(PLAIN, rules, "[]")],
        "0s raise a,host=1 | 0s raise b,host=1 | 1m show | 2m end",
        expect![[r#"
            30s page ops {a} first: +a,host=1
            30s page ops {b} first: +b,host=1
            1m shows a,host=1 active to ops; b,host=1 active to ops
        "#]],
    );
}

#[test]
fn time_intervals_hold_the_tongue_of_a_route() {
    // Time begins on a Monday at midnight.
    let route = r#"{"receiver": "ops", "routes": [
        {"matchers": ["team=a"], "receiver": "a", "mute_time_intervals": ["night"]},
        {"matchers": ["team=b"], "receiver": "b", "active_time_intervals": ["morning"]}
    ]}"#;
    let intervals = r#"[
        {"name": "night", "time_intervals": [{"times": [{"start_time": "00:00", "end_time": "06:00"}]}]},
        {"name": "morning", "time_intervals": [{"times": [{"start_time": "06:00", "end_time": "12:00"}]}]}
    ]"#;
    check(
        &[config(route, "[]", intervals)],
        "1h raise x,team=a | 1h raise x,team=b | 2h show | 7h show | 7h end",
        expect![[r#"
            2h shows x,team=a suppressed muted by night to a; x,team=b suppressed muted by morning to b
            6h30s page a {} first: +x,team=a
            6h30s page b {} first: +x,team=b
            7h shows x,team=a active to a; x,team=b active to b
        "#]],
    );
}

#[test]
fn a_reload_moves_alerts_without_telling_twice() {
    let by_host = r#"{"receiver": "ops", "group_by": ["host"]}"#;
    let other = r#"{"receiver": "other", "group_by": ["host"]}"#;
    check(
        &[config(PLAIN, "[]", "[]"), config(by_host, "[]", "[]"), config(other, "[]", "[]")],
        "0s raise a,host=1 | 0s raise b,host=1 | 10m reload 1 | 11m raise c,host=1 | 20m resolve a,host=1 \
         | 30m reload 2 | 40m end",
        expect![[r#"
            30s page ops {a} first: +a,host=1
            30s page ops {b} first: +b,host=1
            10m page ops {host=1} escalated: +a,host=1 +b,host=1
            15m page ops {host=1} new_alerts: +a,host=1 +b,host=1 +c,host=1
            20m page ops {host=1} new_resolved: +b,host=1 +c,host=1 -a,host=1
            30m page other {host=1} first: +b,host=1 +c,host=1
        "#]],
    );
}

#[test]
fn a_reload_keeps_timers() {
    let longer = r#"{"receiver": "ops", "group_by": ["alertname"], "repeat_interval": "8h"}"#;
    check(
        &[config(PLAIN, "[]", "[]"), config(longer, "[]", "[]")],
        "0s raise a | 20s reload 1 | 4h10m raise b | 4h10m10s reload 0 | 4h20m end",
        expect![[r#"
            30s page ops {a} first: +a
            4h10m30s page ops {a} repeat: +a
            4h10m30s page ops {b} first: +b
        "#]],
    );
}
