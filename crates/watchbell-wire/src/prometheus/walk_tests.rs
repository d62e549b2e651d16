//! Bodies of every format in, entries out.

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;
use crate::proto::{
    put_bytes, put_doubles, put_f64_always, put_i64, put_message, put_packed, put_u64, put_varint, zigzag,
};

fn check(body: &[u8], format: Format, histograms: Histograms, expect: Expect) {
    let mut out = String::new();
    let read = walk(body, format, Limits::default(), histograms, |entry| {
        let shown = |exemplars: &[Exemplar<'_>]| {
            exemplars.iter().map(|it| format!(" # {:?} {} {:?}", it.labels, it.value, it.seconds)).collect::<String>()
        };
        match entry {
            Entry::Line(Line::Sample(it)) => {
                let labels = labels(it.series, Format::Text, &Limits::default()).map_err(Refused::Here)?;
                let exemplars = shown(it.exemplar.as_slice());
                writeln!(out, "{labels} = {} at {:?}{exemplars}", it.value, it.seconds).unwrap();
            }
            Entry::Line(Line::Type { metric, kind }) => writeln!(out, "{metric} is a {}", kind.as_str()).unwrap(),
            Entry::Line(Line::Help { metric, text }) => writeln!(out, "{metric}: {text:?}").unwrap(),
            Entry::Line(Line::Unit { metric, unit }) => writeln!(out, "{metric} in {unit}").unwrap(),
            Entry::Histogram(it) => {
                let h = &it.histogram;
                let spans = |it: &watchbell_model::Buckets| {
                    let spans: Vec<_> = it.spans.iter().map(|it| format!("{}+{}", it.offset, it.length)).collect();
                    format!("[{}]{:?}", spans.join(" "), it.counts)
                };
                let (positive, negative) = (spans(&h.positive), spans(&h.negative));
                let zero = (h.zero_threshold, h.zero_count);
                writeln!(
                    out,
                    "{} = schema {} count {} sum {} zero {zero:?} {positive} {negative} {:?} {:?}{}",
                    it.series,
                    h.schema,
                    h.count,
                    h.sum,
                    h.custom_values,
                    h.reset,
                    shown(&it.exemplars)
                )
                .unwrap();
            }
        }
        Ok(())
    });
    if let Err(error) = read {
        writeln!(out, "{error}").unwrap();
    }
    expect.assert_eq(&out);
}

fn label(out: &mut Vec<u8>, number: u32, name: &str, value: &str) {
    put_message(out, number, |out| {
        put_bytes(out, 1, name.as_bytes());
        put_bytes(out, 2, value.as_bytes());
    });
}

fn exemplar(out: &mut Vec<u8>, number: u32, value: f64, seconds: Option<i64>) {
    put_message(out, number, |out| {
        label(out, 1, "trace_id", "t");
        put_f64_always(out, 2, value);
        if let Some(seconds) = seconds {
            put_message(out, 3, |out| {
                put_i64(out, 1, seconds);
                put_i64(out, 2, 500_000_000);
            });
        }
    });
}

/// One family, after its length.
fn family(name: &str, kind: u64, metrics: &[&dyn Fn(&mut Vec<u8>)]) -> Vec<u8> {
    let mut message = Vec::new();
    put_bytes(&mut message, 1, name.as_bytes());
    put_bytes(&mut message, 2, b"What it is.");
    put_u64(&mut message, 3, kind);
    metrics.iter().for_each(|metric| put_message(&mut message, 4, |out| metric(out)));
    let mut out = Vec::new();
    put_varint(&mut out, message.len() as u64);
    out.extend(message);
    out
}

fn buckets(out: &mut Vec<u8>) {
    for (count, bound) in [(1, 0.5), (3, 1.0)] {
        put_message(out, 3, |out| {
            put_u64(out, 1, count);
            put_f64_always(out, 2, bound);
            exemplar(out, 3, bound, (count == 3).then_some(7));
        });
    }
}

fn native(out: &mut Vec<u8>) {
    put_u64(out, 5, zigzag(3));
    put_f64_always(out, 6, 0.001);
    put_u64(out, 7, 2);
    for (offset, length) in [(-1i64, 2u64), (3, 1)] {
        put_message(out, 12, |out| {
            put_u64(out, 1, zigzag(offset));
            put_u64(out, 2, length);
        });
    }
    put_packed(out, 13, [2i64, -2, 1].map(zigzag).into_iter());
    put_message(out, 9, |out| put_u64(out, 2, 1));
    put_packed(out, 10, [zigzag(1)].into_iter());
}

fn histogram(out: &mut Vec<u8>, is_native: bool) {
    label(out, 1, "path", "/a\"b");
    put_message(out, 7, |out| {
        put_u64(out, 1, 6);
        put_f64_always(out, 2, 4.5);
        buckets(out);
        if is_native {
            native(out);
        }
    });
}

