//! The two stores as one: what comes goes into the local one and into the queue, what is asked is put together from
//! both.
//!
//! What the local store holds in full (from [`RemoteStore::local_from`] on) is read from it alone, so alarms are judged
//! while the other store is away, as far back as that reaches. Older samples are asked of the other one, and where both
//! have a sample for a time the local one counts.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use watchbell_model::{
    Append, AppendError, Appended, Batch, BoxFuture, Exemplar, Found, Labels, Lookup, Matcher, Metadata, Query,
    QueryError, Rollup, Series, SeriesKey, SeriesRef, Span, Timestamp,
};
use watchbell_runtime::thread::Waiter;
use watchbell_runtime::{Disk, Runtime, Task, thread};

use super::config::{Local, RemoteConfig};
use super::known::{Known, Stranger};
use super::queue::Queue;
use super::read::{Reader, merge};
use super::record;
use super::send::Sender;
use super::target::{Target, folders};
use crate::OpenError;
use crate::metrics::{MetricStore, MetricsConfig, SELECT_SAMPLES_MAX};

/// How often series are forgotten that nothing comes for.
const TURN_EVERY: Duration = Duration::from_secs(1200);

/// The local store and the one beyond, open. Cheap to clone.
#[derive(Clone)]
pub struct RemoteStore {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    local: Option<MetricStore>,
    /// Since when the local store has had all that came.
    since: Timestamp,
    retention: Span,
    series_limit: u64,
    known: Mutex<Known>,
    /// One for each place that samples go on to, with its queue.
    senders: Vec<Sender>,
    reader: Option<Reader>,
    waiter: Waiter,
}

impl RemoteStore {
    /// Opens the queue in a folder, made if need be. `local`: the local store; it is left out of account where the
    /// configuration says so.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn open(
        runtime: &Runtime,
        dir: &Path,
        config: &RemoteConfig,
        metrics: &MetricsConfig,
        local: Option<MetricStore>,
    ) -> Result<RemoteStore, OpenError> {
        runtime.disk.create_dir_all(dir).map_err(OpenError::io("make", dir))?;
        let local = local.filter(|_| config.local == Local::Cache);
        let since = match &local {
            Some(local) => since(runtime, dir, local).map_err(OpenError::io("write in", dir))?,
            None => Timestamp::MAX,
        };
        let targets = Target::all(config);
        let folders = folders(&runtime.disk, dir, &targets).map_err(OpenError::io("make folders in", dir))?;
        let mut senders = Vec::with_capacity(targets.len());
        for (target, dir) in targets.into_iter().map(Arc::new).zip(&folders) {
            let queue = Queue::open(runtime, dir, &target, config.queue.clone(), metrics.fsync)
                .map_err(OpenError::io("open the queue in", dir))?;
            senders.push(Sender::new(runtime, &target, &config.external_labels, Arc::new(queue)));
        }
        let inner = Inner {
            runtime: runtime.clone(),
            local,
            since,
            retention: metrics.retention,
            series_limit: metrics.series_limit,
            known: Mutex::default(),
            senders,
            reader: Reader::new(runtime, config),
            waiter: Waiter::here(),
        };
        Ok(RemoteStore { inner: Arc::new(inner) })
    }

    /// What sends, each to its place; without it samples wait in the queues. Asked to stop, they go on for some seconds to
    /// empty their queues.
    pub fn tasks(&self) -> Vec<Task> {
        let sends = (0..).zip(&self.inner.senders).map(|(at, sender)| {
            let store = self.clone();
            Task::new(sender.target().task(), 0, move |stop| {
                let store = store.clone();
                async move { store.inner.senders[at].run(stop).await }
            })
        });
        let store = self.clone();
        let forget = Task::new("remote-series", 0, move |stop| {
            let store = store.clone();
            async move {
                loop {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        () = store.inner.runtime.clock.sleep(TURN_EVERY) => store.inner.known().turn(),
                    }
                }
            }
        });
        sends.chain([forget]).collect()
    }

    /// Refuses further batches; what waits survives power loss and is sent after the next start. The local store is
    /// closed by whoever opened it.
    pub fn close(&self) {
        self.inner.senders.iter().for_each(|sender| sender.queue().close());
    }

    /// From when on the local store has all that came.
    pub fn local_from(&self) -> Timestamp {
        let inner = &self.inner;
        let Some(local) = &inner.local else { return Timestamp::MAX };
        let kept = inner.runtime.clock.now() - inner.retention.duration();
        // A bound on size may have taken more than the retention says.
        inner.since.max(kept).max(local.oldest_block().unwrap_or(Timestamp::MIN))
    }
}

