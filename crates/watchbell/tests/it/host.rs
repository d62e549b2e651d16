//! This host, measured by the real binary: what published dashboards and rules ask for is there.

use std::path::Path;

use serde_json::Value;

use crate::kit::{Folder, Process, wait_until};

/// What the panels of "Node Exporter Full" are made of, and what must be there for them to have something to show.
const PANELS: &[(&str, &str)] = &[
    ("node_uname_info{J}", ""),
    (
        "(sum by (instance) (irate(node_cpu_seconds_total{J, mode!='idle'}[1m])) / on (instance) group_left sum by (instance) (irate(node_cpu_seconds_total{J}[1m]))) * 100",
        "",
    ),
    ("100 * (1 - avg(rate(node_cpu_seconds_total{mode='idle', J}[1m])))", ""),
    ("scalar(node_load1{J}) * 100 / count(count(node_cpu_seconds_total{J}) by (cpu))", ""),
    ("irate(node_pressure_cpu_waiting_seconds_total{J}[1m])", "/proc/pressure/cpu"),
    ("irate(node_pressure_memory_stalled_seconds_total{J}[1m])", "/proc/pressure/memory"),
    ("irate(node_pressure_io_stalled_seconds_total{J}[1m])", "/proc/pressure/io"),
    ("((node_memory_MemTotal_bytes{J} - node_memory_MemFree_bytes{J}) / node_memory_MemTotal_bytes{J}) * 100", ""),
    ("(1 - (node_memory_MemAvailable_bytes{J} / node_memory_MemTotal_bytes{J})) * 100", ""),
    ("node_memory_SwapTotal_bytes{J} - node_memory_SwapFree_bytes{J}", ""),
    (
        "100 - ((node_filesystem_avail_bytes{J, mountpoint='/', fstype!='rootfs'} * 100) / node_filesystem_size_bytes{J, mountpoint='/', fstype!='rootfs'})",
        "",
    ),
    ("node_time_seconds{J} - node_boot_time_seconds{J}", ""),
    ("node_memory_Cached_bytes{J} + node_memory_Buffers_bytes{J} + node_memory_SReclaimable_bytes{J}", ""),
    ("sum by (instance) (rate(node_cpu_seconds_total{J, mode='iowait'}[1m]))", ""),
    ("irate(node_cpu_guest_seconds_total{J, mode='user'}[1m])", ""),
    ("irate(node_network_receive_bytes_total{J}[1m]) * 8", ""),
    ("irate(node_network_transmit_bytes_total{J}[1m]) * 8", ""),
    ("node_network_speed_bytes{J} * 8", "/sys/class/net/eth0/speed"),
    ("node_network_mtu_bytes{J}", ""),
    ("node_network_up{operstate!='x', J}", ""),
    ("node_network_carrier{J}", ""),
    ("node_arp_entries{J}", "/proc/net/arp"),
    ("irate(node_disk_reads_completed_total{J, device=~'[a-z]+|nvme[0-9]+n[0-9]+'}[1m])", ""),
    ("irate(node_disk_written_bytes_total{J}[1m])", ""),
    ("irate(node_disk_io_time_seconds_total{J}[1m])", ""),
    ("irate(node_disk_read_time_seconds_total{J}[1m]) / irate(node_disk_reads_completed_total{J}[1m])", ""),
    ("irate(node_disk_io_time_weighted_seconds_total{J}[1m])", ""),
    ("irate(node_disk_discards_completed_total{J}[1m])", ""),
    ("node_disk_io_now{J}", ""),
    ("node_memory_Active_file_bytes{J} + node_memory_Inactive_anon_bytes{J}", ""),
    ("node_memory_Committed_AS_bytes{J} / node_memory_CommitLimit_bytes{J}", ""),
    ("node_memory_Dirty_bytes{J} + node_memory_Writeback_bytes{J}", ""),
    ("node_memory_Mapped_bytes{J} + node_memory_Shmem_bytes{J}", ""),
    ("node_memory_VmallocUsed_bytes{J}", ""),
    ("node_memory_HugePages_Total{J}", ""),
    ("node_memory_DirectMap4k_bytes{J}", ""),
    ("irate(node_vmstat_pgpgin{J}[1m])", ""),
    ("irate(node_vmstat_pswpout{J}[1m])", ""),
    ("irate(node_vmstat_pgfault{J}[1m]) - irate(node_vmstat_pgmajfault{J}[1m])", ""),
    ("irate(node_vmstat_oom_kill{J}[1m])", ""),
    ("node_timex_estimated_error_seconds{J}", ""),
    ("node_timex_offset_seconds{J}", ""),
    ("node_timex_sync_status{J}", ""),
    ("node_timex_frequency_adjustment_ratio{J}", ""),
    ("node_timex_tick_seconds{J}", ""),
    ("node_procs_blocked{J} + node_procs_running{J}", ""),
    ("irate(node_forks_total{J}[1m])", ""),
    ("irate(node_context_switches_total{J}[1m]) + irate(node_intr_total{J}[1m])", ""),
    ("node_load15{J}", ""),
    ("irate(node_schedstat_running_seconds_total{J}[1m])", "/proc/schedstat"),
    ("node_entropy_available_bits{J}", ""),
    ("node_filefd_allocated{J} / node_filefd_maximum{J}", ""),
    (
        "node_hwmon_temp_celsius{J} * on (chip) group_left (chip_name) node_hwmon_chip_names{J}",
        "/sys/class/hwmon/hwmon0",
    ),
    ("node_cooling_device_cur_state{J}", "/sys/class/thermal/cooling_device0"),
    ("node_power_supply_online{J}", "/sys/class/power_supply/AC"),
    ("node_filesystem_files_free{J, device!~'rootfs'}", ""),
    ("node_filesystem_readonly{J} + node_filesystem_device_error{J}", ""),
    ("irate(node_network_receive_packets_total{J}[1m])", ""),
    ("irate(node_network_receive_errs_total{J}[1m]) + irate(node_network_receive_drop_total{J}[1m])", ""),
    ("irate(node_network_receive_multicast_total{J}[1m]) + irate(node_network_receive_fifo_total{J}[1m])", ""),
    ("irate(node_network_transmit_carrier_total{J}[1m]) + irate(node_network_transmit_colls_total{J}[1m])", ""),
    ("node_nf_conntrack_entries{J} / node_nf_conntrack_entries_limit{J}", "/proc/sys/net/netfilter/nf_conntrack_count"),
    ("node_sockstat_TCP_alloc{J} + node_sockstat_TCP_inuse{J} + node_sockstat_TCP_tw{J}", ""),
    ("node_sockstat_UDP_inuse{J} + node_sockstat_UDP_mem{J}", ""),
    ("node_sockstat_TCP_mem_bytes{J} + node_sockstat_UDP_mem_bytes{J}", ""),
    ("node_sockstat_FRAG_memory{J} + node_sockstat_sockets_used{J}", ""),
    ("irate(node_softnet_processed_total{J}[1m]) + irate(node_softnet_dropped_total{J}[1m])", ""),
    ("irate(node_softnet_times_squeezed_total{J}[1m])", ""),
    ("irate(node_netstat_IpExt_InOctets{J}[1m])", ""),
    ("irate(node_netstat_Icmp_InMsgs{J}[1m]) + irate(node_netstat_Icmp_InErrors{J}[1m])", ""),
    ("irate(node_netstat_Udp_InDatagrams{J}[1m]) + irate(node_netstat_Udp_NoPorts{J}[1m])", ""),
    ("irate(node_netstat_Tcp_InSegs{J}[1m]) + irate(node_netstat_Tcp_RetransSegs{J}[1m])", ""),
    ("irate(node_netstat_TcpExt_ListenOverflows{J}[1m]) + irate(node_netstat_TcpExt_TCPSynRetrans{J}[1m])", ""),
    ("irate(node_netstat_Tcp_ActiveOpens{J}[1m]) + node_netstat_Tcp_CurrEstab{J}", ""),
    ("node_scrape_collector_duration_seconds{J}", ""),
    ("node_scrape_collector_success{J}", ""),
    ("node_textfile_scrape_error{J}", ""),
    ("up{J}", ""),
    ("node_os_info{J}", "/etc/os-release"),
    ("node_exporter_build_info{J}", ""),
    // The mixin's recording rules and the left sides of its alerts.
    ("count without (cpu, mode) (node_cpu_seconds_total{J, mode='idle'})", ""),
    ("1 - avg without (cpu) (sum without (mode) (rate(node_cpu_seconds_total{J, mode=~'idle|iowait|steal'}[1m])))", ""),
    ("rate(node_vmstat_pgmajfault{J}[1m])", ""),
    (
        "rate(node_disk_io_time_seconds_total{J, device=~'(/dev/)?(mmcblk.p.+|nvme.+|rbd.+|sd.+|vd.+|xvd.+|dm-.+|md.+|dasd.+)'}[1m])",
        "",
    ),
    ("sum without (device) (rate(node_network_receive_bytes_total{J, device!='lo'}[1m]))", ""),
    ("predict_linear(node_filesystem_avail_bytes{J, fstype!=''}[1m], 24 * 60 * 60)", ""),
    (
        "node_filesystem_files_free{J, fstype!='', mountpoint!=''} / node_filesystem_files{J, fstype!='', mountpoint!=''} * 100",
        "",
    ),
    ("rate(node_network_receive_errs_total{J}[2m]) + rate(node_network_receive_packets_total{J}[2m])", ""),
    ("min_over_time(node_timex_sync_status{J}[5m]) + node_timex_maxerror_seconds{J}", ""),
    ("node_md_disks_required{J} - ignoring (state) node_md_disks{J, state='active'}", "/proc/mdstat"),
    ("node_memory_Active_bytes{J}", ""),
    ("machine_cpu_cores{J} + machine_memory_bytes{J}", ""),
];

