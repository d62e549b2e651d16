//! Reading files: several configuration files as one tree, rule files by pattern.

use std::path::{Path, PathBuf};

use serde_json::Value;
use watchbell_alarms::rule::{self, RuleFile};
use watchbell_alarms::unit_test::TestFile;
use watchbell_model::{Level, Path as Place, Problem, Problems, Segment};
use watchbell_notify::Templates;
use watchbell_query::promql::Features;
use watchbell_runtime::Runtime;

use super::report::Finding;
use super::yaml::{Kind, Node};
use super::{Config, decode, report, yaml};
use crate::forward::AlertmanagerConfig;

/// The largest configuration or rule file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Files as they are read, and what was wrong with them as files.
#[derive(Default)]
pub(super) struct Files {
    pub(super) names: Vec<PathBuf>,
    /// Folders of patterns, in which more files may appear.
    pub(super) folders: Vec<PathBuf>,
    /// What expressions of rules may use.
    pub(super) features: Features,
    pub(super) findings: Vec<Finding>,
}

impl Files {
    fn fail(&mut self, file: &Path, at: (usize, usize), message: String, hint: Option<String>) {
        let problem = Problem { level: Level::Error, path: Place::root(), message, hint };
        self.findings.push(Finding { file: file.to_owned(), line: at.0, column: at.1, problem });
    }

    /// One file as a tree; what is wrong with it is a finding.
    pub(super) fn read(&mut self, runtime: &Runtime, path: &Path) -> Option<Node> {
        let (node, second) = self.read_first(runtime, path)?;
        if let Some(place) = second {
            let message = "a second document begins here; write one per file".into();
            self.fail(path, (place.line, place.column), message, None);
            return None;
        }
        Some(node)
    }

