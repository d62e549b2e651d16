//! Writes `docs/reference/openapi.json` and `web/src/api.gen.ts` from the views, and fails when they differ.

use std::fmt::Write;

use expect_test::expect_file;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::view;

/// A path of the API, what it takes and what it answers.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    takes: Option<Value>,
    answers: Option<Value>,
}

fn operations(schemas: &mut SchemaGenerator) -> Vec<Operation> {
    macro_rules! operation {
        ($method:literal $path:literal $summary:literal -> $answers:ty) => {
            Operation {
                method: $method,
                path: $path,
                summary: $summary,
                takes: None,
                answers: Some(schemas.subschema_for::<$answers>().to_value()),
            }
        };
    }
    vec![
        operation!("get" "overview" "All that the first page shows" -> view::Overview),
        operation!("get" "alarms" "Every alarm, the worst first" -> Vec<view::Alarm>),
        operation!("get" "alarms/{id}" "One alarm; its id as one segment, slashes as %2F" -> view::AlarmPage),
        operation!("get" "alarms/{id}/history" "Changes of its state, newest first" -> Vec<watchbell_model::Transition>),
        Operation {
            method: "get",
            path: "alarms/{id}/picture.png",
            summary: "A picture of what it judges, with its threshold and since when it is wrong",
            takes: None,
            answers: Some(json!({ "type": "string", "contentEncoding": "binary" })),
        },
        operation!("get" "monitors" "Every monitor with its last day" -> Vec<view::Monitor>),
        operation!("get" "places" "Where monitors are probed from, and how their agents stand" -> Vec<watchbell_sources::place::PlaceStatus>),
        operation!("get" "heartbeats" "Every heartbeat as it stands" -> Vec<view::Heartbeat>),
        operation!("get" "alerts" "Alerts that fire, as they are grouped for receivers" -> Vec<view::AlertGroup>),
        Operation {
            method: "post",
            path: "alerts/{fingerprint}/acknowledgement",
            summary: "Says that somebody sees to an alert: it is not repeated and nobody further is told",
            takes: Some(schemas.subschema_for::<view::NewAcknowledgement>().to_value()),
            answers: None,
        },
        Operation {
            method: "delete",
            path: "alerts/{fingerprint}/acknowledgement",
            summary: "Says that nobody sees to an alert any more",
            takes: None,
            answers: None,
        },
        Operation {
            method: "post",
            path: "alerts/{fingerprint}/verdict",
            summary: "Says whether the page about an alert, over or not, was worth it",
            takes: Some(schemas.subschema_for::<view::NewVerdict>().to_value()),
            answers: None,
        },
        Operation {
            method: "delete",
            path: "alerts/{fingerprint}/verdict",
            summary: "Takes a verdict back",
            takes: None,
            answers: None,
        },
        operation!("get" "episodes" "Alerts that people were told of, over or not, with their verdicts, latest first" -> Vec<view::Episode>),
        operation!("get" "silences" "Every silence" -> Vec<view::Silence>),
        Operation {
            method: "post",
            path: "silences",
            summary: "Makes a silence",
            takes: Some(schemas.subschema_for::<view::NewSilence>().to_value()),
            answers: Some(schemas.subschema_for::<view::Silence>().to_value()),
        },
        Operation { method: "delete", path: "silences/{id}", summary: "Ends a silence", takes: None, answers: None },
        operation!("get" "downtimes" "Every downtime, of the configuration or made here; those in force first" -> Vec<view::Downtime>),
        Operation {
            method: "post",
            path: "downtimes",
            summary: "Makes a downtime: pages of what it covers are kept back, and nothing else",
            takes: Some(schemas.subschema_for::<view::NewDowntime>().to_value()),
            answers: Some(schemas.subschema_for::<view::Downtime>().to_value()),
        },
        Operation {
            method: "delete",
            path: "downtimes/{id}",
            summary: "Ends a downtime that was made, for good",
            takes: None,
            answers: None,
        },
        operation!("get" "incidents" "What status pages tell: what is not over first, then the latest" -> Vec<view::Incident>),
        Operation {
            method: "post",
            path: "incidents",
            summary: "Tells of something new on status pages",
            takes: Some(schemas.subschema_for::<view::NewIncident>().to_value()),
            answers: Some(schemas.subschema_for::<view::Incident>().to_value()),
        },
        Operation {
            method: "post",
            path: "incidents/{id}",
            summary: "Says more of an incident, or that it is over",
            takes: Some(schemas.subschema_for::<view::NewIncidentUpdate>().to_value()),
            answers: Some(schemas.subschema_for::<view::Incident>().to_value()),
        },
        Operation {
            method: "delete",
            path: "incidents/{id}",
            summary: "Takes an incident off every page, as if it had never been told",
            takes: None,
            answers: None,
        },
        operation!("get" "status-pages" "Every status page, and how to come to its figures" -> Vec<view::StatusPage>),
        operation!("get" "status/{name}" "A status page as those see it who may; open to whoever may see the page" -> crate::status::Board),
        operation!("get" "deliveries" "Tries to hand pages to channels, newest first" -> Vec<view::Delivery>),
        operation!("get" "outbox" "Pages on their way" -> view::Outbox),
        operation!("get" "previews" "A test page, or that of `alert`, as each channel of `receiver` would send it, without credentials" -> Vec<watchbell_notify::Preview>),
        operation!("get" "runbooks" "Every run book and what links to it" -> Vec<view::Runbook>),
        operation!("get" "targets" "What is scraped, what is not and why" -> view::Targets),
        operation!("get" "targets/steps" "What each relabelling rule of the job `pool` makes of `labels`, which are JSON" -> Vec<watchbell_model::RelabelStep>),
        operation!("get" "config" "Whether the configuration in use is the one on disk" -> view::ConfigState),
        operation!("get" "events" "Notices of change, as server-sent events named `change`" -> view::ChangeNotice),
        operation!("get" "rollup" "Series summed up over windows, from coarse copies where they are kept" -> Vec<view::RollupSeries>),
        operation!("get" "sessions" "Browsers that are signed in" -> Vec<view::Session>),
        Operation { method: "delete", path: "sessions/{id}", summary: "Ends a session", takes: None, answers: None },
    ]
}

