//! What watchbell costs, alone and beside its peers.

mod client;
mod engine;
mod fleet;
mod idle;
mod metrics;
mod notify;
mod ping;
mod probe;
mod process;
mod query;
mod recorded;
mod scrape;
mod send;
mod table;

use crate::peers;

pub use idle::idle;
pub use metrics::{Options, run as metrics};
pub use notify::run as notify;
pub use ping::run as ping;
pub use probe::run as probe;
pub use query::run as query;
pub use scrape::run as scrape;

/// The newest Prometheus there is to download.
pub fn prometheus() -> anyhow::Result<std::path::PathBuf> {
    Ok(peers::find("prometheus")?.path)
}
