//! Containers in both versions of control groups.

use std::path::Path;

use expect_test::expect;
use watchbell_model::Timestamp;

use super::{files, host, only, sim, told};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn of_the_unified_hierarchy() {
    sim::run(1, |world| async move {
        let group = format!("/sys/fs/cgroup/system.slice/docker-{ID}.scope");
        let put = |name: &str, text: &str| files(&world, &[(&format!("{group}/{name}"), text)]);
        files(
            &world,
            &[
                ("/sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n"),
                ("/sys/fs/cgroup/system.slice/cron.service/cgroup.procs", "7\n"),
                ("/proc/stat", "cpu 1\ncpu0 1\ncpu1 1\n"),
                ("/proc/meminfo", "MemTotal: 100 kB\nMemFree: 40 kB\nSwapTotal: 0 kB\n"),
                ("/proc/diskstats", "8 0 sda 1\n"),
                (
                    "/proc/42/net/dev",
                    "a\nb\nlo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 0 0 0 0\n",
                ),
                (
                    &format!("/var/lib/docker/containers/{ID}/config.v2.json"),
                    r#"{"Name": "/web", "Config": {"Image": "nginx:1", "Labels": {"com.docker.compose.service": "web", "secret": "no"}}}"#,
                ),
            ],
        );
        put(
            "cpu.stat",
            "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 9\nnr_throttled 2\nthrottled_usec 500000\n",
        );
        put("cpu.max", "50000 100000\n");
        put("cpu.weight", "100\n");
        put("memory.current", "1000\n");
        put(
            "memory.stat",
            "anon 300\nfile 600\nfile_mapped 50\nactive_file 100\ninactive_file 400\npgfault 8\npgmajfault 1\n",
        );
        put("memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n");
        put("memory.max", "2000\n");
        put("memory.swap.max", "max\n");
        put("memory.swap.current", "7\n");
        put("memory.peak", "1500\n");
        put(
            "memory.pressure",
            "some avg10=0 avg60=0 avg300=0 total=2000000\nfull avg10=0 avg60=0 avg300=0 total=1000000\n",
        );
        put("io.stat", "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n");
        put("pids.current", "4\n");
        put("pids.max", "max\n");
        put("cgroup.procs", "42\n43\n");
        world.disk.link(Path::new("/proc/1/ns/net"), Path::new("net:[1]"));
        world.disk.link(Path::new("/proc/42/ns/net"), Path::new("net:[2]"));
        let mut host = host(only(&["containers"]), &world.runtime());
        let told = told(&mut host, Timestamp(1_700_000_000_500));
        expect![[r#"
            machine_cpu_cores 2
            machine_memory_bytes 102400
            machine_swap_bytes 0
            container_last_seen{id="/"} 1700000000
            container_memory_usage_bytes{id="/"} 61440
            container_memory_working_set_bytes{id="/"} 61440
            container_memory_total_inactive_file_bytes{id="/"} 0
            container_last_seen{ID} 1700000000
            container_cpu_usage_seconds_total{ID,cpu="total"} 3
            container_cpu_user_seconds_total{ID} 2
            container_cpu_system_seconds_total{ID} 1
            container_spec_cpu_period{ID} 100000
            container_spec_cpu_shares{ID} 2597
            container_spec_cpu_quota{ID} 50000
            container_cpu_cfs_periods_total{ID} 9
            container_cpu_cfs_throttled_periods_total{ID} 2
            container_cpu_cfs_throttled_seconds_total{ID} 0.5
            container_memory_usage_bytes{ID} 1000
            container_memory_working_set_bytes{ID} 600
            container_memory_rss{ID} 300
            container_memory_cache{ID} 600
            container_memory_mapped_file{ID} 50
            container_memory_swap{ID} 7
            container_memory_max_usage_bytes{ID} 1500
            container_memory_total_active_file_bytes{ID} 100
            container_memory_total_inactive_file_bytes{ID} 400
            container_memory_failcnt{ID} 3
            container_memory_failures_total{ID,failure_type="pgfault",scope="container"} 8
            container_memory_failures_total{ID,failure_type="pgfault",scope="hierarchy"} 8
            container_memory_failures_total{ID,failure_type="pgmajfault",scope="container"} 1
            container_memory_failures_total{ID,failure_type="pgmajfault",scope="hierarchy"} 1
            container_oom_events_total{ID} 1
            container_spec_memory_limit_bytes{ID} 2000
            container_spec_memory_swap_limit_bytes{ID} 0
            container_fs_reads_bytes_total{ID,device="/dev/sda"} 4096
            container_fs_writes_bytes_total{ID,device="/dev/sda"} 8192
            container_fs_reads_total{ID,device="/dev/sda"} 1
            container_fs_writes_total{ID,device="/dev/sda"} 2
            container_blkio_device_usage_total{ID,device="/dev/sda",major="8",minor="0",operation="Read"} 4096
            container_blkio_device_usage_total{ID,device="/dev/sda",major="8",minor="0",operation="Write"} 8192
            container_processes{ID} 2
            container_threads{ID} 4
            container_threads_max{ID} 0
            container_pressure_memory_waiting_seconds_total{ID} 2
            container_pressure_memory_stalled_seconds_total{ID} 1
            container_network_receive_bytes_total{ID,interface="eth0"} 1
            container_network_receive_packets_total{ID,interface="eth0"} 2
            container_network_receive_errors_total{ID,interface="eth0"} 3
            container_network_receive_packets_dropped_total{ID,interface="eth0"} 4
            container_network_transmit_bytes_total{ID,interface="eth0"} 9
            container_network_transmit_packets_total{ID,interface="eth0"} 10
            container_network_transmit_errors_total{ID,interface="eth0"} 11
            container_network_transmit_packets_dropped_total{ID,interface="eth0"} 12
        "#]]
        .assert_eq(&shown(
            &told,
            &format!(
                "id=\"/system.slice/docker-{ID}.scope\",name=\"web\",image=\"nginx:1\",container_label_com_docker_compose_service=\"web\""
            ),
        ));
    });
}

/// Without when they were made, which the simulated disk does not know.
fn shown(told: &str, own: &str) -> String {
    let lines = told.lines().filter(|line| !line.starts_with("container_start_time_seconds"));
    lines.map(|line| format!("{}\n", line.replace(own, "ID"))).collect()
}

#[test]
fn of_the_parted_hierarchies_and_without_a_name() {
    sim::run(1, |world| async move {
        let put = |controller: &str, name: &str, text: &str| {
            files(&world, &[(&format!("/sys/fs/cgroup/{controller}/docker/{ID}/{name}"), text)]);
        };
        put("memory", "memory.usage_in_bytes", "1000\n");
        put("memory", "memory.limit_in_bytes", "9223372036854771712\n");
        put("memory", "memory.stat", "cache 1\ntotal_cache 600\ntotal_rss 300\ntotal_inactive_file 1200\n");
        put("memory", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
        put("cpuacct", "cpuacct.usage", "3000000000\n");
        put("cpuacct", "cpuacct.stat", "user 200\nsystem 100\n");
        put("cpu", "cpu.cfs_quota_us", "-1\n");
        put("cpu", "cpu.shares", "1024\n");
        put(
            "blkio",
            "blkio.throttle.io_service_bytes",
            "8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\nTotal 12288\n",
        );
        put("blkio", "blkio.throttle.io_serviced", "8:0 Read 1\n8:0 Write 2\nTotal 3\n");
        let mut host = host(only(&["containers"]), &world.runtime());
        let told = told(&mut host, Timestamp(0));
        expect![[r#"
            container_last_seen{id="/"} 0
            container_last_seen{ID} 0
            container_cpu_usage_seconds_total{ID,cpu="total"} 3
            container_cpu_user_seconds_total{ID} 2
            container_cpu_system_seconds_total{ID} 1
            container_spec_cpu_shares{ID} 1024
            container_memory_usage_bytes{ID} 1000
            container_memory_working_set_bytes{ID} 0
            container_memory_rss{ID} 300
            container_memory_cache{ID} 600
            container_memory_total_inactive_file_bytes{ID} 1200
            container_oom_events_total{ID} 2
            container_spec_memory_limit_bytes{ID} 0
            container_fs_reads_bytes_total{ID} 4096
            container_fs_writes_bytes_total{ID} 8192
            container_fs_reads_total{ID} 1
            container_fs_writes_total{ID} 2
            container_blkio_device_usage_total{ID,major="8",minor="0",operation="Read"} 4096
            container_blkio_device_usage_total{ID,major="8",minor="0",operation="Write"} 8192
        "#]]
        .assert_eq(&shown(&told, &format!("id=\"/docker/{ID}\"")));
    });
}

#[test]
fn services_only_where_they_are_asked_for() {
    sim::run(1, |world| async move {
        files(
            &world,
            &[
                ("/sys/fs/cgroup/cgroup.controllers", "cpu\n"),
                ("/sys/fs/cgroup/system.slice/cron.service/pids.current", "3\n"),
                (&format!("/sys/fs/cgroup/user.slice/user@1.service/libpod-{ID}.scope/pids.current"), "5\n"),
                (
                    "/var/lib/containers/storage/overlay-containers/containers.json",
                    &format!(r#"[{{"id": "{ID}", "names": ["db"], "metadata": "{{\"image-name\": \"postgres\"}}"}}]"#),
                ),
            ],
        );
        let mut config = only(&["containers"]);
        let threads = |told: String| -> Vec<String> {
            let lines = told.lines().filter(|line| line.starts_with("container_threads"));
            lines.map(|line| line.replace(ID, "ID")).collect()
        };
        let podman =
            r#"container_threads{id="/user.slice/user@1.service/libpod-ID.scope",name="db",image="postgres"} 5"#;
        assert_eq!(threads(told(&mut host(config.clone(), &world.runtime()), Timestamp(0))), [podman]);
        config.containers.services = true;
        let service = r#"container_threads{id="/system.slice/cron.service"} 3"#;
        assert_eq!(threads(told(&mut host(config, &world.runtime()), Timestamp(0))), [service, podman]);
    });
}

#[test]
fn the_names_of_groups_that_are_containers() {
    use crate::host::containers::group::container;
    for stem in ["docker-", "cri-containerd-", "crio-", "libpod-", "nerdctl-"] {
        assert_eq!(container(&format!("{stem}{ID}.scope")).as_deref(), Some(ID));
    }
    assert_eq!(container(ID).as_deref(), Some(ID));
    assert_eq!(container("lxc.payload.web").as_deref(), Some("web"));
    for other in ["system.slice", "cron.service", "docker-abc.scope", &ID[1..]] {
        assert_eq!(container(other), None, "{other}");
    }
}
