//! Our own scripts, and what scripts cannot say: limits, failures of the source, texts made at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;
use watchbell_model::{Labels, Matcher, Query, QueryError, Series, Span, Timestamp};
use watchbell_query::promql::{NESTING_MAX, OPERATORS_MAX, functions, parse};
use watchbell_query::{Engine, EngineOptions, EvalError, Value};

use crate::script::run;
use watchbell_query::MemorySeries;

/// Every evaluation of a script must pass.
pub(crate) fn check(script: &str) {
    let outcomes = run(script);
    let wrong = outcomes.iter().filter_map(|outcome| {
        let problem = outcome.result.as_ref().err()?;
        Some(format!("line {}: {}: {problem}", outcome.line, outcome.text))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(outcomes.len() > 3, "a script that asks nothing proves nothing");
}

#[test]
fn selectors_look_back_five_minutes_and_stop_at_markers() {
    check(
        r#"
load 1m
  queue{host="a"} 1 2 3 stale _ 6
  queue{host="b"} 10 _ _ _ _ _ _
  other{host="a"} 7 7 7 7

eval instant at 1m queue
  queue{host="a"} 2
  queue{host="b"} 10

eval instant at 3m queue
  queue{host="b"} 10

eval instant at 4m59s queue
  queue{host="b"} 10

eval instant at 5m queue
  queue{host="a"} 6

eval instant at 5m queue offset 3m
  queue{host="a"} 3
  queue{host="b"} 10

eval instant at 0m queue{host="a"} offset -2m
  queue{host="a"} 3

eval instant at 100m queue{host=~"a|c"} @ 60
  queue{host="a"} 2

eval instant at 1m {__name__=~"qu.+", host!="a"}
  queue{host="b"} 10

eval range from 0m to 6m step 1m queue{host="a"}
  queue{host="a"} 1 2 3 _ _ 6 6

eval instant at 2m queue[2m]
  expect range vector from 1m to 2m step 1m
  queue{host="a"} 2 3

eval instant at 3m queue{host="a"}[3m]
  expect range vector from 1m to 2m step 1m
  queue{host="a"} 2 3

eval range from 1m to 3m step 1m queue{host="a"} @ end() or queue{host="a"} @ start()
  queue{host="a"} 2 2 2
"#,
    );
}

#[test]
fn rates_stretch_to_the_window_and_add_resets() {
    check(
        r#"
load 1m
  pages_total 0 60 120 180 240 300
  reset_total 100 160 10 70
  gauge 5 3 4 8 2 2
  late_total _ _ _ 50 110 170

eval instant at 5m rate(pages_total[5m])
  {} 1

eval instant at 5m increase(pages_total[2m])
  {} 120

eval instant at 3m increase(reset_total[4m])
  {} 173.33333333333334

eval instant at 5m increase(late_total[5m])
  {} 150

eval instant at 5m irate(pages_total[2m])
  {} 1

eval instant at 2m irate(reset_total[2m])
  {} 0.16666666666666666

eval instant at 5m delta(gauge[2m])
  {} 0

eval instant at 5m idelta(gauge[5m])
  {} 0

eval instant at 5m deriv(pages_total[5m])
  {} 1

eval instant at 5m predict_linear(pages_total[5m], 60)
  {} 360

eval instant at 5m resets(reset_total[6m])
  {} 1

eval instant at 5m changes(gauge[6m])
  {} 4

eval instant at 5m rate(gauge[5m])
  expect info msg: PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "gauge" (1:6)
  {} 0.029166666666666667

eval instant at 0m rate(pages_total[5m])

eval range from 2m to 4m step 1m rate(pages_total[2m])
  {} 1 1 1
"#,
    );
}

#[test]
fn windows_are_summed_up() {
    check(
        r#"
load 10s
  load1{host="a"} 1 5 2 NaN 4
  big 1 1e100 1 -1e100

eval instant at 20s avg_over_time(load1[30s])
  {host="a"} 2.6666666666666665

eval instant at 40s sum_over_time(load1[20s])
  {host="a"} NaN

eval instant at 40s max_over_time(load1[1m])
  {host="a"} 5

eval instant at 40s min_over_time(load1[1m])
  {host="a"} 1

eval instant at 40s count_over_time(load1[1m])
  {host="a"} 5

eval instant at 40s last_over_time(load1[1m])
  load1{host="a"} 4

eval instant at 40s first_over_time(load1[1m])
  load1{host="a"} 1

eval instant at 20s quantile_over_time(0.25, load1[1m])
  {host="a"} 1.5

eval instant at 20s quantile_over_time(2, load1[1m])
  expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)
  {host="a"} Inf

eval instant at 20s stddev_over_time(load1[1m])
  {host="a"} 1.699673171197595

eval instant at 20s mad_over_time(load1[1m])
  {host="a"} 1

eval instant at 40s ts_of_max_over_time(load1[1m])
  {host="a"} 10

eval instant at 30s sum_over_time(big[1m])
  {} 2

eval instant at 30s present_over_time(big[1m]) + absent_over_time(none{job="x"}[1m]) * 0
  expect no_warn

eval instant at 30s absent_over_time(none{job="x", host=~"a"}[1m])
  {job="x"} 1

eval range from 0s to 50s step 10s absent_over_time(load1[10s])
  {} _ _ _ _ _ 1

eval instant at 1m double_exponential_smoothing(load1[1m], 2, 0.5)
  expect fail msg: invalid smoothing factor. Expected: 0 < sf < 1, got: 2.000000
"#,
    );
}

#[test]
fn elements_meet_by_labels() {
    check(
        r#"
load 1m
  used{host="a", disk="1"} 30 31 32
  used{host="a", disk="2"} 10 11 12
  used{host="b", disk="1"} 5 5 5
  size{host="a", disk="1"} 60 60 60
  size{host="a", disk="2"} 20 20 20
  owner{host="a", team="mail"} 1 1 1
  owner{host="b", team="web"} 1 1 1

eval instant at 0m used / size
  {host="a", disk="1"} 0.5
  {host="a", disk="2"} 0.5

eval instant at 0m used > 8
  used{host="a", disk="1"} 30
  used{host="a", disk="2"} 10

eval instant at 0m 8 > bool used
  {host="a", disk="1"} 0
  {host="a", disk="2"} 0
  {host="b", disk="1"} 1

eval instant at 0m 8 < used
  used{host="a", disk="1"} 30
  used{host="a", disk="2"} 10

eval instant at 0m used * on (host) group_left (team) owner
  {host="a", disk="1", team="mail"} 30
  {host="a", disk="2", team="mail"} 10
  {host="b", disk="1", team="web"} 5

eval instant at 0m owner * on (host) group_right () used
  {host="a", disk="1"} 30
  {host="a", disk="2"} 10
  {host="b", disk="1"} 5

eval instant at 0m used == on (host) owner
  expect fail msg: multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)

eval instant at 0m owner == on (host) used
  expect fail regex: found duplicate series for the match group \{host="a"\} on the right hand-side

eval instant at 0m used and on (host) owner{team="web"}
  used{host="b", disk="1"} 5

eval instant at 0m used unless size
  used{host="b", disk="1"} 5

eval instant at 0m size or used
  size{host="a", disk="1"} 60
  size{host="a", disk="2"} 20
  used{host="b", disk="1"} 5

eval instant at 0m used{host="a"} - ignoring (disk, team) group_left (team) owner * 0
  {host="a", disk="1", team="mail"} 30
  {host="a", disk="2", team="mail"} 10

eval range from 0m to 2m step 1m used{disk="1"} > 30
  used{host="a", disk="1"} _ 31 32

eval range from 0m to 2m step 1m (used > 30) or (used == 5)
  used{host="a", disk="1"} _ 31 32
  used{host="b", disk="1"} 5 5 5

eval instant at 0m -used{host="b"} ^ 2 % 7
  {host="b", disk="1"} -4

eval instant at 0m label_replace({__name__=~"used|size", disk="1", host="a"}, "x", "", "", "") + 0
  expect fail msg: vector cannot contain metrics with the same labelset
"#,
    );
}

