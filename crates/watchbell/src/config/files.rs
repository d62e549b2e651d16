//! Reading files: several configuration files as one tree, rule files by pattern.

use std::path::{Path, PathBuf};

use serde_json::Value;
use watchbell_alarms::rule::RuleFile;
use watchbell_model::{Path as Place, Problem, Problems};
use watchbell_runtime::Runtime;

use super::report::Finding;
use super::yaml::{Kind, Node};
use super::{Config, decode, report, yaml};

/// The largest configuration or rule file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Files as they are read, and what was wrong with them as files.
#[derive(Default)]
pub(super) struct Files {
    pub(super) names: Vec<PathBuf>,
    /// Folders of patterns, in which more files may appear.
    pub(super) folders: Vec<PathBuf>,
    pub(super) findings: Vec<Finding>,
}

impl Files {
    fn fail(&mut self, file: &Path, at: (usize, usize), message: String, hint: Option<String>) {
        let problem = Problem { level: watchbell_model::Level::Error, path: Place::root(), message, hint };
        self.findings.push(Finding { file: file.to_owned(), line: at.0, column: at.1, problem });
    }

    /// One file as a tree; what is wrong with it is a finding.
    pub(super) fn read(&mut self, runtime: &Runtime, path: &Path) -> Option<Node> {
        let number = self.names.len();
        self.names.push(path.to_owned());
        let long = runtime.disk.len(path).is_ok_and(|length| length > FILE_BYTES_MAX);
        if long {
            self.fail(path, (0, 0), format!("it is longer than {FILE_BYTES_MAX} bytes"), None);
            return None;
        }
        let text = match runtime.disk.read_text(path) {
            Ok(text) => text,
            Err(error) => {
                let (words, hint) = match error.kind() {
                    std::io::ErrorKind::NotFound => ("there is no such file".into(), None),
                    std::io::ErrorKind::InvalidData => (error.to_string(), Some("save it as UTF-8".into())),
                    _ => (error.to_string(), None),
                };
                self.fail(path, (0, 0), words, hint);
                return None;
            }
        };
        match yaml::parse(&text, number) {
            Ok(node) => Some(node),
            Err(error) => {
                self.fail(path, (error.place.line, error.place.column), error.message, None);
                None
            }
        }
    }

    /// All files as one mapping: lists are joined, mappings merged by a level, everything else may be given once.
    pub(super) fn read_all(&mut self, runtime: &Runtime, paths: &[PathBuf]) -> Node {
        let mut root = Node { place: yaml::Place::default(), kind: Kind::Map(Vec::new()), secret: false };
        for path in paths {
            let Some(node) = self.read(runtime, path) else { continue };
            let Kind::Map(pairs) = node.kind else {
                let at = (node.place.line, node.place.column);
                self.fail(path, at, "a mapping was expected here, with fields such as `monitors`".into(), None);
                continue;
            };
            let Kind::Map(merged) = &mut root.kind else { unreachable!("made as a mapping") };
            for (key, value) in pairs {
                match merged.iter_mut().find(|(have, _)| have.name == key.name) {
                    None => merged.push((key, value)),
                    Some((_, have)) => match (&mut have.kind, value.kind) {
                        (Kind::List(items), Kind::List(more)) => items.extend(more),
                        (Kind::Map(fields), Kind::Map(more))
                            if !more.iter().any(|(new, _)| fields.iter().any(|(old, _)| old.name == new.name)) =>
                        {
                            fields.extend(more);
                        }
                        _ => {
                            let message = format!("`{}` is also given in another file", key.name);
                            self.fail(path, (key.place.line, key.place.column), message, None);
                        }
                    },
                }
            }
        }
        root
    }

