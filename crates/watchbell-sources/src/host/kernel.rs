//! Processors, load, processes, pressure, the system's name.

use std::collections::BTreeMap;

use watchbell_runtime::Disk;

use super::{Samples, number, odd, text};

/// Clock ticks a second in `/proc/stat`; the same on every architecture Linux still runs on.
const USER_HZ: f64 = 100.0;
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
/// Idle time that shrinks by more than this many seconds means that the processor was taken out and put back.
const IDLE_RESET: f64 = 3.0;

/// The last times of each processor. The kernel's idle and iowait can shrink a little, which `rate` would take for a
/// reset; so what is told never shrinks, as in node_exporter.
#[derive(Default)]
pub(super) struct CpuHistory(BTreeMap<String, [f64; 10]>);

pub(super) fn collect(disk: &Disk, cpu: &mut CpuHistory, samples: &mut Samples) {
    samples.collect("stat", |samples| stat(&text(disk, "/proc/stat")?, cpu, samples));
    samples.collect("loadavg", |samples| loadavg(&text(disk, "/proc/loadavg")?, samples));
    samples.collect("vmstat", |samples| {
        vmstat(&text(disk, "/proc/vmstat")?, samples);
        Ok(())
    });
    samples.collect("filefd", |samples| filefd(&text(disk, "/proc/sys/fs/file-nr")?, samples));
    samples.collect("entropy", |samples| {
        let file = |name: &str| number(disk, &format!("/proc/sys/kernel/random/{name}"));
        samples.put("node_entropy_available_bits", &[], file("entropy_avail")?);
        samples.put("node_entropy_pool_size_bits", &[], file("poolsize")?);
        Ok(())
    });
    samples.collect("pressure", |samples| {
        for resource in ["cpu", "io", "memory", "irq"] {
            match text(disk, &format!("/proc/pressure/{resource}")) {
                Ok(text) => pressure(resource, &text, samples)?,
                // Older kernels know nothing of `irq`.
                Err(_) if resource == "irq" => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    });
    samples.collect("uname", |samples| {
        let file = |name: &str| text(disk, &format!("/proc/sys/kernel/{name}")).map(|text| text.trim().to_owned());
        let machine = file("arch").unwrap_or_else(|_| std::env::consts::ARCH.to_owned());
        let labels = [
            ("sysname", &*file("ostype")?),
            ("release", &*file("osrelease")?),
            ("version", &*file("version")?),
            ("machine", &*machine),
            ("nodename", &*file("hostname")?),
            ("domainname", &*file("domainname")?),
        ];
        samples.put("node_uname_info", &labels, 1.0);
        Ok(())
    });
    samples.collect("os", |samples| {
        let release = text(disk, "/etc/os-release").or_else(|_| text(disk, "/usr/lib/os-release"))?;
        os_release(&release, samples);
        Ok(())
    });
}

pub(super) fn stat(text: &str, history: &mut CpuHistory, samples: &mut Samples) -> std::io::Result<()> {
    let mut seen = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        let value = words.clone().next().and_then(|word| word.parse::<f64>().ok());
        match (name, value) {
            ("btime", Some(value)) => samples.put("node_boot_time_seconds", &[], value),
            ("ctxt", Some(value)) => samples.put("node_context_switches_total", &[], value),
            ("processes", Some(value)) => samples.put("node_forks_total", &[], value),
            ("intr", Some(value)) => samples.put("node_intr_total", &[], value),
            ("procs_running", Some(value)) => samples.put("node_procs_running", &[], value),
            ("procs_blocked", Some(value)) => samples.put("node_procs_blocked", &[], value),
            _ => {}
        }
        if let Some(cpu) = name.strip_prefix("cpu").filter(|cpu| !cpu.is_empty()) {
            let mut times = [0.0; 10];
            for (time, word) in times.iter_mut().zip(words) {
                *time = word.parse::<f64>().map_err(|_| odd("/proc/stat"))? / USER_HZ;
            }
            seen.insert(cpu.to_owned(), times);
        }
    }
    if seen.is_empty() {
        return Err(odd("/proc/stat"));
    }
    for (cpu, times) in &mut seen {
        if let Some(last) = history.0.get(cpu)
            && last[3] - times[3] < IDLE_RESET
        {
            for (time, last) in times.iter_mut().zip(last) {
                *time = time.max(*last);
            }
        }
        for (mode, time) in MODES.iter().zip(*times) {
            samples.put("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], time);
        }
        for (mode, time) in [("user", times[8]), ("nice", times[9])] {
            samples.put("node_cpu_guest_seconds_total", &[("cpu", cpu), ("mode", mode)], time);
        }
    }
    history.0 = seen;
    Ok(())
}

pub(super) fn loadavg(text: &str, samples: &mut Samples) -> std::io::Result<()> {
    let mut words = text.split_ascii_whitespace();
    for name in ["node_load1", "node_load5", "node_load15"] {
        let load = words.next().and_then(|word| word.parse().ok()).ok_or_else(|| odd("/proc/loadavg"))?;
        samples.put(name, &[], load);
    }
    Ok(())
}

/// The fields that node_exporter takes by default.
pub(super) fn vmstat(text: &str, samples: &mut Samples) {
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else { continue };
        let wanted = ["oom_kill", "pgpg", "pswp"].iter().any(|start| name.starts_with(start))
            || (name.starts_with("pg") && name.contains("fault"));
        if let (true, Ok(value)) = (wanted, value.trim().parse()) {
            samples.put(&format!("node_vmstat_{name}"), &[], value);
        }
    }
}

pub(super) fn filefd(text: &str, samples: &mut Samples) -> std::io::Result<()> {
    let words: Vec<f64> = text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [allocated, _, maximum] = words[..] else { return Err(odd("/proc/sys/fs/file-nr")) };
    samples.put("node_filefd_allocated", &[], allocated);
    samples.put("node_filefd_maximum", &[], maximum);
    Ok(())
}

pub(super) fn pressure(resource: &str, text: &str, samples: &mut Samples) -> std::io::Result<()> {
    for line in text.lines() {
        let total = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="));
        let micros: f64 = total.and_then(|total| total.parse().ok()).ok_or_else(|| odd("/proc/pressure"))?;
        let state = match (line.split(' ').next(), resource) {
            (Some("some"), _) => "waiting",
            // A processor is never stalled as a whole; the kernel says 0 for the sake of the format.
            (Some("full"), "cpu") => continue,
            (Some("full"), _) => "stalled",
            _ => return Err(odd("/proc/pressure")),
        };
        samples.put(&format!("node_pressure_{resource}_{state}_seconds_total"), &[], micros / 1e6);
    }
    Ok(())
}

pub(super) fn os_release(text: &str, samples: &mut Samples) {
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
    samples.put("node_os_info", &all, 1.0);
    // `22.04.3` is 22.04 as a number.
    let mut parts = get("VERSION_ID").splitn(3, '.');
    let number = match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => format!("{major}.{minor}").parse().ok(),
        (Some(major), None) => major.parse().ok(),
        _ => None,
    };
    if let Some(number) = number {
        let labels = [("id", get("ID")), ("id_like", get("ID_LIKE")), ("name", get("NAME"))];
        samples.put("node_os_version", &labels, number);
    }
}
