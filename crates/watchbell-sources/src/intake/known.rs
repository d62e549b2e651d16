//! Which series some bytes mean: what was sent once is known again without looking into it.
//!
//! Bytes are known by a keyed hash of 101 bits, so that nobody can send two series that are taken for one: both
//! polynomials over their words are universal, and the keys are drawn at the start. Two series of a million meet by
//! chance with a probability of 2^-60.
//!
//! Bounded: a shard keeps two generations; when the younger is half of what it may hold, it becomes the older, whose
//! series are forgotten unless they came again. Forgetting costs a lookup by labels, nothing else.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

use watchbell_model::SeriesRef;
use watchbell_runtime::Rng;

/// How many series are known at most: a few dozen bytes each, and more than a small team has.
pub const SERIES_KNOWN_MAX: usize = 1 << 20;
/// Senders that write at the same time rarely meet.
const SHARDS: usize = 256;

/// What bytes hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    words: [u32; 3],
    shard: u8,
}

/// The series that are known.
pub(super) struct Known {
    keys: Keys,
    shards: Box<[Mutex<Shard>]>,
    /// How many one generation of a shard may hold.
    generation_max: usize,
}

#[derive(Default)]
struct Shard {
    young: Map,
    old: Map,
}

type Map = HashMap<[u32; 3], [u32; 2], BuildHasherDefault<AsIs>>;

/// The keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut whole = [0; 8];
            whole[..word.len()].copy_from_slice(word);
            self.0 = (self.0.rotate_left(29) ^ u64::from_le_bytes(whole)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

impl Known {
    pub(super) fn new(rng: &Rng, series_max: usize) -> Known {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Known { keys: Keys::new(rng), shards, generation_max: (series_max / SHARDS / 2).max(1) }
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn get(&self, key: Key) -> Option<SeriesRef> {
        let mut shard = self.shard(key);
        if let Some(found) = shard.young.get(&key.words) {
            return Some(joined(*found));
        }
        let found = *shard.old.get(&key.words)?;
        shard.put(key.words, found, self.generation_max);
        Some(joined(found))
    }

    pub(super) fn put(&self, key: Key, series: SeriesRef) {
        let parts = [series.0 as u32, (series.0 >> 32) as u32];
        self.shard(key).put(key.words, parts, self.generation_max);
    }

    fn shard(&self, key: Key) -> std::sync::MutexGuard<'_, Shard> {
        self.shards[usize::from(key.shard)].lock().expect("no panic while held")
    }
}

fn joined(parts: [u32; 2]) -> SeriesRef {
    SeriesRef(u64::from(parts[1]) << 32 | u64::from(parts[0]))
}

impl Shard {
    fn put(&mut self, key: [u32; 3], series: [u32; 2], max: usize) {
        if self.young.len() >= max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, series);
    }
}

/// The prime 2^61 - 1, over which the polynomials are.
const PRIME: u64 = (1 << 61) - 1;
/// Bytes of one word of a polynomial.
const WORD: usize = 7;

/// Two points at which the polynomial of some bytes is evaluated, each with its square.
pub(super) struct Keys {
    points: [(u64, u64); 2],
}

/// A hash under way. What is added is told apart by its length.
#[derive(Clone, Copy)]
pub(super) struct Hash([u64; 2]);

impl Keys {
    fn new(rng: &Rng) -> Keys {
        let point = || {
            // Zero and one would be no points at all.
            let point = 2 + rng.next_u64() % (PRIME - 2);
            (point, reduce(u128::from(point) * u128::from(point)))
        };
        Keys { points: [point(), point()] }
    }

    /// `kind` keeps bytes of different origin apart.
    pub(super) fn begin(&self, kind: u8) -> Hash {
        Hash([u64::from(kind) + 1; 2])
    }

