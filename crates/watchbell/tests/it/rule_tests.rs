//! `watchbell test` and `watchbell check --rules` on promtool's own files, beside a real promtool, and what a person sees.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use expect_test::expect;
use watchbell_query::promql::Features;

use crate::kit::Folder;

fn watchbell(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
    command.args(arguments).current_dir(folder).output().expect("the binary runs")
}

fn conformance(part: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let folder = folder.join(part);
    if !folder.is_dir() {
        println!("skipped: there is no folder {}; name one in WATCHBELL_CONFORMANCE", folder.display());
        return None;
    }
    Some(folder)
}

/// Promtool's files, with arguments, and why Prometheus' own tests say that they fail; nothing if they pass.
const PROMTOOL: &[(&[&str], &str)] = &[
    (&["unittest.yml"], ""),
    (&["long-period.yml"], ""),
    (&["bad-input-series.yml"], "a series without `}`"),
    (&["bad-promql.yml"], "many-to-many matching not allowed"),
    (&["bad-rules-syntax-test.yml"], "the expression ends too early"),
    (&["bad-rules-error-test.yml"], "rule joined"),
    (&["failing.yml"], "alert AlwaysFiring"),
    (&["at-modifier-test.yml"], ""),
    (&["negative-offset-test.yml"], ""),
    (&["no-test-group-interval.yml"], ""),
    (&["start-time-test.yml"], ""),
    (&["rules_run.yml"], "1 failed, 1 passed"),
    (&["rules_run.yml", "--run", "correct", "--run", "wrong"], "1 failed, 1 passed"),
    (&["rules_run.yml", "--run", "correct"], ""),
    (&["rules_run.yml", "--run", "wrong"], "1 failed, 0 passed"),
    (&["rules_run_extrafields.yml"], "there is no field `ownership` here"),
    (&["rules_run_no_fuzzy.yml"], "test_low 2.9999999999999996"),
    (&["rules_run_fuzzy.yml", "--run", "correct"], ""),
    (&["rules_run_fuzzy.yml", "--run", "wrong"], "test_low 2.9999999999999987"),
];

#[test]
fn conformance_promtools_unit_tests_end_as_they_do_there() {
    let Some(folder) = conformance("prometheus/promtool") else { return };
    for (arguments, why) in PROMTOOL {
        let output = watchbell(&folder, &[&["test"], *arguments].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.success(), why.is_empty(), "{arguments:?}\n{said}");
        assert!(said.contains(why), "{arguments:?} fails for another reason\n{said}");
    }
}

/// Rule files that Prometheus' own tests refuse; all others are taken.
const REFUSED: &[&str] = &["bad-rules-syntax.yml", "rules-bad.yml", "rules_extrafields.yml", "invalid_rules.yaml"];

/// Experimental parts of the language: taken if they are switched on.
const SWITCHED: &str = "features.yml";

#[test]
fn conformance_rule_files_are_taken_and_refused_as_by_promtool() {
    let mut taken = 0;
    for part in ["prometheus/promtool", "prometheus/rules"] {
        let Some(folder) = conformance(part) else { return };
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        for name in names {
            let text = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
            if !text.lines().any(|line| line.starts_with("groups:")) {
                continue;
            }
            let output = watchbell(&folder, &["check", "--rules", &name]);
            let good = output.status.success();
            if name == SWITCHED {
                let features = Features::NAMES.map(|name| format!("--enable-feature={name}"));
                let switches: Vec<&str> = features.iter().map(String::as_str).collect();
                let output = watchbell(&folder, &[&["check", "--rules", &name], &*switches].concat());
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(!good && output.status.success(), "{name}\n{said}");
                continue;
            }
            assert_eq!(good, !REFUSED.contains(&name.as_str()), "{name}\n{}", String::from_utf8_lossy(&output.stdout));
            taken += usize::from(good);
        }
    }
    assert!(taken > 15, "{taken}");
}

