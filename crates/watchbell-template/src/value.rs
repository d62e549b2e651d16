//! What templates compute with: a small dynamic value.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_model::{Histogram, Labels, Timestamp};

/// A value in a template. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// Go's `nil`; prints as `<no value>`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number; prints as Go prints a `float64`.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// A list. One of alerts also has `.Firing` and `.Resolved`, one of pairs `.Names` and `.Values`.
    List(Arc<Vec<Value>>),
    /// A map such as a label set: a key that is not there is the empty text. Has `.SortedPairs`, `.Names`, `.Values`
    /// and `.Remove`.
    Map(Arc<BTreeMap<String, Value>>),
    /// A struct: a field that is not there is an error.
    Record(Arc<BTreeMap<String, Value>>),
    /// A moment, in the zone it is shown in.
    Time(Arc<jiff::Zoned>),
    /// A length of time in nanoseconds.
    Duration(i64),
    /// A native histogram, and how Prometheus writes it. No number, but its fields are: `.Count`, `.Sum` and so on.
    Histogram(Arc<Histogram>, Arc<str>),
}

impl Value {
    /// A struct with these fields.
    pub fn record<N: Into<String>>(fields: impl IntoIterator<Item = (N, Value)>) -> Value {
        Value::Record(Arc::new(fields.into_iter().map(|(name, value)| (name.into(), value)).collect()))
    }

    /// A list of these values.
    pub fn list(values: impl IntoIterator<Item = Value>) -> Value {
        Value::List(Arc::new(values.into_iter().collect()))
    }

    /// Whether `if` takes it for true: not zero, not empty, not nothing.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(it) => *it,
            Value::Int(it) | Value::Duration(it) => *it != 0,
            Value::Float(it) => *it != 0.0,
            Value::Str(it) => !it.is_empty(),
            Value::List(it) => !it.is_empty(),
            Value::Map(it) => !it.is_empty(),
            Value::Record(_) | Value::Time(_) | Value::Histogram(..) => true,
        }
    }

    /// Its kind, in an error message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Record(_) => "struct",
            Value::Time(_) => "time.Time",
            Value::Duration(_) => "time.Duration",
            Value::Histogram(..) => "*histogram.FloatHistogram",
        }
    }
}

impl From<bool> for Value {
    fn from(it: bool) -> Value {
        Value::Bool(it)
    }
}
impl From<i64> for Value {
    fn from(it: i64) -> Value {
        Value::Int(it)
    }
}
impl From<f64> for Value {
    fn from(it: f64) -> Value {
        Value::Float(it)
    }
}
impl From<&str> for Value {
    fn from(it: &str) -> Value {
        Value::Str(it.into())
    }
}
impl From<String> for Value {
    fn from(it: String) -> Value {
        Value::Str(it.into())
    }
}
impl From<Vec<Value>> for Value {
    fn from(it: Vec<Value>) -> Value {
        Value::List(Arc::new(it))
    }
}
impl From<BTreeMap<String, Value>> for Value {
    fn from(it: BTreeMap<String, Value>) -> Value {
        Value::Map(Arc::new(it))
    }
}
impl From<&Labels> for Value {
    fn from(it: &Labels) -> Value {
        Value::Map(Arc::new(it.iter().map(|(name, value)| (name.to_owned(), value.into())).collect()))
    }
}
impl From<Timestamp> for Value {
    /// In UTC; a moment outside the years -9999 to 9999 becomes the nearest inside.
    fn from(it: Timestamp) -> Value {
        let least = jiff::Timestamp::MIN.as_millisecond() + 86_400_000;
        let most = jiff::Timestamp::MAX.as_millisecond() - 86_400_000;
        let at = jiff::Timestamp::from_millisecond(it.as_millis().clamp(least, most)).unwrap_or_default();
        Value::Time(Arc::new(at.to_zoned(jiff::tz::TimeZone::UTC)))
    }
}
impl From<std::time::Duration> for Value {
    fn from(it: std::time::Duration) -> Value {
        Value::Duration(i64::try_from(it.as_nanos()).unwrap_or(i64::MAX))
    }
}
