//! Prometheus' remote read, both ways: whole answers of samples, and streams of XOR chunks.
//!
//! Bodies of whole answers are compressed with snappy ([`crate::snappy`]), streams are not. Native histograms are chunks
//! of their own kind in streams.
//!
//! Source: Prometheus' `prompb/remote.proto` and `storage/remote/chunked.go`.

use watchbell_model::{HistogramSample, Labels, MatchOp, Matcher, Sample, Series, Timestamp};

use crate::ProtoError;
use crate::prometheus::tsdb::{Samples, chunk};
use crate::prometheus::{XOR_SAMPLES, write_histograms, write_xor};
use crate::proto::{Fields, put_bytes, put_i64, put_message, put_u64, put_varint, varint};
use crate::remote_write::{Item, v1};

/// The `Content-Type` of a streamed answer.
pub const STREAMED_CONTENT_TYPE: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// How long one frame of a stream may be: Prometheus' bound for those who read.
pub const FRAME_BYTES_MAX: usize = 50 << 20;
/// How long the frames are that are written, but for the last chunk of each: Prometheus' bound for those who write.
const FRAME_BYTES: usize = 1 << 20;

/// How an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// As one message of samples.
    Samples,
    /// As frames of XOR chunks.
    StreamedXorChunks,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadRequest {
    /// Each is answered by its own result, in order.
    pub queries: Vec<ReadQuery>,
    /// What the client understands, the best first; kinds that are not known are left out. None: samples.
    pub accepted: Vec<ResponseType>,
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadQuery {
    /// The first millisecond.
    pub start: Timestamp,
    /// The last millisecond.
    pub end: Timestamp,
    /// What series must fulfil.
    pub matchers: Vec<Matcher>,
}

impl ReadRequest {
    /// Reads a decompressed body.
    pub fn decode(body: &[u8]) -> Result<ReadRequest, ProtoError> {
        let mut request = ReadRequest { queries: Vec::new(), accepted: Vec::new() };
        let mut fields = Fields::new(body);
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => request.queries.push(query(field.message()?)?),
                2 => field.varints(|kind| match kind {
                    0 => request.accepted.push(ResponseType::Samples),
                    1 => request.accepted.push(ResponseType::StreamedXorChunks),
                    _ => {}
                })?,
                _ => {}
            }
        }
        Ok(request)
    }

    /// The body, not compressed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for query in &self.queries {
            put_message(&mut out, 1, |out| {
                put_i64(out, 1, query.start.0);
                put_i64(out, 2, query.end.0);
                for matcher in &query.matchers {
                    put_message(out, 3, |out| {
                        let op = OPS.iter().position(|op| *op == matcher.op).expect("every operator is there");
                        put_u64(out, 1, op as u64);
                        put_bytes(out, 2, matcher.name.as_bytes());
                        put_bytes(out, 3, matcher.value.as_bytes());
                    });
                }
                // Hints: servers that downsample by them must know that everything is wanted.
                put_message(out, 4, |out| {
                    put_i64(out, 3, query.start.0);
                    put_i64(out, 4, query.end.0);
                });
            });
        }
        for kind in &self.accepted {
            // Not packed, and zero too: the place in the list says something.
            put_varint(&mut out, 2 << 3);
            put_varint(&mut out, u64::from(*kind == ResponseType::StreamedXorChunks));
        }
        out
    }
}

const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];

fn query(mut fields: Fields<'_>) -> Result<ReadQuery, ProtoError> {
    let mut query = ReadQuery { start: Timestamp(0), end: Timestamp(0), matchers: Vec::new() };
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => query.start = Timestamp(field.i64()?),
            2 => query.end = Timestamp(field.i64()?),
            3 => query.matchers.push(matcher(field.message()?)?),
            _ => {}
        }
    }
    Ok(query)
}

fn matcher(mut fields: Fields<'_>) -> Result<Matcher, ProtoError> {
    let (mut op, mut name, mut value) = (MatchOp::Equal, "", "");
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => {
                let number = field.u64()?;
                let known = usize::try_from(number).ok().and_then(|number| OPS.get(number));
                op = *known.ok_or_else(|| content(format!("there is no matcher of type {number}")))?;
            }
            2 => name = field.text()?,
            3 => value = field.text()?,
            _ => {}
        }
    }
    Matcher::new(name, op, value).map_err(|error| content(error.to_string()))
}

/// A whole answer, not compressed: one list of series for each query.
pub fn encode_samples(results: &[Vec<Series>]) -> Vec<u8> {
    let mut out = Vec::new();
    for series in results {
        put_message(&mut out, 1, |out| {
            for series in series {
                put_message(out, 1, |out| {
                    v1::write_labels(out, 1, &series.labels);
                    for sample in &series.samples {
                        v1::write_sample(out, sample.timestamp, sample.value);
                    }
                    for sample in &series.histograms {
                        v1::write_histogram(out, sample.timestamp, &sample.histogram);
                    }
                });
            }
        });
    }
    out
}

