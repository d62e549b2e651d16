//! What a query took, counted as Prometheus counts it.

use std::cell::{Cell, RefCell, RefMut};

use super::column::Grid;

/// How many samples a query took. A histogram counts as many as its size says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples looked at, at all steps together: a window's samples count at each step whose window they are in.
    pub total: u64,
    /// Of these those of each step.
    pub total_per_step: Vec<u64>,
    /// Samples read from the source, each once for each selector that asks for it.
    pub read: u64,
    /// Samples that were held, those of results on the way among them: what the limit of a query is held against.
    pub peak: usize,
}

/// Counts while a query is evaluated.
pub(super) struct Counts {
    per_step: RefCell<Vec<u64>>,
    pub(super) read: Cell<u64>,
    /// Inside of how many subqueries: what is looked at there counts where its result is looked at.
    inside: Cell<usize>,
}

impl Counts {
    pub(super) fn new(steps: usize) -> Counts {
        Counts { per_step: RefCell::new(vec![0; steps]), read: Cell::new(0), inside: Cell::new(0) }
    }

    /// Counts samples that a step looks at.
    pub(super) fn look(&self, step: usize, samples: usize) {
        if self.inside.get() == 0
            && let Some(count) = self.per_step.borrow_mut().get_mut(step)
        {
            *count += samples as u64;
        }
    }

    /// The counts of all steps, to be added to; none where what is looked at counts elsewhere.
    pub(super) fn each_step(&self) -> RefMut<'_, [u64]> {
        let is_inside = self.is_inside();
        RefMut::map(self.per_step.borrow_mut(), |counts| match is_inside {
            true => &mut [][..],
            false => &mut counts[..],
        })
    }

    /// Counts one sample for each step that has a value.
    pub(super) fn look_at_each(&self, steps: impl Iterator<Item = usize>) {
        if self.inside.get() == 0 {
            let mut per_step = self.per_step.borrow_mut();
            for step in steps {
                if let Some(count) = per_step.get_mut(step) {
                    *count += 1;
                }
            }
        }
    }

    /// Evaluates the inside of a subquery.
    pub(super) fn inside<T>(&self, part: impl FnOnce() -> T) -> T {
        self.inside.set(self.inside.get() + 1);
        let result = part();
        self.inside.set(self.inside.get() - 1);
        result
    }

    /// Evaluates once, at the first step, what is the same at all of a grid's; it counts at each of them.
    pub(super) fn once<T>(&self, grid: &Grid, part: impl FnOnce() -> T) -> T {
        let first = || self.per_step.borrow().first().copied().unwrap_or(0);
        let before = first();
        let result = part();
        let grown = first() - before;
        if grown > 0 {
            let mut per_step = self.per_step.borrow_mut();
            per_step.iter_mut().take(grid.count).skip(1).for_each(|count| *count += grown);
        }
        result
    }

    /// Whether what is looked at now counts elsewhere.
    pub(super) fn is_inside(&self) -> bool {
        self.inside.get() > 0
    }

    /// What each step has looked at.
    pub(super) fn per_step(self) -> Vec<u64> {
        self.per_step.into_inner()
    }

    /// Adds what was counted elsewhere.
    pub(super) fn add(&self, per_step: &[u64], read: u64) {
        self.per_step.borrow_mut().iter_mut().zip(per_step).for_each(|(count, more)| *count += more);
        self.read.set(self.read.get() + read);
    }

    pub(super) fn finish(self, peak: usize) -> QueryStats {
        let total_per_step = self.per_step.into_inner();
        QueryStats { total: total_per_step.iter().sum(), total_per_step, read: self.read.get(), peak }
    }
}
