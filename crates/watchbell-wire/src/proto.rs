//! Protocol buffers by hand: fields read where they lie, and written without sizing them first.
//!
//! For messages that come millions of times. What comes seldom has derived messages. Unknown fields are passed over;
//! a field that is known and has another wire type is refused.

use std::borrow::Cow;

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtoError {
    /// It ends inside a field.
    #[error("the message is cut off")]
    Cut,
    /// A number of more than 64 bits.
    #[error("the message has a number that is too long")]
    Number,
    /// A field's number is zero, or its wire type is none of the current ones.
    #[error("the message has a field that cannot be: tag {0}")]
    Tag(u64),
    /// A known field has another wire type.
    #[error("field {0} of a message has the wrong type")]
    Type(u32),
    /// A text is not UTF-8.
    #[error("field {0} of a message is not UTF-8")]
    Text(u32),
    /// Something refers to what is not there, or there is too much of it.
    #[error("{0}")]
    Content(Cow<'static, str>),
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// The fields of a message, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn next_field(&mut self) -> Result<Option<Field<'a>>, ProtoError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = varint(&mut self.rest)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0).ok_or(ProtoError::Tag(tag))?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(*self.take_array()?)),
            2 => {
                let length = usize::try_from(varint(&mut self.rest)?).map_err(|_| ProtoError::Cut)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(ProtoError::Cut)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(u32::from_le_bytes(*self.take_array()?)),
            _ => return Err(ProtoError::Tag(tag)),
        };
        Ok(Some(Field { number, value }))
    }

    fn take_array<const N: usize>(&mut self) -> Result<&'a [u8; N], ProtoError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(ProtoError::Cut)?;
        self.rest = rest;
        Ok(bytes)
    }
}

impl<'a> Field<'a> {
    fn wrong(&self) -> ProtoError {
        ProtoError::Type(self.number)
    }

    pub(crate) fn bytes(&self) -> Result<&'a [u8], ProtoError> {
        if let Value::Bytes(bytes) = self.value { Ok(bytes) } else { Err(self.wrong()) }
    }

    pub(crate) fn message(&self) -> Result<Fields<'a>, ProtoError> {
        self.bytes().map(Fields::new)
    }

    pub(crate) fn text(&self) -> Result<&'a str, ProtoError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ProtoError::Text(self.number))
    }

    pub(crate) fn u64(&self) -> Result<u64, ProtoError> {
        if let Value::Varint(value) = self.value { Ok(value) } else { Err(self.wrong()) }
    }

    /// `int64`, `int32` and enumerations; longer numbers of the latter two are cut, as every implementation does.
    pub(crate) fn i64(&self) -> Result<i64, ProtoError> {
        self.u64().map(|value| value as i64)
    }

    pub(crate) fn u32(&self) -> Result<u32, ProtoError> {
        self.u64().map(|value| value as u32)
    }

    /// `sint64`
    pub(crate) fn zigzag(&self) -> Result<i64, ProtoError> {
        self.u64().map(unzigzag)
    }

    pub(crate) fn f64(&self) -> Result<f64, ProtoError> {
        if let Value::Fixed64(bits) = self.value { Ok(f64::from_bits(bits)) } else { Err(self.wrong()) }
    }

    /// A repeated number: packed, or one of those that are not.
    pub(crate) fn varints(&self, mut each: impl FnMut(u64)) -> Result<(), ProtoError> {
        match self.value {
            Value::Varint(value) => each(value),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    each(varint(&mut packed)?);
                }
            }
            Value::Fixed64(_) | Value::Fixed32(_) => return Err(self.wrong()),
        }
        Ok(())
    }

    /// As [`Field::varints`], for `double`.
    pub(crate) fn doubles(&self, to: &mut Vec<f64>) -> Result<(), ProtoError> {
        match self.value {
            Value::Fixed64(bits) => to.push(f64::from_bits(bits)),
            Value::Bytes(packed) => {
                let (values, rest) = packed.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(ProtoError::Cut);
                }
                to.extend(values.iter().map(|bytes| f64::from_le_bytes(*bytes)));
            }
            Value::Varint(_) | Value::Fixed32(_) => return Err(self.wrong()),
        }
        Ok(())
    }
}

