//! Files: the machine's or simulated ones that can be torn, lost and full.
//!
//! Blocking, because what uses it runs on its own thread or does little.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use watchbell_model::Timestamp;

use crate::sim::SimDisk;

/// The files.
#[derive(Clone)]
pub enum Disk {
    /// The machine's.
    Os,
    /// Simulated ones.
    Sim(Arc<SimDisk>),
}

/// A file's whole content, mapped or held.
pub type Mapped = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A file's size and last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// In bytes.
    pub len: u64,
    /// When its content last changed.
    pub modified: Timestamp,
}

#[expect(clippy::disallowed_methods, reason = "this is the door the others point at")]
impl Disk {
    /// A whole file.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self {
            Disk::Os => std::fs::read(path),
            Disk::Sim(disk) => disk.read(path),
        }
    }

    /// A whole file as text.
    pub fn read_text(&self, path: &Path) -> io::Result<String> {
        String::from_utf8(self.read(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
    }

    /// Puts a file in place whole or not at all, also across power loss: written beside, synced, renamed, folder synced.
    pub fn write_atomic(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let beside = beside(path);
        let written = self.create(&beside).and_then(|mut file| {
            file.write_all(content)?;
            file.sync()?;
            drop(file);
            self.rename(&beside, path)
        });
        if written.is_err() {
            // Half a file would keep the last room of a full disk to itself.
            let _ = self.remove(&beside);
        }
        written?;
        self.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }

    /// Makes a folder and those above it.
    pub fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Os => std::fs::create_dir_all(path),
            Disk::Sim(_) => Ok(()),
        }
    }

    /// Makes a folder and those above it, which nobody else on this machine may open. One that is there stays as it is.
    pub fn create_private_dir_all(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Os => {
                std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700).create(path)
            }
            Disk::Sim(_) => Ok(()),
        }
    }

    /// Names in a folder, sorted; empty if there is no such folder.
    pub fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = match self {
            Disk::Os => match std::fs::read_dir(path) {
                Ok(entries) => entries
                    .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                    .collect::<io::Result<Vec<_>>>()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error),
            },
            Disk::Sim(disk) => disk.list(path),
        };
        names.sort();
        Ok(names)
    }

    /// Names of the folders in a folder, sorted; empty if there is no such folder.
    pub fn folders(&self, path: &Path) -> io::Result<Vec<String>> {
        match self {
            Disk::Os => {
                let entries = match std::fs::read_dir(path) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                    Err(error) => return Err(error),
                };
                let mut names = Vec::new();
                for entry in entries {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        names.push(entry.file_name().to_string_lossy().into_owned());
                    }
                }
                names.sort();
                Ok(names)
            }
            Disk::Sim(disk) => {
                let names = disk.list(path);
                Ok(names.into_iter().filter(|name| !disk.list(&path.join(name)).is_empty()).collect())
            }
        }
    }

    /// A path without symbolic links in it.
    pub fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        match self {
            Disk::Os => std::fs::canonicalize(path),
            Disk::Sim(disk) => disk.canonical(path),
        }
    }

    /// Where a symbolic link points to.
    pub fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        match self {
            Disk::Os => std::fs::read_link(path),
            Disk::Sim(disk) => disk.read_link(path),
        }
    }

    /// Runs work that reads many files without holding up the runtime; in a simulated world here and now.
    pub async fn blocking<T: Send + 'static>(&self, run: impl FnOnce() -> T + Send + 'static) -> T {
        match self {
            Disk::Os => crate::thread::blocking(run).await,
            Disk::Sim(_) => run(),
        }
    }

    /// Takes a file away.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Os => std::fs::remove_file(path),
            Disk::Sim(disk) => disk.remove(path),
        }
    }

    /// Takes a folder and all in it away.
    pub fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Os => std::fs::remove_dir_all(path),
            Disk::Sim(disk) => disk.remove_under(path),
        }
    }

    /// Gives a file or folder another name, in place of what had it.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self {
            Disk::Os => std::fs::rename(from, to),
            Disk::Sim(disk) => disk.rename(from, to),
        }
    }

    /// Gives a file a second name, which is its own: the content stays for as long as one of them does.
    pub fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self {
            Disk::Os => std::fs::hard_link(from, to),
            Disk::Sim(disk) => disk.hard_link(from, to),
        }
    }

    /// Whether there is such a file or folder.
    pub fn exists(&self, path: &Path) -> bool {
        match self {
            Disk::Os => path.exists(),
            Disk::Sim(disk) => disk.exists(path),
        }
    }

    /// Whether it is a folder.
    pub fn is_dir(&self, path: &Path) -> bool {
        match self {
            Disk::Os => path.is_dir(),
            Disk::Sim(disk) => !disk.list(path).is_empty(),
        }
    }

    /// A file's size and last change.
    pub fn meta(&self, path: &Path) -> io::Result<Meta> {
        match self {
            Disk::Os => {
                let meta = std::fs::metadata(path)?;
                let since = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Ok(Meta { len: meta.len(), modified: Timestamp(since.as_millis() as i64) })
            }
            Disk::Sim(disk) => Ok(Meta { len: disk.len(path)?, modified: Timestamp(0) }),
        }
    }

    /// A file's size in bytes.
    pub fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(self.meta(path)?.len)
    }

    /// How many bytes are left for us on the file system that holds a path.
    pub fn available(&self, path: &Path) -> io::Result<u64> {
        match self {
            Disk::Os => Ok(space(path)?.available),
            Disk::Sim(disk) => Ok(disk.available()),
        }
    }

    /// Makes the names in a folder survive power loss.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match self {
            Disk::Os => {
                std::fs::File::open(if path.as_os_str().is_empty() { Path::new(".") } else { path })?.sync_all()
            }
            Disk::Sim(disk) => disk.sync_dir(path),
        }
    }

    /// A new, empty file.
    pub fn create(&self, path: &Path) -> io::Result<DiskFile> {
        match self {
            Disk::Os => Ok(DiskFile(Kind::Os(std::fs::File::create(path)?, 0))),
            Disk::Sim(disk) => {
                disk.create(path)?;
                Ok(DiskFile(Kind::Sim(Arc::clone(disk), path.to_owned())))
            }
        }
    }

    /// A file to add to, made if need be.
    pub fn open_append(&self, path: &Path) -> io::Result<DiskFile> {
        match self {
            Disk::Os => {
                let file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
                let len = file.metadata()?.len();
                Ok(DiskFile(Kind::Os(file, len)))
            }
            Disk::Sim(disk) => {
                if !disk.exists(path) {
                    disk.create(path)?;
                }
                Ok(DiskFile(Kind::Sim(Arc::clone(disk), path.to_owned())))
            }
        }
    }

    /// A file's content without reading it: mapped into memory. The file must not change while it is held: for files
    /// that were put in place whole and are only ever removed.
    pub fn map(&self, path: &Path) -> io::Result<Mapped> {
        match self {
            Disk::Os => {
                let file = std::fs::File::open(path)?;
                if file.metadata()?.len() == 0 {
                    return Ok(Arc::new(Vec::new()));
                }
                #[expect(unsafe_code, reason = "immutable files of our own folder; checksums guard what is read")]
                let map = unsafe { memmap2::Mmap::map(&file)? };
                Ok(Arc::new(map))
            }
            Disk::Sim(disk) => Ok(Arc::new(disk.read(path)?)),
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

/// A file that grows.
pub struct DiskFile(Kind);

enum Kind {
    Os(std::fs::File, u64),
    Sim(Arc<SimDisk>, PathBuf),
}

impl DiskFile {
    /// Adds bytes; when it answers they survive `kill -9`, not power loss.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Kind::Os(file, len) => {
                io::Write::write_all(file, bytes)?;
                *len += bytes.len() as u64;
                Ok(())
            }
            Kind::Sim(disk, path) => disk.append(path, bytes),
        }
    }

    /// Makes what was written survive power loss. After an error the file must not be trusted again.
    pub fn sync(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Os(file, _) => file.sync_data(),
            Kind::Sim(disk, path) => disk.sync(path),
        }
    }

    /// Its size in bytes.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Os(_, len) => *len,
            Kind::Sim(disk, path) => disk.len(path).unwrap_or(0),
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts it to this size.
    pub fn truncate(&mut self, size: u64) -> io::Result<()> {
        match &mut self.0 {
            Kind::Os(file, len) => {
                file.set_len(size)?;
                *len = size;
                Ok(())
            }
            Kind::Sim(disk, path) => disk.truncate(path, size),
        }
    }
}

