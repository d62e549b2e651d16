//! Rules over stored series: what fires, what is stored, what survives.

use std::sync::atomic::Ordering;

use expect_test::expect;
use watchbell_alarms::Desired;
use watchbell_alarms::rule::{GroupDefaults, Health, RuleFile};
use watchbell_model::{AlarmState, Labels, Level, Path, Problems};
use watchbell_query::promql::Features;
use watchbell_runtime::sim;

use crate::world::{Bell, Disk};

const FILE: &str = r#"{"groups": [{"name": "host", "interval": "10s", "labels": {"severity": "warning"}, "rules": [
    {"record": "disk:free:ratio", "expr": "disk_free / disk_size", "labels": {"by": "rule"}},
    {"alert": "DiskFull", "expr": "disk:free:ratio < 0.1", "for": "20s",
     "labels": {"mount": "{{ $labels.mount }}!"},
     "annotations": {"summary": "{{ $labels.mount }} has {{ $value | humanizePercentage }} left", "runbook_url": "https://wb/runbooks/disk"}},
    {"alert": "DiskFull", "expr": "disk:free:ratio < 0.05", "labels": {"severity": "critical"},
     "annotations": {"summary": "{{ $labels.nope.nope }}"}}
]}]}"#;

fn wanted(file: &str) -> Desired {
    let file: RuleFile = serde_json::from_str(file).unwrap();
    Desired { groups: file.groups("host.yml", GroupDefaults::default()).unwrap(), ..Desired::default() }
}

/// Stores a reading every five seconds for so long.
async fn read(disk: &Disk, bell: &Bell, seconds: u64, free: f64) {
    for _ in 0..seconds / 5 {
        for (name, value) in [("disk_free", free), ("disk_size", 100.0)] {
            disk.store.put(Labels::metric(name, &[("mount", "/var")]), bell.runtime.clock.now(), value);
        }
        bell.wait("5s").await;
    }
}

