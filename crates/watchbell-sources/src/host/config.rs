//! What the configuration says of this host: the collectors under node_exporter's names, their options under the names
//! of its flags (`--collector.filesystem.mount-points-exclude` is `filesystem: {mount-points-exclude: …}`).

use std::path::PathBuf;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path as Place, Problems, Span};

use super::COLLECTORS;
use super::filter::Filter;

/// Measuring of the host that watchbell runs on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// Whether to measure it.
    pub enabled: bool,
    /// How often, from `1s` to `1h`.
    pub interval: Span,
    /// The label `job` of all of it. Rules made for node_exporter most often ask for `node`.
    pub job: String,
    /// Where to find the host's files, where watchbell runs in a container.
    pub paths: PathsConfig,
    /// What is measured, under node_exporter's names and with its defaults.
    pub collectors: CollectorsConfig,
    /// Containers, under cAdvisor's names.
    pub containers: ContainersConfig,
}

impl Default for HostConfig {
    fn default() -> HostConfig {
        HostConfig {
            enabled: true,
            interval: Span::seconds(15),
            job: super::JOB.to_owned(),
            paths: PathsConfig::default(),
            collectors: CollectorsConfig::default(),
            containers: ContainersConfig::default(),
        }
    }
}

/// Places of the kernel's files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PathsConfig {
    /// Where procfs is mounted, such as `/host/proc`.
    pub procfs: PathBuf,
    /// Where sysfs is mounted, such as `/host/sys`.
    pub sysfs: PathBuf,
    /// Where the host's root is mounted, such as `/host`.
    pub rootfs: PathBuf,
    /// Where udev keeps what it knows of devices.
    #[serde(rename = "udev.data")]
    pub udev_data: PathBuf,
}

impl Default for PathsConfig {
    fn default() -> PathsConfig {
        PathsConfig {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: "/".into(),
            udev_data: "/run/udev/data".into(),
        }
    }
}

/// Containers that run on this host.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContainersConfig {
    /// Whether to measure them: those of Docker, containerd, CRI-O, podman and LXC, and systemd's services.
    pub enabled: bool,
    /// Whether systemd's services count as containers, as they do for cAdvisor: `container_*{id="/system.slice/…"}`.
    pub services: bool,
    /// Which labels of a container become labels `container_label_<name>`: a regular expression that matches anywhere.
    pub label_include: String,
}

impl Default for ContainersConfig {
    fn default() -> ContainersConfig {
        ContainersConfig {
            enabled: true,
            services: false,
            label_include: "^(com\\.docker\\.compose\\.(project|service)|org\\.label-schema\\.name)$".to_owned(),
        }
    }
}