/// The lock of a data folder; let go when dropped or when the process ends, however it ends.
pub struct DirLock {
    _file: std::fs::File,
}

/// Locks a data folder against a second process, by `flock` on the file `lock` in it, which holds our process id.
#[expect(clippy::disallowed_methods, reason = "this is the door the others point at")]
pub fn lock(dir: &Path) -> io::Result<DirLock> {
    let path = dir.join("lock");
    let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
    if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        let owner = std::fs::read_to_string(&path).unwrap_or_default();
        let owner = owner.trim();
        let who = if owner.is_empty() { "another process".to_owned() } else { format!("process {owner}") };
        let words = format!("{} is in use by {who}; stop it, or choose another folder with --data", dir.display());
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, words));
    }
    file.set_len(0)?;
    io::Write::write_all(&mut &file, format!("{}\n", std::process::id()).as_bytes())?;
    Ok(DirLock { _file: file })
}

/// A file system's room, in bytes and inodes, as `statvfs` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All bytes.
    pub size: u64,
    /// Free bytes, the superuser's reserve included.
    pub free: u64,
    /// Bytes free to everybody.
    pub available: u64,
    /// All inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// The room on the file system that holds a path.
pub fn space(path: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(Space {
        size: stat.f_blocks.saturating_mul(stat.f_frsize),
        free: stat.f_bfree.saturating_mul(stat.f_frsize),
        available: stat.f_bavail.saturating_mul(stat.f_frsize),
        files: stat.f_files,
        files_free: stat.f_ffree,
        read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

/// The name of a network file system that holds a path (`NFS`, `SMB`, …), `None` for a local one.
pub fn network_filesystem(path: &Path) -> io::Result<Option<&'static str>> {
    // Magic numbers of statfs(2).
    Ok(match rustix::fs::statfs(path)?.f_type as u32 {
        0x6969 => Some("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("SMB"),
        0x00c3_6400 => Some("Ceph"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x0116_1970 => Some("GFS2"),
        0x5346_414f => Some("AFS"),
        _ => None,
    })
}
