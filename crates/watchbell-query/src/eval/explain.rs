//! What each part of an expression took: for one who wonders why a query is slow.

use std::cell::RefCell;
use std::time::Duration;

use crate::promql::{Expr, TextSpan};

/// A part of an expression, as it was evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The part, as it is printed.
    pub text: String,
    /// Where it stands.
    pub span: TextSpan,
    /// At how many steps it was evaluated.
    pub steps: usize,
    /// How many series it gave.
    pub series: usize,
    /// Samples that it read from the source itself, a histogram counted as one for every ten of its buckets.
    pub samples: usize,
    /// How long it took with the parts in it.
    pub took: Duration,
    /// The parts in it, in the order in which they were evaluated.
    pub parts: Vec<Explained>,
}

/// The parts under evaluation, the innermost last.
pub(super) struct Trace<'a> {
    /// Time from some moment on.
    now: &'a dyn Fn() -> Duration,
    open: RefCell<Vec<Explained>>,
}

impl<'a> Trace<'a> {
    pub(super) fn new(now: &'a dyn Fn() -> Duration) -> Trace<'a> {
        let whole = Explained {
            text: String::new(),
            span: TextSpan::default(),
            steps: 0,
            series: 0,
            samples: 0,
            took: Duration::ZERO,
            parts: Vec::new(),
        };
        Trace { now, open: RefCell::new(vec![whole]) }
    }

    /// A part begins.
    pub(super) fn enter(&self, expr: &Expr, steps: usize) {
        let (text, span, took) = (expr.to_string(), expr.span, (self.now)());
        self.open.borrow_mut().push(Explained { text, span, steps, series: 0, samples: 0, took, parts: Vec::new() });
    }

    /// The innermost part has read so many samples.
    pub(super) fn read(&self, samples: usize) {
        if let Some(part) = self.open.borrow_mut().last_mut() {
            part.samples += samples;
        }
    }

    /// The innermost part ends.
    pub(super) fn leave(&self, series: usize) {
        let mut open = self.open.borrow_mut();
        let Some(mut part) = open.pop() else { return };
        part.series = series;
        part.took = (self.now)().saturating_sub(part.took);
        if let Some(around) = open.last_mut() {
            around.parts.push(part);
        }
    }

    /// All of it: the whole expression.
    pub(super) fn finish(self) -> Option<Explained> {
        self.open.into_inner().into_iter().next()?.parts.pop()
    }
}

impl Explained {
    /// As lines for people, deeper parts further in: what it is, series, steps, samples read, time.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text
    }

    fn write(&self, text: &mut String, depth: usize) {
        const SHOWN: usize = 100;
        let shown: String = self.text.chars().take(SHOWN).collect();
        let more = if self.text.chars().count() > SHOWN { "…" } else { "" };
        let Explained { series, steps, samples, .. } = self;
        let read = if *samples > 0 { format!(", {samples} samples read") } else { String::new() };
        let took = self.took.as_secs_f64() * 1000.0;
        let indent = "  ".repeat(depth);
        text.push_str(&format!(
            "{indent}{shown}{more}\n{indent}  {series} series at {steps} steps{read}, {took:.3} ms\n"
        ));
        self.parts.iter().for_each(|part| part.write(text, depth + 1));
    }
}
