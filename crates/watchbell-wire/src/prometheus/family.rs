//! Families of metrics as Prometheus' protobuf exposition, which alone carries native histograms.
//!
//! Source: `io.prometheus.client` in client_model's `metrics.proto`.

use watchbell_model::{Buckets, Histogram, Labels, Timestamp};

use crate::proto::{put_bytes, put_f64_always, put_i64, put_message, put_u64, put_varint, zigzag};

/// The `Content-Type` of families, each with its length before it.
pub const PROTOBUF_CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// What a family says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// Nothing is said.
    Untyped,
    /// Histograms of counters.
    Histogram,
    /// Histograms that go up and down.
    GaugeHistogram,
}

/// A family that is written.
#[derive(Debug)]
pub struct Family(Vec<u8>);

impl Family {
    /// A family without metrics.
    pub fn new(name: &str, kind: FamilyKind) -> Family {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, name.as_bytes());
        let number = match kind {
            FamilyKind::Untyped => 3,
            FamilyKind::Histogram => 4,
            FamilyKind::GaugeHistogram => 5,
        };
        put_u64(&mut out, 3, number);
        Family(out)
    }

    /// Adds a value.
    pub fn value(&mut self, labels: &Labels, extra: &[(&str, &str)], value: f64, at: Timestamp) {
        self.metric(labels, extra, at, |out| put_message(out, 5, |out| put_f64_always(out, 1, value)));
    }

    /// Adds a histogram: one with custom buckets as a classic one, since this format has no other way for it.
    pub fn histogram(&mut self, labels: &Labels, extra: &[(&str, &str)], histogram: &Histogram, at: Timestamp) {
        self.metric(labels, extra, at, |out| {
            put_message(out, 7, |out| {
                put_f64_always(out, 2, histogram.sum);
                if histogram.has_custom_buckets() {
                    for (bound, count) in classic_buckets(histogram) {
                        put_message(out, 3, |out| {
                            put_f64_always(out, 2, bound);
                            put_f64_always(out, 4, count);
                        });
                    }
                }
                put_f64_always(out, 4, histogram.count);
                if !histogram.has_custom_buckets() {
                    put_u64(out, 5, zigzag(i64::from(histogram.schema)));
                    if histogram.schema == 0 {
                        // Zero says something: without a schema a histogram is a classic one.
                        put_varint(out, 5 << 3);
                        put_varint(out, 0);
                    }
                    put_f64_always(out, 6, histogram.zero_threshold);
                    put_f64_always(out, 8, histogram.zero_count);
                    buckets(out, (9, 11), &histogram.negative);
                    buckets(out, (12, 14), &histogram.positive);
                }
            });
        });
    }

    fn metric(&mut self, labels: &Labels, extra: &[(&str, &str)], at: Timestamp, value: impl FnOnce(&mut Vec<u8>)) {
        put_message(&mut self.0, 4, |out| {
            let own = labels.iter().filter(|(name, _)| *name != Labels::NAME);
            for (name, value) in own.chain(extra.iter().copied()) {
                put_message(out, 1, |out| {
                    put_bytes(out, 1, name.as_bytes());
                    put_bytes(out, 2, value.as_bytes());
                });
            }
            value(out);
            put_i64(out, 6, at.as_millis());
        });
    }

    /// Appends it to a body.
    pub fn finish(self, body: &mut Vec<u8>) {
        put_varint(body, self.0.len() as u64);
        body.extend_from_slice(&self.0);
    }
}

fn buckets(out: &mut Vec<u8>, (spans, counts): (u32, u32), buckets: &Buckets) {
    for span in &buckets.spans {
        put_message(out, spans, |out| {
            put_u64(out, 1, zigzag(i64::from(span.offset)));
            put_u64(out, 2, u64::from(span.length));
        });
    }
    buckets.counts.iter().for_each(|count| put_f64_always(out, counts, *count));
}

/// The buckets of a histogram with custom bounds as a classic one has them: upper bounds with all that is below, but
/// for the infinite one.
pub fn classic_buckets(histogram: &Histogram) -> Vec<(f64, f64)> {
    let (mut counts, mut at) = (vec![0.0; histogram.custom_values.len() + 1], 0i64);
    let mut values = histogram.positive.counts.iter();
    for span in &histogram.positive.spans {
        at += i64::from(span.offset);
        for count in values.by_ref().take(span.length as usize) {
            if let Some(have) = usize::try_from(at).ok().and_then(|at| counts.get_mut(at)) {
                *have = *count;
            }
            at += 1;
        }
    }
    let mut sum = 0.0;
    let below = histogram.custom_values.iter().zip(counts).map(|(bound, count)| {
        sum += count;
        (*bound, sum)
    });
    below.collect()
}

#[cfg(test)]
mod tests {
    use watchbell_model::BucketSpan;

    use super::*;

    #[test]
    fn a_family_is_laid_out_as_described() {
        let mut family = Family::new("up", FamilyKind::Untyped);
        family.value(&Labels::metric("up", &[("job", "a")]), &[("instance", "")], 1.0, Timestamp(5));
        let mut body = Vec::new();
        family.finish(&mut body);
        let metric = [
            &[0x0a, 8, 0x0a, 3][..],
            b"job",
            &[0x12, 1, b'a', 0x0a, 12, 0x0a, 8],
            b"instance",
            &[0x12, 0, 0x2a, 9, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x30, 5],
        ]
        .concat();
        let wanted = [&[0x0a, 2][..], b"up", &[0x18, 3, 0x22, metric.len() as u8], &metric].concat();
        assert_eq!(body, [&[wanted.len() as u8][..], &wanted].concat());
    }

    #[test]
    fn custom_buckets_add_up() {
        let spans = vec![BucketSpan { offset: 1, length: 1 }, BucketSpan { offset: 1, length: 1 }];
        let histogram = Histogram {
            schema: Histogram::CUSTOM_BUCKETS,
            positive: Buckets { spans, counts: vec![2.0, 3.0] },
            custom_values: vec![0.1, 1.0, 10.0, 100.0],
            ..Histogram::default()
        };
        assert_eq!(classic_buckets(&histogram), [(0.1, 0.0), (1.0, 2.0), (10.0, 2.0), (100.0, 5.0)]);
    }
}
