//! The remote store: what was acknowledged arrives there once, whatever fails in between, in a simulated world.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::{Expect, expect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::{
    Append, Appended, Batch, BatchHistogram, BucketSpan, Buckets, Histogram, Labels, Metadata, MetricType, Point,
    Query, SeriesKey, Timestamp,
};
use watchbell_runtime::sim::{self, World};
use watchbell_runtime::{Runtime, Stream};
use watchbell_store::remote::RemoteConfig;
use watchbell_store::{Fsync, MetricStore, MetricsConfig, RemoteStore};
use watchbell_wire::remote_write::{CONTENT_TYPE_V1, CONTENT_TYPE_V2, Item, VERSION_HEADER, Version, v1, v2};
use watchbell_wire::snappy;

const DIR: &str = "/data/remote";

/// How the receiver treats a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// Writes it and says so.
    Take,
    /// Writes it, but the answer never arrives.
    TakeAndClose,
    /// Answers without writing: status and headers.
    Answer(u16, &'static str),
    /// Never answers.
    Hang,
}

#[derive(Default)]
pub(crate) struct Receiver {
    /// What it does with the next requests; then [`Act::Take`].
    pub(crate) acts: Vec<Act>,
    /// Chance decides, with so many of a hundred requests failing.
    pub(crate) failing: u64,
    /// Whether it is a 1.0 one that takes every body for 1.0.
    pub(crate) old: bool,
    /// The largest number of samples it takes at once; more are answered with 413.
    pub(crate) most: usize,
    /// By series and time: the value's bits and how often it came.
    pub(crate) samples: BTreeMap<(String, i64), (u64, u32)>,
    pub(crate) histograms: BTreeMap<(String, i64), Histogram>,
    /// What came besides, in words.
    pub(crate) other: Vec<String>,
    /// Samples that came for the first time after a younger one of their series.
    pub(crate) overtaken: Vec<String>,
    pub(crate) requests: Vec<String>,
    /// When each came, and how many samples it had.
    pub(crate) times: Vec<(Timestamp, usize)>,
}

pub(crate) type Shared = Arc<Mutex<Receiver>>;

pub(crate) fn serve(world: &World, receiver: &Shared) {
    serve_as(world, "vm", receiver);
}

pub(crate) fn serve_as(world: &World, host: &str, receiver: &Shared) {
    let (receiver, rng, clock) = (Arc::clone(receiver), world.rng.clone(), world.clock.clone());
    world.net.serve(host, 8428, move |stream| {
        let (receiver, rng, clock) = (Arc::clone(&receiver), rng.clone(), clock.clone());
        async move {
            let _ = answer(stream, &receiver, &rng, &clock).await;
        }
    });
}

async fn answer(
    mut stream: Stream,
    receiver: &Shared,
    rng: &watchbell_runtime::Rng,
    clock: &watchbell_runtime::Clock,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let body = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(have, _)| have.eq_ignore_ascii_case(name)).map_or(String::new(), |(_, value)| value.to_owned())
        };
        let length: usize = header("content-length").parse().unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            let version = Version::of_content_type(Some(&header("content-type"))).unwrap();
            let (kind, number) = match version {
                Version::V1 => (CONTENT_TYPE_V1, "0.1.0"),
                Version::V2 => (CONTENT_TYPE_V2, "2.0.0"),
            };
            assert_eq!((&*header("content-type"), &*header(VERSION_HEADER)), (kind, number));
            assert_eq!(header("content-encoding"), "snappy");
            assert!(header("user-agent").starts_with("watchbell"), "{}", header("user-agent"));
            break (version, header("x-scope-orgid"), header("authorization"), bytes[end + 4..].to_vec());
        }
    };
    let (version, tenant, authorization, body) = body;
    let act = {
        let mut receiver = receiver.lock().unwrap();
        receiver.requests.push(format!("{version:?} {tenant} {authorization}").trim_end().to_owned());
        let chance = rng.below(100);
        if !receiver.acts.is_empty() {
            receiver.acts.remove(0)
        } else if chance < receiver.failing {
            let acts = [
                Act::TakeAndClose,
                Act::Answer(500, ""),
                Act::Answer(503, "retry-after: 3\r\n"),
                Act::Answer(429, ""),
                Act::Answer(403, ""),
                Act::Hang,
            ];
            acts[rng.below(acts.len() as u64) as usize].clone()
        } else {
            Act::Take
        }
    };
    let (status, headers) = match act {
        Act::Take | Act::TakeAndClose => {
            let written = write(&mut receiver.lock().unwrap(), version, &body);
            receiver.lock().unwrap().times.push((clock.now(), written.unwrap_or(0)));
            match written {
                None => (413, String::new()),
                Some(_) if act == Act::TakeAndClose => return Ok(()),
                Some(samples) if version == Version::V2 && !receiver.lock().unwrap().old => {
                    (204, format!("x-prometheus-remote-write-samples-written: {samples}\r\n"))
                }
                Some(_) => (200, String::new()),
            }
        }
        Act::Answer(status, headers) => {
            receiver.lock().unwrap().times.push((clock.now(), 0));
            (status, headers.to_owned())
        }
        Act::Hang => {
            clock.sleep(Duration::from_secs(3600)).await;
            return Ok(());
        }
    };
    let words = if status >= 400 { "this\nand that" } else { "" };
    let text = format!("HTTP/1.1 {status} it\r\n{headers}content-length: {}\r\n\r\n{words}", words.len());
    stream.write_all(text.as_bytes()).await
}

