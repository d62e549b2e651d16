//! A graph on a canvas: title above, values on the left, times below, names under them.

use jiff::tz::TimeZone;
use watchbell_model::Timestamp;

use crate::canvas::{Canvas, Color, LETTER_HEIGHT, Weight, letter_width, text_width};
use crate::scale::Scale;
use crate::{Graph, HEIGHT, LINES_MAX, Line, POINTS_MAX, WIDTH, times};

/// Okabe and Ito's colours, which people tell apart who do not see all colours; the darkest first.
const COLORS: [Color; LINES_MAX] = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233]];
/// The threshold and the alert.
pub(crate) const ALERT: Color = [213, 94, 0];
const TEXT: Color = [39, 39, 42];
pub(crate) const FAINT: Color = [96, 96, 104];
pub(crate) const GRID: Color = [224, 224, 228];
const WHITE: Color = [255, 255, 255];

pub(crate) const EDGE: i32 = 12;
/// From one line of text to the next.
pub(crate) const LINE_HEIGHT: i32 = LETTER_HEIGHT + 4;
/// What a name needs beside itself.
const NAME_EDGES: i32 = 40;
const THICK: f64 = 2.6;
/// A dash of the threshold, and how far it is to the next.
const DASH: (i32, i32) = (12, 20);
/// A line is broken where its points are further apart than so many steps.
const GAP: f64 = 1.6;

/// Where the data lie.
pub(crate) struct Frame {
    pub(crate) left: i32,
    pub(crate) top: i32,
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) start: f64,
    pub(crate) length: f64,
}

/// Which time is shown, and that of the alert.
pub(crate) struct Times<'a> {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) zone: &'a TimeZone,
}

impl Frame {
    fn right(&self) -> i32 {
        self.left + self.width
    }

    fn bottom(&self) -> i32 {
        self.top + self.height
    }

    pub(crate) fn x(&self, at: Timestamp) -> f64 {
        f64::from(self.left) + (at.0 as f64 - self.start) / self.length * f64::from(self.width)
    }

    fn y(&self, place: f64) -> f64 {
        f64::from(self.bottom()) - place * f64::from(self.height)
    }
}

pub(crate) fn draw(graph: &Graph) -> Canvas {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let lines = &graph.lines[..graph.lines.len().min(LINES_MAX)];
    let shown: Vec<Line> = lines.iter().map(|line| within(line, graph)).collect();
    let values =
        || shown.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value)).filter(|it| it.is_finite());
    let scale = Scale::of(values(), graph.threshold, graph.unit);
    let writer = graph.unit.writer(scale.low.abs().max(scale.high.abs()), scale.step);
    let marks: Vec<(f64, String)> =
        scale.marks().into_iter().map(|value| (value, writer.write(value, graph.unit))).collect();
    let widest = marks.iter().map(|(_, text)| text_width(text)).max().unwrap_or(0);
    let zone = times::moment(graph.end, "%Z", &graph.zone);
    let left = EDGE + widest.max(text_width(&zone)) + 8;
    let names = names(graph);
    let columns = columns(&names);
    let rows = names.len().div_ceil(columns) as i32;
    let top = EDGE + LINE_HEIGHT + 8;
    let frame = Frame {
        left,
        top,
        width: WIDTH as i32 - left - EDGE - 4,
        height: HEIGHT as i32 - top - LINE_HEIGHT - 8 - rows * LINE_HEIGHT - if rows > 0 { 6 } else { 0 },
        start: graph.start.0 as f64,
        length: (graph.end.0 as f64 - graph.start.0 as f64).max(1.0),
    };

    let last = last(&shown, graph);
    let room = if last.is_empty() { 0 } else { text_width(&last) + 2 * letter_width() };
    canvas.text((WIDTH as i32 - EDGE - text_width(&last), EDGE), &last, COLORS[0], Weight::Bold);
    canvas.text((EDGE, EDGE), &cut(&graph.title, WIDTH as i32 - 2 * EDGE - room), TEXT, Weight::Bold);
    shade_alert(&mut canvas, graph, &frame);
    for (value, text) in &marks {
        let y = frame.y(scale.place(*value)).round() as i32;
        canvas.fill((frame.left, y), (frame.width, 1), GRID, 255);
        canvas.text((left - 8 - text_width(text), y - LETTER_HEIGHT / 2), text, FAINT, Weight::Regular);
    }
    let times = Times { start: graph.start, end: graph.end, since: graph.since, until: graph.until, zone: &graph.zone };
    mark_times(&mut canvas, &times, &frame, &zone);
    let points = shown.iter().enumerate().rev();
    for (at, line) in points {
        draw_line(&mut canvas, line, COLORS[at], graph, &frame, &scale);
    }
    if values().next().is_none() {
        let words = "no data";
        let at = (frame.left + (frame.width - text_width(words)) / 2, frame.top + (frame.height - LETTER_HEIGHT) / 2);
        canvas.text(at, words, FAINT, Weight::Bold);
    }
    let label = draw_threshold(&mut canvas, graph, &frame, &scale);
    mark_alert(&mut canvas, &times, &frame, label);
    list_names(&mut canvas, &names, columns, &frame);
    canvas
}

