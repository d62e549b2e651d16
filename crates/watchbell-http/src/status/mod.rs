//! Status pages: what works and what does not, for those who use what is watched.
//!
//! A page is put together at most every few seconds, whoever asks, and kept as bytes: as HTML, as JSON and as a feed. So a
//! crowd costs no more than copying them, and no request reads the store by itself.
//!
//! Invariant: what a page does not show is in none of its forms.

mod badges;
mod board;
mod config;
mod days;
mod feed;
mod history;
mod kuma;
mod page;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use watchbell_model::AlarmId;
use watchbell_runtime::thread;

use crate::access::{self, Caller, Surface};
use crate::api::{overview, refusal};
use crate::guard::{Peer, host_of};
use crate::html::{door, encode};
use crate::{App, Shared};

pub(crate) use badges::{
    of_item as badge_of_item, of_kuma as badge_of_kuma, of_kuma_page as badge_of_kuma_page, of_page as badge_of_page,
};
pub(crate) use board::{Board, Figure, Health};
pub use config::{StatusGroupConfig, StatusItemConfig, StatusPageConfig, Theme};
pub use record::{described as status_metadata, minute as status_minute};

/// How long a page is shown as it was put together.
pub const STATUS_PAGE_AGE_MAX: Duration = Duration::from_secs(5);
/// While it is put together anew, others get the last one if it is no older than this.
const STALE_AGE_MAX: Duration = Duration::from_secs(60);
/// How long a browser that showed the token need not show it again.
const COOKIE_AGE_S: u32 = 90 * 86_400;

/// Pages as they were put together last.
#[derive(Default)]
pub(crate) struct Status {
    history: history::History,
    shown: Mutex<BTreeMap<String, Arc<Shown>>>,
    /// Held by whoever puts one together.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A page in every form.
struct Shown {
    /// What it was made by.
    page: Arc<StatusPageConfig>,
    revision: u64,
    /// When, on the steady clock.
    made: Duration,
    board: Board,
    html: Document,
    json: Document,
    feed: Document,
    /// These are put together when somebody asks.
    rss: OnceLock<Document>,
    kuma: OnceLock<Document>,
    beats: OnceLock<Document>,
    /// Where people find it.
    address: String,
}

impl Shown {
    fn rss(&self) -> &Document {
        let make = || Document::new("application/rss+xml; charset=utf-8", feed::rss(&self.board, &self.address));
        self.rss.get_or_init(make)
    }

    fn kuma(&self) -> &Document {
        self.kuma.get_or_init(|| Document::new(JSON, kuma::page(&self.board, &self.page)))
    }

    /// Reads the store: call it first where blocking is allowed.
    fn beats(&self, query: &dyn watchbell_model::Query) -> &Document {
        self.beats.get_or_init(|| Document::new(JSON, kuma::heartbeats(&self.board, &self.page, query)))
    }
}

const JSON: &str = "application/json";

struct Document {
    kind: &'static str,
    plain: Bytes,
    gzip: Bytes,
    tag: HeaderValue,
}

impl Document {
    fn new(kind: &'static str, text: String) -> Document {
        let digest = Sha256::digest(text.as_bytes());
        let tag: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 6), Compression::default());
        let gzip = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("memory takes it");
        let tag = HeaderValue::from_str(&format!("W/\"{tag}\"")).expect("hexadecimal digits are plain");
        Document { kind, plain: text.into(), gzip: gzip.into(), tag }
    }

    fn answer(&self, headers: &HeaderMap, public: bool) -> Response {
        let has = |name, wanted: &str| {
            let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|one| one.split(';').next().unwrap_or("").trim() == wanted)
        };
        let known = has(header::IF_NONE_MATCH, self.tag.to_str().unwrap_or_default());
        let packed = has(header::ACCEPT_ENCODING, "gzip");
        let mut response = match (known, packed) {
            (true, _) => StatusCode::NOT_MODIFIED.into_response(),
            (false, true) => self.gzip.clone().into_response(),
            (false, false) => self.plain.clone().into_response(),
        };
        let out = response.headers_mut();
        if !known {
            out.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        }
        if packed && !known {
            out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        out.insert(header::ETAG, self.tag.clone());
        out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        dress(&mut response, public);
        response
    }
}

