//! Heartbeats that nobody configured, over crashes and reloads; and jobs run by `watchbell ping`.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use watchbell_model::{HeartbeatState, Span};
use watchbell_runtime::sim;
use watchbell_sources::heartbeat::{Definition, PingRequest};

use crate::kit::{Folder, Process};
use crate::world::{Sim, receiver};

const CONFIG: &str = "
host: {enabled: false}
ping_key: a-ping-key
heartbeats: [{name: configured, period: 1h, grace: 10m, runbook: job}]
route: {receiver: hook, group_by: [alertname, source], group_wait: 0s, group_interval: 10s}
receivers: [{name: hook, webhook_configs: [{url: 'http://hook.example/'}]}]
";

const RUNBOOK: &str = include_str!("../../../../runbooks/heartbeat-missed.md");

#[test]
fn a_heartbeat_that_a_ping_made_pages_after_crashes_and_reloads_and_stays_paused() {
    sim::run(1, |world| async move {
        let hook = receiver(&world, "hook.example", 80, None);
        let mut sim = Sim::new(world.clone(), &[("watchbell.yml", CONFIG), ("runbooks/job.md", RUNBOOK)]);
        let minutes = |n: u64| world.clock.sleep(Duration::from_secs(60 * n));
        let told = || {
            let pages = hook.received();
            let pages = pages.iter().map(|page| serde_json::from_str::<Value>(&page.body).expect("it is JSON"));
            let one = |page: Value| {
                let labels = &page["alerts"][0]["labels"];
                format!("{} {}", page["status"].as_str().unwrap(), labels["heartbeat"].as_str().unwrap())
            };
            pages.map(one).collect::<Vec<_>>()
        };
        let app = sim.start().await;
        let ping = || PingRequest::from_path("a-ping-key/db-dump", "create=1").unwrap();
        assert_eq!(app.heartbeats.ping(ping()).await.status, 201);
        let made = app.heartbeats.all().pop().unwrap();
        let often = Definition { timeout: Span::minutes(5), grace: Span::minutes(1), ..made.definition.clone() };
        app.heartbeats.change(&made.uuid, often).await.unwrap();
        // A kill at once after each answer loses nothing of it.
        sim.crash();
        let app = sim.start().await;
        assert_eq!(app.heartbeats.ping(ping()).await.status, 200);
        assert_eq!(app.alarms.heartbeat(&made.id).unwrap().state, HeartbeatState::Up);
        // A configuration that is read again does not forget it.
        app.reload_now().await.unwrap();
        minutes(5).await;
        assert_eq!(told(), Vec::<String>::new());
        minutes(2).await;
        assert_eq!(told(), ["firing db-dump"]);
        app.heartbeats.pause(&made.uuid).await.unwrap();
        sim.crash();
        let app = sim.start().await;
        minutes(300).await;
        assert_eq!(told(), ["firing db-dump", "resolved db-dump"]);
        assert_eq!(app.alarms.heartbeat(&made.id).unwrap().state, HeartbeatState::Paused);
        // It is set going by its next ping, and missed again; and it goes with its alert.
        app.heartbeats.ping(ping()).await;
        minutes(7).await;
        app.heartbeats.delete(&made.uuid).await.unwrap();
        minutes(1).await;
        assert_eq!(told()[2..], ["firing db-dump", "resolved db-dump"]);
        sim.crash();
        let app = sim.start().await;
        assert!(app.alarms.heartbeat(&made.id).is_none());
        assert_eq!(app.heartbeats.all().len(), 1);
        sim.stop().await;
    });
}

