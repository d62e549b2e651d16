//! Making coarser copies: a day at a time, when it is over and late samples for it no longer come; later days next to
//! one another become one block.
//!
//! Order, so that a crash at any step leaves what was there before: the block in place, the file `days`, old blocks
//! removed. What changes a day meanwhile (late samples, an import, a deletion) makes what was made of it void.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use watchbell_model::Sample;
use watchbell_runtime::fault;

use super::Inner;
use super::block::Block;
use super::block_writer::BlockWriter;
use super::both::Both;
use super::merge::Merging;
use super::rollup::Row;
use super::rollup_chunk;
use super::rollups::{DAY, Days, Level, first_whole};
use super::series::{WINDOW, millis};
use super::tend::{Shelf, Tending};

/// How many days blocks of rollups cover when merged; never more than a tenth of how long they are kept.
const WIDTHS: [i64; 2] = [10, 100];

impl Inner {
    /// Makes what is due; the days' samples are merged first, if they can be.
    pub(crate) fn make_rollups(&self, tending: &Tending, stop: &dyn Fn() -> bool) -> io::Result<()> {
        for day in self.days_due(tending) {
            match self.make_day(tending, day, stop) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                result => result?,
            }
        }
        for level in &self.levels {
            while let Some(group) = merge_due(level) {
                match self.merge_level(level, &group, stop) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                    result => result?,
                }
            }
        }
        Ok(())
    }

    /// Days that are over, have samples that are all there, and are not in each copy that is kept of them.
    fn days_due(&self, tending: &Tending) -> BTreeSet<i64> {
        let now = self.runtime.clock.now().0;
        let kept: Vec<(&Level, i64)> =
            self.kept_levels().map(|level| (level, self.oldest(tending, level.config.retention))).collect();
        let mut due = BTreeSet::new();
        if kept.is_empty() {
            return due;
        }
        for block in self.blocks.serving().iter() {
            for day in block.meta.first.div_euclid(DAY)..=block.meta.last.div_euclid(DAY) {
                let (start, end) = (day.saturating_mul(DAY), (day + 1).saturating_mul(DAY));
                let is_settled = end.saturating_add(WINDOW + WINDOW / 2) <= now && start >= self.forgotten();
                let is_due = |(level, oldest): &(&Level, i64)| end > *oldest && !level.has(day);
                if is_settled && kept.iter().any(is_due) {
                    due.insert(day);
                }
            }
        }
        due
    }

    /// Copies that new days are made of.
    pub(crate) fn kept_levels(&self) -> impl Iterator<Item = &Level> {
        self.levels.iter().filter(|level| millis(level.config.retention) > 0)
    }

    fn make_day(&self, tending: &Tending, day: i64, stop: &dyn Fn() -> bool) -> io::Result<()> {
        let (start, end) = (day * DAY, (day + 1) * DAY - 1);
        let inputs: Vec<Arc<Block>> = {
            let mut shelf = self.shelf.lock().expect("no panic while held");
            shelf.changed.clear();
            self.blocks.serving().iter().filter(|block| block.overlaps(start, end)).map(Arc::clone).collect()
        };
        if let Some(damaged) = inputs.iter().find(|block| !block.index.verify()) {
            self.lost(damaged)?;
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.leave_room()?;
        let is_due = |level: &&Level| end >= self.oldest(tending, level.config.retention) && !level.has(day);
        let levels: Vec<&Level> = self.kept_levels().filter(is_due).collect();
        let merging = Merging::new(&inputs);
        let mut writers = Vec::new();
        for level in &levels {
            let (number, path) = level.blocks.reserve();
            let writer = BlockWriter::begin(&self.runtime.disk, &path, &merging.symbols, number, Vec::new())?;
            writers.push((number, path, writer, 0_u64));
        }
        merging.each(stop, |labels, same| {
            let samples = self.floats(&inputs, same, start, end);
            for (level, (_, _, writer, series)) in levels.iter().zip(&mut writers) {
                let rows = Row::of(&samples, level.width);
                if !rows.is_empty() {
                    writer.add(labels, &rollup_chunk::encode_all(&rows), &[])?;
                    *series += 1;
                }
            }
            Ok(())
        })?;
        for (_, _, writer, _) in writers.iter_mut().filter(|(_, _, _, series)| *series > 0) {
            self.work.written.add(writer.complete()?);
        }
        fault::point("store.rollup_written");
        let mut shelf = self.shelf.lock().expect("no panic while held");
        shelf.check_unchanged(start, end)?;
        for (level, (number, path, writer, series)) in levels.iter().zip(writers) {
            let mut block = None;
            if series > 0 {
                block = Some(Arc::new(level.blocks.place(writer, number, &path)?));
                fault::point("store.rollup_placed");
            }
            level.blocks.add(block.clone());
            level.put(Some(Days { block, from: day, to: day + 1 }), &[]);
            self.work.days.inc();
        }
        self.save_days(&mut shelf, true)?;
        drop(shelf);
        levels.iter().try_for_each(|level| self.remove_stray(level))
    }

    /// The values of a series of several blocks, once each.
    fn floats(&self, inputs: &[Arc<Block>], series: &[(usize, u32)], start: i64, end: i64) -> Vec<Sample> {
        let mut samples = Both::default();
        for (input, number) in series {
            let since = samples.mark();
            let block = &inputs[*input];
            for chunk in block.chunks(*number, start, end) {
                if block.read(chunk, start, end, &mut samples).is_err() {
                    self.found_damaged(block);
                }
            }
            samples.settle(since);
        }
        samples.once();
        samples.floats
    }

    /// Puts one block in the place of those that hold these days, without what was deleted.
    pub(crate) fn merge_level(&self, level: &Level, group: &[Days], stop: &dyn Fn() -> bool) -> io::Result<()> {
        let begun = self.runtime.clock.monotonic();
        let (first, last) = (group[0].span().0, group[group.len() - 1].span().1 - 1);
        self.shelf.lock().expect("no panic while held").changed.clear();
        let mut inputs: Vec<Arc<Block>> = Vec::new();
        for block in group.iter().filter_map(|days| days.block.as_ref()) {
            if !inputs.iter().any(|input| Arc::ptr_eq(input, block)) {
                inputs.push(Arc::clone(block));
            }
        }
        if let Some(damaged) = inputs.iter().find(|block| !block.index.verify()) {
            self.lost(damaged)?;
            return Err(io::ErrorKind::Interrupted.into());
        }
        let bytes: u64 = inputs.iter().map(|block| block.bytes()).sum();
        self.leave_room_for(bytes)?;
        let (number, path) = level.blocks.reserve();
        let merging = Merging::new(&inputs);
        let mut writer = BlockWriter::begin(&self.runtime.disk, &path, &merging.symbols, number, Vec::new())?;
        let mut series = 0_u64;
        merging.each(stop, |labels, same| {
            let mut rows = Vec::new();
            for (input, number) in same {
                let held = group
                    .iter()
                    .filter(|days| days.block.as_ref().is_some_and(|block| Arc::ptr_eq(block, &inputs[*input])));
                for days in held {
                    // What is found damaged here is left out, and set aside with its block.
                    let _ = self.rows(level, &inputs[*input], *number, days.span(), &mut rows);
                }
            }
            rows.sort_by_key(|row: &Row| row.start);
            if !rows.is_empty() {
                writer.add(labels, &rollup_chunk::encode_all(&rows), &[])?;
                series += 1;
            }
            Ok(())
        })?;
        if series > 0 {
            self.work.written.add(writer.complete()?);
        }
        let mut shelf = self.shelf.lock().expect("no panic while held");
        shelf.check_unchanged(first, last)?;
        let mut block = None;
        if series > 0 {
            block = Some(Arc::new(level.blocks.place(writer, number, &path)?));
        }
        level.blocks.add(block.clone());
        for run in runs(group) {
            level.put(Some(Days { block: block.clone(), ..run }), &[]);
        }
        self.save_days(&mut shelf, true)?;
        drop(shelf);
        self.work.merges.inc();
        self.work.read.add(bytes);
        self.work.seconds.observe(self.runtime.clock.monotonic().saturating_sub(begun).as_secs_f64());
        self.remove_stray(level)
    }

    /// Removes blocks of a copy that hold no day any more.
    pub(crate) fn remove_stray(&self, level: &Level) -> io::Result<()> {
        let stray = level.stray();
        if stray.is_empty() {
            return Ok(());
        }
        level.blocks.replace(Vec::new(), &stray.iter().map(|block| block.number).collect::<Vec<_>>());
        level.blocks.remove(&stray)
    }

    /// Names on disk which days are in the copies.
    pub(crate) fn save_days(&self, shelf: &mut Shelf, changed: bool) -> io::Result<()> {
        if changed || shelf.unsaved {
            shelf.unsaved = true;
            self.levels.iter().try_for_each(|level| level.save(&self.runtime.disk))?;
            shelf.unsaved = false;
        }
        Ok(())
    }

    /// Samples between these times changed: those days are to be made again, if that can be done.
    pub(crate) fn changed(&self, shelf: &mut Shelf, first: i64, last: i64) {
        shelf.changed.push((first, last));
        // What is older than what was forgotten cannot be made again: the copy stays the best there is.
        let (from, to) = (first.div_euclid(DAY).max(first_whole(self.forgotten())), last.div_euclid(DAY) + 1);
        for level in self.levels.iter().filter(|_| from < to) {
            if level.says(from, to) {
                level.put(None, &[(from, to)]);
                shelf.unsaved = true;
            }
        }
    }
}

