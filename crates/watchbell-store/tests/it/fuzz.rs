//! Bytes that nobody wrote: every reader of files and bodies answers with an error or with what is whole. None panics,
//! hangs, or asks for memory because a length says so.
//!
//! Real encodings are cut, flipped, spliced and stuffed, by a seed; where a checksum would stop every case at the door
//! it is made to fit. `WATCHBELL_FUZZ_CASES=100000` (or `cargo xtask fuzz`, with a bound on memory) runs so many cases of
//! each kind.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use watchbell_model::{
    Append, Batch, BatchHistogram, BatchSample, BucketSpan, Buckets, Exemplar, Histogram, Labels, Lookup, Matcher,
    Metadata, MetricType, Query, Sample, SeriesKey, Timestamp, stale_nan,
};
use watchbell_runtime::sim::{self, SimDisk, World};
use watchbell_runtime::{Disk, Rng};
use watchbell_store::{MetricStore, MetricsConfig};
use watchbell_wire::otlp;
use watchbell_wire::prometheus::{self, tsdb};
use watchbell_wire::remote_write::{Outgoing, v1, v2};
use watchbell_wire::{remote_read, snappy};

const DIR: &str = "/data/metrics";
/// Cases of each kind in every run of the tests.
const CASES: u64 = 300;
/// What a body may have, decompressed.
const BODY_MAX: usize = 1 << 20;

/// Plays the cases; names the seed of each that panics.
fn cases(mut one: impl FnMut(&Rng)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(case) = number("WATCHBELL_FUZZ_CASE") {
        return one(&Rng::seeded(case));
    }
    let mut failed = Vec::new();
    for case in 0..number("WATCHBELL_FUZZ_CASES").unwrap_or(CASES) {
        if catch_unwind(AssertUnwindSafe(|| one(&Rng::seeded(case)))).is_err() {
            failed.push(case);
        }
    }
    assert!(failed.is_empty(), "WATCHBELL_FUZZ_CASE=<one of them> shows it: {failed:?}");
}

/// Cuts, flips, splices and stuffs.
fn mutate(rng: &Rng, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..1 + rng.below(4) {
        let at = rng.below(out.len() as u64 + 1) as usize;
        let span = at..(at + rng.below(20) as usize).min(out.len());
        match rng.below(8) {
            0 => out.truncate(at),
            1 => drop(out.drain(span)),
            2 => drop(out.splice(at..at, (0..rng.below(12)).map(|_| rng.next_u64() as u8))),
            3 => {
                // Lengths that nobody should believe.
                let huge = [&[0xff; 8][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0x80; 11], &[0xff; 9], &[0x7f]];
                drop(out.splice(span, huge[rng.below(5) as usize].iter().copied()));
            }
            4 if !other.is_empty() => {
                let from = rng.below(other.len() as u64) as usize;
                let to = (from + rng.below(200) as usize).min(other.len());
                drop(out.splice(span, other[from..to].iter().copied()));
            }
            5 => {
                let again = out[span].to_vec();
                drop(out.splice(at..at, again));
            }
            _ if at < out.len() => out[at] ^= 1 << rng.below(8),
            _ => {}
        }
    }
    out
}

fn histogram(at: u32) -> Histogram {
    let buckets = |counts: &[f64]| Buckets {
        spans: vec![BucketSpan { offset: -2, length: 1 }, BucketSpan { offset: 3, length: counts.len() as u32 - 1 }],
        counts: counts.to_vec(),
    };
    let up = f64::from(at);
    Histogram {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2.0 + up,
        count: 12.0 + up * 4.0,
        sum: 18.4 + up,
        positive: buckets(&[4.0 + up, 1.0 + up, 2.0]),
        negative: buckets(&[3.0 + up, 2.0]),
        ..Histogram::default()
    }
}

