//! Bodies in, what was read out.

use std::path::PathBuf;

use expect_test::{Expect, expect};

use super::*;

/// How many published OpenMetrics cases are judged rightly. It only goes up.
const OPENMETRICS_CASES: usize = 211;

fn read(format: Format, body: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let parser = match Parser::new(body.as_bytes(), format, Limits::default()) {
        Ok(parser) => parser,
        Err(error) => return format!("{error}\n"),
    };
    for line in parser {
        match line {
            Ok(Line::Sample(sample)) => {
                match labels(sample.series, format, &Limits::default()) {
                    Ok(labels) => write!(out, "{labels} = {}", sample.value).unwrap(),
                    Err(reason) => write!(out, "{reason}").unwrap(),
                }
                if let Some(at) = sample.timestamp() {
                    write!(out, " at {at}").unwrap();
                }
                out.push('\n');
            }
            Ok(Line::Type { metric, kind }) => writeln!(out, "{metric} is a {}", kind.as_str()).unwrap(),
            Ok(Line::Help { metric, text }) => writeln!(out, "{metric}: {text:?}").unwrap(),
            Ok(Line::Unit { metric, unit }) => writeln!(out, "{metric} in {unit}").unwrap(),
            Err(error) => writeln!(out, "{error}").unwrap(),
        }
    }
    out
}

fn check(format: Format, body: &str, expect: Expect) {
    expect.assert_eq(&read(format, body));
}

