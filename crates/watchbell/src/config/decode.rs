//! A YAML tree against a JSON schema: every problem with its place, and JSON that the structs take without complaint.
//!
//! The schema comes from the structs themselves (schemars), so the structs are the file, the manual and this check.
//! Knows the part of JSON Schema that schemars writes for them: `$ref`, `anyOf`/`oneOf`, `type`, `enum`/`const`,
//! `properties`, `required`, `additionalProperties`, `items`, and our formats `duration`, `cron`, `uri`, `quorum` and `runbook`.

use serde_json::{Map, Value};
use watchbell_model::{Cron, Path, Problems, Quorum, RunbookRef, Span, Url, nearest};

use super::yaml::{Kind, Node};

/// The JSON of `node` by `schema`; what does not fit is a problem and `null`.
pub(super) fn decode(node: &Node, schema: &Value, path: &Path, problems: &mut Problems) -> Value {
    Decoder { definitions: schema.get("$defs"), problems }.value(node, schema, path)
}

/// A longer text is not repeated in an error about it, in characters.
const TEXT_SHOWN_MAX: usize = 200;

struct Decoder<'a> {
    definitions: Option<&'a Value>,
    problems: &'a mut Problems,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, node: &Node, schema: &'a Value, path: &Path) -> Value {
        let schema = self.follow(schema);
        if let Some(choices) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            if let Some(words) = constants(choices) {
                return self.choice(node, &words, path);
            }
            let null = |schema: &&Value| schema.get("type") == Some(&Value::from("null"));
            if node.is_null() && choices.iter().any(|choice| null(&choice)) {
                return Value::Null;
            }
            if let Some(first) = choices.iter().find(|choice| !null(choice)) {
                return self.value(node, first, path);
            }
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            return self.choice(node, &words, path);
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => return untyped(node),
        };
        if node.is_null() && types.contains(&"null") {
            return Value::Null;
        }
        match types.iter().find(|kind| **kind != "null").copied().unwrap_or("null") {
            "object" => self.object(node, schema, path),
            "array" => self.array(node, schema, path),
            "string" => self.string(node, schema, path),
            "boolean" => self.boolean(node, path),
            kind => self.number(node, kind == "integer", schema, path),
        }
    }

    fn follow(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        while let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let name = name.rsplit('/').next().unwrap_or_default();
            match self.definitions.and_then(|all| all.get(name)) {
                Some(found) => schema = found,
                None => break,
            }
        }
        schema
    }

    fn object(&mut self, node: &Node, schema: &'a Value, path: &Path) -> Value {
        static NO_FIELDS: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        let fields = schema.get("properties").and_then(Value::as_object).unwrap_or(&NO_FIELDS);
        let pairs = match &node.kind {
            Kind::Map(pairs) => pairs.as_slice(),
            _ if node.is_null() => &[],
            _ => return self.refuse(node, path, &format!("a mapping was expected here{}", some_of(fields))),
        };
        let mut out = Map::new();
        for (key, value) in pairs {
            let at = path.field(&key.name);
            let more = schema.get("additionalProperties");
            if let Some(field) = fields.get(&key.name) {
                let nothing = value.is_null() && !accepts_null(self.follow(field));
                if !nothing || requires(schema, &key.name) {
                    let json = self.value(value, field, &at);
                    out.insert(key.name.clone(), json);
                }
            } else if let Some(more) = more.filter(|more| !matches!(more, Value::Bool(_))) {
                let json = self.value(value, more, &at);
                out.insert(key.name.clone(), json);
            } else if more == Some(&Value::Bool(false)) {
                let problem = self.problems.error(&at, format!("there is no field `{}` here", key.name));
                problem.hint(suggestion(&key.name, fields.keys().map(String::as_str)));
            } else {
                out.insert(key.name.clone(), untyped(value));
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !pairs.iter().any(|(key, _)| key.name == name) {
                let meaning = fields.get(name).and_then(|field| field.get("description")).and_then(Value::as_str);
                let problem = self.problems.error(path, format!("the field `{name}` is missing"));
                if let Some(meaning) = meaning {
                    problem.hint(format!("{name}: {}", meaning.lines().next().unwrap_or_default()));
                }
            }
        }
        Value::Object(out)
    }

    fn array(&mut self, node: &Node, schema: &'a Value, path: &Path) -> Value {
        match &node.kind {
            Kind::List(items) => {
                let item = schema.get("items").unwrap_or(&Value::Null);
                let mapping = self.follow(item).get("type").is_some_and(|kind| kind == "object");
                let mut decode = |(at, node): (usize, &Node)| {
                    if mapping && node.is_null() {
                        return self.refuse(node, &path.index(at), "a mapping was expected behind the dash");
                    }
                    self.value(node, item, &path.index(at))
                };
                items.iter().enumerate().map(&mut decode).collect()
            }
            _ if node.is_null() => Value::Array(Vec::new()),
            _ => self.refuse(node, path, "a list was expected here: each item on a line of its own after `- `"),
        }
    }

    fn string(&mut self, node: &Node, schema: &Value, path: &Path) -> Value {
        let Kind::Scalar { text, .. } = &node.kind else {
            return self.refuse(node, path, "text was expected here");
        };
        let wrong = match schema.get("format").and_then(Value::as_str) {
            Some("duration") => text.parse::<Span>().err().map(|error| error.to_string()),
            Some("uri") => text.parse::<Url>().err().map(|error| error.to_string()),
            Some("cron") => text.parse::<Cron>().err().map(|error| error.to_string()),
            Some("quorum") => text.parse::<Quorum>().err().map(|error| error.to_string()),
            Some("runbook") => text.parse::<RunbookRef>().err().map(|error| error.to_string()),
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.problems.error(path, wrong);
            return Value::Null;
        }
        if node.secret && schema.get("format").and_then(Value::as_str) != Some("password") {
            let problem = self.problems.warning(path, "what is given here is not kept secret");
            problem.hint("it may show in the UI, in metrics and in pages; put secrets into headers, bodies or logins");
        }
        Value::String(text.clone())
    }

    fn boolean(&mut self, node: &Node, path: &Path) -> Value {
        match &node.kind {
            Kind::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "True" | "TRUE") => {
                Value::Bool(true)
            }
            Kind::Scalar { text, plain: true } if matches!(text.as_str(), "false" | "False" | "FALSE") => {
                Value::Bool(false)
            }
            _ => self.refuse(node, path, "`true` or `false` was expected here"),
        }
    }

    fn number(&mut self, node: &Node, whole: bool, schema: &Value, path: &Path) -> Value {
        let Kind::Scalar { text, .. } = &node.kind else {
            return self.refuse(node, path, "a number was expected here");
        };
        let json = if whole {
            text.parse::<i64>().ok().map(Value::from)
        } else {
            text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from)
        };
        let Some(json) = json else {
            let what = if whole { "a whole number was expected here" } else { "a number was expected here" };
            return self.refuse(node, path, what);
        };
        let number = json.as_f64().unwrap_or_default();
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let (low, high) = (bound("minimum").unwrap_or(f64::MIN), bound("maximum").unwrap_or(f64::MAX));
        if number < low || number > high {
            let range = if high == f64::MAX { format!("at least {low}") } else { format!("from {low} to {high}") };
            return self.refuse(node, path, &format!("a number {range} was expected here"));
        }
        json
    }

    fn choice(&mut self, node: &Node, words: &[&str], path: &Path) -> Value {
        if let Kind::Scalar { text, .. } = &node.kind {
            if words.contains(&text.as_str()) {
                return Value::String(text.clone());
            }
            let problem = self.problems.error(path, format!("`{text}` is not one of its values"));
            problem.hint(suggestion(text, words.iter().copied()));
            return Value::Null;
        }
        self.refuse(node, path, &format!("one of `{}` was expected here", words.join("`, `")))
    }

    fn refuse(&mut self, node: &Node, path: &Path, what: &str) -> Value {
        let got = match &node.kind {
            _ if node.is_null() => "nothing".to_owned(),
            // Never a part of it: half a secret is not recognised as one.
            Kind::Scalar { text, .. } if text.chars().count() > TEXT_SHOWN_MAX => "a long text".into(),
            Kind::Scalar { text, .. } => format!("`{text}`"),
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a mapping".into(),
        };
        self.problems.error(path, format!("{what}, but there is {got}"));
        Value::Null
    }
}

