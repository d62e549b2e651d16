//! The message on an ntfy server that is put off, against a server that does what ntfy's documentation says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use watchbell_model::{GroupNotification, NotificationReason, Timestamp};
use watchbell_runtime::sim::{self, World};

use crate::world::{Answer, Process, Receiver, Seen, firing, minutes, receivers};

/// Messages by sequence, with the time they are due at.
type Messages = Arc<Mutex<BTreeMap<String, (Timestamp, Value)>>>;

/// A server from 2.16 on: a later message of a sequence takes the place of one that waits.
struct Server {
    seen: Receiver,
    waiting: Messages,
}

impl Server {
    fn at(world: &World) -> Server {
        let waiting = Messages::default();
        let kept = Arc::clone(&waiting);
        let seen = Receiver::at(world, "there", move |_, seen| {
            let mut kept = kept.lock().unwrap();
            if seen.line.starts_with("DELETE ") {
                kept.remove(seen.line.split(['/', ' ']).nth(3).unwrap());
                return said(r#"{"id": "1", "event": "message_delete", "topic": "alive"}"#.to_owned());
            }
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            let delay = body["delay"].as_str().map_or(0, |it| it.trim_end_matches('s').parse::<u64>().unwrap());
            let (sequence, due) = (seen.header("x-sequence-id").to_owned(), seen.at + Duration::from_secs(delay));
            let seconds = due.as_millis() / 1000;
            let answer = json!({"id": "1", "event": "message", "time": seconds, "sequence_id": sequence});
            kept.insert(sequence, (due, body));
            said(answer.to_string())
        });
        Server { seen, waiting }
    }

    /// Titles of what phones show by now.
    fn delivered(&self, now: Timestamp) -> Vec<String> {
        let waiting = self.waiting.lock().unwrap();
        let due = waiting.values().filter(|(due, _)| *due <= now);
        due.map(|(_, body)| body["title"].as_str().unwrap().to_owned()).collect()
    }
}

fn said(body: String) -> Answer {
    Answer::Status(200, "", body.leak())
}

fn start(world: &World) -> (Process, Arc<watchbell_model::MemoryState>) {
    let switch = json!({"url": "http://there", "topic": "alive", "token": "tk_1", "delay": "30m", "retry_for": "10m"});
    Process::memory(world, receivers(json!([{"name": "oncall", "ntfy_switch_configs": [switch]}])))
}

/// The next page of what always fires.
async fn put_off(process: &Process, sequence: u64) {
    let now = process.runtime.clock.now();
    let reason = if sequence == 1 { NotificationReason::First } else { NotificationReason::Repeat };
    process.deliver(GroupNotification { sequence, reason, ..firing("Watchdog", now) }).await;
    process.settle(minutes(15)).await;
}

fn lines(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| seen.line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn the_message_arrives_when_nobody_puts_it_off_and_its_end_is_told() {
    sim::run(1, |world| async move {
        let server = Server::at(&world);
        let (process, _) = start(&world);
        for round in 1..=12 {
            put_off(&process, round).await;
            world.clock.sleep(minutes(10)).await;
            assert_eq!(server.delivered(world.clock.now()), Vec::<String>::new());
        }
        assert_eq!(server.waiting.lock().unwrap().len(), 1, "one takes the place of the other");
        world.clock.sleep(minutes(19)).await;
        assert_eq!(server.delivered(world.clock.now()), Vec::<String>::new());
        world.clock.sleep(minutes(2)).await;
        assert_eq!(server.delivered(world.clock.now()), ["watchbell is silent: home"]);
        put_off(&process, 13).await;
        let seen = server.seen.seen();
        assert_eq!(lines(&seen)[..3], ["DELETE", "POST", "POST"]);
        assert!(seen.iter().all(|it| it.header("authorization") == "Bearer tk_1"));
        let last: Vec<Value> = seen[13..].iter().map(|it| serde_json::from_str(&it.body).unwrap()).collect();
        assert_eq!(
            (&last[0]["title"], last[0].get("delay"), &last[0]["priority"]),
            (&json!("watchbell is back: home"), None, &json!(3))
        );
        assert_eq!(
            (&last[1]["title"], &last[1]["delay"], &last[1]["priority"]),
            (&json!("watchbell is silent: home"), &json!("1800s"), &json!(5))
        );
        let words = "Nothing has been heard of watchbell at https://bell.example.org since 2026-01-05 02:21 UTC.";
        assert!(last[1]["message"].as_str().unwrap().starts_with(words), "{}", last[1]["message"]);
    });
}

#[test]
fn a_restart_knows_what_waits() {
    sim::run(1, |world| async move {
        let server = Server::at(&world);
        let (process, state) = start(&world);
        put_off(&process, 1).await;
        process.crash();
        world.clock.sleep(minutes(5)).await;
        let switch = json!({"url": "http://there", "topic": "alive", "delay": "30m"});
        let receivers = receivers(json!([{"name": "oncall", "ntfy_switch_configs": [switch]}]));
        let process = Process::start(&world, state, crate::world::config(receivers));
        put_off(&process, 2).await;
        assert_eq!(lines(&server.seen.seen()), ["DELETE", "POST", "POST"]);
    });
}

#[test]
fn a_server_that_would_deliver_each_is_asked_for_none() {
    sim::run(1, |world| async move {
        let old = Receiver::at(&world, "there", |_, seen| match seen.line.starts_with("DELETE ") {
            true => Answer::Status(404, "", r#"{"code":40401,"http":404,"error":"page not found"}"#),
            false => Answer::Status(200, "", r#"{"id": "1", "event": "message", "time": 1}"#),
        });
        let (process, _) = start(&world);
        put_off(&process, 1).await;
        assert_eq!(lines(&old.seen()), ["DELETE"]);
        let troubles = process.troubles();
        assert!(troubles[0].contains("it must be ntfy 2.16 or later"), "{troubles:?}");
    });
}

#[test]
fn a_server_that_does_not_answer_is_tried_for_a_while() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| Answer::Status(503, "", ""));
        let (process, _) = start(&world);
        put_off(&process, 1).await;
        assert!(there.count() > 3 && process.notify.outbox().is_empty());
        assert!(process.troubles()[0].starts_with("page-given-up/oncall/ntfy-switch: "), "{:?}", process.troubles());
    });
}
