//! The blocks of a folder: which there are, which serve, and how one set takes the place of another.
//!
//! The file `list` beside them names those that serve, so that one that vanished is missed, and one that was put in
//! place by a process that died before it served is known as new. Layout: `docs/formats/metrics.md`.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use watchbell_runtime::Disk;

use super::aside::Aside;
use super::block::Block;
use super::block_writer::BlockWriter;
use super::bytes::{Cursor, put_varint};
use super::tombstones::Gone;

/// Blocks in the order of writing.
pub(crate) type Serving = Arc<Vec<Arc<Block>>>;

const LIST_MAGIC: [u8; 8] = *b"WBLIST\0\x01";

pub(crate) struct Blocks {
    disk: Disk,
    dir: PathBuf,
    aside: Aside,
    serving: RwLock<Serving>,
    next: Mutex<u64>,
    /// Files that are to go and may still be there, or come back when the power fails; with what is wrong with those
    /// that are to be set aside.
    leftovers: Mutex<BTreeMap<PathBuf, Option<String>>>,
    /// Blocks that could not be read when the folder was opened: they do not serve now, and may later.
    unread: BTreeMap<u64, PathBuf>,
}

/// What was found to be damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Of the file.
    pub(crate) name: String,
    /// What happened and what became of it.
    pub(crate) words: String,
}

/// What opening a folder came to.
pub(crate) struct Opened {
    pub(crate) blocks: Blocks,
    pub(crate) damaged: Vec<Damage>,
    /// The spans of blocks that never served: written by a process that died then.
    pub(crate) new: Vec<(i64, i64)>,
}

impl Blocks {
    /// Opens all blocks of a folder; damaged ones are set aside.
    pub(crate) fn open(disk: &Disk, dir: &Path, aside: &Aside) -> io::Result<Opened> {
        disk.create_dir_all(dir)?;
        let (mut blocks, mut told, mut unread, mut next) = (Vec::new(), Vec::new(), BTreeMap::new(), 1);
        let listed = load_list(disk, dir);
        let mut missing = listed.clone().unwrap_or_default();
        for name in disk.list(dir)? {
            let path = dir.join(&name);
            if name.ends_with(".new") {
                // On a disk that is read-only it stays, which does no harm.
                let _ = disk.remove(&path);
                continue;
            }
            let Some(number) = name.strip_suffix(".block").and_then(|name| name.parse::<u64>().ok()) else { continue };
            next = next.max(number + 1);
            missing.remove(&number);
            let name = display(&path);
            let mut tell = |words: String| told.push(Damage { name: name.clone(), words });
            match Block::open(disk, &path, number) {
                Ok(Ok(block)) => match Gone::load(disk, &path) {
                    Ok(Some(gone)) => {
                        if !gone.is_empty() {
                            block.set_gone(gone);
                        }
                        blocks.push(block);
                    }
                    Ok(None) => {
                        tell(format!("what was deleted of the block {name} is forgotten: its file is damaged"));
                        blocks.push(block);
                    }
                    Err(error) => {
                        tell(format!("the block {name} does not serve: what was deleted of it: {error}"));
                        unread.insert(number, path);
                    }
                },
                Ok(Err(damage)) => {
                    let words = format!("the block {name} is damaged ({damage})");
                    tell(match aside.take(&path, &name, &words) {
                        Ok(aside) => format!("{words} and lies in {}", aside.display()),
                        Err(error) => format!("{words} and cannot be moved: {error}"),
                    });
                }
                Err(error) => {
                    tell(format!("the block {name} cannot be read and does not serve: {error}"));
                    unread.insert(number, path);
                }
            }
        }
        let replaced: BTreeSet<u64> = blocks.iter().flat_map(|block| block.meta.replaces.iter().copied()).collect();
        let leftovers = blocks.extract_if(.., |block| replaced.contains(&block.number)).map(|block| (block.path, None));
        let leftovers: BTreeMap<PathBuf, Option<String>> = leftovers.collect();
        for number in missing.difference(&replaced) {
            let name = display(&dir.join(file_name(*number)));
            let words = format!("the block {name} is not there any more; nobody of us removed it");
            // So that it is told at later starts too, which do not miss it any more. A disk that takes no note must not
            // keep the rest from serving.
            let _ = aside.note_vanished(&name, &words);
            told.push(Damage { name, words });
        }
        let is_new = |block: &&Block| listed.as_ref().is_some_and(|listed| !listed.contains(&block.number));
        let new = blocks.iter().filter(is_new).map(|block| (block.meta.first, block.meta.last)).collect();
        let mut blocks: Vec<_> = blocks.into_iter().map(Arc::new).collect();
        sort(&mut blocks);
        let serving = RwLock::new(Arc::new(blocks));
        let next = Mutex::new(next.max(listed.and_then(|listed| listed.last().copied()).unwrap_or(0) + 1));
        let leftovers = Mutex::new(leftovers);
        let (disk, dir, aside) = (disk.clone(), dir.to_owned(), aside.clone());
        let blocks = Blocks { disk, dir, aside, serving, next, leftovers, unread };
        // On a disk that is read-only they stay, which does no harm.
        let _ = blocks.remove_leftovers();
        blocks.remove_stray_tombstones()?;
        Ok(Opened { blocks, damaged: told, new })
    }

