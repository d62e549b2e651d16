//! POP3, SSH, Redis, MQTT, WebSocket.

use base64::Engine as _;
use expect_test::expect;
use ring::digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_runtime::sim;

use super::{HOST, check, config, run_once, told};

const POP3: &str =
    r#"{"pop3": {"host": "mail.example", "tls": "starttls", "login": {"username": "probe", "password": "s3cret"}}}"#;
const SSH: &str = r#"{"ssh": {"host": "mail.example", "banner": "OpenSSH_9"}}"#;
const REDIS: &str = r#"{"redis": {"host": "mail.example", "password": "s3cret", "info": [{"field": "role", "equals": "master"}, {"field": "db0.keys", "above": 2}]}}"#;
const MQTT: &str = r#"{"mqtt": {"host": "mail.example", "topic": "alive", "expect": "^on"}}"#;

const STLS: &str = "
    < +OK ready
    > CAPA
    < +OK
    < STLS
    < UIDL
    < .
    > STLS
    < +OK
    tls good";

#[test]
fn pop3() {
    check(
        POP3,
        &format!("{STLS}\n> USER probe\n< +OK\n> PASS s3cret\n< +OK 3 messages\n> QUIT\n< +OK"),
        expect![[r#"
        up: ready; signed in as probe
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check(
        POP3,
        &format!("{STLS}\n> USER probe\n< +OK\n> PASS s3cret\n< -ERR [AUTH] no s3cret here"),
        expect![[r#"
        down: the server refused the login of `probe`: `[AUTH] no <secret> here`
          [> USER probe | < +OK | > PASS <secret> | < -ERR [AUTH] no <secret> here]
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check(
        POP3,
        "< +OK ready\n> CAPA\n< +OK\n< UIDL\n< .",
        expect![[r#"
        down: the server does not offer STARTTLS (`STLS`)
          [> CAPA | < +OK | < UIDL | < .]"#]],
    );
    check(
        POP3,
        "< -ERR too many connections",
        expect![[r#"
        down: expected a greeting, but the server refuses: `too many connections`
          [< -ERR too many connections]"#]],
    );
    check(
        POP3,
        "< 220 mail.example ESMTP",
        expect!["down: expected a greeting, but the server sent `220 mail.example ESMTP`"],
    );
}

#[test]
fn ssh() {
    check(SSH, "< SSH-2.0-OpenSSH_9.2p1 Debian-2\n> SSH-2.0-watchbell", expect!["up: SSH-2.0-OpenSSH_9.2p1 Debian-2"]);
    check(
        SSH,
        "< welcome\n< SSH-2.0-dropbear",
        expect![[r#"
        down: expected a banner that matches `OpenSSH_9`, but it is `SSH-2.0-dropbear`
          [< welcome | > SSH-2.0-watchbell]"#]],
    );
    check(SSH, "< Exceeded MaxStartups\nclose", expect!["down: the server turns clients away: `Exceeded MaxStartups`"]);
    check(
        SSH,
        "< SSH-1.5-old",
        expect![[r#"
        down: expected version 2.0 of the protocol, but the banner is `SSH-1.5-old`
          [> SSH-2.0-watchbell]"#]],
    );
    check(
        SSH,
        "close",
        expect!["down: the server closed the connection instead of sending the banner of an SSH server"],
    );
    check(
        SSH,
        "hang",
        expect![[r#"
        down: gave up after 10s waiting for the banner of an SSH server
          after 10s"#]],
    );
}

#[test]
fn redis() {
    let info = "role:master\\r\\ndb0:keys=3,expires=0\\r\\n";
    let auth = "> *2\n> $4\n> AUTH\n> $6\n> s3cret";
    let ping = "> *1\n> $4\n> PING";
    let ask = "> *1\n> $4\n> INFO";
    check(REDIS, &format!("{auth}\n< +OK\n{ping}\n< +PONG\n{ask}\n< $35\n< {info}"), expect!["up: PONG"]);
    let slave = info.replace("master", "slave ");
    check(
        REDIS,
        &format!("{auth}\n< +OK\n{ping}\n< +PONG\n{ask}\n< $35\n< {slave}"),
        expect![[r#"
            down: expected `role` to be `master`, but it is `slave`
              [> PING | < +PONG | > INFO | < $35]"#]],
    );
    check(
        REDIS,
        &format!("{auth}\n< -WRONGPASS invalid username-password pair or user is disabled."),
        expect![[r#"
        down: the server refused the login: `WRONGPASS invalid username-password pair or user is disabled.`
          [> AUTH | < -WRONGPASS invalid username-password pair or user is disabled.]"#]],
    );
    let open = r#"{"redis": {"host": "mail.example"}}"#;
    check(
        open,
        &format!("{ping}\n< -NOAUTH Authentication required."),
        expect![[r#"
        down: the server wants a password (`NOAUTH`): give `password`
          [> PING | < -NOAUTH Authentication required.]"#]],
    );
    check(
        open,
        &format!("{ping}\n< -LOADING Redis is loading the dataset in memory"),
        expect![[r#"
        down: the server is still loading its data: `LOADING Redis is loading the dataset in memory`
          [> PING | < -LOADING Redis is loading the dataset in memory]"#]],
    );
    check(
        open,
        "> *1\n< HTTP/1.1 400 Bad Request",
        expect![[r#"
        down: expected the answer to PING, but the server sent `HTTP/1.1 400 Bad Request`
          [> PING]"#]],
    );
    let secure = r#"{"redis": {"host": "mail.example", "tls": true}}"#;
    check(
        secure,
        &format!("tls expired\n{ping}\n< +PONG"),
        expect![[r#"
        down: the certificate has expired
          CN=mail.example until 2026-01-01T00:00:00.000Z"#]],
    );
    check(
        secure,
        &format!("tls good\n{ping}\n< +PONG"),
        expect![[r#"
        up: PONG
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
}

#[test]
fn mqtt() {
    let connack = "some\n<bytes \\x20\\x02\\x00\\x00\nsome\n<bytes \\x90\\x03\\x00\\x01\\x00";
    check(MQTT, &format!("{connack}\n<bytes \\x30\\x0a\\x00\\x05aliveon!"), expect!["up: `on!` on `alive`"]);
    check(
        MQTT,
        &format!("{connack}\n<bytes \\x30\\x0a\\x00\\x05aliveoff"),
        expect!["down: expected a message that matches `^on` on `alive`, but it is `off`"],
    );
    check(
        MQTT,
        connack,
        expect![[r#"
        down: gave up after 10s waiting for a message on `alive`
          after 10s"#]],
    );
    check(
        MQTT,
        "some\n<bytes \\x20\\x02\\x00\\x05",
        expect![
            "down: the broker refused the connection: the client may not connect: a user, a password or a certificate is missing or wrong"
        ],
    );
    check(
        MQTT,
        "some\n<bytes \\x20\\x02\\x00\\x00\nsome\n<bytes \\x90\\x03\\x00\\x01\\x80",
        expect!["down: the broker refused the subscription to `alive`"],
    );
    check(
        MQTT,
        "some\n< HTTP/1.1 400 Bad Request",
        expect!["down: what listens there does not answer as an MQTT broker does"],
    );
}

#[test]
fn a_websocket_opens_and_answers() {
    let told = sim::run(1, |world| async move {
        world.net.serve(HOST, 80, |mut stream| async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let proof = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            let proof = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, proof.as_bytes());
            let proof = base64::engine::general_purpose::STANDARD.encode(proof);
            let answer = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {proof}\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut frame = [0; 6 + 5];
            stream.read_exact(&mut frame).await.unwrap();
            let text: Vec<u8> = frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
            assert_eq!(text, b"hello");
            // A ping, a message in two parts, and the end.
            stream.write_all(b"\x89\x00\x01\x02he\x80\x01y\x88\x02\x03\xe8").await.unwrap();
            std::future::pending().await
        });
        let mut all = Vec::new();
        for expect in ["^hey$", "other"] {
            let text = format!(
                r#"{{"websocket": {{"url": "http://mail.example/ws", "send": "hello", "expect": "{expect}"}}}}"#
            );
            all.push(told(&run_once(&config(&text), &world.runtime()).await));
        }
        all.join("\n")
    });
    expect![[r#"
        up: the server says `hey`
        down: the server closed the WebSocket instead of sending a message that matches `other`: code 1000"#]]
    .assert_eq(&told);
}

#[test]
fn a_websocket_that_does_not_open_is_down() {
    let plain = r#"{"websocket": {"url": "http://mail.example/ws"}}"#;
    check(
        plain,
        "request\n< HTTP/1.1 404 Not Found\n< ",
        expect!["down: expected status 101, but the server answered 404 Not Found"],
    );
    check(
        plain,
        "request\n< HTTP/1.1 101 Switching Protocols\n< Sec-WebSocket-Accept: x\n< ",
        expect!["down: the answer is not one to our request: its `Sec-WebSocket-Accept` is wrong"],
    );
    check(plain, "< 220 mail.example ESMTP\n< ", expect!["down: the answer is not HTTP: `220 mail.example ESMTP`"]);
    let secure = r#"{"websocket": {"url": "https://mail.example:443/ws"}}"#;
    check(
        secure,
        "tls other-name",
        expect![[r#"
        down: the certificate is not for `mail.example`
          CN=other.example until 2026-04-05T00:00:00.000Z"#]],
    );
}
