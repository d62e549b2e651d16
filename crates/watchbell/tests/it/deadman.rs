//! The dead man's switch in simulated time: pings come as long as everything on their way works, and end with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use watchbell_model::Timestamp;
use watchbell_runtime::sim::{self, SimDisk, World};
use watchbell_sim::{Behaviour, Receiver};

use crate::kit::{Folder, Process, serve, wait_until};
use crate::world::{Sim, receiver};

const CONFIG: &str = "
host: {enabled: false}
deadman:
  - {url: 'http://switch.example/ping/hush'}
  - {url: 'http://other.example/', method: POST, every: 10m}
  - {ntfy: {url: 'http://push.example', topic: alive, delay: 25m}}
route: {receiver: people, group_wait: 0s, group_interval: 10s}
inhibit_rules: [{source_matchers: ['alertname=~\".*\"'], target_matchers: ['severity=\"none\"']}]
receivers: [{name: people, webhook_configs: [{url: 'http://people.example/'}]}]
";

struct Scene {
    world: World,
    sim: Sim,
    switch: Receiver,
    other: Receiver,
    push: Receiver,
    people: Receiver,
}

impl Scene {
    /// A watchbell that has pinged for some minutes.
    async fn new(world: World) -> Scene {
        let there = |host| receiver(&world, host, 80, None);
        let (switch, other, people) = (there("switch.example"), there("other.example"), there("people.example"));
        let push = there("push.example");
        let mut sim = Sim::new(world.clone(), &[("watchbell.yml", CONFIG)]);
        sim.start().await;
        let scene = Scene { world, sim, switch, other, push, people };
        scene.pass(330).await;
        scene
    }

    async fn pass(&self, seconds: u64) {
        self.world.clock.sleep(Duration::from_secs(seconds)).await;
    }

