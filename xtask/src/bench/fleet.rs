//! Series as node exporters of a fleet send them: names, label sets and the ways values move, from a seed.
//!
//! Of what a host really sends about a third ever changes; the rest are sizes, limits, idle devices and counters of
//! errors that did not happen. The shares here are those of a recorded node_exporter.

/// Series of one host.
pub const PER_HOST: usize = 500;

/// How a value moves from one scrape to the next.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Never.
    Constant(f64),
    /// Whole numbers up, about so many per second.
    Counter(f64),
    /// Hundredths of seconds up, about so many seconds per second.
    Seconds(f64),
    /// Bytes in pages around a level, with a drift.
    Pages(f64),
    /// A small gauge with two decimals.
    Load(f64),
    /// How long something took, with nanoseconds: noise.
    Duration(f64),
    /// A small whole number that moves now and then.
    Count(f64),
    /// The time itself.
    Time,
}

/// A series and where it is.
#[derive(Clone)]
pub struct Series {
    /// `Label` messages of a remote write request.
    pub labels: Vec<u8>,
    shape: Shape,
    value: f64,
    random: Random,
}

/// SplitMix64.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal, around 0, mostly within 1.
    fn noise(&mut self) -> f64 {
        (self.unit() + self.unit() + self.unit() + self.unit() - 2.0) / 1.2
    }
}

impl Series {
    /// A series whose values are given by the caller.
    pub fn named(labels: &[(&str, &str)]) -> Series {
        Series { labels: encode(labels), shape: Shape::Constant(0.0), value: 0.0, random: Random(0) }
    }

    /// Its value at the next scrape, `millis` since 1970.
    pub fn next(&mut self, millis: i64) -> f64 {
        let random = &mut self.random;
        match self.shape {
            Shape::Constant(value) => return value,
            Shape::Time => return (millis as f64 + random.unit() * 100.0).round() / 1000.0,
            Shape::Duration(level) => return (level * (1.0 + random.noise() * 0.4) * 1e9).round() / 1e9,
            Shape::Counter(rate) => {
                // Work comes in bursts.
                let burst = if random.next().is_multiple_of(8) { 3.0 } else { 1.0 };
                self.value += (rate * 15.0 * burst * (1.0 + random.noise() * 0.5)).max(0.0).round();
            }
            Shape::Seconds(rate) => {
                let step = (rate * 15.0 * (1.0 + random.noise() * 0.3)).max(0.0);
                self.value = ((self.value + step) * 100.0).round() / 100.0;
            }
            Shape::Pages(level) => {
                let moved = if random.next().is_multiple_of(3) { 0.0 } else { random.noise() * level * 0.002 };
                let back = (level - self.value) * 0.01;
                self.value = ((self.value + moved + back) / 4096.0).round().max(0.0) * 4096.0;
            }
            Shape::Load(level) => {
                let next = self.value * 0.95 + (level + random.noise() * level * 0.5).max(0.0) * 0.05;
                self.value = next;
                return (next * 100.0).round() / 100.0;
            }
            Shape::Count(level) => {
                if random.next().is_multiple_of(6) {
                    self.value = (level * (1.0 + random.noise() * 0.2)).round().max(0.0);
                }
            }
        }
        self.value
    }
}

/// So many series, host by host; the same for the same seed.
pub fn fleet(series: usize, seed: u64) -> Vec<Series> {
    let template = template();
    assert!(template.len() >= PER_HOST, "{} series in a host", template.len());
    let mut all = Vec::with_capacity(series);
    for host in 0..series.div_ceil(PER_HOST) {
        let instance = format!("10.{}.{}.{}:9100", host / 62_500, host / 250 % 250, host % 250 + 1);
        let zone = ["fra1-a", "fra1-b", "ams2-a"][host % 3];
        for (at, (name, labels, shape)) in template.iter().take(PER_HOST).enumerate() {
            if all.len() == series {
                break;
            }
            let mut pairs: Vec<(&str, &str)> =
                vec![("__name__", name), ("instance", &instance), ("job", "node"), ("env", "prod"), ("zone", zone)];
            pairs.extend(labels.iter().map(|(name, value)| (*name, value.as_str())));
            pairs.sort_unstable();
            let mut random = Random(seed ^ ((host * PER_HOST + at) as u64).wrapping_mul(0xa076_1d64_78bd_642f));
            let start = match shape {
                Shape::Counter(rate) | Shape::Seconds(rate) => (rate * 1e6 * random.unit()).round(),
                Shape::Pages(level) => (level / 4096.0).round() * 4096.0,
                Shape::Load(level) | Shape::Count(level) => *level,
                Shape::Constant(_) | Shape::Time | Shape::Duration(_) => 0.0,
            };
            all.push(Series { labels: encode(&pairs), shape: *shape, value: start, random });
        }
    }
    all
}

