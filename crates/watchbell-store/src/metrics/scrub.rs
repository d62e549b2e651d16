//! Looking after blocks that nobody asks for: every file is looked for in each round, and read through slowly, so that
//! rot is found while there is a backup to turn to, and not by the query of the year after.
//!
//! What is found is named and counted; a block with a damaged chunk is written anew without it, one whose index is
//! damaged or that was cut short no longer serves, one that vanished is written anew from what is still mapped. Where
//! reading was is forgotten by a restart: the next block is one that was not read since, by chance, so that a process
//! which never lives long reads all of them in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use watchbell_model::Severity;
use watchbell_runtime::Runtime;
use watchbell_runtime::metrics::Counter;

use super::Inner;
use super::block::Block;
use super::block_index::PAGE;
use super::blocks::{Blocks, display};
use super::rollups::{Days, Level};
use super::tombstones::Gone;

/// Bytes read in a second, unless there is so much that [`ONCE_IN`] asks for more.
const RATE_MIN: u64 = 256 << 10;
/// After a start all blocks are read in about this time.
const ONCE_IN: Duration = Duration::from_secs(2 * 86_400);
/// When a block that was read is read again: with [`ONCE_IN`] that is once a week.
const AGAIN_AFTER: Duration = Duration::from_secs(5 * 86_400);
/// Time in which nothing was read, because of other work, is made up for up to this.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// Which copy, samples being the first, and the number of the block.
type Id = (usize, u64);

/// What reading through remembers.
pub(crate) struct Scrubbing {
    /// When blocks were read to their end, by our own count.
    read: BTreeMap<Id, Duration>,
    at: Option<Place>,
    last: Duration,
    /// What lies aside and is on the board.
    told: BTreeSet<String>,
    bytes: Counter,
}

/// Where reading goes on.
struct Place {
    id: Id,
    page: usize,
    series: u32,
}

impl Scrubbing {
    pub(crate) fn new(runtime: &Runtime) -> Scrubbing {
        let help = "Bytes of blocks that were read through to see whether they are whole.";
        Scrubbing {
            read: BTreeMap::new(),
            at: None,
            last: runtime.clock.monotonic(),
            told: BTreeSet::new(),
            bytes: runtime.metrics.counter("watchbell_metrics_scrub_read_bytes_total", help, &[]),
        }
    }

    /// Puts what was set aside on the board; a folder that cannot be read is tried again with the next round.
    pub(crate) fn tell(&mut self, inner: &Inner) -> io::Result<()> {
        inner.aside.tell(&inner.runtime.troubles, &mut self.told)
    }
}

impl Inner {
    /// One round of all this.
    pub(crate) fn scrub(&self, scrubbing: &mut Scrubbing, stop: &dyn Fn() -> bool) -> io::Result<()> {
        self.look_for_files(stop)?;
        self.read_through(scrubbing, stop)?;
        for (_, blocks) in self.shelves() {
            for block in blocks.serving().iter().filter(|block| block.is_damaged()) {
                self.write_anew(block, true, stop)?;
            }
        }
        scrubbing.tell(self)
    }

    /// Blocks of samples, then those of each copy.
    pub(crate) fn shelves(&self) -> impl Iterator<Item = (usize, &Blocks)> {
        [&self.blocks].into_iter().chain(self.levels.iter().map(|level| &level.blocks)).enumerate()
    }