/// How long an answer may be kept, and who may read it.
fn dress(response: &mut Response, public: bool) {
    let keep = if public { "public, max-age=5" } else { "private, max-age=5" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    if public {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
}

/// A page as it is now, or was a few seconds ago.
async fn shown(app: &App, page: &Arc<StatusPageConfig>) -> Arc<Shown> {
    let young = |age_max: Duration| {
        let found = app.status.shown.lock().expect("no panic while held").get(&page.name).cloned();
        let age = |it: &Arc<Shown>| app.runtime.clock.monotonic().saturating_sub(it.made);
        let same = |it: &Arc<Shown>| Arc::ptr_eq(&it.page, page) && it.revision == app.alerts.incidents_revision();
        found.filter(|it| same(it) && age(it) < age_max)
    };
    if let Some(found) = young(STATUS_PAGE_AGE_MAX) {
        return found;
    }
    let turn = match Arc::clone(&app.status.turn).try_lock_owned() {
        Ok(turn) => turn,
        Err(_) => match young(STALE_AGE_MAX) {
            Some(found) => return found,
            None => Arc::clone(&app.status.turn).lock_owned().await,
        },
    };
    if let Some(found) = young(STATUS_PAGE_AGE_MAX) {
        return found;
    }
    let (app, page) = (Arc::clone(app), Arc::clone(page));
    // Whoever asked may be gone before it is there; the turn and what comes of it are not.
    thread::blocking(move || {
        let made = Arc::new(make(&app, page));
        let pages = app.config.status_pages();
        let alarms: BTreeSet<AlarmId> = pages.iter().flat_map(|page| board::alarms(page)).collect();
        app.status.history.retain(|alarm| alarms.contains(alarm));
        let mut shown = app.status.shown.lock().expect("no panic while held");
        shown.retain(|name, _| pages.iter().any(|page| page.name == *name));
        shown.insert(made.page.name.clone(), Arc::clone(&made));
        drop(turn);
        made
    })
    .await
}

fn make(app: &Shared, page: Arc<StatusPageConfig>) -> Shown {
    let (revision, made) = (app.alerts.incidents_revision(), app.runtime.clock.monotonic());
    let board = board::board(app, &page);
    let json = serde_json::to_string(&board).expect("our own documents serialise");
    let address = address(app, &page);
    Shown {
        html: Document::new("text/html; charset=utf-8", page::html(&board, &page)),
        json: Document::new(JSON, json),
        feed: Document::new("application/atom+xml; charset=utf-8", feed::atom(&board, &address)),
        rss: OnceLock::new(),
        kuma: OnceLock::new(),
        beats: OnceLock::new(),
        address,
        board,
        page,
        revision,
        made,
    }
}

/// Where people find it.
pub(crate) fn address(app: &Shared, page: &StatusPageConfig) -> String {
    let path = format!("/status/{}", encode(&page.name));
    match (&page.host, app.config.site().url) {
        (Some(host), _) => format!("https://{host}{path}"),
        (None, Some(site)) => site.join(&path),
        (None, None) => path,
    }
}

/// A page as it stands, for our own API.
pub(crate) async fn board_of(app: &App, page: &Arc<StatusPageConfig>) -> Board {
    shown(app, page).await.board.clone()
}

/// The expression that comes to a figure when it is evaluated at the figure's end.
pub(crate) fn expression(alarm: &AlarmId, figure: &Figure) -> String {
    // A range leaves its very beginning out.
    let millis = figure.to.as_millis() - figure.from.as_millis() + 1;
    let series = watchbell_model::Labels::metric(record::UP, &[("alarm", alarm)]);
    format!("avg_over_time({series}[{millis}ms])")
}

fn page_named(app: &Shared, name: &str) -> Option<Arc<StatusPageConfig>> {
    app.config.status_pages().iter().find(|page| page.name == name).cloned()
}

/// The page whose root this host is.
fn page_at(app: &Shared, uri: &Uri, headers: &HeaderMap) -> Option<Arc<StatusPageConfig>> {
    let host = access::host_name(host_of(uri, headers));
    let is = |page: &&Arc<StatusPageConfig>| page.host.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(host));
    app.config.status_pages().iter().find(is).cloned()
}

/// Whether a status page's own host has this address besides the pages themselves: the root and what they load. Nothing
/// else is there.
pub(crate) fn claims(app: &Shared, surface: Surface, uri: &Uri, headers: &HeaderMap) -> bool {
    let is = (surface == Surface::Page && uri.path() == "/") || surface == Surface::Asset;
    is && page_at(app, uri, headers).is_some()
}

/// What proves that somebody may see a page.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Shows {
    #[serde(default)]
    token: String,
}

