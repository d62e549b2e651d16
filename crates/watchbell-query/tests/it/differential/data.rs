//! What both engines are given: a real node_exporter's scrapes, and series made up to be hard.

use watchbell_model::{BucketSpan, Buckets, Histogram, Labels, ResetHint, stale_nan};

use super::random::Random;

/// When the data begins: an even moment, so that a seed tells the same story every day.
pub(super) const BEGIN: i64 = 1_700_000_100_000;
/// From one scrape to the next, in milliseconds.
pub(super) const STEP: i64 = 15_000;
/// How many scrapes there are.
pub(super) const SCRAPES: i64 = 160;

/// A sample of either kind.
#[derive(Clone)]
pub(super) enum Item {
    Number(f64),
    Histogram(Histogram),
}

/// A series and its samples, oldest first.
pub(super) type Made = (Labels, Vec<(i64, Item)>);

/// All series, sorted by labels; `scrapes` are those of a node_exporter, as text.
pub(super) fn all(seed: u64, scrapes: &[String]) -> Vec<Made> {
    let mut random = Random(seed);
    let mut all = Vec::new();
    counters(&mut random, &mut all);
    gauges(&mut random, &mut all);
    classic_histograms(&mut random, &mut all);
    native_histograms(&mut random, &mut all);
    facts(&mut all);
    demo(&mut random, &mut all);
    recorded(scrapes, &mut all);
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.dedup_by(|a, b| a.0 == b.0);
    all
}

fn time(scrape: i64) -> i64 {
    BEGIN + scrape * STEP
}

fn labels(name: &str, pairs: &[(&str, &str)]) -> Labels {
    Labels::metric(name, pairs)
}

/// Counters that are reset, miss scrapes, end and begin again.
fn counters(random: &mut Random, all: &mut Vec<Made>) {
    for instance in ["h1:1", "h2:1", "h3:1"] {
        for code in ["200", "404", "500"] {
            let job = if instance == "h3:1" { "web" } else { "api" };
            let pairs = [("instance", instance), ("job", job), ("code", code)];
            let (mut value, mut samples) = (0.0, Vec::new());
            for scrape in 0..SCRAPES {
                if code == "500" && (60..95).contains(&scrape) || random.once_in(30) {
                    continue;
                }
                value = if random.once_in(50) { 0.0 } else { value + (random.unit() * 100.0).floor() };
                samples.push((time(scrape), Item::Number(value)));
            }
            all.push((labels("requests_total", &pairs), samples.clone()));
            let errors = samples.into_iter().map(|(at, item)| match item {
                Item::Number(value) => (at + 250, Item::Number((value / 7.0).floor())),
                other => (at, other),
            });
            all.push((labels("errors_total", &pairs), errors.collect()));
        }
        // Ends with a marker, is away, and comes back.
        let mut samples: Vec<(i64, Item)> =
            (0..50).map(|scrape| (time(scrape), Item::Number((scrape * scrape) as f64))).collect();
        samples.push((time(50), Item::Number(stale_nan())));
        samples.extend((80..SCRAPES).map(|scrape| (time(scrape), Item::Number((scrape - 80) as f64 * 3.5))));
        all.push((labels("restarting_total", &[("instance", instance), ("job", "api")]), samples));
    }
}

