//! Downtimes and dependencies: nobody is told of what breaks, everybody learns what is over, and what is still broken
//! afterwards is told of then. The simulation begins on 2026-01-05 at midnight UTC.

use std::collections::BTreeSet;

use expect_test::expect;
use watchbell_alerts::{Config, Dependency};
use watchbell_model::{Path, Problems, Span};

use crate::stage::{Fault, check, check_plain, config, play};

const ROUTE: &str = r#"{"receiver": "anna", "group_by": ["alertname"], "group_wait": "0s", "repeat_interval": "7m"}"#;
const INTERVALS: &str =
    r#"[{"name": "nights", "time_intervals": [{"times": [{"start_time": "00:10", "end_time": "00:30"}]}]}]"#;

fn with(downtimes: &str) -> Config {
    Config { downtimes: serde_json::from_str(downtimes).expect("downtimes"), ..config(ROUTE, "[]", INTERVALS) }
}

fn once() -> Config {
    with(
        r#"[{"name": "move", "matchers": ["alertname=~\"a|b\""], "from": "2026-01-05T00:10", "until": "2026-01-05T00:32:30"}]"#,
    )
}

#[test]
fn what_breaks_inside_and_lasts_is_told_of_when_it_ends() {
    check(
        &[once()],
        "11m raise a | 12m raise c | 13m show | 33m show | 34m resolve c | 36m resolve a | 53m end",
        expect![[r#"
            12m page anna {c} first: +c
            13m shows a suppressed muted by move to anna; c active to anna
            22m page anna {c} repeat: +c
            32m page anna {c} repeat: +c
            32m30s page anna {a} first: +a
            33m shows a active to anna; c active to anna
            37m page anna {c} all_resolved: -c
            37m30s page anna {a} all_resolved: -a
        "#]],
    );
}

#[test]
fn what_breaks_and_mends_inside_is_told_to_nobody() {
    check(&[once()], "11m raise a | 20m resolve a | 22m raise a | 30m resolve a | 53m end", expect![[""]]);
}

#[test]
fn what_was_known_before_is_not_repeated_inside_and_its_end_is_told_at_once() {
    check(
        &[once()],
        "0s raise a | 9m raise b | 16m resolve a | 23m raise a | 53m end",
        expect![[r#"
            0s page anna {a} first: +a
            9m page anna {b} first: +b
            20m page anna {a} all_resolved: -a
            32m30s page anna {a} first: +a
            32m30s page anna {b} repeat: +b
            42m30s page anna {a} repeat: +a
            42m30s page anna {b} repeat: +b
            52m30s page anna {a} repeat: +a
            52m30s page anna {b} repeat: +b
        "#]],
    );
}

#[test]
fn others_of_the_group_are_told_of_meanwhile() {
    check(
        &[with(
            r#"[{"name": "move", "matchers": ["x=1"], "from": "2026-01-05T00:10", "until": "2026-01-05T00:32:30"}]"#,
        )],
        "0s raise a,x=1 | 11m raise a,x=2 | 12m raise a,x=1,y=1 | 21m resolve a,x=1,y=1 | 22m resolve a,x=1 | 24m resolve a,x=2 | 1h end",
        expect![[r#"
            0s page anna {a} first: +a,x=1
            15m page anna {a} new_alerts: +a,x=1 +a,x=2
            25m page anna {a} all_resolved: -a,x=1 -a,x=2
        "#]],
    );
}

#[test]
fn it_comes_again_by_intervals_and_by_cron() {
    check_plain(
        &[with(r#"[{"name": "nights", "matchers": ["alertname=a"], "during": ["nights"]}]"#)],
        "11m raise a | 12m show | 40m resolve a | 24h11m raise a | 24h35m end",
        expect![[r#"
            12m shows a suppressed muted by nights to anna
            30m page anna {a} first: +a
            40m page anna {a} all_resolved: -a
            1d30m page anna {a} first: +a
        "#]],
    );
    check_plain(
        &[with(
            r#"[{"name": "backup", "matchers": ["alertname=a"], "cron": "10 1 * * *", "lasts": "20m", "time_zone": "Europe/Berlin"}]"#,
        )],
        "9m raise b | 11m raise a | 12m show | 40m resolve a | 40m resolve b | 24h11m raise a | 24h31m end",
        expect![[r#"
            9m page anna {b} first: +b
            12m shows a suppressed muted by backup to anna; b active to anna
            19m page anna {b} repeat: +b
            29m page anna {b} repeat: +b
            30m page anna {a} first: +a
            39m page anna {b} repeat: +b
            40m page anna {a} all_resolved: -a
            44m page anna {b} all_resolved: -b
            1d30m page anna {a} first: +a
        "#]],
    );
}

#[test]
fn a_downtime_that_is_taken_out_counts_at_the_next_look() {
    check(
        &[once(), with("[]")],
        "11m raise a | 12m reload 1 | 20m end",
        expect![[r#"
            16m page anna {a} first: +a
        "#]],
    );
}

#[test]
fn one_that_is_made_while_it_runs_keeps_back_as_one_of_the_file_does() {
    check(
        &[with("[]")],
        "1m raise b | 10m downtime move alertname=~[ab] for 22m30s | 11m raise a | 13m show | 15m resolve b | 33m show | 36m resolve a | 53m end",
        expect![[r#"
            1m page anna {b} first: +b
            13m shows a suppressed muted by move to anna; b suppressed muted by move to anna
            16m page anna {b} all_resolved: -b
            32m30s page anna {a} first: +a
            33m shows a active to anna
            37m30s page anna {a} all_resolved: -a
        "#]],
    );
}

#[test]
fn one_that_is_ended_early_lets_pages_go() {
    check(
        &[with("[]"), once()],
        "10m downtime move2 alertname=a for 5h | 11m raise a | 12m reload 1 | 13m undowntime move2 | 14m show | 40m resolve a | 53m end",
        expect![[r#"
            14m shows a suppressed muted by move to anna
            32m30s page anna {a} first: +a
            42m30s page anna {a} all_resolved: -a
        "#]],
    );
    check(
        &[with("[]")],
        "10m downtime move alertname=a for 5h | 11m raise a | 13m undowntime move | 14m show | 40m resolve a | 53m end",
        expect![[r#"
            14m shows a active to anna
            16m page anna {a} first: +a
            26m page anna {a} repeat: +a
            36m page anna {a} repeat: +a
            41m page anna {a} all_resolved: -a
        "#]],
    );
}

#[test]
fn one_that_was_refused_does_not_come_back_after_a_restart() {
    // It is on disk, but whoever made it was told that it is not.
    for commit in 1..=4 {
        let timeline = "1s raise b | 10s downtime move alertname=a for 5h | 11s undowntime move | 20s crash | 21s raise a | 5m end";
        let played = play(&[with("[]")], timeline, Fault::FailsLate(commit), None);
        assert!(
            played.text.contains("21s page anna {a} first: +a"),
            "when commit {commit} fails late: {}",
            played.text
        );
    }
}

fn dependent() -> Config {
    let on = |what: &str| Dependency { on: BTreeSet::from([format!("monitor/{what}")]), wait: Span::seconds(90) };
    let route = r#"{"receiver": "anna", "group_by": ["source"], "group_wait": "30s"}"#;
    let dependencies = [("monitor/web".to_owned(), on("host")), ("monitor/host".to_owned(), on("router"))];
    Config { dependencies: dependencies.into(), ..config(route, "[]", "[]") }
}

#[test]
fn what_depends_on_something_broken_is_not_told_of_but_its_end_is() {
    // The host's own alert is explained too: the chain is told of once.
    check(
        &[dependent()],
        "0s raise source=monitor/web | 2s raise source=monitor/host | 1m9s raise source=monitor/router | 2m show | 10m resolve source=monitor/router \
         | 11m resolve source=monitor/host | 20m end",
        expect![[r#"
            1m39s page anna {source=monitor/router} first: +source=monitor/router
            2m shows source=monitor/host suppressed inhibited by 1 to anna; source=monitor/router active to anna; source=monitor/web suppressed inhibited by 1 to anna
            11m39s page anna {source=monitor/router} all_resolved: -source=monitor/router
            15m30s page anna {source=monitor/web} first: +source=monitor/web
        "#]],
    );
    check(
        &[dependent()],
        "0s raise source=monitor/web | 1m raise source=monitor/host | 3m resolve source=monitor/web | 10m end",
        expect![[r#"
            2m30s page anna {source=monitor/host} first: +source=monitor/host
        "#]],
    );
}

#[test]
fn what_is_wrong_with_a_downtime_is_said() {
    let config = with(
        r#"[
        {"name": "", "matchers": [], "from": "2026-01-05T00:10", "until": "2026-01-05T00:10"},
        {"name": "a", "matchers": ["x"], "from": "tomorrow", "until": "2026-01-01"},
        {"name": "a", "matchers": ["x=1"], "from": "2026-01-01", "cron": "0 0 * * *"},
        {"name": "b", "matchers": ["x=1"]},
        {"name": "c", "matchers": ["x=1"], "until": "2026-01-01"},
        {"name": "d", "matchers": ["x=1"], "cron": "0 0 * * *"},
        {"name": "e", "matchers": ["x=1"], "lasts": "2h"},
        {"name": "f", "matchers": ["x=1"], "cron": "*/30 * * * *", "lasts": "30m"},
        {"name": "g", "matchers": ["x=1"], "cron": "0,30 0-22 * * *", "lasts": "30m"},
        {"name": "h", "matchers": ["x=1"], "during": ["nigths"], "time_zone": "Europe/Berlim"},
        {"name": "i", "matchers": ["x=1"], "cron": "0 0 1 1 *", "lasts": "0s"}]"#,
    );
    let mut problems = Problems::new();
    config.check(&Path::root(), &["anna"], &mut problems);
    let line = |it: &watchbell_model::Problem| {
        let hint = it.hint.as_ref().map(|hint| format!("\n    {hint}")).unwrap_or_default();
        format!("{}: {}{hint}\n", it.path, it.message)
    };
    expect![[r#"
        downtimes[0].name: a downtime needs a name
        downtimes[0].matchers: without matchers it would cover every alert
            name those it is meant for, such as `service="db"`; `alertname=~".+"` is every one
        downtimes[0].until: it ends before it begins
        downtimes[1].matchers[0]: `x` is not a matcher: expected an operator such as `=` or `=~` at position 1
            write it as `name="value"`, with `=`, `!=`, `=~` or `!~`
        downtimes[1].from: `tomorrow` is not a date and time
            write it as `2026-01-05T09:00`
        downtimes[2].name: there are two downtimes named `a`
            give each a name of its own
        downtimes[2]: it is not clear when it is in force
            give `from` and `until`, or `during`, or `cron` and `lasts`
        downtimes[3]: it is not clear when it is in force
            give `from` and `until`, or `during`, or `cron` and `lasts`
        downtimes[4]: beside `until` it needs `from`
        downtimes[5]: beside `cron` it needs `lasts`
        downtimes[6]: beside `lasts` it needs `cron`
        downtimes[7].lasts: it begins again before 30m are over, and never ends
            shorten it, or begin less often
        downtimes[9].time_zone: `Europe/Berlim` is not a known time zone
            write it as `Europe/Berlin`, `UTC` or `Local`
        downtimes[9].during[0]: there is no time interval named `nigths`
            did you mean `nights`?
        downtimes[10].lasts: it ends when it begins
            such as `2h`
    "#]]
    .assert_eq(&problems.0.iter().map(line).collect::<String>());
}
