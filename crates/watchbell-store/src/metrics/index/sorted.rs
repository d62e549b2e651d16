//! Numbers in the order of the texts they stand for.
//!
//! Runs of a bounded length, so that one more moves few; the texts are kept elsewhere.

const RUN_MAX: usize = 512;

#[derive(Default)]
pub(super) struct Sorted {
    /// None is empty.
    runs: Vec<Vec<u32>>,
    len: usize,
}

impl Sorted {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a number; its text must not be there yet.
    pub(super) fn insert<'a>(&mut self, number: u32, text_of: impl Fn(u32) -> &'a str) {
        self.len += 1;
        let text = text_of(number);
        // Most come in order: that is one comparison.
        let behind_all = self.runs.last().and_then(|run| run.last()).is_none_or(|last| text_of(*last) < text);
        if behind_all {
            match self.runs.last_mut().filter(|run| run.len() < RUN_MAX) {
                Some(run) => run.push(number),
                None => self.runs.push(vec![number]),
            }
            return;
        }
        let at = self.run_of(text, &text_of);
        let run = &mut self.runs[at];
        run.insert(run.partition_point(|have| text_of(*have) < text), number);
        if run.len() > RUN_MAX {
            let half = run.split_off(RUN_MAX / 2);
            run.shrink_to_fit();
            self.runs.insert(at + 1, half);
        }
    }

    /// Takes a number out whose text is still known.
    pub(super) fn remove<'a>(&mut self, number: u32, text_of: impl Fn(u32) -> &'a str) {
        let text = text_of(number);
        if self.runs.is_empty() {
            return;
        }
        let at = self.run_of(text, &text_of);
        let place = self.runs[at].partition_point(|have| text_of(*have) < text);
        if self.runs[at].get(place) == Some(&number) {
            self.runs[at].remove(place);
            self.len -= 1;
            if self.runs[at].is_empty() {
                self.runs.remove(at);
            }
        }
    }

    /// The number of a text.
    pub(super) fn find<'a>(&self, text: &str, text_of: impl Fn(u32) -> &'a str + Copy) -> Option<u32> {
        self.from(text, text_of).next().filter(|number| text_of(*number) == text)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flatten().copied()
    }

    /// Those whose text is `text` or comes after it.
    pub(super) fn from<'a>(&self, text: &str, text_of: impl Fn(u32) -> &'a str) -> impl Iterator<Item = u32> {
        let at = if self.runs.is_empty() { 0 } else { self.run_of(text, &text_of) };
        let skip = self.runs.get(at).map_or(0, |run| run.partition_point(|have| text_of(*have) < text));
        self.runs[at..].iter().flatten().skip(skip).copied()
    }

    /// The only run in which a text can be; there is at least one.
    fn run_of<'a>(&self, text: &str, text_of: &impl Fn(u32) -> &'a str) -> usize {
        self.runs.partition_point(|run| text_of(run[0]) <= text).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn it_is_a_sorted_set(steps in prop::collection::vec((0..3000_u32, 0..4_u8), 0..6000), from in 0..3000_u32) {
            let texts: Vec<String> = (0..3000).map(|number| format!("{}", number * 7919 % 3001)).collect();
            let text_of = |number: u32| &*texts[number as usize];
            let (mut sorted, mut truth) = (Sorted::default(), BTreeSet::new());
            for (number, kind) in steps {
                if kind > 0 {
                    if truth.insert(text_of(number)) {
                        sorted.insert(number, text_of);
                    }
                } else if truth.remove(text_of(number)) {
                    sorted.remove(number, text_of);
                }
            }
            prop_assert_eq!(sorted.len(), truth.len());
            prop_assert!(sorted.iter().map(text_of).eq(truth.iter().copied()));
            prop_assert!(sorted.from(text_of(from), text_of).map(text_of).eq(truth.range(text_of(from)..).copied()));
            prop_assert_eq!(sorted.find(text_of(from), text_of).is_some(), truth.contains(text_of(from)));
        }
    }
}
