//! Recorded cases: Healthchecks' checks before a ping and after it, compared with our heartbeat; CloudWatch's composite
//! alarms and their suppressors.

use std::path::PathBuf;

use serde_json::Value;
use watchbell_model::{AlarmState, Ping, PingKind, Schedule, Span, Timestamp};
use watchbell_runtime::Disk;

use crate::composite::Rule;
use crate::composite::tests::{play, spec as suppressed};
use crate::heartbeat::{Memory, Spec};
use crate::kept::{Kept, Kind};
use crate::timeline::heartbeat_spec;

/// What the recording says of a check, in the words of our document.
fn memory(check: &Value) -> Memory {
    let text = |field: &str| check[field].as_str().map(str::to_owned);
    let at = |field: &str| check[field].as_str().map(|at| Timestamp::parse_rfc3339(at).unwrap());
    // Moments are recorded to the microsecond, ours are milliseconds: lengths are compared to the hundredth.
    let took = check["last_duration"].as_f64().map(|seconds| Span::millis((seconds * 100.0).round() as u64 * 10));
    let value = serde_json::json!({
        "standing": text("status"), "last_ping": at("last_ping"), "last_start": at("last_start"),
        "run": at("last_start").and(text("last_start_rid")), "last_duration": took, "excused": null,
    });
    serde_json::from_value(value).unwrap()
}

fn spec(check: &Value) -> Spec {
    let span = |field: &str| Span::millis((check[field].as_f64().unwrap() * 1000.0) as u64);
    let mut spec = heartbeat_spec("x", span("timeout"), span("grace"));
    if check["kind"] != "simple" {
        let zone = check["tz"].as_str().unwrap().parse().unwrap();
        spec.schedule = Schedule::expression(check["schedule"].as_str().unwrap(), zone).unwrap();
    }
    spec.manual_resume = check["manual_resume"] == true;
    spec
}

impl Kept<Memory> {
    fn round_duration(&mut self) {
        let hundredths = |took: Span| (took.duration().as_secs_f64() * 100.0).round() as u64;
        let took = &mut self.memory.last_duration;
        *took = took.map(|took| Span::millis(hundredths(took) * 10));
    }
}

/// A file of recorded cases, if there are any here.
fn cases(file: &str) -> Option<String> {
    let folder = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let file = folder.join(file);
    let text = Disk::Os.read_text(&file).ok();
    if text.is_none() {
        println!("skipped: there is no {}; name its folder in WATCHBELL_CONFORMANCE", file.display());
    }
    text
}

#[test]
fn conformance_rules_of_composites_hold_as_cloudwatch_says() {
    let Some(text) = cases("cloudwatch/cw_composite_cases.json") else { return };
    let cases: Value = serde_json::from_str(&text).unwrap();
    let mut right = 0;
    for case in cases["parse_and_eval"].as_array().unwrap() {
        let rule: Rule = case["rule"].as_str().unwrap().parse().unwrap();
        for (word, expected) in [("true", true), ("false", false)] {
            for states in case[word].as_array().unwrap() {
                let state = |name: &str| serde_json::from_value::<AlarmState>(states[name].clone()).unwrap();
                assert_eq!(rule.holds(&state), expected, "{rule} with {states}");
                right += 1;
            }
        }
    }
    for text in cases["must_reject"].as_array().unwrap() {
        assert!(text.as_str().unwrap().parse::<Rule>().is_err(), "{text}");
        right += 1;
    }
    println!("{right} recorded rules of composites are as they were");
    assert!(right > 20, "{right}");
}

#[test]
fn conformance_suppressors_act_when_cloudwatch_does() {
    let Some(text) = cases("cloudwatch/cw_suppressor_cases.json") else { return };
    let cases: Value = serde_json::from_str(&text).unwrap();
    let seconds = |field: &str| cases[field].as_u64().unwrap();
    let spec = suppressed(Some((seconds("wait_period"), seconds("extension_period"))));
    for case in cases["cases"].as_array().unwrap() {
        let events: Vec<(u64, &str, bool)> = case["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (it[0].as_u64().unwrap(), it[1].as_str().unwrap(), it[2] == "ALARM"))
            .collect();
        let action = |it: &Value| format!("{} {}", it[0], it[1].as_str().unwrap());
        let actions: Vec<String> = case["actions"].as_array().unwrap().iter().map(action).collect();
        assert_eq!(play(&spec, case["suppressor_initial"] == "ALARM", &events), actions, "{case}");
    }
}

#[test]
fn conformance_pings_move_a_heartbeat_as_healthchecks_does() {
    let Some(corpus) = cases("healthchecks/hc_http_corpus.jsonl") else { return };
    let mut right = 0;
    for case in corpus.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let list = |when: &str, table: &str| case[when][table].as_array().cloned().unwrap_or_default();
        let before = list("pre", "ping").len();
        let after = list("post", "ping");
        let Some([ping]) = after.get(before..) else { continue };
        let find = |when: &str| list(when, "check").into_iter().find(|check| check["id"] == ping["owner_id"]);
        let (Some(pre), Some(post)) = (find("pre"), find("post")) else { continue };
        let kind = match ping["kind"].as_str() {
            None | Some("success") => PingKind::Success,
            Some("fail") => PingKind::Fail,
            Some("start") => PingKind::Start,
            Some("log") => PingKind::Log,
            Some("ign") => PingKind::Ignored,
            Some(other) => panic!("{other}"),
        };
        let at = Timestamp::parse_rfc3339(ping["created"].as_str().unwrap()).unwrap();
        let run = ping["rid"].as_str().map(str::to_owned);
        let mut kept = Kept::<Memory>::new(at, Memory::UNHEARD);
        let spec = spec(&post);
        kept.memory = memory(&pre);
        kept.reschedule(&spec);
        kept.ping(&spec, &Ping { heartbeat: "x".into(), at, kind, run });
        kept.round_duration();
        let mut wanted = Kept::<Memory>::new(at, Memory::UNHEARD);
        wanted.memory = memory(&post);
        wanted.reschedule(&spec);
        let standing = |kept: &Kept<Memory>| kept.status(&spec, at);
        assert_eq!(format!("{:?}", standing(&kept)), format!("{:?}", standing(&wanted)), "{} {pre}", case["test"]);
        assert_eq!(kept.memory.flips, u64::from(pre["status"] != post["status"]), "{}", case["test"]);
        let deadline = post["alert_after"].as_str().map(|at| Timestamp::parse_rfc3339(at).unwrap());
        if post["status"] != "down" {
            assert_eq!(Memory::deadline(&kept, &spec), deadline, "{}", case["test"]);
        }
        right += 1;
    }
    println!("{right} recorded pings move a heartbeat as they did");
    assert!(right > 20, "{right}");
}
