//! Labels of routes: templates that are written over the group, for bodies, texts and HTML.

use serde_json::{Value, json};
use watchbell_model::{GroupNotification, Labels};
use watchbell_runtime::sim;

use crate::world::{OK, Process, Receiver, firing, minutes, receivers};

/// What a receiver with this webhook is sent about a route with these labels, and what is wrong with it.
fn told(webhook: &Value, labels: &[(&str, &str)]) -> (Value, Vec<String>) {
    let receivers = receivers(json!([{"name": "oncall", "webhook_configs": [webhook]}]));
    let route_labels = Labels::from_pairs(labels.iter().copied());
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let (process, _) = Process::memory(&world, receivers);
        process.deliver(GroupNotification { route_labels, ..firing("imap", world.clock.now()) }).await;
        assert!(process.settle(minutes(5)).await);
        (serde_json::from_str(&there.seen()[0].body).unwrap(), process.troubles())
    })
}

#[test]
fn they_are_written_over_the_group_and_may_ask_for_one_another() {
    let webhook = json!({"url": "http://there/hook"});
    let (body, troubles) = told(
        &webhook,
        &[
            ("about", r#"{{ routeLabels "reason" }} ({{ .NotificationReason }}), {{ .Receiver }}"#),
            ("reason", "{{ .GroupLabels.alertname }} of {{ len .Alerts.Firing }}"),
            ("team", "mail"),
        ],
    );
    let expected = json!({"about": "imap of 1 (unknown), oncall", "reason": "imap of 1", "team": "mail"});
    assert_eq!((&body["routeLabels"], troubles), (&expected, vec![]));
}

#[test]
fn templates_of_receivers_ask_for_them_and_see_them_as_they_are() {
    let text = r#"{{ routeLabels "team" }} {{ .RouteLabels.team }} {{ routeLabels "raw" }}[{{ routeLabels "none" }}] {{ .NotificationReason }}"#;
    let webhook = json!({"url": "http://there/hook", "payload": {"text": text}});
    let (body, _) = told(&webhook, &[("team", "{{ .Status }}"), ("raw", r#"{{ "{{ x }}" }}"#)]);
    assert_eq!(body["text"], "firing firing {{ x }}[] first notification");
}

#[test]
fn one_that_asks_for_itself_is_left_out_and_costs_no_page() {
    let labels = [
        ("a", r#"{{ routeLabels "b" }}"#),
        ("b", r#"{{ routeLabels "a" }}"#),
        ("c", "{{ template \"no\" }}"),
        ("d", "x"),
    ];
    let (body, troubles) = told(&json!({"url": "http://there/hook"}), &labels);
    assert_eq!(body["routeLabels"], json!({"d": "x"}));
    assert!(troubles[0].contains("label `a` of the route") && troubles[0].contains("a -> b -> a"), "{troubles:?}");
}
