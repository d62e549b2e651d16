//! What one record of the log says, as bytes: series by their labels, then samples by the series' numbers.
//!
//! Pure. A record is self-contained but for series that an earlier record of the same segment named.

use std::collections::{BTreeMap, HashMap};

use watchbell_model::Histogram;

use super::bytes::{Cursor, put_signed, put_text, put_varint};
use super::record_rare::{Gathered, Reading, Said};

/// A sample as the log holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) series: u32,
    pub(crate) time: i64,
    pub(crate) value: u64,
}

/// Gathers series and samples.
#[derive(Default)]
pub(crate) struct Record {
    /// By the caller's number of the source.
    names: BTreeMap<u16, Names>,
    samples: Vec<Logged>,
    rare: Gathered,
    /// The newest time in it.
    newest: Option<i64>,
}

/// Series of one source by their labels, each label pair once: a host's series share most of theirs.
#[derive(Default)]
struct Names {
    source: String,
    pairs: Vec<u8>,
    /// The places of pairs, by the caller's numbers for them.
    places: HashMap<u32, u32>,
    series: Vec<u8>,
    count: u64,
}

/// Series with all their texts: version 1.
const SERIES: u8 = 1;
const FLOATS: u8 = 2;
/// A source, label pairs, and its series whose labels are places in those: since version 2.
const NAMES: u8 = 3;

impl Record {
    /// Names a series. `source` and the pairs are the caller's own numbers, which mean the same for the whole record;
    /// `text` has the name and value of a pair.
    pub(crate) fn name<'t>(
        &mut self,
        series: u32,
        source: (u16, &str),
        pairs: impl Iterator<Item = u32>,
        text: impl Fn(u32) -> (&'t str, &'t str),
    ) {
        let new = || Names { source: source.1.to_owned(), ..Names::default() };
        let names = self.names.entry(source.0).or_insert_with(new);
        let places: Vec<u32> = pairs.map(|pair| names.place(pair, || text(pair))).collect();
        names.count += 1;
        put_varint(&mut names.series, u64::from(series));
        put_varint(&mut names.series, places.len() as u64);
        places.iter().for_each(|place| put_varint(&mut names.series, u64::from(*place)));
    }

    pub(crate) fn sample(&mut self, sample: Logged) {
        self.newest = self.newest.max(Some(sample.time));
        self.samples.push(sample);
    }

    pub(crate) fn histogram(&mut self, series: u32, time: i64, histogram: &Histogram) {
        self.newest = self.newest.max(Some(time));
        self.rare.histogram(series, time, histogram);
    }

    /// What is neither a float nor a histogram.
    pub(crate) fn rare(&mut self) -> &mut Gathered {
        &mut self.rare
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.names.is_empty() && self.rare.is_empty()
    }

    /// About how many bytes it will be, before compression.
    pub(crate) fn size(&self) -> usize {
        let names = self.names.values().map(|names| names.pairs.len() + names.series.len()).sum::<usize>();
        names + self.samples.len() * 12 + self.rare.size()
    }

    pub(crate) fn samples(&self) -> usize {
        self.samples.len()
    }

    /// How many bytes it has besides names and floats.
    pub(crate) fn rare_size(&self) -> usize {
        self.rare.size()
    }

    /// The newest time in it.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Columns, because neighbours in a column are alike and compress.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size() + 32);
        for names in self.names.values() {
            out.push(NAMES);
            put_text(&mut out, &names.source);
            put_varint(&mut out, names.places.len() as u64);
            out.extend_from_slice(&names.pairs);
            put_varint(&mut out, names.count);
            out.extend_from_slice(&names.series);
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
        out.extend_from_slice(self.rare.bytes());
        out
    }
}

impl Names {
    fn place<'t>(&mut self, pair: u32, text: impl FnOnce() -> (&'t str, &'t str)) -> u32 {
        let next = self.places.len() as u32;
        *self.places.entry(pair).or_insert_with(|| {
            let (name, value) = text();
            put_text(&mut self.pairs, name);
            put_text(&mut self.pairs, value);
            next
        })
    }
}

/// Series that a record names.
pub(crate) struct Named<'a> {
    /// Where they come from, if that is known.
    pub(crate) source: Option<&'a str>,
    /// Label pairs they are made of.
    pub(crate) pairs: Vec<(&'a str, &'a str)>,
    /// The number of each, and where in `places` it begins: it ends where the next one begins.
    series: Vec<(u32, usize)>,
    places: Vec<u32>,
}

impl Named<'_> {
    /// The number of each series and its labels, as places in `pairs`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[u32])> {
        let ends = self.series.iter().skip(1).map(|(_, begin)| *begin).chain([self.places.len()]);
        self.series.iter().zip(ends).map(|((number, begin), end)| (*number, &self.places[*begin..end]))
    }
}

