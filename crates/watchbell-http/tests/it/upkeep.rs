//! The store by hand, and much history at once.

use expect_test::expect;
use http_body_util::BodyExt;

use crate::{Answer, Ask, Site, ask, play};

fn said(answer: &Answer) -> String {
    format!("{} {}\n", answer.status.as_u16(), answer.body)
}

impl Site {
    /// As a script does that has a token.
    async fn by_token(&self, ask: Ask) -> String {
        let name = self.stage.runtime.rng.uuid();
        let token = self.stage.auth.issue_token(&name).await.unwrap();
        said(&self.send(ask.header("authorization", format!("Bearer {token}"))).await)
    }
}

const LINES: &str = r#"{"metric":{"__name__":"up","job":"a"},"values":[1,null,"Infinity"],"timestamps":[1000,2000,3000]}
{"metric":{"__name__":"up","job":"b"},"values":[0],"timestamps":[1000]}
"#;

#[test]
fn what_is_imported_is_exported_again_in_each_format() {
    play(|site| async move {
        let post = |path: &str| ask("POST", path).header("content-type", "application/x-www-form-urlencoded");
        let import = || post("/api/v1/import").body(LINES);
        let counts = || import().header("accept", "application/json");
        expect!["204 \n"].assert_eq(&said(&site.send(import()).await));
        expect![[r#"
            200 {"data":{"imported":{"added":0,"different":0,"example":null,"invalid":0,"known":4,"too_new":0,"too_old":0},"lines":2},"status":"success"}
        "#]]
        .assert_eq(&said(&site.send(counts()).await));
        let which = "match%5B%5D=%7Bjob%3D%22a%22%7D&match%5B%5D=up";
        let export = |format: &str| ask("GET", format!("/api/v1/export?{which}&format={format}"));
        assert_eq!(said(&site.send(export("jsonl")).await), format!("200 {LINES}\n"));
        expect![[r#"
            200 up{job="a"} 1 1000
            up{job="a"} +Inf 3000
            up{job="b"} 0 1000

        "#]]
        .assert_eq(&said(&site.send(export("prometheus")).await));
        let open = site.send(export("openmetrics")).await;
        assert!(open.body.ends_with("up{job=\"b\"} 0 1.000\n# EOF\n"), "{}", open.body);
        expect![[r#"
            400 {"error":"`format` is \"xml\", not `jsonl`, `openmetrics` or `prometheus`","errorType":"bad_data","status":"error"}
        "#]]
        .assert_eq(&said(&site.send(export("xml")).await));
        let text = post("/api/v1/import/prometheus?extra_label=site=x&timestamp=9000").body("down 1\n");
        expect!["204 \n"].assert_eq(&said(&site.send(text).await));
        let found = site.send(ask("GET", "/api/v1/export?match%5B%5D=down")).await;
        expect![[r#"
            200 {"metric":{"__name__":"down","site":"x"},"values":[1],"timestamps":[9000]}

        "#]]
        .assert_eq(&said(&found));
    });
}

#[test]
fn a_bad_line_is_named_and_what_came_before_it_is_kept() {
    play(|site| async move {
        let body = format!("{LINES}{{\"metric\":5}}\n");
        expect![[r#"
            400 {"error":"line 3: invalid type: integer `5`, expected a map at line 1 column 11; 4 samples before it were added","errorType":"bad_data","status":"error"}
        "#]]
        .assert_eq(&said(&site.send(ask("POST", "/api/v1/import").body(body)).await));
        let packed = ask("POST", "/api/v1/import").header("content-encoding", "br").body("x");
        expect![[r#"
            400 {"error":"the body's encoding `br` is not read; send it plain or as gzip","errorType":"bad_data","status":"error"}
        "#]]
        .assert_eq(&said(&site.send(packed).await));
    });
}

#[test]
fn deleting_asks_who_it_is_and_says_what_goes() {
    play(|site| async move {
        site.send(ask("POST", "/api/v1/import").body(LINES)).await;
        let admin = |path: &str| ask("POST", format!("/api/v1/admin/tsdb/{path}"));
        assert_eq!(site.send(admin("delete_series?match%5B%5D=up")).await.status, 401);
        let dry = ask("POST", "/api/watchbell/v1/store/delete?match%5B%5D=up&end=2&dry_run=true");
        expect![[r#"
            200 {"series":2,"samples":3,"examples":[{"__name__":"up","job":"a"},{"__name__":"up","job":"b"}]}
        "#]]
        .assert_eq(&site.by_token(dry).await);
        expect!["204 \n"].assert_eq(&site.by_token(admin("delete_series?match%5B%5D=up&end=2")).await);
        let left = site.send(ask("GET", "/api/v1/export?match%5B%5D=up")).await;
        expect![[r#"
            {"metric":{"__name__":"up","job":"a"},"values":["Infinity"],"timestamps":[3000]}
        "#]]
        .assert_eq(&left.body);
        expect![[r#"
            400 {"error":"no match[] parameter provided","errorType":"bad_data","status":"error"}
        "#]]
        .assert_eq(&site.by_token(admin("delete_series")).await);
        expect!["204 \n"].assert_eq(&site.by_token(admin("clean_tombstones")).await);
    });
}

#[test]
fn snapshots_and_figures_are_as_prometheus_has_them() {
    play(|site| async move {
        site.send(ask("POST", "/api/v1/import").body(LINES)).await;
        let snapshot = site.by_token(ask("PUT", "/api/v1/admin/tsdb/snapshot")).await;
        assert!(snapshot.starts_with(r#"200 {"data":{"bytes":7,"name":"20260105T000000Z-"#), "{snapshot}");
        expect![[r#"
            400 {"error":"`a/b` is no name for a snapshot","errorType":"bad_data","status":"error"}
        "#]]
        .assert_eq(&site.by_token(ask("POST", "/api/v1/admin/tsdb/snapshot?name=a/b")).await);
        expect![[r#"
            200 {"data":{"headStats":{"chunkCount":2,"maxTime":-9223372036854775808,"minTime":9223372036854775807,"numLabelPairs":0,"numSeries":2},"labelValueCountByLabelName":[],"memoryInBytesByLabelName":[],"seriesCountByLabelValuePair":[],"seriesCountByMetricName":[{"name":"up","value":2}]},"status":"success"}
        "#]]
        .assert_eq(&said(&site.send(ask("GET", "/api/v1/status/tsdb")).await));
        expect![[r#"
            200 {"looked_at":[["samples",2]],"damaged":[],"set_aside":[]}
        "#]]
        .assert_eq(&site.by_token(ask("GET", "/api/watchbell/v1/store/check?deep=true")).await);
    });
}

#[test]
fn a_body_that_breaks_off_is_an_error_and_so_is_an_export_that_cannot_go_on() {
    play(|site| async move {
        let pieces = [Ok("{\"metric\":{\"__name__\":\"up\"},"), Err(std::io::Error::other("gone"))];
        let body = axum::body::Body::from_stream(futures_util::stream::iter(pieces));
        let request = http::Request::post("/api/v1/import").header("host", "localhost:9800").body(body).unwrap();
        let router = watchbell_http::as_if_from(
            site.router.clone(),
            "127.0.0.1:50000".parse().unwrap(),
            "127.0.0.1:9800".parse().unwrap(),
        );
        let answer = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(answer.status(), 400);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        expect![[r#"{"error":"the body broke off: gone","errorType":"bad_data","status":"error"}"#]]
            .assert_eq(&String::from_utf8_lossy(&body));
    });
}
