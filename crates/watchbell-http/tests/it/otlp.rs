//! Metrics by OpenTelemetry's protocol: over HTTP as protobuf and JSON, and over gRPC.

use std::fmt::Write;

use expect_test::expect;

use crate::push::{answer, door};
use crate::{Ask, Site, ask};

/// A request of OpenTelemetry with a counter, a delta, both kinds of histograms, and a point that ends its series.
const OTLP: &str = r#"{"resourceMetrics": [{
  "resource": {"attributes": [
    {"key": "service.name", "value": {"stringValue": "shop"}}, {"key": "service.namespace", "value": {"stringValue": "eu"}},
    {"key": "service.instance.id", "value": {"stringValue": "i-1"}}, {"key": "host.name", "value": {"stringValue": "web"}}]},
  "scopeMetrics": [{"scope": {"name": "lib"}, "metrics": [
    {"name": "orders", "unit": "{order}", "description": "Orders taken.", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
      "dataPoints": [{"asInt": "7", "startTimeUnixNano": "1000000000", "timeUnixNano": "60000000000",
        "attributes": [{"key": "http.method", "value": {"stringValue": "GET"}}, {"key": "http/method", "value": {"stringValue": "PUT"}}],
        "exemplars": [{"timeUnixNano": "59000000000", "asInt": "1", "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}]}]}},
    {"name": "orders.delta", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [{"asInt": 1}, {"asInt": 2}]}},
    {"name": "queue.size", "unit": "1", "gauge": {"dataPoints": [{"asDouble": 0.5, "timeUnixNano": "61000000000"}]}},
    {"name": "gone", "gauge": {"dataPoints": [{"flags": 1, "timeUnixNano": "61000000000"}]}},
    {"name": "latency", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [
      {"timeUnixNano": "60000000000", "count": 3, "sum": 1.5, "bucketCounts": [1, 1, 1], "explicitBounds": [0.1, 1],
       "exemplars": [{"timeUnixNano": "59000000000", "asDouble": 0.5, "traceId": "5b8efff798038103d269b633813fc60c"}]}]}},
    {"name": "size", "unit": "By", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
      {"timeUnixNano": "60000000000", "count": 6, "sum": 10, "scale": 10, "zeroCount": 1,
       "positive": {"offset": -1, "bucketCounts": [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2]}}]}},
    {"name": "too.coarse", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{"scale": -5}]}},
    {"name": "rpc", "summary": {"dataPoints": [{"timeUnixNano": "60000000000", "count": 3, "sum": 10,
      "quantileValues": [{"quantile": 0.5, "value": 2}]}]}}
  ]}]}]}"#;

fn otlp(kind: &'static str, body: impl Into<Vec<u8>>) -> Ask {
    ask("POST", "/v1/metrics").header("content-type", kind).body(body)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(body).unwrap();
    to.finish().unwrap()
}

