//! Room on file systems.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use super::Round;
use super::exposition::Exposition;
use super::files::odd;

/// A line of `mountinfo` (proc_pid_mountinfo(5)).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mount {
    mountpoint: String,
    device: String,
    fstype: String,
    /// `8:1`.
    numbers: String,
    read_only: bool,
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let before: Vec<&str> = before.split(' ').collect();
    let mut after = after.split(' ');
    let (fstype, device) = (after.next()?.to_owned(), unescape(after.next()?));
    let read_only = |options: &str| options.split(',').any(|option| option == "ro" || option == "emergency_ro");
    let read_only = read_only(before.get(5)?) || after.next().is_some_and(read_only);
    let mountpoint = unescape(before.get(4)?);
    Some(Mount { mountpoint, device, fstype, numbers: (*before.get(2)?).to_owned(), read_only })
}

/// White space and backslashes are written in octal there.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

pub(super) fn collect(round: &mut Round<'_>) -> io::Result<()> {
    // The first process sees the host's mounts even if our unit hides some.
    let text = round.files.proc("1/mountinfo").or_else(|_| round.files.proc("self/mountinfo"))?;
    let settings = round.settings;
    let mounts: BTreeSet<Mount> = text
        .lines()
        .map(|line| mount(line).ok_or_else(|| odd("mountinfo")))
        .filter(|mount| {
            mount
                .as_ref()
                .map_or(true, |it| settings.mount_points.passes(&it.mountpoint) && settings.fs_types.passes(&it.fstype))
        })
        .collect::<io::Result<_>>()?;
    let places: BTreeSet<&str> = mounts.iter().map(|mount| &*mount.mountpoint).collect();
    let paths: Vec<PathBuf> = places.iter().map(|place| round.files.root_path(place)).collect();
    let rooms = round.rooms.ask(&paths, settings.mount_timeout.duration());
    let rooms: std::collections::BTreeMap<&str, _> = places.iter().copied().zip(rooms).collect();
    for mount in &mounts {
        if let Some(room) = rooms.get(&*mount.mountpoint) {
            tell(mount, room, round.out);
        }
    }
    Ok(())
}

fn tell(mount: &Mount, room: &io::Result<watchbell_runtime::disk::Space>, out: &mut Exposition) {
    let error = match room {
        Ok(_) => String::new(),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => "mountpoint timeout".to_owned(),
        Err(error) => reason(error),
    };
    let place = [("device", &*mount.device), ("mountpoint", &*mount.mountpoint)];
    let labels = [place[0], place[1], ("fstype", &*mount.fstype), ("device_error", &*error)];
    let flag = |on: bool| f64::from(u8::from(on));
    let help = "Whether the file system could not say its room; `device_error` says why.";
    out.gauge("node_filesystem_device_error", help, &labels, flag(room.is_err()));
    let help = "Whether the file system takes no changes.";
    out.gauge("node_filesystem_readonly", help, &labels, flag(mount.read_only));
    let Ok(room) = room else { return };
    for (name, help, value) in [
        ("node_filesystem_size_bytes", "Size of the file system.", room.size),
        ("node_filesystem_free_bytes", "Free bytes, what is kept for the superuser among them.", room.free),
        ("node_filesystem_avail_bytes", "Free bytes for everybody.", room.available),
        ("node_filesystem_files", "Inodes of the file system.", room.files),
        ("node_filesystem_files_free", "Free inodes of the file system.", room.files_free),
    ] {
        out.gauge(name, help, &labels, value as f64);
    }
    let (major, minor) = mount.numbers.split_once(':').unwrap_or_default();
    let labels = [place[0], ("major", major), ("minor", minor), place[1]];
    out.gauge("node_filesystem_mount_info", "What is mounted where.", &labels, 1.0);
}

/// As strerror(3) has it, in small letters and without the number that Rust adds.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