/// Everything a store keeps, over a day, so that there are blocks, merged ones, and a log.
async fn fill(world: &World) {
    let (store, _) = MetricStore::open(&world.runtime(), Path::new(DIR), MetricsConfig::default()).unwrap();
    for minute in 0..1500_u32 {
        world.clock.sleep(Duration::from_secs(60)).await;
        let now = world.clock.now();
        let mut batch = Batch::new("test");
        let wave = (f64::from(minute) / 10.0).sin();
        let marker = if minute % 200 == 199 { stale_nan() } else { wave };
        for (name, value) in [("constant", 1.5), ("counter_total", f64::from(minute * 7)), ("wave", marker)] {
            let series = batch.add(SeriesKey::Labels(Labels::metric(name, &[("host", "a"), ("zone", "é")])));
            batch.samples.push(BatchSample { series, timestamp: now, value });
        }
        let series = batch.add(SeriesKey::Labels(Labels::metric("latency", &[("host", "b")])));
        let histogram = Arc::new(histogram(minute));
        batch.histograms.push(BatchHistogram { series, timestamp: now, histogram });
        batch.starts.push((series, now, Timestamp(now.0 - i64::from(minute % 300) * 60_000)));
        let labels = Labels::from_pairs([("trace_id", "abc")]);
        batch.exemplars.push((1, Exemplar { labels, value: wave, timestamp: now }));
        let metadata = Metadata { kind: MetricType::Counter, unit: "seconds".into(), help: "What it means.".into() };
        batch.metadata.push(("counter_total".into(), metadata));
        store.append(batch).await.unwrap();
        if minute % 60 == 0 {
            store.maintain();
        }
    }
    store.close();
}

/// A frame of the log begins with this, then: stored length, checksum of the rest, length, LZ4.
const MARK: [u8; 4] = [0xa7, b'W', b'B', 0x9c];
const FRAME: usize = 16;

fn number(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).map_or(0, |four| u32::from_le_bytes(four.try_into().unwrap()) as usize)
}

