//! The alarms as the binary runs them: simulated time, durable state that survives a crash, everything raised on record.

mod additions;
mod generator;
mod own;
mod rules;
mod survival;
mod time;
mod world;
