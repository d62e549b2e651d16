//! Block devices: disks, RAID, NVMe, tapes, caches.

use std::collections::BTreeMap;
use std::io;

use watchbell_model::MetricType;

use super::Round;
use super::exposition::Exposition;
use super::files::{by_number, next, odd, whole};

const SECTOR_BYTES: f64 = 512.0;

/// What one of a field is.
enum Unit {
    Count,
    Sectors,
    Millis,
}

/// The fields of `/proc/diskstats` behind the device's name, in order.
const DISK_FIELDS: [(&str, Unit, &str); 17] = [
    ("reads_completed_total", Unit::Count, "Reads that were completed."),
    ("reads_merged_total", Unit::Count, "Reads that were merged with others."),
    ("read_bytes_total", Unit::Sectors, "Bytes that were read."),
    ("read_time_seconds_total", Unit::Millis, "Seconds that all reads took."),
    ("writes_completed_total", Unit::Count, "Writes that were completed."),
    ("writes_merged_total", Unit::Count, "Writes that were merged with others."),
    ("written_bytes_total", Unit::Sectors, "Bytes that were written."),
    ("write_time_seconds_total", Unit::Millis, "Seconds that all writes took."),
    ("io_now", Unit::Count, "Reads and writes under way."),
    ("io_time_seconds_total", Unit::Millis, "Seconds in which something was under way."),
    ("io_time_weighted_seconds_total", Unit::Millis, "Seconds, times what was under way."),
    ("discards_completed_total", Unit::Count, "Discards that were completed."),
    ("discards_merged_total", Unit::Count, "Discards that were merged with others."),
    ("discarded_sectors_total", Unit::Count, "Sectors that were discarded."),
    ("discard_time_seconds_total", Unit::Millis, "Seconds that all discards took."),
    ("flush_requests_total", Unit::Count, "Flushes that were completed."),
    ("flush_requests_time_seconds_total", Unit::Millis, "Seconds that all flushes took."),
];

pub(super) fn diskstats(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("diskstats")?;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(major), Some(minor), Some(device)) = (words.next(), words.next(), words.next()) else {
            return Err(odd("/proc/diskstats"));
        };
        if !round.settings.disks.passes(device) {
            continue;
        }
        let udev = round.files.paths.udev_data.join(format!("b{major}:{minor}"));
        let udev = round.files.text(&udev).unwrap_or_default();
        let udev: BTreeMap<&str, &str> =
            udev.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('=')).collect();
        let get = |name: &str| udev.get(name).copied().unwrap_or_default();
        let serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"].map(get);
        let serial = serial.into_iter().find(|it| !it.is_empty()).unwrap_or_default();
        let rotational = round.files.sys(&format!("block/{device}/queue/rotational"));
        let own = ("device", device);
        let labels = [
            own,
            ("major", major),
            ("minor", minor),
            ("path", get("ID_PATH")),
            ("wwn", get("ID_WWN")),
            ("model", get("ID_MODEL")),
            ("serial", serial),
            ("revision", get("ID_REVISION")),
            ("rotational", if rotational.is_ok_and(|word| word == "1") { "1" } else { "0" }),
        ];
        round.out.gauge("node_disk_info", "What is known of the disk.", &labels, 1.0);
        for ((name, unit, help), word) in DISK_FIELDS.iter().zip(words) {
            let value = whole(word).ok_or_else(|| odd("/proc/diskstats"))?;
            let value = match unit {
                Unit::Count => value,
                Unit::Sectors => value * SECTOR_BYTES,
                // Not divided by 1000: the last digit is then node_exporter's.
                Unit::Millis => value * 0.001,
            };
            let kind = if *name == "io_now" { MetricType::Gauge } else { MetricType::Counter };
            round.out.put(kind, &format!("node_disk_{name}"), help, &[own], value);
        }
        of_udev(own, &get, round.out);
    }
    Ok(())
}

