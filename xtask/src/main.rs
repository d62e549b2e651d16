//! The project's own commands: `cargo xtask test | conformance | bench`.
//!
//! `test` is what CI runs: it installs what the tests need (or names what is missing), then formatting, clippy,
//! licences, every test, and the README's commands on a release build. Its last line counts what passed and failed.

#![allow(clippy::disallowed_methods, reason = "a tool beside the product: it runs commands and measures real time")]

mod bench;
mod packages;
mod peers;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cargo xtask <command>

  test          everything CI runs: formatting, clippy, licences, all tests, the README's commands
  conformance   the recorded cases of the real tools, from ../shared/conformance or $WATCHBELL_CONFORMANCE
  differential [count] [seed]
                random expressions beside a real Prometheus that holds the same samples (20000 expressions)
  soak [seeds]  the metrics engine on a simulated disk that fails in every way (5000 seeds)
  fuzz [cases]  readers of files and bodies against mutated bytes (100000 cases of each kind)
  kill-loop [rounds]
                kill -9 of the release build under remote write (200 rounds of each policy)
  bench [idle]  memory, CPU, start and size of the release build, idle with no configuration
  bench metrics [--quick] [--output FILE] [--watchbell BINARY] [--only NAME]
                the metrics engine beside Prometheus and VictoriaMetrics, in one run
  bench notify [--quick] [--output FILE] [--watchbell BINARY]
                alerts over HTTP to the request of a webhook, beside Alertmanager
  bench ping [--quick] [--output FILE] [--watchbell BINARY]
                pings of heartbeats, each on disk before its answer, and none missing after kill -9
  bench probe [--quick] [--output FILE] [--watchbell BINARY]
                probes at /probe beside blackbox_exporter, and ten thousand monitors at once
  bench query [--quick] [--output FILE] [--watchbell BINARY] [--only NAME]
                PromQL over HTTP and rounds of rules beside them, in one run
  bench scrape [--quick] [--output FILE] [--watchbell BINARY] [--only SIZE]
                scrapes of targets with 10 k and 100 k series beside them, in one run
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test"] => test(),
        ["conformance"] => conformance(),
        ["bench"] | ["bench", "idle"] => bench::idle(),
        ["bench", "metrics", rest @ ..] => match bench_options(rest) {
            Some(options) => bench::metrics(&options),
            None => return usage(),
        },
        ["bench", "notify", rest @ ..] => match bench_options(rest) {
            Some(options) => bench::notify(&options),
            None => return usage(),
        },
        ["bench", "ping", rest @ ..] => match bench_options(rest) {
            Some(options) => bench::ping(&options),
            None => return usage(),
        },
        ["bench", "probe", rest @ ..] => match bench_options(rest) {
            Some(options) => bench::probe(&options),
            None => return usage(),
        },
        ["bench", "query", rest @ ..] => match bench_options(rest) {
            Some(options) => bench::query(&options),
            None => return usage(),
        },
        ["bench", "scrape", rest @ ..] => match bench_options(rest) {
            Some(options) => bench::scrape(&options),
            None => return usage(),
        },
        ["differential"] => differential("20000", None),
        ["differential", count] => differential(count, None),
        ["differential", count, seed] => differential(count, Some(seed)),
        ["soak"] => soak("5000"),
        ["soak", seeds] => soak(seeds),
        ["fuzz"] => fuzz("100000"),
        ["fuzz", cases] => fuzz(cases),
        ["kill-loop"] => kill_loop("200"),
        ["kill-loop", rounds] => kill_loop(rounds),
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(2)
}

fn bench_options(words: &[&str]) -> Option<bench::Options> {
    let mut options = bench::Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--quick" => options.quick = true,
            "--output" => options.output = Some(words.next()?.into()),
            "--watchbell" => options.watchbell = Some(words.next()?.into()),
            "--only" => options.only = Some((*words.next()?).to_owned()),
            _ => return None,
        }
    }
    Some(options)
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).env("CARGO_INCREMENTAL", "0");
    command
}

