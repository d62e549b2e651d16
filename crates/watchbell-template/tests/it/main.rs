//! Templates and what they write: Go's language, Prometheus' and Alertmanager's functions, and the limits.

use std::sync::Arc;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use watchbell_model::{BucketSpan, Buckets, Histogram, Labels, Timestamp};
use watchbell_template::{Context, Template, Value, prometheus};

const NOW: Timestamp = Timestamp(1_795_213_620_500);

fn latency() -> Value {
    let positive = Buckets { spans: vec![BucketSpan { offset: 1, length: 1 }], counts: vec![3.0] };
    let histogram = Histogram { count: 4.0, sum: 5.5, zero_count: 1.0, positive, ..Histogram::default() };
    Value::Histogram(Arc::new(histogram), "{count:4, sum:5.5, [-0,0]:1, (1,2]:3}".into())
}

fn rule(text: &str) -> String {
    let labels = Labels::from_pairs([("instance", "mail-1.example.org:9100"), ("job", "mail")]);
    let external = Labels::from_pairs([("site", "home")]);
    let query = |expr: &str| match expr {
        "up" => Ok(vec![
            (Labels::metric("up", &[("instance", "b")]), 1.0.into()),
            (Labels::metric("up", &[("instance", "a")]), 0.0.into()),
        ]),
        "latency" => Ok(vec![(Labels::empty(), latency())]),
        "none" => Ok(vec![]),
        _ => Err(format!("cannot parse `{expr}`")),
    };
    match prometheus::expand(text, &labels, 1_048_576.0.into(), &external, "https://bell.example.org/x", &query, NOW) {
        Ok(text) => text,
        Err(error) => format!("{}:{}: {}", error.line, error.column, error.message),
    }
}

/// One template a line, its output under it.
fn check(templates: &[&str], expect: Expect) {
    let mut out = String::new();
    for text in templates {
        out.push_str(&format!("{}\n    {}\n", text.replace('\n', "⏎"), rule(text).replace('\n', "⏎")));
    }
    expect.assert_eq(&out);
}

