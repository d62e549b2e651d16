//! Cuts a template's text into literal text and the tokens of its actions.

use crate::{Place, TEXT_MAX, TemplateError};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A keyword or the name of a function.
    Word(String),
    /// `.name`
    Field(String),
    /// A lone `.`
    Dot,
    /// `$name`, or `$` alone; with the dollar.
    Variable(String),
    Text(String),
    Int(i64),
    Float(f64),
    Pipe,
    Declare,
    Assign,
    Comma,
    Open,
    Close,
}

/// A token, its place, and whether white space stands before it: `.a .b` are two operands, `.a.b` is one.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) token: Token,
    pub(crate) place: Place,
    pub(crate) spaced: bool,
}

/// A piece of a template.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Literal(String),
    Action(Vec<Spot>, Place),
}

struct Lexer<'a> {
    name: &'a str,
    text: &'a str,
    at: usize,
    /// Where `counted` bytes into the text the counting of lines stands.
    counted: usize,
    place: Place,
}

/// Cuts a text up; trim markers are applied, comments are gone.
pub(crate) fn lex(name: &str, text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut lexer = Lexer { name, text, at: 0, counted: 0, place: Place { line: 1, column: 1 } };
    if text.len() > TEXT_MAX {
        return Err(lexer.error(0, format!("the template is longer than {TEXT_MAX} bytes")));
    }
    let mut pieces = Vec::new();
    let mut trim_next = false;
    loop {
        let start = lexer.at;
        let open = text[start..].find("{{").map(|at| start + at);
        let mut literal = &text[start..open.unwrap_or(text.len())];
        if trim_next {
            literal = literal.trim_start_matches(is_space);
        }
        let Some(open) = open else {
            pieces.push(Piece::Literal(literal.to_owned()));
            return Ok(pieces);
        };
        lexer.at = open + 2;
        let rest = &text[lexer.at..];
        if rest.starts_with('-') && rest[1..].starts_with(is_space) {
            literal = literal.trim_end_matches(is_space);
            lexer.at += 1;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        let place = lexer.place_of(open);
        let inner = text[lexer.at..].trim_start_matches(is_space);
        if inner.starts_with("/*") {
            lexer.at = text.len() - inner.len();
            trim_next = lexer.comment()?;
            continue;
        }
        let (tokens, trim) = lexer.action(open)?;
        trim_next = trim;
        pieces.push(Piece::Action(tokens, place));
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl Lexer<'_> {
    fn place_of(&mut self, at: usize) -> Place {
        if at < self.counted {
            self.counted = 0;
            self.place = Place { line: 1, column: 1 };
        }
        for c in self.text[self.counted..at].chars() {
            if c == '\n' {
                self.place = Place { line: self.place.line + 1, column: 1 };
            } else {
                self.place.column += 1;
            }
        }
        self.counted = at;
        self.place
    }

    fn error(&mut self, at: usize, message: impl Into<String>) -> TemplateError {
        let place = self.place_of(at);
        TemplateError { name: self.name.to_owned(), message: message.into(), line: place.line, column: place.column }
    }

    /// Steps over a comment and the end of its action; answers whether the text after it is trimmed.
    fn comment(&mut self) -> Result<bool, TemplateError> {
        let start = self.at;
        let Some(end) = self.text[start..].find("*/") else {
            return Err(self.error(start, "the comment is not closed with `*/`"));
        };
        self.at = start + end + 2;
        let rest = &self.text[self.at..];
        let inner = rest.trim_start_matches(is_space);
        let spaced = inner.len() < rest.len();
        if let Some(after) = inner.strip_prefix("-}}").filter(|_| spaced) {
            self.at = self.text.len() - after.len();
            return Ok(true);
        }
        if let Some(after) = rest.strip_prefix("}}") {
            self.at = self.text.len() - after.len();
            return Ok(false);
        }
        let at = self.at;
        Err(self.error(at, "a comment must be followed by `}}`"))
    }

    fn action(&mut self, open: usize) -> Result<(Vec<Spot>, bool), TemplateError> {
        let mut tokens = Vec::new();
        loop {
            let before = self.at;
            let inner = self.text[before..].trim_start_matches(is_space);
            self.at = self.text.len() - inner.len();
            let spaced = self.at > before;
            let at = self.at;
            if inner.starts_with("}}") {
                self.at += 2;
                return Ok((tokens, false));
            }
            if spaced && inner.starts_with("-}}") {
                self.at += 3;
                return Ok((tokens, true));
            }
            let Some(first) = inner.chars().next() else {
                return Err(self.error(open, "the action is not closed with `}}`"));
            };
            let place = self.place_of(at);
            let token = self.token(first, inner)?;
            tokens.push(Spot { token, place, spaced });
        }
    }

    fn token(&mut self, first: char, inner: &str) -> Result<Token, TemplateError> {
        let at = self.at;
        let second = inner[first.len_utf8()..].chars().next().unwrap_or(' ');
        let word = |text: &str| text.chars().take_while(|c| is_word(*c)).map(char::len_utf8).sum::<usize>();
        let simple = match first {
            '|' => Some(Token::Pipe),
            ',' => Some(Token::Comma),
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            '=' => Some(Token::Assign),
            _ => None,
        };
        if let Some(token) = simple {
            self.at += 1;
            return Ok(token);
        }
        match first {
            ':' if second == '=' => {
                self.at += 2;
                Ok(Token::Declare)
            }
            '"' => self.quoted(inner),
            '`' => {
                let Some(end) = inner[1..].find('`') else {
                    return Err(self.error(at, "the raw string is not closed with a backtick"));
                };
                self.at += end + 2;
                Ok(Token::Text(inner[1..=end].to_owned()))
            }
            '\'' => {
                let mut rest = &inner[1..];
                let c = self.character(&mut rest, '\'')?;
                let Some(after) = rest.strip_prefix('\'') else {
                    return Err(self.error(at, "the character is not closed with `'`"));
                };
                self.at = self.text.len() - after.len();
                Ok(Token::Int(i64::from(u32::from(c))))
            }
            '$' => {
                let len = 1 + word(&inner[1..]);
                self.at += len;
                Ok(Token::Variable(inner[..len].to_owned()))
            }
            '.' if second.is_ascii_digit() => self.number(inner),
            '.' => {
                let len = word(&inner[1..]);
                self.at += 1 + len;
                Ok(if len == 0 { Token::Dot } else { Token::Field(inner[1..=len].to_owned()) })
            }
            '+' | '-' if second.is_ascii_digit() || second == '.' => self.number(inner),
            c if c.is_ascii_digit() => self.number(inner),
            c if is_word(c) => {
                let len = word(inner);
                self.at += len;
                Ok(Token::Word(inner[..len].to_owned()))
            }
            c => Err(self.error(at, format!("unexpected {c:?}"))),
        }
    }

    fn number(&mut self, inner: &str) -> Result<Token, TemplateError> {
        let at = self.at;
        let mut len = 0;
        let mut previous = ' ';
        for c in inner.chars() {
            let sign = matches!(c, '+' | '-') && (len == 0 || matches!(previous, 'e' | 'E'));
            if !(sign || c == '.' || is_word(c)) {
                break;
            }
            len += c.len_utf8();
            previous = c;
        }
        let text = &inner[..len];
        self.at += len;
        let plain = text.replace('_', "");
        let (sign, digits) = match plain.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
        };
        let lower = digits.to_ascii_lowercase();
        let based = [("0x", 16), ("0o", 8), ("0b", 2)]
            .iter()
            .find_map(|(prefix, base)| Some(i64::from_str_radix(lower.strip_prefix(prefix)?, *base)));
        let whole = match based {
            Some(parsed) => parsed.ok(),
            None => lower.parse().ok(),
        };
        if let Some(whole) = whole {
            return Ok(Token::Int(sign * whole));
        }
        match lower.parse::<f64>() {
            Ok(number) if lower.starts_with(|c: char| c == '.' || c.is_ascii_digit()) => {
                Ok(Token::Float(f64::from(sign as i32) * number))
            }
            _ => Err(self.error(at, format!("`{text}` is not a number"))),
        }
    }

    fn quoted(&mut self, inner: &str) -> Result<Token, TemplateError> {
        let at = self.at;
        let mut rest = &inner[1..];
        let mut text = String::new();
        loop {
            if let Some(after) = rest.strip_prefix('"') {
                self.at = self.text.len() - after.len();
                return Ok(Token::Text(text));
            }
            if rest.is_empty() || rest.starts_with('\n') {
                return Err(self.error(at, "the string is not closed with `\"`"));
            }
            text.push(self.character(&mut rest, '"')?);
        }
    }

    /// One character of a quoted text, escapes resolved as Go does.
    fn character(&mut self, rest: &mut &str, quote: char) -> Result<char, TemplateError> {
        let at = self.text.len() - rest.len();
        let mut chars = rest.chars();
        let first = chars.next();
        let result = match first {
            Some('\\') => match chars.next() {
                Some('n') => Some('\n'),
                Some('t') => Some('\t'),
                Some('r') => Some('\r'),
                Some('a') => Some('\u{7}'),
                Some('b') => Some('\u{8}'),
                Some('f') => Some('\u{c}'),
                Some('v') => Some('\u{b}'),
                Some('\\') => Some('\\'),
                Some(c) if c == quote => Some(c),
                Some(c @ ('x' | 'u' | 'U' | '0'..='7')) => {
                    let (base, len) = match c {
                        'x' => (16, 2),
                        'u' => (16, 4),
                        'U' => (16, 8),
                        _ => (8, 3),
                    };
                    let from = chars.as_str();
                    let from = if base == 8 { &rest[1..] } else { from };
                    let digits = from.get(..len).unwrap_or("");
                    chars = from.get(len..).unwrap_or("").chars();
                    u32::from_str_radix(digits, base).ok().and_then(char::from_u32)
                }
                _ => None,
            },
            other => other,
        };
        *rest = chars.as_str();
        result.ok_or_else(|| self.error(at, "this escape is not one Go knows"))
    }
}
