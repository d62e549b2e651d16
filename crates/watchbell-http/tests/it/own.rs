//! What the UI reads, and the pages that the server writes.

use expect_test::expect;
use serde_json::Value;

use crate::{SETTLE, Site, ask, play};

impl Site {
    async fn get(&self, cookie: &str, path: &str) -> Value {
        let answer = self.send(ask("GET", format!("/api/watchbell/v1/{path}")).session(cookie)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// `imap` goes down after having been up.
    pub(crate) async fn break_imap(&self) {
        for outcome in [Ok(20), Ok(20), Ok(20), Err("connection refused"), Err("connection refused")] {
            self.stage.probe("webmail", Ok(120)).await;
            self.stage.probe("imap", outcome).await;
            self.stage.runtime.clock.sleep(std::time::Duration::from_secs(60)).await;
        }
        self.stage.probe("smtp", Ok(45)).await;
        self.stage.runtime.clock.sleep(SETTLE).await;
    }
}

#[test]
fn the_overview_says_what_is_wrong() {
    let shown = play(|site| async move {
        site.break_imap().await;
        let cookie = site.sign_in().await;
        let overview = site.get(&cookie, "overview").await;
        let mut shown = String::new();
        for alarm in overview["wrong"].as_array().unwrap() {
            shown.push_str(&format!(
                "wrong {} {} {}: {}\n",
                alarm["id"], alarm["href"], alarm["runbook"]["href"], alarm["reason"]
            ));
        }
        for monitor in overview["monitors"].as_array().unwrap() {
            let bars = monitor["bars"].as_array().unwrap();
            shown.push_str(&format!(
                "monitor {} {} latency {} availability {} last bar {} of {}\n",
                monitor["name"],
                monitor["state"],
                monitor["latency"],
                monitor["availability"],
                bars[47],
                bars.len()
            ));
        }
        for heartbeat in overview["heartbeats"].as_array().unwrap() {
            shown.push_str(&format!("heartbeat {} {}\n", heartbeat["name"], heartbeat["state"]));
        }
        for group in overview["groups"].as_array().unwrap() {
            for alert in group["alerts"].as_array().unwrap() {
                shown.push_str(&format!(
                    "alert to {} {} {} {} {}\n",
                    group["receiver"], alert["summary"], alert["state"], alert["runbook"]["href"], alert["source_href"]
                ));
            }
        }
        shown.push_str(&format!(
            "outbox {} {}\n",
            overview["outbox"]["queued"], overview["outbox"]["channels"][0]["error"]
        ));
        shown.push_str(&format!("totals {}\n", overview["totals"]));
        shown
    });
    expect![[r#"
        wrong "monitor/imap" "/alarms/monitor/imap" "/runbooks/imap-down": "it is down: connection refused (2 of 2 probes failed, since 00:03 UTC)"
        monitor "imap" "ALARM" latency null availability 0.6 last bar 0.6 of 48
        monitor "smtp" "OK" latency 0.045 availability 1.0 last bar 1.0 of 48
        monitor "webmail" "OK" latency 0.12 availability 1.0 last bar 1.0 of 48
        heartbeat "backup" "new"
        heartbeat "log-rotate" "new"
        alert to "on-call" "imap is down: connection refused (2 of 2 probes failed, since 00:03 UTC)" "active" "/runbooks/imap-down" "/alarms/monitor%2Fimap"
        outbox 2 "the name `receiver.example` does not resolve: name or service not known"
        totals {"alarm":1,"insufficient_data":2,"ok":7}
    "#]].assert_eq(&shown);
}

#[test]
fn an_alarm_has_a_page() {
    let shown = play(|site| async move {
        site.break_imap().await;
        let cookie = site.sign_in().await;
        let page = site.get(&cookie, "alarms/monitor%2Fimap").await;
        let mut shown = format!("{}\n", page["condition"]);
        for graph in page["graphs"].as_array().unwrap() {
            shown.push_str(&format!("{} {} {}\n", graph["title"], graph["query"], graph["unit"]));
        }
        for change in page["history"].as_array().unwrap() {
            shown.push_str(&format!("{} {} -> {}: {}\n", change["at"], change["from"], change["to"], change["reason"]));
        }
        let none = site.send(ask("GET", "/api/watchbell/v1/alarms/monitor%2Fnone").session(&cookie)).await;
        shown.push_str(&format!("{} {}\n", none.status.as_u16(), none.body));
        let html = site.send(ask("GET", "/alarms/monitor/imap").session(&cookie)).await.body;
        assert!(html.contains("<h1>imap</h1>") && html.contains("href=\"/runbooks/imap-down\""), "{html}");
        shown
    });
    expect![[r#"
        "2 probes in a row failed: imap to mail.example.org:993 every 1m"
        "How long a probe takes" "probe_duration_seconds{monitor=\"imap\"}" "seconds"
        "Up or down" "probe_success{monitor=\"imap\"}" "state"
        "2026-01-05T00:04:00.000Z" "OK" -> "ALARM": "it is down: connection refused (2 of 2 probes failed, since 00:03 UTC)"
        "2026-01-05T00:00:00.000Z" "INSUFFICIENT_DATA" -> "OK": "it is up: it answers"
        404 {"error":"there is no alarm `monitor/none`"}
    "#]].assert_eq(&shown);
}

#[test]
fn a_run_book_shows_its_alarms_and_runs_nothing() {
    play(|site| async move {
        site.break_imap().await;
        let page = site.send(ask("GET", "/runbooks/imap-down")).await;
        assert_eq!(page.status, 200);
        for part in ["<h1>IMAP is down</h1>", "href=\"/alarms/monitor/imap\"", "in alarm for", "<table>"] {
            assert!(page.body.contains(part), "{part} is missing in {}", page.body);
        }
        assert!(!page.body.contains("<script>"), "{}", page.body);
        assert_eq!(site.send(ask("GET", "/runbooks/none")).await.status, 404);
    });
}

#[test]
fn an_alert_without_a_run_book_gets_a_page_that_says_so() {
    play(|site| async move {
        let alert = r#"[{"labels":{"alertname":"X<b>","team":"a"},"annotations":{"summary":"<i>odd</i>"}}]"#;
        site.send(ask("POST", "/api/v2/alerts").header("content-type", "application/json").body(alert)).await;
        site.stage.runtime.clock.sleep(SETTLE).await;
        let cookie = site.sign_in().await;
        let groups = site.get(&cookie, "alerts").await;
        let href = groups[0]["alerts"][0]["runbook"]["href"].as_str().unwrap().to_owned();
        let page = site.send(ask("GET", href)).await;
        assert_eq!(page.status, 200);
        assert!(
            page.body.contains("Nobody has written a run book") && page.body.contains("&lt;i&gt;odd"),
            "{}",
            page.body
        );
        assert!(!page.body.contains("<i>odd"), "{}", page.body);
    });
}

#[test]
fn a_silence_is_made_and_ended() {
    play(|site| async move {
        let cookie = site.sign_in().await;
        let post = |body: &str| {
            ask("POST", "/api/watchbell/v1/silences")
                .session(&cookie)
                .header("content-type", "application/json")
                .body(body)
        };
        let made = site
            .send(post(r#"{"matchers":[{"name":"a","op":"=~","value":"b.*"}],"duration":3600,"comment":"c"}"#))
            .await;
        assert_eq!(made.status, 200, "{}", made.body);
        let silences = site.get(&cookie, "silences").await;
        let id = silences[0]["id"].as_str().unwrap().to_owned();
        assert_eq!((&silences[0]["state"], &silences[0]["comment"]), (&"active".into(), &"c".into()));
        assert_eq!(
            site.send(post(r#"{"matchers":[{"name":"a","op":"~","value":"b"}],"duration":3600}"#)).await.status,
            400
        );
        assert_eq!(site.send(post(r#"{"matchers":[],"duration":3600}"#)).await.status, 400);
        assert_eq!(
            site.send(post(r#"{"matchers":[{"name":"a","op":"=","value":"b"}],"duration":-1}"#)).await.status,
            400
        );
        let end = ask("DELETE", format!("/api/watchbell/v1/silences/{id}")).session(&cookie);
        assert_eq!(site.send(end.clone()).await.status, 204);
        assert_eq!(site.send(end).await.status, 400);
        assert_eq!(site.get(&cookie, "silences").await[0]["state"], "expired");
    });
}

#[test]
fn a_page_is_told_of_changes_until_it_is_signed_out() {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    play(|site| async move {
        let cookie = site.sign_in().await;
        let request =
            http::Request::get("/api/watchbell/v1/events").header("host", "localhost").header("cookie", &cookie);
        let router = watchbell_http::as_if_from(
            site.router.clone(),
            "127.0.0.1:1".parse().unwrap(),
            "127.0.0.1:9800".parse().unwrap(),
        );
        let mut stream = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_body();
        let next = async |stream: &mut Body| {
            stream.frame().await.map(|frame| String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
        };
        assert_eq!(next(&mut stream).await.unwrap(), ": beat\n\n");
        site.stage.probe("smtp", Ok(45)).await;
        let told = next(&mut stream).await.unwrap();
        assert!(told.starts_with("event: change\ndata: {\"topics\":[\"alarms\""), "{told}");
        site.send(ask("POST", "/signout").session(&cookie)).await;
        let mut last = next(&mut stream).await;
        while last.is_some() {
            last = next(&mut stream).await;
        }
    });
}

#[test]
fn files_are_kept_by_browsers_and_sent_small() {
    play(|site| async move {
        let cookie = site.sign_in().await;
        let page = site.send(ask("GET", "/monitors").session(&cookie)).await.body;
        let Some(script) = page.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()) else {
            // Built without npm: the page says how to get the UI.
            assert!(page.contains("cargo build"), "{page}");
            return;
        };
        let plain = site.send(ask("GET", script)).await;
        assert_eq!(plain.headers["cache-control"], "public, max-age=31536000, immutable");
        let tag = plain.headers["etag"].to_str().unwrap().to_owned();
        let small = site.send(ask("GET", script).header("accept-encoding", "br, gzip;q=0.8")).await;
        assert_eq!(small.headers["content-encoding"], "gzip");
        let known = site.send(ask("GET", script).header("if-none-match", tag)).await;
        assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
        assert_eq!(site.send(ask("GET", "/assets/..%2F..%2FCargo.toml")).await.status, 404);
    });
}

#[test]
fn this_host_shows_within_seconds_of_the_start() {
    use watchbell_model::{Append, Point};

    let shown = play(|site| async move {
        for tick in 0..5 {
            let at = site.stage.runtime.clock.now();
            let point = |name: &str, more: &[(&str, &str)], value| {
                let own = [("job", "host"), ("instance", "mail-1")];
                Point::new(name, &[&own[..], more].concat(), at, value)
            };
            let disk = |at: &'static str| [("device", "/dev/sda"), ("mountpoint", at)];
            let points = vec![
                point("node_cpu_seconds_total", &[("mode", "idle")], f64::from(tick) * 6.0),
                point("node_cpu_seconds_total", &[("mode", "user")], f64::from(tick) * 2.0),
                point("node_memory_MemTotal_bytes", &[], 4e9),
                point("node_memory_MemAvailable_bytes", &[], 1e9),
                point("node_filesystem_size_bytes", &disk("/"), 8e9),
                point("node_filesystem_avail_bytes", &disk("/"), 2e9),
                // The same file system once more, and one that is none.
                point("node_filesystem_size_bytes", &disk("/srv/bind"), 8e9),
                point("node_filesystem_avail_bytes", &disk("/srv/bind"), 2e9),
                point("node_filesystem_size_bytes", &[("device", "x"), ("mountpoint", "/run/x")], 4096.0),
                point("node_filesystem_avail_bytes", &[("device", "x"), ("mountpoint", "/run/x")], 0.0),
            ];
            site.stage.series.append(points.into()).await.unwrap();
            site.stage.runtime.clock.sleep(std::time::Duration::from_secs(10)).await;
        }
        let cookie = site.sign_in().await;
        let host = site.get(&cookie, "overview").await["host"].clone();
        let last = |chart: &str| host[chart]["values"].as_array().unwrap().last().unwrap().clone();
        format!(
            "{} step {} cpu {} memory {} of {} disks {}\n",
            host["instance"],
            host["cpu"]["step"],
            last("cpu"),
            last("memory"),
            host["memory_bytes"],
            host["disks"]
        )
    });
    expect![[r#"
        "mail-1" step 10.0 cpu 0.25 memory 0.75 of 4000000000.0 disks [{"bytes":8000000000.0,"mountpoint":"/","used":0.75}]
    "#]].assert_eq(&shown);
}

#[test]
fn series_are_summed_up_over_windows() {
    use watchbell_model::{Append, Point};
    let shown = play(|site| async move {
        let now = site.stage.runtime.clock.now();
        let point = |minutes: u64, value| {
            let at = now - std::time::Duration::from_secs(60 * minutes);
            Point::new("requests_total", &[("job", "api")], at, value)
        };
        let points = vec![point(50, 5.0), point(40, 9.0), point(20, 2.0), point(10, 4.0)];
        site.stage.series.append(points.into()).await.unwrap();
        let cookie = site.sign_in().await;
        let start = now.as_seconds() - 3600.0;
        let half_hours = format!("rollup?match[]=requests_total&start={start}&width=30m");
        format!("{}\n", site.get(&cookie, &half_hours).await)
    });
    expect![[r#"
        [{"count":[2,2],"increase":[4.0,4.0],"labels":{"__name__":"requests_total","job":"api"},"last":[9.0,4.0],"max":[9.0,4.0],"mean":[7.0,3.0],"min":[5.0,2.0],"starts":[1767567600.0,1767569400.0],"step":1800.0}]
    "#]].assert_eq(&shown);
}

#[test]
fn a_downtime_is_made_listed_and_ended() {
    play(|site| async move {
        let cookie = site.sign_in().await;
        let ask = |method, path: &str, body: String| {
            let path = format!("/api/watchbell/v1/downtimes{path}");
            ask(method, path).session(&cookie).header("content-type", "application/json").body(body)
        };
        let new = |downtime: Value| serde_json::json!({ "downtime": downtime, "why": "a new disk" }).to_string();
        let now = serde_json::json!({ "name": "move", "matchers": ["source=\"monitor/imap\""], "lasts": "2h" });
        let made = site.send(ask("POST", "", new(now.clone()))).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let cron = serde_json::json!({ "name": "backup", "matchers": ["a=b"], "cron": "0 3 * * *", "lasts": "1h" });
        assert_eq!(site.send(ask("POST", "", new(cron))).await.status, 200);
        let list = site.get(&cookie, "downtimes").await;
        let shown: Vec<String> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                format!("{} {} {} by {}: {}", it["downtime"]["name"], it["state"], it["next_at"], it["by"], it["why"])
            })
            .collect();
        expect![[r#"
            "move" "active" null by "the UI": "a new disk"
            "backup" "pending" "2026-01-05T03:00:00.000Z" by "the UI": "a new disk""#]]
        .assert_eq(&shown.join("\n"));
        site.break_imap().await;
        let alerts = site.get(&cookie, "alerts").await;
        assert_eq!(alerts[0]["alerts"][0]["muted_by"], serde_json::json!(["move"]));
        let id = list[0]["id"].as_str().unwrap().to_owned();
        for (asked, status, words) in [
            (ask("POST", "", new(now.clone())), 400, "there is a downtime named `move` already"),
            (
                ask("POST", "", new(serde_json::json!({ "name": "x", "matchers": [], "lasts": "2h" }))),
                400,
                "it would cover every alert",
            ),
            (
                ask("POST", "", new(serde_json::json!({ "name": "x", "matchers": ["a=b"] }))),
                400,
                "it is not clear when",
            ),
            (ask("POST", "", new(serde_json::json!({ "name": "x" }))), 422, "matchers"),
            (ask("DELETE", "/none", String::new()), 404, "there is no downtime `none`"),
            (ask("DELETE", &format!("/{id}"), String::new()), 204, ""),
            (ask("DELETE", &format!("/{id}"), String::new()), 400, "is over already"),
        ] {
            let answer = site.send(asked).await;
            assert!(
                answer.status == status && answer.body.contains(words),
                "{words}: {} {}",
                answer.status,
                answer.body
            );
        }
        let alerts = site.get(&cookie, "alerts").await;
        assert_eq!(alerts[0]["alerts"][0]["muted_by"], serde_json::json!([]));
        let list = site.get(&cookie, "downtimes").await;
        let ended = list.as_array().unwrap().iter().find(|it| it["downtime"]["name"] == "move").unwrap();
        assert!(ended["state"] == "over" && ended["ended_at"].is_string(), "{ended}");
    });
}

#[test]
fn the_delivery_log_is_searched() {
    play(|site| async move {
        site.break_imap().await;
        // Nobody is behind the address: the page is tried again and again.
        site.stage.runtime.clock.sleep(std::time::Duration::from_secs(120)).await;
        let cookie = site.sign_in().await;
        let all = site.get(&cookie, "deliveries").await;
        let all = all.as_array().unwrap();
        assert!(all.len() > 3, "{all:?}");
        let first = all.last().unwrap();
        assert_eq!(
            (&first["attempt"], &first["outcome"], &first["page"]),
            (&1.into(), &"retry".into(), &all[0]["page"])
        );
        assert!(all[0]["waited_ms"].as_u64() > first["waited_ms"].as_u64(), "{all:?}");
        let count =
            async |query: &str| site.get(&cookie, &format!("deliveries?{query}")).await.as_array().unwrap().len();
        let channel = first["channel"].as_str().unwrap();
        let (receiver, _) = channel.split_once('/').unwrap();
        let found = [
            count("q=IMAP").await,
            count("q=imap%20nothing-like-it").await,
            count(&format!("channel={channel}")).await,
            count(&format!("channel={receiver}&outcome=retry")).await,
            count("channel=on").await,
            count("outcome=accepted").await,
            count("limit=2").await,
            count(&format!("before={}", all[1]["id"])).await,
        ];
        let named = all.iter().filter(|it| it.to_string().to_lowercase().contains("imap")).count();
        assert_eq!(found, [named, 0, all.len(), all.len(), 0, 0, 2, all.len() - 2]);
        let wrong = site.send(ask("GET", "/api/watchbell/v1/deliveries?outcome=lost").session(&cookie)).await;
        assert!(wrong.status == 400 && wrong.body.contains("`gaveup`"), "{}", wrong.body);
    });
}

#[test]
fn a_page_is_shown_before_it_is_sent() {
    play(|site| async move {
        site.break_imap().await;
        let cookie = site.sign_in().await;
        let test = site.get(&cookie, "previews?receiver=on-call").await;
        assert!(test[0]["text"].as_str().unwrap().contains("This is a test page"), "{test}");
        let fingerprint = site.stage.alerts.alerts()[0].fingerprint.clone();
        let shown = site.get(&cookie, &format!("previews?receiver=on-call&alert={fingerprint}")).await;
        let (text, end) = (shown[0]["text"].as_str().unwrap(), shown[0]["end"].as_str().unwrap());
        assert!(text.contains(r#""status": "firing""#) && end.contains(r#""status": "resolved""#), "{shown}");
        let buttons: Vec<&str> = shown[0]["buttons"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(buttons, ["Run book", "Alarm", "Acknowledge", "Silence", "Mark false"]);
        for (query, word) in
            [("receiver=nobody", "there is no receiver `nobody`"), ("receiver=on-call&alert=00", "fires")]
        {
            let answer = site.send(ask("GET", format!("/api/watchbell/v1/previews?{query}")).session(&cookie)).await;
            assert!(answer.status == 404 && answer.body.contains(word), "{}", answer.body);
        }
    });
}
