//! How a body becomes samples, and how a native histogram is made to fit.

use watchbell_model::{BucketSpan, Buckets, Histogram, Relabel};
use watchbell_wire::prometheus::{Histograms, Limits, Protocol};

/// The coarsest and the finest layout of exponential buckets.
const SCHEMA_MIN: i32 = -4;
const SCHEMA_MAX: i32 = 8;

/// How a body becomes samples.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(super) honor_labels: bool,
    pub(super) honor_timestamps: bool,
    /// Whether the end of series with times of their own is marked too.
    pub(super) track_staleness: bool,
    /// `metric_relabel_configs`.
    pub(super) relabel: Relabel,
    /// Whether names must be of the characters that Prometheus 2 allowed.
    pub(super) legacy_names: bool,
    pub(super) histograms: Histograms,
    /// The finest layout that a native histogram keeps.
    pub(super) schema_max: i32,
    /// What a body without a usable `Content-Type` is read as.
    pub(super) fallback: Option<Protocol>,
    /// Past any of these the scrape fails; 0 is no bound.
    pub(super) samples_max: usize,
    pub(super) labels_max: usize,
    pub(super) label_name_max: usize,
    pub(super) label_value_max: usize,
    pub(super) buckets_max: usize,
}

impl Rules {
    /// Of a body that is our own: taken as it is.
    pub(crate) fn own() -> Rules {
        Rules {
            honor_labels: false,
            honor_timestamps: false,
            track_staleness: false,
            relabel: Relabel::default(),
            legacy_names: false,
            histograms: Histograms::default(),
            schema_max: SCHEMA_MAX,
            fallback: None,
            samples_max: 0,
            labels_max: 0,
            label_name_max: 0,
            label_value_max: 0,
            buckets_max: 0,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits::default()
    }

    /// A histogram as it is kept; `None` if it cannot have few enough buckets.
    pub(super) fn fit(&self, histogram: &Histogram) -> Fit {
        let exponential = !histogram.has_custom_buckets();
        let mut schema = histogram.schema;
        if exponential {
            schema = schema.min(self.schema_max);
        }
        let size = |histogram: &Histogram| histogram.positive.counts.len() + histogram.negative.counts.len();
        let mut coarse = (schema < histogram.schema).then(|| coarser(histogram, schema));
        while self.buckets_max > 0 && size(coarse.as_ref().unwrap_or(histogram)) > self.buckets_max {
            if !exponential || schema <= SCHEMA_MIN {
                return Fit::TooMany;
            }
            schema -= 1;
            coarse = Some(coarser(histogram, schema));
        }
        coarse.map_or(Fit::AsItIs, |coarse| Fit::Coarser(Box::new(coarse)))
    }
}

/// What becomes of a native histogram.
pub(super) enum Fit {
    AsItIs,
    Coarser(Box<Histogram>),
    TooMany,
}

/// The finest layout whose buckets grow by at least this factor, as Prometheus picks it.
pub(super) fn schema_of(min_factor: f64) -> i32 {
    let factor = if min_factor <= 1.0 || min_factor.is_nan() { 1.00271 } else { min_factor };
    let floor = (-factor.log2().log2()).floor();
    (floor.clamp(f64::from(SCHEMA_MIN), f64::from(SCHEMA_MAX))) as i32
}

/// The same histogram with the layout of a smaller schema.
fn coarser(histogram: &Histogram, schema: i32) -> Histogram {
    let shift = (histogram.schema - schema).clamp(0, 30) as u32;
    Histogram {
        schema,
        positive: merged(&histogram.positive, shift),
        negative: merged(&histogram.negative, shift),
        ..histogram.clone()
    }
}

/// `2^shift` neighbours become one: bucket `i` ends where bucket `((i - 1) >> shift) + 1` of the coarser layout does.
fn merged(buckets: &Buckets, shift: u32) -> Buckets {
    let mut out = Buckets::default();
    let (mut index, mut next, mut counts) = (0i64, 0i64, buckets.counts.iter());
    let mut first = true;
    for span in &buckets.spans {
        index += i64::from(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            let target = ((index - 1) >> shift) + 1;
            index += 1;
            if !first && target == next - 1 {
                *out.counts.last_mut().expect("there was a first one") += count;
                continue;
            }
            let gap = if first { target } else { target - next };
            match out.spans.last_mut() {
                Some(span) if gap == 0 => span.length += 1,
                _ => out.spans.push(BucketSpan { offset: gap as i32, length: 1 }),
            }
            out.counts.push(*count);
            next = target + 1;
            first = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_have_the_layouts_of_the_manual() {
        let wanted = [(65536.0, -4), (256.0, -3), (16.0, -2), (4.0, -1), (2.0, 0), (1.4, 1), (1.1, 2), (1.09, 3)];
        let wanted = wanted.into_iter().chain([(1.04, 4), (1.02, 5), (1.01, 6), (1.005, 7), (1.002, 8), (0.0, 8)]);
        for (factor, schema) in wanted {
            assert_eq!(schema_of(factor), schema, "{factor}");
        }
    }

    #[test]
    fn neighbours_are_merged() {
        let span = |offset, length| BucketSpan { offset, length };
        let fine = Buckets { spans: vec![span(-3, 4), span(2, 2)], counts: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        // -3, -2, -1, 0 and 3, 4 become -1, -1, 0, 0 and 2, 2.
        let coarse = merged(&fine, 1);
        assert_eq!(coarse.spans, [span(-1, 2), span(1, 1)]);
        assert_eq!(coarse.counts, [3.0, 7.0, 11.0]);
        assert_eq!(merged(&fine, 0), fine);
    }
}
