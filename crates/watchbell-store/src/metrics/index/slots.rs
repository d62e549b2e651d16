//! Numbered places that are used again, each use told from the one before by its generation.

/// Places are made by so many, so that adding one never moves the others.
const PAGE: usize = 1024;

pub(super) struct Slots<T> {
    pages: Vec<Page<T>>,
    free: Vec<u32>,
    /// How many places there ever were.
    end: u32,
}

/// Apart, because together they would take more room.
struct Page<T> {
    generations: Vec<u32>,
    values: Vec<Option<T>>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { pages: Vec::new(), free: Vec::new(), end: 0 }
    }
}

impl<T> Slots<T> {
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            if self.end as usize == self.pages.len() * PAGE {
                let values = std::iter::repeat_with(|| None).take(PAGE).collect();
                self.pages.push(Page { generations: vec![0; PAGE], values });
            }
            self.end += 1;
            self.end - 1
        });
        *self.cell(at) = Some(value);
        at
    }

    /// Empties a place; what refers to it by its generation finds nothing from now on.
    pub(super) fn remove(&mut self, at: u32) -> Option<T> {
        let value = self.cell(at).take()?;
        let generation = &mut self.pages[at as usize / PAGE].generations[at as usize % PAGE];
        *generation = generation.wrapping_add(1);
        self.free.push(at);
        Some(value)
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.pages.get(at as usize / PAGE)?.values[at as usize % PAGE].as_ref()
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.pages.get_mut(at as usize / PAGE)?.values[at as usize % PAGE].as_mut()
    }

    /// Which use of the place this is.
    pub(super) fn generation(&self, at: u32) -> u32 {
        self.pages.get(at as usize / PAGE).map_or(0, |page| page.generations[at as usize % PAGE])
    }

    /// How many are in use.
    pub(super) fn len(&self) -> usize {
        self.end as usize - self.free.len()
    }

    fn cell(&mut self, at: u32) -> &mut Option<T> {
        &mut self.pages[at as usize / PAGE].values[at as usize % PAGE]
    }
}
