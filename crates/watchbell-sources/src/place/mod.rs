//! Places: agents that probe monitors from other networks, and the side that hears them.
//!
//! An agent is the probes of [`probe`](crate::probe) with a [`buffer`] in place of the store and the alarms, and one
//! outgoing connection. It knows no configuration: what it probes is told by the server in answer to what it reports.
//! Each exchange is a `POST` that carries results one way and the assignment the other; see [`exchange`].
//!
//! Invariants: a result counts once, however often it is sent; what comes too late to say anything of now is kept as
//! samples and judged no more; a place that is not heard has no vote, and is told of once.

mod agent;
mod buffer;
mod config;
mod exchange;
mod places;
mod standing;

#[cfg(test)]
mod tests;

pub use agent::{Agent, AgentError};
pub use buffer::RESULTS_MAX;
pub use config::PlaceConfig;
pub use exchange::{Answer, Exchange, PROTOCOL};
pub use places::{ExchangeError, Places};
pub use standing::{PlaceState, PlaceStatus};
