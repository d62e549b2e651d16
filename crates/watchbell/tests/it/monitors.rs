//! Monitors of every kind against real servers, each also broken in a way that people meet.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use watchbell_runtime::Clock;
use watchbell_sim::Authority;

use crate::kit::{Folder, Process, own_address, wait_until};
use crate::peers::{Dovecot, IMAPS, POP3, POP3S, Postfix, SMTP, must_have};
use crate::servers::{self, Server, is_root};

/// A folder with the authority's root and a certificate for addresses that tests listen on.
pub struct Trust {
    pub authority: Authority,
    pub folder: Folder,
}

impl Trust {
    pub fn new() -> Trust {
        let (authority, folder) = (Authority::new(), Folder::new("monitors"));
        folder.write("ca.pem", &authority.pem());
        Trust { authority, folder }
    }

    pub fn issue(&self) -> (String, String) {
        self.authority.issue(&["server.watchbell.test"], Clock::os().now() + Duration::from_secs(90 * 86_400))
    }
}

/// What `watchbell probe` says of one monitor.
pub fn probe(folder: &Folder, monitor: &str) -> String {
    let file = folder.write(
        "watchbell.yml",
        &format!("host: {{enabled: false}}\nmonitors:\n  - {{name: m, timeout: 5s, runbook: 'https://example.org/', {monitor}}}\n"),
    );
    told(folder, &file)
}

/// What `watchbell probe` says of the one monitor of a configuration.
pub fn told(folder: &Folder, file: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["probe", "--config", &file.display().to_string(), "--output", "json"])
        .current_dir(folder.path())
        .output()
        .expect("the binary starts");
    let line = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    let result: serde_json::Value = serde_json::from_str(&line)
        .unwrap_or_else(|error| panic!("{error}: {line}{}", String::from_utf8_lossy(&output.stderr)));
    let word = if result["success"] == true { "up" } else { "down" };
    format!("{word}: {}", result["message"].as_str().unwrap_or_default())
}

/// Probes with `kind: {host: …, port: …, MORE}`; the answer must contain these words.
#[track_caller]
pub fn check(folder: &Folder, server: &Server, kind: &str, more: &str, words: &str) {
    let monitor = format!("{kind}: {{host: {}, port: {}, {more}}}", server.at, server.port);
    let told = probe(folder, &monitor);
    assert!(told.contains(words), "{monitor}\n  expected: {words}\n  told:     {told}");
}

pub const SECURE: &str = "tls: true, server_name: server.watchbell.test, roots_file: ca.pem";

#[test]
fn pop3_and_a_message_that_goes_round() {
    must_have("/usr/lib/dovecot/pop3-login", "dovecot-pop3d");
    let trust = Trust::new();
    let (certificate, key) = trust.issue();
    let dovecot = Dovecot::start(own_address(), &certificate, &key);
    let folder = &trust.folder;
    let at = |port: u16| {
        format!("host: {}, port: {port}, server_name: server.watchbell.test, roots_file: ca.pem", dovecot.at)
    };
    let pop3 = |more: &str, words: &str| {
        let told = probe(folder, &format!("pop3: {{{more}}}"));
        assert!(told.contains(words), "{more}\n  expected: {words}\n  told:     {told}");
    };
    let login = |password: &str| format!("login: {{username: joe, password: {password}}}");
    pop3(&format!("{}, require: [UIDL, TOP], {}", at(POP3S), login("secret")), "ready.; signed in as joe");
    pop3(&format!("{}, tls: starttls, {}", at(POP3), login("secret")), "ready.; signed in as joe");
    pop3(&format!("{}, {}", at(POP3S), login("wrong")), "down: the server refused the login of `joe`");
    pop3(&format!("{}, require: [UTF8]", at(POP3S)), "down: the server does not offer `UTF8`");
    pop3(&at(POP3), "down: the TLS handshake failed: the server does not speak TLS here");
    pop3(&format!("host: {}, port: {POP3S}, roots_file: ca.pem", dovecot.at), "down: the certificate is not for");
    if !Postfix::can_run() {
        return;
    }
    let postfix = Postfix::start(own_address(), &certificate, &key, &dovecot.mailboxes());
    let trip = |to: &str, timeout: &str| {
        let (name, imap) = ("server_name: server.watchbell.test, roots_file: ca.pem", at(IMAPS));
        let smtp = format!("host: {}, port: {SMTP}, {name}", postfix.at);
        let login = login("secret");
        let file = folder.write(
            "watchbell.yml",
            &format!(
                "host: {{enabled: false}}\nmonitors:\n  - {{name: m, interval: 1m, timeout: {timeout}, runbook: \
                 'https://example.org/', mail_roundtrip: {{from: probe@inbox.watchbell.test, to: {to}, \
                 smtp: {{{smtp}}}, imap: {{{imap}, {login}}}}}}}\n"
            ),
        );
        told(folder, &file)
    };
    let told = trip("joe@inbox.watchbell.test", "30s");
    assert!(told.starts_with("up: the message arrived "), "{told}");
    // It was deleted again.
    let left = dovecot.mailboxes().join("joe/new").read_dir().map_or(0, Iterator::count)
        + dovecot.mailboxes().join("joe/cur").read_dir().map_or(0, Iterator::count);
    assert_eq!(left, 0);
    // Accepted, and delivered to somebody else's mailbox: nowhere.
    let told = trip("joe@elsewhere.watchbell.test", "5s");
    assert!(told.starts_with("down: "), "{told}");
}

