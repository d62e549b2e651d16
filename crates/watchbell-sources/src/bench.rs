//! What tests put around a source: ports that write down what they are given.

use std::sync::{Arc, Mutex};

use watchbell_model::{
    Append, AppendError, Appended, Batch, BoxFuture, Change, MemoryState, Observation, Observe, Point, State,
    StateError,
};
use watchbell_runtime::sim;

use crate::Context;

/// A context and what came out of its source.
pub(crate) struct Bench {
    pub(crate) context: Context,
    pub(crate) state: Arc<MemoryState>,
    ports: Arc<Ports>,
}

struct Ports {
    state: Arc<MemoryState>,
    seen: Mutex<Vec<Observation>>,
    points: Mutex<Vec<Point>>,
    refuse: Mutex<bool>,
}

pub(crate) fn bench(world: &sim::World) -> Bench {
    let state = Arc::new(MemoryState::new());
    let ports = Arc::new(Ports {
        state: Arc::clone(&state),
        seen: Mutex::default(),
        points: Mutex::default(),
        refuse: Mutex::default(),
    });
    let context =
        Context { runtime: world.runtime(), append: ports.clone(), observe: ports.clone(), state: state.clone() };
    Bench { context, state, ports }
}

impl Bench {
    /// What was observed since it was last asked.
    pub(crate) fn seen(&self) -> Vec<Observation> {
        std::mem::take(&mut self.ports.seen.lock().unwrap())
    }

    /// What was appended since it was last asked.
    pub(crate) fn points(&self) -> Vec<Point> {
        std::mem::take(&mut self.ports.points.lock().unwrap())
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
            let kept = batch.len() as u64;
            self.points.lock().unwrap().extend(batch.points());
            Ok(Appended { kept, ..Appended::default() })
        })
    }
}