macro_rules! options {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub struct $name {
            /// Whether it is collected; as in node_exporter where nothing is said.
            pub enabled: Option<bool>,
            $($(#[$field_doc])* pub $field: $kind,)*
        }
    };
}

options! {
    /// A collector without options.
    Switch {}
}
options! {
    /// A collector whose devices can be chosen; regular expressions that match anywhere in a name.
    Devices {
        /// Only devices that match.
        device_include: Option<String>,
        /// No devices that match.
        device_exclude: Option<String>,
    }
}
options! {
    /// Times of processors.
    Cpu {
        /// Whether to tell the times of virtual machines apart; `true` unless said otherwise.
        guest: Option<bool>,
        /// Whether to tell what `/proc/cpuinfo` says.
        info: Option<bool>,
        /// Which flags of the processor become `node_cpu_flag_info`.
        #[serde(rename = "info.flags-include")]
        info_flags_include: Option<String>,
        /// Which bugs of the processor become `node_cpu_bug_info`.
        #[serde(rename = "info.bugs-include")]
        info_bugs_include: Option<String>,
    }
}
options! {
    /// Room on file systems.
    Filesystem {
        /// No mount points that match.
        mount_points_exclude: Option<String>,
        /// Only mount points that match.
        mount_points_include: Option<String>,
        /// No types of file systems that match.
        fs_types_exclude: Option<String>,
        /// Only types of file systems that match.
        fs_types_include: Option<String>,
        /// How long a file system may take to say its room before it counts as stuck; 5 s unless said otherwise.
        mount_timeout: Option<Span>,
    }
}
options! {
    /// Hardware sensors.
    Hwmon {
        /// Only chips that match.
        chip_include: Option<String>,
        /// No chips that match.
        chip_exclude: Option<String>,
        /// Only sensors that match; what is matched is `chip;sensor`.
        sensor_include: Option<String>,
        /// No sensors that match; what is matched is `chip;sensor`.
        sensor_exclude: Option<String>,
    }
}
options! {
    /// Network interfaces as sysfs describes them.
    Netclass {
        /// No interfaces that match.
        ignored_devices: Option<String>,
        /// Whether to leave out speeds that the kernel does not know (it says -1).
        ignore_invalid_speed: bool,
    }
}
options! {
    /// A collector that takes the fields that match.
    Fields {
        /// Which fields are taken.
        fields: Option<String>,
    }
}
options! {
    /// Power supplies.
    Powersupply {
        /// No supplies that match.
        ignored_supplies: Option<String>,
    }
}
options! {
    /// Energy that processors took.
    Rapl {
        /// Whether the zone is a label of one metric and not a part of the metric's name.
        enable_zone_label: bool,
    }
}
options! {
    /// Counts of the kernel.
    Stat {
        /// Whether to tell soft interrupts by kind.
        softirq: bool,
    }
}
options! {
    /// Tape drives.
    Tapestats {
        /// No drives that match.
        ignored_devices: Option<String>,
    }
}
options! {
    /// Metrics that scripts leave in files `*.prom`.
    Textfile {
        /// Folders to look in; `*` and `?` are understood.
        directory: Vec<String>,
    }
}
options! {
    /// Caches of block devices.
    Bcache {
        /// Whether to read the costly figures of priorities.
        #[serde(rename = "priorityStats")]
        priority_stats: bool,
    }
}
options! {
    /// The kernel's load balancer.
    Ipvs {
        /// Which labels backends have, in a list with commas.
        backend_labels: Option<String>,
    }
}
options! {
    /// Interrupts by processor and kind.
    Interrupts {
        /// Only those that match; what is matched is `name;info;devices`.
        name_include: Option<String>,
        /// None that match; what is matched is `name;info;devices`.
        name_exclude: Option<String>,
        /// Whether to tell those that never came; `true` unless said otherwise.
        include_zeros: Option<bool>,
    }
}
options! {
    /// The kernel's memory by kind of object.
    Slabinfo {
        /// Only slabs that match.
        slabs_include: Option<String>,
        /// No slabs that match.
        slabs_exclude: Option<String>,
    }
}
options! {
    /// Settings of the kernel.
    Sysctl {
        /// Settings that are numbers: `fs.file-nr`, or `fs.file-nr:total,current,max` with names for each.
        include: Vec<String>,
        /// Settings that are words.
        include_info: Vec<String>,
    }
}

/// Collectors, each with a switch `enabled` and its options.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CollectorsConfig {
    /// Neighbours that ARP knows.
    pub arp: Devices,
    /// Caches of block devices.
    pub bcache: Bcache,
    /// Interfaces that are several.
    pub bonding: Switch,
    /// btrfs file systems.
    pub btrfs: Switch,
    /// Fragments of free memory; off by default.
    pub buddyinfo: Switch,
    /// How many control groups there are; off by default.
    pub cgroups: Switch,
    /// Connections that the firewall tracks.
    pub conntrack: Switch,
    /// Times of processors.
    pub cpu: Cpu,
    /// Frequencies of processors.
    pub cpufreq: Switch,
    /// Reads and writes of disks.
    pub diskstats: Devices,
    /// The machine's make.
    pub dmi: Switch,
    /// Disks that are reached over several paths.
    pub dmmultipath: Switch,
    /// Errors of memory modules.
    pub edac: Switch,
    /// Chance that the kernel has in store.
    pub entropy: Switch,
    /// Fibre Channel ports.
    pub fibrechannel: Switch,
    /// Open files.
    pub filefd: Switch,
    /// Room on file systems.
    pub filesystem: Filesystem,
    /// Hardware sensors.
    pub hwmon: Hwmon,
    /// InfiniBand ports.
    pub infiniband: Devices,
    /// Interrupts by processor and kind; off by default.
    pub interrupts: Interrupts,
    /// The kernel's load balancer.
    pub ipvs: Ipvs,
    /// Tasks that hung.
    pub kernel_hung: Switch,
    /// Memory pages that are shared; off by default.
    pub ksmd: Switch,
    /// Load.
    pub loadavg: Switch,
    /// Software RAID.
    pub mdadm: Switch,
    /// Memory.
    pub meminfo: Switch,
    /// Network interfaces as sysfs describes them.
    pub netclass: Netclass,
    /// Counts of network interfaces.
    pub netdev: Devices,
    /// Counts of protocols.
    pub netstat: Fields,
    /// NFS as a client.
    pub nfs: Switch,
    /// NFS as a server.
    pub nfsd: Switch,
    /// NVMe disks.
    pub nvme: Switch,
    /// The system's name and version.
    pub os: Switch,
    /// Power supplies.
    pub powersupplyclass: Powersupply,
    /// Time lost by waiting for processors, memory and disks.
    pub pressure: Switch,
    /// Processes and threads by state; off by default.
    pub processes: Switch,
    /// Energy that processors took.
    pub rapl: Rapl,
    /// Times of the scheduler.
    pub schedstat: Switch,
    /// SELinux.
    pub selinux: Switch,
    /// The kernel's memory by kind of object; off by default.
    pub slabinfo: Slabinfo,
    /// Sockets.
    pub sockstat: Switch,
    /// Soft interrupts by processor; off by default.
    pub softirqs: Switch,
    /// Packets by processor.
    pub softnet: Switch,
    /// Counts of the kernel.
    pub stat: Stat,
    /// Devices of swap; off by default.
    pub swap: Switch,
    /// Settings of the kernel; off by default.
    pub sysctl: Sysctl,
    /// Tape drives.
    pub tapestats: Tapestats,
    /// TCP connections by state; off by default.
    pub tcpstat: Switch,
    /// Metrics that scripts leave in files `*.prom`.
    pub textfile: Textfile,
    /// Temperatures and cooling.
    pub thermal_zone: Switch,
    /// The clock and its source.
    pub time: Switch,
    /// The clock's discipline.
    pub timex: Switch,
    /// Memory of waiting UDP datagrams.
    pub udp_queues: Switch,
    /// The kernel's name and version.
    pub uname: Switch,
    /// Counts of virtual memory.
    pub vmstat: Fields,
    /// Hardware watchdogs.
    pub watchdog: Switch,
    /// XFS file systems.
    pub xfs: Switch,
    /// ZFS pools.
    pub zfs: Switch,
    /// Memory by zone; off by default.
    pub zoneinfo: Switch,
}