#[test]
fn missing_elements_are_filled_in() {
    check(
        r#"
load 1m
  done{queue="a"} 1 2
  done{queue="b"} 5 _ stale
  lost{queue="a"} 10 10
  lost{queue="c"} 7 _ 7

eval instant at 0m done + fill (0) lost
  {queue="a"} 11
  {queue="b"} 5
  {queue="c"} 7

eval instant at 0m done - on (queue) fill_right (1) lost
  {queue="a"} -9
  {queue="b"} 4

eval instant at 0m lost / on (queue) group_right () fill_left (2) fill_right (-1) done
  {queue="a"} 10
  {queue="b"} -0.2
  {queue="c"} 3.5

eval range from 0m to 2m step 1m done >= bool fill_left (-Inf) lost
  {queue="a"} 0 0 0
  {queue="c"} 0 0 0
"#,
    );
}

#[test]
fn ranges_reach_beyond_their_ends() {
    check(
        r#"
load 30s
  jobs_total 0 10 20 5 15

eval instant at 45s increase(jobs_total[30s] anchored)
  {} 10

eval instant at 45s increase(jobs_total[30s] smoothed)
  {} 10

eval instant at 75s rate(jobs_total[30s] smoothed)
  {} 0.25

eval instant at 2m resets(jobs_total[90s] anchored)
  {} 1

eval instant at 40s jobs_total smoothed
  jobs_total 13.333333333333334

eval instant at 45s jobs_total[30s] smoothed
  expect range vector from 15s to 45s step 15s
  jobs_total 5 10 15

eval instant at 2m deriv(jobs_total[1m] smoothed)
  expect fail msg: smoothed modifier can only be used with: delta, increase, rate - not with deriv
"#,
    );
}

