//! What `check` says of configurations.

use expect_test::{Expect, expect};
use watchbell_model::{Level, Path, Problems};

use super::super::{MonitorConfig, check_all};
use crate::place::PlaceConfig;

fn check(monitors: &str, expected: Expect) {
    let monitors: Vec<MonitorConfig> = serde_json::from_str(monitors).unwrap();
    let mut problems = Problems::new();
    check_all(&monitors, &Path::root().field("monitors"), &mut problems);
    let lines = problems.0.iter().map(|problem| {
        let level = if problem.level == Level::Error { "error" } else { "warning" };
        let hint = problem.hint.as_deref().expect("every problem says what would be right");
        format!("{level} {}: {}\n  {hint}\n", problem.path, problem.message)
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn the_shortest_monitor_is_good() {
    check(r#"[{"name": "a", "runbook": "r", "tcp": {"host": "::1", "port": 22}}]"#, expect![[""]]);
    check(
        r#"[{"name": "API", "interval": "5m", "timeout": "30s", "retries": 1, "retry_interval": "30s", "severity": "warning",
             "runbook": "https://example.org/api", "labels": {"team": "web"}, "certificate": {"alert_days": []},
             "http": {"url": "https://example.org/", "bearer": "x", "status": [200, "300-399"], "json": {"path": "$.a", "above": 1}}},
            {"name": "MX", "runbook": "r", "smtp": {"host": "mail.example.org", "require": ["AUTH PLAIN"]}},
            {"name": "IMAP", "runbook": "r", "imap": {"host": "mail.example.org", "login": {"username": "u", "password": "p"}}},
            {"name": "DoT", "runbook": "r", "tls": {"host": "dns.example.org", "port": 853}}]"#,
        expect![[""]],
    );
}

#[test]
fn all_problems_are_found_at_once() {
    check(
        r#"[{"name": " ", "interval": "10s", "timeout": "10s", "retry_interval": "1m", "retries": 1000,
             "labels": {"severity": "page", "job": "x", "9a": "b", "a-b": "c"}, "certificate": {"alert_days": [7, 0]}},
            {"name": "twice", "runbook": "r", "interval": "10ms", "tcp": {"host": "", "port": 0}, "tls": {"host": "a:1", "port": 1}},
            {"name": "twice", "runbook": "r", "retry_interval": "5s", "timeout": "0s", "tcp": {"host": "https://a/", "port": 1}},
            {"name": "twice", "runbook": "r", "retry_interval": "5s", "timeout": "20s", "tcp": {"host": "[::1]", "port": 1}}]"#,
        expect![[r#"
            error monitors[0].name: the name is empty
              say what people call it, such as `IMAP`
            error monitors[0].timeout: `10s` is not shorter than the interval `10s`
              a probe must end before the next begins: shorten `timeout` or lengthen `interval`
            error monitors[0].retry_interval: `1m` is longer than the interval `10s`
              retries exist to be sure sooner: make it shorter than `interval`, or leave it out
            error monitors[0].retries: 1000 retries are too many
              at most 100; the default is 2
            error monitors[0].labels.9a: `9a` is not the name of a label
              letters, digits and `_`, not beginning with a digit or with `__`
            error monitors[0].labels.a-b: `a-b` is not the name of a label
              letters, digits and `_`, not beginning with a digit or with `__`
            error monitors[0].labels.job: the label `job` is set by watchbell
              choose another name
            error monitors[0].labels.severity: the label `severity` is set by watchbell
              use the field `severity`
            error monitors[0].certificate.alert_days: 0 days before the end is too late
              a monitor that verifies is down from that moment on anyway; the smallest step is 1
            error monitors[0]: it does not say what to probe
              add one of `tcp`, `tls`, `http`, `grpc`, `smtp`, `submission`, `imap`, `pop3`, `ssh`, `redis`, `dns`, `ntp`, `postgresql`, `mysql`, `mqtt`, `browser`, `websocket`, `mail_domain`, `mail_roundtrip`, `domain`, `exec`, `push`, `group`, `icmp`, such as `tcp: {host: example.org, port: 22}`
            error monitors[1].interval: `10ms` is too short
              the shortest is `1s`
            error monitors[1]: it has 2 at once: tcp, tls
              a monitor probes one thing: make a monitor of each
            error monitors[1].tcp.host: the host is empty
              a name such as `mail.example.org`, or an address
            error monitors[1].tcp.port: port 0 does not exist
              a number from 1 to 65535
            error monitors[1].tls.host: `a:1` has a port in it
              put the port into the field `port`
            error monitors[2].timeout: a probe that may take no time always fails
              leave it out for `10s`
            error monitors[2].tcp.host: `https://a/` is a web address, not a host
              only the name, such as `mail.example.org`; for web pages use `http: {url: ...}`
            error monitors[2].name: there is already a monitor called `twice`
              give each monitor a name of its own
            warning monitors[3].retry_interval: `5s` is shorter than the timeout `20s`
              after a probe that hangs, the next begins when it ends
            error monitors[3].tcp.host: `[::1]` has brackets
              write an IPv6 address without brackets
            error monitors[3].name: there is already a monitor called `twice`
              give each monitor a name of its own
        "#]],
    );
}

#[test]
fn problems_of_mail_servers() {
    check(
        r#"[{"name": "a", "runbook": "r", "smtp": {"host": "h", "port": 465, "hello": "a b", "banner": "(", "require": [""],
             "verify": false, "roots_file": "/ca.pem"}},
            {"name": "b", "runbook": "r", "imap": {"host": "h", "port": 143, "require": ["AUTH PLAIN"],
             "login": {"username": "", "password": "x\n"}}},
            {"name": "c", "runbook": "r", "imap": {"host": "h", "tls": "none", "login": {"username": "u", "password": "p"}}},
            {"name": "d", "runbook": "r", "imap": {"host": "h", "verify": false, "login": {"username": "u", "password": "p"}}}]"#,
        expect![[r#"
            error monitors[0].smtp.hello: "a b" contains white space
              take the white space away
            warning monitors[0].smtp.roots_file: the roots are not used, since `verify` is false
              with `roots_file`, `verify: true` also works for a certificate of your own
            warning monitors[0].smtp.tls: port 465 speaks TLS from the first byte
              it is usually probed with `tls: implicit`
            error monitors[0].smtp.banner: it is not a regular expression: unclosed group
              escape `.`, `(`, `[`, `*` and `+` with a backslash if they are meant as they stand
            error monitors[0].smtp.require[0]: it is empty
              a keyword such as `AUTH PLAIN`
            warning monitors[1].imap.tls: port 143 begins in clear text
              it is usually probed with `tls: starttls`
            error monitors[1].imap.require[0]: `AUTH PLAIN` is not one capability
              one word each, such as `IDLE` or `AUTH=PLAIN`
            error monitors[1].imap.login.username: the user is empty or contains a control character
              the name a mail client would sign in with
            error monitors[1].imap.login.password: the password is empty or contains a control character
              a file's last line feed is a usual cause
            warning monitors[2].imap.login: the password is sent in clear text
              use `tls: implicit` or `tls: starttls`, unless the server is on this very host
            warning monitors[3].imap.login: the password is sent to whoever answers, since `verify` is false
              verify the certificate; for one of your own, give its root in `roots_file`
        "#]],
    );
}

#[test]
fn problems_of_web_servers() {
    check(
        r#"[{"name": "a", "runbook": "r", "http": {"url": "http://example.org/", "method": "get", "status": [], "redirects": 99,
             "keyword": "", "headers": {"Host": "x", "a b": "x", "X-A": "a\nb", "Authorization": "x"}, "bearer": "x\n",
             "basic_auth": {"username": "a:b", "password": "p"},
             "json": {"path": "status", "matches": "(", "above": 2, "below": 1}}},
            {"name": "b", "runbook": "r", "http": {"url": "https://example.org/", "method": "HEAD", "keyword": "x", "bearer": "x", "verify": false}}]"#,
        expect![[r#"
            error monitors[0].http.method: `get` is not a method that probes use
              one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS
            error monitors[0].http.status: no status is good
              leave it out for `[200-299]`
            error monitors[0].http.redirects: 99 redirects are too many
              at most 20; the default is 5
            error monitors[0].http.keyword: an empty text is in every answer
              leave the field out
            error monitors[0].http.json.path: `status` is not a JSON path: at position 0, parser error
              such as `$.status` or `$.checks[*].ok`
            error monitors[0].http.json.matches: it is not a regular expression: unclosed group
              escape `.`, `(`, `[`, `*` and `+` with a backslash if they are meant as they stand
            error monitors[0].http.json.below: no number is above 2 and below 1
              exchange them, or keep one
            error monitors[0].http.headers.Host: the header `Host` is set by watchbell
              leave it out
            error monitors[0].http.headers.X-A: its value contains a control character
              one line; a secret file's last line feed is a usual cause
            error monitors[0].http.headers.a b: "a b" is not the name of a header
              such as `Accept`
            error monitors[0].http: it signs in twice
              keep one of `basic_auth`, `bearer`, `oauth2` and the header `Authorization`
            error monitors[0].http.basic_auth.username: a user with a colon cannot sign in this way
              RFC 7617 leaves no room for it; use another user
            error monitors[0].http.bearer: the token is empty or contains a control character
              a secret file's last line feed is a usual cause
            warning monitors[0].http.url: the credentials are sent in clear text
              use `https://`
            error monitors[1].http.method: the answer to HEAD has no body to look into
              use GET
            warning monitors[1].http.verify: the credentials are sent to whoever answers
              verify the certificate; for one of your own, give its root in `roots_file`
        "#]],
    );
}

