//! 2.0: `io.prometheus.write.v2.Request`, every text once in a table of symbols.

use std::collections::HashMap;

use watchbell_model::{Exemplar, Labels, MetricType, Timestamp};

use super::{Item, Outgoing, content, histogram, metric_type, sample, told, type_number};
use crate::ProtoError;
use crate::proto::{Field, Fields, put_bytes, put_f64, put_i64, put_message, put_packed, put_u64};

/// How many symbols a request may have: far more than any sender's batch, far less than would fill memory.
pub const SYMBOLS_MAX: usize = 1 << 20;

/// A request.
#[derive(Debug)]
pub struct Request<'a> {
    symbols: Vec<&'a str>,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads the symbols of a decompressed body.
    pub fn new(body: &'a [u8]) -> Result<Request<'a>, ProtoError> {
        let (mut fields, mut symbols) = (Fields::new(body), Vec::new());
        while let Some(field) = fields.next_field()? {
            if field.number == 4 {
                if symbols.len() == SYMBOLS_MAX {
                    return Err(content(format!("a request may have {SYMBOLS_MAX} symbols at most")));
                }
                symbols.push(field.text()?);
            }
        }
        if symbols.first().is_some_and(|first| !first.is_empty()) {
            return Err(content("the first symbol of a request must be the empty text"));
        }
        Ok(Request { symbols, body })
    }

    /// All texts.
    pub fn symbols(&self) -> &[&'a str] {
        &self.symbols
    }

    /// Its series; ends after the first error.
    pub fn series(&self) -> SeriesIter<'a> {
        SeriesIter { fields: Fields::new(self.body) }
    }

    fn symbol(&self, at: u32) -> Result<&'a str, ProtoError> {
        let symbol = self.symbols.get(at as usize).copied();
        symbol.ok_or_else(|| content(format!("symbol {at} is referred to, there are {}", self.symbols.len())))
    }

    fn pairs(&self, refs: &[u32]) -> Result<Vec<(&'a str, &'a str)>, ProtoError> {
        let (pairs, odd) = refs.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(content("references to labels do not come in pairs"));
        }
        pairs.iter().map(|[name, value]| Ok((self.symbol(*name)?, self.symbol(*value)?))).collect()
    }
}

/// The series of a request.
#[derive(Debug)]
pub struct SeriesIter<'a> {
    fields: Fields<'a>,
}

impl<'a> SeriesIter<'a> {
    fn series(&mut self) -> Result<Option<Series<'a>>, ProtoError> {
        while let Some(field) = self.fields.next_field()? {
            if field.number == 5 {
                return Ok(Some(Series { fields: field.message()? }));
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for SeriesIter<'a> {
    type Item = Result<Series<'a>, ProtoError>;

    fn next(&mut self) -> Option<Self::Item> {
        let series = self.series();
        if series.is_err() {
            self.fields = Fields::new(&[]);
        }
        series.transpose()
    }
}

/// A series of a request.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    fields: Fields<'a>,
}

impl<'a> Series<'a> {
    /// Puts the places of its labels' texts into `refs`: name, value, name, value.
    pub fn label_refs(&self, refs: &mut Vec<u32>) -> Result<(), ProtoError> {
        refs.clear();
        let mut fields = self.fields;
        while let Some(field) = fields.next_field()? {
            if field.number == 1 {
                field.varints(|symbol| refs.push(u32::try_from(symbol).unwrap_or(u32::MAX)))?;
            }
        }
        Ok(())
    }

    /// Its labels, in the order they came.
    pub fn labels(&self, request: &Request<'a>) -> Result<Vec<(&'a str, &'a str)>, ProtoError> {
        let mut refs = Vec::new();
        self.label_refs(&mut refs)?;
        request.pairs(&refs)
    }

    /// When counting began, for those of its samples that do not say it (drafts of 2.0 said it once for a series).
    pub fn start(&self) -> Result<Option<Timestamp>, ProtoError> {
        let (mut fields, mut start) = (self.fields, 0);
        while let Some(field) = fields.next_field()? {
            if field.number == 6 {
                start = field.i64()?;
            }
        }
        Ok(told(start))
    }

    /// What it has.
    pub fn items<'r>(&self, request: &'r Request<'a>) -> Items<'a, 'r> {
        Items { fields: self.fields, request }
    }
}

/// What a series has; ends after the first error.
#[derive(Debug)]
pub struct Items<'a, 'r> {
    fields: Fields<'a>,
    request: &'r Request<'a>,
}