/// Since when the local store has been told everything: written down once. A store that held something already before
/// there was another one holds all there is.
fn since(runtime: &Runtime, dir: &Path, local: &MetricStore) -> std::io::Result<Timestamp> {
    let (disk, path): (_, PathBuf) = (&runtime.disk, dir.join("since"));
    let written = disk.read_text(&path).ok().and_then(|text| text.trim().parse().ok());
    if let Some(written) = written {
        return Ok(Timestamp(written));
    }
    let stats = local.stats();
    let is_new = stats.blocks == 0 && stats.series == 0;
    let since = if is_new { runtime.clock.now() } else { Timestamp::MIN };
    disk.write_atomic(&path, format!("{}\n", since.0).as_bytes())?;
    Ok(since)
}

impl Inner {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no panic while held")
    }

    async fn take(&self, batch: Batch) -> Result<Appended, AppendError> {
        let (slots, mut labels) = {
            let mut known = self.known();
            let slots = known.resolve(&batch.series, self.series_limit);
            let labels: Vec<Option<Labels>> = slots.iter().map(|slot| known.labels(slot.ok()?).cloned()).collect();
            (slots, labels)
        };
        let mut appended = match &self.local {
            Some(local) => self.take_local(local, &batch, &slots, &mut labels).await?,
            None => counted(&batch, &slots),
        };
        let batch = without(batch, &appended.refused_at);
        let records = record::encode(&batch, &labels, self.runtime.clock.now());
        if !records.is_empty() {
            let queues: Vec<Arc<Queue>> = self.senders.iter().map(|sender| Arc::clone(sender.queue())).collect();
            // Each gets it, whatever becomes of the others; who asks again adds the same samples.
            let add = move || queues.iter().map(|queue| queue.add(&records)).fold(Ok(()), Result::and);
            match &self.runtime.disk {
                Disk::Os => thread::blocking(add).await,
                Disk::Sim(_) => add(),
            }
            .map_err(AppendError::Unavailable)?;
        }
        let known = self.known();
        let reference = |(slot, labels): (&Result<u32, Stranger>, &Option<Labels>)| -> Option<SeriesRef> {
            // It may have been forgotten meanwhile.
            let slot = slot.ok().filter(|slot| labels.is_some() && known.labels(*slot) == labels.as_ref())?;
            Some(known.reference(slot))
        };
        appended.refs = slots.iter().zip(&labels).map(reference).collect();
        Ok(appended)
    }

    /// Hands a batch to the local store under its own references. The labels of series that it refuses go out of
    /// `labels`: what is not kept here is not sent either, so that both stores say the same, and so does the answer.
    async fn take_local(
        &self,
        local: &MetricStore,
        batch: &Batch,
        slots: &[Result<u32, Stranger>],
        labels: &mut [Option<Labels>],
    ) -> Result<Appended, AppendError> {
        let key = |slot: &Result<u32, Stranger>, labels: &Option<Labels>, known: &Known| match (slot, labels) {
            (Ok(slot), Some(labels)) => {
                known.local(*slot).map_or_else(|| SeriesKey::Labels(labels.clone()), SeriesKey::Known)
            }
            // Counted as what it is: one that nobody knows.
            _ => SeriesKey::Known(SeriesRef(u64::MAX)),
        };
        let series: Vec<SeriesKey> = {
            let known = self.known();
            slots.iter().zip(&*labels).map(|(slot, labels)| key(slot, labels, &known)).collect()
        };
        let mut appended = local.append(Batch { series: series.clone(), ..batch.clone() }).await?;
        if appended.refs.len() == series.len() {
            self.take_refs(slots, &series, &appended.refs);
            // The local store has forgotten some that we have not: again, by their labels.
            let again: Vec<usize> = (0..series.len())
                .filter(|at| {
                    appended.refs[*at].is_none() && labels[*at].is_some() && matches!(series[*at], SeriesKey::Known(_))
                })
                .collect();
            if !again.is_empty() {
                let (part, samples) = part(batch, &again, labels);
                let lost = part.len() as u64;
                let second = local.append(part).await?;
                appended.unknown = appended.unknown.saturating_sub(lost);
                appended.refused_at.retain(|at| samples.binary_search(at).is_err());
                appended.refused_at.extend(second.refused_at.iter().map(|at| samples[*at as usize]));
                appended.refused_at.sort_unstable();
                add(&mut appended, second, &again);
                self.take_refs(slots, &series, &appended.refs);
            }
            for (labels, reference) in labels.iter_mut().zip(&appended.refs) {
                if reference.is_none() {
                    *labels = None;
                }
            }
        }
        // A series past the limit was counted as unknown, because it was not named to the local store.
        let over = counted(batch, slots).over_limit;
        appended.unknown = appended.unknown.saturating_sub(over);
        appended.over_limit += over;
        Ok(appended)
    }

    /// Notes how the local store refers to series; those that it refused are forgotten.
    fn take_refs(&self, slots: &[Result<u32, Stranger>], series: &[SeriesKey], refs: &[Option<SeriesRef>]) {
        let mut known = self.known();
        for ((slot, key), reference) in slots.iter().zip(series).zip(refs) {
            let Ok(slot) = *slot else { continue };
            match (reference, key) {
                (Some(_), _) => known.set_local(slot, *reference),
                (None, SeriesKey::Labels(_)) => known.forget(slot),
                (None, SeriesKey::Known(_)) => known.set_local(slot, None),
            }
        }
    }

    /// Where the question must go besides the local store: the other one, up to that time.
    fn reader_for(&self, start: Timestamp, end: Timestamp, local_from: Timestamp) -> Option<(&Reader, Timestamp)> {
        let reader = self.reader.as_ref()?;
        (start < local_from).then_some((reader, end.min(local_from)))
    }

    fn wait<T>(&self, future: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        match &self.runtime.disk {
            Disk::Os => self.waiter.wait(future),
            Disk::Sim(_) => Err(QueryError::Unavailable("a simulated world has one thread, which cannot wait".into())),
        }
    }
}

