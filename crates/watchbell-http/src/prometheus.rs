//! Prometheus' HTTP API over our series, rules and targets: its parameters, envelope and error types.
//!
//! What it leaves out is not routed and answers 404, as an older Prometheus would.

mod facts;

use std::fmt::Write;
use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, Path, Query as UrlQuery, Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use serde::Serialize;
use serde_json::{Value as Json, json};
use watchbell_alarms::rule::{Activity, AlertInstance, GroupStatus, Health, RuleStatus, RuleType};
use watchbell_model::{Found, Histogram, Labels, Lookup, Matcher, QueryError, Sample, Series, Span, Timestamp};
use watchbell_query::{
    Answer, EvalError, HistogramBucket, Note, NoteLevel, Value, format_value, histogram_buckets, promql,
};
use watchbell_runtime::thread;
use watchbell_sources::scrape::TargetHealth;

use crate::App;
pub(crate) use facts::{metadata, query_exemplars};

/// How many points one series of an answer may have, as in Prometheus.
const POINTS_MAX: i64 = 11_000;
/// How many queries run at a time; further ones wait.
pub const QUERIES_MAX: usize = 20;
/// The release of Prometheus whose numbers and API these are; its clients switch features on by it.
const STANDS_IN_FOR: &str = "3.14.0";

/// Before and after everything that is kept, with room for sums.
pub(crate) const BEGINNING: Timestamp = Timestamp(-END.0);
pub(crate) const END: Timestamp = Timestamp(1 << 52);

/// Why a request cannot be answered, by Prometheus' error types.
pub(crate) enum Refused {
    /// The request makes no sense.
    BadData(String),
    /// The expression has no value over this data.
    Execution(String),
    /// The store failed.
    Internal(String),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, kind, error) = match self {
            Refused::BadData(error) => (StatusCode::BAD_REQUEST, "bad_data", error),
            Refused::Execution(error) => (StatusCode::UNPROCESSABLE_ENTITY, "execution", error),
            Refused::Internal(error) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", error),
        };
        (status, axum::Json(json!({ "status": "error", "errorType": kind, "error": error }))).into_response()
    }
}

impl From<EvalError> for Refused {
    fn from(error: EvalError) -> Refused {
        match error {
            EvalError::Source(QueryError::Unavailable(_)) => Refused::Internal(error.to_string()),
            _ => Refused::Execution(error.to_string()),
        }
    }
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Refused {
        Refused::from(EvalError::from(error))
    }
}

/// The parameters of a request: of its address, and of its body if that is a form.
pub(crate) struct Parameters(Vec<(String, String)>);

impl FromRequest<App> for Parameters {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &App) -> Result<Parameters, Refused> {
        let bad = |error: String| Refused::BadData(format!("the parameters cannot be read: {error}"));
        let UrlQuery(mut all) =
            UrlQuery::<Vec<(String, String)>>::try_from_uri(request.uri()).map_err(|error| bad(error.body_text()))?;
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        if request.method() == Method::POST && kind.starts_with("application/x-www-form-urlencoded") {
            let form = Form::<Vec<(String, String)>>::from_request(request, app).await;
            let Form(form) = form.map_err(|error| bad(error.body_text()))?;
            // As in Prometheus, the body's come first.
            all.splice(0..0, form);
        }
        Ok(Parameters(all))
    }
}

impl Parameters {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn time(&self, name: &str, otherwise: Timestamp) -> Result<Timestamp, Refused> {
        let Some(text) = self.get(name) else { return Ok(otherwise) };
        // How Prometheus' clients write "from the beginning" and "to the end".
        match text {
            "-292273086-05-16T16:47:06Z" => return Ok(BEGINNING),
            "292277025-08-18T07:12:54.999999999Z" => return Ok(END),
            _ => {}
        }
        let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.abs() <= END.as_seconds());
        seconds
            .map(Timestamp::from_seconds)
            .or_else(|| Timestamp::parse_rfc3339(text))
            .ok_or_else(|| invalid(name, format!("cannot parse {text:?} to a valid timestamp")))
    }

    pub(crate) fn span(&self, name: &str) -> Result<Option<Span>, Refused> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let seconds = text.parse::<f64>().ok().and_then(|it| std::time::Duration::try_from_secs_f64(it).ok()).map(Span);
        let span = seconds.or_else(|| text.parse().ok());
        span.map(Some).ok_or_else(|| invalid(name, format!("cannot parse {text:?} to a valid duration")))
    }

    fn expr(&self) -> Result<promql::Expr, Refused> {
        let text = self.query();
        promql::parse(text).map_err(|error| {
            invalid("query", format!("{}:{}: parse error: {}", error.line, error.column, error.message))
        })
    }

    fn query(&self) -> &str {
        self.get("query").unwrap_or("")
    }

    pub(crate) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Refused> {
        let one = |text| promql::metric_selector(text).map_err(|error| invalid("match[]", error.to_string()));
        self.all("match[]").map(one).collect()
    }

    pub(crate) fn limit(&self) -> Result<usize, Refused> {
        self.number("limit")
    }

    /// A number of answers; nothing and zero mean all.
    fn number(&self, name: &str) -> Result<usize, Refused> {
        match self.get(name).map(str::parse::<usize>) {
            None | Some(Ok(0)) => Ok(usize::MAX),
            Some(Ok(limit)) => Ok(limit),
            Some(Err(_)) => Err(invalid(name, format!("{name} must be a number, 0 or more"))),
        }
    }
}

