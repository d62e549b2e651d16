//! OpenTelemetry's protocol: metrics, as protocol buffers and in their JSON mapping.
//!
//! Only what metrics need; unknown fields are passed over. What the numbers mean for Prometheus is said where they are
//! taken in, not here. Source: `opentelemetry-proto` 1.x and its rules for JSON (numbers of 64 bits as texts or
//! numbers, ids in hexadecimal, enumerations as numbers).

mod json;
mod metrics;
#[cfg(test)]
mod tests;

use prost::Message;
use serde_json::{Value, json};

use crate::ProtoError;
use crate::proto::Fields;

pub use metrics::*;

/// How many messages and values one request may be made of: each takes some hundred bytes of memory when it is read,
/// however few it had.
pub const ELEMENTS_MAX: usize = 500_000;

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol buffers.
    Protobuf,
    /// Their JSON mapping.
    Json,
}

impl Encoding {
    /// What a `Content-Type` says; `None` if it is neither.
    pub fn of_content_type(header: Option<&str>) -> Option<Encoding> {
        match header?.split(';').next()?.trim() {
            kind if kind.eq_ignore_ascii_case("application/x-protobuf") => Some(Encoding::Protobuf),
            kind if kind.eq_ignore_ascii_case("application/json") => Some(Encoding::Json),
            _ => None,
        }
    }

    /// The `Content-Type` of answers.
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }
}

/// A request that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// Not protocol buffers, or other ones.
    #[error("the body is not an ExportMetricsServiceRequest: {0}")]
    Protobuf(String),
    /// Not JSON, or other JSON.
    #[error("the body is not the JSON of an ExportMetricsServiceRequest: {0}")]
    Json(String),
    /// Made of too many parts.
    #[error("a request may be made of {ELEMENTS_MAX} parts at most; send less at once")]
    TooMany,
}

/// Reads a decompressed request.
pub fn decode_metrics(body: &[u8], encoding: Encoding) -> Result<ExportMetricsServiceRequest, OtlpError> {
    match encoding {
        Encoding::Protobuf => {
            let mut room = ELEMENTS_MAX;
            count(Fields::new(body), Level::Request, &mut room)?;
            ExportMetricsServiceRequest::decode(body).map_err(|error| OtlpError::Protobuf(error.to_string()))
        }
        // A part of JSON is no shorter than four bytes or so.
        Encoding::Json if body.len() / 4 > ELEMENTS_MAX * 8 => Err(OtlpError::TooMany),
        Encoding::Json => serde_json::from_slice(body).map_err(|error| OtlpError::Json(error.to_string())),
    }
}

/// What a message holds that is made of parts.
#[derive(Clone, Copy)]
enum Level {
    Request,
    Resource,
    Scope,
    Metric,
    Data,
    Point,
    Leaf,
}

fn count(mut fields: Fields<'_>, level: Level, room: &mut usize) -> Result<(), OtlpError> {
    let broken = |error: ProtoError| OtlpError::Protobuf(error.to_string());
    while let Some(field) = fields.next_field().map_err(broken)? {
        *room = room.checked_sub(1).ok_or(OtlpError::TooMany)?;
        let next = match (level, field.number) {
            (Level::Request, 1) => Level::Resource,
            (Level::Resource, 2) => Level::Scope,
            (Level::Scope, 2) => Level::Metric,
            (Level::Metric, 5 | 7 | 9 | 10 | 11) => Level::Data,
            (Level::Data, 1) => Level::Point,
            // Resources, attributes, examples, quantiles: one deeper is enough to be within a small factor.
            (Level::Resource, 1) | (Level::Scope, 1) | (Level::Point, _) => Level::Leaf,
            _ => continue,
        };
        if let Ok(inner) = field.message() {
            // Packed numbers are no messages: what they look like does not matter, their length bounds them.
            match count(inner, next, room) {
                Err(OtlpError::Protobuf(_)) if matches!(next, Level::Leaf) => {}
                done => done?,
            }
        }
    }
    Ok(())
}

/// The answer to a request that was taken: how many data points were not, and the first reason.
pub fn encode_metrics_answer(rejected: u64, reason: &str, encoding: Encoding) -> Vec<u8> {
    let rejected_data_points = i64::try_from(rejected).unwrap_or(i64::MAX);
    let partial =
        (rejected > 0).then(|| ExportMetricsPartialSuccess { rejected_data_points, error_message: reason.to_owned() });
    match encoding {
        Encoding::Protobuf => ExportMetricsServiceResponse { partial_success: partial }.encode_to_vec(),
        Encoding::Json => {
            let partial = partial.map_or(json!({}), |it| {
                json!({ "rejectedDataPoints": it.rejected_data_points.to_string(), "errorMessage": it.error_message })
            });
            json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    }
}

/// `google.rpc.Status`: the answer to a request that was not taken.
pub fn encode_status(code: i32, message: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => Status { code, message: message.to_owned() }.encode_to_vec(),
        Encoding::Json => json!({ "code": code, "message": message }).to_string().into_bytes(),
    }
}

impl AnyValue {
    /// As a label's value: a text as it is, everything else as JSON writes it.
    pub fn text(&self) -> String {
        match &self.value {
            Some(AnyValueKind::StringValue(text)) => text.clone(),
            Some(AnyValueKind::DoubleValue(value)) if !value.is_finite() => if value.is_nan() {
                "NaN"
            } else if *value > 0.0 {
                "+Inf"
            } else {
                "-Inf"
            }
            .to_owned(),
            Some(AnyValueKind::BytesValue(bytes)) => json::base64(bytes),
            None => String::new(),
            Some(_) => self.json().to_string(),
        }
    }

    fn json(&self) -> Value {
        match &self.value {
            None => Value::Null,
            Some(AnyValueKind::StringValue(text)) => json!(text),
            Some(AnyValueKind::BoolValue(value)) => json!(value),
            Some(AnyValueKind::IntValue(value)) => json!(value),
            // As Go's JSON: whole numbers have no fraction.
            Some(AnyValueKind::DoubleValue(value)) if value.fract() == 0.0 && value.abs() < 1e15 => {
                json!(*value as i64)
            }
            Some(AnyValueKind::DoubleValue(value)) => json!(value),
            Some(AnyValueKind::ArrayValue(list)) => list.values.iter().map(AnyValue::json).collect(),
            Some(AnyValueKind::KvlistValue(list)) => {
                let value = |it: &KeyValue| it.value.as_ref().map_or(Value::Null, AnyValue::json);
                list.values.iter().map(|it| (it.key.clone(), value(it))).collect()
            }
            Some(AnyValueKind::BytesValue(bytes)) => json!(json::base64(bytes)),
        }
    }
}
