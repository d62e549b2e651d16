//! Reading coarser copies: sums over any multiple of a kept width, and, where samples were forgotten, the last sample
//! of each window in their place.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use watchbell_model::{Labels, Matcher, QueryError, Rollup, Sample, Span, Timestamp};

use super::Inner;
use super::block::{Block, ChunkRef};
use super::matching::matching;
use super::rollup::{Row, fold, join};
use super::rollups::{DAY, Level};
use super::select::SELECT_SAMPLES_MAX;
use super::series::millis;
use super::tombstones;

/// How many rows, of windows as they are asked for, one question may hold in memory: as much as samples may take.
const ROWS_MAX: usize = SELECT_SAMPLES_MAX / 4;

/// From the first millisecond to the one behind the last.
type Stretch = (i64, i64);

impl Inner {
    /// As [`watchbell_model::Query::rollup`], from the coarsest copy that divides `width`; `None` if there is none.
    pub(crate) fn rollup(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
        width: Span,
    ) -> Option<Result<Vec<(Labels, Vec<Rollup>)>, QueryError>> {
        let width = millis(width).max(1);
        let divides = |level: &&Level| width % level.width == 0 && !level.days().is_empty();
        let level = self.levels.iter().rev().find(divides)?;
        Some(self.rollup_from(level, matchers, start, end, width))
    }

