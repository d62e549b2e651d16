//! What a person does with the store: delete, look for damage, set a copy aside.
//!
//! A deletion seals what is in memory or may still be in the log first, so that tombstones beside blocks are all there
//! is to it: a crash leaves it done, undone, or, before it was answered, done for some blocks.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use watchbell_model::{
    Checkup, Cleaned, Deleted, Figures, Import, Labels, Lookup, Matcher, Snapshot, Timestamp, Upkeep, UpkeepError,
};
use watchbell_runtime::Disk;

use super::block::Block;
use super::blocks::display;
use super::both::Both;
use super::chunk::Kind;
use super::facts::FILES;
use super::import::Importing;
use super::matching::matching;
use super::rollups::Days;
use super::walk::Pieces;
use super::{Inner, MetricStore};

/// How many series a deletion names for a person to look at.
const EXAMPLES_MAX: usize = 10;
/// Snapshots lie in this folder beside the blocks, each in one of its own.
const SNAPSHOTS: &str = "snapshots";
/// Folders of files that never change.
const FOLDERS: [&str; 3] = ["blocks", "blocks-5m", "blocks-1h"];
/// How long the name of a snapshot may be, in bytes.
const NAME_MAX: usize = 100;

impl MetricStore {
    /// Deletes the samples from `start` to `end`, both included, of series that pass one of the sets of matchers.
    /// When it answers, no reader finds them, and that survives power loss; the disk is rid of them when their blocks
    /// are merged, or by [`MetricStore::clean`]. `dry_run`: only says what would go.
    ///
    /// Samples that come in while it runs may stay. While there is a file that could not be read at the start nothing is
    /// deleted: it would come back with that.
    pub fn delete(
        &self,
        matchers: &[Vec<Matcher>],
        start: Timestamp,
        end: Timestamp,
        dry_run: bool,
    ) -> Result<Deleted, UpkeepError> {
        if matchers.is_empty() || matchers.iter().any(Vec::is_empty) {
            return Err(UpkeepError::Refused("a deletion says which series by at least one matcher".into()));
        }
        if start > end {
            return Err(UpkeepError::Refused("the deletion's end is before its start".into()));
        }
        let inner = &self.inner;
        if dry_run {
            return inner.count(matchers, start.0, end.0);
        }
        if let Some(unread) = inner.unread() {
            return Err(UpkeepError::Failed(format!(
                "{} could not be read at the start and may hold what is to be deleted; see why the disk does not give it \
                 and start again, or move it away",
                unread.display()
            )));
        }
        // Whoever holds this is the only one who seals.
        let mut upkeep = inner.upkeep.lock().expect("no panic while held");
        let in_memory = |set: &Vec<Matcher>| {
            let found = matching(&*inner.heads.index(), set);
            found.iter().any(|series| inner.heads.overlaps(series, start.0, end.0))
        };
        // What was sealed before may still be in the log, which is replayed once the mark that hides it is lost, or does
        // not reach as far any more, as when the clock was set back.
        let in_log = inner.log.lock().expect("no panic while held").newest().is_some_and(|newest| newest >= start.0);
        if in_log || matchers.iter().any(in_memory) {
            inner.seal_all(&mut upkeep).map_err(failed)?;
        }
        let deleted = inner.count(matchers, start.0, end.0)?;
        inner.bury(matchers, start.0, end.0).map_err(failed)?;
        let lookup = Lookup { matchers, start, end, limit: 0 };
        inner.facts.lock().expect("no panic while held").exemplars.delete(&lookup);
        inner.save_facts().map_err(failed)?;
        // Series of which nothing is left are not to be found by their labels either.
        let log = inner.log.lock().expect("no panic while held");
        for set in matchers {
            let found = matching(&*inner.heads.index(), set);
            found.iter().filter(|series| inner.heads.is_empty(*series)).for_each(|series| inner.heads.remove(series));
        }
        drop(log);
        Ok(deleted)
    }

