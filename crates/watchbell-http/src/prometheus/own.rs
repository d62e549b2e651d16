//! `/api/v1/status/self_metrics`: watchbell's own metrics as families, in the JSON of Prometheus' protobuf messages.

use std::collections::BTreeMap;

use axum::extract::State;
use serde_json::{Value as Json, json};
use watchbell_model::{Labels, MatchOp, Matcher, MetricType, Point};
use watchbell_query::format_value;

use super::{Answered, Parameters, Refused, ok};
use crate::App;

/// Every family, or those whose names match `metric_name_pattern`.
pub(crate) async fn self_metrics(State(app): State<App>, parameters: Parameters) -> Answered {
    let pattern = parameters.get("metric_name_pattern").map(|it| Matcher::new(Labels::NAME, MatchOp::Regex, it));
    let pattern = pattern.transpose();
    let pattern = pattern.map_err(|error| Refused::BadData(format!("invalid metric_name_pattern: {error}")))?;
    let points = app.runtime.metrics.points(app.runtime.clock.now());
    let mut by_name: BTreeMap<&str, Vec<&Point>> = BTreeMap::new();
    for point in &points {
        by_name.entry(point.labels.name().unwrap_or_default()).or_default().push(point);
    }
    let of = |name: &str| by_name.get(name).map_or(&[][..], Vec::as_slice);
    let known = app.runtime.metrics.metadata().into_iter();
    let wanted = known.filter(|(name, _)| pattern.as_ref().is_none_or(|pattern| pattern.matches(name)));
    let families = wanted.map(|(name, metadata)| {
        let (kind, members): (&str, Vec<Json>) = match metadata.kind {
            MetricType::Counter => ("COUNTER", simple(of(name), "counter")),
            MetricType::Histogram => ("HISTOGRAM", histograms(name, of)),
            _ => ("GAUGE", simple(of(name), "gauge")),
        };
        json!({ "name": name, "help": metadata.help, "type": kind, "metric": members })
    });
    Ok(ok(families.collect::<Json>()))
}

fn simple(points: &[&Point], kind: &str) -> Vec<Json> {
    points.iter().map(|it| json!({ "label": pairs(&it.labels), kind: { "value": number(it.value) } })).collect()
}

/// Points of one member stand one after the other.
fn histograms<'p>(name: &str, of: impl Fn(&str) -> &'p [&'p Point]) -> Vec<Json> {
    let without_bound = |labels: &Labels| labels.filtered(|label| label != "le" && label != Labels::NAME);
    let buckets = of(&format!("{name}_bucket"));
    let counts = of(&format!("{name}_count"));
    let sums = of(&format!("{name}_sum"));
    let one = |(count, sum): (&&Point, &&Point)| {
        let own = without_bound(&count.labels);
        let bounds = buckets.iter().filter(|it| without_bound(&it.labels) == own).filter_map(|it| {
            let bound: f64 = it.labels.get("le")?.parse().ok()?;
            // The last one is the count.
            bound.is_finite().then(|| json!({ "cumulativeCount": format!("{}", it.value), "upperBound": bound }))
        });
        json!({
            "label": pairs(&count.labels),
            "histogram": {
                "sampleCount": format!("{}", count.value),
                "sampleSum": number(sum.value),
                "bucket": bounds.collect::<Vec<Json>>(),
            },
        })
    };
    counts.iter().zip(sums).map(one).collect()
}

/// Labels but those that a scrape would add.
fn pairs(labels: &Labels) -> Vec<Json> {
    let own = labels.iter().filter(|(name, _)| !matches!(*name, Labels::NAME | "job" | "le"));
    own.map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// What JSON has no number for is text.
fn number(value: f64) -> Json {
    if value.is_finite() { json!(value) } else { format_value(value).into() }
}