/// Days next to one another, as one.
fn runs(group: &[Days]) -> Vec<Days> {
    let mut runs = Vec::<Days>::new();
    for days in group {
        match runs.last_mut().filter(|run| run.to == days.from) {
            Some(run) => run.to = days.to,
            None => runs.push(days.clone()),
        }
    }
    runs
}

/// Days to be put into one block: several within a span that is over, of which not all are in one.
fn merge_due(level: &Level) -> Option<Vec<Days>> {
    let days = level.days();
    let newest = days.last()?.to;
    for width in WIDTHS.into_iter().filter(|width| width * 10 * DAY <= millis(level.config.retention)) {
        let mut group = Vec::<Days>::new();
        for next in days.iter().chain([&Days { block: None, from: i64::MAX, to: i64::MAX }]) {
            let span = next.from.div_euclid(width);
            if group.first().is_some_and(|first| first.from.div_euclid(width) != span) {
                let blocks: BTreeSet<u64> =
                    group.iter().filter_map(|days| days.block.as_ref()).map(|block| block.number).collect();
                let end = (group[0].from.div_euclid(width) + 1) * width;
                if blocks.len() > 1 && end <= newest {
                    return Some(group);
                }
                group.clear();
            }
            // One that reaches further is as big as it gets.
            if next.to.saturating_sub(1).div_euclid(width) == span {
                group.push(next.clone());
            }
        }
    }
    None
}