/// The part of a line that is shown.
fn within(line: &Line, graph: &Graph) -> Line {
    let points: Vec<_> = line.points.iter().filter(|(at, _)| (graph.start..=graph.end).contains(at)).copied().collect();
    let from = points.len().saturating_sub(POINTS_MAX);
    Line { name: line.name.clone(), points: points[from..].to_vec() }
}

/// What stands below: the names of lines where there are several, and how many are not shown.
fn names(graph: &Graph) -> Vec<(Option<Color>, String)> {
    if graph.lines.len() < 2 {
        return Vec::new();
    }
    let named = graph.lines.iter().zip(COLORS).map(|(line, color)| (Some(color), line.name.clone()));
    let more = graph.lines.len().saturating_sub(LINES_MAX);
    let more = (more > 0).then(|| (None, format!("and {more} more")));
    named.chain(more).collect()
}

/// How many names stand side by side: long ones have a row each, where they are few.
fn columns(names: &[(Option<Color>, String)]) -> usize {
    let room = (WIDTH as i32 - 2 * EDGE) / 2 - NAME_EDGES;
    if names.len() <= 3 && names.iter().any(|(_, name)| text_width(name) > room) { 1 } else { 2 }
}

fn list_names(canvas: &mut Canvas, names: &[(Option<Color>, String)], columns: usize, frame: &Frame) {
    let column = (WIDTH as i32 - 2 * EDGE) / columns as i32;
    for (at, (color, name)) in names.iter().enumerate() {
        let x = EDGE + column * (at % columns) as i32;
        let y = frame.bottom() + LINE_HEIGHT + 12 + LINE_HEIGHT * (at / columns) as i32;
        if let Some(color) = color {
            canvas.fill((x, y + LETTER_HEIGHT / 2 - 3), (20, 6), *color, 255);
        }
        canvas.text((x + 28, y), &cut(name, column - NAME_EDGES), TEXT, Weight::Regular);
    }
}

/// Lays a tint over the time of the alert.
fn shade_alert(canvas: &mut Canvas, graph: &Graph, frame: &Frame) {
    let Some(since) = graph.since.filter(|since| *since < graph.end) else { return };
    let until = graph.until.filter(|until| *until < graph.end).unwrap_or(graph.end);
    let (from, to) = (frame.x(since.max(graph.start)).round() as i32, frame.x(until).round() as i32);
    canvas.fill((from, frame.top), (to - from, frame.height), ALERT, 28);
}

/// Marks when the alert began, with the time in words unless the threshold's words stand there.
pub(crate) fn mark_alert(canvas: &mut Canvas, shown: &Times<'_>, frame: &Frame, taken: Option<(i32, i32)>) {
    for (at, what) in [(shown.since, "alert"), (shown.until, "over")] {
        let Some(at) = at.filter(|at| (shown.start..=shown.end).contains(at)) else { continue };
        let x = frame.x(at).round() as i32;
        canvas.fill((x - 1, frame.top), (2, frame.height), ALERT, 255);
        let words = format!("{what} {}", times::moment(at, "%H:%M", shown.zone));
        let width = text_width(&words);
        // On the left of the mark where there is room, since the data that matter are on its right.
        let x = if x - width - 6 > frame.left { x - width - 6 } else { (x + 6).min(frame.right() - width) };
        let above = if what == "alert" { 4 } else { 4 + LINE_HEIGHT };
        let meets = taken.is_some_and(|(left, y)| y < frame.top + above + LETTER_HEIGHT && x < left);
        label(canvas, (x, frame.top + above + if meets { 2 * LINE_HEIGHT } else { 0 }), &words, ALERT);
    }
}

