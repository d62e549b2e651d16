//! Coarser copies of what is kept: which there are, and of which days.
//!
//! Each width has blocks of its own (`blocks-5m`, `blocks-1h`), and beside them the file `days`: which block holds
//! which days. A day is in it only while its rows are what the samples say: what is new for a day (late, imported) takes
//! it out before it serves, and it is made again. So no day is ever counted twice, and a block that `days` does not
//! name is the leftover of a crash. Layout: `docs/formats/metrics.md`.
//!
//! `forgotten` says since when samples are all there: for what is older the copies speak, and they are made no more.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};

use watchbell_runtime::Disk;

use super::RollupConfig;
use super::aside::Aside;
use super::block::Block;
use super::blocks::{Blocks, Damage, file_name};
use super::bytes::{Cursor, put_signed, put_varint};

pub(crate) const DAY: i64 = 86_400_000;
const DAYS_MAGIC: [u8; 8] = *b"WBDAYS\0\x01";
const FORGOTTEN_MAGIC: [u8; 8] = *b"WBPAST\0\x01";

/// Days next to one another that one block holds, or of which there is nothing.
#[derive(Clone)]
pub(crate) struct Days {
    /// `None`: no series has a value then.
    pub(crate) block: Option<Arc<Block>>,
    /// The first one, counted from 1970.
    pub(crate) from: i64,
    /// The one behind the last.
    pub(crate) to: i64,
}

impl Days {
    /// The first millisecond, and the first one behind.
    pub(crate) fn span(&self) -> (i64, i64) {
        (self.from.saturating_mul(DAY), self.to.saturating_mul(DAY))
    }

    fn number(&self) -> u64 {
        self.block.as_ref().map_or(0, |block| block.number)
    }
}

/// The copy of one width.
pub(crate) struct Level {
    /// In milliseconds; a day is a multiple of it.
    pub(crate) width: i64,
    pub(crate) config: RollupConfig,
    pub(crate) blocks: Blocks,
    days: RwLock<Arc<Vec<Days>>>,
    /// Days of blocks that could not be read at the start, and were not made again since: they stay theirs.
    unread: RwLock<Vec<Held>>,
}

/// Days of which only the number of the block that holds them is known, as the file says it.
#[derive(Clone, Copy)]
struct Held {
    number: u64,
    from: i64,
    to: i64,
}