    /// The rule files that the patterns name, checked.
    pub(super) fn rules(&mut self, runtime: &Runtime, patterns: &[String], base: &Path) -> Vec<(String, RuleFile)> {
        let schema = schemars::schema_for!(RuleFile).to_value();
        let mut rules = Vec::new();
        for pattern in patterns {
            if pattern.contains('*') {
                self.folders.extend(base.join(pattern).parent().map(Path::to_owned));
            }
            let paths = expand(runtime, &base.join(pattern));
            if paths.is_empty() {
                let place = Place::root().field("rule_files");
                let hint = Some("`*` stands for any part of a file's own name, not for folders".into());
                let message = format!("no file fits `{pattern}`, so that no rule of it is judged");
                let problem = Problem { level: watchbell_model::Level::Warning, path: place, message, hint };
                let file = self.names.first().cloned().unwrap_or_default();
                self.findings.push(Finding { file, line: 0, column: 0, problem });
            }
            for path in paths {
                let first = self.names.len();
                let Some(node) = self.read(runtime, &path) else { continue };
                let mut problems = Problems::new();
                let json = decode::decode(&node, &schema, &Place::root(), &mut problems);
                if !problems.has_errors() {
                    match serde_json::from_value::<RuleFile>(json) {
                        Ok(file) => {
                            file.check(&Place::root(), &mut problems);
                            rules.push((path.display().to_string(), file));
                        }
                        Err(error) => {
                            problems.error(&Place::root(), error.to_string());
                        }
                    }
                }
                let mut names = self.names.clone();
                names.truncate(first + 1);
                self.findings.extend(report::locate(problems, &node, &names));
            }
        }
        rules
    }
}

/// Rules that come with the binary.
///
/// # Panics
/// If they are not rules; a test reads them.
pub(super) fn rules_of(text: &str) -> RuleFile {
    let node = yaml::parse(text, 0).expect("packs are YAML");
    let schema = schemars::schema_for!(RuleFile).to_value();
    let mut problems = Problems::new();
    let json = decode::decode(&node, &schema, &Place::root(), &mut problems);
    let file: RuleFile = serde_json::from_value(json).expect("packs are rule files");
    file.check(&Place::root(), &mut problems);
    assert!(problems.0.is_empty(), "{problems:?}");
    file
}

/// Files that a pattern names: `*` stands for any part of the file's own name. A pattern without a star names itself.
pub(super) fn expand(runtime: &Runtime, pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !name.contains('*') {
        return vec![pattern.to_owned()];
    }
    let folder = pattern.parent().unwrap_or(Path::new(""));
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names = runtime.disk.list(here).unwrap_or_default();
    names.into_iter().filter(|file| fits(&name, file)).map(|file| folder.join(file)).collect()
}

fn fits(pattern: &str, name: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if name.starts_with('.')
        || name.len() < first.len() + last.len()
        || !name.starts_with(first)
        || !name.ends_with(last)
    {
        return false;
    }
    let mut rest = &name[first.len()..name.len() - last.len()];
    parts[1..parts.len() - 1].iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// One part of the configuration, read before or without the rest. What is wrong with it is found again, with its
/// place, when the whole is decoded.
pub(super) fn part<T: serde::de::DeserializeOwned>(root: &Node, name: &str, schema: &Value) -> Option<T> {
    let mut field = schema.pointer(&format!("/properties/{name}"))?.clone();
    field["$defs"] = schema["$defs"].clone();
    let json = decode::decode(root.get(name)?, &field, &Place::root(), &mut Problems::new());
    serde_json::from_value(json).ok()
}

/// Makes paths in the configuration relative to its own folder.
pub(super) fn anchor(config: &mut Config, base: &Path) {
    config.runbooks.dir = base.join(&config.runbooks.dir).display().to_string();
    for monitor in &mut config.monitors {
        monitor.anchor(base);
    }
    for scrape in &mut config.scrape_configs {
        scrape.anchor(base);
    }
    if let Some(remote) = &mut config.storage.metrics.remote {
        remote.anchor(base);
    }
    for write in &mut config.remote_write {
        write.anchor(base);
    }
    for read in &mut config.remote_read {
        read.anchor(base);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        for (pattern, name, yes) in [
            ("*.yml", "a.yml", true),
            ("*.yml", ".a.yml", false),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "ac", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(super::fits(pattern, name), yes, "{pattern} {name}");
        }
    }
}
