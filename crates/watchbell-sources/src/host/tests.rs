//! Files of `/proc` in, samples out.

use std::fmt::Write;
use std::time::Duration;

use expect_test::{Expect, expect};
use watchbell_model::is_stale;
use watchbell_runtime::sim;

use super::*;
use crate::bench::bench;

fn check(run: impl FnOnce(&mut Samples), expect: Expect) {
    let mut samples = Samples::new("mail-1", Timestamp(0));
    run(&mut samples);
    expect.assert_eq(&shown(&samples.points));
}

/// Without the labels that all have.
fn shown(points: &[Point]) -> String {
    points.iter().fold(String::new(), |mut out, point| {
        assert_eq!((point.labels.get("job"), point.labels.get("instance")), (Some("host"), Some("mail-1")));
        let labels = point.labels.without("job").without("instance");
        let value = if is_stale(point.value) { "ended".to_owned() } else { point.value.to_string() };
        writeln!(out, "{labels} {value}").unwrap();
        out
    })
}

const STAT: &str = "cpu  3 0 0 0\ncpu0 100 20 300 4000 50 6 7 8 9 10\nintr 9 1 2\nctxt 5\nbtime 1700000000\nprocesses 77\n\
                    procs_running 2\nprocs_blocked 1\nsoftirq 1 2\n";

