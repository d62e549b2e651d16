//! Status pages of the whole watchbell: days with crashes, incidents over `kill -9`, and a configuration that is refused.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use watchbell_model::Url;
use watchbell_runtime::http::{Request, send};
use watchbell_runtime::{Runtime, sim};

use crate::kit::{Folder, Process, own_address, wait_until};
use crate::world::Sim;

const RUNBOOK: &str = include_str!("../../../../runbooks/service-down.md");

const PAGES: &str = "
host: {enabled: false}
listeners: [{address: 127.0.0.1:9800}]
monitors: [{name: web, interval: 60s, retries: 0, runbook: down, tcp: {host: web.example, port: 80}}]
heartbeats: [{name: job, period: 1h, grace: 10m, runbook: down}]
downtimes: [{name: nightly, matchers: [monitor=web], cron: 0 3 * * *, lasts: 30m}]
status_pages:
  - {name: public, public: true, groups: [{items: [{monitor: web, name: The site}, {heartbeat: job}]}]}
";

async fn board(runtime: &Runtime) -> Value {
    let url: Url = "http://127.0.0.1:9800/api/watchbell/v1/status/public".parse().unwrap();
    let answer = send(runtime, Request::get(url)).await.expect("it answers");
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).expect("it is JSON")
}

/// What a page says of its first item: how it is, and its last days as minutes up, down, in maintenance.
fn said(board: &Value) -> String {
    let item = &board["groups"][0]["items"][0];
    let days = item["days"].as_array().unwrap();
    let day = |day: &Value| {
        let (known, down) = (day["known_minutes"].as_u64().unwrap(), day["down_minutes"].as_u64().unwrap());
        format!("{} {}+{down}+{}", day["date"].as_str().unwrap(), known - down, day["maintenance_minutes"])
    };
    format!(
        "{}: {}",
        item["state"].as_str().unwrap(),
        days[days.len() - 3..].iter().map(day).collect::<Vec<_>>().join(", ")
    )
}

#[test]
fn days_are_counted_to_the_minute_over_crashes() {
    sim::run(1, |world| async move {
        let mut sim = Sim::new(world.clone(), &[("watchbell.yml", PAGES), ("runbooks/down.md", RUNBOOK)]);
        world.net.serve("web.example", 80, |stream| async move { drop(stream) });
        let hours = |n: f64| world.clock.sleep(Duration::from_secs_f64(3600.0 * n));
        let listen = ["127.0.0.1:9800".parse().unwrap()];
        let app = sim.start().await;
        app.listen(&listen).await.unwrap();
        let first = world.clock.now();
        hours(2.0).await;
        // Half an hour in which nothing runs is not known.
        sim.crash();
        hours(0.5).await;
        let app = sim.start().await;
        app.listen(&listen).await.unwrap();
        hours(48.0).await;
        let before = board(&world.runtime()).await;
        let days = before["groups"][0]["items"][0]["days"].as_array().unwrap();
        let known: u64 = days.iter().map(|day| day["known_minutes"].as_u64().unwrap()).sum();
        let maintenance: u64 = days.iter().map(|day| day["maintenance_minutes"].as_u64().unwrap()).sum();
        let minutes = world.clock.now().since(first).as_secs() / 60;
        assert_eq!(maintenance, 60, "{before}");
        // All but the half hour, and at each start the minute until it knew anything.
        assert!((minutes - 30 - 60 - 6..=minutes - 30 - 60).contains(&known), "{known} of {minutes}: {before}");
        assert_eq!(before["groups"][0]["items"][0]["uptime"][0]["up"], 1.0);
        // A restart comes to the same days.
        sim.crash();
        world.clock.sleep(Duration::from_secs(1)).await;
        let app = sim.start().await;
        app.listen(&listen).await.unwrap();
        assert_eq!(said(&board(&world.runtime()).await), said(&before));
        sim.stop().await;
    });
}

const REAL: &str = "
host: {enabled: false}
discovery: {enabled: false}
monitors: [{name: web, interval: 1s, retries: 0, runbook: down, tcp: {host: HOST, port: 7000}}]
status_pages:
  - {name: public, title: All of it, public: true, groups: [{items: [{monitor: web, name: The site}]}]}
";

/// A command of the binary in the folder of a running one.
fn run(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
    command.args(arguments).current_dir(folder.path()).env("USER", "anna").env_remove("SUDO_USER");
    command.output().expect("the binary starts")
}

#[test]
fn incidents_are_told_by_the_command_line_and_survive_a_kill() {
    let folder = Folder::new("status");
    folder.write("runbooks/down.md", RUNBOOK);
    let address = format!("{}:9800", own_address());
    let config = REAL.replace("HOST", &own_address().to_string());
    folder.write("watchbell.yml", &format!("listeners: [{{address: '{address}'}}]{config}"));
    let start = |environment: &[(&str, &str)]| Process::start(&folder, &[], environment);
    let said = |output: &Output| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    };
    let open = ["incident", "open", "The site is slow", "We look.", "--affects", "web", "--impact", "outage"];

    // Cut off before it was written it is nowhere; cut off behind that, it is there.
    for (fault, there) in [("alerts.incident_planned@1", false), ("alerts.incident_committed@1", true)] {
        let mut watchbell = start(&[("WATCHBELL_FAULT", fault)]);
        assert!(!run(&folder, &open).status.success());
        wait_until("it is cut off", || watchbell.ended());
        let watchbell = start(&[]);
        assert_eq!(watchbell.get("/status/public").1.contains("The site is slow"), there, "{fault}");
        watchbell.kill();
    }

    let watchbell = start(&[]);
    wait_until("it is down", || watchbell.get("/status/public").1.contains("Everything is down"));
    let list = said(&run(&folder, &["incident", "list"]));
    assert!(
        list.contains("The site is slow  investigating, outage, since") && list.contains("by anna: We look."),
        "{list}"
    );
    let update = ["incident", "update", "The site is slow", "A cable.", "--stage", "identified"];
    assert!(run(&folder, &update).status.success());
    let page = watchbell.get("/status/public").1;
    assert!(page.contains("A cable.") && page.contains("outage: The site") && !page.contains("anna"), "{page}");
    let none = run(&folder, &["incident", "resolve", "Another"]);
    assert!(said(&none).contains("no incident that is not over is called `Another`"), "{}", said(&none));

    // A refused configuration leaves the page as it was; a good one changes it.
    let good = std::fs::read_to_string(folder.path().join("watchbell.yml")).unwrap();
    folder.write("watchbell.yml", &good.replace("{monitor: web,", "{monitor: wob,"));
    assert!(said(&run(&folder, &["check"])).contains("did you mean `web`?"));
    wait_until("it is refused", || watchbell.get("/api/v2/alerts").1.contains("self/config"));
    assert!(watchbell.get("/status/public").1.contains("<h3>The site</h3>"));
    folder.write("watchbell.yml", &good.replace("The site}", "Our site}"));
    wait_until("it is another", || watchbell.get("/status/public").1.contains("<h3>Our site</h3>"));
    let check = said(&run(&folder, &["check"]));
    assert!(check.contains("status page: /status/public, 1 item, for everybody"), "{check}");

    watchbell.kill();
    let watchbell = start(&[]);
    assert!(watchbell.get("/status/public").1.contains("A cable."));
    assert!(run(&folder, &["incident", "resolve", "The site is slow"]).status.success());
    assert!(watchbell.get("/status/public/feed.atom").1.contains("Resolved: The site is slow"));
    assert!(said(&run(&folder, &["incident", "list"])).contains("there is no incident"));
    assert_eq!(watchbell.stop(), Some(0));
}
