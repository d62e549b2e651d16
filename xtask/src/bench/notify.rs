//! How fast alerts become pages, beside Alertmanager and Prometheus: from a `POST` of Prometheus' body to the request of a
//! webhook, and from what a scraped target says to the same.
//!
//! All get the same `route`, `receivers`, rule and target. Target and receiver answer from this process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::client::Client;
use super::metrics::Options;
use super::peers::{self, Binary};
use super::process::{Folder, Process};
use super::table::Table;

/// Alerts that come one after the other, each alone.
const SINGLE: usize = 100;
/// Alerts that come at once, in requests of so many as Prometheus sends.
const MANY: usize = 6400;
const AT_ONCE: usize = 64;
/// Breaches of a scraped target, each of a series of its own, with everything at a second.
const BREACHES: usize = 12;
/// From a breach to the page, in seconds: the budget of the design.
const BREACH_BUDGET: f64 = 0.3;
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Watchbell,
    Alertmanager,
}

/// Runs all of it; the table goes to the screen and to `output`.
pub fn run(options: &Options) -> Result<()> {
    let ours = match &options.watchbell {
        Some(path) => path.clone(),
        None => {
            crate::run("release build", &mut crate::cargo(&["build", "--release"]))?;
            crate::target().join("release/watchbell")
        }
    };
    let engines = [
        (Kind::Watchbell, "watchbell", peers::of(ours)?),
        (Kind::Alertmanager, "Alertmanager", peers::find("prometheus-alertmanager")?),
    ];
    let names = engines.iter().map(|(_, name, binary)| format!("{name} {}", binary.version));
    let mut table = Table::new(names.collect());
    let rounds = if options.quick { 1 } else { 5 };
    for _ in 0..rounds {
        for (at, (kind, name, binary)) in engines.iter().enumerate() {
            let measured = measure(*kind, binary).with_context(|| (*name).to_owned())?;
            eprintln!("{name}: {measured:?}");
            table.add(at, "one alert: from POST to webhook, median", "ms", None, measured.median * 1e3);
            table.add(at, "one alert: from POST to webhook, worst of 100", "ms", None, measured.worst * 1e3);
            table.add(at, "6,400 alerts at once: until all are accepted", "s", None, measured.accepted);
            table.add(at, "6,400 alerts at once, a group each: until all are told", "s", None, measured.told);
            table.add(at, "all of it: processor time", "s", None, measured.cpu);
            table.add(at, "all of it: most memory", "MB", None, measured.peak);
            let (from_breach, from_scrape) = breaches(*kind, binary).with_context(|| (*name).to_owned())?;
            eprintln!("{name}: from breach {from_breach:.3} s, from scrape {from_scrape:.3} s");
            table.add(at, BREACH, "s", None, from_breach);
            table.add(at, "the same, from the end of the scrape that says so", "s", Some(BREACH_BUDGET), from_scrape);
        }
    }
    let text = format!("{}\nMedians of {rounds}.\n", table.markdown());
    println!("{text}");
    if let Some(path) = &options.output {
        std::fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

const BREACH: &str =
    "a breach in a scraped target to webhook, everything at 1 s, no wait, median (Prometheus with Alertmanager)";

/// In seconds and MB.
#[derive(Debug)]
struct Measured {
    median: f64,
    worst: f64,
    accepted: f64,
    told: f64,
    cpu: f64,
    peak: f64,
}

fn measure(kind: Kind, binary: &Binary) -> Result<Measured> {
    let (folder, receiver) = (Folder::new()?, Receiver::start()?);
    let (process, mut client) = start(kind, binary, folder.path(), receiver.address, "")?;
    let mut waits = Vec::new();
    for number in 0..SINGLE {
        let name = format!("single{number}");
        let begun = Instant::now();
        post(&mut client, std::slice::from_ref(&name))?;
        waits.push(receiver.wait_for(&name)?.duration_since(begun).as_secs_f64());
    }
    waits.sort_by(f64::total_cmp);
    let names: Vec<String> = (0..MANY).map(|number| format!("many{number}")).collect();
    let begun = Instant::now();
    for part in names.chunks(AT_ONCE) {
        post(&mut client, part)?;
    }
    let accepted = begun.elapsed().as_secs_f64();
    receiver.wait_until(SINGLE + MANY)?;
    let told = begun.elapsed().as_secs_f64();
    let measured = Measured {
        median: waits[waits.len() / 2],
        worst: waits[waits.len() - 1],
        accepted,
        told,
        cpu: process.cpu()?,
        peak: process.peak()?,
    };
    process.stop()?;
    Ok(measured)
}

/// Seconds from a breach to its page, and from the scrape that says so: medians.
fn breaches(kind: Kind, binary: &Binary) -> Result<(f64, f64)> {
    let (folder, receiver, target) = (Folder::new()?, Receiver::start()?, Target::start()?);
    let rules = folder.path().join("rules.yml");
    let rule = "{alert: Broken, expr: bench_broken > 0, labels: {severity: critical}}";
    std::fs::write(&rules, format!("groups: [{{name: bench, interval: 1s, rules: [{rule}]}}]\n"))?;
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
         scrape_configs: [{{job_name: bench, static_configs: [{{targets: ['{}']}}]}}]\n",
        rules.display(),
        target.address
    );
    let ours = if kind == Kind::Watchbell { config.as_str() } else { "" };
    let (process, _client) = start(kind, binary, folder.path(), receiver.address, ours)?;
    let prometheus = match kind {
        Kind::Watchbell => None,
        Kind::Alertmanager => Some(prometheus(folder.path(), &config)?),
    };
    target.wait_for("bench_up")?;
    let (mut from_breach, mut from_scrape) = (Vec::new(), Vec::new());
    for number in 0..BREACHES {
        // Not in step with anything that happens each second.
        std::thread::sleep(Duration::from_millis(1300 + (number as u64 * 370) % 1000));
        let name = format!("case{number}");
        let begun = Instant::now();
        target.say(&format!("bench_broken{{case=\"{name}\"}} 1\n"));
        let scraped = target.wait_for(&name)?;
        let paged = receiver.wait_for_words(&format!("\"case\":\"{name}\""))?;
        from_breach.push(paged.duration_since(begun).as_secs_f64());
        from_scrape.push(paged.duration_since(scraped).as_secs_f64());
    }
    process.stop()?;
    if let Some(prometheus) = prometheus {
        prometheus.stop()?;
    }
    for figures in [&mut from_breach, &mut from_scrape] {
        figures.sort_by(f64::total_cmp);
    }
    Ok((from_breach[BREACHES / 2], from_scrape[BREACHES / 2]))
}

/// A Prometheus that sends its alerts to the Alertmanager of the folder.
fn prometheus(folder: &Path, config: &str) -> Result<Process> {
    let binary = peers::find("prometheus")?;
    let alertmanager = std::fs::read_to_string(folder.join("address"))?;
    let file = folder.join("prometheus.yml");
    let to = format!("alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n");
    std::fs::write(&file, format!("{config}{to}"))?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let child = Command::new(&binary.path)
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("prometheus.log"))?)
        .spawn()?;
    Ok(Process(child))
}

