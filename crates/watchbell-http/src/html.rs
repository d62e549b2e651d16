//! Pages that the server writes: signing in, run books, an alarm's first paint.
//!
//! Telemetry is hostile input: every text goes through [`escape`], every address through [`safe_href`].

use std::fmt::Write;

use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, header};

use crate::assets;

/// A text as part of a page or of an attribute in double quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// An address that may be a link: a web page or a path of ours; anything else could be script.
pub(crate) fn safe_href(address: &str) -> Option<&str> {
    let own = address.starts_with('/') && !address.starts_with("//") && !address.starts_with("/\\");
    let web = address.starts_with("https://") || address.starts_with("http://");
    (own || web).then_some(address)
}

/// A text as part of a path or as the value of a query; slashes stay.
pub(crate) fn encode(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A page in the style of the server's own pages. `body` is HTML.
pub(crate) fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let style = assets::entry().map(|entry| entry.page);
    document(status, title, style, None, body)
}

/// The page of the app. `first` is what shows until the script runs, `data` what it starts with.
pub(crate) fn app(title: &str, first: &str, data: Option<&str>) -> Response {
    let Some(entry) = assets::entry() else {
        let body = door(
            "The UI is not part of this build",
            "<p>watchbell was built without Node.js, so its pages are missing; everything else works.</p>\
             <p>Install Node.js 20 or later with npm and build again:</p><pre>cargo build --release</pre>\
             <p>Meanwhile the same data is at <a href=\"/api/watchbell/v1/overview\">/api/watchbell/v1/overview</a>.</p>",
        );
        return document(StatusCode::OK, title, None, None, &body);
    };
    let mut body = format!("<div id=\"app\">{first}</div>");
    if let Some(data) = data {
        // A data block is not script; `<` must not end it.
        let data = data.replace('<', "\\u003c");
        write!(body, "<script type=\"application/json\" id=\"first\">{data}</script>").expect("a string takes it");
    }
    document(StatusCode::OK, title, Some(entry.style), Some(entry), &body)
}

fn document(status: StatusCode, title: &str, style: Option<&str>, app: Option<&assets::Entry>, body: &str) -> Response {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1, viewport-fit=cover\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <link rel=\"icon\" href=\"/assets/icon.svg\" type=\"image/svg+xml\">\n",
        escape(title)
    );
    if let Some(style) = style {
        writeln!(page, "<link rel=\"stylesheet\" href=\"/assets/{style}\">").expect("a string takes it");
    }
    if let Some(entry) = app {
        let assets::Entry { script, shared, .. } = entry;
        writeln!(
            page,
            "<link rel=\"modulepreload\" href=\"/assets/{shared}\">\n\
             <script type=\"module\" src=\"/assets/{script}\"></script>"
        )
        .expect("a string takes it");
    }
    page.push_str(body);
    page.push('\n');
    (status, [(header::CACHE_CONTROL, "no-store")], Html(page)).into_response()
}

/// A small sheet in the middle of the page. `body` is HTML.
pub(crate) fn door(heading: &str, body: &str) -> String {
    format!(
        "<main class=\"door\"><div><p class=\"brand\">{BELL} watchbell</p><h1>{}</h1>{body}</div></main>",
        escape(heading)
    )
}

/// The mark of watchbell.
pub(crate) const BELL: &str = "<svg class=\"bell\" width=\"22\" height=\"22\" viewBox=\"0 0 22 22\" aria-hidden=\"true\">\
     <path d=\"M11 2.2v1.6M5 15V9.8a6 6 0 0 1 12 0V15l1.8 2H3.2ZM9 19.4h4\"/></svg>";

/// The mark of a state, by colour and by shape; the same shapes as the app's.
pub(crate) fn glyph(mark: &str, label: &str, size: u32) -> String {
    let shape = match mark {
        "ok" => "<circle class=\"fill\" cx=\"8\" cy=\"8\" r=\"6.5\"/><path class=\"cut\" d=\"M5 8.2 7.2 10.4 11 6\"/>",
        "alarm" => "<path class=\"fill\" d=\"M8 1.2 15.2 14.2H.8Z\"/><path class=\"cut\" d=\"M8 6v3.6M8 11.6v.4\"/>",
        "warn" => {
            "<path class=\"fill\" d=\"M8 .8 15.2 8 8 15.2.8 8Z\"/><path class=\"cut\" d=\"M8 4.8v3.8M8 10.8v.4\"/>"
        }
        "paused" => {
            "<circle class=\"ring\" cx=\"8\" cy=\"8\" r=\"6.2\"/><path class=\"line\" d=\"M6.2 5.6v4.8M9.8 5.6v4.8\"/>"
        }
        _ => "<circle class=\"ring dashed\" cx=\"8\" cy=\"8\" r=\"6\"/>",
    };
    format!(
        "<svg class=\"glyph {mark}\" width=\"{size}\" height=\"{size}\" viewBox=\"0 0 16 16\" role=\"img\" \
         aria-label=\"{}\">{shape}</svg>",
        escape(label)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escape(r#"<img src=x onerror="a('b')">&"#),
            "&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt;&amp;"
        );
    }

    #[test]
    fn only_web_addresses_become_links() {
        for good in ["/alarms/x", "https://example.org/", "http://x/"] {
            assert_eq!(safe_href(good), Some(good));
        }
        for bad in ["javascript:alert(1)", "//evil.example", "/\\evil.example", "data:text/html,x", ""] {
            assert_eq!(safe_href(bad), None, "{bad}");
        }
    }
}