/// Reads a whole answer of at most `samples_max` samples, a histogram counted as [`Series::size`] counts it.
pub fn decode_samples(body: &[u8], samples_max: usize) -> Result<Vec<Vec<Series>>, ProtoError> {
    let (mut fields, mut results, mut room) = (Fields::new(body), Vec::new(), samples_max);
    while let Some(field) = fields.next_field()? {
        if field.number != 1 {
            continue;
        }
        let (mut fields, mut found) = (field.message()?, Vec::new());
        while let Some(field) = fields.next_field()? {
            if field.number == 1 {
                let series = series(field.bytes()?, samples_max, &mut room)?;
                found.push(series);
            }
        }
        results.push(found);
    }
    Ok(results)
}

fn series(message: &[u8], samples_max: usize, room: &mut usize) -> Result<Series, ProtoError> {
    let raw = v1::Series::new(message)?;
    let mut series = Series::new(Labels::from_pairs(raw.labels()?), Vec::new());
    for item in raw.items() {
        let size = match item? {
            Item::Sample(sample, _) => {
                series.samples.push(sample);
                1
            }
            Item::Histogram(timestamp, histogram, _) => {
                histogram.check().map_err(|error| content(error.to_string()))?;
                let size = histogram.size();
                series.histograms.push(HistogramSample { timestamp, histogram: (*histogram).into() });
                size
            }
            Item::Exemplar(_) | Item::Metadata(..) => 0,
        };
        take(room, size, samples_max)?;
    }
    Ok(series)
}

fn take(room: &mut usize, size: usize, samples_max: usize) -> Result<(), ProtoError> {
    *room = room
        .checked_sub(size)
        .ok_or_else(|| content(format!("the answer has more than {samples_max} samples, which is what is allowed")))?;
    Ok(())
}

/// Frames of a stream for one series of a query's answer, to be sent one after the other.
pub fn encode_chunks(query: usize, series: &Series) -> Vec<Vec<u8>> {
    let mut chunks = Chunks { samples: &series.samples, histograms: &series.histograms }.peekable();
    let mut frames = Vec::new();
    while chunks.peek().is_some() {
        let mut message = Vec::new();
        put_message(&mut message, 1, |out| {
            v1::write_labels(out, 1, &series.labels);
            while let Some(chunk) = chunks.next_if(|_| out.len() < FRAME_BYTES) {
                put_message(out, 2, |out| {
                    put_i64(out, 1, chunk.first.0);
                    put_i64(out, 2, chunk.last.0);
                    put_u64(out, 3, u64::from(chunk.encoding));
                    put_bytes(out, 4, &chunk.data);
                });
            }
        });
        put_u64(&mut message, 2, query as u64);
        let mut frame = Vec::with_capacity(message.len() + 9);
        put_varint(&mut frame, message.len() as u64);
        frame.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
        frame.append(&mut message);
        frames.push(frame);
    }
    frames
}

/// A series in chunks, which are in order of time and do not overlap, as those who read them expect.
struct Chunks<'a> {
    samples: &'a [Sample],
    histograms: &'a [HistogramSample],
}

struct Chunk {
    first: Timestamp,
    last: Timestamp,
    encoding: u8,
    data: Vec<u8>,
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let float = self.samples.first().map(|sample| sample.timestamp);
        let other = self.histograms.first().map(|sample| sample.timestamp);
        match (float, other) {
            (Some(first), other) if other.is_none_or(|other| first < other) => {
                let before = |sample: &Sample| other.is_none_or(|other| sample.timestamp < other);
                let count = self.samples.partition_point(before).min(XOR_SAMPLES);
                let (chunk, rest) = self.samples.split_at(count);
                self.samples = rest;
                Some(Chunk { first, last: chunk[count - 1].timestamp, encoding: chunk::XOR, data: write_xor(chunk) })
            }
            (float, Some(first)) => {
                let before = |sample: &HistogramSample| float.is_none_or(|float| sample.timestamp < float);
                // Of both kinds at one time the histogram goes first.
                let most = self.histograms.partition_point(before).clamp(1, XOR_SAMPLES);
                let (data, count) = write_histograms(self.histograms, most);
                let (chunk, rest) = self.histograms.split_at(count);
                self.histograms = rest;
                Some(Chunk { first, last: chunk[count - 1].timestamp, encoding: chunk::FLOAT_HISTOGRAM, data })
            }
            _ => None,
        }
    }
}

