//! Alerts: the facts alarms raise, as Alertmanager means them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Labels, Timestamp};

/// A fact raised by one of our alarms or sent by a foreign Prometheus: this label set is firing, or was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Its identity. `alertname`, `severity` and `source` are set on our own.
    pub labels: Labels,
    /// What a person reads: `summary`, `description`, `runbook_url`.
    #[serde(default)]
    pub annotations: Labels,
    /// Since when.
    pub starts_at: Timestamp,
    /// Until when; a moment in the future means "unless refreshed", `None` "until told".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// The page of what raised it.
    #[serde(default, rename = "generatorURL")]
    pub generator_url: String,
}

impl Alert {
    /// The identity of its label set.
    pub fn fingerprint(&self) -> u64 {
        self.labels.fingerprint()
    }

    /// Whether it is over at `now`.
    pub fn is_resolved_at(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }

    /// The label `alertname`, or nothing.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or("")
    }
}

/// Why a group is told of now (Alertmanager's dedup reasons).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotificationReason {
    /// The group was never told of.
    First,
    /// Alerts joined it.
    NewAlerts,
    /// Some ended, others go on.
    NewResolved,
    /// All ended.
    AllResolved,
    /// Nothing changed, but `repeat_interval` is over.
    Repeat,
    /// Nobody acknowledged in time, or somebody's turn began: further people are told (ours).
    Escalated,
    /// So many groups waited for one person that they are told of in one page; no group by itself (ours).
    Flood,
    /// Somebody sees to all that fires in it: those who were told need not be rung any longer (ours).
    Acknowledged,
}

impl NotificationReason {
    /// As Alertmanager writes it.
    pub fn words(self) -> &'static str {
        match self {
            NotificationReason::First => "first notification",
            NotificationReason::NewAlerts => "new alerts added",
            NotificationReason::NewResolved => "some alerts resolved",
            NotificationReason::AllResolved => "all alerts resolved",
            NotificationReason::Repeat => "repeat interval elapsed",
            NotificationReason::Escalated => "escalated",
            NotificationReason::Flood => "several groups at once",
            NotificationReason::Acknowledged => "acknowledged",
        }
    }
}

/// A group of alerts that a receiver must be told of: what the alerts stage hands to notify, before it is written as a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupNotification {
    /// The receiver's name.
    pub receiver: String,
    /// `<route key>:<labels>`, as Alertmanager prints it.
    pub group_key: String,
    /// Grows by one with each notification of the group to this receiver; part of the idempotency key.
    pub sequence: u64,
    /// The labels the group is grouped by.
    pub group_labels: Labels,
    /// What its route says of it, by name: templates, until notify has written them over the group.
    #[serde(default)]
    pub route_labels: Labels,
    /// Firing and newly resolved alerts, firing first. A resolved one has `ends_at` in the past.
    pub alerts: Vec<Alert>,
    /// Why now.
    pub reason: NotificationReason,
    /// Who sees to it, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// When it was decided.
    pub at: Timestamp,
}

/// Names a group for ever, in links and where a channel makes all its pages one: 32 hexadecimal digits.
pub fn group_id(group_key: &str) -> String {
    Sha256::digest(group_key.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl GroupNotification {
    /// See [`group_id`].
    pub fn group_id(&self) -> String {
        group_id(&self.group_key)
    }

    /// Whether nothing in it fires any more.
    pub fn is_resolved(&self) -> bool {
        self.alerts.iter().all(|alert| alert.is_resolved_at(self.at))
    }
}
