//! The series that samples come for, by references of our own: with their labels, because the queue and the other store
//! know nothing else, and with the local store's references, so that a known series costs it no work either.
//!
//! Pure. A reference that was forgotten is never another series' one.

use std::collections::HashMap;

use watchbell_model::{Labels, SeriesKey, SeriesRef};

/// A series that nothing came for during so many turns is forgotten.
const TURNS_KEPT: u32 = 3;

#[derive(Default)]
pub(crate) struct Known {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_labels: HashMap<Labels, u32>,
    turn: u32,
}

#[derive(Default)]
struct Slot {
    /// None while the slot is free.
    labels: Option<Labels>,
    generation: u32,
    local: Option<SeriesRef>,
    used: u32,
}

/// Why a series of a batch is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// The reference is not one of ours, or no more.
    Stale,
    /// It would be one series too many.
    OverLimit,
}

impl Known {
    /// Each series' slot; new ones are made while there are fewer than `limit`.
    pub(crate) fn resolve(&mut self, series: &[SeriesKey], limit: u64) -> Vec<Result<u32, Stranger>> {
        series
            .iter()
            .map(|key| {
                let slot = match key {
                    SeriesKey::Known(known) => {
                        let (generation, slot) = ((known.0 >> 32) as u32, known.0 as u32);
                        let found = self.slots.get(slot as usize);
                        let ours = found.is_some_and(|it| it.labels.is_some() && it.generation == generation);
                        ours.then_some(slot).ok_or(Stranger::Stale)?
                    }
                    SeriesKey::Labels(labels) => match self.by_labels.get(labels) {
                        Some(slot) => *slot,
                        None if self.by_labels.len() as u64 >= limit => return Err(Stranger::OverLimit),
                        None => self.add(labels),
                    },
                };
                self.slots[slot as usize].used = self.turn;
                Ok(slot)
            })
            .collect()
    }

    fn add(&mut self, labels: &Labels) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize].labels = Some(labels.clone());
        self.by_labels.insert(labels.clone(), slot);
        slot
    }

    pub(crate) fn labels(&self, slot: u32) -> Option<&Labels> {
        self.slots[slot as usize].labels.as_ref()
    }

    /// How we refer to it.
    pub(crate) fn reference(&self, slot: u32) -> SeriesRef {
        SeriesRef(u64::from(self.slots[slot as usize].generation) << 32 | u64::from(slot))
    }

    /// How the local store refers to it.
    pub(crate) fn local(&self, slot: u32) -> Option<SeriesRef> {
        self.slots[slot as usize].local
    }

    pub(crate) fn set_local(&mut self, slot: u32, local: Option<SeriesRef>) {
        self.slots[slot as usize].local = local;
    }

    pub(crate) fn forget(&mut self, slot: u32) {
        let it = &mut self.slots[slot as usize];
        if let Some(labels) = it.labels.take() {
            self.by_labels.remove(&labels);
            *it = Slot { generation: it.generation.wrapping_add(1), ..Slot::default() };
            self.free.push(slot);
        }
    }

    /// Forgets what nothing came for.
    pub(crate) fn turn(&mut self) {
        let old: Vec<u32> = (0..)
            .zip(&self.slots)
            .filter(|(_, it)| it.labels.is_some() && self.turn.wrapping_sub(it.used) >= TURNS_KEPT)
            .map(|(slot, _)| slot)
            .collect();
        old.into_iter().for_each(|slot| self.forget(slot));
        self.turn = self.turn.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_reference_is_never_another_series() {
        let mut known = Known::default();
        let labels = |name: &str| SeriesKey::Labels(Labels::metric(name, &[]));
        let found = known.resolve(&[labels("a"), labels("b"), labels("a"), labels("c")], 2);
        assert_eq!(found, [Ok(0), Ok(1), Ok(0), Err(Stranger::OverLimit)]);
        let (a, b) = (known.reference(0), known.reference(1));
        for _ in 0..TURNS_KEPT {
            known.turn();
            assert_eq!(known.resolve(&[SeriesKey::Known(a)], 2), [Ok(0)]);
        }
        known.turn();
        assert_eq!((known.by_labels.len(), known.resolve(&[SeriesKey::Known(b)], 2)), (1, vec![Err(Stranger::Stale)]));
        assert_eq!(known.resolve(&[labels("c")], 2), [Ok(1)]);
        assert_ne!(known.reference(1), b);
        assert_eq!(known.resolve(&[SeriesKey::Known(b), SeriesKey::Known(SeriesRef(u64::MAX))], 2).len(), 2);
        assert_eq!(known.resolve(&[SeriesKey::Known(b)], 2), [Err(Stranger::Stale)]);
    }
}