pub(crate) fn invalid(name: &str, reason: String) -> Refused {
    Refused::BadData(format!("invalid parameter {name:?}: {reason}"))
}

pub(crate) type Answered = Result<Response, Refused>;

/// `/api/v1/query`.
pub(crate) async fn query(State(app): State<App>, parameters: Parameters) -> Answered {
    let at = parameters.time("time", app.runtime.clock.now())?;
    let expr = parameters.expr()?;
    let limit = parameters.limit()?;
    let Answer { mut value, notes } = run(app, move |app| app.engine.instant_answer(&*app.query, &expr, at)).await?;
    match &mut value {
        Value::Vector(samples) => samples.truncate(limit),
        Value::Matrix(series) => series.truncate(limit),
        Value::Scalar(..) | Value::String(..) => {}
    }
    let mut data = String::new();
    match value {
        Value::Scalar(at, value) => {
            data.push_str(r#"{"resultType":"scalar","result":"#);
            sample(&mut data, Sample { timestamp: at, value });
        }
        Value::String(at, text) => {
            data.push_str(r#"{"resultType":"string","result":["#);
            time(&mut data, at);
            write!(data, ",{}]", Json::from(text)).expect("a string takes it");
        }
        Value::Vector(samples) => {
            data.push_str(r#"{"resultType":"vector","result":"#);
            list(&mut data, samples, |data, element| {
                metric(data, &element.labels);
                match &element.histogram {
                    None => {
                        data.push_str(r#","value":"#);
                        sample(data, element.sample);
                    }
                    Some(whole) => {
                        data.push_str(r#","histogram":"#);
                        histogram(data, element.sample.timestamp, whole);
                    }
                }
                data.push('}');
            });
        }
        Value::Matrix(series) => {
            data.push_str(r#"{"resultType":"matrix","result":"#);
            matrix(&mut data, series);
        }
    }
    data.push('}');
    Ok(success(&data, &notes, parameters.query()))
}

/// `/api/v1/query_range`.
pub(crate) async fn query_range(State(app): State<App>, parameters: Parameters) -> Answered {
    let missing = |name: &str| invalid(name, "cannot parse \"\" to a valid timestamp".into());
    for name in ["start", "end"] {
        parameters.get(name).ok_or_else(|| missing(name))?;
    }
    let (start, end) = (parameters.time("start", BEGINNING)?, parameters.time("end", END)?);
    if end < start {
        return Err(invalid("end", "end timestamp must not be before start time".into()));
    }
    let step =
        parameters.span("step")?.ok_or_else(|| invalid("step", "cannot parse \"\" to a valid duration".into()))?;
    if step.is_zero() {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(invalid("step", reason.into()));
    }
    let millis = i64::try_from(step.duration().as_millis()).unwrap_or(i64::MAX).max(1);
    if end.as_millis().saturating_sub(start.as_millis()) / millis > POINTS_MAX {
        let error = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(Refused::BadData(error.into()));
    }
    let expr = parameters.expr()?;
    let limit = parameters.limit()?;
    let answer = run(app, move |app| app.engine.range_answer(&*app.query, &expr, start, end, step)).await?;
    let mut series = answer.value;
    series.truncate(limit);
    let mut data = String::from(r#"{"resultType":"matrix","result":"#);
    matrix(&mut data, series);
    data.push('}');
    Ok(success(&data, &answer.notes, parameters.query()))
}

/// `/api/v1/series`.
pub(crate) async fn series(State(app): State<App>, parameters: Parameters) -> Answered {
    if parameters.selectors()?.is_empty() {
        return Err(Refused::BadData("no match[] parameter provided".into()));
    }
    lookup(app, &parameters, |app, lookup| app.query.series(lookup)).await
}

/// `/api/v1/labels`.
pub(crate) async fn labels(State(app): State<App>, parameters: Parameters) -> Answered {
    lookup(app, &parameters, |app, lookup| app.query.label_names(lookup)).await
}

/// `/api/v1/label/{name}/values`.
pub(crate) async fn label_values(State(app): State<App>, Path(name): Path<String>, parameters: Parameters) -> Answered {
    lookup(app, &parameters, move |app, lookup| app.query.label_values(&name, lookup)).await
}

async fn lookup<T: Serialize + Send + 'static>(
    app: App,
    parameters: &Parameters,
    ask: impl FnOnce(&App, &Lookup<'_>) -> Result<Found<T>, QueryError> + Send + 'static,
) -> Answered {
    let (matchers, limit) = (parameters.selectors()?, parameters.limit()?);
    let (start, end) = (parameters.time("start", BEGINNING)?, parameters.time("end", END)?);
    let found = run(app, move |app| {
        let limit = if limit == usize::MAX { 0 } else { limit };
        ask(app, &Lookup { matchers: &matchers, start, end, limit })
    });
    let found = found.await?;
    let mut answer = json!({ "status": "success", "data": found.items });
    if found.cut {
        answer["warnings"] = json!(["results truncated due to limit"]);
    }
    Ok(axum::Json(answer).into_response())
}

/// Reads the store off the threads that serve requests, so many at a time.
pub(crate) async fn run<T, E>(app: App, read: impl FnOnce(&App) -> Result<T, E> + Send + 'static) -> Result<T, Refused>
where
    T: Send + 'static,
    E: Into<Refused> + Send + 'static,
{
    let _turn = Arc::clone(&app.queries).acquire_owned().await.expect("the semaphore is never closed");
    thread::blocking(move || read(&app)).await.map_err(Into::into)
}

/// `/api/v1/status/buildinfo`.
pub(crate) async fn buildinfo(State(app): State<App>) -> Response {
    let revision = format!("watchbell {}", app.config.version());
    ok(
        json!({ "version": STANDS_IN_FOR, "revision": revision, "branch": "", "buildUser": "", "buildDate": "", "goVersion": "" }),
    )
}

/// `/api/v1/rules`.
pub(crate) async fn rules(State(app): State<App>, parameters: Parameters) -> Answered {
    let kind = match parameters.get("type") {
        None => None,
        Some("alert") => Some(RuleType::Alerting),
        Some("record") => Some(RuleType::Recording),
        Some(other) => return Err(invalid("type", format!("not supported value {other:?}"))),
    };
    let names: Vec<&str> = parameters.all("rule_name[]").collect();
    let groups: Vec<&str> = parameters.all("rule_group[]").collect();
    let files: Vec<&str> = parameters.all("file[]").collect();
    let among = |wanted: &[&str], have: &str| wanted.is_empty() || wanted.contains(&have);
    let mut shown = Vec::new();
    for group in app.alarms.groups() {
        if !among(&groups, &group.name) || !among(&files, &group.file) {
            continue;
        }
        let fits = |rule: &&RuleStatus| kind.is_none_or(|kind| kind == rule.kind) && among(&names, &rule.name);
        let rules: Vec<Json> = group.rules.iter().filter(fits).map(rule).collect();
        if !rules.is_empty() || (kind.is_none() && names.is_empty()) {
            shown.push(group_json(&group, rules));
        }
    }
    Ok(ok(json!({ "groups": shown })))
}

fn group_json(group: &GroupStatus, rules: Vec<Json>) -> Json {
    json!({
        "name": group.name,
        "file": group.file,
        "interval": group.interval.duration().as_secs_f64(),
        "limit": group.limit,
        "lastEvaluation": moment(group.last_evaluation),
        "evaluationTime": group.evaluation_seconds,
        "rules": rules,
    })
}

fn rule(rule: &RuleStatus) -> Json {
    let mut document = json!({
        "name": rule.name,
        "query": rule.query,
        "labels": rule.labels,
        "health": match rule.health { Health::Unknown => "unknown", Health::Ok => "ok", Health::Err => "err" },
        "evaluationTime": rule.evaluation_seconds,
        "lastEvaluation": moment(rule.last_evaluation),
        "type": match rule.kind { RuleType::Alerting => "alerting", RuleType::Recording => "recording" },
    });
    if let Some(error) = &rule.last_error {
        document["lastError"] = json!(error);
    }
    if rule.kind == RuleType::Alerting {
        document["state"] = activity(rule.state).into();
        document["duration"] = rule.hold.duration().as_secs_f64().into();
        document["keepFiringFor"] = rule.keep_firing_for.duration().as_secs_f64().into();
        document["annotations"] = json!(rule.annotations);
        document["alerts"] = rule.alerts.iter().map(alert).collect();
    }
    document
}

fn activity(state: Activity) -> &'static str {
    match state {
        Activity::Inactive => "inactive",
        Activity::Pending => "pending",
        Activity::Firing => "firing",
    }
}

fn alert(alert: &AlertInstance) -> Json {
    let mut document = json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "state": activity(alert.state),
        "activeAt": alert.active_at,
        "value": alert.value.map_or_else(String::new, |value| format!("{value:e}")),
    });
    if let Some(since) = alert.keep_firing_since {
        document["keepFiringSince"] = json!(since);
    }
    document
}

/// Go's zero time where nothing happened yet.
fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}

/// `/api/v1/alerts`.
pub(crate) async fn alerts(State(app): State<App>) -> Response {
    let groups = app.alarms.groups();
    let all: Vec<Json> =
        groups.iter().flat_map(|group| &group.rules).flat_map(|rule| &rule.alerts).map(alert).collect();
    ok(json!({ "alerts": all }))
}

/// `/api/v1/targets`.
pub(crate) async fn targets(State(app): State<App>) -> Response {
    let one = |target: watchbell_sources::scrape::TargetStatus| {
        json!({
            "discoveredLabels": target.discovered,
            "labels": target.labels,
            "scrapePool": target.job,
            "scrapeUrl": target.url,
            "globalUrl": target.url,
            "lastError": target.error.unwrap_or_default(),
            "lastScrape": moment(target.last_scrape),
            "lastScrapeDuration": target.last_duration.map_or(0.0, |took| took.duration().as_secs_f64()),
            "health": match target.health {
                TargetHealth::Unknown => "unknown",
                TargetHealth::Up => "up",
                TargetHealth::Down => "down",
            },
            "scrapeInterval": target.interval,
            "scrapeTimeout": target.timeout,
        })
    };
    let active: Vec<Json> = app.targets.list().into_iter().map(one).collect();
    ok(json!({ "activeTargets": active, "droppedTargets": [], "droppedTargetCounts": {} }))
}

pub(crate) fn ok(data: Json) -> Response {
    axum::Json(json!({ "status": "success", "data": data })).into_response()
}

/// An answer whose data is written already: samples are many, so they skip the tree of JSON values.
fn success(data: &str, notes: &[Note], query: &str) -> Response {
    let mut body = format!(r#"{{"status":"success","data":{data}"#);
    for (name, level) in [("warnings", NoteLevel::Warning), ("infos", NoteLevel::Info)] {
        let some = notes.iter().filter(|note| note.level == level);
        let texts: Vec<String> = some.map(|note| note.with_place(query)).collect();
        if !texts.is_empty() {
            write!(body, r#","{name}":{}"#, json!(texts)).expect("a string takes it");
        }
    }
    body.push('}');
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn matrix(out: &mut String, series: Vec<Series>) {
    list(out, series, |out, series| {
        metric(out, &series.labels);
        if !series.samples.is_empty() || series.histograms.is_empty() {
            out.push_str(r#","values":"#);
            list(out, series.samples, sample);
        }
        if !series.histograms.is_empty() {
            out.push_str(r#","histograms":"#);
            list(out, series.histograms, |out, sample| histogram(out, sample.timestamp, &sample.histogram));
        }
        out.push('}');
    });
}

fn list<T>(out: &mut String, items: Vec<T>, mut each: impl FnMut(&mut String, T)) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(']');
}

fn metric(out: &mut String, labels: &Labels) {
    write!(out, r#"{{"metric":{}"#, json!(labels)).expect("a string takes it");
}

fn sample(out: &mut String, sample: Sample) {
    out.push('[');
    time(out, sample.timestamp);
    write!(out, ",\"{}\"]", format_value(sample.value)).expect("a string takes it");
}

/// A native histogram as Prometheus writes it: each bucket with which of its ends belong to it (0: the upper, 1: the
/// lower, 2: none, 3: both).
fn histogram(out: &mut String, at: Timestamp, histogram: &Histogram) {
    out.push('[');
    time(out, at);
    let (count, sum) = (format_value(histogram.count), format_value(histogram.sum));
    write!(out, r#",{{"count":"{count}","sum":"{sum}""#).expect("a string takes it");
    let buckets: Vec<HistogramBucket> = histogram_buckets(histogram).into_iter().filter(|it| it.count != 0.0).collect();
    if !buckets.is_empty() {
        out.push_str(r#","buckets":"#);
        list(out, buckets, |out, bucket| {
            let ends = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(format_value);
            write!(out, r#"[{ends},"{lower}","{upper}","{count}"]"#).expect("a string takes it");
        });
    }
    out.push_str("}]");
}

/// Seconds with milliseconds as the fraction, without one where there is none.
fn time(out: &mut String, at: Timestamp) {
    let (sign, millis) = (if at.as_millis() < 0 { "-" } else { "" }, at.as_millis().unsigned_abs());
    write!(out, "{sign}{}", millis / 1000).expect("a string takes it");
    if millis % 1000 != 0 {
        write!(out, ".{}", format!("{:03}", millis % 1000).trim_end_matches('0')).expect("a string takes it");
    }
}
