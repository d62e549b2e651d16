//! One suite over all channels.

use std::sync::atomic::{AtomicUsize, Ordering};

use expect_test::expect;
use serde_json::json;
use watchbell_model::{Labels, Path, Problems};
use watchbell_notify::{ReceiverConfig, Templates};
use watchbell_runtime::sim::{self, World};

use crate::world::{Answer, OK, Process, Receiver, Seen, alert, firing, group, minutes, receivers, resolved};

/// Each channel at the host `there`, with credentials that must not be seen anywhere.
pub(crate) fn all() -> Vec<(&'static str, Vec<ReceiverConfig>)> {
    let one = |kind: &str, config: serde_json::Value| {
        receivers(json!([{"name": "oncall", (format!("{kind}_configs")): [config]}]))
    };
    vec![
        ("ntfy", one("ntfy", json!({"url": "http://there", "topic": "alerts", "token": "tk_hush", "tags": ["mail"]}))),
        (
            "pushover",
            one(
                "pushover",
                json!({"api_url": "http://there/1/messages.json", "user_key": "hush-u", "token": "hush-t"}),
            ),
        ),
        ("slack", one("slack", json!({"api_url": "http://there/services/hush"}))),
        (
            "slack-app",
            one(
                "slack",
                json!({"app_token": "xoxb-hush", "app_url": "http://there/api/chat.postMessage", "channel": "#a"}),
            ),
        ),
        ("telegram", one("telegram", json!({"api_url": "http://there", "bot_token": "123:hush", "chat_id": -5}))),
        ("discord", one("discord", json!({"webhook_url": "http://there/api/webhooks/1/hush-hush-hush-hush"}))),
        ("msteamsv2", one("msteamsv2", json!({"webhook_url": "http://there/workflows/hush?sig=hush"}))),
        ("msteams", one("msteams", json!({"webhook_url": "http://there/webhookb2/hush"}))),
        ("mattermost", one("mattermost", json!({"webhook_url": "http://there/hooks/hush-hush"}))),
        (
            "rocketchat",
            one(
                "rocketchat",
                json!({"api_url": "http://there", "token": "hush-t", "token_id": "hush-u", "channel": "#alerts"}),
            ),
        ),
        (
            "webex",
            one(
                "webex",
                json!({"api_url": "http://there/v1/messages", "room_id": "R",
                    "http_config": {"authorization": {"credentials": "hush"}}}),
            ),
        ),
        (
            "wechat",
            one(
                "wechat",
                json!({"api_url": "http://there/cgi-bin/", "corp_id": "c", "api_secret": "hush", "agent_id": "7"}),
            ),
        ),
        (
            "matrix",
            one("matrix", json!({"homeserver_url": "http://there", "access_token": "hush", "room_id": "!room:there"})),
        ),
        ("gotify", one("gotify", json!({"url": "http://there", "token": "hush"}))),
        (
            "webhook",
            one(
                "webhook",
                json!({"url": "http://there/hook?hush", "http_config": {"authorization": {"credentials": "hush"}}}),
            ),
        ),
        ("incidentio", one("incidentio", json!({"url": "http://there/v2", "alert_source_token": "hush"}))),
        (
            "jira",
            one(
                "jira",
                json!({"api_url": "http://there/rest/api/2/", "project": "OPS", "issue_type": "Bug",
                    "http_config": {"authorization": {"credentials": "hush"}}}),
            ),
        ),
        ("opsgenie", one("opsgenie", json!({"api_url": "http://there/", "api_key": "hush"}))),
        ("pagerduty", one("pagerduty", json!({"url": "http://there/v2/enqueue", "routing_key": "hush"}))),
        (
            "sns",
            one(
                "sns",
                json!({"api_url": "http://there/", "topic_arn": "arn:aws:sns:eu-west-1:1:t",
                    "sigv4": {"region": "eu-west-1", "access_key": "AK", "secret_key": "hush"},
                    "http_config": {"http_headers": {"X-Key": {"secrets": ["hush"]}}}}),
            ),
        ),
        (
            "ping",
            one(
                "ping",
                json!({"url": "http://there/ping/hush", "http_config": {"authorization": {"credentials": "hush"}}}),
            ),
        ),
        ("ntfy-switch", one("ntfy_switch", json!({"url": "http://there/", "topic": "alive", "token": "hush"}))),
        (
            "victorops",
            one("victorops", json!({"api_url": "http://there/alert/", "api_key": "hush", "routing_key": "team"})),
        ),
    ]
}

/// Whether it carries words of what fires: a ping says by coming that somebody lives, and nothing else.
fn has_words(kind: &str) -> bool {
    kind != "ping" && kind != "ntfy-switch"
}

/// What every provider takes for yes.
pub(crate) const TAKEN: Answer = Answer::Status(
    200,
    "",
    r#"{"ok": true, "channel": "C1", "ts": "1.5", "id": "77", "event_id": "$e", "success": true, "errcode": 0,
        "access_token": "token", "result": {"message_id": 7}, "message": {"rid": "r", "_id": "m"}}"#,
);

