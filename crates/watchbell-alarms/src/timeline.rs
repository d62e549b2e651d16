//! Behaviour over time as text, for the tests of the pure parts: events in, changes of state and alerts out.

use std::sync::Arc;

use watchbell_model::{
    AlarmState, Certificate, HOME, HeartbeatState, Labels, Ping, PingKind, ProbeResult, Quorum, RunbookRef, Schedule,
    Severity, Span, Timestamp,
};

use crate::draft::Draft;
use crate::kept::{Item, Kept, Kind, Runbook, Site};
use crate::monitor::Presence;
use crate::world::Items;
use crate::{certificate, heartbeat, monitor};

/// When timelines begin.
pub(crate) const START: Timestamp = Timestamp(1_767_571_200_000);

pub(crate) fn runbook() -> Runbook {
    Runbook { reference: RunbookRef::Named("down".into()), url: "https://wb/runbooks/down".into() }
}

pub(crate) fn monitor_spec(name: &str, retries: u32) -> monitor::Spec {
    monitor::Spec {
        name: name.to_owned(),
        kind: "imap".into(),
        target: "mail.example.org:993".into(),
        places: vec![HOME.to_owned()],
        quorum: Quorum::default(),
        interval: Span::minutes(1),
        retry_interval: Span::seconds(20),
        timeout: Span::seconds(10),
        retries,
        severity: Severity::Critical,
        runbook: runbook(),
        labels: Labels::from_pairs([("team", "mail")]),
        description: String::new(),
        certificate: None,
    }
}

pub(crate) fn certificate_spec(monitor: &str, alert_days: &[u32]) -> certificate::Spec {
    certificate::Spec {
        monitor: monitor.to_owned(),
        alert_days: alert_days.to_vec(),
        severity: Severity::Warning,
        runbook: runbook(),
        labels: Labels::empty(),
    }
}

pub(crate) fn heartbeat_spec(name: &str, period: Span, grace: Span) -> heartbeat::Spec {
    heartbeat::Spec {
        id: name.to_owned(),
        name: name.to_owned(),
        schedule: Schedule::Period(period),
        grace,
        manual_resume: false,
        severity: Severity::Critical,
        runbook: runbook(),
        labels: Labels::empty(),
        description: String::new(),
    }
}

pub(crate) fn probe(monitor: &str, at: Timestamp, failure: Option<&str>) -> ProbeResult {
    ProbeResult {
        monitor: monitor.to_owned(),
        place: HOME.to_owned(),
        at,
        success: failure.is_none(),
        duration: Span::millis(20),
        message: failure.unwrap_or("* OK ready").to_owned(),
        phases: Vec::new(),
        certificate: None,
    }
}

pub(crate) fn certificate_until(not_after: Timestamp, fingerprint: &str) -> Certificate {
    Certificate {
        not_after,
        subject: "CN=mail.example.org".into(),
        issuer: "CN=Test CA".into(),
        fingerprint: fingerprint.to_owned(),
    }
}

/// One alarm and the disk under it.
struct Line<M: Kind> {
    items: Items,
    site: Site,
    kind: std::marker::PhantomData<M>,
    text: String,
}

impl<M: Kind> Line<M> {
    fn new(spec: M::Spec) -> Line<M> {
        let mut items = Items::default();
        let item = Item { spec: Arc::new(spec), kept: Kept::new(START, M::UNHEARD), judged_at: None };
        M::items_mut(&mut items).insert("x".into(), item);
        Line { items, site: Site::new("https://wb/"), kind: std::marker::PhantomData, text: String::new() }
    }

    fn item(&self) -> &Item<M> {
        &M::items(&self.items)["x"]
    }

    /// Judges, and prints what follows.
    fn step(&mut self, when: &str, now: Timestamp, judge: impl FnOnce(&mut Kept<M>, &M::Spec)) {
        let mut draft = Draft::new(now, &self.site);
        draft.judge::<M>(&self.items, "x", judge);
        // What is on disk is what is remembered: a crash after any step changes nothing.
        let json = serde_json::to_vec(&M::items(&draft.items)["x"].kept).unwrap();
        assert_eq!(M::items(&draft.items)["x"].kept, serde_json::from_slice(&json).unwrap());
        for change in &draft.transitions {
            self.text.push_str(&format!("{when} {} -> {}: {}\n", change.from, change.to, change.reason));
        }
        for alert in &draft.alerts {
            let what = if alert.ends_at.is_some() { "resolved" } else { "firing" };
            let summary = alert.annotations.get("summary").unwrap_or("");
            self.text.push_str(&format!("{when}   {what} {}: {summary}\n", alert.labels));
        }
        self.items.advance(draft.items);
    }

