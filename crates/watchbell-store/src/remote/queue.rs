//! What waits for the other store, on disk.
//!
//! Segments `queue/<number>.queue`, each a header and frames as in the log; a frame holds one [`record`](super::record).
//! Written by whoever appends, read by the one sender. Layout: `docs/formats/metrics.md`.
//!
//! Invariants: a record that was added survives the end of the process until it was taken by the other store, set aside
//! in words, or dropped by a named bound and counted; a segment is never written to again after a start; bytes behind
//! the last whole frame are cut before anything else is written.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use watchbell_model::Severity;
use watchbell_runtime::metrics::{Counter, Gauge};
use watchbell_runtime::{DiskFile, Runtime, fault};

use super::config::QueueConfig;
use super::position::{Position, Sent};
use super::record;
use super::target::Target;
use crate::metrics::Fsync;
use crate::metrics::frames::{frame, frames, unpack};

/// A segment longer than this is followed by a new one: small, because what is dropped is dropped by segments.
const SEGMENT_MAX: u64 = 4 << 20;
/// So is one that was begun longer ago.
const SEGMENT_TIME_MAX: Duration = Duration::from_secs(1800);
/// How many bytes of frames stay in memory for a sender that keeps up.
const TAIL_MAX: usize = 4 << 20;
/// How many bytes the queue leaves free on a disk that fills up.
const ROOM_LEFT: u64 = 8 << 20;
const MAGIC: [u8; 8] = *b"WBQUEUE\x01";
/// The magic, and when the segment was begun.
const HEADER: usize = 16;

/// The trouble raised while the oldest samples are being dropped.
const DROPPED: &str = "remote/queue";
/// The trouble raised while the queue cannot be written.
const WRITE: &str = "remote/queue-write";
/// The trouble raised when parts of the queue were damaged.
const DAMAGED: &str = "remote/queue-damaged";

/// The queue, open.
pub(crate) struct Queue {
    runtime: Runtime,
    dir: PathBuf,
    damaged: PathBuf,
    target: Arc<Target>,
    limits: QueueConfig,
    fsync: Fsync,
    /// Wall time at the opening, and how long the clock had run: a clock that is set drops nothing.
    opened: (i64, Duration),
    inner: Mutex<Inner>,
    /// Something was added, or the queue was closed.
    pub(crate) changed: Notify,
    dropped: Counter,
    failures: Counter,
    bytes: Gauge,
}

struct Inner {
    /// The segment being written; there is a file once something was added.
    number: u32,
    file: Option<DiskFile>,
    written: u64,
    torn: bool,
    synced: u64,
    segments: BTreeMap<u32, Segment>,
    tail: VecDeque<Frame>,
    tail_bytes: usize,
    /// What was handed to the sender.
    read: Position,
    sent: Sent,
    closed: bool,
    dropped: u64,
}

#[derive(Clone, Copy)]
struct Segment {
    bytes: u64,
    begun: i64,
}

/// A frame on its way to the sender.
#[derive(Clone)]
pub(crate) struct Frame {
    content: Arc<[u8]>,
    from: usize,
    to: usize,
    begin: Position,
    /// Where the queue goes on behind it.
    pub(crate) end: Position,
}

impl Frame {
    /// The record in it; `None` if it makes no sense.
    pub(crate) fn record(&self) -> Option<Vec<u8>> {
        unpack(&self.content[self.from..self.to])
    }
}