/// A receiver that takes part in what goes before a page, and answers pages as `answer` says, which counts only them.
fn receiver(world: &World, answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Receiver {
    let count = AtomicUsize::new(0);
    Receiver::at(world, "there", move |_, seen| match seen {
        _ if is_page(seen) => answer(count.fetch_add(1, Ordering::Relaxed), seen),
        _ if seen.line.contains("/search") => Answer::Status(200, "", r#"{"issues": []}"#),
        _ => TAKEN,
    })
}

/// Whether a request brings the page, and not what a provider must be asked first.
pub(crate) fn is_page(seen: &Seen) -> bool {
    let asks_first =
        seen.line.contains("/search") || seen.line.contains("/gettoken?") || seen.line.starts_with("DELETE ");
    !asks_first
}

/// The pages among what was seen.
fn pages(there: &Receiver) -> Vec<Seen> {
    there.seen().into_iter().filter(is_page).collect()
}

#[test]
fn a_page_arrives_once_with_its_run_book() {
    for (kind, receivers) in all() {
        sim::run(1, |world| async move {
            let there = receiver(&world, |_, _| TAKEN);
            let (process, state) = Process::memory(&world, receivers);
            let group = firing("imap", world.clock.now());
            process.deliver(group.clone()).await;
            process.deliver(group).await;
            assert!(process.settle(minutes(1)).await, "{kind}");
            world.clock.sleep(minutes(60)).await;
            assert_eq!(pages(&there).len(), 1, "{kind}");
            let page = pages(&there).remove(0);
            let text = page.all().replace("%3A", ":").replace("%2F", "/").replace("%20", " ");
            let said = text.contains("imap is down") || text.contains("imap+is+down");
            let linked = text.contains("https://bell.example.org/runbooks/imap-down");
            assert_eq!((said, linked), (has_words(kind), has_words(kind)), "{kind}: {text}");
            // The credentials were sent, and never kept.
            let sent: String = there.seen().iter().map(Seen::all).collect();
            assert!(sent.contains("hush"), "{kind}: {sent}");
            let kept = format!("{:?}{:?}", process.notify.deliveries(10).unwrap(), process.notify.channels());
            assert!(!kept.contains("hush"), "{kind}: {kept}");
            assert_eq!(process.notify.outbox(), [], "{kind}");
            drop(state);
        });
    }
}

#[test]
fn a_refusal_is_told_apart_from_an_outage() {
    let refused = [300, 302, 400, 401, 403, 404, 410, 413, 418];
    let outage = [408, 425, 429, 500, 502, 503, 504, 529];
    for (kind, receivers) in all() {
        for (status, again) in refused.map(|it| (it, false)).into_iter().chain(outage.map(|it| (it, true))) {
            let receivers = receivers.clone();
            let echo = match kind {
                "ntfy" => "no: Bearer tk_hush",
                "pushover" => "no: hush-u and hush-t",
                "slack" => "no: POST /services/hush",
                "slack-app" => "no: xoxb-hush",
                "telegram" => "no: POST /bot123:hush/sendMessage",
                "discord" => "no: POST /api/webhooks/1/hush-hush-hush-hush, of hush-hush-hush-hush",
                "msteamsv2" => "no: POST /workflows/hush?sig=hush",
                "msteams" => "no: POST /webhookb2/hush",
                "mattermost" => "no: POST /hooks/hush-hush",
                "rocketchat" => "no: hush-t of hush-u",
                "webex" | "wechat" | "matrix" | "gotify" => "no: hush",
                _ => "no: POST /hook?hush with hush, http://there/hook?hush",
            };
            sim::run(1, |world| async move {
                // What refuses echoes the credentials, as some do.
                let there = receiver(&world, move |number, _| match number {
                    0 => Answer::Status(status, "Location: /else", echo),
                    _ => TAKEN,
                });
                let (process, _) = Process::memory(&world, receivers);
                process.deliver(firing("imap", world.clock.now())).await;
                assert!(process.settle(minutes(10)).await, "{kind} {status}");
                assert_eq!(pages(&there).len(), if again { 2 } else { 1 }, "{kind} {status}");
                let kept = format!(
                    "{:?}{:?}{:?}",
                    process.notify.deliveries(10),
                    process.notify.channels(),
                    process.troubles()
                );
                assert!(!kept.contains("hush"), "{kind} {status}: {kept}");
                assert_eq!(process.troubles().len(), usize::from(!again), "{kind} {status}: {:?}", process.troubles());
                if again {
                    let mut seen = pages(&there);
                    if kind == "sns" {
                        // A signature holds the time.
                        let signs = |name: &str| name.eq_ignore_ascii_case("authorization") || name == "x-amz-date";
                        seen.iter_mut().for_each(|it| it.headers.retain(|(name, _)| !signs(name)));
                    }
                    assert_eq!(
                        (&seen[0].body, &seen[0].headers),
                        (&seen[1].body, &seen[1].headers),
                        "{kind}: byte-equal"
                    );
                }
            });
        }
    }
}

#[test]
fn slack_refuses_with_status_200_too() {
    sim::run(1, |world| async move {
        let there =
            Receiver::at(&world, "there", |_, _| Answer::Status(200, "", r#"{"ok":false,"error":"invalid_auth"}"#));
        let (process, _) = Process::memory(&world, all().remove(2).1);
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        assert_eq!((there.count(), process.troubles().len()), (1, 1));
    });
}

#[test]
fn long_and_odd_text_is_cut_between_characters() {
    for (kind, receivers) in all().into_iter().filter(|(kind, _)| has_words(kind)) {
        let receivers = receivers.clone();
        sim::run(1, |world| async move {
            let there = receiver(&world, |_, _| TAKEN);
            let (process, _) = Process::memory(&world, receivers);
            let now = world.clock.now();
            let mut long = alert("imap", "critical", now);
            long.annotations = Labels::from_pairs([
                ("summary", "<grün> & 👩‍🚒 \u{202e}\r\nX-Evil: 1 ".repeat(200)),
                ("description", "Ünïcödé \"quoted\" {{ .Nothing }} & more. ".repeat(400)),
            ]);
            process.deliver(group("long", 1, vec![long; 1], now)).await;
            assert!(process.settle(minutes(1)).await);
            let seen = pages(&there).remove(0);
            assert_eq!(seen.header("x-evil"), "", "{kind}");
            assert!(seen.all().contains('…') || seen.body.contains("%E2%80%A6"), "{kind}: {}", seen.body);
            let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap_or_default();
            let field = |name: &str| match kind {
                "pushover" | "sns" => {
                    let name = match (kind, name) {
                        ("sns", "title") => "Subject",
                        ("sns", _) => "Message",
                        _ => name,
                    };
                    let pair = seen.body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
                    percent(pair.unwrap_or_default())
                }
                _ => body.pointer(name).and_then(|it| it.as_str()).unwrap_or_default().to_owned(),
            };
            let (title, message, most, unit): (_, _, _, fn(&str) -> usize) = match kind {
                "ntfy" => ("/title", "/message", (250, 4096), str::len),
                "pushover" => ("title", "message", (250, 1024), |it| it.chars().count()),
                "slack" | "slack-app" => {
                    ("/attachments/0/title", "/attachments/0/text", (1024, 3200), |it| it.chars().count())
                }
                "telegram" => ("/text", "/text", (4096, 4096), |it| it.encode_utf16().count()),
                "discord" => ("/embeds/0/title", "/embeds/0/description", (256, 4096), |it| it.chars().count()),
                "msteamsv2" => (
                    "/attachments/0/content/body/0/text",
                    "/attachments/0/content/body/1/text",
                    (1000, 10_000),
                    str::len,
                ),
                "msteams" => ("/title", "/text", (1000, 10_000), str::len),
                "mattermost" => ("/attachments/0/title", "/attachments/0/text", (1024, 8000), |it| it.chars().count()),
                "rocketchat" => ("/attachments/0/title", "/attachments/0/text", (1024, 4000), |it| it.chars().count()),
                "webex" => ("/markdown", "/markdown", (7439, 7439), str::len),
                "wechat" => ("/text/content", "/text/content", (2048, 2048), str::len),
                "matrix" => ("/body", "/formatted_body", (20_000, 20_000), str::len),
                "gotify" => ("/title", "/message", (250, 4300), |it| it.chars().count()),
                "jira" => ("/fields/summary", "/fields/description", (255, 32_767), |it| it.chars().count()),
                "opsgenie" => ("/message", "/description", (130, 15_000), |it| it.chars().count()),
                "pagerduty" => ("/payload/summary", "/payload/custom_details/page", (1024, 512 << 10), str::len),
                "victorops" => ("/entity_display_name", "/state_message", (1024, 20_000), |it| it.chars().count()),
                "sns" => ("title", "message", (100, 256 << 10), str::len),
                _ => ("/title", "/message", (1024, 100_000), str::len),
            };
            let (title, message) = (field(title), field(message));
            assert!(unit(&title) <= most.0 && unit(&message) <= most.1, "{kind}: {title} {message}");
            assert!(unit(&message) > most.1.min(5000) / 3, "{kind}: {message}");
            // Machines take long bodies.
            let machine =
                ["webhook", "incidentio", "jira", "opsgenie", "pagerduty", "sns", "victorops"].contains(&kind);
            assert!(seen.body.len() < 28 << 10 || machine, "{kind}");
            let start = title.replace('\\', "").replace("<b>", "").replace("&lt;", "<").replace("&gt;", ">");
            let start = start.replace("**", "").replace("🚨 ", "");
            // A subject of SNS is ASCII.
            let wanted = if kind == "sns" { "[CRITICAL] <gr?n>" } else { "[CRITICAL] <grün>" };
            assert!(start.starts_with(wanted), "{kind}: {title}");
            assert!(seen.all().contains("runbooks"), "{kind}");
        });
    }
}

fn percent(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let pair = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap());
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn each_channel_says_it_in_its_own_way() {
    let mut out = String::new();
    for (kind, receivers) in all() {
        let text = sim::run(1, |world| async move {
            let (process, _) = Process::memory(&world, receivers);
            let now = world.clock.now();
            let mut text = String::new();
            for group in [firing("IMAP", now), resolved("IMAP", now)] {
                let previews = process.notify.preview("oncall", &group).unwrap();
                text.extend(previews.first().map(|it| it.text.clone()));
            }
            text
        });
        assert!(!text.contains("hush"), "{kind}: a preview shows no credentials");
        out.push_str(&format!("--- {kind}\n{text}"));
    }
    expect![[r##"
        --- ntfy
        Content-Type: application/json
        X-Sequence-ID: 484047f486449215ce0634e9dde71ecb
        Idempotency-Key: 3b4b171d8e397f778579bdcf06452d24

        {
          "actions": [
            {
              "action": "view",
              "label": "Run book",
              "url": "https://bell.example.org/runbooks/imap-down"
            },
            {
              "action": "view",
              "label": "Alarm",
              "url": "https://bell.example.org/alarms/monitor/imap"
            }
          ],
          "click": "https://bell.example.org/runbooks/imap-down",
          "message": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap",
          "priority": 5,
          "tags": [
            "rotating_light",
            "mail"
          ],
          "title": "[CRITICAL] IMAP is down",
          "topic": "alerts"
        }
        Content-Type: application/json
        X-Sequence-ID: 484047f486449215ce0634e9dde71ecb
        Idempotency-Key: 68149f4127275efcca186ddc739fc87d

        {
          "actions": [
            {
              "action": "view",
              "label": "Run book",
              "url": "https://bell.example.org/runbooks/imap-down"
            },
            {
              "action": "view",
              "label": "Alarm",
              "url": "https://bell.example.org/alarms/monitor/imap"
            }
          ],
          "click": "https://bell.example.org/runbooks/imap-down",
          "message": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap",
          "priority": 3,
          "tags": [
            "white_check_mark",
            "mail"
          ],
          "title": "RESOLVED: IMAP is down (after 12 minutes)",
          "topic": "alerts"
        }
        --- pushover
        Content-Type: application/x-www-form-urlencoded

        title = [CRITICAL] IMAP is down
        message = The TLS handshake fails: connection refused.
            Since 2026-01-04 23:58 UTC, for 2 minutes.
            Where: monitor/imap
        priority = 1
        timestamp = 1767571200
        url = https://bell.example.org/runbooks/imap-down
        url_title = Run book
        Content-Type: application/x-www-form-urlencoded

        title = RESOLVED: IMAP is down (after 12 minutes)
        message = The TLS handshake fails: connection refused.
            From 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.
            Where: monitor/imap
        priority = 0
        timestamp = 1767571200
        url = https://bell.example.org/runbooks/imap-down
        url_title = Run book
        --- slack
        Content-Type: application/json

        {
          "attachments": [
            {
              "color": "#e01e5a",
              "fallback": "[CRITICAL] IMAP is down",
              "mrkdwn_in": [
                "pretext",
                "text"
              ],
              "text": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\n<https://bell.example.org/runbooks/imap-down|Run book> · <https://bell.example.org/alarms/monitor/imap|Alarm>",
              "title": "[CRITICAL] IMAP is down",
              "title_link": "https://bell.example.org/runbooks/imap-down",
              "ts": 1767571200
            }
          ],
          "text": "[CRITICAL] IMAP is down"
        }
        Content-Type: application/json

        {
          "attachments": [
            {
              "color": "#2eb67d",
              "fallback": "RESOLVED: IMAP is down (after 12 minutes)",
              "mrkdwn_in": [
                "pretext",
                "text"
              ],
              "text": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\n<https://bell.example.org/runbooks/imap-down|Run book> · <https://bell.example.org/alarms/monitor/imap|Alarm>",
              "title": "RESOLVED: IMAP is down (after 12 minutes)",
              "title_link": "https://bell.example.org/runbooks/imap-down",
              "ts": 1767571200
            }
          ],
          "text": "RESOLVED: IMAP is down (after 12 minutes)"
        }
        --- slack-app
        Content-Type: application/json

        {
          "attachments": [
            {
              "color": "#e01e5a",
              "fallback": "[CRITICAL] IMAP is down",
              "mrkdwn_in": [
                "pretext",
                "text"
              ],
              "text": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\n<https://bell.example.org/runbooks/imap-down|Run book> · <https://bell.example.org/alarms/monitor/imap|Alarm>",
              "title": "[CRITICAL] IMAP is down",
              "title_link": "https://bell.example.org/runbooks/imap-down",
              "ts": 1767571200
            }
          ],
          "channel": "#a",
          "text": "[CRITICAL] IMAP is down"
        }
        Content-Type: application/json

        {
          "attachments": [
            {
              "color": "#2eb67d",
              "fallback": "RESOLVED: IMAP is down (after 12 minutes)",
              "mrkdwn_in": [
                "pretext",
                "text"
              ],
              "text": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\n<https://bell.example.org/runbooks/imap-down|Run book> · <https://bell.example.org/alarms/monitor/imap|Alarm>",
              "title": "RESOLVED: IMAP is down (after 12 minutes)",
              "title_link": "https://bell.example.org/runbooks/imap-down",
              "ts": 1767571200
            }
          ],
          "channel": "#a",
          "text": "RESOLVED: IMAP is down (after 12 minutes)"
        }
        --- telegram
        Content-Type: application/json

        {
          "disable_notification": false,
          "link_preview_options": {
            "is_disabled": true
          },
          "parse_mode": "HTML",
          "text": "🚨 <b>[CRITICAL] IMAP is down</b>\nThe TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\n\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap"
        }
        Content-Type: application/json

        {
          "disable_notification": false,
          "link_preview_options": {
            "is_disabled": true
          },
          "parse_mode": "HTML",
          "text": "✅ <b>RESOLVED: IMAP is down (after 12 minutes)</b>\nThe TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\n\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap"
        }
        --- discord
        Content-Type: application/json

        {
          "embeds": [
            {
              "color": 14687834,
              "description": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)",
              "timestamp": "2026-01-05T00:00:00.000Z",
              "title": "[CRITICAL] IMAP is down",
              "url": "https://bell.example.org/runbooks/imap-down"
            }
          ]
        }
        Content-Type: application/json

        {
          "embeds": [
            {
              "color": 3061373,
              "description": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)",
              "timestamp": "2026-01-05T00:00:00.000Z",
              "title": "RESOLVED: IMAP is down (after 12 minutes)",
              "url": "https://bell.example.org/runbooks/imap-down"
            }
          ]
        }
        --- msteamsv2
        Content-Type: application/json

        {
          "attachments": [
            {
              "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "actions": [
                  {
                    "title": "Run book",
                    "type": "Action.OpenUrl",
                    "url": "https://bell.example.org/runbooks/imap-down"
                  },
                  {
                    "title": "Alarm",
                    "type": "Action.OpenUrl",
                    "url": "https://bell.example.org/alarms/monitor/imap"
                  }
                ],
                "body": [
                  {
                    "color": "attention",
                    "size": "Medium",
                    "style": "heading",
                    "text": "[CRITICAL] IMAP is down",
                    "type": "TextBlock",
                    "weight": "Bolder",
                    "wrap": true
                  },
                  {
                    "text": "The TLS handshake fails: connection refused.\n\nSince 2026-01-04 23:58 UTC, for 2 minutes.\n\nWhere: monitor/imap",
                    "type": "TextBlock",
                    "wrap": true
                  }
                ],
                "msteams": {
                  "width": "full"
                },
                "type": "AdaptiveCard",
                "version": "1.4"
              },
              "contentType": "application/vnd.microsoft.card.adaptive",
              "contentUrl": null
            }
          ],
          "type": "message"
        }
        Content-Type: application/json

        {
          "attachments": [
            {
              "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "actions": [
                  {
                    "title": "Run book",
                    "type": "Action.OpenUrl",
                    "url": "https://bell.example.org/runbooks/imap-down"
                  },
                  {
                    "title": "Alarm",
                    "type": "Action.OpenUrl",
                    "url": "https://bell.example.org/alarms/monitor/imap"
                  }
                ],
                "body": [
                  {
                    "color": "good",
                    "size": "Medium",
                    "style": "heading",
                    "text": "RESOLVED: IMAP is down (after 12 minutes)",
                    "type": "TextBlock",
                    "weight": "Bolder",
                    "wrap": true
                  },
                  {
                    "text": "The TLS handshake fails: connection refused.\n\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\n\nWhere: monitor/imap",
                    "type": "TextBlock",
                    "wrap": true
                  }
                ],
                "msteams": {
                  "width": "full"
                },
                "type": "AdaptiveCard",
                "version": "1.4"
              },
              "contentType": "application/vnd.microsoft.card.adaptive",
              "contentUrl": null
            }
          ],
          "type": "message"
        }
        --- msteams
        Content-Type: application/json

        {
          "@context": "https://schema.org/extensions",
          "@type": "MessageCard",
          "potentialAction": [
            {
              "@type": "OpenUri",
              "name": "Run book",
              "targets": [
                {
                  "os": "default",
                  "uri": "https://bell.example.org/runbooks/imap-down"
                }
              ]
            },
            {
              "@type": "OpenUri",
              "name": "Alarm",
              "targets": [
                {
                  "os": "default",
                  "uri": "https://bell.example.org/alarms/monitor/imap"
                }
              ]
            }
          ],
          "summary": "[CRITICAL] IMAP is down",
          "text": "The TLS handshake fails: connection refused.\n\nSince 2026-01-04 23:58 UTC, for 2 minutes.\n\nWhere: monitor/imap",
          "themeColor": "e01e5a",
          "title": "[CRITICAL] IMAP is down"
        }
        Content-Type: application/json

        {
          "@context": "https://schema.org/extensions",
          "@type": "MessageCard",
          "potentialAction": [
            {
              "@type": "OpenUri",
              "name": "Run book",
              "targets": [
                {
                  "os": "default",
                  "uri": "https://bell.example.org/runbooks/imap-down"
                }
              ]
            },
            {
              "@type": "OpenUri",
              "name": "Alarm",
              "targets": [
                {
                  "os": "default",
                  "uri": "https://bell.example.org/alarms/monitor/imap"
                }
              ]
            }
          ],
          "summary": "RESOLVED: IMAP is down (after 12 minutes)",
          "text": "The TLS handshake fails: connection refused.\n\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\n\nWhere: monitor/imap",
          "themeColor": "2eb67d",
          "title": "RESOLVED: IMAP is down (after 12 minutes)"
        }
        --- mattermost
        Content-Type: application/json

        {
          "attachments": [
            {
              "color": "#e01e5a",
              "fallback": "[CRITICAL] IMAP is down",
              "text": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)",
              "title": "[CRITICAL] IMAP is down",
              "title_link": "https://bell.example.org/runbooks/imap-down"
            }
          ]
        }
        Content-Type: application/json

        {
          "attachments": [
            {
              "color": "#2eb67d",
              "fallback": "RESOLVED: IMAP is down (after 12 minutes)",
              "text": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)",
              "title": "RESOLVED: IMAP is down (after 12 minutes)",
              "title_link": "https://bell.example.org/runbooks/imap-down"
            }
          ]
        }
        --- rocketchat
        Content-Type: application/json

        {
          "attachments": [
            {
              "color": "#e01e5a",
              "text": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)",
              "title": "[CRITICAL] IMAP is down",
              "title_link": "https://bell.example.org/runbooks/imap-down"
            }
          ],
          "channel": "#alerts",
          "text": "🚨 [CRITICAL] IMAP is down"
        }
        Content-Type: application/json

        {
          "attachments": [
            {
              "color": "#2eb67d",
              "text": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)",
              "title": "RESOLVED: IMAP is down (after 12 minutes)",
              "title_link": "https://bell.example.org/runbooks/imap-down"
            }
          ],
          "channel": "#alerts",
          "text": "✅ RESOLVED: IMAP is down (after 12 minutes)"
        }
        --- webex
        Content-Type: application/json

        {
          "markdown": "🚨 **[CRITICAL] IMAP is down**\n\nThe TLS handshake fails: connection refused.\n\nSince 2026-01-04 23:58 UTC, for 2 minutes.\n\nWhere: monitor/imap\n\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)",
          "roomId": "R"
        }
        Content-Type: application/json

        {
          "markdown": "✅ **RESOLVED: IMAP is down (after 12 minutes)**\n\nThe TLS handshake fails: connection refused.\n\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\n\nWhere: monitor/imap\n\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)",
          "roomId": "R"
        }
        --- wechat
        Content-Type: application/json

        {
          "agentid": "7",
          "msgtype": "text",
          "safe": "0",
          "text": {
            "content": "🚨 [CRITICAL] IMAP is down\nThe TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap"
          },
          "touser": "@all"
        }
        Content-Type: application/json

        {
          "agentid": "7",
          "msgtype": "text",
          "safe": "0",
          "text": {
            "content": "✅ RESOLVED: IMAP is down (after 12 minutes)\nThe TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap"
          },
          "touser": "@all"
        }
        --- matrix
        Content-Type: application/json

        {
          "body": "🚨 [CRITICAL] IMAP is down\nThe TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap",
          "format": "org.matrix.custom.html",
          "formatted_body": "<strong>🚨 [CRITICAL] IMAP is down</strong><br>The TLS handshake fails: connection refused.<br>Since 2026-01-04 23:58 UTC, for 2 minutes.<br>Where: monitor/imap<br><a href=\"https://bell.example.org/runbooks/imap-down\">Run book</a> · <a href=\"https://bell.example.org/alarms/monitor/imap\">Alarm</a>",
          "msgtype": "m.text"
        }
        Content-Type: application/json

        {
          "body": "✅ RESOLVED: IMAP is down (after 12 minutes)\nThe TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap",
          "format": "org.matrix.custom.html",
          "formatted_body": "<strong>✅ RESOLVED: IMAP is down (after 12 minutes)</strong><br>The TLS handshake fails: connection refused.<br>From 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.<br>Where: monitor/imap<br><a href=\"https://bell.example.org/runbooks/imap-down\">Run book</a> · <a href=\"https://bell.example.org/alarms/monitor/imap\">Alarm</a>",
          "msgtype": "m.text"
        }
        --- gotify
        Content-Type: application/json

        {
          "extras": {
            "client::display": {
              "contentType": "text/plain"
            },
            "client::notification": {
              "click": {
                "url": "https://bell.example.org/runbooks/imap-down"
              }
            }
          },
          "message": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap",
          "priority": 8,
          "title": "🚨 [CRITICAL] IMAP is down"
        }
        Content-Type: application/json

        {
          "extras": {
            "client::display": {
              "contentType": "text/plain"
            },
            "client::notification": {
              "click": {
                "url": "https://bell.example.org/runbooks/imap-down"
              }
            }
          },
          "message": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap",
          "priority": 5,
          "title": "✅ RESOLVED: IMAP is down (after 12 minutes)"
        }
        --- webhook
        Content-Type: application/json
        webhook-id: 406eb9ae99724b74d3ac6a2c5c6d3362
        Idempotency-Key: 406eb9ae99724b74d3ac6a2c5c6d3362

        {
          "alerts": [
            {
              "annotations": {
                "description": "The TLS handshake fails: connection refused.",
                "runbook_url": "https://bell.example.org/runbooks/imap-down",
                "summary": "IMAP is down"
              },
              "endsAt": "0001-01-01T00:00:00.000Z",
              "fingerprint": "e8ef4cf09fe3adc4",
              "generatorURL": "https://bell.example.org/alarms/monitor/imap",
              "labels": {
                "alertname": "IMAP",
                "severity": "critical",
                "source": "monitor/imap"
              },
              "startsAt": "2026-01-04T23:58:00.000Z",
              "status": "firing"
            }
          ],
          "commonAnnotations": {
            "description": "The TLS handshake fails: connection refused.",
            "runbook_url": "https://bell.example.org/runbooks/imap-down",
            "summary": "IMAP is down"
          },
          "commonLabels": {
            "alertname": "IMAP",
            "severity": "critical",
            "source": "monitor/imap"
          },
          "externalURL": "https://bell.example.org",
          "groupKey": "{}:{alertname=\"IMAP\"}",
          "groupLabels": {
            "alertname": "IMAP"
          },
          "message": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap",
          "notification_reason": "first notification",
          "receiver": "oncall",
          "routeLabels": {},
          "runbook_url": "https://bell.example.org/runbooks/imap-down",
          "severity": "critical",
          "status": "firing",
          "title": "[CRITICAL] IMAP is down",
          "truncatedAlerts": 0,
          "version": "4"
        }
        Content-Type: application/json
        webhook-id: 811915646e4771b188e32a3719931bb9
        Idempotency-Key: 811915646e4771b188e32a3719931bb9

        {
          "alerts": [
            {
              "annotations": {
                "description": "The TLS handshake fails: connection refused.",
                "runbook_url": "https://bell.example.org/runbooks/imap-down",
                "summary": "IMAP is down"
              },
              "endsAt": "2026-01-05T00:00:00.000Z",
              "fingerprint": "e8ef4cf09fe3adc4",
              "generatorURL": "https://bell.example.org/alarms/monitor/imap",
              "labels": {
                "alertname": "IMAP",
                "severity": "critical",
                "source": "monitor/imap"
              },
              "startsAt": "2026-01-04T23:48:00.000Z",
              "status": "resolved"
            }
          ],
          "commonAnnotations": {
            "description": "The TLS handshake fails: connection refused.",
            "runbook_url": "https://bell.example.org/runbooks/imap-down",
            "summary": "IMAP is down"
          },
          "commonLabels": {
            "alertname": "IMAP",
            "severity": "critical",
            "source": "monitor/imap"
          },
          "externalURL": "https://bell.example.org",
          "groupKey": "{}:{alertname=\"IMAP\"}",
          "groupLabels": {
            "alertname": "IMAP"
          },
          "message": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap",
          "notification_reason": "all alerts resolved",
          "receiver": "oncall",
          "routeLabels": {},
          "runbook_url": "https://bell.example.org/runbooks/imap-down",
          "severity": "critical",
          "status": "resolved",
          "title": "RESOLVED: IMAP is down (after 12 minutes)",
          "truncatedAlerts": 0,
          "version": "4"
        }
        --- incidentio
        Content-Type: application/json
        Idempotency-Key: feeb4dac158fa5ba5a05f517258ac53f

        {
          "alerts": [
            {
              "annotations": {
                "description": "The TLS handshake fails: connection refused.",
                "runbook_url": "https://bell.example.org/runbooks/imap-down",
                "summary": "IMAP is down"
              },
              "endsAt": "0001-01-01T00:00:00.000Z",
              "fingerprint": "e8ef4cf09fe3adc4",
              "generatorURL": "https://bell.example.org/alarms/monitor/imap",
              "labels": {
                "alertname": "IMAP",
                "severity": "critical",
                "source": "monitor/imap"
              },
              "startsAt": "2026-01-04T23:58:00.000Z",
              "status": "firing"
            }
          ],
          "commonAnnotations": {
            "description": "The TLS handshake fails: connection refused.",
            "runbook_url": "https://bell.example.org/runbooks/imap-down",
            "summary": "IMAP is down"
          },
          "commonLabels": {
            "alertname": "IMAP",
            "severity": "critical",
            "source": "monitor/imap"
          },
          "externalURL": "https://bell.example.org",
          "groupKey": "{}:{alertname=\"IMAP\"}",
          "groupLabels": {
            "alertname": "IMAP"
          },
          "message": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap",
          "notification_reason": "first notification",
          "receiver": "oncall",
          "routeLabels": {},
          "runbook_url": "https://bell.example.org/runbooks/imap-down",
          "severity": "critical",
          "status": "firing",
          "title": "[CRITICAL] IMAP is down",
          "truncatedAlerts": 0,
          "version": "1"
        }
        Content-Type: application/json
        Idempotency-Key: 92b4fcb10de95890a411894eef91a31d

        {
          "alerts": [
            {
              "annotations": {
                "description": "The TLS handshake fails: connection refused.",
                "runbook_url": "https://bell.example.org/runbooks/imap-down",
                "summary": "IMAP is down"
              },
              "endsAt": "2026-01-05T00:00:00.000Z",
              "fingerprint": "e8ef4cf09fe3adc4",
              "generatorURL": "https://bell.example.org/alarms/monitor/imap",
              "labels": {
                "alertname": "IMAP",
                "severity": "critical",
                "source": "monitor/imap"
              },
              "startsAt": "2026-01-04T23:48:00.000Z",
              "status": "resolved"
            }
          ],
          "commonAnnotations": {
            "description": "The TLS handshake fails: connection refused.",
            "runbook_url": "https://bell.example.org/runbooks/imap-down",
            "summary": "IMAP is down"
          },
          "commonLabels": {
            "alertname": "IMAP",
            "severity": "critical",
            "source": "monitor/imap"
          },
          "externalURL": "https://bell.example.org",
          "groupKey": "{}:{alertname=\"IMAP\"}",
          "groupLabels": {
            "alertname": "IMAP"
          },
          "message": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap",
          "notification_reason": "all alerts resolved",
          "receiver": "oncall",
          "routeLabels": {},
          "runbook_url": "https://bell.example.org/runbooks/imap-down",
          "severity": "critical",
          "status": "resolved",
          "title": "RESOLVED: IMAP is down (after 12 minutes)",
          "truncatedAlerts": 0,
          "version": "1"
        }
        --- jira
        Content-Type: application/json

        {
          "issue": {
            "fields": {
              "description": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\n\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap",
              "issuetype": {
                "name": "Bug"
              },
              "labels": [
                "ALERT{484047f486449215ce0634e9dde71ecb}"
              ],
              "priority": {
                "name": "High"
              },
              "project": {
                "key": "OPS"
              },
              "summary": "[CRITICAL] IMAP is down"
            }
          },
          "search": "statusCategory != Done and project=\"OPS\" and labels=\"ALERT{484047f486449215ce0634e9dde71ecb}\" order by status ASC,resolutiondate DESC"
        }
        Content-Type: application/json

        {
          "issue": {
            "fields": {
              "description": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\n\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap",
              "issuetype": {
                "name": "Bug"
              },
              "labels": [
                "ALERT{484047f486449215ce0634e9dde71ecb}"
              ],
              "priority": {
                "name": "High"
              },
              "project": {
                "key": "OPS"
              },
              "summary": "RESOLVED: IMAP is down (after 12 minutes)"
            }
          },
          "search": "statusCategory != Done and project=\"OPS\" and labels=\"ALERT{484047f486449215ce0634e9dde71ecb}\" order by status ASC,resolutiondate DESC"
        }
        --- opsgenie
        Content-Type: application/json

        {
          "alias": "484047f486449215ce0634e9dde71ecb",
          "description": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\n\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap",
          "details": {
            "alertname": "IMAP",
            "runbook_url": "https://bell.example.org/runbooks/imap-down",
            "severity": "critical",
            "source": "monitor/imap"
          },
          "message": "[CRITICAL] IMAP is down",
          "priority": "P1",
          "source": "https://bell.example.org/alarms/monitor/imap"
        }
        Content-Type: application/json

        {
          "alias": "484047f486449215ce0634e9dde71ecb",
          "close": {
            "note": "RESOLVED: IMAP is down (after 12 minutes)\nThe TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap",
            "source": "https://bell.example.org/alarms/monitor/imap"
          }
        }
        --- pagerduty
        Content-Type: application/json

        {
          "client": "watchbell",
          "client_url": "https://bell.example.org/alarms/monitor/imap",
          "dedup_key": "484047f486449215ce0634e9dde71ecb",
          "event_action": "trigger",
          "links": [
            {
              "href": "https://bell.example.org/runbooks/imap-down",
              "text": "Run book"
            },
            {
              "href": "https://bell.example.org/alarms/monitor/imap",
              "text": "Alarm"
            }
          ],
          "payload": {
            "custom_details": {
              "num_firing": "1",
              "num_resolved": "0",
              "page": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap",
              "runbook": "https://bell.example.org/runbooks/imap-down"
            },
            "severity": "critical",
            "source": "watchbell",
            "summary": "[CRITICAL] IMAP is down",
            "timestamp": "2026-01-05T00:00:00.000Z"
          }
        }
        Content-Type: application/json

        {
          "client": "watchbell",
          "client_url": "https://bell.example.org/alarms/monitor/imap",
          "dedup_key": "484047f486449215ce0634e9dde71ecb",
          "event_action": "resolve",
          "links": [
            {
              "href": "https://bell.example.org/runbooks/imap-down",
              "text": "Run book"
            },
            {
              "href": "https://bell.example.org/alarms/monitor/imap",
              "text": "Alarm"
            }
          ],
          "payload": {
            "custom_details": {
              "num_firing": "0",
              "num_resolved": "1",
              "page": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap",
              "runbook": "https://bell.example.org/runbooks/imap-down"
            },
            "severity": "critical",
            "source": "watchbell",
            "summary": "RESOLVED: IMAP is down (after 12 minutes)",
            "timestamp": "2026-01-05T00:00:00.000Z"
          }
        }
        --- sns

        {
          "endpoint": "http://there/",
          "fields": [
            [
              "Message",
              "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\n\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap"
            ],
            [
              "TopicArn",
              "arn:aws:sns:eu-west-1:1:t"
            ],
            [
              "Subject",
              "[CRITICAL] IMAP is down"
            ]
          ]
        }

        {
          "endpoint": "http://there/",
          "fields": [
            [
              "Message",
              "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\n\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap"
            ],
            [
              "TopicArn",
              "arn:aws:sns:eu-west-1:1:t"
            ],
            [
              "Subject",
              "RESOLVED: IMAP is down (after 12 minutes)"
            ]
          ]
        }
        --- ping
        Idempotency-Key: 4f85a01834ad29bdf77b22adb5219c37


        --- ntfy-switch
        Content-Type: application/json
        X-Sequence-ID: fd9e1282ece0539a9f9896b5571c4db1
        Idempotency-Key: 9207a81aac8463696524c4993e17acc3

        {
          "delay": "1800s",
          "message": "Nothing has been heard of watchbell at https://bell.example.org since 2026-01-05 00:00 UTC. It may be dead or cut off, and then nobody is told of anything else: look after it.",
          "priority": 5,
          "tags": [
            "skull"
          ],
          "title": "watchbell is silent: home",
          "topic": "alive"
        }
        --- victorops
        Content-Type: application/json
        Routing-Key: team

        {
          "entity_display_name": "[CRITICAL] IMAP is down",
          "entity_id": "484047f486449215ce0634e9dde71ecb",
          "message_type": "CRITICAL",
          "monitoring_tool": "watchbell",
          "state_message": "The TLS handshake fails: connection refused.\nSince 2026-01-04 23:58 UTC, for 2 minutes.\nWhere: monitor/imap\n\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap",
          "vo_annotate.u.Alarm": "https://bell.example.org/alarms/monitor/imap",
          "vo_annotate.u.Run book": "https://bell.example.org/runbooks/imap-down"
        }
        Content-Type: application/json
        Routing-Key: team

        {
          "entity_display_name": "RESOLVED: IMAP is down (after 12 minutes)",
          "entity_id": "484047f486449215ce0634e9dde71ecb",
          "message_type": "RECOVERY",
          "monitoring_tool": "watchbell",
          "state_message": "The TLS handshake fails: connection refused.\nFrom 2026-01-04 23:48 UTC to 2026-01-05 00:00 UTC, 12 minutes.\nWhere: monitor/imap\n\nRun book: https://bell.example.org/runbooks/imap-down\nAlarm: https://bell.example.org/alarms/monitor/imap",
          "vo_annotate.u.Alarm": "https://bell.example.org/alarms/monitor/imap",
          "vo_annotate.u.Run book": "https://bell.example.org/runbooks/imap-down"
        }
    "##]].assert_eq(&out);
}