#[inline]
pub(crate) fn varint(from: &mut &[u8]) -> Result<u64, ProtoError> {
    if let Some((first, rest)) = from.split_first()
        && *first < 0x80
    {
        *from = rest;
        return Ok(u64::from(*first));
    }
    let (mut value, mut at) = (0u64, 0);
    loop {
        let byte = *from.get(at).ok_or(ProtoError::Cut)?;
        if at == 9 && byte > 1 {
            return Err(ProtoError::Number);
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte < 0x80 {
            *from = &from[at..];
            return Ok(value);
        }
    }
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number that is not zero; zero is not written.
pub(crate) fn put_u64(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, value);
    }
}

pub(crate) fn put_i64(out: &mut Vec<u8>, number: u32, value: i64) {
    put_u64(out, number, value as u64);
}

/// A value whose bits are not those of zero.
pub(crate) fn put_f64(out: &mut Vec<u8>, number: u32, value: f64) {
    if value.to_bits() != 0 {
        put_f64_always(out, number, value);
    }
}

/// A value of a `oneof`, which says something when it is zero too.
pub(crate) fn put_f64_always(out: &mut Vec<u8>, number: u32, value: f64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Bytes or a text, empty ones too.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A message, empty ones too.
pub(crate) fn put_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, u64::from(number) << 3 | 2);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
        return;
    }
    // Most messages are short; of a longer one the content makes room for its length.
    let mut prefix = Vec::with_capacity(5);
    put_varint(&mut prefix, length as u64);
    out.resize(out.len() + prefix.len() - 1, 0);
    out.copy_within(at + 1..at + 1 + length, at + prefix.len());
    out[at..at + prefix.len()].copy_from_slice(&prefix);
}

/// A packed list of numbers; an empty one is not written.
pub(crate) fn put_packed(out: &mut Vec<u8>, number: u32, values: impl ExactSizeIterator<Item = u64>) {
    if values.len() > 0 {
        put_message(out, number, |out| values.for_each(|value| put_varint(out, value)));
    }
}

/// A packed list of `double`; an empty one is not written.
pub(crate) fn put_doubles(out: &mut Vec<u8>, number: u32, values: &[f64]) {
    if !values.is_empty() {
        put_message(out, number, |out| values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_u64(out, 1, u64::MAX);
            put_bytes(out, 2, &[7; 300]);
            put_message(out, 3, |out| put_f64(out, 1, -0.0));
        });
        put_packed(&mut out, 2, [1, 300, u64::MAX].into_iter());
        put_i64(&mut out, 3, -1);
        let mut fields = Fields::new(&out);
        let mut inner = fields.next_field().unwrap().unwrap().message().unwrap();
        assert_eq!(inner.next_field().unwrap().unwrap().u64(), Ok(u64::MAX));
        assert_eq!(inner.next_field().unwrap().unwrap().bytes(), Ok(&[7; 300][..]));
        let value =
            inner.next_field().unwrap().unwrap().message().unwrap().next_field().unwrap().unwrap().f64().unwrap();
        assert!(value == 0.0 && value.is_sign_negative());
        let mut numbers = Vec::new();
        fields.next_field().unwrap().unwrap().varints(|number| numbers.push(number)).unwrap();
        assert_eq!(numbers, [1, 300, u64::MAX]);
        assert_eq!(fields.next_field().unwrap().unwrap().i64(), Ok(-1));
        assert_eq!(fields.next_field(), Ok(None));
        for end in 1..out.len() {
            let mut fields = Fields::new(&out[..end]);
            while let Ok(Some(field)) = fields.next_field() {
                assert!(field.bytes().is_ok_and(|bytes| bytes.len() < end) || field.i64() == Ok(-1));
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let first = |bytes: &[u8]| Fields::new(bytes).next_field().map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(first(&[0x00, 0x00]).unwrap_err(), "the message has a field that cannot be: tag 0");
        assert_eq!(first(&[0x0b]).unwrap_err(), "the message has a field that cannot be: tag 11");
        assert_eq!(first(&[0x0a, 0x05, 1]).unwrap_err(), "the message is cut off");
        assert_eq!(
            first(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).unwrap_err(),
            "the message has a number that is too long"
        );
        assert_eq!(unzigzag(zigzag(i64::MIN)), i64::MIN);
    }
}
