//! Mail servers broken in the ways people meet: each verdict is right, and each message names the cause.

use std::net::IpAddr;

use expect_test::expect;
use watchbell_runtime::sim::{self, World};

use super::super::run_once;
use super::{HOST, config, serve, told};

const SMTP: &str = r#"{"smtp": {"host": "mail.example"}}"#;
const IMAP: &str = r#"{"imap": {"host": "mail.example", "tls": "starttls"}}"#;
const POP3: &str = r#"{"pop3": {"host": "mail.example", "tls": "starttls"}}"#;

/// Probes each kind; `script` is the server's up to TLS, for each kind in its own words.
fn each(more: impl Fn(&World), scripts: [&str; 3]) -> String {
    sim::run(1, |world| async move {
        let mut all = Vec::new();
        for (monitor, script) in [SMTP, IMAP, POP3].into_iter().zip(scripts) {
            let monitor = config(monitor);
            serve(&world, &monitor, script);
            more(&world);
            all.push(format!("{} {}", monitor.kind(), told(&run_once(&monitor, &world.runtime()).await)));
        }
        all.join("\n")
    })
}

/// The talk up to TLS, with that certificate, and a little after it.
fn with(certificate: &str) -> [String; 3] {
    let after = ["> EHLO\n< 250 mail.example", "> c CAPABILITY\n< * CAPABILITY IMAP4rev1\n< c OK done", ""];
    [
        "< 220 mail.example ESMTP\n> EHLO\n< 250-mail.example\n< 250 STARTTLS\n> STARTTLS\n< 220 ready",
        "< * OK ready\n> a CAPABILITY\n< * CAPABILITY IMAP4rev1 STARTTLS\n< a OK done\n> b STARTTLS\n< b OK begin",
        "< +OK ready\n> CAPA\n< +OK\n< STLS\n< .\n> STLS\n< +OK begin",
    ]
    .into_iter()
    .zip(after)
    .map(|(before, after)| format!("{before}\ntls {certificate}\n{after}"))
    .collect::<Vec<_>>()
    .try_into()
    .expect("there are three")
}

fn certificate(kind: &str) -> String {
    let scripts = with(kind);
    each(|_| {}, [&scripts[0], &scripts[1], &scripts[2]])
}