/// What becomes of a batch where everything is kept whose series is known.
fn counted(batch: &Batch, slots: &[Result<u32, Stranger>]) -> Appended {
    let mut appended = Appended::default();
    let mut count = |series: u32, kept: &mut dyn FnMut(&mut Appended)| match slots[series as usize] {
        Ok(_) => kept(&mut appended),
        Err(Stranger::Stale) => appended.unknown += 1,
        Err(Stranger::OverLimit) => appended.over_limit += 1,
    };
    for sample in &batch.samples {
        count(sample.series, &mut |appended| appended.kept += 1);
    }
    for sample in &batch.histograms {
        count(sample.series, &mut |appended| {
            appended.kept += 1;
            appended.kept_histograms += 1;
        });
    }
    appended.kept_exemplars =
        batch.exemplars.iter().filter(|(series, _)| slots[*series as usize].is_ok()).count() as u64;
    if appended.over_limit > 0 {
        appended.example = Some("there are as many active series as `storage.metrics.series_limit` allows".into());
    }
    appended
}

/// What of a batch belongs to these series, by their labels, and where each of its samples stands in the batch.
fn part(batch: &Batch, series: &[usize], labels: &[Option<Labels>]) -> (Batch, Vec<u32>) {
    let (mut part, mut samples) = (Batch::new(Arc::clone(&batch.source)), Vec::new());
    let mut places = vec![None; batch.series.len()];
    for at in series {
        if let Some(labels) = &labels[*at] {
            places[*at] = Some(part.add(SeriesKey::Labels(labels.clone())));
        }
    }
    let place = |series: u32| places[series as usize];
    for (at, sample) in (0..).zip(&batch.samples) {
        if let Some(series) = place(sample.series) {
            part.samples.push(watchbell_model::BatchSample { series, ..*sample });
            samples.push(at);
        }
    }
    for (at, sample) in (batch.samples.len() as u32..).zip(&batch.histograms) {
        if let Some(series) = place(sample.series) {
            part.histograms.push(watchbell_model::BatchHistogram { series, ..sample.clone() });
            samples.push(at);
        }
    }
    part.starts = batch.starts.iter().filter_map(|(series, at, start)| Some((place(*series)?, *at, *start))).collect();
    part.exemplars =
        batch.exemplars.iter().filter_map(|(series, exemplar)| Some((place(*series)?, exemplar.clone()))).collect();
    (part, samples)
}

/// A batch without some of its samples, by their places in order.
fn without(mut batch: Batch, refused: &[u32]) -> Batch {
    if refused.is_empty() {
        return batch;
    }
    let mut at = 0..;
    let mut stays = || at.next().is_some_and(|at| refused.binary_search(&at).is_err());
    batch.samples.retain(|_| stays());
    batch.histograms.retain(|_| stays());
    batch
}

/// Adds what became of a part of a batch.
fn add(all: &mut Appended, part: Appended, places: &[usize]) {
    all.kept += part.kept;
    all.kept_histograms += part.kept_histograms;
    all.kept_exemplars += part.kept_exemplars;
    all.duplicate += part.duplicate;
    all.too_old += part.too_old;
    all.too_new += part.too_new;
    all.over_limit += part.over_limit;
    all.unknown += part.unknown;
    all.example = part.example.or_else(|| all.example.take());
    for (place, reference) in places.iter().zip(part.refs) {
        all.refs[*place] = reference;
    }
}

