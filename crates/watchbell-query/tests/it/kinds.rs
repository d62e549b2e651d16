//! Scripts of our own about what is not a plain float: native histograms, start times, info metrics.

use crate::own::check;

#[test]
fn native_histograms() {
    check(
        r#"
load 1m
  size{host="a"} {{schema:0 count:4 sum:8 buckets:[1 2 1]}}+{{schema:0 count:4 sum:8 buckets:[1 2 1]}}x5
  size{host="b"} {{schema:1 count:2 sum:3 buckets:[0 1 1]}}x5
  both 1 2 {{schema:0 count:1 sum:1 buckets:[1]}} 4
  level {{schema:-53 count:6 sum:20 custom_values:[1 5] buckets:[1 2 3] counter_reset_hint:gauge}}x5
  level{fine="yes"} {{schema:-53 count:4 sum:9 custom_values:[1 2 5] buckets:[1 1 1 1] counter_reset_hint:gauge}}x5
  begun 5 {{schema:0 count:9 sum:9 buckets:[9]}} {{schema:0 count:2 sum:2 buckets:[2]}}

eval instant at 1m size{host="a"}
  size{host="a"} {{schema:0 count:8 sum:16 buckets:[2 4 2]}}

eval instant at 1m sum(size)
  expect no_warn
  {} {{schema:0 count:10 sum:19 buckets:[2 6 2]}}

eval instant at 1m size{host="a"} * 2 - size{host="a"} / 2
  {host="a"} {{schema:0 count:12 sum:24 buckets:[3 6 3] counter_reset_hint:gauge}}

eval instant at 1m size > 1
  expect info msg: PromQL info: incompatible sample types encountered for binary operator ">": histogram > float (1:1)

eval instant at 1m -size{host="b"}
  {host="b"} {{schema:1 count:-2 sum:-3 buckets:[0 -1 -1] counter_reset_hint:gauge}}

eval instant at 5m rate(size{host="a"}[3m])
  {host="a"} {{schema:0 count:0.06666666666666667 sum:0.13333333333333333 buckets:[0.016666666666666666 0.03333333333333333 0.016666666666666666] counter_reset_hint:gauge}}

eval instant at 5m histogram_quantile(0.5, rate(size{host="a"}[3m]))
  {host="a"} 1.414213562373095

eval instant at 5m histogram_fraction(1, 2, size{host="a"})
  {host="a"} 0.5

eval instant at 5m histogram_avg(size)
  {host="a"} 2
  {host="b"} 1.5

eval instant at 2m histogram_count(size) == bool 12
  {host="a"} 1
  {host="b"} 0

eval instant at 2m size{host="a"} </ 1
  size{host="a"} {{schema:0 count:3 sum:2.121320343559643 buckets:[3]}}

eval instant at 3m sum_over_time(both[4m])
  expect warn msg: PromQL warning: encountered a mix of histograms and floats for metric name "both" (1:15)

eval instant at 3m max_over_time(both[4m])
  expect info msg: PromQL info: ignored histograms in a range containing both floats and histograms for metric name "both" (1:15)
  {} 4

eval instant at 3m resets(both[4m])
  {} 2

eval instant at 2m changes(begun[3m])
  {} 2

eval instant at 1m sum(level)
  expect info msg: PromQL info: mismatched custom buckets were reconciled during aggregation (1:5)
  {} {{schema:-53 count:10 sum:29 custom_values:[1 5] buckets:[2 4 4] counter_reset_hint:gauge}}

eval instant at 1m sum({__name__=~"size|level"})
  expect warn regex: vector contains a mix of histograms with exponential and custom buckets schemas for metric name .*

eval instant at 1m count(size) + count(both)
  {} 3

eval instant at 2m max({__name__=~"both|size"})
  expect info msg: PromQL info: ignored histogram in max aggregation (1:5)
"#,
    );
}

#[test]
fn counters_say_since_when_they_count() {
    check(
        r#"
load 1m
  jobs_total@st  _ -10s -1m -1m -30s -100s
  jobs_total     _   10  60 120   90   150
  short_total@st _ _ -30s
  short_total    _ _  10

eval instant at 5m increase(jobs_total[5m])
  expect warn regex: sample has start time that overlaps with previous sample timestamp for metric "jobs_total"
  {} 340

eval instant at 4m irate(jobs_total[2m])
  {} 1.5

eval instant at 5m resets(jobs_total[5m])
  {} 3

eval instant at 2m increase(short_total[1m])
  {} 10

eval instant at 2m start_timestamp(short_total)
  {} 90

eval instant at 2m start_timestamp(short_total + 0)
"#,
    );
}

#[test]
fn info_metrics_give_their_labels_to_series_of_their_target() {
    check(
        r#"
load 1m
  up{job="mail", instance="a"} 1x5
  up{job="mail", instance="b"} 1x5
  target_info{job="mail", instance="a", version="1", os="linux"} 1x5
  build_info{job="mail", instance="a", commit="abc"} 1x5

eval instant at 1m info(up)
  up{job="mail", instance="a", version="1", os="linux"} 1
  up{job="mail", instance="b"} 1

eval instant at 1m info(up, {version=~".+"})
  up{job="mail", instance="a", version="1"} 1

eval instant at 1m info(up, {__name__="build_info"})
  up{job="mail", instance="a", commit="abc"} 1
  up{job="mail", instance="b"} 1

eval instant at 1m info(target_info)
  target_info{job="mail", instance="a", version="1", os="linux"} 1

eval instant at 1m info(up, {version=~".*", commit=~".*", __name__=~".+_info"})
  up{job="mail", instance="a", version="1", commit="abc"} 1
  up{job="mail", instance="b"} 1

eval instant at 1m info(up, {version=~".*"})
  up{job="mail", instance="a", version="1"} 1
  up{job="mail", instance="b"} 1
"#,
    );
}
