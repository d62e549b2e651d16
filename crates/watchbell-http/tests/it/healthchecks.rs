//! Healthchecks' management API: what clients of it may rely on, and its own recorded exchanges.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use serde_json::{Value, json};
use watchbell_alarms::{Desired, heartbeat};
use watchbell_model::{Change, MemoryState, Secret, State, Timestamp};
use watchbell_runtime::{Clock, Disk, sim};
use watchbell_sources::heartbeat::Known;

use super::stage::{HEALTHCHECKS_KEY, HEALTHCHECKS_READ_KEY, Stage};
use super::{Answer, Ask, Site, ask, play};

fn keyed(method: &'static str, path: impl Into<String>) -> Ask {
    ask(method, path).header("x-api-key", HEALTHCHECKS_KEY)
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{} {}", answer.status, answer.body))
}

#[test]
fn a_client_makes_pings_pauses_and_deletes_a_check() {
    play(|site| async move {
        let made = site.send(keyed("POST", "/api/v3/checks/").body(r#"{"name": "Backups", "slug": "backups", "timeout": 3600, "grace": 600, "tags": "prod db", "unique": ["name"]}"#)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let check = parsed(&made);
        let uuid = check["uuid"].as_str().unwrap().to_owned();
        let path = format!("/api/v3/checks/{uuid}");
        // The same again is the same check.
        let again = keyed("POST", "/api/v3/checks/").body(r#"{"name": "Backups", "grace": 900, "unique": ["name"]}"#);
        let again = site.send(again).await;
        assert_eq!(
            (again.status.as_u16(), &parsed(&again)["grace"], &parsed(&again)["uuid"]),
            (200, &json!(900), &check["uuid"])
        );
        let mut told = String::new();
        for (method, step) in [
            ("GET", format!("/ping/{uuid}/start")),
            ("GET", format!("/ping/{uuid}")),
            ("GET", format!("/ping/{uuid}/fail")),
            ("POST", format!("{path}/pause")),
            ("POST", format!("{path}/resume")),
            ("POST", format!("{path}/resume")),
            ("DELETE", path.clone()),
            ("GET", path.clone()),
        ] {
            let answer = site.send(keyed(method, step.clone())).await;
            let stands = site.send(keyed("GET", path.clone())).await;
            let stands = serde_json::from_str::<Value>(&stands.body).unwrap_or_default();
            let flips = site.send(keyed("GET", format!("{path}/flips/"))).await;
            let flips = serde_json::from_str::<Value>(&flips.body).unwrap_or_default();
            told += &format!(
                "{method} {}: {} {} started {} pings {} flips {}\n",
                step.replace(&uuid, "UUID"),
                answer.status.as_u16(),
                stands["status"],
                stands["started"],
                stands["n_pings"],
                flips["flips"].as_array().map_or(0, Vec::len),
            );
        }
        expect![[r#"
            GET /ping/UUID/start: 200 "new" started true pings 1 flips 0
            GET /ping/UUID: 200 "up" started false pings 2 flips 1
            GET /ping/UUID/fail: 200 "down" started false pings 3 flips 2
            POST /api/v3/checks/UUID/pause: 200 "paused" started false pings 3 flips 3
            POST /api/v3/checks/UUID/resume: 200 "new" started false pings 3 flips 4
            POST /api/v3/checks/UUID/resume: 409 "new" started false pings 3 flips 4
            DELETE /api/v3/checks/UUID: 200 null started null pings null flips 0
            GET /api/v3/checks/UUID: 404 null started null pings null flips 0
        "#]]
        .assert_eq(&told);
        // Its alert is over, and its alarm is gone.
        assert!(site.stage.alarms.status(&format!("heartbeat/{uuid}")).is_none());
    });
}

#[test]
fn what_stands_in_the_configuration_is_shown_and_paused_but_not_changed() {
    play(|site| async move {
        let listed = parsed(&site.send(keyed("GET", "/api/v3/checks/?slug=backup")).await);
        let check = &listed["checks"][0];
        assert_eq!((&check["name"], &check["timeout"]), (&json!("backup"), &json!(86400)));
        let path = format!("/api/v3/checks/{}", check["uuid"].as_str().unwrap());
        for (method, body) in [("POST", r#"{"grace": 120}"#), ("DELETE", "")] {
            let answer = site.send(keyed(method, path.clone()).body(body)).await;
            assert_eq!(answer.status, 409);
            assert_eq!(parsed(&answer)["error"], "this check stands in watchbell's configuration; change it there");
        }
        assert_eq!(parsed(&site.send(keyed("POST", format!("{path}/pause"))).await)["status"], "paused");
        assert_eq!(parsed(&site.send(keyed("POST", format!("{path}/resume"))).await)["status"], "new");
    });
}

#[test]
fn keys_tokens_and_what_they_open() {
    play(|site| async move {
        let token = site.stage.auth.issue_token("runner").await.unwrap();
        let cases = [
            ("", "POST", "{}"),
            ("", "GET", ""),
            ("short", "GET", ""),
            ("a-key-of-32-characters-but-wrong", "GET", ""),
            (HEALTHCHECKS_READ_KEY, "GET", ""),
            (HEALTHCHECKS_READ_KEY, "POST", "{}"),
            (HEALTHCHECKS_KEY, "GET", ""),
            (&token, "GET", ""),
            (&token, "POST", r#"{"name": "by a token"}"#),
            ("", "POST", "nonsense"),
            ("", "POST", "[]"),
            ("", "PUT", ""),
            ("", "OPTIONS", ""),
        ];
        let mut told = String::new();
        for (key, method, body) in cases {
            let mut asked = ask(method, "/api/v1/checks/").public().body(body);
            if !key.is_empty() {
                asked = asked.header("x-api-key", key);
            }
            let answer = site.send(asked).await;
            assert_eq!(answer.headers["access-control-allow-origin"], "*");
            let error = serde_json::from_str::<Value>(&answer.body).unwrap_or_default()["error"].clone();
            let key = if key == token { "TOKEN" } else { key };
            told += &format!("{key:?} {method} {body}: {} {error}\n", answer.status.as_u16());
        }
        expect![[r#"
            "" POST {}: 401 "missing api key"
            "" GET : 401 "missing api key"
            "short" GET : 401 "missing api key"
            "a-key-of-32-characters-but-wrong" GET : 401 "wrong api key"
            "a-key-of-32-characters-to-read--" GET : 200 null
            "a-key-of-32-characters-to-read--" POST {}: 401 "wrong api key"
            "a-key-of-32-characters-to-change" GET : 200 null
            "TOKEN" GET : 200 null
            "TOKEN" POST {"name": "by a token"}: 201 null
            "" POST nonsense: 400 "could not parse request body"
            "" POST []: 400 "json validation error: value is not an object"
            "" PUT : 405 null
            "" OPTIONS : 204 null
        "#]]
        .assert_eq(&told);
        let body = format!(r#"{{"api_key": "{HEALTHCHECKS_KEY}"}}"#);
        assert_eq!(site.send(ask("POST", "/api/v2/checks/").public().body(body)).await.status, 201);
        // Who may only read sees no address to report to.
        let listed = site.send(ask("GET", "/api/v1/checks/").header("x-api-key", HEALTHCHECKS_READ_KEY)).await;
        let checks = parsed(&listed);
        let uuids: Vec<Known> = site.stage.heartbeats.all();
        assert!(uuids.iter().all(|known| !listed.body.contains(&known.uuid)), "{}", listed.body);
        let unique = checks["checks"][0]["unique_key"].as_str().unwrap();
        let one = ask("GET", format!("/api/v1/checks/{unique}")).header("x-api-key", HEALTHCHECKS_READ_KEY);
        assert_eq!(parsed(&site.send(one).await), checks["checks"][0]);
    });
}

#[test]
fn badges_say_how_things_stand_to_whoever_has_their_address() {
    play(|site| async move {
        let made = keyed("POST", "/api/v3/checks/").body(r#"{"name": "a<b", "tags": "db/1 prod"}"#);
        let made = parsed(&site.send(made).await);
        let uuid = made["uuid"].as_str().unwrap();
        let path = |url: &Value| url.as_str().unwrap().strip_prefix("https://watch.example.org").unwrap().to_owned();
        let badges = parsed(&site.send(keyed("GET", "/api/v3/badges/")).await);
        let badge = path(&made["badge_url"]);
        let svg = site.send(ask("GET", badge.clone()).public()).await;
        assert_eq!(svg.headers["content-type"], "image/svg+xml");
        assert!(svg.body.contains("a&lt;b: up"), "{}", svg.body);
        site.send(ask("GET", format!("/ping/{uuid}/fail"))).await;
        let mut told = String::new();
        for path in [
            badge.replace(".svg", ".json"),
            badge.replace(".svg", ".shields"),
            path(&badges["badges"]["db/1"]["json"]),
            path(&badges["badges"]["prod"]["shields3"]),
            path(&badges["badges"]["*"]["json3"]),
            path(&badges["badges"]["*"]["json3"]).replace("json", "gif"),
        ] {
            let answer = site.send(ask("GET", path).public()).await;
            told += &format!("{} {}\n", answer.status.as_u16(), answer.body);
        }
        expect![[r#"
            200 {"down":1,"grace":0,"status":"down","total":1}
            200 {"color":"critical","label":"a<b","message":"down","schemaVersion":1}
            200 {"down":1,"grace":0,"status":"down","total":1}
            200 {"color":"critical","label":"prod","message":"down","schemaVersion":1}
            200 {"down":1,"grace":0,"status":"down","total":3}
            404 
        "#]]
        .assert_eq(&told);
        let (of_prod, of_db) = (path(&badges["badges"]["prod"]["svg"]), path(&badges["badges"]["db/1"]["svg"]));
        let forged = of_prod.replace("prod", "db%2F1");
        assert_eq!(site.send(ask("GET", of_db).public()).await.status, 200);
        assert_eq!(site.send(ask("GET", forged).public()).await.status, 404);
        assert_eq!(site.send(ask("GET", badge.replace("/b/2/", "/b/4/"))).await.status, 404);
    });
}

/// Why an exchange is none of ours.
fn not_applicable(case: &Value) -> Option<&'static str> {
    let path = case["request"]["path"].as_str().unwrap();
    let settings = &case["settings"];
    let keys = |name: &str| case["pre"]["project"][0][name].as_str().unwrap_or_default().contains('.');
    let pings = case["pre"]["ping"].as_array().unwrap();
    let names = case["pre"]["channel"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str());
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    let target = case["pre"]["check"].as_array().unwrap().iter().find(|it| path.contains(it["code"].as_str().unwrap()));
    if path.contains("/notifications/") || path.contains("/bounces/") {
        Some("what became of a message of Healthchecks; our deliveries are followed by their own channels")
    } else if path.ends_with("/metrics/") {
        Some("the figures of Healthchecks' own database; ours are /metrics")
    } else if keys("api_key") || keys("api_key_readonly") {
        Some("a key that is kept as Django hashes it; ours are tokens")
    } else if settings["PING_BODY_LIMIT"] != 10_000 {
        Some("another limit of bodies, which is fixed here")
    } else if !settings["S3_BUCKET"].is_null() || pings.iter().any(|ping| ping["object_size"].as_u64() > Some(0)) {
        Some("bodies in an object storage, which there is none of here")
    } else if case["response"]["status"] == 403 && is_of_two_projects(case) {
        Some("several projects, of which there is one here")
    } else if path.ends_with("/resume")
        && case["response"]["status"] == 200
        && target.is_some_and(|it| is_overrun(it, case))
    {
        Some("a paused run that is overdue, which is judged at once here")
    } else if names.len() == 2 && names[0] == names[1] {
        Some("two channels of one name, which a configuration refuses")
    } else {
        None
    }
}

/// A check of somebody else, or a key of somebody else.
fn is_of_two_projects(case: &Value) -> bool {
    let list = |table: &str| case["pre"][table].as_array().unwrap().iter();
    let key = &case["request"]["headers"]["x-api-key"];
    list("check").any(|it| it["project_id"] != 1) || list("project").skip(1).any(|it| it["api_key"] == *key)
}

fn is_overrun(check: &Value, case: &Value) -> bool {
    let at = |value: &Value| value.as_str().and_then(Timestamp::parse_rfc3339);
    let grace = std::time::Duration::from_secs_f64(check["grace"].as_f64().unwrap());
    at(&check["last_start"]).is_some_and(|start| Some(start + grace) <= at(&case["now"]))
}

fn decoded(value: &Value) -> Vec<u8> {
    value["b64"].as_str().map_or_else(Vec::new, |text| STANDARD.decode(text).unwrap())
}

/// What is wanted of a recorded check, as it is kept here.
fn definition(check: &Value, names: &BTreeMap<String, String>) -> Value {
    let seconds = |field: &str| format!("{}s", check[field].as_f64().unwrap());
    let channels: Vec<&String> =
        check["channels"].as_array().unwrap().iter().filter_map(|code| names.get(code.as_str()?)).collect();
    json!({
        "name": check["name"], "slug": check["slug"], "tags": check["tags"], "description": check["desc"],
        "kind": check["kind"], "timeout": seconds("timeout"), "schedule": check["schedule"], "zone": check["tz"],
        "grace": seconds("grace"), "manual_resume": check["manual_resume"], "post_only": check["methods"] == "POST",
        "start_keywords": check["start_kw"], "success_keywords": check["success_kw"],
        "failure_keywords": check["failure_kw"], "filter_subject": check["filter_subject"],
        "filter_body": check["filter_body"], "filter_http_body": check["filter_http_body"],
        "filter_default_fail": check["filter_default_fail"], "channels": channels,
    })
}

/// What was recorded before an exchange, as documents of ours.
fn documents(pre: &Value, now: Timestamp, names: &BTreeMap<String, String>) -> Vec<Change> {
    let list = |table: &str| pre[table].as_array().cloned().unwrap_or_default();
    let mut changes = vec![Change::put("alarms.alive", "at", &now)];
    for check in list("check").iter().filter(|it| it["project_id"] == 1) {
        let (code, id) = (check["code"].as_str().unwrap(), check["id"].as_u64().unwrap());
        let mine = |table: &str| list(table).into_iter().filter(|it| it["owner_id"] == id).collect::<Vec<_>>();
        let made = json!({
            "made_at": Timestamp(id as i64), "paused": check["status"] == "paused", "definition": definition(check, names),
        });
        changes.push(Change::put("sources.made", code, &made));
        let flips = mine("flip");
        for (n, flip) in flips.iter().enumerate() {
            let flip = json!({ "at": flip["created"], "from": flip["old_status"], "to": flip["new_status"] });
            changes.push(Change::put("alarms.flip", format!("{code}/{:012}", n + 1), &flip));
        }
        let took = check["last_duration"].as_f64().map(|seconds| format!("{}ms", (seconds * 1000.0) as u64));
        let state = match check["status"].as_str().unwrap() {
            "up" => "OK",
            "down" => "ALARM",
            _ => "INSUFFICIENT_DATA",
        };
        let kept = json!({
            "state": state, "since": now, "reason": "recorded", "memory": {
                "standing": check["status"], "last_ping": check["last_ping"], "last_start": check["last_start"],
                "run": check["last_start_rid"], "last_duration": took, "excused": null, "flips": flips.len(),
            },
        });
        changes.push(Change::put("alarms.state", format!("heartbeat/{code}"), &kept));
        let (pings, last) = (mine("ping"), check["n_pings"].as_u64().unwrap());
        if pings.iter().all(|ping| ping["n"].as_u64() < Some(last)) && last > 100 {
            // How many there were is known by the last one, which was not recorded.
            let (at, nobody) = (now, String::new());
            let filler = json!({
                "n": last, "at": at, "kind": "log", "method": nobody, "scheme": nobody, "remote": nobody,
                "user_agent": nobody,
            });
            changes.push(Change::put("sources.ping", format!("{code}/{last:012}"), &filler));
        }
        for ping in pings {
            let kind = ping["kind"].as_str().unwrap_or("success");
            let n = ping["n"].as_u64().unwrap();
            let record = json!({
                "n": n, "at": ping["created"], "kind": kind, "exit_status": ping["exitstatus"], "run": ping["rid"],
                "method": ping["method"], "scheme": ping["scheme"], "remote": ping["remote_addr"].as_str().unwrap_or(""),
                "user_agent": ping["ua"], "body": STANDARD.encode(decoded(&ping["body_raw"])),
            });
            changes.push(Change::put("sources.ping", format!("{code}/{n:012}"), &record));
        }
    }
    changes
}

/// An answer with what is made up replaced: addresses of new checks and of badges, and moments by the second.
fn settled(value: &Value, codes: &[&str]) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, it)| (name.clone(), settled(it, codes))).collect(),
        Value::Array(items) => items.iter().map(|it| settled(it, codes)).collect(),
        Value::String(text) => {
            // Ours are kept to the millisecond.
            let cut = text.find('.').filter(|at| text.ends_with("+00:00") && text.len() == at + 13);
            let text = cut.map_or_else(|| text.clone(), |at| format!("{}+00:00", &text[..at]));
            let mut out = String::new();
            let mut rest = text.as_str();
            while rest.len() >= 36 && rest.is_char_boundary(36) {
                let (head, _) = rest.split_at(36);
                let is_uuid = head.bytes().enumerate().all(|(at, b)| match at {
                    8 | 13 | 18 | 23 => b == b'-',
                    _ => b.is_ascii_hexdigit(),
                });
                if is_uuid && !codes.contains(&head) {
                    out += "NEW";
                    rest = &rest[36..];
                } else {
                    let next = rest.chars().next().map_or(1, char::len_utf8);
                    out += &rest[..next];
                    rest = &rest[next..];
                }
            }
            json!(out + rest)
        }
        other => other.clone(),
    }
}

/// Sorts lists in which order means nothing, so that they can be compared.
fn ordered(mut value: Value, ids: &BTreeMap<String, String>) -> Value {
    if let Some(checks) = value.get_mut("checks").and_then(Value::as_array_mut) {
        *checks = checks.drain(..).map(|it| ordered(it, ids)).collect();
    }
    if let Some(Value::String(channels)) = value.get_mut("channels") {
        let named = |id: &str| ids.get(id).cloned().unwrap_or_else(|| id.to_owned());
        let mut all: Vec<String> = channels.split(',').filter(|id| !id.is_empty()).map(named).collect();
        all.sort();
        *channels = all.join(",");
    }
    if let Some(channels) = value.get_mut("channels").and_then(Value::as_array_mut) {
        for channel in channels.iter_mut() {
            let id = channel["id"].as_str().unwrap_or_default();
            let name = ids.get(id).cloned().unwrap_or_default();
            // Which service it is says Healthchecks alone, and it has some without a name.
            *channel = json!({ "id": name });
        }
        channels.sort_by_key(Value::to_string);
    }
    value
}

/// Plays one exchange; what differs, in words.
async fn replay(world: sim::World, case: &Value) -> Result<(), String> {
    let now = Timestamp::parse_rfc3339(case["now"].as_str().unwrap()).unwrap();
    let world = sim::World { clock: Clock::sim(now), ..world };
    let pre = &case["pre"];
    let channels = pre["channel"].as_array().unwrap();
    let codes_of: Vec<(&str, &str)> = channels
        .iter()
        .filter(|it| it["project_id"] == 1)
        .map(|it| (it["code"].as_str().unwrap(), it["name"].as_str().unwrap()))
        .collect();
    let name = |code: &str, name: &str| if name.is_empty() { code.to_owned() } else { name.to_owned() };
    let names: BTreeMap<String, String> =
        codes_of.iter().map(|(code, it)| ((*code).to_owned(), name(code, it))).collect();
    let mut receivers: Vec<Value> = names
        .values()
        .map(|name| json!({ "name": name, "webhook_configs": [{ "url": "http://receiver.example/hook" }] }))
        .collect();
    if receivers.is_empty() {
        receivers.push(json!({ "name": "nobody" }));
    }
    let state = Arc::new(MemoryState::new());
    state.commit(documents(pre, now, &names)).await.unwrap();
    let receivers = serde_json::from_value(receivers.into()).unwrap();
    let stage = Stage::bare(world.runtime(), state, receivers).await;
    let (terms, defaults) = (stage.heartbeats.made(&[]), heartbeat::Defaults::default());
    let heartbeats = terms.iter().map(|terms| defaults.spec(terms)).collect();
    stage.begin(Desired { heartbeats, ..Desired::default() }, &[]).await;
    let limit = pre["profile"].as_array().unwrap().iter().find(|it| it["user_id"] == 1);
    stage.heartbeats.set_limit(limit.map_or(20, |it| it["check_limit"].as_u64().unwrap() as usize));
    let project = &pre["project"][0];
    let key = project["ping_key"].as_str().unwrap_or("none").to_owned();
    stage.heartbeats.set_ping_key(Some(Secret::new(key))).await.unwrap();
    *stage.config.url.lock().unwrap() = Some("http://localhost:8000".parse().unwrap());
    let (write, read) = ("XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX", "RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR");
    *stage.config.keys.lock().unwrap() = [write, if project["api_key_readonly"] == read { read } else { "" }];
    let site = Site { router: watchbell_http::router(stage.handles()), stage };

    let request = &case["request"];
    let (mut path, mut body) = (request["path"].as_str().unwrap().to_owned(), decoded(&request["body"]));
    let mut ids = BTreeMap::new();
    if !codes_of.is_empty() {
        let ours = parsed(&site.send(ask("GET", "/api/v3/channels/").header("x-api-key", write)).await);
        for (code, it) in &codes_of {
            let name = name(code, it);
            let ours = ours["channels"].as_array().unwrap().iter().find(|it| it["name"] == *name).unwrap();
            let id = ours["id"].as_str().unwrap().to_owned();
            if let Ok(text) = String::from_utf8(body.clone()) {
                body = text.replace(code, &id).into_bytes();
            }
            ids.insert(id, (*code).to_owned());
        }
    }
    let of_one = path.starts_with("/b/");
    for check in pre["check"].as_array().unwrap().iter().filter(|_| of_one) {
        let code = check["code"].as_str().unwrap();
        let ours = site.send(ask("GET", format!("/api/v3/checks/{code}")).header("x-api-key", write)).await;
        let url = parsed(&ours)["badge_url"].as_str().unwrap().to_owned();
        let ours = url.rsplit('/').next().unwrap().trim_end_matches(".svg");
        path = path.replace(check["badge_key"].as_str().unwrap(), ours);
    }
    if path.starts_with("/badge/alice/") && !path.contains("12345678") {
        let badges = parsed(&site.send(ask("GET", "/api/v3/badges/").header("x-api-key", write)).await);
        let (_, file) = path.rsplit_once('/').unwrap();
        let (tag, format) = file.rsplit_once('.').unwrap();
        let with_late = if path.contains("-2/") { "svg" } else { "svg3" };
        let url = badges["badges"][tag.replace("%40", "@")][with_late].as_str().unwrap().to_owned();
        path = format!(
            "{}.{format}",
            url.splitn(4, '/').last().map(|it| format!("/{it}")).unwrap().trim_end_matches(".svg")
        );
    }
    let query = request["query"].as_str().unwrap();
    let address = if query.is_empty() { path } else { format!("{path}?{query}") };
    let method =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"].into_iter().find(|it| request["method"] == *it).unwrap();
    let mut asked = ask(method, address).body(body);
    for (name, value) in request["headers"].as_object().unwrap() {
        asked = asked.header(String::leak(name.clone()), value.as_str().unwrap());
    }
    let peer = request["remote_addr"].as_str().unwrap().to_owned() + ":50000";
    asked.peer = String::leak(peer);
    let answer = site.send(asked).await;

    let wanted = &case["response"];
    if u64::from(answer.status.as_u16()) != wanted["status"].as_u64().unwrap() {
        return Err(format!("{} instead of {}: {}", answer.status, wanted["status"], answer.body));
    }
    for name in
        ["access-control-allow-origin", "access-control-allow-headers", "access-control-max-age", "ping-body-limit"]
    {
        if let Some(value) = wanted["headers"][name].as_str()
            && answer.headers.get(name).is_none_or(|ours| ours != value)
        {
            return Err(format!("the header {name} is not {value}"));
        }
    }
    // There are not two addresses of one site here, for pings and for the rest.
    let text = decoded(&wanted["body"]);
    let text = match String::from_utf8(text) {
        Ok(text) => text.replace("http://testserver", "http://localhost:8000").into_bytes(),
        Err(other) => other.into_bytes(),
    };
    let codes: Vec<&str> = pre["check"].as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect();
    let kind = wanted["headers"]["content-type"].as_str().unwrap_or_default();
    if let (true, Ok(value)) = (kind == "application/json", serde_json::from_slice::<Value>(&text)) {
        if value.get("badges").is_some() {
            let tags = |it: &Value| it["badges"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            let (ours, theirs) = (tags(&parsed(&answer)), tags(&value));
            return if ours == theirs { Ok(()) } else { Err(format!("{ours:?} instead of {theirs:?}")) };
        }
        let theirs_ids = codes_of.iter().map(|(code, _)| ((*code).to_owned(), (*code).to_owned())).collect();
        let (ours, theirs) = (ordered(parsed(&answer), &ids), ordered(value, &theirs_ids));
        let known: Vec<&str> = codes.iter().copied().chain(codes_of.iter().map(|it| it.0)).collect();
        let (ours, theirs) = (settled(&ours, &known), settled(&theirs, &known));
        if ours != theirs {
            return Err(format!("\n  ours   {ours}\n  theirs {theirs}"));
        }
    } else if !kind.starts_with("image/svg")
        && method != "HEAD"
        && !text.starts_with(b"\n<!doctype html>")
        && answer.bytes != text
    {
        // A page in HTML is the web framework's own, and a picture is drawn our way.
        return Err(format!("{:?} instead of {:?}", answer.body, String::from_utf8_lossy(&text)));
    }
    after(&site, case, &names).await
}

/// Compares what is kept after an exchange.
async fn after(site: &Site, case: &Value, names: &BTreeMap<String, String>) -> Result<(), String> {
    let Some(checks) = case["post"]["check"].as_array() else { return Ok(()) };
    let theirs: Vec<&Value> = checks.iter().filter(|it| it["project_id"] == 1).collect();
    let ours = site.stage.heartbeats.all();
    if ours.len() != theirs.len() {
        return Err(format!("{} checks instead of {}", ours.len(), theirs.len()));
    }
    for (known, check) in ours.iter().zip(theirs) {
        let mut wanted = definition(check, names);
        let mut have = serde_json::to_value(&known.definition).unwrap();
        let by_name = |value: &mut Value| value["channels"].as_array_mut().unwrap().sort_by_key(Value::to_string);
        by_name(&mut have);
        by_name(&mut wanted);
        // A ping that makes a check has it told to everybody; here the routes say whom.
        if case["request"]["query"].as_str().unwrap().contains("create=1") {
            wanted["channels"] = have["channels"].clone();
        }
        let wanted: watchbell_sources::heartbeat::Definition = serde_json::from_value(wanted).unwrap();
        let have: watchbell_sources::heartbeat::Definition = serde_json::from_value(have).unwrap();
        if have != wanted {
            return Err(format!("kept\n  ours   {have:?}\n  theirs {wanted:?}"));
        }
        if json!(known.pings) != check["n_pings"] {
            return Err(format!("{} pings instead of {}", known.pings, check["n_pings"]));
        }
        let status = site.stage.alarms.heartbeat(&known.id).unwrap();
        let (ours, theirs) = (serde_json::to_value(status.state).unwrap(), &check["status"]);
        if ours != *theirs && ours != "late" {
            return Err(format!("it is {ours} instead of {theirs}"));
        }
    }
    Ok(())
}

/// How many recorded exchanges are answered alike. It only goes up.
const RECORDED: usize = 294;

#[test]
fn conformance_recorded_exchanges_are_answered_as_healthchecks_did() {
    let data = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let file = data.join("healthchecks/hc_http_corpus.jsonl");
    let Ok(corpus) = Disk::Os.read_text(&file) else {
        println!("skipped: there is no {}; name its folder in WATCHBELL_CONFORMANCE", file.display());
        return;
    };
    let (mut right, mut wrong) = (0, Vec::new());
    let mut passed_over: BTreeMap<&str, usize> = BTreeMap::new();
    for case in corpus.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if let Some(why) = not_applicable(&case) {
            *passed_over.entry(why).or_default() += 1;
            continue;
        }
        match sim::run(1, |world| replay(world, &case)) {
            Ok(()) => right += 1,
            Err(why) => wrong.push(format!("{}: {why}", case["test"])),
        }
    }
    for (why, count) in passed_over {
        println!("{count} not applicable: {why}");
    }
    assert!(wrong.is_empty(), "{right} alike, {} answered otherwise:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(right, RECORDED);
}
