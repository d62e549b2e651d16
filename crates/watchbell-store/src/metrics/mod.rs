//! The embedded engine for series.
//!
//! Samples go into the [`head`] in memory and, before they are acknowledged, into the log ([`wal`]); every two hours of
//! data become an immutable block. Reading merges the two.
//!
//! Invariants: what was acknowledged survives the end of the process, however it ends; a part that is damaged is set
//! aside and named, the rest goes on; a full disk costs nothing but durability: what cannot be logged is still in
//! memory, so alarms go on being judged, and is logged first when the disk takes it.

mod append;
mod aside;
mod bits;
mod block;
mod block_entries;
mod block_index;
mod block_writer;
mod blocks;
mod both;
mod by_hand;
pub(crate) mod bytes;
mod cardinality;
mod chunk;
mod columns;
mod config;
mod exemplars;
mod facts;
mod figures;
mod filling;
pub(crate) mod frames;
mod gorilla;
mod head;
mod head_order;
mod histogram_chunk;
mod histogram_layout;
mod histogram_open;
#[cfg(test)]
mod histogram_tests;
mod import;
mod index;
mod lookup;
mod maintain;
mod matching;
mod merge;
pub(crate) mod metadata;
mod rare;
mod record;
mod record_rare;
mod replay;
mod retention;
mod rollup;
mod rollup_chunk;
mod rollup_make;
mod rollup_read;
mod rollups;
mod scrub;
mod seal;
mod select;
mod series;
mod side_file;
mod sources;
mod starts;
mod take;
mod tend;
mod tombstones;
mod values;
mod wal;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use watchbell_model::{Severity, Timestamp};
use watchbell_runtime::{Disk, Runtime};

use crate::OpenError;
use append::{Counters, Queue};
use aside::Aside;
use blocks::Blocks;
use facts::Facts;
use filling::Filling;
use head::Heads;
use maintain::Upkeep;
use rollups::Level;
use seal::Mark;
use tend::{Shelf, Tending, Work};
use wal::Wal;

pub use append::{BATCHES_WAITING_MAX, BYTES_WAITING_MAX};
pub use config::{Fsync, MetricsConfig, RollupConfig, RollupsConfig};
pub use select::SELECT_SAMPLES_MAX;

/// Series and their samples, open. Cheap to clone.
#[derive(Clone)]
pub struct MetricStore {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    config: MetricsConfig,
    heads: Heads,
    log: Mutex<Wal>,
    blocks: Blocks,
    mark_path: PathBuf,
    /// What was damaged lies there.
    aside: Aside,
    /// Coarser copies, the finest first.
    levels: Vec<Level>,
    /// Samples are all there since then.
    forgotten: AtomicI64,
    upkeep: Mutex<Upkeep>,
    /// Told when there is too much in memory.
    crowded: Notify,
    tending: Mutex<Tending>,
    shelf: Mutex<Shelf>,
    /// Held by the import that compares and writes.
    importing: Mutex<()>,
    work: Work,
    queue: Mutex<Queue>,
    counters: Counters,
    facts: Mutex<Facts>,
}

/// What was found when the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// What was damaged and set aside, in words. Whoever opened the store should raise a trouble.
    pub damaged: Vec<String>,
    /// Samples read from the log.
    pub replayed_samples: u64,
    /// Samples in the log whose series was named in a damaged part: lost.
    pub nameless_samples: u64,
    /// Bytes of a write that was under way when the process or the machine died: never acknowledged.
    pub torn_bytes: u64,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Active series.
    pub series: u64,
    /// Samples in memory.
    pub head_samples: u64,
    /// Bytes of samples in memory.
    pub head_bytes: u64,
    /// Blocks on disk.
    pub blocks: u64,
    /// Samples in blocks; one that is in two blocks until they are merged counts twice.
    pub block_samples: u64,
    /// Bytes of blocks, their indexes included.
    pub block_bytes: u64,
    /// Bytes of the log on disk.
    pub wal_bytes: u64,
    /// Blocks of coarser copies.
    pub rollup_blocks: u64,
    /// Bytes of these, their indexes included.
    pub rollup_bytes: u64,
}

