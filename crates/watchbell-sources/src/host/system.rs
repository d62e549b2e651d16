//! The system: its name, version, clock, files, processes, settings.

use std::collections::BTreeMap;
use std::io;

use jiff::tz::TimeZone;

use super::Round;
use super::files::{next, odd, whole};

pub(super) fn uname(round: &mut Round<'_>) -> io::Result<()> {
    let file = |name: &str| Ok::<_, io::Error>(round.files.proc(&format!("sys/kernel/{name}"))?.trim().to_owned());
    let machine = file("arch").unwrap_or_else(|_| std::env::consts::ARCH.to_owned());
    let labels = [
        ("sysname", &*file("ostype")?),
        ("release", &*file("osrelease")?),
        ("version", &*file("version")?),
        ("machine", &*machine),
        ("nodename", &*file("hostname")?),
        ("domainname", &*file("domainname")?),
    ];
    round.out.gauge("node_uname_info", "The system as uname(2) calls it.", &labels, 1.0);
    Ok(())
}

pub(super) fn os(round: &mut Round<'_>) -> io::Result<()> {
    let read = |path: &str| round.files.text(&round.files.root_path(path));
    let text = read("/etc/os-release").or_else(|_| read("/usr/lib/os-release"))?;
    let fields: BTreeMap<&str, String> = text
        .lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(name, _)| !name.starts_with('#'))
        .map(|(name, value)| (name, value.trim_matches(['"', '\'']).replace("\\\"", "\"")))
        .collect();
    let get = |name: &str| fields.get(name).map_or("", String::as_str);
    let all = [
        ("build_id", get("BUILD_ID")),
        ("id", get("ID")),
        ("id_like", get("ID_LIKE")),
        ("image_id", get("IMAGE_ID")),
        ("image_version", get("IMAGE_VERSION")),
        ("name", get("NAME")),
        ("pretty_name", get("PRETTY_NAME")),
        ("variant", get("VARIANT")),
        ("variant_id", get("VARIANT_ID")),
        ("version", get("VERSION")),
        ("version_codename", get("VERSION_CODENAME")),
        ("version_id", get("VERSION_ID")),
    ];
    round.out.gauge("node_os_info", "The system as its makers call it.", &all, 1.0);
    // `22.04.3` is 22.04 as a number.
    let mut parts = get("VERSION_ID").splitn(3, '.');
    let number = match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => format!("{major}.{minor}").parse().ok(),
        (Some(major), None) => major.parse().ok(),
        _ => None,
    };
    if let Some(number) = number.filter(|number: &f64| *number > 0.0) {
        let labels = [("id", get("ID")), ("id_like", get("ID_LIKE")), ("name", get("NAME"))];
        round.out.gauge("node_os_version", "Version of the system, as far as it is a number.", &labels, number);
    }
    if let Ok(day) = get("SUPPORT_END").parse::<jiff::civil::Date>()
        && let Ok(end) = day.to_zoned(TimeZone::UTC)
    {
        let help = "When the system's makers stop to look after it, in Unix time.";
        let end = end.timestamp().as_second() as f64;
        round.out.gauge("node_os_support_end_timestamp_seconds", help, &[], end);
    }
    Ok(())
}

pub(super) fn entropy(round: &mut Round<'_>) -> io::Result<()> {
    let available = round.files.proc_number("sys/kernel/random/entropy_avail")?;
    round.out.gauge("node_entropy_available_bits", "Bits of chance that the kernel has in store.", &[], available);
    let pool = round.files.proc_number("sys/kernel/random/poolsize")?;
    round.out.gauge("node_entropy_pool_size_bits", "Bits of chance that it can store.", &[], pool);
    Ok(())
}

pub(super) fn filefd(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("sys/fs/file-nr")?;
    let words: Vec<f64> = text.split_ascii_whitespace().filter_map(whole).collect();
    let [allocated, _, maximum] = words[..] else { return Err(odd("/proc/sys/fs/file-nr")) };
    round.out.gauge("node_filefd_allocated", "Files that are open.", &[], allocated);
    round.out.gauge("node_filefd_maximum", "How many files can be open.", &[], maximum);
    Ok(())
}

pub(super) fn selinux(round: &mut Round<'_>) -> io::Result<()> {
    let enforce = round.files.sys_number("fs/selinux/enforce");
    let is_on = f64::from(u8::from(enforce.is_ok()));
    round.out.gauge("node_selinux_enabled", "Whether SELinux is on.", &[], is_on);
    let Ok(enforce) = enforce else { return Ok(()) };
    let config = round.files.text(&round.files.root_path("/etc/selinux/config")).unwrap_or_default();
    let mode = config.lines().find_map(|line| line.trim().strip_prefix("SELINUX=")).unwrap_or("disabled");
    let mode = match mode.trim() {
        "enforcing" => 1.0,
        "permissive" => 0.0,
        _ => -1.0,
    };
    let help = "What its configuration says: 1 enforcing, 0 permissive, -1 disabled.";
    round.out.gauge("node_selinux_config_mode", help, &[], mode);
    round.out.gauge("node_selinux_current_mode", "What it does: 1 enforcing, 0 permissive.", &[], enforce);
    Ok(())
}

