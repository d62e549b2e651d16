//! What `POST /sink` takes: a message of a script, Uptime Kuma or Healthchecks, the webhook body of Alertmanager or
//! Grafana, and what Kuma, EventBridge and SNS post by themselves.
//!
//! The direct form is `{"summary": …, "severity": …, "source": …}` with, if wanted, `runbook_url` and `status`. It
//! becomes an alert with the labels `alertname` (the source behind its first slash), `severity` and `source`, which
//! fires until a message of the same source says that it is over:
//!
//! - `status` is `resolved`, `ok` or `up`; or there is no `status` and
//! - `severity` is `info`, `ok` or `resolved` (Kuma's template sends `critical` on down and `info` on up); or
//! - `summary` begins with `Recovered:` (Healthchecks' template sends `critical`, then a `warning` `Recovered: …`).
//!
//! Such a message ends every open alert of its source, whatever its severity, and raises none: an `info` about a source
//! with nothing open tells nobody. Who really wants an `info` alert says `"status": "firing"`.
//!
//! The Alertmanager form is any object with `alerts`; each alert keeps its labels and gets a `source` if it has none.
//! Alerts of it that cannot be understood do not keep the others from being taken.
//! A message is not refused for what a page can do without: a run book address that is none is left out with a warning,
//! a long summary is cut.

mod foreign;

use watchbell_model::{Alert, Labels, Severity, Timestamp, Url};

use crate::alertmanager::{PostedAlerts, decode_webhook};
use crate::fields::{self, BodyError, Fields, cut};

/// The longest body that should be read.
pub const SINK_BODY_MAX: usize = 4 << 20;
/// How many bytes of a summary are kept.
pub const SINK_SUMMARY_MAX: usize = 4096;
/// How many bytes a source may have.
pub const SINK_SOURCE_MAX: usize = 512;

/// Sources of watchbell's own alarms, which nobody else may speak for.
const OWN_SOURCES: [&str; 5] = ["monitor/", "certificate/", "heartbeat/", "rule/", "self/"];

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkMessage {
    /// These are to be raised; resolved ones among them end what they name by their labels.
    Alerts {
        /// To be raised.
        alerts: Vec<Alert>,
        /// What was left out, for the answer.
        warnings: Vec<String>,
    },
    /// Whatever this source has open is over: raise what [`resolve_source`] makes of the open alerts.
    Over {
        /// The source.
        source: String,
    },
}

/// Reads a body.
pub fn decode_sink(body: &[u8], now: Timestamp) -> Result<SinkMessage, BodyError> {
    let body = fields::read(body)?;
    let fields = Fields::of(&body, "")?;
    if fields.get("alerts").is_some() {
        let PostedAlerts { mut alerts, refused } = decode_webhook(&body, now)?;
        if let (true, Some(error)) = (alerts.is_empty(), refused.first()) {
            return Err(error.clone());
        }
        for alert in &mut alerts {
            if alert.labels.get("source").is_none() {
                let source = format!("alertmanager/{}", alert.name());
                alert.labels = alert.labels.with("source", source.trim_end_matches('/'));
            }
        }
        return Ok(SinkMessage::Alerts { alerts, warnings: refused.iter().map(BodyError::to_string).collect() });
    }
    if let Some(read) = foreign::decode(&body, now) {
        return read;
    }
    decode_direct(&fields, now)
}

