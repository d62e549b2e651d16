//! Reading the log after a start: everything that is whole, and in words what is not.
//!
//! A tail that ends inside a frame was being written when the process or the machine died: it is cut. A bad frame with
//! good ones behind it is damage: it is copied into `damaged/` and taken out, and the good ones are kept.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use watchbell_runtime::Disk;

use super::aside::Aside;
use super::filling::Filling;
use super::frames::{frames, unpack};
use super::record;
use super::wal::{self, Segment};

/// What a segment was found to be.
#[derive(Default)]
pub(crate) struct Found {
    /// The number of each segment, with what is in it.
    pub(crate) segments: BTreeMap<u32, Segment>,
    pub(crate) samples: u64,
    /// Samples of series whose name was lost with a damaged frame.
    pub(crate) nameless: u64,
    /// Bytes cut from the ends of segments.
    pub(crate) torn: u64,
    /// What was set aside, in words.
    pub(crate) damaged: Vec<String>,
}

/// Reads all segments in order.
pub(crate) fn replay(disk: &Disk, dir: &Path, aside: &Aside, to: &mut Filling<'_>) -> io::Result<Found> {
    let mut found = Found::default();
    for name in disk.list(dir)? {
        let Some(number) = name.strip_suffix(".wal").and_then(|name| name.parse::<u32>().ok()) else { continue };
        let path = dir.join(&name);
        let content = match disk.read(&path) {
            Ok(content) => content,
            Err(error) => {
                found.damaged.push(format!("segment {number} of the log cannot be read: {error}"));
                // Never dropped: it may be readable at another start.
                found.segments.insert(number, Segment::UNREAD);
                continue;
            }
        };
        let frames = frames(&content, wal::header(&content));
        let newest = read_segment(number, &content, &frames.good, to, &mut found);
        let tail = &content[frames.end..];
        let torn = frames.bad.last().is_none_or(|(_, end)| *end < content.len());
        if torn && !tail.is_empty() {
            found.torn += tail.len() as u64;
            disk.open_append(&path)?.truncate(frames.end as u64)?;
        }
        let mut bytes = frames.end as u64;
        if !frames.bad.is_empty() {
            for (from, to) in &frames.bad {
                let words = format!("{} bytes of the log (segment {number}, offset {from}) were damaged", to - from);
                let file = format!("wal-{number:08}-{from}");
                let copied = aside.copy(&file, &content[*from..*to], &file, &words)?;
                found.damaged.push(format!("{words} and lie in {}", copied.display()));
            }
            let mut good = wal::HEADER.to_vec();
            frames.good.iter().for_each(|(from, to)| good.extend_from_slice(&content[*from..*to]));
            bytes = good.len() as u64;
            disk.write_atomic(&path, &good)?;
        }
        if frames.good.is_empty() {
            disk.remove(&path)?;
            continue;
        }
        found.segments.insert(number, Segment { newest, bytes });
    }
    to.end();
    Ok(found)
}

/// Hands a segment's records on; answers the newest time in it.
fn read_segment(number: u32, content: &[u8], good: &[(usize, usize)], to: &mut Filling<'_>, found: &mut Found) -> i64 {
    let mut segment = to.segment(number);
    let mut unread = 0;
    if let Some(needed) = segment.needed() {
        for (from, end) in good {
            // What makes no sense is told below.
            let _ = unpack(&content[*from..*end]).and_then(|record| record::decode(&record, needed));
        }
    }
    for (from, end) in good {
        let read = unpack(&content[*from..*end]).and_then(|record| record::decode(&record, &mut segment));
        unread += u64::from(read.is_none());
    }
    let (newest, samples, nameless) = segment.found();
    found.samples += samples;
    found.nameless += nameless;
    if unread > 0 {
        found.damaged.push(format!("{unread} records of the log (segment {number}) are whole but make no sense"));
    }
    newest
}
