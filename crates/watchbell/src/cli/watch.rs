//! Notices that a configuration, rule file or run book has changed.
//!
//! Looks at sizes and times every two seconds: that works on every file system and across the renames and links by
//! which editors and container platforms put files in place.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use watchbell_runtime::{Disk, Runtime, Task};

use crate::app::App;

const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The files in force, as the last load named them.
pub(super) type Watched = Arc<Mutex<Vec<PathBuf>>>;

/// Reads the configuration again when one of its files has changed and then stayed the same for one look.
pub(super) fn task(runtime: &Runtime, app: &Arc<App>, watched: &Watched) -> Task {
    let (runtime, app, watched) = (runtime.clone(), Arc::clone(app), Arc::clone(watched));
    Task::new("config-files", 0, move |stop| {
        let (runtime, app, watched) = (runtime.clone(), Arc::clone(&app), Arc::clone(&watched));
        async move {
            let look = || {
                let files = watched.lock().expect("no panic while held").clone();
                files.iter().map(|file| print(&runtime.disk, file)).collect::<Vec<_>>()
            };
            let (mut loaded, mut last) = (look(), look());
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = runtime.clock.sleep(LOOK_INTERVAL) => {}
                }
                let now = look();
                if now != loaded && now == last {
                    // What is wrong with it is on every surface already.
                    let _refused = app.reload_now().await;
                    loaded = look();
                }
                last = now;
            }
        }
    })
}

/// What tells a file's content, or a folder's, from another.
fn print(disk: &Disk, path: &Path) -> Vec<(String, Option<(u64, i64)>)> {
    let one = |path: &Path| disk.meta(path).ok().map(|meta| (meta.len, meta.modified.as_millis()));
    if !disk.is_dir(path) {
        return vec![(path.display().to_string(), one(path))];
    }
    // Other files may lie there too, such as a log that grows.
    let ours = |name: &String| [".md", ".yml", ".yaml"].iter().any(|end| name.ends_with(end));
    let names = disk.list(path).unwrap_or_default().into_iter().filter(ours);
    names.map(|name| (name.clone(), one(&path.join(name)))).collect()
}
