//! Mail: what is sent, and what a server may answer.

use std::sync::{Arc, Mutex};

use base64::Engine;
use expect_test::expect;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::{BoxFuture, Labels, Path, Problems, Timestamp};
use watchbell_notify::{ReceiverConfig, Templates};
use watchbell_runtime::Stream;
use watchbell_runtime::sim::{self, World};
use watchbell_sim::Authority;

use crate::world::{Process, alert, firing, group, minutes, receivers, resolved};

type Handshake = Arc<dyn Fn(Stream) -> BoxFuture<'static, Option<Stream>> + Send + Sync>;

/// A server's side of a handshake, with a certificate for `mail` that a world trusts.
fn handshake(world: &World) -> Handshake {
    let authority = Authority::new();
    world.net.trust(&authority.pem());
    let config = authority.server(&["mail"], Timestamp::parse_rfc3339("2030-01-01T00:00:00Z").unwrap());
    Arc::new(move |stream| {
        let config = Arc::clone(&config);
        Box::pin(async move { watchbell_sim::tls(&config, stream).await })
    })
}

/// A server whose answers to commands that begin with a word may be changed.
#[derive(Clone, Default)]
pub(crate) struct Server {
    talk: Arc<Mutex<Vec<String>>>,
    mails: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `answer` is given the number of the connection and the line, and says what differs.
    pub(crate) fn at(
        world: &World,
        port: u16,
        answer: impl Fn(usize, &str) -> Option<&'static str> + Send + Sync + 'static,
    ) -> Server {
        Server::secure(world, port, None, answer)
    }

    /// The same with a handshake, from the first byte on port 465.
    fn secure(
        world: &World,
        port: u16,
        handshake: Option<Handshake>,
        answer: impl Fn(usize, &str) -> Option<&'static str> + Send + Sync + 'static,
    ) -> Server {
        let server = Server::default();
        let (kept, answer, count) = (server.clone(), Arc::new(answer), Arc::new(Mutex::new(0)));
        world.net.serve("mail", port, move |mut stream| {
            let (kept, answer, handshake) = (kept.clone(), Arc::clone(&answer), handshake.clone());
            let number = {
                let mut count = count.lock().unwrap();
                *count += 1;
                *count - 1
            };
            async move {
                if let (465, Some(handshake)) = (port, &handshake) {
                    let Some(secret) = handshake(stream).await else { return };
                    stream = secret;
                }
                let mut bytes = Vec::new();
                let mut data: Option<String> = None;
                let greeting = answer(number, "").unwrap_or("220 mail ESMTP");
                if stream.write_all(format!("{greeting}\r\n").as_bytes()).await.is_err() {
                    return;
                }
                loop {
                    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
                        let mut buffer = [0; 4096];
                        match stream.read(&mut buffer).await {
                            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
                            _ => return,
                        }
                        continue;
                    };
                    let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
                    bytes.drain(..end + 2);
                    if let Some(mail) = &mut data {
                        if line != "." {
                            mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                            mail.push('\n');
                            continue;
                        }
                        kept.mails.lock().unwrap().push(data.take().unwrap());
                    } else {
                        kept.talk.lock().unwrap().push(line.clone());
                    }
                    let usual = match line.split(' ').next().unwrap_or_default() {
                        "EHLO" => "250-mail\r\n250-AUTH PLAIN LOGIN CRAM-MD5\r\n250-STARTTLS\r\n250 SMTPUTF8",
                        "AUTH" if line.starts_with("AUTH PLAIN") => "235 ok",
                        "AUTH" => "334 PDEyM0BtYWlsPg==",
                        "DATA" => {
                            data = Some(String::new());
                            "354 go on"
                        }
                        "QUIT" => "221 bye",
                        "STARTTLS" => "220 go on",
                        "MAIL" | "RCPT" | "." | "HELO" => "250 ok",
                        _ => "235 ok",
                    };
                    let said = answer(number, &line).unwrap_or(usual);
                    if !said.starts_with('3') {
                        data = None;
                    }
                    if said.is_empty() || stream.write_all(format!("{said}\r\n").as_bytes()).await.is_err() {
                        return;
                    }
                    if let ("STARTTLS", Some(handshake)) = (line.as_str(), &handshake) {
                        let Some(secret) = handshake(stream).await else { return };
                        stream = secret;
                    }
                }
            }
        });
        server
    }

    fn talk(&self) -> Vec<String> {
        self.talk.lock().unwrap().clone()
    }

    pub(crate) fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

