//! PNG with a palette: one byte for each pixel, which packs far better than three.

use std::collections::HashMap;
use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

/// What a palette holds.
const COLORS_MAX: usize = 256;

/// An image, row by row from the top, three bytes for each pixel. Of more than 256 colours the seldom ones, which are
/// shades of soft edges, give way to the nearest.
pub(crate) fn encode(width: usize, height: usize, pixels: &[u8]) -> Vec<u8> {
    let (palette, indices) = indexed(pixels);
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in indices.chunks_exact(width) {
        // Each row as it is.
        packed.write_all(&[0]).expect("memory takes it");
        packed.write_all(row).expect("memory takes it");
    }
    let packed = packed.finish().expect("memory takes it");
    let size = |size: usize| u32::try_from(size).expect("a picture is small").to_be_bytes();
    let mut header = Vec::with_capacity(13);
    header.extend(size(width));
    header.extend(size(height));
    // Eight bits, a palette, and the only ways there are to compress, filter and arrange.
    header.extend([8, 3, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut out, b"IHDR", &header);
    chunk(&mut out, b"PLTE", palette.as_flattened());
    chunk(&mut out, b"IDAT", &packed);
    chunk(&mut out, b"IEND", &[]);
    out
}

/// The most frequent colours, and for each pixel which one it is.
fn indexed(pixels: &[u8]) -> (Vec<[u8; 3]>, Vec<u8>) {
    let (pixels, _) = pixels.as_chunks::<3>();
    // Most pixels are as the one before.
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    for run in pixels.chunk_by(|a, b| a == b) {
        *counts.entry(run[0]).or_default() += run.len();
    }
    let mut colors: Vec<([u8; 3], usize)> = counts.into_iter().collect();
    colors.sort_unstable_by_key(|(color, count)| (std::cmp::Reverse(*count), *color));
    let palette: Vec<[u8; 3]> = colors.iter().take(COLORS_MAX).map(|(color, _)| *color).collect();
    let nearest = |color: [u8; 3]| {
        let distance =
            |other: &[u8; 3]| -> u32 { color.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum() };
        palette.iter().enumerate().min_by_key(|(_, other)| distance(other)).map_or(0, |(at, _)| at as u8)
    };
    let place: HashMap<[u8; 3], u8> = colors.iter().map(|(color, _)| (*color, nearest(*color))).collect();
    let mut indices = Vec::with_capacity(pixels.len());
    for run in pixels.chunk_by(|a, b| a == b) {
        indices.resize(indices.len() + run.len(), place[&run[0]]);
    }
    (palette, indices)
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    out.extend(u32::try_from(data.len()).expect("a picture is small").to_be_bytes());
    out.extend(kind);
    out.extend(data);
    out.extend(crc.sum().to_be_bytes());
}
