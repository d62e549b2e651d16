//! What Prometheus 3.5 wrote, read back; and the same with damage.
//!
//! The fixture is a data directory of a Prometheus that scraped itself every two seconds: floats, native histograms
//! (whole and float counts, custom buckets), markers of ended series, deletions. The log is cut in the middle of a
//! record, as a copy of a running Prometheus is. What is expected was compared with that Prometheus' own answers.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use expect_test::expect;
use watchbell_model::{Labels, Series, is_stale};

use super::*;

const META: &[u8] = include_bytes!("../../../../../testdata/prometheus/tsdb/01M7XXS1ME6VQHGDEZRZSMKC9R/meta.json");
const INDEX: &[u8] = include_bytes!("../../../../../testdata/prometheus/tsdb/01M7XXS1ME6VQHGDEZRZSMKC9R/index");
const CHUNKS: &[u8] =
    include_bytes!("../../../../../testdata/prometheus/tsdb/01M7XXS1ME6VQHGDEZRZSMKC9R/chunks/000001");
const TOMBSTONES: &[u8] =
    include_bytes!("../../../../../testdata/prometheus/tsdb/01M7XXS1ME6VQHGDEZRZSMKC9R/tombstones");
const HEAD: &[u8] = include_bytes!("../../../../../testdata/prometheus/tsdb/chunks_head/000001");
const WAL: &[u8] = include_bytes!("../../../../../testdata/prometheus/tsdb/wal/00000000");

/// Where the block ends.
const SINCE: i64 = 1_795_226_760_000;

type All = BTreeMap<Labels, Series>;

fn add(all: &mut All, series: Series) {
    let known =
        all.entry(series.labels.clone()).or_insert_with(|| Series { labels: series.labels, ..Series::default() });
    known.samples.extend(series.samples);
    known.histograms.extend(series.histograms);
}

fn read_block(index: &[u8], chunks: &[u8], tombstones: &[u8], range: (i64, i64)) -> (All, Vec<Damage>) {
    let (mut all, mut damage) = (All::new(), Vec::new());
    match Block::open(index, vec![Some(chunks)], Some(tombstones)) {
        Err(bad) => damage.push(bad),
        Ok((block, bad)) => {
            damage = bad;
            let _ = block.each(range.0, range.1, &mut |bad| damage.push(bad), &mut |series| {
                add(&mut all, series);
                ControlFlow::Continue(())
            });
        }
    }
    (all, damage)
}

fn read_head(head: &[u8], log: &[u8]) -> (All, Vec<Damage>, Head) {
    let (mut all, mut damage, mut reader) = (All::new(), Vec::new(), Head::default());
    let mut bad = Vec::new();
    wal::each_record("wal/00000000", log, &mut |bad| damage.push(bad), &mut |record| {
        bad.extend(reader.learn(record).err());
    });
    match HeadChunks::open("chunks_head/000001", head) {
        Err(bad) => damage.push(bad),
        Ok(chunks) => {
            for chunk in chunks {
                match chunk {
                    Ok(chunk) => _ = reader.take_chunk(chunk),
                    Err(bad) => damage.push(bad),
                }
            }
        }
    }
    reader.drain(SINCE).into_iter().for_each(|series| add(&mut all, series));
    wal::each_record("wal/00000000", log, &mut |_| {}, &mut |record| {
        let _ = reader.take(record);
    });
    reader.drain(SINCE).into_iter().for_each(|series| add(&mut all, series));
    damage.extend(bad.into_iter().map(|reason| Damage::new("wal/00000000", reason)));
    (all, damage, reader)
}

/// A line for each series: how much, and of everything a little.
fn shown(all: &All) -> String {
    let mut out = String::new();
    for (labels, series) in all {
        out += &format!("{labels}:");
        if let Some(last) = series.samples.last() {
            let sum: f64 = series.samples.iter().map(|sample| sample.value).filter(|value| !value.is_nan()).sum();
            let stale = series.samples.iter().filter(|sample| is_stale(sample.value)).count();
            out += &format!(" {} values up to {}, sum {sum}, {stale} markers", series.samples.len(), last.timestamp.0);
        }
        if let Some(last) = series.histograms.last() {
            let histograms = || series.histograms.iter().map(|sample| &sample.histogram);
            let stale = histograms().filter(|it| it.is_stale()).count();
            let newest = histograms().rfind(|it| !it.is_stale()).expect("not all are markers");
            assert!(histograms().all(|it| it.check().is_ok()));
            out += &format!(
                " {} histograms up to {}, {stale} markers, the newest: schema {}, {:?}, count {}, {} buckets, custom {:?}",
                series.histograms.len(),
                last.timestamp.0,
                newest.schema,
                newest.reset,
                newest.count,
                newest.positive.counts.len(),
                newest.custom_values,
            );
        }
        out += "\n";
    }
    out
}

