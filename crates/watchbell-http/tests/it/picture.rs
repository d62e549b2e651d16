//! Pictures of graphs: by the signed link of a page, and of an alarm.

use http::StatusCode;

use crate::{ask, play};

/// The link to a picture of what fires, as a page has it.
fn link(site: &crate::Site, valid: i64) -> String {
    let now = site.stage.runtime.clock.now().as_millis();
    let alert = site.stage.alerts.alerts().remove(0);
    site.stage.auth.sign(&format!("/i/{}-{now}.png?until={}", alert.fingerprint, now / 1000 + valid))
}

#[test]
fn a_signed_link_shows_what_fires() {
    play(|site| async move {
        site.break_imap().await;
        let good = link(&site, 60);
        let picture = site.send(ask("GET", &good).public()).await;
        assert_eq!((picture.status, picture.headers["content-type"].to_str().unwrap()), (StatusCode::OK, "image/png"));
        assert!(picture.body.contains("PNG") && picture.body.contains("IDAT"));
        assert!(picture.headers["cache-control"].to_str().unwrap().contains("max-age"));
        for (link, status) in [
            (link(&site, -1), StatusCode::GONE),
            (good.replace(".png", ".jpg"), StatusCode::UNAUTHORIZED),
            (good.split("&sig").next().unwrap().to_owned(), StatusCode::UNAUTHORIZED),
            (site.stage.auth.sign("/i/00-1.png?until=99999999999"), StatusCode::NOT_FOUND),
            (site.stage.auth.sign("/i/x?until=99999999999"), StatusCode::NOT_FOUND),
        ] {
            assert_eq!(site.send(ask("GET", &link).public()).await.status, status, "{link}");
        }
    });
}

#[test]
fn an_alarm_has_a_picture_for_who_is_signed_in() {
    play(|site| async move {
        site.break_imap().await;
        let path = "/api/watchbell/v1/alarms/monitor%2Fimap/picture.png";
        assert_eq!(site.send(ask("GET", path)).await.status, StatusCode::UNAUTHORIZED);
        let cookie = site.sign_in().await;
        let of = |path: &str| ask("GET", path).session(&cookie);
        let picture = site.send(of(path)).await;
        assert_eq!((picture.status, picture.headers["content-type"].to_str().unwrap()), (StatusCode::OK, "image/png"));
        let strip = site.send(of("/api/watchbell/v1/alarms/heartbeat%2Fbackup/picture.png")).await;
        assert_eq!((strip.status, strip.headers["content-type"].to_str().unwrap()), (StatusCode::OK, "image/png"));
        for none in ["heartbeat%2Fnone", "rule%2Fnone"] {
            let none = site.send(of(&format!("/api/watchbell/v1/alarms/{none}/picture.png"))).await;
            assert_eq!(none.status, StatusCode::NOT_FOUND);
        }
    });
}
