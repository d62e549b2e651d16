//! `/api/v1/openapi.yaml`: what can be asked at Prometheus' addresses, described for machines.
//!
//! Written from one table; a test compares it with the routes.

use std::fmt::Write;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::Parameters;
use crate::App;

/// A path below `/api/v1`.
struct Path {
    path: &'static str,
    methods: &'static [&'static str],
    summary: &'static str,
    /// Names of parameters; those that must be there end in `!`.
    parameters: &'static [&'static str],
    /// The type of the answer, or nothing where there is none but its status.
    answer: &'static str,
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const PROTOBUF: &str = "application/x-protobuf";
const EVENTS: &str = "text/event-stream";
const NOTHING: &str = "";

const GET: &[&str] = &["get"];
const POST: &[&str] = &["post"];
const GET_POST: &[&str] = &["get", "post"];
const POST_PUT: &[&str] = &["post", "put"];

/// The path that only 3.2 can describe.
const LIVE: &str = "/notifications/live";

#[rustfmt::skip]
const PATHS: &[Path] = &[
    path("/query", GET_POST, "Evaluates an expression at a moment", &["query!", "time", "timeout", "lookback_delta", "limit", "stats", "explain"], JSON),
    path("/query_range", GET_POST, "Evaluates an expression over a stretch of time", &["query!", "start!", "end!", "step!", "timeout", "lookback_delta", "limit", "stats", "explain"], JSON),
    path("/query_exemplars", GET_POST, "Examples of the series that an expression selects", &["query!", "start", "end"], JSON),
    path("/format_query", GET_POST, "Writes an expression in the usual form", &["query!"], JSON),
    path("/parse_query", GET_POST, "Takes an expression apart", &["query!"], JSON),
    path("/series", GET_POST, "Series that pass one of the selectors", &["match[]!", "start", "end", "limit"], JSON),
    path("/labels", GET_POST, "Names of labels", &["match[]", "start", "end", "limit"], JSON),
    path("/label/{name}/values", GET, "Values of a label", &["name!", "match[]", "start", "end", "limit"], JSON),
    path("/search/metric_names", GET_POST, "Metrics whose names fit what was typed", &["search[]", "match[]", "start", "end", "limit", "batch_size", "sort_by", "sort_dir", "fuzz_alg", "fuzz_threshold", "case_sensitive", "include_score", "include_metadata"], NDJSON),
    path("/search/label_names", GET_POST, "Labels whose names fit what was typed", &["search[]", "match[]", "start", "end", "limit", "batch_size", "sort_by", "sort_dir", "fuzz_alg", "fuzz_threshold", "case_sensitive", "include_score"], NDJSON),
    path("/search/label_values", GET_POST, "Values of a label that fit what was typed", &["label!", "search[]", "match[]", "start", "end", "limit", "batch_size", "sort_by", "sort_dir", "fuzz_alg", "fuzz_threshold", "case_sensitive", "include_score"], NDJSON),
    path("/metadata", GET, "Types, units and help of metrics", &["metric", "limit", "limit_per_metric"], JSON),
    path("/rules", GET, "Rules and what fires", &["type", "rule_name[]", "rule_group[]", "file[]", "match[]", "exclude_alerts", "group_limit", "group_next_token"], JSON),
    path("/alerts", GET, "Alerts of rules that fire or wait to", &[], JSON),
    path("/alertmanagers", GET, "Where alerts are sent", &[], JSON),
    path("/targets", GET, "What is scraped", &["state", "scrapePool"], JSON),
    path("/targets/metadata", GET, "What the metrics of targets are", &["match_target", "metric", "limit"], JSON),
    path("/targets/relabel_steps", GET, "What each rule of a job makes of labels", &["scrapePool!", "labels!"], JSON),
    path("/scrape_pools", GET, "Names of jobs", &[], JSON),
    path("/features", GET, "What may be asked, by kind", &[], JSON),
    path("/notifications", GET, "What is wrong with this server", &[], JSON),
    path(LIVE, GET, "What is wrong with this server, as it comes and goes", &[], EVENTS),
    path("/openapi.yaml", GET, "This description", &["openapi_version"], "application/yaml"),
    path("/status/buildinfo", GET, "The version", &[], JSON),
    path("/status/config", GET, "The configuration, without its secrets", &[], JSON),
    path("/status/flags", GET, "Settings under the names of flags", &[], JSON),
    path("/status/runtimeinfo", GET, "How it runs", &[], JSON),
    path("/status/self_metrics", GET, "Its own metrics", &["metric_name_pattern"], JSON),
    path("/status/tsdb", GET, "Active series, counted", &["limit"], JSON),
    path("/status/tsdb/blocks", GET, "Files of samples", &[], JSON),
    path("/status/walreplay", GET, "How far the log was read at the start", &[], JSON),
    path("/read", POST, "Prometheus' remote read", &[], PROTOBUF),
    path("/write", POST, "Prometheus' remote write", &[], NOTHING),
    path("/push", POST, "Prometheus' remote write, under Mimir's name", &[], NOTHING),
    path("/otlp/v1/metrics", POST, "Metrics by OpenTelemetry's protocol", &[], PROTOBUF),
    path("/export", GET_POST, "Samples as lines of JSON", &["match[]!", "start", "end"], NDJSON),
    path("/import", POST, "Takes samples as lines of JSON", &[], JSON),
    path("/import/prometheus", POST, "Takes samples as text, with their times", &[], JSON),
    path("/admin/tsdb/delete_series", POST_PUT, "Deletes samples", &["match[]!", "start", "end"], NOTHING),
    path("/admin/tsdb/clean_tombstones", POST_PUT, "Takes what was deleted off the disk", &[], NOTHING),
    path("/admin/tsdb/snapshot", POST_PUT, "Puts a copy of everything aside", &["skip_head", "name"], JSON),
];

