//! Containers, by their control groups, under cAdvisor's names and with its arithmetic.
//!
//! Groups are found by the names that Docker, containerd, CRI-O, podman and LXC give them. A name, an image and labels
//! come from where Docker and podman keep them. Left out of what cAdvisor tells by default: the room that a container
//! takes on disk, which can only be had by adding up its files, and Kubernetes' own labels.

pub(super) mod group;
mod names;

use std::collections::{BTreeMap, HashMap};
use std::io;

use watchbell_model::{MetricType, Timestamp};

use super::config::Settings;
use super::exposition::Exposition;
use super::files::{Files, whole};
use group::{Group, Hierarchy};
use names::Known;

/// How many containers there are at most; further ones are left out.
const CONTAINERS_MAX: usize = 2_000;
/// After so many collections names are looked up again: a container can be given another one.
const NAMES_EVERY: u64 = 20;

/// What is remembered from one collection to the next.
#[derive(Default)]
pub(super) struct Containers {
    known: HashMap<String, Known>,
    round: u64,
}

impl Containers {
    pub(super) fn collect(
        &mut self,
        files: &Files,
        settings: &Settings,
        out: &mut Exposition,
        now: Timestamp,
    ) -> io::Result<()> {
        machine(files, out);
        let Some(hierarchy) = Hierarchy::of(files) else { return Err(io::ErrorKind::NotFound.into()) };
        let mut found = hierarchy.containers(files, settings.config.containers.services);
        found.truncate(CONTAINERS_MAX);
        if found.is_empty() {
            self.known.clear();
            return Ok(());
        }
        if self.round.is_multiple_of(NAMES_EVERY) {
            self.known.clear();
        }
        self.round += 1;
        let ids: Vec<&str> = found.iter().filter_map(|(_, id)| id.as_deref()).collect();
        self.known.retain(|id, _| ids.contains(&&**id));
        let unknown: Vec<&str> = ids.into_iter().filter(|id| !self.known.contains_key(*id)).collect();
        self.known.extend(names::of(files, &unknown));

        let disks = disks(files);
        // What all of them share, as cAdvisor has it.
        let root = ("/".to_owned(), None);
        for (path, id) in std::iter::once(&root).chain(&found) {
            let known = id.as_deref().and_then(|id| self.known.get(id));
            let mut labels = vec![("id".to_owned(), path.clone())];
            if let Some(known) = known {
                labels.push(("name".to_owned(), known.name.clone()));
                labels.push(("image".to_owned(), known.image.clone()));
                let wanted = known.labels.iter().filter(|(name, _)| settings.container_labels.is_match(name));
                labels.extend(wanted.map(|(name, value)| (label(name), value.clone())));
            }
            let group = Group { files, hierarchy: &hierarchy, path };
            let mut container = Container { group, labels, out };
            container.tell(&disks, now);
        }
        Ok(())
    }
}

/// `com.docker.compose.service` becomes `container_label_com_docker_compose_service`.
fn label(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    format!("container_label_{name}")
}

fn machine(files: &Files, out: &mut Exposition) {
    let cores = files.proc("stat").map(|text| {
        let is_cpu = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
        text.lines().filter(is_cpu).count() as f64
    });
    if let Ok(cores) = cores {
        out.gauge("machine_cpu_cores", "Processors of the machine.", &[], cores);
    }
    let memory = files.proc("meminfo").unwrap_or_default();
    for (field, name, help) in [
        ("MemTotal:", "machine_memory_bytes", "Memory of the machine."),
        ("SwapTotal:", "machine_swap_bytes", "Swap of the machine."),
    ] {
        if let Some(bytes) = meminfo(&memory, field) {
            out.gauge(name, help, &[], bytes);
        }
    }
}

fn meminfo(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.split_ascii_whitespace().next().and_then(whole)? * 1024.0)
}

/// Names of block devices by their numbers.
fn disks(files: &Files) -> BTreeMap<String, String> {
    let text = files.proc("diskstats").unwrap_or_default();
    let disk = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        Some((format!("{}:{}", words.next()?, words.next()?), format!("/dev/{}", words.next()?)))
    };
    text.lines().filter_map(disk).collect()
}

