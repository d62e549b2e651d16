//! The one door for metrics that are pushed: requests become batches, and what the store says becomes an answer.
//!
//! A series that was sent before is known by the bytes it came as ([`known`]), so it costs no work on labels. A
//! reference that the store does not know any more (of a series that was forgotten and comes again) is resolved by its
//! labels, once.
//!
//! Left out: transport. Whoever calls has read the body, within its limits, and decompressed it.
//!
//! Always: what is counted as written is in the store's log; what is refused is counted, the first of it in words; one
//! bad series never costs its neighbours.

mod batch;
mod known;
mod otlp;
mod remote_write;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use watchbell_model::{Append, AppendError, Appended};
use watchbell_runtime::Runtime;

use batch::Builder;
use known::Known;

pub use known::SERIES_KNOWN_MAX;
pub use otlp::{DELTA_NUMBERS_MAX, DELTA_SILENT_MAX, DELTA_STREAMS_MAX, OtlpConfig, TranslationStrategy};

/// How many samples one request may have: far more than any sender puts into one.
pub const REQUEST_SAMPLES_MAX: usize = 500_000;
/// How many labels a series may have.
pub const LABELS_MAX: usize = 256;
/// How many bytes the labels of a series may have.
pub const LABEL_BYTES_MAX: usize = 64 << 10;
/// How many bytes the help of a metric may have; the rest is cut off.
pub const HELP_BYTES_MAX: usize = 4096;
/// How many senders are told apart by a name of their own; further ones share one limit of series.
pub const SENDERS_MAX: usize = 64;

/// Takes pushed metrics in. Cheap to clone.
#[derive(Clone)]
pub struct Intake(Arc<Inner>);

struct Inner {
    append: Arc<dyn Append>,
    known: Known,
    /// Sources by name, so that requests share them.
    sources: Mutex<HashMap<String, Arc<str>>>,
    otlp: Mutex<otlp::InForce>,
    deltas: tokio::sync::Mutex<otlp::Deltas>,
    runtime: Runtime,
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Samples that are in the log.
    pub samples: u64,
    /// Histograms that are in the log.
    pub histograms: u64,
    /// Examples that were kept.
    pub exemplars: u64,
    /// Samples and histograms that were refused. Sending them again does not help.
    pub refused: u64,
    /// The first of them, in words.
    pub first: Option<String>,
}

/// Why nothing of a request was kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IntakeError {
    /// It cannot be read, or breaks the protocol as a whole. Sending it again does not help.
    #[error("{0}")]
    Bad(String),
    /// It holds more than is allowed at once.
    #[error("a request may have {limit} {what} at most")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// The store does not take it now; sending it again later helps.
    #[error(transparent)]
    Store(#[from] AppendError),
}

impl Intake {
    /// With nothing known yet.
    pub fn new(runtime: &Runtime, append: Arc<dyn Append>) -> Intake {
        let known = Known::new(&runtime.rng, SERIES_KNOWN_MAX);
        Intake(Arc::new(Inner {
            append,
            known,
            sources: Mutex::default(),
            otlp: Mutex::default(),
            deltas: tokio::sync::Mutex::default(),
            runtime: runtime.clone(),
        }))
    }

    /// The source that a sender's samples count for: `kind`, or `kind/sender` for one that names itself.
    fn source(&self, kind: &'static str, sender: Option<&str>) -> Arc<str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let fits = |name: &&str| (1..=64).contains(&name.len()) && name.bytes().all(plain);
        let name = sender.filter(fits).map_or_else(|| kind.to_owned(), |sender| format!("{kind}/{sender}"));
        let mut sources = self.0.sources.lock().expect("no panic while held");
        if let Some(source) = sources.get(&name) {
            return Arc::clone(source);
        }
        if sources.len() >= SENDERS_MAX {
            return kind.into();
        }
        let source: Arc<str> = name.as_str().into();
        sources.insert(name, Arc::clone(&source));
        source
    }

    /// Hands a request on. `build` makes a batch of it, or of some of its series only; always in the same order.
    async fn take(
        &self,
        kind: &'static str,
        sender: Option<&str>,
        build: impl Fn(&mut Builder<'_>) -> Result<(), IntakeError>,
    ) -> Result<Written, IntakeError> {
        let (inner, source) = (&self.0, self.source(kind, sender));
        let mut builder = Builder::new(&inner.known, Arc::clone(&source), None);
        build(&mut builder)?;
        let (batch, said) = builder.finish();
        let appended = if batch.is_empty() { Appended::default() } else { inner.append.append(batch).await? };
        let mut written = said.learn(&inner.known, &appended);
        if appended.unknown > 0 {
            let stale = said.stale(&appended);
            let mut builder = Builder::new(&inner.known, source, Some(&stale));
            build(&mut builder)?;
            let (batch, said) = builder.finish();
            let appended = inner.append.append(batch).await?;
            let again = said.learn(&inner.known, &appended);
            written.samples += again.samples;
            written.histograms += again.histograms;
            written.exemplars += again.exemplars;
            written.refused += again.refused + appended.unknown;
            written.first = written.first.or(again.first);
        }
        self.count(kind, &written);
        Ok(written)
    }

    fn count(&self, kind: &'static str, written: &Written) {
        let metrics = &self.0.runtime.metrics;
        for (outcome, count) in [("written", written.samples + written.histograms), ("refused", written.refused)] {
            let help = "Samples that were pushed, by protocol and by what became of them.";
            let labels = [("protocol", kind), ("outcome", outcome)];
            metrics.counter("watchbell_pushed_samples_total", help, &labels).add(count);
        }
    }
}