const RULES: &str = r#"groups:
- name: disk
  interval: 1m
  rules:
  - record: disk:used:ratio
    expr: 1 - free / size
  - alert: DiskFull
    expr: disk:used:ratio > 0.9
    for: 5m
    keep_firing_for: 3m
    labels: {severity: warning}
    annotations:
      summary: "{{ $labels.mount }} is {{ $value | humanizePercentage }} full at {{ $externalLabels.site }}"
      watchbell_no_data: keep
      watchbell_recovery: disk:used:ratio < 0.8
"#;

/// One test that passes in both tools, and one that fails in both.
const TESTS: &str = r#"rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- name: fills up
  interval: 1m
  external_labels: {site: north}
  input_series:
  - {series: 'size{mount="/var"}', values: 100x60}
  - {series: 'free{mount="/var"}', values: 50x9 5x10 50x30}
  alert_rule_test:
  - {eval_time: 14m, alertname: DiskFull, exp_alerts: []}
  - eval_time: 15m
    alertname: DiskFull
    exp_alerts:
    - exp_labels: {severity: warning, mount: /var}
      exp_annotations:
        summary: /var is 95% full at north
        watchbell_no_data: keep
        watchbell_recovery: disk:used:ratio < 0.8
  - eval_time: 23m
    alertname: DiskFull
    exp_alerts:
    - exp_labels: {severity: warning, mount: /var}
      exp_annotations:
        summary: /var is 95% full at north
        watchbell_no_data: keep
        watchbell_recovery: disk:used:ratio < 0.8
  - {eval_time: 24m, alertname: DiskFull, exp_alerts: []}
  promql_expr_test:
  - expr: disk:used:ratio
    eval_time: 12m
    exp_samples: [{labels: 'disk:used:ratio{mount="/var"}', value: 0.95}]
"#;

/// Whether Debian's promtool, if it is there, ends well.
fn promtool(folder: &Path, arguments: &[&str]) -> Option<bool> {
    let done = Command::new("promtool").args(arguments).current_dir(folder).output();
    match done {
        Ok(output) => Some(output.status.success()),
        Err(error) => {
            println!("skipped: there is no promtool: {error}");
            None
        }
    }
}

#[test]
fn a_file_of_tests_ends_the_same_here_and_with_promtool() {
    let folder = Folder::new("rule-tests");
    folder.write("rules.yml", RULES);
    assert!(watchbell(folder.path(), &["check", "--rules", "rules.yml"]).status.success());
    // What we add to a rule, promtool reads over.
    assert_ne!(promtool(folder.path(), &["check", "rules", "rules.yml"]), Some(false));
    for (name, text, passes) in [
        ("good.yml", TESTS.to_owned(), true),
        ("early.yml", TESTS.replace("eval_time: 14m", "eval_time: 16m"), false),
        ("late.yml", TESTS.replace("eval_time: 24m", "eval_time: 23m"), false),
        ("summary.yml", TESTS.replace("95% full at north", "95 % full at north"), false),
        ("label.yml", TESTS.replace("severity: warning, mount", "severity: critical, mount"), false),
        ("value.yml", TESTS.replace("value: 0.95", "value: 0.94"), false),
        ("missing.yml", TESTS.replace("[{labels: 'disk:used:ratio{mount=\"/var\"}', value: 0.95}]", "[]"), false),
        ("order.yml", format!("group_eval_order: [disk, disk]\n{TESTS}"), false),
        ("field.yml", TESTS.replace("eval_time: 14m", "evaltime: 14m"), false),
        ("series.yml", TESTS.replace("100x60", "100x60y"), false),
        ("expr.yml", TESTS.replace("expr: disk:used:ratio", "expr: disk:used:ratio +"), false),
        ("alertname.yml", TESTS.replace("alertname: DiskFull, exp_alerts: []", "exp_alerts: []"), false),
        ("no-rules.yml", TESTS.replace("rules.yml", "none.yml"), false),
        ("empty.yml", "tests: []\n".to_owned(), true),
    ] {
        folder.write(name, &text);
        let output = watchbell(folder.path(), &["test", name]);
        assert_eq!(output.status.success(), passes, "{name}: {}", String::from_utf8_lossy(&output.stdout));
        if let Some(there) = promtool(folder.path(), &["test", "rules", name]) {
            assert_eq!(there, passes, "promtool on {name}");
        }
    }
}

