//! What the peers' clients see.

use expect_test::{Expect, expect};
use watchbell_model::{Append, Batch, Exemplar, Labels, Metadata, MetricType, Point};

use crate::{SETTLE, Site, ask, play};

pub(crate) fn check(path: &str, expect: Expect) {
    let shown = play(|site| async move {
        fill(&site).await;
        let answer = site.send(ask("GET", path)).await;
        format!("{} {}\n", answer.status.as_u16(), answer.body)
    });
    expect.assert_eq(&shown);
}

/// A few samples of each kind.
pub(crate) async fn fill(site: &Site) {
    let now = site.stage.runtime.clock.now();
    let point = |seconds: u64, value| {
        let at = now - std::time::Duration::from_secs(seconds);
        Point::new("requests_total", &[("job", "api"), ("path", "/<b>")], at, value)
    };
    let points = vec![point(120, 1.0), point(60, 2.5), point(0, f64::INFINITY)];
    let mut batch = Batch::from(points);
    let labels = Labels::from_pairs([("trace_id", "abc")]);
    batch.exemplars.push((0, Exemplar { labels, value: 0.25, timestamp: now - std::time::Duration::from_secs(90) }));
    let help = "Requests, of all kinds.".to_owned();
    batch.metadata.push(("requests".into(), Metadata { kind: MetricType::Counter, unit: String::new(), help }));
    let size = batch.add(watchbell_model::SeriesKey::Labels(Labels::metric("size", &[])));
    let (_, items) = watchbell_query::promql::series_description(
        "size {{schema:0 sum:5 count:6 z_bucket:1 z_bucket_w:0.5 buckets:[1 0 3] n_buckets:[1]}}",
    )
    .unwrap();
    if let [watchbell_query::promql::Item::Histogram { histogram, .. }] = &items[..] {
        let histogram = std::sync::Arc::new(histogram.clone());
        batch.histograms.push(watchbell_model::BatchHistogram { series: size, timestamp: now, histogram });
    }
    site.stage.series.append(batch).await.unwrap();
}

// 2026-01-05T00:00:00Z, where simulated time begins, is 1767571200.

#[test]
fn an_instant_query() {
    check(
        "/api/v1/query?query=requests_total&time=1767571140.5",
        expect![[r#"
            200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"requests_total","job":"api","path":"/<b>"},"value":[1767571140.500,"2.5"]}]}}
        "#]],
    );
    check(
        "/prometheus/api/v1/query?query=1%2B1&time=2026-01-05T00:00:00Z",
        expect![[r#"
        200 {"status":"success","data":{"resultType":"scalar","result":[1767571200,"2"]}}
    "#]],
    );
    check(
        "/api/v1/query?query=requests_total%5B3m%5D&time=1767571200",
        expect![[r#"
        200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"requests_total","job":"api","path":"/<b>"},"values":[[1767571080,"1"],[1767571140,"2.5"],[1767571200,"+Inf"]]}]}}
    "#]],
    );
}

#[test]
fn a_range_query() {
    check(
        "/api/v1/query_range?query=requests_total&start=1767571080&end=1767571200&step=1m",
        expect![[r#"
            200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"requests_total","job":"api","path":"/<b>"},"values":[[1767571080,"1"],[1767571140,"2.5"],[1767571200,"+Inf"]]}]}}
        "#]],
    );
}

