//! Whether the parts of an expression fit: types, counts of arguments, modifiers.

use watchbell_model::{Labels, MatchOp};

use super::ast::{Cardinality, Expr, Node, Selector, TextSpan};
use super::error::ParseError;
use super::functions::ValueType;

/// Checks an expression and everything in it, what is within first.
pub(super) fn check(text: &str, expr: &Expr) -> Result<(), ParseError> {
    // Small frames: this calls itself as deep as the expression is.
    let mut children = expr.children();
    if let Node::Call { function, arguments } = &expr.node
        && function.name == "info"
        && let Some(second) = arguments.get(1)
    {
        // Only with the labels of the first argument does it select series, so that it may be empty.
        children.truncate(1);
        if !matches!(&second.node, Node::Selector(selector) if selector.name.is_none()) {
            let error = ParseError::at(text, second.span, "the second argument of `info` selects labels");
            return Err(error.hint("write a plain label selector, such as `{version=~\".+\"}`"));
        }
    }
    children.into_iter().try_for_each(|child| check(text, child))?;
    check_node(text, expr)
}

fn check_node(text: &str, expr: &Expr) -> Result<(), ParseError> {
    let refuse = |span: TextSpan, message: String| Err(ParseError::at(text, span, message));
    let expect = |expr: &Expr, wanted: ValueType, place: &str| {
        let found = expr.value_type();
        if found == wanted {
            return Ok(());
        }
        let error = ParseError::at(text, expr.span, format!("{place} must be of type {wanted}, not {found}"));
        Err(match (wanted, found) {
            (ValueType::Matrix, ValueType::Vector) => error.hint("add a range, such as `[5m]`"),
            (ValueType::Vector, ValueType::Matrix) => {
                error.hint("wrap it in a function over a range, such as `rate(…)`, or leave the range out")
            }
            (ValueType::Vector, ValueType::Scalar) => error.hint("make a vector of a scalar with `vector(…)`"),
            (ValueType::Scalar, ValueType::Vector) => error.hint("make a scalar of one element with `scalar(…)`"),
            _ => error,
        })
    };
    match &expr.node {
        Node::Number { .. } | Node::Text(_) | Node::Paren(_) => Ok(()),
        Node::Selector(selector) | Node::Range { selector, .. } => check_selector(text, selector, expr.span),
        Node::Unary { operand, .. } => match operand.value_type() {
            ValueType::Scalar | ValueType::Vector => Ok(()),
            found => refuse(expr.span, format!("a sign belongs before a scalar or instant vector, not a {found}")),
        },
        Node::Subquery(subquery) => expect(&subquery.inner, ValueType::Vector, "what a subquery evaluates"),
        Node::Aggregate(aggregation) => {
            let name = aggregation.op.as_str();
            if let (Some(parameter), Some(wanted)) = (&aggregation.parameter, aggregation.op.parameter()) {
                expect(parameter, wanted, &format!("the parameter of `{name}`"))?;
                if wanted == ValueType::String && !matches!(parameter.unwrapped().node, Node::Text(_)) {
                    return refuse(parameter.span, format!("the parameter of `{name}` must be written out"));
                }
            }
            expect(&aggregation.inner, ValueType::Vector, &format!("what `{name}` aggregates"))
        }
        Node::Call { function, arguments } => {
            let name = function.name;
            let (min, max) = (function.arguments_min, function.arguments_max);
            if !(min..=max).contains(&arguments.len()) {
                let wanted = if min == max { format!("{min}") } else { format!("{min} to {max}") };
                let given = arguments.len();
                return refuse(expr.span, format!("`{name}` takes {wanted} argument(s) but was given {given}"));
            }
            for (at, argument) in arguments.iter().enumerate() {
                expect(argument, function.argument(at), &format!("argument {} of `{name}`", at + 1))?;
            }
            Ok(())
        }
        Node::Binary { op, return_bool, matching, left, right } => {
            let name = op.as_str();
            for side in [left, right] {
                if !matches!(side.value_type(), ValueType::Scalar | ValueType::Vector) {
                    return expect(side, ValueType::Vector, &format!("an operand of `{name}`"));
                }
            }
            let vectors = left.value_type() == ValueType::Vector && right.value_type() == ValueType::Vector;
            let scalars = expr.value_type() == ValueType::Scalar;
            let between = TextSpan { start: left.span.end, end: right.span.start };
            let operator_at = text[between.start..between.end].find(|c: char| !c.is_whitespace()).unwrap_or(0);
            let operator = TextSpan { start: between.start + operator_at, end: between.end };
            if *return_bool && !op.is_comparison() {
                return refuse(operator, format!("`bool` belongs to comparisons, not to `{name}`"));
            }
            if scalars && op.is_comparison() && !return_bool {
                let error = ParseError::at(text, operator, "a comparison of two scalars must answer 0 or 1");
                return Err(error.hint(format!("write `{name} bool`")));
            }
            if !vectors && op.is_set() {
                return refuse(operator, format!("`{name}` works on instant vectors, not on scalars"));
            }
            if !vectors && !matching.labels.is_empty() {
                return refuse(operator, "labels are matched between instant vectors only".to_owned());
            }
            let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
            if fills && (!vectors || op.is_set()) {
                let message = "missing elements are filled in between instant vectors, in arithmetic and comparisons";
                return refuse(operator, message.to_owned());
            }
            if vectors && op.is_set() && matching.cardinality != Cardinality::OneToOne {
                return refuse(operator, format!("`{name}` takes no `group_left` or `group_right`"));
            }
            match matching.labels.iter().find(|label| matching.on && matching.include.contains(label)) {
                Some(label) => refuse(operator, format!("label `{label}` stands in `on` and in the group clause")),
                None => Ok(()),
            }
        }
    }
}

fn check_selector(text: &str, selector: &Selector, span: TextSpan) -> Result<(), ParseError> {
    if let Some(name) = &selector.name {
        if let Some(second) = selector.matchers.iter().find(|matcher| matcher.name == Labels::NAME) {
            let message = format!("the metric's name is set twice: `{name}` and `{}`", second.value);
            return Err(ParseError::at(text, span, message));
        }
        return Ok(());
    }
    // An empty selector selects everything there is: never meant, and dear.
    let selects = selector.matchers.iter().any(|matcher| !matcher.matches(""));
    if selects {
        return Ok(());
    }
    let error = ParseError::at(text, span, "this selector would select every series");
    Err(match selector.matchers.iter().find(|matcher| matcher.op == MatchOp::Regex) {
        Some(matcher) => error.hint(format!("write `.+` where `{}` may be empty", matcher.value)),
        None => error.hint("name a metric, or a label that must not be empty"),
    })
}
