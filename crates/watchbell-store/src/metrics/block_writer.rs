//! Writing a block: chunks as they come, then the index, then the end; in place only when all of it is on disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;
use watchbell_model::Start;
use watchbell_runtime::{Disk, DiskFile};

use super::block::Meta;
use super::block_entries::{Group, is_inside};
use super::block_index::{END, FEW, MAGIC, MANY, PageSums, sum_of_table};
use super::bytes::put_varint;
use super::chunk::Encoded;

/// Bytes gathered before they are written.
const BUFFER: usize = 256 << 10;
/// Posting lists up to this length are written number by number, if that is shorter.
const FEW_MAX: usize = 4096;
/// Up to this length it is.
const FEW_SURE: usize = 8;

pub(crate) struct BlockWriter {
    disk: Disk,
    path: PathBuf,
    beside: PathBuf,
    file: DiskFile,
    buffer: Vec<u8>,
    /// How many bytes there are with those in the buffer.
    at: u64,
    symbols: Items,
    series: Items,
    group: Group,
    postings: BTreeMap<(u32, u32), Vec<u32>>,
    meta: Meta,
    done: bool,
}

impl BlockWriter {
    /// Begins a block that will be at `path`. Symbols are all label names and values in it, sorted.
    pub(crate) fn begin<T: AsRef<str>>(
        disk: &Disk,
        path: &Path,
        symbols: impl IntoIterator<Item = T>,
        order: u64,
        replaces: Vec<u64>,
    ) -> io::Result<BlockWriter> {
        let beside = path.with_extension("new");
        let file = disk.create(&beside)?;
        let mut all = Items::default();
        for symbol in symbols {
            all.push(symbol.as_ref().as_bytes())?;
        }
        Ok(BlockWriter {
            disk: disk.clone(),
            path: path.to_owned(),
            beside,
            file,
            buffer: MAGIC.to_vec(),
            at: MAGIC.len() as u64,
            symbols: all,
            series: Items::default(),
            group: Group::default(),
            postings: BTreeMap::new(),
            meta: Meta { order, first: i64::MAX, last: i64::MIN, series: 0, samples: 0, replaces },
            done: false,
        })
    }

    /// Adds a series, in the order of their labels; its chunks of each kind in the order of time; its starts by when
    /// they began to be said.
    pub(crate) fn add(&mut self, labels: &[(u32, u32)], chunks: &[Encoded], starts: &[Start]) -> io::Result<()> {
        for (name, value) in labels {
            self.postings.entry((*name, *value)).or_default().push(self.meta.series as u32);
        }
        self.group.add(labels, chunks, starts, self.at);
        for chunk in chunks {
            self.meta.first = self.meta.first.min(chunk.first);
            self.meta.last = self.meta.last.max(chunk.last);
            self.meta.samples += chunk.count as u64;
            if !is_inside(chunk) {
                self.write(&crc32c::crc32c(&chunk.bytes).to_le_bytes())?;
                self.write(&chunk.bytes)?;
            }
        }
        if self.group.is_full() {
            self.series.push(&self.group.end())?;
        }
        self.meta.series += 1;
        Ok(())
    }

    /// Writes what is missing, so that only its name does not survive power loss yet. Answers its size.
    pub(crate) fn complete(&mut self) -> io::Result<u64> {
        let (mut table, mut pages) = (Vec::new(), PageSums::default());
        if !self.group.is_empty() {
            self.series.push(&self.group.end())?;
        }
        for part in 0..5 {
            let section = match part {
                0 => std::mem::take(&mut self.symbols).encode(),
                1 => std::mem::take(&mut self.series).encode(),
                2 => encode_postings(&std::mem::take(&mut self.postings))?,
                3 => self.meta.encode(),
                _ => std::mem::take(&mut pages.sums),
            };
            let sum = if part < 3 { 0 } else { crc32c::crc32c(&section) };
            table.extend_from_slice(&self.at.to_le_bytes());
            table.extend_from_slice(&(section.len() as u64).to_le_bytes());
            table.extend_from_slice(&sum.to_le_bytes());
            if part < 3 {
                pages.add(&section);
            }
            if part == 2 {
                pages.end();
            }
            self.write(&section)?;
        }
        let sum = sum_of_table(&table);
        self.write(&table)?;
        self.write(&sum.to_le_bytes())?;
        self.write(&END)?;
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        self.file.sync()?;
        Ok(self.at)
    }

    /// Puts a block that is complete in place.
    pub(crate) fn place(mut self) -> io::Result<()> {
        self.disk.rename(&self.beside, &self.path)?;
        self.done = true;
        self.disk.sync_dir(self.path.parent().unwrap_or(Path::new(".")))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.at += bytes.len() as u64;
        if self.buffer.len() >= BUFFER {
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        if !self.done {
            // What is left of a block that was not finished is removed at the next start at the latest.
            let _ = self.disk.remove(&self.beside);
        }
    }
}

/// Texts or entries one behind the other, with where each begins.
#[derive(Default)]
struct Items {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Items {
    fn push(&mut self, item: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(item);
        let end = u32::try_from(self.bytes.len());
        self.ends.push(end.map_err(|_| io::Error::other("the index of one block would be larger than 4 GiB"))?);
        Ok(())
    }

    fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.ends.len() * 4 + self.bytes.len());
        out.extend_from_slice(&(self.ends.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        self.ends.iter().for_each(|end| out.extend_from_slice(&end.to_le_bytes()));
        out.extend_from_slice(&self.bytes);
        out
    }
}

fn one_by_one(series: &[u32]) -> Vec<u8> {
    let (mut few, mut last) = (Vec::new(), 0);
    for number in series {
        put_varint(&mut few, u64::from(number - last));
        last = *number;
    }
    few
}

fn encode_postings(postings: &BTreeMap<(u32, u32), Vec<u32>>) -> io::Result<Vec<u8>> {
    let (mut names, mut pairs, mut lists) = (Vec::<[u32; 3]>::new(), Vec::<(u32, u32)>::new(), Vec::new());
    let place = |lists: &Vec<u8>| {
        u32::try_from(lists.len()).map_err(|_| io::Error::other("the index of one block would be larger than 4 GiB"))
    };
    for ((name, value), series) in postings {
        if names.last().is_none_or(|[last, ..]| last != name) {
            names.push([*name, pairs.len() as u32, 0]);
        }
        if let Some([_, _, having]) = names.last_mut() {
            *having += series.len() as u32;
        }
        pairs.push((*value, place(&lists)?));
        let few = (series.len() <= FEW_MAX).then(|| one_by_one(series));
        let many = (series.len() > FEW_SURE).then(|| {
            let mut many: RoaringBitmap = series.iter().copied().collect();
            many.optimize();
            many
        });
        match (few, many) {
            (Some(few), many) if many.as_ref().is_none_or(|many| few.len() <= many.serialized_size()) => {
                lists.push(FEW);
                lists.extend_from_slice(&few);
            }
            (_, many) => {
                lists.push(MANY);
                many.unwrap_or_default().serialize_into(&mut lists)?;
            }
        }
    }
    let count = names.len() as u32;
    names.push([u32::MAX, pairs.len() as u32, 0]);
    pairs.push((u32::MAX, place(&lists)?));
    let mut out = count.to_le_bytes().to_vec();
    names.iter().flatten().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    for (value, list) in pairs {
        out.extend_from_slice(&value.to_le_bytes());
        out.extend_from_slice(&list.to_le_bytes());
    }
    out.extend_from_slice(&lists);
    Ok(out)
}
