//! What watchbell costs when nothing happens: the figures of DESIGN's first budget.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::process::{Folder, Process};

const RUNS: usize = 5;
const IDLE: Duration = Duration::from_secs(60);

/// Starts the release build in an empty folder with no configuration, several times; prints medians.
pub fn idle() -> Result<()> {
    let clean = Instant::now();
    crate::run("release build", &mut crate::cargo(&["build", "--release"]))?;
    let built = clean.elapsed();
    let binary = crate::target().join("release/watchbell");
    let mut starts = Vec::new();
    for _ in 0..RUNS {
        let (started, child, folder) = start(&binary)?;
        starts.push(started.as_secs_f64());
        child.stop()?;
        drop(folder);
    }
    let (_, child, _folder) = start(&binary)?;
    let before = child.cpu()?;
    std::thread::sleep(IDLE);
    let spent = child.cpu()? - before;
    let (resident, private) = child.memory()?;
    child.stop()?;
    starts.sort_by(f64::total_cmp);
    println!("| what | figure |\n|---|---|");
    println!("| binary | {:.1} MB |", std::fs::metadata(&binary)?.len() as f64 / 1e6);
    println!("| build (only what changed) | {:.0} s |", built.as_secs_f64());
    println!("| start to ready, median of {RUNS} | {:.3} s |", starts[RUNS / 2]);
    println!("| resident after {} s idle | {:.1} MB ({:.1} MB private) |", IDLE.as_secs(), resident, private);
    println!("| CPU idle | {:.2} % of one core |", spent / IDLE.as_secs_f64() * 100.0);
    for (name, lines) in lines()? {
        println!("| lines of {name} | {lines} |");
    }
    Ok(())
}

fn start(binary: &Path) -> Result<(Duration, Process, Folder)> {
    let folder = Folder::new()?;
    let begun = Instant::now();
    let mut child = Command::new(binary)
        .args(["--listen", "127.0.0.1:0"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("the release build cannot be started")?;
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let ready = lines.find_map(|line| line.ok().filter(|line| line.trim_start().starts_with("next")));
    let took = begun.elapsed();
    if ready.is_none() {
        let _ = child.kill();
        bail!("it ended before it was ready");
    }
    Ok((took, Process(child), folder))
}

/// Lines of source and of tests per crate.
fn lines() -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    let mut crates: Vec<_> = std::fs::read_dir(crate::root().join("crates"))?.filter_map(Result::ok).collect();
    crates.sort_by_key(std::fs::DirEntry::file_name);
    for folder in crates {
        let (source, tests) = (count(&folder.path().join("src"))?, count(&folder.path().join("tests"))?);
        out.push((folder.file_name().to_string_lossy().into_owned(), format!("{source} + {tests} in tests/")));
    }
    out.push(("web".into(), count(&crate::root().join("web/src"))?.to_string()));
    Ok(out)
}

fn count(folder: &Path) -> Result<usize> {
    let mut total = 0;
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(0) };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            total += count(&path)?;
        } else if path.extension().is_some_and(|end| ["rs", "ts", "tsx", "css"].iter().any(|one| end == *one)) {
            total += std::fs::read_to_string(&path)?.lines().count();
        }
    }
    Ok(total)
}
