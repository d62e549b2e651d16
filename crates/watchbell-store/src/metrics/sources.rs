//! Who sends series, and how many each may have: an explosion of label values stays with whoever made it.
//!
//! Pure. A source is known as long as it has series. Number zero stands for series whose source is not known: those of
//! logs older than sources, which no limit counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::MetricsConfig;

/// How many sources are told apart; further ones share one limit.
const SOURCES_MAX: usize = 4096;
/// What those are called.
const OTHERS: &str = "others";

pub(crate) struct Sources {
    list: Vec<Source>,
    numbers: HashMap<Arc<str>, u16>,
}

pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    /// How many series are its.
    pub(crate) series: u64,
    /// How many were refused since somebody looked.
    pub(crate) refused: u64,
    /// It was not its own limit that refused them, but that of all.
    pub(crate) by_all: bool,
}

impl Source {
    fn new(name: Arc<str>) -> Source {
        Source { name, series: 0, refused: 0, by_all: false }
    }
}

impl Default for Sources {
    fn default() -> Sources {
        Sources { list: vec![Source::new("".into())], numbers: HashMap::from([("".into(), 0)]) }
    }
}

impl Sources {
    /// The number of a source, new if need be.
    pub(crate) fn number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let room = self.list.len() < SOURCES_MAX;
        let unused = || (1..).zip(&self.list[1..]).find(|(_, source)| source.series == 0 && source.refused == 0);
        let at = if room { None } else { unused().map(|(at, _)| at) };
        let name: Arc<str> = if room || at.is_some() { name.into() } else { OTHERS.into() };
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let source = Source::new(Arc::clone(&name));
        let number = match at {
            Some(at) => {
                let before = std::mem::replace(&mut self.list[at], source);
                self.numbers.remove(&before.name);
                at
            }
            None => {
                self.list.push(source);
                self.list.len() - 1
            }
        };
        self.numbers.insert(name, number as u16);
        number as u16
    }

    pub(crate) fn get_mut(&mut self, number: u16) -> &mut Source {
        &mut self.list[number as usize]
    }

    pub(crate) fn name(&self, number: u16) -> &Arc<str> {
        &self.list[number as usize].name
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u16, &mut Source)> {
        (0..).zip(&mut self.list)
    }
}

/// How many series there may be.
pub(crate) struct SeriesLimits<'a> {
    all: u64,
    each: u64,
    named: &'a BTreeMap<String, u64>,
}

impl SeriesLimits<'_> {
    pub(crate) fn new(config: &MetricsConfig) -> SeriesLimits<'_> {
        SeriesLimits { all: config.series_limit, each: config.series_limit_per_source, named: &config.source_limits }
    }

    /// That of all.
    pub(crate) fn all(&self) -> u64 {
        self.all
    }

    /// That of a source.
    pub(crate) fn of(&self, source: &str) -> u64 {
        self.named.get(source).copied().unwrap_or(self.each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart_as_long_as_there_is_room() {
        let mut sources = Sources::default();
        let numbers = ["a", "b", "a", ""].map(|name| sources.number(name));
        assert_eq!(numbers, [1, 2, 1, 0]);
        for at in 3..SOURCES_MAX {
            sources.number(&at.to_string());
        }
        for (_, source) in sources.iter_mut() {
            source.series = 1;
        }
        // Full: `others` takes the place of the first that has no series.
        sources.get_mut(2).series = 0;
        assert_eq!((sources.number("c"), &**sources.name(2)), (2, "c"));
        sources.get_mut(2).series = 1;
        let others = sources.number("d");
        sources.get_mut(others).series = 1;
        assert_eq!((sources.number("e"), &**sources.name(others)), (others, OTHERS));
        assert_eq!(sources.number("a"), 1);
    }
}
