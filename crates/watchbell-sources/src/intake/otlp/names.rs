//! Names of OpenTelemetry's metrics and attributes as Prometheus' own OTLP endpoint makes them, so that dashboards and
//! rules made for it fit.

use watchbell_wire::otlp::{Metric, MetricData};

use super::config::{OtlpConfig, TranslationStrategy};

/// Units as UCUM writes them, and as Prometheus' names end in them.
const UNITS: [(&str, &str); 28] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
    ("{1}", ""),
    ("", ""),
];

/// What stands after a slash is one of something.
const PER: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// The name of a metric; `None` if nothing of it can stand in one.
pub(super) fn metric_name(metric: &Metric, strategy: TranslationStrategy) -> Option<String> {
    let unit = metric.unit.trim();
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (unit_word(main, &UNITS), unit_word(per, &PER));
    let is_counter = matches!(&metric.data, Some(MetricData::Sum(sum)) if sum.is_monotonic);
    // A counter of things whose unit is one counts them; only a gauge of it is a ratio.
    let is_ratio = matches!(&metric.data, Some(MetricData::Gauge(_))) && unit == "1";
    let mut name = match (strategy.escapes(), strategy.adds_suffixes()) {
        (true, true) => {
            let mut words: Vec<String> = words(&metric.name).map(str::to_owned).collect();
            if !main.is_empty() && !words.contains(&main) {
                words.push(main);
            }
            if !per.is_empty() && !words.contains(&per) {
                words.extend(["per".to_owned(), per]);
            }
            for end in [("total", is_counter), ("ratio", is_ratio)].iter().filter(|end| end.1).map(|end| end.0) {
                words.retain(|word| word != end);
                words.push(end.to_owned());
            }
            words.join("_")
        }
        (true, false) => {
            let kept = |c: char| plain(c) || c == '_';
            metric.name.split(|c| !kept(c)).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
        }
        (false, true) => {
            let mut name = metric.name.clone();
            let mut ends_in = |end: &str, put: &str| {
                if let Some(before) = name.strip_suffix(end).and_then(|rest| rest.strip_suffix('_')) {
                    name.truncate(before.len());
                }
                name.push_str(put);
                name.push_str(end);
            };
            for (end, put, wanted) in [
                (&*main, "_", !main.is_empty()),
                (&*per, "_per_", !per.is_empty()),
                ("total", "_", is_counter),
                ("ratio", "_", is_ratio),
            ] {
                if wanted {
                    ends_in(end, put);
                }
            }
            name
        }
        (false, false) => metric.name.clone(),
    };
    if strategy.escapes() && name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    (!metric.name.is_empty() && !name.is_empty()).then_some(name)
}

/// What a name may hold without being quoted.
fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !plain(c)).filter(|word| !word.is_empty())
}

/// A metric's unit as Prometheus writes it: `seconds`, `bytes_per_second`.
pub(super) fn unit_name(unit: &str) -> String {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (unit_word(main, &UNITS), unit_word(per, &PER));
    match (main.is_empty(), per.is_empty()) {
        (_, true) => main,
        (true, false) => format!("per_{per}"),
        (false, false) => format!("{main}_per_{per}"),
    }
}

fn unit_word(unit: &str, known: &[(&str, &str)]) -> String {
    let unit = unit.trim();
    // What is in braces says what is counted, not in which unit.
    if unit.contains(['{', '}']) {
        return String::new();
    }
    match known.iter().find(|(have, _)| *have == unit) {
        Some((_, word)) => (*word).to_owned(),
        None => words(unit).collect::<Vec<_>>().join("_"),
    }
}

