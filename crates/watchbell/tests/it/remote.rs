//! The remote store against real ones from Debian's packages, stopped and started under load: every sample that was
//! acknowledged is there, once, and reading it back gives what is kept here.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use watchbell_model::{Append, Batch, Labels, Lookup, Matcher, Point, Query, Series, SeriesKey, Span, Timestamp};
use watchbell_query::{Engine, promql};
use watchbell_runtime::Runtime;
use watchbell_store::{MetricStore, MetricsConfig, RemoteConfig, RemoteStore};

use crate::kit::{Folder, request, signal, wait_until};

/// A real store as a process of its own.
struct Peer {
    command: Vec<String>,
    address: SocketAddr,
    child: Option<Child>,
}

impl Peer {
    /// VictoriaMetrics, single node, that keeps one of several samples for one millisecond, as its manual advises for
    /// senders who may send twice.
    fn victoria(folder: &Folder) -> Peer {
        let address = free();
        let data = folder.path().join("victoria").display().to_string();
        let command = [
            "/usr/bin/victoria-metrics".to_owned(),
            format!("-storageDataPath={data}"),
            format!("-httpListenAddr={address}"),
            "-retentionPeriod=100y".into(),
            "-dedup.minScrapeInterval=1ms".into(),
            "-memory.allowedBytes=256MB".into(),
            "-search.latencyOffset=0s".into(),
        ];
        Peer::run(command.to_vec(), address)
    }

    /// Prometheus, scraping nothing.
    fn prometheus(folder: &Folder) -> Peer {
        let address = free();
        let config = folder.write("prometheus.yml", "global: {}\n").display().to_string();
        let data = folder.path().join("prometheus").display().to_string();
        let command = [
            "/usr/bin/prometheus".to_owned(),
            format!("--config.file={config}"),
            format!("--storage.tsdb.path={data}"),
            format!("--web.listen-address={address}"),
            "--web.enable-remote-write-receiver".into(),
        ];
        Peer::run(command.to_vec(), address)
    }

    fn run(command: Vec<String>, address: SocketAddr) -> Peer {
        let mut peer = Peer { command, address, child: None };
        peer.start();
        peer
    }

    fn start(&mut self) {
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("it is installed (apt-get install victoria-metrics prometheus)"));
        let address = self.address;
        wait_until("the other store listens", || {
            request(address, "GET", "/-/ready", &[], "").is_ok_and(|(status, _)| status == 200)
                || request(address, "GET", "/health", &[], "").is_ok_and(|(status, _)| status == 200)
        });
    }

    /// Asks it to end, which it does in its own time.
    fn ask_to_stop(&self) {
        signal(self.child.as_ref().expect("it runs").id(), "TERM");
    }

    fn kill(&self) {
        signal(self.child.as_ref().expect("it runs").id(), "KILL");
    }

    fn wait(&mut self) {
        let _ = self.child.take().expect("it runs").wait();
        let address = self.address;
        wait_until("the other store is gone", || TcpStream::connect(address).is_err());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
    listener.local_addr().expect("it has an address")
}

const SERIES: usize = 150;
const ROUNDS: i64 = 300;
/// Every tenth round something happens.
const EVENT_EVERY: i64 = 30;

/// A watchbell's stores in a folder.
struct Own {
    runtime: Runtime,
    local: Option<MetricStore>,
    store: RemoteStore,
}

fn open(folder: &Path, address: SocketAddr, read: &str, local: &str) -> Own {
    let runtime = Runtime::os();
    let mut config: RemoteConfig = serde_json::from_value(serde_json::json!({
        "write": {
            "url": format!("http://{address}/api/v1/write"),
            "queue_config": { "max_samples_per_send": 500, "batch_send_deadline": "100ms", "max_backoff": "300ms" },
        },
        "read": { "url": format!("http://{address}{read}") },
        "local": local,
    }))
    .expect("it is right");
    config.external_labels = Labels::from_pairs([("site", "north")]);
    let metrics = MetricsConfig::default();
    let opened = (local == "cache").then(|| {
        MetricStore::open(&runtime, &folder.join("metrics"), metrics.clone()).expect("the local store opens").0
    });
    let store = RemoteStore::open(&runtime, &folder.join("remote"), &config, &metrics, opened.clone());
    let store = store.expect("the queue opens");
    for task in store.tasks() {
        runtime.supervisor.spawn("store", task);
    }
    Own { runtime, local: opened, store }
}

fn batch(begin: Timestamp, round: i64) -> Batch {
    let at = Timestamp(begin.0 + round * 1000);
    let point = |series: usize| {
        let labels = Labels::from_pairs([
            (Labels::NAME, if series.is_multiple_of(2) { "requests_total" } else { "load" }),
            ("host", &format!("host-{}", series / 2)),
            ("path", "/a \"quoted\" \\ path"),
        ]);
        // Numbers that every store keeps to the last bit.
        let value = if series.is_multiple_of(2) { (round * 7) as f64 } else { (round % 13) as f64 / 4.0 };
        Point { labels, timestamp: at, value }
    };
    Batch::of("test", (0..SERIES).map(point).collect())
}

fn ours() -> Vec<Matcher> {
    vec![Matcher::new(Labels::NAME, watchbell_model::MatchOp::Regex, "requests_total|load").expect("it is one")]
}