    /// When the message that waits on the ntfy server is due.
    fn due(&self) -> Option<Timestamp> {
        let waits = self.push.received().into_iter().rfind(|it| it.method == "POST")?;
        assert!(
            waits.body.contains(r#""delay":"1500s""#) && waits.body.contains("watchbell is silent"),
            "{}",
            waits.body
        );
        Some(waits.at + Duration::from_secs(1500))
    }

    /// So many pings came to the first switch since then.
    fn pings(&self, since: Timestamp) -> usize {
        self.switch.received().iter().filter(|ping| ping.at > since).count()
    }

    /// What people were told.
    fn told(&self) -> Vec<String> {
        let alert = |page: &watchbell_sim::Received| {
            let json: serde_json::Value = serde_json::from_str(&page.body).expect("it is JSON");
            let word = |it: &serde_json::Value| it.as_str().unwrap_or_default().to_owned();
            let alerts = json["alerts"].as_array().expect("it has alerts").iter();
            let sources: Vec<String> = alerts.map(|it| word(&it["labels"]["source"])).collect();
            format!("{} {}", word(&json["status"]), sources.join(", "))
        };
        self.people.received().iter().map(alert).collect()
    }
}

/// The times between what was received, in seconds.
fn gaps(receiver: &Receiver) -> Vec<f64> {
    let at: Vec<Timestamp> = receiver.received().iter().map(|ping| ping.at).collect();
    at.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect()
}

#[test]
fn a_living_watchbell_pings_every_minute_and_tells_nobody_else() {
    sim::run(1, |world| async move {
        let begun = world.clock.now();
        let mut scene = Scene::new(world).await;
        scene.pass(3600).await;
        let first = scene.switch.received().remove(0);
        assert!(first.at.since(begun) < Duration::from_secs(31), "the first comes soon: {first:?}");
        assert_eq!((&*first.method, &*first.path, &*first.body), ("GET", "/ping/hush", ""));
        assert!(gaps(&scene.switch).len() > 60);
        assert!(gaps(&scene.switch).iter().all(|gap| (gap - 60.0).abs() < 1.0), "{:?}", gaps(&scene.switch));
        assert!(gaps(&scene.other).len() > 4);
        assert!(gaps(&scene.other).iter().all(|gap| (gap - 600.0).abs() < 1.0), "{:?}", gaps(&scene.other));
        assert_eq!(scene.other.received()[0].method, "POST");
        assert_eq!(scene.told(), Vec::<String>::new());
        assert_eq!(scene.sim.app().notify.outbox(), []);
        let alerts = scene.sim.app().alerts.alerts();
        let shown: Vec<_> =
            alerts.iter().map(|it| (it.alert.name().to_owned(), it.alert.labels.get("severity"))).collect();
        assert_eq!(shown, [("Watchdog".to_owned(), Some("none"))]);
        scene.sim.stop().await;
    });
}

#[test]
fn a_message_on_an_ntfy_server_is_put_off_while_all_works_and_arrives_when_it_does_not() {
    sim::run(1, |world| async move {
        let mut scene = Scene::new(world).await;
        for _ in 0..240 {
            scene.pass(30).await;
            assert!(scene.due().is_some_and(|due| due > scene.world.clock.now()), "it would have been delivered");
        }
        // As many as a free account of ntfy.sh takes, with room for pages.
        let methods: Vec<String> = scene.push.received().into_iter().map(|it| it.method).collect();
        assert!(methods.len() < 15 && methods.iter().filter(|it| *it == "DELETE").count() == 1, "{methods:?}");
        let sequences = scene.push.received().into_iter().filter_map(|it| it.headers.get("x-sequence-id").cloned());
        assert_eq!(sequences.collect::<std::collections::BTreeSet<_>>().len(), 1);
        scene.sim.crash();
        let dead = scene.world.clock.now();
        scene.pass(3600).await;
        let due = scene.due().expect("one waits");
        let wait = due.since(dead);
        assert!(wait > Duration::from_secs(840) && wait <= Duration::from_secs(1500), "{wait:?}");
        // Who comes back says so.
        scene.sim.start().await;
        scene.pass(120).await;
        let back: Vec<_> = scene.push.received().into_iter().filter(|it| it.at > due).collect();
        assert!(back[0].body.contains("watchbell is back") && !back[0].body.contains("delay"), "{back:?}");
        assert!(scene.due().is_some_and(|due| due > scene.world.clock.now()));
        scene.sim.stop().await;
    });
}

/// The real binary against a port of this machine.
#[test]
fn a_killed_watchbell_leaves_a_message_that_is_delivered() {
    let push = Receiver::new(watchbell_runtime::Clock::os());
    let server = push.clone();
    let served = serve("127.0.0.1:0".parse().expect("an address"), move |stream| {
        let server = server.clone();
        async move { server.serve(stream).await }
    });
    let folder = Folder::new("switch");
    let config = format!(
        "host: {{enabled: false}}\ndeadman: [{{every: 10s, ntfy: {{url: 'http://{}', topic: alive, delay: 20s}}}}]\n",
        served.address
    );
    folder.write("watchbell.yml", &config);
    let arguments = ["--config", "watchbell.yml", "--data", "data", "--listen", "127.0.0.1:0"];
    let process = Process::start(&folder, &arguments, &[]);
    let posts = || push.received().into_iter().filter(|it| it.method == "POST").collect::<Vec<_>>();
    wait_until("it was put off", || posts().len() >= 2);
    let all = posts();
    assert!(all.windows(2).all(|pair| pair[1].at.since(pair[0].at) < Duration::from_secs(20)), "each in time: {all:?}");
    process.kill();
    assert!(all.iter().all(|it| it.body.contains("\"delay\":\"20s\"")));
}

#[test]
fn a_restart_skips_no_ping_and_sends_none_twice() {
    sim::run(1, |world| async move {
        let mut scene = Scene::new(world).await;
        for (seconds, kill) in [(7, true), (1, false), (43, true), (20, true), (31, false)] {
            if kill {
                scene.sim.crash();
            } else {
                scene.sim.stop().await;
            }
            scene.pass(seconds).await;
            scene.sim.start().await;
            scene.pass(173).await;
        }
        let gaps = gaps(&scene.switch);
        assert!(gaps.iter().all(|gap| *gap > 55.0 && *gap < 60.0 + 45.0), "{gaps:?}");
        // After a long time the next one waits for a proof that all works.
        scene.sim.crash();
        scene.pass(7200).await;
        let back = scene.world.clock.now();
        scene.sim.start().await;
        scene.pass(31).await;
        assert_eq!(scene.pings(back), 1);
        scene.sim.stop().await;
    });
}

#[test]
fn pings_end_with_the_process() {
    sim::run(1, |world| async move {
        let mut scene = Scene::new(world).await;
        scene.sim.crash();
        let dead = scene.world.clock.now();
        scene.pass(3600).await;
        assert_eq!(scene.pings(dead), 0);
    });
}

/// Pings end within two minutes of what is broken, and come back with it.
fn check(broken: impl Fn(&Scene, bool) + Send + 'static) {
    sim::run(1, |world| async move {
        let mut scene = Scene::new(world).await;
        broken(&scene, true);
        scene.pass(120).await;
        let ended = scene.world.clock.now();
        scene.pass(3600).await;
        assert_eq!(scene.pings(ended), 0);
        broken(&scene, false);
        let healed = scene.world.clock.now();
        scene.pass(180).await;
        assert!(scene.pings(healed) >= 1, "they come back");
        scene.sim.stop().await;
    });
}

#[test]
fn pings_end_when_the_metrics_cannot_be_read() {
    check(|scene, broken| scene.sim.unreadable.store(broken, Ordering::SeqCst));
}

#[test]
fn a_disk_that_takes_no_metrics_stops_no_ping_since_they_are_judged_from_memory_and_people_are_told() {
    sim::run(1, |world| async move {
        let mut scene = Scene::new(world).await;
        let broken = scene.world.clock.now();
        scene.world.disk.set_read_only(true);
        scene.pass(600).await;
        assert!(scene.pings(broken) >= 9, "{}", scene.pings(broken));
        expect_test::expect![[r#"
            firing self/metrics/log
            firing self/metrics/log, self/rules
            firing self/metrics/log, self/metrics/seal, self/rules"#]]
        .assert_eq(&scene.told().join("\n"));
        scene.world.disk.set_read_only(false);
        scene.sim.stop().await;
    });
}

#[test]
fn pings_end_when_the_state_cannot_be_written() {
    check(|scene, broken| scene.sim.state.set_broken(broken));
}

#[test]
fn a_switch_that_is_not_reached_is_told_and_nothing_piles_up() {
    sim::run(1, |world| async move {
        let mut scene = Scene::new(world).await;
        scene.switch.behave(Behaviour::Refuse(503, None));
        scene.pass(170).await;
        assert_eq!(scene.told(), Vec::<String>::new(), "a moment is no trouble");
        scene.pass(1800).await;
        assert_eq!(scene.told()[0], "firing self/page-given-up/deadman-1/ping");
        assert!(scene.sim.app().notify.outbox().len() <= 1);
        scene.switch.behave(Behaviour::Accept);
        let healed = scene.world.clock.now();
        scene.pass(480).await;
        assert!(scene.pings(healed) > 2);
        assert_eq!(scene.told().last().map(String::as_str), Some("resolved self/page-given-up/deadman-1/ping"));
        scene.sim.stop().await;
    });
}

#[test]
fn of_two_that_watch_each_other_the_living_one_tells() {
    sim::run(1, |world| async move {
        let people = receiver(&world, "people.example", 80, None);
        let config = |own: &str, other: &str| {
            format!(
                "host: {{enabled: false}}\nlisteners: [{{address: '{own}'}}]\nping_key: hush\n\
                 deadman: [{{url: 'http://{other}/ping/hush/other'}}]\n\
                 heartbeats: [{{name: other, period: 1m, grace: 3m, runbook: heartbeat-missed}}]\n\
                 receivers: [{{name: people, webhook_configs: [{{url: 'http://people.example/'}}]}}]\n"
            )
        };
        let (here, there) = ("10.9.0.1:9800", "10.9.0.2:9800");
        let mut sims = Vec::new();
        for (own, other) in [(here, there), (there, here)] {
            let disk = Arc::new(SimDisk::new(world.rng.clone()));
            let mut sim = Sim::new(World { disk, ..world.clone() }, &[("watchbell.yml", &config(own, other))]);
            let app = sim.start().await;
            app.listen(&[own.parse().expect("an address")]).await.expect("it listens");
            sims.push(sim);
        }
        world.clock.sleep(Duration::from_secs(3600)).await;
        assert_eq!(people.received(), [], "both live");
        sims[0].crash();
        let dead = world.clock.now();
        world.clock.sleep(Duration::from_secs(400)).await;
        let page = people.received().into_iter().next().expect("the other one tells");
        assert!(page.at.since(dead) <= Duration::from_secs(300), "{:?}", page.at.since(dead));
        assert!(page.body.contains("heartbeat/other"), "{}", page.body);
        sims[1].stop().await;
    });
}
