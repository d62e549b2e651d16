//! How many pings a second are acknowledged, each on disk before its answer: a burst over many connections at once, spread
//! over many heartbeats; and one job alone, which has a commit for itself.
//!
//! Afterwards watchbell is killed and started again, and every ping that was acknowledged must be there.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::client::Client;
use super::metrics::Options;
use super::peers;
use super::process::{Folder, Process};
use super::table::Table;

/// Heartbeats that take turns.
const HEARTBEATS: usize = 200;
/// Connections at once, on so many threads.
const CONNECTIONS: usize = 256;
const THREADS: usize = 2;
/// Pings in a burst, and of a job alone.
const PINGS: usize = 100_000;
const ALONE: usize = 200;
/// Seconds for 10,000 pings: the budget of the design.
const BUDGET: f64 = 1.0;

/// Runs all of it; the table goes to the screen and to `output`.
pub fn run(options: &Options) -> Result<()> {
    let ours = match &options.watchbell {
        Some(path) => path.clone(),
        None => {
            crate::run("release build", &mut crate::cargo(&["build", "--release"]))?;
            crate::target().join("release/watchbell")
        }
    };
    let binary = peers::of(ours)?;
    let mut table = Table::new(vec![format!("watchbell {}", binary.version)]);
    let rounds = if options.quick { 1 } else { 5 };
    for _ in 0..rounds {
        let folder = Folder::new()?;
        let (process, address) = start(&binary.path, folder.path())?;
        let mut client = Client::connect(address)?;
        let mut waits = Vec::new();
        for _ in 0..ALONE {
            let begun = Instant::now();
            ensure!(client.request("GET", &path(0), "", b"")?.status == 200, "a ping is refused");
            waits.push(begun.elapsed().as_secs_f64());
        }
        waits.sort_by(f64::total_cmp);
        let before = process.cpu()?;
        let begun = Instant::now();
        let pings = if options.quick { PINGS / 10 } else { PINGS };
        let threads: Vec<_> =
            (0..THREADS).map(|thread| std::thread::spawn(move || burst(address, thread, pings / THREADS))).collect();
        let mut acknowledged = 0;
        for thread in threads {
            acknowledged += thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        let took = begun.elapsed().as_secs_f64();
        let cpu = process.cpu()? - before;
        let peak = process.peak()?;
        process.kill();
        let (process, address) = start(&binary.path, folder.path())?;
        let kept = counted(address)?;
        process.stop()?;
        ensure!(kept == acknowledged + ALONE, "{} pings were acknowledged, {kept} are there", acknowledged + ALONE);
        let per = 1e4 / acknowledged as f64;
        table.add(0, "10,000 pings over 256 connections: until all are acknowledged", "s", Some(BUDGET), took * per);
        table.add(0, "processor time per 10,000 of those", "s", None, cpu * per);
        table.add(0, "one job alone: until its ping is on disk, median", "ms", None, waits[ALONE / 2] * 1e3);
        table.add(0, "the same, worst of 200", "ms", None, waits[ALONE - 1] * 1e3);
        table.add(0, "most memory", "MB", None, peak);
    }
    let text = format!(
        "{}\nMedians of {rounds}. After each, killed and started again: nothing was missing.\n",
        table.markdown()
    );
    println!("{text}");
    if let Some(path) = &options.output {
        std::fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Where the heartbeat of this number takes its pings.
fn path(number: usize) -> String {
    format!("/ping/00000000-0000-4000-8000-{:012x}", number % HEARTBEATS)
}

/// Asks on every connection of a thread before it waits for any answer; how many were acknowledged.
fn burst(address: SocketAddr, thread: usize, pings: usize) -> Result<usize> {
    let mut clients = (0..CONNECTIONS / THREADS).map(|_| Client::connect(address)).collect::<Result<Vec<_>>>()?;
    let (mut sent, mut acknowledged) = (0, 0);
    while sent < pings {
        let round = clients.len().min(pings - sent);
        for (at, client) in clients[..round].iter_mut().enumerate() {
            client.send("GET", &path(thread * PINGS + sent + at), "", b"")?;
        }
        for client in &mut clients[..round] {
            acknowledged += usize::from(client.receive()?.status == 200);
        }
        sent += round;
    }
    ensure!(acknowledged == pings, "{} of {pings} pings were not acknowledged", pings - acknowledged);
    Ok(acknowledged)
}

/// How many pings all heartbeats have had.
fn counted(address: SocketAddr) -> Result<usize> {
    let mut client = Client::connect(address)?;
    let answer = client.request("GET", "/api/v3/checks/", &format!("X-Api-Key: {KEY}\r\n"), b"")?;
    let text = String::from_utf8_lossy(&answer.body);
    let numbers = text.split("\"n_pings\":").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse::<usize>().context("a number of pings")
    });
    numbers.sum()
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn start(binary: &Path, folder: &Path) -> Result<(Process, SocketAddr)> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = folder.join("config.yml");
    let heartbeats: String = (0..HEARTBEATS)
        .map(|number| {
            let uuid = path(number).split_off("/ping/".len());
            format!("  - {{name: job-{number}, uuid: {uuid}, period: 1d, runbook: 'https://example.org/job'}}\n")
        })
        .collect();
    let alone = "host: {enabled: false}\ndiscovery: {enabled: false}\npacks: []\n";
    std::fs::write(&config, format!("{alone}healthchecks: {{key: {KEY}}}\nheartbeats:\n{heartbeats}"))?;
    let mut command = Command::new(binary);
    command.arg("--config").arg(&config).arg("--data").arg(folder.join("data"));
    command.args(["--listen", &address.to_string()]);
    Ok((Process::start(command, folder, address, "/readyz")?, address))
}
