//! What OpenMetrics says of whole families: names that clash, groups that are torn apart, histograms that do not add up.
//!
//! Prometheus takes such bodies all the same, so a scraper does too; the judge is what tells the target's owner.

use std::collections::HashSet;

use watchbell_model::Labels;

use super::series::{Pairs, pairs};
use super::{Format, Limits, Line, MetricType, ParseError, Sample};

/// Longest set of labels of an exemplar, in characters of names and values (OpenMetrics 1.0.0).
const EXEMPLAR_CHARS_MAX: usize = 128;

/// Follows a body that a [`super::Parser`] reads and refuses what its families break.
#[derive(Debug)]
pub struct Judge {
    limits: Limits,
    names: HashSet<String>,
    family: Option<Family>,
}

#[derive(Debug)]
struct Family {
    name: String,
    kind: Option<MetricType>,
    unit: Option<String>,
    help: bool,
    sampled: bool,
    group: Option<Group>,
    groups: HashSet<Labels>,
}

/// Samples that belong to one metric: the same labels but for those that tell its parts apart.
#[derive(Debug)]
struct Group {
    labels: Labels,
    seconds: Option<f64>,
    buckets: Buckets,
}

/// What is known of the histogram at one time.
#[derive(Debug, Default)]
struct Buckets {
    last: Option<(f64, f64)>,
    negative: bool,
    sum: Option<f64>,
    count: Option<f64>,
}

impl Judge {
    /// For a body from its first line on.
    pub fn new(limits: Limits) -> Judge {
        Judge { limits, names: HashSet::new(), family: None }
    }

    /// Looks at the next line.
    pub fn line(&mut self, at: usize, line: &Line<'_>) -> Result<(), ParseError> {
        let judged = match line {
            Line::Sample(sample) => self.sample(sample),
            Line::Type { metric, kind } => self.metadata(metric, |family| family.kind.replace(*kind).is_some()),
            Line::Help { metric, .. } => self.metadata(metric, |family| std::mem::replace(&mut family.help, true)),
            Line::Unit { metric, unit } => {
                self.metadata(metric, |family| family.unit.replace((*unit).to_owned()).is_some())
            }
        };
        judged.map_err(|reason| ParseError { line: at, reason })
    }

    /// Looks at what only the end shows.
    pub fn end(mut self, at: usize) -> Result<(), ParseError> {
        self.close().map_err(|reason| ParseError { line: at, reason })
    }

    fn metadata(&mut self, metric: &str, set: impl FnOnce(&mut Family) -> bool) -> Result<(), String> {
        if self.family.as_ref().is_none_or(|family| family.name != metric) {
            self.open(metric)?;
        }
        let family = self.family.as_mut().expect("just opened");
        if family.sampled {
            return Err(format!("metadata of `{metric}` must stand before its samples"));
        }
        if set(family) {
            return Err(format!("metadata of `{metric}` is there twice"));
        }
        Ok(())
    }

    fn sample(&mut self, sample: &Sample<'_>) -> Result<(), String> {
        let pairs = pairs(sample.series, Format::OpenMetrics, &self.limits)?;
        let name = pairs[0].1.clone();
        let kind = match &self.family {
            Some(family) if part(family, &name).is_some() => family.kind.unwrap_or(MetricType::Unknown),
            _ => {
                self.open(&name)?;
                MetricType::Unknown
            }
        };
        let family = self.family.as_mut().expect("just opened");
        family.sampled = true;
        let part = part(family, &name).expect("the family takes it");
        check_value(kind, part, &family.name, &pairs, sample)?;
        family.group(kind, part, &pairs, sample)
    }