impl Level {
    pub(crate) fn open(
        disk: &Disk,
        dir: &Path,
        aside: &Aside,
        (name, width): (&'static str, i64),
        config: RollupConfig,
        samples: &[Arc<Block>],
        forgotten: i64,
    ) -> io::Result<(Level, Vec<Damage>)> {
        let opened = Blocks::open(disk, &dir.join(format!("blocks-{name}")), aside)?;
        let serving = opened.blocks.serving();
        let mut damaged = opened.damaged;
        let (days, missing) = load(disk, opened.blocks.dir(), &serving)
            .unwrap_or_else(|| (adopt(&serving, samples, forgotten), Vec::new()));
        let is_unread = |held: &Held| opened.blocks.unread().contains_key(&held.number);
        let (unread, missing): (Vec<Held>, Vec<Held>) = missing.into_iter().partition(is_unread);
        for number in missing.iter().map(|held| held.number).collect::<BTreeSet<_>>() {
            let name = format!("blocks-{name}/{}", file_name(number));
            if !damaged.iter().any(|damage| damage.name == name) {
                let words = format!("the block {name} is not there any more; nobody of us removed it");
                // As for blocks of samples.
                let _ = aside.note_vanished(&name, &words);
                damaged.push(Damage { name, words });
            }
        }
        let named: BTreeSet<u64> = days.iter().map(Days::number).collect();
        let stray: Vec<Arc<Block>> =
            serving.iter().filter(|block| !named.contains(&block.number)).map(Arc::clone).collect();
        opened.blocks.replace(Vec::new(), &stray.iter().map(|block| block.number).collect::<Vec<_>>());
        // On a disk that is read-only they stay, which does no harm.
        let _ = opened.blocks.remove(&stray);
        let (days, unread) = (RwLock::new(Arc::new(days)), RwLock::new(unread));
        Ok((Level { width, config, blocks: opened.blocks, days, unread }, damaged))
    }

    pub(crate) fn days(&self) -> Arc<Vec<Days>> {
        Arc::clone(&self.days.read().expect("no panic while held"))
    }

    /// Whether a day need not be made.
    pub(crate) fn has(&self, day: i64) -> bool {
        self.days().iter().any(|days| days.from <= day && day < days.to)
    }

    /// Whether the file `days` says something of days from `from` to before `to`.
    pub(crate) fn says(&self, from: i64, to: i64) -> bool {
        let unread = self.unread.read().expect("no panic while held");
        let mut spans = unread.iter().map(|held| (held.from, held.to));
        let overlaps = |span: (i64, i64)| span.0 < to && from < span.1;
        spans.any(overlaps) || self.days().iter().any(|days| overlaps((days.from, days.to)))
    }

    /// From now on `new` holds its days, alone; days in `out` are not known.
    pub(crate) fn put(&self, new: Option<Days>, out: &[(i64, i64)]) {
        let mut days = self.days.write().expect("no panic while held");
        let mut left = (**days).clone();
        let mut unread = self.unread.write().expect("no panic while held");
        for (from, to) in out.iter().copied().chain(new.iter().map(|new| (new.from, new.to))) {
            left = left.iter().flat_map(|days| cut(days, from, to)).collect();
            *unread = unread.iter().flat_map(|held| held.cut(from, to)).collect();
        }
        left.extend(new);
        left.sort_by_key(|days| days.from);
        *days = Arc::new(left);
    }

    /// Makes what is known survive power loss.
    pub(crate) fn save(&self, disk: &Disk) -> io::Result<()> {
        let mut held = self.unread.read().expect("no panic while held").clone();
        held.extend(self.days().iter().map(|days| Held { number: days.number(), from: days.from, to: days.to }));
        held.sort_by_key(|held| held.from);
        let mut rest = Vec::new();
        put_varint(&mut rest, held.len() as u64);
        for Held { number, from, to } in held {
            put_varint(&mut rest, number);
            put_signed(&mut rest, from);
            put_varint(&mut rest, (to - from) as u64);
        }
        disk.write_atomic(&self.blocks.dir().join("days"), &framed(DAYS_MAGIC, &rest))
    }

    /// A block does not serve any more; the days it held are not known.
    pub(crate) fn drop_block(&self, number: u64) {
        let mut days = self.days.write().expect("no panic while held");
        *days = Arc::new(days.iter().filter(|days| days.number() != number).cloned().collect());
        drop(days);
        self.blocks.replace(Vec::new(), &[number]);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.blocks.serving().iter().map(|block| block.bytes()).sum()
    }

    /// Blocks that hold no day any more.
    pub(crate) fn stray(&self) -> Vec<Arc<Block>> {
        let named: BTreeSet<u64> = self.days().iter().map(Days::number).collect();
        self.blocks.serving().iter().filter(|block| !named.contains(&block.number)).map(Arc::clone).collect()
    }
}

/// What is left of days without those from `from` to before `to`.
fn cut(days: &Days, from: i64, to: i64) -> Vec<Days> {
    let held = Held { number: days.number(), from: days.from, to: days.to };
    held.cut(from, to).map(|Held { from, to, .. }| Days { from, to, ..days.clone() }).collect()
}

impl Held {
    /// What is left without those from `from` to before `to`.
    fn cut(self, from: i64, to: i64) -> impl Iterator<Item = Held> {
        let is_apart = to <= self.from || self.to <= from;
        let before = Held { to: if is_apart { self.to } else { self.to.min(from) }, ..self };
        let after = Held { from: if is_apart { self.to } else { self.from.max(to) }, ..self };
        [before, after].into_iter().filter(|held| held.from < held.to)
    }
}

/// The days, and those of blocks that do not serve.
fn load(disk: &Disk, dir: &Path, blocks: &[Arc<Block>]) -> Option<(Vec<Days>, Vec<Held>)> {
    let bytes = disk.read(&dir.join("days")).ok()?;
    let mut from = unframed(DAYS_MAGIC, &bytes)?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for _ in 0..from.varint()? {
        let (number, first, count) = (from.varint()?, from.signed()?, from.varint()?);
        let to = first.checked_add(i64::try_from(count).ok()?)?;
        let block = blocks.iter().find(|block| block.number == number).cloned();
        if number == 0 || block.is_some() {
            found.push(Days { block, from: first, to });
        } else {
            missing.push(Held { number, from: first, to });
        }
    }
    Some((found, missing))
}

/// Without the file `days`: every block holds the days that it has values of, later ones in place of earlier ones. But for
/// days that can be made again from samples: they may have been taken out because late ones came.
fn adopt(blocks: &[Arc<Block>], samples: &[Arc<Block>], forgotten: i64) -> Vec<Days> {
    let mut found = Vec::<Days>::new();
    let mut blocks = blocks.to_vec();
    blocks.sort_by_key(|block| block.number);
    for block in blocks {
        let (from, to) = (block.meta.first.div_euclid(DAY), block.meta.last.div_euclid(DAY) + 1);
        found = found.iter().flat_map(|days| cut(days, from, to)).collect();
        found.push(Days { block: Some(block), from, to });
    }
    for block in samples {
        let (from, to) = (block.meta.first.div_euclid(DAY), block.meta.last.div_euclid(DAY) + 1);
        let from = from.max(first_whole(forgotten));
        found = found.iter().flat_map(|days| cut(days, from, to.max(from))).collect();
    }
    found.sort_by_key(|days| days.from);
    found
}

/// The first day of which samples are all there, if they are since `forgotten`.
pub(crate) fn first_whole(forgotten: i64) -> i64 {
    forgotten.div_euclid(DAY) + i64::from(forgotten.rem_euclid(DAY) > 0)
}

/// Since when samples are all there; what is older was forgotten, in part or whole.
pub(crate) fn load_forgotten(disk: &Disk, path: &Path) -> i64 {
    let read = || {
        let bytes = disk.read(path).ok()?;
        unframed(FORGOTTEN_MAGIC, &bytes)?.signed()
    };
    read().unwrap_or(i64::MIN)
}

/// Before anything older than that goes.
pub(crate) fn save_forgotten(disk: &Disk, path: &Path, since: i64) -> io::Result<()> {
    let mut rest = Vec::new();
    put_signed(&mut rest, since);
    disk.write_atomic(path, &framed(FORGOTTEN_MAGIC, &rest))
}

fn framed(magic: [u8; 8], rest: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(rest).to_le_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

fn unframed(magic: [u8; 8], bytes: &[u8]) -> Option<Cursor<'_>> {
    let mut from = Cursor(bytes.strip_prefix(&magic)?);
    (from.u32()? == crc32c::crc32c(from.0)).then_some(from)
}
