//! Pings in, answers and what is kept out.

use expect_test::{Expect, expect};
use watchbell_model::{Path as Place, Problems, State};
use watchbell_runtime::sim;

use super::*;
use crate::bench::bench;

fn configs(json: serde_json::Value) -> Vec<HeartbeatConfig> {
    serde_json::from_value(json).unwrap()
}

const UUID: &str = "5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f";

async fn pinged(heartbeats: &Heartbeats, address: &str) -> PingAnswer {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    match PingRequest::from_path(path, query) {
        Ok(request) => heartbeats.ping(request.sent("GET", |_| None, [192, 0, 2, 1].into(), b"done".to_vec())).await,
        Err(answer) => answer,
    }
}

#[test]
fn pings_are_answered_and_handed_on() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let heartbeats = Heartbeats::open(bench.context.clone(), Some(Secret::new("key"))).await.unwrap();
        heartbeats
            .apply(&configs(serde_json::json!([
                {"name": "Nightly backup", "uuid": UUID},
                {"name": "a b", "period": "5m"}, {"name": "a-b"}
            ])))
            .await
            .unwrap();
        let mut out = String::new();
        for address in [
            UUID,
            &format!("{UUID}/"),
            &format!("{UUID}/start?rid=AC50D20A-2cf2-46ae-9345-d85ca24843b3"),
            &format!("{UUID}/fail"),
            &format!("{UUID}/log"),
            &format!("{UUID}/0"),
            &format!("{UUID}/255"),
            &format!("{UUID}/256"),
            &format!("{UUID}/start/"),
            &format!("{UUID}/nothing"),
            &format!("{UUID}?rid=1"),
            &UUID.to_uppercase(),
            &UUID.replace('-', ""),
            "00000000-0000-0000-0000-000000000000",
            "key/nightly-backup",
            "key/nightly-backup/7",
            "key/Nightly-backup",
            "key/other",
            "kex/nightly-backup",
            "key/a-b",
            "key/nightly-backup/fail/x",
            "",
        ] {
            let answer = pinged(&heartbeats, address).await;
            let seen = bench.seen();
            let seen: Vec<String> = seen
                .into_iter()
                .map(|it| match it {
                    Observation::Ping(it) => {
                        format!(" {:?} of {} {}", it.kind, it.heartbeat, it.run.unwrap_or_default())
                    }
                    other => format!(" {other:?}"),
                })
                .collect();
            let address = address.replace(UUID, "UUID");
            out += &format!("{address}: {} {}{}\n", answer.status, answer.body, seen.concat().trim_end());
        }
        expect![[r#"
            UUID: 200 OK Success of Nightly backup
            UUID/: 200 OK Success of Nightly backup
            UUID/start?rid=AC50D20A-2cf2-46ae-9345-d85ca24843b3: 200 OK Start of Nightly backup ac50d20a-2cf2-46ae-9345-d85ca24843b3
            UUID/fail: 200 OK Fail of Nightly backup
            UUID/log: 200 OK Log of Nightly backup
            UUID/0: 200 OK Success of Nightly backup
            UUID/255: 200 OK Fail of Nightly backup
            UUID/256: 400 invalid url format
            UUID/start/: 404 not found
            UUID/nothing: 404 not found
            UUID?rid=1: 400 invalid uuid format
            5F1C1D3E-8F4E-4B2A-9D6F-0A1B2C3D4E5F: 404 not found
            5f1c1d3e8f4e4b2a9d6f0a1b2c3d4e5f: 404 not found
            00000000-0000-0000-0000-000000000000: 404 not found
            key/nightly-backup: 200 OK Success of Nightly backup
            key/nightly-backup/7: 200 OK Fail of Nightly backup
            key/Nightly-backup: 400 invalid url format
            key/other: 404 not found
            kex/nightly-backup: 404 not found
            key/a-b: 409 ambiguous slug
            key/nightly-backup/fail/x: 404 not found
            : 404 not found
        "#]]
        .assert_eq(&out);
        assert_eq!(heartbeats.pings("Nightly backup", 100).unwrap().len(), 9);
    });
}

