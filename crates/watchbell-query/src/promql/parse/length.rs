//! Lengths of time: after `offset`, and in brackets, where they may be computed.

use super::Parser;
use crate::promql::ast::{BinaryOp, Length, LengthNode, TextSpan};
use crate::promql::error::ParseError;
use crate::promql::lex::Token;

/// About 292 years, as in Prometheus.
const LENGTH_SECONDS_MAX: f64 = 9_223_372_036.0;

impl Parser<'_> {
    /// The operand of `offset`: arithmetic only in parentheses, so that `up offset 5m + 1` adds to the value.
    pub(super) fn offset_length(&mut self) -> Result<Length, ParseError> {
        if !(self.is_symbol("-") || self.is_symbol("+")) {
            return self.length_operand();
        }
        let start = self.span().start;
        let minus = self.is_symbol("-");
        self.advance();
        let operand = self.length_operand()?;
        Ok(signed(minus, operand, start))
    }

    pub(super) fn length(&mut self) -> Result<Length, ParseError> {
        self.length_binary(0)
    }

    fn length_binary(&mut self, precedence_min: u8) -> Result<Length, ParseError> {
        self.deeper()?;
        let mut left = if self.is_symbol("-") || self.is_symbol("+") {
            let start = self.span().start;
            let minus = self.is_symbol("-");
            self.advance();
            let operand = self.length_binary(BinaryOp::Pow.precedence())?;
            signed(minus, operand, start)
        } else {
            self.length_operand()?
        };
        loop {
            let op = match self.peek() {
                Token::Symbol(symbol @ ("+" | "-" | "*" | "/" | "%" | "^")) => BinaryOp::from_word(symbol),
                _ => None,
            };
            let Some(op) = op.filter(|op| op.precedence() >= precedence_min) else { break };
            self.count_operator()?;
            self.advance();
            let right = self.length_binary(op.precedence() + u8::from(op != BinaryOp::Pow))?;
            let span = left.span.to(right.span);
            left = Length { node: LengthNode::Arithmetic(op, Box::new(left), Box::new(right)), span };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn length_operand(&mut self) -> Result<Length, ParseError> {
        let start = self.span().start;
        let word = match self.peek() {
            Token::Word(word) => word.to_ascii_lowercase(),
            _ => String::new(),
        };
        let node = match (self.peek(), word.as_str()) {
            (Token::Number(value), _) => LengthNode::Seconds { value: *value, duration: false },
            (Token::Duration(value), _) => LengthNode::Seconds { value: *value, duration: true },
            (Token::Symbol("("), _) => {
                self.advance();
                let inner = self.length()?;
                self.expect(")", "after the duration")?;
                return Ok(Length { node: LengthNode::Paren(Box::new(inner)), span: self.since(start) });
            }
            (_, "step" | "range") => {
                self.advance();
                self.expect("(", "after the function's name")?;
                self.expect(")", "after `(`")?;
                let node = if word == "step" { LengthNode::Step } else { LengthNode::Range };
                return Ok(Length { node, span: self.since(start) });
            }
            (_, "min_of" | "max_of") => {
                self.advance();
                self.expect("(", "after the function's name")?;
                let left = Box::new(self.length()?);
                self.expect(",", "between two durations")?;
                let right = Box::new(self.length()?);
                self.expect(")", "after two durations")?;
                let node =
                    if word == "min_of" { LengthNode::Least(left, right) } else { LengthNode::Most(left, right) };
                return Ok(Length { node, span: self.since(start) });
            }
            _ => return Err(self.unexpected("a duration such as `30s`, `5m` or `1h30m` belongs here")),
        };
        let span = self.span();
        self.advance();
        if let LengthNode::Seconds { value, .. } = node
            && (value.is_nan() || value.abs() >= LENGTH_SECONDS_MAX)
        {
            return Err(self.refuse(span, "this duration is out of range"));
        }
        Ok(Length { node, span })
    }
}

fn signed(minus: bool, operand: Length, start: usize) -> Length {
    let span = TextSpan { start, end: operand.span.end };
    match operand.node {
        LengthNode::Seconds { value, duration } => {
            Length { node: LengthNode::Seconds { value: if minus { -value } else { value }, duration }, span }
        }
        _ if minus => Length { node: LengthNode::Minus(Box::new(operand)), span },
        node => Length { node, span },
    }
}
