//! What rules may say beyond Prometheus, and what is done with their alerts on the way out.

use expect_test::expect;
use watchbell_alarms::Desired;
use watchbell_alarms::rule::{GroupDefaults, RuleFile, RuleGlobals};
use watchbell_model::{AlarmState, Labels, Level, Path, Problems, Relabel, RelabelConfig};
use watchbell_query::promql::Features;
use watchbell_runtime::sim;

use crate::world::{Bell, Disk};

fn rules(rules: serde_json::Value) -> RuleFile {
    serde_json::from_value(serde_json::json!({"groups": [{"name": "g", "interval": "10s", "rules": rules}]})).unwrap()
}

fn wanted(rule: serde_json::Value) -> Desired {
    let groups = rules(serde_json::json!([rule])).groups("g.yml", GroupDefaults::default()).unwrap();
    Desired { groups, ..Desired::default() }
}

async fn read(disk: &Disk, bell: &Bell, seconds: u64, readings: &[(&str, f64)]) {
    for _ in 0..seconds / 5 {
        for (mount, value) in readings {
            disk.store.put(Labels::metric("free", &[("mount", mount)]), bell.runtime.clock.now(), *value);
        }
        bell.wait("5s").await;
    }
}

fn rule(policy: Option<&str>) -> serde_json::Value {
    let mut rule = serde_json::json!({
        "alert": "Full", "expr": "free < 10", "for": "20s", "labels": {"severity": "warning"},
        "annotations": {"summary": "{{ $labels.mount }} has {{ $value }}"},
    });
    if let Some(policy) = policy {
        rule["annotations"]["watchbell_no_data"] = policy.into();
    }
    rule
}

/// A disk is full, then nobody says anything of it for a quarter of an hour, then it is empty.
fn silence(policy: Option<&str>, readings: &'static [(&'static str, f64)]) -> String {
    let wanted_rule = wanted(rule(policy));
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(wanted_rule).await;
        read(&disk, &bell, 60, readings).await;
        bell.wait("15m").await;
        let silent = bell.alarms.status("rule/g/Full").unwrap();
        let text = format!("{}silent: {}\n", disk.raised.take(), silent.state);
        read(&disk, &bell, 60, &[("/", 50.0)]).await;
        format!("{text}{}", disk.raised.take())
    })
}

