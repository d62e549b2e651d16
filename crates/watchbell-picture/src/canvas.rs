//! A canvas: rectangles, lines with soft edges, letters.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Red, green, blue.
pub(crate) type Color = [u8; 3];

/// Height of a line of text.
pub(crate) const LETTER_HEIGHT: i32 = 20;
const LETTERS: RasterHeight = RasterHeight::Size20;
/// What stands for a letter that cannot be drawn.
const UNKNOWN: char = '\u{fffd}';

/// How heavy letters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

/// Width of a letter, the same for all.
pub(crate) fn letter_width() -> i32 {
    get_raster_width(FontWeight::Regular, LETTERS) as i32
}

/// Width of a text.
pub(crate) fn text_width(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX / 64) * letter_width()
}

/// Pixels, white at first.
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    /// How much of each pixel the line that is being drawn covers: where its parts meet, it is not drawn twice.
    cover: Vec<u8>,
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, pixels: vec![255; width * height * 3], cover: vec![0; width * height] }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn height(&self) -> usize {
        self.height
    }

    pub(crate) fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Lays a colour over a pixel, `part` of 255 of it.
    fn blend(&mut self, x: usize, y: usize, color: Color, part: u8) {
        let at = (y * self.width + x) * 3;
        for (below, over) in self.pixels[at..at + 3].iter_mut().zip(color) {
            let (part, rest) = (u32::from(part), 255 - u32::from(part));
            *below = ((u32::from(*below) * rest + u32::from(over) * part + 127) / 255) as u8;
        }
    }

    /// Fills a rectangle; what lies outside is left away.
    pub(crate) fn fill(&mut self, (x, y): (i32, i32), (width, height): (i32, i32), color: Color, part: u8) {
        let span = |from: i32, length: i32, most: usize| {
            let end = from.saturating_add(length.max(0)).clamp(0, most as i32) as usize;
            from.clamp(0, most as i32) as usize..end
        };
        for row in span(y, height, self.height) {
            for column in span(x, width, self.width) {
                self.blend(column, row, color, part);
            }
        }
    }

    /// Writes a text with its upper left corner here.
    pub(crate) fn text(&mut self, (x, y): (i32, i32), text: &str, color: Color, weight: Weight) {
        let weight = match weight {
            Weight::Regular => FontWeight::Regular,
            Weight::Bold => FontWeight::Bold,
        };
        let mut left = x;
        for letter in text.chars() {
            let drawn = get_raster(letter, weight, LETTERS).or_else(|| get_raster(UNKNOWN, weight, LETTERS));
            for (row, line) in drawn.iter().flat_map(|drawn| drawn.rows().enumerate()) {
                for (column, part) in line.iter().enumerate() {
                    let (x, y) = (left + column as i32, y + row as i32);
                    let inside = (0..self.width as i32).contains(&x) && (0..self.height as i32).contains(&y);
                    if *part > 0 && inside {
                        self.blend(x as usize, y as usize, color, *part);
                    }
                }
            }
            left += letter_width();
        }
    }

    /// Draws a line through points, which must be finite; one point is a dot. What lies outside is left away.
    pub(crate) fn line(&mut self, points: &[(f64, f64)], thick: f64, color: Color) {
        let mut touched: Option<(usize, usize)> = None;
        let mut touch = |rows: (usize, usize)| {
            touched = Some(touched.map_or(rows, |(top, end)| (top.min(rows.0), end.max(rows.1))));
        };
        if let [only] = points {
            touch(self.cover_part(*only, *only, thick));
        }
        for pair in points.windows(2) {
            touch(self.cover_part(pair[0], pair[1], thick));
        }
        let Some((top, end)) = touched else { return };
        for row in top..end {
            for column in 0..self.width {
                let part = std::mem::take(&mut self.cover[row * self.width + column]);
                if part > 0 {
                    self.blend(column, row, color, part);
                }
            }
        }
    }

    /// Notes which pixels a straight part covers: those whose middle is near; answers the rows it may have touched.
    fn cover_part(&mut self, (ax, ay): (f64, f64), (bx, by): (f64, f64), thick: f64) -> (usize, usize) {
        let reach = thick / 2.0 + 1.0;
        let (dx, dy) = (bx - ax, by - ay);
        let length = dx * dx + dy * dy;
        let bound = |value: f64, most: usize| value.clamp(0.0, most as f64) as usize;
        let rows = (bound(ay.min(by) - reach, self.height), bound(ay.max(by) + reach + 1.0, self.height));
        // How far a row reaches to each side of where the line crosses it.
        let slack = if dy.abs() > f64::EPSILON { reach * length.sqrt() / dy.abs() } else { f64::INFINITY };
        for row in rows.0..rows.1 {
            let y = row as f64 + 0.5;
            let (mut from, mut to) = (ax.min(bx) - reach, ax.max(bx) + reach);
            if slack.is_finite() {
                let crossing = ax + dx * (y - ay) / dy;
                (from, to) = (from.max(crossing - slack), to.min(crossing + slack));
            }
            for column in bound(from, self.width)..bound(to + 1.0, self.width) {
                let x = column as f64 + 0.5;
                let along = if length > 0.0 { ((x - ax) * dx + (y - ay) * dy) / length } else { 0.0 };
                let along = along.clamp(0.0, 1.0);
                let (ex, ey) = (x - ax - along * dx, y - ay - along * dy);
                let part = (thick / 2.0 + 0.5 - (ex * ex + ey * ey).sqrt()).clamp(0.0, 1.0);
                let cover = &mut self.cover[row * self.width + column];
                *cover = (*cover).max((part * 255.0) as u8);
            }
        }
        rows
    }
}
