//! Control groups of both versions.

use std::io;
use std::path::PathBuf;

use super::super::files::{Files, whole};
use super::meminfo;

/// How deep groups are looked for, and how many folders are looked into.
const DEPTH_MAX: usize = 8;
const FOLDERS_MAX: usize = 10_000;
/// Above this a bound is none: the kernel rounds the highest number it knows.
const UNBOUNDED: f64 = (1u64 << 62) as f64;
/// Clock ticks a second.
const USER_HZ: f64 = 100.0;

/// Where the groups are.
pub(super) enum Hierarchy {
    /// Version 2: one tree.
    Unified(PathBuf),
    /// Version 1: a tree for each controller.
    Parted(PathBuf),
}

/// A group's path and, of a container, its identity.
type Found = (String, Option<String>);

impl Hierarchy {
    pub(super) fn of(files: &Files) -> Option<Hierarchy> {
        let root = files.sys_path("fs/cgroup");
        if files.disk.exists(&root.join("cgroup.controllers")) {
            Some(Hierarchy::Unified(root))
        } else {
            files.disk.exists(&root.join("memory")).then_some(Hierarchy::Parted(root))
        }
    }

    /// The folder of a group for a controller.
    fn folder(&self, controller: &str, path: &str) -> PathBuf {
        let path = path.trim_start_matches('/');
        match self {
            Hierarchy::Unified(root) => root.join(path),
            Hierarchy::Parted(root) => root.join(controller).join(path),
        }
    }

    /// All containers, in order of their paths.
    pub(super) fn containers(&self, files: &Files, services: bool) -> Vec<Found> {
        let mut found = Vec::new();
        let mut left = FOLDERS_MAX;
        self.walk(files, "", 0, services, &mut left, &mut found);
        found
    }

    fn walk(&self, files: &Files, path: &str, depth: usize, services: bool, left: &mut usize, found: &mut Vec<Found>) {
        let folder = self.folder("memory", path);
        for name in files.disk.folders(&folder).unwrap_or_default() {
            if *left == 0 {
                return;
            }
            *left -= 1;
            let path = format!("{path}/{name}");
            if let Some(id) = container(&name) {
                found.push((path, Some(id)));
                continue;
            }
            // A user's own service manager has containers below it.
            if depth < DEPTH_MAX {
                self.walk(files, &path, depth + 1, services, left, found);
            }
            if services && name.ends_with(".service") {
                found.push((path, None));
            }
        }
    }
}

/// The identity of the container whose group has this name, if it is one.
pub(in crate::host) fn container(name: &str) -> Option<String> {
    if let Some(payload) = name.strip_prefix("lxc.payload.") {
        return Some(payload.to_owned());
    }
    let plain = name.strip_suffix(".scope").unwrap_or(name);
    let stems = ["docker-", "cri-containerd-", "nerdctl-", "crio-", "libpod-", ""];
    let id = stems.iter().find_map(|stem| plain.strip_prefix(stem))?;
    let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

/// One of them.
pub(super) struct Group<'a> {
    pub(super) files: &'a Files,
    pub(super) hierarchy: &'a Hierarchy,
    pub(super) path: &'a str,
}

/// In seconds and counts.
#[derive(Default)]
pub(super) struct ProcessorTimes {
    pub(super) total: Option<f64>,
    pub(super) user: Option<f64>,
    pub(super) system: Option<f64>,
    pub(super) periods: Option<f64>,
    pub(super) throttled_periods: Option<f64>,
    pub(super) throttled: Option<f64>,
}

#[derive(Default)]
pub(super) struct ProcessorLimits {
    pub(super) period: Option<f64>,
    pub(super) quota: Option<f64>,
    pub(super) shares: Option<f64>,
}

/// In bytes and counts.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) usage: f64,
    pub(super) inactive_file: f64,
    pub(super) active_file: Option<f64>,
    pub(super) anon: Option<f64>,
    pub(super) file: Option<f64>,
    pub(super) mapped: Option<f64>,
    pub(super) swap: Option<f64>,
    pub(super) kernel: Option<f64>,
    pub(super) most: Option<f64>,
    pub(super) at_limit: Option<f64>,
    pub(super) faults: Option<f64>,
    pub(super) major_faults: Option<f64>,
    pub(super) killed: Option<f64>,
    pub(super) limit: Option<f64>,
    pub(super) swap_limit: Option<f64>,
    pub(super) reservation: Option<f64>,
}

pub(super) struct DiskUse {
    /// `8:0`.
    pub(super) numbers: String,
    pub(super) read_bytes: f64,
    pub(super) written_bytes: f64,
    pub(super) reads: f64,
    pub(super) writes: f64,
}

/// The value of a line `name value`.
fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).and_then(|value| whole(value.trim()))
}

/// `max` and what comes near it is no bound, which cAdvisor writes as 0.
fn bound(value: &str) -> Option<f64> {
    if value == "max" {
        return Some(0.0);
    }
    whole(value).map(|bytes| if (0.0..=UNBOUNDED).contains(&bytes) { bytes } else { 0.0 })
}

