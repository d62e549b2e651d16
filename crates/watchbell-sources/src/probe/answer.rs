//! What the answer to a web request must be: its status, and what its JSON says.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Number, Value};
use serde_json_path::JsonPath;
use watchbell_model::{Path, Problems};

use super::attempt::Failure;
use super::dialogue::shown;
use super::http::{check_regex, regex_words};

/// A status or a range of them: `204`, `200-299`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

/// Why a text is not a [`StatusRange`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a status; write it as `204` or `200-299`")]
pub struct StatusError(String);

impl StatusRange {
    /// `200-299`.
    pub const SUCCESS: StatusRange = StatusRange { first: 200, last: 299 };

    /// Whether a status is one of them.
    pub fn contains(&self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl FromStr for StatusRange {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<StatusRange, StatusError> {
        let refuse = || StatusError(text.to_owned());
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let one =
            |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status)).ok_or_else(refuse);
        let range = StatusRange { first: one(first)?, last: one(last)? };
        if range.first <= range.last { Ok(range) } else { Err(refuse()) }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A number where YAML sees one (`204`), else a text (`200-299`).
impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<StatusRange, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = StatusRange;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as `204` or `200-299`")
            }
            fn visit_u64<E: de::Error>(self, status: u64) -> Result<StatusRange, E> {
                self.visit_str(&status.to_string())
            }
            fn visit_i64<E: de::Error>(self, status: i64) -> Result<StatusRange, E> {
                self.visit_str(&status.to_string())
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<StatusRange, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl JsonSchema for StatusRange {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$" })
    }
}

/// What an answer must say as JSON: the path must choose something, and all it chooses must pass.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonCondition {
    /// What to look at, as RFC 9535 writes it: `$.status`, `$.checks[*].ok`. Without a condition it must only be there.
    pub path: String,
    /// It must be this value.
    #[serde(default)]
    pub equals: Option<Value>,
    /// It must not be this value.
    #[serde(default)]
    pub not_equals: Option<Value>,
    /// It must be a text in which this regular expression matches somewhere.
    #[serde(default)]
    pub matches: Option<String>,
    /// It must be a number greater than this.
    #[serde(default)]
    pub above: Option<Number>,
    /// It must be a number less than this.
    #[serde(default)]
    pub below: Option<Number>,
}

impl JsonCondition {
    pub(crate) fn check(&self, path: &Path, problems: &mut Problems) {
        if let Err(error) = JsonPath::parse(&self.path) {
            problems
                .error(&path.field("path"), format!("`{}` is not a JSON path: {error}", self.path))
                .hint("such as `$.status` or `$.checks[*].ok`");
        }
        if let Some(pattern) = &self.matches {
            check_regex(pattern, &path.field("matches"), problems);
        }
        if let (Some(above), Some(below)) = (number(self.above.as_ref()), number(self.below.as_ref()))
            && above >= below
        {
            problems
                .error(&path.field("below"), format!("no number is above {above} and below {below}"))
                .hint("exchange them, or keep one");
        }
    }

    /// Judges an answer's body.
    pub(crate) fn judge(&self, body: &[u8]) -> Result<(), Failure> {
        let path = &self.path;
        let parsed = JsonPath::parse(path).map_err(|error| Failure(format!("`{path}` is not a JSON path: {error}")))?;
        let document: Value = serde_json::from_slice(body)
            .map_err(|error| Failure(format!("expected JSON, but the answer is not: {error}")))?;
        let chosen = parsed.query(&document).all();
        if chosen.is_empty() {
            return Err(Failure(format!("expected `{path}` in the answer, but it is not there")));
        }
        chosen.into_iter().try_for_each(|value| self.judge_value(value))
    }

    fn judge_value(&self, value: &Value) -> Result<(), Failure> {
        let refuse = |expected: String| {
            Err(Failure(format!(
                "expected `{}` to be {expected}, but it is `{}`",
                self.path,
                shown(&value.to_string())
            )))
        };
        if let Some(wanted) = &self.equals
            && !same(value, wanted)
        {
            return refuse(format!("`{wanted}`"));
        }
        if let Some(unwanted) = &self.not_equals
            && same(value, unwanted)
        {
            return refuse(format!("anything but `{unwanted}`"));
        }
        if let Some(pattern) = &self.matches {
            let regex = Regex::new(pattern).map_err(|error| Failure(regex_words(&error)))?;
            if !value.as_str().is_some_and(|text| regex.is_match(text)) {
                return refuse(format!("a text that matches `{pattern}`"));
            }
        }
        if let Some(bound) = number(self.above.as_ref())
            && value.as_f64().is_none_or(|have| have <= bound)
        {
            return refuse(format!("above {bound}"));
        }
        if let Some(bound) = number(self.below.as_ref())
            && value.as_f64().is_none_or(|have| have >= bound)
        {
            return refuse(format!("below {bound}"));
        }
        Ok(())
    }
}

fn number(number: Option<&Number>) -> Option<f64> {
    number.and_then(Number::as_f64)
}

