//! Series with their samples as texts: the notation of `promtool test rules` and of Prometheus' own scripts.

use regex::Regex;
use watchbell_model::{BucketSpan, Buckets, Histogram, Labels, MatchOp, ResetHint, stale_nan};

use super::metric_selector;
use crate::histogram::{Incompatible, Tally};
use crate::number::format_value;

/// One place of a sequence of samples.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A number; the staleness marker for `stale`.
    Value(f64),
    /// No sample.
    Omitted,
    /// A native histogram.
    Histogram {
        /// What it holds.
        histogram: Histogram,
        /// Whether the text says anything about resets.
        hint: bool,
    },
}

/// Reads a series with its samples, as unit tests of rules write it: `up{job="mail"} 1 0x3 _ stale {{count:2}}`.
///
/// # Errors
/// In words, when the text is no metric or no sequence.
pub fn series_description(text: &str) -> Result<(Labels, Vec<Item>), String> {
    let brace = text.find('{');
    let space = text.find(char::is_whitespace).unwrap_or(text.len());
    let end = match brace {
        Some(brace) if brace < space => closing_brace(text, brace).ok_or("a series without `}`")? + 1,
        _ => space,
    };
    let labels = metric(&text[..end])?;
    Ok((labels, sequence(text[end..].trim())?))
}

fn closing_brace(text: &str, from: usize) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text[from..].char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '}') => return Some(from + at),
            _ => {}
        }
    }
    None
}

/// A metric by its name and labels, which may be none.
fn metric(text: &str) -> Result<Labels, String> {
    let named = metric_selector(text).or_else(|_| metric_selector(&format!("no_name{text}")));
    let matchers = named.map_err(|error| format!("`{text}`: {error}"))?;
    if matchers.iter().any(|matcher| matcher.op != MatchOp::Equal) {
        return Err(format!("`{text}` is not a metric"));
    }
    let pairs = matchers.into_iter().filter(|matcher| matcher.value != "no_name");
    Ok(pairs.map(|matcher| (matcher.name, matcher.value)).collect())
}

/// Most samples that a sequence may stand for.
pub const SEQUENCE_MAX: usize = 10_000_000;

fn sequence(text: &str) -> Result<Vec<Item>, String> {
    let number = r"(?:inf|nan|[0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?)";
    let shape = format!(r"(?i)^([+-]?{number})(?:([+-]{number}))?(?:x([0-9]+))?$");
    let shape = Regex::new(&shape).expect("the pattern is fixed");
    let mut items = Vec::new();
    for word in words(text) {
        let repeated = |word: &str| word.rsplit_once('x').and_then(|(_, times)| times.parse::<usize>().ok());
        if items.len().saturating_add(repeated(word).unwrap_or(1)) > SEQUENCE_MAX {
            return Err(format!("more than {SEQUENCE_MAX} samples"));
        }
        if word.starts_with("{{") {
            let (word, times) = match word.ends_with("}}") {
                true => (word, 0),
                false => (&word[..word.rfind('x').unwrap_or(0)], repeated(word).ok_or("a bad repetition")?),
            };
            items.extend(histograms(word, times)?);
        } else if word.starts_with('_') {
            items.extend(std::iter::repeat_n(Item::Omitted, repeated(word).unwrap_or(1)));
        } else if word.starts_with("stale") {
            items.extend(std::iter::repeat_n(Item::Value(stale_nan()), repeated(word).map_or(1, |times| times + 1)));
        } else {
            let parts = shape.captures(word).ok_or_else(|| format!("`{word}` is no value"))?;
            let read = |part: usize| parts.get(part).map(|part| part.as_str().parse::<f64>());
            let first = read(1).ok_or("no value")?.map_err(|error| error.to_string())?;
            let by = read(2).transpose().map_err(|error| error.to_string())?.unwrap_or(0.0);
            let times = parts.get(3).map_or(Ok(0), |times| times.as_str().parse::<usize>());
            let mut value = first;
            for _ in 0..=times.map_err(|error| error.to_string())? {
                items.push(Item::Value(value));
                value += by;
            }
        }
    }
    Ok(items)
}

/// `{{…}}`, or `{{…}}+{{…}}` for one that grows at each of `times` steps.
fn histograms(text: &str, times: usize) -> Result<Vec<Item>, String> {
    let end = text.find("}}").ok_or("a histogram without `}}`")? + 2;
    let (first, hint) = histogram(&text[..end])?;
    let mut all = vec![Item::Histogram { histogram: first.clone(), hint }];
    let by = match (text[end..].chars().next(), text.get(end + 1..)) {
        (Some(sign @ ('+' | '-')), Some(by)) => Some((sign == '+', Tally::of(&histogram(by)?.0))),
        (None, _) => None,
        _ => return Err(format!("`{}` makes no sense after a histogram", &text[end..])),
    };
    let mut current = Tally::of(&first);
    for _ in 0..times {
        let grown = match &by {
            None => Ok(()),
            Some((true, by)) => current.add_plainly(by).map(|_| ()),
            Some((false, by)) => current.subtract(by).map(|_| ()),
        };
        grown.map_err(|Incompatible| "histograms with exponential and custom buckets cannot be added up".to_owned())?;
        let histogram = if by.is_some() { current.finish() } else { first.clone() };
        all.push(Item::Histogram { histogram, hint });
    }
    Ok(all)
}

