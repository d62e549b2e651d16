//! Targets that come and go while watchbell runs.

use super::*;

fn files(json: &str, world: &sim::World) {
    world.disk.put(Path::new("/targets.json"), json.as_bytes());
}

fn set() -> Vec<ScrapeConfig> {
    configs(serde_json::json!([{
        "job_name": "a", "scrape_interval": "10s",
        "file_sd_configs": [{"files": ["/targets.json"], "refresh_interval": "30s"}]
    }]))
}

fn instances(targets: &Targets) -> Vec<String> {
    targets.list().into_iter().map(|it| format!("{} {:?}", it.instance, it.health)).collect()
}

#[test]
fn a_discovery_moves_targets_without_disturbing_the_others() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        for host in ["web-1", "web-2"] {
            answer(&world, host, ok("text/plain", "x 1\n"), true);
        }
        files(r#"[{"targets": ["web-1:9100"]}]"#, &world);
        let targets = Targets::new();
        targets.apply(&set(), &bench.context);
        round(&bench, &targets).await;
        assert_eq!(instances(&targets), ["web-1:9100 Up"]);
        files(r#"[{"targets": ["web-1:9100", "web-2:9100"], "labels": {"__meta_new": "1"}}]"#, &world);
        for _ in 0..5 {
            round(&bench, &targets).await;
        }
        assert_eq!(instances(&targets), ["web-1:9100 Up", "web-2:9100 Up"]);
        assert_eq!(targets.list()[0].discovered.get("__meta_new"), Some("1"));
        let (count, restarts) = (bench.context.runtime.supervisor.tasks().len(), 0);
        assert_eq!((count, restarts), (3, 0));
        // What cannot be read takes nothing away, and it is told.
        files("[", &world);
        for _ in 0..5 {
            round(&bench, &targets).await;
        }
        assert_eq!(instances(&targets), ["web-1:9100 Up", "web-2:9100 Up"]);
        // A reload of the same configuration keeps what was found.
        targets.apply(&set(), &bench.context);
        assert_eq!(instances(&targets), ["web-1:9100 Up", "web-2:9100 Up"]);
        files("[]", &world);
        let mut ended = String::new();
        for _ in 0..5 {
            ended += &round(&bench, &targets).await;
        }
        assert!(instances(&targets).is_empty());
        assert!(ended.contains("x=ended up=ended"), "{ended}");
        targets.apply(&[], &bench.context);
        assert!(targets.pool_names().is_empty());
        bench.context.runtime.supervisor.stop().await;
    });
}

#[test]
fn changed_rules_for_samples_end_the_series() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        answer(&world, "web-1", ok("text/plain", "x 1\n"), true);
        let targets = Targets::new();
        targets.apply(&one_target(), &bench.context);
        round(&bench, &targets).await;
        // Another timeout changes no series.
        let mut slower = one_target();
        slower[0].scrape_timeout = Some(Span::seconds(5));
        targets.apply(&slower, &bench.context);
        let out = round(&bench, &targets).await;
        assert!(!out.contains("ended"), "{out}");
        let mut without = slower.clone();
        without[0].metric_relabel_configs = serde_json::from_value(
            serde_json::json!([{"source_labels": ["__name__"], "regex": "x", "action": "drop"}]),
        )
        .unwrap();
        targets.apply(&without, &bench.context);
        let out = round(&bench, &targets).await;
        assert!(out.contains("x=ended") && !out.contains("x=1"), "{out}");
        bench.context.runtime.supervisor.stop().await;
    });
}

#[test]
fn compressed_bodies_are_read_and_bounded() {
    use flate2::write::GzEncoder;
    use std::io::Write as _;
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let targets = Targets::new();
        targets.apply(&one_target(), &bench.context);
        let mut out = String::new();
        for lines in [1, 2000] {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all("x 1\n".repeat(lines).as_bytes()).unwrap();
            let body = gzip.finish().unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\ncontent-length: ";
            let mut bytes = format!("{head}{}\r\n\r\n", body.len()).into_bytes();
            bytes.extend(body);
            answer(&world, "web-1", bytes, true);
            out += &round(&bench, &targets).await;
        }
        answer(&world, "web-1", ok("text/plain\r\ncontent-encoding: gzip", "not compressed"), true);
        out += &round(&bench, &targets).await;
        expect![[r#"
            x=1 up=1 scrape_samples_scraped=1 x=1 up=1 scrape_samples_scraped=1 | web-1:9100 1 None| web-1:9100 1 None | Up None
            x=ended up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("body size limit exceeded") | Down None
            up=0 scrape_samples_scraped=0 | web-1:9100 0 Some("the compressed body cannot be read: invalid gzip header") | Down None
        "#]].assert_eq(&out);
        bench.context.runtime.supervisor.stop().await;
    });
}
