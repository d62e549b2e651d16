//! A disk that forgets what was not synced, tears what was being written, and fills up.

use std::collections::BTreeMap;
use std::io;
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
    /// What the process sees (the kernel's page cache).
    seen: BTreeMap<PathBuf, Vec<u8>>,
    /// What is on the platter: content as of the last sync, names as of the folder's last sync.
    kept: BTreeMap<PathBuf, Vec<u8>>,
    /// New names of files that are on the platter under another one: what they will hold once their folder is synced.
    linked: BTreeMap<PathBuf, Vec<u8>>,
    room: Option<usize>,
    available: Option<u64>,
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

    pub(crate) fn available(&self) -> u64 {
        self.lock().available.unwrap_or(u64::MAX)
    }

    /// Power loss: what was not synced is lost, or half there.
    pub fn lose_power(&self) {
        let mut inner = self.lock();
        let mut after = inner.kept.clone();
        for (path, kept) in &mut after {
            // Of an append that was not synced, any prefix may have reached the platter.
            if let Some(seen) = inner.seen.get(path)
                && seen.len() > kept.len()
                && seen.starts_with(kept)
            {
                let extra = self.rng.below((seen.len() - kept.len()) as u64 + 1) as usize;
                let from = kept.len();
                kept.extend_from_slice(&seen[from..from + extra]);
            }
        }
        inner.seen = after.clone();
        inner.kept = after;
        inner.linked.clear();
    }

    /// Flips one bit of a file.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        for files in [&mut inner.seen, &mut inner.kept] {
            if let Some(byte) = files.get_mut(path).and_then(|content| content.get_mut((bit / 8) as usize)) {
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
        inner.seen.insert(path.to_owned(), content.to_vec());
        inner.kept.insert(path.to_owned(), content.to_vec());
    }

    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.lock().seen.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.lock().seen.keys().any(|have| have.starts_with(path))
    }

    pub(crate) fn list(&self, path: &Path) -> Vec<String> {
        let inner = self.lock();
        let names = inner.seen.keys().filter_map(|have| {
            let first = have.strip_prefix(path).ok()?.components().next()?;
            Some(first.as_os_str().to_string_lossy().into_owned())
        });
        names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    pub(crate) fn create(&self, path: &Path) -> io::Result<()> {
        self.lock().seen.insert(path.to_owned(), Vec::new());
        Ok(())
    }

    pub(crate) fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        let fits = match &mut inner.room {
            Some(room) => {
                let fits = bytes.len().min(*room);
                *room -= fits;
                fits
            }
            None => bytes.len(),
        };
        let file = inner.seen.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        file.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(crate) fn sync(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        let content = inner.seen.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        inner.kept.insert(path.to_owned(), content);
        Ok(())
    }

    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        // Names that are gone are gone for good; names that are new survive with what of them was synced.
        let in_dir = |have: &Path| have.parent() == Some(path);
        inner.kept.retain(|have, _| !in_dir(have) || inner.seen.contains_key(have));
        for have in inner.seen.keys().filter(|have| in_dir(have)) {
            let linked = inner.linked.remove(have);
            inner.kept.entry(have.clone()).or_insert_with(|| linked.unwrap_or_default());
        }
        Ok(())
    }

    pub(crate) fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        if inner.seen.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = inner.seen.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        inner.seen.insert(to.to_owned(), content);
        if let Some(kept) = inner.kept.get(from) {
            inner.linked.insert(to.to_owned(), kept.clone());
        }
        Ok(())
    }

    pub(crate) fn truncate(&self, path: &Path, size: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.seen.get_mut(path).ok_or(io::ErrorKind::NotFound)?.truncate(size as usize);
        Ok(())
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.lock().seen.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn remove_under(&self, path: &Path) {
        self.lock().seen.retain(|have, _| !have.starts_with(path));
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let moved: Vec<PathBuf> = inner.seen.keys().filter(|have| have.starts_with(from)).cloned().collect();
        if moved.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        for path in moved {
            let rest = path.strip_prefix(from).expect("it starts with it");
            let new = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            // A rename is atomic and carries the synced content with the name.
            let content = inner.seen.remove(&path).expect("it was listed");
            inner.seen.insert(new.clone(), content);
            if let Some(linked) = inner.linked.remove(&path) {
                inner.linked.insert(new.clone(), linked);
            }
            if let Some(kept) = inner.kept.remove(&path) {
                inner.kept.insert(new, kept);
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }
}
