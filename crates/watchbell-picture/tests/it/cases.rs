//! What is drawn: one case each, by name.

use jiff::tz::TimeZone;
use watchbell_model::{Span, Timestamp};
use watchbell_picture::{Graph, Line, Standing, Stretch, Strip, Unit};

const MINUTE: i64 = 60_000;
/// 2026-11-22 06:00 UTC.
const END: Timestamp = Timestamp(1_795_327_200_000);

/// A wave of `size` around `middle`; the same on every machine, as sines need not be.
fn wave(minute: i64, size: f64, middle: f64) -> f64 {
    let place = (minute % 40) as f64 / 20.0 - 1.0;
    middle + size * (1.0 - place * place) * if minute % 80 < 40 { 1.0 } else { -1.0 }
}

fn line(name: &str, value: impl Fn(i64) -> Option<f64>) -> Line {
    let point = |minute: i64| Some((Timestamp(END.0 - (180 - minute) * MINUTE), value(minute)?));
    Line { name: name.to_owned(), points: (0..=180).filter_map(point).collect() }
}

fn graph(title: &str, unit: Unit, lines: Vec<Line>, threshold: Option<f64>) -> Graph {
    Graph {
        title: title.to_owned(),
        unit,
        start: Timestamp(END.0 - 180 * MINUTE),
        end: END,
        step: Span::minutes(1),
        lines,
        threshold,
        since: Some(Timestamp(END.0 - 25 * MINUTE)),
        until: None,
        zone: TimeZone::UTC,
    }
}

/// Every case.
pub(crate) fn all() -> Vec<(&'static str, Graph)> {
    let rising = |minute: i64| if minute < 140 { wave(minute, 4.0, 61.0) } else { 61.0 + (minute - 140) as f64 * 0.9 };
    let many = |count: i64| {
        let named = |at: i64| {
            line(&format!("instance=web-{at}"), move |it| Some(wave(it + at * 9, 2e8, (at + 2) as f64 * 4e8)))
        };
        (0..count).map(named).collect::<Vec<_>>()
    };
    let one = |value: fn(i64) -> Option<f64>| vec![line("one", value)];
    let berlin = TimeZone::get("Europe/Berlin").expect("the machine knows its zones");
    vec![
        ("one", graph("Disk of mail-1 fills up", Unit::Percent, vec![line("a", |it| Some(rising(it)))], Some(90.0))),
        ("five", graph("Memory of five web servers", Unit::Bytes, many(5), Some(2.2e9))),
        ("nine", graph("Memory of nine web servers", Unit::Bytes, many(9), Some(2.2e9))),
        (
            "gap",
            graph(
                "A probe that stood still",
                Unit::Seconds,
                vec![line("gap", |it| (!(60..110).contains(&it)).then(|| wave(it, 0.02, 0.1)))],
                Some(1.0),
            ),
        ),
        (
            "nan",
            graph(
                "No number now and then",
                Unit::Ratio,
                one(|it| {
                    Some(if it % 30 < 5 {
                        f64::NAN
                    } else if it == 77 {
                        f64::INFINITY
                    } else {
                        wave(it, 0.1, 0.4)
                    })
                }),
                Some(0.9),
            ),
        ),
        ("constant", graph("Always the same", Unit::Plain, one(|_| Some(42.0)), Some(40.0))),
        ("zero", graph("Queue is empty", Unit::Plain, one(|_| Some(0.0)), Some(0.0))),
        ("huge", graph("Very much", Unit::Plain, one(|it| Some(wave(it, 3e17, 9e17))), Some(1e18))),
        ("small", graph("Very little", Unit::Seconds, one(|it| Some(wave(it, 2e-7, 6e-7))), Some(9e-7))),
        ("negative", graph("Clock is behind", Unit::Seconds, one(|it| Some(wave(it, 0.03, -0.05))), Some(-0.07))),
        ("point", graph("Heard of once", Unit::Plain, one(|it| (it == 120).then_some(7.0)), Some(5.0))),
        ("none", graph("Nothing was heard", Unit::Plain, vec![], Some(5.0))),
        (
            "long",
            graph(
                "A title that nobody would call short and that goes on for longer than a picture is wide, to say the least",
                Unit::BytesPerSecond,
                vec![
                    line("instance=mail-1.internal.example.org:9100, device=/dev/mapper/vg0-var", |it| {
                        Some(wave(it, 1e5, 4e5))
                    }),
                    line("instance=mail-2.internal.example.org:9100, device=/dev/mapper/vg0-var", |it| {
                        Some(wave(it, 1e5, 2e5))
                    }),
                ],
                None,
            ),
        ),
        (
            "unicode",
            graph(
                "Größe von Łódź, 東京 und ночь",
                Unit::PerSecond,
                vec![line("ort=Łódź", |it| Some(wave(it, 2.0, 9.0))), line("ort=東京", |it| Some(wave(it, 3.0, 5.0)))],
                Some(12.0),
            ),
        ),
        ("far", graph("Nowhere near it", Unit::Plain, one(|it| Some(wave(it, 1.0, 3.0))), Some(1e6))),
        (
            "over",
            Graph {
                until: Some(Timestamp(END.0 - 5 * MINUTE)),
                zone: berlin,
                ..graph(
                    "It is over",
                    Unit::Percent,
                    vec![line("a", |it| Some(rising(it.min(175 - (it - 170).max(0) * 3))))],
                    Some(80.0),
                )
            },
        ),
    ]
}

/// How jobs stood.
pub(crate) fn strips() -> Vec<(&'static str, Strip)> {
    let at = |minute: i64| Timestamp(END.0 - (180 - minute) * MINUTE);
    let stretch = |from: i64, until: i64, standing| Stretch { from: at(from), until: at(until), standing };
    let strip = |title: &str, stretches: Vec<Stretch>| Strip {
        title: title.to_owned(),
        start: at(0),
        end: END,
        stretches,
        since: Some(at(155)),
        until: None,
        zone: TimeZone::UTC,
    };
    let life = vec![
        stretch(155, 180, Standing::Down),
        stretch(140, 155, Standing::Late),
        stretch(60, 140, Standing::Up),
        stretch(59, 60, Standing::Down),
        stretch(20, 59, Standing::Up),
        stretch(-100, 20, Standing::Waiting),
    ];
    vec![("strip", strip("backup has not reported", life)), ("no flips", strip("backup has not reported", Vec::new()))]
}
