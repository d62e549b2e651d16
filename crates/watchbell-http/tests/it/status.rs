//! Status pages: who sees what, what they cost, and whether their figures can be come to again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};
use watchbell_http::{STATUS_PAGE_AGE_MAX, status_minute};
use watchbell_model::{Append, Labels, Matcher, Query, QueryError, Rollup, Series, Span, Timestamp};

use crate::stage::{Memory, Stage, status_pages};
use crate::{Answer, Ask, Site, ask, play};

const TOKEN: &str = "a-token-that-nobody-guesses";

fn pages() -> Value {
    let groups = json!([
        { "name": "Mail", "items": [
            { "monitor": "imap", "name": "Reading mail", "description": "On the phone & at home" },
            { "monitor": "smtp", "name": "Sending mail" } ] },
        { "name": "Behind it", "items": [{ "heartbeat": "backup", "name": "Backups" }] },
    ]);
    json!([
        { "name": "public", "title": "Example <mail>", "public": true, "host": "status.example.org", "groups": groups,
          "footer": "Ask anna.", "show_latency": true, "show_certificates": true },
        { "name": "team", "token": TOKEN, "groups": groups, "show_reasons": true },
        { "name": "inside", "groups": groups, "history_days": 7 },
    ])
}

impl Site {
    fn with_pages(&self) {
        *self.stage.config.status_pages.lock().unwrap() = status_pages(pages());
    }

    async fn look(&self, path: &str) -> Answer {
        self.send(ask("GET", path).public().host("elsewhere.example")).await
    }