/// Parameters by name: their type, and what they are for. A name in brackets may be given again and again.
const PARAMETERS: &[(&str, &str, &str)] = &[
    ("batch_size", "integer", "How many results are on a line"),
    ("case_sensitive", "boolean", "Whether capitals count"),
    ("end", "string", "The last moment: seconds since 1970, or RFC 3339"),
    ("exclude_alerts", "boolean", "Leaves out what fires"),
    ("explain", "boolean", "Adds what each part of the expression took"),
    ("file[]", "string", "Only rules of this file"),
    ("fuzz_alg", "string", "`subsequence` or `jarowinkler`"),
    ("fuzz_threshold", "integer", "The score that must be reached, from 0 to 100"),
    ("group_limit", "integer", "How many groups are given at once"),
    ("group_next_token", "string", "Where the last answer ended"),
    ("include_metadata", "boolean", "Adds types, units and help"),
    ("include_score", "boolean", "Adds how well each fits"),
    ("label", "string", "The label whose values are searched"),
    ("labels", "string", "Labels before the rules, as a JSON object"),
    ("limit", "integer", "How many are given at most"),
    ("limit_per_metric", "integer", "How many are given of one metric at most"),
    ("lookback_delta", "string", "How old a sample may be to count as the latest"),
    ("match[]", "string", "A selector of series"),
    ("match_target", "string", "A selector of targets"),
    ("metric", "string", "Only this metric"),
    ("metric_name_pattern", "string", "A regular expression of names"),
    ("name", "string", "The name"),
    ("openapi_version", "string", "`3.1` or `3.2`"),
    ("query", "string", "An expression in PromQL"),
    ("rule_group[]", "string", "Only rules of this group"),
    ("rule_name[]", "string", "Only rules of this name"),
    ("scrapePool", "string", "The name of a job"),
    ("search[]", "string", "What was typed"),
    ("skip_head", "boolean", "Without effect: what is in memory is always in the copy"),
    ("sort_by", "string", "`alpha` or `score`"),
    ("sort_dir", "string", "`asc` or `dsc`"),
    ("start", "string", "The first moment: seconds since 1970, or RFC 3339"),
    ("state", "string", "`active`, `dropped` or `any`"),
    ("stats", "string", "`all` for what it took"),
    ("step", "string", "The time between two results: `15s`, or seconds"),
    ("time", "string", "The moment: seconds since 1970, or RFC 3339"),
    ("timeout", "string", "How long it may take"),
    ("type", "string", "`alert` or `record`"),
];

const fn path(
    path: &'static str,
    methods: &'static [&'static str],
    summary: &'static str,
    parameters: &'static [&'static str],
    answer: &'static str,
) -> Path {
    Path { path, methods, summary, parameters, answer }
}

/// `/api/v1/openapi.yaml`: OpenAPI 3.1, or with `openapi_version=3.2` that, which has streams of events too.
pub(crate) async fn openapi(State(app): State<App>, parameters: Parameters) -> Response {
    let yaml = match parameters.get("openapi_version") {
        None | Some("3.1" | "3.1.0") => describe("3.1.0", app.config.version()),
        Some("3.2" | "3.2.0") => describe("3.2.0", app.config.version()),
        Some(other) => {
            let words = format!("there is no description as OpenAPI {other:?}; ask for 3.1 or 3.2\n");
            return (StatusCode::BAD_REQUEST, words).into_response();
        }
    };
    ([(header::CONTENT_TYPE, "application/yaml; charset=utf-8")], yaml).into_response()
}

