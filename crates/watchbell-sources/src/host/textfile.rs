//! Metrics that scripts leave in files `*.prom`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use watchbell_model::MetricType;
use watchbell_wire::prometheus::{self, Format, Limits, Line, Parser};

use super::Round;
use super::files::Files;

/// How many files are read at most; further ones count as an error.
const FILES_MAX: usize = 1000;
/// The longest file that is read.
const BYTES_MAX: u64 = 16 << 20;

pub(super) fn collect(round: &mut Round<'_>) -> io::Result<()> {
    let mut failed = false;
    let mut times: Vec<(String, f64)> = Vec::new();
    let mut helps: HashMap<String, String> = HashMap::new();
    let mut left = FILES_MAX;
    for pattern in &round.settings.config.collectors.textfile.directory {
        for folder in folders(round.files, pattern) {
            let Ok(names) = round.files.list(&folder) else {
                tracing::warn!("the folder {} of the text file collector cannot be read", folder.display());
                failed = true;
                continue;
            };
            for name in names.iter().filter(|name| name.ends_with(".prom")) {
                let path = folder.join(name);
                let read = if left == 0 { Err(format!("there are more than {FILES_MAX} files")) } else { Ok(()) };
                left = left.saturating_sub(1);
                match read.and_then(|()| one(round, &path, &mut helps)) {
                    Ok((modified, agrees)) => {
                        failed |= !agrees;
                        times.push((path.to_string_lossy().into_owned(), modified));
                    }
                    Err(error) => {
                        tracing::warn!("the text file {} is left out: {error}", path.display());
                        failed = true;
                    }
                }
            }
        }
    }
    times.sort_by(|a, b| a.0.cmp(&b.0));
    for (file, modified) in times {
        let help = "When the text file was changed, in Unix time.";
        round.out.gauge("node_textfile_mtime_seconds", help, &[("file", &file)], modified);
    }
    let help = "Whether a text file could not be read.";
    round.out.gauge("node_textfile_scrape_error", help, &[], f64::from(u8::from(failed)));
    Ok(())
}

/// One file, whole or not at all: when it was changed, and whether its help texts agree with those of others.
fn one(round: &mut Round<'_>, path: &Path, helps: &mut HashMap<String, String>) -> Result<(f64, bool), String> {
    let meta = round.files.disk.meta(path).map_err(|error| error.to_string())?;
    if meta.len > BYTES_MAX {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    let text = round.files.disk.read(path).map_err(|error| error.to_string())?;
    let (mut kinds, mut samples, mut said) = (HashMap::new(), Vec::new(), Vec::new());
    let limits = Limits::default();
    let mut parser = Parser::new(&text, Format::Text, limits).map_err(|error| error.to_string())?;
    while let Some(line) = parser.next() {
        match line.map_err(|error| error.to_string())? {
            Line::Sample(sample) if sample.timestamp().is_some() => {
                return Err(format!("line {}: a sample has a time of its own", parser.line()));
            }
            Line::Sample(sample) => {
                prometheus::labels(sample.series, Format::Text, &limits)
                    .map_err(|error| format!("line {}: {error}", parser.line()))?;
                samples.push((sample.series, sample.value));
            }
            Line::Type { metric, kind } => {
                kinds.insert(metric.clone(), MetricType::parse(kind.as_str()).unwrap_or_default());
                said.push((metric, None));
            }
            Line::Help { metric, text } => said.push((metric, Some(text))),
            Line::Unit { .. } => {}
        }
    }
    let mut agrees = true;
    for (metric, help) in &said {
        let Some(help) = help else { continue };
        let first = helps.entry(metric.to_string()).or_insert_with(|| help.to_string());
        agrees &= *first == **help;
    }
    for (metric, _) in said {
        let kind = kinds.get(&metric).copied().unwrap_or_default();
        let help = helps.get(&*metric).cloned();
        round.out.describe(&metric, kind, help.unwrap_or_else(|| format!("Metric read from {}", path.display())));
    }
    for (series, value) in samples {
        round.out.raw(series, value);
    }
    Ok(((meta.modified.as_millis().div_euclid(1000)) as f64, agrees))
}

/// The folders that a pattern means; itself, where it means none.
fn folders(files: &Files, pattern: &str) -> Vec<PathBuf> {
    if !pattern.contains(['*', '?']) {
        return vec![PathBuf::from(pattern)];
    }
    let mut found = vec![PathBuf::from(if pattern.starts_with('/') { "/" } else { "." })];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = found
            .into_iter()
            .flat_map(|folder| match part.contains(['*', '?']) {
                false => vec![folder.join(part)],
                true => {
                    let names = files.list(&folder).unwrap_or_default();
                    names.into_iter().filter(|name| is_like(part, name)).map(|name| folder.join(name)).collect()
                }
            })
            .take(FILES_MAX)
            .collect();
    }
    found.retain(|folder| files.disk.is_dir(folder));
    if found.is_empty() { vec![PathBuf::from(pattern)] } else { found }
}

/// `*` is anything, `?` one character.
fn is_like(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where the last star was, and how far the name had come by then.
    let (mut at, mut of, mut star) = (0, 0, None);
    while of < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[of] => (at, of) = (at + 1, of + 1),
            _ => match star {
                Some((place, come)) => {
                    star = Some((place, come + 1));
                    (at, of) = (place + 1, come + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}