#[test]
fn a_template_of_ones_own_replaces_the_words_and_never_the_page() {
    let configs = json!([{"name": "oncall", "slack_configs": [{
        "api_url": "http://there/hush",
        "title": "{{ template \"slack.default.title\" . }} at {{ .ExternalURL }}",
        "text": "{{ range .Alerts.Firing }}{{ .Labels.alertname | toUpper }} {{ end }}{{ .CommonLabels.severity }}",
    }], "pushover_configs": [{
        "user_key": "u", "token": "t", "api_url": "http://there/p", "message": "{{ (index .Alerts 7).Labels }}",
    }]}]);
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        let (process, _) = Process::memory(&world, receivers(configs));
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        let seen = there.seen();
        let slack = seen.iter().find(|it| it.line.contains("hush")).unwrap();
        assert!(slack.body.contains("[CRITICAL] imap is down at https://bell.example.org"), "{}", slack.body);
        assert!(slack.body.contains("IMAP critical"), "{}", slack.body);
        let pushover = seen.iter().find(|it| it.line.contains("/p")).unwrap();
        assert!(percent(&pushover.body).contains("The TLS handshake fails"), "{}", pushover.body);
        let troubles = process.troubles().join("\n");
        assert!(troubles.contains("page-template/oncall/pushover"), "{troubles}");
    });
}