#[test]
fn families_of_numbers() {
    let mut body = family(
        "a_total",
        0,
        &[&|out| {
            put_message(out, 3, |out| {
                put_f64_always(out, 1, 2.0);
                exemplar(out, 2, 0.5, None);
            });
            put_i64(out, 6, 1500);
        }],
    );
    body.extend(family(
        "b.c",
        1,
        &[
            &|out| {
                label(out, 1, "d.e", "1");
                put_message(out, 2, |out| put_f64_always(out, 1, f64::from_bits(0x7ff0_0000_0000_0002)));
            },
            &|out| put_message(out, 2, |_| {}),
        ],
    ));
    body.extend(family(
        "s",
        2,
        &[&|out| {
            put_message(out, 4, |out| {
                put_u64(out, 1, 3);
                put_f64_always(out, 2, 1.5);
                put_message(out, 3, |out| {
                    put_f64_always(out, 1, 1.0);
                    put_f64_always(out, 2, 0.7);
                });
            });
        }],
    ));
    body.extend(family("u", 3, &[&|out| put_message(out, 5, |out| put_f64_always(out, 1, 1.0))]));
    body.extend(family("empty", 1, &[]));
    check(
        &body,
        Format::Protobuf,
        Histograms::default(),
        expect![[r#"
        a_total: "What it is."
        a_total is a counter
        a_total = 2 at Some(1.5) # [("trace_id", "t")] 0.5 None
        b.c: "What it is."
        b.c is a gauge
        b.c{"d.e"="1"} = NaN at None
        b.c = 0 at None
        s: "What it is."
        s is a summary
        s_count = 3 at None
        s_sum = 1.5 at None
        s{quantile="1.0"} = 0.7 at None
        u: "What it is."
        u is a unknown
        u = 1 at None
    "#]],
    );
}

#[test]
fn histograms_in_every_way() {
    let body = family("h", 4, &[&|out| histogram(out, false), &|out| histogram(out, true)]);
    let mut all = String::new();
    for (is_native, convert, keep_classic) in
        [(false, false, false), (true, false, false), (true, false, true), (true, true, false), (false, true, true)]
    {
        writeln!(all, "native {is_native} convert {convert} keep {keep_classic}").unwrap();
        let options = Histograms { native: is_native, convert, keep_classic };
        walk(&body, Format::Protobuf, Limits::default(), options, |entry| {
            match entry {
                Entry::Line(Line::Sample(it)) => writeln!(all, "  {} {}", it.series, it.value).unwrap(),
                Entry::Histogram(it) => writeln!(all, "  {} {:?}", it.series, it.histogram.positive.counts).unwrap(),
                Entry::Line(_) => {}
            }
            Ok(())
        })
        .unwrap();
    }
    expect![[r#"
        native false convert false keep false
          h_count{path="/a\"b"} 6
          h_sum{path="/a\"b"} 4.5
          h_bucket{path="/a\"b",le="0.5"} 1
          h_bucket{path="/a\"b",le="1.0"} 3
          h_bucket{path="/a\"b",le="+Inf"} 6
          h_count{path="/a\"b"} 6
          h_sum{path="/a\"b"} 4.5
          h_bucket{path="/a\"b",le="0.5"} 1
          h_bucket{path="/a\"b",le="1.0"} 3
          h_bucket{path="/a\"b",le="+Inf"} 6
        native true convert false keep false
          h_count{path="/a\"b"} 6
          h_sum{path="/a\"b"} 4.5
          h_bucket{path="/a\"b",le="0.5"} 1
          h_bucket{path="/a\"b",le="1.0"} 3
          h_bucket{path="/a\"b",le="+Inf"} 6
          h{path="/a\"b"} [2.0, 1.0]
        native true convert false keep true
          h_count{path="/a\"b"} 6
          h_sum{path="/a\"b"} 4.5
          h_bucket{path="/a\"b",le="0.5"} 1
          h_bucket{path="/a\"b",le="1.0"} 3
          h_bucket{path="/a\"b",le="+Inf"} 6
          h{path="/a\"b"} [2.0, 1.0]
          h_count{path="/a\"b"} 6
          h_sum{path="/a\"b"} 4.5
          h_bucket{path="/a\"b",le="0.5"} 1
          h_bucket{path="/a\"b",le="1.0"} 3
          h_bucket{path="/a\"b",le="+Inf"} 6
        native true convert true keep false
          h{path="/a\"b"} [1.0, 2.0, 3.0]
          h{path="/a\"b"} [2.0, 1.0]
        native false convert true keep true
          h_count{path="/a\"b"} 6
          h_sum{path="/a\"b"} 4.5
          h_bucket{path="/a\"b",le="0.5"} 1
          h_bucket{path="/a\"b",le="1.0"} 3
          h_bucket{path="/a\"b",le="+Inf"} 6
          h{path="/a\"b"} [1.0, 2.0, 3.0]
          h_count{path="/a\"b"} 6
          h_sum{path="/a\"b"} 4.5
          h_bucket{path="/a\"b",le="0.5"} 1
          h_bucket{path="/a\"b",le="1.0"} 3
          h_bucket{path="/a\"b",le="+Inf"} 6
          h{path="/a\"b"} [1.0, 2.0, 3.0]
    "#]]
    .assert_eq(&all);
    let native = Histograms { native: true, ..Histograms::default() };
    check(
        &body,
        Format::Protobuf,
        native,
        expect![[r#"
        h: "What it is."
        h is a histogram
        h_count{path="/a\"b"} = 6 at None
        h_sum{path="/a\"b"} = 4.5 at None
        h_bucket{le="0.5", path="/a\"b"} = 1 at None # [("trace_id", "t")] 0.5 None
        h_bucket{le="1.0", path="/a\"b"} = 3 at None # [("trace_id", "t")] 1 Some(7.5)
        h_bucket{le="+Inf", path="/a\"b"} = 6 at None
        h{path="/a\"b"} = schema 3 count 6 sum 4.5 zero (0.001, 2.0) [-1+1 4+1][2.0, 1.0] [0+1][1.0] [] Unknown # [("trace_id", "t")] 1 Some(7.5)
    "#]],
    );
}

#[test]
fn a_histogram_of_floats_and_a_gauge() {
    let body = family(
        "h",
        5,
        &[&|out| {
            put_message(out, 7, |out| {
                put_f64_always(out, 4, 2.5);
                put_u64(out, 5, zigzag(0));
                put_message(out, 12, |out| put_u64(out, 2, 2));
                put_doubles(out, 14, &[0.5, 2.0]);
            });
        }],
    );
    let native = Histograms { native: true, ..Histograms::default() };
    check(
        &body,
        Format::Protobuf,
        native,
        expect![[r#"
        h: "What it is."
        h is a gaugehistogram
        h = schema 0 count 2.5 sum 0 zero (0.0, 0.0) [0+2][0.5, 2.0] [][] [] Gauge
    "#]],
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let wrong = family(
        "h",
        4,
        &[&|out| {
            put_message(out, 7, |out| {
                put_u64(out, 5, zigzag(3));
                put_message(out, 12, |out| put_u64(out, 2, 2));
                put_packed(out, 13, [zigzag(1)].into_iter());
            });
        }],
    );
    let native = Histograms { native: true, ..Histograms::default() };
    check(
        &wrong,
        Format::Protobuf,
        native,
        expect![[r#"
        h: "What it is."
        h is a histogram
        metric family 1 `h`: a histogram has 1 positive buckets where its spans say 2
    "#]],
    );
    check(
        &family("x", 9, &[&|_| {}]),
        Format::Protobuf,
        native,
        expect![[r#"
        metric family 1 `x`: the type 9 is not known
    "#]],
    );
    check(
        &[0xff; 3],
        Format::Protobuf,
        native,
        expect![[r#"
        metric family 1: the message is cut off
    "#]],
    );
    // Whatever the bytes are, there is an answer.
    let good = family("h", 4, &[&|out| histogram(out, true)]);
    for at in 0..good.len() {
        for byte in [0x00, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            let _ = walk(&bytes, Format::Protobuf, Limits::default(), native, |_| Ok(()));
        }
        let _ = walk(&good[..at], Format::Protobuf, Limits::default(), native, |_| Ok(()));
    }
}

#[test]
fn classic_text_becomes_native() {
    let body = b"# TYPE h histogram\n\
        h_bucket{a=\"1\",le=\"0.5\"} 1\nh_bucket{a=\"1\",le=\"1\"} 1\nh_bucket{a=\"1\",le=\"+Inf\"} 4\n\
        h_sum{a=\"1\"} 9\nh_count{a=\"1\"} 4\n\
        h_bucket{a=\"2\",le=\"1\"} 3\nh_bucket{a=\"2\",le=\"+Inf\"} 2\nh_count{a=\"2\"} 2\n\
        # TYPE g gauge\ng 1\n# TYPE i histogram\ni_count 0\ni_sum 0\n";
    let convert = Histograms { convert: true, ..Histograms::default() };
    check(
        body,
        Format::Text,
        convert,
        expect![[r#"
        h is a histogram
        h{a="1"} = schema -53 count 4 sum 9 zero (0.0, 0.0) [0+1 1+1][1.0, 3.0] [][] [0.5, 1.0] Unknown
        g is a gauge
        g = 1 at None
        i is a histogram
        i = schema -53 count 0 sum 0 zero (0.0, 0.0) [][] [][] [] Unknown
    "#]],
    );
    check(
        body,
        Format::Text,
        Histograms { keep_classic: true, ..convert },
        expect![[r#"
        h is a histogram
        h_bucket{a="1", le="0.5"} = 1 at None
        h_bucket{a="1", le="1"} = 1 at None
        h_bucket{a="1", le="+Inf"} = 4 at None
        h_sum{a="1"} = 9 at None
        h_count{a="1"} = 4 at None
        h{a="1"} = schema -53 count 4 sum 9 zero (0.0, 0.0) [0+1 1+1][1.0, 3.0] [][] [0.5, 1.0] Unknown
        h_bucket{a="2", le="1"} = 3 at None
        h_bucket{a="2", le="+Inf"} = 2 at None
        h_count{a="2"} = 2 at None
        g is a gauge
        g = 1 at None
        i is a histogram
        i_count = 0 at None
        i_sum = 0 at None
        i = schema -53 count 0 sum 0 zero (0.0, 0.0) [][] [][] [] Unknown
    "#]],
    );
}