/// `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a, b), (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64())
}

/// What a header of the answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderCondition {
    /// Its name.
    pub name: String,
    /// A regular expression that one of its values must match.
    #[serde(default)]
    pub matches: Option<String>,
    /// A regular expression that none of its values may match; with `.*` and `optional` it must not be there.
    #[serde(default)]
    pub not_matches: Option<String>,
    /// Whether it may be missing.
    #[serde(default)]
    pub optional: bool,
}

impl HeaderCondition {
    pub(crate) fn check(&self, path: &Path, problems: &mut Problems) {
        if ::http::HeaderName::from_bytes(self.name.as_bytes()).is_err() {
            let words = format!("{:?} is not the name of a header", self.name);
            problems.error(&path.field("name"), words).hint("such as `Strict-Transport-Security`");
        }
        for (field, pattern) in [("matches", &self.matches), ("not_matches", &self.not_matches)] {
            if let Some(pattern) = pattern {
                check_regex(pattern, &path.field(field), problems);
            }
        }
    }

    pub(crate) fn judge(&self, headers: &[(String, String)]) -> Result<(), Failure> {
        let name = &self.name;
        let values: Vec<&str> = headers
            .iter()
            .filter(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        let Some(first) = values.first() else {
            return match self.optional {
                true => Ok(()),
                false => Err(Failure(format!("expected the header `{name}`, but the answer does not have it"))),
            };
        };
        let matching = |pattern: &str| -> Result<Option<&str>, Failure> {
            let regex = Regex::new(pattern).map_err(|error| Failure(regex_words(&error)))?;
            Ok(values.iter().copied().find(|value| regex.is_match(value)))
        };
        if let Some(pattern) = &self.matches
            && matching(pattern)?.is_none()
        {
            let words = format!("expected the header `{name}` to match `{pattern}`, but it is `{}`", shown(first));
            return Err(Failure(words));
        }
        if let Some(pattern) = &self.not_matches
            && let Some(value) = matching(pattern)?
        {
            let words = format!("the header `{name}` is `{}` and should not match `{pattern}`", shown(value));
            return Err(Failure(words));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(condition: &str, body: &str, expected: Expect) {
        let condition: JsonCondition = serde_json::from_str(condition).unwrap();
        let judged = condition.judge(body.as_bytes());
        expected.assert_eq(&judged.map_or_else(|failure| failure.to_string(), |()| "ok".to_owned()));
    }

    #[test]
    fn statuses() {
        for (text, inside, outside) in [("200-299", 200, 300), ("204", 204, 200), ("200 - 204", 204, 205)] {
            let range: StatusRange = text.parse().unwrap();
            assert!(range.contains(inside) && !range.contains(outside), "{text}");
        }
        for text in ["", "2xx", "299-200", "20", "600", "200-", "-1"] {
            assert!(text.parse::<StatusRange>().is_err(), "{text}");
        }
        let list: Vec<StatusRange> = serde_json::from_str(r#"[204, "300-399"]"#).unwrap();
        assert_eq!(list.iter().map(ToString::to_string).collect::<Vec<_>>(), ["204", "300-399"]);
    }

    #[test]
    fn conditions() {
        let body = r#"{"status": "ok", "queue": 3, "checks": [{"ok": true, "name": "mx"}, {"ok": false}]}"#;
        check(r#"{"path": "$.status"}"#, body, expect!["ok"]);
        check(r#"{"path": "$.status", "equals": "ok"}"#, body, expect!["ok"]);
        check(r#"{"path": "$.queue", "equals": 3.0, "above": 2, "below": 3.5}"#, body, expect!["ok"]);
        check(
            r#"{"path": "$.checks[*].ok", "equals": true}"#,
            body,
            expect!["expected `$.checks[*].ok` to be `true`, but it is `false`"],
        );
        check(
            r#"{"path": "$.status", "matches": "^(healthy|good)$"}"#,
            body,
            expect![[r#"expected `$.status` to be a text that matches `^(healthy|good)$`, but it is `"ok"`"#]],
        );
        check(
            r#"{"path": "$.status", "not_equals": "ok"}"#,
            body,
            expect![[r#"expected `$.status` to be anything but `"ok"`, but it is `"ok"`"#]],
        );
        check(r#"{"path": "$.queue", "above": 3}"#, body, expect!["expected `$.queue` to be above 3, but it is `3`"]);
        check(
            r#"{"path": "$.status", "below": 3}"#,
            body,
            expect![[r#"expected `$.status` to be below 3, but it is `"ok"`"#]],
        );
        check(r#"{"path": "$[?length(@) == 2 && match(@[0].name, 'm.*')]"}"#, body, expect!["ok"]);
        check(r#"{"path": "$.uptime"}"#, body, expect!["expected `$.uptime` in the answer, but it is not there"]);
        check(
            r#"{"path": "$.status"}"#,
            "<html>",
            expect!["expected JSON, but the answer is not: expected value at line 1 column 1"],
        );
    }
}
