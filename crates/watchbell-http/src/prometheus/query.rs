//! Expressions: evaluated (`/query`, `/query_range`), formatted and taken apart.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::{Value as Json, json};
use watchbell_model::{Sample, Span, Timestamp};
use watchbell_query::{
    Answer, Engine, EngineOptions, EvalError, Explained, Note, NoteLevel, QueryStats, Value, promql,
};

use super::envelope::CUT;
use super::gate::{Times, bounded};
use super::{Answered, Parameters, Refused, invalid, ok, tree, write};
use crate::App;

/// How many points one series of an answer may have, as in Prometheus.
const POINTS_MAX: i64 = 11_000;
/// How many warnings and infos an answer names each, as in Prometheus.
const NOTES_MAX: usize = 10;

/// What a query may be asked to do besides.
struct Wishes {
    longest: Duration,
    lookback: Option<Span>,
    stats: String,
    /// Whether to say what each part took (`explain=true`): ours, Prometheus has no such thing.
    explain: bool,
    text: String,
}

impl Wishes {
    fn of(app: &App, parameters: &Parameters) -> Result<Wishes, Refused> {
        let longest = app.config.query().timeout.duration();
        let asked = parameters.span("timeout")?.map_or(longest, Span::duration);
        let lookback =
            parameters.span("lookback_delta").map_err(|refused| match (refused, parameters.get("lookback_delta")) {
                (Refused::BadData(_), Some(text)) => Refused::BadData(format!(
                    "error parsing lookback delta duration: cannot parse {text:?} to a valid duration"
                )),
                (refused, _) => refused,
            })?;
        Ok(Wishes {
            longest: longest.min(asked),
            lookback: lookback.filter(|lookback| !lookback.is_zero()),
            explain: parameters.get("explain").is_some_and(|text| text != "false"),
            stats: parameters.get("stats").unwrap_or("").to_owned(),
            text: parameters.query().to_owned(),
        })
    }
}

/// An answer that is on its way out.
struct Outcome {
    notes: Vec<Note>,
    stats: QueryStats,
    /// What each part took, if that was asked.
    explained: Option<Explained>,
    times: Times,
    /// When it begins and from one step to the next, in milliseconds.
    steps: (i64, i64),
    cut: bool,
}