    /// Takes what was deleted off the disk: blocks are written anew without it.
    pub fn clean(&self) -> Result<Cleaned, UpkeepError> {
        let inner = &self.inner;
        let _tending = inner.tending.lock().expect("no panic while held");
        let mut cleaned = Cleaned::default();
        for block in inner.blocks.serving().iter().filter(|block| !block.gone().is_empty()) {
            let before = block.bytes();
            let after = inner.merge(&[std::sync::Arc::clone(block)], &|| false).map_err(failed)?;
            cleaned.blocks += 1;
            cleaned.bytes_freed += before.saturating_sub(after);
        }
        for level in &inner.levels {
            let cut = |days: &&Days| days.block.as_ref().is_some_and(|block| !block.gone().is_empty());
            while let Some(days) = level.days().iter().find(cut).cloned() {
                let before = level.bytes();
                inner.merge_level(level, &[days], &|| false).map_err(failed)?;
                cleaned.blocks += 1;
                cleaned.bytes_freed += before.saturating_sub(level.bytes());
            }
        }
        Ok(cleaned)
    }

    /// Looks for damage; `deep`: decodes every chunk, otherwise reads only what finds them. What is damaged is told,
    /// not moved: upkeep does that.
    pub fn check(&self, deep: bool) -> Result<Checkup, UpkeepError> {
        let inner = &self.inner;
        let (mut checkup, mut looked_at) = (Checkup::default(), Looked::default());
        let copies = inner.levels.iter().map(|level| level.blocks.serving());
        for block in [inner.blocks.serving()].into_iter().chain(copies).flat_map(|serving| (*serving).clone()) {
            inner.check_block(&block, deep, &mut looked_at, &mut checkup.damaged);
        }
        checkup.looked_at = vec![("blocks".into(), looked_at.blocks), ("series".into(), looked_at.series)];
        if deep {
            checkup.looked_at.extend([("chunks".into(), looked_at.chunks), ("samples".into(), looked_at.samples)]);
        }
        checkup.set_aside = inner.aside.files().map_err(failed)?;
        Ok(checkup)
    }

    /// Puts a copy of everything that was acknowledged into the folder `snapshots/<name>`, from which a store can be
    /// opened. Blocks are shared with it (hard links), the log is copied; it appears whole or not at all.
    pub fn snapshot(&self, name: &str) -> Result<Snapshot, UpkeepError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NAME_MAX || name.starts_with('.') || !name.bytes().all(plain) {
            let words = format!("`{name}` is no name for a snapshot: letters, digits, `-`, `_` and `.` make one");
            return Err(UpkeepError::Refused(words));
        }
        let inner = &self.inner;
        let all = inner.dir().join(SNAPSHOTS);
        let path = all.join(name);
        if inner.runtime.disk.exists(&path) {
            return Err(UpkeepError::Refused(format!("there is a snapshot `{name}` already")));
        }
        let beside = all.join(format!(".{name}.new"));
        let done = inner.copy_to(&beside).and_then(|bytes| {
            inner.runtime.disk.rename(&beside, &path)?;
            for folder in FOLDERS.iter().chain(&["wal"]) {
                inner.runtime.disk.sync_dir(&path.join(folder))?;
            }
            inner.runtime.disk.sync_dir(&path)?;
            inner.runtime.disk.sync_dir(&all)?;
            Ok(bytes)
        });
        if done.is_err() {
            let _ = inner.runtime.disk.remove_dir_all(&beside);
        }
        Ok(Snapshot { name: name.to_owned(), path, bytes: done.map_err(failed)? })
    }
}

impl Upkeep for MetricStore {
    fn figures(&self, top: usize, history: bool) -> Result<Figures, UpkeepError> {
        Ok(self.count(top, history))
    }

    fn check(&self, deep: bool) -> Result<Checkup, UpkeepError> {
        MetricStore::check(self, deep)
    }

    fn delete(
        &self,
        matchers: &[Vec<Matcher>],
        start: Timestamp,
        end: Timestamp,
        dry_run: bool,
    ) -> Result<Deleted, UpkeepError> {
        MetricStore::delete(self, matchers, start, end, dry_run)
    }

