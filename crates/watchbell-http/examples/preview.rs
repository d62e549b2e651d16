//! Serves the UI over a made-up site, to look at it: `cargo run -p watchbell-http --example preview [quiet]`.

mod stage;

use std::time::Duration;

use stage::Stage;
use watchbell_alerts::{Impact, Incident, IncidentChange, IncidentUpdate, Stage as Told};
use watchbell_model::{Append, Point, Timestamp};
use watchbell_runtime::{Clock, Runtime};
use watchbell_sources::heartbeat::PingRequest;

const DAY: i64 = 86_400_000;
const STEP: i64 = 120_000;

fn main() {
    let quiet = std::env::args().nth(1).is_some_and(|word| word == "quiet");
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    tokio.block_on(async {
        let mut runtime = Runtime::os();
        // The story begins a day ago; the clock is set forward step by step until it is now.
        let now = runtime.clock.now();
        runtime.clock = Clock::sim(Timestamp(now.as_millis() - DAY));
        let listener = runtime.net.listen("127.0.0.1:9801".parse().expect("an address")).await.expect("a free port");
        let stage = Stage::open(runtime.clone(), &["http://127.0.0.1:9/down"]).await;
        for minute in (0..DAY / STEP).rev() {
            let (left, clock) = (minute * STEP, &runtime.clock);
            clock.jump(now.as_millis() - left - clock.now().as_millis());
            let broken = (left < 720_000 && !quiet) || (30_000_000..31_000_000).contains(&left);
            stage
                .probe("imap", if broken { Err("connection refused") } else { Ok(20 + (minute as u64 * 7) % 23) })
                .await;
            stage.probe("smtp", Ok(45 + (minute as u64 * 13) % 31)).await;
            stage.probe("webmail", Ok(if minute % 97 == 0 { 900 } else { 120 + (minute as u64 * 5) % 40 })).await;
            stage.series.append(host(clock.now(), minute, quiet).into()).await.expect("memory takes it");
            if minute == 300 || minute == 420 {
                let name = if minute == 300 { "backup" } else { "log-rotate" };
                let job = stage.heartbeats.all().into_iter().find(|it| it.id == name).expect("it is there");
                stage.heartbeats.ping(PingRequest::from_path(&job.uuid, "").expect("an address")).await;
            }
        }
        *stage.config.status_pages.lock().expect("no panic") = stage::status_pages(status_pages());
        stage.series.append(past(now).into()).await.expect("memory takes it");
        if !quiet {
            tell(&stage).await;
            let mut load = stage.config.load.lock().expect("no panic");
            load.refused_at = Some(runtime.clock.now());
            load.problems = vec!["watchbell.yml:42:7: monitors[3].runbook: there is no run book `webmail-down`".into()];
        }
        runtime.supervisor.reconcile("notify", stage.notify.tasks());
        println!("http://{}{}", listener.local_addr(), stage.auth.issue_link().await.expect("memory takes it"));
        println!("token {}", stage.auth.issue_token("preview").await.expect("memory takes it"));
        runtime.clock.sleep(Duration::from_millis(200)).await;
        watchbell_http::serve(runtime, listener, watchbell_http::router(stage.handles()), stage.stop.clone()).await;
    });
}

fn status_pages() -> serde_json::Value {
    serde_json::json!([{
        "name": "public", "title": "Example mail", "public": true, "time_zone": "Europe/Berlin",
        "description": "What works of mail.example.org, and what does not.",
        "footer": "Write to postmaster@example.org if something is wrong that is not told here.",
        "show_latency": true, "show_certificates": true,
        "groups": [
            { "name": "Mail", "items": [
                { "monitor": "imap", "name": "Reading mail", "description": "IMAP, on phones and in mail programs." },
                { "monitor": "smtp", "name": "Getting mail" },
                { "monitor": "webmail", "name": "Webmail" } ] },
            { "name": "Behind it", "items": [
                { "heartbeat": "backup", "name": "Nightly backup" }, { "heartbeat": "log-rotate" } ] },
        ],
    }, { "name": "team", "token": "a-token-to-look-at", "groups": [{ "items": [{ "monitor": "imap" }] }] }])
}

