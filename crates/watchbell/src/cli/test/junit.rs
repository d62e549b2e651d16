//! Results as build servers read them: JUnit's XML.

use std::fmt::Write;

use super::Report;
use super::show::{Look, failure};
use crate::config::render_finding;

/// One suite for each file.
pub(super) fn report(reports: &[Report]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for report in reports {
        let broken = usize::from(report.is_broken());
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{broken}\">",
            escape(&report.file.display().to_string()),
            report.tests.len(),
            report.failed(),
        );
        let problems: Vec<String> = report.findings.iter().map(render_finding).chain(report.broken.clone()).collect();
        if broken > 0 {
            let words = escape(&problems.join("\n"));
            let _ = writeln!(text, "    <testcase name=\"the file\">\n      <error>{words}</error>\n    </testcase>");
        }
        for test in &report.tests {
            let name = escape(&test.name);
            if test.failures.is_empty() {
                let _ = writeln!(text, "    <testcase name=\"{name}\"/>");
                continue;
            }
            let _ = writeln!(text, "    <testcase name=\"{name}\">");
            for it in &test.failures {
                let mut words = String::new();
                failure(&mut words, it, &Look::plain());
                let about = escape(&it.about);
                let _ = writeln!(text, "      <failure message=\"{about}\">\n{}      </failure>", escape(&words));
            }
            let _ = writeln!(text, "    </testcase>");
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// Text in XML; what XML cannot hold at all is left out.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
