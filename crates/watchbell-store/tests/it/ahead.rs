//! Long answers, which are read and worked on by more than one core where the disk is a real one.

use std::ops::ControlFlow;
use std::sync::Mutex;

use watchbell_model::{Append, Batch, BatchSample, Labels, Matcher, Query, QueryError, Series, SeriesKey, Timestamp};
use watchbell_runtime::Runtime;
use watchbell_store::{MetricStore, MetricsConfig};

use crate::Folder;

const SERIES: usize = 120;
const SAMPLES: i64 = 3000;

fn value(series: usize, at: i64) -> f64 {
    (series as i64 * 1_000_000 + at * at % 997) as f64
}

/// Far more samples than are read without looking ahead, in the head and in blocks.
fn filled(folder: &Folder, config: MetricsConfig) -> (MetricStore, Timestamp) {
    let runtime = Runtime::os();
    let (store, _) = MetricStore::open(&runtime, folder.path(), config).unwrap();
    let start = Timestamp(runtime.clock.now().0 - SAMPLES * 15_000);
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for series in 0..SERIES {
        let mut batch = Batch::new("test");
        let labels = Labels::from_pairs([(Labels::NAME, "m"), ("host", &format!("{series:03}"))]);
        let place = batch.add(SeriesKey::Labels(labels));
        batch.samples.extend((0..SAMPLES).map(|at| BatchSample {
            series: place,
            timestamp: Timestamp(start.0 + at * 15_000),
            value: value(series, at),
        }));
        assert_eq!(tokio.block_on(store.append(batch)).unwrap().refused(), 0);
        if series == SERIES / 2 {
            store.maintain();
        }
    }
    (store, start)
}

/// The host of a series all of whose samples are there.
fn checked(series: &Series, start: Timestamp) -> String {
    let host = series.labels.get("host").unwrap().to_owned();
    let place: usize = host.parse().unwrap();
    assert_eq!(series.samples.len(), SAMPLES as usize, "{host}");
    for (at, sample) in (0..).zip(&series.samples) {
        assert_eq!((sample.timestamp.0, sample.value), (start.0 + at * 15_000, value(place, at)), "{host}");
    }
    host
}

/// The hosts of each batch by their places, each checked; no more once one of these was seen.
fn batched(store: &MetricStore, start: Timestamp, enough: &str) -> Result<Vec<(usize, Vec<String>)>, QueryError> {
    let batches = Mutex::new(Vec::new());
    let end = Timestamp(start.0 + SAMPLES * 15_000);
    store.batches(&[Matcher::equal(Labels::NAME, "m")], start, end, &|place, series| {
        let hosts: Vec<String> = series.iter().map(|series| checked(series, start)).collect();
        let is_enough = hosts.iter().any(|host| host == enough);
        batches.lock().unwrap().push((place, hosts));
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let mut batches = batches.into_inner().unwrap();
    batches.sort();
    Ok(batches)
}

/// The hosts in the order in which they came, each checked; until `most` of them were seen.
fn seen(store: &MetricStore, start: Timestamp, most: usize) -> Result<Vec<String>, QueryError> {
    let mut hosts = Vec::new();
    let end = Timestamp(start.0 + SAMPLES * 15_000);
    store.each(&[Matcher::equal(Labels::NAME, "m")], start, end, &mut |series| {
        hosts.push(checked(&series, start));
        if hosts.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(hosts)
}

#[test]
fn every_series_comes_once_in_order_and_no_more_than_are_wanted() {
    let folder = Folder::new();
    let (store, start) = filled(&folder, MetricsConfig::default());
    let all: Vec<String> = (0..SERIES).map(|series| format!("{series:03}")).collect();
    assert_eq!(seen(&store, start, usize::MAX).unwrap(), all);
    for most in [1, 20, 22, 44, 70, SERIES - 1] {
        assert_eq!(seen(&store, start, most).unwrap(), all[..most]);
    }
    store.close();
}

#[test]
fn batches_hold_every_series_once_and_their_places_are_its_order() {
    let folder = Folder::new();
    let (store, start) = filled(&folder, MetricsConfig::default());
    let all: Vec<String> = (0..SERIES).map(|series| format!("{series:03}")).collect();
    let batches = batched(&store, start, "").unwrap();
    assert!(batches.len() > 10, "{}", batches.len());
    assert!(batches.iter().zip(0..).all(|((place, _), at)| *place == at));
    assert_eq!(batches.into_iter().flat_map(|(_, hosts)| hosts).collect::<Vec<_>>(), all);
    let some = batched(&store, start, "030").unwrap();
    assert!(some.iter().map(|(_, hosts)| hosts.len()).sum::<usize>() < SERIES);
    store.close();
}

#[test]
fn what_is_read_ahead_of_one_who_has_enough_fails_nothing() {
    let folder = Folder::new();
    let config = MetricsConfig { query_samples_limit: 140_000, ..MetricsConfig::default() };
    let (store, start) = filled(&folder, config);
    assert_eq!(seen(&store, start, 30).unwrap().len(), 30);
    store.close();
}

#[test]
fn what_is_too_much_is_refused_wherever_it_is_read() {
    for limit in [1000, 70_000, 200_000, 359_999] {
        let folder = Folder::new();
        let config = MetricsConfig { query_samples_limit: limit, ..MetricsConfig::default() };
        let (store, start) = filled(&folder, config);
        for error in [seen(&store, start, usize::MAX).unwrap_err(), batched(&store, start, "").unwrap_err()] {
            assert!(matches!(error, QueryError::TooMany { .. }), "{limit}: {error}");
        }
        store.close();
    }
}
