//! The cases of Prometheus' conformance suite for whoever generates alerts, in simulated time and with rules of our own
//! making: what is sent when, and what `/api/v1/rules` and `/api/v1/alerts` tell on the way.

use expect_test::expect;
use watchbell_alarms::Desired;
use watchbell_alarms::rule::{GroupDefaults, RuleFile};
use watchbell_model::Labels;
use watchbell_runtime::sim;

use crate::world::{Bell, Disk};

fn wanted(rules: serde_json::Value) -> Desired {
    let file = serde_json::json!({"groups": [{"name": "generator", "interval": "30s", "rules": rules}]});
    let file: RuleFile = serde_json::from_value(file).unwrap();
    Desired { groups: file.groups("generator.yml", GroupDefaults::default()).unwrap(), ..Desired::default() }
}

/// Stores a reading of each series every fifteen seconds for so many minutes, and notes what the rules say in between.
async fn read(disk: &Disk, bell: &Bell, minutes: u64, readings: &[(&str, f64)], seen: &mut String) {
    for quarter in 0..minutes * 4 {
        for (series, value) in readings {
            let labels = Labels::metric("reading", &[("series", series)]);
            disk.store.put(labels, bell.runtime.clock.now(), *value);
        }
        bell.wait("15s").await;
        if quarter % 4 == 3 {
            let now = bell.runtime.clock.now().since(bell.start).as_secs() / 60;
            for rule in bell.alarms.groups().remove(0).rules {
                let alerts: Vec<String> = rule
                    .alerts
                    .iter()
                    .map(|alert| {
                        let since = alert.active_at.since(bell.start).as_secs();
                        let value = alert.value.map_or_else(|| "-".to_owned(), |value| value.to_string());
                        format!("{:?} since {since}s at {value}", alert.state).to_lowercase()
                    })
                    .collect();
                let state = format!("{:?}", rule.state).to_lowercase();
                let line = format!("{} {state} [{}]", rule.name, alerts.join(", "));
                if !seen.lines().rev().any(|had| had.ends_with(&format!(" {line}"))) {
                    seen.push_str(&format!("{now}m {line}\n"));
                }
            }
        }
    }
}

#[test]
fn what_is_pending_fires_when_its_time_is_over_and_resolves() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let rule = serde_json::json!({
            "alert": "Simple", "expr": "reading{series=\"a\"} > 10", "for": "6m", "labels": {"foo": "bar"},
            "annotations": {"summary": "the value is {{$value}} {{.Value}}"},
        });
        let bell = disk.start(wanted(serde_json::json!([rule]))).await;
        let mut seen = String::new();
        read(&disk, &bell, 2, &[("a", 5.0)], &mut seen).await;
        read(&disk, &bell, 8, &[("a", 15.0)], &mut seen).await;
        read(&disk, &bell, 2, &[("a", 19.0)], &mut seen).await;
        read(&disk, &bell, 2, &[("a", 5.0)], &mut seen).await;
        expect![[r#"
            1m Simple inactive []
            3m Simple pending [pending since 135s at 15]
            9m Simple firing [firing since 135s at 15]
            11m Simple firing [firing since 135s at 19]
        "#]]
        .assert_eq(&seen);
        expect![[r#"
            8m15s404ms firing rule/generator/Simple: the value is 15 15
            12m15s404ms resolved rule/generator/Simple: the value is 19 19 [the condition does not hold any more]
        "#]]
        .assert_eq(&disk.raised.take());
    });
}

#[test]
fn what_is_pending_for_too_short_a_time_is_never_sent() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let rules = serde_json::json!([
            {"alert": "Pending", "expr": "reading > 10", "for": "3m"},
            {"alert": "Inactive", "expr": "reading > 99", "for": "3m"},
        ]);
        let bell = disk.start(wanted(rules)).await;
        let mut seen = String::new();
        read(&disk, &bell, 1, &[("a", 5.0)], &mut seen).await;
        read(&disk, &bell, 2, &[("a", 15.0)], &mut seen).await;
        read(&disk, &bell, 4, &[("a", 5.0)], &mut seen).await;
        expect![[r#"
            1m Pending inactive []
            1m Inactive inactive []
            2m Pending pending [pending since 75s at 15]
        "#]]
        .assert_eq(&seen);
        assert_eq!(disk.raised.take(), "");
    });
}