#[test]
fn a_ping_that_is_not_kept_is_not_acknowledged() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let heartbeats = Heartbeats::open(bench.context.clone(), None).await.unwrap();
        heartbeats.apply(&configs(serde_json::json!([{"name": "backup", "uuid": UUID}]))).await.unwrap();
        bench.state.set_broken(true);
        assert_eq!(pinged(&heartbeats, UUID).await, PingAnswer::UNAVAILABLE);
        assert!(heartbeats.pings("backup", 1).unwrap().is_empty());
        bench.state.set_broken(false);
        assert_eq!(pinged(&heartbeats, UUID).await, PingAnswer::OK);
        assert_eq!(heartbeats.pings("backup", 1).unwrap().len(), 1);
        let counted = bench.context.runtime.metrics.render();
        assert!(counted.contains("watchbell_pings_total{outcome=\"failed\"} 1"), "{counted}");
    });
}

#[test]
fn the_log_keeps_the_last_hundred_and_goes_on_after_a_restart() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let set = configs(serde_json::json!([{"name": "backup", "uuid": UUID}, {"name": "backup2"}]));
        for round in 0..2 {
            let heartbeats = Heartbeats::open(bench.context.clone(), None).await.unwrap();
            heartbeats.apply(&set).await.unwrap();
            for n in 0..170 {
                // A commit that fails must not leave an old ping for ever.
                bench.state.set_broken(n % 50 == 20);
                pinged(&heartbeats, UUID).await;
                bench.state.set_broken(false);
            }
            let kept = heartbeats.pings("backup", 1000).unwrap();
            assert_eq!(kept.first().unwrap().n, 170 * (round + 1));
            assert!(heartbeats.pings("backup2", 1000).unwrap().is_empty());
        }
        let heartbeats = Heartbeats::open(bench.context.clone(), None).await.unwrap();
        heartbeats.apply(&set).await.unwrap();
        while pinged(&heartbeats, UUID).await == PingAnswer::OK && heartbeats.pings("backup", 1).unwrap()[0].n < 500 {}
        assert_eq!(bench.state.scan(log::TABLE, "", 1000).unwrap().len() as u64, LOG_MAX);
    });
}

#[test]
fn a_ping_is_kept_as_it_came() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let heartbeats = Heartbeats::open(bench.context, None).await.unwrap();
        heartbeats.apply(&configs(serde_json::json!([{"name": "backup", "uuid": UUID}]))).await.unwrap();
        let mut body = b"Hello \xe9 World".to_vec();
        body.resize(BODY_MAX + 5, b'x');
        let agent = "a".repeat(300);
        let header = |name: &str| match name {
            "user-agent" => Some(agent.as_str()),
            "x-forwarded-for" => Some("::ffff:1.1.1.1, 2.2.2.2"),
            "x-forwarded-proto" => Some("https"),
            _ => None,
        };
        let request = PingRequest::from_path(&format!("{UUID}/3"), "").unwrap();
        heartbeats.ping(request.sent("POST", header, [192, 0, 2, 1].into(), body.clone())).await;
        let kept = heartbeats.pings("backup", 1).unwrap().remove(0);
        assert_eq!(kept.body, body[..BODY_MAX]);
        assert_eq!(kept.user_agent.len(), 200);
        let PingRecord { n, at, kind, exit_status, method, scheme, remote, .. } = kept;
        expect![[r#"1 2026-01-05T00:00:00.000Z Fail Some(3) POST https 1.1.1.1"#]]
            .assert_eq(&format!("{n} {at} {kind:?} {exit_status:?} {method} {scheme} {remote}"));
    });
}