fn requires(schema: &Value, name: &str) -> bool {
    schema.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == name))
}

fn accepts_null(schema: &Value) -> bool {
    let null = Value::from("null");
    match schema.get("type") {
        Some(Value::Array(types)) => types.contains(&null),
        Some(one) => *one == null,
        None => schema.get("anyOf").and_then(Value::as_array).is_some_and(|all| all.iter().any(accepts_null)),
    }
}

fn constants(choices: &[Value]) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    for choice in choices {
        if let Some(word) = choice.get("const").and_then(Value::as_str) {
            words.push(word);
        } else {
            words.extend(choice.get("enum")?.as_array()?.iter().filter_map(Value::as_str));
        }
    }
    Some(words)
}

/// YAML's core schema, for places where the struct takes anything.
fn untyped(node: &Node) -> Value {
    match &node.kind {
        _ if node.is_null() => Value::Null,
        Kind::Scalar { text, plain: false } => Value::String(text.clone()),
        Kind::Scalar { text, .. } => match text.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => match text.parse::<i64>() {
                Ok(whole) => Value::from(whole),
                Err(_) => match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => Value::from(number),
                    _ => Value::String(text.to_owned()),
                },
            },
        },
        Kind::List(items) => items.iter().map(untyped).collect(),
        Kind::Map(pairs) => {
            Value::Object(pairs.iter().map(|(key, value)| (key.name.clone(), untyped(value))).collect())
        }
    }
}

fn some_of(fields: &Map<String, Value>) -> String {
    let names: Vec<&str> = fields.keys().take(6).map(String::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" with fields such as `{}`", names.join("`, `")) }
}

/// What was probably meant, or what there is.
pub(super) fn suggestion<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    match nearest(wrong, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        _ if names.is_empty() => "nothing goes here".into(),
        _ => format!("there are `{}`", names.join("`, `")),
    }
}
