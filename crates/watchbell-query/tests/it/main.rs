//! PromQL as scripts: the peers' own, when their folder is there, and ours.

mod batches;
mod conformance;
mod differential;
mod kinds;
mod own;
mod script;
