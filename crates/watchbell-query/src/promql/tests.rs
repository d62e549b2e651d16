//! What reads, what it prints, and what is said of what does not read.

use expect_test::{Expect, expect};

use super::*;

fn print(text: &str) -> String {
    match parse(text) {
        Ok(expr) => expr.to_string(),
        Err(error) => format!("error {error}"),
    }
}

fn check(texts: &[&str], expected: Expect) {
    let lines: Vec<String> = texts.iter().map(|text| print(text)).collect();
    for line in lines.iter().filter(|line| !line.starts_with("error")) {
        assert_eq!(&print(line), line, "what is printed reads back");
    }
    expected.assert_eq(&format!("{}\n", lines.join("\n")));
}

#[test]
fn expressions_print_as_prometheus_prints_them() {
    check(
        &[
            "up",
            "up{}",
            r#"up{job="mail",  instance!~'a|b',}"#,
            r#"{__name__=~"up|down",job=`ma\il`}"#,
            r#"{"a metric", "a.label"="x\"y\n"}"#,
            "sum by(job)(rate(x_total [ 90m ]))",
            "sum(rate(x_total[5m])) BY (job, \"a b\")",
            "topk without () (3, up)",
            "count_values(\"v\", up)",
            "a/on(job)group_left(team)b",
            "a == bool on () b",
            "a and ignoring(x) b or c unless d",
            "-1 ^ 2 + -x * 3",
            "2 ^ 3 ^ 2 - (1 - 1)",
            "x offset -5m @ 12.5",
            "max_over_time(rate(x[5m])[1h:30s] @ end() offset 1d)[5m:]",
            "x[5m] @ start() offset 300",
            "x[step() + 2 * (1m - 1)] offset (range() / 2)",
            "x offset 5m + 1",
            "1e3 + 0x1F + 1_000 + Inf + NaN + 5m + .5",
            "time() # seconds\n > bool 0",
            "sum + offset + by",
            "start()",
            "rate(up[5m] offset 1m smoothed @ 5) + fill (0) b",
            "a + on (x) group_left fill_right (-Inf) fill_left (5m) b",
        ],
        expect![[r#"
            up
            up
            up{instance!~"a|b",job="mail"}
            {__name__=~"up|down",job="ma\\il"}
            {"a metric","a.label"="x\"y\n"}
            sum by (job) (rate(x_total[1h30m]))
            sum by (job, "a b") (rate(x_total[5m]))
            topk without () (3, up)
            count_values("v", up)
            a / on (job) group_left (team) b
            a == bool on () b
            a and ignoring (x) b or c unless d
            -1 ^ 2 + -x * 3
            2 ^ 3 ^ 2 - (1 - 1)
            x @ 12.500 offset -5m
            max_over_time(rate(x[5m])[1h:30s] @ end() offset 1d)[5m:]
            x[5m] @ start() offset 5m
            x[step() + 2 * (1m - 1)] offset (range() / 2)
            x offset 5m + 1
            1000 + 31 + 1000 + +Inf + NaN + 5m + 0.5
            time() > bool 0
            sum + offset + by
            start()
            rate(up[5m] smoothed @ 5.000 offset 1m) + fill (0) b
            a + on (x) group_left () fill_left (300) fill_right (-Inf) b
        "#]],
    );
}

#[test]
fn errors_name_the_place_and_what_would_be_right() {
    check(
        &[
            "",
            "up ==",
            "up = 1",
            "sum(up",
            "up)",
            "up{job=mail}",
            "up{job}",
            r#"up{job=~"("}"#,
            "{}",
            r#"{job=~".*"}"#,
            r#"up{__name__="down"}"#,
            "rate(up)",
            "rat(up[5m])",
            "abs(up[5m])",
            "up[5m] + 1",
            "sum(1)",
            "topk(up)",
            "1 > 2",
            "up + bool 1",
            "1 and up",
            "up[0s]",
            "up[5]m",
            "up[5x]",
            "(up + 1)[5m]",
            "up offset 5m [5m]",
            "up offset 5m offset 5m",
            "up @ foo",
            "a + on(x) group_left(x) b",
            "a and on(x) group_left b",
            "a + group_left b",
            "up\n  + \"two\"",
            "\"no end",
            "'\\q'",
            "up § 1",
            "info(up, rate(up[5m]))",
            "up[5m:1m] smoothed",
            "up anchored smoothed",
            "a and fill(0) b",
            "a + fill(0) fill_left(1) b",
            "label_replace(up, \"a\")",
            "vector(\"x\")",
        ],
        expect![[r#"
            error 1:1: there is no expression; write one, such as `up == 0`
            error 1:6: the expression ends too early; a metric, a number, a function or `(` belongs here
            error 1:4: `=` does not compare; write `==` to compare values
            error 1:7: the expression ends too early; `,` or `)` belongs here
            error 1:3: unexpected `)`; an operator or the end of the expression belongs here
            error 1:8: unexpected `mail`; a label is compared with a string in quotes
            error 1:7: unexpected `}`; `=`, `!=`, `=~` or `!~` belongs after a label's name
            error 1:9: `(` is not a regular expression: error: unclosed group; it is an RE2 expression for the whole value of the label
            error 1:1: this selector would select every series; name a metric, or a label that must not be empty
            error 1:1: this selector would select every series; write `.+` where `.*` may be empty
            error 1:1: the metric's name is set twice: `up` and `down`
            error 1:6: argument 1 of `rate` must be of type range vector, not instant vector; add a range, such as `[5m]`
            error 1:1: there is no function `rat`; did you mean `rate`?
            error 1:5: argument 1 of `abs` must be of type instant vector, not range vector; wrap it in a function over a range, such as `rate(…)`, or leave the range out
            error 1:1: an operand of `+` must be of type instant vector, not range vector; wrap it in a function over a range, such as `rate(…)`, or leave the range out
            error 1:5: what `sum` aggregates must be of type instant vector, not scalar; make a vector of a scalar with `vector(…)`
            error 1:1: `topk` takes 2 argument(s) but was given 1; write `topk(parameter, vector)`, the parameter being a scalar
            error 1:3: a comparison of two scalars must answer 0 or 1; write `> bool`
            error 1:4: `bool` belongs to comparisons, not to `+`
            error 1:3: `and` works on instant vectors, not on scalars
            error 1:4: this duration must be greater than 0
            error 1:6: unexpected `m`; an operator or the end of the expression belongs here
            error 1:4: `5x` is neither a number nor a duration; write numbers as `1.5`, `1e3` or `0x1f`, and durations as `30s`, `5m`, `1h30m` or `7d`
            error 1:9: only a series selector has a range; for the range of an expression write a subquery with a colon, such as `[5m:]`
            error 1:14: `offset` stands before the range; write it after: `up[5m] offset 1h`
            error 1:14: `offset` is written twice
            error 1:6: unexpected `foo`; seconds since 1970, `start()` or `end()` belong after `@`
            error 1:3: label `x` stands in `on` and in the group clause
            error 1:3: `and` takes no `group_left` or `group_right`
            error 1:5: unexpected `group_left`; write `on (…)` or `ignoring (…)` before it
            error 2:5: an operand of `+` must be of type instant vector, not string
            error 1:1: this string has no end; close it with `"`
            error 1:2: this escape sequence is not known; write a backslash as `\\`, or put the string in backticks
            error 1:4: `§` has no meaning here; strings go in quotes
            error 1:10: the second argument of `info` selects labels; write a plain label selector, such as `{version=~".+"}`
            error 1:11: `smoothed` follows something that is no selector; write it right after a selector or its range
            error 1:13: only one of `anchored` and `smoothed` may stand here, once
            error 1:3: missing elements are filled in between instant vectors, in arithmetic and comparisons
            error 1:13: unexpected `fill_left`; a side is filled once
            error 1:1: `label_replace` takes 5 argument(s) but was given 2
            error 1:8: argument 1 of `vector` must be of type scalar, not string
        "#]],
    );
}

#[test]
fn nothing_is_too_deep_or_too_long_for_the_stack() {
    for text in ["(".repeat(5000), "-".repeat(5000), format!("1{}", "+1".repeat(5000)), "x".repeat(TEXT_BYTES_MAX + 1)]
    {
        assert!(parse(&text).is_err());
    }
    let deep = format!("{}1{}", "(".repeat(NESTING_MAX - 1), ")".repeat(NESTING_MAX - 1));
    assert_eq!(print(&deep), deep);
    let long = format!("1{}", " + 1".repeat(OPERATORS_MAX));
    assert_eq!(print(&long), long);
}

#[test]
fn every_function_is_in_order_and_found() {
    let names: Vec<&str> = functions().iter().map(|function| function.name).collect();
    assert!(names.is_sorted());
    assert!(names.iter().all(|name| Function::of(name).is_some_and(|function| function.name == *name)));
}

#[test]
fn selectors_are_found_wherever_they_stand() {
    let expr =
        parse(r#"sum(rate(a{x="1"}[5m])) / scalar(b) + max_over_time(c[1h:]) + quantile(scalar(d), e)"#).unwrap();
    let found: Vec<String> = selectors(&expr).iter().map(|matchers| format!("{matchers:?}")).collect();
    expect![[r#"
        [x="1", __name__="a"]
        [__name__="b"]
        [__name__="c"]
        [__name__="d"]
        [__name__="e"]"#]]
    .assert_eq(&found.join("\n"));
    assert_eq!(metric_selector("up").unwrap().len(), 1);
    assert!(metric_selector("up offset 5m").is_err() && metric_selector("sum(up)").is_err());
}

#[test]
fn places_count_characters_and_bytes() {
    let error = parse("\"ü\" +\n ü").unwrap_err();
    assert_eq!((error.line, error.column), (2, 2));
    let expr = parse("sum(a) + b").unwrap();
    let mut spans = Vec::new();
    expr.visit(&mut |expr| spans.push((expr.span.start, expr.span.end)));
    assert_eq!(spans, [(0, 10), (0, 6), (4, 5), (9, 10)]);
}
