//! Buttons of providers, with bodies and signatures as their documentation says.

use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use http::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_http::{CallbacksConfig, SecretCallback, SlackCallback};
use watchbell_model::Secret;

use crate::{Ask, Site, ask, play, play_in};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

fn callbacks() -> CallbacksConfig {
    let secret = || SecretCallback { secret: Secret::new(SECRET) };
    CallbacksConfig {
        slack: SlackCallback {
            signing_secret: Secret::new(SECRET),
            answers_url: "http://hooks.slack.example".parse().unwrap(),
        },
        pagerduty: secret(),
        telegram: secret(),
        opsgenie: secret(),
    }
}

fn hmac(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Site {
    fn group(&self) -> String {
        watchbell_model::group_id(&self.stage.alerts.groups().remove(0).group_key)
    }

    fn seconds(&self) -> i64 {
        self.stage.runtime.clock.now().as_millis() / 1000
    }

    /// Who sees to what fires.
    fn seen_to(&self) -> Vec<String> {
        let by = |it: watchbell_alerts::AlertView| it.acknowledged.map(|by| format!("{} {}", by.by, by.comment));
        self.stage.alerts.alerts().into_iter().filter_map(by).collect()
    }

    /// A press of the button, signed at a time by a secret.
    fn slack(&self, group: &str, at: i64, secret: &str) -> Ask {
        let payload = json!({
            "type": "block_actions",
            "user": {"id": "U1", "username": "anna", "name": "anna", "team_id": "T1"},
            "container": {"type": "message_attachment", "message_ts": "1.2", "channel_id": "C1"},
            "response_url": "http://hooks.slack.example/actions/T1/1/abc",
            "message": {"text": "[CRITICAL] imap", "attachments": [
                {"id": 1, "title": "[CRITICAL] imap"},
                {"id": 2, "blocks": [{"type": "actions", "elements": [{"type": "button", "action_id": "watchbell_acknowledge"}]}]},
            ]},
            "actions": [{"action_id": "watchbell_acknowledge", "block_id": "b", "type": "button", "value": group}],
        });
        self.signed(format!("payload={}", watchbell_runtime::client::escape(&payload.to_string())), at, secret)
    }

    fn signed(&self, body: String, at: i64, secret: &str) -> Ask {
        let signature = format!("v0={}", hmac(secret, &format!("v0:{at}:{body}")));
        ask("POST", "/callback/slack")
            .public()
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-slack-request-timestamp", at.to_string())
            .header("x-slack-signature", signature)
            .body(body)
    }

    fn pagerduty(&self, id: &str, kind: &str, agent: Value, at: i64, secret: &str) -> Ask {
        let at = watchbell_model::Timestamp(at * 1000);
        let body = json!({"event": {
            "id": id, "event_type": kind, "resource_type": "incident", "occurred_at": at, "agent": agent, "client": null,
            "data": {"id": "PGR0VU2", "type": "incident", "incident_key": self.group(), "status": "acknowledged"},
        }})
        .to_string();
        let signature = format!("v1=00ff,v1={}", hmac(secret, &body));
        ask("POST", "/callback/pagerduty").public().header("x-pagerduty-signature", signature).body(body)
    }
}

#[test]
fn slacks_button_acknowledges_once_and_the_message_says_by_whom() {
    play_in(|mut site, world| async move {
        let posted: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&posted);
        world.net.serve("hooks.slack.example", 80, move |mut stream| {
            let kept = Arc::clone(&kept);
            async move {
                let mut text = String::new();
                while !text.ends_with("}]}") && !text.ends_with("true}") {
                    let mut buffer = [0; 4096];
                    let Ok(count) = stream.read(&mut buffer).await else { return };
                    text += &String::from_utf8_lossy(&buffer[..count]);
                    if count == 0
                        || text
                            .split_once("\r\n\r\n")
                            .is_some_and(|(_, body)| serde_json::from_str::<Value>(body).is_ok())
                    {
                        break;
                    }
                }
                kept.lock().unwrap().push(text);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        });
        *site.stage.config.callbacks.lock().unwrap() = callbacks();
        site.break_imap().await;
        let press = site.slack(&site.group(), site.seconds(), SECRET);
        assert_eq!(site.send(press.clone()).await.status, StatusCode::OK);
        assert_eq!(site.seen_to(), ["anna from Slack"]);
        let message = posted.lock().unwrap().remove(0);
        let body: Value = serde_json::from_str(message.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!((&body["replace_original"], &body["text"]), (&json!(true), &json!("[CRITICAL] imap")));
        assert_eq!(body["attachments"][0]["title"], "[CRITICAL] imap");
        assert_eq!(body["attachments"][1]["blocks"][0]["elements"][0]["text"], ":eyes: anna sees to it.");
        // The same request again, after it was taken back and after a restart, does nothing.
        let fingerprint = site.stage.alerts.alerts()[0].alert.fingerprint();
        site.router = watchbell_http::router(site.stage.handles());
        site.stage.alerts.acknowledge(vec![fingerprint], None).await.unwrap();
        assert_eq!(site.send(press).await.status, StatusCode::OK);
        assert_eq!((site.seen_to(), posted.lock().unwrap().len()), (Vec::new(), 0));
        // What is over says so.
        let over = site.slack("00", site.seconds(), SECRET);
        assert_eq!(site.send(over).await.status, StatusCode::OK);
        assert!(posted.lock().unwrap()[0].contains(":eyes: It is over."));
        // Where Slack does not answer, the acknowledgement stands.
        world.net.set_black_hole("hooks.slack.example", true);
        let began = site.stage.runtime.clock.now();
        let press = site.slack(&site.group(), site.seconds() + 1, SECRET);
        assert_eq!(site.send(press).await.status, StatusCode::OK);
        assert!(site.stage.runtime.clock.now().since(began) < std::time::Duration::from_secs(3));
        assert_eq!(site.seen_to(), ["anna from Slack"]);
    });
}

#[test]
fn what_slack_did_not_sign_just_now_is_refused() {
    play(|site| async move {
        site.break_imap().await;
        let (group, now) = (site.group(), site.seconds());
        let unset = site.send(site.slack(&group, now, SECRET)).await;
        assert!(unset.status == StatusCode::NOT_FOUND && unset.body.contains("callbacks.slack"), "{}", unset.body);
        *site.stage.config.callbacks.lock().unwrap() = callbacks();
        let unsigned = ask("POST", "/callback/slack").public().body("payload=%7B%7D");
        for (asked, status, word) in [
            (unsigned, StatusCode::UNAUTHORIZED, "not signed"),
            (site.slack(&group, now, "another secret of theirs"), StatusCode::UNAUTHORIZED, "signature is wrong"),
            (site.slack(&group, now - 301, SECRET), StatusCode::UNAUTHORIZED, "five minutes"),
            (site.slack(&group, now + 302, SECRET), StatusCode::UNAUTHORIZED, "five minutes"),
            (site.signed("payload=x".into(), now, SECRET), StatusCode::BAD_REQUEST, "payload"),
            (site.signed("body=x".into(), now, SECRET), StatusCode::BAD_REQUEST, "payload"),
        ] {
            let answer = site.send(asked).await;
            assert!(answer.status == status && answer.body.contains(word), "{word}: {} {}", answer.status, answer.body);
        }
        // A button of somebody's own.
        let own = json!({"user": {"id": "U1"}, "actions": [{"action_id": "theirs", "value": group}]}).to_string();
        let own = site.signed(format!("payload={}", watchbell_runtime::client::escape(&own)), now, SECRET);
        assert_eq!(site.send(own).await.status, StatusCode::OK);
        assert_eq!(site.seen_to(), Vec::<String>::new());
    });
}

#[test]
fn what_is_done_in_pagerduty_counts_here() {
    play(|mut site| async move {
        *site.stage.config.callbacks.lock().unwrap() = callbacks();
        site.break_imap().await;
        let now = site.seconds();
        let ben = || json!({"id": "P1", "type": "user_reference", "summary": "Ben"});
        let took = site.pagerduty("e1", "incident.acknowledged", ben(), now, SECRET);
        for (asked, status) in [
            (site.pagerduty("e0", "incident.acknowledged", ben(), now, "another"), StatusCode::UNAUTHORIZED),
            (ask("POST", "/callback/pagerduty").public().body("{}"), StatusCode::UNAUTHORIZED),
            // An event of before this alert began, come late.
            (site.pagerduty("e0", "incident.acknowledged", ben(), now - 3600, SECRET), StatusCode::OK),
            (site.pagerduty("e2", "incident.triggered", ben(), now, SECRET), StatusCode::OK),
            // Our own event resolves it there.
            (
                site.pagerduty(
                    "e3",
                    "incident.resolved",
                    json!({"type": "inbound_integration_reference"}),
                    now,
                    SECRET,
                ),
                StatusCode::OK,
            ),
            (site.pagerduty("e4", "incident.resolved", Value::Null, now, SECRET), StatusCode::OK),
        ] {
            assert_eq!(site.send(asked).await.status, status);
            assert_eq!(site.seen_to(), Vec::<String>::new());
        }
        assert_eq!(site.send(took.clone()).await.status, StatusCode::OK);
        assert_eq!(site.seen_to(), ["Ben from PagerDuty"]);
        // Who was first stays.
        let carla = json!({"type": "user_reference", "summary": "Carla"});
        let later = site.pagerduty("e5", "incident.acknowledged", carla.clone(), now, SECRET);
        assert_eq!(site.send(later).await.status, StatusCode::OK);
        assert_eq!(site.seen_to(), ["Ben from PagerDuty"]);
        let back = site.pagerduty("e6", "incident.unacknowledged", ben(), now, SECRET);
        assert_eq!(site.send(back).await.status, StatusCode::OK);
        assert_eq!(site.seen_to(), Vec::<String>::new());
        // PagerDuty sends again what it thinks was not taken, also when we have started anew meanwhile.
        site.router = watchbell_http::router(site.stage.handles());
        assert_eq!(site.send(took).await.status, StatusCode::OK);
        assert_eq!(site.seen_to(), Vec::<String>::new());
        let resolved = site.pagerduty("e7", "incident.resolved", carla, now, SECRET);
        assert_eq!(site.send(resolved).await.status, StatusCode::OK);
        assert_eq!(site.seen_to(), ["Carla from PagerDuty, where it was resolved"]);
        let unread = ask("POST", "/callback/pagerduty").public();
        let unread = unread.header("x-pagerduty-signature", format!("v1={}", hmac(SECRET, "{}"))).body("{}");
        assert_eq!(site.send(unread).await.status, StatusCode::BAD_REQUEST);
    });
}

#[test]
fn telegrams_button_opsgenies_webhook_and_pushovers_receipt_acknowledge() {
    play(|site| async move {
        *site.stage.config.callbacks.lock().unwrap() = callbacks();
        site.break_imap().await;
        let group = site.group();
        let fingerprint = site.stage.alerts.alerts()[0].alert.fingerprint();
        let press = |secret: &str, data: &str| {
            let from = json!({"id": 7, "is_bot": false, "first_name": "Anna", "last_name": "B"});
            let body = json!({"update_id": 1, "callback_query": {"id": "42", "from": from, "data": data}});
            let asked = ask("POST", "/callback/telegram").public();
            asked.header("x-telegram-bot-api-secret-token", secret).body(body.to_string())
        };
        let data = format!("watchbell_acknowledge {group}");
        assert_eq!(site.send(press("wrong", &data)).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(site.send(press(SECRET, "theirs")).await.body, "");
        assert_eq!(site.seen_to(), Vec::<String>::new());
        let answer = site.send(press(SECRET, &data)).await;
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        let told = json!({"method": "answerCallbackQuery", "callback_query_id": "42", "text": "You see to it."});
        assert_eq!((answer, site.seen_to()), (told, vec!["Anna B from Telegram".to_owned()]));
        assert!(site.send(press(SECRET, &data)).await.body.contains("Somebody sees to it already."));
        site.stage.alerts.acknowledge(vec![fingerprint], None).await.unwrap();

        let opsgenie = |action: &str, secret: &str| {
            let body = json!({"action": action, "alert": {"alias": group, "username": "ben@example.org"}});
            ask("POST", "/callback/opsgenie").public().header("x-alert-secret", secret).body(body.to_string())
        };
        assert_eq!(site.send(opsgenie("Acknowledge", "wrong")).await.status, StatusCode::UNAUTHORIZED);
        for (action, seen_to) in [
            ("AddNote", Vec::new()),
            ("Acknowledge", vec!["ben@example.org from Opsgenie"]),
            ("UnAcknowledge", Vec::new()),
        ] {
            assert_eq!(site.send(opsgenie(action, SECRET)).await.status, StatusCode::OK);
            assert_eq!(site.seen_to(), seen_to, "{action}");
        }

        let until = site.seconds() + 60;
        let link = site.stage.auth.sign(&format!("/do/receipt?group={group}&by=carla&until={until}"));
        let receipt = |link: &str, body: &str| {
            let asked = ask("POST", link).public().header("content-type", "application/x-www-form-urlencoded");
            asked.body(body)
        };
        let form = "receipt=abc&acknowledged=1&acknowledged_at=1&acknowledged_by=u&acknowledged_by_device=pixel";
        for (link, form, status) in [
            (link.split("&sig").next().unwrap(), form, StatusCode::UNAUTHORIZED),
            (&link, "receipt=abc", StatusCode::BAD_REQUEST),
            (&link, "receipt=abc&acknowledged=0", StatusCode::OK),
        ] {
            assert_eq!(site.send(receipt(link, form)).await.status, status);
            assert_eq!(site.seen_to(), Vec::<String>::new());
        }
        assert_eq!(site.send(receipt(&link, form)).await.status, StatusCode::OK);
        assert_eq!(site.seen_to(), ["carla (pixel) from Pushover"]);
    });
}
