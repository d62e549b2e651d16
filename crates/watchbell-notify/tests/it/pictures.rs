//! Pictures of graphs: they go with pages, and never cost one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use expect_test::expect;
use serde_json::json;
use watchbell_model::{BoxFuture, Draw, MemoryState, Picture, State, Subject};
use watchbell_notify::{ReceiverConfig, Site};
use watchbell_runtime::Clock;
use watchbell_runtime::sim::{self, World};

use crate::channels::{TAKEN, all, is_page};
use crate::mail::{Server, email};
use crate::world::{Answer, Process, Receiver, Seen, config, firing, minutes, receivers, resolved};

/// What stands for a picture: as long as one has to be for its size to be read.
const PICTURE: &str = "PNG of the graph, which is as good as one";

/// Draws after a while, or never.
struct Drawer {
    clock: Clock,
    takes: Option<Duration>,
    drawn: AtomicUsize,
}

impl Draw for Drawer {
    fn has_graph(&self, subject: &Subject) -> bool {
        subject.alarm().is_some()
    }

    fn draw<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Option<Picture>> {
        Box::pin(async move {
            self.drawn.fetch_add(1, Ordering::Relaxed);
            assert_eq!(subject.title, "imap is down");
            self.clock.sleep(self.takes?).await;
            Some(Arc::new(PICTURE.as_bytes().to_vec()))
        })
    }
}

fn draws(process: &Process, world: &World, takes: Option<Duration>) -> Arc<Drawer> {
    let drawer = Arc::new(Drawer { clock: world.clock.clone(), takes, drawn: AtomicUsize::new(0) });
    process.notify.draw_with(Arc::clone(&drawer) as Arc<dyn Draw>);
    drawer
}

/// Those of the suite that show a picture, with the option where it is needed.
fn with_pictures() -> Vec<(&'static str, Vec<ReceiverConfig>)> {
    let mut kinds: Vec<_> = all()
        .into_iter()
        .filter(|(kind, _)| ["ntfy", "pushover", "telegram", "discord", "matrix"].contains(kind))
        .collect();
    let app = json!({
        "app_token": "xoxb-hush", "app_url": "http://there/api/chat.postMessage", "channel": "#a", "picture": true,
    });
    kinds.push(("slack-app", receivers(json!([{"name": "oncall", "slack_configs": [app]}]))));
    kinds
}

/// Whether a request brings a picture, or what belongs to one that goes after its page.
fn has_picture(seen: &Seen) -> bool {
    let encoded = "UE5HIG9mIHRoZSBncmFwaCwgd2hpY2ggaXMgYXMgZ29vZCBhcyBvbmU";
    let after = ["/media/v3/upload", "-picture", "files.", "/sendPhoto"];
    seen.body.contains(PICTURE) || seen.body.contains(encoded) || after.iter().any(|it| seen.line.contains(it))
}