#[test]
fn a_wrong_configuration_says_what_would_be_right() {
    let configs = json!([
        {"name": "a", "ntfy_configs": [
            {"topic": "bad topic", "token": "t", "tags": ["a,b"],
             "http_config": {"basic_auth": {"username": "u", "password": "p"}},
             "priorities": {"critical": 9, "warning": 3, "info": 0}, "timeout": "3m", "title": "{{ nosuch }}"}]},
        {"name": "a", "slack_configs": [{"api_url": "hush"}], "webhook_configs": [{"url": "ftp://hush"}],
         "pushover_configs": [{"user_key": "", "token": "t", "message": "{{ if }}"}]},
        {"name": " "},
    ]);
    let mut problems = Problems::new();
    ReceiverConfig::check_all(
        &receivers(configs),
        &Templates::default(),
        &Path::root().field("receivers"),
        &mut problems,
    );
    let lines =
        problems.0.iter().map(|it| format!("{}: {} | {}\n", it.path, it.message, it.hint.as_deref().unwrap_or("")));
    expect![[r#"
        receivers[0].ntfy_configs[0].topic: `bad topic` is not a topic | use up to 64 letters, digits, `-` and `_`
        receivers[0].ntfy_configs[0]: there are other credentials in `http_config` beside `token` | keep one of them
        receivers[0].ntfy_configs[0].tags[0]: `a,b` is not a tag | one word each
        receivers[0].ntfy_configs[0].priorities.critical: 9 is not a priority | it goes from 1 to 5
        receivers[0].ntfy_configs[0].priorities.info: 0 is not a priority | it goes from 1 to 5
        receivers[0].ntfy_configs[0].title: the template is wrong: there is no function `nosuch` (line 1, column 4) | leave it out for words that say what, since when and how many more
        receivers[0].ntfy_configs[0].timeout: a try cannot take 3m | it is at most 2m; `10s` is usual
        receivers[1].pushover_configs[0].user_key: it is empty | take it from a secret: `${secret:name}`
        receivers[1].pushover_configs[0].message: the template is wrong: a value was expected here (line 1, column 4) | leave it out for words that say what, since when and how many more
        receivers[1].slack_configs[0].api_url: this is not a web address | it must start with `https://` or `http://`
        receivers[1].webhook_configs[0].url: this is not a web address | it must start with `https://` or `http://`
        receivers[1].name: the receiver `a` is there twice | give one of them another name, or put their channels into one receiver
        receivers[2].name: a receiver needs a name | routes name it, such as `oncall`
    "#]].assert_eq(&lines.collect::<String>());
}

#[test]
fn a_test_page_goes_through_every_channel_of_a_receiver() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| OK);
        Receiver::at(&world, "broken", |_, _| Answer::Status(403, "", "who are you"));
        let configs = json!([{"name": "oncall",
            "ntfy_configs": [{"url": "http://there", "topic": "t"}],
            "webhook_configs": [{"url": "http://there"}, {"url": "http://broken/hush"}]}]);
        let (process, _) = Process::memory(&world, receivers(configs));
        assert!(process.notify.send_test("nobody").await.is_none());
        let results = process.notify.send_test("oncall").await.unwrap();
        let lines: Vec<String> =
            results.iter().map(|it| format!("{} {} {:?} {}", it.channel, it.accepted, it.status, it.said)).collect();
        assert_eq!(
            lines,
            [
                "oncall/ntfy true Some(200) ok",
                "oncall/webhook true Some(200) ok",
                "oncall/webhook-2 false Some(403) who are you",
            ]
        );
        assert!(process.notify.preview_test("oncall").unwrap()[0].text.contains("This is a test page"));
        process.notify.send_test("oncall").await.unwrap();
        let keys: Vec<String> = there.seen().iter().map(|it| it.header("idempotency-key").to_owned()).collect();
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{keys:?}");
    });
}