/// The label of an attribute.
pub(super) fn label_name(attribute: &str, config: &OtlpConfig) -> String {
    if !config.translation_strategy.escapes() {
        return attribute.to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = attribute.chars().map(plain).collect();
    let is_reserved = name.starts_with("__") && name.ends_with("__") && name.len() > 4;
    if !config.label_name_preserve_multiple_underscores && !is_reserved {
        let mut last = ' ';
        name.retain(|c| std::mem::replace(&mut last, c) != '_' || c != '_');
    }
    match name.as_bytes() {
        [first, ..] if first.is_ascii_digit() => format!("key_{name}"),
        [b'_', b'_', ..] => name,
        [b'_', ..] if config.label_name_underscore_sanitization => format!("key{name}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use watchbell_wire::otlp::{Gauge, Histogram, Sum};

    use super::*;

    fn check(data: MetricData, name: &str, unit: &str, wanted: &str) {
        check_as(TranslationStrategy::default(), data, name, unit, wanted);
    }

    fn check_as(strategy: TranslationStrategy, data: MetricData, name: &str, unit: &str, wanted: &str) {
        let metric = Metric { name: name.into(), unit: unit.into(), data: Some(data), ..Metric::default() };
        assert_eq!(metric_name(&metric, strategy).as_deref().unwrap_or("nothing"), wanted, "{name} in {unit}");
    }

    #[test]
    fn metrics() {
        let counter = || MetricData::Sum(Sum { is_monotonic: true, ..Sum::default() });
        let gauge = || MetricData::Gauge(Gauge::default());
        let histogram = || MetricData::Histogram(Histogram::default());
        check(counter(), "requests.count", "1", "requests_count_total");
        check(counter(), "requests_total", "", "requests_total");
        check(counter(), "total.requests", "{request}", "requests_total");
        check(counter(), "system.io", "By", "system_io_bytes_total");
        check(gauge(), "memory.usage", "By", "memory_usage_bytes");
        check(gauge(), "system.filesystem.utilization", "1", "system_filesystem_utilization_ratio");
        check(gauge(), "speed", "m/s", "speed_meters_per_second");
        check(gauge(), "speed", "{packet}/s", "speed_per_second");
        check(gauge(), "2xx", "", "_2xx");
        check(gauge(), "cpu %", "%", "cpu_percent");
        check(gauge(), "a__b", "foo bar", "a_b_foo_bar");
        check(histogram(), "http.server.duration_seconds", "s", "http_server_duration_seconds");
        check(MetricData::Sum(Sum::default()), "queue.size", "{item}", "queue_size");
        check(gauge(), "...", "", "nothing");
    }

    #[test]
    fn metrics_of_other_strategies() {
        use TranslationStrategy::{NoTranslation, NoUTF8EscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes};
        let counter = || MetricData::Sum(Sum { is_monotonic: true, ..Sum::default() });
        let gauge = || MetricData::Gauge(Gauge::default());
        for (strategy, io, total, share, odd) in [
            (UnderscoreEscapingWithoutSuffixes, "system_io", "orders_total", "cpu_share", "_2x__y_z"),
            (
                NoUTF8EscapingWithSuffixes,
                "system.io_bytes_total",
                "orders_total",
                "cpu.share_ratio",
                "2x__y.%z_per_second",
            ),
            (NoTranslation, "system.io", "orders_total", "cpu.share", "2x__y.%z"),
        ] {
            check_as(strategy, counter(), "system.io", "By", io);
            check_as(strategy, counter(), "orders_total", "", total);
            check_as(strategy, gauge(), "cpu.share", "1", share);
            check_as(strategy, gauge(), "2x__y.%z", "{packet}/s", odd);
            check_as(strategy, gauge(), "", "s", "nothing");
        }
    }

    #[test]
    fn units() {
        for (unit, wanted) in
            [("s", "seconds"), ("By/s", "bytes_per_second"), ("{order}", ""), ("1", ""), ("1/m", "per_minute")]
        {
            assert_eq!(unit_name(unit), wanted, "{unit}");
        }
    }

    #[test]
    fn attributes() {
        let config = OtlpConfig::default();
        for (attribute, wanted) in [
            ("http.method", "http_method"),
            ("2xx", "key_2xx"),
            ("_a", "key_a"),
            ("__a", "__a"),
            ("a__b", "a__b"),
            ("é", "key_"),
            ("", ""),
        ] {
            assert_eq!(label_name(attribute, &config), wanted, "{attribute}");
        }
        let bare = OtlpConfig {
            label_name_underscore_sanitization: false,
            label_name_preserve_multiple_underscores: false,
            ..config.clone()
        };
        for (attribute, wanted) in [("_a", "_a"), ("a..__b", "a_b"), ("__a__", "__a__"), ("__a", "_a")] {
            assert_eq!(label_name(attribute, &bare), wanted, "{attribute}");
        }
        let utf8 = OtlpConfig { translation_strategy: TranslationStrategy::NoTranslation, ..config };
        assert_eq!(label_name("http.method", &utf8), "http.method");
    }
}
