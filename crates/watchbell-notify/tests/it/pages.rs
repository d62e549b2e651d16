//! What a page says.

use expect_test::{Expect, expect};
use watchbell_model::{Alert, GroupNotification, Labels, Timestamp};
use watchbell_notify::{Page, Site};

use crate::world::{alert, config, group, minutes, resolved};

const NOW: Timestamp = Timestamp(1_795_213_620_500);

fn check(group: &GroupNotification, expect: Expect) {
    let config = config(Vec::new());
    let page = Page::write(group, &config.site, &config.runbooks);
    let stub = if page.runbook_is_stub { " (generated)" } else { "" };
    expect.assert_eq(&format!("{}\n{}\n=> {}{stub}\n=> {}\n", page.title, page.text, page.runbook_url, page.alarm_url));
}

#[test]
fn a_page_says_what_since_when_and_how_many_more() {
    check(
        &group("imap", 1, vec![alert("IMAP", "critical", NOW)], NOW),
        expect![[r#"
        [CRITICAL] IMAP is down
        The TLS handshake fails: connection refused.
        Since 2026-11-20 22:25 UTC, for 2 minutes.
        Where: monitor/imap
        => https://bell.example.org/runbooks/imap-down
        => https://bell.example.org/alarms/monitor/imap
    "#]],
    );
    let mut many: Vec<Alert> = (0..14).map(|at| alert(&format!("disk-{at}"), "warning", NOW)).collect();
    many.push(alert("IMAP", "critical", NOW));
    many.push(Alert { ends_at: Some(NOW - minutes(1)), ..alert("SMTP", "critical", NOW) });
    many[14].annotations = many[14].annotations.with("value", "0.93");
    check(
        &group("all", 1, many, NOW),
        expect![[r#"
        [CRITICAL] IMAP is down (+14 more)
        The TLS handshake fails: connection refused.
        Since 2026-11-20 22:25 UTC, for 2 minutes.
        Value: 0.93
        Where: monitor/imap
        Also firing:
        - [WARNING] disk-0 is down
        - [WARNING] disk-1 is down
        - [WARNING] disk-2 is down
        - [WARNING] disk-3 is down
        - [WARNING] disk-4 is down
        - [WARNING] disk-5 is down
        - [WARNING] disk-6 is down
        - [WARNING] disk-7 is down
        - [WARNING] disk-8 is down
        - [WARNING] disk-9 is down
        - and 4 more
        Over:
        - SMTP is down after 1 minute
        => https://bell.example.org/runbooks/imap-down
        => https://bell.example.org/alarms/monitor/imap
    "#]],
    );
    check(
        &resolved("IMAP", NOW),
        expect![[r#"
            RESOLVED: IMAP is down (after 12 minutes)
            The TLS handshake fails: connection refused.
            From 2026-11-20 22:15 UTC to 2026-11-20 22:27 UTC, 12 minutes.
            Where: monitor/imap
            => https://bell.example.org/runbooks/imap-down
            => https://bell.example.org/alarms/monitor/imap
        "#]],
    );
}

#[test]
fn an_alert_that_says_little_is_still_a_page() {
    let bare = |labels: &[(&str, &str)]| Alert {
        labels: Labels::from_pairs(labels.iter().copied()),
        annotations: Labels::empty(),
        starts_at: NOW,
        ends_at: None,
        generator_url: "javascript:alert(1)".into(),
    };
    check(
        &group("x", 1, vec![bare(&[("alertname", "Up"), ("instance", "mail-1:9100")])], NOW),
        expect![[r#"
            [CRITICAL] Up (mail-1:9100)
            Since 2026-11-20 22:27 UTC.
            Where: mail-1:9100
            Nobody has written a run book for this yet; the link opens a generated page.
            => https://bell.example.org/runbooks/stub?fingerprint=e27d02fe5547521d (generated)
            => https://bell.example.org/
        "#]],
    );
    check(
        &group("x", 1, vec![bare(&[("severity", "page"), ("source", "monitor/mapped")])], NOW),
        expect![[r#"
            [CRITICAL] An alert without a name
            Since 2026-11-20 22:27 UTC.
            Where: monitor/mapped
            => https://bell.example.org/runbooks/imap-down
            => https://bell.example.org/
        "#]],
    );
    check(
        &group("x", 1, Vec::new(), NOW),
        expect![[r#"
        [CRITICAL] {alertname="x"}
        Nobody has written a run book for this yet; the link opens a generated page.
        => https://bell.example.org/runbooks/stub (generated)
        => https://bell.example.org/
    "#]],
    );
}

#[test]
fn what_fires_can_be_acknowledged_from_the_page() {
    let sign = |path: &str| format!("{path}&sig=1");
    let plain = config(Vec::new());
    let signed = Site { sign: Some(std::sync::Arc::new(sign)), ..plain.site.clone() };
    let links = |site: &Site, group: &GroupNotification| {
        let page = Page::write(group, site, &plain.runbooks);
        [page.acknowledge_url, page.silence_url, page.verdict_url]
            .map(|url| url.unwrap_or_else(|| "none".into()))
            .join("\n")
    };
    let group = GroupNotification { receiver: "anna & ben".into(), ..crate::world::firing("IMAP", NOW) };
    let until = NOW.as_millis() / 1000 + 7 * 86_400;
    let id = group.group_id();
    assert_eq!(
        links(&signed, &group),
        format!(
            "https://bell.example.org/do/acknowledge?group={id}&by=anna%20%26%20ben&until={until}&sig=1\n\
             https://bell.example.org/do/silence?group={id}&by=anna%20%26%20ben&until={until}&sig=1\n\
             https://bell.example.org/do/verdict?group={id}&by=anna%20%26%20ben&until={until}&since={}&at={}&sig=1",
            group.alerts[0].starts_at.as_millis() / 1000,
            NOW.as_millis() / 1000 + 1
        )
    );
    let over = links(&signed, &crate::world::resolved("IMAP", NOW));
    assert!(over.starts_with("none\nnone\nhttps://bell.example.org/do/verdict?"), "{over}");
    assert_eq!(links(&plain.site, &group), "none\nnone\nnone");
}

#[test]
fn links_to_our_own_run_books_are_signed() {
    let config = config(Vec::new());
    let sign = |path: &str| format!("{path}{}sig=1", if path.contains('?') { '&' } else { '?' });
    let site = Site { sign: Some(std::sync::Arc::new(sign)), ..config.site };
    let url = |annotation: &str| {
        let mut alert = alert("IMAP", "critical", NOW);
        alert.annotations = alert.annotations.with("runbook_url", annotation);
        Page::write(&group("x", 1, vec![alert], NOW), &site, &config.runbooks).runbook_url
    };
    assert_eq!(url("https://bell.example.org/runbooks/imap-down"), "https://bell.example.org/runbooks/imap-down?sig=1");
    assert_eq!(url("imap-down"), "https://bell.example.org/runbooks/imap-down?sig=1");
    assert_eq!(url("https://wiki.example.org/x"), "https://wiki.example.org/x");
    assert_eq!(
        url("https://bell.example.org/runbooks/imap-down#logs"),
        "https://bell.example.org/runbooks/imap-down?sig=1"
    );
    let stub = url("https://bell.example.org/runbooks/gone");
    assert!(stub.contains("/runbooks/stub?"), "{stub}");
    let stub = url("nobody-wrote-it");
    assert!(
        stub.starts_with("https://bell.example.org/runbooks/stub?fingerprint=") && stub.ends_with("&sig=1"),
        "{stub}"
    );
}
