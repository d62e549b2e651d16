//! What the values of an expression are, as far as the names of its metrics and its shape say.

use watchbell_model::Series;
use watchbell_picture::Unit;
use watchbell_query::promql::{BinaryOp, Expr, Node};

/// Functions that count in a second.
const RATES: [&str; 3] = ["rate", "irate", "deriv"];
/// Functions whose result is no longer what their argument was.
const OTHERS: [&str; 22] = [
    "absent",
    "absent_over_time",
    "changes",
    "count_over_time",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "exp",
    "histogram_count",
    "histogram_fraction",
    "hour",
    "ln",
    "log10",
    "log2",
    "minute",
    "month",
    "present_over_time",
    "resets",
    "sgn",
    "stdvar_over_time",
    "year",
];

/// What an expression's values are.
pub(super) fn of(expr: &Expr) -> Unit {
    match &expr.node {
        Node::Number { duration: true, .. } => Unit::Seconds,
        Node::Number { .. } | Node::Text(_) => Unit::Plain,
        Node::Selector(selector) | Node::Range { selector, .. } => {
            let named = selector.matchers.iter().find(|it| it.name == "__name__").map(|it| it.value.as_str());
            named_by(selector.name.as_deref().or(named).unwrap_or(""))
        }
        Node::Subquery(subquery) => of(&subquery.inner),
        Node::Unary { operand, .. } => of(operand),
        Node::Paren(inner) => of(inner),
        Node::Call { function, arguments } => call(function.name, arguments),
        Node::Aggregate(aggregation) => match aggregation.op.as_str() {
            "count" | "count_values" | "group" | "stdvar" => Unit::Plain,
            _ => of(&aggregation.inner),
        },
        Node::Binary { op, left, right, .. } => binary(*op, left, right),
    }
}

fn named_by(name: &str) -> Unit {
    let name = ["_total", "_sum", "_bucket"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    match name.rsplit('_').next().unwrap_or("") {
        _ if name.ends_with("_count") => Unit::Plain,
        "bytes" => Unit::Bytes,
        "seconds" => Unit::Seconds,
        "ratio" => Unit::Ratio,
        "percent" | "percentage" => Unit::Percent,
        _ => Unit::Plain,
    }
}

fn call(name: &str, arguments: &[Expr]) -> Unit {
    // The number comes before the series in these two.
    let of_series = || arguments.last().map_or(Unit::Plain, of);
    let first = || arguments.first().map_or(Unit::Plain, of);
    match name {
        "time" => Unit::Seconds,
        "histogram_quantile" => arguments.last().map_or(Unit::Plain, |it| undone(of(it), it)),
        "quantile_over_time" => of_series(),
        _ if RATES.contains(&name) => match first() {
            Unit::Bytes => Unit::BytesPerSecond,
            // Seconds in a second: how busy it is.
            Unit::Seconds => Unit::Ratio,
            Unit::Plain => Unit::PerSecond,
            _ => Unit::Plain,
        },
        _ if OTHERS.contains(&name) => Unit::Plain,
        _ => first(),
    }
}

/// The unit of the buckets, whose rates were taken.
fn undone(unit: Unit, buckets: &Expr) -> Unit {
    let mut found = unit;
    buckets.visit(&mut |expr| {
        if let Node::Selector(_) | Node::Range { .. } = expr.node {
            found = of(expr);
        }
    });
    found
}

fn binary(op: BinaryOp, left: &Expr, right: &Expr) -> Unit {
    let (a, b) = (of(left), of(right));
    let number = |expr: &Expr| match expr.unwrapped().node {
        Node::Number { value, .. } => Some(value),
        _ => None,
    };
    match op {
        BinaryOp::Add | BinaryOp::Sub => match (number(left), number(right)) {
            (Some(_), None) => b,
            (None, Some(_)) => a,
            _ if a == b => a,
            _ => Unit::Plain,
        },
        BinaryOp::Mul => match (number(left), number(right)) {
            (Some(100.0), _) => hundred(b),
            (_, Some(100.0)) => hundred(a),
            _ => Unit::Plain,
        },
        BinaryOp::Div if number(left).is_none() && number(right).is_none() => match (a, b) {
            (Unit::Plain, Unit::Plain) => Unit::Plain,
            (a, b) if a == b => Unit::Ratio,
            _ => Unit::Plain,
        },
        _ if op.is_comparison() || op.is_set() => a,
        _ => Unit::Plain,
    }
}

fn hundred(unit: Unit) -> Unit {
    match unit {
        Unit::Ratio => Unit::Percent,
        _ => Unit::Plain,
    }
}

/// The same after a look at the values: a part of one is shown as per cent only if it is one.
pub(super) fn seen(unit: Unit, series: &[Series], threshold: Option<f64>) -> Unit {
    let values = series.iter().flat_map(|series| &series.samples).map(|sample| sample.value).chain(threshold);
    let parts = values.filter(|value| value.is_finite()).all(|value| value.abs() <= 2.0);
    if unit == Unit::Ratio && !parts { Unit::Plain } else { unit }
}
