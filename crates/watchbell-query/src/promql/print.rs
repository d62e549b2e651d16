//! An expression as text, as Prometheus prints it: reads back to the same expression.

use std::fmt::{self, Display, Formatter, Write};

use watchbell_model::{Labels, MatchOp, Span};

use super::ast::{
    Aggregation, Anchor, BinaryOp, Cardinality, Expr, Grouping, Length, LengthNode, Matching, Node, Reach, Selector,
    Subquery,
};
use super::raw;
use crate::number::format_plain;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Number { value, duration } => f.write_str(&seconds(*value, *duration)),
            Node::Text(text) => f.write_str(&quote(text)),
            Node::Paren(inner) => write!(f, "({inner})"),
            Node::Unary { minus, operand } => write!(f, "{}{operand}", if *minus { '-' } else { '+' }),
            Node::Selector(selector) => {
                write_series(f, selector)?;
                write_anchor(f, selector.at)?;
                write_reach(f, selector.reach)?;
                write_offset(f, selector.offset.as_ref())
            }
            Node::Range { selector, range } => {
                write_series(f, selector)?;
                write!(f, "[{range}]")?;
                write_reach(f, selector.reach)?;
                write_anchor(f, selector.at)?;
                write_offset(f, selector.offset.as_ref())
            }
            Node::Subquery(subquery) => {
                write!(f, "{}", subquery.inner)?;
                write_steps(f, subquery)
            }
            Node::Call { function, arguments } => {
                write!(f, "{}(", function.name)?;
                write_list(f, arguments)?;
                f.write_str(")")
            }
            Node::Aggregate(aggregation) => {
                write_aggregator(f, aggregation)?;
                f.write_str("(")?;
                if let Some(parameter) = &aggregation.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", aggregation.inner)
            }
            Node::Binary { op, return_bool, matching, left, right } => {
                match left.node {
                    // A sign would read back as one of the whole power.
                    Node::Number { value: f64::INFINITY, .. } if *op == BinaryOp::Pow => f.write_str("Inf")?,
                    _ => write!(f, "{left}")?,
                }
                f.write_str(" ")?;
                write_operator(f, *op, *return_bool, matching)?;
                write!(f, " {right}")
            }
        }
    }
}

impl Display for Length {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.node {
            // A length that is written as a number prints as a duration all the same, as in Prometheus.
            LengthNode::Seconds { value, .. } => f.write_str(&seconds(*value, true)),
            LengthNode::Step => f.write_str("step()"),
            LengthNode::Range => f.write_str("range()"),
            LengthNode::Minus(inner) => write!(f, "-{inner}"),
            LengthNode::Paren(inner) => write!(f, "({inner})"),
            LengthNode::Least(left, right) => write!(f, "min_of({left}, {right})"),
            LengthNode::Most(left, right) => write!(f, "max_of({left}, {right})"),
            LengthNode::Arithmetic(op, left, right) => {
                let operand = |operand: &Length| match operand.node {
                    // Factors are plain numbers: a duration has no fraction below a millisecond.
                    LengthNode::Seconds { value, duration } => seconds(value, duration),
                    _ => operand.to_string(),
                };
                write!(f, "{} {} {}", operand(left), op.as_str(), operand(right))
            }
        }
    }
}

fn write_series(f: &mut Formatter<'_>, selector: &Selector) -> fmt::Result {
    f.write_str(selector.name.as_deref().unwrap_or(""))?;
    let mut matchers: Vec<String> = selector
        .matchers
        .iter()
        .map(|matcher| {
            if matcher.name == Labels::NAME && matcher.op == MatchOp::Equal && !is_word(&matcher.value) {
                return quote(&matcher.value);
            }
            let name = if is_word(&matcher.name) { matcher.name.clone() } else { quote(&matcher.name) };
            format!("{name}{}{}", matcher.op.as_str(), quote(&matcher.value))
        })
        .collect();
    matchers.sort();
    if matchers.is_empty() { Ok(()) } else { write!(f, "{{{}}}", matchers.join(",")) }
}

