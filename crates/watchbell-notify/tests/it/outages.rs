//! The outage table: whatever a receiver does, nothing is lost and nobody else is delayed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use watchbell_model::{Alert, Change, Deliver, GroupNotification, Labels, NotificationReason, State};
use watchbell_notify::{NotifyConfig, Outcome};
use watchbell_runtime::sim;

use crate::world::{Answer, OK, Process, Receiver, alert, config, firing, group, minutes, resolved, webhooks};

/// The receiver `bad` is out for ten minutes while `good` works: pages for both, all through the outage.
fn outage(name: &'static str, answer: Option<Answer>) {
    sim::run(7, |world| async move {
        let end = world.clock.now() + minutes(10);
        let (clock, outage) = (world.clock.clone(), answer.clone());
        let bad = Receiver::at(&world, "bad", move |_, _| match &outage {
            Some(answer) if clock.now() < end => answer.clone(),
            _ => OK,
        });
        let good = Receiver::at(&world, "good", |_, _| OK);
        world.net.set_unresolvable("bad", answer.is_none());
        let (process, _) = Process::memory(&world, webhooks(&["bad", "good"]));
        for at in 0..10 {
            let now = world.clock.now();
            let before = good.count();
            process.deliver(firing(&format!("alarm-{at}"), now)).await;
            world.clock.sleep(Duration::from_secs(1)).await;
            assert_eq!(good.count(), before + 1, "{name}: the good receiver waits for the bad one");
            world.clock.sleep(minutes(1) - Duration::from_secs(1)).await;
        }
        world.net.set_unresolvable("bad", false);
        assert!(process.settle(minutes(20)).await, "{name}: {:?}", process.notify.outbox());
        let accepted = process.notify.deliveries(1000).unwrap();
        let of = |channel: &str| {
            let mine = accepted.iter().filter(|it| it.channel == channel && it.outcome == Outcome::Accepted);
            mine.map(|it| it.key.clone()).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((of("oncall/webhook"), of("oncall/webhook-2")), (10, 10), "{name}");
        let after: Vec<_> = bad.seen().into_iter().filter(|it| it.at >= end).collect();
        assert_eq!(after.len(), 10, "{name}: each arrives once when the receiver is back");
        assert_eq!(process.troubles(), Vec::<String>::new(), "{name}");
    });
}

#[test]
fn nothing_is_lost_and_nobody_else_is_delayed() {
    outage("500", Some(Answer::Status(500, "", "oops")));
    outage("429", Some(Answer::Status(429, "Retry-After: 30", "slow down")));
    outage("503", Some(Answer::Status(503, "Retry-After: Mon, 05 Jan 2026 00:10:00 GMT", "later")));
    outage("hang", Some(Answer::Hang));
    outage("close", Some(Answer::Close));
    outage("unresolvable", None);
}

#[test]
fn a_page_arrives_although_no_resolver_answers_if_one_arrived_before_even_after_a_restart() {
    sim::run(3, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let (process, state) = Process::memory(&world, webhooks(&["there"]));
        process.deliver(firing("a", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        world.net.set_unresolvable("there", true);
        process.deliver(firing("b", world.clock.now())).await;
        world.clock.sleep(Duration::from_secs(3)).await;
        assert_eq!(there.count(), 2);
        process.crash();
        let process = Process::start(&world, state, config(webhooks(&["there"])));
        process.deliver(firing("c", world.clock.now())).await;
        world.clock.sleep(Duration::from_secs(3)).await;
        assert_eq!(there.count(), 3);
        // What has moved is found again once a resolver answers.
        world.net.set_unresolvable("there", false);
        let moved = Receiver::at(&world, "elsewhere", |_, _| OK);
        world.net.add_address("there", world.net.address("elsewhere"));
        process.deliver(firing("d", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        world.net.set_unresolvable("there", true);
        process.deliver(firing("e", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        assert_eq!((there.count(), moved.count()), (3, 2));
    });
}

#[test]
fn retry_after_is_honoured_for_the_whole_channel() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |number, _| match number {
            0 => Answer::Status(429, "Retry-After: 120", ""),
            _ => OK,
        });
        let (process, _) = Process::memory(&world, webhooks(&["there"]));
        process.deliver(firing("a", world.clock.now())).await;
        world.clock.sleep(Duration::from_secs(5)).await;
        process.deliver(firing("b", world.clock.now())).await;
        world.clock.sleep(Duration::from_secs(114)).await;
        assert_eq!(there.count(), 1);
        world.clock.sleep(Duration::from_secs(2)).await;
        assert_eq!(there.count(), 3);
    });
}

#[test]
fn the_worst_goes_first_and_a_group_keeps_its_order() {
    sim::run(1, |world| async move {
        let up = Arc::new(AtomicBool::new(false));
        let is_up = Arc::clone(&up);
        let there = Receiver::at(&world, "there", move |_, _| match is_up.load(Ordering::SeqCst) {
            true => OK,
            false => Answer::Status(500, "", ""),
        });
        let (process, _) = Process::memory(&world, webhooks(&["there"]));
        let now = world.clock.now();
        process.deliver(group("info", 1, vec![alert("info", "info", now)], now)).await;
        process.deliver(firing("over", now)).await;
        process.deliver(resolved("over", now)).await;
        process.deliver(group("warning", 1, vec![alert("warning", "warning", now)], now)).await;
        process.deliver(firing("late", now)).await;
        // Five minutes of outage bring them out of any order.
        world.clock.sleep(minutes(5)).await;
        up.store(true, Ordering::SeqCst);
        let tried = there.count();
        assert!(process.settle(minutes(10)).await);
        let titles: Vec<String> = there.seen()[tried..]
            .iter()
            .map(|seen| {
                serde_json::from_str::<serde_json::Value>(&seen.body).unwrap()["title"].as_str().unwrap().into()
            })
            .collect();
        let place =
            |title: &str| titles.iter().position(|it| it.starts_with(title)).unwrap_or_else(|| panic!("{titles:?}"));
        assert_eq!(titles.len(), 5, "{titles:?}");
        assert!(place("[CRITICAL] over") < place("RESOLVED: over"), "{titles:?}");
        // The first to come through is whichever was due; all others follow by weight.
        let rest: Vec<usize> = ["[CRITICAL] late", "[WARNING] warning", "RESOLVED: over"].map(place).to_vec();
        assert!(rest[1..].is_sorted(), "{titles:?}");
    });
}

#[test]
fn a_machine_gets_pages_of_several_groups_at_once_and_each_group_in_order() {
    sim::run(1, |world| async move {
        // What comes for `stuck` is never answered.
        let there = Receiver::at(&world, "there", |_, seen| match seen.body.contains("stuck") {
            true => Answer::Hang,
            false => OK,
        });
        let (process, _) = Process::memory(&world, webhooks(&["there"]));
        let now = world.clock.now();
        process.deliver(firing("stuck", now)).await;
        process.deliver(resolved("stuck", now)).await;
        for at in 0..100 {
            process.deliver(firing(&format!("alarm-{at}"), now)).await;
        }
        world.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(there.count(), 101, "one of `stuck`, and all others past it");
        let waiting: Vec<String> = process.notify.outbox().into_iter().map(|it| it.title).collect();
        assert_eq!(waiting.len(), 2, "{waiting:?}");
    });
}

#[test]
fn what_is_refused_or_tried_for_too_long_is_a_trouble_until_the_next_success() {
    sim::run(1, |world| async move {
        let state = Arc::new(watchbell_model::MemoryState::new());
        let there = Receiver::at(&world, "there", |number, _| match number {
            0 => Answer::Status(404, "", "no such hook"),
            _ => OK,
        });
        let process = Process::start(&world, Arc::clone(&state) as Arc<dyn State>, config(webhooks(&["there"])));
        process.deliver(firing("a", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        let troubles = process.troubles();
        assert!(
            troubles[0].starts_with("page-given-up/oncall/webhook: ") && troubles[0].contains("no such hook"),
            "{troubles:?}"
        );
        // It outlives a restart, and ends with the next page that is taken.
        process.crash();
        let process = Process::start(&world, state, config(webhooks(&["there"])));
        assert_eq!(process.troubles(), troubles);
        process.deliver(firing("b", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        assert_eq!((process.troubles().len(), there.count()), (0, 2));
    });
    sim::run(1, |world| async move {
        Receiver::at(&world, "there", |_, _| Answer::Status(500, "", "oops"));
        let config = NotifyConfig { retry_for: minutes(60), ..config(webhooks(&["there"])) };
        let state = Arc::new(watchbell_model::MemoryState::new());
        let process = Process::start(&world, state, config);
        process.deliver(firing("a", world.clock.now())).await;
        assert!(!process.settle(minutes(59)).await);
        assert_eq!(process.troubles(), Vec::<String>::new());
        assert!(process.settle(minutes(10)).await);
        assert!(process.troubles()[0].contains("tried for too long"), "{:?}", process.troubles());
    });
}

#[test]
fn a_page_about_a_given_up_page_makes_no_end_of_pages() {
    sim::run(1, |world| async move {
        Receiver::at(&world, "there", |_, _| Answer::Status(404, "", "gone"));
        let (process, _) = Process::memory(&world, webhooks(&["there"]));
        let now = world.clock.now();
        let about = |source: &str| {
            let mut alert = alert("given up", "critical", now);
            alert.labels = Labels::from_pairs([("alertname", "given up"), ("source", source)]);
            group(source, 1, vec![alert], now)
        };
        process.deliver(about("self/page-given-up/oncall/webhook")).await;
        assert!(process.settle(minutes(1)).await);
        assert_eq!(process.troubles(), Vec::<String>::new());
        process.deliver(about("self/page-given-up/other/ntfy")).await;
        assert!(process.settle(minutes(1)).await);
        assert_eq!(process.troubles().len(), 1);
    });
}

#[test]
fn a_reminder_of_what_still_waits_adds_nothing() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        world.net.refuse("there", 80);
        let (process, _) = Process::memory(&world, webhooks(&["there"]));
        let now = world.clock.now();
        let repeat = |sequence| GroupNotification {
            reason: NotificationReason::Repeat,
            ..group("a", sequence, vec![alert("a", "critical", now)], now)
        };
        process.deliver(firing("a", now)).await;
        process.deliver(repeat(2)).await;
        assert_eq!(process.notify.outbox().len(), 1);
        drop(there);
        let there = Receiver::at(&world, "there", |_, _| OK);
        assert!(process.settle(minutes(10)).await);
        process.deliver(repeat(3)).await;
        assert!(process.settle(minutes(1)).await);
        assert_eq!(there.count(), 2);
    });
}

#[test]
fn a_channel_that_is_gone_keeps_its_pages_until_it_is_back_or_they_are_too_old() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        world.net.refuse("there", 80);
        let (process, _) = Process::memory(&world, webhooks(&["there"]));
        process.deliver(firing("a", world.clock.now())).await;
        process.apply(config(Vec::new()));
        world.clock.sleep(minutes(5)).await;
        assert!(process.troubles()[0].starts_with("page-without-channel/oncall/webhook"), "{:?}", process.troubles());
        let status = process.notify.channels();
        assert_eq!((status.len(), status[0].configured, status[0].queued), (1, false, 1));
        drop(there);
        let there = Receiver::at(&world, "there", |_, _| OK);
        process.apply(config(webhooks(&["there"])));
        assert!(process.settle(minutes(1)).await);
        assert_eq!((there.count(), process.troubles().len()), (1, 0));
        // Too old: given up, which is said.
        world.net.refuse("there", 80);
        process.deliver(firing("b", world.clock.now())).await;
        process.apply(config(Vec::new()));
        assert!(process.settle(minutes(25 * 60)).await);
        assert!(process.troubles().iter().any(|it| it.starts_with("page-given-up/")), "{:?}", process.troubles());
    });
}