impl Queue {
    /// Opens the queue in a folder, made if need be.
    pub(crate) fn open(
        runtime: &Runtime,
        dir: &Path,
        target: &Arc<Target>,
        limits: QueueConfig,
        fsync: Fsync,
    ) -> io::Result<Queue> {
        let disk = &runtime.disk;
        let queue_dir = dir.join("queue");
        disk.create_dir_all(&queue_dir)?;
        let sent = Sent::load(disk, &dir.join("sent"));
        let mut segments = BTreeMap::new();
        for name in disk.list(&queue_dir)? {
            let Some(number) = name.strip_suffix(".queue").and_then(|name| name.parse::<u32>().ok()) else { continue };
            let path = queue_dir.join(&name);
            if number < sent.at().segment {
                disk.remove(&path)?;
                continue;
            }
            let meta = disk.meta(&path)?;
            segments.insert(number, Segment { bytes: meta.len, begun: begun(disk, &path).unwrap_or(meta.modified.0) });
        }
        // A number is never used twice, because what was sent is said by numbers.
        let number = segments.keys().last().copied().unwrap_or(0).max(sent.at().segment) + 1;
        let metrics = &runtime.metrics;
        let queue = Queue {
            runtime: runtime.clone(),
            dir: queue_dir,
            damaged: dir.join("damaged"),
            target: Arc::clone(target),
            limits,
            fsync,
            opened: (runtime.clock.now().0, runtime.clock.monotonic()),
            inner: Mutex::new(Inner {
                number,
                file: None,
                written: 0,
                torn: false,
                synced: 0,
                segments,
                tail: VecDeque::new(),
                tail_bytes: 0,
                read: sent.at(),
                sent,
                closed: false,
                dropped: 0,
            }),
            changed: Notify::new(),
            dropped: metrics.counter(
                "watchbell_remote_samples_dropped_total",
                "Samples that went because the queue for the remote store was full or they had waited too long.",
                &[("remote", &target.name)],
            ),
            failures: metrics.counter(
                "watchbell_remote_queue_failures_total",
                "Writes of the queue for the remote store that failed.",
                &[("remote", &target.name)],
            ),
            bytes: metrics.gauge(
                "watchbell_remote_queue_bytes",
                "Bytes that wait on disk for the remote store.",
                &[("remote", &target.name)],
            ),
        };
        queue.bytes.set(queue.lock().bytes() as f64);
        Ok(queue)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }

    /// Adds records. When it answers, they survive the end of the process, and power loss as the policy says.
    pub(crate) fn add(&self, records: &[Vec<u8>]) -> Result<(), String> {
        let packed: Vec<Vec<u8>> = records
            .iter()
            .map(|record| {
                let mut out = Vec::with_capacity(record.len() / 4);
                frame(record, &mut out);
                out
            })
            .collect();
        let mut inner = self.lock();
        if inner.closed {
            return Err("the store is closed".into());
        }
        fault::point("remote.before_queue_write");
        let result = self.write(&mut inner, packed);
        fault::point("remote.after_queue_write");
        self.bytes.set(inner.bytes() as f64);
        drop(inner);
        match result {
            Ok(()) => {
                self.runtime.troubles.clear(&self.target.trouble(WRITE));
                self.changed.notify_one();
                Ok(())
            }
            Err(error) => {
                self.failures.inc();
                let words = format!("samples cannot be queued for {}: {error}", self.target.name);
                self.runtime.troubles.set(&self.target.trouble(WRITE), Severity::Critical, words);
                Err(error.to_string())
            }
        }
    }

