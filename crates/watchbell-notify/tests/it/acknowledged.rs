//! What was acknowledged elsewhere, or is over: services learn of it, and what rings is stopped.

use std::sync::Arc;

use serde_json::{Value, json};
use watchbell_model::{GroupNotification, MemoryState, NotificationReason, Timestamp};
use watchbell_notify::Outcome;
use watchbell_runtime::sim;

use crate::world::{Answer, OK, Process, Receiver, Seen, config, firing, minutes, receivers, resolved};

/// Somebody sees to what fires.
fn seen_to(name: &str, now: Timestamp) -> GroupNotification {
    let (reason, acknowledged_by) = (NotificationReason::Acknowledged, Some("Anna".to_owned()));
    GroupNotification { reason, acknowledged_by, ..firing(name, now) }
}

fn lines(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.line.trim_end_matches(" HTTP/1.1")).collect()
}

/// What a channel at the host `there` is sent of a firing page and of its acknowledgement.
fn told(kind: &str, channel: &Value) -> Vec<Seen> {
    let receivers = receivers(json!([{"name": "oncall", (format!("{kind}_configs")): [channel]}]));
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let (process, _) = Process::memory(&world, receivers);
        let now = world.clock.now();
        // Both wait at once, and keep their order; the second time is no news.
        for group in [firing("imap", now), seen_to("imap", now), seen_to("imap", now)] {
            process.deliver(group).await;
        }
        assert!(process.settle(minutes(5)).await);
        there.seen()
    })
}

#[test]
fn services_learn_who_sees_to_it() {
    let group = firing("imap", Timestamp(0)).group_id();
    let read = |seen: &Seen| serde_json::from_str::<Value>(&seen.body).unwrap();

    let seen = told("pagerduty", &json!({"routing_key": "key", "url": "http://there/v2/enqueue"}));
    let body = json!({"event_action": "acknowledge", "dedup_key": group, "routing_key": "key"});
    assert_eq!((seen.len(), &read(&seen[0])["event_action"], read(&seen[1])), (2, &json!("trigger"), body));

    let seen = told("pagerduty", &json!({"service_key": "key", "url": "http://there/create_event.json"}));
    let description = "Anna sees to it";
    let body =
        json!({"event_type": "acknowledge", "incident_key": group, "description": description, "service_key": "key"});
    assert_eq!((seen.len(), read(&seen[1])), (2, body));

    let seen = told("opsgenie", &json!({"api_key": "key", "api_url": "http://there"}));
    let address = format!("POST /v2/alerts/{group}/acknowledge?identifierType=alias");
    assert_eq!(lines(&seen), ["POST /v2/alerts", &address]);
    assert_eq!(read(&seen[1]), json!({"user": "Anna", "source": "home", "note": "Anna sees to it"}));

    let seen = told("victorops", &json!({"api_key": "key", "routing_key": "team", "api_url": "http://there"}));
    assert_eq!(lines(&seen), ["POST /key/team", "POST /key/team"]);
    let body = read(&seen[1]);
    assert_eq!((&body["message_type"], &body["entity_id"]), (&json!("ACKNOWLEDGEMENT"), &json!(group)));

    // Others are not told twice of the same.
    assert_eq!(told("webhook", &json!({"url": "http://there/hook"})).len(), 1);
}

fn pushover(more: Value) -> Value {
    let mut push = json!({"user_key": "user", "token": "token", "api_url": "http://there/1/messages.json", "picture": false,
        "priorities": {"critical": 2, "warning": 1, "info": 0}});
    push.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    push
}

const RECEIPT: Answer = Answer::Status(200, "", r#"{"status": 1, "receipt": "r1"}"#);

#[test]
fn an_emergency_that_somebody_sees_to_rings_no_longer_also_after_a_restart() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |number, _| match number {
            1 => Answer::Status(500, "", ""),
            _ => RECEIPT,
        });
        let state = Arc::new(MemoryState::new());
        let setting = || config(receivers(json!([{"name": "oncall", "pushover_configs": [pushover(json!({}))]}])));
        let process = Process::start(&world, Arc::clone(&state) as _, setting());
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(5)).await);
        process.crash();
        let process = Process::start(&world, state, setting());
        process.deliver(seen_to("imap", world.clock.now())).await;
        assert!(process.settle(minutes(5)).await);
        let seen = there.seen();
        let cancel = "POST /1/receipts/r1/cancel.json";
        // The first try fails.
        assert_eq!(lines(&seen), ["POST /1/messages.json", cancel, cancel]);
        assert_eq!(
            (seen[2].body.as_str(), seen[2].header("content-type")),
            ("token=token", "application/x-www-form-urlencoded")
        );
        let log = process.notify.deliveries(10).unwrap();
        assert_eq!(log[0].title, "Anna sees to it: [CRITICAL] imap is down");
    });
}

#[test]
fn an_emergency_rings_no_longer_when_it_is_over_though_nobody_wants_to_be_told_so() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| RECEIPT);
        let quiet = pushover(json!({"send_resolved": false}));
        let (process, _) = Process::memory(&world, receivers(json!([{"name": "oncall", "pushover_configs": [quiet]}])));
        for group in [firing("imap", world.clock.now()), resolved("imap", world.clock.now())] {
            process.deliver(group).await;
            assert!(process.settle(minutes(5)).await);
        }
        assert_eq!(lines(&there.seen()), ["POST /1/messages.json", "POST /1/receipts/r1/cancel.json"]);
    });
}

#[test]
fn what_cannot_be_stopped_or_does_not_ring_is_no_trouble() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |number, _| match number {
            0 => RECEIPT,
            1 => Answer::Status(404, "", r#"{"status": 0, "receipt": "not found"}"#),
            _ => Answer::Status(200, "", r#"{"status": 1}"#),
        });
        let (process, _) =
            Process::memory(&world, receivers(json!([{"name": "oncall", "pushover_configs": [pushover(json!({}))]}])));
        for name in ["imap", "smtp"] {
            for group in [firing(name, world.clock.now()), seen_to(name, world.clock.now())] {
                process.deliver(group).await;
                assert!(process.settle(minutes(5)).await);
            }
        }
        assert_eq!(
            lines(&there.seen()),
            ["POST /1/messages.json", "POST /1/receipts/r1/cancel.json", "POST /1/messages.json"]
        );
        let outcomes: Vec<Outcome> = process.notify.deliveries(10).unwrap().iter().map(|it| it.outcome).collect();
        assert_eq!(outcomes, [Outcome::Accepted, Outcome::Accepted, Outcome::Refused, Outcome::Accepted]);
        assert_eq!(process.troubles(), Vec::<String>::new());
    });
}