pub(super) fn time(round: &mut Round<'_>) -> io::Result<()> {
    round.out.gauge("node_time_seconds", "The time of the clock, in Unix time.", &[], round.now.as_seconds());
    let (offset, name) = zone(round);
    let help = "By how much the time zone is ahead of UTC.";
    round.out.gauge("node_time_zone_offset_seconds", help, &[("time_zone", &name)], offset);
    const ROOT: &str = "devices/system/clocksource";
    let sources = round.files.sys_list(ROOT).unwrap_or_default();
    let sources = sources.iter().filter(|name| name.starts_with("clocksource"));
    for (number, source) in sources.enumerate() {
        let device = number.to_string();
        let available = round.files.sys(&format!("{ROOT}/{source}/available_clocksource"))?;
        for name in available.split_ascii_whitespace() {
            let labels = [("device", &*device), ("clocksource", name)];
            let help = "What the clock could be counted by.";
            round.out.gauge("node_time_clocksource_available_info", help, &labels, 1.0);
        }
        let current = round.files.sys(&format!("{ROOT}/{source}/current_clocksource"))?;
        let labels = [("device", &*device), ("clocksource", &*current)];
        round.out.gauge("node_time_clocksource_current_info", "What the clock is counted by.", &labels, 1.0);
    }
    Ok(())
}

/// The zone of `TZ`, else that of the machine.
fn zone(round: &Round<'_>) -> (f64, String) {
    let read = |path: &str| round.files.disk.read(&round.files.root_path(path)).ok();
    let bytes = match round.runtime.environment.get("TZ") {
        Some(name) if name.is_empty() || name == "UTC" => None,
        Some(name) => read(&format!("/usr/share/zoneinfo/{}", name.trim_start_matches(':'))),
        None => read("/etc/localtime"),
    };
    let zone = bytes.and_then(|bytes| TimeZone::tzif("Local", &bytes).ok()).unwrap_or(TimeZone::UTC);
    let Ok(now) = jiff::Timestamp::from_millisecond(round.now.as_millis()) else { return (0.0, "UTC".to_owned()) };
    let info = zone.to_offset_info(now);
    (f64::from(info.offset().seconds()), info.abbreviation().to_owned())
}

/// The kernel's clock is not in step with anything.
const TIME_ERROR: i32 = 5;
/// Offset and jitter are in nanoseconds.
const STA_NANO: i64 = 0x2000;
/// One of its parts per million, with 16 bits behind the point.
const PPM: f64 = 1_000_000.0 * 65536.0;

pub(super) fn timex(round: &mut Round<'_>) -> io::Result<()> {
    let it = round.runtime.machine.clock_discipline()?;
    let unit = if it.status & STA_NANO == 0 { 1e6 } else { 1e9 };
    let out = &mut *round.out;
    let in_step = f64::from(u8::from(it.state != TIME_ERROR));
    out.gauge("node_timex_sync_status", "Whether the clock is in step with a server.", &[], in_step);
    for (name, help, value) in [
        ("offset_seconds", "How far the clock is off.", it.offset as f64 / unit),
        ("frequency_adjustment_ratio", "How much faster the clock is made.", 1.0 + it.frequency as f64 / PPM),
        ("maxerror_seconds", "By how much it may be wrong at most.", it.error_max as f64 / 1e6),
        ("estimated_error_seconds", "By how much it probably is wrong.", it.error_estimated as f64 / 1e6),
        ("status", "Bits of the clock's state.", it.status as f64),
        ("loop_time_constant", "How quickly the clock is put right.", it.constant as f64),
        ("tick_seconds", "Seconds between two ticks.", it.tick as f64 / 1e6),
        ("pps_frequency_hertz", "Frequency of the pulse of each second.", it.pps_frequency as f64 / PPM),
        ("pps_jitter_seconds", "Jitter of the pulse of each second.", it.pps_jitter as f64 / unit),
        ("pps_shift_seconds", "How long the pulse is measured.", it.pps_shift as f64),
        ("pps_stability_hertz", "How steady the pulse is.", it.pps_stability as f64 / PPM),
        ("tai_offset_seconds", "By how much atomic time is ahead.", it.tai as f64),
    ] {
        out.gauge(&format!("node_timex_{name}"), help, &[], value);
    }
    for (name, help, value) in [
        ("jitter", "How often the jitter of the pulse was too much.", it.pps_jitter_count),
        ("calibration", "How often the pulse was measured.", it.pps_calibration_count),
        ("error", "How often measuring the pulse went wrong.", it.pps_error_count),
        ("stability_exceeded", "How often the pulse was not steady.", it.pps_stability_count),
    ] {
        out.counter(&format!("node_timex_pps_{name}_total"), help, &[], value as f64);
    }
    Ok(())
}

