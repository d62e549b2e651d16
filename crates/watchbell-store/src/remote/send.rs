//! The sender: reads the queue, makes requests, waits for answers. What is sent when is decided by [`Shards`], what an
//! answer means by [`judge`].
//!
//! Invariant: the queue is told that a place is done only after a 2xx, or after the answer that ends all hope was
//! counted and put into words. So each sample is sent at least once; one that is sent twice is the same sample at the
//! same time, which the other store has once.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use watchbell_model::{Labels, Metadata, Relabel, Severity, Timestamp};
use watchbell_runtime::http::{Request, Response};
use watchbell_runtime::metrics::{Counter, Gauge, Histogram, Metrics};
use watchbell_runtime::{CancellationToken, Disk, Runtime, fault, thread};
use watchbell_wire::remote_write::{
    CONTENT_TYPE_V1, CONTENT_TYPE_V2, Outgoing, VERSION_HEADER, VERSION_V1, VERSION_V2, Version, v1, v2,
};
use watchbell_wire::snappy;

use super::answer::{Verdict, judge};
use super::client::Client;
use super::config::Message;
use super::queue::{Frame, Queue};
use super::record::{self, Piece};
use super::shards::{Batch, Shards};
use super::target::Target;

/// How long sending goes on after it was asked to stop; the rest is sent after the next start.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How often the queue is looked after and the lag measured.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Samples that wait longer than this are a trouble.
const LAG_MAX: Duration = Duration::from_secs(60);
/// How long without one it takes until refused samples are no trouble any more.
const REFUSED_QUIET: Duration = Duration::from_secs(900);
/// How many metrics' descriptions are remembered for 2.0, which sends them with samples.
const METADATA_MAX: usize = 20_000;
/// Of how many series it is remembered what the rules make of them.
const RELABELLED_MAX: usize = 100_000;
/// How much of an answer is read.
const ANSWER_MAX: usize = 4 << 10;
/// The trouble raised while samples wait too long.
const LAG: &str = "remote/lag";
/// The trouble raised after samples were refused.
const REFUSED: &str = "remote/refused";

pub(crate) struct Sender {
    runtime: Runtime,
    target: Arc<Target>,
    client: Arc<Client>,
    queue: Arc<Queue>,
    external: Labels,
    relabel: Relabel,
    numbers: Numbers,
}

struct Numbers {
    sent: Counter,
    refused: Counter,
    repeated: Counter,
    requests: Counter,
    failures: Counter,
    bytes: Counter,
    lag: Gauge,
    seconds: Histogram,
}

impl Numbers {
    fn new(metrics: &Metrics, remote: &str) -> Numbers {
        let labels = [("remote", remote)];
        let counter = |name, help| metrics.counter(name, help, &labels);
        Numbers {
            sent: counter("watchbell_remote_samples_total", "Samples that the remote store has taken."),
            refused: counter(
                "watchbell_remote_samples_refused_total",
                "Samples that the remote store will never take, as it says.",
            ),
            repeated: counter(
                "watchbell_remote_samples_repeated_total",
                "Samples sent a second time, after a failure or a restart, that the remote store refused as known.",
            ),
            requests: counter("watchbell_remote_requests_total", "Requests sent to the remote store."),
            failures: counter(
                "watchbell_remote_request_failures_total",
                "Requests to the remote store that failed and were made again.",
            ),
            bytes: counter("watchbell_remote_bytes_total", "Bytes of requests to the remote store, compressed."),
            lag: metrics.gauge(
                "watchbell_remote_lag_seconds",
                "How long the oldest sample has waited for the remote store.",
                &labels,
            ),
            seconds: metrics.histogram(
                "watchbell_remote_request_duration_seconds",
                "How long requests to the remote store took.",
                &labels,
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
            ),
        }
    }
}

/// What changes while it runs.
struct Run {
    shards: Shards,
    version: Version,
    /// Frames that were read and not taken in yet.
    ahead: std::collections::VecDeque<Frame>,
    metadata: HashMap<String, Metadata>,
    /// What external labels and the rules make of series; nothing of those that are not sent.
    relabelled: HashMap<Labels, Option<Labels>>,
    /// Why the last request failed; nothing once one was taken.
    failing: Option<String>,
    refused_at: Option<Duration>,
    refused: u64,
}

