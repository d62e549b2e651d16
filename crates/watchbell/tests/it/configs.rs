//! Configurations with errors, and what a person reads about them: all at once, each with its place and a hint.

use std::path::PathBuf;

use watchbell::config::{load, render_findings};
use watchbell_runtime::sim;

/// A run book that lacks parts.
const HALF: (&str, &str) = ("runbooks/half.md", "# Half\n\n## What it means\nSomething.\n");
const RUNBOOK: &str = include_str!("../../../../runbooks/service-down.md");

fn check(text: &str, expected: expect_test::Expect) {
    check_files(&[("watchbell.yml", text)], expected);
}

fn check_files(files: &[(&str, &str)], expected: expect_test::Expect) {
    let told = sim::run(1, |world| async move {
        world.disk.put(std::path::Path::new("runbooks/down.md"), RUNBOOK.as_bytes());
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
        expect_test::expect![[r#"
            watchbell.yml:1:1: error: sites: there is no field `sites` here
                did you mean `site`?
            watchbell.yml:4:5: error: monitors[0].intervall: there is no field `intervall` here
                did you mean `interval`?
            watchbell.yml:6:20: error: monitors[0].tcp.port: a number from 0 to 65535 was expected here, but there is `70000`
            watchbell.yml:8:5: error: monitors[1].interval: `soon` is not a duration; write it as `30s`, `5m`, `1h30m` or `7d`
            watchbell.yml:10:5: error: monitors[1].severity: `criticl` is not one of its values
                did you mean `critical`?
            watchbell.yml:12:15: error: monitors[2].retries: a whole number was expected here, but there is `many`
            watchbell.yml:12:45: error: monitors[2].tcp: the field `port` is missing
                port: The port.
            watchbell.yml:13:1: error: heartbeats: a list was expected here: each item on a line of its own after `- `, but there is a mapping
            refused
        "#]],
    );
}

#[test]
fn what_is_wrong_with_composite_alarms_is_told() {
    let monitor = |name: &str| format!("  - {{name: {name}, runbook: down, tcp: {{host: a, port: 1}}}}\n");
    check(
        &format!(
            "monitors:\n{}{}heartbeats: [{{name: b, period: 1h, runbook: down}}]\nalarms:\n  \
             - {{name: One, composite: ALARM(Two), runbook: down}}\n  \
             - {{name: Two, composite: ALARM(One) OR ALARM(ab), runbook: down, suppressor: {{alarm: nobody, wait: 2d}}}}\n  \
             - {{name: Two, composite: 'ALARM(a', labels: {{source: x}}, runbook: down}}\n  \
             - {{name: b, composite: ALARM(b) AND TRUE}}\n",
            monitor("a"),
            monitor("aa"),
        ),
        expect_test::expect![[r#"
            watchbell.yml:6:5: error: alarms[0]: it rests on itself: composite/One on composite/Two on composite/One
                it could never be judged; take one of them out of a rule
            watchbell.yml:7:5: error: alarms[1]: it rests on itself: composite/Two on composite/One on composite/Two
                it could never be judged; take one of them out of a rule
            watchbell.yml:7:17: error: alarms[1].composite: there is no alarm named `ab`
                did you mean `a`?
            watchbell.yml:7:81: error: alarms[1].suppressor.alarm: there is no alarm named `nobody`
                the alarms are a, aa, b, HostDiskNearlyFull, HostDiskFull, HostInodesNearlyGone, HostMemoryNearlyGone, HostDiskFillsUp, HostFilesystemReadOnly, HostFilesystemHangs
            watchbell.yml:7:96: error: alarms[1].suppressor.wait: 2d is more than a day
                for planned work use `downtimes`
            watchbell.yml:8:5: error: alarms[2]: it rests on itself: composite/Two on composite/One on composite/Two
                it could never be judged; take one of them out of a rule
            watchbell.yml:8:6: error: alarms[2].name: there is another alarm named `Two`
                give each a name of its own
            watchbell.yml:8:17: error: alarms[2].composite: expected `)`, found nothing more (at character 8 of the rule)
                such as `ALARM(Website) AND NOT ALARM(Deployment)`; a name with a space stands in quotes: `ALARM("The shop")`
            watchbell.yml:8:48: error: alarms[2].labels.source: watchbell sets this label itself
                choose another name
            watchbell.yml:9:5: error: alarms[3]: the alarm `b` has no run book
                `watchbell runbook new b` writes a stub; then add `runbook: b`
            watchbell.yml:9:15: error: alarms[3].composite: several alarms are named `b`
                name one of them by its id: `heartbeat/b`, `composite/b`
            refused
        "#]],
    );
}

#[test]
fn what_is_not_yaml_is_told_with_its_line() {
    check(
        "monitors:\n  - name: a\n   tcp: {host: a}\n",
        expect_test::expect![[r#"
            watchbell.yml:3:4: error: this is not YAML: while parsing a block collection, did not find expected '-' indicator
            refused
        "#]],
    );
    check(
        "site: {name: a}\nsite: {name: b}\n",
        expect_test::expect![[r#"
            watchbell.yml:2:1: error: `site` is given twice; the first is in line 1
            refused
        "#]],
    );
    check(
        "- a\n- b\n",
        expect_test::expect![[r#"
            watchbell.yml:1:1: error: a mapping was expected here, with fields such as `monitors`
            refused
        "#]],
    );
}

#[test]
fn a_monitor_without_a_run_book_that_opens_is_refused() {
    check_files(
        &[
            (
                "watchbell.yml",
                "monitors:\n  - {name: IMAP handshake, tcp: {host: a, port: 1}}\n  \
         - {name: b, runbook: donw, tcp: {host: a, port: 1}}\n  - {name: c, runbook: half, tcp: {host: a, port: 1}}\n\
         heartbeats:\n  - {name: backup, period: 1d, grace: 1h}\n",
            ),
            HALF,
        ],
        expect_test::expect![[r#"
            watchbell.yml: warning: runbooks: the run book `half` has no severity guide
                add a heading such as `## Severity guide`
            watchbell.yml:2:5: error: monitors[0]: the monitor `IMAP handshake` has no run book
                `watchbell runbook new imap-handshake` writes a stub; then add `runbook: imap-handshake`
            watchbell.yml:3:15: error: monitors[1].runbook: the monitor `b` names the run book `donw`, which is not there
                `watchbell runbook new donw` writes a stub
            watchbell.yml:4:15: error: monitors[2].runbook: the run book `half` of the monitor `c` does not say: impact, what to check first, how to escalate
                add headings such as `## Impact` with text under them
            watchbell.yml:6:5: error: heartbeats[0]: the heartbeat `backup` has no run book
                `watchbell runbook new backup` writes a stub; then add `runbook: backup`
            refused
        "#]],
    );
    check(
        "runbooks: {require: stub}\nmonitors:\n  - {name: IMAP handshake, tcp: {host: a, port: 1}}\n",
        expect_test::expect![[r#"
            watchbell.yml:3:5: warning: monitors[0]: the monitor `IMAP handshake` has no run book
                `watchbell runbook new imap-handshake` writes a stub; then add `runbook: imap-handshake`
            good
        "#]],
    );
}

#[test]
fn a_secret_that_cannot_be_had_is_told_where_it_is_used() {
    check(
        "secrets: {a: {env: NOT_SET}, b: {file: gone}, c: {}}\nsink: {secret: '${secret:a}'}\nping_key: ${secret:bb}\n",
        expect_test::expect![[r#"
            watchbell.yml:2:8: error: sink.secret: the secret `a` cannot be had: the environment variable NOT_SET is not set
            watchbell.yml:3:1: error: ping_key: there is no secret `bb`
                did you mean `b`?
            refused
        "#]],
    );
}

#[test]
fn what_a_secret_holds_is_in_no_finding() {
    let told = sim::run(1, |world| async move {
        world.disk.put(std::path::Path::new("runbooks/down.md"), RUNBOOK.as_bytes());
        world.disk.put(std::path::Path::new("key"), b"hunter two");
        let field = "${secret:key}";
        let text = format!(
            "secrets: {{key: {{file: key}}}}\nlisteners: [{{address: '{field}'}}]\nmonitors:\n  \
             - {{name: a, runbook: down, interval: '{field}', severity: '{field}', tcp: {{host: h, port: '{field}'}}}}\n  \
             - {{name: b, runbook: down, http: {{url: '{field}', headers: {{X-Key: '{field}'}}}}}}\n  \
             - {{name: c, runbook: down, http: {{url: 'https://h/', keyword: '{field}'}}}}\n"
        );
        world.disk.put(std::path::Path::new("watchbell.yml"), text.as_bytes());
        render_findings(&load(&world.runtime(), &[PathBuf::from("watchbell.yml")]).await.findings)
    });
    expect_test::expect![[r#"
        watchbell.yml:2:14: warning: listeners[0].address: what is given here is not kept secret
            it may show in the UI, in metrics and in pages; put secrets into headers, bodies or logins
        watchbell.yml:2:14: error: listeners[0].address: `${secret:key}` is not an address with a port
            such as `127.0.0.1:9800`, `0.0.0.0:9800` or `[::]:9800`
        watchbell.yml:4:30: error: monitors[0].interval: `${secret:key}` is not a duration; write it as `30s`, `5m`, `1h30m` or `7d`
        watchbell.yml:4:57: error: monitors[0].severity: `${secret:key}` is not one of its values
            there are `info`, `warning`, `critical`
        watchbell.yml:4:99: error: monitors[0].tcp.port: a whole number was expected here, but there is `${secret:key}`
        watchbell.yml:5:37: error: monitors[1].http.url: `${secret:key}` is not a web address: it must start with `https://` or `http://`
        watchbell.yml:6:56: warning: monitors[2].http.keyword: what is given here is not kept secret
            it may show in the UI, in metrics and in pages; put secrets into headers, bodies or logins
    "#]].assert_eq(&told);
}

#[test]
fn a_pattern_that_fits_no_rule_file_is_told() {
    check(
        "rule_files: ['rules/**/*.yml']\n",
        expect_test::expect![[r#"
            watchbell.yml: error: rule_files: in `rules/**/*.yml` a `*` stands for a folder, but it may stand for part of a file's name only
                write a pattern for each folder
            refused
        "#]],
    );
}

#[test]
fn the_example_of_the_guide_is_good() {
    let guide = include_str!("../../../../docs/paging.md");
    let example = guide.split("```yaml\nsecrets:").nth(1).unwrap().split("```").next().unwrap();
    check_files(
        &[
            ("watchbell.yml", &format!("secrets:{example}")),
            ("/etc/watchbell/anna", "user"),
            ("/etc/watchbell/pushover", "token"),
            ("/etc/watchbell/slack", "https://hooks.slack.com/services/x"),
        ],
        expect_test::expect![[r#"
            watchbell.yml: warning: site: links in pages lead to an address of this machine only
                give `site: {url: https://…}`, the address under which a phone reaches watchbell
            good
        "#]],
    );
}

#[test]
fn the_example_of_the_sink_is_good_and_what_is_no_topic_is_said() {
    let guide = include_str!("../../../../docs/alert-sink.md");
    let examples: Vec<&str> = guide.split("```yaml\n").skip(1).filter_map(|it| it.split("```").next()).collect();
    let first = examples[0].replace("backup-failed", "down");
    let sink = "/etc/watchbell/sink";
    check_files(
        &[("watchbell.yml", &first), (sink, "a-secret-of-some-length")],
        expect_test::expect![[r#"
            good
        "#]],
    );
    check(
        examples[1],
        expect_test::expect![[r#"
            good
        "#]],
    );
    check(
        "sink: {sns: {topics: ['arn:aws:sqs:x:1:y', alarms], http_config: {proxy_url: nowhere}}}\n",
        expect_test::expect![[r#"
            watchbell.yml:1:23: error: sink.sns.topics[0]: `arn:aws:sqs:x:1:y` is no topic of SNS
                such as `arn:aws:sns:eu-central-1:123456789012:alarms`
            watchbell.yml:1:44: error: sink.sns.topics[1]: `alarms` is no topic of SNS
                such as `arn:aws:sns:eu-central-1:123456789012:alarms`
            refused
        "#]],
    );
}

#[test]
fn downtimes_and_dependencies() {
    let guide = include_str!("../../../../docs/paging.md");
    let examples = guide.split("```yaml\n").filter_map(|it| it.split("```").next());
    let examples: String = examples.filter(|it| it.contains("downtimes") || it.contains("depends_on")).collect();
    let examples = examples.replace("runbook: network", "runbook: down").replace("runbook: web", "runbook: down");
    check(
        &examples,
        expect_test::expect![[r#"
            good
        "#]],
    );
    check(
        "monitors:\n  - {name: a, runbook: down, depends_on: [b], tcp: {host: a, port: 1}}\n  \
         - {name: b, runbook: down, depends_on: [c, a], tcp: {host: a, port: 1}}\n  \
         - {name: c, runbook: down, tcp: {host: a, port: 1}}\n  \
         - {name: d, runbook: down, depends_on: [d], tcp: {host: a, port: 1}}\n\
         heartbeats: [{name: a, runbook: down, depends_on: [a, router]}]\n\
         downtimes:\n  - {name: x, matchers: ['a=b'], cron: 0 25 * * *, lasts: 1h}\n  - {name: y, matchers: ['a=b'], during: [x]}\n",
        expect_test::expect![[r#"
            watchbell.yml:2:30: error: monitors[0].depends_on: it depends on itself: monitor/a on monitor/b on monitor/a
                nobody would be told of any of them; take out what the others can be up without
            watchbell.yml:3:30: error: monitors[1].depends_on: it depends on itself: monitor/b on monitor/a on monitor/b
                nobody would be told of any of them; take out what the others can be up without
            watchbell.yml:5:30: error: monitors[3].depends_on: it depends on itself: monitor/d on monitor/d
                nobody would be told of any of them; take out what the others can be up without
            watchbell.yml:6:55: error: heartbeats[0].depends_on[1]: there is no monitor named `router`
                the monitors are a, b, c, d
            watchbell.yml:8:34: error: downtimes[0].cron: `25` is no hour; it is 0 to 23
            watchbell.yml:9:43: error: downtimes[1].during[0]: there is no time interval named `x`
                there are no time intervals
            refused
        "#]],
    );
}

#[test]
fn what_names_a_broken_receiver_is_not_told_that_there_is_none() {
    check(
        "receivers: [{name: anna, ntfy_configs: [{tpic: x}]}]\nroute: {receiver: night}\n\
         schedules: [{name: duty, rotations: [{people: [anna], from: 2026-01-05T09:00, turn: 1w}]}]\n\
         escalations: [{name: night, steps: [{to: [duty, anna]}, {to: [duty]}]}]\n",
        expect_test::expect![[r#"
            watchbell.yml:1:41: error: receivers[0].ntfy_configs[0]: the field `topic` is missing
                topic: The topic: letters, digits, `-` and `_`, at most 64. On a public server whoever knows it can read it.
            watchbell.yml:1:42: error: receivers[0].ntfy_configs[0].tpic: there is no field `tpic` here
                did you mean `topic`?
            refused
        "#]],
    );
}

#[test]
fn routes_lead_to_receivers_that_exist() {
    check(
        "route:\n  receiver: phne\n  routes:\n    - {matchers: ['severity=critical', 'a~b'], receiver: nobody}\n\
         receivers:\n  - name: phone\n    ntfy_configs: [{topic: 'not a topic'}]\n  - name: phone\n",
        expect_test::expect![[r#"
            watchbell.yml: warning: site: links in pages lead to an address of this machine only
                give `site: {url: https://…}`, the address under which a phone reaches watchbell
            watchbell.yml:2:3: error: route.receiver: there is no receiver named `phne`
                did you mean `phone`?
            watchbell.yml:4:40: error: route.routes[0].matchers[1]: `a~b` is not a matcher: `~` at position 2 must stand in double quotes
                write it as `name="value"`, with `=`, `!=`, `=~` or `!~`
            watchbell.yml:4:48: error: route.routes[0].receiver: there is no receiver named `nobody`
                the receivers are phone, phone
            watchbell.yml:7:21: error: receivers[0].ntfy_configs[0].topic: `not a topic` is not a topic
                use up to 64 letters, digits, `-` and `_`
            watchbell.yml:8:5: error: receivers[1].name: the receiver `phone` is there twice
                give one of them another name, or put their channels into one receiver
            refused
        "#]],
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
        expect_test::expect![[r#"
            rules/a.yml:4:9: warning: groups[0].rules[0]: the alert `A` has no label `severity`
                routes choose by it: `labels: {severity: critical}`, or `warning` or `info`
            rules/a.yml:4:9: warning: groups[0].rules[0]: the alert `A` has no annotation `runbook_url`
                say what to do: `annotations: {runbook_url: https://…}`; without it the page gets a stub
            rules/a.yml:5:9: error: groups[0].rules[0].expr: the expression ends too early (line 1, column 7 of the expression)
                `,` or `)` belongs here
            rules/a.yml:8:9: error: groups[0].rules[1].for: `5` is not a duration; write it as `30s`, `5m`, `1h30m` or `7d`
            rules/a.yml:9:9: error: groups[0].rules[2]: a rule has both `alert` and `record`
                write two rules: one that records, one that alerts
            watchbell.yml: warning: rule_files: no file fits `gone.yml`, so that no rule of it counts
                a path is relative to this file; `*` stands for any part of one name in it
            refused
        "#]],
    );
}

#[test]
fn addresses_and_the_empty_file() {
    check(
        "listeners: [{address: localhost}]\nsite: {url: 'ftp://x'}\n",
        expect_test::expect![[r#"
            watchbell.yml:1:14: error: listeners[0].address: `localhost` is not an address with a port
                such as `127.0.0.1:9800`, `0.0.0.0:9800` or `[::]:9800`
            watchbell.yml:2:8: error: site.url: `ftp://x` is not a web address: it must start with `https://` or `http://`
            refused
        "#]],
    );
    check(
        "",
        expect_test::expect![[r#"
            good
        "#]],
    );
}

#[test]
fn a_dead_mans_switch_says_whom_it_pings_and_how_often() {
    check(
        "deadman:\n  - {}\n  - {url: nowhere, url_file: there, every: 5s}\n  - {url: 'ftp://x', after: 30s}\n  \
         - {url: 'https://hc-ping.com/x', every: often, method: PUT, evry: 1m}\n",
        expect_test::expect![[r#"
            watchbell.yml:2:5: error: deadman[0]: the field `url` is missing
                give the address, or a file that holds it as `url_file`
            watchbell.yml:3:5: error: deadman[1]: there are both `url` and `url_file`
                at most one of them is needed
            watchbell.yml:3:6: error: deadman[1].url: this is not a web address
                it must start with `https://` or `http://`
            watchbell.yml:3:37: error: deadman[1].every: a ping every 5s is too much
                at least `10s`; the usual is `1m`
            watchbell.yml:4:6: error: deadman[2].url: this is not a web address
                it must start with `https://` or `http://`
            watchbell.yml:4:22: error: deadman[2].after: 30s is over before the next ping is due
                at least as long as `every`; three times that unless given
            watchbell.yml:5:36: error: deadman[3].every: `often` is not a duration; write it as `30s`, `5m`, `1h30m` or `7d`
            watchbell.yml:5:50: error: deadman[3].method: `PUT` is not one of its values
                there are `GET`, `POST`
            watchbell.yml:5:63: error: deadman[3].evry: there is no field `evry` here
                did you mean `every`?
            refused
        "#]],
    );
    check(
        "deadman: [{url: 'https://hc-ping.com/x', method: POST}, {url_file: ping-address, every: 10s}]\n\
         receivers: [{name: deadman-2}, {name: deadman-3, ping_configs: [{}]}]\n",
        expect_test::expect![[r#"
            watchbell.yml: warning: site: links in pages lead to an address of this machine only
                give `site: {url: https://…}`, the address under which a phone reaches watchbell
            watchbell.yml:2:14: error: receivers[0].name: `deadman-2` is what an entry of `deadman` is called
                give the receiver another name
            watchbell.yml:2:65: error: receivers[1].ping_configs[0]: the field `url` is missing
                give the address, or a file that holds it as `url_file`
            refused
        "#]],
    );
}

#[test]
fn a_status_page_names_what_there_is() {
    let monitors = "monitors:\n  - {name: imap, runbook: down, tcp: {host: a, port: 993}}\n  \
                    - {name: smtp, runbook: down, tcp: {host: a, port: 25}}\n\
                    heartbeats: [{name: nightly-backup, runbook: down}]\n";
    let guide = include_str!("../../../../docs/status-page.md");
    let example = guide.split("```yaml\n").nth(1).and_then(|it| it.split("```").next()).expect("an example");
    check(
        &format!("{monitors}{example}"),
        expect_test::expect![[r#"
            good
        "#]],
    );
    check(
        "monitors:\n  - {name: imap, runbook: down, tcp: {host: a, port: 993}}\nstatus_pages:\n  - name: Team\n    \
         token: short\n    groups:\n      - items:\n          - {monitor: imapp}\n          - {heartbeat: imap}\n",
        expect_test::expect![[r#"
            watchbell.yml:4:5: error: status_pages[0].name: `Team` cannot be part of an address
                small letters, digits and `-`, such as `public`
            watchbell.yml:5:5: error: status_pages[0].token: it is shorter than 16 characters and can be guessed
                make one with `openssl rand -hex 16`
            watchbell.yml:8:14: error: status_pages[0].groups[0].items[0].monitor: there is no monitor named `imapp`
                did you mean `imap`?
            watchbell.yml:9:14: error: status_pages[0].groups[0].items[1].heartbeat: there is no heartbeat named `imap`
                it is a monitor
            refused
        "#]],
    );
}