#[test]
fn a_certificate_behind_starttls_has_expired() {
    expect![[r#"
        smtp down: the certificate has expired
          [< 250-mail.example | < 250 STARTTLS | > STARTTLS | < 220 ready]
          CN=mail.example until 2026-01-01T00:00:00.000Z
        imap down: the certificate has expired
          [< * CAPABILITY IMAP4rev1 STARTTLS | < a OK done | > b STARTTLS | < b OK begin]
          CN=mail.example until 2026-01-01T00:00:00.000Z
        pop3 down: the certificate has expired
          [< STLS | < . | > STLS | < +OK begin]
          CN=mail.example until 2026-01-01T00:00:00.000Z"#]]
    .assert_eq(&certificate("expired"));
}

#[test]
fn a_certificate_behind_starttls_is_for_another_name() {
    expect![[r#"
        smtp down: the certificate is not for `mail.example`
          [< 250-mail.example | < 250 STARTTLS | > STARTTLS | < 220 ready]
          CN=other.example until 2026-04-05T00:00:00.000Z
        imap down: the certificate is not for `mail.example`
          [< * CAPABILITY IMAP4rev1 STARTTLS | < a OK done | > b STARTTLS | < b OK begin]
          CN=other.example until 2026-04-05T00:00:00.000Z
        pop3 down: the certificate is not for `mail.example`
          [< STLS | > STLS | < +OK begin]
          CN=other.example until 2026-04-05T00:00:00.000Z"#]]
    .assert_eq(&certificate("other-name"));
}

#[test]
fn a_banner_comes_late_and_too_late() {
    let late = |seconds: u32| {
        let wait = format!("wait {seconds}");
        let greetings = ["< 220 mail.example ESMTP", "< * OK ready", "< +OK ready"].map(|it| format!("{wait}\n{it}"));
        each(|_| {}, [&greetings[0], &greetings[1], &greetings[2]])
    };
    expect![[r#"
        smtp down: gave up after 10s waiting for the answer to EHLO
          [< 220 mail.example ESMTP | > EHLO watchbell.invalid]
          after 10s
        imap down: gave up after 10s waiting for the answer to CAPABILITY
          [< * OK ready | > a CAPABILITY]
          after 10s
        pop3 down: gave up after 10s waiting for the answer to CAPA
          [< +OK ready | > CAPA]
          after 10s"#]]
    .assert_eq(&late(8));
    expect![[r#"
        smtp down: gave up after 10s waiting for a greeting
          after 10s
        imap down: gave up after 10s waiting for a greeting
          after 10s
        pop3 down: gave up after 10s waiting for a greeting
          after 10s"#]]
    .assert_eq(&late(11));
}

#[test]
fn a_host_takes_connections_and_says_nothing_or_is_not_there() {
    expect![[r#"
        smtp down: gave up after 10s waiting for a greeting
          after 10s
        imap down: gave up after 10s waiting for a greeting
          after 10s
        pop3 down: gave up after 10s waiting for a greeting
          after 10s"#]]
    .assert_eq(&each(|_| {}, ["hang"; 3]));
    expect![[r#"
        smtp down: gave up after 10s waiting for a connection to mail.example:25
          after 10s
        imap down: gave up after 10s waiting for a connection to mail.example:143
          after 10s
        pop3 down: gave up after 10s waiting for a connection to mail.example:110
          after 10s"#]]
    .assert_eq(&each(|world| world.net.set_black_hole(HOST, true), ["hang"; 3]));
}

#[test]
fn a_server_turns_away_for_now() {
    expect![[r#"
        smtp down: expected a greeting with code 220, but the server answered `421 4.7.0 try again later, you are greylisted`
        imap down: the server turns clients away: `BYE too many connections from your address`
          [< * BYE too many connections from your address]
        pop3 down: expected a greeting, but the server refuses: `[SYS/TEMP] mailbox is locked`
          [< -ERR [SYS/TEMP] mailbox is locked]"#]].assert_eq(&each(
        |_| {},
        [
            "< 421 4.7.0 try again later, you are greylisted\nclose",
            "< * BYE too many connections from your address\nclose",
            "< -ERR [SYS/TEMP] mailbox is locked\nclose",
        ],
    ));
}

#[test]
fn names_do_not_resolve_in_time() {
    expect![[r#"
        smtp down: the name `mail.example` does not resolve: temporary failure in name resolution
          after 5s
        imap down: the name `mail.example` does not resolve: temporary failure in name resolution
          after 5s
        pop3 down: the name `mail.example` does not resolve: temporary failure in name resolution
          after 5s"#]]
    .assert_eq(&each(|world| world.net.set_unresolvable(HOST, true), ["hang"; 3]));
}

#[test]
fn a_host_has_ipv6_addresses_only() {
    let told = sim::run(1, |world| async move {
        let address: IpAddr = "2001:db8::25".parse().unwrap();
        let monitor = config(r#"{"smtp": {"host": "six.example", "tls": "none"}}"#);
        let mut all = Vec::new();
        for served in [false, true] {
            if served {
                world.net.serve("2001:db8::25", 25, |mut stream| async move {
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220-one\r\n220 two\r\n").await;
                    let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 100]).await;
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"250 six.example\r\n").await;
                    std::future::pending().await
                });
            }
            world.net.add_address("six.example", address);
            all.push(told(&run_once(&monitor, &world.runtime()).await));
        }
        all.join("\n")
    });
    expect![[r#"
        down: [2001:db8::25]:25 refuses the connection: connection refused
        up: 220 one / two"#]]
    .assert_eq(&told);
}