/// Mount points where nobody keeps files, as in node_exporter.
const MOUNT_POINTS_EXCLUDE: &str =
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
/// File systems that hold nobody's files, as in node_exporter.
const FS_TYPES_EXCLUDE: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|\
    iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$";
/// Partitions, RAM disks and loop devices, as in node_exporter.
const DISKS_EXCLUDE: &str = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";
/// Fields of protocols, as in node_exporter.
const NETSTAT_FIELDS: &str = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|\
    Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|\
    Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|\
    Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$";
/// Fields of virtual memory, as in node_exporter.
const VMSTAT_FIELDS: &str = "^(oom_kill|pgpg|pswp|pg.*fault).*";
const NOTHING: &str = "^$";
const MOUNT_TIMEOUT: Span = Span::seconds(5);

/// The configuration made ready: patterns compiled, defaults filled in.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) arp: Filter,
    pub(super) cpu_flags: Option<Regex>,
    pub(super) cpu_bugs: Option<Regex>,
    pub(super) disks: Filter,
    pub(super) mount_points: Filter,
    pub(super) fs_types: Filter,
    pub(super) mount_timeout: Span,
    pub(super) chips: Filter,
    pub(super) sensors: Filter,
    pub(super) infiniband: Filter,
    pub(super) interrupts: Filter,
    pub(super) netclass: Filter,
    pub(super) netdev: Filter,
    pub(super) netstat: Regex,
    pub(super) supplies: Filter,
    pub(super) slabs: Filter,
    pub(super) tapes: Filter,
    pub(super) vmstat: Regex,
    pub(super) container_labels: Regex,
    pub(super) config: HostConfig,
}

/// Compiles patterns and keeps what is wrong with them.
struct Compiler<'a> {
    place: &'a Place,
    problems: &'a mut Problems,
}

impl Compiler<'_> {
    fn regex(&mut self, collector: &str, field: &str, pattern: &str) -> Regex {
        Regex::new(pattern).unwrap_or_else(|error| {
            let place = self.place.field("collectors").field(collector).field(field);
            let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            self.problems.error(&place, format!("`{pattern}` is not a regular expression: {reason}"));
            Regex::new(NOTHING).expect("it is a regular expression")
        })
    }

    fn optional(&mut self, collector: &str, field: &str, pattern: &Option<String>) -> Option<Regex> {
        let given = pattern.as_deref().filter(|pattern| !pattern.is_empty())?;
        Some(self.regex(collector, field, given))
    }

    /// Both at once make no sense; an `include` that is given takes the place of a default `exclude`.
    fn filter(
        &mut self,
        collector: &str,
        [include_field, exclude_field]: [&str; 2],
        [include, exclude]: [&Option<String>; 2],
        default: Option<&str>,
    ) -> Filter {
        if include.as_deref().is_some_and(|it| !it.is_empty()) && exclude.as_deref().is_some_and(|it| !it.is_empty()) {
            let place = self.place.field("collectors").field(collector).field(exclude_field);
            self.problems.error(&place, format!("`{exclude_field}` and `{include_field}` exclude each other"));
        }
        let include = self.optional(collector, include_field, include);
        let exclude = match (exclude, default) {
            (Some(_), _) => self.optional(collector, exclude_field, exclude),
            (None, Some(default)) if include.is_none() => Some(self.regex(collector, exclude_field, default)),
            (None, _) => None,
        };
        Filter { include, exclude }
    }

    fn ignored(&mut self, collector: &str, field: &str, pattern: &Option<String>) -> Filter {
        Filter { include: None, exclude: Some(self.regex(collector, field, pattern.as_deref().unwrap_or(NOTHING))) }
    }
}