    /// Judges what falls due up to `now`, each at its own moment, as the task does.
    fn pass_until(&mut self, now: Timestamp) {
        while let Some(at) = M::deadline(&self.item().kept, &self.item().spec).filter(|at| *at <= now) {
            let when = at_text(at);
            self.step(&when, at, |kept, spec| M::pass(kept, spec, at));
        }
    }
}

fn at_text(at: Timestamp) -> String {
    Span::millis(at.since(START).as_millis() as u64).to_string()
}

fn events(line: &str) -> impl Iterator<Item = (&str, Timestamp, Vec<&str>)> {
    line.split('|').map(|event| {
        let mut words = event.split_whitespace();
        let when = words.next().unwrap();
        (when, START + when.parse::<Span>().unwrap().duration(), words.collect())
    })
}

/// `retries N` and events `ok`, `fail REASON`, `silent`.
pub(crate) fn check_monitor(retries: u32, line: &str, expect: expect_test::Expect) {
    let mut alarm = Line::<monitor::Memory>::new(monitor_spec("IMAP", retries));
    for (when, at, words) in events(line) {
        alarm.step(when, at, |kept, spec| match words[0] {
            "ok" => kept.result(spec, &probe("IMAP", at, None), &[Presence::Heard]),
            "fail" => kept.result(spec, &probe("IMAP", at, Some(&words[1..].join(" "))), &[Presence::Heard]),
            "silent" => kept.silent(spec, at, START, &[Presence::Silent]),
            other => panic!("{other}"),
        });
    }
    expect.assert_eq(&alarm.text);
}

/// Events `seen FINGERPRINT END`, with the end as time from the start, and `-`.
pub(crate) fn check_certificate(days: &[u32], line: &str, expect: expect_test::Expect) {
    let mut alarm = Line::<certificate::Memory>::new(certificate_spec("IMAP", days));
    for (when, at, words) in events(line) {
        alarm.pass_until(at);
        if words[0] == "seen" {
            let seen = certificate_until(START + words[2].parse::<Span>().unwrap().duration(), words[1]);
            alarm.step(when, at, |kept, spec| kept.certificate(spec, at, &seen));
        }
    }
    expect.assert_eq(&alarm.text);
}

/// `period P grace G`, or an expression after `in ZONE grace G at`, with `manual` before all if it is resumed by hand; and
/// events `ping [run]`, `start [run]`, `fail [run]`, `log`, `pause`, `resume`, `gone`, `back`, `-`.
///
/// While watchbell is gone nothing is judged.
pub(crate) fn check_heartbeat(spec: &str, line: &str, expect: expect_test::Expect) {
    let manual = spec.strip_prefix("manual ");
    let words: Vec<&str> = manual.unwrap_or(spec).splitn(6, ' ').collect();
    let mut spec = heartbeat_spec("backup", words[1].parse().unwrap_or_default(), words[3].parse().unwrap());
    if words[0] == "in" {
        spec.schedule = Schedule::expression(words[5], words[1].parse().unwrap()).unwrap();
    }
    spec.manual_resume = manual.is_some();
    let mut alarm = Line::<heartbeat::Memory>::new(spec.clone());
    let mut state = HeartbeatState::New;
    let mut gone = None;
    for (when, at, words) in events(line) {
        if gone.is_none() {
            alarm.pass_until(at);
        }
        let kind = match words[0] {
            "ping" => Some(PingKind::Success),
            "start" => Some(PingKind::Start),
            "fail" => Some(PingKind::Fail),
            "log" => Some(PingKind::Log),
            _ => None,
        };
        match (kind, words[0]) {
            (Some(kind), _) => {
                let run = words.get(1).map(|run| (*run).to_owned());
                let ping = Ping { heartbeat: "backup".into(), at, kind, run };
                alarm.step(when, at, |kept, spec| kept.ping(spec, &ping));
            }
            (None, "pause") => alarm.step(when, at, |kept, _| kept.pause(at)),
            (None, "resume") => alarm.step(when, at, |kept, _| kept.resume(at)),
            (None, "gone") => gone = Some(at),
            (None, "back") => {
                let gone = gone.take().unwrap();
                alarm.step(when, at, |kept, spec| kept.excuse(spec, gone, at));
                alarm.pass_until(at);
            }
            _ => {}
        }
        let now = alarm.item().kept.status(&spec, at);
        if now.state != state && gone.is_none() {
            state = now.state;
            alarm.text.push_str(&format!("{when} {}\n", format!("{state:?}").to_lowercase()));
        }
        if let Some(took) = now.last_duration.filter(|_| kind == Some(PingKind::Success)) {
            alarm.text.push_str(&format!("{when} took {took}\n"));
        }
        assert_eq!(alarm.item().kept.state == AlarmState::Alarm, now.state == HeartbeatState::Down, "at {when}");
    }
    expect.assert_eq(&alarm.text);
}