    /// Those of blocks that are gone themselves, and what would be taken for those of a block to come.
    fn remove_stray_tombstones(&self) -> io::Result<()> {
        for name in self.disk.list(&self.dir)? {
            let path = self.dir.join(&name);
            if name.ends_with(".gone") && !self.disk.exists(&path.with_extension("block")) {
                let _ = self.disk.remove(&path);
            }
        }
        Ok(())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn serving(&self) -> Serving {
        Arc::clone(&self.serving.read().expect("no panic while held"))
    }

    /// Blocks by their numbers that could not be read when the folder was opened.
    pub(crate) fn unread(&self) -> &BTreeMap<u64, PathBuf> {
        &self.unread
    }

    /// A number and place for a new block.
    pub(crate) fn reserve(&self) -> (u64, PathBuf) {
        let mut next = self.next.lock().expect("no panic while held");
        let number = *next;
        *next += 1;
        (number, self.dir.join(file_name(number)))
    }

    /// Puts a block that is complete in place; it does not serve yet. One that fails is a leftover: at the next
    /// start it would serve, with what may have been deleted since.
    pub(crate) fn place(&self, writer: BlockWriter, number: u64, path: &Path) -> io::Result<Block> {
        let opened = writer.place().and_then(|()| Block::open(&self.disk, path, number)?.map_err(io::Error::other));
        if opened.is_err() {
            self.discard(path);
        }
        opened
    }

    /// Removes the file of a block that never served. If that fails it is a leftover.
    pub(crate) fn discard(&self, path: &Path) {
        self.leftovers.lock().expect("no panic while held").insert(path.to_owned(), None);
        let _ = self.remove_leftovers();
    }

    /// From now on `new` serve, and those numbered `gone` do not. Their files are not touched.
    pub(crate) fn replace(&self, new: Vec<Block>, gone: &[u64]) {
        let mut serving = self.serving.write().expect("no panic while held");
        let mut blocks: Vec<_> = serving.iter().filter(|block| !gone.contains(&block.number)).cloned().collect();
        blocks.extend(new.into_iter().map(Arc::new));
        sort(&mut blocks);
        *serving = Arc::new(blocks);
    }

    /// One more serves.
    pub(crate) fn add(&self, new: Option<Arc<Block>>) {
        let mut serving = self.serving.write().expect("no panic while held");
        let mut blocks = (**serving).clone();
        blocks.extend(new);
        sort(&mut blocks);
        *serving = Arc::new(blocks);
    }

    /// Names those that serve on disk.
    pub(crate) fn save_list(&self) -> io::Result<()> {
        let serving = self.serving();
        let numbers: BTreeSet<u64> = serving.iter().map(|block| block.number).collect();
        let mut rest = Vec::new();
        put_varint(&mut rest, numbers.len() as u64);
        let mut last = 0;
        for number in numbers {
            put_varint(&mut rest, number - last);
            last = number;
        }
        let mut bytes = LIST_MAGIC.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
        bytes.extend_from_slice(&rest);
        self.disk.write_atomic(&self.dir.join("list"), &bytes)
    }

    /// Removes the files of blocks that no longer serve, durably; damaged ones are set aside instead. Those for which
    /// that fails are leftovers.
    pub(crate) fn remove(&self, blocks: &[impl Borrow<Block>]) -> io::Result<()> {
        let blocks = blocks.iter().map(Borrow::<Block>::borrow);
        let gone = blocks.map(|block| (block.path.clone(), block.damage()));
        self.leftovers.lock().expect("no panic while held").extend(gone);
        self.sync()
    }

    /// Makes all that was put in place or removed survive power loss, and sees to it that no leftover comes back: at
    /// the next start nothing would say what was deleted of it, or that another block took its place.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.remove_leftovers()?;
        self.disk.sync_dir(&self.dir)
    }

    fn remove_leftovers(&self) -> io::Result<()> {
        let mut leftovers = self.leftovers.lock().expect("no panic while held");
        if leftovers.is_empty() {
            return Ok(());
        }
        for (path, damage) in &*leftovers {
            let result = match damage {
                Some(words) => self.aside.take(path, &display(path), words).map(|_| ()),
                None => self.disk.remove(path),
            };
            match result {
                // Somebody else was faster; what was asked for is so.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        self.disk.sync_dir(&self.dir)?;
        std::mem::take(&mut *leftovers).into_keys().for_each(|path| Gone::forget(&self.disk, &path));
        Ok(())
    }
}

/// Of a block, by its number.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:010}.block")
}

/// A block as people know it: by its name, and its folder if that is not the one of samples.
pub(crate) fn display(path: &Path) -> String {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (dir, name) = (part(path.parent().and_then(Path::file_name)), part(path.file_name()));
    if dir == "blocks" { name } else { format!("{dir}/{name}") }
}

/// The numbers of the blocks that served last, none if the list is damaged: any may be new then. `None` without a list.
fn load_list(disk: &Disk, dir: &Path) -> Option<BTreeSet<u64>> {
    match disk.read(&dir.join("list")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Ok(bytes) => Some(decode_list(&bytes).unwrap_or_default()),
        Err(_) => Some(BTreeSet::new()),
    }
}

fn decode_list(bytes: &[u8]) -> Option<BTreeSet<u64>> {
    let mut from = Cursor(bytes.strip_prefix(&LIST_MAGIC)?);
    if from.u32()? != crc32c::crc32c(from.0) {
        return None;
    }
    let mut last = 0_u64;
    (0..from.varint()?)
        .map(|_| {
            // There is always a number behind it for the next block.
            last = last.checked_add(from.varint()?).filter(|last| *last < u64::MAX)?;
            Some(last)
        })
        .collect()
}

fn sort(blocks: &mut [Arc<Block>]) {
    blocks.sort_by_key(|block| (block.meta.order, block.number));
}
