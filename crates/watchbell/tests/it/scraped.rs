//! Real targets, scraped by watchbell and by a real Prometheus with the same `prometheus.yml`: the same series.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::kit::{Folder, Process, own_address, request, wait_until};
use crate::peers::must_have;

/// Another program, ended by its process id.
struct Program(Child);

impl Program {
    fn start(folder: &Folder, name: &str, arguments: &[String], at: SocketAddr) -> Program {
        let log = std::fs::File::create(folder.path().join(format!("{name}.log"))).expect("a log");
        let child = Command::new(format!("/usr/bin/{name}"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        let program = Program(child);
        wait_until(&format!("{name} listens"), || TcpStream::connect(at).is_ok());
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Scrape configurations of both. What Prometheus says of itself while it is asked changes too often to compare.
fn prometheus_yml(node: SocketAddr, prometheus: SocketAddr) -> String {
    format!(
        r#"global:
  scrape_interval: 1s
  scrape_timeout: 900ms
scrape_configs:
  - job_name: node
    params: {{"collect[]": [loadavg, meminfo, filesystem, netdev, uname, time]}}
    static_configs:
      - targets: ['{node}']
        labels: {{env: test, device: ours}}
    relabel_configs:
      - source_labels: [__address__]
        regex: '([^:]+):(\d+)'
        target_label: port
        replacement: 'p$2'
      - target_label: instance
        replacement: this-host
      - source_labels: [env, port]
        separator: '/'
        target_label: joined
        action: replace
      - source_labels: [__param_collect__, job]
        target_label: part
        modulus: 7
        action: hashmod
    metric_relabel_configs:
      - source_labels: [__name__]
        regex: 'node_scrape_.*'
        action: drop
      - regex: 'exported_(.*)'
        replacement: 'said_$1'
        action: labelmap
      - regex: 'exported_.*'
        action: labeldrop
      - source_labels: [mountpoint]
        target_label: mountpoint
        action: uppercase
  - job_name: prometheus
    honor_labels: true
    static_configs:
      - targets: ['{prometheus}']
    metric_relabel_configs:
      - source_labels: [__name__]
        regex: 'go_.*|process_.*|up|scrape_.*|prometheus_build_info|prometheus_target_sync_.*|prometheus_engine_query_duration_seconds.*'
        action: keep
  - job_name: gone
    static_configs:
      - targets: ['{node}']
        labels: {{__metrics_path__: /nothing-here}}
"#
    )
}

/// Name and labels of all series of these jobs whose last value is not old.
fn series(at: SocketAddr, selector: &str) -> BTreeSet<String> {
    let query = selector.replace('{', "%7B").replace('}', "%7D").replace('"', "%22").replace('=', "%3D");
    let (_, body) = request(at, "GET", &format!("/api/v1/query?query={query}"), &[], "").unwrap_or_default();
    // Prometheus answers long bodies in chunks, whose lengths stand on lines of their own.
    let text: String = match body.starts_with('{') {
        true => body,
        false => {
            let (mut rest, mut whole) = (body.as_str(), String::new());
            while let Some((length, after)) = rest.split_once("\r\n") {
                let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
                if length == 0 || length > after.len() {
                    break;
                }
                whole.push_str(&after[..length]);
                rest = after[length..].trim_start_matches("\r\n");
            }
            whole
        }
    };
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let all = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let text = |series: &Value| {
        let mut labels = series["metric"].clone();
        // Prometheus 2 keeps `0` where 3 and watchbell write `0.0`.
        for name in ["le", "quantile"] {
            if let Some(bound) = labels[name].as_str().and_then(|bound| bound.parse::<f64>().ok()) {
                labels[name] = bound.to_string().into();
            }
        }
        labels.to_string()
    };
    all.iter().map(text).collect()
}

#[test]
fn the_same_targets_give_the_same_series_as_in_prometheus() {
    must_have("/usr/bin/prometheus", "prometheus");
    must_have("/usr/bin/prometheus-node-exporter", "prometheus-node-exporter");
    let folder = Folder::new("scraped");
    let address = own_address();
    let (node, peer) = (SocketAddr::from((address, 9100)), SocketAddr::from((address, 9090)));
    let _node = Program::start(
        &folder,
        "prometheus-node-exporter",
        &[format!("--web.listen-address={node}"), "--collector.textfile.directory=/nonexistent".into()],
        node,
    );
    let config = folder.write("prometheus.yml", &prometheus_yml(node, peer));
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()),
        format!("--web.listen-address={peer}"),
    ];
    let _peer = Program::start(&folder, "prometheus", &arguments, peer);
    // The same target in every format it speaks.
    let formats = "host: {enabled: false}\ndiscovery: {enabled: false}\npacks: []\nscrape_config_files: [more/*.yml]\n";
    folder.write("watchbell.yml", formats);
    let jobs: String = ["PrometheusProto", "PrometheusText0.0.4"]
        .iter()
        .map(|protocol| {
            format!(
                "  - job_name: {protocol}\n    scrape_protocols: [{protocol}]\n    scrape_interval: 1s\n    \
                 static_configs: [{{targets: ['{peer}']}}]\n    relabel_configs: [{{target_label: instance, replacement: x}}]\n    \
                 metric_relabel_configs: [{{source_labels: [__name__], regex: 'go_.*|process_.*|prometheus_build_info|\
                 prometheus_target_sync_.*|prometheus_engine_query_duration_seconds.*', action: keep}}]\n"
            )
        })
        .collect();
    std::fs::create_dir_all(folder.path().join("more")).expect("a folder");
    folder.write("more/formats.yml", &format!("scrape_configs:\n{jobs}"));
    let ours = Process::start(
        &folder,
        &["--config", "prometheus.yml", "--config", "watchbell.yml", "--data", "data", "--listen", "127.0.0.1:0"],
        &[],
    );
    for job in ["node", "prometheus", "gone"] {
        let selector = format!("{{job=\"{job}\"}}");
        let (mut mine, mut theirs) = (BTreeSet::new(), BTreeSet::new());
        let begun = std::time::Instant::now();
        while begun.elapsed() < crate::kit::PATIENCE {
            (mine, theirs) = (series(ours.address, &selector), series(peer, &selector));
            let enough = if job == "gone" { 5 } else { 40 };
            if mine == theirs && mine.len() >= enough {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        let only_mine: Vec<_> = mine.difference(&theirs).take(10).collect();
        let only_theirs: Vec<_> = theirs.difference(&mine).take(10).collect();
        assert!(mine == theirs && !mine.is_empty(), "{job}: only mine {only_mine:#?}, only theirs {only_theirs:#?}");
    }
    let of = |job: &str| -> BTreeSet<String> {
        let all = series(ours.address, &format!("{{job=\"{job}\"}}"));
        all.into_iter().map(|labels| labels.replace(job, "")).collect()
    };
    wait_until("every format gives the same series", || {
        let proto = of("PrometheusProto");
        proto.len() > 40 && proto == of("PrometheusText0.0.4")
    });
}
