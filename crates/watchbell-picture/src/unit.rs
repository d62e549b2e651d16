//! What values are, and how they are written.

/// What the values of a graph are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Numbers.
    #[default]
    Plain,
    /// Bytes, in powers of 1024.
    Bytes,
    /// Bytes in a second, in powers of 1024.
    BytesPerSecond,
    /// Lengths of time, in seconds.
    Seconds,
    /// Per cent; 100 is all.
    Percent,
    /// Parts of one, shown as per cent.
    Ratio,
    /// How often in a second.
    PerSecond,
}

/// A step of a scale: from this value on, one of it, and what is written after the number.
type Step = (f64, f64, &'static str);

const KIB: f64 = 1024.0;
const BYTES: [Step; 6] = [
    (0.0, 1.0, " B"),
    (KIB, KIB, " KiB"),
    (KIB * KIB, KIB * KIB, " MiB"),
    (KIB * KIB * KIB, KIB * KIB * KIB, " GiB"),
    (KIB * KIB * KIB * KIB, KIB * KIB * KIB * KIB, " TiB"),
    (KIB * KIB * KIB * KIB * KIB, KIB * KIB * KIB * KIB * KIB, " PiB"),
];
const SECONDS: [Step; 6] = [
    (0.0, 1e-6, " µs"),
    (1e-3, 1e-3, " ms"),
    (1.0, 1.0, " s"),
    (300.0, 60.0, " min"),
    (3.0 * 3600.0, 3600.0, " h"),
    (3.0 * 86_400.0, 86_400.0, " d"),
];
const PLAIN: [Step; 6] =
    [(0.0, 1.0, ""), (1e4, 1e3, "k"), (1e6, 1e6, "M"), (1e9, 1e9, "G"), (1e12, 1e12, "T"), (1e15, 1.0, "")];
/// From here on, and below the other, numbers are written with an exponent.
const HUGE: f64 = 1e6;
const TINY: f64 = 1e-4;
/// Digits after the point at most.
const DIGITS_MAX: usize = 4;

/// Writes the values of one axis, all in the same scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer {
    /// One of what is written.
    one: f64,
    after: &'static str,
    /// Digits after the point.
    digits: usize,
    exponent: bool,
}

impl Unit {
    /// For values up to `largest`, `step` apart.
    pub(crate) fn writer(self, largest: f64, step: f64) -> Writer {
        let largest = largest.abs();
        let pick = |steps: &[Step]| {
            let (_, one, after) = steps.iter().rev().find(|(from, ..)| largest >= *from).copied().unwrap_or(steps[0]);
            (one, after)
        };
        let (one, after) = match self {
            Unit::Plain | Unit::PerSecond => pick(&PLAIN),
            Unit::Bytes | Unit::BytesPerSecond => pick(&BYTES),
            Unit::Seconds => pick(&SECONDS),
            Unit::Percent => (1.0, " %"),
            Unit::Ratio => (0.01, " %"),
        };
        let small = step / one;
        let exponent = largest / one >= HUGE || (largest > 0.0 && small > 0.0 && small < TINY);
        let digits = (0..=DIGITS_MAX).find(|digits| {
            let scaled = small * 10f64.powi(*digits as i32);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0) && scaled.round() >= 1.0
        });
        Writer { one, after, digits: digits.unwrap_or(DIGITS_MAX), exponent }
    }

    /// How far apart marks may lie: in powers of this.
    pub(crate) fn base(self, step: f64) -> Base {
        match self {
            Unit::Bytes | Unit::BytesPerSecond if step >= 1.0 => Base::Two,
            Unit::Seconds if step >= 60.0 => Base::Sixty,
            _ => Base::Ten,
        }
    }

    /// A single value, with as many digits as say something.
    pub(crate) fn write(self, value: f64) -> String {
        let writer = self.writer(value, 0.0);
        let scaled = value / writer.one;
        let digits = match scaled.abs() {
            it if it >= 100.0 || it.fract() == 0.0 => 0,
            it if it >= 10.0 => 1,
            it if it >= 0.1 => 2,
            _ => DIGITS_MAX,
        };
        let exponent = scaled.abs() >= HUGE || (scaled != 0.0 && scaled.abs() < TINY);
        Writer { digits, exponent, ..writer }.trimmed(value, self)
    }
}

