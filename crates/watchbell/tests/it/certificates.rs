//! Certificates that end, in simulated time: one page, however many monitors see one.

use std::time::Duration;

use watchbell_runtime::sim;
use watchbell_sim::{Authority, MailServer, Protocol};

use crate::world::{Sim, receiver};

#[test]
fn ten_monitors_with_one_certificate_are_one_page() {
    let pages = sim::run(1, |world| async move {
        let authority = Authority::new();
        world.net.trust(&authority.pem());
        let phone = receiver(&world, "phone.example", 80, None);
        let ends = world.clock.now() + Duration::from_secs(8 * 86_400);
        let server = MailServer::new(Protocol::Imaps, Some(authority.server(&["mail.example"], ends)));
        world.net.serve("mail.example", 993, move |stream| {
            let server = server.clone();
            async move { server.serve(stream).await }
        });
        let monitors: String = (0..10)
            .map(|number| {
                format!(
                    "  - {{name: m{number}, interval: 1h, runbook: down, certificate: {{alert_days: [7]}}, \
                     tls: {{host: mail.example, port: 993}}}}\n"
                )
            })
            .collect();
        let config = format!(
            "host: {{enabled: false}}\nmonitors:\n{monitors}receivers:\n  - name: phone\n    \
             webhook_configs: [{{url: 'http://phone.example/'}}]\n"
        );
        let runbook = include_str!("../../../../runbooks/service-down.md");
        let mut sim = Sim::new(world.clone(), &[("watchbell.yml", &config), ("runbooks/down.md", runbook)]);
        sim.start().await;
        world.clock.sleep(Duration::from_secs(2 * 86_400)).await;
        sim.stop().await;
        let pages =
            phone.received().into_iter().map(|page| page.body).filter(|body| body.contains("CertificateExpiring"));
        pages.collect::<Vec<_>>()
    });
    // What is told again after some hours is the same page.
    let first = &pages[0];
    for number in 0..10 {
        assert!(first.contains(&format!("\"monitor\":\"m{number}\"")), "m{number} is not in {first}");
    }
    let groups: std::collections::BTreeSet<String> = pages
        .iter()
        .map(|page| serde_json::from_str::<serde_json::Value>(page).expect("it is JSON")["groupKey"].to_string())
        .collect();
    assert_eq!(groups.len(), 1, "{groups:?}");
}
