//! Processors: their times, throttles and frequencies.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use regex::Regex;

use super::Round;
use super::exposition::Exposition;
use super::files::{by_number, odd, whole};

/// Clock ticks a second in `/proc/stat`; the same on every architecture Linux still runs on.
const USER_HZ: f64 = 100.0;
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;
/// Idle time that shrinks by this many seconds means that the processor was taken out and put back.
const IDLE_RESET: f64 = 3.0;

/// The last times of each processor. The kernel's idle and iowait can shrink a little, which `rate` would take for a
/// reset; so what is told never shrinks, as in node_exporter.
#[derive(Default)]
pub(super) struct History(BTreeMap<u32, [f64; 10]>);

pub(super) fn collect(round: &mut Round<'_>) -> io::Result<()> {
    let config = &round.settings.config.collectors.cpu;
    if config.info.unwrap_or(false) || config.info_flags_include.is_some() || config.info_bugs_include.is_some() {
        info(round)?;
    }
    let guest = config.guest.unwrap_or(true);
    let text = round.files.proc("stat")?;
    times(&text, round.cpu, guest, round.out)?;
    let isolated = round.files.sys("devices/system/cpu/isolated").unwrap_or_default();
    for cpu in ranges(&isolated) {
        let help = "Whether the processor is kept free of what nobody put there.";
        round.out.gauge("node_cpu_isolated", help, &[("cpu", &cpu.to_string())], 1.0);
    }
    let cpus = processors(round)?;
    throttles(round, &cpus);
    online(round, &cpus);
    Ok(())
}

pub(super) fn times(text: &str, history: &mut History, guest: bool, out: &mut Exposition) -> io::Result<()> {
    let mut seen = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(cpu)) = words.next().and_then(|name| name.strip_prefix("cpu")).map(str::parse::<u32>) else {
            continue;
        };
        let mut times = [0.0; 10];
        for (time, word) in times.iter_mut().zip(words) {
            *time = whole(word).ok_or_else(|| odd("/proc/stat"))? / USER_HZ;
        }
        if let Some(last) = history.0.get(&cpu).filter(|last| last[IDLE] - times[IDLE] < IDLE_RESET) {
            times.iter_mut().zip(last).for_each(|(time, last)| *time = time.max(*last));
        }
        seen.insert(cpu, times);
    }
    if seen.is_empty() {
        return Err(odd("/proc/stat"));
    }
    for (cpu, times) in &seen {
        let cpu = &*cpu.to_string();
        for (mode, time) in MODES.iter().zip(*times) {
            let help = "Seconds that processors spent in each mode.";
            out.counter("node_cpu_seconds_total", help, &[("cpu", cpu), ("mode", mode)], time);
        }
        for (mode, time) in [("user", times[8]), ("nice", times[9])].into_iter().filter(|_| guest) {
            let help = "Seconds that processors ran virtual machines, by mode; in `node_cpu_seconds_total` too.";
            out.counter("node_cpu_guest_seconds_total", help, &[("cpu", cpu), ("mode", mode)], time);
        }
    }
    history.0 = seen;
    Ok(())
}

/// `0-2,5` is 0, 1, 2 and 5.
pub(super) fn ranges(text: &str) -> Vec<u32> {
    /// More processors than any machine has.
    const MAX: u32 = 1 << 16;
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.trim().parse::<u32>().ok()?..=to.trim().parse::<u32>().ok()?.min(MAX))
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// `cpu0`, `cpu1` and so on.
fn processors(round: &Round<'_>) -> io::Result<Vec<String>> {
    let mut names = round.files.sys_list("devices/system/cpu")?;
    let is_processor =
        |name: &str| name.strip_prefix("cpu").is_some_and(|rest| !rest.is_empty() && rest.parse::<u32>().is_ok());
    names.retain(|name| is_processor(name));
    by_number(&mut names);
    Ok(names)
}

fn throttles(round: &mut Round<'_>, cpus: &[String]) {
    let (mut packages, mut cores) = (BTreeSet::new(), BTreeSet::new());
    for cpu in cpus {
        let file = |name: &str| round.files.sys(&format!("devices/system/cpu/{cpu}/{name}"));
        let (Ok(package), Ok(core)) = (file("topology/physical_package_id"), file("topology/core_id")) else {
            continue;
        };
        let count = |name: &str| file(name).ok().as_deref().and_then(whole);
        let core = (package.clone(), core);
        if !cores.contains(&core)
            && let Some(count) = count("thermal_throttle/core_throttle_count")
        {
            let labels = [("package", &*core.0), ("core", &*core.1)];
            round.out.counter("node_cpu_core_throttles_total", "How often the core was slowed down.", &labels, count);
            cores.insert(core);
        }
        if !packages.contains(&package)
            && let Some(count) = count("thermal_throttle/package_throttle_count")
        {
            let help = "How often the package of cores was slowed down.";
            round.out.counter("node_cpu_package_throttles_total", help, &[("package", &package)], count);
            packages.insert(package);
        }
    }
}