#[test]
fn processors() {
    check(
        |samples| kernel::stat(STAT, &mut kernel::CpuHistory::default(), samples).unwrap(),
        expect![[r#"
            node_intr_total 9
            node_context_switches_total 5
            node_boot_time_seconds 1700000000
            node_forks_total 77
            node_procs_running 2
            node_procs_blocked 1
            node_cpu_seconds_total{cpu="0", mode="user"} 1
            node_cpu_seconds_total{cpu="0", mode="nice"} 0.2
            node_cpu_seconds_total{cpu="0", mode="system"} 3
            node_cpu_seconds_total{cpu="0", mode="idle"} 40
            node_cpu_seconds_total{cpu="0", mode="iowait"} 0.5
            node_cpu_seconds_total{cpu="0", mode="irq"} 0.06
            node_cpu_seconds_total{cpu="0", mode="softirq"} 0.07
            node_cpu_seconds_total{cpu="0", mode="steal"} 0.08
            node_cpu_guest_seconds_total{cpu="0", mode="user"} 0.09
            node_cpu_guest_seconds_total{cpu="0", mode="nice"} 0.1
        "#]],
    );
}

#[test]
fn times_of_a_processor_never_shrink_but_for_a_new_one() {
    let mut history = kernel::CpuHistory::default();
    let mut told = |line: &str| {
        let mut samples = Samples::new("mail-1", Timestamp(0));
        kernel::stat(line, &mut history, &mut samples).unwrap();
        (samples.points[0].value, samples.points[3].value, samples.points[4].value)
    };
    assert_eq!(told("cpu0 100 0 0 1000 50"), (1.0, 10.0, 0.5));
    // iowait and idle shrink a little: the kernel's own doing.
    assert_eq!(told("cpu0 110 0 0 999 40"), (1.1, 10.0, 0.5));
    // Idle shrinks a lot: another processor.
    assert_eq!(told("cpu0 1 0 0 2 3"), (0.01, 0.02, 0.03));
}

#[test]
fn load_files_pressure_and_the_like() {
    check(
        |samples| {
            kernel::loadavg("0.52 0.58 0.59 1/977 12345\n", samples).unwrap();
            kernel::filefd("592\t0\t2466177\n", samples).unwrap();
            kernel::vmstat("nr_free_pages 1\npgpgin 15\npswpout 2\npgmajfault 3\noom_kill 1\npgscan 9\n", samples);
            let text = "some avg10=1.95 avg60=0 avg300=0 total=1500000\nfull avg10=0 avg60=0 avg300=0 total=2000000\n";
            kernel::pressure("cpu", text, samples).unwrap();
            kernel::pressure("io", text, samples).unwrap();
            kernel::os_release("NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12.5.1\"\n#X=1\n", samples);
        },
        expect![[r#"
            node_load1 0.52
            node_load5 0.58
            node_load15 0.59
            node_filefd_allocated 592
            node_filefd_maximum 2466177
            node_vmstat_pgpgin 15
            node_vmstat_pswpout 2
            node_vmstat_pgmajfault 3
            node_vmstat_oom_kill 1
            node_pressure_cpu_waiting_seconds_total 1.5
            node_pressure_io_waiting_seconds_total 1.5
            node_pressure_io_stalled_seconds_total 2
            node_os_info{id="debian", name="Debian GNU/Linux", version_id="12.5.1"} 1
            node_os_version{id="debian", name="Debian GNU/Linux"} 12.5
        "#]],
    );
}

#[test]
fn memory_in_bytes_counts_as_they_are() {
    check(
        |samples| {
            memory::meminfo("MemTotal:  16 kB\nActive(anon):     2 kB\nHugePages_Total:  3\n", samples).unwrap();
        },
        expect![[r#"
            node_memory_MemTotal_bytes 16384
            node_memory_Active_anon_bytes 2048
            node_memory_HugePages_Total 3
        "#]],
    );
}

#[test]
fn file_systems_that_hold_files() {
    let mounts = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
28 27 254:1 / /srv/my\\040files ro,relatime - xfs /dev/vdb rw
29 27 0:50 / /mnt/nas rw - nfs4 nas:/export rw
30 27 0:51 / /var/lib/docker/overlay2/x rw - ext4 /dev/vda1 rw
31 27 0:52 / /development rw - ext4 /dev/vdc rw
32 31 0:53 / /development rw - btrfs /dev/vdd rw
33 27 0:54 / /gone rw - ext4 /dev/vde rw
";
    let space = |path: &Path| match path.to_str() {
        Some("/gone") => Err(io::Error::other("input/output error")),
        _ => Ok(Space { size: 100, free: 30, available: 20, files: 10, files_free: 4, read_only: false }),
    };
    check(
        |samples| storage::filesystems(mounts, space, samples),
        expect![[r#"
            node_filesystem_size_bytes{device="/dev/vda1", fstype="ext4", mountpoint="/"} 100
            node_filesystem_free_bytes{device="/dev/vda1", fstype="ext4", mountpoint="/"} 30
            node_filesystem_avail_bytes{device="/dev/vda1", fstype="ext4", mountpoint="/"} 20
            node_filesystem_files{device="/dev/vda1", fstype="ext4", mountpoint="/"} 10
            node_filesystem_files_free{device="/dev/vda1", fstype="ext4", mountpoint="/"} 4
            node_filesystem_readonly{device="/dev/vda1", fstype="ext4", mountpoint="/"} 0
            node_filesystem_device_error{device="/dev/vda1", fstype="ext4", mountpoint="/"} 0
            node_filesystem_size_bytes{device="/dev/vdd", fstype="btrfs", mountpoint="/development"} 100
            node_filesystem_free_bytes{device="/dev/vdd", fstype="btrfs", mountpoint="/development"} 30
            node_filesystem_avail_bytes{device="/dev/vdd", fstype="btrfs", mountpoint="/development"} 20
            node_filesystem_files{device="/dev/vdd", fstype="btrfs", mountpoint="/development"} 10
            node_filesystem_files_free{device="/dev/vdd", fstype="btrfs", mountpoint="/development"} 4
            node_filesystem_readonly{device="/dev/vdd", fstype="btrfs", mountpoint="/development"} 0
            node_filesystem_device_error{device="/dev/vdd", fstype="btrfs", mountpoint="/development"} 0
            node_filesystem_device_error{device="/dev/vde", device_error="input/output error", fstype="ext4", mountpoint="/gone"} 1
            node_filesystem_size_bytes{device="/dev/vdb", fstype="xfs", mountpoint="/srv/my files"} 100
            node_filesystem_free_bytes{device="/dev/vdb", fstype="xfs", mountpoint="/srv/my files"} 30
            node_filesystem_avail_bytes{device="/dev/vdb", fstype="xfs", mountpoint="/srv/my files"} 20
            node_filesystem_files{device="/dev/vdb", fstype="xfs", mountpoint="/srv/my files"} 10
            node_filesystem_files_free{device="/dev/vdb", fstype="xfs", mountpoint="/srv/my files"} 4
            node_filesystem_readonly{device="/dev/vdb", fstype="xfs", mountpoint="/srv/my files"} 1
            node_filesystem_device_error{device="/dev/vdb", fstype="xfs", mountpoint="/srv/my files"} 0
        "#]],
    );
}

#[test]
fn disks_without_their_partitions() {
    let line =
        |device: &str| format!("   8       0 {device} 1 2 3 4000 5 6 7 8000 9 10000 11000 12 13 14 15000 16 17000\n");
    let text: String = ["loop0", "sda1", "nvme0n1p2", "ram3", "xvda1", "nvme0n1"].map(line).concat();
    check(
        |samples| storage::diskstats(&text, samples).unwrap(),
        expect![[r#"
            node_disk_reads_completed_total{device="nvme0n1"} 1
            node_disk_reads_merged_total{device="nvme0n1"} 2
            node_disk_read_bytes_total{device="nvme0n1"} 1536
            node_disk_read_time_seconds_total{device="nvme0n1"} 4
            node_disk_writes_completed_total{device="nvme0n1"} 5
            node_disk_writes_merged_total{device="nvme0n1"} 6
            node_disk_written_bytes_total{device="nvme0n1"} 3584
            node_disk_write_time_seconds_total{device="nvme0n1"} 8
            node_disk_io_now{device="nvme0n1"} 9
            node_disk_io_time_seconds_total{device="nvme0n1"} 10
            node_disk_io_time_weighted_seconds_total{device="nvme0n1"} 11
            node_disk_discards_completed_total{device="nvme0n1"} 12
            node_disk_discards_merged_total{device="nvme0n1"} 13
            node_disk_discarded_sectors_total{device="nvme0n1"} 14
            node_disk_discard_time_seconds_total{device="nvme0n1"} 15
            node_disk_flush_requests_total{device="nvme0n1"} 16
            node_disk_flush_requests_time_seconds_total{device="nvme0n1"} 17
        "#]],
    );
    for (text, kept) in [("sda 1", true), ("dm-0 1", true), ("md127 1", true), ("vdb 1", true), ("zram0 1", false)] {
        let mut samples = Samples::new("mail-1", Timestamp(0));
        storage::diskstats(&format!("8 0 {text}"), &mut samples).unwrap();
        assert_eq!(!samples.points.is_empty(), kept, "{text}");
    }
}

#[test]
fn interfaces_and_protocols() {
    check(
        |samples| {
            let header = "Inter-| Receive | Transmit\n face |bytes packets|bytes\n";
            network::netdev(&format!("{header}  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"), samples).unwrap();
            network::sockstat("sockets: used 16\nTCP: inuse 1 tw 2\n", samples);
            network::netstat("TcpExt: SyncookiesSent X ListenDrops\nTcpExt: 1 2 3\nTcp: CurrEstab\nTcp: 4\n", samples)
                .unwrap();
            network::netstat("Ip: Forwarding InReceives\nIp: 2 64\n", samples).unwrap();
            network::snmp6("Ip6InOctets 5\nIp6InReceives 6\nUdp6InErrors 7\n", samples);
        },
        expect![[r#"
            node_network_receive_bytes_total{device="eth0"} 1
            node_network_receive_packets_total{device="eth0"} 2
            node_network_receive_errs_total{device="eth0"} 3
            node_network_receive_drop_total{device="eth0"} 4
            node_network_receive_fifo_total{device="eth0"} 5
            node_network_receive_frame_total{device="eth0"} 6
            node_network_receive_compressed_total{device="eth0"} 7
            node_network_receive_multicast_total{device="eth0"} 8
            node_network_transmit_bytes_total{device="eth0"} 9
            node_network_transmit_packets_total{device="eth0"} 10
            node_network_transmit_errs_total{device="eth0"} 11
            node_network_transmit_drop_total{device="eth0"} 12
            node_network_transmit_fifo_total{device="eth0"} 13
            node_network_transmit_colls_total{device="eth0"} 14
            node_network_transmit_carrier_total{device="eth0"} 15
            node_network_transmit_compressed_total{device="eth0"} 16
            node_sockstat_sockets_used 16
            node_sockstat_TCP_inuse 1
            node_sockstat_TCP_tw 2
            node_netstat_TcpExt_SyncookiesSent 1
            node_netstat_TcpExt_ListenDrops 3
            node_netstat_Tcp_CurrEstab 4
            node_netstat_Ip_Forwarding 2
            node_netstat_Ip6_InOctets 5
            node_netstat_Udp6_InErrors 7
        "#]],
    );
}

#[test]
fn odd_files_are_refused_whole() {
    let mut samples = Samples::new("mail-1", Timestamp(0));
    assert!(kernel::stat("", &mut kernel::CpuHistory::default(), &mut samples).is_err());
    assert!(kernel::stat("cpu0 x", &mut kernel::CpuHistory::default(), &mut samples).is_err());
    assert!(kernel::loadavg("1 2", &mut samples).is_err());
    assert!(kernel::filefd("1 2", &mut samples).is_err());
    assert!(kernel::pressure("cpu", "nothing", &mut samples).is_err());
    assert!(memory::meminfo("nothing", &mut samples).is_err());
    assert!(storage::diskstats("8 0 sda x", &mut samples).is_err());
    assert!(network::netdev("\n\neth0 1", &mut samples).is_err());
    assert!(network::netstat("Tcp: A\nUdp: 1\n", &mut samples).is_err());
}

#[test]
fn the_task_measures_at_once_and_then_on_the_grid() {
    sim::run(1, |world| async move {
        let put = |path: &str, text: &str| world.disk.put(Path::new(path), text.as_bytes());
        put("/proc/sys/kernel/hostname", "mail-1\n");
        put("/proc/loadavg", "0.5 0.6 0.7 1/1 1");
        put("/sys/class/net/eth0/operstate", "up");
        let bench = bench(&world);
        let runtime = bench.context.runtime.clone();
        runtime.clock.sleep(Duration::from_millis(2500)).await;
        let config = HostConfig { interval: Span::seconds(10), ..HostConfig::default() };
        runtime.supervisor.spawn("host", task(&config, &bench.context).unwrap());
        let told = |points: Vec<Point>| {
            let kept = points.into_iter().filter(|it| it.labels.name() != Some("node_scrape_collector_success"));
            let kept: Vec<Point> = kept.collect();
            format!("{}\n{}", kept.first().map_or(Timestamp(0), |point| point.timestamp), shown(&kept))
        };
        runtime.clock.sleep(Duration::from_millis(10)).await;
        let first = bench.points();
        let failed = first.iter().filter(|it| it.labels.get("collector") == Some("meminfo")).map(|it| it.value);
        assert_eq!(failed.collect::<Vec<_>>(), [0.0]);
        expect![[r#"
            2026-01-05T00:00:02.500Z
            node_load1 0.5
            node_load5 0.6
            node_load15 0.7
            node_network_up{device="eth0"} 1
            node_time_seconds 1767571202.5
        "#]]
        .assert_eq(&told(first));
        put("/sys/class/net/eth1/operstate", "down");
        world.disk.put(Path::new("/proc/loadavg"), b"odd");
        runtime.clock.sleep(Duration::from_secs(10)).await;
        expect![[r#"
            2026-01-05T00:00:10.000Z
            node_network_up{device="eth0"} 1
            node_network_up{device="eth1"} 0
            node_time_seconds 1767571210
            node_load1 ended
            node_load15 ended
            node_load5 ended
        "#]]
        .assert_eq(&told(bench.points()));
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
    let mut problems = Problems::new();
    HostConfig { interval: Span::millis(1), ..HostConfig::default() }
        .check(&Place::root().field("host"), &mut problems);
    assert_eq!(problems.0[0].path.to_string(), "host.interval");
}
