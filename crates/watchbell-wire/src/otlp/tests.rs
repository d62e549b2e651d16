//! The same request in both encodings, and what is refused.

use proptest::prelude::*;
use prost::Message;

use super::*;

/// The example of the specification's JSON, with every type of metric.
const JSON: &str = r#"{"resourceMetrics": [{
  "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
  "scopeMetrics": [{
    "scope": {"name": "my.library", "version": "1.0.0", "attributes": []},
    "metrics": [
      {"name": "my.counter", "unit": "1", "description": "I am a Counter", "sum": {
        "aggregationTemporality": 2, "isMonotonic": true,
        "dataPoints": [{"asDouble": 5, "startTimeUnixNano": "1544712660300000000", "timeUnixNano": "1544712660300000000",
          "attributes": [{"key": "my.attr", "value": {"intValue": "7"}}],
          "exemplars": [{"timeUnixNano": "1", "asInt": "3", "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}]}]}},
      {"name": "my.gauge", "gauge": {"dataPoints": [{"asInt": "10", "timeUnixNano": 1544712660300000000, "flags": 1}]}},
      {"name": "my.histogram", "histogram": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [
        {"timeUnixNano": "5", "count": "2", "sum": 2, "bucketCounts": ["1", 1], "explicitBounds": [1], "min": 0, "max": 2}]}},
      {"name": "my.exponential", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": "5", "count": 3, "sum": 10, "scale": -1, "zeroCount": "1",
          "positive": {"offset": -2, "bucketCounts": [0, "2"]}, "zeroThreshold": 0.5}]}},
      {"name": "my.summary", "summary": {"dataPoints": [
        {"timeUnixNano": "5", "count": 3, "sum": 10, "quantileValues": [{"quantile": 0.5, "value": "NaN"}]}]}}
    ]}]}]}"#;

#[test]
fn both_encodings_say_the_same() {
    let request = decode_metrics(JSON.as_bytes(), Encoding::Json).unwrap();
    let again = decode_metrics(&request.encode_to_vec(), Encoding::Protobuf).unwrap();
    assert_eq!(format!("{again:?}"), format!("{request:?}"));
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let Some(MetricData::Sum(sum)) = &metrics[0].data else { panic!("{:?}", metrics[0]) };
    let point = &sum.data_points[0];
    assert_eq!(
        (sum.aggregation_temporality, sum.is_monotonic, point.value.clone()),
        (CUMULATIVE, true, Some(NumberValue::AsDouble(5.0)))
    );
    assert_eq!(point.attributes[0].value.as_ref().unwrap().text(), "7");
    assert_eq!(point.exemplars[0].trace_id[..2], [0x5b, 0x8e]);
    let Some(MetricData::Histogram(histogram)) = &metrics[2].data else { panic!("{:?}", metrics[2]) };
    assert_eq!((histogram.aggregation_temporality, &histogram.data_points[0].bucket_counts), (DELTA, &vec![1, 1]));
}

#[test]
fn values_as_labels() {
    let text = |json: &str| serde_json::from_str::<AnyValue>(json).unwrap().text();
    assert_eq!(text(r#"{"stringValue": "a\"b"}"#), "a\"b");
    assert_eq!(text(r#"{"boolValue": true}"#), "true");
    assert_eq!(text(r#"{"doubleValue": 1.0}"#), "1");
    assert_eq!(text(r#"{"doubleValue": 0.1}"#), "0.1");
    assert_eq!(text(r#"{"doubleValue": "-Infinity"}"#), "-Inf");
    assert_eq!(text(r#"{"bytesValue": "aGk="}"#), "aGk=");
    assert_eq!(text(r#"{"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "x"}]}}"#), r#"[1,"x"]"#);
    assert_eq!(text(r#"{"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": false}}]}}"#), r#"{"k":false}"#);
    assert_eq!(text("{}"), "");
}

#[test]
fn what_is_no_request_is_refused() {
    let said = |body: &[u8], encoding| decode_metrics(body, encoding).unwrap_err().to_string();
    assert_eq!(
        said(b"{\"resourceMetrics\": 1}", Encoding::Json),
        "the body is not the JSON of an ExportMetricsServiceRequest: invalid type: integer `1`, expected a sequence at line 1 column 21"
    );
    assert_eq!(
        said(&[0x0a, 5], Encoding::Protobuf),
        "the body is not an ExportMetricsServiceRequest: the message is cut off"
    );
    let many = [0x0a, 0].repeat(ELEMENTS_MAX + 1);
    assert_eq!(said(&many, Encoding::Protobuf), "a request may be made of 500000 parts at most; send less at once");
}

#[test]
fn answers() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(encode_metrics_answer(0, "", Encoding::Protobuf), b"");
    assert_eq!(encode_metrics_answer(3, "no", Encoding::Protobuf), [0x0a, 6, 8, 3, 0x12, 2, b'n', b'o']);
    let partial = text(encode_metrics_answer(3, "no", Encoding::Json));
    assert_eq!(partial, r#"{"partialSuccess":{"errorMessage":"no","rejectedDataPoints":"3"}}"#);
    assert_eq!(encode_status(3, "no", Encoding::Protobuf), [8, 3, 0x12, 2, b'n', b'o']);
    assert_eq!(text(encode_status(3, "no", Encoding::Json)), r#"{"code":3,"message":"no"}"#);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_metrics(&bytes, Encoding::Protobuf);
        let _ = decode_metrics(&bytes, Encoding::Json);
    }
}