pub(crate) fn email(more: serde_json::Value) -> Vec<ReceiverConfig> {
    let mut config = json!({
        "to": "Ops <ops@example.org>, night@example.org", "from": "Wächter <bell@example.org>",
        "smarthost": "mail:25", "require_tls": false, "hello": "bell.example.org",
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    receivers(json!([{"name": "oncall", "email_configs": [config]}]))
}

#[test]
fn a_mail_arrives_once_and_reads_well() {
    sim::run(1, |world| async move {
        let server = Server::at(&world, 25, |_, _| None);
        let (process, _) = Process::memory(&world, email(json!({})));
        let page = firing("imap", world.clock.now());
        process.deliver(page.clone()).await;
        process.deliver(page).await;
        assert!(process.settle(minutes(1)).await);
        process.deliver(resolved("imap", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        let mails = server.mails();
        assert_eq!(mails.len(), 2);
        expect![[r#"
            EHLO bell.example.org
            MAIL FROM:<bell@example.org>
            RCPT TO:<ops@example.org>
            RCPT TO:<night@example.org>
            DATA
            QUIT
            EHLO bell.example.org
            MAIL FROM:<bell@example.org>
            RCPT TO:<ops@example.org>
            RCPT TO:<night@example.org>
            DATA
            QUIT"#]]
        .assert_eq(&server.talk().join("\n"));
        let head = |mail: &str| mail.split("\n\n").next().unwrap().to_owned();
        expect![[r#"
            Date: Mon, 05 Jan 2026 00:00:00 +0000
            From: =?utf-8?B?V8OkY2h0ZXI=?= <bell@example.org>
            To: "Ops" <ops@example.org>,
             night@example.org
            Subject: [CRITICAL] imap is down
            Auto-Submitted: auto-generated
            X-Priority: 1 (Highest)
            In-Reply-To: <alert-fc5826a750664c649de9aa08c938767e@example.org>
            References: <alert-fc5826a750664c649de9aa08c938767e@example.org>
            MIME-Version: 1.0
            Content-Type: multipart/alternative;
             boundary="=_watchbell_fc5826a750664c649de9aa08c938767e"
            Message-ID: <a341c5cdef14d839c57196924a081599@example.org>

            --=_watchbell_fc5826a750664c649de9aa08c938767e
            Content-Type: text/plain; charset=utf-8
            Content-Transfer-Encoding: quoted-printable

            The TLS handshake fails: connection refused.
            Since 2026-01-04 23:58 UTC, for 2 minutes.
            Where: monitor/imap

            Run book: https://bell.example.org/runbooks/imap-down
            Alarm: https://bell.example.org/alarms/monitor/imap

            --=_watchbell_fc5826a750664c649de9aa08c938767e
            Content-Type: text/html; charset=utf-8
            Content-Transfer-Encoding: quoted-printable

            <!DOCTYPE html>
            <html lang=3D"en">
            <head>
            <meta charset=3D"utf-8">
            <meta name=3D"viewport" content=3D"width=3Ddevice-width, initial-scale=3D1"=
            >
            <title>[CRITICAL] imap is down</title>
            </head>
            <body style=3D"margin:0;padding:12px;background:#f4f4f5;color:#18181b;font:=
            16px/1.5 -apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif">
            <div style=3D"display:none;max-height:0;overflow:hidden">The TLS handshake =
            fails: connection refused. Since 2026-01-04 23:58 UTC, for 2 minutes. Where=
            : monitor/imap</div>
            <div style=3D"max-width:600px;margin:0 auto;background:#ffffff;border:1px s=
            olid #d4d4d8;border-radius:8px;overflow:hidden">
            <div style=3D"background:#b91c1c;color:#ffffff;padding:10px 16px;font-weigh=
            t:bold;letter-spacing:1px">CRITICAL</div>
            <div style=3D"padding:16px">
            <h1 style=3D"margin:0 0 12px;font-size:20px;line-height:1.3;overflow-wrap:a=
            nywhere">imap is down</h1>
            <p style=3D"margin:0 0 16px;overflow-wrap:anywhere">The TLS handshake fails=
            : connection refused.<br>
            Since 2026-01-04 23:58 UTC, for 2 minutes.<br>
            Where: monitor/imap</p>
            <p style=3D"margin:0 0 12px"><a href=3D"https://bell.example.org/runbooks/i=
            map-down" style=3D"display:inline-block;background:#b91c1c;color:#ffffff;pa=
            dding:12px 20px;border-radius:6px;text-decoration:none;font-weight:bold">Op=
            en the run book</a></p>
            <p style=3D"margin:0"><a href=3D"https://bell.example.org/alarms/monitor/im=
            ap" style=3D"color:#1d4ed8">Show the alarm</a></p>
            </div>
            </div>
            <p style=3D"max-width:600px;margin:12px auto;color:#71717a;font-size:13px">=
            Sent by watchbell, home</p>
            </body>
            </html>


            --=_watchbell_fc5826a750664c649de9aa08c938767e--
        "#]]
        .assert_eq(&mails[0]);
        expect![[r#"
            Date: Mon, 05 Jan 2026 00:00:00 +0000
            From: =?utf-8?B?V8OkY2h0ZXI=?= <bell@example.org>
            To: "Ops" <ops@example.org>,
             night@example.org
            Subject: RESOLVED: imap is down (after 12 minutes)
            Auto-Submitted: auto-generated
            X-Priority: 3 (Normal)
            In-Reply-To: <alert-fc5826a750664c649de9aa08c938767e@example.org>
            References: <alert-fc5826a750664c649de9aa08c938767e@example.org>
            MIME-Version: 1.0
            Content-Type: multipart/alternative;
             boundary="=_watchbell_fc5826a750664c649de9aa08c938767e"
            Message-ID: <6bfd9a6c7048bcd754204657d7b2e4c4@example.org>"#]]
        .assert_eq(&head(&mails[1]));
    });
}

#[test]
fn a_refusal_is_told_apart_from_an_outage() {
    let cases: [(&str, &str, bool); 16] = [
        ("", "554 go away", false),
        ("", "421 too busy", true),
        ("", "", true),
        ("", "nonsense", true),
        ("EHLO", "421 too busy", true),
        ("MAIL", "550 who are you", false),
        ("MAIL", "451 later", true),
        ("RCPT", "550 nobody", false),
        ("RCPT", "450 greylisted", true),
        ("RCPT", "552 too many", true),
        ("RCPT", "421 closing", true),
        ("DATA", "554 no", false),
        ("DATA", "451 later", true),
        (".", "554 spam", false),
        (".", "452 full", true),
        (".", "", true),
    ];
    for (command, said, again) in cases {
        sim::run(1, |world| async move {
            let server = Server::at(&world, 25, move |number, line| {
                (number == 0 && line.split(' ').next() == Some(command)).then_some(said)
            });
            let (process, _) = Process::memory(&world, email(json!({})));
            process.deliver(firing("imap", world.clock.now())).await;
            assert!(process.settle(minutes(10)).await, "{command} {said}");
            let delivered = usize::from(again);
            let mails = server.mails();
            if command == "." {
                assert_eq!(mails.len(), 1 + delivered, "{command} {said}");
                assert!(!again || mails[0] == mails[1], "{command} {said}: byte-equal");
            } else {
                assert_eq!(mails.len(), delivered, "{command} {said}");
            }
            assert_eq!(process.troubles().len(), 1 - delivered, "{command} {said}: {:?}", process.troubles());
        });
    }
}

#[test]
fn one_recipient_that_is_refused_loses_nothing_for_the_others() {
    sim::run(1, |world| async move {
        let server = Server::at(&world, 25, |_, line| line.contains("<ops@").then_some("550 5.1.1 no such user"));
        let (process, _) = Process::memory(&world, email(json!({})));
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(10)).await);
        assert_eq!((server.mails().len(), process.troubles().len()), (1, 0));
        let said = process.notify.deliveries(1).unwrap().remove(0).said;
        assert_eq!(said, "250 ok; refused: ops@example.org: 550 5.1.1 no such user");
    });
}

#[test]
fn one_recipient_that_is_put_off_is_tried_again_alone() {
    sim::run(1, |world| async move {
        let server = Server::at(&world, 25, |number, line| {
            (number < 2 && line.contains("<ops@")).then_some("450 4.2.0 greylisted")
        });
        let (process, _) = Process::memory(&world, email(json!({})));
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(10)).await);
        assert_eq!((server.mails().len(), process.troubles().len()), (2, 0));
        let asked: Vec<String> = server.talk().into_iter().filter(|line| line.starts_with("RCPT")).collect();
        assert_eq!(
            asked,
            [
                "RCPT TO:<ops@example.org>",
                "RCPT TO:<night@example.org>",
                "RCPT TO:<ops@example.org>",
                "RCPT TO:<ops@example.org>",
            ]
        );
    });
}

#[test]
fn it_signs_in_as_the_server_offers() {
    let plain = base64::engine::general_purpose::STANDARD.encode("\0bell\0hush-pass");
    let cases = [
        (json!({"auth_password": "hush-pass"}), None, vec![format!("AUTH PLAIN {plain}")]),
        (
            json!({"auth_password": "hush-pass"}),
            Some("250-mail\r\n250 AUTH LOGIN"),
            vec!["AUTH LOGIN".to_owned(), "YmVsbA==".into(), "aHVzaC1wYXNz".into()],
        ),
        (
            json!({"auth_secret": "tanstaaftanstaaf"}),
            None,
            vec!["AUTH CRAM-MD5".to_owned(), "YmVsbCBiZjRhOGY4ZjVjYjRhYzMyOWNmM2E3ODFmN2FhOTAzMQ==".into()],
        ),
    ];
    for (more, offers, wanted) in cases {
        sim::run(1, |world| async move {
            let server = Server::at(&world, 25, move |_, line| match line {
                "YmVsbA==" => Some("334 UGFzc3dvcmQ6"),
                _ if line.starts_with("EHLO") => offers,
                _ => None,
            });
            let mut more = more;
            more["auth_username"] = "bell".into();
            let (process, _) = Process::memory(&world, email(more));
            process.deliver(firing("imap", world.clock.now())).await;
            assert!(process.settle(minutes(1)).await);
            let talk = server.talk();
            for (line, wanted) in talk[1..].iter().zip(&wanted) {
                assert!(line == wanted, "{talk:?}");
            }
            assert_eq!(server.mails().len(), 1);
        });
    }
}

#[test]
fn a_password_is_seen_nowhere() {
    sim::run(1, |world| async move {
        Server::at(&world, 25, |_, line| line.starts_with("AUTH").then_some("535 5.7.8 hush-pass is wrong"));
        let (process, _) =
            Process::memory(&world, email(json!({"auth_username": "bell", "auth_password": "hush-pass"})));
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        let kept =
            format!("{:?}{:?}{:?}", process.notify.deliveries(10), process.notify.channels(), process.troubles());
        assert!(!kept.contains("hush") && kept.contains("AUTH PLAIN was answered with 535"), "{kept}");
    });
}

#[test]
fn nothing_goes_in_clear_text_where_tls_is_required() {
    sim::run(1, |world| async move {
        let server = Server::at(&world, 25, |_, line| line.starts_with("EHLO").then_some("250 mail"));
        let (process, _) = Process::memory(&world, email(json!({"require_tls": null})));
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(!process.settle(minutes(1)).await);
        assert!(server.talk().iter().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{:?}", server.talk());
        let said = process.notify.deliveries(1).unwrap().remove(0).said;
        assert_eq!(said, "mail does not offer STARTTLS, and `require_tls` asks for it");
    });
}

#[test]
fn it_goes_encrypted_by_starttls_or_from_the_first_byte() {
    for (port, starts) in [(25, true), (465, false)] {
        sim::run(1, |world| async move {
            let server = Server::secure(&world, port, Some(handshake(&world)), |_, _| None);
            let config = json!({"require_tls": true, "smarthost": format!("mail:{port}"), "auth_username": "bell",
                "auth_password": "hush-pass"});
            let (process, _) = Process::memory(&world, email(config));
            process.deliver(firing("imap", world.clock.now())).await;
            assert!(process.settle(minutes(1)).await, "{:?}", process.notify.deliveries(1));
            let talk: Vec<String> =
                server.talk().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
            let wanted = ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"];
            assert_eq!(talk, wanted[if starts { 0 } else { 2 }..], "{port}");
        });
    }
}

#[test]
fn a_certificate_that_is_not_trusted_gets_no_password() {
    sim::run(1, |world| async move {
        let server = Server::secure(&world, 25, Some(handshake(&world)), |_, _| None);
        world.net.trust(&Authority::new().pem());
        let (process, _) = Process::memory(
            &world,
            email(json!({"require_tls": true, "auth_username": "bell", "auth_password": "hush-pass"})),
        );
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(!process.settle(minutes(1)).await);
        assert!(server.talk().iter().all(|line| line.starts_with("EHLO") || line == "STARTTLS"), "{:?}", server.talk());
        let said = process.notify.deliveries(1).unwrap().remove(0).said;
        assert!(said.starts_with("the certificate of mail is not trusted: "), "{said}");
        // Whoever says that any certificate is good enough gets his mail.
        let (process, _) =
            Process::memory(&world, email(json!({"require_tls": true, "tls_config": {"insecure_skip_verify": true}})));
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        assert_eq!(server.mails().len(), 1);
    });
}

#[test]
fn a_server_that_hangs_or_says_too_much_is_left_in_time() {
    sim::run(1, |world| async move {
        world.net.serve("mail", 25, |mut stream| async move {
            let _ = stream.write_all(&b"220-x\r\n".repeat(1000)).await;
            std::future::pending::<()>().await;
        });
        world.net.serve("mail", 26, |stream| async move {
            let _held = stream;
            std::future::pending::<()>().await;
        });
        for (port, words) in
            [(25, "the answer to the greeting has more than 100 lines"), (26, "mail did not take the mail within 30 s")]
        {
            let (process, _) = Process::memory(&world, email(json!({"smarthost": format!("mail:{port}")})));
            process.deliver(firing("imap", world.clock.now())).await;
            assert!(!process.settle(minutes(1)).await);
            let deliveries = process.notify.deliveries(10).unwrap();
            assert_eq!(deliveries.last().unwrap().said, words);
        }
    });
}

#[test]
fn long_and_odd_text_stays_a_mail() {
    sim::run(1, |world| async move {
        let server = Server::at(&world, 25, |_, _| None);
        let own = json!({
            "headers": {"subject": "{{ .CommonAnnotations.summary }}", "X-Team": "Mäil", "Bcc": "x@example.org"},
            "html": "<b>{{ .CommonAnnotations.description }}</b>", "text": ".\n.{{ .Title }}",
        });
        let (process, _) = Process::memory(&world, email(own));
        let now = world.clock.now();
        let mut long = alert("imap", "critical", now);
        long.annotations = Labels::from_pairs([
            ("summary", "<grün> & 👩‍🚒 \u{202e}\r\nX-Evil: 1 ".repeat(200)),
            ("description", "Ünï \"quoted\" <script> & more.\n.\n".repeat(400)),
        ]);
        process.deliver(group("long", 1, vec![long], now)).await;
        assert!(process.settle(minutes(1)).await);
        let mail = server.mails().remove(0);
        assert!(mail.is_ascii() && mail.lines().all(|line| line.len() < 200), "{mail}");
        assert!(!mail.contains("\nX-Evil") && !mail.contains("\nBcc"), "{mail}");
        assert!(mail.contains("X-Team: =?utf-8?B?TcOkaWw=?=") && mail.contains("&lt;script&gt;"), "{mail}");
        assert!(mail.replace("=\n", "").contains("runbooks/"), "{mail}");
    });
}

#[test]
fn what_is_said_for_all_mail_is_taken_over() {
    let mut one = receivers(json!([{"name": "a", "email_configs": [{"to": "ops@example.org"}]}]));
    let defaults = serde_json::from_value(json!({
        "smtp_from": "bell@example.org", "smtp_smarthost": "mail:465", "smtp_hello": "bell", "smtp_auth_username": "u",
        "smtp_auth_password_file": "mail.password",
    }))
    .unwrap();
    one[0].complete(&defaults, std::path::Path::new("/etc/watchbell"));
    let mut problems = Problems::new();
    ReceiverConfig::check_all(&one, &Templates::default(), &Path::root(), &mut problems);
    assert_eq!(problems.0.len(), 0, "{problems:?}");
    let shown = format!("{:?}", one[0].email_configs[0]);
    assert!(shown.contains("mail.password") && shown.contains("mail:465"), "{shown}");
}

#[test]
fn a_wrong_configuration_says_what_would_be_right() {
    let configs = json!([{"name": "a", "email_configs": [
        {"to": "ops", "smarthost": "mail", "hello": "a b", "auth_password": "p", "auth_password_file": "f",
         "headers": {"Subject": "{{ if }}", "subject": "", "a b": ""}},
        {"to": "", "from": "a@x, b@x", "smarthost": "mail:25", "html": "{{ nosuch }}",
         "threading": {"enabled": true, "thread_by_date": "daily"}, "headers": {"References": "x"},
         "tls_config": {"ca": "x", "ca_file": "y"}, "timeout": "1h"},
    ]}]);
    let mut problems = Problems::new();
    ReceiverConfig::check_all(&receivers(configs), &Templates::default(), &Path::root(), &mut problems);
    let lines =
        problems.0.iter().map(|it| format!("{}: {} | {}\n", it.path, it.message, it.hint.as_deref().unwrap_or("")));
    expect![[r#"
        [0].email_configs[0]: the field `from` is missing | give it here, or `smtp_from` for all mail, such as `watchbell@example.org`
        [0].email_configs[0].to: `ops` is not an address | such as `Ops <ops@example.org>`
        [0].email_configs[0].smarthost: `mail` is not a server | `HOST:PORT`, such as `mail.example.org:587`
        [0].email_configs[0].hello: `a b` is not a name | this host's name
        [0].email_configs[0]: there are both `auth_password` and `auth_password_file` | at most one of them is needed
        [0].email_configs[0].headers.Subject: the template is wrong: a value was expected here (line 1, column 4) | leave it out for words that say what, since when and how many more
        [0].email_configs[0].headers.a b: `a b` is not a header's name | such as `Reply-To`
        [0].email_configs[0].headers.subject: the header is there twice | upper and lower case are the same here
        [0].email_configs[1].to: it is empty | give at least one address
        [0].email_configs[1].from: there is more than one sender | give one address
        [0].email_configs[1].tls_config: there are both `ca` and `ca_file` | at most one of them is needed
        [0].email_configs[1].headers: `References` is what `threading` writes | leave one of the two out
        [0].email_configs[1].html: the template is wrong: there is no function `nosuch` (line 1, column 4) | leave it out for words that say what, since when and how many more
        [0].email_configs[1].timeout: a try cannot take 1h | it is at most 2m; `10s` is usual
    "#]].assert_eq(&lines.collect::<String>());
}
