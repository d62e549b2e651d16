//! Run books: Markdown files that must say what a page means, who is hit, what to check first and how to escalate.
//!
//! Headings are matched by meaning, through lists of the words people use. A heading with nothing under it is a part
//! that is missing. Leaves out what watchbell adds by itself (state, history, graphs) and whether external addresses
//! open: that is asked of the network elsewhere.

mod html;

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, RunbookRef, Url};
use watchbell_runtime::Disk;

/// The longest run book that is read, in bytes.
const SIZE_MAX: u64 = 256 << 10;
/// The most run books a folder may hold.
const BOOKS_MAX: usize = 5000;
/// The line that marks a stub nobody has filled in yet.
const STUB_MARK: &str = "<!-- watchbell: a stub; replace the lines in italics and delete this line -->";

/// What happens to something of ours that has no run book, or one that lacks a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// The configuration is refused.
    #[default]
    Refuse,
    /// It loads with a warning; its pages link to a generated page.
    Stub,
}

/// Something a run book must say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What it is called in messages and stubs, such as `what it means`.
    pub name: String,
    /// Words of headings that stand for it; a heading that contains one of them, in any case, is that part.
    pub headings: Vec<String>,
    /// Whether a run book without it is only warned about.
    #[serde(default)]
    pub optional: bool,
}

/// Where run books are and what they must hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunbooksConfig {
    /// The folder of `NAME.md` files, relative to the configuration file.
    #[serde(default = "RunbooksConfig::default_dir")]
    pub dir: String,
    /// What happens to an alarm, monitor or heartbeat without a complete run book.
    #[serde(default)]
    pub require: Require,
    /// The parts a run book must have; unless given: what it means, impact, what to check first, how to escalate, and
    /// (only warned about) a severity guide.
    #[serde(default = "RunbooksConfig::default_parts")]
    pub parts: Vec<Part>,
    /// Run books by the source of an alert, for alerts that name none: `kuma/imap: imap-down`. A source that ends in
    /// `*` stands for all that begin so; the longest wins.
    #[serde(default)]
    pub sources: BTreeMap<String, RunbookRef>,
}

impl Default for RunbooksConfig {
    fn default() -> RunbooksConfig {
        RunbooksConfig {
            dir: RunbooksConfig::default_dir(),
            require: Require::default(),
            parts: RunbooksConfig::default_parts(),
            sources: BTreeMap::new(),
        }
    }
}

impl RunbooksConfig {
    fn default_dir() -> String {
        "runbooks".into()
    }

    fn default_parts() -> Vec<Part> {
        let part = |name: &str, headings: &[&str], optional| Part {
            name: name.into(),
            headings: headings.iter().map(|it| (*it).to_owned()).collect(),
            optional,
        };
        vec![
            part(
                "what it means",
                &[
                    "mean",
                    "means",
                    "meaning",
                    "what happened",
                    "what is wrong",
                    "what fires",
                    "what this is",
                    "about",
                    "summary",
                    "overview",
                    "description",
                    "symptom",
                    "symptoms",
                    "background",
                    "fired by",
                ],
                false,
            ),
            part(
                "impact",
                &[
                    "impact",
                    "impacts",
                    "impacted",
                    "affected",
                    "affects",
                    "consequence",
                    "consequences",
                    "blast radius",
                    "who notices",
                    "what breaks",
                ],
                false,
            ),
            part(
                "what to check first",
                &[
                    "check",
                    "checks",
                    "first steps",
                    "first response",
                    "triage",
                    "diagnose",
                    "diagnosis",
                    "diagnostics",
                    "investigate",
                    "investigation",
                    "troubleshoot",
                    "troubleshooting",
                    "what to do",
                    "look at first",
                    "verify",
                    "false positive",
                    "false positives",
                ],
                false,
            ),
            part(
                "how to escalate",
                &[
                    "escalate",
                    "escalation",
                    "escalating",
                    "who to call",
                    "whom to call",
                    "contact",
                    "contacts",
                    "get help",
                    "getting help",
                    "if that does not help",
                ],
                false,
            ),
            part("severity guide", &["severity", "severities", "how bad", "urgency", "priority"], true),
        ]
    }

    /// Finds what is wrong with the section itself; [`Library::load`] finds what is wrong with the files.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if self.dir.trim().is_empty() {
            problems.error(&path.field("dir"), "this is not a folder").hint("leave it out for `runbooks`");
        }
        for (at, part) in self.parts.iter().enumerate() {
            if part.headings.iter().all(|it| normal(it).trim().is_empty()) {
                let message = format!("no heading can stand for the part `{}`", part.name);
                let at = path.field("parts").index(at).field("headings");
                problems.error(&at, message).hint("name at least one word of its heading, such as `escalate`");
            }
        }
    }
}

struct Book {
    title: String,
    markdown: String,
    missing: Vec<String>,
    missing_optional: Vec<String>,
}

/// All run books there are, and which source has which.
#[derive(Default)]
pub struct Library {
    books: BTreeMap<String, Book>,
    parts: Vec<Part>,
    sources: BTreeMap<String, RunbookRef>,
    require: Require,
}