#[test]
fn what_is_wrong_with_a_query_is_said_as_prometheus_does() {
    check(
        "/api/v1/query?query=sum(",
        expect![[r#"
            400 {"error":"invalid parameter \"query\": 1:5: parse error: the expression ends too early; a metric, a number, a function or `(` belongs here","errorType":"bad_data","status":"error"}
        "#]],
    );
    check(
        "/api/v1/query?query=1&time=yesterday",
        expect![[r#"
            400 {"error":"invalid parameter \"time\": invalid time value for 'time': cannot parse \"yesterday\" to a valid timestamp","errorType":"bad_data","status":"error"}
        "#]],
    );
    check(
        "/api/v1/query_range?query=1&start=0&end=1000000&step=1",
        expect![[r#"
        400 {"error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)","errorType":"bad_data","status":"error"}
    "#]],
    );
    check(
        "/api/v1/query_range?query=1&start=0&end=10&step=0",
        expect![[r#"
        400 {"error":"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer","errorType":"bad_data","status":"error"}
    "#]],
    );
    check(
        "/api/v1/query?query=requests_total%20%2B%20on(job)%20group_left%20requests_total",
        expect![[r#"
        200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"api","path":"/<b>"},"value":[1767571200,"+Inf"]}]}}
    "#]],
    );
    check(
        "/api/v1/series",
        expect![[r#"
        400 {"error":"no match[] parameter provided","errorType":"bad_data","status":"error"}
    "#]],
    );
}

#[test]
fn labels_and_series() {
    check(
        "/api/v1/labels",
        expect![[r#"
        200 {"data":["__name__","job","path"],"status":"success"}
    "#]],
    );
    check(
        "/api/v1/label/job/values",
        expect![[r#"
        200 {"data":["api"],"status":"success"}
    "#]],
    );
    check(
        "/api/v1/series?match[]=requests_total",
        expect![[r#"
        200 {"data":[{"__name__":"requests_total","job":"api","path":"/<b>"}],"status":"success"}
    "#]],
    );
    check(
        "/api/v1/labels?match[]=nothing",
        expect![[r#"
        200 {"data":[],"status":"success"}
    "#]],
    );
}

#[test]
fn status_and_targets() {
    check(
        "/api/v1/status/buildinfo",
        expect![[r#"
        200 {"data":{"branch":"","buildDate":"","buildUser":"","goVersion":"","revision":"watchbell 0.0.0","version":"3.14.0"},"status":"success"}
    "#]],
    );
    check(
        "/api/v1/targets",
        expect![[r#"
        200 {"data":{"activeTargets":[],"droppedTargetCounts":{},"droppedTargets":[]},"status":"success"}
    "#]],
    );
    check(
        "/api/v1/rules?type=record",
        expect![[r#"
        200 {"data":{"groups":[]},"status":"success"}
    "#]],
    );
    check(
        "/api/v1/alerts",
        expect![[r#"
        200 {"data":{"alerts":[]},"status":"success"}
    "#]],
    );
    check(
        "/readyz",
        expect![[r#"
        200 [+]state ok
        [+]store ok
        [+]outbox ok

    "#]],
    );
    check(
        "/nothing",
        expect![[r#"
        404 {"error":"there is nothing at this address","errorType":"not_found","status":"error"}
    "#]],
    );
}

#[test]
fn a_query_may_be_posted_as_a_form() {
    play(|site| async move {
        let post = ask("POST", "/api/v1/query")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("query=vector(7)&time=1");
        let answer = site.send(post).await;
        assert_eq!(
            answer.body,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}}"#
        );
    });
}

#[test]
fn a_prometheus_posts_alerts_and_amtool_silences_them() {
    let shown = play(|site| async move {
        let json = |ask: crate::Ask| ask.header("content-type", "application/json");
        let alert =
            r#"[{"labels":{"alertname":"DiskFull","instance":"a"},"annotations":{"summary":"full"}},{"labels":{}}]"#;
        let mut shown = String::new();
        let mut show = |answer: crate::Answer| shown.push_str(&format!("{} {}\n", answer.status.as_u16(), answer.body));
        show(site.send(json(ask("POST", "/api/v2/alerts")).body(alert)).await);
        site.stage.runtime.clock.sleep(SETTLE).await;
        show(site.send(ask("GET", "/api/v2/alerts?filter=alertname%3D%22DiskFull%22")).await);
        show(site.send(ask("GET", "/api/v2/alerts?filter=alertname%3D%22Other%22")).await);
        show(site.send(ask("GET", "/api/v2/alerts/groups")).await);
        show(site.send(ask("GET", "/api/v2/receivers")).await);
        let silence = r#"{"matchers":[{"name":"alertname","value":"Disk.*","isRegex":true}],"startsAt":"2026-01-05T00:00:00Z",
            "endsAt":"2026-01-05T01:00:00Z","createdBy":"ops","comment":"known"}"#;
        let made = site.send(json(ask("POST", "/api/v2/silences")).body(silence)).await;
        let id = made.body.split('"').nth(3).unwrap().to_owned();
        let alerts = site.send(ask("GET", "/api/v2/alerts")).await;
        assert!(alerts.body.contains(&format!(r#""silencedBy":["{id}"]"#)), "{}", alerts.body);
        let mut gone = site.send(ask("DELETE", format!("/api/v2/silence/{id}"))).await;
        gone.body = gone.body.replace(&id, "ID");
        show(gone);
        let mut kept = site.send(ask("GET", format!("/api/v2/silence/{id}"))).await;
        kept.body = kept.body.replace(&id, "ID");
        show(kept);
        show(site.send(ask("GET", "/api/v2/silence/none")).await);
        shown
    });
    expect![[r#"
        400 "`[1].labels` must have at least one label that is not empty"
        200 [{"annotations":{"summary":"full"},"endsAt":"2026-01-05T00:05:00.000Z","fingerprint":"63510c93a905c728","receivers":[{"name":"on-call"}],"startsAt":"2026-01-05T00:00:00.000Z","status":{"state":"active","silencedBy":[],"inhibitedBy":[],"mutedBy":[]},"updatedAt":"2026-01-05T00:00:00.000Z","generatorURL":"","labels":{"alertname":"DiskFull","instance":"a"}}]
        200 []
        200 [{"labels":{"alertname":"DiskFull"},"routeLabels":{},"receiver":{"name":"on-call"},"alerts":[{"annotations":{"summary":"full"},"endsAt":"2026-01-05T00:05:00.000Z","fingerprint":"63510c93a905c728","receivers":[{"name":"on-call"}],"startsAt":"2026-01-05T00:00:00.000Z","status":{"state":"active","silencedBy":[],"inhibitedBy":[],"mutedBy":[]},"updatedAt":"2026-01-05T00:00:00.000Z","generatorURL":"","labels":{"alertname":"DiskFull","instance":"a"}}]}]
        200 [{"name":"on-call"}]
        200 {}
        200 {"id":"ID","status":{"state":"expired"},"updatedAt":"2026-01-05T00:00:05.000Z","comment":"known","createdBy":"ops","endsAt":"2026-01-05T00:00:05.000Z","matchers":[{"name":"alertname","value":"Disk.*","isRegex":true,"isEqual":true}],"startsAt":"2026-01-05T00:00:05.000Z","annotations":{}}
        404 "there is no silence `none`"
    "#]].assert_eq(&shown);
}

#[test]
fn a_job_pings_as_it_pings_healthchecks() {
    play(|site| async move {
        let job = site.stage.heartbeats.all().remove(0);
        for method in ["GET", "HEAD", "POST", "PUT"] {
            let answer = site.send(ask(method, format!("/ping/{}", job.uuid)).public().host("any.name")).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.headers["access-control-allow-origin"], "*");
            assert_eq!(answer.headers["ping-body-limit"], "10000");
            assert!(answer.headers["cache-control"].to_str().unwrap().contains("no-cache"));
        }
        let bad = site.send(ask("POST", format!("/ping/{}/300", job.uuid))).await;
        assert_eq!((bad.status.as_u16(), bad.body.as_str()), (400, "invalid url format"));
        let big = site.send(ask("POST", format!("/ping/{}", job.uuid)).body("x".repeat(100_001))).await;
        assert_eq!(big.status, 413);
        let pings = site.stage.heartbeats.pings(&job.id, 10).unwrap();
        assert_eq!(pings.len(), 4);
        site.stage.state.set_broken(true);
        assert_eq!(site.send(ask("GET", format!("/ping/{}", job.uuid))).await.status, 503);
    });
}

#[test]
fn health_names_what_fails() {
    play(|site| async move {
        site.stage.runtime.troubles.set("config", watchbell_model::Severity::Warning, "refused");
        let health = site.send(ask("GET", "/health")).await;
        let health: serde_json::Value = serde_json::from_str(&health.body).unwrap();
        assert_eq!(health["status"], "warn");
        assert_eq!(health["checks"]["trouble:config"][0]["output"], "refused");
        assert_eq!(health["checks"]["store"][0]["status"], "pass");
        site.stage.runtime.supervisor.reconcile("notify", Vec::new());
        let ready = site.send(ask("GET", "/readyz")).await;
        assert_eq!((ready.status.as_u16(), ready.body.as_str()), (503, "[+]state ok\n[+]store ok\n[-]outbox failed\n"));
        let metrics = site.send(ask("GET", "/metrics")).await;
        assert!(metrics.body.contains("watchbell_pings_total"));
        let reload = site.send(ask("POST", "/-/reload")).await;
        assert_eq!((reload.status.as_u16(), reload.body.contains("watchbell.yml:3:5")), (500, true));
    });
}

#[test]
fn a_reload_goes_on_when_whoever_asked_for_it_hangs_up() {
    play(|site| async move {
        tokio::select! {
            biased;
            _ = site.send(ask("POST", "/-/reload")) => panic!("it takes longer"),
            () = tokio::task::yield_now() => {}
        }
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(site.stage.config.reloads.load(std::sync::atomic::Ordering::SeqCst), 1);
    });
}

#[test]
fn what_a_metric_is() {
    check(
        "/api/v1/metadata?metric=requests&limit_per_metric=1",
        expect![[r#"
        200 {"data":{"requests":[{"help":"Requests, of all kinds.","type":"counter","unit":""}]},"status":"success"}
    "#]],
    );
    check(
        "/api/v1/metadata?metric=none",
        expect![[r#"
        200 {"data":{},"status":"success"}
    "#]],
    );
}

#[test]
fn examples_of_what_was_counted() {
    let range = "start=1767571080&end=1767571200";
    check(
        &format!("/api/v1/query_exemplars?query=rate(requests_total%5B5m%5D)&{range}"),
        expect![[r#"
            200 {"status":"success","data":[{"seriesLabels":{"__name__":"requests_total","job":"api","path":"/<b>"},"exemplars":[{"labels":{"trace_id":"abc"},"value":"0.25","timestamp":1767571110}]}]}
        "#]],
    );
    check(
        "/api/v1/query_exemplars?query=requests_total&start=1767571200&end=1767571200",
        expect![[r#"
            200 {"status":"success","data":[]}
        "#]],
    );
    check(
        "/api/v1/query_exemplars?query=up&start=2&end=1",
        expect![[r#"
            400 {"error":"end timestamp must not be before start timestamp","errorType":"bad_data","status":"error"}
        "#]],
    );
}

#[test]
fn native_histograms() {
    check(
        "/api/v1/query?query=size&time=1767571200",
        expect![[r#"
        200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"size"},"histogram":[1767571200,{"count":"6","sum":"5","buckets":[[1,"-1","-0.5","1"],[3,"-0.5","0.5","1"],[0,"0.5","1","1"],[0,"2","4","3"]]}]}]}}
    "#]],
    );
    check(
        "/api/v1/query?query=histogram_count(size)&time=1767571200",
        expect![[r#"
        200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1767571200,"6"]}]}}
    "#]],
    );
    check(
        "/api/v1/query_range?query=size&start=1767571200&end=1767571260&step=1m",
        expect![[r#"
        200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"size"},"histograms":[[1767571200,{"count":"6","sum":"5","buckets":[[1,"-1","-0.5","1"],[3,"-0.5","0.5","1"],[0,"0.5","1","1"],[0,"2","4","3"]]}],[1767571260,{"count":"6","sum":"5","buckets":[[1,"-1","-0.5","1"],[3,"-0.5","0.5","1"],[0,"0.5","1","1"],[0,"2","4","3"]]}]]}]}}
    "#]],
    );
}
