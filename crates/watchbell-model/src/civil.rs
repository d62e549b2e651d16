//! Times of a day that an expression names, on a clock that never changes: what cron's and systemd's have in common.

use jiff::civil::{Date, DateTime, Time};

/// Whether a number is one of those whose bits are set.
pub(crate) fn has(bits: u64, number: i8) -> bool {
    bits >> number & 1 == 1
}

/// The first time at or after one, of these hours, minutes and seconds. `next_day` gives the first day, at or after one,
/// that counts.
pub(crate) fn next(
    [hours, minutes, seconds]: [u64; 3],
    from: DateTime,
    next_day: impl Fn(Date) -> Option<Date>,
) -> Option<DateTime> {
    let (mut date, mut time) = (from.date(), from.time());
    loop {
        let day = next_day(date)?;
        if day != date {
            time = Time::midnight();
        }
        let found = (time.hour()..24).filter(|hour| has(hours, *hour)).find_map(|hour| {
            let least = if hour == time.hour() { time.minute() } else { 0 };
            (least..60).filter(|minute| has(minutes, *minute)).find_map(|minute| {
                let same = (hour, minute) == (time.hour(), time.minute());
                let least = if same { time.second() } else { 0 };
                let second = (least..60).find(|second| has(seconds, *second))?;
                Some(day.at(hour, minute, second, 0))
            })
        });
        if found.is_some() {
            return found;
        }
        date = day.tomorrow().ok()?;
        time = Time::midnight();
    }
}
