//! Configurations with errors, and what a person reads about them: all at once, each with its place and a hint.

use std::path::PathBuf;

use watchbell::config::{load, render_findings};
use watchbell_runtime::sim;

const RUNBOOK: &str = include_str!("../../../../runbooks/service-down.md");

fn check(text: &str, expected: expect_test::Expect) {
    check_files(&[("watchbell.yml", text)], expected);
}

fn check_files(files: &[(&str, &str)], expected: expect_test::Expect) {
    let told = sim::run(1, |world| async move {
        world.disk.put(std::path::Path::new("runbooks/down.md"), RUNBOOK.as_bytes());
        world.disk.put(std::path::Path::new("runbooks/half.md"), b"# Half\n\n## What it means\nSomething.\n");
        for (name, content) in files {
            world.disk.put(std::path::Path::new(name), content.as_bytes());
        }
        let loaded = load(&world.runtime(), &[PathBuf::from(files[0].0)]).await;
        let verdict = if loaded.good.is_some() { "good" } else { "refused" };
        format!("{}{verdict}\n", render_findings(&loaded.findings))
    });
    expected.assert_eq(&told);
}

#[test]
fn every_error_is_told_at_once() {
    check(
        "sites: {name: x}\nmonitors:\n  - name: a\n    intervall: 60s\n    runbook: down\n    tcp: {host: a, port: 70000}\n  \
         - name: b\n    interval: soon\n    runbook: down\n    severity: criticl\n    tcp: {host: b, port: 25}\n  \
         - {name: c, retries: many, runbook: down, tcp: {host: c}}\nheartbeats: {}\n",
        expect_test::expect![[r#""#]],
    );
}

#[test]
fn what_is_not_yaml_is_told_with_its_line() {
    check("monitors:\n  - name: a\n   tcp: {host: a}\n", expect_test::expect![[r#""#]]);
    check("site: {name: a}\nsite: {name: b}\n", expect_test::expect![[r#""#]]);
    check("- a\n- b\n", expect_test::expect![[r#""#]]);
}

#[test]
fn a_monitor_without_a_run_book_that_opens_is_refused() {
    check(
        "monitors:\n  - {name: IMAP handshake, tcp: {host: a, port: 1}}\n  \
         - {name: b, runbook: donw, tcp: {host: a, port: 1}}\n  - {name: c, runbook: half, tcp: {host: a, port: 1}}\n\
         heartbeats:\n  - {name: backup, period: 1d, grace: 1h}\n",
        expect_test::expect![[r#""#]],
    );
    check(
        "runbooks: {require: stub}\nmonitors:\n  - {name: IMAP handshake, tcp: {host: a, port: 1}}\n",
        expect_test::expect![[r#""#]],
    );
}

#[test]
fn a_secret_that_cannot_be_had_is_told_where_it_is_used() {
    check(
        "secrets: {a: {env: NOT_SET}, b: {file: gone}, c: {}}\nsink: {secret: '${secret:a}'}\nping_key: ${secret:bb}\n",
        expect_test::expect![[r#""#]],
    );
}

#[test]
fn routes_lead_to_receivers_that_exist() {
    check(
        "route:\n  receiver: phne\n  routes:\n    - {matchers: ['severity=critical', 'a~b'], receiver: nobody}\n\
         receivers:\n  - name: phone\n    ntfy_configs: [{topic: 'not a topic'}]\n  - name: phone\n",
        expect_test::expect![[r#""#]],
    );
}

#[test]
fn rule_files_are_checked_with_their_own_lines() {
    check_files(
        &[
            ("watchbell.yml", "rule_files: ['rules/*.yml', gone.yml]\n"),
            (
                "rules/a.yml",
                "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: sum(up\n      - alert: B\n        \
                 expr: up == 0\n        for: 5\n      - {alert: C, record: c, expr: up}\n",
            ),
        ],
        expect_test::expect![[r#""#]],
    );
}

#[test]
fn addresses_and_the_empty_file() {
    check("listeners: [{address: localhost}]\nsite: {url: 'ftp://x'}\n", expect_test::expect![[r#""#]]);
    check("", expect_test::expect![[r#""#]]);
}
