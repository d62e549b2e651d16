//! The blocks of a store: which there are, which serve, and how one set takes the place of another.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use watchbell_runtime::Disk;

use super::block::Block;

/// Blocks in the order of writing.
pub(crate) type Serving = Arc<Vec<Arc<Block>>>;

pub(crate) struct Blocks {
    disk: Disk,
    dir: PathBuf,
    damaged: PathBuf,
    serving: RwLock<Serving>,
    next: Mutex<u64>,
}

impl Blocks {
    /// Opens all blocks of a folder; damaged ones are set aside and told of in words.
    pub(crate) fn open(disk: &Disk, dir: &Path, damaged: &Path) -> io::Result<(Blocks, Vec<String>)> {
        disk.create_dir_all(dir)?;
        let (mut blocks, mut told, mut next) = (Vec::new(), Vec::new(), 1);
        for name in disk.list(dir)? {
            let path = dir.join(&name);
            if name.ends_with(".new") {
                disk.remove(&path)?;
                continue;
            }
            let Some(number) = name.strip_suffix(".block").and_then(|name| name.parse::<u64>().ok()) else { continue };
            next = next.max(number + 1);
            match Block::open(disk, &path, number) {
                Ok(Ok(block)) => blocks.push(block),
                Ok(Err(damage)) => {
                    let aside = set_aside(disk, &path, damaged)?;
                    told.push(format!("the block {name} is damaged ({damage}) and lies in {}", aside.display()));
                }
                Err(error) => told.push(format!("the block {name} cannot be read and does not serve: {error}")),
            }
        }
        let replaced: BTreeSet<u64> = blocks.iter().flat_map(|block| block.meta.replaces.iter().copied()).collect();
        for block in blocks.extract_if(.., |block| replaced.contains(&block.number)) {
            disk.remove(&block.path)?;
        }
        let mut blocks: Vec<_> = blocks.into_iter().map(Arc::new).collect();
        sort(&mut blocks);
        let serving = RwLock::new(Arc::new(blocks));
        let blocks = Blocks {
            disk: disk.clone(),
            dir: dir.to_owned(),
            damaged: damaged.to_owned(),
            serving,
            next: Mutex::new(next),
        };
        Ok((blocks, told))
    }

    pub(crate) fn serving(&self) -> Serving {
        Arc::clone(&self.serving.read().expect("no panic while held"))
    }

    /// A number and place for a new block.
    pub(crate) fn reserve(&self) -> (u64, PathBuf) {
        let mut next = self.next.lock().expect("no panic while held");
        let number = *next;
        *next += 1;
        (number, self.dir.join(format!("{number:010}.block")))
    }

    /// Opens a block that was just written.
    pub(crate) fn open_written(&self, number: u64, path: &Path) -> io::Result<Block> {
        Block::open(&self.disk, path, number)?.map_err(io::Error::other)
    }

    /// From now on `new` serve, and those numbered `gone` do not. Their files are not touched.
    pub(crate) fn replace(&self, new: Vec<Block>, gone: &[u64]) {
        let mut serving = self.serving.write().expect("no panic while held");
        let mut blocks: Vec<_> = serving.iter().filter(|block| !gone.contains(&block.number)).cloned().collect();
        blocks.extend(new.into_iter().map(Arc::new));
        sort(&mut blocks);
        *serving = Arc::new(blocks);
    }

    /// Removes the file of a block that no longer serves; a damaged one is set aside instead.
    pub(crate) fn remove(&self, block: &Block) -> io::Result<()> {
        let gone = match block.is_damaged() {
            true => set_aside(&self.disk, &block.path, &self.damaged).map(|_| ()),
            false => self.disk.remove(&block.path),
        };
        // Several may find the same damage at once.
        gone.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }

    /// Makes removals survive power loss.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.dir)
    }
}

fn sort(blocks: &mut [Arc<Block>]) {
    blocks.sort_by_key(|block| (block.meta.order, block.number));
}

fn set_aside(disk: &Disk, path: &Path, damaged: &Path) -> io::Result<PathBuf> {
    disk.create_dir_all(damaged)?;
    let aside = damaged.join(path.file_name().unwrap_or_default());
    disk.rename(path, &aside)?;
    Ok(aside)
}