    /// The first document of a file as a tree, and where a second one begins.
    fn read_first(&mut self, runtime: &Runtime, path: &Path) -> Option<(Node, Option<yaml::Place>)> {
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
        match yaml::first(&text, number) {
            Ok(read) => Some(read),
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

    /// The files that a pattern of this field names; where there is none, so that nothing of the kind is read, that is
    /// told, and the folder is watched.
    pub(super) fn named(
        &mut self,
        runtime: &Runtime,
        field: &str,
        kind: &str,
        pattern: &str,
        base: &Path,
    ) -> Vec<PathBuf> {
        if Path::new(pattern).parent().is_some_and(|folder| folder.to_string_lossy().contains('*')) {
            // As Prometheus, which watches folders and not trees of them.
            let path = Place::root().field(field);
            let hint = Some("write a pattern for each folder".into());
            let message =
                format!("in `{pattern}` a `*` stands for a folder, but it may stand for part of a file's name only");
            let problem = Problem { level: Level::Error, path, message, hint };
            let file = self.names.first().cloned().unwrap_or_default();
            self.findings.push(Finding { file, line: 0, column: 0, problem });
            return Vec::new();
        }
        let paths = expand(runtime, &base.join(pattern));
        if is_pattern(pattern) || paths.is_empty() {
            self.folders.extend(base.join(pattern).parent().map(Path::to_owned));
        }
        if paths.is_empty() {
            let path = Place::root().field(field);
            let hint = Some("a path is relative to this file; `*` stands for any part of one name in it".into());
            let message = format!("no file fits `{pattern}`, so that no {kind} of it counts");
            let problem = Problem { level: watchbell_model::Level::Warning, path, message, hint };
            let file = self.names.first().cloned().unwrap_or_default();
            self.findings.push(Finding { file, line: 0, column: 0, problem });
        }
        paths
    }

    /// The rule files that the patterns name, checked.
    pub(super) fn rules(&mut self, runtime: &Runtime, patterns: &[String], base: &Path) -> Vec<(String, RuleFile)> {
        let schema = schemars::schema_for!(RuleFile).to_value();
        let mut rules = Vec::new();
        for pattern in patterns {
            let paths = self.named(runtime, "rule_files", "rule", pattern, base);
            for path in paths {
                rules.extend(self.rule_file(runtime, &path, &schema).map(|file| (path.display().to_string(), file)));
            }
        }
        rules
    }

    /// One rule file, checked; nothing if its shape is wrong somewhere, but then the rest of it was checked too.
    fn rule_file(&mut self, runtime: &Runtime, path: &Path, schema: &Value) -> Option<RuleFile> {
        let first = self.names.len();
        let (node, second) = self.read_first(runtime, path)?;
        if let Some(place) = second {
            // As Prometheus, which reads the first and says so.
            let message = "only the first document of a rule file is read; a second one begins here".to_owned();
            let hint = Some("write one file for each".to_owned());
            let problem = Problem { level: Level::Warning, path: Place::root(), message, hint };
            self.findings.push(Finding { file: path.to_owned(), line: place.line, column: place.column, problem });
        }
        let mut problems = Problems::new();
        let mut json = decode::decode(&node, schema, &Place::root(), &mut problems);
        let broken: Vec<Place> =
            problems.0.iter().filter(|it| it.level == Level::Error).map(|it| it.path.clone()).collect();
        let mut hollow = Vec::new();
        for path in &broken {
            hollow.push(hollow_out(&mut json, path));
        }
        let mut read = None;
        match serde_json::from_value::<RuleFile>(json) {
            Ok(file) => {
                let mut found = Problems::new();
                file.check(self.features, &Place::root(), &mut found);
                let inside = |path: &Place| hollow.iter().any(|hollow| path.0.starts_with(&hollow.0));
                problems.0.extend(found.0.into_iter().filter(|problem| !inside(&problem.path)));
                read = broken.is_empty().then_some(file);
            }
            Err(error) if broken.is_empty() => {
                problems.error(&Place::root(), error.to_string());
            }
            Err(_) => {}
        }
        for problem in &mut problems.0 {
            if matches!(problem.path.0.last(), Some(Segment::Field(name)) if name == "x-watchbell") {
                problem.hint = Some(format!(
                    "Prometheus and promtool refuse fields they do not know; write annotations such as \
                     `{}no_data: keep`, which they read",
                    rule::OWN_ANNOTATIONS
                ));
            }
        }
        let mut names = self.names.clone();
        names.truncate(first + 1);
        self.findings.extend(report::locate(problems, &node, &names));
        read
    }

    /// Files of templates that patterns name; one that is wrong is a problem, and then there are none.
    pub(super) fn templates(
        &mut self,
        runtime: &Runtime,
        patterns: &[String],
        base: &Path,
        problems: &mut Problems,
    ) -> Templates {
        let mut texts = Vec::new();
        for (at, pattern) in patterns.iter().enumerate() {
            let place = Place::root().field("templates").index(at);
            let pattern = base.join(pattern);
            self.folders.extend(pattern.parent().map(Path::to_owned));
            for path in expand(runtime, &pattern) {
                self.names.push(path.clone());
                match runtime.disk.read_text(&path) {
                    Ok(text) => texts.push((path.display().to_string(), text)),
                    Err(error) => {
                        problems.error(&place, format!("{} cannot be read: {error}", path.display()));
                    }
                }
            }
        }
        Templates::new(texts).unwrap_or_else(|error| {
            problems
                .error(&Place::root().field("templates"), error.to_string())
                .hint("receivers cannot call what cannot be read");
            Templates::default()
        })
    }

    /// A file of unit tests, with the rule files it names, all of it checked.
    pub(super) fn tests(&mut self, runtime: &Runtime, path: &Path) -> Option<(TestFile, Vec<(String, RuleFile)>)> {
        let node = self.read(runtime, path)?;
        let schema = schemars::schema_for!(TestFile).to_value();
        let mut problems = Problems::new();
        let json = decode::decode(&node, &schema, &Place::root(), &mut problems);
        let mut file = None;
        if !problems.has_errors() {
            match serde_json::from_value::<TestFile>(json) {
                Ok(read) => {
                    read.check(&mut problems);
                    file = Some(read);
                }
                Err(error) => {
                    problems.error(&Place::root(), error.to_string());
                }
            }
        }
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        self.findings.extend(report::locate(problems, &node, &self.names.clone()));
        let file = file?;
        let rules = self.rules(runtime, &file.rule_files, &base);
        Some((file, rules))
    }
}

/// Takes out what is wrong so that the rest can be checked; answers where nothing is left to check: a rule, or a field of
/// a group.
fn hollow_out(json: &mut Value, path: &Place) -> Place {
    let mut at = path.clone();
    match path.0.as_slice() {
        [_, Segment::Index(group), Segment::Field(rules), Segment::Index(rule), ..] if rules == "rules" => {
            if let Some(value) = json.pointer_mut(&format!("/groups/{group}/rules/{rule}")) {
                *value = serde_json::json!({ "record": "x", "expr": "1" });
            }
            at.0.truncate(4);
        }
        [_, Segment::Index(group), rest @ ..] => {
            if let Some(value) = json.pointer_mut(&format!("/groups/{group}")) {
                let name = Value::from(path.to_string());
                match (value.as_object_mut(), rest.first()) {
                    (Some(fields), Some(Segment::Field(field))) if field != "name" => {
                        fields.remove(field);
                    }
                    (Some(fields), _) => {
                        fields.insert("name".to_owned(), name);
                    }
                    (None, _) => *value = serde_json::json!({ "name": name }),
                }
            }
            at.0.truncate(2);
            at = at.field(match rest.first() {
                Some(Segment::Field(field)) => field.as_str(),
                _ => "name",
            });
        }
        _ => {}
    }
    at
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
    file.check(Features::default(), &Place::root(), &mut problems);
    assert!(problems.0.is_empty(), "{problems:?}");
    file
}

/// Files that a pattern names, as Go's `filepath.Glob` reads it: in each part of the path, `*` stands for any text, `?` for
/// one character, `[a-c]` for one of some. A star does not stand for the dot that hides a file.
fn expand(runtime: &Runtime, pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str().to_string_lossy();
        found = if is_pattern(&name) {
            let inside = |folder: &PathBuf| {
                let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                let names = runtime.disk.list(here).unwrap_or_default();
                names.into_iter().filter(|file| fits(&name, file)).map(|file| folder.join(file)).collect::<Vec<_>>()
            };
            found.iter().flat_map(inside).collect()
        } else {
            found.into_iter().map(|folder| folder.join(part)).collect()
        };
    }
    found.retain(|path| runtime.disk.exists(path));
    found
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn fits(pattern: &str, name: &str) -> bool {
    fn rest(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', after @ ..], _) => (0..=name.len()).any(|skipped| rest(after, &name[skipped..])),
            (['?', after @ ..], [_, more @ ..]) => rest(after, more),
            (['[', after @ ..], [one, more @ ..]) => match after.iter().position(|it| *it == ']') {
                Some(end) => class(&after[..end], *one) && rest(&after[end + 1..], more),
                None => false,
            },
            (['\\', wanted, after @ ..] | [wanted, after @ ..], [one, more @ ..]) => wanted == one && rest(after, more),
            _ => false,
        }
    }
    fn class(class: &[char], one: char) -> bool {
        let (negated, mut class) = match class {
            ['^', class @ ..] => (true, class),
            class => (false, class),
        };
        let mut within = false;
        while let [low, after @ ..] = class {
            (within, class) = match after {
                ['-', high, after @ ..] => (within || (*low..=*high).contains(&one), after),
                after => (within || *low == one, after),
            };
        }
        within != negated
    }
    let chars = |text: &str| text.chars().collect::<Vec<char>>();
    (!name.starts_with('.') || pattern.starts_with('.')) && rest(&chars(pattern), &chars(name))
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
    for module in config.modules.values_mut() {
        module.anchor(base);
    }
    for scrape in &mut config.scrape_configs {
        scrape.anchor(base);
    }
    for heartbeat in &mut config.heartbeats {
        heartbeat.anchor(base);
    }
    if let Some(mail) = &mut config.ping_mail {
        mail.anchor(base);
    }
    if let Some(remote) = &mut config.storage.metrics.remote {
        remote.anchor(base);
    }
    for write in &mut config.remote_write {
        write.anchor(base);
    }
    for read in &mut config.remote_read {
        read.anchor_http_client(base);
    }
    let mut defaults = config.global.channel_defaults();
    defaults.anchor(base);
    for receiver in &mut config.receivers {
        receiver.complete(&defaults, base);
    }
    if let Some(http) = &mut config.sink.sns.http_config {
        http.anchor_http_client(base);
    }
    let alerting = &mut config.alerting;
    alerting.read = alerting.alertmanagers.iter().map(|said| AlertmanagerConfig::read(said, base)).collect();
    for deadman in &mut config.deadman {
        deadman.complete(&defaults, base);
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
            ("a?.yml", "ab.yml", true),
            ("a?.yml", "a.yml", false),
            ("[a-c]x[^y]", "bxz", true),
            ("[a-c]x[^y]", "bxy", false),
            ("[a-c]x[^y]", "dxz", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[", "[", false),
        ] {
            assert_eq!(super::fits(pattern, name), yes, "{pattern} {name}");
        }
    }
}
