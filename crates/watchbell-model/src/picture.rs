//! Pictures of graphs that go with pages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Alert, Labels, Timestamp};

/// A picture as a PNG.
pub type Picture = Arc<Vec<u8>>;

/// What a picture is of: enough to draw it later, and small enough to be kept with a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// What it is called, in one line.
    pub title: String,
    /// The labels of alerts that one alarm raised, at most [`Subject::ALERTS_MAX`].
    pub alerts: Vec<Labels>,
    /// Since when the first of them fires.
    pub since: Timestamp,
    /// When it was over, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The last moment that is shown.
    pub at: Timestamp,
    /// The page of what raised them; with the expression in it, if that is a Prometheus.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub generator_url: String,
}

impl Subject {
    /// Alerts in one picture.
    pub const ALERTS_MAX: usize = 5;
    /// The longest title, in characters, and the longest address of what raised an alert, in bytes.
    const TITLE_MAX: usize = 200;
    const URL_MAX: usize = 4096;

    /// The first alert and those beside it that the same alarm raised, up to a moment; `None` where there is none.
    pub fn of(title: &str, alerts: &[&Alert], at: Timestamp) -> Option<Subject> {
        let first = alerts.first()?;
        let raised = |alert: &Alert| (alert.labels.get("source").map(str::to_owned), alert.name().to_owned());
        let same = alerts.iter().filter(|alert| raised(alert) == raised(first));
        let url = &first.generator_url;
        Some(Subject {
            title: title.chars().take(Subject::TITLE_MAX).collect(),
            alerts: same.take(Subject::ALERTS_MAX).map(|alert| alert.labels.clone()).collect(),
            since: first.starts_at,
            until: first.ends_at.filter(|end| *end <= at),
            at,
            generator_url: if url.len() <= Subject::URL_MAX { url.clone() } else { String::new() },
        })
    }

    /// The alarm that raised them, if it is one of ours.
    pub fn alarm(&self) -> Option<&str> {
        self.alerts.first()?.get("source")
    }
}