/// The threshold, dashed; off the axis an arrow says where it is. Answers how far its words reach: to which place on the
/// right, and how far up.
fn draw_threshold(canvas: &mut Canvas, graph: &Graph, frame: &Frame, scale: &Scale) -> Option<(i32, i32)> {
    let threshold = graph.threshold.filter(|it| it.is_finite())?;
    let place = scale.place(threshold);
    let words = format!("threshold {}", graph.unit.write(threshold));
    let (words, y) = match place {
        it if it > 1.0 => (format!("{words}, above"), frame.top + 4),
        it if it < 0.0 => (format!("{words}, below"), frame.bottom() - LETTER_HEIGHT - 4),
        _ => {
            let y = frame.y(place).round() as i32;
            for x in (frame.left..frame.right()).step_by(DASH.1 as usize) {
                canvas.fill((x, y - 1), (DASH.0.min(frame.right() - x), 2), ALERT, 255);
            }
            // Above the line, unless that is outside.
            let above = y - LETTER_HEIGHT - 3;
            (words, if above > frame.top { above } else { y + 4 })
        }
    };
    let x = frame.left + 6;
    label(canvas, (x, y), &words, ALERT);
    Some((x + text_width(&words), y))
}

/// Words on a ground that lets little through.
fn label(canvas: &mut Canvas, (x, y): (i32, i32), words: &str, color: Color) {
    canvas.fill((x - 2, y), (text_width(words) + 4, LETTER_HEIGHT), WHITE, 200);
    canvas.text((x, y), words, color, Weight::Regular);
}

pub(crate) fn mark_times(canvas: &mut Canvas, shown: &Times<'_>, frame: &Frame, zone: &str) {
    let y = frame.bottom() + 8;
    canvas.text((EDGE, y), zone, FAINT, Weight::Regular);
    let mut free = frame.left - 8;
    for (at, text) in times::marks(shown.start, shown.end, shown.zone) {
        let x = frame.x(at).round() as i32;
        canvas.fill((x, frame.top), (1, frame.height + 5), GRID, 255);
        let left = (x - text_width(&text) / 2).min(WIDTH as i32 - 2 - text_width(&text));
        if left >= free {
            canvas.text((left, y), &text, FAINT, Weight::Regular);
            free = left + text_width(&text) + letter_width();
        }
    }
    canvas.fill((frame.left, frame.bottom()), (frame.width, 2), FAINT, 255);
}

fn draw_line(canvas: &mut Canvas, line: &Line, color: Color, graph: &Graph, frame: &Frame, scale: &Scale) {
    let gap = graph.step.duration().as_millis() as f64 * GAP;
    let mut part: Vec<(f64, f64)> = Vec::new();
    let mut before: Option<Timestamp> = None;
    for (at, value) in &line.points {
        let broken = before.is_some_and(|before| (at.0 as f64 - before.0 as f64) > gap) || !value.is_finite();
        if broken {
            stroke(canvas, &std::mem::take(&mut part), color);
        }
        if value.is_finite() {
            part.push((frame.x(*at), frame.y(scale.place(*value))));
            before = Some(*at);
        }
    }
    stroke(canvas, &part, color);
}

/// A part of a line; one point is a dot that is seen.
fn stroke(canvas: &mut Canvas, part: &[(f64, f64)], color: Color) {
    canvas.line(part, if part.len() == 1 { 3.0 * THICK } else { THICK }, color);
}

/// The last value, where there is one line.
fn last(shown: &[Line], graph: &Graph) -> String {
    let [line] = shown else { return String::new() };
    let last = line.points.iter().rev().find(|(_, value)| value.is_finite());
    last.map_or_else(String::new, |(_, value)| format!("last {}", graph.unit.write(*value)))
}

/// What of a text fits in a width, on one line.
pub(crate) fn cut(text: &str, width: i32) -> String {
    let most = usize::try_from(width / letter_width()).unwrap_or(0);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() <= most {
        return text;
    }
    let kept: String = text.chars().take(most.saturating_sub(3)).collect();
    format!("{}...", kept.trim_end())
}
