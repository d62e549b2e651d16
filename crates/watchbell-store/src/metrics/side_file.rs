//! Small files beside blocks and log, written whole: what must survive the cutting of the log, but is no block.
//!
//! Layout: `docs/formats/metrics.md`. One that is damaged is set aside and told of; the store goes on without it.

use std::io;
use std::path::Path;

use watchbell_runtime::Disk;

use super::aside::Aside;
use super::bytes::Cursor;

/// More than any such file can hold.
const CONTENT_MAX: usize = 256 << 20;

/// Puts the content in place of what the file held.
pub(crate) fn save(disk: &Disk, path: &Path, magic: [u8; 8], content: &[u8]) -> io::Result<()> {
    let mut rest = (content.len() as u32).to_le_bytes().to_vec();
    rest.extend_from_slice(&lz4_flex::block::compress(content));
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
    bytes.extend_from_slice(&rest);
    disk.write_atomic(path, &bytes)
}

/// What the file holds, as `read` makes it of its content; `None` if there is no file. The inner error says in words
/// what was wrong with it.
pub(crate) fn load<T>(
    disk: &Disk,
    path: &Path,
    magic: [u8; 8],
    aside: &Aside,
    read: impl FnOnce(&[u8]) -> Option<T>,
) -> io::Result<Result<Option<T>, String>> {
    let bytes = match disk.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(None)),
        Err(error) => return Ok(Err(format!("{} cannot be read: {error}", path.display()))),
    };
    if let Some(found) = content(&bytes, magic).and_then(|content| read(&content)) {
        return Ok(Ok(Some(found)));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let words = format!("the file {name} was damaged");
    let moved = aside.take(path, &name, &words)?;
    Ok(Err(format!("{words} and lies in {}", moved.display())))
}

fn content(bytes: &[u8], magic: [u8; 8]) -> Option<Vec<u8>> {
    let mut from = Cursor(bytes.strip_prefix(&magic)?);
    if from.u32()? != crc32c::crc32c(from.0) {
        return None;
    }
    let len = usize::try_from(from.u32()?).ok().filter(|len| *len <= CONTENT_MAX)?;
    lz4_flex::block::decompress(from.0, len).ok()
}
