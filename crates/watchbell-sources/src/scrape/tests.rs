//! Bodies and broken targets in, samples and reports out.

mod live;
mod references;
mod relabel;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use expect_test::{Expect, expect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::{Observation, Path as Place, Point, Problems, Relabel, is_stale};
use watchbell_runtime::{Stream, sim};
use watchbell_wire::prometheus::{Format, Histograms};

use super::rules::Rules;
use super::series::{Alive, Outgoing, Scraped};
use super::*;
use crate::bench::{Bench, Memory, Store, bench};

fn rules() -> Rules {
    Rules {
        honor_labels: false,
        honor_timestamps: true,
        track_staleness: false,
        relabel: Relabel::default(),
        legacy_names: false,
        histograms: Histograms::default(),
        schema_max: 8,
        fallback: None,
        samples_max: 0,
        labels_max: 0,
        label_name_max: 0,
        label_value_max: 0,
        buckets_max: 0,
    }
}

fn configs(json: serde_json::Value) -> Vec<ScrapeConfig> {
    serde_json::from_value(json).unwrap()
}

fn shown(points: &[Point]) -> String {
    points.iter().fold(String::new(), |mut out, point| {
        let value = if is_stale(point.value) { "ended".to_owned() } else { point.value.to_string() };
        writeln!(out, "{} {} {value}", point.timestamp.0, point.labels).unwrap();
        out
    })
}

fn alive(rules: Rules) -> Alive {
    Alive::new("scrape/a".into(), Labels::from_pairs([("job", "a"), ("instance", "b")]), rules)
}

/// Hands a batch to a store as the scraper does.
fn hand_over(alive: &mut Alive, mut outgoing: Outgoing, store: &mut Store) {
    let appended = store.take(&outgoing.hand_over());
    if let Some(mut again) = alive.learn(&outgoing, &appended) {
        let appended = store.take(&again.hand_over());
        assert_eq!(appended.unknown, 0);
        assert!(alive.learn(&again, &appended).is_none());
    }
}

/// Reads bodies one after the other, a second apart, for the target `job="a", instance="b"`. Whatever the store
/// remembers of series, the same comes out.
fn check(rules: Rules, format: Format, bodies: &[&str], expect: Expect) {
    let out = read_all(rules.clone(), format, bodies, Memory::References);
    assert_eq!(read_all(rules.clone(), format, bodies, Memory::Short), out);
    assert_eq!(read_all(rules, format, bodies, Memory::Nothing), out);
    expect.assert_eq(&out);
}

fn read_all(rules: Rules, format: Format, bodies: &[&str], memory: Memory) -> String {
    let (mut alive, mut store) = (alive(rules), Store { memory, ..Store::default() });
    let mut out = String::new();
    for (at, body) in bodies.iter().enumerate() {
        let at = Timestamp(1000 * (at as i64 + 1));
        let scraped = alive.read(body.as_bytes(), format, at);
        if let Some(error) = &scraped.error {
            writeln!(out, "failed: {error}").unwrap();
        }
        let Scraped { samples, left, added, duplicate, future, .. } = scraped;
        let end = format!("{samples} samples, {left} left, {added} added, {duplicate} duplicate, {future} future\n");
        hand_over(&mut alive, scraped.outgoing, &mut store);
        let mut points = std::mem::take(&mut store.points);
        points.sort_by(|a, b| (a.timestamp, &a.labels).cmp(&(b.timestamp, &b.labels)));
        out += &(shown(&points) + &end);
    }
    out
}

#[test]
fn a_series_that_is_gone_is_marked_once() {
    check(
        rules(),
        Format::Text,
        &["x{c=\"1\"} 1\nx{c=\"2\"} 2\n", "x{c=\"1\"} 1\n", "x{c=\"1\"} 1\nx{c=\"2\"} 2\n", "x{c=\"2\"", "x 1"],
        expect![[r#"
            1000 x{c="1", instance="b", job="a"} 1
            1000 x{c="2", instance="b", job="a"} 2
            2 samples, 2 left, 2 added, 0 duplicate, 0 future
            2000 x{c="1", instance="b", job="a"} 1
            2000 x{c="2", instance="b", job="a"} ended
            1 samples, 1 left, 0 added, 0 duplicate, 0 future
            3000 x{c="1", instance="b", job="a"} 1
            3000 x{c="2", instance="b", job="a"} 2
            2 samples, 2 left, 1 added, 0 duplicate, 0 future
            failed: line 1: the braces of the labels are not closed
            4000 x{c="1", instance="b", job="a"} ended
            4000 x{c="2", instance="b", job="a"} ended
            0 samples, 0 left, 0 added, 0 duplicate, 0 future
            5000 x{instance="b", job="a"} 1
            1 samples, 1 left, 1 added, 0 duplicate, 0 future
        "#]],
    );
}

#[test]
fn nothing_counts_of_a_body_with_a_bad_line() {
    check(
        rules(),
        Format::Text,
        &["x 1\nnew 1\ny{c=1} 1\n", "x 1\n", "x 2\nnew 1\n0 1"],
        expect![[r#"
            failed: line 3: the value of the label `c` must be in double quotes
            3 samples, 2 left, 2 added, 0 duplicate, 0 future
            2000 x{instance="b", job="a"} 1
            1 samples, 1 left, 0 added, 0 duplicate, 0 future
            failed: line 3: `0` is not a metric's name
            3000 x{instance="b", job="a"} ended
            3 samples, 2 left, 1 added, 0 duplicate, 0 future
        "#]],
    );
}

#[test]
fn the_same_labels_in_another_order_are_the_same_series() {
    check(
        rules(),
        Format::Text,
        &["x{c=\"1\",d=\"2\"} 1\n", "x{d=\"2\",c=\"1\"} 1\n"],
        expect![[r#"
            1000 x{c="1", d="2", instance="b", job="a"} 1
            1 samples, 1 left, 1 added, 0 duplicate, 0 future
            2000 x{c="1", d="2", instance="b", job="a"} 1
            1 samples, 1 left, 1 added, 0 duplicate, 0 future
        "#]],
    );
}

#[test]
fn a_series_in_two_orders_ends_once() {
    let both = "x{c=\"1\",d=\"2\"} 1\nx{d=\"2\",c=\"1\"} 1\n";
    check(
        rules(),
        Format::Text,
        &[both, both, "x{d=\"2\",c=\"1\"} 1\n", "", both, "bad"],
        expect![[r#"
            1000 x{c="1", d="2", instance="b", job="a"} 1
            1000 x{c="1", d="2", instance="b", job="a"} 1
            2 samples, 2 left, 2 added, 0 duplicate, 0 future
            2000 x{c="1", d="2", instance="b", job="a"} 1
            2000 x{c="1", d="2", instance="b", job="a"} 1
            2 samples, 2 left, 0 added, 0 duplicate, 0 future
            3000 x{c="1", d="2", instance="b", job="a"} 1
            1 samples, 1 left, 0 added, 0 duplicate, 0 future
            4000 x{c="1", d="2", instance="b", job="a"} ended
            0 samples, 0 left, 0 added, 0 duplicate, 0 future
            5000 x{c="1", d="2", instance="b", job="a"} 1
            5000 x{c="1", d="2", instance="b", job="a"} 1
            2 samples, 2 left, 2 added, 0 duplicate, 0 future
            failed: line 1: the value is missing
            6000 x{c="1", d="2", instance="b", job="a"} ended
            0 samples, 0 left, 0 added, 0 duplicate, 0 future
        "#]],
    );
}

#[test]
fn times_of_the_target_in_any_order() {
    check(
        rules(),
        Format::Text,
        &["x 2 600\ny 1\nx 1 500\n"],
        expect![[r#"
            500 x{instance="b", job="a"} 1
            600 x{instance="b", job="a"} 2
            1000 y{instance="b", job="a"} 1
            3 samples, 3 left, 2 added, 0 duplicate, 0 future
        "#]],
    );
    let mut scraped = alive(rules()).read(b"x 2 600\ny 1\nx 1 500\n", Format::Text, Timestamp(1000));
    let batch = scraped.outgoing.hand_over();
    assert_eq!(batch.samples.iter().map(|sample| sample.timestamp.0).collect::<Vec<_>>(), [500, 600, 1000]);
    assert_eq!(batch.series.len(), 2);
}

#[test]
fn times_of_the_target() {
    let body = "x 1 500\nx 2 600\ny 1\ny 2\nz 1 99999999\n";
    check(
        rules(),
        Format::Text,
        &[body, "w 1"],
        expect![[r#"
            500 x{instance="b", job="a"} 1
            600 x{instance="b", job="a"} 2
            1000 y{instance="b", job="a"} 1
            5 samples, 5 left, 2 added, 1 duplicate, 1 future
            2000 w{instance="b", job="a"} 1
            2000 y{instance="b", job="a"} ended
            1 samples, 1 left, 1 added, 0 duplicate, 0 future
        "#]],
    );
    check(
        Rules { honor_timestamps: false, ..rules() },
        Format::Text,
        &["x 1 500\nz 1 99999999\n", ""],
        expect![[r#"
            1000 x{instance="b", job="a"} 1
            1000 z{instance="b", job="a"} 1
            2 samples, 2 left, 2 added, 0 duplicate, 0 future
            2000 x{instance="b", job="a"} ended
            2000 z{instance="b", job="a"} ended
            0 samples, 0 left, 0 added, 0 duplicate, 0 future
        "#]],
    );
}

#[test]
fn labels_that_both_say() {
    let body = "x{job=\"j\",exported_job=\"e\",c=\"1\"} 1\ny{instance=\"\"} 1\n";
    check(
        rules(),
        Format::Text,
        &[body],
        expect![[r#"
            1000 x{c="1", exported_exported_job="j", exported_job="e", instance="b", job="a"} 1
            1000 y{instance="b", job="a"} 1
            2 samples, 2 left, 2 added, 0 duplicate, 0 future
        "#]],
    );
    check(
        Rules { honor_labels: true, ..rules() },
        Format::Text,
        &[body],
        expect![[r#"
            1000 x{c="1", exported_job="e", instance="b", job="j"} 1
            1000 y{instance="b", job="a"} 1
            2 samples, 2 left, 2 added, 0 duplicate, 0 future
        "#]],
    );
}

#[test]
fn limits_fail_the_whole_scrape() {
    let body = "x{c=\"123456\"} 1\nx 1\n";
    for (rules, expect) in [
        (
            Rules { samples_max: 1, ..rules() },
            expect![[r#"
                failed: sample limit exceeded
                2 samples, 2 left, 1 added, 0 duplicate, 0 future
            "#]],
        ),
        (
            Rules { labels_max: 3, ..rules() },
            expect![[r#"
                failed: label_limit exceeded (metric: x, number of labels: 4, limit: 3)
                1 samples, 0 left, 0 added, 0 duplicate, 0 future
            "#]],
        ),
        (
            Rules { label_name_max: 7, ..rules() },
            expect![[r#"
                failed: label_name_length_limit exceeded (metric: x, label name: __name__, length: 8, limit: 7)
                1 samples, 0 left, 0 added, 0 duplicate, 0 future
            "#]],
        ),
        (
            Rules { label_value_max: 5, ..rules() },
            expect![[r#"
                failed: label_value_length_limit exceeded (metric: x, label name: c, value: "123456", length: 6, limit: 5)
                1 samples, 0 left, 0 added, 0 duplicate, 0 future
            "#]],
        ),
    ] {
        check(rules, Format::Text, &[body], expect);
    }
}

/// Answers every request with these bytes, and then keeps silent or closes.
fn answer(world: &sim::World, host: &str, bytes: impl Into<Vec<u8>>, close: bool) {
    let bytes: Arc<Vec<u8>> = Arc::new(bytes.into());
    world.net.serve(host, 9100, move |mut stream: Stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap_or(b'\n'));
            }
            let _ = stream.write_all(&bytes).await;
            if !close {
                std::future::pending::<()>().await;
            }
        }
    });
}

fn ok(kind: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn one_target() -> Vec<ScrapeConfig> {
    configs(serde_json::json!([{
        "job_name": "node", "scrape_interval": "10s", "scrape_timeout": "4s", "body_size_limit": "1KB",
        "static_configs": [{"targets": ["web-1:9100"]}]
    }]))
}

/// What came out within ten seconds: samples without their times and labels, and what was observed.
async fn round(bench: &Bench, targets: &Targets) -> String {
    bench.context.runtime.clock.sleep(Duration::from_secs(10)).await;
    let mut out = String::new();
    for point in bench.points() {
        let name = point.labels.name().unwrap();
        if name.starts_with("scrape_") && name != "scrape_samples_scraped" {
            continue;
        }
        let value = if is_stale(point.value) { "ended".to_owned() } else { point.value.to_string() };
        write!(out, "{name}={value} ").unwrap();
    }
    for seen in bench.seen() {
        let Observation::Scrape(seen) = seen else { panic!("{seen:?}") };
        write!(out, "| {} {} {:?}", seen.instance, seen.samples, seen.error).unwrap();
    }
    for target in targets.list() {
        write!(out, " | {:?} {:?}", target.health, target.warning).unwrap();
    }
    out + "\n"
}

#[test]
fn whatever_a_target_does_is_written_down() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let targets = Targets::new();
        let supervisor = bench.context.runtime.supervisor.clone();
        // So that no scrape runs over the end of a round.
        bench.context.runtime.clock.sleep(Duration::from_secs(5)).await;
        targets.apply(&one_target(), &bench.context);
        let mut out = round(&bench, &targets).await;
        answer(&world, "web-1", ok("text/plain; version=0.0.4", "x 1\n"), true);
        out += &round(&bench, &targets).await;
        world.net.refuse("web-1", 9100);
        out += &round(&bench, &targets).await;
        let metrics = "application/openmetrics-text; version=1.0.0";
        answer(&world, "web-1", ok(metrics, "# TYPE y counter\ny_total -1\n# EOF\n"), true);
        out += &round(&bench, &targets).await;
        answer(&world, "web-1", "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", true);
        out += &round(&bench, &targets).await;
        answer(&world, "web-1", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx 1\n", false);
        out += &round(&bench, &targets).await;
        answer(&world, "web-1", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx 1\n", true);
        out += &round(&bench, &targets).await;
        answer(&world, "web-1", ok("text/plain", &"x 1\n".repeat(300)), true);
        out += &round(&bench, &targets).await;
        answer(&world, "web-1", ok("text/html", "<html>\n"), true);
        out += &round(&bench, &targets).await;
        answer(&world, "web-1", "SSH-2.0-OpenSSH\r\n", true);
        out += &round(&bench, &targets).await;
        world.net.set_black_hole("web-1", true);
        out += &round(&bench, &targets).await;
        world.net.set_black_hole("web-1", false);
        answer(&world, "web-1", ok("text/plain", "x 1\n"), true);
        bench.refuse_samples(true);
        out += &round(&bench, &targets).await;
        bench.refuse_samples(false);
        out += &round(&bench, &targets).await;
        bench.state.set_broken(true);
        out += &round(&bench, &targets).await;
        expect![[r#"
            up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("the name `web-1` does not resolve: name or service not known") | Down None
            x=1 up=1 scrape_samples_scraped=1 | web-1:9100 1 None | Up None
            x=ended up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("10.0.0.1:9100 refuses the connection: connection refused") | Down None
            y_total=-1 up=1 scrape_samples_scraped=1 | web-1:9100 1 None | Up Some("line 2: `y_total` counts, so it must not be -1")
            y_total=ended up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("server returned HTTP status 500 Internal Server Error") | Down Some("line 2: `y_total` counts, so it must not be -1")
            up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("no answer within 4 s (while reading the answer)") | Down Some("line 2: `y_total` counts, so it must not be -1")
            up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("the answer is not HTTP or broke off: error reading a body from connection: end of file before message length reached") | Down Some("line 2: `y_total` counts, so it must not be -1")
            up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("body size limit exceeded") | Down Some("line 2: `y_total` counts, so it must not be -1")
            up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target") | Down Some("line 2: `y_total` counts, so it must not be -1")
            up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("the answer is not HTTP or broke off: invalid HTTP version parsed") | Down Some("line 2: `y_total` counts, so it must not be -1")
            up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("no answer within 4 s (while resolving the name or connecting)") | Down Some("line 2: `y_total` counts, so it must not be -1")
            | web-1:9100 1 None | Up None
            x=1 up=1 scrape_samples_scraped=1 | web-1:9100 1 None | Up None
            x=1 up=1 scrape_samples_scraped=1 | web-1:9100 1 None | Up None
        "#]].assert_eq(&out);
        let metrics = bench.context.runtime.metrics.render();
        assert!(metrics.contains("watchbell_scrape_samples_dropped_total{reason=\"store_failed\"} 6"), "{metrics}");
        assert!(metrics.contains("watchbell_scrapes_total{outcome=\"failed\"} 9"), "{metrics}");
        supervisor.stop().await;
    });
}

#[test]
fn scrapes_stand_on_the_grid() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        answer(&world, "web-1", ok("text/plain", "x 1\n"), true);
        let clock = bench.context.runtime.clock.clone();
        clock.sleep(Duration::from_millis(1234)).await;
        let begun = clock.now();
        let supervisor = bench.context.runtime.supervisor.clone();
        Targets::new().apply(&one_target(), &bench.context);
        clock.sleep(Duration::from_secs(35)).await;
        // The clock is set back by an hour: the scraping goes on.
        clock.jump(-3_600_000);
        clock.sleep(Duration::from_secs(30)).await;
        let times: Vec<Timestamp> =
            bench.points().iter().filter(|it| it.labels.name() == Some("up")).map(|it| it.timestamp).collect();
        assert!(times[0].since(begun) <= Duration::from_secs(5), "{times:?}");
        let place = times[1].0 % 10_000;
        assert!(times[1..].iter().filter(|at| at.0 % 10_000 == place).count() >= 5, "{times:?}");
        assert!(times[2].since(times[1]) == Duration::from_secs(10) && times.len() >= 6, "{times:?}");
        supervisor.stop().await;
    });
}

#[test]
fn a_target_that_goes_is_marked_but_not_a_program_that_stops() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        answer(&world, "web-1", ok("text/plain", "x 1\n"), true);
        let targets = Targets::new();
        let supervisor = bench.context.runtime.supervisor.clone();
        targets.apply(&one_target(), &bench.context);
        round(&bench, &targets).await;
        // Labels change: the old series end, new ones begin.
        let mut changed = one_target();
        changed[0].static_configs[0].labels = Labels::from_pairs([("env", "prod")]);
        targets.apply(&changed, &bench.context);
        bench.context.runtime.clock.sleep(Duration::from_millis(1)).await;
        let ended = |points: Vec<Point>| {
            let names = points.iter().filter(|it| is_stale(it.value)).map(|it| it.labels.to_string());
            names.collect::<Vec<_>>().join("\n")
        };
        expect![[r#"
            x{instance="web-1:9100", job="node"}
            up{instance="web-1:9100", job="node"}
            scrape_duration_seconds{instance="web-1:9100", job="node"}
            scrape_samples_scraped{instance="web-1:9100", job="node"}
            scrape_samples_post_metric_relabeling{instance="web-1:9100", job="node"}
            scrape_series_added{instance="web-1:9100", job="node"}"#]]
        .assert_eq(&ended(bench.points()));
        round(&bench, &targets).await;
        supervisor.stop().await;
        assert_eq!(ended(bench.points()), "");
        assert_eq!(targets.list().len(), 1);
        targets.apply(&changed, &bench.context);
        round(&bench, &targets).await;
        targets.apply(&[], &bench.context);
        bench.context.runtime.clock.sleep(Duration::from_millis(1)).await;
        assert_eq!(ended(bench.points()).lines().count(), 6);
        assert!(targets.list().is_empty());
    });
}

#[test]
fn what_is_sent() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        world.net.serve("web-1", 80, move |mut stream: Stream| {
            let sender = sender.clone();
            async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap_or(b'\n'));
                }
                sender.send(String::from_utf8(request).unwrap()).unwrap();
            }
        });
        world.disk.put(Path::new("/token"), b"s3cret\n");
        let set = configs(serde_json::json!([
            {"job_name": "a", "params": {"q": ["a b", "c"]}, "basic_auth": {"username": "u", "password": "p"},
             "static_configs": [{"targets": ["web-1"], "labels": {"__param_module": "m", "__metrics_path__": "/p"}}]},
            {"job_name": "b", "authorization": {"credentials_file": "/token"}, "scrape_timeout": "5s",
             "static_configs": [{"targets": ["web-1", "web-1"]}]},
            {"job_name": "c", "authorization": {"credentials_file": "/gone"},
             "static_configs": [{"targets": ["web-1"]}]}
        ]));
        let targets = Targets::new();
        let supervisor = bench.context.runtime.supervisor.clone();
        targets.apply(&set, &bench.context);
        bench.context.runtime.clock.sleep(Duration::from_secs(6)).await;
        let mut requests = [receiver.recv().await.unwrap(), receiver.recv().await.unwrap()];
        requests.sort();
        expect![[r#"
            GET /metrics HTTP/1.1
            host: web-1
            user-agent: watchbell/0.1.0
            accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2
            accept-encoding: gzip
            x-prometheus-scrape-timeout-seconds: 5
            authorization: Bearer s3cret
            connection: close

            GET /p?module=m&q=a%20b&q=c HTTP/1.1
            host: web-1
            user-agent: watchbell/0.1.0
            accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2
            accept-encoding: gzip
            x-prometheus-scrape-timeout-seconds: 10
            authorization: Basic dTpw
            connection: close

        "#]].assert_eq(&requests.concat().replace("\r\n", "\n"));
        expect!["/gone cannot be read: entity not found"]
            .assert_eq(targets.list().last().unwrap().error.as_deref().unwrap());
        supervisor.stop().await;
    });
}

#[test]
fn a_changed_password_restarts_the_task_only_of_its_job() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let keys = |password: &str| {
            let set = configs(serde_json::json!([
                {"job_name": "a", "basic_auth": {"username": "u", "password": password},
                 "static_configs": [{"targets": ["x"]}]},
                {"job_name": "b", "static_configs": [{"targets": ["x"]}]}
            ]));
            let mut pools = Pools::default();
            pools.set(&set, &[]);
            pools.tasks(&Targets::new(), &bench.context).iter().map(|task| task.key).collect::<Vec<_>>()
        };
        let (one, same, other) = (keys("1"), keys("1"), keys("2"));
        assert_eq!(one, same);
        assert_ne!(one[0], other[0]);
        assert_eq!(one[1], other[1]);
    });
}

#[test]
fn every_problem_is_named() {
    let mut problems = Problems::new();
    let set = configs(serde_json::json!([
        {"job_name": "fine", "static_configs": [{"targets": ["web-1:9100", "[::1]:9100"]}]},
        {"job_name": "", "scrape_interval": "1ms", "scrape_timeout": "1m", "metrics_path": "metrics"},
        {"job_name": "fine", "static_configs": [{"targets": ["http://web-1", "web-1:http", ""]}],
         "relabel_configs": [{"action": "hashmod", "target_label": "a"}], "tls_config": {"cert_file": "x"},
         "proxy_url": "x"},
        {"job_name": "c", "basic_auth": {"username": "u"}, "static_configs": [{"targets": ["x"]}],
         "authorization": {"type": "basic", "credentials": "x", "credentials_file": "y"}}
    ]));
    ScrapeConfig::check_all(&set, &Place::root().field("scrape_configs"), &mut problems);
    let mut out = String::new();
    for problem in &problems.0 {
        let hint = problem.hint.as_deref().expect("every problem says what would be right");
        writeln!(out, "{:?} {}: {}\n    {hint}", problem.level, problem.path, problem.message).unwrap();
    }
    expect![[r#"
        Error scrape_configs[1].job_name: the job has no name
            such as `postfix`
        Error scrape_configs[1].scrape_interval: 1ms is too often
            at least 100ms
        Error scrape_configs[1].scrape_timeout: the timeout 1m is not between 0 and the interval 1ms
            leave it out, or make it shorter than `scrape_interval`
        Error scrape_configs[1].metrics_path: `metrics` is not a path
            `/metrics`
        Warning scrape_configs[1]: the job has no target
            list some in `static_configs`
        Error scrape_configs[2].static_configs[0].targets[0]: `http://web-1` is not an address of a host
            a target is `host:port`, such as `mail.example.org:9154`
        Error scrape_configs[2].static_configs[0].targets[2]: `` is not an address of a host
            a target is `host:port`, such as `mail.example.org:9154`
        Error scrape_configs[2].relabel_configs[0].modulus: `hashmod` asks for a modulus
            the number of parts, such as 4
        Error scrape_configs[2].tls_config: there is a certificate, but no key
            give both `cert_file` and `key_file`, or both `cert` and `key`
        Error scrape_configs[2].job_name: there are two jobs named `fine`
            give each job a name of its own; targets of one job may stand in several `static_configs`
        Error scrape_configs[3]: there are both `basic_auth` and `authorization`
            a request carries only one of them
        Warning scrape_configs[3].basic_auth: there is no password
            such as `password: ${secret:name}`
        Error scrape_configs[3].authorization: there are both `credentials` and `credentials_file`
            at most one of them is needed
        Error scrape_configs[3].authorization.type: the type cannot be `Basic`
            use `basic_auth`
    "#]]
    .assert_eq(&out);
}

#[test]
fn what_nobody_knows_is_refused() {
    assert!(serde_json::from_str::<ScrapeConfig>(r#"{"job_name": "a", "body_size_limit": "5MB"}"#).is_ok());
    assert!(serde_json::from_str::<ScrapeConfig>(r#"{"job_name": "a", "nonsense": 5}"#).is_err());
}
