//! The label sets of an alerting rule: pending, firing, over.
//!
//! Pure. Takes what an evaluation found and says what begins and what ends. The rules are those of Prometheus'
//! `AlertingRule.Eval`: a series that appears is pending, fires once it was there for `for`, ends with the first
//! evaluation that lacks it, or `keep_firing_for` after that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchbell_model::{Labels, Timestamp};

use super::addition::NoData;
use super::evaluate::{Found, Round};
use super::group::RuleSpec;

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
    /// The labels under which it was raised: none at all if the configuration drops such alerts. An older document does
    /// not say.
    #[serde(default)]
    pub(crate) raised: Option<Labels>,
    /// When the alert ends unless the series is found again, if its rule says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// The value that was found last; not worth a commit.
    #[serde(skip)]
    pub(crate) value: Option<f64>,
}

impl Instance {
    /// Whether the disk must learn of the difference: annotations and values change with every evaluation, and what
    /// fires is raised again every minute with the newest ones.
    pub(crate) fn moved_on(&self, before: &Instance) -> bool {
        let documented = |it: &Instance| (it.active_at, it.fired_at, it.keep_since);
        documented(self) != documented(before) || self.raised != before.raised
    }

    pub(crate) fn is_firing(&self) -> bool {
        self.fired_at.is_some()
    }
}

/// Label sets that are pending or firing.
pub(crate) type Instances = BTreeMap<Labels, Instance>;

/// What becomes of the label sets of a rule with what an evaluation at `at` found. Nothing that fires ends unless it
/// `may_end`: not while data may still be on its way after an outage.
pub(crate) fn step(before: &Instances, round: &Round, rule: &RuleSpec, may_end: bool, at: Timestamp) -> Instances {
    let mut after = Instances::new();
    let fires = |it: &Instance| it.fired_at.is_none() && at.since(it.active_at) >= rule.hold.duration();
    let others = |found: &Found| before.keys().all(|labels| *labels == found.labels);
    for Found { labels, annotations, value, .. } in
        round.found.iter().chain(round.in_place.iter().filter(|found| others(found)))
    {
        let known = before.get(labels);
        let mut instance = Instance {
            labels: labels.clone(),
            annotations: annotations.clone(),
            active_at: known.map_or(at, |known| known.active_at),
            fired_at: known.and_then(|known| known.fired_at),
            keep_since: None,
            raised: known.and_then(|known| known.raised.clone()),
            until: rule.additions.expires.map(|expires| at + expires.duration()),
            value: Some(*value),
        };
        if fires(&instance) {
            instance.fired_at = Some(at);
        }
        after.insert(labels.clone(), instance);
    }
    let covers = |series: &[Labels], instance: &Instance| series.iter().any(|series| covers(series, instance, rule));
    for (labels, gone) in before {
        if after.contains_key(labels) {
            continue;
        }
        let has_data = round.with_data.as_ref().is_none_or(|series| covers(series, gone));
        let policy = rule.additions.no_data;
        // Nobody knows whether the condition holds.
        if !has_data && policy != Some(NoData::Ok) {
            let mut gone = gone.clone();
            if policy == Some(NoData::Alarm) && fires(&gone) {
                gone.fired_at = Some(at);
            }
            after.insert(labels.clone(), gone);
            continue;
        }
        if !gone.is_firing() {
            continue;
        }
        let recovered = !has_data || round.recovered.as_ref().is_none_or(|series| covers(series, gone));
        let since = gone.keep_since.unwrap_or(at);
        let keeps = at.since(since) < rule.keep_firing_for.duration();
        if keeps && recovered {
            after.insert(labels.clone(), Instance { keep_since: Some(since), ..gone.clone() });
        } else if !may_end || !recovered {
            after.insert(labels.clone(), gone.clone());
        }
    }
    after
}

/// Whether a series is the one of an alert: its labels are the alert's, but for those that the rule writes itself. Any
/// series is that of an alert with no label of a series.
fn covers(series: &Labels, instance: &Instance, rule: &RuleSpec) -> bool {
    let written = |name: &str| name == Labels::NAME || name == "alertname" || rule.labels.contains_key(name);
    series.iter().all(|(name, value)| written(name) || instance.labels.get(name) == Some(value))
        || instance.labels.iter().all(|(name, _)| written(name))
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
            let text = format!(r#"{{"groups": [{{"name": "g", "rules": [{{"alert": "A", "expr": "1", "for": "{hold}m", "keep_firing_for": "{keep}m"}}]}}]}}"#);
            let file: crate::rule::RuleFile = serde_json::from_str(&text).unwrap();
            let rule = file.groups("f.yml", Default::default()).unwrap().remove(0).rules.remove(0);
            let rule = &rule;
            let labels = |name: &u8| Labels::from_pairs([("x", name.to_string())]);
            let mut instances = Instances::new();
            for (minute, names) in found.iter().enumerate() {
                let at = Timestamp(minute as i64 * 60_000);
                let found_now = names.iter().map(|name| Found { labels: labels(name), annotations: Labels::empty(), value: 1.0, histogram: None });
                let round = Round { found: found_now.collect(), ..Round::default() };
                let json = serde_json::to_vec(&instances.values().collect::<Vec<_>>()).unwrap();
                let restored: Vec<Instance> = serde_json::from_slice(&json).unwrap();
                let restored: Instances = restored.into_iter().map(|it| (it.labels.clone(), it)).collect();
                let after = step(&instances, &round, rule, true, at);
                let firing = |instances: &Instances| -> Vec<Labels> {
                    instances.iter().filter(|(_, it)| it.is_firing()).map(|(labels, _)| labels.clone()).collect()
                };
                prop_assert_eq!(firing(&step(&restored, &round, rule, true, at)), firing(&after));
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