    #[inline]
    pub(super) fn add(&self, hash: &mut Hash, bytes: &[u8]) {
        self.step(hash, bytes.len() as u64);
        let mut pairs = bytes.chunks_exact(2 * WORD);
        for pair in &mut pairs {
            let (first, second) = (word(&pair[..WORD]), word(&pair[WORD..]));
            for (sum, (point, square)) in hash.0.iter_mut().zip(&self.points) {
                let next = u128::from(*sum) * u128::from(*square) + u128::from(first) * u128::from(*point);
                *sum = reduce(next + u128::from(second));
            }
        }
        for rest in pairs.remainder().chunks(WORD) {
            self.step(hash, word(rest));
        }
    }

    pub(super) fn step(&self, hash: &mut Hash, word: u64) {
        for (sum, (point, _)) in hash.0.iter_mut().zip(&self.points) {
            *sum = reduce(u128::from(*sum) * u128::from(*point) + u128::from(word));
        }
    }

    /// Another hash as a part of this one: far cheaper than its bytes, where they come again and again.
    pub(super) fn add_hash(&self, hash: &mut Hash, part: Hash) {
        // Each is below the prime, so that both fit where one point is not enough to tell them apart.
        part.0.iter().for_each(|word| self.step(hash, *word));
    }

    pub(super) fn end(&self, hash: Hash) -> Key {
        let [a, b] = hash.0;
        Key { words: [a as u32, (a >> 32) as u32, b as u32], shard: (b >> 32) as u8 }
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn reduce(value: u128) -> u64 {
    let once = (value as u64 & PRIME) + ((value >> 61) as u64 & PRIME) + (value >> 122) as u64;
    let twice = (once & PRIME) + (once >> 61);
    if twice >= PRIME { twice - PRIME } else { twice }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn key(keys: &Keys, texts: &[&[u8]]) -> ([u32; 3], u8) {
        let mut hash = keys.begin(0);
        texts.iter().for_each(|text| keys.add(&mut hash, text));
        let key = keys.end(hash);
        (key.words, key.shard)
    }

    #[test]
    fn different_bytes_are_different_series() {
        let keys = Keys::new(&Rng::seeded(1));
        let mut seen = HashSet::new();
        for length in 0..64 {
            assert!(seen.insert(key(&keys, &[&vec![0; length]])), "{length} zeros");
            for at in 0..length {
                let mut bytes = vec![0; length];
                bytes[at] = 1;
                assert!(seen.insert(key(&keys, &[&bytes])), "a one at {at} of {length}");
                assert!(seen.insert(key(&keys, &[&bytes[..at], &bytes[at..]])), "parted at {at} of {length}");
            }
        }
        assert_eq!(key(&keys, &[b"again"]), key(&keys, &[b"again"]));
        assert_ne!(key(&keys, &[b"again"]), key(&Keys::new(&Rng::seeded(2)), &[b"again"]));
    }

    #[test]
    fn the_remainder_is_right_at_its_edges() {
        for value in [0, 1, PRIME - 1, PRIME, PRIME + 1, 2 * PRIME, u64::MAX] {
            assert_eq!(reduce(u128::from(value)), value % PRIME);
        }
        let most = u128::from(PRIME - 1) * u128::from(PRIME - 1);
        for value in [most, most * 2, most + u128::from(PRIME), u128::MAX >> 1] {
            assert_eq!(u128::from(reduce(value)), value % u128::from(PRIME));
        }
    }

    #[test]
    fn what_does_not_come_again_is_forgotten() {
        let known = Known::new(&Rng::seeded(1), 0);
        let key = |words| Key { words: [words, 0, 0], shard: 0 };
        // One series a generation.
        known.put(key(1), SeriesRef(1 << 32 | 7));
        known.put(key(2), SeriesRef(2));
        assert_eq!(known.get(key(1)), Some(SeriesRef(1 << 32 | 7)));
        // That made it young again, and the other one old.
        known.put(key(3), SeriesRef(3));
        assert_eq!([1, 2, 3].map(|at| known.get(key(at)).is_some()), [true, false, true]);
    }
}