#[test]
fn templates_write_histograms_as_prometheus_does() {
    let folder = Folder::new("rule-tests-histograms");
    folder.write(
        "rules.yml",
        r#"
groups:
  - name: g
    rules:
      - alert: Slow
        expr: latency and histogram_count(latency) > 1
        annotations: {summary: '{{ $value }} and {{ with query "latency" }}{{ . | first | value }}{{ end }}'}
"#,
    );
    folder.write(
        "test.yml",
        r#"
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series: [{series: latency, values: '{{schema:0 sum:5 count:4 buckets:[1 2 1]}}x3'}]
    alert_rule_test:
      - eval_time: 2m
        alertname: Slow
        exp_alerts:
          - exp_annotations:
              summary: '{count:4, sum:5, (0.5,1]:1, (1,2]:2, (2,4]:1} and {count:4, sum:5, (0.5,1]:1, (1,2]:2, (2,4]:1}'
"#,
    );
    let output = watchbell(folder.path(), &["test", "test.yml"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_failing_test_shows_expected_and_got_side_by_side() {
    let folder = Folder::new("rule-tests-shown");
    folder.write("rules.yml", RULES);
    let text = TESTS
        .replace("95% full at north", "95% full at south")
        .replace("value: 0.95", "value: 0.9")
        .replace("eval_time: 24m", "eval_time: 20m");
    folder.write("test.yml", &text);
    let output = watchbell(folder.path(), &["test", "test.yml"]);
    assert_eq!(output.status.code(), Some(1));
    expect![[r#"
        test.yml: 1 failed, 0 passed

          FAILED fills up
            at 15m: alert DiskFull
                expected                                  │ got
                alertname="DiskFull"                      │ alertname="DiskFull"
                mount="/var"                              │ mount="/var"
                severity="warning"                        │ severity="warning"
              ≠ summary: /var is 95% full at south        │ summary: /var is 95% full at north
                watchbell_no_data: keep                   │ watchbell_no_data: keep
                watchbell_recovery: disk:used:ratio < 0.8 │ watchbell_recovery: disk:used:ratio < 0.8
            at 20m: alert DiskFull
                expected │ got
              ≠ –        │ alertname="DiskFull"
              ≠ –        │ mount="/var"
              ≠ –        │ severity="warning"
              ≠ –        │ summary: /var is 95% full at north
              ≠ –        │ watchbell_no_data: keep
              ≠ –        │ watchbell_recovery: disk:used:ratio < 0.8
            at 23m: alert DiskFull
                expected                                  │ got
                alertname="DiskFull"                      │ alertname="DiskFull"
                mount="/var"                              │ mount="/var"
                severity="warning"                        │ severity="warning"
              ≠ summary: /var is 95% full at south        │ summary: /var is 95% full at north
                watchbell_no_data: keep                   │ watchbell_no_data: keep
                watchbell_recovery: disk:used:ratio < 0.8 │ watchbell_recovery: disk:used:ratio < 0.8
            at 12m: expr disk:used:ratio
                expected                          │ got
              ≠ disk:used:ratio{mount="/var"} 0.9 │ disk:used:ratio{mount="/var"} 0.95
    "#]]
    .assert_eq(&String::from_utf8_lossy(&output.stdout));
    let coloured = watchbell(folder.path(), &["test", "test.yml", "--color", "always"]);
    assert!(String::from_utf8_lossy(&coloured.stdout).contains("\u{1b}[31m"));
    let output = watchbell(folder.path(), &["test", "test.yml", "--output", "json", "--junit", "out.xml"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["passed"], false);
    assert_eq!(json["files"][0]["tests"][0]["failures"][0]["at"], "15m");
    let junit = std::fs::read_to_string(folder.path().join("out.xml")).expect("a report");
    assert!(junit.contains("<testsuite name=\"test.yml\" tests=\"1\" failures=\"1\" errors=\"0\">"), "{junit}");
}

#[test]
fn a_timeline_says_everything_that_begins_and_ends() {
    let folder = Folder::new("timelines");
    folder.write("rules.yml", RULES);
    let timeline = |expect: &str| {
        format!(
            "rule_files: [rules.yml]\ntimelines:\n- name: a disk fills up and is cleaned\n  interval: 1m\n  \
             external_labels: {{site: north}}\n  series: |\n    size{{mount=\"/var\"}} 100x60\n    \
             free{{mount=\"/var\"}} 50x9 5x10 50x30\n  expect: |\n{expect}"
        )
    };
    folder.write(
        "good.yml",
        &timeline("    15m firing   DiskFull{mount=\"/var\"}: /var is 95% full at north\n    24m resolved DiskFull\n"),
    );
    let output = watchbell(folder.path(), &["test", "good.yml"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    folder.write("bad.yml", &timeline("    14m firing DiskFull{mount=\"/var\"}: /var is full\n"));
    let output = watchbell(folder.path(), &["test", "bad.yml"]);
    assert_eq!(output.status.code(), Some(1));
    expect![[r#"
        bad.yml: 1 failed, 0 passed

          FAILED a disk fills up and is cleaned
            timeline
                expected                                          │ got
              ≠ 14m firing   DiskFull{mount="/var"}: /var is full │ 15m firing   DiskFull{mount="/var", severity="warning"}: /var is 95% full at north
              ≠ –                                                 │ 24m resolved DiskFull{mount="/var", severity="warning"}: /var is 95% full at north
    "#]].assert_eq(&String::from_utf8_lossy(&output.stdout));
    folder.write("wrong.yml", &timeline("    soon firing DiskFull\n"));
    let output = watchbell(folder.path(), &["test", "wrong.yml"]);
    assert_eq!(output.status.code(), Some(2));
    expect![[r#"
        wrong.yml: cannot be run
          wrong.yml:9:3: error: timelines[0].expect: `soon firing DiskFull`: `soon` is not a duration; write it as `30s`, `5m`, `1h30m` or `7d`
              such as `5m firing DiskFull{mount="/var"}`
    "#]].assert_eq(&String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_is_wrong_in_one_rule_does_not_hide_what_is_wrong_in_another() {
    let folder = Folder::new("rules-checked");
    let rules = "groups:\n- name: a\n  rules:\n  - {alert: A, expr: up ==, for: soon}\n  - {alert: B, expr: up ==}\n  \
                 - {record: c, expr: up, x-watchbell: {no_data: keep}}\n- {name: b, interval: often, rules: [{record: d, expr: '1 +'}]}\n\
                 - {rules: [{record: e, expr: '1'}, {record: e, expr: '1'}]}\n---\ngroups: []\n";
    folder.write("rules.yml", rules);
    let output = watchbell(folder.path(), &["check", "--rules", "rules.yml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for words in [
        "rules.yml:4:29: error: groups[0].rules[0].for: `soon` is not a duration",
        "rules.yml:5:16: error: groups[0].rules[1].expr: the expression ends too early",
        "error: groups[0].rules[2].x-watchbell: there is no field `x-watchbell` here\n    Prometheus and promtool refuse",
        "error: groups[1].interval: `often` is not a duration",
        "error: groups[1].rules[0].expr: the expression ends too early",
        "error: groups[2]: the field `name` is missing",
        "warning: groups[2].rules[1]: `e` is there twice with the same labels",
        "warning: only the first document of a rule file is read; a second one begins here",
        "refused: 6 errors",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    folder.write("twice.yml", "groups:\n- {name: a, rules: [{record: e, expr: '1'}, {record: e, expr: '2'}]}\n");
    assert!(watchbell(folder.path(), &["check", "--rules", "twice.yml"]).status.success());
    let linted = watchbell(folder.path(), &["check", "--rules", "twice.yml", "--lint", "duplicate-rules"]);
    assert_eq!(linted.status.code(), Some(3));
}

/// What a command on the store answered, as JSON.
fn store(folder: &Folder, arguments: &[&str]) -> serde_json::Value {
    let output = watchbell(folder.path(), &[&["store", "--output", "json"], arguments].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn recording_rules_are_filled_in_over_the_past_and_again_adds_nothing() {
    const MINUTES: i64 = 3 * 60;
    let folder = Folder::new("backfill");
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let config = format!(
        "listeners: [{{address: '{free}'}}]\nstorage: {{path: data}}\nhost: {{enabled: false}}\n\
         discovery: {{enabled: false}}\npacks: []\n"
    );
    folder.write("watchbell.yml", &config);
    folder.write("data/.keep", "");
    let now = crate::kill::now() / 60_000 * 60_000;
    let from = now - MINUTES * 60_000;
    let times: Vec<i64> = (0..=MINUTES).map(|minute| from + minute * 60_000).collect();
    let lines: Vec<String> = ["a", "b"]
        .iter()
        .map(|instance| {
            let metric = serde_json::json!({"__name__": "load", "instance": instance});
            let values: Vec<i64> = (0..=MINUTES).collect();
            serde_json::json!({"metric": metric, "values": values, "timestamps": times}).to_string()
        })
        .collect();
    folder.write("load.jsonl", &(lines.join("\n") + "\n"));
    store(&folder, &["import", "load.jsonl"]);
    // The second reads what the first records.
    folder.write(
        "rules.yml",
        "groups:\n- name: g\n  interval: 1m\n  rules:\n  - {record: 'load:sum', expr: sum(load), labels: {by: rule}}\n  \
         - {record: 'load:double', expr: 'load:sum * 2'}\n  - {alert: A, expr: load > 5}\n",
    );
    let (start, end) = ((from / 1000).to_string(), (now / 1000).to_string());
    let range = ["backfill-rules", "--start", &start, "--end", &end, "rules.yml"];
    let first = store(&folder, &range);
    let added = first["added"].as_i64().expect("a number");
    assert!((MINUTES * 2 - 2..=MINUTES * 2 + 2).contains(&added), "{first}");
    let again = store(&folder, &range);
    assert_eq!((again["added"].as_i64(), again["known"].as_i64()), (Some(0), Some(added)), "{again}");
    let exported = watchbell(folder.path(), &["store", "export", "--match", "load:double"]);
    let line: serde_json::Value = serde_json::from_slice(&exported.stdout).expect("one series");
    assert_eq!(line["metric"], serde_json::json!({"__name__": "load:double", "by": "rule"}));
    for (value, time) in line["values"].as_array().unwrap().iter().zip(line["timestamps"].as_array().unwrap()) {
        let minute = (time.as_i64().unwrap() - from).div_euclid(60_000);
        assert_eq!(value.as_i64(), Some(minute * 4), "{line}");
    }
    // The same of one that runs.
    let _process = crate::kit::Process::start(&folder, &[], &[]);
    folder.write("more.yml", "groups: [{name: h, rules: [{record: 'load:max', expr: max(load)}]}]\n");
    let range = ["backfill-rules", "--start", &start, "--end", &end, "more.yml"];
    let first = store(&folder, &range);
    assert!(first["added"].as_i64().is_some_and(|added| added >= MINUTES - 1), "{first}");
    assert_eq!(store(&folder, &range)["added"].as_i64(), Some(0));
}
