//! The UI's files, carried in the binary.
//!
//! No path of a request ever reaches a file system: a name is looked up in a table made by `build.rs`. Names carry a
//! hash of their content and may be kept for ever; the others have plain names
//! and are asked for again each day, or when another release names them with another query.

use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};

/// What a page loads.
pub(crate) struct Entry {
    /// The app.
    pub script: &'static str,
    /// What the app and its later parts share.
    pub shared: &'static str,
    /// The app's style.
    pub style: &'static str,
    /// The style of pages that the server writes.
    pub page: &'static str,
}

struct File {
    name: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Files with plain names.
const PLAIN: &[File] = &[
    File { name: "icon.svg", kind: "image/svg+xml", plain: include_bytes!("../../../web/static/icon.svg"), gzip: None },
    File {
        name: "icon-alarm.svg",
        kind: "image/svg+xml",
        plain: include_bytes!("../../../web/static/icon-alarm.svg"),
        gzip: None,
    },
    File { name: "status.css", kind: "text/css; charset=utf-8", plain: include_bytes!("status/style.css"), gzip: None },
    File {
        name: "status-dark.css",
        kind: "text/css; charset=utf-8",
        plain: include_bytes!("status/dark.css"),
        gzip: None,
    },
];

/// What pages load; `None` if the UI was not built.
pub(crate) fn entry() -> Option<&'static Entry> {
    ENTRY.as_ref()
}

/// The address of a file with a plain name, another one in each release.
pub(crate) fn address(name: &str) -> String {
    format!("/assets/{name}?{}", env!("CARGO_PKG_VERSION"))
}

/// `GET /assets/{name}`.
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = FILES.iter().chain(PLAIN).find(|file| file.name == name) else {
        return respond(StatusCode::NOT_FOUND, Body::from("there is no such file\n"), "text/plain; charset=utf-8");
    };
    let hashed = file.gzip.is_some();
    let tag = if hashed { format!("\"{name}\"") } else { format!("\"{name}-{}\"", env!("CARGO_PKG_VERSION")) };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|have| have.as_bytes() == tag.as_bytes());
    let accepts = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let gzip = file.gzip.filter(|_| accepts.split(',').any(|each| each.trim().split(';').next() == Some("gzip")));
    let (status, body) = match (known, gzip) {
        (true, _) => (StatusCode::NOT_MODIFIED, Body::empty()),
        (false, Some(gzip)) => (StatusCode::OK, Body::from(gzip)),
        (false, None) => (StatusCode::OK, Body::from(file.plain)),
    };
    let mut response = respond(status, body, file.kind);
    let keep = if hashed { "public, max-age=31536000, immutable" } else { "public, max-age=86400" };
    let mut set = |name, value: &str| {
        response.headers_mut().insert(name, value.parse().expect("our own header values are valid"));
    };
    set(header::CACHE_CONTROL, keep);
    set(header::ETAG, &tag);
    set(header::VARY, "accept-encoding");
    if gzip.is_some() && !known {
        set(header::CONTENT_ENCODING, "gzip");
    }
    response
}

fn respond(status: StatusCode, body: Body, kind: &'static str) -> Response {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, kind);
    response.body(body).expect("our own headers are valid")
}