/// Nothing where the first processor cannot be switched off: then none is told.
fn online(round: &mut Round<'_>, cpus: &[String]) {
    let online = |cpu: &str| round.files.sys(&format!("devices/system/cpu/{cpu}/online"));
    let is_told = cpus.first().is_some_and(|first| online(first).is_ok());
    for cpu in cpus.iter().filter(|_| is_told) {
        let is_online = online(cpu).is_ok_and(|word| word == "1");
        let labels = [("cpu", cpu.trim_start_matches("cpu"))];
        let help = "Whether the processor is in use.";
        round.out.gauge("node_cpu_online", help, &labels, f64::from(u8::from(is_online)));
    }
}

/// `/proc/cpuinfo`: a block of `name : value` for each processor.
fn info(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("cpuinfo")?;
    let blocks = text.split("\n\n").map(|block| {
        let fields = block.lines().filter_map(|line| line.split_once(':'));
        fields.map(|(name, value)| (name.trim(), value.trim())).collect::<BTreeMap<_, _>>()
    });
    let blocks: Vec<_> = blocks.filter(|fields| fields.contains_key("processor")).collect();
    for fields in &blocks {
        let get = |name: &str| fields.get(name).copied().unwrap_or_default();
        let place = [("package", get("physical id")), ("core", get("core id")), ("cpu", get("processor"))];
        let more = [
            ("vendor", get("vendor_id")),
            ("family", get("cpu family")),
            ("model", get("model")),
            ("model_name", get("model name")),
            ("microcode", get("microcode")),
            ("stepping", get("stepping")),
            ("cachesize", get("cache size")),
        ];
        let labels = [&place[..], &more[..]].concat();
        round.out.gauge("node_cpu_info", "What /proc/cpuinfo says of the processor.", &labels, 1.0);
        if let Some(mhz) = fields.get("cpu MHz").and_then(|word| whole(word))
            && round.settings.config.is_on("cpufreq")
        {
            round.out.gauge("node_cpu_frequency_hertz", "How fast /proc/cpuinfo says it runs.", &place, mhz * 1e6);
        }
    }
    let first = |name: &str| blocks.first().and_then(|fields| fields.get(name).copied()).unwrap_or_default();
    let mut words = |name: &str, label: &str, list: &str, wanted: &Option<Regex>| {
        let Some(wanted) = wanted else { return };
        for word in list.split_ascii_whitespace().filter(|word| wanted.is_match(word)) {
            round.out.gauge(name, "What /proc/cpuinfo lists for the first processor.", &[(label, word)], 1.0);
        }
    };
    words("node_cpu_flag_info", "flag", first("flags"), &round.settings.cpu_flags);
    words("node_cpu_bug_info", "bug", first("bugs"), &round.settings.cpu_bugs);
    Ok(())
}

/// File, metric, help; in kilohertz.
const FREQUENCIES: [(&str, &str, &str); 7] = [
    ("cpuinfo_cur_freq", "node_cpu_frequency_hertz", "How fast the processor runs."),
    ("cpuinfo_avg_freq", "node_cpu_frequency_avg_hertz", "How fast the processor ran on average."),
    ("cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "How slow the processor can run."),
    ("cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "How fast the processor can run."),
    ("scaling_cur_freq", "node_cpu_scaling_frequency_hertz", "How fast the processor was told to run."),
    ("scaling_min_freq", "node_cpu_scaling_frequency_min_hertz", "How slow the processor may be told to run."),
    ("scaling_max_freq", "node_cpu_scaling_frequency_max_hertz", "How fast the processor may be told to run."),
];

pub(super) fn frequencies(round: &mut Round<'_>) -> io::Result<()> {
    for cpu in processors(round)? {
        let folder = format!("devices/system/cpu/{cpu}/cpufreq");
        let labels = [("cpu", cpu.trim_start_matches("cpu"))];
        let Ok(governor) = round.files.sys(&format!("{folder}/scaling_governor")) else { continue };
        for (file, name, help) in FREQUENCIES {
            if let Ok(kilohertz) = round.files.sys_number(&format!("{folder}/{file}")) {
                round.out.gauge(name, help, &labels, kilohertz * 1000.0);
            }
        }
        let available = round.files.sys(&format!("{folder}/scaling_available_governors")).unwrap_or_default();
        for word in available.split_ascii_whitespace() {
            let labels = [labels[0], ("governor", word)];
            let is_it = f64::from(u8::from(word == governor));
            round.out.gauge("node_cpu_scaling_governor", "Which policy of frequencies is in force.", &labels, is_it);
        }
    }
    Ok(())
}
