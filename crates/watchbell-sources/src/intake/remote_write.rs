//! Remote write, 1.0 and 2.0.

use watchbell_model::{Exemplar, Labels, MetricType, Timestamp};
use watchbell_wire::ProtoError;
use watchbell_wire::remote_write::{Item, Version, v1, v2};

use super::batch::{Builder, labels};
use super::known::{Hash, Key};
use super::{Intake, IntakeError, Written};

/// What source samples count for.
const SOURCE: &str = "remote_write";
/// Keep hashes of the two versions apart.
const V1: u8 = 1;
const V2: u8 = 2;

impl From<ProtoError> for IntakeError {
    fn from(error: ProtoError) -> IntakeError {
        IntakeError::Bad(error.to_string())
    }
}

impl Intake {
    /// Takes a decompressed request. `sender`: what it calls itself, for limits of its own.
    pub async fn remote_write(
        &self,
        version: Version,
        body: &[u8],
        sender: Option<&str>,
    ) -> Result<Written, IntakeError> {
        match version {
            Version::V1 => self.take(SOURCE, sender, |builder| build_v1(builder, body)).await,
            Version::V2 => {
                let request = v2::Request::new(body)?;
                let keys = self.0.known.keys();
                let hashes: Vec<Hash> = request
                    .symbols()
                    .iter()
                    .map(|symbol| {
                        let mut hash = keys.begin(V2);
                        keys.add(&mut hash, symbol.as_bytes());
                        hash
                    })
                    .collect();
                self.take(SOURCE, sender, |builder| build_v2(builder, &request, &hashes)).await
            }
        }
    }
}

fn build_v1(builder: &mut Builder<'_>, body: &[u8]) -> Result<(), IntakeError> {
    let known = builder.known;
    for part in v1::Request::new(body) {
        let series = match part? {
            v1::Part::Metadata(metric, it) => {
                builder.metadata(metric, it.kind, &it.help, &it.unit);
                continue;
            }
            v1::Part::Series(series) => series,
        };
        builder.begin();
        let mut hash = known.keys().begin(V1);
        known.keys().add(&mut hash, series.label_bytes());
        let key = known.keys().end(hash);
        let labels = || series.labels().map_err(|error| error.to_string()).and_then(labels);
        let mut last = None;
        for item in series.items() {
            add(builder, key, labels, item?, &mut last)?;
        }
    }
    Ok(())
}

fn build_v2(builder: &mut Builder<'_>, request: &v2::Request<'_>, hashes: &[Hash]) -> Result<(), IntakeError> {
    let (known, mut refs) = (builder.known, Vec::with_capacity(32));
    for series in request.series() {
        let series = series?;
        builder.begin();
        series.label_refs(&mut refs)?;
        let mut hash = known.keys().begin(V2);
        for symbol in &refs {
            // What is not there is refused when its labels are made.
            match hashes.get(*symbol as usize) {
                Some(symbol) => known.keys().add_hash(&mut hash, *symbol),
                None => series.labels(request).map(drop)?,
            }
        }
        let key = known.keys().end(hash);
        let labels = || series.labels(request).map_err(|error| error.to_string()).and_then(labels);
        let (mut last, mut metadata, mut native, start) = (None, None, false, series.start()?);
        for item in series.items(request) {
            let item = item?;
            native |= matches!(item, Item::Histogram(..));
            match item {
                Item::Metadata(kind, help, unit) => metadata = Some((kind, help, unit)),
                Item::Sample(sample, own) => add(builder, key, labels, Item::Sample(sample, own.or(start)), &mut last)?,
                Item::Histogram(at, histogram, own) => {
                    add(builder, key, labels, Item::Histogram(at, histogram, own.or(start)), &mut last)?;
                }
                item => add(builder, key, labels, item, &mut last)?,
            }
        }
        // Senders that know nothing of a metric say so; that is nothing to keep.
        if let Some((kind, help, unit)) = metadata.filter(|told| *told != (MetricType::Unknown, "", "")) {
            match series.labels(request)?.iter().find(|(name, _)| *name == Labels::NAME) {
                Some((_, metric)) if !metric.is_empty() => {
                    let family = if native { metric } else { family_of(metric, kind) };
                    builder.metadata(family, kind, help, unit);
                }
                _ => builder.refuse(u64::from(last.is_none()), || "metadata is of a series without a name".into()),
            }
        }
    }
    Ok(())
}

/// 2.0 describes series; what is described is the metric that a classic histogram's or a summary's series are of, under
/// whose name Prometheus' `/api/v1/metadata` has it.
fn family_of(metric: &str, kind: MetricType) -> &str {
    let ends: &[&str] = match kind {
        MetricType::Histogram => &["_bucket", "_sum", "_count"],
        MetricType::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        MetricType::Summary => &["_sum", "_count"],
        _ => &[],
    };
    ends.iter().find_map(|end| metric.strip_suffix(end)).filter(|family| !family.is_empty()).unwrap_or(metric)
}

/// `last`: the time of the series' sample before, for examples that say none (1.0 does not insist).
fn add(
    builder: &mut Builder<'_>,
    key: Key,
    labels: impl FnOnce() -> Result<Labels, String>,
    item: Item<'_>,
    last: &mut Option<Timestamp>,
) -> Result<(), IntakeError> {
    match item {
        Item::Sample(sample, start) => {
            *last = Some(sample.timestamp);
            builder.sample(key, labels, sample.timestamp, sample.value, start)?;
        }
        Item::Histogram(timestamp, histogram, start) => {
            *last = Some(timestamp);
            builder.histogram(key, labels, timestamp, *histogram, start)?;
        }
        Item::Exemplar(exemplar) => {
            let timestamp = if exemplar.timestamp.0 == 0 { last.unwrap_or(Timestamp(0)) } else { exemplar.timestamp };
            builder.exemplar(key, labels, Exemplar { timestamp, ..exemplar });
        }
        Item::Metadata(..) => {}
    }
    Ok(())
}
