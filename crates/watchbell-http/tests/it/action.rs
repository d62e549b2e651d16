//! Links of a page that do something, opened by somebody who is not signed in.

use http::StatusCode;

use crate::{ask, play};

/// The link of a page about what fires, as its receiver gets it; `valid` from now.
fn link(site: &crate::Site, action: &str, valid: i64) -> String {
    let group = site.stage.alerts.groups().remove(0);
    let until = site.stage.runtime.clock.now().as_millis() / 1000 + valid;
    let id = watchbell_model::group_id(&group.group_key);
    site.stage.auth.sign(&format!("/do/{action}?group={id}&by=anna&until={until}"))
}

#[test]
fn a_link_asks_first_and_acknowledges_by_its_button() {
    play(|site| async move {
        site.break_imap().await;
        let link = link(&site, "acknowledge", 60);
        // From a phone somewhere, and a preview by a chat's server.
        let far = |method| ask(method, &link).public();
        let page = site.send(far("GET")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.body.contains("Acknowledge") && page.body.contains("monitor/imap"), "{}", page.body);
        assert_eq!(site.stage.alerts.alerts()[0].acknowledged, None);
        let done = site.send(far("POST").header("origin", "https://ntfy.example")).await;
        assert_eq!((done.status, done.headers["access-control-allow-origin"].to_str().unwrap()), (StatusCode::OK, "*"));
        assert_eq!(site.stage.alerts.alerts()[0].acknowledged.as_ref().unwrap().by, "anna");
        // The same page says so to people who are signed in.
        let cookie = site.sign_in().await;
        let alerts = site.send(ask("GET", "/api/watchbell/v1/alerts").session(&cookie)).await;
        let alerts: serde_json::Value = serde_json::from_str(&alerts.body).unwrap();
        assert_eq!(alerts[0]["alerts"][0]["acknowledged"]["by"], "anna");
        let path = format!(
            "/api/watchbell/v1/alerts/{}/acknowledgement",
            alerts[0]["alerts"][0]["fingerprint"].as_str().unwrap()
        );
        let back = site.send(ask("DELETE", &path).session(&cookie)).await;
        assert_eq!(back.status, StatusCode::NO_CONTENT);
        assert_eq!(site.stage.alerts.alerts()[0].acknowledged, None);
        let unknown = ask("POST", "/api/watchbell/v1/alerts/00ff/acknowledgement").session(&cookie);
        assert_eq!(site.send(unknown).await.status, StatusCode::NOT_FOUND);
        let long = serde_json::json!({"comment": "x".repeat(2001)}).to_string();
        let long = ask("POST", &path).session(&cookie).header("content-type", "application/json").body(long);
        assert_eq!(site.send(long).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(site.stage.alerts.alerts()[0].acknowledged, None);
    });
}

#[test]
fn a_link_silences_these_alerts_and_no_others() {
    play(|site| async move {
        site.break_imap().await;
        let link = link(&site, "silence", 60);
        let button =
            ask("POST", &link).public().header("content-type", "application/x-www-form-urlencoded").body("for=8h");
        let done = site.send(button).await;
        assert!(done.body.contains("8 h"), "{}", done.body);
        let silence = site.stage.alerts.silences().remove(0);
        assert_eq!(
            (silence.created_by.as_str(), silence.ends_at.since(silence.starts_at).as_secs()),
            ("anna", 8 * 3600)
        );
        let firing = site.stage.alerts.alerts().remove(0);
        assert!(silence.matches(&firing.alert.labels) && !firing.silenced_by.is_empty());
        assert!(!silence.matches(&firing.alert.labels.with("source", "monitor/other")));
    });
}

#[test]
fn a_link_that_is_old_changed_or_about_what_is_over_does_nothing() {
    play(|site| async move {
        site.break_imap().await;
        let good = link(&site, "acknowledge", 60);
        for (link, status) in [
            (link(&site, "acknowledge", -1), StatusCode::GONE),
            (good.replace("by=anna", "by=ben"), StatusCode::UNAUTHORIZED),
            (good.replace("/do/acknowledge", "/do/silence"), StatusCode::UNAUTHORIZED),
            (good.split("&sig").next().unwrap().to_owned(), StatusCode::UNAUTHORIZED),
        ] {
            let answer = site.send(ask("POST", &link).public()).await;
            assert_eq!(answer.status, status, "{link}");
        }
        assert_eq!(site.stage.alerts.alerts()[0].acknowledged, None);
        let over = site.stage.auth.sign("/do/acknowledge?group=00&by=anna&until=99999999999");
        let answer = site.send(ask("POST", &over).public()).await;
        assert!(answer.status == StatusCode::OK && answer.body.contains("It is over"), "{}", answer.body);
    });
}

/// The link for a verdict in a page that is written now.
fn verdict_link(site: &crate::Site) -> String {
    let group = site.stage.alerts.groups().remove(0);
    let now = site.stage.runtime.clock.now().as_millis() / 1000;
    let since = group.alerts.iter().map(|it| it.alert.starts_at).min().unwrap().as_millis() / 1000;
    let id = watchbell_model::group_id(&group.group_key);
    let (until, at) = (now + 86_400, now + 1);
    site.stage.auth.sign(&format!("/do/verdict?group={id}&by=anna&until={until}&since={since}&at={at}"))
}

#[test]
fn a_link_says_whether_a_page_was_worth_it_after_it_is_over_too() {
    play(|site| async move {
        site.break_imap().await;
        let link = verdict_link(&site);
        let shown = site.send(ask("GET", &link).public()).await;
        assert!(
            shown.body.contains("Was this page worth it?") && shown.body.contains("monitor/imap"),
            "{}",
            shown.body
        );
        // The button of a push has no form.
        let done = site.send(ask("POST", &link).public().header("origin", "https://ntfy.example")).await;
        assert!(done.status == StatusCode::OK && done.body.contains("Marked false"), "{}", done.body);
        for _ in 0..8 {
            site.stage.probe("imap", Ok(20)).await;
            site.stage.runtime.clock.sleep(std::time::Duration::from_secs(60)).await;
        }
        assert!(!site.stage.alerts.alerts().iter().any(|it| it.alert.labels.get("source") == Some("monitor/imap")));
        let asked = site.send(ask("GET", &link).public()).await;
        assert!(asked.body.contains("(false, by anna)"), "{}", asked.body);
        let button = ask("POST", &link).public().header("content-type", "application/x-www-form-urlencoded");
        let done = site.send(button.body("verdict=early&note=it+came+back+%3Cby%3E+itself")).await;
        assert!(done.body.contains("Marked early"), "{}", done.body);
        let cookie = site.sign_in().await;
        let episodes = site.send(ask("GET", "/api/watchbell/v1/episodes?alarm=monitor/imap").session(&cookie)).await;
        let episodes: serde_json::Value = serde_json::from_str(&episodes.body).unwrap();
        let first = &episodes[0];
        assert_eq!(
            (first["verdict"]["verdict"].as_str(), first["verdict"]["by"].as_str()),
            (Some("early"), Some("anna"))
        );
        assert_eq!(first["verdict"]["note"], "it came back <by> itself");
        assert!(episodes.as_array().unwrap().len() == 1 && first["ends_at"].is_string(), "{episodes}");
        let others = site.send(ask("GET", "/api/watchbell/v1/episodes?alarm=monitor/other").session(&cookie)).await;
        assert_eq!(others.body, "[]");
        let metrics = site.stage.runtime.metrics.render();
        assert!(metrics.contains("watchbell_verdicts_total{verdict=\"early\"} 1"), "{metrics}");
    });
}

#[test]
fn a_verdict_is_given_and_taken_back_by_the_api() {
    play(|site| async move {
        site.break_imap().await;
        let cookie = site.sign_in().await;
        let fingerprint = site.stage.alerts.alerts().remove(0).fingerprint;
        let path = format!("/api/watchbell/v1/alerts/{fingerprint}/verdict");
        let give = |path: &str, body: &str| {
            ask("POST", path).session(&cookie).header("content-type", "application/json").body(body)
        };
        for (path, body, status) in [
            (&path[..], r#"{"verdict": "wrong"}"#, StatusCode::UNPROCESSABLE_ENTITY),
            (&path, "{}", StatusCode::UNPROCESSABLE_ENTITY),
            (&path, r#"{"verdict": "false", "starts_at": "2020-01-01T00:00:00Z"}"#, StatusCode::NOT_FOUND),
            ("/api/watchbell/v1/alerts/00ff/verdict", r#"{"verdict": "false"}"#, StatusCode::NOT_FOUND),
            ("/api/watchbell/v1/alerts/imap/verdict", r#"{"verdict": "false"}"#, StatusCode::NOT_FOUND),
        ] {
            assert_eq!(site.send(give(path, body)).await.status, status, "{path} {body}");
        }
        let long = serde_json::json!({"verdict": "true", "note": "x".repeat(2001)}).to_string();
        assert_eq!(site.send(give(&path, &long)).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(site.stage.alerts.alerts()[0].verdict, None);
        let body = r#"{"verdict": "unactionable", "by": "ben", "note": "the provider's"}"#;
        assert_eq!(site.send(give(&path, body)).await.status, StatusCode::NO_CONTENT);
        let alerts = site.send(ask("GET", "/api/watchbell/v1/alerts").session(&cookie)).await;
        let alerts: serde_json::Value = serde_json::from_str(&alerts.body).unwrap();
        let verdict = &alerts[0]["alerts"][0]["verdict"];
        assert_eq!((&verdict["verdict"], &verdict["by"]), (&"unactionable".into(), &"ben".into()));
        let back = site.send(ask("DELETE", &path).session(&cookie)).await;
        assert_eq!(back.status, StatusCode::NO_CONTENT);
        assert_eq!(site.stage.alerts.alerts()[0].verdict, None);
    });
}
