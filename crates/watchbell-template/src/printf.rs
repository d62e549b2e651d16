//! `fmt.Sprintf` and `fmt.Sprint` for template values.

use crate::{OUTPUT_MAX, Value, number, time_format};

/// Text that grows up to [`OUTPUT_MAX`] bytes.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) text: String,
}

/// More was written than [`OUTPUT_MAX`].
#[derive(Debug)]
pub(crate) struct TooLong;

impl Output {
    pub(crate) fn push(&mut self, text: &str) -> Result<(), TooLong> {
        if self.text.len() + text.len() > OUTPUT_MAX {
            return Err(TooLong);
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Writes a value as `%v` does.
    pub(crate) fn value(&mut self, value: &Value) -> Result<(), TooLong> {
        match value {
            Value::Null => self.push("<nil>"),
            Value::Bool(it) => self.push(if *it { "true" } else { "false" }),
            Value::Int(it) => self.push(&it.to_string()),
            Value::Float(it) => self.push(&number::general(*it, None)),
            Value::Str(it) => self.push(it),
            Value::List(list) => {
                self.push("[")?;
                self.joined(list.iter(), Output::value)?;
                self.push("]")
            }
            Value::Map(map) => {
                self.push("map[")?;
                self.joined(map.iter(), |out, (name, value)| {
                    out.push(name)?;
                    out.push(":")?;
                    out.value(value)
                })?;
                self.push("]")
            }
            Value::Record(fields) => {
                self.push("{")?;
                self.joined(fields.values(), Output::value)?;
                self.push("}")
            }
            Value::Time(it) => self.push(&time_format::go_string(it)),
            Value::Duration(it) => self.push(&time_format::duration(*it)),
            Value::Histogram(_, text) => self.push(text),
        }
    }

    fn joined<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        write: impl Fn(&mut Output, T) -> Result<(), TooLong>,
    ) -> Result<(), TooLong> {
        for (at, item) in items.enumerate() {
            if at > 0 {
                self.push(" ")?;
            }
            write(self, item)?;
        }
        Ok(())
    }
}

/// `fmt.Sprint`: a space between operands where neither is text.
pub(crate) fn print(values: &[Value]) -> Result<String, TooLong> {
    let mut out = Output::default();
    for (at, value) in values.iter().enumerate() {
        let text = |value: &Value| matches!(value, Value::Str(_));
        if at > 0 && !text(value) && !text(&values[at - 1]) {
            out.push(" ")?;
        }
        out.value(value)?;
    }
    Ok(out.text)
}

/// `fmt.Sprintln`.
pub(crate) fn println(values: &[Value]) -> Result<String, TooLong> {
    let mut out = Output::default();
    out.joined(values.iter(), Output::value)?;
    out.push("\n")?;
    Ok(out.text)
}

/// What stands between `%` and the verb.
#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    space: bool,
    zero: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// The widest field and the highest precision.
const WIDTH_MAX: usize = 1000;

/// `fmt.Sprintf`, mistakes reported within the text as Go does.
pub(crate) fn printf(format: &str, values: &[Value]) -> Result<String, TooLong> {
    let mut out = Output::default();
    let mut rest = format;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        out.push(&rest[..at])?;
        rest = &rest[at + 1..];
        let mut flags = Flags::default();
        while let Some(flag) = rest.chars().next() {
            match flag {
                '-' => flags.minus = true,
                '+' => flags.plus = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                '#' => flags.sharp = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        flags.width = digits(&mut rest);
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            flags.precision = Some(digits(&mut rest));
        }
        let Some(verb) = rest.chars().next() else {
            out.push("%!(NOVERB)")?;
            break;
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            out.push("%")?;
            continue;
        }
        let Some(value) = values.get(next) else {
            out.push(&format!("%!{verb}(MISSING)"))?;
            continue;
        };
        next += 1;
        one(&mut out, verb, &flags, value)?;
    }
    out.push(rest)?;
    if next < values.len() {
        out.push("%!(EXTRA ")?;
        for (at, value) in values[next..].iter().enumerate() {
            out.push(if at > 0 { ", " } else { "" })?;
            out.push(&format!("{}=", value.kind()))?;
            out.value(value)?;
        }
        out.push(")")?;
    }
    Ok(out.text)
}

fn digits(rest: &mut &str) -> usize {
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let number = rest[..len].parse().unwrap_or(if len == 0 { 0 } else { WIDTH_MAX });
    *rest = &rest[len..];
    number.min(WIDTH_MAX)
}

fn one(out: &mut Output, verb: char, flags: &Flags, value: &Value) -> Result<(), TooLong> {
    let cut = |text: &str| match flags.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    let precision = flags.precision;
    let (text, numeric) = match (verb, value) {
        ('v' | 's', Value::Str(text)) => (cut(text), false),
        ('v', Value::Float(it)) => (number::general(*it, precision), true),
        ('v' | 'd', Value::Int(it)) => (it.to_string(), true),
        ('v', Value::Duration(_)) | ('s', Value::Duration(_) | Value::Time(_)) => (shown(value)?, false),
        ('d', Value::Duration(it)) => (it.to_string(), true),
        ('v', _) => (shown(value)?, false),
        ('s', Value::List(_) | Value::Map(_) | Value::Record(_) | Value::Histogram(..)) => (shown(value)?, false),
        ('q', Value::Str(text)) => (quoted(&cut(text)), false),
        ('q' | 'c', Value::Int(it)) => {
            let c = u32::try_from(*it).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
            (if verb == 'q' { format!("'{c}'") } else { c.to_string() }, false)
        }
        ('t', Value::Bool(it)) => (it.to_string(), false),
        ('e' | 'E', Value::Float(it)) => {
            let text = number::exponent(*it, Some(precision.unwrap_or(6)));
            (if verb == 'E' { text.to_uppercase() } else { text }, true)
        }
        ('f' | 'F', Value::Float(it)) => (number::fixed(*it, precision.unwrap_or(6)), true),
        ('g' | 'G', Value::Float(it)) => {
            let text = number::general(*it, precision);
            (if verb == 'G' { text.to_uppercase() } else { text }, true)
        }
        ('x' | 'X' | 'o' | 'b', Value::Int(it)) => {
            let (sign, size) = (if *it < 0 { "-" } else { "" }, it.unsigned_abs());
            let text = match verb {
                'x' => format!("{sign}{}{size:x}", if flags.sharp { "0x" } else { "" }),
                'X' => format!("{sign}{}{size:X}", if flags.sharp { "0X" } else { "" }),
                'o' => format!("{sign}{}{size:o}", if flags.sharp { "0" } else { "" }),
                _ => format!("{sign}{size:b}"),
            };
            (text, true)
        }
        ('x' | 'X', Value::Str(text)) => {
            let hex: String = text.bytes().take(OUTPUT_MAX).map(|byte| format!("{byte:02x}")).collect();
            (if verb == 'X' { hex.to_uppercase() } else { hex }, false)
        }
        _ => (format!("%!{verb}({}={})", value.kind(), shown(value)?), false),
    };
    let signed = numeric && !text.starts_with(['-', '+']);
    let text = match () {
        () if signed && flags.plus => format!("+{text}"),
        () if signed && flags.space => format!(" {text}"),
        () => text,
    };
    let missing = flags.width.saturating_sub(text.chars().count());
    let padding = |with: &str| with.repeat(missing);
    if flags.minus {
        out.push(&text)?;
        out.push(&padding(" "))
    } else if flags.zero && numeric && !text.contains("Inf") && !text.contains("NaN") {
        let sign = usize::from(text.starts_with(['-', '+', ' ']));
        out.push(&text[..sign])?;
        out.push(&padding("0"))?;
        out.push(&text[sign..])
    } else {
        out.push(&padding(" "))?;
        out.push(&text)
    }
}

fn shown(value: &Value) -> Result<String, TooLong> {
    let mut out = Output::default();
    out.value(value)?;
    Ok(out.text)
}

/// As Go's `strconv.Quote`.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\u{b}' => quoted.push_str("\\v"),
            c if (c as u32) < 0x80 && c.is_control() => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
