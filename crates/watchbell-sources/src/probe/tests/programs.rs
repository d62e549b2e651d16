//! Programs, and registrations of domains.

use expect_test::expect;
use watchbell_runtime::process::Ended;
use watchbell_runtime::sim::{self, World};

use super::super::{Live, probe};
use super::{HOST, config, run_once, serve, told};

const EXEC: &str = r#"{"exec": {"command": ["/plugin", "-w", "1"], "environment": {"WORD": "s3cret"}}}"#;

fn run(monitor: &str, code: Option<i32>, said: &'static str) -> String {
    sim::run(1, |world| async move {
        world.programs.put("/plugin", move |command| {
            assert_eq!(
                (command.arguments.as_slice(), command.variables.len()),
                (&["-w".to_owned(), "1".to_owned()][..], 1)
            );
            Some(Ended { code, output: said.as_bytes().to_vec() })
        });
        told(&run_once(&config(monitor), &world.runtime()).await)
    })
}

#[test]
fn plugins() {
    let lenient =
        r#"{"exec": {"command": ["/plugin", "-w", "1"], "environment": {"WORD": "x"}, "warning_is_down": false}}"#;
    let told = [
        run(EXEC, Some(0), "DISK OK | /=12MB;20;30"),
        run(EXEC, Some(1), "DISK WARNING - 9% left | /=12MB"),
        run(lenient, Some(1), "DISK WARNING - 9% left"),
        run(EXEC, Some(2), "DISK CRITICAL\nmore"),
        run(EXEC, Some(3), "usage: check_disk"),
        run(EXEC, Some(127), ""),
        run(EXEC, Some(77), "odd"),
        run(EXEC, None, ""),
        sim::run(1, |world| async move {
            let missing = told(&run_once(&config(EXEC), &world.runtime()).await);
            world.programs.put("/plugin", |_| None);
            format!("{missing}\n{}", told(&run_once(&config(EXEC), &world.runtime()).await))
        }),
    ];
    expect![[r#"
        up: DISK OK
        down: warning: DISK WARNING - 9% left
        up: warning: DISK WARNING - 9% left
        down: DISK CRITICAL
        down: unknown: usage: check_disk
        down: the program could not be run (exit code 127): it says nothing
        down: exit code 77: odd
        down: a signal ended `/plugin`: it says nothing
        down: `/plugin` cannot be started: no such file or directory
        down: `/plugin` did not end within 10 s
          after 10s"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn numbers_of_plugins_are_series() {
    let lines = sim::run(1, |world| async move {
        world.programs.put("/plugin", |_| Some(Ended { code: Some(0), output: b"OK | 'a b'=2.5s;1;2 c=3".to_vec() }));
        let (_, points, _) = probe(&config(EXEC), &world.runtime(), &Live::default()).await;
        points.iter().map(|it| format!("{:?} {}", it.labels, it.value)).collect::<Vec<_>>().join("\n")
    });
    expect![[r#"
        probe_success{instance="/plugin", job="monitor", monitor="m"} 1
        probe_duration_seconds{instance="/plugin", job="monitor", monitor="m"} 0
        probe_exec_perfdata{instance="/plugin", job="monitor", label="a b", monitor="m", unit="s"} 2.5
        probe_exec_perfdata{instance="/plugin", job="monitor", label="c", monitor="m"} 3
        probe_exec_exit_code{instance="/plugin", job="monitor", monitor="m"} 0"#]]
    .assert_eq(&lines);
}

const DOMAIN: &str = r#"{"interval": "12h", "domain": {"name": "example.org", "rdap": "http://mail.example/rdap/"}}"#;

fn domain(end: &str, more: &str) -> String {
    let body = format!(
        r#"{{"events": [{{"eventAction": "registration", "eventDate": "2000-01-01T00:00:00Z"}}, {{"eventAction": "expiration", "eventDate": "{end}"}}]{more}}}"#
    );
    asked(DOMAIN, &format!("HTTP/1.1 200 OK\\r\\nContent-Length: {}\\r\\n\\r\\n{body}", body.len()))
}

fn asked(monitor: &str, answer: &str) -> String {
    let script = format!("> GET /rdap/domain/example.org HTTP/1.1\nrequest\n<raw {answer}");
    sim::run(1, |world: World| async move {
        let script = serve(&world, &config(r#"{"http": {"url": "http://mail.example/"}}"#), &script);
        format!("{}{}", told(&run_once(&config(monitor), &world.runtime()).await), script.complaints())
    })
}

#[test]
fn registrations() {
    let told = [
        domain("2026-08-13T04:00:00Z", ""),
        domain("2026-01-20T00:00:00Z", ""),
        domain("2026-01-01T00:00:00Z", ""),
        domain("2026-08-13T04:00:00Z", r#", "status": ["active", "client hold"]"#),
        asked(DOMAIN, "HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\n\\r\\n"),
        asked(DOMAIN, "HTTP/1.1 429 Too Many\\r\\nContent-Length: 0\\r\\n\\r\\n"),
        asked(DOMAIN, "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}"),
        asked(DOMAIN, "HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nhey!"),
    ];
    expect![[r#"
        up: registered until 2026-08-13, for 220 more days
        down: registered until 2026-01-20, for 14 more days, less than 21: renew it
        down: the registration has ended on 2026-01-01
        down: the registry has taken the domain off the net: client hold
        down: the registry knows no such domain (http://mail.example/rdap/domain/example.org answers 404)
        down: the registry is asked too often (429): lengthen `interval`
        down: the registry does not say when the registration ends
        down: the registry's answer is not JSON: expected value at line 1 column 1"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn the_registry_is_found_in_a_list() {
    let told = sim::run(1, |world: World| async move {
        let bodies = [
            r#"{"services": [[["com"], ["http://other.example/"]], [["net", "ORG"], ["http://mail.example:81/r/"]]]}"#,
            r#"{"events": [{"eventAction": "expiration", "eventDate": "2027-01-01T00:00:00Z"}]}"#,
        ];
        for (port, body) in [80, 81].into_iter().zip(bodies) {
            let text = format!(r#"{{"http": {{"url": "http://{HOST}:{port}/"}}}}"#);
            let script = format!("request\n< HTTP/1.1 200 OK\n< Content-Length: {}\n< \n<raw {body}", body.len());
            serve(&world, &config(&text), &script);
        }
        let domain = |name: &str| {
            let text = format!(
                r#"{{"interval": "12h", "domain": {{"name": "{name}", "bootstrap": "http://mail.example:80/dns.json"}}}}"#
            );
            config(&text)
        };
        let good = told(&run_once(&domain("example.org"), &world.runtime()).await);
        format!("{good}\n{}", told(&run_once(&domain("example.xyz"), &world.runtime()).await))
    });
    expect![[r#"
        up: registered until 2027-01-01, for 360 more days
        down: the registry of `.xyz` answers no such questions (RDAP): give `rdap`, or watch it in another way"#]]
    .assert_eq(&told);
}
