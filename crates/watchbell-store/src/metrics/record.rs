//! What one record of the log says, as bytes: series by their labels, then samples by reference.
//!
//! Pure. A record is self-contained but for series that an earlier record of the same segment named.

use watchbell_model::Labels;

use super::bytes::{Cursor, put_signed, put_text, put_varint};

/// A sample as the log holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) series: u32,
    pub(crate) time: i64,
    pub(crate) value: u64,
}

/// Gathers series and samples.
#[derive(Default)]
pub(crate) struct Record {
    series: Vec<u8>,
    series_count: u64,
    samples: Vec<Logged>,
}

const SERIES: u8 = 1;
const FLOATS: u8 = 2;

impl Record {
    pub(crate) fn name(&mut self, series: u32, labels: &Labels) {
        self.series_count += 1;
        put_varint(&mut self.series, u64::from(series));
        put_varint(&mut self.series, labels.len() as u64);
        for (name, value) in labels.iter() {
            put_text(&mut self.series, name);
            put_text(&mut self.series, value);
        }
    }

    pub(crate) fn sample(&mut self, sample: Logged) {
        self.samples.push(sample);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.series_count == 0
    }

    /// About how many bytes it will be, before compression.
    pub(crate) fn size(&self) -> usize {
        self.series.len() + self.samples.len() * 12
    }

    /// Columns, because neighbours in a column are alike and compress.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size() + 16);
        if self.series_count > 0 {
            out.push(SERIES);
            put_varint(&mut out, self.series_count);
            out.extend_from_slice(&self.series);
        }
        if !self.samples.is_empty() {
            out.push(FLOATS);
            put_varint(&mut out, self.samples.len() as u64);
            let mut last = 0;
            for sample in &self.samples {
                put_signed(&mut out, i64::from(sample.series) - last);
                last = i64::from(sample.series);
            }
            let mut last = 0;
            for sample in &self.samples {
                put_signed(&mut out, sample.time.wrapping_sub(last));
                last = sample.time;
            }
            for sample in &self.samples {
                out.extend_from_slice(&sample.value.to_le_bytes());
            }
        }
        out
    }
}

/// Reads a record; `None` if the bytes are not one. Series are handed over before the samples that refer to them.
pub(crate) fn decode(bytes: &[u8], mut series: impl FnMut(u32, Labels), mut sample: impl FnMut(Logged)) -> Option<()> {
    let mut from = Cursor(bytes);
    while !from.0.is_empty() {
        match from.u8()? {
            SERIES => {
                for _ in 0..from.varint()? {
                    let number = u32::try_from(from.varint()?).ok()?;
                    let pairs = (0..from.varint()?)
                        .map(|_| Some((from.text()?.to_owned(), from.text()?.to_owned())))
                        .collect::<Option<Vec<_>>>()?;
                    series(number, Labels::from_pairs(pairs));
                }
            }
            FLOATS => {
                let count = usize::try_from(from.varint()?).ok()?;
                // Each sample takes at least ten bytes: a count beyond that is no reason to ask for memory.
                if count > from.0.len() / 10 {
                    return None;
                }
                let mut samples = Vec::with_capacity(count);
                let mut last = 0_i64;
                for _ in 0..count {
                    last = last.checked_add(from.signed()?)?;
                    samples.push(Logged { series: u32::try_from(last).ok()?, time: 0, value: 0 });
                }
                let mut last = 0_i64;
                for sample in &mut samples {
                    last = last.wrapping_add(from.signed()?);
                    sample.time = last;
                }
                for sample in &mut samples {
                    sample.value = from.u64()?;
                }
                samples.into_iter().for_each(&mut sample);
            }
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(samples in prop::collection::vec((any::<u32>(), any::<i64>(), any::<u64>()), 0..50)) {
            let mut record = Record::default();
            let named = Labels::metric("up", &[("job", "mäil")]);
            record.name(7, &named);
            let written: Vec<Logged> = samples.into_iter().map(|(series, time, value)| Logged { series, time, value }).collect();
            written.iter().for_each(|sample| record.sample(*sample));
            let (mut series, mut read) = (Vec::new(), Vec::new());
            decode(&record.encode(), |number, labels| series.push((number, labels)), |sample| read.push(sample)).unwrap();
            prop_assert_eq!(series, vec![(7, named)]);
            prop_assert_eq!(read, written);
        }

        #[test]
        fn bytes_that_nobody_wrote_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes, |_, _| {}, |_| {});
        }
    }
}
