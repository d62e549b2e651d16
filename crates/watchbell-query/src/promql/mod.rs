//! PromQL as text: read ([`parse`]), checked for types, printed (`Display` of [`Expr`]).
//!
//! What is printed reads back to the same expression. Errors name line, column, what is wrong and what would be right.

mod ast;
mod check;
mod error;
mod features;
mod functions;
mod lex;
mod parse;
mod print;
mod raw;
mod sequence;
#[cfg(test)]
mod tests;

pub use ast::{
    Aggregation, Aggregator, Anchor, BinaryOp, Cardinality, Expr, Grouping, Length, LengthNode, Matching, Node, Reach,
    Selector, Subquery, TextSpan,
};
pub use error::ParseError;
pub(crate) use error::line_and_column;
pub use features::{Features, is_experimental};
pub use functions::{Function, ValueType, functions};
pub(crate) use print::quote;
pub(crate) use raw::is_utf8;
pub use sequence::{Item, SEQUENCE_MAX, histogram_notation, series_description};

use watchbell_model::Matcher;

/// Deepest nesting of an expression; deeper ones are refused, so that no input can exhaust the stack.
pub const NESTING_MAX: usize = 100;
/// Most binary operators and ranges in an expression, for the same reason.
pub const OPERATORS_MAX: usize = 250;
/// Longest expression, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Reads an expression that uses no experimental part of the language but these, and checks its types.
///
/// # Errors
/// As [`parse`]; also where such a part is used.
pub fn parse_with(text: &str, features: Features) -> Result<Expr, ParseError> {
    let expr = parse(text)?;
    features.check(text, &expr)?;
    Ok(expr)
}

/// Reads an expression of the whole language and checks its types.
///
/// # Errors
/// The first thing that is wrong, with its place and what would be right.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let expr = parse::expression(text)?;
    check::check(text, &expr)?;
    Ok(expr)
}

/// Reads a series selector without modifiers, as `match[]` parameters carry it: `up{job="mail"}`.
///
/// # Errors
/// As [`parse`]; also when something other than one selector stands there.
pub fn metric_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let expr = parse(text)?;
    match &expr.node {
        Node::Selector(selector) if selector.at.is_none() && selector.offset.is_none() => Ok(selector.all_matchers()),
        _ => Err(ParseError::at(text, expr.span, "this is not a plain series selector")
            .hint("write a metric with matchers and nothing else, such as `up{job=\"mail\"}`")),
    }
}

/// The matchers of every selector in an expression, in the order they are written.
pub fn selectors(expr: &Expr) -> Vec<Vec<Matcher>> {
    let mut found = Vec::new();
    expr.visit(&mut |expr| match &expr.node {
        Node::Selector(selector) | Node::Range { selector, .. } => found.push(selector.all_matchers()),
        _ => {}
    });
    found
}
