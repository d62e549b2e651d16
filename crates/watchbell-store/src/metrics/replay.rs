//! Reading the log after a start: everything that is whole, and in words what is not.
//!
//! A tail that ends inside a frame was being written when the process or the machine died: it is cut. A bad frame with
//! good ones behind it is damage: it is copied into `damaged/` and taken out, and the good ones are kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use watchbell_model::Labels;
use watchbell_runtime::Disk;

use super::frames::{frames, unpack};
use super::record::{self, Logged};
use super::wal::{HEADER, Segment};

/// How many numbers of series may be left out before one: most that are active can be silent in a segment.
const SERIES_GAP_MAX: usize = 50_000_000;

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

/// Where replayed samples go.
pub(crate) trait Replay {
    /// A series by its labels, as a number of the receiver's own.
    fn series(&mut self, labels: Labels) -> u32;
    /// A sample of it, from a segment of the log.
    fn sample(&mut self, segment: u32, sample: Logged);
    /// That was all.
    fn end(&mut self);
}

/// Reads all segments in order.
pub(crate) fn replay(disk: &Disk, dir: &Path, damaged: &Path, to: &mut impl Replay) -> io::Result<Found> {
    let mut found = Found::default();
    for name in disk.list(dir)? {
        let Some(number) = name.strip_suffix(".wal").and_then(|name| name.parse::<u32>().ok()) else { continue };
        let path = dir.join(&name);
        let content = match disk.read(&path) {
            Ok(content) => content,
            Err(error) => {
                found.damaged.push(format!("segment {number} of the log cannot be read: {error}"));
                // Never dropped: it may be readable at another start.
                found.segments.insert(number, Segment { newest: i64::MAX, bytes: 0 });
                continue;
            }
        };
        let frames = frames(&content, &HEADER);
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
                let aside = damaged.join(format!("wal-{number:08}-{from}"));
                disk.create_dir_all(damaged)?;
                disk.write_atomic(&aside, &content[*from..*to])?;
                found.damaged.push(format!(
                    "{} bytes of the log (segment {number}, offset {from}) were damaged and lie in {}",
                    to - from,
                    aside.display()
                ));
            }
            let mut good = HEADER.to_vec();
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
fn read_segment(number: u32, content: &[u8], good: &[(usize, usize)], to: &mut impl Replay, found: &mut Found) -> i64 {
    let (mut newest, mut unread) = (i64::MIN, 0);
    // By the number of the series in the segment, which are dense; `None` for one that nobody named.
    let known = RefCell::new((Vec::<Option<u32>>::new(), to));
    for (from, end) in good {
        let Some(record) = unpack(&content[*from..*end]) else {
            unread += 1;
            continue;
        };
        let read = record::decode(
            &record,
            |series, labels| {
                let (known, to) = &mut *known.borrow_mut();
                let at = series as usize;
                if at >= known.len() && at < known.len() + SERIES_GAP_MAX {
                    known.resize(at + 1, None);
                }
                if let Some(known) = known.get_mut(at) {
                    *known = Some(to.series(labels));
                }
            },
            |sample| {
                let (known, to) = &mut *known.borrow_mut();
                match known.get(sample.series as usize).copied().flatten() {
                    Some(series) => {
                        newest = newest.max(sample.time);
                        found.samples += 1;
                        to.sample(number, Logged { series, ..sample });
                    }
                    None => found.nameless += 1,
                }
            },
        );
        unread += u64::from(read.is_none());
    }
    if unread > 0 {
        found.damaged.push(format!("{unread} records of the log (segment {number}) are whole but make no sense"));
    }
    newest
}
