//! Problems for a person: file, line, column, field, what is wrong, what would be right.

use std::fmt::Write;
use std::path::PathBuf;

use watchbell_model::{Level, Path, Problem, Problems, Segment};

use super::yaml::{Kind, Node, Place};

/// A problem and the place in a file where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Line and column from one; zero when the file as a whole is meant.
    pub line: usize,
    /// See `line`.
    pub column: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// Gives each problem of a document its place.
pub(super) fn locate(problems: Problems, root: &Node, files: &[PathBuf]) -> Vec<Finding> {
    problems
        .0
        .into_iter()
        .map(|problem| {
            let place = place_of(root, &problem.path);
            let file = files.get(place.file).cloned().unwrap_or_default();
            Finding { file, line: place.line, column: place.column, problem }
        })
        .collect()
}

/// The place of a path, or of the nearest thing above it that is in the file. A field is where its name stands.
fn place_of(root: &Node, path: &Path) -> Place {
    let (mut node, mut place) = (root, root.place);
    for segment in &path.0 {
        match (segment, &node.kind) {
            (Segment::Field(name), Kind::Map(pairs)) => match pairs.iter().find(|(key, _)| &key.name == name) {
                Some((key, value)) => (node, place) = (value, key.place),
                None => break,
            },
            (Segment::Index(index), Kind::List(items)) => match items.get(*index) {
                Some(item) => (node, place) = (item, item.place),
                None => break,
            },
            _ => break,
        }
    }
    place
}

/// One finding per paragraph, as `watchbell check` prints them and the log and UI show them.
pub fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let _ = writeln!(text, "{}", one(finding));
    }
    text
}

/// A finding as text of one or two lines.
pub fn one(finding: &Finding) -> String {
    let level = match finding.problem.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let mut text = finding.file.display().to_string();
    if finding.line > 0 {
        let _ = write!(text, ":{}:{}", finding.line, finding.column);
    }
    let _ = write!(text, ": {level}: ");
    if !finding.problem.path.0.is_empty() {
        let _ = write!(text, "{}: ", finding.problem.path);
    }
    text.push_str(&finding.problem.message);
    if let Some(hint) = &finding.problem.hint {
        let _ = write!(text, "\n    {hint}");
    }
    text
}