#[test]
fn targets_and_kinds() {
    let told: Vec<String> = [
        r#"{"tcp": {"host": "::1", "port": 22}}"#,
        r#"{"tls": {"host": "a", "port": 853}}"#,
        r#"{"http": {"url": "https://a/b"}}"#,
        r#"{"smtp": {"host": "a"}}"#,
        r#"{"smtp": {"host": "a", "tls": "implicit"}}"#,
        r#"{"smtp": {"host": "a", "port": 587}}"#,
        r#"{"imap": {"host": "a"}}"#,
        r#"{"imap": {"host": "a", "tls": "starttls"}}"#,
    ]
    .iter()
    .map(|text| super::config(text))
    .map(|monitor| format!("{} {}", monitor.kind(), monitor.target()))
    .collect();
    expect![[r#"
        tcp [::1]:22
        tls a:853
        http https://a/b
        smtp a:25
        smtp a:465
        smtp a:587
        imap a:993
        imap a:143"#]]
    .assert_eq(&told.join("\n"));
    assert_eq!(super::config("{}").kind(), "none");
}

/// The manual is made of these.
#[test]
fn every_field_says_what_it_is_for() {
    let schema = schemars::schema_for!(MonitorConfig);
    let mut silent = Vec::new();
    let mut open = vec![("monitor".to_owned(), schema.as_value())];
    while let Some((place, value)) = open.pop() {
        for (name, field) in value["properties"].as_object().into_iter().flatten() {
            if field["description"].as_str().is_none_or(str::is_empty) {
                silent.push(format!("{place}.{name}"));
            }
        }
        for (name, definition) in value["$defs"].as_object().into_iter().flatten() {
            open.push((name.clone(), definition));
        }
    }
    assert_eq!(silent, Vec::<String>::new());
    assert!(schema.as_value()["$defs"].as_object().is_some_and(|defs| defs.len() >= 8));
}

#[test]
fn passwords_are_not_shown() {
    let text = r#"{"name": "a", "http": {"url": "http://h/", "bearer": "t0psecret", "body": "t0psecret", "headers": {"k": "t0psecret"}}}"#;
    let monitor: MonitorConfig = serde_json::from_str(text).unwrap();
    assert!(!format!("{monitor:?}").contains("t0psecret"));
}

#[test]
fn places_and_how_many_of_them() {
    check(
        r#"[{"name": "a", "runbook": "r", "places": ["home", "fra"], "quorum": "2", "tcp": {"host": "a", "port": 1}},
            {"name": "b", "runbook": "r", "places": ["fra", "fra"], "quorum": "3", "tcp": {"host": "a", "port": 1}},
            {"name": "c", "runbook": "r", "places": ["home", "fra"], "exec": {"command": ["true"]}},
            {"name": "d", "runbook": "r", "quorum": "2", "labels": {"place": "x"}, "tcp": {"host": "a", "port": 1}}]"#,
        expect![[r#"
            error monitors[1].quorum: 3 of 2 can never agree
              from 1 to the number of `places`, or `majority`
            error monitors[1].places[1]: `fra` stands here twice
              take it out: each place has one vote
            error monitors[2].places[1]: `exec` cannot be probed from elsewhere
              agents run no programs and know nothing of other monitors: leave `places` out
            error monitors[3].labels.place: the label `place` is set by watchbell
              choose another name
            error monitors[3].quorum: 2 of 1 can never agree
              from 1 to the number of `places`, or `majority`
        "#]],
    );
}

#[test]
fn places_of_the_configuration() {
    let monitors: Vec<MonitorConfig> =
        serde_json::from_str(r#"[{"name": "a", "places": ["home", "frs"], "tcp": {"host": "a", "port": 1}}]"#).unwrap();
    let places: Vec<PlaceConfig> = serde_json::from_str(
        r#"[{"name": "fra"}, {"name": "home"}, {"name": "fra", "silent_after": "1s"}, {"name": "a b"},
            {"name": "nyc", "own_network": {"references": [{"host": "", "port": 0}, {"host": "a", "port": 1}]}}]"#,
    )
    .unwrap();
    let mut problems = Problems::new();
    PlaceConfig::check_all(&places, &monitors, &Path::root(), &mut problems);
    let lines: Vec<String> = problems.0.iter().map(|it| format!("{}: {}", it.path, it.message)).collect();
    expect![[r#"
        places[1].name: `home` is watchbell itself
        places[2].silent_after: `1s` is too short
        places[2].name: there is already a place called `fra`
        places[3].name: "a b" is not the name of a place
        places[4].own_network.references[0].host: the host is empty
        places[4].own_network.references[0].port: port 0 does not exist
        monitors[0].places[1]: there is no place named `frs`"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn steps_of_a_browser() {
    check(
        r##"[{"name": "good", "runbook": "r", "browser": {"steps": [{"open": "https://a.example/"}, {"press": "Enter"},
                {"fill": {"selector": "#q", "value": "x"}}]}},
            {"name": "none", "runbook": "r", "browser": {"steps": [], "patience": "0s"}},
            {"name": "bad", "runbook": "r", "browser": {"steps": [{"click": "b"}, {}, {"wait": "b", "click": "b"},
                {"press": "enter"}, {"expect": {"selector": "b", "text": ""}}, {"expect_text": " "}]}}]"##,
        expect![[r#"
            error monitors[1].browser.patience: no page is as fast as that
              the default is `5s`
            error monitors[1].browser.steps: the first step does not open a page
              such as `- open: https://www.example.org/`
            error monitors[2].browser.steps: the first step does not open a page
              such as `- open: https://www.example.org/`
            error monitors[2].browser.steps[1]: the step does nothing
              one of `open`, `click`, `fill`, `press`, `wait`, `expect`, `expect_text`, `expect_title`, `expect_url` and `script`
            error monitors[2].browser.steps[2]: the step does 2 things at once: click, wait
              make a step of each, one after the other: put a `-` before it
            error monitors[2].browser.steps[3].press: `enter` is not a key
              one character, or one of `Enter`, `Tab`, `Escape`, `Space`, `Backspace`, `Delete`, `ArrowLeft`, `ArrowUp`, `ArrowRight`, `ArrowDown`, `Home`, `End`, `PageUp`, `PageDown`
            error monitors[2].browser.steps[4].expect.text: every element contains an empty text
              use `wait` for an element that must merely be visible
            error monitors[2].browser.steps[5].expect_text: it is empty
              an empty selector fits nothing, and an empty text everything
        "#]],
    );
    let steps = vec![r#"{"open": "https://a.example/"}"#; 51].join(",");
    let many = format!(r#"[{{"name": "many", "runbook": "r", "browser": {{"steps": [{steps}]}}}}]"#);
    check(
        &many,
        expect![[r#"
        error monitors[0].browser.steps: 51 steps are too many
          at most 50: make two monitors of it
    "#]],
    );
}