#[test]
fn text_is_read_leniently() {
    check(
        Format::Text,
        "# HELP a b\\nc \\\\\n  # a comment\n#\n\n#TYPE a untyped\n a {  x = \"1\" , y=\"\\\"}\\n\\z\", }  5e-1\t1500\n\
         {\"my.metric\",\"a.b\"=\"c\"} +Inf\n# TYPE \"my.metric\" gauge\nup 1",
        expect![[r#"
            a: "b\nc \\"
            a is a unknown
            a{x="1", y="\"}\n\\z"} = 0.5 at 1970-01-01T00:00:01.500Z
            my.metric{"a.b"="c"} = inf
            my.metric is a gauge
            up = 1
        "#]],
    );
}

#[test]
fn a_bad_line_is_named_and_ends_the_reading() {
    for (body, expect) in [
        (
            "a 1\nb\nc 1",
            expect![[r#"
            a = 1
            line 2: the value is missing
        "#]],
        ),
        (
            "a 1 1 1",
            expect![[r#"
            line 1: `1` follows the timestamp
        "#]],
        ),
        (
            "a 1.5.1",
            expect![[r#"
            line 1: `1.5.1` is not a number
        "#]],
        ),
        (
            "a 1 1.5",
            expect![[r#"
            line 1: `1.5` is not a timestamp in milliseconds
        "#]],
        ),
        (
            "a{b=\"c} 1",
            expect![[r#"
            line 1: the braces of the labels are not closed
        "#]],
        ),
        (
            "# TYPE a sum",
            expect![[r#"
            line 1: `sum` is not a type of metric
        "#]],
        ),
        (
            "\n# HELP 0 x",
            expect![[r#"
            line 2: `0 x` is not a metric's name
        "#]],
        ),
    ] {
        check(Format::Text, body, expect);
    }
}

#[test]
fn bad_labels_are_named() {
    for (body, expect) in [
        (
            "a{b=\"1\",b=\"2\"} 1",
            expect![[r#"
            the label `b` is there twice
        "#]],
        ),
        (
            "a{b} 1",
            expect![[r#"
            `=` is missing after the label `b`
        "#]],
        ),
        (
            "a{b='1'} 1",
            expect![[r#"
            the value of the label `b` must be in double quotes
        "#]],
        ),
        (
            "a{b=\"1\" c=\"2\"} 1",
            expect![[r#"
            a comma is expected at `c="2"}`
        "#]],
        ),
        (
            "a{__name__=\"b\"} 1",
            expect![[r#"
            the label `__name__` is there twice
        "#]],
        ),
        (
            "{b=\"1\"} 1",
            expect![[r#"
            a sample needs a metric's name
        "#]],
        ),
        (
            "a-b 1",
            expect![[r#"
            `a-b` is not a metric's name
        "#]],
        ),
    ] {
        check(Format::Text, body, expect);
    }
}

#[test]
fn a_target_cannot_forge_the_staleness_marker() {
    let mut parser = Parser::new(b"a NaN", Format::Text, Limits::default()).unwrap();
    let Some(Ok(Line::Sample(sample))) = parser.next() else { panic!("a sample is expected") };
    assert_eq!(sample.value.to_bits(), 0x7ff8_0000_0000_0001);
}

#[test]
fn the_limits_hold() {
    let limits = Limits { line_bytes: 20, labels: 2, samples: 2 };
    let refused = |body: &str| {
        let parser = Parser::new(body.as_bytes(), Format::Text, limits).unwrap();
        parser.filter_map(Result::err).map(|error| error.to_string()).collect::<String>()
    };
    assert_eq!(refused("a 1\nb 1\n"), "");
    assert_eq!(refused("a 1\nb 1\nc 1\n"), "line 3: a body may hold 2 samples at most");
    assert_eq!(refused("a 1\n# HELP a 0123456789 0123456789"), "line 2: a line may be 20 bytes long at most");
    assert!(labels("a{b=\"1\",c=\"2\"}", Format::Text, &limits).is_ok());
    assert!(labels("a{b=\"1\",c=\"2\",d=\"3\"}", Format::Text, &limits).is_err());
    assert_eq!(Parser::new(b"a 1\n\xff", Format::Text, limits).unwrap_err().to_string(), "line 2: it is not UTF-8");
}

#[test]
fn openmetrics_timestamps_are_seconds() {
    check(
        Format::OpenMetrics,
        "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds \\\"x\\\"\n\
         a_seconds_total{b=\"1\"} 1 1.5 # {trace=\"x\"} 0.5 1.25\n# EOF",
        expect![[r#"
            a_seconds is a counter
            a_seconds in seconds
            a_seconds: "\"x\""
            a_seconds_total{b="1"} = 1 at 1970-01-01T00:00:01.500Z
        "#]],
    );
    check(
        Format::OpenMetrics,
        "a 1\n",
        expect![[r#"
        a = 1
        line 1: the body does not end with `# EOF`
    "#]],
    );
}

/// Whether a body follows every rule, and if not, which it breaks first.
fn judge(body: &[u8]) -> Result<(), ParseError> {
    let mut parser = Parser::new(body, Format::OpenMetrics, Limits::default())?;
    let mut judge = Judge::new(Limits::default());
    while let Some(line) = parser.next() {
        judge.line(parser.line(), &line?)?;
    }
    judge.end(parser.line())
}

#[test]
fn a_broken_family_is_named() {
    for (body, expect) in [
        ("# TYPE a counter\na_total -1\n# EOF", expect!["line 2: `a_total` counts, so it must not be -1"]),
        ("# TYPE a histogram\na_bucket{le=\"1\"} 1\n# EOF", expect!["line 3: the histogram `a` has no bucket `+Inf`"]),
        (
            "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\na 2\n# EOF",
            expect!["line 6: the name `a` is used by another family, or its lines are torn apart"],
        ),
        (
            "# TYPE a gauge\na{b=\"1\"} 1\na{b=\"2\"} 1\na{b=\"1\"} 2\n# EOF",
            expect!["line 4: samples of `a` with the same labels must stand together"],
        ),
        ("# UNIT a seconds\n# EOF", expect!["line 2: the name `a` must end with its unit `_seconds`"]),
        ("# TYPE a gauge\na 1 # {b=\"1\"} 1\n# EOF", expect!["line 2: only buckets and counters have exemplars"]),
    ] {
        expect.assert_eq(&judge(body.as_bytes()).unwrap_err().to_string());
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads published cases; this crate has no way to files of its own")]
fn conformance_openmetrics_cases_are_judged_rightly() {
    let data = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let cases = data.join("openmetrics/tests/testdata/parsers");
    let Ok(folders) = std::fs::read_dir(&cases) else {
        println!("skipped: there are no cases in {}", cases.display());
        return;
    };
    let mut right = 0;
    let mut wrong = Vec::new();
    for folder in folders {
        let folder = folder.unwrap().path();
        let case: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("test.json")).unwrap()).unwrap();
        let verdict = judge(&std::fs::read(folder.join("metrics")).unwrap());
        if verdict.is_ok() == case["shouldParse"].as_bool().unwrap() {
            right += 1;
        } else {
            wrong.push(format!("{}: {verdict:?}", folder.file_name().unwrap().display()));
        }
    }
    wrong.sort();
    assert_eq!(right, OPENMETRICS_CASES, "judged wrongly:\n{}", wrong.join("\n"));
}

proptest::proptest! {
    #[test]
    fn no_body_makes_it_panic(body in "([ -~é\\n\\t]|# TYPE |# HELP |# UNIT |a_bucket\\{le=\"|\"\\} 1| # \\{|\\\\|\"){0,60}") {
        for format in [Format::Text, Format::OpenMetrics] {
            read(format, &body);
            let _ = judge(body.as_bytes());
        }
    }
}
