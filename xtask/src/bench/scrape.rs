//! What a scrape costs, beside Prometheus and VictoriaMetrics: targets with many series, each engine on its own.
//!
//! The target answers from this process; what is counted is the engine's own processor time for each scrape, without
//! what the same engine takes while the same target has nothing to say.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::engine::{Engine, Kind};
use super::metrics::Options;
use super::peers;
use super::process::Folder;
use super::table::Table;

/// Bodies differ from scrape to scrape, in turns.
const BODIES: usize = 4;

/// Series of the target, its budget in ms of processor time.
const SIZES: [(usize, &str, f64); 2] = [(10_000, "10 k series", 6.0), (100_000, "100 k series", 80.0)];

/// Runs all of it; the table goes to the screen and to `output`.
pub fn run(options: &Options) -> Result<()> {
    let ours = match &options.watchbell {
        Some(path) => path.clone(),
        None => {
            crate::run("release build", &mut crate::cargo(&["build", "--release"]))?;
            crate::target().join("release/watchbell")
        }
    };
    let engine = |kind, binary| Engine { kind, binary };
    let engines = [
        engine(Kind::Watchbell, peers::of(ours)?),
        engine(Kind::Prometheus, peers::find("prometheus")?),
        engine(Kind::VictoriaMetrics, peers::find("victoria-metrics")?),
    ];
    let mut table = Table::new(engines.iter().map(Engine::name).collect());
    let (rounds, seconds) = if options.quick { (1, 10) } else { (3, 20) };
    for (series, what, budget) in SIZES {
        if options.only.as_ref().is_some_and(|only| !what.contains(only.as_str())) {
            continue;
        }
        let target = Target::start(series)?;
        for _ in 0..rounds {
            for (at, engine) in engines.iter().enumerate() {
                let (cpu, peak) = measure(engine, &target, Duration::from_secs(seconds))?;
                eprintln!("{what}, {}: {cpu:.2} ms, {peak:.0} MB", engine.name());
                table.add(at, &format!("a scrape of {what}, processor time"), "ms", Some(budget), cpu);
                table.add(at, &format!("scraping {what} each second, most memory"), "MB", None, peak);
            }
        }
    }
    let text = format!("{}\nA scrape each second; medians of {rounds} × {seconds} s.\n", table.markdown());
    println!("{text}");
    if let Some(path) = &options.output {
        std::fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Milliseconds of processor time for each scrape, and the most memory in MB.
fn measure(engine: &Engine, target: &Target, time: Duration) -> Result<(f64, f64)> {
    let folder = Folder::new()?;
    let scrape = format!(
        "scrape_configs: [{{job_name: bench, scrape_interval: 1s, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        target.address
    );
    target.say(false);
    let running = engine.start_with_scrape(folder.path(), &scrape)?;
    target.wait(3)?;
    let idle = spent(&running.process, target, time / 2)?;
    target.say(true);
    target.wait(4)?;
    let busy = spent(&running.process, target, time)?;
    let kept = "count({job=\"bench\",__name__=~\"bench_.*\"})".to_owned();
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH)?.as_millis() as i64;
    // VictoriaMetrics answers what it took in some seconds later.
    let deadline = Instant::now() + Duration::from_secs(40);
    while running.value(&kept, now)? != target.series as f64 {
        ensure!(Instant::now() < deadline, "{} has not all series", engine.name());
        std::thread::sleep(Duration::from_millis(500));
    }
    let peak = running.process.peak()?;
    running.process.stop()?;
    Ok(((busy - idle) * 1000.0, peak))
}

/// Seconds of processor time for each scrape.
fn spent(process: &super::process::Process, target: &Target, time: Duration) -> Result<f64> {
    let (cpu, scrapes) = (process.cpu()?, target.scrapes());
    std::thread::sleep(time);
    let (cpu, scrapes) = (process.cpu()? - cpu, target.scrapes() - scrapes);
    ensure!(scrapes > 0, "there was no scrape");
    Ok(cpu / scrapes as f64)
}

/// A target that answers in turns.
struct Target {
    series: usize,
    address: SocketAddr,
    said: Arc<Said>,
}

struct Said {
    bodies: Vec<Vec<u8>>,
    talks: RwLock<bool>,
    scrapes: AtomicUsize,
}

impl Target {
    fn start(series: usize) -> Result<Target> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let bodies = (0..BODIES).map(|turn| body(series, turn)).collect();
        let said = Arc::new(Said { bodies, talks: RwLock::new(false), scrapes: AtomicUsize::new(0) });
        let shared = Arc::clone(&said);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let said = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &said));
            }
        });
        Ok(Target { series, address, said })
    }

    fn say(&self, talks: bool) {
        *self.said.talks.write().expect("no panic while held") = talks;
    }

    fn scrapes(&self) -> usize {
        self.said.scrapes.load(Ordering::Relaxed)
    }

    /// Until it was scraped so many times more.
    fn wait(&self, times: usize) -> Result<()> {
        let (wanted, deadline) = (self.scrapes() + times, Instant::now() + Duration::from_secs(60));
        while self.scrapes() < wanted {
            ensure!(Instant::now() < deadline, "the target is not scraped");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn answer(stream: TcpStream, said: &Said) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        // Up to the empty line that ends a request.
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line.trim().is_empty() => break,
                Ok(_) => {}
            }
        }
        let turn = said.scrapes.fetch_add(1, Ordering::Relaxed);
        let talks = *said.talks.read().expect("no panic while held");
        let body: &[u8] = if talks { &said.bodies[turn % BODIES] } else { b"" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body)).is_err() {
            return;
        }
    }
}

/// Families of a hundred series, as exporters have them; a third of the values stand still.
fn body(series: usize, turn: usize) -> Vec<u8> {
    let mut out = String::with_capacity(series * 96);
    for family in 0..series / 100 {
        let (name, kind) = match family % 2 {
            0 => (format!("bench_requests_{family}_total"), "counter"),
            _ => (format!("bench_size_{family}_bytes"), "gauge"),
        };
        out.push_str(&format!("# HELP {name} What is counted or measured here.\n# TYPE {name} {kind}\n"));
        for at in 0..100 {
            let value = match at % 3 {
                0 => format!("{}", family * 1000 + at),
                1 => format!("{}", family * 1_000_000 + at * 1000 + turn * 17),
                _ => format!("{:.3}", (family * 100 + at) as f64 * 1.37 + turn as f64 * 0.25),
            };
            let labels = format!("code=\"{}\",handler=\"/api/v1/thing/{}\",method=\"get\"", 200 + at % 5, at / 5);
            out.push_str(&format!("{name}{{{labels}}} {value}\n"));
        }
    }
    out.into_bytes()
}
