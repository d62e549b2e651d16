//! Segments of the log: pages of 32 KiB with records, large ones in pieces, most of them compressed.

use super::Damage;
use super::cursor::Cursor;

const PAGE: usize = 32 << 10;
/// Kind, length, checksum.
const HEADER: usize = 7;
/// A record larger than this unpacked is damage: Prometheus' own are the samples of one scrape.
pub const RECORD_MAX: usize = 128 << 20;

/// The part of a kind that says which piece it is.
const PIECE: u8 = 0b111;
const SNAPPY: u8 = 0b1000;
const ZSTD: u8 = 0b1_0000;

/// Hands over every whole record of a segment, unpacked, and tells of damage; what follows the damage on the next page
/// is read. A record that ends with the file was being written and is left out.
pub fn each_record(name: &str, bytes: &[u8], damaged: &mut dyn FnMut(Damage), visit: &mut dyn FnMut(&[u8])) {
    let mut reader = Reader { name, gathered: Vec::new(), unpacked: Vec::new() };
    for (number, page) in bytes.chunks(PAGE).enumerate() {
        reader.page(number * PAGE, page, damaged, visit);
    }
}

struct Reader<'a> {
    name: &'a str,
    /// The pieces of a record so far; empty between records.
    gathered: Vec<u8>,
    unpacked: Vec<u8>,
}

impl Reader<'_> {
    fn page(&mut self, begin: usize, page: &[u8], damaged: &mut dyn FnMut(Damage), visit: &mut dyn FnMut(&[u8])) {
        let mut from = Cursor(page);
        // The rest of a page is zeros.
        while from.0.len() >= HEADER && from.0[0] != 0 {
            let at = begin + page.len() - from.0.len();
            let mut bad = |reason: &str| damaged(Damage::new(format!("{} at {at}", self.name), reason));
            let (kind, len, sum) = (from.u8(), from.u16(), from.u32());
            let (Some(kind), Some(len), Some(sum)) = (kind, len, sum) else { return };
            let Some(piece) = from.take(usize::from(len)) else {
                self.gathered.clear();
                if page.len() == PAGE {
                    bad("a record reaches past its page");
                }
                return;
            };
            if crc32c::crc32c(piece) != sum {
                self.gathered.clear();
                bad("a record's checksum does not fit");
                return;
            }
            match kind & PIECE {
                1 => {
                    self.gathered.clear();
                    self.gathered.extend_from_slice(piece);
                }
                2 => {
                    self.gathered.clear();
                    self.gathered.extend_from_slice(piece);
                    continue;
                }
                // A piece without its first one belongs to a record whose damage was told of.
                3 | 4 if self.gathered.is_empty() => continue,
                3 | 4 => {
                    self.gathered.extend_from_slice(piece);
                    if self.gathered.len() > RECORD_MAX {
                        self.gathered.clear();
                        bad("a record is too long to be one");
                        continue;
                    }
                    if kind & PIECE == 3 {
                        continue;
                    }
                }
                _ => {
                    self.gathered.clear();
                    bad("a record is of no known kind");
                    return;
                }
            }
            let record = std::mem::take(&mut self.gathered);
            if kind & ZSTD != 0 {
                bad("a record is compressed by zstd, which is not read; restart Prometheus with \
                     `--storage.tsdb.wal-compression-type=snappy` and wait until the log is written anew");
                continue;
            }
            if kind & SNAPPY == 0 {
                visit(&record);
                continue;
            }
            match unpack(&record, &mut self.unpacked) {
                Some(()) => visit(&self.unpacked),
                None => bad("a record cannot be unpacked"),
            }
        }
    }
}

fn unpack(packed: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let len = snap::raw::decompress_len(packed).ok().filter(|len| *len <= RECORD_MAX)?;
    // Snappy makes no more than 64 bytes out of three.
    if len / 32 > packed.len() {
        return None;
    }
    out.clear();
    out.resize(len, 0);
    let written = snap::raw::Decoder::new().decompress(packed, out).ok()?;
    out.truncate(written);
    Some(())
}