    async fn board(&self, name: &str) -> Value {
        let cookie = self.sign_in().await;
        let answer = self.send(ask("GET", format!("/api/watchbell/v1/status/{name}")).session(&cookie)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Minutes of probes, each written down: what `imap` says in the first half of each, and that of all others is good.
    async fn minutes(&self, outcomes: impl IntoIterator<Item = Result<u64, &str>>) {
        for outcome in outcomes {
            let clock = &self.stage.runtime.clock;
            self.stage.probe("imap", outcome).await;
            self.stage.probe("smtp", Ok(45)).await;
            self.write_down(&self.stage).await;
            clock.sleep(Duration::from_secs(60)).await;
        }
    }

    async fn write_down(&self, stage: &Stage) {
        let points = status_minute(&stage.alarms, &stage.alerts, stage.runtime.clock.now());
        stage.series.append(points.into()).await.unwrap();
    }

    async fn post(&self, cookie: &str, path: &str, body: Value) -> Answer {
        let ask = ask("POST", format!("/api/watchbell/v1/{path}")).session(cookie);
        self.send(ask.header("content-type", "application/json").body(body.to_string())).await
    }
}

/// What a page says, item by item.
fn said(board: &Value) -> String {
    let mut text = format!("{}: {}\n", board["state"], board["summary"]);
    for item in board["groups"].as_array().unwrap().iter().flat_map(|group| group["items"].as_array().unwrap()) {
        let today = item["days"].as_array().unwrap().last().unwrap();
        text.push_str(&format!(
            "{} {} {} {} of {} minutes down, {} in maintenance, {} of 24h\n",
            item["id"],
            item["state"],
            today["date"],
            today["down_minutes"],
            today["known_minutes"],
            today["maintenance_minutes"],
            item["uptime"][0]["up"],
        ));
    }
    text
}

#[test]
fn a_page_says_what_works_and_nothing_of_the_inside() {
    play(|site| async move {
        site.with_pages();
        let fails = Err("connection refused");
        site.minutes([Ok(20), Ok(20), fails, fails, fails, fails, Ok(20), fails, fails]).await;
        let board = site.board("public").await;
        expect![[r#"
            "down": "1 of 3 is down"
            "reading-mail" "down" "2026-01-05" 4 of 9 minutes down, 0 in maintenance, 0.5555555555555556 of 24h
            "sending-mail" "up" "2026-01-05" 0 of 9 minutes down, 0 in maintenance, 1.0 of 24h
            "backups" "unknown" "2026-01-05" 0 of 0 minutes down, 0 in maintenance, null of 24h
        "#]]
        .assert_eq(&said(&board));
        let item = &board["groups"][0]["items"][0];
        assert_eq!((item["days"].as_array().unwrap().len(), item["uptime"].as_array().unwrap().len()), (90, 4));
        assert_eq!((&item["reason"], item["certificate_ends_at"].is_string()), (&Value::Null, true));

        let page = site.look("/status/public").await;
        assert_eq!(page.status, 200);
        for part in [
            "<h1>Example &lt;mail&gt;</h1>",
            "1 of 3 is down",
            "<h3>Reading mail</h3>",
            "On the phone &amp; at home",
            "55.55 % up in 90d",
            "2026-01-05: down for 4 minutes (55.55 % up)",
            "Ask anna.",
            "45 ms",
            "certificate until 6 Mar 2026",
        ] {
            assert!(page.body.contains(part), "{part} is missing in {}", page.body);
        }
        let mut forms = vec![page.body];
        for path in [
            "/status/public/feed.atom",
            "/api/watchbell/v1/status/public",
            "/status/public/feed.rss",
            "/api/status-page/public",
            "/api/status-page/heartbeat/public",
        ] {
            let answer = site.look(path).await;
            assert_eq!(answer.status, 200, "{path}");
            forms.push(answer.body);
        }
        for form in &forms {
            for inside in ["mail.example.org:993", "refused", "monitor/imap", "\"imap\"", "<script", "style=\""] {
                assert!(!form.contains(inside), "{inside} is in {form}");
            }
        }
        for feed in [&forms[1], &forms[3]] {
            assert!(feed.contains("<title>Reading mail is down</title>"), "{feed}");
        }
        // Where the page's configuration allows it, what the probe saw is told.
        let team = site.board("team").await;
        let reason = team["groups"][0]["items"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("connection refused"), "{reason}");
    });
}

#[test]
fn a_figure_is_what_its_expression_comes_to() {
    play(|site| async move {
        site.with_pages();
        let outcomes = (0..3 * 24 * 60).map(|minute| if minute % 100 < 7 { Err("no") } else { Ok(20) });
        site.minutes(outcomes).await;
        let cookie = site.sign_in().await;
        let answer = site.send(ask("GET", "/api/watchbell/v1/status-pages").session(&cookie)).await;
        let pages: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(
            (&pages[0]["access"], &pages[1]["access"], &pages[2]["access"]),
            (&json!("public"), &json!("token"), &json!("private"))
        );
        assert_eq!(pages[0]["href"], "https://status.example.org/status/public");
        assert_eq!(pages[1]["href"], "https://watch.example.org/status/team");
        let figures = pages[0]["items"][0]["uptime"].as_array().unwrap();
        assert_eq!(figures.len(), 4);
        for figure in figures {
            let up = figure["up"].as_f64().unwrap();
            assert!((0.9..0.96).contains(&up), "{figure}");
            let (expression, at) = (figure["expression"].as_str().unwrap(), figure["at"].as_str().unwrap());
            let query = [("query", expression), ("time", at)].map(|(name, value)| {
                let value: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
                format!("{name}={value}")
            });
            let answer = site.send(ask("GET", format!("/api/v1/query?{}", query.join("&")))).await;
            let answer: Value = serde_json::from_str(&answer.body).unwrap();
            let value: f64 = answer["data"]["result"][0]["value"][1].as_str().unwrap().parse().unwrap();
            assert!((value - up).abs() < 1e-12, "{value} {figure}");
        }
    });
}

#[test]
fn maintenance_counts_neither_way() {
    play(|site| async move {
        site.with_pages();
        site.minutes([Ok(20); 10]).await;
        let cookie = site.sign_in().await;
        let downtime = json!({ "name": "secret move", "matchers": ["source=\"monitor/imap\""], "lasts": "1h" });
        let later = json!({ "name": "later", "matchers": ["team=\"mail\""], "from": "2026-01-06T22:00", "until": "2026-01-06T23:00" });
        for body in [downtime, later] {
            let made = site.post(&cookie, "downtimes", json!({ "downtime": body })).await;
            assert_eq!(made.status, 200, "{}", made.body);
        }
        site.minutes([Err("no"); 5]).await;
        let board = site.board("public").await;
        expect![[r#"
            "unknown": "1 of 3 is unknown"
            "reading-mail" "maintenance" "2026-01-05" 0 of 10 minutes down, 5 in maintenance, 1.0 of 24h
            "sending-mail" "up" "2026-01-05" 0 of 15 minutes down, 0 in maintenance, 1.0 of 24h
            "backups" "unknown" "2026-01-05" 0 of 0 minutes down, 0 in maintenance, null of 24h
        "#]]
        .assert_eq(&said(&board));
        assert_eq!(
            board["maintenance"],
            json!([
                { "from": null, "until": "2026-01-05T01:10:00.000Z", "affects": ["Reading mail"] },
                { "from": "2026-01-06T22:00:00.000Z", "until": "2026-01-06T23:00:00.000Z", "affects": ["Reading mail", "Sending mail"] },
            ])
        );
        let page = site.look("/status/public").await.body;
        assert!(page.contains("Under way until <time") && page.contains("6 Jan 2026, 22:00 UTC"), "{page}");
        assert!(!page.contains("secret move"), "{page}");
    });
}

#[test]
fn incidents_are_told_and_survive_a_restart() {
    play(|site| async move {
        site.with_pages();
        site.minutes([Ok(20)]).await;
        let cookie = site.sign_in().await;
        let refused = |answer: Answer| format!("{} {}", answer.status.as_u16(), answer.body);
        for (body, words) in [
            (json!({ "title": "x", "text": "y", "affects": ["Reading mial"] }), "did you mean `Reading mail`?"),
            (json!({ "title": "x", "text": "y", "pages": ["pubic"] }), "did you mean `public`?"),
            (json!({ "title": " ", "text": "y" }), "an incident needs a title"),
            (json!({ "title": "x" }), "missing field `text`"),
        ] {
            let said = refused(site.post(&cookie, "incidents", body).await);
            assert!(said.starts_with('4') && said.contains(words), "{said}");
        }
        let new = json!({ "title": "Mail <b>late</b>", "text": "We look.\n\nSoon more.", "affects": ["Reading mail", "smtp"],
            "pages": ["public"], "by": "berta" });
        let opened = site.post(&cookie, "incidents", new).await;
        assert_eq!(opened.status, 200, "{}", opened.body);
        let opened: Value = serde_json::from_str(&opened.body).unwrap();
        assert_eq!(opened["affects"], json!(["monitor/imap", "monitor/smtp"]));
        let id = opened["id"].as_str().unwrap();

        // It is there at once, however young the page is.
        let page = site.look("/status/public").await.body;
        for part in
            ["Mail &lt;b&gt;late&lt;/b&gt;", "<p>We look.</p><p>Soon more.</p>", "degraded: Reading mail, Sending mail"]
        {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
        assert!(page.contains("Not all of it works as it should") && !page.contains("berta"), "{page}");
        assert!(!site.board("inside").await.to_string().contains("<b>late</b>"));

        site.stage.runtime.clock.sleep(Duration::from_secs(300)).await;
        let path = format!("incidents/{id}");
        let told =
            site.post(&cookie, &path, json!({ "text": "A disk.", "stage": "identified", "impact": "outage" })).await;
        assert_eq!(told.status, 200, "{}", told.body);
        let feed = site.look("/status/public/feed.atom").await.body;
        assert!(feed.contains("<title>Identified: Mail &lt;b&gt;late&lt;/b&gt;</title>"), "{feed}");
        assert_eq!(feed.matches("<entry>").count(), 2);
        let resolved = site.post(&cookie, &path, json!({ "text": "Done.", "stage": "resolved" })).await;
        assert_eq!(resolved.status, 200, "{}", resolved.body);
        let page = site.look("/status/public").await.body;
        assert!(page.contains("Past incidents") && !page.contains("There is an outage"), "{page}");
        assert_eq!(site.post(&cookie, "incidents/none", json!({ "text": "x" })).await.status, 404);

        // What is kept is there again.
        let again = Stage::bare(site.stage.runtime.clone(), site.stage.state.clone(), Stage::receivers(&[])).await;
        assert_eq!(again.alerts.incidents(), site.stage.alerts.incidents());
        assert_eq!(again.alerts.incidents()[0].updates.len(), 3);

        let remove = ask("DELETE", format!("/api/watchbell/v1/{path}")).session(&cookie);
        assert_eq!(site.send(remove.clone()).await.status, 204);
        assert_eq!(site.send(remove).await.status, 404);
        assert!(!site.look("/status/public").await.body.contains("late"));

        // What could not be kept is not told.
        site.stage.state.set_broken(true);
        assert_eq!(site.post(&cookie, "incidents", json!({ "title": "x", "text": "y" })).await.status, 503);
        site.stage.state.set_broken(false);
        assert!(site.stage.alerts.incidents().is_empty());
    });
}

#[test]
fn each_page_opens_for_those_it_is_for() {
    play(|site| async move {
        site.with_pages();
        let status = |ask: Ask| async { site.send(ask).await.status.as_u16() };
        let get = |path: &str| ask("GET", path).public();
        assert_eq!(status(get("/status/none")).await, 404);
        // Without anything: only the public one.
        assert_eq!(status(get("/status/public")).await, 200);
        assert_eq!(status(get("/status/team")).await, 401);
        let to_sign_in = site.send(get("/status/inside")).await;
        assert_eq!(
            (to_sign_in.status.as_u16(), &to_sign_in.headers["location"]),
            (303, &"/signin?next=/status/inside".parse().unwrap())
        );
        for form in [
            "/status/PAGE/feed.atom",
            "/status/PAGE/feed.rss",
            "/status/PAGE/badge/status.svg",
            "/status/PAGE/badge/reading-mail/status.svg",
            "/api/status-page/PAGE",
            "/api/status-page/heartbeat/PAGE",
            "/api/status-page/PAGE/manifest.json",
            "/api/status-page/PAGE/badge",
        ] {
            let of = |page: &str| form.replace("PAGE", page);
            assert_eq!(status(get(&of("public"))).await, 200, "{form}");
            assert_eq!(status(get(&of("team"))).await, 401, "{form}");
            assert_eq!(status(get(&format!("{}?token={TOKEN}", of("team")))).await, 200, "{form}");
            assert_eq!(status(get(&of("inside"))).await, 401, "{form}");
            assert_eq!(status(get(&of("none"))).await, 404, "{form}");
        }
        // The token opens its page once, and the cookie from then on.
        let opened = site.send(get(&format!("/status/team?token={TOKEN}"))).await;
        assert_eq!((opened.status.as_u16(), &opened.headers["location"]), (303, &"/status/team".parse().unwrap()));
        let cookie = opened.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        assert!(!cookie.contains(TOKEN), "{cookie}");
        let page = site.send(get("/status/team").header("cookie", cookie.clone())).await;
        assert_eq!(
            (page.status.as_u16(), &page.headers["cache-control"]),
            (200, &"private, max-age=5".parse().unwrap())
        );
        assert!(page.body.contains("noindex") && !page.headers.contains_key("access-control-allow-origin"));
        assert_eq!(status(get("/status/inside").header("cookie", cookie)).await, 303);
        assert_eq!(status(get("/status/team").header("authorization", format!("Bearer {TOKEN}"))).await, 200);
        // It opens nothing else.
        assert_eq!(
            status(get("/api/watchbell/v1/incidents").header("authorization", format!("Bearer {TOKEN}"))).await,
            401
        );
        // Who is signed in, or has an API token, sees all.
        let session = site.sign_in().await;
        let api = site.stage.auth.issue_token("wall").await.unwrap();
        for name in ["public", "team", "inside"] {
            assert_eq!(status(get(&format!("/status/{name}")).session(&session)).await, 200);
            assert_eq!(
                status(get(&format!("/status/{name}")).header("authorization", format!("Bearer {api}"))).await,
                200
            );
        }
        // Who guesses is slowed down.
        for _ in 0..watchbell_http::SIGN_INS_MAX {
            assert_eq!(status(get("/status/team?token=guess")).await, 401);
        }
        assert_eq!(status(get("/status/team?token=guess")).await, 429);
        assert_eq!(status(get("/status/public")).await, 200);
    });
}

#[test]
fn a_host_of_its_own_has_the_page_and_nothing_else() {
    play(|site| async move {
        site.with_pages();
        let at = |path: &str| ask("GET", path).public().host("Status.example.org:443");
        let page = site.send(at("/")).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("<h1>Example &lt;mail&gt;</h1>"), "{}", page.body);
        assert_eq!(site.send(at("/status/public/feed.atom")).await.status, 200);
        let style = page.body.split("rel=\"stylesheet\" href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let styled = site.send(at(&style)).await;
        assert_eq!(
            (styled.status.as_u16(), &styled.headers["content-type"]),
            (200, &"text/css; charset=utf-8".parse().unwrap())
        );
        for path in ["/alarms", "/signin", "/api/v1/labels", "/metrics", "/api/watchbell/v1/overview"] {
            assert_eq!(site.send(at(path)).await.status, 421, "{path}");
        }
        // Elsewhere the root is the overview.
        assert_eq!(site.send(ask("GET", "/").public()).await.status, 303);
    });
}

/// Series, and how often they are read.
struct Counted(Arc<Memory>, AtomicUsize);

impl Query for Counted {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.select(matchers, start, end)
    }

    fn rollup(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        width: Span,
    ) -> Result<Vec<(Labels, Vec<Rollup>)>, QueryError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.rollup(matchers, start, end, width)
    }
}

#[test]
fn a_crowd_costs_no_more_than_one() {
    play(|mut site| async move {
        site.with_pages();
        site.minutes([Ok(20); 3]).await;
        let counted = Arc::new(Counted(site.stage.series.clone(), AtomicUsize::new(0)));
        let mut handles = site.stage.handles();
        handles.query = counted.clone();
        site.router = watchbell_http::router(handles);
        let reads = || counted.1.swap(0, Ordering::SeqCst);
        let first = site.look("/status/public").await;
        // Ten days at once, two series: the whole past once.
        assert_eq!(reads(), 2 * 10);
        let crowd = (0..200).map(|_| site.look("/status/public"));
        assert!(futures_util::future::join_all(crowd).await.iter().all(|it| it.body == first.body));
        assert_eq!(reads(), 0);
        site.stage.runtime.clock.sleep(STATUS_PAGE_AGE_MAX).await;
        let crowd = (0..200).map(|_| site.look("/status/public"));
        let later = futures_util::future::join_all(crowd).await.pop().unwrap();
        // The hours that are over are known; what is under way is read once for all of them.
        assert_eq!(reads(), 2);

        // So it is with what Kuma's clients ask for.
        let crowd = (0..200).map(|_| site.look("/api/status-page/heartbeat/public"));
        assert!(futures_util::future::join_all(crowd).await.iter().all(|it| it.status == 200));
        assert_eq!(reads(), 2);

        let tag = later.headers["etag"].to_str().unwrap().to_owned();
        let known = site.send(ask("GET", "/status/public").public().header("if-none-match", tag)).await;
        assert_eq!((known.status.as_u16(), known.bytes.len()), (304, 0));
        let packed = site.send(ask("GET", "/status/public").public().header("accept-encoding", "br, gzip")).await;
        assert_eq!(&packed.headers["content-encoding"], "gzip");
        assert!(packed.bytes.len() * 4 < first.bytes.len(), "{} of {}", packed.bytes.len(), first.bytes.len());
        let head = site.send(ask("HEAD", "/status/public").public()).await;
        assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
    });
}

/// What gethomepage's widget makes of the two answers: how many are up and down, and the mean of their shares.
fn widget(page: &Value, beats: &Value) -> String {
    let lists = beats["heartbeatList"].as_object().unwrap();
    let up = lists.values().filter(|list| list.as_array().unwrap().last().unwrap()["status"] == 1).count();
    let shares: Vec<f64> =
        beats["uptimeList"].as_object().unwrap().values().map(|share| share.as_f64().unwrap()).collect();
    let percent = 100.0 * shares.iter().sum::<f64>() / shares.len() as f64;
    let incident = page["incident"]["createdDate"].as_str().unwrap_or("none");
    format!("{up} up, {} down, {percent:.1} %, incident {incident}", lists.len() - up)
}

#[test]
fn clients_of_uptime_kuma_read_a_page() {
    play(|site| async move {
        site.with_pages();
        let fails = Err("connection refused");
        site.minutes((0..130).map(|minute| if minute < 40 { fails } else { Ok(20) })).await;
        let cookie = site.sign_in().await;
        let downtime = json!({ "name": "secret move", "matchers": ["source=\"monitor/smtp\""], "lasts": "1h" });
        let made = site.post(&cookie, "downtimes", json!({ "downtime": downtime })).await;
        assert_eq!(made.status, 200, "{}", made.body);
        site.minutes([fails, fails, fails]).await;
        let incident =
            json!({ "title": "Mail <late>", "text": "We look.", "affects": ["Reading mail"], "impact": "outage" });
        let opened = site.post(&cookie, "incidents", incident).await;
        assert_eq!(opened.status, 200, "{}", opened.body);

        let read = async |path: &str| -> Value {
            let answer = site.look(path).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.headers["content-type"]),
                (200, &"application/json".parse().unwrap())
            );
            assert!(!answer.body.contains("secret move") && !answer.body.contains("refused"), "{}", answer.body);
            serde_json::from_str(&answer.body).unwrap()
        };
        // As Kuma, whatever the case.
        let page = read("/api/status-page/Public").await;
        let beats = read("/api/status-page/heartbeat/public").await;
        expect![[r#"
            {
              "config": {
                "analyticsId": null,
                "analyticsScriptUrl": null,
                "analyticsType": null,
                "autoRefreshInterval": 60,
                "customCSS": "",
                "description": "",
                "footerText": "Ask anna.",
                "icon": "/assets/icon.svg",
                "published": true,
                "rssTitle": null,
                "showCertificateExpiry": true,
                "showOnlyLastHeartbeat": false,
                "showPoweredBy": false,
                "showTags": false,
                "slug": "public",
                "theme": "auto",
                "title": "Example <mail>"
              },
              "incident": {
                "active": true,
                "content": "We look.",
                "createdDate": "2026-01-05 02:13:00.000",
                "id": 1767579180000,
                "lastUpdatedDate": "2026-01-05 02:13:00.000",
                "pin": true,
                "status_page_id": 1,
                "style": "danger",
                "title": "Mail <late>"
              },
              "incidents": [
                {
                  "active": true,
                  "content": "We look.",
                  "createdDate": "2026-01-05 02:13:00.000",
                  "id": 1767579180000,
                  "lastUpdatedDate": "2026-01-05 02:13:00.000",
                  "pin": true,
                  "status_page_id": 1,
                  "style": "danger",
                  "title": "Mail <late>"
                }
              ],
              "maintenanceList": [
                {
                  "active": true,
                  "cron": null,
                  "dateRange": [
                    null,
                    "2026-01-05 03:10:00.000"
                  ],
                  "daysOfMonth": [],
                  "description": "Sending mail",
                  "duration": null,
                  "durationMinutes": null,
                  "id": 1,
                  "intervalDay": 1,
                  "status": "under-maintenance",
                  "strategy": "manual",
                  "timeRange": [
                    {
                      "hours": 0,
                      "minutes": 0
                    },
                    {
                      "hours": 0,
                      "minutes": 0
                    }
                  ],
                  "timeslotList": [],
                  "timezone": "UTC",
                  "timezoneOffset": "+00:00",
                  "timezoneOption": "UTC",
                  "title": "Maintenance",
                  "weekdays": []
                }
              ],
              "publicGroupList": [
                {
                  "id": 1,
                  "monitorList": [
                    {
                      "certExpiryDaysRemaining": 59,
                      "id": 1,
                      "name": "Reading mail",
                      "sendUrl": 0,
                      "type": "push",
                      "validCert": true
                    },
                    {
                      "certExpiryDaysRemaining": 60,
                      "id": 2,
                      "name": "Sending mail",
                      "sendUrl": 0,
                      "type": "push",
                      "validCert": true
                    }
                  ],
                  "name": "Mail",
                  "weight": 1
                },
                {
                  "id": 2,
                  "monitorList": [
                    {
                      "certExpiryDaysRemaining": "",
                      "id": 3,
                      "name": "Backups",
                      "sendUrl": 0,
                      "type": "push",
                      "validCert": false
                    }
                  ],
                  "name": "Behind it",
                  "weight": 2
                }
              ]
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&page).unwrap());
        let of = |number: &str| beats["heartbeatList"][number].as_array().unwrap().clone();
        assert_eq!([of("1").len(), of("2").len(), of("3").len()], [100, 100, 1]);
        let runs = |number: &str| {
            let list = of(number);
            let runs = list.chunk_by(|a, b| a["status"] == b["status"]);
            runs.map(|run| format!("{}x{}", run.len(), run[0]["status"])).collect::<Vec<_>>().join(" ")
        };
        assert_eq!([runs("1"), runs("2"), runs("3")], ["7x0 91x1 2x0", "97x1 3x3", "1x2"]);
        expect![[r#"
            {"msg":"","ping":null,"status":0,"time":"2026-01-05 02:11:00.000"} {"msg":"","ping":null,"status":0,"time":"2026-01-05 02:12:00.000"}
            {"msg":"","ping":45.0,"status":3,"time":"2026-01-05 02:12:00.000"}"#]].assert_eq(&format!("{} {}\n{}", of("1")[98], of("1")[99], of("2")[99]));
        expect!["0 up, 3 down, 56.3 %, incident 2026-01-05 02:13:00.000"].assert_eq(&widget(&page, &beats));
        expect![[r#"{"display":"standalone","icons":[{"sizes":"any","src":"/assets/icon.svg","type":"image/svg+xml"}],"name":"Example <mail>","start_url":"/status/public"}"#]].assert_eq(&read("/api/status-page/public/manifest.json").await.to_string());
        let badge = site.look("/api/status-page/public/badge").await;
        assert!(badge.body.contains("<title>Example &lt;mail&gt;: down</title>"), "{}", badge.body);
        let rss = site.look("/status/public/rss").await;
        assert_eq!(&rss.headers["content-type"], "application/rss+xml; charset=utf-8");
        expect![[r#"
            <?xml version="1.0" encoding="utf-8"?>
            <rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom">
            <channel>
            <title>Example &lt;mail&gt;</title>
            <link>https://status.example.org/status/public</link>
            <description>1 of 3 is down</description>
            <atom:link rel="self" type="application/rss+xml" href="https://status.example.org/status/public/feed.rss"/>
            <lastBuildDate>Mon, 5 Jan 2026 02:13:00 +0000</lastBuildDate>
            <item><title>Investigating: Mail &lt;late&gt;</title><link>https://status.example.org/status/public</link><guid isPermaLink="false">urn:uuid:6c8f1db2-15c3-49d9-bb51-eb792a02e6e8:0</guid><pubDate>Mon, 5 Jan 2026 02:13:00 +0000</pubDate><description>We look.</description></item>
            <item><title>Reading mail is down</title><link>https://status.example.org/status/public</link><guid isPermaLink="false">urn:watchbell:public:reading-mail:1767579060000</guid><pubDate>Mon, 5 Jan 2026 02:11:00 +0000</pubDate><description>Reading mail is down since 2026-01-05T02:11:00.000Z.</description></item>
            </channel>
            </rss>
        "#]].assert_eq(&rss.body);
    });
}

#[test]
fn badges_say_one_thing_each() {
    let shown = play(|site| async move {
        site.with_pages();
        site.minutes((0..100).map(|minute| if minute < 3 { Err("no") } else { Ok(20) })).await;
        let mut shown = String::new();
        for path in [
            "/status/public/badge/status.shields",
            "/status/public/badge/reading-mail/status.shields",
            "/status/public/badge/reading-mail/uptime-24h.shields",
            "/status/public/badge/reading-mail/uptime-90d.shields",
            "/status/public/badge/reading-mail/latency.shields",
            "/status/public/badge/reading-mail/certificate.shields",
            "/status/public/badge/backups/status.shields",
            "/status/public/badge/backups/latency.shields",
            "/status/public/badge/reading-mail/uptime-1h.shields",
            "/status/public/badge/none/status.shields",
            "/status/public/badge/reading-mail/status.png",
            "/api/badge/reading-mail/status",
            "/api/badge/reading-mail/uptime/720",
            "/api/badge/reading-mail/ping",
            "/api/badge/reading-mail/cert-exp",
            "/api/badge/none/status",
        ] {
            let answer = site.look(path).await;
            let text = answer
                .body
                .split("<title>")
                .nth(1)
                .map_or(answer.body.as_str(), |it| it.split("</title>").next().unwrap());
            shown.push_str(&format!("{} {path}: {text}\n", answer.status.as_u16()));
        }
        shown
    });
    expect![[r#"
        200 /status/public/badge/status.shields: {"color":"informational","label":"Example <mail>","message":"unknown","schemaVersion":1}
        200 /status/public/badge/reading-mail/status.shields: {"color":"success","label":"Reading mail","message":"up","schemaVersion":1}
        200 /status/public/badge/reading-mail/uptime-24h.shields: {"color":"critical","label":"Reading mail 24h","message":"97.97 %","schemaVersion":1}
        200 /status/public/badge/reading-mail/uptime-90d.shields: {"color":"critical","label":"Reading mail 90d","message":"97.97 %","schemaVersion":1}
        200 /status/public/badge/reading-mail/latency.shields: {"color":"informational","label":"Reading mail latency","message":"20 ms","schemaVersion":1}
        200 /status/public/badge/reading-mail/certificate.shields: {"color":"success","label":"Reading mail certificate","message":"60 days","schemaVersion":1}
        200 /status/public/badge/backups/status.shields: {"color":"informational","label":"Backups","message":"unknown","schemaVersion":1}
        404 /status/public/badge/backups/latency.shields: {"error":"there is no such status page, or it does not say this"}
        404 /status/public/badge/reading-mail/uptime-1h.shields: {"error":"there is no such status page, or it does not say this"}
        404 /status/public/badge/none/status.shields: {"error":"there is no such status page, or it does not say this"}
        404 /status/public/badge/reading-mail/status.png: {"error":"there is no such status page, or it does not say this"}
        200 /api/badge/reading-mail/status: Reading mail: up
        200 /api/badge/reading-mail/uptime/720: Reading mail 30d: 97.97 %
        200 /api/badge/reading-mail/ping: Reading mail latency: 20 ms
        200 /api/badge/reading-mail/cert-exp: Reading mail certificate: 60 days
        404 /api/badge/none/status: {"error":"there is no such status page, or it does not say this"}
    "#]].assert_eq(&shown);
}
