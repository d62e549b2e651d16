//! A disk that forgets what was not synced, tears what was being written, fills up, fails, lies and goes dark.
//!
//! Names and contents are kept apart, as file systems do: a sync of a file keeps its content, a sync of its folder its
//! name. What was renamed or removed may be back under its old name after power loss until the folder is synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::Rng;

/// Files in memory: what the process sees, and what would survive power loss.
pub struct SimDisk {
    rng: Rng,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    contents: BTreeMap<u64, Content>,
    next: u64,
    /// Names as the process sees them (the kernel's caches).
    seen: BTreeMap<PathBuf, u64>,
    /// Names as of the last sync of their folder.
    kept: BTreeMap<PathBuf, u64>,
    /// Symbolic links, as they point.
    links: BTreeMap<PathBuf, PathBuf>,
    room: Option<usize>,
    available: Option<u64>,
    syncs: Syncs,
    /// How many files were synced.
    synced: u64,
    read_only: bool,
    /// How many more changes are made before the power fails.
    changes_left: Option<u64>,
}

#[derive(Default)]
struct Content {
    seen: Vec<u8>,
    /// As of the last sync.
    kept: Vec<u8>,
    /// What a failed sync dropped: the process still sees it, the platter will never hold it.
    holes: Vec<Range<usize>>,
    /// The disk does not give it.
    unreadable: bool,
}

