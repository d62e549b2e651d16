//! watchbell: monitoring, alarms and paging for a small team, as one small binary.
//!
//! This crate composes what the others do: the configuration from each part's struct, the stages in the order of the
//! data, the commands. It decides nothing itself.

pub mod addresses;
pub mod app;
pub mod cli;
mod composites;
pub mod config;
pub mod deadman;
pub mod default;
pub mod dependencies;
pub mod embedded;
pub mod forward;
mod sights;
mod standing;
