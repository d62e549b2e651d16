//! Why a text is not an expression.

use std::fmt;

use super::ast::TextSpan;

/// What is wrong with an expression, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Line of the text, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What would be right.
    pub hint: Option<String>,
}

impl ParseError {
    pub(super) fn at(text: &str, span: TextSpan, message: impl Into<String>) -> ParseError {
        let (line, column) = line_and_column(text, span.start);
        ParseError { message: message.into(), line, column, hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> ParseError {
        self.hint = Some(hint.into());
        self
    }
}

/// Line and column, both from 1, of a byte of a text.
pub(crate) fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    // Bytes that continue a character are no column of their own.
    let column = before[line_start..].iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
    (line, column)
}

/// `line:column: what is wrong; what would be right`.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseError {}
