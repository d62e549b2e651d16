//! Receivers that misbehave, in simulated time: nothing is lost, and nobody else waits.

use std::time::Duration;

use watchbell_model::Timestamp;
use watchbell_runtime::sim::{self, World};
use watchbell_sim::{Behaviour, Receiver};

use watchbell_sources::heartbeat::PingRequest;

use crate::world::{Sim, receiver};

const CONFIG: &str = "
host: {enabled: false}
monitors:
  - {name: target, interval: 10s, retries: 0, runbook: down, tcp: {host: target.example, port: 80}}
route: {receiver: both, group_by: [alertname], group_wait: 0s, group_interval: 10s}
receivers:
  - name: both
    webhook_configs: [{url: 'http://sick.example/'}, {url: 'http://well.example/'}]
";

const RUNBOOK: &str = include_str!("../../../../runbooks/service-down.md");

struct Scene {
    world: World,
    sim: Sim,
    sick: Receiver,
    well: Receiver,
}

async fn scene(world: World) -> Scene {
    let (sick, well) = (receiver(&world, "sick.example", 80, None), receiver(&world, "well.example", 80, None));
    world.net.serve("target.example", 80, |stream| async move { drop(stream) });
    let mut sim = Sim::new(world.clone(), &[("watchbell.yml", CONFIG), ("runbooks/down.md", RUNBOOK)]);
    sim.start().await;
    world.clock.sleep(Duration::from_secs(60)).await;
    Scene { world, sim, sick, well }
}

impl Scene {
    /// The target goes down for ten minutes while the receiver is sick, and both recover.
    async fn incident(&mut self, sicken: impl Fn(&Scene, bool)) -> String {
        let begun = self.world.clock.now();
        sicken(self, true);
        self.world.net.refuse("target.example", 80);
        self.world.clock.sleep(Duration::from_secs(600)).await;
        let meanwhile = self.sick.received().len();
        sicken(self, false);
        self.world.clock.sleep(Duration::from_secs(600)).await;
        self.world.net.serve("target.example", 80, |stream| async move { drop(stream) });
        self.world.clock.sleep(Duration::from_secs(900)).await;
        let told =
            format!("meanwhile {meanwhile}; sick {}; well {}", words(&self.sick, begun), words(&self.well, begun));
        self.sim.stop().await;
        told
    }
}

/// Each page's status, with the minute it came in; the same page again is not counted where its key says so.
fn words(receiver: &Receiver, begun: Timestamp) -> String {
    let mut seen = std::collections::BTreeSet::new();
    let pages = receiver.received().into_iter().filter(|page| seen.insert(page.headers["idempotency-key"].clone()));
    let pages = pages.map(|page| {
        let json: serde_json::Value = serde_json::from_str(&page.body).expect("it is JSON");
        format!("{}@{}m", json["status"].as_str().unwrap_or_default(), page.at.since(begun).as_secs() / 60)
    });
    pages.collect::<Vec<_>>().join(" ")
}

fn check(sicken: impl Fn(&Scene, bool) + Send + 'static, expected: expect_test::Expect) {
    let told = sim::run(1, |world| async move {
        let mut scene = scene(world).await;
        scene.incident(sicken).await
    });
    expected.assert_eq(&told);
}

fn behave(behaviour: Behaviour) -> impl Fn(&Scene, bool) {
    move |scene, sick| scene.sick.behave(if sick { behaviour.clone() } else { Behaviour::Accept })
}

#[test]
fn a_receiver_that_answers_500_gets_the_page_later() {
    check(
        behave(Behaviour::Refuse(500, None)),
        expect_test::expect!["meanwhile 0; sick firing@10m resolved@20m; well firing@0m resolved@20m"],
    );
}

#[test]
fn a_receiver_that_says_retry_after_is_left_alone_that_long() {
    check(
        behave(Behaviour::Refuse(429, Some(120))),
        expect_test::expect!["meanwhile 0; sick firing@10m resolved@20m; well firing@0m resolved@20m"],
    );
}

#[test]
fn a_receiver_that_hangs_delays_nobody() {
    check(
        behave(Behaviour::Hang),
        expect_test::expect!["meanwhile 0; sick firing@12m resolved@20m; well firing@0m resolved@20m"],
    );
}

#[test]
fn a_receiver_that_closes_gets_the_page_later() {
    check(
        behave(Behaviour::Close),
        expect_test::expect!["meanwhile 0; sick firing@10m resolved@20m; well firing@0m resolved@20m"],
    );
}

#[test]
fn a_receiver_that_takes_the_page_and_closes_gets_it_with_the_same_key() {
    check(
        behave(Behaviour::AcceptAndClose),
        expect_test::expect!["meanwhile 10; sick firing@0m resolved@20m; well firing@0m resolved@20m"],
    );
}

#[test]
fn a_receiver_whose_name_does_not_resolve_for_ten_minutes_gets_the_page_later() {
    check(
        |scene, sick| scene.world.net.set_unresolvable("sick.example", sick),
        expect_test::expect!["meanwhile 0; sick firing@11m resolved@20m; well firing@0m resolved@20m"],
    );
}

/// Pages about the target come at once, whatever is broken for ten minutes that is not the outbox.
fn is_told_at_once(sicken: impl Fn(&Scene, bool) + Send + 'static) {
    sim::run(1, |world| async move {
        let mut scene = scene(world).await;
        let begun = scene.world.clock.now();
        scene.incident(sicken).await;
        for receiver in [&scene.sick, &scene.well] {
            let of_target = receiver.received().into_iter().filter(|page| page.body.contains("monitor/target"));
            let told = of_target.map(|page| {
                let json: serde_json::Value = serde_json::from_str(&page.body).expect("it is JSON");
                (json["status"].as_str().unwrap_or_default().to_owned(), page.at.since(begun).as_secs() / 60)
            });
            assert_eq!(told.collect::<Vec<_>>(), [("firing".to_owned(), 0), ("resolved".to_owned(), 20)]);
        }
    });
}

