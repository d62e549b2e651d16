//! Bodies that Brotli has packed (RFC 7932).

use std::io::{self, Read};

use brotli_decompressor::Decompressor;

/// How much is unpacked at once, in bytes.
const CHUNK: usize = 16 << 10;
/// How a window of up to 1 GiB begins, in the lowest seven bits. It is beyond the standard: a small body would take all memory.
const LARGE_WINDOW: u8 = 0b001_0001;

/// Unpacks a body as it is read, up to its end; who reads has to stop somewhere.
///
/// # Errors
/// If it asks for more memory than the standard allows.
pub(super) fn unpack(packed: &[u8]) -> io::Result<impl Read> {
    if packed.first().is_some_and(|first| first & 0x7f == LARGE_WINDOW) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has a larger window than Brotli allows"));
    }
    Ok(Decompressor::new(packed, CHUNK))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `hello`, as Brotli's own encoder packs it.
    const HELLO: &[u8] = b"\x0b\x02\x80hello\x03";

    fn unpacked(packed: &[u8]) -> Result<String, String> {
        let mut text = String::new();
        let read = unpack(packed).and_then(|mut reader| reader.read_to_string(&mut text));
        read.map(|_| text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_packed_is_unpacked_and_nothing_else() {
        assert_eq!(unpacked(HELLO).as_deref(), Ok("hello"));
        let sentence = b"\x1b\x8c\x00\xe0\x8d\x94\x6e\xc6\x2a\xea\xb0\xb2\xb4\x3b\x0d\xc2\xc6\x32\x17\x36\xe0\x80\x3d\
            \x6c\x1b\xd0\x07\xf5\xfb\x50\x32\xe1\x2c\x4a\xb7\xf5\x94\x63\xfe\x52\x44\x19\x12\x8e\x1d";
        assert_eq!(unpacked(sentence), Ok("all is well, and has been for a long, long time".repeat(3)));
        for broken in [&HELLO[..8], b"", b"hello"] {
            assert!(unpacked(broken).is_err(), "{broken:?}");
        }
        // What comes after the end is not looked at.
        assert_eq!(unpacked(&[HELLO, HELLO].concat()).as_deref(), Ok("hello"));
        assert!(unpacked(b"\x11\x1a\x08\x00\x02hello\x03").is_err_and(|error| error.contains("window")));
    }
}