/// Loads, with everything that goes wrong on the way; then compares.
fn run(mut peer: Peer, read: &str, may_be_killed: bool) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    tokio.block_on(async {
        let folder = Folder::new("remote");
        let mut own = open(folder.path(), peer.address, read, "cache");
        let begin = Timestamp(own.runtime.clock.now().0 / 1000 * 1000 - ROUNDS * 1000);
        let (mut refs, mut stopping) = (Vec::new(), false);
        for round in 0..ROUNDS {
            let mut next = batch(begin, round);
            if !refs.is_empty() {
                next.series = std::mem::take(&mut refs);
            }
            let appended = own.store.append(next).await.expect("it is acknowledged");
            assert_eq!(appended.kept, SERIES as u64, "{appended:?}");
            refs = appended.refs.into_iter().map(|it| SeriesKey::Known(it.expect("it is kept"))).collect();
            own.runtime.clock.sleep(Duration::from_millis(10)).await;
            match (round / EVENT_EVERY, round % EVENT_EVERY) {
                (1 | 5, 0) => {
                    if may_be_killed && round / EVENT_EVERY == 5 {
                        peer.kill()
                    } else {
                        peer.ask_to_stop()
                    }
                    stopping = true;
                }
                (3 | 7, 0) if stopping => {
                    peer.wait();
                    peer.start();
                    stopping = false;
                }
                // Our own process ends without a word, in the middle of things.
                (2 | 6 | 8, 15) => {
                    own.runtime.supervisor.abort();
                    drop(own);
                    own = open(folder.path(), peer.address, read, "cache");
                    refs.clear();
                }
                _ => {}
            }
        }
        let end = Timestamp(begin.0 + ROUNDS * 1000);
        let local = own.local.clone().expect("there is a cache");
        let own_samples = local.select(&ours(), begin, end).expect("the cache answers");
        assert_eq!(own_samples.iter().map(Series::size).sum::<usize>(), SERIES * ROUNDS as usize);

        // Another watchbell that keeps nothing itself.
        let other = open(&folder.path().join("other"), peer.address, read, "off");
        let mut there = Vec::new();
        wait_for("every sample has arrived", || {
            there = other.store.select(&ours(), begin, end).unwrap_or_default();
            there.iter().map(Series::size).sum::<usize>() >= SERIES * ROUNDS as usize
        });
        assert!(there == own_samples, "to the last bit, and nothing besides");
        assert_eq!(own.runtime.troubles.list(), []);

        // What the other store itself makes of it: nothing counts twice.
        let expression = "sum(count_over_time(requests_total{site='north'}[1h]))+sum(count_over_time(load[1h]))";
        let path = format!("/api/v1/query?nocache=1&time={}&query={}", end.0 / 1000, escape(expression));
        let wanted = format!("\"{}\"", SERIES * ROUNDS as usize);
        wait_for("the other store counts as many", || {
            request(peer.address, "GET", &path, &[], "").is_ok_and(|(_, body)| body.contains(&wanted))
        });

        for expression in [
            "sum by (host) (rate(requests_total[1m]))",
            "max_over_time(load{host=~\"host-1.?\"}[5m])",
            "quantile(0.9, load)",
            "count(requests_total{path=\"/a \\\"quoted\\\" \\\\ path\"} offset 30s)",
        ] {
            let expression_ = promql::parse(expression).expect("it is PromQL");
            let engine = Engine::default();
            let here = engine.range(&local, &expression_, begin, end, Span::seconds(7)).expect("here");
            let there = engine.range(&other.store, &expression_, begin, end, Span::seconds(7)).expect("there");
            assert!(!here.is_empty(), "{expression}");
            assert!(here == there, "{expression}");
        }
        let lookup = Lookup { matchers: &[ours()], start: begin, end, limit: 0 };
        assert_eq!(other.store.series(&lookup).expect("there"), local.series(&lookup).expect("here"));
        assert_eq!(other.store.label_names(&lookup).expect("there"), local.label_names(&lookup).expect("here"));
        let site = other.store.label_values("site", &lookup).expect("there");
        assert_eq!(site.items, [] as [String; 0], "the external label is of that store alone");
        let values = |store: &dyn Query| store.label_values("host", &lookup).expect("values");
        assert_eq!(values(&other.store), values(&local));

        // Away: what is kept here is judged, what is not is an error and not "no data".
        peer.ask_to_stop();
        peer.wait();
        let error = other.store.select(&ours(), begin, end).expect_err("nobody is there");
        assert!(
            error.to_string().starts_with("the store cannot be read: the remote store cannot be read: "),
            "{error}"
        );
        let since = own.store.local_from();
        assert!(since > begin, "the cache began when there was one");
        assert!(own.store.select(&ours(), since, Timestamp(since.0 + 3_600_000)).is_ok());
        own.store.select(&ours(), begin, end).expect_err("older samples are there, not here");
        own.runtime.supervisor.abort();
        other.runtime.supervisor.abort();
    });
}

/// As [`wait_until`], where waiting must not hold up the runtime.
fn wait_for(what: &str, so: impl FnMut() -> bool) {
    tokio::task::block_in_place(|| wait_until(what, so));
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|it| if it.is_ascii_alphanumeric() { char::from(it).to_string() } else { format!("%{it:02X}") })
        .collect()
}

#[test]
fn victoria_metrics_that_comes_and_goes_has_every_sample_once() {
    let folder = Folder::new("victoria");
    // Killed, it would itself lose what it took within the last seconds.
    run(Peer::victoria(&folder), "/api/v1/export", false);
}

#[test]
fn prometheus_that_comes_and_goes_has_every_sample_once() {
    let folder = Folder::new("prometheus");
    run(Peer::prometheus(&folder), "/api/v1/read", true);
}
