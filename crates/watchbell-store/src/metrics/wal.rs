//! The log: what was acknowledged and is not in a block yet.
//!
//! Segments `wal/<number>.wal`, each a header and frames; a frame holds one [`Record`](super::record::Record). Series
//! are named once per segment, so that segments can be dropped one by one. Layout: `docs/formats/metrics.md`.
//!
//! Invariants: bytes behind the last whole frame of the segment being written are cut before anything else is written;
//! a frame that could not be written stays in memory and goes first next time, so whatever is acknowledged after it is
//! never in the log without it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use watchbell_runtime::{Disk, DiskFile};

use super::frames::frame;
use super::record::Record;

/// A segment longer than this is followed by a new one.
const SEGMENT_MAX: u64 = 32 << 20;
/// How many bytes may wait for a disk that does not take them.
pub(crate) const PENDING_MAX: usize = 32 << 20;

pub(crate) const HEADER: [u8; 8] = *b"WBWAL\0\0\x02";
const HEADER_1: [u8; 8] = *b"WBWAL\0\0\x01";

pub(crate) struct Wal {
    disk: Disk,
    dir: PathBuf,
    number: u32,
    file: DiskFile,
    /// Whole frames that are in the file, in bytes.
    written: u64,
    /// Frames that are not in the file yet.
    pending: Vec<u8>,
    /// Whether the file may end with part of a frame.
    torn: bool,
    /// How much of the file survives power loss.
    synced: u64,
    /// Segments before this one of which not all is known to survive it.
    unsynced: BTreeSet<u32>,
    /// A sync failed: the system may have dropped what it could not write and say "synced" the next time, so nothing is
    /// said to be synced until blocks hold all that is in the log.
    distrusted: bool,
    /// Segments on disk with the newest time in each.
    segments: BTreeMap<u32, Segment>,
}

/// A sync under way.
pub(crate) struct Sync {
    /// Segments before the one being written, oldest first.
    before: Vec<(u32, DiskFile)>,
    file: DiskFile,
    number: u32,
    written: u64,
}

impl Sync {
    /// Takes as long as the disk needs.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        for (_, file) in &mut self.before {
            file.sync()?;
        }
        self.file.sync()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) newest: i64,
    pub(crate) bytes: u64,
}

impl Segment {
    /// One that could not be read: it may hold anything, also what is newer than everything.
    pub(crate) const UNREAD: Segment = Segment { newest: i64::MAX, bytes: 0 };
}

impl Wal {
    /// Begins a new segment behind those that were found and behind `sealed`, up to which segments may be gone: a
    /// number is never used twice, because the mark of what is sealed counts on it.
    pub(crate) fn begin(disk: Disk, dir: &Path, found: BTreeMap<u32, Segment>, sealed: u32) -> io::Result<Wal> {
        disk.create_dir_all(dir)?;
        let last = found.keys().last().copied().unwrap_or(0).max(sealed);
        let number = last.checked_add(1).ok_or_else(|| io::Error::other("there is no number for another segment"))?;
        // What the process before acknowledged it may not have synced any more; nobody else will.
        let synced = found.keys().try_for_each(|number| disk.open_append(&path(dir, *number))?.sync());
        let file = create(&disk, dir, number)?;
        Ok(Wal {
            disk,
            dir: dir.to_owned(),
            number,
            file,
            written: HEADER.len() as u64,
            pending: Vec::new(),
            torn: false,
            synced: 0,
            unsynced: BTreeSet::new(),
            distrusted: synced.is_err(),
            segments: found,
        })
    }

    /// The number of the segment being written: a series named in another one must be named again.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Whether so much waits that nothing more is to be taken.
    pub(crate) fn is_behind(&self) -> bool {
        self.pending.len() > PENDING_MAX
    }

    /// Adds a record to what is to be written.
    pub(crate) fn add(&mut self, record: &Record) {
        if !record.is_empty() {
            frame(&record.encode(), &mut self.pending);
            let newest = record.newest().unwrap_or(i64::MIN);
            let segment = self.segments.entry(self.number).or_insert(Segment { newest, bytes: 0 });
            segment.newest = segment.newest.max(newest);
        }
    }

