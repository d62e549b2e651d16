//! What channels share that show a picture of the graph.
//!
//! The outbox keeps what a picture is of, not the picture: it is drawn when the page is first tried, and goes with that
//! try alone. Whatever is wrong with it, the page goes out as it was rendered.

use watchbell_model::Url;
use watchbell_runtime::http::{Request, Response};

use super::{Talk, VerdictKind};

/// What the file is called.
pub(crate) const FILE: &str = "graph.png";
pub(crate) const PNG: &str = "image/png";
/// What stands for it where it is not shown.
pub(crate) const ALT: &str = "Graph of what the alarm judges";

/// How a channel shows a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Not at all.
    Nothing,
    /// As a part of the message, by [`Attempt::picture`](super::Attempt::picture).
    Within,
    /// After the message, by [`Channel::beside`](super::Channel::beside); not when it is over.
    Beside,
    /// By its address, [`Page::picture_url`](crate::page::Page::picture_url).
    Linked,
}

impl Shows {
    /// As the option says, `usual` unless it is given.
    pub(crate) fn given(option: Option<bool>, usual: bool, how: Shows) -> Shows {
        if option.unwrap_or(usual) { how } else { Shows::Nothing }
    }
}

/// A `POST` of a form with a picture in it (RFC 7578): fields by name, then the picture under its own.
pub(crate) fn form(
    url: Url,
    key: &str,
    fields: &[(&str, String, Option<&str>)],
    name: &str,
    picture: &[u8],
) -> Request {
    // A key is long and by chance: it stands in no page.
    let boundary = format!("watchbell-{key}");
    let mut body = Vec::with_capacity(picture.len() + 4096);
    for (name, value, kind) in fields {
        let kind = kind.map_or_else(String::new, |kind| format!("Content-Type: {kind}\r\n"));
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{kind}\r\n{value}\r\n");
        body.extend(head.into_bytes());
    }
    let disposition = format!("form-data; name=\"{name}\"; filename=\"{FILE}\"");
    let head = format!("--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {PNG}\r\n\r\n");
    body.extend(head.into_bytes());
    body.extend(picture);
    body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    Request::post(url, body).header("Content-Type", format!("multipart/form-data; boundary={boundary}"))
}

/// Width and height of a PNG.
pub(crate) fn size(picture: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(picture.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}

/// A talk of one request.
pub(crate) struct Once(pub(crate) Option<Request>);

impl Talk for Once {
    fn next(&mut self, _answer: Option<&Response>) -> Result<Option<Request>, (VerdictKind, String)> {
        Ok(self.0.take())
    }
}

/// What is wrong with an answer that does not say what was asked.
pub(crate) fn unsaid(what: &str) -> (VerdictKind, String) {
    (VerdictKind::Refused, format!("the answer does not say {what}"))
}
