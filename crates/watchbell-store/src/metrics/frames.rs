//! Frames: how records lie in files that grow, so that a torn end and a damaged middle are told apart.
//!
//! The log and the queue of the remote engine are made of them. Layout: `docs/formats/metrics.md`.
//!
//! Invariant: whatever the bytes are, every frame that is whole is found.

use super::bytes::Cursor;

/// Begins each frame, so that the next one is found behind a damaged one.
pub(crate) const MARK: [u8; 4] = [0xa7, b'W', b'B', 0x9c];
/// Mark, length, checksum, length before compression.
const FRAME_HEADER: usize = 16;

/// Adds a record: `mark | stored length | checksum of all that follows | length before compression | lz4`.
pub(crate) fn frame(record: &[u8], out: &mut Vec<u8>) {
    let packed = lz4_flex::block::compress(record);
    let mut rest = Vec::with_capacity(packed.len() + 4);
    rest.extend_from_slice(&(record.len() as u32).to_le_bytes());
    rest.extend_from_slice(&packed);
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&(packed.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
    out.extend_from_slice(&rest);
}

/// What a file that should hold frames was found to hold.
pub(crate) struct Frames {
    /// Where each whole frame begins and ends.
    pub(crate) good: Vec<(usize, usize)>,
    /// Bytes between whole frames that are none.
    pub(crate) bad: Vec<(usize, usize)>,
    /// Where the last whole frame ends: behind it is what was being written.
    pub(crate) end: usize,
}

/// Looks through a file that begins with `header`.
pub(crate) fn frames(content: &[u8], header: &[u8]) -> Frames {
    let mut frames = Frames { good: Vec::new(), bad: Vec::new(), end: 0 };
    let mut at = if content.starts_with(header) { header.len() } else { 0 };
    frames.end = at;
    while at < content.len() {
        if let Some(len) = whole_frame(&content[at..]) {
            if frames.end < at {
                frames.bad.push((frames.end, at));
            }
            frames.good.push((at, at + len));
            at += len;
            frames.end = at;
        } else {
            let next = content[at + 1..].windows(MARK.len()).position(|bytes| bytes == MARK);
            at = next.map_or(content.len(), |next| at + 1 + next);
        }
    }
    if marks(&content[frames.end..]) > 1 {
        // Only the last frame is ever half written.
        frames.bad.push((frames.end, content.len()));
    }
    frames
}

fn marks(bytes: &[u8]) -> usize {
    bytes.windows(MARK.len()).filter(|bytes| *bytes == MARK).count()
}

/// The length of the frame that begins here, if it is whole.
fn whole_frame(bytes: &[u8]) -> Option<usize> {
    let mut from = Cursor(bytes);
    if from.take(4)? != MARK {
        return None;
    }
    let (len, sum) = (from.u32()? as usize, from.u32()?);
    let rest = from.take(len.checked_add(4)?)?;
    (crc32c::crc32c(rest) == sum).then_some(FRAME_HEADER + len)
}

/// The record in a whole frame.
pub(crate) fn unpack(frame: &[u8]) -> Option<Vec<u8>> {
    let len = u32::from_le_bytes(frame.get(12..16)?.try_into().ok()?) as usize;
    lz4_flex::block::decompress(&frame[FRAME_HEADER..], len).ok()
}
