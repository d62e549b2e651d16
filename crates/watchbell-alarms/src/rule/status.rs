//! Groups as they stand, with what `/api/v1/rules` tells.

use serde::Serialize;
use watchbell_model::{AlarmId, Labels, Span, Timestamp};

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
