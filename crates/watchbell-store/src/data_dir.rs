//! The data folder: claimed by one process at a time, on a local file system.

use std::io;
use std::path::{Path, PathBuf};

use watchbell_runtime::Disk;
use watchbell_runtime::disk::{self, DirLock};

/// A data folder that is ours until this is dropped or the process ends, however it ends.
pub struct DataDir {
    path: PathBuf,
    _lock: DirLock,
}

/// Why what is kept could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0}")]
    InUse(String),
    /// It lies on a network file system.
    #[error(
        "{path} lies on {kind}, where locks and memory maps do not hold: a second watchbell could open it too, and \
         durable state can be damaged; choose a local folder with --data, or set \
         `storage.allow_network_filesystem: true` and take that risk"
    )]
    NetworkFilesystem {
        /// The folder.
        path: PathBuf,
        /// What kind of file system, such as `NFS`.
        kind: &'static str,
    },
    /// A newer version wrote it.
    #[error("{path} has format {found}, this version reads up to {known}; start the newer version that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format we know.
        known: u32,
    },
    /// The operating system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried, such as `open`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// SQLite refused.
    #[error("cannot open {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: rusqlite::Error,
    },
}

impl OpenError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.to_owned();
        move |source| OpenError::Io { doing, path, source }
    }
}

impl DataDir {
    /// Makes the folder if need be and locks it against a second process.
    pub fn claim(path: &Path, allow_network_filesystem: bool) -> Result<DataDir, OpenError> {
        // It holds the key of signed links and of pings, and pages with what they say.
        Disk::Os.create_private_dir_all(path).map_err(OpenError::io("make", path))?;
        let kind = disk::network_filesystem(path).map_err(OpenError::io("examine", path))?;
        if let Some(kind) = kind.filter(|_| !allow_network_filesystem) {
            return Err(OpenError::NetworkFilesystem { path: path.to_owned(), kind });
        }
        match disk::lock(path) {
            Ok(lock) => Ok(DataDir { path: path.to_owned(), _lock: lock }),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(OpenError::InUse(error.to_string())),
            Err(error) => Err(OpenError::io("lock", path)(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
