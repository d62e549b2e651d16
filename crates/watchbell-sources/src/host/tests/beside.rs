//! Beside the real node_exporter on this machine, where Debian's package is installed: the same series, the same values.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use watchbell_model::Timestamp;
use watchbell_runtime::process::Environment;
use watchbell_runtime::{Disk, Machine};

use super::fixtures::series;
use super::{HostConfig, host, sim};

const EXPORTER: &str = "/usr/bin/prometheus-node-exporter";
/// A figure that moves may be caught at another moment; one that never agrees is wrong.
const ROUNDS: usize = 20;

/// What newer versions tell than 1.5, which Debian has: whole metrics by what they begin with.
const NEWER: [&str; 18] = [
    "node_watchdog_",
    "node_dmmultipath_",
    "node_filesystem_mount_info",
    "node_softnet_cpu_collision_total",
    "node_softnet_received_rps_total",
    "node_softnet_flow_limit_count_total",
    "node_softnet_backlog_len",
    "node_netstat_TcpExt_TCPOFOQueue",
    "node_netstat_TcpExt_TCPRcvQDrop",
    "node_cpu_online",
    "node_cpu_isolated",
    "node_cpu_frequency_avg_hertz",
    "node_cpu_scaling_governor",
    "node_pressure_irq_",
    "node_kernel_hung_",
    "node_os_support_end_",
    // cAdvisor's.
    "container_",
    "machine_",
];
/// Collectors that newer versions have besides, and ours of containers.
const NEWER_COLLECTORS: [&str; 4] = ["containers", "dmmultipath", "kernel_hung", "watchdog"];
/// Labels that newer versions have besides.
const NEWER_LABELS: [&str; 4] =
    [r#"rotational="0""#, r#"rotational="1""#, r#"adminstate="up""#, r#"adminstate="down""#];
/// What is said of the exporter itself.
const ITSELF: [&str; 5] =
    ["go_", "process_", "promhttp_", "node_exporter_build_info", "node_scrape_collector_duration"];
/// Not the same from one moment to the next, and not counted upwards.
const RESTLESS: [&str; 7] = [
    "node_time_seconds",
    "node_scrape_collector_",
    // The connection that asks the exporter is there only while it measures.
    "node_filefd_allocated",
    "node_netstat_Tcp_CurrEstab",
    "node_sockstat_TCP_alloc",
    "node_sockstat_TCP_inuse",
    "node_sockstat_sockets_used",
];

struct Exporter(Child, String);

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Exporter {
    /// With the defaults of its makers in place of Debian's.
    fn start() -> Exporter {
        let mut child = Command::new(EXPORTER)
            .args(["--web.listen-address=127.0.0.1:0", "--no-collector.systemd"])
            .arg("--collector.netdev.device-exclude=^$")
            .arg(r"--collector.diskstats.device-exclude=^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$")
            .arg("--collector.filesystem.mount-points-exclude=^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)")
            .arg("--collector.filesystem.fs-types-exclude=^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address =
            lines.find_map(|line| Some(line.split("address=127.0.0.1:").nth(1)?.split(' ').next()?.to_owned()));
        let address = format!("127.0.0.1:{}", address.expect("it says where it listens"));
        std::thread::Builder::new().spawn(move || lines.for_each(drop)).unwrap();
        Exporter(child, address)
    }

    #[expect(clippy::disallowed_methods, reason = "a real exporter is asked, from a test")]
    fn get(&self) -> BTreeMap<String, f64> {
        let mut stream = std::net::TcpStream::connect(&self.1).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut body = String::new();
        stream.read_to_string(&mut body).unwrap();
        series(body.split_once("\r\n\r\n").unwrap().1, "never")
    }
}

fn begins(name: &str, with: &[&str]) -> bool {
    with.iter().any(|start| name.starts_with(start))
}

#[test]
fn the_same_series_and_values_as_the_real_exporter() {
    if !std::path::Path::new(EXPORTER).exists() {
        eprintln!("skipped: {EXPORTER} is not installed");
        return;
    }
    let exporter = Exporter::start();
    sim::run(1, |world| async move {
        let mut runtime = world.runtime();
        (runtime.disk, runtime.machine, runtime.environment) = (Disk::Os, Machine::Os, Environment::Os);
        let mut host = host(HostConfig::default(), &runtime);
        let mut measure = || {
            host.measure(Timestamp(0));
            let older = NEWER_LABELS.iter().fold(host.out.body().to_owned(), |body, label| {
                body.replace(&format!(",{label}"), "").replace(&format!("{label},"), "")
            });
            series(&older, "never")
        };
        let _ = measure();
        let (theirs, ours) = (exporter.get(), measure());
        let names = |of: &BTreeMap<String, f64>| -> BTreeSet<String> {
            of.keys().filter(|name| !begins(name, &ITSELF)).cloned().collect()
        };
        let (their_names, our_names) = (names(&theirs), names(&ours));
        let missing: Vec<&String> = their_names.difference(&our_names).collect();
        assert!(missing.is_empty(), "missing: {missing:#?}");
        let is_newer = |name: &str| NEWER_COLLECTORS.iter().any(|it| name.contains(&format!("\"{it}\"")));
        let is_more = |name: &&String| !begins(name, &NEWER) && !is_newer(name);
        let more: Vec<&String> = our_names.difference(&their_names).filter(is_more).collect();
        assert!(more.is_empty(), "more: {more:#?}");
        assert!(their_names.len() > 300, "{} series are too few to say anything", their_names.len());

        let is_compared = |name: &&String| !begins(name, &RESTLESS);
        let mut open: BTreeMap<String, String> =
            their_names.iter().filter(is_compared).map(|name| (name.clone(), String::new())).collect();
        // Collectors that fail do so for both.
        open.extend(their_names.iter().filter(|name| name.contains("_success")).map(|it| (it.clone(), String::new())));
        for _ in 0..ROUNDS {
            let (before, ours, after) = (exporter.get(), measure(), exporter.get());
            open.retain(|name, why| {
                let (Some(before), Some(own), Some(after)) = (before.get(name), ours.get(name), after.get(name)) else {
                    return true;
                };
                // What is counted cannot be outside; what goes up and down is caught still, sooner or later.
                let (low, high) = (before.min(*after), before.max(*after));
                let agrees = *own >= low && *own <= high || (own.is_nan() && low.is_nan());
                *why = format!("{before} then {own} of ours then {after}");
                !agrees
            });
        }
        assert!(open.is_empty(), "never the same: {open:#?}");
    });
}
