//! Memory: how much, of which kind, and its errors.

use std::io;

use watchbell_model::MetricType;

use super::Round;
use super::files::{by_number, next, odd, whole};

/// `Active(anon): 1 kB` becomes `node_memory_Active_anon_bytes`; a line without a unit is a count.
pub(super) fn meminfo(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("meminfo")?;
    let mut any = false;
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let mut words = rest.split_ascii_whitespace();
        let Some(value) = words.next().and_then(whole) else { continue };
        let field = name.replace('(', "_").replace(')', "");
        let (metric, value) = match words.next() {
            Some("kB") => (format!("node_memory_{field}_bytes"), value * 1024.0),
            _ => (format!("node_memory_{field}"), value),
        };
        round.out.gauge(&metric, format_args!("{name} of /proc/meminfo."), &[], value);
        any = true;
    }
    if any { Ok(()) } else { Err(odd("/proc/meminfo")) }
}

pub(super) fn vmstat(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("vmstat")?;
    for line in text.lines() {
        let (name, value) = line.split_once(' ').ok_or_else(|| odd("/proc/vmstat"))?;
        if round.settings.vmstat.is_match(name) {
            let value = whole(value.trim()).ok_or_else(|| odd("/proc/vmstat"))?;
            round.out.untyped(&format!("node_vmstat_{name}"), format_args!("{name} of /proc/vmstat."), &[], value);
        }
    }
    Ok(())
}

/// `Node 0, zone Normal 1 2 3`: free blocks of 1, 2, 4 … pages.
pub(super) fn buddyinfo(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("buddyinfo")?;
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(node), Some(zone)) = (words.get(1), words.get(3)) else { return Err(odd("/proc/buddyinfo")) };
        for (size, count) in words.iter().skip(4).enumerate() {
            let count = whole(count).ok_or_else(|| odd("/proc/buddyinfo"))?;
            let labels = [("node", node.trim_end_matches(',')), ("zone", *zone), ("size", &*size.to_string())];
            let help = "Free blocks of memory; each size is twice the one before.";
            round.out.gauge("node_buddyinfo_blocks", help, &labels, count);
        }
    }
    Ok(())
}

pub(super) fn slabinfo(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("slabinfo")?;
    for line in text.lines().filter(|line| !line.starts_with("slabinfo") && !line.starts_with('#')) {
        let mut words = line.split_ascii_whitespace();
        let slab = words.next().ok_or_else(|| odd("/proc/slabinfo"))?;
        if !round.settings.slabs.passes(slab) {
            continue;
        }
        for (name, help) in [
            ("node_slabinfo_active_objects", "Objects in use."),
            ("node_slabinfo_objects", "Objects that there is room for."),
            ("node_slabinfo_object_size_bytes", "Size of an object."),
            ("node_slabinfo_objects_per_slab", "Objects in each slab."),
            ("node_slabinfo_pages_per_slab", "Pages of each slab."),
        ] {
            round.out.gauge(name, help, &[("slab", slab)], next(&mut words, "/proc/slabinfo")?);
        }
    }
    Ok(())
}

pub(super) fn swap(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("swaps")?;
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [device, kind, size, used, priority] = words[..] else { return Err(odd("/proc/swaps")) };
        let labels = [("device", device), ("swap_type", kind)];
        for (name, help, word, unit) in [
            ("node_swap_size_bytes", "Size of the swap device.", size, 1024.0),
            ("node_swap_used_bytes", "Used bytes of the swap device.", used, 1024.0),
            ("node_swap_priority", "Priority of the swap device.", priority, 1.0),
        ] {
            round.out.gauge(name, help, &labels, whole(word).ok_or_else(|| odd("/proc/swaps"))? * unit);
        }
    }
    Ok(())
}