/// A log in which what one frame says is mutated and its checksum fits.
fn mutate_frame(rng: &Rng, log: &[u8]) -> Option<Vec<u8>> {
    let marks: Vec<usize> = log.windows(4).enumerate().filter(|(_, bytes)| *bytes == MARK).map(|(at, _)| at).collect();
    let at = *marks.get(rng.below(marks.len() as u64) as usize)?;
    let end = at + FRAME + number(log, at + 4);
    let record = lz4_flex::block::decompress(log.get(at + FRAME..end)?, number(log, at + 12)).ok()?;
    let record = mutate(rng, &record, &record);
    let mut rest = (record.len() as u32).to_le_bytes().to_vec();
    rest.extend_from_slice(&lz4_flex::block::compress(&record));
    let mut out = log[..at + 4].to_vec();
    out.extend_from_slice(&(rest.len() as u32 - 4).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
    out.extend_from_slice(&rest);
    out.extend_from_slice(&log[end..]);
    Some(out)
}

/// A small file of `magic | checksum | rest` in which the rest is mutated and the checksum fits.
fn mutate_rest(rng: &Rng, file: &[u8]) -> Option<Vec<u8>> {
    let rest = mutate(rng, file.get(12..)?, file);
    Some([&file[..8], &crc32c::crc32c(&rest).to_le_bytes(), &rest].concat())
}

/// A block in whose index bytes are changed and all checksums fit.
fn mutate_index(rng: &Rng, block: &[u8]) -> Option<Vec<u8>> {
    const PAGE: usize = 16 << 10;
    let mut out = block.to_vec();
    let table = out.len().checked_sub(5 * 20 + 12)?;
    let section = |out: &[u8], at: usize| {
        let at = table + at * 20;
        let (from, len) = (number(out, at), number(out, at + 8));
        from..from + len
    };
    let (pages, sums) = (section(&out, 0).start..section(&out, 2).end, section(&out, 4));
    let parts = [pages.clone(), pages.clone(), section(&out, 3)];
    let part = parts[rng.below(3) as usize].clone();
    for _ in 0..1 + rng.below(3) {
        let at = part.start + rng.below(part.len() as u64) as usize;
        out[at] = match rng.below(4) {
            0 => 0xff,
            1 => 0,
            2 => rng.next_u64() as u8,
            _ => out[at] ^ 1 << rng.below(8),
        };
    }
    for page in 0..pages.len().div_ceil(PAGE) {
        let from = pages.start + page * PAGE;
        let sum = crc32c::crc32c(&out[from..(from + PAGE).min(pages.end)]);
        out[sums.start + page * 4..][..4].copy_from_slice(&sum.to_le_bytes());
    }
    for at in [3, 4] {
        let sum = crc32c::crc32c(&out[section(&out, at)]);
        out[table + at * 20 + 16..][..4].copy_from_slice(&sum.to_le_bytes());
    }
    let sum = crc32c::crc32c(&out[table..table + 100]);
    out[table + 100..][..4].copy_from_slice(&sum.to_le_bytes());
    Some(out)
}

/// Opens, reads and writes all there is; whatever is damaged may be refused.
fn use_all(world: &World, files: &[(PathBuf, Vec<u8>)]) {
    let disk = Arc::new(SimDisk::new(Rng::seeded(1)));
    files.iter().for_each(|(path, content)| disk.put(path, content));
    let world = World { disk, ..world.clone() };
    let Ok((store, _)) = MetricStore::open(&world.runtime(), Path::new(DIR), MetricsConfig::default()) else { return };
    for _ in 0..2 {
        let _ = store.each(&[], Timestamp::MIN, Timestamp::MAX, &mut |_| ControlFlow::Continue(()));
        let _ = store.select(&[Matcher::equal("host", "a")], Timestamp(0), world.clock.now());
        let _ = (store.series(&Lookup::ALL), store.label_names(&Lookup::ALL), store.label_values("host", &Lookup::ALL));
        let _ = (store.exemplars(&Lookup::ALL), store.metadata(None));
        store.maintain();
    }
    store.close();
}

#[test]
fn no_file_of_a_store_breaks_it() {
    sim::run(1, |world| async move {
        fill(&world).await;
        let disk = world.runtime().disk;
        let files: Vec<(PathBuf, Vec<u8>)> =
            world.disk.files().into_iter().map(|path| (path.clone(), disk.read(&path).unwrap())).collect();
        assert!(files.len() > 4, "{}", files.len());
        use_all(&world, &files);
        // Days later, so that upkeep merges what it finds.
        world.clock.sleep(Duration::from_secs(3 * 86_400)).await;
        cases(|rng| {
            let mut files = files.clone();
            let other = files[rng.below(files.len() as u64) as usize].1.clone();
            let (path, content) = {
                let at = rng.below(files.len() as u64) as usize;
                &mut files[at]
            };
            let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_owned();
            let fitted = match (rng.below(4), end.as_str()) {
                (0, _) => None,
                (_, "wal") => mutate_frame(rng, content),
                (_, "block") => mutate_index(rng, content),
                _ => mutate_rest(rng, content),
            };
            *content = fitted.unwrap_or_else(|| mutate(rng, content, &other));
            use_all(&world, &files);
        });
    });
}

fn bodies() -> [Vec<u8>; 3] {
    let labels = Labels::metric("http_requests_total", &[("job", "api"), ("path", "/é")]);
    let samples: Vec<Sample> = (0..20)
        .map(|at| Sample { timestamp: Timestamp(1_700_000_000_000 + at * 15_000), value: at as f64 / 3.0 })
        .collect();
    let histograms: Vec<watchbell_model::HistogramSample> = (0..4)
        .map(|at| watchbell_model::HistogramSample {
            timestamp: Timestamp(1_700_000_000_000 + i64::from(at)),
            histogram: Arc::new(histogram(at)),
        })
        .collect();
    let exemplars = [Exemplar { labels: labels.clone(), value: 1.0, timestamp: Timestamp(7) }];
    let metadata = Metadata { kind: MetricType::Histogram, unit: "s".into(), help: "It helps.".into() };
    let floats = Outgoing { exemplars: &exemplars, metadata: Some(&metadata), ..Outgoing::of(&labels, &samples) };
    let native = Outgoing { histograms: &histograms, ..Outgoing::of(&labels, &[]) };
    let (mut one, mut two) = (v1::Writer::new(), v2::Writer::new());
    [&floats, &native].into_iter().for_each(|series| {
        one.series(series);
        two.series(series);
    });
    one.metadata("http_requests", &metadata);
    let matchers = vec![Matcher::equal("job", "api")];
    let query = remote_read::ReadQuery { start: Timestamp(1), end: Timestamp(2), matchers };
    let read = remote_read::ReadRequest { queries: vec![query], accepted: vec![remote_read::ResponseType::Samples] };
    [one.finish(), two.finish(), read.encode()]
}

#[test]
fn no_body_of_remote_write_or_remote_read_breaks_its_reader() {
    let bodies = bodies();
    let mut series = watchbell_model::Series::new(Labels::metric("m", &[]), Vec::new());
    series.samples = (0..300).map(|at| Sample { timestamp: Timestamp(at * 1000), value: at as f64 }).collect();
    let answers = remote_read::encode_samples(&[vec![series.clone()]]);
    let frames = remote_read::encode_chunks(0, &series).concat();
    cases(|rng| {
        let other = &bodies[rng.below(3) as usize];
        let [one, two, read] = [0, 1, 2].map(|at| mutate(rng, &bodies[at], other));
        for part in v1::Request::new(&one).flatten() {
            if let v1::Part::Series(series) = part {
                let _ = series.labels();
                series.items().for_each(drop);
            }
        }
        if let Ok(request) = v2::Request::new(&two) {
            for series in request.series().flatten() {
                let _ = series.labels(&request);
                series.items(&request).for_each(drop);
            }
        }
        let _ = remote_read::ReadRequest::decode(&read);
        let _ = remote_read::decode_samples(&mutate(rng, &answers, &one), 1 << 20);
        let frames = mutate(rng, &frames, &one);
        let mut rest = &frames[..];
        while let Ok(Some(_)) = remote_read::decode_frame(&mut rest) {}
        let body = mutate(rng, &snappy::compress(&one), &two);
        assert!(snappy::decompress(&body, BODY_MAX).map_or(true, |body| body.len() <= BODY_MAX));
    });
}

#[test]
fn no_file_of_prometheus_breaks_its_reader() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/prometheus/tsdb");
    let file = |name: &str| Disk::Os.read(&folder.join(name)).unwrap();
    let block = "01M7XXS1ME6VQHGDEZRZSMKC9R";
    let good = [
        file(&format!("{block}/index")),
        file(&format!("{block}/chunks/000001")),
        file(&format!("{block}/tombstones")),
        file("chunks_head/000001"),
        file("wal/00000000"),
    ];
    cases(|rng| {
        let mut files = good.clone();
        let (at, other) = (rng.below(5) as usize, &good[rng.below(5) as usize]);
        files[at] = mutate(rng, &good[at], other);
        let [index, chunks, tombstones, head, wal] = &files;
        let mut go_on = |_| ControlFlow::Continue(());
        if let Ok((block, _)) = tsdb::Block::open(index, vec![Some(chunks)], Some(tombstones)) {
            let _ = block.each(i64::MIN, i64::MAX, &mut drop, &mut go_on);
        }
        let mut gathered = tsdb::Head::default();
        tsdb::wal::each_record("wal", wal, &mut drop, &mut |record| {
            let record = if rng.below(4) == 0 { mutate(rng, record, wal) } else { record.to_vec() };
            let _ = (gathered.learn(&record), gathered.take(&record));
        });
        if let Ok(chunks) = tsdb::HeadChunks::open("head", head) {
            for chunk in chunks.flatten() {
                gathered.take_chunk(chunk);
            }
        }
        gathered.drain(i64::MIN);
        let _ = prometheus::read_xor(&mutate(rng, &head[8..head.len().min(400)], head), &mut Vec::new());
    });
}

