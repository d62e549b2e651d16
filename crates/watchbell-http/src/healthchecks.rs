//! The API of Healthchecks, versions 1 to 3, for the clients and scripts that speak it: checks, pings, flips, badges.
//!
//! What it calls a check is a heartbeat here, and a channel is a receiver. Heartbeats that stand in the configuration are
//! shown, paused and resumed as all others, but only changed there. Left out: what tells Healthchecks of its own
//! deliveries (`notifications`, `bounces`), and the figures of its own database (`metrics`).

mod badge;
mod show;
mod spec;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;
use watchbell_model::{HeartbeatState, Secret, StateError};
use watchbell_sources::heartbeat::{ChangeError, Definition, Known, LOG_MAX};

use crate::config::HealthchecksConfig;
use crate::guard::host_of;
use crate::{App, alertmanager};

pub(crate) use badge::{badge_of_all, badge_of_one, badge_of_tag};

/// A request, and how it is answered.
struct Call {
    app: App,
    version: u8,
    /// Where this watchbell is, without a slash at the end.
    site: String,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    body: Map<String, Value>,
    /// The key may only read.
    read_only: bool,
}

type Answered = Result<Response, Refusal>;

/// An answer that ends a request early.
struct Refusal(Box<Response>);

impl<R: IntoResponse> From<R> for Refusal {
    fn from(answer: R) -> Refusal {
        Refusal(Box::new(answer.into_response()))
    }
}

/// `{"error": …}`.
fn error(status: StatusCode, words: impl Into<String>) -> Refusal {
    (status, Json(json!({ "error": words.into() }))).into()
}

fn not_kept(error: &StateError) -> Refusal {
    tracing::error!(%error, "a heartbeat cannot be read or changed");
    self::error(StatusCode::SERVICE_UNAVAILABLE, "not kept, try again")
}

fn refused(why: &ChangeError) -> Refusal {
    match why {
        ChangeError::Unknown => StatusCode::NOT_FOUND.into(),
        ChangeError::Full => StatusCode::FORBIDDEN.into(),
        ChangeError::Configured => {
            error(StatusCode::CONFLICT, "this check stands in watchbell's configuration; change it there")
        }
        ChangeError::State(error) => not_kept(error),
    }
}

/// Everything that handlers are given.
type Asked = (State<App>, Method, Uri, HeaderMap, RawQuery, Bytes);

/// Answers one of these methods, `OPTIONS`, or with 405; always with what lets pages of other sites read it.
async fn serve<F: Future<Output = Answered>>(
    (State(app), method, uri, headers, RawQuery(query), body): Asked,
    methods: &[Method],
    handle: impl FnOnce(Call, Method) -> F,
) -> Response {
    let mut response = if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else if !methods.contains(&method) {
        StatusCode::METHOD_NOT_ALLOWED.into_response()
    } else {
        match call(app, &method, &uri, headers, query.as_deref().unwrap_or_default(), &body) {
            Ok(call) => handle(call, method).await.unwrap_or_else(|refusal| *refusal.0),
            Err(refusal) => *refusal.0,
        }
    };
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.push("OPTIONS");
    open_to_pages(&mut response, &names.join(", "));
    response
}

/// Lets pages of any site read an answer.
fn open_to_pages(response: &mut Response, methods: &str) {
    let names = HeaderValue::from_str(methods).expect("methods are plain text");
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("X-Api-Key")),
        (header::ACCESS_CONTROL_ALLOW_METHODS, names),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
    ] {
        response.headers_mut().insert::<HeaderName>(name, value);
    }
}

fn call(app: App, method: &Method, uri: &Uri, headers: HeaderMap, query: &str, body: &[u8]) -> Result<Call, Refusal> {
    let bad = |words: &str| error(StatusCode::BAD_REQUEST, words);
    let body = if method == Method::POST && !body.is_empty() {
        match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => body,
            Ok(_) => return Err(bad("json validation error: value is not an object")),
            Err(_) => return Err(bad("could not parse request body")),
        }
    } else {
        Map::new()
    };
    let version = match uri.path().split('/').nth(2) {
        Some("v3") => 3,
        Some("v2") => 2,
        _ => 1,
    };
    let site = site(&app, uri, &headers);
    Ok(Call { app, version, site, headers, query: pairs(query), body, read_only: false })
}

