//! Prometheus' API, path by path: what is answered, and how it says no.

use expect_test::expect;
use watchbell_model::{Matcher, Timestamp};
use watchbell_wire::remote_read::{ReadQuery, ReadRequest, ResponseType, decode_frame, decode_samples};
use watchbell_wire::snappy;

use crate::machine::{check, fill};
use crate::{Answer, Ask, ask, play};

/// 2026-01-05T00:00:00Z, where simulated time begins.
const NOW: i64 = 1_767_571_200;

fn say(answers: Vec<Answer>) -> String {
    answers.into_iter().map(|answer| format!("{} {}\n", answer.status.as_u16(), answer.body)).collect()
}

/// The answers to several questions about the same samples.
fn ask_all(questions: Vec<Ask>) -> Vec<Answer> {
    play(|site| async move {
        fill(&site).await;
        let mut answers = Vec::new();
        for question in questions {
            answers.push(site.send(question).await);
        }
        answers
    })
}

fn gets(paths: &[&str]) -> String {
    say(ask_all(paths.iter().map(|path| ask("GET", *path)).collect()))
}

#[test]
fn statistics_of_a_query() {
    check(
        "/api/v1/query?query=rate(requests_total[5m])&stats=true&time=1767571200",
        expect![[r#"
        200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"api","path":"/<b>"},"value":[1767571200,"+Inf"]}],"stats":{"samples":{"peakSamples":4,"samplesRead":3,"totalQueryableSamples":3},"timings":{"evalTotalTime":0.0,"execQueueTime":0.0,"execTotalTime":0.0,"innerEvalTime":0.0,"queryPreparationTime":0.0,"resultSortTime":0.0}}}}
    "#]],
    );
    check(
        "/api/v1/query_range?query=sum_over_time(requests_total[2m])%2Brequests_total%4010&start=1767571080&end=1767571200&step=60&stats=all",
        expect![[r#"
            200 {"status":"success","data":{"resultType":"matrix","result":[],"stats":{"samples":{"peakSamples":9,"samplesRead":3,"totalQueryableSamples":5,"totalQueryableSamplesPerStep":[[1767571080.0,1],[1767571140.0,2],[1767571200.0,2]]},"timings":{"evalTotalTime":0.0,"execQueueTime":0.0,"execTotalTime":0.0,"innerEvalTime":0.0,"queryPreparationTime":0.0,"resultSortTime":0.0}}}}
        "#]],
    );
    check(
        "/api/v1/query?query=1&stats=yes&time=1",
        expect![[r#"
        200 {"status":"success","data":{"resultType":"scalar","result":[1,"1"],"stats":{"samples":{"peakSamples":0,"samplesRead":0,"totalQueryableSamples":0},"timings":{"evalTotalTime":0.0,"execQueueTime":0.0,"execTotalTime":0.0,"innerEvalTime":0.0,"queryPreparationTime":0.0,"resultSortTime":0.0}}},"warnings":["value \"yes\" for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\""]}
    "#]],
    );
}

#[test]
fn what_a_query_took_is_told_part_by_part() {
    check(
        "/api/v1/query?query=sum(rate(requests_total[5m]))&explain=true&time=1767571200",
        expect![[r#"
        200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1767571200,"+Inf"]}],"explain":{"end":29,"expr":"sum(rate(requests_total[5m]))","parts":[{"end":28,"expr":"rate(requests_total[5m])","parts":[],"samplesRead":3,"seconds":0.0,"series":1,"start":4,"steps":1}],"samplesRead":0,"seconds":0.0,"series":1,"start":0,"steps":1}}}
    "#]],
    );
    check(
        "/api/v1/query_range?query=requests_total%2B1&explain=true&start=1767571080&end=1767571200&step=60",
        expect![[r#"
            200 {"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"api","path":"/<b>"},"values":[[1767571080,"2"],[1767571140,"3.5"],[1767571200,"+Inf"]]}],"explain":{"end":16,"expr":"requests_total + 1","parts":[{"end":14,"expr":"requests_total","parts":[],"samplesRead":3,"seconds":0.0,"series":1,"start":0,"steps":3}],"samplesRead":0,"seconds":0.0,"series":1,"start":0,"steps":3}}}
        "#]],
    );
    check(
        "/api/v1/query?query=1&explain=false&time=1",
        expect![[r#"
        200 {"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}
    "#]],
    );
}

#[test]
fn what_is_experimental_is_refused_unless_it_is_switched_on() {
    let shown = gets(&[
        "/api/v1/query?query=limitk(1,%20requests_total)",
        "/api/v1/query_range?query=mad_over_time(requests_total[5m])&start=1&end=2&step=1",
        "/api/v1/format_query?query=rate(requests_total[5m]%20anchored)",
    ]);
    expect![[r#"
        400 {"error":"invalid parameter \"query\": 1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions","errorType":"bad_data","status":"error"}
        400 {"error":"invalid parameter \"query\": 1:1: parse error: function \"mad_over_time\" is not enabled","errorType":"bad_data","status":"error"}
        400 {"error":"invalid parameter \"query\": 1:6: parse error: anchored modifier is experimental and not enabled","errorType":"bad_data","status":"error"}
    "#]].assert_eq(&shown);
}

#[test]
fn limits_of_a_query() {
    let shown = gets(&[
        "/api/v1/query?query={__name__=~%22.%2B%22}&limit=1&time=1767571200",
        "/api/v1/query?query=1&limit=-1",
        "/api/v1/query?query=1&limit=x",
        "/api/v1/query?query=1&timeout=soon",
        "/api/v1/query?query=1&lookback_delta=soon",
        "/api/v1/query?query=requests_total&time=1767571230.25&lookback_delta=10s",
        "/api/v1/query?query=requests_total&time=1767571230.25&lookback_delta=1m",
        "/api/v1/query_range?query=1&end=2&step=1",
        "/api/v1/query_range?query=up[5m]&start=1&end=2&step=1",
        "/api/v1/series?match[]={__name__=~%22.%2B%22}&limit=1",
        "/api/v1/labels?match[]={job=~%22.*%22}",
        "/api/v1/label/U__job/values?limit=5",
        "/api/v1/label/__name__/values?limit=1",
        "/api/v1/label/U__a_b/values",
    ]);
    expect![[r#"
        200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"requests_total","job":"api","path":"/<b>"},"value":[1767571200,"+Inf"]}]},"warnings":["results truncated due to limit"]}
        400 {"error":"invalid parameter \"limit\": limit must be non-negative","errorType":"bad_data","status":"error"}
        400 {"error":"invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax","errorType":"bad_data","status":"error"}
        400 {"error":"invalid parameter \"timeout\": cannot parse \"soon\" to a valid duration","errorType":"bad_data","status":"error"}
        400 {"error":"error parsing lookback delta duration: cannot parse \"soon\" to a valid duration","errorType":"bad_data","status":"error"}
        200 {"status":"success","data":{"resultType":"vector","result":[]}}
        200 {"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"requests_total","job":"api","path":"/<b>"},"value":[1767571230.250,"+Inf"]}]}}
        400 {"error":"invalid parameter \"start\": cannot parse \"\" to a valid timestamp","errorType":"bad_data","status":"error"}
        400 {"error":"invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector","errorType":"bad_data","status":"error"}
        200 {"data":[{"__name__":"requests_total","job":"api","path":"/<b>"}],"status":"success","warnings":["results truncated due to limit"]}
        400 {"error":"match[] must contain at least one non-empty matcher","errorType":"bad_data","status":"error"}
        200 {"data":["api"],"status":"success"}
        200 {"data":["requests_total"],"status":"success","warnings":["results truncated due to limit"]}
        200 {"data":[],"status":"success"}
    "#]].assert_eq(&shown);
}

#[test]
fn a_query_that_loads_too_much_is_refused() {
    let answers = play(|site| async move {
        fill(&site).await;
        site.stage.config.query.lock().unwrap().max_samples = 2;
        let path = "/api/v1/query?query=requests_total[5m]&time=1767571200";
        vec![site.send(ask("GET", path)).await]
    });
    expect![[r#"
        422 {"error":"query processing would load too many samples into memory in query execution (limit 2)","errorType":"execution","status":"error"}
    "#]].assert_eq(&say(answers));
}

#[test]
fn expressions_are_formatted_and_taken_apart() {
    let shown = gets(&[
        "/api/v1/format_query?query=sum+by(job)(rate(up[5m]))",
        "/api/v1/format_query?query=sum(",
        "/api/v1/parse_query?query=-1%2Bsum+without(a)(rate(up{job=%22x%22}[5m]+offset+1m))+%3Ebool+on(a)+group_left(b)+topk(2,up+@+10)",
        "/api/v1/parse_query?query=max_over_time(up[1h:step()*2]+@+end())+and+round(x,+(%22a%22))",
        "/api/v1/parse_query?query=label_join(up,%22a%22,%22b%22)+or+hour()",
    ]);
    expect![[r#"
        200 {"data":"sum by (job) (rate(up[5m]))","status":"success"}
        400 {"error":"invalid parameter \"query\": 1:5: parse error: the expression ends too early; a metric, a number, a function or `(` belongs here","errorType":"bad_data","status":"error"}
        200 {"data":{"bool":true,"lhs":{"bool":false,"lhs":{"type":"numberLiteral","val":"-1"},"matching":null,"op":"+","rhs":{"expr":{"args":[{"anchored":false,"matchers":[{"name":"job","type":"=","value":"x"},{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":60000,"offsetExpr":null,"range":300000,"rangeExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","variadic":0},"type":"call"},"grouping":["a"],"op":"sum","param":null,"type":"aggregation","without":true},"type":"binaryExpr"},"matching":{"card":"many-to-one","fillValues":{"lhs":null,"rhs":null},"include":["b"],"labels":["a"],"on":true},"op":">","rhs":{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":10000,"type":"vectorSelector"},"grouping":[],"op":"topk","param":{"type":"numberLiteral","val":"2"},"type":"aggregation","without":false},"type":"binaryExpr"},"status":"success"}
        400 {"error":"invalid parameter \"query\": 1:53: parse error: argument 2 of `round` must be of type scalar, not string","errorType":"bad_data","status":"error"}
        200 {"data":{"bool":false,"lhs":{"args":[{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},{"type":"stringLiteral","val":"a"},{"type":"stringLiteral","val":"b"}],"func":{"argTypes":["vector","string","string","string"],"name":"label_join","returnType":"vector","variadic":-1},"type":"call"},"matching":{"card":"many-to-many","fillValues":{"lhs":null,"rhs":null},"include":[],"labels":[],"on":false},"op":"or","rhs":{"args":[],"func":{"argTypes":["vector"],"name":"hour","returnType":"vector","variadic":1},"type":"call"},"type":"binaryExpr"},"status":"success"}
    "#]].assert_eq(&shown);
}

#[test]
fn what_watchbell_says_of_itself() {
    let shown = gets(&[
        "/api/v1/status/config",
        "/api/v1/status/flags",
        "/api/v1/status/walreplay",
        "/api/v1/alertmanagers",
        "/api/v1/notifications",
        "/api/v1/scrape_pools",
        "/api/v1/targets?state=active",
        "/api/v1/targets?state=dropped",
        "/api/v1/targets/relabel_steps",
        "/api/v1/targets/relabel_steps?scrapePool=x&labels={%22a%22:%22b%22}",
        "/api/v1/targets/metadata?limit=x",
        "/api/v1/targets/metadata?match_target={job=%22a%22}",
        "/api/v1/metadata?limit=0",
        "/api/v1/metadata?limit=x",
        "/api/v1/status/tsdb?limit=0",
        "/api/v1/status/self_metrics?metric_name_pattern=none",
        "/api/v1/status/self_metrics?metric_name_pattern=(",
        "/prometheus/api/v1/status/buildinfo",
    ]);
    expect![[r#"
        200 {"data":{"yaml":"global:\n  scrape_interval: 15s\n"},"status":"success"}
        200 {"data":{"storage.tsdb.retention.time":"1y","web.external-url":"https://watch.example.org/","web.listen-address":"127.0.0.1:9800"},"status":"success"}
        200 {"data":{"current":0,"max":0,"min":0},"status":"success"}
        200 {"data":{"activeAlertmanagers":[{"url":"https://watch.example.org/api/v2/alerts"}],"droppedAlertmanagers":[]},"status":"success"}
        200 {"data":[],"status":"success"}
        200 {"data":{"scrapePools":[]},"status":"success"}
        200 {"data":{"activeTargets":[],"droppedTargetCounts":null,"droppedTargets":[]},"status":"success"}
        200 {"data":{"activeTargets":[],"droppedTargetCounts":{},"droppedTargets":[]},"status":"success"}
        400 {"error":"no scrapePool parameter provided","errorType":"bad_data","status":"error"}
        400 {"error":"error retrieving scrape config: scrape pool \"x\" not found","errorType":"bad_data","status":"error"}
        400 {"error":"limit must be a number","errorType":"bad_data","status":"error"}
        200 {"data":[],"status":"success"}
        200 {"data":{},"status":"success"}
        400 {"error":"limit must be a number","errorType":"bad_data","status":"error"}
        400 {"error":"limit must be a positive number","errorType":"bad_data","status":"error"}
        200 {"data":[],"status":"success"}
        400 {"error":"invalid metric_name_pattern: `(` is not a regular expression: error: unclosed group","errorType":"bad_data","status":"error"}
        200 {"data":{"branch":"","buildDate":"","buildUser":"","goVersion":"","revision":"watchbell 0.0.0","version":"3.14.0"},"status":"success"}
    "#]].assert_eq(&shown);
    let runtime: serde_json::Value =
        serde_json::from_str(&ask_all(vec![ask("GET", "/api/v1/status/runtimeinfo")])[0].body).unwrap();
    let keys: Vec<&String> = runtime["data"].as_object().unwrap().keys().collect();
    expect![[r#"["CWD", "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "corruptionCount", "goroutineCount", "hostname", "lastConfigTime", "reloadConfigSuccess", "serverTime", "startTime", "storageRetention"]"#]].assert_eq(&format!("{keys:?}"));
    let own = ask_all(vec![
        ask("GET", "/api/v1/query?query=1"),
        ask(
            "GET",
            "/api/v1/status/self_metrics?metric_name_pattern=watchbell_(queries_.*%7Crule_group_rules%7Crule_group_duration_seconds)",
        ),
    ]);
    let own: serde_json::Value = serde_json::from_str(&own[1].body).unwrap();
    let kinds: Vec<String> = own["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{} {} {}", it["name"].as_str().unwrap(), it["type"].as_str().unwrap(), it["metric"][0]))
        .collect();
    expect![[r#"
        watchbell_queries_running GAUGE {"gauge":{"value":0.0},"label":[]}
        watchbell_queries_total COUNTER {"counter":{"value":1.0},"label":[{"name":"outcome","value":"ok"}]}
        watchbell_rule_group_duration_seconds HISTOGRAM {"histogram":{"bucket":[{"cumulativeCount":"0","upperBound":0.001},{"cumulativeCount":"0","upperBound":0.005},{"cumulativeCount":"0","upperBound":0.02},{"cumulativeCount":"0","upperBound":0.1},{"cumulativeCount":"0","upperBound":0.5},{"cumulativeCount":"0","upperBound":2.0},{"cumulativeCount":"0","upperBound":10.0}],"sampleCount":"0","sampleSum":0.0},"label":[]}
        watchbell_rule_group_rules GAUGE {"gauge":{"value":1.0},"label":[{"name":"rule_group","value":"rules.yml;host"}]}"#]].assert_eq(&kinds.join("\n"));
    let features = ask_all(vec![ask("GET", "/api/v1/features")]).remove(0).body;
    assert!(features.contains(r#""rate":true"#) && features.contains(r#""limitk":false"#), "{features}");
}

#[test]
fn rules_are_filtered_and_paged() {
    let shown = gets(&[
        "/api/v1/rules?exclude_alerts=true",
        "/api/v1/rules?match[]={severity=%22critical%22}",
        "/api/v1/rules?rule_group[]=none",
        "/api/v1/rules?group_limit=1",
        "/api/v1/rules?group_limit=0",
        "/api/v1/rules?group_limit=1&group_next_token=x",
        "/api/v1/rules?group_next_token=x",
        "/api/v1/rules?type=all",
        "/api/v1/rules?exclude_alerts=perhaps",
    ]);
    expect![[r#"
        200 {"data":{"groups":[{"evaluationTime":0.0,"file":"rules.yml","interval":15.0,"lastEvaluation":"0001-01-01T00:00:00Z","limit":0,"name":"host","rules":[{"alerts":null,"annotations":{"runbook_url":"https://watch.example.org/runbooks/disk-full","summary":"{{ $labels.mountpoint }} is {{ $value | humanizePercentage }} full"},"duration":0.0,"evaluationTime":0.0,"health":"unknown","keepFiringFor":0.0,"labels":{"severity":"warning"},"lastEvaluation":"0001-01-01T00:00:00Z","name":"DiskAlmostFull","query":"1 - node_filesystem_avail_bytes / node_filesystem_size_bytes > 0.9","state":"inactive","type":"alerting"}]}]},"status":"success"}
        200 {"data":{"groups":[]},"status":"success"}
        200 {"data":{"groups":[]},"status":"success"}
        200 {"data":{"groups":[{"evaluationTime":0.0,"file":"rules.yml","interval":15.0,"lastEvaluation":"0001-01-01T00:00:00Z","limit":0,"name":"host","rules":[{"alerts":[],"annotations":{"runbook_url":"https://watch.example.org/runbooks/disk-full","summary":"{{ $labels.mountpoint }} is {{ $value | humanizePercentage }} full"},"duration":0.0,"evaluationTime":0.0,"health":"unknown","keepFiringFor":0.0,"labels":{"severity":"warning"},"lastEvaluation":"0001-01-01T00:00:00Z","name":"DiskAlmostFull","query":"1 - node_filesystem_avail_bytes / node_filesystem_size_bytes > 0.9","state":"inactive","type":"alerting"}]}]},"status":"success"}
        400 {"error":"invalid parameter \"group_limit\": group_limit needs to be greater than 0","errorType":"bad_data","status":"error"}
        400 {"error":"invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule groups changed?","errorType":"bad_data","status":"error"}
        400 {"error":"invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups","errorType":"bad_data","status":"error"}
        400 {"error":"invalid parameter \"type\": not supported value \"all\"","errorType":"bad_data","status":"error"}
        400 {"error":"invalid parameter \"exclude_alerts\": error converting exclude_alerts: strconv.ParseBool: parsing \"perhaps\": invalid syntax","errorType":"bad_data","status":"error"}
    "#]].assert_eq(&shown);
}

#[test]
fn a_path_that_is_none_says_so_as_grafana_expects() {
    let answers = ask_all(vec![ask("GET", "/api/v1/rules/test/test"), ask("GET", "/prometheus/api/v1/none")]);
    for answer in answers {
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (404, "404 page not found\n"));
    }
}

#[test]
fn the_newest_samples_are_federated() {
    let answers = ask_all(vec![
        ask("GET", "/federate?match[]={__name__=~%22.%2B%22}"),
        ask("GET", "/federate?match[]=up{"),
        ask("GET", "/federate"),
        ask("GET", "/federate?match[]=size").header(
            "accept",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,*/*;q=0.1",
        ),
    ]);
    assert_eq!(answers[0].headers["content-type"], "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    assert_eq!(
        answers[3].headers["content-type"],
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores"
    );
    // Its length in two bytes, then its name.
    assert_eq!(&answers[3].bytes[2..8], b"\x0a\x04size");
    expect![[r#"
        200 # TYPE requests_total untyped
        requests_total{job="api",path="/<b>",site="one",instance=""} +Inf 1767571200000

        400 1:4: the expression ends too early; a label's name or `}` belongs here

        200 
    "#]]
    .assert_eq(&say(answers.into_iter().take(3).collect()));
}

fn remote_read(accepted: Vec<ResponseType>, matchers: Vec<Matcher>) -> Ask {
    let query = ReadQuery { start: Timestamp(0), end: Timestamp(NOW * 1000), matchers };
    let body = snappy::compress(&ReadRequest { queries: vec![query], accepted }.encode());
    ask("POST", "/api/v1/read").header("content-type", "application/x-protobuf").body(body)
}

#[test]
fn series_are_read_from_afar_as_samples_and_as_chunks() {
    let named = |name: &str| Matcher::equal("__name__", name);
    let answers = ask_all(vec![
        remote_read(vec![], vec![named("requests_total"), Matcher::equal("site", "one")]),
        remote_read(vec![ResponseType::StreamedXorChunks, ResponseType::Samples], vec![named("requests_total")]),
        remote_read(vec![ResponseType::StreamedXorChunks], vec![named("size")]),
        remote_read(vec![], vec![named("requests_total"), Matcher::equal("site", "two")]),
        ask("POST", "/api/v1/read").body("no snappy"),
    ]);
    assert_eq!(answers[0].headers["content-encoding"], "snappy");
    let whole = decode_samples(&snappy::decompress(&answers[0].bytes, 1 << 20).unwrap(), 100).unwrap().remove(0);
    assert_eq!(whole[0].labels.get("site"), Some("one"));
    assert_eq!(whole[0].samples.len(), 3);
    let (query, streamed) = decode_frame(&mut &answers[1].bytes[..]).unwrap().unwrap();
    assert_eq!((query, &streamed), (0, &whole));
    let (_, histograms) = decode_frame(&mut &answers[2].bytes[..]).unwrap().unwrap();
    assert_eq!(histograms[0].histograms[0].histogram.count, 6.0);
    let none = decode_samples(&snappy::decompress(&answers[3].bytes, 1 << 20).unwrap(), 100).unwrap();
    assert_eq!(none, [vec![]]);
    assert_eq!(answers[4].status, 400);
}

#[test]
fn a_remote_read_has_the_limits_of_a_query() {
    let answer = play(|site| async move {
        fill(&site).await;
        site.stage.config.query.lock().unwrap().max_samples = 2;
        site.send(remote_read(vec![], vec![Matcher::equal("__name__", "requests_total")])).await
    });
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (400, "exceeded sample limit (2)\n"));
}

#[test]
fn answers_are_compressed_for_who_asks() {
    let path = "/api/v1/features";
    let answers = ask_all(vec![ask("GET", path), ask("GET", path).header("accept-encoding", "gzip, deflate")]);
    assert!(!answers[0].headers.contains_key("content-encoding"));
    assert_eq!(answers[1].headers["content-encoding"], "gzip");
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&answers[1].bytes[..]), &mut plain).unwrap();
    assert_eq!(plain, answers[0].body);
}

#[test]
fn other_sites_pages_read_only_where_they_are_let() {
    let path = "/api/v1/query?query=1";
    let from = |method, origin: &str| ask(method, path).header("origin", origin).header("sec-fetch-site", "cross-site");
    let answers = play(|site| async move {
        let before = site.send(from("GET", "https://grafana.example.org")).await;
        site.stage.config.query.lock().unwrap().cors_origin = "https://grafana\\.example\\.org".into();
        let form = "application/x-www-form-urlencoded";
        vec![
            before,
            site.send(from("GET", "https://grafana.example.org")).await,
            site.send(from("GET", "https://evil.example")).await,
            site.send(from("POST", "https://evil.example").header("content-type", form).body("query=1")).await,
            site.send(from("POST", "https://grafana.example.org").header("content-type", form).body("query=1")).await,
            site.send(from("OPTIONS", "https://grafana.example.org")).await,
        ]
    });
    let shown: Vec<String> = answers
        .iter()
        .map(|answer| {
            let allowed = answer.headers.get("access-control-allow-origin").map(|origin| origin.to_str().unwrap());
            format!("{} {}", answer.status.as_u16(), allowed.unwrap_or("-"))
        })
        .collect();
    expect![[r#"
        200 -
        200 https://grafana.example.org
        200 -
        403 -
        200 https://grafana.example.org
        204 https://grafana.example.org"#]]
    .assert_eq(&shown.join("\n"));
    assert_eq!(answers[5].headers["access-control-allow-methods"], "GET, POST, OPTIONS");
}
