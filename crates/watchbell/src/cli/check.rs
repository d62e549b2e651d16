//! `watchbell check`: every error and warning of a configuration.

use std::process::ExitCode;

use anyhow::Result;
use watchbell_model::Level;
use watchbell_runtime::Runtime;

use super::{Files, Output, WRONG};
use crate::config::{load, render_findings};

pub(super) async fn run(runtime: &Runtime, files: &Files, output: Output) -> Result<ExitCode> {
    let paths = files.paths(runtime);
    let loaded = load(runtime, &paths).await;
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
                }
                None => println!("refused: {errors} errors, {warnings} warnings"),
            }
        }
        Output::Json => {
            let findings: Vec<_> = loaded
                .findings
                .iter()
                .map(|it| {
                    serde_json::json!({
                        "level": if it.problem.level == Level::Error { "error" } else { "warning" },
                        "file": it.file.display().to_string(), "line": it.line, "column": it.column,
                        "field": it.problem.path.to_string(), "message": it.problem.message, "hint": it.problem.hint,
                    })
                })
                .collect();
            println!("{}", serde_json::json!({ "good": loaded.good.is_some(), "findings": findings }));
        }
    }
    Ok(if loaded.good.is_some() { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}
