//! What a rule may say beyond Prometheus, as annotations whose names begin with `watchbell_`.
//!
//! promtool and Prometheus refuse a rule with a field they do not know, but take any annotation: a rule file with these
//! stays one that they read. Without them a rule is judged as Prometheus judges it.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_model::{Path, Problems, Span};
use watchbell_query::promql::{self, BinaryOp, Expr, Features, Node, ValueType};

/// What the names of these annotations begin with.
pub const PREFIX: &str = "watchbell_";

const EXPIRES: &str = "watchbell_expires";
const NO_DATA: &str = "watchbell_no_data";
const RECOVERY: &str = "watchbell_recovery";
const RUNBOOK: &str = "watchbell_runbook";
const NAMES: [&str; 4] = [EXPIRES, NO_DATA, RECOVERY, RUNBOOK];

/// What it means for an alert that there is no data: that its expression would yield nothing even if no comparison in
/// it took anything away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoData {
    /// All is well: what fires ends. As in Prometheus.
    Ok,
    /// It is as bad as the condition: what fires goes on, and where nothing has data, the alert fires without labels of
    /// a series, after the rule's `for`.
    Alarm,
    /// Nothing is known: what is pending or fires stays as it is.
    Keep,
    /// As [`NoData::Keep`]; where nothing fires, the alarm says `INSUFFICIENT_DATA`.
    InsufficientData,
}

impl NoData {
    const WORDS: [(&str, NoData); 4] = [
        ("ok", NoData::Ok),
        ("alarm", NoData::Alarm),
        ("keep", NoData::Keep),
        ("insufficient_data", NoData::InsufficientData),
    ];

    fn read(text: &str) -> Option<NoData> {
        NoData::WORDS.iter().find(|(word, _)| *word == text.trim()).map(|(_, policy)| *policy)
    }
}

/// What a rule says beyond Prometheus, ready to run.
#[derive(Debug, Clone, Default)]
pub struct Additions {
    /// How long an alert lasts that no evaluation confirms, be it that none succeeds. Else it lasts until one finds that
    /// the condition does not hold.
    pub(crate) expires: Option<Span>,
    /// What no data means, if the rule says.
    pub no_data: Option<NoData>,
    /// The expression that yields whatever has data; there if `no_data` is.
    pub(crate) data: Option<Arc<Expr>>,
    /// What must hold for an alert to end.
    pub(crate) recovery: Option<Arc<Expr>>,
    /// The name or address of its run book.
    pub runbook: Option<String>,
}

impl Additions {
    /// Those of a rule; what cannot be read is left out, since [`check`] refused it.
    pub(crate) fn read(annotations: &BTreeMap<String, String>, expr: &Expr) -> Additions {
        let expires = annotations.get(EXPIRES).and_then(|text| text.parse().ok());
        let no_data = annotations.get(NO_DATA).and_then(|text| NoData::read(text));
        let recovery = annotations.get(RECOVERY).and_then(|text| promql::parse(text).ok()).map(Arc::new);
        let data = no_data.map(|_| Arc::new(without_filters(expr)));
        Additions { expires, no_data, data, recovery, runbook: annotations.get(RUNBOOK).cloned() }
    }
}

/// Finds what is wrong with the additions of an alerting rule; `path` is that of its annotations.
pub(crate) fn check(
    annotations: &BTreeMap<String, String>,
    features: Features,
    expr: Option<&Expr>,
    path: &Path,
    problems: &mut Problems,
) {
    for (name, text) in annotations.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        let at = path.field(name.as_str());
        match name.as_str() {
            EXPIRES => match text.parse::<Span>() {
                Ok(expires) if !expires.is_zero() => {}
                Ok(_) => problems.error(&at, "an alert cannot last no time").hint("such as `5m`"),
                Err(error) => problems.error(&at, error.to_string()).hint("such as `5m`"),
            },
            NO_DATA => check_no_data(text, expr, &at, problems),
            RECOVERY => match promql::parse_with(text, features) {
                Ok(found) if matches!(found.value_type(), ValueType::Vector) => {}
                Ok(_) => problems
                    .error(&at, "what must hold for an alert to end is a vector")
                    .hint("the series whose alerts may end, such as `disk_free_ratio > 0.2`"),
                Err(error) => problems
                    .error(&at, format!("{} (line {}, column {})", error.message, error.line, error.column))
                    .hint("an expression that yields the series whose alerts may end, such as `disk_free_ratio > 0.2`"),
            },
            RUNBOOK => {}
            _ => problems
                .error(&at, format!("watchbell knows no annotation `{name}`"))
                .hint(format!("there are `{}`", NAMES.join("`, `"))),
        }
    }
}

fn check_no_data(text: &str, expr: Option<&Expr>, at: &Path, problems: &mut Problems) {
    let words = NoData::WORDS.map(|(word, _)| word).join("`, `");
    match NoData::read(text) {
        None => problems
            .error(at, format!("`{text}` is not what no data can mean"))
            .hint(format!("one of `{words}`; `ok` is what Prometheus does")),
        Some(_) => {
            let absent =
                |expr: &Expr| matches!(&expr.node, Node::Call { function, .. } if function.name.starts_with("absent"));
            let mut found = false;
            if let Some(expr) = expr {
                expr.visit(&mut |expr| found |= absent(expr));
            }
            if found {
                problems
                    .error(at, "the expression asks by `absent` whether there is data, so that it always has some")
                    .hint("take the annotation out, or write a rule of its own for data that is missing");
            }
        }
    }
}

/// The expression with every comparison answering 0 or 1 rather than taking series away, and with nothing taken away by
/// `unless`: what it yields is what has data.
pub(crate) fn without_filters(expr: &Expr) -> Expr {
    let mut expr = expr.clone();
    keep_all(&mut expr);
    expr
}

fn keep_all(expr: &mut Expr) {
    if let Node::Binary { op: BinaryOp::Unless, left, .. } = &expr.node {
        *expr = (**left).clone();
    }
    match &mut expr.node {
        Node::Number { .. } | Node::Text(_) | Node::Selector(_) | Node::Range { .. } => {}
        Node::Subquery(subquery) => keep_all(&mut subquery.inner),
        Node::Call { arguments, .. } => arguments.iter_mut().for_each(keep_all),
        Node::Aggregate(aggregation) => keep_all(&mut aggregation.inner),
        Node::Binary { op, return_bool, left, right, .. } => {
            *return_bool |= op.is_comparison();
            keep_all(left);
            keep_all(right);
        }
        Node::Unary { operand: inner, .. } | Node::Paren(inner) => keep_all(inner),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_has_data_is_what_no_comparison_takes_away() {
        for (given, wanted) in [
            ("a < 5", "a < bool 5"),
            ("sum by (x) (rate(a[5m]) > 1) > 3", "sum by (x) (rate(a[5m]) > bool 1) > bool 3"),
            ("a > 1 and b > 2", "a > bool 1 and b > bool 2"),
            ("(a > 1) unless b", "(a > bool 1)"),
            ("a == on (x) group_left () b", "a == bool on (x) group_left () b"),
            ("max_over_time((a > 2)[5m:])", "max_over_time((a > bool 2)[5m:])"),
        ] {
            let expr = watchbell_query::promql::parse(given).unwrap();
            assert_eq!(super::without_filters(&expr).to_string(), wanted);
        }
    }
}
