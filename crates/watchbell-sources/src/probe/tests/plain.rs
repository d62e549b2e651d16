//! TCP and TLS.

use std::path::Path;

use expect_test::expect;
use watchbell_runtime::sim;

use super::server::Certificates;
use super::{check, config, run_once, told};

const TCP: &str = r#"{"tcp": {"host": "mail.example", "port": 22}}"#;
const TLS: &str = r#"{"tls": {"host": "mail.example", "port": 853}}"#;

#[test]
fn a_port_that_takes_connections_is_up() {
    check(TCP, "hang", expect!["up: 10.0.0.1:22 takes connections"]);
}

#[test]
fn what_cannot_be_reached_is_down() {
    let told = sim::run(1, |world| async move {
        world.disk.put(Path::new("/ca.pem"), Certificates::new().authority_pem().as_bytes());
        let runtime = world.runtime();
        let mut all = Vec::new();
        let mut probe = async |text: &str| all.push(told(&run_once(&config(text), &runtime).await));
        probe(TCP).await;
        world.net.refuse("mail.example", 22);
        probe(TCP).await;
        world.net.set_black_hole("mail.example", true);
        probe(TCP).await;
        world.net.set_unresolvable("mail.example", true);
        probe(TCP).await;
        probe(r#"{"timeout": "2s", "tcp": {"host": "mail.example", "port": 22}}"#).await;
        probe(r#"{"smtp": {"host": "mail.example"}}"#).await;
        probe(r#"{"http": {"url": "http://mail.example/"}}"#).await;
        all.join("\n")
    });
    expect![[r#"
        down: the name `mail.example` does not resolve: name or service not known
        down: 10.0.0.1:22 refuses the connection: connection refused
        down: gave up after 10s waiting for a connection to mail.example:22
          after 10s
        down: the name `mail.example` does not resolve: temporary failure in name resolution
          after 5s
        down: gave up after 2s waiting for a connection to mail.example:22
          after 2s
        down: the name `mail.example` does not resolve: temporary failure in name resolution
          after 5s
        down: the name `mail.example` does not resolve: temporary failure in name resolution
          after 5s"#]]
    .assert_eq(&told);
}

#[test]
fn certificates_are_judged_and_always_shown() {
    check(
        TLS,
        "tls good",
        expect![[r#"
        up: TLSv1.3, certificate until 2026-04-05
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check(
        TLS,
        "tls five-days",
        expect![[r#"
        up: TLSv1.3, certificate until 2026-01-10
          CN=mail.example until 2026-01-10T00:00:00.000Z"#]],
    );
    check(
        TLS,
        "tls expired",
        expect![[r#"
        down: the certificate has expired
          CN=mail.example until 2026-01-01T00:00:00.000Z"#]],
    );
    check(
        TLS,
        "tls other-name",
        expect![[r#"
        down: the certificate is not for `mail.example`
          CN=other.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check(
        TLS,
        "tls self-signed",
        expect![[r#"
        down: the certificate's issuer is not trusted (self-signed, or an intermediate certificate is missing)
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    let named = r#"{"tls": {"host": "mail.example", "port": 853, "server_name": "other.example"}}"#;
    check(
        named,
        "tls other-name",
        expect![[r#"
        up: TLSv1.3, certificate until 2026-04-05
          CN=other.example until 2026-04-05T00:00:00.000Z"#]],
    );
    let lenient = r#"{"tls": {"host": "mail.example", "port": 853, "verify": false}}"#;
    check(
        lenient,
        "tls expired",
        expect![[r#"
            up: TLSv1.3, certificate until 2026-01-01 (not verified: the certificate has expired)
              CN=mail.example until 2026-01-01T00:00:00.000Z"#]],
    );
    let no_roots = r#"{"tls": {"host": "mail.example", "port": 853, "roots_file": "/none.pem"}}"#;
    check(no_roots, "tls good", expect!["down: the trusted roots in /none.pem cannot be read: entity not found"]);
}

#[test]
fn a_port_without_tls_is_down() {
    check(
        TLS,
        "hang",
        expect![[r#"
        down: gave up after 10s waiting for the TLS handshake
          after 10s"#]],
    );
    check(TLS, "close", expect!["down: the TLS handshake failed: the server closed the connection"]);
    check(
        TLS,
        "< 220 mail.example ESMTP",
        expect!["down: the TLS handshake failed: the server does not speak TLS here"],
    );
}
