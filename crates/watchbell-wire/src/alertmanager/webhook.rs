//! The webhook body, version 4.

use serde_json::{Map, Value, json};
use watchbell_model::{Alert, GroupNotification, Labels, Timestamp};

use super::{NO_TIME, PostedAlerts, annotations, labels, time};
use crate::fields::{BodyError, Fields};

/// How many alerts of one body are read.
pub const WEBHOOK_ALERTS_MAX: usize = 10_000;

/// Writes the body: at most `alerts_max` alerts (0 is all), the rest only counted; `external_url` is the prefix of links.
///
/// The fields are answered as a map so that a sender can put its own beside them.
pub fn encode_webhook(group: &GroupNotification, external_url: &str, alerts_max: usize) -> Map<String, Value> {
    let alerts_max = if alerts_max == 0 { usize::MAX } else { alerts_max };
    let status = |resolved: bool| if resolved { "resolved" } else { "firing" };
    let alert = |alert: &Alert| {
        json!({
            "status": status(alert.is_resolved_at(group.at)),
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": alert.starts_at,
            "endsAt": alert.ends_at.unwrap_or(NO_TIME),
            "generatorURL": alert.generator_url,
            "fingerprint": format!("{:016x}", alert.fingerprint()),
        })
    };
    let fields = [
        ("version", json!("4")),
        ("groupKey", json!(group.group_key)),
        ("truncatedAlerts", json!(group.alerts.len().saturating_sub(alerts_max))),
        ("status", json!(status(group.is_resolved()))),
        ("receiver", json!(group.receiver)),
        ("groupLabels", json!(group.group_labels)),
        ("commonLabels", json!(common(group.alerts.iter().map(|alert| &alert.labels)))),
        ("commonAnnotations", json!(common(group.alerts.iter().map(|alert| &alert.annotations)))),
        ("routeLabels", json!(group.route_labels)),
        ("externalURL", json!(external_url)),
        ("notification_reason", json!(group.reason.words())),
        ("alerts", json!(group.alerts.iter().take(alerts_max).map(alert).collect::<Vec<_>>())),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The pairs that all sets have.
fn common<'a>(mut sets: impl Iterator<Item = &'a Labels>) -> Labels {
    let Some(first) = sets.next() else { return Labels::empty() };
    sets.fold(first.clone(), |common, set| {
        common.filtered(|name| set.get(name).is_some() && set.get(name) == common.get(name))
    })
}

/// Reads the alerts of a body. A firing one lasts until it is said to be over; a resolved one is over at the latest now.
pub fn decode_webhook(body: &Value, now: Timestamp) -> Result<PostedAlerts, BodyError> {
    let body = Fields::of(body, "")?;
    // Grafana's has the same alerts and calls itself 1.
    if let Some(version) = body.text("version")?
        && version != "4"
        && body.get("orgId").is_none()
    {
        return Err(body.refuse("version", format!("is `{version}`; only version `4` is understood")));
    }
    let list = body.list("alerts")?.ok_or_else(|| body.missing("alerts"))?;
    if list.len() > WEBHOOK_ALERTS_MAX {
        return Err(body.refuse("alerts", format!("has more than {WEBHOOK_ALERTS_MAX} alerts")));
    }
    let group_status = body.text("status")?;
    let alert = |(at, item): (usize, &Value)| {
        let fields = Fields::of(item, &format!("alerts[{at}]"))?;
        let resolved = match fields.text("status")?.or(group_status) {
            Some("firing") | None => false,
            Some("resolved") => true,
            Some(other) => {
                return Err(fields.refuse("status", format!("is `{other}`; it must be `firing` or `resolved`")));
            }
        };
        let ends_at = resolved.then(|| time(&fields, "endsAt").map(|end| end.unwrap_or(now).min(now))).transpose()?;
        let starts_at = time(&fields, "startsAt")?.unwrap_or(now);
        Ok(Alert {
            labels: labels(&fields)?,
            annotations: annotations(&fields)?,
            starts_at: ends_at.map_or(starts_at, |end| starts_at.min(end)),
            ends_at,
            generator_url: fields.text("generatorURL")?.unwrap_or_default().to_owned(),
        })
    };
    let mut posted = PostedAlerts { alerts: Vec::with_capacity(list.len()), refused: Vec::new() };
    for item in list.iter().enumerate() {
        match alert(item) {
            Ok(alert) => posted.alerts.push(alert),
            Err(error) => posted.refused.push(error),
        }
    }
    Ok(posted)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;
    use watchbell_model::NotificationReason;

    use super::*;

    fn alert(labels: &[(&str, &str)], ends_at: Option<i64>) -> Alert {
        Alert {
            labels: Labels::from_pairs(labels.iter().copied()),
            annotations: Labels::from_pairs([("summary", "it is down")]),
            starts_at: Timestamp(1_000_000),
            ends_at: ends_at.map(Timestamp),
            generator_url: "https://example.org/alarms/1".into(),
        }
    }

    fn group(alerts: Vec<Alert>) -> GroupNotification {
        GroupNotification {
            receiver: "ops".into(),
            group_key: "{}:{alertname=\"a\"}".into(),
            sequence: 1,
            group_labels: Labels::from_pairs([("alertname", "a")]),
            route_labels: Labels::from_pairs([("team", "mail")]),
            alerts,
            reason: NotificationReason::NewResolved,
            acknowledged_by: None,
            at: Timestamp(3_000_000),
        }
    }

    #[test]
    fn a_body_has_alertmanagers_fields() {
        let group = group(vec![
            alert(&[("alertname", "a"), ("host", "1")], None),
            alert(&[("alertname", "a"), ("host", "2")], Some(2_000_000)),
            alert(&[("alertname", "a"), ("host", "3")], Some(2_000_000)),
        ]);
        let body = Value::Object(encode_webhook(&group, "https://example.org", 2));
        expect![[r#"
            {
              "alerts": [
                {
                  "annotations": {
                    "summary": "it is down"
                  },
                  "endsAt": "0001-01-01T00:00:00.000Z",
                  "fingerprint": "4757bc0fa1ee0f5a",
                  "generatorURL": "https://example.org/alarms/1",
                  "labels": {
                    "alertname": "a",
                    "host": "1"
                  },
                  "startsAt": "1970-01-01T00:16:40.000Z",
                  "status": "firing"
                },
                {
                  "annotations": {
                    "summary": "it is down"
                  },
                  "endsAt": "1970-01-01T00:33:20.000Z",
                  "fingerprint": "474dbc0fa1e5bad5",
                  "generatorURL": "https://example.org/alarms/1",
                  "labels": {
                    "alertname": "a",
                    "host": "2"
                  },
                  "startsAt": "1970-01-01T00:16:40.000Z",
                  "status": "resolved"
                }
              ],
              "commonAnnotations": {
                "summary": "it is down"
              },
              "commonLabels": {
                "alertname": "a"
              },
              "externalURL": "https://example.org",
              "groupKey": "{}:{alertname=\"a\"}",
              "groupLabels": {
                "alertname": "a"
              },
              "notification_reason": "some alerts resolved",
              "receiver": "ops",
              "routeLabels": {
                "team": "mail"
              },
              "status": "firing",
              "truncatedAlerts": 1,
              "version": "4"
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&body).expect("it is JSON"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |body: Value| match decode_webhook(&body, Timestamp(5)) {
            Ok(posted) => {
                let refused = posted.refused.iter().map(|error| format!("{error}\n"));
                format!("{} taken\n{}", posted.alerts.len(), refused.collect::<String>())
            }
            Err(error) => format!("{error}\n"),
        };
        let text = [
            json!([]),
            json!({}),
            json!({"version": "3", "alerts": []}),
            json!({"version": 4, "alerts": []}),
            json!({"alerts": {}}),
            json!({"alerts": [{"status": "firing"}]}),
            json!({"alerts": [{"status": "odd", "labels": {"a": "b"}}]}),
            json!({"alerts": [{"labels": {"a": "b"}, "endsAt": "never", "status": "resolved"}]}),
            json!({"alerts": [{"labels": {"a": "b"}}, {"labels": 1}]}),
        ]
        .map(check)
        .concat();
        expect![[r#"
            `body` must be an object, not a list
            `alerts` is missing
            `version` is `3`; only version `4` is understood
            `version` must be a text, not a number
            `alerts` must be a list, not an object
            0 taken
            `alerts[0].labels` must have at least one label that is not empty
            0 taken
            `alerts[0].status` is `odd`; it must be `firing` or `resolved`
            0 taken
            `alerts[0].endsAt` must be a time such as `2026-11-20T22:27:00Z`
            1 taken
            `alerts[1].labels` must be an object, not a number
        "#]]
        .assert_eq(&text);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(hosts in prop::collection::btree_map("[a-z]{1,3}", any::<bool>(), 1..5)) {
            let alerts: Vec<Alert> = hosts
                .iter()
                .map(|(host, over)| alert(&[("alertname", "a"), ("host", host)], over.then_some(2_000_000)))
                .collect();
            let body = Value::Object(encode_webhook(&group(alerts.clone()), "https://example.org", 0));
            prop_assert_eq!(decode_webhook(&body, Timestamp(3_000_000)).unwrap().alerts, alerts);
        }
    }
}