impl Library {
    /// Reads the folder `config.dir` under `base`. A folder that is not there has no run books; files that cannot be
    /// read or lack parts are problems (`runbooks`), never a reason to stop.
    pub fn load(disk: &Disk, config: &RunbooksConfig, base: &FilePath) -> (Library, Problems) {
        let mut library = Library::embedded(config, &[]);
        let mut problems = Problems::new();
        let path = Path::root().field("runbooks");
        config.check(&path, &mut problems);
        let dir = base.join(&config.dir);
        let names = if disk.is_dir(&dir) { disk.list(&dir) } else { Ok(Vec::new()) };
        let mut names = names.unwrap_or_else(|error| {
            problems.error(&path.field("dir"), format!("the folder {} cannot be listed: {error}", dir.display()));
            Vec::new()
        });
        names.sort();
        for file in names.iter().filter(|name| name.ends_with(".md")) {
            let name = match file.parse::<RunbookRef>() {
                Ok(RunbookRef::Named(name)) => name,
                _ => {
                    let message = format!("{file} is not a name a run book can have");
                    problems.warning(&path.field("dir"), message).hint("use letters, digits, `-`, `_` and `.`");
                    continue;
                }
            };
            if library.books.len() >= BOOKS_MAX {
                problems.warning(&path.field("dir"), format!("only the first {BOOKS_MAX} run books are read"));
                break;
            }
            match read(disk, &dir.join(file)) {
                Ok(markdown) => library.add(&name, &markdown, &path, &mut problems),
                Err(reason) => {
                    problems.error(&path.field("dir"), format!("the run book {file} cannot be read: {reason}"));
                }
            }
        }
        (library, problems)
    }

    /// Run books that come with the program, as pairs of a name and its Markdown.
    pub fn embedded(config: &RunbooksConfig, books: &[(&str, &str)]) -> Library {
        let mut library = Library {
            books: BTreeMap::new(),
            parts: config.parts.clone(),
            sources: config.sources.clone(),
            require: config.require,
        };
        for (name, markdown) in books {
            library.add(name, markdown, &Path::root(), &mut Problems::new());
        }
        library
    }

    /// This library, and behind it another one for the names this one has not.
    pub fn with_fallback(mut self, below: Library) -> Library {
        for (name, book) in below.books {
            self.books.entry(name).or_insert(book);
        }
        for (source, runbook) in below.sources {
            self.sources.entry(source).or_insert(runbook);
        }
        self
    }

    fn add(&mut self, name: &str, markdown: &str, path: &Path, problems: &mut Problems) {
        let sections = sections(markdown);
        let lacks = |part: &&Part| !sections.iter().any(|(heading, filled)| *filled && stands_for(heading, part));
        let lacking: Vec<&Part> = self.parts.iter().filter(lacks).collect();
        let of = |optional: bool| {
            let some = lacking.iter().filter(|part| part.optional == optional);
            some.map(|part| part.name.clone()).collect::<Vec<String>>()
        };
        let (missing, missing_optional) = (of(false), of(true));
        if !missing_optional.is_empty() {
            let message = format!("the run book `{name}` has no {}", missing_optional.join(", no "));
            problems
                .warning(path, message)
                .hint(format!("add a heading such as `## {}`", capital(&missing_optional[0])));
        }
        if markdown.contains(STUB_MARK) {
            problems
                .warning(path, format!("the run book `{name}` is still a stub"))
                .hint("replace the lines in italics and delete its first comment");
        }
        let title =
            sections.first().map(|(heading, _)| heading.clone()).filter(|_| markdown.trim_start().starts_with('#'));
        let title = title.unwrap_or_else(|| name.replace(['-', '_'], " "));
        self.books.insert(name.to_owned(), Book { title, markdown: markdown.to_owned(), missing, missing_optional });
    }

