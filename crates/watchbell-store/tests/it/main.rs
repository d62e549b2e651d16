//! What the store promises, seen from outside.

mod ahead;
mod blocks;
mod engine;
mod failing;
mod formats;
mod fuzz;
mod import;
mod kinds;
mod metrics;
mod reading;
mod remote;
mod rollups;
mod scrub;
mod sending;
mod several;
mod soak;
mod state;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use watchbell_runtime::Disk;

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("watchbell-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let _ = Disk::Os.remove_dir_all(&path);
        Disk::Os.create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = Disk::Os.remove_dir_all(&self.0);
    }
}
