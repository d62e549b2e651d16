//! Checks, pings and flips in the shapes of Healthchecks' answers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use watchbell_model::{Flip, HeartbeatState, PingKind, Timestamp};
use watchbell_sources::heartbeat::{Known, PingRecord, ScheduleKind};

use super::Call;

/// A start and an end further apart than this are not one run.
const RUN_MAX: Duration = Duration::from_secs(72 * 3600);
/// The latest moment that may be asked for, in the year 2286.
const SECONDS_MAX: i64 = 10_000_000_000;
/// The longest time back that may be asked for: a year.
const BACK_MAX: i64 = 31_536_000;

/// `2026-01-05T00:00:00+00:00`.
fn whole_seconds(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}+00:00", text.split('.').next().unwrap_or(&text))
}

/// Likewise, with microseconds unless there are none.
fn exact(at: Timestamp) -> String {
    let text = at.to_string();
    match text.strip_suffix('Z').and_then(|text| text.split_once('.')) {
        Some((seconds, millis)) if millis != "000" => format!("{seconds}.{millis}000+00:00"),
        _ => whole_seconds(at),
    }
}

/// What stands for a check where its address must not be seen.
pub(super) fn unique_key(uuid: &str) -> String {
    let half: String = uuid.chars().filter(|c| *c != '-').take(16).collect();
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, half.as_bytes());
    hex(digest.as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The id of a receiver: always the same for a name, of the form that clients expect.
pub(super) fn channel_id(name: &str) -> String {
    as_uuid(&format!("channel {name}"))
}

/// Where the badge of one check is; nobody finds from it where the job reports.
pub(super) fn badge_key(uuid: &str) -> String {
    as_uuid(&format!("badge {uuid}"))
}

/// A digest in the form of a UUID (version 8, which leaves the bits to us).
fn as_uuid(text: &str) -> String {
    let mut digest = Sha256::digest(text.as_bytes());
    digest[6] = digest[6] & 0x0f | 0x80;
    digest[8] = digest[8] & 0x3f | 0x80;
    let hex = hex(&digest[..16]);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The word of a standing; `started` only where version 1 is spoken.
fn word(state: HeartbeatState, started: bool) -> &'static str {
    match state {
        HeartbeatState::Down => "down",
        _ if started => "started",
        HeartbeatState::New => "new",
        HeartbeatState::Up => "up",
        HeartbeatState::Late => "grace",
        HeartbeatState::Paused => "paused",
    }
}

/// A check as it is and stands.
pub(super) fn check(call: &Call, known: &Known) -> Value {
    let definition = &known.definition;
    let stands = call.app.alarms.heartbeat(&known.id);
    let (state, started) = stands.as_ref().map_or((HeartbeatState::New, false), |it| (it.state, it.started));
    // What is due first, the report or the end of the run.
    let next = stands.as_ref().and_then(|it| match it.state {
        HeartbeatState::Down => None,
        _ => [it.next_ping, it.last_start].into_iter().flatten().min(),
    });
    let subject = |keywords: &str| if definition.filter_subject { keywords.to_owned() } else { String::new() };
    let mut shown = json!({
        "name": definition.name,
        "slug": definition.slug,
        "tags": definition.tags,
        "desc": definition.description,
        "grace": definition.grace.duration().as_secs(),
        "n_pings": known.pings,
        "status": word(state, started && call.version == 1),
        "started": started,
        "last_ping": stands.as_ref().and_then(|it| it.last_ping).map(whole_seconds),
        "next_ping": next.map(whole_seconds),
        "manual_resume": definition.manual_resume,
        "methods": if definition.post_only { "POST" } else { "" },
        "subject": subject(&definition.success_keywords),
        "subject_fail": subject(&definition.failure_keywords),
        "start_kw": definition.start_keywords,
        "success_kw": definition.success_keywords,
        "failure_kw": definition.failure_keywords,
        "filter_subject": definition.filter_subject,
        "filter_body": definition.filter_body,
        "filter_http_body": definition.filter_http_body,
        "filter_default_fail": definition.filter_default_fail,
        "badge_url": format!("{}/b/2/{}.svg", call.site, badge_key(&known.uuid)),
    });
    if let Some(took) = stands.as_ref().and_then(|it| it.last_duration).filter(|took| !took.is_zero()) {
        shown["last_duration"] = took.duration().as_secs().into();
    }
    if call.read_only {
        shown["unique_key"] = unique_key(&known.uuid).into();
    } else {
        let url = format!("{}/api/v{}/checks/{}", call.site, call.version, known.uuid);
        let mut channels: Vec<String> = definition.channels.iter().map(|name| channel_id(name)).collect();
        channels.sort();
        shown["uuid"] = known.uuid.clone().into();
        shown["ping_url"] = format!("{}/ping/{}", call.site, known.uuid).into();
        shown["pause_url"] = format!("{url}/pause").into();
        shown["resume_url"] = format!("{url}/resume").into();
        shown["update_url"] = url.into();
        shown["channels"] = channels.join(",").into();
    }
    if definition.kind == ScheduleKind::Simple {
        shown["timeout"] = definition.timeout.duration().as_secs().into();
    } else {
        shown["schedule"] = definition.schedule.clone().into();
        shown["tz"] = definition.zone.to_string().into();
    }
    shown
}

/// Pings, newest first, each end of a run with how long that took.
pub(super) fn pings(call: &Call, known: &Known, pings: &[PingRecord]) -> Vec<Value> {
    let mut starts: BTreeMap<Option<&str>, Timestamp> = BTreeMap::new();
    let mut took: BTreeMap<u64, Duration> = BTreeMap::new();
    for ping in pings.iter().rev() {
        let run = ping.run.as_deref();
        match ping.kind {
            PingKind::Start => drop(starts.insert(run, ping.at)),
            PingKind::Success | PingKind::Fail => {
                let since = starts.remove(&run).map(|start| ping.at.since(start)).filter(|since| *since < RUN_MAX);
                took.extend(since.map(|since| (ping.n, since)));
            }
            PingKind::Log | PingKind::Ignored => {}
        }
    }
    let base = format!("{}/api/v{}/checks/{}/pings", call.site, call.version, known.uuid);
    let one = |ping: &PingRecord| {
        let mut shown = json!({
            "type": ping.kind,
            "date": exact(ping.at),
            "n": ping.n,
            "scheme": ping.scheme,
            "remote_addr": (!ping.remote.is_empty()).then_some(&ping.remote),
            "method": ping.method,
            "ua": ping.user_agent,
            "rid": ping.run,
            "body_url": (!ping.body.is_empty()).then(|| format!("{base}/{}/body", ping.n)),
        });
        if let Some(took) = took.get(&ping.n) {
            shown["duration"] = ((took.as_secs_f64() * 100.0).round() / 100.0).into();
        }
        shown
    };
    pings.iter().map(one).collect()
}

/// Which flips are asked for.
pub(super) struct Range {
    from: Timestamp,
    to: Timestamp,
}

impl Range {
    /// From `start`, `end` and `seconds`; `None` if one of them is no such number.
    pub(super) fn read(call: &Call, now: Timestamp) -> Option<Range> {
        let number = |name: &str, most: i64| match call.asked(name) {
            None => Some(None),
            Some(text) => text.trim().parse().ok().filter(|number| (0..=most).contains(number)).map(Some),
        };
        let moment = |seconds: i64| Timestamp(seconds * 1000);
        let back = match call.asked("seconds") {
            Some("") => None,
            _ => number("seconds", BACK_MAX)?,
        };
        let from = number("start", SECONDS_MAX)?.map_or(Timestamp::MIN, moment);
        let since = back.map_or(Timestamp::MIN, |seconds| now - Duration::from_secs(seconds.unsigned_abs()));
        Some(Range { from: from.max(since), to: number("end", SECONDS_MAX)?.map_or(Timestamp::MAX, moment) })
    }

    /// Those, in order.
    pub(super) fn flips(&self, flips: &[Flip]) -> Vec<Value> {
        let inside = flips.iter().filter(|flip| self.from <= flip.at && flip.at < self.to);
        inside
            .map(|flip| {
                let up = u8::from(flip.to == HeartbeatState::Up);
                json!({ "timestamp": whole_seconds(flip.at), "up": up })
            })
            .collect()
    }
}
