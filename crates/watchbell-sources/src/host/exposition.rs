//! What was measured, written as a target would answer a scrape: from here on it goes the way of scraped samples, which
//! knows series again without making labels and tells metadata once.

use std::collections::HashMap;
use std::fmt::{Display, Write};

use watchbell_model::MetricType;

/// How many series there are at most; further ones are left out and counted.
pub(super) const SERIES_MAX: usize = 20_000;
/// How many metrics are remembered as described before all are described anew.
const METRICS_MAX: usize = 20_000;

/// The text of one collection. Kept, so that its memory is asked for once.
#[derive(Default)]
pub(super) struct Exposition {
    body: String,
    /// In which collection a metric was described.
    described: HashMap<Box<str>, u64>,
    round: u64,
    lines: usize,
    left_out: u64,
    name: String,
}

impl Exposition {
    /// A new collection.
    pub(super) fn begin(&mut self) {
        self.body.clear();
        self.round += 1;
        (self.lines, self.left_out) = (0, 0);
        if self.described.len() > METRICS_MAX {
            self.described.clear();
        }
    }

    pub(super) fn body(&self) -> &str {
        &self.body
    }

    /// How many series did not fit.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    pub(super) fn gauge(&mut self, name: &str, help: impl Display, labels: &[(&str, &str)], value: f64) {
        self.put(MetricType::Gauge, name, help, labels, value);
    }

    pub(super) fn counter(&mut self, name: &str, help: impl Display, labels: &[(&str, &str)], value: f64) {
        self.put(MetricType::Counter, name, help, labels, value);
    }

    /// Of no type: what the kernel says, whatever it is.
    pub(super) fn untyped(&mut self, name: &str, help: impl Display, labels: &[(&str, &str)], value: f64) {
        self.put(MetricType::Unknown, name, help, labels, value);
    }

    pub(super) fn put(
        &mut self,
        kind: MetricType,
        name: &str,
        help: impl Display,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        if self.is_full() {
            return;
        }
        let mut own = std::mem::take(&mut self.name);
        own.clear();
        own.extend(name.chars().enumerate().map(|(at, c)| {
            let is_good = c == '_' || c == ':' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
            if is_good { c } else { '_' }
        }));
        self.describe(&own, kind, help);
        self.body.push_str(&own);
        self.name = own;
        let mut before = '{';
        // A label without a value is none.
        for (label, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
            self.body.push(before);
            self.body.push_str(label);
            self.body.push_str("=\"");
            escape(value, true, &mut self.body);
            self.body.push('"');
            before = ',';
        }
        if before == ',' {
            self.body.push('}');
        }
        let _ = writeln!(self.body, " {value}");
    }

    /// A series by its text, which was read before and is good.
    pub(super) fn raw(&mut self, series: &str, value: f64) {
        if !self.is_full() {
            let _ = writeln!(self.body, "{series} {value}");
        }
    }

    /// Says what a metric is, once in a collection; answers whether it is the first to say it.
    pub(super) fn describe(&mut self, name: &str, kind: MetricType, help: impl Display) -> bool {
        match self.described.get_mut(name) {
            Some(round) if *round == self.round => return false,
            Some(round) => *round = self.round,
            None => {
                self.described.insert(name.into(), self.round);
            }
        }
        let kind = if kind == MetricType::Unknown { "untyped" } else { kind.as_str() };
        let _ = write!(self.body, "# TYPE {name} {kind}\n# HELP {name} ");
        let at = self.body.len();
        let _ = write!(self.body, "{help}");
        if self.body[at..].contains(['\\', '\n']) {
            let help = self.body.split_off(at);
            escape(&help, false, &mut self.body);
        }
        self.body.push('\n');
        true
    }

    fn is_full(&mut self) -> bool {
        self.lines += 1;
        let is_full = self.lines > SERIES_MAX;
        self.left_out += u64::from(is_full);
        is_full
    }
}

fn escape(text: &str, quotes: bool, to: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\n', '"']) {
        to.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'\\' => to.push_str("\\\\"),
            b'\n' => to.push_str("\\n"),
            _ if quotes => to.push_str("\\\""),
            _ => to.push('"'),
        }
        rest = &rest[at + 1..];
    }
    to.push_str(rest);
}
