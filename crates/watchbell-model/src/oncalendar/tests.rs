use expect_test::expect;

use super::*;

/// The next three times, in UTC.
fn next(expr: &str, zone: &str, after: &str) -> String {
    let (calendar, zone): (OnCalendar, _) = (expr.parse().unwrap(), TimeZone::get(zone).unwrap());
    let mut at = Timestamp::parse_rfc3339(after).unwrap();
    let mut times = Vec::new();
    for _ in 0..3 {
        match calendar.next(at, &zone) {
            Some(found) => at = found,
            None => break,
        }
        times.push(at.to_string().replace(":00.000Z", ""));
    }
    times.join(" ")
}

#[test]
fn parts_mean_what_systemd_means() {
    let cases = [
        "daily",
        "Weekly",
        "quarterly",
        "Mon..Fri *-*-* 09:00",
        "Sat,Sun 10:30",
        "Thu, 8..18/4:15",
        "*:0/15",
        "*-*-* *:*:0/30",
        "*-02~1 00:00",
        "*-*~07/1",
        "Mon *-05~07/1",
        "2027-*-1,15 00:00 Europe/Riga",
        "27-1-1",
        "*-*-31",
        "12:34\n18:00 America/New_York",
        "2019-01-01",
    ];
    let told: String =
        cases.map(|expr| format!("{expr:?}: {}\n", next(expr, "UTC", "2026-11-20T12:00:00.999Z"))).concat();
    expect![[r#"
        "daily": 2026-11-21T00:00 2026-11-22T00:00 2026-11-23T00:00
        "Weekly": 2026-11-23T00:00 2026-11-30T00:00 2026-12-07T00:00
        "quarterly": 2027-01-01T00:00 2027-04-01T00:00 2027-07-01T00:00
        "Mon..Fri *-*-* 09:00": 2026-11-23T09:00 2026-11-24T09:00 2026-11-25T09:00
        "Sat,Sun 10:30": 2026-11-21T10:30 2026-11-22T10:30 2026-11-28T10:30
        "Thu, 8..18/4:15": 2026-11-26T08:15 2026-11-26T12:15 2026-11-26T16:15
        "*:0/15": 2026-11-20T12:15 2026-11-20T12:30 2026-11-20T12:45
        "*-*-* *:*:0/30": 2026-11-20T12:00:30.000Z 2026-11-20T12:01 2026-11-20T12:01:30.000Z
        "*-02~1 00:00": 2027-02-28T00:00 2028-02-29T00:00 2029-02-28T00:00
        "*-*~07/1": 2026-11-24T00:00 2026-11-25T00:00 2026-11-26T00:00
        "Mon *-05~07/1": 2027-05-31T00:00 2028-05-29T00:00 2029-05-28T00:00
        "2027-*-1,15 00:00 Europe/Riga": 2026-12-31T22:00 2027-01-14T22:00 2027-01-31T22:00
        "27-1-1": 2027-01-01T00:00
        "*-*-31": 2026-12-31T00:00 2027-01-31T00:00 2027-03-31T00:00
        "12:34\n18:00 America/New_York": 2026-11-20T12:34 2026-11-20T23:00 2026-11-21T12:34
        "2019-01-01": 
    "#]]
    .assert_eq(&told);
}

#[test]
fn what_is_skipped_does_not_come_and_what_comes_twice_counts_once() {
    let cases = [
        // Clocks go from 2:00 to 3:00 in the night of 29 March, and from 3:00 to 2:00 in that of 25 October.
        ("02:30", "2026-03-28T12:00:00Z"),
        ("02:30", "2026-10-24T12:00:00Z"),
        ("2:0/30", "2026-10-24T12:00:00Z"),
        // From within the second of the two hours.
        ("2:0/30", "2026-10-25T01:10:00Z"),
        ("hourly", "2026-03-29T00:30:00Z"),
        ("hourly", "2026-10-24T23:30:00Z"),
        ("02:30 UTC", "2026-03-28T12:00:00Z"),
    ];
    let told: String = cases.map(|(expr, after)| format!("{expr}: {}\n", next(expr, "Europe/Berlin", after))).concat();
    expect![[r#"
        02:30: 2026-03-30T00:30 2026-03-31T00:30 2026-04-01T00:30
        02:30: 2026-10-25T00:30 2026-10-26T01:30 2026-10-27T01:30
        2:0/30: 2026-10-25T00:00 2026-10-25T00:30 2026-10-26T01:00
        2:0/30: 2026-10-26T01:00 2026-10-26T01:30 2026-10-27T01:00
        hourly: 2026-03-29T01:00 2026-03-29T02:00 2026-03-29T03:00
        hourly: 2026-10-25T00:00 2026-10-25T01:00 2026-10-25T02:00
        02:30 UTC: 2026-03-29T02:30 2026-03-30T02:30 2026-03-31T02:30
    "#]]
    .assert_eq(&told);
}

#[test]
fn what_is_none_is_said() {
    let cases = [
        "",
        "bogus",
        "25:00",
        "1:2:3:4",
        "*-13-01",
        "2-3-4-5",
        "*-*-~03/1",
        "*-*~31",
        "Mon..",
        "Fri..Mon 10:00",
        "10:00 Europe/Nowhere",
        "Mon Tue 10:00",
        "*,3:00",
        "0/0:00",
        "*-02-31",
        "12:34\n\n18:00",
    ];
    let told: String = cases.map(|text| format!("{text:?}: {}\n", text.parse::<OnCalendar>().unwrap_err())).concat();
    expect![[r#"
        "": `` is not of the form `DAYS YEAR-MONTH-DAY HOUR:MINUTE:SECOND ZONE`
        "bogus": `bogus` is no day of the week, such as `Mon` or `Mon..Fri`, and no time zone
        "25:00": `25` is no hour; it is 0 to 23
        "1:2:3:4": `1:2:3:4` is neither a date `YEAR-MONTH-DAY` nor a time `HOUR:MINUTE:SECOND`
        "*-13-01": `13` is no month; it is 1 to 12
        "2-3-4-5": `2-3-4-5` is neither a date `YEAR-MONTH-DAY` nor a time `HOUR:MINUTE:SECOND`
        "*-*-~03/1": `*-*-~03/1` is neither a date `YEAR-MONTH-DAY` nor a time `HOUR:MINUTE:SECOND`
        "*-*~31": `31` is no day of the month; it is 1 to 31
        "Mon..": `Mon..` is no day of the week, such as `Mon` or `Mon..Fri`, and no time zone
        "Fri..Mon 10:00": `Fri..Mon` is no day of the week, such as `Mon` or `Mon..Fri`, and no time zone
        "10:00 Europe/Nowhere": `10:00 Europe/Nowhere` is not of the form `DAYS YEAR-MONTH-DAY HOUR:MINUTE:SECOND ZONE`
        "Mon Tue 10:00": `Mon Tue 10:00` is not of the form `DAYS YEAR-MONTH-DAY HOUR:MINUTE:SECOND ZONE`
        "*,3:00": `*` is no hour; it is 0 to 23
        "0/0:00": `0/0` is no hour; it is 0 to 23
        "*-02-31": there is no such day from 1970 to 2199
        "12:34\n\n18:00": `` is not of the form `DAYS YEAR-MONTH-DAY HOUR:MINUTE:SECOND ZONE`
    "#]]
    .assert_eq(&told);
}

/// What the library oncalendar answers.
#[derive(serde::Deserialize)]
struct Recorded {
    expr: String,
    tz: String,
    start: String,
    #[serde(default)]
    next: Vec<String>,
    #[serde(default)]
    error: Option<String>,
}

#[test]
fn conformance_of_calendar_expressions() {
    let folder = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| std::path::PathBuf::from("../../../shared/conformance"), Into::into);
    let file = folder.join("schedules/oncalendar_corpus.jsonl");
    #[expect(clippy::disallowed_methods, reason = "a test reads recorded cases")]
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: there is no {}; name a folder in WATCHBELL_CONFORMANCE", file.display());
        return;
    };
    let mut wrong = Vec::new();
    for line in text.lines() {
        let case: Recorded = serde_json::from_str(line).unwrap();
        let zone = TimeZone::get(&case.tz).unwrap();
        match (case.expr.parse::<OnCalendar>(), &case.error) {
            (Err(_), Some(_)) => {}
            (Ok(calendar), None) => {
                let mut at = Timestamp::parse_rfc3339(&case.start).unwrap();
                let mut found = Vec::new();
                // Four were asked for.
                while found.len() < 4
                    && let Some(next) = calendar.next(at, &zone)
                {
                    found.push(next);
                    at = next;
                }
                let recorded: Vec<_> = case.next.iter().map(|text| Timestamp::parse_rfc3339(text).unwrap()).collect();
                if found != recorded {
                    wrong.push(format!("{line}\n    {found:?}"));
                }
            }
            (got, _) => wrong.push(format!("{line}\n    {got:?}")),
        }
    }
    assert!(text.lines().count() > 1000);
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