#[test]
fn redis() {
    let trust = Trust::new();
    let (certificate, key) = trust.issue();
    let mut server = servers::redis(&certificate, &key);
    let folder = &trust.folder;
    check(folder, &server, "redis", "password: s3cret, info: [{field: role, equals: master}]", "up: PONG");
    check(folder, &server, "redis", "password: wrong", "down: the server refused the login");
    check(folder, &server, "redis", "", "down: the server wants a password");
    let info = "password: s3cret, info: [{field: role, equals: slave}]";
    check(folder, &server, "redis", info, "down: expected `role` to be `slave`, but it is `master`");
    server.port = 6380;
    check(folder, &server, "redis", &format!("password: s3cret, {SECURE}"), "up: PONG");
    check(
        folder,
        &server,
        "redis",
        "tls: true, password: s3cret, roots_file: ca.pem",
        "down: the certificate is not for",
    );
    check(folder, &server, "redis", "password: s3cret", "down: ");
}

#[test]
fn ssh() {
    let trust = Trust::new();
    let server = servers::ssh();
    // It may not have let go yet of the connection that found it listening.
    wait_until("the server greets", || {
        probe(&trust.folder, &format!("ssh: {{host: {}, port: {}}}", server.at, server.port))
            .contains("up: SSH-2.0-OpenSSH")
    });
    check(&trust.folder, &server, "ssh", "banner: dropbear", "down: expected a banner that matches `dropbear`");
    let (at, port) = (server.at, server.port);
    drop(server);
    let told = probe(&trust.folder, &format!("ssh: {{host: {at}, port: {port}}}"));
    assert!(told.starts_with("down: ") && told.contains("refuses the connection"), "{told}");
}

#[test]
fn mqtt() {
    let trust = Trust::new();
    let server = servers::mosquitto();
    check(&trust.folder, &server, "mqtt", "username: probe, password: s3cret", "up: the broker takes clients");
    check(
        &trust.folder,
        &server,
        "mqtt",
        "username: probe, password: wrong",
        "down: the broker refused the connection",
    );
    check(&trust.folder, &server, "mqtt", "", "down: the broker refused the connection");
    let silent = "username: probe, password: s3cret, topic: alive";
    check(&trust.folder, &server, "mqtt", silent, "down: gave up after 5s waiting for a message on `alive`");
}

#[test]
fn web_and_grpc() {
    let trust = Trust::new();
    let (certificate, key) = trust.issue();
    let mut server = servers::nginx(&certificate, &key);
    let folder = &trust.folder;
    let page = |port: u16, path: &str, more: &str| {
        let scheme = if port == 8443 { "https" } else { "http" };
        let trusted = "server_name: server.watchbell.test, roots_file: ca.pem";
        probe(folder, &format!("http: {{url: '{scheme}://{}:{port}{path}', {trusted}, {more}}}", server.at))
    };
    assert_eq!(page(8443, "/page", "versions: [HTTP/2.0]"), "up: 200 OK");
    assert_eq!(page(8443, "/page", "versions: [HTTP/1.1], http2: false"), "up: 200 OK");
    assert_eq!(page(8080, "/page", "compression: gzip, keyword: all is well"), "up: 200 OK");
    assert_eq!(page(8080, "/page", "body_bytes_max: 100"), "down: the answer has 1200 bytes, more than 100");
    let via = "answer_headers: [{name: Via, not_matches: old, optional: true}]";
    assert_eq!(page(8080, "/page", via), "up: 200 OK");
    assert_eq!(page(8080, "/old", via), "down: the header `Via` is `old` and should not match `old`");
    server.port = 8081;
    check(folder, &server, "grpc", "service: any", "up: SERVING");
    server.port = 8082;
    check(folder, &server, "grpc", "", "down: expected that the server is SERVING, but it says NOT_SERVING");
    server.port = 8444;
    check(folder, &server, "grpc", SECURE, "up: SERVING");
    check(folder, &server, "grpc", "tls: true, roots_file: ca.pem", "down: the certificate is not for");
    server.port = 8080;
    check(folder, &server, "grpc", "", "down: ");
}

