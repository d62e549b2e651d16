//! When probes happen.

use std::time::Duration;

use expect_test::{Expect, expect};

use super::super::MonitorConfig;
use super::super::schedule::Schedule;

fn monitors(count: usize) -> impl Iterator<Item = MonitorConfig> {
    (0..count).map(|at| MonitorConfig::new(format!("monitor {at}")))
}

/// How many of the times fall into each of `parts` parts of `range`: the least and the most.
fn spread(times: &[Duration], range: Duration, parts: usize) -> (usize, usize) {
    let mut counts = vec![0; parts];
    for time in times {
        counts[(time.as_secs_f64() / range.as_secs_f64() * parts as f64) as usize] += 1;
    }
    (*counts.iter().min().unwrap(), *counts.iter().max().unwrap())
}

#[test]
fn a_thousand_monitors_are_spread() {
    let mut schedules: Vec<Schedule> = monitors(1000).map(|config| Schedule::new(&config, Duration::ZERO)).collect();
    let first: Vec<Duration> = schedules.iter().map(Schedule::next).collect();
    assert!(first.iter().all(|time| *time < Duration::from_secs(10)));
    let (least, most) = spread(&first, Duration::from_secs(10), 10);
    assert!(least >= 70 && most <= 130, "100 are expected in each second, but there are {least} to {most}");

    // After the first round each has its place in the minute, and keeps it.
    let round = |schedules: &mut Vec<Schedule>| -> Vec<Duration> {
        let mut times = Vec::new();
        for schedule in schedules {
            let now = schedule.next();
            schedule.done(now, now + Duration::from_millis(250), true);
            assert!(schedule.next() - now <= Duration::from_millis(60_250));
            times.push(schedule.next());
        }
        times
    };
    let second = round(&mut schedules);
    let (least, most) = spread(&second, Duration::from_secs(70), 7);
    assert!(least > 0 && most <= 220, "{least} to {most}");
    let third = round(&mut schedules);
    let fourth = round(&mut schedules);
    assert!(third.iter().zip(&fourth).all(|(a, b)| *b - *a == Duration::from_secs(60)));
}

/// Plays probes (`+` success, `-` failure, each lasting `lasting` ms) and tells when each begins, from the first on.
fn check(config: &str, lasting: u64, outcomes: &str, expected: Expect) {
    let mut config: serde_json::Value = serde_json::from_str(config).unwrap();
    config["name"] = "m".into();
    let config: MonitorConfig = serde_json::from_value(config).unwrap();
    let mut schedule = Schedule::new(&config, Duration::ZERO);
    let first = schedule.next();
    let mut told = Vec::new();
    for outcome in outcomes.chars() {
        let began = schedule.next();
        told.push(format!("{outcome}{:.1}", (began - first).as_secs_f64()));
        schedule.done(began, began + Duration::from_millis(lasting), outcome == '+');
    }
    expected.assert_eq(&told.join(" "));
}

#[test]
fn cadence_and_retries() {
    // No drift, however long a probe takes.
    check("{}", 5000, "+++++", expect!["+0.0 +45.0 +105.0 +165.0 +225.0"]);
    // Two retries, then the usual cadence while it is down; a success begins anew.
    check("{}", 0, "+------+--+", expect!["+0.0 -45.0 -65.0 -85.0 -105.0 -165.0 -225.0 +285.0 -345.0 -365.0 +385.0"]);
    check(r#"{"retries": 0}"#, 0, "+---+", expect!["+0.0 -45.0 -105.0 -165.0 +225.0"]);
    check(
        r#"{"interval": "4h", "retry_interval": "5s"}"#,
        0,
        "+----+",
        expect!["+0.0 -12949.8 -12954.8 -12959.8 -27349.8 +41749.8"],
    );
    // A probe that outlasts the time to retry: the next begins when it ends.
    check(
        r#"{"interval": "10s", "retry_interval": "1s", "timeout": "8s"}"#,
        8000,
        "+----",
        expect!["+0.0 -10.0 -18.0 -26.0 -40.0"],
    );
    // A probe that outlasts the interval (the machine slept): places that passed are left out.
    check(r#"{"interval": "10s"}"#, 25_000, "+++", expect!["+0.0 +30.0 +60.0"]);
}

#[test]
fn defaults_follow_the_interval() {
    let told: Vec<String> = ["1s", "9s", "60s", "4h"]
        .iter()
        .map(|interval| {
            let config = MonitorConfig { interval: interval.parse().unwrap(), ..MonitorConfig::new("m") };
            format!("{interval}: timeout {}, retry {}", config.probe_timeout(), config.time_to_retry())
        })
        .collect();
    expect![[r#"
        1s: timeout 800ms, retry 333ms
        9s: timeout 7s200ms, retry 3s
        60s: timeout 10s, retry 20s
        4h: timeout 10s, retry 20s"#]]
    .assert_eq(&told.join("\n"));
}
