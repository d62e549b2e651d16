//! Labels of a series: what the target says, merged with what the configuration says of the target.
//!
//! Pure: the same text gives the same labels at every scrape, so that they need not be kept.

use std::collections::BTreeMap;

use watchbell_model::Labels;
use watchbell_wire::prometheus::{Format, labels};

use super::target::Rules;

/// Labels of the text of name and labels. The error says what is wrong, without a place.
pub(super) fn of(series: &str, format: Format, target: &Labels, rules: &Rules) -> Result<Labels, String> {
    let merged = merge(&labels(series, format, &rules.limits())?, target, rules.honor_labels);
    if rules.labels_max > 0 && merged.len() > rules.labels_max {
        return Err(format!("{} labels are more than `label_limit` allows ({})", merged.len(), rules.labels_max));
    }
    for (name, value) in merged.iter() {
        if rules.label_name_max > 0 && name.len() > rules.label_name_max {
            return Err(format!("the label `{name}` is longer than `label_name_length_limit` allows"));
        }
        if rules.label_value_max > 0 && value.len() > rules.label_value_max {
            return Err(format!("the value of `{name}` is longer than `label_value_length_limit` allows"));
        }
    }
    Ok(merged)
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
