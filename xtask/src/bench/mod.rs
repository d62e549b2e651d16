//! What watchbell costs, alone and beside its peers.

mod client;
mod engine;
mod fleet;
mod idle;
mod metrics;
mod process;
mod recorded;
mod send;
mod table;

pub use idle::idle;
pub use metrics::{Options, run as metrics};