/// What becomes of syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syncs {
    /// They do what they say.
    #[default]
    Work,
    /// They fail, and what they should have written is dropped: later ones succeed without it, as Linux does it.
    Fail,
    /// They say that all is well and write nothing.
    Lie,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(rng: Rng) -> SimDisk {
        SimDisk { rng, inner: Mutex::default() }
    }

    /// From now on only so many more bytes fit; `None` for no bound.
    pub fn set_room(&self, room: Option<usize>) {
        self.lock().room = room;
    }

    /// From now on it says that so many bytes are left, whatever fits; `None` for more than anybody needs.
    pub fn set_available(&self, available: Option<u64>) {
        self.lock().available = available;
    }

    /// From now on syncs work, fail or lie.
    pub fn set_syncs(&self, syncs: Syncs) {
        self.lock().syncs = syncs;
    }

    /// How often files were synced so far, whatever became of it.
    pub fn syncs(&self) -> u64 {
        self.lock().synced
    }

    /// From now on nothing can be changed, or everything again.
    pub fn set_read_only(&self, read_only: bool) {
        self.lock().read_only = read_only;
    }

    /// From now on a file can be changed but not read, or read again. What is put in its place can be read.
    pub fn set_unreadable(&self, path: &Path, unreadable: bool) {
        if let Ok(content) = self.lock().content(path) {
            content.unreadable = unreadable;
        }
    }

    /// After so many further changes (a write, a sync, a name that comes or goes) all fail, as if the power had gone in
    /// the middle of something; `None` for never. [`SimDisk::lose_power`] brings it back.
    pub fn fail_power_after(&self, changes: Option<u64>) {
        self.lock().changes_left = changes;
    }

    pub(crate) fn available(&self) -> u64 {
        self.lock().available.unwrap_or(u64::MAX)
    }

    /// Power loss: what was not synced is lost, or half there.
    pub fn lose_power(&self) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.changes_left = None;
        inner.seen = inner.kept.clone();
        let named: BTreeSet<u64> = inner.kept.values().copied().collect();
        inner.contents.retain(|number, _| named.contains(number));
        for content in inner.contents.values_mut() {
            // Of an append that was not synced, any prefix may have reached the platter.
            if content.seen.len() > content.kept.len() && content.seen.starts_with(&content.kept) {
                let unsynced = &content.seen[content.kept.len()..];
                let reached = self.rng.below(unsynced.len() as u64 + 1) as usize;
                content.kept.extend_from_slice(&unsynced[..reached]);
            }
            content.fill_holes();
            content.seen.clone_from(&content.kept);
            content.holes.clear();
        }
    }

    /// As [`SimDisk::lose_power`], but what was not synced reached the platter in any order: of it there may be a hole
    /// full of zeros with later bytes behind it.
    pub fn lose_power_in_disorder(&self) {
        for content in self.lock().contents.values_mut() {
            let (kept, seen) = (content.kept.len(), content.seen.len());
            if seen > kept && self.rng.below(2) == 0 {
                let from = kept + self.rng.below((seen - kept) as u64) as usize;
                let to = (from + 1 + self.rng.below(512) as usize).min(seen);
                content.seen[from..to].fill(0);
            }
        }
        self.lose_power();
    }

    /// Flips one bit of a file.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let mut inner = self.lock();
        let Ok(content) = inner.content(path) else { return };
        for bytes in [&mut content.seen, &mut content.kept] {
            if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// All files, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        self.lock().seen.keys().cloned().collect()
    }

    /// Puts a file there, as if it had always been.
    pub fn put(&self, path: &Path, content: &[u8]) {
        let mut inner = self.lock();
        let number = inner.add(path);
        inner.kept.insert(path.to_owned(), number);
        inner.contents.insert(number, Content { seen: content.to_vec(), kept: content.to_vec(), ..Content::default() });
    }

    /// Puts a symbolic link there, as if it had always been. Only reading follows it.
    pub fn link(&self, path: &Path, target: &Path) {
        self.lock().links.insert(path.to_owned(), target.to_owned());
    }

    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut inner = self.lock();
        let path = inner.resolved(path);
        let content = inner.content(&path)?;
        if content.unreadable { Err(failed()) } else { Ok(content.seen.clone()) }
    }

    pub(crate) fn len(&self, path: &Path) -> io::Result<u64> {
        let mut inner = self.lock();
        let path = inner.resolved(path);
        Ok(inner.content(&path)?.seen.len() as u64)
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        let inner = self.lock();
        let path = inner.resolved(path);
        inner.seen.keys().any(|have| have.starts_with(&path))
    }

    pub(crate) fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        let resolved = self.lock().resolved(path);
        if self.exists(&resolved) { Ok(resolved) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    pub(crate) fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.lock().links.get(path).cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    pub(crate) fn list(&self, path: &Path) -> Vec<String> {
        let inner = self.lock();
        let path = &*inner.resolved(path);
        let linked = inner.links.keys().filter(|have| have.parent() == Some(path)).filter_map(|have| have.file_name());
        let linked: Vec<String> = linked.map(|name| name.to_string_lossy().into_owned()).collect();
        let names = inner.seen.keys().filter_map(|have| {
            let first = have.strip_prefix(path).ok()?.components().next()?;
            Some(first.as_os_str().to_string_lossy().into_owned())
        });
        names.chain(linked).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(crate) fn create(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.add(path);
        Ok(())
    }

    pub(crate) fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        let goes_dark = !inner.read_only && inner.changes_left == Some(1);
        inner.change()?;
        let mut fits = match &mut inner.room {
            Some(room) => {
                let fits = bytes.len().min(*room);
                *room -= fits;
                fits
            }
            None => bytes.len(),
        };
        if goes_dark {
            fits = self.rng.below(fits as u64 + 1) as usize;
        }
        inner.content(path)?.seen.extend_from_slice(&bytes[..fits]);
        match fits < bytes.len() {
            true if goes_dark => Err(dark()),
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    pub(crate) fn sync(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.synced += 1;
        let syncs = inner.syncs;
        let content = inner.content(path)?;
        match syncs {
            Syncs::Work => {
                content.kept.clone_from(&content.seen);
                content.fill_holes();
                Ok(())
            }
            Syncs::Lie => Ok(()),
            Syncs::Fail => {
                if content.kept.len() < content.seen.len() {
                    content.holes.push(content.kept.len()..content.seen.len());
                }
                Err(failed())
            }
        }
    }

    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.change()?;
        match inner.syncs {
            Syncs::Work => {}
            Syncs::Lie => return Ok(()),
            Syncs::Fail => return Err(failed()),
        }
        // Names that are gone are gone for good; names that are new survive with what of their content was synced.
        let in_dir = |have: &Path| have.parent() == Some(path);
        inner.kept.retain(|have, _| !in_dir(have) || inner.seen.contains_key(have));
        for (have, number) in inner.seen.iter().filter(|(have, _)| in_dir(have)) {
            inner.kept.insert(have.clone(), *number);
        }
        Ok(())
    }

    pub(crate) fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        if inner.seen.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = *inner.seen.get(from).ok_or(io::ErrorKind::NotFound)?;
        inner.seen.insert(to.to_owned(), number);
        Ok(())
    }

    pub(crate) fn truncate(&self, path: &Path, size: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        let content = inner.content(path)?;
        content.seen.truncate(size as usize);
        content.holes.iter_mut().for_each(|hole| hole.end = hole.end.min(size as usize));
        Ok(())
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.seen.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn remove_under(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.seen.retain(|have, _| !have.starts_with(path));
        Ok(())
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.change()?;
        let moved: Vec<PathBuf> = inner.seen.keys().filter(|have| have.starts_with(from)).cloned().collect();
        if moved.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        for path in moved {
            let rest = path.strip_prefix(from).expect("it starts with it");
            let new = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            let number = inner.seen.remove(&path).expect("it was listed");
            inner.seen.insert(new, number);
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }
}

impl Inner {
    /// Whether the disk takes a change at all.
    fn change(&mut self) -> io::Result<()> {
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        match &mut self.changes_left {
            Some(0) => Err(dark()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A new, empty file in place of whatever had its name.
    fn add(&mut self, path: &Path) -> u64 {
        let number = self.next;
        self.next += 1;
        self.contents.insert(number, Content::default());
        self.seen.insert(path.to_owned(), number);
        number
    }

    /// The path that is meant when links are followed; each at most once, so that they may go in circles.
    fn resolved(&self, path: &Path) -> PathBuf {
        let mut path = path.to_owned();
        for _ in 0..self.links.len() {
            let link = self.links.iter().find_map(|(from, to)| Some((to, path.strip_prefix(from).ok()?)));
            let Some((to, rest)) = link else { break };
            path = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
        }
        path
    }

    fn content(&mut self, path: &Path) -> io::Result<&mut Content> {
        let number = self.seen.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.contents.get_mut(number).expect("every name has a content"))
    }
}

impl Content {
    fn fill_holes(&mut self) {
        for hole in &self.holes {
            let end = hole.end.min(self.kept.len());
            if hole.start < end {
                self.kept[hole.start..end].fill(0);
            }
        }
    }
}

fn dark() -> io::Error {
    io::Error::other("the power is off")
}

fn failed() -> io::Error {
    io::Error::other("the disk failed")
}
