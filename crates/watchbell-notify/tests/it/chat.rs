//! Chats: what follows what in a group, providers' own ways to say no, and what is wrong with a configuration.

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use watchbell_model::{GroupNotification, Path, Problems};
use watchbell_notify::{ChannelDefaults, ReceiverConfig, Templates};
use watchbell_runtime::sim;

use crate::world::{Answer, Process, Receiver, Seen, alert, firing, group, minutes, receivers, resolved};

fn one(kind: &str, config: &Value) -> Vec<ReceiverConfig> {
    receivers(json!([{"name": "oncall", (format!("{kind}_configs")): [config]}]))
}

/// What a request says in short: the line, what it goes by, and its first words.
fn short(seen: &Seen) -> String {
    let body: Value = serde_json::from_str(&seen.body).unwrap_or_default();
    let words = ["/text", "/content", "/embeds/0/title", "/markdown", "/body", "/title", "/text/content", "/message"];
    let words = words.iter().find_map(|at| body.pointer(at)?.as_str()).unwrap_or_default();
    let by = [
        "channel",
        "ts",
        "message_thread_id",
        "thread_ts",
        "chat_id",
        "reply_parameters",
        "parse_mode",
        "roomId",
        "msgId",
        "tmid",
        "parentId",
        "m.relates_to",
        "allowed_mentions",
        "email",
        "call",
    ];
    let by = by.iter().filter(|name| !body[**name].is_null()).map(|name| format!(" {name}={}", body[*name]));
    let line = seen.line.trim_end_matches(" HTTP/1.1");
    format!("{line}{}: {}\n", by.collect::<String>(), words.lines().next().unwrap_or_default())
}

/// A group fires, is told of again with one alert more, and is over; the answers are given in order, the last for ever.
fn sequence(kind: &str, config: Value, answers: &[Answer], expected: Expect) {
    let (receivers, answers) = (one(kind, &config), answers.to_vec());
    let text = sim::run(1, |world| async move {
        let there =
            Receiver::at(&world, "there", move |number, _| answers.get(number).or(answers.last()).cloned().unwrap());
        let (process, _) = Process::memory(&world, receivers);
        let now = world.clock.now();
        let more = group("imap", 2, vec![alert("imap", "critical", now), alert("smtp", "warning", now)], now);
        let mut over = resolved("imap", now);
        over.sequence = 3;
        for group in [firing("imap", now), more, over] {
            process.deliver(group).await;
            assert!(process.settle(minutes(5)).await);
        }
        // What comes after is a new problem, and a new message.
        let mut again = firing("imap", now);
        again.sequence = 4;
        process.deliver(again).await;
        assert!(process.settle(minutes(5)).await);
        assert_eq!(process.troubles(), Vec::<String>::new());
        there.seen().iter().map(short).collect::<String>()
    });
    expected.assert_eq(&text);
}

const fn yes(body: &'static str) -> Answer {
    Answer::Status(200, "", body)
}