/// The state in `/proc/<pid>/stat`, and how many threads it says. A name may hold anything, so it is read from behind.
fn task_state(text: &str) -> Option<(&str, f64)> {
    let mut words = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((words.next()?, words.nth(16).and_then(whole)?))
}

pub(super) fn processes(round: &mut Round<'_>) -> io::Result<()> {
    let (mut pids, mut threads) = (0.0, 0.0);
    let (mut by_state, mut threads_by_state) = (BTreeMap::<String, f64>::new(), BTreeMap::<String, f64>::new());
    let is_number = |name: &String| name.bytes().all(|b| b.is_ascii_digit());
    for pid in round.files.list(&round.files.proc_path(""))?.into_iter().filter(is_number) {
        // A process may end while we look.
        let Ok(stat) = round.files.proc(&format!("{pid}/stat")) else { continue };
        let (state, count) = task_state(&stat).ok_or_else(|| odd("the state of a process"))?;
        pids += 1.0;
        threads += count;
        *by_state.entry(state.to_owned()).or_default() += 1.0;
        let folder = format!("{pid}/task");
        for task in round.files.list(&round.files.proc_path(&folder)).unwrap_or_default() {
            if task == pid {
                *threads_by_state.entry(state.to_owned()).or_default() += 1.0;
            } else if let Ok(stat) = round.files.proc(&format!("{folder}/{task}/stat"))
                && let Some((state, _)) = task_state(&stat)
            {
                *threads_by_state.entry(state.to_owned()).or_default() += 1.0;
            }
        }
    }
    let out = &mut *round.out;
    out.gauge("node_processes_threads", "Threads of all processes.", &[], threads);
    for (state, count) in &by_state {
        out.gauge("node_processes_state", "Processes by state.", &[("state", state)], *count);
    }
    for (state, count) in &threads_by_state {
        out.gauge("node_processes_threads_state", "Threads by state.", &[("thread_state", state)], *count);
    }
    out.gauge("node_processes_pids", "Processes.", &[], pids);
    let threads_max = round.files.proc_number("sys/kernel/threads-max")?;
    out.gauge("node_processes_max_threads", "How many threads there can be.", &[], threads_max);
    let pid_max = round.files.proc_number("sys/kernel/pid_max")?;
    out.gauge("node_processes_max_processes", "The highest number of a process.", &[], pid_max);
    Ok(())
}

pub(super) fn cgroups(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("cgroups")?;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().ok_or_else(|| odd("/proc/cgroups"))?;
        let labels = [("subsys_name", name)];
        let mut words = words.skip(1);
        let count = next(&mut words, "/proc/cgroups")?;
        round.out.gauge("node_cgroups_cgroups", "Control groups by controller.", &labels, count);
        let is_on = next(&mut words, "/proc/cgroups")?;
        round.out.gauge("node_cgroups_enabled", "Whether the controller is on.", &labels, is_on);
    }
    Ok(())
}

pub(super) fn sysctl(round: &mut Round<'_>) -> io::Result<()> {
    let config = &round.settings.config.collectors.sysctl;
    for wanted in &config.include {
        let (name, keys) = wanted.split_once(':').unwrap_or((wanted, ""));
        let keys: Vec<&str> = keys.split(',').filter(|key| !key.is_empty()).collect();
        let text = round.files.proc(&format!("sys/{}", name.replace('.', "/")))?;
        let values: Option<Vec<f64>> = text.split_ascii_whitespace().map(whole).collect();
        let values = values.filter(|values| !values.is_empty()).ok_or_else(|| odd(name))?;
        let metric = format!("node_sysctl_{}", name.replace(['.', '-'], "_"));
        let help = format_args!("The setting {name}.");
        if keys.is_empty() {
            for (at, value) in values.iter().enumerate() {
                let index = at.to_string();
                let labels = [("index", &*index)];
                round.out.untyped(&metric, help, if values.len() > 1 { &labels } else { &[] }, *value);
            }
        } else if keys.len() == values.len() && values.len() > 1 {
            for (key, value) in keys.iter().zip(values) {
                round.out.untyped(&format!("{metric}_{key}"), help, &[], value);
            }
        } else {
            return Err(odd(format_args!("{name} has {} values for {} names; it", values.len(), keys.len())));
        }
    }
    for name in &config.include_info {
        let text = round.files.proc(&format!("sys/{}", name.replace('.', "/")))?;
        for (at, word) in text.split_ascii_whitespace().enumerate() {
            let index = at.to_string();
            let labels = [("name", &**name), ("value", word), ("index", &*index)];
            round.out.gauge("node_sysctl_info", "Settings that are words.", &labels, 1.0);
        }
    }
    Ok(())
}
