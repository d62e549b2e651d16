//! An expression as the tree of JSON that Prometheus' own UI draws (`web/api/v1/translate_ast.go`).

use serde_json::{Value as Json, json};
use watchbell_model::Matcher;
use watchbell_query::promql::{
    Anchor, BinaryOp, Cardinality, Expr, Function, Grouping, Length, LengthNode, Matching, Node, Reach, Selector,
    ValueType,
};

/// The tree of an expression.
pub(super) fn of(expr: &Expr) -> Json {
    match &expr.node {
        Node::Number { value, .. } => number(*value),
        Node::Text(text) => json!({ "type": "stringLiteral", "val": text }),
        Node::Paren(inner) => json!({ "type": "parenExpr", "expr": of(inner) }),
        Node::Unary { minus, operand } => match &operand.node {
            // Prometheus reads a sign before a number as the number's.
            Node::Number { value, .. } => number(if *minus { -value } else { *value }),
            _ => json!({ "type": "unaryExpr", "op": if *minus { "-" } else { "+" }, "expr": of(operand) }),
        },
        Node::Selector(selector) => {
            let mut tree = series(selector);
            tree["type"] = "vectorSelector".into();
            tree
        }
        Node::Range { selector, range } => {
            let mut tree = series(selector);
            tree["type"] = "matrixSelector".into();
            (tree["range"], tree["rangeExpr"]) = length(Some(range));
            tree
        }
        Node::Subquery(subquery) => {
            let mut tree = json!({ "type": "subquery", "expr": of(&subquery.inner) });
            (tree["range"], tree["rangeExpr"]) = length(Some(&subquery.range));
            (tree["offset"], tree["offsetExpr"]) = length(subquery.offset.as_ref());
            (tree["step"], tree["stepExpr"]) = length(subquery.step.as_ref());
            (tree["timestamp"], tree["startOrEnd"]) = anchor(subquery.at);
            tree
        }
        Node::Call { function, arguments } => json!({
            "type": "call",
            "func": signature(function),
            "args": arguments.iter().map(of).collect::<Vec<_>>(),
        }),
        Node::Aggregate(aggregation) => {
            let (grouping, without) = match &aggregation.grouping {
                Grouping::By(labels) => (labels, false),
                Grouping::Without(labels) => (labels, true),
            };
            json!({
                "type": "aggregation",
                "op": aggregation.op.as_str(),
                "expr": of(&aggregation.inner),
                "param": aggregation.parameter.as_ref().map(|parameter| of(parameter)),
                "grouping": grouping,
                "without": without,
            })
        }
        Node::Binary { op, return_bool, matching, left, right } => {
            let vectors = [left, right].into_iter().all(|it| it.value_type() == ValueType::Vector);
            json!({
                "type": "binaryExpr",
                "op": op.as_str(),
                "lhs": of(left),
                "rhs": of(right),
                "matching": vectors.then(|| partners(*op, matching)),
                "bool": return_bool,
            })
        }
    }
}

fn number(value: f64) -> Json {
    json!({ "type": "numberLiteral", "val": digits(value) })
}

/// All digits, never an exponent.
fn digits(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => format!("{value}"),
    }
}

fn series(selector: &Selector) -> Json {
    let mut tree = json!({
        "name": selector.name.as_deref().unwrap_or(""),
        "matchers": selector.all_matchers().iter().map(matcher).collect::<Vec<_>>(),
        "anchored": selector.reach == Some(Reach::Anchored),
        "smoothed": selector.reach == Some(Reach::Smoothed),
    });
    (tree["offset"], tree["offsetExpr"]) = length(selector.offset.as_ref());
    (tree["timestamp"], tree["startOrEnd"]) = anchor(selector.at);
    tree
}

fn matcher(matcher: &Matcher) -> Json {
    json!({ "name": matcher.name, "value": matcher.value, "type": matcher.op.as_str() })
}

/// Milliseconds of `@`, and the word in their place.
fn anchor(at: Option<Anchor>) -> (Json, Json) {
    match at {
        Some(Anchor::Time(at)) => (at.as_millis().into(), Json::Null),
        Some(Anchor::Start) => (Json::Null, "start".into()),
        Some(Anchor::End) => (Json::Null, "end".into()),
        None => (Json::Null, Json::Null),
    }
}

/// Milliseconds of a length that is written out, and the tree of one that is computed.
fn length(length: Option<&Length>) -> (Json, Json) {
    match length.map(|length| &length.node) {
        None => (0.into(), Json::Null),
        Some(LengthNode::Seconds { value, .. }) => (((value * 1e9).round() as i64 / 1_000_000).into(), Json::Null),
        Some(_) => (0.into(), length.map(computed).into()),
    }
}

fn computed(length: &Length) -> Json {
    let node = |op: &str, left: Json, right: Json| json!({ "type": "durationExpr", "op": op, "lhs": left, "rhs": right, "wrapped": false });
    match &length.node {
        LengthNode::Seconds { value, duration } => {
            json!({ "type": "numberLiteral", "val": digits(*value), "duration": duration })
        }
        LengthNode::Step => node("step", Json::Null, Json::Null),
        LengthNode::Range => node("range", Json::Null, Json::Null),
        LengthNode::Minus(inner) => node("-", Json::Null, computed(inner)),
        LengthNode::Least(left, right) => node("min_of", computed(left), computed(right)),
        LengthNode::Most(left, right) => node("max_of", computed(left), computed(right)),
        LengthNode::Arithmetic(op, left, right) => node(op.as_str(), computed(left), computed(right)),
        LengthNode::Paren(inner) => {
            let mut tree = computed(inner);
            if tree["type"] == "durationExpr" {
                tree["wrapped"] = true.into();
            }
            tree
        }
    }
}

fn partners(op: BinaryOp, matching: &Matching) -> Json {
    let card = match matching.cardinality {
        _ if op.is_set() => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
    };
    json!({
        "card": card,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": { "lhs": matching.fill_left, "rhs": matching.fill_right },
    })
}

/// A function's signature; `variadic` is how many arguments may come on top, -1 for as many as one likes.
fn signature(function: &Function) -> Json {
    let mut kinds: Vec<&str> = function.arguments.iter().map(|kind| word(*kind)).collect();
    let more = function.arguments_max - function.arguments_min;
    // Prometheus names the last of the repeated ones once more.
    while function.arguments_max > 0 && kinds.len() <= function.arguments_min && more > 0 {
        kinds.push(word(function.argument(kinds.len())));
    }
    let variadic = if function.arguments_max >= MANY { -1 } else { more as i64 };
    json!({ "name": function.name, "argTypes": kinds, "variadic": variadic, "returnType": word(function.returns) })
}

/// Functions that take as many arguments take as many as one likes.
const MANY: usize = 1000;

fn word(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
        ValueType::String => "string",
    }
}