#[test]
fn metrics_of_opentelemetry() {
    let out = door(|site, notes| async move {
        let out = answer(&site, otlp("application/json", OTLP)).await;
        out + &std::mem::take(&mut *notes.written.lock().unwrap())
    });
    expect![[r#"
        200 {"partialSuccess":{"errorMessage":"`orders.delta`: a point of delta temporality says no time","rejectedDataPoints":"3"}}
        orders_total{http_method="GET;PUT", instance="i-1", job="eu/shop"} 7 @60000
        queue_size_ratio{instance="i-1", job="eu/shop"} 0.5 @61000
        gone{instance="i-1", job="eu/shop"} NaN @61000
        latency_seconds_sum{instance="i-1", job="eu/shop"} 1.5 @60000
        latency_seconds_count{instance="i-1", job="eu/shop"} 3 @60000
        latency_seconds_bucket{instance="i-1", job="eu/shop", le="0.1"} 1 @60000
        latency_seconds_bucket{instance="i-1", job="eu/shop", le="1"} 2 @60000
        latency_seconds_bucket{instance="i-1", job="eu/shop", le="+Inf"} 3 @60000
        rpc_sum{instance="i-1", job="eu/shop"} 10 @60000
        rpc_count{instance="i-1", job="eu/shop"} 3 @60000
        rpc{instance="i-1", job="eu/shop", quantile="0.5"} 2 @60000
        target_info{host_name="web", instance="i-1", job="eu/shop"} 1 @60000
        target_info{host_name="web", instance="i-1", job="eu/shop"} 1 @61000
        size_bytes{instance="i-1", job="eu/shop"} count 6 sum 10 @60000
        orders_total{http_method="GET;PUT", instance="i-1", job="eu/shop"} began at 1000 from 60000 on
        orders_total{http_method="GET;PUT", instance="i-1", job="eu/shop"} as {span_id="eee19b7ec3c1b174", trace_id="5b8efff798038103d269b633813fc60c"} 1 @59000
        latency_seconds_bucket{instance="i-1", job="eu/shop", le="1"} as {trace_id="5b8efff798038103d269b633813fc60c"} 0.5 @59000
        orders_total is a counter in "": "Orders taken."
        orders_delta_total is a counter in "": ""
        queue_size_ratio is a gauge in "": ""
        gone is a gauge in "": ""
        latency_seconds is a histogram in "seconds": ""
        size_bytes is a histogram in "bytes": ""
        too_coarse is a histogram in "": ""
        rpc is a summary in "": ""
    "#]].assert_eq(&out);
}

#[test]
fn the_ways_of_opentelemetry() {
    let out = door(|site, notes| async move {
        let point = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"up","gauge":{"dataPoints":[{"asInt":"1","timeUnixNano":"1000000"}]}}]}]}]}"#;
        // The same as protocol buffers, field by field.
        let number = [&[0x19][..], &1_000_000u64.to_le_bytes(), &[0x31], &1u64.to_le_bytes()].concat();
        let wrap = |tag: u8, inner: Vec<u8>| [&[tag, inner.len() as u8][..], &inner].concat();
        let metric = [wrap(0x0a, b"up".to_vec()), wrap(0x2a, wrap(0x0a, number))].concat();
        let protobuf = wrap(0x0a, wrap(0x12, wrap(0x12, metric)));
        let grpc = |flag: u8, message: &[u8]| {
            let framed = [&[flag][..], &(message.len() as u32).to_be_bytes(), message].concat();
            let ask = ask("POST", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
            ask.header("content-type", "application/grpc").header("te", "trailers").body(framed)
        };
        let cases = [
            ("protobuf", otlp("application/x-protobuf", protobuf.clone())),
            ("JSON with gzip", otlp("application/json", gzip(point.as_bytes())).header("content-encoding", "gzip")),
            ("Prometheus' path", Ask { path: "/api/v1/otlp/v1/metrics".into(), ..otlp("application/json", point) }),
            ("nothing", otlp("application/x-protobuf", "")),
            ("text", otlp("text/plain", point)),
            ("brotli", otlp("application/json", point).header("content-encoding", "br")),
            ("not gzip", otlp("application/json", point).header("content-encoding", "gzip")),
            ("not JSON", otlp("application/json", "{")),
            (
                "too large",
                otlp("application/json", gzip(&vec![b' '; watchbell_http::OTLP_DECOMPRESSED_MAX + 1]))
                    .header("content-encoding", "gzip"),
            ),
            ("gRPC", grpc(0, &protobuf)),
            ("gRPC with gzip", grpc(1, &gzip(&protobuf)).header("grpc-encoding", "gzip")),
            ("gRPC with snappy", grpc(1, &protobuf).header("grpc-encoding", "snappy")),
            ("gRPC cut off", Ask { body: vec![0, 0, 0, 0, 9, 1], ..grpc(0, &protobuf) }),
            ("not gRPC", Ask { headers: Vec::new(), ..grpc(0, &protobuf) }),
        ];
        let mut out = String::new();
        for (name, ask) in cases {
            write!(out, "# {name}\n{}", grpc_answer(&site, ask).await).unwrap();
            out += &std::mem::take(&mut *notes.written.lock().unwrap());
        }
        *notes.full.lock().unwrap() = true;
        for (name, ask) in [("JSON", otlp("application/json", point)), ("gRPC", grpc(0, &protobuf))] {
            write!(out, "# a full disk, {name}\n{}", grpc_answer(&site, ask).await).unwrap();
        }
        out
    });
    expect![[r##"
        # protobuf
        200 ""
        up 1 @1
        up is a gauge in "": ""
        # JSON with gzip
        200 "{\"partialSuccess\":{}}"
        up 1 @1
        # Prometheus' path
        200 "{\"partialSuccess\":{}}"
        up 1 @1
        # nothing
        200 ""
        # text
        415 "the body must be application/x-protobuf or application/json, not `text/plain`\n"
        # brotli
        415 "{\"code\":12,\"message\":\"the body may be compressed with gzip, not with `br`\"}"
        # not gzip
        400 "{\"code\":3,\"message\":\"the body is not gzip: invalid gzip header\"}"
        # not JSON
        400 "{\"code\":3,\"message\":\"the body is not the JSON of an ExportMetricsServiceRequest: EOF while parsing an object at line 1 column 1\"}"
        # too large
        413 "{\"code\":8,\"message\":\"the body may have 16777216 bytes at most; send less at once\"}"
        # gRPC
        200 grpc-status 0 grpc-message  "\0\0\0\0\0"
        up 1 @1
        # gRPC with gzip
        200 grpc-status 0 grpc-message  "\0\0\0\0\0"
        up 1 @1
        # gRPC with snappy
        200 grpc-status 12 grpc-message messages may be compressed with gzip, not with `snappy` ""
        # gRPC cut off
        200 grpc-status 3 grpc-message the message is not as long as it says, or there is another one ""
        # not gRPC
        415 "this address takes gRPC only\n"
        # a full disk, JSON
        503 retry-after 5 "{\"code\":14,\"message\":\"the store cannot take samples now: the disk is full\"}"
        # a full disk, gRPC
        200 grpc-status 14 grpc-message the store cannot take samples now: the disk is full ""
    "##]].assert_eq(&out);
}

/// Status, what gRPC says, words.
async fn grpc_answer(site: &Site, ask: Ask) -> String {
    let answer = site.send(ask).await;
    let header = |name: &str| answer.headers.get(name).map(|value| format!(" {name} {}", value.to_str().unwrap()));
    let said: Vec<String> = ["retry-after", "grpc-status", "grpc-message"].into_iter().filter_map(header).collect();
    format!("{}{} {:?}", answer.status.as_u16(), said.concat(), answer.body).trim_end().to_owned() + "\n"
}
