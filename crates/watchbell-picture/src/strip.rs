//! How something stood over time, such as a job that reports: a row for each standing, the stretches of time filled in.

use crate::canvas::{Canvas, Color, LETTER_HEIGHT, Weight, text_width};
use crate::draw::{ALERT, EDGE, FAINT, Frame, GRID, LINE_HEIGHT, Times, cut, mark_alert, mark_times};
use crate::{HEIGHT, Standing, Strip, WIDTH, times};

/// What a row leaves free above and below itself.
const GAP: i32 = 8;
/// The least width that is seen.
const WIDTH_MIN: i32 = 3;

impl Standing {
    fn color(self) -> Color {
        match self {
            Standing::Down => ALERT,
            Standing::Late => [230, 159, 0],
            Standing::Up => [0, 158, 115],
            Standing::Waiting => [150, 150, 158],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Standing::Down => "down",
            Standing::Late => "late",
            Standing::Up => "up",
            Standing::Waiting => "waiting",
        }
    }
}

pub(crate) fn draw(strip: &Strip) -> Canvas {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let occurs = |standing: &Standing| strip.stretches.iter().any(|it| it.standing == *standing);
    // What matters is always there, so that its emptiness is seen.
    let always = |standing: &Standing| matches!(standing, Standing::Down | Standing::Up);
    let rows: Vec<Standing> = Standing::ALL.into_iter().filter(|it| always(it) || occurs(it)).collect();
    let zone = times::moment(strip.end, "%Z", &strip.zone);
    let widest = rows.iter().map(|row| text_width(row.name())).max().unwrap_or(0);
    let (left, top) = (EDGE + widest.max(text_width(&zone)) + 8, EDGE + LINE_HEIGHT + 8);
    let frame = Frame {
        left,
        top,
        width: WIDTH as i32 - left - EDGE - 4,
        height: HEIGHT as i32 - top - LINE_HEIGHT - 8,
        start: strip.start.0 as f64,
        length: (strip.end.0 as f64 - strip.start.0 as f64).max(1.0),
    };
    let times = Times { start: strip.start, end: strip.end, since: strip.since, until: strip.until, zone: &strip.zone };
    canvas.text((EDGE, EDGE), &cut(&strip.title, WIDTH as i32 - 2 * EDGE), [39, 39, 42], Weight::Bold);
    mark_times(&mut canvas, &times, &frame, &zone);
    let height = frame.height / rows.len() as i32;
    for (at, standing) in rows.iter().enumerate() {
        let y = frame.top + height * at as i32;
        let middle = y + (height - LETTER_HEIGHT) / 2;
        canvas.text((left - 8 - text_width(standing.name()), middle), standing.name(), FAINT, Weight::Regular);
        canvas.fill((frame.left, y + height - 1), (frame.width, 1), GRID, 255);
        for stretch in strip.stretches.iter().filter(|it| it.standing == *standing) {
            let (from, until) = (stretch.from.max(strip.start), stretch.until.min(strip.end));
            if from > until {
                continue;
            }
            let (from, to) = (frame.x(from).round() as i32, frame.x(until).round() as i32);
            let width = (to - from).max(WIDTH_MIN);
            canvas.fill((from, y + GAP), (width, height - 2 * GAP), standing.color(), 255);
        }
    }
    mark_alert(&mut canvas, &times, &frame, None);
    canvas
}