/// Ninety days, some of them better than others.
fn past(now: Timestamp) -> Vec<Point> {
    let mut points = Vec::new();
    for minute in 0..90 * 1440 {
        let at = Timestamp((now.as_millis() / 60_000 - minute) * 60_000);
        let day = minute / 1440;
        for (nth, name) in
            ["monitor/imap", "monitor/smtp", "monitor/webmail", "heartbeat/backup"].into_iter().enumerate()
        {
            let nth = nth as i64;
            let labels = [("alarm", name)];
            if day > 70 + nth * 4 || (day == 33 && minute % 1440 > 300) {
                continue;
            }
            if (day + nth * 5) % 29 == 11 && minute % 1440 < 90 {
                points.push(Point::new("watchbell_maintenance", &labels, at, 1.0));
                continue;
            }
            let bad =
                minute % 1440 < 14 && (day + nth * 3) % 23 == 6 || minute % 1440 < 400 && (day + nth * 7) % 41 == 20;
            points.push(Point::new("watchbell_up", &labels, at, f64::from(u8::from(!bad))));
        }
    }
    points.reverse();
    points
}

/// Two incidents, one of them over, and maintenance to come.
async fn tell(stage: &Stage) {
    let said = |stage, text: &str| IncidentUpdate { at: Timestamp(0), stage, text: text.into(), by: "anna".into() };
    for (title, impact, texts) in [
        (
            "Attachments were refused",
            Impact::Degraded,
            &["Mail with large attachments is sent back.", "The limit is as it was. Please send it again."][..],
        ),
        (
            "Mail cannot be read",
            Impact::Outage,
            &["Nobody can read mail just now. Mail still arrives and waits.\n\nWe look for the cause."][..],
        ),
    ] {
        let first = said(Told::Investigating, texts[0]);
        let (id, affects) = (String::new(), vec!["monitor/imap".to_owned()]);
        let new = Incident { id, title: title.into(), pages: Vec::new(), affects, impact, updates: vec![first] };
        let opened = stage.alerts.change_incident(IncidentChange::Open(new)).await.expect("memory takes it");
        let (id, by) = (opened.id, "anna".to_owned());
        for text in &texts[1..] {
            let (id, by, text, stage_) = (id.clone(), by.clone(), (*text).to_owned(), Some(Told::Resolved));
            let more = IncidentChange::Update { id, stage: stage_, text, by, title: None, impact: None, affects: None };
            stage.alerts.change_incident(more).await.expect("memory takes it");
        }
    }
    let at = |hours: i64| (stage.runtime.clock.now() + Duration::from_secs(3600 * hours.unsigned_abs())).to_string();
    let downtime = serde_json::json!({ "name": "move", "matchers": ["monitor=\"webmail\""],
        "from": at(30).trim_end_matches('Z'), "until": at(32).trim_end_matches('Z') });
    let downtime = serde_json::from_value(downtime).expect("a downtime");
    stage.alerts.make_downtime(downtime, "anna", "").await.expect("memory takes it");
}

fn host(at: Timestamp, minute: i64, quiet: bool) -> Vec<Point> {
    let job = ("job", "host");
    let instance = ("instance", "mail-1");
    let wave = (minute as f64 / 40.0).sin() * 0.1 + 0.25;
    let busy = (minute as f64 / 40.0).cos() * -480.0 + minute as f64 * -30.0;
    let idle = at.as_seconds() - busy - 1e6;
    let full = if quiet { 20e9 } else { 4e9 };
    let disk = |mountpoint| [job, instance, ("device", mountpoint), ("mountpoint", mountpoint)];
    vec![
        Point::new("node_cpu_seconds_total", &[job, instance, ("cpu", "0"), ("mode", "idle")], at, idle),
        Point::new("node_cpu_seconds_total", &[job, instance, ("cpu", "0"), ("mode", "user")], at, busy + 1e6),
        Point::new("node_memory_MemTotal_bytes", &[job, instance], at, 4.1e9),
        Point::new("node_memory_MemAvailable_bytes", &[job, instance], at, 1.8e9 + wave * 1e9),
        Point::new("node_load1", &[job, instance], at, wave * 2.0),
        Point::new("node_filesystem_size_bytes", &disk("/var"), at, 64e9),
        Point::new("node_filesystem_avail_bytes", &disk("/var"), at, full),
        Point::new("node_filesystem_size_bytes", &disk("/"), at, 32e9),
        Point::new("node_filesystem_avail_bytes", &disk("/"), at, 18e9),
    ]
}
