//! What was written down of monitors and heartbeats, as minutes by stretch.
//!
//! Stretches that are over do not change: they are read once, from the store's sums where it keeps some, and then kept in
//! memory. After that a look costs what was written since the last whole stretch. A restart reads them again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use watchbell_model::{AlarmId, Labels, MatchOp, Matcher, Query, QueryError, Rollup, Span, Timestamp};

use super::days::{Minutes, Past};
use super::record::{MAINTENANCE, UP};

/// Samples may come late; a stretch is taken for over this much after its end.
const SETTLED: Duration = Duration::from_secs(120);
/// How many monitors and heartbeats one question is about, and how many milliseconds, so that its answer stays small.
const ALARMS_AT_ONCE: usize = 100;
const TIME_AT_ONCE: i64 = 10 * DAY_MS;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// Stretches that are over, by their width and the alarm.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<BTreeMap<(i64, AlarmId), Past>>);

impl History {
    /// The last `days` of these alarms up to `now`, and two days more, in stretches of `width`.
    pub(super) fn read(
        &self,
        query: &dyn Query,
        alarms: &[AlarmId],
        width: i64,
        days: u32,
        now: Timestamp,
    ) -> Result<BTreeMap<AlarmId, Past>, QueryError> {
        let behind = now.as_millis().div_euclid(width) + 1;
        let first = behind - (i64::from(days) + 2) * DAY_MS / width;
        let known = |alarm: &AlarmId| {
            let kept = self.0.lock().expect("no panic while held").get(&(width, alarm.clone())).cloned();
            let mut past =
                kept.filter(|past| past.first <= first).unwrap_or(Past { width, first, stretches: Vec::new() });
            let old = usize::try_from(first - past.first).unwrap_or(0).min(past.stretches.len());
            past.stretches.drain(..old);
            past.first = first;
            past
        };
        let mut pasts: BTreeMap<AlarmId, Past> = alarms.iter().map(|alarm| (alarm.clone(), known(alarm))).collect();
        let mut lacking: BTreeMap<i64, Vec<AlarmId>> = BTreeMap::new();
        for (alarm, past) in &mut pasts {
            lacking.entry(first + past.stretches.len() as i64).or_default().push(alarm.clone());
            past.stretches.resize((behind - first) as usize, Minutes::default());
        }
        for (from, alarms) in lacking {
            for alarms in alarms.chunks(ALARMS_AT_ONCE) {
                for from in (from..behind).step_by((TIME_AT_ONCE / width) as usize) {
                    let to = (from + TIME_AT_ONCE / width).min(behind);
                    let until = (to * width - 1).min(now.as_millis());
                    fill(query, alarms, &mut pasts, (from * width, until))?;
                }
            }
        }
        let over = usize::try_from((now - SETTLED).as_millis().div_euclid(width) - first).unwrap_or(0);
        let mut kept = self.0.lock().expect("no panic while held");
        for (alarm, past) in &pasts {
            let stretches = past.stretches[..over.min(past.stretches.len())].to_vec();
            kept.insert((width, alarm.clone()), Past { stretches, ..*past });
        }
        Ok(pasts)
    }

    /// Forgets what is not shown any more.
    pub(super) fn retain(&self, shown: impl Fn(&AlarmId) -> bool) {
        self.0.lock().expect("no panic while held").retain(|(_, alarm), _| shown(alarm));
    }
}

/// Adds what is written down from one millisecond to another.
fn fill(
    query: &dyn Query,
    alarms: &[AlarmId],
    pasts: &mut BTreeMap<AlarmId, Past>,
    (from, to): (i64, i64),
) -> Result<(), QueryError> {
    let names = of(alarms)?;
    let mut add = |metric: &str, put: fn(&mut Minutes, &Rollup)| -> Result<(), QueryError> {
        let matchers = [Matcher::equal(Labels::NAME, metric), names.clone()];
        let Some(width) = pasts.values().next().map(|past| past.width) else { return Ok(()) };
        let found = query.rollup(&matchers, Timestamp(from), Timestamp(to), Span::millis(width.unsigned_abs()))?;
        for (labels, rollups) in found {
            let Some(past) = labels.get("alarm").and_then(|alarm| pasts.get_mut(alarm)) else { continue };
            for rollup in rollups {
                let place = rollup.start.as_millis().div_euclid(width) - past.first;
                if let Some(minutes) = usize::try_from(place).ok().and_then(|place| past.stretches.get_mut(place)) {
                    put(minutes, &rollup);
                }
            }
        }
        Ok(())
    };
    add(UP, |minutes, rollup| {
        let up = rollup.sum.round() as u32;
        (minutes.up, minutes.down) = (minutes.up + up, minutes.down + count(rollup).saturating_sub(up));
    })?;
    add(MAINTENANCE, |minutes, rollup| minutes.maintenance += count(rollup))
}

/// Samples of the last minutes up to and with `now`, minute by minute.
pub(super) fn recent(
    query: &dyn Query,
    alarms: &[AlarmId],
    minutes: i64,
    now: Timestamp,
) -> Result<BTreeMap<AlarmId, BTreeMap<Timestamp, Minute>>, QueryError> {
    let from = Timestamp(now.as_millis() - (minutes - 1) * MINUTE_MS);
    let mut found: BTreeMap<AlarmId, BTreeMap<Timestamp, Minute>> = BTreeMap::new();
    for alarms in alarms.chunks(ALARMS_AT_ONCE) {
        let names = of(alarms)?;
        for metric in [UP, MAINTENANCE] {
            for series in query.select(&[Matcher::equal(Labels::NAME, metric), names.clone()], from, now)? {
                let Some(alarm) = series.labels.get("alarm") else { continue };
                let place = found.entry(alarm.to_owned()).or_default();
                place.extend(series.samples.iter().filter(|sample| !sample.value.is_nan()).map(|sample| {
                    let minute = match metric {
                        MAINTENANCE => Minute::Maintenance,
                        _ if sample.value > 0.0 => Minute::Up,
                        _ => Minute::Down,
                    };
                    (sample.timestamp, minute)
                }));
            }
        }
    }
    Ok(found)
}

/// What was written down of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Minute {
    Up,
    Down,
    Maintenance,
}

/// The series of these alarms.
fn of(alarms: &[AlarmId]) -> Result<Matcher, QueryError> {
    let pattern = alarms.iter().map(|alarm| literal(alarm)).collect::<Vec<_>>().join("|");
    Matcher::new("alarm", MatchOp::Regex, pattern).map_err(|error| QueryError::Unavailable(error.to_string()))
}

fn count(rollup: &Rollup) -> u32 {
    u32::try_from(rollup.count).unwrap_or(u32::MAX)
}

/// A name as a regular expression that fits it alone.
fn literal(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '_' | ' ' | '<' | '>') || !c.is_ascii();
    name.chars().flat_map(|c| (!plain(c)).then_some('\\').into_iter().chain([c])).collect()
}