    /// Ends the family under way and begins another.
    fn open(&mut self, name: &str) -> Result<(), String> {
        self.close()?;
        self.family = Some(Family {
            name: name.to_owned(),
            kind: None,
            unit: None,
            help: false,
            sampled: false,
            group: None,
            groups: HashSet::new(),
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(mut family) = self.family.take() else { return Ok(()) };
        let kind = family.kind.unwrap_or(MetricType::Unknown);
        family.close_group(kind)?;
        let name = &family.name;
        if let Some(unit) = family.unit.as_deref().filter(|unit| !unit.is_empty()) {
            if matches!(kind, MetricType::Info | MetricType::StateSet) {
                return Err(format!("`{name}` is of type {}, which has no unit", kind.as_str()));
            }
            if !name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')) {
                return Err(format!("the name `{name}` must end with its unit `_{unit}`"));
            }
        }
        let taken = suffixes(kind).iter().map(|suffix| format!("{name}{suffix}"));
        let own = (!suffixes(kind).contains(&"")).then(|| name.clone());
        for taken in taken.chain(own) {
            if !self.names.insert(taken.clone()) {
                return Err(format!("the name `{taken}` is used by another family, or its lines are torn apart"));
            }
        }
        Ok(())
    }
}

/// What the samples of a family are called, after the family's name.
fn suffixes(kind: MetricType) -> &'static [&'static str] {
    match kind {
        MetricType::Counter => &["_total", "_created"],
        MetricType::Histogram => &["_bucket", "_count", "_sum", "_created"],
        MetricType::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        MetricType::Summary => &["", "_count", "_sum", "_created"],
        MetricType::Info => &["_info"],
        MetricType::Gauge | MetricType::StateSet | MetricType::Unknown => &[""],
    }
}

/// Which part of its family a sample is.
fn part(family: &Family, name: &str) -> Option<&'static str> {
    let rest = name.strip_prefix(family.name.as_str())?;
    suffixes(family.kind.unwrap_or(MetricType::Unknown)).iter().find(|suffix| **suffix == rest).copied()
}

fn label<'a>(pairs: &'a Pairs<'_>, name: &str) -> Option<&'a str> {
    pairs.iter().find(|(have, _)| have == name).map(|(_, value)| &**value)
}

fn bound(pairs: &Pairs<'_>) -> Result<f64, String> {
    let text = label(pairs, "le").ok_or("a bucket needs the label `le`")?;
    let bound: f64 = text.parse().map_err(|_| format!("`le` is `{text}`, which is not a number"))?;
    if bound.is_nan() || (bound == f64::INFINITY && text != "+Inf") {
        return Err(format!("`le` is `{text}`; the last bucket's is `+Inf`"));
    }
    Ok(bound)
}

fn check_value(
    kind: MetricType,
    part: &str,
    family: &str,
    pairs: &Pairs<'_>,
    sample: &Sample<'_>,
) -> Result<(), String> {
    use MetricType::{Counter, GaugeHistogram, Histogram, Info, StateSet, Summary};
    let value = sample.value;
    let counts = match kind {
        Counter => part == "_total",
        Histogram | Summary => matches!(part, "_bucket" | "_count" | "_sum"),
        GaugeHistogram => matches!(part, "_bucket" | "_gcount"),
        _ => false,
    };
    if counts && (value.is_nan() || value < 0.0) {
        return Err(format!("`{family}{part}` counts, so it must not be {value}"));
    }
    match (kind, part) {
        (Summary, "") => {
            let text = label(pairs, "quantile").ok_or("a summary's value needs the label `quantile`")?;
            if !text.parse::<f64>().is_ok_and(|quantile| (0.0..=1.0).contains(&quantile)) {
                return Err(format!("`quantile` is `{text}`, which is not between 0 and 1"));
            }
            if value < 0.0 {
                return Err(format!("a quantile must not be {value}"));
            }
        }
        (Info, _) if value != 1.0 => return Err(format!("an info's value is 1, not {value}")),
        (StateSet, _) => {
            if label(pairs, family).is_none() {
                return Err(format!("a state of `{family}` needs the label `{family}`"));
            }
            if value != 0.0 && value != 1.0 {
                return Err(format!("a state's value is 0 or 1, not {value}"));
            }
        }
        _ => {}
    }
    let Some(exemplar) = &sample.exemplar else { return Ok(()) };
    if !matches!((kind, part), (Counter, "_total") | (Histogram | GaugeHistogram, "_bucket")) {
        return Err("only buckets and counters have exemplars".to_owned());
    }
    let chars: usize = exemplar.labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    if chars > EXEMPLAR_CHARS_MAX {
        return Err(format!("an exemplar's labels have {EXEMPLAR_CHARS_MAX} characters at most"));
    }
    Ok(())
}

