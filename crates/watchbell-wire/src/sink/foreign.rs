//! Bodies that other tools post by themselves: Uptime Kuma's webhook, EventBridge's and SNS' words about CloudWatch alarms
//! and AWS Backup.
//!
//! Each is told by the fields that only it has. What says that something is over ends what its source has open; what says
//! neither (a configuration changed, data are missing) raises nothing and says so in the answer.

use serde_json::Value;
use watchbell_model::{Alert, Labels, Severity, Timestamp, Url};

use super::{SINK_SUMMARY_MAX, SinkMessage, labels};
use crate::fields::{BodyError, Fields, cut};

/// A body of one of these tools, if it is one.
pub(super) fn decode(body: &Value, now: Timestamp) -> Option<Result<SinkMessage, BodyError>> {
    let has = |names: &[&str]| names.iter().all(|name| body.get(name).is_some());
    if has(&["heartbeat", "monitor", "msg"]) {
        return Some(Ok(kuma(body, now)));
    }
    if has(&["detail-type", "detail"]) {
        return Some(event(body, now));
    }
    if has(&["AlarmName", "NewStateValue"]) {
        return Some(Ok(alarm(&words(body, "AlarmName"), &words(body, "NewStateValue"), &told(body), now)));
    }
    if has(&["Type", "TopicArn", "Message"]) {
        return Some(sns(body, now));
    }
    None
}

/// Kuma's own JSON: `{"heartbeat": {"status": 0}, "monitor": {"name": …}, "msg": …}`; a test has neither of the first two.
fn kuma(body: &Value, now: Timestamp) -> SinkMessage {
    let monitor = &body["monitor"];
    let name = words(monitor, "name");
    let source = format!("kuma/{}", if name.is_empty() { "notification" } else { &name });
    let text = match words(&body["heartbeat"], "msg") {
        said if said.is_empty() || name.is_empty() => words(body, "msg"),
        said => format!("{name}: {said}"),
    };
    match body["heartbeat"]["status"].as_i64() {
        Some(1) => SinkMessage::Over { source },
        // Pending, and maintenance: nothing is broken that anybody need mend.
        Some(2 | 3) => nothing("the monitor is neither up nor down"),
        Some(_) => raised(&source, Severity::Critical, &text, monitor["url"].as_str(), now),
        // A test, or a certificate that ends.
        None => raised(&source, Severity::Warning, &text, None, now),
    }
}

/// An event of EventBridge about an alarm or a backup.
fn event(body: &Value, now: Timestamp) -> Result<SinkMessage, BodyError> {
    let detail = &body["detail"];
    let name = words(detail, "alarmName");
    match words(body, "detail-type").as_str() {
        "CloudWatch Alarm State Change" => {
            let state = &detail["state"];
            let description = words(&detail["configuration"], "description");
            let text = join(&description, &words(state, "reason"));
            Ok(alarm(&name, &words(state, "value"), &text, now))
        }
        "CloudWatch Alarm Contributor State Change" => {
            let state = &detail["state"];
            let id = words(&detail["alarmContributor"], "id");
            Ok(alarm(&format!("{name}/{id}"), &words(state, "value"), &words(state, "reason"), now))
        }
        "CloudWatch Alarm Configuration Change" if words(detail, "operation") == "delete" => {
            Ok(SinkMessage::Over { source: format!("cloudwatch/{name}") })
        }
        kind @ ("Backup Job State Change" | "Copy Job State Change" | "Restore Job State Change") => {
            let what = kind.split(' ').next().unwrap_or_default().to_lowercase();
            let resource = words(detail, "resourceArn");
            let source = format!("aws-backup/{what}/{}", resource.rsplit(':').next().unwrap_or_default());
            let state = words(detail, "state");
            Ok(match state.as_str() {
                "COMPLETED" => SinkMessage::Over { source },
                "FAILED" | "EXPIRED" | "ABORTED" | "PARTIAL" => {
                    let text = format!("{what} job of {resource}: {}", state.to_lowercase());
                    raised(&source, Severity::Critical, &join(&text, &words(detail, "statusMessage")), None, now)
                }
                _ => nothing("the job goes on"),
            })
        }
        "CloudWatch Alarm Configuration Change" => Ok(nothing("the configuration of an alarm changed")),
        other => {
            let fields = Fields::of(body, "")?;
            Err(fields.refuse("detail-type", format!("is `{other}`; alarms and backup jobs are understood")))
        }
    }
}

/// What SNS delivers: its message is one of the forms above, or plain words.
fn sns(body: &Value, now: Timestamp) -> Result<SinkMessage, BodyError> {
    let message = words(body, "Message");
    match words(body, "Type").as_str() {
        "Notification" => {}
        "SubscriptionConfirmation" => {
            let url = words(body, "SubscribeURL");
            return Ok(nothing(&format!("to confirm the subscription, open {url}")));
        }
        _ => return Ok(nothing("it is no notification")),
    }
    if let Ok(inner) = serde_json::from_str::<Value>(&message)
        && let Some(read) = decode(&inner, now).filter(|_| inner.get("TopicArn").is_none())
    {
        return read;
    }
    let topic = words(body, "TopicArn");
    let source = format!("sns/{}", topic.rsplit(':').next().unwrap_or_default());
    Ok(raised(&source, Severity::Warning, &join(&words(body, "Subject"), &message), None, now))
}

/// An alarm of CloudWatch in a state.
fn alarm(name: &str, state: &str, text: &str, now: Timestamp) -> SinkMessage {
    let source = format!("cloudwatch/{name}");
    match state {
        "OK" => SinkMessage::Over { source },
        "ALARM" => raised(&source, Severity::Critical, text, None, now),
        _ => nothing("the alarm has no data, which is neither good nor bad"),
    }
}

/// What SNS' older body says of an alarm.
fn told(body: &Value) -> String {
    join(&words(body, "AlarmDescription"), &words(body, "NewStateReason"))
}

fn raised(source: &str, severity: Severity, text: &str, url: Option<&str>, now: Timestamp) -> SinkMessage {
    let source = cut(source, super::SINK_SOURCE_MAX);
    let text = if text.trim().is_empty() { source.as_str() } else { text };
    let url = url.filter(|url| url.parse::<Url>().is_ok()).unwrap_or_default();
    SinkMessage::Alerts {
        alerts: vec![Alert {
            labels: labels(&source, severity),
            annotations: Labels::from_pairs([("summary", cut(text, SINK_SUMMARY_MAX))]),
            starts_at: now,
            ends_at: None,
            generator_url: url.to_owned(),
        }],
        warnings: Vec::new(),
    }
}

fn nothing(why: &str) -> SinkMessage {
    SinkMessage::Alerts { alerts: Vec::new(), warnings: vec![format!("nothing is raised: {why}")] }
}

fn words(of: &Value, name: &str) -> String {
    of[name].as_str().unwrap_or_default().trim().to_owned()
}

fn join(first: &str, second: &str) -> String {
    [first, second].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
}
