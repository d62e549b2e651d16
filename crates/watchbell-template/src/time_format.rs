//! Times and durations as Go writes them.

use jiff::Zoned;

/// `time.Time.String`: `2026-11-20 22:27:00.5 +0000 UTC`.
pub(crate) fn go_string(at: &Zoned) -> String {
    layout(at, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// The parts a layout may be made of, a longer one before any it begins with.
const PARTS: [&str; 31] = [
    "January", "Jan", "Monday", "Mon", "MST", "2006", "-07:00", "-0700", "-07", "Z07:00", "Z0700", "002", "01", "02",
    "03", "04", "05", "06", "15", "PM", "pm", "_2", "1", "2", "3", "4", "5", ".0", ",0", ".9", ",9",
];

/// `time.Time.Format`.
pub(crate) fn layout(at: &Zoned, layout: &str) -> String {
    let mut text = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        let part = PARTS.iter().find(|part| rest.starts_with(**part));
        let Some(part) = part else {
            text.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        // `Jan` in `Janitor` and a fraction in the middle of a number are plain text, as in Go.
        let after = &rest[part.len()..];
        let word = matches!(*part, "Jan" | "Mon") && after.starts_with(|c: char| c.is_ascii_lowercase());
        if word {
            text.push(c);
            rest = &rest[1..];
            continue;
        }
        if matches!(part.as_bytes()[0], b'.' | b',') {
            let kind = part.as_bytes()[1];
            let len = rest[1..].bytes().take_while(|byte| *byte == kind).count();
            if rest[1 + len..].starts_with(|c: char| c.is_ascii_digit()) {
                text.push(c);
                rest = &rest[1..];
                continue;
            }
            let digits = format!("{:09}", at.subsec_nanosecond());
            let digits = &digits[..len.min(9)];
            let digits = if kind == b'9' { digits.trim_end_matches('0') } else { digits };
            if !digits.is_empty() {
                text.push(c);
                text.push_str(digits);
            }
            rest = &rest[1 + len..];
            continue;
        }
        text.push_str(&written(at, part));
        rest = after;
    }
    text
}

fn written(at: &Zoned, part: &str) -> String {
    let hour = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let months = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let month = months[usize::from(at.month().unsigned_abs() - 1) % 12];
    let day = days[usize::from(at.weekday().to_monday_zero_offset().unsigned_abs()) % 7];
    let seconds = at.offset().seconds();
    let (sign, size) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let (hours, minutes) = (size / 3600, size / 60 % 60);
    match part {
        "January" => month.to_owned(),
        "Jan" => month[..3].to_owned(),
        "Monday" => day.to_owned(),
        "Mon" => day[..3].to_owned(),
        "2006" => format!("{:04}", at.year()),
        "06" => format!("{:02}", at.year().rem_euclid(100)),
        "01" => format!("{:02}", at.month()),
        "1" => at.month().to_string(),
        "02" => format!("{:02}", at.day()),
        "_2" => format!("{:>2}", at.day()),
        "2" => at.day().to_string(),
        "002" => format!("{:03}", at.day_of_year()),
        "15" => format!("{:02}", at.hour()),
        "03" => format!("{hour:02}"),
        "3" => hour.to_string(),
        "04" => format!("{:02}", at.minute()),
        "4" => at.minute().to_string(),
        "05" => format!("{:02}", at.second()),
        "5" => at.second().to_string(),
        "PM" => if at.hour() >= 12 { "PM" } else { "AM" }.to_owned(),
        "pm" => if at.hour() >= 12 { "pm" } else { "am" }.to_owned(),
        "Z07:00" | "Z0700" if seconds == 0 => "Z".to_owned(),
        "-07:00" | "Z07:00" => format!("{sign}{hours:02}:{minutes:02}"),
        "-0700" | "Z0700" => format!("{sign}{hours:02}{minutes:02}"),
        "-07" => format!("{sign}{hours:02}"),
        _ => at.time_zone().to_offset_info(at.timestamp()).abbreviation().to_owned(),
    }
}

/// `time.Duration.String`: `1h30m0s`, `1.5s`, `300ms`.
pub(crate) fn duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let fraction = |size: u64, unit: u64| {
        let digits = format!("{:0width$}", size % unit, width = unit.ilog10() as usize);
        let digits = if unit == 1 { "" } else { digits.trim_end_matches('0') };
        format!("{}{}{digits}", size / unit, if digits.is_empty() { "" } else { "." })
    };
    match size {
        0 => "0s".to_owned(),
        _ if size < 1_000 => format!("{sign}{size}ns"),
        _ if size < 1_000_000 => format!("{sign}{}µs", fraction(size, 1_000)),
        _ if size < 1_000_000_000 => format!("{sign}{}ms", fraction(size, 1_000_000)),
        _ => {
            let seconds = size / 1_000_000_000;
            let rest = seconds % 60 * 1_000_000_000 + size % 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let tail = fraction(rest, 1_000_000_000);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{tail}s"),
                (0, _) => format!("{sign}{minutes}m{tail}s"),
                _ => format!("{sign}{hours}h{minutes}m{tail}s"),
            }
        }
    }
}
