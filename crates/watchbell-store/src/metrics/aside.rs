//! What was damaged and set aside: files in the folder `damaged`, each with a note beside it that says what it was.
//!
//! As long as such a file is there and not old, it is on the board of troubles, also after a restart: damage that was
//! said once, at night, is said until somebody has seen it. Removing the file is how a person says so.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use watchbell_model::{Severity, Timestamp};
use watchbell_runtime::{Clock, Disk, Runtime, Troubles};

/// For how long what was set aside is told of.
const TOLD_FOR: Duration = Duration::from_secs(14 * 86_400);
/// A note has the name of its file, and this.
const NOTE: &str = ".why";
/// An empty file whose name ends so stands for one that is not there any more.
const VANISHED: &str = ".vanished";
/// A note is not longer than this.
const NOTE_MAX: u64 = 4096;

/// The folder.
#[derive(Clone)]
pub(crate) struct Aside {
    disk: Disk,
    clock: Clock,
    dir: PathBuf,
}

/// What a note says.
struct Note {
    since: Timestamp,
    /// Of what was damaged, as people know it.
    name: String,
    words: String,
}

impl Note {
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.since, self.name, self.words)
    }

    fn read(text: &str) -> Option<Note> {
        let mut lines = text.splitn(3, '\n');
        let since = Timestamp::parse_rfc3339(lines.next()?)?;
        Some(Note { since, name: lines.next()?.to_owned(), words: lines.next()?.trim_end().to_owned() })
    }
}

impl Aside {
    pub(crate) fn new(runtime: &Runtime, dir: PathBuf) -> Aside {
        Aside { disk: runtime.disk.clone(), clock: runtime.clock.clone(), dir }
    }

    /// Moves a file here; one of the same name that is here already stays. `words`: what is wrong with it.
    pub(crate) fn take(&self, path: &Path, name: &str, words: &str) -> io::Result<PathBuf> {
        self.disk.create_dir_all(&self.dir)?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut aside = self.dir.join(&file);
        let mut more = 1;
        while self.disk.exists(&aside) {
            more += 1;
            aside = self.dir.join(format!("{file}.{more}"));
        }
        self.disk.rename(path, &aside)?;
        self.disk.sync_dir(&self.dir)?;
        self.note(&aside, name, words);
        Ok(aside)
    }

    /// Keeps a copy of damaged bytes here.
    pub(crate) fn copy(&self, file: &str, content: &[u8], name: &str, words: &str) -> io::Result<PathBuf> {
        self.disk.create_dir_all(&self.dir)?;
        let aside = self.dir.join(file);
        self.disk.write_atomic(&aside, content)?;
        self.note(&aside, name, words);
        Ok(aside)
    }

    /// Notes that a block is not there: an empty file lies here for it.
    pub(crate) fn note_vanished(&self, name: &str, words: &str) -> io::Result<()> {
        let file = name.trim_end_matches(".block").replace('/', "-");
        self.copy(&format!("{file}{VANISHED}"), &[], name, words).map(|_| ())
    }

    /// On a disk that takes no note the file is there all the same, and gets one later.
    fn note(&self, aside: &Path, name: &str, words: &str) -> Note {
        let note = Note { since: self.clock.now(), name: name.to_owned(), words: words.replace('\n', " ") };
        let _ = self.disk.write_atomic(&with_note(aside), note.text().as_bytes());
        note
    }

    /// The files that lie here.
    pub(crate) fn files(&self) -> io::Result<Vec<String>> {
        let mut files = self.disk.list(&self.dir)?;
        files.retain(|file| !file.ends_with(NOTE) && !file.starts_with('.'));
        Ok(files)
    }

    /// Puts on the board what lies here and is not old, and takes off what was told before and no longer does.
    pub(crate) fn tell(&self, board: &Troubles, told: &mut BTreeSet<String>) -> io::Result<()> {
        let (mut now_told, now) = (BTreeSet::new(), self.clock.now());
        for file in self.files()? {
            let path = self.dir.join(&file);
            let note = self.read_note(&path);
            let note = note.unwrap_or_else(|| self.note(&path, &file, "it was damaged and set aside"));
            if now.since(note.since) >= TOLD_FOR {
                continue;
            }
            let key = format!("metrics/damaged/{}", note.name);
            let (said, at) = (&note.words, path.display());
            let words = if file.ends_with(VANISHED) {
                format!("{said}; find out who did, and remove {at} once you know")
            } else {
                format!(
                    "{said}; it lies in {at}: see whether the disk or the memory of this machine fails, and remove that \
                     file once you know"
                )
            };
            board.set(&key, Severity::Warning, words);
            now_told.insert(key);
        }
        told.difference(&now_told).for_each(|key| board.clear(key));
        *told = now_told;
        for note in self.disk.list(&self.dir)? {
            if let Some(file) = note.strip_suffix(NOTE)
                && !self.disk.exists(&self.dir.join(file))
            {
                // On a disk that is read-only it stays, which does no harm.
                let _ = self.disk.remove(&self.dir.join(&note));
            }
        }
        Ok(())
    }

    fn read_note(&self, aside: &Path) -> Option<Note> {
        let path = with_note(aside);
        let len = self.disk.len(&path).ok()?;
        Note::read(&self.disk.read_text(&path).ok().filter(|_| len <= NOTE_MAX)?)
    }
}

fn with_note(aside: &Path) -> PathBuf {
    let file = aside.file_name().unwrap_or_default().to_string_lossy();
    aside.with_file_name(format!("{file}{NOTE}"))
}
