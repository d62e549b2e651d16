//! HTTP.

use expect_test::expect;
use watchbell_runtime::sim;

use super::super::Live;
use super::{HOST, check, check_heard, config, run_once, serve, told};

const PAGE: &str = r#"{"http": {"url": "http://mail.example/health"}}"#;
const SECURE: &str = r#"{"http": {"url": "https://mail.example:443/"}}"#;

fn wanting(condition: &str) -> String {
    format!(r#"{{"http": {{"url": "http://mail.example/", {condition}}}}}"#)
}

fn page(status: &str, body: &str) -> String {
    format!("request\n< HTTP/1.1 {status}\n< Content-Length: {}\n< \n<raw {body}", body.len())
}

#[test]
fn a_page_with_a_good_status_is_up() {
    check(PAGE, &page("200 OK", "fine"), expect!["up: 200 OK"]);
    check(&wanting(r#""status": [204, "400-499"]"#), &page("404 Not Found", ""), expect!["up: 404 Not Found"]);
    check(
        SECURE,
        &format!("tls good\n{}", page("200 OK", "fine")),
        expect![[r#"
        up: 200 OK
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
}

#[test]
fn a_page_with_a_bad_status_is_down() {
    check(
        PAGE,
        &page("503 Service Unavailable", ""),
        expect!["down: expected status 200-299, but the server answered 503 Service Unavailable"],
    );
    let away = "request\n< HTTP/1.1 302 Found\n< Location: http://mail.example/login\n< Content-Length: 0\n< ";
    check(
        &wanting(r#""redirects": 0"#),
        away,
        expect![
            "down: expected status 200-299, but the server answered 302 Found, which leads on to http://mail.example/login"
        ],
    );
    check(
        &wanting(r#""redirects": 3"#),
        away,
        expect![
            "down: expected status 200-299, but the server answered 302 Found at http://mail.example/login after 3 redirects, which leads on to http://mail.example/login"
        ],
    );
}

#[test]
fn a_page_that_breaks_is_down() {
    check(
        PAGE,
        "hang",
        expect![[r#"
        down: no answer within 10 s (while waiting for the answer)
          after 10s"#]],
    );
    check(PAGE, "close", expect!["down: the answer is not HTTP or broke off: the server closed the connection"]);
    check(
        PAGE,
        "< 220 mail.example ESMTP",
        expect!["down: the answer is not HTTP or broke off: invalid HTTP version parsed"],
    );
    check(
        PAGE,
        "request\n< HTTP/1.1 200 OK\n< Content-Length: 10\n< \n<raw half\nclose",
        expect![
            "down: the answer is not HTTP or broke off: error reading a body from connection: end of file before message length reached"
        ],
    );
    check(
        PAGE,
        "request\n< HTTP/1.1 200 OK\n< Content-Length: 10\n< \n<raw half\nhang",
        expect![[r#"
        down: no answer within 10 s (while reading the answer)
          after 10s"#]],
    );
    check(PAGE, "request\nflood", expect!["down: the answer is not HTTP or broke off: invalid HTTP version parsed"]);
}

#[test]
fn certificates_are_judged_and_always_shown() {
    let answer = page("200 OK", "");
    for (kind, expected) in [
        (
            "expired",
            expect![[r#"
            down: the certificate has expired
              CN=mail.example until 2026-01-01T00:00:00.000Z"#]],
        ),
        (
            "five-days",
            expect![[r#"
            up: 200 OK
              CN=mail.example until 2026-01-10T00:00:00.000Z"#]],
        ),
        (
            "other-name",
            expect![[r#"
            down: the certificate is not for `mail.example`
              CN=other.example until 2026-04-05T00:00:00.000Z"#]],
        ),
        (
            "self-signed",
            expect![[r#"
            down: the certificate's issuer is not trusted (self-signed, or an intermediate certificate is missing)
              CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
        ),
    ] {
        check(SECURE, &format!("tls {kind}\n{answer}"), expected);
    }
    let lenient = r#"{"http": {"url": "https://mail.example:443/", "verify": false}}"#;
    check(
        lenient,
        &format!("tls expired\n{answer}"),
        expect![[r#"
            up: 200 OK (not verified: the certificate has expired)
              CN=mail.example until 2026-01-01T00:00:00.000Z"#]],
    );
}

#[test]
fn credentials_are_not_sent_to_a_server_that_is_not_trusted() {
    let heard = sim::run(1, |world| async move {
        let monitor = config(r#"{"http": {"url": "https://mail.example:443/", "bearer": "t0ken"}}"#);
        let script = serve(&world, &monitor, &format!("tls self-signed\n{}", page("200 OK", "")));
        assert!(!run_once(&monitor, &world.runtime()).await.success);
        script.lines()
    });
    assert_eq!(heard, Vec::<String>::new());
}

#[test]
fn keywords_and_json() {
    let body = page("200 OK", r#"{"status": "degraded"}"#);
    check(&wanting(r#""keyword": "degraded", "keyword_absent": "error""#), &body, expect!["up: 200 OK"]);
    check(
        &wanting(r#""keyword": "Degraded""#),
        &body,
        expect!["down: expected `Degraded` in the answer, but it is not there"],
    );
    check(
        &wanting(r#""keyword_absent": "degraded""#),
        &body,
        expect!["down: `degraded` is in the answer and should not be"],
    );
    check(
        &wanting(r#""json": {"path": "$.status", "equals": "ok"}"#),
        &body,
        expect![[r#"down: expected `$.status` to be `"ok"`, but it is `"degraded"`"#]],
    );
    check(
        &wanting(r#""json": {"path": "$.status"}"#),
        &page("200 OK", "<html>"),
        expect!["down: expected JSON, but the answer is not: expected value at line 1 column 1"],
    );
    let endless = "request\n< HTTP/1.1 200 OK\n< \nflood\nflood";
    check(
        &wanting(r#""keyword": "y""#),
        endless,
        expect!["down: expected `y` in the first MiB of the answer, but it is not there"],
    );
    check(
        &wanting(r#""json": {"path": "$"}"#),
        endless,
        expect!["down: the answer is longer than one MiB and cannot be read as JSON"],
    );
}

#[test]
fn headers_versions_and_sizes_of_the_answer() {
    let answer = "request\n< HTTP/1.1 200 OK\n< X-A: one\n< X-A: two\n< Content-Length: 5\n< \n<raw hello";
    let rule = |rule: &str| wanting(&format!(r#""answer_headers": [{rule}]"#));
    check(&rule(r#"{"name": "x-a", "matches": "^t", "not_matches": "x"}"#), answer, expect!["up: 200 OK"]);
    check(
        &rule(r#"{"name": "x-a", "matches": "^x"}"#),
        answer,
        expect!["down: expected the header `x-a` to match `^x`, but it is `one`"],
    );
    check(
        &rule(r#"{"name": "X-A", "not_matches": "w"}"#),
        answer,
        expect!["down: the header `X-A` is `two` and should not match `w`"],
    );
    check(
        &rule(r#"{"name": "X-B"}"#),
        answer,
        expect!["down: expected the header `X-B`, but the answer does not have it"],
    );
    check(&rule(r#"{"name": "X-B", "matches": "a", "optional": true}"#), answer, expect!["up: 200 OK"]);
    check(
        &wanting(r#""versions": ["HTTP/2.0"]"#),
        answer,
        expect!["down: expected HTTP/2.0, but the server answered in HTTP/1.1"],
    );
    check(&wanting(r#""versions": ["HTTP/1.1"], "body_bytes_max": 5"#), answer, expect!["up: 200 OK"]);
    check(&wanting(r#""body_bytes_max": 4"#), answer, expect!["down: the answer has 5 bytes, more than 4"]);
    check(
        &wanting(r#""compression": "gzip""#),
        answer,
        expect!["down: expected a body compressed by gzip, but it is identity"],
    );
    // `hello` as gzip writes it.
    let zipped = "request\n< HTTP/1.1 200 OK\n< Content-Encoding: gzip\n< Content-Length: 25\n< \n<bytes \\x1f\\x8b\\x08\\x00\\x00\\x00\\x00\\x00\\x00\\x03\\xcb\\x48\\xcd\\xc9\\xc9\\x07\\x00\\x86\\xa6\\x10\\x36\\x05\\x00\\x00\\x00";
    check(&wanting(r#""compression": "gzip", "keyword": "hello""#), zipped, expect!["up: 200 OK"]);
    let packed =
        "request\n< HTTP/1.1 200 OK\n< Content-Encoding: br\n< Content-Length: 9\n< \n<bytes \\x0b\\x02\\x80hello\\x03";
    check(&wanting(r#""compression": "br", "keyword": "hello""#), packed, expect!["up: 200 OK"]);
    check(
        &wanting(r#""compression": "gzip""#),
        packed,
        expect!["down: expected a body compressed by gzip, but it is br"],
    );
    check_heard(
        &wanting(r#""compression": "gzip""#),
        zipped,
        expect![[r#"
        GET / HTTP/1.1
        host: mail.example
        user-agent: watchbell/0.1.0
        accept-encoding: gzip
        connection: close
    "#]],
    );
}

#[test]
fn a_token_is_kept_from_probe_to_probe_until_it_is_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let monitor = config(
        r#"{"http": {"url": "http://mail.example/", "oauth2": {"client_id": "me", "client_secret": "s", "token_url": "http://login/token"}}}"#,
    );
    let asked = sim::run(1, |world| async move {
        let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        world.disk.put(std::path::Path::new("/ca.pem"), super::Certificates::new().authority_pem().as_bytes());
        for host in ["login", HOST] {
            let heard = asked.clone();
            world.net.serve(host, 80, move |mut stream| {
                let heard = heard.clone();
                async move {
                    let mut request = vec![0; 4096];
                    let count = stream.read(&mut request).await.unwrap_or(0);
                    let request = String::from_utf8_lossy(&request[..count]).into_owned();
                    let tokens = heard.lock().unwrap().iter().filter(|it| *it == "a token").count();
                    let (what, answer) = if host == "login" {
                        let body = format!(r#"{{"access_token": "t{tokens}"}}"#);
                        ("a token", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
                    } else if request.contains("Bearer t0") && heard.lock().unwrap().len() > 2 {
                        ("refused", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned())
                    } else {
                        ("the page", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned())
                    };
                    heard.lock().unwrap().push(what.to_owned());
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
        let (runtime, live) = (world.runtime(), Live::default());
        for _ in 0..4 {
            super::super::probe(&monitor, &runtime, &live).await;
        }
        asked.lock().unwrap().join(", ")
    });
    assert_eq!(asked, "a token, the page, the page, refused, a token, the page");
}

#[test]
fn what_is_sent() {
    let post = wanting(
        r#""method": "POST", "headers": {"X-Key": "k"}, "body": "a=b", "basic_auth": {"username": "u", "password": "p"}"#,
    );
    check_heard(
        &post,
        &page("200 OK", ""),
        expect![[r#"
        POST / HTTP/1.1
        host: mail.example
        user-agent: watchbell/0.1.0
        x-key: k
        authorization: Basic dTpw
        connection: close
        content-length: 3
    "#]],
    );
    check_heard(
        &wanting(r#""bearer": "t0ken""#),
        &page("200 OK", ""),
        expect![[r#"
        GET / HTTP/1.1
        host: mail.example
        user-agent: watchbell/0.1.0
        authorization: Bearer t0ken
        connection: close
    "#]],
    );
}

#[test]
fn samples_have_the_names_of_blackbox_exporter() {
    let text = sim::run(1, |world| async move {
        let mut monitor =
            config(r#"{"labels": {"team": "web"}, "http": {"url": "https://mail.example:443/", "keyword": "fine"}}"#);
        serve(&world, &monitor, &format!("tls good\n{}", page("200 OK", "fine")));
        let runtime = world.runtime();
        let (up, points, _) = super::super::probe(&monitor, &runtime, &Live::default()).await;
        monitor.http.as_mut().unwrap().url = format!("https://{HOST}:444/").parse().unwrap();
        let (down, more, _) = super::super::probe(&monitor, &runtime, &Live::default()).await;
        let lines = points.iter().chain(&more).map(|point| format!("{} {}\n", point.labels, point.value));
        // Keys are made up anew each time.
        let (leaf, lines): (Vec<String>, Vec<String>) =
            lines.partition(|line| line.starts_with("probe_ssl_last_chain_info"));
        assert!(leaf.len() == 1 && leaf[0].contains(r#"subjectalternative="mail.example""#), "{leaf:?}");
        format!("{}\n{}\n{}", told(&up), told(&down), lines.concat())
    });
    expect![[r#"
        up: 200 OK
          CN=mail.example until 2026-04-05T00:00:00.000Z
        down: 10.0.0.1:444 refuses the connection: connection refused
        probe_success{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 1
        probe_duration_seconds{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 0.002
        probe_dns_lookup_time_seconds{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 0.001
        probe_http_status_code{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 200
        probe_http_redirects{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 0
        probe_http_ssl{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 1
        probe_http_content_length{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 4
        probe_http_uncompressed_body_length{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 4
        probe_http_version{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 1.1
        probe_http_duration_seconds{instance="https://mail.example:443/", job="monitor", monitor="m", phase="resolve", team="web"} 0.001
        probe_http_duration_seconds{instance="https://mail.example:443/", job="monitor", monitor="m", phase="connect", team="web"} 0.001
        probe_http_duration_seconds{instance="https://mail.example:443/", job="monitor", monitor="m", phase="tls", team="web"} 0
        probe_http_duration_seconds{instance="https://mail.example:443/", job="monitor", monitor="m", phase="processing", team="web"} 0
        probe_http_duration_seconds{instance="https://mail.example:443/", job="monitor", monitor="m", phase="transfer", team="web"} 0
        probe_failed_due_to_regex{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 0
        probe_ssl_earliest_cert_expiry{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 1775347200
        probe_ssl_last_chain_expiry_timestamp_seconds{instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 1775347200
        probe_tls_version_info{instance="https://mail.example:443/", job="monitor", monitor="m", team="web", version="TLS 1.3"} 1
        probe_tls_cipher_info{cipher="TLS_AES_256_GCM_SHA384", instance="https://mail.example:443/", job="monitor", monitor="m", team="web"} 1
        probe_success{instance="https://mail.example:444/", job="monitor", monitor="m", team="web"} 0
        probe_duration_seconds{instance="https://mail.example:444/", job="monitor", monitor="m", team="web"} 0.002
    "#]].assert_eq(&text);
}