/// Takes the first whole frame of a stream out of `buffer`: the query's place and a part of a series. `None`: more
/// bytes are needed.
pub fn decode_frame(buffer: &mut &[u8]) -> Result<Option<(usize, Vec<Series>)>, ProtoError> {
    let mut rest = *buffer;
    let length = match varint(&mut rest) {
        Ok(length) => length,
        Err(ProtoError::Cut) => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = usize::try_from(length).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| content(format!("a frame may have {FRAME_BYTES_MAX} bytes at most")))?;
    let Some((checksum, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let Some((message, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    if crc32c::crc32c(message) != u32::from_be_bytes(*checksum) {
        return Err(content("the checksum of a frame does not fit".to_owned()));
    }
    let (mut fields, mut found, mut query) = (Fields::new(message), Vec::new(), 0);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => found.push(chunked_series(field.message()?)?),
            2 => query = usize::try_from(field.u64()?).unwrap_or(usize::MAX),
            _ => {}
        }
    }
    *buffer = rest;
    Ok(Some((query, found)))
}

fn chunked_series(mut fields: Fields<'_>) -> Result<Series, ProtoError> {
    let (mut pairs, mut samples) = (Vec::new(), Samples::default());
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => pairs.push(v1::label(field.message()?)?),
            2 => read_chunk(field.message()?, &mut samples)?,
            _ => {}
        }
    }
    // Chunks may overlap.
    Ok(samples.into_series(Labels::from_pairs(pairs)))
}

fn read_chunk(mut fields: Fields<'_>, samples: &mut Samples) -> Result<(), ProtoError> {
    let (mut encoding, mut data) = (0, &[][..]);
    while let Some(field) = fields.next_field()? {
        match field.number {
            3 => encoding = field.u64()?,
            4 => data = field.bytes()?,
            _ => {}
        }
    }
    let encoding = u8::try_from(encoding).unwrap_or(u8::MAX);
    chunk::decode(encoding, data, samples).map_err(|words| content(format!("a chunk cannot be read: {words}")))
}

fn content(words: String) -> ProtoError {
    ProtoError::Content(words.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use watchbell_model::Histogram;

    use super::*;

    fn series(samples: i64) -> Series {
        let sample = |at: i64| Sample { timestamp: Timestamp(at * 15_000), value: at as f64 * 0.1 };
        Series::new(Labels::metric("up", &[("job", "mail")]), (0..samples).map(sample).collect())
    }

    #[test]
    fn a_question_comes_as_it_was_asked() {
        let matchers = OPS.map(|op| Matcher::new("job", op, "ma.l").unwrap()).to_vec();
        let query = ReadQuery { start: Timestamp(-1), end: Timestamp(1_700_000_000_000), matchers };
        let accepted = vec![ResponseType::StreamedXorChunks, ResponseType::Samples];
        let request = ReadRequest { queries: vec![query], accepted };
        assert_eq!(ReadRequest::decode(&request.encode()).unwrap(), request);
    }

    #[test]
    fn samples_within_the_limit() {
        let mut with_histograms = series(0);
        let histogram = Arc::new(Histogram { count: 3.0, zero_count: 3.0, sum: 0.5, ..Histogram::default() });
        with_histograms.histograms = vec![HistogramSample { timestamp: Timestamp(5), histogram }];
        let results = vec![vec![series(500), with_histograms], vec![]];
        let body = encode_samples(&results);
        assert_eq!(decode_samples(&body, 501).unwrap(), results);
        assert_eq!(
            decode_samples(&body, 500).unwrap_err().to_string(),
            "the answer has more than 500 samples, which is what is allowed"
        );
    }

    #[test]
    fn both_kinds_of_samples_are_streamed_in_order() {
        let mut wanted = series(300);
        let count = |at: i64| Histogram { count: at as f64, zero_count: at as f64, sum: 0.5, ..Histogram::default() };
        let sample = |at: i64| HistogramSample { timestamp: Timestamp(at * 15_000 + 7), histogram: count(at).into() };
        wanted.histograms = (100..103).chain(290..700).map(sample).collect();
        let stream = encode_chunks(0, &wanted).concat();
        let (_, mut found) = decode_frame(&mut &stream[..]).unwrap().unwrap();
        let found = found.remove(0);
        assert_eq!(found.samples, wanted.samples);
        assert_eq!(found.histograms.len(), wanted.histograms.len());
        for (found, wanted) in found.histograms.iter().zip(&wanted.histograms) {
            assert_eq!((found.timestamp, found.histogram.count), (wanted.timestamp, wanted.histogram.count));
        }
    }

    #[test]
    fn a_stream_is_read_frame_by_frame_as_it_arrives() {
        let wanted = series(1000);
        let stream: Vec<u8> = encode_chunks(3, &wanted).concat();
        let mut read = &stream[..];
        let (query, found) = decode_frame(&mut read).unwrap().unwrap();
        assert_eq!((query, found, read.len()), (3, vec![wanted], 0));
        for end in 0..stream.len() {
            assert!(decode_frame(&mut &stream[..end]).unwrap().is_none());
        }
        let mut flipped = stream.clone();
        flipped[40] ^= 1;
        assert_eq!(decode_frame(&mut &flipped[..]).unwrap_err().to_string(), "the checksum of a frame does not fit");
    }
}