    fn clean(&self) -> Result<Cleaned, UpkeepError> {
        MetricStore::clean(self)
    }

    fn snapshot(&self, name: &str) -> Result<Snapshot, UpkeepError> {
        MetricStore::snapshot(self, name)
    }

    fn import(&self) -> Result<Box<dyn Import + '_>, UpkeepError> {
        Ok(Box::new(Importing::new(self)))
    }
}

fn failed(error: io::Error) -> UpkeepError {
    UpkeepError::Failed(error.to_string())
}

/// How much a check has looked at.
#[derive(Default)]
struct Looked {
    blocks: u64,
    series: u64,
    chunks: u64,
    samples: u64,
}

impl Inner {
    pub(crate) fn dir(&self) -> &Path {
        self.mark_path.parent().unwrap_or(Path::new("."))
    }

    /// A file that could not be read at the start: nobody knows what is in it, and it may be read at another start.
    fn unread(&self) -> Option<PathBuf> {
        let block = self.shelves().find_map(|(_, blocks)| blocks.unread().values().next().cloned());
        block.or_else(|| self.log.lock().expect("no panic while held").unread())
    }

    /// What there is of these series in this time.
    fn count(&self, matchers: &[Vec<Matcher>], start: i64, end: i64) -> Result<Deleted, UpkeepError> {
        let (mut deleted, mut seen) = (Deleted::default(), BTreeSet::new());
        for set in matchers {
            let mut visit = |labels: Labels, pieces: Pieces| {
                // A chunk found damaged is left out of the second look.
                let read = || self.read(&pieces, start, end);
                let samples = read().or_else(|_| read()).map_or(0, |samples| samples.len() as u64);
                if samples > 0 && (matchers.len() == 1 || seen.insert(labels.clone())) {
                    deleted.series += 1;
                    deleted.samples += samples;
                    if deleted.examples.len() < EXAMPLES_MAX {
                        deleted.examples.push(labels);
                    }
                }
                Ok(ControlFlow::Continue(()))
            };
            self.walk(set, start, end, &mut visit).map_err(|error| UpkeepError::Failed(error.to_string()))?;
        }
        Ok(deleted)
    }

    /// Writes tombstones; each block is free of the samples as soon as they are on disk.
    fn bury(&self, matchers: &[Vec<Matcher>], start: i64, end: i64) -> io::Result<()> {
        let mut shelf = self.shelf.lock().expect("no panic while held");
        // A block that does not serve and comes back would have no tombstones, and those that are there already, from a
        // deletion that failed, would not survive power loss.
        for (_, blocks) in self.shelves() {
            blocks.sync()?;
        }
        for block in self.blocks.serving().iter() {
            self.bury_in(block, matchers, start, end)?;
        }
        for level in &self.levels {
            // Of windows that go in part the rest is made again, if it can be; until then samples speak for their days.
            let (first, last) = (start.div_euclid(level.width), end.div_euclid(level.width));
            let windows = (first.saturating_mul(level.width), (last + 1).saturating_mul(level.width).saturating_sub(1));
            for days in level.days().iter() {
                if let Some(block) = days.block.as_ref().filter(|block| block.overlaps(windows.0, windows.1)) {
                    self.bury_in(block, matchers, windows.0, windows.1)?;
                }
            }
            for (edge, is_cut) in [(start, windows.0 < start), (end, end < windows.1)] {
                if is_cut {
                    self.changed(&mut shelf, edge, edge);
                }
            }
        }
        // What is being made of samples right now has those that go.
        shelf.changed.push((start, end));
        self.save_days(&mut shelf, false)
    }

