//! File systems with figures of their own, and servers of files and connections.

use expect_test::expect;

use super::collect;

#[test]
fn btrfs_xfs_and_zfs() {
    let btrfs = "/sys/fs/btrfs/0abb-1";
    let of = |kind: &str, file: &str| format!("{btrfs}/allocation/{kind}/{file}");
    expect![[r#"
        node_btrfs_info{uuid="0abb-1",label="data"} 1
        node_btrfs_global_rsv_size_bytes{uuid="0abb-1"} 16
        node_btrfs_commits_total{uuid="0abb-1"} 9
        node_btrfs_last_commit_seconds{uuid="0abb-1"} 1
        node_btrfs_max_commit_seconds{uuid="0abb-1"} 0
        node_btrfs_commit_seconds_total{uuid="0abb-1"} 0
        node_btrfs_reserved_bytes{uuid="0abb-1",block_group_type="data"} 1
        node_btrfs_used_bytes{uuid="0abb-1",block_group_type="data",mode="raid5"} 3
        node_btrfs_size_bytes{uuid="0abb-1",block_group_type="data",mode="raid5"} 4
        node_btrfs_allocation_ratio{uuid="0abb-1",block_group_type="data",mode="raid5"} 1.5
        node_btrfs_reserved_bytes{uuid="0abb-1",block_group_type="metadata"} 0
        node_btrfs_reserved_bytes{uuid="0abb-1",block_group_type="system"} 0
        node_btrfs_device_size_bytes{uuid="0abb-1",device="sda"} 5120
        node_btrfs_device_errors_total{uuid="0abb-1",device="devid1",type="write"} 2
        node_btrfs_device_errors_total{uuid="0abb-1",device="devid1",type="corruption"} 1
        node_xfs_extent_allocation_extents_allocated_total{device="sda1"} 1
        node_xfs_extent_allocation_blocks_allocated_total{device="sda1"} 2
        node_xfs_extent_allocation_extents_freed_total{device="sda1"} 3
        node_xfs_extent_allocation_blocks_freed_total{device="sda1"} 4
        node_xfs_read_calls_total{device="sda1"} 6
        node_xfs_write_calls_total{device="sda1"} 5
        node_zfs_arc_hits 8
        node_zfs_arc_memory_available_bytes -5
        node_zfs_zpool_nread 7
        node_zfs_zpool_nwritten 9
        node_zfs_zpool_dataset_writes{zpool="tank",dataset="tank/a b"} 4
        node_zfs_zpool_state{zpool="tank",state="degraded"} 1
    "#]]
    .assert_eq(
        &collect(
            &["btrfs", "xfs", "zfs"],
            &[
                ("/sys/fs/btrfs/features/raid56", "0\n"),
                (&format!("{btrfs}/label"), "data\n"),
                (&format!("{btrfs}/commit_stats"), "commits 9\nlast_commit_ms 1000\n"),
                (&format!("{btrfs}/allocation/global_rsv_size"), "16\n"),
                (&of("data", "bytes_reserved"), "1\n"),
                (&of("data", "raid5/used_bytes"), "3\n"),
                (&of("data", "raid5/total_bytes"), "4\n"),
                (&of("metadata", "bytes_reserved"), "0\n"),
                (&of("system", "bytes_reserved"), "0\n"),
                (&format!("{btrfs}/devices/sda/size"), "10\n"),
                (&format!("{btrfs}/devices/sdb/x"), "\n"),
                (&format!("{btrfs}/devices/sdc/x"), "\n"),
                (&format!("{btrfs}/devinfo/1/error_stats"), "write_errs 2\ncorruption_errs 1\n"),
                ("/sys/fs/xfs/sda1/stats/stats", "extent_alloc 1 2 3 4\nrw 5 6\n"),
                (
                    "/proc/spl/kstat/zfs/arcstats",
                    "5 1 0x01\nname type data\nhits 4 8\nmemory_available_bytes 3 -5\nx 7 word\n",
                ),
                ("/proc/spl/kstat/zfs/tank/io", "12 3 0x00\nnread nwritten\n7 9\n"),
                ("/proc/spl/kstat/zfs/tank/state", "DEGRADED\n"),
                ("/proc/spl/kstat/zfs/tank/objset-1", "1 1\nname type data\ndataset_name 7 tank/a b\nwrites 4 4\n"),
            ],
        )
        .lines()
        .filter(|line| !(line.contains("zpool_state") && line.ends_with(" 0")))
        .map(|line| format!("{}\n", line.replace("{zpool=\"tank\"}", "")))
        .collect::<String>(),
    );
}

#[test]
fn nfs_and_the_load_balancer() {
    let told = collect(
        &["ipvs", "nfs", "nfsd"],
        &[
            ("/proc/net/ip_vs_stats", "  Total\n  Conns\n  16 A 0 FF 0\n"),
            (
                "/proc/net/ip_vs",
                "IP Virtual Server\nProt Local\n  -> Remote\nTCP  C0A80016:0CEA wlc\n  -> C0A85216:0CEA Tunnel 100 248 2\n\
                 FWM  10001000 wlc\n  -> C0A8321A:0000 Route 20 0 5\n",
            ),
            ("/proc/net/rpc/nfs", "net 5 1 4 2\nrpc 9 8 7\nproc2 18 0 1\nproc3 22 0 3\n"),
            ("/proc/net/rpc/nfsd", "rc 1 2 3\nth 8 0\nio 10 20\nproc4ops 40 0 0 0 6 7\nwdeleg_getattr 4\n"),
        ],
    );
    let is_shown = |line: &&str| !line.ends_with(" 0") || !line.contains("requests_total");
    expect![[r#"
        node_ipvs_connections_total 22
        node_ipvs_incoming_packets_total 10
        node_ipvs_outgoing_packets_total 0
        node_ipvs_incoming_bytes_total 255
        node_ipvs_outgoing_bytes_total 0
        node_ipvs_backend_connections_active{local_port="0",remote_address="192.168.50.26",remote_port="0",proto="FWM",local_mark="10001000"} 0
        node_ipvs_backend_connections_inactive{local_port="0",remote_address="192.168.50.26",remote_port="0",proto="FWM",local_mark="10001000"} 5
        node_ipvs_backend_weight{local_port="0",remote_address="192.168.50.26",remote_port="0",proto="FWM",local_mark="10001000"} 20
        node_ipvs_backend_connections_active{local_address="192.168.0.22",local_port="3306",remote_address="192.168.82.22",remote_port="3306",proto="TCP"} 248
        node_ipvs_backend_connections_inactive{local_address="192.168.0.22",local_port="3306",remote_address="192.168.82.22",remote_port="3306",proto="TCP"} 2
        node_ipvs_backend_weight{local_address="192.168.0.22",local_port="3306",remote_address="192.168.82.22",remote_port="3306",proto="TCP"} 100
        node_nfs_packets_total{protocol="udp"} 1
        node_nfs_packets_total{protocol="tcp"} 4
        node_nfs_connections_total 2
        node_nfs_rpcs_total 9
        node_nfs_rpc_retransmissions_total 8
        node_nfs_rpc_authentication_refreshes_total 7
        node_nfs_requests_total{proto="2",method="GetAttr"} 1
        node_nfs_requests_total{proto="3",method="GetAttr"} 3
        node_nfsd_reply_cache_hits_total 1
        node_nfsd_reply_cache_misses_total 2
        node_nfsd_reply_cache_nocache_total 3
        node_nfsd_file_handles_stale_total 0
        node_nfsd_disk_bytes_read_total 10
        node_nfsd_disk_bytes_written_total 20
        node_nfsd_read_ahead_cache_not_found_total 0
        node_nfsd_connections_total 0
        node_nfsd_server_rpcs_total 0
        node_nfsd_server_threads 8
        node_nfsd_read_ahead_cache_size_blocks 0
        node_nfsd_packets_total{proto="udp"} 0
        node_nfsd_packets_total{proto="tcp"} 0
        node_nfsd_rpc_errors_total{error="fmt"} 0
        node_nfsd_rpc_errors_total{error="auth"} 0
        node_nfsd_rpc_errors_total{error="cInt"} 0
        node_nfsd_requests_total{proto="4",method="Access"} 6
        node_nfsd_requests_total{proto="4",method="Close"} 7
        node_nfsd_requests_total{proto="4",method="WdelegGetattr"} 4
    "#]]
    .assert_eq(&told.lines().filter(is_shown).map(|line| format!("{line}\n")).collect::<String>());
}
