//! The real binary on a real file system that is full: samples are refused and said to be, the rest goes on, and with
//! room again nothing that was accepted is missing.

use std::path::Path;
use std::process::Command;

use watchbell_model::{Labels, Sample, Timestamp};
use watchbell_sim::Receiver;
use watchbell_wire::remote_write::{Outgoing, v1};
use watchbell_wire::snappy;

use crate::kill::{now, post_once};
use crate::kit::{Folder, Process, own_address, serve, wait_until};
use crate::peers::Postfix;

/// A file system of its own in memory; unmounted with its owner.
struct Mount(std::path::PathBuf);

impl Mount {
    fn new(path: &Path, megabytes: u32) -> Mount {
        std::fs::create_dir_all(path).expect("a folder");
        let size = format!("size={megabytes}m,mode=700");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "watchbell-test"]).arg(path).status();
        assert!(status.is_ok_and(|status| status.success()), "a tmpfs can be mounted");
        Mount(path.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn write(process: &Process, at: i64) -> Option<u16> {
    let mut body = v1::Writer::new();
    let samples = [Sample { timestamp: Timestamp(at), value: at as f64 }];
    body.series(&Outgoing::of(&Labels::metric("full", &[("job", "test")]), &samples));
    post_once(process.address, &snappy::compress(&body.finish()))
}

fn count(process: &Process) -> String {
    let (status, body) = process.get("/api/v1/query?query=count_over_time(full%5B1h%5D)");
    assert_eq!(status, 200, "{body}");
    let value: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
    value["data"]["result"][0]["value"][1].as_str().unwrap_or("0").to_owned()
}

#[test]
fn a_full_disk_costs_samples_only_as_long_as_it_is_full() {
    if !Postfix::can_run() {
        eprintln!("left out: a file system can only be mounted by root");
        return;
    }
    let folder = Folder::new("full");
    let data = folder.path().join("data");
    let _mount = Mount::new(&data, 48);
    folder.write("watchbell.yml", "host: {enabled: false}\ndiscovery: {enabled: false}\npacks: []\n");
    let arguments = ["--config", "watchbell.yml", "--data", "data", "--listen", "127.0.0.1:0"];
    let process = Process::start(&folder, &arguments, &[]);
    let start = now() - 60_000;
    assert_eq!(write(&process, start), Some(204));

    let ballast = data.join("ballast");
    let free = || Command::new("df").args(["--output=avail", "-k"]).arg(&data).output().expect("df").stdout;
    let free: u64 =
        String::from_utf8(free()).expect("text").lines().nth(1).expect("a line").trim().parse().expect("kB");
    std::fs::write(&ballast, vec![1_u8; ((free - 2048) * 1024) as usize]).expect("it fits");
    // Whether it is accepted or not, the sender is not told that it is kept when it is not.
    let mut refused = 0;
    for at in 1..=20 {
        refused += u32::from(write(&process, start + at * 1000) == Some(503));
    }
    assert!(refused > 0, "nothing was refused");
    assert_eq!(count(&process), "21", "what is in memory is served");
    assert_eq!(process.get("/livez").0, 200);
    let told =
        || process.get("/api/v2/alerts").1.contains("metrics/log") || process.get("/health").1.contains("metrics/log");
    wait_until("the full disk is told of", told);

    std::fs::remove_file(&ballast).expect("it is there");
    wait_until("samples are accepted again", || write(&process, start + 21_000).is_some_and(|status| status < 300));
    process.kill();
    let process = Process::start(&folder, &arguments, &[]);
    assert_eq!(count(&process), "22", "what waited for room was written");
    assert_eq!(process.stop(), Some(0));
}

#[test]
fn a_page_leaves_while_the_disk_is_full_and_is_known_after_a_kill() {
    if !Postfix::can_run() {
        eprintln!("left out: a file system can only be mounted by root");
        return;
    }
    let folder = Folder::new("full-page");
    let data = folder.path().join("data");
    let _mount = Mount::new(&data, 48);
    folder.write("runbooks/down.md", include_str!("../../../../runbooks/service-down.md"));
    let phone = Receiver::new(watchbell_runtime::Clock::os());
    let server = phone.clone();
    let served = serve("127.0.0.1:0".parse().expect("an address"), move |stream| {
        let server = server.clone();
        async move { server.serve(stream).await }
    });
    let watched = std::net::TcpListener::bind((own_address(), 0)).expect("a port");
    let target = watched.local_addr().expect("it has one");
    folder.write(
        "watchbell.yml",
        &format!(
            "host: {{enabled: false}}\ndiscovery: {{enabled: false}}\nmonitors:\n  \
             - {{name: web, interval: 1s, retries: 0, runbook: down, tcp: {{host: {}, port: {}}}}}\n\
             route: {{receiver: phone, group_by: [source], group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: phone, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
            target.ip(),
            target.port(),
            served.address
        ),
    );
    let arguments = ["--config", "watchbell.yml", "--data", "data", "--listen", "127.0.0.1:0"];
    let process = Process::start(&folder, &arguments, &[]);
    // To the last byte: as whatever else writes there would.
    let mut ballast = std::fs::File::create(data.join("ballast")).expect("a file");
    let block = vec![1_u8; 4096];
    while std::io::Write::write_all(&mut ballast, &block).is_ok() {}
    drop(watched);
    let pages = |word: &str| {
        phone.received().iter().filter(|it| it.body.contains("monitor/web") && it.body.contains(word)).count()
    };
    wait_until("the page arrives", || pages(r#""status":"firing""#) > 0);
    process.kill();
    let process = Process::start(&folder, &arguments, &[]);
    wait_until("it is known", || process.get("/api/v2/alerts").1.contains("monitor/web"));
    // What comes after it is told of, and by then a second page would have come, too.
    let _again = std::net::TcpListener::bind(target).expect("the port is free");
    wait_until("its end arrives", || pages(r#""status":"resolved""#) > 0);
    assert_eq!(pages(r#""status":"firing""#), 1, "once");
    process.kill();
}