    fn bury_in(&self, block: &Block, matchers: &[Vec<Matcher>], start: i64, end: i64) -> io::Result<()> {
        if !block.overlaps(start, end) {
            return Ok(());
        }
        let mut gone = (*block.gone()).clone();
        for series in matchers.iter().flat_map(|set| matching(&block.index, set)) {
            if !block.chunks(series, start, end).is_empty() {
                gone.add(series, start.max(block.meta.first), end.min(block.meta.last));
            }
        }
        if block.index.is_damaged() {
            // It no longer serves by the time somebody asks for the deletion again.
            return Err(io::Error::other(format!(
                "the index of {} is damaged; ask again without it",
                display(&block.path)
            )));
        }
        if gone != *block.gone() {
            gone.save(&self.runtime.disk, &block.path)?;
            block.set_gone(gone);
        }
        Ok(())
    }

    fn check_block(&self, block: &Block, deep: bool, looked_at: &mut Looked, damaged: &mut Vec<String>) {
        looked_at.blocks += 1;
        looked_at.series += block.meta.series;
        let name = display(&block.path);
        match Block::open(&self.runtime.disk, &block.path, block.number) {
            Ok(Ok(read)) if read.index.verify() => {}
            Ok(Ok(_)) => return damaged.push(format!("the block {name}: a page of its index is damaged")),
            Ok(Err(words)) => return damaged.push(format!("the block {name}: {words}")),
            Err(error) => return damaged.push(format!("the block {name} cannot be read: {error}")),
        }
        if !deep {
            return;
        }
        let (mut bad, mut samples) = (0, Both::default());
        for series in 0..block.meta.series as u32 {
            for chunk in block.chunks(series, i64::MIN, i64::MAX) {
                samples.clear();
                looked_at.chunks += 1;
                let read = match chunk.kind {
                    Kind::Rows => block.read_rows(chunk).map(|_| ()),
                    _ => block.verify(chunk, &mut samples),
                };
                match read {
                    Ok(()) => looked_at.samples += samples.len() as u64,
                    Err(_) => bad += 1,
                }
            }
        }
        if bad > 0 {
            damaged.push(format!("the block {name}: {bad} chunks cannot be read; their samples are lost"));
        }
    }

    /// Copies everything into a folder; answers how many bytes are in it.
    fn copy_to(&self, to: &Path) -> io::Result<u64> {
        self.leave_room()?;
        let disk = &self.runtime.disk;
        if disk.exists(to) {
            disk.remove_dir_all(to)?;
        }
        // Nobody merges or forgets, and nobody seals: what serves stays, and what is in the log stays there.
        let _tending = self.tending.lock().expect("no panic while held");
        let _upkeep = self.upkeep.lock().expect("no panic while held");
        let mut log = self.log.lock().expect("no panic while held");
        log.write()?;
        drop(log);
        let mut bytes = 0;
        for folder in FOLDERS {
            bytes += link_all(disk, &self.dir().join(folder), &to.join(folder))?;
        }
        bytes += copy_all(disk, &self.dir().join("wal"), &to.join("wal"))?;
        for file in ["sealed", "forgotten"].into_iter().chain(FILES) {
            bytes += copy(disk, &self.dir().join(file), &to.join(file))?;
        }
        disk.sync_dir(to)?;
        Ok(bytes)
    }
}

/// Gives each file of a folder, none of which ever changes, a second name. What is replaced whole is shared as well.
fn link_all(disk: &Disk, from: &Path, to: &Path) -> io::Result<u64> {
    disk.create_dir_all(to)?;
    let mut bytes = 0;
    for name in disk.list(from)?.into_iter().filter(|name| !name.ends_with(".new")) {
        disk.hard_link(&from.join(&name), &to.join(&name))?;
        bytes += disk.len(&from.join(&name))?;
    }
    disk.sync_dir(to)?;
    Ok(bytes)
}

/// Segments are copied: the last one still grows.
fn copy_all(disk: &Disk, from: &Path, to: &Path) -> io::Result<u64> {
    disk.create_dir_all(to)?;
    disk.list(from)?.iter().map(|name| copy(disk, &from.join(name), &to.join(name))).sum()
}

fn copy(disk: &Disk, from: &Path, to: &Path) -> io::Result<u64> {
    match disk.read(from) {
        Ok(content) => {
            disk.write_atomic(to, &content)?;
            Ok(content.len() as u64)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
