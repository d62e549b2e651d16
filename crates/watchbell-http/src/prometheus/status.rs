//! Of watchbell itself, at Prometheus' addresses: `/status/*`, `/alertmanagers`, `/features`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use watchbell_query::promql;
use watchbell_runtime::process;

use super::ok;
use crate::App;

/// The release of Prometheus whose numbers and API these are; its clients switch features on by it.
const STANDS_IN_FOR: &str = "3.14.0";

/// `/api/v1/status/buildinfo`.
pub(crate) async fn buildinfo(State(app): State<App>) -> Response {
    let revision = format!("watchbell {}", app.config.version());
    ok(
        json!({ "version": STANDS_IN_FOR, "revision": revision, "branch": "", "buildUser": "", "buildDate": "", "goVersion": "" }),
    )
}

/// `/api/v1/status/config`: the configuration in force, without its secrets.
pub(crate) async fn in_force(State(app): State<App>) -> Response {
    ok(json!({ "yaml": app.config.shown() }))
}

/// `/api/v1/status/flags`: what Prometheus is told by flags, under their names.
pub(crate) async fn flags(State(app): State<App>) -> Response {
    ok(json!(app.config.flags()))
}

/// `/api/v1/status/runtimeinfo`. Where Prometheus counts goroutines, tasks are counted.
pub(crate) async fn runtimeinfo(State(app): State<App>) -> Response {
    let load = app.config.last_load();
    let retention = app.config.flags().remove("storage.tsdb.retention.time").unwrap_or_default();
    let troubles = app.runtime.troubles.list();
    let damaged = troubles.iter().filter(|trouble| trouble.key.starts_with("store")).count();
    ok(json!({
        "startTime": app.config.started_at(),
        "CWD": process::folder(),
        "hostname": process::hostname(&app.runtime.disk),
        "serverTime": app.runtime.clock.now(),
        "reloadConfigSuccess": load.refused_at.is_none(),
        "lastConfigTime": load.loaded_at,
        "corruptionCount": damaged,
        "goroutineCount": app.runtime.supervisor.tasks().len(),
        "GOMAXPROCS": process::cores(),
        "GOMEMLIMIT": i64::MAX,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": retention,
    }))
}

/// `/api/v1/status/walreplay`: who answers has read its log already.
pub(crate) async fn walreplay() -> Response {
    ok(json!({ "min": 0, "max": 0, "current": 0 }))
}

/// `/api/v1/alertmanagers`: the one inside, and those elsewhere that are told too.
pub(crate) async fn alertmanagers(State(app): State<App>) -> Response {
    let flags = app.config.flags();
    let address = flags.get("web.external-url").map_or("", |url| url.trim_end_matches('/'));
    let elsewhere = app.config.alertmanagers().into_iter();
    let all = std::iter::once(format!("{address}/api/v2/alerts")).chain(elsewhere);
    let all: Vec<_> = all.map(|url| json!({ "url": url })).collect();
    ok(json!({ "activeAlertmanagers": all, "droppedAlertmanagers": [] }))
}

/// `/api/v1/features`: what may be asked, by kind.
pub(crate) async fn features(State(app): State<App>) -> Response {
    let switched = app.config.query().features();
    let on = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), true)).collect::<BTreeMap<_, _>>();
    let is_on = |name: &str| switched.functions || !promql::is_experimental(name);
    let functions: BTreeMap<&str, bool> =
        promql::functions().iter().map(|function| (function.name, is_on(function.name))).collect();
    let words = [
        "at_modifier",
        "bool",
        "by",
        "delayed_name_removal",
        "duration_expr",
        "group_left",
        "group_right",
        "ignoring",
        "negative_offset",
        "offset",
        "on",
        "per_query_lookback_delta",
        "per_step_stats",
        "subqueries",
        "without",
    ];
    let api = [
        "admin",
        "exclude_alerts",
        "label_values_match",
        "lifecycle",
        "openapi_3.1",
        "openapi_3.2",
        "otlp_write_receiver",
        "query_stats",
        "query_warnings",
        "remote_write_receiver",
        "search",
        "search_fuzz_alg_jarowinkler",
        "search_fuzz_alg_subsequence",
        "time_range_labels",
        "time_range_series",
    ];
    let operators = [
        "!=", "!~", "%", "*", "+", "-", "/", "<", "<=", "==", "=~", ">", ">=", "@", "^", "and", "atan2", "or", "unless",
    ];
    let aggregations = [
        "avg",
        "bottomk",
        "count",
        "count_values",
        "group",
        "max",
        "min",
        "quantile",
        "stddev",
        "stdvar",
        "sum",
        "topk",
    ];
    let operators = operators.into_iter().chain(aggregations).collect::<Vec<_>>();
    let (mut words, mut operators) = (on(&words), on(&operators));
    let add = |all: &mut BTreeMap<String, bool>, names: &[&str], is_on| {
        all.extend(names.iter().map(|name| ((*name).to_owned(), is_on)));
    };
    add(&mut words, &["anchored", "smoothed"], switched.extended_ranges);
    add(&mut words, &["fill", "fill_left", "fill_right"], switched.fill);
    add(&mut operators, &["limit_ratio", "limitk"], switched.functions);
    ok(json!({
        "api": on(&api),
        "prometheus": { "agent_mode": false, "server_mode": true, "auto_reload_config": true },
        "promql": words,
        "promql_functions": functions,
        "promql_operators": operators,
        "rules": on(&["keep_firing_for", "query_offset"]),
        "tsdb": on(&["delete_series", "exemplar_storage", "native_histograms", "out_of_order"]),
    }))
}