fn describe(openapi: &str, version: &str) -> String {
    let mut out = format!(
        "openapi: {openapi}\ninfo:\n  title: Prometheus' HTTP API, as watchbell answers it\n  version: \"{version}\"\n\
         servers:\n  - url: /api/v1\npaths:\n"
    );
    for it in PATHS.iter().filter(|it| openapi != "3.1.0" || it.path != LIVE) {
        writeln!(out, "  {}:", it.path).expect("a string takes it");
        for method in it.methods {
            operation(&mut out, it, method);
        }
    }
    out.push_str(COMPONENTS);
    out
}

fn operation(out: &mut String, path: &Path, method: &str) {
    let words = path.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let id = words.fold(method.to_owned(), |id, word| format!("{id}-{word}"));
    write!(out, "    {method}:\n      operationId: {id}\n      summary: {}\n", path.summary)
        .expect("a string takes it");
    if !path.parameters.is_empty() {
        out.push_str("      parameters:\n");
    }
    for parameter in path.parameters {
        let name = parameter.trim_end_matches('!');
        let (_, kind, summary) =
            PARAMETERS.iter().find(|(have, ..)| *have == name).expect("a test looks that all are there");
        let place = if path.path.contains(&format!("{{{name}}}")) { "path" } else { "query" };
        let required = parameter.ends_with('!');
        let schema = match name.ends_with("[]") {
            true => format!("{{type: array, items: {{type: {kind}}}}}"),
            false => format!("{{type: {kind}}}"),
        };
        write!(
            out,
            "        - name: \"{name}\"\n          in: {place}\n          required: {required}\n          \
             description: \"{summary}\"\n          schema: {schema}\n"
        )
        .expect("a string takes it");
    }
    out.push_str("      responses:\n");
    match path.answer {
        NOTHING => out.push_str("        \"204\":\n          description: It is done\n"),
        kind => {
            let schema = if kind == JSON { "{$ref: \"#/components/schemas/Success\"}" } else { "{type: string}" };
            // A stream is described by what one event is.
            let (word, schema) = match kind {
                EVENTS => ("itemSchema", "{$ref: \"#/components/schemas/Event\"}"),
                _ => ("schema", schema),
            };
            write!(
                out,
                "        \"200\":\n          description: The answer\n          content:\n            {kind}:\n              \
                 {word}: {schema}\n"
            )
            .expect("a string takes it");
        }
    }
    out.push_str("        default:\n          $ref: \"#/components/responses/Refused\"\n");
}

const COMPONENTS: &str = r##"components:
  responses:
    Refused:
      description: Why it is not answered
      content:
        application/json:
          schema: {$ref: "#/components/schemas/Error"}
  schemas:
    Success:
      type: object
      required: [status]
      properties:
        status: {type: string, const: success}
        data: {description: "What was asked for"}
        warnings: {type: array, items: {type: string}}
        infos: {type: array, items: {type: string}}
    Error:
      type: object
      required: [status, errorType, error]
      properties:
        status: {type: string, const: error}
        errorType: {type: string}
        error: {type: string}
    Event:
      type: object
      properties:
        data: {type: string, contentMediaType: application/json}
"##;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::access::Surface;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        // Healthchecks has the same beginning.
        let is_ours = |door: &crate::doors::Door| door.surface != Surface::Keyed && door.path != "/api/v1/status/";
        let mut routed = BTreeSet::new();
        for door in crate::doors::doors().into_iter().filter(is_ours) {
            let Some(path) = door.path.strip_prefix("/api/v1/") else { continue };
            routed
                .extend(door.methods.iter().map(|method| format!("{} /{path}", method.as_str().to_ascii_lowercase())));
        }
        let described = PATHS.iter().flat_map(|it| it.methods.iter().map(|method| format!("{method} {}", it.path)));
        assert_eq!(routed, described.collect::<BTreeSet<String>>());
    }

    #[test]
    fn every_parameter_is_described_and_used() {
        let used = PATHS.iter().flat_map(|it| it.parameters).map(|name| name.trim_end_matches('!'));
        let known = PARAMETERS.iter().map(|(name, ..)| *name);
        assert_eq!(used.collect::<BTreeSet<&str>>(), known.collect::<BTreeSet<&str>>());
        assert!(PARAMETERS.is_sorted_by_key(|(name, ..)| *name));
    }

    #[test]
    fn streams_of_events_are_described_as_3_2_alone() {
        let (old, new) = (describe("3.1.0", "1"), describe("3.2.0", "1"));
        assert!(!old.contains(LIVE) && new.contains("  /notifications/live:\n    get:\n"), "{old}");
        assert!(old.contains("- name: \"match[]\"\n          in: query\n          required: true\n"), "{old}");
        assert!(old.contains("operationId: get-label-name-values\n"), "{old}");
    }
}
