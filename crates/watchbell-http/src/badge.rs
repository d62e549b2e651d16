//! Badges: one small picture of how something stands, for a README or a wall.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::json;

use crate::html::escape;

/// What is said of something.
pub(crate) struct Badge {
    /// What it is about.
    pub(crate) label: String,
    /// How it stands.
    pub(crate) message: String,
    /// How good that is.
    pub(crate) tone: Tone,
}

/// How good it is, as a colour says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// All is well.
    Good,
    /// It should be looked at.
    Fair,
    /// It is bad.
    Bad,
    /// Neither good nor bad.
    Plain,
}

impl Badge {
    /// As a picture (`svg`) or for shields.io (`shields`); `None` for any other format.
    pub(crate) fn answer(&self, format: &str) -> Option<Response> {
        let Badge { label, message, tone } = self;
        let color = match tone {
            Tone::Good => "success",
            Tone::Fair => "important",
            Tone::Bad => "critical",
            Tone::Plain => "informational",
        };
        match format {
            "svg" => Some(([(header::CONTENT_TYPE, "image/svg+xml")], self.svg()).into_response()),
            "shields" => {
                let body = json!({ "schemaVersion": 1, "label": label, "message": message, "color": color });
                Some(Json(body).into_response())
            }
            _ => None,
        }
    }

    /// Two boxes side by side.
    fn svg(&self) -> String {
        const MARGIN: usize = 6;
        let Badge { label, message, tone } = self;
        let color = match tone {
            Tone::Good => "#3a0",
            Tone::Fair => "#c60",
            Tone::Bad => "#c33",
            Tone::Plain => "#46a",
        };
        // Of a narrow sans-serif of 11 pixels, roughly; `textLength` makes it fit.
        let width = |text: &str| -> usize {
            text.chars()
                .map(|c| match c {
                    'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | '\'' | '!' | '|' => 4,
                    'f' | 'r' | 't' | '-' | ' ' | '(' | ')' | '/' => 5,
                    'm' | 'w' | 'M' | 'W' | '@' | '%' => 10,
                    c if c.is_uppercase() => 8,
                    _ => 7,
                })
                .sum()
        };
        let (left, right) = (width(label), width(message));
        let (split, whole) = (left + 2 * MARGIN, left + right + 4 * MARGIN);
        let (label, message, at) = (escape(label), escape(message), split + MARGIN);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole}\" height=\"20\" role=\"img\" \
             aria-label=\"{label}: {message}\"><title>{label}: {message}</title><g><rect width=\"{whole}\" height=\"20\" rx=\"3\" \
             fill=\"#444\"/><path d=\"M{split} 0h{half}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{half}z\" fill=\"{color}\"/></g>\
             <g fill=\"#fff\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">\
             <text x=\"{MARGIN}\" y=\"14\" textLength=\"{left}\">{label}</text>\
             <text x=\"{at}\" y=\"14\" textLength=\"{right}\">{message}</text></g></svg>\n",
            half = whole - split - 3,
        )
    }
}
