//! Monitors against further real servers, each also broken in a way that people meet: DNS over TLS and HTTPS,
//! WebSockets behind a proxy, MySQL's own way to sign in.

use crate::kit::wait_until;
use crate::monitors::{SECURE, Trust, check, probe};
use crate::servers;

const TRUSTED: &str = "server_name: server.watchbell.test, roots_file: ca.pem";

#[test]
fn names_over_tls_and_https() {
    let trust = Trust::new();
    let (certificate, key) = trust.issue();
    let server = servers::unbound(&certificate, &key);
    let check = |transport: &str, port: u16, more: &str, words: &str| {
        let monitor = format!("dns: {{server: {}, port: {port}, transport: {transport}, {more}}}", server.at);
        let told = probe(&trust.folder, &monitor);
        assert!(told.contains(words), "{monitor}\n  expected: {words}\n  told:     {told}");
    };
    let silent =
        ["gave up after 5s waiting for the TLS handshake", "no answer within 5 s (while shaking hands over TLS)"];
    for ((transport, port), silent) in [("tls", 8853), ("https", 8443)].into_iter().zip(silent) {
        let mail = format!("name: mail.watchbell.test, {TRUSTED}");
        check(transport, port, &format!("{mail}, equals: [192.0.2.1]"), "up: 192.0.2.1");
        check(transport, port, &format!("{mail}, equals: [192.0.2.9]"), "down: expected `192.0.2.9` among A of mail");
        let text = format!("name: watchbell.test, type: TXT, {TRUSTED}, contains: [v=spf1 mx -all]");
        check(transport, port, &text, "up: v=spf1 mx -all");
        check(transport, port, &format!("name: gone.watchbell.test, {TRUSTED}"), "the server answered NXDOMAIN");
        check(transport, port, &format!("name: kept.test, {TRUSTED}"), "the server answered REFUSED");
        check(transport, port, "name: mail.watchbell.test, roots_file: ca.pem", "down: the certificate is not for");
        let unknown = "name: mail.watchbell.test, server_name: server.watchbell.test";
        check(transport, port, unknown, "down: the certificate's issuer is not trusted");
        // The port of DNS as it always was: it takes the greeting for a long question, and waits for the rest.
        check(transport, 5353, &mail, &format!("down: {silent}"));
    }
    let elsewhere = format!("name: mail.watchbell.test, {TRUSTED}, path: /resolve");
    check("https", 8443, &elsewhere, "404");
    // DNS over TLS at the port of the other.
    check("tls", 8443, &format!("name: mail.watchbell.test, {TRUSTED}"), "down: ");
}

#[test]
fn websockets() {
    let trust = Trust::new();
    let (certificate, key) = trust.issue();
    let (server, _nginx) = servers::websockets(&certificate, &key);
    let at = server.at;
    let check = |address: &str, more: &str, words: &str| {
        let monitor = format!("websocket: {{url: '{address}', {more}}}");
        let told = probe(&trust.folder, &monitor);
        assert!(told.contains(words), "{monitor}\n  expected: {words}\n  told:     {told}");
    };
    let (direct, proxied) = (format!("http://{at}:8080/"), format!("http://{at}:8081/"));
    for address in [&direct, &proxied] {
        check(address, "", "up: the WebSocket opens");
        check(address, "protocol: chat, expect: '^welcome to chat$'", "up: the server says `welcome to chat`");
        check(address, "send: hello, expect: '^HELLO$'", "up: the server says `HELLO`");
        check(address, "protocol: news", "down: expected the protocol `news`, but the server takes none");
        check(&format!("{address}key"), "", "down: expected status 101, but the server answered 401 Unauthorized");
        check(&format!("{address}key"), "headers: {Authorization: Bearer s3cret}", "up: the WebSocket opens");
        let closed = "instead of sending a message that matches `x`: code 4001, `under maintenance`";
        check(&format!("{address}closes"), "expect: x", closed);
        check(&format!("{address}mute"), "expect: x", "down: gave up after 5s waiting for a message that matches `x`");
    }
    check(&format!("https://{at}:8443/"), &format!("{TRUSTED}, expect: ^welcome"), "up: the server says `welcome");
    check(&format!("https://{at}:8443/"), "roots_file: ca.pem", "down: the certificate is not for");
    check(&format!("https://{at}:8080/"), TRUSTED, "down: the TLS handshake failed");
    // A proxy that keeps `Upgrade` to itself, and one whose server is gone.
    check(&format!("http://{at}:8082/"), "", "down: expected status 101, but the server answered 400 Bad Request");
    check(&format!("http://{at}:8083/"), "", "down: expected status 101, but the server answered 502 Bad Gateway");
}

#[test]
fn mysql_by_its_own_way_to_sign_in() {
    let trust = Trust::new();
    let (certificate, key) = trust.issue();
    let Some(server) = servers::mysql(&certificate, &key) else { return };
    let check = |more: &str, words: &str| check(&trust.folder, &server, "mysql", more, words);
    let login = "user: probe, password: s3cret";
    wait_until("the user of MySQL is made", || {
        let monitor = format!("mysql: {{host: {}, port: {}}}", server.at, server.port);
        probe(&trust.folder, &monitor).starts_with("up: ")
    });
    check("", "it asks who we are");
    // After a start it remembers nobody, and a password is not for every ear.
    check(login, "down: the server wants to see the password, since it does not remember it");
    check(&format!("user: probe, password: wrong, {SECURE}"), "down: the server refused the login");
    check(&format!("{login}, {SECURE}, query: {{sql: 'select 40 + 2', equals: '42'}}"), "the query says `42`");
    // From now on it does.
    check(&format!("{login}, query: {{sql: 'select 40 + 2', equals: '42'}}"), "the query says `42`");
    check("user: probe, password: wrong", "down: ");
    // To hide who is there, it names any way to sign in for users that it does not know.
    check(&format!("user: nobody, password: s3cret, {SECURE}"), "down: the ");
    check(&format!("{login}, database: nowhere, {SECURE}"), "down: ");
    check(&format!("{login}, {SECURE}, query: {{sql: 'select from'}}"), "down: the server refuses");
    check("tls: true, roots_file: ca.pem", "down: the certificate is not for");
}
