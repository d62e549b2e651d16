//! The browser's monitor against a made-up browser, which answers what it is told to. A real one is met by the acceptance
//! tests.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use watchbell_runtime::Stream;
use watchbell_runtime::sim::{self, World};

use super::super::{Live, MonitorConfig, probe, run_among};
use super::{config, told};

/// What a made-up browser does.
#[derive(Clone, Default)]
struct Made {
    /// Answers of the page, one after the other, the last one for ever.
    answers: Vec<Value>,
    /// Events before the answer to the navigation.
    events: Vec<Value>,
    /// The answer to the navigation, if it is not a good one.
    navigated: Option<Value>,
    /// Says nothing to this command any more.
    hangs_at: &'static str,
}

/// Puts the browser on the disk; gives the commands that it hears.
fn put(world: &mut World, made: Made) -> Arc<Mutex<Vec<String>>> {
    world.environment.insert("PATH".into(), "/bin".into());
    world.disk.put(Path::new("/bin/chromium"), b"");
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let (supervisor, hears) = (world.runtime().supervisor, Arc::clone(&heard));
    world.programs.put_talker("/bin/chromium", move |_| {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (made, hears) = (made.clone(), Arc::clone(&hears));
        supervisor.detached(async move { play(far, made, hears).await });
        Box::new(near) as Stream
    });
    heard
}

async fn play(mut stream: DuplexStream, made: Made, hears: Arc<Mutex<Vec<String>>>) {
    let mut answers: VecDeque<Value> = made.answers.into();
    loop {
        let mut message = Vec::new();
        loop {
            match stream.read_u8().await {
                Ok(0) => break,
                Ok(byte) => message.push(byte),
                Err(_) => return,
            }
        }
        let message: Value = serde_json::from_slice(&message).unwrap();
        let command = message["method"].as_str().unwrap();
        hears.lock().unwrap().push(command.to_owned());
        let mut says = Vec::new();
        let result = match command {
            _ if command == made.hangs_at => continue,
            "Target.createTarget" => json!({"targetId": "F"}),
            "Target.attachToTarget" => json!({"sessionId": "S"}),
            "Page.navigate" => {
                let url = &message["params"]["url"];
                says.push(json!({"method": "Network.requestWillBeSent", "params":
                    {"requestId": "1", "type": "Document", "frameId": "F", "request": {"url": url}}}));
                says.extend(made.events.clone());
                made.navigated.clone().unwrap_or_else(|| {
                    let response = json!({"requestId": "1", "response": {"status": 200}});
                    says.push(json!({"method": "Network.responseReceived", "params": response}));
                    says.push(
                        json!({"method": "Page.frameNavigated", "params": {"frame": {"id": "F", "loaderId": "L"}}}),
                    );
                    says.push(json!({"method": "Network.loadingFinished", "params": {"requestId": "1"}}));
                    let load = json!({"name": "load", "frameId": "F", "loaderId": "L"});
                    says.push(json!({"method": "Page.lifecycleEvent", "params": load}));
                    json!({"frameId": "F", "loaderId": "L"})
                })
            }
            "Runtime.evaluate" if message["params"]["expression"].as_str().unwrap().contains("(\"about\"") => {
                json!({"result": {"value": {"state": "ok", "title": "Shop", "url": "https://shop.example/?q=hunter22"}}})
            }
            "Runtime.evaluate" => {
                let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
                json!({"result": {"value": next.unwrap_or(Value::Null)}})
            }
            // "PNG", for short.
            "Page.captureScreenshot" => json!({"data": "UE5H"}),
            _ => json!({}),
        };
        says.push(json!({"id": message["id"], "result": result}));
        for it in says {
            stream.write_all(format!("{it}\0").as_bytes()).await.unwrap();
        }
    }
}