fn post(client: &mut Client, names: &[String]) -> Result<()> {
    let one = |name: &String| {
        format!(
            r#"{{"labels":{{"alertname":"{name}","severity":"critical","instance":"db1:9100","job":"node"}},"annotations":{{"summary":"{name} is bad"}},"generatorURL":"http://prometheus.example/graph"}}"#
        )
    };
    let body = format!("[{}]", names.iter().map(one).collect::<Vec<_>>().join(","));
    let answer = client.request("POST", "/api/v2/alerts", "Content-Type: application/json\r\n", body.as_bytes())?;
    ensure!(answer.status == 200, "{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    Ok(())
}

fn start(kind: Kind, binary: &Binary, folder: &Path, receiver: SocketAddr, more: &str) -> Result<(Process, Client)> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    std::fs::write(folder.join("address"), address.to_string())?;
    let config = folder.join("config.yml");
    let alone = match kind {
        Kind::Watchbell => "host: {enabled: false}\ndiscovery: {enabled: false}\npacks: []\n",
        Kind::Alertmanager => "",
    };
    std::fs::write(
        &config,
        format!(
            "{alone}{more}route: {{receiver: hook, group_by: [alertname, case], group_wait: 0s, group_interval: 5m}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: 'http://{receiver}/'}}]}}]\n"
        ),
    )?;
    let mut command = Command::new(&binary.path);
    match kind {
        Kind::Watchbell => {
            command.arg("--config").arg(&config).arg("--data").arg(folder.join("data"));
            command.args(["--listen", &address.to_string()]);
        }
        Kind::Alertmanager => {
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!("--storage.path={}", folder.join("data").display()));
            command.args([&format!("--web.listen-address={address}"), "--cluster.listen-address="]);
        }
    }
    Ok((Process::start(command, folder, address, "/api/v2/status")?, Client::connect(address)?))
}