/// `for F keep K` and events that name the series found (`a b`), `-` for none, `lost` for none while nothing may end.
pub(crate) fn check_rule(rule: &str, line: &str, expect: expect_test::Expect) {
    use crate::rule::RuleGlobals;
    use crate::rule::evaluate::{Found, Round};
    use crate::rule::instance::step;
    use crate::rule::run::{Memory, RuleItem, settle};

    let words: Vec<&str> = rule.split_whitespace().collect();
    let file = r#"{"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "1"}]}]}"#;
    let file: crate::rule::RuleFile = serde_json::from_str(file).unwrap();
    let group = file.groups("f.yml", crate::rule::GroupDefaults::default()).unwrap().remove(0);
    let kept = Kept::<Memory>::new(START, "not evaluated yet");
    let mut rule = group.rules[0].clone();
    (rule.hold, rule.keep_firing_for) = (words[1].parse().unwrap(), words[3].parse().unwrap());
    let mut item = RuleItem::new(Arc::new(rule), Some("rule/g/A".into()), kept, Default::default());
    let site = Site::new("https://wb/");
    let mut text = String::new();
    for (when, at, words_of_event) in events(line) {
        let found = words_of_event.iter().filter(|word| !matches!(**word, "-" | "lost")).map(|word| Found {
            labels: Labels::from_pairs([("alertname", "A"), ("x", word)]),
            annotations: Labels::empty(),
            value: 1.0,
            histogram: None,
        });
        let may_end = !words_of_event.contains(&"lost");
        let round = Round { found: found.collect(), ..Round::default() };
        let mut after = step(&item.instances, &round, &item.rule, may_end, at);
        let mut draft = Draft::new(at, &site);
        item.kept = settle(&mut draft, &RuleGlobals::default(), "rule/g/A", &item, &mut after, false);
        let pending = |instances: &crate::rule::instance::Instances| -> Vec<String> {
            let pending = instances.values().filter(|it| !it.is_firing());
            pending.map(|it| it.labels.get("x").unwrap_or_default().to_owned()).collect()
        };
        if pending(&after) != pending(&item.instances) {
            text.push_str(&format!("{when} pending {:?}\n", pending(&after)));
        }
        for change in &draft.transitions {
            text.push_str(&format!("{when} {} {} -> {}: {}\n", change.labels, change.from, change.to, change.reason));
        }
        for alert in &draft.alerts {
            let what = if alert.ends_at.is_some() { "resolved" } else { "firing" };
            text.push_str(&format!("{when}   {what} {}\n", alert.labels));
        }
        item.instances = after;
    }
    expect.assert_eq(&text);
}

