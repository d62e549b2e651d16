//! How protobuf's JSON mapping writes what JSON has no way to write.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, de};
use serde_json::Value;

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A whole number, which may stand in quotes.
struct Number(i128);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Number, D::Error> {
        let value = Value::deserialize(from)?;
        let read = match &value {
            Value::Number(number) => {
                number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)).or_else(|| {
                    let whole = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < 9.0e18);
                    whole.map(|it| it as i128)
                })
            }
            Value::String(text) => text.parse().ok(),
            Value::Null => Some(0),
            _ => None,
        };
        read.map(Number).ok_or_else(|| D::Error::custom(format!("{value} is not a whole number")))
    }
}

fn narrow<T: TryFrom<i128>, E: Error>(number: Number) -> Result<T, E> {
    T::try_from(number.0).map_err(|_| E::custom(format!("{} is out of range", number.0)))
}

pub(super) fn number<'de, T: TryFrom<i128>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    narrow(Number::deserialize(from)?)
}

pub(super) fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    Vec::<Number>::deserialize(from)?.into_iter().map(narrow).collect()
}

/// A number, or its name where JSON has no number for it.
struct Double(f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Double, D::Error> {
        let value = Value::deserialize(from)?;
        let read = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            Value::Null => Some(0.0),
            _ => None,
        };
        read.map(Double).ok_or_else(|| D::Error::custom(format!("{value} is not a number")))
    }
}

pub(super) fn double<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Double::deserialize(from)?.0)
}

pub(super) fn double_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    Ok(Option::<Double>::deserialize(from)?.map(|it| it.0))
}

pub(super) fn doubles<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    Ok(Vec::<Double>::deserialize(from)?.into_iter().map(|it| it.0).collect())
}

/// By number, as the specification asks, or by name, as some senders do.
pub(super) fn temporality<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    let value = Value::deserialize(from)?;
    match value.as_str() {
        Some("AGGREGATION_TEMPORALITY_UNSPECIFIED") => Ok(0),
        Some("AGGREGATION_TEMPORALITY_DELTA") => Ok(super::DELTA),
        Some("AGGREGATION_TEMPORALITY_CUMULATIVE") => Ok(super::CUMULATIVE),
        _ => number(value).map_err(D::Error::custom),
    }
}

pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    let read = STANDARD_NO_PAD.decode(text.trim_end_matches('='));
    read.map_err(|_| de::Error::custom("it is not base64"))
}

/// Ids, unlike other bytes, are in hexadecimal.
pub(super) fn hex<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let read: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<_>>();
    read.filter(|_| odd.is_empty()).ok_or_else(|| de::Error::custom("an id is not in hexadecimal"))
}
