//! Mail in, answers and pings out.

use expect_test::{Expect, expect};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use watchbell_model::{PingKind, Problems};
use watchbell_runtime::sim::{self, World};
use watchbell_runtime::tls::TlsOptions;

use super::*;
use crate::bench::{Bench, bench};
use crate::heartbeat::PingRecord;

const UUID: &str = "5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f";

fn config(more: serde_json::Value) -> PingMailConfig {
    let mut config = serde_json::json!({"listen": "127.0.0.1:25", "hostname": "watch.example"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

/// Takes mail for two heartbeats; one of them looks for words.
async fn start(world: &World, bench: &Bench, config: &PingMailConfig) -> Heartbeats {
    let heartbeats = Heartbeats::open(bench.context.clone(), Some(Secret::new("key"))).await.unwrap();
    let set = serde_json::json!([
        {"name": "backup", "uuid": UUID},
        {"name": "db", "keywords": {"failure": ["FAILED"], "success": ["OK"], "start": ["begin"]}},
    ]);
    heartbeats.apply(&serde_json::from_value::<Vec<_>>(set).unwrap()).await.unwrap();
    bench.context.runtime.supervisor.spawn("mail", heartbeats.mail_task(config));
    world.clock.sleep(Duration::from_millis(10)).await;
    heartbeats
}

/// A client that says what it sends and what comes back.
struct Client {
    world: World,
    stream: Stream,
    said: String,
}

impl Client {
    async fn new(world: &World) -> Client {
        let stream = world.runtime().net.connect("127.0.0.1", 25).await.unwrap().stream;
        let mut client = Client { world: world.clone(), stream, said: String::new() };
        client.hear().await;
        client
    }

    /// Sends this as it is, and waits for what comes.
    async fn send(&mut self, text: &str) -> &mut Client {
        for line in text.lines().take(20) {
            self.said += &format!("> {}\n", line.chars().take(60).collect::<String>());
        }
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.hear().await;
        self
    }

    async fn hear(&mut self) {
        let mut bytes = vec![0; 4096];
        match self.world.clock.timeout(Duration::from_secs(1), self.stream.read(&mut bytes)).await {
            Err(_) => {}
            Ok(Ok(0) | Err(_)) => self.said += "(closed)\n",
            Ok(Ok(length)) => self.said += &String::from_utf8_lossy(&bytes[..length]).replace('\r', ""),
        }
    }
}

fn check(config: PingMailConfig, lines: &'static [&'static str], expected: Expect) {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let _heartbeats = start(&world, &bench, &config).await;
        let mut client = Client::new(&world).await;
        for line in lines {
            client.send(&format!("{line}\r\n")).await;
        }
        expected.assert_eq(&client.said);
    });
}

fn shown(pings: Vec<PingRecord>) -> String {
    let one = |it: &PingRecord| {
        let body = String::from_utf8_lossy(&it.body).replace("\r\n", "|");
        format!("{:?} {} {} {} {body}\n", it.kind, it.scheme, it.remote, it.user_agent)
    };
    pings.iter().rev().map(one).collect()
}