    fn write(&self, inner: &mut Inner, packed: Vec<Vec<u8>>) -> io::Result<()> {
        let disk = &self.runtime.disk;
        self.make_room(inner, packed.iter().map(|frame| frame.len() as u64).sum());
        if disk.available(&self.dir).is_ok_and(|left| left < ROOM_LEFT) {
            let words = format!("the last {} MiB of the disk are left for alarms and pages", ROOM_LEFT >> 20);
            return Err(io::Error::new(io::ErrorKind::StorageFull, words));
        }
        let now = self.now();
        let old =
            inner.segments.get(&inner.number).is_some_and(|it| now - it.begun > SEGMENT_TIME_MAX.as_millis() as i64);
        if inner.file.is_some() && (inner.written >= SEGMENT_MAX || old) {
            self.finish_segment(inner)?;
        }
        if inner.file.is_none() {
            let mut file = disk.create(&path(&self.dir, inner.number))?;
            let mut header = MAGIC.to_vec();
            header.extend_from_slice(&now.to_le_bytes());
            file.write_all(&header)?;
            disk.sync_dir(&self.dir)?;
            inner.file = Some(file);
            (inner.written, inner.torn, inner.synced) = (HEADER as u64, false, 0);
            inner.segments.insert(inner.number, Segment { bytes: HEADER as u64, begun: now });
        }
        let (number, begin) = (inner.number, inner.written);
        let content: Arc<[u8]> = packed.concat().into();
        let file = inner.file.as_mut().expect("it was just made");
        if inner.torn {
            file.truncate(begin)?;
        }
        inner.torn = true;
        file.write_all(&content)?;
        if self.fsync == Fsync::Always
            && let Err(error) = file.sync()
        {
            // What it holds may be gone though it can still be read: nothing more is added to it.
            inner.file = None;
            inner.number += 1;
            return Err(error);
        }
        inner.torn = false;
        inner.written = begin + content.len() as u64;
        if self.fsync == Fsync::Always {
            inner.synced = inner.written;
        }
        inner.segments.insert(number, Segment { bytes: inner.written, ..inner.segments[&number] });
        let mut from = 0;
        for packed in packed {
            let to = from + packed.len();
            let at = |offset: usize| Position { segment: number, offset: begin + offset as u64 };
            inner.tail.push_back(Frame { content: Arc::clone(&content), from, to, begin: at(from), end: at(to) });
            from = to;
        }
        inner.tail_bytes += content.len();
        while inner.tail_bytes > TAIL_MAX
            && let Some(frame) = inner.tail.pop_front()
        {
            inner.tail_bytes -= frame.to - frame.from;
        }
        Ok(())
    }

    /// The next thing that is added begins a new segment.
    fn finish_segment(&self, inner: &mut Inner) -> io::Result<()> {
        if let Some(file) = &mut inner.file {
            if inner.torn {
                file.truncate(inner.written)?;
                inner.torn = false;
            }
            if self.fsync != Fsync::Never && inner.synced < inner.written {
                file.sync()?;
            }
            inner.file = None;
            inner.number += 1;
        }
        Ok(())
    }

    /// Makes all that was added survive power loss; writers go on meanwhile.
    pub(crate) fn sync(&self) {
        let inner = self.lock();
        let (number, written) = (inner.number, inner.written);
        if self.fsync == Fsync::Never || inner.file.is_none() || inner.synced >= written {
            return;
        }
        drop(inner);
        let synced = self.runtime.disk.open_append(&path(&self.dir, number)).and_then(|mut file| file.sync());
        let mut inner = self.lock();
        if inner.number != number || inner.file.is_none() {
            return;
        }
        match synced {
            Ok(()) => inner.synced = inner.synced.max(written),
            Err(error) => {
                inner.file = None;
                inner.number += 1;
                drop(inner);
                self.failures.inc();
                let words = format!("the queue for {} cannot be made to survive power loss: {error}", self.target.name);
                self.runtime.troubles.set(&self.target.trouble(WRITE), Severity::Critical, words);
            }
        }
    }

    /// Wall time by our own count from the opening on.
    fn now(&self) -> i64 {
        let elapsed = self.runtime.clock.monotonic().saturating_sub(self.opened.1);
        self.opened.0.saturating_add(elapsed.as_millis() as i64)
    }

    /// Drops what has waited too long, also when nothing is added.
    pub(crate) fn tidy(&self) {
        let mut inner = self.lock();
        self.make_room(&mut inner, 0);
        self.bytes.set(inner.bytes() as f64);
    }