/// A message in a message, or bytes.
fn field(tag: u8, inner: &[u8]) -> Vec<u8> {
    let (mut out, mut length) = (vec![tag], inner.len());
    while length > 127 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(inner);
    out
}

/// A request of OpenTelemetry with every kind of metric, as protocol buffers.
fn otlp_body() -> Vec<u8> {
    let fixed = |tag: u8, value: u64| [&[tag][..], &value.to_le_bytes()].concat();
    let text =
        |key: &str, value: &str| [field(0x0a, key.as_bytes()), field(0x12, &field(0x0a, value.as_bytes()))].concat();
    let times = [fixed(0x11, 1_700_000_000_000_000_000), fixed(0x19, 1_700_000_060_000_000_000)].concat();
    let exemplar =
        [fixed(0x11, 7), fixed(0x19, 4.5f64.to_bits()), field(0x22, &[1; 8]), field(0x2a, &[2; 16])].concat();
    let counts: Vec<u8> = [1u64, 2, 3].iter().flat_map(|it| it.to_le_bytes()).collect();
    let bounds: Vec<u8> = [0.5f64, 1.0].iter().flat_map(|it| it.to_le_bytes()).collect();
    let number = [
        field(0x3a, &text("http.method", "GET")),
        times.clone(),
        fixed(0x21, 1.5f64.to_bits()),
        field(0x2a, &exemplar),
    ];
    let explicit = [
        field(0x4a, &text("a", "b")),
        times.clone(),
        fixed(0x21, 6),
        fixed(0x29, 2.5f64.to_bits()),
        field(0x32, &counts),
        field(0x3a, &bounds),
        field(0x42, &exemplar),
    ];
    let side = [vec![0x08, 3], field(0x12, &[1, 0, 2])].concat();
    let exponential = [
        times.clone(),
        fixed(0x21, 3),
        fixed(0x29, 2.5f64.to_bits()),
        vec![0x30, 6],
        field(0x42, &side),
        field(0x4a, &side),
    ];
    let summary = [times, fixed(0x21, 3), fixed(0x29, 9), field(0x32, &[fixed(0x09, 1), fixed(0x11, 2)].concat())];
    let data =
        |tag: u8, point: &[Vec<u8>], rest: &[u8]| field(tag, &[&field(0x0a, &point.concat())[..], rest].concat());
    let metrics = [
        data(0x2a, &number, &[]),
        data(0x3a, &number, &[0x10, 1, 0x18, 1]),
        data(0x4a, &explicit, &[0x10, 2]),
        data(0x52, &exponential, &[0x10, 1]),
        data(0x5a, &summary, &[]),
    ];
    let named = |data: &Vec<u8>| {
        field(0x12, &[field(0x0a, b"m.x"), field(0x12, b"Help."), field(0x1a, b"s"), data.clone()].concat())
    };
    let scope =
        [field(0x0a, &[field(0x0a, b"lib"), field(0x12, b"1.2")].concat()), metrics.iter().flat_map(named).collect()];
    let resource = field(0x0a, &field(0x0a, &text("service.name", "shop")));
    field(0x0a, &[resource, field(0x12, &scope.concat())].concat())
}

