//! Results for a person: what failed, expected and found side by side, and only what differs marked.

use std::fmt::Write;
use std::io::IsTerminal;

use watchbell_alarms::unit_test::{Failure, Row};
use watchbell_runtime::Runtime;

use super::Report;
use crate::config::render_finding;

/// Columns wider than this are not made for the sake of one long line.
const COLUMN_MAX: usize = 60;

/// Whether and how to colour.
pub(super) struct Look {
    color: bool,
}

impl Look {
    pub(super) fn new(runtime: &Runtime, always: bool, never: bool) -> Look {
        let wanted = std::io::stdout().is_terminal() && runtime.environment.get("NO_COLOR").is_none();
        Look { color: always || (wanted && !never) }
    }

    /// Without any colour.
    pub(super) fn plain() -> Look {
        Look { color: false }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    fn bad(&self, text: &str) -> String {
        self.paint("31", text)
    }

    fn strong(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn pale(&self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// All files, then one line about them.
pub(super) fn reports(reports: &[Report], look: &Look) -> String {
    let mut text = String::new();
    for report in reports {
        let passed = report.tests.len() - report.failed();
        let words = match (report.is_broken(), report.failed()) {
            (true, _) => look.bad("cannot be run"),
            (false, 0) => look.good(&format!("{passed} passed")),
            (false, failed) => format!("{}, {passed} passed", look.bad(&format!("{failed} failed"))),
        };
        let _ = writeln!(text, "{}: {words}", look.strong(&report.file.display().to_string()));
        for finding in &report.findings {
            let _ = writeln!(text, "  {}", render_finding(finding).replace('\n', "\n  "));
        }
        if let Some(words) = &report.broken {
            let _ = writeln!(text, "  {words}");
        }
        for test in report.tests.iter().filter(|test| !test.failures.is_empty()) {
            let _ = writeln!(text, "\n  {} {}", look.bad("FAILED"), look.strong(&test.name));
            for it in &test.failures {
                failure(&mut text, it, look);
            }
        }
    }
    if reports.len() > 1 {
        let sum = |count: fn(&Report) -> usize| reports.iter().map(count).sum::<usize>();
        let (all, failed) = (sum(|report| report.tests.len()), sum(Report::failed));
        let broken = sum(|report| usize::from(report.is_broken()));
        let _ = write!(text, "\n{} files: {} passed, {failed} failed", reports.len(), all - failed);
        let _ = writeln!(text, "{}", if broken > 0 { format!(", {broken} cannot be run") } else { String::new() });
    }
    text
}

/// One thing that was wrong.
pub(super) fn failure(text: &mut String, failure: &Failure, look: &Look) {
    let at = failure.at.map(|at| format!("at {at}: ")).unwrap_or_default();
    let _ = writeln!(text, "    {at}{}", failure.about);
    if let Some(error) = &failure.error {
        let _ = writeln!(text, "      {}", look.bad(error));
    }
    if failure.rows.is_empty() {
        return;
    }
    let cell = |row: &Row| row.expected.as_ref().map_or(0, |text| text.chars().count());
    let left =
        failure.rows.iter().map(cell).filter(|width| *width <= COLUMN_MAX).max().unwrap_or(0).max("expected".len());
    let _ = writeln!(text, "        {}", look.pale(format!("{:<left$} │ got", "expected").trim_end()));
    for row in &failure.rows {
        let (mark, sides) = if row.same { (" ", ["2", "2"]) } else { ("≠", ["32", "31"]) };
        let nothing = |side: &Option<String>, other: &Option<String>| {
            if side.is_none() && other.is_some() { "–".to_owned() } else { side.clone().unwrap_or_default() }
        };
        let (expected, got) = (nothing(&row.expected, &row.got), nothing(&row.got, &row.expected));
        let pad = " ".repeat(left.saturating_sub(expected.chars().count()));
        let mark = if row.same { mark.to_owned() } else { look.bad(mark) };
        let (expected, got) = (expected.replace('\n', "⏎"), got.replace('\n', "⏎"));
        let _ =
            writeln!(text, "      {mark} {}{pad} │ {}", look.paint(sides[0], &expected), look.paint(sides[1], &got));
    }
}

/// For a program.
pub(super) fn json(reports: &[Report]) -> serde_json::Value {
    let row = |row: &Row| serde_json::json!({ "expected": row.expected, "got": row.got, "same": row.same });
    let failure = |it: &Failure| {
        serde_json::json!({
            "about": it.about, "at": it.at, "error": it.error, "rows": it.rows.iter().map(row).collect::<Vec<_>>(),
        })
    };
    let file = |report: &Report| {
        let tests: Vec<_> = report
            .tests
            .iter()
            .map(|test| {
                let failures: Vec<_> = test.failures.iter().map(failure).collect();
                serde_json::json!({ "name": test.name, "passed": failures.is_empty(), "failures": failures })
            })
            .collect();
        let mut problems: Vec<String> = report.findings.iter().map(render_finding).collect();
        problems.extend(report.broken.clone());
        serde_json::json!({
            "file": report.file.display().to_string(), "passed": !report.is_broken() && report.failed() == 0,
            "problems": problems, "tests": tests,
        })
    };
    let passed = reports.iter().all(|report| !report.is_broken() && report.failed() == 0);
    serde_json::json!({ "passed": passed, "files": reports.iter().map(file).collect::<Vec<_>>() })
}
