//! `watchbell check`: every error and warning of a configuration.

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use watchbell_http::StatusPageConfig;
use watchbell_model::{Labels, Level};
use watchbell_query::promql::Features;
use watchbell_runtime::Runtime;

use super::{Files, Output, WRONG};
use crate::config::{Finding, Good, load, load_rules, render_findings};

/// The exit code for warnings that were asked to count, as promtool's.
const LINT: u8 = 3;

/// Which warnings about rules count as errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Lint {
    /// None.
    None,
    /// Rules that are there twice.
    DuplicateRules,
    /// All of them.
    All,
}

/// Rule files by themselves.
pub(super) fn rules(
    runtime: &Runtime,
    paths: &[std::path::PathBuf],
    features: Features,
    lint: Lint,
    output: Output,
) -> ExitCode {
    let (rules, findings) = load_rules(runtime, paths, features);
    let is = |level: Level| move |finding: &&Finding| finding.problem.level == level;
    let errors = findings.iter().filter(is(Level::Error)).count();
    let warnings = findings.len() - errors;
    // A pattern that fits no file is a mistake on a command line.
    let nothing = rules.is_empty() && errors == 0;
    match output {
        Output::Text => {
            print!("{}", render_findings(&findings));
            let count: usize = rules.iter().flat_map(|(_, file)| &file.groups).map(|group| group.rules.len()).sum();
            if errors > 0 {
                println!("refused: {errors} errors, {warnings} warnings");
            } else {
                println!("good: {count} rules in {} files; {warnings} warnings", rules.len());
            }
        }
        Output::Json => println!("{}", json(&findings, errors == 0)),
    }
    let linted = |finding: &Finding| match lint {
        Lint::None => false,
        Lint::DuplicateRules => finding.problem.message.contains("is there twice"),
        Lint::All => true,
    };
    if errors > 0 || nothing {
        ExitCode::from(WRONG)
    } else if findings.iter().any(linted) {
        ExitCode::from(LINT)
    } else {
        ExitCode::SUCCESS
    }
}

fn json(findings: &[Finding], good: bool) -> serde_json::Value {
    let one = |it: &Finding| {
        serde_json::json!({
            "level": if it.problem.level == Level::Error { "error" } else { "warning" },
            "file": it.file.display().to_string(), "line": it.line, "column": it.column,
            "field": it.problem.path.to_string(), "message": it.problem.message, "hint": it.problem.hint,
        })
    };
    serde_json::json!({ "good": good, "findings": findings.iter().map(one).collect::<Vec<_>>() })
}

pub(super) async fn run(runtime: &Runtime, files: &Files, labels: &[String], output: Output) -> Result<ExitCode> {
    let paths = files.paths(runtime);
    let loaded = load(runtime, &paths).await;
    if let (false, Some(good)) = (labels.is_empty(), &loaded.good) {
        return Ok(routes(good, labels, output));
    }
    let errors = loaded.findings.iter().filter(|finding| finding.problem.level == Level::Error).count();
    let warnings = loaded.findings.len() - errors;
    match output {
        Output::Text => {
            print!("{}", render_findings(&loaded.findings));
            match &loaded.good {
                Some(good) => {
                    let config = &good.config;
                    let rules: usize =
                        good.rules.iter().flat_map(|(_, file)| &file.groups).map(|group| group.rules.len()).sum();
                    println!(
                        "good: {} monitors, {} heartbeats, {} scrape jobs, {rules} rules, {} receivers, {} run books; \
                         {warnings} warnings",
                        config.monitors.len(),
                        config.heartbeats.len(),
                        config.scrape_configs.len(),
                        config.receivers.len(),
                        good.library.list().len(),
                    );
                    config.status_pages.iter().for_each(|page| println!("{}", in_words(page)));
                }
                None => println!("refused: {errors} errors, {warnings} warnings"),
            }
        }
        Output::Json => println!("{}", json(&loaded.findings, loaded.good.is_some())),
    }
    Ok(if loaded.good.is_some() { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

/// A status page, and who may see it.
fn in_words(page: &StatusPageConfig) -> String {
    let who = match (page.public, page.token.is_empty()) {
        (true, _) => "everybody",
        (false, false) => "who has its token",
        (false, true) => "who is signed in",
    };
    let host = page.host.as_ref().map(|host| format!(" and https://{host}/")).unwrap_or_default();
    let items: usize = page.groups.iter().map(|group| group.items.len()).sum();
    let items = if items == 1 { "1 item".to_owned() } else { format!("{items} items") };
    format!("status page: /status/{}{host}, {items}, for {who}", page.name)
}

/// Who would be told of an alert, as amtool's `config routes test` says it.
fn routes(good: &Good, labels: &[String], output: Output) -> ExitCode {
    let mut pairs = Vec::new();
    for text in labels {
        match text.split_once('=').filter(|(name, _)| !name.is_empty()) {
            Some((name, value)) => pairs.push((name.trim(), value.trim_matches('"'))),
            None => {
                eprintln!("watchbell: `{text}` is not a label; write it as `severity=critical`");
                return ExitCode::from(WRONG);
            }
        }
    }
    let routes = crate::default::alerts(&good.config, &good.rules).routes_for(&Labels::from_pairs(pairs));
    match output {
        Output::Text => routes.iter().for_each(|(receiver, route)| println!("{receiver}  by {route}")),
        Output::Json => {
            let one = |(receiver, route): &(String, String)| serde_json::json!({"receiver": receiver, "route": route});
            println!("{}", serde_json::Value::from_iter(routes.iter().map(one)));
        }
    }
    ExitCode::SUCCESS
}
