//! What a person does with the store of series by hand: look how full and how sound it is, delete, set a copy aside,
//! bring history along.

use serde::{Deserialize, Serialize};

use crate::{Labels, Matcher, Series, Timestamp};

/// Keeps the store of series in order, on demand. Everything here blocks for as long as it takes.
pub trait Upkeep: Send + Sync {
    /// How much there is, with the `top` greatest of each list. `history`: of everything on disk, which takes a look
    /// at every series; otherwise of active series only.
    fn figures(&self, top: usize, history: bool) -> Result<Figures, UpkeepError>;

    /// Looks for damage; `deep`: reads every sample.
    fn check(&self, deep: bool) -> Result<Checkup, UpkeepError>;

    /// Deletes the samples from `start` to `end`, both included, of series that pass one of the sets of matchers.
    /// They are gone for readers when it answers, and from the disk after [`Upkeep::clean`] or the next merge.
    /// `dry_run`: only says what would go.
    fn delete(
        &self,
        matchers: &[Vec<Matcher>],
        start: Timestamp,
        end: Timestamp,
        dry_run: bool,
    ) -> Result<Deleted, UpkeepError>;

    /// Takes what was deleted off the disk.
    fn clean(&self) -> Result<Cleaned, UpkeepError>;

    /// Puts a copy of everything into a folder of its own, from which a store can be opened. `name`: of the folder.
    fn snapshot(&self, name: &str) -> Result<Snapshot, UpkeepError>;

    /// Begins to take history in, however old, as long as the retention keeps it.
    fn import(&self) -> Result<Box<dyn Import + '_>, UpkeepError>;
}

/// History on its way into the store. What was not finished may be there in part; importing it again adds the rest.
pub trait Import: Send {
    /// Takes a piece of a series; pieces may come in any order and overlap. Samples the store has already are not
    /// added again.
    fn add(&mut self, series: Series) -> Result<(), UpkeepError>;

    /// What became of what was added so far; the last pieces may not be counted yet.
    fn so_far(&self) -> Imported;

    /// Makes all of it survive power loss and serve.
    fn finish(self: Box<Self>) -> Result<Imported, UpkeepError>;
}

/// Why the store could not be kept in order.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpkeepError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The disk or the store fails.
    #[error("the store cannot do this now: {0}")]
    Failed(String),
}

/// A name and how many there are of it.
pub type Counted = Vec<(String, u64)>;

/// How much there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Series: active ones, or all of history.
    pub series: u64,
    /// Of these, those that are active.
    pub active: u64,
    /// Different pairs of a label and its value.
    pub pairs: u64,
    /// What lies where.
    pub parts: Vec<Part>,
    /// Files of samples, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<StoredBlock>,
    /// Metrics by their series, the greatest first.
    pub metrics: Counted,
    /// Labels by how many values they have.
    pub labels: Counted,
    /// Labels by the bytes their values take.
    pub label_bytes: Counted,
    /// Pairs of a label and its value, as `name=value`, by their series.
    pub label_pairs: Counted,
}

/// A file of samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBlock {
    /// The file's name, without its ending.
    pub name: String,
    /// The first and the last time in it.
    pub range: (Timestamp, Timestamp),
    /// Series in it.
    pub series: u64,
    /// Samples in it.
    pub samples: u64,
    /// Bytes it takes.
    pub bytes: u64,
    /// Whether it was put together from others.
    pub merged: bool,
    /// The version of its format.
    pub version: u8,
}

/// A part of the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Such as `memory`, `log`, `blocks`.
    pub name: String,
    /// How many files or pieces it has.
    pub pieces: u64,
    /// Samples in it, where they are counted.
    pub samples: Option<u64>,
    /// Bytes it takes.
    pub bytes: u64,
    /// The first and the last time in it, where that is known.
    pub range: Option<(Timestamp, Timestamp)>,
}

/// What a check came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkup {
    /// What was looked at, with how much of it: `blocks`, `chunks`, `samples`.
    pub looked_at: Counted,
    /// What is damaged, in words; nothing else is wrong.
    pub damaged: Vec<String>,
    /// What was set aside earlier: files in the folder of damaged ones.
    pub set_aside: Vec<String>,
}

/// What was deleted, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Series with samples in the range.
    pub series: u64,
    /// Samples in the range.
    pub samples: u64,
    /// Some of the series, for a person to look at before the deletion.
    pub examples: Vec<Labels>,
}

/// What cleaning came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// Blocks written anew.
    pub blocks: u64,
    /// Bytes that are free now.
    pub bytes_freed: u64,
}

/// A copy that was set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The folder's name.
    pub name: String,
    /// Where it is.
    pub path: std::path::PathBuf,
    /// Bytes in it. Blocks are shared with the store for as long as that keeps them.
    pub bytes: u64,
}

/// What became of imported samples; histograms count as samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Added.
    pub added: u64,
    /// Were there already.
    pub known: u64,
    /// Refused: another value for that time is there.
    pub different: u64,
    /// Refused: older than the retention keeps.
    pub too_old: u64,
    /// Refused: further ahead of the clock than clocks go wrong.
    pub too_new: u64,
    /// Refused: a series or sample that makes no sense, such as one without a metric's name.
    pub invalid: u64,
    /// The first sample that was refused, in words.
    pub example: Option<String>,
}

impl Imported {
    /// How many samples were refused, for whatever reason.
    pub fn refused(&self) -> u64 {
        self.different + self.too_old + self.too_new + self.invalid
    }
}
