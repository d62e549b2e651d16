//! Seed 000's tables in simulated time: every monitor down, every job silent, every severity, each with its page.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use watchbell_model::Timestamp;
use watchbell_runtime::sim::{self, World};
use watchbell_sim::{Authority, MailServer, Protocol, Received, Receiver};
use watchbell_sources::heartbeat::PingRequest;

use crate::world::{Sim, far, receiver};

const FILES: &[(&str, &str)] = &[
    ("watchbell.yml", include_str!("../../../../testdata/seeds/cabalmail/watchbell.yml")),
    ("rules/alerts.yml", include_str!("../../../../testdata/seeds/cabalmail/rules/alerts.yml")),
];

macro_rules! runbooks {
    ($($name:literal),*) => {
        &[$((concat!("runbooks/", $name, ".md"),
             include_str!(concat!("../../../../testdata/seeds/cabalmail/runbooks/", $name, ".md")))),*]
    };
}

const RUNBOOKS: &[(&str, &str)] = runbooks!(
    "admin-app-down",
    "api-down",
    "cert-expiring",
    "heartbeat-aws-backup",
    "heartbeat-certbot-renewal",
    "heartbeat-cognito-user-sync",
    "heartbeat-dmarc-ingest",
    "heartbeat-ecs-reconfigure",
    "heartbeat-quarterly-review",
    "imap-auth-failure-spike",
    "imap-down",
    "ntfy-down",
    "sendmail-bounced-spike",
    "sendmail-deferred-spike",
    "smtp-relay-down",
    "submission-down"
);

/// The hosts of the seed and the two receivers of its pages.
struct Cabalmail {
    world: World,
    authority: Authority,
    pushover: Receiver,
    ntfy: Receiver,
    /// What the exporter says: deferred, bounced, failed sign-ins of the last minute.
    sums: Arc<[AtomicU64; 3]>,
    admin_ends: Arc<Mutex<Arc<rustls::ServerConfig>>>,
}

const DAY: u64 = 86_400;

impl Cabalmail {
    fn new(world: &mut World) -> (Cabalmail, Sim) {
        for (name, value) in [
            ("CABAL_ALERT_SINK_SECRET", "sink-secret-0123456789"),
            ("CABAL_PUSHOVER_USER_KEY", "user-key"),
            ("CABAL_PUSHOVER_APP_TOKEN", "app-token"),
            ("CABAL_NTFY_PUBLISHER_TOKEN", "tk_publisher"),
            ("CABAL_LIST_JWT", "jwt"),
        ] {
            world.environment.insert(name.into(), value.into());
        }
        let authority = Authority::new();
        world.net.trust(&authority.pem());
        let sums = Arc::new([const { AtomicU64::new(0) }; 3]);
        let admin = authority.server(&["admin.cabal.example"], far(world));
        let cabal = Cabalmail {
            world: world.clone(),
            pushover: receiver(world, "pushover.example", 443, Some(&authority)),
            ntfy: receiver(world, "ntfy.cabal.example", 443, Some(&authority)),
            sums,
            admin_ends: Arc::new(Mutex::new(admin)),
            authority,
        };
        for (host, port) in SERVICES {
            cabal.up(host, *port);
        }
        let files: Vec<(&str, &str)> = FILES.iter().chain(RUNBOOKS).copied().collect();
        (cabal, Sim::new(world.clone(), &files))
    }

