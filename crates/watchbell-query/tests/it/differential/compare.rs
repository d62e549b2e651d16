//! Whether two answers are the same.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use watchbell_model::{Histogram, Labels};
use watchbell_query::{EvalError, Note, NoteLevel, Value, histogram_buckets};

/// How far two values may be apart, in proportion to the larger one: what the order of additions and the last digit of
/// a logarithm cost, many times over.
pub(super) const TOLERANCE: f64 = 1e-12;

/// An answer of either side.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// The type of the error, and what it says.
    Fails(String, String),
    /// Whether there are warnings and infos, the type, and the samples of each series.
    Gives(String, Vec<String>, Points),
}

/// By labels, then by milliseconds.
pub(super) type Points = BTreeMap<Vec<(String, String)>, BTreeMap<i64, Point>>;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Point {
    Number(f64),
    /// Count, sum, and buckets: bounds and counts.
    Histogram(f64, f64, Vec<[f64; 3]>),
    Text(String),
}

/// What the peer says.
pub(super) fn of_json(answer: &Json) -> Answer {
    if answer["status"] != "success" {
        let text = |field: &str| answer[field].as_str().unwrap_or("").to_owned();
        return Answer::Fails(text("errorType"), text("error"));
    }
    let kind = answer["data"]["resultType"].as_str().unwrap_or("").to_owned();
    let result = &answer["data"]["result"];
    let mut points = Points::new();
    match kind.as_str() {
        "scalar" => {
            points.entry(Vec::new()).or_default().extend(number(result));
        }
        "string" => {
            let text = result[1].as_str().unwrap_or("").to_owned();
            points.entry(Vec::new()).or_default().insert(0, Point::Text(text));
        }
        _ => {
            for series in result.as_array().into_iter().flatten() {
                let metric = series["metric"].as_object().into_iter().flatten();
                let labels = metric.map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()));
                let mut labels: Vec<(String, String)> = labels.collect();
                labels.sort();
                let at = points.entry(labels).or_default();
                at.extend(number(&series["value"]));
                at.extend(histogram(&series["histogram"]));
                at.extend(series["values"].as_array().into_iter().flatten().filter_map(number));
                at.extend(series["histograms"].as_array().into_iter().flatten().filter_map(histogram));
            }
        }
    }
    let mut notes = Vec::new();
    for field in ["warnings", "infos"] {
        let texts = answer[field].as_array().into_iter().flatten();
        notes.extend(texts.filter_map(|text| Some(text.as_str()?.to_owned())));
    }
    notes.sort();
    Answer::Gives(kind, notes, points)
}

fn millis(time: &Json) -> Option<i64> {
    Some((time.as_f64()? * 1000.0).round() as i64)
}

