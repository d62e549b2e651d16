//! Pings in, answers and what is kept out.

use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use watchbell_model::{Path as Place, Problems, State};
use watchbell_runtime::{Disk, sim};

use super::*;
use crate::bench::bench;

/// How many recorded exchanges of Healthchecks are answered alike. It only goes up.
const RECORDED_CASES: usize = 62;

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
        let first = heartbeats.addresses();
        assert!(request::is_uuid(&first[0].uuid) && !first[0].key.is_empty());
        assert_eq!(pinged(&heartbeats, &format!("{}/backup", first[0].key.expose())).await, PingAnswer::OK);
        heartbeats.apply(&[]).await.unwrap();
        assert_eq!(pinged(&heartbeats, &first[0].uuid).await, PingAnswer::NOT_FOUND);
        let heartbeats = Heartbeats::open(bench.context.clone(), None).await.unwrap();
        heartbeats.apply(&set).await.unwrap();
        assert_eq!(heartbeats.addresses(), first);
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
            Error heartbeats[1].name: no slug can be made from `…`
                give a `slug` of lower-case letters, digits, `-` and `_`
            Error heartbeats[2].uuid: heartbeats[1] has the same address
                leave it out to have one made up
            Warning heartbeats[3]: the slug `db-backup` is used twice, so pings to it are answered 409
                give this one or heartbeats[2] a `slug` of its own
            Error heartbeats[4].name: there are two heartbeats named `db backup`
                the other one is heartbeats[2]
        "#]],
    );
}

/// A recorded exchange that needs what is not there yet, and what that is.
fn not_applicable(case: &serde_json::Value) -> Option<&'static str> {
    if case["request"]["query"].as_str().unwrap().contains("create=1") {
        return Some("makes a heartbeat by a ping");
    }
    None
}

#[test]
fn conformance_pings_are_answered_as_healthchecks_did() {
    use base64::Engine;
    let data = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let file = data.join("healthchecks/hc_http_corpus.jsonl");
    let Ok(corpus) = Disk::Os.read_text(Path::new(&file)) else {
        println!("skipped: there is no {}", file.display());
        return;
    };
    let decode = |value: &serde_json::Value| {
        base64::engine::general_purpose::STANDARD.decode(value["b64"].as_str().unwrap()).unwrap()
    };
    let cases = corpus.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let (mut right, mut wrong) = (0, Vec::new());
    for case in cases {
        let request = &case["request"];
        let Some(path) = request["path"].as_str().unwrap().strip_prefix("/ping/") else { continue };
        if let Some(why) = not_applicable(&case) {
            println!("{}: not applicable: {why}", case["test"]);
            continue;
        }
        let configs: Vec<serde_json::Value> = case["pre"]["check"]
            .as_array()
            .unwrap()
            .iter()
            .map(|check| {
                let slug = check["slug"].as_str().filter(|slug| !slug.is_empty()).unwrap_or("none");
                serde_json::json!({"name": format!("check {}", check["id"]), "uuid": check["code"], "slug": slug})
            })
            .collect();
        let key = case["pre"]["project"][0]["ping_key"].as_str().unwrap_or("none");
        let answer = sim::run(1, |world| async move {
            let heartbeats = Heartbeats::open(bench(&world).context, Some(Secret::new(key))).await.unwrap();
            heartbeats.apply(&serde_json::from_value::<Vec<_>>(configs.into()).unwrap()).await.unwrap();
            match PingRequest::from_path(path, request["query"].as_str().unwrap()) {
                Ok(ping) => {
                    let header = |name: &str| request["headers"][name].as_str();
                    let peer = request["remote_addr"].as_str().unwrap().parse().unwrap();
                    heartbeats
                        .ping(ping.sent(request["method"].as_str().unwrap(), header, peer, decode(&request["body"])))
                        .await
                }
                Err(answer) => answer,
            }
        });
        let wanted = (case["response"]["status"].as_u64().unwrap(), decode(&case["response"]["body"]));
        // An answer in HTML is the web framework's own page; its words are nobody's contract.
        let html = wanted.1.starts_with(b"\n<!doctype html>");
        let body = if request["method"] == "HEAD" || html { wanted.1.clone() } else { answer.body.as_bytes().to_vec() };
        if (u64::from(answer.status), body) == wanted {
            right += 1;
        } else {
            wrong.push(format!("{}: {answer:?}", case["test"]));
        }
    }
    assert_eq!(right, RECORDED_CASES, "answered otherwise:\n{}", wrong.join("\n"));
    assert!(wrong.is_empty(), "answered otherwise:\n{}", wrong.join("\n"));
}