impl<'a> Items<'a, '_> {
    fn item(&mut self) -> Result<Option<Item<'a>>, ProtoError> {
        while let Some(field) = self.fields.next_field()? {
            return Ok(Some(match field.number {
                2 => sample(field.message()?)?,
                3 => {
                    let read = histogram::read(field.message()?)?;
                    Item::Histogram(read.timestamp, Box::new(read.histogram), told(read.start))
                }
                4 => Item::Exemplar(self.exemplar(field)?),
                5 => self.metadata(field)?,
                _ => continue,
            }));
        }
        Ok(None)
    }

    fn exemplar(&self, field: Field<'a>) -> Result<Exemplar, ProtoError> {
        let (mut refs, mut value, mut timestamp) = (Vec::new(), 0.0, 0);
        let mut fields = field.message()?;
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => field.varints(|symbol| refs.push(u32::try_from(symbol).unwrap_or(u32::MAX)))?,
                2 => value = field.f64()?,
                3 => timestamp = field.i64()?,
                _ => {}
            }
        }
        let labels = Labels::from_pairs(self.request.pairs(&refs)?);
        Ok(Exemplar { labels, value, timestamp: Timestamp(timestamp) })
    }

    fn metadata(&self, field: Field<'a>) -> Result<Item<'a>, ProtoError> {
        let (mut kind, mut help, mut unit) = (MetricType::Unknown, "", "");
        let mut fields = field.message()?;
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => kind = metric_type(field.u64()?),
                3 => help = self.request.symbol(field.u32()?)?,
                4 => unit = self.request.symbol(field.u32()?)?,
                _ => {}
            }
        }
        Ok(Item::Metadata(kind, help, unit))
    }
}

impl<'a> Iterator for Items<'a, '_> {
    type Item = Result<Item<'a>, ProtoError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.item();
        if item.is_err() {
            self.fields = Fields::new(&[]);
        }
        item.transpose()
    }
}

/// Writes a request.
#[derive(Debug)]
pub struct Writer {
    symbols: HashMap<Box<str>, u32>,
    table: Vec<u8>,
    series: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::new()
    }
}

impl Writer {
    /// An empty request.
    pub fn new() -> Writer {
        let mut writer = Writer { symbols: HashMap::new(), table: Vec::new(), series: Vec::new() };
        writer.symbol("");
        writer
    }

    fn symbol(&mut self, text: &str) -> u32 {
        if let Some(at) = self.symbols.get(text) {
            return *at;
        }
        let at = u32::try_from(self.symbols.len()).expect("a request is far smaller");
        self.symbols.insert(text.into(), at);
        put_bytes(&mut self.table, 4, text.as_bytes());
        at
    }

    fn refs(&mut self, labels: &Labels) -> Vec<u64> {
        labels.iter().flat_map(|(name, value)| [self.symbol(name), self.symbol(value)]).map(u64::from).collect()
    }

    /// Adds a series. Starts are written for each sample, and for the whole series too where there is one for all, as
    /// receivers of earlier drafts read it.
    pub fn series(&mut self, series: &Outgoing<'_>) {
        let refs = self.refs(series.labels);
        let exemplars: Vec<Vec<u64>> = series.exemplars.iter().map(|exemplar| self.refs(&exemplar.labels)).collect();
        let metadata = series.metadata.map(|it| (type_number(it.kind), self.symbol(&it.help), self.symbol(&it.unit)));
        put_message(&mut self.series, 5, |out| {
            put_packed(out, 1, refs.into_iter());
            for sample in series.samples {
                put_message(out, 2, |out| {
                    put_f64(out, 1, sample.value);
                    put_i64(out, 2, sample.timestamp.0);
                    put_i64(out, 3, series.start_of(sample.timestamp));
                });
            }
            for sample in series.histograms {
                let start = series.start_of(sample.timestamp);
                put_message(out, 3, |out| histogram::write(out, sample.timestamp, &sample.histogram, start));
            }
            for (exemplar, refs) in series.exemplars.iter().zip(exemplars) {
                put_message(out, 4, |out| {
                    put_packed(out, 1, refs.into_iter());
                    put_f64(out, 2, exemplar.value);
                    put_i64(out, 3, exemplar.timestamp.0);
                });
            }
            if let Some((kind, help, unit)) = metadata {
                put_message(out, 5, |out| {
                    put_u64(out, 1, kind);
                    put_u64(out, 3, u64::from(help));
                    put_u64(out, 4, u64::from(unit));
                });
            }
            let first =
                series.samples.iter().map(|it| it.timestamp).chain(series.histograms.iter().map(|it| it.timestamp));
            if let [only] = series.starts
                && first.min().is_some_and(|first| only.from <= first)
            {
                put_i64(out, 6, only.start.0);
            }
        });
    }

    /// How many bytes it has as yet.
    pub fn len(&self) -> usize {
        self.table.len() + self.series.len()
    }

    /// Whether no series was added.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The request, not compressed.
    pub fn finish(mut self) -> Vec<u8> {
        self.table.append(&mut self.series);
        self.table
    }
}
