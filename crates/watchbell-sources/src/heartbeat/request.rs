//! A ping as it comes over HTTP or by mail, and what is answered.

use std::net::IpAddr;

use watchbell_model::PingKind;
use watchbell_wire::mail::{self, MailText};

/// How much of a ping's body is kept.
pub const BODY_MAX: usize = 10_000;
/// How much of a client's name of itself is kept, in characters.
const USER_AGENT_CHARS_MAX: usize = 200;

/// Headers of every answer to a ping: any page may ping, nothing may be cached, and how long a body may be.
pub const HEADERS: [(&str, &str); 3] = [
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0, no-cache, no-store, must-revalidate, private"),
    ("ping-body-limit", "10000"),
];

/// Whom a ping is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PingTarget {
    /// `/ping/<uuid>`.
    Uuid(String),
    /// `/ping/<ping key>/<slug>`.
    Slug {
        /// The ping key.
        key: String,
        /// The heartbeat's name in addresses.
        slug: String,
    },
}

/// What a ping says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingAction {
    /// The job is done.
    Success,
    /// `/start`: the job begins.
    Start,
    /// `/fail`: the job went wrong.
    Fail,
    /// `/log`: something is said that changes nothing.
    Log,
    /// `/<exit status>`: 0 is a success, all else a failure.
    Exit(u8),
}

impl PingAction {
    /// What it means for the heartbeat.
    pub fn kind(self) -> PingKind {
        match self {
            PingAction::Success | PingAction::Exit(0) => PingKind::Success,
            PingAction::Start => PingKind::Start,
            PingAction::Fail | PingAction::Exit(_) => PingKind::Fail,
            PingAction::Log => PingKind::Log,
        }
    }
}

/// A ping as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingRequest {
    /// Whom it is for.
    pub target: PingTarget,
    /// What it says.
    pub action: PingAction,
    /// Whether the heartbeat is made if there is none (`?create=1`); with a slug only.
    pub create: bool,
    /// What is answered once it is known whom it is for, if it cannot be taken: its run or exit status cannot be one.
    pub refused: Option<PingAnswer>,
    /// The run it belongs to (`?rid=`), a UUID in lower case.
    pub run_id: Option<String>,
    /// What came with it, at most [`BODY_MAX`] bytes.
    pub body: Vec<u8>,
    /// What it says, if it came by mail.
    pub mail: Option<MailText>,
    /// Such as `GET`; empty if it came by mail.
    pub method: String,
    /// The client's name of itself.
    pub user_agent: String,
    /// The client's address.
    pub remote: String,
    /// `http` or `https`.
    pub scheme: String,
}

/// What is answered to a ping, with [`HEADERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingAnswer {
    /// The status.
    pub status: u16,
    /// The body, plain text.
    pub body: &'static str,
}

impl PingAnswer {
    /// It is on disk.
    pub const OK: PingAnswer = PingAnswer { status: 200, body: "OK" };
    /// It is on disk, and so is its heartbeat, which was made for it.
    pub const CREATED: PingAnswer = PingAnswer { status: 201, body: "Created" };
    /// There is no such heartbeat.
    pub const NOT_FOUND: PingAnswer = PingAnswer { status: 404, body: "not found" };
    /// Several heartbeats have this slug.
    pub const AMBIGUOUS: PingAnswer = PingAnswer { status: 409, body: "ambiguous slug" };
    /// It could not be kept; the client should try again.
    pub const UNAVAILABLE: PingAnswer = PingAnswer { status: 503, body: "not kept, try again" };
    /// The slug or the exit status cannot be one.
    pub const BAD_ADDRESS: PingAnswer = PingAnswer { status: 400, body: "invalid url format" };
    /// The run id is not a UUID.
    pub const BAD_RUN: PingAnswer = PingAnswer { status: 400, body: "invalid uuid format" };
}

