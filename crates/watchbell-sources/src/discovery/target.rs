//! What is learnt of a target, on its way to labels; and the reading of JSON that it is learnt from. Pure.

use serde_json::Value;
use watchbell_model::Labels;

use super::groups::ADDRESS;

/// A target that is being described. What is set again replaces what was there.
#[derive(Clone, Default)]
pub(super) struct Target(Vec<(String, String)>);

impl Target {
    /// Nothing yet.
    pub(super) fn new() -> Target {
        Target::default()
    }

    /// Where it is scraped.
    pub(super) fn at(&mut self, host: &str, port: impl std::fmt::Display) -> &mut Target {
        self.set(ADDRESS, join(host, port))
    }

    /// One label; one without a value is none.
    pub(super) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Target {
        self.0.push((name.into(), value.into()));
        self
    }

    /// A label for each pair, named by the prefix and the pair's name, as far as a label can have it.
    pub(super) fn each<'a>(
        &mut self,
        prefix: &str,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> &mut Target {
        for (name, value) in pairs {
            self.set(format!("{prefix}{}", sanitize(name)), value);
        }
        self
    }

    /// A label that lists values between commas, one also at each end, so that an expression need not mind the place.
    pub(super) fn list(&mut self, name: &str, values: &[&str]) -> &mut Target {
        if values.is_empty() { self } else { self.set(name, format!(",{},", values.join(","))) }
    }

    /// All that another one has, too.
    pub(super) fn also(&mut self, other: &Target) -> &mut Target {
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// What was set.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(have, _)| have == name).map_or("", |(_, value)| value)
    }

    pub(super) fn labels(&self) -> Labels {
        Labels::from_pairs(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn join(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A name with `_` for all that Prometheus' older label names cannot have.
pub(super) fn sanitize(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// The text at a JSON pointer, empty if there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The text, number or truth value at a JSON pointer as text, empty if there is none.
pub(super) fn word(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(is)) => is.to_string(),
        _ => String::new(),
    }
}

/// The list at a JSON pointer, empty if there is none.
pub(super) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The texts of the mapping at a JSON pointer.
pub(super) fn pairs<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let pairs = value.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}
