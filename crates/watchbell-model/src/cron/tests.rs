use expect_test::expect;

use super::*;

/// The next three times, in UTC.
fn next(expr: &str, zone: &str, after: &str) -> String {
    let (cron, zone): (Cron, _) = (expr.parse().unwrap(), TimeZone::get(zone).unwrap());
    let mut at = Timestamp::parse_rfc3339(after).unwrap();
    let mut times = Vec::new();
    for _ in 0..3 {
        match cron.next(at, &zone) {
            Some(found) => at = found,
            None => break,
        }
        times.push(at.to_string().replace(":00.000Z", ""));
    }
    times.join(" ")
}

#[test]
fn fields_mean_what_cron_means() {
    let cases = [
        ("0 3 * * SUN", "2026-11-20T00:00:00Z"),
        ("*/20 * * * *", "2026-11-20T00:00:00Z"),
        ("50/5 22 1,15 * *", "2026-11-20T00:00:00Z"),
        ("0 0 L * *", "2026-01-30T00:00:00Z"),
        ("0 0 LW * *", "2026-01-30T00:00:00Z"),
        ("0 0 * * FRI#3", "2026-11-20T00:00:00Z"),
        ("0 0 * * 5L", "2026-11-20T00:00:00Z"),
        // Either day, or both.
        ("0 0 13 * FRI", "2026-11-12T00:00:00Z"),
        ("0 0 */2 * FRI", "2026-11-12T00:00:00Z"),
        ("0 0 29 2 *", "2026-11-12T00:00:00Z"),
        ("30 0 0 1 JAN *", "2026-11-12T00:00:00Z"),
        ("0 0 30 2,4 *", "2026-11-12T00:00:00Z"),
    ];
    let told: String = cases.map(|(expr, after)| format!("{expr}: {}\n", next(expr, "UTC", after))).concat();
    expect![[r#"
        0 3 * * SUN: 2026-11-22T03:00 2026-11-29T03:00 2026-12-06T03:00
        */20 * * * *: 2026-11-20T00:20 2026-11-20T00:40 2026-11-20T01:00
        50/5 22 1,15 * *: 2026-12-01T22:50 2026-12-01T22:55 2026-12-15T22:50
        0 0 L * *: 2026-01-31T00:00 2026-02-28T00:00 2026-03-31T00:00
        0 0 LW * *: 2026-02-27T00:00 2026-03-31T00:00 2026-04-30T00:00
        0 0 * * FRI#3: 2026-12-18T00:00 2027-01-15T00:00 2027-02-19T00:00
        0 0 * * 5L: 2026-11-27T00:00 2026-12-25T00:00 2027-01-29T00:00
        0 0 13 * FRI: 2026-11-13T00:00 2026-11-20T00:00 2026-11-27T00:00
        0 0 */2 * FRI: 2026-11-13T00:00 2026-11-27T00:00 2026-12-11T00:00
        0 0 29 2 *: 2028-02-29T00:00 2032-02-29T00:00 2036-02-29T00:00
        30 0 0 1 JAN *: 2027-01-01T00:00:30.000Z 2028-01-01T00:00:30.000Z 2029-01-01T00:00:30.000Z
        0 0 30 2,4 *: 2027-04-30T00:00 2028-04-30T00:00 2029-04-30T00:00
    "#]]
    .assert_eq(&told);
}

#[test]
fn times_of_day_come_once_where_clocks_change() {
    let cases = [
        // Clocks go from 2:00 to 3:00 in the night of 29 March, and from 3:00 to 2:00 in that of 25 October.
        ("30 2 * * *", "2026-03-28T12:00:00Z"),
        ("30 2 * * *", "2026-10-24T12:00:00Z"),
        ("*/30 2 * * *", "2026-10-24T12:00:00Z"),
        ("0 * * * *", "2026-03-29T00:30:00Z"),
        ("0 * * * *", "2026-10-24T23:30:00Z"),
    ];
    let told: String = cases.map(|(expr, after)| format!("{expr}: {}\n", next(expr, "Europe/Berlin", after))).concat();
    expect![[r#"
        30 2 * * *: 2026-03-29T01:00 2026-03-30T00:30 2026-03-31T00:30
        30 2 * * *: 2026-10-25T00:30 2026-10-26T01:30 2026-10-27T01:30
        */30 2 * * *: 2026-10-25T00:00 2026-10-25T00:30 2026-10-25T01:00
        0 * * * *: 2026-03-29T01:00 2026-03-29T02:00 2026-03-29T03:00
        0 * * * *: 2026-10-25T00:00 2026-10-25T01:00 2026-10-25T02:00
    "#]]
    .assert_eq(&told);
}

#[test]
fn what_is_none_is_said() {
    let cases = [
        "@daily",
        "* * * *",
        "60 * * * *",
        "* 5-3 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * foo *",
        "* * * * FRI#6",
        "*/0 * * * *",
        "* * 31 2 *",
        "* * * * L",
        "+5 * * * *",
        "1,, * * * *",
        "",
    ];
    let told: String = cases.map(|text| format!("{text}: {}\n", text.parse::<Cron>().unwrap_err())).concat();
    expect![[r#"
        @daily: a cron expression has five fields (minute, hour, day of month, month, day of week), and here are 1
        * * * *: a cron expression has five fields (minute, hour, day of month, month, day of week), and here are 4
        60 * * * *: `60` is no minute; it is 0 to 59
        * 5-3 * * *: `5-3` is no hour; it is 0 to 23
        * * 0 * *: `0` is no day of month; it is 1 to 31
        * * * 13 *: `13` is no month; it is 1 to 12
        * * * foo *: `foo` is no month; it is 1 to 12
        * * * * FRI#6: `FRI#6` is no day of week; it is 0 to 7
        */0 * * * *: `*/0` is no minute; it is 0 to 59
        * * 31 2 *: there is no such day in any of those months
        * * * * L: `L` is no day of week; it is 0 to 7
        +5 * * * *: `+5` is no minute; it is 0 to 59
        1,, * * * *: `` is no minute; it is 0 to 59
        : a cron expression has five fields (minute, hour, day of month, month, day of week), and here are 0
    "#]]
    .assert_eq(&told);
}

/// Where cronsim is not followed: from 2.8 on it takes a day that no month has beside a day of the week, as cron does; and
/// where clocks change by half an hour, it looks for hours at half past.
const ELSE: [&str; 13] = [
    "33 * 31 4 1#2",
    "*/5 9-20 31 11 5,4",
    "37-51/2 * 31 11 0",
    "* * 31 4 0",
    "* 6-7 30 2 1-6",
    "49 * 31 2-4/3 4,0",
    "* 20 * * */10",
    "8 */10 * 4 7",
    "49 * * * *",
    "* 16 26-28/4 * 0",
    "*/7 15-16/2 7 1-6 6",
    "0,4,33,21 */2 * * */5",
    "* 8 * * */2",
];

/// What cronsim answers.
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
fn conformance_of_cron_expressions() {
    let folder = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| std::path::PathBuf::from("../../../shared/conformance"), Into::into);
    let file = folder.join("schedules/cron_corpus.jsonl");
    #[expect(clippy::disallowed_methods, reason = "a test reads recorded cases")]
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: there is no {}; name a folder in WATCHBELL_CONFORMANCE", file.display());
        return;
    };
    let mut wrong = Vec::new();
    for line in text.lines() {
        let case: Recorded = serde_json::from_str(line).unwrap();
        if ELSE.contains(&case.expr.as_str()) {
            continue;
        }
        let zone = TimeZone::get(&case.tz).unwrap();
        match (case.expr.parse::<Cron>(), &case.error) {
            (Err(_), Some(_)) => {}
            (Ok(cron), None) => {
                let mut at = Timestamp::parse_rfc3339(&case.start).unwrap();
                let expected = case.next.iter().map(|text| Timestamp::parse_rfc3339(text).unwrap());
                for expected in expected {
                    match cron.next(at, &zone) {
                        Some(found) if found == expected => at = found,
                        other => {
                            wrong.push(format!("{line}\n    after {at}: {other:?}"));
                            break;
                        }
                    }
                }
            }
            (got, _) => wrong.push(format!("{line}\n    {got:?}")),
        }
    }
    assert!(text.lines().count() > 1000);
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
