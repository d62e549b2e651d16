//! Bringing history along: from Prometheus' data folder, from text with times, from an export.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use watchbell_model::{Batch, Import, Imported, Metadata, SeriesKey, Upkeep, UpkeepError};
use watchbell_runtime::disk::Mapped;
use watchbell_runtime::{Disk, Runtime};
use watchbell_wire::bulk::{BulkError, BulkFormat, Reader};
use watchbell_wire::prometheus::tsdb::{self, Block, BlockMeta, Damage, Head, HeadChunks, is_block};

use super::open::Store;
use super::show::{self, Progress};

/// How many samples of Prometheus' head are gathered before they are handed on.
const HEAD_SAMPLES: usize = 4 << 20;
/// How many examples go into the store at once.
const EXEMPLARS: usize = 10_000;
/// How much of a file is read at once.
const PIECE: usize = 1 << 20;
const DAY: i64 = 86_400_000;

/// What came of one import.
struct Done {
    imported: Imported,
    damage: Vec<String>,
    metadata: Vec<(String, Metadata)>,
}

pub(super) async fn run(
    runtime: &Runtime,
    store: &Store,
    paths: &[std::path::PathBuf],
    json: bool,
) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        let mut extra = Batch::new("import");
        let done = tokio::task::block_in_place(|| one(runtime, store, path, &mut extra));
        let done = done.with_context(|| format!("{} cannot be imported", path.display()))?;
        extra.metadata = done.metadata;
        if !extra.is_empty() {
            store.tell(extra).await.context("what the metrics are could not be kept")?;
        }
        if done.imported.refused() > 0 || !done.damage.is_empty() {
            code = ExitCode::FAILURE;
        }
        if json {
            let path = path.display().to_string();
            println!("{}", serde_json::json!({ "path": path, "imported": done.imported, "damage": done.damage }));
        } else {
            println!("{}", path.display());
            print!("{}", show::imported(&done.imported));
            done.damage.iter().for_each(|words| println!("damaged and left out: {words}"));
        }
    }
    Ok(code)
}

fn one(runtime: &Runtime, store: &Store, path: &Path, extra: &mut Batch) -> Result<Done> {
    let disk = &runtime.disk;
    let mut progress = Progress::new(runtime);
    let done = if !disk.exists(path) {
        bail!("there is no such file or folder")
    } else if disk.is_dir(path) {
        let names = disk.list(path)?;
        let here = names.iter().any(|name| is_block(name) || name == "wal" || name == "meta.json");
        if !here {
            bail!("it is not a data folder of Prometheus: there are no blocks and no log in it");
        }
        folder(disk, store, path, &names, &mut progress, extra)
    } else {
        file(runtime, store, path, &mut progress)
    };
    progress.end();
    done
}

/// Why a text ended early.
enum Ended {
    Text(BulkError),
    Store(UpkeepError),
}

impl From<BulkError> for Ended {
    fn from(error: BulkError) -> Ended {
        Ended::Text(error)
    }
}

fn file(runtime: &Runtime, store: &Store, path: &Path, progress: &mut Progress) -> Result<Done> {
    let map = runtime.disk.map(path)?;
    let content = (*map).as_ref();
    let (begin, end) = (&content[..content.len().min(4096)], &content[content.len().saturating_sub(64)..]);
    let format = BulkFormat::guess(begin, end)
        .context("it is neither text with times, nor OpenMetrics, nor an export as JSON lines")?;
    let mut import = store.import()?;
    let mut reader = Reader::new(format, runtime.clock.now());
    let mut take = |series| import.add(series).map_err(Ended::Store);
    let (mut read, mut done) = (0_u64, Ok(()));
    for piece in content.chunks(PIECE) {
        done = reader.feed(piece, &mut take);
        if done.is_err() {
            break;
        }
        read += piece.len() as u64;
        progress.say(|| format!("{} of {}", show::bytes(read), show::bytes(content.len() as u64)));
    }
    let done = done.and_then(|()| reader.finish(&mut take));
    let mut damage = Vec::new();
    match done {
        Ok(()) => {}
        Err(Ended::Store(error)) => return Err(error.into()),
        // What came before it is taken.
        Err(Ended::Text(error)) => damage.push(format!("from {error}")),
    }
    let metadata = reader.metadata().iter().map(|(name, it)| (name.clone(), it.clone())).collect();
    Ok(Done { imported: import.finish()?, damage, metadata })
}

