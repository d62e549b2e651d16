//! Other tools' alerts: `POST /sink` with its secret, the run book looked up by source, and a page of it.

use watchbell_runtime::Clock;
use watchbell_sim::Receiver;

use crate::kit::{Folder, Process, own_address, serve, wait_until};

const SECRET: &str = "a-secret-of-some-length";

#[test]
fn what_kuma_and_alertmanager_send_becomes_a_page_with_the_run_book_of_its_source() {
    let folder = Folder::new("sink");
    let phone = Receiver::new(Clock::os());
    let served = serve((own_address(), 0).into(), {
        let phone = phone.clone();
        move |stream| {
            let phone = phone.clone();
            async move { phone.serve(stream).await }
        }
    });
    folder.write("runbooks/imap-down.md", include_str!("../../../../testdata/seeds/cabalmail/runbooks/imap-down.md"));
    let file = folder.write(
        "watchbell.yml",
        &format!(
            "site: {{url: 'https://watch.example'}}\nhost: {{enabled: false}}\nsink: {{secret: {SECRET}}}\n\
             route: {{receiver: phone, group_by: [source], group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: phone, webhook_configs: [{{url: 'http://{}/'}}]}}]\n\
             runbooks: {{sources: {{'kuma/IMAP TLS handshake': imap-down}}}}\n",
            served.address
        ),
    );
    let path = file.display().to_string();
    let watchbell = Process::start(&folder, &["--config", &path, "--listen", "127.0.0.1:0"], &[]);
    let kuma = r#"{"summary": "IMAP is down", "severity": "critical", "source": "kuma/IMAP TLS handshake"}"#;
    let status = |headers: &[(&str, &str)], body: &str| watchbell.request("POST", "/sink", headers, body).0;
    assert_eq!(status(&[], kuma), 401);
    assert_eq!(status(&[("X-Alert-Secret", "wrong")], kuma), 403);
    assert_eq!(status(&[("X-Alert-Secret", SECRET)], "{\"summary\": 5}"), 400);
    assert!(phone.received().is_empty());

    assert_eq!(status(&[("X-Alert-Secret", SECRET)], kuma), 200);
    wait_until("the page arrives", || phone.received().len() == 1);
    let page = phone.received()[0].body.clone();
    assert!(page.contains("https://watch.example/runbooks/imap-down?sig="), "{page}");
    let up = kuma.replace("critical", "info").replace("down", "up");
    assert_eq!(status(&[("Authorization", &format!("Bearer {SECRET}"))], &up), 200);
    wait_until("the resolved page arrives", || phone.received().len() == 2);
    assert!(phone.received()[1].body.contains("\"status\":\"resolved\""));

    let foreign = r#"{"version": "4", "status": "firing", "receiver": "x", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "", "groupKey": "k", "alerts": [{"status": "firing",
        "labels": {"alertname": "DiskFull", "severity": "warning", "source": "prometheus/disk"},
        "annotations": {"summary": "the disk is full"}, "startsAt": "2026-01-05T00:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "0"}]}"#;
    assert_eq!(status(&[("X-Alert-Secret", SECRET)], foreign), 200);
    wait_until("the foreign alert's page arrives", || phone.received().len() == 3);
    let page = phone.received()[2].body.clone();
    assert!(page.contains("/runbooks/stub?"), "without a run book of its own it has a generated one: {page}");
    // The generated page opens from the push, without signing in.
    let link = page.split('"').find(|text| text.contains("/runbooks/stub?")).expect("it is there").to_owned();
    let (status, body) = watchbell.get(link.strip_prefix("https://watch.example").expect("it is ours"));
    assert!(status == 200 && body.contains("DiskFull"), "{status} {body}");
    assert_eq!(watchbell.stop(), Some(0));
}
