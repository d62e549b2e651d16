//! The kernel's files, wherever they are mounted.

use std::io;
use std::path::{Path, PathBuf};

use watchbell_runtime::Disk;

use super::config::PathsConfig;

/// Reads below `/proc`, `/sys` and the host's root.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) disk: Disk,
    pub(super) paths: PathsConfig,
}

impl Files {
    pub(super) fn proc_path(&self, path: &str) -> PathBuf {
        self.paths.procfs.join(path)
    }

    pub(super) fn sys_path(&self, path: &str) -> PathBuf {
        self.paths.sysfs.join(path)
    }

    /// A path of the host as we see it.
    pub(super) fn root_path(&self, path: &str) -> PathBuf {
        self.paths.rootfs.join(path.trim_start_matches('/'))
    }

    /// A file as text, odd bytes replaced.
    pub(super) fn text(&self, path: &Path) -> io::Result<String> {
        let bytes = self.disk.read(path)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|odd| String::from_utf8_lossy(odd.as_bytes()).into_owned()))
    }

    /// A file below `/proc`.
    pub(super) fn proc(&self, path: &str) -> io::Result<String> {
        self.text(&self.proc_path(path))
    }

    /// A file below `/sys`, without the white space around it.
    pub(super) fn sys(&self, path: &str) -> io::Result<String> {
        self.word(&self.sys_path(path))
    }

    /// A short file, without the white space around it.
    pub(super) fn word(&self, path: &Path) -> io::Result<String> {
        let text = self.text(path)?;
        let word = text.trim();
        Ok(if word.len() == text.len() { text } else { word.to_owned() })
    }

    /// A file that holds one number.
    pub(super) fn number(&self, path: &Path) -> io::Result<f64> {
        let text = self.text(path)?;
        whole(text.trim()).ok_or_else(|| odd(path.display()))
    }

    pub(super) fn proc_number(&self, path: &str) -> io::Result<f64> {
        self.number(&self.proc_path(path))
    }

    pub(super) fn sys_number(&self, path: &str) -> io::Result<f64> {
        self.number(&self.sys_path(path))
    }

    /// Names in a folder, sorted; an error if there is no such folder.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let names = self.disk.list(path)?;
        if names.is_empty() && !self.disk.exists(path) {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no {}", path.display())));
        }
        Ok(names)
    }

    pub(super) fn sys_list(&self, path: &str) -> io::Result<Vec<String>> {
        self.list(&self.sys_path(path))
    }
}

/// A whole number, in hexadecimal too, as the kernel writes both.
pub(super) fn whole(word: &str) -> Option<f64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|value| value as f64),
        None => word.parse().ok(),
    }
}

/// The number after `what`, which every well-formed line has.
pub(super) fn next<'a>(words: &mut impl Iterator<Item = &'a str>, what: &str) -> io::Result<f64> {
    words.next().and_then(whole).ok_or_else(|| odd(what))
}

/// As numeric order has it: `cpu2` before `cpu10`.
pub(super) fn by_number(names: &mut [String]) {
    names.sort_by_key(|name| {
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        (digits.parse::<u64>().unwrap_or(u64::MAX), name.clone())
    });
}

pub(super) fn odd(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} does not look as expected"))
}
