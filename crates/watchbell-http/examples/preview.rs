//! Serves the UI over a made-up site, to look at it: `cargo run -p watchbell-http --example preview [quiet]`.

mod stage;

use std::time::Duration;

use stage::Stage;
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
                let address = stage.heartbeats.addresses().into_iter().find(|it| it.name == name).expect("it is there");
                stage.heartbeats.ping(PingRequest::from_path(&address.uuid, "").expect("an address")).await;
            }
        }
        if !quiet {
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