const DEVICE: [&str; 2] = ["device-include", "device-exclude"];

impl Settings {
    fn new(config: &HostConfig, place: &Place, problems: &mut Problems) -> Settings {
        let it = &config.collectors;
        let mut compile = Compiler { place, problems };
        let mut devices = |name: &str, devices: &Devices, default: Option<&str>| {
            compile.filter(name, DEVICE, [&devices.device_include, &devices.device_exclude], default)
        };
        Settings {
            arp: devices("arp", &it.arp, None),
            disks: devices("diskstats", &it.diskstats, Some(DISKS_EXCLUDE)),
            infiniband: devices("infiniband", &it.infiniband, None),
            netdev: devices("netdev", &it.netdev, None),
            cpu_flags: compile.optional("cpu", "info.flags-include", &it.cpu.info_flags_include),
            cpu_bugs: compile.optional("cpu", "info.bugs-include", &it.cpu.info_bugs_include),
            mount_points: compile.filter(
                "filesystem",
                ["mount-points-include", "mount-points-exclude"],
                [&it.filesystem.mount_points_include, &it.filesystem.mount_points_exclude],
                Some(MOUNT_POINTS_EXCLUDE),
            ),
            fs_types: compile.filter(
                "filesystem",
                ["fs-types-include", "fs-types-exclude"],
                [&it.filesystem.fs_types_include, &it.filesystem.fs_types_exclude],
                Some(FS_TYPES_EXCLUDE),
            ),
            mount_timeout: it.filesystem.mount_timeout.unwrap_or(MOUNT_TIMEOUT),
            chips: compile.filter(
                "hwmon",
                ["chip-include", "chip-exclude"],
                [&it.hwmon.chip_include, &it.hwmon.chip_exclude],
                None,
            ),
            sensors: compile.filter(
                "hwmon",
                ["sensor-include", "sensor-exclude"],
                [&it.hwmon.sensor_include, &it.hwmon.sensor_exclude],
                None,
            ),
            interrupts: compile.filter(
                "interrupts",
                ["name-include", "name-exclude"],
                [&it.interrupts.name_include, &it.interrupts.name_exclude],
                None,
            ),
            netclass: compile.ignored("netclass", "ignored-devices", &it.netclass.ignored_devices),
            netstat: compile.regex("netstat", "fields", it.netstat.fields.as_deref().unwrap_or(NETSTAT_FIELDS)),
            supplies: compile.ignored("powersupplyclass", "ignored-supplies", &it.powersupplyclass.ignored_supplies),
            slabs: compile.filter(
                "slabinfo",
                ["slabs-include", "slabs-exclude"],
                [&it.slabinfo.slabs_include, &it.slabinfo.slabs_exclude],
                None,
            ),
            tapes: compile.ignored("tapestats", "ignored-devices", &it.tapestats.ignored_devices),
            vmstat: compile.regex("vmstat", "fields", it.vmstat.fields.as_deref().unwrap_or(VMSTAT_FIELDS)),
            container_labels: Regex::new(&config.containers.label_include).unwrap_or_else(|error| {
                let place = place.field("containers").field("label_include");
                let pattern = &config.containers.label_include;
                let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
                compile.problems.error(&place, format!("`{pattern}` is not a regular expression: {reason}"));
                Regex::new(NOTHING).expect("it is a regular expression")
            }),
            config: config.clone(),
        }
    }

    /// Of a configuration that was checked.
    pub(super) fn of(config: &HostConfig) -> Settings {
        Settings::new(config, &Place::root(), &mut Problems::new())
    }
}

impl HostConfig {
    /// What is wrong with it.
    pub fn check(&self, path: &Place, problems: &mut Problems) {
        if self.interval < Span::seconds(1) || self.interval > Span::hours(1) {
            problems
                .error(&path.field("interval"), format!("the interval {} is not between 1s and 1h", self.interval))
                .hint("such as `15s`");
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.:/-".contains(c);
        if self.job.is_empty() || !self.job.chars().all(is_plain) {
            let message = format!("`{}` is no name of a job: letters, digits and `_.:/-`", self.job);
            problems.error(&path.field("job"), message).hint("such as `host` or `node`");
        }
        let _ = Settings::new(self, path, problems);
    }

    /// Which collectors are on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let found = COLLECTORS.iter().find(|it| it.name == name);
        found.is_some_and(|it| (it.switch)(&self.collectors).unwrap_or(it.by_default))
    }
}
