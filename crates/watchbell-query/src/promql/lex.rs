//! Text to tokens.
//!
//! Words are not told apart from keywords here: `sum`, `by` and `offset` may also be metrics and labels, so the parser
//! decides by where they stand. Only within square brackets a colon is always a token of its own.

use super::ast::TextSpan;
use super::error::ParseError;
use super::raw;
use crate::number::parse_number;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or keyword.
    Word(String),
    /// A number.
    Number(f64),
    /// A duration, in seconds.
    Duration(f64),
    /// A string, unquoted.
    Text(String),
    /// Anything else, as written.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

/// Longer ones first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 27] = [
    "==", "!=", "=~", "!~", "<=", ">=", "</", ">/", "(", ")", "{", "}", "[", "]", ",", ":", "@", "+", "-", "*", "/",
    "%", "^", "=", "<", ">", ";",
];

/// Reads all tokens; the last one is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, TextSpan)>, ParseError> {
    let mut lexer = Lexer { text, at: 0, brackets: 0 };
    let mut found = Vec::new();
    loop {
        lexer.skip_space();
        let start = lexer.at;
        let token = lexer.next()?;
        let end = token == Token::End;
        found.push((token, TextSpan { start, end: lexer.at }));
        if end {
            return Ok(found);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    brackets: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn refuse(&self, start: usize, message: impl Into<String>, hint: &str) -> ParseError {
        ParseError::at(self.text, TextSpan { start, end: self.at }, message).hint(hint)
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let space = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            self.at += space;
            let rest = self.rest();
            if !rest.starts_with('#') {
                return;
            }
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn next(&mut self) -> Result<Token, ParseError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|next: char| next.is_ascii_digit())) {
            return self.number();
        }
        if matches!(first, '"' | '\'' | '`') {
            return self.string(first);
        }
        let colon = first == ':' && self.brackets == 0;
        if first.is_ascii_alphabetic() || first == '_' || colon {
            let inside = self.brackets > 0;
            let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (c == ':' && !inside);
            let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
            let word = rest[..length].to_owned();
            self.at += length;
            return Ok(Token::Word(word));
        }
        let Some(symbol) = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) else {
            let start = self.at;
            self.at += first.len_utf8();
            return Err(self.refuse(start, format!("`{first}` has no meaning here"), "strings go in quotes"));
        };
        match symbol {
            "[" => self.brackets += 1,
            "]" => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        self.at += symbol.len();
        Ok(Token::Symbol(symbol))
    }

    fn number(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let hexadecimal = bytes[start] == b'0' && matches!(bytes.get(start + 1), Some(b'x' | b'X'));
        while let Some(byte) = bytes.get(self.at) {
            // The sign of an exponent belongs to the number: `1e-3`.
            let exponent = matches!(byte, b'e' | b'E') && !hexadecimal;
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')) {
                break;
            }
            self.at += 1;
            if exponent && matches!(bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
        }
        let word = &self.text[start..self.at];
        if let Some(value) = parse_number(word) {
            return Ok(Token::Number(value));
        }
        match word.parse::<watchbell_model::Span>() {
            Ok(span) => Ok(Token::Duration(span.duration().as_millis() as f64 / 1000.0)),
            Err(_) => Err(self.refuse(
                start,
                format!("`{word}` is neither a number nor a duration"),
                "write numbers as `1.5`, `1e3` or `0x1f`, and durations as `30s`, `5m`, `1h30m` or `7d`",
            )),
        }
    }

    /// Go's escapes in single and double quotes, none in backticks.
    fn string(&mut self, quote: char) -> Result<Token, ParseError> {
        let start = self.at;
        let mut bytes = Vec::new();
        let mut chars = self.text[start + 1..].char_indices();
        loop {
            let Some((offset, c)) = chars.next() else {
                return Err(self.refuse(start, "this string has no end", &format!("close it with `{quote}`")));
            };
            match c {
                _ if c == quote => {
                    self.at = start + 1 + offset + 1;
                    break;
                }
                '\n' if quote != '`' => {
                    return Err(self.refuse(start, "this string has no end on its line", "write `\\n` for a new line"));
                }
                '\\' if quote != '`' => {
                    let escape = start + 1 + offset;
                    let rest = &self.text[escape + 1..];
                    let Some((length, value)) = unescape(rest, quote) else {
                        return Err(self.refuse(
                            escape,
                            "this escape sequence is not known",
                            "write a backslash as `\\\\`, or put the string in backticks",
                        ));
                    };
                    bytes.extend(value);
                    for _ in rest[..length].chars() {
                        chars.next();
                    }
                }
                _ => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        Ok(Token::Text(raw::text(bytes)))
    }
}

/// What follows a backslash: how many bytes of it belong to the escape, and what they mean.
fn unescape(rest: &str, quote: char) -> Option<(usize, Vec<u8>)> {
    let first = rest.chars().next()?;
    let digits = |from: usize, count: usize, radix: u32| {
        let digits = rest.get(from..from + count)?;
        let plain = digits.chars().all(|c| c.is_digit(radix));
        u32::from_str_radix(digits, radix).ok().filter(|_| plain)
    };
    let character = |code: u32| Some(char::from_u32(code)?.to_string().into_bytes());
    Some(match first {
        'a' => (1, vec![7]),
        'b' => (1, vec![8]),
        'f' => (1, vec![12]),
        'n' => (1, vec![b'\n']),
        'r' => (1, vec![b'\r']),
        't' => (1, vec![b'\t']),
        'v' => (1, vec![11]),
        '\\' => (1, vec![b'\\']),
        _ if first == quote => (1, vec![quote as u8]),
        'x' => (3, vec![u8::try_from(digits(1, 2, 16)?).ok()?]),
        'u' => (5, character(digits(1, 4, 16)?)?),
        'U' => (9, character(digits(1, 8, 16)?)?),
        '0'..='7' => (3, vec![u8::try_from(digits(0, 3, 8)?).ok()?]),
        _ => return None,
    })
}
