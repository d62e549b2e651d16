//! Certificates that end, in simulated time: one page for each, however many monitors see it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use watchbell_model::Timestamp;
use watchbell_runtime::sim::{self, World};
use watchbell_sim::{Authority, MailServer, Protocol, Receiver};

use crate::world::{Sim, far, receiver};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const RUNBOOK: &str = include_str!("../../../../runbooks/service-down.md");

/// Ten monitors of `mail.example`, and one of `shop.example`; `route` is the user's own, if there is one.
fn config(route: &str) -> String {
    let one = |name: &str, host: &str| {
        format!(
            "  - {{name: {name}, interval: 5m, runbook: down, certificate: {{alert_days: [7]}}, \
             tls: {{host: {host}, port: 993}}}}\n"
        )
    };
    let monitors: String = (0..10).map(|number| one(&format!("m{number}"), "mail.example")).collect();
    format!(
        "host: {{enabled: false}}\nmonitors:\n{monitors}{}{route}receivers:\n  - name: phone\n    \
         webhook_configs: [{{url: 'http://phone.example/'}}]\n",
        one("shop", "shop.example")
    )
}

fn serve(world: &World, host: &str, authority: &Authority, ends: Timestamp) -> MailServer {
    let server = MailServer::new(Protocol::Imaps, Some(authority.server(&[host], ends)));
    let served = server.clone();
    world.net.serve(host, 993, move |stream| {
        let server = served.clone();
        async move { server.serve(stream).await }
    });
    server
}

/// Pages about certificates since `begun`: hours gone by, status, and the monitors that are named, by state.
fn pages(phone: &Receiver, begun: Timestamp) -> String {
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for page in phone.received() {
        let body: Value = serde_json::from_str(&page.body).expect("it is JSON");
        if body["commonLabels"]["alertname"] != "CertificateExpiring"
            || !seen.insert(page.headers["idempotency-key"].clone())
        {
            continue;
        }
        let mut named: Vec<String> = body["alerts"]
            .as_array()
            .expect("it has alerts")
            .iter()
            .map(|alert| {
                format!("{} {}", alert["status"].as_str().unwrap(), alert["labels"]["monitor"].as_str().unwrap())
            })
            .collect();
        named.sort();
        let hours = page.at.since(begun).as_secs() / HOUR.as_secs();
        text.push_str(&format!("{hours}h {}: {}\n", body["status"].as_str().unwrap(), named.join(", ")));
    }
    text
}

/// Both certificates come within seven days of their end at the same time; that of ten monitors is renewed.
fn play(route: &'static str) -> String {
    sim::run(1, move |world| async move {
        let authority = Authority::new();
        world.net.trust(&authority.pem());
        let phone = receiver(&world, "phone.example", 80, None);
        let begun = world.clock.now();
        let ends = begun + 7 * DAY + HOUR;
        let mail = serve(&world, "mail.example", &authority, ends);
        let _shop = serve(&world, "shop.example", &authority, ends);
        let mut sim = Sim::new(world.clone(), &[("watchbell.yml", &config(route)), ("runbooks/down.md", RUNBOOK)]);
        sim.start().await;
        world.clock.sleep(5 * HOUR / 2).await;
        mail.set_certificate(authority.server(&["mail.example"], far(&world)));
        world.clock.sleep(2 * HOUR).await;
        sim.stop().await;
        pages(&phone, begun)
    })
}

#[test]
fn ten_monitors_with_one_certificate_are_one_page() {
    expect_test::expect![[r#"
        1h firing: firing shop
        1h firing: firing m0, firing m1, firing m2, firing m3, firing m4, firing m5, firing m6, firing m7, firing m8, firing m9
        3h resolved: resolved m0, resolved m1, resolved m2, resolved m3, resolved m4, resolved m5, resolved m6, resolved m7, resolved m8, resolved m9
    "#]].assert_eq(&play(""));
}

#[test]
fn a_route_of_ones_own_can_group_by_the_certificate() {
    let own = "route: {receiver: phone, group_by: [alertname, certificate], group_wait: 1m, group_interval: 1h}\n";
    assert_eq!(play(own), play(""));
}

#[test]
fn a_certificate_that_is_seen_late_is_one_page_too() {
    let told = sim::run(1, |world| async move {
        let authority = Authority::new();
        world.net.trust(&authority.pem());
        let phone = receiver(&world, "phone.example", 80, None);
        let begun = world.clock.now();
        let _mail = serve(&world, "mail.example", &authority, begun + 3 * DAY);
        let _shop = serve(&world, "shop.example", &authority, begun + 60 * DAY);
        let mut sim = Sim::new(world.clone(), &[("watchbell.yml", &config("")), ("runbooks/down.md", RUNBOOK)]);
        sim.start().await;
        world.clock.sleep(HOUR).await;
        sim.stop().await;
        pages(&phone, begun)
    });
    expect_test::expect![[r#"
        0h firing: firing m0, firing m1, firing m2, firing m3, firing m4, firing m5, firing m6, firing m7, firing m8, firing m9
    "#]].assert_eq(&told);
}
