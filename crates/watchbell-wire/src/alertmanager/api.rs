//! API v2: what clients post, and what they are answered.

use serde::Serialize;
use watchbell_model::{Alert, Labels, MatchOp, Matcher, Span, Timestamp};

use super::{annotations, labels, time};
use crate::fields::{self, BodyError, Fields};

/// How many alerts one request may post.
pub const ALERTS_POSTED_MAX: usize = 10_000;
const MATCHERS_MAX: usize = 100;

/// What a body of alerts comes to: as in Alertmanager, good ones are taken even if others are not.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedAlerts {
    /// To be raised.
    pub alerts: Vec<Alert>,
    /// Why others were not taken.
    pub refused: Vec<BodyError>,
}

/// Reads the body of `POST /api/v2/alerts`. An alert without an end lasts `resolve_timeout` unless it is posted again.
pub fn decode_alerts(body: &[u8], now: Timestamp, resolve_timeout: Span) -> Result<PostedAlerts, BodyError> {
    let body = fields::read(body)?;
    let items = fields::items(&body)?;
    if items.len() > ALERTS_POSTED_MAX {
        let reason = format!("has more than {ALERTS_POSTED_MAX} alerts");
        return Err(BodyError::Value { field: "body".into(), reason });
    }
    let mut posted = PostedAlerts { alerts: Vec::with_capacity(items.len()), refused: Vec::new() };
    for (at, item) in items.iter().enumerate() {
        match decode_alert(item, &format!("[{at}]"), now, resolve_timeout) {
            Ok(alert) => posted.alerts.push(alert),
            Err(error) => posted.refused.push(error),
        }
    }
    Ok(posted)
}

fn decode_alert(
    item: &serde_json::Value,
    path: &str,
    now: Timestamp,
    resolve_timeout: Span,
) -> Result<Alert, BodyError> {
    let fields = Fields::of(item, path)?;
    let (start, end) = (time(&fields, "startsAt")?, time(&fields, "endsAt")?);
    let starts_at = start.or(end).unwrap_or(now);
    let ends_at = end.unwrap_or(now + resolve_timeout.duration());
    if ends_at < starts_at && end.is_some() {
        return Err(fields.refuse("endsAt", "is before `startsAt`"));
    }
    Ok(Alert {
        labels: labels(&fields)?,
        annotations: annotations(&fields)?,
        starts_at,
        ends_at: Some(ends_at),
        generator_url: fields.text("generatorURL")?.unwrap_or_default().to_owned(),
    })
}

/// What a request to set a silence asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedSilence {
    /// The silence to edit, or nothing for a new one.
    pub id: String,
    /// All of them must hold.
    pub matchers: Vec<Matcher>,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who asks.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Further words.
    pub annotations: Labels,
}

/// Reads the body of `POST /api/v2/silences`.
pub fn decode_silence(body: &[u8], now: Timestamp) -> Result<PostedSilence, BodyError> {
    let body = fields::read(body)?;
    let fields = Fields::of(&body, "")?;
    let list = fields.list("matchers")?.ok_or_else(|| fields.missing("matchers"))?;
    if list.is_empty() || list.len() > MATCHERS_MAX {
        return Err(fields.refuse("matchers", format!("must have from 1 to {MATCHERS_MAX} matchers")));
    }
    let matchers = list.iter().enumerate().map(|(at, item)| decode_matcher(item, &format!("matchers[{at}]")));
    let required = |name| fields.text(name)?.ok_or_else(|| fields.missing(name)).map(str::to_owned);
    Ok(PostedSilence {
        id: fields.text("id")?.unwrap_or_default().to_owned(),
        matchers: matchers.collect::<Result<_, _>>()?,
        starts_at: time(&fields, "startsAt")?.unwrap_or(now),
        ends_at: time(&fields, "endsAt")?.ok_or_else(|| fields.missing("endsAt"))?,
        created_by: required("createdBy")?,
        comment: required("comment")?,
        annotations: annotations(&fields)?,
    })
}

