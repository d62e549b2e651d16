//! The README's own way: the binary in an empty folder, with nothing said.

use std::path::PathBuf;
use std::process::Command;

use crate::kit::{Folder, Process, wait_until};

/// The release build when `cargo xtask test` names one, else the one under test.
fn binary() -> PathBuf {
    std::env::var_os("WATCHBELL_RELEASE").map_or_else(|| env!("CARGO_BIN_EXE_watchbell").into(), PathBuf::from)
}

#[test]
fn it_starts_in_an_empty_folder_and_every_source_gives_its_first_sample() {
    let folder = Folder::new("readme");
    // Something to discover; if the port is taken, what has it is discovered.
    let service = std::net::TcpListener::bind("127.0.0.1:11211");
    let watchbell = Process::start_binary(&binary(), &folder, &["--listen", "127.0.0.1:0"], &[])
        .unwrap_or_else(|output| panic!("it ended before it was ready:\n{output}"));
    assert!(watchbell.banner.len() < 10, "{:#?}", watchbell.banner);
    let banner = watchbell.banner.join("\n");
    for word in ["open", "sign in", "/signin?", "watches", "this host", "next"] {
        assert!(banner.contains(word), "`{word}` is not in\n{banner}");
    }
    for series in [
        "node_cpu_seconds_total",
        "node_memory_MemTotal_bytes",
        "node_filesystem_size_bytes",
        "node_load1",
        "node_network_receive_bytes_total",
        "watchbell_task_restarts_total",
        "probe_success",
    ] {
        wait_until(series, || has(&watchbell, series));
    }
    assert_eq!(watchbell.get("/livez").0, 200);
    wait_until("it is ready", || watchbell.get("/readyz").0 == 200);
    drop(service);
    assert_eq!(watchbell.stop(), Some(0));
}

#[test]
fn the_readmes_configuration_is_refused_until_its_run_books_are_written() {
    let readme = include_str!("../../../../README.md");
    let (_, rest) = readme.split_once("```yaml\n").expect("there is an example");
    let (example, rest) = rest.split_once("```").expect("it ends");
    let (_, rest) = rest.split_once("```sh\n").expect("there are commands");
    let (commands, _) = rest.split_once("```").expect("they end");
    let folder = Folder::new("example");
    folder.write("watchbell.yml", example);
    let run = |line: &str| {
        let words = line.split('#').next().unwrap_or_default().split_whitespace().skip(1);
        let output = Command::new(binary()).args(words).current_dir(folder.path()).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = run("watchbell check");
    assert!(code == Some(2) && said.contains("runbook new imap-down"), "{said}");
    for line in commands.lines().filter(|line| !line.contains(" push")) {
        let (code, said) = run(line);
        assert_eq!(code, Some(0), "{line}: {said}");
    }
    let (_, said) = run("watchbell check");
    assert!(said.contains("good: 2 monitors, 1 heartbeats"), "{said}");
    let (code, said) = run("watchbell push --dry-run");
    assert!(code == Some(0) && said.contains("This is a test page"), "{said}");
}

#[test]
fn a_closed_standard_output_stops_nothing() {
    let folder = Folder::new("pipe");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut child = Command::new(binary())
        .args(["--listen", "127.0.0.1:0"])
        .current_dir(folder.path())
        .stdout(writer)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let database = folder.path().join("watchbell-data/metrics/wal");
    wait_until("it measures", || {
        assert!(child.try_wait().expect("it can be asked").is_none(), "it ended");
        let segments = std::fs::read_dir(&database).into_iter().flatten().filter_map(Result::ok);
        segments.filter_map(|segment| segment.metadata().ok()).any(|meta| meta.len() > 2000)
    });
    crate::kit::signal(child.id(), "TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn nobody_else_reads_the_data_folder_and_a_refused_configuration_keeps_nobody_out() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("private");
    let watchbell = Process::start(&folder, &["--listen", "127.0.0.1:0"], &[]);
    let data = std::fs::metadata(folder.path().join("watchbell-data")).expect("it is there");
    assert_eq!(data.permissions().mode() & 0o077, 0);
    folder.write("watchbell.yml", "site: {url: 'https://watch.example.org'}\nmonitors: [{nam: x}]\n");
    let output = Command::new(binary()).arg("signin").current_dir(folder.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("https://watch.example.org/signin?token="), "{said}");
    assert_eq!(watchbell.stop(), Some(0));
}

#[test]
fn a_second_one_on_the_same_folder_is_refused_with_words() {
    let folder = Folder::new("second");
    let first = Process::start(&folder, &["--listen", "127.0.0.1:0"], &[]);
    let second = Process::start_binary(&binary(), &folder, &["--listen", "127.0.0.1:0"], &[]);
    let Err(output) = second else { panic!("two processes have one folder") };
    assert!(output.contains(&format!("in use by process {}", first.pid())), "{output}");
}

fn has(watchbell: &Process, series: &str) -> bool {
    let (_, body) = watchbell.get(&format!("/api/v1/query?query=count({series})"));
    let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    json["data"]["result"].as_array().is_some_and(|result| !result.is_empty())
}