    /// The service answers.
    fn up(&self, host: &str, port: u16) {
        let certificate = self.authority.server(&[host], far(&self.world));
        let protocol = match port {
            993 => Protocol::Imaps,
            25 | 587 => Protocol::Smtp,
            465 => Protocol::Smtps,
            443 => {
                let ends = Arc::clone(&self.admin_ends);
                self.world.net.serve(host, port, move |stream| {
                    let certificate = Arc::clone(&ends.lock().unwrap());
                    async move {
                        if let Some(stream) = watchbell_sim::tls(&certificate, stream).await {
                            answer(stream, "healthy".into()).await;
                        }
                    }
                });
                return;
            }
            _ => {
                let sums = Arc::clone(&self.sums);
                self.world.net.serve(host, port, move |stream| {
                    let value = |at: usize| sums[at].load(Ordering::SeqCst);
                    let text = format!(
                        "aws_cabalmail_logs_sendmail_deferred_sum {}\naws_cabalmail_logs_sendmail_bounced_sum {}\n\
                         aws_cabalmail_logs_imapauth_failures_sum {}\n",
                        value(0),
                        value(1),
                        value(2)
                    );
                    answer(stream, text)
                });
                return;
            }
        };
        let server = MailServer::new(protocol, Some(certificate));
        self.world.net.serve(host, port, move |stream| {
            let server = server.clone();
            async move { server.serve(stream).await }
        });
    }

    fn down(&self, host: &str, port: u16) {
        self.world.net.refuse(host, port);
    }

    /// Pages since `from`, in words: channel, priority, title, run book.
    fn told(&self, from: Timestamp) -> String {
        let mut all: Vec<(Timestamp, String)> = Vec::new();
        let since = |page: &Received| page.at >= from && page.method == "POST";
        for page in self.pushover.received().iter().filter(|page| since(page)) {
            let field = |name: &str| {
                let found = page.body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
                unescape(found.unwrap_or("-"))
            };
            all.push((
                page.at,
                format!("pushover {}: {} [{}]", field("priority"), field("title"), book(&field("url"))),
            ));
        }
        for page in self.ntfy.received().iter().filter(|page| since(page)) {
            let (priority, title, click) = ntfy(page);
            all.push((page.at, format!("ntfy {priority}: {title} [{}]", book(&click))));
        }
        all.sort();
        let mut text = String::new();
        for (at, words) in all {
            let _ = writeln!(text, "+{}s {words}", at.since(from).as_secs());
        }
        text
    }
}

const SERVICES: &[(&str, u16)] = &[
    ("imap.cabal.example", 993),
    ("smtp-in.cabal.example", 25),
    ("smtp-out.cabal.example", 587),
    ("smtp-out.cabal.example", 465),
    ("admin.cabal.example", 443),
    ("cloudwatch-exporter.cabal.example", 9106),
];

/// Priority, title and click address of a page published to ntfy, by headers or as JSON.
fn ntfy(page: &Received) -> (String, String, String) {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(&page.body) {
        let text = |name: &str| json[name].as_str().map_or_else(|| json[name].to_string(), str::to_owned);
        return (text("priority"), text("title"), text("click"));
    }
    let header =
        |name: &str| page.headers.get(name).or(page.headers.get(&format!("x-{name}"))).cloned().unwrap_or_default();
    (header("priority"), header("title"), header("click"))
}

/// The run book's name in its address.
fn book(url: &str) -> String {
    url.split("/runbooks/").nth(1).unwrap_or("none").split('?').next().unwrap_or_default().to_owned()
}