#[test]
fn addresses_that_were_made_up_stay() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let set = configs(serde_json::json!([{"name": "backup"}]));
        let heartbeats = Heartbeats::open(bench.context.clone(), None).await.unwrap();
        heartbeats.apply(&set).await.unwrap();
        let (first, key) = (heartbeats.all(), heartbeats.ping_key());
        assert!(request::is_uuid(&first[0].uuid) && !key.is_empty());
        assert_eq!(pinged(&heartbeats, &format!("{}/backup", key.expose())).await, PingAnswer::OK);
        heartbeats.apply(&[]).await.unwrap();
        assert_eq!(pinged(&heartbeats, &first[0].uuid).await, PingAnswer::NOT_FOUND);
        let heartbeats = Heartbeats::open(bench.context.clone(), None).await.unwrap();
        heartbeats.apply(&set).await.unwrap();
        let again: Vec<String> = heartbeats.all().into_iter().map(|it| it.uuid).collect();
        assert_eq!((again, heartbeats.ping_key()), (vec![first[0].uuid.clone()], key));
        heartbeats.set_ping_key(Some(Secret::new("mine"))).await.unwrap();
        assert_eq!(pinged(&heartbeats, "mine/backup").await, PingAnswer::OK);
    });
}

fn problems(json: serde_json::Value, expect: Expect) {
    let mut problems = Problems::new();
    HeartbeatConfig::check_all(&configs(json), &Place::root().field("heartbeats"), &mut problems);
    let mut out = String::new();
    for problem in &problems.0 {
        out += &format!("{:?} {}: {}\n", problem.level, problem.path, problem.message);
        out += &format!("    {}\n", problem.hint.as_deref().expect("every problem says what would be right"));
    }
    expect.assert_eq(&out);
}

