//! Badges: one picture of how heartbeats stand, for a README or a wall.
//!
//! `/b/2/<key>.svg` is one heartbeat's, `/badge/<key>/<signature>-2/<tag>.svg` a tag's, without the tag all of them; with
//! `3`, or without `-2`, a late one is shown as late. `.json` and `.shields` (for shields.io) say the same. Which
//! addresses open them, `GET badges/` and each check's `badge_url` say; nobody can guess one from another.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use watchbell_model::HeartbeatState;
use watchbell_sources::heartbeat::Known;

use super::{Call, show};
use crate::App;
use crate::badge::{Badge, Tone};
use crate::html::encode;

/// As long as Healthchecks' are, in characters.
const SIGNATURE_CHARS: usize = 8;

/// How many there are of what, and what is said of them all.
struct Tally {
    label: String,
    status: &'static str,
    total: usize,
    late: usize,
    down: usize,
}

impl Tally {
    fn new(app: &App, label: String, with_late: bool, checks: &[Known]) -> Tally {
        let (mut late, mut down) = (0, 0);
        for known in checks {
            match app.alarms.heartbeat(&known.id).map(|status| status.state) {
                Some(HeartbeatState::Late) => late += 1,
                Some(HeartbeatState::Down) => down += 1,
                _ => {}
            }
        }
        let status = if down > 0 {
            "down"
        } else if late > 0 && with_late {
            "late"
        } else {
            "up"
        };
        Tally { label, status, total: checks.len(), late, down }
    }

    /// In one of the formats; `None` if there is no such.
    fn answer(&self, format: &str) -> Option<Response> {
        let Tally { label, status, total, late, down } = self;
        let tone = match *status {
            "up" => Tone::Good,
            "late" => Tone::Fair,
            _ => Tone::Bad,
        };
        if format == "json" {
            let body = json!({ "status": status, "total": total, "grace": late, "down": down });
            return Some(Json(body).into_response());
        }
        Badge { label: label.clone(), message: (*status).to_owned(), tone }.answer(format)
    }
}

/// Pictures are only fetched, and any page may show them.
fn dress(method: &Method, answer: impl FnOnce() -> Option<Response>) -> Response {
    let mut response = match *method {
        Method::GET | Method::HEAD => answer().unwrap_or_else(|| StatusCode::NOT_FOUND.into_response()),
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    super::open_to_pages(&mut response, "GET, OPTIONS");
    let never = HeaderValue::from_static("max-age=0, no-cache, no-store, must-revalidate, private");
    response.headers_mut().insert(header::CACHE_CONTROL, never);
    response
}

/// `/b/<2 or 3>/<badge key>.<format>`.
pub(crate) async fn badge_of_one(
    State(app): State<App>,
    method: Method,
    Path((states, file)): Path<(String, String)>,
) -> Response {
    dress(&method, || {
        let (key, format) = file.rsplit_once('.')?;
        let mut all = app.heartbeats.all().into_iter();
        let known = all.find(|known| show::badge_key(&known.uuid) == key)?;
        let name = &known.definition.name;
        let label = if name.is_empty() { known.uuid.clone() } else { name.clone() };
        let with_late = match states.as_str() {
            "2" => false,
            "3" => true,
            _ => return None,
        };
        Tally::new(&app, label, with_late, &[known]).answer(format)
    })
}

/// `/badge/<key>/<signature>.<format>`: of all heartbeats.
pub(crate) async fn badge_of_all(
    State(app): State<App>,
    method: Method,
    Path((key, file)): Path<(String, String)>,
) -> Response {
    dress(&method, || {
        let (signature, format) = file.rsplit_once('.')?;
        of_tag(&app, &key, signature, "*", format)
    })
}

/// `/badge/<key>/<signature>/<tag>.<format>`: of those with a tag.
pub(crate) async fn badge_of_tag(
    State(app): State<App>,
    method: Method,
    Path((key, signature, file)): Path<(String, String, String)>,
) -> Response {
    dress(&method, || {
        let (tag, format) = file.rsplit_once('.')?;
        of_tag(&app, &key, &signature, tag, format)
    })
}

fn of_tag(app: &App, key: &str, signature: &str, tag: &str, format: &str) -> Option<Response> {
    let (signature, with_late) = match signature.strip_suffix("-2") {
        Some(signature) if signature.len() == SIGNATURE_CHARS => (signature, false),
        _ => (signature, true),
    };
    let signer = Signer::new(app);
    let good = signer.key == key && bool::from(signer.sign(tag).as_bytes().ct_eq(signature.as_bytes()));
    if !good {
        return None;
    }
    let all = app.heartbeats.all();
    let tagged = all.into_iter().filter(|known| tag == "*" || known.definition.tags().any(|it| it == tag));
    let label = if tag == "*" { app.config.site().name } else { tag.to_owned() };
    Tally::new(app, label, with_late, &tagged.collect::<Vec<_>>()).answer(format)
}

/// Signs the addresses of badges with the ping key, so that they change when that is changed.
struct Signer {
    key: String,
    mac: Hmac<Sha256>,
}

impl Signer {
    fn new(app: &App) -> Signer {
        let secret = app.heartbeats.ping_key();
        let mac = Hmac::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
        let key = signed(&mac, "badges", 16);
        Signer { key, mac }
    }

    fn sign(&self, tag: &str) -> String {
        signed(&self.mac, &format!("tag {tag}"), SIGNATURE_CHARS)
    }
}

fn signed(mac: &Hmac<Sha256>, text: &str, chars: usize) -> String {
    let digest = mac.clone().chain_update(text.as_bytes()).finalize().into_bytes();
    let mut text = URL_SAFE_NO_PAD.encode(digest);
    text.truncate(chars);
    text
}

/// Where the badges are, by tag.
pub(super) fn of_tags(call: &Call) -> Value {
    let signer = Signer::new(&call.app);
    let all = call.app.heartbeats.all();
    let mut tags: Vec<&str> = all.iter().flat_map(|known| known.definition.tags()).chain(["*"]).collect();
    tags.sort_unstable();
    tags.dedup();
    let mut badges = Map::new();
    for tag in tags {
        let mut urls = Map::new();
        for (suffix, late) in [("-2", ""), ("", "3")] {
            for format in ["svg", "json", "shields"] {
                let (site, key, signature) = (&call.site, &signer.key, signer.sign(tag));
                let name = if tag == "*" { String::new() } else { format!("/{}", encode(tag).replace('/', "%2F")) };
                let url = format!("{site}/badge/{key}/{signature}{suffix}{name}.{format}");
                urls.insert(format!("{format}{late}"), url.into());
            }
        }
        badges.insert(tag.to_owned(), urls.into());
    }
    badges.into()
}
