//! What is wrong: alarms judge what sources saw and what the store holds.
//!
//! Every kind of alarm ends in one state machine, `OK`, `ALARM` or `INSUFFICIENT_DATA`, whose transitions are kept.
//! The deciding code of each kind is pure and takes `now`; [`Alarms`] waits, commits and remembers. Knows no store, no
//! channel and no page: it reads through `Query`, writes through `Append` and `State`, and raises through `Raise`.
//!
//! Invariants:
//! - `no_lost_page`: a change of state and the alerts it raises are one commit, and memory follows the disk.
//! - `failed_is_not_resolved`: silence, an error or a restart ends no alert.
//! - A resolved alert was firing before.

mod alarms;
mod apply;
#[cfg(test)]
mod conformance;
mod draft;
mod history;
mod kept;
mod pace;
mod picture;
mod status;
mod tasks;
#[cfg(test)]
mod timeline;
mod world;

pub mod certificate;
pub mod composite;
pub mod heartbeat;
pub mod monitor;
pub mod own;
pub mod rule;
pub mod unit_test;

pub use alarms::Alarms;
pub use apply::Desired;
pub use history::HISTORY_MAX;
pub use kept::Runbook;
pub use picture::{PICTURE_PAUSE, PICTURE_TIME_MAX, Pictures};
pub use status::{MonitorStatus, PlaceVote, Standing};
