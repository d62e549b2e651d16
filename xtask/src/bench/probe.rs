//! What a probe costs, beside blackbox_exporter: both are asked at `/probe` for the same targets on this machine; and
//! ten thousand monitors at once, of which some never get an answer.
//!
//! The targets answer from this process; what is counted is the prober's own processor time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::client::{Client, escape};
use super::metrics::Options;
use super::peers;
use super::process::{Folder, Process};
use super::table::Table;

/// Who ask at once, each on a connection of its own.
const ASKERS: usize = 16;
/// How many monitors there are, how often each probes, and how many of a hundred hang.
const MONITORS: usize = 10_000;
const INTERVAL: Duration = Duration::from_secs(60);
const HANGING: usize = 2;
/// Modules of both probers.
const MODULES: &str = "modules:\n  http: {prober: http, timeout: 5s}\n  tcp: {prober: tcp, timeout: 5s}\n";

/// Runs all of it; the table goes to the screen and to `output`.
pub fn run(options: &Options) -> Result<()> {
    let ours = match &options.watchbell {
        Some(path) => path.clone(),
        None => {
            crate::run("release build", &mut crate::cargo(&["build", "--release"]))?;
            crate::target().join("release/watchbell")
        }
    };
    let (ours, theirs) = (peers::of(ours)?, peers::find("prometheus-blackbox-exporter")?);
    let names = vec![format!("watchbell {}", ours.version), format!("blackbox_exporter {}", theirs.version)];
    let mut table = Table::new(names.clone());
    let target = Target::start()?;
    let (rounds, seconds) = if options.quick { (1, 3) } else { (3, 15) };
    for _ in 0..rounds {
        for (module, address) in [("tcp", target.address.to_string()), ("http", format!("http://{}/", target.address))]
        {
            for (at, binary) in [&ours, &theirs].into_iter().enumerate() {
                let folder = Folder::new()?;
                let (process, prober) = start(&binary.path, at == 0, folder.path(), MODULES)?;
                let path = format!("/probe?module={module}&target={}", escape(&address));
                let (probes, cpu) = ask(prober, &process, &path, Duration::from_secs(seconds))?;
                let (pace, peak) = (probes as f64 / seconds as f64, process.peak()?);
                eprintln!(
                    "{module}, {}: {pace:.0}/s, {:.3} ms each, {peak:.0} MB",
                    names[at],
                    cpu * 1e3 / probes as f64
                );
                table.add(at, &format!("a probe by {module}, processor time"), "ms", None, cpu * 1e3 / probes as f64);
                table.add(
                    at,
                    &format!("a probe by {module}, {ASKERS} askers, time from one to the next"),
                    "ms",
                    None,
                    1e3 / pace,
                );
                table.add(at, &format!("probes by {module}, most memory"), "MB", None, peak);
                process.stop()?;
            }
        }
    }
    let monitors = if options.quick { MONITORS / 20 } else { MONITORS };
    let spread = spread(&ours.path, &target, monitors)?;
    let text = format!("{}\nMedians of {rounds} × {seconds} s.\n\n{spread}\n", table.markdown());
    println!("{text}");
    if let Some(path) = &options.output {
        std::fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Asks for so long; how many probes were made, each with success, and what processor time they took in seconds.
fn ask(prober: SocketAddr, process: &Process, path: &str, time: Duration) -> Result<(usize, f64)> {
    let (before, deadline) = (process.cpu()?, Instant::now() + time);
    let askers: Vec<_> = (0..ASKERS)
        .map(|_| {
            let path = path.to_owned();
            std::thread::spawn(move || -> Result<usize> {
                let mut client = Client::connect(prober)?;
                let mut probes = 0;
                while Instant::now() < deadline {
                    let metrics = client.get(&path)?;
                    let good = metrics.windows(16).any(|it| it == b"\nprobe_success 1");
                    ensure!(good, "a probe failed: {}", String::from_utf8_lossy(&metrics));
                    probes += 1;
                }
                Ok(probes)
            })
        })
        .collect();
    let mut probes = 0;
    for asker in askers {
        probes += asker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    }
    Ok((probes, process.cpu()? - before))
}

/// Ten thousand monitors: how evenly their probes lie, and what they take.
fn spread(ours: &Path, target: &Target, monitors: usize) -> Result<String> {
    // It takes connections, as the kernel does for it, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let silent_address = silent.local_addr()?;
    let all: String = (0..monitors)
        .map(|number| {
            let hangs = number % 100 < HANGING;
            let address = if hangs { silent_address } else { target.address };
            format!(
                "  - {{name: m{number}, interval: {}s, retries: 100, runbook: 'https://example.org/m', \
                 http: {{url: 'http://{address}/{number}'}}}}\n",
                INTERVAL.as_secs()
            )
        })
        .collect();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept() {
            held.push(stream);
        }
    });
    let folder = Folder::new()?;
    let (process, _) = start(ours, true, folder.path(), &format!("monitors:\n{all}"))?;
    // The first round is made sooner.
    std::thread::sleep(INTERVAL);
    target.times.lock().expect("no panic while held").clear();
    let before = process.cpu()?;
    target.counts.store(true, Ordering::Relaxed);
    std::thread::sleep(INTERVAL);
    target.counts.store(false, Ordering::Relaxed);
    let (cpu, peak) = (process.cpu()? - before, process.peak()?);
    let times = std::mem::take(&mut *target.times.lock().expect("no panic while held"));
    process.stop()?;
    let expected = (0..monitors).filter(|number| number % 100 >= HANGING).count();
    ensure!(
        times.len() * 100 >= expected * 98,
        "{} probes were made within an interval in place of {expected}: something was kept waiting",
        times.len()
    );
    let first = *times.iter().min().context("there was no probe")?;
    let mut seconds = vec![0_usize; INTERVAL.as_secs() as usize + 1];
    for time in &times {
        let at = time.duration_since(first).as_secs() as usize;
        if let Some(second) = seconds.get_mut(at) {
            *second += 1;
        }
    }
    seconds.pop();
    let (least, most) = (seconds.iter().min().unwrap_or(&0), seconds.iter().max().unwrap_or(&0));
    Ok(format!(
        "{monitors} monitors every {} s, {HANGING} of 100 of which never get an answer: {} probes within an interval, \
         {least} to {most} each second ({:.0} on average); {cpu:.1} s of processor time, {peak:.0} MB at most.",
        INTERVAL.as_secs(),
        times.len(),
        times.len() as f64 / INTERVAL.as_secs_f64(),
    ))
}