/// One container and where its figures go.
struct Container<'a> {
    group: Group<'a>,
    labels: Vec<(String, String)>,
    out: &'a mut Exposition,
}

impl Container<'_> {
    fn put(&mut self, kind: MetricType, name: &str, help: &str, more: &[(&str, &str)], value: f64) {
        let own = self.labels.iter().map(|(name, value)| (&**name, &**value));
        let labels: Vec<(&str, &str)> = own.chain(more.iter().copied()).collect();
        self.out.put(kind, name, help, &labels, value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.put(MetricType::Gauge, name, help, &[], value);
        }
    }

    fn counter(&mut self, name: &str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.put(MetricType::Counter, name, help, &[], value);
        }
    }

    fn tell(&mut self, disks: &BTreeMap<String, String>, now: Timestamp) {
        let seen = now.as_millis().div_euclid(1000) as f64;
        self.gauge("container_last_seen", "When the container was seen last, in Unix time.", Some(seen));
        if let Some(start) = self.group.started() {
            self.gauge("container_start_time_seconds", "When the container was started, in Unix time.", Some(start));
        }
        self.processors();
        self.memory();
        self.disk(disks);
        self.tasks();
        self.pressure();
        self.network();
    }

    fn processors(&mut self) {
        let times = self.group.processor_times();
        if let Some(total) = times.total {
            let help = "Seconds that the container took of processors.";
            let labels = [("cpu", "total")];
            self.put(MetricType::Counter, "container_cpu_usage_seconds_total", help, &labels, total);
        }
        self.counter("container_cpu_user_seconds_total", "Seconds of programs.", times.user);
        self.counter("container_cpu_system_seconds_total", "Seconds of the kernel for it.", times.system);
        let limits = self.group.processor_limits();
        self.gauge("container_spec_cpu_period", "Microseconds for which its share is counted.", limits.period);
        self.gauge("container_spec_cpu_shares", "Its share beside others.", limits.shares);
        if limits.quota.is_none() {
            return;
        }
        self.gauge("container_spec_cpu_quota", "Microseconds that it may take in a period.", limits.quota);
        self.counter("container_cpu_cfs_periods_total", "Periods in which it ran.", times.periods);
        let help = "Periods in which it was held back.";
        self.counter("container_cpu_cfs_throttled_periods_total", help, times.throttled_periods);
        let help = "Seconds for which it was held back.";
        self.counter("container_cpu_cfs_throttled_seconds_total", help, times.throttled);
    }

    fn memory(&mut self) {
        let Some(memory) = self.group.memory() else { return };
        self.gauge("container_memory_usage_bytes", "Memory that it takes, caches among it.", Some(memory.usage));
        let working_set = (memory.usage - memory.inactive_file).max(0.0);
        let help = "Memory that it takes, less caches that were not used of late.";
        self.gauge("container_memory_working_set_bytes", help, Some(working_set));
        self.gauge("container_memory_rss", "Memory that is no copy of a file.", memory.anon);
        self.gauge("container_memory_cache", "Copies of files.", memory.file);
        self.gauge("container_memory_mapped_file", "Files mapped into memory.", memory.mapped);
        self.gauge("container_memory_swap", "Memory put away to disk.", memory.swap);
        self.gauge("container_memory_kernel_usage", "Memory that the kernel takes for it.", memory.kernel);
        self.gauge("container_memory_max_usage_bytes", "The most memory that it took.", memory.most);
        let help = "Copies of files that were used of late.";
        self.gauge("container_memory_total_active_file_bytes", help, memory.active_file);
        let help = "Copies of files that were not used of late.";
        self.gauge("container_memory_total_inactive_file_bytes", help, Some(memory.inactive_file));
        self.counter("container_memory_failcnt", "How often it came to its limit.", memory.at_limit);
        for (kind, count) in [("pgfault", memory.faults), ("pgmajfault", memory.major_faults)] {
            let Some(count) = count else { continue };
            for scope in ["container", "hierarchy"] {
                let labels = [("failure_type", kind), ("scope", scope)];
                let help = "Page faults, by kind.";
                self.put(MetricType::Counter, "container_memory_failures_total", help, &labels, count);
            }
        }
        self.counter("container_oom_events_total", "Processes killed for want of memory.", memory.killed);
        self.gauge("container_spec_memory_limit_bytes", "Most memory that it may take; 0 for no bound.", memory.limit);
        let help = "Most memory that may be put away to disk; 0 for no bound.";
        self.gauge("container_spec_memory_swap_limit_bytes", help, memory.swap_limit);
        let help = "Memory that is kept for it.";
        self.gauge("container_spec_memory_reservation_limit_bytes", help, memory.reservation);
    }

    fn disk(&mut self, disks: &BTreeMap<String, String>) {
        for disk in self.group.disks() {
            let device = disks.get(&disk.numbers).map_or("", String::as_str).to_owned();
            let labels = [("device", &*device)];
            for (name, help, value) in [
                ("container_fs_reads_bytes_total", "Bytes that were read.", disk.read_bytes),
                ("container_fs_writes_bytes_total", "Bytes that were written.", disk.written_bytes),
                ("container_fs_reads_total", "Reads that were completed.", disk.reads),
                ("container_fs_writes_total", "Writes that were completed.", disk.writes),
            ] {
                self.put(MetricType::Counter, name, help, &labels, value);
            }
            let (major, minor) = disk.numbers.split_once(':').unwrap_or_default();
            for (operation, bytes) in [("Read", disk.read_bytes), ("Write", disk.written_bytes)] {
                let labels = [("device", &*device), ("major", major), ("minor", minor), ("operation", operation)];
                let help = "Bytes that were moved, by device and direction.";
                self.put(MetricType::Counter, "container_blkio_device_usage_total", help, &labels, bytes);
            }
        }
    }

    fn tasks(&mut self) {
        let processes = self.group.processes();
        self.gauge("container_processes", "Processes of the container.", processes.map(|list| list.len() as f64));
        let (threads, most) = self.group.threads();
        self.gauge("container_threads", "Threads of the container.", threads);
        self.gauge("container_threads_max", "How many threads it may have; 0 for no bound.", most);
    }

    fn pressure(&mut self) {
        for (resource, for_what) in [("cpu", "processors"), ("memory", "memory"), ("io", "disks")] {
            for (state, seconds) in self.group.pressure(resource) {
                let name = format!("container_pressure_{resource}_{state}_seconds_total");
                let help = format!("Seconds in which tasks of the container waited for {for_what}.");
                self.put(MetricType::Counter, &name, &help, &[], seconds);
            }
        }
    }

    fn network(&mut self) {
        let Some(text) = self.group.network() else { return };
        for line in text.lines().skip(2) {
            let Some((interface, rest)) = line.rsplit_once(':') else { continue };
            let interface = interface.trim();
            if ["lo", "veth", "docker", "nerdctl"].iter().any(|stem| interface.starts_with(stem)) {
                continue;
            }
            let values: Vec<f64> = rest.split_ascii_whitespace().filter_map(whole).collect();
            for (at, name, help) in [
                (0, "receive_bytes", "Bytes that came in."),
                (1, "receive_packets", "Packets that came in."),
                (2, "receive_errors", "Packets that came in with errors."),
                (3, "receive_packets_dropped", "Packets that came in and were dropped."),
                (8, "transmit_bytes", "Bytes that went out."),
                (9, "transmit_packets", "Packets that went out."),
                (10, "transmit_errors", "Packets that could not be sent."),
                (11, "transmit_packets_dropped", "Packets that were dropped before they went out."),
            ] {
                let Some(value) = values.get(at) else { continue };
                let name = format!("container_network_{name}_total");
                self.put(MetricType::Counter, &name, help, &[("interface", interface)], *value);
            }
        }
    }
}
