//! Numbers as Go's `strconv` writes them.

/// `%e` with a sign and at least two digits in the exponent; `None` is the shortest that reads back the same.
pub(crate) fn exponent(number: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{number:.precision$e}"),
        None => format!("{number:e}"),
    };
    match text.split_once('e') {
        Some((digits, power)) => {
            let (sign, power) = match power.strip_prefix('-') {
                Some(power) => ('-', power),
                None => ('+', power),
            };
            format!("{digits}e{sign}{power:0>2}")
        }
        None => special(number),
    }
}

/// `%f`.
pub(crate) fn fixed(number: f64, precision: usize) -> String {
    if number.is_finite() { format!("{number:.precision$}") } else { special(number) }
}

/// `%g`; `None` is the shortest that reads back the same, as `%v` and an action write it: `1.048576e+06`.
pub(crate) fn general(number: f64, precision: Option<usize>) -> String {
    if !number.is_finite() {
        return special(number);
    }
    let precision = precision.map(|it| it.max(1));
    let scientific = exponent(number, precision.map(|it| it - 1));
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    // For the shortest form Go decides as if six digits were asked for.
    if power < -4 || power >= precision.map_or(6, |it| it as i32) {
        return format!("{}e{}", strip(digits), &scientific[digits.len() + 1..]);
    }
    match precision {
        Some(precision) => {
            let decimals = usize::try_from(precision as i32 - 1 - power).unwrap_or(0);
            strip(&format!("{number:.decimals$}")).to_owned()
        }
        None => format!("{number}"),
    }
}

/// Trailing zeros of a fraction off.
fn strip(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn special(number: f64) -> String {
    match number {
        it if it.is_nan() => "NaN".to_owned(),
        it if it > 0.0 => "+Inf".to_owned(),
        _ => "-Inf".to_owned(),
    }
}
