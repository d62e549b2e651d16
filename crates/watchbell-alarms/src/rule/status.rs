//! Groups as they stand, with what `/api/v1/rules` tells.

use serde::Serialize;
use watchbell_model::{AlarmId, Labels, Span, Timestamp};
use watchbell_query::promql::{Expr, Node};

use super::group::RuleSpec;
use super::instance::Instance;
use super::run::{Group, RuleItem};

/// A group as it stands.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// How often it is evaluated.
    pub interval: Span,
    /// How many alerts or series a rule may yield; 0 is no limit.
    pub limit: u64,
    /// When it was evaluated last.
    pub last_evaluation: Option<Timestamp>,
    /// How long that took, in seconds.
    pub evaluation_seconds: f64,
    /// Evaluations that were left out since the start because the one before took too long.
    pub missed: u64,
    /// Its rules, in their order.
    pub rules: Vec<RuleStatus>,
}

/// Whether a rule alerts or records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleType {
    /// It raises alerts.
    Alerting,
    /// It stores its result.
    Recording,
}

/// What an alerting rule's alerts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// There are none.
    Inactive,
    /// Some wait for the rule's `for`, none fires.
    Pending,
    /// Some fire.
    Firing,
}

/// Whether a rule could be evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not tried yet.
    #[default]
    Unknown,
    /// It could.
    Ok,
    /// It could not.
    Err,
}

/// A rule as it stands.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct RuleStatus {
    /// Whether it alerts or records.
    pub kind: RuleType,
    /// Its alarm, if it alerts.
    pub alarm: Option<AlarmId>,
    /// The alert's or the metric's name.
    pub name: String,
    /// The expression.
    pub query: String,
    /// How long a series must be in the result until its alert fires.
    pub hold: Span,
    /// How long an alert goes on after its series left the result.
    pub keep_firing_for: Span,
    /// The group's and its own labels.
    pub labels: Labels,
    /// Its annotations, as templates.
    pub annotations: Labels,
    /// What its alerts do.
    pub state: Activity,
    /// Its pending and firing alerts.
    pub alerts: Vec<AlertInstance>,
    /// Whether it could be evaluated.
    pub health: Health,
    /// Why not.
    pub last_error: Option<String>,
    /// When it was evaluated last.
    pub last_evaluation: Option<Timestamp>,
    /// How long that took, in seconds.
    pub evaluation_seconds: f64,
}

/// A pending or firing alert of a rule.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct AlertInstance {
    /// Its labels, as Prometheus has them.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// Pending or firing.
    pub state: Activity,
    /// Since when its series is there.
    pub active_at: Timestamp,
    /// Since when the series is gone although the alert goes on.
    pub keep_firing_since: Option<Timestamp>,
    /// The value that was found last since the start.
    pub value: Option<f64>,
}

pub(crate) fn group(group: &Group) -> GroupStatus {
    GroupStatus {
        name: group.spec.name.clone(),
        file: group.spec.file.clone(),
        interval: group.spec.interval,
        limit: group.spec.limit,
        last_evaluation: group.last,
        evaluation_seconds: group.took.as_secs_f64(),
        missed: group.missed,
        rules: group.rules.iter().map(rule).collect(),
    }
}

fn rule(item: &RuleItem) -> RuleStatus {
    let rule = &*item.rule;
    let alerts: Vec<AlertInstance> = item.instances.values().map(instance).collect();
    RuleStatus {
        kind: if rule.alerts { RuleType::Alerting } else { RuleType::Recording },
        alarm: item.id.clone(),
        name: rule.name.clone(),
        query: rule.text.clone(),
        hold: rule.hold,
        keep_firing_for: rule.keep_firing_for,
        labels: rule.labels.clone().into_iter().collect(),
        annotations: rule.annotations.clone().into_iter().collect(),
        state: alerts.iter().map(|alert| alert.state).max().unwrap_or(Activity::Inactive),
        alerts,
        health: item.health,
        last_error: item.error.clone(),
        last_evaluation: item.judged_at,
        evaluation_seconds: item.took.as_secs_f64(),
    }
}

fn instance(instance: &Instance) -> AlertInstance {
    AlertInstance {
        labels: instance.labels.clone(),
        annotations: instance.annotations.clone(),
        state: if instance.is_firing() { Activity::Firing } else { Activity::Pending },
        active_at: instance.active_at,
        keep_firing_since: instance.keep_since,
        value: instance.value,
    }
}

/// What to draw of a rule, and the threshold in it: of `disk > 0.9` the left side and 0.9, else the whole expression.
pub(crate) fn drawn(rule: &RuleSpec) -> (String, Option<f64>) {
    let (graph, threshold) = drawn_of(&rule.expr);
    // As it was written, where it is the whole.
    if threshold.is_some() { (graph, threshold) } else { (rule.text.clone(), None) }
}

/// The same of any expression.
pub(crate) fn drawn_of(expr: &Expr) -> (String, Option<f64>) {
    if let Node::Binary { op, return_bool: false, left, right, .. } = &bare(expr).node
        && op.is_comparison()
    {
        match (number(left), number(right)) {
            (None, Some(threshold)) => return (left.to_string(), Some(threshold)),
            (Some(threshold), None) => return (right.to_string(), Some(threshold)),
            _ => {}
        }
    }
    (expr.to_string(), None)
}

fn bare(expr: &Expr) -> &Expr {
    match &expr.node {
        Node::Paren(inner) => bare(inner),
        _ => expr,
    }
}

fn number(expr: &Expr) -> Option<f64> {
    match &bare(expr).node {
        Node::Number { value, .. } => Some(*value),
        Node::Unary { minus: true, operand } => number(operand).map(|value| -value),
        _ => None,
    }
}
