//! watchbell's own numbers, in Prometheus' text format for `/metrics` and as samples for our own store.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use watchbell_model::{Labels, Metadata, MetricType, Point, Timestamp};

/// All of them. Asking for one that exists gives that one.
#[derive(Clone, Default)]
pub struct Metrics {
    families: Arc<Mutex<BTreeMap<&'static str, Family>>>,
}

struct Family {
    help: &'static str,
    members: BTreeMap<Labels, (Member, Vec<Labels>)>,
}

/// The job of watchbell's own series.
const JOB: &str = "watchbell";

#[derive(Clone)]
enum Member {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// Counts up.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }
    /// So many more.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
    /// So many as yet.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goes up and down.
#[derive(Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// It is this now.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
    /// What it is.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Counts values by size.
#[derive(Clone)]
pub struct Histogram(Arc<Buckets>);

struct Buckets {
    bounds: &'static [f64],
    counts: Vec<AtomicU64>,
    sum: Mutex<f64>,
}

impl Histogram {
    /// One more value.
    pub fn observe(&self, value: f64) {
        let at = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.counts[at].fetch_add(1, Ordering::Relaxed);
        *self.0.sum.lock().expect("no panic while held") += value;
    }
}

impl Metrics {
    /// None yet.
    pub fn new() -> Metrics {
        Metrics::default()
    }

    /// A counter. Labels are ours, never raw input of a client.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Counter {
        match self.member(name, help, labels, || Member::Counter(Counter::default())) {
            Member::Counter(counter) => counter,
            _ => panic!("{name} is not a counter"),
        }
    }

    /// A gauge.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Gauge {
        match self.member(name, help, labels, || Member::Gauge(Gauge::default())) {
            Member::Gauge(gauge) => gauge,
            _ => panic!("{name} is not a gauge"),
        }
    }

    /// A histogram with these upper bounds, ascending, without the infinite one.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        bounds: &'static [f64],
    ) -> Histogram {
        let new = || {
            let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
            Member::Histogram(Histogram(Arc::new(Buckets { bounds, counts, sum: Mutex::new(0.0) })))
        };
        match self.member(name, help, labels, new) {
            Member::Histogram(histogram) => histogram,
            _ => panic!("{name} is not a histogram"),
        }
    }

    /// Forgets every number with this label: what it was about is gone.
    pub fn forget(&self, name: &str, value: &str) {
        let mut families = self.families.lock().expect("no panic while held");
        for family in families.values_mut() {
            family.members.retain(|labels, _| labels.get(name) != Some(value));
        }
    }

    fn member(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        new: impl FnOnce() -> Member,
    ) -> Member {
        let mut families = self.families.lock().expect("no panic while held");
        let family = families.entry(name).or_insert_with(|| Family { help, members: BTreeMap::new() });
        let labels = Labels::from_pairs(labels.iter().copied());
        let (member, _) = family.members.entry(labels.clone()).or_insert_with(|| {
            let member = new();
            let mut series = Vec::new();
            each(name, &labels, &member, |labels, _| series.push(labels.with("job", JOB)));
            (member, series)
        });
        member.clone()
    }

    /// Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, family) in self.families.lock().expect("no panic while held").iter() {
            let kind = match family.members.values().next() {
                Some((Member::Counter(_), _)) => "counter",
                Some((Member::Gauge(_), _)) => "gauge",
                Some((Member::Histogram(_), _)) => "histogram",
                None => continue,
            };
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", family.help);
            for (labels, (member, _)) in &family.members {
                each(name, labels, member, |labels, value| {
                    let metric = labels.name().unwrap_or(name);
                    let pairs: Vec<String> = labels
                        .iter()
                        .filter(|(label, _)| *label != Labels::NAME)
                        .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
                        .collect();
                    let braces = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
                    let _ = writeln!(text, "{metric}{braces} {value}");
                });
            }
        }
        text
    }

    /// What each of them is, in order of names.
    pub fn metadata(&self) -> Vec<(&'static str, Metadata)> {
        let families = self.families.lock().expect("no panic while held");
        let described = families.iter().filter_map(|(name, family)| {
            let kind = match family.members.values().next()?.0 {
                Member::Counter(_) => MetricType::Counter,
                Member::Gauge(_) => MetricType::Gauge,
                Member::Histogram(_) => MetricType::Histogram,
            };
            Some((*name, Metadata { kind, unit: String::new(), help: family.help.to_owned() }))
        });
        described.collect()
    }

    /// The same as samples at `now`, under `job="watchbell"`. Their label sets were made once.
    pub fn points(&self, now: Timestamp) -> Vec<Point> {
        let mut points = Vec::new();
        for family in self.families.lock().expect("no panic while held").values() {
            for (member, series) in family.members.values() {
                let point = |(labels, value): (&Labels, f64)| Point { labels: labels.clone(), timestamp: now, value };
                points.extend(series.iter().zip(member.values()).map(point));
            }
        }
        points
    }
}