fn unescape(text: &str) -> String {
    let bytes = text.replace('+', " ");
    let mut out = Vec::new();
    let mut rest = bytes.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%')
            .then(|| std::str::from_utf8(after.get(..2)?).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()));
        match hex.flatten() {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn answer(mut stream: watchbell_runtime::Stream, body: String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let text = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn ping_all(sim: &Sim) {
    for job in sim.app().heartbeats.all() {
        let request = PingRequest::from_path(&job.uuid, "").expect("it is an address");
        assert_eq!(sim.app().heartbeats.ping(request).await.status, 200);
    }
}

#[test]
fn the_monitor_table_pages_as_the_seed_says() {
    sim::run(1, |mut world| async move {
        let (cabal, mut sim) = Cabalmail::new(&mut world);
        sim.start().await;
        world.clock.sleep(Duration::from_secs(600)).await;
        assert_eq!(cabal.told(Timestamp::MIN), "", "all is well at first");
        let mut told = String::new();
        for (host, port) in &SERVICES[..5] {
            let from = world.clock.now();
            cabal.down(host, *port);
            world.clock.sleep(Duration::from_secs(900)).await;
            cabal.up(host, *port);
            world.clock.sleep(Duration::from_secs(900)).await;
            let _ = write!(told, "{host}:{port}\n{}", cabal.told(from));
        }
        sim.stop().await;
        expect_test::expect![[r#"
            imap.cabal.example:993
            +97s ntfy 5: [CRITICAL] IMAP TLS handshake is down: 10.0.0.3:993 refuses the connection: connection refused (3 of 3 probes failed, since 00:10 UTC) [imap-down]
            +97s pushover 1: [CRITICAL] IMAP TLS handshake is down: 10.0.0.3:993 refuses the connection: connection refused (3 of 3 probes failed, since 00:10 UTC) [imap-down]
            +997s ntfy 3: RESOLVED: IMAP TLS handshake is down: 10.0.0.3:993 refuses the connection: connection refused (3 of 3 probes failed, since 00:10 UTC) (after 14 minutes 20 seconds) [imap-down]
            +997s pushover 0: RESOLVED: IMAP TLS handshake is down: 10.0.0.3:993 refuses the connection: connection refused (3 of 3 probes failed, since 00:10 UTC) (after 14 minutes 20 seconds) [imap-down]
            smtp-in.cabal.example:25
            +80s ntfy 5: [CRITICAL] SMTP relay (STARTTLS) is down: 10.0.0.4:25 refuses the connection: connection refused (3 of 3 probes failed, since 00:40 UTC) [smtp-relay-down]
            +80s pushover 1: [CRITICAL] SMTP relay (STARTTLS) is down: 10.0.0.4:25 refuses the connection: connection refused (3 of 3 probes failed, since 00:40 UTC) [smtp-relay-down]
            +980s ntfy 3: RESOLVED: SMTP relay (STARTTLS) is down: 10.0.0.4:25 refuses the connection: connection refused (3 of 3 probes failed, since 00:40 UTC) (after 14 minutes 20 seconds) [smtp-relay-down]
            +980s pushover 0: RESOLVED: SMTP relay (STARTTLS) is down: 10.0.0.4:25 refuses the connection: connection refused (3 of 3 probes failed, since 00:40 UTC) (after 14 minutes 20 seconds) [smtp-relay-down]
            smtp-out.cabal.example:587
            +62s ntfy 5: [CRITICAL] Submission (STARTTLS) is down: 10.0.0.5:587 refuses the connection: connection refused (3 of 3 probes failed, since 01:10 UTC) [submission-down]
            +62s pushover 1: [CRITICAL] Submission (STARTTLS) is down: 10.0.0.5:587 refuses the connection: connection refused (3 of 3 probes failed, since 01:10 UTC) [submission-down]
            +962s ntfy 3: RESOLVED: Submission (STARTTLS) is down: 10.0.0.5:587 refuses the connection: connection refused (3 of 3 probes failed, since 01:10 UTC) (after 14 minutes 20 seconds) [submission-down]
            +962s pushover 0: RESOLVED: Submission (STARTTLS) is down: 10.0.0.5:587 refuses the connection: connection refused (3 of 3 probes failed, since 01:10 UTC) (after 14 minutes 20 seconds) [submission-down]
            smtp-out.cabal.example:465
            +94s ntfy 5: [CRITICAL] Submission (implicit TLS) is down: 10.0.0.5:465 refuses the connection: connection refused (3 of 3 probes failed, since 01:40 UTC) [submission-down]
            +94s pushover 1: [CRITICAL] Submission (implicit TLS) is down: 10.0.0.5:465 refuses the connection: connection refused (3 of 3 probes failed, since 01:40 UTC) [submission-down]
            +994s ntfy 3: RESOLVED: Submission (implicit TLS) is down: 10.0.0.5:465 refuses the connection: connection refused (3 of 3 probes failed, since 01:40 UTC) (after 14 minutes 20 seconds) [submission-down]
            +994s pushover 0: RESOLVED: Submission (implicit TLS) is down: 10.0.0.5:465 refuses the connection: connection refused (3 of 3 probes failed, since 01:40 UTC) (after 14 minutes 20 seconds) [submission-down]
            admin.cabal.example:443
            +86s ntfy 5: [CRITICAL] Admin app is down: 10.0.0.6:443 refuses the connection: connection refused (3 of 3 probes failed, since 02:10 UTC) [admin-app-down]
            +86s pushover 1: [CRITICAL] Admin app is down: 10.0.0.6:443 refuses the connection: connection refused (3 of 3 probes failed, since 02:10 UTC) [admin-app-down]
            +167s ntfy 5: [CRITICAL] API round-trip (/list) is down: 10.0.0.6:443 refuses the connection: connection refused (3 of 3 probes failed, since 02:12 UTC) [api-down]
            +167s pushover 1: [CRITICAL] API round-trip (/list) is down: 10.0.0.6:443 refuses the connection: connection refused (3 of 3 probes failed, since 02:12 UTC) [api-down]
            +1046s ntfy 3: RESOLVED: Admin app is down: 10.0.0.6:443 refuses the connection: connection refused (3 of 3 probes failed, since 02:10 UTC) (after 15 minutes 20 seconds) [admin-app-down]
            +1046s pushover 0: RESOLVED: Admin app is down: 10.0.0.6:443 refuses the connection: connection refused (3 of 3 probes failed, since 02:10 UTC) (after 15 minutes 20 seconds) [admin-app-down]
            +1067s ntfy 3: RESOLVED: API round-trip (/list) is down: 10.0.0.6:443 refuses the connection: connection refused (3 of 3 probes failed, since 02:12 UTC) (after 14 minutes 20 seconds) [api-down]
            +1067s pushover 0: RESOLVED: API round-trip (/list) is down: 10.0.0.6:443 refuses the connection: connection refused (3 of 3 probes failed, since 02:12 UTC) (after 14 minutes 20 seconds) [api-down]
        "#]].assert_eq(&told);
    });
}

#[test]
fn the_check_table_pages_as_the_seed_says() {
    sim::run(2, |mut world| async move {
        let (cabal, mut sim) = Cabalmail::new(&mut world);
        // A quarter of probes would say nothing of the checks.
        let text = FILES[0].1;
        let (head, rest) = text.split_once("monitors:").expect("there are monitors");
        let (_, checks) = rest.split_once("heartbeats:").expect("there are heartbeats");
        let (checks, rest) = checks.split_once("scrape_configs:").expect("there are scrapes");
        let (_, tail) = rest.split_once("# critical:").expect("there are routes");
        sim.write("watchbell.yml", &format!("{head}host: {{enabled: false}}\nheartbeats:{checks}\n#{tail}"));
        sim.upkeep = false;
        sim.start().await;
        world.clock.sleep(Duration::from_secs(60)).await;
        ping_all(&sim).await;
        let from = world.clock.now();
        world.clock.sleep(Duration::from_secs(105 * DAY)).await;
        let told = cabal.told(from);
        let mut seen = std::collections::BTreeSet::new();
        let firsts: Vec<&str> = told.lines().filter(|line| seen.insert(line.split("s ").nth(1))).collect();
        sim.stop().await;
        expect_test::expect![[r#"
            +3600s ntfy 5: [CRITICAL] ecs-reconfigure is down: the job has not reported since 00:01 UTC [heartbeat-ecs-reconfigure]
            +3600s pushover 1: [CRITICAL] ecs-reconfigure is down: the job has not reported since 00:01 UTC [heartbeat-ecs-reconfigure]
            +28800s ntfy 5: [CRITICAL] dmarc-ingest is down: the job has not reported since 00:01 UTC [heartbeat-dmarc-ingest]
            +28800s pushover 1: [CRITICAL] dmarc-ingest is down: the job has not reported since 00:01 UTC [heartbeat-dmarc-ingest]
            +108000s ntfy 5: [CRITICAL] aws-backup is down: the job has not reported since 2026-01-05 00:01 UTC [heartbeat-aws-backup]
            +108000s pushover 1: [CRITICAL] aws-backup is down: the job has not reported since 2026-01-05 00:01 UTC [heartbeat-aws-backup]
            +3196800s ntfy 5: [CRITICAL] cognito-user-sync is down: the job has not reported since 2026-01-05 00:01 UTC [heartbeat-cognito-user-sync]
            +3196800s pushover 1: [CRITICAL] cognito-user-sync is down: the job has not reported since 2026-01-05 00:01 UTC [heartbeat-cognito-user-sync]
            +5270400s ntfy 5: [CRITICAL] certbot-renewal is down: the job has not reported since 2026-01-05 00:01 UTC [heartbeat-certbot-renewal]
            +5270400s pushover 1: [CRITICAL] certbot-renewal is down: the job has not reported since 2026-01-05 00:01 UTC [heartbeat-certbot-renewal]
            +8985600s ntfy 5: [CRITICAL] quarterly-review is down: the job has not reported since 2026-01-05 00:01 UTC [heartbeat-quarterly-review]
            +8985600s pushover 1: [CRITICAL] quarterly-review is down: the job has not reported since 2026-01-05 00:01 UTC [heartbeat-quarterly-review]"#]].assert_eq(&firsts.join("\n"));
    });
}

#[test]
fn the_alert_table_pages_as_the_seed_says() {
    sim::run(3, |mut world| async move {
        let (cabal, mut sim) = Cabalmail::new(&mut world);
        sim.start().await;
        world.clock.sleep(Duration::from_secs(600)).await;
        let mut told = String::new();
        for (at, rate) in [(0, 12), (1, 6), (2, 30)] {
            let from = world.clock.now();
            cabal.sums[at].store(rate, Ordering::SeqCst);
            world.clock.sleep(Duration::from_secs(3000)).await;
            cabal.sums[at].store(0, Ordering::SeqCst);
            world.clock.sleep(Duration::from_secs(3600)).await;
            let _ = writeln!(told, "{}", cabal.told(from));
        }
        // The certificate of the control domain is replaced by one with five days left, then renewed.
        let from = world.clock.now();
        let short = cabal.authority.server(&["admin.cabal.example"], from + Duration::from_secs(5 * DAY));
        *cabal.admin_ends.lock().unwrap() = short;
        world.clock.sleep(Duration::from_secs(DAY / 2)).await;
        *cabal.admin_ends.lock().unwrap() = cabal.authority.server(&["admin.cabal.example"], far(&world));
        world.clock.sleep(Duration::from_secs(DAY / 2)).await;
        let _ = writeln!(told, "{}", cabal.told(from));
        sim.stop().await;
        expect_test::expect![[r#"
            +948s ntfy 3: [WARNING] Outbound mail is being deferred: 120 in 10 minutes [sendmail-deferred-spike]
            +3648s ntfy 3: RESOLVED: Outbound mail is being deferred: 12 in 10 minutes (after 44 minutes) [sendmail-deferred-spike]

            +1068s ntfy 5: [CRITICAL] Outbound mail is bouncing: 108 in 30 minutes [sendmail-bounced-spike]
            +1068s pushover 1: [CRITICAL] Outbound mail is bouncing: 108 in 30 minutes [sendmail-bounced-spike]
            +4728s ntfy 3: RESOLVED: Outbound mail is bouncing: 18 in 30 minutes (after 1 hour) [sendmail-bounced-spike]
            +4728s pushover 0: RESOLVED: Outbound mail is bouncing: 18 in 30 minutes (after 1 hour) [sendmail-bounced-spike]

            +348s ntfy 3: [WARNING] 150 failed IMAP sign-ins in 5 minutes [imap-auth-failure-spike]
            +3348s ntfy 3: RESOLVED: 30 failed IMAP sign-ins in 5 minutes (after 49 minutes) [imap-auth-failure-spike]

            +46s ntfy 3: [WARNING] the certificate of Admin app expires in 4 days 23 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +127s ntfy 3: [WARNING] the certificate of API round-trip (/list) expires in 4 days 23 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +657s ntfy 3: [WARNING] The certificate of https://admin.cabal.example/ ends in 5 days [cert-expiring]
            +837s ntfy 3: [WARNING] The certificate of https://admin.cabal.example/ ends in 5 days (+1 more) [cert-expiring]
            +5167s ntfy 3: [WARNING] the certificate of Control-domain cert expires in 4 days 22 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +14446s ntfy 3: [WARNING] the certificate of Admin app expires in 4 days 23 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +14527s ntfy 3: [WARNING] the certificate of API round-trip (/list) expires in 4 days 23 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +15237s ntfy 3: [WARNING] The certificate of https://admin.cabal.example/ ends in 5 days (+1 more) [cert-expiring]
            +19567s ntfy 3: [WARNING] the certificate of Control-domain cert expires in 4 days 22 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +28846s ntfy 3: [WARNING] the certificate of Admin app expires in 4 days 23 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +28927s ntfy 3: [WARNING] the certificate of API round-trip (/list) expires in 4 days 23 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +29637s ntfy 3: [WARNING] The certificate of https://admin.cabal.example/ ends in 5 days (+1 more) [cert-expiring]
            +33967s ntfy 3: [WARNING] the certificate of Control-domain cert expires in 4 days 22 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +43246s ntfy 3: [WARNING] the certificate of Admin app expires in 4 days 23 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +43306s ntfy 3: RESOLVED: the certificate of Admin app expires in 4 days 23 hours, at 2026-01-10 05:40 UTC (after 12 hours) [cert-expiring]
            +43317s ntfy 3: [WARNING] The certificate of https://admin.cabal.example/prod/list ends in 4 days [cert-expiring]
            +43327s ntfy 3: [WARNING] the certificate of API round-trip (/list) expires in 4 days 23 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +43387s ntfy 3: RESOLVED: the certificate of API round-trip (/list) expires in 4 days 23 hours, at 2026-01-10 05:40 UTC (after 12 hours) [cert-expiring]
            +43437s ntfy 3: RESOLVED: The certificate of https://admin.cabal.example/prod/list ends in 4 days (after 11 hours 50 minutes) [cert-expiring]
            +48367s ntfy 3: [WARNING] the certificate of Control-domain cert expires in 4 days 22 hours, at 2026-01-10 05:40 UTC [cert-expiring]
            +48427s ntfy 3: RESOLVED: the certificate of Control-domain cert expires in 4 days 22 hours, at 2026-01-10 05:40 UTC (after 12 hours) [cert-expiring]

        "#]].assert_eq(&told);
    });
}

/// A day with crashes, outages and noise; the log of all that was received.
fn day(seed: u64) -> String {
    sim::run(seed, |mut world| async move {
        let (cabal, mut sim) = Cabalmail::new(&mut world);
        sim.start().await;
        let from = world.clock.now();
        let end = from + Duration::from_secs(DAY);
        let mut log = String::new();
        while world.clock.now() < end {
            world.clock.sleep(Duration::from_secs(600 + world.rng.below(3000))).await;
            let (host, port) = SERVICES[world.rng.below(5) as usize];
            match world.rng.below(5) {
                0 => {
                    sim.crash();
                    world.clock.sleep(Duration::from_secs(world.rng.below(120))).await;
                    sim.start().await;
                    log.push_str("crash\n");
                }
                1 => ping_all(&sim).await,
                _ => {
                    cabal.down(host, port);
                    world.clock.sleep(Duration::from_secs(world.rng.below(1200))).await;
                    cabal.up(host, port);
                }
            }
        }
        world.clock.sleep(Duration::from_secs(1800)).await;
        sim.stop().await;
        log + &cabal.told(from)
    })
}

#[test]
fn a_day_gives_the_same_log_for_the_same_seed() {
    let first = day(7);
    assert!(first.contains("crash") && first.contains("pushover 1"), "{first}");
    assert_eq!(first, day(7));
    assert_ne!(first, day(8));
}
