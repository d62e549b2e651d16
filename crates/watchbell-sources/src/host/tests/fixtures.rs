//! Against node_exporter's own recorded files and what it makes of them, where they are: `NODE_EXPORTER_FIXTURES` names
//! its folder `collector/fixtures`, with `sys.ttar` and `udev.ttar` unpacked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use watchbell_model::Timestamp;
use watchbell_runtime::{Disk, Machine};

use super::{host, only, sim};

/// Metrics by what they begin with, of what is not measured here.
const NOT_OURS: [&str; 18] = [
    "go_",
    "process_",
    "promhttp_",
    // Not a part of Linux any more.
    "node_bcachefs_",
    // Off by default there, and not here at all.
    "node_cpu_vulnerabilities_",
    "node_drbd_",
    "node_lnstat_",
    "node_arp_cache_",
    "node_ndisc_cache_",
    "node_nf_conntrack_stat_clashres",
    "node_memory_numa_",
    "node_mountstats_",
    "node_pcidevice_",
    "node_qdisc_",
    "node_wifi_",
    "node_xfrm_",
    // Of the machine it was recorded on, or of the moment.
    "node_exporter_build_info",
    "node_scrape_collector_",
];

/// Series with their labels in order, and their values.
pub(super) fn series(text: &str, root: &str) -> BTreeMap<String, f64> {
    let series = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let mut labels = pairs(labels.trim_end_matches('}'));
        labels.retain(|label| !label.ends_with("=\"\""));
        labels.sort();
        Some((format!("{name}{{{}}}", labels.join(",")).replace(root, "collector/fixtures"), value.parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(series).collect()
}

/// Commas within a value part nothing.
fn pairs(labels: &str) -> Vec<String> {
    let (mut pairs, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in labels.chars() {
        match c {
            ',' if !quoted => pairs.push(String::new()),
            _ => {
                quoted ^= c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                pairs.last_mut().unwrap().push(c);
            }
        }
    }
    pairs
}

#[test]
fn conformance_to_what_node_exporter_makes_of_its_files() {
    let Ok(root) = std::env::var("NODE_EXPORTER_FIXTURES") else {
        eprintln!("skipped: NODE_EXPORTER_FIXTURES is not set");
        return;
    };
    let names: Vec<&str> = super::COLLECTORS
        .iter()
        .map(|it| it.name)
        .filter(|name| !["filesystem", "selinux", "timex", "uname", "tcpstat", "swap"].contains(name))
        .collect();
    let mut config = only(&names);
    let dir = PathBuf::from(&root);
    config.paths.procfs = dir.join("proc");
    config.paths.sysfs = dir.join("sys");
    config.paths.rootfs = dir.clone();
    config.paths.udev_data = dir.join("udev/data");
    let it = &mut config.collectors;
    it.arp.device_exclude = Some("nope".into());
    it.bcache.priority_stats = true;
    it.cpu.info = Some(true);
    it.cpu.info_bugs_include = Some("^(cpu_meltdown|spectre_.*|mds)$".into());
    it.cpu.info_flags_include = Some("^(aes|avx.?|constant_tsc)$".into());
    it.hwmon.chip_include = Some("(applesmc|asus_nb_wmi|coretemp|hwmon4|ieee80211|nct6779)".into());
    it.netclass.ignore_invalid_speed = true;
    it.netclass.ignored_devices = Some("(dmz|int)".into());
    it.netdev.device_include = Some("lo".into());
    it.stat.softirq = true;
    it.sysctl.include_info = vec!["kernel.seccomp.actions_avail".into()];
    it.sysctl.include =
        ["fs.file-nr", "fs.file-nr:total,current,max", "kernel.threads-max"].map(str::to_owned).to_vec();
    it.textfile.directory = vec![format!("{root}/textfile/two_metric_files/")];
    let body = sim::run(1, |world| async move {
        let mut runtime = world.runtime();
        (runtime.disk, runtime.machine) = (Disk::Os, Machine::Os);
        let mut host = host(config, &runtime);
        host.measure(Timestamp(0));
        host.out.body().to_owned()
    });
    let ours = series(&body, root.trim_end_matches('/'));
    let theirs = String::from_utf8(Disk::Os.read(&dir.join("e2e-output.txt")).unwrap()).unwrap();
    let theirs = series(&theirs, "never");
    let is_compared = |name: &str| {
        !NOT_OURS.iter().any(|start| name.starts_with(start))
            && !name.contains("node_textfile_mtime_seconds")
            && !name.starts_with("node_time_")
            // Counted by the machine that the test runs on.
            && !["receive", "transmit"].iter().any(|way| name.starts_with(&format!("node_network_{way}_")))
    };
    let mut differences = Vec::new();
    for (name, value) in theirs.iter().filter(|(name, _)| is_compared(name)) {
        match ours.get(name) {
            None => differences.push(format!("missing {name} {value}")),
            Some(other) if other != value && !(other.is_nan() && value.is_nan()) => {
                differences.push(format!("{name}: theirs {value}, ours {other}"));
            }
            Some(_) => {}
        }
    }
    for (name, value) in ours.iter().filter(|(name, _)| is_compared(name) && !theirs.contains_key(*name)) {
        differences.push(format!("more {name} {value}"));
    }
    let compared = theirs.keys().filter(|name| is_compared(name)).count();
    assert!(differences.is_empty(), "of {compared} series:\n{}", differences.join("\n"));
    assert!(compared > 2000, "{compared}");
}
