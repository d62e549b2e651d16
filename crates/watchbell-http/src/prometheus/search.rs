//! Names that fit what somebody has typed so far: `/search/metric_names`, `/search/label_names`, `/search/label_values`.
//!
//! As Prometheus with `--enable-feature=search-api`: lines of JSON, each with some results, and a last one that says
//! whether there are more.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use serde_json::{Map, Value as Json, json};
use watchbell_model::{Found, Labels, Lookup, Matcher, Metadata, QueryError, Span, Timestamp};

use super::score::{Algorithm, Search};
use super::{Answered, Parameters, Refused, run};
use crate::App;

/// How many results are given unless more are asked for, and how many to a line.
const LIMIT: usize = 100;
/// How many may be asked for, as in Prometheus.
const LIMIT_MAX: usize = 10_000;
/// How many terms one search may have, as in Prometheus.
const TERMS_MAX: usize = 32;
/// How long a term may be, in bytes: what is longer than any name fits none.
const TERM_MAX: usize = 1024;
/// How far back names are looked for unless a request says.
const WINDOW: Span = Span::hours(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
    Best,
}

/// What a request asks for.
struct Asked {
    sets: Vec<Vec<Matcher>>,
    start: Timestamp,
    end: Timestamp,
    search: Search,
    order: Order,
    with_scores: bool,
    limit: usize,
    batch: usize,
}

/// `/api/v1/search/metric_names`.
pub(crate) async fn metric_names(State(app): State<App>, parameters: Parameters) -> Answered {
    let asked = Asked::read(&app, &parameters, "metric_names")?;
    let described = flag(&parameters, "include_metadata", false)?;
    let (found, known) = run(app, move |app| {
        let found = asked.find(|lookup| app.query.label_values(Labels::NAME, lookup))?;
        let known = if described && !found.items.is_empty() { app.query.metadata(None)? } else { Vec::new() };
        Ok::<_, QueryError>((found, known))
    })
    .await?;
    let known: HashMap<String, Vec<Metadata>> = known.into_iter().collect();
    Ok(found.lines("name", |name, fields| {
        let Some(it) = known.get(name).and_then(|variants| variants.first()) else { return };
        for (field, text) in [("type", it.kind.as_str()), ("help", &*it.help), ("unit", &*it.unit)] {
            if !text.is_empty() {
                fields.insert(field.to_owned(), text.into());
            }
        }
    }))
}

/// `/api/v1/search/label_names`.
pub(crate) async fn label_names(State(app): State<App>, parameters: Parameters) -> Answered {
    let asked = Asked::read(&app, &parameters, "label_names")?;
    let found = run(app, move |app| asked.find(|lookup| app.query.label_names(lookup))).await?;
    Ok(found.lines("name", |_, _| {}))
}

/// `/api/v1/search/label_values`.
pub(crate) async fn label_values(State(app): State<App>, parameters: Parameters) -> Answered {
    let asked = Asked::read(&app, &parameters, "label_values")?;
    let Some(label) = parameters.get("label").map(str::to_owned) else {
        return Err(Refused::BadData("missing required parameter \"label\"".into()));
    };
    let found = run(app, move |app| asked.find(|lookup| app.query.label_values(&label, lookup))).await?;
    Ok(found.lines("value", |_, _| {}))
}

/// What was found, in order.
struct Results {
    items: Vec<(String, f64)>,
    has_more: bool,
    with_scores: bool,
    batch: usize,
}

