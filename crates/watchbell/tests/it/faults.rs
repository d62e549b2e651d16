//! `kill -9` at every step between decision and delivery: the page arrives, and no receiver that looks at the key
//! counts it twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use watchbell_runtime::Clock;
use watchbell_sim::{Received, Receiver};

use crate::kit::{Folder, Process, own_address, serve, wait_until};

/// Each point is tried at so many of its passes.
const PASSES: usize = 6;
/// At least so many runs must really have been cut off.
const RUNS_MIN: usize = 50;
/// So many times the target goes down and comes back.
const INCIDENTS: usize = 2;
/// Runs side by side: they mostly wait.
const SIDE_BY_SIDE: usize = 8;

/// Every fault point in the sources, so that a new one is tried without being listed.
fn points() -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).expect("it is text");
                for after in text.split("fault::point(\"").skip(1) {
                    found.extend(after.split('"').next().map(str::to_owned));
                }
            }
        }
    }
    found.into_iter().collect()
}

#[test]
fn a_page_survives_a_kill_at_every_step() {
    let points = points();
    assert!(points.len() >= 8, "{points:?}");
    let runs: Vec<(String, usize)> =
        (1..=PASSES).flat_map(|pass| points.iter().map(move |point| (point.clone(), pass))).collect();
    let (next, cut_off) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((point, pass)) = runs.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match run(&format!("{point}@{pass}")) {
                        Ok(true) => {
                            cut_off.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(false) => {}
                        Err(words) => wrong.lock().unwrap().push(format!("{point}@{pass}: {words}")),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let cut_off = cut_off.into_inner();
    eprintln!("{} fault points, {} runs, {cut_off} of them cut off", points.len(), runs.len());
    assert!(cut_off >= RUNS_MIN, "only {cut_off} runs were cut off");
}

/// Incidents, each begun and ended, with one kill on the way. Whether the kill happened.
fn run(fault: &str) -> Result<bool, String> {
    let folder = Folder::new("fault");
    let phone = Receiver::new(Clock::os());
    let served = serve((own_address(), 0).into(), {
        let phone = phone.clone();
        move |stream| {
            let phone = phone.clone();
            async move { phone.serve(stream).await }
        }
    });
    let at = std::net::SocketAddr::from((own_address(), 7000));
    folder.write("runbooks/down.md", include_str!("../../../../runbooks/service-down.md"));
    let file = folder.write(
        "watchbell.yml",
        &format!(
            "host: {{enabled: false}}\nmonitors:\n  - {{name: it, interval: 1s, retries: 0, runbook: down, tcp: {{host: {}, port: 7000}}}}\n\
             route: {{receiver: phone, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: phone, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
            at.ip(),
            served.address
        ),
    );
    let file = file.display().to_string();
    let arguments = ["--config", &file, "--listen", "127.0.0.1:0"];
    let binary = Path::new(env!("CARGO_BIN_EXE_watchbell"));
    let mut cut_off = false;
    // A kill before it was ready counts like any other.
    let mut process = match Process::start_binary(binary, &folder, &arguments, &[("WATCHBELL_FAULT", fault)]) {
        Ok(process) => process,
        Err(_) => {
            cut_off = true;
            Process::start(&folder, &arguments, &[])
        }
    };
    let mut step = |so: &dyn Fn() -> bool, what: &str| {
        wait_until(what, || {
            if process.ended() {
                cut_off = true;
                process = Process::start(&folder, &arguments, &[]);
            }
            so()
        });
    };
    let mut target = None;
    for incident in 1..=INCIDENTS {
        drop(target.take());
        step(&|| told(&phone, "firing").len() >= incident, "the page arrives");
        target = Some(serve(at, |stream| async move { drop(stream) }));
        step(&|| told(&phone, "resolved").len() >= incident, "the resolved page arrives");
    }
    // Whatever is still to come, such as a second copy after a kill, comes with the next start.
    process.kill();
    let process = Process::start(&folder, &arguments, &[]);
    wait_until("the outbox is empty", || process.get("/health").1.contains("\"observedValue\":0,"));
    process.stop();
    drop(target);
    let (firing, resolved) = (told(&phone, "firing"), told(&phone, "resolved"));
    if firing.len() != INCIDENTS || resolved.len() != INCIDENTS {
        let bodies: Vec<String> = phone.received().iter().map(|page| page.body.clone()).collect();
        return Err(format!("{} firing and {} resolved pages: {bodies:#?}", firing.len(), resolved.len()));
    }
    Ok(cut_off)
}

/// The keys of the pages with this status: what a receiver that looks at keys counts.
fn told(phone: &Receiver, status: &str) -> BTreeSet<String> {
    let with = |page: &Received| {
        serde_json::from_str::<serde_json::Value>(&page.body).is_ok_and(|body| body["status"] == status)
    };
    let pages = phone.received().into_iter().filter(with);
    pages.map(|page| page.headers.get("idempotency-key").cloned().unwrap_or_default()).collect()
}
