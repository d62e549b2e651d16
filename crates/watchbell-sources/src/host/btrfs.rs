//! btrfs file systems, as `/sys/fs/btrfs` describes them.

use std::io;

use super::Round;
use super::files::whole;

const SECTOR_BYTES: f64 = 512.0;

pub(super) fn collect(round: &mut Round<'_>) -> io::Result<()> {
    // Most hosts have none; that is no failure.
    for uuid in round.files.sys_list("fs/btrfs").unwrap_or_default() {
        // Beside the file systems there is `features`.
        if uuid.contains('-') {
            one(round, &uuid)?;
        }
    }
    Ok(())
}

fn one(round: &mut Round<'_>, uuid: &str) -> io::Result<()> {
    let folder = format!("fs/btrfs/{uuid}");
    let (files, out) = (round.files, &mut *round.out);
    let own = ("uuid", uuid);
    let label = files.sys(&format!("{folder}/label")).unwrap_or_default();
    out.gauge("node_btrfs_info", "A file system and its label.", &[own, ("label", &label)], 1.0);
    let reserve = files.sys_number(&format!("{folder}/allocation/global_rsv_size"))?;
    out.gauge("node_btrfs_global_rsv_size_bytes", "Bytes kept back for the file system itself.", &[own], reserve);

    let commits = files.sys(&format!("{folder}/commit_stats")).unwrap_or_default();
    let commit = |name: &str| {
        let mut found = commits.lines().filter_map(|line| line.split_once(' '));
        found.find(|(have, _)| *have == name).and_then(|(_, value)| whole(value)).unwrap_or(0.0)
    };
    out.counter("node_btrfs_commits_total", "Commits of the file system.", &[own], commit("commits"));
    let help = "How long the last commit took.";
    out.gauge("node_btrfs_last_commit_seconds", help, &[own], commit("last_commit_ms") / 1000.0);
    let help = "How long the longest commit took.";
    out.gauge("node_btrfs_max_commit_seconds", help, &[own], commit("max_commit_ms") / 1000.0);
    let help = "How long all commits took.";
    out.counter("node_btrfs_commit_seconds_total", help, &[own], commit("total_commit_ms") / 1000.0);

    let devices = files.sys_list(&format!("{folder}/devices")).unwrap_or_default();
    for kind in ["data", "metadata", "system"] {
        let folder = format!("{folder}/allocation/{kind}");
        let kind = ("block_group_type", kind);
        let reserved = files.sys_number(&format!("{folder}/bytes_reserved"))?;
        out.gauge("node_btrfs_reserved_bytes", "Bytes reserved for a kind of data.", &[own, kind], reserved);
        for mode in files.sys_list(&folder)? {
            let bytes = |name: &str| files.sys_number(&format!("{folder}/{mode}/{name}"));
            let (Ok(used), Ok(size)) = (bytes("used_bytes"), bytes("total_bytes")) else { continue };
            let labels = [own, kind, ("mode", &*mode)];
            out.gauge("node_btrfs_used_bytes", "Used bytes of a kind of data.", &labels, used);
            out.gauge("node_btrfs_size_bytes", "Allocated bytes of a kind of data.", &labels, size);
            let ratio = ratio(&mode, devices.len() as f64);
            out.gauge("node_btrfs_allocation_ratio", "Bytes on disks for each byte of data.", &labels, ratio);
        }
    }
    for device in &devices {
        if let Ok(sectors) = files.sys_number(&format!("{folder}/devices/{device}/size")) {
            let labels = [own, ("device", device)];
            let help = "Size of a device of the file system.";
            out.gauge("node_btrfs_device_size_bytes", help, &labels, sectors * SECTOR_BYTES);
        }
    }
    // node_exporter asks the file system itself (an ioctl) and knows the name of each device.
    let numbers = files.sys_list(&format!("{folder}/devinfo")).unwrap_or_default();
    for number in &numbers {
        let Ok(errors) = files.sys(&format!("{folder}/devinfo/{number}/error_stats")) else { continue };
        let device = match (&devices[..], &numbers[..]) {
            ([only], [_]) => only.clone(),
            _ => format!("devid{number}"),
        };
        for (kind, count) in errors.lines().filter_map(|line| line.split_once("_errs ")) {
            let Some(count) = whole(count) else { continue };
            let labels = [own, ("device", &*device), ("type", kind)];
            out.counter("node_btrfs_device_errors_total", "Errors of a device, by kind.", &labels, count);
        }
    }
    Ok(())
}

/// How many bytes of disk a layout takes for one of data.
fn ratio(mode: &str, devices: f64) -> f64 {
    match mode {
        "dup" | "raid1" | "raid10" => 2.0,
        "raid1c3" => 3.0,
        "raid1c4" => 4.0,
        "raid5" => devices / (devices - 1.0),
        "raid6" => devices / (devices - 2.0),
        _ => 1.0,
    }
}
