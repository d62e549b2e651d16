//! Samples as text exposition format 0.0.4.

use std::fmt::Write;

use watchbell_model::{Labels, Timestamp};

use super::MetricType;

/// Writes `# HELP` and `# TYPE` of a family.
pub fn write_metadata(out: &mut String, metric: &str, help: &str, kind: MetricType) {
    let metric = if is_identifier(metric, true) { metric.to_owned() } else { quoted(metric) };
    // The text format has fewer types.
    let kind = match kind {
        MetricType::Counter | MetricType::Gauge | MetricType::Histogram | MetricType::Summary => kind.as_str(),
        MetricType::Info | MetricType::StateSet => "gauge",
        MetricType::GaugeHistogram | MetricType::Unknown => "untyped",
    };
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    writeln!(out, "# HELP {metric} {help}\n# TYPE {metric} {kind}").expect("a string takes anything");
}

/// Writes a sample, with its timestamp in milliseconds where one is given.
pub fn write_sample(out: &mut String, labels: &Labels, value: f64, at: Option<Timestamp>) {
    let name = labels.name().unwrap_or_default();
    let plain = is_identifier(name, true);
    if plain {
        out.push_str(name);
    }
    let mut items: Vec<String> = Vec::new();
    if !plain && !name.is_empty() {
        items.push(quoted(name));
    }
    for (name, value) in labels.iter().filter(|(name, _)| *name != Labels::NAME) {
        let name = if is_identifier(name, false) { name.to_owned() } else { quoted(name) };
        items.push(format!("{name}={}", quoted(value)));
    }
    if !items.is_empty() {
        write!(out, "{{{}}}", items.join(",")).expect("a string takes anything");
    }
    out.push(' ');
    out.push_str(&format_value(value));
    if let Some(at) = at {
        write!(out, " {}", at.as_millis()).expect("a string takes anything");
    }
    out.push('\n');
}

/// Name and labels as one piece of text that [`super::labels`] reads in every format.
pub(super) fn series_text<'a>(name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    write_series(&mut out, name, "", labels);
    out
}

/// As [`series_text`], to the end of a text, with something after the name.
pub(super) fn write_series<'a>(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) {
    let plain = is_identifier(name, true);
    let mut opened = !plain;
    if plain {
        out.push_str(name);
        out.push_str(suffix);
    } else {
        out.push('{');
        write_quoted(out, &[name, suffix]);
    }
    for (name, value) in labels {
        out.push(if opened { ',' } else { '{' });
        opened = true;
        if is_identifier(name, false) {
            out.push_str(name)
        } else {
            write_quoted(out, &[name])
        }
        out.push('=');
        write_quoted(out, &[value]);
    }
    if opened {
        out.push('}');
    }
}

fn write_quoted(out: &mut String, parts: &[&str]) {
    out.push('"');
    for part in parts {
        if !part.contains(['\\', '"', '\n']) {
            out.push_str(part);
            continue;
        }
        for c in part.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
    }
    out.push('"');
}

/// A bound or a quantile as OpenMetrics writes it, so that the same number is always the same text: `1.0`, `0.25`.
pub fn format_bound(value: f64) -> String {
    let mut text = format_value_g(value);
    if value.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

/// Go's `strconv.FormatFloat(value, 'g', -1, 64)`: the plain form up to 21 digits.
fn format_value_g(value: f64) -> String {
    if !value.is_finite() {
        return format_value(value);
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    if !(-4..21).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// The shortest text that reads as the same number, as Go's `%g` and thus every Go exporter writes it.
pub fn format_value(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    // `%g` leaves the plain form past six digits before the point and four zeros behind it.
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

fn is_identifier(name: &str, colons: bool) -> bool {
    let plain = |b: u8| b == b'_' || b.is_ascii_alphanumeric() || (colons && b == b':');
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit()) && name.bytes().all(plain)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::{Format, Limits, Line, Parser, labels};
    use super::*;

    #[test]
    fn samples_are_written_as_prometheus_writes_them() {
        let mut out = String::new();
        write_metadata(&mut out, "a_total", "one\\two\nthree", MetricType::Counter);
        write_sample(&mut out, &Labels::metric("a_total", &[("b", "x\"y\\z\n")]), 1e6, Some(Timestamp(1500)));
        write_sample(&mut out, &Labels::metric("a_total", &[]), f64::NAN, None);
        write_sample(&mut out, &Labels::metric("my.metric", &[("a.b", "c")]), -0.25, None);
        expect![[r##"
            # HELP a_total one\\two\nthree
            # TYPE a_total counter
            a_total{b="x\"y\\z\n"} 1e+06 1500
            a_total NaN
            {"my.metric","a.b"="c"} -0.25
        "##]]
        .assert_eq(&out);
    }

    #[test]
    fn numbers_are_written_as_go_does() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (903_676_723.0, "9.03676723e+08"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_value(value), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_as_the_same(
            name in "[a-z_:.é \"\\\\]{1,8}",
            pairs in proptest::collection::btree_map("[a-z_.é\"\\\\]{1,5}", "[ -~é\n]{1,8}", 0..4),
            value in proptest::num::f64::ANY,
            at in proptest::option::of(-10_000_000_000_000i64..10_000_000_000_000),
        ) {
            let set = Labels::from_pairs(pairs).with(Labels::NAME, &name);
            let mut out = String::new();
            write_sample(&mut out, &set, value, at.map(Timestamp));
            let mut parser = Parser::new(out.as_bytes(), Format::Text, Limits::default()).unwrap();
            let Some(Ok(Line::Sample(sample))) = parser.next() else { panic!("no sample in {out:?}") };
            assert_eq!(labels(sample.series, Format::Text, &Limits::default()).unwrap(), set);
            assert!(sample.value == value || (value.is_nan() && sample.value.is_nan()));
            assert_eq!(sample.timestamp(), at.map(Timestamp));
            assert!(parser.next().is_none());
        }
    }
}
