//! Who gets in where: every route, asked in every way.

use expect_test::expect_file;

use crate::stage::SINK_SECRET;
use crate::{Ask, ask, play};

/// A path of this route.
fn example(path: &str) -> String {
    let name = path
        .replace("{*path}", "0b6b2f3c-0000-4000-8000-000000000000")
        .replace("{*id}", "monitor/imap")
        .replace("{token}", "a-token-of-nobody");
    let name = name.replace("{check}", "0b6b2f3c-0000-4000-8000-000000000000").replace("{n}", "1");
    name.replace("{*name}", "imap-down").replace("{name}", "icon.svg").replace("{id}", "none")
}

/// Who asks, and what is added to the request.
const WAYS: [&str; 6] = ["local", "public", "public+wrong", "public+token", "public+session", "local+session"];

fn as_asked(way: &str, ask: Ask, token: &str, cookie: &str) -> Ask {
    let ask = if way.starts_with("public") { ask.public() } else { ask };
    match way.split_once('+').map(|(_, credential)| credential) {
        Some("wrong") => ask.header("authorization", "Bearer wb_wrong").header("cookie", "watchbell_session=wrong"),
        Some("token") => ask.header("authorization", format!("Bearer {token}")),
        Some("session") => ask.session(cookie),
        _ => ask,
    }
}

/// What became of a request: whether it got past the guard, not what the handler said.
fn verdict(status: u16) -> &'static str {
    match status {
        401 => "401",
        403 => "403",
        421 => "421",
        303 => "sign in",
        _ => "in",
    }
}

#[test]
fn every_route_asks_for_what_it_should() {
    let table = play(|site| async move {
        let token = site.stage.auth.issue_token("test").await.unwrap();
        let mut table = format!("{:<8} {:<6} {:<46}", "surface", "method", "path");
        for way in WAYS {
            table.push_str(&format!(" {way:<14}"));
        }
        table.push('\n');
        let mut lines = Vec::new();
        for (surface, methods, path) in watchbell_http::routes() {
            for method in methods {
                let method: &'static str = match method.as_str() {
                    "GET" => "GET",
                    "POST" => "POST",
                    "PUT" => "PUT",
                    "DELETE" => "DELETE",
                    _ => continue,
                };
                let mut line = format!("{surface:<8} {method:<6} {path:<46}");
                for way in WAYS {
                    // Signing out ends the session, so each way has its own.
                    let cookie = site.sign_in_quietly().await;
                    let ask = as_asked(way, ask(method, example(&path)), &token, &cookie);
                    let answer = site.send(ask).await;
                    let to_sign_in =
                        answer.headers.get("location").is_some_and(|to| to.as_bytes().starts_with(b"/signin?next="));
                    let status = answer.status.as_u16();
                    let verdict = if status == 303 && !to_sign_in { "in" } else { verdict(status) };
                    assert!(answer.headers.contains_key("content-security-policy"), "{method} {path}");
                    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
                    line.push_str(&format!(" {verdict:<14}"));
                }
                lines.push(line.trim_end().to_owned());
            }
        }
        lines.sort();
        table + &lines.join("\n") + "\n"
    });
    expect_file!["access.txt"].assert_eq(&table);
}

impl crate::Site {
    /// A session without the sign-in page, whose tries are counted.
    async fn sign_in_quietly(&self) -> String {
        let link = self.stage.auth.issue_link().await.unwrap();
        let secret = self.stage.auth.consume_link(link.split_once('=').unwrap().1, "test", "").await.unwrap().unwrap();
        format!("watchbell_session={secret}")
    }
}

#[test]
fn another_sites_page_changes_nothing() {
    play(|site| async move {
        let cookie = site.sign_in().await;
        let token = site.stage.auth.issue_token("script").await.unwrap();
        let silence = r#"{"matchers":[{"name":"a","op":"=","value":"b"}],"duration":60}"#;
        let post =
            || ask("POST", "/api/watchbell/v1/silences").header("content-type", "application/json").body(silence);
        let status = |ask: Ask| async { site.send(ask).await.status.as_u16() };
        let signed_in = || post().header("cookie", cookie.clone());
        assert_eq!(status(signed_in().header("sec-fetch-site", "cross-site")).await, 403);
        assert_eq!(status(signed_in().header("sec-fetch-site", "same-site")).await, 403);
        assert_eq!(status(signed_in().header("origin", "https://evil.example")).await, 403);
        assert_eq!(status(signed_in().header("origin", "null")).await, 403);
        // Every browser says where a change comes from; what does not is not one of our pages.
        assert_eq!(status(signed_in()).await, 403);
        assert_eq!(status(signed_in().header("origin", "http://localhost:9800")).await, 200);
        assert_eq!(status(signed_in().header("sec-fetch-site", "same-origin")).await, 200);
        let by_token = post().header("authorization", format!("Bearer {token}"));
        assert_eq!(status(by_token.header("origin", "https://evil.example")).await, 200);
        // Neither does one that needs no credentials: a page elsewhere must not post alerts to this machine.
        let alert = r#"[{"labels":{"alertname":"x"}}]"#;
        let alert = || ask("POST", "/api/v2/alerts").header("content-type", "application/json").body(alert);
        assert_eq!(status(alert().header("sec-fetch-site", "cross-site")).await, 403);
        assert_eq!(status(alert()).await, 200);
        assert_eq!(status(ask("POST", "/-/reload").header("origin", "https://evil.example")).await, 403);
    });
}