#[test]
fn a_page_arrives_once_with_its_picture() {
    for (kind, receivers) in with_pictures() {
        sim::run(1, |world| async move {
            let there = Receiver::at(&world, "there", |_, seen| match seen.line.as_str() {
                line if line.contains("getUploadURL") => {
                    Answer::Status(200, "", r#"{"ok": true, "upload_url": "http://there/up/1", "file_id": "F1"}"#)
                }
                line if line.contains("/media/") => Answer::Status(200, "", r#"{"content_uri": "mxc://there/p"}"#),
                line if line.contains("/up/1") => Answer::Status(200, "", "OK - 41"),
                _ => TAKEN,
            });
            let (process, state) = Process::memory(&world, receivers);
            draws(&process, &world, Some(Duration::from_millis(20)));
            let group = firing("imap", world.clock.now());
            process.deliver(group.clone()).await;
            process.deliver(group).await;
            let rows = state.scan("notify.outbox", "", 10).unwrap();
            assert!(rows.iter().all(|(_, row)| row.len() < 8 << 10), "{kind}: the outbox does not keep pictures");
            assert!(process.settle(minutes(1)).await, "{kind}");
            world.clock.sleep(minutes(60)).await;
            let seen = there.seen();
            let pages = seen.iter().filter(|it| it.all().contains("imap is down") || it.all().contains("imap+is+down"));
            assert_eq!(pages.count(), 1, "{kind}");
            let pictures: Vec<&Seen> = seen.iter().filter(|it| has_picture(it)).collect();
            let calls: Vec<&str> = pictures.iter().map(|it| it.line.split(" HTTP").next().unwrap()).collect();
            let wanted: &[&str] = match kind {
                "ntfy" => &["POST /alerts"],
                "pushover" => &["POST /1/messages.json"],
                "discord" => &["POST /api/webhooks/1/hush-hush-hush-hush?wait=true"],
                "telegram" => &["POST /bot123:hush/sendPhoto"],
                "matrix" => &[
                    "POST /_matrix/media/v3/upload?filename=graph.png",
                    "PUT /_matrix/client/v3/rooms/%21room%3Athere/send/m.room.message/2c9d72a2a6a8bdb5ad7d7ffbd1b9fcb1-picture",
                ],
                _ => &["POST /api/files.getUploadURLExternal", "POST /up/1", "POST /api/files.completeUploadExternal"],
            };
            let calls: Vec<String> = calls.iter().map(|it| shortened(it)).collect();
            let wanted: Vec<String> = wanted.iter().map(|it| shortened(it)).collect();
            assert_eq!(calls, wanted, "{kind}");
            let up = seen.iter().find(|it| it.line.contains("/up/1"));
            assert!(up.is_none_or(|up| up.header("authorization").is_empty()), "the token stays with the API");
            let kept = format!("{:?}{:?}", process.notify.deliveries(10).unwrap(), process.notify.channels());
            assert!(!kept.contains("hush"), "{kind}: {kept}");
            assert_eq!(process.troubles(), Vec::<String>::new(), "{kind}");
        });
    }
}

/// A line whose transaction is left out.
fn shortened(line: &str) -> String {
    match line.split_once("m.room.message/") {
        Some((before, after)) => format!("{before}m.room.message/…{}", after.get(32..).unwrap_or_default()),
        None => line.to_owned(),
    }
}

/// The whole suite's channels, each with somebody who draws: whatever becomes of a picture, the page arrives once.
#[test]
fn a_picture_costs_no_channel_a_page() {
    for status in [200, 400, 403, 413, 429, 500, 507] {
        for (kind, receivers) in all().into_iter().chain(with_pictures()) {
            let echo = match kind {
                "ntfy" => "no: tk_hush",
                "pushover" => "no: hush-u and hush-t",
                "discord" => "no: hush-hush-hush-hush",
                "telegram" => "no: 123:hush",
                "slack-app" => "no: xoxb-hush",
                _ => "no",
            };
            sim::run(1, |world| async move {
                // Refuses pictures, and echoes the credentials.
                let there = Receiver::at(&world, "there", move |_, seen| match seen {
                    _ if has_picture(seen) && status != 200 => Answer::Status(status, "Retry-After: 30", echo),
                    _ if has_picture(seen) && !seen.all().contains("imap") => Answer::Status(200, "", "<html>"),
                    _ if seen.line.contains("/search") => Answer::Status(200, "", r#"{"issues": []}"#),
                    _ => TAKEN,
                });
                let (process, _) = Process::memory(&world, receivers);
                draws(&process, &world, Some(Duration::ZERO));
                process.deliver(firing("imap", world.clock.now())).await;
                assert!(process.settle(minutes(5)).await, "{kind} {status}");
                let taken = |seen: &&Seen| {
                    is_page(seen) && (!has_picture(seen) || status == 200 && seen.all().contains("imap"))
                };
                assert_eq!(there.seen().iter().filter(taken).count(), 1, "{kind} {status}");
                assert_eq!(process.troubles(), Vec::<String>::new(), "{kind} {status}");
                let kept = format!("{:?}{:?}", process.notify.deliveries(10).unwrap(), process.notify.channels());
                assert!(!kept.contains("hush"), "{kind} {status}: {kept}");
            });
        }
    }
}

#[test]
fn later_tries_are_the_stored_bytes() {
    for (kind, receivers) in with_pictures() {
        sim::run(1, |world| async move {
            let there = Receiver::at(&world, "there", |number, _| match number {
                0 => Answer::Close,
                1 | 2 => Answer::Status(503, "", ""),
                _ => TAKEN,
            });
            let (process, _) = Process::memory(&world, receivers);
            draws(&process, &world, Some(Duration::ZERO));
            process.deliver(firing("imap", world.clock.now())).await;
            assert!(process.settle(minutes(10)).await, "{kind}");
            world.clock.sleep(minutes(1)).await;
            let seen = there.seen();
            assert_eq!(seen.len(), 4, "{kind}: with a picture goes the first try alone");
            let stored = |at: usize| (&seen[at].line, &seen[at].headers, &seen[at].body);
            assert!(!has_picture(&seen[1]) && stored(1) == stored(2) && stored(2) == stored(3), "{kind}: byte-equal");
        });
    }
}

#[test]
fn a_picture_that_does_not_come_holds_up_no_page() {
    for (kind, receivers) in with_pictures() {
        sim::run(1, |world| async move {
            let there = Receiver::at(&world, "there", |_, _| TAKEN);
            let (process, _) = Process::memory(&world, receivers);
            let drawer = draws(&process, &world, Some(minutes(60)));
            let now = world.clock.now();
            process.deliver(firing("imap", now)).await;
            assert!(process.settle(minutes(1)).await, "{kind}");
            let seen = there.seen();
            let waited = seen[0].at.since(now);
            assert!(
                seen.len() == 1 && !has_picture(&seen[0]) && waited <= Duration::from_secs(4),
                "{kind}: {waited:?}"
            );
            assert_eq!(drawer.drawn.load(Ordering::Relaxed), 1, "{kind}");
        });
    }
}

#[test]
fn after_a_crash_a_page_goes_out_without() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |number, _| if number == 0 { Answer::Hang } else { TAKEN });
        let receivers = || all().remove(0).1;
        let state = Arc::new(MemoryState::new());
        let process = Process::start(&world, Arc::clone(&state) as Arc<dyn State>, config(receivers()));
        draws(&process, &world, Some(Duration::ZERO));
        process.deliver(firing("imap", world.clock.now())).await;
        world.clock.sleep(Duration::from_secs(1)).await;
        process.crash();
        let process = Process::start(&world, state as Arc<dyn State>, config(receivers()));
        let drawer = draws(&process, &world, Some(Duration::ZERO));
        assert!(process.settle(minutes(5)).await);
        let with: Vec<bool> = there.seen().iter().map(has_picture).collect();
        assert_eq!((with, drawer.drawn.load(Ordering::Relaxed)), (vec![true, false], 0));
    });
}

