//! What tests put around a source: ports that write down what they are given.

use std::sync::{Arc, Mutex, MutexGuard};

use watchbell_model::{
    Append, AppendError, Appended, Batch, BoxFuture, Change, Exemplar, Labels, MemoryState, Metadata, Observation,
    Observe, Point, SeriesKey, SeriesRef, State, StateError,
};
use watchbell_runtime::sim;

use crate::Context;
use crate::probe::Live;

/// A context and what came out of its source.
pub(crate) struct Bench {
    pub(crate) context: Context,
    pub(crate) state: Arc<MemoryState>,
    ports: Arc<Ports>,
}

struct Ports {
    state: Arc<MemoryState>,
    seen: Mutex<Vec<Observation>>,
    store: Mutex<Store>,
    refuse: Mutex<bool>,
}

/// What a store remembers of a series that it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Memory {
    /// How to refer to it.
    #[default]
    References,
    /// Likewise, but not in the next batch any more.
    Short,
    /// Nothing.
    Nothing,
}

/// A store, as far as sources see it.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) memory: Memory,
    /// How many series it takes, if there is a bound.
    pub(crate) limit: Option<usize>,
    /// What it was given.
    pub(crate) points: Vec<Point>,
    pub(crate) exemplars: Vec<(Labels, Exemplar)>,
    pub(crate) metadata: Vec<(String, Metadata)>,
    /// How many series came by their labels.
    pub(crate) by_labels: usize,
    pub(crate) series: Vec<Labels>,
    /// References below this one are not known any more.
    pub(crate) from: usize,
}

impl Store {
    /// Knows no reference any more that it gave.
    pub(crate) fn forget(&mut self) {
        self.from = self.series.len();
    }

    pub(crate) fn take(&mut self, batch: &Batch) -> Appended {
        if self.memory == Memory::Short && batch.series.iter().any(|key| matches!(key, SeriesKey::Known(_))) {
            self.forget();
        }
        let mut appended = Appended::default();
        let places: Vec<Option<usize>> = batch.series.iter().map(|key| self.place(key)).collect();
        for sample in &batch.samples {
            let key = &batch.series[sample.series as usize];
            match (places[sample.series as usize], key) {
                (Some(place), _) => {
                    appended.kept += 1;
                    let labels = self.series[place].clone();
                    self.points.push(Point { labels, timestamp: sample.timestamp, value: sample.value });
                }
                (None, SeriesKey::Known(_)) => appended.unknown += 1,
                (None, SeriesKey::Labels(_)) => appended.over_limit += 1,
            }
        }
        for (series, exemplar) in &batch.exemplars {
            if let Some(place) = places[*series as usize] {
                self.exemplars.push((self.series[place].clone(), exemplar.clone()));
            }
        }
        self.metadata.extend(batch.metadata.iter().cloned());
        if self.memory != Memory::Nothing {
            appended.refs = places.iter().map(|place| place.map(|place| SeriesRef(place as u64))).collect();
        }
        appended
    }

    fn place(&mut self, key: &SeriesKey) -> Option<usize> {
        match key {
            SeriesKey::Known(known) => Some(known.0 as usize).filter(|place| *place >= self.from),
            SeriesKey::Labels(labels) => {
                self.by_labels += 1;
                let known = self.series[self.from..].iter().position(|have| have == labels);
                if known.is_none() && self.limit.is_some_and(|limit| self.series.len() - self.from >= limit) {
                    return None;
                }
                Some(known.map_or_else(
                    || {
                        self.series.push(labels.clone());
                        self.series.len() - 1
                    },
                    |place| place + self.from,
                ))
            }
        }
    }
}

pub(crate) fn bench(world: &sim::World) -> Bench {
    let state = Arc::new(MemoryState::new());
    let ports = Arc::new(Ports {
        state: Arc::clone(&state),
        seen: Mutex::default(),
        store: Mutex::default(),
        refuse: Mutex::default(),
    });
    let context = Context {
        runtime: world.runtime(),
        append: ports.clone(),
        observe: ports.clone(),
        state: state.clone(),
        live: Live::default(),
    };
    Bench { context, state, ports }
}

impl Bench {
    /// What was observed since it was last asked.
    pub(crate) fn seen(&self) -> Vec<Observation> {
        std::mem::take(&mut self.ports.seen.lock().unwrap())
    }

    /// What was appended since it was last asked.
    pub(crate) fn points(&self) -> Vec<Point> {
        std::mem::take(&mut self.store().points)
    }

    /// The store as it stands.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.ports.store.lock().unwrap()
    }

    /// From now on the store takes nothing, or works again.
    pub(crate) fn refuse_samples(&self, refuse: bool) {
        *self.ports.refuse.lock().unwrap() = refuse;
    }
}

impl Observe for Ports {
    fn observe(&self, seen: Vec<Observation>, with: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        self.seen.lock().unwrap().extend(seen);
        self.state.commit(with)
    }
}

impl Append for Ports {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            if *self.refuse.lock().unwrap() {
                return Err(AppendError::Unavailable("the disk is full (simulated)".into()));
            }
            Ok(self.store.lock().unwrap().take(&batch))
        })
    }
}
