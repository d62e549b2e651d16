//! SMTP and IMAP.

use expect_test::expect;

use super::{check, check_heard};

const MX: &str = r#"{"smtp": {"host": "mail.example"}}"#;
const RELAY: &str = r#"{"smtp": {"host": "mail.example", "tls": "none"}}"#;
const SUBMISSIONS: &str = r#"{"smtp": {"host": "mail.example", "tls": "implicit"}}"#;
const IMAPS: &str = r#"{"imap": {"host": "mail.example"}}"#;
const IMAP: &str = r#"{"imap": {"host": "mail.example", "tls": "starttls"}}"#;
const CLEAR: &str = r#"{"imap": {"host": "mail.example", "tls": "none"}}"#;
const LOGIN: &str =
    r#"{"imap": {"host": "mail.example", "tls": "none", "login": {"username": "probe", "password": "pa\"ss"}}}"#;

/// A server up to the second EHLO, its greeting and its offers being usual ones.
const STARTTLS: &str = "
    < 220 mail.example ESMTP
    > EHLO
    < 250-mail.example
    < 250-SIZE 52428800
    < 250 STARTTLS
    > STARTTLS
    < 220 ready
    tls good
    > EHLO";

#[test]
fn smtp_with_starttls_is_up() {
    let script = format!("{STARTTLS}\n< 250-mail.example\n< 250 AUTH PLAIN LOGIN\n> QUIT\n< 221 bye");
    check(
        MX,
        &script,
        expect![[r#"
        up: 220 mail.example ESMTP
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check_heard(
        MX,
        &script,
        expect![[r#"
        EHLO watchbell.invalid
        STARTTLS
        EHLO watchbell.invalid
        QUIT"#]],
    );
}

#[test]
fn smtp_replies_may_come_byte_by_byte_and_with_line_feeds_only() {
    let script = format!("drip\n{STARTTLS}\n< 250-mail.example\n< 250 AUTH PLAIN");
    check(
        MX,
        &script,
        expect![[r#"
        up: 220 mail.example ESMTP
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check(RELAY, "<lf 220-one\n<lf 220 two\n> EHLO\n<lf 250 mail.example", expect!["up: 220 one / two"]);
}

#[test]
fn smtp_that_hangs_says_where() {
    check(
        MX,
        "hang",
        expect![[r#"
            down: gave up after 10s waiting for a greeting
              after 10s"#]],
    );
    check(
        MX,
        "<raw 220 mail.exa\nhang",
        expect![[r#"
            down: gave up after 10s waiting for a greeting
              after 10s"#]],
    );
    check(
        MX,
        "< 220 mail.example ESMTP\nhang",
        expect![[r#"
        down: gave up after 10s waiting for the answer to EHLO
          [< 220 mail.example ESMTP | > EHLO watchbell.invalid]
          after 10s"#]],
    );
    check(
        MX,
        "< 220 mail.example ESMTP\n> EHLO\n< 250-mail.example\nhang",
        expect![[r#"
        down: gave up after 10s waiting for the answer to EHLO
          [< 220 mail.example ESMTP | > EHLO watchbell.invalid | < 250-mail.example]
          after 10s"#]],
    );
    check(
        MX,
        "< 220 m\n> EHLO\n< 250 STARTTLS\n> STARTTLS\nhang",
        expect![[r#"
        down: gave up after 10s waiting for the answer to STARTTLS
          [< 220 m | > EHLO watchbell.invalid | < 250 STARTTLS | > STARTTLS]
          after 10s"#]],
    );
    check(
        MX,
        "< 220 m\n> EHLO\n< 250 STARTTLS\n> STARTTLS\n< 220 go\nhang",
        expect![[r#"
        down: gave up after 10s waiting for the TLS handshake
          [> EHLO watchbell.invalid | < 250 STARTTLS | > STARTTLS | < 220 go]
          after 10s"#]],
    );
    check(
        MX,
        &format!("{STARTTLS}\nhang"),
        expect![[r#"
        down: gave up after 10s waiting for the answer to EHLO
          [< 250 STARTTLS | > STARTTLS | < 220 ready | > EHLO watchbell.invalid]
          after 10s
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check(
        SUBMISSIONS,
        "tls good\nhang",
        expect![[r#"
            down: gave up after 10s waiting for a greeting
              after 10s
              CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
}

#[test]
fn smtp_that_closes_says_where() {
    check(MX, "close", expect!["down: the server closed the connection instead of sending a greeting"]);
    check(
        MX,
        "< 220 m\n> EHLO\n<raw 250-mail.exam\nclose",
        expect![[r#"
        down: the server closed the connection in the middle of the answer to EHLO
          [< 220 m | > EHLO watchbell.invalid]"#]],
    );
    check(
        MX,
        &format!("{STARTTLS}\nclose"),
        expect![[r#"
        down: the server closed the connection instead of sending the answer to EHLO
          [< 250 STARTTLS | > STARTTLS | < 220 ready | > EHLO watchbell.invalid]
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
}

#[test]
fn smtp_that_answers_wrongly_is_down() {
    check(
        MX,
        "< HTTP/1.1 400 Bad Request",
        expect!["down: expected a greeting, but the server sent `HTTP/1.1 400 Bad Request`"],
    );
    check(
        MX,
        "< 554 no service for you",
        expect!["down: expected a greeting with code 220, but the server answered `554 no service for you`"],
    );
    check(
        MX,
        "< 220 m\n> EHLO\n< 421 4.3.2 too busy",
        expect![[r#"
        down: expected 250 to EHLO, but the server answered `421 4.3.2 too busy`
          [< 220 m | > EHLO watchbell.invalid]"#]],
    );
    check(
        MX,
        "< 220 m\n> EHLO\n< 250-one\n< 550 two",
        expect![[r#"
        down: the answer to EHLO has two codes, 250 and 550
          [< 220 m | > EHLO watchbell.invalid | < 250-one | < 550 two]"#]],
    );
    check(
        MX,
        "< 220 m\n> EHLO\n< 250-m\n< 250 SIZE",
        expect![[r#"
        down: the server does not offer STARTTLS
          [< 220 m | > EHLO watchbell.invalid | < 250-m | < 250 SIZE]"#]],
    );
    check(
        MX,
        "< 220 m\n> EHLO\n< 250 STARTTLS\n> STARTTLS\n< 454 4.7.0 TLS not available",
        expect![[r#"
        down: expected 220 to STARTTLS, but the server answered `454 4.7.0 TLS not available`
          [> EHLO watchbell.invalid | < 250 STARTTLS | > STARTTLS]"#]],
    );
    check(
        MX,
        "< 220 m\n> EHLO\n< 250 STARTTLS\n> STARTTLS\n< 220 go\n< not TLS",
        expect![[r#"
        down: the server sent more before the TLS handshake than was asked for
          [> EHLO watchbell.invalid | < 250 STARTTLS | > STARTTLS | < 220 go]"#]],
    );
}

#[test]
fn what_comes_before_the_handshake_never_counts() {
    check(
        MX,
        "< 220 m\n> EHLO\n< 250 STARTTLS\n> STARTTLS\n< 220 go\\r\\n250-AUTH PLAIN\ntls good",
        expect![[r#"
        down: the server sent more before the TLS handshake than was asked for
          [> EHLO watchbell.invalid | < 250 STARTTLS | > STARTTLS | < 220 go]"#]],
    );
    check(
        IMAP,
        "< * OK m\n> a CAPABILITY\n< * CAPABILITY IMAP4rev1 STARTTLS\n< a OK\n> b STARTTLS\n< b OK\\r\\nc OK\ntls good",
        expect![[r#"
            down: the server sent more before the TLS handshake than was asked for
              [< * CAPABILITY IMAP4rev1 STARTTLS | < a OK | > b STARTTLS | < b OK]"#]],
    );
}

#[test]
fn what_a_server_sends_is_bounded() {
    check(MX, "flood", expect!["down: the server sent a line longer than 8192 bytes as a greeting"]);
    check(
        MX,
        &format!("< 220 m\n> EHLO\n{}", "< 250-again\n".repeat(200)),
        expect![[r#"
        down: the server sent more than 128 lines as the answer to EHLO
          [< 250-again | < 250-again | < 250-again | < 250-again]"#]],
    );
    check(
        IMAPS,
        "tls good\n< * OK {999999999}",
        expect![[r#"
            down: the server sent more than 65536 bytes as a greeting
              CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check(
        CLEAR,
        "< * OK {99999999999999999999999999}",
        expect!["down: the server sent more than 65536 bytes as a greeting"],
    );
    let chatty = format!("< * OK m\n> a CAPABILITY\n{}", format!("< * X {}\n", "y".repeat(7000)).repeat(20));
    check(
        CLEAR,
        &chatty,
        expect![[r#"
        down: the server sent more than 65536 bytes as the answer to CAPABILITY
          [< * X yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy… | < * X yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy… | < * X yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy… | < * X yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…]"#]],
    );
}

#[test]
fn what_a_server_says_cannot_change_a_terminal() {
    check(RELAY, "< 220 \u{1b}[31mred\n> EHLO\n< 250 m", expect!["up: 220 �[31mred"]);
}

#[test]
fn smtp_certificates_are_judged() {
    let script = STARTTLS.replace("tls good", "tls expired");
    check(
        MX,
        &script,
        expect![[r#"
        down: the certificate has expired
          [< 250-SIZE 52428800 | < 250 STARTTLS | > STARTTLS | < 220 ready]
          CN=mail.example until 2026-01-01T00:00:00.000Z"#]],
    );
    let script = format!("{}\n< 250 m", STARTTLS.replace("tls good", "tls five-days"));
    check(
        MX,
        &script,
        expect![[r#"
        up: 220 mail.example ESMTP
          CN=mail.example until 2026-01-10T00:00:00.000Z"#]],
    );
    check(
        SUBMISSIONS,
        "tls self-signed\n< 220 m",
        expect![[r#"
        down: the certificate's issuer is not trusted (self-signed, or an intermediate certificate is missing)
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
}

#[test]
fn smtp_conditions() {
    let want = |condition: &str| format!(r#"{{"smtp": {{"host": "mail.example", "tls": "none", {condition}}}}}"#);
    let script = "< 220 mail.example ESMTP Postfix\n> EHLO\n< 250-m\n< 250 AUTH PLAIN";
    check(
        &want(r#""banner": "ESMTP Postfix$", "require": ["auth plain"]"#),
        script,
        expect!["up: 220 mail.example ESMTP Postfix"],
    );
    check(
        &want(r#""banner": "Sendmail""#),
        script,
        expect![[r#"
        down: expected a greeting that matches `Sendmail`, but it is `220 mail.example ESMTP Postfix`
        the server expected `EHLO` and heard `QUIT`"#]],
    );
    check(
        &want(r#""require": ["AUTH PLAIN", "SIZE"]"#),
        script,
        expect![[r#"
        down: the server does not offer `SIZE`
          [< 220 mail.example ESMTP Postfix | > EHLO watchbell.invalid | < 250-m | < 250 AUTH PLAIN]"#]],
    );
    check_heard(
        &want(r#""hello": "192.0.2.1""#),
        script,
        expect![[r#"
        EHLO [192.0.2.1]
        QUIT"#]],
    );
}

#[test]
fn imap_is_up() {
    let offers = "> a CAPABILITY\n< * CAPABILITY IMAP4rev1 IDLE\n< a OK done";
    check(
        IMAPS,
        &format!("tls good\n< * OK Dovecot ready.\n{offers}"),
        expect![[r#"
        up: OK Dovecot ready.
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check(
        CLEAR,
        &format!("drip\n< * PREAUTH hello {{6}}\n<raw li\\r\\nne\n<  end\n{offers}"),
        expect!["up: PREAUTH hello {6}li��ne end"],
    );
    let script = "
        < * OK [CAPABILITY IMAP4rev1 STARTTLS] ready
        > a CAPABILITY
        < * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED
        < a OK
        > b STARTTLS
        < b OK go
        tls good
        > c CAPABILITY
        < * CAPABILITY IMAP4rev1 AUTH=PLAIN
        < c OK
        > z LOGOUT
        < * BYE bye
        < z OK";
    check(
        IMAP,
        script,
        expect![[r#"
        up: ready
          CN=mail.example until 2026-04-05T00:00:00.000Z"#]],
    );
    check_heard(
        IMAP,
        script,
        expect![[r#"
        a CAPABILITY
        b STARTTLS
        c CAPABILITY
        z LOGOUT"#]],
    );
}

#[test]
fn imap_that_answers_wrongly_is_down() {
    check(
        CLEAR,
        "hang",
        expect![[r#"
            down: gave up after 10s waiting for a greeting
              after 10s"#]],
    );
    check(
        CLEAR,
        "< * BYE too many connections",
        expect![[r#"
        down: the server turns clients away: `BYE too many connections`
          [< * BYE too many connections]"#]],
    );
    check(
        CLEAR,
        "< 220 mail.example ESMTP",
        expect!["down: expected a greeting, but the server sent `220 mail.example ESMTP`"],
    );
    check(
        CLEAR,
        "< * NO",
        expect![[r#"
        down: expected `* OK`, but the server sent `NO`
          [< * NO]"#]],
    );
    check(
        CLEAR,
        "< * OK m\n> a\nhang",
        expect![[r#"
        down: gave up after 10s waiting for the answer to CAPABILITY
          [< * OK m | > a CAPABILITY]
          after 10s"#]],
    );
    check(
        CLEAR,
        "< * OK m\n> a\n< * BYE shutting down",
        expect![[r#"
        down: the server ended the connection instead of sending the answer to CAPABILITY: `BYE shutting down`
          [< * OK m | > a CAPABILITY | < * BYE shutting down]"#]],
    );
    check(
        CLEAR,
        "< * OK m\n> a\n< a BAD what?",
        expect![[r#"
        down: the server refused CAPABILITY: `BAD what?`
          [< * OK m | > a CAPABILITY | < a BAD what?]"#]],
    );
    check(
        CLEAR,
        "< * OK m\n> a\n< b OK",
        expect![[r#"
        down: expected the answer to CAPABILITY, but the server sent `b OK`
          [< * OK m | > a CAPABILITY]"#]],
    );
    check(
        CLEAR,
        "< * OK m\n> a\n< a OK",
        expect![[r#"
        down: the answer to CAPABILITY lists nothing
          [< * OK m | > a CAPABILITY | < a OK]"#]],
    );
    check(
        CLEAR,
        "< * OK m\n> a\n<raw * CAPABILITY IMA\nclose",
        expect![[r#"
        down: the server closed the connection in the middle of the answer to CAPABILITY
          [< * OK m | > a CAPABILITY]"#]],
    );
    check(
        IMAP,
        "< * OK m\n> a\n< * CAPABILITY IMAP4rev1\n< a OK",
        expect![[r#"
        down: the server does not offer STARTTLS
          [< * OK m | > a CAPABILITY | < * CAPABILITY IMAP4rev1 | < a OK]"#]],
    );
    check(
        IMAPS,
        "tls expired\n< * OK",
        expect![[r#"
        down: the certificate has expired
          CN=mail.example until 2026-01-01T00:00:00.000Z"#]],
    );
    let require = r#"{"imap": {"host": "mail.example", "tls": "none", "require": ["imap4REV1", "IDLE"]}}"#;
    check(
        require,
        "< * OK m\n> a\n< * CAPABILITY IMAP4rev1\n< a OK",
        expect![[r#"
        down: the server does not offer `IDLE`
          [< * OK m | > a CAPABILITY | < * CAPABILITY IMAP4rev1 | < a OK]"#]],
    );
}

#[test]
fn imap_login() {
    let offering = |what: &str| format!("< * OK m\n> a\n< * CAPABILITY IMAP4rev1 {what}\n< a OK");
    let at_once = format!("{}\n> d AUTHENTICATE PLAIN AHByb2JlAHBhInNz\n< d OK in", offering("AUTH=PLAIN SASL-IR"));
    check(LOGIN, &at_once, expect!["up: OK m; signed in as probe"]);
    let in_two = format!("{}\n> d AUTHENTICATE PLAIN\n< + \n> AHByb2JlAHBhInNz\n< d OK in", offering("AUTH=PLAIN"));
    check(LOGIN, &in_two, expect!["up: OK m; signed in as probe"]);
    let plain = format!("{}\n> d LOGIN \"probe\" \"pa\\\"ss\"\n< d OK in", offering(""));
    check(LOGIN, &plain, expect!["up: OK m; signed in as probe"]);
    check(
        LOGIN,
        &offering("LOGINDISABLED"),
        expect![[r#"
        down: the server offers no login by password here (LOGINDISABLED)
          [< * OK m | > a CAPABILITY | < * CAPABILITY IMAP4rev1 LOGINDISABLED | < a OK]"#]],
    );
}

#[test]
fn a_login_that_is_refused_does_not_tell_the_password() {
    let offers = "< * OK m\n> a\n< * CAPABILITY IMAP4rev1\n< a OK\n> d";
    let refused = format!("{offers}\n< d NO [AUTHENTICATIONFAILED] wrong: probe with pa\"ss (AHByb2JlAHBhInNz)");
    check(
        LOGIN,
        &refused,
        expect![[r#"
        down: the server refused the login of `probe`: `NO [AUTHENTICATIONFAILED] wrong: probe with <secret> (<secret>)`
          [< * CAPABILITY IMAP4rev1 | < a OK | > d LOGIN "probe" <secret> | < d NO [AUTHENTICATIONFAILED] wrong: probe with <secret> (<secret>)]"#]],
    );
    check(
        LOGIN,
        &format!("{offers}\n< pa\"ss you said"),
        expect![[r#"
            down: expected the answer to the login, but the server sent `<secret> you said`
              [< * CAPABILITY IMAP4rev1 | < a OK | > d LOGIN "probe" <secret>]"#]],
    );
}
