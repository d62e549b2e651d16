//! What becomes of OpenTelemetry's names, resources and scopes, under the names of Prometheus' `otlp`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

/// How metrics that come by OpenTelemetry's protocol are translated, as in a `prometheus.yml`. Metrics with delta
/// temporality are always added up (Prometheus' feature `otlp-deltatocumulative`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// Attributes of a resource that become labels of all its metrics.
    pub promote_resource_attributes: Vec<String>,
    /// Every attribute of a resource becomes a label of all its metrics, but for `ignore_resource_attributes`. What
    /// changes often in them begins new series.
    pub promote_all_resource_attributes: bool,
    /// Attributes that `promote_all_resource_attributes` leaves out.
    pub ignore_resource_attributes: Vec<String>,
    /// What names of metrics and labels become.
    pub translation_strategy: TranslationStrategy,
    /// `target_info` also has `service.name`, `service.namespace` and `service.instance.id` as they are.
    pub keep_identifying_resource_attributes: bool,
    /// Histograms with bounds become native ones with custom buckets in place of `_bucket`, `_sum` and `_count`.
    pub convert_histograms_to_nhcb: bool,
    /// What the scope says of itself becomes labels: `otel_scope_name`, `otel_scope_version`, `otel_scope_schema_url`,
    /// and `otel_scope_` with the name of each attribute.
    pub promote_scope_metadata: bool,
    /// Labels that would begin with `_` begin with `key_`. Default `true`.
    pub label_name_underscore_sanitization: bool,
    /// Several `_` in a label's name stay several. Default `true`.
    pub label_name_preserve_multiple_underscores: bool,
    /// The labels `__type__` and `__unit__` on every series; Prometheus' feature `type-and-unit-labels`.
    pub enable_type_and_unit_labels: bool,
}

/// What names of metrics and labels become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum TranslationStrategy {
    /// Characters that old names may not have become `_`; units and `_total` are put at the end.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Characters that old names may not have become `_`; nothing is put at the end.
    UnderscoreEscapingWithoutSuffixes,
    /// Characters stay; units and `_total` are put at the end.
    NoUTF8EscapingWithSuffixes,
    /// Names stay as they are. Two metrics that differ in their unit alone are then one.
    NoTranslation,
}

impl TranslationStrategy {
    pub(super) fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    pub(super) fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUTF8EscapingWithSuffixes)
    }
}

impl Default for OtlpConfig {
    fn default() -> OtlpConfig {
        OtlpConfig {
            promote_resource_attributes: Vec::new(),
            promote_all_resource_attributes: false,
            ignore_resource_attributes: Vec::new(),
            translation_strategy: TranslationStrategy::default(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
            enable_type_and_unit_labels: false,
        }
    }
}

impl OtlpConfig {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let (promoted, ignored) = ("promote_resource_attributes", "ignore_resource_attributes");
        if self.promote_all_resource_attributes && !self.promote_resource_attributes.is_empty() {
            problems
                .error(&path.field(promoted), "all attributes are promoted already")
                .hint("leave out this or `promote_all_resource_attributes`");
        }
        if !self.promote_all_resource_attributes && !self.ignore_resource_attributes.is_empty() {
            problems
                .error(&path.field(ignored), "there is nothing to leave out")
                .hint("it goes with `promote_all_resource_attributes: true`");
        }
        for (field, names) in
            [(promoted, &self.promote_resource_attributes), (ignored, &self.ignore_resource_attributes)]
        {
            let mut seen = BTreeSet::new();
            for (at, name) in names.iter().enumerate() {
                let (name, place) = (name.trim(), path.field(field).index(at));
                if name.is_empty() {
                    problems.error(&place, "an attribute's name is empty");
                } else if !seen.insert(name) {
                    problems.error(&place, format!("`{name}` is given twice"));
                }
            }
        }
    }

    /// Whether an attribute of a resource becomes a label of all its metrics.
    pub(super) fn promotes(&self, attribute: &str) -> bool {
        let names = |list: &[String]| list.iter().any(|name| name.trim() == attribute);
        if self.promote_all_resource_attributes {
            !names(&self.ignore_resource_attributes)
        } else {
            names(&self.promote_resource_attributes)
        }
    }
}
