//! What the newest Prometheus answers besides: search, live notifications, blocks, its own description.

use axum::body::Body;
use expect_test::expect;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use watchbell_model::Severity;

use crate::machine::fill;
use crate::{Site, ask, play};

fn gets(paths: &'static [&'static str]) -> String {
    play(|site| async move {
        fill(&site).await;
        let mut out = String::new();
        for path in paths {
            let answer = site.send(ask("GET", format!("/api/v1/{path}"))).await;
            out += &format!("{path}\n{} {}\n", answer.status.as_u16(), answer.body.trim_end());
        }
        out
    })
}

#[test]
fn names_are_found_by_what_was_typed() {
    let shown = gets(&[
        "search/metric_names",
        "search/metric_names?search[]=rt&sort_by=score&include_score=true&include_metadata=true",
        "search/metric_names?search[]=REQUESTS&case_sensitive=false&limit=1",
        "search/metric_names?sort_by=alpha&sort_dir=dsc&batch_size=1",
        "search/metric_names?search[]=nothing_like_it",
        "search/metric_names?start=0&end=1",
        "search/label_names?search[]=pa",
        "search/label_values?label=path&match[]=requests_total",
        "search/label_values?label=job&search[]=aip&fuzz_alg=jarowinkler&fuzz_threshold=80&include_score=true",
    ]);
    expect![[r#"
        search/metric_names
        200 {"results":[{"name":"requests_total"},{"name":"size"}]}
        {"has_more":false,"status":"success"}
        search/metric_names?search[]=rt&sort_by=score&include_score=true&include_metadata=true
        200 {"results":[{"name":"requests_total","score":0.3478660714285714}]}
        {"has_more":false,"status":"success"}
        search/metric_names?search[]=REQUESTS&case_sensitive=false&limit=1
        200 {"results":[{"name":"requests_total"}]}
        {"has_more":false,"status":"success"}
        search/metric_names?sort_by=alpha&sort_dir=dsc&batch_size=1
        200 {"results":[{"name":"size"}]}
        {"results":[{"name":"requests_total"}]}
        {"has_more":false,"status":"success"}
        search/metric_names?search[]=nothing_like_it
        200 {"results":[]}
        {"has_more":false,"status":"success"}
        search/metric_names?start=0&end=1
        200 {"results":[]}
        {"has_more":false,"status":"success"}
        search/label_names?search[]=pa
        200 {"results":[{"name":"path"}]}
        {"has_more":false,"status":"success"}
        search/label_values?label=path&match[]=requests_total
        200 {"results":[{"value":"/<b>"}]}
        {"has_more":false,"status":"success"}
        search/label_values?label=job&search[]=aip&fuzz_alg=jarowinkler&fuzz_threshold=80&include_score=true
        200 {"results":[]}
        {"has_more":false,"status":"success"}
    "#]]
    .assert_eq(&shown);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let shown = gets(&[
        "search/label_values",
        "search/metric_names?sort_dir=asc",
        "search/metric_names?sort_by=score",
        "search/metric_names?sort_by=age&search[]=a",
        "search/metric_names?sort_by=alpha&sort_dir=up",
        "search/metric_names?limit=0",
        "search/metric_names?limit=10001",
        "search/metric_names?batch_size=x",
        "search/metric_names?fuzz_threshold=101",
        "search/metric_names?fuzz_alg=soundex",
        "search/metric_names?include_score=perhaps",
        "search/metric_names?start=2&end=1",
        "search/metric_names?match[]={",
        "openapi.yaml?openapi_version=2",
    ]);
    expect![[r#"
        search/label_values
        400 {"error":"missing required parameter \"label\"","errorType":"bad_data","status":"error"}
        search/metric_names?sort_dir=asc
        400 {"error":"sort_dir is only valid when sort_by is set","errorType":"bad_data","status":"error"}
        search/metric_names?sort_by=score
        400 {"error":"sort_by=score requires search[] to be set","errorType":"bad_data","status":"error"}
        search/metric_names?sort_by=age&search[]=a
        400 {"error":"invalid sort_by \"age\" for metric_names: must be \"alpha\" or \"score\"","errorType":"bad_data","status":"error"}
        search/metric_names?sort_by=alpha&sort_dir=up
        400 {"error":"invalid sort_dir \"up\": must be \"asc\" or \"dsc\"","errorType":"bad_data","status":"error"}
        search/metric_names?limit=0
        400 {"error":"invalid limit \"0\": must be a positive integer","errorType":"bad_data","status":"error"}
        search/metric_names?limit=10001
        400 {"error":"limit 10001 exceeds the maximum (10000)","errorType":"bad_data","status":"error"}
        search/metric_names?batch_size=x
        400 {"error":"invalid batch_size \"x\": must be a positive integer","errorType":"bad_data","status":"error"}
        search/metric_names?fuzz_threshold=101
        400 {"error":"invalid fuzz_threshold \"101\": must be 0-100","errorType":"bad_data","status":"error"}
        search/metric_names?fuzz_alg=soundex
        400 {"error":"unsupported fuzz_alg \"soundex\": must be one of [subsequence jarowinkler]","errorType":"bad_data","status":"error"}
        search/metric_names?include_score=perhaps
        400 {"error":"invalid include_score \"perhaps\": must be boolean","errorType":"bad_data","status":"error"}
        search/metric_names?start=2&end=1
        400 {"error":"end timestamp must not be before start timestamp","errorType":"bad_data","status":"error"}
        search/metric_names?match[]={
        400 {"error":"1:2: parse error: the expression ends too early; a label's name or `}` belongs here","errorType":"bad_data","status":"error"}
        openapi.yaml?openapi_version=2
        400 there is no description as OpenAPI "2"; ask for 3.1 or 3.2
    "#]].assert_eq(&shown);
}

#[test]
fn the_description_is_served() {
    play(|site| async move {
        let answer = site.send(ask("GET", "/prometheus/api/v1/openapi.yaml?openapi_version=3.2")).await;
        assert_eq!(answer.headers["content-type"], "application/yaml; charset=utf-8");
        assert!(answer.body.starts_with("openapi: 3.2.0\n"), "{}", answer.body);
    });
}

#[test]
fn a_store_without_files_has_no_blocks() {
    expect![[r#"
        status/tsdb/blocks
        200 {"data":{"blocks":[]},"status":"success"}
    "#]]
    .assert_eq(&gets(&["status/tsdb/blocks"]));
}

/// An answer that goes on.
struct Follower(Body);

impl Follower {
    async fn of(site: &Site) -> (StatusCode, Follower) {
        let (peer, listener) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:9800".parse().unwrap());
        let router = watchbell_http::as_if_from(site.router.clone(), peer, listener);
        let request = Request::get("/api/v1/notifications/live").header("host", "localhost");
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        (response.status(), Follower(response.into_body()))
    }

    /// The next that is said, beats left out.
    async fn next(&mut self) -> String {
        loop {
            let frame = self.0.frame().await.expect("it goes on").unwrap();
            let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
            if text != ": beat\n\n" {
                return text;
            }
        }
    }
}

#[test]
fn who_follows_is_told_what_comes_and_what_goes() {
    play(|site| async move {
        let troubles = &site.stage.runtime.troubles;
        troubles.set("disk", Severity::Warning, "the disk is full");
        let (status, mut follower) = Follower::of(&site).await;
        assert_eq!(status, StatusCode::OK);
        let told = |text: &str, active: bool| {
            format!(r#"data: {{"active":{active},"date":"2026-01-05T00:00:00.000Z","text":"{text}"}}"#) + "\n\n"
        };
        assert_eq!(follower.next().await, told("the disk is full", true));
        troubles.set("disk", Severity::Warning, "the disk is nearly full");
        assert_eq!(follower.next().await, told("the disk is full", false));
        assert_eq!(follower.next().await, told("the disk is nearly full", true));
        troubles.clear("disk");
        assert_eq!(follower.next().await, told("the disk is nearly full", false));

        let mut others = Vec::new();
        for _ in 0..15 {
            others.push(Follower::of(&site).await);
        }
        assert!(others.iter().all(|(status, _)| *status == StatusCode::OK));
        assert_eq!(Follower::of(&site).await.0, StatusCode::NO_CONTENT, "there are 16 already");
        others.pop();
        assert_eq!(Follower::of(&site).await.0, StatusCode::OK);
    });
}