/// What everybody brings.
pub(crate) struct Visitor {
    caller: Caller,
    peer: Peer,
    token: String,
    uri: Uri,
    headers: HeaderMap,
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visitor, Response> {
        let (caller, peer) = (parts.extensions.get::<Caller>(), parts.extensions.get::<Peer>());
        // The guard has put both there.
        let (Some(caller), Some(peer)) = (caller.cloned(), peer.copied()) else {
            return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        let shows = Query::<Shows>::try_from_uri(&parts.uri).map_err(IntoResponse::into_response)?;
        let (uri, headers) = (parts.uri.clone(), parts.headers.clone());
        Ok(Visitor { caller, peer, token: shows.0.token, uri, headers })
    }
}

impl Visitor {
    /// What is answered in place of a page; nothing for those who may see it.
    fn instead(&self, app: &Shared, page: &StatusPageConfig, document: bool) -> Option<Response> {
        let known = matches!(self.caller, Caller::Session(_) | Caller::Token(_));
        let token = page.token.expose();
        if page.public || known {
            return None;
        }
        let given = &self.token;
        let bearer = self.headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok()?.strip_prefix("Bearer "));
        let cookie = self.cookie(&cookie_name(page));
        let same = |a: &str, b: &str| bool::from(a.as_bytes().ct_eq(b.as_bytes()));
        if !token.is_empty() {
            if cookie.is_some_and(|it| same(it, &cookie_value(page))) || bearer.is_some_and(|it| same(it, token)) {
                return None;
            }
            if same(given, token) {
                return if document { Some(self.keep(app, page)) } else { None };
            }
        }
        if !given.is_empty()
            && let Err(wait) = app.sign_ins.count(self.peer.address.ip().to_canonical(), app.runtime.clock.now())
        {
            app.refused("sign_in_rate");
            let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, "too many tokens were tried from this address");
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            return Some(response);
        }
        app.refused("no_credentials");
        Some(match (document, token.is_empty()) {
            (true, true) => Redirect::to(&format!("/signin?next={}", encode(self.uri.path()))).into_response(),
            (true, false) => {
                let body = "<p>Open it once by the whole link that you were given, with its token.</p>";
                let body = door("This page is for those who have its link", body);
                crate::html::page(StatusCode::UNAUTHORIZED, "A page with a token", &body)
            }
            (false, _) => refusal(StatusCode::UNAUTHORIZED, "add `?token=…`, or sign in"),
        })
    }

    /// Has the browser keep that the token was shown, so that it stands in no address any more.
    fn keep(&self, app: &Shared, page: &StatusPageConfig) -> Response {
        let host = host_of(&self.uri, &self.headers);
        let local = access::is_local(self.peer.listener.ip(), self.peer.address.ip(), host, &self.headers);
        let https = !local && app.config.site().url.is_some_and(|url| url.is_https());
        let secure = if https { "; Secure" } else { "" };
        let (name, value) = (cookie_name(page), cookie_value(page));
        let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={COOKIE_AGE_S}{secure}");
        let mut response = Redirect::to(self.uri.path()).into_response();
        let cookie = HeaderValue::from_str(&cookie).expect("names of pages and digits are plain");
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        response
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        let all = self.headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = all.flat_map(|it| it.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// A page in one of its forms.
    async fn see(&self, app: &App, name: &str, document: bool, form: fn(&Shown) -> &Document) -> Response {
        let Some(page) = page_named(app, name) else { return nothing(document) };
        match self.instead(app, &page, document) {
            None => form(&*shown(app, &page).await).answer(&self.headers, page.public),
            Some(refused) => refused,
        }
    }
}

fn cookie_name(page: &StatusPageConfig) -> String {
    format!("watchbell_status_{}", page.name)
}

/// Changes with the token.
fn cookie_value(page: &StatusPageConfig) -> String {
    let digest = Sha256::new().chain_update(&page.name).chain_update(" ").chain_update(page.token.expose()).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nothing(document: bool) -> Response {
    if !document {
        return refusal(StatusCode::NOT_FOUND, "there is no such status page, or it does not say this");
    }
    let body = door("There is no such status page", "<p>Its address may have changed.</p>");
    crate::html::page(StatusCode::NOT_FOUND, "No such status page", &body)
}

/// `GET /`: the page of the host if it is one's, else the overview.
pub(crate) async fn root(State(app): State<App>, visitor: Visitor) -> Response {
    match page_at(&app, &visitor.uri, &visitor.headers) {
        Some(page) => visitor.see(&app, &page.name, true, |shown| &shown.html).await,
        None => overview::page(State(app)).await,
    }
}

/// `GET /status/{name}`.
pub(crate) async fn html(State(app): State<App>, Path(name): Path<String>, visitor: Visitor) -> Response {
    visitor.see(&app, &name, true, |shown| &shown.html).await
}

/// `GET /status/{name}/feed.atom`.
pub(crate) async fn atom(State(app): State<App>, Path(name): Path<String>, visitor: Visitor) -> Response {
    visitor.see(&app, &name, false, |shown| &shown.feed).await
}

/// `GET /status/{name}/feed.rss`, and where Uptime Kuma has it.
pub(crate) async fn rss(State(app): State<App>, Path(name): Path<String>, visitor: Visitor) -> Response {
    visitor.see(&app, &name.to_ascii_lowercase(), false, Shown::rss).await
}

/// `GET /api/status-page/{name}`, as Uptime Kuma answers it.
pub(crate) async fn kuma_page(State(app): State<App>, Path(name): Path<String>, visitor: Visitor) -> Response {
    visitor.see(&app, &name.to_ascii_lowercase(), false, Shown::kuma).await
}

/// `GET /api/status-page/heartbeat/{name}`, as Uptime Kuma answers it.
pub(crate) async fn kuma_heartbeats(State(app): State<App>, Path(name): Path<String>, visitor: Visitor) -> Response {
    let Some(page) = page_named(&app, &name.to_ascii_lowercase()) else { return nothing(false) };
    if let Some(refused) = visitor.instead(&app, &page, false) {
        return refused;
    }
    let shown = shown(&app, &page).await;
    if shown.beats.get().is_none() {
        // One reads, the others wait for it without a thread.
        let turn = Arc::clone(&app.status.turn).lock_owned().await;
        let (app, shown) = (Arc::clone(&app), Arc::clone(&shown));
        thread::blocking(move || {
            shown.beats(&*app.query);
            drop(turn);
        })
        .await;
    }
    shown.beats(&*app.query).answer(&visitor.headers, page.public)
}

/// `GET /api/status-page/{name}/manifest.json`, as Uptime Kuma answers it: what a phone calls the page on its screen.
pub(crate) async fn kuma_manifest(State(app): State<App>, Path(name): Path<String>, visitor: Visitor) -> Response {
    let Some(page) = page_named(&app, &name.to_ascii_lowercase()) else { return nothing(false) };
    if let Some(refused) = visitor.instead(&app, &page, false) {
        return refused;
    }
    let title = page.title.clone().unwrap_or_else(|| crate::api::site_name(&app));
    Document::new(JSON, kuma::manifest(&page.name, &title)).answer(&visitor.headers, page.public)
}

/// `GET /api/watchbell/v1/status/{name}`.
pub(crate) async fn json(State(app): State<App>, Path(name): Path<String>, visitor: Visitor) -> Response {
    visitor.see(&app, &name, false, |shown| &shown.json).await
}