/// `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`; also whether it speaks of resets.
fn histogram(text: &str) -> Result<(Histogram, bool), String> {
    let inner =
        text.strip_prefix("{{").and_then(|text| text.strip_suffix("}}")).ok_or("a histogram stands in `{{}}`")?;
    let (mut histogram, mut hint) = (Histogram::default(), false);
    let (mut offset, mut negative_offset) = (0, 0);
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(|| format!("`{rest}` is no `key:value`"))?;
        let (value, after) = match after.strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or("a list without `]`")?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        rest = after.trim();
        let number = |text: &str| text.parse::<f64>().map_err(|_| format!("`{text}` is no number"));
        let whole = |text: &str| text.parse::<i32>().map_err(|_| format!("`{text}` is no whole number"));
        let list = || value.split_whitespace().map(number).collect::<Result<Vec<f64>, String>>();
        match key.trim() {
            "schema" => histogram.schema = whole(value)?,
            "sum" => histogram.sum = number(value)?,
            "count" => histogram.count = number(value)?,
            "z_bucket" => histogram.zero_count = number(value)?,
            "z_bucket_w" => histogram.zero_threshold = number(value)?,
            "custom_values" => histogram.custom_values = list()?,
            "buckets" => histogram.positive.counts = list()?,
            "n_buckets" => histogram.negative.counts = list()?,
            "offset" => offset = whole(value)?,
            "n_offset" => negative_offset = whole(value)?,
            "counter_reset_hint" => {
                hint = true;
                histogram.reset = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "gauge" => ResetHint::Gauge,
                    _ => return Err(format!("`{value}` says nothing about resets")),
                };
            }
            key => return Err(format!("a histogram has no `{key}`")),
        }
    }
    for (buckets, offset) in [(&mut histogram.positive, offset), (&mut histogram.negative, negative_offset)] {
        if !buckets.counts.is_empty() {
            buckets.spans = vec![BucketSpan { offset, length: buckets.counts.len() as u32 }];
        }
    }
    Ok((histogram, hint))
}

/// Words apart by space; a native histogram in double braces is one word.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut depth) = (None, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c.is_whitespace() && depth == 0 {
            words.extend(start.take().map(|start| &text[start..at]));
        } else {
            start.get_or_insert(at);
        }
    }
    words.extend(start.map(|start| &text[start..]));
    words
}

/// A histogram in the notation that [`series_description`] reads: `{{schema:1 count:3 sum:5 buckets:[1 2]}}`. Empty
/// buckets at the ends are left out, so that histograms that say the same are the same text.
pub fn histogram_notation(histogram: &Histogram) -> String {
    let mut parts = Vec::new();
    if histogram.schema != 0 {
        parts.push(format!("schema:{}", histogram.schema));
    }
    for (name, number) in [
        ("count", histogram.count),
        ("sum", histogram.sum),
        ("z_bucket", histogram.zero_count),
        ("z_bucket_w", histogram.zero_threshold),
    ] {
        if number != 0.0 {
            parts.push(format!("{name}:{}", format_value(number)));
        }
    }
    let list = |numbers: &[f64]| numbers.iter().map(|number| format_value(*number)).collect::<Vec<_>>().join(" ");
    if histogram.has_custom_buckets() {
        parts.push(format!("custom_values:[{}]", list(&histogram.custom_values)));
    }
    let hint = match histogram.reset {
        ResetHint::Unknown => None,
        ResetHint::Reset => Some("reset"),
        ResetHint::NotReset => Some("not_reset"),
        ResetHint::Gauge => Some("gauge"),
    };
    parts.extend(hint.map(|hint| format!("counter_reset_hint:{hint}")));
    for (buckets, name, offset) in
        [(&histogram.positive, "buckets", "offset"), (&histogram.negative, "n_buckets", "n_offset")]
    {
        let Some((first, counts)) = run(buckets) else { continue };
        if first != 0 {
            parts.push(format!("{offset}:{first}"));
        }
        parts.push(format!("{name}:[{}]", list(&counts)));
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

/// The longest run of buckets that [`histogram_notation`] fills the gaps of.
const RUN_MAX: usize = 10_000;

/// All buckets as one run, from the first that is not empty to the last, with the index of the first.
fn run(buckets: &Buckets) -> Option<(i32, Vec<f64>)> {
    let (mut index, mut counts, mut first, mut all) = (0_i32, buckets.counts.iter(), None, Vec::new());
    for span in &buckets.spans {
        index = index.saturating_add(span.offset);
        for _ in 0..span.length {
            let count = counts.next().copied().unwrap_or(0.0);
            if count != 0.0 {
                let first = *first.get_or_insert(index);
                let place = usize::try_from(index.saturating_sub(first)).unwrap_or(0).min(RUN_MAX);
                all.resize(place, 0.0);
                all.push(count);
            }
            index = index.saturating_add(1);
        }
    }
    first.map(|first| (first, all))
}
