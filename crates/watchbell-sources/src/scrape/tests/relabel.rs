//! What is known of targets in, targets out; bodies in, relabelled samples out.

use super::*;
use crate::discovery::TargetGroup;
use crate::scrape::job::Job;
use crate::scrape::target::{self, Made};

/// What becomes of each target of one job: where it is fetched and its labels, or why not.
fn made(config: serde_json::Value, targets: &[&[(&str, &str)]]) -> String {
    let mut config: ScrapeConfig = serde_json::from_value(config).unwrap();
    config.fill(&ScrapeDefaults::default());
    let job = Job::new(&config);
    let mut out = String::new();
    for target in targets {
        let own = Labels::from_pairs(target.iter().copied());
        let discovered = target::discovered(&config, &Labels::from_pairs([("group", "g")]), &own);
        match target::make(&job, discovered) {
            Made::Target(it) => {
                let (url, labels, interval, timeout) = (it.url, it.labels, it.interval, it.timeout);
                writeln!(out, "{url} {labels} every {interval} within {timeout}").unwrap();
            }
            Made::Dropped => out += "dropped\n",
            Made::Failed(reason) => writeln!(out, "failed: {reason}").unwrap(),
        }
    }
    out
}

#[test]
fn the_pattern_of_the_blackbox_exporter() {
    let got = made(
        serde_json::json!({
            "job_name": "blackbox", "metrics_path": "/probe", "params": {"module": ["http_2xx"]},
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": "127.0.0.1:9115"}
            ]
        }),
        &[&[("__address__", "https://example.org")], &[("__address__", "mail.example.org:25"), ("module", "smtp")]],
    );
    expect![[r#"
        http://127.0.0.1:9115/probe?module=http_2xx&target=https%3A%2F%2Fexample.org {group="g", instance="https://example.org", job="blackbox"} every 1m within 10s
        http://127.0.0.1:9115/probe?module=http_2xx&target=mail.example.org%3A25 {group="g", instance="mail.example.org:25", job="blackbox", module="smtp"} every 1m within 10s
    "#]]
    .assert_eq(&got);
}

#[test]
fn labels_with_a_meaning() {
    let got = made(
        serde_json::json!({
            "job_name": "a", "scrape_interval": "20s", "params": {"p": ["1", "2"]},
            "relabel_configs": [
                {"source_labels": ["__meta_drop"], "regex": "yes", "action": "drop"},
                {"regex": "__meta_label_(.+)", "action": "labelmap"},
                {"source_labels": ["__meta_interval"], "regex": "(.+)", "target_label": "__scrape_interval__"},
                {"source_labels": ["__tmp_x", "group"], "target_label": "joined"}
            ]
        }),
        &[
            &[("__address__", "h"), ("__scheme__", "https"), ("__metrics_path__", "/a b?c"), ("__param_p", "3&")],
            &[("__address__", "h:1"), ("__meta_label_env", "prod"), ("__tmp_x", "t"), ("group", "own")],
            &[("__address__", "h:1"), ("__meta_interval", "5s")],
            &[("__address__", "h:1"), ("__meta_interval", "1m"), ("__scrape_timeout__", "45s"), ("job", "other")],
            &[("__address__", "h:1"), ("__meta_interval", "x")],
            &[("__address__", "h:1"), ("__meta_drop", "yes")],
            &[("x", "1")],
            &[("__address__", "http://h")],
            &[("__address__", "h:port")],
            &[("__address__", "h:1"), ("__scrape_native_histograms__", "maybe")],
        ],
    );
    expect![[r#"
        https://h/a%20b%3Fc?p=3%26&p=2 {group="g", instance="h", job="a", joined=";g"} every 20s within 10s
        http://h:1/metrics?p=1&p=2 {env="prod", group="own", instance="h:1", job="a", joined="t;own"} every 20s within 10s
        failed: scrape timeout cannot be greater than scrape interval ("10s" > "5s")
        http://h:1/metrics?p=1&p=2 {group="g", instance="h:1", job="other", joined=";g"} every 1m within 45s
        failed: error parsing scrape interval: `x` is not a duration; write it as `30s`, `5m`, `1h30m` or `7d`
        dropped
        failed: no address
        failed: `http://h` is not an address of a host
        failed: `http://h:port/metrics?p=1&p=2` is not a web address: its port is not a number up to 65535
        failed: error parsing scrape native histograms: `maybe` is neither true nor false
    "#]].assert_eq(&got);
}

#[test]
fn the_same_target_twice_is_scraped_once_and_too_many_are_not_scraped() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        answer(&world, "web-1", ok("text/plain", "x 1\n"), true);
        let set = configs(serde_json::json!([{
            "job_name": "a", "scrape_interval": "10s", "target_limit": 1, "keep_dropped_targets": 1,
            "relabel_configs": [{"source_labels": ["drop"], "regex": "1", "action": "drop"}],
            "static_configs": [
                {"targets": ["web-1:9100", "web-1:9100"]},
                {"targets": ["web-1:9100"], "labels": {"env": "prod"}},
                {"targets": ["b:1", "c:1"], "labels": {"drop": "1"}}
            ]
        }]));
        let targets = Targets::new();
        targets.apply(&set, &bench.context);
        let first = round(&bench, &targets).await;
        assert!(first.contains("target_limit exceeded (number of targets: 2, limit: 1)"), "{first}");
        assert_eq!(targets.list().len(), 2);
        assert_eq!((targets.dropped().len(), targets.dropped_counts()["a"]), (1, 2));
        assert_eq!(targets.dropped()[0].discovered.get("__address__"), Some("b:1"));
        let steps = targets.relabel_steps("a", &targets.dropped()[0].discovered).unwrap();
        assert!(!steps[0].keep);
        // Within the limit again: they are scraped, without a restart.
        let mut fewer = set.clone();
        fewer[0].static_configs.truncate(1);
        targets.apply(&fewer, &bench.context);
        let second = round(&bench, &targets).await;
        assert!(second.contains("x=1 up=1"), "{second}");
        bench.context.runtime.supervisor.stop().await;
    });
}

