//! Which label names and values there are: from dictionaries and postings alone.
//!
//! Time is told as far as that goes without reading samples: by the series of the head, by blocks, and, where few series
//! of a block are asked about, by their chunks.

use std::collections::BTreeSet;

use std::sync::Arc;

use roaring::RoaringBitmap;
use watchbell_model::{Found, Lookup, Matcher, QueryError};

use super::Inner;
use super::block::Block;
use super::index::Index;
use super::matching::{Postings, matching};

/// For so many series of a block it is looked whether they have chunks in the time asked about.
const CHUNKS_MAX: u64 = 10_000;
/// How many series or label pairs of the head are looked at under one lock.
const LOCKED_MAX: usize = 4096;

impl Inner {
    pub(crate) fn label_names(&self, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        let mut found = BTreeSet::new();
        let of_head = self.of_head(lookup);
        let names: Vec<String> = self.heads.index().names().map(str::to_owned).collect();
        let in_head = |look: &mut dyn FnMut(&Index)| look(&self.heads.index());
        let is_then = |series| self.heads.overlaps(series, lookup.start.0, lookup.end.0);
        let is_then: Option<&dyn Fn(u32) -> bool> = if is_ever(lookup) { None } else { Some(&is_then) };
        found.extend(names.into_iter().filter(|name| !values(&in_head, name, of_head.as_ref(), is_then, 1).is_empty()));
        for block in &self.all_blocks(lookup)? {
            let of_block = of_block(block, lookup);
            let in_block = |look: &mut dyn FnMut(&_)| look(&block.index);
            for name in block.index.name_texts() {
                if !found.contains(name) && !values(&in_block, name, of_block.as_ref(), None, 1).is_empty() {
                    found.insert(name.to_owned());
                }
            }
            self.whole(block)?;
        }
        Ok(Found::new(found, lookup.limit))
    }

    pub(crate) fn label_values(&self, name: &str, lookup: &Lookup<'_>) -> Result<Found<String>, QueryError> {
        // One more tells that some are left out.
        let most = if lookup.limit == 0 { usize::MAX } else { lookup.limit.saturating_add(1) };
        let in_head = |look: &mut dyn FnMut(&Index)| look(&self.heads.index());
        let is_then = |series| self.heads.overlaps(series, lookup.start.0, lookup.end.0);
        let is_then: Option<&dyn Fn(u32) -> bool> = if is_ever(lookup) { None } else { Some(&is_then) };
        let mut found = values(&in_head, name, self.of_head(lookup).as_ref(), is_then, most);
        for block in &self.all_blocks(lookup)? {
            let in_block = |look: &mut dyn FnMut(&_)| look(&block.index);
            found.append(&mut values(&in_block, name, of_block(block, lookup).as_ref(), None, most));
            shorten(&mut found, most);
            self.whole(block)?;
        }
        Ok(Found::new(found, lookup.limit))
    }

    /// The blocks that speak for the time that is asked about.
    fn all_blocks(&self, lookup: &Lookup<'_>) -> Result<Vec<Arc<Block>>, QueryError> {
        let (start, end) = (lookup.start.0, lookup.end.0);
        let mut blocks = (*self.blocks.serving()).clone();
        blocks.extend(self.bygone(start, end).into_iter().map(|(block, _)| block));
        blocks.retain(|block| block.overlaps(start, end));
        blocks.iter().try_for_each(|block| self.uncut(block))?;
        Ok(blocks)
    }

    /// The series of the head that are asked about, whenever they were heard of; `None` for all.
    fn of_head(&self, lookup: &Lookup<'_>) -> Option<RoaringBitmap> {
        union(lookup.matchers, |matchers| matching(&*self.heads.index(), matchers))
    }
}

/// Whether it asks about any time.
fn is_ever(lookup: &Lookup<'_>) -> bool {
    lookup.start.0 == i64::MIN && lookup.end.0 == i64::MAX
}

/// The series of a block that are asked about; `None` for all.
fn of_block(block: &Block, lookup: &Lookup<'_>) -> Option<RoaringBitmap> {
    let mut series = union(lookup.matchers, |matchers| matching(&block.index, matchers));
    let gone = block.gone();
    if !gone.whole.is_empty() {
        series = Some(series.unwrap_or_else(|| block.index.all()) - &gone.whole);
    }
    let (start, end) = (lookup.start.0, lookup.end.0);
    let is_within = block.meta.first >= start && block.meta.last <= end;
    let count = series.as_ref().map_or(block.meta.series, RoaringBitmap::len);
    if is_within || count > CHUNKS_MAX {
        return series;
    }
    let series = series.unwrap_or_else(|| block.index.all());
    Some(series.iter().filter(|series| !block.chunks(*series, start, end).is_empty()).collect())
}

/// The series that pass one of the sets; `None` for all.
fn union(sets: &[Vec<Matcher>], matching: impl Fn(&[Matcher]) -> RoaringBitmap) -> Option<RoaringBitmap> {
    if sets.iter().any(Vec::is_empty) {
        return None;
    }
    sets.iter().map(|matchers| matching(matchers)).reduce(|one, other| one | other)
}

/// The first values of a label among these series (`None` for all) of which `counts` says so (`None` for all), `most` of
/// them at most. `index` lends an index for a moment, between which it may change.
fn values<P: Postings>(
    index: &dyn Fn(&mut dyn FnMut(&P)),
    name: &str,
    series: Option<&RoaringBitmap>,
    counts: Option<&dyn Fn(u32) -> bool>,
    most: usize,
) -> BTreeSet<String> {
    let (mut found, mut count) = (BTreeSet::new(), 0);
    index(&mut |index| count = index.name(name).map_or(0, |name| index.value_count(name)));
    match series {
        Some(series) if series.len() <= count => {
            let mut left = series.iter();
            loop {
                let some: Vec<u32> = left.by_ref().take(LOCKED_MAX).collect();
                if some.is_empty() || (most == 1 && !found.is_empty()) {
                    return found;
                }
                index(&mut |index| {
                    let Some(name) = index.name(name) else { return };
                    let mut place = P::Place::default();
                    for series in &some {
                        let value = index.value_of(*series, name, &mut place).filter(|value| !found.contains(*value));
                        if let Some(value) = value.filter(|_| counts.is_none_or(|counts| counts(*series))) {
                            found.insert(value.to_owned());
                            shorten(&mut found, most);
                        }
                    }
                });
            }
        }
        _ => {
            let (mut from, mut more) = (String::new(), true);
            while more {
                more = false;
                index(&mut |index| {
                    let Some(name) = index.name(name) else { return };
                    let mut last = None;
                    for pair in index.pairs_from(name, &from).take(LOCKED_MAX) {
                        last = Some(pair);
                        let is_there = match (series, counts) {
                            // A pair that no series has is not in an index.
                            (None, None) => true,
                            (Some(series), None) => !index.posting(pair).is_disjoint(series),
                            (None, Some(counts)) => index.posting(pair).iter().any(counts),
                            (Some(series), Some(counts)) => (&*index.posting(pair) & series).iter().any(counts),
                        };
                        if is_there {
                            found.insert(index.value(pair).to_owned());
                            if found.len() >= most {
                                return;
                            }
                        }
                    }
                    if let Some(last) = last {
                        // The first text behind that one; in a damaged index there may be none.
                        let next = format!("{}\0", index.value(last));
                        more = next > from;
                        from = next;
                    }
                });
            }
            found
        }
    }
}

fn shorten(found: &mut BTreeSet<String>, most: usize) {
    while found.len() > most {
        found.pop_last();
    }
}