#[test]
fn who_does_not_want_one_gets_none() {
    let off = json!({"url": "http://there", "topic": "alerts", "picture": false});
    let attach = json!({"url": "http://there", "topic": "alerts", "attach": "https://x.example/wiring.png"});
    for ntfy in [off, attach] {
        sim::run(1, |world| async move {
            let there = Receiver::at(&world, "there", |_, _| TAKEN);
            let (process, _) = Process::memory(&world, receivers(json!([{"name": "oncall", "ntfy_configs": [ntfy]}])));
            let drawer = draws(&process, &world, Some(Duration::ZERO));
            process.deliver(firing("imap", world.clock.now())).await;
            assert!(process.settle(minutes(1)).await);
            assert!(!has_picture(&there.seen()[0]) && drawer.drawn.load(Ordering::Relaxed) == 0);
        });
    }
}

#[test]
fn ntfy_is_told_in_headers_what_its_json_says() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| TAKEN);
        let (process, _) = Process::memory(&world, all().remove(0).1);
        draws(&process, &world, Some(Duration::ZERO));
        let mut group = firing("imap", world.clock.now());
        group.alerts[0].annotations = group.alerts[0].annotations.with("description", "Größe\nzu klein");
        process.deliver(group).await;
        assert!(process.settle(minutes(1)).await);
        let seen = there.seen().remove(0);
        let headers = seen.headers.iter().filter(|(name, _)| name != "host" && name != "user-agent");
        let headers: Vec<String> = headers.map(|(name, value)| format!("{name}: {value}")).collect();
        expect![[r#"
            POST /alerts HTTP/1.1
            x-sequence-id: fc5826a750664c649de9aa08c938767e
            idempotency-key: 6d5b2b4b6e27cf838fd7a8688895a5fd
            content-type: image/png
            filename: graph.png
            x-actions: [{"action":"view","label":"Run book","url":"https://bell.example.org/runbooks/imap-down"},{"action":"view","label":"Alarm","url":"https://bell.example.org/alarms/monitor/imap"}]
            x-click: https://bell.example.org/runbooks/imap-down
            x-message: =?UTF-8?B?R3LDtsOfZVxuenUga2xlaW5cblNpbmNlIDIwMjYtMDEtMDQgMjM6NTggVVRDLCBmb3IgMiBtaW51dGVzLlxuV2hlcmU6IG1vbml0b3IvaW1hcA==?=
            x-priority: 5
            x-tags: rotating_light,mail
            x-title: [CRITICAL] imap is down
            authorization: Bearer tk_hush
            connection: close
            content-length: 41

            PNG of the graph, which is as good as one"#]].assert_eq(&format!("{}\n{}\n\n{}", seen.line, headers.join("\n"), seen.body));
    });
}

