//! The bars of a monitor's last day: how many probes succeeded in each half hour.
//!
//! A half hour that is over does not change, so it is read once and kept; only the last one is read each time. Ten
//! thousand monitors then cost one half hour per look, not a day.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use watchbell_model::{Matcher, Query, QueryError, Timestamp, is_stale};

/// How many bars there are.
pub(crate) const BARS: usize = 48;
/// How much time a bar stands for.
const WIDTH_MS: i64 = 30 * 60 * 1000;
/// Samples may come late; a half hour is taken for over this much after its end.
const SETTLED: Duration = Duration::from_secs(120);

/// Probes of one monitor in one half hour: how many succeeded, of how many.
type Tally = BTreeMap<String, (u32, u32)>;

/// Half hours that are over.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    over: Mutex<BTreeMap<i64, Arc<Tally>>>,
}

/// The last day of all monitors.
pub(crate) struct Day(Vec<Arc<Tally>>);

impl Bars {
    /// The day that ends at `now`.
    pub(crate) fn read(&self, query: &dyn Query, now: Timestamp) -> Result<Day, QueryError> {
        let last = now.as_millis().div_euclid(WIDTH_MS) * WIDTH_MS;
        let first = last - (BARS as i64 - 1) * WIDTH_MS;
        let known = {
            let mut over = self.over.lock().expect("no panic while held");
            over.retain(|start, _| *start >= first);
            over.clone()
        };
        let mut day = Vec::with_capacity(BARS);
        for start in (first..=last).step_by(WIDTH_MS as usize) {
            let tally = match known.get(&start) {
                Some(tally) => Arc::clone(tally),
                None => {
                    let end = Timestamp(start + WIDTH_MS - 1);
                    let tally = Arc::new(tally(query, Timestamp(start), end)?);
                    if now > end + SETTLED {
                        self.over.lock().expect("no panic while held").insert(start, Arc::clone(&tally));
                    }
                    tally
                }
            };
            day.push(tally);
        }
        Ok(Day(day))
    }
}

impl Day {
    /// Nothing known.
    pub(crate) fn empty() -> Day {
        Day(vec![Arc::default(); BARS])
    }

    /// The share that succeeded per half hour, oldest first.
    pub(crate) fn bars(&self, monitor: &str) -> Vec<Option<f64>> {
        self.0.iter().map(|tally| tally.get(monitor).map(|(good, all)| f64::from(*good) / f64::from(*all))).collect()
    }

    /// The share that succeeded in the whole day.
    pub(crate) fn availability(&self, monitor: &str) -> Option<f64> {
        let all = self.0.iter().filter_map(|tally| tally.get(monitor));
        let (good, all) = all.fold((0, 0), |(good, all), (more_good, more)| (good + more_good, all + more));
        (all > 0).then(|| f64::from(good) / f64::from(all))
    }
}

fn tally(query: &dyn Query, start: Timestamp, end: Timestamp) -> Result<Tally, QueryError> {
    let mut tally = Tally::new();
    for series in query.select(&[Matcher::equal("__name__", "probe_success")], start, end)? {
        let Some(monitor) = series.labels.get("monitor") else { continue };
        let samples = series.samples.iter().filter(|sample| !is_stale(sample.value));
        let (good, all) = samples.fold((0, 0), |(good, all), sample| (good + u32::from(sample.value > 0.0), all + 1));
        if all > 0 {
            let sum = tally.entry(monitor.to_owned()).or_default();
            *sum = (sum.0 + good, sum.1 + all);
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use watchbell_model::{Labels, Sample, Series};

    use super::*;

    /// A probe every ten minutes since the epoch; those in the second half hour fail. Counts how often it is asked.
    #[derive(Default)]
    struct Probes(AtomicUsize);

    impl Query for Probes {
        fn select(&self, _: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let value = |at: i64| f64::from(u8::from(at.div_euclid(WIDTH_MS) != 1));
            let samples: Vec<Sample> = (start.0..=end.0)
                .step_by(600_000)
                .filter(|at| *at >= 0)
                .map(|at| Sample { timestamp: Timestamp(at), value: value(at) })
                .collect();
            let labels = Labels::metric("probe_success", &[("monitor", "imap")]);
            Ok(if samples.is_empty() { Vec::new() } else { vec![Series::new(labels, samples)] })
        }
    }

    #[test]
    fn half_hours_that_are_over_are_read_once() {
        let (bars, probes) = (Bars::default(), Probes::default());
        let now = Timestamp(3 * WIDTH_MS + 300_000);
        let day = bars.read(&probes, now).unwrap();
        assert_eq!(day.bars("imap")[BARS - 5..], [None, Some(1.0), Some(0.0), Some(1.0), Some(1.0)]);
        assert_eq!(day.availability("imap"), Some(9.0 / 12.0));
        assert_eq!((day.bars("other"), day.availability("other")), (vec![None; BARS], None));
        assert_eq!(probes.0.load(Ordering::SeqCst), BARS);
        bars.read(&probes, now + Duration::from_secs(60)).unwrap();
        assert_eq!(probes.0.load(Ordering::SeqCst), BARS + 1);
        // Half an hour later the one that is over by now is read a last time, and the new one.
        bars.read(&probes, now + Duration::from_secs(1800)).unwrap();
        assert_eq!(probes.0.load(Ordering::SeqCst), BARS + 3);
        // What fell out of the day is forgotten.
        assert_eq!(bars.over.lock().unwrap().len(), BARS - 1);
    }
}