    fn look_for_files(&self, stop: &dyn Fn() -> bool) -> io::Result<()> {
        for (_, blocks) in self.shelves() {
            for block in blocks.serving().iter() {
                let (name, has) = (display(&block.path), block.bytes());
                match self.runtime.disk.len(&block.path) {
                    Ok(len) if len == has => {}
                    // What is mapped behind the new end is not there any more, and must not be touched.
                    Ok(len) if len < has => {
                        block.give_up(format!(
                            "the block {name} was cut from {has} to {len} bytes; its samples are lost"
                        ));
                        self.lost(block)?;
                    }
                    Ok(_) => {
                        block.give_up(format!("somebody wrote into the block {name}; its samples were written anew"));
                        self.say_damaged(block);
                        self.write_anew(block, false, stop)?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        // Unless a query found it damaged just now.
                        if blocks.serving().iter().any(|serving| Arc::ptr_eq(serving, block)) {
                            block.give_up(format!("somebody removed the block {name}; its samples were written anew"));
                            self.say_damaged(block);
                            self.write_anew(block, false, stop)?;
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Puts a block with what is whole of this one in its place. `lossy`: something of it is not.
    fn write_anew(&self, block: &Arc<Block>, lossy: bool, stop: &dyn Fn() -> bool) -> io::Result<()> {
        let written = match self.level_of(block) {
            None => self.merge(&[Arc::clone(block)], stop).map(|_| ()),
            Some(level) => {
                if lossy {
                    self.remake(level, block);
                }
                let holds = |days: &&Days| days.block.as_ref().is_some_and(|held| Arc::ptr_eq(held, block));
                let held: Vec<Days> = level.days().iter().filter(holds).cloned().collect();
                if held.is_empty() {
                    let mut shelf = self.shelf.lock().expect("no panic while held");
                    self.save_days(&mut shelf, false).and_then(|()| self.remove_stray(level))
                } else {
                    self.merge_level(level, &held, stop)
                }
            }
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            written => written,
        }
    }

    /// The copy that a block is of; none, if it is of samples.
    pub(crate) fn level_of(&self, block: &Block) -> Option<&Level> {
        self.levels.iter().find(|level| block.path.parent() == Some(level.blocks.dir()))
    }

    /// A block cannot be relied on any more: says so on the board.
    pub(crate) fn say_damaged(&self, block: &Block) {
        self.counters.damaged_blocks.inc();
        let name = display(&block.path);
        let words = block.damage().unwrap_or_else(|| format!("the block {name} is damaged; its samples are lost"));
        self.runtime.troubles.set(&format!("metrics/damaged/{name}"), Severity::Warning, words);
    }

    /// Reads as much as is due now.
    fn read_through(&self, scrubbing: &mut Scrubbing, stop: &dyn Fn() -> bool) -> io::Result<()> {
        let now = self.runtime.clock.monotonic();
        let passed = now.saturating_sub(scrubbing.last).min(CATCH_UP_MAX);
        scrubbing.last = now;
        let serving: BTreeMap<Id, Arc<Block>> = self
            .shelves()
            .flat_map(|(at, blocks)| {
                (*blocks.serving()).clone().into_iter().map(move |block| ((at, block.number), block))
            })
            .collect();
        scrubbing.read.retain(|id, _| serving.contains_key(id));
        let all: u64 = serving.values().map(|block| block.bytes()).sum();
        let rate = RATE_MIN.max(all / ONCE_IN.as_secs());
        let mut left = rate.saturating_mul(passed.as_millis() as u64) / 1000;
        while left > 0 && !stop() {
            let place = scrubbing.at.take().filter(|place| serving.contains_key(&place.id));
            let Some(mut place) = place.or_else(|| self.next_place(scrubbing, &serving, now)) else { break };
            let before = left;
            let is_read = self.read_on(&serving[&place.id], &mut place, &mut left)?;
            scrubbing.bytes.add(before - left);
            if is_read {
                scrubbing.read.insert(place.id, now);
            } else {
                scrubbing.at = Some(place);
            }
        }
        Ok(())
    }

    /// One that was not read since the start, by chance; or the one that was read longest ago, if that is long.
    fn next_place(&self, scrubbing: &Scrubbing, serving: &BTreeMap<Id, Arc<Block>>, now: Duration) -> Option<Place> {
        let unread: Vec<Id> = serving.keys().filter(|id| !scrubbing.read.contains_key(id)).copied().collect();
        let oldest = scrubbing.read.iter().min_by_key(|(_, read)| **read);
        let due = || oldest.filter(|(_, read)| now.saturating_sub(**read) >= AGAIN_AFTER).map(|(id, _)| *id);
        let by_chance = self.runtime.rng.below(unread.len() as u64) as usize;
        let id = unread.get(by_chance).copied().or_else(due)?;
        Some(Place { id, page: 0, series: 0 })
    }

    /// Reads on in a block, as it is on disk now, for about as many bytes as are left; whether it is through.
    fn read_on(&self, block: &Block, place: &mut Place, left: &mut u64) -> io::Result<bool> {
        // Mapped anew each time, so that what was read does not stay in memory.
        let found = match Block::open(&self.runtime.disk, &block.path, block.number) {
            Ok(Ok(found)) => found,
            Ok(Err(words)) => {
                let name = display(&block.path);
                block.give_up(format!("the block {name} is damaged ({words}); its samples are lost"));
                return self.lost(block).map(|()| true);
            }
            // It has gone since it was looked for.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        };
        if place.page == 0 {
            // What was deleted is known better than its file may be.
            let _shelf = self.shelf.lock().expect("no panic while held");
            let (gone, saved) = (block.gone(), Gone::load(&self.runtime.disk, &block.path));
            if !gone.is_empty() && !saved.is_ok_and(|saved| saved.is_some_and(|saved| !saved.is_empty())) {
                gone.save(&self.runtime.disk, &block.path)?;
            }
        }
        while place.page < found.index.pages() && *left > 0 {
            found.index.is_whole(place.page);
            place.page += 1;
            *left = left.saturating_sub(PAGE as u64);
        }
        while place.page >= found.index.pages() && u64::from(place.series) < found.meta.series && *left > 0 {
            for chunk in found.chunks(place.series, i64::MIN, i64::MAX) {
                if found.copy(chunk).is_none() && block.distrust(chunk) {
                    self.found_damaged(block);
                }
                *left = left.saturating_sub(chunk.len as u64);
            }
            place.series += 1;
        }
        if found.index.is_damaged() {
            let name = display(&block.path);
            block.give_up(format!("the index of the block {name} is damaged; its samples are lost, the rest serves"));
            return self.lost(block).map(|()| true);
        }
        Ok(place.page >= found.index.pages() && u64::from(place.series) >= found.meta.series)
    }
}
