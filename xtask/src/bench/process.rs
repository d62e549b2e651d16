//! Processes that are measured: what they take, by `/proc`, and folders that go away with them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::client::Client;

/// How long a process may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that goes away with its owner.
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty one.
    pub fn new() -> std::io::Result<Folder> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("watchbell-bench-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process, ended by its id when its owner goes.
pub struct Process(pub Child);

impl Process {
    /// Starts a command in a folder, which gets its log, and waits until `path` is answered well at `address`.
    pub fn start(mut command: Command, folder: &Path, address: SocketAddr, path: &str) -> Result<Process> {
        let log = std::fs::File::create(folder.join("log"))?;
        let child = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let program = command.get_program().display();
        let mut process = Process(child.with_context(|| format!("{program} cannot be started"))?);
        let begun = Instant::now();
        while Client::connect(address).and_then(|mut client| client.get(path)).is_err() {
            if begun.elapsed() > PATIENCE || process.0.try_wait()?.is_some() {
                bail!("{program} is not ready: {}", std::fs::read_to_string(folder.join("log")).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(process)
    }

    /// Asks it to end and waits.
    pub fn stop(mut self) -> Result<()> {
        signal(self.0.id(), "TERM")?;
        self.0.wait()?;
        Ok(())
    }

    /// As `kill -9`.
    pub fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Processor time it took so far, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).context("it has ended")?;
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(ticks as f64 / 100.0)
    }

    /// Resident and private memory in MB.
    pub fn memory(&self) -> Result<(f64, f64)> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id()))?;
        let of = |name| megabytes(&rollup, name);
        Ok((of("Rss:"), of("Private_Clean:") + of("Private_Dirty:")))
    }

    /// The most memory that was ever resident, in MB.
    pub fn peak(&self) -> Result<f64> {
        Ok(megabytes(&std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?, "VmHWM:"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(pid: u32, name: &str) -> Result<()> {
    std::process::Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
    Ok(())
}

fn megabytes(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum::<f64>() * 1024.0 / 1e6
}

/// Bytes of all files under a folder.
pub fn bytes_under(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_under(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(of).sum()
}
