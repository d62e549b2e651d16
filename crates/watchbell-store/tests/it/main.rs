//! What the store promises, seen from outside.

mod engine;
mod metrics;
mod state;