#[test]
fn rules_see_what_earlier_ones_recorded_and_say_what_fires() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let start = disk.world.clock.now();
        let bell = disk.start(wanted(FILE)).await;
        read(&disk, &bell, 20, 50.0).await;
        read(&disk, &bell, 60, 8.0).await;
        read(&disk, &bell, 20, 4.0).await;
        read(&disk, &bell, 20, 50.0).await;
        expect![[r#"
            41s20ms firing rule/host/DiskFull: /var has 8% left
            1m21s20ms firing rule/host/DiskFull~2: <error expanding template: template `rule`, line 1, column 4: a string has no field `nope`>
            1m41s20ms resolved rule/host/DiskFull: /var has 4% left [the condition does not hold any more]
            1m41s20ms resolved rule/host/DiskFull~2: <error expanding template: template `rule`, line 1, column 4: a string has no field `nope`> [the condition does not hold any more]
        "#]].assert_eq(&disk.raised.take());
        expect![[r#"
            ALERTS{alertname="DiskFull", alertstate="firing", by="rule", mount="/var", severity="critical"} 1@81 1@91 stale@101
            ALERTS{alertname="DiskFull", alertstate="firing", by="rule", mount="/var!", severity="warning"} 1@41 1@51 1@61 1@71 1@81 1@91 stale@101
            ALERTS{alertname="DiskFull", alertstate="pending", by="rule", mount="/var!", severity="warning"} 1@21 1@31 stale@41
        "#]].assert_eq(&disk.store.show("ALERTS", start));
        expect![[r#"
            ALERTS_FOR_STATE{alertname="DiskFull", by="rule", mount="/var", severity="critical"} 1767571281@81 1767571281@91 stale@101
            ALERTS_FOR_STATE{alertname="DiskFull", by="rule", mount="/var!", severity="warning"} 1767571221@21 1767571221@31 1767571221@41 1767571221@51 1767571221@61 1767571221@71 1767571221@81 1767571221@91 stale@101
        "#]].assert_eq(&disk.store.show("ALERTS_FOR_STATE", start));
        expect![[r#"
            rule/host/DiskFull INSUFFICIENT_DATA -> OK: the condition does not hold
            rule/host/DiskFull~2 INSUFFICIENT_DATA -> OK: the condition does not hold
            rule/host/DiskFull OK -> ALARM: /var has 8% left
            rule/host/DiskFull OK -> ALARM: /var has 8% left
            rule/host/DiskFull~2 OK -> ALARM: <error expanding template: template `rule`, line 1, column 4: a string has no field `nope`>
            rule/host/DiskFull~2 OK -> ALARM: <error expanding template: template `rule`, line 1, column 4: a string has no field `nope`>
            rule/host/DiskFull ALARM -> OK: the condition does not hold
            rule/host/DiskFull ALARM -> OK: the condition does not hold any more
            rule/host/DiskFull~2 ALARM -> OK: the condition does not hold
            rule/host/DiskFull~2 ALARM -> OK: the condition does not hold any more
        "#]].assert_eq(&bell.history());
        let groups = bell.alarms.groups();
        assert!(groups[0].rules.iter().all(|rule| rule.health == Health::Ok), "{groups:?}");
        let status = bell.alarms.status("rule/host/DiskFull").unwrap();
        assert_eq!((status.graph.as_deref(), status.threshold), (Some("disk:free:ratio"), Some(0.1)));
    });
}

#[test]
fn an_evaluation_that_fails_resolves_nothing() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(wanted(FILE)).await;
        read(&disk, &bell, 60, 8.0).await;
        disk.raised.take();
        disk.store.broken.store(true, Ordering::SeqCst);
        bell.wait("1h").await;
        let status = bell.alarms.status("rule/host/DiskFull").unwrap();
        assert_eq!(status.state, AlarmState::Alarm);
        expect!["the store cannot be read: a block is torn"].assert_eq(&status.error.unwrap_or_default());
        expect![[r#"
            1m21s20ms firing self/rules: watchbell: 3 rules cannot be evaluated: disk:free:ratio, rule/host/DiskFull, rule/host/DiskFull~2
        "#]]
        .assert_eq(&disk.raised.take());
        disk.store.broken.store(false, Ordering::SeqCst);
        read(&disk, &bell, 20, 50.0).await;
        expect![[r#"
            1h1m1s20ms resolved rule/host/DiskFull: /var has 8% left [the condition does not hold any more]
            1h1m1s20ms resolved self/rules: watchbell: 3 rules cannot be evaluated: disk:free:ratio, rule/host/DiskFull, rule/host/DiskFull~2 [it is over]
        "#]].assert_eq(&disk.raised.take());
    });
}

#[test]
fn a_decision_that_cannot_be_written_is_made_again() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(wanted(FILE)).await;
        disk.state.set_broken(true);
        read(&disk, &bell, 60, 4.0).await;
        assert_eq!(disk.raised.take(), "");
        disk.state.set_broken(false);
        read(&disk, &bell, 40, 4.0).await;
        expect![[r#"
            1m firing self/rules: watchbell: 2 rules cannot be evaluated: rule/host/DiskFull, rule/host/DiskFull~2
            1m firing self/state/alarms: watchbell: alarms: for 59 seconds no decision could be written, and nobody told of it; it can be now
            1m1s20ms firing rule/host/DiskFull~2: <error expanding template: template `rule`, line 1, column 4: a string has no field `nope`>
            1m1s20ms resolved self/rules: watchbell: 2 rules cannot be evaluated: rule/host/DiskFull, rule/host/DiskFull~2 [it is over]
            1m21s20ms firing rule/host/DiskFull: /var has 4% left
        "#]].assert_eq(&disk.raised.take());
    });
}

#[test]
fn a_restart_keeps_what_waits_and_what_fires() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(wanted(FILE)).await;
        read(&disk, &bell, 15, 8.0).await;
        bell.crash();
        let bell = disk.start(wanted(FILE)).await;
        read(&disk, &bell, 15, 8.0).await;
        expect![[r#"
            21s20ms firing rule/host/DiskFull: /var has 8% left
        "#]]
        .assert_eq(&disk.raised.take());
        bell.runtime.supervisor.stop().await;
        // A long outage: the readings are old when rules are evaluated again, and come back a minute later.
        disk.world.clock.sleep(std::time::Duration::from_secs(1800)).await;
        let bell = disk.start(wanted(FILE)).await;
        bell.wait("1m").await;
        read(&disk, &bell, 60, 8.0).await;
        assert_eq!(disk.raised.take(), "");
        read(&disk, &bell, 300, 50.0).await;
        expect![[r#"
            35m31s20ms resolved rule/host/DiskFull: /var has 8% left [the condition does not hold any more]
        "#]]
        .assert_eq(&disk.raised.take());
    });
}

#[test]
fn a_clock_that_is_set_forward_neither_fires_nor_resolves() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(wanted(&FILE.replace("20s", "90s").replace("0.05", "0.09"))).await;
        read(&disk, &bell, 20, 8.0).await;
        disk.raised.take();
        disk.world.clock.jump(3_600_000);
        read(&disk, &bell, 60, 8.0).await;
        assert_eq!(disk.raised.take(), "");
        read(&disk, &bell, 60, 8.0).await;
        expect![[r#"
            1h1m31s20ms firing rule/host/DiskFull: /var has 8% left
        "#]]
        .assert_eq(&disk.raised.take());
    });
}

#[test]
fn a_rule_that_is_taken_out_ends_its_alerts() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(wanted(FILE)).await;
        read(&disk, &bell, 60, 8.0).await;
        disk.raised.take();
        // An unchanged rule goes on in a group that has changed.
        bell.alarms.apply(wanted(&FILE.replace("0.05", "0.06"))).await.unwrap();
        bell.runtime.supervisor.reconcile("alarms", bell.alarms.tasks());
        read(&disk, &bell, 20, 8.0).await;
        assert_eq!(disk.raised.take(), "");
        bell.alarms.apply(Desired::default()).await.unwrap();
        bell.runtime.supervisor.reconcile("alarms", bell.alarms.tasks());
        read(&disk, &bell, 20, 8.0).await;
        expect![[r#"
            1m20s resolved rule/host/DiskFull: /var has 8% left [removed from the configuration]
        "#]]
        .assert_eq(&disk.raised.take());
        assert!(bell.alarms.groups().is_empty());
    });
}

#[test]
fn a_limit_that_is_passed_is_an_error() {
    let error = |rule: &str| {
        let file = format!(r#"{{"groups": [{{"name": "g", "interval": "10s", "limit": 1, "rules": [{rule}]}}]}}"#);
        sim::run(1, |world| async move {
            let disk = Disk::new(world);
            let bell = disk.start(wanted(&file)).await;
            for mount in ["/", "/var"] {
                disk.store.put(Labels::metric("full", &[("mount", mount)]), bell.runtime.clock.now(), 1.0);
            }
            bell.wait("15s").await;
            let rule = bell.alarms.groups().remove(0).rules.remove(0);
            assert_eq!(disk.raised.take(), "");
            rule.last_error.unwrap_or_default()
        })
    };
    expect!["exceeded limit of 1 with 2 alerts"].assert_eq(&error(r#"{"alert": "A", "expr": "full"}"#));
    expect!["exceeded limit of 1 with 2 series"].assert_eq(&error(r#"{"record": "a", "expr": "full"}"#));
}

#[test]
fn the_same_label_set_twice_is_an_error() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let file = r#"{"groups": [{"name": "g", "rules": [
            {"alert": "A", "expr": "full", "labels": {"mount": ""}},
            {"alert": "B", "expr": "full", "labels": {"mount": "x"}}]}]}"#;
        let bell = disk.start(wanted(file)).await;
        for mount in ["/", "/var"] {
            disk.store.put(Labels::metric("full", &[("mount", mount)]), bell.runtime.clock.now(), 1.0);
        }
        bell.wait("15s").await;
        let rules = bell.alarms.groups().remove(0).rules;
        expect![[r#"
            Some("the result has the same label set twice after the rule's labels are applied: {alertname=\"A\"}")
            Some("the result has the same label set twice after the rule's labels are applied: {alertname=\"B\", mount=\"x\"}")
        "#]].assert_eq(&format!("{:?}\n{:?}\n", rules[0].last_error, rules[1].last_error));
    });
}

#[test]
fn rules_may_use_the_experimental_parts_that_are_switched_on() {
    let file: RuleFile = serde_json::from_str(
        r#"{"groups": [{"name": "a", "rules": [
            {"record": "a", "expr": "max(mad_over_time(up[5m]))"},
            {"alert": "B", "expr": "up == 0", "labels": {"severity": "info"}, "annotations": {
                "runbook_url": "https://x", "watchbell_recovery": "limitk(1, up)"}}]}]}"#,
    )
    .unwrap();
    let found = |features| {
        let mut problems = Problems::new();
        file.check(features, &Path::root(), &mut problems);
        problems
            .0
            .iter()
            .map(|it| format!("{} ({})\n", it.message, it.hint.as_deref().unwrap_or("-")))
            .collect::<String>()
    };
    expect![[r#"
        function "mad_over_time" is not enabled (line 1, column 5 of the expression) (switch it on: `query: {enable_features: […]}`, of `promql-experimental-functions`, `promql-extended-range-selectors`, `promql-binop-fill-modifiers`)
        limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions (line 1, column 1) (an expression that yields the series whose alerts may end, such as `disk_free_ratio > 0.2`)
    "#]].assert_eq(&found(Features::default()));
    assert_eq!(found(Features { functions: true, ..Features::default() }), "");
}

#[test]
fn everything_that_is_wrong_in_a_rule_file_is_said_with_what_would_be_right() {
    let file: RuleFile = serde_json::from_str(
        r#"{"groups": [
            {"name": "a", "interval": "0s", "rules": [
                {"expr": "up"},
                {"alert": "A", "record": "b", "expr": "up"},
                {"alert": "A", "expr": "sum(up\n) bye (job)", "labels": {"0": "x"}, "annotations": {"summary": "{{ $labels.x"}},
                {"alert": "A", "expr": "up[5m]", "labels": {"severity": "info"}, "annotations": {"runbook_url": "https://x"}},
                {"record": "a-b", "expr": "up", "for": "1m"}]},
            {"name": "a", "rules": [{"alert": "A", "expr": "up == 0"}]}]}"#,
    )
    .unwrap();
    let mut problems = Problems::new();
    file.check(Features::default(), &Path::root(), &mut problems);
    let text: String = problems
        .0
        .iter()
        .map(|it| {
            let level = if it.level == Level::Error { "error" } else { "warning" };
            format!("{level} {}: {}\n    {}\n", it.path, it.message, it.hint.as_deref().unwrap_or("-"))
        })
        .collect();
    expect![[r#"
        error groups[0].rules[0]: a rule has neither `alert` nor `record`
            write `alert: NAME` to raise alerts or `record: NAME` to store the result
        error groups[0].rules[1]: a rule has both `alert` and `record`
            write two rules: one that records, one that alerts
        error groups[0].rules[2].annotations.summary: the action is not closed with `}}` (line 1, column 1 of the template)
            templates are Go's, such as `{{ $labels.instance }} at {{ $value | humanize }}`
        warning groups[0].rules[2]: the alert `A` has no label `severity`
            routes choose by it: `labels: {severity: critical}`, or `warning` or `info`
        warning groups[0].rules[2]: the alert `A` has no annotation `runbook_url`
            say what to do: `annotations: {runbook_url: https://…}`; without it the page gets a stub
        warning groups[0].rules[2].labels.0: `0` must be quoted wherever it is asked for
            letters, digits and `_`, not beginning with a digit, need no quotes
        error groups[0].rules[2].expr: unexpected `bye` (line 2, column 3 of the expression)
            an operator or the end of the expression belongs here
        error groups[0].rules[3].expr: the expression yields neither a vector nor a number
            apply a function to it, such as `rate(…[5m])`
        warning groups[0].rules[4].record: `a-b` must be quoted wherever it is asked for
            letters, digits, `_` and `:` need no quotes, such as `job:requests:rate5m`
        error groups[0].rules[4].for: a recording rule has no `for`
            take it out, or write `alert` in place of `record`
        error groups[1].name: there are two groups `a` in this file
            give each group of a file a name of its own
        warning groups[1].rules[0]: the alert `A` has no label `severity`
            routes choose by it: `labels: {severity: critical}`, or `warning` or `info`
        warning groups[1].rules[0]: the alert `A` has no annotation `runbook_url`
            say what to do: `annotations: {runbook_url: https://…}`; without it the page gets a stub
        warning groups[1].rules[0]: `A` is there twice with the same labels
            the first is groups[0].rules[1]; give each a label of its own
    "#]].assert_eq(&text);
}
