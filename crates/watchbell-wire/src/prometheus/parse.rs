//! Bodies line by line.

use std::borrow::Cow;

use watchbell_model::Timestamp;

use super::series::{self, is_blank, shown};
use super::{Format, Limits, MetricType, ParseError};

/// A line that says something; comments and blank lines of the text format are passed over.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    /// A value.
    Sample(Sample<'a>),
    /// `# TYPE`.
    Type {
        /// The family.
        metric: Cow<'a, str>,
        /// What it is.
        kind: MetricType,
    },
    /// `# HELP`.
    Help {
        /// The family.
        metric: Cow<'a, str>,
        /// What it means, for people.
        text: Cow<'a, str>,
    },
    /// `# UNIT` (OpenMetrics only).
    Unit {
        /// The family.
        metric: Cow<'a, str>,
        /// Its base unit.
        unit: &'a str,
    },
}

/// A value of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels as written; [`super::labels`] takes them apart and refuses what is wrong in them.
    pub series: &'a str,
    /// The value.
    pub value: f64,
    /// When, if the target says so: seconds since the epoch. Text bodies give whole milliseconds.
    pub seconds: Option<f64>,
    /// One of the events behind the value.
    pub exemplar: Option<Exemplar<'a>>,
}

impl Sample<'_> {
    /// When, if the target says so; past the range of a [`Timestamp`] it is the nearest one.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.seconds.map(Timestamp::from_seconds)
    }
}

/// An event behind a value, such as a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Names the event.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Its value.
    pub value: f64,
    /// When, in seconds since the epoch.
    pub seconds: Option<f64>,
}

impl Exemplar<'_> {
    /// One that stands for itself.
    pub(super) fn to_static(&self) -> Exemplar<'static> {
        let own = |text: &Cow<'_, str>| Cow::Owned(text.to_string());
        let labels = self.labels.iter().map(|(name, value)| (own(name), own(value))).collect();
        Exemplar { labels, value: self.value, seconds: self.seconds }
    }
}

/// Reads a body; ends after the first error.
#[derive(Debug)]
pub struct Parser<'a> {
    rest: &'a str,
    format: Format,
    limits: Limits,
    line: usize,
    samples: usize,
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    Reading,
    /// `# EOF` was read.
    Ended,
    /// Nothing more comes.
    Done,
}

impl<'a> Parser<'a> {
    /// Starts at the first line. A body that is not UTF-8 is refused as a whole, with the line of the first bad byte.
    pub fn new(body: &'a [u8], format: Format, limits: Limits) -> Result<Parser<'a>, ParseError> {
        match std::str::from_utf8(body) {
            Ok(rest) => Ok(Parser { rest, format, limits, line: 0, samples: 0, state: State::Reading }),
            Err(error) => {
                let line = 1 + body[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count();
                Err(ParseError { line, reason: "it is not UTF-8".to_owned() })
            }
        }
    }

    /// The number of the line that was read last, from one.
    pub fn line(&self) -> usize {
        self.line
    }

    fn next_line(&mut self) -> Result<Option<Line<'a>>, String> {
        loop {
            if self.rest.is_empty() {
                let complete = self.format == Format::Text || self.state == State::Ended;
                self.state = State::Done;
                return if complete { Ok(None) } else { Err("the body does not end with `# EOF`".to_owned()) };
            }
            self.line += 1;
            if self.state == State::Ended {
                return Err("something follows `# EOF`".to_owned());
            }
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.rest = rest;
            if line.len() > self.limits.line_bytes {
                return Err(format!("a line may be {} bytes long at most", self.limits.line_bytes));
            }
            let read = match self.format {
                Format::Text => text_line(line)?,
                Format::Protobuf => return Err("a protobuf body has no lines".to_owned()),
                Format::OpenMetrics if line == "# EOF" => {
                    self.state = State::Ended;
                    None
                }
                Format::OpenMetrics => Some(openmetrics_line(line, &self.limits)?),
            };
            if let Some(Line::Sample(_)) = read {
                self.samples += 1;
                if self.samples > self.limits.samples {
                    return Err(format!("a body may hold {} samples at most", self.limits.samples));
                }
            }
            if read.is_some() {
                return Ok(read);
            }
        }
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Line<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        self.next_line()
            .map_err(|reason| {
                self.state = State::Done;
                ParseError { line: self.line.max(1), reason }
            })
            .transpose()
    }
}

fn text_line(line: &str) -> Result<Option<Line<'_>>, String> {
    let line = line.trim_start_matches([' ', '\t']);
    if line.is_empty() {
        return Ok(None);
    }
    if let Some(comment) = line.strip_prefix('#') {
        let comment = comment.trim_start_matches([' ', '\t']);
        let (word, rest) = comment.split_at(comment.bytes().position(is_blank).unwrap_or(comment.len()));
        if !matches!(word, "HELP" | "TYPE") || rest.is_empty() {
            return Ok(None);
        }
        let (metric, rest) = metric_name(rest.trim_start_matches([' ', '\t']))?;
        if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
            return Err(format!("`{}` is not a metric's name", shown(comment[4..].trim())));
        }
        let rest = rest.trim_start_matches([' ', '\t']);
        return if word == "HELP" {
            Ok(Some(Line::Help { metric, text: series::unescape(rest, false) }))
        } else {
            Ok(Some(Line::Type { metric, kind: metric_type(rest.trim_end_matches([' ', '\t']), Format::Text)? }))
        };
    }
    let (series, rest) = series::split(line, Format::Text)?;
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let value = number(words.next().ok_or("the value is missing")?)?;
    let seconds = words.next().map(millis).transpose()?;
    if let Some(word) = words.next() {
        return Err(format!("`{}` follows the timestamp", shown(word)));
    }
    Ok(Some(Line::Sample(Sample { series, value, seconds, exemplar: None })))
}