#[test]
fn a_slack_app_edits_the_first_message_and_adds_to_its_thread() {
    let config = json!({"app_token": "xoxb-1", "app_url": "http://there/api/chat.postMessage", "channel": "#a"});
    let answers =
        &[yes(r#"{"ok": true, "channel": "C1", "ts": "1.5"}"#), yes(r#"{"ok": true, "channel": "C1", "ts": "9.9"}"#)];
    sequence(
        "slack",
        config,
        answers,
        expect![[r##"
        POST /api/chat.postMessage channel="#a": [CRITICAL] imap is down
        POST /api/chat.update channel="C1" ts="1.5": [CRITICAL] imap is down (+1 more)
        POST /api/chat.postMessage channel="C1" thread_ts="1.5": [CRITICAL] imap is down (+1 more)
        POST /api/chat.update channel="C1" ts="1.5": RESOLVED: imap is down (after 12 minutes)
        POST /api/chat.postMessage channel="C1" thread_ts="1.5": RESOLVED: imap is down (after 12 minutes)
        POST /api/chat.postMessage channel="#a": [CRITICAL] imap is down
    "##]],
    );
}

#[test]
fn a_new_episode_after_an_end_that_told_nobody_is_a_new_message() {
    let answers =
        [yes(r#"{"ok": true, "channel": "C1", "ts": "1.1"}"#), yes(r#"{"ok": true, "channel": "C1", "ts": "2.2"}"#)];
    let slack = json!({"app_token": "x", "app_url": "http://there/api/chat.postMessage", "channel": "#a"});
    let receivers = one("slack", &slack);
    let lines = sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", move |number, _| answers[number.min(1)].clone());
        let (process, _) = Process::memory(&world, receivers);
        let now = world.clock.now();
        // The end of the first is muted, so that no page tells of it.
        let again = GroupNotification { sequence: 2, ..firing("imap", now) };
        let more = group("imap", 3, vec![alert("imap", "critical", now), alert("smtp", "warning", now)], now);
        for group in [firing("imap", now), again, more] {
            process.deliver(group).await;
            assert!(process.settle(minutes(5)).await);
        }
        there.seen().iter().map(|seen| short(seen).split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(
        lines,
        [
            r##"POST /api/chat.postMessage channel="#a""##,
            r##"POST /api/chat.postMessage channel="#a""##,
            r#"POST /api/chat.update channel="C1" ts="2.2""#,
            r#"POST /api/chat.postMessage channel="C1" thread_ts="2.2""#,
        ]
    );
}

#[test]
fn a_slack_message_that_is_gone_does_not_cost_the_page() {
    let config = json!({"app_token": "xoxb-1", "app_url": "http://there/api/chat.postMessage", "channel": "#a"});
    let answers = &[
        yes(r#"{"ok": true, "channel": "C1", "ts": "1.5"}"#),
        yes(r#"{"ok": false, "error": "message_not_found"}"#),
        yes(r#"{"ok": true, "channel": "C1", "ts": "2.5"}"#),
    ];
    sequence(
        "slack",
        config,
        answers,
        expect![[r##"
        POST /api/chat.postMessage channel="#a": [CRITICAL] imap is down
        POST /api/chat.update channel="C1" ts="1.5": [CRITICAL] imap is down (+1 more)
        POST /api/chat.postMessage channel="#a": [CRITICAL] imap is down (+1 more)
        POST /api/chat.update channel="C1" ts="2.5": RESOLVED: imap is down (after 12 minutes)
        POST /api/chat.postMessage channel="C1" thread_ts="2.5": RESOLVED: imap is down (after 12 minutes)
        POST /api/chat.postMessage channel="#a": [CRITICAL] imap is down
    "##]],
    );
}

#[test]
fn a_slack_look_alike_that_may_not_edit_gets_the_thread_alone() {
    let config = json!({"app_token": "xoxb-1", "app_url": "http://there/post", "channel": "#a"});
    let answers = &[
        yes(r#"{"ok": true, "channel": "C1", "ts": "1.5"}"#),
        Answer::Status(429, "Retry-After: 30", ""),
        yes(r#"{"ok": true, "channel": "C1", "ts": "9.9"}"#),
    ];
    sequence(
        "slack",
        config,
        answers,
        expect![[r##"
        POST /post channel="#a": [CRITICAL] imap is down
        POST /post channel="C1" thread_ts="1.5": [CRITICAL] imap is down (+1 more)
        POST /post channel="C1" thread_ts="1.5": [CRITICAL] imap is down (+1 more)
        POST /post channel="C1" thread_ts="1.5": RESOLVED: imap is down (after 12 minutes)
        POST /post channel="#a": [CRITICAL] imap is down
    "##]],
    );
}

#[test]
fn a_slack_app_may_be_told_to_post_each_page_by_itself() {
    let config = json!({"app_token": "xoxb-1", "app_url": "http://there/api/chat.postMessage", "channel": "#a",
        "update_message": false});
    sequence(
        "slack",
        config,
        &[yes(r#"{"ok": true, "channel": "C1", "ts": "1.5"}"#)],
        expect![[r##"
        POST /api/chat.postMessage channel="#a": [CRITICAL] imap is down
        POST /api/chat.postMessage channel="#a": [CRITICAL] imap is down (+1 more)
        POST /api/chat.postMessage channel="#a": RESOLVED: imap is down (after 12 minutes)
        POST /api/chat.postMessage channel="#a": [CRITICAL] imap is down
    "##]],
    );
}

#[test]
fn telegram_answers_the_first_message() {
    let config = json!({"api_url": "http://there/", "bot_token": "123:abc", "chat_id": -5, "message_thread_id": 3});
    sequence(
        "telegram",
        config,
        &[yes(r#"{"ok": true, "result": {"message_id": 7}}"#)],
        expect![[r#"
            POST /bot123:abc/sendMessage message_thread_id=3 chat_id=-5 parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down</b>
            POST /bot123:abc/sendMessage message_thread_id=3 chat_id=-5 reply_parameters={"allow_sending_without_reply":true,"message_id":7} parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down (+1 more)</b>
            POST /bot123:abc/sendMessage message_thread_id=3 chat_id=-5 reply_parameters={"allow_sending_without_reply":true,"message_id":7} parse_mode="HTML": ✅ <b>RESOLVED: imap is down (after 12 minutes)</b>
            POST /bot123:abc/sendMessage message_thread_id=3 chat_id=-5 parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down</b>
        "#]],
    );
}

#[test]
fn telegram_follows_a_group_that_moved_and_waits_as_long_as_it_is_told() {
    let config = json!({"api_url": "http://there", "bot_token": "123:abc", "chat_id": -5});
    let answers = &[
        Answer::Status(
            400,
            "",
            r#"{"ok": false, "description": "Bad Request: group chat was upgraded", "parameters": {"migrate_to_chat_id": -100}}"#,
        ),
        yes(r#"{"ok": true, "result": {"message_id": 7}}"#),
        Answer::Status(429, "", r#"{"ok": false, "error_code": 429, "parameters": {"retry_after": 40}}"#),
        yes(r#"{"ok": true, "result": {"message_id": 8}}"#),
    ];
    sequence(
        "telegram",
        config,
        answers,
        expect![[r#"
        POST /bot123:abc/sendMessage chat_id=-5 parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down</b>
        POST /bot123:abc/sendMessage chat_id=-100 parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down</b>
        POST /bot123:abc/sendMessage chat_id=-5 reply_parameters={"allow_sending_without_reply":true,"message_id":7} parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down (+1 more)</b>
        POST /bot123:abc/sendMessage chat_id=-5 reply_parameters={"allow_sending_without_reply":true,"message_id":7} parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down (+1 more)</b>
        POST /bot123:abc/sendMessage chat_id=-5 reply_parameters={"allow_sending_without_reply":true,"message_id":7} parse_mode="HTML": ✅ <b>RESOLVED: imap is down (after 12 minutes)</b>
        POST /bot123:abc/sendMessage chat_id=-5 parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down</b>
    "#]],
    );
}

#[test]
fn telegram_says_in_plain_words_what_it_cannot_read() {
    let config = json!({"api_url": "http://there", "bot_token": "123:abc", "chat_id": -5,
        "message": "<b>{{ .Title }}</b> 1 < 2 &amp; <i>more"});
    let answers = &[
        Answer::Status(400, "", r#"{"ok": false, "description": "Bad Request: can't parse entities: unclosed"}"#),
        yes(r#"{"ok": true, "result": {"message_id": 7}}"#),
    ];
    sequence(
        "telegram",
        config,
        answers,
        expect![[r#"
        POST /bot123:abc/sendMessage chat_id=-5 parse_mode="HTML": <b>[CRITICAL] imap is down</b> 1 < 2 &amp; <i>more
        POST /bot123:abc/sendMessage chat_id=-5: [CRITICAL] imap is down 1 < 2 & more
        POST /bot123:abc/sendMessage chat_id=-5 reply_parameters={"allow_sending_without_reply":true,"message_id":7} parse_mode="HTML": <b>[CRITICAL] imap is down (+1 more)</b> 1 < 2 &amp; <i>more
        POST /bot123:abc/sendMessage chat_id=-5 reply_parameters={"allow_sending_without_reply":true,"message_id":7} parse_mode="HTML": <b>RESOLVED: imap is down (after 12 minutes)</b> 1 < 2 &amp; <i>more
        POST /bot123:abc/sendMessage chat_id=-5 parse_mode="HTML": <b>[CRITICAL] imap is down</b> 1 < 2 &amp; <i>more
    "#]],
    );
}

#[test]
fn telegram_marks_up_the_links_as_the_template_is_and_drops_marks_that_a_cut_would_break() {
    let written = |mode: &str, message: &str| {
        let config = json!({"bot_token": "1:a", "chat_id": 1, "parse_mode": mode, "message": message});
        let receivers = one("telegram", &config);
        let text = sim::run(1, |world| async move {
            let (process, _) = Process::memory(&world, receivers);
            process.notify.preview("oncall", &firing("imap", world.clock.now())).unwrap()[0].text.clone()
        });
        let body: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
        (body["text"].as_str().unwrap().to_owned(), body["parse_mode"].clone())
    };
    let (text, mode) = written("MarkdownV2", "*{{ .CommonLabels.alertname }}*");
    assert_eq!(mode, "MarkdownV2");
    assert!(text.starts_with("*imap*\n\nRun book: https://bell\\.example\\.org/runbooks/imap\\-down\n"), "{text}");
    let (text, mode) = written("", "a_b");
    assert_eq!((mode, text.starts_with("a_b\n\nRun book: https://bell.example.org/")), (Value::Null, true));
    let (text, mode) = written("HTML", &format!("<b>{}</b> &amp; <i>end</i>", "<u>ü</u>🚒".repeat(2000)));
    assert_eq!((mode, text.encode_utf16().count()), (Value::Null, 4096));
    assert!(text.starts_with("ü🚒ü") && text.contains('…') && text.ends_with("/alarms/monitor/imap"), "{text}");
    let (text, mode) = written("HTML", "<b>{{ .Title | html }}</b>");
    assert_eq!((mode, text.starts_with("<b>[CRITICAL] imap is down</b>\n\nRun book: ")), (json!("HTML"), true));
}

#[test]
fn telegram_writes_to_the_group_where_the_topic_is_gone() {
    let config = json!({"api_url": "http://there", "bot_token": "123:abc", "chat_id": -5, "message_thread_id": 3});
    let answers = &[
        Answer::Status(400, "", r#"{"ok": false, "description": "Bad Request: message thread not found"}"#),
        yes(r#"{"ok": true, "result": {"message_id": 7}}"#),
    ];
    sequence(
        "telegram",
        config,
        answers,
        expect![[r#"
        POST /bot123:abc/sendMessage message_thread_id=3 chat_id=-5 parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down</b>
        POST /bot123:abc/sendMessage chat_id=-5 parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down</b>
        POST /bot123:abc/sendMessage message_thread_id=3 chat_id=-5 reply_parameters={"allow_sending_without_reply":true,"message_id":7} parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down (+1 more)</b>
        POST /bot123:abc/sendMessage message_thread_id=3 chat_id=-5 reply_parameters={"allow_sending_without_reply":true,"message_id":7} parse_mode="HTML": ✅ <b>RESOLVED: imap is down (after 12 minutes)</b>
        POST /bot123:abc/sendMessage message_thread_id=3 chat_id=-5 parse_mode="HTML": 🚨 <b>[CRITICAL] imap is down</b>
    "#]],
    );
}

#[test]
fn discord_edits_the_first_message_and_rings_with_a_line() {
    let config = json!({"webhook_url": "http://there/api/webhooks/1/t?thread_id=5", "content": "@here"});
    sequence(
        "discord",
        config,
        &[yes(r#"{"id": "77"}"#)],
        expect![[r#"
            POST /api/webhooks/1/t?thread_id=5&wait=true: @here
            PATCH /api/webhooks/1/t/messages/77?thread_id=5: @here
            POST /api/webhooks/1/t?thread_id=5&wait=true allowed_mentions={"parse":[]}: [CRITICAL] imap is down (+1 more)
            PATCH /api/webhooks/1/t/messages/77?thread_id=5: @here
            POST /api/webhooks/1/t?thread_id=5&wait=true allowed_mentions={"parse":[]}: RESOLVED: imap is down (after 12 minutes)
            POST /api/webhooks/1/t?thread_id=5&wait=true: @here
        "#]],
    );
}

#[test]
fn discord_says_in_the_body_how_long_to_wait() {
    for (status, body, waits) in [(429, r#"{"retry_after": 63.2, "global": false}"#, 64), (429, "{}", 1), (503, "", 1)]
    {
        let receivers = one("discord", &json!({"webhook_url": "http://there/api/webhooks/1/t"}));
        sim::run(1, |world| async move {
            let there = Receiver::at(&world, "there", move |number, _| match number {
                0 => Answer::Status(status, "", body),
                _ => yes(r#"{"id": "77"}"#),
            });
            let (process, _) = Process::memory(&world, receivers);
            process.deliver(firing("imap", world.clock.now())).await;
            assert!(process.settle(minutes(5)).await);
            let seen = there.seen();
            let waited = seen[1].at.since(seen[0].at).as_secs_f64();
            assert!((waited - f64::from(waits)).abs() < 1.0, "{body}: {waited}");
        });
    }
}

#[test]
fn rocketchat_edits_the_line_and_adds_to_the_thread() {
    let config = json!({"api_url": "http://there", "token": "t", "token_id": "u", "channel": "#a"});
    sequence(
        "rocketchat",
        config,
        &[yes(r#"{"success": true, "message": {"rid": "R", "_id": "M"}}"#)],
        expect![[r##"
            POST /api/v1/chat.postMessage channel="#a": 🚨 [CRITICAL] imap is down
            POST /api/v1/chat.update roomId="R" msgId="M": 🚨 [CRITICAL] imap is down (+1 more)
            POST /api/v1/chat.postMessage roomId="R" tmid="M": 🚨 [CRITICAL] imap is down (+1 more)
            POST /api/v1/chat.update roomId="R" msgId="M": ✅ RESOLVED: imap is down (after 12 minutes)
            POST /api/v1/chat.postMessage roomId="R" tmid="M": ✅ RESOLVED: imap is down (after 12 minutes)
            POST /api/v1/chat.postMessage channel="#a": 🚨 [CRITICAL] imap is down
        "##]],
    );
}

#[test]
fn webex_answers_the_first_message_and_edits_it_at_the_end() {
    let config = json!({"api_url": "http://there/v1/messages", "room_id": "R",
        "http_config": {"authorization": {"credentials": "hush"}}});
    sequence(
        "webex",
        config,
        &[yes(r#"{"id": "m/1"}"#)],
        expect![[r#"
            POST /v1/messages roomId="R": 🚨 **[CRITICAL] imap is down**
            POST /v1/messages roomId="R" parentId="m/1": 🚨 **[CRITICAL] imap is down (+1 more)**
            PUT /v1/messages/m%2F1 roomId="R": ✅ **RESOLVED: imap is down (after 12 minutes)**
            POST /v1/messages roomId="R" parentId="m/1": ✅ **RESOLVED: imap is down (after 12 minutes)**
            POST /v1/messages roomId="R": 🚨 **[CRITICAL] imap is down**
        "#]],
    );
}

#[test]
fn matrix_edits_the_first_message_and_adds_to_its_thread() {
    let config = json!({"homeserver_url": "http://there", "access_token": "t", "room_id": "!r:there"});
    let answers = &[yes(r#"{"event_id": "$1"}"#), yes(r#"{"event_id": "$2"}"#)];
    sequence(
        "matrix",
        config,
        answers,
        expect![[r#"
        PUT /_matrix/client/v3/rooms/%21r%3Athere/send/m.room.message/087930f8e48aa10315f4d7289af741bc: 🚨 [CRITICAL] imap is down
        PUT /_matrix/client/v3/rooms/%21r%3Athere/send/m.room.message/556d97d197e307791d8d86045f90c9e2-edit m.relates_to={"event_id":"$1","rel_type":"m.replace"}: * 🚨 [CRITICAL] imap is down (+1 more)
        PUT /_matrix/client/v3/rooms/%21r%3Athere/send/m.room.message/556d97d197e307791d8d86045f90c9e2-thread m.relates_to={"event_id":"$1","is_falling_back":true,"m.in_reply_to":{"event_id":"$1"},"rel_type":"m.thread"}: 🚨 [CRITICAL] imap is down (+1 more)
        PUT /_matrix/client/v3/rooms/%21r%3Athere/send/m.room.message/9e3d17ee6db254d5f19a7384b5aff76d-edit m.relates_to={"event_id":"$1","rel_type":"m.replace"}: * ✅ RESOLVED: imap is down (after 12 minutes)
        PUT /_matrix/client/v3/rooms/%21r%3Athere/send/m.room.message/9e3d17ee6db254d5f19a7384b5aff76d-thread m.relates_to={"event_id":"$1","is_falling_back":true,"m.in_reply_to":{"event_id":"$1"},"rel_type":"m.thread"}: ✅ RESOLVED: imap is down (after 12 minutes)
        PUT /_matrix/client/v3/rooms/%21r%3Athere/send/m.room.message/8e93cd85137facd9d15da011dfa5919a: 🚨 [CRITICAL] imap is down
    "#]],
    );
}

#[test]
fn matrix_gets_a_page_that_is_tried_again_under_the_same_transaction() {
    let receivers =
        one("matrix", &json!({"homeserver_url": "http://there", "access_token": "t", "room_id": "!r:there"}));
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |number, _| match number {
            0 => Answer::Status(429, "", r#"{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 12500}"#),
            _ => yes(r#"{"event_id": "$1"}"#),
        });
        let (process, _) = Process::memory(&world, receivers);
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        let seen = there.seen();
        assert_eq!((seen.len(), &seen[0].line), (2, &seen[1].line));
        assert_eq!(seen[1].at.since(seen[0].at).as_secs(), 13);
        assert_eq!(seen[0].header("authorization"), "Bearer t");
    });
}

#[test]
fn wechat_fetches_a_token_for_each_try() {
    let config = json!({"api_url": "http://there/cgi-bin/", "corp_id": "c&d", "api_secret": "s/1"});
    let answers = &[
        yes(r#"{"errcode": 0, "access_token": "tok"}"#),
        yes(r#"{"errcode": 42001, "errmsg": "access_token expired"}"#),
        yes(r#"{"errcode": 0, "errmsg": "ok", "access_token": "tok/2"}"#),
    ];
    sequence(
        "wechat",
        config,
        answers,
        expect![[r#"
        GET /cgi-bin/gettoken?corpid=c%26d&corpsecret=s%2F1: 
        POST /cgi-bin/message/send?access_token=tok: 🚨 [CRITICAL] imap is down
        GET /cgi-bin/gettoken?corpid=c%26d&corpsecret=s%2F1: 
        POST /cgi-bin/message/send?access_token=tok%2F2: 🚨 [CRITICAL] imap is down
        GET /cgi-bin/gettoken?corpid=c%26d&corpsecret=s%2F1: 
        POST /cgi-bin/message/send?access_token=tok%2F2: 🚨 [CRITICAL] imap is down (+1 more)
        GET /cgi-bin/gettoken?corpid=c%26d&corpsecret=s%2F1: 
        POST /cgi-bin/message/send?access_token=tok%2F2: ✅ RESOLVED: imap is down (after 12 minutes)
        GET /cgi-bin/gettoken?corpid=c%26d&corpsecret=s%2F1: 
        POST /cgi-bin/message/send?access_token=tok%2F2: 🚨 [CRITICAL] imap is down
    "#]],
    );
}

#[test]
fn ntfy_clears_what_is_shown_so_that_the_next_page_rings() {
    let config = json!({"url": "http://there", "topic": "t", "token": "tk", "email": "me@example.org", "call": "yes"});
    sequence(
        "ntfy",
        config,
        &[yes(r#"{"id": "1", "sequence_id": "abc"}"#)],
        expect![[r#"
        POST / email="me@example.org" call="yes": [CRITICAL] imap is down
        PUT /t/abc/clear: 
        POST / email="me@example.org" call="yes": [CRITICAL] imap is down (+1 more)
        PUT /t/abc/clear: 
        POST / email="me@example.org": RESOLVED: imap is down (after 12 minutes)
        POST / email="me@example.org" call="yes": [CRITICAL] imap is down
    "#]],
    );
}

#[test]
fn ntfy_pushes_where_it_cannot_clear() {
    let config = json!({"url": "http://there", "topic": "t"});
    let answers = &[yes(r#"{"id": "1", "sequence_id": "abc"}"#), Answer::Status(500, "", ""), yes(r#"{"id": "1"}"#)];
    sequence(
        "ntfy",
        config,
        answers,
        expect![[r#"
        POST /: [CRITICAL] imap is down
        PUT /t/abc/clear: 
        POST /: [CRITICAL] imap is down (+1 more)
        PUT /t/abc/clear: 
        POST /: RESOLVED: imap is down (after 12 minutes)
        POST /: [CRITICAL] imap is down
    "#]],
    );
}

#[test]
fn ntfy_pushes_where_it_cannot_call() {
    let config = json!({"url": "http://there", "topic": "t", "email": "me@example.org", "call": "+49301234567"});
    let answers = &[
        Answer::Status(429, "", r#"{"code": 42910, "error": "limit reached: too many calls"}"#),
        yes(r#"{"id": "1"}"#),
    ];
    sequence(
        "ntfy",
        config,
        answers,
        expect![[r#"
        POST / email="me@example.org" call="+49301234567": [CRITICAL] imap is down
        POST /: [CRITICAL] imap is down
        POST / email="me@example.org" call="+49301234567": [CRITICAL] imap is down (+1 more)
        POST / email="me@example.org": RESOLVED: imap is down (after 12 minutes)
        POST / email="me@example.org" call="+49301234567": [CRITICAL] imap is down
    "#]],
    );
}

#[test]
fn ntfy_gets_what_a_json_body_may_hold() {
    let receivers = one(
        "ntfy",
        &json!({"url": "http://there", "topic": "t", "icon": "https://example.org/i.png",
        "attach": "https://example.org/map.png", "delay": "10m", "markdown": true,
        "message": "{{ range .Alerts }}{{ .Annotations.description }}{{ end }}"}),
    );
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| yes(r#"{"id": "1"}"#));
        let (process, _) = Process::memory(&world, receivers);
        let now = world.clock.now();
        let mut quoted = alert("imap", "warning", now);
        quoted.annotations = quoted.annotations.with("description", &"\"\n".repeat(4000));
        process.deliver(group("imap", 1, vec![quoted], now)).await;
        assert!(process.settle(minutes(1)).await);
        let seen = there.seen().remove(0);
        assert!(seen.body.len() <= 8192 && seen.body.len() > 7000, "{}", seen.body.len());
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        assert_eq!((&body["delay"], &body["markdown"]), (&json!("600s"), &json!(true)));
        assert_eq!(body["icon"], "https://example.org/i.png");
        assert_eq!(body["attach"], "https://example.org/map.png");
    });
}

/// What one answer of status 200 comes to: how many tries there were, and whether the page was given up.
fn answered(kind: &str, config: &Value, body: &'static str) -> String {
    let receivers = one(kind, config);
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", move |_, seen| match seen.line.contains("/gettoken?") {
            true => yes(r#"{"errcode": 0, "access_token": "tok"}"#),
            false => yes(body),
        });
        let (process, _) = Process::memory(&world, receivers);
        process.deliver(firing("imap", world.clock.now())).await;
        process.settle(minutes(1)).await;
        let tries = there.seen().iter().filter(|seen| !seen.line.contains("/gettoken?")).count();
        match (tries, process.troubles().len()) {
            (1, 0) => "accepted".into(),
            (1, 1) => "refused".into(),
            (2.., 0) => "tried again".into(),
            other => format!("{other:?}"),
        }
    })
}

#[test]
fn what_comes_with_status_200_is_read() {
    let slack = json!({"app_token": "x", "app_url": "http://there/api/chat.postMessage", "channel": "#a"});
    let hook = json!({"webhook_url": "http://there/hook"});
    let rocket = json!({"api_url": "http://there", "token": "t", "token_id": "u"});
    let wechat = json!({"api_url": "http://there", "corp_id": "c", "api_secret": "s"});
    let telegram = json!({"api_url": "http://there", "bot_token": "1:a", "chat_id": 1});
    let webex =
        json!({"api_url": "http://there", "room_id": "R", "http_config": {"authorization": {"credentials": "t"}}});
    let matrix = json!({"homeserver_url": "http://there", "access_token": "t", "room_id": "!r:there"});
    let portal = "<html>Please sign in to this network</html>";
    let mut out = String::new();
    for (kind, config, body) in [
        ("slack", &slack, r#"{"ok": true, "channel": "C", "ts": "1"}"#),
        ("slack", &slack, r#"{"ok": false, "error": "channel_not_found"}"#),
        ("slack", &slack, r#"{"ok": false, "error": "ratelimited"}"#),
        ("slack", &slack, portal),
        ("discord", &hook, portal),
        ("msteams", &hook, "1"),
        (
            "msteams",
            &hook,
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x",
        ),
        (
            "msteams",
            &hook,
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 403 with ContextId x",
        ),
        ("mattermost", &hook, "ok"),
        ("rocketchat", &rocket, r#"{"success": false, "error": "error-invalid-channel"}"#),
        ("rocketchat", &rocket, r#"{"success": false, "error": "Error, too-many-requests"}"#),
        ("rocketchat", &rocket, portal),
        ("wechat", &wechat, r#"{"errcode": 40014, "errmsg": "invalid access_token"}"#),
        ("wechat", &wechat, r#"{"errcode": 81013, "errmsg": "user & party & tag all invalid"}"#),
        ("wechat", &wechat, portal),
        ("telegram", &telegram, r#"{"ok": false, "description": "chat not found"}"#),
        ("telegram", &telegram, portal),
        ("webex", &webex, portal),
        ("matrix", &matrix, portal),
    ] {
        let end = body.rsplit("HTTP ").next().unwrap();
        out.push_str(&format!("{kind} {end}: {}\n", answered(kind, config, body)));
    }
    expect![[r#"
        slack {"ok": true, "channel": "C", "ts": "1"}: accepted
        slack {"ok": false, "error": "channel_not_found"}: refused
        slack {"ok": false, "error": "ratelimited"}: tried again
        slack <html>Please sign in to this network</html>: tried again
        discord <html>Please sign in to this network</html>: tried again
        msteams 1: accepted
        msteams error 429 with ContextId x: tried again
        msteams error 403 with ContextId x: refused
        mattermost ok: accepted
        rocketchat {"success": false, "error": "error-invalid-channel"}: refused
        rocketchat {"success": false, "error": "Error, too-many-requests"}: tried again
        rocketchat <html>Please sign in to this network</html>: tried again
        wechat {"errcode": 40014, "errmsg": "invalid access_token"}: tried again
        wechat {"errcode": 81013, "errmsg": "user & party & tag all invalid"}: refused
        wechat <html>Please sign in to this network</html>: tried again
        telegram {"ok": false, "description": "chat not found"}: refused
        telegram <html>Please sign in to this network</html>: tried again
        webex <html>Please sign in to this network</html>: tried again
        matrix <html>Please sign in to this network</html>: tried again
    "#]]
    .assert_eq(&out);
}

#[test]
fn all_of_alertmanagers_fields_reach_slack_and_its_kin() {
    let t = "{{ .CommonLabels.alertname }}";
    let field =
        json!([{"title": format!("t {t}"), "value": format!("v {t}")}, {"title": "b", "value": "c", "short": true}]);
    let slack = json!({"api_url": "http://there/x", "channel": format!("#{t}"), "username": "u", "color": "danger",
        "title": "T", "title_link": "http://l", "pretext": "p", "text": "*x*", "message_text": "m", "fields": field,
        "short_fields": false, "footer": "f", "fallback": "fb", "callback_id": "cb", "icon_emoji": ":x:",
        "icon_url": "http://i", "image_url": "http://im", "thumb_url": "http://th", "link_names": true,
        "mrkdwn_in": ["text"], "actions": [
            {"type": "button", "text": "open", "url": "http://o", "style": "danger", "name": "dropped"},
            {"type": "button", "text": "ask", "name": "n", "value": "v", "confirm": {"text": "sure?", "ok_text": "yes"}}],
        "timeout": "0s"});
    let mattermost = json!({"webhook_url": "http://there/x", "channel": "c", "username": "u", "text": "x", "fallback": "fb",
        "color": "#fff", "pretext": "p", "author_name": "a", "author_link": "http://al", "author_icon": "http://ai",
        "title": "T", "title_link": "http://l", "fields": field, "thumb_url": "http://th", "footer": "f",
        "footer_icon": "http://fi", "image_url": "http://im", "icon_url": "http://i", "icon_emoji": ":x:",
        "type": "custom_x", "props": {"card": "side"},
        "priority": {"priority": "Urgent", "requested_ack": true, "persistent_notifications": true}});
    let attached =
        json!({"webhook_url": "http://there/x", "attachments": [{"title": "A", "text": t, "fields": field}]});
    let rocketchat = json!({"api_url": "http://there", "token": "t", "token_id": "u", "channel": "#c", "color": "red",
        "title": "T", "title_link": "http://l", "text": "x", "fields": field, "short_fields": true, "emoji": ":x:",
        "icon_url": "http://i", "image_url": "http://im", "thumb_url": "http://th", "link_names": true,
        "actions": [{"type": "button", "text": "open", "url": "http://o", "msg": "hi"}]});
    let mut out = String::new();
    for (kind, config) in
        [("slack", slack), ("mattermost", mattermost), ("mattermost", attached), ("rocketchat", rocketchat)]
    {
        let receivers = one(kind, &config);
        let mut problems = Problems::new();
        ReceiverConfig::check_all(&receivers, &Templates::default(), &Path::root(), &mut problems);
        assert!(problems.0.is_empty(), "{problems:?}");
        let text = sim::run(1, |world| async move {
            let (process, _) = Process::memory(&world, receivers);
            process.notify.preview("oncall", &firing("imap", world.clock.now())).unwrap()[0].text.clone()
        });
        out.push_str(&format!("--- {kind}\n{text}"));
    }
    expect![[r##"
        --- slack
        Content-Type: application/json

        {
          "attachments": [
            {
              "actions": [
                {
                  "style": "danger",
                  "text": "open",
                  "type": "button",
                  "url": "http://o"
                },
                {
                  "confirm": {
                    "ok_text": "yes",
                    "text": "sure?"
                  },
                  "name": "n",
                  "text": "ask",
                  "type": "button",
                  "value": "v"
                }
              ],
              "callback_id": "cb",
              "color": "danger",
              "fallback": "fb",
              "fields": [
                {
                  "short": false,
                  "title": "t imap",
                  "value": "v imap"
                },
                {
                  "short": true,
                  "title": "b",
                  "value": "c"
                }
              ],
              "footer": "f",
              "image_url": "http://im",
              "mrkdwn_in": [
                "text"
              ],
              "pretext": "p",
              "text": "*x*\n<https://bell.example.org/runbooks/imap-down|Run book> · <https://bell.example.org/alarms/monitor/imap|Alarm>",
              "thumb_url": "http://th",
              "title": "T",
              "title_link": "http://l",
              "ts": 1767571200
            }
          ],
          "channel": "#imap",
          "icon_emoji": ":x:",
          "icon_url": "http://i",
          "link_names": true,
          "text": "m",
          "username": "u"
        }
        --- mattermost
        Content-Type: application/json

        {
          "attachments": [
            {
              "author_icon": "http://ai",
              "author_link": "http://al",
              "author_name": "a",
              "color": "#fff",
              "fallback": "fb",
              "fields": [
                {
                  "short": false,
                  "title": "t imap",
                  "value": "v imap"
                },
                {
                  "short": true,
                  "title": "b",
                  "value": "c"
                }
              ],
              "footer": "f",
              "footer_icon": "http://fi",
              "image_url": "http://im",
              "pretext": "p",
              "text": "x\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)",
              "thumb_url": "http://th",
              "title": "T",
              "title_link": "http://l"
            }
          ],
          "channel": "c",
          "icon_emoji": ":x:",
          "icon_url": "http://i",
          "priority": {
            "persistent_notifications": true,
            "priority": "urgent",
            "requested_ack": true
          },
          "props": {
            "card": "side"
          },
          "type": "custom_x",
          "username": "u"
        }
        --- mattermost
        Content-Type: application/json

        {
          "attachments": [
            {
              "fields": [
                {
                  "short": false,
                  "title": "t imap",
                  "value": "v imap"
                },
                {
                  "short": true,
                  "title": "b",
                  "value": "c"
                }
              ],
              "text": "imap",
              "title": "A"
            }
          ],
          "text": "[CRITICAL] imap is down\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)"
        }
        --- rocketchat
        Content-Type: application/json

        {
          "attachments": [
            {
              "actions": [
                {
                  "is_webview": false,
                  "msg": "hi",
                  "msg_in_chat_window": false,
                  "text": "open",
                  "type": "button",
                  "url": "http://o"
                }
              ],
              "color": "red",
              "fields": [
                {
                  "short": true,
                  "title": "t imap",
                  "value": "v imap"
                },
                {
                  "short": true,
                  "title": "b",
                  "value": "c"
                }
              ],
              "image_url": "http://im",
              "text": "x\n[Run book](https://bell.example.org/runbooks/imap-down) · [Alarm](https://bell.example.org/alarms/monitor/imap)",
              "thumb_url": "http://th",
              "title": "T",
              "title_link": "http://l"
            }
          ],
          "avatar": "http://i",
          "channel": "#c",
          "emoji": ":x:",
          "parseUrls": true,
          "text": "🚨 T"
        }
    "##]].assert_eq(&out);
}

#[test]
fn alertmanagers_default_templates_may_be_called() {
    let names = [
        "slack.default.title",
        "slack.default.username",
        "slack.default.fallback",
        "slack.default.callbackid",
        "slack.default.pretext",
        "slack.default.titlelink",
        "slack.default.iconemoji",
        "slack.default.iconurl",
        "slack.default.text",
        "slack.default.footer",
        "slack.default.color",
        "telegram.default.message",
        "discord.default.content",
        "discord.default.title",
        "discord.default.message",
        "msteams.default.summary",
        "msteams.default.title",
        "msteams.default.text",
        "msteamsv2.default.title",
        "msteamsv2.default.text",
        "mattermost.default.color",
        "mattermost.default.username",
        "mattermost.default.title",
        "mattermost.default.titlelink",
        "mattermost.default.fallback",
        "mattermost.default.text",
        "rocketchat.default.title",
        "rocketchat.default.alias",
        "rocketchat.default.titlelink",
        "rocketchat.default.emoji",
        "rocketchat.default.iconurl",
        "rocketchat.default.text",
        "webex.default.message",
        "wechat.default.message",
        "wechat.default.to_user",
        "wechat.default.to_party",
        "wechat.default.to_tag",
        "wechat.default.agent_id",
        "__alertmanager",
        "__alertmanagerURL",
        "__subject",
    ];
    let text: String = names.iter().map(|name| format!("{name}: {{{{ template \"{name}\" . }}}}\n")).collect();
    let receivers = one("telegram", &json!({"bot_token": "1:a", "chat_id": 1, "message": text}));
    let body = sim::run(1, |world| async move {
        let (process, _) = Process::memory(&world, receivers);
        process.notify.preview("oncall", &firing("imap", world.clock.now())).unwrap()[0].text.clone()
    });
    assert!(!body.contains("parse_mode\": \"\""), "{body}");
    for name in names {
        assert!(body.contains(name), "{name}: {body}");
    }
    assert!(body.contains("slack.default.color: danger"), "{body}");
}

fn problems(receivers: &[ReceiverConfig]) -> String {
    let mut problems = Problems::new();
    ReceiverConfig::check_all(receivers, &Templates::default(), &Path::root(), &mut problems);
    let line = |path: &dyn std::fmt::Display, message: &str, hint: Option<&str>| {
        format!("{path}: {message} | {}\n", hint.unwrap_or(""))
    };
    problems.0.iter().map(|it| line(&it.path, &it.message, it.hint.as_deref())).collect()
}

#[test]
fn a_wrong_chat_says_what_would_be_right() {
    let receivers = receivers(json!([{"name": "a",
        "slack_configs": [
            {}, {"api_url": "x", "api_url_file": "y"}, {"api_url": "x", "update_message": true},
            {"app_token": "x", "api_url": "http://y", "http_config": {"authorization": {"credentials": "z"}}},
            {"api_url": "http://y", "fields": [{"title": "a"}], "color": "{{ nosuch }}",
             "actions": [{"type": "button"}, {"text": "a", "type": "button", "name": "n", "confirm": {}}]}],
        "telegram_configs": [
            {}, {"bot_token": "t", "chat_id": 1, "chat_id_file": "f", "parse_mode": "html", "message": "{{ if }}"}],
        "discord_configs": [{}, {"webhook_url": "x"}],
        "msteamsv2_configs": [{}], "msteams_configs": [{}],
        "mattermost_configs": [{}, {"webhook_url": "http://x", "webhook_url_file": "y", "fields": [{}]}],
        "rocketchat_configs": [{}, {"token": "a", "token_file": "b", "token_id": "c", "actions": [{"msg": "{{"}]}],
        "webex_configs": [{}],
        "wechat_configs": [{"message_type": "html"}],
        "matrix_configs": [{"homeserver_url": "http://x", "room_id": "#room:x"}],
        "gotify_configs": [{"url": "http://x", "priorities": {"critical": 11, "warning": 0, "info": 0}}],
        "ntfy_configs": [{"topic": "t", "call": "me", "email": "me", "delay": "1s"}],
    }]));
    expect![[r#"
        [0].discord_configs[0]: the field `webhook_url` is missing | a channel's settings have it under `Integrations`
        [0].discord_configs[1].webhook_url: this is not a web address | it must start with `https://` or `http://`
        [0].gotify_configs[0]: the field `token` is missing | make an application on the server; it shows the token
        [0].gotify_configs[0].priorities.critical: 11 is not a priority | it goes from 0 to 10
        [0].matrix_configs[0]: the field `access_token` is missing | log in as the user who is to write, and take the token of that session
        [0].matrix_configs[0].room_id: `#room:x` is not a room's id | it begins with `!`; a room's settings show it under `Advanced`
        [0].mattermost_configs[0]: the field `webhook_url` is missing | the server shows it under `Integrations`; it can stand in `global.mattermost_webhook_url` too
        [0].mattermost_configs[1]: there are both `webhook_url` and `webhook_url_file` | at most one of them is needed
        [0].mattermost_configs[1].fields[0]: the field `title` is missing | a field has a title and a value
        [0].mattermost_configs[1].fields[0]: the field `value` is missing | a field has a title and a value
        [0].msteams_configs[0]: the field `webhook_url` is missing | Microsoft switches connectors off: make a workflow and use `msteamsv2_configs`
        [0].msteamsv2_configs[0]: the field `webhook_url` is missing | make a workflow in Teams that posts to a channel when a webhook request is received; it shows one
        [0].ntfy_configs[0].call: `me` is not a telephone number | write it as `+49301234567`, or `yes` for the account's own
        [0].ntfy_configs[0].email: `me` is not an e-mail address | such as `me@example.org`
        [0].ntfy_configs[0].delay: a page cannot be held back for 1s | from 10s to 3d
        [0].rocketchat_configs[0]: the field `token` is missing | a user's account page gives a personal access token with its user id; both can stand in `global`
        [0].rocketchat_configs[0]: the field `token_id` is missing | a user's account page gives a personal access token with its user id; both can stand in `global`
        [0].rocketchat_configs[1]: there are both `token` and `token_file` | at most one of them is needed
        [0].rocketchat_configs[1].actions[0].msg: the template is wrong: the action is not closed with `}}` (line 1, column 1) | leave it out for words that say what, since when and how many more
        [0].slack_configs[0]: the field `api_url` is missing | give the address of an incoming webhook, or an app's token as `app_token`; both can stand in `global`
        [0].slack_configs[1]: there are both `api_url` and `api_url_file` | at most one of them is needed
        [0].slack_configs[1].api_url: this is not a web address | it must start with `https://` or `http://`
        [0].slack_configs[2].api_url: this is not a web address | it must start with `https://` or `http://`
        [0].slack_configs[2].update_message: a webhook cannot edit messages | use an app: give `app_token` and `channel` in place of `api_url`
        [0].slack_configs[3]: there are both `app_token` and `api_url` | keep the token for an app, the address for an incoming webhook
        [0].slack_configs[3]: there are other credentials in `http_config` beside `app_token` | keep one of them
        [0].slack_configs[3]: the field `channel` is missing | an app posts to a channel, such as `#alerts`
        [0].slack_configs[4].color: the template is wrong: there is no function `nosuch` (line 1, column 4) | leave it out for words that say what, since when and how many more
        [0].slack_configs[4].fields[0]: the field `value` is missing | a field has a title and a value
        [0].slack_configs[4].actions[0]: the field `text` is missing | a button needs `type: button`, a `text` and a `url`
        [0].slack_configs[4].actions[0]: the button does nothing | give it a `url`, or a `name` for an app that answers
        [0].slack_configs[4].actions[1].confirm: the field `text` is missing | say what is asked
        [0].telegram_configs[0]: the field `bot_token` is missing | @BotFather gives one; it can stand in `global.telegram_bot_token` too
        [0].telegram_configs[0]: the field `chat_id` is missing | `getUpdates` of the Bot API shows it once somebody wrote to the bot
        [0].telegram_configs[1]: there are both `chat_id` and `chat_id_file` | at most one of them is needed
        [0].telegram_configs[1].parse_mode: `html` is not a way to mark up | it is `HTML`, `MarkdownV2`, `Markdown` or empty
        [0].telegram_configs[1].message: the template is wrong: a value was expected here (line 1, column 4) | leave it out for words that say what, since when and how many more
        [0].webex_configs[0]: the field `room_id` is missing | the API's `/v1/rooms` lists a bot's rooms
        [0].webex_configs[0]: the bot's token is missing | give it as `http_config: {authorization: {credentials: "${secret:name}"}}`
        [0].wechat_configs[0]: the field `api_secret` is missing | the application's page shows it; it can stand in `global.wechat_api_secret` too
        [0].wechat_configs[0]: the field `corp_id` is missing | it is the company's id; it can stand in `global.wechat_api_corp_id` too
        [0].wechat_configs[0].message_type: `html` is not a type of message | it is `text` or `markdown`
    "#]].assert_eq(&problems(&receivers));
}

#[test]
fn what_is_said_for_all_is_taken_over() {
    let complete = |global: Value, kind: &str, config: Value| {
        let defaults: ChannelDefaults = serde_json::from_value(global).unwrap();
        let mut wrong = Problems::new();
        defaults.check(&Path::root().field("global"), &mut wrong);
        let mut receivers = one(kind, &config);
        receivers[0].complete(&defaults, std::path::Path::new("/etc"));
        format!("{}{}", wrong.0.iter().map(|it| format!("{}\n", it.message)).collect::<String>(), problems(&receivers))
    };
    for (global, kind) in [
        (json!({"slack_api_url": "http://x"}), "slack"),
        (json!({"slack_api_url_file": "f"}), "slack"),
        (json!({"slack_app_token": "t"}), "slack"),
        (json!({"slack_app_token": "t", "slack_api_url": "https://slack.com/api/chat.postMessage"}), "slack"),
        (json!({"mattermost_webhook_url": "http://x"}), "mattermost"),
        (json!({"rocketchat_token": "t", "rocketchat_token_id_file": "f"}), "rocketchat"),
        (json!({"wechat_api_secret": "t", "wechat_api_corp_id": "c"}), "wechat"),
    ] {
        let config = if kind == "slack" { json!({"channel": "#a"}) } else { json!({}) };
        assert_eq!(complete(global.clone(), kind, config), "", "{global}");
    }
    assert_eq!(complete(json!({"telegram_bot_token": "t"}), "telegram", json!({"chat_id": 1})), "");
    // A channel's own words come first, and its own credentials keep the app's token away.
    let both = json!({"slack_app_token": "t", "slack_api_url": "https://slack.com/api/chat.postMessage"});
    let own = json!({"channel": "#a", "http_config": {"authorization": {"credentials": "xoxb-own"}}});
    assert_eq!(complete(both, "slack", own), "");
    let two = json!({"slack_app_token": "t", "slack_api_url": "https://hooks.slack.com/services/x"});
    assert_eq!(
        complete(two, "slack", json!({"channel": "#a"})),
        "there are both `slack_app_token` and `slack_api_url`\n"
    );
}

#[test]
fn secrets_are_read_from_files_at_each_try() {
    let config = json!({"api_url": "http://there", "bot_token_file": "/etc/bot", "chat_id_file": "/etc/chat"});
    let receivers = one("telegram", &config);
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| yes(r#"{"ok": true, "result": {"message_id": 7}}"#));
        let (process, _) = Process::memory(&world, receivers);
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(!process.settle(minutes(1)).await);
        assert_eq!(there.count(), 0);
        let disk = &process.runtime.disk;
        disk.write_atomic(std::path::Path::new("/etc/chat"), b"-42\n").unwrap();
        disk.write_atomic(std::path::Path::new("/etc/bot"), b"123:abc\n").unwrap();
        assert!(process.settle(minutes(10)).await);
        assert_eq!(there.count(), 1);
        let seen = there.seen().remove(0);
        assert!(seen.line.starts_with("POST /bot123:abc/sendMessage") && seen.body.contains(r#""chat_id":-42"#));
    });
}
