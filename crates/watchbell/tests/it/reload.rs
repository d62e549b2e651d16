//! Changing the configuration of a running watchbell: by signal, by request, by saving the file.

use crate::kit::{Folder, Process, signal, wait_until};

const GOOD: &str = "host: {enabled: false}\nheartbeats:\n  - {name: backup, period: 1d, grace: 1h, runbook: job}\n";

#[test]
fn a_bad_file_leaves_the_old_configuration_running_and_says_so_everywhere() {
    let folder = Folder::new("reload");
    folder.write("runbooks/job.md", include_str!("../../../../runbooks/heartbeat-missed.md"));
    let file = folder.write("watchbell.yml", GOOD);
    let path = file.display().to_string();
    let watchbell = Process::start(&folder, &["--config", &path, "--listen", "127.0.0.1:0"], &[]);
    assert_eq!(heartbeats(&watchbell), 1);

    folder.write("watchbell.yml", "heartbeats:\n  - {name: backup, perod: 1d, grace: 1h, runbook: job}\n");
    let (status, body) = watchbell.request("POST", "/-/reload", &[], "");
    assert!(status >= 400 && body.contains("perod") && body.contains("period"), "{status} {body}");
    assert_eq!(heartbeats(&watchbell), 1);
    wait_until("it is an alert", || watchbell.get("/api/v2/alerts").1.contains("self/config"));
    wait_until("it is in /health", || watchbell.get("/health").1.contains("config"));

    // Saving a good file mends it without a signal.
    folder.write(
        "watchbell.yml",
        &GOOD
            .replace("backup", "backup2")
            .replace("heartbeats:\n", "heartbeats:\n  - {name: more, period: 1d, grace: 1h, runbook: job}\n"),
    );
    wait_until("the saved file is in force", || heartbeats(&watchbell) == 2);
    wait_until("the alert is over", || !active(&watchbell).contains("self/config"));
    // A reload does not end the watch over the file.
    folder.write("watchbell.yml", "host: {enabled: false}\n");
    wait_until("the file saved once more is in force", || heartbeats(&watchbell) == 0);

    // One that is refused for want of a run book is taken when the run book is written.
    folder.write("watchbell.yml", &GOOD.replace("runbook: job", "runbook: job2"));
    wait_until("it is refused", || watchbell.get("/api/v2/alerts").1.contains("self/config"));
    folder.write("runbooks/job2.md", include_str!("../../../../runbooks/heartbeat-missed.md"));
    wait_until("it is taken", || heartbeats(&watchbell) == 1);
    folder.write("watchbell.yml", "host: {enabled: false}\n");
    wait_until("and changed again", || heartbeats(&watchbell) == 0);

    folder.write("watchbell.yml", GOOD);
    signal(watchbell.pid(), "HUP");
    wait_until("the signal reloads", || heartbeats(&watchbell) == 1);
    assert_eq!(watchbell.stop(), Some(0));
}

/// How many heartbeats are in force.
fn heartbeats(watchbell: &Process) -> usize {
    let (_, text) = watchbell.get("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix("watchbell_config_items{kind=\"heartbeats\"} "));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn active(watchbell: &Process) -> String {
    watchbell.get("/api/v2/alerts?active=true").1
}

#[test]
fn systemd_hears_of_the_start_of_life_after_a_reload_and_of_the_stop() {
    let folder = Folder::new("systemd");
    folder.write("runbooks/job.md", include_str!("../../../../runbooks/heartbeat-missed.md"));
    let file = folder.write("watchbell.yml", GOOD);
    let socket = folder.path().join("notify");
    let systemd = std::os::unix::net::UnixDatagram::bind(&socket).expect("a socket");
    systemd.set_read_timeout(Some(crate::kit::PATIENCE)).expect("a bound");
    let (path, socket) = (file.display().to_string(), socket.display().to_string());
    let environment = [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", "400000")];
    let watchbell = Process::start(&folder, &["--config", &path, "--listen", "127.0.0.1:0"], &environment);
    let until = |wanted: &str| {
        let mut buffer = [0; 64];
        loop {
            let length = systemd.recv(&mut buffer).expect("systemd is told");
            if &buffer[..length] == wanted.as_bytes() {
                break;
            }
        }
    };
    until("READY=1");
    until("WATCHDOG=1");
    assert_eq!(watchbell.request("POST", "/-/reload", &[], "").0, 200);
    // What was on its way is heard first; several in a row can only be new ones.
    (0..10).for_each(|_| until("WATCHDOG=1"));
    assert_eq!(watchbell.stop(), Some(0));
    until("STOPPING=1");
}