/// A web server that answers each request and closes.
struct Target {
    address: SocketAddr,
    counts: Arc<AtomicBool>,
    times: Arc<Mutex<Vec<Instant>>>,
}

impl Target {
    fn start() -> Result<Target> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let target = Target { address: listener.local_addr()?, counts: Arc::default(), times: Arc::default() };
        let running = Arc::new(AtomicUsize::new(0));
        for _ in 0..ASKERS {
            let (listener, running) = (listener.try_clone()?, Arc::clone(&running));
            let (counts, times) = (Arc::clone(&target.counts), Arc::clone(&target.times));
            std::thread::spawn(move || {
                running.fetch_add(1, Ordering::Relaxed);
                for stream in listener.incoming().flatten() {
                    if answer(stream).is_ok_and(|asked| asked) && counts.load(Ordering::Relaxed) {
                        times.lock().expect("no panic while held").push(Instant::now());
                    }
                }
            });
        }
        while running.load(Ordering::Relaxed) < ASKERS {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(target)
    }
}

/// Whether anything was asked; who only connects is no request.
fn answer(mut stream: TcpStream) -> std::io::Result<bool> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    let mut chunk = [0; 2048];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut chunk)? {
            0 => return Ok(false),
            count => request.extend_from_slice(&chunk[..count]),
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")?;
    Ok(true)
}

fn start(binary: &Path, ours: bool, folder: &Path, config: &str) -> Result<(Process, SocketAddr)> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let file = folder.join("config.yml");
    let mut command = Command::new(binary);
    if ours {
        let alone = "host: {enabled: false}\ndiscovery: {enabled: false}\npacks: []\n";
        std::fs::write(&file, format!("{alone}{config}"))?;
        command.arg("--config").arg(&file).arg("--data").arg(folder.join("data"));
        command.args(["--listen", &address.to_string()]);
    } else {
        std::fs::write(&file, config)?;
        command.arg(format!("--config.file={}", file.display())).arg(format!("--web.listen-address={address}"));
        command.arg("--log.level=error");
    }
    Ok((Process::start(command, folder, address, "/-/healthy")?, address))
}
