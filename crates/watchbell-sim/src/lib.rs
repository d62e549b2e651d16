//! Other people's servers, for the simulator and for tests over real sockets: receivers of pages that misbehave as
//! real ones do, mail servers, certificates of any age.
//!
//! Unpublished. Every server here takes a [`watchbell_runtime::Stream`], so it serves a simulated host and a real
//! listener alike.

mod certificate;
mod mail;
mod receiver;

pub use certificate::{Authority, tls};
pub use mail::{MailServer, Protocol};
pub use receiver::{Behaviour, Received, Receiver};
