//! The alerts stage from outside: timelines in simulated time, text in, text out.

mod acceptance;
mod chance;
mod downtime;
mod duty;
mod stage;
mod timelines;
mod trouble;
mod verdicts;
