//! Inhibition: alerts that are not told of while another, which explains them, fires.
//!
//! Pure. Each rule keeps its possible sources under the values of its `equal` labels, so asking whether an alert is held
//! back looks only at sources that could.

use std::collections::{BTreeSet, HashMap};

use watchbell_model::{Labels, Matcher};

/// A rule, and the alerts that match its source.
#[derive(Debug)]
pub(crate) struct Inhibition {
    source: Vec<Matcher>,
    target: Vec<Matcher>,
    equal: Vec<String>,
    sources: HashMap<Vec<String>, BTreeSet<u64>>,
}

fn all(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}

impl Inhibition {
    pub(crate) fn new(source: Vec<Matcher>, target: Vec<Matcher>, equal: Vec<String>) -> Inhibition {
        Inhibition { source, target, equal, sources: HashMap::new() }
    }

    fn values(&self, labels: &Labels) -> Vec<String> {
        self.equal.iter().map(|name| labels.get(name).unwrap_or("").to_owned()).collect()
    }

    /// An alert appeared.
    pub(crate) fn insert(&mut self, fingerprint: u64, labels: &Labels) {
        if all(&self.source, labels) {
            let values = self.values(labels);
            self.sources.entry(values).or_default().insert(fingerprint);
        }
    }

    /// An alert is forgotten.
    pub(crate) fn remove(&mut self, fingerprint: u64, labels: &Labels) {
        let values = self.values(labels);
        if let Some(sources) = self.sources.get_mut(&values) {
            sources.remove(&fingerprint);
            if sources.is_empty() {
                self.sources.remove(&values);
            }
        }
    }

    /// An alert that holds this one back, if there is one; `firing` gives the labels of an alert that fires now.
    pub(crate) fn held_back_by<'a>(&self, labels: &Labels, firing: impl Fn(u64) -> Option<&'a Labels>) -> Option<u64> {
        if !all(&self.target, labels) {
            return None;
        }
        let is_source = all(&self.source, labels);
        let sources = self.sources.get(&self.values(labels))?;
        // One that matches both sides is not held back by another that does, or both could hold each other back.
        let holds = |source: &Labels| !(is_source && all(&self.target, source));
        sources.iter().copied().find(|source| firing(*source).is_some_and(holds))
    }
}
