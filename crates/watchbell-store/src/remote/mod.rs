//! A bigger store: samples go on to it through a queue on disk, and are read back from it.
//!
//! Leaves out how samples are kept here ([`crate::metrics`]) and what queries mean: raw samples are asked for, and
//! evaluated by our own engine.
//!
//! Invariants: what was acknowledged is in the queue until the other store has it; an answer that the other store gave
//! in part, or not at all, is an error and never "no data".

mod answer;
mod client;
mod config;
mod known;
mod position;
mod queue;
mod read;
mod record;
mod send;
mod shards;
mod store;
mod target;

pub use config::{
    Local, Message, QueueConfig, ReadKind, RemoteConfig, RemoteReadConfig, RemoteWriteConfig, SendConfig,
};
pub use store::RemoteStore;
