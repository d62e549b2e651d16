//! The left side of a sample: a name and labels, as one piece of text and taken apart.

use std::borrow::Cow;

use watchbell_model::Labels;

use super::{Format, Limits};

/// Pairs in the order they were written, the metric's name first.
pub(super) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Takes a series' text apart: `up{job="mail"}`, or `{"a.b", job="mail"}` for names that are not identifiers.
///
/// The error says what is wrong, without a place: the caller knows the line.
pub fn labels(series: &str, format: Format, limits: &Limits) -> Result<Labels, String> {
    Ok(pairs(series, format, limits)?
        .into_iter()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect())
}

/// As [`labels`], without copying what needs no unescaping, and with empty values still there.
pub(super) fn pairs<'a>(series: &'a str, format: Format, limits: &Limits) -> Result<Pairs<'a>, String> {
    let mut cursor = Cursor { rest: series, format };
    let mut pairs = Pairs::new();
    let name = cursor.identifier(true);
    if !name.is_empty() {
        pairs.push((Cow::Borrowed(Labels::NAME), Cow::Borrowed(name)));
        cursor.blanks();
    }
    if cursor.rest.is_empty() && !name.is_empty() {
        return Ok(pairs);
    }
    if !cursor.take('{') {
        return Err(format!("`{}` is not a metric's name", shown(series)));
    }
    cursor.braces(&mut pairs, !name.is_empty(), limits)?;
    if !cursor.rest.is_empty() {
        return Err(format!("`{}` follows the labels", shown(cursor.rest)));
    }
    if pairs.first().is_none_or(|(name, _)| name != Labels::NAME) {
        return Err("a sample needs a metric's name".to_owned());
    }
    Ok(pairs)
}

/// The labels of an exemplar: `{trace_id="1"}`, without a metric's name.
pub(super) fn exemplar_pairs<'a>(text: &'a str, limits: &Limits) -> Result<Pairs<'a>, String> {
    let mut cursor = Cursor { rest: text, format: Format::OpenMetrics };
    let mut pairs = Pairs::new();
    if !cursor.take('{') {
        return Err("an exemplar starts with its labels in braces".to_owned());
    }
    cursor.braces(&mut pairs, true, limits)?;
    Ok(pairs)
}

/// Splits a line into its series and what follows.
pub(super) fn split(line: &str, format: Format) -> Result<(&str, &str), String> {
    let bytes = line.as_bytes();
    let mut at = bytes.iter().position(|b| matches!(b, b'{' | b' ' | b'\t')).unwrap_or(bytes.len());
    if format == Format::Text {
        // `up {job="mail"} 1` is allowed there.
        let next = at + bytes[at..].iter().take_while(|b| is_blank(**b)).count();
        if bytes.get(next) == Some(&b'{') {
            at = next;
        }
    }
    if bytes.get(at) == Some(&b'{') {
        at += braces_end(&line[at..]).ok_or("the braces of the labels are not closed")?;
    }
    Ok(line.split_at(at))
}

/// Where the brace that opens a text is closed, outside of quotes: the position after it.
pub(super) fn braces_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quoted = false;
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Undoes `\\`, `\n` and, where asked, `\"`; any other backslash stays, as in Prometheus.
pub(super) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\\')) => out.push('\\'),
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('"')) if quotes => out.push('"'),
            _ => {
                out.push(c);
                continue;
            }
        }
        chars.next();
    }
    Cow::Owned(out)
}

/// The start of a text that is quoted in an error, so that a hostile body cannot fill a log.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

struct Cursor<'a> {
    rest: &'a str,
    format: Format,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// OpenMetrics allows no white space inside a series.
    fn blanks(&mut self) {
        if self.format == Format::Text {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
        }
    }

    fn identifier(&mut self, colons: bool) -> &'a str {
        let plain = |b: u8| b == b'_' || b.is_ascii_alphanumeric() || (colons && b == b':');
        let end = match self.rest.as_bytes().first() {
            Some(first) if plain(*first) && !first.is_ascii_digit() => {
                self.rest.bytes().position(|b| !plain(b)).unwrap_or(self.rest.len())
            }
            _ => 0,
        };
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    /// What is between quotes; the opening one is taken already.
    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        while at < bytes.len() && bytes[at] != b'"' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        if at >= bytes.len() {
            return Err("a quote is not closed".to_owned());
        }
        let text = &self.rest[..at];
        self.rest = &self.rest[at + 1..];
        Ok(unescape(text, true))
    }

    /// What is in braces; the opening one is taken already.
    fn braces(&mut self, pairs: &mut Pairs<'a>, named: bool, limits: &Limits) -> Result<(), String> {
        let mut named = named;
        self.blanks();
        if self.take('}') {
            return Ok(());
        }
        loop {
            let quoted = self.take('"');
            let name = if quoted { self.quoted()? } else { Cow::Borrowed(self.identifier(false)) };
            if name.is_empty() {
                return Err(format!("a label's name is expected at `{}`", shown(self.rest)));
            }
            self.blanks();
            if quoted && !named && !self.rest.starts_with('=') {
                pairs.insert(0, (Cow::Borrowed(Labels::NAME), name));
                named = true;
            } else {
                if !self.take('=') {
                    return Err(format!("`=` is missing after the label `{}`", shown(&name)));
                }
                self.blanks();
                if !self.take('"') {
                    return Err(format!("the value of the label `{}` must be in double quotes", shown(&name)));
                }
                let value = self.quoted()?;
                if name == Labels::NAME || pairs.iter().any(|(have, _)| *have == name) {
                    return Err(format!("the label `{}` is there twice", shown(&name)));
                }
                if pairs.len() > limits.labels {
                    return Err(format!("a sample may have {} labels at most", limits.labels));
                }
                pairs.push((name, value));
            }
            self.blanks();
            if self.take('}') {
                return Ok(());
            }
            if !self.take(',') {
                return Err(format!("a comma is expected at `{}`", shown(self.rest)));
            }
            self.blanks();
            if self.format == Format::Text && self.take('}') {
                return Ok(());
            }
        }
    }
}
