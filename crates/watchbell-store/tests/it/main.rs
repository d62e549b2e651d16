//! What the store promises, seen from outside.

mod metrics;
mod state;