#[test]
fn every_problem_is_named() {
    problems(serde_json::json!([{"name": "Nightly backup", "runbook": "backup"}]), expect![""]);
    problems(
        serde_json::json!([
            {"name": "a/b", "slug": "A b", "uuid": "x", "period": "59s", "grace": "366d", "labels": {"severity": "x"}},
            {"name": "c", "runbook": "x", "cron": "0 3 * * *", "oncalendar": "daily", "tags": ["a b"], "keywords": {}},
            {"name": "d", "runbook": "x", "timezone": "Europe/Riga", "keywords": {"success": ["a,b"], "start": [" "]}},
            {"name": "…", "runbook": "x", "uuid": UUID.to_uppercase()},
            {"name": "db backup", "runbook": "x", "uuid": UUID},
            {"name": "DB-backup", "runbook": "x"},
            {"name": "db backup", "runbook": "x"}
        ]),
        expect![[r#"
            Error heartbeats[0].name: the name must not contain `/` or a line break
                the alarm is called `heartbeat/<name>`
            Error heartbeats[0].slug: `A b` cannot stand in an address
                lower-case letters, digits, `-` and `_`, such as `a-b`
            Error heartbeats[0].uuid: `x` is not a UUID
                such as `5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f`; leave it out to have one made up
            Error heartbeats[0].period: the period 59s is not between 1m and 1y
                the nearest that can be is `1m`
            Error heartbeats[0].grace: the grace 366d is not between 1m and 1y
                the nearest that can be is `1y`
            Error heartbeats[0].labels.severity: `severity` is set by watchbell
                use the field `severity`
            Error heartbeats[1].cron: there is more than one schedule
                keep one of `period`, `cron` and `oncalendar`
            Error heartbeats[1].tags[0]: `a b` is no tag: it is empty or has a space
                one word, such as `prod`
            Error heartbeats[1].keywords: there are no words, so that no ping counts as a success
                such as `success: [done]`
            Warning heartbeats[2].timezone: it means nothing to a job that reports once a period
                give `cron` or `oncalendar`, or leave it out
            Error heartbeats[2].keywords.success[0]: `a,b` cannot be looked for: it is empty or has a comma
                a word as the job writes it
            Error heartbeats[2].keywords.start[0]: ` ` cannot be looked for: it is empty or has a comma
                a word as the job writes it
            Error heartbeats[3].name: no slug can be made from `…`
                give a `slug` of lower-case letters, digits, `-` and `_`
            Error heartbeats[4].uuid: heartbeats[3] has the same address
                leave it out to have one made up
            Warning heartbeats[5]: the slug `db-backup` is used twice, so pings to it are answered 409
                give this one or heartbeats[4] a `slug` of its own
            Error heartbeats[6].name: there are two heartbeats named `db backup`
                the other one is heartbeats[4]
        "#]],
    );
}

#[test]
fn a_ping_makes_the_heartbeat_that_it_is_for() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let heartbeats = Heartbeats::open(bench.context.clone(), Some(Secret::new("key"))).await.unwrap();
        heartbeats.apply(&configs(serde_json::json!([{"name": "backup"}]))).await.unwrap();
        heartbeats.set_limit(1);
        let mut out = String::new();
        for address in [
            "key/db?create=1",
            "key/db",
            "key/db/start?create=1",
            "key/new?create=0",
            "kex/new?create=1",
            "key/Up?create=1",
            "key/new?create=1&rid=x",
            "key/new?create=1",
            "key/third?create=1",
            "key/backup?create=1",
            "5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f?create=1",
        ] {
            let answer = pinged(&heartbeats, address).await;
            let seen: Vec<&str> = bench
                .seen()
                .iter()
                .map(|it| match it {
                    Observation::Expected(_) => " makes",
                    Observation::Ping(_) => " pings",
                    _ => " else",
                })
                .collect();
            out += &format!("{address}: {} {}{}\n", answer.status, answer.body, seen.concat());
        }
        expect![[r#"
            key/db?create=1: 201 Created makes pings
            key/db: 200 OK pings
            key/db/start?create=1: 200 OK pings
            key/new?create=0: 404 not found
            kex/new?create=1: 404 not found
            key/Up?create=1: 400 invalid url format
            key/new?create=1&rid=x: 400 invalid uuid format makes
            key/new?create=1: 200 OK pings
            key/third?create=1: 404 not found
            key/backup?create=1: 200 OK pings
            5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f?create=1: 404 not found
        "#]]
        .assert_eq(&out);
        // What was made is there after a restart, and is judged again.
        let again = Heartbeats::open(bench.context.clone(), Some(Secret::new("key"))).await.unwrap();
        again.apply(&[]).await.unwrap();
        let names = |all: Vec<Known>| {
            all.into_iter().map(|it| format!("{} {}", it.definition.name, it.pings)).collect::<Vec<_>>()
        };
        assert_eq!(names(again.all()), ["db 3", "new 1"]);
        assert_eq!(again.made(&[]).len(), 2);
        // A configuration may take one over by its address.
        let uuid = again.all()[0].uuid.clone();
        let taken = configs(serde_json::json!([{"name": "database", "uuid": uuid}]));
        again.apply(&taken).await.unwrap();
        assert_eq!(again.made(&taken).len(), 1);
        assert_eq!(names(again.all()), ["database 0", "new 1"]);
    });
}

#[test]
fn what_cannot_be_kept_is_not_made() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let heartbeats = Heartbeats::open(bench.context.clone(), Some(Secret::new("key"))).await.unwrap();
        let known = heartbeats.make(Definition { name: "kept".into(), ..Definition::default() }).await.unwrap();
        bench.state.set_broken(true);
        assert_eq!(pinged(&heartbeats, "key/db?create=1").await, PingAnswer::UNAVAILABLE);
        assert!(matches!(heartbeats.make(Definition::default()).await, Err(ChangeError::State(_))));
        assert!(matches!(heartbeats.delete(&known.uuid).await, Err(ChangeError::State(_))));
        let renamed = Definition { name: "renamed".into(), ..Definition::default() };
        assert!(matches!(heartbeats.change(&known.uuid, renamed).await, Err(ChangeError::State(_))));
        assert_eq!(heartbeats.all(), [known]);
    });
}

