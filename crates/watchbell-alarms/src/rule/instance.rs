//! The label sets of an alerting rule: pending, firing, over.
//!
//! Pure. Takes what an evaluation found and says what begins and what ends. The rules are those of Prometheus'
//! `AlertingRule.Eval`: a series that appears is pending, fires once it was there for `for`, ends with the first
//! evaluation that lacks it, or `keep_firing_for` after that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchbell_model::{Labels, Span, Timestamp};

use super::evaluate::Found;

/// One document of the table `alarms.instance`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// The alert's labels, but for `source`.
    pub(crate) labels: Labels,
    /// As they were when it was written last.
    pub(crate) annotations: Labels,
    /// Since when the series is there.
    pub(crate) active_at: Timestamp,
    /// Since when it fires, if it does.
    pub(crate) fired_at: Option<Timestamp>,
    /// Since when the series is gone although the alert goes on.
    pub(crate) keep_since: Option<Timestamp>,
    /// The value that was found last; not worth a commit.
    #[serde(skip)]
    pub(crate) value: Option<f64>,
}

impl Instance {
    /// Whether the disk must learn of the difference: annotations and values change with every evaluation, and what
    /// fires is raised again every minute with the newest ones.
    pub(crate) fn moved_on(&self, before: &Instance) -> bool {
        (self.active_at, self.fired_at, self.keep_since) != (before.active_at, before.fired_at, before.keep_since)
    }

    pub(crate) fn is_firing(&self) -> bool {
        self.fired_at.is_some()
    }
}

/// Label sets that are pending or firing.
pub(crate) type Instances = BTreeMap<Labels, Instance>;

/// How long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) hold: Span,
    pub(crate) keep_firing_for: Span,
    /// Whether what fires may end: not while data may still be on its way after an outage.
    pub(crate) may_end: bool,
}

/// What becomes of the label sets with an evaluation at `at` that found `found`.
pub(crate) fn step(before: &Instances, found: Vec<Found>, rule: Rule, at: Timestamp) -> Instances {
    let mut after = Instances::new();
    for Found { labels, annotations, value, .. } in found {
        let known = before.get(&labels);
        let active_at = known.map_or(at, |known| known.active_at);
        let fired_at = known.and_then(|known| known.fired_at);
        let instance =
            Instance { labels: labels.clone(), annotations, active_at, fired_at, keep_since: None, value: Some(value) };
        after.insert(labels, instance);
    }
    for (labels, gone) in before.iter().filter(|(_, it)| it.is_firing()) {
        if after.contains_key(labels) {
            continue;
        }
        let since = gone.keep_since.unwrap_or(at);
        let keeps = at.since(since) < rule.keep_firing_for.duration();
        if keeps {
            after.insert(labels.clone(), Instance { keep_since: Some(since), ..gone.clone() });
        } else if !rule.may_end {
            after.insert(labels.clone(), gone.clone());
        }
    }
    for instance in after.values_mut() {
        if instance.fired_at.is_none() && at.since(instance.active_at) >= rule.hold.duration() {
            instance.fired_at = Some(at);
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes and goes: what fires was there for as long as it had to be, or fired before, and a restart
        /// after any evaluation changes nothing.
        #[test]
        fn what_fires_was_there_long_enough(
            found in proptest::collection::vec(proptest::collection::btree_set(0_u8..4, 0..4), 1..20),
            hold in 0_u64..4,
            keep in 0_u64..4,
        ) {
            let rule = Rule { hold: Span::minutes(hold), keep_firing_for: Span::minutes(keep), may_end: true };
            let labels = |name: &u8| Labels::from_pairs([("x", name.to_string())]);
            let mut instances = Instances::new();
            for (minute, names) in found.iter().enumerate() {
                let at = Timestamp(minute as i64 * 60_000);
                let found_now = names.iter().map(|name| Found { labels: labels(name), annotations: Labels::empty(), value: 1.0, histogram: None });
                let json = serde_json::to_vec(&instances.values().collect::<Vec<_>>()).unwrap();
                let restored: Vec<Instance> = serde_json::from_slice(&json).unwrap();
                let restored: Instances = restored.into_iter().map(|it| (it.labels.clone(), it)).collect();
                let after = step(&instances, found_now.clone().collect(), rule, at);
                let firing = |instances: &Instances| -> Vec<Labels> {
                    instances.iter().filter(|(_, it)| it.is_firing()).map(|(labels, _)| labels.clone()).collect()
                };
                prop_assert_eq!(firing(&step(&restored, found_now.collect(), rule, at)), firing(&after));
                for name in 0..4 {
                    let there = (0..=minute).rev().take_while(|at| found[*at].contains(&name)).count();
                    let fires = after.get(&labels(&name)).is_some_and(Instance::is_firing);
                    let fired = instances.get(&labels(&name)).is_some_and(Instance::is_firing);
                    let gone = (0..=minute).rev().take_while(|at| !found[*at].contains(&name)).count();
                    let long_enough = there as u64 > hold;
                    let kept = fired && (there > 0 || gone as u64 <= keep);
                    prop_assert_eq!(fires, long_enough || kept, "minute {} name {}", minute, name);
                }
                instances = after;
            }
        }
    }
}
