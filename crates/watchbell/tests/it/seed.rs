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
    "admin-app-down", "api-down", "cert-expiring", "heartbeat-aws-backup", "heartbeat-certbot-renewal",
    "heartbeat-cognito-user-sync", "heartbeat-dmarc-ingest", "heartbeat-ecs-reconfigure", "heartbeat-quarterly-review",
    "imap-auth-failure-spike", "imap-down", "ntfy-down", "sendmail-bounced-spike", "sendmail-deferred-spike",
    "smtp-relay-down", "submission-down"
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
            all.push((page.at, format!("pushover {}: {} [{}]", field("priority"), field("title"), book(&field("url")))));
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
    let header = |name: &str| page.headers.get(name).or(page.headers.get(&format!("x-{name}"))).cloned().unwrap_or_default();
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
        let hex = (*first == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()));
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
    for address in sim.app().heartbeats.addresses() {
        let request = PingRequest::from_path(&format!("/ping/{}", address.uuid), "").expect("it is an address");
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
        expect_test::expect![[r#""#]].assert_eq(&told);
    });
}

#[test]
fn the_check_table_pages_as_the_seed_says() {
    sim::run(2, |mut world| async move {
        let (cabal, mut sim) = Cabalmail::new(&mut world);
        sim.start().await;
        world.clock.sleep(Duration::from_secs(60)).await;
        ping_all(&sim).await;
        let from = world.clock.now();
        world.clock.sleep(Duration::from_secs(105 * DAY)).await;
        let told = cabal.told(from);
        let firsts: Vec<&str> = told.lines().filter(|line| line.contains("pushover")).collect();
        let mut seen = std::collections::BTreeSet::new();
        let firsts: Vec<&str> = firsts.into_iter().filter(|line| seen.insert(line.split("s ").nth(1))).collect();
        sim.stop().await;
        expect_test::expect![[r#""#]].assert_eq(&firsts.join("\n"));
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
        expect_test::expect![[r#""#]].assert_eq(&told);
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