#[test]
fn a_disk_that_is_read_only_for_all_but_the_outbox_delays_no_page() {
    is_told_at_once(|scene, sick| scene.world.disk.set_read_only(sick));
}

#[test]
fn a_disk_that_is_full_for_all_but_the_outbox_delays_no_page() {
    is_told_at_once(|scene, sick| scene.world.disk.set_room(sick.then_some(0)));
}

#[test]
fn metrics_that_cannot_be_read_delay_no_page() {
    is_told_at_once(|scene, sick| scene.sim.unreadable.store(sick, std::sync::atomic::Ordering::SeqCst));
}

#[test]
fn a_refusal_for_good_is_told_on_the_other_channel() {
    let told = sim::run(1, |world| async move {
        let mut scene = scene(world).await;
        let begun = scene.world.clock.now();
        scene.sick.behave(Behaviour::Refuse(404, None));
        scene.world.net.refuse("target.example", 80);
        scene.world.clock.sleep(Duration::from_secs(300)).await;
        let pages: Vec<String> = scene
            .well
            .received()
            .iter()
            .filter(|page| page.at >= begun)
            .map(|page| {
                let json: serde_json::Value = serde_json::from_str(&page.body).expect("it is JSON");
                let alert = &json["alerts"][0];
                format!("{}: {}", alert["labels"]["source"], alert["annotations"]["summary"])
            })
            .collect();
        scene.sim.stop().await;
        pages.join("\n")
    });
    expect_test::expect![[r#"
        "monitor/target": "target is down: 10.0.0.3:80 refuses the connection: connection refused (1 of 1 probes failed, since 00:01 UTC)"
        "self/page-given-up/both/webhook": "watchbell: A page could not be delivered through both/webhook: `[CRITICAL] target is down: 10.0.0.3:80 refuses the connection: connection refused (1 of 1 probes failed, since 00:01 UTC)`; it was refused: status 404: {}""#]].assert_eq(&told);
}

#[test]
fn what_is_only_read_at_the_start_says_so_when_it_is_changed() {
    let told = sim::run(1, |world| async move {
        let scene = scene(world).await;
        let moved =
            format!("listeners: [{{address: '127.0.0.1:9999'}}]\nsite: {{url: 'https://else.example'}}\n{CONFIG}");
        scene.sim.write("watchbell.yml", &moved);
        scene.sim.app().reload_now().await.expect("it is a good configuration");
        watchbell_http::ConfigView::last_load(&**scene.sim.app()).problems.join("\n")
    });
    expect_test::expect![[r#"
        warning: listeners was changed; that takes effect when watchbell is started again
        warning: site.url, as the prefix of links to alarms, was changed; that takes effect when watchbell is started again"#]].assert_eq(&told);
}

#[test]
fn a_configuration_that_cannot_be_kept_leaves_the_pages_of_the_last_one_on_their_way() {
    let told = sim::run(1, |world| async move {
        let mut scene = scene(world).await;
        let begun = scene.world.clock.now();
        let other = CONFIG.replace("both", "all").replace(
            "monitors:\n",
            "monitors:\n  - {name: more, interval: 10s, runbook: down, tcp: {host: target.example, port: 80}}\n",
        );
        scene.sim.write("watchbell.yml", &other);
        scene.sim.state.set_broken(true);
        let refused = scene.sim.app().reload_now().await.expect_err("the disk is full").join("\n");
        scene.sim.state.set_broken(false);
        scene.world.net.refuse("target.example", 80);
        scene.world.clock.sleep(Duration::from_secs(60)).await;
        let received = scene.well.received();
        let bodies = received.iter().filter(|page| page.at >= begun);
        let sources = bodies.map(|page| {
            let json: serde_json::Value = serde_json::from_str(&page.body).expect("it is JSON");
            json["alerts"][0]["labels"]["source"].to_string()
        });
        let sources: std::collections::BTreeSet<String> = sources.collect();
        let told = format!("{refused}\n{sources:?}");
        scene.sim.stop().await;
        told
    });
    expect_test::expect![[r#"
        the alarms cannot be put in force: durable state cannot be written: the disk is full (simulated)
        {"\"monitor/target\"", "\"self/config\"", "\"self/state/alarms\""}"#]]
    .assert_eq(&told);
}

#[test]
fn a_changed_ping_key_is_in_force_after_the_reload() {
    let (before, after) = sim::run(1, |world| async move {
        let config = |key: &str| {
            format!("ping_key: {key}\nheartbeats: [{{name: backup, period: 1d, grace: 1h, runbook: down}}]\n{CONFIG}")
        };
        let mut sim = Sim::new(world, &[("watchbell.yml", &config("first")), ("runbooks/down.md", RUNBOOK)]);
        let app = sim.start().await;
        let ping = || async {
            let request = |key: &str| PingRequest::from_path(&format!("{key}/backup"), "").expect("it is an address");
            [app.heartbeats.ping(request("first")).await.status, app.heartbeats.ping(request("second")).await.status]
        };
        let before = ping().await;
        sim.write("watchbell.yml", &config("second"));
        app.reload_now().await.expect("it is a good configuration");
        (before, ping().await)
    });
    assert_eq!((before, after), ([200, 404], [404, 200]));
}
