//! Foreign formats as pure codecs: bytes to watchbell's nouns and back, a folder each.
//!
//! No IO and no clock: whoever reads a socket hands the bytes in. Every reader is bounded and answers bad input with
//! an error that names the place; none of them panics.

pub mod alertmanager;
pub mod bulk;
pub mod dns;
mod fields;
pub mod mail;
pub mod otlp;
pub mod prometheus;
mod proto;
pub mod remote_read;
pub mod remote_write;
pub mod sink;
pub mod snappy;
pub mod xml;

pub use fields::BodyError;
pub use proto::ProtoError;