mod cases {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_monitor_is_down_after_its_retries_and_up_at_the_first_success() {
        check_monitor(
            2,
            "0s ok | 60s fail connection refused | 80s fail connection refused | 100s ok | 160s fail timed out | \
             180s fail timed out | 200s fail connection refused | 260s fail connection refused | 320s ok",
            expect![[r#"
                0s INSUFFICIENT_DATA -> OK: it is up: * OK ready
                200s OK -> ALARM: it is down: connection refused (3 of 3 probes failed, since 00:02 UTC)
                200s   firing {alertname="MonitorDown", monitor="IMAP", severity="critical", source="monitor/IMAP", team="mail"}: IMAP is down: connection refused (3 of 3 probes failed, since 00:02 UTC)
                320s ALARM -> OK: it is up again after 2 minutes 40 seconds: * OK ready
                320s   resolved {alertname="MonitorDown", monitor="IMAP", severity="critical", source="monitor/IMAP", team="mail"}: IMAP is down: connection refused (3 of 3 probes failed, since 00:02 UTC)
            "#]],
        );
    }

    #[test]
    fn a_monitor_without_retries_is_down_at_once_even_before_any_success() {
        check_monitor(
            0,
            "0s fail no such host | 60s fail no such host | 120s ok",
            expect![[r#"
            0s INSUFFICIENT_DATA -> ALARM: it is down: no such host (1 of 1 probes failed, since 00:00 UTC)
            0s   firing {alertname="MonitorDown", monitor="IMAP", severity="critical", source="monitor/IMAP", team="mail"}: IMAP is down: no such host (1 of 1 probes failed, since 00:00 UTC)
            120s ALARM -> OK: it is up again after 2 minutes: * OK ready
            120s   resolved {alertname="MonitorDown", monitor="IMAP", severity="critical", source="monitor/IMAP", team="mail"}: IMAP is down: no such host (1 of 1 probes failed, since 00:00 UTC)
        "#]],
        );
    }

    #[test]
    fn silence_of_a_monitor_is_not_known_and_resolves_nothing() {
        check_monitor(
            0,
            "0s ok | 4m silent | 5m ok | 6m fail refused | 10m silent | 11m fail refused | 12m ok",
            expect![[r#"
                0s INSUFFICIENT_DATA -> OK: it is up: * OK ready
                4m OK -> INSUFFICIENT_DATA: no results since 00:00 UTC
                5m INSUFFICIENT_DATA -> OK: it is up: * OK ready
                6m OK -> ALARM: it is down: refused (1 of 1 probes failed, since 00:06 UTC)
                6m   firing {alertname="MonitorDown", monitor="IMAP", severity="critical", source="monitor/IMAP", team="mail"}: IMAP is down: refused (1 of 1 probes failed, since 00:06 UTC)
                12m ALARM -> OK: it is up again after 6 minutes: * OK ready
                12m   resolved {alertname="MonitorDown", monitor="IMAP", severity="critical", source="monitor/IMAP", team="mail"}: IMAP is down: refused (1 of 1 probes failed, since 00:06 UTC)
            "#]],
        );
    }

    #[test]
    fn each_threshold_of_a_certificate_is_told_once_and_the_renewal_ends_all() {
        check_certificate(
            &[21, 7, 1],
            "0d seen a 30d | 9d seen a 30d | 10d seen a 30d | 23d - | 29d seen a 30d | 30d - | 31d seen b 90d | 60d seen b 90d",
            expect![[r#"
                0d INSUFFICIENT_DATA -> OK: it expires in 30 days, at 2026-02-04 00:00 UTC
                9d OK -> ALARM: it expires in 21 days, at 2026-02-04 00:00 UTC
                9d   firing {alertname="CertificateExpiring", certificate="a", days="21", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 21 days, at 2026-02-04 00:00 UTC
                23d   firing {alertname="CertificateExpiring", certificate="a", days="7", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 7 days, at 2026-02-04 00:00 UTC
                29d   firing {alertname="CertificateExpiring", certificate="a", days="1", monitor="IMAP", severity="critical", source="certificate/IMAP"}: the certificate of IMAP expires in 1 day, at 2026-02-04 00:00 UTC
                30d   firing {alertname="CertificateExpiring", certificate="a", days="0", monitor="IMAP", severity="critical", source="certificate/IMAP"}: the certificate of IMAP has expired, at 00:00 UTC
                31d ALARM -> OK: it expires in 59 days, at 2026-04-05 00:00 UTC
                31d   resolved {alertname="CertificateExpiring", certificate="a", days="21", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 21 days, at 2026-02-04 00:00 UTC
                31d   resolved {alertname="CertificateExpiring", certificate="a", days="7", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 7 days, at 2026-02-04 00:00 UTC
                31d   resolved {alertname="CertificateExpiring", certificate="a", days="1", monitor="IMAP", severity="critical", source="certificate/IMAP"}: the certificate of IMAP expires in 1 day, at 2026-02-04 00:00 UTC
                31d   resolved {alertname="CertificateExpiring", certificate="a", days="0", monitor="IMAP", severity="critical", source="certificate/IMAP"}: the certificate of IMAP has expired, at 00:00 UTC
            "#]],
        );
    }

    #[test]
    fn servers_behind_one_name_with_certificates_of_their_own_are_one_alert() {
        check_certificate(
            &[21],
            "0d seen a 20d | 1d seen b 21d | 2d seen a 20d | 3d seen b 21d | 4d seen a 80d",
            expect![[r#"
                0d INSUFFICIENT_DATA -> ALARM: it expires in 20 days, at 2026-01-25 00:00 UTC
                0d   firing {alertname="CertificateExpiring", certificate="a", days="21", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 20 days, at 2026-01-25 00:00 UTC
                1d   firing {alertname="CertificateExpiring", certificate="a", days="21", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 21 days, at 2026-01-26 00:00 UTC
                2d   firing {alertname="CertificateExpiring", certificate="a", days="21", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 20 days, at 2026-01-25 00:00 UTC
                3d   firing {alertname="CertificateExpiring", certificate="a", days="21", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 21 days, at 2026-01-26 00:00 UTC
                4d ALARM -> OK: it expires in 76 days, at 2026-03-26 00:00 UTC
                4d   resolved {alertname="CertificateExpiring", certificate="a", days="21", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 21 days, at 2026-01-26 00:00 UTC
            "#]],
        );
    }

    #[test]
    fn a_certificate_seen_late_tells_the_nearest_threshold_only() {
        check_certificate(
            &[21, 7, 1],
            "0d seen a 5d | 1d seen b 8d | 2d seen c 80d",
            expect![[r#"
                0d INSUFFICIENT_DATA -> ALARM: it expires in 5 days, at 2026-01-10 00:00 UTC
                0d   firing {alertname="CertificateExpiring", certificate="a", days="7", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 5 days, at 2026-01-10 00:00 UTC
                1d   firing {alertname="CertificateExpiring", certificate="a", days="7", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 8 days, at 2026-01-13 00:00 UTC
                2d ALARM -> OK: it expires in 78 days, at 2026-03-26 00:00 UTC
                2d   resolved {alertname="CertificateExpiring", certificate="a", days="7", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 8 days, at 2026-01-13 00:00 UTC
            "#]],
        );
        check_certificate(
            &[14],
            "0d seen a 14d | 1d seen a 14d",
            expect![[r#"
                0d INSUFFICIENT_DATA -> ALARM: it expires in 14 days, at 2026-01-19 00:00 UTC
                0d   firing {alertname="CertificateExpiring", certificate="a", days="14", monitor="IMAP", severity="warning", source="certificate/IMAP"}: the certificate of IMAP expires in 14 days, at 2026-01-19 00:00 UTC
            "#]],
        );
        check_certificate(
            &[21, 7],
            "1d seen a 0s",
            expect![[r#"
                1d INSUFFICIENT_DATA -> ALARM: it has expired, at 2026-01-05 00:00 UTC
                1d   firing {alertname="CertificateExpiring", certificate="a", days="0", monitor="IMAP", severity="critical", source="certificate/IMAP"}: the certificate of IMAP has expired, at 2026-01-05 00:00 UTC
            "#]],
        );
    }

    #[test]
    fn a_heartbeat_is_late_then_down_then_up() {
        check_heartbeat(
            "period 1h grace 10m",
            "0m ping | 59m - | 60m - | 69m - | 70m - | 71m - | 75m ping",
            expect![[r#"
                0m INSUFFICIENT_DATA -> OK: the job reported
                0m up
                60m late
                1h10m OK -> ALARM: the job has not reported since 00:00 UTC
                1h10m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 00:00 UTC
                70m down
                75m ALARM -> OK: the job reported again; before that at 00:00 UTC
                75m   resolved {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 00:00 UTC
                75m up
            "#]],
        );
    }

    #[test]
    fn a_heartbeat_that_never_reported_owes_nothing_but_the_end_of_its_run() {
        check_heartbeat(
            "period 1h grace 10m",
            "0m - | 5h - | 6h start | 6h9m - | 6h10m - | 6h11m ping",
            expect![[r#"
                6h10m INSUFFICIENT_DATA -> ALARM: the run that began at 06:00 UTC did not end within 10 minutes
                6h10m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the run that began at 06:00 UTC did not end within 10 minutes
                6h10m down
                6h11m ALARM -> OK: the job reported
                6h11m   resolved {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the run that began at 06:00 UTC did not end within 10 minutes
                6h11m up
                6h11m took 11m
            "#]],
        );
    }

    #[test]
    fn a_failure_is_down_at_once_and_a_log_line_is_nothing() {
        check_heartbeat(
            "period 1h grace 10m",
            "0m ping | 5m fail | 6m log | 7m fail | 3h - | 4h ping | 4h1m log",
            expect![[r#"
                0m INSUFFICIENT_DATA -> OK: the job reported
                0m up
                5m OK -> ALARM: the job reported a failure at 00:05 UTC
                5m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job reported a failure at 00:05 UTC
                5m down
                4h ALARM -> OK: the job reported again; before that at 00:07 UTC
                4h   resolved {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job reported a failure at 00:05 UTC
                4h up
            "#]],
        );
    }

    #[test]
    fn a_run_is_timed_by_its_name() {
        check_heartbeat(
            "period 1d grace 1h",
            "0m start | 5m ping | 1h start a | 1h10m ping b | 1h20m ping a | 2h start a | 2h5m ping",
            expect![[r#"
                5m INSUFFICIENT_DATA -> OK: the job reported
                5m up
                5m took 5m
                1h20m took 20m
            "#]],
        );
    }

    #[test]
    fn what_was_due_while_watchbell_was_gone_is_unknown_for_one_grace() {
        check_heartbeat(
            "period 1h grace 10m",
            "0m ping | 30m gone | 2h back | 2h9m - | 2h10m -",
            expect![[r#"
            0m INSUFFICIENT_DATA -> OK: the job reported
            0m up
            2h OK -> INSUFFICIENT_DATA: unknown: it was due at 01:00 UTC, while watchbell was not running; it has until 02:10 UTC
            2h late
            2h10m INSUFFICIENT_DATA -> ALARM: the job has not reported since 00:00 UTC
            2h10m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 00:00 UTC
            2h10m down
        "#]],
        );
        check_heartbeat(
            "period 1h grace 10m",
            "0m ping | 30m gone | 2h back | 2h5m ping | 3h -",
            expect![[r#"
            0m INSUFFICIENT_DATA -> OK: the job reported
            0m up
            2h OK -> INSUFFICIENT_DATA: unknown: it was due at 01:00 UTC, while watchbell was not running; it has until 02:10 UTC
            2h late
            2h5m INSUFFICIENT_DATA -> OK: the job reported again; before that at 00:00 UTC
            2h5m up
        "#]],
        );
        // In its grace when watchbell comes back: a report of the time in between may be lost.
        check_heartbeat(
            "period 1h grace 10m",
            "0m ping | 30m gone | 65m back | 71m - | 75m -",
            expect![[r#"
            0m INSUFFICIENT_DATA -> OK: the job reported
            0m up
            65m late
            1h15m OK -> ALARM: the job has not reported since 00:00 UTC
            1h15m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 00:00 UTC
            75m down
        "#]],
        );
        // Once for each missed sign of life.
        check_heartbeat(
            "period 1h grace 10m",
            "0m ping | 30m gone | 2h back | 125m gone | 3h back",
            expect![[r#"
            0m INSUFFICIENT_DATA -> OK: the job reported
            0m up
            2h OK -> INSUFFICIENT_DATA: unknown: it was due at 01:00 UTC, while watchbell was not running; it has until 02:10 UTC
            2h late
            2h10m INSUFFICIENT_DATA -> ALARM: the job has not reported since 00:00 UTC
            2h10m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 00:00 UTC
            3h down
        "#]],
        );
        // A short absence takes no time away and gives none.
        check_heartbeat(
            "period 1h grace 10m",
            "0m ping | 65m gone | 66m back | 70m -",
            expect![[r#"
            0m INSUFFICIENT_DATA -> OK: the job reported
            0m up
            66m late
            1h10m OK -> ALARM: the job has not reported since 00:00 UTC
            1h10m   firing {alertname="HeartbeatMissed", heartbeat="backup", severity="critical", source="heartbeat/backup"}: backup is down: the job has not reported since 00:00 UTC
            70m down
        "#]],
        );
    }

    #[test]
    fn a_rule_waits_for_its_for_and_ends_with_the_first_evaluation_without() {
        check_rule(
            "for 2m keep 0s",
            "0m a | 1m a b | 2m a b | 3m b | 4m - | 5m a | 6m -",
            expect![[r#"
            0m pending ["a"]
            0m {} INSUFFICIENT_DATA -> OK: the condition does not hold
            1m pending ["a", "b"]
            2m pending ["b"]
            2m {} OK -> ALARM: {alertname="A", x="a"} is 1
            2m {alertname="A", x="a"} OK -> ALARM: {alertname="A", x="a"} is 1
            2m   firing {alertname="A", source="rule/g/A", x="a"}
            3m pending []
            3m {alertname="A", x="b"} OK -> ALARM: {alertname="A", x="b"} is 1
            3m {alertname="A", x="a"} ALARM -> OK: the condition does not hold any more
            3m   firing {alertname="A", source="rule/g/A", x="b"}
            3m   resolved {alertname="A", source="rule/g/A", x="a"}
            4m {} ALARM -> OK: the condition does not hold
            4m {alertname="A", x="b"} ALARM -> OK: the condition does not hold any more
            4m   resolved {alertname="A", source="rule/g/A", x="b"}
            5m pending ["a"]
            6m pending []
        "#]],
        );
        check_rule(
            "for 0s keep 0s",
            "0m a | 1m -",
            expect![[r#"
            0m {} INSUFFICIENT_DATA -> ALARM: {alertname="A", x="a"} is 1
            0m {alertname="A", x="a"} OK -> ALARM: {alertname="A", x="a"} is 1
            0m   firing {alertname="A", source="rule/g/A", x="a"}
            1m {} ALARM -> OK: the condition does not hold
            1m {alertname="A", x="a"} ALARM -> OK: the condition does not hold any more
            1m   resolved {alertname="A", source="rule/g/A", x="a"}
        "#]],
        );
    }

    #[test]
    fn an_alert_may_be_kept_after_its_series_is_gone() {
        check_rule(
            "for 0s keep 3m",
            "0m a | 1m - | 2m a | 3m - | 5m - | 6m -",
            expect![[r#"
            0m {} INSUFFICIENT_DATA -> ALARM: {alertname="A", x="a"} is 1
            0m {alertname="A", x="a"} OK -> ALARM: {alertname="A", x="a"} is 1
            0m   firing {alertname="A", source="rule/g/A", x="a"}
            6m {} ALARM -> OK: the condition does not hold
            6m {alertname="A", x="a"} ALARM -> OK: the condition does not hold any more
            6m   resolved {alertname="A", source="rule/g/A", x="a"}
        "#]],
        );
    }

    #[test]
    fn nothing_ends_while_data_may_be_on_its_way() {
        check_rule(
            "for 1m keep 0s",
            "0m a b | 1m a | 2m a | 3m lost | 4m lost | 5m a | 6m -",
            expect![[r#"
            0m pending ["a", "b"]
            0m {} INSUFFICIENT_DATA -> OK: the condition does not hold
            1m pending []
            1m {} OK -> ALARM: {alertname="A", x="a"} is 1
            1m {alertname="A", x="a"} OK -> ALARM: {alertname="A", x="a"} is 1
            1m   firing {alertname="A", source="rule/g/A", x="a"}
            6m {} ALARM -> OK: the condition does not hold
            6m {alertname="A", x="a"} ALARM -> OK: the condition does not hold any more
            6m   resolved {alertname="A", source="rule/g/A", x="a"}
        "#]],
        );
    }
}