/// `/api/v1/query`.
pub(crate) async fn query(State(app): State<App>, parameters: Parameters) -> Answered {
    let limit = parameters.limit()?;
    let at = parameters.time("time", app.runtime.clock.now())?;
    let wishes = Wishes::of(&app, &parameters)?;
    let expr = parameters.expr(&app)?;
    let explain = wishes.explain;
    let work = move |app: &App, engine: &Engine| {
        if explain {
            engine.explain_instant(&*app.query, &expr, at, &|| app.runtime.clock.monotonic())
        } else {
            Ok((engine.instant_answer(&*app.query, &expr, at)?, None))
        }
    };
    let (answer, explained, times) = evaluate(&app, &wishes, work).await?;
    let Answer { mut value, notes, stats } = answer;
    let cut = match &mut value {
        Value::Vector(samples) => shorten(samples, limit),
        Value::Matrix(series) => shorten(series, limit),
        Value::Scalar(..) | Value::String(..) => false,
    };
    let mut body = String::from(DATA);
    match value {
        Value::Scalar(at, value) => {
            body.push_str(r#"{"resultType":"scalar","result":"#);
            write::sample(&mut body, Sample { timestamp: at, value });
        }
        Value::String(at, text) => {
            body.push_str(r#"{"resultType":"string","result":["#);
            write::time(&mut body, at);
            write!(body, ",{}]", Json::from(text)).expect("a string takes it");
        }
        Value::Vector(elements) => {
            body.push_str(r#"{"resultType":"vector","result":"#);
            write::vector(&mut body, elements);
        }
        Value::Matrix(series) => {
            body.push_str(r#"{"resultType":"matrix","result":"#);
            write::matrix(&mut body, series);
        }
    }
    Ok(answered(body, &wishes, Outcome { notes, stats, explained, times, steps: (at.0, 0), cut }))
}

/// `/api/v1/query_range`.
pub(crate) async fn query_range(State(app): State<App>, parameters: Parameters) -> Answered {
    let limit = parameters.limit()?;
    let (start, end) = (parameters.moment("start")?, parameters.moment("end")?);
    if end < start {
        return Err(invalid("end", "end timestamp must not be before start time".into()));
    }
    let step =
        parameters.span("step")?.ok_or_else(|| invalid("step", "cannot parse \"\" to a valid duration".into()))?;
    let millis = i64::try_from(step.duration().as_millis()).unwrap_or(i64::MAX);
    if step.is_zero() || millis == 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(invalid("step", reason.into()));
    }
    if end.as_millis().saturating_sub(start.as_millis()) / millis > POINTS_MAX {
        let error = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(Refused::BadData(error.into()));
    }
    let wishes = Wishes::of(&app, &parameters)?;
    let expr = parameters.expr(&app)?;
    let kind = expr.value_type();
    if !matches!(kind, promql::ValueType::Scalar | promql::ValueType::Vector) {
        let name = if kind == promql::ValueType::String { "string" } else { "range vector" };
        let reason = format!("invalid expression type {name:?} for range query, must be Scalar or instant Vector");
        return Err(invalid("query", reason));
    }
    let explain = wishes.explain;
    let work = move |app: &App, engine: &Engine| {
        if explain {
            let now = || app.runtime.clock.monotonic();
            engine.explain_range(&*app.query, &expr, (start, end, step), &now)
        } else {
            Ok((engine.range_answer(&*app.query, &expr, start, end, step)?, None))
        }
    };
    let (answer, explained, times) = evaluate(&app, &wishes, work).await?;
    let Answer { value: mut series, notes, stats } = answer;
    let cut = shorten(&mut series, limit);
    let mut body = String::from(DATA);
    body.push_str(r#"{"resultType":"matrix","result":"#);
    write::matrix(&mut body, series);
    Ok(answered(body, &wishes, Outcome { notes, stats, explained, times, steps: (start.0, millis), cut }))
}

/// How a body begins whose data follow.
const DATA: &str = r#"{"status":"success","data":"#;

/// Leaves out what is past the limit; says whether it did.
fn shorten<T>(items: &mut Vec<T>, limit: usize) -> bool {
    let cut = items.len() > limit;
    items.truncate(limit);
    cut
}

/// Evaluates within the limits of queries; counts, and logs what was slow.
async fn evaluate<V: Send + 'static>(
    app: &App,
    wishes: &Wishes,
    work: impl FnOnce(&App, &Engine) -> Result<(Answer<V>, Option<Explained>), EvalError> + Send + 'static,
) -> Result<(Answer<V>, Option<Explained>, Times), Refused> {
    let limits = app.config.query();
    let options = EngineOptions {
        lookback: wishes.lookback.unwrap_or(limits.lookback_delta),
        samples_max: limits.max_samples,
        ..EngineOptions::default()
    };
    let begun = app.runtime.clock.monotonic();
    let work = move |app: &App, stop: &Arc<std::sync::atomic::AtomicBool>| {
        work(app, &Engine::new(options).stopped_by(Arc::clone(stop)))
    };
    let done = bounded(app, wishes.longest, work).await;
    let outcome = done.as_ref().map_or_else(Refused::kind, |_| "ok");
    let took = app.runtime.clock.monotonic().saturating_sub(begun);
    let help = "Queries over HTTP, by how they ended.";
    app.runtime.metrics.counter("watchbell_queries_total", help, &[("outcome", outcome)]).inc();
    if took >= limits.log_slower_than.duration() && !limits.log_slower_than.is_zero() {
        let samples = done.as_ref().map_or(0, |((answer, _), _)| answer.stats.read);
        let query = cut_to(&wishes.text, QUERY_LOGGED_MAX);
        let seconds = took.as_secs_f64();
        tracing::warn!(query, seconds, samples, outcome, "a query was slow");
    }
    done.map(|((answer, explained), times)| (answer, explained, times))
}

/// How much of a slow query is logged, in bytes.
const QUERY_LOGGED_MAX: usize = 2000;

fn cut_to(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// Ends a body of which all but statistics and notes is written.
fn answered(mut body: String, wishes: &Wishes, outcome: Outcome) -> Response {
    let mut warnings = Vec::new();
    if !wishes.stats.is_empty() {
        write!(body, r#","stats":{}"#, statistics(wishes.stats == "all", &outcome)).expect("a string takes it");
        if !matches!(wishes.stats.as_str(), "true" | "all") {
            warnings.push(format!(
                "value {:?} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\"",
                wishes.stats
            ));
        }
    }
    if let Some(explained) = &outcome.explained {
        write!(body, r#","explain":{}"#, part(explained)).expect("a string takes it");
    }
    body.push('}');
    if outcome.cut {
        warnings.push(CUT.to_owned());
    }
    for (name, level) in [("warnings", NoteLevel::Warning), ("infos", NoteLevel::Info)] {
        let mut texts: Vec<String> =
            outcome.notes.iter().filter(|note| note.level == level).map(|note| note.with_place(&wishes.text)).collect();
        if level == NoteLevel::Warning {
            texts.append(&mut warnings);
        }
        if texts.len() > NOTES_MAX {
            let more = texts.len() - NOTES_MAX;
            texts.truncate(NOTES_MAX);
            let kind = if level == NoteLevel::Warning { "warning" } else { "info" };
            texts.push(format!("{more} more {kind} annotations omitted"));
        }
        if !texts.is_empty() {
            write!(body, r#","{name}":{}"#, json!(texts)).expect("a string takes it");
        }
    }
    body.push('}');
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// What a part of an expression took, with the parts in it; `seconds` are its own and theirs together.
fn part(explained: &Explained) -> Json {
    let Explained { text, span, steps, series, samples, took, parts } = explained;
    json!({
        "expr": text,
        "start": span.start,
        "end": span.end,
        "steps": steps,
        "series": series,
        "samplesRead": samples,
        "seconds": took.as_secs_f64(),
        "parts": parts.iter().map(part).collect::<Vec<_>>(),
    })
}

/// Prometheus' `stats`. Reading and evaluating are one here, so preparation takes no time of its own.
fn statistics(each_step: bool, outcome: &Outcome) -> Json {
    let Outcome { stats, times, steps: (start, step), .. } = outcome;
    let (waited, worked) = (times.waited.as_secs_f64(), times.worked.as_secs_f64());
    let mut samples = json!({
        "totalQueryableSamples": stats.total,
        "samplesRead": stats.read,
        "peakSamples": stats.peak,
    });
    if each_step {
        let at = |index: usize| Timestamp(start + index as i64 * step).as_seconds();
        samples["totalQueryableSamplesPerStep"] =
            stats.total_per_step.iter().enumerate().map(|(index, count)| json!([at(index), count])).collect();
    }
    json!({
        "timings": {
            "evalTotalTime": worked,
            "resultSortTime": 0.0,
            "queryPreparationTime": 0.0,
            "innerEvalTime": worked,
            "execQueueTime": waited,
            "execTotalTime": waited + worked,
        },
        "samples": samples,
    })
}

/// `/api/v1/format_query`.
pub(crate) async fn format_query(State(app): State<App>, parameters: Parameters) -> Answered {
    Ok(ok(json!(promql::pretty(&parameters.expr(&app)?))))
}

/// `/api/v1/parse_query`.
pub(crate) async fn parse_query(State(app): State<App>, parameters: Parameters) -> Answered {
    Ok(ok(tree::of(&parameters.expr(&app)?)))
}
