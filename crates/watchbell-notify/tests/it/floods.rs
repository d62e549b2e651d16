//! Many pages at once.

use serde_json::json;
use watchbell_model::{Deliver, State};
use watchbell_runtime::sim;

use crate::world::{Answer, OK, Process, Receiver, firing, minutes, receivers, resolved};

fn ntfy() -> Vec<watchbell_notify::ReceiverConfig> {
    receivers(json!([{"name": "oncall", "ntfy_configs": [{"url": "http://there", "topic": "t"}]}]))
}

#[test]
fn ten_thousand_pages_reach_a_person_as_few_within_seconds() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let (process, _) = Process::memory(&world, ntfy());
        let now = world.clock.now();
        // As the alerts stage hands them on: 500 groups to a commit.
        for part in 0..20 {
            let groups = (0..500).map(|at| firing(&format!("service {}", part * 500 + at), now)).collect();
            process.notify.deliver(groups, Vec::new()).await.unwrap();
        }
        assert!(process.settle(std::time::Duration::from_secs(5)).await, "{}", process.notify.outbox().len());
        assert!(there.count() <= 25, "{} pages", there.count());
        let told: usize = there.seen().iter().map(|seen| number_told(&seen.body)).sum();
        assert_eq!(told, 10_000);
        assert_eq!(process.troubles(), Vec::<String>::new());
    });
}

/// How many pages a body tells of, by its title.
fn number_told(body: &str) -> usize {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let title = body["title"].as_str().unwrap();
    let more = title.rsplit_once("(+").and_then(|(_, more)| more.split(' ').next()?.parse::<usize>().ok());
    1 + more.unwrap_or(0)
}

#[test]
fn a_machine_gets_each_and_so_does_a_person_of_few() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let both = json!([{"name": "oncall", "webhook_configs": [{"url": "http://there/hook"}]}]);
        let (process, _) = Process::memory(&world, receivers(both));
        let now = world.clock.now();
        let groups = (0..40).map(|at| firing(&format!("service {at}"), now)).collect();
        process.notify.deliver(groups, Vec::new()).await.unwrap();
        assert!(process.settle(minutes(1)).await);
        assert_eq!(there.count(), 40);
        let (process, _) = Process::memory(&world, ntfy());
        let groups = (0..9).map(|at| firing(&format!("service {at}"), now)).collect();
        process.notify.deliver(groups, Vec::new()).await.unwrap();
        assert!(process.settle(minutes(1)).await);
        assert_eq!(there.count(), 49);
    });
}

#[test]
fn a_flood_that_ends_is_told_to_end_and_links_to_the_worst_run_book() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let (process, _) = Process::memory(&world, ntfy());
        let now = world.clock.now();
        let all = |write: fn(&str, watchbell_model::Timestamp) -> watchbell_model::GroupNotification| {
            (0..30).map(move |at| write(&format!("service {at}"), now)).collect::<Vec<_>>()
        };
        process.notify.deliver(all(firing), Vec::new()).await.unwrap();
        assert!(process.settle(minutes(1)).await);
        process.notify.deliver(all(resolved), Vec::new()).await.unwrap();
        assert!(process.settle(minutes(1)).await);
        let bodies: Vec<serde_json::Value> =
            there.seen().iter().map(|seen| serde_json::from_str(&seen.body).unwrap()).collect();
        let titles: Vec<&str> = bodies.iter().map(|body| body["title"].as_str().unwrap()).collect();
        assert_eq!(
            titles,
            ["[CRITICAL] service 0 is down (+29 more)", "RESOLVED: service 0 is down (+29 more) (after 12 minutes)"]
        );
        assert_eq!(bodies[0]["click"], "https://bell.example.org/runbooks/imap-down");
        // Each of them is in the delivery log.
        let log = process.notify.deliveries(100).unwrap();
        assert_eq!(log.len(), 62);
    });
}

#[test]
fn what_has_a_message_of_its_own_ends_in_that_message() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |number, _| match number {
            0..12 => Answer::Status(200, "", r#"{"ok": true, "channel": "C1", "ts": "1.1"}"#),
            _ => Answer::Status(200, "", r#"{"ok": true, "channel": "C1", "ts": "2.2"}"#),
        });
        let slack = json!([{"name": "oncall", "slack_configs": [{"app_token": "x", "channel": "#a",
            "app_url": "http://there/api/chat.postMessage"}]}]);
        let (process, state) = Process::memory(&world, receivers(slack));
        let now = world.clock.now();
        for at in 0..12 {
            process.deliver(firing(&format!("service {at}"), now)).await;
            assert!(process.settle(minutes(1)).await);
        }
        let all = (0..12).map(|at| resolved(&format!("service {at}"), now)).collect();
        process.notify.deliver(all, Vec::new()).await.unwrap();
        assert!(process.settle(minutes(5)).await);
        let edits = there.seen().iter().filter(|seen| seen.line.contains("chat.update")).count();
        assert_eq!(edits, 12);
        // A flood leaves nothing to be followed.
        let flood = (20..40).map(|at| firing(&format!("service {at}"), now)).collect();
        process.notify.deliver(flood, Vec::new()).await.unwrap();
        assert!(process.settle(minutes(5)).await);
        assert_eq!(state.scan("notify.thread", "", 100).unwrap().len(), 0);
    });
}

#[test]
fn a_provider_gets_no_more_than_it_says_and_nothing_is_dropped() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let slack = json!([{"name": "oncall", "slack_configs": [{"api_url": "http://there/services/x"}]}]);
        let (process, _) = Process::memory(&world, receivers(slack));
        // One page every 100 ms for a minute: ten times what Slack takes.
        for at in 0..600 {
            process.deliver(firing(&format!("service {at}"), world.clock.now())).await;
            world.clock.sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(process.settle(minutes(1)).await);
        let seen = there.seen();
        for window in seen.windows(7) {
            let span = window[6].at.since(window[0].at);
            assert!(span >= std::time::Duration::from_millis(1900), "seven within {span:?}");
        }
        let merged = process.notify.deliveries(10_000).unwrap().len() - seen.len();
        assert!(seen.len() < 80 && merged + seen.len() >= 600, "{} and {merged}", seen.len());
    });
}

#[test]
fn what_may_have_arrived_is_not_put_together_again() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |number, _| match number {
            0..20 => Answer::Status(503, "Retry-After: 1", "busy"),
            _ => OK,
        });
        let (process, _) = Process::memory(&world, ntfy());
        let now = world.clock.now();
        process
            .notify
            .deliver((0..30).map(|at| firing(&format!("service {at}"), now)).collect(), Vec::new())
            .await
            .unwrap();
        assert!(process.settle(minutes(30)).await);
        let last = there.seen().pop().unwrap();
        assert_eq!(number_told(&last.body), 30);
        assert_eq!(there.seen().iter().map(|it| it.body.clone()).collect::<std::collections::BTreeSet<_>>().len(), 1);
    });
}
