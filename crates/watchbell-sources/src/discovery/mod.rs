//! Discovery: where targets come from that no configuration lists one by one, as Prometheus' `*_sd_configs` say.
//!
//! A [`Discovery`] is asked again and again and gives all its targets at each time, or says why it cannot: whoever asks
//! keeps what it gave last. Where one discovery asks several places (files, names, services), a place that fails keeps
//! what it gave last, and the others go on. [`here`] is another thing: what listens on this host.
//!
//! Invariant: what is discovered is bounded ([`TARGETS_MAX`], [`LABELS_BYTES_MAX`]), whatever the other side says.

mod file;
mod groups;
pub mod here;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use watchbell_model::{Labels, Path, Problems, Span};
use watchbell_runtime::Runtime;

use crate::scrape::ScrapeConfig;

pub use file::FileSd;

/// How many targets one discovery gives at most.
pub const TARGETS_MAX: usize = 10_000;
/// How many bytes the labels of one discovery's targets take at most.
pub const LABELS_BYTES_MAX: usize = 64 << 20;

/// Targets that share labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// Tells it from the other groups of the same discovery: a file and the place in it, a name, a service.
    pub source: String,
    /// Labels of all its targets; a target's own win.
    pub labels: Labels,
    /// Labels of each target: `__address__` and what was learnt of it (`__meta_*`).
    pub targets: Vec<Labels>,
}

/// A place that targets come from, and what it gave last.
#[derive(Debug)]
pub struct Discovery {
    kind: Kind,
    kept: Kept,
}

/// Its configuration.
#[derive(Debug, Clone, Hash)]
enum Kind {
    File(FileSd),
}

/// What each part of a discovery gave last, by the part's name.
#[derive(Debug, Default)]
struct Kept(Mutex<BTreeMap<String, Vec<TargetGroup>>>);

impl Discovery {
    fn new(kind: Kind) -> Discovery {
        Discovery { kind, kept: Kept::default() }
    }

    /// What kind it is: `file`, `http`, `dns`.
    pub fn name(&self) -> &'static str {
        match &self.kind {
            Kind::File(_) => "file",
        }
    }

    /// A hash of its configuration, secrets included.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.kind.hash(&mut hasher);
        hasher.finish()
    }

    /// How long to wait before it is asked again.
    pub fn refresh_interval(&self) -> Span {
        match &self.kind {
            Kind::File(file) => file.poll_interval(),
        }
    }

    /// All its targets as they are now. The error says what was tried and why it failed; what was given last still
    /// stands then.
    pub async fn targets(&self, runtime: &Runtime) -> Result<Vec<TargetGroup>, String> {
        let groups = match &self.kind {
            Kind::File(file) => file.targets(runtime, &self.kept),
        }?;
        bounded(groups)
    }
}

impl From<FileSd> for Discovery {
    fn from(config: FileSd) -> Discovery {
        Discovery::new(Kind::File(config))
    }
}

/// Every discovery of a job.
pub fn of(job: &ScrapeConfig) -> Vec<Discovery> {
    job.file_sd_configs.iter().cloned().map(Discovery::from).collect()
}

/// Makes files that a job's discoveries name relative to the folder of the configuration.
pub fn anchor(job: &mut ScrapeConfig, base: &std::path::Path) {
    job.file_sd_configs.iter_mut().for_each(|it| it.anchor(base));
}

/// What is wrong with a job's discoveries.
pub fn check(job: &ScrapeConfig, path: &Path, problems: &mut Problems) {
    for (at, it) in job.file_sd_configs.iter().enumerate() {
        it.check(&path.field("file_sd_configs").index(at), problems);
    }
}

/// Refuses an interval that never ends.
fn check_refresh(interval: Span, path: &Path, problems: &mut Problems) {
    if interval.is_zero() {
        problems.error(&path.field("refresh_interval"), "the interval is zero").hint("such as `1m`, or leave it out");
    }
}

/// Refuses more than anybody scrapes.
fn bounded(groups: Vec<TargetGroup>) -> Result<Vec<TargetGroup>, String> {
    let count: usize = groups.iter().map(|group| group.targets.len()).sum();
    if count > TARGETS_MAX {
        return Err(format!(
            "it gives {count} targets, but {TARGETS_MAX} are the most that are taken of one discovery"
        ));
    }
    let size = |labels: &Labels| labels.as_key().len();
    let bytes: usize =
        groups.iter().map(|group| size(&group.labels) + group.targets.iter().map(size).sum::<usize>()).sum();
    if bytes > LABELS_BYTES_MAX {
        return Err(format!("the labels of its targets take {bytes} bytes, but {LABELS_BYTES_MAX} are the most"));
    }
    Ok(groups)
}

impl Kept {
    /// Puts the parts' answers together: one that failed gives what it gave last, one that is not there any more gives
    /// nothing. Only if all of them failed and nothing was ever given, that is an error.
    fn renew(
        &self,
        name: &str,
        parts: Vec<(String, Result<Vec<TargetGroup>, String>)>,
    ) -> Result<Vec<TargetGroup>, String> {
        let mut kept = self.0.lock().expect("no panic while held");
        let mut renewed = BTreeMap::new();
        let mut errors = Vec::new();
        for (part, answer) in parts {
            let groups = match answer {
                Ok(groups) => groups,
                Err(error) => {
                    tracing::warn!(discovery = name, part, "its last targets stand: {error}");
                    errors.push(error);
                    match kept.remove(&part) {
                        Some(groups) => groups,
                        None => continue,
                    }
                }
            };
            renewed.insert(part, groups);
        }
        *kept = renewed;
        match errors.is_empty() || !kept.is_empty() {
            true => Ok(kept.values().flatten().cloned().collect()),
            false => Err(errors.join("; ")),
        }
    }
}
