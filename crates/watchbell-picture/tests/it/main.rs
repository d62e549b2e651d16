//! Pictures as pixels: what is in them, and that nothing changes unseen.

mod cases;

use std::collections::HashMap;
use std::io::Read;

use expect_test::expect;
use flate2::Crc;
use flate2::read::ZlibDecoder;
use watchbell_picture::{HEIGHT, WIDTH};

/// The colours of lines, and that of threshold and alert.
const COLORS: [[u8; 3]; 6] =
    [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0]];

/// Reads a PNG of our kind: the pixels, and its checksums on the way.
fn pixels(png: &[u8]) -> Vec<[u8; 3]> {
    let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n".as_slice()).expect("it begins as a PNG");
    let mut chunks: Vec<(String, &[u8])> = Vec::new();
    while !rest.is_empty() {
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (chunk, after) = rest[4..].split_at(4 + size);
        let mut crc = Crc::new();
        crc.update(chunk);
        assert_eq!(after[..4], crc.sum().to_be_bytes(), "the checksum of a chunk");
        chunks.push((String::from_utf8_lossy(&chunk[..4]).into_owned(), &chunk[4..]));
        rest = &after[4..];
    }
    let kinds: Vec<&str> = chunks.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["IHDR", "PLTE", "IDAT", "IEND"]);
    assert_eq!(chunks[0].1, [0, 0, 3, 32, 0, 0, 1, 144, 8, 3, 0, 0, 0]);
    let palette: Vec<[u8; 3]> = chunks[1].1.chunks_exact(3).map(|it| [it[0], it[1], it[2]]).collect();
    let mut rows = Vec::new();
    ZlibDecoder::new(chunks[2].1).read_to_end(&mut rows).expect("it is packed by zlib");
    assert_eq!(rows.len(), HEIGHT * (WIDTH + 1));
    let rows = rows.chunks_exact(WIDTH + 1);
    rows.flat_map(|row| {
        assert_eq!(row[0], 0, "each row is as it is");
        row[1..].iter().map(|index| palette[usize::from(*index)]).collect::<Vec<_>>()
    })
    .collect()
}

/// FNV-1a.
fn hash(pixels: &[[u8; 3]]) -> u64 {
    pixels
        .iter()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn every_case_is_drawn_as_it_was() {
    let mut out = String::new();
    let strips = cases::strips().into_iter().map(|(name, strip)| (name, strip.png()));
    for (name, png) in cases::all().into_iter().map(|(name, graph)| (name, graph.png())).chain(strips) {
        assert!(png.len() < 40 << 10, "{name}: {} bytes", png.len());
        let pixels = pixels(&png);
        let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
        pixels.iter().for_each(|pixel| *counts.entry(*pixel).or_default() += 1);
        let counts = COLORS.map(|color| counts.get(&color).copied().unwrap_or(0).to_string()).join(" ");
        out.push_str(&format!("{name}: {counts}, {:016x}\n", hash(&pixels)));
    }
    expect![[r#"
        one: 1305 0 0 0 0 1565, 44e9e831240c87a1
        five: 1324 1533 1334 1248 1067 1440, ea989fb7e28716c1
        nine: 1587 1533 1670 1248 1200 1440, 1bd4366ddb5747f3
        gap: 948 0 0 0 0 1564, 1cb608096a276393
        nan: 1092 0 0 0 0 1565, 4637bed04dcbab3c
        constant: 1539 0 0 0 0 1578, d6811251ad00daa0
        zero: 654 0 0 0 0 1589, 5d8598a6fc90b5e5
        huge: 1583 0 0 0 0 1569, 36ac8561e394595e
        small: 1665 0 0 0 0 1563, ead9956582fec7c9
        negative: 1983 0 0 0 0 1565, a35fa054d1166f25
        point: 103 0 0 0 0 1590, 4474f45c28648c1a
        none: 0 0 0 0 0 1590, 70e4a247af57c933
        long: 1984 2215 0 0 0 690, 3f4dbef210ed716f
        unicode: 1434 1613 0 0 0 1522, 53f2d3648e357ae2
        far: 1655 0 0 0 0 719, 187cc0c36ecb943d
        over: 1760 0 0 0 0 2198, 4f2328001591a3ce
        strip: 0 3770 30095 0 0 7184, 591e1529b232602c
        no flips: 0 0 0 0 0 681, 7d472a9f4ba337f6
    "#]]
    .assert_eq(&out);
}