fn monitor(steps: &str) -> MonitorConfig {
    config(&format!(r#"{{"browser": {{"patience": "2s", "steps": [{{"open": "https://shop.example/"}}{steps}]}}}}"#))
}

/// What is told of the visit, of the picture that is left, and the seconds that went by.
fn visit(steps: &str, made: Made) -> String {
    sim::run(1, |mut world| async move {
        put(&mut world, made);
        let live = Live::default();
        let begun = world.clock.monotonic();
        let result = run_among(&monitor(steps), &world.runtime(), &live).await;
        let took = (world.clock.monotonic() - begun).as_secs_f64().round();
        let picture = live.screenshot("m").map(|it| String::from_utf8_lossy(&it.picture).into_owned());
        format!("{}\n  in {took} s, {picture:?}", told(&result).split("\n  after").next().unwrap())
    })
}

#[test]
fn steps_work_or_say_what_was_there_instead() {
    let ok = json!({"state": "ok", "x": 1, "y": 2, "contains": true, "text": "Welcome"});
    let answers = |answers: Vec<Value>| Made { answers, ..Made::default() };
    let steps = r##", {"wait": "#go"}, {"click": "#go"}, {"fill": {"selector": "#q", "value": "hunter22"}}, {"press": "Enter"},
        {"expect": {"selector": "h1", "text": "Welcome"}}, {"expect_text": "Welcome"}, {"expect_title": "Shop"}, {"expect_url": "shop"}"##;
    let state = |state: &str| json!({"state": state, "by": "div.banner"});
    let told = [
        visit(steps, answers(vec![ok.clone()])),
        // What comes late is waited for.
        visit(r##", {"wait": "#go"}"##, answers(vec![state("missing"), state("away"), state("hidden"), ok.clone()])),
        visit(r##", {"click": "#go"}"##, answers(vec![state("missing")])),
        visit(r##", {"click": "#go"}"##, answers(vec![state("covered")])),
        visit(r##", {"click": "#!"}"##, answers(vec![state("bad")])),
        visit(r#", {"expect": {"selector": "h1", "text": "Hello"}}"#, answers(vec![ok.clone()])),
        visit(
            r#", {"expect_text": "Hello"}"#,
            answers(vec![json!({"state": "ok", "contains": false, "text": "A\nB"})]),
        ),
        visit(r#", {"expect_title": "Sale"}"#, Made::default()),
        visit(r#", {"expect_url": "sale"}"#, Made::default()),
        visit(
            r#", {"fill": {"selector": "b", "value": "hunter22"}}, {"script": "f()"}"#,
            answers(vec![ok, json!(false)]),
        ),
    ];
    expect![[r#"
        up: all 9 steps worked; the page is `Shop` (https://shop.example/?q=<typed>), 200 OK
          in 0 s, None
        up: all 2 steps worked; the page is `Shop` (https://shop.example/?q=hunter22), 200 OK
          in 0 s, None
        down: step 2, click `#go`: there is no such element; the page is `Shop` (https://shop.example/?q=hunter22), 200 OK
          in 2 s, Some("PNG")
        down: step 2, click `#go`: `div.banner` lies over the element; the page is `Shop` (https://shop.example/?q=hunter22), 200 OK
          in 2 s, Some("PNG")
        down: step 2, click `#!`: it is not a selector of CSS; the page is `Shop` (https://shop.example/?q=hunter22), 200 OK
          in 0 s, Some("PNG")
        down: step 2, expect `h1`: expected `Hello`, but it says `Welcome`; the page is `Shop` (https://shop.example/?q=hunter22), 200 OK
          in 2 s, Some("PNG")
        down: step 2, expect_text `Hello`: the page says `A B`; the page is `Shop` (https://shop.example/?q=hunter22), 200 OK
          in 2 s, Some("PNG")
        down: step 2, expect_title `Sale`: the title is `Shop`; the page is `Shop` (https://shop.example/?q=hunter22), 200 OK
          in 2 s, Some("PNG")
        down: step 2, expect_url `sale`: the address is `https://shop.example/?q=hunter22`; the page is `Shop` (https://shop.example/?q=hunter22), 200 OK
          in 2 s, Some("PNG")
        down: step 3, script `f()`: it is `false`; the page is `Shop` (https://shop.example/?q=<typed>), 200 OK
          in 2 s, Some("PNG")"#]].assert_eq(&told.join("\n"));
}

#[test]
fn pages_that_cannot_be_had_and_browsers_that_do_not_work() {
    let error = |words: &str| Made { navigated: Some(json!({"errorText": words, "loaderId": "L"})), ..Made::default() };
    let event = |method: &str, params: Value| json!({"method": method, "params": params});
    let thrown = json!({"exceptionDetails": {"text": "Uncaught", "lineNumber": 6, "url": "https://shop.example/app.js",
        "exception": {"description": "TypeError: no\n at x"}}});
    let told = [
        visit("", error("net::ERR_CERT_DATE_INVALID")),
        visit("", error("net::ERR_NEW")),
        visit("", Made { events: vec![event("Runtime.exceptionThrown", thrown)], ..Made::default() }),
        visit("", Made { hangs_at: "Page.navigate", ..Made::default() }),
        visit("", Made { hangs_at: "Target.createTarget", ..Made::default() }),
        visit(r#", {"wait": "b"}"#, Made { hangs_at: "Runtime.evaluate", ..Made::default() }),
        visit("", Made { events: vec![event("Inspector.targetCrashed", json!({}))], ..Made::default() }),
        sim::run(1, |mut world| async move {
            world.environment.insert("PATH".into(), "/bin".into());
            told(&run_among(&monitor(""), &world.runtime(), &Live::default()).await)
        }),
        sim::run(1, |mut world| async move {
            world.environment.insert("PATH".into(), "/bin".into());
            world.disk.put(Path::new("/bin/chromium"), b"");
            world.programs.put_talker("/bin/chromium", |_| Box::new(tokio::io::duplex(1).0));
            told(&run_among(&monitor(""), &world.runtime(), &Live::default()).await)
        }),
    ];
    expect![[r#"
        down: step 1, open `https://shop.example/`: the certificate has expired, or is not valid yet (net::ERR_CERT_DATE_INVALID); the page is `Shop` (https://shop.example/?q=hunter22)
          in 0 s, Some("PNG")
        down: step 1, open `https://shop.example/`: the browser could not open it: NEW; the page is `Shop` (https://shop.example/?q=hunter22)
          in 0 s, Some("PNG")
        up: the step worked; the page is `Shop` (https://shop.example/?q=hunter22), 200 OK; the console has an error: `TypeError: no` (https://shop.example/app.js:7)
          in 0 s, None
        down: step 1, open `https://shop.example/`: gave up after 30s: the page does not answer (a script may run without end); the page is `Shop` (https://shop.example/?q=hunter22)
          in 28 s, Some("PNG")
        down: the browser did not start: gave up after 30s waiting for the browser to start
          in 30 s, None
        down: step 2, wait `b`: gave up after 30s: the page does not answer (a script may run without end)
          in 29 s, Some("PNG")
        down: step 1, open `https://shop.example/`: the page crashed: it took too much memory, or found a bug of the browser; the page is `Shop` (https://shop.example/?q=hunter22), 200 OK
          in 0 s, Some("PNG")
        down: there is no browser on this machine: none of `chromium`, `chromium-browser`, `google-chrome`, `google-chrome-stable` is in PATH
        down: the browser did not start: the browser is gone: broken pipe"#]].assert_eq(&told.join("\n"));
}

#[test]
fn steps_are_series_and_phases() {
    let lines = sim::run(1, |mut world| async move {
        let ok = json!({"state": "ok"});
        put(&mut world, Made { answers: vec![json!({"state": "hidden"}), ok], ..Made::default() });
        let (result, points, _) = probe(&monitor(r#", {"wait": "b"}"#), &world.runtime(), &Live::default()).await;
        let points = points.iter().map(|it| format!("{:?} {}", it.labels, it.value));
        format!("{:?}\n{}", result.phases, points.collect::<Vec<_>>().join("\n"))
    });
    expect![[r#"
        [("start", 0.0), ("1 open", 0.0), ("2 wait", 0.1)]
        probe_success{instance="https://shop.example/", job="monitor", monitor="m"} 1
        probe_duration_seconds{instance="https://shop.example/", job="monitor", monitor="m"} 0.1
        probe_browser_queue_seconds{instance="https://shop.example/", job="monitor", monitor="m"} 0
        probe_browser_start_seconds{instance="https://shop.example/", job="monitor", monitor="m"} 0
        probe_browser_step_duration_seconds{instance="https://shop.example/", job="monitor", kind="open", monitor="m", step="1"} 0
        probe_browser_step_duration_seconds{instance="https://shop.example/", job="monitor", kind="wait", monitor="m", step="2"} 0.1
        probe_browser_status_code{instance="https://shop.example/", job="monitor", monitor="m"} 200
        probe_browser_console_errors{instance="https://shop.example/", job="monitor", monitor="m"} 0"#]].assert_eq(&lines);
}

#[test]
fn one_browser_at_a_time_and_the_line_is_no_part_of_the_time() {
    let told = sim::run(1, |mut world| async move {
        let heard = put(&mut world, Made { hangs_at: "Page.navigate", ..Made::default() });
        let (live, runtime, monitor) = (Live::default(), world.runtime(), monitor(""));
        let run = || run_among(&monitor, &runtime, &live);
        let (first, second) = tokio::join!(biased; run(), run());
        let starts = heard.lock().unwrap().iter().filter(|it| *it == "Target.createTarget").count();
        let took = [first, second].map(|it| {
            assert!(!it.success);
            it.duration.duration().as_secs_f64().round()
        });
        format!("{starts} starts, {took:?} s, together {}", world.clock.monotonic().as_secs_f64().round())
    });
    expect!["2 starts, [28.0, 28.0] s, together 56"].assert_eq(&told);
}

#[test]
fn a_probe_that_is_given_up_lets_the_next_one_through() {
    sim::run(1, |mut world| async move {
        put(&mut world, Made { hangs_at: "Page.navigate", ..Made::default() });
        let (live, runtime, monitor) = (Live::default(), world.runtime(), monitor(""));
        let given_up = runtime.clock.timeout(Duration::from_secs(1), run_among(&monitor, &runtime, &live)).await;
        assert!(given_up.is_err());
        put(&mut world, Made::default());
        let result = run_among(&monitor, &runtime, &live).await;
        assert!(result.success, "{}", result.message);
    });
}