type Answer = (usize, Arc<Batch>, Version, Result<Response, String>, Duration);

impl Sender {
    pub(crate) fn new(runtime: &Runtime, target: &Arc<Target>, external: &Labels, queue: Arc<Queue>) -> Sender {
        Sender {
            runtime: runtime.clone(),
            client: Arc::new(Client::for_write(target)),
            external: external.clone(),
            relabel: Relabel::new(&target.config.write_relabel_configs),
            target: Arc::clone(target),
            queue,
            numbers: Numbers::new(&runtime.metrics, &target.name),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Sends until it is asked to stop, and then for a bounded time what is left.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        // The first after a start and each after a panic: what was read and has not ended is read again.
        let repeated = self.queue.rewind();
        let mut run = Run {
            shards: Shards::new(self.target.config.queue_config.clone(), repeated),
            version: match self.target.config.protobuf_message {
                Message::V1 => Version::V1,
                Message::V2 => Version::V2,
            },
            ahead: std::collections::VecDeque::new(),
            metadata: HashMap::new(),
            relabelled: HashMap::new(),
            failing: None,
            refused_at: None,
            refused: 0,
        };
        let mut under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + Send + '_>>> =
            FuturesUnordered::new();
        let clock = &self.runtime.clock;
        let mut look = clock.monotonic();
        let mut until = None;
        loop {
            self.fill(&mut run).await;
            let now = clock.monotonic();
            if now >= look {
                self.look(&mut run, now).await;
                look = now + LOOK_EVERY;
            }
            for (shard, batch) in run.shards.due(now, until.is_some()) {
                let body = self.body(&run, &batch);
                under_way.push(Box::pin(self.request(shard, batch, run.version, body)));
            }
            if let Some(until) = until {
                let nothing = run.shards.is_empty() && run.ahead.is_empty();
                if now >= until || nothing || (under_way.is_empty() && run.shards.all_failing(now)) {
                    return;
                }
            }
            let wake = run.shards.next().unwrap_or(look).min(look).min(until.unwrap_or(look));
            tokio::select! {
                biased;
                () = stop.cancelled(), if until.is_none() => until = Some(clock.monotonic() + DRAIN_MAX),
                Some(answer) = under_way.next() => self.answered(&mut run, answer),
                () = self.queue.changed.notified(), if run.ahead.is_empty() => {}
                () = clock.sleep(wake.saturating_sub(now)) => {}
            }
        }
    }

    /// Takes from the queue as much as there is room for.
    async fn fill(&self, run: &mut Run) {
        while run.shards.has_room() {
            if run.ahead.is_empty() {
                let queue = Arc::clone(&self.queue);
                run.ahead = match &self.runtime.disk {
                    Disk::Os => thread::blocking(move || queue.read()).await,
                    Disk::Sim(_) => queue.read(),
                }
                .into();
            }
            let Some(frame) = run.ahead.pop_front() else { return };
            let most = self.target.config.queue_config.max_samples_per_send;
            let read = frame.record().and_then(|record| record::decode(&record, most));
            let (queued, pieces) = read.unwrap_or_else(|| {
                self.queue.tell_damaged("a record is whole but makes no sense".into());
                (self.runtime.clock.now(), Vec::new())
            });
            let pieces = pieces.into_iter().filter_map(|piece| self.wanted(run, piece)).collect();
            if let Some(done) = run.shards.take(frame.end, queued, pieces, self.runtime.clock.monotonic()) {
                self.queue.done(done);
            }
        }
    }

    /// What of a piece is sent.
    fn wanted(&self, run: &mut Run, mut piece: Piece) -> Option<Piece> {
        if !self.target.config.send_exemplars {
            piece.exemplars.clear();
        }
        if !self.target.config.send_native_histograms {
            piece.histograms.clear();
        }
        if piece.metadata.is_some() && !self.target.config.metadata_config.send {
            return None;
        }
        self.leave_out_old(&mut piece);
        // As in Prometheus, what a metric is goes by its own name.
        let same = self.relabel.is_empty() && self.external.is_empty();
        if !same && piece.metadata.is_none() {
            piece.labels = self.relabelled(run, piece.labels)?;
        }
        if let (Version::V2, Some(metadata)) = (run.version, &piece.metadata) {
            let name = piece.labels.name().unwrap_or_default();
            if run.metadata.len() < METADATA_MAX || run.metadata.contains_key(name) {
                run.metadata.insert(name.to_owned(), metadata.clone());
            }
            return None;
        }
        (piece.samples() > 0 || !piece.exemplars.is_empty() || piece.metadata.is_some()).then_some(piece)
    }

    fn relabelled(&self, run: &mut Run, labels: Labels) -> Option<Labels> {
        if let Some(known) = run.relabelled.get(&labels) {
            return known.clone();
        }
        let made = self.relabel.apply(&labels.with_missing(&self.external)).filter(|labels| !labels.is_empty());
        if run.relabelled.len() >= RELABELLED_MAX {
            run.relabelled.clear();
        }
        run.relabelled.insert(labels, made.clone());
        made
    }

    /// Drops what `sample_age_limit` says is too old by now.
    fn leave_out_old(&self, piece: &mut Piece) {
        let Some(limit) = self.target.config.queue_config.sample_age_limit.filter(|limit| !limit.is_zero()) else {
            return;
        };
        let (oldest, before) = (self.runtime.clock.now() - limit.duration(), piece.samples());
        piece.samples.retain(|sample| sample.timestamp >= oldest);
        piece.histograms.retain(|sample| sample.timestamp >= oldest);
        self.queue.count_dropped((before - piece.samples()) as u64);
    }

    /// The request's body, compressed.
    fn body(&self, run: &Run, batch: &Batch) -> Vec<u8> {
        let message = match run.version {
            Version::V1 => {
                let mut writer = v1::Writer::new();
                for piece in &batch.pieces {
                    match &piece.metadata {
                        Some(metadata) => writer.metadata(piece.labels.name().unwrap_or_default(), metadata),
                        None => writer.series(&piece.outgoing()),
                    }
                }
                writer.finish()
            }
            Version::V2 => {
                let mut writer = v2::Writer::new();
                for piece in batch.pieces.iter().filter(|piece| piece.metadata.is_none()) {
                    let metadata = described(&run.metadata, piece);
                    let whole = Outgoing { metadata, ..piece.outgoing() };
                    // A series of 2.0 has values or histograms.
                    if !piece.samples.is_empty() && !piece.histograms.is_empty() {
                        writer.series(&Outgoing { histograms: &[], ..whole });
                        writer.series(&Outgoing { samples: &[], exemplars: &[], ..whole });
                    } else {
                        writer.series(&whole);
                    }
                }
                writer.finish()
            }
        };
        snappy::compress(&message)
    }

    async fn request(&self, shard: usize, batch: Arc<Batch>, version: Version, body: Vec<u8>) -> Answer {
        self.numbers.requests.inc();
        self.numbers.bytes.add(body.len() as u64);
        let begun = self.runtime.clock.monotonic();
        let request = typed(self.client.post(self.target.config.url.clone(), body), version);
        let answer = self.client.send(&self.runtime, request).await;
        (shard, batch, version, answer, self.runtime.clock.monotonic().saturating_sub(begun))
    }

    fn answered(&self, run: &mut Run, (shard, batch, version, answer, took): Answer) {
        let (now, name) = (self.runtime.clock.monotonic(), &self.target.name);
        self.numbers.seconds.observe(took.as_secs_f64());
        let (count, unit) = (batch.samples(), self.runtime.rng.unit());
        let done = match judge(version, &answer, self.runtime.clock.now()) {
            Verdict::Taken => {
                fault::point("remote.after_answer");
                run.failing = None;
                self.numbers.sent.add(count);
                run.shards.end(shard, true)
            }
            Verdict::TooLarge { words } => {
                if run.shards.split(shard) {
                    return;
                }
                self.refused(run, shard, &batch, count, &words);
                run.shards.end(shard, false)
            }
            Verdict::Refused { words, written } => {
                run.failing = None;
                // 2.0 says how much it has written: the rest is bad. 1.0 does not, and often refuses all for one.
                if version == Version::V1 && run.shards.search(shard) {
                    return;
                }
                self.numbers.sent.add(written.min(count));
                self.refused(run, shard, &batch, count.saturating_sub(written), &words);
                run.shards.end(shard, false)
            }
            Verdict::Older => {
                if run.version == Version::V2 {
                    tracing::info!(remote = name, "it does not know remote write 2.0 and gets 1.0");
                    run.version = Version::V1;
                }
                run.shards.again(shard, None, now, unit);
                return;
            }
            Verdict::Later { words, wait } => {
                self.numbers.failures.inc();
                tracing::debug!(remote = name, words, "samples are sent again");
                run.failing = Some(words);
                run.shards.again(shard, Some(wait), now, unit);
                return;
            }
        };
        if let Some(done) = done {
            self.queue.done(done);
        }
    }

    /// Counts what the other store will never take, and says so.
    fn refused(&self, run: &mut Run, shard: usize, batch: &Batch, count: u64, words: &str) {
        let again = batch.again || run.shards.has_failed(shard);
        if again && ["out of order", "duplicate"].iter().any(|it| words.contains(it)) {
            // It was there already: sent before, by this process or the one before it.
            self.numbers.repeated.add(count);
            return;
        }
        self.numbers.refused.add(count);
        run.refused += count;
        run.refused_at = Some(self.runtime.clock.monotonic());
        let example = batch.pieces.first().map(|piece| piece.labels.to_string()).unwrap_or_default();
        let name = &self.target.name;
        tracing::warn!(remote = name, count, example, "samples are refused for good: {words}");
        let words = format!("{name} refused {} samples for good, such as some of {example}: {words}", run.refused);
        self.runtime.troubles.set(&self.target.trouble(REFUSED), Severity::Warning, words);
    }

    /// What is done from time to time: the queue's upkeep, the lag.
    async fn look(&self, run: &mut Run, now: Duration) {
        let queue = Arc::clone(&self.queue);
        let upkeep = move || {
            queue.sync();
            queue.tidy();
        };
        match &self.runtime.disk {
            Disk::Os => thread::blocking(upkeep).await,
            Disk::Sim(_) => upkeep(),
        }
        if run.refused_at.is_some_and(|at| now >= at + REFUSED_QUIET) {
            (run.refused_at, run.refused) = (None, 0);
            self.runtime.troubles.clear(&self.target.trouble(REFUSED));
        }
        let lag = run.shards.oldest().map_or(Duration::ZERO, |oldest| self.runtime.clock.now().since(oldest));
        self.numbers.lag.set(lag.as_secs_f64());
        match run.shards.oldest() {
            Some(oldest) if lag > LAG_MAX => {
                // By the minute, so that the words do not change all the time.
                let oldest = Timestamp(oldest.0 - oldest.0.rem_euclid(60_000));
                let why = run.failing.as_deref().unwrap_or("it takes samples more slowly than they come");
                let words = format!("samples wait for {} since {oldest}: {why}", self.target.name);
                self.runtime.troubles.set(&self.target.trouble(LAG), Severity::Warning, words);
            }
            _ => self.runtime.troubles.clear(&self.target.trouble(LAG)),
        }
    }
}

fn typed(request: Request, version: Version) -> Request {
    let (kind, number) = match version {
        Version::V1 => (CONTENT_TYPE_V1, VERSION_V1),
        Version::V2 => (CONTENT_TYPE_V2, VERSION_V2),
    };
    let request = request.header("content-type", kind).header("content-encoding", "snappy");
    Request { body_max: ANSWER_MAX, ..request.header(VERSION_HEADER, number) }
}

/// What a piece's metric is: described under its own name or under that of the family it belongs to.
fn described<'a>(known: &'a HashMap<String, Metadata>, piece: &Piece) -> Option<&'a Metadata> {
    let name = piece.labels.name()?;
    let family = || ["_total", "_bucket", "_count", "_sum"].iter().find_map(|end| known.get(name.strip_suffix(end)?));
    known.get(name).or_else(family)
}