    /// Whether there is a run book of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.books.contains_key(name)
    }

    /// All names with their titles, in order.
    pub fn list(&self) -> Vec<(String, String)> {
        self.books.iter().map(|(name, book)| (name.clone(), book.title.clone())).collect()
    }

    /// What people call it.
    pub fn title(&self, name: &str) -> Option<&str> {
        self.books.get(name).map(|book| book.title.as_str())
    }

    /// The Markdown as written.
    pub fn markdown(&self, name: &str) -> Option<&str> {
        self.books.get(name).map(|book| book.markdown.as_str())
    }

    /// Required parts it lacks; all of them if it does not exist, none for a page elsewhere.
    pub fn check(&self, runbook: &RunbookRef) -> Vec<String> {
        match runbook {
            RunbookRef::External(_) => Vec::new(),
            RunbookRef::Named(name) => match self.books.get(name) {
                Some(book) => book.missing.clone(),
                None => self.parts.iter().filter(|part| !part.optional).map(|part| part.name.clone()).collect(),
            },
        }
    }

    /// Optional parts it lacks.
    pub fn check_optional(&self, runbook: &RunbookRef) -> Vec<String> {
        match runbook {
            RunbookRef::Named(name) => self.books.get(name).map(|it| it.missing_optional.clone()).unwrap_or_default(),
            RunbookRef::External(_) => Vec::new(),
        }
    }

    /// Invariant `no_page_without_runbook`: says what is wrong with the run book of one of our own things, such as
    /// `monitor imap`, as an error or, with `require: stub`, a warning.
    pub fn demand(&self, runbook: Option<&RunbookRef>, what: &str, name: &str, path: &Path, problems: &mut Problems) {
        let (message, hint) = match runbook {
            None => (
                format!("{what} has no run book"),
                format!("`watchbell runbook new {name}` writes a stub; then add `runbook: {name}`"),
            ),
            Some(RunbookRef::External(_)) => return,
            Some(RunbookRef::Named(book)) if !self.contains(book) => (
                format!("{what} names the run book `{book}`, which is not there"),
                format!("`watchbell runbook new {book}` writes a stub"),
            ),
            Some(reference) => match self.check(reference) {
                missing if missing.is_empty() => return,
                missing => (
                    format!("the run book `{reference}` of {what} does not say: {}", missing.join(", ")),
                    format!("add headings such as `## {}` with text under them", capital(&missing[0])),
                ),
            },
        };
        match self.require {
            Require::Refuse => problems.error(path, message),
            Require::Stub => problems.warning(path, message),
        }
        .hint(hint);
    }

    /// The run book as a fragment of a page: raw HTML is shown as nothing, links lead only to the web, to mail
    /// addresses and to other run books, pictures are links.
    pub fn render_html(&self, name: &str) -> Option<String> {
        self.books.get(name).map(|book| html::render(&book.markdown))
    }

    /// A run book to fill in, with all parts.
    pub fn stub(&self, name: &str, title: &str) -> String {
        let title = if title.trim().is_empty() { name } else { title };
        let mut text = format!("# {title}\n\n{STUB_MARK}\n");
        for part in &self.parts {
            text.push_str(&format!("\n## {}\n\n_{}_\n", capital(&part.name), hint_of(&part.name)));
        }
        text
    }

    /// The address of a run book.
    pub fn link(&self, runbook: &RunbookRef, site_url: &Url) -> String {
        match runbook {
            RunbookRef::Named(name) => site_url.join(&format!("/runbooks/{name}")),
            RunbookRef::External(url) => url.as_str().to_owned(),
        }
    }

    /// The run book of a source, from the configuration's map.
    pub fn for_source(&self, source: &str) -> Option<RunbookRef> {
        if let Some(runbook) = self.sources.get(source) {
            return Some(runbook.clone());
        }
        let wild = self.sources.iter().filter_map(|(key, runbook)| Some((key.strip_suffix('*')?, runbook)));
        let fits = wild.filter(|(prefix, _)| source.starts_with(prefix));
        fits.max_by_key(|(prefix, _)| prefix.len()).map(|(_, runbook)| runbook.clone())
    }
}

fn read(disk: &Disk, path: &FilePath) -> Result<String, String> {
    let size = disk.len(path).map_err(|error| error.to_string())?;
    if size > SIZE_MAX {
        return Err(format!("it is longer than {} KiB", SIZE_MAX >> 10));
    }
    disk.read_text(path).map_err(|error| error.to_string())
}

/// Headings in order, and whether there is any text under each before the next one of its level or above.
fn sections(markdown: &str) -> Vec<(String, bool)> {
    let mut sections: Vec<(HeadingLevel, String, bool)> = Vec::new();
    let mut inside = false;
    for event in Parser::new(markdown) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                inside = true;
                sections.push((level, String::new(), false));
            }
            Event::End(TagEnd::Heading(_)) => inside = false,
            Event::Text(text) | Event::Code(text) if inside => {
                if let Some((_, heading, _)) = sections.last_mut() {
                    heading.push_str(&text);
                }
            }
            Event::Text(text) | Event::Code(text) if !text.trim().is_empty() => {
                // Text fills its heading and all headings that one stands under.
                let mut level = None;
                for (own, _, filled) in sections.iter_mut().rev() {
                    if level.is_none_or(|below| *own < below) {
                        *filled = true;
                        level = Some(*own);
                    }
                }
            }
            _ => {}
        }
    }
    sections.into_iter().map(|(_, heading, filled)| (heading.trim().to_owned(), filled)).collect()
}

/// Lower case, words separated by single spaces, a space at either end.
fn normal(text: &str) -> String {
    let mut out = String::from(" ");
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        out.push_str(word);
        out.push(' ');
    }
    out
}

fn stands_for(heading: &str, part: &Part) -> bool {
    let heading = normal(heading);
    std::iter::once(&part.name).chain(&part.headings).any(|words| {
        let words = normal(words);
        !words.trim().is_empty() && heading.contains(&words)
    })
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn hint_of(part: &str) -> &'static str {
    match part {
        "what it means" => "Say in one or two sentences what is true when this page arrives.",
        "impact" => "Say who notices, what they cannot do, and what goes on working.",
        "what to check first" => "Give the first three things to look at, as commands that can be copied.",
        "how to escalate" => "Say whom to call, when, and what to tell them.",
        "severity guide" => "Say when this can wait until the morning and when it cannot.",
        _ => "Say it here.",
    }
}