impl Group<'_> {
    fn text(&self, controller: &str, file: &str) -> io::Result<String> {
        self.files.word(&self.hierarchy.folder(controller, self.path).join(file))
    }

    fn number(&self, controller: &str, file: &str) -> Option<f64> {
        self.text(controller, file).ok().as_deref().and_then(whole)
    }

    fn bound(&self, controller: &str, file: &str) -> Option<f64> {
        bound(&self.text(controller, file).ok()?)
    }

    fn is_root(&self) -> bool {
        self.path == "/"
    }

    /// When the group was made: the earliest change of what is not changed later.
    pub(super) fn started(&self) -> Option<f64> {
        let folder = self.hierarchy.folder("memory", self.path);
        let file =
            if matches!(self.hierarchy, Hierarchy::Unified(_)) { "cgroup.events" } else { "cgroup.clone_children" };
        let times = [folder.join(file), folder].map(|path| self.files.disk.meta(&path).ok().map(|meta| meta.modified));
        times.into_iter().flatten().min().map(|time| time.as_millis().div_euclid(1000) as f64)
    }

    pub(super) fn processor_times(&self) -> ProcessorTimes {
        let stat = self.text("cpu", "cpu.stat").unwrap_or_default();
        match self.hierarchy {
            Hierarchy::Unified(_) => {
                let seconds = |name| field(&stat, name).map(|micros| micros / 1e6);
                ProcessorTimes {
                    total: seconds("usage_usec"),
                    user: seconds("user_usec"),
                    system: seconds("system_usec"),
                    periods: field(&stat, "nr_periods"),
                    throttled_periods: field(&stat, "nr_throttled"),
                    throttled: seconds("throttled_usec"),
                }
            }
            Hierarchy::Parted(_) => {
                let ticks = self.text("cpuacct", "cpuacct.stat").unwrap_or_default();
                let seconds = |name| field(&ticks, name).map(|ticks| ticks / USER_HZ);
                ProcessorTimes {
                    total: self.number("cpuacct", "cpuacct.usage").map(|nanos| nanos / 1e9),
                    user: seconds("user"),
                    system: seconds("system"),
                    periods: field(&stat, "nr_periods"),
                    throttled_periods: field(&stat, "nr_throttled"),
                    throttled: field(&stat, "throttled_time").map(|nanos| nanos / 1e9),
                }
            }
        }
    }

    pub(super) fn processor_limits(&self) -> ProcessorLimits {
        match self.hierarchy {
            Hierarchy::Unified(_) => {
                let max = self.text("cpu", "cpu.max").unwrap_or_default();
                let (quota, period) = max.split_once(' ').unwrap_or_default();
                // Weights from 1 to 10,000 are shares from 2 to 262,144.
                let shares = |weight: f64| (2.0 + (weight - 1.0) * 262_142.0 / 9_999.0).trunc();
                ProcessorLimits {
                    period: whole(period),
                    quota: whole(quota),
                    shares: self.number("cpu", "cpu.weight").filter(|weight| *weight > 0.0).map(shares),
                }
            }
            Hierarchy::Parted(_) => ProcessorLimits {
                period: self.number("cpu", "cpu.cfs_period_us"),
                quota: self.number("cpu", "cpu.cfs_quota_us").filter(|quota| *quota > 0.0),
                shares: self.number("cpu", "cpu.shares"),
            },
        }
    }

    pub(super) fn memory(&self) -> Option<Memory> {
        let stat = self.text("memory", "memory.stat").unwrap_or_default();
        let field = |name: &str| field(&stat, name);
        match self.hierarchy {
            Hierarchy::Unified(_) => {
                let events = self.text("memory", "memory.events").unwrap_or_default();
                let usage = if self.is_root() { self.used_at_all() } else { self.number("memory", "memory.current") };
                Some(Memory {
                    usage: usage?,
                    inactive_file: field("inactive_file").unwrap_or(0.0),
                    active_file: field("active_file"),
                    anon: field("anon"),
                    file: field("file"),
                    mapped: field("file_mapped"),
                    swap: self.number("memory", "memory.swap.current"),
                    kernel: None,
                    most: self.number("memory", "memory.peak"),
                    at_limit: self::field(&events, "max"),
                    faults: field("pgfault"),
                    major_faults: field("pgmajfault"),
                    killed: self::field(&events, "oom_kill"),
                    limit: self.bound("memory", "memory.max"),
                    swap_limit: self.bound("memory", "memory.swap.max"),
                    reservation: self.bound("memory", "memory.min"),
                })
            }
            Hierarchy::Parted(_) => {
                let oom = self.text("memory", "memory.oom_control").unwrap_or_default();
                Some(Memory {
                    usage: self.number("memory", "memory.usage_in_bytes")?,
                    inactive_file: field("total_inactive_file").unwrap_or(0.0),
                    active_file: field("total_active_file"),
                    anon: field("total_rss"),
                    file: field("total_cache"),
                    mapped: field("total_mapped_file"),
                    swap: field("total_swap"),
                    kernel: self.number("memory", "memory.kmem.usage_in_bytes"),
                    most: self.number("memory", "memory.max_usage_in_bytes"),
                    at_limit: self.number("memory", "memory.failcnt"),
                    faults: field("pgfault"),
                    major_faults: field("pgmajfault"),
                    killed: self::field(&oom, "oom_kill"),
                    limit: self.bound("memory", "memory.limit_in_bytes"),
                    swap_limit: self.bound("memory", "memory.memsw.limit_in_bytes"),
                    reservation: self.bound("memory", "memory.soft_limit_in_bytes"),
                })
            }
        }
    }

    /// The root has no `memory.current`: what the machine uses.
    fn used_at_all(&self) -> Option<f64> {
        let text = self.files.proc("meminfo").ok()?;
        Some(meminfo(&text, "MemTotal:")? - meminfo(&text, "MemFree:")?)
    }

    pub(super) fn disks(&self) -> Vec<DiskUse> {
        match self.hierarchy {
            Hierarchy::Unified(_) => {
                let text = self.text("io", "io.stat").unwrap_or_default();
                let disk = |line: &str| {
                    let (numbers, rest) = line.split_once(' ')?;
                    let value = |name: &str| {
                        let mut pairs = rest.split(' ').filter_map(|pair| pair.split_once('='));
                        pairs.find(|(have, _)| *have == name).and_then(|(_, value)| whole(value))
                    };
                    Some(DiskUse {
                        numbers: numbers.to_owned(),
                        read_bytes: value("rbytes")?,
                        written_bytes: value("wbytes")?,
                        reads: value("rios")?,
                        writes: value("wios")?,
                    })
                };
                text.lines().filter_map(disk).collect()
            }
            Hierarchy::Parted(_) => {
                let file = |name: &str| {
                    let recursive = self.text("blkio", &format!("blkio.throttle.{name}_recursive"));
                    recursive.or_else(|_| self.text("blkio", &format!("blkio.throttle.{name}"))).unwrap_or_default()
                };
                let (bytes, counts) = (file("io_service_bytes"), file("io_serviced"));
                let value = |text: &str, numbers: &str, operation: &str| {
                    let line = format!("{numbers} {operation}");
                    self::field(text, &line).unwrap_or(0.0)
                };
                // `8:0 Read 4096`
                let numbers = bytes.lines().filter_map(|line| line.split_once(" Read ")).map(|(numbers, _)| numbers);
                numbers
                    .map(|numbers| DiskUse {
                        numbers: numbers.to_owned(),
                        read_bytes: value(&bytes, numbers, "Read"),
                        written_bytes: value(&bytes, numbers, "Write"),
                        reads: value(&counts, numbers, "Read"),
                        writes: value(&counts, numbers, "Write"),
                    })
                    .collect()
            }
        }
    }

    /// Processes of the group itself.
    pub(super) fn processes(&self) -> Option<Vec<String>> {
        let text = self.text("memory", "cgroup.procs").ok()?;
        Some(text.split_ascii_whitespace().map(str::to_owned).collect())
    }

    /// How many there are, and may be.
    pub(super) fn threads(&self) -> (Option<f64>, Option<f64>) {
        (self.number("pids", "pids.current"), self.bound("pids", "pids.max"))
    }

    /// Seconds by state: `waiting` for some task, `stalled` for all.
    pub(super) fn pressure(&self, resource: &str) -> Vec<(&'static str, f64)> {
        let Hierarchy::Unified(_) = self.hierarchy else { return Vec::new() };
        let text = self.text(resource, &format!("{resource}.pressure")).unwrap_or_default();
        let line = |line: &str| {
            let state = if line.starts_with("some") { "waiting" } else { "stalled" };
            let total = line.split(' ').find_map(|word| word.strip_prefix("total="))?;
            Some((state, whole(total)? / 1e6))
        };
        text.lines().filter_map(line).collect()
    }

    /// The interfaces that a process of the group sees, unless they are the host's.
    pub(super) fn network(&self) -> Option<String> {
        let pid = self.first_process(self.path, 3)?;
        let space = |pid: &str| self.files.disk.read_link(&self.files.proc_path(&format!("{pid}/ns/net"))).ok();
        // Where we may not look the answer is the same for both; then nothing is told rather than the host's.
        let (own, host) = (space(&pid), space("1"));
        if self.is_root() || own.is_none() || own == host {
            return None;
        }
        self.files.proc(&format!("{pid}/net/dev")).ok()
    }

    fn first_process(&self, path: &str, depth: usize) -> Option<String> {
        let group = Group { path, ..*self };
        let first = group.processes().unwrap_or_default().into_iter().next();
        first.or_else(|| {
            let inner = self.files.disk.folders(&self.hierarchy.folder("memory", path)).ok()?;
            let mut inner = inner.into_iter().filter(|_| depth > 0);
            inner.find_map(|name| self.first_process(&format!("{path}/{name}"), depth - 1))
        })
    }
}