    /// Drops the oldest segments until so many bytes fit and nothing is too old.
    fn make_room(&self, inner: &mut Inner, coming: u64) {
        let oldest = self.now().saturating_sub(self.limits.age.duration().as_millis() as i64);
        loop {
            let mut segments = inner.segments.iter();
            let (Some((first, segment)), second) = (segments.next(), segments.next()) else { return };
            // All of a segment is older than the beginning of the next one.
            let last_begun = second.map_or(i64::MAX, |(_, next)| next.begun);
            let too_old = last_begun < oldest;
            let too_much = inner.bytes() + coming > self.limits.size.0;
            if (!too_old && !too_much) || (*first == inner.number && inner.file.is_some()) {
                return;
            }
            let (first, begun) = (*first, segment.begun);
            let lost = self.unsent(inner, first);
            inner.forget(first);
            if self.runtime.disk.remove(&path(&self.dir, first)).is_err() {
                // It is tried again at the next start; what was in it is counted as gone.
                tracing::warn!(segment = first, "a segment of the queue cannot be removed");
            }
            if lost > 0 {
                self.dropped.add(lost);
                inner.dropped += lost;
                let why = if too_old {
                    format!("waited longer than {}", self.limits.age)
                } else {
                    format!("did not fit in {} MiB", self.limits.size.0 >> 20)
                };
                let words = format!(
                    "{} samples for {} were dropped: the oldest, of {}, {why}",
                    inner.dropped,
                    self.target.name,
                    watchbell_model::Timestamp(begun)
                );
                self.runtime.troubles.set(&self.target.trouble(DROPPED), Severity::Critical, words);
            }
        }
    }

    /// How many samples of a segment were not handed to the sender.
    fn unsent(&self, inner: &Inner, number: u32) -> u64 {
        let from = match number.cmp(&inner.read.segment) {
            std::cmp::Ordering::Less => return 0,
            std::cmp::Ordering::Equal => inner.read.offset as usize,
            std::cmp::Ordering::Greater => 0,
        };
        let Ok(content) = self.runtime.disk.read(&path(&self.dir, number)) else { return 0 };
        let good = frames(&content, header(&content)).good;
        let unsent = good.into_iter().filter(|(begin, _)| *begin >= from);
        unsent.filter_map(|(begin, end)| record::samples(&unpack(&content[begin..end])?)).sum()
    }

    /// What was handed out and is not done is handed out again; gives the place up to which that may be so.
    pub(crate) fn rewind(&self) -> Position {
        let mut inner = self.lock();
        inner.read = inner.sent.at();
        Position { segment: inner.number, offset: if inner.file.is_some() { inner.written } else { 0 } }
    }

    /// The frames that come next, a segment's at most; empty if there are none yet.
    pub(crate) fn read(&self) -> Vec<Frame> {
        loop {
            let mut inner = self.lock();
            let Some((number, is_last)) = inner.place() else { return Vec::new() };
            let from = inner.read;
            let at = inner.tail.partition_point(|frame| frame.begin < from);
            if inner.tail.get(at).is_some_and(|frame| frame.begin == from) {
                let found: Vec<Frame> =
                    inner.tail.iter().skip(at).take_while(|frame| frame.begin.segment == number).cloned().collect();
                inner.read = found.last().expect("there is one").end;
                return found;
            }
            let written = if is_last { inner.written as usize } else { usize::MAX };
            drop(inner);
            let found = self.read_segment(number, from.offset as usize, written);
            let mut inner = self.lock();
            if inner.read != from {
                // It was dropped meanwhile.
                continue;
            }
            if let Some(last) = found.last() {
                inner.read = last.end;
                return found;
            }
            if is_last {
                return found;
            }
            inner.read = Position { segment: number + 1, offset: 0 };
        }
    }

    /// Whole frames of a segment between two offsets. What is damaged is copied aside and told.
    fn read_segment(&self, number: u32, from: usize, until: usize) -> Vec<Frame> {
        let disk = &self.runtime.disk;
        let path = path(&self.dir, number);
        let content = match disk.read(&path) {
            Ok(content) => content,
            Err(error) => {
                self.tell_damaged(format!("segment {number} cannot be read: {error}"));
                return Vec::new();
            }
        };
        let content = &content[..content.len().min(until)];
        let found = frames(content, header(content));
        for (begin, end) in found.bad.iter().filter(|(begin, _)| *begin >= from) {
            let aside = self.damaged.join(format!("queue-{number:08}-{begin}"));
            let kept =
                disk.create_dir_all(&self.damaged).and_then(|()| disk.write_atomic(&aside, &content[*begin..*end]));
            let place = if kept.is_ok() { format!("lie in {}", aside.display()) } else { "are lost".to_owned() };
            self.tell_damaged(format!("{} bytes of segment {number}, offset {begin}, {place}", end - begin));
        }
        let content: Arc<[u8]> = content.into();
        let at = |offset: usize| Position { segment: number, offset: offset as u64 };
        let good = found.good.into_iter().filter(|(begin, _)| *begin >= from);
        good.map(|(from, to)| Frame { content: Arc::clone(&content), from, to, begin: at(from), end: at(to) }).collect()
    }

