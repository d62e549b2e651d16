//! `/federate`: the newest samples of some series, for a Prometheus that scrapes them.
//!
//! As text, or as protobuf where the scraper puts it first, which alone carries native histograms.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use watchbell_model::{Histogram, HistogramSample, Labels, QueryError, ResetHint, Sample, Series, Timestamp, is_stale};
use watchbell_query::{format_value, promql};
use watchbell_wire::prometheus::{
    Family, FamilyKind, PROTOBUF_CONTENT_TYPE, TEXT_CONTENT_TYPE, classic_buckets, write_sample,
};

use super::{Parameters, Refused, run};
use crate::App;

/// What a series is worth now.
enum Newest {
    Value(Sample),
    Histogram(HistogramSample),
}

impl Newest {
    /// The last sample, unless it is the marker of an end.
    fn of(series: &Series) -> Option<Newest> {
        let (sample, histogram) = (series.samples.last(), series.histograms.last());
        match (sample, histogram) {
            (Some(sample), other) if other.is_none_or(|other| other.timestamp < sample.timestamp) => {
                (!is_stale(sample.value)).then_some(Newest::Value(*sample))
            }
            (_, Some(sample)) => (!sample.histogram.is_stale()).then(|| Newest::Histogram(sample.clone())),
            _ => None,
        }
    }

    fn kind(&self) -> FamilyKind {
        match self {
            Newest::Value(_) => FamilyKind::Untyped,
            Newest::Histogram(sample) if sample.histogram.reset == ResetHint::Gauge => FamilyKind::GaugeHistogram,
            Newest::Histogram(_) => FamilyKind::Histogram,
        }
    }
}

/// How the body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    protobuf: bool,
    /// Names of any characters may be told as they are.
    utf8: bool,
}

impl Shape {
    /// By the `Accept` header: the first of those known, as Prometheus' exporters negotiate.
    fn of(headers: &HeaderMap) -> Shape {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
        let mut best: Option<(f64, Shape)> = None;
        for clause in accept.split(',') {
            let mut parts = clause.split(';').map(str::trim);
            let kind = parts.next().unwrap_or("");
            let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let get =
                |name: &str| parameters.iter().find(|(have, _)| have.trim() == name).map(|(_, value)| value.trim());
            let protobuf = kind == "application/vnd.google.protobuf"
                && get("proto") == Some("io.prometheus.client.MetricFamily")
                && get("encoding") == Some("delimited");
            if !protobuf && kind != "text/plain" {
                continue;
            }
            let weight = get("q").and_then(|q| q.parse().ok()).unwrap_or(1.0);
            let shape = Shape { protobuf, utf8: get("escaping") == Some("allow-utf-8") };
            if best.is_none_or(|(least, _)| weight > least) {
                best = Some((weight, shape));
            }
        }
        best.map_or(Shape { protobuf: false, utf8: false }, |(_, shape)| shape)
    }

    fn content_type(self) -> String {
        let escaping = if self.utf8 { "allow-utf-8" } else { "underscores" };
        let kind = if self.protobuf { PROTOBUF_CONTENT_TYPE } else { TEXT_CONTENT_TYPE };
        format!("{kind}; escaping={escaping}")
    }

    /// A name as the scraper understands it.
    fn name(self, name: &str, colons: bool) -> String {
        let plain = |at: usize, c: char| {
            c == '_' || c.is_ascii_alphabetic() || (colons && c == ':') || (at > 0 && c.is_ascii_digit())
        };
        if self.utf8 {
            return name.to_owned();
        }
        name.chars().enumerate().map(|(at, c)| if plain(at, c) { c } else { '_' }).collect()
    }
}

