//! Replaying: the records of the log go back into the head, but for what is in blocks already.
//!
//! Samples are gathered and put in order of the pages that their series lie in, because memory is slow where it is
//! touched at random; the shards of those are then filled on two cores.
//!
//! Of a segment that was sealed a part may still be needed; which series that is of is found first, because the others,
//! of which there can be a million, would be made for nothing.

use roaring::RoaringBitmap;
use watchbell_model::Labels;
use watchbell_runtime::thread;

use super::facts::Facts;
use super::head::Heads;
use super::index::Ref;
use super::record::{Entries, Logged, Named};
use super::record_rare::Said;
use super::seal::Mark;
use super::series::{Limits, Outcome};

/// How many samples are gathered before they go in: 24 bytes each, twice.
const GATHERED: usize = 1 << 20;
/// How many numbers of series may be left out before one: most that are active can be silent in a segment.
const SERIES_GAP_MAX: usize = 50_000_000;
/// Stands for a series that nobody named.
const NAMELESS: Ref = Ref::MAX;
/// Stands for a series of which everything is in blocks.
const SEALED: Ref = Ref::MAX - 1;

/// Fills a head.
pub(crate) struct Filling<'a> {
    heads: &'a Heads,
    facts: &'a mut Facts,
    sealed: Option<Mark>,
    /// On two cores.
    both: bool,
    gathered: Vec<Logged>,
    /// The same in order of pages.
    sorted: Vec<Logged>,
}

impl<'a> Filling<'a> {
    pub(crate) fn new(heads: &'a Heads, facts: &'a mut Facts, sealed: Option<Mark>, both: bool) -> Filling<'a> {
        Filling { heads, facts, sealed, both, gathered: Vec::new(), sorted: Vec::new() }
    }

    /// To take a segment of the log.
    pub(crate) fn segment(&mut self, number: u32) -> FillingSegment<'_, 'a> {
        let sealed = self.sealed.filter(|mark| number <= mark.segment).map_or(i64::MIN, |mark| mark.end);
        let (known, needed) = (Vec::new(), Needed { sealed, series: RoaringBitmap::new() });
        FillingSegment { to: self, sealed, needed, known, newest: i64::MIN, samples: 0, nameless: 0 }
    }

    /// That was all.
    pub(crate) fn end(&mut self) {
        self.put_in();
        (self.gathered, self.sorted) = (Vec::new(), Vec::new());
    }

    fn put_in(&mut self) {
        let begins = self.sort();
        let heads = self.heads;
        let run = |side: usize| {
            let mut walk = heads.walk();
            for page in (0..begins.len() - 1).filter(|page| Heads::shard_of_page(*page) % 2 == side) {
                for sample in &self.sorted[begins[page]..begins[page + 1]] {
                    let head = walk.head(sample.series);
                    let (outcome, grown) = head.append(sample.time, sample.value, Limits::none(), None);
                    if outcome == Outcome::Kept {
                        walk.grown(grown);
                    }
                }
            }
        };
        if self.both {
            thread::both(|| run(0), || run(1));
        } else {
            run(0);
            run(1);
        }
        self.gathered.clear();
    }

    /// Puts what was gathered in order of pages, those of one page in the order in which they were taken; answers where
    /// each page begins, and the end.
    fn sort(&mut self) -> Vec<usize> {
        let pages = self.gathered.iter().map(|sample| Heads::page_of(sample.series)).max().map_or(0, |last| last + 1);
        let mut begins = vec![0; pages + 1];
        for sample in &self.gathered {
            begins[Heads::page_of(sample.series) + 1] += 1;
        }
        for page in 0..pages {
            begins[page + 1] += begins[page];
        }
        self.sorted.resize(self.gathered.len(), Logged::default());
        let mut next = begins.clone();
        for sample in &self.gathered {
            let at = &mut next[Heads::page_of(sample.series)];
            self.sorted[*at] = *sample;
            *at += 1;
        }
        begins
    }
}

/// One segment: numbers of series mean something in it only.
pub(crate) struct FillingSegment<'f, 'a> {
    to: &'f mut Filling<'a>,
    /// What is older is in blocks.
    sealed: i64,
    needed: Needed,
    /// By the numbers of the segment, which are dense.
    known: Vec<Ref>,
    newest: i64,
    samples: u64,
    nameless: u64,
}

