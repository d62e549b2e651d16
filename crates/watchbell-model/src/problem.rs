//! What is wrong with a configuration: every problem, not the first, each with its place and what would be right.

use std::fmt;

/// A step into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// A field of a mapping.
    Field(String),
    /// An item of a list, from zero.
    Index(usize),
}

/// Where in a document: `monitors[2].runbook`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<Segment>);

impl Path {
    /// The document itself.
    pub fn root() -> Path {
        Path::default()
    }

    /// A field under this place.
    pub fn field(&self, name: impl Into<String>) -> Path {
        let mut path = self.clone();
        path.0.push(Segment::Field(name.into()));
        path
    }

    /// An item under this place.
    pub fn index(&self, index: usize) -> Path {
        let mut path = self.clone();
        path.0.push(Segment::Index(index));
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) if at == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Whether a problem stops the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The configuration is refused.
    Error,
    /// It loads, but does not do what was probably meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the load.
    pub level: Level,
    /// Where.
    pub path: Path,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// All that is wrong, in the order it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// None yet.
    pub fn new() -> Problems {
        Problems::default()
    }

    /// Adds an error.
    pub fn error(&mut self, path: &Path, message: impl Into<String>) -> &mut Problem {
        self.push(Level::Error, path, message.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, path: &Path, message: impl Into<String>) -> &mut Problem {
        self.push(Level::Warning, path, message.into())
    }

    fn push(&mut self, level: Level, path: &Path, message: String) -> &mut Problem {
        self.0.push(Problem { level, path: path.clone(), message, hint: None });
        self.0.last_mut().expect("just pushed")
    }

    /// Whether any of them stops the load.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.level == Level::Error)
    }
}

impl Problem {
    /// Says what would be right.
    pub fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }
}