#[test]
fn no_body_of_opentelemetry_breaks_its_reader() {
    let protobuf = otlp_body();
    let read = otlp::decode_metrics(&protobuf, otlp::Encoding::Protobuf).expect("it is what a sender sends");
    let metrics = &read.resource_metrics[0].scope_metrics[0].metrics;
    assert_eq!(metrics.iter().filter(|metric| metric.data.is_some()).count(), 5, "{metrics:#?}");
    let json = br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"}]}}}]},"scopeMetrics":[{"scope":{"name":"lib"},"metrics":[{"name":"c","unit":"s","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"7","timeUnixNano":"1544712660300000000","exemplars":[{"asDouble":"NaN","traceId":"5b8efff798038103d269b633813fc60c"}]}]}},{"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"count":3,"scale":-1,"positive":{"offset":-2,"bucketCounts":[0,"2"]}}]}}]}]}]}"#;
    cases(|rng| {
        let other = if rng.below(2) == 0 { &protobuf[..] } else { json };
        for (body, encoding) in [(&protobuf[..], otlp::Encoding::Protobuf), (json, otlp::Encoding::Json)] {
            if let Ok(request) = otlp::decode_metrics(&mutate(rng, body, other), encoding) {
                let resources = request.resource_metrics.iter().filter_map(|it| it.resource.as_ref());
                for attribute in resources.flat_map(|it| &it.attributes) {
                    attribute.value.iter().for_each(|value| drop(value.text()));
                }
            }
        }
    });
}