/// Writes a body down; answers how many samples it had, `None` if they were too many.
fn write(receiver: &mut Receiver, version: Version, body: &[u8]) -> Option<usize> {
    let body = snappy::decompress(body, 16 << 20).unwrap();
    let version = if receiver.old { Version::V1 } else { version };
    let mut series: Vec<(String, Vec<Item>)> = Vec::new();
    match version {
        Version::V1 => {
            let mut entries = v1::Request::new(&body);
            while let Some(entry) = entries.next().transpose().unwrap() {
                match entry {
                    v1::Part::Series(it) => {
                        let labels = valid(it.labels().unwrap());
                        series.push((labels, it.items().collect::<Result<_, _>>().unwrap()));
                    }
                    v1::Part::Metadata(name, metadata) => {
                        receiver.other.push(format!("{name} is a {}", metadata.kind.as_str()));
                    }
                }
            }
        }
        Version::V2 => {
            let request = v2::Request::new(&body).unwrap();
            let symbols: BTreeSet<&str> = request.symbols().iter().copied().collect();
            assert_eq!((symbols.len(), request.symbols()[0]), (request.symbols().len(), ""), "each text once");
            for it in request.series() {
                let it = it.unwrap();
                let labels = valid(it.labels(&request).unwrap());
                series.push((labels, it.items(&request).collect::<Result<_, _>>().unwrap()));
            }
        }
    }
    let count = series.iter().flat_map(|(_, items)| items).filter(|item| matches!(item, Item::Sample(..))).count();
    if receiver.most > 0 && count > receiver.most {
        return None;
    }
    for (labels, items) in series {
        for item in items {
            match item {
                Item::Sample(sample, start) => {
                    if let Some(start) = start {
                        receiver.other.push(format!("{labels} counts since {}", start.0));
                    }
                    let key = (labels.clone(), sample.timestamp.0);
                    let younger = receiver.samples.range(key.clone()..).find(|(it, _)| it.0 == labels && it.1 > key.1);
                    if younger.is_some() && !receiver.samples.contains_key(&key) {
                        receiver.overtaken.push(format!("{labels} {}", key.1));
                    }
                    let entry = receiver.samples.entry(key).or_insert((sample.value.to_bits(), 0));
                    assert_eq!(entry.0, sample.value.to_bits(), "another value for {labels} at {}", sample.timestamp.0);
                    entry.1 += 1;
                }
                Item::Histogram(at, histogram, _) => {
                    receiver.histograms.insert((labels.clone(), at.0), *histogram);
                }
                Item::Exemplar(exemplar) => receiver.other.push(format!("{labels} has {}", exemplar.labels)),
                Item::Metadata(kind, ..) => receiver.other.push(format!("{labels} is a {}", kind.as_str())),
            }
        }
    }
    Some(count)
}

/// Labels as the specification asks for them: a name, in order, each once, none empty.
fn valid(pairs: Vec<(&str, &str)>) -> String {
    assert!(pairs.is_sorted_by(|a, b| a.0 < b.0), "{pairs:?}");
    assert!(pairs.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()), "{pairs:?}");
    assert!(pairs.iter().any(|(name, _)| *name == Labels::NAME), "{pairs:?}");
    Labels::from_pairs(pairs).to_string()
}