#[test]
fn a_mail_is_a_ping() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let heartbeats = start(&world, &bench, &config(serde_json::json!({}))).await;
        let mut client = Client::new(&world).await;
        client.send("EHLO db1\r\n").await;
        client.send("MAIL FROM:<cron@db1> SIZE=50 BODY=8BITMIME\r\n").await;
        client.send(&format!("RCPT TO:<@relay:{}@anywhere>\r\n", UUID.to_uppercase())).await;
        client.send("rcpt to: <key+db@x>\r\n").await;
        client.send("DATA\r\n").await;
        client.send("Subject: Backup OK\r\n\r\n..dots\r\n.\n.\r\nlast\r\n").await;
        client.send(".\r\nMAIL FROM:<>\r\nRCPT TO:<key+db@x>\r\nDATA\r\n").await;
        client.hear().await;
        client.send("Subject: x\r\n\r\nit FAILED\r\n.\r\nQUIT\r\n").await;
        client.hear().await;
        client.hear().await;
        expect![[r#"
            220 watch.example ESMTP watchbell
            > EHLO db1
            250-watch.example
            250-SIZE 1048576
            250-8BITMIME
            250-PIPELINING
            250 ENHANCEDSTATUSCODES
            > MAIL FROM:<cron@db1> SIZE=50 BODY=8BITMIME
            250 2.1.0 OK
            > RCPT TO:<@relay:5F1C1D3E-8F4E-4B2A-9D6F-0A1B2C3D4E5F@anywher
            250 2.1.5 OK
            > rcpt to: <key+db@x>
            250 2.1.5 OK
            > DATA
            354 end with a dot on a line of its own
            > Subject: Backup OK
            > 
            > ..dots
            > .
            > .
            > last
            > .
            > MAIL FROM:<>
            > RCPT TO:<key+db@x>
            > DATA
            250 2.0.0 kept
            250 2.1.0 OK
            250 2.1.5 OK
            354 end with a dot on a line of its own
            > Subject: x
            > 
            > it FAILED
            > .
            > QUIT
            250 2.0.0 kept
            221 2.0.0 watch.example ends
            (closed)
            (closed)
        "#]]
        .assert_eq(&client.said);
        expect![[r#"
            Success email 127.0.0.1 Email from cron@db1 Subject: Backup OK||.dots|
            .|last|
        "#]]
        .assert_eq(&shown(heartbeats.pings("backup", 9).unwrap()));
        expect![[r#"
            Success email 127.0.0.1 Email from cron@db1 Subject: Backup OK||.dots|
            .|last|
            Fail email 127.0.0.1 Email from  Subject: x||it FAILED|
        "#]]
        .assert_eq(&shown(heartbeats.pings("db", 9).unwrap()));
    });
}

#[test]
fn mail_goes_nowhere_else() {
    check(
        config(serde_json::json!({"domains": ["ping.example.org"], "size_max": "1000B"})),
        &[
            "RCPT TO:<a@b>",
            "MAIL FROM:<a@b>",
            "HELO x",
            "DATA",
            "MAIL FROM:a@b",
            "MAIL FROM:<a@b> SIZE=1001",
            "MAIL FROM:<a@b>",
            "MAIL FROM:<a@b>",
            "RCPT TO:<somebody@example.com>",
            "RCPT TO:<5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f@example.com>",
            "RCPT TO:<5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f@Ping.example.org>",
        ],
        expect![[r#"
            220 watch.example ESMTP watchbell
            > RCPT TO:<a@b>
            503 5.5.1 say MAIL first
            > MAIL FROM:<a@b>
            503 5.5.1 say EHLO first
            > HELO x
            250 watch.example
            > DATA
            503 5.5.1 nobody is to have it
            > MAIL FROM:a@b
            501 5.5.4 as `MAIL FROM:<address>`
            > MAIL FROM:<a@b> SIZE=1001
            552 5.3.4 a mail has 1000 bytes at most
            > MAIL FROM:<a@b>
            250 2.1.0 OK
            > MAIL FROM:<a@b>
            503 5.5.1 one mail at a time
            > RCPT TO:<somebody@example.com>
            550 5.1.1 there is no such heartbeat here, and mail goes nowhere else
            > RCPT TO:<5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f@example.com>
            550 5.1.1 there is no such heartbeat here, and mail goes nowhere else
            > RCPT TO:<5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f@Ping.example.o
            250 2.1.5 OK
        "#]],
    );
    check(
        config(serde_json::json!({})),
        &["EHLO x", "STARTTLS", "AUTH PLAIN", "NOOP", "VRFY root", "RSET", "what", "QUIT"],
        expect![[r#"
            220 watch.example ESMTP watchbell
            > EHLO x
            250-watch.example
            250-SIZE 1048576
            250-8BITMIME
            250-PIPELINING
            250 ENHANCEDSTATUSCODES
            > STARTTLS
            502 5.5.1 that is not done here
            > AUTH PLAIN
            502 5.5.1 that is not done here
            > NOOP
            250 2.0.0 OK
            > VRFY root
            252 2.1.5 send it and see
            > RSET
            250 2.0.0 OK
            > what
            500 5.5.2 no such command
            > QUIT
            221 2.0.0 watch.example ends
        "#]],
    );
}

#[test]
fn nobody_takes_more_than_there_is() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let config = config(serde_json::json!({"size_max": "1000B", "per_minute": 2}));
        let heartbeats = start(&world, &bench, &config).await;
        let mut said = String::new();
        let to = format!("RCPT TO:<{UUID}@x>\r\nDATA\r\n");
        for text in [
            "x".repeat(3000),
            "EHLO x\r\nMAIL FROM:<a@b>\r\n".to_owned() + &to + &"x".repeat(2000),
            // What ends no mail: only lines as the standard has them count.
            "EHLO x\r\nMAIL FROM:<a@b>\r\n".to_owned() + &to + "a\n.\nMAIL FROM:<c@d>\r\n.\r\nMAIL FROM:<e@f>\r\n",
        ] {
            let mut client = Client::new(&world).await;
            client.send(&text).await;
            for _ in 0..5 {
                client.hear().await;
            }
            let answers: Vec<&str> = client.said.lines().filter(|it| !it.starts_with(['>', '('])).collect();
            said += &(answers[answers.len().saturating_sub(3)..].join(" | ") + "\n");
        }
        // A client that says nothing, or a little at a time, is sent away.
        let mut silent = Client::new(&world).await;
        let mut slow = Client::new(&world).await;
        world.clock.sleep(SILENCE_MAX).await;
        silent.hear().await;
        for _ in 0..100 {
            if slow.stream.write_all(b"NOOP\r\n").await.is_err() {
                break;
            }
            world.clock.sleep(Duration::from_secs(10)).await;
        }
        slow.hear().await;
        said += &silent.said;
        let answers = slow.said.matches("250 ").count();
        assert!((26..=29).contains(&answers), "{answers} answers in five minutes");
        let mut many = Vec::new();
        for _ in 0..=CONNECTIONS_OF_CLIENT_MAX {
            many.push(Client::new(&world).await);
        }
        said += &many.pop().unwrap().said;
        expect![[r#"
            220 watch.example ESMTP watchbell | 500 5.5.2 the line is too long
            250 2.1.5 OK | 354 end with a dot on a line of its own | 552 5.3.4 the mail is too long
            354 end with a dot on a line of its own | 250 2.0.0 kept | 421 4.7.0 too many mails, come again later
            220 watch.example ESMTP watchbell
            (closed)
            421 4.7.0 too many connections
        "#]]
        .assert_eq(&said);
        expect![[r#"
            Success email 127.0.0.1 Email from a@b a
            .
            MAIL FROM:<c@d>|
        "#]]
        .assert_eq(&shown(heartbeats.pings("backup", 9).unwrap()));
    });
}

#[test]
fn what_cannot_be_kept_comes_again() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let heartbeats = start(&world, &bench, &config(serde_json::json!({}))).await;
        let mut client = Client::new(&world).await;
        client.send("HELO x\r\n").await;
        for is_broken in [true, false] {
            bench.state.set_broken(is_broken);
            client.send("MAIL FROM:<a@b>\r\n").await;
            client.send(&format!("RCPT TO:<{UUID}@x>\r\n")).await;
            client.send("DATA\r\n").await;
            client.said.clear();
            client.send(".\r\n").await;
            let kept = if is_broken { "451 4.3.0 not kept, try again" } else { "250 2.0.0 kept" };
            assert_eq!(client.said, format!("> .\n{kept}\n"));
            assert_eq!(heartbeats.pings("backup", 9).unwrap().len(), usize::from(!is_broken));
        }
        let counted = bench.context.runtime.metrics.render();
        assert!(counted.contains("watchbell_ping_mails_total{outcome=\"failed\"} 1"), "{counted}");
    });
}

#[test]
fn it_goes_on_in_secret() {
    sim::run(1, |world| async move {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["watch.example".to_owned()]).unwrap();
        world.disk.put(std::path::Path::new("/cert.pem"), cert.pem().as_bytes());
        world.disk.put(std::path::Path::new("/key.pem"), signing_key.serialize_pem().as_bytes());
        let bench = bench(&world);
        let config = config(serde_json::json!({"cert_file": "/cert.pem", "key_file": "/key.pem"}));
        let heartbeats = start(&world, &bench, &config).await;
        let mut sly = Client::new(&world).await;
        sly.send("EHLO x\r\n").await.send("STARTTLS\r\nEHLO y\r\n").await;
        let mut client = Client::new(&world).await;
        client.send("EHLO x\r\n").await.send("STARTTLS\r\n").await;
        let options = TlsOptions { roots_pem: Some(cert.pem().into_bytes()), ..TlsOptions::default() };
        let (secret, report) = tls::connect(&world.runtime(), client.stream, "watch.example", &options).await.unwrap();
        assert_eq!(report.verified, Ok(()));
        client.stream = secret;
        for line in ["MAIL FROM:<a@b>", "EHLO x", "STARTTLS", "MAIL FROM:<a@b>", "RCPT TO:<key+backup@x>", "DATA", "."]
        {
            client.send(&format!("{line}\r\n")).await;
        }
        expect![[r#"
            220 watch.example ESMTP watchbell
            > EHLO x
            250-watch.example
            250-SIZE 1048576
            250-8BITMIME
            250-PIPELINING
            250-STARTTLS
            250 ENHANCEDSTATUSCODES
            > STARTTLS
            > EHLO y
            501 5.5.1 nothing may follow STARTTLS

            220 watch.example ESMTP watchbell
            > EHLO x
            250-watch.example
            250-SIZE 1048576
            250-8BITMIME
            250-PIPELINING
            250-STARTTLS
            250 ENHANCEDSTATUSCODES
            > STARTTLS
            220 2.0.0 go ahead
            > MAIL FROM:<a@b>
            503 5.5.1 say EHLO first
            > EHLO x
            250-watch.example
            250-SIZE 1048576
            250-8BITMIME
            250-PIPELINING
            250 ENHANCEDSTATUSCODES
            > STARTTLS
            502 5.5.1 that is not done here
            > MAIL FROM:<a@b>
            250 2.1.0 OK
            > RCPT TO:<key+backup@x>
            250 2.1.5 OK
            > DATA
            354 end with a dot on a line of its own
            > .
            250 2.0.0 kept
        "#]]
        .assert_eq(&format!("{}\n{}", sly.said, client.said));
        assert_eq!(heartbeats.pings("backup", 9).unwrap()[0].kind, PingKind::Success);
    });
}

#[test]
fn every_problem_is_named() {
    let config: PingMailConfig = serde_json::from_value(serde_json::json!({
        "listen": "25", "hostname": "a b", "cert_file": "c", "size_max": "11MB", "per_minute": 0,
    }))
    .unwrap();
    let mut problems = Problems::new();
    config.check(&Path::root().field("ping_mail"), &mut problems);
    let said: Vec<String> =
        problems.0.iter().map(|it| format!("{}: {}; {}", it.path, it.message, it.hint.as_deref().unwrap())).collect();
    expect![[r#"
        ping_mail.listen: `25` is not an address to listen on; an IP address and a port, such as `0.0.0.0:25`
        ping_mail.hostname: `a b` is not the name of a host; such as `watch.example.org`
        ping_mail: there is only one of `cert_file` and `key_file`; STARTTLS needs both
        ping_mail.size_max: 11534336 bytes are not a usable bound; above 0, at most `10MB`
        ping_mail.per_minute: nobody could bring a mail; the default is 120"#]]
    .assert_eq(&said.join("\n"));
}
