//! Expected and found beside each other.

use watchbell_model::{Labels, Span};

/// What was wrong at one point of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What was asked: `alert DiskFull`, `expr up == 0`, `rule job:up:sum`.
    pub about: String,
    /// When, from the start of the test.
    pub at: Option<Span>,
    /// Why it could not be asked, if it could not.
    pub error: Option<String>,
    /// What was expected and what there was, line by line.
    pub rows: Vec<Row>,
}

/// A line of what was expected, and the line of what there was that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Nothing where there is more than was expected.
    pub expected: Option<String>,
    /// Nothing where something is missing.
    pub got: Option<String>,
    /// Whether they say the same.
    pub same: bool,
}

impl Failure {
    pub(super) fn error(about: &str, at: Option<Span>, words: String) -> Failure {
        Failure { about: about.to_owned(), at, error: Some(words), rows: Vec::new() }
    }
}

/// One thing that is said: an alert or a sample, as lines by their names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    /// What tells it from others, for pairs that belong together.
    key: String,
    lines: Vec<(String, String)>,
    value: Option<f64>,
}

impl Said {
    pub(super) fn alert(labels: &Labels, annotations: &Labels) -> Said {
        let mut lines: Vec<(String, String)> =
            labels.iter().map(|(name, value)| (format!("label {name}"), format!("{name}={value:?}"))).collect();
        lines.extend(annotations.iter().map(|(name, text)| (format!("note {name}"), format!("{name}: {text}"))));
        Said { key: labels.to_string(), lines, value: None }
    }

    pub(super) fn sample(labels: &Labels, value: String, number: Option<f64>) -> Said {
        let key = labels.to_string();
        Said { lines: vec![(key.clone(), format!("{key} {value}"))], key, value: number }
    }

    /// How many lines of two are the same.
    fn likeness(&self, other: &Said) -> usize {
        self.lines.iter().filter(|line| other.lines.contains(line)).count()
    }
}

/// Takes numbers that differ in their last bit for the expected ones.
pub(super) fn forgive(expected: &[Said], got: &mut [Said]) {
    for found in got {
        let near = expected.iter().find(|it| match (it.value, found.value) {
            (Some(a), Some(b)) => it.key == found.key && (a == b || a.next_down() == b || a.next_up() == b),
            _ => false,
        });
        if let Some(near) = near {
            *found = near.clone();
        }
    }
}

/// What differs between two lists whose order means nothing; nothing if they are the same.
pub(super) fn lists(about: &str, at: Span, mut expected: Vec<Said>, mut got: Vec<Said>) -> Option<Failure> {
    let order = |a: &Said, b: &Said| (&a.key, &a.lines).cmp(&(&b.key, &b.lines));
    expected.sort_by(order);
    got.sort_by(order);
    let rows = rows(expected, got);
    let wrong = rows.iter().any(|row| !row.same);
    wrong.then(|| Failure { about: about.to_owned(), at: Some(at), error: None, rows })
}

/// Pairs what belongs together, the same first, then what is most alike.
pub(super) fn rows(expected: Vec<Said>, mut got: Vec<Said>) -> Vec<Row> {
    let mut pairs: Vec<(Said, Option<Said>)> = Vec::new();
    for wanted in expected {
        let same = got.iter().position(|found| *found.lines == *wanted.lines);
        pairs.push((wanted, same.map(|at| got.remove(at))));
    }
    for (wanted, found) in pairs.iter_mut().filter(|(_, found)| found.is_none()) {
        let by_key = got.iter().position(|found| found.key == wanted.key);
        let likest = || {
            let alike = got.iter().enumerate().map(|(at, found)| (wanted.likeness(found), at));
            alike
                .filter(|(likeness, _)| *likeness > 0)
                .max_by_key(|(likeness, at)| (*likeness, std::cmp::Reverse(*at)))
                .map(|(_, at)| at)
        };
        *found = by_key.or_else(likest).map(|at| got.remove(at));
    }
    let mut rows = Vec::new();
    for (wanted, found) in pairs {
        beside(&mut rows, wanted.lines, found.map(|found| found.lines).unwrap_or_default());
    }
    for found in got {
        beside(&mut rows, Vec::new(), found.lines);
    }
    rows
}

/// Lines of the same name stand in one row.
fn beside(rows: &mut Vec<Row>, expected: Vec<(String, String)>, mut got: Vec<(String, String)>) {
    for (name, text) in expected {
        let found = got.iter().position(|(other, _)| *other == name).map(|at| got.remove(at).1);
        rows.push(Row { same: found.as_ref() == Some(&text), expected: Some(text), got: found });
    }
    rows.extend(got.into_iter().map(|(_, text)| Row { expected: None, got: Some(text), same: false }));
}