/// `/federate`.
pub(crate) async fn federate(State(app): State<App>, headers: HeaderMap, parameters: Parameters) -> Response {
    let one = |text| promql::metric_selector(text).map_err(|error| Refused::BadData(error.to_string()));
    let sets = match parameters.all("match[]").map(one).collect::<Result<Vec<_>, Refused>>() {
        Ok(sets) => sets,
        Err(refused) => return refused.into_text(),
    };
    let (now, external) = (app.runtime.clock.now(), app.config.external_labels());
    let start = now - app.config.query().lookback_delta.duration();
    let shape = Shape::of(&headers);
    let body = run(app, move |app| {
        let mut found = BTreeMap::new();
        for set in &sets {
            app.query.each(set, start, now, &mut |series| {
                // What has no name cannot be told.
                if let (Some(newest), Some(name)) = (Newest::of(&series), series.labels.name()) {
                    found.insert((name.to_owned(), series.labels.clone()), newest);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok::<_, QueryError>(write(&found, &external, shape))
    });
    match body.await {
        Ok(body) => ([(header::CONTENT_TYPE, shape.content_type())], body).into_response(),
        Err(refused) => refused.into_text(),
    }
}

fn write(found: &BTreeMap<(String, Labels), Newest>, external: &Labels, shape: Shape) -> Vec<u8> {
    let (mut text, mut bytes) = (String::new(), Vec::new());
    let mut family: Option<(&str, FamilyKind, Family)> = None;
    for ((name, labels), newest) in found {
        let kind = newest.kind();
        let mut told: Vec<(String, &str)> = external
            .iter()
            .filter(|(name, _)| labels.get(name).is_none())
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        // So that the scraper does not put its own in its place.
        if external.get("instance").is_none() && labels.get("instance").is_none() {
            told.push(("instance".to_owned(), ""));
            told.sort();
        }
        let own = labels.iter().filter(|(name, _)| *name != Labels::NAME);
        let escaped: Vec<(String, &str)> =
            own.map(|(name, value)| (shape.name(name, false), value)).chain(told).collect();
        let pairs: Vec<(&str, &str)> = escaped.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let begins = family.as_ref().is_none_or(|(have, of, _)| *have != name || *of != kind);
        if shape.protobuf {
            if begins {
                let new = Family::new(&shape.name(name, true), kind);
                if let Some((.., family)) = family.replace((name, kind, new)) {
                    family.finish(&mut bytes);
                }
            }
            let Some((.., family)) = &mut family else { continue };
            match newest {
                Newest::Value(sample) => family.value(&Labels::empty(), &pairs, sample.value, sample.timestamp),
                Newest::Histogram(it) => family.histogram(&Labels::empty(), &pairs, &it.histogram, it.timestamp),
            }
            continue;
        }
        // Text has no form for histograms without bounds of their own.
        if matches!(newest, Newest::Histogram(it) if !it.histogram.has_custom_buckets()) {
            continue;
        }
        let name_shown = shape.name(name, true);
        if begins {
            let word = if kind == FamilyKind::Untyped { "untyped" } else { "histogram" };
            text.push_str(&format!("# TYPE {} {word}\n", quoted_name(&name_shown)));
            family = Some((name, kind, Family::new(name, kind)));
        }
        match newest {
            Newest::Value(sample) => line(&mut text, &name_shown, &pairs, sample.value, sample.timestamp),
            Newest::Histogram(it) => classic(&mut text, &name_shown, &pairs, &it.histogram, it.timestamp),
        }
    }
    match family.filter(|_| shape.protobuf) {
        Some((.., family)) => {
            family.finish(&mut bytes);
            bytes
        }
        None => text.into_bytes(),
    }
}

/// A line with labels in the order given, those without a value among them.
fn line(out: &mut String, name: &str, pairs: &[(&str, &str)], value: f64, at: Timestamp) {
    let labels = Labels::from_pairs(pairs.iter().copied()).with(Labels::NAME, name);
    let mut written = String::new();
    write_sample(&mut written, &labels, value, Some(at));
    // A label set has no empty values, but here they say something.
    let empty: Vec<String> =
        pairs.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| format!("{name}=\"\"")).collect();
    if !empty.is_empty() {
        let empty = empty.join(",");
        let sample = format!(" {} {}\n", watchbell_wire::prometheus::format_value(value), at.as_millis());
        let series = written.strip_suffix(&sample).unwrap_or(&written);
        written = match series.strip_suffix('}') {
            Some(open) => format!("{open},{empty}}}{sample}"),
            None => format!("{series}{{{empty}}}{sample}"),
        };
    }
    out.push_str(&written);
}

/// A histogram with bounds of its own as a classic one.
fn classic(out: &mut String, name: &str, pairs: &[(&str, &str)], histogram: &Histogram, at: Timestamp) {
    let bucket = format!("{name}_bucket");
    let bounds = classic_buckets(histogram).into_iter().map(|(bound, count)| (format_value(bound), count));
    for (bound, count) in bounds.chain([("+Inf".to_owned(), histogram.count)]) {
        let with_bound: Vec<(&str, &str)> = pairs.iter().copied().chain([("le", bound.as_str())]).collect();
        line(out, &bucket, &with_bound, count, at);
    }
    line(out, &format!("{name}_sum"), pairs, histogram.sum, at);
    line(out, &format!("{name}_count"), pairs, histogram.count, at);
}

/// A metric's name behind `# TYPE`: in quotes where it has characters of its own.
fn quoted_name(name: &str) -> String {
    let plain = name.bytes().all(|b| b == b'_' || b == b':' || b.is_ascii_alphanumeric());
    if plain { name.to_owned() } else { format!("{name:?}") }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use http::HeaderValue;

    use super::*;

    fn shape(accept: &str) -> Shape {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        Shape::of(&headers)
    }

    #[test]
    fn the_scraper_says_what_it_reads() {
        let text = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                    text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.3";
        assert_eq!(shape(text), Shape { protobuf: false, utf8: true });
        let first = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7";
        assert_eq!(shape(&format!("{first},{text}")), Shape { protobuf: true, utf8: false });
        assert_eq!(shape("*/*"), Shape { protobuf: false, utf8: false });
    }

    #[test]
    fn text_is_sorted_and_carries_external_labels() {
        let mut found = BTreeMap::new();
        let mut add = |name: &str, labels: &[(&str, &str)], newest: Newest| {
            found.insert((name.to_owned(), Labels::metric(name, labels)), newest);
        };
        let value = |value| Newest::Value(Sample { timestamp: Timestamp(1500), value });
        add("up", &[("job", "b"), ("instance", "x:1")], value(1.0));
        add("up", &[("job", "a")], value(0.0));
        add("a.b", &[], value(1e6));
        let custom = Histogram {
            schema: Histogram::CUSTOM_BUCKETS,
            count: 3.0,
            sum: 4.5,
            custom_values: vec![0.5],
            ..Histogram::default()
        };
        add("size", &[], Newest::Histogram(HistogramSample { timestamp: Timestamp(2000), histogram: custom.into() }));
        let native = HistogramSample { timestamp: Timestamp(2000), histogram: Histogram::default().into() };
        add("native", &[], Newest::Histogram(native));
        let external = Labels::from_pairs([("site", "one")]);
        let shown = |utf8| String::from_utf8(write(&found, &external, Shape { protobuf: false, utf8 })).unwrap();
        expect![[r##"
            # TYPE a_b untyped
            a_b{site="one",instance=""} 1e+06 1500
            # TYPE size histogram
            size_bucket{le="0.5",site="one",instance=""} 0 2000
            size_bucket{le="+Inf",site="one",instance=""} 3 2000
            size_sum{site="one",instance=""} 4.5 2000
            size_count{site="one",instance=""} 3 2000
            # TYPE up untyped
            up{instance="x:1",job="b",site="one"} 1 1500
            up{job="a",site="one",instance=""} 0 1500
        "##]]
        .assert_eq(&shown(false));
        assert!(shown(true).starts_with("# TYPE \"a.b\" untyped\n{\"a.b\",site=\"one\",instance=\"\"} 1e+06 1500\n"));
    }
}