/// What stands between two operands.
pub(super) fn write_operator(f: &mut impl Write, op: BinaryOp, return_bool: bool, matching: &Matching) -> fmt::Result {
    f.write_str(op.as_str())?;
    if return_bool {
        f.write_str(" bool")?;
    }
    let grouped = matching.cardinality != Cardinality::OneToOne;
    if !matching.labels.is_empty() || matching.on || grouped {
        let word = if matching.on { "on" } else { "ignoring" };
        write!(f, " {word} ({})", label_names(&matching.labels))?;
    }
    if grouped {
        let left = matching.cardinality == Cardinality::ManyToOne;
        write!(f, " group_{} ({})", if left { "left" } else { "right" }, label_names(&matching.include))?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
            write!(f, " fill ({})", seconds(left, false))
        }
        (left, right) => {
            for (word, value) in [("left", left), ("right", right)] {
                if let Some(value) = value {
                    write!(f, " fill_{word} ({})", seconds(value, false))?;
                }
            }
            Ok(())
        }
    }
}

/// What stands before the parentheses of an aggregation.
pub(super) fn write_aggregator(f: &mut impl Write, aggregation: &Aggregation) -> fmt::Result {
    f.write_str(aggregation.op.as_str())?;
    match &aggregation.grouping {
        Grouping::By(labels) if labels.is_empty() => Ok(()),
        Grouping::By(labels) => write!(f, " by ({}) ", label_names(labels)),
        Grouping::Without(labels) => write!(f, " without ({}) ", label_names(labels)),
    }
}

/// What stands behind the inner expression of a subquery.
pub(super) fn write_steps(f: &mut impl Write, subquery: &Subquery) -> fmt::Result {
    write!(f, "[{}:", subquery.range)?;
    if let Some(step) = &subquery.step {
        write!(f, "{step}")?;
    }
    f.write_str("]")?;
    write_anchor(f, subquery.at)?;
    write_offset(f, subquery.offset.as_ref())
}

fn write_reach(f: &mut Formatter<'_>, reach: Option<Reach>) -> fmt::Result {
    match reach {
        Some(reach) => write!(f, " {}", reach.as_str()),
        None => Ok(()),
    }
}

fn write_anchor(f: &mut impl Write, at: Option<Anchor>) -> fmt::Result {
    match at {
        Some(Anchor::Time(at)) => {
            let (sign, millis) = (if at.0 < 0 { "-" } else { "" }, at.0.unsigned_abs());
            write!(f, " @ {sign}{}.{:03}", millis / 1000, millis % 1000)
        }
        Some(Anchor::Start) => f.write_str(" @ start()"),
        Some(Anchor::End) => f.write_str(" @ end()"),
        None => Ok(()),
    }
}

fn write_offset(f: &mut impl Write, offset: Option<&Length>) -> fmt::Result {
    match offset {
        Some(offset) => write!(f, " offset {offset}"),
        None => Ok(()),
    }
}

fn write_list(f: &mut Formatter<'_>, list: &[Expr]) -> fmt::Result {
    for (at, expr) in list.iter().enumerate() {
        write!(f, "{}{expr}", if at > 0 { ", " } else { "" })?;
    }
    Ok(())
}

fn label_names(labels: &[String]) -> String {
    let names = labels.iter().map(|label| if is_word(label) { label.clone() } else { quote(label) });
    names.collect::<Vec<_>>().join(", ")
}

fn is_word(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

fn seconds(value: f64, duration: bool) -> String {
    let millis = (value.abs() * 1000.0).round();
    // A duration that is not of whole milliseconds would not read back as the same.
    if !duration || (millis / 1000.0 - value.abs()).abs() > 1e-9 {
        return format_plain(value);
    }
    format!("{}{}", if value < 0.0 { "-" } else { "" }, Span::millis(millis as u64))
}

/// A string in double quotes with Go's escapes.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if let Some(byte) = raw::byte(c) {
            quoted.push_str(&format!("\\x{byte:02x}"));
            continue;
        }
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            _ if c.is_control() => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
