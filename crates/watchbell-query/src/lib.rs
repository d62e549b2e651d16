//! Query languages over series: PromQL today.
//!
//! [`promql`] reads and prints expressions, [`Engine`] evaluates them over the port `watchbell_model::Query`. The numbers
//! are those of Prometheus 3.14, for floats and native histograms; `cargo xtask differential` compares.
//!
//! Pure: no clock, no IO, no task. What depends on the moment takes it as an argument.

mod eval;
mod histogram;
mod memory;
mod number;
pub mod promql;

pub use eval::{Answer, Element, Engine, EngineOptions, EvalError, Explained, Note, NoteLevel, QueryStats, Value};
pub use histogram::{
    HistogramBucket, buckets as histogram_buckets, format as format_histogram, is_reset as histogram_is_reset,
};
pub use memory::MemorySeries;
pub use number::{format_value, write_value, write_whole};
