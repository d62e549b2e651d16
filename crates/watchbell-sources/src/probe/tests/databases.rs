//! PostgreSQL and MySQL, as far as a script can play them; logins are proven on real servers.

use expect_test::expect;

use super::{check, check_heard};

const PLAIN: &str = r#"{"postgresql": {"host": "mail.example"}}"#;
const USER: &str =
    r#"{"postgresql": {"host": "mail.example", "user": "joe", "query": {"sql": "select 1", "below": 3}}}"#;
const MYSQL: &str = r#"{"mysql": {"host": "mail.example"}}"#;
const MYSQL_USER: &str = r#"{"mysql": {"host": "mail.example", "user": "joe", "password": "pw", "query": {"sql": "select 1", "equals": "7"}}}"#;

/// `R` with nothing to prove, the version, and ready.
const READY: &str = "some
    <bytes R\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x00
    <bytes S\\x00\\x00\\x00\\x18server_version\\x0015.1\\x00
    <bytes Z\\x00\\x00\\x00\\x05I";

#[test]
fn postgresql_without_a_user() {
    check(PLAIN, "some\n<raw N", expect!["up: the server answers, without TLS"]);
    check(PLAIN, "some\n<raw S", expect!["up: the server answers and offers TLS"]);
    check(PLAIN, "some\n<raw HTTP/1.1", expect!["down: what listens there does not speak as PostgreSQL does"]);
    check(
        PLAIN,
        "some\nclose",
        expect!["down: the server closed the connection instead of sending an answer to the question for TLS"],
    );
    let secure = r#"{"postgresql": {"host": "mail.example", "tls": true}}"#;
    check(secure, "some\n<raw N", expect!["down: the server does not offer TLS"]);
    check(
        secure,
        "some\n<raw S\ntls good",
        expect![[r#"
        up: the server answers
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check(
        secure,
        "some\n<raw S\ntls expired",
        expect![[r#"
        down: the certificate has expired
          CN=mail.example until 2026-01-01T00:00:00.000Z"#]],
    );
}

#[test]
fn postgresql_with_a_query() {
    let row = |value: &str| {
        format!(
            "{READY}\nsome\n<bytes T\\x00\\x00\\x00\\x04\n<bytes D\\x00\\x00\\x00\\x0b\\x00\\x01\\x00\\x00\\x00\\x01{value}\n<bytes Z\\x00\\x00\\x00\\x05I"
        )
    };
    check(USER, &row("2"), expect!["up: PostgreSQL 15.1; signed in as joe; the query says `2`"]);
    check(USER, &row("3"), expect!["down: expected the query's value to be below 3, but it is `3`"]);
    check(
        USER,
        &format!("{READY}\nsome\n<bytes Z\\x00\\x00\\x00\\x05I"),
        expect!["down: expected a value from the query, but there is none"],
    );
    check_heard(
        USER,
        &row("2"),
        expect![[r#"
        \x00\x00\x00:\x00\x03\x00\x00user\x00joe\x00database\x00joe\x00application_name\x00watchbell\x00\x00
        Q\x00\x00\x00\rselect 1\x00"#]],
    );
}

#[test]
fn postgresql_that_refuses() {
    check(
        USER,
        "some\n<bytes E\\x00\\x00\\x00\\x17C57P03\\x00Mstarting\\x00\\x00\\x00",
        expect!["down: the server does not take users now: `starting` (57P03)"],
    );
    check(
        USER,
        "some\n<bytes R\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x03",
        expect!["down: the server wants the password in clear text, and the connection is not secret: set `tls: true`"],
    );
    check(
        USER,
        "some\n<bytes R\\x00\\x00\\x00\\x0c\\x00\\x00\\x00\\x05abcd",
        expect!["down: the server wants a password: give `password`"],
    );
    check(
        USER,
        "some\n<bytes R\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x07",
        expect!["down: the server wants a login of a kind that is not known (7)"],
    );
}

/// A greeting of version 8 with `mysql_native_password`.
const GREETING: &str = "<bytes J\\x00\\x00\\x00\\x0a8.0.36\\x00\\x01\\x00\\x00\\x00abcdefgh\\x00\\xff\\xf7\\x2d\\x02\\x00\\xff\\xdf\\x15\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00ijklmnopqrst\\x00mysql_native_password\\x00";

#[test]
fn mysql() {
    let denied = "some\n<bytes \\x10\\x00\\x00\\x02\\xff\\x15\\x04#28000denied.";
    check(MYSQL, &format!("{GREETING}\n{denied}"), expect!["up: 8.0.36; it asks who we are"]);
    check(
        MYSQL_USER,
        &format!("{GREETING}\n{denied}"),
        expect!["down: the server refused the login: `denied.` (1045)"],
    );
    check(
        MYSQL,
        "<bytes \\x0b\\x00\\x00\\x00\\xff\\x10\\x04Too many",
        expect!["down: the server has no connection to spare: `Too many` (1040)"],
    );
    check(MYSQL, "< SSH-2.0-OpenSSH", expect!["down: expected a greeting, but the server announces 4739923 bytes"]);
    check(
        MYSQL,
        "hang",
        expect![[r#"
        down: gave up after 10s waiting for a greeting
          after 10s"#]],
    );
    let secure = r#"{"mysql": {"host": "mail.example", "tls": true}}"#;
    check(secure, GREETING, expect!["down: the server does not offer TLS (8.0.36)"]);
    let query = "some\n<bytes \\x01\\x00\\x00\\x02\\x00\nsome\n<bytes \\x01\\x00\\x00\\x01\\x00\nsome
        <bytes \\x01\\x00\\x00\\x01\\x01\\x01\\x00\\x00\\x02c\\x05\\x00\\x00\\x03\\xfe\\x00\\x00\\x00\\x00\\x02\\x00\\x00\\x04\\x018\\x05\\x00\\x00\\x05\\xfe\\x00\\x00\\x00\\x00";
    check(
        MYSQL_USER,
        &format!("{GREETING}\n{query}"),
        expect!["down: expected the query's value to be `7`, but it is `8`"],
    );
    check(
        MYSQL_USER,
        &format!("{GREETING}\n{}", query.replace("\\x018", "\\x017")),
        expect!["up: 8.0.36; signed in as joe; the query says `7`"],
    );
    check(
        MYSQL_USER,
        &format!("{GREETING}\nsome\n<bytes \\x02\\x00\\x00\\x02\\x01\\x04"),
        expect![
            "down: the server wants to see the password, since it does not remember it, and the connection is not secret: set `tls: true`"
        ],
    );
    check(
        MYSQL_USER,
        &format!("{GREETING}\nsome\n<bytes \\x10\\x00\\x00\\x02\\xfeclient_ed25519\\x00"),
        expect![
            "down: the user signs in by `client_ed25519`, which is not known here: use `caching_sha2_password` or `mysql_native_password`"
        ],
    );
}