#[test]
fn groups_are_aggregated() {
    check(
        r#"
load 1m
  up{job="mail", host="a"} 1 1 0
  up{job="mail", host="b"} 0 1 0
  up{job="web", host="a"} 1 NaN 1

eval instant at 0m sum by (job) (up)
  {job="mail"} 1
  {job="web"} 1

eval instant at 0m count(up == 0)
  {} 1

eval instant at 0m avg without (host) (up)
  {job="mail"} 0.5
  {job="web"} 1

eval instant at 0m sum by (__name__, job) (up)
  up{job="mail"} 1
  up{job="web"} 1

eval instant at 1m max(up)
  {} 1

eval instant at 0m min by (nothing) (up)
  {} 0

eval instant at 0m group(up)
  {} 1

eval instant at 0m stddev(up)
  {} 0.4714045207910317

eval instant at 0m stdvar(up)
  {} 0.2222222222222222

eval instant at 0m quantile(0.75, up)
  {} 1

eval instant at 0m count_values("state", up)
  {state="0"} 1
  {state="1"} 2

eval instant at 0m topk(1, up)
  up{job="mail", host="a"} 1

eval_ordered instant at 0m bottomk(2, up)
  up{job="mail", host="b"} 0
  up{job="web", host="a"} 1

eval instant at 1m topk by (job) (1, up)
  up{job="mail", host="a"} 1
  up{job="web", host="a"} NaN

eval range from 0m to 2m step 1m topk(1, up{job="mail"})
  up{job="mail", host="a"} 1 1 0

eval range from 0m to 2m step 1m sum(up{job="mail"})
  {} 1 2 0

eval instant at 0m topk(NaN, up)
  expect fail msg: Parameter value is NaN

eval instant at 0m limitk(2, up)
  up{job="mail", host="a"} 1
  up{job="web", host="a"} 1

eval instant at 0m count(limit_ratio(0.3, up) or limit_ratio(-0.7, up))
  {} 3

eval_ordered instant at 0m sort_desc(up)
  up{job="mail", host="a"} 1
  up{job="web", host="a"} 1
  up{job="mail", host="b"} 0

eval_ordered instant at 0m sort_by_label_desc(up, "job", "host")
  up{job="web", host="a"} 1
  up{job="mail", host="b"} 0
  up{job="mail", host="a"} 1
"#,
    );
}