fn run(what: &str, command: &mut Command) -> Result<()> {
    eprintln!("\n== {what}");
    let status = command.status().with_context(|| format!("{what}: cannot be started"))?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

fn test() -> Result<()> {
    packages::install()?;
    peers::senders();
    run("formatting", &mut cargo(&["fmt", "--all", "--check"]))?;
    run("clippy", &mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    licences()?;
    // The acceptance tests start the built binary, so it is built first.
    run("build", &mut cargo(&["build", "--workspace"]))?;
    let mut counted = counted("tests", &mut cargo(&["test", "--workspace", "--no-fail-fast"]))?;
    run("release build", &mut cargo(&["build", "--release"]))?;
    // The whole workspace again, so that nothing is compiled anew for other features.
    let mut readme = cargo(&["test", "--workspace", "--test", "it", "readme::"]);
    readme.env("WATCHBELL_RELEASE", target().join("release/watchbell"));
    counted.add(&self::counted("the README's commands", &mut readme)?);
    println!("\n{} passed, {} failed", counted.passed, counted.failed);
    if counted.failed > 0 || !counted.green {
        bail!("there are failures; look above");
    }
    if counted.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

fn conformance() -> Result<()> {
    let folder =
        std::env::var_os("WATCHBELL_CONFORMANCE").map_or_else(|| root().join("../shared/conformance"), PathBuf::from);
    if !folder.is_dir() {
        bail!("there is no folder {}; name it with WATCHBELL_CONFORMANCE", folder.display());
    }
    let mut command = cargo(&["test", "--workspace", "conformance", "--", "--nocapture"]);
    command.env("WATCHBELL_CONFORMANCE", folder);
    with_prometheus(&mut command);
    run("conformance", &mut command)
}

/// The newest Prometheus there is to download, for tests that ask it.
fn with_prometheus(command: &mut Command) {
    match bench::prometheus() {
        Ok(path) => drop(command.env("WATCHBELL_PROMETHEUS", path)),
        Err(error) => eprintln!("there is no Prometheus to compare with: {error:#}"),
    }
}

fn differential(count: &str, seed: Option<&str>) -> Result<()> {
    let test = ["test", "-p", "watchbell-query", "--test", "it", "differential::random", "--", "--nocapture"];
    let mut command = cargo(&test);
    command.env("WATCHBELL_DIFFERENTIAL", count).env("WATCHBELL_PROMETHEUS", bench::prometheus()?);
    if let Some(seed) = seed {
        command.env("WATCHBELL_SEED", seed);
    }
    run("differential", &mut command)
}

fn soak(seeds: &str) -> Result<()> {
    let mut command = cargo(&["test", "-p", "watchbell-store", "--test", "it", "soak::", "--", "--nocapture"]);
    command.env("WATCHBELL_SEEDS", seeds);
    run("soak", &mut command)
}

/// With a bound on memory, so that a length that nobody should believe is noticed.
fn fuzz(cases: &str) -> Result<()> {
    let test = ["test", "-p", "watchbell-store", "--test", "it"];
    run("build", cargo(&test).arg("--no-run"))?;
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 6000000; exec \"$@\"", "sh"]).arg("cargo").args(test);
    command.args(["fuzz::", "--", "--nocapture"]).current_dir(root());
    command.env("CARGO_INCREMENTAL", "0").env("WATCHBELL_FUZZ_CASES", cases);
    run("fuzz", &mut command)
}

fn kill_loop(rounds: &str) -> Result<()> {
    run("release build", &mut cargo(&["build", "--release"]))?;
    let mut command = cargo(&["test", "-p", "watchbell", "--test", "it", "kill::", "--", "--nocapture"]);
    command.env("WATCHBELL_RELEASE", target().join("release/watchbell")).env("WATCHBELL_KILL_ROUNDS", rounds);
    run("kill loop", &mut command)
}

/// `cargo deny`, installed if need be. The advisory database is not fetched: it lies outside the package registries.
fn licences() -> Result<()> {
    let installed = cargo(&["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !installed.is_ok_and(|status| status.success()) {
        let mut install = Command::new("cargo");
        install.args(["install", "cargo-deny", "--locked", "--version", "0.20.2"]);
        run("installing cargo-deny", &mut install)?;
    }
    // Also what only other systems build, which is looked at too.
    run("fetching what others build", &mut cargo(&["fetch", "--locked"]))?;
    run("licences, bans, sources", &mut cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"]))
}

struct Counted {
    passed: u64,
    failed: u64,
    green: bool,
}

impl Counted {
    fn add(&mut self, other: &Counted) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.green &= other.green;
    }
}

/// Runs `cargo test`, passes its output on, and adds up its result lines.
fn counted(what: &str, command: &mut Command) -> Result<Counted> {
    use std::io::{BufRead, BufReader};
    eprintln!("\n== {what}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{what}: cannot be started"))?;
    let mut counted = Counted { passed: 0, failed: 0, green: true };
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let line = line?;
        println!("{line}");
        if let Some(result) = line.strip_prefix("test result: ") {
            let number = |word: &str| {
                let at = result.find(word)?;
                result[..at].trim_end().rsplit(' ').next()?.parse::<u64>().ok()
            };
            counted.passed += number("passed").unwrap_or(0);
            counted.failed += number("failed").unwrap_or(0);
        }
    }
    counted.green = child.wait()?.success();
    Ok(counted)
}