    fn rollup_from(
        &self,
        level: &Level,
        matchers: &[Matcher],
        start: i64,
        end: i64,
        width: i64,
    ) -> Result<Vec<(Labels, Vec<Rollup>)>, QueryError> {
        let mut rows = Gathered::default();
        // The head first: what is sealed meanwhile is then not in the copy any more.
        let late = self.days_in_head(level, matchers, start, end);
        let days = level.days();
        // Only windows that are asked for whole.
        let first = start.div_euclid(level.width).saturating_add(i64::from(start.rem_euclid(level.width) > 0));
        let behind = end.saturating_add(1).div_euclid(level.width);
        let asked = (first.saturating_mul(level.width), behind.saturating_mul(level.width));
        let mut raw = vec![(start, end.saturating_add(1))];
        for days in days.iter() {
            let mut held = vec![days.span()];
            late.iter().for_each(|day| held = without(&held, (day * DAY, (day + 1) * DAY)));
            for (from, to) in held {
                let (from, to) = (from.max(asked.0), to.min(asked.1));
                if from >= to {
                    continue;
                }
                raw = without(&raw, (from, to));
                let Some(block) = &days.block else { continue };
                for series in matching(&block.index, matchers) {
                    let mut found = Vec::new();
                    self.rows(level, block, series, (from, to), &mut found)?;
                    // Days are of the copy or not, as a whole: nothing comes between rows of one window later.
                    if width > level.width && DAY % width == 0 {
                        found = join(found, width);
                    }
                    if !found.is_empty() {
                        rows.add(block.labels(series), found)?;
                    }
                }
                self.whole(block)?;
            }
        }
        let limit = usize::try_from(self.config.query_samples_limit).unwrap_or(usize::MAX);
        for (from, to) in raw {
            let mut failed = None;
            self.each(matchers, (from, to - 1), limit, &mut |series| {
                let found = Row::of(&series.samples, level.width);
                match rows.add(series.labels, found) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            failed.map_or(Ok(()), Err)?;
        }
        let fold = |(labels, mut rows): (Labels, Vec<Row>)| {
            rows.sort_by_key(|row| row.start);
            (labels, fold(&rows, width))
        };
        Ok(rows.series.into_iter().map(fold).collect())
    }

    /// Days of the copy for which some series that passes has samples in memory: late ones, that are not in it.
    fn days_in_head(&self, level: &Level, matchers: &[Matcher], start: i64, end: i64) -> Vec<i64> {
        let spans: Vec<Stretch> = level.days().iter().map(|days| days.span()).collect();
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Vec::new() };
        let (first, last) = (first.0.max(start), (last.1 - 1).min(end));
        if first > last {
            return Vec::new();
        }
        let found = matching(&*self.heads.index(), matchers);
        let late: Vec<_> = found.iter().filter(|series| self.heads.overlaps(*series, first, last)).collect();
        let in_day = |day: &i64| late.iter().any(|series| self.heads.overlaps(*series, day * DAY, (day + 1) * DAY - 1));
        if late.is_empty() {
            return Vec::new();
        }
        (first.div_euclid(DAY)..=last.div_euclid(DAY)).filter(in_day).collect()
    }

    /// Adds rows of a series that begin in a stretch, without deleted ones.
    pub(crate) fn rows(
        &self,
        level: &Level,
        block: &Arc<Block>,
        series: u32,
        (from, to): Stretch,
        out: &mut Vec<Row>,
    ) -> Result<(), QueryError> {
        let gone = block.gone();
        for chunk in block.chunks(series, from, to - 1) {
            let Ok(rows) = block.read_rows(chunk) else {
                self.found_damaged(block);
                self.remake(level, block);
                let words = format!("a part of {} is damaged; ask again without it", block.path.display());
                return Err(QueryError::Unavailable(words));
            };
            let is_gone = |row: &Row| chunk.cut && tombstones::covers(gone.of(series), row.start, row.start);
            out.extend(rows.into_iter().filter(|row| (from..to).contains(&row.start) && !is_gone(row)));
        }
        Ok(())
    }

    /// The days that a damaged block of a copy holds are made again from samples, where these are all there.
    pub(crate) fn remake(&self, level: &Level, block: &Arc<Block>) {
        let mut shelf = self.shelf.lock().expect("no panic while held");
        for days in level.days().iter() {
            if days.block.as_ref().is_some_and(|held| Arc::ptr_eq(held, block)) {
                let (first, behind) = days.span();
                self.changed(&mut shelf, first, behind - 1);
            }
        }
    }

    /// Blocks of copies that speak for samples which were forgotten, each with when; the finest that there is.
    pub(crate) fn bygone(&self, start: i64, end: i64) -> Vec<(Arc<Block>, Vec<Stretch>)> {
        let mut left = vec![(start, end.saturating_add(1).min(self.forgotten()))];
        left.retain(|(from, to)| from < to);
        let mut found = Vec::<(Arc<Block>, Vec<Stretch>)>::new();
        for level in &self.levels {
            if left.is_empty() {
                break;
            }
            for days in level.days().iter() {
                let (from, to) = days.span();
                let stretches = left.iter().map(|(start, end)| ((*start).max(from), (*end).min(to)));
                let stretches: Vec<Stretch> = stretches.filter(|(from, to)| from < to).collect();
                left = without(&left, (from, to));
                let Some(block) = days.block.as_ref().filter(|_| !stretches.is_empty()) else { continue };
                match found.iter_mut().find(|(known, _)| Arc::ptr_eq(known, block)) {
                    Some((_, known)) => known.extend(stretches),
                    None => found.push((Arc::clone(block), stretches)),
                }
            }
        }
        found
    }

    /// Adds the last samples of windows that lie in the stretches.
    pub(crate) fn read_past(
        &self,
        (block, series): (&Arc<Block>, u32),
        chunks: &[ChunkRef],
        stretches: &[Stretch],
        out: &mut Vec<Sample>,
    ) -> Result<(), QueryError> {
        let gone = block.gone();
        for chunk in chunks {
            let rows = block.read_rows(*chunk).map_err(|_| {
                self.found_damaged(block);
                QueryError::Unavailable(format!("a part of {} is damaged; ask again without it", block.path.display()))
            })?;
            for row in rows {
                let time = row.last.timestamp.0;
                let is_gone = chunk.cut && tombstones::covers(gone.of(series), row.start, row.start);
                if !is_gone && stretches.iter().any(|(from, to)| (*from..*to).contains(&time)) {
                    out.push(Sample { timestamp: Timestamp(time), value: row.last.value });
                }
            }
        }
        Ok(())
    }
}

/// Rows by series.
#[derive(Default)]
struct Gathered {
    series: BTreeMap<Labels, Vec<Row>>,
    count: usize,
}

impl Gathered {
    fn add(&mut self, labels: Labels, rows: Vec<Row>) -> Result<(), QueryError> {
        self.count += rows.len();
        if self.count > ROWS_MAX {
            return Err(QueryError::TooMany { limit: ROWS_MAX });
        }
        if !rows.is_empty() {
            self.series.entry(labels).or_default().extend(rows);
        }
        Ok(())
    }
}

/// What is left of stretches without one.
fn without(stretches: &[Stretch], (from, to): Stretch) -> Vec<Stretch> {
    let parts = stretches.iter().flat_map(|(start, end)| [(*start, (*end).min(from)), ((*start).max(to), *end)]);
    parts.filter(|(start, end)| start < end).collect()
}