#[test]
fn without_a_time_to_wait_it_fires_at_once_and_with_a_short_one_at_the_next_evaluation() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let rules = serde_json::json!([
            {"alert": "Zero", "expr": "reading{series=\"a\"} > 10", "annotations": {
                "summary": "{{ define \"t\" }}{{.arg0}} {{.arg1}} {{.arg2}}.{{ with query \"reading\" }} first:{{ . | sortByLabel \"series\" | first | label \"series\" }},{{ range sortByLabel \"series\" . }} {{ . | label \"series\" }}:{{ . | value }}{{ end }}{{ end }}{{ end }}{{ template \"t\" (args \"foo\" \"bar\" 99) }} {{ humanize 1048576 }} {{ humanize1024 1048576 }} {{ humanizeDuration 135.3563 }} {{ humanizePercentage 0.959 }} {{ humanizeTimestamp 1643114203 }}"}},
            {"alert": "Small", "expr": "reading{series=\"a\"} > 13", "for": "15s", "annotations": {
                "summary": "{{ title \"this part\" }} {{ toUpper \"is testing\" }} {{ toLower \"THE STRINGS\" }}. {{ stripPort \"[::1]:6006\" }} {{ stripPort \"127.0.0.1:4004\" }}. {{ parseDuration \"2h10m15s\" }}. {{ if match \"[0-9]+\" \"1234\" }}{{ reReplaceAll \"r.*d\" \"replaced\" \"rpld text\" }}{{ end }}. {{ if match \"[0-9]+$\" \"1234a\" }}WRONG{{ end }}."}},
        ]);
        let bell = disk.start(wanted(rules)).await;
        let mut seen = String::new();
        read(&disk, &bell, 1, &[("a", 5.0), ("b", 7.0)], &mut seen).await;
        read(&disk, &bell, 2, &[("a", 15.0), ("b", 7.0)], &mut seen).await;
        read(&disk, &bell, 1, &[("a", 5.0)], &mut seen).await;
        expect![[r#"
            1m Zero inactive []
            1m Small inactive []
            2m Zero firing [firing since 75s at 15]
            2m Small firing [firing since 75s at 15]
        "#]]
        .assert_eq(&seen);
        expect![[r#"
            1m15s404ms firing rule/generator/Zero: foo bar 99. first:a, a:15 b:7 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
            1m45s404ms firing rule/generator/Small: This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. .
            3m15s404ms resolved rule/generator/Zero: foo bar 99. first:a, a:15 b:7 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC [the condition does not hold any more]
            3m15s404ms resolved rule/generator/Small: This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. . [the condition does not hold any more]
        "#]].assert_eq(&disk.raised.take());
    });
}

#[test]
fn a_rule_sees_the_alerts_of_the_rule_before_it_in_the_same_evaluation() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let rules = serde_json::json!([
            {"alert": "First", "expr": "reading > 10", "for": "3m", "labels": {"foo": "bar"},
             "annotations": {"summary": "{{ $labels.series }} is high"}},
            {"alert": "Second", "expr": "count(ALERTS{alertstate=\"firing\", alertname=\"First\", foo=\"bar\"}) == 2",
             "labels": {"foo": "baz"}, "annotations": {"summary": "both, by ALERTS"}},
        ]);
        let bell = disk.start(wanted(rules)).await;
        let mut seen = String::new();
        read(&disk, &bell, 1, &[("one", 5.0), ("two", 5.0)], &mut seen).await;
        read(&disk, &bell, 4, &[("one", 15.0), ("two", 5.0)], &mut seen).await;
        // New alerts of a rule that fires already wait for themselves.
        read(&disk, &bell, 5, &[("one", 15.0), ("two", 15.0)], &mut seen).await;
        read(&disk, &bell, 2, &[("one", 5.0), ("two", 5.0)], &mut seen).await;
        expect![[r#"
            1m First inactive []
            1m Second inactive []
            2m First pending [pending since 75s at 15]
            5m First firing [firing since 75s at 15]
            6m First firing [firing since 75s at 15, pending since 315s at 15]
            9m First firing [firing since 75s at 15, firing since 315s at 15]
            9m Second firing [firing since 495s at 2]
        "#]]
        .assert_eq(&seen);
        expect![[r#"
            4m15s404ms firing rule/generator/First: one is high
            8m15s404ms firing rule/generator/First: two is high
            8m15s404ms firing rule/generator/Second: both, by ALERTS
            10m15s404ms resolved rule/generator/First: one is high [the condition does not hold any more]
            10m15s404ms resolved rule/generator/First: two is high [the condition does not hold any more]
            10m15s404ms resolved rule/generator/Second: both, by ALERTS [the condition does not hold any more]
        "#]]
        .assert_eq(&disk.raised.take());
    });
}
