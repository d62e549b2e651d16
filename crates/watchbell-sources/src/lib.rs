//! Sources: what brings data in, and hands it on.
//!
//! Each source writes samples through [`Append`] and tells what it saw through [`Observe`]; it knows no store and no
//! alarm. A target that is down, a line that cannot be read, a ping nobody expects are values here, not errors.
//!
//! Invariant: a source never waits for another one, and never dies of what a target sends.

#[cfg(test)]
mod bench;
pub mod discovery;
pub mod dns;
pub mod heartbeat;
pub mod host;
pub mod intake;
pub mod place;
pub mod probe;
pub mod scrape;

use std::sync::Arc;

use watchbell_model::{Append, Observe, State};
use watchbell_runtime::Runtime;

/// What every source is given.
#[derive(Clone)]
pub struct Context {
    /// The outside world.
    pub runtime: Runtime,
    /// Where samples go.
    pub append: Arc<dyn Append>,
    /// Who judges what was seen.
    pub observe: Arc<dyn Observe>,
    /// Where a source keeps what it must not forget.
    pub state: Arc<dyn State>,
    /// What running monitors share.
    pub live: probe::Live,
}