#[test]
fn discord_shows_it_in_the_embed_and_edits_it() {
    sim::run(1, |world| async move {
        let there = Receiver::at(&world, "there", |_, _| TAKEN);
        let (process, _) = Process::memory(&world, with_pictures().remove(3).1);
        draws(&process, &world, Some(Duration::ZERO));
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        world.clock.sleep(minutes(10)).await;
        process.deliver(resolved("imap", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        let seen = there.seen();
        let lines: Vec<(&str, bool)> =
            seen.iter().map(|it| (it.line.split(' ').next().unwrap(), has_picture(it))).collect();
        assert_eq!(lines, [("POST", true), ("PATCH", true), ("POST", false)]);
        let parts = seen[0].body.replace("\r\n", "\n");
        assert!(
            parts.contains("name=\"files[0]\"; filename=\"graph.png\"\nContent-Type: image/png\n\nPNG of"),
            "{parts}"
        );
        assert!(parts.contains(r#""image":{"url":"attachment://graph.png"}"#), "{parts}");
        assert!(seen[0].header("content-type").starts_with("multipart/form-data; boundary=watchbell-"));
    });
}

#[test]
fn a_mail_shows_it_between_its_words() {
    sim::run(1, |world| async move {
        let server = Server::at(&world, 25, |_, _| None);
        let (process, _) = Process::memory(&world, email(json!({})));
        draws(&process, &world, Some(Duration::ZERO));
        process.deliver(firing("imap", world.clock.now())).await;
        assert!(process.settle(minutes(1)).await);
        let mail = server.mails().remove(0);
        let structure: Vec<&str> = mail
            .lines()
            .filter(|line| {
                let starts = ["Content-", "--", " boundary", " type", "UE5", "<p style", "<h1"];
                starts.iter().any(|start| line.starts_with(start))
            })
            .map(|line| line.get(..60).unwrap_or(line))
            .collect();
        expect![[r#"
            Content-Type: multipart/related;
             boundary="=_picture_a341c5cdef14d839c57196924a081599";
             type="multipart/alternative"
            --=_picture_a341c5cdef14d839c57196924a081599
            Content-Type: multipart/alternative;
             boundary="=_watchbell_fc5826a750664c649de9aa08c938767e"
            --=_watchbell_fc5826a750664c649de9aa08c938767e
            Content-Type: text/plain; charset=utf-8
            Content-Transfer-Encoding: quoted-printable
            --=_watchbell_fc5826a750664c649de9aa08c938767e
            Content-Type: text/html; charset=utf-8
            Content-Transfer-Encoding: quoted-printable
            <h1 style=3D"margin:0 0 12px;font-size:20px;line-height:1.3;
            <p style=3D"margin:0 0 16px;overflow-wrap:anywhere">The TLS 
            <p style=3D"margin:0 0 16px"><img src=3D"cid:graph.png" alt=
            <p style=3D"margin:0 0 12px"><a href=3D"https://bell.example
            <p style=3D"margin:0"><a href=3D"https://bell.example.org/al
            <p style=3D"max-width:600px;margin:12px auto;color:#71717a;f
            --=_watchbell_fc5826a750664c649de9aa08c938767e--
            --=_picture_a341c5cdef14d839c57196924a081599
            Content-Type: image/png; name="graph.png"
            Content-Transfer-Encoding: base64
            Content-ID: <graph.png>
            Content-Disposition: inline; filename="graph.png"
            UE5HIG9mIHRoZSBncmFwaCwgd2hpY2ggaXMgYXMgZ29vZCBhcyBvbmU=
            --=_picture_a341c5cdef14d839c57196924a081599--"#]]
        .assert_eq(&structure.join("\n"));
    });
}

#[test]
fn a_link_leads_to_it_where_others_reach_the_site() {
    let linked = |kind: &str, config: serde_json::Value| {
        receivers(json!([{"name": "oncall", (format!("{kind}_configs")): [config]}]))
    };
    let kinds = [
        ("/image_url", linked("webhook", json!({"url": "http://there/", "picture": true}))),
        ("/attachments/0/image_url", linked("slack", json!({"api_url": "http://there/services/x", "picture": true}))),
        (
            "/attachments/0/image_url",
            linked("mattermost", json!({"webhook_url": "http://there/hooks/x", "picture": true})),
        ),
        (
            "/attachments/0/image_url",
            linked(
                "rocketchat",
                json!({"api_url": "http://there", "token": "a", "token_id": "b", "channel": "#a", "picture": true}),
            ),
        ),
        (
            "/attachments/0/content/body/2/url",
            linked("msteamsv2", json!({"webhook_url": "http://there/workflows/x", "picture": true})),
        ),
        (
            "/sections/0/images/0/image",
            linked("msteams", json!({"webhook_url": "http://there/webhook/x", "picture": true})),
        ),
        ("/images/0/src", linked("pagerduty", json!({"url": "http://there/", "routing_key": "k", "picture": true}))),
        ("/description", linked("opsgenie", json!({"api_url": "http://there/", "api_key": "k", "picture": true}))),
    ];
    for (place, receivers) in kinds {
        for (site, is_public) in
            [("https://bell.example.org", true), ("http://127.0.0.1:9800", false), ("http://localhost", false)]
        {
            let receivers = receivers.clone();
            sim::run(1, |world| async move {
                let there = Receiver::at(&world, "there", |_, _| TAKEN);
                let mut with = config(receivers);
                with.site = Site {
                    sign: Some(Arc::new(|path: &str| format!("{path}&sig=S"))),
                    ..Site::new("home", site.parse().unwrap())
                };
                let process = Process::start(&world, Arc::new(MemoryState::new()), with);
                let drawer = draws(&process, &world, Some(Duration::ZERO));
                process.deliver(firing("imap", world.clock.now())).await;
                assert!(process.settle(minutes(1)).await);
                let body: serde_json::Value = serde_json::from_str(&there.seen()[0].body).unwrap();
                let link = body.pointer(place).and_then(|it| it.as_str());
                // Opsgenie has it among words.
                let link =
                    if place == "/description" { link.and_then(|it| it.split("\nGraph: ").nth(1)) } else { link };
                assert_eq!(link.is_some(), is_public, "{place} {site}: {body}");
                if let Some(link) = link {
                    assert!(link.starts_with("https://bell.example.org/i/") && link.contains(".png?until="), "{link}");
                }
                assert_eq!(drawer.drawn.load(Ordering::Relaxed), 0, "whoever opens the link has it drawn");
            });
        }
    }
}
