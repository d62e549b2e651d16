//! Every surface that watchbell speaks on: the UI, the own API, and the APIs of the tools it stands in for.
//!
//! A view: it holds nothing but sessions and tokens. It reads what the stages say of themselves, and the way back is a
//! command (a ping, an alert, a silence, a reload). Knows no store.
//!
//! Invariants: every route is in [`doors`] with the surface it belongs to, and no request reaches a handler but
//! through [`guard`]; everything shown is escaped; no file system is behind any path.

mod access;
mod api;
mod assets;
mod auth;
mod config;
mod doors;
mod guard;
mod health;
mod html;
mod ping;
mod serve;
mod signin;

use std::sync::Arc;

use axum::Router;
use watchbell_runtime::{CancellationToken, Runtime};
use watchbell_sources::heartbeat::Heartbeats;

pub use auth::{
    Auth, AuthError, FIRST_LINK_VALID, LINK_VALID, LINKS_MAX, SESSION_AGE_MAX, SESSION_IDLE_MAX, SESSIONS_MAX, Session,
    TOKENS_MAX, Token,
};
pub use config::{ConfigView, LoadResult, SinkConfig, SiteInfo};
pub use guard::{REQUEST_TIME_MAX, SIGN_IN_WINDOW, SIGN_INS_MAX};
pub use serve::{CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADER_TIME_MAX, STOP_TIME_MAX, serve};

/// All that the surfaces show and command.
pub struct Handles {
    /// The outside world.
    pub runtime: Runtime,
    /// Sessions and tokens.
    pub auth: Auth,
    /// Jobs' signs of life.
    pub heartbeats: Heartbeats,
    /// The configuration in use.
    pub config: Arc<dyn ConfigView>,
    /// Streams of events end when this is cancelled; everything else ends by itself.
    pub stop: CancellationToken,
}

/// What handlers share.
pub(crate) struct Shared {
    handles: Handles,
    sign_ins: guard::Tries,
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
    doors::router(Arc::new(Shared { handles, sign_ins: guard::Tries::default() }))
}

/// Every route and what it asks for, one per line: `surface methods path`. For the manual and for tests that walk them.
pub fn routes() -> Vec<(String, Vec<http::Method>, &'static str)> {
    doors::doors().into_iter().map(|door| (format!("{:?}", door.surface), door.methods.to_vec(), door.path)).collect()
}
