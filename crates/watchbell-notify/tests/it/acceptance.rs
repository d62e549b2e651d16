//! Alertmanager's acceptance scenarios that are about receivers, by their names there.

use std::time::Duration;

use serde_json::{Value, json};
use watchbell_model::{Alert, GroupNotification, NotificationReason, Timestamp};
use watchbell_runtime::sim;

use crate::world::{Answer, OK, Process, Receiver, alert, firing, group, minutes, receivers, resolved, webhooks};

/// The alerts of a webhook's bodies with their states, a text for each.
fn told(receiver: &Receiver) -> Vec<String> {
    let one = |body: &Value| {
        let name = |alert: &Value| format!("{} {}", alert["labels"]["alertname"], alert["status"]).replace('"', "");
        body["alerts"].as_array().unwrap().iter().map(name).collect::<Vec<_>>().join(", ")
    };
    receiver.seen().iter().map(|seen| one(&serde_json::from_str(&seen.body).unwrap())).collect()
}

/// One webhook takes the page at once and gets it once; the other takes it when it is well again.
#[test]
fn test_retry() {
    sim::run(1, |world| async move {
        let begun = world.clock.now();
        let well = Receiver::at(&world, "well", |_, _| OK);
        let sick = Receiver::at(&world, "sick", move |_, seen| {
            if seen.at.since(begun) < Duration::from_millis(4500) { Answer::Status(500, "", "") } else { OK }
        });
        let (process, _) = Process::memory(&world, webhooks(&["well", "sick"]));
        process.deliver(firing("test1", begun)).await;
        assert!(process.settle(minutes(2)).await);
        assert_eq!(told(&well), ["test1 firing"]);
        let seen = sick.seen();
        let last = seen.last().unwrap();
        assert!(seen.len() > 1 && last.at.since(begun) >= Duration::from_millis(4500), "{seen:?}");
        assert!(seen.iter().all(|it| it.body == seen[0].body), "each try is the same page");
        process.deliver(resolved("test1", world.clock.now())).await;
        assert!(process.settle(minutes(2)).await);
        assert_eq!((told(&well).len(), told(&sick).last().map(String::as_str)), (2, Some("test1 resolved")));
    });
}

/// Who wants no ends gets none, and counts as told all the same.
#[test]
fn test_resolved_filter() {
    sim::run(1, |world| async move {
        let both = Receiver::at(&world, "both", |_, _| OK);
        let firing_only = Receiver::at(&world, "firing", |_, _| OK);
        let configs = json!([{"url": "http://both/"}, {"url": "http://firing/", "send_resolved": false}]);
        let (process, _) = Process::memory(&world, receivers(json!([{"name": "oncall", "webhook_configs": configs}])));
        let now = world.clock.now();
        let named = |name: &str, ends_at: Option<Timestamp>| Alert { ends_at, ..alert(name, "critical", now) };
        let rounds = [
            (NotificationReason::First, vec![named("test1", None), named("test2", None)]),
            (NotificationReason::NewResolved, vec![named("test2", None), named("test1", Some(now))]),
            (NotificationReason::AllResolved, vec![named("test1", Some(now)), named("test2", Some(now))]),
        ];
        for (number, (reason, alerts)) in rounds.into_iter().enumerate() {
            let told = group("all", number as u64 + 1, alerts, now);
            process.deliver(GroupNotification { reason, ..told }).await;
            assert!(process.settle(minutes(2)).await);
        }
        let whole = ["test1 firing, test2 firing", "test2 firing, test1 resolved", "test1 resolved, test2 resolved"];
        assert_eq!(told(&both), whole);
        assert_eq!(told(&firing_only), ["test1 firing, test2 firing", "test2 firing"]);
        assert_eq!(process.troubles(), Vec::<String>::new());
    });
}

/// A webhook that does not answer within its time is tried again.
#[test]
fn test_webhook_timeout() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |number, _| if number == 0 { Answer::Hang } else { OK });
        let slow = json!({"url": "http://there/", "timeout": "500ms"});
        let (process, _) = Process::memory(&world, receivers(json!([{"name": "oncall", "webhook_configs": [slow]}])));
        process.deliver(firing("test1", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        assert_eq!(told(&there), ["test1 firing", "test1 firing"]);
        let log = process.notify.deliveries(10).unwrap();
        let took = log[1].took.duration();
        assert!((Duration::from_millis(500)..Duration::from_millis(600)).contains(&took), "{took:?}");
    });
}
