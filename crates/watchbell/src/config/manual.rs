//! The reference manual and the JSON schema, written from the structs.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use super::Config;

/// The JSON schema of `watchbell.yml` (draft 2020-12).
pub fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

/// The reference manual as Markdown.
pub fn markdown() -> String {
    let schema = schema();
    let mut text = String::from(
        "# Configuration reference\n\nWritten from the structs by a test; do not edit. Durations are written as `30s`, \
         `5m`, `1h30m` or `7d`. `${secret:name}` stands for a secret anywhere in a text.\n",
    );
    let mut seen = BTreeSet::new();
    let mut queue = vec![("watchbell.yml".to_owned(), schema.clone())];
    while !queue.is_empty() {
        let (title, part) = queue.remove(0);
        if !seen.insert(title.clone()) {
            continue;
        }
        let _ = write!(text, "\n## {title}\n\n");
        if let Some(meaning) = part.get("description").and_then(Value::as_str) {
            let _ = writeln!(text, "{}\n", one_line(meaning));
        }
        let Some(fields) = part.get("properties").and_then(Value::as_object) else { continue };
        text.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
        for (name, field) in fields {
            let required =
                part.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == name));
            let default = match field.get("default") {
                Some(Value::Null) | None if required => "**required**".into(),
                Some(Value::Object(map)) if map.len() > 3 => String::new(),
                Some(Value::Null) | None => String::new(),
                Some(value) => format!("`{value}`"),
            };
            let meaning = field.get("description").and_then(Value::as_str).unwrap_or_default();
            let kind = kind(field, &schema, &mut queue);
            let _ = writeln!(text, "| `{name}` | {kind} | {default} | {} |", one_line(meaning).replace('|', "\\|"));
        }
    }
    text
}

/// A field's type in words; the parts it refers to are queued.
fn kind(field: &Value, schema: &Value, queue: &mut Vec<(String, Value)>) -> String {
    if let Some(name) = field.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        let part = schema.pointer(&format!("/$defs/{name}")).cloned().unwrap_or_default();
        if part.get("properties").is_some() {
            queue.push((name.to_owned(), part));
            return format!("[{name}](#{})", name.to_lowercase());
        }
        return kind(&part, schema, queue);
    }
    if let Some(choices) = field.get("anyOf").or_else(|| field.get("oneOf")).and_then(Value::as_array) {
        let words: Vec<String> =
            choices.iter().filter_map(|one| one.get("const")?.as_str()).map(|one| format!("`{one}`")).collect();
        if !words.is_empty() {
            return words.join(", ");
        }
        let real = choices.iter().find(|one| one.get("type") != Some(&Value::from("null")));
        return real.map_or_else(String::new, |one| kind(one, schema, queue));
    }
    if let Some(words) = field.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words.iter().filter_map(Value::as_str).map(|one| format!("`{one}`")).collect();
        return words.join(", ");
    }
    let name = match field.get("type") {
        Some(Value::String(one)) => one.as_str(),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).find(|one| *one != "null").unwrap_or("any"),
        _ => return "any".into(),
    };
    match (name, field.get("format").and_then(Value::as_str)) {
        (_, Some("duration")) => "duration".into(),
        (_, Some("cron")) => "cron expression".into(),
        (_, Some("uri")) => "web address".into(),
        (_, Some("runbook")) => "run book".into(),
        ("array", _) => {
            let item = field.get("items").map_or_else(String::new, |item| kind(item, schema, queue));
            format!("list of {item}")
        }
        ("object", _) => match field.get("additionalProperties") {
            Some(Value::Object(value)) => {
                let value = kind(&Value::Object(value.clone()), schema, queue);
                format!("name → {value}")
            }
            _ => "mapping".into(),
        },
        ("string", _) => "text".into(),
        ("boolean", _) => "`true`, `false`".into(),
        ("integer", _) => "whole number".into(),
        (other, _) => other.into(),
    }
}

fn one_line(text: &str) -> String {
    text.split("\n\n")
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("<br>")
}