/// Takes pages.
struct Receiver {
    address: SocketAddr,
    pages: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Receiver {
    fn start() -> Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let pages: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
        let taken = Arc::clone(&pages);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let pages = Arc::clone(&taken);
                let keep = move |body: String| {
                    let text = body.replace("\": \"", "\":\"");
                    pages.lock().expect("no panic while held").push((Instant::now(), text));
                    String::new()
                };
                std::thread::spawn(move || answer(stream, keep, drop));
            }
        });
        Ok(Receiver { address, pages })
    }

    /// When the page about an alert came.
    fn wait_for(&self, name: &str) -> Result<Instant> {
        self.wait_for_words(&format!("\"alertname\":\"{name}\""))
    }

    fn wait_for_words(&self, words: &str) -> Result<Instant> {
        let begun = Instant::now();
        loop {
            let pages = self.pages.lock().expect("no panic while held");
            if let Some((at, _)) = pages.iter().rev().take(10).find(|(_, body)| body.contains(words)) {
                return Ok(*at);
            }
            drop(pages);
            ensure!(begun.elapsed() < PATIENCE, "nobody is told of {words}");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn wait_until(&self, count: usize) -> Result<()> {
        let begun = Instant::now();
        while self.pages.lock().expect("no panic while held").len() < count {
            ensure!(begun.elapsed() < PATIENCE, "not all are told of");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// A target that says what it is told to say.
struct Target {
    address: SocketAddr,
    said: Arc<Mutex<Said>>,
}

#[derive(Default)]
struct Said {
    body: String,
    /// When the last answer was written, and what it was.
    scraped: Option<(Instant, String)>,
}

impl Target {
    fn start() -> Result<Target> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let said = Arc::new(Mutex::new(Said { body: "bench_up 1\n".into(), scraped: None }));
        let shared = Arc::clone(&said);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let said = Arc::clone(&shared);
                std::thread::spawn(move || {
                    answer(
                        stream,
                        |_| said.lock().expect("no panic while held").body.clone(),
                        |body| {
                            said.lock().expect("no panic while held").scraped = Some((Instant::now(), body));
                        },
                    );
                });
            }
        });
        Ok(Target { address, said })
    }

    fn say(&self, line: &str) {
        self.said.lock().expect("no panic while held").body.push_str(line);
    }

    /// When an answer with these words was written first.
    fn wait_for(&self, words: &str) -> Result<Instant> {
        let begun = Instant::now();
        loop {
            if let Some((at, body)) = &self.said.lock().expect("no panic while held").scraped
                && body.contains(words)
            {
                return Ok(*at);
            }
            ensure!(begun.elapsed() < PATIENCE, "the target is not scraped");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Answers requests with what `say` makes of their bodies; `done` is told when that was written.
fn answer(stream: TcpStream, say: impl Fn(String) -> String, done: impl Fn(String)) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line.trim().is_empty() => break,
                Ok(_) => {}
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let said = say(String::from_utf8_lossy(&body).into_owned());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length:";
        if writer.write_all(format!("{head} {}\r\n\r\n{said}", said.len()).as_bytes()).is_err() {
            return;
        }
        done(said);
    }
}
