//! Functions that make labels.

use std::cmp::Ordering;

use regex::Regex;
use watchbell_model::{Labels, MatchOp};

use super::EvalError;
use super::column::{Column, merge};
use crate::promql::{Expr, Node, is_utf8, quote};

/// `label_replace(v, target, replacement, source, pattern)`.
pub(super) fn replace(mut columns: Vec<Column>, texts: &[String]) -> Result<Vec<Column>, EvalError> {
    let [target, replacement, source, pattern] = texts else {
        return Err(EvalError::Type("label_replace takes four strings".into()));
    };
    let regex = Some(pattern).filter(|pattern| is_utf8(pattern));
    let regex = regex
        .and_then(|pattern| Regex::new(&format!("^(?s:{pattern})$")).ok())
        .ok_or_else(|| EvalError::Argument(format!("invalid regular expression in label_replace(): {pattern}")))?;
    check_name(target, "destination label name in label_replace()")?;
    for column in &mut columns {
        let value = column.labels.get(source).unwrap_or("");
        let Some(found) = regex.captures(value) else { continue };
        let mut text = String::new();
        found.expand(replacement, &mut text);
        set(column, target, &text);
    }
    merge(columns)
}

/// `label_join(v, target, separator, source...)`.
pub(super) fn join(mut columns: Vec<Column>, texts: &[String]) -> Result<Vec<Column>, EvalError> {
    let [target, separator, sources @ ..] = texts else {
        return Err(EvalError::Type("label_join takes at least two strings".into()));
    };
    for source in sources {
        check_name(source, "source label name in label_join()")?;
    }
    check_name(target, "destination label name in label_join()")?;
    for column in &mut columns {
        let values: Vec<&str> = sources.iter().map(|source| column.labels.get(source).unwrap_or("")).collect();
        let text = values.join(separator);
        set(column, target, &text);
    }
    merge(columns)
}

/// The labels that `absent` can give: those its selector compares with one value each.
pub(super) fn of_absence(argument: &Expr) -> Labels {
    let (Node::Selector(selector) | Node::Range { selector, .. }) = &argument.unwrapped().node else {
        return Labels::empty();
    };
    let mut labels = Labels::empty();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in selector.matchers.iter().filter(|matcher| matcher.name != Labels::NAME) {
        if matcher.op == MatchOp::Equal && !seen.contains(&matcher.name.as_str()) {
            labels = labels.with(&matcher.name, &matcher.value);
            seen.push(&matcher.name);
        } else {
            labels = labels.without(&matcher.name);
        }
    }
    labels
}

/// Order in which `a2` comes before `a10`: runs of digits compare as numbers.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        let (Some((a_run, a_next)), Some((b_run, b_next))) = (run(a_rest), run(b_rest)) else {
            return a_rest.len().cmp(&b_rest.len()).then_with(|| a.cmp(b));
        };
        let digits = a_run.as_bytes()[0].is_ascii_digit() && b_run.as_bytes()[0].is_ascii_digit();
        let order = if digits {
            let (a_number, b_number) = (a_run.trim_start_matches('0'), b_run.trim_start_matches('0'));
            a_number.len().cmp(&b_number.len()).then_with(|| a_number.cmp(b_number))
        } else {
            a_run.cmp(b_run)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a_rest, b_rest) = (a_next, b_next);
    }
}

/// The first run of digits or of other characters, and what follows it.
fn run(text: &str) -> Option<(&str, &str)> {
    let digit = text.chars().next()?.is_ascii_digit();
    let end = text.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(text.len());
    Some(text.split_at(end))
}

fn set(column: &mut Column, name: &str, value: &str) {
    column.labels = column.labels.with(name, value);
    if name == Labels::NAME {
        column.drop_name = false;
    }
}

/// Any UTF-8 text that is not empty is a label's name.
fn check_name(name: &str, what: &str) -> Result<(), EvalError> {
    match name.is_empty() || !is_utf8(name) {
        true => Err(EvalError::Argument(format!("invalid {what}: {}", quote(name)))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_labels_sort_as_numbers() {
        let mut names = vec!["a10", "a2", "b1", "a", "a02", "a10b", "10", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "a", "a02", "a2", "a10", "a10b", "b1"]);
    }
}