impl Family {
    /// Puts a sample into its group, which must be the one under way or a new one.
    fn group(&mut self, kind: MetricType, part: &str, pairs: &Pairs<'_>, sample: &Sample<'_>) -> Result<(), String> {
        let apart = match (kind, part) {
            (_, "_bucket") => "le",
            (MetricType::Summary, "") => "quantile",
            (MetricType::StateSet, _) => self.name.as_str(),
            _ => Labels::NAME,
        };
        // An empty value is no label, yet such a line is another one than the line without it.
        let labels: Labels = pairs[1..]
            .iter()
            .filter(|(name, _)| name != apart)
            .map(|(name, value)| (&**name, if value.is_empty() { "\0" } else { value }))
            .collect();
        if self.group.as_ref().is_none_or(|group| group.labels != labels) {
            self.close_group(kind)?;
            if !self.groups.insert(labels.clone()) {
                return Err(format!("samples of `{}` with the same labels must stand together", self.name));
            }
            self.group = Some(Group { labels, seconds: sample.seconds, buckets: Buckets::default() });
        } else {
            let had = self.group.as_ref().expect("it has labels").seconds;
            match (had, sample.seconds) {
                (Some(had), Some(at)) if at < had => return Err("timestamps go backwards".to_owned()),
                (Some(_), None) | (None, Some(_)) => {
                    return Err("some samples of a group have a timestamp, some have none".to_owned());
                }
                (Some(had), Some(at)) if at > had => self.finish_buckets(kind)?,
                _ => {}
            }
            self.group.as_mut().expect("it has labels").seconds = sample.seconds;
        }
        let buckets = &mut self.group.as_mut().expect("just set").buckets;
        match part {
            "_bucket" => {
                let bound = bound(pairs)?;
                buckets.negative |= bound < 0.0;
                if let Some((last, value)) = buckets.last.replace((bound, sample.value)) {
                    if bound <= last {
                        return Err("buckets must be in ascending order of `le`".to_owned());
                    }
                    if sample.value < value {
                        return Err("buckets are cumulative, so they must not shrink".to_owned());
                    }
                }
            }
            "_sum" | "_gsum" => buckets.sum = Some(sample.value),
            "_count" | "_gcount" => buckets.count = Some(sample.value),
            _ => {}
        }
        Ok(())
    }

    fn close_group(&mut self, kind: MetricType) -> Result<(), String> {
        self.finish_buckets(kind)?;
        self.group = None;
        Ok(())
    }

    /// A histogram at one time is complete: it must add up.
    fn finish_buckets(&mut self, kind: MetricType) -> Result<(), String> {
        let Some(group) = &mut self.group else { return Ok(()) };
        let buckets = std::mem::take(&mut group.buckets);
        if !matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram) {
            return Ok(());
        }
        let Some((_, total)) = buckets.last.filter(|(bound, _)| *bound == f64::INFINITY) else {
            return Err(format!("the histogram `{}` has no bucket `+Inf`", self.name));
        };
        if buckets.sum.is_some() != buckets.count.is_some() {
            return Err(format!("the histogram `{}` must have both a sum and a count, or neither", self.name));
        }
        if buckets.count.is_some_and(|count| count != total) {
            return Err(format!("the count of the histogram `{}` is not its bucket `+Inf`", self.name));
        }
        match buckets.sum {
            Some(sum) if kind == MetricType::GaugeHistogram && sum < 0.0 && !buckets.negative => {
                Err(format!("the sum of `{}` is negative, but no bucket is", self.name))
            }
            Some(_) if kind == MetricType::Histogram && buckets.negative => {
                Err(format!("the histogram `{}` has negative buckets, so it cannot have a sum", self.name))
            }
            Some(sum) if sum.is_nan() => Err(format!("the sum of `{}` is not a number", self.name)),
            _ => Ok(()),
        }
    }
}