fn decode_matcher(item: &serde_json::Value, path: &str) -> Result<Matcher, BodyError> {
    let fields = Fields::of(item, path)?;
    let name = fields.text("name")?.ok_or_else(|| fields.missing("name"))?;
    let value = fields.text("value")?.ok_or_else(|| fields.missing("value"))?;
    let op = match (fields.flag("isRegex")?.unwrap_or(false), fields.flag("isEqual")?.unwrap_or(true)) {
        (false, true) => MatchOp::Equal,
        (false, false) => MatchOp::NotEqual,
        (true, true) => MatchOp::Regex,
        (true, false) => MatchOp::NotRegex,
    };
    if name.is_empty() {
        return Err(fields.refuse("name", "must not be empty"));
    }
    Matcher::new(name, op, value).map_err(|error| fields.refuse("value", format!("is not usable: {error}")))
}

/// An alert as `GET /api/v2/alerts` answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GettableAlert {
    /// What a person reads.
    pub annotations: Labels,
    /// Until when it lasts unless it is refreshed.
    pub ends_at: Timestamp,
    /// Sixteen hexadecimal digits.
    pub fingerprint: String,
    /// Who is told of it.
    pub receivers: Vec<Receiver>,
    /// Since when.
    pub starts_at: Timestamp,
    /// Whether it would be told of.
    pub status: AlertStatus,
    /// When it was raised last.
    pub updated_at: Timestamp,
    /// The page of what raised it.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// Its identity.
    pub labels: Labels,
}

/// A receiver by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receiver {
    /// Its name.
    pub name: String,
}

/// Whether an alert would be told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertStatus {
    /// `active` or `suppressed`.
    pub state: &'static str,
    /// Names of silences.
    pub silenced_by: Vec<String>,
    /// Fingerprints of alerts.
    pub inhibited_by: Vec<String>,
    /// Names of time intervals.
    pub muted_by: Vec<String>,
}

/// A group as `GET /api/v2/alerts/groups` answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GettableAlertGroup {
    /// The labels its alerts agree in.
    pub labels: Labels,
    /// Labels of its route.
    pub route_labels: Labels,
    /// Who is told of it.
    pub receiver: Receiver,
    /// Its alerts.
    pub alerts: Vec<GettableAlert>,
}

/// A silence as `GET /api/v2/silences` answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GettableSilence {
    /// Its name.
    pub id: String,
    /// Whether it is in force.
    pub status: SilenceStatus,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// Why.
    pub comment: String,
    /// Who made it.
    pub created_by: String,
    /// Until when.
    pub ends_at: Timestamp,
    /// All of them must hold.
    pub matchers: Vec<GettableMatcher>,
    /// From when.
    pub starts_at: Timestamp,
    /// Further words.
    pub annotations: Labels,
}

/// Whether a silence is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SilenceStatus {
    /// `pending`, `active` or `expired`.
    pub state: &'static str,
}

/// A matcher taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GettableMatcher {
    /// The label it looks at.
    pub name: String,
    /// What it compares with.
    pub value: String,
    /// Whether the value is a regular expression.
    pub is_regex: bool,
    /// Whether the label must match, and not must not.
    pub is_equal: bool,
}

