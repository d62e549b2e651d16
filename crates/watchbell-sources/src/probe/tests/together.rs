//! Monitors that know of one another: pushes, groups, the own network; and what holds for all: upside down, latency.

use std::time::Duration;

use expect_test::expect;
use watchbell_runtime::Runtime;
use watchbell_runtime::sim::{self, World};

use super::super::{EgressConfig, OwnNetworkConfig, Push};
use super::tasks::{Log, monitor, start};
use super::{HOST, check};

const PUSHED: &str = r#"{"name": "job", "interval": "60s", "retries": 0, "push": {"token": "abcdefgh12345"}}"#;

fn push(runtime: &Runtime, up: bool, message: &str) -> Push {
    Push { up, message: message.into(), took: None, at: runtime.clock.monotonic() }
}

async fn pass(runtime: &Runtime, seconds: u64) {
    runtime.clock.sleep(Duration::from_secs(seconds)).await;
}

fn lines(log: &Log) -> String {
    let lines = log.lines.lock().unwrap();
    lines.iter().filter(|line| !line.contains("samples")).cloned().collect::<Vec<_>>().join("\n")
}

#[test]
fn a_service_that_reports_is_up_until_it_falls_silent() {
    let told = sim::run(1, |world: World| async move {
        let (log, runtime, context) = start(&world, &[monitor(PUSHED)]);
        pass(&runtime, 50).await;
        assert_eq!(lines(&log), "", "nothing was pushed, and nothing is late yet");
        assert!(context.live.push("abcdefgh12345", push(&runtime, true, "done")));
        assert!(!context.live.push("abcdefgh12346", push(&runtime, true, "done")));
        pass(&runtime, 10).await;
        assert!(context.live.push("abcdefgh12345", push(&runtime, false, "disk full")));
        pass(&runtime, 1).await;
        assert!(context.live.push("abcdefgh12345", push(&runtime, true, "done")));
        pass(&runtime, 200).await;
        lines(&log)
    });
    expect![[r#"
        50s job up
        60s job down
        61s job up
        80s job up
        140s job down
        200s job down
        260s job down"#]]
    .assert_eq(&told);
}

#[test]
fn a_service_that_never_reports_is_down() {
    let told = sim::run(1, |world: World| async move {
        let (log, runtime, _) = start(&world, &[monitor(PUSHED)]);
        pass(&runtime, 130).await;
        lines(&log)
    });
    expect!["80s job down"].assert_eq(&told);
}

const ONE: &str = r#"{"name": "one", "retries": 1, "tcp": {"host": "mail.example", "port": 1}}"#;
const TWO: &str = r#"{"name": "two", "retries": 0, "tcp": {"host": "mail.example", "port": 2}}"#;

#[test]
fn a_group_is_as_bad_as_its_worst_member_and_knows_at_once() {
    let told = sim::run(1, |world: World| async move {
        for port in [1, 2] {
            world.net.serve(HOST, port, |_| std::future::pending());
        }
        let all = r#"{"name": "all", "retries": 0, "group": {"members": ["one", "two"]}}"#;
        let one = r#"{"name": "any", "retries": 0, "group": {"members": ["one", "two"], "at_least": 1}}"#;
        let (log, runtime, _) = start(&world, &[monitor(ONE), monitor(TWO), monitor(all), monitor(one)]);
        pass(&runtime, 20).await;
        world.net.refuse(HOST, 1);
        pass(&runtime, 120).await;
        world.net.refuse(HOST, 2);
        pass(&runtime, 60).await;
        lines(&log)
    });
    expect![[r#"
        3s one up
        3s any up
        8s two up
        8s all up
        8s any up
        19s any up
        23s one down
        43s one down
        43s all down
        43s any up
        52s all down
        53s two up
        79s any up
        83s one down
        112s all down
        113s two up
        139s any up
        143s one down
        172s all down
        173s two down
        173s all down
        173s any down
        199s any down"#]]
    .assert_eq(&told);
}

#[test]
fn failures_are_held_while_our_own_network_is_down_but_not_those_within_it() {
    let told = sim::run(1, |world: World| async move {
        world.net.serve(HOST, 2, |_| std::future::pending());
        world.net.add_address(HOST, "203.0.113.7".parse().unwrap());
        world.net.serve("dns.example", 53, |_| std::future::pending());
        world.net.serve("10.1.2.3", 2, |_| std::future::pending());
        let near = r#"{"name": "near", "retries": 0, "tcp": {"host": "10.1.2.3", "port": 2}}"#;
        let (log, runtime, context) = start(&world, &[monitor(TWO), monitor(near)]);
        let own: OwnNetworkConfig =
            serde_json::from_str(r#"{"references": [{"host": "dns.example", "port": 53}]}"#).unwrap();
        context.live.set_own_network(own).await;
        pass(&runtime, 20).await;
        world.net.refuse(HOST, 2);
        world.net.refuse("10.1.2.3", 2);
        world.net.set_black_hole("dns.example", true);
        pass(&runtime, 120).await;
        log.note(format!("troubles: {:?}", runtime.troubles.list().iter().map(|it| &it.summary).collect::<Vec<_>>()));
        // The network is there again, and the service is down for a reason of its own.
        world.net.set_black_hole("dns.example", false);
        pass(&runtime, 60).await;
        log.note(format!("troubles: {}", runtime.troubles.list().len()));
        lines(&log)
    });
    expect![[r#"
        8s near up
        8s two up
        56s near down
        116s near down
        140s troubles: ["this host's own network is down: none of dns.example:53 answers. Failures of monitors are held until one does"]
        173s near down
        173s two down
        200s troubles: 0"#]].assert_eq(&told);
}

#[test]
fn what_is_slow_for_long_is_down() {
    let told = sim::run(1, |world: World| async move {
        let clock = world.clock.clone();
        world.net.serve(HOST, 22, move |mut stream| {
            let clock = clock.clone();
            async move {
                let slow = clock.monotonic() > Duration::from_secs(200);
                clock.sleep(Duration::from_millis(if slow { 900 } else { 50 })).await;
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-x\r\n").await;
                std::future::pending().await
            }
        });
        let slow =
            r#"{"name": "ssh", "retries": 0, "latency": {"p95": "500ms", "over": 3}, "ssh": {"host": "mail.example"}}"#;
        let (log, runtime, _) = start(&world, &[monitor(slow)]);
        pass(&runtime, 400).await;
        lines(&log)
    });
    expect![[r#"
        9s ssh up
        58s ssh up
        118s ssh up
        178s ssh up
        239s ssh down
        299s ssh down
        359s ssh down"#]]
    .assert_eq(&told);
}

#[test]
fn upside_down() {
    let monitor = r#"{"upside_down": true, "tcp": {"host": "mail.example", "port": 23}}"#;
    check(monitor, "hang", expect!["down: it works and should not: 10.0.0.1:23 takes connections"]);
    let told = sim::run(1, |world: World| async move {
        world.net.address(HOST);
        super::told(&super::run_once(&super::config(monitor), &world.runtime()).await)
    });
    expect!["up: it does not work, as it should be: 10.0.0.1:23 refuses the connection: connection refused"]
        .assert_eq(&told);
}

#[test]
fn private_addresses_may_be_forbidden() {
    let told = sim::run(1, |world: World| async move {
        world.net.serve(HOST, 80, |mut stream| async move {
            let answer = b"HTTP/1.1 302 Found\r\nLocation: http://metadata.example/\r\nContent-Length: 0\r\n\r\n";
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1000]).await;
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        });
        world.net.serve("metadata.example", 80, |_| std::future::pending());
        world.net.add_address("metadata.example", "169.254.169.254".parse().unwrap());
        let mut all = Vec::new();
        let page = monitor(r#"{"name": "page", "http": {"url": "http://mail.example/"}}"#);
        for text in [r#"{"deny_private": true}"#, r#"{"deny_private": true, "allow": ["10.0.0.1"]}"#] {
            let egress: EgressConfig = serde_json::from_str(text).unwrap();
            let runtime = egress.guard(&world.runtime());
            all.push(super::told(&super::run_once(&page, &runtime).await));
            for text in [r#"{"icmp": {"host": "mail.example"}}"#, r#"{"ntp": {"host": "metadata.example"}}"#] {
                all.push(super::told(&super::run_once(&super::config(text), &runtime).await));
            }
        }
        all.join("\n")
    });
    expect![[r#"
        down: 10.0.0.1 may not be connected to: it is a private address that `egress` does not allow
        down: no echo requests can be sent: 10.0.0.1 may not be connected to: it is a private address that `egress` does not allow
        down: nothing can be sent to 169.254.169.254:123: 169.254.169.254 may not be connected to: it is a private address that `egress` does not allow
        down: 169.254.169.254 may not be connected to: it is a private address that `egress` does not allow
        down: gave up after 10s waiting for an answer of 10.0.0.1 to an echo request
          after 10s
        down: nothing can be sent to 169.254.169.254:123: 169.254.169.254 may not be connected to: it is a private address that `egress` does not allow"#]].assert_eq(&told);
}