    /// Counts samples that a bound of the configuration drops.
    pub(crate) fn count_dropped(&self, samples: u64) {
        self.dropped.add(samples);
    }

    /// Says that something in the queue was damaged.
    pub(crate) fn tell_damaged(&self, words: String) {
        let words = format!("samples that waited for {} were damaged and are not sent: {words}", self.target.name);
        self.runtime.troubles.set(&self.target.trouble(DAMAGED), Severity::Warning, words);
    }

    /// Everything before this place was taken or set aside: it need not be kept.
    pub(crate) fn done(&self, at: Position) {
        let mut inner = self.lock();
        if let Err(error) = inner.sent.set(at) {
            tracing::warn!(%error, "how far the queue was sent cannot be written; some of it would be sent again");
        }
        let gone: Vec<u32> = inner.segments.range(..at.segment).map(|(number, _)| *number).collect();
        for number in gone {
            inner.forget(number);
            if let Err(error) = self.runtime.disk.remove(&path(&self.dir, number)) {
                tracing::warn!(%error, segment = number, "a sent segment of the queue cannot be removed");
            }
        }
        while inner.tail.front().is_some_and(|frame| frame.end <= at) {
            let frame = inner.tail.pop_front().expect("it is there");
            inner.tail_bytes -= frame.to - frame.from;
        }
        let empty = inner.place().is_none() && at == inner.read;
        if empty && inner.dropped > 0 {
            inner.dropped = 0;
            self.runtime.troubles.clear(&self.target.trouble(DROPPED));
        }
        self.bytes.set(inner.bytes() as f64);
    }

    /// Takes nothing more; what waits survives power loss and is sent after the next start.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        if let Err(error) = self.finish_segment(&mut inner) {
            tracing::warn!(%error, "the queue for the remote store could not be synced");
        }
        self.changed.notify_one();
    }
}

impl Inner {
    fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    fn forget(&mut self, number: u32) {
        self.segments.remove(&number);
        self.tail.retain(|frame| frame.begin.segment != number);
        self.tail_bytes = self.tail.iter().map(|frame| frame.to - frame.from).sum();
        if self.read.segment <= number {
            self.read = Position { segment: number + 1, offset: 0 };
        }
    }

    /// The segment that is to be read from next, and whether it is the one being written; moves on to where there is
    /// something. `None` if all was read.
    fn place(&mut self) -> Option<(u32, bool)> {
        loop {
            let (number, segment) = self.segments.range(self.read.segment..).next()?;
            let (number, bytes) = (*number, segment.bytes);
            if number > self.read.segment || self.read.offset < HEADER as u64 {
                self.read = Position { segment: number, offset: HEADER as u64 };
            }
            let is_last = number == self.number && self.file.is_some();
            if self.read.offset < bytes {
                return Some((number, is_last));
            }
            if is_last {
                return None;
            }
            self.read = Position { segment: number + 1, offset: 0 };
        }
    }
}

fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.queue"))
}

/// What a segment begins with, as far as it is ours.
fn header(content: &[u8]) -> &[u8] {
    if content.starts_with(&MAGIC) { &content[..content.len().min(HEADER)] } else { &MAGIC }
}

fn begun(disk: &watchbell_runtime::Disk, path: &Path) -> Option<i64> {
    let content = disk.map(path).ok()?;
    let header = (*content).as_ref().get(..HEADER)?;
    header.starts_with(&MAGIC).then(|| i64::from_le_bytes(header[8..].try_into().expect("eight bytes")))
}