#[test]
fn a_receiver_nobody_configured_is_stood_in_for() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let (process, _) = Process::memory(&world, webhooks(&["there"]));
        let now = world.clock.now();
        process.deliver(GroupNotification { receiver: "gone".into(), ..firing("a", now) }).await;
        assert!(process.settle(minutes(1)).await);
        assert_eq!(there.count(), 1);
        assert!(process.troubles()[0].starts_with("page-without-receiver/gone"), "{:?}", process.troubles());
        // Where nobody is to be told of anything, that is as it should be.
        process.apply(config(Vec::new()));
        process.deliver(firing("b", now)).await;
        assert_eq!((process.notify.outbox().len(), process.troubles().len()), (0, 0));
    });
}

#[test]
fn nothing_is_taken_before_the_configuration_is_there() {
    sim::run(1, |world| async move {
        let state: Arc<dyn State> = Arc::new(watchbell_model::MemoryState::new());
        let notify = watchbell_notify::Notify::open(world.runtime(), state).unwrap();
        assert!(notify.deliver(vec![firing("a", world.clock.now())], Vec::new()).await.is_err());
    });
}

#[test]
fn a_disk_that_fails_stops_no_page_and_doubles_none() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let (process, state) = Process::memory(&world, webhooks(&["there"]));
        let now = world.clock.now();
        let with = || vec![Change::put("alerts.group", "a", &1)];
        state.set_broken(true);
        // The caller learns of it and hands the page in again and again, as it must.
        for _ in 0..5 {
            assert!(process.notify.deliver(vec![firing("a", now)], with()).await.is_err());
            world.clock.sleep(minutes(1)).await;
        }
        assert_eq!(there.count(), 1);
        // Of more news under the same sequence people are told too.
        let more = group("a", 1, vec![alert("a", "critical", now), alert("b", "critical", now)], now);
        assert!(process.notify.deliver(vec![more.clone()], with()).await.is_err());
        world.clock.sleep(minutes(1)).await;
        assert_eq!(there.count(), 2);
        assert!(process.troubles().iter().any(|it| it.starts_with("outbox: ")), "{:?}", process.troubles());
        state.set_broken(false);
        process.notify.deliver(vec![more], with()).await.unwrap();
        assert!(process.settle(minutes(5)).await);
        assert_eq!((there.count(), process.troubles().len()), (2, 0));
        assert!(state.get("alerts.group", "a").unwrap().is_some());
        assert_eq!(state.scan("notify.outbox", "", 10).unwrap(), []);
        // A disk that fails between the sending and the mark.
        let process_state = Arc::clone(&state);
        let there = Receiver::at(&world, "there", move |_, _| {
            process_state.set_broken(true);
            OK
        });
        process.deliver(firing("c", world.clock.now())).await;
        world.clock.sleep(minutes(10)).await;
        assert_eq!(there.count(), 1);
        state.set_broken(false);
        assert!(process.settle(minutes(5)).await);
        world.clock.sleep(minutes(10)).await;
        assert_eq!(there.count(), 1);
        assert_eq!(state.scan("notify.outbox", "", 10).unwrap(), []);
    });
}