fn ask(watchbell: &Process, query: &str) -> Value {
    let query: String = query
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let (status, body) = watchbell.get(&format!("/api/v1/query?query={query}"));
    let from = body.find('{').unwrap_or_default();
    let to = body.rfind('}').map_or(body.len(), |at| at + 1);
    serde_json::from_str(&body[from..to]).unwrap_or_else(|error| panic!("{status} {error}: {body:.300}"))
}

#[test]
fn published_dashboards_find_what_they_ask_for() {
    let folder = Folder::new("host");
    let config = folder.write("watchbell.yml", "host:\n  interval: 1s\n  job: node\ndiscovery: {enabled: false}\n");
    let data = folder.path().join("data").display().to_string();
    let arguments = ["--data", &data, "--listen", "127.0.0.1:0", "--config", &config.display().to_string()];
    let watchbell = Process::start(&folder, &arguments, &[]);
    let count = |query: &str| ask(&watchbell, query)["data"]["result"].as_array().map_or(0, Vec::len);
    wait_until("it has measured three times", || {
        ask(&watchbell, "count_over_time(node_load1[1m])")["data"]["result"][0]["value"][1]
            .as_str()
            .is_some_and(|count| count.parse::<f64>().is_ok_and(|count| count >= 3.0))
    });
    let mut empty = Vec::new();
    for (query, needs) in PANELS {
        let query =
            query.replace("{J", "{job=\"node\"").replace(", J}", ", job=\"node\"}").replace(", J,", ", job=\"node\",");
        if count(&query) == 0 && (needs.is_empty() || Path::new(needs).exists()) {
            empty.push(query);
        }
    }
    assert!(empty.is_empty(), "nothing for {empty:#?}");

    // Each metric says what it is, and so do watchbell's own.
    let (_, metadata) = watchbell.get("/api/v1/metadata");
    for metric in ["node_load1", "node_cpu_seconds_total", "node_vmstat_pgfault", "watchbell_config_items"] {
        assert!(metadata.contains(&format!("\"{metric}\"")), "{metric} is not described");
    }
    let (_, alerts) = watchbell.get("/api/v1/rules");
    for alert in ["HostDiskFillsUp", "HostRaidDegraded", "HostClockNotSynchronised"] {
        assert!(alerts.contains(alert), "{alert} is not there: {alerts:.300}");
    }
    assert!(
        count("ALERTS{alertname=~\"Host[^DMI].*\", alertstate=\"firing\"}") == 0,
        "a healthy host has nothing to say"
    );
    assert_eq!(watchbell.stop(), Some(0));
}
