//! The queries of Prometheus' compliance programme, from a folder outside of the repository.

use std::path::{Path, PathBuf};

use super::compare::Answer;
use super::data::{BEGIN, SCRAPES, STEP};
use super::{Both, SEED, When, binary};

/// How many queries the templates make.
const QUERIES: usize = 539;
/// From one step of a query to the next.
const RESOLUTION: i64 = 10_000;

/// What stands for a variable of a template.
fn values(variable: &str) -> &'static [&'static str] {
    match variable {
        "range" => &["1s", "15s", "1m", "5m", "15m", "1h"],
        "offset" => &["1m", "5m", "10m"],
        "simpleAggrOp" => &["sum", "avg", "max", "min", "count", "stddev", "stdvar"],
        "simpleTimeAggrOp" => &["sum", "avg", "max", "min", "count", "stddev", "stdvar", "absent", "last"],
        "topBottomOp" => &["topk", "bottomk"],
        "quantile" => &["-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5"],
        "arithBinOp" => &["+", "-", "*", "/", "%", "^"],
        "compBinOp" => &["==", "!=", "<", ">", "<=", ">="],
        "binOp" => &["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">="],
        "simpleMathFunc" => &["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round"],
        "extrapolatedRateFunc" => &["delta", "rate", "increase"],
        "clampFunc" => &["clamp_min", "clamp_max"],
        "instantRateFunc" => &["idelta", "irate"],
        "dateFunc" => &["day_of_month", "day_of_week", "days_in_month", "hour", "minute", "month", "year"],
        _ => &[],
    }
}

/// The queries of a file of templates, each with whether it must fail.
fn queries(text: &str) -> Vec<(String, bool)> {
    let mut cases: Vec<(String, Vec<String>, bool)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let line = line.strip_prefix("- ").unwrap_or(line).trim_start();
        if let Some(query) = line.strip_prefix("query: ") {
            let quoted = |quote: char| query.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
            let query = quoted('\'').or_else(|| quoted('"')).unwrap_or(query);
            cases.push((query.to_owned(), Vec::new(), false));
        } else if let (Some(words), Some(case)) = (line.strip_prefix("variant_args: "), cases.last_mut()) {
            case.1 = words.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
        } else if let ("should_fail: true", Some(case)) = (line, cases.last_mut()) {
            case.2 = true;
        }
    }
    let mut all = Vec::new();
    for (template, variables, fails) in cases {
        let mut made = vec![template];
        for variable in variables {
            let mark = format!("{{{{.{variable}}}}}");
            let with =
                |text: &String| values(&variable).iter().map(|value| text.replace(&mark, value)).collect::<Vec<_>>();
            made = made.iter().flat_map(with).collect();
        }
        all.extend(made.into_iter().map(|query| (query, fails)));
    }
    all
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the queries lie outside of the repository, and this crate has no disk")]
fn conformance_of_the_compliance_queries() {
    let folder = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("compliance/promql/promql-test-queries.yml")) else {
        println!("skipped: there are no compliance queries in {}", folder.display());
        return;
    };
    let queries = queries(&text);
    assert_eq!(queries.len(), QUERIES);
    let Some(binary) = binary() else {
        println!("skipped: there is no Prometheus in target/peers; `cargo xtask differential` puts one there");
        return;
    };
    let mut both = Both::start(&binary, SEED);
    let end = BEGIN + SCRAPES * STEP;
    let mut wrong = Vec::new();
    for (text, fails) in queries {
        for when in [When::Range(end - 1_200_000, end, RESOLUTION), When::Instant(end - 95_000)] {
            if let Err(difference) = both.ask(&text, when) {
                wrong.push(difference);
            }
            if fails != matches!(both.ours(&text, when), Answer::Fails(..)) && !text.contains("~invalid") {
                wrong.push(format!("{text}: must it fail? {fails}"));
            }
        }
    }
    println!("{} of {QUERIES} compliance queries differ", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