#[test]
fn a_name_that_was_pointed_here_gets_nothing() {
    play(|site| async move {
        let status = |ask: Ask| async { site.send(ask).await.status.as_u16() };
        assert_eq!(status(ask("GET", "/api/v1/labels").host("evil.example:9800")).await, 421);
        assert_eq!(status(ask("GET", "/signin").host("evil.example")).await, 421);
        // Load balancers ask by any name; jobs may know the host by any.
        assert_eq!(status(ask("GET", "/livez").host("evil.example")).await, 200);
        assert_eq!(status(ask("POST", "/ping/unknown").host("evil.example")).await, 404);
        // What came through a proxy is not local, though the proxy is.
        assert_eq!(status(ask("GET", "/api/v1/labels").host("watch.example.org")).await, 401);
        assert_eq!(status(ask("GET", "/api/v1/labels").header("x-forwarded-for", "203.0.113.9")).await, 401);
        assert_eq!(status(ask("GET", "/api/v1/labels")).await, 200);
    });
}

#[test]
fn looking_at_a_link_does_not_use_it_up() {
    play(|site| async move {
        let link = site.stage.auth.issue_link().await.unwrap();
        let token = link.strip_prefix("/signin?token=").unwrap().to_owned();
        for _ in 0..2 {
            let shown = site.send(ask("GET", link.clone())).await;
            assert_eq!(shown.status, 200);
            assert!(shown.body.contains("method=\"post\"") && !shown.headers.contains_key("set-cookie"));
        }
        let enter = || {
            ask("POST", "/signin")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("token={token}&next=%2Falarms"))
        };
        let entered = site.send(enter()).await;
        assert_eq!((entered.status.as_u16(), &entered.headers["location"]), (303, &"/alarms".parse().unwrap()));
        let cookie = entered.headers["set-cookie"].to_str().unwrap().to_owned();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Secure"),
            "{cookie}"
        );
        assert_eq!(site.send(enter()).await.status, 403);
        let cookie = cookie.split(';').next().unwrap().to_owned();
        assert_eq!(site.send(ask("GET", "/").session(&cookie)).await.status, 200);
        assert_eq!(site.send(ask("POST", "/signout").session(&cookie)).await.status, 303);
        assert_eq!(site.send(ask("GET", "/").session(&cookie)).await.status, 303);
    });
}

