//! What every machine has.

use std::path::Path;

use expect_test::expect;
use watchbell_model::Timestamp;
use watchbell_runtime::disk::Space;
use watchbell_runtime::machine::ClockDiscipline;

use super::{collect, collect_with, files, host, only, sim, told};

const STAT: &str = "cpu  3 0 0 0\ncpu0 100 20 300 4000 50 6 7 8 9 10\nintr 9 1 2\nctxt 5\nbtime 1700000000\nprocesses 77\n\
                    procs_running 2\nprocs_blocked 1\nsoftirq 12 1 2 3 4 5 6 7 8 9 10\n";

#[test]
fn processors_and_counts() {
    let mut config = only(&["cpu", "stat"]);
    config.collectors.stat.softirq = true;
    config.collectors.cpu.info = Some(true);
    config.collectors.cpu.info_flags_include = Some("^aes$".into());
    let cpu = "/sys/devices/system/cpu/cpu0";
    let info =
        "processor\t: 0\nvendor_id\t: Some Maker\nmodel name\t: One: fast\nflags\t\t: fpu aes\nphysical id\t: 1\n";
    expect![[r#"
        node_cpu_info{package="1",cpu="0",vendor="Some Maker",model_name="One: fast"} 1
        node_cpu_flag_info{flag="aes"} 1
        node_cpu_seconds_total{cpu="0",mode="user"} 1
        node_cpu_seconds_total{cpu="0",mode="nice"} 0.2
        node_cpu_seconds_total{cpu="0",mode="system"} 3
        node_cpu_seconds_total{cpu="0",mode="idle"} 40
        node_cpu_seconds_total{cpu="0",mode="iowait"} 0.5
        node_cpu_seconds_total{cpu="0",mode="irq"} 0.06
        node_cpu_seconds_total{cpu="0",mode="softirq"} 0.07
        node_cpu_seconds_total{cpu="0",mode="steal"} 0.08
        node_cpu_guest_seconds_total{cpu="0",mode="user"} 0.09
        node_cpu_guest_seconds_total{cpu="0",mode="nice"} 0.1
        node_cpu_isolated{cpu="3"} 1
        node_cpu_isolated{cpu="4"} 1
        node_cpu_core_throttles_total{package="0",core="2"} 7
        node_cpu_online{cpu="0"} 1
        node_intr_total 9
        node_context_switches_total 5
        node_boot_time_seconds 1700000000
        node_forks_total 77
        node_procs_running 2
        node_procs_blocked 1
        node_softirqs_total{vector="hi"} 1
        node_softirqs_total{vector="timer"} 2
        node_softirqs_total{vector="net_tx"} 3
        node_softirqs_total{vector="net_rx"} 4
        node_softirqs_total{vector="block"} 5
        node_softirqs_total{vector="block_iopoll"} 6
        node_softirqs_total{vector="tasklet"} 7
        node_softirqs_total{vector="sched"} 8
        node_softirqs_total{vector="hrtimer"} 9
        node_softirqs_total{vector="rcu"} 10
    "#]]
    .assert_eq(&collect_with(
        config,
        &[
            ("/proc/stat", STAT),
            ("/proc/cpuinfo", info),
            ("/sys/devices/system/cpu/isolated", "3-4\n"),
            (&format!("{cpu}/online"), "1\n"),
            (&format!("{cpu}/topology/physical_package_id"), "0\n"),
            (&format!("{cpu}/topology/core_id"), "2\n"),
            (&format!("{cpu}/thermal_throttle/core_throttle_count"), "7\n"),
        ],
    ));
}

#[test]
fn times_of_a_processor_never_shrink_but_for_a_new_one() {
    sim::run(1, |world| async move {
        files(&world, &[("/sys/devices/system/cpu/present", "0")]);
        let mut host = host(only(&["cpu"]), &world.runtime());
        let mut idle_and_wait = |line: &str| {
            files(&world, &[("/proc/stat", line)]);
            let told = told(&mut host, Timestamp(0));
            let of = |mode: &str| {
                told.lines().find(|line| line.contains(mode)).unwrap().rsplit(' ').next().unwrap().to_owned()
            };
            [of("\"user\""), of("\"idle\""), of("\"iowait\"")].join(" ")
        };
        assert_eq!(idle_and_wait("cpu0 100 0 0 1000 50"), "1 10 0.5");
        // iowait and idle shrink a little: the kernel's own doing.
        assert_eq!(idle_and_wait("cpu0 110 0 0 999 40"), "1.1 10 0.5");
        // Idle shrinks a lot: another processor.
        assert_eq!(idle_and_wait("cpu0 1 0 0 2 3"), "0.01 0.02 0.03");
    });
}

#[test]
fn load_memory_pressure_and_the_like() {
    let pressure = "some avg10=1.95 avg60=0 avg300=0 total=1500000\nfull avg10=0 avg60=0 avg300=0 total=2000000\n";
    expect![[r#"
        node_entropy_available_bits 256
        node_entropy_pool_size_bits 4096
        node_filefd_allocated 592
        node_filefd_maximum 2466177
        node_kernel_hung_tasks_total 2
        node_load1 0.52
        node_load5 0.58
        node_load15 0.59
        node_memory_MemTotal_bytes 16384
        node_memory_Active_anon_bytes 2048
        node_memory_HugePages_Total 3
        node_pressure_cpu_waiting_seconds_total 1.5
        node_pressure_io_waiting_seconds_total 1.5
        node_pressure_io_stalled_seconds_total 2
        node_pressure_irq_stalled_seconds_total 0.25
        node_schedstat_running_seconds_total{cpu="0"} 2.5
        node_schedstat_waiting_seconds_total{cpu="0"} 0.5
        node_schedstat_timeslices_total{cpu="0"} 12
        node_vmstat_pgpgin 15
        node_vmstat_pswpout 2
        node_vmstat_pgmajfault 3
        node_vmstat_oom_kill 1
    "#]]
    .assert_eq(&collect(
        &["entropy", "filefd", "kernel_hung", "loadavg", "meminfo", "pressure", "schedstat", "vmstat"],
        &[
            ("/proc/sys/kernel/random/entropy_avail", "256\n"),
            ("/proc/sys/kernel/random/poolsize", "4096\n"),
            ("/proc/sys/fs/file-nr", "592\t0\t2466177\n"),
            ("/proc/sys/kernel/hung_task_detect_count", "2\n"),
            ("/proc/loadavg", "0.52 0.58 0.59 1/977 12345\n"),
            ("/proc/meminfo", "MemTotal:  16 kB\nActive(anon):     2 kB\nHugePages_Total:  3\n"),
            ("/proc/pressure/cpu", pressure),
            ("/proc/pressure/io", pressure),
            ("/proc/pressure/irq", "full avg10=0 avg60=0 avg300=0 total=250000\n"),
            ("/proc/schedstat", "version 15\ncpu0 0 0 0 0 0 0 2500000000 500000000 12\ndomain0 03 0 0\n"),
            ("/proc/vmstat", "nr_free_pages 1\npgpgin 15\npswpout 2\npgmajfault 3\noom_kill 1\npgscan 9\n"),
        ],
    ));
}

#[test]
fn the_system_and_its_clock() {
    sim::run(1, |world| async move {
        files(
            &world,
            &[
                ("/proc/sys/kernel/ostype", "Linux\n"),
                ("/proc/sys/kernel/osrelease", "6.1.0\n"),
                ("/proc/sys/kernel/version", "v1 SMP\n"),
                ("/proc/sys/kernel/hostname", "mail-1\n"),
                ("/proc/sys/kernel/domainname", "(none)\n"),
                ("/proc/sys/kernel/arch", "riscv64\n"),
                ("/etc/os-release", "NAME=\"A B\"\nID=ab\nVERSION_ID=\"12.5.1\"\nSUPPORT_END=2030-01-01\n#X=1\n"),
                ("/sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet \n"),
                ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
            ],
        );
        world.machine.put_clock(ClockDiscipline {
            state: 5,
            status: 0x2000,
            offset: 1_500_000,
            frequency: 65_536,
            tick: 10_000,
            pps_error_count: 3,
            ..ClockDiscipline::default()
        });
        let mut host = host(only(&["os", "selinux", "time", "timex", "uname"]), &world.runtime());
        expect![[r#"
            node_os_info{id="ab",name="A B",version_id="12.5.1"} 1
            node_os_version{id="ab",name="A B"} 12.5
            node_os_support_end_timestamp_seconds 1893456000
            node_selinux_enabled 0
            node_time_seconds 1700000000.5
            node_time_zone_offset_seconds{time_zone="UTC"} 0
            node_time_clocksource_available_info{device="0",clocksource="tsc"} 1
            node_time_clocksource_available_info{device="0",clocksource="hpet"} 1
            node_time_clocksource_current_info{device="0",clocksource="tsc"} 1
            node_timex_sync_status 0
            node_timex_offset_seconds 0.0015
            node_timex_frequency_adjustment_ratio 1.000001
            node_timex_maxerror_seconds 0
            node_timex_estimated_error_seconds 0
            node_timex_status 8192
            node_timex_loop_time_constant 0
            node_timex_tick_seconds 0.01
            node_timex_pps_frequency_hertz 0
            node_timex_pps_jitter_seconds 0
            node_timex_pps_shift_seconds 0
            node_timex_pps_stability_hertz 0
            node_timex_tai_offset_seconds 0
            node_timex_pps_jitter_total 0
            node_timex_pps_calibration_total 0
            node_timex_pps_error_total 3
            node_timex_pps_stability_exceeded_total 0
            node_uname_info{sysname="Linux",release="6.1.0",version="v1 SMP",machine="riscv64",nodename="mail-1",domainname="(none)"} 1
        "#]]
        .assert_eq(&told(&mut host, Timestamp(1_700_000_000_500)));
    });
}

const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
28 27 254:1 / /srv/my\\040files ro,relatime - xfs /dev/vdb rw
29 27 0:50 / /mnt/nas rw - nfs4 nas:/export rw
30 27 0:51 / /var/lib/docker/overlay2/x rw - ext4 /dev/vda1 rw
33 27 254:2 / /gone rw - ext4 /dev/vde emergency_ro
";

#[test]
fn file_systems_that_hold_files_and_one_that_hangs() {
    sim::run(1, |world| async move {
        files(&world, &[("/proc/1/mountinfo", MOUNTS)]);
        let space = Space { size: 100, free: 30, available: 20, files: 10, files_free: 4, read_only: false };
        world.machine.put_space(Path::new("/"), space);
        world.machine.put_space(Path::new("/srv/my files"), space);
        world.machine.put_space(Path::new("/mnt/nas"), space);
        world.machine.set_hanging(Path::new("/mnt/nas"), true);
        let mut host = host(only(&["filesystem"]), &world.runtime());
        expect![[r#"
            node_filesystem_device_error{device="/dev/vda1",mountpoint="/",fstype="ext4"} 0
            node_filesystem_readonly{device="/dev/vda1",mountpoint="/",fstype="ext4"} 0
            node_filesystem_size_bytes{device="/dev/vda1",mountpoint="/",fstype="ext4"} 100
            node_filesystem_free_bytes{device="/dev/vda1",mountpoint="/",fstype="ext4"} 30
            node_filesystem_avail_bytes{device="/dev/vda1",mountpoint="/",fstype="ext4"} 20
            node_filesystem_files{device="/dev/vda1",mountpoint="/",fstype="ext4"} 10
            node_filesystem_files_free{device="/dev/vda1",mountpoint="/",fstype="ext4"} 4
            node_filesystem_mount_info{device="/dev/vda1",major="254",minor="0",mountpoint="/"} 1
            node_filesystem_device_error{device="/dev/vde",mountpoint="/gone",fstype="ext4",device_error="entity not found"} 1
            node_filesystem_readonly{device="/dev/vde",mountpoint="/gone",fstype="ext4",device_error="entity not found"} 1
            node_filesystem_device_error{device="nas:/export",mountpoint="/mnt/nas",fstype="nfs4",device_error="mountpoint timeout"} 1
            node_filesystem_readonly{device="nas:/export",mountpoint="/mnt/nas",fstype="nfs4",device_error="mountpoint timeout"} 0
            node_filesystem_device_error{device="/dev/vdb",mountpoint="/srv/my files",fstype="xfs"} 0
            node_filesystem_readonly{device="/dev/vdb",mountpoint="/srv/my files",fstype="xfs"} 1
            node_filesystem_size_bytes{device="/dev/vdb",mountpoint="/srv/my files",fstype="xfs"} 100
            node_filesystem_free_bytes{device="/dev/vdb",mountpoint="/srv/my files",fstype="xfs"} 30
            node_filesystem_avail_bytes{device="/dev/vdb",mountpoint="/srv/my files",fstype="xfs"} 20
            node_filesystem_files{device="/dev/vdb",mountpoint="/srv/my files",fstype="xfs"} 10
            node_filesystem_files_free{device="/dev/vdb",mountpoint="/srv/my files",fstype="xfs"} 4
            node_filesystem_mount_info{device="/dev/vdb",major="254",minor="1",mountpoint="/srv/my files"} 1
        "#]]
        .assert_eq(&told(&mut host, Timestamp(0)));
        world.machine.set_hanging(Path::new("/mnt/nas"), false);
        assert!(told(&mut host, Timestamp(1)).contains(r#"size_bytes{device="nas:/export","#));
    });
}

#[test]
fn disks_without_their_partitions() {
    let line =
        |device: &str| format!("   8       0 {device} 1 2 3 4000 5 6 7 8000 9 10000 11000 12 13 14 15000 16 17000\n");
    let text: String = ["loop0", "sda1", "nvme0n1p2", "ram3", "xvda1", "nvme0n1"].map(line).concat();
    expect![[r#"
        node_disk_info{device="nvme0n1",major="8",minor="0",model="Fast One",serial="S1",rotational="0"} 1
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
    "#]]
    .assert_eq(&collect(
        &["diskstats"],
        &[("/proc/diskstats", &text), ("/run/udev/data/b8:0", "N:x\nE:ID_MODEL=Fast One\nE:ID_SERIAL_SHORT=S1\n")],
    ));
    for (device, kept) in [("sda", 1), ("dm-0", 1), ("md127", 1), ("vdb", 1), ("zram0", 0)] {
        let told = collect(&["diskstats"], &[("/proc/diskstats", &format!("8 0 {device} 1"))]);
        assert_eq!(told.lines().filter(|line| line.contains("reads_completed")).count(), kept, "{device}");
    }
}

#[test]
fn interfaces_and_protocols() {
    let net = "/sys/class/net/eth0";
    expect![[r#"
        node_arp_entries{device="eth0"} 2
        node_bonding_slaves{master="bond0"} 2
        node_bonding_active{master="bond0"} 1
        node_nf_conntrack_entries 5
        node_nf_conntrack_entries_limit 100
        node_nf_conntrack_stat_found 3
        node_nf_conntrack_stat_invalid 17
        node_nf_conntrack_stat_ignore 0
        node_nf_conntrack_stat_insert 0
        node_nf_conntrack_stat_insert_failed 0
        node_nf_conntrack_stat_drop 0
        node_nf_conntrack_stat_early_drop 0
        node_nf_conntrack_stat_search_restart 2
        node_network_up{device="eth0"} 1
        node_network_info{device="eth0",operstate="up",adminstate="up"} 1
        node_network_flags{device="eth0"} 4099
        node_network_mtu_bytes{device="eth0"} 1500
        node_network_speed_bytes{device="eth0"} 125000000
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
        node_network_receive_nohandler_total{device="eth0"} 4
        node_netstat_TcpExt_SyncookiesSent 1
        node_netstat_TcpExt_ListenDrops 3
        node_netstat_Tcp_CurrEstab 4
        node_netstat_Ip_Forwarding 2
        node_netstat_Ip6_InOctets 5
        node_netstat_Udp6_InErrors 7
        node_sockstat_sockets_used 16
        node_sockstat_TCP_inuse 1
        node_sockstat_TCP_tw 2
        node_sockstat_FRAG6_memory 9
        node_softnet_processed_total{cpu="0"} 16
        node_softnet_dropped_total{cpu="0"} 1
        node_softnet_times_squeezed_total{cpu="0"} 2
        node_softnet_cpu_collision_total{cpu="0"} 3
        node_softnet_received_rps_total{cpu="0"} 0
        node_softnet_flow_limit_count_total{cpu="0"} 0
        node_softnet_backlog_len{cpu="0"} 0
        node_tcp_connection_states{state="established"} 1
        node_tcp_connection_states{state="listen"} 1
        node_tcp_connection_states{state="rx_queued_bytes"} 16
        node_tcp_connection_states{state="tx_queued_bytes"} 1
        node_udp_queues{queue="tx",ip="v4"} 21
        node_udp_queues{queue="rx",ip="v4"} 0
    "#]]
    .assert_eq(
        &collect(
            &[
                "arp",
                "bonding",
                "conntrack",
                "netclass",
                "netdev",
                "netstat",
                "sockstat",
                "softnet",
                "tcpstat",
                "udp_queues",
            ],
            &[
                ("/proc/net/arp", "IP\n10.0.0.1 0x1 0x2 02:00 * eth0\n10.0.0.2 0x1 0x2 02:01 * eth0\n"),
                ("/sys/class/net/bonding_masters", "bond0\n"),
                ("/sys/class/net/bond0/bonding/slaves", "a b\n"),
                ("/sys/class/net/bond0/lower_a/bonding_slave/mii_status", "up\n"),
                ("/sys/class/net/bond0/slave_b/bonding_slave/mii_status", "down\n"),
                ("/proc/sys/net/netfilter/nf_conntrack_count", "5\n"),
                ("/proc/sys/net/netfilter/nf_conntrack_max", "100\n"),
                (
                    "/proc/net/stat/nf_conntrack",
                    "entries found invalid ignore insert insert_failed drop early_drop search_restart\n\
                 05 01 10 0 0 0 0 0 01\n05 02 01 0 0 0 0 0 01\n",
                ),
                (&format!("{net}/operstate"), "up\n"),
                (&format!("{net}/flags"), "0x1003\n"),
                (&format!("{net}/mtu"), "1500\n"),
                (&format!("{net}/speed"), "1000\n"),
                (&format!("{net}/statistics/rx_nohandler"), "4\n"),
                ("/proc/net/dev", "Inter-|\n face |\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
                ("/proc/net/netstat", "TcpExt: SyncookiesSent X ListenDrops\nTcpExt: 1 2 3\n"),
                ("/proc/net/snmp", "Tcp: CurrEstab\nTcp: 4\nIp: Forwarding InReceives\nIp: 2 64\n"),
                ("/proc/net/snmp6", "Ip6InOctets 5\nIp6InReceives 6\nUdp6InErrors 7\n"),
                ("/proc/net/sockstat", "sockets: used 16\nTCP: inuse 1 tw 2\n"),
                ("/proc/net/sockstat6", "FRAG6: memory 9\n"),
                ("/proc/net/softnet_stat", "00000010 00000001 00000002 0 0 0 0 0 00000003\n"),
                ("/proc/net/tcp", "sl\n0: a b 0A 00000000:00000010 00\n1: a b 01 00000001:00000000 00\n"),
                ("/proc/net/udp", "sl\n0: a b 07 00000015:00000000 00\n"),
            ],
        )
        .lines()
        .filter(|line| !line.contains("bond0") || line.contains("node_bonding"))
        .map(|line| format!("{line}\n"))
        .collect::<String>(),
    );
}

#[test]
fn odd_files_cost_their_collector_only() {
    let names = ["conntrack", "cpu", "diskstats", "loadavg", "meminfo", "netdev", "netstat", "pressure", "softnet"];
    let told = collect(
        &names,
        &[
            ("/proc/stat", "cpu0 x"),
            ("/proc/diskstats", "8 0 sda x"),
            ("/proc/loadavg", "1 2"),
            ("/proc/meminfo", "nothing"),
            ("/proc/net/dev", "\n\neth0 1"),
            ("/proc/net/netstat", "Tcp: A\nUdp: 1\n"),
            ("/proc/pressure/cpu", "nothing"),
            ("/proc/net/softnet_stat", "zz"),
        ],
    );
    for name in names {
        assert!(told.contains(&format!("node_scrape_collector_success{{collector=\"{name}\"}} 0")), "{name}: {told}");
    }
}
