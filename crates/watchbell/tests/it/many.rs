//! Ten thousand monitors, in simulated time: they are spread, listed, and none waits for one that hangs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use watchbell_model::Timestamp;
use watchbell_runtime::http::{Request, send};
use watchbell_runtime::sim;

use crate::world::Sim;

const MONITORS: usize = 10_000;
/// Servers that take the connection and never say a word.
const HANGING: usize = 300;
const SERVER: &str = "127.0.0.1:9800";
const RUNBOOK: &str = include_str!("../../../../runbooks/service-down.md");

fn config() -> String {
    let mut text = "host: {enabled: false}\nmonitors:\n".to_owned();
    for number in 0..MONITORS {
        text += &format!("  - {{name: web {number}, runbook: down, tcp: {{host: web.example, port: 80}}}}\n");
    }
    for number in 0..HANGING {
        text += &format!("  - {{name: mail {number}, runbook: down, imap: {{host: mail.example, tls: none}}}}\n");
    }
    text
}

/// The least and the most times in each of `parts` parts of a stretch.
fn spread(times: &[Timestamp], from: Timestamp, range: Duration, parts: usize) -> (usize, usize) {
    let mut counts = vec![0; parts];
    for time in times.iter().filter(|time| **time >= from && **time < from + range) {
        counts[(time.since(from).as_secs_f64() / range.as_secs_f64() * parts as f64) as usize] += 1;
    }
    (*counts.iter().min().unwrap(), *counts.iter().max().unwrap())
}

#[test]
fn ten_thousand_monitors_are_spread_and_listed_and_wait_for_none_that_hangs() {
    sim::run(1, |world| async move {
        let heard: Arc<Mutex<Vec<Timestamp>>> = Arc::default();
        let (hears, clock) = (Arc::clone(&heard), world.clock.clone());
        world.net.serve("web.example", 80, move |stream| {
            hears.lock().unwrap().push(clock.now());
            async move { drop(stream) }
        });
        world.net.serve("mail.example", 143, |_stream| std::future::pending());
        let mut sim = Sim::new(world.clone(), &[("watchbell.yml", &config()), ("runbooks/down.md", RUNBOOK)]);
        sim.upkeep = false;
        let begun = world.clock.now();
        let app = Arc::clone(&sim.start().await);
        app.listen(&[SERVER.parse().unwrap()]).await.unwrap();
        let token = app.auth.issue_token("wall").await.unwrap();
        let runtime = world.runtime();
        let ask = async |path: &str| -> Value {
            let url = format!("http://{SERVER}/api/watchbell/v1/{path}").parse().unwrap();
            let mut request = Request::get(url).header("authorization", format!("Bearer {token}"));
            request.body_max = 64 << 20;
            let answer = send(&runtime, request).await.expect("it answers");
            assert_eq!(answer.status, 200, "{path}");
            serde_json::from_slice(&answer.body).expect("it is JSON")
        };

        // In the middle of the first round, when most is going on at once.
        world.clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(ask("monitors").await.as_array().unwrap().len(), MONITORS + HANGING);
        assert_eq!(ask("overview").await["monitors"].as_array().unwrap().len(), MONITORS + HANGING);
        world.clock.sleep(Duration::from_secs(6)).await;
        let times = || heard.lock().unwrap().clone();
        // A thousand for the first time in each second, and those whose place in the minute follows.
        let (least, most) = spread(&times(), begun, Duration::from_secs(10), 10);
        assert!(least > 1000 && most < 1340, "1167 are expected in each second, but there are {least} to {most}");
        let up = |monitors: &Value| monitors.as_array().unwrap().iter().filter(|it| it["state"] == "OK").count();
        assert_eq!(up(&ask("monitors").await), MONITORS, "each was probed");

        // From the second round on each has its place in the minute, whatever hangs.
        world.clock.sleep(Duration::from_secs(180)).await;
        let from = begun + Duration::from_secs(70);
        for minute in 0..2 {
            let from = from + minute * Duration::from_secs(60);
            let round = times().into_iter().filter(|time| *time >= from && *time < from + Duration::from_secs(60));
            // Some stand at the edge, and the way to the server takes a moment more or less.
            let round = round.count();
            assert!(round.abs_diff(MONITORS) < 20, "each is probed once in minute {minute}, but {round} were");
            let (least, most) = spread(&times(), from, Duration::from_secs(60), 12);
            assert!(least > 700 && most < 970, "833 are expected in 5 seconds, but there are {least} to {most}");
        }
        let monitors = ask("monitors").await;
        let of = |state: &str| monitors.as_array().unwrap().iter().filter(|it| it["state"] == state).count();
        assert_eq!((of("OK"), of("ALARM")), (MONITORS, HANGING));
        assert_eq!(ask("overview").await["totals"]["alarm"], HANGING);
        sim.stop().await;
    });
}