/// Values of every kind of a float.
fn gauges(random: &mut Random, all: &mut Vec<Made>) {
    for instance in ["h1:1", "h2:1", "h3:1"] {
        let job = if instance == "h3:1" { "web" } else { "api" };
        let pairs = [("instance", instance), ("job", job)];
        let mut make = |name: &str, more: &[(&str, &str)], value: &mut dyn FnMut(i64, &mut Random) -> Option<f64>| {
            let pairs: Vec<(&str, &str)> = pairs.iter().chain(more).copied().collect();
            let mut samples = Vec::new();
            for scrape in 0..SCRAPES {
                let at = if name == "jittery" { time(scrape) + random.below(9000) as i64 } else { time(scrape) };
                samples.extend(value(scrape, random).map(|value| (at, Item::Number(value))));
            }
            all.push((labels(name, &pairs), samples));
        };
        for zone in ["a", "b", "c10", "c9"] {
            make("queue_length", &[("zone", zone)], &mut |_, random| {
                (!random.once_in(20)).then(|| (random.unit() * 50.0).floor() - 10.0)
            });
        }
        make("temperature", &[], &mut |scrape, random| Some(20.0 + (scrape as f64 / 9.0).sin() * 5.0 + random.unit()));
        make("jittery", &[], &mut |_, random| Some(random.unit() * 1e6));
        make("wild", &[], &mut |_, random| {
            Some(match random.below(8) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => f64::NEG_INFINITY,
                3 => 0.0,
                4 => -0.0,
                _ => random.unit() * 10.0 - 5.0,
            })
        });
        make("extreme", &[], &mut |_, random| {
            Some(
                random.unit()
                    * 10_f64.powi(random.below(500) as i32 - 250)
                    * if random.once_in(2) { 1.0 } else { -1.0 },
            )
        });
        make("sparse", &[], &mut |scrape, _| (scrape % 21 == 3).then_some(scrape as f64));
        make("flapping", &[], &mut |scrape, _| {
            Some(if scrape % 11 == 7 { stale_nan() } else { f64::from(scrape % 3 == 0) })
        });
        make("constant", &[], &mut |_, _| Some(42.0));
        make("flag", &[], &mut |scrape, _| Some(f64::from((scrape / 20) % 2 == 0)));
        make("my.metric", &[("a.label", "x y")], &mut |scrape, _| Some(scrape as f64 / 4.0));
        make("born", &[("from", "api")], &mut |scrape, _| (scrape > 100).then_some(1.7e9 + scrape as f64));
    }
}

fn classic_histograms(random: &mut Random, all: &mut Vec<Made>) {
    for (instance, job) in [("h1:1", "api"), ("h2:1", "api"), ("h3:1", "web")] {
        let bounds = ["0.05", "0.1", "0.5", "1", "2.5", "+Inf"];
        let mut counts = [0.0; 6];
        let mut made: Vec<Vec<(i64, Item)>> = vec![Vec::new(); 8];
        let mut sum = 0.0;
        for scrape in 0..SCRAPES {
            let mut below = 0.0;
            for (at, count) in counts.iter_mut().enumerate() {
                below += (random.unit() * 10.0).floor();
                *count += below;
                // One instance is scraped bucket by bucket while it counts.
                let torn = if instance == "h2:1" && random.once_in(40) { 3.0 } else { 0.0 };
                made[at].push((time(scrape), Item::Number(*count - torn)));
            }
            sum += below * 0.4;
            made[6].push((time(scrape), Item::Number(sum)));
            made[7].push((time(scrape), Item::Number(counts[5])));
        }
        let mut made = made.into_iter();
        for le in bounds {
            let pairs = [("instance", instance), ("job", job), ("le", le)];
            all.extend(made.next().map(|samples| (labels("latency_seconds_bucket", &pairs), samples)));
        }
        for name in ["latency_seconds_sum", "latency_seconds_count"] {
            all.extend(made.next().map(|samples| (labels(name, &[("instance", instance), ("job", job)]), samples)));
        }
    }
}

/// Buckets at places `from..`, with these counts.
fn buckets(from: i32, counts: Vec<f64>) -> Buckets {
    Buckets { spans: vec![BucketSpan { offset: from, length: counts.len() as u32 }], counts }
}

