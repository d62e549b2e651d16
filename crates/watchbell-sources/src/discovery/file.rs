//! `file_sd_configs`: targets that other programs write into files.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path as FilePath, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Span};
use watchbell_runtime::Runtime;

use super::{Kept, TargetGroup, groups};

/// How often files are looked at, whatever the configuration says: a change is noticed within this time.
const POLL: Span = Span::seconds(3);
/// A file may be this long, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// How many files one discovery reads at most.
const FILES_MAX: usize = 1_000;

/// Targets listed in files, in JSON or YAML, read anew when they change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSd {
    /// The files, ending in `.json`, `.yml` or `.yaml`; `*` stands for any part of the last name: `targets/*.yml`.
    pub files: Vec<String>,
    /// How often they are read at the latest. A change is noticed within three seconds all the same.
    #[serde(default = "FileSd::default_refresh_interval")]
    pub refresh_interval: Span,
}

impl FileSd {
    fn default_refresh_interval() -> Span {
        Span::minutes(5)
    }

    /// Makes the files relative to the folder of the configuration.
    pub fn anchor(&mut self, base: &FilePath) {
        for file in &mut self.files {
            *file = base.join(&*file).to_string_lossy().into_owned();
        }
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if self.files.is_empty() {
            problems.error(&path.field("files"), "there is no file").hint("such as `targets/*.yml`");
        }
        for (at, file) in self.files.iter().enumerate() {
            let path = path.field("files").index(at);
            if !is_readable_name(file) {
                let hint = "the name ends in `.json`, `.yml` or `.yaml`, and `*` stands only in its last part";
                problems.error(&path, format!("`{file}` is not a file of targets")).hint(hint);
            }
        }
        super::check_refresh(self.refresh_interval, path, problems);
    }

    pub(super) fn poll_interval(&self) -> Span {
        self.refresh_interval.min(POLL)
    }

    /// Reads all files; one that cannot be read keeps what it gave last.
    pub(super) fn targets(&self, runtime: &Runtime, kept: &Kept) -> Result<Vec<TargetGroup>, String> {
        let mut files = Vec::new();
        for pattern in &self.files {
            files.extend(matching(runtime, pattern)?);
        }
        files.sort();
        files.dedup();
        if files.len() > FILES_MAX {
            return Err(format!("{} files are more than are read ({FILES_MAX})", files.len()));
        }
        let read = |file: PathBuf| {
            let groups = read(runtime, &file, kept).map_err(|error| format!("{}: {error}", file.display()));
            (file.to_string_lossy().into_owned(), groups)
        };
        kept.renew("file", files.into_iter().map(read).collect())
    }
}

/// Prometheus' rule: no slash after a `*`.
fn is_readable_name(name: &str) -> bool {
    let known = ["json", "yml", "yaml", "JSON", "YML", "YAML"];
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let after_star = stem.split_once('*').map_or("", |(_, after)| after);
    known.contains(&extension) && !after_star.contains('/')
}

/// Files that a pattern means. A name without `*` means itself, if it is there.
fn matching(runtime: &Runtime, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = FilePath::new(pattern);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return Ok(if runtime.disk.exists(path) { vec![path.to_owned()] } else { Vec::new() });
    }
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(FilePath::new("."));
    let names = runtime.disk.list(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(names.into_iter().filter(|have| matches(&name, have)).map(|name| folder.join(name)).collect())
}

/// `*` is any text, `?` any character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match &mut back {
                Some((star, from)) => {
                    *from += 1;
                    (p, n) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn read(runtime: &Runtime, file: &FilePath, kept: &Kept) -> Result<Vec<TargetGroup>, String> {
    let len = runtime.disk.len(file).map_err(|error| error.to_string())?;
    if len > FILE_BYTES_MAX {
        return Err(format!("it is longer than {FILE_BYTES_MAX} bytes"));
    }
    let name = file.to_string_lossy();
    let body = runtime.disk.read(file).map_err(|error| error.to_string())?;
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let content = hasher.finish();
    // It is looked at every few seconds, and seldom changes.
    if let Some(known) = kept.known(&name, content) {
        return Ok(known);
    }
    kept.read_from(&name, content);
    let meta = ("__meta_filepath", &*name);
    if file.extension().is_some_and(|it| it.eq_ignore_ascii_case("json")) {
        return groups::from_json(&body, &name, meta);
    }
    let text = String::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    groups::from_yaml(&text, &name, meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for good in ["a.json", "a/*.yml", "/x/b*.YAML", "/x/*a.yaml", "*.json"] {
            assert!(is_readable_name(good), "{good}");
        }
        for bad in ["a", "a.txt", "*/a.yml", "a.json.bak", "a*/b.json"] {
            assert!(!is_readable_name(bad), "{bad}");
        }
        for (pattern, name, fits) in [
            ("*.yml", "a.yml", true),
            ("a*b.yml", "axxb.yml", true),
            ("a*.yml", "b.yml", false),
            ("?.yml", "a.yml", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
