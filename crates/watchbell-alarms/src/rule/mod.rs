//! Prometheus' rule files: alerting and recording rules over what the store holds.
//!
//! [`file`](RuleFile) is what stands in the file, [`GroupSpec`] is what is run. `evaluate` asks the query engine and
//! writes the templates, `instance` decides which label sets are pending, firing or over, `run` waits for the group's
//! slot and commits.
//!
//! As Prometheus, but for three things that its users lose pages by: label sets that fire are kept over a restart and
//! end only by an evaluation that succeeded; a `limit` that is passed is an error that leaves firing alerts as they
//! are; after an outage nothing ends before data had time to arrive again. What a rule may say beyond Prometheus stands
//! in annotations of ours (`addition`).

mod addition;
pub(crate) mod evaluate;
mod file;
mod group;
pub(crate) mod instance;
pub(crate) mod numbers;
mod past;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod take;

pub use addition::{Additions, NoData, PREFIX as OWN_ANNOTATIONS};
pub use evaluate::{RuleError, RuleGlobals};
pub use file::{GroupConfig, RuleConfig, RuleFile};
pub use group::{GroupDefaults, GroupSpec, RuleSpec};
pub use status::{Activity, AlertInstance, GroupStatus, Health, RuleStatus, RuleType};