#[test]
fn functions_change_values_labels_and_types() {
    check(
        r#"
load 1m
  x{host="a-1"} -2.5 2.5
  t 1709210096 0

eval instant at 0m abs(x) + ceil(x) + floor(x)
  {host="a-1"} -2.5

eval instant at 0m clamp(x, -1, 1)
  {host="a-1"} -1

eval instant at 0m clamp(x, 1, -1)

eval instant at 0m round(x, 2)
  {host="a-1"} -2

eval instant at 0m sgn(x) * sqrt(vector(16))

eval instant at 0m sgn(x) * on () sqrt(vector(16))
  {} -4

eval instant at 0m label_replace(x, "host", "$2-$1", "host", "(.*)-(.*)")
  x{host="1-a"} -2.5

eval instant at 0m label_join(x, "both", "/", "host", "none", "host")
  x{host="a-1", both="a-1//a-1"} -2.5

eval instant at 0m label_replace(x, "", "y", "host", ".*")
  expect fail msg: invalid destination label name in label_replace(): ""

eval instant at 0m absent(x)

eval instant at 0m absent(y{a="1", b="2", b="3"})
  {a="1"} 1

eval instant at 0m scalar(x)
  -2.5

eval instant at 0m scalar(none)
  NaN

eval instant at 30s time() + pi() * 0
  30

eval instant at 30s timestamp(x)
  {host="a-1"} 0

eval instant at 0m year(t) * 10000 + month(t) * 100 + day_of_month(t)
  {} 20240229

eval instant at 0m hour(t) * 100 + minute(t)
  {} 1234

eval instant at 0m day_of_week(t) * 1000 + day_of_year(t)
  {} 4060

eval instant at 1d2h hour() + days_in_month() * 0 + 1
  {} 3

eval instant at 0m "a text"
  expect string "a text"

eval instant at 0m 1 + 2 * 3 ^ 2 / 4 % 3
  2.5

eval instant at 0m min_of(1, 2) - max_of(1, 2)
  -1
"#,
    );
}

#[test]
fn histograms_and_subqueries() {
    check(
        r#"
load 1m
  seconds_bucket{le="1"} 0 10 20 30
  seconds_bucket{le="2"} 0 30 60 90
  seconds_bucket{le="+Inf"} 0 40 80 120
  bad_bucket{le="one"} 1 1 1 1
  dip_bucket{le="1"} 10 10 10 10
  dip_bucket{le="2"} 5 5 5 5
  dip_bucket{le="+Inf"} 20 20 20 20

eval instant at 3m histogram_quantile(0.5, seconds_bucket)
  {} 1.5

eval instant at 3m histogram_quantile(0.9, rate(seconds_bucket[3m]))
  {} 2

eval instant at 3m histogram_quantiles(seconds_bucket, "q", 0.25, 0.5)
  {q="0.25"} 1
  {q="0.5"} 1.5

eval instant at 3m histogram_fraction(0, 1.5, seconds_bucket)
  {} 0.5

eval instant at 3m histogram_quantile(0.5, bad_bucket)
  expect warn msg: PromQL warning: bucket label "le" is missing or has a malformed value of "one" for metric name "bad_bucket" (1:25)

eval instant at 3m histogram_quantile(0.5, dip_bucket)
  expect info regex: needed to be fixed for monotonicity .* for metric name "dip_bucket", from buckets 2 to 2, with a max diff of 5, over \d+ samples .*\(1:25\)
  {} 1

eval instant at 3m histogram_count(seconds_bucket)

eval instant at 3m max_over_time(seconds_bucket{le="1"}[2m:1m])
  {le="1"} 30

eval instant at 3m sum_over_time(rate(seconds_bucket{le="1"}[1m1s])[2m:1m])
  {le="1"} 0.33333333333333337

eval range from 2m to 3m step 1m avg_over_time(seconds_bucket{le="2"}[2m:30s] offset 30s)
  {le="2"} 15 45

eval instant at 10m count_over_time(seconds_bucket{le="1"}[3m:1m] @ 180)
  {le="1"} 3

eval instant at 3m count_over_time(vector(1)[2m:])
  {} 2

eval instant at 3m count_over_time(seconds_bucket{le="1"}[min_of(1m, 2m) * 2 + 30s])
  {le="1"} 3
"#,
    );
}