/// A data folder of Prometheus, or one block.
fn folder(
    disk: &Disk,
    store: &Store,
    path: &Path,
    names: &[String],
    progress: &mut Progress,
    extra: &mut Batch,
) -> Result<Done> {
    let mut import = store.import()?;
    let mut damage = Vec::new();
    let mut newest = i64::MIN;
    let single = names.iter().any(|name| name == "meta.json");
    let blocks: Vec<_> = names.iter().filter(|name| is_block(name)).map(|name| path.join(name)).collect();
    let blocks = if single { vec![path.to_owned()] } else { blocks };
    for (at, block) in blocks.iter().enumerate() {
        let which = format!("block {} of {}", at + 1, blocks.len());
        let name = block.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match block_of(disk, block, &mut *import, &mut |done| progress.say(|| format!("{which}, {done} samples added")))
        {
            Ok((end, bad)) => {
                newest = newest.max(end);
                damage.extend(bad.into_iter().map(|bad| format!("{name}: {bad}")));
            }
            Err(Failed::Damage(bad)) => damage.push(format!("{name}: {bad}")),
            Err(Failed::Store(error)) => return Err(error.into()),
        }
    }
    let mut head = Head::default();
    if !single {
        progress.say(|| "the last hours, from the log".into());
        let since = newest;
        last_hours(disk, path, &mut head, since, &mut *import, &mut damage)?;
    }
    for (labels, exemplar) in head.exemplars().take(EXEMPLARS) {
        let series = extra.add(SeriesKey::Labels(labels.clone()));
        extra.exemplars.push((series, exemplar.clone()));
    }
    let metadata = head.metadata().iter().map(|(name, it)| (name.clone(), it.clone())).collect();
    Ok(Done { imported: import.finish()?, damage, metadata })
}

enum Failed {
    Damage(Damage),
    Store(UpkeepError),
}

fn read(disk: &Disk, path: &Path, part: &str) -> Result<Mapped, Failed> {
    let bad = |error: std::io::Error| Damage { part: part.to_owned(), reason: error.to_string() };
    disk.map(&path.join(part)).map_err(|error| Failed::Damage(bad(error)))
}

/// Imports a block day by day, so that what is gathered belongs together; answers where it ends.
fn block_of(
    disk: &Disk,
    path: &Path,
    import: &mut dyn Import,
    say: &mut dyn FnMut(String),
) -> Result<(i64, Vec<Damage>), Failed> {
    let meta = BlockMeta::read((*read(disk, path, "meta.json")?).as_ref()).map_err(Failed::Damage)?;
    let index = read(disk, path, "index")?;
    let tombstones = if disk.exists(&path.join("tombstones")) { Some(read(disk, path, "tombstones")?) } else { None };
    let names = disk.list(&path.join("chunks")).unwrap_or_default();
    let count = names.iter().filter_map(|name| name.parse::<usize>().ok()).max().unwrap_or(0);
    let segments: Vec<Option<Mapped>> =
        (1..=count).map(|number| disk.map(&path.join(format!("chunks/{number:06}"))).ok()).collect();
    let segments: Vec<Option<&[u8]>> = segments.iter().map(|map| map.as_ref().map(|map| (**map).as_ref())).collect();
    let tombstones = tombstones.as_ref().map(|map| (**map).as_ref());
    let (block, mut damage) = Block::open((*index).as_ref(), segments, tombstones).map_err(Failed::Damage)?;
    let mut failed = None;
    let mut from = meta.min_time;
    while from < meta.max_time && failed.is_none() {
        let to = ((from.div_euclid(DAY) + 1) * DAY).min(meta.max_time) - 1;
        let mut told = Vec::new();
        let _ = block.each(from, to, &mut |bad| told.push(bad), &mut |series| {
            if let Err(error) = import.add(series) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            say(show::number(import.so_far().added));
            ControlFlow::Continue(())
        });
        // An entry that is damaged is met on each day.
        told.retain(|bad| !damage.contains(bad));
        damage.extend(told);
        from = to + 1;
    }
    match failed {
        Some(error) => Err(Failed::Store(error)),
        None => Ok((meta.max_time, damage)),
    }
}

