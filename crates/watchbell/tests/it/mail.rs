//! The main job on real input: real mail servers are watched, one stops, a page with its run book arrives.

use std::time::Duration;

use watchbell_model::Timestamp;
use watchbell_runtime::Clock;
use watchbell_sim::{Authority, Receiver};

use crate::kit::{Folder, PATIENCE, Process, own_address, serve, wait_until};
use crate::peers::{Dovecot, IMAP, IMAPS, Postfix, SMTP, SMTPS, must_have};

const INTERVAL: Duration = Duration::from_secs(2);

#[test]
fn a_real_dovecot_stops_and_one_page_arrives_then_one_resolved() {
    must_have("/usr/sbin/dovecot", "dovecot-imapd");
    must_have("/usr/lib/dovecot/pop3-login", "dovecot-pop3d");
    let now = Clock::os().now();
    let authority = Authority::new();
    let hosts = [own_address(), own_address(), own_address()];
    let names = hosts.map(|host| host.to_string());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (certificate, key) = authority.issue(&names, now + Duration::from_secs(90 * 86_400));
    let (short, short_key) = authority.issue(&names, now + Duration::from_secs(5 * 86_400));
    let dovecot = Dovecot::start(hosts[0], &certificate, &key);
    let expiring = Dovecot::start(hosts[1], &short, &short_key);
    let postfix = Postfix::can_run().then(|| Postfix::start(hosts[2], &certificate, &key, &dovecot.mailboxes()));
    let phone = Receiver::new(Clock::os());
    let served = serve((own_address(), 0).into(), {
        let phone = phone.clone();
        move |stream| {
            let phone = phone.clone();
            async move { phone.serve(stream).await }
        }
    });

    let folder = Folder::new("mail");
    folder.write("ca.pem", &authority.pem());
    folder.write("runbooks/imap-down.md", include_str!("../../../../testdata/seeds/cabalmail/runbooks/imap-down.md"));
    folder.write(
        "runbooks/cert-expiring.md",
        include_str!("../../../../testdata/seeds/cabalmail/runbooks/cert-expiring.md"),
    );
    let smtp = postfix.as_ref().map_or(String::new(), |postfix| {
        format!(
            "  - {{name: smtp, interval: 2s, runbook: imap-down, smtp: {{host: {0}, port: {SMTP}, tls: starttls, roots_file: ca.pem}}}}\n  \
             - {{name: smtps, interval: 2s, runbook: imap-down, smtp: {{host: {0}, port: {SMTPS}, tls: implicit, roots_file: ca.pem}}}}\n",
            postfix.at
        )
    });
    let configuration = format!(
        "site: {{url: 'http://127.0.0.1:9'}}\nhost: {{enabled: false}}\nmonitors:\n{smtp}  \
         - name: imaps\n    interval: 2s\n    retries: 1\n    retry_interval: 1s\n    runbook: imap-down\n    \
         imap: {{host: {up}, port: {IMAPS}, tls: implicit, roots_file: ca.pem, login: {{username: joe, password: secret}}}}\n  \
         - name: imap\n    interval: 2s\n    retries: 1\n    retry_interval: 1s\n    severity: info\n    runbook: imap-down\n    \
         imap: {{host: {up}, port: {IMAP}, tls: starttls, roots_file: ca.pem}}\n  \
         - name: expiring\n    interval: 2s\n    runbook: cert-expiring\n    \
         imap: {{host: {soon}, port: {IMAPS}, tls: implicit, roots_file: ca.pem}}\n\
         route:\n  receiver: nobody\n  group_by: [alertname, source]\n  group_wait: 0s\n  group_interval: 1s\n  routes:\n    \
         - {{matchers: ['severity=~\"critical|warning\"'], receiver: phone}}\n\
         receivers:\n  - name: phone\n    webhook_configs: [{{url: 'http://{phone}/'}}]\n  - name: nobody\n",
        up = dovecot.at,
        soon = expiring.at,
        phone = served.address,
    );
    let file = folder.write("watchbell.yml", &configuration);
    let watchbell = Process::start(&folder, &["--config", &file.display().to_string(), "--listen", "127.0.0.1:0"], &[]);
    let up = if postfix.is_some() { 5 } else { 3 };
    wait_until("every monitor is up", || sum(&watchbell, "probe_success") == up);
    wait_until("the certificate with five days left is told of", || pages(&phone, "certificate/expiring").len() == 1);
    let page = &pages(&phone, "certificate/expiring")[0];
    assert!(
        page.contains("\"status\":\"firing\"") && page.contains("http://127.0.0.1:9/runbooks/cert-expiring"),
        "{page}"
    );

    let clock = Clock::os();
    let stopped_at: Timestamp = clock.now();
    let stopped = dovecot.stop();
    wait_until("the page arrives", || !pages(&phone, "monitor/imaps").is_empty());
    let took = clock.now().since(stopped_at);
    eprintln!("from the stop to the page: {:.2} s at an interval of {} s", took.as_secs_f64(), INTERVAL.as_secs());
    let page = &pages(&phone, "monitor/imaps")[0];
    for part in ["\"status\":\"firing\"", "\"severity\":\"critical\"", "http://127.0.0.1:9/runbooks/imap-down"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let dovecot = stopped.start();
    wait_until("the resolved page arrives", || pages(&phone, "monitor/imaps").len() == 2);
    assert!(pages(&phone, "monitor/imaps")[1].contains("\"status\":\"resolved\""));
    // Later probes say nothing new: it stays at one page and one resolved page; `info` reaches nobody.
    let before = sum_of(&watchbell, "watchbell_probes_total");
    wait_until("a few more probes", || sum_of(&watchbell, "watchbell_probes_total") > before + 10.0);
    assert_eq!(pages(&phone, "monitor/imaps").len(), 2);
    assert!(pages(&phone, "monitor/imap\"").is_empty());
    assert_eq!(watchbell.stop(), Some(0));
    drop((dovecot, expiring, postfix));
    assert!(took < PATIENCE);
}

fn pages(phone: &Receiver, source: &str) -> Vec<String> {
    phone
        .received()
        .into_iter()
        .map(|page| page.body)
        .filter(|body| body.contains(&format!("\"source\":\"{source}")))
        .collect()
}

/// How many series of a metric have the value 1 now.
fn sum(watchbell: &Process, metric: &str) -> usize {
    let (_, body) = watchbell.get(&format!("/api/v1/query?query=sum({metric})"));
    let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    json["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// The sum over all labels of one of watchbell's own counters.
fn sum_of(watchbell: &Process, name: &str) -> f64 {
    let (_, text) = watchbell.get("/metrics");
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