/// What udev found on the disk.
fn of_udev<'a>(own: (&'a str, &'a str), get: &impl Fn(&str) -> &'a str, out: &mut Exposition) {
    if !get("ID_FS_TYPE").is_empty() {
        let labels = [
            own,
            ("type", get("ID_FS_TYPE")),
            ("usage", get("ID_FS_USAGE")),
            ("uuid", get("ID_FS_UUID")),
            ("version", get("ID_FS_VERSION")),
        ];
        out.gauge("node_disk_filesystem_info", "The file system on the disk.", &labels, 1.0);
    }
    if !get("DM_NAME").is_empty() {
        let labels = [
            own,
            ("name", get("DM_NAME")),
            ("uuid", get("DM_UUID")),
            ("vg_name", get("DM_VG_NAME")),
            ("lv_name", get("DM_LV_NAME")),
            ("lv_layer", get("DM_LV_LAYER")),
        ];
        out.gauge("node_disk_device_mapper_info", "The volume that the disk is.", &labels, 1.0);
    }
    if get("ID_ATA").is_empty() {
        return;
    }
    for (field, name, help) in [
        ("ID_ATA_WRITE_CACHE", "node_disk_ata_write_cache", "Whether the disk has a write cache."),
        ("ID_ATA_WRITE_CACHE_ENABLED", "node_disk_ata_write_cache_enabled", "Whether its write cache is on."),
        ("ID_ATA_ROTATION_RATE_RPM", "node_disk_ata_rotation_rate_rpm", "Turns a minute; 0 for one that does not."),
    ] {
        if let Some(value) = whole(get(field)) {
            out.gauge(name, help, &[own], value);
        }
    }
}

/// `/proc/mdstat` and what sysfs says of the same devices.
pub(super) fn mdadm(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("mdstat")?;
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let is_device = !line.trim().is_empty()
            && !line.starts_with(' ')
            && !line.starts_with("Personalities")
            && !line.starts_with("unused");
        if is_device {
            raid(line, &lines[at + 1..], round.out)?;
        }
    }
    let mut devices = round.files.sys_list("block")?;
    devices.retain(|name| name.starts_with("md"));
    for device in devices {
        let file = |name: &str| round.files.sys_number(&format!("block/{device}/md/{name}"));
        let labels = [("device", &*device)];
        if round.files.sys(&format!("block/{device}/md/level")).is_err() {
            continue;
        }
        if let Ok(disks) = file("raid_disks") {
            round.out.gauge("node_md_raid_disks", "Disks of the array.", &labels, disks);
        }
        let degraded = file("degraded").unwrap_or(0.0);
        round.out.gauge("node_md_degraded", "Disks that the array lacks.", &labels, degraded);
    }
    Ok(())
}

/// `md0 : active raid1 sdb1[1] sda1[0]`, with a line of its blocks below, then maybe one of its bitmap and one of what
/// is under way.
fn raid(line: &str, below: &[&str], out: &mut Exposition) -> io::Result<()> {
    let bad = || odd("/proc/mdstat");
    let mut words = line.split_ascii_whitespace();
    let (Some(device), Some(mut state)) = (words.next(), words.nth(1)) else { return Err(bad()) };
    let status = below.first().ok_or_else(bad)?;
    let blocks = next(&mut status.split_ascii_whitespace(), "/proc/mdstat")?;
    let (required, active) = if line.contains("raid0") || line.contains("linear") {
        // Only disks have a number in brackets there.
        let disks = line.matches('[').count() as f64;
        (disks, disks)
    } else if line.contains("inactive") {
        (0.0, 0.0)
    } else {
        // `[2/1] [U_]`: how many there should be, how many there are.
        let counts = status.split('[').filter_map(|part| part.split(']').next()?.split_once('/'));
        let counts = counts.filter_map(|(of, have)| Some((whole(of)?, whole(have)?))).next_back();
        counts.ok_or_else(bad)?
    };
    let under_way = match below.get(1) {
        Some(line) if line.contains("bitmap") => below.get(2),
        line => line,
    };
    let under_way = under_way.copied().filter(|line| line.starts_with(' ')).unwrap_or_default();
    let mut synced = blocks;
    for (word, called) in
        [("recovery", "recovering"), ("resync", "resyncing"), ("check", "checking"), ("reshape", "reshaping")]
    {
        if under_way.contains(word) {
            state = called;
            synced = if under_way.contains("PENDING") || under_way.contains("DELAYED") {
                0.0
            } else {
                // `(1846/17606)`
                let done = under_way.split('(').nth(1).and_then(|rest| rest.split('/').next());
                done.and_then(whole).ok_or_else(bad)?
            };
            break;
        }
    }
    let own = ("device", device);
    out.gauge("node_md_disks_required", "Disks that the array should have.", &[own], required);
    let count = |mark: &str| line.matches(mark).count() as f64;
    for (kind, disks) in [("active", active), ("failed", count("(F)")), ("spare", count("(S)"))] {
        out.gauge("node_md_disks", "Disks of the array by state.", &[own, ("state", kind)], disks);
    }
    for (called, kind) in [
        ("active", "active"),
        ("inactive", "inactive"),
        ("recovering", "recovering"),
        ("resyncing", "resync"),
        ("checking", "check"),
    ] {
        let is_it = f64::from(u8::from(state == called));
        out.gauge("node_md_state", "In which state the array is.", &[own, ("state", kind)], is_it);
    }
    out.gauge("node_md_blocks", "Blocks of the array.", &[own], blocks);
    out.gauge("node_md_blocks_synced", "Blocks of the array that are in step.", &[own], synced);
    Ok(())
}