pub(crate) fn config(more: serde_json::Value) -> RemoteConfig {
    let mut config = serde_json::json!({
        "write": {
            "url": "http://vm:8428/api/v1/write",
            "name": "vm",
            "queue_config": { "max_samples_per_send": 20, "batch_send_deadline": "1s", "max_shards": 3 },
        },
        "read": { "url": "http://vm:8428/api/v1/export" },
    });
    merge(&mut config, more);
    serde_json::from_value(config).unwrap()
}

fn merge(into: &mut serde_json::Value, more: serde_json::Value) {
    match (into, more) {
        (serde_json::Value::Object(into), serde_json::Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

/// A process with the store, local cache and all.
pub(crate) struct Process {
    pub(crate) runtime: Runtime,
    pub(crate) store: RemoteStore,
    pub(crate) local: MetricStore,
}

pub(crate) fn start(world: &World, more: serde_json::Value) -> Process {
    start_with(world, &config(more))
}

pub(crate) fn start_with(world: &World, config: &RemoteConfig) -> Process {
    let runtime = world.runtime();
    let metrics = MetricsConfig { fsync: Fsync::Always, ..MetricsConfig::default() };
    let (local, _) = MetricStore::open(&runtime, Path::new("/data/metrics"), metrics.clone()).unwrap();
    let store = RemoteStore::open(&runtime, Path::new(DIR), config, &metrics, Some(local.clone())).unwrap();
    for task in store.tasks() {
        runtime.supervisor.spawn("store", task);
    }
    Process { runtime, store, local }
}

impl Process {
    pub(crate) fn troubles(&self) -> String {
        let list = self.runtime.troubles.list();
        list.iter().map(|it| format!("{}: {}", it.key, it.summary)).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        let text = self.runtime.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("{remote=\"vm\"} "));
        line.unwrap_or_else(|| panic!("there is no {name}")).parse().unwrap()
    }

    fn check_troubles(&self, expected: Expect) {
        expected.assert_eq(&self.troubles());
    }
}

pub(crate) fn points(world: &World, hosts: u64, value: f64) -> Batch {
    let now = world.clock.now();
    Batch::of("test", (0..hosts).map(|host| Point::new("up", &[("host", &host.to_string())], now, value)).collect())
}

pub(crate) fn nothing() -> serde_json::Value {
    serde_json::json!({})
}

#[test]
fn all_kinds_of_samples_arrive_in_either_version() {
    for message in ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] {
        sim::run(1, |world| async move {
            let receiver = Shared::default();
            serve(&world, &receiver);
            let more = serde_json::json!({
                "write": {
                    "protobuf_message": message, "send_exemplars": true,
                    "basic_auth": { "username": "me", "password": "secret" },
                },
                "tenant": "team-a",
            });
            let process = start(&world, more);
            let now = world.clock.now();
            let mut batch = points(&world, 1, 1.5);
            batch.starts.push((0, now, Timestamp(now.0 - 60_000)));
            let exemplar = watchbell_model::Exemplar {
                labels: Labels::from_pairs([("trace_id", "abc")]),
                value: 1.0,
                timestamp: now,
            };
            batch.exemplars.push((0, exemplar));
            let series = batch.add(SeriesKey::Labels(Labels::metric("seconds", &[])));
            let spans = vec![BucketSpan { offset: 0, length: 2 }];
            let histogram = Histogram {
                schema: 3,
                count: 3.0,
                sum: 4.5,
                positive: Buckets { spans, counts: vec![1.0, 2.0] },
                ..Histogram::default()
            };
            let histogram = Arc::new(histogram);
            batch.histograms.push(BatchHistogram { series, timestamp: now, histogram: Arc::clone(&histogram) });
            let metadata = Metadata { kind: MetricType::Gauge, ..Metadata::default() };
            batch.metadata.push(("up".into(), metadata));
            let appended = process.store.append(batch).await.unwrap();
            assert_eq!(appended.kept - appended.kept_histograms, 1);
            world.clock.sleep(Duration::from_secs(5)).await;
            let receiver = receiver.lock().unwrap();
            assert_eq!(receiver.samples.len(), 1);
            if appended.kept_histograms == 1 {
                assert_eq!(*receiver.histograms.values().next().unwrap(), *histogram);
            }
            let mut other = receiver.other.clone();
            other.sort();
            let other = other.join("\n").replace(&(now.0 - 60_000).to_string(), "a minute ago");
            let requests = receiver.requests.join("\n");
            if message.contains("v2") {
                expect![[r#"
                    up{host="0"} counts since a minute ago
                    up{host="0"} has {trace_id="abc"}
                    up{host="0"} is a gauge"#]]
                .assert_eq(&other);
                assert!(requests.starts_with("V2 team-a Basic bWU6c2VjcmV0"), "{requests}");
            } else {
                expect![[r#"
                    up is a gauge
                    up{host="0"} has {trace_id="abc"}"#]]
                .assert_eq(&other);
                assert!(requests.starts_with("V1 team-a Basic bWU6c2VjcmV0"), "{requests}");
            }
            assert_eq!(process.troubles(), "");
        });
    }
}

#[test]
fn nothing_is_lost_nor_counted_twice_whatever_fails() {
    for seed in 0..60 {
        sim::run(seed, |world| async move {
            let receiver = Shared::default();
            receiver.lock().unwrap().failing = 40;
            serve(&world, &receiver);
            let mut process = start(&world, nothing());
            let mut wanted = BTreeMap::new();
            let mut refs = None;
            for round in 0..60 {
                world.clock.sleep(Duration::from_millis(1 + world.rng.below(3000))).await;
                let now = world.clock.now();
                let mut batch = points(&world, 30, f64::from(round));
                if let Some(refs) = refs.take().filter(|_| world.rng.below(4) > 0) {
                    batch.series = refs;
                }
                let appended: Appended = process.store.append(batch).await.unwrap();
                if appended.kept == 30 {
                    refs = Some(appended.refs.iter().map(|it| SeriesKey::Known(it.unwrap())).collect());
                    for host in 0..30 {
                        let labels = Labels::metric("up", &[("host", &host.to_string())]).to_string();
                        wanted.insert((labels, now.0), f64::from(round).to_bits());
                    }
                } else {
                    assert_eq!(appended.unknown, 30, "{appended:?}");
                }
                match world.rng.below(12) {
                    0 => {
                        process.runtime.supervisor.abort();
                        process = start(&world, nothing());
                    }
                    1 => {
                        process.runtime.supervisor.abort();
                        world.disk.lose_power();
                        process = start(&world, nothing());
                    }
                    2 => world.net.refuse("vm", 8428),
                    3 => serve(&world, &receiver),
                    _ => {}
                }
            }
            receiver.lock().unwrap().failing = 0;
            serve(&world, &receiver);
            world.clock.sleep(Duration::from_secs(120)).await;
            let found = receiver.lock().unwrap();
            let have: BTreeMap<_, _> = found.samples.iter().map(|(key, (bits, _))| (key.clone(), *bits)).collect();
            assert_eq!(have, wanted, "seed {seed}");
            assert_eq!(found.overtaken, Vec::<String>::new(), "seed {seed}");
            assert_eq!(process.troubles(), "", "seed {seed}");
            assert_eq!(process.number("watchbell_remote_lag_seconds"), 0.0);
            let local = process.local.select(&[], Timestamp::MIN, Timestamp::MAX).unwrap();
            let local: usize = local.iter().map(|series| series.samples.len()).sum();
            assert_eq!(local, wanted.len(), "the cache has the same");
        });
    }
}

#[test]
fn requests_are_signed_or_carry_a_token() {
    let key = include_str!("../../../../testdata/oauth2/key.pem");
    let grant = watchbell_model::GRANT_JWT_BEARER;
    let signed = serde_json::json!({ "sigv4": { "region": "eu-west-1", "access_key": "AK", "secret_key": "s" } });
    let token = serde_json::json!({ "oauth2": {
        "client_id": "me", "token_url": "http://login/", "grant_type": grant, "client_certificate_key": key,
    }});
    for (write, wanted) in [(signed, "Credential=AK/20260105/eu-west-1/aps/aws4_request"), (token, "Bearer one")] {
        sim::run(1, |world| async move {
            let receiver = Shared::default();
            // A token that is refused is fetched anew.
            receiver.lock().unwrap().acts = vec![Act::Answer(401, "")];
            serve(&world, &receiver);
            let fetched = Arc::new(Mutex::new(0));
            let count = Arc::clone(&fetched);
            world.net.serve("login", 80, move |mut stream| {
                *count.lock().unwrap() += 1;
                async move {
                    let mut bytes = Vec::new();
                    while stream.read_buf(&mut bytes).await.unwrap_or(0) > 0 && !bytes.ends_with(b"jwt-bearer") {}
                    let body = r#"{"access_token": "one", "expires_in": 3600}"#;
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                }
            });
            let process = start(&world, serde_json::json!({ "write": write.clone() }));
            process.store.append(points(&world, 1, 1.0)).await.unwrap();
            world.clock.sleep(Duration::from_secs(10)).await;
            let receiver = receiver.lock().unwrap();
            assert_eq!(receiver.samples.len(), 1);
            assert!(receiver.requests.iter().all(|it| it.contains(wanted)), "{:?}", receiver.requests);
            assert_eq!(*fetched.lock().unwrap(), if write.get("oauth2").is_some() { 2 } else { 0 });
        });
    }
}

#[test]
fn what_is_refused_for_good_is_counted_and_holds_up_nothing() {
    sim::run(1, |world| async move {
        let receiver = Shared::default();
        // All three, then each by itself: it is looked for what is good among them.
        let mut acts = vec![Act::Answer(400, ""); 4];
        acts.push(Act::Answer(429, "retry-after: 20\r\n"));
        receiver.lock().unwrap().acts = acts;
        receiver.lock().unwrap().most = 7;
        serve(&world, &receiver);
        let process = start(&world, serde_json::json!({ "write": { "queue_config": { "max_shards": 1 } } }));
        process.store.append(points(&world, 3, 1.0)).await.unwrap();
        world.clock.sleep(Duration::from_secs(3)).await;
        process.store.append(points(&world, 20, 2.0)).await.unwrap();
        world.clock.sleep(Duration::from_secs(15)).await;
        assert_eq!(receiver.lock().unwrap().samples.len(), 0, "it was asked to wait");
        process.check_troubles(expect![[
            r#"remote/refused: vm refused 3 samples for good, such as some of up{host="2"}: it answers 400: this"#
        ]]);
        world.clock.sleep(Duration::from_secs(15)).await;
        // More than seven at once do not fit.
        assert_eq!(receiver.lock().unwrap().samples.len(), 20);
        assert_eq!(process.number("watchbell_remote_samples_refused_total"), 3.0);
        assert_eq!(process.number("watchbell_remote_samples_total"), 20.0);
        world.clock.sleep(Duration::from_secs(1000)).await;
        assert_eq!(process.troubles(), "", "it is old news");
    });
}

#[test]
fn a_receiver_of_the_old_version_gets_the_old_version() {
    for old in [true, false] {
        sim::run(1, |world| async move {
            let receiver = Shared::default();
            receiver.lock().unwrap().old = old;
            if !old {
                receiver.lock().unwrap().acts = vec![Act::Answer(415, "")];
            }
            serve(&world, &receiver);
            let v2 = serde_json::json!({ "write": { "protobuf_message": "io.prometheus.write.v2.Request" } });
            let process = start(&world, v2);
            process.store.append(points(&world, 1, 1.0)).await.unwrap();
            world.clock.sleep(Duration::from_secs(5)).await;
            let receiver = receiver.lock().unwrap();
            assert_eq!((receiver.requests.join(" "), receiver.samples.len()), ("V2 V1".to_owned(), 1));
        });
    }
}

#[test]
fn past_its_bounds_the_queue_drops_the_oldest_and_says_so() {
    sim::run(1, |world| async move {
        let few = serde_json::json!({
            "queue": { "age": "2h" },
            "write": { "queue_config": { "capacity": 20, "max_shards": 1 } },
        });
        let process = start(&world, few);
        let mut count = 0;
        for round in 0..60 * 6 {
            process.store.append(points(&world, 2, f64::from(round))).await.unwrap();
            count += 2;
            world.clock.sleep(Duration::from_secs(60)).await;
        }
        let lost = process.number("watchbell_remote_samples_dropped_total") as usize;
        // A segment is half an hour long, and goes when all that is in it is too old.
        assert!((2 * 200..2 * 240).contains(&lost), "{lost}");
        let receiver = Shared::default();
        serve(&world, &receiver);
        let said = process.troubles().replace(&lost.to_string(), "some");
        assert!(said.contains("remote/lag: samples wait for vm since 2026-01-05T00:00"), "{said}");
        assert!(
            said.contains("remote/queue: some samples for vm were dropped: the oldest, of 2026-01-05T03:"),
            "{said}"
        );
        world.clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(receiver.lock().unwrap().samples.len() + lost, count, "the rest is there");
        assert_eq!(process.troubles(), "");
    });
}

#[test]
fn a_full_disk_refuses_samples_and_loses_none_that_were_acknowledged() {
    sim::run(1, |world| async move {
        let receiver = Shared::default();
        let process = start(&world, serde_json::json!({ "local": "off" }));
        let mut kept = 0;
        for round in 0..50 {
            // What fits is less than a frame, more often than not.
            world.disk.set_room((round % 3 > 0).then(|| world.rng.below(200) as usize));
            match process.store.append(points(&world, 10, f64::from(round))).await {
                Ok(appended) => kept += appended.kept,
                Err(error) => assert!(error.to_string().contains("cannot take samples now"), "{error}"),
            }
            world.clock.sleep(Duration::from_secs(1)).await;
        }
        assert!((160..400).contains(&kept), "{kept}");
        world.disk.set_room(None);
        world.disk.set_available(Some(1 << 20));
        process.store.append(points(&world, 1, 0.0)).await.unwrap_err();
        process.check_troubles(expect![[r#"remote/queue-write: samples cannot be queued for vm: the last 8 MiB of the disk are left for alarms and pages"#]]);
        world.disk.set_available(None);
        process.store.append(points(&world, 1, 0.0)).await.unwrap();
        serve(&world, &receiver);
        world.clock.sleep(Duration::from_secs(30)).await;
        // Of a frame that was refused the whole may have reached the disk: sent, but not promised.
        assert!(receiver.lock().unwrap().samples.len() as u64 > kept);
        assert_eq!(process.troubles(), "");
    });
}

#[test]
fn a_damaged_part_is_set_aside_and_the_rest_is_sent() {
    sim::run(1, |world| async move {
        let process = start(&world, nothing());
        for round in 0..9 {
            process.store.append(points(&world, 10, f64::from(round))).await.unwrap();
            world.clock.sleep(Duration::from_secs(1)).await;
        }
        process.runtime.supervisor.abort();
        let queue: Vec<_> =
            world.disk.files().into_iter().filter(|path| path.starts_with("/data/remote/queue")).collect();
        assert_eq!(queue.len(), 1);
        world.disk.flip_bit(&queue[0], 8 * 700);
        let receiver = Shared::default();
        serve(&world, &receiver);
        let process = start(&world, nothing());
        world.clock.sleep(Duration::from_secs(30)).await;
        assert_eq!(receiver.lock().unwrap().samples.len(), 80);
        let said = process.troubles();
        assert!(
            said.starts_with("remote/queue-damaged: samples that waited for vm were damaged and are not sent: "),
            "{said}"
        );
        assert!(said.contains(" lie in /data/remote/damaged/queue-00000001-"), "{said}");
        assert!(world.disk.files().iter().any(|path| path.starts_with("/data/remote/damaged")));
    });
}

#[test]
fn a_stop_empties_the_queue_and_a_start_goes_on_where_it_ended() {
    sim::run(1, |world| async move {
        let receiver = Shared::default();
        serve(&world, &receiver);
        let process = start(&world, nothing());
        process.store.append(points(&world, 5, 1.0)).await.unwrap();
        process.runtime.supervisor.stop().await;
        assert_eq!(receiver.lock().unwrap().samples.len(), 5, "sooner than the deadline");
        process.store.append(points(&world, 6, 2.0)).await.unwrap();
        process.store.close();
        // Others than before: what the store here refuses singly never gets as far as the queue.
        world.clock.sleep(Duration::from_secs(1)).await;
        process.store.append(points(&world, 6, 3.0)).await.unwrap_err();
        let process = start(&world, nothing());
        world.clock.sleep(Duration::from_secs(5)).await;
        let receiver = receiver.lock().unwrap();
        let counts: Vec<u32> = receiver.samples.values().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1; 11], "none twice");
        assert_eq!(process.number("watchbell_remote_samples_total"), 6.0);
    });
}
