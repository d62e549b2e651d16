//! A source may hand out its series to several threads, in any order: what a query answers is the same.

use std::ops::ControlFlow;
use std::sync::Mutex;

use watchbell_model::{Labels, Matcher, Query, QueryError, Series, Span, Timestamp};
use watchbell_query::{Engine, EngineOptions, EvalError, MemorySeries, promql};

/// Series of a memory on two threads, last ones first.
struct Backwards(MemorySeries);

impl Query for Backwards {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        self.0.select(matchers, start, end)
    }

    fn batches(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        work: &(dyn Fn(usize, Vec<Series>) -> ControlFlow<()> + Sync),
    ) -> Result<(), QueryError> {
        let found = self.select(matchers, start, end)?;
        let batches: Vec<Vec<Series>> = found.chunks(3).map(<[Series]>::to_vec).collect();
        let left = Mutex::new(batches.into_iter().enumerate().collect::<Vec<_>>());
        let work_off = || {
            loop {
                let next = left.lock().unwrap().pop();
                let Some((place, series)) = next else { break };
                if work(place, series).is_break() {
                    left.lock().unwrap().clear();
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(work_off);
            work_off();
        });
        Ok(())
    }
}

fn memory() -> MemorySeries {
    let mut memory = MemorySeries::default();
    for series in 0..40_i64 {
        let name = ["a_total", "b"][series as usize % 2];
        let labels =
            Labels::metric(name, &[("host", &format!("{series:02}")), ("zone", ["x", "y"][series as usize / 20])]);
        for at in 0..200 {
            memory.put(&labels, at * 15_000, (series * 1000 + at * at % 97 * 31) as f64 / 7.0);
        }
    }
    memory
}

#[test]
fn answers_are_the_same_in_whatever_order_series_come() {
    let (memory, backwards) = (memory(), Backwards(memory()));
    let engine = Engine::default();
    let (start, end, step) = (Timestamp(300_000), Timestamp(2_900_000), Span::seconds(60));
    for text in [
        "b",
        "a_total - 1",
        "rate({host=~\".+\"}[5m])",
        "sum by (zone) (rate(a_total[5m]))",
        "avg(increase(b[7m]))",
        "deriv(b[10m])",
        "topk(3, avg_over_time(b[3m]))",
        "max_over_time(sum by (zone) (b)[10m:1m])",
        "quantile_over_time(2, b[5m])",
    ] {
        let expr = promql::parse(text).unwrap();
        let expected = engine.range_answer(&memory, &expr, start, end, step).unwrap();
        assert_eq!(engine.range_answer(&backwards, &expr, start, end, step).unwrap(), expected, "{text}");
        assert!(!expected.value.is_empty(), "{text}");
        let expected = engine.instant_answer(&memory, &expr, end).unwrap();
        assert_eq!(engine.instant_answer(&backwards, &expr, end).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_is_too_much_for_all_threads_together_is_refused() {
    let backwards = Backwards(memory());
    let engine = |samples_max| Engine::new(EngineOptions { samples_max, ..EngineOptions::default() });
    let expr = promql::parse("sum(last_over_time(b[1h]))").unwrap();
    let needed = engine(usize::MAX).instant_answer(&backwards, &expr, Timestamp(3_000_000)).unwrap().stats.peak;
    assert!(engine(needed).instant(&backwards, &expr, Timestamp(3_000_000)).is_ok());
    let error = engine(needed - 1).instant(&backwards, &expr, Timestamp(3_000_000)).unwrap_err();
    assert!(matches!(error, EvalError::TooMany { .. }), "{error}");
}
