//! What is known about metrics besides their samples: `/api/v1/metadata` and `/api/v1/query_exemplars`.

use std::collections::BTreeMap;

use axum::extract::State;
use serde_json::{Value as Json, json};
use watchbell_model::{Exemplar, Labels, Lookup, Metadata, Timestamp};
use watchbell_query::{format_value, promql};

use super::{Answered, Parameters, invalid, ok, run};
use crate::App;

/// `/api/v1/metadata`: types, units and help by metric.
pub(crate) async fn metadata(State(app): State<App>, parameters: Parameters) -> Answered {
    let (metrics, each) = (parameters.limit()?, parameters.number("limit_per_metric")?);
    let metric = parameters.get("metric").map(str::to_owned);
    let found = run(app, move |app| app.query.metadata(metric.as_deref())).await?;
    let variant = |it: &Metadata| json!({ "type": it.kind.as_str(), "unit": it.unit, "help": it.help });
    let shown = found.iter().take(metrics).map(|(name, variants)| {
        let variants: Vec<Json> = variants.iter().take(each).map(variant).collect();
        (name.as_str(), variants)
    });
    Ok(ok(json!(shown.collect::<BTreeMap<_, _>>())))
}

/// `/api/v1/query_exemplars`: the examples of every series that an expression selects.
pub(crate) async fn query_exemplars(State(app): State<App>, parameters: Parameters) -> Answered {
    let now = app.runtime.clock.now();
    let (start, end) = (parameters.time("start", now)?, parameters.time("end", now)?);
    if end < start {
        return Err(invalid("end", "end timestamp must not be before start timestamp".into()));
    }
    let selectors = promql::selectors(&parameters.expr()?);
    if selectors.is_empty() {
        return Ok(ok(json!([])));
    }
    let found =
        run(app, move |app| app.query.exemplars(&Lookup { matchers: &selectors, start, end, limit: 0 })).await?;
    Ok(ok(found.iter().map(|(labels, exemplars)| of_series(labels, exemplars)).collect()))
}

fn of_series(labels: &Labels, exemplars: &[Exemplar]) -> Json {
    let seconds = |at: Timestamp| at.as_seconds();
    let one = |it: &Exemplar| json!({ "labels": it.labels, "value": format_value(it.value), "timestamp": seconds(it.timestamp) });
    json!({ "seriesLabels": labels, "exemplars": exemplars.iter().map(one).collect::<Vec<_>>() })
}
