//! What parts of expressions are worth at one moment, for the other expressions that have the same parts: a thousand
//! rules over a fleet ask few different questions.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use watchbell_model::{Labels, Matcher};

use super::column::Column;
use crate::promql::{self, Expr, Node};

/// Most values that are kept; what comes later is evaluated anew.
const VALUES_MAX: usize = 500_000;
/// Most parts that are known by name.
const PARTS_MAX: usize = 20_000;

/// Of one source that does not change meanwhile, or of which [`Memo::forget`] is told what changed.
#[derive(Debug, Default)]
pub(super) struct Memo(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The moment that everything is worth this at.
    at: i64,
    /// Parts that were met once. Only from the second time on it is worth keeping them.
    met: HashSet<String>,
    parts: HashMap<String, Part>,
    values: usize,
}

#[derive(Debug)]
struct Part {
    columns: Vec<Column>,
    /// Which series it was made of.
    selectors: Vec<Vec<Matcher>>,
}

/// What to do about a part.
pub(super) enum Recalled {
    /// It is worth this.
    Worth(Vec<Column>),
    /// It was met before: evaluate it and keep what it is worth.
    Keep,
    /// It is new.
    New,
}

/// Whether a part may be kept: it reads series and is a vector.
pub(super) fn may_be_kept(expr: &Expr) -> bool {
    match &expr.node {
        Node::Selector(_) | Node::Aggregate(_) => true,
        Node::Call { function, .. } => {
            !matches!(function.name, "time" | "vector" | "scalar" | "pi" | "start" | "end" | "step" | "range")
        }
        // What is compared with a number differs from rule to rule.
        Node::Binary { left, right, .. } => {
            [left, right].iter().all(|side| side.value_type() == promql::ValueType::Vector)
        }
        _ => false,
    }
}

impl Memo {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn recall(&self, at: i64, key: &str) -> Recalled {
        let mut known = self.known();
        if known.at != at {
            *known = Known { at, ..Known::default() };
        }
        if let Some(part) = known.parts.get(key) {
            return Recalled::Worth(part.columns.clone());
        }
        if known.met.contains(key) {
            return Recalled::Keep;
        }
        if known.met.len() < PARTS_MAX {
            known.met.insert(key.to_owned());
        }
        Recalled::New
    }

    pub(super) fn keep(&self, at: i64, key: String, expr: &Expr, columns: &[Column]) {
        // It reads series that it does not name.
        let mut is_info = false;
        expr.visit(&mut |expr| is_info |= matches!(&expr.node, Node::Call { function, .. } if function.name == "info"));
        let mut known = self.known();
        let values = known.values + columns.len() + 1;
        if known.at == at && !is_info && values <= VALUES_MAX {
            known.values = values;
            known.parts.insert(key, Part { columns: columns.to_vec(), selectors: promql::selectors(expr) });
        }
    }

    /// Forgets what may have been made of series with these labels.
    pub(super) fn forget(&self, changed: &[Labels]) {
        let reads = |matchers: &Vec<Matcher>| {
            changed.iter().any(|labels| matchers.iter().all(|matcher| matcher.matches_labels(labels)))
        };
        self.known().parts.retain(|_, part| !part.selectors.iter().any(reads));
    }
}