#[test]
fn a_histogram_is_written_and_is_no_number() {
    check(
        &[
            "{{ with query \"latency\" }}{{ . | first | value }}{{ end }}",
            "{{ range query \"latency\" }}{{ if .Value }}{{ .Value | printf \"%s %v\" .Value }}{{ end }}{{ end }}",
            "{{ query \"latency\" | first | value | humanize }}",
            "{{ with query \"latency\" | first | value }}{{ .Count | humanize }} of {{ .Sum }}, {{ .ZeroCount }} zero{{ end }}",
            "{{ with query \"latency\" | first | value }}{{ .Schema }} {{ .ZeroThreshold }} {{ .PositiveBuckets }} {{ .NegativeBuckets }} {{ .CustomValues }} {{ .CounterResetHint }} {{ .UsesCustomBuckets }} {{ .String }}{{ end }}",
            "{{ range query \"latency\" }}{{ .Value.Mean }}{{ end }}",
        ],
        expect![[r#"
            {{ with query "latency" }}{{ . | first | value }}{{ end }}
                {count:4, sum:5.5, [-0,0]:1, (1,2]:3}
            {{ range query "latency" }}{{ if .Value }}{{ .Value | printf "%s %v" .Value }}{{ end }}{{ end }}
                {count:4, sum:5.5, [-0,0]:1, (1,2]:3} {count:4, sum:5.5, [-0,0]:1, (1,2]:3}
            {{ query "latency" | first | value | humanize }}
                1:38: `humanize` takes a number, not a *histogram.FloatHistogram
            {{ with query "latency" | first | value }}{{ .Count | humanize }} of {{ .Sum }}, {{ .ZeroCount }} zero{{ end }}
                4 of 5.5, 1 zero
            {{ with query "latency" | first | value }}{{ .Schema }} {{ .ZeroThreshold }} {{ .PositiveBuckets }} {{ .NegativeBuckets }} {{ .CustomValues }} {{ .CounterResetHint }} {{ .UsesCustomBuckets }} {{ .String }}{{ end }}
                0 0 [3] [] [] 0 false {count:4, sum:5.5, [-0,0]:1, (1,2]:3}
            {{ range query "latency" }}{{ .Value.Mean }}{{ end }}
                1:31: a histogram has no field `Mean`, but `Count`, `Sum` and others
        "#]],
    );
}

#[test]
fn a_rule_says_what_fires() {
    check(
        &[
            "{{ $labels.instance }} of {{ $labels.job }} is at {{ $value }}",
            "{{ .Labels.instance }} {{ .Value | humanize1024 }}B {{ $externalLabels.site }} {{ $externalURL }}",
            "{{ $labels.nothing }}|{{ index $labels \"job\" }}|{{ printf \"%.2f\" $value }}",
            "no template",
            "{{ range query \"up\" | sortByLabel \"instance\" }}{{ .Labels.instance }}={{ .Value }} {{ end }}",
            "{{ with query \"up\" }}{{ . | first | value }}{{ . | first | label \"instance\" }}{{ end }}",
            "{{ with query \"none\" }}some{{ else }}none{{ end }}",
            "{{ query \"none\" | first }}",
            "{{ query \"bad(\" }}",
            "{{ externalURL }}{{ pathPrefix }} {{ graphLink \"up > 1\" }} {{ tableLink \"up\" }}",
            "{{ stripPort \"mail-1.example.org:9100\" }} {{ stripPort \"[::1]:1\" }} {{ stripPort \"::1\" }}",
            "{{ stripDomain \"mail-1.example.org:9100\" }} {{ stripDomain \"10.0.0.1:80\" }} {{ stripDomain \"a.b\" }}",
            "{{ parseDuration \"1h30m\" }} {{ now }} {{ toTime 1435065584.128 }} {{ (toDuration 90).Seconds }}",
            "{{ match \"a.c\" \"xabcx\" }} {{ reReplaceAll \"(a)(b)\" \"$2${1}\" \"abab\" }} {{ title \"aa bB\" }}",
            "{{ define \"x\" }}{{ .arg0 }}-{{ .arg1 }}{{ end }}{{ template \"x\" (args 1 \"b\") }} {{ tmpl \"x\" (args 2 3) }}",
        ],
        expect![[r#"
            {{ $labels.instance }} of {{ $labels.job }} is at {{ $value }}
                mail-1.example.org:9100 of mail is at 1.048576e+06
            {{ .Labels.instance }} {{ .Value | humanize1024 }}B {{ $externalLabels.site }} {{ $externalURL }}
                mail-1.example.org:9100 1MiB home https://bell.example.org/x
            {{ $labels.nothing }}|{{ index $labels "job" }}|{{ printf "%.2f" $value }}
                |mail|1048576.00
            no template
                no template
            {{ range query "up" | sortByLabel "instance" }}{{ .Labels.instance }}={{ .Value }} {{ end }}
                a=0 b=1 
            {{ with query "up" }}{{ . | first | value }}{{ . | first | label "instance" }}{{ end }}
                1b
            {{ with query "none" }}some{{ else }}none{{ end }}
                none
            {{ query "none" | first }}
                1:19: `first` was called on an empty vector
            {{ query "bad(" }}
                1:4: cannot parse `bad(`
            {{ externalURL }}{{ pathPrefix }} {{ graphLink "up > 1" }} {{ tableLink "up" }}
                https://bell.example.org/x/x /graph?g0.expr=up+%3E+1&g0.tab=0 /graph?g0.expr=up&g0.tab=1
            {{ stripPort "mail-1.example.org:9100" }} {{ stripPort "[::1]:1" }} {{ stripPort "::1" }}
                mail-1.example.org ::1 ::1
            {{ stripDomain "mail-1.example.org:9100" }} {{ stripDomain "10.0.0.1:80" }} {{ stripDomain "a.b" }}
                mail-1:9100 10.0.0.1:80 a
            {{ parseDuration "1h30m" }} {{ now }} {{ toTime 1435065584.128 }} {{ (toDuration 90).Seconds }}
                5400 1.7952136205e+09 2015-06-23 13:19:44.128 +0000 UTC 90
            {{ match "a.c" "xabcx" }} {{ reReplaceAll "(a)(b)" "$2${1}" "abab" }} {{ title "aa bB" }}
                true baba Aa BB
            {{ define "x" }}{{ .arg0 }}-{{ .arg1 }}{{ end }}{{ template "x" (args 1 "b") }} {{ tmpl "x" (args 2 3) }}
                1-b 2-3
        "#]],
    );
}

#[test]
fn the_language_is_gos() {
    check(
        &[
            "a  {{- 1 -}}  b {{/* gone */}}c {{- /* gone */ -}} d",
            "{{ if eq 1 2 3 }}a{{ else if and true (gt $value 5) }}b{{ else }}c{{ end }}",
            "{{ if not true }}a{{ else if false }}b{{ else }}c{{ end }}",
            "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ $x }}{{ end }}{{ $x }}",
            "{{ range $i, $e := stringSlice \"a\" \"b\" \"c\" }}{{ if eq $i 2 }}{{ break }}{{ end }}{{ $i }}{{ $e }}{{ end }}",
            "{{ range $k, $v := .Labels }}{{ if eq $k \"job\" }}{{ continue }}{{ end }}{{ $k }}={{ $v }}{{ end }}",
            "{{ range list }}x{{ else }}none{{ end }}{{ range 3 }}{{ . }}{{ end }}",
            "{{ with $y := \"v\" }}{{ . }}{{ $y }}{{ $.Value }}{{ end }}",
            "{{ block \"b\" 7 }}<{{ . }}>{{ end }}{{ template \"b\" 8 }}",
            "{{ len \"äb\" }} {{ slice \"hello\" 1 3 }} {{ index (list 1 (list 2 3)) 1 0 }}",
            "{{ print 1 2 \"a\" 3 true }}|{{ println 1 \"a\" }}|{{ printf \"%5d|%-5s|%05.1f|%x|%q|%e|%g|%t|%v|%%\" 42 \"ab\" 3.14159 255 \"q\\\"\" 1500.0 1e21 true (list 1 \"b\") }}",
            "{{ printf \"%d %s %z\" \"a\" }} {{ printf \"%s\" 1 2 }}",
            "{{ 1.0 }} {{ 0.000001 }} {{ 0.00001234 }} {{ 123456789.0 }} {{ 1e21 }} {{ 100000.0 }} {{ 0x1F }} {{ 'a' }} {{ -3 }} {{ 1_000 }}",
            "{{ html \"<a href='x'>\" }} {{ js \"it's\" }} {{ urlquery \"a b&c\" }} {{ `raw\\n` }} {{ \"\\u00e9\\x41\" }}",
            "{{ or \"\" \"b\" }} {{ and 1 0 (index (list) 5) }} {{ ne \"a\" \"b\" }} {{ le 2 2 }} {{ lt 1.5 2 }}",
            "{{ nil | print }}{{ .Labels | len }} {{ $.Labels.job | printf \"%s-%s\" \"x\" | toUpper }}",
        ],
        expect![[r#"
            a  {{- 1 -}}  b {{/* gone */}}c {{- /* gone */ -}} d
                a1b cd
            {{ if eq 1 2 3 }}a{{ else if and true (gt $value 5) }}b{{ else }}c{{ end }}
                b
            {{ if not true }}a{{ else if false }}b{{ else }}c{{ end }}
                c
            {{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ $x }}{{ end }}{{ $x }}
                32
            {{ range $i, $e := stringSlice "a" "b" "c" }}{{ if eq $i 2 }}{{ break }}{{ end }}{{ $i }}{{ $e }}{{ end }}
                0a1b
            {{ range $k, $v := .Labels }}{{ if eq $k "job" }}{{ continue }}{{ end }}{{ $k }}={{ $v }}{{ end }}
                instance=mail-1.example.org:9100
            {{ range list }}x{{ else }}none{{ end }}{{ range 3 }}{{ . }}{{ end }}
                none012
            {{ with $y := "v" }}{{ . }}{{ $y }}{{ $.Value }}{{ end }}
                vv1.048576e+06
            {{ block "b" 7 }}<{{ . }}>{{ end }}{{ template "b" 8 }}
                <7><8>
            {{ len "äb" }} {{ slice "hello" 1 3 }} {{ index (list 1 (list 2 3)) 1 0 }}
                3 el 2
            {{ print 1 2 "a" 3 true }}|{{ println 1 "a" }}|{{ printf "%5d|%-5s|%05.1f|%x|%q|%e|%g|%t|%v|%%" 42 "ab" 3.14159 255 "q\"" 1500.0 1e21 true (list 1 "b") }}
                1 2a3 true|1 a⏎|   42|ab   |003.1|ff|"q\""|1.500000e+03|1e+21|true|[1 b]|%
            {{ printf "%d %s %z" "a" }} {{ printf "%s" 1 2 }}
                %!d(string=a) %!s(MISSING) %!z(MISSING) %!s(int=1)%!(EXTRA int=2)
            {{ 1.0 }} {{ 0.000001 }} {{ 0.00001234 }} {{ 123456789.0 }} {{ 1e21 }} {{ 100000.0 }} {{ 0x1F }} {{ 'a' }} {{ -3 }} {{ 1_000 }}
                1 1e-06 1.234e-05 1.23456789e+08 1e+21 100000 31 97 -3 1000
            {{ html "<a href='x'>" }} {{ js "it's" }} {{ urlquery "a b&c" }} {{ `raw\n` }} {{ "\u00e9\x41" }}
                &lt;a href=&#39;x&#39;&gt; it\'s a+b%26c raw\n éA
            {{ or "" "b" }} {{ and 1 0 (index (list) 5) }} {{ ne "a" "b" }} {{ le 2 2 }} {{ lt 1.5 2 }}
                b 0 true true true
            {{ nil | print }}{{ .Labels | len }} {{ $.Labels.job | printf "%s-%s" "x" | toUpper }}
                <nil>2 X-MAIL
        "#]],
    );
}

#[test]
fn mistakes_have_a_place() {
    check(
        &[
            "{{ $x }}",
            "a\n  {{ nosuch 1 }}",
            "{{ if true }}",
            "{{ end }}",
            "{{ .Labels.job ",
            "{{ \"a }}",
            "{{ 1 2 }}",
            "{{ 1 | 2 }}",
            "{{ . | }}",
            "{{ .Nothing }}",
            "{{ template \"none\" }}",
            "{{ eq 1 \"a\" }}",
            "{{ index (list 1) 4 }}",
            "{{ (1 }}",
            "{{}}",
            "{{ break }}",
            "{{/* open",
            "{{ match \"(\" \"a\" }}",
            "{{ else }}",
        ],
        expect![[r#"
            {{ $x }}
                1:4: the variable `$x` is not declared
            a⏎  {{ nosuch 1 }}
                2:6: there is no function `nosuch`
            {{ if true }}
                1:1: the block is not closed with `{{end}}`
            {{ end }}
                1:1: unexpected `end`
            {{ .Labels.job 
                1:1: the action is not closed with `}}`
            {{ "a }}
                1:4: the string is not closed with `"`
            {{ 1 2 }}
                1:4: this is not a function and takes no arguments
            {{ 1 | 2 }}
                1:8: only a function can follow `|`
            {{ . | }}
                1:6: a value was expected here
            {{ .Nothing }}
                1:4: a struct has no field `Nothing`
            {{ template "none" }}
                1:1: there is no template `none`
            {{ eq 1 "a" }}
                1:4: a int and a string cannot be compared
            {{ index (list 1) 4 }}
                1:4: index 4 is out of range: the list has 1
            {{ (1 }}
                1:4: the parenthesis is not closed
            {{}}
                1:1: the action is empty
            {{ break }}
                1:1: `break` outside of `range`
            {{/* open
                1:3: the comment is not closed with `*/`
            {{ match "(" "a" }}
                1:4: `(` is not a regular expression
            {{ else }}
                1:1: unexpected `else`
        "#]],
    );
}

#[test]
fn humanised_numbers_are_prometheus() {
    check(
        &[
            "{{ range list 0.0 1.0 1234567.0 0.12 1999.9 }}{{ humanize . }} {{ end }}",
            "{{ range list 0.0 1.0 1048576.0 0.12 1023.0 }}{{ humanize1024 . }} {{ end }}",
            "{{ range list 0 1 60 3600 86400 86461 -3661 0.001 1.5 899.99 0.0000012 }}{{ humanizeDuration . }}, {{ end }}",
            "{{ humanizePercentage 0.12345 }} {{ humanizePercentage -0.2 }} {{ humanizeTimestamp 1435065584.128 }}",
            "{{ humanize \"1e3\" }} {{ humanize \"x\" }}",
            "{{ humanizeDuration \"NaN\" }} {{ humanizeTimestamp \"+Inf\" }} {{ humanize 9007199254740992 }}",
        ],
        expect![[r#"
            {{ range list 0.0 1.0 1234567.0 0.12 1999.9 }}{{ humanize . }} {{ end }}
                0 1 1.235M 120m 2k 
            {{ range list 0.0 1.0 1048576.0 0.12 1023.0 }}{{ humanize1024 . }} {{ end }}
                0 1 1Mi 0.12 1023 
            {{ range list 0 1 60 3600 86400 86461 -3661 0.001 1.5 899.99 0.0000012 }}{{ humanizeDuration . }}, {{ end }}
                0s, 1s, 1m 0s, 1h 0m 0s, 1d 0h 0m 0s, 1d 0h 1m 1s, -1h 1m 1s, 1ms, 1.5s, 14m 59s, 1.2us, 
            {{ humanizePercentage 0.12345 }} {{ humanizePercentage -0.2 }} {{ humanizeTimestamp 1435065584.128 }}
                12.35% -20% 2015-06-23 13:19:44.128 +0000 UTC
            {{ humanize "1e3" }} {{ humanize "x" }}
                1:25: `x` is not a number
            {{ humanizeDuration "NaN" }} {{ humanizeTimestamp "+Inf" }} {{ humanize 9007199254740992 }}
                NaN +Inf 9.007P
        "#]],
    );
}

#[test]
fn the_alert_generators_compliance_texts_come_out_as_prometheus_writes_them() {
    check(
        &[
            "{{humanize 1048576}} {{humanize1024 1048576}} {{humanizeDuration 135.3563}} {{humanizePercentage 0.959}} {{humanizeTimestamp 1643114203}}",
            r#"{{title "this part"}} {{toUpper "is testing"}} {{toLower "THE STRINGS"}}. {{ stripPort "[::1]:6006"}} {{ stripPort "127.0.0.1:4004"}}. {{parseDuration "2h10m15s"}}. {{if match "[0-9]+" "1234"}}{{reReplaceAll "r.*d" "replaced" "rpld text"}}{{end}}. {{if match "[0-9]+$" "1234a"}}WRONG{{end}}."#,
            r#"{{ define "testtemplate" }}Args are: {{.arg0}} {{.arg1}} {{.arg2}}. {{ with query "up" }}first:{{ . | sortByLabel "instance" | first | label "instance"}},{{ range $v := sortByLabel "instance" .}}{{ . | label "instance" }}:{{ . | value }},{{end}}{{ end }}{{ end }}{{ template "testtemplate" (args "foo" "bar" 99) }}"#,
        ],
        expect![[r#"
            {{humanize 1048576}} {{humanize1024 1048576}} {{humanizeDuration 135.3563}} {{humanizePercentage 0.959}} {{humanizeTimestamp 1643114203}}
                1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
            {{title "this part"}} {{toUpper "is testing"}} {{toLower "THE STRINGS"}}. {{ stripPort "[::1]:6006"}} {{ stripPort "127.0.0.1:4004"}}. {{parseDuration "2h10m15s"}}. {{if match "[0-9]+" "1234"}}{{reReplaceAll "r.*d" "replaced" "rpld text"}}{{end}}. {{if match "[0-9]+$" "1234a"}}WRONG{{end}}.
                This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. .
            {{ define "testtemplate" }}Args are: {{.arg0}} {{.arg1}} {{.arg2}}. {{ with query "up" }}first:{{ . | sortByLabel "instance" | first | label "instance"}},{{ range $v := sortByLabel "instance" .}}{{ . | label "instance" }}:{{ . | value }},{{end}}{{ end }}{{ end }}{{ template "testtemplate" (args "foo" "bar" 99) }}
                Args are: foo bar 99. first:a,a:0,b:1,
        "#]],
    );
}

fn receiver(text: &str) -> String {
    let alert = |status: &str, host: &str| {
        let labels =
            Value::from(&Labels::from_pairs([("alertname", "Down"), ("host", host), ("severity", "critical")]));
        Value::record([
            ("Status", status.into()),
            ("Labels", labels),
            ("StartsAt", Value::from(Timestamp(1_795_213_000_000))),
        ])
    };
    let data = Value::record([
        ("Status", Value::from("firing")),
        ("Alerts", Value::list([alert("firing", "a"), alert("firing", "b"), alert("resolved", "c")])),
        ("CommonLabels", Value::from(&Labels::from_pairs([("severity", "critical"), ("alertname", "Down")]))),
        ("ExternalURL", "https://bell.example.org".into()),
    ]);
    let shared = r#"{{ define "count" }}{{ .Alerts.Firing | len }} of {{ len .Alerts }}{{ end }}"#;
    let template = match Template::parse_many(&[("text", text), ("shared", shared)]) {
        Ok(template) => template,
        Err(error) => return error.to_string(),
    };
    let route_label = |name: &str| match name {
        "broken" => Err("it cannot be written".to_owned()),
        "team" => Ok("mail".to_owned()),
        _ => Ok(String::new()),
    };
    match template.render(&data, &Context::alertmanager(NOW, "https://bell.example.org", &route_label)) {
        Ok(text) => text,
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_receivers_text_is_alertmanagers() {
    let cases = [
        r#"[{{ .Status | toUpper }}:{{ template "count" . }}] {{ .CommonLabels.SortedPairs.Values | join " " }}"#,
        r#"{{ range .Alerts.Resolved }}{{ .Labels.host }}{{ end }} {{ .CommonLabels.Names | join "," }}"#,
        r#"{{ range (.CommonLabels.Remove (stringSlice "alertname")).SortedPairs }}{{ .Name }}={{ .Value }}{{ end }}"#,
        r#"{{ with index .Alerts 0 }}{{ .StartsAt.Format "2006-01-02T15:04:05Z07:00" }} {{ since .StartsAt | humanizeDuration }}{{ end }}"#,
        r#"{{ range slice .Alerts 0 1 }}{{ date "Mon 02 Jan 3:04 PM MST" (tz "Europe/Berlin" .StartsAt) }} {{ .StartsAt }}{{ end }}"#,
        r#"{{ .CommonLabels | toJson }} {{ toJson (dict "a" (list 1 2.5 true nil) "b" "<x>") }}"#,
        r#"{{ base64encode "hé!" }} {{ base64decode "aMOpIQ==" }} {{ trimSpace "  a " }} {{ now.Year }} {{ since now }}"#,
        r#"{{ routeLabels "team" | toUpper }}[{{ routeLabels "none" }}]"#,
        r#"{{ routeLabels "broken" }}"#,
        r#"{{ (index .Alerts 9).Labels }}"#,
    ];
    let mut out = String::new();
    for text in cases {
        out.push_str(&format!("{text}\n    {}\n", receiver(text)));
    }
    expect![[r#"
        [{{ .Status | toUpper }}:{{ template "count" . }}] {{ .CommonLabels.SortedPairs.Values | join " " }}
            [FIRING:2 of 3] Down critical
        {{ range .Alerts.Resolved }}{{ .Labels.host }}{{ end }} {{ .CommonLabels.Names | join "," }}
            c alertname,severity
        {{ range (.CommonLabels.Remove (stringSlice "alertname")).SortedPairs }}{{ .Name }}={{ .Value }}{{ end }}
            severity=critical
        {{ with index .Alerts 0 }}{{ .StartsAt.Format "2006-01-02T15:04:05Z07:00" }} {{ since .StartsAt | humanizeDuration }}{{ end }}
            2026-11-20T22:16:40Z 10m 20s
        {{ range slice .Alerts 0 1 }}{{ date "Mon 02 Jan 3:04 PM MST" (tz "Europe/Berlin" .StartsAt) }} {{ .StartsAt }}{{ end }}
            Fri 20 Nov 11:16 PM CET 2026-11-20 22:16:40 +0000 UTC
        {{ .CommonLabels | toJson }} {{ toJson (dict "a" (list 1 2.5 true nil) "b" "<x>") }}
            {"alertname":"Down","severity":"critical"} {"a":[1,2.5,true,null],"b":"\u003cx\u003e"}
        {{ base64encode "hé!" }} {{ base64decode "aMOpIQ==" }} {{ trimSpace "  a " }} {{ now.Year }} {{ since now }}
            aMOpIQ== hé! a 2026 0s
        {{ routeLabels "team" | toUpper }}[{{ routeLabels "none" }}]
            MAIL[]
        {{ routeLabels "broken" }}
            template `text`, line 1, column 4: it cannot be written
        {{ (index .Alerts 9).Labels }}
            template `text`, line 1, column 5: index 9 is out of range: the list has 3
    "#]].assert_eq(&out);
}

#[test]
fn what_never_ends_is_ended() {
    check(
        &[
            "{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}",
            "{{ $x := \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" }}{{ range 64 }}{{ $x = print $x $x }}{{ end }}",
            "{{ range 1000000 }}{{ end }}",
            "{{ printf \"%999999999999d\" 1 | len }}",
            "{{ $x := list }}{{ range 100 }}{{ $x = list $x }}{{ end }}",
            "{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}",
            "{{ $x := \"aaaaaaaa\" }}{{ range 12 }}{{ $x = reReplaceAll \"a\" $x $x }}{{ end }}",
            "{{ range 100 }}{{ printf \"%1000d\" . }}{{ end }}",
        ],
        expect![[r#"
            {{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}
                1:17: templates call each other deeper than 64
            {{ $x := "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }}{{ range 64 }}{{ $x = print $x $x }}{{ end }}
                1:69: it writes more than 65536 bytes
            {{ range 1000000 }}{{ end }}
                1:10: it takes more than 100000 steps
            {{ printf "%999999999999d" 1 | len }}
                1000
            {{ $x := list }}{{ range 100 }}{{ $x = list $x }}{{ end }}
                1:40: lists nest deeper than 64
            {{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}
                1:41: it takes more than 100000 steps
            {{ $x := "aaaaaaaa" }}{{ range 12 }}{{ $x = reReplaceAll "a" $x $x }}{{ end }}
                1:45: it writes more than 65536 bytes
            {{ range 100 }}{{ printf "%1000d" . }}{{ end }}
                1:19: it writes more than 65536 bytes
        "#]],
    );
    let deep = format!("{}1{}", "{{ if true }}".repeat(100), "{{ end }}".repeat(100));
    assert!(rule(&deep).contains("nested deeper"), "{}", rule(&deep));
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(rule(&deep).contains("nested deeper"), "{}", rule(&deep));
}

proptest! {
    #[test]
    fn no_text_panics(parts in proptest::collection::vec(prop_oneof![
        Just("{{"), Just("}}"), Just("{{-"), Just(" -}}"), Just("if "), Just("range $i, $e := "), Just("end"), Just("else"),
        Just("$x :="), Just("$x"), Just(".Labels"), Just(".Value"), Just(" | "), Just("("), Just(")"), Just("\""), Just("`"),
        Just("'"), Just("printf "), Just("\"%5.2f %v %q\" "), Just("1e3"), Just("0x"), Just("/*"), Just("*/"), Just("é"),
        Just("define \"a\""), Just("template \"a\" ."), Just("index "), Just("slice "), Just(" 1 "), Just("\\u"), Just("\n"),
        Just("humanizeDuration "), Just("toTime "), Just("reReplaceAll "), Just("date "), Just("tz "),
    ], 0..24)) {
        rule(&parts.concat());
        receiver(&parts.concat());
    }
}
