//! What is kept: durable state ([`state`]) and series ([`metrics`]), in one data folder; series beyond it ([`remote`]).
//!
//! Leaves out what the data means: documents are bytes under a key, series are numbers under labels. The two share
//! nothing but the folder, so that losing the series never costs a page.

pub mod data_dir;
pub mod metrics;
pub mod remote;
pub mod state;

pub use data_dir::{DataDir, OpenError};
pub use metrics::{Fsync, MetricStore, MetricsConfig};
pub use remote::{RemoteConfig, RemoteReadConfig, RemoteStore, RemoteWriteConfig};
pub use state::SqliteState;
