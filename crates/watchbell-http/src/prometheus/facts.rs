//! What is known about metrics besides their samples: `/metadata` and `/query_exemplars`.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde_json::{Value as Json, json};
use watchbell_model::{Lookup, Metadata};
use watchbell_query::{format_value, promql};

use super::{Answered, BEGINNING, END, Parameters, Refused, ok, run, write};
use crate::App;

/// A number that says how many; one below zero is all.
pub(super) fn count(parameters: &Parameters, name: &str) -> Result<Option<usize>, Refused> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let number: i64 = text.parse().map_err(|_| Refused::BadData(format!("{name} must be a number")))?;
    Ok(usize::try_from(number).ok())
}

/// What a metric is, as Prometheus' JSON has it.
pub(super) fn described(it: &Metadata) -> Json {
    json!({ "type": it.kind.as_str(), "unit": it.unit, "help": it.help })
}

/// `/api/v1/metadata`: types, units and help by metric.
pub(crate) async fn metadata(State(app): State<App>, parameters: Parameters) -> Answered {
    let metrics = count(&parameters, "limit")?.unwrap_or(usize::MAX);
    let each = count(&parameters, "limit_per_metric")?.filter(|each| *each > 0).unwrap_or(usize::MAX);
    let metric = parameters.get("metric").map(str::to_owned);
    let found = run(app, move |app| app.query.metadata(metric.as_deref())).await?;
    let shown = found.iter().take(metrics).map(|(name, variants)| {
        let variants: Vec<Json> = variants.iter().take(each).map(described).collect();
        (name.as_str(), variants)
    });
    Ok(ok(json!(shown.collect::<BTreeMap<_, _>>())))
}

/// `/api/v1/query_exemplars`: the examples of every series that an expression selects.
pub(crate) async fn query_exemplars(State(app): State<App>, parameters: Parameters) -> Answered {
    let (start, end) = (parameters.time("start", BEGINNING)?, parameters.time("end", END)?);
    if end < start {
        return Err(Refused::BadData("end timestamp must not be before start timestamp".into()));
    }
    let selectors = promql::selectors(&parameters.expr(&app)?);
    if selectors.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let found =
        run(app, move |app| app.query.exemplars(&Lookup { matchers: &selectors, start, end, limit: 0 })).await?;
    let mut body = String::from(r#"{"status":"success","data":"#);
    write::list(&mut body, &found, |out, (labels, exemplars)| {
        write!(out, r#"{{"seriesLabels":{},"exemplars":"#, json!(labels)).expect("a string takes it");
        write::list(out, exemplars, |out, it| {
            let value = format_value(it.value);
            write!(out, r#"{{"labels":{},"value":"{value}","timestamp":"#, json!(it.labels))
                .expect("a string takes it");
            write::time(out, it.timestamp);
            out.push('}');
        });
        out.push('}');
    });
    body.push('}');
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