impl Member {
    /// Its values, in the order in which [`each`] names them.
    fn values(&self) -> Vec<f64> {
        match self {
            Member::Counter(counter) => vec![counter.get() as f64],
            Member::Gauge(gauge) => vec![gauge.get()],
            Member::Histogram(Histogram(buckets)) => {
                let mut total = 0;
                let mut values = Vec::with_capacity(buckets.counts.len() + 2);
                for count in &buckets.counts {
                    total += count.load(Ordering::Relaxed);
                    values.push(total as f64);
                }
                values.push(*buckets.sum.lock().expect("no panic while held"));
                values.push(total as f64);
                values
            }
        }
    }
}

/// Names each series of a member, with its value.
fn each(name: &str, labels: &Labels, member: &Member, mut put: impl FnMut(Labels, f64)) {
    let mut values = member.values().into_iter();
    let mut put = |labels: Labels| put(labels, values.next().unwrap_or_default());
    match member {
        Member::Counter(_) | Member::Gauge(_) => put(labels.with(Labels::NAME, name)),
        Member::Histogram(Histogram(buckets)) => {
            for at in 0..buckets.counts.len() {
                let le = buckets.bounds.get(at).map_or("+Inf".to_owned(), f64::to_string);
                put(labels.with("le", &le).with(Labels::NAME, &format!("{name}_bucket")));
            }
            put(labels.with(Labels::NAME, &format!("{name}_sum")));
            put(labels.with(Labels::NAME, &format!("{name}_count")));
        }
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_in_prometheus_text_format() {
        let metrics = Metrics::new();
        metrics.counter("a_total", "Counts.", &[("kind", "x\"y")]).add(2);
        metrics.gauge("b", "Is.", &[]).set(0.5);
        let histogram = metrics.histogram("c_seconds", "Takes.", &[], &[0.1, 1.0]);
        histogram.observe(0.1);
        histogram.observe(5.0);
        expect_test::expect![[r#"
            # HELP a_total Counts.
            # TYPE a_total counter
            a_total{kind="x\"y"} 2
            # HELP b Is.
            # TYPE b gauge
            b 0.5
            # HELP c_seconds Takes.
            # TYPE c_seconds histogram
            c_seconds_bucket{le="0.1"} 1
            c_seconds_bucket{le="1"} 1
            c_seconds_bucket{le="+Inf"} 2
            c_seconds_sum 5.1
            c_seconds_count 2
        "#]]
        .assert_eq(&metrics.render());
        let described: Vec<_> = metrics.metadata().into_iter().map(|(name, it)| (name, it.kind.as_str())).collect();
        assert_eq!(described, [("a_total", "counter"), ("b", "gauge"), ("c_seconds", "histogram")]);
        let points = metrics.points(Timestamp(1));
        let lines: Vec<String> = points.iter().map(|point| format!("{} {}", point.labels, point.value)).collect();
        expect_test::expect![[r#"
            a_total{job="watchbell", kind="x\"y"} 2
            b{job="watchbell"} 0.5
            c_seconds_bucket{job="watchbell", le="0.1"} 1
            c_seconds_bucket{job="watchbell", le="1"} 1
            c_seconds_bucket{job="watchbell", le="+Inf"} 2
            c_seconds_sum{job="watchbell"} 5.1
            c_seconds_count{job="watchbell"} 2"#]]
        .assert_eq(&lines.join("\n"));
    }
}