#[test]
fn time_servers() {
    let trust = Trust::new();
    let good = servers::chrony(true);
    let lost = servers::chrony(false);
    wait_until("the time server answers", || {
        let monitor = format!("ntp: {{host: {}, port: {}}}", good.at, good.port);
        probe(&trust.folder, &monitor).contains("up: stratum 3")
    });
    check(&trust.folder, &good, "ntp", "stratum_max: 2", "down: expected a stratum of at most 2, but it is 3");
    check(&trust.folder, &lost, "ntp", "", "down: the server's own clock is not synchronized");
    let nobody = "ntp: {host: 127.0.0.1, port: 9}";
    assert!(probe(&trust.folder, nobody).starts_with("down: expected the time, but nothing listens there"));
}

#[test]
fn name_servers() {
    let trust = Trust::new();
    let server = servers::dnsmasq();
    let check = |fields: &str, words: &str| {
        let monitor = format!("dns: {{server: {}, port: {}, {fields}}}", server.at, server.port);
        let told = probe(&trust.folder, &monitor);
        assert!(told.contains(words), "{fields}\n  expected: {words}\n  told:     {told}");
    };
    check("name: mail.watchbell.test, equals: [192.0.2.2, 192.0.2.1]", "up: ");
    check("name: mail.watchbell.test, equals: [192.0.2.1]", "down: `192.0.2.2` is among A of mail.watchbell.test");
    check("name: mail.watchbell.test, transport: tcp, contains: [192.0.2.1]", "up: ");
    check("name: watchbell.test, type: MX, equals: [10 mail.watchbell.test]", "up: 10 mail.watchbell.test.");
    check("name: watchbell.test, type: TXT, contains: [v=spf1 mx -all]", "up: v=spf1 mx -all");
    check("name: watchbell.test, type: TXT, contains: [v=spf1 -all]", "down: expected `v=spf1 -all` among TXT");
    check(
        "name: gone.watchbell.test",
        "down: expected NOERROR for A of gone.watchbell.test, but the server answered NXDOMAIN",
    );
    check("name: gone.watchbell.test, rcode: NXDOMAIN", "up: NXDOMAIN");
    check("name: example.org", "REFUSED");
    check("name: mail.watchbell.test, authenticated: true", "down: the server does not say that it has validated");
}

#[test]
fn postgresql() {
    let trust = Trust::new();
    let (certificate, key) = trust.issue();
    let server = servers::postgresql(&certificate, &key);
    let check = |more: &str, words: &str| check(&trust.folder, &server, "postgresql", more, words);
    check("", "up: the server answers and offers TLS");
    let database = "database: postgres";
    for user in ["scram", "md5"] {
        check(&format!("user: {user}, password: s3cret, {database}"), "up: PostgreSQL 15");
        check(&format!("user: {user}, password: wrong, {database}"), "down: the server refused the login");
        check(&format!("user: {user}, password: s3cret, {database}, {SECURE}"), "up: PostgreSQL 15");
    }
    check(&format!("user: clear, password: s3cret, {database}"), "down: the server wants the password in clear text");
    check(&format!("user: clear, password: s3cret, {database}, {SECURE}"), "up: PostgreSQL 15");
    check(&format!("user: trust, {database}, query: {{sql: 'select 40 + 2', equals: '42'}}"), "the query says `42`");
    check(
        &format!("user: trust, {database}, query: {{sql: 'select 40 + 2', below: 42}}"),
        "down: expected the query's value to be below 42, but it is `42`",
    );
    check(
        &format!("user: trust, {database}, query: {{sql: 'select from where'}}"),
        "down: the server refuses: `syntax error",
    );
    check(&format!("user: scram, {database}"), "down: the server wants a password");
    check("user: trust, database: nowhere", "down: there is no such database");
    check("tls: true, roots_file: ca.pem", "down: the certificate is not for");
}

#[test]
fn mysql() {
    let trust = Trust::new();
    let (certificate, key) = trust.issue();
    let server = servers::mariadb(&certificate, &key);
    let check = |more: &str, words: &str| check(&trust.folder, &server, "mysql", more, words);
    check("", "it asks who we are");
    check("user: probe, password: s3cret", "signed in as probe");
    check("user: probe, password: wrong", "down: the server refused the login");
    check(
        &format!("user: probe, password: s3cret, {SECURE}, query: {{sql: 'select 40 + 2', equals: '42'}}"),
        "the query says `42`",
    );
    check(
        "user: probe, password: s3cret, query: {sql: 'select 1', above: 1}",
        "down: expected the query's value to be above 1",
    );
    check("user: probe, password: s3cret, query: {sql: 'select from'}", "down: the server refuses");
    check("user: probe, password: s3cret, database: nowhere", "down: ");
    check("tls: true, roots_file: ca.pem", "down: the certificate is not for");
}