fn openmetrics_line<'a>(line: &'a str, limits: &Limits) -> Result<Line<'a>, String> {
    if let Some(rest) = line.strip_prefix("# ") {
        let (word, rest) = rest.split_once(' ').ok_or("metadata needs a word, a metric's name and a text")?;
        let (metric, rest) = metric_name(rest)?;
        let rest = rest.strip_prefix(' ').ok_or("metadata needs one space after the metric's name")?;
        return match word {
            "HELP" => Ok(Line::Help { metric, text: series::unescape(rest, true) }),
            "TYPE" => Ok(Line::Type { metric, kind: metric_type(rest, Format::OpenMetrics)? }),
            "UNIT" if rest.bytes().all(|b| b == b'_' || b == b':' || b.is_ascii_alphanumeric()) => {
                Ok(Line::Unit { metric, unit: rest })
            }
            "UNIT" => Err(format!("`{}` is not a unit", shown(rest))),
            _ => Err(format!("`{}` is none of HELP, TYPE, UNIT", shown(word))),
        };
    }
    if line.is_empty() || line.starts_with('#') {
        return Err("blank lines and comments are not allowed".to_owned());
    }
    let (series, rest) = series::split(line, Format::OpenMetrics)?;
    let rest = rest.strip_prefix(' ').ok_or("one space is expected after the series")?;
    let (value, rest) = word(rest);
    let value = number(value)?;
    let (seconds, rest) = match rest {
        Some(rest) if !rest.starts_with("# ") => {
            let (at, rest) = word(rest);
            (Some(finite(at)?), rest)
        }
        rest => (None, rest),
    };
    let exemplar = rest.map(|rest| exemplar(rest, limits)).transpose()?;
    Ok(Line::Sample(Sample { series, value, seconds, exemplar }))
}

fn exemplar<'a>(text: &'a str, limits: &Limits) -> Result<Exemplar<'a>, String> {
    let text = text.strip_prefix("# ").ok_or_else(|| format!("`{}` follows the value", shown(text)))?;
    if !text.starts_with('{') {
        return Err("an exemplar starts with its labels in braces".to_owned());
    }
    let (labels, rest) = text.split_at(series::braces_end(text).ok_or("the braces of the exemplar are not closed")?);
    let labels = series::exemplar_pairs(labels, limits)?;
    let rest = rest.strip_prefix(' ').ok_or("one space is expected after the labels of the exemplar")?;
    let (value, rest) = word(rest);
    let value = number(value)?;
    let seconds = match rest.map(word) {
        None => None,
        Some((at, None)) => Some(finite(at)?),
        Some((_, Some(rest))) => return Err(format!("`{}` follows the exemplar", shown(rest))),
    };
    Ok(Exemplar { labels, value, seconds })
}

/// Up to the next space, and what follows it.
fn word(text: &str) -> (&str, Option<&str>) {
    match text.split_once(' ') {
        Some((word, rest)) => (word, Some(rest)),
        None => (text, None),
    }
}

/// A family's name, quoted if it is no identifier.
fn metric_name(text: &str) -> Result<(Cow<'_, str>, &str), String> {
    let refuse = || format!("`{}` is not a metric's name", shown(text));
    if let Some(quoted) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = quoted.bytes().position(|b| {
            let closes = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            closes
        });
        let end = end.filter(|end| *end > 0).ok_or_else(refuse)?;
        return Ok((series::unescape(&quoted[..end], true), &quoted[end + 1..]));
    }
    let end = text.bytes().position(is_blank).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let plain = |b: u8| b == b'_' || b == b':' || b.is_ascii_alphanumeric();
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(plain) {
        return Err(refuse());
    }
    Ok((Cow::Borrowed(name), rest))
}

fn metric_type(text: &str, format: Format) -> Result<MetricType, String> {
    MetricType::read(text, format).ok_or_else(|| format!("`{}` is not a type of metric", shown(text)))
}

/// A number as Go writes it, without its hexadecimal and underscored forms.
fn number(text: &str) -> Result<f64, String> {
    let bytes = text.as_bytes();
    // Most values are short whole numbers.
    if (1..=15).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit) {
        return Ok(bytes.iter().fold(0u64, |sum, b| sum * 10 + u64::from(b - b'0')) as f64);
    }
    let signed_nan = bytes.len() == 4 && bytes[1..].eq_ignore_ascii_case(b"nan");
    match text.parse::<f64>() {
        // Prometheus keeps one ordinary NaN; a target must not be able to forge the staleness marker.
        Ok(value) if value.is_nan() && !signed_nan => Ok(f64::from_bits(0x7ff8_0000_0000_0001)),
        Ok(value) if !value.is_nan() => Ok(value),
        _ => Err(format!("`{}` is not a number", shown(text))),
    }
}

fn finite(text: &str) -> Result<f64, String> {
    number(text).ok().filter(|at| at.is_finite()).ok_or_else(|| format!("`{}` is not a timestamp", shown(text)))
}

fn millis(text: &str) -> Result<f64, String> {
    let millis: i64 = text.parse().map_err(|_| format!("`{}` is not a timestamp in milliseconds", shown(text)))?;
    Ok(millis as f64 / 1000.0)
}