/// Where this watchbell is: as the configuration says, or as it was asked.
fn site(app: &App, uri: &Uri, headers: &HeaderMap) -> String {
    let url = app.config.site().url.map(|url| url.as_str().trim_end_matches('/').to_owned());
    url.unwrap_or_else(|| format!("http://{}", host_of(uri, headers)))
}

/// The pairs of a query, decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

/// A part of an address as it was meant.
fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let escaped = || {
            let mut ahead = bytes.clone();
            let digits = [ahead.next()?, ahead.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
        };
        match byte {
            b'+' => out.push(b' '),
            b'%' => match escaped() {
                Some(meant) => {
                    out.push(meant);
                    bytes.nth(1);
                }
                None => out.push(b'%'),
            },
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Which check an address names.
enum Named<'a> {
    Uuid(&'a str),
    /// What those are given that may only read: it leads to no address to report to.
    Unique(&'a str),
}

impl<'a> Named<'a> {
    fn read(text: &'a str) -> Result<Named<'a>, Refusal> {
        let dashed = text.len() == 36
            && text.bytes().enumerate().all(|(at, b)| match at {
                8 | 13 | 18 | 23 => b == b'-',
                _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
            });
        if dashed {
            Ok(Named::Uuid(text))
        } else if text.len() == 40 && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            Ok(Named::Unique(text))
        } else {
            Err(StatusCode::NOT_FOUND.into())
        }
    }
}

impl Call {
    /// Lets a key in that may change everything, or, with `read`, one that may read.
    fn authorize(&mut self, read: bool) -> Result<(), Refusal> {
        let denied = |words: &str| error(StatusCode::UNAUTHORIZED, words);
        let key = match (self.headers.get("x-api-key"), self.body.get("api_key")) {
            (Some(key), _) => String::from_utf8_lossy(key.as_bytes()).into_owned(),
            (None, Some(Value::String(key))) if !read => key.clone(),
            _ => String::new(),
        };
        if self.app.auth.token(&key).map_err(|error| not_kept(&error))?.is_some() {
            return Ok(());
        }
        if key.len() != HealthchecksConfig::KEY_LEN {
            return Err(denied("missing api key"));
        }
        let config = self.app.config.healthchecks();
        let is = |wanted: &Secret| {
            let wanted = wanted.expose().as_bytes();
            !wanted.is_empty() && bool::from(key.as_bytes().ct_eq(wanted))
        };
        if is(&config.key) {
            Ok(())
        } else if read && is(&config.read_key) {
            self.read_only = true;
            Ok(())
        } else {
            Err(denied("wrong api key"))
        }
    }

    fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().rfind(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    fn find(&self, named: &Named<'_>) -> Result<Known, Refusal> {
        let heartbeats = &self.app.heartbeats;
        let found = match named {
            Named::Uuid(uuid) => heartbeats.by_uuid(uuid),
            Named::Unique(key) => heartbeats.all().into_iter().find(|it| show::unique_key(&it.uuid) == **key),
        };
        found.ok_or_else(|| StatusCode::NOT_FOUND.into())
    }

    fn json(&self, status: StatusCode, known: &Known) -> Response {
        (status, Json(show::check(self, known))).into_response()
    }

    /// Where a heartbeat stands, as its alarm says.
    fn stands(&self, known: &Known) -> Option<HeartbeatState> {
        self.app.alarms.heartbeat(&known.id).map(|status| status.state)
    }
}

/// `GET checks/`: all of them, or those with every `tag` and the `slug`; `POST checks/`: a new one.
pub(crate) async fn checks(asked: Asked) -> Response {
    serve(asked, &[Method::GET, Method::POST], async |mut call, method| {
        if method == Method::POST {
            call.authorize(false)?;
            return create(&call).await;
        }
        call.authorize(true)?;
        let tags: Vec<&str> =
            call.query.iter().filter(|(name, _)| name == "tag").map(|(_, tag)| tag.as_str()).collect();
        let slug = call.asked("slug").filter(|slug| !slug.is_empty());
        let wanted = |known: &&Known| {
            tags.iter().all(|wanted| known.definition.tags().any(|tag| tag == *wanted))
                && slug.is_none_or(|slug| known.definition.slug == slug)
        };
        let all = call.app.heartbeats.all();
        let checks: Vec<Value> = all.iter().filter(wanted).map(|known| show::check(&call, known)).collect();
        Ok(Json(json!({ "checks": checks })).into_response())
    })
    .await
}

async fn create(call: &Call) -> Answered {
    let bad = |words: String| error(StatusCode::BAD_REQUEST, words);
    let spec = spec::read(&call.body).map_err(bad)?;
    let receivers = receivers(call);
    if let Some(known) = spec.existing(&call.app.heartbeats.all()) {
        let definition = spec.apply(&known.definition, call.version, &receivers).map_err(bad)?;
        let known = call.app.heartbeats.change(&known.uuid, definition).await.map_err(|why| refused(&why))?;
        return Ok(call.json(StatusCode::OK, &known));
    }
    let definition = spec.apply(&Definition::default(), call.version, &receivers).map_err(bad)?;
    let known = call.app.heartbeats.make(definition).await.map_err(|why| refused(&why))?;
    Ok(call.json(StatusCode::CREATED, &known))
}

fn receivers(call: &Call) -> Vec<String> {
    alertmanager::configured(&call.app).into_iter().collect()
}

/// `GET`, `POST` and `DELETE` of one check.
pub(crate) async fn one(Path(check): Path<String>, asked: Asked) -> Response {
    let named = match Named::read(&check) {
        Ok(named) => named,
        Err(refusal) => return *refusal.0,
    };
    let methods = match named {
        Named::Uuid(_) => &[Method::POST, Method::DELETE, Method::GET][..],
        Named::Unique(_) => &[Method::GET][..],
    };
    serve(asked, methods, async |mut call, method| {
        call.authorize(method == Method::GET)?;
        let known = call.find(&named)?;
        if method == Method::GET {
            return Ok(call.json(StatusCode::OK, &known));
        }
        if method == Method::DELETE {
            // As it was: afterwards nobody knows how it stood.
            let shown = call.json(StatusCode::OK, &known);
            call.app.heartbeats.delete(&known.uuid).await.map_err(|why| refused(&why))?;
            return Ok(shown);
        }
        let bad = |words: String| error(StatusCode::BAD_REQUEST, words);
        let spec = spec::read(&call.body).map_err(bad)?;
        let receivers = receivers(&call);
        let definition = spec.apply(&known.definition, call.version, &receivers).map_err(bad)?;
        let known = call.app.heartbeats.change(&known.uuid, definition).await.map_err(|why| refused(&why))?;
        Ok(call.json(StatusCode::OK, &known))
    })
    .await
}

/// The check of an address that takes UUIDs only.
fn by_uuid(check: &str) -> Result<Named<'_>, Refusal> {
    match Named::read(check)? {
        Named::Unique(_) => Err(StatusCode::NOT_FOUND.into()),
        named => Ok(named),
    }
}

/// `POST checks/<uuid>/pause`.
pub(crate) async fn pause(Path(check): Path<String>, asked: Asked) -> Response {
    let named = match by_uuid(&check) {
        Ok(named) => named,
        Err(refusal) => return *refusal.0,
    };
    serve(asked, &[Method::POST], async |mut call, _| {
        call.authorize(false)?;
        let mut known = call.find(&named)?;
        if call.stands(&known) != Some(HeartbeatState::Paused) {
            known = call.app.heartbeats.pause(&known.uuid).await.map_err(|why| refused(&why))?;
        }
        Ok(call.json(StatusCode::OK, &known))
    })
    .await
}

/// `POST checks/<uuid>/resume`.
pub(crate) async fn resume(Path(check): Path<String>, asked: Asked) -> Response {
    let named = match by_uuid(&check) {
        Ok(named) => named,
        Err(refusal) => return *refusal.0,
    };
    serve(asked, &[Method::POST], async |mut call, _| {
        call.authorize(false)?;
        let known = call.find(&named)?;
        if call.stands(&known) != Some(HeartbeatState::Paused) {
            return Err((StatusCode::CONFLICT, "check is not paused").into());
        }
        let known = call.app.heartbeats.resume(&known.uuid).await.map_err(|why| refused(&why))?;
        Ok(call.json(StatusCode::OK, &known))
    })
    .await
}

/// `GET checks/<uuid>/pings/`: those that are kept, newest first.
pub(crate) async fn pings(Path(check): Path<String>, asked: Asked) -> Response {
    let named = match by_uuid(&check) {
        Ok(named) => named,
        Err(refusal) => return *refusal.0,
    };
    serve(asked, &[Method::GET], async |mut call, _| {
        call.authorize(false)?;
        let known = call.find(&named)?;
        let pings = call.app.heartbeats.pings(&known.id, LOG_MAX as usize).map_err(|error| not_kept(&error))?;
        Ok(Json(json!({ "pings": show::pings(&call, &known, &pings) })).into_response())
    })
    .await
}

/// `GET checks/<uuid>/pings/<n>/body`: what came with a ping, as it came.
pub(crate) async fn ping_body(Path((check, n)): Path<(String, String)>, asked: Asked) -> Response {
    let missing = || Refusal::from(StatusCode::NOT_FOUND);
    let (Ok(named), Ok(n)) = (by_uuid(&check), n.parse::<u64>()) else { return *missing().0 };
    serve(asked, &[Method::GET], async |mut call, _| {
        call.authorize(false)?;
        let known = call.find(&named)?;
        if n <= known.pings.saturating_sub(LOG_MAX) {
            return Err(missing());
        }
        let ping = call.app.heartbeats.one_ping(&known.id, n).map_err(|error| not_kept(&error))?;
        let body = ping.map(|ping| ping.body).filter(|body| !body.is_empty()).ok_or_else(missing)?;
        Ok(([(header::CONTENT_TYPE, "text/plain")], body).into_response())
    })
    .await
}

/// `GET checks/<uuid or unique key>/flips/`: when it went up and down, newest first.
pub(crate) async fn flips(Path(check): Path<String>, asked: Asked) -> Response {
    let named = match Named::read(&check) {
        Ok(named) => named,
        Err(refusal) => return *refusal.0,
    };
    serve(asked, &[Method::GET], async |mut call, _| {
        call.authorize(true)?;
        let known = call.find(&named)?;
        let now = call.app.runtime.clock.now();
        let range = show::Range::read(&call, now).ok_or(StatusCode::BAD_REQUEST)?;
        let flips = call.app.alarms.flips(&known.id).map_err(|error| not_kept(&error))?;
        Ok(Json(json!({ "flips": range.flips(&flips) })).into_response())
    })
    .await
}

/// `GET channels/`: the receivers.
pub(crate) async fn channels(asked: Asked) -> Response {
    serve(asked, &[Method::GET], async |mut call, _| {
        call.authorize(false)?;
        let one = |name: String| json!({ "id": show::channel_id(&name), "name": name, "kind": "group" });
        let channels: Vec<Value> = receivers(&call).into_iter().map(one).collect();
        Ok(Json(json!({ "channels": channels })).into_response())
    })
    .await
}

/// `GET badges/`: where the badges of every tag are.
pub(crate) async fn badges(asked: Asked) -> Response {
    serve(asked, &[Method::GET], async |mut call, _| {
        call.authorize(true)?;
        Ok(Json(json!({ "badges": badge::of_tags(&call) })).into_response())
    })
    .await
}

/// `GET status/`: whether heartbeats can be kept.
pub(crate) async fn status(State(app): State<App>) -> Response {
    match app.state.get("alarms.alive", "at") {
        Ok(_) => "OK".into_response(),
        Err(error) => *not_kept(&error).0,
    }
}