#[test]
fn a_block_is_read_whole() {
    let meta = BlockMeta::read(META).unwrap();
    let (all, damage) = read_block(INDEX, CHUNKS, TOMBSTONES, (i64::MIN, i64::MAX));
    assert_eq!(damage, []);
    assert_eq!((meta.stats.series, meta.max_time), (all.len() as u64, SINCE));
    expect![[r#"
        go_memstats_alloc_bytes{instance="127.0.0.1:19190", job="self"}: 22 values up to 1795226758007, sum 500010880, 0 markers
        job:duration:rate{job="nhcb"}: 20 histograms up to 1795226758184, 0 markers, the newest: schema -53, Gauge, count 1, 1 buckets, custom [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0]
        job:duration:rate{job="self"}: 21 histograms up to 1795226758184, 0 markers, the newest: schema 3, Gauge, count 1, 6 buckets, custom []
        process_cpu_seconds_total{instance="127.0.0.1:19190", job="self"}: 5 values up to 1795226724007, sum 0.34, 0 markers
        prometheus_http_request_duration_seconds{handler="/metrics", instance="127.0.0.1:19190", job="nhcb"}: 22 histograms up to 1795226759710, 0 markers, the newest: schema -53, NotReset, count 44, 1 buckets, custom [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0]
        prometheus_http_request_duration_seconds{handler="/metrics", instance="127.0.0.1:19190", job="self"}: 22 histograms up to 1795226758007, 0 markers, the newest: schema 3, NotReset, count 43, 6 buckets, custom []
        prometheus_http_requests_total{code="200", handler="/metrics", instance="127.0.0.1:19190", job="self"}: 22 values up to 1795226758007, sum 484, 0 markers
        scrape_duration_seconds{instance="127.0.0.1:19190", job="nhcb"}: 23 values up to 1795226759710, sum 0.079033431, 0 markers
        scrape_duration_seconds{instance="127.0.0.1:19190", job="self"}: 22 values up to 1795226758007, sum 0.133300827, 0 markers
        scrape_samples_post_metric_relabeling{instance="127.0.0.1:19190", job="nhcb"}: 23 values up to 1795226759710, sum 22, 0 markers
        scrape_samples_post_metric_relabeling{instance="127.0.0.1:19190", job="self"}: 22 values up to 1795226758007, sum 88, 0 markers
        scrape_samples_scraped{instance="127.0.0.1:19190", job="nhcb"}: 23 values up to 1795226759710, sum 9410, 0 markers
        scrape_samples_scraped{instance="127.0.0.1:19190", job="self"}: 22 values up to 1795226758007, sum 12210, 0 markers
        scrape_series_added{instance="127.0.0.1:19190", job="nhcb"}: 23 values up to 1795226759710, sum 1, 0 markers
        scrape_series_added{instance="127.0.0.1:19190", job="self"}: 22 values up to 1795226758007, sum 4, 0 markers
        up{instance="127.0.0.1:19190", job="nhcb"}: 23 values up to 1795226759710, sum 23, 0 markers
        up{instance="127.0.0.1:19190", job="self"}: 22 values up to 1795226758007, sum 22, 0 markers
    "#]].assert_eq(&shown(&all));
    let (all, _) = read_block(INDEX, CHUNKS, TOMBSTONES, (1_795_226_730_000, 1_795_226_739_999));
    let counts: Vec<usize> = all.values().map(|series| series.samples.len() + series.histograms.len()).collect();
    expect!["[5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5]"].assert_eq(&format!("{counts:?}"));
}

#[test]
fn the_last_hours_are_put_together_from_log_and_chunks() {
    let (all, damage, head) = read_head(HEAD, WAL);
    assert_eq!(damage, []);
    expect![[r#"
        go_memstats_alloc_bytes{instance="127.0.0.1:19190", job="self"}: 60 values up to 1795226878007, sum 1731302848, 0 markers
        job:duration:rate{job="nhcb"}: 60 histograms up to 1795226878184, 0 markers, the newest: schema -53, Gauge, count 1, 1 buckets, custom [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0]
        job:duration:rate{job="self"}: 60 histograms up to 1795226878184, 0 markers, the newest: schema 3, Gauge, count 1, 12 buckets, custom []
        process_cpu_seconds_total{instance="127.0.0.1:19190", job="self"}: 60 values up to 1795226878007, sum 27.820000000000004, 0 markers
        prometheus_http_request_duration_seconds{handler="/metrics", instance="127.0.0.1:19190", job="nhcb"}: 60 histograms up to 1795226879710, 0 markers, the newest: schema -53, NotReset, count 164, 1 buckets, custom [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0]
        prometheus_http_request_duration_seconds{handler="/metrics", instance="127.0.0.1:19190", job="self"}: 60 histograms up to 1795226878007, 0 markers, the newest: schema 3, NotReset, count 163, 16 buckets, custom []
        prometheus_http_requests_total{code="200", handler="/metrics", instance="127.0.0.1:19190", job="self"}: 60 values up to 1795226878007, sum 6240, 0 markers
        scrape_duration_seconds{instance="127.0.0.1:19190", job="nhcb"}: 60 values up to 1795226879710, sum 0.22633507600000002, 0 markers
        scrape_duration_seconds{instance="127.0.0.1:19190", job="self"}: 60 values up to 1795226878007, sum 0.309130522, 0 markers
        scrape_samples_post_metric_relabeling{instance="127.0.0.1:19190", job="nhcb"}: 60 values up to 1795226879710, sum 60, 0 markers
        scrape_samples_post_metric_relabeling{instance="127.0.0.1:19190", job="self"}: 60 values up to 1795226878007, sum 240, 0 markers
        scrape_samples_scraped{instance="127.0.0.1:19190", job="nhcb"}: 60 values up to 1795226879710, sum 24660, 0 markers
        scrape_samples_scraped{instance="127.0.0.1:19190", job="self"}: 60 values up to 1795226878007, sum 33660, 0 markers
        scrape_series_added{instance="127.0.0.1:19190", job="nhcb"}: 60 values up to 1795226879710, sum 0, 0 markers
        scrape_series_added{instance="127.0.0.1:19190", job="self"}: 60 values up to 1795226878007, sum 0, 0 markers
        up{instance="127.0.0.1:19190", job="nhcb"}: 60 values up to 1795226879710, sum 60, 0 markers
        up{instance="127.0.0.1:19190", job="self"}: 60 values up to 1795226878007, sum 60, 0 markers
    "#]].assert_eq(&shown(&all));
    let metadata: Vec<String> =
        head.metadata().iter().map(|(name, it)| format!("{name}: {}", it.kind.as_str())).collect();
    expect![[r#"
        go_memstats_alloc_bytes: gauge
        process_cpu_seconds_total: counter
        prometheus_http_request_duration_seconds: histogram
        prometheus_http_requests_total: counter
        scrape_duration_seconds: gauge
        scrape_samples_post_metric_relabeling: gauge
        scrape_samples_scraped: gauge
        scrape_series_added: gauge
        up: gauge"#]]
    .assert_eq(&metadata.join("\n"));
}

/// What is left is told apart from what is not, and nothing panics, hangs or takes much memory. `noticed`: how much of
/// all damage is told of, in percent; nobody looks at postings, and at the end of a log anything may be.
fn survives(bytes: &[u8], noticed: usize, read: impl Fn(&[u8]) -> (All, Vec<Damage>)) {
    let (good, none) = read(bytes);
    assert_eq!(none, []);
    let whole = |all: &All| all.values().flat_map(|series| series.samples.clone()).count();
    for cut in (0..bytes.len()).step_by(41) {
        let (all, _) = read(&bytes[..cut]);
        assert!(whole(&all) <= whole(&good), "cut at {cut}");
    }
    let (mut told, mut flips) = (0, 0);
    for bit in (0..bytes.len() * 8).step_by(97) {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (all, damage) = read(&bytes);
        (told, flips) = (told + usize::from(!damage.is_empty()), flips + 1);
        // No flipped bit makes a value that was never there.
        for (labels, series) in &all {
            let Some(wanted) = good.get(labels) else {
                assert!(!damage.is_empty(), "bit {bit} makes {labels}");
                continue;
            };
            assert!(series.samples.iter().all(|sample| wanted.samples.contains(sample)), "bit {bit} of {labels}");
            assert!(series.histograms.iter().all(|it| wanted.histograms.contains(it)), "bit {bit} of {labels}");
        }
    }
    assert!(told * 100 >= flips * noticed, "{told} of {flips} are noticed");
}

#[test]
fn damage_is_told_of_and_the_rest_is_read() {
    survives(CHUNKS, 95, |bytes| read_block(INDEX, bytes, TOMBSTONES, (i64::MIN, i64::MAX)));
    survives(INDEX, 35, |bytes| read_block(bytes, CHUNKS, TOMBSTONES, (i64::MIN, i64::MAX)));
    survives(HEAD, 90, |bytes| {
        let (all, damage, _) = read_head(bytes, WAL);
        (all, damage)
    });
    survives(WAL, 80, |bytes| {
        let (all, damage, _) = read_head(HEAD, bytes);
        (all, damage)
    });
    let mut bytes = CHUNKS.to_vec();
    bytes[100] ^= 1;
    let (all, damage) = read_block(INDEX, &bytes, TOMBSTONES, (i64::MIN, i64::MAX));
    let told: Vec<String> = damage.iter().map(Damage::to_string).collect();
    expect!["16 series, chunks/000001 at 8: the chunk's checksum does not fit"].assert_eq(&format!(
        "{} series, {}",
        all.len(),
        told.join("; ")
    ));
    let mut bytes = TOMBSTONES.to_vec();
    bytes[6] ^= 1;
    let (all, damage) = read_block(INDEX, CHUNKS, &bytes, (i64::MIN, i64::MAX));
    expect!["0 series, tombstones: they are damaged, so what was deleted is not known"].assert_eq(&format!(
        "{} series, {}",
        all.len(),
        damage[0]
    ));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400), kind in 0_u8..16) {
        let mut samples = Samples::default();
        let _ = chunk::decode(kind % 4, &bytes, &mut samples);
        let record: Vec<u8> = std::iter::once(kind).chain(bytes.iter().copied()).collect();
        let _ = decode_record(&record);
        wal::each_record("wal", &bytes, &mut |_| {}, &mut |_| {});
    }
}