fn decode_direct(fields: &Fields<'_>, now: Timestamp) -> Result<SinkMessage, BodyError> {
    let text = |name| Ok(fields.text(name)?.map(str::trim).filter(|text: &&str| !text.is_empty()));
    let source = text("source")?.ok_or_else(|| fields.missing("source"))?;
    if source.len() > SINK_SOURCE_MAX {
        return Err(fields.refuse("source", format!("is longer than {SINK_SOURCE_MAX} bytes")));
    }
    if let Some(own) = OWN_SOURCES.iter().find(|own| source.starts_with(**own)) {
        return Err(fields.refuse("source", format!("begins with `{own}`, which is watchbell's own; choose another")));
    }
    let (summary, severity) = (text("summary")?, text("severity")?.map(str::to_lowercase));
    let over = match text("status")?.map(str::to_lowercase).as_deref() {
        Some("firing" | "down" | "alerting") => false,
        Some("resolved" | "ok" | "up") => true,
        Some(other) => return Err(fields.refuse("status", format!("is `{other}`; it must be `firing` or `resolved`"))),
        None => {
            let recovered = summary
                .and_then(|summary| summary.get(..10))
                .is_some_and(|start| start.eq_ignore_ascii_case("recovered:"));
            matches!(severity.as_deref(), Some("info" | "ok" | "resolved")) || recovered
        }
    };
    if over {
        return Ok(SinkMessage::Over { source: source.to_owned() });
    }
    let severity = match severity.as_deref() {
        Some("critical") => Severity::Critical,
        Some("warning") => Severity::Warning,
        Some("info") => Severity::Info,
        Some(other) => {
            let reason = format!("is `{other}`; it must be `critical`, `warning` or `info`");
            return Err(fields.refuse("severity", reason));
        }
        None => return Err(fields.missing("severity")),
    };
    let summary = summary.ok_or_else(|| fields.missing("summary"))?;
    let mut annotations = vec![("summary", cut(summary, SINK_SUMMARY_MAX))];
    let mut warnings = Vec::new();
    match text("runbook_url")?.map(|url| url.parse::<Url>()) {
        Some(Ok(url)) => annotations.push(("runbook_url", url.as_str().to_owned())),
        Some(Err(error)) => warnings.push(format!("`runbook_url` is left out: {error}")),
        None => {}
    }
    let alert = Alert {
        labels: labels(source, severity),
        annotations: Labels::from_pairs(annotations),
        starts_at: now,
        ends_at: None,
        generator_url: String::new(),
    };
    Ok(SinkMessage::Alerts { alerts: vec![alert], warnings })
}

fn labels(source: &str, severity: Severity) -> Labels {
    let name = source.split_once('/').map_or(source, |(_, name)| name).trim();
    let name = if name.is_empty() { source } else { name };
    Labels::from_pairs([("alertname", name), ("severity", severity.as_str()), ("source", source)])
}

