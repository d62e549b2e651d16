//! Warnings and infos of a query, worded as Prometheus words its annotations.

use crate::histogram::Met;
use crate::number::format_general;
use crate::promql::{TextSpan, line_and_column, quote};
use watchbell_model::Timestamp;

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteLevel {
    /// The result may be wrong.
    Warning,
    /// The query may not mean what its author meant.
    Info,
}

/// What the reader of a result should know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// How much it matters.
    pub level: NoteLevel,
    /// What it says.
    pub message: String,
    /// The part of the expression it is about.
    pub span: TextSpan,
    repair: Option<Repair>,
}

/// What had to be repaired in the buckets of histograms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Repair {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) bucket_min: f64,
    pub(super) bucket_max: f64,
    pub(super) difference_max: f64,
    pub(super) count: usize,
}

impl Note {
    pub(super) fn warning(message: impl Into<String>, span: TextSpan) -> Note {
        Note { level: NoteLevel::Warning, message: message.into(), span, repair: None }
    }

    pub(super) fn info(message: impl Into<String>, span: TextSpan) -> Note {
        Note { level: NoteLevel::Info, message: message.into(), span, repair: None }
    }

    pub(super) fn repaired(message: impl Into<String>, span: TextSpan, repair: Repair) -> Note {
        Note { level: NoteLevel::Info, message: message.into(), span, repair: Some(repair) }
    }

    /// A quantile outside of 0 to 1.
    pub(super) fn quantile(quantile: f64, span: TextSpan) -> Note {
        let got = format_general(quantile);
        Note::warning(format!("quantile value should be between 0 and 1, got {got}"), span)
    }

    /// A range or a group holds both kinds of samples; `what`: `metric name "…"` or `aggregation`.
    pub(super) fn mixed(what: &str, span: TextSpan) -> Note {
        Note::warning(format!("encountered a mix of histograms and floats for {what}"), span)
    }

    /// Exponential and custom buckets of one metric.
    pub(super) fn mixed_buckets(metric: &str, span: TextSpan) -> Note {
        let message = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
        Note::warning(format!("{message} {}", quote(metric)), span)
    }

    /// What happened when histograms were brought together by `operation`.
    pub(super) fn of_meeting(met: Met, operation: &str, span: TextSpan) -> Vec<Note> {
        let mut notes = Vec::new();
        if met.resets_collide {
            notes.push(Note::warning(format!("conflicting counter resets during histogram {operation}"), span));
        }
        if met.bounds_differ {
            notes.push(Note::info(format!("mismatched custom buckets were reconciled during {operation}"), span));
        }
        notes
    }

    /// Histograms that an aggregation has no use for.
    pub(super) fn ignored(aggregation: &str, span: TextSpan) -> Note {
        Note::info(format!("ignored histogram in {aggregation} aggregation"), span)
    }

    /// As Prometheus' API prints it, with the place in the expression's text: `PromQL info: … (1:7)`.
    pub fn with_place(&self, text: &str) -> String {
        let level = match self.level {
            NoteLevel::Warning => "PromQL warning",
            NoteLevel::Info => "PromQL info",
        };
        let (line, column) = line_and_column(text, self.span.start);
        let message = &self.message;
        let Some(repair) = self.repair else { return format!("{level}: {message} ({line}:{column})") };
        let seconds = |millis: i64| {
            let at = Timestamp(millis.div_euclid(1000) * 1000).to_string();
            at.replace(".000Z", "Z")
        };
        format!(
            "{level}: {message}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {} ({line}:{column})",
            format_general(repair.bucket_min),
            format_general(repair.bucket_max),
            format_general(two_digits(repair.difference_max)),
            repair.count,
            seconds(repair.first),
            seconds(repair.last),
        )
    }

    /// Takes in another note of the same message.
    fn merge(&mut self, other: &Note) {
        if let (Some(mine), Some(other)) = (&mut self.repair, &other.repair) {
            mine.first = mine.first.min(other.first);
            mine.last = mine.last.max(other.last);
            mine.bucket_min = mine.bucket_min.min(other.bucket_min);
            mine.bucket_max = mine.bucket_max.max(other.bucket_max);
            mine.difference_max = mine.difference_max.max(other.difference_max);
            mine.count += other.count;
        }
    }
}

/// Most different notes of one query; further ones say nothing new.
const NOTES_MAX: usize = 100;

/// Adds a note, or merges it with one of the same message.
pub(super) fn add(notes: &mut Vec<Note>, note: Note) {
    let known = notes.iter().position(|have| have.level == note.level && have.message == note.message);
    match known {
        Some(known) => notes[known].merge(&note),
        None if notes.len() < NOTES_MAX => notes.push(note),
        None => {}
    }
}

/// Rounded to two significant digits.
fn two_digits(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}