pub(super) fn nvme(round: &mut Round<'_>) -> io::Result<()> {
    let mut devices = round.files.sys_list("class/nvme")?;
    by_number(&mut devices);
    for device in devices {
        let folder = format!("class/nvme/{device}");
        let file = |name: &str| round.files.sys(&format!("{folder}/{name}"));
        let labels = [
            ("device", &*device),
            ("firmware_revision", &*file("firmware_rev")?),
            ("model", &*file("model")?),
            ("serial", &*file("serial")?),
            ("state", &*file("state")?),
            ("cntlid", &*file("cntlid").unwrap_or_default()),
        ];
        round.out.gauge("node_nvme_info", "What is known of the NVMe disk.", &labels, 1.0);
        for name in round.files.sys_list(&folder)? {
            // `nvme0n1` is namespace 1, as is `nvme0c0n1` by way of one of several controllers.
            let number = name.strip_prefix("nvme").and_then(|rest| rest.split_once('n')).map(|(_, number)| number);
            let Some(number) = number.filter(|it| it.parse::<u32>().is_ok()) else { continue };
            let file = |file: &str| round.files.sys(&format!("{folder}/{name}/{file}"));
            let figure = |name: &str| file(name).ok().as_deref().and_then(whole).unwrap_or(0.0);
            let place = [("device", &*device), ("nsid", number)];
            let state = file("ana_state").unwrap_or_else(|_| "unknown".to_owned());
            let labels = [place[0], place[1], ("ana_state", &*state)];
            round.out.gauge("node_nvme_namespace_info", "What is known of the namespace.", &labels, 1.0);
            let block = figure("queue/logical_block_size");
            for (name, help, value) in [
                ("capacity_bytes", "Bytes of the namespace.", figure("size") * block),
                ("size_bytes", "Size of the namespace, in bytes.", figure("size") * block),
                ("used_bytes", "Bytes of the namespace that are in use.", figure("nuse") * block),
                ("logical_block_size_bytes", "Bytes of a block.", block),
            ] {
                round.out.gauge(&format!("node_nvme_namespace_{name}"), help, &place, value);
            }
        }
    }
    Ok(())
}

/// Disks that are reached over several paths.
pub(super) fn multipath(round: &mut Round<'_>) -> io::Result<()> {
    let mut names = round.files.sys_list("block")?;
    by_number(&mut names);
    for name in names.iter().filter(|name| name.starts_with("dm-")) {
        let file = |file: &str| round.files.sys(&format!("block/{name}/{file}"));
        let uuid = file("dm/uuid").unwrap_or_default();
        // Other volumes are of LVM and the like.
        if !uuid.starts_with("mpath-") {
            continue;
        }
        let device = file("dm/name").unwrap_or_default();
        let own = [("device", &*device), ("sysfs_name", &**name)];
        let (mut paths, mut working) = (0.0, 0.0);
        for path in round.files.sys_list(&format!("block/{name}/slaves")).unwrap_or_default() {
            let state = round.files.sys(&format!("block/{path}/device/state")).unwrap_or_else(|_| "unknown".to_owned());
            paths += 1.0;
            working += f64::from(u8::from(state == "running" || state == "live"));
            let labels = [own[0], ("path", &*path), ("state", &*state)];
            round.out.gauge("node_dmmultipath_path_state", "In which state the path is.", &labels, 1.0);
        }
        let labels = [own[0], own[1], ("uuid", &*uuid)];
        round.out.gauge("node_dmmultipath_device_info", "A disk that is reached over several paths.", &labels, 1.0);
        let in_use = f64::from(u8::from(file("dm/suspended").is_ok_and(|word| word == "0")));
        let size = file("size").ok().as_deref().and_then(whole).unwrap_or(0.0) * SECTOR_BYTES;
        for (name, help, value) in [
            ("active", "Whether the disk is in use and not suspended.", in_use),
            ("size_bytes", "Size of the disk.", size),
            ("paths", "Paths to the disk.", paths),
            ("paths_active", "Paths that work.", working),
            ("paths_failed", "Paths that do not work.", paths - working),
        ] {
            round.out.gauge(&format!("node_dmmultipath_device_{name}"), help, &own, value);
        }
    }
    Ok(())
}

