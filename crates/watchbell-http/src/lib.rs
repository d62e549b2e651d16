//! Every surface that watchbell speaks on: the UI, the own API, and the APIs of the tools it stands in for.
//!
//! A view: it holds nothing but sessions and tokens. It reads what the stages say of themselves, and the way back is a
//! command (a ping, an alert, a silence, a reload). Knows no store.
//!
//! Invariants: every route is in [`doors`] with the surface it belongs to, and no request reaches a handler but
//! through [`guard`]; everything shown is escaped; no file system is behind any path.

mod access;
mod action;
mod agent;
mod alertmanager;
mod api;
mod assets;
mod auth;
mod badge;
mod blackbox;
mod bulk;
mod callback;
mod config;
mod doors;
mod guard;
mod health;
mod healthchecks;
mod html;
mod otlp;
mod picture;
mod ping;
mod preface;
mod prometheus;
mod push;
mod report;
mod serve;
mod signin;
mod sink;
mod sns;
mod status;
mod upkeep;

use std::sync::Arc;

use axum::Router;
use tokio::sync::Semaphore;
use watchbell_alarms::Alarms;
use watchbell_alerts::Alerts;
use watchbell_model::{Append, Draw, Query, State, Upkeep};
use watchbell_notify::Notify;
use watchbell_query::{Engine, EngineOptions};
use watchbell_runtime::{CancellationToken, Runtime};
use watchbell_sources::heartbeat::Heartbeats;
use watchbell_sources::intake::Intake;
use watchbell_sources::place::Places;
use watchbell_sources::probe::Live;
use watchbell_sources::probe::blackbox::Blackbox;
use watchbell_sources::scrape::Targets;

pub use api::events::STREAMS_MAX;

pub use auth::{
    Auth, AuthError, FIRST_LINK_VALID, LINK_VALID, LINKS_MAX, SESSION_AGE_MAX, SESSION_IDLE_MAX, SESSIONS_MAX, Session,
    TOKENS_MAX, Token,
};
pub use bulk::{BULK_IDLE_MAX, IMPORTS_MAX};
pub use config::{
    CallbacksConfig, ConfigView, HealthchecksConfig, LoadResult, QueryConfig, SecretCallback, SinkConfig, SiteInfo,
    SlackCallback, SnsConfig,
};
pub use guard::{REQUEST_TIME_MAX, SIGN_IN_WINDOW, SIGN_INS_MAX};
pub use otlp::OTLP_DECOMPRESSED_MAX;
pub use prometheus::QUERIES_WAITING_MAX;
pub use push::{PUSH_BODY_MAX, PUSH_BYTES_UNDER_WAY_MAX, PUSH_DECOMPRESSED_MAX, PUSHES_UNDER_WAY_MAX};
pub use serve::{CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADER_TIME_MAX, STOP_TIME_MAX, serve};
pub use sink::SINK_UNDER_WAY_MAX;
pub use status::{
    STATUS_PAGE_AGE_MAX, StatusGroupConfig, StatusItemConfig, StatusPageConfig, Theme, status_metadata, status_minute,
};

/// All that the surfaces show and command.
pub struct Handles {
    /// The outside world.
    pub runtime: Runtime,
    /// Sessions and tokens.
    pub auth: Auth,
    /// Whether what must be kept can be.
    pub state: Arc<dyn State>,
    /// Series.
    pub query: Arc<dyn Query>,
    /// What is told about metrics that are imported.
    pub append: Arc<dyn Append>,
    /// The store of series, to be kept in order by hand.
    pub upkeep: Arc<dyn Upkeep>,
    /// What is wrong.
    pub alarms: Arc<Alarms>,
    /// Pictures of what is wrong.
    pub draw: Arc<dyn Draw>,
    /// Who should know.
    pub alerts: Arc<Alerts>,
    /// Telling them.
    pub notify: Arc<Notify>,
    /// Jobs' signs of life.
    pub heartbeats: Heartbeats,
    /// What monitors that are pushed to hear.
    pub live: Live,
    /// From where else monitors are probed.
    pub places: Places,
    /// Probes what is asked for.
    pub blackbox: Blackbox,
    /// What is scraped.
    pub targets: Targets,
    /// What is pushed.
    pub intake: Intake,
    /// The configuration in use.
    pub config: Arc<dyn ConfigView>,
    /// Streams of events end when this is cancelled; everything else ends by itself.
    pub stop: CancellationToken,
}

/// What handlers share.
pub(crate) struct Shared {
    handles: Handles,
    sign_ins: guard::Tries,
    bars: api::bars::Bars,
    looks: api::events::Looks,
    /// For what the UI asks.
    engine: Engine,
    gate: prometheus::Gate,
    streams: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    sinking: Semaphore,
    topics: sns::Topics,
    imports: Semaphore,
    pushes: push::Room,
    status: status::Status,
}

pub(crate) type App = Arc<Shared>;

impl std::ops::Deref for Shared {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.handles
    }
}

impl Shared {
    /// Counts a request that was turned away.
    pub(crate) fn refused(&self, reason: &'static str) {
        let help = "Requests that were turned away before any handler, by reason.";
        self.runtime.metrics.counter("watchbell_http_refused_total", help, &[("reason", reason)]).inc();
    }
}

/// The router over everything, for [`serve`].
pub fn router(handles: Handles) -> Router {
    let gate = prometheus::Gate::new(handles.config.query().max_concurrency);
    doors::router(Arc::new(Shared {
        handles,
        sign_ins: guard::Tries::default(),
        bars: api::bars::Bars::default(),
        looks: api::events::Looks::default(),
        engine: Engine::new(EngineOptions::default()),
        gate,
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        followers: Arc::new(Semaphore::new(prometheus::FOLLOWERS_MAX)),
        sinking: Semaphore::new(SINK_UNDER_WAY_MAX),
        topics: sns::Topics::default(),
        imports: Semaphore::new(IMPORTS_MAX),
        pushes: push::Room::new(),
        status: status::Status::default(),
    }))
}

/// The router as a connection from `address` to `listener` sees it; [`serve`] does the same for real ones.
pub fn as_if_from(router: Router, address: std::net::SocketAddr, listener: std::net::SocketAddr) -> Router {
    router.layer(axum::Extension(guard::Peer { address, listener }))
}

/// Every route: its surface, its methods and its path. For the manual, and for tests that walk them all.
pub fn routes() -> Vec<(String, Vec<http::Method>, String)> {
    doors::doors().into_iter().map(|door| (format!("{:?}", door.surface), door.methods.to_vec(), door.path)).collect()
}
