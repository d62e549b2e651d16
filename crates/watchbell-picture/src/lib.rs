//! Pictures of graphs: series, threshold and the time an alert began, as a PNG for a page; of what only reports, how it
//! stood over time.
//!
//! Pure: data in, bytes out, the same bytes for the same data on every machine. Knows no query and no channel. There is
//! little to draw (lines, rectangles, letters of one size), so that a canvas of our own does it: no path, no font file and
//! no browser. Letters beyond Latin are drawn as a sign that stands for them.
//!
//! Invariant `bounded`: a picture has one size, at most [`LINES_MAX`] lines of [`POINTS_MAX`] points, and titles and
//! names are cut to what fits.

mod canvas;
mod draw;
mod png;
mod scale;
mod strip;
mod times;
mod unit;

use jiff::tz::TimeZone;
use watchbell_model::{Span, Timestamp};

pub use unit::Unit;

/// How wide a picture is, in pixels.
pub const WIDTH: usize = 800;
/// How high a picture is, in pixels.
pub const HEIGHT: usize = 400;
/// Lines in one picture; of further ones the number is said.
pub const LINES_MAX: usize = 5;
/// Points of a line; further ones are left out from the front.
pub const POINTS_MAX: usize = 1000;

/// What a picture shows.
#[derive(Clone, Debug)]
pub struct Graph {
    /// What it is about, in one line.
    pub title: String,
    /// What the values are.
    pub unit: Unit,
    /// From when on.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// From one point to the next; where there is more between two, the line is broken.
    pub step: Span,
    /// The series, the one that matters most first.
    pub lines: Vec<Line>,
    /// What the values are compared with.
    pub threshold: Option<f64>,
    /// When the alert began.
    pub since: Option<Timestamp>,
    /// When it was over.
    pub until: Option<Timestamp>,
    /// The zone of the times below.
    pub zone: TimeZone,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What tells it from the others; shown where there are several.
    pub name: String,
    /// Oldest first. A value that is no finite number breaks the line.
    pub points: Vec<(Timestamp, f64)>,
}

/// How something stood over time.
#[derive(Clone, Debug)]
pub struct Strip {
    /// What it is about, in one line.
    pub title: String,
    /// From when on.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// How it stood when; of what lies between nothing is known.
    pub stretches: Vec<Stretch>,
    /// When the alert began.
    pub since: Option<Timestamp>,
    /// When it was over.
    pub until: Option<Timestamp>,
    /// The zone of the times below.
    pub zone: TimeZone,
}

/// A time in which something stood the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// How it stood.
    pub standing: Standing,
}

/// How something that reports stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was missed, or said that it failed.
    Down,
    /// It is due, and not missed yet.
    Late,
    /// It reports.
    Up,
    /// Nothing is expected of it.
    Waiting,
}

impl Standing {
    /// All, in the order of the rows.
    pub const ALL: [Standing; 4] = [Standing::Down, Standing::Late, Standing::Up, Standing::Waiting];
}

impl Strip {
    /// The picture as a PNG, [`WIDTH`] by [`HEIGHT`], mostly below 10 KiB.
    pub fn png(&self) -> Vec<u8> {
        encoded(&strip::draw(self))
    }
}

impl Graph {
    /// The picture as a PNG, [`WIDTH`] by [`HEIGHT`], mostly below 20 KiB.
    pub fn png(&self) -> Vec<u8> {
        encoded(&draw::draw(self))
    }
}

fn encoded(canvas: &canvas::Canvas) -> Vec<u8> {
    png::encode(canvas.width(), canvas.height(), canvas.pixels())
}
