//! How far the queue was sent, on disk: records that are added to a small file, of which the last whole one counts.
//!
//! Adding is one small write and no sync, so it is done after each answer. A record that is lost with the power only
//! means that some samples are sent again, as the same samples.

use std::io;
use std::path::{Path, PathBuf};

use watchbell_runtime::{Disk, DiskFile};

const HEADER: [u8; 8] = *b"WBSENT\0\x01";
/// Segment, offset, checksum.
const RECORD: usize = 16;
/// When the file is longer it is begun anew.
const FILE_MAX: u64 = 64 << 10;

/// A place in the queue: everything before it was taken by the other store, or set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
}

pub(crate) struct Sent {
    disk: Disk,
    path: PathBuf,
    at: Position,
    file: Option<DiskFile>,
    written: u64,
    torn: bool,
}

impl Sent {
    /// What the file says; the beginning of the queue if there is none that can be read.
    pub(crate) fn load(disk: &Disk, path: &Path) -> Sent {
        let at = disk.read(path).ok().and_then(|content| last(&content)).unwrap_or_default();
        Sent { disk: disk.clone(), path: path.to_owned(), at, file: None, written: 0, torn: false }
    }

    pub(crate) fn at(&self) -> Position {
        self.at
    }

    /// Says how far it is now.
    pub(crate) fn set(&mut self, at: Position) -> io::Result<()> {
        if at <= self.at {
            return Ok(());
        }
        self.at = at;
        let file = match &mut self.file {
            Some(file) if self.written < FILE_MAX => file,
            _ => {
                let mut content = HEADER.to_vec();
                content.extend_from_slice(&record(at));
                self.file = None;
                self.disk.write_atomic(&self.path, &content)?;
                self.file = Some(self.disk.open_append(&self.path)?);
                (self.written, self.torn) = (content.len() as u64, false);
                return Ok(());
            }
        };
        if self.torn {
            file.truncate(self.written)?;
        }
        self.torn = true;
        file.write_all(&record(at))?;
        self.torn = false;
        self.written += RECORD as u64;
        Ok(())
    }
}

fn record(at: Position) -> [u8; RECORD] {
    let mut out = [0; RECORD];
    out[..4].copy_from_slice(&at.segment.to_le_bytes());
    out[4..12].copy_from_slice(&at.offset.to_le_bytes());
    let sum = crc32c::crc32c(&out[..12]);
    out[12..].copy_from_slice(&sum.to_le_bytes());
    out
}

fn last(content: &[u8]) -> Option<Position> {
    let (records, _) = content.strip_prefix(&HEADER)?.as_chunks::<RECORD>();
    records.iter().rev().find_map(|bytes| {
        let at = Position {
            segment: u32::from_le_bytes(bytes[..4].try_into().ok()?),
            offset: u64::from_le_bytes(bytes[4..12].try_into().ok()?),
        };
        (record(at) == *bytes).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use watchbell_runtime::sim;

    use super::*;

    #[test]
    fn the_last_whole_record_counts() {
        sim::run(1, |world| async move {
            let (disk, path) = (world.runtime().disk, Path::new("/data/sent"));
            let mut sent = Sent::load(&disk, path);
            assert_eq!(sent.at(), Position::default());
            for offset in 1..=5000 {
                sent.set(Position { segment: 1, offset }).unwrap();
            }
            assert!(disk.len(path).unwrap() < FILE_MAX + 100);
            // What is said again, or further back, is no news.
            sent.set(Position { segment: 1, offset: 7 }).unwrap();
            assert_eq!(Sent::load(&disk, path).at(), Position { segment: 1, offset: 5000 });
            // A write that breaks off takes nothing back, and the next one stands where it should.
            world.disk.set_room(Some(5));
            assert!(sent.set(Position { segment: 2, offset: 1 }).is_err());
            assert_eq!(Sent::load(&disk, path).at(), Position { segment: 1, offset: 5000 });
            world.disk.set_room(None);
            sent.set(Position { segment: 2, offset: 2 }).unwrap();
            assert_eq!(Sent::load(&disk, path).at(), Position { segment: 2, offset: 2 });
            let mut content = disk.read(path).unwrap();
            content.truncate(content.len() - 1);
            world.disk.put(path, &content);
            assert_eq!(Sent::load(&disk, path).at(), Position { segment: 1, offset: 5000 });
            world.disk.put(path, b"something else");
            assert_eq!(Sent::load(&disk, path).at(), Position::default());
        });
    }
}
