//! Numbers found by a hash of what they stand for: eight bytes each, and what they stand for is kept elsewhere.
//!
//! In parts, so that growing moves a small share of them at a time and nobody waits for it.

const PARTS: usize = 64;
const EMPTY: u64 = u64::MAX;

/// Numbers are below `u32::MAX`.
pub(super) struct Table {
    parts: Vec<Part>,
}

/// Open addressing; a cell is 32 bits of the hash, then the number.
#[derive(Default)]
struct Part {
    cells: Vec<u64>,
    len: usize,
}

impl Default for Table {
    fn default() -> Table {
        Table { parts: std::iter::repeat_with(Part::default).take(PARTS).collect() }
    }
}

impl Table {
    /// The number with this hash that `is` the one.
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let part = &self.parts[part_of(hash)];
        let mut at = part.home(hash as u32)?;
        while part.cells[at] != EMPTY {
            let (short, number) = split(part.cells[at]);
            if short == hash as u32 && is(number) {
                return Some(number);
            }
            at = part.after(at);
        }
        None
    }

    /// Adds a number, which must not be there yet.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        let part = &mut self.parts[part_of(hash)];
        if (part.len + 1) * 4 > part.cells.len() * 3 {
            let cells = vec![EMPTY; (part.cells.len() * 2).max(8)];
            for cell in std::mem::replace(&mut part.cells, cells) {
                if cell != EMPTY {
                    part.put(cell);
                }
            }
        }
        part.put(u64::from(hash as u32) << 32 | u64::from(number));
        part.len += 1;
    }

    pub(super) fn remove(&mut self, hash: u64, number: u32) {
        let part = &mut self.parts[part_of(hash)];
        let Some(mut hole) = part.home(hash as u32) else { return };
        while part.cells[hole] != u64::from(hash as u32) << 32 | u64::from(number) {
            if part.cells[hole] == EMPTY {
                return;
            }
            hole = part.after(hole);
        }
        // Those behind it close up, unless the hole is before the place where their search begins.
        let mask = part.cells.len() - 1;
        let mut at = part.after(hole);
        while part.cells[at] != EMPTY {
            let home = split(part.cells[at]).0 as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                part.cells[hole] = part.cells[at];
                hole = at;
            }
            at = part.after(at);
        }
        part.cells[hole] = EMPTY;
        part.len -= 1;
    }
}

impl Part {
    fn home(&self, short: u32) -> Option<usize> {
        (!self.cells.is_empty()).then(|| short as usize & (self.cells.len() - 1))
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.cells.len() - 1)
    }

    fn put(&mut self, cell: u64) {
        let mut at = split(cell).0 as usize & (self.cells.len() - 1);
        while self.cells[at] != EMPTY {
            at = self.after(at);
        }
        self.cells[at] = cell;
    }
}

fn part_of(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

fn split(cell: u64) -> (u32, u32) {
    ((cell >> 32) as u32, cell as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0..40_u32, any::<bool>()), 0..300)) {
            // Few hashes, and those at the end of a part, so that they meet and go round.
            let hash = |number: u32| u64::from(number % 7) + 5;
            let (mut table, mut truth) = (Table::default(), BTreeMap::new());
            for (number, add) in steps {
                match (add, truth.contains_key(&number)) {
                    (true, false) => {
                        table.insert(hash(number), number);
                        truth.insert(number, ());
                    }
                    (false, true) => {
                        table.remove(hash(number), number);
                        truth.remove(&number);
                    }
                    _ => {}
                }
                for number in 0..40 {
                    let found = table.find(hash(number), |have| have == number);
                    prop_assert_eq!(found.is_some(), truth.contains_key(&number));
                }
            }
        }
    }
}