#[test]
fn samples_are_relabelled_once() {
    let relabel = |json: serde_json::Value| Relabel::new(&serde_json::from_value::<Vec<_>>(json).unwrap());
    check(
        Rules {
            samples_max: 2,
            labels_max: 4,
            relabel: relabel(serde_json::json!([
                {"source_labels": ["__name__"], "regex": "go_.*", "action": "drop"},
                {"regex": "c", "action": "labeldrop"},
                {"source_labels": ["d"], "regex": "(.+)", "target_label": "e", "replacement": "<$1>"}
            ])),
            ..rules()
        },
        Format::Text,
        &["go_a 1\nx{c=\"1\",d=\"2\"} 1\ngo_b 2\ny 1\n", "go_a 1\ny 1\n", "go_a 1\n", "x 1\ny 1\nz 1\ngo_a 1\n"],
        expect![[r#"
            failed: label_limit exceeded (metric: x, number of labels: 5, limit: 4)
            2 samples, 0 left, 0 added, 0 duplicate, 0 future
            2000 y{instance="b", job="a"} 1
            2 samples, 1 left, 1 added, 0 duplicate, 0 future
            3000 y{instance="b", job="a"} ended
            1 samples, 0 left, 0 added, 0 duplicate, 0 future
            failed: sample limit exceeded
            4 samples, 3 left, 2 added, 0 duplicate, 0 future
        "#]],
    );
    check(
        Rules { relabel: relabel(serde_json::json!([{"regex": "__name__", "action": "labeldrop"}])), ..rules() },
        Format::Text,
        &["x 1\n"],
        expect![[r#"
            failed: line 1: missing metric name (__name__ label)
            1 samples, 0 left, 0 added, 0 duplicate, 0 future
        "#]],
    );
    check(
        Rules { legacy_names: true, ..rules() },
        Format::Text,
        &["x 1\n{\"a.b\"} 1\n"],
        expect![[r#"
        failed: line 2: invalid metric name or label names: a.b{instance="b", job="a"}
        2 samples, 1 left, 1 added, 0 duplicate, 0 future
    "#]],
    );
}

#[test]
fn bounds_are_the_same_number_in_one_way() {
    check(
        rules(),
        Format::Text,
        &[
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_bucket{le=\"1e3\"} 1\n# TYPE s summary\n\
           s{quantile=\"1\"} 2\n# TYPE g gauge\ng{le=\"1\"} 3\n",
        ],
        expect![[r#"
            1000 g{instance="b", job="a", le="1"} 3
            1000 h_bucket{instance="b", job="a", le="+Inf"} 1
            1000 h_bucket{instance="b", job="a", le="1.0"} 1
            1000 h_bucket{instance="b", job="a", le="1000.0"} 1
            1000 s{instance="b", job="a", quantile="1.0"} 2
            5 samples, 5 left, 5 added, 0 duplicate, 0 future
        "#]],
    );
}

#[test]
fn a_group_of_a_discovery_lies_under_its_targets() {
    let groups = target::of_static(
        &configs(serde_json::json!([
            {"job_name": "a", "static_configs": [{"targets": ["x", "y"], "labels": {"l": "1"}}]}
        ]))[0]
            .static_configs,
    );
    let address = |address: &str| Labels::from_pairs([("__address__", address)]);
    let group = TargetGroup {
        source: "0".into(),
        labels: Labels::from_pairs([("l", "1")]),
        targets: vec![address("x"), address("y")],
    };
    assert_eq!(groups, [group]);
}