#[test]
fn nagios_plugins() {
    must_have("/usr/lib/nagios/plugins/check_dummy", "monitoring-plugins-basic");
    let folder = Folder::new("plugins");
    let dummy = |code: &str| {
        probe(&folder, &format!("exec: {{command: [/usr/lib/nagios/plugins/check_dummy, '{code}', hello]}}"))
    };
    assert_eq!(dummy("0"), "up: OK: hello");
    assert_eq!(dummy("1"), "down: warning: WARNING: hello");
    assert_eq!(dummy("2"), "down: CRITICAL: hello");
    assert_eq!(dummy("3"), "down: unknown: UNKNOWN: hello");
    let load = probe(
        &folder,
        "exec: {command: [/usr/lib/nagios/plugins/check_load, -w, '9999,9999,9999', -c, '9999,9999,9999']}",
    );
    assert!(load.starts_with("up: ") && load.to_lowercase().contains("load"), "{load}");
}

#[test]
fn echo_requests() {
    let folder = Folder::new("echo");
    let told = probe(&folder, "icmp: {host: 127.0.0.1}");
    // Whether the kernel lets us depends on the machine; what it says then is part of the promise.
    let expected = if is_root() { "up: 127.0.0.1 answers" } else { "" };
    assert!(
        told == expected || told.contains("lets watchbell send no echo requests") || told == "up: 127.0.0.1 answers",
        "{told}"
    );
}

#[test]
fn a_service_that_pushes() {
    let folder = Folder::new("push");
    let file = folder.write(
        "watchbell.yml",
        "host: {enabled: false}\nmonitors:\n  - {name: job, interval: 5s, retries: 0, runbook: 'https://example.org/', \
         push: {token: abcdefgh12345678, grace: 1s}}\n  - {name: all, interval: 5s, retries: 0, runbook: \
         'https://example.org/', group: {members: [job]}}\n",
    );
    let process = Process::start(&folder, &["--config", &file.display().to_string(), "--listen", "127.0.0.1:0"], &[]);
    let value = |metric: &str| {
        let (_, body) = process.get(&format!("/api/v1/query?query={metric}"));
        let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        json["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    assert_eq!(process.get("/api/push/wrong-token-wrong").0, 404);
    let pushed = process.get("/api/push/abcdefgh12345678?status=up&msg=OK&ping=12.5");
    assert_eq!(pushed, (200, "{\"ok\":true}".into()));
    wait_until("it is up", || value("probe_success%7Bmonitor=%22job%22%7D").as_deref() == Some("1"));
    wait_until("the group is up", || value("probe_success%7Bmonitor=%22all%22%7D").as_deref() == Some("1"));
    assert_eq!(value("probe_push_duration_seconds").as_deref(), Some("0.0125"));
    assert_eq!(process.request("POST", "/api/push/abcdefgh12345678?status=down&msg=disk+full", &[], "").0, 200);
    wait_until("it is down", || value("probe_success%7Bmonitor=%22job%22%7D").as_deref() == Some("0"));
    wait_until("the group is down", || value("probe_success%7Bmonitor=%22all%22%7D").as_deref() == Some("0"));
    process.get("/api/push/abcdefgh12345678");
    wait_until("it is up again", || value("probe_success%7Bmonitor=%22job%22%7D").as_deref() == Some("1"));
    wait_until("it is down, since it says nothing", || {
        value("probe_success%7Bmonitor=%22job%22%7D").as_deref() == Some("0")
    });
    assert_eq!(process.stop(), Some(0));
}

/// Every example of the guide is a good configuration.
#[test]
fn the_examples_of_the_guide_are_good() {
    let guide = include_str!("../../../../docs/monitors.md");
    let folder = Folder::new("guide");
    folder.write("runbooks/imap-down.md", include_str!("../../../../testdata/seeds/cabalmail/runbooks/imap-down.md"));
    let examples: Vec<&str> =
        guide.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("it ends")).collect();
    assert!(examples.len() >= 9, "{}", examples.len());
    for example in examples {
        // They leave out the run book, but for the first.
        let lines = example.lines().map(|line| match line.strip_prefix("  - name: ") {
            Some(name) if !example.contains("runbook:") => format!("  - name: {name}\n    runbook: imap-down\n"),
            _ => format!("{line}\n"),
        });
        let example: String = lines.collect();
        let file = folder.write("watchbell.yml", &example);
        let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
            .args(["check", "--config", &file.display().to_string()])
            .current_dir(folder.path())
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{example}\n{said}");
    }
}