/// Names of the metrics.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = template().into_iter().take(PER_HOST).map(|(name, ..)| name).collect();
    names.sort();
    names.dedup();
    names
}

/// `repeated Label labels = 1` of a `TimeSeries`.
fn encode(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in pairs {
        let mut label = Vec::new();
        for (tag, text) in [(0x0a, name), (0x12, value)] {
            label.push(tag);
            super::send::put_varint(&mut label, text.len() as u64);
            label.extend_from_slice(text.as_bytes());
        }
        out.push(0x0a);
        super::send::put_varint(&mut out, label.len() as u64);
        out.extend_from_slice(&label);
    }
    out
}

type Line = (String, Vec<(&'static str, String)>, Shape);

/// One host.
fn template() -> Vec<Line> {
    use Shape::{Constant, Count, Counter, Duration, Load, Pages, Seconds, Time};
    let mut all: Vec<Line> = Vec::new();
    let mut add = |name: &str, labels: &[(&'static str, &str)], shape: Shape| {
        all.push((name.to_owned(), labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), shape));
    };
    for cpu in ["0", "1", "2", "3"] {
        let modes = [
            ("idle", 0.86),
            ("user", 0.09),
            ("system", 0.04),
            ("iowait", 0.008),
            ("softirq", 0.003),
            ("steal", 0.0),
            ("nice", 0.0),
            ("irq", 0.0),
        ];
        for (mode, rate) in modes {
            let shape = if rate > 0.0 { Seconds(rate) } else { Constant(0.0) };
            add("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], shape);
        }
        for mode in ["user", "nice"] {
            add("node_cpu_guest_seconds_total", &[("cpu", cpu), ("mode", mode)], Constant(0.0));
        }
        for name in ["processed", "dropped", "times_squeezed"] {
            let shape = if name == "processed" { Counter(220.0) } else { Constant(0.0) };
            add(&format!("node_softnet_{name}_total"), &[("cpu", cpu)], shape);
        }
        add("node_schedstat_running_seconds_total", &[("cpu", cpu)], Seconds(0.14));
        add("node_schedstat_waiting_seconds_total", &[("cpu", cpu)], Seconds(0.02));
        add("node_schedstat_timeslices_total", &[("cpu", cpu)], Counter(900.0));
    }
    for (device, busy) in [("sda", 1.0), ("sdb", 0.0), ("dm-0", 0.8)] {
        let counters = [
            ("reads_completed_total", 2.0),
            ("reads_merged_total", 0.3),
            ("read_bytes_total", 40_000.0),
            ("writes_completed_total", 14.0),
            ("writes_merged_total", 6.0),
            ("written_bytes_total", 300_000.0),
            ("discards_completed_total", 0.0),
            ("discards_merged_total", 0.0),
            ("discarded_sectors_total", 0.0),
            ("flush_requests_total", 1.5),
        ];
        for (name, rate) in counters {
            let rate = rate * busy;
            let shape = if rate > 0.0 { Counter(rate) } else { Constant(0.0) };
            add(&format!("node_disk_{name}"), &[("device", device)], shape);
        }
        for (name, rate) in [
            ("read_time_seconds_total", 0.002),
            ("write_time_seconds_total", 0.02),
            ("io_time_seconds_total", 0.01),
            ("io_time_weighted_seconds_total", 0.02),
            ("flush_requests_time_seconds_total", 0.003),
            ("discard_time_seconds_total", 0.0),
        ] {
            let rate: f64 = rate * busy;
            let shape = if rate > 0.0 { Seconds(rate) } else { Constant(0.0) };
            add(&format!("node_disk_{name}"), &[("device", device)], shape);
        }
        add("node_disk_io_now", &[("device", device)], Constant(0.0));
        add("node_disk_info", &[("device", device), ("major", "8"), ("minor", "0")], Constant(1.0));
    }
    let mounts = [
        ("/dev/sda1", "/", "ext4", 6e10, true),
        ("/dev/sda15", "/boot/efi", "vfat", 1.2e8, false),
        ("/dev/dm-0", "/var/lib", "xfs", 5e11, true),
        ("tmpfs", "/run", "tmpfs", 8e8, true),
        ("tmpfs", "/run/lock", "tmpfs", 5e6, false),
    ];
    for (device, mount, kind, size, moves) in mounts {
        let labels = [("device", device), ("fstype", kind), ("mountpoint", mount)];
        let level = (size * 0.4_f64 / 4096.0).round() * 4096.0;
        let free = if moves { Pages(level) } else { Constant(level) };
        add("node_filesystem_avail_bytes", &labels, free);
        add("node_filesystem_free_bytes", &labels, free);
        add("node_filesystem_files_free", &labels, if moves { Count(3e6) } else { Constant(3e6) });
        for (name, value) in [("size_bytes", size), ("files", 4e6), ("readonly", 0.0), ("device_error", 0.0)] {
            add(&format!("node_filesystem_{name}"), &labels, Constant(value));
        }
    }
    let moving = [
        "MemFree",
        "MemAvailable",
        "Buffers",
        "Cached",
        "Active",
        "Inactive",
        "Active_anon",
        "Inactive_anon",
        "Active_file",
        "Inactive_file",
        "Dirty",
        "AnonPages",
        "Mapped",
        "Shmem",
        "KReclaimable",
        "Slab",
        "SReclaimable",
        "SUnreclaim",
        "KernelStack",
        "PageTables",
        "Committed_AS",
        "AnonHugePages",
    ];
    for (at, name) in moving.iter().enumerate() {
        add(&format!("node_memory_{name}_bytes"), &[], Pages(4e9 / (at + 1) as f64));
    }
    let still = [
        "MemTotal",
        "SwapTotal",
        "SwapFree",
        "SwapCached",
        "Unevictable",
        "Mlocked",
        "Writeback",
        "NFS_Unstable",
        "Bounce",
        "WritebackTmp",
        "CommitLimit",
        "VmallocTotal",
        "VmallocUsed",
        "VmallocChunk",
        "Percpu",
        "HardwareCorrupted",
        "ShmemHugePages",
        "ShmemPmdMapped",
        "FileHugePages",
        "FilePmdMapped",
        "HugePages_Total",
        "HugePages_Free",
        "HugePages_Rsvd",
        "HugePages_Surp",
        "Hugepagesize",
        "Hugetlb",
        "DirectMap4k",
        "DirectMap2M",
    ];
    for (at, name) in still.iter().enumerate() {
        add(&format!("node_memory_{name}_bytes"), &[], Constant((at * 4096 * 1000) as f64));
    }
    for (device, busy) in [("eth0", 1.0), ("lo", 0.3), ("docker0", 0.0)] {
        let names = [
            ("receive_bytes", 30_000.0),
            ("receive_packets", 60.0),
            ("receive_errs", 0.0),
            ("receive_drop", 0.0),
            ("receive_fifo", 0.0),
            ("receive_frame", 0.0),
            ("receive_compressed", 0.0),
            ("receive_multicast", 0.05),
            ("transmit_bytes", 45_000.0),
            ("transmit_packets", 55.0),
            ("transmit_errs", 0.0),
            ("transmit_drop", 0.0),
            ("transmit_fifo", 0.0),
            ("transmit_colls", 0.0),
            ("transmit_carrier", 0.0),
            ("transmit_compressed", 0.0),
        ];
        for (name, rate) in names {
            let rate = rate * busy;
            let shape = if rate > 0.0 { Counter(rate) } else { Constant(0.0) };
            add(&format!("node_network_{name}_total"), &[("device", device)], shape);
        }
        for name in [
            "up",
            "mtu_bytes",
            "carrier",
            "carrier_changes_total",
            "device_id",
            "dormant",
            "flags",
            "iface_id",
            "iface_link",
            "iface_link_mode",
            "name_assign_type",
            "net_dev_group",
            "protocol_type",
            "speed_bytes",
            "transmit_queue_length",
            "address_assign_type",
        ] {
            add(&format!("node_network_{name}"), &[("device", device)], Constant(1.0));
        }
    }
    let netstat = [
        ("Icmp_InErrors", 0.0),
        ("Icmp_InMsgs", 0.02),
        ("Icmp_OutMsgs", 0.02),
        ("Ip_Forwarding", 0.0),
        ("IpExt_InOctets", 31_000.0),
        ("IpExt_OutOctets", 46_000.0),
        ("Tcp_ActiveOpens", 1.0),
        ("Tcp_InErrs", 0.0),
        ("Tcp_InSegs", 58.0),
        ("Tcp_OutRsts", 0.1),
        ("Tcp_OutSegs", 70.0),
        ("Tcp_PassiveOpens", 1.2),
        ("Tcp_RetransSegs", 0.01),
        ("TcpExt_ListenDrops", 0.0),
        ("TcpExt_ListenOverflows", 0.0),
        ("TcpExt_SyncookiesFailed", 0.0),
        ("TcpExt_SyncookiesRecv", 0.0),
        ("TcpExt_SyncookiesSent", 0.0),
        ("TcpExt_TCPSynRetrans", 0.01),
        ("TcpExt_TCPTimeouts", 0.01),
        ("Udp6_InDatagrams", 0.0),
        ("Udp6_InErrors", 0.0),
        ("Udp6_NoPorts", 0.0),
        ("Udp6_OutDatagrams", 0.0),
        ("Udp_InDatagrams", 2.0),
        ("Udp_InErrors", 0.0),
        ("Udp_NoPorts", 0.01),
        ("Udp_OutDatagrams", 2.0),
    ];
    for (name, rate) in netstat {
        add(&format!("node_netstat_{name}"), &[], if rate > 0.0 { Counter(rate) } else { Constant(0.0) });
    }
    add("node_netstat_Tcp_CurrEstab", &[], Count(38.0));
    for (name, rate) in [("context_switches", 2500.0), ("intr", 1400.0), ("forks", 3.0)] {
        add(&format!("node_{name}_total"), &[], Counter(rate));
    }
    for (name, rate) in [("pgpgin", 40.0), ("pgpgout", 300.0), ("pgfault", 1800.0), ("pgmajfault", 0.02)] {
        add(&format!("node_vmstat_{name}"), &[], Counter(rate));
    }
    for name in ["oom_kill", "pswpin", "pswpout"] {
        add(&format!("node_vmstat_{name}"), &[], Constant(0.0));
    }
    for (name, level) in [("load1", 0.6), ("load5", 0.55), ("load15", 0.5)] {
        add(&format!("node_{name}"), &[], Load(level));
    }
    add("node_procs_running", &[], Count(2.0));
    add("node_procs_blocked", &[], Constant(0.0));
    add("node_filefd_allocated", &[], Count(1900.0));
    add("node_filefd_maximum", &[], Constant(9.223_372_036_854_776e18));
    add("node_entropy_available_bits", &[], Constant(256.0));
    add("node_time_seconds", &[], Time);
    add("node_boot_time_seconds", &[], Constant(1.763e9));
    add(
        "node_uname_info",
        &[("machine", "x86_64"), ("nodename", "host"), ("release", "6.1.0-28-amd64"), ("sysname", "Linux")],
        Constant(1.0),
    );
    add("node_os_info", &[("id", "debian"), ("version_id", "12")], Constant(1.0));
    for (at, name) in [
        "TCP_alloc",
        "TCP_inuse",
        "TCP_mem",
        "TCP_mem_bytes",
        "TCP_orphan",
        "TCP_tw",
        "UDP_inuse",
        "UDP_mem",
        "UDPLITE_inuse",
        "FRAG_inuse",
        "FRAG_memory",
        "RAW_inuse",
        "sockets_used",
        "TCP6_inuse",
        "UDP6_inuse",
        "FRAG6_inuse",
        "RAW6_inuse",
    ]
    .iter()
    .enumerate()
    {
        add(&format!("node_sockstat_{name}"), &[], if at < 6 || at == 12 { Count(40.0) } else { Constant(1.0) });
    }
    for name in [
        "estimated_error_seconds",
        "frequency_adjustment_ratio",
        "loop_time_constant",
        "maxerror_seconds",
        "offset_seconds",
        "pps_calibration_total",
        "pps_error_total",
        "pps_frequency_hertz",
        "pps_jitter_seconds",
        "pps_jitter_total",
        "pps_shift_seconds",
        "pps_stability_exceeded_total",
        "pps_stability_hertz",
        "status",
        "sync_status",
        "tai_offset_seconds",
        "tick_seconds",
    ] {
        let shape = match name {
            "offset_seconds" => Duration(1e-5),
            "frequency_adjustment_ratio" => Duration(1e-6),
            "maxerror_seconds" => Duration(0.02),
            _ => Constant(0.0),
        };
        add(&format!("node_timex_{name}"), &[], shape);
    }
    let collectors = [
        "arp",
        "bcache",
        "bonding",
        "btrfs",
        "conntrack",
        "cpu",
        "cpufreq",
        "diskstats",
        "dmi",
        "edac",
        "entropy",
        "fibrechannel",
        "filefd",
        "filesystem",
        "hwmon",
        "infiniband",
        "ipvs",
        "loadavg",
        "mdadm",
        "meminfo",
        "netclass",
        "netdev",
        "netstat",
        "nfs",
        "nfsd",
        "nvme",
        "os",
        "powersupplyclass",
        "pressure",
        "rapl",
        "schedstat",
        "selinux",
        "sockstat",
        "softnet",
        "stat",
        "tapestats",
        "textfile",
        "thermal_zone",
        "time",
        "timex",
        "udp_queues",
        "uname",
        "vmstat",
        "xfs",
        "zfs",
    ];
    for name in collectors {
        add("node_scrape_collector_duration_seconds", &[("collector", name)], Duration(4e-4));
        add("node_scrape_collector_success", &[("collector", name)], Constant(1.0));
    }
    for resource in ["cpu_waiting", "io_waiting", "io_stalled", "memory_waiting", "memory_stalled"] {
        let shape = if resource.starts_with("memory") { Constant(0.0) } else { Seconds(0.004) };
        add(&format!("node_pressure_{resource}_seconds_total"), &[], shape);
    }
    for name in
        ["alloc_bytes", "heap_alloc_bytes", "heap_inuse_bytes", "heap_idle_bytes", "stack_inuse_bytes", "next_gc_bytes"]
    {
        add(&format!("go_memstats_{name}"), &[], Pages(3e6));
    }
    for name in ["alloc_bytes_total", "frees_total", "mallocs_total"] {
        add(&format!("go_memstats_{name}"), &[], Counter(9000.0));
    }
    for name in [
        "sys_bytes",
        "heap_sys_bytes",
        "stack_sys_bytes",
        "mcache_inuse_bytes",
        "mspan_sys_bytes",
        "gc_sys_bytes",
        "lookups_total",
        "other_sys_bytes",
        "buck_hash_sys_bytes",
    ] {
        add(&format!("go_memstats_{name}"), &[], Constant(12_345_678.0));
    }
    add("go_goroutines", &[], Count(8.0));
    add("go_threads", &[], Constant(7.0));
    add("process_cpu_seconds_total", &[], Seconds(0.004));
    add("process_resident_memory_bytes", &[], Pages(2e7));
    add("process_open_fds", &[], Count(9.0));
    add("process_max_fds", &[], Constant(1024.0));
    add("process_start_time_seconds", &[], Constant(1.763e9));
    for quantile in ["0", "0.25", "0.5", "0.75", "1"] {
        add("go_gc_duration_seconds", &[("quantile", quantile)], Duration(6e-5));
    }
    add("up", &[], Constant(1.0));
    add("scrape_duration_seconds", &[], Duration(0.012));
    for name in ["scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added"] {
        add(name, &[], Constant(500.0));
    }
    all
}
