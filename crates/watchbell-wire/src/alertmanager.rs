//! Alertmanager's formats: the webhook body (version 4) that it sends and others understand, and its API v2.
//!
//! What is posted is read by hand so that an error names its field; unknown fields are ignored, as Alertmanager does.
//! Go writes "no time" as the first second of the year one: it is read as no time and written for none.

mod api;
mod webhook;

pub use api::{
    ALERTS_POSTED_MAX, AlertStatus, GettableAlert, GettableAlertGroup, GettableMatcher, GettableSilence, PostedAlerts,
    PostedSilence, Receiver, SilenceStatus, decode_alerts, decode_silence,
};
use watchbell_model::{Labels, Timestamp};
pub use webhook::{WEBHOOK_ALERTS_MAX, decode_webhook, encode_webhook};

use crate::fields::{BodyError, Fields, cut};

/// Go's zero time.
const NO_TIME: Timestamp = Timestamp(-62_135_596_800_000);
/// How many bytes the labels of one posted alert may have.
pub const LABELS_BYTES_MAX: usize = 16 * 1024;
/// How many bytes one annotation of a posted alert may have; longer ones are cut.
pub const ANNOTATION_BYTES_MAX: usize = 16 * 1024;
/// How many annotations one posted alert may have; further ones are left out.
pub const ANNOTATIONS_MAX: usize = 64;

fn time(fields: &Fields<'_>, name: &str) -> Result<Option<Timestamp>, BodyError> {
    let Some(text) = fields.text(name)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let time = Timestamp::parse_rfc3339(text)
        .ok_or_else(|| fields.refuse(name, "must be a time such as `2026-11-20T22:27:00Z`"))?;
    Ok((time > NO_TIME).then_some(time))
}

fn labels(fields: &Fields<'_>) -> Result<Labels, BodyError> {
    let pairs = fields.texts("labels")?;
    if pairs.iter().any(|(name, _)| name.is_empty()) {
        return Err(fields.refuse("labels", "has a label without a name"));
    }
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > LABELS_BYTES_MAX {
        return Err(fields.refuse("labels", format!("is longer than {LABELS_BYTES_MAX} bytes")));
    }
    let labels = Labels::from_pairs(pairs);
    if labels.is_empty() {
        return Err(fields.refuse("labels", "must have at least one label that is not empty"));
    }
    Ok(labels)
}

fn annotations(fields: &Fields<'_>) -> Result<Labels, BodyError> {
    let pairs = fields.texts("annotations")?.into_iter().take(ANNOTATIONS_MAX);
    Ok(Labels::from_pairs(pairs.map(|(name, value)| (name, cut(value, ANNOTATION_BYTES_MAX)))))
}
