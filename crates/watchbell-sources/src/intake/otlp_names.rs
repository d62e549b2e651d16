//! Names of OpenTelemetry's metrics and attributes as Prometheus has them: `UnderscoreEscapingWithSuffixes`, the
//! default of its own OTLP endpoint, so that dashboards and rules made for it fit.

use watchbell_wire::otlp::{Metric, MetricData};

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
pub(super) fn metric_name(metric: &Metric) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let mut words: Vec<String> =
        metric.name.split(|c| !plain(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let unit = metric.unit.trim();
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (unit_word(main, &UNITS), unit_word(per, &PER));
    if !main.is_empty() && !words.contains(&main) {
        words.push(main);
    }
    if !per.is_empty() && !words.contains(&per) {
        words.extend(["per".to_owned(), per]);
    }
    let ends_in = |words: &mut Vec<String>, end: &str| {
        words.retain(|word| word != end);
        words.push(end.to_owned());
    };
    match &metric.data {
        Some(MetricData::Sum(sum)) if sum.is_monotonic => ends_in(&mut words, "total"),
        // A counter of things whose unit is one counts them; only a gauge of it is a ratio.
        Some(MetricData::Gauge(_)) if unit == "1" => ends_in(&mut words, "ratio"),
        _ => {}
    }
    let mut name = words.join("_");
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    (!name.is_empty()).then_some(name)
}

fn unit_word(unit: &str, known: &[(&str, &str)]) -> String {
    let unit = unit.trim();
    // What is in braces says what is counted, not in which unit.
    if unit.contains(['{', '}']) {
        return String::new();
    }
    match known.iter().find(|(have, _)| *have == unit) {
        Some((_, word)) => (*word).to_owned(),
        None => {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == ':';
            unit.split(|c| !plain(c)).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
        }
    }
}

/// The label of an attribute.
pub(super) fn label_name(attribute: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = attribute.chars().map(plain).collect();
    match name.as_bytes() {
        [first, ..] if first.is_ascii_digit() => format!("key_{name}"),
        [b'_', b'_', ..] => name,
        [b'_', ..] => format!("key{name}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use watchbell_wire::otlp::{Gauge, Histogram, Sum};

    use super::*;

    fn check(data: MetricData, name: &str, unit: &str, wanted: &str) {
        let metric = Metric { name: name.into(), unit: unit.into(), data: Some(data), ..Metric::default() };
        assert_eq!(metric_name(&metric).as_deref().unwrap_or("nothing"), wanted, "{name} in {unit}");
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
    fn attributes() {
        for (attribute, wanted) in [
            ("http.method", "http_method"),
            ("2xx", "key_2xx"),
            ("_a", "key_a"),
            ("__a", "__a"),
            ("é", "key_"),
            ("", ""),
        ] {
            assert_eq!(label_name(attribute), wanted, "{attribute}");
        }
    }
}