#[test]
fn what_no_data_means_is_for_the_rule_to_say() {
    const FULL: &[(&str, f64)] = &[("/", 5.0)];
    const EMPTY: &[(&str, f64)] = &[("/", 50.0)];
    let mut text = String::new();
    for policy in [None, Some("ok"), Some("keep"), Some("alarm"), Some("insufficient_data")] {
        for (name, readings) in [("full", FULL), ("empty", EMPTY)] {
            let told = silence(policy, readings);
            text.push_str(&format!("{} after {name}:\n{told}", policy.unwrap_or("not said")));
        }
    }
    expect![[r#"
        not said after full:
        24s372ms firing rule/g/Full: / has 5
        6m4s372ms resolved rule/g/Full: / has 5 [the condition does not hold any more]
        silent: OK
        not said after empty:
        silent: OK
        ok after full:
        24s372ms firing rule/g/Full: / has 5
        6m4s372ms resolved rule/g/Full: / has 5 [the condition does not hold any more]
        silent: OK
        ok after empty:
        silent: OK
        keep after full:
        24s372ms firing rule/g/Full: / has 5
        silent: ALARM
        16m4s372ms resolved rule/g/Full: / has 5 [the condition does not hold any more]
        keep after empty:
        silent: OK
        alarm after full:
        24s372ms firing rule/g/Full: / has 5
        silent: ALARM
        16m4s372ms resolved rule/g/Full: / has 5 [the condition does not hold any more]
        alarm after empty:
        6m24s372ms firing rule/g/Full: no data for Full: its expression finds nothing
        silent: ALARM
        16m4s372ms resolved rule/g/Full: no data for Full: its expression finds nothing [the condition does not hold any more]
        insufficient_data after full:
        24s372ms firing rule/g/Full: / has 5
        silent: ALARM
        16m4s372ms resolved rule/g/Full: / has 5 [the condition does not hold any more]
        insufficient_data after empty:
        silent: INSUFFICIENT_DATA
    "#]].assert_eq(&text);
}

#[test]
fn an_alert_ends_only_when_its_recovery_holds() {
    let mut wanted_rule = rule(None);
    wanted_rule["annotations"]["watchbell_recovery"] = "free > 20".into();
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(wanted(wanted_rule)).await;
        read(&disk, &bell, 60, &[("/", 5.0), ("/var", 5.0)]).await;
        // No longer full, but not well either.
        read(&disk, &bell, 600, &[("/", 15.0), ("/var", 50.0)]).await;
        expect![[r#"
            24s372ms firing rule/g/Full: / has 5
            24s372ms firing rule/g/Full: /var has 5
            1m4s372ms resolved rule/g/Full: /var has 5 [the condition does not hold any more]
        "#]]
        .assert_eq(&disk.raised.take());
        bell.crash();
        let bell = disk
            .start(wanted({
                let mut rule = rule(None);
                rule["annotations"]["watchbell_recovery"] = "free > 20".into();
                rule
            }))
            .await;
        read(&disk, &bell, 60, &[("/", 15.0), ("/var", 50.0)]).await;
        assert_eq!(disk.raised.take(), "");
        read(&disk, &bell, 60, &[("/", 25.0), ("/var", 50.0)]).await;
        expect![[r#"
            12m4s372ms resolved rule/g/Full: / has 5 [the condition does not hold any more]
        "#]]
        .assert_eq(&disk.raised.take());
    });
}

#[test]
fn alerts_get_the_labels_of_this_watchbell_and_are_relabelled() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let mut rule = rule(None);
        rule["annotations"]["summary"] = "{{ $labels.mount }} at {{ $externalLabels.site }}".into();
        rule["annotations"]["watchbell_no_data"] = "ok".into();
        let relabel =
            |configs: serde_json::Value| Relabel::new(&serde_json::from_value::<Vec<RelabelConfig>>(configs).unwrap());
        let globals = |alert_relabel| RuleGlobals {
            external_labels: Labels::from_pairs([("site", "north"), ("severity", "info")]),
            alert_relabel,
            ..RuleGlobals::default()
        };
        let drop = relabel(serde_json::json!([
            {"source_labels": ["mount"], "regex": "/tmp", "action": "drop"},
            {"source_labels": ["mount"], "target_label": "disk"},
            {"regex": "mount", "action": "labeldrop"},
        ]));
        let bell = disk.start(Desired { rule_globals: globals(drop.clone()), ..wanted(rule.clone()) }).await;
        read(&disk, &bell, 60, &[("/", 5.0), ("/tmp", 5.0)]).await;
        let alerts = disk.raised.firing();
        let text: String = alerts.iter().map(|alert| format!("{} {}\n", alert.labels, alert.annotations)).collect();
        expect![[r#"
            {alertname="Full", disk="/", severity="warning", site="north", source="rule/g/Full"} {summary="/ at north"}
        "#]]
        .assert_eq(&text);
        disk.raised.take();
        // The same after a restart: nothing begins anew, nothing that was dropped is resolved.
        bell.crash();
        let bell = disk.start(Desired { rule_globals: globals(drop), ..wanted(rule.clone()) }).await;
        read(&disk, &bell, 60, &[("/", 5.0), ("/tmp", 5.0)]).await;
        assert_eq!(disk.raised.take(), "");
        // Other labels: the alert goes on under them, and the old one does not fire for ever.
        bell.alarms.apply(Desired { rule_globals: globals(Relabel::default()), ..wanted(rule) }).await.unwrap();
        read(&disk, &bell, 20, &[("/", 5.0), ("/tmp", 5.0)]).await;
        let alerts = disk.raised.firing();
        let text: String = alerts.iter().map(|alert| format!("{}\n", alert.labels)).collect();
        expect![[r#"
            {alertname="Full", mount="/", severity="warning", site="north", source="rule/g/Full"}
            {alertname="Full", mount="/tmp", severity="warning", site="north", source="rule/g/Full"}
        "#]]
        .assert_eq(&text);
        expect![[r#"
            2m4s372ms resolved rule/g/Full: / at north [it goes on under other labels]
            2m4s372ms firing rule/g/Full: / at north
            2m4s372ms firing rule/g/Full: /tmp at north
        "#]]
        .assert_eq(&disk.raised.take());
        read(&disk, &bell, 320, &[("/", 50.0), ("/tmp", 50.0)]).await;
        assert!(disk.raised.firing().is_empty());
    });
}

#[test]
fn series_of_rules_that_are_gone_end() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let start = disk.world.clock.now();
        let file = |name: &str| wanted(serde_json::json!({"record": name, "expr": "free * 2"}));
        let bell = disk.start(file("double")).await;
        read(&disk, &bell, 30, &[("/", 5.0)]).await;
        bell.alarms.apply(file("twice")).await.unwrap();
        bell.runtime.supervisor.reconcile("alarms", bell.alarms.tasks());
        read(&disk, &bell, 20, &[("/", 5.0)]).await;
        expect![[r#"
            double{mount="/"} 10@4 10@14 10@24 stale@30
        "#]]
        .assert_eq(&disk.store.show("double", start));
        expect![[r#"
            twice{mount="/"} 10@34 10@44
        "#]]
        .assert_eq(&disk.store.show("twice", start));
        let numbers = bell.runtime.metrics.render();
        let about: Vec<&str> = numbers.lines().filter(|line| line.contains("rule_group=")).collect();
        expect![[r#"
            watchbell_rule_evaluation_failures_total{rule_group="g.yml;g"} 0
            watchbell_rule_evaluations_total{rule_group="g.yml;g"} 5
            watchbell_rule_group_interval_seconds{rule_group="g.yml;g"} 10
            watchbell_rule_group_iterations_missed_total{rule_group="g.yml;g"} 0
            watchbell_rule_group_iterations_total{rule_group="g.yml;g"} 5
            watchbell_rule_group_last_duration_seconds{rule_group="g.yml;g"} 0
            watchbell_rule_group_last_evaluation_samples{rule_group="g.yml;g"} 1
            watchbell_rule_group_last_evaluation_timestamp_seconds{rule_group="g.yml;g"} 1767571244.372
            watchbell_rule_group_rules{rule_group="g.yml;g"} 1"#]]
        .assert_eq(&about.join("\n"));
        bell.alarms.apply(Desired::default()).await.unwrap();
        assert!(!bell.runtime.metrics.render().contains("rule_group="));
    });
}

#[test]
fn an_alarm_that_knows_nothing_says_so_before_it_has_ever_known_anything() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(wanted(rule(Some("insufficient_data")))).await;
        bell.wait("1m").await;
        let status = bell.alarms.status("rule/g/Full").unwrap();
        assert_eq!(status.state, AlarmState::InsufficientData);
        read(&disk, &bell, 30, &[("/", 50.0)]).await;
        assert_eq!(bell.alarms.status("rule/g/Full").unwrap().state, AlarmState::Ok);
    });
}

#[test]
fn what_is_wrong_with_our_annotations_is_said() {
    let file = rules(serde_json::json!([
        {"alert": "A", "expr": "up < 1", "labels": {"severity": "info"}, "annotations": {
            "watchbell_no_data": "alert", "watchbell_recovery": "up >", "watchbell_run_book": "x", "runbook_url": "https://x"}},
        {"alert": "B", "expr": "absent(up)", "labels": {"severity": "info"}, "annotations": {
            "watchbell_no_data": "alarm", "watchbell_recovery": "1", "watchbell_runbook": "x", "watchbell_expires": "0s"}},
        {"alert": "C", "expr": "up", "labels": {"severity": "info"}, "annotations": {"watchbell_expires": "soon"}},
    ]));
    let mut problems = Problems::new();
    file.check(Features::default(), &Path::root(), &mut problems);
    let errors = problems.0.iter().filter(|it| it.level == Level::Error);
    let text: String =
        errors.map(|it| format!("{}: {}\n    {}\n", it.path, it.message, it.hint.as_deref().unwrap_or("-"))).collect();
    expect![[r#"
        groups[0].rules[0].annotations.watchbell_no_data: `alert` is not what no data can mean
            one of `ok`, `alarm`, `keep`, `insufficient_data`; `ok` is what Prometheus does
        groups[0].rules[0].annotations.watchbell_recovery: the expression ends too early (line 1, column 5)
            an expression that yields the series whose alerts may end, such as `disk_free_ratio > 0.2`
        groups[0].rules[0].annotations.watchbell_run_book: watchbell knows no annotation `watchbell_run_book`
            there are `watchbell_expires`, `watchbell_no_data`, `watchbell_recovery`, `watchbell_runbook`
        groups[0].rules[1].annotations.watchbell_expires: an alert cannot last no time
            such as `5m`
        groups[0].rules[1].annotations.watchbell_no_data: the expression asks by `absent` whether there is data, so that it always has some
            take the annotation out, or write a rule of its own for data that is missing
        groups[0].rules[1].annotations.watchbell_recovery: what must hold for an alert to end is a vector
            the series whose alerts may end, such as `disk_free_ratio > 0.2`
        groups[0].rules[2].annotations.watchbell_expires: `soon` is not a duration; write it as `30s`, `5m`, `1h30m` or `7d`
            such as `5m`
    "#]].assert_eq(&text);
}