impl MetricStore {
    /// Opens the store in a folder, made if need be, and replays its log.
    pub fn open(runtime: &Runtime, dir: &Path, config: MetricsConfig) -> Result<(MetricStore, OpenReport), OpenError> {
        let disk = &runtime.disk;
        disk.create_dir_all(dir).map_err(OpenError::io("make", dir))?;
        let (wal_dir, blocks_dir) = (dir.join("wal"), dir.join("blocks"));
        let aside = Aside::new(runtime, dir.join("damaged"));
        let opened =
            Blocks::open(disk, &blocks_dir, &aside).map_err(OpenError::io("read the blocks in", &blocks_dir))?;
        for damage in &opened.damaged {
            let key = format!("metrics/damaged/{}", damage.name);
            runtime.troubles.set(&key, Severity::Warning, damage.words.clone());
        }
        // What was said is not to be said again at the next start: it is on the board for as long as its note is there.
        let mut is_listed = opened.new.is_empty() && opened.damaged.is_empty();
        let mut damaged: Vec<String> = opened.damaged.into_iter().map(|damage| damage.words).collect();
        let mark_path = dir.join("sealed");
        let mut sealed = Mark::load(disk, &mark_path).map_err(OpenError::io("replace the mark", &mark_path))?;
        let heads = Heads::default();
        if let Some(mark) = sealed.filter(|_| !damaged.is_empty()) {
            // The log may still hold what was in the damaged block; at later starts too, when that one is set aside.
            match mark.voided(disk, &mark_path) {
                Ok(voided) => sealed = Some(voided),
                // The next start must find out again.
                Err(_) => is_listed = opened.new.is_empty(),
            }
        }
        let (mut facts, told) = Facts::load(disk, dir, &aside, config.exemplars_limit)
            .map_err(OpenError::io("read exemplars and metadata in", dir))?;
        damaged.extend(told);
        let mut filling = Filling::new(&heads, &mut facts, sealed, matches!(disk, Disk::Os));
        let found =
            replay::replay(disk, &wal_dir, &aside, &mut filling).map_err(OpenError::io("read the log in", &wal_dir))?;
        damaged.extend(found.damaged);
        let (mut levels, mut is_saved) = (Vec::new(), true);
        let forgotten = rollups::load_forgotten(disk, &dir.join("forgotten"));
        let widths = [(("5m", 300_000), &config.rollups.five_minutes), (("1h", 3_600_000), &config.rollups.hour)];
        let samples = opened.blocks.serving();
        for (name, rollup) in widths {
            let (level, found) = Level::open(disk, dir, &aside, name, rollup.clone(), &samples, forgotten)
                .map_err(OpenError::io("read the coarser copies in", dir))?;
            is_saved &= found.is_empty();
            for damage in found {
                let key = format!("metrics/damaged/{}", damage.name);
                runtime.troubles.set(&key, Severity::Warning, damage.words.clone());
                damaged.push(damage.words);
            }
            levels.push(level);
        }
        let report = OpenReport {
            damaged,
            replayed_samples: found.samples,
            nameless_samples: found.nameless,
            torn_bytes: found.torn,
        };
        let log = Wal::begin(disk.clone(), &wal_dir, found.segments, sealed.map_or(0, |mark| mark.segment))
            .map_err(OpenError::io("begin a log in", &wal_dir))?;
        let inner = Inner {
            runtime: runtime.clone(),
            config,
            heads,
            log: Mutex::new(log),
            blocks: opened.blocks,
            mark_path,
            aside,
            levels,
            forgotten: AtomicI64::new(forgotten),
            crowded: Notify::new(),
            upkeep: Mutex::new(Upkeep::new(sealed)),
            tending: Mutex::new(Tending::new(runtime)),
            shelf: Mutex::default(),
            importing: Mutex::default(),
            work: Work::new(&runtime.metrics),
            queue: Mutex::default(),
            counters: Counters::new(&runtime.metrics),
            facts: Mutex::new(facts),
        };
        let mut shelf = inner.shelf.lock().expect("no panic while held");
        for (first, last) in &opened.new {
            inner.changed(&mut shelf, *first, *last);
        }
        shelf.unsaved |= !is_saved;
        inner.save_list(&mut shelf, !is_listed);
        drop(shelf);
        // What cannot be told now is told with the first round.
        let _ = inner.tending.lock().expect("no panic while held").scrubbing.tell(&inner);
        Ok((MetricStore { inner: Arc::new(inner) }, report))
    }

    /// Makes all that was acknowledged survive power loss and refuses further batches. Queries go on.
    pub fn close(&self) {
        self.inner.queue.lock().expect("no panic while held").closed = true;
        let mut log = self.inner.log.lock().expect("no panic while held");
        // A failure is on the board of troubles; there is nothing else to be done about it here.
        let _ = self.inner.write(&mut log).map(|()| log.sync());
    }

    /// The oldest sample in blocks: there are none before it. `None` without blocks.
    pub(crate) fn oldest_block(&self) -> Option<Timestamp> {
        self.inner.blocks.serving().iter().map(|block| block.meta.first).min().map(Timestamp)
    }

    /// How much there is.
    pub fn stats(&self) -> Stats {
        let inner = &self.inner;
        let blocks = inner.blocks.serving();
        Stats {
            series: inner.heads.series(),
            head_samples: inner.heads.samples(),
            head_bytes: inner.heads.bytes(),
            blocks: blocks.len() as u64,
            block_samples: blocks.iter().map(|block| block.meta.samples).sum(),
            block_bytes: blocks.iter().map(|block| block.bytes()).sum(),
            wal_bytes: inner.log.lock().expect("no panic while held").bytes(),
            rollup_blocks: inner.levels.iter().map(|level| level.blocks.serving().len() as u64).sum(),
            rollup_bytes: inner.levels.iter().map(Level::bytes).sum(),
        }
    }
}
