//! Reading while others write and upkeep runs, lookups against what the series say, limits.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use watchbell_model::{Append, Batch, Labels, Lookup, MatchOp, Matcher, Point, Query, QueryError, Timestamp};
use watchbell_runtime::{Runtime, sim, thread};
use watchbell_store::{MetricStore, MetricsConfig};

const SERIES: usize = 20;
const STEPS: usize = 150;

/// On the machine's own disk, with threads.
#[test]
fn readers_see_every_acknowledged_sample_while_blocks_are_made() {
    let folder = crate::Folder::new();
    let runtime = Runtime::os();
    // Over the last nine hours, so that there is something to seal all the while.
    let begin = runtime.clock.now().0 - 32_400_000;
    let (store, _) = MetricStore::open(&runtime, folder.path(), MetricsConfig::default()).unwrap();
    let acknowledged: Arc<[AtomicUsize; 2]> = Arc::default();
    let done = Arc::new(AtomicBool::new(false));
    let writers = (0..2).map(|writer| {
        let (store, acknowledged) = (store.clone(), Arc::clone(&acknowledged));
        thread::spawn("writer", move || {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            for step in 0..STEPS {
                let time = Timestamp(begin + step as i64 * 210_000);
                let labels = |series: usize| [("writer", writer.to_string()), ("series", series.to_string())];
                let point = |series| Point { labels: Labels::from_pairs(labels(series)), timestamp: time, value: 1.0 };
                let batch = Batch::of("test", (0..SERIES).map(point).collect());
                assert_eq!(tokio.block_on(store.append(batch)).unwrap().kept as usize, SERIES);
                acknowledged[writer].store(step + 1, Ordering::SeqCst);
            }
        })
        .unwrap()
    });
    let writers: Vec<_> = writers.collect();
    let readers = (0..2).map(|reader| {
        let (store, acknowledged, done) = (store.clone(), Arc::clone(&acknowledged), Arc::clone(&done));
        thread::spawn("reader", move || {
            while !done.load(Ordering::SeqCst) {
                let least = acknowledged[reader].load(Ordering::SeqCst);
                let (mut series, mut last) = (0, None);
                let matcher = Matcher::equal("writer", reader.to_string());
                let mut visit = |found: watchbell_model::Series| {
                    assert!(found.samples.len() >= least, "{} of {least} in {}", found.samples.len(), found.labels);
                    assert!(found.samples.is_sorted_by(|a, b| a.timestamp < b.timestamp));
                    assert!(last.as_ref().is_none_or(|last| *last < found.labels), "in order, each once");
                    last = Some(found.labels);
                    series += 1;
                    ControlFlow::Continue(())
                };
                store.each(&[matcher], Timestamp::MIN, Timestamp::MAX, &mut visit).unwrap();
                assert!(least == 0 || series == SERIES);
            }
        })
        .unwrap()
    });
    let readers: Vec<_> = readers.collect();
    let upkeep = {
        let (store, done) = (store.clone(), Arc::clone(&done));
        let upkeep = move || {
            while !done.load(Ordering::SeqCst) {
                store.maintain();
            }
        };
        thread::spawn("upkeep", upkeep).unwrap()
    };
    writers.into_iter().for_each(|thread| thread.join().unwrap());
    done.store(true, Ordering::SeqCst);
    readers.into_iter().chain([upkeep]).for_each(|thread| thread.join().unwrap());
    let all = store.select(&[], Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(all.iter().map(|series| series.samples.len()).sum::<usize>(), 2 * SERIES * STEPS);
}

#[test]
fn a_query_loads_no_more_than_it_may() {
    sim::run(1, |world| async move {
        let config = MetricsConfig { query_samples_limit: 25, ..MetricsConfig::default() };
        let (store, _) = MetricStore::open(&world.runtime(), Path::new("/data"), config).unwrap();
        for _ in 0..10 {
            world.clock.sleep(Duration::from_secs(15)).await;
            let points = ["a", "b", "c"].map(|host| Point::new("up", &[("host", host)], world.clock.now(), 1.0));
            store.append(Batch::of("test", points.to_vec())).await.unwrap();
        }
        let mut seen = Vec::new();
        let mut each = |most: usize| {
            seen.clear();
            let result = store.each(&[], Timestamp::MIN, Timestamp::MAX, &mut |series| {
                seen.push(series.labels.get("host").unwrap_or_default().to_owned());
                if seen.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            (result.err().map(|error| error.to_string()), seen.join(""))
        };
        assert_eq!(each(2), (None, "ab".into()));
        assert_eq!(each(9), (Some(QueryError::TooMany { limit: 25 }.to_string()), "ab".into()));
        assert_eq!(store.select(&[], Timestamp::MIN, Timestamp::MAX).unwrap().len(), 3);
    });
}

fn labels(at: u16) -> Labels {
    let (a, b) = ((at % 5).to_string(), (at / 3).to_string());
    Labels::metric(
        "m",
        &[("a", if at.is_multiple_of(4) { "" } else { &a }), ("b", &b), (["c", "d"][at as usize % 2], "x")],
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn lookups_say_what_the_series_say(
        rounds in prop::collection::vec(prop::collection::vec(0..60_u16, 0..30), 1..5),
        questions in prop::collection::vec((0..4_usize, 0..4_usize, 0..12_usize, 0..5_usize, 0..6_usize), 1..20),
    ) {
        sim::run(1, |world| async move {
            let (store, _) = MetricStore::open(&world.runtime(), Path::new("/data"), MetricsConfig::default()).unwrap();
            // Each round is in two hours of its own: the first ones are in blocks.
            let begin = world.clock.now();
            for round in &rounds {
                let points = round.iter().map(|at| Point { labels: labels(*at), timestamp: world.clock.now(), value: 1.0 });
                store.append(Batch::of("test", points.collect())).await.unwrap();
                world.clock.sleep(Duration::from_secs(7200)).await;
                store.maintain();
            }
            let matcher = |name, op, value| Matcher::new(name, op, value).unwrap();
            for (set, what, limit, from, count) in questions {
                let asked_about = rounds.iter().skip(from).take(count);
                let all: BTreeSet<Labels> = asked_about.flatten().map(|at| labels(*at)).collect();
                let start = begin + Duration::from_secs(7200) * from as u32;
                let end = start + Duration::from_secs(7200) * count as u32 - Duration::from_secs(1);
                let matchers = match set {
                    0 => vec![],
                    1 => vec![vec![matcher("a", MatchOp::Regex, "1|2")]],
                    2 => vec![vec![matcher("a", MatchOp::Equal, "")], vec![matcher("b", MatchOp::Regex, "1.*")]],
                    _ => vec![vec![matcher("b", MatchOp::NotEqual, "3"), matcher("d", MatchOp::Equal, "x")]],
                };
                let passes = |labels: &&Labels| {
                    let all = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches_labels(labels));
                    matchers.is_empty() || matchers.iter().any(all)
                };
                let lookup = Lookup { matchers: &matchers, limit, start, end };
                let passing = || all.iter().filter(passes);
                let (found, wanted): (_, BTreeSet<String>) = match what {
                    0 => {
                        let found = store.series(&lookup).unwrap();
                        let texts = found.items.iter().map(Labels::to_string).collect::<BTreeSet<_>>();
                        assert_eq!(texts.len(), found.items.len());
                        assert!(found.items.is_sorted());
                        let first = passing().take(if limit == 0 { usize::MAX } else { limit });
                        assert_eq!(found.cut, limit > 0 && passing().count() > limit);
                        assert_eq!(texts, first.map(Labels::to_string).collect());
                        continue;
                    }
                    1 => (store.label_names(&lookup), passing().flat_map(Labels::iter).map(|pair| pair.0.into()).collect()),
                    _ => {
                        let name = ["a", "b"][what - 2];
                        (store.label_values(name, &lookup), passing().filter_map(|labels| Some(labels.get(name)?.into())).collect())
                    }
                };
                assert_eq!(found.unwrap(), watchbell_model::Found::new(wanted, limit));
            }
        });
    }
}
