//! The series that have a label pair.

use std::borrow::Cow;

use roaring::RoaringBitmap;

use super::super::matching::Union;
use super::Ref;

/// Longer lists are bitmaps: from here on those take less, however far apart their numbers are.
const FEW_MAX: usize = 64;
/// A bitmap that has become this short is a list again.
const FEW_AGAIN: u64 = 32;

/// Most label pairs of a monitored host belong to one series only; a bitmap for each would be most of the memory.
pub(super) enum Posting {
    One(Ref),
    /// Sorted.
    Few(Vec<Ref>),
    Many(Box<RoaringBitmap>),
}

impl Posting {
    pub(super) fn add(&mut self, series: Ref) {
        match self {
            Posting::One(first) => *self = Posting::Few(vec![series.min(*first), series.max(*first)]),
            Posting::Few(few) => {
                if let Err(at) = few.binary_search(&series) {
                    few.insert(at, series);
                }
                if few.len() > FEW_MAX {
                    *self = Posting::Many(Box::new(few.iter().copied().collect()));
                }
            }
            Posting::Many(many) => _ = many.insert(series),
        }
    }

    /// Takes a series out; says whether none is left.
    pub(super) fn remove(&mut self, series: Ref) -> bool {
        match self {
            Posting::One(one) => *one == series,
            Posting::Few(few) => {
                if let Ok(at) = few.binary_search(&series) {
                    few.remove(at);
                }
                if let [one] = few[..] {
                    *self = Posting::One(one);
                }
                false
            }
            Posting::Many(many) => {
                many.remove(series);
                if many.len() <= FEW_AGAIN {
                    *self = Posting::Few(many.iter().collect());
                }
                false
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Posting::One(_) => 1,
            Posting::Few(few) => few.len() as u64,
            Posting::Many(many) => many.len(),
        }
    }

    pub(super) fn bitmap(&self) -> Cow<'_, RoaringBitmap> {
        match self {
            Posting::One(one) => Cow::Owned(RoaringBitmap::from_iter([*one])),
            Posting::Few(few) => Cow::Owned(few.iter().copied().collect()),
            Posting::Many(many) => Cow::Borrowed(many),
        }
    }

    pub(super) fn gather(&self, to: &mut Union) {
        match self {
            Posting::One(one) => to.few.push(*one),
            Posting::Few(few) => to.few.extend_from_slice(few),
            Posting::Many(many) => to.many |= &**many,
        }
    }
}