impl Asked {
    fn read(app: &App, parameters: &Parameters, endpoint: &str) -> Result<Asked, Refused> {
        let bad = |words: String| Err(Refused::BadData(words));
        let now = app.runtime.clock.now();
        let (start, end) = (parameters.time("start", now - WINDOW.duration())?, parameters.time("end", now)?);
        if end < start {
            return bad("end timestamp must not be before start timestamp".into());
        }
        let terms: Vec<&str> = parameters.all("search[]").collect();
        if terms.len() > TERMS_MAX {
            return bad(format!("too many search[] terms: got {}, maximum is {TERMS_MAX}", terms.len()));
        }
        if terms.iter().any(|term| term.len() > TERM_MAX) {
            return bad(format!("a search[] term is longer than {TERM_MAX} bytes"));
        }
        let threshold = match parameters.get("fuzz_threshold").map(|text| (text, text.parse::<u8>())) {
            None => 0,
            Some((_, Ok(threshold))) if threshold <= 100 => threshold,
            Some((text, _)) => return bad(format!("invalid fuzz_threshold {text:?}: must be 0-100")),
        };
        let algorithm = match parameters.get("fuzz_alg") {
            None | Some("subsequence") => Algorithm::Subsequence,
            Some("jarowinkler") => Algorithm::JaroWinkler,
            Some(other) => {
                return bad(format!("unsupported fuzz_alg {other:?}: must be one of [subsequence jarowinkler]"));
            }
        };
        let case_sensitive = flag(parameters, "case_sensitive", true)?;
        let with_scores = flag(parameters, "include_score", false)?;
        let order = match (parameters.get("sort_by"), parameters.get("sort_dir")) {
            (None, Some(_)) => return bad("sort_dir is only valid when sort_by is set".into()),
            (Some("score"), Some(_)) => return bad("sort_dir is not supported for sort_by=score".into()),
            (Some("score"), None) if terms.is_empty() => {
                return bad("sort_by=score requires search[] to be set".into());
            }
            (Some("score"), None) => Order::Best,
            (None, None) | (Some("alpha"), None | Some("asc")) => Order::Ascending,
            (Some("alpha"), Some("dsc")) => Order::Descending,
            (Some("alpha"), Some(other)) => {
                return bad(format!("invalid sort_dir {other:?}: must be \"asc\" or \"dsc\""));
            }
            (Some(other), _) => {
                let words = "must be \"alpha\" or \"score\"";
                return bad(format!("invalid sort_by {other:?} for {endpoint}: {words}"));
            }
        };
        let limit = positive(parameters, "limit")?;
        if limit > LIMIT_MAX {
            return bad(format!("limit {limit} exceeds the maximum ({LIMIT_MAX})"));
        }
        Ok(Asked {
            sets: parameters.sets().map_err(Refused::BadData)?,
            start,
            end,
            search: Search::new(terms.into_iter(), algorithm, f64::from(threshold) / 100.0, case_sensitive),
            order,
            with_scores,
            limit,
            batch: positive(parameters, "batch_size")?,
        })
    }

    /// Of all names, those that fit.
    fn find(&self, all: impl FnOnce(&Lookup<'_>) -> Result<Found<String>, QueryError>) -> Result<Results, QueryError> {
        let lookup = Lookup { matchers: &self.sets, start: self.start, end: self.end, limit: 0 };
        let names = all(&lookup)?.items;
        let scored = names.into_iter().filter_map(|name| self.search.score(&name).map(|score| (name, score)));
        let mut items: Vec<(String, f64)> = scored.collect();
        items.sort_by(|a, b| match self.order {
            Order::Ascending => a.0.cmp(&b.0),
            Order::Descending => b.0.cmp(&a.0),
            Order::Best => b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)),
        });
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        Ok(Results { items, has_more, with_scores: self.with_scores, batch: self.batch })
    }
}

impl Results {
    /// The answer; `key`: what a result is called, `add`: what else is said of it.
    fn lines(self, key: &str, add: impl Fn(&str, &mut Map<String, Json>)) -> axum::response::Response {
        let one = |(name, score): &(String, f64)| {
            let mut fields = Map::from_iter([(key.to_owned(), Json::from(name.as_str()))]);
            if self.with_scores {
                fields.insert("score".to_owned(), json!(score));
            }
            add(name, &mut fields);
            Json::Object(fields)
        };
        let line = |some: &[(String, f64)]| json!({ "results": some.iter().map(one).collect::<Vec<_>>() });
        // The first is there even if it has nothing.
        let mut lines: Vec<Json> = self.items.chunks(self.batch).map(line).collect();
        if lines.is_empty() {
            lines.push(line(&[]));
        }
        lines.push(json!({ "status": "success", "has_more": self.has_more }));
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        ([(header::CONTENT_TYPE, "application/x-ndjson; charset=utf-8")], body).into_response()
    }
}

fn positive(parameters: &Parameters, name: &str) -> Result<usize, Refused> {
    let Some(text) = parameters.get(name) else { return Ok(LIMIT) };
    let number = text.parse().ok().filter(|number: &usize| *number > 0);
    number.ok_or_else(|| Refused::BadData(format!("invalid {name} {text:?}: must be a positive integer")))
}

/// As Go reads it.
fn flag(parameters: &Parameters, name: &str, otherwise: bool) -> Result<bool, Refused> {
    match parameters.get(name) {
        None => Ok(otherwise),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(Refused::BadData(format!("invalid {name} {other:?}: must be boolean"))),
    }
}