/// Takes what a record says, in its order.
pub(crate) trait Entries {
    /// From now on these numbers mean these series. `None` if they are no sets of labels.
    fn names(&mut self, named: &Named<'_>) -> Option<()>;
    /// Samples, each with its series' number.
    fn floats(&mut self, samples: &[Logged]);
    /// Something else.
    fn rare(&mut self, said: Said);
}

/// Reads a record; `None` if the bytes are not one.
pub(crate) fn decode(bytes: &[u8], to: &mut impl Entries) -> Option<()> {
    let (mut from, mut rare) = (Cursor(bytes), Reading::default());
    while !from.0.is_empty() {
        match from.u8()? {
            SERIES => series(&mut from, to)?,
            FLOATS => floats(&mut from, to)?,
            NAMES => names(&mut from, to)?,
            kind => to.rare(rare.next(kind, &mut from)?),
        }
    }
    Some(())
}

fn series(from: &mut Cursor<'_>, to: &mut impl Entries) -> Option<()> {
    let mut named = Named { source: None, pairs: Vec::new(), series: Vec::new(), places: Vec::new() };
    for _ in 0..from.varint()? {
        named.series.push((u32::try_from(from.varint()?).ok()?, named.places.len()));
        let first = named.pairs.len() as u32;
        named.pairs.append(&mut pairs(from)?);
        named.places.extend(first..named.pairs.len() as u32);
    }
    to.names(&named)
}

fn names(from: &mut Cursor<'_>, to: &mut impl Entries) -> Option<()> {
    let (source, pairs) = (Some(from.text()?), pairs(from)?);
    let mut named = Named { source, pairs, series: Vec::new(), places: Vec::new() };
    for _ in 0..from.varint()? {
        named.series.push((u32::try_from(from.varint()?).ok()?, named.places.len()));
        for _ in 0..from.varint()? {
            let place = u32::try_from(from.varint()?).ok();
            named.places.push(place.filter(|place| (*place as usize) < named.pairs.len())?);
        }
    }
    to.names(&named)
}

fn pairs<'a>(from: &mut Cursor<'a>) -> Option<Vec<(&'a str, &'a str)>> {
    (0..from.varint()?).map(|_| Some((from.text()?, from.text()?))).collect()
}

fn floats(from: &mut Cursor<'_>, to: &mut impl Entries) -> Option<()> {
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
    let values = from.take(count * 8)?;
    for (sample, value) in samples.iter_mut().zip(values.chunks_exact(8)) {
        sample.value = u64::from_le_bytes(value.try_into().ok()?);
    }
    to.floats(&samples);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In words.
    #[derive(Default)]
    struct Told {
        series: Vec<String>,
        samples: Vec<Logged>,
    }

    impl Entries for Told {
        fn names(&mut self, named: &Named<'_>) -> Option<()> {
            for (number, places) in named.iter() {
                let pairs = places.iter().map(|place| named.pairs[*place as usize]);
                let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
                self.series.push(format!("{number} {} {}", named.source.unwrap_or("?"), pairs.join(" ")));
            }
            Some(())
        }

        fn floats(&mut self, samples: &[Logged]) {
            self.samples.extend(samples);
        }

        fn rare(&mut self, said: Said) {
            self.series.push(format!("{said:?}"));
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(samples in prop::collection::vec((any::<u32>(), any::<i64>(), any::<u64>()), 0..50)) {
            let mut record = Record::default();
            let texts = |at: u32| [("__name__", "up"), ("job", "mäil"), ("job", "web")][at as usize];
            record.name(7, (2, "scrape/mail"), [0, 1].into_iter(), texts);
            record.name(8, (0, ""), [].into_iter(), texts);
            record.name(9, (2, "scrape/mail"), [0, 2].into_iter(), texts);
            let written: Vec<Logged> = samples.into_iter().map(|(series, time, value)| Logged { series, time, value }).collect();
            written.iter().for_each(|sample| record.sample(*sample));
            prop_assert_eq!(record.newest(), written.iter().map(|sample| sample.time).max());
            let mut told = Told::default();
            decode(&record.encode(), &mut told).unwrap();
            let named = ["8  ", "7 scrape/mail __name__=up job=mäil", "9 scrape/mail __name__=up job=web"];
            prop_assert_eq!(told.series, named);
            prop_assert_eq!(told.samples, written);
        }

        #[test]
        fn bytes_that_nobody_wrote_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes, &mut Told::default());
        }
    }

    #[test]
    fn series_of_version_1_are_read() {
        let mut bytes = vec![SERIES, 1, 5, 1];
        put_text(&mut bytes, "job");
        put_text(&mut bytes, "mail");
        let mut told = Told::default();
        decode(&bytes, &mut told).unwrap();
        assert_eq!(told.series, ["5 ? job=mail"]);
    }
}
