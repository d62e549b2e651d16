//! Limits, merging, and what the book must hold after any change.

use expect_test::expect;
use watchbell_model::{Alert, Labels, Timestamp};

use super::*;
use crate::config::{Config, RouteConfig};

fn book(group_by: &[&str]) -> Book {
    let group_by = Some(group_by.iter().map(|name| (*name).to_owned()).collect());
    let route = RouteConfig { receiver: Some("ops".into()), group_by, ..RouteConfig::default() };
    let config = Config { route, ..Config::default() };
    let mut book = Book::default();
    let mut problems = watchbell_model::Problems::new();
    book.configure(config.compile(&watchbell_model::Path::root(), &mut problems), moment(0));
    assert_eq!(problems.0, []);
    book
}

fn moment(seconds: i64) -> Moment {
    Moment { now: Timestamp(seconds * 1000), steady: Timestamp(seconds * 1000) }
}

fn alert(labels: &[(&str, &str)]) -> Alert {
    Alert {
        labels: Labels::from_pairs(labels.iter().copied()),
        annotations: Labels::empty(),
        starts_at: Timestamp(0),
        ends_at: None,
        generator_url: String::new(),
    }
}

fn many(count: usize) -> Vec<Alert> {
    (0..count).map(|number| alert(&[("alertname", "a"), ("n", &number.to_string())])).collect()
}

#[test]
fn past_the_limit_alerts_are_dropped_but_our_own() {
    let mut book = book(&["alertname"]);
    let plan = book.plan_raise(many(ALERTS_MAX + 5), moment(0));
    assert_eq!(plan.dropped, 5);
    book.apply_raise(plan);
    let plan =
        book.plan_raise(vec![alert(&[("source", "other")]), alert(&[("source", "self/alerts-limit")])], moment(0));
    assert_eq!(plan.dropped, 1);
    book.apply_raise(plan);
    assert_eq!((book.alerts.len(), book.groups.len()), (ALERTS_MAX + 1, 2));
    // A refresh of what is known is not a new alert.
    assert_eq!(book.plan_raise(many(10), moment(1)).dropped, 0);
}

#[test]
fn past_the_limit_groups_are_shared_and_nothing_is_lost() {
    let mut book = book(&["..."]);
    let plan = book.plan_raise(many(GROUPS_MAX), moment(0));
    book.apply_raise(plan);
    assert_eq!(book.groups.len(), GROUPS_MAX);
    let own: Vec<Alert> = (0..3).map(|number| alert(&[("source", "self/x"), ("n", &number.to_string())])).collect();
    let plan = book.plan_raise(own, moment(0));
    assert_eq!(plan.crowded, 3);
    book.apply_raise(plan);
    assert_eq!(book.groups.len(), GROUPS_MAX + 1);
    let mut told = 0;
    while let Some(plan) = book.plan_flush(moment(60)) {
        told += plan.notifications.iter().map(|group| group.alerts.len()).sum::<usize>();
        book.apply_flush(plan);
    }
    assert_eq!(told, GROUPS_MAX + 3);
}

#[test]
fn one_label_set_twice_in_one_batch_is_one_alert() {
    let mut book = book(&[]);
    let twice = vec![
        Alert { starts_at: Timestamp(50), ..alert(&[("a", "b")]) },
        Alert { starts_at: Timestamp(20), annotations: Labels::from_pairs([("note", "new")]), ..alert(&[("a", "b")]) },
    ];
    let plan = book.plan_raise(twice, moment(1));
    book.apply_raise(plan);
    let views = book.alert_views(Timestamp(1000));
    expect![[r#"
        [
          {
            "alert": {
              "labels": {
                "a": "b"
              },
              "annotations": {
                "note": "new"
              },
              "startsAt": "1970-01-01T00:00:00.020Z",
              "generatorURL": ""
            },
            "fingerprint": "d2b371819297f98a",
            "state": "active",
            "silencedBy": [],
            "inhibitedBy": [],
            "mutedBy": [],
            "receivers": [
              "ops"
            ],
            "updatedAt": "1970-01-01T00:00:01.000Z",
            "acknowledged": null,
            "verdict": null
          }
        ]"#]]
    .assert_eq(&serde_json::to_string_pretty(&views).expect("it is JSON"));
}

#[test]
fn the_end_of_something_earlier_does_not_end_what_fires_now() {
    let mut book = book(&[]);
    let mut raise = |starts_at: i64, ends_at: Option<i64>, now: i64| {
        let alert = Alert {
            starts_at: Timestamp(starts_at * 1000),
            ends_at: ends_at.map(|end| Timestamp(end * 1000)),
            ..alert(&[("a", "b")])
        };
        let plan = book.plan_raise(vec![alert], moment(now));
        book.apply_raise(plan);
        book.alert_views(Timestamp(now * 1000)).len()
    };
    assert_eq!(raise(100, None, 100), 1);
    assert_eq!(raise(10, Some(50), 101), 1, "an old end that comes late");
    assert_eq!(raise(100, Some(105), 106), 0, "its own end");
}