/// `watchbell ping` with these arguments: its exit code, what it printed, and what it said of trouble.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .arg("ping")
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_job_is_run_and_its_heartbeat_told() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let folder = Folder::new("ping");
    let config = format!(
        "healthchecks: {{key: {KEY}}}\nheartbeats: [{{name: Nightly backup, runbook: 'https://example.org/'}}]\n\
         host: {{enabled: false}}\ndiscovery: {{enabled: false}}\n"
    );
    folder.write("watchbell.yml", &config);
    let data = folder.path().join("data").display().to_string();
    let watchbell = Process::start(&folder, &["--listen", "127.0.0.1:0", "--data", &data], &[]);
    let key = [("X-Api-Key", KEY)];
    let ask = |path: &str| -> Value {
        let (status, body) = watchbell.request("GET", path, &key, "");
        assert_eq!(status, 200, "{path}: {body}");
        let json = body.find('{').map_or(body.as_str(), |at| &body[at..=body.rfind('}').expect("it ends")]);
        serde_json::from_str(json).expect("it is JSON")
    };
    let uuid = ask("/api/v3/checks/")["checks"][0]["uuid"].as_str().expect("it has one").to_owned();
    let url = format!("http://{}/ping/{uuid}", watchbell.address);

    let job = "echo said; echo meant >&2; echo $WATCHBELL_RUN; exit 3";
    let (code, said, meant) = run(&[&url, "--", "sh", "-c", job], &[]);
    let run_id = said.lines().last().expect("it says its run").to_owned();
    assert_eq!((code, said.lines().next(), meant.as_str()), (3, Some("said"), "meant\n"));
    let pings = ask(&format!("/api/v3/checks/{uuid}/pings/"));
    let told = |at: usize, field: &str| pings["pings"][at][field].clone();
    assert_eq!((told(0, "type"), told(0, "rid")), ("fail".into(), run_id.clone().into()));
    assert_eq!((told(1, "type"), told(1, "rid")), ("start".into(), run_id.clone().into()));
    assert!(told(0, "duration").as_f64().is_some(), "{pings}");
    let body = watchbell.request("GET", &format!("/api/v3/checks/{uuid}/pings/2/body"), &key, "").1;
    assert!(body.contains("said") && body.contains("meant"), "{body}");

    // A signal, a program that is not there, and one that says nothing of itself.
    assert_eq!(run(&[&url, "--", "sh", "-c", "kill -9 $$"], &[]).0, 137);
    let (code, _, words) = run(&[&url, "--", "no-such-program"], &[]);
    assert_eq!((code, words.contains("no-such-program")), (127, true), "{words}");
    assert_eq!(run(&["--no-output", "--", "true"], &[("WATCHBELL_PING_URL", &url)]).0, 0);
    let checks = ask("/api/v3/checks/");
    assert_eq!((&checks["checks"][0]["status"], &checks["checks"][0]["n_pings"]), (&"up".into(), &8.into()));

    // What is no address is passed over; who does not answer makes no job fail.
    let (code, said, words) = run(&["CHANGEME", "--", "sh", "-c", "exit 4"], &[]);
    assert_eq!((code, said.as_str(), words.contains("does not begin with `http`")), (4, "", true), "{words}");
    assert_eq!(run(&["", "--", "sh", "-c", "exit 4"], &[]), (4, String::new(), String::new()));
    let nobody = "http://127.0.0.1:1/ping/x";
    let (code, _, words) = run(&[nobody, "--tries", "1", "--", "true"], &[]);
    assert_eq!((code, words.contains("was not taken"), words.contains("/ping/x")), (0, true, false), "{words}");

    // Where jobs report, as a file for them.
    let file = folder.path().join("jobs.env");
    let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["heartbeats", "--env"])
        .arg(&file)
        .args(["--url", &format!("http://{}", watchbell.address)])
        .env("WATCHBELL_TOKEN", token(&folder, &data))
        .current_dir(folder.path())
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(file).expect("it is written");
    assert!(text.starts_with("PING_NIGHTLY_BACKUP=http") && text.trim_end().ends_with(&uuid), "{text}");
}

fn token(folder: &Folder, data: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["token", "new", "jobs", "--data", data])
        .current_dir(folder.path())
        .output()
        .expect("the binary starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
