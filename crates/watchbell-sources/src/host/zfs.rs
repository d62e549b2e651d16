//! ZFS: what its kernel module writes below `/proc/spl/kstat/zfs`.

use std::io;

use super::Round;
use super::exposition::Exposition;
use super::files::{odd, whole};

const ROOT: &str = "spl/kstat/zfs";
/// Part of the metrics' names, file.
const FILES: [(&str, &str); 11] = [
    ("zfs_abd", "abdstats"),
    ("zfs_arc", "arcstats"),
    ("zfs_dbuf", "dbufstats"),
    ("zfs_dmu_tx", "dmu_tx"),
    ("zfs_dnode", "dnodestats"),
    ("zfs_fm", "fm"),
    ("zfs_vdev_cache", "vdev_cache_stats"),
    ("zfs_vdev_mirror", "vdev_mirror_stats"),
    ("zfs_xuio", "xuio_stats"),
    ("zfs_zfetch", "zfetchstats"),
    ("zfs_zil", "zil"),
];
const STATES: [&str; 7] = ["online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"];
/// Types of the module's table: whole numbers with and without a sign.
const INTEGER: &str = "3";
const UNSIGNED: &str = "4";

pub(super) fn collect(round: &mut Round<'_>) -> io::Result<()> {
    let names = round.files.list(&round.files.proc_path(ROOT))?;
    for (part, file) in FILES {
        let Ok(text) = round.files.proc(&format!("{ROOT}/{file}")) else { continue };
        for (name, kind, value) in table(&text)? {
            if kind == UNSIGNED || kind == INTEGER {
                let value = whole(value).ok_or_else(|| odd(file))?;
                // As node_exporter, a dash becomes part of a word.
                let metric = format!("node_{part}_{}", name.replace('-', "_"));
                round.out.untyped(&metric, format_args!("{name} of {ROOT}/{file}."), &[], value);
            }
        }
    }
    for pool in names {
        let Ok(files) = round.files.list(&round.files.proc_path(&format!("{ROOT}/{pool}"))) else { continue };
        for file in files {
            let Ok(text) = round.files.proc(&format!("{ROOT}/{pool}/{file}")) else { continue };
            match file.as_str() {
                "io" => reads_and_writes(&text, &pool, round.out)?,
                "state" => state(&text, &pool, round.out),
                _ if file.starts_with("objset-") => dataset(&text, &pool, round.out)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Lines `name type data` below the line that says so.
fn table(text: &str) -> io::Result<Vec<(&str, &str, &str)>> {
    let mut lines = text.lines();
    if !lines.any(|line| line.split_ascii_whitespace().eq(["name", "type", "data"])) {
        return Err(odd("a table of ZFS"));
    }
    Ok(lines
        .filter_map(|line| {
            let (name, rest) = line.trim_start().split_once(|c: char| c.is_ascii_whitespace())?;
            let (kind, data) = rest.trim_start().split_once(|c: char| c.is_ascii_whitespace())?;
            Some((name, kind, data.trim()))
        })
        .collect())
}

/// A line of names and a line of values.
fn reads_and_writes(text: &str, pool: &str, out: &mut Exposition) -> io::Result<()> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("nread"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return Ok(()) };
    for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
        let value = whole(value).ok_or_else(|| odd("the reads and writes of a pool"))?;
        out.untyped(&format!("node_zfs_zpool_{name}"), format_args!("{name} of the pool."), &[("zpool", pool)], value);
    }
    Ok(())
}

fn state(text: &str, pool: &str, out: &mut Exposition) {
    let now = text.lines().next().unwrap_or_default().to_lowercase();
    for state in STATES {
        let labels = [("zpool", pool), ("state", state)];
        out.gauge("node_zfs_zpool_state", "In which state the pool is.", &labels, f64::from(u8::from(state == now)));
    }
}

fn dataset(text: &str, pool: &str, out: &mut Exposition) -> io::Result<()> {
    let rows = table(text)?;
    let dataset = rows.iter().find(|(name, ..)| *name == "dataset_name").map_or("", |(.., data)| *data);
    for (name, _, value) in rows.iter().filter(|(name, kind, _)| *kind == UNSIGNED && *name != "dataset_name") {
        let value = whole(value).ok_or_else(|| odd("the counts of a data set"))?;
        let labels = [("zpool", pool), ("dataset", dataset)];
        let help = format_args!("{name} of the data set.");
        out.untyped(&format!("node_zfs_zpool_dataset_{name}"), help, &labels, value);
    }
    Ok(())
}
