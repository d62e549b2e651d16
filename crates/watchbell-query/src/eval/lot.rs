//! The lot of a label set, by which `limit_ratio` takes a share of elements: the same one that Prometheus draws.

use watchbell_model::Labels;

/// From 0 to 1, the same for the same labels: the hash of the labels as Prometheus keeps them in memory, in proportion
/// to the largest there is.
pub(super) fn of(labels: &Labels) -> f64 {
    let mut data = Vec::with_capacity(256);
    let mut put = |text: &str| {
        match text.len() {
            short if short < 255 => data.push(short as u8),
            long => {
                data.push(255);
                data.extend_from_slice(&(long as u32).to_le_bytes()[..3]);
            }
        }
        data.extend_from_slice(text.as_bytes());
    };
    for (name, value) in labels.iter() {
        put(name);
        put(value);
    }
    xxh64(&data) as f64 / u64::MAX as f64
}

const PRIMES: [u64; 5] =
    [0x9e37_79b1_85eb_ca87, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63, 0x27d4_eb2f_1656_67c5];

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIMES[1])).rotate_left(31).wrapping_mul(PRIMES[0])
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// XXH64 with the seed 0, as its specification has it.
fn xxh64(bytes: &[u8]) -> u64 {
    let [p1, p2, p3, p4, p5] = PRIMES;
    let mut rest = bytes;
    let mut hash = p5;
    if bytes.len() >= 32 {
        let mut lanes = [p1.wrapping_add(p2), p2, 0, p1.wrapping_neg()];
        while let Some((stripe, after)) = rest.split_at_checked(32) {
            for (lane, bytes) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, word(bytes));
            }
            rest = after;
        }
        hash =
            lanes.iter().zip([1, 7, 12, 18]).fold(0, |hash: u64, (lane, by)| hash.wrapping_add(lane.rotate_left(by)));
        for lane in lanes {
            hash = (hash ^ round(0, lane)).wrapping_mul(p1).wrapping_add(p4);
        }
    }
    hash = hash.wrapping_add(bytes.len() as u64);
    let words = rest.chunks_exact(8);
    rest = words.remainder();
    for bytes in words {
        hash = (hash ^ round(0, word(bytes))).rotate_left(27).wrapping_mul(p1).wrapping_add(p4);
    }
    if let Some((half, after)) = rest.split_at_checked(4) {
        hash = (hash ^ word(half).wrapping_mul(p1)).rotate_left(23).wrapping_mul(p2).wrapping_add(p3);
        rest = after;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(p5)).rotate_left(11).wrapping_mul(p1);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(p2);
    hash = (hash ^ hash >> 29).wrapping_mul(p3);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_is_specified() {
        // Known answers of the algorithm.
        assert_eq!(xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xxh64(b"abc"), 0x44bc_2cf5_ad77_0999);
    }
}