#[test]
fn one_who_wants_no_resolved_pages_gets_none() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let configs = serde_json::json!([{"name": "oncall", "webhook_configs": [{"url": "http://there", "send_resolved": false}]}]);
        let (process, _) = Process::memory(&world, crate::world::receivers(configs));
        let now = world.clock.now();
        process.deliver(resolved("a", now)).await;
        let over = Alert { ends_at: Some(now), ..alert("b", "critical", now) };
        process.deliver(group("c", 1, vec![alert("a", "critical", now), over], now)).await;
        assert!(process.settle(minutes(1)).await);
        assert_eq!(there.count(), 1);
        assert!(!there.seen()[0].body.contains("b is down"), "{}", there.seen()[0].body);
    });
}

#[test]
fn the_log_keeps_the_newest_tries() {
    sim::run(1, |world| async move {
        Receiver::at(&world, "there", |_, _| OK);
        let (process, state) = Process::memory(&world, webhooks(&["there"]));
        let now = world.clock.now();
        let groups =
            |from: u64| (from..from + 200).map(|at| group("a", at, vec![alert("a", "info", now)], now)).collect();
        for round in 0..52 {
            process.notify.deliver(groups(1 + round * 200), Vec::new()).await.unwrap();
            assert!(process.settle(minutes(60)).await);
        }
        assert_eq!(state.scan("notify.delivery", "", 20_000).unwrap().len(), 10_000);
        assert_eq!(process.notify.deliveries(1).unwrap()[0].page, 10_400);
    });
}
