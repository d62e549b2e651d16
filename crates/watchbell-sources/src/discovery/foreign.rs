//! The discoveries of Prometheus that find nothing here: their configurations are read as Prometheus reads them, so that a
//! user's file is accepted or refused as before, and each is warned of.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use watchbell_model::{Path, Problems, Span, Url, with_http_client};

mod kinds;
mod kubernetes;

use kinds::{Field, KINDS};

/// What to do where a discovery finds nothing.
pub(super) const INSTEAD: &str =
    "let a program write the targets into a file for `file_sd_configs`, or serve them to `http_sd_configs`";

/// The configuration of a discovery that is known, but finds nothing here.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Foreign(Map<String, Value>);

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may hold secrets.
        f.write_str("Foreign")
    }
}

impl JsonSchema for Foreign {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Foreign".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object", "additionalProperties": true })
    }
}

with_http_client! {
    /// The HTTP options among the fields of another discovery.
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct HttpOptions {
    }
}

const HTTP_FIELDS: [&str; 13] = [
    "basic_auth",
    "authorization",
    "oauth2",
    "bearer_token",
    "bearer_token_file",
    "tls_config",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "http_headers",
    "follow_redirects",
    "enable_http2",
];

impl Foreign {
    /// Nothing is read from its files, so none is made relative to a folder.
    pub fn anchor(&mut self, _base: &FilePath) {}

    /// What is wrong with it, as a discovery of this kind (`kubernetes`), and that it finds nothing.
    pub fn check(&self, kind: &str, path: &Path, problems: &mut Problems) {
        let Some(kind) = KINDS.iter().find(|known| known.name == kind) else { return };
        let before = problems.0.len();
        let own: BTreeMap<&str, &Value> =
            self.0.iter().map(|(name, value)| (name.as_str(), value)).filter(|(_, value)| !value.is_null()).collect();
        for (name, value) in &own {
            let path = path.field(*name);
            let field = kind.fields.iter().find(|(field, _)| field == name);
            match field {
                Some((_, field)) => field.check(value, &path, problems),
                None if kind.http && HTTP_FIELDS.contains(name) => {}
                None if *name == "tls_config" && kind.tls => {}
                None => {
                    let names: Vec<&str> = kind.fields.iter().map(|(name, _)| *name).collect();
                    let message = format!("`{}_sd_configs` have no field `{name}`", kind.name);
                    problems.error(&path, message).hint(format!("there are `{}`", names.join("`, `")));
                }
            }
        }
        for name in kind.required {
            if own.get(name).is_none_or(|value| is_empty(value)) {
                problems.error(path, format!("the field `{name}` is missing")).hint("Prometheus refuses it too");
            }
        }
        for names in kind.exclusive {
            let given: Vec<&str> = names.iter().copied().filter(|name| own.contains_key(name)).collect();
            if given.len() > 1 {
                problems
                    .error(path, format!("there are both `{}`", given.join("` and `")))
                    .hint("use one of them alone");
            }
        }
        for names in kind.one_of {
            if !names.iter().any(|name| own.contains_key(name)) {
                problems.error(path, format!("one of `{}` is missing", names.join("` and `"))).hint("give one of them");
            }
        }
        if kind.http || kind.tls {
            self.check_http(path, problems);
        }
        (kind.rules)(&own, path, problems);
        if !problems.0[before..].iter().any(|problem| problem.level == watchbell_model::Level::Error) {
            let message = format!("targets of `{}_sd_configs` are not discovered: it finds none", kind.name);
            problems.warning(path, message).hint(INSTEAD);
        }
    }

    fn check_http(&self, path: &Path, problems: &mut Problems) {
        let http = self.0.iter().filter(|(name, value)| HTTP_FIELDS.contains(&name.as_str()) && !value.is_null());
        let http: Map<String, Value> = http.map(|(name, value)| (name.clone(), worded(value))).collect();
        match serde_json::from_value::<HttpOptions>(Value::Object(http)) {
            Ok(options) => {
                options.http_client().check(path, problems);
                let bearer = options.bearer_token.is_some() || options.bearer_token_file.is_some();
                if bearer && options.authorization.is_some() {
                    let message = "there are both a bearer token and `authorization`";
                    problems.error(path, message).hint("use `authorization` alone");
                }
            }
            Err(error) => problems.error(path, error.to_string()).hint("the HTTP options are those of a scrape"),
        }
    }
}

/// YAML reads `1234` as a number also where a text is meant.
fn worded(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Array(items) => items.iter().map(worded).collect(),
        Value::Object(fields) => Value::Object(
            fields.iter().filter(|(_, it)| !it.is_null()).map(|(name, it)| (name.clone(), worded(it))).collect(),
        ),
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

impl Field {
    fn check(self, value: &Value, path: &Path, problems: &mut Problems) {
        let text = match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(is) => Some(is.to_string()),
            _ => None,
        };
        let (fits, wanted) = match self {
            Field::Text => (text.is_some(), "text".to_owned()),
            Field::Number => (value.is_i64() || value.is_u64(), "a whole number".into()),
            Field::Bool => (value.is_boolean(), "`true` or `false`".into()),
            Field::Span => (
                text.is_some_and(|text| text.parse::<Span>().is_ok_and(|it| !it.is_zero())),
                "a duration such as `1m`".into(),
            ),
            Field::Texts => (
                value.as_array().is_some_and(|items| items.iter().all(|it| !it.is_object() && !it.is_array())),
                "a list of texts".into(),
            ),
            Field::Url => (text.is_some_and(|text| text.parse::<Url>().is_ok()), "a web address".into()),
            Field::Any => (true, String::new()),
            Field::One(words) => {
                (text.is_some_and(|text| words.contains(&text.as_str())), format!("one of `{}`", words.join("`, `")))
            }
        };
        if !fits {
            problems.error(path, format!("{wanted} was expected here")).hint("Prometheus refuses it too");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_each_field_once() {
        for kind in KINDS {
            let mut names: Vec<&str> = kind.fields.iter().map(|(name, _)| *name).collect();
            names.sort();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{}", kind.name);
            for name in kind.required.iter().chain(kind.exclusive.iter().copied().flatten()) {
                assert!(names.contains(name) || HTTP_FIELDS.contains(name), "{} {name}", kind.name);
            }
        }
    }
}
