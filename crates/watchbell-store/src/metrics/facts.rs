//! What is kept beside samples: examples and metadata. In memory, in the log until it is cut, then in files of their own.
//!
//! The files are written before the log is cut: a crash in between costs nothing, because what is in both is known.

use std::io;
use std::path::Path;

use watchbell_model::{Exemplar, Labels, Lookup, Metadata};
use watchbell_runtime::Disk;

use super::aside::Aside;
use super::exemplars::{self, Exemplars};
use super::metadata::{self, KnownMetrics};
use super::{Inner, side_file};

/// Their files, beside the log and the blocks.
pub(crate) const FILES: [&str; 2] = ["exemplars", "metadata"];

/// Both of them.
pub(crate) struct Facts {
    pub(crate) exemplars: Exemplars,
    pub(crate) metrics: KnownMetrics,
}

impl Facts {
    /// Reads the files; in words what is wrong with them.
    pub(crate) fn load(disk: &Disk, dir: &Path, aside: &Aside, limit: u64) -> io::Result<(Facts, Vec<String>)> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (paths, mut told) = (FILES.map(|file| dir.join(file)), Vec::new());
        let read = |content: &[u8]| Exemplars::decode(limit, content);
        let exemplars = side_file::load(disk, &paths[0], exemplars::MAGIC, aside, read)?.unwrap_or_else(|words| {
            told.push(words);
            None
        });
        let read = KnownMetrics::decode;
        let metrics = side_file::load(disk, &paths[1], metadata::MAGIC, aside, read)?.unwrap_or_else(|words| {
            told.push(words);
            None
        });
        let exemplars = exemplars.unwrap_or_else(|| Exemplars::new(limit));
        Ok((Facts { exemplars, metrics: metrics.unwrap_or_default() }, told))
    }
}

impl Inner {
    /// Writes what is new into the files: what the log has is no longer needed for it.
    pub(crate) fn save_facts(&self) -> io::Result<()> {
        let dir = self.mark_path.parent().unwrap_or(Path::new("."));
        let facts = || self.facts.lock().expect("no panic while held");
        // Written without the lock: queries and batches go on.
        let (exemplars, metrics) = {
            let mut facts = facts();
            (facts.exemplars.news(), facts.metrics.news())
        };
        let save = |at: usize, magic: [u8; 8], content: Option<Vec<u8>>| {
            content.map_or(Ok(()), |content| side_file::save(&self.runtime.disk, &dir.join(FILES[at]), magic, &content))
        };
        let saved = (save(0, exemplars::MAGIC, exemplars), save(1, metadata::MAGIC, metrics));
        if saved.0.is_err() {
            facts().exemplars.not_saved();
        }
        if saved.1.is_err() {
            facts().metrics.not_saved();
        }
        saved.0.and(saved.1)
    }

    pub(crate) fn find_exemplars(&self, lookup: &Lookup<'_>) -> Vec<(Labels, Vec<Exemplar>)> {
        self.facts.lock().expect("no panic while held").exemplars.find(lookup)
    }

    pub(crate) fn find_metadata(&self, metric: Option<&str>) -> Vec<(String, Vec<Metadata>)> {
        self.facts.lock().expect("no panic while held").metrics.find(metric)
    }
}