/// What round numbers are round in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Ten,
    Two,
    Sixty,
}

impl Writer {
    /// A value of the axis.
    pub(crate) fn write(&self, value: f64, unit: Unit) -> String {
        let scaled = value / self.one;
        let number = match self.exponent {
            true => format!("{scaled:.1e}").replace(".0e", "e"),
            false => format!("{scaled:.*}", self.digits),
        };
        // No value is less than nothing by nothing.
        let number = match number.strip_prefix('-') {
            Some(rest) if rest.bytes().all(|it| matches!(it, b'0' | b'.')) => rest.to_owned(),
            _ => number,
        };
        format!(
            "{number}{}{}",
            self.after,
            if matches!(unit, Unit::BytesPerSecond | Unit::PerSecond) { "/s" } else { "" }
        )
    }

    fn trimmed(&self, value: f64, unit: Unit) -> String {
        let text = self.write(value, unit);
        let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | 'e'))).unwrap_or(text.len());
        let (number, after) = text.split_at(end);
        let number = if number.contains('.') && !number.contains('e') {
            number.trim_end_matches('0').trim_end_matches('.')
        } else {
            number
        };
        format!("{number}{after}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_in_their_unit() {
        let of = |unit: Unit, values: &[f64]| values.iter().map(|it| unit.write(*it)).collect::<Vec<_>>().join(", ");
        assert_eq!(
            of(Unit::Plain, &[0.0, 0.5, -3.0, 9999.0, 12_345.0, 2.5e6, 1e18]),
            "0, 0.5, -3, 9999, 12.3k, 2.5M, 1e18"
        );
        assert_eq!(of(Unit::Plain, &[0.00012, 3e-7, 1e30]), "0.0001, 3e-7, 1e30");
        assert_eq!(of(Unit::Bytes, &[0.0, 1023.0, 1536.0, 3.5 * KIB * KIB * KIB]), "0 B, 1023 B, 1.5 KiB, 3.5 GiB");
        assert_eq!(of(Unit::BytesPerSecond, &[2.0 * KIB * KIB]), "2 MiB/s");
        assert_eq!(
            of(Unit::Seconds, &[2e-6, 0.0123, 1.5, 90.0, 600.0, 86_400.0, 864_000.0]),
            "2 µs, 12.3 ms, 1.5 s, 90 s, 10 min, 24 h, 10 d"
        );
        assert_eq!(of(Unit::Ratio, &[0.93, 1.0, 0.001]), "93 %, 100 %, 0.1 %");
        assert_eq!(of(Unit::Percent, &[93.25]), "93.2 %");
        assert_eq!(of(Unit::PerSecond, &[0.25, 12.0]), "0.25/s, 12/s");
    }

    #[test]
    fn an_axis_is_written_in_one_scale() {
        let axis = |unit: Unit, values: &[f64]| {
            let writer = unit.writer(values[values.len() - 1], values[1] - values[0]);
            values.iter().map(|it| writer.write(*it, unit)).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(axis(Unit::Seconds, &[0.0, 0.25, 0.5]), "0 ms, 250 ms, 500 ms");
        assert_eq!(axis(Unit::Plain, &[0.0, 0.05, 0.1]), "0.00, 0.05, 0.10");
        assert_eq!(axis(Unit::Bytes, &[0.0, 512.0 * KIB, KIB * KIB]), "0.0 MiB, 0.5 MiB, 1.0 MiB");
        assert_eq!(axis(Unit::Plain, &[-20.0, -10.0, -0.0]), "-20, -10, 0");
        assert_eq!(axis(Unit::Plain, &[0.0, 2e-7, 4e-7]), "0e0, 2e-7, 4e-7");
    }
}