/// The ends of all alerts of a source among the open ones; only of such as the direct form raises.
pub fn resolve_source<'a>(open: impl IntoIterator<Item = &'a Alert>, source: &str, now: Timestamp) -> Vec<Alert> {
    let made: Vec<Labels> =
        [Severity::Critical, Severity::Warning, Severity::Info].map(|severity| labels(source, severity)).into();
    let mine = open.into_iter().filter(|alert| made.contains(&alert.labels) && !alert.is_resolved_at(now));
    mine.map(|alert| Alert { ends_at: Some(now), starts_at: alert.starts_at.min(now), ..alert.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    /// Posts one body after another, as the API does, and shows what is open after each.
    fn check(bodies: &[&str], expect: Expect) {
        let mut open: Vec<Alert> = Vec::new();
        let mut text = String::new();
        for body in bodies {
            match decode_sink(body.as_bytes(), NOW) {
                Ok(SinkMessage::Alerts { alerts, warnings }) => {
                    for alert in alerts {
                        open.retain(|known| known.labels != alert.labels);
                        if alert.ends_at.is_none() {
                            open.push(alert);
                        }
                    }
                    warnings.iter().for_each(|warning| text += &format!("warning: {warning}\n"));
                }
                Ok(SinkMessage::Over { source }) => {
                    let over = resolve_source(&open, &source, NOW);
                    open.retain(|known| !over.iter().any(|alert| alert.labels == known.labels));
                    text += &format!("{} of `{source}` over; ", over.len());
                }
                Err(error) => text += &format!("refused: {error}; "),
            }
            let list: Vec<String> =
                open.iter().map(|alert| format!("{} {}", alert.labels, alert.annotations)).collect();
            text += &format!("open: {}\n", if list.is_empty() { "none".to_owned() } else { list.join(" and ") });
        }
        expect.assert_eq(&text);
    }

    #[test]
    fn kuma_says_info_when_it_is_up_again() {
        check(
            &[
                r#"{"summary": "[IMAP] down", "severity": "critical", "source": "kuma/IMAP TLS handshake"}"#,
                r#"{"summary": "[IMAP] still down", "severity": "critical", "source": "kuma/IMAP TLS handshake"}"#,
                r#"{"summary": "[SMTP] up", "severity": "info", "source": "kuma/SMTP"}"#,
                r#"{"summary": "[IMAP] up", "severity": "info", "source": "kuma/IMAP TLS handshake"}"#,
                r#"{"summary": "[IMAP] up", "severity": "info", "source": "kuma/IMAP TLS handshake"}"#,
            ],
            expect![[r#"
                open: {alertname="IMAP TLS handshake", severity="critical", source="kuma/IMAP TLS handshake"} {summary="[IMAP] down"}
                open: {alertname="IMAP TLS handshake", severity="critical", source="kuma/IMAP TLS handshake"} {summary="[IMAP] still down"}
                0 of `kuma/SMTP` over; open: {alertname="IMAP TLS handshake", severity="critical", source="kuma/IMAP TLS handshake"} {summary="[IMAP] still down"}
                1 of `kuma/IMAP TLS handshake` over; open: none
                0 of `kuma/IMAP TLS handshake` over; open: none
            "#]],
        );
    }

    #[test]
    fn healthchecks_says_recovered() {
        check(
            &[
                r#"{"summary": "Missed heartbeat: aws-backup", "severity": "critical", "source": "healthchecks/aws-backup"}"#,
                r#"{"summary": "Recovered: aws-backup", "severity": "warning", "source": "healthchecks/aws-backup"}"#,
            ],
            expect![[r#"
                open: {alertname="aws-backup", severity="critical", source="healthchecks/aws-backup"} {summary="Missed heartbeat: aws-backup"}
                1 of `healthchecks/aws-backup` over; open: none
            "#]],
        );
    }

    #[test]
    fn scripts_may_say_status() {
        check(
            &[
                r#"{"summary": "disk", "severity": "warning", "source": "disk", "runbook_url": "https://x.org/disk"}"#,
                r#"{"summary": "disk", "severity": "critical", "source": "disk", "runbook_url": "nonsense"}"#,
                r#"{"summary": "fyi", "severity": "info", "source": "x/", "status": "firing"}"#,
                r#"{"source": "disk", "status": "resolved"}"#,
            ],
            expect![[r#"
                open: {alertname="disk", severity="warning", source="disk"} {runbook_url="https://x.org/disk", summary="disk"}
                warning: `runbook_url` is left out: `nonsense` is not a web address: it must start with `https://` or `http://`
                open: {alertname="disk", severity="warning", source="disk"} {runbook_url="https://x.org/disk", summary="disk"} and {alertname="disk", severity="critical", source="disk"} {summary="disk"}
                open: {alertname="disk", severity="warning", source="disk"} {runbook_url="https://x.org/disk", summary="disk"} and {alertname="disk", severity="critical", source="disk"} {summary="disk"} and {alertname="x/", severity="info", source="x/"} {summary="fyi"}
                2 of `disk` over; open: {alertname="x/", severity="info", source="x/"} {summary="fyi"}
            "#]],
        );
    }

    #[test]
    fn alertmanager_bodies_say_it_per_alert() {
        check(
            &[
                r#"{"version": "4", "status": "firing", "alerts": [
                    {"status": "firing", "labels": {"alertname": "A", "severity": "critical"},
                     "annotations": {"summary": "s"}, "startsAt": "1970-01-01T00:10:00Z",
                     "endsAt": "0001-01-01T00:00:00Z"},
                    {"status": "firing", "labels": {"alertname": "B", "source": "mine"}}]}"#,
                r#"{"summary": "x", "severity": "info", "source": "mine"}"#,
                r#"{"version": "4", "status": "resolved", "alerts": [
                    {"status": "resolved", "labels": {"alertname": "A", "severity": "critical"},
                     "startsAt": "1970-01-01T00:10:00Z", "endsAt": "1970-01-01T00:12:00Z"}]}"#,
            ],
            expect![[r#"
                open: {alertname="A", severity="critical", source="alertmanager/A"} {summary="s"} and {alertname="B", source="mine"} {}
                0 of `mine` over; open: {alertname="A", severity="critical", source="alertmanager/A"} {summary="s"} and {alertname="B", source="mine"} {}
                open: {alertname="B", source="mine"} {}
            "#]],
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        check(
            &[
                "",
                "{",
                "[]",
                "{}",
                r#"{"source": "a"}"#,
                r#"{"source": 5}"#,
                r#"{"source": "a", "severity": "critical"}"#,
                r#"{"source": "a", "severity": "critical", "summary": ["x"]}"#,
                r#"{"source": "a", "severity": "page", "summary": "x"}"#,
                r#"{"source": "a", "severity": "critical", "summary": "x", "status": "maybe"}"#,
                r#"{"source": "monitor/imap", "severity": "info", "summary": "x"}"#,
                r#"{"alerts": [{"labels": {"alertname": 1}}]}"#,
            ],
            expect![[r#"
                refused: the body is not JSON: it is empty; open: none
                refused: the body is not JSON: EOF while parsing an object at line 1 column 1; open: none
                refused: `body` must be an object, not a list; open: none
                refused: `source` is missing; open: none
                refused: `severity` is missing; open: none
                refused: `source` must be a text, not a number; open: none
                refused: `summary` is missing; open: none
                refused: `summary` must be a text, not a list; open: none
                refused: `severity` is `page`; it must be `critical`, `warning` or `info`; open: none
                refused: `status` is `maybe`; it must be `firing` or `resolved`; open: none
                refused: `source` begins with `monitor/`, which is watchbell's own; choose another; open: none
                refused: `alerts[0].labels.alertname` must be a text, not a number; open: none
            "#]],
        );
    }

    #[test]
    fn long_texts_are_cut_not_refused() {
        let body = serde_json::json!({"source": "a", "severity": "critical", "summary": "ä".repeat(5000)});
        let Ok(SinkMessage::Alerts { alerts, .. }) = decode_sink(body.to_string().as_bytes(), NOW) else {
            panic!("it is taken")
        };
        let summary = alerts[0].annotations.get("summary").expect("it has one");
        assert!(summary.len() <= SINK_SUMMARY_MAX && summary.ends_with("ä…"), "{} bytes", summary.len());
    }

    #[test]
    fn grafana_says_it_per_alert_too() {
        check(
            &[
                r#"{"receiver": "wb", "status": "firing", "orgId": 1, "version": "1", "title": "[FIRING:1]", "state": "alerting",
                "alerts": [{"status": "firing", "labels": {"alertname": "High", "grafana_folder": "x"},
                "annotations": {"summary": "it is high"}, "startsAt": "1970-01-01T00:10:00Z",
                "endsAt": "0001-01-01T00:00:00Z", "values": {"B": 22}, "valueString": "[ B=22 ]"}]}"#,
            ],
            expect![[r#"
                open: {alertname="High", grafana_folder="x", source="alertmanager/High"} {summary="it is high"}
            "#]],
        );
    }

    #[test]
    fn kumas_own_body_is_understood() {
        check(
            &[
                r#"{"heartbeat": {"status": 0, "msg": "connect ECONNREFUSED"}, "monitor": {"name": "Web", "url": "https://x.org"}, "msg": "[Web] [Down]"}"#,
                r#"{"heartbeat": {"status": 2, "msg": "x"}, "monitor": {"name": "Web"}, "msg": "[Web] [Pending]"}"#,
                r#"{"heartbeat": {"status": 1, "msg": "200 - OK"}, "monitor": {"name": "Web"}, "msg": "[Web] [Up] 200 - OK"}"#,
                r#"{"heartbeat": null, "monitor": null, "msg": "Wb Testing"}"#,
            ],
            expect![[r#"
                open: {alertname="Web", severity="critical", source="kuma/Web"} {summary="Web: connect ECONNREFUSED"}
                warning: nothing is raised: the monitor is neither up nor down
                open: {alertname="Web", severity="critical", source="kuma/Web"} {summary="Web: connect ECONNREFUSED"}
                1 of `kuma/Web` over; open: none
                open: {alertname="notification", severity="warning", source="kuma/notification"} {summary="Wb Testing"}
            "#]],
        );
    }

    #[test]
    fn what_aws_posts_is_understood() {
        let event =
            |kind: &str, detail: &str| format!(r#"{{"version": "0", "detail-type": "{kind}", "detail": {detail}}}"#);
        let state = "CloudWatch Alarm State Change";
        let inner = r#"{\"AlarmName\": \"Old\", \"AlarmDescription\": \"d\", \"NewStateValue\": \"ALARM\", \"NewStateReason\": \"r\"}"#;
        let sns = |kind: &str, message: &str| {
            format!(
                r#"{{"Type": "{kind}", "TopicArn": "arn:aws:sns:eu-west-1:1:ops", "Subject": "s", "Message": "{message}", "SubscribeURL": "https://sns/confirm"}}"#
            )
        };
        check(
            &[
                event(state, r#"{"alarmName": "Cpu", "state": {"value": "ALARM", "reason": "too high"}, "configuration": {"description": "of the server"}}"#),
                event(state, r#"{"alarmName": "Cpu", "state": {"value": "INSUFFICIENT_DATA"}}"#),
                event(state, r#"{"alarmName": "Cpu", "state": {"value": "OK"}}"#),
                event("CloudWatch Alarm Contributor State Change", r#"{"alarmName": "Cpu", "alarmContributor": {"id": "a1"}, "state": {"value": "ALARM", "reason": "r"}}"#),
                event("CloudWatch Alarm Contributor State Change", r#"{"alarmName": "Cpu", "alarmContributor": {"id": "a1"}, "state": {"value": "OK"}}"#),
                event("Backup Job State Change", r#"{"resourceArn": "arn:aws:ec2:x:1:volume/vol-1", "state": "FAILED", "statusMessage": "no room"}"#),
                event("Backup Job State Change", r#"{"resourceArn": "arn:aws:ec2:x:1:volume/vol-1", "state": "COMPLETED"}"#),
                event("EC2 Instance State-change Notification", "{}"),
                sns("Notification", inner),
                sns("Notification", "plain words"),
                sns("SubscriptionConfirmation", "you have chosen"),
            ]
            .each_ref()
            .map(String::as_str),
            expect![[r#"
                open: {alertname="Cpu", severity="critical", source="cloudwatch/Cpu"} {summary="of the server: too high"}
                warning: nothing is raised: the alarm has no data, which is neither good nor bad
                open: {alertname="Cpu", severity="critical", source="cloudwatch/Cpu"} {summary="of the server: too high"}
                1 of `cloudwatch/Cpu` over; open: none
                open: {alertname="Cpu/a1", severity="critical", source="cloudwatch/Cpu/a1"} {summary="r"}
                1 of `cloudwatch/Cpu/a1` over; open: none
                open: {alertname="backup/volume/vol-1", severity="critical", source="aws-backup/backup/volume/vol-1"} {summary="backup job of arn:aws:ec2:x:1:volume/vol-1: failed: no room"}
                1 of `aws-backup/backup/volume/vol-1` over; open: none
                refused: `detail-type` is `EC2 Instance State-change Notification`; alarms and backup jobs are understood; open: none
                open: {alertname="Old", severity="critical", source="cloudwatch/Old"} {summary="d: r"}
                open: {alertname="Old", severity="critical", source="cloudwatch/Old"} {summary="d: r"} and {alertname="ops", severity="warning", source="sns/ops"} {summary="s: plain words"}
                warning: nothing is raised: to confirm the subscription, open https://sns/confirm
                open: {alertname="Old", severity="critical", source="cloudwatch/Old"} {summary="d: r"} and {alertname="ops", severity="warning", source="sns/ops"} {summary="s: plain words"}
            "#]],
        );
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "recorded cases are read from the real disk")]
    fn conformance_events_of_aws_are_understood() {
        let folder = std::env::var_os("WATCHBELL_CONFORMANCE").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
            std::path::PathBuf::from,
        );
        let Ok(entries) = std::fs::read_dir(folder.join("cloudwatch/cw_events")) else {
            println!("skipped: there is no folder {}; name one in WATCHBELL_CONFORMANCE", folder.display());
            return;
        };
        let (mut read, mut raised) = (0, 0);
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Those of Lambda wrap others in a list of their own.
            if !name.ends_with(".json") || name.starts_with("notify_slack_messages") {
                continue;
            }
            let body = std::fs::read(&path).expect("a file");
            let message = decode_sink(&body, NOW).unwrap_or_else(|error| panic!("{name}: {error}"));
            read += 1;
            raised += usize::from(matches!(message, SinkMessage::Alerts { alerts, .. } if !alerts.is_empty()));
        }
        println!("{read} events read, {raised} of them raise something");
        assert!(read >= 14 && raised >= 5, "{read} {raised}");
    }

    proptest::proptest! {
        #[test]
        fn no_body_breaks_the_reader(body in "[{}\\[\\]\":,a-z0-9 ä]{0,64}") {
            let _ = decode_sink(body.as_bytes(), NOW);
        }
    }
}