impl FillingSegment<'_, '_> {
    fn known(&self, number: u32) -> Option<Ref> {
        self.known.get(number as usize).copied().filter(|series| *series != NAMELESS)
    }

    /// One of which not everything is in blocks.
    fn open(&self, number: u32) -> Option<Ref> {
        self.known(number).filter(|series| *series != SEALED)
    }

    /// Who wants to know first which series are needed, if not all are.
    pub(crate) fn needed(&mut self) -> Option<&mut Needed> {
        Some(&mut self.needed).filter(|needed| needed.sealed > i64::MIN)
    }

    /// The newest time, how many samples of known series there were, and how many of others.
    pub(crate) fn found(&self) -> (i64, u64, u64) {
        (self.newest, self.samples, self.nameless)
    }
}

impl Entries for FillingSegment<'_, '_> {
    fn names(&mut self, named: &Named<'_>) -> Option<()> {
        for (number, places) in named.iter() {
            let pairs = || places.iter().map(|place| named.pairs[*place as usize]);
            if !pairs().is_sorted_by(|a, b| a.0 < b.0) {
                return None;
            }
            let series = if self.needed.is(number) {
                self.to.heads.replayed(&Labels::from_sorted(pairs()), named.source)
            } else {
                SEALED
            };
            let at = number as usize;
            if at >= self.known.len() && at < self.known.len() + SERIES_GAP_MAX {
                self.known.resize(at + 1, NAMELESS);
            }
            if let Some(known) = self.known.get_mut(at) {
                *known = series;
            }
        }
        Some(())
    }

    fn floats(&mut self, samples: &[Logged]) {
        for sample in samples {
            let series = self.known.get(sample.series as usize).copied().unwrap_or(NAMELESS);
            if series == NAMELESS {
                self.nameless += 1;
                continue;
            }
            self.newest = self.newest.max(sample.time);
            self.samples += 1;
            if sample.time >= self.sealed && series != SEALED {
                self.to.gathered.push(Logged { series, ..*sample });
            }
        }
        if self.to.gathered.len() >= GATHERED {
            self.to.put_in();
        }
    }

    fn rare(&mut self, said: Said) {
        let heads = self.to.heads;
        match said {
            Said::Histogram { series, time, histogram } => {
                if self.known(series).is_none() {
                    self.nameless += 1;
                    return;
                }
                self.newest = self.newest.max(time);
                self.samples += 1;
                if let Some(series) = self.open(series).filter(|_| time >= self.sealed) {
                    let mut walk = heads.walk();
                    let (outcome, grown) = walk.head(series).append_histogram(time, &histogram, Limits::none(), None);
                    if outcome == Outcome::Kept {
                        walk.grown(grown);
                    }
                }
            }
            Said::Start { series, start } => {
                if let Some(series) = self.open(series) {
                    heads.walk().head(series).tell(start, Limits::none());
                }
            }
            Said::Exemplar { series, exemplar } => {
                if let Some(series) = self.open(series) {
                    self.to.facts.exemplars.add(&heads.index().labels(series), &exemplar, i64::MAX);
                }
            }
            Said::Metadata { metric, metadata } => _ = self.to.facts.metrics.learn(&metric, &metadata, self.newest),
        }
    }
}

/// Series of a segment, by their numbers there, of which something is not in blocks.
pub(crate) struct Needed {
    /// What is older is in blocks.
    sealed: i64,
    series: RoaringBitmap,
}

impl Needed {
    fn is(&self, number: u32) -> bool {
        self.sealed == i64::MIN || self.series.contains(number)
    }
}

impl Entries for Needed {
    fn names(&mut self, _: &Named<'_>) -> Option<()> {
        Some(())
    }

    fn floats(&mut self, samples: &[Logged]) {
        let late = samples.iter().filter(|sample| sample.time >= self.sealed);
        late.for_each(|sample| _ = self.series.insert(sample.series));
    }

    fn rare(&mut self, said: Said) {
        match said {
            Said::Histogram { series, time, .. } if time >= self.sealed => _ = self.series.insert(series),
            Said::Start { series, .. } | Said::Exemplar { series, .. } => _ = self.series.insert(series),
            Said::Histogram { .. } | Said::Metadata { .. } => {}
        }
    }
}