/// Reads nothing, or fails, and counts how often it was asked.
#[derive(Default)]
struct Odd {
    fails: bool,
    asked: AtomicUsize,
}

impl Query for Odd {
    fn select(&self, _: &[Matcher], _: Timestamp, _: Timestamp) -> Result<Vec<Series>, QueryError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.fails { Err(QueryError::Unavailable("it is broken".into())) } else { Ok(Vec::new()) }
    }
}

#[test]
fn a_source_that_fails_is_an_error_and_not_an_empty_answer() {
    let source = Odd { fails: true, ..Odd::default() };
    let error = Engine::default().instant(&source, &parse("absent(up) or vector(0)").unwrap(), Timestamp(0));
    assert!(matches!(error, Err(EvalError::Source(QueryError::Unavailable(_)))), "{error:?}");
}

#[test]
fn a_query_says_what_each_part_took() {
    let mut memory = MemorySeries::default();
    for at in 0..40 {
        for host in ["a", "b", "c"] {
            memory.put(&Labels::metric("requests_total", &[("host", host)]), at * 15_000, at as f64);
        }
    }
    let ticks = AtomicUsize::new(0);
    let now = || std::time::Duration::from_millis(ticks.fetch_add(1, Ordering::Relaxed) as u64);
    let expr = parse("sum(rate(requests_total[1m])) / count(requests_total) > 0.5").unwrap();
    let engine = Engine::default();
    let (start, end) = (Timestamp(120_000), Timestamp(480_000));
    let (answer, explained) =
        engine.explain_range(&memory, &expr, (start, end, Span::minutes(1)), &now).expect("it can be evaluated");
    assert_eq!(answer.value, engine.range(&memory, &expr, start, end, Span::minutes(1)).unwrap());
    expect_test::expect![[r#"
        sum(rate(requests_total[1m])) / count(requests_total) > 0.5
          0 series at 7 steps, 11.000 ms
          sum(rate(requests_total[1m])) / count(requests_total)
            1 series at 7 steps, 9.000 ms
            sum(rate(requests_total[1m]))
              1 series at 7 steps, 3.000 ms
              rate(requests_total[1m])
                3 series at 7 steps, 84 samples read, 1.000 ms
            count(requests_total)
              1 series at 7 steps, 3.000 ms
              requests_total
                3 series at 7 steps, 99 samples read, 1.000 ms
    "#]]
    .assert_eq(&explained.expect("it has a whole").lines());
}

#[test]
fn rules_share_what_they_have_in_common() {
    let asked = AtomicUsize::new(0);
    struct Counting<'a>(MemorySeries, &'a AtomicUsize);
    impl Query for Counting<'_> {
        fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.select(matchers, start, end)
        }
    }
    let mut memory = MemorySeries::default();
    for minute in 0..10 {
        for host in ["a", "b", "c"] {
            let labels = Labels::metric("requests_total", &[("host", host)]);
            memory.put(&labels, minute * 60_000, (minute * 7) as f64);
        }
    }
    let source = Counting(memory, &asked);
    let engine = Engine::default().sharing();
    let texts = |limit: usize| {
        [
            format!("sum(rate(requests_total[5m])) > {limit}"),
            format!("rate(requests_total[5m]) > {limit}"),
            format!("rate(requests_total[5m]) / requests_total > {limit}"),
            format!("histogram_count(requests_total) > {limit}"),
        ]
    };
    for at in [300_000, 540_000] {
        asked.store(0, Ordering::Relaxed);
        for text in (0..50).flat_map(texts) {
            let expr = parse(&text).unwrap();
            let shared = engine.instant(&source, &expr, Timestamp(at)).unwrap();
            assert_eq!(shared, Engine::default().instant(&source.0, &expr, Timestamp(at)).unwrap(), "{text} at {at}");
        }
        let times = asked.load(Ordering::Relaxed);
        assert!(times < 10, "200 expressions read {times} times");
    }
    // What a rule wrote is seen by those after it.
    let expr = parse("sum(requests_total)").unwrap();
    let sum = |engine: &Engine, source: &Counting<'_>| engine.instant(source, &expr, Timestamp(540_000)).unwrap();
    let before = [sum(&engine, &source), sum(&engine, &source), sum(&engine, &source)];
    let mut source = source;
    let more = Labels::metric("requests_total", &[("host", "d")]);
    source.0.put(&more, 540_000, 1000.0);
    engine.written(&[more]);
    assert_ne!(before[2], sum(&engine, &source));
    assert_eq!(sum(&Engine::default(), &source), sum(&engine, &source));
}

