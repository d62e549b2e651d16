//! What happens when the machine is not well.

use std::sync::Arc;

use expect_test::expect;
use watchbell_alerts::Alerts;
use watchbell_model::{
    Alert, BoxFuture, Change, Deliver, GroupNotification, Labels, MemoryState, Raise, State, StateError,
};
use watchbell_runtime::sim;

use crate::stage::{Fault, config, labels, play};

const PLAIN: &str = r#"{"receiver": "ops", "group_by": ["alertname"]}"#;

fn text(timeline: &str) -> String {
    let played = play(&[config(PLAIN, "[]", "[]")], timeline, Fault::None, None);
    played.text + &played.troubles.join("\n")
}

#[test]
fn a_full_disk_makes_pages_late_and_loses_none() {
    let played = text("0s raise a | 20s break | 5m end");
    expect!["state/alerts: alerts cannot be kept, pages wait until they can: durable state cannot be written: the disk is full (simulated)"].assert_eq(&played);
    let played = text("0s raise a | 20s break | 5m mend | 10m end");
    expect![[r#"
        5m1s page ops {a} first: +a
    "#]]
    .assert_eq(&played);
}

#[test]
fn timers_that_ran_out_while_watchbell_was_down_count_at_once() {
    expect![[r#"
        1h10s page ops {a} first: +a
    "#]]
    .assert_eq(&text("0s raise a | 10s down 1h | 2h end"));
}

#[test]
fn a_foreign_alert_gets_time_to_be_refreshed_after_a_restart() {
    // Nobody could refresh it while watchbell was down: that is no reason to say that it is over.
    let refreshed = text("0s raise a until 5m | 1m down 1h | 1h2m raise a until 67m | 66m show | 2h end");
    expect![[r#"
        30s page ops {a} first: +a
        1h6m shows a active to ops
        1h11m page ops {a} all_resolved: -a
    "#]]
    .assert_eq(&refreshed);
}

#[test]
fn a_clock_that_is_set_back_does_not_hold_pages_back() {
    expect![[r#"
        1h30s page ops {a} first: +a
    "#]]
    .assert_eq(&text("2h raise a | 2h5s jump -3600 | 3h end"));
    expect![[r#"
        3h30s page ops {a} first: +a
        4h30s page ops {a} all_resolved: -a
    "#]]
    .assert_eq(&text("2h raise a | 2h5s jump 3600 | 3h resolve a | 4h end"));
}

#[test]
fn what_is_raised_before_the_loop_runs_is_kept_and_after_it_stopped_is_refused() {
    let words = sim::run(1, |world| async move {
        let (state, runtime) = (Arc::new(MemoryState::new()), world.runtime());
        let alerts = Alerts::open(runtime.clone(), Arc::clone(&state) as Arc<dyn State>, Arc::new(Nobody)).unwrap();
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", "a")]),
            annotations: Labels::empty(),
            starts_at: world.clock.now(),
            ends_at: None,
            generator_url: String::new(),
        };
        let mut words = Vec::new();
        let mut say = |result: Result<(), StateError>| {
            words.push(result.map_or_else(|error| error.to_string(), |()| "kept".to_owned()));
        };
        say(alerts.raise(vec![alert.clone()], Vec::new()).await);
        alerts.apply(&config(PLAIN, "[]", "[]")).unwrap();
        say(alerts.raise(vec![alert.clone()], Vec::new()).await);
        runtime.supervisor.reconcile("alerts", alerts.tasks());
        say(alerts.raise(vec![Alert { labels: labels("b"), ..alert.clone() }], Vec::new()).await);
        runtime.supervisor.stop().await;
        say(alerts.raise(vec![alert], Vec::new()).await);
        words.push(format!("{} alerts", alerts.alerts().len()));
        words.join("\n")
    });
    expect![[r#"
        durable state cannot be written: there are no routes yet
        kept
        kept
        durable state cannot be written: watchbell is stopping
        2 alerts"#]]
    .assert_eq(&words);
}

#[test]
fn what_joined_while_nobody_knew_whether_a_page_was_kept_is_told() {
    // The page about `a` is in the outbox, but we were told it is not: what is said next must not count as the same.
    let route = r#"{"receiver": "ops"}"#;
    let timeline = "0s raise a | 30500ms raise b | 3m show | 20m end";
    let mut texts: Vec<String> = (1..=4)
        .map(|commit| play(&[config(route, "[]", "[]")], timeline, Fault::FailsLate(commit), None).text)
        .collect();
    texts.dedup();
    expect![[r#"
        30s page ops {} first: +a
        3m shows a active to ops; b active to ops
        5m30s page ops {} new_alerts: +a +b
        or
        30s1ms page ops {} first: +a
        3m shows a active to ops; b active to ops
        5m30s1ms page ops {} new_alerts: +a +b
        or
        30s page ops {} first: +a
        31s page ops {} first: +a +b
        3m shows a active to ops; b active to ops
        or
        30s page ops {} first: +a
        3m shows a active to ops; b active to ops
        5m30s page ops {} new_alerts: +a +b
    "#]]
    .assert_eq(&texts.join("or\n"));
}

#[test]
fn what_ended_while_nobody_knew_whether_a_page_was_kept_is_ended_there() {
    let timeline = "0s raise a | 30500ms resolve a | 20m end";
    let played = play(&[config(PLAIN, "[]", "[]")], timeline, Fault::FailsLate(3), None);
    expect![[r#"
        30s page ops {a} first: +a
        31s page ops {a} all_resolved: -a
    "#]]
    .assert_eq(&played.text);
}

#[test]
fn what_came_back_is_told_though_its_first_page_was_kept_unknown_and_it_ended_silenced() {
    let timeline = "0s raise a | 30500ms silence alertname=a for 10m | 5m resolve a | 20m raise a | 40m end";
    let played = play(&[config(PLAIN, "[]", "[]")], timeline, Fault::FailsLate(3), None);
    expect![[r#"
        30s page ops {a} first: +a
        20m30s page ops {a} first: +a
    "#]]
    .assert_eq(&played.text);
}

#[test]
fn an_alert_that_was_refused_does_not_come_back_after_a_restart() {
    // It is on disk, but its sender was told that it is not, and gave up on it.
    let timeline = "0s try a | 10s resolve a | 20s crash | 20m show | 20m end";
    for commit in 1..=3 {
        let played = play(&[config(PLAIN, "[]", "[]")], timeline, Fault::FailsLate(commit), None);
        assert_eq!(played.text, "20m shows nothing\n", "when commit {commit} fails late");
    }
}

struct Nobody;

impl Deliver for Nobody {
    fn deliver(&self, _: Vec<GroupNotification>, _: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async { Ok(()) })
    }
}