fn openapi() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut schemas = settings.into_generator();
    let refusal = schemas.subschema_for::<view::Refusal>().to_value();
    let mut paths = Map::new();
    for operation in operations(&mut schemas) {
        let content = |schema: Value| {
            let kind = match operation.path {
                "events" => "text/event-stream",
                path if path.ends_with(".png") => "image/png",
                _ => "application/json",
            };
            json!({ (kind): { "schema": schema } })
        };
        let mut document = json!({ "summary": operation.summary, "responses": {} });
        document["responses"] = match operation.answers {
            Some(schema) => json!({ "200": { "description": "Done.", "content": content(schema) } }),
            None => json!({ "204": { "description": "Done." } }),
        };
        document["responses"]["default"] =
            json!({ "description": "Refused.", "content": { "application/json": { "schema": refusal.clone() } } });
        if let Some(schema) = operation.takes {
            document["requestBody"] = json!({ "required": true, "content": content(schema) });
        }
        let path = paths.entry(format!("/{}", operation.path)).or_insert_with(|| json!({}));
        if operation.path.contains("{id}") {
            path["parameters"] =
                json!([{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }]);
        }
        let asked: &[(&str, bool, &str)] = match operation.path {
            "rollup" => &[
                ("match[]", true, "One selector, such as `up{job=\"mail\"}`."),
                ("start", false, "Seconds since 1970 or RFC 3339; a day ago if it is not given."),
                ("end", false, "Likewise; now if it is not given."),
                ("width", false, "Length of a window, such as `1h` (the default) or `5m`."),
            ],
            "episodes" => &[
                ("alarm", false, "Only those of an alarm, such as `monitor/imap`, or of alerts of a name."),
                ("limit", false, "How many at most; 200 if it is not given."),
            ],
            "alerts/{fingerprint}/verdict" if operation.method == "delete" => {
                &[("starts_at", false, "When the episode began that is meant; the latest if it is not given.")]
            }
            "deliveries" => &[
                (
                    "q",
                    false,
                    "Words that each stand somewhere in the title, the channel, the group, the key or the answer.",
                ),
                ("channel", false, "Only those of a channel, such as `oncall/ntfy`, or of a receiver."),
                ("outcome", false, "Only those that ended so: `accepted`, `retry`, `gaveup` or `merged`."),
                ("before", false, "Only those before the one with this `id`."),
                ("limit", false, "How many at most; 200 if it is not given, and never more than 1000."),
            ],
            "previews" => &[
                ("receiver", true, "Whose channels are meant."),
                ("alert", false, "The fingerprint of an alert that fires; a test page if it is not given."),
            ],
            "targets/steps" => &[
                ("pool", true, "The job's name."),
                ("labels", true, "What is known of a target before relabelling, a mapping of texts as JSON."),
            ],
            _ => &[],
        };
        if !asked.is_empty() {
            let parameter = |(name, required, what): (&str, bool, &str)| json!({ "name": name, "in": "query", "required": required, "description": what, "schema": { "type": "string" } });
            document["parameters"] = asked.iter().copied().map(parameter).collect();
        }
        path[operation.method] = document;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "watchbell",
            "version": "1",
            "description": "Everything the UI does. Ask with a session, or with an API token as `Authorization: Bearer wb_…`.",
        },
        "servers": [{ "url": "/api/watchbell/v1" }],
        "security": [{ "token": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": "watchbell_session" },
            },
        },
    })
}

