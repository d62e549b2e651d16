//! Parts of label sets, numbered: what falls together has the same number.
//!
//! Looking up a part allocates nothing, since a query does it for each series and most parts are known.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use watchbell_model::Labels;

/// Hashes label sets faster than the standard hasher: a multiplication for each eight bytes.
///
/// Not safe against sets made to collide; those make a query slow, and its samples are limited.
#[derive(Default)]
pub(super) struct LabelHasher(u64);

/// Makes [`LabelHasher`]s.
pub(super) type LabelHash = BuildHasherDefault<LabelHasher>;

impl LabelHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product as u64 ^ (product >> 64) as u64).rotate_left(23);
    }
}

impl Hasher for LabelHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.mix(u64::from_le_bytes(chunk.try_into().expect("the chunk has eight bytes")));
        }
        let mut last = [0; 8];
        let rest = chunks.remainder();
        last[..rest.len()].copy_from_slice(rest);
        // The length tells apart what differs in zeros at the end.
        self.mix(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The parts met so far, in the order they were first met.
#[derive(Default)]
pub(super) struct Keys {
    /// Places of parts by their hash; more than one when hashes collide.
    places: HashMap<u64, Vec<usize>, LabelHash>,
    parts: Vec<Labels>,
}

impl Keys {
    /// The number of the part of `labels` that `keep` names, given to it now if it is new.
    pub(super) fn place(&mut self, labels: &Labels, keep: impl Fn(&str) -> bool) -> usize {
        let hash = hash(labels, &keep);
        if let Some(place) = self.known(hash, labels, &keep) {
            return place;
        }
        let place = self.parts.len();
        self.parts.push(labels.filtered(keep));
        self.places.entry(hash).or_default().push(place);
        place
    }

    /// The number of a part, if it has one.
    pub(super) fn find(&self, labels: &Labels, keep: impl Fn(&str) -> bool) -> Option<usize> {
        self.known(hash(labels, &keep), labels, &keep)
    }

    /// The part of a number.
    pub(super) fn part(&self, place: usize) -> &Labels {
        &self.parts[place]
    }

    fn known(&self, hash: u64, labels: &Labels, keep: &impl Fn(&str) -> bool) -> Option<usize> {
        let kept = || labels.iter().filter(|(name, _)| keep(name));
        self.places.get(&hash)?.iter().copied().find(|place| self.parts[*place].iter().eq(kept()))
    }
}

fn hash(labels: &Labels, keep: &impl Fn(&str) -> bool) -> u64 {
    let mut hasher = LabelHasher::default();
    labels.iter().filter(|(name, _)| keep(name)).for_each(|pair| pair.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_have_one_number() {
        let mut keys = Keys::default();
        let labels = |a: &str, b: &str| Labels::from_pairs([("a", a), ("b", b)]);
        let by_a = |name: &str| name == "a";
        assert_eq!(keys.place(&labels("1", "x"), by_a), 0);
        assert_eq!(keys.place(&labels("2", "x"), by_a), 1);
        assert_eq!(keys.place(&labels("1", "y"), by_a), 0);
        assert_eq!(keys.place(&labels("", "y"), by_a), 2);
        assert_eq!(keys.find(&labels("2", "z"), by_a), Some(1));
        assert_eq!(keys.find(&labels("3", "z"), by_a), None);
        assert_eq!(keys.part(1).to_string(), r#"{a="2"}"#);
    }
}
