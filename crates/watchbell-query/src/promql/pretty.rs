//! An expression over several lines, as Prometheus' formatter lays it out: what is longer than a line is taken apart.

use super::ast::{Expr, Node};
use super::print::{write_aggregator, write_operator, write_steps};

/// What is longer, in bytes, is taken apart.
const LINE_BYTES_MAX: usize = 100;

/// An expression laid out for a person; reads back to the same expression.
pub fn pretty(expr: &Expr) -> String {
    at_level(expr, 0)
}

fn at_level(expr: &Expr, level: usize) -> String {
    let indent = "  ".repeat(level);
    let line = expr.to_string();
    if line.len() <= LINE_BYTES_MAX {
        // As in Prometheus, a subquery that fits is not indented.
        return if matches!(expr.node, Node::Subquery(_)) { line } else { indent + &line };
    }
    let within = |expr: &Expr| at_level(expr, level + 1);
    let written = |write: &dyn Fn(&mut String) -> std::fmt::Result| {
        let mut text = String::new();
        write(&mut text).expect("a string takes anything");
        text
    };
    match &expr.node {
        Node::Number { .. } | Node::Text(_) | Node::Selector(_) | Node::Range { .. } => indent + &line,
        Node::Aggregate(aggregation) => {
            let head = written(&|text| write_aggregator(text, aggregation));
            let parameter = aggregation.parameter.as_ref().map(|it| within(it) + ",\n").unwrap_or_default();
            format!("{indent}{head}(\n{parameter}{}\n{indent})", within(&aggregation.inner))
        }
        Node::Binary { op, return_bool, matching, left, right } => {
            let operator = written(&|text| write_operator(text, *op, *return_bool, matching));
            format!("{}\n{indent}{operator}\n{}", within(left), within(right))
        }
        Node::Call { function, arguments } => {
            let arguments: Vec<String> = arguments.iter().map(within).collect();
            format!("{indent}{}(\n{}\n{indent})", function.name, arguments.join(",\n"))
        }
        Node::Paren(inner) => format!("{indent}(\n{}\n{indent})", within(inner)),
        Node::Subquery(subquery) => at_level(&subquery.inner, level) + &written(&|text| write_steps(text, subquery)),
        Node::Unary { minus, operand } => {
            let sign = if *minus { '-' } else { '+' };
            format!("{indent}{sign}{}", at_level(operand, level).trim_start())
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::parse;
    use super::*;

    fn check(text: &str, expected: Expect) {
        let expr = parse(text).unwrap();
        let shown = pretty(&expr);
        expected.assert_eq(&shown);
        assert_eq!(parse(&shown).unwrap().to_string(), expr.to_string(), "reads back to the same");
    }

    #[test]
    fn what_fits_stays_on_its_line() {
        check("sum by(job)(rate(up[5m]))>0.5", expect!["sum by (job) (rate(up[5m])) > 0.5"]);
    }

    #[test]
    fn what_is_long_is_taken_apart() {
        check(
            "topk(5, sum by (job, instance, handler) (rate(http_requests_total{job=\"api\", code=~\"5..\"}[5m])) / on (job, instance, handler) group_left (team) sum by (job, instance, handler) (rate(http_requests_total{job=\"api\"}[5m])))",
            expect![[r#"
                topk(
                  5,
                    sum by (job, instance, handler) (rate(http_requests_total{code=~"5..",job="api"}[5m]))
                  / on (job, instance, handler) group_left (team)
                    sum by (job, instance, handler) (rate(http_requests_total{job="api"}[5m]))
                )"#]],
        );
        check(
            "-(max_over_time(sum by (job, instance, handler) (rate(http_requests_total{job=\"api\", code=~\"5..\"}[5m]))[1h:30s]))",
            expect![[r#"
                -(
                  max_over_time(
                sum by (job, instance, handler) (rate(http_requests_total{code=~"5..",job="api"}[5m]))[1h:30s]
                  )
                )"#]],
        );
    }
}
