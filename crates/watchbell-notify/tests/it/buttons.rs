//! Buttons of providers' own, by which a page is acknowledged: there where the provider tells us, on what fires.

use std::sync::Arc;

use serde_json::{Value, json};
use watchbell_notify::{Buttons, NotifyConfig, Site};
use watchbell_runtime::sim;

use crate::world::{Answer, Process, Receiver, config, firing, minutes, receivers, resolved};

/// Bodies of the requests that a firing page and its end come to.
fn bodies(kind: &str, channel: &Value, buttons: Buttons) -> Vec<String> {
    let receivers = receivers(json!([{"name": "oncall", (format!("{kind}_configs")): [channel]}]));
    sim::run(1, |world| async move {
        let answer = r#"{"ok": true, "channel": "C1", "ts": "1.2", "result": {"message_id": 1}, "status": 1}"#;
        let there = Receiver::at(&world, "there", move |_, _| Answer::Status(200, "", answer));
        let plain = config(receivers);
        let sign = |path: &str| format!("{path}&sig=1");
        let site = Site { sign: Some(Arc::new(sign)), buttons, ..plain.site.clone() };
        let state = Arc::new(watchbell_model::MemoryState::new());
        let process = Process::start(&world, state, NotifyConfig { site, ..plain });
        for group in [firing("imap", world.clock.now()), resolved("imap", world.clock.now())] {
            process.deliver(group).await;
            assert!(process.settle(minutes(5)).await);
        }
        there.seen().into_iter().map(|seen| seen.body).collect()
    })
}

const BOTH: Buttons = Buttons { slack: true, telegram: true };

#[test]
fn a_slack_app_has_a_button_on_what_fires_if_slack_tells_us() {
    let app = json!({"app_token": "xoxb-1", "app_url": "http://there/api/chat.postMessage", "channel": "#alerts"});
    let with = bodies("slack", &app, BOTH);
    let first: Value = serde_json::from_str(&with[0]).unwrap();
    let button = &first["attachments"][1]["blocks"][0]["elements"][0];
    let group = firing("imap", watchbell_model::Timestamp(0)).group_id();
    assert_eq!((&button["action_id"], &button["value"]), (&json!("watchbell_acknowledge"), &json!(group)));
    assert_eq!(button["text"], json!({"type": "plain_text", "text": "Acknowledge"}));
    // The end takes it out of the message.
    assert!(
        with.len() == 3 && !with[1].contains("watchbell_acknowledge") && !with[2].contains("watchbell_acknowledge")
    );
    assert!(!bodies("slack", &app, Buttons::default())[0].contains("watchbell_acknowledge"));
    // A webhook's buttons lead to whoever made it.
    let webhook = json!({"api_url": "http://there/services/x"});
    assert!(!bodies("slack", &webhook, BOTH)[0].contains("watchbell_acknowledge"));
}

#[test]
fn telegram_has_a_button_on_what_fires_if_telegram_tells_us() {
    let bot = json!({"bot_token": "1:a", "chat_id": 5, "api_url": "http://there"});
    let with = bodies("telegram", &bot, BOTH);
    let first: Value = serde_json::from_str(&with[0]).unwrap();
    let button = &first["reply_markup"]["inline_keyboard"][0][0];
    let data = button["callback_data"].as_str().unwrap();
    assert!(
        button["text"] == "Acknowledge" && data.starts_with("watchbell_acknowledge ") && data.len() <= 64,
        "{first}"
    );
    assert!(
        !with[1].contains("reply_markup") && !bodies("telegram", &bot, Buttons::default())[0].contains("reply_markup")
    );
}

#[test]
fn an_emergency_of_pushover_says_who_is_told_of_the_answer() {
    let push = |critical: i8| {
        let priorities = json!({"critical": critical, "warning": 0, "info": 0});
        json!({"user_key": "u", "token": "t", "api_url": "http://there/1/messages.json", "priorities": priorities})
    };
    let emergency = bodies("pushover", &push(2), Buttons::default());
    assert!(
        emergency[0].contains("&callback=https%3A%2F%2Fbell.example.org%2Fdo%2Freceipt%3Fgroup%3D"),
        "{emergency:?}"
    );
    assert!(!emergency[1].contains("callback="));
    assert!(!bodies("pushover", &push(1), Buttons::default())[0].contains("callback="));
}

#[test]
fn a_card_of_teams_leads_to_acknowledging_what_fires_and_to_a_verdict_of_what_is_over() {
    let card = json!({"webhook_url": "http://there/workflows/x"});
    let names = |body: &String| {
        let body: Value = serde_json::from_str(body).unwrap();
        let actions = body["attachments"][0]["content"]["actions"].as_array().unwrap().clone();
        actions.iter().map(|it| it["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let with = bodies("msteamsv2", &card, Buttons::default());
    assert_eq!(names(&with[0]), ["Run book", "Alarm", "Acknowledge", "Silence"]);
    assert_eq!(names(&with[1]), ["Run book", "Alarm", "Mark false"]);
}
