//! Files of `chunks_head`: full chunks of the last hours, of series that only the log names.

use super::cursor::Cursor;
use super::{Damage, Samples, chunk};

const MAGIC: u32 = 0x0130_BC91;
/// Set in the encoding of chunks that came out of order.
const OUT_OF_ORDER: u8 = 0x80;

/// A chunk of the head.
#[derive(Clone, Debug)]
pub struct HeadChunk {
    /// The series, as [`super::Record::Series`] names it.
    pub series: u64,
    /// What is in it.
    pub samples: Samples,
}

/// The chunks of one file, one after the other. Ends where the file was not written further.
#[derive(Debug)]
pub struct HeadChunks<'a> {
    name: String,
    from: Cursor<'a>,
    len: usize,
}

impl<'a> HeadChunks<'a> {
    /// `name`: for what is said of damage.
    pub fn open(name: &str, bytes: &'a [u8]) -> Result<HeadChunks<'a>, Damage> {
        let mut from = Cursor(bytes);
        if (from.u32(), from.u8()) != (Some(MAGIC), Some(1)) || from.take(3).is_none() {
            return Err(Damage::new(name, "it does not begin as chunks of a head"));
        }
        Ok(HeadChunks { name: name.to_owned(), from, len: bytes.len() })
    }
}

impl Iterator for HeadChunks<'_> {
    type Item = Result<HeadChunk, Damage>;

    fn next(&mut self) -> Option<Result<HeadChunk, Damage>> {
        let (whole, at) = (self.from.0, self.len - self.from.0.len());
        let mut from = self.from;
        let mut header = from;
        let series = header.u64()?;
        // The rest was set aside for chunks to come.
        if series == 0 {
            return None;
        }
        let place = || format!("{} at {at}", self.name);
        let read = |from: &mut Cursor<'_>| {
            from.take(24)?;
            let encoding = from.u8()?;
            let len = from.count()?;
            let data_at = whole.len() - from.0.len();
            from.take(len)?;
            let content = &whole[..data_at + len];
            let sum = from.u32()?;
            Some((encoding, data_at..data_at + len, sum == crc32c::crc32c(content)))
        };
        let Some((encoding, data, whole_chunk)) = read(&mut from) else {
            // Nothing is known of where the next one would begin.
            self.from = Cursor(&[]);
            return Some(Err(Damage::new(place(), "the chunk is cut short")));
        };
        self.from = from;
        if !whole_chunk {
            return Some(Err(Damage::new(place(), "the chunk's checksum does not fit")));
        }
        let mut samples = Samples::default();
        Some(match chunk::decode(encoding & !OUT_OF_ORDER, &whole[data], &mut samples) {
            Ok(()) => Ok(HeadChunk { series, samples }),
            Err(reason) => Err(Damage::new(place(), format!("the chunk: {reason}"))),
        })
    }
}