fn native_histograms(random: &mut Random, all: &mut Vec<Made>) {
    for (instance, job, schema) in [("h1:1", "api", 0), ("h2:1", "api", 2), ("h3:1", "web", 0)] {
        let pairs = [("instance", instance), ("job", job)];
        // Far from zero: the peer stretches rates beyond it.
        let (mut counts, mut negative) = (vec![2000.0; 6], vec![2000.0; 3]);
        let (mut zeros, mut sum) = (0.0, 0.0);
        let (mut counter, mut gauge, mut custom, mut mixed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for scrape in (0..SCRAPES).step_by(2) {
            if scrape == 70 && instance == "h1:1" {
                counts.fill(1000.0);
                negative.fill(1000.0);
                (zeros, sum) = (0.0, 0.0);
            }
            counts.iter_mut().chain(&mut negative).for_each(|count| *count += (random.unit() * 5.0).floor());
            zeros += f64::from(random.once_in(3));
            sum += random.unit() * 30.0;
            let total = zeros + counts.iter().chain(&negative).sum::<f64>();
            let histogram = Histogram {
                schema,
                count: total,
                sum,
                zero_threshold: 0.001,
                zero_count: zeros,
                positive: buckets(-2, counts.clone()),
                negative: buckets(0, negative.clone()),
                ..Histogram::default()
            };
            let one: Vec<f64> = (0..5).map(|_| (random.unit() * 8.0).floor()).collect();
            let of_gauge = Histogram {
                schema: 1,
                count: one.iter().sum(),
                sum: random.unit() * 40.0 - 10.0,
                zero_threshold: 0.0001,
                positive: buckets(-1, one),
                reset: ResetHint::Gauge,
                ..Histogram::default()
            };
            let of_custom = Histogram {
                schema: Histogram::CUSTOM_BUCKETS,
                count: counts[..4].iter().sum(),
                sum,
                positive: buckets(0, counts[..4].to_vec()),
                custom_values: if job == "web" { vec![0.1, 1.0, 5.0] } else { vec![0.1, 1.0, 10.0] },
                ..Histogram::default()
            };
            if !random.once_in(25) {
                counter.push((time(scrape), Item::Histogram(histogram.clone())));
            }
            gauge.push((time(scrape), Item::Histogram(of_gauge)));
            custom.push((time(scrape), Item::Histogram(of_custom)));
            mixed.push((time(scrape), if scrape % 40 < 20 { Item::Histogram(histogram) } else { Item::Number(total) }));
        }
        all.push((labels("native_seconds", &pairs), counter));
        all.push((labels("native_gauge", &pairs), gauge));
        all.push((labels("custom_seconds", &pairs), custom));
        all.push((labels("mixed_seconds", &pairs), mixed));
    }
}

/// Metrics that are always 1, whose labels say something.
fn facts(all: &mut Vec<Made>) {
    for (instance, job, version) in [("h1:1", "api", "1.2"), ("h2:1", "api", "1.3"), ("h3:1", "web", "1.2")] {
        for name in ["target_info", "build_info"] {
            let samples = (0..SCRAPES).map(|scrape| (time(scrape), Item::Number(1.0)));
            let pairs = [("instance", instance), ("job", job), ("version", version)];
            all.push((labels(name, &pairs), samples.collect()));
        }
    }
}

/// What the compliance queries ask for.
fn demo(random: &mut Random, all: &mut Vec<Made>) {
    for port in ["10000", "10001", "10002"] {
        let instance = format!("demo.promlabs.com:{port}");
        let mut make = |name: &str, more: &[(&str, &str)], value: &mut dyn FnMut(i64, &mut Random) -> Option<f64>| {
            let pairs: Vec<(&str, &str)> =
                [("instance", &*instance), ("job", "demo")].into_iter().chain(more.iter().copied()).collect();
            let samples = (0..SCRAPES).filter_map(|scrape| Some((time(scrape), Item::Number(value(scrape, random)?))));
            all.push((labels(name, &pairs), samples.collect()));
        };
        for kind in ["buffers", "cached", "free", "used"] {
            let mut level = 1e9;
            make("demo_memory_usage_bytes", &[("type", kind)], &mut |_, random| {
                level += (random.unit() - 0.5) * 1e7;
                Some(level.floor())
            });
        }
        for mode in ["idle", "system", "user"] {
            let mut value = 0.0;
            make("demo_cpu_usage_seconds_total", &[("mode", mode)], &mut |scrape, random| {
                value = if scrape == 90 && port == "10001" { 0.0 } else { value + random.unit() * 15.0 };
                Some(value)
            });
        }
        make("demo_num_cpus", &[], &mut |_, _| Some(4.0));
        make("demo_intermittent_metric", &[], &mut |scrape, _| Some(if scrape % 13 > 6 { stale_nan() } else { 1.0 }));
        make("demo_disk_usage_bytes", &[], &mut |scrape, random| {
            Some(5e10 + scrape as f64 * 1e5 + random.unit() * 1e4)
        });
        make("demo_disk_total_bytes", &[], &mut |_, _| Some(2.6e11));
        make("demo_batch_last_success_timestamp_seconds", &[], &mut |scrape, _| {
            Some((time(scrape / 20 * 20) / 1000) as f64)
        });
        for method in ["GET", "POST"] {
            let mut below = [0.0; 6];
            let bounds = ["0.0001", "0.001", "0.01", "0.1", "1", "+Inf"];
            for (at, le) in bounds.into_iter().enumerate() {
                make("demo_api_request_duration_seconds_bucket", &[("method", method), ("le", le)], &mut |_, _| {
                    below[at] += (at + 1) as f64 * 3.0;
                    Some(below[at])
                });
            }
            for name in ["demo_api_request_duration_seconds_count", "demo_api_request_duration_seconds_sum"] {
                make(name, &[("method", method)], &mut |scrape, _| Some(scrape as f64 * 18.0));
            }
        }
    }
}

/// Names of a real host's metrics that are asked for; each keeps its first series.
pub(super) const RECORDED: &[&str] = &[
    "node_cpu_seconds_total",
    "node_context_switches_total",
    "node_load1",
    "node_memory_MemAvailable_bytes",
    "node_memory_MemTotal_bytes",
    "node_network_receive_bytes_total",
    "node_network_transmit_bytes_total",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    "node_boot_time_seconds",
    "node_time_seconds",
    "node_scrape_collector_duration_seconds",
    "go_gc_duration_seconds",
    "process_cpu_seconds_total",
];
const SERIES_OF_A_NAME: usize = 12;

/// The scrapes stand at the times of ours, one after the other and then again, a counter going on where it was.
fn recorded(scrapes: &[String], all: &mut Vec<Made>) {
    let mut values = std::collections::BTreeMap::<&str, Vec<Option<f64>>>::new();
    for (at, scrape) in scrapes.iter().enumerate() {
        for line in scrape.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = series.split('{').next().unwrap_or("");
            if RECORDED.contains(&name) {
                let values = values.entry(series).or_insert_with(|| vec![None; scrapes.len()]);
                values[at] = value.parse().ok();
            }
        }
    }
    let mut of_name = std::collections::BTreeMap::<&str, usize>::new();
    for (series, values) in values {
        let name = series.split('{').next().unwrap_or("");
        let many = of_name.entry(name).or_default();
        *many += 1;
        let Ok((read, _)) = watchbell_query::promql::series_description(&format!("{series} _")) else { continue };
        if *many > SERIES_OF_A_NAME {
            continue;
        }
        let grown = match (values.first().copied().flatten(), values.last().copied().flatten()) {
            (Some(first), Some(last)) if name.ends_with("_total") => last - first,
            _ => 0.0,
        };
        let mut samples = Vec::new();
        for scrape in 0..SCRAPES {
            let (round, at) = (scrape as usize / values.len(), scrape as usize % values.len());
            samples.extend(values[at].map(|value| (time(scrape), Item::Number(value + grown * round as f64))));
        }
        all.push((read.with("instance", "real:9100").with("job", "node"), samples));
    }
}
