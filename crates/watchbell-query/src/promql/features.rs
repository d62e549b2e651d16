//! Parts of the language that Prometheus calls experimental and leaves off, and the switches of it.

use super::ast::{Aggregator, Expr, Node};
use super::error::ParseError;

/// Which experimental parts of the language may be used, by the words of Prometheus' `--enable-feature`.
///
/// By default none, as there. Arithmetic on durations was one of them and is part of the language since 3.14.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `promql-experimental-functions`: `info`, `limitk`, `mad_over_time`, `sort_by_label` and others.
    pub functions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_ranges: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    pub fill: bool,
}

impl Features {
    /// The names of the switches, in the order of the fields.
    pub const NAMES: [&str; 3] =
        ["promql-experimental-functions", "promql-extended-range-selectors", "promql-binop-fill-modifiers"];

    /// Those with these names.
    ///
    /// # Errors
    /// The first name that is none of [`Features::NAMES`].
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Features, &'a str> {
        let mut features = Features::default();
        for name in names {
            match Features::NAMES.iter().position(|known| *known == name) {
                Some(0) => features.functions = true,
                Some(1) => features.extended_ranges = true,
                Some(2) => features.fill = true,
                _ => return Err(name),
            }
        }
        Ok(features)
    }

    /// All of them.
    pub const ALL: Features = Features { functions: true, extended_ranges: true, fill: true };

    /// Whether an expression uses none but these.
    ///
    /// # Errors
    /// The first use of another one, in Prometheus' words.
    pub fn check(&self, text: &str, expr: &Expr) -> Result<(), ParseError> {
        let mut wrong = None;
        expr.visit(&mut |expr| {
            if wrong.is_none() {
                wrong = self.refused(expr).map(|message| ParseError::at(text, expr.span, message));
            }
        });
        wrong.map_or(Ok(()), Err)
    }

    fn refused(&self, expr: &Expr) -> Option<String> {
        match &expr.node {
            Node::Call { function, .. } if !self.functions && is_experimental(function.name) => {
                Some(format!("function {:?} is not enabled", function.name))
            }
            Node::Aggregate(aggregation) if !self.functions && is_experimental_aggregator(aggregation.op) => {
                let flag = "must be enabled with --enable-feature=promql-experimental-functions";
                Some(format!("{}() is experimental and {flag}", aggregation.op.as_str()))
            }
            Node::Selector(selector) | Node::Range { selector, .. } if !self.extended_ranges => {
                let reach = selector.reach?.as_str();
                Some(format!("{reach} modifier is experimental and not enabled"))
            }
            Node::Binary { matching, .. } if !self.fill => {
                let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
                fills.then(|| "binop fill modifiers are experimental and not enabled".to_owned())
            }
            _ => None,
        }
    }
}

/// Whether a function is one of those that `promql-experimental-functions` switches on.
pub fn is_experimental(function: &str) -> bool {
    matches!(
        function,
        "double_exponential_smoothing"
            | "end"
            | "histogram_quantiles"
            | "info"
            | "mad_over_time"
            | "max_of"
            | "min_of"
            | "range"
            | "sort_by_label"
            | "sort_by_label_desc"
            | "start"
            | "start_timestamp"
            | "step"
            | "ts_of_first_over_time"
            | "ts_of_last_over_time"
            | "ts_of_max_over_time"
            | "ts_of_min_over_time"
    )
}

fn is_experimental_aggregator(op: Aggregator) -> bool {
    matches!(op, Aggregator::Limitk | Aggregator::LimitRatio)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{parse, parse_with};

    #[test]
    fn what_is_experimental_is_refused_unless_it_is_switched_on() {
        for (text, refusal) in [
            ("sum(rate(up[5m]))", ""),
            ("up[5m + 1m]", ""),
            ("up offset (step() * 2)", ""),
            ("1 + info(up)", "1:5: function \"info\" is not enabled"),
            ("max_of(1, 2)", "1:1: function \"max_of\" is not enabled"),
            (
                "limitk(1, up)",
                "1:1: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
            ),
            ("rate(up[5m] anchored)", "1:6: anchored modifier is experimental and not enabled"),
            ("up smoothed", "1:1: smoothed modifier is experimental and not enabled"),
            ("up + fill(0) up", "1:1: binop fill modifiers are experimental and not enabled"),
        ] {
            assert!(parse(text).is_ok(), "{text}");
            let refused = parse_with(text, Features::default()).err().map_or(String::new(), |it| it.to_string());
            assert_eq!(refused, refusal, "{text}");
            assert!(parse_with(text, Features::ALL).is_ok(), "{text}");
        }
    }
}