fn value(text: &Json) -> Option<f64> {
    match text.as_str()? {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

fn number(pair: &Json) -> Option<(i64, Point)> {
    Some((millis(&pair[0])?, Point::Number(value(&pair[1])?)))
}

fn histogram(pair: &Json) -> Option<(i64, Point)> {
    let whole = &pair[1];
    let buckets = whole["buckets"].as_array().into_iter().flatten();
    let buckets = buckets.filter_map(|it| Some([value(&it[1])?, value(&it[2])?, value(&it[3])?])).collect();
    Some((millis(&pair[0])?, Point::Histogram(value(&whole["count"])?, value(&whole["sum"])?, buckets)))
}

/// What we say, in the same form.
pub(super) fn of_ours(answer: Result<(Value, Vec<Note>), EvalError>, text: &str) -> Answer {
    let (found, notes) = match answer {
        Ok(found) => found,
        Err(error) => return Answer::Fails("execution".into(), error.to_string()),
    };
    let mut points = Points::new();
    let kind = match found {
        Value::Scalar(at, value) => {
            points.entry(Vec::new()).or_default().insert(at.0, Point::Number(value));
            "scalar"
        }
        Value::String(_, text) => {
            points.entry(Vec::new()).or_default().insert(0, Point::Text(text));
            "string"
        }
        Value::Vector(elements) => {
            for element in elements {
                let point = element.histogram.as_deref().map_or(Point::Number(element.sample.value), of_histogram);
                points.entry(pairs(&element.labels)).or_default().insert(element.sample.timestamp.0, point);
            }
            "vector"
        }
        Value::Matrix(series) => {
            for series in series {
                let at = points.entry(pairs(&series.labels)).or_default();
                at.extend(series.samples.iter().map(|sample| (sample.timestamp.0, Point::Number(sample.value))));
                at.extend(series.histograms.iter().map(|sample| (sample.timestamp.0, of_histogram(&sample.histogram))));
            }
            "matrix"
        }
    };
    let mut said: Vec<String> = notes.iter().map(|note| note.with_place(text)).collect();
    said.sort();
    debug_assert!(notes.iter().all(|note| matches!(note.level, NoteLevel::Warning | NoteLevel::Info)));
    Answer::Gives(kind.to_owned(), said, points)
}

fn pairs(labels: &Labels) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn of_histogram(histogram: &Histogram) -> Point {
    let buckets = histogram_buckets(histogram).into_iter().filter(|bucket| bucket.count != 0.0);
    Point::Histogram(histogram.count, histogram.sum, buckets.map(|it| [it.lower, it.upper, it.count]).collect())
}

fn same(a: &Point, b: &Point, tolerance: f64) -> bool {
    let close =
        |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * a.abs().max(b.abs());
    match (a, b) {
        (Point::Number(a), Point::Number(b)) => close(*a, *b),
        (Point::Histogram(a_count, a_sum, a), Point::Histogram(b_count, b_sum, b)) => {
            let alike = |(a, b): (&[f64; 3], &[f64; 3])| a.iter().zip(b).all(|(a, b)| close(*a, *b));
            close(*a_count, *b_count) && close(*a_sum, *b_sum) && a.len() == b.len() && a.iter().zip(b).all(alike)
        }
        (Point::Text(a), Point::Text(b)) => a == b,
        _ => false,
    }
}

/// What differs between the peer's answer and ours, if anything does.
pub(super) fn difference(theirs: &Answer, ours: &Answer) -> Option<String> {
    difference_beyond(TOLERANCE, theirs, ours)
}

/// As [`difference`], of values that are further apart than `tolerance`.
pub(super) fn difference_beyond(tolerance: f64, theirs: &Answer, ours: &Answer) -> Option<String> {
    let (their_kind, their_notes, theirs, our_kind, our_notes, ours) = match (theirs, ours) {
        (Answer::Fails(a, _), Answer::Fails(b, _)) if a == b => return None,
        (Answer::Gives(a, b, c), Answer::Gives(d, e, f)) => (a, b, c, d, e, f),
        _ => return Some(format!("status: theirs {}, ours {}", short(theirs), short(ours))),
    };
    if their_kind != our_kind {
        return Some(format!("type: theirs {their_kind}, ours {our_kind}"));
    }
    for (labels, points) in theirs {
        let Some(found) = ours.get(labels) else { return Some(format!("labels: we lack {labels:?} {points:?}")) };
        for (at, point) in points {
            match found.get(at) {
                None => return Some(format!("point: we lack {labels:?} at {at}: {point:?}")),
                Some(found) if !same(point, found, tolerance) => {
                    return Some(format!("value: {labels:?} at {at}: theirs {point:?}, ours {found:?}"));
                }
                Some(_) => {}
            }
        }
        if let Some((at, point)) = found.iter().find(|(at, _)| !points.contains_key(at)) {
            return Some(format!("point: we have too much {labels:?} at {at}: {point:?}"));
        }
    }
    if let Some((labels, points)) = ours.iter().find(|(labels, _)| !theirs.contains_key(*labels)) {
        return Some(format!("labels: we have too much {labels:?} {points:?}"));
    }
    // Prometheus names at most so many.
    let kinds =
        |notes: &[String]| ["PromQL warning", "PromQL info"].map(|kind| notes.iter().any(|it| it.starts_with(kind)));
    (kinds(their_notes) != kinds(our_notes)).then(|| format!("notes: theirs {their_notes:?}, ours {our_notes:?}"))
}

fn short(answer: &Answer) -> String {
    match answer {
        Answer::Fails(kind, text) => format!("fails ({kind}: {text})"),
        Answer::Gives(kind, _, points) => format!("gives a {kind} of {} series", points.len()),
    }
}
