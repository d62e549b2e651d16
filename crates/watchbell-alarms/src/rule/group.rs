//! A group that is run: its rules with their expressions read, and its place in time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use watchbell_model::{Labels, Span, Timestamp};
use watchbell_query::promql::{self, Expr, ParseError};

use super::addition::Additions;
use super::file::{GroupConfig, RuleFile};

/// A group is first evaluated within this time of the start, whatever its slot.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// What groups take over that say nothing of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupDefaults {
    /// How often groups are evaluated.
    pub interval: Span,
    /// How far back rules look.
    pub query_offset: Span,
}

impl Default for GroupDefaults {
    /// Prometheus': every minute, without an offset.
    fn default() -> GroupDefaults {
        GroupDefaults { interval: Span::minutes(1), query_offset: Span::ZERO }
    }
}

/// A group of rules, ready to run.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// The file it stands in.
    pub file: String,
    /// Its name.
    pub name: String,
    /// How often it is evaluated.
    pub interval: Span,
    /// How many alerts or series a rule may yield; 0 is no limit.
    pub limit: u64,
    /// How far back rules look.
    pub query_offset: Span,
    /// Its rules, in their order.
    pub rules: Vec<RuleSpec>,
    /// A hash of what it was made from.
    pub(crate) key: u64,
}

/// A rule, ready to run.
#[derive(Debug, Clone)]
pub struct RuleSpec {
    /// Whether it raises alerts, or records its result.
    pub alerts: bool,
    /// The alert's or the metric's name.
    pub name: String,
    /// The expression as written.
    pub text: String,
    /// The expression.
    pub expr: Arc<Expr>,
    /// How long a series must be in the result until its alert fires.
    pub hold: Span,
    /// How long an alert goes on after its series left the result.
    pub keep_firing_for: Span,
    /// The group's and its own labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What it says beyond Prometheus.
    pub additions: Additions,
}

impl RuleFile {
    /// The groups of a file that [`RuleFile::check`] found no error in.
    ///
    /// # Errors
    /// If an expression cannot be read.
    pub fn groups(&self, file: &str, defaults: GroupDefaults) -> Result<Vec<GroupSpec>, ParseError> {
        self.groups.iter().map(|group| GroupSpec::new(file, group, defaults)).collect()
    }
}

impl GroupSpec {
    fn new(file: &str, config: &GroupConfig, defaults: GroupDefaults) -> Result<GroupSpec, ParseError> {
        let interval = config.interval.filter(|interval| !interval.is_zero()).unwrap_or(defaults.interval);
        let query_offset = config.query_offset.unwrap_or(defaults.query_offset);
        let rule = |rule: &super::file::RuleConfig| -> Result<RuleSpec, ParseError> {
            let expr = promql::parse(&rule.expr)?;
            let alerts = rule.alert.is_some();
            let additions = if alerts { Additions::read(&rule.annotations, &expr) } else { Additions::default() };
            Ok(RuleSpec {
                additions,
                alerts,
                name: rule.name().to_owned(),
                text: rule.expr.clone(),
                expr: Arc::new(expr),
                hold: rule.hold,
                keep_firing_for: rule.keep_firing_for,
                labels: config.labels.clone().into_iter().chain(rule.labels.clone()).collect(),
                annotations: rule.annotations.clone(),
            })
        };
        let mut hasher = DefaultHasher::new();
        (file, config, interval, query_offset).hash(&mut hasher);
        Ok(GroupSpec {
            file: file.to_owned(),
            name: config.name.clone(),
            interval,
            limit: config.limit,
            query_offset,
            rules: config.rules.iter().map(rule).collect::<Result<_, _>>()?,
            key: hasher.finish(),
        })
    }

    /// Which group it is.
    pub(crate) fn id(&self) -> (String, String) {
        (self.file.clone(), self.name.clone())
    }

    /// What its own numbers are labelled with.
    pub(crate) fn label(&self) -> String {
        format!("{};{}", self.file, self.name)
    }

    fn hash_in(&self, interval: Span) -> i64 {
        let hash = Labels::from_pairs([("file", &self.file), ("name", &self.name)]).fingerprint();
        let interval = u64::try_from(interval.duration().as_millis()).unwrap_or(u64::MAX).max(1);
        i64::try_from(hash % interval).unwrap_or(0)
    }

    /// The moment of its first evaluation after a start: soon, but not that of all groups.
    pub(crate) fn first(&self, start: Timestamp) -> Timestamp {
        let within = Span(self.interval.duration().min(FIRST_MAX));
        Timestamp(start.as_millis().saturating_add(self.hash_in(within)))
    }

    /// The moment of its next evaluation: its slot, which differs from group to group and is the same after a restart.
    pub(crate) fn next(&self, after: Timestamp) -> Timestamp {
        let interval = i64::try_from(self.interval.duration().as_millis()).unwrap_or(i64::MAX).max(1);
        let slot = self.hash_in(self.interval);
        let base = after.as_millis().saturating_sub(slot).div_euclid(interval).saturating_add(1);
        Timestamp(base.saturating_mul(interval).saturating_add(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_its_own_slot_and_begins_soon() {
        let file: RuleFile =
            serde_json::from_str(r#"{"groups": [{"name": "a"}, {"name": "b", "interval": "3s"}]}"#).unwrap();
        let groups = file.groups("x.yml", GroupDefaults::default()).unwrap();
        let (a, b) = (&groups[0], &groups[1]);
        let start = Timestamp(1_767_571_234_567);
        for group in [a, b] {
            let (first, next) = (group.first(start), group.next(start));
            assert!(first >= start && first.since(start) < FIRST_MAX.min(group.interval.duration()));
            assert!(next > start && next.since(start) <= group.interval.duration());
            assert_eq!(group.next(next), next + group.interval.duration());
        }
        assert_ne!(a.next(start).as_millis() % 3000, b.next(start).as_millis() % 3000);
    }
}