impl From<&Matcher> for GettableMatcher {
    fn from(matcher: &Matcher) -> GettableMatcher {
        GettableMatcher {
            name: matcher.name.clone(),
            value: matcher.value.clone(),
            is_regex: matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex),
            is_equal: matches!(matcher.op, MatchOp::Equal | MatchOp::Regex),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use watchbell_model::{Span, Timestamp};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn check_alerts(body: &str, expect: Expect) {
        let text = match decode_alerts(body.as_bytes(), NOW, Span::minutes(5)) {
            Ok(posted) => {
                let taken = posted.alerts.iter().map(|alert| serde_json::to_string(alert).expect("it is JSON") + "\n");
                let refused = posted.refused.iter().map(|error| format!("refused: {error}\n"));
                taken.chain(refused).collect()
            }
            Err(error) => format!("error: {error}\n"),
        };
        expect.assert_eq(&text);
    }

    fn check_silence(body: &str, expect: Expect) {
        let text = match decode_silence(body.as_bytes(), NOW) {
            Ok(silence) => format!("{silence:?}\n"),
            Err(error) => format!("error: {error}\n"),
        };
        expect.assert_eq(&text);
    }

    #[test]
    fn what_prometheus_and_amtool_post_is_read() {
        check_alerts(
            r#"[{"labels": {"alertname": "a", "empty": ""}, "annotations": {"summary": "s"},
                 "startsAt": "1970-01-01T00:10:00.5Z", "endsAt": "1970-01-01T00:30:00+00:00",
                 "generatorURL": "http://prometheus/graph", "unknown": 1},
                {"labels": {"alertname": "b"}},
                {"labels": {"alertname": "c"}, "startsAt": "0001-01-01T00:00:00.000Z", "endsAt": "1970-01-01T00:00:10Z"},
                {"labels": {"alertname": "d"}, "startsAt": "1970-01-01T00:00:10Z", "endsAt": "0001-01-01T00:00:00Z"}]"#,
            expect![[r#"
                {"labels":{"alertname":"a"},"annotations":{"summary":"s"},"startsAt":"1970-01-01T00:10:00.500Z","endsAt":"1970-01-01T00:30:00.000Z","generatorURL":"http://prometheus/graph"}
                {"labels":{"alertname":"b"},"annotations":{},"startsAt":"1970-01-01T00:16:40.000Z","endsAt":"1970-01-01T00:21:40.000Z","generatorURL":""}
                {"labels":{"alertname":"c"},"annotations":{},"startsAt":"1970-01-01T00:00:10.000Z","endsAt":"1970-01-01T00:00:10.000Z","generatorURL":""}
                {"labels":{"alertname":"d"},"annotations":{},"startsAt":"1970-01-01T00:00:10.000Z","endsAt":"1970-01-01T00:21:40.000Z","generatorURL":""}
            "#]],
        );
    }

    #[test]
    fn a_bad_alert_is_refused_and_the_others_are_taken() {
        check_alerts(
            r#"[{"labels": {}}, {}, {"labels": {"a": 5}}, {"labels": {"": "x"}}, 7,
                {"labels": {"a": "b"}, "startsAt": "yesterday"},
                {"labels": {"a": "b"}, "startsAt": "1970-01-01T00:10:00Z", "endsAt": "1970-01-01T00:09:00Z"},
                {"labels": {"good": "yes"}}]"#,
            expect![[r#"
                {"labels":{"good":"yes"},"annotations":{},"startsAt":"1970-01-01T00:16:40.000Z","endsAt":"1970-01-01T00:21:40.000Z","generatorURL":""}
                refused: `[0].labels` must have at least one label that is not empty
                refused: `[1].labels` must have at least one label that is not empty
                refused: `[2].labels.a` must be a text, not a number
                refused: `[3].labels` has a label without a name
                refused: `[4]` must be an object, not a number
                refused: `[5].startsAt` must be a time such as `2026-11-20T22:27:00Z`
                refused: `[6].endsAt` is before `startsAt`
            "#]],
        );
        check_alerts(
            "{}",
            expect![[r#"
                error: `body` must be a list, not an object
            "#]],
        );
        check_alerts(
            "[{",
            expect![[r#"
            error: the body is not JSON: EOF while parsing an object at line 1 column 2
        "#]],
        );
        check_alerts(
            "",
            expect![[r#"
            error: the body is not JSON: it is empty
        "#]],
        );
    }

    #[test]
    fn a_silence_is_read() {
        check_silence(
            r#"{"matchers": [{"name": "a", "value": "b", "isRegex": false},
                             {"name": "c", "value": "d|e", "isRegex": true, "isEqual": false}],
                "startsAt": "1970-01-01T00:00:10Z", "endsAt": "1970-01-01T01:00:00Z",
                "createdBy": "me", "comment": "why"}"#,
            expect![[r#"
                PostedSilence { id: "", matchers: [a="b", c!~"d|e"], starts_at: 1970-01-01T00:00:10.000Z, ends_at: 1970-01-01T01:00:00.000Z, created_by: "me", comment: "why", annotations: {} }
            "#]],
        );
        check_silence(
            r#"{"matchers": []}"#,
            expect![[r#"
            error: `matchers` must have from 1 to 100 matchers
        "#]],
        );
        check_silence(
            r#"{"matchers": [{"name": "a", "value": "(", "isRegex": true}]}"#,
            expect![[r#"
            error: `matchers[0].value` is not usable: `(` is not a regular expression: error: unclosed group
        "#]],
        );
        check_silence(
            r#"{"matchers": [{"name": "a", "value": "b"}]}"#,
            expect![[r#"
            error: `endsAt` is missing
        "#]],
        );
        check_silence(
            r#"{"matchers": [{"name": "a", "value": "b", "isRegex": "no"}]}"#,
            expect![[r#"
            error: `matchers[0].isRegex` must be true or false, not a text
        "#]],
        );
    }

    #[test]
    fn answers_have_alertmanagers_names() {
        let matcher = Matcher::new("a", MatchOp::NotRegex, "b").expect("it is an expression");
        let silence = GettableSilence {
            id: "1".into(),
            status: SilenceStatus { state: "active" },
            updated_at: NOW,
            comment: "why".into(),
            created_by: "me".into(),
            ends_at: NOW,
            matchers: vec![(&matcher).into()],
            starts_at: NOW,
            annotations: Labels::empty(),
        };
        let alert = GettableAlert {
            annotations: Labels::empty(),
            ends_at: NOW,
            fingerprint: "00".into(),
            receivers: vec![Receiver { name: "ops".into() }],
            starts_at: NOW,
            status: AlertStatus { state: "active", silenced_by: vec![], inhibited_by: vec![], muted_by: vec![] },
            updated_at: NOW,
            generator_url: String::new(),
            labels: Labels::from_pairs([("alertname", "a")]),
        };
        let group = GettableAlertGroup {
            labels: Labels::empty(),
            route_labels: Labels::empty(),
            receiver: Receiver { name: "ops".into() },
            alerts: vec![alert],
        };
        let text = serde_json::to_string_pretty(&(silence, group)).expect("it is JSON");
        expect![[r#"
            [
              {
                "id": "1",
                "status": {
                  "state": "active"
                },
                "updatedAt": "1970-01-01T00:16:40.000Z",
                "comment": "why",
                "createdBy": "me",
                "endsAt": "1970-01-01T00:16:40.000Z",
                "matchers": [
                  {
                    "name": "a",
                    "value": "b",
                    "isRegex": true,
                    "isEqual": false
                  }
                ],
                "startsAt": "1970-01-01T00:16:40.000Z",
                "annotations": {}
              },
              {
                "labels": {},
                "routeLabels": {},
                "receiver": {
                  "name": "ops"
                },
                "alerts": [
                  {
                    "annotations": {},
                    "endsAt": "1970-01-01T00:16:40.000Z",
                    "fingerprint": "00",
                    "receivers": [
                      {
                        "name": "ops"
                      }
                    ],
                    "startsAt": "1970-01-01T00:16:40.000Z",
                    "status": {
                      "state": "active",
                      "silencedBy": [],
                      "inhibitedBy": [],
                      "mutedBy": []
                    },
                    "updatedAt": "1970-01-01T00:16:40.000Z",
                    "generatorURL": "",
                    "labels": {
                      "alertname": "a"
                    }
                  }
                ]
              }
            ]"#]]
        .assert_eq(&text);
    }
}