/// File, metric, what one of it is, help.
const TAPE: [(&str, &str, f64, &str); 10] = [
    ("in_flight", "io_now", 1.0, "Reads and writes under way."),
    ("io_ns", "io_time_seconds_total", 1e9, "Seconds that everything took, winding among it."),
    ("other_cnt", "io_others_total", 1.0, "What was asked of the drive but reads and writes."),
    ("read_byte_cnt", "read_bytes_total", 1.0, "Bytes that were read."),
    ("read_cnt", "reads_completed_total", 1.0, "Reads that were asked for."),
    ("read_ns", "read_time_seconds_total", 1e9, "Seconds that all reads took."),
    ("write_byte_cnt", "written_bytes_total", 1.0, "Bytes that were written."),
    ("write_cnt", "writes_completed_total", 1.0, "Writes that were asked for."),
    ("write_ns", "write_time_seconds_total", 1e9, "Seconds that all writes took."),
    ("resid_cnt", "residual_total", 1.0, "Reads and writes that did not move all that was asked for."),
];

pub(super) fn tapes(round: &mut Round<'_>) -> io::Result<()> {
    for tape in round.files.sys_list("class/scsi_tape")? {
        // The same drive is there as `nst0`, `st0a` and so on.
        let is_drive = tape.strip_prefix("st").is_some_and(|number| number.parse::<u32>().is_ok());
        if !is_drive || !round.settings.tapes.passes(&tape) {
            continue;
        }
        for (file, name, unit, help) in TAPE {
            let value = round.files.sys_number(&format!("class/scsi_tape/{tape}/stats/{file}"))?;
            let kind = if name == "io_now" { MetricType::Gauge } else { MetricType::Counter };
            round.out.put(kind, &format!("node_tape_{name}"), help, &[("device", &tape)], value / unit);
        }
    }
    Ok(())
}

/// `1.1k` is 1124: powers of 1024, and behind the point thousandths of the next smaller power, as the cache writes them.
fn bytes(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches("/sec");
    let (digits, power) = match text.char_indices().next_back() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => (&text[..at], "kMGTPEZY".find(unit)? as i32 + 1),
        _ => (text, 0),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let sign = if whole.starts_with('-') { -1.0 } else { 1.0 };
    let part = format!("0.{part}").parse::<f64>().ok()? * 1000.0;
    let unit = 1024f64.powi(power);
    Some(whole.parse::<f64>().ok()? * unit + sign * (part * unit / 1024.0).trunc())
}

/// File, metric, whether it counts, divided by, help.
const CACHE_SET: [(&str, &str, MetricType, f64, &str); 10] = {
    use MetricType::{Counter, Gauge};
    [
        ("average_key_size", "average_key_size_sectors", Gauge, 1.0, "Sectors for each key of the tree."),
        ("btree_cache_size", "btree_cache_size_bytes", Gauge, 1.0, "Memory of the tree's cache."),
        ("cache_available_percent", "cache_available_percent", Gauge, 1.0, "Percent of the cache without changes."),
        ("congested", "congested", Gauge, 1.0, "How congested the cache is."),
        ("root_usage_percent", "root_usage_percent", Gauge, 1.0, "Percent of the root node in use."),
        ("tree_depth", "tree_depth", Gauge, 1.0, "How deep the tree is."),
        ("internal/active_journal_entries", "active_journal_entries", Gauge, 1.0, "Entries newer than the index."),
        ("internal/btree_nodes", "btree_nodes", Gauge, 1.0, "Nodes of the tree."),
        (
            "internal/btree_read_average_duration_us",
            "btree_read_average_duration_seconds",
            Gauge,
            1e9,
            "How long a read of the tree takes.",
        ),
        ("internal/cache_read_races", "cache_read_races_total", Counter, 1.0, "Reads whose bucket was taken away."),
    ]
};

