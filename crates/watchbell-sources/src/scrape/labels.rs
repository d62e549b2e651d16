//! Labels of a series: what the target says, merged with what is known of the target, relabelled.
//!
//! Pure: the same text gives the same labels at every scrape, so that they need not be kept.

use std::collections::BTreeMap;

use watchbell_model::{LabelSet, Labels};
use watchbell_wire::prometheus::{Format, MetricType, Refused, format_bound, labels};

use super::rules::Rules;

/// Which label of a classic histogram or summary is a number, so that `1` and `1.0` are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Number {
    #[default]
    None,
    Bound,
    Quantile,
}

impl Number {
    /// Of the series of a family.
    pub(super) fn of(kind: MetricType) -> Number {
        match kind {
            MetricType::Histogram => Number::Bound,
            MetricType::Summary => Number::Quantile,
            _ => Number::None,
        }
    }

    fn label(self) -> Option<&'static str> {
        match self {
            Number::None => None,
            Number::Bound => Some("le"),
            Number::Quantile => Some("quantile"),
        }
    }
}

/// Labels of the text of name and labels; `None` if relabelling drops the series.
pub(super) fn of(
    series: &str,
    format: Format,
    number: Number,
    target: &Labels,
    rules: &Rules,
) -> Result<Option<Labels>, Refused> {
    let mut said = labels(series, format, &rules.limits()).map_err(Refused::Here)?;
    if let Some(name) = number.label()
        && let Some(text) = said.get(name)
        && let Ok(value) = text.parse::<f64>()
    {
        let same = format_bound(value);
        if same != text {
            said = said.with(name, &same);
        }
    }
    let merged = merge(&said, target, rules.honor_labels);
    let merged = if rules.relabel.is_empty() {
        merged
    } else {
        let mut set = LabelSet::of(&merged);
        if !rules.relabel.change(&mut set) {
            return Ok(None);
        }
        let merged = set.labels();
        if merged.is_empty() {
            return Ok(None);
        }
        merged
    };
    let Some(name) = merged.name() else {
        return Err(Refused::Here("missing metric name (__name__ label)".into()));
    };
    if rules.legacy_names && !is_legacy(name, &merged) {
        return Err(Refused::Here(format!("invalid metric name or label names: {merged}")));
    }
    within_limits(&merged, rules).map(|()| Some(merged))
}

/// Whether all names are of the characters that Prometheus 2 allowed.
fn is_legacy(name: &str, labels: &Labels) -> bool {
    let plain = |text: &str, colons: bool| {
        let fits = |b: u8| b == b'_' || b.is_ascii_alphanumeric() || (colons && b == b':');
        !text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(fits)
    };
    plain(name, true) && labels.iter().all(|(name, _)| plain(name, false))
}

fn within_limits(labels: &Labels, rules: &Rules) -> Result<(), Refused> {
    let cut = |text: &str| text.chars().take(50).collect::<String>();
    let name = || cut(labels.name().unwrap_or_default());
    let (count, max) = (labels.len(), rules.labels_max);
    if max > 0 && count > max {
        let words = format!("label_limit exceeded (metric: {}, number of labels: {count}, limit: {max})", name());
        return Err(Refused::Whole(words));
    }
    for (label, value) in labels.iter() {
        let (length, max) = (label.len(), rules.label_name_max);
        if max > 0 && length > max {
            return Err(Refused::Whole(format!(
                "label_name_length_limit exceeded (metric: {}, label name: {}, length: {length}, limit: {max})",
                name(),
                cut(label)
            )));
        }
        let (length, max) = (value.len(), rules.label_value_max);
        if max > 0 && length > max {
            return Err(Refused::Whole(format!(
                "label_value_length_limit exceeded (metric: {}, label name: {}, value: {:?}, length: {length}, limit: {max})",
                name(),
                cut(label),
                cut(value)
            )));
        }
    }
    Ok(())
}

/// Labels that both the target's configuration and the target itself say: either the latter win (`honor_labels`), or
/// they are kept as `exported_<name>`.
fn merge(said: &Labels, target: &Labels, honor_labels: bool) -> Labels {
    if honor_labels {
        return target.iter().chain(said.iter()).collect();
    }
    let mut merged: BTreeMap<String, String> =
        said.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut conflicts: Vec<(String, String)> = Vec::new();
    for (name, value) in target.iter() {
        if let Some(said) = merged.insert(name.to_owned(), value.to_owned()) {
            conflicts.push((name.to_owned(), said));
        }
    }
    // The shortest name first, so that `exported_job` is `job`'s before it is its own.
    conflicts.sort_by_key(|(name, _)| name.len());
    for (name, value) in conflicts {
        let mut name = format!("exported_{name}");
        while merged.contains_key(&name) {
            name.insert_str(0, "exported_");
        }
        merged.insert(name, value);
    }
    Labels::from_pairs(merged)
}
