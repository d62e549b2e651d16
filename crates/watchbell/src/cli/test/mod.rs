//! `watchbell test`: unit tests of rules, promtool's and our own timelines.

mod junit;
mod show;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use regex::Regex;
use watchbell_alarms::unit_test::Tested;
use watchbell_model::Level;
use watchbell_runtime::Runtime;

use super::{Output, WRONG};
use crate::config::{Finding, load_tests};

const EXAMPLES: &str = "Examples:
  watchbell test rules_test.yml                    run promtool's unit tests, or timelines
  watchbell test tests/*.yml --run 'disk|memory'   only tests whose names match
  watchbell test rules_test.yml --junit out.xml    and write a report for a build server

Exit code: 0 every test passes; 1 a test fails; 2 a file cannot be read or is wrong.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestArguments {
    /// Files of tests.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only tests whose name matches this regular expression; may be given several times.
    #[arg(long)]
    run: Vec<String>,
    /// Writes a JUnit report to this file as well.
    #[arg(long)]
    junit: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Whether what differs is coloured.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What came of one file.
struct Report {
    file: PathBuf,
    findings: Vec<Finding>,
    /// Nothing could be run, in words.
    broken: Option<String>,
    tests: Vec<Tested>,
}

impl Report {
    fn is_broken(&self) -> bool {
        self.broken.is_some() || self.findings.iter().any(|finding| finding.problem.level == Level::Error)
    }

    fn failed(&self) -> usize {
        self.tests.iter().filter(|test| !test.failures.is_empty()).count()
    }
}

pub(super) fn run(runtime: &Runtime, arguments: &TestArguments) -> Result<ExitCode> {
    let patterns: Vec<Regex> = arguments
        .run
        .iter()
        .map(|text| Regex::new(text).with_context(|| format!("`--run {text}` is no regular expression")))
        .collect::<Result<_>>()?;
    let wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(name));
    let reports: Vec<Report> = arguments.files.iter().map(|file| one(runtime, file, &wanted)).collect();
    let text = match arguments.output {
        Output::Text => {
            let look = show::Look::new(runtime, arguments.color == Color::Always, arguments.color == Color::Never);
            show::reports(&reports, &look)
        }
        Output::Json => format!("{}\n", show::json(&reports)),
    };
    // Whoever has read enough, such as `head`, ends it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if let Some(path) = &arguments.junit {
        let text = junit::report(&reports);
        runtime
            .disk
            .write_atomic(path, text.as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(if reports.iter().any(Report::is_broken) {
        ExitCode::from(WRONG)
    } else if reports.iter().any(|report| report.failed() > 0) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn one(runtime: &Runtime, file: &std::path::Path, wanted: &dyn Fn(&str) -> bool) -> Report {
    let (read, mut findings) = load_tests(runtime, file);
    // What is doubtful about rules is said by `watchbell check`.
    findings.retain(|it| it.problem.level == Level::Error || it.problem.path.to_string() == "rule_files");
    let mut report = Report { file: file.to_owned(), findings, broken: None, tests: Vec::new() };
    if let Some((tests, rules)) = read {
        match tests.run(&rules, wanted) {
            Ok(tested) => report.tests = tested,
            Err(words) => report.broken = Some(words),
        }
    }
    report
}