impl Append for RemoteStore {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            if batch.is_empty() {
                return Ok(Appended::default());
            }
            self.inner.take(batch).await
        })
    }
}

impl Query for RemoteStore {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        let (inner, from) = (&self.inner, self.local_from());
        let mut found = match &inner.local {
            Some(local) => local.select(matchers, start, end)?,
            None => Vec::new(),
        };
        let Some((reader, until)) = inner.reader_for(start, end, from) else { return Ok(found) };
        found.extend(inner.wait(reader.select(matchers, start, until))?);
        if found.iter().map(Series::size).sum::<usize>() > SELECT_SAMPLES_MAX {
            return Err(QueryError::TooMany { limit: SELECT_SAMPLES_MAX });
        }
        Ok(merge(found))
    }

    fn each(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        visit: &mut dyn FnMut(Series) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        match &self.inner.local {
            Some(local) if self.inner.reader_for(start, end, self.local_from()).is_none() => {
                local.each(matchers, start, end, visit)
            }
            _ => {
                for series in self.select(matchers, start, end)? {
                    if visit(series).is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    fn batches(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        work: &(dyn Fn(usize, Vec<Series>) -> ControlFlow<()> + Sync),
    ) -> Result<(), QueryError> {
        match &self.inner.local {
            Some(local) if self.inner.reader_for(start, end, self.local_from()).is_none() => {
                local.batches(matchers, start, end, work)
            }
            _ => {
                let _ = work(0, self.select(matchers, start, end)?);
                Ok(())
            }
        }
    }

    fn rollup(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        width: Span,
    ) -> Result<Vec<(Labels, Vec<Rollup>)>, QueryError> {
        match &self.inner.local {
            Some(local) if self.inner.reader_for(start, end, self.local_from()).is_none() => {
                local.rollup(matchers, start, end, width)
            }
            _ => {
                let sum = |series: Series| (Rollup::of_series(&series, width), series.labels);
                let found = self.select(matchers, start, end)?.into_iter().map(sum);
                Ok(found.filter(|(sums, _)| !sums.is_empty()).map(|(sums, labels)| (labels, sums)).collect())
            }
        }
    }

    fn series(&self, lookup: &Lookup<'_>) -> Result<Found<Labels>, QueryError> {
        self.look_up(lookup, |local| local.series(lookup), |reader, there| self.inner.wait(reader.series(&there)))
    }

    fn label_names(&self, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        let there = |reader: &Reader, there: Lookup<'_>| self.inner.wait(reader.label_names(&there));
        self.look_up(lookup, |local| local.label_names(lookup), there)
    }

    fn label_values(&self, name: &str, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        let there = |reader: &Reader, there: Lookup<'_>| self.inner.wait(reader.label_values(name, &there));
        self.look_up(lookup, |local| local.label_values(name, lookup), there)
    }

    /// The local store's: others keep them seldom.
    fn exemplars(&self, lookup: &Lookup<'_>) -> Result<Vec<(Labels, Vec<Exemplar>)>, QueryError> {
        self.inner.local.as_ref().map_or_else(|| Ok(Vec::new()), |local| local.exemplars(lookup))
    }

    /// The local store's.
    fn metadata(&self, metric: Option<&str>) -> Result<Vec<(String, Vec<Metadata>)>, QueryError> {
        self.inner.local.as_ref().map_or_else(|| Ok(Vec::new()), |local| local.metadata(metric))
    }
}

impl RemoteStore {
    fn look_up<T: Ord>(
        &self,
        lookup: &Lookup<'_>,
        here: impl FnOnce(&MetricStore) -> Result<Found<T>, QueryError>,
        there: impl FnOnce(&Reader, Lookup<'_>) -> Result<Found<T>, QueryError>,
    ) -> Result<Found<T>, QueryError> {
        let local = self.inner.local.as_ref().map(here).transpose()?;
        let Some((reader, until)) = self.inner.reader_for(lookup.start, lookup.end, self.local_from()) else {
            return Ok(local.unwrap_or(Found { items: Vec::new(), cut: false }));
        };
        let remote = there(reader, Lookup { end: until, ..*lookup })?;
        let Some(local) = local else { return Ok(remote) };
        let cut = local.cut || remote.cut;
        let found = Found::new(local.items.into_iter().chain(remote.items), lookup.limit);
        Ok(Found { cut: found.cut || cut, ..found })
    }
}