    /// Hands all that waits to the kernel: when it answers, it survives the end of this process.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.torn {
            self.file.truncate(self.written)?;
        }
        self.torn = true;
        self.file.write_all(&self.pending)?;
        self.torn = false;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        if self.pending.capacity() > 1 << 20 {
            self.pending.shrink_to(1 << 20);
        }
        let newest = self.segments.get(&self.number).map_or(i64::MIN, |segment| segment.newest);
        self.segments.insert(self.number, Segment { newest, bytes: self.written });
        Ok(())
    }

    /// Makes all that was written survive power loss.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if let Some(mut sync) = self.begin_sync()? {
            let result = sync.run();
            self.end_sync(&sync, result)?;
        }
        Ok(())
    }

    /// The same in two steps, between which others may write: what is to be synced, if anything is.
    pub(crate) fn begin_sync(&self) -> io::Result<Option<Sync>> {
        if self.distrusted {
            return Err(io::Error::other("the log could not be synced and is being replaced"));
        }
        if self.synced == self.written && self.unsynced.is_empty() {
            return Ok(None);
        }
        let open = |number: u32| self.disk.open_append(&path(&self.dir, number));
        let before = self.unsynced.iter().map(|number| Ok((*number, open(*number)?))).collect::<io::Result<_>>()?;
        Ok(Some(Sync { before, file: open(self.number)?, number: self.number, written: self.written }))
    }

    /// How the sync went that was begun.
    pub(crate) fn end_sync(&mut self, sync: &Sync, result: io::Result<()>) -> io::Result<()> {
        match &result {
            Ok(()) => {
                self.unsynced.retain(|number| sync.before.iter().all(|(synced, _)| synced != number));
                if sync.number == self.number {
                    self.synced = self.synced.max(sync.written);
                }
            }
            Err(_) => self.distrusted = true,
        }
        result
    }

    pub(crate) fn is_distrusted(&self) -> bool {
        self.distrusted
    }

    /// Blocks hold all that was in segments before this one.
    pub(crate) fn trust(&mut self) {
        self.distrusted = false;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.written >= SEGMENT_MAX
    }

    /// Begins a new segment; answers the number of the one before, which is synced with the next sync.
    pub(crate) fn rotate(&mut self) -> io::Result<u32> {
        self.write()?;
        let before = self.number;
        if self.written == HEADER.len() as u64 {
            // Nothing is in it: it serves as the new one.
            return Ok(before - 1);
        }
        self.file = create(&self.disk, &self.dir, before + 1)?;
        if self.synced < self.written {
            self.unsynced.insert(before);
        }
        (self.number, self.written, self.torn, self.synced) = (before + 1, HEADER.len() as u64, false, 0);
        Ok(before)
    }

    /// Removes segments up to `last` in which everything is older than `end`: it is all in blocks. Durably: what was
    /// deleted of those blocks must not come back from here.
    pub(crate) fn drop_until(&mut self, last: u32, end: i64) -> io::Result<()> {
        let gone: Vec<u32> =
            self.segments.range(..=last).filter(|(_, segment)| segment.newest < end).map(|(at, _)| *at).collect();
        for number in &gone {
            match self.disk.remove(&path(&self.dir, *number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            self.unsynced.remove(number);
        }
        self.disk.sync_dir(&self.dir)?;
        // Only now: as long as they can come back they count as there, and are tried again.
        gone.iter().for_each(|number| _ = self.segments.remove(number));
        Ok(())
    }

    /// The first segment that could not be read at the start, if there is one.
    pub(crate) fn unread(&self) -> Option<PathBuf> {
        self.first_unread().map(|number| path(&self.dir, number))
    }

    fn first_unread(&self) -> Option<u32> {
        self.segments.iter().find(|(_, segment)| segment.newest == i64::MAX).map(|(number, _)| *number)
    }

    /// Up to which segment, `last` at most, all are such that what is older than a sealing is in blocks once it is done:
    /// what could not be read is not.
    pub(crate) fn sealed_up_to(&self, last: u32) -> u32 {
        self.first_unread().map_or(last, |unread| last.min(unread.saturating_sub(1)))
    }

    /// The newest time of a sample in it, as far as it could be read.
    pub(crate) fn newest(&self) -> Option<i64> {
        let times = self.segments.values().map(|segment| segment.newest);
        times.filter(|newest| *newest > i64::MIN && *newest < i64::MAX).max()
    }

    /// How many bytes it takes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }
}

/// How a segment begins that may be of any version.
pub(crate) fn header(content: &[u8]) -> &'static [u8; 8] {
    if content.starts_with(&HEADER_1) { &HEADER_1 } else { &HEADER }
}

pub(crate) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.wal"))
}

fn create(disk: &Disk, dir: &Path, number: u32) -> io::Result<DiskFile> {
    let mut file = disk.create(&path(dir, number))?;
    file.write_all(&HEADER)?;
    disk.sync_dir(dir)?;
    Ok(file)
}
