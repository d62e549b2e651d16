//! The work as a whole: on its grid, by reference, through failures.

use std::path::Path;
use std::time::Duration;

use expect_test::expect;
use watchbell_model::{Point, Span, Timestamp, is_stale};

use super::super::task;
use super::{HostConfig, only, sim};
use crate::bench::bench;

/// Without how long things took.
fn shown(points: &[Point]) -> String {
    let line = |point: &Point| {
        assert_eq!((point.labels.get("job"), point.labels.get("instance")), (Some("node"), Some("mail-1")));
        let labels = point.labels.without("job").without("instance");
        let value = if is_stale(point.value) { "ended".to_owned() } else { point.value.to_string() };
        format!("{labels} {value}\n")
    };
    let is_shown = |point: &&Point| {
        let name = point.labels.name().unwrap();
        !name.contains("collector_") && !name.starts_with("scrape_") && name != "node_exporter_build_info"
    };
    let when = points.first().map_or(Timestamp(0), |point| point.timestamp);
    format!("{when}\n{}", points.iter().filter(is_shown).map(line).collect::<String>())
}

#[test]
fn it_measures_at_once_and_then_on_the_grid() {
    sim::run(1, |world| async move {
        let put = |path: &str, text: &str| world.disk.put(Path::new(path), text.as_bytes());
        put("/proc/sys/kernel/hostname", "mail-1\n");
        put("/proc/loadavg", "0.5 0.6 0.7 1/1 1");
        put("/proc/net/arp", "IP\n10.0.0.1 0x1 0x2 02:00 * eth0\n");
        let bench = bench(&world);
        let runtime = bench.context.runtime.clone();
        runtime.clock.sleep(Duration::from_millis(2500)).await;
        let config = HostConfig { interval: Span::seconds(10), job: "node".into(), ..only(&["arp", "loadavg"]) };
        runtime.supervisor.spawn("host", task(&config, &bench.context).unwrap());
        runtime.clock.sleep(Duration::from_millis(10)).await;
        expect![[r#"
            2026-01-05T00:00:02.500Z
            node_arp_entries{device="eth0"} 1
            node_load1 0.5
            node_load5 0.6
            node_load15 0.7
            up 1
        "#]]
        .assert_eq(&shown(&bench.points()));
        let told = bench.store().metadata.clone();
        let load = told.iter().find(|(name, _)| *name == "node_load1").map(|(_, it)| it.clone()).unwrap();
        assert_eq!(load.kind.as_str(), "gauge");
        assert!(!load.help.is_empty());
        let known = bench.store().metadata.len();

        put("/proc/net/arp", "IP\n10.0.0.1 0x1 0x2 02:00 * eth0\n10.0.0.2 0x1 0x2 02:00 * eth1\n");
        world.disk.put(Path::new("/proc/loadavg"), b"odd");
        runtime.clock.sleep(Duration::from_secs(10)).await;
        expect![[r#"
            2026-01-05T00:00:10.000Z
            node_arp_entries{device="eth0"} 1
            node_arp_entries{device="eth1"} 1
            node_load1 ended
            node_load15 ended
            node_load5 ended
            up 1
        "#]]
        .assert_eq(&shown(&bench.points()));
        assert_eq!(bench.store().metadata.len(), known, "metadata is told once");
        bench.refuse_samples(true);
        runtime.clock.sleep(Duration::from_secs(10)).await;
        bench.refuse_samples(false);
        runtime.clock.sleep(Duration::from_secs(10)).await;
        assert!(!bench.points().is_empty(), "it goes on after the store failed");
        runtime.clock.jump(-3_600_000);
        runtime.clock.sleep(Duration::from_secs(15)).await;
        assert!(!bench.points().is_empty(), "it goes on after the clock was set back");
        assert!(!runtime.metrics.render().contains("watchbell_host_samples_dropped_total 0"));
        runtime.supervisor.stop().await;
    });
}

#[test]
fn it_can_be_switched_off() {
    sim::run(1, |world| async move {
        let config = HostConfig { enabled: false, ..HostConfig::default() };
        assert!(task(&config, &bench(&world).context).is_none());
    });
}

#[test]
fn text_files_are_taken_whole_or_not_at_all() {
    let mut config = only(&["textfile"]);
    config.collectors.textfile.directory = vec!["/srv/text*".into(), "/missing".into()];
    let told = super::collect_with(
        config,
        &[
            (
                "/srv/text1/good.prom",
                "# HELP backup_size How big.\n# TYPE backup_size gauge\nbackup_size{job=\"db\"} 5\n",
            ),
            ("/srv/text2/bad.prom", "backup_ok 1\nbackup_bad{ 1\n"),
            ("/srv/text2/timed.prom", "backup_timed 1 1700000000000\n"),
            ("/srv/text2/other.txt", "backup_other 1\n"),
            ("/srv/else/x.prom", "backup_else 1\n"),
        ],
    );
    expect![[r#"
        backup_size{job="db"} 5
        node_textfile_mtime_seconds{file="/srv/text1/good.prom"} 0
        node_textfile_scrape_error 1
    "#]]
    .assert_eq(&told);
}