/// File, metric, whether it counts, unit, help.
const KSM: [(&str, &str, MetricType, f64, &str); 10] = [
    ("full_scans", "full_scans_total", MetricType::Counter, 1.0, "How often all of it was looked through."),
    ("general_profit", "general_profit_bytes", MetricType::Gauge, 1.0, "Bytes that sharing saves, less its own."),
    ("merge_across_nodes", "merge_across_nodes", MetricType::Gauge, 1.0, "Whether NUMA nodes share with another."),
    ("pages_shared", "pages_shared", MetricType::Gauge, 1.0, "Pages that are shared."),
    ("pages_sharing", "pages_sharing", MetricType::Gauge, 1.0, "Pages that are saved by it."),
    ("pages_to_scan", "pages_to_scan", MetricType::Gauge, 1.0, "Pages to look at before a pause."),
    ("pages_unshared", "pages_unshared", MetricType::Gauge, 1.0, "Pages that are like no other."),
    ("pages_volatile", "pages_volatile", MetricType::Gauge, 1.0, "Pages that change too fast."),
    ("run", "run", MetricType::Gauge, 1.0, "Whether it runs."),
    ("sleep_millisecs", "sleep_seconds", MetricType::Gauge, 1000.0, "How long a pause is."),
];

pub(super) fn ksmd(round: &mut Round<'_>) -> io::Result<()> {
    for (file, name, kind, unit, help) in KSM {
        match round.files.sys_number(&format!("kernel/mm/ksm/{file}")) {
            Ok(value) => round.out.put(kind, &format!("node_ksmd_{name}"), help, &[], value / unit),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Errors of memory modules, by controller, row and channel.
pub(super) fn edac(round: &mut Round<'_>) -> io::Result<()> {
    const ROOT: &str = "devices/system/edac/mc";
    let numbered = |name: &str, stem: &str| {
        let number = name.strip_prefix(stem).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        number.map(str::to_owned)
    };
    // A machine whose modules count nothing has no such folder; that is no failure in node_exporter either.
    let mut controllers = round.files.sys_list(ROOT).unwrap_or_default();
    by_number(&mut controllers);
    for name in controllers {
        let Some(controller) = numbered(&name, "mc") else { continue };
        let folder = format!("{ROOT}/{name}");
        for (kind, word) in [("ce", "correctable"), ("ue", "uncorrectable")] {
            let count = round.files.sys_number(&format!("{folder}/{kind}_count"))?;
            let help = format_args!("Errors of memory, {word}.");
            let metric = format!("node_edac_{word}_errors_total");
            round.out.counter(&metric, help, &[("controller", &controller)], count);
            let count = round.files.sys_number(&format!("{folder}/{kind}_noinfo_count"))?;
            let labels = [("controller", &*controller), ("csrow", "unknown")];
            let help = format_args!("Errors of a row of memory, {word}.");
            round.out.counter(&format!("node_edac_csrow_{word}_errors_total"), help, &labels, count);
        }
        let mut rows = round.files.sys_list(&folder)?;
        by_number(&mut rows);
        for name in rows {
            if let Some(row) = numbered(&name, "csrow") {
                edac_row(round, &format!("{folder}/{name}"), &controller, &row)?;
            }
        }
    }
    Ok(())
}

fn edac_row(round: &mut Round<'_>, folder: &str, controller: &str, row: &str) -> io::Result<()> {
    let place = [("controller", controller), ("csrow", row)];
    for (kind, word) in [("ce", "correctable"), ("ue", "uncorrectable")] {
        let count = round.files.sys_number(&format!("{folder}/{kind}_count"))?;
        let help = format_args!("Errors of a row of memory, {word}.");
        round.out.counter(&format!("node_edac_csrow_{word}_errors_total"), help, &place, count);
    }
    for file in round.files.sys_list(folder)? {
        let Some(channel) = file.strip_prefix("ch").and_then(|rest| rest.strip_suffix("_ce_count")) else { continue };
        let label = round.files.sys(&format!("{folder}/ch{channel}_dimm_label"));
        let label = label.map_or("unknown".to_owned(), |label| {
            label.replace('#', "").replace("csrow", "_csrow").replace("channel", "_channel")
        });
        let labels = [place[0], place[1], ("channel", channel), ("dimm_label", &*label)];
        for (kind, word) in [("ce", "correctable"), ("ue", "uncorrectable")] {
            match round.files.sys_number(&format!("{folder}/ch{channel}_{kind}_count")) {
                Ok(count) => {
                    let help = format_args!("Errors of a channel of memory, {word}.");
                    round.out.counter(&format!("node_edac_channel_{word}_errors_total"), help, &labels, count);
                }
                // Uncorrectable ones are not told by each controller.
                Err(_) if kind == "ue" => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Field of `/proc/zoneinfo`, metric, whether it counts.
const ZONE: [(&str, &str, MetricType); 34] = {
    use MetricType::{Counter, Gauge};
    [
        ("nr_free_pages", "nr_free_pages", Gauge),
        ("min", "min_pages", Gauge),
        ("low", "low_pages", Gauge),
        ("high", "high_pages", Gauge),
        ("scanned", "scanned_pages", Gauge),
        ("spanned", "spanned_pages", Gauge),
        ("present", "present_pages", Gauge),
        ("managed", "managed_pages", Gauge),
        ("nr_active_anon", "nr_active_anon_pages", Gauge),
        ("nr_inactive_anon", "nr_inactive_anon_pages", Gauge),
        ("nr_isolated_anon", "nr_isolated_anon_pages", Gauge),
        ("nr_anon_pages", "nr_anon_pages", Gauge),
        ("nr_anon_transparent_hugepages", "nr_anon_transparent_hugepages", Gauge),
        ("nr_active_file", "nr_active_file_pages", Gauge),
        ("nr_inactive_file", "nr_inactive_file_pages", Gauge),
        ("nr_isolated_file", "nr_isolated_file_pages", Gauge),
        ("nr_file_pages", "nr_file_pages", Gauge),
        ("nr_slab_reclaimable", "nr_slab_reclaimable_pages", Gauge),
        ("nr_slab_unreclaimable", "nr_slab_unreclaimable_pages", Gauge),
        ("nr_mlock_stack", "nr_mlock_stack_pages", Gauge),
        ("nr_kernel_stack", "nr_kernel_stacks", Gauge),
        ("nr_mapped", "nr_mapped_pages", Gauge),
        ("nr_dirty", "nr_dirty_pages", Gauge),
        ("nr_writeback", "nr_writeback_pages", Gauge),
        ("nr_unevictable", "nr_unevictable_pages", Gauge),
        ("nr_shmem", "nr_shmem_pages", Gauge),
        ("nr_dirtied", "nr_dirtied_total", Counter),
        ("nr_written", "nr_written_total", Counter),
        ("numa_hit", "numa_hit_total", Counter),
        ("numa_miss", "numa_miss_total", Counter),
        ("numa_foreign", "numa_foreign_total", Counter),
        ("numa_interleave", "numa_interleave_total", Counter),
        ("numa_local", "numa_local_total", Counter),
        ("numa_other", "numa_other_total", Counter),
    ]
};

pub(super) fn zoneinfo(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("zoneinfo")?;
    let (mut node, mut zone) = ("", "");
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix("Node ") {
            (node, zone) = rest.split_once(", zone").ok_or_else(|| odd("/proc/zoneinfo"))?;
            zone = zone.trim();
            continue;
        }
        let labels = [("node", node), ("zone", zone)];
        if let Some(list) = line.strip_prefix("protection: (") {
            for (at, word) in list.trim_end_matches(')').split(", ").enumerate() {
                let Some(pages) = whole(word) else { continue };
                let help = "Pages that are kept back from what could use a lower zone.";
                round.out.gauge(&format!("node_zoneinfo_protection_{at}"), help, &labels, pages);
            }
            continue;
        }
        let mut words = line.strip_prefix("pages ").unwrap_or(line).split_ascii_whitespace();
        let (Some(field), Some(value)) = (words.next(), words.next().and_then(whole)) else { continue };
        if let Some((field, name, kind)) = ZONE.iter().find(|(have, ..)| *have == field) {
            let help = format_args!("{field} of /proc/zoneinfo.");
            round.out.put(*kind, &format!("node_zoneinfo_{name}"), help, &labels, value);
        }
    }
    Ok(())
}
