//! Differences from the peer that are no faults, each with its reason.
//!
//! The peer is Prometheus 3.5, the newest there is to install; what is meant is 3.14.

use super::When;
use super::compare::{Answer, Point, difference_beyond};

/// The reason of a difference, if it is known.
pub(super) fn by(text: &str, when: When, theirs: &Answer, ours: &Answer) -> Option<&'static str> {
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let powers = has(&["^", "exp(", "sinh(", "cosh("]);
    if has(&["info("]) {
        return Some("`info` answers for series that have no identifying labels since 3.10, and knows `@` since 3.14");
    }
    if let (Answer::Gives(..), Answer::Fails(_, words)) = (theirs, ours) {
        let compares = has(&["==", "!=", "<", ">"]);
        return (compares && words.contains("multiple matches for labels"))
            .then_some("it looks for many-to-one matches in comparisons that filter since 3.9");
    }
    let (Answer::Gives(_, their_notes, _), Answer::Gives(_, our_notes, _)) = (theirs, ours) else { return None };
    let says = |notes: &[String], part: &str| notes.iter().any(|note| note.contains(part));
    if matches!(when, When::Range(..)) && says(our_notes, "sort is ineffective") && only_notes(theirs, ours) {
        return Some("it warns of `sort` in a range query since 3.12");
    }
    if has(&["custom_seconds"])
        && (says(their_notes, "incompatible custom buckets") || says(our_notes, "mismatched custom buckets"))
    {
        return Some("it brings custom buckets with different bounds together since 3.8");
    }
    if has(&["rate(", "increase("]) && says(our_notes, "native histogram metric is not a counter") {
        return Some("it stretches rates of native histograms beyond zero, here of one that is no counter");
    }
    if has(&["count_values"]) && (powers || has(&["log", "ln(", "atan2", "sin", "cos", "tan"])) {
        return Some("Go's powers and logarithms have other last digits, which a label shows");
    }
    if powers && has(&["%", "sin(", "cos(", "tan("]) {
        return Some("Go's powers have other last digits, of which a remainder or an angle makes everything");
    }
    let curved = powers || has(&["log", "ln(", "atan", "sin", "cos", "tan", "asin", "acos"]);
    if curved && difference_beyond(1e-6, theirs, ours).is_none() {
        return Some("Go's curves have other last digits, which a difference of two makes larger");
    }
    if has(&[" - "]) && says(their_notes, "native histogram metric is not a gauge") && only_notes(theirs, ours) {
        return Some("a difference of histograms is a gauge since 3.9");
    }
    if has(&["mad_over_time"]) && has(&["wild"]) {
        return Some("`mad_over_time` knows NaN since 3.14");
    }
    if has(&["histogram_fraction("]) {
        return Some("`histogram_fraction` knows a lower bound in the first bucket since 3.8");
    }
    if has(&["quantile"]) && has(&["@ start()", "@ end()"]) {
        return Some("in the parameter of an aggregation it does not see `@ start()` and `@ end()`");
    }
    if has(&["native_", "mixed_"]) && has(&[":]", ":15s]", ":1m]", ":40s]", ":7s]"]) && has(&["@"]) {
        return Some("the points of its subquery over `@` are one histogram, which it overwrites");
    }
    if !adds_up(theirs) && adds_up(ours) {
        return Some("its histogram's buckets do not add up to its count: it overwrites what it reads");
    }
    None
}

/// Whether nothing but notes differs.
fn only_notes(theirs: &Answer, ours: &Answer) -> bool {
    let bare = |answer: &Answer| match answer.clone() {
        Answer::Gives(kind, _, points) => Answer::Gives(kind, Vec::new(), points),
        fails @ Answer::Fails(..) => fails,
    };
    super::difference(&bare(theirs), &bare(ours)).is_none()
}

/// Whether the buckets of every histogram hold as many observations as the histogram says.
fn adds_up(answer: &Answer) -> bool {
    let Answer::Gives(_, _, points) = answer else { return true };
    points.values().flat_map(|at| at.values()).all(|point| match point {
        Point::Histogram(count, _, buckets) => {
            let sum: f64 = buckets.iter().map(|[_, _, count]| count).sum();
            sum.is_nan() || count.is_nan() || (sum - count).abs() <= 1e-6 * count.abs()
        }
        Point::Number(_) | Point::Text(_) => true,
    })
}