#[test]
fn a_query_ends_when_its_caller_has_had_enough() {
    let engine = Engine::default().stopped_by(Arc::new(AtomicBool::new(true)));
    let value = engine.instant(&MemorySeries::default(), &parse("vector(1)").unwrap(), Timestamp(0));
    assert!(matches!(value, Err(EvalError::Stopped)), "{value:?}");
}

#[test]
fn each_selector_is_read_once_for_all_steps() {
    let source = Odd::default();
    let expr = parse("sum(rate(a[5m])) / b + max_over_time(c[1h:1m])").unwrap();
    let found = Engine::default().range(&source, &expr, Timestamp(0), Timestamp(3_600_000), Span::seconds(15));
    assert_eq!(found.unwrap(), Vec::new());
    assert_eq!(source.asked.into_inner(), 3);
}

#[test]
fn what_is_too_much_is_refused() {
    let mut memory = MemorySeries::default();
    for series in 0..10 {
        let labels = Labels::metric("x", &[("series", &series.to_string())]);
        (0..10).for_each(|at| memory.put(&labels, at * 1000, 1.0));
    }
    let engine = |samples_max: usize| Engine::new(EngineOptions { samples_max, ..EngineOptions::default() });
    let instant = |text: &str, limit: usize| engine(limit).instant(&memory, &parse(text).unwrap(), Timestamp(9000));
    assert!(instant("sum(x)", 200).is_ok());
    for (text, limit) in [("x", 50), ("x[10s]", 50), ("sum_over_time(vector(1)[1y:1ms])", 1_000_000)] {
        assert!(matches!(instant(text, limit), Err(EvalError::TooMany { .. })), "{text}");
    }
    let many_steps = engine(1000).range(&memory, &parse("1").unwrap(), Timestamp::MIN, Timestamp::MAX, Span::millis(1));
    assert!(matches!(many_steps, Err(EvalError::TooMany { limit: 1000 })));
    let range = |text: &str, step: u64| {
        engine(1000).range(&memory, &parse(text).unwrap(), Timestamp(0), Timestamp(1000), Span::millis(step))
    };
    assert!(matches!(range("x[5m]", 1000), Err(EvalError::Type(_))));
    assert!(matches!(range("\"text\"", 1000), Err(EvalError::Type(_))));
    assert!(matches!(range("x", 0), Err(EvalError::Type(_))));
}