/// File below `stats_total`, metric, help.
const CACHE_COUNTS: [(&str, &str, &str); 7] = [
    ("bypassed", "bypassed_bytes_total", "Bytes that went past the cache."),
    ("cache_hits", "cache_hits_total", "Reads and writes that the cache served."),
    ("cache_misses", "cache_misses_total", "Reads and writes that it did not serve."),
    ("cache_bypass_hits", "cache_bypass_hits_total", "What went past the cache and was in it."),
    ("cache_bypass_misses", "cache_bypass_misses_total", "What went past the cache and was not in it."),
    ("cache_miss_collisions", "cache_miss_collisions_total", "Misses that were there by the time they were put in."),
    ("cache_readaheads", "cache_readaheads_total", "How often it read ahead."),
];

pub(super) fn bcache(round: &mut Round<'_>) -> io::Result<()> {
    // Most hosts have none; that is no failure.
    for uuid in round.files.sys_list("fs/bcache").unwrap_or_default() {
        if !uuid.contains('-') {
            continue;
        }
        let folder = format!("fs/bcache/{uuid}");
        let own = ("uuid", &*uuid);
        let value = |file: String| -> io::Result<f64> { bytes(&round.files.sys(&file)?).ok_or_else(|| odd(file)) };
        for (file, name, kind, unit, help) in CACHE_SET {
            let value = value(format!("{folder}/{file}"))?;
            round.out.put(kind, &format!("node_bcache_{name}"), help, &[own], value / unit);
        }
        for name in round.files.sys_list(&folder)? {
            let is = |stem: &str| name.strip_prefix(stem).is_some_and(|number| number.parse::<u32>().is_ok());
            let folder = format!("{folder}/{name}");
            if is("bdev") {
                let labels = [own, ("backing_device", &*name)];
                let dirty = value(format!("{folder}/dirty_data"))?;
                let help = "Bytes in the cache that the device lacks.";
                round.out.gauge("node_bcache_dirty_data_bytes", help, &labels, dirty);
                writeback(&round.files.sys(&format!("{folder}/writeback_rate_debug"))?, &labels, round.out)?;
                for (file, name, help) in CACHE_COUNTS {
                    let count = match value(format!("{folder}/stats_total/{file}")) {
                        Ok(count) => count,
                        // Newer kernels do not count these any more.
                        Err(_) if file == "cache_readaheads" => continue,
                        Err(error) => return Err(error),
                    };
                    if file != "cache_readaheads" || count != 0.0 {
                        round.out.counter(&format!("node_bcache_{name}"), help, &labels, count);
                    }
                }
            } else if is("cache") {
                let labels = [own, ("cache_device", &*name)];
                let errors = value(format!("{folder}/io_errors"))?;
                let help = "Errors of the cache, old ones counting less.";
                round.out.gauge("node_bcache_io_errors", help, &labels, errors);
                let written = value(format!("{folder}/metadata_written"))?;
                let help = "Bytes written of all but data.";
                round.out.counter("node_bcache_metadata_written_bytes_total", help, &labels, written);
                let written = value(format!("{folder}/written"))?;
                round.out.counter("node_bcache_written_bytes_total", "Bytes written.", &labels, written);
                if round.settings.config.collectors.bcache.priority_stats {
                    let text = round.files.sys(&format!("{folder}/priority_stats"))?;
                    priorities(&text, &labels, round.out);
                }
            }
        }
    }
    Ok(())
}

fn writeback(text: &str, labels: &[(&str, &str)], out: &mut Exposition) -> io::Result<()> {
    for line in text.lines() {
        let (field, value) = line.split_once(':').ok_or_else(|| odd("writeback_rate_debug"))?;
        let (name, help) = match field {
            "rate" => ("writeback_rate", "Bytes a second that are written back."),
            "target" => ("dirty_target_bytes", "Bytes that the cache should hold for the device."),
            "proportional" => ("writeback_rate_proportional_term", "The part of the rate that follows the error."),
            "integral" => ("writeback_rate_integral_term", "The part of the rate that follows its sum."),
            "change" => ("writeback_change", "By how much the rate changed last."),
            _ => continue,
        };
        let value = bytes(value).ok_or_else(|| odd("writeback_rate_debug"))?;
        out.gauge(&format!("node_bcache_{name}"), help, labels, value);
    }
    Ok(())
}

fn priorities(text: &str, labels: &[(&str, &str)], out: &mut Exposition) {
    for (field, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let Some(percent) = whole(value.trim().trim_end_matches('%')) else { continue };
        let (name, help) = match field {
            "Unused" => ("node_bcache_priority_stats_unused_percent", "Percent of the cache that is empty."),
            "Metadata" => ("node_bcache_priority_stats_metadata_percent", "Percent of the cache that holds no data."),
            _ => continue,
        };
        out.gauge(name, help, labels, percent);
    }
}
