//! A whole watchbell in a simulated world: the real load path, the real stages, made-up hosts.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use watchbell::app::{App, Reload, Stores};
use watchbell::config::{self, Good};
use watchbell_model::{
    Append, Labels, Matcher, MemoryState, Query, QueryError, Rollup, Series, Span, State, Timestamp,
};
use watchbell_runtime::Runtime;
use watchbell_runtime::sim::World;
use watchbell_sim::{Authority, Receiver};
use watchbell_store::MetricStore;

/// Where its configuration lies on the simulated disk.
pub const CONFIG: &str = "/etc/watchbell/watchbell.yml";

/// A watchbell that can be started, crashed and started again.
pub struct Sim {
    pub world: World,
    /// Durable state: outlives a crash.
    pub state: Arc<MemoryState>,
    /// Whether the metrics are synced, sealed and merged: a scenario of months without metrics does without.
    pub upkeep: bool,
    /// Whether every question to the metrics fails.
    pub unreadable: Arc<AtomicBool>,
    running: Option<Running>,
}

struct Running {
    app: Arc<App>,
    store: MetricStore,
    runtime: Runtime,
}

impl Sim {
    /// Puts a configuration and its run books on the disk; starts nothing.
    pub fn new(world: World, files: &[(&str, &str)]) -> Sim {
        for (name, content) in files {
            world.disk.put(&Path::new("/etc/watchbell").join(name), content.as_bytes());
        }
        Sim { world, state: Arc::new(MemoryState::new()), upkeep: true, unreadable: Arc::default(), running: None }
    }

    /// Changes a file of the configuration.
    pub fn write(&self, name: &str, content: &str) {
        self.world.disk.put(&Path::new("/etc/watchbell").join(name), content.as_bytes());
    }

    /// Starts it; fails with the findings if the configuration is refused.
    pub async fn start(&mut self) -> Arc<App> {
        let runtime = self.world.runtime();
        let good = load(&runtime).await.unwrap_or_else(|findings| panic!("{findings}"));
        let (store, _) = MetricStore::open(&runtime, Path::new("/data/metrics"), good.config.storage.metrics.clone())
            .expect("the simulated disk works");
        let stores = Stores {
            state: Arc::clone(&self.state) as Arc<dyn State>,
            append: Arc::new(store.clone()) as Arc<dyn Append>,
            query: Arc::new(Readable { store: store.clone(), unreadable: Arc::clone(&self.unreadable) }),
            upkeep: Arc::new(store.clone()),
        };
        let again = runtime.clone();
        let reload: Reload = Arc::new(move || {
            let runtime = again.clone();
            Box::pin(async move { config::load(&runtime, &[PathBuf::from(CONFIG)]).await })
        });
        let app = App::start(runtime.clone(), stores, &good, Vec::new(), Vec::new(), reload).await.expect("it starts");
        if self.upkeep {
            runtime.supervisor.spawn("store", store.task());
        }
        self.running = Some(Running { app: Arc::clone(&app), store, runtime });
        app
    }

    /// The running one.
    pub fn app(&self) -> &Arc<App> {
        &self.running.as_ref().expect("it runs").app
    }

    /// The metrics of the running one.
    pub fn store(&self) -> &MetricStore {
        &self.running.as_ref().expect("it runs").store
    }

    /// As `kill -9`: nothing is flushed, nothing said.
    pub fn crash(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.supervisor.abort();
        }
    }

    /// As SIGTERM.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.app.stop().await;
            running.store.close();
        }
    }
}

/// Metrics that can be read, or not.
struct Readable {
    store: MetricStore,
    unreadable: Arc<AtomicBool>,
}

impl Readable {
    fn store(&self) -> Result<&MetricStore, QueryError> {
        let failed = || Err(QueryError::Unavailable("the disk failed (simulated)".into()));
        if self.unreadable.load(Ordering::SeqCst) { failed() } else { Ok(&self.store) }
    }
}

impl Query for Readable {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        self.store()?.select(matchers, start, end)
    }

    fn each(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        visit: &mut dyn FnMut(Series) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        self.store()?.each(matchers, start, end, visit)
    }

    fn rollup(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        width: Span,
    ) -> Result<Vec<(Labels, Vec<Rollup>)>, QueryError> {
        self.store()?.rollup(matchers, start, end, width)
    }
}

/// The configuration of this world, or everything that is wrong with it.
pub async fn load(runtime: &Runtime) -> Result<Good, String> {
    let loaded = config::load(runtime, &[PathBuf::from(CONFIG)]).await;
    loaded.good.ok_or_else(|| config::render_findings(&loaded.findings))
}

/// A receiver of pages behind a host and port; behind TLS if there is a certificate authority.
pub fn receiver(world: &World, host: &str, port: u16, authority: Option<&Authority>) -> Receiver {
    let receiver = Receiver::new(world.clock.clone());
    let server = receiver.clone();
    let tls = authority.map(|authority| authority.server(&[host], far(world)));
    world.net.serve(host, port, move |stream| {
        let (server, tls) = (server.clone(), tls.clone());
        async move {
            match tls {
                None => server.serve(stream).await,
                Some(tls) => {
                    if let Some(stream) = watchbell_sim::tls(&tls, stream).await {
                        server.serve(stream).await;
                    }
                }
            }
        }
    });
    receiver
}

/// A time long after every scenario.
pub fn far(world: &World) -> watchbell_model::Timestamp {
    world.clock.now() + std::time::Duration::from_secs(3 * 365 * 86_400)
}
