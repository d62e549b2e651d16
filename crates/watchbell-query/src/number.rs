//! Numbers as PromQL writes and Prometheus' API prints them.

use std::fmt::Write;

/// A value as Prometheus' JSON API prints it: the shortest digits that read back to the same number, with an exponent
/// for what is below `1e-6` or from `1e21` on; `NaN`, `+Inf`, `-Inf`.
pub fn format_value(value: f64) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

/// As [`format_value`], at the end of a text: what answers with many values use.
pub fn write_value(out: &mut String, value: f64) {
    let size = value.abs();
    if !value.is_finite() {
        out.push_str(not_finite(value));
    } else if size == 0.0 || (1e-6..1e21).contains(&size) {
        write_plain(out, value);
    } else {
        out.push_str(&with_exponent(value));
    }
}

/// All digits of a number that is one.
fn write_plain(out: &mut String, value: f64) {
    // Most values are whole numbers, for which there is a shorter way than for digits that round well.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    let size = value.abs();
    if size < WHOLE && value == value.trunc() && (value != 0.0 || value.is_sign_positive()) {
        if value < 0.0 {
            out.push('-');
        }
        write_whole(out, size as u64);
    } else if (1e-4..WHOLE).contains(&size) {
        // Here it writes no exponent. In the middle between two shortest numbers it takes the even one, as Go does.
        out.push_str(zmij::Buffer::new().format_finite(value));
    } else {
        let _ = write!(out, "{value}");
    }
}

/// A whole number at the end of a text.
pub fn write_whole(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// All digits, never an exponent: Go's `'f'` with the shortest precision, as expressions and `count_values` print.
pub(crate) fn format_plain(value: f64) -> String {
    if value.is_finite() { plain(value) } else { not_finite(value).to_owned() }
}

fn plain(value: f64) -> String {
    let mut text = String::new();
    write_plain(&mut text, value);
    text
}

/// Go's `%g` with the shortest precision, as annotations print: an exponent below `1e-4` and from `1e6` on.
pub(crate) fn format_general(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value).to_owned();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) { with_exponent(value) } else { plain(value) }
}

fn not_finite(value: f64) -> &'static str {
    match value {
        _ if value.is_nan() => "NaN",
        _ if value > 0.0 => "+Inf",
        _ => "-Inf",
    }
}

/// Rust writes `1e-7` where Go writes `1e-07`: a sign and at least two digits.
fn with_exponent(value: f64) -> String {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("`{:e}` writes an exponent");
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// A number as Go's `ParseInt` with base 0 and then `ParseFloat` read it: decimal, `0x`, `0o`, `0b`, a leading zero for
/// octal, underscores between digits, `Inf` and `NaN` in any case.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('_') {
        let between = at > 0 && at + 1 < bytes.len() && bytes[at - 1].is_ascii_alphanumeric();
        if !between || !bytes[at + 1].is_ascii_alphanumeric() {
            return None;
        }
    }
    let plain = text.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let radix = |prefix: &str, radix: u32| {
        let digits = lower.strip_prefix(prefix)?;
        i64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']))
    };
    if let Some(whole) = radix("0x", 16).or_else(|| radix("0b", 2)).or_else(|| radix("0o", 8)) {
        return Some(whole as f64);
    }
    // `010` is eight, but `09` and `01.5` are decimal.
    if let Some(octal) = radix("0", 8) {
        return Some(octal as f64);
    }
    match lower.trim_start_matches(['+', '-']) {
        "inf" | "infinity" | "nan" => return lower.parse().ok(),
        rest if !rest.starts_with(|first: char| first.is_ascii_digit() || first == '.') => return None,
        _ => {}
    }
    plain.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads back to the same bits, and there is no shorter text that does.
    fn check(value: f64) {
        let text = plain(value);
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
        assert_eq!(text.len(), format!("{value}").len(), "{text}");
        assert!(!text.contains('e') && !text.ends_with(".0"), "{text}");
    }

    #[test]
    fn all_digits_are_written() {
        [-0.0, 0.0, -1.0, 1e15, 9_007_199_254_740_993.0, -9e15, 1e21, 1e-7].into_iter().for_each(check);
        (0..2000).for_each(|n| check(f64::from(n) * 0.37 - 100.0));
        (0..300).for_each(|n| check(-(10_f64.powi(n - 150))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn all_digits_of_any_number_are_written(
            value in prop_oneof![
                any::<u64>().prop_map(f64::from_bits).prop_filter("a number", |value| value.is_finite()),
                (any::<i64>(), -10..10).prop_map(|(digits, power)| (digits >> 10) as f64 * 10_f64.powi(power)),
                -1e6..1e6_f64,
            ],
        ) {
            check(value);
        }
    }

    #[test]
    fn values_print_as_in_prometheus_answers() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.000001, "0.000001"),
            // In the middle between two texts of that length.
            (5_135_781_252_678_593.0 / 4.0, "1283945313169648.2"),
            (5_135_781_252_678_599.0 / 4.0, "1283945313169649.8"),
            (1e-7, "1e-07"),
            (-2.5e-9, "-2.5e-09"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_value(value), text);
        }
        assert_eq!(format_general(0.00005), "5e-05");
        assert_eq!(format_plain(1e21), "1000000000000000000000");
    }

    #[test]
    fn numbers_read_as_in_go() {
        for (text, value) in [
            ("1_000", 1000.0),
            ("0x1F", 31.0),
            ("010", 8.0),
            ("09", 9.0),
            ("0", 0.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("2.", 2.0),
            ("inF", f64::INFINITY),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
        ] {
            assert_eq!(parse_number(text), Some(value), "{text}");
        }
        for text in ["", "_1", "1__0", "0x", "1e", "e5", "in", "1 "] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }
}
