//! Parts of dates, in UTC.

/// The function of a name that gives a part of the date of seconds since 1970.
pub(super) fn part(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "day_of_month" => |at| of(at, |date| date.day),
        "day_of_week" => |at| of(at, |date| (date.days + 4).rem_euclid(7)),
        "day_of_year" => |at| of(at, |date| date.days - days_before(date.year, 1) + 1),
        "days_in_month" => |at| of(at, |date| days_before_next_month(date) - days_before(date.year, date.month)),
        "hour" => |at| of(at, |date| date.seconds / 3600),
        "minute" => |at| of(at, |date| date.seconds / 60 % 60),
        "month" => |at| of(at, |date| date.month),
        "year" => |at| of(at, |date| date.year),
        _ => return None,
    })
}

struct Date {
    /// Days since 1970.
    days: i64,
    /// Seconds of the day.
    seconds: i64,
    year: i64,
    month: i64,
    day: i64,
}

/// From here on seconds do not fit into 64 bits.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;

/// What is no time at all, such as NaN, has the date that Prometheus gives it on the machines most people have: the
/// last one its 64 bits can hold, in the year 292277026596.
fn of(seconds: f64, part: fn(&Date) -> i64) -> f64 {
    let is_time = (-TOO_LARGE..TOO_LARGE).contains(&seconds) && seconds != -TOO_LARGE;
    let seconds = if is_time { i128::from(seconds as i64) } else { 1 << 63 };
    let (days, seconds) = (seconds.div_euclid(86_400) as i64, seconds.rem_euclid(86_400) as i64);
    // Years from March on, so that the leap day is the last of its year; 400 years are 146,097 days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    part(&Date { days, seconds, year, month, day }) as f64
}

/// Days from 1970 to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_before_next_month(date: &Date) -> i64 {
    if date.month == 12 { days_before(date.year + 1, 1) } else { days_before(date.year, date.month + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_has_the_last_date() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e19] {
            let parts = ["year", "month", "day_of_month", "hour", "minute", "day_of_year"];
            let found = parts.map(|name| part(name).unwrap()(value));
            assert_eq!(found, [292_277_026_596.0, 12.0, 4.0, 15.0, 30.0, 339.0], "{value}");
        }
        assert_eq!(part("year").unwrap()(1e15), 31_690_708.0);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let mut at = jiff::civil::date(1895, 12, 30);
        while at.year() < 2105 {
            let seconds = at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second() as f64 + 3661.0;
            let part = |name: &str| part(name).unwrap()(seconds) as i64;
            assert_eq!(part("year"), i64::from(at.year()), "{at}");
            assert_eq!(part("month"), i64::from(at.month()), "{at}");
            assert_eq!(part("day_of_month"), i64::from(at.day()), "{at}");
            assert_eq!(part("day_of_year"), i64::from(at.day_of_year()), "{at}");
            assert_eq!(part("days_in_month"), i64::from(at.days_in_month()), "{at}");
            assert_eq!(part("day_of_week"), i64::from(at.weekday().to_sunday_zero_offset()), "{at}");
            assert_eq!((part("hour"), part("minute")), (1, 1), "{at}");
            at = at.tomorrow().unwrap();
        }
    }
}
