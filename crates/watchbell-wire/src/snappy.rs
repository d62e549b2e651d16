//! Snappy's block format, in which remote write and remote read are sent; read within a limit.

/// A body that cannot be decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// It says that it is larger than is allowed; nothing was allocated for it.
    #[error("the decompressed body has {length} bytes, {limit} are allowed")]
    TooLarge {
        /// What it says.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// It is not in the block format.
    #[error("the body is not compressed with snappy's block format: {0}")]
    Bad(String),
}

/// How large a body says that it is when it is decompressed; refused past `limit`.
pub fn decompressed_len(body: &[u8], limit: usize) -> Result<usize, SnappyError> {
    match snap::raw::decompress_len(body) {
        Ok(length) if length > limit => Err(SnappyError::TooLarge { length, limit }),
        Ok(length) => Ok(length),
        Err(error) => Err(SnappyError::Bad(error.to_string())),
    }
}

/// Decompresses a body of at most `limit` bytes.
pub fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, SnappyError> {
    decompressed_len(body, limit)?;
    snap::raw::Decoder::new().decompress_vec(body).map_err(|error| SnappyError::Bad(error.to_string()))
}

/// Compresses a body.
///
/// # Panics
/// If it has 4 GiB or more, which no sender of ours makes.
pub fn compress(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).expect("a body is far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_stands_before_the_memory() {
        let body = compress(&[7; 1000]);
        assert_eq!(decompress(&body, 1000).unwrap(), [7; 1000]);
        assert_eq!(
            decompress(&body, 999).unwrap_err().to_string(),
            "the decompressed body has 1000 bytes, 999 are allowed"
        );
        let claims_4_gib = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(matches!(decompress(&claims_4_gib, 1 << 20), Err(SnappyError::TooLarge { .. })));
        for bad in [&[][..], &body[..body.len() - 1], b"\x05hello"] {
            assert!(matches!(decompress(bad, 1 << 20), Err(SnappyError::Bad(_))), "{bad:?}");
        }
    }
}