#[test]
fn a_made_heartbeat_is_changed_paused_and_taken_away_with_its_pings() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        let heartbeats = Heartbeats::open(bench.context.clone(), None).await.unwrap();
        heartbeats.apply(&configs(serde_json::json!([{"name": "file", "uuid": UUID}]))).await.unwrap();
        let manual = Definition { manual_resume: true, ..Definition::default() };
        let made = heartbeats.make(manual.clone()).await.unwrap();
        bench.seen();
        heartbeats.pause(&made.uuid).await.unwrap();
        pinged(&heartbeats, &made.uuid).await;
        heartbeats.change(&made.uuid, Definition { name: "b".into(), ..manual }).await.unwrap();
        // It stays paused over a restart.
        let heartbeats = Heartbeats::open(bench.context.clone(), None).await.unwrap();
        heartbeats.apply(&configs(serde_json::json!([{"name": "file", "uuid": UUID}]))).await.unwrap();
        pinged(&heartbeats, &made.uuid).await;
        heartbeats.resume(&made.uuid).await.unwrap();
        pinged(&heartbeats, &made.uuid).await;
        let kinds: Vec<_> = heartbeats.pings(&made.id, 9).unwrap().into_iter().rev().map(|it| it.kind).collect();
        assert_eq!(kinds, [PingKind::Ignored, PingKind::Ignored, PingKind::Success]);
        // Without it the next ping sets it going again, also for the next start.
        heartbeats.pause(UUID).await.unwrap();
        pinged(&heartbeats, UUID).await;
        let kept = bench.state.get(ADDRESSES, "file").unwrap().unwrap();
        assert!(!serde_json::from_slice::<Kept>(&kept).unwrap().paused);
        assert!(matches!(heartbeats.delete(UUID).await, Err(ChangeError::Configured)));
        assert!(matches!(heartbeats.delete("none").await, Err(ChangeError::Unknown)));
        heartbeats.delete(&made.uuid).await.unwrap();
        assert_eq!(pinged(&heartbeats, &made.uuid).await, PingAnswer::NOT_FOUND);
        assert!(heartbeats.pings(&made.id, 9).unwrap().is_empty());
        let told = |it: &Observation| format!("{it:?}").split_once('(').unwrap().0.to_owned();
        let told: Vec<_> = bench.seen().iter().map(told).collect();
        assert_eq!(told.join(" "), "Paused Ping Expected Ping Resumed Ping Paused Ping Dismissed");
    });
}

#[test]
fn words_and_methods_say_what_a_ping_means() {
    let ping = |definition: &Definition, method: &str, body: &str| {
        let request = PingRequest::from_path(UUID, "").unwrap();
        definition.kind_of(&request.sent(method, |_| None, [192, 0, 2, 1].into(), body))
    };
    let post = Definition { post_only: true, ..Definition::default() };
    assert_eq!(ping(&post, "GET", ""), PingKind::Ignored);
    assert_eq!(ping(&post, "POST", ""), PingKind::Success);
    let words = Definition {
        start_keywords: "begin".into(),
        success_keywords: "done, complete".into(),
        failure_keywords: "ERROR".into(),
        filter_http_body: true,
        ..Definition::default()
    };
    assert_eq!(ping(&words, "POST", "done, but with an ERROR"), PingKind::Fail);
    assert_eq!(ping(&words, "POST", "complete; begin again"), PingKind::Success);
    assert_eq!(ping(&words, "POST", "begin"), PingKind::Start);
    assert_eq!(ping(&words, "POST", "Done"), PingKind::Ignored);
    let strict = Definition { filter_default_fail: true, ..words };
    assert_eq!(ping(&strict, "POST", "Done"), PingKind::Fail);
}
