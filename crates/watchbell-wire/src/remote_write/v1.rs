//! 1.0: `prometheus.WriteRequest`, every label spelled out in every series.

use std::borrow::Cow;

use watchbell_model::{Exemplar, Histogram, Labels, Metadata, Sample, Timestamp};

use super::{Item, Outgoing, histogram, metric_type, sample, type_number};
use crate::ProtoError;
use crate::proto::{Fields, put_bytes, put_f64, put_i64, put_message, put_u64};

/// A request, part by part; ends after the first error.
#[derive(Debug)]
pub struct Request<'a> {
    fields: Fields<'a>,
}

/// One part of a request.
#[derive(Debug)]
pub enum Part<'a> {
    /// A series.
    Series(Series<'a>),
    /// What a metric is: its name, without the endings of its series.
    Metadata(&'a str, Metadata),
}

impl<'a> Request<'a> {
    /// Of a decompressed body.
    pub fn new(body: &'a [u8]) -> Request<'a> {
        Request { fields: Fields::new(body) }
    }

    fn part(&mut self) -> Result<Option<Part<'a>>, ProtoError> {
        while let Some(field) = self.fields.next_field()? {
            match field.number {
                1 => return Ok(Some(Part::Series(Series::new(field.bytes()?)?))),
                3 => {
                    let (name, metadata) = metadata(field.message()?)?;
                    return Ok(Some(Part::Metadata(name, metadata)));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for Request<'a> {
    type Item = Result<Part<'a>, ProtoError>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.part();
        if part.is_err() {
            self.fields = Fields::new(&[]);
        }
        part.transpose()
    }
}

/// A series of a request.
#[derive(Debug)]
pub struct Series<'a> {
    labels: Cow<'a, [u8]>,
    rest: &'a [u8],
}

/// The tag of a label in a series.
const LABEL: u8 = 1 << 3 | 2;

impl<'a> Series<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Result<Series<'a>, ProtoError> {
        let mut fields = Fields::new(message);
        while fields.rest().first() == Some(&LABEL) {
            fields.next_field()?;
        }
        let rest = fields.rest();
        let mut labels = Cow::Borrowed(&message[..message.len() - rest.len()]);
        // Every sender writes labels first, but none has to.
        while let Some(field) = fields.next_field()? {
            if field.number == 1 {
                put_bytes(labels.to_mut(), 1, field.bytes()?);
            }
        }
        Ok(Series { labels, rest })
    }

    /// The bytes of its labels: two series whose bytes are the same have the same labels.
    pub fn label_bytes(&self) -> &[u8] {
        &self.labels
    }

    /// Its labels, in the order they came.
    pub fn labels(&self) -> Result<Vec<(&str, &str)>, ProtoError> {
        let mut fields = Fields::new(&self.labels);
        let mut pairs = Vec::with_capacity(16);
        while let Some(field) = fields.next_field()? {
            pairs.push(label(field.message()?)?);
        }
        Ok(pairs)
    }

    /// What it has.
    pub fn items(&self) -> Items<'a> {
        Items { fields: Fields::new(self.rest) }
    }
}

/// What a series has; ends after the first error.
#[derive(Debug)]
pub struct Items<'a> {
    fields: Fields<'a>,
}

impl<'a> Items<'a> {
    fn item(&mut self) -> Result<Option<Item<'a>>, ProtoError> {
        while let Some(field) = self.fields.next_field()? {
            return Ok(Some(match field.number {
                2 => sample(field.message()?)?,
                3 => Item::Exemplar(exemplar(field.message()?)?),
                4 => {
                    let read = histogram::read(field.message()?)?;
                    Item::Histogram(read.timestamp, Box::new(read.histogram), None)
                }
                _ => continue,
            }));
        }
        Ok(None)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, ProtoError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.item();
        if item.is_err() {
            self.fields = Fields::new(&[]);
        }
        item.transpose()
    }
}

pub(crate) fn label(mut fields: Fields<'_>) -> Result<(&str, &str), ProtoError> {
    let mut pair = ("", "");
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => pair.0 = field.text()?,
            2 => pair.1 = field.text()?,
            _ => {}
        }
    }
    Ok(pair)
}

fn exemplar(mut fields: Fields<'_>) -> Result<Exemplar, ProtoError> {
    let (mut pairs, mut value, mut timestamp) = (Vec::new(), 0.0, 0);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => pairs.push(label(field.message()?)?),
            2 => value = field.f64()?,
            3 => timestamp = field.i64()?,
            _ => {}
        }
    }
    Ok(Exemplar { labels: Labels::from_pairs(pairs), value, timestamp: Timestamp(timestamp) })
}

fn metadata(mut fields: Fields<'_>) -> Result<(&str, Metadata), ProtoError> {
    let (mut name, mut metadata) = ("", Metadata::default());
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => metadata.kind = metric_type(field.u64()?),
            2 => name = field.text()?,
            4 => metadata.help = field.text()?.to_owned(),
            5 => metadata.unit = field.text()?.to_owned(),
            _ => {}
        }
    }
    Ok((name, metadata))
}

/// Writes a request.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty request.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Adds a series; starts and metadata have no place in it.
    pub fn series(&mut self, series: &Outgoing<'_>) {
        put_message(&mut self.out, 1, |out| {
            write_labels(out, 1, series.labels);
            for Sample { timestamp, value } in series.samples {
                write_sample(out, *timestamp, *value);
            }
            for exemplar in series.exemplars {
                put_message(out, 3, |out| {
                    write_labels(out, 1, &exemplar.labels);
                    put_f64(out, 2, exemplar.value);
                    put_i64(out, 3, exemplar.timestamp.0);
                });
            }
            for sample in series.histograms {
                write_histogram(out, sample.timestamp, &sample.histogram);
            }
        });
    }

    /// Adds what a metric is.
    pub fn metadata(&mut self, name: &str, metadata: &Metadata) {
        put_message(&mut self.out, 3, |out| {
            put_u64(out, 1, type_number(metadata.kind));
            put_bytes(out, 2, name.as_bytes());
            put_bytes(out, 4, metadata.help.as_bytes());
            put_bytes(out, 5, metadata.unit.as_bytes());
        });
    }

    /// How many bytes it has as yet.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The request, not compressed.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

pub(crate) fn write_labels(out: &mut Vec<u8>, number: u32, labels: &Labels) {
    for (name, value) in labels.iter() {
        put_message(out, number, |out| {
            put_bytes(out, 1, name.as_bytes());
            put_bytes(out, 2, value.as_bytes());
        });
    }
}

pub(crate) fn write_sample(out: &mut Vec<u8>, timestamp: Timestamp, value: f64) {
    put_message(out, 2, |out| {
        put_f64(out, 1, value);
        put_i64(out, 2, timestamp.0);
    });
}

pub(crate) fn write_histogram(out: &mut Vec<u8>, timestamp: Timestamp, histogram: &Histogram) {
    put_message(out, 4, |out| histogram::write(out, timestamp, histogram, 0));
}