#[test]
fn every_function_can_be_evaluated_and_the_deepest_expression_too() {
    let memory = MemorySeries::default();
    for function in functions() {
        let given: Vec<String> = (0..function.arguments_min.max(function.arguments.len()))
            .map(|at| match function.argument(at).to_string().as_str() {
                "scalar" => "0.5".to_owned(),
                "instant vector" => "x".to_owned(),
                "range vector" => "x[5m]".to_owned(),
                _ => "\"label\"".to_owned(),
            })
            .collect();
        let text = format!("{}({})", function.name, given.join(", "));
        let expr = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for at in [i64::MIN, 0, i64::MAX] {
            let value = Engine::default().instant(&memory, &expr, Timestamp(at));
            assert!(value.is_ok(), "{text} at {at}: {value:?}");
        }
    }
    let nested = NESTING_MAX - 1;
    let per_level = OPERATORS_MAX / nested;
    let deepest = [
        format!("x{}", " or x".repeat(OPERATORS_MAX)),
        format!("{}x{}", "abs(".repeat(nested), ")".repeat(nested)),
        format!("{}x{}", "abs(x or x + ".repeat(nested / 3), ")".repeat(nested / 3)),
        format!("{}x{}", "max_over_time(abs(".repeat(nested / 2), ")[1m:1m])".repeat(nested / 2)),
        format!("{}x{}", "(".repeat(nested - 1), format!("{})", " or x".repeat(per_level)).repeat(nested - 1)),
    ];
    for text in deepest {
        let expr = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let value = Engine::default().instant(&memory, &expr, Timestamp(0));
        assert_eq!(value.unwrap(), Value::Vector(Vec::new()));
        assert_eq!(parse(&expr.to_string()).unwrap().to_string(), expr.to_string());
    }
}

/// Texts that look like expressions, most of which are none.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("x".to_owned()),
        Just("x{a=\"1\",b!~\"c.*\"}".to_owned()),
        Just("{\"x y\"}".to_owned()),
        Just("1.5".to_owned()),
        Just("-3".to_owned()),
        Just("5m".to_owned()),
        Just("Inf".to_owned()),
        Just("time()".to_owned()),
        Just("x[5m] offset 1m".to_owned()),
        Just("x[5m] smoothed @ 2".to_owned()),
        Just("x @ 1.5".to_owned()),
        Just("\"a\\nb\"".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operators = vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "==",
            ">= bool",
            "and",
            "or on (a)",
            "unless",
            "atan2",
            "* on (a) group_left (b)",
            "- ignoring (a)",
            "+ fill_left (1) fill_right (-2)",
        ];
        let shapes =
            vec!["({})", "-{}", "sum by (a) ({})", "abs({})", "rate({})", "{}[5m:1m]", "topk(2, {})", "{}[5m]"];
        prop_oneof![
            (inner.clone(), proptest::sample::select(operators), inner.clone())
                .prop_map(|(left, op, right)| format!("{left} {op} {right}")),
            (proptest::sample::select(shapes), inner).prop_map(|(shape, inner)| shape.replace("{}", &inner)),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_and_evaluates_alike(text in expression()) {
        if let Ok(expr) = parse(&text) {
            let printed = expr.to_string();
            let again = parse(&printed).map_err(|error| TestCaseError::fail(format!("{text} -> {printed}: {error}")))?;
            prop_assert_eq!(again.to_string(), printed);
            let mut memory = MemorySeries::default();
            for (name, value) in [("x", 2.0), ("x y", -1.0)] {
                memory.put(&Labels::metric(name, &[("a", "1")]), 0, value);
                memory.put(&Labels::metric(name, &[("a", "1")]), 60_000, value + 1.0);
            }
            let value = |expr| format!("{:?}", Engine::default().instant(&memory, expr, Timestamp(90_000)));
            prop_assert_eq!(value(&expr), value(&again));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[ -~é\n]{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_expression_like_text_makes_the_parser_panic(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "x", "sum", "by", "(", ")", "[", "]", "{", "}", "5m", "1", "-", "+", "^", "offset", "@", "start", "\"s\"",
                ",", ":", "=", "=~", "==", "bool", "on", "group_left", "rate", "and", "inf", "0x", "1e", ".", "'",
            ]),
            0..20,
        )
    ) {
        let _ = parse(&words.join(" "));
        let _ = parse(&words.concat());
    }
}