#[test]
fn a_session_over_https_has_a_cookie_for_https_only() {
    play(|site| async move {
        let link = site.stage.auth.issue_link().await.unwrap();
        let enter = ask("POST", "/signin")
            .host("watch.example.org")
            .header("x-forwarded-for", "203.0.113.9")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(link.trim_start_matches("/signin?").to_owned());
        let cookie = site.send(enter).await.headers["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.starts_with("__Host-watchbell_session=") && cookie.ends_with("; Secure"), "{cookie}");
    });
}

#[test]
fn who_guesses_is_slowed_down_alone() {
    play(|site| async move {
        let guess = || {
            ask("POST", "/signin")
                .header("content-type", "application/x-www-form-urlencoded")
                .body("token=guess")
                .public()
        };
        for _ in 0..watchbell_http::SIGN_INS_MAX {
            assert_eq!(site.send(guess()).await.status, 403);
        }
        let slowed = site.send(guess()).await;
        assert_eq!(slowed.status, 429);
        assert_eq!(slowed.headers["retry-after"], "900");
        site.sign_in().await;
        // Whoever has a good link gets in even from there.
        let link = site.stage.auth.issue_link().await.unwrap();
        let good = guess().body(link.trim_start_matches("/signin?").to_owned());
        assert_eq!(site.send(good).await.status, 303);
    });
}

#[test]
fn a_run_book_opens_by_its_signed_link_and_by_no_other() {
    play(|site| async move {
        let status = |path: String| {
            let ask = ask("GET", path).public();
            async { site.send(ask).await.status.as_u16() }
        };
        let signed = site.stage.auth.sign("/runbooks/imap-down");
        assert_eq!(status(signed.clone()).await, 200);
        assert_eq!(status(signed.replace("imap-down", "disk-full")).await, 303);
        assert_eq!(status("/runbooks/imap-down".into()).await, 303);
        assert_eq!(status(site.stage.auth.sign("/runbooks/stub?fingerprint=00")).await, 200);
        // It opens that page and nothing else.
        assert_eq!(status(format!("/alarms/monitor/imap{}", &signed[signed.find('?').unwrap()..])).await, 303);
    });
}

#[test]
fn the_sink_takes_its_secret() {
    play(|site| async move {
        let body = r#"{"summary":"disk is full","severity":"critical","source":"script/disk"}"#;
        let post = || ask("POST", "/sink").public().body(body);
        let status = |ask: Ask| async { site.send(ask).await.status.as_u16() };
        assert_eq!(status(post()).await, 401);
        assert_eq!(status(post().header("x-alert-secret", "wrong")).await, 403);
        assert_eq!(status(post().header("authorization", "Bearer wrong")).await, 403);
        assert_eq!(status(post().header("x-alert-secret", SINK_SECRET)).await, 200);
        assert_eq!(status(post().header("authorization", format!("Bearer {SINK_SECRET}"))).await, 200);
        // `openssl dgst -sha256 -hmac` says so.
        let signature = "sha256=fc3a39b8bd34d01e229a6cd6377185cd31214b22b12d4a7ffd9a9293a2f7961f";
        assert_eq!(status(post().header("x-hub-signature-256", signature)).await, 200);
        assert_eq!(status(post().header("x-hub-signature-256", signature).body("{}")).await, 403);
        assert_eq!(status(post().header("x-hub-signature-256", &signature[7..])).await, 403);
        let firing: Vec<String> = site.stage.alerts.alerts().iter().map(|it| it.alert.labels.to_string()).collect();
        assert_eq!(firing, [r#"{alertname="disk", severity="critical", source="script/disk"}"#]);
        let bad = site.send(post().header("x-alert-secret", SINK_SECRET).body(r#"{"source":"x"}"#)).await;
        assert_eq!((bad.status.as_u16(), bad.body.contains("severity")), (400, true), "{}", bad.body);
        let big = post().header("x-alert-secret", SINK_SECRET).body("x".repeat((1 << 20) + 1));
        assert_eq!(status(big).await, 413);
        site.stage.state.set_broken(true);
        let lost = r#"{"summary":"later","severity":"critical","source":"script/later"}"#;
        assert_eq!(status(post().header("x-alert-secret", SINK_SECRET).body(lost)).await, 503);
    });
}

#[test]
fn the_token_of_a_place_opens_the_agents_door_and_no_other() {
    play(|site| async move {
        let place = site.stage.auth.issue_place_token("fra-1", "fra").await.unwrap();
        let script = site.stage.auth.issue_token("script").await.unwrap();
        let ask_as = |token: &str, method: &'static str, path: &'static str| {
            let ask = ask(method, path).public().header("authorization", format!("Bearer {token}")).body("{}");
            async { site.send(ask).await }
        };
        let (door, own) = ("/api/agent/v1/exchange", "/api/watchbell/v1/places");
        assert_eq!(ask_as(&script, "GET", own).await.status, 200);
        assert_eq!(ask_as(&place, "GET", own).await.status, 401);
        assert_eq!(ask_as(&place, "GET", "/api/v1/labels").await.status, 401);
        assert_eq!(ask_as(&script, "POST", door).await.status, 401);
        // Not even from this machine.
        assert_eq!(site.send(ask("POST", door).body("{}")).await.status, 401);
        let read = ask_as(&place, "POST", door).await;
        assert!(read.status == 400 && read.body.contains("the agent's report cannot be read"), "{}", read.body);
        let report = r#"{"protocol":1,"version":"1","run":"a","assignment":0,"first":0,"entries":[],"waiting":0,"dropped":0,"ahead_ms":null,"own_network":null,"refused":[]}"#;
        let post = || ask("POST", door).public().header("authorization", format!("Bearer {place}")).body(report);
        let unknown = site.send(post()).await;
        assert_eq!(unknown.status, 404);
        assert!(unknown.body.contains("there is no place `fra` in the configuration"), "{}", unknown.body);
        site.stage.auth.revoke_token("fra-1").await.unwrap();
        assert_eq!(site.send(post()).await.status, 401);
    });
}
