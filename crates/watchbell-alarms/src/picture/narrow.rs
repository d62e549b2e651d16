//! Asks only for the series of an alert: conditions on its labels are moved down to the selectors, where that changes
//! nothing of the alert's own series. Without it a rule over a thousand machines would be read for all of them.

use watchbell_model::{MatchOp, Matcher};
use watchbell_query::promql::{
    Aggregation, BinaryOp, Cardinality, Expr, Grouping, Matching, Node, Selector, ValueType,
};

/// Labels with the values that the wanted series have.
type Wanted = [(String, String)];

/// Functions whose result has other labels than their argument, or is there where the argument is not.
const OTHERS: [&str; 6] = ["absent", "absent_over_time", "info", "label_join", "label_replace", "vector"];

/// Narrows an expression to the series that have these labels, or do not have them at all.
pub(super) fn narrow(expr: &mut Expr, wanted: &Wanted) {
    if wanted.is_empty() {
        return;
    }
    match &mut expr.node {
        Node::Number { .. } | Node::Text(_) => {}
        Node::Selector(selector) | Node::Range { selector, .. } => select(selector, wanted),
        Node::Subquery(subquery) => narrow(&mut subquery.inner, wanted),
        Node::Paren(inner) | Node::Unary { operand: inner, .. } => narrow(inner, wanted),
        Node::Call { function, arguments } => {
            if !OTHERS.contains(&function.name) {
                let series = |it: &&mut Expr| matches!(it.value_type(), ValueType::Vector | ValueType::Matrix);
                // A scalar that is made of series is made of all of them.
                let is_scalar = function.returns == ValueType::Scalar;
                arguments.iter_mut().filter(series).filter(|_| !is_scalar).for_each(|it| narrow(it, wanted));
            }
        }
        Node::Aggregate(aggregation) => group(aggregation, wanted),
        Node::Binary { op, matching, left, right, .. } => match (left.value_type(), right.value_type()) {
            (ValueType::Vector, ValueType::Vector) => pair(*op, matching, left, right, wanted),
            (ValueType::Vector, _) => narrow(left, wanted),
            (_, ValueType::Vector) => narrow(right, wanted),
            _ => {}
        },
    }
}

/// A series without the label may have got its value later, by a rule's own labels or `group_left`.
fn select(selector: &mut Selector, wanted: &Wanted) {
    let matchers = &mut selector.matchers;
    for (name, value) in wanted {
        if matchers.iter().all(|it| it.name != *name) {
            matchers.extend(Matcher::new(name.as_str(), MatchOp::Regex, format!("|{}", escaped(value))));
        }
    }
}

/// A value as a regular expression.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if !c.is_alphanumeric() && c.is_ascii() && !matches!(c, ' ' | '_' | '/' | ':' | ',') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn group(aggregation: &mut Aggregation, wanted: &Wanted) {
    // The best few are the best of all, and a value that is counted becomes a label.
    if aggregation.parameter.is_some() {
        return;
    }
    let kept = match &aggregation.grouping {
        Grouping::By(labels) => only(wanted, |name| labels.iter().any(|it| it == name)),
        Grouping::Without(labels) => only(wanted, |name| labels.iter().all(|it| it != name)),
    };
    narrow(&mut aggregation.inner, &kept);
}

fn pair(op: BinaryOp, matching: &Matching, left: &mut Expr, right: &mut Expr, wanted: &Wanted) {
    let matched = only(wanted, |name| matching.labels.iter().any(|it| it == name) == matching.on);
    let one = only(&matched, |name| !matching.include.iter().any(|it| it == name));
    let many = only(wanted, |name| !matching.include.iter().any(|it| it == name));
    match matching.cardinality {
        // What `or` has on the left keeps away what matches it on the right, whatever else it is.
        _ if op.is_set() => {
            narrow(left, if op == BinaryOp::Or { &matched } else { wanted });
            narrow(right, &matched);
        }
        Cardinality::OneToOne => {
            narrow(left, &matched);
            narrow(right, &matched);
        }
        Cardinality::ManyToOne => {
            narrow(left, &many);
            narrow(right, &one);
        }
        Cardinality::OneToMany => {
            narrow(left, &one);
            narrow(right, &many);
        }
    }
}

fn only(wanted: &Wanted, keep: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    wanted.iter().filter(|(name, _)| keep(name)).cloned().collect()
}