impl PingRequest {
    /// Reads the address: the path behind `/ping/`, and the query without its `?`.
    pub fn from_path(path: &str, query: &str) -> Result<PingRequest, PingAnswer> {
        let mut segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        // `/ping/<uuid>/` and `/ping/<key>/<slug>/` are the same as without the last slash; actions have none.
        let plain_slash = segments.last() == Some(&"");
        if plain_slash {
            segments.pop();
        }
        let (target, action) = match segments[..] {
            [uuid] if is_uuid(uuid) => (PingTarget::Uuid(uuid.to_owned()), None),
            [uuid, action] if is_uuid(uuid) && !plain_slash && is_action(action) => {
                (PingTarget::Uuid(uuid.to_owned()), Some(action))
            }
            [key, slug] => (by_slug(key, slug)?, None),
            [key, slug, action] if !plain_slash && is_action(action) => (by_slug(key, slug)?, Some(action)),
            _ => return Err(PingAnswer::NOT_FOUND),
        };
        let mut refused = None;
        let action = match action {
            None => PingAction::Success,
            Some("start") => PingAction::Start,
            Some("fail") => PingAction::Fail,
            Some("log") => PingAction::Log,
            Some(status) => PingAction::Exit(status.parse().unwrap_or_else(|_| {
                refused = Some(PingAnswer::BAD_ADDRESS);
                u8::MAX
            })),
        };
        let asked = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.rfind(|(name, _)| *name == wanted).map(|(_, value)| value)
        };
        let run_id = asked("rid").map(str::to_ascii_lowercase);
        if run_id.as_deref().is_some_and(|run| !is_uuid(run)) {
            refused = refused.or(Some(PingAnswer::BAD_RUN));
        }
        Ok(PingRequest {
            target,
            action,
            create: asked("create") == Some("1"),
            refused,
            run_id,
            body: Vec::new(),
            mail: None,
            method: "GET".to_owned(),
            user_agent: String::new(),
            remote: String::new(),
            scheme: "http".to_owned(),
        })
    }

    /// A mail to a heartbeat: that the job is done, unless its words say otherwise.
    pub fn of_mail(target: PingTarget, from: &str, peer: IpAddr, message: &[u8]) -> PingRequest {
        PingRequest {
            target,
            action: PingAction::Success,
            create: false,
            refused: None,
            run_id: None,
            body: message[..message.len().min(BODY_MAX)].to_vec(),
            mail: Some(mail::read(message)),
            method: String::new(),
            user_agent: format!("Email from {from}").chars().take(USER_AGENT_CHARS_MAX).collect(),
            remote: peer.to_canonical().to_string(),
            scheme: "email".to_owned(),
        }
    }

    /// Adds who sent it and what came with it. `header` gives a request header by its name in lower case; what a proxy
    /// says of the client (`X-Forwarded-For`, `X-Forwarded-Proto`) is only written down, never trusted.
    pub fn sent<'h>(
        mut self,
        method: &str,
        header: impl Fn(&str) -> Option<&'h str>,
        peer: IpAddr,
        body: impl Into<Vec<u8>>,
    ) -> PingRequest {
        self.method = method.chars().take(10).collect();
        self.user_agent = header("user-agent").unwrap_or_default().chars().take(USER_AGENT_CHARS_MAX).collect();
        let forwarded =
            header("x-forwarded-for").and_then(|list| forwarded(list.split(',').next().unwrap_or_default()));
        self.remote = forwarded.unwrap_or(peer).to_canonical().to_string();
        self.scheme = match header("x-forwarded-proto") {
            Some("https") => "https".to_owned(),
            _ => "http".to_owned(),
        };
        self.body = body.into();
        self.body.truncate(BODY_MAX);
        self
    }
}

/// An address with or without a port.
fn forwarded(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

impl PingTarget {
    /// The target of the part of a mail's address before the `@`: `<uuid>` or `<ping key>+<slug>`.
    pub(super) fn of_mailbox(local: &str) -> Option<PingTarget> {
        let lower = local.to_ascii_lowercase();
        if is_uuid(&lower) {
            return Some(PingTarget::Uuid(lower));
        }
        let (key, slug) = local.split_once('+')?;
        by_slug(key, slug).ok()
    }
}

fn by_slug(key: &str, slug: &str) -> Result<PingTarget, PingAnswer> {
    let plain =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !plain(key) || !plain(slug) {
        return Err(PingAnswer::NOT_FOUND);
    }
    if slug.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(PingAnswer::BAD_ADDRESS);
    }
    Ok(PingTarget::Slug { key: key.to_owned(), slug: slug.to_owned() })
}

fn is_action(text: &str) -> bool {
    matches!(text, "start" | "fail" | "log") || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

/// Dashed hexadecimal in lower case, as Healthchecks writes addresses.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}
