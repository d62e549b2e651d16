//! Taking a JSON body apart by hand, so that an error names the field it is about.

use serde_json::{Map, Value};

/// What is wrong with a body that somebody posted; its text is meant to be sent back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is not JSON at all.
    #[error("the body is not JSON: {0}")]
    Json(String),
    /// A field that must be there is not.
    #[error("`{field}` is missing")]
    Missing {
        /// Its path, such as `alerts[0].labels`.
        field: String,
    },
    /// A field has a value of another type.
    #[error("`{field}` must be {wanted}, not {found}")]
    Type {
        /// Its path.
        field: String,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A field has the right type and a value that cannot be.
    #[error("`{field}` {reason}")]
    Value {
        /// Its path.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

/// An object and where it is.
pub(crate) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

pub(crate) fn read(body: &[u8]) -> Result<Value, BodyError> {
    if body.is_empty() {
        return Err(BodyError::Json("it is empty".into()));
    }
    serde_json::from_slice(body).map_err(|error| BodyError::Json(error.to_string()))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn wrong(field: &str, wanted: &'static str, value: &Value) -> BodyError {
    let field = if field.is_empty() { "body" } else { field };
    BodyError::Type { field: field.to_owned(), wanted, found: kind(value) }
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value, path: &str) -> Result<Fields<'a>, BodyError> {
        let map = value.as_object().ok_or_else(|| wrong(path, "an object", value))?;
        Ok(Fields { path: path.to_owned(), map })
    }

    /// The path of a field of this object.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A field that is there and not `null`.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, BodyError> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| wrong(&self.path(name), "a text", value));
        self.get(name).map(read).transpose()
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, BodyError> {
        let read = |value: &'a Value| value.as_bool().ok_or_else(|| wrong(&self.path(name), "true or false", value));
        self.get(name).map(read).transpose()
    }

    pub(crate) fn list(&self, name: &str) -> Result<Option<&'a [Value]>, BodyError> {
        let read = |value: &'a Value| {
            value.as_array().map(Vec::as_slice).ok_or_else(|| wrong(&self.path(name), "a list", value))
        };
        self.get(name).map(read).transpose()
    }

    /// An object of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<(&'a str, &'a str)>, BodyError> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let fields = Fields::of(value, &self.path(name))?;
        let one = |(name, value): (&'a String, &'a Value)| {
            let text = value.as_str().ok_or_else(|| wrong(&fields.path(name), "a text", value))?;
            Ok((name.as_str(), text))
        };
        fields.map.iter().map(one).collect()
    }

    pub(crate) fn missing(&self, name: &str) -> BodyError {
        BodyError::Missing { field: self.path(name) }
    }

    pub(crate) fn refuse(&self, name: &str, reason: impl Into<String>) -> BodyError {
        BodyError::Value { field: self.path(name), reason: reason.into() }
    }
}

/// The items of the list that a body is.
pub(crate) fn items(value: &Value) -> Result<&[Value], BodyError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| wrong("", "a list", value))
}

/// At most this many bytes of a text, cut between characters, with a mark where it was cut.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mark = "…";
    let end = (0..=bytes_max - mark.len()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{mark}", &text[..end])
}
