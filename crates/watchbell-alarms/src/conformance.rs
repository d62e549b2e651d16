//! The recorded cases of Healthchecks: a check before a ping and after it, compared with our heartbeat.

use std::path::PathBuf;

use serde_json::Value;
use watchbell_model::{Ping, PingKind, Span, Timestamp};
use watchbell_runtime::Disk;

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
    heartbeat_spec("x", span("timeout"), span("grace"))
}

impl Memory {
    fn round_duration(&mut self) {
        let hundredths = |took: Span| (took.duration().as_secs_f64() * 100.0).round() as u64;
        self.last_duration = self.last_duration.map(|took| Span::millis(hundredths(took) * 10));
    }
}

/// Why a case asks for what is not there yet.
fn not_applicable(check: &Value, ping: &Value) -> Option<&'static str> {
    match (check["kind"].as_str()?, check["status"].as_str()?, ping["kind"].as_str()) {
        (_, _, Some("ign")) => Some("ignored before it is judged"),
        ("simple", "paused", _) => Some("paused heartbeats"),
        ("simple", ..) => None,
        _ => Some("schedules"),
    }
}

#[test]
fn conformance_pings_move_a_heartbeat_as_healthchecks_does() {
    let folder = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let file = folder.join("healthchecks/hc_http_corpus.jsonl");
    let Ok(corpus) = Disk::Os.read_text(&file) else {
        println!("skipped: there is no {}; name its folder in WATCHBELL_CONFORMANCE", file.display());
        return;
    };
    let mut right = 0;
    for case in corpus.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let list = |when: &str, table: &str| case[when][table].as_array().cloned().unwrap_or_default();
        let before = list("pre", "ping").len();
        let after = list("post", "ping");
        let Some([ping]) = after.get(before..) else { continue };
        let find = |when: &str| list(when, "check").into_iter().find(|check| check["id"] == ping["owner_id"]);
        let (Some(pre), Some(post)) = (find("pre"), find("post")) else { continue };
        if let Some(why) = not_applicable(&pre, ping) {
            println!("{}: not applicable: {why}", case["test"]);
            continue;
        }
        let kind = match ping["kind"].as_str() {
            None | Some("success") => PingKind::Success,
            Some("fail") => PingKind::Fail,
            Some("start") => PingKind::Start,
            Some("log") => PingKind::Log,
            Some(other) => panic!("{other}"),
        };
        let at = Timestamp::parse_rfc3339(ping["created"].as_str().unwrap()).unwrap();
        let run = ping["rid"].as_str().map(str::to_owned);
        let mut kept = Kept::<Memory>::new(at, Memory::UNHEARD);
        kept.memory = memory(&pre);
        kept.ping(&Ping { heartbeat: "x".into(), at, kind, run });
        kept.memory.round_duration();
        let wanted = memory(&post);
        assert_eq!(kept.memory, wanted, "{} {pre}", case["test"]);
        let deadline = post["alert_after"].as_str().map(|at| Timestamp::parse_rfc3339(at).unwrap());
        if post["status"] != "down" {
            assert_eq!(Memory::deadline(&kept, &spec(&post)), deadline, "{}", case["test"]);
        }
        right += 1;
    }
    println!("{right} recorded pings move a heartbeat as they did");
    assert!(right > 20, "{right}");
}