fn typescript(openapi: &Value) -> String {
    let mut out = String::from(
        "// Written from the views of crates/watchbell-http/src/api by its tests; `UPDATE_EXPECT=1` writes it again.\n",
    );
    let schemas = openapi["components"]["schemas"].as_object().expect("an object");
    for (name, schema) in schemas {
        if name == "Refusal" {
            continue;
        }
        out.push('\n');
        comment(&mut out, schema, "");
        if let Some(properties) = schema["properties"].as_object() {
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            writeln!(out, "export interface {name} {{").unwrap();
            for (field, property) in properties {
                comment(&mut out, property, "  ");
                let optional = if is_optional(field, property, &required) { "?" } else { "" };
                writeln!(out, "  {field}{optional}: {};", kind(property)).unwrap();
            }
            out.push_str("}\n");
        } else {
            writeln!(out, "export type {name} = {};", kind(schema)).unwrap();
        }
    }
    out
}

/// What may be null is always there; what is neither required nor nullable may be absent.
fn is_optional(field: &str, property: &Value, required: &[&str]) -> bool {
    !required.contains(&field) && !kind(property).ends_with("| null")
}

fn comment(out: &mut String, schema: &Value, indent: &str) {
    if let Some(text) = schema["description"].as_str() {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(out, "{indent}/** {text} */").unwrap();
    }
}

fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().expect("a name").to_owned();
    }
    for any in ["anyOf", "oneOf"] {
        if let Some(all) = schema[any].as_array() {
            return all.iter().map(kind).collect::<Vec<_>>().join(" | ");
        }
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            let one = |name: &Value| {
                let mut schema = schema.clone();
                schema["type"] = name.clone();
                kind(&schema)
            };
            kinds.iter().map(one).collect::<Vec<_>>().join(" | ")
        }
        Value::String(name) => match name.as_str() {
            "string" => "string".to_owned(),
            "number" | "integer" => "number".to_owned(),
            "boolean" => "boolean".to_owned(),
            "null" => "null".to_owned(),
            "array" => {
                let items = kind(&schema["items"]);
                if items.contains('|') { format!("({items})[]") } else { format!("{items}[]") }
            }
            "object" => format!("Record<string, {}>", kind(&schema["additionalProperties"])),
            other => panic!("the type {other} has no twin"),
        },
        _ => "unknown".to_owned(),
    }
}

#[test]
fn the_reference_and_the_client_are_as_the_views_say() {
    let openapi = openapi();
    let text = serde_json::to_string_pretty(&openapi).unwrap() + "\n";
    expect_file!["../../../../docs/reference/openapi.json"].assert_eq(&text);
    expect_file!["../../../../web/src/api.gen.ts"].assert_eq(&typescript(&openapi));
}