/// The log, its checkpoint, late samples and the chunks of the head.
fn last_hours(
    disk: &Disk,
    path: &Path,
    head: &mut Head,
    since: i64,
    import: &mut dyn Import,
    damage: &mut Vec<String>,
) -> Result<()> {
    let (log, late) = (segments(disk, path, "wal")?, segments(disk, path, "wbl")?);
    for name in &log {
        let content = disk.map(&path.join(name))?;
        let mut bad = Vec::new();
        let mut told = Vec::new();
        tsdb::wal::each_record(name, (*content).as_ref(), &mut |one| told.push(one.to_string()), &mut |record| {
            if !tsdb::is_of_samples(record) {
                bad.extend(head.learn(record).err().map(|words| format!("{name}: {words}")));
            }
        });
        damage.extend(told.into_iter().chain(bad));
    }
    let mut hand_on = |head: &mut Head, since: i64| -> Result<(), UpkeepError> {
        head.drain(since).into_iter().try_for_each(|series| import.add(series))
    };
    for name in disk.list(&path.join("chunks_head"))? {
        let name = format!("chunks_head/{name}");
        let content = disk.map(&path.join(&name))?;
        match HeadChunks::open(&name, (*content).as_ref()) {
            Err(bad) => damage.push(bad.to_string()),
            Ok(chunks) => {
                for chunk in chunks {
                    match chunk {
                        Err(bad) => damage.push(bad.to_string()),
                        Ok(chunk) => {
                            if head.take_chunk(chunk) >= HEAD_SAMPLES {
                                hand_on(head, since)?;
                            }
                        }
                    }
                }
            }
        }
    }
    hand_on(head, since)?;
    for (names, since) in [(&log, since), (&late, i64::MIN)] {
        for name in names {
            let content = disk.map(&path.join(name))?;
            let mut failed = None;
            // Damage was told of when names were read; late samples have no names of their own.
            tsdb::wal::each_record(name, (*content).as_ref(), &mut |_| {}, &mut |record| {
                let held = if tsdb::is_of_samples(record) { head.take(record).unwrap_or(0) } else { 0 };
                if held >= HEAD_SAMPLES && failed.is_none() {
                    failed = hand_on(head, since).err();
                }
            });
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        hand_on(head, since)?;
    }
    if head.nameless() > 0 {
        damage.push(format!("wal: {} samples of series without a name", show::number(head.nameless())));
    }
    Ok(())
}

/// Segments in order, those of the newest checkpoint first.
fn segments(disk: &Disk, path: &Path, folder: &str) -> Result<Vec<String>> {
    let names = disk.list(&path.join(folder))?;
    let checkpoint = names.iter().rfind(|name| name.starts_with("checkpoint.") && !name.ends_with(".tmp"));
    let mut all = Vec::new();
    let mut covered = None;
    if let Some(checkpoint) = checkpoint {
        covered = checkpoint.strip_prefix("checkpoint.").and_then(|number| number.parse::<u64>().ok());
        let inner = disk.list(&path.join(folder).join(checkpoint))?;
        all.extend(inner.into_iter().map(|name| format!("{folder}/{checkpoint}/{name}")));
    }
    for name in names {
        if name.parse::<u64>().is_ok_and(|number| covered.is_none_or(|covered| number > covered)) {
            all.push(format!("{folder}/{name}"));
        }
    }
    Ok(all)
}
