//! Disks and file systems.

use std::io;
use std::path::Path;

use watchbell_runtime::Disk;
use watchbell_runtime::disk::Space;

use super::{Samples, odd, text};

const SECTOR_BYTES: f64 = 512.0;

/// What node_exporter leaves out by default: what holds no files of anybody.
const FSTYPES_LEFT_OUT: [&str; 25] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "erofs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];
/// Asking these for their room can hang for as long as their server is away.
const NETWORK_FSTYPES: [&str; 14] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "9p",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.rclone",
    "fuse.glusterfs",
];
const MOUNTS_LEFT_OUT: [&str; 6] =
    ["/dev", "/proc", "/sys", "/run/credentials/", "/var/lib/docker/", "/var/lib/containers/storage/"];

pub(super) fn collect(disk: &Disk, space: impl Fn(&Path) -> io::Result<Space>, samples: &mut Samples) {
    samples.collect("filesystem", |samples| {
        // The first process sees the host's mounts even if our unit hides some.
        let mounts = text(disk, "/proc/1/mountinfo").or_else(|_| text(disk, "/proc/self/mountinfo"))?;
        filesystems(&mounts, space, samples);
        Ok(())
    });
    samples.collect("diskstats", |samples| diskstats(&text(disk, "/proc/diskstats")?, samples));
}

/// A line of `mountinfo` (proc_pid_mountinfo(5)).
struct Mount {
    device: String,
    mountpoint: String,
    fstype: String,
    read_only: bool,
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let before: Vec<&str> = before.split(' ').collect();
    let mut after = after.split(' ');
    let (fstype, device) = (after.next()?.to_owned(), unescape(after.next()?));
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    let read_only = read_only(before.get(5)?) || after.next().is_some_and(read_only);
    Some(Mount { device, mountpoint: unescape(before.get(4)?), fstype, read_only })
}

/// White space and backslashes are written in octal there.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn is_left_out(mount: &Mount) -> bool {
    let under = |root: &str| {
        let rest = mount.mountpoint.strip_prefix(root.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !root.ends_with('/')))
    };
    FSTYPES_LEFT_OUT.contains(&mount.fstype.as_str())
        || NETWORK_FSTYPES.contains(&mount.fstype.as_str())
        || MOUNTS_LEFT_OUT.iter().any(|root| under(root))
}

pub(super) fn filesystems(text: &str, space: impl Fn(&Path) -> io::Result<Space>, samples: &mut Samples) {
    let mut mounts: Vec<Mount> = text.lines().filter_map(mount).filter(|mount| !is_left_out(mount)).collect();
    // What is mounted over something else hides it.
    mounts.reverse();
    mounts.sort_by(|a, b| a.mountpoint.cmp(&b.mountpoint));
    mounts.dedup_by(|a, b| a.mountpoint == b.mountpoint);
    for mount in mounts {
        let labels = [("device", &*mount.device), ("mountpoint", &*mount.mountpoint), ("fstype", &*mount.fstype)];
        let space = match space(Path::new(&mount.mountpoint)) {
            Ok(space) => space,
            Err(error) => {
                let error = error.to_string();
                let why = [&labels[..], &[("device_error", &*error)]].concat();
                samples.put("node_filesystem_device_error", &why, 1.0);
                continue;
            }
        };
        for (name, value) in [
            ("node_filesystem_size_bytes", space.size as f64),
            ("node_filesystem_free_bytes", space.free as f64),
            ("node_filesystem_avail_bytes", space.available as f64),
            ("node_filesystem_files", space.files as f64),
            ("node_filesystem_files_free", space.files_free as f64),
            ("node_filesystem_readonly", f64::from(u8::from(mount.read_only || space.read_only))),
            ("node_filesystem_device_error", 0.0),
        ] {
            samples.put(name, &labels, value);
        }
    }
}

/// The fields of `/proc/diskstats` behind the device's name, in order, and what one of each is.
const DISK_FIELDS: [(&str, f64); 17] = [
    ("node_disk_reads_completed_total", 1.0),
    ("node_disk_reads_merged_total", 1.0),
    ("node_disk_read_bytes_total", SECTOR_BYTES),
    ("node_disk_read_time_seconds_total", 0.001),
    ("node_disk_writes_completed_total", 1.0),
    ("node_disk_writes_merged_total", 1.0),
    ("node_disk_written_bytes_total", SECTOR_BYTES),
    ("node_disk_write_time_seconds_total", 0.001),
    ("node_disk_io_now", 1.0),
    ("node_disk_io_time_seconds_total", 0.001),
    ("node_disk_io_time_weighted_seconds_total", 0.001),
    ("node_disk_discards_completed_total", 1.0),
    ("node_disk_discards_merged_total", 1.0),
    ("node_disk_discarded_sectors_total", 1.0),
    ("node_disk_discard_time_seconds_total", 0.001),
    ("node_disk_flush_requests_total", 1.0),
    ("node_disk_flush_requests_time_seconds_total", 0.001),
];

pub(super) fn diskstats(text: &str, samples: &mut Samples) -> io::Result<()> {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(2);
        let device = words.next().ok_or_else(|| odd("/proc/diskstats"))?;
        if is_part(device) {
            continue;
        }
        for ((name, unit), word) in DISK_FIELDS.iter().zip(words) {
            let value: f64 = word.parse().map_err(|_| odd("/proc/diskstats"))?;
            // Dividing keeps milliseconds exact where multiplying by 0.001 does not.
            let value = if *unit == 0.001 { value / 1000.0 } else { value * unit };
            samples.put(name, &[("device", device)], value);
        }
    }
    Ok(())
}

/// Whether it is a partition, a RAM disk, a loop device or a floppy, which node_exporter leaves out by default.
fn is_part(device: &str) -> bool {
    let stem = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    let lettered = ["hd", "sd", "vd", "xvd"].iter().any(|kind| {
        stem.strip_prefix(kind).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_lowercase())
    });
    matches!(stem, "ram" | "zram" | "loop" | "fd") || lettered || (stem.starts_with("nvme") && stem.ends_with('p'))
}
