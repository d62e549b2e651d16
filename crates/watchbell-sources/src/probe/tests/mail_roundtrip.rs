//! A message from its submission to its mailbox.

use expect_test::expect;
use watchbell_runtime::sim::{self, World};

use super::{config, run_once, serve, told};

const MONITOR: &str = r#"{"interval": "5m", "timeout": "30s", "mail_roundtrip": {"from": "a@example.org", "to": "b@example.org",
    "smtp": {"host": "mail.example", "port": 25, "tls": "none", "login": {"username": "a", "password": "s3cret"}},
    "imap": {"host": "mail.example", "port": 143, "tls": "none", "login": {"username": "b", "password": "s3cret"}}}}"#;

const GREETED: &str = "
    < 220 mail.example ESMTP
    > EHLO
    < 250-mail.example
    < 250 AUTH PLAIN LOGIN
    > AUTH PLAIN AGEAczNjcmV0
    < 235 welcome
    > MAIL FROM:<a@example.org>
    < 250 ok
    > RCPT TO:<b@example.org>";

const SUBMITTED: &str = "
    < 250 ok
    > DATA
    < 354 go on
    > Date: Mon, 05 Jan 2026 00:00:00 +0000
    > From: <a@example.org>
    > To: <b@example.org>
    > Subject: watchbell round trip
    > Message-ID:
    > Auto-Submitted: auto-generated
    > MIME-Version: 1.0
    > Content-Type
    >
    > watchbell sent this
    > .
    < 250 queued
    > QUIT
    < 221 bye";

const OPENED: &str = "
    < * OK ready
    > a CAPABILITY
    < * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
    < a OK
    > d AUTHENTICATE PLAIN
    < d OK
    > m1 SELECT \"INBOX\"
    < * 0 EXISTS
    < m1 OK
    > s1 UID SEARCH UNDELETED SUBJECT \"watchbell round trip
    < * SEARCH
    < s1 OK";

fn run(smtp: &str, imap: &str) -> String {
    sim::run(1, |world: World| async move {
        let scripts = [(25, smtp), (143, imap)].map(|(port, script)| {
            let place = format!(r#"{{"tcp": {{"host": "mail.example", "port": {port}}}}}"#);
            serve(&world, &config(&place), script)
        });
        let result = run_once(&config(MONITOR), &world.runtime()).await;
        format!("{}{}", told(&result), scripts.map(|it| it.complaints()).concat())
    })
}

#[test]
fn a_message_that_arrives() {
    let arrives = "
        > m2 SELECT
        < m2 OK
        > s2 UID SEARCH
        < * SEARCH 7
        < s2 OK
        > t2 UID SEARCH UNDELETED SUBJECT \"watchbell round trip\"
        < * SEARCH 5 7
        < t2 OK
        > u UID STORE 5,7 +FLAGS.SILENT (\\Deleted)
        < u OK
        > v EXPUNGE
        < v OK
        > z LOGOUT
        < * BYE";
    let told = run(&format!("{GREETED}{SUBMITTED}"), &format!("{OPENED}{arrives}"));
    expect![[r#"
        up: the message arrived 1.0 s after its submission
          after 1s4ms"#]]
    .assert_eq(&told);
}

#[test]
fn each_break_on_the_way_is_named() {
    let submitted = format!("{GREETED}{SUBMITTED}");
    let never = format!("{OPENED}\n> m2 SELECT\n< m2 OK\n> s2 UID SEARCH\n< * SEARCH\n< s2 OK\nhang");
    let told = [
        run(&format!("{GREETED}\n< 550 no such user"), OPENED),
        run(&format!("{GREETED}\n< 450 greylisted, come again"), OPENED),
        run(&GREETED.replace("235 welcome", "535 no"), OPENED),
        run(
            &SUBMITTED.replace("250 queued", "554 spam").replacen("< 250 ok", &format!("{GREETED}\n< 250 ok"), 1),
            OPENED,
        ),
        run(&submitted, &OPENED.replace("d OK", "d NO who?")),
        run(&submitted, &never),
    ];
    expect![[r#"
        down: submission: expected 250 to RCPT TO, but the server answered `550 no such user`
          [> MAIL FROM:<a@example.org> | < 250 ok | > RCPT TO:<b@example.org>]
        down: submission: the server puts the message off (greylisting?): `450 greylisted, come again`
          [> MAIL FROM:<a@example.org> | < 250 ok | > RCPT TO:<b@example.org>]
        down: submission: the server refused the login of `a`: `535 no`
          [< 250-mail.example | < 250 AUTH PLAIN LOGIN | > AUTH PLAIN <secret>]
        the server expected `MAIL FROM:<a@example.org>` and heard `QUIT`
        down: submission: expected 250 to the message, but the server answered `554 spam`
          [> DATA | < 354 go on | > the message]
        down: delivery: the server refused the login of `b`: `NO who?`
          [< * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR | < a OK | > d AUTHENTICATE PLAIN <secret> | < d NO who?]
        the server expected `m1 SELECT "INBOX"` and heard `z LOGOUT`
        down: delivery: gave up after 30s waiting for the answer to SELECT
          [> s2 UID SEARCH UNDELETED SUBJECT "watchbell round trip c15c0289-ec2d-4a91-a7ec-8e65a18debbe" | < * SEARCH | < s2 OK | > m3 SELECT "INBOX"]
          after 30s"#]].assert_eq(&told.join("\n"));
}
